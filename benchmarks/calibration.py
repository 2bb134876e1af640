"""Measure calibration error and interval coverage of joint networks on whole genes, on held-out genes.

    python benchmarks/calibration.py STORE OUT [--folds 1 2 3 4] [--seeds 3] [--others GM12878.h5 HeLa-S3.h5]

Trains members with and without calibration for each fold, so that the accuracy that the calibration genes
cost is measured, too. Complete members in OUT are kept. Numbers of other stores are of genes of the held-out
fold, in cell types that were not trained on. With 10 epochs, one member takes about 4 minutes on two cores.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from _measure import about

from chromoformer.data.store import Store
from chromoformer.experiments.comparison import differences, held_out_predictions
from chromoformer.metrics import blocks_of, calibration, calibration_error, evaluate_scores, share_interval
from chromoformer.provenance import write_json
from chromoformer.training.calibration import METHODS, Intervals, calibrate, read_calibration
from chromoformer.training.members import fit_members
from chromoformer.training.predict import predict
from chromoformer.training.recipe import RECIPES, network_and_recipe
from chromoformer.training.run_folder import read_predictions

LEVELS = (0.5, 0.8, 0.9, 0.95)
TASKS = ("classification", "regression")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--folds", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--network", default="whole-gene-joint")
    parser.add_argument("--others", type=Path, nargs="*", default=[])
    parser.add_argument("--only-calibrated", action="store_true", help="do not train on all genes as well")
    parser.add_argument("--result", type=Path, default=None)
    arguments = parser.parse_args()
    store = Store(arguments.store)
    network, recipe = network_and_recipe(store, arguments.network, arguments.network)
    recipe = replace(recipe, epochs=arguments.epochs or RECIPES[arguments.network].epochs)
    kinds = {"calibrated": "platt"} | ({} if arguments.only_calibrated else {"all genes": None})
    runs = {
        kind: [
            trained(
                store,
                arguments.out / kind.replace(" ", "_") / f"fold{fold}",
                fold,
                network,
                recipe,
                method,
                arguments.seeds,
            )
            for fold in arguments.folds
        ]
        for kind, method in kinds.items()
    }
    tables = {task: [read_predictions(run, task) for run in runs["calibrated"]] for task in TASKS}
    found = {
        "store": store.name,
        "folds": arguments.folds,
        "seeds": arguments.seeds,
        "epochs": recipe.epochs,
        "calibration_genes": [read_calibration(run).probabilities.genes for run in runs["calibrated"]],
        "probabilities": probabilities(runs["calibrated"], tables["classification"]),
        "intervals": intervals(runs["calibrated"], tables["regression"]),
        "cost": {task: cost(runs, task) for task in TASKS} if "all genes" in runs else None,
        "others": {other.stem: elsewhere(runs["calibrated"], other) for other in arguments.others},
    }
    result = arguments.result or arguments.out / "calibration.json"
    write_json(result, found | about())
    for name in ("probabilities", "intervals", "cost", "others"):
        print(name, found[name], sep="\n  ")
    print(result)


def trained(store, out, fold, network, recipe, method, seeds) -> Path:
    "Train the members of a fold, or keep those that are complete."
    fit_members(
        store, out, fold, network, recipe, seeds=range(seeds), calibrate=method, keep=True, progress=False
    )
    return out


def held_out(tables: list[pd.DataFrame]) -> pd.DataFrame:
    "Return the held-out genes with known targets of all folds."
    together = pd.concat(tables, ignore_index=True)
    return together[together["held_out"] & together["target"].notna()]


def probabilities(runs: list[Path], tables: list[pd.DataFrame]) -> dict[str, float]:
    "Return the calibration errors and Brier scores of scores and of probabilities by both methods."
    ways = {"score": [table["score"] for table in tables]}
    for method in METHODS:
        ways[method] = [
            calibrate({"classification": table}, read_calibration(run).chromosomes, method).probabilities(
                table["score"]
            )
            for run, table in zip(runs, tables)
        ]
    found = {}
    for name, scores in ways.items():
        own = held_out([table.assign(score=score) for table, score in zip(tables, scores)])
        found[f"{name}, calibration error"] = calibration_error(calibration(own, 20, "classification"))
        found[f"{name}, Brier score"] = float(((own["score"] - own["target"]) ** 2).mean())
    return found


def intervals(runs: list[Path], tables: list[pd.DataFrame]) -> dict[str, dict[str, float]]:
    "Return coverage with its 95% interval over genes, and median width, at several levels."
    return {
        str(level): covered(
            held_out(
                [read_calibration(run).apply(table, "regression", level) for run, table in zip(runs, tables)]
            )
        )
        | by_level(runs, tables, level)
        for level in LEVELS
    }


def covered(own: pd.DataFrame) -> dict[str, float]:
    "Return the share of genes in their interval, and the median width."
    inside = own["target"].between(own["low"], own["high"])
    return share_interval(inside, blocks_of(own)) | {"width": float((own["high"] - own["low"]).median())}


def by_level(runs, tables, level) -> dict[str, list[float]]:
    "Return the coverage in fifths of the prediction, and with one group instead of several."
    own = held_out(
        [read_calibration(run).apply(table, "regression", level) for run, table in zip(runs, tables)]
    )
    inside = own["target"].between(own["low"], own["high"])
    fifths = pd.qcut(own["score"].rank(method="first"), 5, labels=False)
    single = []
    for run, table in zip(runs, tables):
        errors = np.sort(np.concatenate(read_calibration(run).intervals.errors))
        low, high = Intervals((), (tuple(errors),))(table["score"].to_numpy(), level)
        single.append(table.assign(low=low, high=high))
    one = held_out(single)
    share = one["target"].between(one["low"], one["high"])
    return {
        "by_fifth": inside.groupby(fifths).mean().tolist(),
        "one_group_by_fifth": share.groupby(pd.qcut(one["score"].rank(method="first"), 5, labels=False))
        .mean()
        .tolist(),
        "one_group_width": float((one["high"] - one["low"]).median()),
    }


def cost(runs: dict[str, list[Path]], task: str) -> list[dict]:
    "Compare the ensembles that learned from nine tenths of the training genes with those of all."
    predictions = held_out_predictions(runs, task)
    tested = differences(predictions, task, "all genes", ensembles=list(runs))
    return tested[["metric", "value", "low", "high", "verdict"]].to_dict("records")


def elsewhere(runs: list[Path], other: Path) -> dict:
    "Return what the models are worth in a cell type that they were not trained on."
    found = {}
    for task in TASKS:
        own = predict(runs, other, task=task, progress=False)
        own = own[own["held_out"] & own["target"].notna()]
        metrics = evaluate_scores(own["target"], own["score"], task, fold=own["fold"], draws=0)
        found[task] = {name: entry["value"] for name, entry in metrics.items()}
        found[task]["outside_training"] = float(own["outside_training"].mean())
        if task == "classification":
            for name in ("score", "probability"):
                groups = calibration(own.assign(score=own[name]), 20, task)
                found[task][f"{name}, calibration error"] = calibration_error(groups)
        else:
            found[task]["interval"] = covered(own)
            error = (own["score"] - own["target"]).abs()
            found[task]["mean error outside and inside the range"] = [
                float(error[own["outside_training"] == flag].mean()) for flag in (True, False)
            ]
    return found


if __name__ == "__main__":
    main()
