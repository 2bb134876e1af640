"""Networks that read whole genes: their input is exact, and training, prediction and explanation work."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import papermill
import pytest
import torch
import yaml
from helpers import CHROMS, MARKS, SMALL, interrupted_in_the_second_epoch, toy_tables
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from chromoformer import plots
from chromoformer.data.batches import GeneDataset
from chromoformer.data.build import build_store
from chromoformer.data.store import Store, write_store
from chromoformer.data.whole_genes import CoveredBases
from chromoformer.errors import InputError
from chromoformer.experiments.comparison import differences
from chromoformer.genome import Region
from chromoformer.interpret.attention import tss_attention
from chromoformer.interpret.gene import explain_gene
from chromoformer.interpret.perturbation import perturb
from chromoformer.interpret.switches import GeneExplainer
from chromoformer.interpret.whole_gene import attention_along_genes
from chromoformer.model.config import ChromoformerConfig
from chromoformer.model.network import Chromoformer, random_batch
from chromoformer.model.whole_gene import WholeGeneChromoformer
from chromoformer.simulate.epigenome import simulate
from chromoformer.training.fit import fit
from chromoformer.training.predict import predict
from chromoformer.training.recipe import Recipe, network_and_recipe

ROOT = Path(__file__).resolve().parents[1]
ALL_PARTS = ("tss", "end", "relative", "exons", "others")
WHOLE = replace(SMALL, span="gene", positions=ALL_PARTS, embedding=replace(SMALL.embedding, layers=2))


def long_tables(seed=0):
    "Genes of 200 to 9,000 bp on both strands, some overlapping, their exons, and pCREs."
    genes, pcres = toy_tables(seed=seed)
    random = np.random.default_rng(seed)
    length = random.integers(200, 9000, len(genes))
    plus = (genes["strand"] == "+").to_numpy()
    start = np.where(plus, genes["tss"], (genes["tss"] + 1 - length).clip(0))
    end = np.where(plus, genes["tss"] + length, genes["tss"] + 1)
    genes = genes.assign(gene_start=start, gene_end=end)
    exons = [
        (gene.gene_id, at, min(at + 150, gene.gene_end))
        for gene in genes.itertuples()
        for at in range(gene.gene_start, gene.gene_end, 700)
    ]
    return genes, pcres, pd.DataFrame(exons, columns=["gene_id", "start", "end"])


def by_position(chrom, start, end):
    "Depth that is a function of its position, of shape (end - start, 2)."
    at, number = np.arange(start, end), list(CHROMS).index(chrom)
    depth = np.stack([at % 997, (at // 3 + 7 * number) % 101], 1).astype(float)
    return np.where(((at >= 0) & (at < CHROMS[chrom]))[:, None], depth, 0)


def signal_of(regions):
    sums = []
    for region in regions.itertuples():
        depth = by_position(region.chrom, region.start, region.start + 100 * region.bins)
        depth[region.end - region.start :] = 0
        sums.append(depth.reshape(-1, 100, 2).sum(1))
    return np.concatenate(sums)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    "Two stores of the same genes, with whole genes and without."
    folder = tmp_path_factory.mktemp("whole")
    genes, pcres, exons = long_tables()
    same = {
        "genes": genes,
        "pcres": pcres,
        "signal_of": signal_of,
        "channels": MARKS,
        "bin_sizes": (2000, 500, 100),
        "window": 4000,
        "genome": "toy",
        "inputs": {},
        "chrom_sizes": CHROMS,
    }
    write_store(folder / "windows.h5", **same)
    write_store(folder / "whole.h5", **same, downstream=1500, exons=exons)
    return folder


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=12), st.integers(1, 3))
def test_covered_bases_equal_those_counted_one_by_one(intervals, least):
    start = np.array([a for a, _ in intervals], np.int64)
    end = np.array([a + length for a, length in intervals], np.int64)
    depth = np.zeros(100, int)
    for a, b in zip(start, end):
        depth[a:b] += 1
    expected = np.append(0, np.cumsum(depth >= least))
    assert CoveredBases(start, end, least)(torch.arange(101)).tolist() == expected.tolist()


def test_a_store_of_whole_genes_has_the_same_windows_and_pcres_and_no_bin_twice(stores):
    windows, whole = Store(stores / "windows.h5"), Store(stores / "whole.h5")
    rows = np.arange(len(whole.genes))
    one, other = GeneDataset(windows).batch(rows), GeneDataset(whole).batch(rows)
    assert (
        torch.equal(one.promoter, other.promoter)
        and torch.equal(one.pcre, other.pcre)
        and torch.equal(one.promoter_span, other.promoter_span)
    )
    assert one.whole is None and other.whole is None
    stretches = whole.regions.iloc[np.unique(whole.gene_region)]["bins"].sum()
    pcres = whole.regions.iloc[np.unique(whole.pcres["region"])]["bins"].sum()
    assert whole.bins == stretches + pcres
    for row in (0, 1, 50, 119):
        assert np.array_equal(
            windows.region_depth(windows.promoter_region[row]),
            whole.region_depth(whole.promoter_region[row]),
            equal_nan=True,
        )
    assert np.allclose(
        windows.region_sums()[windows.promoter_region], whole.region_sums()[whole.promoter_region]
    )


@pytest.mark.parametrize("most", [None, 0])
@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    ("bin_size", "kept"), [(100, None), (500, None), (500, [2000, 500]), (2000, None), (2000, [2000, 500])]
)
def test_bins_of_whole_genes_equal_those_computed_base_by_base(stores, bin_size, kept, in_memory, most):
    store = Store(stores / "whole.h5")
    genes, _, exons = long_tables()
    rows = [0, 3, 17, 64, 119]  # the first begins outside its chromosome
    data = GeneDataset([store, store], "regression", most, in_memory, whole_genes=True, bin_sizes=kept)
    batch = data.batch([row + 120 * (row % 2) for row in rows])
    assert batch.whole.bin_size == (500 if kept else 100)
    features, pooled = batch.gene_features(bin_size)
    at = 0
    for number, row in enumerate(rows):
        gene = genes.iloc[row]
        plus, tss = gene.strand == "+", gene.tss
        depth_end = gene.gene_end if plus else gene.gene_start
        left, right = tss - 2000, tss + 2000
        left, right = (left, max(right, depth_end + 1500)) if plus else (min(left, depth_end - 1500), right)
        left, right = (
            (left, left + -(-(right - left) // 100) * 100)
            if plus
            else (right - -(-(right - left) // 100) * 100, right)
        )
        base = np.arange(left, right)
        tracks = np.zeros((len(base), 3))
        for _, exon in exons[exons.gene_id == gene.gene_id].iterrows():
            tracks[(base >= exon.start) & (base < exon.end), 0] = 1
        for _, other in genes[(genes.chrom == gene.chrom) & (genes.gene_id != gene.gene_id)].iterrows():
            tracks[
                (base >= other.gene_start) & (base < other.gene_end), 1 if other.strand == gene.strand else 2
            ] = 1
        depth, real = by_position(gene.chrom, left, right), (base >= 0) & (base < CHROMS[gene.chrom])
        if not plus:
            depth, tracks, real = depth[::-1], tracks[::-1], real[::-1]
        bins = -(-len(base) // bin_size)
        in_gene = (base >= tss) & (base < depth_end) if plus else (base <= tss) & (base >= depth_end)
        assert int(pooled.bins[number]) == bins and int(pooled.length[number]) == in_gene.sum()
        for i in range(bins):
            part = slice(i * bin_size, (i + 1) * bin_size)
            assert int(pooled.bases[at + i]) == real[part].sum()
            mean = depth[part][real[part]].mean(0) if real[part].any() else np.zeros(2)
            assert np.allclose(features[at + i], np.log(mean + 1), rtol=1e-5)
            assert pooled.covered[at + i].tolist() == tracks[part].sum(0).tolist()
        assert pooled.centre[at : at + bins].tolist() == [
            bin_size // 2 - 2000 + bin_size * i for i in range(bins)
        ]
        at += bins
    assert at == len(features)


def test_a_dataset_that_keeps_only_whole_genes_gives_the_same_windows_and_predictions(stores):
    store = Store(stores / "whole.h5")
    rows = np.arange(len(store.genes))
    every, only = (
        GeneDataset([store, store], max_pcres=0, whole_genes=True, bin_sizes=sizes)
        for sizes in (None, [2000, 500])
    )
    assert (every.bin_size, only.bin_size) == (100, 500)
    one, other = every.batch(rows + 120), only.batch(rows + 120)
    for size in (500, 2000):
        values, padding = other.promoter_features(size)
        assert torch.allclose(values, one.promoter_features(size)[0], rtol=1e-6)
        assert torch.equal(padding, one.promoter_features(size)[1])
    network = Chromoformer(replace(WHOLE, bin_sizes=(2000, 500), max_pcres=0)).eval()
    with torch.no_grad():
        assert torch.allclose(network(one), network(other), atol=1e-6)


def test_stores_with_equal_genes_keep_once_what_covers_them_and_others_are_not_confused_with_them(stores):
    store = Store(stores / "whole.h5")
    other_exons = store.replace()
    other_exons.exons = store.exons.assign(end=store.exons["end"] - 1)
    other_genes = store.replace(genes=store.genes.assign(gene_end=store.genes["gene_end"] - 50))
    without_exons = store.replace()
    without_exons.exons = None
    every = [store, other_exons, store, other_genes, without_exons, other_genes]
    rows = np.array([0, 3, 17, 64, 119])

    def covered(data, number):
        return data.batch(rows + 120 * number).whole.covered

    together = GeneDataset(every, max_pcres=0, whole_genes=True, bin_sizes=[2000, 500])
    for number, one in enumerate(every):
        alone = GeneDataset(one, max_pcres=0, whole_genes=True, bin_sizes=[2000, 500])
        assert torch.equal(covered(together, number), covered(alone, 0)), number
        assert torch.equal(together.batch(rows + 120 * number).whole.sums, alone.batch(rows).whole.sums)
    assert not torch.equal(covered(together, 1), covered(together, 0))
    assert not torch.equal(covered(together, 3), covered(together, 0))
    kept = together._whole
    assert len(kept.sums) == 6 * len(alone._whole.sums) and len(kept.covered) == 4 * len(alone._whole.covered)


@settings(max_examples=15, deadline=None)
@given(st.sets(st.sampled_from(ALL_PARTS)), st.integers(1, 3), st.integers(0, 4), st.integers(0, 1000))
def test_fast_whole_gene_network_equals_readable_form_in_outputs_and_gradients(
    parts, layers, max_pcres, seed
):
    config = replace(
        WHOLE,
        positions=tuple(sorted(parts)),
        embedding=replace(SMALL.embedding, layers=layers),
        max_pcres=max_pcres,
    )
    torch.manual_seed(seed)
    model, batch = Chromoformer(config).double(), random_batch(5, config, seed)
    model.standardise(batch)
    paper = WholeGeneChromoformer.from_model(model)
    fast, full = model(batch), paper(batch)
    assert torch.allclose(fast, full, rtol=1e-11, atol=1e-12)
    parameters = dict(model.named_parameters())
    grads = [
        torch.autograd.grad(output.square().sum(), list(network.parameters()), allow_unused=True)
        for network, output in ((model, fast), (paper, full))
    ]
    assert list(parameters) == [name for name, _ in paper.named_parameters()]
    for name, left, right in zip(parameters, *grads):
        left, right = (torch.zeros_like(parameters[name]) if g is None else g for g in (left, right))
        assert (left - right).abs().max().item() <= 1e-10 * max(right.abs().max().item(), 1e-3), name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_prediction_of_a_whole_gene_does_not_depend_on_its_batch(stores, dtype, tolerance):
    data, rows = GeneDataset(Store(stores / "whole.h5"), whole_genes=True), np.arange(60)
    torch.manual_seed(0)
    model = Chromoformer(WHOLE).to(dtype)
    model.standardise(data.batch(rows))
    with torch.no_grad():
        together = model(data.batch(rows))
        for order in (rows[::-1].copy(), np.random.default_rng(0).permutation(rows)):
            assert torch.allclose(model(data.batch(order)), together[order], rtol=tolerance, atol=tolerance)
        alone = torch.cat([model(data.batch([row])) for row in rows])
    assert torch.allclose(alone, together, rtol=tolerance, atol=tolerance)


def test_whole_genes_train_resume_predict_and_explain(stores, tmp_path, monkeypatch):
    store = Store(stores / "whole.h5")
    recipe = Recipe(epochs=2, batch_size=16, learning_rate=1e-3)
    expected = fit(store, tmp_path / "undisturbed", 1, WHOLE, recipe, progress=False)

    with interrupted_in_the_second_epoch(monkeypatch):
        fit(store, tmp_path / "run", 1, WHOLE, recipe, progress=False)
    assert fit(store, tmp_path / "run", 1, WHOLE, recipe, progress=False) == expected
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("undisturbed", "run"))
    assert one == other

    table = predict([tmp_path / "run"], store)
    alone = (
        pd.read_parquet(tmp_path / "run" / "predictions.parquet")
        .query("held_out")
        .set_index("gene_id")["score"]
    )
    assert np.allclose(table.set_index("gene_id")["score"].loc[alone.index], alone, atol=1e-5)
    gene = store.genes["gene_id"].iloc[5]
    explanation = explain_gene(tmp_path / "run", store, gene)
    assert {size: weights.shape for size, weights in explanation.promoter_attention.items()} == {
        2000: (2, 2),
        500: (2, 8),
        100: (2, 40),
    }
    along = attention_along_genes(tmp_path / "run", store, [gene], parts=4)
    shares = along.groupby("bin_size")[["share", "equal"]].sum()
    assert (
        len(shares) == 3
        and (shares["share"] <= 1 + 1e-5).all()
        and (shares["equal"] <= 1).all()
        and (shares["share"] > 0.3).all()
    )
    with pytest.raises(InputError, match="attends over whole genes"):
        tss_attention(tmp_path / "run", store)


def test_attention_in_the_figure_is_a_multiple_of_equal_attention_over_the_whole_gene(stores):
    store = Store(stores / "whole.h5")
    length = store.genes["gene_end"] - store.genes["gene_start"]
    gene = store.genes["gene_id"].iloc[int(length.to_numpy().argmax())]
    model = Chromoformer(WHOLE).eval()
    explanation = explain_gene(model, store, gene)
    whole = GeneExplainer(model, store)
    whole.explain(gene)
    strips = next(
        panel for panel in plots.gene(store, explanation).child_axes if panel.get_label() == "attention 0"
    ).collections
    for number, (size, weights) in enumerate(whole.change().promoter_attention.items()):
        near = explanation.promoter_attention[size]
        assert weights.shape[1] > near.shape[1]
        drawn = np.ravel(strips[number * len(near)].get_array())
        assert np.allclose(np.sort(drawn), np.sort(near[0] * np.count_nonzero(weights[0])))


def test_silencing_beyond_the_promoter_window_changes_a_gene_that_reads_it(stores, tmp_path):
    store = Store(stores / "whole.h5")
    fit(store, tmp_path / "run", 1, WHOLE, Recipe(epochs=1, batch_size=16), progress=False)
    genes = store.genes
    row = int(
        np.flatnonzero(
            (genes["strand"] == "+") & (genes["gene_end"] - genes["tss"] > 6000) & (genes["fold"] == 1)
        )[0]
    )
    gene = genes.iloc[row]
    effects = perturb(tmp_path / "run", store, Region(gene.chrom, int(gene.tss) + 3000, int(gene.tss) + 5000))
    assert abs(effects.set_index("gene_id").loc[gene.gene_id, "effect"]) > 0


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"span": "genes"}, "Input should be .window. or .gene."),
        ({"positions": ["tss", "distance"]}, "unknown positions distance"),
        ({"span": "gene", "promoter_window": 2000}, "has no promoter window"),
        ({"positions": ["tss"]}, "positions have no effect on a network of promoter windows"),
        ({"base": "whole-genes"}, "no network"),
    ],
)
def test_contradictory_settings_are_refused(stores, network, words):
    with pytest.raises(InputError, match=words):
        network_and_recipe(Store(stores / "whole.h5"), network)


def test_stores_without_whole_genes_or_exons_are_refused_with_a_fix(stores, tmp_path):
    with pytest.raises(InputError, match="has only promoter windows") as refused:
        fit(stores / "windows.h5", tmp_path / "run", 1, WHOLE, progress=False)
    assert "whole_genes" in str(refused.value)
    genes, pcres, _ = long_tables()
    write_store(
        tmp_path / "no_exons.h5",
        genes=genes,
        pcres=pcres,
        signal_of=signal_of,
        channels=MARKS,
        bin_sizes=(2000, 500, 100),
        window=4000,
        genome="toy",
        inputs={},
        chrom_sizes=CHROMS,
        downstream=0,
    )
    with pytest.raises(InputError, match="positions of exons"):
        fit(tmp_path / "no_exons.h5", tmp_path / "run", 1, WHOLE, Recipe(batch_size=16), progress=False)
    fit(
        tmp_path / "no_exons.h5",
        tmp_path / "run",
        1,
        replace(WHOLE, positions=("tss", "end")),
        Recipe(batch_size=16, epochs=1),
        progress=False,
    )


def test_whole_genes_of_a_table_without_bodies_are_refused(tmp_path):
    genes, pcres, exons = long_tables()
    genes.loc[[3, 5], "gene_start"] = genes["tss"]
    genes.loc[[3, 5], "gene_end"] = genes["tss"] + 1
    tables = {"genes": genes, "pcres": pcres, "exons": exons, "signal_of": signal_of, "channels": MARKS}
    place = {
        "bin_sizes": (2000, 500, 100),
        "window": 4000,
        "genome": "toy",
        "chrom_sizes": CHROMS,
        "inputs": {},
    }
    with pytest.raises(InputError, match=r"2 of 120 genes are 1 bp or less \(gene3, gene5\)") as refused:
        write_store(tmp_path / "x.h5", **tables, **place, downstream=0)
    assert "gene_start and gene_end" in refused.value.fix and not list(tmp_path.iterdir())
    write_store(tmp_path / "x.h5", **tables, **place)  # promoter windows need no bodies


def test_building_whole_genes_from_a_table_without_bodies_names_the_columns_to_add(tmp_path):
    (tmp_path / "g.sizes").write_text("chr1\t100000\n")
    (tmp_path / "m.bedgraph").write_text("chr1\t0\t100000\t2\n")
    (tmp_path / "rpkm.tsv").write_text("gene_id\tx\nA\t1\nB\t5\n")
    (tmp_path / "genes.tsv").write_text("gene_id\tchrom\ttss\tstrand\nA\tchr1\t50000\t+\nB\tchr1\t60000\t-\n")
    (tmp_path / "m.yaml").write_text(
        "name: x\ngenome: hg38\nchrom_sizes: {path: g.sizes}\n"
        "channels: [{name: M, kind: bedgraph, path: m.bedgraph}]\n"
        "annotation: {kind: table, path: genes.tsv}\n"
        "expression: {kind: table, path: rpkm.tsv, column: x}\n"
        "contacts: {kind: none}\nwindow: 4000\nwhole_genes: {downstream: 1000}\n"
    )
    with pytest.raises(InputError, match=r"genes.tsv: whole genes need bodies; those of 2 of 2") as refused:
        build_store(tmp_path / "m.yaml", tmp_path / "x.h5", progress=False)
    assert "gene_start and gene_end" in refused.value.fix and not (tmp_path / "x.h5").exists()
    (tmp_path / "genes.tsv").write_text(
        "gene_id\tchrom\ttss\tstrand\tgene_start\tgene_end\n"
        "A\tchr1\t50000\t+\t50000\t53000\nB\tchr1\t60000\t-\t57001\t60001\n"
    )
    build_store(tmp_path / "m.yaml", tmp_path / "x.h5", progress=False)
    batch = GeneDataset(Store(tmp_path / "x.h5"), whole_genes=True).batch([0, 1])
    assert batch.gene_features(100)[1].length.tolist() == [3000, 3000]


def test_the_named_network_reads_whole_genes_and_the_default_is_the_published_one(stores):
    store = Store(stores / "whole.h5")
    named, _ = network_and_recipe(store, "whole-gene", "whole-gene")
    changed, _ = network_and_recipe(store, {"base": "whole-gene", "max_pcres": 0, "embedding": {"layers": 1}})
    assert (
        named.span == "gene"
        and changed.max_pcres == 0
        and changed.embedding == replace(named.embedding, layers=1)
    )
    assert network_and_recipe(store)[0] == ChromoformerConfig(
        channels=MARKS, window=4000, bin_sizes=(2000, 500, 100)
    )


@pytest.mark.slow
def test_the_study_of_whole_genes_finds_that_whole_genes_and_positions_matter(tmp_path):
    study = yaml.safe_load((ROOT / "workflow" / "studies" / "whole_genes.yaml").read_text())
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study | {"out": str(tmp_path / "runs")}))
    subprocess.run(
        [Path(sys.executable).with_name("chromoformer"), "run", "study.yaml", "--cores", "2"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    found = json.loads(
        (tmp_path / "runs" / "whole_gene" / "classification" / "cellA" / "metrics.json").read_text()
    )
    auc = {row["model"]: row["value"] for row in found["means"] if row["metric"] == "auc"}
    assert (
        auc["whole genes"] > auc["promoter window"] + 0.05
        and auc["whole genes"] > auc["trees, window"] + 0.05
    )
    trainings = {row["model"]: row["trainings"] for row in found["means"]}
    assert set(trainings.values()) == {3} and len(trainings) == 10
    tried = {name: np.mean(list(entry["scores"].values())) for name, entry in found["tried"].items()}
    assert tried["none"] < tried["tss"] < tried["tss end"] < tried["tss end others exons"]
    end = [row["enrichment"] for row in found["attention"] if row["part"] == 19]
    assert min(end) > 1  # the last tenth of a gene, where H3K36me3 is highest


def auc_within_folds(table):
    "The AUC of each fold, averaged."
    return np.mean([roc_auc_score(part["target"], part["score"]) for _, part in table.groupby("fold")])


@pytest.mark.slow
def test_networks_and_trees_on_gene_and_window_are_tuned_trained_and_compared_alike(tmp_path):
    toy = simulate(
        tmp_path / "toy",
        160,
        cell_types=["cellA"],
        long_genes=True,
        hic=False,
        marks=["H3K4me3", "H3K36me3"],
        progress=False,
    )
    build_store(toy / "cellA.yaml", tmp_path / "cellA.h5", progress=False)
    out = tmp_path / "out"
    out.mkdir()
    papermill.execute_notebook(
        ROOT / "nbs" / "analyses" / "whole_gene.ipynb",
        out / "notebook.ipynb",
        {
            "out": str(out),
            "cell_type": "cellA",
            "store": str(tmp_path / "cellA.h5"),
            "manifest": str(toy / "cellA.yaml"),
            "network": {"bin_sizes": [2000], "max_pcres": 0},
            "recipe": {"batch_size": 32, "epochs": 1},
            "positions": ["none", "tss end"],
            "tried": {"slow": {"network": {"positions": ["tss", "end"]}, "recipe": {"learning_rate": 1e-4}}},
            "held_out": [1, 3],
            "seeds": 2,
            "tree_bin": 2000,
            "tree_grid": {"learning_rate": [0.1], "max_leaf_nodes": [7, 15], "max_features": [0.5]},
            "most_trees": 20,
            "processes": 1,
            "draws": 30,
        },
        progress_bar=False,
        cwd=ROOT,
    )
    found = json.loads((out / "metrics.json").read_text())
    single = ["whole genes", "promoter window", "trees, whole genes", "trees, window", "network and trees"]
    pairs = [(0, 1), (0, 2), (0, 3), (0, 4), (2, 3), (2, 4)]
    expected = [(single[other], single[reference]) for reference, other in pairs]
    expected += [tuple(f"{name} (mean of 2)" for name in pair) for pair in expected]
    assert [(row["model"], row["reference"]) for row in found["differences"]] == expected
    trainings = [(row["trainings"], row["reference_trainings"]) for row in found["differences"]]
    assert set(trainings) == {(2, 2)}

    table = pd.read_parquet(out / "predictions.parquet")
    scores = {}
    for name in single:
        part = table[table["model"] == name]
        assert all(sorted(seeds) == [0, 1] for _, seeds in part.groupby(["fold", "gene_id"])["seed"])
        assert part.groupby("gene_id")["score"].nunique().eq(2).mean() > 0.5  # the seeds of trees count, too
        scores[name] = np.mean([auc_within_folds(one) for _, one in part.groupby("seed")])
        mean = part.groupby(["fold", "gene_id"], as_index=False)[["target", "score"]].mean()
        scores[f"{name} (mean of 2)"] = auc_within_folds(mean)
    means = {row["model"]: row["value"] for row in found["means"] if row["metric"] == "auc"}
    assert means == pytest.approx(scores)
    wide = table.pivot_table(index=["seed", "gene_id"], columns="model", values="score")
    assert np.allclose(wide["network and trees"], wide[["whole genes", "trees, whole genes"]].mean(axis=1))
    for row in found["differences"]:
        assert row["value"] == pytest.approx(scores[row["model"]] - scores[row["reference"]])

    whole, window = (
        json.loads((out / "runs" / place / "seed0" / "fold1" / "config.json").read_text())["network"]
        for place in ("whole_genes", "promoter_window")
    )
    assert (whole["span"], window["span"]) == ("gene", "window") and whole["embedding"]["layers"] == 3
    for part in ("embedding", "pairwise", "regulation", "head_width", "bin_sizes"):
        assert whole[part] == window[part]
    assert list(found["tried"]) == ["none", "tss end", "slow"]
    assert list(found["tried_on_window"]) == ["as given", "slow"]
    inner = {1: 2, 3: 4}
    by_trees = pd.DataFrame(found["tried_by_trees"])
    assert by_trees.groupby(["model", "held_out"]).size().to_dict() == {
        (name, fold): sets * 2
        for name, sets in (("trees, whole genes", 3), ("trees, window", 1))
        for fold in inner
    }
    assert by_trees["held_out"].map(inner).eq(by_trees["inner"]).all()
    for row in found["chosen_by_trees"]:
        of_fold = by_trees[(by_trees["model"] == row["model"]) & (by_trees["held_out"] == row["held_out"])]
        assert row["score"] == of_fold["score"].max() and 1 <= row["trees"] <= 20
    for fold, name in found["chosen_on_window"].items():
        column = f"held out {fold}, chosen on {inner[int(fold)]}"
        tried = {key: entry["scores"][column] for key, entry in found["tried_on_window"].items()}
        assert tried[name] == max(tried.values())


def test_only_the_stated_comparisons_count_for_the_correction():
    random = np.random.default_rng(0)
    genes = pd.DataFrame({"fold": np.repeat([1, 2], 200), "gene_id": range(400), "chrom": "chr1"})
    genes["tss"] = genes["gene_id"] * 100_000
    genes["target"] = random.integers(0, 2, 400)
    table = pd.concat(
        genes.assign(model=model, seed=seed, score=genes["target"] + noise * random.normal(size=400))
        for model, noise in (("a", 1.0), ("b", 1.1), ("c", 1.2), ("d", 1.3))
        for seed in (0, 1)
    )
    stated = differences(table, "classification", {"a": ["b", "c"], "c": ["d"]}, draws=100)
    assert stated[["model", "reference"]].to_numpy().tolist() == [["b", "a"], ["c", "a"], ["d", "c"]]
    every = differences(table, "classification", ["a", "c"], draws=100)
    assert len(every) == 5  # a and c are compared once
    both = stated.merge(every, on=["model", "reference"], suffixes=("", "_every"))
    assert np.allclose(both["value"], both["value_every"]) and np.allclose(both["p"], both["p_every"])
    assert (both["high"] - both["low"] < both["high_every"] - both["low_every"]).all()
    smallest = stated.loc[stated["p"].idxmin()]  # tested at the level divided by the three stated comparisons
    pair = table[table["model"].isin([smallest["model"], smallest["reference"]])]
    alone = differences(pair, "classification", smallest["reference"], draws=100, level=0.05 / 3).iloc[0]
    assert np.allclose(smallest[["low", "high"]].astype(float), alone[["low", "high"]].astype(float))
    with pytest.raises(InputError, match="no model 'e'"):
        differences(table, "classification", {"a": ["e"]}, draws=10)
