"""Measure what the study engine costs besides the jobs: planning, and a run in which nothing is to do.

    python benchmarks/studies.py --toy workflow/studies/toy.yaml runs/toy
    python benchmarks/studies.py --toy STUDY FOLDER --earlier CHECKOUT STUDY FOLDER

Plans studies of 10, 100 and 1,000 cell types (four folds, two tasks), with `chromoformer plan` and with a dry
run of plain Snakemake, plans the study `paper`, and repeats a finished toy study. With an earlier checkout
and a toy study that it finished, both versions plan `paper` and repeat their study, in turns.

Writes benchmarks/results/studies.json.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import yaml
from _gm12878 import RESULTS
from _measure import about, measured

from chromoformer.provenance import write_json
from chromoformer.simulate.epigenome import simulate

ROOT = Path(__file__).resolve().parents[1]
CELL_TYPES = (10, 100, 1000)
RUN = "from chromoformer.cli import main; main()"


def command(checkout: Path, *arguments: str | Path) -> dict:
    "Run `chromoformer` of a checkout; return seconds and peak memory."
    took = measured([sys.executable, "-c", RUN, *arguments], PYTHONPATH=str(checkout))
    return {name: took[name] for name in ("seconds", "peak_mb")}


def median(runs: list[dict]) -> dict:
    "Return the medians of several runs."
    return {
        "seconds": statistics.median(run["seconds"] for run in runs),
        "peak_mb": max(run["peak_mb"] for run in runs),
        "runs": len(runs),
    }


def large_studies(folder: Path, runs: int) -> list[dict]:
    "Measure how planning grows with the number of cell types."
    simulate(folder / "toy", genes=40, cell_types=["cellA"], progress=False)
    rows = []
    for number in CELL_TYPES:
        study = folder / f"cells{number}.yaml"
        content = {
            "name": study.stem,
            "out": str(folder / study.stem),
            "cell_types": {f"cell{n}": "toy/cellA.yaml" for n in range(number)},
            "folds": [1, 2, 3, 4],
            "tasks": ["classification", "regression"],
            "analyses": {"train": {}},
        }
        study.write_text(yaml.safe_dump(content, sort_keys=False))
        snakemake = [sys.executable, "-m", "snakemake", "-s", ROOT / "workflow" / "Snakefile"]
        snakemake += ["--configfile", study, "--directory", folder, "--cores", 2, "-n", "-q", "all"]
        rows.append(
            {
                "cell_types": number,
                "jobs": number * 9,
                "plan": median([command(ROOT, "plan", study) for _ in range(runs)]),
                "snakemake, dry run": median([measured(snakemake) for _ in range(runs)]),
            }
        )
        print(rows[-1], flush=True)
    return rows


def versions(options: argparse.Namespace) -> dict:
    "Measure planning `paper` and a finished toy study, for this version and an earlier one in turns."
    checkouts = {"now": (ROOT, *(options.toy or (None, None)))}
    if options.earlier:
        checkouts["earlier"] = options.earlier
    taken: dict = {}
    for _ in range(options.runs):
        for name, (checkout, study, folder) in checkouts.items():
            found = taken.setdefault(name, {"plan paper": [], "toy, nothing to do": []})
            found["plan paper"].append(
                command(checkout, "plan", checkout / "workflow" / "studies" / "paper.yaml")
            )
            if study:
                again = ("run", study, "--out", folder, "--cores", "2")
                found["toy, nothing to do"].append(command(checkout, *again))
    return {
        name: {what: median(runs) for what, runs in found.items() if runs} for name, found in taken.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--toy", type=Path, nargs=2, help="a study file and the folder where it finished")
    parser.add_argument("--earlier", type=Path, nargs=3, help="an earlier checkout, its study and its folder")
    parser.add_argument("--runs", type=int, default=3, help="runs of each; medians are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {"large studies": large_studies(Path(folder), options.runs), "versions": versions(options)}
    print(found["versions"])
    write_json(RESULTS / "studies.json", found | about())


if __name__ == "__main__":
    main()
