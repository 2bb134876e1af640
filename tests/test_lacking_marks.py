"""Networks accept stores without some of their marks; marks go by name, lacking ones are read as such."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import CHROMS, MARKS, SMALL, toy_tables

from chromoformer.data.batches import GeneDataset
from chromoformer.data.store import Store, write_store
from chromoformer.errors import InputError
from chromoformer.interpret.gene import explain_gene
from chromoformer.interpret.perturbation import silence
from chromoformer.interpret.switches import GeneExplainer
from chromoformer.model import checkpoint
from chromoformer.model.config import ChromoformerConfig
from chromoformer.model.network import Chromoformer, random_batch
from chromoformer.training.fit import fit
from chromoformer.training.models import dataset_for
from chromoformer.training.predict import predict
from chromoformer.training.recipe import Recipe, network_and_recipe
from chromoformer.training.start import copy_weights

EPOCHS = 12
LACKING = replace(SMALL, span="gene", max_pcres=0, bin_sizes=(500,), joint=True, lacking=True, channels=MARKS)
HIDING = Recipe(epochs=EPOCHS, learning_rate=3e-3, drop_marks=0.3, batch_size=32)


def write(path, marks, seed=0):
    "Write a store of whole genes in which the label follows from each of the marks."
    genes, pcres = toy_tables(seed=seed)
    depths = {name: np.random.default_rng([seed, sum(map(ord, name))]) for name in marks}

    def signal_of(regions):
        signal = np.stack(
            [100.0 * depths[name].poisson(1.0, regions["bins"].sum()) for name in marks], 1
        ).astype(np.float32)
        where = {(r.chrom, r.start): r.first_bin for r in regions.itertuples()}
        for gene in genes[genes["label"] == 1].itertuples():
            first = [at for (chrom, start), at in where.items() if chrom == gene.chrom and start < gene.tss]
            signal[max(first) + 15 : max(first) + 25] += 500
        return signal

    write_store(
        path,
        genes=genes.assign(gene_start=genes["tss"] - 400, gene_end=genes["tss"] + 400),
        pcres=pcres.iloc[:0],
        signal_of=signal_of,
        channels=marks,
        bin_sizes=(500, 100),
        window=4000,
        genome="toy",
        inputs={"made": {"name": "test_lacking_marks.py"}},
        chrom_sizes=CHROMS,
        downstream=500,
    )
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lacking")
    write(folder / "both.h5", MARKS)
    fit(folder / "both.h5", folder / "run", 1, LACKING, HIDING, progress=False)
    return folder


def test_marks_go_by_name(folder):
    "A store with the same marks in another order gives the same predictions."
    swapped = Store(folder / "both.h5", channels=MARKS[::-1])
    expected = predict(folder / "run", folder / "both.h5", progress=False)
    assert predict(folder / "run", swapped, progress=False).equals(expected)


@pytest.mark.parametrize("mark", MARKS)
def test_a_lacking_mark_is_read_as_lacking_and_the_others_as_they_are(folder, mark):
    store = Store(folder / "both.h5", channels=[mark])
    model = checkpoint.load(folder / "run").eval()
    batch = GeneDataset(folder / "both.h5", whole_genes=True, max_pcres=0).batch(range(20))
    batch.whole.sums[:, MARKS.index(mark) - 1] = torch.nan  # the other one of the two
    with torch.inference_mode():
        expected = model(batch).softmax(1)[:, 1].numpy()
    found = predict(folder / "run", store, progress=False)["score"].to_numpy()[:20]
    assert np.isfinite(found).all() and np.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("mark", MARKS)
def test_what_a_store_lacks_is_named(folder, mark):
    (other,) = set(MARKS) - {mark}
    with pytest.warns(UserWarning, match=f"lacks {other}; the model predicts from 1 of its 2 channels"):
        predict(folder / "run", Store(folder / "both.h5", channels=[mark]), progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict(folder / "run", folder / "both.h5", progress=False)


@pytest.mark.parametrize("mark", MARKS)
def test_a_network_that_saw_marks_hidden_predicts_from_the_one_that_is_left(folder, mark):
    found = predict(folder / "run", Store(folder / "both.h5", channels=[mark]), progress=False)
    found = found[found["held_out"]]
    assert ((found["score"] > 0.5) == (found["target"] == 1)).mean() > 0.9
    neither = predict(folder / "run", folder / "both.h5", progress=False)["score"]
    assert not np.allclose(neither[: len(found)], found["score"].to_numpy())


def test_a_lacking_mark_is_not_a_mark_without_signal(folder):
    silent = silence(Store(folder / "both.h5"), whole_genome(), [MARKS[0]])
    without = predict(folder / "run", silent, progress=False)["score"]
    lacking = predict(folder / "run", Store(folder / "both.h5", channels=MARKS[1:]), progress=False)["score"]
    assert np.abs(without - lacking).max() > 0.05


def whole_genome():
    from chromoformer.genome import Region

    chrom = next(iter(CHROMS))
    return Region(chrom, 0, CHROMS[chrom])


def test_stores_with_different_marks_are_trained_on_together(folder, tmp_path):
    first = write(tmp_path / "first.h5", MARKS[:1])
    second = write(tmp_path / "second.h5", ("ATAC", *MARKS[1:]), seed=1)
    config, _ = network_and_recipe(Store(first), LACKING.to_dict() | {"channels": MARKS[:1]})
    fit([first, second], tmp_path / "run", 1, config, replace(HIDING, epochs=1), progress=False)
    model = checkpoint.load(tmp_path / "run")
    assert model.config.channels == (MARKS[0], "ATAC", *MARKS[1:])
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    record = json.loads((tmp_path / "run" / "config.json").read_text())  # no NaN: strict JSON
    assert "NaN" not in json.dumps(record)
    assert np.isfinite(predict(tmp_path / "run", folder / "both.h5", progress=False)["score"]).all()


def test_the_scale_of_a_mark_comes_from_the_stores_that_have_it(folder, tmp_path):
    config = replace(LACKING, channels=(*MARKS, "ATAC"))
    model = Chromoformer(config)
    data = dataset_for(model, [Store(folder / "both.h5")], "cpu")
    batch = data.batch(range(40))
    model.standardise(batch)
    features, pooled = batch.gene_features(500)
    expected = features[pooled.bases > 0][:, 0].numpy()
    block = model.embedding["500"]
    assert np.isclose(block.mean[0], expected.mean(), atol=1e-5)
    assert np.isclose(block.deviation[0], expected.std(ddof=1), atol=1e-5)
    assert block.mean[2] == 0 and block.deviation[2] == 1


def test_foreign_marks_are_named_and_a_store_without_any_known_mark_is_refused(folder, tmp_path):
    some = write(tmp_path / "some.h5", (MARKS[0], "ATAC"))
    with pytest.warns(UserWarning, match=r"some\.h5: the model does not read ATAC"):
        predict(folder / "run", some, progress=False)
    none = write(tmp_path / "none.h5", ("ATAC", "CTCF"))
    with pytest.raises(InputError, match="store has ATAC, CTCF") as refused:
        predict(folder / "run", none, progress=False)
    assert str(none) in str(refused.value)


def test_other_networks_refuse_a_store_that_lacks_a_mark(folder, tmp_path):
    plain = replace(LACKING, lacking=False)
    fit(folder / "both.h5", tmp_path / "run", 1, plain, replace(HIDING, epochs=1), progress=False)
    with pytest.raises(InputError, match="which the model reads"):
        predict(tmp_path / "run", Store(folder / "both.h5", channels=MARKS[:1]), progress=False)


@pytest.mark.parametrize("changes", [{"span": "window", "max_pcres": 0}, {"max_pcres": 3}])
def test_networks_that_read_windows_or_pcres_cannot_lack_marks(changes):
    with pytest.raises(InputError, match="whole genes without pCREs"):
        replace(LACKING, **changes)


def test_a_gene_is_explained_and_switched_off_without_the_mark(folder):
    store = Store(folder / "both.h5", channels=MARKS[1:])
    explained = explain_gene(folder / "run", store, "gene3")
    score = predict(folder / "run", store, progress=False).set_index("gene_id")["score"]
    assert np.isclose(explained.score, score["gene3"], atol=1e-6)
    explainer = GeneExplainer(folder / "run", store)
    explainer.explain("gene3")
    assert np.isfinite(explainer.change(marks=MARKS[1:2]).score)


def test_weights_are_copied_with_the_columns_that_say_what_is_lacking():
    config = replace(LACKING, channels=("A", "B", "C"))
    torch.manual_seed(0)
    source, model = Chromoformer(config), Chromoformer(replace(config, channels=("C", "new", "A")))
    copy_weights(source, model)
    theirs, ours = source.embedding["500"].input.weight, model.embedding["500"].input.weight
    assert torch.equal(ours[:, [0, 2, 3, 5]], theirs[:, [2, 0, 5, 3]]) and (ours[:, [1, 4]] == 0).all()
    assert torch.equal(ours[:, 6:], theirs[:, 6:])
    plain = Chromoformer(replace(config, lacking=False))
    copy_weights(plain, source)  # a network without such columns starts one with them
    assert (source.embedding["500"].input.weight[:, 3:6] == 0).all()
    batch = random_batch(4, replace(config, lacking=False))
    assert torch.allclose(source.eval()(batch), plain.eval()(batch), atol=1e-6)


def test_the_named_network_and_recipe_go_together(folder):
    config, recipe = network_and_recipe(Store(folder / "both.h5"), "whole-gene-lacking", "whole-gene-lacking")
    assert config.lacking and recipe.drop_marks > 0 and not config.max_pcres
    assert ChromoformerConfig(**config.to_dict()) == config


def test_a_network_that_needs_all_marks_is_not_given_the_data_of_one_that_does_not(folder, tmp_path):
    plain = replace(LACKING, lacking=False)
    fit(folder / "both.h5", tmp_path / "plain", 2, plain, replace(HIDING, epochs=1), progress=False)
    with pytest.raises(InputError, match="which the model reads"):
        runs = [folder / "run", tmp_path / "plain"]
        predict(runs, Store(folder / "both.h5", channels=MARKS[:1]), progress=False)
