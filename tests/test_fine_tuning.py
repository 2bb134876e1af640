"""Training from a trained model copies weights by mark, freezes parts and keeps genes apart."""

import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from command_line import chromoformer, succeed
from helpers import CHROMS, SMALL, interrupted_in_the_second_epoch, toy_tables, write_toy_store

from chromoformer.data.store import Store, write_store
from chromoformer.errors import InputError
from chromoformer.model import checkpoint
from chromoformer.model.network import Chromoformer, random_batch
from chromoformer.provenance import sha256, verify
from chromoformer.studies.verify import rerun
from chromoformer.training.fit import fit
from chromoformer.training.recipe import Recipe
from chromoformer.training.start import Start, copy_weights, recipe_of

QUICK = Recipe(epochs=2, batch_size=16, learning_rate=2e-3)
STILL = Recipe(epochs=1, batch_size=16, learning_rate=1e-30, weight_decay=0.0)
JOINT = replace(SMALL, joint=True)


def other_marks(path, source, names, take):
    "Write a store of the same genes whose channels are some of another store's, or empty (None)."
    genes, pcres = toy_tables()
    signal = Store(source).signal()

    def signal_of(regions):
        return np.stack([np.zeros(len(signal), np.float32) if n is None else signal[:, n] for n in take], 1)

    write_store(
        path,
        genes=genes,
        pcres=pcres,
        signal_of=signal_of,
        channels=names,
        bin_sizes=(2000, 500, 100),
        window=4000,
        genome="toy",
        inputs={},
        chrom_sizes=CHROMS,
    )
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_toy_store(tmp_path_factory.mktemp("start") / "toy.h5")


