"""Measure how well whole-gene networks predict as marks go missing, next to trees trained on the same marks.

    python benchmarks/lacking_marks.py DATA OUT [--seeds 3] [--subsets 3]

DATA and OUT are those of against_trees.py, whose stores and features are used. Networks and trees are trained
on the three cell lines with fold 1 held out, and predict its genes. One network was trained with marks hidden
(whole-gene-lacking, nothing about it was chosen on these data); the other was not (whole-gene-joint, its
lacking marks are set to 0). Trees are trained for each set of marks. Finished parts in OUT are
kept. Takes about an hour on one core.
"""

import argparse
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _gm12878 import RESULTS
from _measure import about
from against_trees import CELLS, features_of, prepare, store_of, table_of

from chromoformer.baselines.gene_features import whole_gene_trees
from chromoformer.data.batches import GeneDataset, loader
from chromoformer.metrics import MAIN_METRIC, resampled
from chromoformer.model import checkpoint
from chromoformer.model.network import Chromoformer
from chromoformer.provenance import write_json
from chromoformer.training.fit import fit
from chromoformer.training.models import dataset_for
from chromoformer.training.recipe import network_and_recipe

FOLD = 1
KEPT = RESULTS / "lacking_marks.json"
TASKS = ("classification", "regression")


def subsets_of(marks: tuple[str, ...], number: int) -> list[tuple[str, ...]]:
    "Return all marks, some random sets of each smaller size, and each mark alone."
    random = np.random.default_rng(0)
    chosen = [marks]
    for size in range(len(marks) - 1, 1, -1):
        every = list(itertools.combinations(marks, size))
        rows = sorted(random.choice(len(every), min(number, len(every)), replace=False))
        chosen += [every[row] for row in rows]
    return chosen + [(mark,) for mark in marks]


def scores_of(table: pd.DataFrame, logit: np.ndarray, value: np.ndarray) -> dict[str, float]:
    "Return AUC and Pearson r."
    targets = {"classification": table["label"], "regression": table["expression"]}
    found = {}
    for task, score in zip(TASKS, (logit, value)):
        metric = MAIN_METRIC[task]
        target = targets[task].to_numpy(float)
        found[metric] = float(resampled(target, score, task, draws=0, only=metric)[metric][0])
    return found


def network_scores(run: Path, out: str, cell: str, marks: tuple[str, ...]) -> dict[str, float]:
    "Predict the held-out genes of a cell line from some marks."
    model = checkpoint.load(run).eval()
    store = store_of(out, cell)
    rows = np.flatnonzero(store.genes["fold"] == FOLD)
    lost = torch.nan if model.config.lacking else 0.0
    factor = torch.tensor([1.0 if mark in marks else lost for mark in store.channels])
    logits, values = [], []
    for batch in loader(dataset_of_cell(out, cell), rows, 256):
        part = batch.scaled(factor.expand(len(batch), -1))
        with torch.inference_mode():
            model.config = replace(model.config, task="classification")
            logits.append(model(part).diff(dim=1)[:, 0])
            model.config = replace(model.config, task="regression")
            values.append(model(part)[:, 0])
    return scores_of(table_of(out, cell, rows), torch.cat(logits).numpy(), torch.cat(values).numpy())


@cache
def dataset_of_cell(out: str, cell: str) -> GeneDataset:
    "Return the genes of a cell line in bins of 500 bp."
    store = store_of(out, cell)
    config, _ = network_and_recipe(store, "whole-gene-joint", "whole-gene-joint")
    return dataset_for(Chromoformer(config), store, "cpu")


def tree_scores(out: str, marks: tuple[str, ...]) -> dict[str, dict[str, float]]:
    "Train trees on some marks of all cell lines, and predict the held-out genes of each."
    every = store_of(out, CELLS[0]).channels
    per_mark = features_of(out, CELLS[0], False).shape[1] // len(every)
    columns = np.concatenate([np.arange(per_mark) + per_mark * every.index(mark) for mark in marks])
    genes = {cell: store_of(out, cell).genes for cell in CELLS}
    training = {cell: np.flatnonzero(genes[cell]["fold"] != FOLD) for cell in CELLS}
    tables = {cell: table_of(out, cell, rows) for cell, rows in training.items()}
    inputs = np.concatenate([features_of(out, cell, False)[training[cell]][:, columns] for cell in CELLS])
    known = pd.concat(tables.values())
    scores = {}
    for task, column in zip(TASKS, ("label", "expression")):
        model = whole_gene_trees(task, 0).fit(inputs, known[column])
        for cell in CELLS:
            rows = np.flatnonzero(genes[cell]["fold"] == FOLD)
            judged = features_of(out, cell, False)[rows][:, columns]
            predicted = model.decision_function(judged) if task == TASKS[0] else model.predict(judged)
            scores.setdefault(cell, []).append(predicted)
    return {
        cell: scores_of(table_of(out, cell, np.flatnonzero(genes[cell]["fold"] == FOLD)), *both)
        for cell, both in scores.items()
    }


def of_cells(run: Path, out: str, marks: tuple[str, ...]) -> dict[str, dict[str, float]]:
    "Predict the held-out genes of all cell lines with a network."
    return {cell: network_scores(run, out, cell, marks) for cell in CELLS}


def kept(path: Path, make: Callable, *arguments) -> dict:
    "Return a result that is kept in a file, made if it is not there."
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, make(*arguments))
    return json.loads(path.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--subsets", type=int, default=3, help="random sets of marks of each size")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    prepare(arguments.data, arguments.out)
    out = str(arguments.out.resolve())
    stores = [store_of(out, cell) for cell in CELLS]
    runs = []
    for name in ("whole-gene-lacking", "whole-gene-joint"):
        config, recipe = network_and_recipe(stores[0], name, name)
        for seed in range(arguments.seeds):
            run = arguments.out / "lacking" / name / f"seed{seed}"
            fit(stores, run, FOLD, config, recipe, seed=seed, measure=False, keep=True, progress=False)
            runs.append((name, seed, run))
    rows = []
    for marks in subsets_of(stores[0].channels, arguments.subsets):
        part = arguments.out / "lacking" / "scores" / "+".join(marks)
        found = {"trees": kept(part / "trees.json", tree_scores, out, marks)}
        for name, seed, run in runs:
            found[f"{name} {seed}"] = kept(part / f"{name}{seed}.json", of_cells, run, out, marks)
        for model, by_cell in found.items():
            rows += [
                {"marks": list(marks), "model": model, "cell": cell, **scores}
                for cell, scores in by_cell.items()
            ]
        print(len(marks), *marks, json.dumps(found), flush=True)
    write_json(
        KEPT,
        {
            "what": "networks and trees of three cell lines as marks go missing, fold 1 held out",
            "scores": rows,
            "seeds": arguments.seeds,
            "fold": FOLD,
            **about(),
        },
    )


if __name__ == "__main__":
    main()
