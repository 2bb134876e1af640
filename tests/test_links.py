"Enhancer-gene links: features of pairs, scores that hold chromosomes out, and comparison with tested pairs."

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import papermill
import pytest
import torch
import yaml
from command_line import listing, refused, succeed
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from chromoformer.data.batches import loader
from chromoformer.data.manifest import Contacts, Manifest, read_manifest
from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.experiments.link_features import (
    activity_of,
    candidates_of,
    competition,
    crossed_genes,
    insulation,
    link_features,
    mean_depth,
    peak_files,
    read_domains,
)
from chromoformer.experiments.links import (
    BEDPE,
    TESTED,
    by_distance,
    differences_of_links,
    genes_for_links,
    held_out_scores,
    judge_links,
    judge_rankings,
    link_models,
    precision_at_recall,
    rank_by_share,
    rank_links,
    read_tested_pairs,
    recommended_features,
    sign_table,
    silencer_marks,
    silencing_effects,
    simple_scores,
    write_links,
)
from chromoformer.genome import Region
from chromoformer.interpret.gene import withhold_each
from chromoformer.interpret.perturbation import perturb, perturb_pairs, silence
from chromoformer.metrics import blocks_of
from chromoformer.model.checkpoint import load, read_config
from chromoformer.model.config import ChromoformerConfig
from chromoformer.training.models import dataset_for

SIZES = {"chr1": 3_000_000, "chr2": 1_000_000}
ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "benchmarks" / "results" / "links.K562.json"


def track(*intervals):
    "A track of one chromosome: (start, end, depth)."
    start, end, depth = (np.array(column) for column in zip(*intervals))
    return {"chr1": (start, end, depth.astype(float))}


# -- features ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contacts", "expected"),
    [
        ({"kind": "activity", "path": "open.narrowPeak"}, {"DNase": "open.narrowPeak"}),
        ({"kind": "distance", "path": "open.bed"}, {"DNase": "open.bed"}),
        ({"kind": "activity", "path": {"sequence": "a.fa", "matrix": "m.jaspar"}}, {}),
        ({"kind": "ctcf", "path": {"sites": "s.bed"}}, {}),
        ({"kind": "ctcf", "path": {"sites": "s.bed", "peaks": "c.bed"}}, {"CTCF": "c.bed"}),
        (
            {"kind": "ctcf", "path": {"sequence": "a.fa", "matrix": "m", "elements": "open.bed"}},
            {"DNase": "open.bed"},
        ),
        ({"kind": "none"}, {}),
    ],
)
@pytest.mark.parametrize("otherwise", [False, True])
def test_peaks_are_those_that_the_manifest_names_and_never_a_sequence(contacts, expected, otherwise):
    entry = Contacts(**contacts)
    if otherwise and entry.kind != "none":
        entry = Contacts(kind="bedpe", path="loops.bedpe", otherwise=entry)
    channel = {"name": "H3K27ac", "kind": "peaks", "path": "k27ac.narrowPeak"}
    manifest = Manifest(
        name="a",
        genome="toy",
        chrom_sizes={"path": "sizes"},
        annotation={"kind": "gtf", "path": "genes.gtf"},
        channels=[channel, {"name": "GC", "kind": "gc", "path": "a.fa"}],
        contacts=entry,
    )
    assert peak_files(manifest) == {"H3K27ac": "k27ac.narrowPeak"} | expected


def test_mean_depth_equals_the_mean_over_bases():
    random = np.random.default_rng(0)
    edges = np.sort(random.choice(10_000, 60, replace=False))
    intervals = [(a, b, random.integers(1, 9)) for a, b in zip(edges[::2], edges[1::2])]
    bases = np.zeros(10_000)
    for start, end, depth in intervals:
        bases[start:end] = depth
    start = random.integers(0, 9000, 50)
    end = start + random.integers(1, 1000, 50)
    expected = [bases[a:b].mean() for a, b in zip(start, end)]
    assert mean_depth(track(*intervals), "chr1", start, end) == pytest.approx(expected)


def test_activity_is_the_geometric_mean_of_a_mark_and_open_chromatin():
    tracks = {"H3K27ac": track((9250, 10_000, 8)), "DNase": track((9950, 10_200, 6))}
    # 750 of 1,500 bases with depth 8, and 250 of 500 bases with depth 6
    assert activity_of(tracks, "chr1", np.array([10_000])) == pytest.approx([np.sqrt(4 * 3)])


@pytest.mark.parametrize("factor", [1e-6, 0.1, 7, 1e5])
def test_shares_do_not_depend_on_the_unit_of_a_track(factor):
    def shares(scale):
        tracks = {
            "DNase": track((1000, 1150, 5), (30_000, 30_150, 9), (90_000, 90_150, 3)),
            "H3K27ac": track((500, 2000, 4 * scale), (29_500, 31_000, 2 * scale), (89_500, 91_000, scale)),
        }
        candidates = candidates_of(tracks)
        own = activity_of(tracks, "chr1", np.array([30_075])) * candidates["scale"].iloc[0]
        return competition(np.array([30_075]), np.array([60_000]), own, candidates)

    one, other = shares(1), shares(factor)
    for name, values in one.items():
        assert values == pytest.approx(other[name]), name


