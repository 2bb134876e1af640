"""The toy epigenome of long genes: what it plants is on disk, and only whole genes show it."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from chromoformer.baselines.shallow import SHALLOW, gene_body_features, out_of_fold
from chromoformer.data.build import build_store
from chromoformer.data.expression import read_exons, read_gtf_genes
from chromoformer.data.store import Store
from chromoformer.data.tracks import bin_means
from chromoformer.errors import InputError
from chromoformer.genome import chromosome_fold, read_chrom_sizes
from chromoformer.simulate.cell import make_cell
from chromoformer.simulate.epigenome import simulate
from chromoformer.simulate.rules import TOY_FOLDS, LongGeneRules, chroms_of, make_genome

STEP = 50  # bp


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return simulate(
        tmp_path_factory.mktemp("long") / "toy",
        genes=400,
        cell_types=["cellA"],
        long_genes=True,
        hic=False,
        marks=["H3K4me3", "H3K27ac", "H3K36me3"],
        tagalign=(),
        progress=False,
    )


@pytest.fixture(scope="module")
def truth(folder):
    return {
        name: pd.read_parquet(folder / "truth" / f"{name}.parquet") for name in ("genes", "exons", "decoys")
    }


@pytest.fixture(scope="module")
def sizes(folder):
    return read_chrom_sizes(folder / "genomes/long.chrom.sizes")


@pytest.fixture(scope="module")
def depth(folder, sizes):
    "A function that returns the mean depth of intervals, read from the bigWig."
    running = {}
    for mark in ("H3K4me3", "H3K36me3"):
        for chrom, length in sizes.items():
            whole = pd.DataFrame({"chrom": [chrom], "start": 0, "end": length})
            running[mark, chrom] = np.append(
                0, np.cumsum(bin_means(folder / f"cellA/{mark}.bigWig", whole, STEP, sizes), dtype=float)
            )

    def mean(mark, table):
        total = [
            running[mark, c][e // STEP] - running[mark, c][s // STEP]
            for c, s, e in zip(table["chrom"], table["start"], table["end"])
        ]
        return np.array(total) / (table["end"] // STEP - table["start"] // STEP).clip(lower=1).to_numpy()

    return mean


def of_exons(truth):
    "Exons with their gene's truth and their position along the gene, 0 at the TSS and 1 at the end."
    exons = truth["exons"].merge(
        truth["genes"][["gene_id", "tss", "start", "end", "body", "promoter", "paused"]],
        on="gene_id",
        suffixes=("", "_gene"),
    )
    exons["along"] = ((exons["start"] + exons["end"]) / 2 - exons["tss"]).abs() / (
        exons["end_gene"] - exons["start_gene"]
    )
    return exons


def test_the_annotation_has_the_planted_exons(folder, truth, sizes):
    planted = truth["genes"].set_index("gene_id")
    genes = read_gtf_genes(folder / "genomes/long.gtf.gz", sizes).set_index("gene_id")
    assert set(genes.index) == set(planted.index) and (genes["tss"] == planted["tss"].loc[genes.index]).all()
    found = read_exons(folder / "genomes/long.gtf.gz", planted.index)
    expected = truth["exons"].sort_values(["gene_id", "start"], ignore_index=True)[
        ["gene_id", "start", "end"]
    ]
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_exons_are_short_and_the_last_exon_is_longer(truth):
    genes, exons = truth["genes"], of_exons(truth)
    length = genes["end"] - genes["start"]
    assert (
        length.between(5_000, 150_000).all()
        and abs(np.log(length).mean() - np.log(5_000 * 150_000) / 2) < 0.15
    )  # log-uniform
    last = exons["along"] == exons.groupby("gene_id")["along"].transform("max")
    size = exons["end"] - exons["start"]
    assert size[~last].between(150, 300).all() and size[last].mean() > 1000
    assert size.groupby(exons["gene_id"]).sum().sum() < 0.15 * length.sum()
    assert (exons.groupby("gene_id").size() >= 3).all()


def test_paused_genes_have_busy_promoters_and_low_expression(truth):
    genes = truth["genes"]
    busy = genes[genes["promoter"] > 0.7]
    assert (
        np.allclose(genes["body"], genes["promoter"] * genes["release"])
        and (genes["paused"] == (genes["release"] < 0.5)).all()
    )
    assert 0.35 < genes["paused"].mean() < 0.55
    by_state = busy.groupby("paused")["log2_rpkm"].mean()
    assert by_state[True] < by_state[False] - 4


def test_h3k36me3_is_dense_in_exons_and_rises_to_the_end(truth, depth):
    genes, exons = truth["genes"], of_exons(truth)
    exons["depth"] = depth("H3K36me3", exons)
    read = exons[exons["body"] > 0.7]
    body = genes[genes["body"] > 0.7]
    assert read["depth"].mean() > 1.5 * depth("H3K36me3", body).mean()  # exons against the whole gene
    assert read.loc[read["along"] > 0.8, "depth"].mean() > 1.4 * read.loc[read["along"] < 0.2, "depth"].mean()
    late = exons[exons["along"] > 0.5].groupby("gene_id").agg(depth=("depth", "mean"), body=("body", "first"))
    assert late["depth"].corr(late["body"]) > 0.85


def test_decoys_resemble_real_marks_and_carry_no_information(truth, depth):
    genes, exons, decoys = truth["genes"], truth["exons"], truth["decoys"]
    islands, patches = (decoys[decoys["kind"] == kind] for kind in ("island", "patch"))
    around = islands.assign(start=islands["start"] - 1000, end=islands["end"] + 1000)
    level = depth("H3K4me3", around)
    assert np.corrcoef(level, islands["level"])[0, 1] > 0.7
    at_tss = depth("H3K4me3", genes.assign(start=genes["tss"] - 1000, end=genes["tss"] + 1000))
    assert 0.5 < level.mean() / at_tss.mean() < 2
    active = patches[patches["level"] > 0]
    assert depth("H3K36me3", active).mean() > 1.0 and len(active) < 0.75 * len(patches)
    for chrom, here in patches.groupby("chrom"):
        blocks = exons[exons["chrom"] == chrom]
        apart = (here["start"].to_numpy()[:, None] >= blocks["end"].to_numpy()) | (
            here["end"].to_numpy()[:, None] <= blocks["start"].to_numpy()
        )
        assert apart.all()
    for chrom, here in islands.groupby("chrom"):
        tss = genes.loc[genes["chrom"] == chrom, "tss"].to_numpy()
        assert np.abs(here["start"].to_numpy()[:, None] - tss).min() >= 3000
    inside = [
        ((genes["chrom"] == c) & (genes["start"] < s) & (genes["end"] > e)).any()
        for c, s, e in zip(active["chrom"], active["start"], active["end"])
    ]
    assert 0.3 < np.mean(inside) < 0.95  # in introns, and between genes


def test_some_genes_overlap_at_their_ends_and_none_at_their_tss(truth):
    genes = truth["genes"]
    after = genes.groupby("chrom")[["start", "strand"]].shift(-1)
    overlap = genes["end"] > after["start"]
    assert 0.05 < overlap.mean() < 0.3
    assert (genes.loc[overlap, "strand"] == "+").all() and (after.loc[overlap, "strand"] == "-").all()


def strand_aligned_window(folder, genes, sizes):
    "Twenty bins of 2 kb around each TSS, all marks."
    regions = pd.DataFrame(
        {"chrom": genes["chrom"], "start": genes["tss"] - 20_000, "end": genes["tss"] + 20_000}
    )
    marks = sorted((folder / "cellA").glob("*.bigWig"))
    values = np.log1p(
        np.stack([bin_means(path, regions, 2000, sizes).reshape(len(genes), -1) for path in marks], 2)
    )
    minus = (genes["strand"] == "-").to_numpy()
    values[minus] = values[minus][:, ::-1]
    return values


def test_whole_genes_predict_better_than_the_window_and_exons_better_than_the_body(
    folder, truth, sizes, depth
):
    genes, exons = truth["genes"], of_exons(truth)
    label = (genes["log2_rpkm"] >= genes["log2_rpkm"].median()).to_numpy(int)
    fold = np.array([chromosome_fold(chrom) for chrom in genes["chrom"]])
    window = strand_aligned_window(folder, genes, sizes)
    at_tss = window[:, 9:11].mean(axis=1)
    tracks = {"H3K36me3": str(folder / "cellA/H3K36me3.bigWig")}
    body = gene_body_features(
        tracks, genes.rename(columns={"start": "gene_start", "end": "gene_end"}), sizes, 2000
    )
    exonic = (
        pd.Series(np.log1p(depth("H3K36me3", exons)))
        .groupby(exons["gene_id"])
        .mean()
        .loc[genes["gene_id"]]
        .to_numpy()
    )
    logistic, trees = SHALLOW["classification"].values()

    def auc(features, model=logistic):
        return roc_auc_score(label, out_of_fold(model, features, label, fold))

    promoter = max(auc(window.reshape(len(genes), -1), trees), auc(at_tss))
    found = {
        "window": promoter,
        "anywhere": auc(window.mean(axis=1)),
        "at the TSS": auc(at_tss),
        "body": auc(np.c_[at_tss, body]),
        "exons": auc(np.c_[at_tss, exonic]),
        "truth": roc_auc_score(label, genes["log2_expected"]),
    }
    print({name: round(value, 3) for name, value in found.items()})
    assert 0.73 < found["window"] < 0.86 and found["truth"] > 0.95
    assert found["anywhere"] < found["at the TSS"] - 0.04  # promoter marks count only near the TSS
    assert found["window"] + 0.02 < found["body"] < found["exons"] - 0.01
    assert abs(roc_auc_score(label, genes["end"] - genes["start"]) - 0.5) < 0.08  # length is not informative


def test_the_equation_holds_in_every_cell_type_and_pausing_differs():
    genome = make_genome("long", dict.fromkeys(chroms_of(TOY_FOLDS)), TOY_FOLDS, 200, LongGeneRules())
    first, second = (
        make_cell(genome, name, LongGeneRules(), changed=changed)
        for name, changed in (("cellA", 0.0), ("cellB", 0.35))
    )
    for cell in (first, second):
        terms = cell.genes[["promoter_term", "body_term", "enhancers", "silencers"]].sum(axis=1)
        assert np.allclose(cell.rules.baseline + terms, cell.genes["log2_expected"])
    assert 0.03 < (first.genes["paused"] != second.genes["paused"]).mean() < 0.3


def test_a_store_of_whole_genes_is_built_from_its_manifest(tmp_path):
    folder = simulate(
        tmp_path / "toy", genes=16, long_genes=True, hic=False, marks=["H3K4me3", "H3K36me3"], progress=False
    )
    for name, genome in (("cellA", "long"), ("other", "other_long")):
        assert yaml.safe_load((folder / f"{name}.yaml").read_text())["whole_genes"] == {"downstream": 20000}
        build_store(folder / f"{name}.yaml", tmp_path / f"{name}.h5", progress=False)
        store = Store(tmp_path / f"{name}.h5")
        assert store.downstream == 20_000 and store.exons is not None
        exons = pd.read_parquet(folder / "truth/exons.parquet")
        planted = exons[exons["gene_id"].isin(store.genes["gene_id"])]
        assert len(store.exons) == len(planted)
        assert genome in json.loads((folder / "truth/rules.json").read_text())["rules"]


def test_long_genes_are_an_option_that_leaves_the_default_unchanged(tmp_path):
    folder = simulate(
        tmp_path / "toy", genes=8, cell_types=["cellA"], marks=["H3K4me3"], hic=False, progress=False
    )
    assert sorted(path.stem for path in (folder / "truth").glob("*.parquet")) == [
        "compartments",
        "elements",
        "genes",
        "links",
    ]
    assert "paused" not in (folder / "truth/rules.json").read_text() + (folder / "README.txt").read_text()
    assert "whole_genes" not in yaml.safe_load((folder / "cellA.yaml").read_text())
    with pytest.raises(InputError, match="human scale"):
        simulate(tmp_path / "human", scale="human", long_genes=True)
