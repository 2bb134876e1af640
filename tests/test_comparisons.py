"""In simulations, verdicts on equal models are rare and intervals cover the truth."""

import importlib
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
KEPT = BENCHMARKS / "results" / "comparisons.json"
METRICS = ("auc", "pearson_r")


def comparisons():
    "Import the script, which is not part of a package."
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("comparisons")
    finally:
        sys.path.remove(str(BENCHMARKS))


def error(rate, runs):
    "Return the binomial standard error of a share of the runs."
    return np.sqrt(rate * (1 - rate) / runs)


def simulated(setting, runs, draws, truth=0.0):
    "Return the rates of a setting in some runs."
    script = comparisons()
    table = script.many(partial(script.one_run, setting, draws), runs, processes=1)
    return script.rates(table, dict.fromkeys(METRICS, truth) if np.isscalar(truth) else truth)


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
    script = comparisons()
    table = script.many(partial(script.attention_run, 60), 200, processes=1)
    found = script.rates(table, {"mean": 0.0})
    assert_few_false_verdicts(found)
    assert_covered(found)


@pytest.mark.slow
def test_intervals_cover_a_true_difference():
    script = comparisons()
    different = script.Setting(genes=400, worse=0.25)
    truth = {metric: script.true_difference(different, metric, task) for task, metric in script.TASKS.items()}
    assert all(value < -0.005 for value in truth.values())
    assert_covered(simulated(different, runs=200, draws=60, truth=truth))


@pytest.mark.skipif(not KEPT.exists(), reason="the simulations were not run at full size")
def test_kept_simulations_hold_what_the_page_promises():
    kept = json.loads(KEPT.read_text())
    assert set(kept["null"]) == {*comparisons().NULL, "attention, five trainings each"}, "run them again"
    for name, found in kept["null"].items():
        for metric, entry in found.items():
            assert entry["runs_with_a_verdict"] <= 0.07, f"{name}, {metric}: {entry}"
            highest = 0.98 if entry["comparisons"] == 1 else 1.0
            assert 0.92 <= entry["covered"] <= highest, f"{name}, {metric}: {entry}"
    for metric in METRICS:
        assert 0.92 <= kept["true_difference"][metric]["covered"] <= 0.98, metric
