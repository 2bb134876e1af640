"""Runs with several members resume, keep their members' bits, and predict the mean with its calibration."""

import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import SMALL, interrupted_in_the_second_epoch, toy_tables, write_toy_store

from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.experiments.comparison import held_out_predictions
from chromoformer.model import checkpoint
from chromoformer.provenance import verify
from chromoformer.training.fit import fit
from chromoformer.training.members import fit_members
from chromoformer.training.predict import evaluate, predict
from chromoformer.training.recipe import Recipe
from chromoformer.training.run_folder import is_complete, is_interrupted, read_predictions

QUICK = Recipe(epochs=2, batch_size=16, learning_rate=2e-3)
JOINT = replace(SMALL, joint=True, dropout=0.1)
OPTIONS = {"calibrate": "platt", "progress": False}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    genes, pcres = toy_tables(per_chrom=60)
    return write_toy_store(tmp_path_factory.mktemp("members") / "toy.h5", genes=genes, pcres=pcres)


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("members") / "run"
    fit_members(store, folder, 1, JOINT, QUICK, seeds=[3, 5], **OPTIONS)
    return folder


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def test_a_member_has_the_bits_of_a_single_training_with_its_seed(store, run, tmp_path):
    left_out = json.loads((run / "calibration.json").read_text())["chromosomes"]
    fit(store, tmp_path / "one", 1, JOINT, QUICK, seed=5, validation=left_out, progress=False)
    assert weights(tmp_path / "one") == weights(run / "seed5")
    for name in ("predictions.parquet", "predictions.regression.parquet", "metrics.json", "config.json"):
        assert (tmp_path / "one" / name).read_bytes() == (run / "seed5" / name).read_bytes()


def test_the_calibration_genes_are_neither_trained_on_nor_held_out(store, run):
    found = json.loads((run / "calibration.json").read_text())
    genes = Store(store).genes
    folds = set(genes.loc[genes["chrom"].isin(found["chromosomes"]), "fold"])
    assert found["chromosomes"] and 1 not in folds
    state = json.loads((run / "members.json").read_text())["settings"]
    assert state["validation"] == found["chromosomes"] and state["seeds"] == [3, 5]
    range_of = json.loads((run / "config.json").read_text())["training_range"]
    assert range_of["genes"] == len(genes) - genes["chrom"].isin([*found["chromosomes"], "chr1"]).sum()


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_predictions_are_the_mean_and_spread_of_the_members(store, run, task):
    mean = predict(run, store, task=task, progress=False)
    each = [predict(run / name, store, task=task, progress=False) for name in ("seed3", "seed5")]
    scores = np.stack([table["score"].to_numpy(np.float64) for table in each])
    assert np.allclose(mean["score"], scores.mean(0), rtol=1e-12)
    assert np.allclose(mean["score_sd"], np.abs(scores[0] - scores[1]) / np.sqrt(2), atol=1e-9)
    assert (mean["n_models"] == 2).all()
    assert "probability" not in each[0] and "low" not in each[0]  # the calibration is that of the mean
    kept = read_predictions(run, task)
    pd.testing.assert_frame_equal(mean[kept.columns], kept, rtol=1e-4, atol=1e-5)


def test_the_target_of_both_tasks_is_kept(store, run):
    genes = Store(store).genes
    assert (read_predictions(run, "classification")["target"] == genes["label"]).all()
    assert np.allclose(read_predictions(run, "regression")["target"], np.log2(genes["expression"] + 1))


def test_an_interrupted_run_ends_with_the_same_files(store, run, tmp_path, monkeypatch):
    again = tmp_path / "run"
    with interrupted_in_the_second_epoch(monkeypatch):
        fit_members(store, again, 1, JOINT, QUICK, seeds=[3, 5], **OPTIONS)
    assert is_interrupted(again) and not is_complete(again)
    with pytest.raises(InputError, match="repeat its `train` command"):
        predict(again, store, progress=False)
    fit_members(store, again, 1, JOINT, QUICK, seeds=[3, 5], **OPTIONS)
    names = ("metrics.json", "calibration.json", "predictions.parquet", "config.json", "README.md")
    for name in (*names, "seed3/model.safetensors", "seed5/model.safetensors"):
        assert (again / name).read_bytes() == (run / name).read_bytes(), name
    assert verify(again) == []


