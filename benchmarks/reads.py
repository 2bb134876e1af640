"""Time the way from 30 million reads to a bigWig, here and with bedtools, sort and conversion.

Our side is `coverage` of this package; the other side is `bedtools genomecov -bga`, sort, and conversion to
bigWig by pyBigWig. They run one after the other on the same simulated tagAlign file, each step in its own
process, and the depth of every base of the shortest chromosomes is compared. Needs bedtools (Debian:
`apt-get install bedtools`). pyBigWig, fed with arrays, was the fastest conversion that pip and Debian offer
(pybigtools took a few percent longer; bedGraphToBigWig is in neither). Only our side writes zoom levels.
Reads are sorted by chromosome, so that the other side need not sort them first.

    python benchmarks/reads.py [--folder reads30m] [--runs 3] [--out benchmarks/results/reads.json]
    python benchmarks/reads.py --scale toy        # a quick look
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from _measure import about, measured

STEPS = Path(__file__).with_name("_reads.py")
AIM = 10  # times as fast as the other side
MUST = 4


def main() -> None:
    "Measure both sides, compare the depths, print a table and write the numbers."
    options = read_options()
    if not shutil.which("bedtools"):
        sys.exit("bedtools is missing: install it first (Debian: apt-get install bedtools)")
    keep = options.folder if options.folder and options.folder.exists() else None
    with tempfile.TemporaryDirectory(dir=keep) as name:
        result = measure(options, Path(name))
    show(result)
    if options.out:
        from chromoformer.provenance import write_json

        write_json(options.out, result | about())
    if result["bases_that_differ"]:
        sys.exit("the two sides differ")


def read_options() -> argparse.Namespace:
    "Return the options of the command line."
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, help="keep the simulated reads here, and use them if they are here already"
    )
    parser.add_argument(
        "--scale",
        choices=("human", "toy"),
        default="human",
        help="human: 30 million reads on chromosomes as in hg19",
    )
    parser.add_argument("--reads", type=int, default=0, help="use about this many of the reads (0: all)")
    parser.add_argument("--runs", type=int, default=3, help="runs of our side")
    parser.add_argument("--their-runs", type=int, default=1, help="runs of the other side")
    parser.add_argument(
        "--compare", type=int, default=3, help="compare the bases of this many chromosomes, the shortest"
    )
    parser.add_argument("--out", type=Path, help="a JSON file for the numbers")
    return parser.parse_args()


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    "Run both sides and the comparison in a temporary folder, and return what was measured."
    folder = options.folder or work / "input"
    simulation_seconds, number = inputs(folder, options.scale, options.reads)
    reads = folder / "reads.tagAlign.gz"
    sizes = folder / "chrom.sizes"
    ours = work / "ours.bigWig"
    theirs = work / "theirs.bigWig"
    here = {"all": [sys.executable, STEPS, "ours", reads, sizes, ours]}
    runs = {
        "here": timed(here, options.runs),
        "bedtools": timed(bedtools_steps(reads, sizes, work, theirs), options.their_runs),
    }
    compared = measured([sys.executable, STEPS, "compare", ours, theirs, options.compare])
    bases, differ = map(int, compared["printed"].split())
    total = {
        side: sum(statistics.median(step["seconds"]) for step in steps.values())
        for side, steps in runs.items()
    }
    return {
        "reads": number,
        "scale": options.scale,
        "simulation_seconds": simulation_seconds,
        "bases_compared": bases,
        "bases_that_differ": differ,
        "bytes": {"here": ours.stat().st_size, "bedtools": theirs.stat().st_size},
        **runs,
        "median_seconds": total,
        "ratio": total["bedtools"] / total["here"],
        "aim": AIM,
        "must": MUST,
    }


def inputs(folder: Path, scale: str, reads: int) -> tuple[float | None, int]:
    "Simulate the reads; return the seconds (None: they were there already) and the number of reads."
    number = folder / "number"
    if number.exists():
        return None, int(number.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    run = measured([sys.executable, STEPS, "simulate", scale, reads, folder])
    number.write_text(run["printed"])
    return run["seconds"], int(run["printed"])


def bedtools_steps(reads: Path, sizes: Path, work: Path, out: Path) -> dict[str, list]:
    "Return the commands of the other side, by step."
    unsorted = work / "unsorted"
    bedgraph = work / "bedGraph"
    genomecov = f"zcat '{reads}' | bedtools genomecov -bga -i - -g '{sizes}' > '{unsorted}'"
    return {
        "genomecov": ["bash", "-o", "pipefail", "-c", genomecov],
        "sort": ["sort", "-S", "2G", "--parallel", "2", "-k1,1", "-k2,2n", "-o", bedgraph, unsorted],
        "conversion": [sys.executable, STEPS, "convert", bedgraph, sizes, out],
    }


def timed(steps: dict[str, list], times: int) -> dict[str, dict[str, Any]]:
    "Run each step some times; return its seconds and its peak memory."
    found = {}
    for step, command in steps.items():
        runs = [measured(command, LC_ALL="C") for _ in range(times)]
        found[step] = {
            "seconds": [run["seconds"] for run in runs],
            "peak_mb": max(run["peak_mb"] for run in runs),
        }
    return found


def show(result: dict[str, Any]) -> None:
    "Print a table of the steps, and the ratio of the two sides."
    print(
        f"{result['reads']:,} reads ({result['scale']} scale); {result['bases_compared']:,} bases compared, ",
        end="",
    )
    print(f"{result['bases_that_differ']:,} differ\n")
    print(f"{'':<24}{'seconds':>10}{'peak memory':>14}")
    for side in ("here", "bedtools"):
        for step, found in result[side].items():
            seconds = statistics.median(found["seconds"])
            print(f"{side + ' ' + step:<24}{seconds:>10.1f}{found['peak_mb']:>11.0f} MB")
    print(
        f"\nbedtools, sort and conversion take {result['ratio']:.1f} times as long (aim {AIM}, must {MUST})"
    )


if __name__ == "__main__":
    main()
