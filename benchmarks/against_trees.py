"""Compare networks on whole genes with trees: marks alone, with prior expression, and in unseen cell types.

    python benchmarks/against_trees.py DATA OUT [--seeds 3] [--processes 2] [--only "other cells" ...]
    python benchmarks/against_trees.py DATA OUT --summarise

DATA holds the files that data_manifests/encode_*.yaml name (`chromoformer fetch MANIFEST --data DATA`). Each
held-out fold is predicted once. Epochs of networks, settings of trees, and weights of the stacked predictor
are chosen on the next fold, with both folds left out of training; epochs once for each fold, with networks of
all cell lines. The two numbers of epochs were proposed after trials on K562, fold 2 (trained on folds 3 and
4). In a cell type that neither has seen, networks and trees have equal weights.

Finished jobs in OUT are kept, so the script may be interrupted; choices that are in the results are not made
again. Everything takes about nine hours on two cores. --summarise writes
benchmarks/results/against_trees.json from the jobs that are done; comparisons that OUT does not hold stay as
they are in this file.
"""

import argparse
import json
import multiprocessing
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _gm12878 import RESULTS, ROOT
from _measure import about

from chromoformer.baselines.gene_features import TREES, features_of_manifest, whole_gene_trees
from chromoformer.data.build import build_store
from chromoformer.data.expression import PRIOR
from chromoformer.data.manifest import read_manifest
from chromoformer.data.store import Store
from chromoformer.experiments.comparison import differences, fold_scores
from chromoformer.metrics import MAIN_METRIC, resampled
from chromoformer.model import checkpoint
from chromoformer.model.network import Chromoformer
from chromoformer.provenance import atomic_path, write_json
from chromoformer.training.fit import fit
from chromoformer.training.models import dataset_for
from chromoformer.training.predict import outputs_of
from chromoformer.training.recipe import RECIPES, network_and_recipe

CELLS = ("GM12878", "HeLa-S3", "K562")
FOLDS = (1, 2, 3, 4)
KEPT = RESULTS / "against_trees.json"
EPOCHS = (6, 10)  # of networks
LEAVES = (10, 20)  # of trees
MOST_TREES = 500
EQUAL = 0.5  # weight of trees in a cell type that neither has seen
TASKS = ("classification", "regression")
SCORE = {"classification": "logit", "regression": "value"}


@dataclass(frozen=True)
class Job:
    """One model: what it reads, which cell types it learns from, and which folds it leaves out.

    Attributes
    ----------
    kind : {"network", "trees", "prior"}
        The model; "prior" stands for trees that read prior expression only.
    trained_on : tuple of str
        Cell types.
    held_out : int
        The fold that is predicted.
    inner : int
        The fold that settings are chosen on; 0 for a final model, which is trained on it.
    setting : int
        Epochs of a network, leaves of trees. Final models read it from the jobs with an inner fold.
    seed : int
        Seed of the training.
    prior : bool
        Read prior expression next to the marks.
    """

    kind: str
    trained_on: tuple[str, ...]
    held_out: int
    inner: int = 0
    setting: int = 0
    seed: int = 0
    prior: bool = False

    @property
    def name(self) -> str:
        "Return the name of the file with the predictions."
        parts = [self.kind, "+".join(self.trained_on), f"fold{self.held_out}", f"inner{self.inner}"]
        parts += [f"setting{self.setting}", f"seed{self.seed}", *(["prior"] if self.prior else [])]
        return "_".join(parts)


def inner_fold(fold: int) -> int:
    "Return the fold on which settings for a held-out fold are chosen."
    return fold % len(FOLDS) + 1


@cache
def store_of(out: str, cell: str) -> Store:
    "Return the store of a cell line."
    return Store(Path(out) / f"{cell}.h5")


@cache
def dataset_of(out: str, prior: bool):
    "Return the genes of all cell lines, in bins of 500 bp."
    stores = [store_of(out, cell) for cell in CELLS]
    config, _ = settings_of(stores[0], EPOCHS[0], prior)
    return dataset_for(Chromoformer(config), stores, "cpu")


def settings_of(store: Store, epochs: int, prior: bool):
    "Return network and recipe."
    config, _ = network_and_recipe(store, "whole-gene-prior" if prior else "whole-gene-joint")
    return config, replace(RECIPES["whole-gene-joint"], epochs=epochs)


