"""A combination of runs learns its weights from genes that none of them was trained on."""

import json

import numpy as np
import pandas as pd
import pytest
from command_line import succeed
from helpers import SMALL, toy_tables, write_toy_store

from chromoformer import baselines
from chromoformer.baselines.stack import stack, stack_weights
from chromoformer.errors import InputError
from chromoformer.provenance import verify
from chromoformer.training.fit import fit
from chromoformer.training.recipe import Recipe

QUICK = Recipe(epochs=2, batch_size=16, learning_rate=2e-3)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    genes, pcres = toy_tables(per_chrom=60)
    return write_toy_store(tmp_path_factory.mktemp("stack") / "toy.h5", genes=genes, pcres=pcres)


@pytest.fixture(scope="module")
def runs(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack")
    fit(store, folder / "network", 1, SMALL, QUICK, calibrate="platt", progress=False)
    options = {"leave_out": ["chr7"], "progress": False}
    baselines.fit("logistic regression", store, folder / "linear", 1, **options)
    return [folder / "network", folder / "linear"]


def predictions(run):
    return pd.read_parquet(run / "predictions.parquet")


def test_the_weight_has_the_smallest_squared_error_on_the_calibration_genes(runs, tmp_path):
    stack(runs, tmp_path / "both")
    network, linear = map(predictions, runs)
    own = network["chrom"] == "chr7"
    shares = np.linspace(0, 1, 2001)
    errors = [
        ((w * network["score"] + (1 - w) * linear["score"] - network["target"])[own] ** 2).mean()
        for w in shares
    ]
    weights = json.loads((tmp_path / "both" / "config.json").read_text())["weights"]
    assert weights[0] == pytest.approx(shares[np.argmin(errors)], abs=1e-3) and sum(weights) == pytest.approx(
        1
    )
    both = predictions(tmp_path / "both")
    assert np.allclose(both["score"], weights[0] * network["score"] + weights[1] * linear["score"])
    assert "probability" in both and verify(tmp_path / "both") == []


def test_weights_of_three_models_match_a_grid():
    random = np.random.default_rng(0)
    truth = random.normal(size=400)
    scores = truth + random.normal(size=(3, 400)) * [[1.0], [1.5], [3.0]] + random.normal(size=400)
    grid = [(a, b, 1 - a - b) for a in np.linspace(0, 1, 101) for b in np.linspace(0, 1 - a, 101)]
    best = min(grid, key=lambda weights: ((np.array(weights) @ scores - truth) ** 2).mean())
    assert np.allclose(stack_weights(scores, truth), best, atol=0.02)


def test_genes_that_a_baseline_leaves_out_do_not_change_it(store, tmp_path):
    genes, pcres = toy_tables(per_chrom=60)
    changed = genes.assign(label=np.where(genes["chrom"] == "chr7", 1 - genes["label"], genes["label"]))
    tables = []
    for name, table in (("as_is", genes), ("changed", changed)):
        path = write_toy_store(tmp_path / f"{name}.h5", genes=table, pcres=pcres, learnable=False)
        options = {"leave_out": ["7"], "progress": False}
        baselines.fit("logistic regression", path, tmp_path / name, 1, **options)
        tables.append(predictions(tmp_path / name))
        again = baselines.predict(tmp_path / name, path)  # fitted again on the same genes
        assert np.allclose(again["score"], tables[-1]["score"])
    assert np.allclose(tables[0]["score"], tables[1]["score"])


def test_runs_that_do_not_fit_together_are_refused(store, runs, tmp_path):
    baselines.fit("logistic regression", store, tmp_path / "all", 1, progress=False)
    with pytest.raises(InputError, match="left out no common chromosome"):
        stack([runs[0], tmp_path / "all"], tmp_path / "both")
    baselines.fit("logistic regression", store, tmp_path / "fold2", 2, leave_out=["chr9"], progress=False)
    with pytest.raises(InputError, match="held_out is"):
        stack([runs[0], tmp_path / "fold2"], tmp_path / "both")
    baselines.fit(
        "ridge regression", store, tmp_path / "r", 1, task="regression", leave_out=["7"], progress=False
    )
    with pytest.raises(InputError, match="task is regression"):
        stack([runs[0], tmp_path / "r"], tmp_path / "both")
    with pytest.raises(InputError, match="one run"):
        stack(runs[:1], tmp_path / "both")
    with pytest.raises(InputError, match="already holds|complete run"):
        stack(runs, runs[0])
    assert not (tmp_path / "both").exists()


def test_the_command_combines_runs(runs, tmp_path):
    out = succeed("stack", *runs, "--out", tmp_path / "both").out
    assert out.startswith("weights ") and "AUC" in out
    assert (tmp_path / "both" / "calibration.json").exists()
    succeed("stack", *runs, "--out", tmp_path / "both", "--force")
