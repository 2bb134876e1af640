"""Measure time and peak memory of a command, including the processes that it starts."""

import os
import subprocess
import tempfile
import time
from pathlib import Path


def _resident(process: int) -> int:
    "Return the resident memory of a process and its children in pages; 0 where there is no /proc."
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


def measured(command: list, folder: Path | None = None, **environment: str) -> dict:
    "Run a command; return seconds, peak memory (MB, of all processes, sampled at 20 Hz) and what it printed."
    start = time.perf_counter()
    peak = 0
    with (
        tempfile.TemporaryFile(
            "w+"
        ) as output,  # a pipe that nobody reads would stop a command that prints much
        subprocess.Popen(
            list(map(str, command)), stdout=output, env=os.environ | environment, cwd=folder
        ) as process,
    ):
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        seconds = time.perf_counter() - start
        output.seek(0)
        printed = output.read()
    if process.returncode:
        raise SystemExit(f"{command} ended with status {process.returncode}")
    return {"seconds": seconds, "peak_mb": peak * os.sysconf("SC_PAGE_SIZE") / 2**20, "printed": printed}


def about() -> dict:
    "Return the machine, the versions, the commit and the date, to be kept with a result."
    from chromoformer.provenance import code_version, machine, versions

    return {
        "machine": machine(),
        "versions": versions(),
        "code": code_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
