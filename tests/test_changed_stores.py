"""A run belongs to the content of its stores: stores that change, disagree or are named twice are noticed."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from command_line import refused, succeed
from helpers import (
    MARKS,
    SMALL,
    before_the_second_epoch,
    interrupted_in_the_second_epoch,
    toy_tables,
    write_toy_store,
)

from chromoformer import baselines
from chromoformer.baselines.stack import stack
from chromoformer.data.batches import GeneDataset, check_compatible
from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.experiments.retrain import train_seeds
from chromoformer.model.config import BlockConfig
from chromoformer.provenance import read_record, write_json
from chromoformer.training import run_folder
from chromoformer.training.fit import fit, fit_again
from chromoformer.training.members import fit_members, mean_predictions
from chromoformer.training.models import compare_with_training
from chromoformer.training.predict import evaluate, predict
from chromoformer.training.recipe import Recipe

BLOCK = BlockConfig(1, 2, 8, 8, 8)
TINY = replace(SMALL, embedding=BLOCK, pairwise=BLOCK, regulation=BLOCK, head_width=8)
QUICK = Recipe(epochs=2, batch_size=32, learning_rate=2e-3)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    "Two stores with the same genes and other signal."
    folder = tmp_path_factory.mktemp("cells")
    genes, pcres = toy_tables()
    for seed, name in enumerate("ab"):
        write_toy_store(folder / f"{name}.h5", seed, genes, pcres)
    return folder


@pytest.fixture(scope="module")
def trained(cells, tmp_path_factory):
    "A run, and a baseline, on the first store."
    folder = tmp_path_factory.mktemp("runs")
    fit(cells / "a.h5", folder / "network", 1, TINY, QUICK, progress=False)
    baselines.fit("logistic regression", cells / "a.h5", folder / "linear", 1, progress=False)
    return folder


def store_with(cells, path, change=lambda genes: genes, genome=None, contacts=None, **attributes):
    "Write a copy of the second store with other genes or attributes."
    store = Store(cells / "b.h5")
    pcres = toy_tables()[1]
    genes = change(store.genes)
    write_toy_store(path, 1, genes, pcres, learnable=(genes["label"] >= 0).all())
    with h5py.File(path, "r+") as file:
        file.attrs.update({"genome": genome or "toy"} | attributes)
        if contacts:
            file.attrs["inputs"] = json.dumps({"contacts": {"name": "x", "score": contacts}})
    return path


def replaced_in_the_second_epoch(monkeypatch, store, other):
    "Replace a store by another one, in one step, before the second epoch."

    def swap():
        shutil.copy(other, store.with_name("new"))
        os.replace(store.with_name("new"), store)

    before_the_second_epoch(monkeypatch, swap)


# ---- keeping, resuming and extending ----


def test_a_run_is_kept_only_if_its_store_has_the_same_content(cells, trained, tmp_path):
    store = tmp_path / "a.h5"  # the same name
    shutil.copy(cells / "b.h5", store)
    options = {"keep": True, "progress": False}
    for train in (
        lambda path: fit(path, trained / "network", 1, TINY, QUICK, **options),
        lambda path: baselines.fit("logistic regression", path, trained / "linear", 1, **options),
    ):
        with pytest.raises(InputError, match="store contents differ"):
            train(store)
        train(shutil.copy(cells / "a.h5", tmp_path / "moved_and_renamed.h5"))


def test_a_run_is_resumed_only_if_its_store_has_the_same_content(cells, tmp_path, monkeypatch):
    store = tmp_path / "a.h5"
    shutil.copy(cells / "a.h5", store)
    with interrupted_in_the_second_epoch(monkeypatch):
        fit(store, tmp_path / "run", 1, TINY, QUICK, progress=False)
    shutil.copy(cells / "b.h5", store)
    with pytest.raises(InputError, match="store contents differ"):
        fit(store, tmp_path / "run", 1, TINY, QUICK, progress=False)
    fit(cells / "a.h5", tmp_path / "run", 1, TINY, QUICK, progress=False)


def test_seeds_are_added_only_to_members_of_a_store_of_the_same_content(cells, tmp_path):
    store = tmp_path / "a.h5"
    shutil.copy(cells / "a.h5", store)
    fit_members(store, tmp_path / "run", 1, TINY, QUICK, seeds=[0], progress=False)
    shutil.copy(cells / "b.h5", store)
    with pytest.raises(InputError, match="store contents differ"):
        fit_members(store, tmp_path / "run", 1, TINY, QUICK, seeds=[0, 1], progress=False)
    assert not (tmp_path / "run" / "seed1").exists()
    fit_members(cells / "a.h5", tmp_path / "run", 1, TINY, QUICK, seeds=[0, 1], progress=False)


def test_a_run_is_repeated_only_on_a_store_of_the_same_content(cells, tmp_path):
    store = tmp_path / "a.h5"
    shutil.copy(cells / "a.h5", store)
    fit(store, tmp_path / "run", 1, TINY, QUICK, progress=False)
    shutil.copy(cells / "b.h5", store)
    with pytest.raises(InputError, match="the store a has other content"):
        fit_again(tmp_path / "run", tmp_path / "again", progress=False)
    with pytest.raises(InputError, match="was trained on other data"):
        train_seeds([tmp_path / "run"], store, tmp_path / "seeds", 2)
    fit_again(tmp_path / "run", tmp_path / "again", cells / "b.h5", progress=False)


def test_the_stores_of_an_older_run_are_compared_by_its_record(cells, trained, tmp_path):
    run = tmp_path / "network"
    shutil.copytree(trained / "network", run)
    state = torch.load(run / "state.pt", weights_only=True)
    settings = json.loads(state.pop("settings"))
    del settings["store_sha256"]
    run_folder.save_state(run, state, settings)
    fit(cells / "a.h5", run, 1, TINY, QUICK, keep=True, progress=False)
    other = shutil.copy(cells / "b.h5", tmp_path / "a.h5")
    with pytest.raises(InputError, match="store contents differ"):
        fit(other, run, 1, TINY, QUICK, keep=True, progress=False)
    run_folder.clear(run)
    run_folder.save_state(run, state, settings)  # interrupted: the content is unknown
    fit(cells / "a.h5", run, 1, TINY, QUICK, progress=False)


# ---- a store that is replaced while it is read ----


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_store_that_is_replaced_during_a_training_stops_it(cells, tmp_path, monkeypatch, in_memory):
    store = tmp_path / "a.h5"
    shutil.copy(cells / "a.h5", store)
    replaced_in_the_second_epoch(monkeypatch, store, cells / "b.h5")
    with pytest.raises(InputError, match="a.h5: the file was replaced"):
        fit(store, tmp_path / "run", 1, TINY, QUICK, in_memory=in_memory, measure=False, progress=False)
    monkeypatch.undo()
    assert not run_folder.is_complete(tmp_path / "run")
    fit(
        cells / "a.h5", tmp_path / "run", 1, TINY, QUICK, measure=False, progress=False
    )  # its first epoch is kept
    assert read_record(tmp_path / "run")["inputs"]["a"]["sha256"] == Store(cells / "a.h5").sha256


@pytest.mark.parametrize("replace_it", [os.replace, shutil.copy, lambda new, old: os.remove(old)])
def test_an_open_store_does_not_read_the_bins_of_another_file(cells, tmp_path, replace_it):
    store = tmp_path / "a.h5"
    shutil.copy(cells / "a.h5", store)
    shutil.copy(cells / "b.h5", tmp_path / "new.h5")
    opened = Store(store)
    replace_it(tmp_path / "new.h5", store)
    for read in (opened.signal, lambda: opened.region_depth(3), lambda: opened.sha256):
        with pytest.raises(InputError, match="was replaced|No such file"):
            read()


# ---- stores that are trained on together ----


def test_stores_with_other_folds_are_not_trained_on_together(cells, tmp_path):
    turned = store_with(cells, tmp_path / "turned.h5", lambda genes: genes.assign(fold=genes["fold"] % 4 + 1))
    for train in (fit, lambda *arguments, **options: baselines.fit("DeepChrome", *arguments[:3], **options)):
        with pytest.raises(InputError, match=r"turned.h5: chromosome \w+ is in fold . but in fold .|turned"):
            train([cells / "a.h5", turned], tmp_path / "run", 1, TINY, QUICK, progress=False)
    one_gene = store_with(
        cells, tmp_path / "one.h5", lambda genes: genes.assign(fold=genes["fold"].where(genes.index != 5, 4))
    )
    with pytest.raises(InputError, match="is in fold 4, but in fold"):
        fit([cells / "a.h5", one_gene], tmp_path / "run", 1, TINY, QUICK, progress=False)
    assert not (tmp_path / "run").exists()


def test_stores_of_two_species_may_have_other_folds(cells, tmp_path):
    other = store_with(
        cells, tmp_path / "other.h5", lambda genes: genes.assign(fold=genes["fold"] % 4 + 1), genome="mm10"
    )
    fit([cells / "a.h5", other], tmp_path / "run", 1, TINY, replace(QUICK, epochs=1), progress=False)


def test_a_store_that_is_named_twice_is_not_trained_on(cells, tmp_path):
    copied = shutil.copy(cells / "a.h5", tmp_path / "copied.h5")
    for again in (cells / "a.h5", copied):
        with pytest.raises(InputError, match="has the same content as"):
            fit([cells / "a.h5", again], tmp_path / "run", 1, TINY, QUICK, progress=False)
        with pytest.raises(InputError, match="has the same content as"):
            baselines.fit("DeepDiff", [cells / "a.h5", again], tmp_path / "run", 1, task="regression")
    store = Store(cells / "a.h5")
    fewer = store.genes.assign(label=1 - store.genes["label"])  # changed in memory
    GeneDataset([store, store.replace(genes=fewer)])


@pytest.mark.parametrize(
    ("attributes", "task", "says"),
    [
        ({"unit": "TPM"}, "regression", "the unit of the expression is TPM, but RPKM in .*a.h5"),
        ({"unit": "TPM"}, "classification", None),  # medians have no unit
        ({"label": '{"above": 20}'}, "classification", "the rule of label 1 is RPKM above 20, but"),
        ({"label": '{"above": 20}'}, "regression", None),
        ({"label": '{"quantile": 0.5}'}, "classification", None),  # the median
    ],
)
def test_stores_with_other_targets_are_not_read_together(cells, tmp_path, attributes, task, says):
    other = store_with(cells, tmp_path / "other.h5", **attributes)
    stores = [cells / "a.h5", other]
    if says is None:
        GeneDataset(stores, task)
        return
    with pytest.raises(InputError, match=says):
        GeneDataset(stores, task)
    with pytest.raises(InputError, match=says):
        fit(stores, tmp_path / "run", 1, TINY, QUICK, task=task, progress=False)
    joint = replace(TINY, joint=True)
    with pytest.raises(InputError, match=says):
        fit(stores, tmp_path / "run", 1, joint, QUICK, progress=False)


def test_the_difference_of_two_cell_types_needs_one_unit(cells, tmp_path):
    other = store_with(cells, tmp_path / "other.h5", unit="TPM")
    settings = {"window": 4000, "bin_size": 100, "log": True}
    with pytest.raises(InputError, match="the unit of the expression is TPM"):
        baselines.BASELINES["DeepDiff"].prepare([Store(cells / "a.h5"), Store(other)], "regression", settings)


@pytest.mark.parametrize(
    "moved",
    [
        lambda genes: genes.assign(tss=genes["tss"] + (genes.index == 7)),
        lambda genes: genes.assign(strand=genes["strand"].where(genes.index != 7, "+")),
    ],
    ids=["TSS", "strand"],
)
def test_the_difference_of_two_cell_types_needs_genes_at_the_same_places(cells, tmp_path, moved):
    settings = {"window": 4000, "bin_size": 100, "log": True}
    deepdiff = baselines.BASELINES["DeepDiff"]
    first = Store(cells / "a.h5")
    genes = first.genes.assign(strand="-")
    one, other = first.replace(genes=genes), first.replace(genes=moved(genes))
    with pytest.raises(
        InputError, match=rf"a.h5.*1 of {len(genes)} genes have another TSS or strand.*\n.*annot"
    ):
        deepdiff.prepare([one, other], "regression", settings)
    other.genome = "another assembly"
    assert len(deepdiff.prepare([one, other], "regression", settings)) == len(genes)
    for store, name in ((one, "hg19"), (other, "GRCh37.p13")):
        store.genome = name
    with pytest.raises(InputError, match="1 of .* another TSS or strand"):
        deepdiff.prepare([one, other], "regression", settings)


def test_contacts_of_another_kind_are_named_in_a_warning(cells, tmp_path):
    stores = [
        store_with(cells, tmp_path / f"{number}.h5", contacts=score)
        for number, score in enumerate(("o (HiCCUPS)", "raw counts"))
    ]
    with pytest.warns(UserWarning, match=r"1.h5: the kind of contacts is raw counts, but o \(HiCCUPS\)"):
        GeneDataset(stores)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GeneDataset(stores, max_pcres=0)
        GeneDataset([cells / "a.h5", stores[1]])  # unknown for the first


# ---- stores that are predicted ----


def test_a_store_is_compared_with_the_training_data(cells, trained, tmp_path):
    rule = store_with(cells, tmp_path / "rule.h5", label='{"above": 20}')
    for run, of in ((trained / "network", predict), (trained / "linear", baselines.predict)):
        options = {"progress": False} if of is predict else {}
        with pytest.warns(UserWarning, match="rule.h5: the rule of label 1 is .* do not compare `score`"):
            of(run, rule, **options)
        unlabelled = store_with(
            cells,
            tmp_path / "no_targets.h5",
            lambda genes: genes.assign(label=-1, expression=np.nan),
            label='{"above": 20}',
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            of(run, cells / "a.h5", **options)
            of(run, unlabelled, **options)


def test_models_are_warned_of_contacts_and_refuse_longer_genes(cells, trained, tmp_path):
    run = tmp_path / "network"
    shutil.copytree(trained / "network", run)
    config = json.loads((run / "config.json").read_text())
    (scale,) = config["training_signal"].values()
    assert scale["data"] == {"unit": "RPKM", "label": "median", "downstream": None, "contacts": None}
    scale["data"]["contacts"] = "o (HiCCUPS)"
    write_json(run / "config.json", config)
    other = store_with(cells, tmp_path / "other.h5", contacts="raw counts")
    with pytest.warns(UserWarning, match="the kind of contacts is raw counts, but .*less accurate"):
        predict(run, other, progress=False)
    del scale["data"]  # an older model
    write_json(run / "config.json", config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict(run, other, progress=False)


def test_whole_genes_that_extend_less_far_than_in_training_are_refused(cells):
    store, other = Store(cells / "a.h5"), Store(cells / "b.h5")
    store.downstream, other.downstream = 20_000, 0
    with pytest.raises(InputError, match="beyond the transcript .* is 0, but 20000 in .*a.h5"):
        check_compatible([store, other], whole_genes=True)
    with pytest.raises(InputError, match="is 0, but 20000 in the model's training data") as refusal:
        compare_with_training([store.described], other, "regression", whole_genes=True)
    assert "whole_genes: {downstream: 20000}" in str(refusal.value)
    check_compatible([store, other])  # a network of promoter windows reads both
    compare_with_training([store.described], other, "regression")


# ---- one training in a folder at a time ----


def test_a_second_training_into_a_folder_is_refused(cells, trained, tmp_path):
    run = tmp_path / "run"
    linear = trained / "linear"
    with run_folder.alone(run):
        for train in (
            lambda **options: fit(cells / "a.h5", run, 1, TINY, QUICK, progress=False, **options),
            lambda **options: fit_members(cells / "a.h5", run, 1, TINY, QUICK, progress=False, **options),
            lambda **options: baselines.fit("ridge regression", cells / "a.h5", run, 1, task="regression"),
        ):
            for options in ({}, {"force": True}):
                with pytest.raises(InputError, match="run: another process is training into this folder"):
                    train(**options)
        with run_folder.alone(linear):  # a complete run is only read
            baselines.fit("logistic regression", cells / "a.h5", linear, 1, keep=True, progress=False)
    assert not any(run.iterdir())
    fit(cells / "a.h5", run, 1, TINY, QUICK, progress=False)
    assert not (run / ".lock").exists()


def test_the_lock_of_a_killed_training_is_free(cells, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    code = (
        "import filelock, os, signal, sys; filelock.FileLock(sys.argv[1]).acquire()\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, run / ".lock"]).returncode != 0
    assert (run / ".lock").exists()
    fit(cells / "a.h5", run, 1, TINY, replace(QUICK, epochs=1), progress=False)


# ---- runs that are named twice ----


def test_a_run_that_is_named_twice_is_not_combined(trained, tmp_path):
    runs = [trained / "network", trained / "." / "network"]
    for combine in (
        lambda: stack(runs, tmp_path / "both"),
        lambda: mean_predictions(runs),
        lambda: evaluate(runs),
    ):
        with pytest.raises(InputError, match="network is given twice"):
            combine()
    assert not (tmp_path / "both").exists()


# ---- the ending of a store ----


def test_a_store_is_written_with_its_ending_and_read_without(cells, trained, tmp_path):
    says = ["the name of a store ends in .h5", "write to cell.h5"]
    refused(tmp_path, "build", tmp_path / "missing.yaml", "--out", tmp_path / "cell", says=says)
    store = shutil.copy(cells / "a.h5", tmp_path / "renamed")
    succeed("links", trained / "network", store, "--out", tmp_path / "links.bedpe")
    assert (tmp_path / "links.bedpe").exists()
    assert Store(store).channels == tuple(MARKS)
