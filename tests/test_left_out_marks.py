"""A network reads the channels it was trained with, by name: a store may have others, in any order."""

import json

import numpy as np
import pytest
from helpers import MARKS, write_toy_store
from typer.testing import CliRunner

from chromoformer.cli import app
from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.genome import Region
from chromoformer.interpret.gene import explain_gene
from chromoformer.interpret.perturbation import perturb, scan
from chromoformer.model import checkpoint
from chromoformer.training.fit import fit
from chromoformer.training.predict import predict
from chromoformer.training.recipe import Recipe, network_and_recipe, network_for

RECIPE = Recipe(epochs=1, batch_size=32)
BLOCK = {"layers": 1, "heads": 2, "width": 16, "attention_width": 16, "feed_forward_width": 16}
NETWORK = {"embedding": BLOCK, "pairwise": BLOCK, "regulation": BLOCK, "head_width": 16}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_toy_store(tmp_path_factory.mktemp("left_out") / "toy.h5")


@pytest.fixture(scope="module")
def runs(store, tmp_path_factory):
    "One run that reads the second mark, and one that reads both in reverse."
    folder = tmp_path_factory.mktemp("runs")
    for name, channels in (("second", MARKS[1:]), ("reversed", MARKS[::-1])):
        config, _ = network_and_recipe(Store(store), NETWORK | {"channels": list(channels)})
        fit(store, folder / name, 1, config, RECIPE, progress=False)
    return folder


@pytest.mark.parametrize(("name", "channels"), [("second", MARKS[1:]), ("reversed", MARKS[::-1])])
def test_a_network_reads_its_channels_from_a_store_with_more_or_in_another_order(store, runs, name, channels):
    from_all = predict(runs / name, store, progress=False)
    from_own = predict(runs / name, Store(store, channels), progress=False)
    assert np.array_equal(from_all["score"], from_own["score"])
    gene = str(from_all["gene_id"].iloc[0])
    one, other = (explain_gene(runs / name, read, gene) for read in (Store(store), Store(store, channels)))
    assert one.score == other.score
    genes = Store(store).genes.set_index("gene_id")
    promoter = Region(genes.loc[gene, "chrom"], genes.loc[gene, "tss"] - 500, genes.loc[gene, "tss"] + 500)
    one, other = (perturb(runs / name, read, promoter) for read in (store, Store(store, channels)))
    assert len(one) and one.equals(other)
    assert set(scan(runs / name, store, gene)["mark"]) == set(channels)


def test_silencing_a_mark_that_the_model_does_not_read_is_refused(store, runs):
    gene = Store(store).genes.iloc[0]
    promoter = Region(gene["chrom"], gene["tss"] - 500, gene["tss"] + 500)
    for silenced in (
        lambda: perturb(runs / "second", store, promoter, [MARKS[0]]),
        lambda: scan(runs / "second", store, gene["gene_id"], marks=MARKS),
    ):
        with pytest.raises(InputError, match=f"does not read {MARKS[0]}"):
            silenced()


def test_the_same_network_comes_from_a_store_that_is_opened_without_a_mark(store, runs, tmp_path):
    config, _ = network_and_recipe(Store(store, MARKS[1:]), NETWORK)
    fit(Store(store, MARKS[1:]), tmp_path / "run", 1, config, RECIPE, progress=False)
    one, other = (
        json.loads((run / "metrics.json").read_text()) for run in (runs / "second", tmp_path / "run")
    )
    assert one == other


def test_a_mark_that_no_store_has_is_named_with_the_file(store):
    config, _ = network_and_recipe(Store(store), NETWORK | {"channels": ["H3K4me3", "H3K99me9"]})
    with pytest.raises(InputError, match="no channel H3K99me9") as refused:
        fit(store, "unused", 1, config, RECIPE, progress=False)
    assert str(store) in str(refused.value)


def test_the_command_leaves_out_marks_and_later_commands_need_no_option(store, tmp_path):
    settings = tmp_path / "network.yaml"
    settings.write_text(json.dumps({"network": NETWORK, "recipe": {"epochs": 1, "batch_size": 32}}))
    run = tmp_path / "run"
    made = CliRunner().invoke(
        app, ["train", str(store), "--out", str(run), "--config", str(settings), "--channels", MARKS[1]]
    )
    assert made.exit_code == 0, made.output
    assert checkpoint.read_config(run)[0].channels == (MARKS[1],)
    table = tmp_path / "genes.csv"
    used = CliRunner().invoke(app, ["predict", str(run), str(store), "--out", str(table)])
    assert used.exit_code == 0 and table.exists(), used.output
    wrong = CliRunner().invoke(
        app, ["train", str(store), "--out", str(tmp_path / "no"), "--channels", "H3K99me9"]
    )
    assert wrong.exit_code != 0 and not (tmp_path / "no").exists()


def test_a_network_that_may_lack_marks_leaves_out_those_that_were_not_chosen(store):
    lacking = {"base": "whole-gene-lacking"}
    every, _ = network_and_recipe(Store(store), lacking)
    chosen, _ = network_and_recipe(Store(store), lacking | {"channels": [MARKS[1]]})
    assert network_for([Store(store)], every, None).channels == MARKS
    assert network_for([Store(store)], chosen, None).channels == (MARKS[1],)
    assert network_for([Store(store, MARKS[:1]), Store(store)], every, None).channels == MARKS