def test_a_complete_run_is_refused_kept_or_extended(store, run, tmp_path):
    folder = tmp_path / "run"
    one = fit_members(store, folder, 1, SMALL, QUICK, seeds=[0], progress=False)
    with pytest.raises(InputError, match="complete run"):
        fit_members(store, folder, 1, SMALL, QUICK, seeds=[0], progress=False)
    assert fit_members(store, folder, 1, SMALL, QUICK, seeds=[0], keep=True, progress=False) == one
    with pytest.raises(InputError, match="other settings"):
        fit_members(store, folder, 1, SMALL, QUICK, seeds=[0, 1], calibrate="platt", progress=False)
    before = (folder / "seed0" / "model.safetensors").stat().st_mtime_ns
    fit_members(store, folder, 1, SMALL, QUICK, seeds=[0, 1], progress=False)
    assert (folder / "seed0" / "model.safetensors").stat().st_mtime_ns == before
    assert (read_predictions(folder)["n_models"] == 2).all()


def test_single_networks_and_members_do_not_overwrite_each_other(store, run, tmp_path):
    with pytest.raises(InputError, match="complete run"):
        fit(store, run, 1, JOINT, QUICK, progress=False)
    fit(store, tmp_path / "one", 1, SMALL, QUICK, progress=False)
    with pytest.raises(InputError, match="complete run"):
        fit_members(store, tmp_path / "one", 1, SMALL, QUICK, seeds=[0, 1], progress=False)
    with pytest.raises(InputError, match="holds 2 networks"):
        checkpoint.load(run)
    with pytest.raises(InputError, match="not different"):
        fit_members(store, tmp_path / "two", 1, SMALL, QUICK, seeds=[0, 0], progress=False)
    assert not (tmp_path / "two").exists()


def test_members_count_as_trainings_in_a_comparison(run):
    table = held_out_predictions({"joint": [run]})
    assert sorted(table["seed"].unique()) == [3, 5]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_predictions_of_each_task_are_compared_by_its_name(run, task):
    table = held_out_predictions({"joint": [run]}, task, cell_type="toy")
    assert set(table["task"]) == {task} and set(table["cell_type"]) == {"toy"}
    for seed, part in table.groupby("seed"):
        kept = read_predictions(run / f"seed{seed}", task).query("held_out").set_index("gene_id")
        assert (part.set_index("gene_id")[["target", "score"]] == kept[["target", "score"]]).all(axis=None)


def test_predictions_of_a_task_that_a_run_lacks_are_refused(store, tmp_path):
    fit(store, tmp_path / "run", 1, SMALL, QUICK, progress=False)
    with pytest.raises(InputError, match="predicts classification, not regression"):
        held_out_predictions({"one": [tmp_path / "run"]}, "regression")


def test_evaluation_reads_the_mean(run):
    table = evaluate(run).set_index("metric")
    assert table.loc["auc", "value"] == pytest.approx(
        json.loads((run / "metrics.json").read_text())["auc"]["value"]
    )


def test_a_single_network_is_calibrated_in_the_same_way(store, tmp_path):
    fit(store, tmp_path / "run", 1, SMALL, QUICK, task="regression", calibrate="platt", progress=False)
    table = predict(tmp_path / "run", store, coverage=0.5, progress=False)
    wide = predict(tmp_path / "run", store, coverage=0.9, progress=False)
    assert ((wide["high"] - wide["low"]) > (table["high"] - table["low"])).all()
    own = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert np.allclose(own["high"], wide["high"], atol=1e-4)
    own = own[
        own["chrom"].isin(json.loads((tmp_path / "run" / "calibration.json").read_text())["chromosomes"])
    ]
    errors = np.sort(own["target"] - own["score"])
    limit = errors[int(np.ceil((len(errors) + 1) * 0.95)) - 1]
    assert np.allclose(own["high"] - own["score"], limit, atol=1e-4)


def test_uncalibrated_and_mixed_models_predict_without_calibrated_columns(store, run, tmp_path):
    fit(store, tmp_path / "one", 1, JOINT, QUICK, progress=False)
    assert "probability" not in predict(tmp_path / "one", store, progress=False)
    assert "probability" not in predict([run, tmp_path / "one"], store, progress=False)
    assert "probability" in predict([run / "seed3", run / "seed5"], store, progress=False)  # all its members


def test_genes_without_calibration_next_to_calibrated_models_are_warned_of(store, run, tmp_path):
    for number in (1, 2):
        fit(store, tmp_path / str(number), number, JOINT, QUICK, progress=False)
    for runs, says in (
        ([run, tmp_path / "2"], "2: not calibrated, so the genes of this fold have no probability"),
        ([run, tmp_path / "1"], "holds for its own networks together, so there is no probability"),
        (run / "seed3", "holds for its own networks together"),
    ):
        with pytest.warns(UserWarning, match=says):
            predict(runs, store, progress=False)
    with pytest.warns(UserWarning, match="no low and high"):
        table = predict([run, tmp_path / "2"], store, task="regression", progress=False)
    assert (table["low"].notna() == (table["fold"] == 1)).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict(run, store, progress=False)
        predict([tmp_path / "1", tmp_path / "2"], store, progress=False)


