"""How long do 30 million reads take to a bigWig, beside `bedtools genomecov -bga`, sort and conversion?

Both sides run here, one after the other, on the same simulated tagAlign file, each step in a process of its own; the depth of every base of the
shortest chromosomes is compared. Needs bedtools (Debian: `apt-get install bedtools`). Of what pip and Debian offer for the conversion
pyBigWig, fed with arrays, was the fastest; pybigtools took a few percent longer, and bedGraphToBigWig is in neither. Reads are
sorted by chromosome, so that their side need not sort them first.

    python benchmarks/reads.py [--folder reads30m] [--runs 3] [--out benchmarks/results/reads.json]
    python benchmarks/reads.py --scale toy        # a quick look
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from _measure import about, measured

STEPS = Path(__file__).with_name("_reads.py")
AIM, MUST = 10, 4  # times faster


def inputs(folder: Path, scale: str, reads: int) -> tuple[float | None, int]:
    "Seconds to make the reads (None: they are there already) and how many they are."
    if (folder / "number").exists():
        return None, int((folder / "number").read_text())
    folder.mkdir(parents=True, exist_ok=True)
    run = measured([sys.executable, STEPS, "simulate", scale, reads, folder])
    (folder / "number").write_text(run["printed"])
    return run["seconds"], int(run["printed"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, help="keep the simulated reads here, and use those that are here"
    )
    parser.add_argument(
        "--scale",
        choices=("human", "toy"),
        default="human",
        help="human: 30 million reads on chromosomes as in hg19",
    )
    parser.add_argument("--reads", type=int, default=0, help="use about so many of them")
    parser.add_argument("--runs", type=int, default=3, help="of our side")
    parser.add_argument("--their-runs", type=int, default=1)
    parser.add_argument(
        "--compare", type=int, default=3, help="chromosomes whose bases are compared, the shortest"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not shutil.which("bedtools"):
        sys.exit("bedtools is missing: install it first (Debian: apt-get install bedtools)")

    with tempfile.TemporaryDirectory(
        dir=options.folder if options.folder and options.folder.exists() else None
    ) as name:
        work = Path(name)
        folder = options.folder or work / "input"
        made, number = inputs(folder, options.scale, options.reads)
        reads, sizes = folder / "reads.tagAlign.gz", folder / "chrom.sizes"
        theirs = {
            "genomecov": [
                "bash",
                "-o",
                "pipefail",
                "-c",
                f"zcat '{reads}' | bedtools genomecov -bga -i - -g '{sizes}' > '{work}/unsorted'",
            ],
            "sort": [
                "sort",
                "-S",
                "2G",
                "--parallel",
                "2",
                "-k1,1",
                "-k2,2n",
                "-o",
                work / "bedGraph",
                work / "unsorted",
            ],
            "conversion": [
                sys.executable,
                STEPS,
                "convert",
                work / "bedGraph",
                sizes,
                work / "theirs.bigWig",
            ],
        }
        ours = {"all": [sys.executable, STEPS, "ours", reads, sizes, work / "ours.bigWig"]}
        runs = {
            side: {
                step: [measured(command, LC_ALL="C") for _ in range(times)] for step, command in steps.items()
            }
            for side, steps, times in (("here", ours, options.runs), ("bedtools", theirs, options.their_runs))
        }
        compared = measured(
            [sys.executable, STEPS, "compare", work / "ours.bigWig", work / "theirs.bigWig", options.compare]
        )
        bases, differ = map(int, compared["printed"].split())
        size = {
            side: (work / f"{name}.bigWig").stat().st_size
            for side, name in (("here", "ours"), ("bedtools", "theirs"))
        }

    result = {
        "reads": number,
        "scale": options.scale,
        "simulation_seconds": made,
        "bases_compared": bases,
        "bases_that_differ": differ,
        "bytes": size,
    }
    for side, steps in runs.items():
        result[side] = {
            step: {
                "seconds": [run["seconds"] for run in found],
                "peak_mb": max(run["peak_mb"] for run in found),
            }
            for step, found in steps.items()
        }
    medians = {
        side: {step: statistics.median(found["seconds"]) for step, found in result[side].items()}
        for side in runs
    }
    total = {side: sum(steps.values()) for side, steps in medians.items()}
    result |= {"median_seconds": total, "ratio": total["bedtools"] / total["here"], "aim": AIM, "must": MUST}
    print(f"{number:,} reads ({options.scale} scale); {bases:,} bases compared, {differ:,} differ\n")
    print(f"{'':<24}{'seconds':>10}{'peak memory':>14}")
    for side, steps in medians.items():
        for step, seconds in steps.items():
            print(f"{side + ' ' + step:<24}{seconds:>10.1f}{result[side][step]['peak_mb']:>11.0f} MB")
    print(
        f"\nbedtools and the rest take {result['ratio']:.1f} times as long as here (aim {AIM}, must {MUST})"
    )
    if options.out:
        from chromoformer.provenance import write_json

        write_json(options.out, result | about())
    if differ:
        sys.exit("the two sides differ")


if __name__ == "__main__":
    main()