def table_of(out: str, cell: str, rows: np.ndarray) -> pd.DataFrame:
    "Return what is known of some genes of a cell line."
    genes = store_of(out, cell).genes.iloc[rows]
    known = genes[["gene_id", "chrom", "tss", "fold", "label"]].reset_index(drop=True)
    return known.assign(cell=cell, expression=np.log2(genes["expression"].to_numpy() + 1))


def network_predictions(job: Job, out: str, epochs: int) -> pd.DataFrame:
    "Train a network, and predict the fold that it is judged on in all cell lines."
    stores = [store_of(out, cell) for cell in job.trained_on]
    config, recipe = settings_of(stores[0], epochs, job.prior)
    held = [job.held_out] + ([job.inner] if job.inner else [])
    run = Path(out) / "runs" / job.name
    fit(stores, run, held, config, recipe, seed=job.seed, measure=False, keep=True, progress=False)
    model = checkpoint.load(run)
    data = dataset_of(out, job.prior)
    judged = data.genes["fold"].to_numpy() == (job.inner or job.held_out)
    tables = []
    for cell in CELLS:
        rows = np.flatnonzero(judged & (data.genes["store"] == cell).to_numpy())
        model.config = replace(model.config, task="classification")
        logits = outputs_of(model, data, rows)
        model.config = replace(model.config, task="regression")
        value = outputs_of(model, data, rows)[:, 0]
        within = rows - CELLS.index(cell) * len(store_of(out, cell).genes)
        tables.append(table_of(out, cell, within).assign(logit=logits[:, 1] - logits[:, 0], value=value))
    return pd.concat(tables, ignore_index=True)


@cache
def features_of(out: str, cell: str, prior: bool, marks: bool = True) -> np.ndarray:
    "Return the features that trees read."
    parts = []
    if marks:
        parts.append(pd.read_parquet(Path(out) / f"{cell}.features.parquet").to_numpy(np.float32))
    if prior:
        parts.append(store_of(out, cell).genes[PRIOR].to_numpy(np.float32))
    return np.hstack(parts)


def tree_predictions(job: Job, out: str, number: dict[str, int]) -> pd.DataFrame:
    "Fit trees, and predict the fold that they are judged on in all cell lines."
    held = {job.held_out, job.inner}
    marks = job.kind != "prior"
    inputs, targets = [], []
    for cell in job.trained_on:
        genes = store_of(out, cell).genes
        rows = ~genes["fold"].isin(held).to_numpy()
        inputs.append(features_of(out, cell, job.prior, marks)[rows])
        expression = np.log2(genes["expression"].to_numpy() + 1)
        targets.append(np.stack([genes["label"], expression], 1)[rows])
    inputs, targets = np.concatenate(inputs), np.concatenate(targets)
    judged = {
        cell: np.flatnonzero(store_of(out, cell).genes["fold"] == (job.inner or job.held_out))
        for cell in CELLS
    }
    tables = {cell: table_of(out, cell, rows) for cell, rows in judged.items()}
    for column, task in enumerate(TASKS):
        trees = number.get(task, MOST_TREES)
        changed = {**TREES, "max_leaf_nodes": number.get(f"leaves, {task}", job.setting), "max_iter": trees}
        model = whole_gene_trees(task, job.seed).set_params(**changed).fit(inputs, targets[:, column])
        scores = {
            cell: staged(model, features_of(out, cell, job.prior, marks)[rows], task)
            for cell, rows in judged.items()
        }
        best = number_of_trees(job, scores, tables, task) if job.inner else trees
        for cell in judged:
            columns = {SCORE[task]: scores[cell][best - 1], f"trees, {task}": best}
            tables[cell] = tables[cell].assign(**columns)
    return pd.concat(tables.values(), ignore_index=True)


def staged(model, inputs: np.ndarray, task: str) -> list[np.ndarray]:
    "Return the scores after each tree: logits or values."
    steps = model.staged_decision_function(inputs) if task == TASKS[0] else model.staged_predict(inputs)
    return [np.asarray(score).ravel() for score in steps]