@pytest.fixture(scope="module")
def first(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("start") / "first"
    fit(store, folder, 1, SMALL, QUICK, progress=False)
    return folder


def scores(run):
    return pd.read_parquet(run / "predictions.parquet")["score"].to_numpy()


def weights(run):
    return checkpoint.load(run).state_dict()


def test_training_starts_from_the_predictions_of_the_model(store, first, tmp_path):
    fit(store, tmp_path / "run", 1, None, STILL, start=first, seed=9, progress=False)
    assert np.allclose(scores(tmp_path / "run"), scores(first), atol=1e-6)


@pytest.mark.parametrize(
    ("names", "take", "marks"),
    [
        (["H3K27ac", "H3K4me3"], [1, 0], {}),
        (["CTCF", "H3K27ac", "H3K4me3"], [0, 1, 0], {}),  # a new mark has no effect at first
        (["ac", "me3"], [1, 0], {"ac": "H3K27ac", "me3": "H3K4me3"}),
    ],
)
def test_marks_are_matched_by_name(store, first, tmp_path, names, take, marks):
    other = other_marks(tmp_path / "other.h5", store, names, take)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(other, tmp_path / "run", 1, None, STILL, start=Start(first, marks=marks), progress=False)
    assert np.allclose(scores(tmp_path / "run"), scores(first), atol=1e-5)
    assert checkpoint.read_config(tmp_path / "run")[0].channels == tuple(names)


def test_a_new_mark_is_learned(store, first, tmp_path):
    other = other_marks(tmp_path / "other.h5", store, ["CTCF", "H3K27ac"], [0, 1])  # H3K4me3 is left out
    with pytest.warns(UserWarning, match="no H3K4me3"):
        fit(other, tmp_path / "run", 1, None, replace(QUICK, epochs=1), start=first, progress=False)
    column = weights(tmp_path / "run")["embedding.100.input.weight"][:, 0]
    assert column.abs().max() > 1e-4


@pytest.mark.parametrize("span", ["window", "gene"])
def test_inputs_and_scales_of_marks_are_copied_in_their_order(span):
    config = replace(JOINT, span=span, channels=("A", "B", "C"))
    torch.manual_seed(0)
    source, model = Chromoformer(config), Chromoformer(replace(config, channels=("C", "new", "A")))
    if span == "gene":
        source.standardise(random_batch(5, config))
        own = model.embedding["100"].mean.clone()
    source.standardise_expression(torch.arange(9.0))
    copy_weights(source, model)
    theirs, ours = source.embedding["100"].input.weight, model.embedding["100"].input.weight
    assert torch.equal(ours[:, [0, 2]], theirs[:, [2, 0]]) and (ours[:, 1] == 0).all()
    assert torch.equal(ours[:, 3:], theirs[:, 3:]) and (span == "window" or ours.shape[1] > 3)
    assert torch.equal(model.expression_mean, source.expression_mean)
    if span == "gene":
        expected = torch.stack([source.embedding["100"].mean[2], own[1], source.embedding["100"].mean[0]])
        assert torch.equal(model.embedding["100"].mean, expected)


@pytest.mark.parametrize("parts", [["embedding"], ["pairwise.500", "regulation"], ["head.0"]])
def test_frozen_parts_keep_their_bits_and_others_change(store, first, tmp_path, parts):
    fit(store, tmp_path / "run", 1, None, QUICK, start=Start(first, parts), progress=False)
    before, after = weights(first), weights(tmp_path / "run")
    frozen = {name for name in before if any(name.startswith(f"{part}.") for part in parts)}
    assert frozen and all(torch.equal(before[name], after[name]) for name in frozen)
    changed = [name for name in before if name not in frozen and not torch.equal(before[name], after[name])]
    assert any(name.startswith("head.2") for name in changed) and len(changed) > 3


@pytest.mark.parametrize("average", [None, 0.9])
def test_an_interrupted_fine_tuning_ends_with_the_same_bits(store, first, tmp_path, monkeypatch, average):
    recipe = replace(QUICK, average=average)
    start = Start(first, ["embedding"])
    fit(store, tmp_path / "whole", 1, None, recipe, start=start, progress=False)
    with interrupted_in_the_second_epoch(monkeypatch):
        fit(store, tmp_path / "cut", 1, None, recipe, start=start, progress=False)
    fit(store, tmp_path / "cut", 1, None, recipe, start=start, progress=False)
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_another_task_has_a_new_head_and_the_other_parts_are_copied(store, first, tmp_path):
    start = Start(first, ["embedding", "pairwise", "regulation"])
    fit(store, tmp_path / "run", 1, None, QUICK, task="regression", start=start, progress=False)
    before, after = weights(first), weights(tmp_path / "run")
    same = {
        name
        for name in before
        if before[name].shape == after[name].shape and torch.equal(before[name], after[name])
    }
    assert same == {name for name in before if not name.startswith("head.")}
    with pytest.raises(InputError, match="head is new"):
        fit(store, tmp_path / "other", 1, None, QUICK, task="regression", start=Start(first, ["head"]))


def test_a_joint_network_keeps_the_scale_of_expression_of_its_start(store, tmp_path):
    fit(store, tmp_path / "first", 1, JOINT, QUICK, progress=False)
    genes, pcres = toy_tables()
    more = write_toy_store(
        tmp_path / "more.h5", genes=genes.assign(expression=genes["expression"] * 50), pcres=pcres
    )
    fit(more, tmp_path / "run", 1, None, STILL, task="regression", start=tmp_path / "first", progress=False)
    own = pd.read_parquet(tmp_path / "run" / "predictions.parquet")["score"]
    before = pd.read_parquet(tmp_path / "first" / "predictions.regression.parquet")["score"]
    assert np.allclose(own, before, atol=1e-5)
    fit(
        more,
        tmp_path / "learned",
        1,
        None,
        replace(QUICK, epochs=6),
        task="regression",
        start=tmp_path / "first",
        progress=False,
    )
    learned = pd.read_parquet(tmp_path / "learned" / "predictions.parquet")
    assert ((learned["score"] - learned["target"]) ** 2).mean() < ((own - learned["target"]) ** 2).mean()


def test_a_published_checkpoint_is_a_start_whose_training_genes_are_unknown(store, first, tmp_path):
    checkpoint.export_published(checkpoint.load(first), tmp_path / "published.pt")
    with pytest.warns(UserWarning, match="unknown which genes"):
        fit(store, tmp_path / "run", 1, None, STILL, start=tmp_path / "published.pt", progress=False)
    assert np.allclose(scores(tmp_path / "run"), scores(first), atol=1e-6)
    assert (
        "unknown whether it was trained on the tested genes" in (tmp_path / "run" / "README.md").read_text()
    )


def test_the_start_is_in_the_settings_the_record_and_the_card(store, first, tmp_path):
    fit(store, tmp_path / "run", 1, None, QUICK, start=Start(first, ["embedding"]), progress=False)
    record = json.loads((tmp_path / "run" / "provenance.json").read_text())
    digest = sha256(first / "model.safetensors")
    expected = {
        "model": "first",
        "sha256": digest,
        "freeze": ["embedding"],
        "marks": {},
        "left_out": [],
        "held_out_known": True,
    }
    assert record["parameters"]["start"] == expected and record["inputs"]["start"]["sha256"] == digest
    assert digest[:16] in (tmp_path / "run" / "README.md").read_text() and verify(tmp_path / "run") == []
    with pytest.raises(InputError, match="start differ"):
        fit(store, tmp_path / "run", 1, SMALL, QUICK, keep=True, progress=False)


def test_genes_that_the_start_was_trained_on_are_not_held_out(store, first, tmp_path):
    with pytest.raises(InputError, match="trained on genes that are held out now: those on chr7"):
        fit(store, tmp_path / "run", 2, None, QUICK, start=first, progress=False)
    assert not (tmp_path / "run").exists()


def test_genes_that_the_start_was_trained_on_do_not_calibrate(tmp_path):
    genes, pcres = toy_tables(per_chrom=60)
    store = write_toy_store(tmp_path / "toy.h5", genes=genes, pcres=pcres)
    fit(store, tmp_path / "seen", 1, SMALL, STILL, progress=False)
    fit(store, tmp_path / "left_out", 1, SMALL, STILL, calibrate="platt", progress=False)
    with pytest.raises(InputError, match="trained on genes that are to calibrate"):
        fit(
            store,
            tmp_path / "run",
            1,
            None,
            STILL,
            start=tmp_path / "seen",
            calibrate="platt",
            progress=False,
        )
    fit(
        store,
        tmp_path / "run",
        1,
        None,
        STILL,
        start=tmp_path / "left_out",
        calibrate="platt",
        progress=False,
    )


def test_what_a_start_was_trained_on_is_known_after_several_fine_tunings(tmp_path):
    genes, pcres = toy_tables(per_chrom=60)
    store = write_toy_store(tmp_path / "toy.h5", genes=genes, pcres=pcres)

    def tune(start, out, **options):
        fit(store, tmp_path / out, 1, None, STILL, start=tmp_path / start, progress=False, **options)

    fit(store, tmp_path / "seen", 1, SMALL, STILL, progress=False)
    tune("seen", "second", validation=["chr7"])
    with pytest.raises(InputError, match="trained on genes that are to calibrate: those on 7"):
        tune("second", "third", calibrate="platt", validation=["chr7"])
    fit(store, tmp_path / "left_out", 1, SMALL, STILL, validation=["chr7"], progress=False)
    tune("left_out", "again", validation=["7"])
    tune("again", "calibrated", calibrate="platt", validation=["chr7"])

    checkpoint.export_published(checkpoint.load(tmp_path / "seen"), tmp_path / "published.pt")
    for start, out in (("published.pt", "one"), ("one", "two"), ("two", "three")):
        with pytest.warns(UserWarning, match="unknown which genes"):
            tune(start, out)
        assert "unknown whether it was trained on the tested" in (tmp_path / out / "README.md").read_text()


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ({"freeze": ["embeding"]}, "no part 'embeding'"),
        ({"freeze": ["embedding", "pairwise", "regulation", "head"]}, "nothing is trained"),
        ({"marks": {"H3K9ac": "H3K27ac"}}, "the store has no marks H3K9ac"),
        ({"marks": {"H3K27ac": "H3K9ac"}}, "the model has no marks H3K9ac"),
    ],
)
def test_starts_that_do_not_fit_are_refused(store, first, tmp_path, start, says):
    with pytest.raises(InputError, match=says):
        fit(store, tmp_path / "run", 1, None, QUICK, start=Start(first, **start), progress=False)


