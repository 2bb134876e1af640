"""In simulations, verdicts on equal models are rare and intervals cover the truth."""

import importlib
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from chromoformer.experiments.comparison import as_differences, comparison_table, differences
from chromoformer.metrics import evaluate_scores

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
KEPT = BENCHMARKS / "results" / "comparisons.json"
METRICS = ("auc", "pearson_r")


def script(name):
    "Import a script, which is not part of a package."
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCHMARKS))


def comparisons():
    return script("comparisons")


def error(rate, runs):
    "Return the binomial standard error of a share of the runs."
    return np.sqrt(rate * (1 - rate) / runs)


def simulated(setting, runs, draws, truth=0.0):
    "Return the rates of a setting in some runs."
    made = comparisons()
    table = made.many(partial(made.one_run, setting, draws), runs, processes=1)
    return made.rates(table, dict.fromkeys(METRICS, truth) if np.isscalar(truth) else truth)


def assert_few_false_verdicts(found):
    "At most 5% of the runs, plus three binomial standard errors, have a verdict."
    for metric, entry in found.items():
        bound = 0.05 + 3 * error(0.05, entry["runs"])
        assert entry["runs_with_a_verdict"] <= bound, f"{metric}: {entry}, at most {bound:.3f}"


def assert_covered(found, highest=0.98):
    "Between 92% and 98% of the intervals, give or take three binomial standard errors, cover the truth."
    for metric, entry in found.items():
        low = 0.92 - 3 * error(0.92, entry["runs"])
        high = highest + 3 * error(highest, entry["runs"])
        assert low <= entry["covered"] <= high, f"{metric}: {entry}, from {low:.3f} to {high:.3f}"


@pytest.mark.slow
def test_few_equal_models_are_told_apart_in_a_small_simulation():
    small = comparisons().Setting(genes=100, folds=2)
    found = simulated(small, runs=30, draws=50)
    assert found["auc"]["comparisons"] == 1 and set(found) == set(METRICS)
    assert_few_false_verdicts(found)
    assert min(entry["covered"] for entry in found.values()) >= 0.92 - 3 * error(0.92, 30)