def number_of_trees(job: Job, scores: dict[str, list[np.ndarray]], tables, task: str) -> int:
    "Return the number of trees, in steps of 25, that is best on the inner fold of the cell types trained on."
    numbers = range(100, MOST_TREES + 1, 25)

    def quality(trees: int) -> float:
        return float(
            np.mean([metric_of(tables[cell], scores[cell][trees - 1], task) for cell in job.trained_on])
        )

    return max(numbers, key=quality)


def metric_of(table: pd.DataFrame, score: np.ndarray, task: str) -> float:
    "Return the AUC or Pearson r of scores."
    target = table["label" if task == TASKS[0] else "expression"].to_numpy(float)
    metric = MAIN_METRIC[task]
    return float(resampled(target, np.asarray(score), task, draws=0, only=metric)[metric][0])


def chosen_settings(job: Job, out: str) -> dict[str, int]:
    """Return the settings that are best on the inner fold: epochs, or leaves and trees of each task.

    Epochs are tried once per fold, with networks that read the marks of all cell lines, and are judged in the
    cell lines of `job`.
    """
    source = source_of_choice(job)
    if (known := kept()["chosen"].get(source.name)) is not None:
        return known
    inner = replace(source, inner=inner_fold(job.held_out))
    tried = {}
    for setting in EPOCHS if job.kind == "network" else LEAVES:
        tried[setting] = predictions(replace(inner, setting=setting), out)
    scores = {
        setting: {
            task: np.mean(
                [
                    metric_of(part, part[SCORE[task]], task)
                    for cell, part in table.groupby("cell")
                    if cell in job.trained_on
                ]
            )
            for task in TASKS
        }
        for setting, table in tried.items()
    }
    if job.kind == "network":  # one network predicts both
        return {"epochs": max(tried, key=lambda setting: sum(scores[setting].values()))}
    chosen = {}
    for task in TASKS:
        best = max(tried, key=lambda setting: scores[setting][task])
        chosen[f"leaves, {task}"] = best
        chosen[task] = int(tried[best][f"trees, {task}"].iloc[0])
    return chosen


def source_of_choice(job: Job) -> Job:
    "Return the job whose settings a job takes: epochs are those of networks of all cell lines."
    source = replace(job, inner=0, setting=0, seed=0)
    return replace(source, trained_on=CELLS, prior=False) if job.kind == "network" else source


@cache
def kept() -> dict:
    "Return the results that are kept so far."
    return json.loads(KEPT.read_text()) if KEPT.exists() else {"chosen": {}, "results": {}, "made": {}}


def path_of(job: Job, out: str) -> Path:
    "Return the file of the predictions of a job."
    return Path(out) / "predictions" / f"{job.name}.parquet"


def predictions(job: Job, out: str) -> pd.DataFrame:
    "Return the predictions of a finished job."
    return pd.read_parquet(path_of(job, out))


def run(job: Job, out: str) -> str:
    "Run a job unless it is done."
    path = path_of(job, out)
    if path.exists():
        return ""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    chosen = {} if job.inner else chosen_settings(job, out)
    if job.kind == "network":
        table = network_predictions(job, out, chosen.get("epochs", job.setting))
    else:
        table = tree_predictions(job, out, chosen)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        table.to_parquet(partial)
    own = (
        table[table["cell"].isin(job.trained_on)]
        if len(job.trained_on) != 2
        else table[~table["cell"].isin(job.trained_on)]
    )
    scores = {
        cell: [round(metric_of(part, part[SCORE[task]], task), 4) for task in TASKS]
        for cell, part in own.groupby("cell")
    }
    return f"{job.name} {chosen} {json.dumps(scores)}"


SETS = {
    "three cells": [CELLS],
    "one cell": [(cell,) for cell in CELLS],
    "other cells": [tuple(other for other in CELLS if other != cell) for cell in CELLS],
}
COMPARISONS = [f"{name}{prior}" for name in SETS for prior in ("", ", prior")]


def of_comparison(name: str) -> tuple[list[tuple[str, ...]], bool]:
    "Return the sets of cell types that a comparison trains on, and whether it reads prior expression."
    cells, _, prior = name.partition(", ")
    return SETS[cells], bool(prior)


