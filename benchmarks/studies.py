"""Measure what the study engine costs besides the jobs: planning, and a run in which nothing is to do.

    python benchmarks/studies.py OUT [--earlier CHECKOUT]

Plans studies of 10, 100 and 1,000 cell types (four folds, two tasks), with `chromoformer plan` and with a dry
run of plain Snakemake, plans the study `paper`, and repeats a finished study with the jobs of the toy study,
each as short as possible. With an earlier checkout, both versions plan and repeat in turns. OUT keeps the
finished studies. Takes about half an hour.

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
SHORT = {  # parameters that make the toy study's jobs short
    "benchmark": {"models": ["gradient-boosted trees"], "seeds": 1},
    "window": {"widths": [4000], "reference": 4000, "seeds": 1},
    "ablation": {"groups": ["distal"], "seeds": 1},
    "marks": {"sizes": [1], "rounds": 5, "full_rounds": 0, "seeds": 1, "held_out": [1]},
    "contacts": {"seeds": 1, "held_out": [1]},
}
RUN = "from chromoformer.cli import main; main()"


def command(checkout: Path, *arguments: str | Path) -> dict:
    "Run `chromoformer` of a checkout; return seconds and peak memory."
    took = measured([sys.executable, "-c", RUN, *arguments], checkout, PYTHONPATH=str(checkout))
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


def short_study(checkout: Path, out: Path) -> Path:
    "Run the toy study of a checkout with short jobs, unless it is finished; return its file."
    study = yaml.safe_load((checkout / "workflow" / "studies" / "toy.yaml").read_text())
    study |= {"name": "short", "out": str(out / "study"), "simulate": {"genes": 120, "seed": 0}}
    study["recipe"]["epochs"] = 1
    for name, analysis in study["analyses"].items():
        analysis.pop("recipe", None)
        if name in SHORT:
            analysis["parameters"] = analysis.get("parameters", {}) | SHORT[name]
    file = out / "short.yaml"
    if not file.exists():
        out.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(study, sort_keys=False)
        file.write_text(text)
    command(checkout, "run", file, "--cores", "2")
    return file


def engines(options: argparse.Namespace) -> dict:
    "Measure planning `paper` and repeating a finished study, for this version and an earlier one in turns."
    checkouts = {"now": ROOT} | ({"earlier": options.earlier.resolve()} if options.earlier else {})
    studies = {name: short_study(place, options.out.resolve() / name) for name, place in checkouts.items()}
    taken: dict = {}
    for _ in range(options.runs):
        for name, checkout in checkouts.items():
            found = taken.setdefault(name, {"plan paper": [], "nothing to do": []})
            paper = checkout / "workflow" / "studies" / "paper.yaml"
            found["plan paper"].append(command(checkout, "plan", paper))
            found["nothing to do"].append(command(checkout, "run", studies[name], "--cores", "2"))
    return {name: {what: median(runs) for what, runs in found.items()} for name, found in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for the finished studies")
    parser.add_argument("--earlier", type=Path, help="a checkout of an earlier version")
    parser.add_argument("--runs", type=int, default=3, help="runs of each; medians are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {"large studies": large_studies(Path(folder), options.runs), "engines": engines(options)}
    print(found["engines"])
    write_json(RESULTS / "studies.json", found | about())


if __name__ == "__main__":
    main()
