"""Measure how often comparisons give a false verdict, what their intervals cover, and what they detect.

    python benchmarks/comparisons.py [--runs 1000] [--processes 2]

Simulates predictions whose true differences are known and passes them to `experiments.comparison`. Writes
benchmarks/results/comparisons.json. Takes one to three hours on two cores; --scenario runs one again.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from chromoformer.experiments.comparison import differences, mean_differences
from chromoformer.metrics import evaluate_scores
from chromoformer.provenance import Stopwatch, code_version, machine, versions, write_json

RESULTS = Path(__file__).resolve().parent / "results" / "comparisons.json"
TASKS = {"classification": "auc", "regression": "pearson_r"}


@dataclass(frozen=True)
class Setting:
    """Models whose scores are the true expression plus errors, in standard deviations of expression.

    Attributes
    ----------
    models : tuple of int
        Number of trainings of each model; the first is the reference.
    folds : int
        Number of folds.
    genes : int
        Genes of a fold.
    domain : int
        Neighbouring genes that share a part of their errors.
    shared : float
        Share of the variance of the errors that is the same for the genes of a domain.
    common : float
        Error that all models make alike.
    own : float
        Error of a model, the same in all of its trainings.
    training : float
        Error that differs between trainings.
    quality : float
        Spread of trainings in how strongly their scores follow expression.
    worse : float
        What is added to the own error of all models but the reference.
    alike : bool
        Compare with the variance of the trainings of all models.
    """

    models: tuple[int, ...] = (3, 3)
    folds: int = 4
    genes: int = 1000
    domain: int = 20
    shared: float = 0.3
    common: float = 0.6
    own: float = 0.35
    training: float = 0.15
    quality: float = 0.03
    worse: float = 0.0
    alike: bool = False


NULL = {
    "two models, three trainings each, independent genes": Setting(shared=0.0),
    "the same, 30% of the error shared in domains of 20 genes": Setting(),
    "the same, 60% shared": Setting(shared=0.6),
    "60% shared, 100 genes per fold": Setting(shared=0.6, genes=100),
    "60% shared, 4,000 genes per fold": Setting(shared=0.6, genes=4000),
    "equal models that differ only by training": Setting(own=0.0),
    "trainings that differ much": Setting(quality=0.15),
    "five trainings each": Setting(models=(5, 5)),
    "seven baselines": Setting(models=(3,) * 8),
    "25 ablations trained once, full network five times": Setting(models=(5,) + (1,) * 25, genes=600),
    "22 variants and the full network, two trainings each, alike, one fold": Setting(
        models=(2,) * 23, folds=1, genes=2400, alike=True
    ),
}


def simulated(setting: Setting, random: np.random.Generator) -> pd.DataFrame:
    "Return the predictions of all models; `target` is the expression of a gene."
    genes = setting.genes
    tables = []

    def error() -> np.ndarray:
        domain = (np.arange(genes) + random.integers(setting.domain)) // setting.domain
        shared = random.standard_normal(domain.max() + 1)[domain]
        return np.sqrt(setting.shared) * shared + np.sqrt(1 - setting.shared) * random.standard_normal(genes)

    for fold in range(1, setting.folds + 1):
        expression = random.standard_normal(genes)
        common = setting.common * error()
        about = {
            "gene_id": fold * 100_000 + np.arange(genes),
            "chrom": f"chr{fold}",
            "tss": np.arange(genes) * 50_000,
            "fold": fold,
            "target": expression,
        }
        for model, trainings in enumerate(setting.models):
            own = np.hypot(setting.own, setting.worse if model else 0) * error()
            for seed in range(trainings):
                follows = 1 + setting.quality * random.standard_normal()
                score = follows * expression + common + own + setting.training * error()
                tables.append(pd.DataFrame(about | {"model": f"model {model}", "seed": seed, "score": score}))
    return pd.concat(tables, ignore_index=True)


def compared(predictions: pd.DataFrame, task: str, draws: int, alike: bool = False) -> pd.DataFrame:
    "Compare all models with the first."
    if task == "classification":
        predictions = predictions.assign(target=(predictions["target"] > 0).astype(float))
    return differences(predictions, task, "model 0", draws, alike=alike)


def one_run(setting: Setting, draws: int, seed: int) -> list[tuple[str, float, bool]]:
    "Return for each metric the number of comparisons with a verdict, and the values with their intervals."
    predictions = simulated(setting, np.random.default_rng(seed))
    found = []
    for task, metric in TASKS.items():
        for row in compared(predictions, task, draws, setting.alike).itertuples():
            found.append((metric, seed, row.value, row.low, row.high, row.verdict))
    return found


def true_difference(setting: Setting, metric: str, task: str) -> float:
    "Return the expected difference of a very large fold, trained many times."
    large = replace(setting, folds=1, genes=200_000, models=(12, 12), shared=0.0)
    predictions = simulated(large, np.random.default_rng(0))
    target = predictions["target"]
    if task == "classification":
        predictions["target"] = (target > 0).astype(float)
    values = {
        key: evaluate_scores(part["target"].to_numpy(), part["score"].to_numpy(), task, 0)[metric]["value"]
        for key, part in predictions.groupby(["model", "seed"])
    }
    mean = pd.Series(values).groupby(level=0).mean()
    return float(mean["model 1"] - mean["model 0"])


def attention_run(draws: int, seed: int) -> list[tuple[str, float, float, float, float, str]]:
    "Compare five trainings on true labels with five on shuffled labels, if neither changes attention."
    random = np.random.default_rng(seed)
    tables = []
    for fold in range(1, 5):
        gene = np.abs(random.standard_normal(300)) + 0.5  # preference of each gene, alike in all trainings
        about = {
            "gene_id": fold * 1000 + np.arange(300),
            "chrom": f"chr{fold}",
            "tss": np.arange(300) * 50_000,
            "fold": fold,
        }
        for model in ("trained", "shuffled"):
            for training in range(5):
                value = gene * (1 + 0.03 * random.standard_normal()) + 0.1 * random.standard_normal(300)
                tables.append(pd.DataFrame(about | {"model": model, "seed": training, "attention": value}))
    table = mean_differences(pd.concat(tables, ignore_index=True), "attention", "shuffled", draws)
    return [("mean", seed, row.value, row.low, row.high, row.verdict) for row in table.itertuples()]


def many(run: Callable, runs: int, processes: int) -> pd.DataFrame:
    "Repeat a simulation with seeds 0, 1, 2, ..."
    if processes == 1:
        found = [run(seed=seed) for seed in range(runs)]
    else:
        with multiprocessing.Pool(processes) as pool:
            found = pool.map(partial(_with_seed, run), range(runs), chunksize=4)
    columns = ["metric", "seed", "value", "low", "high", "verdict"]
    return pd.DataFrame([row for rows in found for row in rows], columns=columns)


def _with_seed(run: Callable, seed: int) -> list:
    return run(seed=seed)


def rates(table: pd.DataFrame, truth: dict[str, float]) -> dict[str, dict[str, float]]:
    "Return for each metric how often a run gave any verdict and how often an interval covered the truth."
    found = {}
    for metric, part in table.groupby("metric"):
        verdict = part["verdict"].isin(["higher", "lower"])
        inside = (part["low"] <= truth[str(metric)]) & (truth[str(metric)] <= part["high"])
        found[str(metric)] = {
            "runs": int(part["seed"].nunique()),
            "comparisons": int(len(part) / part["seed"].nunique()),
            "runs_with_a_verdict": float(verdict.groupby(part["seed"]).any().mean()),
            "covered": float(inside.mean()),
            "standard_deviation": float(part["value"].std()),
        }
    return found


def run_again(name: str, arguments: argparse.Namespace) -> None:
    "Replace the rates of one scenario in the kept results, and note the version of the code."
    kept = json.loads(RESULTS.read_text())
    table = many(partial(one_run, NULL[name], arguments.draws), arguments.runs, arguments.processes)
    kept["null"][name] = rates(table, dict.fromkeys(TASKS.values(), 0.0))
    kept["settings"][name] = NULL[name].__dict__
    kept.setdefault("run_again", {})[name] = code_version()
    print(name, json.dumps(kept["null"][name]), flush=True)
    write_json(RESULTS, kept)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--scenario", choices=list(NULL), help="run one scenario again, and replace its rates"
    )
    arguments = parser.parse_args()
    watch = Stopwatch()
    if arguments.scenario:
        run_again(arguments.scenario, arguments)
        return
    zero = dict.fromkeys([*TASKS.values(), "mean"], 0.0)
    null = {}
    for name, setting in NULL.items():
        began = time.perf_counter()
        runs = arguments.runs if len(setting.models) < 20 and setting.genes < 4000 else arguments.runs // 2
        table = many(partial(one_run, setting, arguments.draws), runs, arguments.processes)
        null[name] = rates(table, zero)
        print(name, json.dumps(null[name]), f"{time.perf_counter() - began:.0f} s", flush=True)
    table = many(partial(attention_run, arguments.draws), arguments.runs, arguments.processes)
    null["attention, five trainings each"] = rates(table, zero)
    print(null["attention, five trainings each"], flush=True)

    different = Setting(worse=0.25)
    truth = {metric: true_difference(different, metric, task) for task, metric in TASKS.items()}
    table = many(partial(one_run, different, arguments.draws), arguments.runs, arguments.processes)
    covered = {"truth": truth, **rates(table, truth)}
    print("true difference", json.dumps(covered), flush=True)

    genome = Setting(genes=4750, shared=0.3, common=0.5, own=0.2, training=0.08, quality=0.01)
    power = []
    for worse in (0.0, 0.03, 0.05, 0.07, 0.09, 0.12, 0.16):
        setting = replace(genome, worse=worse)
        table = many(partial(one_run, setting, arguments.draws), arguments.runs // 10, arguments.processes)
        for task, metric in TASKS.items():
            part = table[table["metric"] == metric]
            detected = float((part["verdict"] == "lower").mean())
            power.append(
                {
                    "metric": metric,
                    "difference": true_difference(setting, metric, task) if worse else 0.0,
                    "detected": detected,
                    "standard_deviation": float(part["value"].std()),
                    "runs": len(part),
                }
            )
            print(power[-1], flush=True)
    write_json(
        RESULTS,
        {
            "what": "comparisons of simulated models: false verdicts, coverage and power",
            "null": null,
            "settings": {name: setting.__dict__ for name, setting in NULL.items()},
            "true_difference": covered,
            "power": power,
            "power_setting": genome.__dict__,
            "draws": arguments.draws,
            "versions": versions(),
            "machine": machine(),
            "code": code_version(),
            "seconds": round(watch.seconds),
        },
    )


if __name__ == "__main__":
    main()
