"""Prior expression: right numbers, never those of the cell type itself, and a network learns from them."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import SMALL, toy_tables, write_toy_store

from chromoformer.data.batches import GeneDataset
from chromoformer.data.build import build_store
from chromoformer.data.expression import PRIOR, add_prior, read_prior
from chromoformer.data.manifest import read_manifest, sources_of
from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.model import checkpoint
from chromoformer.training.fit import fit
from chromoformer.training.predict import predict
from chromoformer.training.recipe import Recipe

MATRIX = pd.DataFrame(
    {
        "gene_id": [f"ENSG{i:011}.{i}" for i in range(1, 7)],
        "own": [0.0, 3, 9, 1, 40, 2],
        "derived": [0.0, 3.1, 9.2, 1.0, 40.5, 2.0],  # the same cells, measured again
        "liver": [1.0, 0, 5, 3, 7, 9],
        "brain": [3.0, 1, 0, 3, 60, 0],
        "lung": [7.0, 0, 2, 0, 15, 31],
    }
)
MANIFEST = """
name: toy
genome: toy
chrom_sizes: {path: toy.sizes}
channels: [{name: H3K4me3, kind: bedgraph, path: toy.bedgraph}]
annotation: {kind: table, path: genes.tsv}
expression: {kind: matrix, path: rpkm.tsv, column: own}
prior: {path: others.tsv, without: [own, derived]}
window: 4000
folds: {1: [chr1], 2: [chr2]}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "toy.sizes").write_text("chr1\t100000\nchr2\t100000\n")
    (tmp_path / "toy.bedgraph").write_text("chr1\t0\t100000\t2\nchr2\t0\t100000\t1\n")
    genes = pd.DataFrame(
        {
            "gene_id": MATRIX.gene_id,
            "chrom": ["chr1", "chr2"] * 3,
            "tss": np.arange(6) * 10_000 + 5000,
            "strand": "+",
        }
    )
    genes.to_csv(tmp_path / "genes.tsv", sep="\t", index=False)
    for name in ("rpkm", "others"):
        MATRIX.to_csv(tmp_path / f"{name}.tsv", sep="\t", index=False)
    (tmp_path / "toy.yaml").write_text(MANIFEST)
    return tmp_path


def test_the_prior_is_that_of_the_other_cell_types(folder):
    prior = read_prior(folder / "others.tsv", ["own", "derived"])
    others = np.log2(MATRIX[["liver", "brain", "lung"]].to_numpy() + 1)
    expected = [others.mean(1), others.std(1, ddof=1), others.max(1), others.min(1)]
    assert list(prior) == PRIOR
    assert np.allclose(prior, np.transpose(expected))
    assert prior.index[0] == "ENSG00000000001"  # without version


def test_parquet_and_text_give_the_same_prior(folder):
    MATRIX.to_parquet(folder / "others.parquet")
    expected = read_prior(folder / "others.tsv", ["own"])
    assert np.allclose(read_prior(folder / "others.parquet", ["own"]), expected)


def test_a_store_keeps_the_prior_of_each_gene_and_the_file_in_its_record(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        build_store(folder / "toy.yaml", folder / "toy.h5", progress=False)
    store = Store(folder / "toy.h5")
    expected = read_prior(folder / "others.tsv", ["own", "derived"]).loc[store.genes.gene_id]
    assert np.allclose(store.genes[PRIOR], expected)
    assert "prior" in store.inputs and "prior" in sources_of(read_manifest(folder / "toy.yaml"))
    batch = GeneDataset(store).batch([3, 0])
    assert np.allclose(batch.prior.numpy(), expected.iloc[[3, 0]].to_numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "message", "fix"),
    [
        (
            "path: others.tsv, without: [own, derived]",
            "path: rpkm.tsv, without: [liver]",
            "own, the expr",
            "",
        ),
        ("without: [own, derived]", "without: [derived]", "column own is the expression", "add own"),
        ("without: [own, derived]", "without: [own]", "column derived is the expression", "add derived"),
        (
            "without: [own, derived]",
            "without: [own, derived, liver, lung]",
            "1 cell type is left",
            "at least",
        ),
        ("without: [own, derived]", "without: [own, E999]", "E999", ""),
        ("without: [own, derived]", "without: []", "prior", ""),
        ("prior: {path: others.tsv, without: [own, derived]}", "prior:", "no value", "remove the key"),
    ],
)
def test_a_prior_that_contains_the_answer_or_too_little_is_refused(folder, old, new, message, fix):
    assert MANIFEST.count(old) == 1
    (folder / "toy.yaml").write_text(MANIFEST.replace(old, new))
    with pytest.raises(InputError, match=message) as refused, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        build_store(folder / "toy.yaml", folder / "toy.h5", progress=False)
    assert fix in refused.value.fix and not (folder / "toy.h5").exists()