def test_other_sizes_and_foreign_marks_are_refused(store, first, tmp_path):
    with pytest.raises(InputError, match="other sizes"):
        fit(store, tmp_path / "run", 1, replace(SMALL, head_width=8), QUICK, start=first, progress=False)
    other = other_marks(tmp_path / "other.h5", store, ["a", "b"], [0, 1])
    with pytest.raises(InputError, match="has the marks a and b|has the marks a, b"):
        fit(other, tmp_path / "run", 1, None, QUICK, start=first, progress=False)


def test_the_command_trains_members_from_a_start(toy_store, toy_runs, tiny, tmp_path):
    config = tmp_path / "recipe.yaml"
    config.write_text("recipe: {epochs: 1, batch_size: 8}\n")
    options = ["--fold", 1, "--config", config, "--seeds", 2, "--freeze", "embedding"]
    out = succeed("train", toy_store, "--out", tmp_path / "run", "--init", toy_runs[0].parent, *options).out
    assert "fold 1, held-out genes" in out
    before, after = weights(toy_runs[0]), weights(tmp_path / "run" / "seed1")
    assert torch.equal(before["embedding.100.input.weight"], after["embedding.100.input.weight"])
    assert not torch.equal(before["head.0.weight"], after["head.0.weight"])
    out = succeed("predict", tmp_path / "run", toy_store, "--out", tmp_path / "table.csv").out
    assert "2 runs of a fold are averaged" in out and "outside_training" in out
    assert "members     2: seed0, seed1" in succeed("info", tmp_path / "run").out
    wrong = chromoformer("train", toy_store, "--out", tmp_path / "x", "--freeze", "embedding")
    assert wrong.status == 2 and "--init" in wrong.err