def test_an_element_is_its_own_candidate_only_once_and_shares_add_up_to_1():
    candidates = pd.DataFrame({"middle": [10_000, 50_000, 200_000], "activity": [1.0, 2.0, 4.0]})
    middle = candidates["middle"].to_numpy()
    tss = np.full(3, 100_000)
    found = competition(middle, tss, candidates["activity"].to_numpy(), candidates)
    contact = candidates["activity"] / np.abs(middle - tss)
    assert found["share"] == pytest.approx((contact / contact.sum()).to_numpy())
    assert found["share"].sum() == pytest.approx(1)
    # Nearer than the first (90 kb) is only the second; nearer than the third (100 kb) are both others.
    assert np.expm1(found["nearer"]) == pytest.approx([1, 0, 2])
    assert np.expm1(found["between"]) == pytest.approx([1, 0, 0])
    assert np.expm1(found["activity nearer"]) == pytest.approx([2, 0, 3])


def test_tss_of_other_genes_are_counted_between_and_nearer():
    genes = pd.DataFrame({"tss": [10_000, 30_000, 60_000, 60_100], "expression": [0.0, 5.0, 3.0, 9.0]})
    found = crossed_genes(np.array([20_000]), np.array([60_000]), np.array([3.0]), genes)
    assert np.expm1(found["TSSs between"]) == pytest.approx([1])  # 60,100 is the same promoter
    assert np.expm1(found["TSSs nearer"]) == pytest.approx([2])
    assert np.expm1(found["expressed TSSs nearer"]) == pytest.approx([1])
    assert np.expm1(found["expression between"]) == pytest.approx([5])
    assert found["to nearest TSS"] == pytest.approx([np.log1p(10_000)])


def test_the_recommended_features_do_not_follow_the_expression_of_the_pairs_own_gene():
    peaks = track(*((at, at + 200, 4) for at in (100_000, 200_000, 500_400, 700_000)))
    tracks = {"DNase": peaks, "H3K27ac": peaks}
    pairs = pd.DataFrame({"chrom": "chr1", "start": [199_750, 500_150], "end": [200_250, 500_650]})
    pairs = pairs.assign(gene_id="own", tss=500_000)

    def features(own, other):
        genes = pd.DataFrame({"gene_id": ["own", "other"], "chrom": "chr1", "tss": [500_000, 500_900]})
        genes = genes.assign(strand="+", gene_start=genes["tss"], gene_end=genes["tss"] + 10_000)
        return link_features(pairs, tracks, genes.assign(expression=[own, other]))

    silent, expressed, beside = features(0.0, 3.0), features(5.0, 3.0), features(0.0, 6.0)
    assert not silent.equals(expressed)
    pd.testing.assert_frame_equal(recommended_features(silent), recommended_features(expressed))
    assert beside["promoter expression"].tolist() == [-1, 6]  # the other gene's, though the own TSS is nearer
    assert np.expm1(beside["expressed TSSs around"]).tolist() == pytest.approx([1, 1])


def test_loops_are_the_same_with_either_anchor_first():
    names = ["start_a", "end_a", "start_b", "end_b"]
    loops = pd.DataFrame([(100_000, 105_000, 500_000, 505_000)], columns=names)
    turned = loops.set_axis(names[2:] + names[:2], axis=1)
    pairs = (np.array([300_000, 300_000, 103_000]), np.array([200_000, 600_000, 502_000]))
    found, other = (insulation(*pairs, None, table) for table in (loops, turned))
    assert np.expm1(found["loops around both"]) == pytest.approx([1, 0, 1])
    assert np.expm1(found["loops around one"]) == pytest.approx([0, 1, 0])
    for name in found:
        assert found[name].tolist() == other[name].tolist(), name


def test_loops_and_domains_join_or_separate():
    loops = pd.DataFrame(
        {
            "start_a": [0, 15_000],
            "end_a": [5000, 20_000],
            "start_b": [95_000, 45_000],
            "end_b": [100_000, 50_000],
        }
    )
    domains = pd.DataFrame({"start": [0, 10_000, 70_000], "end": [200_000, 65_000, 90_000]})
    found = insulation(np.array([20_000, 50_000]), np.array([50_000, 80_000]), None, loops, domains)
    assert found["loops joining"].tolist() == [1, 0]
    assert np.expm1(found["loops around both"]) == pytest.approx([1, 1])
    assert np.expm1(found["loops around one"]) == pytest.approx([1, 0])  # 50,000 is at the second's end
    assert found["domains shared"].tolist() == [2, 1]
    assert np.exp(found["smallest domain"]) == pytest.approx([55_000, 200_000])
    assert np.expm1(found["domain borders between"]) == pytest.approx([0, 2])


def test_features_keep_the_order_of_pairs_and_are_missing_for_unknown_genes():
    tracks = {"DNase": track((1000, 1150, 5)), "H3K27ac": track((500, 2000, 4))}
    genes = pd.DataFrame(
        {
            "gene_id": ["ENSG00000000001.4"],
            "chrom": ["chr1"],
            "tss": [40_000],
            "strand": ["-"],
            "gene_start": [500],
            "gene_end": [40_001],
            "expression": [2.0],
        }
    )
    pairs = pd.DataFrame(
        {
            "chrom": ["chr2", "chr1", "chr1"],
            "start": [0, 1000, 1000],
            "end": [500, 1500, 1500],
            "gene_id": ["ENSG00000000002", "ENSG00000000001", "ENSG00000000003"],
            "tss": [9000, 40_000, 70_000],
        },
        index=[7, 3, 5],
    )
    genes = pd.concat([genes, genes.assign(gene_id="ENSG00000000009", chrom="chr2")])
    found = link_features(pairs, tracks, genes)
    assert found.index.tolist() == [7, 3, 5]
    assert found["log distance"].to_numpy() == pytest.approx(np.log([8750, 38_750, 68_750]))
    assert found.loc[3, "downstream"] == 1 and found.loc[3, "in gene"] == 1
    assert found.loc[[7, 5], ["expression", "in gene", "downstream"]].isna().all(axis=None)


