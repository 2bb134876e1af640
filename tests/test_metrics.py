"""Metrics of constant predictions and of unknown tasks."""

import numpy as np
import pandas as pd
import pytest
from helpers import write_toy_store

from chromoformer.data.batches import GeneDataset
from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.metrics import (
    calibration,
    check_task,
    correlation,
    evaluate_scores,
    format_metrics,
    resampled,
)
from chromoformer.training.calibration import Calibration
from chromoformer.training.fit import check_targets

VARIED = np.random.default_rng(0).normal(size=300)


@pytest.mark.parametrize("constant", [0.1, 0.3, -1e9 / 3, 1e-9, 0.0, 7.0])
@pytest.mark.parametrize("genes", [2, 3, 7, 300])
def test_metrics_of_constant_values_are_not_defined(constant, genes):
    same = np.full(genes, constant)
    for ranked in (False, True):
        assert np.isnan(correlation(same, VARIED[:genes], draws=0, ranked=ranked)["value"])
        assert np.isnan(correlation(VARIED[:genes], same, draws=0, ranked=ranked)["value"])
    found = evaluate_scores(VARIED[:genes], same, "regression", draws=0)
    assert np.isnan([found[metric]["value"] for metric in ("pearson_r", "spearman_rho")]).all()
    assert np.isnan(evaluate_scores(same, VARIED[:genes], "regression", draws=0)["r2"]["value"])


def test_draws_of_genes_with_one_value_are_not_defined():
    values = np.where(np.arange(300) < 100, 0.1, 0.7)  # two values; the draw below takes one of them
    weights = np.stack([np.arange(300) < 100, np.arange(300) >= 0]).astype(int)
    drawn = resampled(VARIED, values, "regression", weights=weights)
    assert np.isnan([drawn["pearson_r"][1], drawn["spearman_rho"][1]]).all()
    assert np.isclose(drawn["pearson_r"][2], np.corrcoef(VARIED, values)[0, 1])
    assert np.isnan(resampled(values, VARIED, "regression", weights=weights)["r2"][1])


def test_small_differences_on_a_large_offset_are_still_correlated():
    shifted = 1e6 + VARIED
    assert np.isclose(correlation(shifted, VARIED, draws=0)["value"], 1)


@pytest.mark.parametrize("task", ["classifier", "Regression", "", None])
def test_an_unknown_task_is_refused_everywhere(tmp_path, task):
    data = GeneDataset(Store(write_toy_store(tmp_path / "toy.h5")))
    table = pd.DataFrame({"gene_id": ["A"], "target": [1.0], "score": [0.5]})
    for call in (
        lambda: check_task(task),
        lambda: Calibration(("chr1",)).apply(table, task),
        lambda: check_targets(data, np.arange(4), task),
        lambda: evaluate_scores(VARIED, VARIED, task),
        lambda: resampled(VARIED, VARIED, task),
        lambda: GeneDataset(data.stores[0], task=task),
    ):
        with pytest.raises(InputError, match="task .* is unknown\n.*classification or regression"):
            call()
    if task is not None:  # the default of `calibration`, which then decides by the targets
        with pytest.raises(InputError, match="is unknown"):
            calibration(table, task=task)


@pytest.mark.parametrize("targets", [[-1, 0, 1, 0, 1], [3.2, 0, 1, 0, 1], [1, 2, 1, 2, 2]])
def test_targets_of_a_classifier_that_are_no_labels_are_refused(targets):
    scores = [0.9, 0.1, 0.8, 0.2, 0.7]
    with pytest.raises(InputError, match="is neither 0 nor 1"):
        evaluate_scores(np.array(targets), np.array(scores), "classification")
    assert evaluate_scores(np.array(targets), np.array(scores), "regression")["genes"]["value"] == 5


def test_a_fold_of_one_class_is_named_and_left_out_of_the_mean():
    fold = np.repeat([1, 2, 3], 100)
    label = np.where(fold == 2, 0, VARIED > 0)
    with pytest.warns(UserWarning, match="fold 2, because all targets are equal: AUC, average") as caught:
        found = evaluate_scores(label, VARIED**2, "classification", fold=fold)
    assert len(caught) == 1 and "the mean is over 2 other folds" in str(caught[0].message)
    others = fold != 2
    expected = evaluate_scores(label[others], VARIED[others] ** 2, "classification", 0, fold=fold[others])
    assert found["auc"]["value"] == expected["auc"]["value"] and found["auc"]["folds"] == 2
    assert found["auc"]["low"] < found["auc"]["value"] and "folds" not in found["accuracy"]


def test_metrics_that_are_not_defined_are_reported_as_such():
    with pytest.warns(UserWarning, match="not defined, because all targets are equal: AUC") as caught:
        found = evaluate_scores(np.ones(300), VARIED, "classification")
    assert len(caught) == 1 and format_metrics(found).startswith("AUC not defined, average precision 1.000")
    with pytest.warns(UserWarning, match="because all predictions are equal: Pearson r, Spearman rho"):
        evaluate_scores(VARIED, np.ones(300), "regression")