def jobs_of(comparisons: list[str], seeds: int, out: str) -> Iterator[list[Job]]:
    """Yield the jobs in order; those of one list do not depend on each other, but on earlier lists.

    Trees come before networks, and the first training of everything before the second.
    """
    inner, final = [], []
    references = {f"one cell{', prior' if of_comparison(name)[1] else ''}" for name in comparisons}
    wanted = [("trees", name) for name in sorted(references)]
    wanted += [("prior", name) for name in sorted(references) if of_comparison(name)[1]]
    wanted += [(kind, name) for kind in ("trees", "network") for name in comparisons]
    for kind, name in dict.fromkeys(wanted):
        sets, prior = of_comparison(name)
        jobs = [Job(kind, cells, fold, prior=prior) for fold in FOLDS for cells in sets]
        final += jobs
        if kind == "network" and name.startswith("other cells"):
            continue  # their weights are equal, and their epochs those of networks of all cell lines
        for job in jobs:
            known = kept()["chosen"].get(source_of_choice(job).name)
            if known and name not in comparisons:
                continue
            if kind == "network":
                choices = EPOCHS if job == source_of_choice(job) and not known else (0,)
            else:
                choices = LEAVES
            inner += [replace(job, inner=inner_fold(job.held_out), setting=choice) for choice in choices]
    yield [job for job in inner if job.setting]
    yield [replace(job, setting=chosen_settings(job, out)["epochs"]) for job in inner if not job.setting]
    for seed in range(seeds):
        yield [replace(job, seed=seed) for job in final]


def stacked(network: pd.DataFrame, trees: pd.DataFrame, weight: float, task: str) -> np.ndarray:
    "Return the weighted mean of the scores of networks and trees."
    return (1 - weight) * network[SCORE[task]].to_numpy() + weight * trees[SCORE[task]].to_numpy()


def weight_of(cells: tuple[str, ...], fold: int, prior: bool, task: str, out: str) -> float:
    "Return the weight of trees that is best on the inner fold, or the equal one in unseen cell types."
    if cells in SETS["other cells"]:
        return EQUAL
    best = {}
    for kind in ("network", "trees"):
        job = Job(kind, cells, fold, prior=prior)
        chosen = chosen_settings(job, out)
        setting = chosen["epochs"] if kind == "network" else chosen[f"leaves, {task}"]
        table = predictions(replace(job, inner=inner_fold(fold), setting=setting), out)
        best[kind] = table[table["cell"].isin(cells)]

    def score(weight: float) -> float:
        both = stacked(best["network"], best["trees"], weight, task)
        parts = best["network"].reset_index(drop=True).groupby("cell").indices.values()
        return float(np.mean([metric_of(best["network"].iloc[rows], both[rows], task) for rows in parts]))

    return max(np.round(np.arange(0, 1.01, 0.1), 1), key=score)


def compared(comparison: str, cell: str, task: str, out: str, seeds: int) -> dict:
    "Compare networks, trees and both in one cell line."
    sets, prior = of_comparison(comparison)
    others = comparison.startswith("other cells")
    (cells,) = [cells for cells in sets if (cell in cells) != others]
    rows, weights = [], {}

    def add(model: str, fold: int, seed: int, table: pd.DataFrame, score: np.ndarray) -> None:
        known = table[["gene_id", "chrom", "tss"]].assign(model=model, fold=fold, seed=seed, score=score)
        rows.append(known.assign(target=table["label" if task == TASKS[0] else "expression"].astype(float)))

    for fold in FOLDS:
        weights[fold] = weight_of(cells, fold, prior, task, out)
        for seed in range(seeds):
            tables = {}
            for kind in ("network", "trees"):
                table = predictions(Job(kind, cells, fold, seed=seed, prior=prior), out)
                tables[kind] = table[table["cell"] == cell].reset_index(drop=True)
                score = tables[kind][SCORE[task]].to_numpy()
                add(kind, fold, seed, tables[kind], score)
                add(f"{kind}, mean", fold, seed, tables[kind], score)
            both = stacked(tables["network"], tables["trees"], weights[fold], task)
            add("stacked, mean", fold, seed, tables["network"], both)
            of_cell_alone = {"trees of this cell": "trees", "trees on the prior alone": "prior"}
            for name, kind in of_cell_alone.items():
                own = Job(kind, (cell,), fold, seed=seed, prior=prior)
                if (cells != (cell,) or kind == "prior") and path_of(own, out).exists():
                    table = predictions(own, out)
                    table = table[table["cell"] == cell].reset_index(drop=True)
                    add(name, fold, seed, table, table[SCORE[task]].to_numpy())
                    add(f"{name}, mean", fold, seed, table, table[SCORE[task]].to_numpy())
    every = pd.concat(rows, ignore_index=True)
    means = [name for name in every["model"].unique() if name.endswith(", mean")]
    single = [name for name in every["model"].unique() if name.startswith("trees") and name not in means]
    references = {name: ["network"] for name in single}
    references |= {f"{name}, mean": ["network, mean", "stacked, mean"] for name in single}
    metric = MAIN_METRIC[task]
    scores = fold_scores(every, task, draws=0, ensembles=means)
    scores = scores[scores["metric"] == metric]
    return {
        "values": {model: float(part["value"].mean()) for model, part in scores.groupby("model")},
        "by_fold": {
            model: part.groupby("fold")["value"].mean().round(5).to_dict()
            for model, part in scores.groupby("model")
        },
        "differences": differences(every, task, references, 200, means).to_dict("records"),
        "weights_of_trees": {str(fold): float(weight) for fold, weight in weights.items()},
    }