def test_negative_and_missing_values_are_refused_with_their_line(folder):
    for wrong in ("-1.0", "NA"):
        text = (folder / "others.tsv").read_text().replace("\t60.0\t", f"\t{wrong}\t")
        (folder / "wrong.tsv").write_text(text)
        with pytest.raises(InputError, match=r"line 6.*|brain") as refused:
            read_prior(folder / "wrong.tsv", ["own"])
        assert "line 6" in str(refused.value)


def test_a_column_with_the_name_of_a_cell_type_without_expression_must_be_left_out(folder):
    text = MANIFEST.replace("expression: {kind: matrix, path: rpkm.tsv, column: own}\n", "")
    text = text.replace("name: toy", "name: liver", 1)
    (folder / "toy.yaml").write_text(text)
    with pytest.raises(InputError, match="a column liver, the name of this cell type"):
        build_store(folder / "toy.yaml", folder / "toy.h5", progress=False)
    (folder / "toy.yaml").write_text(text.replace("without: [own,", "without: [liver, own,"))
    build_store(folder / "toy.yaml", folder / "toy.h5", progress=False)
    assert set(PRIOR) <= set(Store(folder / "toy.h5").genes)


def test_genes_without_a_prior_are_counted_and_genes_of_another_kind_refused(folder):
    prior = read_prior(folder / "others.tsv", ["own"])
    genes, _ = toy_tables()
    with pytest.raises(InputError, match="no gene has a prior"):
        add_prior(genes, prior, "others.tsv")
    genes.loc[0, "gene_id"] = prior.index[2]
    with pytest.warns(UserWarning, match="119 of 120 genes have no prior"):
        joined = add_prior(genes, prior, "others.tsv")
    assert joined[PRIOR].notna().all(axis=1).tolist() == [True] + [False] * 119


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    "Marks that say nothing; a prior that says the label, for all genes but one."
    folder = tmp_path_factory.mktemp("prior")
    genes, _ = toy_tables()
    write_toy_store(folder / "without.h5", learnable=False)
    prior = {name: np.where(genes.label, 6.0, 1.0) for name in PRIOR}
    genes = genes.assign(**prior)
    genes.loc[2, PRIOR] = np.nan
    write_toy_store(folder / "with.h5", genes=genes, learnable=False)
    return folder


