"""Measure time, size and memory of building and reading the store of one cell type.

The input is seven simulated bigWigs of 30 million reads each, 19,000 promoters of 40 kb and about 60,000
pCREs, at 100 bp. Each step runs in a process of its own; memory is the sum over its processes. Simulating the
input takes some minutes; keep it with --folder.

    python benchmarks/store.py [--folder cell30m] [--processes 1 2] [--out benchmarks/results/store.json]
    python benchmarks/store.py --scale toy        # a quick look
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from _measure import about, measured

STEPS = Path(__file__).with_name("_store.py")
TARGETS = {"seconds": (60, 180), "bytes": (0.3e9, 0.6e9), "peak_mb": (2048, 4096)}  # aim, must
LAYOUTS = [("gzip", 512), ("gzip", 4096), ("lzf", 512), ("none", 512)]  # the first is that of the store


def step(*arguments: object) -> dict:
    "Run one step of _store.py; return its time, memory and what it printed."
    run = measured([sys.executable, STEPS, *arguments])
    return {"seconds": run["seconds"], "peak_mb": run["peak_mb"]} | (json.loads(run["printed"]) or {})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, help="keep the simulated cell type in this folder, and use it if it exists"
    )
    parser.add_argument("--scale", choices=("human", "toy"), default="human")
    parser.add_argument(
        "--processes",
        type=int,
        nargs="+",
        default=[1, 2],
        help="numbers of tracks read at the same time; each is measured",
    )
    parser.add_argument("--runs", type=int, default=3, help="repeats of each build")
    parser.add_argument(
        "--no-layouts", action="store_true", help="do not compare other compressions of the signal"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    result = measure(options)
    print_table(result)
    if options.out:
        from chromoformer.provenance import write_json

        write_json(options.out, result | about())


def measure(options: argparse.Namespace) -> dict:
    "Simulate the input if needed, build the store with each number of processes, and read it."
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder = options.folder or work / "cell"
        manifest = folder / "cellA.yaml"
        store = work / "cellA.h5"
        simulation = None if manifest.exists() else step("simulate", options.scale, folder)
        builds = {
            processes: summary([step("build", manifest, store, processes) for _ in range(options.runs)])
            for processes in options.processes
        }
        size = store.stat().st_size
        content = step("describe", store)
        use = {where: step("batches", store, where) for where in ("memory", "disk")}
        layouts = {
            f"{compression}, {bins} bins a chunk": step("layout", store, work / "other.h5", compression, bins)
            for compression, bins in ([] if options.no_layouts else LAYOUTS)
        }
    steps = [*builds.values(), *use.values(), *([simulation] if simulation else [])]
    return {
        "scale": options.scale,
        "content": content,
        "simulation": simulation,
        "bytes": size,
        "use": use,
        "layouts": layouts,
        "targets": TARGETS,
        "builds": builds,
        "peak_mb": max(found["peak_mb"] for found in steps),
    }


def summary(runs: list[dict]) -> dict:
    "Return the seconds of each run, their median and the largest memory."
    seconds = [run["seconds"] for run in runs]
    peak = max(run["peak_mb"] for run in runs)
    return {"seconds": seconds, "median": statistics.median(seconds), "peak_mb": peak}


def print_table(result: dict) -> None:
    "Print each measurement next to its targets."
    content = result["content"]
    (aim_s, must_s), (aim_bytes, must_bytes), (aim_mb, must_mb) = TARGETS.values()
    size = f"{content['genes']:,} promoters, {content['pcres']:,} pCREs, {len(content['channels'])} tracks"
    print(f"{size} ({result['scale']} scale)\n")
    print(f"{'':<34}{'measured':>12}{'aim':>10}{'must':>10}{'memory':>12}")
    for processes, build in result["builds"].items():
        name = f"build, {processes} track{'s' * (processes > 1)} at a time"
        print(f"{name:<34}{build['median']:>10.1f} s{aim_s:>8} s{must_s:>8} s{build['peak_mb']:>9.0f} MB")
    size = result["bytes"] / 1e9
    print(f"{'size on disk':<34}{size:>9.3f} GB{aim_bytes / 1e9:>7} GB{must_bytes / 1e9:>7} GB")
    for where, found in result["use"].items():
        name = "open, signal left on disk" if where == "disk" else "open, signal to memory"
        print(f"{name:<34}{found['open_seconds']:>10.2f} s{'':>20}{found['peak_mb']:>9.0f} MB")
        print(f"{f'batch of 64 from {where}':<34}{found['batch_seconds'] * 1000:>9.1f} ms")
    print(f"{'largest memory of any step':<34}{result['peak_mb']:>9.0f} MB{aim_mb:>7} MB{must_mb:>7} MB")
    if result["layouts"]:
        print(f"\n{'the signal alone':<34}{'size':>12}{'write':>10}{'read':>10}{'batch':>12}")
    for name, found in result["layouts"].items():
        size = found["bytes"] / 1e9
        times = f"{found['write_seconds']:>8.1f} s{found['read_seconds']:>8.2f} s"
        print(f"{name:<34}{size:>9.3f} GB{times}{found['batch_seconds'] * 1000:>9.1f} ms")


if __name__ == "__main__":
    main()
