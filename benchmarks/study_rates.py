"""Derive the rates of `chromoformer plan` from the kept study of three cell lines: one job of each kind.

    chromoformer run workflow/studies/cells.yaml --cores 2
    python benchmarks/cells.py runs/cells
    python benchmarks/study_rates.py [--memory runs/short]

Reads benchmarks/results/cells.*.json and writes benchmarks/results/study_rates.json. A rate is the mean over
cell types and tasks: seconds of computing on one core, bytes on the disk, and the peak memory. Where only
the elapsed seconds were kept, these are taken. Kinds that are not kept have the rate of earlier
measurements, as `source` says; where bytes were not kept, the earlier ones are scaled. `--memory` names a
study of these cell types whose jobs tell the peak memory, for example of one fold and one epoch.
"""

import argparse
import json
from math import prod
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace

import yaml
from _gm12878 import RESULTS

from chromoformer.provenance import read_record, write_json
from chromoformer.studies.planning import _network_size, amounts_of, models_of
from chromoformer.training.recipe import network_and_recipe

ROOT = Path(__file__).resolve().parents[1]
RATES = RESULTS / "study_rates.json"
STUDY = ROOT / "workflow" / "studies" / "cells.yaml"


def entries_of(kept: dict) -> list[dict]:
    "Return what is kept of an analysis for each cell type and task."
    return [entry for tasks in kept["cells"].values() for entry in tasks.values()]


def jobs_of(entry: dict) -> int:
    "Return the number of jobs of an entry that does not say it: training has one for each fold."
    return len(entry["metrics"]["genes"]) if "fold" in entry["parameters"] else 1


def rate(kept: dict, notebook: Path, earlier: dict, genes: int, epochs: int) -> dict:
    "Return the rate of a kind from its kept result, or from its earlier rate where a number is missing."
    entries = entries_of(kept)
    jobs = [entry.get("jobs") or jobs_of(entry) for entry in entries]
    seconds = fmean(entry.get("cpu_seconds", entry["seconds"]) / n for entry, n in zip(entries, jobs))
    measured = [
        (entry["bytes"] / n, entry["peak_memory"]) for entry, n in zip(entries, jobs) if "bytes" in entry
    ]
    parameters = entries[-1]["parameters"]
    job = SimpleNamespace(notebook=notebook, parameters=parameters)
    found = earlier | {
        "seconds": round(seconds, 2),
        "genes": genes,
        "overhead": min(earlier.get("overhead", 0.0), seconds),
        "models": models_of(parameters),
        "amounts": amounts_of(job),
        "epochs": parameters.get("recipe", {}).get("epochs", epochs),
        "network_size": _network_size(network_and_recipe(None, parameters.get("network"))[0]),
        "trains": any(entry.get("trains", earlier.get("trains", False)) for entry in entries),
        "source": f"{genes:,} genes, {kept['machine']['processor']}",
    }
    if measured:
        sizes, memories = zip(*measured)
        found |= {"bytes": fmean(sizes), "memory": max(memories)}
    elif "bytes" in earlier:  # of another number of genes, folds or trainings
        more = found["models"] / earlier["models"]
        more *= prod(found["amounts"].get(key, n) / n for key, n in earlier.get("amounts", {}).items())
        found["bytes"] = earlier["bytes"] * more * (1 if found["trains"] else genes / earlier["genes"])
    else:
        found["bytes"] = 0.0
    return found


def memory_of(study: Path) -> dict[str, int]:
    "Return the peak memory of each kind of job; it does not depend on the number of epochs."
    found: dict[str, int] = {}
    for file in sorted(study.rglob("*provenance.json")):
        record = read_record(file)
        if "job" in record and record.get("peak_memory"):
            kind = record["job"]["kind"]
            found[kind] = max(found.get(kind, 0), record["peak_memory"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memory", type=Path, help="finished study of these cell types, of any length")
    options = parser.parse_args()
    earlier = json.loads(RATES.read_text())
    study = yaml.safe_load(STUDY.read_text())
    train = json.loads((RESULTS / "cells.train.json").read_text())
    genes = sum(entries_of(train)[0]["metrics"]["genes"].values())
    kinds = dict(earlier["kinds"])
    for name, asked in study["analyses"].items():
        file = RESULTS / f"cells.{name}.json"
        notebook = (asked or {}).get("notebook", name)
        known = kinds.get(name) or kinds.get(notebook) or {}
        if file.exists():
            path = ROOT / "nbs" / "analyses" / f"{notebook}.ipynb"
            epochs = study["recipe"]["epochs"]
            kinds[name] = rate(json.loads(file.read_text()), path, known, genes, epochs)
    stores = json.loads((RESULTS / "cells.study.json").read_text()).get("stores")
    if stores:
        memory = stores.get("memory") or kinds.get("stores", {}).get("memory", 0)
        kinds["stores"] = stores | {
            "memory": memory,
            "genes": genes,
            "overhead": 0.0,
            "source": kinds["train"]["source"],
        }
    for kind, memory in memory_of(options.memory).items() if options.memory else ():
        kinds[kind] = kinds.get(kind, {}) | {"memory": memory}
    kinds = {kind: found for kind, found in kinds.items() if "seconds" in found}
    about = {name: train[name] for name in ("machine", "versions")}
    what = "seconds of computing on one core, bytes on disk and bytes of memory of one job of each kind"
    write_json(RATES, {"what": what, "kinds": kinds} | about)
    print(f"{'':<16}{'s':>9}{'MB':>9}{'memory MB':>11}  source")
    for kind, found in kinds.items():
        memory = found.get("memory", 0) / 1e6
        print(
            f"{kind:<16}{found['seconds']:9.0f}{found['bytes'] / 1e6:9.1f}{memory:11.0f}  {found['source']}"
        )


if __name__ == "__main__":
    main()
