"""Calibrated probabilities and prediction intervals equal independent computations and keep their promise."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize
from sklearn.isotonic import IsotonicRegression

from chromoformer.errors import InputError
from chromoformer.training.calibration import (
    calibrate,
    calibration_metrics,
    fit_intervals,
    fit_probabilities,
    read_calibration,
    write_calibration,
)


def too_sure(genes, seed=0):
    "Return scores whose logit is three times too large, labels and true probabilities."
    random = np.random.default_rng(seed)
    logit = random.normal(0.3, 1.5, genes)
    true = 1 / (1 + np.exp(-logit))
    return 1 / (1 + np.exp(-3 * logit)), random.random(genes) < true, true


def test_platt_scaling_minimises_the_smoothed_log_loss():
    score, label, _ = too_sure(300)
    found = fit_probabilities(score, label)
    smoothed = np.where(label, (label.sum() + 1) / (label.sum() + 2), 1 / ((~label).sum() + 2))
    logit = np.log(score / (1 - score))

    def loss(curve):
        z = curve[0] * logit + curve[1]
        return (np.logaddexp(0, z) - smoothed * z).sum()

    slope, intercept = optimize.minimize(loss, [1.0, 0.0], method="Nelder-Mead", tol=1e-10).x
    assert found.x[0] == pytest.approx(slope, abs=1e-4) and found.y[0] == pytest.approx(intercept, abs=1e-4)


def test_isotonic_curves_are_those_of_scikit_learn_on_smoothed_labels():
    score, label, _ = too_sure(300)
    smoothed = np.where(label, (label.sum() + 1) / (label.sum() + 2), 1 / ((~label).sum() + 2))
    other, *_ = too_sure(100, seed=1)
    expected = IsotonicRegression(out_of_bounds="clip").fit(score, smoothed).predict(other)
    assert np.allclose(fit_probabilities(score, label, "isotonic")(other), expected, atol=1e-8)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_probabilities_are_closer_to_the_truth_than_scores(method):
    found = fit_probabilities(*too_sure(2000)[:2], method)
    score, _, true = too_sure(5000, seed=1)
    assert np.abs(found(score) - true).mean() < 0.2 * np.abs(score - true).mean()


def test_platt_scaling_keeps_the_order_of_the_genes():
    score, label, _ = too_sure(500)
    assert (np.argsort(fit_probabilities(score, label)(score)) == np.argsort(score)).all()


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_separable_labels_give_finite_probabilities_within_0_and_1(method):
    score = np.linspace(0, 1, 60)  # includes 0 and 1
    probability = fit_probabilities(score, score > 0.5, method)(score)
    assert np.isfinite(probability).all() and (np.diff(probability) >= 0).all()
    assert 0 < probability[1] < 0.1 and 0.9 < probability[-2] < 1


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_intervals_hold_their_coverage_over_many_samples(coverage):
    random = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        predicted = random.uniform(0, 8, 150)
        measured = np.maximum(predicted + random.gamma(2, 1, 150) - 2, 0)  # skewed errors
        low, high = fit_intervals(predicted[:99], measured[:99])(predicted[99:], coverage)
        shares.append(((low <= measured[99:]) & (measured[99:] <= high)).mean())
    assert coverage - 0.01 < np.mean(shares) < coverage + 0.03


def test_limits_are_the_order_statistics_of_split_conformal_prediction():
    random = np.random.default_rng(0)
    predicted, error = random.uniform(5, 8, 119), random.normal(size=119)
    low, high = fit_intervals(predicted, predicted + error)(np.array([6.0]), 0.9)
    assert low[0] == pytest.approx(6 + np.sort(error)[5]) and high[0] == pytest.approx(
        6 + np.sort(error)[113]
    )


def test_each_group_of_predictions_has_its_own_errors():
    random = np.random.default_rng(0)
    predicted = random.uniform(0, 10, 4000)
    measured = predicted + predicted * random.normal(size=4000)
    found = fit_intervals(predicted, measured)
    assert len(found.errors) == 10 and min(map(len, found.errors)) >= 200
    low, high = found(np.array([1.0, 9.0]))
    assert high[1] - low[1] > 3 * (high[0] - low[0]) and low[1] >= 0


def test_equal_predictions_share_one_group():
    score = np.zeros(1000)
    found = fit_intervals(score, np.arange(1000.0))
    assert len(found.errors) == 1
    low, high = found(np.array([0.0]), 0.8)
    assert (low[0], high[0]) == (99, 900)


def test_a_coverage_that_the_genes_cannot_promise_gives_an_open_interval():
    low, high = fit_intervals(np.full(50, 3.0), np.full(50, 3.0))(np.array([3.0]), 0.99)
    assert (low[0], high[0]) == (0, np.inf)


@pytest.mark.parametrize("coverage", [0, 1, 90])
def test_a_coverage_outside_0_and_1_is_refused(coverage):
    with pytest.raises(InputError, match="between 0 and 1"):
        fit_intervals(np.zeros(50), np.zeros(50))(np.zeros(1), coverage)


def test_unusable_calibration_genes_are_refused():
    with pytest.raises(InputError, match="49 calibration genes"):
        fit_probabilities(np.full(49, 0.5), np.arange(49) % 2)
    with pytest.raises(InputError, match="have the label 1"):
        fit_probabilities(np.full(60, 0.5), np.ones(60))
    with pytest.raises(InputError, match="unknown calibration 'beta'"):
        fit_probabilities(np.full(60, 0.5), np.arange(60) % 2, "beta")


def table(genes=900):
    score, label, _ = too_sure(genes)
    chrom = np.repeat(["chr1", "chr2", "chr7"], genes // 3)
    return pd.DataFrame(
        {
            "gene_id": [f"gene{n}" for n in range(genes)],
            "chrom": chrom,
            "tss": np.arange(genes) * 1000,
            "held_out": chrom == "chr1",
            "score": score,
            "target": label.astype(float),
        }
    )


def test_only_the_named_chromosomes_calibrate_and_genes_without_target_do_not(tmp_path):
    predictions = table()
    found = calibrate({"classification": predictions}, ["2"], "isotonic")
    others = predictions["chrom"] != "chr2"
    changed = predictions.assign(score=predictions["score"].where(~others, 0.5))
    unknown = pd.concat([changed, changed[~others].assign(target=np.nan)])
    assert calibrate({"classification": unknown}, ["chr2"], "isotonic").probabilities == found.probabilities
    with pytest.raises(InputError, match="held out"):
        calibrate({"classification": predictions}, ["chr1"])
    write_calibration(tmp_path, found)
    assert read_calibration(tmp_path) == found
    (tmp_path / "calibration.json").write_text("{}")
    with pytest.raises(InputError, match="not a calibration"):
        read_calibration(tmp_path)


def test_metrics_count_held_out_genes_only():
    regressed = table().assign(target=lambda t: np.where(t["held_out"], 9.0, t["score"]))
    found = calibrate({"regression": regressed}, ["chr2"])
    metrics = calibration_metrics(found, {"regression": regressed})
    assert metrics["interval_coverage"]["value"] == 0 and metrics["interval_coverage"]["high"] < 0.9
    assert calibration_metrics(found, {"regression": regressed[~regressed["held_out"]]}) == {}