def test_a_large_difference_is_found_in_a_small_simulation():
    worse = comparisons().Setting(genes=200, folds=2, worse=1.5, shared=0.0)
    found = simulated(worse, runs=5, draws=50)
    assert min(entry["runs_with_a_verdict"] for entry in found.values()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", list(comparisons().NULL))
def test_few_equal_models_are_told_apart(name):
    setting = comparisons().NULL[name]
    found = simulated(replace(setting, genes=min(setting.genes, 400)), runs=200, draws=60)
    assert_few_false_verdicts(found)
    assert_covered(found, highest=0.98 if len(setting.models) == 2 else 1.0)  # Holm's intervals are wider


@pytest.mark.slow
def test_trainings_on_shuffled_labels_are_not_told_apart_if_labels_do_not_matter():
    made = comparisons()
    table = made.many(partial(made.attention_run, 60), 200, processes=1)
    found = made.rates(table, {"mean": 0.0})
    assert_few_false_verdicts(found)
    assert_covered(found)


@pytest.mark.slow
def test_intervals_cover_a_true_difference():
    made = comparisons()
    different = made.Setting(genes=400, worse=0.25)
    truth = {metric: made.true_difference(different, metric, task) for task, metric in made.TASKS.items()}
    assert all(value < -0.005 for value in truth.values())
    assert_covered(simulated(different, runs=200, draws=60, truth=truth))


@pytest.mark.skipif(not KEPT.exists(), reason="the simulations were not run at full size")
def within(share, runs, low, high):
    "Whether a share may lie within limits: strictly from 1,000 runs on, up to chance (99%) with fewer."
    if runs >= 1000:
        return low <= share <= high
    limits = binomtest(round(share * runs), runs).proportion_ci(0.99)
    return limits.low <= high and limits.high >= low


def test_kept_simulations_hold_what_the_page_promises():
    kept = json.loads(KEPT.read_text())
    assert set(kept["null"]) == {*comparisons().NULL, "attention, five trainings each"}, "run them again"
    for name, found in kept["null"].items():
        for metric, entry in found.items():
            where = f"{name}, {metric}: {entry}"
            assert within(entry["runs_with_a_verdict"], entry["runs"], 0, 0.07), where
            highest = 0.98 if entry["comparisons"] == 1 else 1.0
            assert within(entry["covered"], entry["runs"] * entry["comparisons"], 0.92, highest), where
    for metric in METRICS:
        entry = kept["true_difference"][metric]
        assert within(entry["covered"], entry["runs"], 0.92, 0.98), metric


# ---- kept results ----


def toy_predictions(seed, genes=120):
    "Return the predictions of two folds by two models, each trained twice, with the genes of one epigenome."
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, genes)
    about = {
        "gene_id": [f"g{number}" for number in range(genes)],
        "chrom": np.repeat(["chr1", "chr2"], genes // 2),
        "tss": np.tile(np.arange(genes // 2), 2),
        "fold": np.repeat([1, 2], genes // 2),
        "target": label,
    }
    return pd.concat(
        [
            pd.DataFrame(
                about
                | {"model": model, "seed": training, "score": strength * label + random.normal(size=genes)}
            )
            for model, strength in (("measured", 2), ("none", 1))
            for training in (0, 1)
        ],
        ignore_index=True,
    )


def test_folds_of_different_epigenomes_are_different_folds():
    tables = [toy_predictions(seed) for seed in (1, 2, 3)]
    shifted = [table.assign(score=table["score"] + 10 * number) for number, table in enumerate(tables)]
    together = script("toy_contacts").together(shifted)
    assert sorted(together["fold"].unique()) == [1, 2, 3, 4, 5, 6] and together["gene_id"].nunique() == 360
    by_hand = [
        evaluate_scores(part["target"].to_numpy(), part["score"].to_numpy(), "classification", draws=0)[
            "auc"
        ]["value"]
        * (1 if model == "measured" else -1)
        for table in tables
        for (model, _, _), part in table.groupby(["model", "seed", "fold"])
    ]
    found = differences(together, "classification", ["none", "measured"], draws=20)
    assert found.loc[found["reference"] == "none", "value"].iloc[0] == pytest.approx(sum(by_hand) / 12)
    assert found["model"].tolist() == ["measured"]  # two references are compared once


def test_kept_differences_are_read_back_as_they_were():
    found = differences(toy_predictions(1), "classification", "none", draws=20)
    again = as_differences(json.loads(json.dumps(found.to_dict("records"))))
    pd.testing.assert_frame_equal(again, found, check_dtype=False)
    row = comparison_table(again).iloc[0]
    assert row["interval"] == f"{found['low'].iloc[0]:+.4f} to {found['high'].iloc[0]:+.4f}"
    assert row["verdict"] == found["verdict"].iloc[0] and row["trainings"] == "2 and 2"


def test_rows_of_older_versions_have_no_verdict_and_no_interval():
    old = {
        "model": "a",
        "metric": "auc",
        "value": -0.02,
        "low": -0.03,
        "high": -0.01,
        "p_t": 0.001,
        "group": "x",
    }
    table = as_differences([old], "full")
    assert table[["model", "reference", "verdict", "group"]].iloc[0].tolist() == [
        "a",
        "full",
        "not tested",
        "x",
    ]
    assert table[["low", "high", "p", "trainings"]].isna().all(axis=None) and table["value"].iloc[0] == -0.02
    assert comparison_table(table)["interval"].tolist() == [""]


@pytest.mark.parametrize("name", ["benchmark", "whole_genes"])
def test_pages_show_a_verdict_only_where_results_have_one(name):
    for task in json.loads((BENCHMARKS / "results" / f"gm12878.{name}.json").read_text())["tasks"].values():
        table = as_differences(task["differences"], "Chromoformer")
        tested = table["verdict"] != "not tested"
        assert (table["low"].notna() == tested).all() and (table.loc[tested, "trainings"] >= 1).all()
        several = table[["trainings", "reference_trainings"]].max(axis=1) > 1
        assert several[tested].all()
