"""Measure time, size and memory of building and reading the store of one cell type.

The input is seven simulated bigWigs of 30 million reads each, 19,000 promoters of 40 kb and about 60,000 pCREs, at 100 bp.
Each step runs in a process of its own; memory is the sum over its processes. Simulating the input takes some minutes; keep
it with --folder.

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

    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder, store = options.folder or work / "cell", work / "cellA.h5"
        made = None if (folder / "cellA.yaml").exists() else step("simulate", options.scale, folder)
        builds = {
            processes: [step("build", folder / "cellA.yaml", store, processes) for _ in range(options.runs)]
            for processes in options.processes
        }
        size, what = store.stat().st_size, step("describe", store)
        use = {where: step("batches", store, where) for where in ("memory", "disk")}
        layouts = [] if options.no_layouts else LAYOUTS
        ways = {
            f"{filters}, {rows} bins a chunk": step("layout", store, work / "other.h5", filters, rows)
            for filters, rows in layouts
        }

    result = {
        "scale": options.scale,
        "content": what,
        "simulation": made,
        "bytes": size,
        "use": use,
        "layouts": ways,
        "targets": TARGETS,
    }
    result["builds"] = {
        processes: {
            "seconds": [run["seconds"] for run in runs],
            "median": statistics.median(run["seconds"] for run in runs),
            "peak_mb": max(run["peak_mb"] for run in runs),
        }
        for processes, runs in builds.items()
    }
    print(
        f"{what['genes']:,} promoters, {what['pcres']:,} pCREs, {len(what['channels'])} tracks ({options.scale} scale)\n"
    )
    print(f"{'':<34}{'measured':>12}{'aim':>10}{'must':>10}{'memory':>12}")
    (aim_s, must_s), (aim_bytes, must_bytes), (aim_mb, must_mb) = (
        TARGETS["seconds"],
        TARGETS["bytes"],
        TARGETS["peak_mb"],
    )
    for processes, build in result["builds"].items():
        name = f"build, {processes} track{'s' * (processes > 1)} at a time"
        print(f"{name:<34}{build['median']:>10.1f} s{aim_s:>8} s{must_s:>8} s{build['peak_mb']:>9.0f} MB")
    print(f"{'size on disk':<34}{size / 1e9:>9.3f} GB{aim_bytes / 1e9:>7} GB{must_bytes / 1e9:>7} GB")
    for where, found in use.items():
        name = "open, signal left on disk" if where == "disk" else "open, signal to memory"
        print(f"{name:<34}{found['open_seconds']:>10.2f} s{'':>20}{found['peak_mb']:>9.0f} MB")
        print(f"{f'batch of 64 from {where}':<34}{found['batch_seconds'] * 1000:>9.1f} ms")
    peak = max(
        found["peak_mb"] for found in [*result["builds"].values(), *use.values(), *([made] if made else [])]
    )
    print(f"{'largest memory of any step':<34}{peak:>9.0f} MB{aim_mb:>7} MB{must_mb:>7} MB")
    if ways:
        print(f"\n{'the signal alone':<34}{'size':>12}{'write':>10}{'read':>10}{'batch':>12}")
    for way, found in ways.items():
        batch = found["batch_seconds"] * 1000
        print(
            f"{way:<34}{found['bytes'] / 1e9:>9.3f} GB{found['write_seconds']:>8.1f} s{found['read_seconds']:>8.2f} s{batch:>9.1f} ms"
        )
    if options.out:
        from chromoformer.provenance import write_json

        write_json(options.out, result | {"peak_mb": peak} | about())


if __name__ == "__main__":
    main()