@pytest.mark.parametrize("joint", [False, True])
def test_a_network_learns_from_the_prior_where_marks_say_nothing(stores, tmp_path, joint):
    network = replace(SMALL, prior=True, joint=joint, dropout=0.1, bin_sizes=(2000, 500), max_pcres=0)
    recipe = Recipe(epochs=15, batch_size=16, learning_rate=3e-3)
    metrics = fit(stores / "with.h5", tmp_path / "run", 1, network, recipe, progress=False)
    assert metrics["auc"]["value"] > 0.95
    blind = replace(network, prior=False)
    metrics = fit(stores / "with.h5", tmp_path / "blind", 1, blind, recipe, progress=False)
    assert metrics["auc"]["value"] < 0.8
    assert np.isfinite(pd.read_parquet(tmp_path / "run" / "predictions.parquet").score).all()
    assert np.isfinite(predict([tmp_path / "run"], stores / "with.h5").score).all()
    with pytest.raises(InputError, match="prior expression, which the store does not have") as refused:
        predict([tmp_path / "run"], stores / "without.h5")
    assert "prior:" in refused.value.fix and "without.h5" in str(refused.value)
    with pytest.raises(InputError, match="without.h5.*prior expression"):
        fit([stores / "with.h5", stores / "without.h5"], tmp_path / "no", 1, network, recipe, progress=False)
    store = Store(stores / "with.h5")
    other_unit = store.replace(genes=store.genes.assign(**{name: store.genes[name] + 10 for name in PRIOR}))
    with pytest.warns(UserWarning, match="mean prior expression is 1.* check that both are in the same unit"):
        predict([tmp_path / "run"], other_unit, progress=False)
    with pytest.raises(InputError, match="joint network" if joint else "prior expression"):
        checkpoint.export_published(checkpoint.load(tmp_path / "run"), tmp_path / "x.pt")


@pytest.fixture
def cells(tmp_path):
    "Return a function that writes a prior of 300 genes with one more column, and the expression of the cell."
    random = np.random.default_rng(0)
    ids = pd.Index([f"G{number}" for number in range(300)], name="gene_id")
    own = pd.Series(np.exp(random.normal(1, 2, 300)).round(3) * (random.random(300) < 0.7), ids)
    others = {name: own * np.exp(random.normal(0, 1, 300)) for name in ("liver", "brain")}

    def write(column):
        pd.DataFrame(others | {"column": column}, ids).to_csv(tmp_path / "others.tsv", sep="\t")
        return tmp_path / "others.tsv", own

    write.own = own
    return write


@pytest.mark.parametrize(
    "change",
    [
        lambda own: own * 2.5,
        lambda own: own / 30,
        lambda own: (own * 1e6 / own.sum()).round(1),
        lambda own: np.log2(own + 1).round(2),
        lambda own: np.arcsinh(own),
        lambda own: own.round(0),
        lambda own: own.rank(ascending=False),
    ],
    ids=["factor", "small", "TPM", "logarithm", "arcsinh", "rounded", "ranks"],
)
@pytest.mark.filterwarnings("ignore:.*look like logarithms")
def test_the_expression_of_the_cell_type_in_another_unit_is_refused(cells, change):
    path, own = cells(change(cells.own))
    with pytest.raises(InputError, match="column column is the expression of the cell type itself"):
        read_prior(path, ["brain"], own=own)


def sparse(own, random):
    "Return a column in which the 40 genes with the highest expression have a value, in any order."
    return (own.rank() > 260) * random.uniform(30, 60, 300)


@pytest.mark.parametrize(
    "column",
    [
        lambda own, random: own * np.exp(random.normal(0, 0.3, 300)),
        lambda own, random: (own * np.exp(random.normal(0, 0.3, 300))).round(0),
        sparse,
        lambda own, random: (own == own.max()) * 50.0,
        lambda own, random: own * 0,
    ],
    ids=["related", "rounded", "sparse", "one gene", "zeros"],
)
def test_other_cell_types_are_not_taken_for_the_cell_type_itself(cells, column):
    path, own = cells(column(cells.own, np.random.default_rng(1)))
    assert np.isfinite(read_prior(path, ["brain"], own=own)).all(axis=None)


def test_a_prior_of_logarithms_is_named(cells):
    path, _ = cells(np.log2(cells.own * np.random.default_rng(1).uniform(0, 2, 300) + 1))
    with pytest.warns(UserWarning, match="all values of column are below 25, so they look like logarithms"):
        read_prior(path, ["brain"])
    path, _ = cells(np.log2(cells.own + 0.01))
    with pytest.raises(InputError, match="is negative\n.*not its logarithm"):
        read_prior(path, ["brain"])