@pytest.mark.parametrize("text", ["chr1\tx1\tx2\tcolor\n1\t100\t900\tred\n", "chr1\t100\t900\n"])
def test_domains_are_read_from_both_formats(tmp_path, text):
    (tmp_path / "domains.txt").write_text(text)
    assert read_domains(tmp_path / "domains.txt", SIZES)[["chrom", "start", "end"]].values.tolist() == [
        ["chr1", 100, 900]
    ]


# -- scores --------------------------------------------------------------------------------------------------


def test_simple_scores_are_activity_over_distance():
    features = pd.DataFrame(
        {
            "log distance": np.log([1000.0, 20_000.0]),
            "log activity": np.log([2.01, 3.01]),
            "H3K27ac in 2,000 bp": np.log1p([4.0, 6.0]),
            "share": [0.2, 0.1],
        }
    )
    found = simple_scores(features)
    contact = np.array([5000.0, 20_000.0]) ** -1.024  # distances below 5 kb count as 5 kb
    assert found["distance"] == pytest.approx([-1000, -20_000])
    assert found["H3K27ac x distance"] == pytest.approx(np.array([4, 6]) * contact)
    assert found["H3K27ac, DNase x distance"] == pytest.approx(np.array([2, 3]) * contact)
    assert found["share of the gene"].tolist() == [0.2, 0.1]


def test_the_scored_chromosome_is_never_learned_from():
    "A feature that betrays the labels of one chromosome must not help there."
    random = np.random.default_rng(1)
    chrom = np.repeat(["chr1", "chr2", "chr3", "chr4"], 60)
    label = random.random(240) < 0.3
    seen = []

    class Spy(LogisticRegression):
        def fit(self, x, y):
            seen.append((set(x[:, 0]), len(x)))
            return super().fit(x, y)

    features = pd.DataFrame({"number": np.repeat([1.0, 2, 3, 4], 60), "noise": random.normal(size=240)})
    scores, chosen = held_out_scores(
        features, label, chrom, seeds=[0], models=lambda *_: {"one": Spy(), "two": Spy(C=0.1)}
    )
    full = [numbers for numbers, size in seen if size == 180]
    assert len(full) == 4 and all(len(numbers) == 3 for numbers in full)
    assert len(chosen) == 4 and np.isfinite(scores).all()
    for k in range(4):
        x = features.to_numpy()
        training = chrom != f"chr{k + 1}"
        c = {"one": 1.0, "two": 0.1}[chosen["model"].iloc[k]]
        expected = LogisticRegression(C=c).fit(x[training], label[training]).predict_proba(x[~training])[:, 1]
        assert scores[~training] == pytest.approx(expected)


def test_constrained_trees_never_score_a_nearer_element_lower():
    random = np.random.default_rng(0)
    features = pd.DataFrame({"log distance": random.uniform(6, 14, 500), "other": random.normal(size=500)})
    label = random.random(500) < np.where(features["log distance"] < 9, 0.5, 0.1)
    model = link_models(features.columns)["constrained trees"].fit(features.to_numpy(), label)
    grid = np.c_[np.linspace(6, 14, 200), np.zeros(200)]
    assert (np.diff(model.predict_proba(grid)[:, 1]) <= 1e-12).all()


def test_links_on_one_chromosome_cannot_be_held_out():
    features = pd.DataFrame({"x": np.arange(6.0)})
    with pytest.raises(InputError, match="fewer than two chromosomes"):
        held_out_scores(features, [True, False, False] * 2, ["chr1"] * 6)


# -- judging -------------------------------------------------------------------------------------------------


def test_average_precision_and_precision_at_recall_have_the_values_counted_by_hand():
    regulated = np.array([True, False, True, False, True])
    score = np.array([5.0, 4, 3, 2, 1])
    pairs = pd.DataFrame(
        {"chrom": "chr1", "gene_id": list("abcde"), "tss": np.arange(5) * 100, "regulated": regulated}
    )
    judged = judge_links({"one": score}, pairs, draws=50)
    assert judged["average_precision"].iloc[0] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert precision_at_recall(regulated, score, 0.7) == pytest.approx(3 / 5)
    assert precision_at_recall(regulated, score, 0.5) == pytest.approx(2 / 3)
    assert judged["low"].iloc[0] < judged["average_precision"].iloc[0] < judged["high"].iloc[0]


def test_bins_of_distance_are_judged_on_their_own():
    pairs = pd.DataFrame({"distance": [-500, 900, 50_000, -60_000], "regulated": [True, False, False, True]})
    found = by_distance({"x": np.array([0.0, 1, 0, 1])}, pairs, bins=(0, 10_000, 100_000, 1_000_000))
    assert found["pairs"].tolist() == [2, 2] and found["average_precision"].tolist() == [0.5, 1.0]


