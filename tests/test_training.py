"""Training learns, resumes to the same bits, keeps chromosomes apart and refuses what cannot be learned."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, interrupted_in_the_second_epoch, toy_tables, write_toy_store

from chromoformer import baselines
from chromoformer.data.batches import GeneDataset
from chromoformer.data.store import Store
from chromoformer.demo import run_demo
from chromoformer.errors import InputError
from chromoformer.metrics import blocks_of, evaluate_scores
from chromoformer.model import checkpoint
from chromoformer.provenance import verify, write_json
from chromoformer.simulate.epigenome import simulate
from chromoformer.studies.collect import collect
from chromoformer.training.fit import fit, split_genes
from chromoformer.training.members import fit_members
from chromoformer.training.models import held_out_genes
from chromoformer.training.predict import evaluate, predict
from chromoformer.training.recipe import Recipe
from chromoformer.training.run_folder import is_complete, is_interrupted, read_metrics, seed_of

QUICK = Recipe(epochs=3, batch_size=16, learning_rate=2e-3)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_toy_store(tmp_path_factory.mktemp("training") / "toy.h5")


@pytest.fixture(scope="module")
def runs(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for fold in (1, 2, 3, 4):
        fit(store, folder / f"fold{fold}", fold, SMALL, QUICK, progress=False)
    return [folder / f"fold{fold}" for fold in (1, 2, 3, 4)]


def weights(run):
    return (run / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"plateau_factor": 0.5}, "plateau_factor is 0.5, but has no effect without plateau"),
        ({"plateau": 3, "decay": 0.5}, "decay is 0.5, but has no effect with plateau"),
        ({"cosine": True, "decay": 0.5}, "cosine replaces decay and plateau"),
        ({"cosine": True, "plateau": 3}, "cosine replaces decay and plateau"),
    ],
)
def test_recipe_settings_without_effect_are_refused(settings, says):
    with pytest.raises(InputError, match=says):
        Recipe(**settings)
    assert Recipe(plateau=3, plateau_factor=0.5).decay == Recipe().decay  # a default is accepted
    assert Recipe(plateau=3, decay=1.0).plateau == 3


def test_training_learns_a_learnable_label(runs):
    assert evaluate(runs[0]).set_index("metric").loc["auc", "value"] > 0.9


def test_a_run_leaves_its_files_and_a_record_that_verifies(runs):
    names = {
        "config.json",
        "model.safetensors",
        "state.pt",
        "history.csv",
        "predictions.parquet",
        "metrics.json",
        "provenance.json",
        "README.md",
    }
    assert {file.name for file in runs[0].iterdir()} == names
    assert verify(runs[0]) == []


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(store, runs, tmp_path):
    fit(store, tmp_path / "again", 1, SMALL, QUICK, progress=False)
    assert weights(tmp_path / "again") == weights(runs[0])
    assert (tmp_path / "again" / "metrics.json").read_bytes() == (runs[0] / "metrics.json").read_bytes()
    fit(store, tmp_path / "other", 1, SMALL, QUICK, seed=1, progress=False)
    assert weights(tmp_path / "other") != weights(runs[0])


@pytest.mark.slow
@pytest.mark.parametrize("after", [1.5, 2.5, 3.5])
def test_a_run_killed_at_any_moment_matches_uninterrupted_training(store, tmp_path, after):
    code = (
        "import sys; sys.path.insert(0, 'tests'); import torch; from helpers import SMALL\n"
        "from chromoformer.training.fit import fit; from chromoformer.training.recipe import Recipe\n"
        "torch.set_num_threads(1)\n"
        f"fit({str(store)!r}, sys.argv[1], 1, SMALL, Recipe(epochs=25, batch_size=16), progress=False)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "whole"], check=True)
    run = tmp_path / "killed"
    for _ in range(40):
        process = subprocess.Popen([sys.executable, "-c", code, run])
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        process.wait()
        after *= 1.3
        if (run / "metrics.json").exists():
            break
    assert weights(run) == weights(tmp_path / "whole")
    for name in ("history.csv", "metrics.json"):
        assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_resumed_training_matches_uninterrupted_training(store, runs, tmp_path, monkeypatch):
    with interrupted_in_the_second_epoch(monkeypatch):
        fit(store, tmp_path / "run", 1, SMALL, QUICK, progress=False)
    assert not (tmp_path / "run" / "metrics.json").exists()
    fit(store, tmp_path / "run", 1, SMALL, QUICK, progress=False)
    assert weights(tmp_path / "run") == weights(runs[0])


def test_joint_training_with_averages_and_augmentation_resumes_to_the_same_bits(store, tmp_path, monkeypatch):
    network = replace(SMALL, joint=True, dropout=0.2)
    recipe = replace(QUICK, cosine=True, warm_up=3, average=0.9, drop_marks=0.1, jitter=0.1, clip_norm=1.0)
    fit(store, tmp_path / "whole", 1, network, recipe, progress=False)
    with interrupted_in_the_second_epoch(monkeypatch):
        fit(store, tmp_path / "cut", 1, network, recipe, progress=False)
    fit(store, tmp_path / "cut", 1, network, recipe, progress=False)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_a_joint_network_learns_both_targets_and_the_task_decides_what_it_predicts(store, tmp_path):
    network, recipe = replace(SMALL, joint=True), replace(QUICK, epochs=8)
    for task in ("classification", "regression"):
        fit(store, tmp_path / task, 1, network, recipe, task=task, progress=False)
    assert weights(tmp_path / "classification") == weights(tmp_path / "regression")
    label, value = (
        pd.read_parquet(tmp_path / task / "predictions.parquet") for task in ("classification", "regression")
    )
    assert label["score"].between(0, 1).all() and label["target"].isin([0, 1]).all()
    genes = Store(store).genes
    expected = np.log2(genes["expression"] + 1)
    assert np.allclose(value["target"], expected, atol=1e-5)
    training = ~value["held_out"]
    assert value["score"][training].mean() == pytest.approx(expected[training].mean(), abs=0.7)
    assert np.corrcoef(value["score"][training], expected[training])[0, 1] > 0.5
    assert evaluate_scores(label["target"], label["score"], "classification")["auc"]["value"] > 0.8
    other = predict(tmp_path / "classification", store, task="regression", progress=False)
    assert np.allclose(other["score"], value["score"], atol=1e-5)
    assert list(other) == [*value, "outside_training"]
    with pytest.raises(InputError, match="predicts classification only"):
        fit(store, tmp_path / "one", 1, SMALL, QUICK, progress=False)
        predict(tmp_path / "one", store, task="regression", progress=False)


def test_a_joint_network_needs_labels_and_expression(tmp_path):
    genes, pcres = toy_tables()
    store = write_toy_store(tmp_path / "labels.h5", genes=genes.assign(expression=np.nan), pcres=pcres)
    with pytest.raises(InputError, match="have no expression"):
        fit(store, tmp_path / "run", 1, replace(SMALL, joint=True), QUICK, progress=False)


def test_a_weight_of_expression_is_refused_without_a_joint_network(store, tmp_path):
    with pytest.raises(InputError, match="expression_weight is 2, but has no effect"):
        fit(store, tmp_path / "run", 1, SMALL, replace(QUICK, expression_weight=2), progress=False)


def test_the_mean_of_the_weights_follows_every_step(store, tmp_path, monkeypatch):
    training = importlib.import_module("chromoformer.training.fit")
    seen = []

    class Recorded(training.AveragedModel):
        def update_parameters(self, model):
            seen.append(model.head[0].bias.detach().clone())
            super().update_parameters(model)

    monkeypatch.setattr(training, "AveragedModel", Recorded)
    fit(store, tmp_path / "run", 1, SMALL, replace(QUICK, average=0.9), progress=False)
    mean = seen[0]
    for step, bias in enumerate(seen[1:], 1):
        share = min(0.9, (1 + step) / (10 + step))
        mean = share * mean + (1 - share) * bias
    saved = checkpoint.load(tmp_path / "run").head[0].bias
    assert len(seen) == 3 * (90 // 16) and torch.allclose(saved, mean, atol=1e-6)


def test_a_dropped_mark_is_zero_in_the_promoter_and_in_all_pcres(store):
    batch = GeneDataset(Store(store)).batch([0, 5, 9])
    factor = torch.tensor([[1.0, 0.0], [2.0, 1.0], [1.0, 1.0]])[:, : batch.promoter.shape[-1]]
    scaled = batch.scaled(factor)
    bins = -(-batch.pcre_length // batch.bin_size)
    of_bin = torch.repeat_interleave(batch.gene, bins)
    for gene in range(3):
        assert torch.equal(scaled.promoter[gene], batch.promoter[gene] * factor[gene])
        assert torch.equal(scaled.pcre[of_bin == gene], batch.pcre[of_bin == gene] * factor[gene])


def test_no_chromosome_is_in_two_groups_of_a_split(store):
    genes = Store(store).genes
    for fold in (1, 2, 3, 4):
        training, validation, held_out = (
            set(genes["chrom"].iloc[rows])
            for rows in split_genes(genes, [fold], ["7"] if fold != 2 else ["1"])
        )
        assert not (training & held_out or training & validation or validation & held_out)


def test_labels_can_be_computed_from_training_genes_alone(store):
    from chromoformer.training.fit import label_by_training_median

    data = GeneDataset(Store(store))
    rows, _, _ = split_genes(data.genes, [1])
    label_by_training_median(data, rows)
    expression = data.genes["expression"].to_numpy()
    assert np.array_equal(data.target.numpy(), expression >= np.median(expression[rows]))


def test_shuffled_labels_are_predicted_at_chance(tmp_path):
    genes, pcres = toy_tables(per_chrom=90)
    genes["label"] = np.random.default_rng(5).permutation(genes["label"])
    store = write_toy_store(tmp_path / "shuffled.h5", genes=genes, pcres=pcres, learnable=False)
    metrics = fit(store, tmp_path / "run", 1, SMALL, QUICK, progress=False)
    labels = genes.loc[genes["fold"] == 1, "label"]
    standard_error = np.sqrt((len(labels) + 1) / (12 * labels.sum() * (len(labels) - labels.sum())))
    assert abs(metrics["auc"]["value"] - 0.5) < 3 * standard_error


def test_out_of_fold_predictions_cover_every_gene_once(store, runs):
    table = predict(runs, store, progress=False)
    assert len(table) == 120 and table["gene_id"].is_unique and table["held_out"].all()
    for run, fold in zip(runs, (1, 2, 3, 4)):
        own = pd.read_parquet(run / "predictions.parquet").query("fold == @fold")
        assert np.allclose(table.loc[table["fold"] == fold, "score"], own["score"], atol=1e-6)
    assert list(table) == [
        *("gene_id", "chrom", "tss", "fold", "held_out", "target", "score", "output_0", "output_1"),
        "outside_training",
    ]


@pytest.fixture(scope="module")
def seeds(store, runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    for seed in (1, 2):
        fit(store, folder / f"seed{seed}", 1, SMALL, QUICK, seed=seed, progress=False)
    return [runs[0], folder / "seed1", folder / "seed2"]


@pytest.mark.parametrize("number", [2, 3])
def test_seeds_of_one_fold_give_their_mean_and_standard_deviation(store, seeds, number):
    each = [predict(run, store, progress=False) for run in seeds[:number]]
    table = predict(seeds[:number], store, progress=False)
    scores = np.stack([one["score"] for one in each])
    assert len(table) == 120 and (table["held_out"] == (table["fold"] == 1)).all()
    assert np.allclose(table["score"], scores.mean(0)) and (table["n_models"] == number).all()
    assert np.allclose(table["score_sd"], scores.std(0, ddof=1)) and table["score_sd"].max() > 0
    assert np.allclose(table["output_1"], np.mean([one["output_1"] for one in each], axis=0), atol=1e-6)


def test_seeds_of_some_folds_are_averaged_within_their_fold(store, seeds, runs):
    table = predict([*runs[1:], *seeds], store, progress=False)
    assert len(table) == 120 and table["held_out"].all()
    assert (table["n_models"] == np.where(table["fold"] == 1, 3, 1)).all()
    assert (table["score_sd"].isna() == (table["fold"] != 1)).all()
    single = predict(runs, store, progress=False)
    other = table["fold"] != 1
    assert np.array_equal(table.loc[other, "score"], single.loc[other, "score"])
    assert "score_sd" not in single and "n_models" not in single


def test_seeds_of_a_regressor_are_averaged_on_the_scale_of_the_target(store, tmp_path):
    for seed in (0, 1):
        fit(store, tmp_path / f"{seed}", 2, SMALL, QUICK, task="regression", seed=seed, progress=False)
    each = [predict(tmp_path / f"{seed}", store, progress=False)["score"] for seed in (0, 1)]
    table = predict([tmp_path / "0", tmp_path / "1"], store, progress=False)
    assert np.allclose(table["score"], (each[0] + each[1]) / 2, atol=1e-6)
    assert np.allclose(table["score_sd"], np.abs(each[0] - each[1]) / np.sqrt(2), atol=1e-6)


def test_copies_of_a_run_are_averaged_with_a_warning(store, runs, tmp_path):
    shutil.copytree(runs[0], tmp_path / "copy")
    with pytest.warns(UserWarning, match="copy.* predicts exactly the same as .*fold1"):
        table = predict([runs[0], tmp_path / "copy"], store, progress=False)
    assert (table["score_sd"] == 0).all()


def test_held_out_folds_that_overlap_are_not_averaged(store, runs, tmp_path):
    checkpoint.save(checkpoint.load(runs[0]), tmp_path / "both", [1, 2])
    with pytest.raises(InputError, match="fold 1 is held out by"):
        predict([runs[0], tmp_path / "both"], store, progress=False)


def test_one_model_predicts_every_gene_and_marks_those_it_held_out(store, runs):
    table = predict(runs[1], store, progress=False)
    assert len(table) == 120 and (table["held_out"] == (table["fold"] == 2)).all()


def test_evaluation_of_four_runs_is_the_mean_over_their_folds(runs):
    table = evaluate(runs)
    together = table[table["run"] == "all folds"].set_index("metric")
    assert together.loc["auc", "genes"] == 120
    assert (together["low"] <= together["value"]).all() and (together["value"] <= together["high"]).all()
    by_fold = table[table["run"] != "all folds"].groupby("metric")["value"].mean()
    assert np.allclose(together["value"], by_fold[together.index])


def test_evaluation_does_not_depend_on_the_scale_of_a_fold(runs, tmp_path):
    from sklearn.metrics import roc_auc_score

    moved = [shutil.copytree(run, tmp_path / run.name) for run in runs]
    held_out = []
    for number, run in enumerate(moved):
        table = pd.read_parquet(run / "predictions.parquet")
        table = table.assign(score=(table["score"] + number) / 4)  # the same order in every fold
        table.to_parquet(run / "predictions.parquet", index=False)
        held_out.append(table[table["held_out"]])
    before, after = (
        evaluate(folders, draws=0).query("run == 'all folds'").set_index("metric")["value"]
        for folders in (runs, moved)
    )
    assert after["auc"] == before["auc"] and after["average_precision"] == before["average_precision"]
    pooled = pd.concat(held_out)
    assert roc_auc_score(pooled["target"], pooled["score"]) < after["auc"] - 0.05


def test_a_regressor_learns_more_than_the_mean(store, tmp_path):
    recipe = Recipe(epochs=12, batch_size=16, learning_rate=3e-3)
    metrics = fit(store, tmp_path / "run", 1, SMALL, recipe, task="regression", progress=False)
    table = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert metrics["pearson_r"]["value"] > 0.7 and table["score"].std() > 0.3
    assert list(table)[-1] == "output_0"


def test_a_model_over_several_stores_is_tested_on_an_unseen_one(store, tmp_path):
    second, unseen = (
        write_toy_store(tmp_path / f"{name}.h5", seed=seed) for name, seed in (("second", 1), ("unseen", 2))
    )
    fit([store, second], tmp_path / "run", 1, SMALL, QUICK, progress=False)
    table = predict(tmp_path / "run", unseen, progress=False)
    held_out = table[table["held_out"]]
    assert set(held_out["fold"]) == {1}
    assert set(pd.read_parquet(tmp_path / "run" / "predictions.parquet")["store"]) == {"toy", "second"}


def test_early_stopping_keeps_the_best_epoch(store, tmp_path):
    recipe = Recipe(epochs=30, batch_size=16, learning_rate=2e-2, decay=1.0, plateau=1, patience=3)
    fit(store, tmp_path / "run", 1, SMALL, recipe, validation=["chr7"], progress=False)
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    best = int(history["validation_loss"].idxmin()) + 1
    assert state["progress"]["best_epoch"] == best and len(history) in (best + 3, 30)
    assert torch.equal(
        checkpoint.load(tmp_path / "run").state_dict()["head.0.weight"],
        state["progress"]["best_weights"]["head.0.weight"],
    )
    with pytest.raises(InputError, match="validation"):
        fit(store, tmp_path / "none", 1, SMALL, recipe, progress=False)


@pytest.mark.parametrize(
    ("column", "value", "task", "message"),
    [
        ("label", 1, "classification", "all training genes have the label 1"),
        ("label", -1, "classification", "no label"),
        ("expression", 3.0, "regression", "is the same"),
        ("expression", np.nan, "regression", "no expression"),
    ],
)
def test_missing_and_constant_targets_are_refused(tmp_path, column, value, task, message):
    genes, pcres = toy_tables()
    store = write_toy_store(
        tmp_path / "toy.h5", genes=genes.assign(**{column: value}), pcres=pcres, learnable=False
    )
    with pytest.raises(InputError, match=message):
        fit(store, tmp_path / "run", 1, SMALL, QUICK, task=task, progress=False)


def test_a_loss_that_is_not_finite_stops_training(store, tmp_path):
    with pytest.raises(InputError, match=r"the loss is not finite .(nan|inf). in epoch"):
        fit(
            store,
            tmp_path / "run",
            1,
            SMALL,
            Recipe(epochs=3, batch_size=16, learning_rate=1e30),
            progress=False,
        )
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_complete_runs_and_runs_with_other_settings_are_not_overwritten(store, runs, tmp_path):
    before = weights(runs[0])
    with pytest.raises(InputError, match="complete run"):
        fit(store, runs[0], 1, SMALL, QUICK, progress=False)
    assert weights(runs[0]) == before
    run = tmp_path / "run"
    fit(store, run, 1, SMALL, QUICK, progress=False)
    os.remove(run / "metrics.json")
    with pytest.raises(InputError, match="other settings"):
        fit(store, run, 1, SMALL, QUICK, seed=9, progress=False)


def test_a_run_that_is_named_twice_is_refused(store, runs, tmp_path):
    link = tmp_path / "another_name"
    link.symlink_to(runs[0])
    for again in (runs[0], str(runs[0]), runs[0].parent / "." / "fold1", link):
        with pytest.raises(InputError, match="fold 1 is held out by .*named twice"):
            predict([runs[0], again], store, progress=False)


def test_a_fold_that_the_store_lacks_cannot_be_held_out(store, runs):
    with pytest.raises(InputError, match="fold 7"):
        fit(store, runs[0].parent / "seven", 7, SMALL, QUICK, progress=False)


def test_a_complete_run_is_kept_on_request_if_its_settings_are_the_same(store, runs):
    before = {file: file.stat().st_mtime_ns for file in runs[0].iterdir()}
    metrics = fit(store, runs[0], 1, SMALL, QUICK, keep=True, progress=False)
    assert metrics["auc"] == evaluate_scores_of(runs[0])["auc"]
    with pytest.raises(InputError, match="other settings .*seed"):
        fit(store, runs[0], 1, SMALL, QUICK, seed=5, keep=True, progress=False)
    assert {file: file.stat().st_mtime_ns for file in runs[0].iterdir()} == before


def evaluate_scores_of(run):
    table = pd.read_parquet(run / "predictions.parquet").query("held_out")
    target, score = table["target"].to_numpy(), table["score"].to_numpy()
    return evaluate_scores(target, score, "classification", blocks=blocks_of(table))


def test_a_network_in_memory_is_not_taken_for_a_folder_of_its_name(store, tmp_path, monkeypatch):
    settings = {"calibrate": "platt", "validation": ["chr7", "chr2"], "progress": False}
    settings["recipe"] = replace(QUICK, epochs=1)
    fit(store, tmp_path / "network", 1, SMALL, **settings)
    fit(store, tmp_path / "the network in memory", 1, SMALL, **settings)
    monkeypatch.chdir(tmp_path)
    model = checkpoint.load("network")
    table = predict(model, store, progress=False)
    assert "probability" not in table and not table["held_out"].any()
    assert np.allclose(table["score"], predict("network", store, progress=False)["score"])
    assert held_out_genes(model, store) == Store(store).genes["gene_id"].tolist()


def test_folds_and_seeds_may_be_numbers_of_numpy(store, tmp_path):
    fold, seed = np.int64(1), np.int64(3)
    for name, held_out in (("one", fold), ("list", [fold]), ("array", np.array([1]))):
        fit(store, tmp_path / name, held_out, SMALL, replace(QUICK, epochs=1), seed=seed, progress=False)
        assert checkpoint.read_config(tmp_path / name)[1] == (1,)
    checkpoint.save(checkpoint.load(tmp_path / "one"), tmp_path / "saved", fold)
    assert checkpoint.read_config(tmp_path / "saved")[1] == (1,)
    for wrong in ("1", [1.5], None):
        with pytest.raises(InputError, match="whole number"):
            fit(store, tmp_path / "wrong", wrong, SMALL, QUICK, progress=False)
    assert not (tmp_path / "wrong").exists()


def test_edited_metrics_are_found(store, tmp_path):
    run = tmp_path / "run"
    metrics = fit(store, run, 1, SMALL, replace(QUICK, epochs=1), progress=False)
    assert verify(run) == [] and collect([run]).query("metric == 'auc'")["value"].item() < 1.01
    write_json(run / "metrics.json", metrics | {"auc": {"value": 0.99}})
    assert "metrics.json" in "".join(verify(run))
    with pytest.raises(InputError, match="differ from those that the run recorded"):
        collect([run])
    (run / "metrics.json").write_text("{")
    with pytest.raises(InputError, match="metrics cannot be read"):
        read_metrics(run)


def test_a_run_without_its_record_is_not_complete(store, tmp_path, monkeypatch):
    run, recipe = tmp_path / "run", replace(QUICK, epochs=1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("chromoformer.training.run_folder.record", interrupt)
        fit(store, run, 1, SMALL, recipe, progress=False)
    assert (run / "metrics.json").exists() and is_interrupted(run) and not is_complete(run)
    fit(store, run, 1, SMALL, recipe, progress=False)
    assert is_complete(run) and verify(run) == []


def interrupt(*arguments, **named):
    raise KeyboardInterrupt


def test_damaged_settings_of_a_model_are_named(store, tmp_path):
    fit(store, tmp_path / "run", 1, SMALL, replace(QUICK, epochs=1), progress=False)
    for text in ("{", "[]", '{"folds": 3}'):
        (tmp_path / "run" / "config.json").write_text(text)
        with pytest.raises(InputError, match="config.json"):
            checkpoint.read_folds(tmp_path / "run")
    (tmp_path / "run" / "provenance.json").write_text("{")
    with pytest.raises(InputError, match="provenance.json"):
        seed_of(tmp_path / "run")


def test_a_run_with_genes_of_one_class_is_named_and_left_out_of_the_mean(runs, tmp_path):
    moved = [shutil.copytree(run, tmp_path / run.name) for run in runs]
    table = pd.read_parquet(moved[2] / "predictions.parquet")
    table.assign(target=1.0).to_parquet(moved[2] / "predictions.parquet", index=False)
    with pytest.warns(UserWarning, match=r"fold3, .*equal: AUC; the mean is over 3 other folds"):
        found = evaluate(moved).set_index(["run", "metric"])
    assert np.isnan(found.loc[("fold3", "auc"), "value"])
    others = [found.loc[(f"fold{fold}", "auc"), "value"] for fold in (1, 2, 4)]
    together = found.loc["all folds"]
    assert np.isclose(together.loc["auc", "value"], np.mean(others))
    assert together["fold"].to_dict() == {"auc": "3 of 4", "average_precision": "all", "accuracy": "all"}


def test_a_run_that_is_named_twice_is_not_evaluated(runs):
    with pytest.raises(InputError, match="fold1 is given twice"):
        evaluate([runs[0], runs[1], runs[1] / ".." / "fold1"])


@pytest.mark.parametrize("seed", [-1, 2**32, 2**64, 10**17, 1.5])
def test_impossible_seeds_are_refused_and_leave_nothing(store, tmp_path, seed):
    for train in (
        lambda: fit(store, tmp_path / "run", 1, SMALL, seed=seed, progress=False),
        lambda: fit_members(store, tmp_path / "run", 1, SMALL, seeds=[0, seed], progress=False),
        lambda: baselines.fit("logistic regression", store, tmp_path / "run", 1, seed=seed, progress=False),
        lambda: simulate(tmp_path / "toy", 8, seed, progress=False),
        lambda: run_demo(tmp_path / "demo", seed, progress=False),
    ):
        with pytest.raises(InputError, match="seed: found .*\n.*0 to 4,294,967,295"):
            train()
    assert not list(tmp_path.iterdir())


def test_the_largest_seed_trains(store, tmp_path):
    recipe = Recipe(epochs=1, batch_size=64)
    fit(store, tmp_path / "run", 1, SMALL, recipe, seed=2**32 - 1, progress=False)
    assert seed_of(tmp_path / "run") == 2**32 - 1