def test_models_of_older_versions_predict_without_flags(store, run, tmp_path):
    folder = tmp_path / "old"
    fit(store, folder, 1, SMALL, QUICK, progress=False)
    file = folder / "config.json"
    content = json.loads(file.read_text())
    del content["training_range"]
    file.write_text(json.dumps(content))
    assert "outside_training" not in predict(folder, store, progress=False)


def test_genes_with_a_mark_beyond_all_training_genes_are_flagged(store, run, tmp_path):
    path = tmp_path / "strong.h5"
    genes, pcres = toy_tables(per_chrom=60)
    write_toy_store(path, genes=genes.assign(label=np.where(genes["gene_id"] == "gene7", 40, genes["label"])))
    flagged = predict(run, path, progress=False).set_index("gene_id")["outside_training"]
    assert flagged["gene7"] and not predict(run, store, progress=False)["outside_training"].mean() > 0.1


def test_too_few_calibration_genes_are_refused_before_training(tmp_path):
    store = write_toy_store(tmp_path / "toy.h5")
    with pytest.raises(InputError, match="30 calibration genes"):
        fit_members(store, tmp_path / "run", 1, SMALL, QUICK, **OPTIONS)
    assert not (tmp_path / "run").exists()


def test_the_card_names_cell_type_chromosomes_and_calibration(run):
    text = (run / "README.md").read_text()
    assert "tested on | toy (toy), 60 genes on chr1 |" in text
    assert "left out to calibrate | toy (toy), 60 genes on chr7 |" in text
    assert "trained on | toy (toy), 120 genes on chr2, chr9 |" in text
    assert "seeds 3, 5" in text and "`probability` is calibrated" in text
    auc = json.loads((run / "metrics.json").read_text())["auc"]
    assert f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})" in text


def test_a_readme_of_the_user_is_kept(store, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "README.md").write_text("mine")
    fit(store, tmp_path / "run", 1, SMALL, QUICK, progress=False)
    fit(store, tmp_path / "run", 1, SMALL, QUICK, force=True, progress=False)
    assert (tmp_path / "run" / "README.md").read_text() == "mine"


def test_an_interruption_while_a_seed_is_added_leaves_no_old_results(store, tmp_path, monkeypatch):
    folder, options = tmp_path / "run", {"calibrate": "platt", "progress": False}
    fit_members(store, folder, 1, SMALL, QUICK, seeds=[0], **options)
    with interrupted_in_the_second_epoch(monkeypatch):
        fit_members(store, folder, 1, SMALL, QUICK, seeds=[0, 1], **options)
    names = {file.name for file in folder.iterdir() if file.is_file()}
    assert names <= {"members.json", "README.md"}
    for read in (read_predictions, evaluate):
        with pytest.raises(InputError):
            read(folder)
    fit_members(store, folder, 1, SMALL, QUICK, seeds=np.array([0, 1]), **options)
    assert verify(folder) == [] and json.loads((folder / "members.json").read_text())["members"] == [
        "seed0",
        "seed1",
    ]


def test_predictions_of_an_incomplete_run_are_refused(store, tmp_path):
    fit(store, tmp_path / "run", 1, SMALL, QUICK, progress=False)
    (tmp_path / "run" / "metrics.json").unlink()
    with pytest.raises(InputError, match="cut off"):
        read_predictions(tmp_path / "run", "classification")


@pytest.mark.parametrize("content", ["{", "[]", '{"members": 3}', '{"members": [], "settings": 3}'])
def test_a_damaged_list_of_members_is_named_and_can_be_replaced(store, run, tmp_path, content):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "members.json").write_text(content)
    with pytest.raises(InputError, match=r"not a list of members.*members\.json.*--force|members\.json"):
        fit_members(store, folder, 1, SMALL, QUICK, seeds=[3], progress=False)
    fit_members(store, folder, 1, SMALL, QUICK, seeds=[3], force=True, progress=False)
    assert checkpoint.members_of(folder) == [folder / "seed3"] and verify(folder) == []
    assert is_complete(folder / "seed3")


def test_edited_metrics_of_the_mean_are_found(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics))
    assert "metrics.json" in "".join(verify(tmp_path / "run"))