def prepare(data: Path, out: Path) -> None:
    "Build the stores, and compute the features of trees."
    for cell in CELLS:
        manifest = read_manifest(ROOT / "data_manifests" / f"encode_{cell}.yaml", data=data)
        store, features = out / f"{cell}.h5", out / f"{cell}.features.parquet"
        build_store(manifest, store, keep=True, progress=False)
        if not features.exists():
            with tempfile.TemporaryDirectory() as folder, atomic_path(features) as partial:
                features_of_manifest(manifest, Store(store).genes, folder).to_parquet(partial)


def summarise(out: str, comparisons: list[str], seeds: int) -> None:
    "Write what the finished jobs show of some comparisons, next to what is kept of others."
    found, made = dict(kept()["results"]), dict(kept()["made"])
    for name in comparisons:
        sets, prior = of_comparison(name)
        wanted = [
            Job(kind, cells, fold, seed=seed, prior=prior)
            for kind in ("network", "trees")
            for cells in sets
            for fold in FOLDS
            for seed in range(seeds)
        ]
        if not all(path_of(job, out).exists() for job in wanted):
            print(f"not complete: {name}")
            continue
        found[name] = {
            cell: {task: compared(name, cell, task, out, seeds) for task in TASKS} for cell in CELLS
        }
        made[name] = {"seeds": seeds} | about()
        for cell, by_task in found[name].items():
            for result in by_task.values():
                print(name, cell, {k: round(v, 4) for k, v in result["values"].items()}, flush=True)
    choices = dict(kept()["chosen"])
    for path in sorted((Path(out) / "predictions").glob("*_inner0_*_seed0*.parquet")):
        kind, cells, fold, *rest = path.stem.split("_")
        job = Job(kind, tuple(cells.split("+")), int(fold.removeprefix("fold")), prior="prior" in rest)
        source = source_of_choice(job)
        choices[source.name] = chosen_settings(source, out)
    write_json(
        KEPT,
        {
            "what": "networks on whole genes and gradient-boosted trees, four folds, three cell lines",
            "results": found,
            "made": made,
            "chosen": choices,
            "grid": {
                "epochs": EPOCHS,
                "leaves": LEAVES,
                "trees": [100, MOST_TREES, 25],
                "weights": [0, 1, 0.1],
            },
            "recipe": asdict(RECIPES["whole-gene-joint"]),
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=COMPARISONS, default=COMPARISONS, metavar="COMPARISON")
    parser.add_argument("--summarise", action="store_true", help="only write the results")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    out = str(arguments.out.resolve())
    if not arguments.summarise:
        prepare(arguments.data, arguments.out)
        with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
            for jobs in jobs_of(arguments.only, arguments.seeds, out):
                for line in pool.imap(partial(run, out=out), jobs):
                    if line:
                        print(line, flush=True)
    summarise(out, arguments.only, arguments.seeds)


if __name__ == "__main__":
    main()