def test_wrong_signs_are_counted_among_significant_pairs():
    pairs = pd.DataFrame(
        {
            "chrom": "chr1",
            "gene_id": [f"g{k}" for k in range(6)],
            "tss": np.arange(6) * 1000,
            "effect": [-0.5, -0.4, -0.3, 0.2, 0.3, 0.4],
            "significant": [True, True, True, True, True, False],
        }
    )
    effects = pd.DataFrame({"effect": [1.0, -1, 0, -2, 2, 3], "read": [True, True, False, True, True, True]})
    table = sign_table(effects, pairs).set_index("measured")
    assert table.loc["decrease", ["pairs", "read", "right", "wrong"]].tolist() == [3, 2, 1, 1]
    assert table.loc["increase", ["pairs", "read", "right", "wrong"]].tolist() == [2, 2, 1, 1]
    assert table["share"].tolist() == [0.5, 0.5]


def test_marks_of_silencers_are_counted_by_direction():
    pairs = pd.DataFrame(
        {
            "chrom": "chr1",
            "gene_id": [f"g{k}" for k in range(4)],
            "tss": np.arange(4) * 1000,
            "effect": [0.5, -0.5, -0.4, 0.1],
            "significant": [True, True, True, False],
        }
    )
    features = pd.DataFrame({"H3K27me3 in 2,000 bp": [1.0, 0.0, 0.2, 0.0]})
    table = silencer_marks(features, pairs).set_index("silencing")
    assert table["pairs"].to_dict() == {"increase": 1, "decrease": 2, "no change": 1}
    assert table["share"].to_dict() == {"increase": 1.0, "decrease": 0.5, "no change": 0.0}


HEADER = "chrom\tstart\tend\tgene_id\ttss\teffect\tsignificant\tregulated\n"


def test_tested_pairs_are_read_with_their_distance(tmp_path):
    (tmp_path / "pairs.tsv").write_text(
        HEADER + "1\t100\t300\tENSG00000000001.7\t1200\t-0.4\tTrue\tTrue\nchr2\t0\t50\tG\t9\t0.1\t0\tFalse\n"
    )
    table = read_tested_pairs(tmp_path / "pairs.tsv", SIZES)
    assert table["chrom"].tolist() == ["chr1", "chr2"] and table["distance"].tolist() == [-1000, 16]
    assert table["gene_id"].iloc[0] == "ENSG00000000001" and table["regulated"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("chr1\t1\t9\tG\t5\t-1\tmaybe\tTrue\n", "neither True nor False"),
        ("chr1\t1\t9\tG\tfive\t-1\tTrue\tTrue\n", "whole number"),
        ("chr1\t1\t9\tG\t5\t-1\tTrue\tFalse\n", "no pair is regulated"),
    ],
)
def test_wrong_tables_of_pairs_are_refused(tmp_path, row, says):
    (tmp_path / "pairs.tsv").write_text(HEADER + row)
    with pytest.raises(InputError, match=says):
        read_tested_pairs(tmp_path / "pairs.tsv", SIZES)


def test_the_recommended_score_does_not_read_the_expression_of_the_gene():
    features = pd.DataFrame(
        {name: [0.0] for name in ("share", "expression", "mean expression elsewhere", "gene share", "nearer")}
    )
    assert list(recommended_features(features)) == ["share", "nearer"]


# -- networks ------------------------------------------------------------------------------------------------


def test_silencing_a_pair_equals_silencing_its_interval_for_its_gene(toy_runs, toy_store):
    store = Store(toy_store)
    region = store.regions.iloc[store.pcres["region"].iloc[:4]].reset_index(drop=True)
    gene = store.genes.iloc[store.pcres["gene"].iloc[:4]].reset_index(drop=True)
    pairs = region[["chrom", "start", "end"]].assign(gene_id=gene["gene_id"])
    pairs.loc[4] = [pairs["chrom"][0], 0, 10, pairs["gene_id"][0]]  # read by no gene
    pairs.loc[5] = [pairs["chrom"][0], 0, 10, "nobody"]
    found = silencing_effects(toy_runs, store, pairs)
    assert found["read"].tolist() == [True] * 4 + [False] * 2
    assert found["held_out"].tolist() == [True] * 5 + [False] and found["effect"][4] == 0
    assert np.isnan(found["effect"][5])
    for k in range(4):
        row = pairs.loc[k]
        interval = Region(row["chrom"], int(row["start"]), int(row["end"]))
        expected = perturb(toy_runs, store, interval, genes=[row["gene_id"]])["effect"].iloc[0]
        assert found["effect"][k] == pytest.approx(expected, abs=1e-6)


def test_pairs_are_silenced_as_a_network_reads_a_store_without_their_signal(toy_runs, toy_store):
    store = Store(toy_store)
    model = load(toy_runs[0], torch.float64).eval()
    fold = read_config(toy_runs[0])[1][0]
    with_pcres = store.pcres["gene"].unique()
    rows = [row for row in with_pcres if store.genes["fold"].iloc[row] == fold][:3]
    pairs = []
    for row in rows:
        region = store.regions.iloc[store.pcres["region"].iloc[store.pcre_start[row]]]
        pairs.append((region["chrom"], region["start"], region["end"], store.genes["gene_id"].iloc[row]))
    pairs = pd.DataFrame(pairs, columns=["chrom", "start", "end", "gene_id"], index=[7, 7, 9])
    found = perturb_pairs(toy_runs[0], store, pairs, ["H3K27ac", "H3K4me1"], dtype=torch.float64)
    assert found.index.tolist() == [7, 7, 9] and found["read"].all() and found["held_out"].all()
    for row, pair, effect in zip(rows, pairs.itertuples(), found["effect"]):
        changed = silence(store, Region(pair.chrom, int(pair.start), int(pair.end)), ["H3K27ac", "H3K4me1"])
        inputs = (dataset_for(model, one, "cpu", in_memory=False) for one in (store, changed))
        with torch.no_grad():
            before, after = (model(next(iter(loader(one, np.array([row]))))) for one in inputs)
        log_odds = [(one[0, 1] - one[0, 0]).item() for one in (before, after)]
        assert effect == pytest.approx(log_odds[0] - log_odds[1], abs=1e-6)
        assert effect != 0


