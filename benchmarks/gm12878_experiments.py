"""CTCF, compartments and regulation on GM12878: four folds with the settings chosen before, the analysis notebooks, and their numbers in one JSON.

    python benchmarks/gm12878_experiments.py DATA OUT        # DATA holds what data_manifests/gm12878_10kb_local.ctcf.yaml names

What is complete in OUT is not done again. Half an hour on one core."""

import argparse
import json
from pathlib import Path

import papermill
import torch

from chromoformer.controls import settings_of
from chromoformer.data.build import build_store
from chromoformer.data.store import Store
from chromoformer.provenance import Stopwatch, code_state, machine, versions, write_json
from chromoformer.training import fit, network_and_recipe

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def trained_runs(store: Store, out: Path) -> list[Path]:
    "One classifier a fold, with the settings that were chosen with the fold out of sight."
    tuning, runs = json.loads((RESULTS / "gm12878.tuning.json").read_text()), []
    for chosen in (row for row in tuning["chosen"] if row["task"] == "classification"):
        setting, fold = tuning["grid"][chosen["setting"]], chosen["held_out"]
        network, recipe = network_and_recipe(store, setting["network"], setting["recipe"] | {"epochs": chosen["epochs"]})
        runs.append(out / f"fold{fold}")
        if not (runs[-1] / "metrics.json").exists():
            fit(store, runs[-1], fold, network, recipe, measure=False, progress=False)
    return runs


def analysed(name: str, out: Path, parameters: dict) -> dict:
    "The metrics of one notebook."
    if not (out / "metrics.json").exists():
        out.mkdir(parents=True, exist_ok=True)
        papermill.execute_notebook(ROOT / "nbs" / "analyses" / f"{name}.ipynb", out / "notebook.ipynb", parameters | {"out": str(out)},
                                   cwd=ROOT, progress_bar=False)  # fmt: skip
    return json.loads((out / "metrics.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data, out, watch = arguments.data.resolve(), arguments.out.resolve(), Stopwatch()
    manifest = ROOT / "data_manifests" / "gm12878_10kb_local.yaml"
    if not (out / "stores" / "GM12878.h5").exists():
        build_store(manifest, out / "stores" / "GM12878.h5", data=data, progress=False)
    store = Store(out / "stores" / "GM12878.h5")
    runs = trained_runs(store, out / "train")
    common = {"store": str(store.path), "cell_type": "GM12878", "runs": [str(run) for run in runs], "task": "classification"}
    described = common | {"manifest": str(manifest), "data": str(data)}
    cooler = {"cooler": str(data / "gm12878" / "GM12878.hic.2500kb.cool"), "balance": "KR"}
    found = {
        "ctcf": analysed("ctcf", out / "ctcf", described),
        "compartments": analysed("compartments", out / "compartments", described | cooler),
        "compartments, best of three components": analysed("compartments", out / "compartments_among3", described | cooler | {"among": 3, "runs": []}),
        "regulation": analysed("regulation", out / "regulation", described | {"gene_sets": [str(data / "genesets.symbols.gmt")]}),
    }
    trained = sum(json.loads(file.read_text())["seconds"] for file in out.glob("**/fold*/provenance.json"))
    write_json(RESULTS / "gm12878.experiments.json", {
        "what": "GM12878 in 10-kb bins: CTCF and compartments as channels, regulation of gene sets; classifiers, four folds, one seed",
        "found": {name: {key: value for key, value in metrics.items() if key != "inputs"} for name, metrics in found.items()},
        "inputs": store.inputs | {"CTCF": found["ctcf"]["inputs"]["CTCF"]}, "seed": settings_of(runs[0])["seed"],
        "versions": versions(), "machine": machine(), "code": code_state(), "seconds": {"of all trainings": round(trained), "of the last pass": round(watch.seconds)},
    })  # fmt: skip


if __name__ == "__main__":
    main()
