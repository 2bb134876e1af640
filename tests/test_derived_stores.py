"""A store derived from another keeps all earlier changes, and two stores are never taken for one."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import MARKS, SMALL, toy_tables, write_toy_store

from chromoformer import baselines
from chromoformer.data.batches import GeneDataset
from chromoformer.data.store import Store, store_names
from chromoformer.errors import InputError
from chromoformer.experiments.retrain import with_shuffled_labels
from chromoformer.genome import Region
from chromoformer.interpret.perturbation import perturb, silence
from chromoformer.model import checkpoint
from chromoformer.model.network import Chromoformer
from chromoformer.training.fit import check_targets, fit, label_by_training_median, split_genes
from chromoformer.training.models import held_out_genes
from chromoformer.training.predict import predict
from chromoformer.training.recipe import Recipe

ONE_EPOCH = Recipe(epochs=1, batch_size=16)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(write_toy_store(tmp_path_factory.mktemp("derived") / "toy.h5"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "fold1"
    torch.manual_seed(0)
    checkpoint.save(Chromoformer(SMALL), folder, held_out=[1])
    return folder


def depth_of_bases(store, pieces):
    "Return the sums of depth that silenced intervals leave, base by base: the later interval decides."
    expected = store.signal().astype(np.float64)
    for region in store.regions.itertuples():
        if not any(p[0] == region.chrom and p[1] < region.end and region.start < p[2] for p in pieces):
            continue
        edges = region.start + store.bin_size * np.arange(region.bins + 1)
        for number, (start, end) in enumerate(itertools.pairwise(edges)):
            bases = np.arange(max(start, region.inside_start), min(end, region.inside_end))
            if not len(bases):
                continue
            row = region.first_bin + number
            for column, mark in enumerate(store.channels):
                depth = np.full(len(bases), expected[row, column] / len(bases))
                for chrom, first, last, marks, level in pieces:
                    if chrom == region.chrom and mark in marks:
                        depth[(bases >= first) & (bases < last)] = level
                expected[row, column] = depth.sum()
    return expected


# ---- silencing ----


def test_intervals_silenced_one_after_the_other_are_all_silent(store):
    chrom = store.genes["chrom"][0]
    pieces = [
        (chrom, 5130, 5380, MARKS, 0.0),
        (chrom, 5250, 5600, MARKS[:1], 3.0),  # overlaps the first within a bin
        (chrom, 5130, 5180, MARKS[1:], 1.5),
        (chrom, 9000, 9050, MARKS, 0.0),
        (chrom, 9050, 9100, MARKS, 0.0),  # the other half of the same bin
    ]
    silent = store
    for where, start, end, marks, level in pieces:
        silent = silence(silent, Region(where, start, end), marks, level)
    assert np.allclose(silent.signal(), depth_of_bases(store, pieces), rtol=1e-5, atol=1e-4)
    assert not np.allclose(silence(store, Region(*pieces[-1][:3])).signal(), silent.signal())


def test_two_elements_are_perturbed_together(store, model):
    gene = store.pcres["gene"].value_counts().index[0]
    elements = store.regions.iloc[store.pcres.loc[store.pcres["gene"] == gene, "region"].iloc[:2]]
    intervals = [Region(row.chrom, int(row.start), int(row.end)) for row in elements.itertuples()]
    ids = [store.genes["gene_id"][gene]]
    first = silence(store, intervals[0])
    together = perturb(model, first, intervals[1], genes=ids)
    assert np.isclose(
        together["score"].item(), perturb(model, store, intervals[0], genes=ids)["score_silenced"].item()
    )
    flattened = GeneDataset(store)  # the same with the depth in both elements set to 0 base by base
    pieces = [(*interval, MARKS, 0.0) for interval in intervals]
    flattened._signal = torch.tensor(depth_of_bases(store, pieces), dtype=torch.float32)
    batch = flattened.batch([gene])
    network = checkpoint.load(model).eval()
    with torch.inference_mode():
        expected = network(batch).softmax(1)[0, 1].item()
    assert np.isclose(together["score_silenced"].item(), expected, atol=1e-6)


# ---- all combinations of derivations ----

DERIVATIONS = {
    "channels": lambda store: store.replace(channels=store.channels[::-1]),
    "labels": lambda store: with_shuffled_labels(store, seed=1),
    "contacts": lambda store: store.replace(pcres=store.pcres.assign(score=store.pcres["score"] * 2)),
    "silence": lambda store: silence(store, Region("chr1", 4000, 6000), MARKS[:1], 0.5),
    "silence more": lambda store: silence(store, Region("chr7", 4000, 6000), MARKS[:1], 0.25),
}


@pytest.mark.parametrize(
    "names", [p for n in (2, 3, 4, 5) for p in itertools.permutations(DERIVATIONS, n)][::3]
)
def test_every_derivation_keeps_the_others_in_any_order(store, names):
    derived = store
    for name in names:
        derived = DERIVATIONS[name](derived)
    signal = store.signal()
    chroms = {"silence": ("chr1", 0.5), "silence more": ("chr7", 0.25)}
    pieces = [(chroms[name][0], 4000, 6000, MARKS[:1], chroms[name][1]) for name in names if name in chroms]
    signal = depth_of_bases(store, pieces) if pieces else signal
    turned = "channels" in names
    assert derived.channels == (MARKS[::-1] if turned else MARKS)
    assert np.allclose(derived.signal(), signal[:, ::-1] if turned else signal, rtol=1e-5, atol=1e-4)
    factor = 2 if "contacts" in names else 1
    assert np.allclose(derived.pcres["score"], store.pcres["score"] * factor)
    order = np.random.default_rng(1).permutation(len(store.genes)) if "labels" in names else slice(None)
    assert derived.genes["label"].tolist() == store.genes["label"].to_numpy()[order].tolist()
    assert derived.genes["gene_id"].equals(store.genes["gene_id"])
    data = GeneDataset(derived)
    assert np.array_equal(data.batch([3]).score, data._score[derived.pcre_start[3] : derived.pcre_start[4]])


def test_changes_in_memory_survive_and_do_not_reach_the_original(tmp_path):
    store = Store(write_toy_store(tmp_path / "toy.h5"), channels=MARKS[:1])
    store.pcres["score"] = 7.0
    store.genes["label"] = 1
    for derived in (silence(store, Region("chr1", 0, 9000)), with_shuffled_labels(store), store.replace()):
        assert derived.channels == MARKS[:1]
        assert derived.pcres["score"].eq(7).all() and derived.genes["label"].eq(1).all()
        derived.pcres["score"] = 0.0
        derived.genes["label"] = 0
    assert store.pcres["score"].eq(7).all() and store.genes["label"].eq(1).all()


def test_channels_are_selected_again_from_those_selected(store):
    once = store.replace(channels=MARKS[::-1])
    again = once.replace(channels=MARKS[:1])
    assert np.array_equal(again.signal()[:, 0], store.signal()[:, 0])
    with pytest.raises(InputError, match=MARKS[1]):
        again.replace(channels=MARKS)


# ---- stores of one name ----


def test_stores_with_one_file_name_stay_apart(tmp_path):
    paths = []
    for folder, factor in (("day0", 1), ("day7", 100)):
        (tmp_path / folder).mkdir()
        genes, pcres = toy_tables(seed=factor)
        genes["expression"] *= factor
        paths.append(write_toy_store(tmp_path / folder / "cellA.h5", seed=factor, genes=genes, pcres=pcres))
    data = GeneDataset(paths)
    assert list(data.genes["store"].unique()) == ["day0/cellA", "day7/cellA"]
    rows, _, _ = split_genes(data.genes, [1])
    label_by_training_median(data, rows)
    expression = data.genes["expression"].to_numpy().reshape(2, -1)
    median = np.median(expression[:, len(expression[0]) // 4 :], axis=1)  # fold 1 comes first in each store
    assert data.target.tolist() == (expression >= median[:, None]).astype(int).ravel().tolist()
    fit(paths, tmp_path / "run", 1, SMALL, ONE_EPOCH, progress=False)
    record = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert set(record["inputs"]) == {"day0/cellA", "day7/cellA"}
    assert len({entry["sha256"] for entry in record["inputs"].values()}) == 2
    table = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert table.groupby("store").size().to_dict() == {"day0/cellA": 120, "day7/cellA": 120}


def test_names_of_stores_are_as_short_as_they_can_be(store):
    def named(*paths):
        stores = []
        for path in paths:
            one = store.replace()
            one.path = store.path.parent / path
            stores.append(one)
        return store_names(stores)

    assert named("a.h5", "b.h5") == ["a", "b"]
    assert named("x/a.h5", "y/a.h5", "b.h5") == ["x/a", "y/a", "b"]
    assert named("x/z/a.h5", "y/z/a.h5") == ["x/z/a", "y/z/a"]
    assert named("x/a.h5", "x/a.h5", "y/a.h5") == ["x/a.1", "x/a.2", "y/a"]


# ---- labels and groups of training ----


def test_unknown_expression_is_refused_as_a_training_label(tmp_path):
    genes, pcres = toy_tables()
    genes.loc[[5, 50], "expression"] = np.nan  # one held out, one trained on
    data = GeneDataset(write_toy_store(tmp_path / "toy.h5", genes=genes, pcres=pcres))
    rows, _, _ = split_genes(data.genes, [1])
    label_by_training_median(data, rows)
    expression = genes["expression"].to_numpy()
    expected = np.where(np.isnan(expression), -1, expression >= np.nanmedian(expression[rows]))
    assert data.target.tolist() == expected.tolist()
    with pytest.raises(InputError, match="1 training genes have no label"):
        check_targets(data, rows, "classification")


@pytest.mark.parametrize(("rule", "quantile"), [({"quantile": 0.75}, 0.75), ({"above": 3.0}, None)])
def test_training_labels_follow_the_rule_of_the_store(tmp_path, rule, quantile):
    data = GeneDataset(write_toy_store(tmp_path / "toy.h5"))
    data.stores[0].label = rule
    rows, _, _ = split_genes(data.genes, [1])
    label_by_training_median(data, rows)
    expression = data.genes["expression"].to_numpy()
    expected = expression > 3 if quantile is None else expression >= np.quantile(expression[rows], quantile)
    assert data.target.tolist() == expected.astype(int).tolist()


@pytest.mark.parametrize("validation", [["chr1"], ["1"], ["chr7", "1"]])
def test_validation_chromosomes_in_the_held_out_fold_are_refused(store, tmp_path, validation):
    with pytest.raises(InputError, match="in the held-out fold 1") as caught:
        fit(store, tmp_path / "run", 1, SMALL, ONE_EPOCH, validation=validation, progress=False)
    assert "chr9" in caught.value.fix and not (tmp_path / "run").exists()


def test_a_validation_chromosome_without_genes_is_noted(store):
    with pytest.warns(UserWarning, match="chr70"):
        split_genes(store.genes, [1], ["chr7", "chr70"])


# ---- held-out genes of other stores ----


@pytest.fixture(scope="module")
def runs(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for fold in (1, 2):
        fit(store, folder / f"fold{fold}", fold, SMALL, ONE_EPOCH, progress=False)
    return [folder / "fold1", folder / "fold2"]


def test_genes_are_held_out_by_chromosome_not_by_the_number_of_a_fold(store, runs, tmp_path):
    genes, pcres = toy_tables()
    other = {"chr1": 4, "chr7": 1, "chr2": 2, "chr9": 3}  # in training: 1, 2, 3 and 4
    path = write_toy_store(
        tmp_path / "renumbered.h5", genes=genes.assign(fold=genes["chrom"].map(other)), pcres=pcres
    )
    table = predict(runs[0], path, progress=False)
    assert table["held_out"].tolist() == (table["chrom"] == "chr1").tolist()
    joined = predict(runs, path, progress=False)
    assert set(joined["chrom"]) == {"chr1", "chr7"} and joined["held_out"].all()
    right = predict(runs, store, progress=False).set_index("gene_id")["score"]
    assert np.allclose(joined.set_index("gene_id")["score"], right.loc[joined["gene_id"]])
    expected = genes.loc[genes["chrom"].isin(["chr1", "chr7"]), "gene_id"].tolist()
    assert held_out_genes(runs, path) == expected


def test_no_gene_of_another_species_counts_as_held_out(runs, tmp_path):
    store = Store(write_toy_store(tmp_path / "other.h5"))
    store.genome = "other"
    with pytest.warns(UserWarning, match="none of its genes counts as held out"):
        table = predict(runs[0], store, progress=False)
    assert len(table) == 120 and not table["held_out"].any()
    with pytest.raises(InputError, match="trained on toy"):
        predict(runs, store, progress=False)


def test_two_assemblies_of_one_species_share_their_chromosomes(tmp_path):
    store = Store(write_toy_store(tmp_path / "toy.h5"))
    store.genome = "hg19"
    fit(store, tmp_path / "run", 1, SMALL, ONE_EPOCH, progress=False)
    store.genome = "GRCh38"
    store.genes["fold"] = 2
    assert predict(tmp_path / "run", store, progress=False)["held_out"].sum() == 30


def test_models_with_different_folds_are_not_joined(store, runs, tmp_path):
    renumbered = store.replace(genes=store.genes.assign(fold=store.genes["fold"] % 4 + 1))
    fit(renumbered, tmp_path / "run", 3, SMALL, ONE_EPOCH, progress=False)
    with pytest.raises(InputError, match="is in fold"):
        predict([runs[0], tmp_path / "run"], store, progress=False)


def test_a_baseline_holds_genes_out_by_chromosome(store, tmp_path):
    baselines.fit("logistic regression", store, tmp_path / "run", 1, progress=False)
    renumbered = store.replace(genes=store.genes.assign(fold=store.genes["fold"] % 4 + 1))
    table = baselines.predict(tmp_path / "run", renumbered, trained_with=store)
    assert table["held_out"].tolist() == (table["chrom"] == "chr1").tolist()
