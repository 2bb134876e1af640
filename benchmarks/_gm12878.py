"""Open the store, train networks with the chosen settings and run a notebook, for the scripts on GM12878."""

import json
from pathlib import Path

import papermill

from chromoformer.data.build import build_store
from chromoformer.data.store import Store
from chromoformer.studies.execution import own_kernel
from chromoformer.training.fit import fit
from chromoformer.training.recipe import network_and_recipe

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MANIFEST = ROOT / "data_manifests" / "gm12878_10kb_local.yaml"


def opened(data: Path, path: Path) -> Store:
    "Return the store, built if it is not there."
    build_store(MANIFEST, path, data=data, keep=True, progress=False)
    return Store(path)


def trained_runs(
    store: Store, out: Path, task: str = "classification", folds: tuple[int, ...] = (1, 2, 3, 4)
) -> list[Path]:
    "Train one network per fold with the settings chosen without that fold; keep complete runs. The notebooks"
    "train the other seeds alike."
    tuning, runs = json.loads((RESULTS / "gm12878.tuning.json").read_text()), []
    for chosen in (row for row in tuning["chosen"] if row["task"] == task and row["held_out"] in folds):
        setting, fold = tuning["grid"][chosen["setting"]], chosen["held_out"]
        recipe = setting["recipe"] | {"epochs": chosen["epochs"]}
        runs.append(out / f"fold{fold}")
        fit(
            store,
            runs[-1],
            fold,
            *network_and_recipe(store, {"task": task} | setting["network"], recipe),
            measure=False,
            keep=True,
            progress=False,
        )
    return runs


def analysed(name: str, out: Path, parameters: dict, cell_type: str = "GM12878") -> dict:
    "Return the metrics of one analysis notebook; complete ones are not computed again."
    if not (out / "metrics.json").exists():
        out.mkdir(parents=True, exist_ok=True)
        with own_kernel():
            papermill.execute_notebook(
                ROOT / "nbs" / "analyses" / f"{name}.ipynb",
                out / "notebook.ipynb",
                parameters | {"out": str(out), "cell_type": cell_type},
                cwd=ROOT,
                progress_bar=False,
            )
    return json.loads((out / "metrics.json").read_text())