def test_calibrated_and_fine_tuned_runs_are_run_again_after_a_move(store, tmp_path):
    before, options = tmp_path / "before", {"validation": ["chr2", "chr9"], "progress": False}
    before.mkdir()
    shutil.copy(store, before / "toy.h5")
    fit(before / "toy.h5", before / "first", 1, SMALL, replace(QUICK, epochs=1), **options)
    options |= {"start": before / "first", "calibrate": "platt"}
    fit(before / "toy.h5", before / "run", 1, None, replace(QUICK, epochs=1), **options)
    after = tmp_path / "after"
    before.rename(after)
    assert rerun(after / "run") == []
    (after / "run" / "state.pt").unlink()  # its settings are in the record, too
    assert rerun(after / "run") == []
    (after / "toy.h5").rename(tmp_path / "elsewhere.h5")
    with pytest.raises(InputError, match="toy is missing"):
        rerun(after / "run")


def test_the_recipe_of_a_start_is_read_from_its_record_if_its_state_is_gone(store, first, tmp_path):
    run = tmp_path / "first"
    shutil.copytree(first, run)
    (run / "state.pt").unlink()
    assert recipe_of(run) == recipe_of(first) == QUICK
    checkpoint.save(checkpoint.load(first), tmp_path / "model")
    assert recipe_of(tmp_path / "model") == Recipe()  # weights without a record
