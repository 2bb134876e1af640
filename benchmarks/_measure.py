"""Time and peak memory of a command in a process of its own, the processes that it starts included."""

import os
import subprocess
import time
from pathlib import Path


def _resident(process: int) -> int:
    "Resident memory of a process and its children in pages; Linux only, 0 elsewhere."
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        children = [
            int(child)
            for task in Path(f"/proc/{process}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (OSError, ValueError):
        return 0
    return pages + sum(_resident(child) for child in children)


def measured(command: list, **environment: str) -> dict:
    "Seconds, peak memory in MB and what the command printed; the peak is that of the sum over processes, seen 20 times a second."
    start, peak = time.perf_counter(), 0
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, text=True, env=os.environ | environment
    ) as process:
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        seconds = time.perf_counter() - start
        printed = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{command} ended with status {process.returncode}")
    return {"seconds": seconds, "peak_mb": peak * os.sysconf("SC_PAGE_SIZE") / 2**20, "printed": printed}


def about() -> dict:
    "On what, with what and when it was measured."
    from chromoformer.provenance import code_version, machine, versions

    return {
        "machine": machine(),
        "versions": versions(),
        "code": code_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
