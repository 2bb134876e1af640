"""Compare measured, averaged, predicted and no contacts on several toy epigenomes, separately and together.

    python benchmarks/toy_contacts.py OUT [--seeds 1 2 3]

--seeds are those of the epigenomes; the notebook trains every model several times on each. Folds of different
epigenomes are different folds. Writes benchmarks/results/toy.contacts.json. Complete runs in OUT are kept.
Takes a few minutes per epigenome on one core.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import papermill
import torch
import yaml

from chromoformer.data.build import build_store
from chromoformer.experiments.comparison import comparison_table, differences, mean_scores
from chromoformer.provenance import Stopwatch, code_version, machine, versions, write_json
from chromoformer.simulate.epigenome import simulate
from chromoformer.studies.execution import own_kernel

ROOT = Path(__file__).resolve().parents[1]


def analysed(out: Path, seed: int) -> dict:
    "Return the notebook's metrics on the toy epigenome of a seed."
    study = yaml.safe_load((ROOT / "workflow" / "studies" / "toy.yaml").read_text())
    toy, entry = out / "toy", study["analyses"]["contacts"]
    if not toy.exists():
        simulate(
            toy, study["simulate"]["genes"], seed, cell_types=["cellA", "cellB"], hic=False, progress=False
        )
    build_store(toy / "cellA.yaml", out / "cellA.h5", keep=True, progress=False)
    if not (out / "metrics.json").exists():
        parameters = {
            "out": str(out),
            "store": str(out / "cellA.h5"),
            "manifest": str(toy / "cellA.yaml"),
            "truth": str(toy / "truth"),
            "manifests": {cell: str(toy / f"{cell}.yaml") for cell in ("cellA", "cellB")},
            "network": study["network"],
            "recipe": study["recipe"] | entry["recipe"],
        }
        with own_kernel():
            papermill.execute_notebook(
                ROOT / "nbs" / "analyses" / "contacts.ipynb",
                out / "notebook.ipynb",
                parameters | entry["parameters"],
                cwd=ROOT,
                progress_bar=False,
            )
    return json.loads((out / "metrics.json").read_text())


def together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    "Combine the predictions of several epigenomes; their folds and genes are different folds and genes."
    combined = []
    folds = 0
    for number, table in enumerate(tables):
        names, fold = np.unique(table["fold"], return_inverse=True)
        genes = table["gene_id"].astype(str) + f" of epigenome {number + 1}"
        combined.append(table.assign(fold=folds + fold + 1, gene_id=genes))
        folds += len(names)
    return pd.concat(combined, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out, watch = arguments.out.resolve(), Stopwatch()
    found = {seed: analysed(out / f"seed{seed}", seed) for seed in arguments.seeds}
    predictions = together(
        [pd.read_parquet(out / f"seed{seed}" / "predictions.parquet") for seed in arguments.seeds]
    )
    changes = differences(predictions, "classification", ["none", "measured"])
    write_json(
        ROOT / "benchmarks" / "results" / "toy.contacts.json",
        {
            "what": "contacts of toy epigenomes; means over folds and epigenomes",
            "seeds": arguments.seeds,
            "means": mean_scores(predictions, "classification").query("metric == 'auc'").to_dict("records"),
            "differences": changes.to_dict("records"),
            "of each seed": {
                seed: {
                    key: value
                    for key, value in metrics.items()
                    if isinstance(value, dict) and "value" in value
                }
                for seed, metrics in found.items()
            },
            "recipe": found[arguments.seeds[0]]["recipe"],
            "versions": versions(),
            "machine": machine(),
            "code": code_version(),
            "seconds": {"of the last pass": round(watch.seconds)},
        },
    )
    print(comparison_table(changes).to_string(index=False))


if __name__ == "__main__":
    main()
