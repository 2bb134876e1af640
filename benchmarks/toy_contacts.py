"""Compare measured, averaged, predicted and no contacts on several toy epigenomes, separately and together.

    python benchmarks/toy_contacts.py OUT [--seeds 1 2 3]

Writes benchmarks/results/toy.contacts.json. Complete runs in OUT are kept. Takes two minutes per seed on
one core.
"""

import argparse
import json
from pathlib import Path

import pandas as pd
import papermill
import torch
import yaml

from chromoformer.data.build import build_store
from chromoformer.experiments.comparison import differences, mean_scores
from chromoformer.provenance import Stopwatch, code_version, machine, versions, write_json
from chromoformer.simulate.epigenome import simulate
from chromoformer.studies.execution import own_kernel

ROOT = Path(__file__).resolve().parents[1]


def analysed(out: Path, seed: int) -> dict:
    "The notebook's metrics on the toy epigenome of a seed."
    study = yaml.safe_load((ROOT / "workflow" / "studies" / "toy.yaml").read_text())
    toy, entry = out / "toy", study["analyses"]["contacts"]
    if not toy.exists():
        simulate(
            toy, study["simulate"]["genes"], seed, cell_types=["cellA", "cellB"], hic=False, progress=False
        )
    if not (out / "cellA.h5").exists():
        build_store(toy / "cellA.yaml", out / "cellA.h5", progress=False)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out, watch = arguments.out.resolve(), Stopwatch()
    found, tables = {}, []
    for number, seed in enumerate(arguments.seeds):
        found[seed] = analysed(out / f"seed{seed}", seed)
        table = pd.read_parquet(out / f"seed{seed}" / "predictions.parquet")
        tables.append(
            table.assign(gene_id=table["gene_id"] + f" of seed {seed}", fold=table["fold"] + 10 * number)
        )  # folds of different epigenomes are different folds
    together = pd.concat(tables, ignore_index=True)
    changes = pd.concat(
        [
            differences(together, "classification", reference).assign(reference=reference)
            for reference in ("none", "measured")
        ]
    )
    write_json(
        ROOT / "benchmarks" / "results" / "toy.contacts.json",
        {
            "what": "contacts of toy epigenomes; means over folds and epigenomes",
            "seeds": arguments.seeds,
            "means": mean_scores(together, "classification").query("metric == 'auc'").to_dict("records"),
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
    print(changes.round(4).to_string(index=False))


if __name__ == "__main__":
    main()