def test_the_gradient_gives_the_effect_of_a_small_change(toy_runs, toy_store):
    store = Store(toy_store)
    gene = store.genes[store.genes["fold"] == read_config(toy_runs[0])[1][0]].iloc[0]
    region = store.regions.iloc[store.promoter_region[gene.name]]
    pairs = pd.DataFrame([region[["chrom", "start", "end"]]]).assign(gene_id=gene["gene_id"])
    # in two steps: the first silences all marks, so that the second, a little less, is a small change
    flat = silence(store, Region(region["chrom"], int(region["start"]), int(region["end"])), level=5.0)
    effects = [
        perturb_pairs(toy_runs[0], flat, pairs, level=level, gradient=gradient, dtype=torch.float64)
        for level in (4.98, 1.0)
        for gradient in (False, True)
    ]
    measured, estimated, far, far_estimated = (table["effect"].item() for table in effects)
    assert measured != 0 and estimated == pytest.approx(measured, rel=0.02)
    assert abs(far_estimated - far) > 1e-3 * abs(far)  # it is an estimate
    assert effects[1]["score"].item() - effects[1]["score_silenced"].item() == pytest.approx(
        effects[0]["score"].item() - effects[0]["score_silenced"].item(), rel=0.02
    )


def test_only_what_a_network_reads_counts_as_read(toy_store):
    store = Store(toy_store)
    settings = {"channels": store.channels, "window": store.window}
    row = int(store.pcres["gene"].iloc[0])
    pcres = store.regions.iloc[store.pcres["region"].iloc[store.pcre_start[row] : store.pcre_start[row + 1]]]
    tss = int(store.genes["tss"].iloc[row])
    last = pcres.iloc[-1]
    for max_pcres, read in ((0, False), (len(pcres) - 1, False), (len(pcres), True)):
        silent = silence(store, Region(last["chrom"], int(last["start"]), int(last["end"])))
        config = ChromoformerConfig(**settings, max_pcres=max_pcres)
        assert (row in silent.genes_reading(config)) == read, max_pcres
    edge = Region(last["chrom"], tss + store.window // 2 - 500, tss + store.window // 2 - 400)
    for promoter_window, read in ((None, True), (store.window, True), (store.window // 2, False)):
        config = ChromoformerConfig(**settings, promoter_window=promoter_window, max_pcres=0)
        assert (row in silence(store, edge).genes_reading(config)) == read, promoter_window


def test_silencing_knows_genes_by_their_id_without_version_and_widens_the_element(toy_runs, toy_store):
    store = Store(toy_store)
    region = store.regions.iloc[store.pcres["region"].iloc[0]]
    gene = store.genes["gene_id"].iloc[store.pcres["gene"].iloc[0]]
    just_before = (region["start"] - 50, region["start"])
    pairs = pd.DataFrame(
        [(region["chrom"], *just_before, gene + ".3")], columns=["chrom", "start", "end", "gene_id"]
    )
    assert silencing_effects(toy_runs, store, pairs)["read"].tolist() == [False]
    wide = silencing_effects(toy_runs, store, pairs, flank=300)
    assert wide["read"].tolist() == [True]
    interval = Region(region["chrom"], int(just_before[0]) - 300, int(just_before[1]) + 300)
    expected = perturb(toy_runs, store, interval, genes=[gene])["effect"].iloc[0]
    assert wide["effect"].iloc[0] == pytest.approx(expected, abs=1e-6)


def test_pairs_are_silenced_in_the_networks_that_held_them_out_in_training(toy_runs, toy_store):
    store = Store(toy_store)
    number = store.pcres["gene"].drop_duplicates().index[:30]
    region = store.regions.iloc[store.pcres["region"].iloc[number]].reset_index(drop=True)
    ids = store.genes["gene_id"].iloc[store.pcres["gene"].iloc[number]]
    pairs = region[["chrom", "start", "end"]].assign(gene_id=ids.to_numpy())
    again = store.replace(genes=store.genes.assign(fold=np.arange(len(store.genes)) % 4 + 1))
    expected, found = (silencing_effects(toy_runs[:2], one, pairs) for one in (store, again))
    assert found.equals(expected) and 0 < expected["held_out"].sum() < len(pairs)


def test_ranked_links_are_those_of_withheld_pcres(toy_runs, toy_store):
    genes = Store(toy_store).genes["gene_id"].iloc[:6].tolist()
    effects = withhold_each(toy_runs, toy_store, genes)
    table = rank_links(toy_runs, toy_store, genes)
    assert len(table) == len(effects) and table["score"].is_monotonic_decreasing
    assert sorted(table["effect"]) == pytest.approx(sorted(effects["effect"]), abs=1e-6)


def test_the_command_writes_a_bedpe_and_a_table(toy_runs, toy_store, tmp_path):
    gene = Store(toy_store).genes["gene_id"].iloc[Store(toy_store).pcres["gene"].iloc[0]]
    out = tmp_path / "links.bedpe"
    succeed("links", *toy_runs, toy_store, gene, "--out", out)
    lines = out.read_text().splitlines()
    table = pd.read_parquet(tmp_path / "links.parquet")
    assert lines[0].startswith("#chrom1\tstart1\tend1\tchrom2") and len(lines) == 1 + len(table)
    assert set(table["gene_id"]) == {gene} and table["held_out"].all()
    refused(tmp_path, "links", *toy_runs, toy_store, gene, "--out", out, says=["links.bedpe"])
    refused(tmp_path, "links", toy_store, gene, "--out", tmp_path / "b.bedpe", says=["run folders"])
    refused(tmp_path, "links", *toy_runs, toy_store, "nobody", "--out", tmp_path / "c.bedpe", says=["nobody"])


def test_the_share_ranks_every_candidate_as_the_feature_does(tmp_path):
    genes, _ = small_cell(tmp_path)
    manifest = read_manifest(tmp_path / "cell.yaml")
    ranked = rank_by_share(manifest, least=0)
    assert tuple(ranked.columns[:10]) == BEDPE and ranked["score"].is_monotonic_decreasing
    assert (ranked["distance"].abs() >= 1000).all() and len(ranked) > 2000
    tracks = {
        name: {chrom: part[["start", "end", "depth"]].to_numpy().T for chrom, part in table.groupby("chrom")}
        for name, table in (
            (name, pd.read_csv(tmp_path / f"{name}.narrowPeak", sep="\t", header=None, usecols=[0, 1, 2, 6]))
            for name in ("DNase", "H3K27ac")
        )
        for table in [table.set_axis(["chrom", "start", "end", "depth"], axis=1)]
    }
    pairs = ranked.rename(columns={"chrom1": "chrom", "start1": "start", "end1": "end", "start2": "tss"})
    features = link_features(pairs, tracks, genes.assign(expression=0.0))
    assert ranked["score"].to_numpy() == pytest.approx(features["share"].to_numpy())
    gene = ranked["gene_id"].iloc[0]
    assert rank_by_share(manifest, [gene], 0)["score"].tolist() == pytest.approx(
        ranked.loc[ranked["gene_id"] == gene, "score"].tolist()
    )
    assert (rank_by_share(manifest)["score"] >= 0.01).all()


def test_the_command_ranks_by_share_without_networks(toy_store, tmp_path):
    genes, _ = small_cell(tmp_path)
    out = tmp_path / "links.bedpe"
    said = succeed("links", tmp_path / "cell.yaml", "--by", "share", "--out", out)
    table = pd.read_parquet(tmp_path / "links.parquet")
    assert set(table["gene_id"]) == set(genes["gene_id"]) and "activity" in str(said)
    assert len(out.read_text().splitlines()) == 1 + len(table)
    one = ["links", tmp_path / "cell.yaml", "chr1g3", "--by", "share", "--out", tmp_path / "one.bedpe"]
    succeed(*one)
    assert set(pd.read_parquet(tmp_path / "one.parquet")["gene_id"]) == {"chr1g3"}
    other = ["--by", "share", "--out", tmp_path / "other.bedpe"]
    refused(tmp_path, "links", toy_store, *other, says=["expected a manifest"])
    refused(tmp_path, "links", tmp_path / "cell.yaml", "nobody", *other, says=["nobody"])
    content = yaml.safe_load((tmp_path / "cell.yaml").read_text())
    (tmp_path / "bare.yaml").write_text(yaml.safe_dump(content | {"contacts": {"kind": "none"}}))
    refused(tmp_path, "links", tmp_path / "bare.yaml", *other, says=["found no peaks of DNase"])


def test_a_score_that_some_pairs_lack_is_refused():
    pairs = pd.DataFrame(
        {"chrom": "chr1", "gene_id": list("abcd"), "tss": range(4), "regulated": [1, 0, 0, 1]}
    )
    scores = {"known": np.arange(4.0), "unknown": np.array([1, 2, 3, np.nan])}
    with pytest.raises(InputError, match="'unknown' is not finite"):
        judge_links(scores, pairs)
    with pytest.raises(InputError, match="'unknown' is not finite"):
        differences_of_links(scores, pairs, "known")


def test_rankings_within_one_fold_are_judged_as_scores_of_links():
    random = np.random.default_rng(0)
    genes = np.repeat(np.arange(60), 5)
    pairs = pd.DataFrame({"chrom": "chr1", "gene_id": genes, "tss": 1000 * genes})
    pairs = pairs.assign(regulated=random.random(300) < 0.2)
    scores = {name: pairs["regulated"] + random.normal(0, noise, 300) for name, noise in (("a", 1), ("b", 2))}
    judged = judge_links(scores, pairs, draws=50)
    known = judge_rankings(scores, pairs["regulated"], 50, blocks_of(pairs))
    columns = ["average_precision", "low", "high"]
    assert judged[columns].equals(known[columns])
    difference = differences_of_links(scores, pairs, "a", draws=50).iloc[0]
    assert difference["value"] == pytest.approx(-np.diff(judged["average_precision"])[0])


# -- expression elsewhere ------------------------------------------------------------------------------------


def expressed_cell(folder, separator="\t", gene_id="gene_id", **columns):
    "Write a matrix of expression; return its manifest and its genes with their expression in A."
    random = np.random.default_rng(0)
    table = pd.DataFrame({gene_id: [f"ENSG{i:011d}.{i % 3}" for i in range(20)]})
    table = table.assign(**{name: random.uniform(0, 99, 20) for name in "ABCD"}).assign(**columns)
    table.to_csv(folder / "rpkm.txt", sep=separator, index=False)
    expression = {"kind": "matrix", "path": "rpkm.txt", "column": "A", "gene_id": gene_id}
    (folder / "cell.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "cell",
                "genome": "toy",
                "chrom_sizes": {"path": "sizes"},
                "channels": [{"name": "H3K27ac", "kind": "peaks", "path": "H3K27ac.narrowPeak"}],
                "annotation": {"kind": "table", "path": "genes.tsv"},
                "expression": expression,
            }
        )
    )
    genes = pd.DataFrame({"gene_id": table[gene_id], "expression": table["A"]})
    return read_manifest(folder / "cell.yaml"), genes, table


@pytest.mark.parametrize("separator", ["\t", ","])
@pytest.mark.parametrize("gene_id", ["gene_id", "gene"])
def test_expression_elsewhere_leaves_out_the_cell_type_and_its_relatives(tmp_path, separator, gene_id):
    manifest, genes, table = expressed_cell(tmp_path, separator, gene_id, symbol="x")
    found = genes_for_links(manifest, genes, ["D", "symbol"])
    others = np.log2(table[["B", "C"]] + 1)
    expected = {"mean": others.mean(axis=1), "sd": others.std(axis=1)}
    expected |= {"lowest": others.min(axis=1), "highest": others.max(axis=1)}
    for name, values in expected.items():
        assert found[name].to_numpy() == pytest.approx(values.to_numpy()), name
    assert found["expression"].to_numpy() == pytest.approx(np.log2(table["A"] + 1).to_numpy())
    alone = genes_for_links(manifest, genes, ["C", "D", "symbol"])  # one other cell type says little
    assert list(alone) == ["gene_id", "expression"]


def test_a_misspelt_or_copied_column_of_expression_is_an_error(tmp_path):
    manifest, genes, table = expressed_cell(tmp_path)
    with pytest.raises(InputError, match="no column 'E'"):
        genes_for_links(manifest, genes, ["E"])
    manifest, genes, _ = expressed_cell(tmp_path, K562=table["A"])
    with pytest.raises(InputError, match="column K562 is the expression of the cell type itself"):
        genes_for_links(manifest, genes)
    assert "mean" in genes_for_links(manifest, genes, ["K562"])
    manifest, genes, _ = expressed_cell(tmp_path, B="?")
    with pytest.raises(InputError, match="B '\\?' is not a finite number"):
        genes_for_links(manifest, genes)


# -- the analysis --------------------------------------------------------------------------------------------


def analysed(out, **parameters):
    out.mkdir()
    papermill.execute_notebook(
        ROOT / "nbs" / "analyses" / "links.ipynb",
        out / "notebook.ipynb",
        parameters | {"out": str(out)},
        progress_bar=False,
        cwd=ROOT,
    )
    return json.loads((out / "metrics.json").read_text())


@pytest.mark.slow
def test_a_cell_type_without_tested_pairs_is_skipped_with_the_reason(toy, tmp_path):
    found = analysed(tmp_path / "none", manifest=str(toy / "cellA.yaml"), cell_type="cellA")
    assert found == {"refused": "no table of tested pairs is given for cellA"}


def small_cell(folder):
    "Write peaks, genes, expression and tested pairs of three chromosomes, where near elements act."
    random = np.random.default_rng(0)
    chroms = ["chr1", "chr2", "chr3"]
    peaks = {"DNase": [], "H3K27ac": [], "H3K27me3": [], "CTCF": []}
    genes, pairs = [], []
    for chrom in chroms:
        tss = np.sort(random.choice(np.arange(100_000, 1_900_000, 1000), 12, replace=False))
        middle = np.sort(random.choice(np.arange(50_000, 1_950_000, 2000), 60, replace=False))
        for place in middle:
            peaks["DNase"].append((chrom, place - 100, place + 100, random.integers(2, 20)))
            peaks["H3K27ac"].append((chrom, place - 600, place + 600, random.integers(2, 20)))
            peaks["CTCF"].append((chrom, place + 1000, place + 1200, 9))
            peaks["H3K27me3"].append((chrom, place - 900, place + 900, 5))
        for number, site in enumerate(tss):
            gene = f"{chrom}g{number}"
            body = (site, site + 5000) if number % 2 == 0 else (site - 4999, site + 1)
            genes.append((gene, gene, chrom, site, "+-"[number % 2], *body))
            for place in middle[np.abs(middle - site) < 400_000]:
                hit = random.random() < (0.8 if abs(place - site) < 60_000 else 0.02)
                pairs.append((chrom, place - 250, place + 250, gene, site, -0.4 if hit else 0.0, hit, hit))
    for name, rows in peaks.items():
        lines = [f"{c}\t{a}\t{b}\t.\t0\t.\t{depth}\t-1\t-1\t{(b - a) // 2}\n" for c, a, b, depth in rows]
        (folder / f"{name}.narrowPeak").write_text("".join(lines))
    columns = ["gene_id", "gene_name", "chrom", "tss", "strand", "gene_start", "gene_end"]
    table = pd.DataFrame(genes, columns=columns)
    table.to_csv(folder / "genes.tsv", sep="\t", index=False)
    rpkm = {name: random.uniform(0, 50, len(table)) for name in ("A", "B", "C")}
    pd.DataFrame({"gene_id": table["gene_id"]} | rpkm).to_csv(folder / "rpkm.tsv", sep="\t", index=False)
    pd.DataFrame(pairs, columns=TESTED).to_csv(folder / "pairs.tsv", sep="\t", index=False)
    (folder / "sizes").write_text("".join(f"{chrom}\t2000000\n" for chrom in chroms))
    content = {
        "name": "cell",
        "genome": "toy",
        "chrom_sizes": {"path": "sizes"},
        "channels": [
            {"name": name, "kind": "peaks", "path": f"{name}.narrowPeak"} for name in ("H3K27ac", "H3K27me3")
        ],
        "expression": {"kind": "matrix", "path": "rpkm.tsv", "column": "A", "gene_id": "gene_id"},
        "annotation": {"kind": "table", "path": "genes.tsv"},
        "contacts": {"kind": "activity", "marks": ["H3K27ac"], "path": "DNase.narrowPeak"},
        "folds": {k: [chrom] for k, chrom in enumerate(chroms, 1)},
        "extra": {"CTCF": {"path": "CTCF.narrowPeak"}},
    }
    (folder / "cell.yaml").write_text(yaml.safe_dump(content))
    return table, pd.DataFrame(pairs, columns=TESTED)


@pytest.mark.slow
def test_the_analysis_scores_tested_pairs_of_any_cell_type(tmp_path):
    (tmp_path / "cell").mkdir()
    _, pairs = small_cell(tmp_path / "cell")
    found = analysed(
        tmp_path / "out",
        manifest=str(tmp_path / "cell" / "cell.yaml"),
        cell_type="cell",
        tested={"cell": str(tmp_path / "cell" / "pairs.tsv")},
        draws=20,
    )
    distance = (pairs["start"] + 250 - pairs["tss"]).abs()
    expected = average_precision_score(pairs["regulated"], -distance)
    assert found["average precision: distance"]["value"] == pytest.approx(expected)
    learned = found["average precision: recommended"]
    assert learned["value"] > 0.5 and learned["low"] < learned["value"] < learned["high"]
    assert found["H3K27me3 at elements: decrease"]["value"] == 1
    assert found["pairs"]["value"] == len(pairs)
    kept = pd.read_parquet(tmp_path / "out" / "pairs.parquet")
    assert len(kept) == len(pairs) and "score: recommended" in kept
    assert len(list((tmp_path / "out" / "figures").glob("*.png"))) == 2


# -- real data -----------------------------------------------------------------------------------------------


def test_distance_has_the_known_average_precision_in_k562(real_data):
    sizes = {f"chr{name}": 300_000_000 for name in [*range(1, 23), "X", "Y"]}
    pairs = read_tested_pairs(real_data / "links" / "K562.crispri.hg19.tsv.gz", sizes)
    assert len(pairs) == 10_262 and pairs["regulated"].sum() == 471
    assert (pairs["significant"] & (pairs["effect"] > 0)).sum() == 74
    scores = {"distance": -pairs["distance"].abs().to_numpy(float)}
    assert judge_links(scores, pairs, draws=2)["average_precision"].iloc[0] == pytest.approx(0.415, abs=5e-4)
    # Negatives are listed only where the test had power; links are not.
    weak = pairs["power_at_25"] < 0.8
    assert (weak & pairs["regulated"]).sum() == 142 and (weak & ~pairs["regulated"]).sum() == 16


def test_the_kept_result_reaches_the_promised_precision():
    kept = json.loads(KEPT.read_text())
    found = {row["score"]: row for row in kept["scores"]}
    assert found["recommended"]["average_precision"] > 0.5 > found["distance"]["average_precision"]
    assert not set(kept["features"]) & {"expression", "specific expression", "gene share"}
    used = next(row for row in kept["predicted contacts"] if row["used"])
    held_out = {row["score"]: row["average_precision"] for row in kept["folds 3 and 4"]}
    assert used["folds 3 and 4"] > held_out["distance"]


def test_links_are_written_as_both_files_or_none(toy_runs, toy_store, tmp_path, monkeypatch):
    gene = Store(toy_store).genes["gene_id"].iloc[Store(toy_store).pcres["gene"].iloc[0]]
    table = rank_links(toy_runs, toy_store, [gene, gene])
    assert table.equals(rank_links(toy_runs, toy_store, [gene]))
    out = tmp_path / "links.bedpe"

    def full_disk(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    for old in (False, True):
        if old:
            write_links(out, table)
        before = listing(tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(pd.DataFrame, "to_csv", full_disk)
            with pytest.raises(InputError, match=r"links.bedpe: the disk is full"):
                write_links(out, table.assign(score=1.0))
        assert listing(tmp_path) == before


def test_runs_store_and_genes_are_told_apart(toy_runs, toy_store, tmp_path):
    store = shutil.copy(toy_store, tmp_path / "store")  # an older store, without the ending
    gene = Store(store).genes["gene_id"].iloc[Store(store).pcres["gene"].iloc[0]]
    succeed("links", *toy_runs, store, gene, "--out", tmp_path / "a.bedpe")
    out = ("--out", tmp_path / "b.png")
    refused(tmp_path, "explain", *toy_runs, store, *out, says=["one gene", "found 0", "for example"])
    refused(tmp_path, "explain", *toy_runs, store, gene, gene, *out, says=["one gene", "found 2"])
    refused(tmp_path, "explain", gene, toy_store, toy_runs[0], *out, says=["run folders in front"])
    refused(tmp_path, "explain", toy_runs[0], gene, *out, says=["one store", "none among"])
    refused(tmp_path, "explain", toy_runs[0], tmp_path / "lost.h5", gene, *out, says=["lost.h5"])
