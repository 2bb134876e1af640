"""A combination of runs learns its weights from genes that none of them was trained on."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import listing, succeed
from helpers import SMALL, toy_tables, write_toy_store

from chromoformer import baselines
from chromoformer.baselines.stack import predict_runs, stack, stack_weights
from chromoformer.data.store import Store
from chromoformer.describe import describe
from chromoformer.errors import InputError
from chromoformer.provenance import verify
from chromoformer.studies.collect import collect
from chromoformer.training import run_folder
from chromoformer.training.fit import fit
from chromoformer.training.members import fit_members
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


@pytest.mark.parametrize("refit", [True, False])
def test_validation_genes_of_a_refitted_baseline_were_trained_on(store, runs, tmp_path, refit):
    options = {"settings": {"window": 4000, "bin_size": 100}, "progress": False}
    recipe = {"epochs": 2, "batch_size": 16, "refit": refit}
    baselines.fit("DeepChrome", store, tmp_path / "chosen", 1, recipe=recipe, **options)
    assert run_folder.read_settings(tmp_path / "chosen")["validation"] == ["chr7"]
    if refit:
        with pytest.raises(InputError, match="left out no common chromosome"):
            stack([runs[0], tmp_path / "chosen"], tmp_path / "both")
    else:
        stack([runs[0], tmp_path / "chosen"], tmp_path / "both")
    # Left-out chromosomes are neither trained on nor choose the epoch, so others do.
    baselines.fit("DeepChrome", store, tmp_path / "left", 1, recipe=recipe, leave_out=["7"], **options)
    assert run_folder.read_settings(tmp_path / "left")["validation"] == ["chr2"]
    stack([runs[0], tmp_path / "left"], tmp_path / "with_left_out")
    with pytest.raises(InputError, match="chr7 is to choose the epoch and to be left out"):
        options |= {"validation": ["chr7"], "leave_out": ["chr7"]}
        baselines.fit("DeepChrome", store, tmp_path / "other", 1, recipe=recipe, **options)


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
    with pytest.raises(InputError, match="predicts regression only"):
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


@pytest.fixture(scope="module")
def other_store(tmp_path_factory):
    "A second cell type: other signal, the same genes."
    genes, pcres = toy_tables(per_chrom=60)
    return write_toy_store(
        tmp_path_factory.mktemp("other") / "other.h5", genes=genes, pcres=pcres, learnable=False
    )


def test_a_combination_predicts_another_store(runs, other_store, tmp_path):
    stack(runs, tmp_path / "both")
    weights = json.loads((tmp_path / "both" / "config.json").read_text())["weights"]
    network = predict_runs(runs[0], other_store, progress=False)
    linear = baselines.predict(runs[1], other_store)
    both = predict_runs(tmp_path / "both", other_store, progress=False)
    expected = weights[0] * network["score"] + weights[1] * linear["score"]
    assert np.allclose(both["score"], expected, atol=1e-6)
    assert np.abs(both["score"] - predictions(tmp_path / "both")["score"]).max() > 0.01
    assert both["probability"].between(0, 1).all()
    assert both["outside_training"].equals(network["outside_training"])


def test_a_combination_predicts_its_own_store_as_it_did(runs, store, tmp_path):
    stack(runs, tmp_path / "both")
    again, kept = predict_runs(tmp_path / "both", store, progress=False), predictions(tmp_path / "both")
    for name in ("target", "score", "probability"):
        assert np.allclose(again[name], kept[name], atol=1e-5)
    assert again["held_out"].equals(kept["held_out"])


def test_combinations_of_several_folds_predict_out_of_fold(store, tmp_path):
    for fold, left_out in ((1, ["chr7"]), (2, ["chr2"])):
        out = tmp_path / f"fold{fold}"
        fit_members(
            store,
            out / "net",
            fold,
            SMALL,
            QUICK,
            seeds=[0, 1],
            calibrate="platt",
            progress=False,
            validation=left_out,
        )
        baselines.fit("logistic regression", store, out / "linear", fold, leave_out=left_out, progress=False)
        stack([out / "net", out / "linear"], out / "both")
    folds = [tmp_path / "fold1" / "both", tmp_path / "fold2" / "both"]
    table = predict_runs(folds, store, progress=False)
    assert table["held_out"].all() and set(table["fold"]) == {1, 2}
    for fold, run in zip((1, 2), folds, strict=True):
        kept = predictions(run).query("held_out").set_index("gene_id")["score"]
        part = table[table["fold"] == fold].set_index("gene_id")["score"]
        assert np.allclose(part, kept[part.index], atol=1e-5) and len(part) == len(kept)


def test_a_combination_moves_with_its_runs(runs, store, tmp_path):
    for run in runs:
        shutil.copytree(run, tmp_path / "here" / run.name)
    stack([tmp_path / "here" / run.name for run in runs], tmp_path / "here" / "both")
    (tmp_path / "here").rename(tmp_path / "there")
    assert len(predict_runs(tmp_path / "there" / "both", store, progress=False)) == len(predictions(runs[0]))
    linear = tmp_path / "there" / "linear"
    shutil.rmtree(linear)
    baselines.fit("logistic regression", store, linear, 1, leave_out=["chr7", "chr9"], progress=False)
    with pytest.raises(InputError, match="linear, a run of this combination, was trained again since"):
        predict_runs(tmp_path / "there" / "both", store, progress=False)
    shutil.rmtree(linear)
    with pytest.raises(InputError, match="linear, a run of this combination, is missing"):
        predict_runs(tmp_path / "there" / "both", store, progress=False)


def test_runs_of_two_kinds_or_another_task_are_not_predicted_with(runs, store, tmp_path):
    with pytest.raises(InputError, match="is a network; .* is a baseline"):
        predict_runs(runs, store, progress=False)
    stack(runs, tmp_path / "both")
    for run in (runs[1], tmp_path / "both"):
        with pytest.raises(InputError, match="predicts classification only"):
            predict_runs(run, store, task="regression", progress=False)


def test_the_command_predicts_with_a_combination_and_a_baseline(runs, other_store, tmp_path):
    stack(runs, tmp_path / "both")
    for run in (tmp_path / "both", runs[1]):
        out = tmp_path / f"{run.name}.csv"
        assert "genes" in succeed("predict", run, other_store, "--out", out).out
        expected = predict_runs(run, other_store, progress=False)["score"]
        assert np.allclose(pd.read_csv(out)["score"], expected, atol=1e-6)


def test_weights_from_few_genes_are_warned_of(store, tmp_path):
    for name in ("logistic regression", "gradient-boosted trees"):
        baselines.fit(name, store, tmp_path / name, 1, leave_out=["chr7"], progress=False)
    with pytest.warns(UserWarning, match="weights come from 60 genes, of chromosome 7"):
        metrics = stack(
            [tmp_path / "logistic regression", tmp_path / "gradient-boosted trees"], tmp_path / "both"
        )
    assert metrics["genes of the weights"]["value"] == 60


def test_combinations_of_two_tasks_are_not_joined(store, runs, tmp_path):
    stack(runs, tmp_path / "one")
    for name in ("ridge regression", "gradient-boosted trees"):
        out = tmp_path / name
        baselines.fit(name, store, out, 1, task="regression", leave_out=["chr7"], progress=False)
    stack([tmp_path / "ridge regression", tmp_path / "gradient-boosted trees"], tmp_path / "two")
    with pytest.raises(InputError, match="cannot be joined in one table"):
        predict_runs([tmp_path / "one", tmp_path / "two"], store, progress=False)


def test_runs_and_combinations_are_described_and_collected(store, runs, tmp_path):
    stack(runs, tmp_path / "both")
    text = describe(tmp_path / "both")
    weights = json.loads((tmp_path / "both" / "config.json").read_text())["weights"]
    assert "combination of runs, classification" in text and f"weight      {weights[0]:.2f}  network" in text
    text = describe(runs[1])
    assert "logistic regression, classification" in text and "left out    chromosome" in text
    assert "held out    fold 1" in text and "AUC" in text
    assert set(collect([tmp_path / "both"])["cell_type"]) == {"toy"}


def test_what_a_command_suggests_next_can_be_run(runs, store, tmp_path):
    stack(runs, tmp_path / "both")
    members = tmp_path / "members"
    fit_members(store, members, 1, SMALL, QUICK, seeds=[0, 1], progress=False)
    gene = Store(store).genes["gene_id"].iloc[0]
    for run, explains in ((runs[0], True), (members, True), (runs[1], False), (tmp_path / "both", False)):
        out = succeed("predict", run, store, "--out", tmp_path / "p.csv", "--force").out
        found = re.search(r"chromoformer (explain .*) GENE --out gene.png", " ".join(out.split()))
        assert bool(found) == explains
        if found:
            succeed(*found[1].split(), gene, "--out", tmp_path / "gene.png", "--force")
    assert f"chromoformer predict {runs[1]} STORE.h5" in " ".join(succeed("evaluate", *runs).out.split())


def test_genes_of_folds_that_no_run_held_out_are_counted(runs, store, tmp_path):
    baselines.fit("logistic regression", store, tmp_path / "fold2", 2, leave_out=["chr2"], progress=False)
    out = " ".join(
        succeed("predict", runs[1], tmp_path / "fold2", store, "--out", tmp_path / "p.csv").out.split()
    )
    genes = Store(store).genes
    left = int((~genes["fold"].isin([1, 2])).sum())
    assert left and f"{left} genes of folds that no model held out are left out" in out


@pytest.mark.parametrize("content", ["", "[]", "{", "half"])
def test_runs_with_damaged_settings_are_refused(runs, store, tmp_path, content):
    stack(runs, tmp_path / "both")
    for run in (runs[1], tmp_path / "both"):
        folder = Path(shutil.copytree(run, tmp_path / f"damaged {run.name}"))
        text = (folder / "config.json").read_text()
        (folder / "config.json").write_text(text[: len(text) // 2] if content == "half" else content)
        for use in (
            lambda folder: predict_runs(folder, store, progress=False),
            describe,
            lambda folder: stack([runs[0], folder], tmp_path / "again"),
        ):
            with pytest.raises(InputError, match="config.json"):
                use(folder)
    with pytest.raises(InputError, match="config.json"):
        baselines.predict(tmp_path / "damaged linear", store)


def test_a_combination_on_a_full_disk_leaves_nothing_and_keeps_the_old(runs, tmp_path, monkeypatch):
    out = tmp_path / "both"
    write = run_folder.write_json

    def full_disk(path, content):
        if Path(path).name == "metrics.json":
            raise InputError("the disk is full", file=path)
        write(path, content)

    monkeypatch.setattr(run_folder, "write_json", full_disk)
    with pytest.raises(InputError, match=f"^{out / 'metrics.json'}: the disk is full"):
        stack(runs, out)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    stack(runs, out)
    (out / "notes.txt").write_text("mine")
    before = listing(tmp_path)
    monkeypatch.setattr(run_folder, "write_json", full_disk)
    with pytest.raises(InputError, match="the disk is full"):
        stack(runs, out, method="isotonic", force=True)
    assert listing(tmp_path) == before
    monkeypatch.undo()
    stack(runs, out, method="isotonic", force=True)
    assert (out / "notes.txt").read_text() == "mine" and verify(out) == []


def test_a_run_is_not_combined_with_itself(runs, tmp_path):
    with pytest.raises(InputError, match="network is given twice"):
        stack([runs[0], runs[1], runs[0]], tmp_path / "both")


def test_evaluate_suggests_predictions_that_can_be_made(runs, store, tmp_path):
    stack(runs, tmp_path / "both")
    for fold in (1, 2):
        fit(store, tmp_path / f"level{fold}", fold, SMALL, QUICK, task="regression", progress=False)
    fit(store, tmp_path / "seed1", 1, SMALL, QUICK, seed=1, progress=False)
    levels = [tmp_path / "level1", tmp_path / "level2"]
    for evaluated in (runs, [runs[0], levels[1]], levels, [levels[0], tmp_path / "both"]):
        out = succeed("evaluate", *evaluated).out
        found = re.search(r"chromoformer (predict .*) STORE.h5 --out predictions.csv", out)
        assert found and found[1].endswith(str(evaluated[-1]))
        assert (str(evaluated[0]) in found[1]) == (evaluated is levels)
        succeed(*found[1].split(), store, "--out", tmp_path / "p.csv", "--force")
    out = succeed("predict", runs[0], tmp_path / "seed1", store, "--out", tmp_path / "p.csv", "--force").out
    assert f"explain {runs[0]} {store} GENE" in out  # `explain` refuses two runs of a fold


def test_the_curve_of_probabilities_has_no_effect_on_regression(store, tmp_path):
    models = ("ridge regression", "gradient-boosted trees")
    runs = [tmp_path / model.split()[0] for model in models]
    for model, run in zip(models, runs):
        baselines.fit(model, store, run, 1, task="regression", leave_out=["7"], progress=False)
    succeed("stack", *runs, "--out", tmp_path / "both")
    found = succeed("stack", *runs, "--out", tmp_path / "isotonic", "--calibrate", "isotonic")
    assert "--calibrate has no effect on regression" in found.err
