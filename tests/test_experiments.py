"""Attention, regulation, perturbation, prediction across cell types, and retraining, on toy stores."""

import bioframe
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import CHROMS, MARKS, SMALL, toy_tables, write_record, write_toy_store
from scipy.stats import mannwhitneyu
from scipy.stats import t as student
from sklearn.metrics import average_precision_score

from chromoformer.data.batches import GeneDataset
from chromoformer.data.bigwig import write_bigwig
from chromoformer.data.build import build_store
from chromoformer.data.channels import add_channel, channel_beside
from chromoformer.data.manifest import Channel
from chromoformer.data.store import Store
from chromoformer.data.whole_genes import transcribed_lengths
from chromoformer.errors import InputError
from chromoformer.experiments.comparison import differences
from chromoformer.experiments.cross_cell_type import (
    expression_of_others,
    folds_seen_from,
    models_of_pair,
    read_orthologs,
    similarity,
    transfer,
    transfer_difference,
    transfer_matrix,
    transfer_trees,
)
from chromoformer.experiments.links import (
    activity_by_contact,
    compare_rankings,
    judge_rankings,
    link_table,
    write_links,
)
from chromoformer.experiments.retrain import (
    can_be_trained_again,
    train_alike,
    train_seeds,
    with_shuffled_labels,
)
from chromoformer.genome import Region, read_chrom_sizes
from chromoformer.interpret.attention import (
    TssAttention,
    aligned,
    attention_by_part,
    attention_maps,
    body_preferences,
    tss_attention,
    tss_marks,
    tss_states,
)
from chromoformer.interpret.gene import explain_gene, withhold_each
from chromoformer.interpret.perturbation import SilencedStore, perturb, scan, silence
from chromoformer.interpret.regulation import (
    compare_sets,
    gene_map,
    gene_set_enrichment,
    genes_at_peaks,
    housekeeping_genes,
    read_gmt,
    regulatory_embeddings,
    shared_pcres,
    specific_genes,
)
from chromoformer.metrics import (
    blocks_of,
    calibration,
    evaluate_scores,
    mean_interval,
    resampled,
    share_interval,
)
from chromoformer.model import checkpoint
from chromoformer.model.config import ChromoformerConfig
from chromoformer.model.network import Chromoformer
from chromoformer.training.fit import fit
from chromoformer.training.models import chromosome_folds, held_out_genes
from chromoformer.training.predict import predict
from chromoformer.training.recipe import Recipe
from chromoformer.training.run_folder import settings_of
from chromoformer.training.start import Start


def saved(folder, held_out, seed=0, **changes):
    "Save a network with random weights that is recorded as having held out a fold."
    torch.manual_seed(seed)
    checkpoint.save(Chromoformer(ChromoformerConfig(**SMALL.to_dict() | changes)), folder, [held_out])
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(write_toy_store(tmp_path_factory.mktemp("experiments") / "toy.h5"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [saved(folder / f"fold{fold}", fold, seed=fold) for fold in (1, 2, 3, 4)]


# Attention


def test_attention_of_many_genes_equals_that_of_each_gene_alone(store, runs):
    genes = ["gene3", "gene40", "gene77"]
    many = tss_attention(runs, store, genes)
    for place, gene in enumerate(genes):
        explanation = explain_gene(runs, store, gene)
        for size, weights in explanation.promoter_attention.items():
            assert np.allclose(many.weights[size][place], weights, atol=1e-6)
            assert (weights[:, ~many.real[size][place]] == 0).all()  # no attention outside the chromosome
    assert many.genes["held_out"].all()


def test_shares_sum_to_one_and_equal_attention_has_enrichment_one(store, runs):
    attention = tss_attention(runs, store)
    parts = attention_by_part(attention, around=300)
    assert np.allclose(parts.groupby(["gene_id", "bin_size", "head"])["share"].sum(), 1, atol=1e-5)
    for size, real in attention.real.items():
        attention.weights[size] = np.repeat((real / real.sum(1, keepdims=True))[:, None], 2, axis=1)
    assert np.allclose(attention_by_part(attention, around=300)["enrichment"].dropna(), 1)
    assert np.allclose(aligned(attention, np.zeros(120), flank=2000)["enrichment"], 1)


def test_attention_to_the_body_follows_the_strand(store, runs):
    attention = tss_attention(runs, store)
    size, downstream = 100, attention.middles(100) > 0
    attention.weights = {size: downstream[:, None] / downstream.sum(1)[:, None, None]}
    attention.genes["length"] = 10_000  # the whole half window is body
    parts = attention_by_part(attention, around=0).set_index(["part", "gene_id"])["share"]
    inside = attention.genes["gene_id"][
        attention.real[size].all(1)
    ]  # windows that do not leave the chromosome
    assert (
        np.allclose(parts["body"].loc[inside], 1)
        and (parts["upstream"].loc[inside] == 0).all()
        and len(inside) > 100
    )
    assert (store.genes["strand"] == "-").any()


@pytest.mark.parametrize("strand", ["+", "-"])
def test_the_gene_body_is_measured_from_the_tss_to_the_3_prime_end(store, runs, strand):
    opened = Store(store.path)
    own = (opened.genes["strand"] == strand).to_numpy()
    tss = opened.genes["tss"]
    opened.genes["gene_start"] = tss - (15_000 if strand == "+" else 4999)  # a record of 20,000 bases
    opened.genes["gene_end"] = opened.genes["gene_start"] + 20_000
    last = opened.genes["gene_end"] - 1 if strand == "+" else opened.genes["gene_start"]  # the 3' end
    found = tss_attention(runs, opened).genes
    assert (found["length"] == (last - tss).abs() + 1)[own].all() and set(found["length"][own]) == {5000}
    gene = found[own].iloc[[0]].assign(promoter_window=40_000)
    weights = np.full(400, 0.75 / 360)  # bins of 100 bp
    weights[210:250] = 0.25 / 40  # a quarter of the attention goes to 1 to 5 kb downstream
    attention = TssAttention(gene, {100: weights[None, None]}, {100: np.ones((1, 400), bool)}, 40_000)
    table = attention_by_part(attention).set_index("part")
    assert np.isclose(table["enrichment"]["body"], 2.5)  # 1.18 if all 20,000 bases counted
    outside = np.r_[weights[:190], weights[210:]]
    assert np.isclose(body_preferences(table.reset_index()).iloc[0], 0.25 / outside.sum() / (40 / 380))
    along = aligned(attention, ["all"], steps=5)
    assert (
        along.query("1 < place < 1.5")["enrichment"].max()
        < 1
        < along.query("0.4 < place < 1")["enrichment"].min()
    )


def test_genes_of_any_length_count_alike_in_the_profile():
    genes = pd.DataFrame({"strand": "+", "length": [20_000, 1000], "promoter_window": 40_000})
    weights = np.full((2, 1, 400), 1 / 400)
    weights[1, 0, 200:210] *= 3  # the body of the short gene: 10 bins, that of the long one has 200
    attention = TssAttention(genes, {100: weights}, {100: np.ones((2, 400), bool)}, 40_000)
    body = aligned(attention, ["all", "all"], steps=5).query("0 < place < 1")
    assert np.allclose(body["enrichment"], (1 + 3) / 2) and (body["genes"] == 2).all()


def test_a_tss_beyond_the_end_of_its_record_has_no_body():
    record = {"gene_start": 1000, "gene_end": 2000}
    tss_of = [("+", 5000), ("-", 500), ("+", 400), ("-", 2599)]  # the last two lie upstream of the record
    genes = pd.DataFrame([record | {"strand": strand, "tss": tss} for strand, tss in tss_of])
    assert transcribed_lengths(genes).tolist() == [1, 1, 1600, 1600]


def test_places_of_bins_follow_the_padding_on_both_strands(store, tmp_path):
    run = saved(tmp_path / "run", 1, bin_sizes=(1000, 100), promoter_window=3000)  # 3 of 4 bins of 1 kb
    genes = held_out_genes(run, store)
    attention = tss_attention(run, store, genes)
    strands = set()
    for place, gene_id in enumerate(attention.genes["gene_id"]):
        explanation = explain_gene(run, store, gene_id)
        tss, strand = explanation.gene["tss"], explanation.gene["strand"]
        for size in attention.weights:
            bins = explanation.promoter_bins(size)
            middle = (bins["start"] + bins["end"]).to_numpy() / 2
            expected = middle - tss if strand == "+" else tss - middle
            assert (attention.middles(size)[place] == expected).all()
        read = attention.middles(1000)[place][attention.real[1000][place]]
        if attention.real[100][place].sum() == 30:  # the window does not leave the chromosome
            assert read.tolist() == [-1000, 0, 1000]  # three bins around the TSS
            strands.add(strand)
    assert strands == {"+", "-"}


def test_the_tss_row_of_a_whole_map_equals_the_tss_attention(store, runs):
    genes = store.genes["gene_id"][:7].tolist()
    maps, rows = attention_maps(runs[0], store, genes), tss_attention(runs[0], store, genes)
    for size, weights in maps.items():
        assert np.allclose(weights.sum(-1), 1, atol=1e-5)
        assert np.allclose(weights[:, weights.shape[1] // 2], rows.weights[size].mean(0), atol=1e-6)


def test_whole_maps_of_both_strands_have_the_tss_in_the_middle_with_odd_padding(store, tmp_path):
    run = saved(tmp_path / "run", 1, bin_sizes=(1000, 100), promoter_window=3000)  # 3 of 4 bins of 1 kb
    attention = tss_attention(run, store, held_out_genes(run, store))
    inside = np.flatnonzero(attention.real[100].sum(1) == 30)  # the window does not leave the chromosome
    single = {}
    for place in inside:
        gene = attention.genes.iloc[place]
        single[gene["gene_id"]] = maps = attention_maps(run, store, [gene["gene_id"]])
        assert maps[1000].shape == (2, 3, 3) and maps[100].shape == (2, 40, 40)
        real = attention.real[1000][place]
        assert attention.middles(1000)[place][real].tolist() == [-1000, 0, 1000]  # the places of the keys
        assert np.allclose(maps[1000].sum(-1), 1, atol=1e-5)
        query = 2 if gene["strand"] == "-" else 1  # the bin in the middle of the padded window
        expected = attention.weights[1000][place][:, real]
        assert np.allclose(maps[1000][:, query], expected, atol=1e-6)
    assert set(attention.genes["strand"].iloc[inside]) == {"+", "-"}
    mean = np.mean([maps[1000] for maps in single.values()], axis=0)
    assert np.allclose(attention_maps(run, store, list(single))[1000], mean, atol=1e-6)


def test_maps_of_models_with_different_promoter_windows_are_refused(store, tmp_path):
    runs = [saved(tmp_path / "a", 1), saved(tmp_path / "b", 2, promoter_window=2000)]
    with pytest.raises(InputError, match="promoter windows of .2000, 4000. bp"):
        attention_maps(runs, store, store.genes["gene_id"][store.genes["fold"] <= 2].tolist())


@pytest.mark.parametrize(
    "changes", [{"max_pcres": 0}, {"bin_sizes": (500,)}, {"task": "regression"}, {"promoter_window": 2000}]
)
def test_attention_works_for_every_kind_of_network(store, tmp_path, changes):
    run = saved(tmp_path / "run", 1, **changes)
    attention = tss_attention(run, store, held_out_genes(run, store))
    assert len(attention.genes) == 30 and list(attention.weights) == list(
        changes.get("bin_sizes", SMALL.bin_sizes)
    )
    assert np.isfinite(attention_by_part(attention, around=300)["share"]).all()
    assert attention_maps(run, store, ["gene1"])[500].shape == (2, 8, 8)


def test_tss_states_separate_the_planted_genes_and_are_numbered_by_expression(store):
    states = tss_states(store, 2, reach=200)
    assert (states["state"] - 1 == store.genes["label"]).mean() > 0.99
    assert np.corrcoef(states["activity"], store.genes["label"])[0, 1] > 0.9 and np.allclose(
        states[list(MARKS)], tss_marks(store, 200)
    )
    with pytest.raises(InputError, match="too similar for 500 states"):
        tss_states(store, 500)


def test_marks_around_the_tss_are_those_of_the_window_if_it_is_narrower(store):
    assert store.window == 4000
    assert np.array_equal(tss_marks(store, 3000), tss_marks(store, 2000))  # not those of one side


def test_tss_states_are_all_there_if_no_gene_is_expressed(store):
    silent = store.replace(genes=store.genes.assign(expression=0.0))
    states = tss_states(silent, 2, reach=200)
    assert set(states["state"]) == {1, 2} and states["activity"].notna().all()
    marks = states.groupby("state")[list(MARKS)].mean().mean(axis=1)
    assert marks[1] < marks[2]


# Regulation


def test_regulatory_embeddings_equal_those_of_genes_explained_one_by_one(store, runs):
    embeddings = regulatory_embeddings(runs, store, ["gene2", "gene50", "gene100"])
    for place, gene in enumerate(["gene2", "gene50", "gene100"]):
        explanation = explain_gene(runs, store, gene)
        row = embeddings.table.iloc[place]
        assert (
            np.isclose(row["effect"], explanation.effect, atol=1e-5)
            and row["pcres"] == len(explanation.pcres)
            and row["held_out"]
        )
        assert np.allclose(embeddings.embedding[place], explanation.embedding, atol=1e-5) and np.allclose(
            embeddings.embedding_without[place], explanation.embedding_without, atol=1e-5
        )


def test_regulation_needs_a_model_with_pcres(store, tmp_path):
    with pytest.raises(InputError, match="without pCREs"):
        regulatory_embeddings(saved(tmp_path / "run", 1, max_pcres=0), store)


def moved(seed=0):
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "gene_id": [f"id{i}" for i in range(300)],
            "gene_name": [f"g{i}" for i in range(300)],
            "chrom": "chr1",
            "tss": random.permutation(300),  # sets are scattered
            "pcres": 3,
            "effect": random.normal(0, 1, 300),
        }
    )
    table.loc[:29, "effect"] += 1.5  # a set that gains
    table.loc[30:59, "effect"] -= 1.5  # one that loses
    return table


def test_gene_sets_that_gain_or_lose_are_found_and_random_sets_are_not(tmp_path):
    sets = {
        "gains": [f"g{i}" for i in range(30)],
        "loses": [f"id{i}" for i in range(30, 60)],
        "neither": [f"g{i}" for i in range(100, 160)],
        "small": ["g1"],
    }
    found = compare_sets(moved(), sets).set_index("set")
    assert (
        found.loc["gains", "above"] > 0.75
        and found.loc["loses", "above"] < 0.25
        and (found.loc[["gains", "loses"], "fdr"] < 0.01).all()
    )
    assert found.loc["neither", "fdr"] > 0.05 and "small" not in found.index
    enriched = gene_set_enrichment(moved(), sets, permutations=100).set_index("set")
    assert (
        enriched.loc["gains", "nes"] > 1.5
        and enriched.loc["loses", "nes"] < -1.5
        and enriched.index[0] == "gains"
    )
    assert enriched.equals(gene_set_enrichment(moved(), sets, permutations=100).set_index("set"))


@pytest.mark.parametrize("same", ["", "U6"])
def test_genes_without_a_name_of_their_own_count_in_enrichment_and_are_shown_by_id(same):
    table, expected = moved(), moved()
    table.loc[10:, "gene_name"] = same
    sets = {"gains": [f"id{i}" for i in range(30)], "loses": [f"id{i}" for i in range(30, 60)]}
    found = gene_set_enrichment(table, sets, permutations=100).set_index("set")
    right = gene_set_enrichment(expected, sets, permutations=100).set_index("set")
    assert found.drop(columns="leading").equals(right.drop(columns="leading"))
    leading = found.loc["gains", "leading"].split(";")
    ids = {f"g{i}" if i < 10 else f"id{i}": f"g{i}" for i in range(30)}
    assert [ids[gene] for gene in leading] == right.loc["gains", "leading"].split(";")


def test_sets_are_compared_with_themselves_shifted_along_the_genome():
    random = np.random.default_rng(1)
    table = pd.DataFrame({"gene_id": np.arange(400), "gene_name": "", "pcres": 1})
    table["chrom"] = random.choice(["chr1", "chr2"], 400)
    table["tss"] = random.permutation(400)
    table["effect"] = random.normal(size=400).round(1)  # with ties
    members = random.choice(400, 30, replace=False)
    along = table.sort_values(["chrom", "tss"])
    inside = along["gene_id"].isin(members).to_numpy()
    statistics = [  # by SciPy, at least 50 genes from the set's own place
        mannwhitneyu(along["effect"][moved], along["effect"][~moved]).statistic
        for moved in (np.roll(inside, shift) for shift in range(50, 351))
    ]
    own = mannwhitneyu(along["effect"][inside], along["effect"][~inside]).statistic
    middle = 30 * 370 / 2
    expected = (1 + np.sum(np.abs(np.array(statistics) - middle) >= abs(own - middle))) / (1 + 301)
    found = compare_sets(table, {"set": members}).iloc[0]
    assert np.isclose(found["p"], expected) and np.isclose(found["above"], own / (30 * 370))
    with pytest.raises(InputError, match="no column 'tss'"):
        compare_sets(table.drop(columns="tss"), {"set": members})


def table_of_domains(random, share, genes=1000):
    "Genes along one chromosome; domains of 20 share part of the variance of their effects."
    domain = (np.arange(genes) + random.integers(20)) // 20
    effect = np.sqrt(share) * random.normal(size=domain.max() + 1)[domain]
    effect += np.sqrt(1 - share) * random.normal(size=genes)
    names = [f"g{number}" for number in range(genes)]
    about = {"gene_id": names, "gene_name": names, "chrom": "chr1", "tss": np.arange(genes), "pcres": 1}
    return pd.DataFrame(about).assign(effect=effect)


def set_of_clusters(random, genes=1000):
    "Five clusters of 20 neighbours."
    start = random.choice(genes - 20, 5, replace=False)
    return [f"g{gene}" for gene in np.unique(start[:, None] + np.arange(20))]


def compare_null_sets(random, share, tables, sets=10, genes=1000):
    "Compare sets of clusters with other genes; there is no difference. Return the tables of the two tests."
    found, enriched = [], []
    for _ in range(tables):
        table = table_of_domains(random, share, genes)
        members = {f"set{number}": set_of_clusters(random, genes) for number in range(sets)}
        found.append(compare_sets(table, members))
        enriched.append(gene_set_enrichment(table, members, permutations=200))
        inside = [table["gene_id"].isin(of_set) for of_set in members.values()]
        by_genes = [mannwhitneyu(table["effect"][one], table["effect"][~one]).pvalue for one in inside]
        found[-1]["p of single genes"] = by_genes
    return pd.concat(found), pd.concat(enriched)


@pytest.mark.slow
def test_sets_of_neighbours_without_a_difference_are_rarely_significant():
    found, enriched = compare_null_sets(np.random.default_rng(0), 0.6, tables=20)
    assert (found["p of single genes"] < 0.05).mean() > 0.3  # if genes counted as independent
    assert (found["p"] < 0.05).mean() <= 0.1
    assert (enriched["p"] < 0.05).mean() <= 0.1
    assert ((found["low"] <= 0.5) & (found["high"] >= 0.5)).mean() >= 0.88


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_tests_and_intervals_of_sets_of_neighbours_hold_their_level(share):
    found, enriched = compare_null_sets(np.random.default_rng(11), share, tables=125, sets=4, genes=2000)
    assert (found["p of single genes"] < 0.05).mean() > 0.3
    assert (found["p"] < 0.05).mean() <= 0.07 and (enriched["p"] < 0.05).mean() <= 0.07
    assert 0.92 <= ((found["low"] <= 0.5) & (found["high"] >= 0.5)).mean() <= 0.98


def test_scattered_sets_are_found_as_often_as_by_a_test_of_single_genes():
    random = np.random.default_rng(2)
    shifted, single = [], []
    for _ in range(40):
        table = table_of_domains(random, 0.3)
        inside = np.isin(np.arange(1000), random.choice(1000, 100, replace=False))
        table.loc[inside, "effect"] += 0.3
        shifted.append(compare_sets(table, {"set": table["gene_id"][inside]})["p"].item() < 0.05)
        single.append(mannwhitneyu(table["effect"][inside], table["effect"][~inside]).pvalue < 0.05)
    assert 0.5 < np.mean(single) < 1 and np.mean(shifted) > np.mean(single) - 0.1


def test_enrichment_scores_equal_those_of_gseapy():
    import gseapy

    table = moved(3)
    sets = {"gains": [f"g{i}" for i in range(0, 60, 2)], "loses": [f"g{i}" for i in range(30, 90)]}
    found = gene_set_enrichment(table, sets, permutations=50).set_index("set")
    ranking = table.set_index("gene_name")["effect"].sort_values(ascending=False)
    theirs = gseapy.prerank(ranking, sets, max_size=300, permutation_num=10, outdir=None, threads=1, seed=0)
    theirs = theirs.res2d.set_index("Term")
    for name in sets:
        assert np.isclose(found.loc[name, "es"], theirs.loc[name, "ES"])
        assert set(found.loc[name, "leading"].split(";")) == set(theirs.loc[name, "Lead_genes"].split(";"))


def test_genes_without_pcres_are_left_out_of_the_comparison_of_sets():
    table = moved().assign(pcres=lambda t: np.where(t.index < 30, 0, 3))
    with pytest.raises(InputError, match="no set has 5 or more genes"):
        compare_sets(table, {"gains": [f"g{i}" for i in range(30)]})


def test_a_gmt_line_without_members_is_an_error_with_its_line(tmp_path):
    (tmp_path / "sets.gmt").write_text("a\tsource\tx\ty\n\nb\n")
    with pytest.raises(InputError, match="line 3: expected name, source and members"):
        read_gmt(tmp_path / "sets.gmt")


def test_gene_ids_of_lists_have_no_version_like_those_of_stores(tmp_path):
    (tmp_path / "sets.gmt").write_text("set\tsource\tENSG00000000001.4\tENSG00000000002\tACTB\n")
    assert read_gmt(tmp_path / "sets.gmt") == {"set": ["ENSG00000000001", "ENSG00000000002", "ACTB"]}
    (tmp_path / "orthologs.csv").write_text("hg38,mm10\nENSG00000000001.4,ENSMUSG00000000009.2\n")
    pairs = read_orthologs(tmp_path / "orthologs.csv", ["hg38", "mm10"])
    assert pairs.to_numpy().tolist() == [["ENSG00000000001", "ENSMUSG00000000009"]]


@pytest.mark.parametrize("separator", ["\t", ","])
def test_specific_genes_are_read_from_any_table_and_match_the_ids_of_stores(tmp_path, separator):
    random = np.random.default_rng(0)
    table = pd.DataFrame({"id": [f"ENSG{i:011d}.{i % 5}" for i in range(30)], "name": "x"})
    table = table.assign(**{cell: random.uniform(1, 50, 30) for cell in "ABC"})
    table.loc[7, "A"] = 5000
    table.to_csv(tmp_path / "matrix.txt", sep=separator, index=False)
    found = specific_genes(tmp_path / "matrix.txt", "A", 10, "id")
    assert found[0] == "ENSG00000000007" and len(found) == 10
    with pytest.raises(InputError, match="no column 'D'"):
        specific_genes(tmp_path / "matrix.txt", "D", 10, "id")
    with pytest.raises(InputError, match="at least two columns of other cell types"):
        table.drop(columns="C").to_csv(tmp_path / "two.tsv", sep="\t", index=False)
        specific_genes(tmp_path / "two.tsv", "A", 10, "id")
    table.astype({"B": "str"}).replace({"B": {str(table["B"][3]): "?"}}).to_csv(tmp_path / "wrong.csv")
    with pytest.raises(InputError, match=r"line 5, id ENSG00000000003.3: B '\?' is not a finite number"):
        specific_genes(tmp_path / "wrong.csv", "A", 10, "id")


def test_housekeeping_genes_are_expressed_evenly_in_many_cell_types(tmp_path):
    random = np.random.default_rng(0)
    table = pd.DataFrame({"gene_id": [f"ENSG{i:011d}.{i % 5}" for i in range(30)], "name": "x"})
    table = table.assign(**{f"E{cell:03d}": random.uniform(8, 12, 30) for cell in range(10)})
    table.loc[[3, 4, 5], "E002"] = 0, 0.9, 200  # silent, low, and high in one cell type
    table.loc[[6], [f"E{cell:03d}" for cell in range(5)]] = 1.5  # nowhere fourfold from the mean, but spread
    table.loc[[6], [f"E{cell:03d}" for cell in range(5, 10)]] = 12
    table.loc[7, [f"E{cell:03d}" for cell in range(10)]] = 100
    table.to_csv(tmp_path / "matrix.tsv", sep="\t", index=False)
    found = housekeeping_genes(tmp_path / "matrix.tsv")
    assert found == [f"ENSG{i:011d}" for i in range(30) if i not in (3, 4, 5, 6)]
    table.drop(columns="E009").to_csv(tmp_path / "nine.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match="need 10 cell types, and there are 9"):
        housekeeping_genes(tmp_path / "nine.tsv")
    with pytest.raises(InputError, match="no column 'id'"):
        housekeeping_genes(tmp_path / "matrix.tsv", "id")


def test_a_map_of_genes_keeps_groups_together():
    random = np.random.default_rng(0)
    embedding = np.r_[random.normal(0, 1, (40, 20)), random.normal(6, 1, (40, 20))]
    for method in ("pca", "tsne"):
        places = gene_map(embedding, method)
        centres = places[:40].mean(0), places[40:].mean(0)
        nearest = np.linalg.norm(places - centres[0], axis=1) < np.linalg.norm(places - centres[1], axis=1)
        assert (nearest == (np.arange(80) < 40)).all()


# Perturbation


def test_silencing_a_chromosome_sets_it_to_zero_and_silencing_no_mark_changes_nothing(store):
    for chrom in CHROMS:
        silent = silence(store, Region(chrom, 0, 400_000), ["H3K27ac"])
        here = np.repeat(store.regions["chrom"] == chrom, store.regions["bins"]).to_numpy()
        inside = np.concatenate(
            [region.start + 100 * np.arange(1, 1 + region.bins) > 0 for region in store.regions.itertuples()]
        )  # of the chromosome
        assert (silent.signal()[here & inside, 1] == 0).all() and np.array_equal(
            silent.signal()[~here], store.signal()[~here]
        )
        assert np.array_equal(silent.signal()[:, 0], store.signal()[:, 0])
    assert np.array_equal(silence(store, Region("chr1", 399_990, 400_000), []).signal(), store.signal())


def test_silencing_an_interval_in_pieces_equals_silencing_it_as_a_whole(store):
    whole = silence(store, Region("chr1", 152_030, 156_777)).signal()
    kept = np.ones((store.bins, 1))
    for start, end in ((152_030, 153_333), (153_333, 153_340), (153_340, 156_777)):
        piece = silence(store, Region("chr1", start, end))
        with np.errstate(invalid="ignore", divide="ignore"):
            kept -= np.nan_to_num(1 - piece.signal()[:, :1] / store.signal()[:, :1])
    assert np.allclose(store.signal() * kept, whole, atol=1e-2)


def test_only_genes_that_read_the_interval_change(store, runs):
    interval = Region("chr2", 200_000, 230_000)
    silent = silence(store, interval)
    found = perturb(runs, store, interval, genes=store.genes["gene_id"].tolist()).set_index("gene_id")[
        "effect"
    ]
    reading = set(store.genes["gene_id"].iloc[silent.genes_reading()])
    assert (
        0 < len(reading) < 120
        and (found[~found.index.isin(reading)] == 0).all()
        and (found[list(reading)].abs() > 0).mean() > 0.9
    )
    assert isinstance(silent, SilencedStore) and set(perturb(runs, store, interval)["gene_id"]) == reading


def test_silencing_gives_the_same_batches_in_memory_and_from_disk(store):
    silent = silence(store, Region("chr1", 0, 400_000), ["H3K4me3"], level=2.0)
    rows = np.arange(25)
    for batch, other in zip(*([GeneDataset(silent, in_memory=which).batch(rows)] for which in (True, False))):
        assert torch.equal(batch.promoter, other.promoter) and torch.equal(batch.pcre, other.pcre)


def test_unknown_marks_and_empty_intervals_are_errors(store):
    with pytest.raises(InputError, match="unknown channels"):
        silence(store, Region("chr1", 0, 100), ["H3K36me3"])
    with pytest.raises(InputError, match="is empty"):
        silence(store, Region("chr1", 100, 100))


def test_a_scan_covers_the_window_and_every_pcre_once(store, runs):
    gene = store.genes["gene_id"].iloc[int(np.argmax(np.diff(store.pcre_start)))]
    found, about = scan(runs, store, gene, width=1000), store.genes.set_index("gene_id").loc[gene]
    promoter = found[(found["rank"] == 0) & (found["mark"] == MARKS[0])]
    assert (
        promoter["start"].min() == max(0, about["tss"] - 2000)
        and promoter["end"].max() == about["tss"] + 2000
    )
    assert (promoter["start"].to_numpy()[1:] == promoter["end"].to_numpy()[:-1]).all()
    assert found["rank"].nunique() == 1 + int(np.diff(store.pcre_start).max()) and found["held_out"].all()


def test_links_are_bedpe_that_other_tools_read(store, runs, tmp_path):
    effects = withhold_each(runs, store)
    links = link_table(effects, store)
    write_links(tmp_path / "links.bedpe", links)
    read = bioframe.read_table(
        tmp_path / "links.bedpe", schema="bedpe", comment="#", usecols=range(10), header=None
    )
    assert (
        len(read) == len(effects)
        and np.allclose(read["score"], links["score"], rtol=1e-5)
        and links["score"].is_monotonic_decreasing
    )
    tss = store.genes.set_index("gene_id").loc[links["gene_id"], "tss"].to_numpy()
    assert (read["start2"] == tss).all() and (read["end2"] == tss + 1).all()
    assert pd.read_parquet(tmp_path / "links.parquet").equals(links)
    assert len(activity_by_contact(effects, store)) == len(effects)


def test_rankings_are_compared_on_the_same_blocks_of_genes_within_folds():
    random = np.random.default_rng(0)
    gene = np.repeat(np.arange(200), 3)
    positive = random.random(600) < 0.3
    rankings = {"effect": positive + random.normal(0, 0.8, 600), "near": positive + random.normal(0, 2, 600)}
    fold = 1 + gene // 100
    links = pd.DataFrame({"gene_id": gene, "chrom": "chr1", "tss": gene})
    assert (blocks_of(links) == gene * 4 // 200).all()  # all links of a gene are in one block
    blocks = gene // 10
    precision = {  # by scikit-learn
        name: [average_precision_score(positive[fold == one], values[fold == one]) for one in (1, 2)]
        for name, values in rankings.items()
    }
    by_hand = []
    for _ in range(300):
        weight = np.concatenate([random.multinomial(10, np.full(10, 0.1)) for _ in (1, 2)])[blocks]
        one, other = (
            np.mean(
                [
                    average_precision_score(positive[part], values[part], sample_weight=weight[part])
                    for part in (fold == 1, fold == 2)
                ]
            )
            for values in rankings.values()
        )
        by_hand.append((one, one - other))
    half = student.ppf(0.975, 18) * np.std(by_hand, axis=0, ddof=1) * np.sqrt(20 / 18)
    judged = judge_rankings(rankings, positive, blocks=blocks, fold=fold).set_index("ranking")
    assert np.isclose(judged.loc["effect", "average_precision"], np.mean(precision["effect"]))
    assert np.isclose(judged.loc["effect", "high"] - judged.loc["effect", "low"], 2 * half[0], rtol=0.2)
    difference = compare_rankings(rankings, positive, "effect", blocks=blocks, fold=fold).iloc[0]
    assert np.isclose(difference["value"], np.mean(precision["effect"]) - np.mean(precision["near"]))
    assert np.isclose(difference["high"] - difference["low"], 2 * half[1], rtol=0.2)
    with pytest.raises(InputError, match="no ranking 'far'"):
        compare_rankings(rankings, positive, "far")


def test_logarithms_of_contacts_are_not_multiplied_by_activity(store, runs):
    effects = withhold_each(runs, store, store.genes["gene_id"][:20])
    assert np.isfinite(activity_by_contact(effects, store)).all()
    effects.loc[0, "contact"] = -1.5
    assert np.isnan(activity_by_contact(effects, store)).all()


def test_chance_is_that_of_the_folds_that_average_precision_is_over():
    random = np.random.default_rng(0)
    fold = np.repeat([1, 2], [400, 1600])
    positive = np.arange(2000) < 200  # the second fold has no real link
    judged = judge_rankings({"random": random.random(2000)}, positive, 50, fold=fold).iloc[0]
    assert judged["chance"] == 0.5
    assert judged["low"] < judged["chance"] < judged["high"]
    assert judge_rankings({"random": random.random(2000)}, positive, 50).iloc[0]["chance"] == 0.1


def test_average_precision_is_known_if_the_highest_predictions_are_not_drawn():
    random = np.random.default_rng(0)
    real = random.random(300) < 0.3
    blocks = np.arange(300) // 15
    drawn = resampled(real, real + random.normal(size=300), "classification", blocks=blocks)
    assert np.isfinite(drawn["average_precision"]).all()  # a third of the draws leave out the first block


def test_intervals_of_means_and_shares_follow_the_number_of_independent_blocks():
    random = np.random.default_rng(0)
    values = random.normal(1, 1, 60)
    expected = student.interval(0.95, 59, values.mean(), values.std(ddof=1) / np.sqrt(60))
    found = mean_interval(np.append(values, np.nan), np.arange(61), draws=4000)
    assert np.allclose([found["low"], found["high"]], expected, atol=0.02) and found["number"] == 60
    copies = mean_interval(np.repeat(values, 9), np.repeat(np.arange(60), 9), draws=4000)
    assert np.allclose([copies["low"], copies["high"]], expected, atol=0.02)
    assert np.isnan(mean_interval(values, np.zeros(60, int))["low"])  # one block has no spread
    right = np.arange(400) < 360
    limits = proportion_confint_wilson(360, 400)
    share = share_interval(right, np.arange(400), draws=4000)
    assert share["value"] == 0.9 and np.allclose([share["low"], share["high"]], limits, atol=0.003)
    copies = share_interval(np.repeat(right, 5), np.repeat(np.arange(400), 5), draws=4000)
    assert np.allclose([copies["low"], copies["high"]], limits, atol=0.003)
    quantile = student.ppf(0.975, 19)
    none_wrong = share_interval(np.ones(100), np.repeat(np.arange(20), 5))
    assert none_wrong["high"] == 1 and np.isclose(none_wrong["low"], 20 / (20 + quantile**2))
    with pytest.raises(InputError, match="no value is known"):
        mean_interval([np.nan], np.zeros(1, int))


def proportion_confint_wilson(number, of):
    "Return the roots of the quadratic equation that defines Wilson's interval."
    square = 1.96**2
    return np.sort(np.roots([1 + square / of, -2 * number / of - square / of, (number / of) ** 2]))


# Across cell types


def two_species(tmp_path):
    genes, pcres = toy_tables()
    names = dict(zip(genes["gene_id"], [f"other{i}" for i in range(len(genes))]))
    theirs = genes.assign(gene_id=genes["gene_id"].map(names), fold=genes["fold"] % 4 + 1)
    write_toy_store(tmp_path / "here.h5", genes=genes, pcres=pcres)
    write_toy_store(
        tmp_path / "there.h5", seed=1, genes=theirs, pcres=pcres.assign(gene_id=pcres["gene_id"].map(names))
    )
    here, there = Store(tmp_path / "here.h5"), Store(tmp_path / "there.h5")
    there.genome = "another"
    return here, there, pd.DataFrame({"toy": list(names), "another": list(names.values())})


def test_a_gene_counts_only_if_all_its_orthologues_were_held_out(tmp_path):
    here, there, orthologs = two_species(tmp_path)
    orthologs.loc[len(orthologs)] = ["gene119", "other0"]  # a second orthologue, in another fold
    seen_from = folds_seen_from(here, there, orthologs.drop(index=5))
    assert "other0" not in seen_from.index and "other5" not in seen_from.index and len(seen_from) == 118
    assert (
        seen_from
        == here.genes.set_index("gene_id")["fold"]
        .loc[seen_from.index.str.replace("other", "gene")]
        .to_numpy()
    ).all()  # not their own
    with pytest.raises(InputError, match="orthologous"):
        folds_seen_from(here, there)


def test_no_gene_is_predicted_by_a_model_trained_on_it_or_its_orthologue(tmp_path, runs):
    here, there, orthologs = two_species(tmp_path)
    predicted = transfer({"here": runs}, {"here": here, "there": there}, orthologs)
    fold = here.genes.set_index("gene_id")["fold"]
    across = predicted[predicted["tested"] == "there"]
    assert (
        len(across) == 120
        and (
            across["fold"].to_numpy() == fold.loc[across["gene_id"].str.replace("other", "gene")].to_numpy()
        ).all()
    )
    for k in (1, 2, 3, 4):  # the model of each fold predicts the same when it is used alone
        alone = transfer(
            {"here": [runs[k - 1]]}, {"here": here, "there": there}, orthologs, [("here", "there")]
        )
        part = across[across["fold"] == k].reset_index(drop=True)
        assert (
            np.allclose(alone["score"], part["score"], atol=1e-6)
            and (alone["gene_id"] == part["gene_id"]).all()
        )


def rotated(path, folds=4):
    "A store of the same genes, built with other folds."
    genes, pcres = toy_tables()
    return Store(write_toy_store(path, genes=genes.assign(fold=genes["fold"] % folds + 1), pcres=pcres))


def test_folds_are_those_of_training_also_if_a_store_was_built_again(store, tmp_path):
    as_trained = chromosome_folds([store])
    runs = []
    for fold in (1, 2, 3, 4):
        runs.append(tmp_path / f"fold{fold}")
        torch.manual_seed(fold)
        checkpoint.save(Chromoformer(SMALL), runs[-1], [fold], as_trained)
    known = store.genes.set_index("gene_id")["fold"]
    again = rotated(tmp_path / "again.h5")
    for models, genes in ((runs, 120), (runs[:1], 30)):
        found = transfer({"a": models}, {"a": again, "b": store})
        assert found.groupby("tested").size().tolist() == [genes, genes]
        assert (found["fold"].to_numpy() == known.loc[found["gene_id"]].to_numpy()).all()
        same = predict(models, again, progress=False)
        same = same[same["held_out"]].set_index("gene_id")["score"]
        own = found[found["tested"] == "a"].set_index("gene_id")["score"]
        assert np.allclose(own, same.loc[own.index], atol=1e-6) and len(own) == len(same)
    _, there, orthologs = two_species(tmp_path)
    across = transfer({"a": runs}, {"a": again, "there": there}, orthologs, [("a", "there")])
    of_orthologue = known.loc[across["gene_id"].str.replace("other", "gene")]
    assert len(across) == 120 and (across["fold"].to_numpy() == of_orthologue.to_numpy()).all()


def test_two_names_of_one_assembly_need_no_orthologues(store, runs, tmp_path):
    stores = {"hg19": store.replace(), "GRCh37": store.replace(), "mouse": store.replace()}
    for name, one in stores.items():
        one.genome = {"mouse": "mm10"}.get(name, name)
    orthologs = pd.DataFrame({"GRCh37": store.genes["gene_id"], "mm10": store.genes["gene_id"]})
    found = transfer({"hg19": runs}, stores, orthologs)
    assert found.groupby("tested").size().to_dict() == {"GRCh37": 120, "hg19": 120, "mouse": 120}
    assert set(found["genome"]) == {"hg19", "mm10"}  # genes of one species are drawn together
    del stores["mouse"]
    assert len(transfer({"hg19": runs}, stores)) == 240
    assert len(similarity(stores)) == 4
    stores["rat"] = store.replace()
    stores["rat"].genome = "rn6"
    with pytest.raises(InputError, match="no column of rn6"):
        transfer({"hg19": runs}, stores, orthologs)


def test_values_are_relative_to_the_tested_cell_types_own_model_on_the_same_genes():
    random, rows = np.random.default_rng(0), []
    for trained, genes, noise in (("A", range(0, 300), 0.4), ("B", range(100, 400), 1.5)):
        label = np.array([gene % 2 for gene in genes])
        rows.append(
            pd.DataFrame(
                {
                    "trained": trained,
                    "tested": "A",
                    "task": "classification",
                    "gene_id": list(genes),
                    "target": label,
                    "score": label + random.normal(0, noise, 300),
                }
            )
        )
    matrix = transfer_matrix(pd.concat(rows), draws=20).set_index("trained")
    own = rows[0][rows[0]["gene_id"] >= 100]
    assert (
        (matrix["genes"] == 200).all()
        and matrix.loc["A", "relative"] == 1
        and matrix.loc["B", "relative"] < 1
    )
    assert np.isclose(
        matrix.loc["A", "value"],
        evaluate_scores(own["target"].to_numpy(), own["score"].to_numpy(), "classification", 0)["auc"][
            "value"
        ],
    )


def invented_transfer(random, noise, seeds=1, genes=400, trained=("A", "B"), shift=0.0):
    "Predictions of A by models of several cell types, in two folds on chromosomes of their own."
    label = random.integers(0, 2, genes)
    signal = label + random.normal(0, 0.7, genes)
    fold = np.repeat([1, 2], genes // 2)
    rows = {"tested": "A", "genome": "toy", "task": "classification", "gene_id": np.arange(genes)}
    rows |= {"chrom": np.where(fold == 1, "chr1", "chr7"), "tss": np.arange(genes) * 50_000, "fold": fold}
    table = pd.DataFrame(rows | {"target": label})
    return pd.concat(
        [
            table.assign(
                trained=name,
                seed=seed,
                score=signal + random.normal(0, noise, genes) + (shift * fold if name != "A" else 0),
            )
            for name in trained
            for seed in range(seeds)
        ]
    )


def auc_by_hand(table, weight=None):
    from sklearn.metrics import roc_auc_score

    values = []
    for _, part in table.groupby("fold"):
        own = None if weight is None else weight[part["gene_id"]]
        values.append(roc_auc_score(part["target"], part["score"], sample_weight=own))
    return np.mean(values)


def test_equal_ranking_in_every_fold_has_relative_value_one():
    table = invented_transfer(np.random.default_rng(0), noise=0.0, shift=3.0)
    matrix = transfer_matrix(table, draws=50).set_index("trained")
    assert matrix.loc["B", ["relative", "relative_low", "relative_high"]].tolist() == [1, 1, 1]
    pooled = table.assign(fold=0)
    parts = dict(tuple(pooled.groupby("trained")))
    assert auc_by_hand(parts["B"]) / auc_by_hand(parts["A"]) < 0.95  # what pooling the folds would report


@pytest.mark.slow
def test_relative_values_have_paired_intervals_over_blocks_within_folds():
    table = invented_transfer(np.random.default_rng(1), noise=0.5, genes=2000)
    matrix = transfer_matrix(table, draws=400).set_index("trained")
    parts = dict(tuple(table.groupby("trained")))
    assert np.isclose(matrix.loc["B", "value"], auc_by_hand(parts["B"]))
    relative = auc_by_hand(parts["B"]) / auc_by_hand(parts["A"])
    assert np.isclose(matrix.loc["B", "relative"], relative) and relative != 1
    random, ratios = np.random.default_rng(2), []
    for _ in range(400):  # 20 blocks of 50 genes in each fold
        blocks = np.concatenate([random.multinomial(20, np.full(20, 1 / 20)) for _ in range(2)])
        weight = np.repeat(blocks, 50)
        ratios.append(auc_by_hand(parts["B"], weight) / auc_by_hand(parts["A"], weight))
    half = (matrix.loc["B", "relative_high"] - matrix.loc["B", "relative_low"]) / 2
    assert np.isclose(half, 2.02 * np.std(ratios) * np.sqrt(40 / 38), rtol=0.2)
    share = (matrix["high"] - matrix["value"]) / matrix["value"]
    assert half < 0.9 * relative * np.hypot(share["A"], share["B"])  # pairing narrows the interval


def test_trainings_enter_the_interval_of_a_relative_value():
    table = invented_transfer(np.random.default_rng(3), noise=1.5, seeds=3)
    several = transfer_matrix(table, draws=100).set_index("trained")
    assert (several["trainings"] == 3).all()
    every = table.groupby(["trained", "seed"])[["fold", "target", "score", "gene_id"]].apply(auc_by_hand)
    assert np.isclose(several.loc["B", "value"], every["B"].mean())
    estimate = several.loc["B", "high"] - several.loc["B", "low"]
    same = transfer_matrix(table[table["seed"] == 0], draws=100).set_index("trained")
    assert (same["trainings"] == 1).all() and estimate > 0


@pytest.mark.slow
def test_equal_models_of_related_and_other_cell_types_are_rarely_told_apart():
    species = {"A": "one", "related": "one", "far": "another"}
    random, verdicts = np.random.default_rng(4), []
    for _ in range(120):
        table = invented_transfer(random, 0.7, seeds=3, genes=120, trained=("A", "related", "far"))
        verdicts.append(transfer_difference(table, species, draws=60)["verdict"])
    rate = np.mean([verdict != "no difference detected" for verdict in verdicts])
    assert rate <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 120)
    once = table[table["seed"] == 0]
    found = transfer_difference(once, species, draws=60)
    assert found["verdict"] == "not tested" and np.isnan(found["low"])
    worse = table.assign(
        score=table["score"].where(table["trained"] != "far", random.normal(size=len(table)))
    )
    found = transfer_difference(worse, species, draws=60)
    assert found["verdict"] == "higher" and found["low"] > 0
    with pytest.raises(InputError, match="no tested cell type has models of its own"):
        transfer_difference(table[table["trained"] != "far"], species)


def test_transfer_keeps_the_trainings_apart(tmp_path, runs):
    here, _, _ = two_species(tmp_path)
    second = [saved(tmp_path / f"seed{fold}", fold, seed=fold + 10) for fold in (1, 2, 3, 4)]
    for run in second:
        write_record(run, parameters={"seed": 7})
    predicted = transfer({"here": [*runs, *second]}, {"here": here})
    alone = transfer({"here": second}, {"here": here})
    assert set(predicted["seed"]) == {0, 7} and set(predicted["genome"]) == {"toy"}
    seventh = predicted[predicted["seed"] == 7].sort_values("gene_id")["score"]
    assert np.allclose(seventh, alone.sort_values("gene_id")["score"])
    with pytest.raises(InputError, match="predicted twice"):
        transfer({"here": [*runs, runs[0]]}, {"here": here})


def test_similarity_is_symmetric_and_one_with_itself(tmp_path):
    here, there, orthologs = two_species(tmp_path)
    table = similarity({"here": here, "there": there}, orthologs).set_index(["first", "second"])
    assert np.allclose(table.loc[("here", "here"), ["expression", "marks"]].astype(float), 1)
    assert np.isclose(table.loc[("here", "there"), "expression"], table.loc[("there", "here"), "expression"])
    assert np.isclose(table.loc[("here", "there"), "expression"], 1)  # the same values under other names
    (tmp_path / "orthologs.tsv").write_text("toy\tmouse\ngene1\tx\ngene1\tx\ngene2\t\n")
    assert len(read_orthologs(tmp_path / "orthologs.tsv", ["toy", "mouse"])) == 1


# Retraining


def test_adding_a_channel_equals_building_the_store_with_it(toy, toy_store, tmp_path):
    build_store(toy / "cellA.ctcf.yaml", tmp_path / "built.h5", progress=False)
    added = add_channel(
        toy_store,
        channel_beside(toy / "cellA.yaml", "CTCF"),
        tmp_path / "added.h5",
        read_chrom_sizes(toy / "genomes" / "toy.chrom.sizes"),
    )
    built = Store(tmp_path / "built.h5")
    assert (
        added.channels == built.channels
        and np.array_equal(added.signal(), built.signal())
        and added.inputs == built.inputs
    )
    for name in ("genes", "regions", "pcres"):
        pd.testing.assert_frame_equal(getattr(added, name), getattr(built, name))
    with pytest.raises(InputError, match="already has a channel CTCF"):
        add_channel(added, channel_beside(toy / "cellA.yaml", "CTCF"), tmp_path / "again.h5", {})


def test_adding_a_channel_replaces_no_store_unasked(toy, toy_store, tmp_path):
    sizes = read_chrom_sizes(toy / "genomes" / "toy.chrom.sizes")
    ctcf = channel_beside(toy / "cellA.yaml", "CTCF")
    out = tmp_path / "added.h5"
    add_channel(toy_store, ctcf, out, sizes)
    whole = out.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        add_channel(toy_store, ctcf, out, sizes)
    copy = tmp_path / "own.h5"
    copy.write_bytes(toy_store.read_bytes())
    for force in (False, True):
        with pytest.raises(InputError, match="cannot be replaced by its own copy"):
            add_channel(copy, ctcf, copy, sizes, force=force)
    assert copy.read_bytes() == toy_store.read_bytes() and out.read_bytes() == whole
    assert add_channel(toy_store, ctcf, out, sizes, force=True).channels[-1] == "CTCF"


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    fit(store, folder, 2, SMALL, Recipe(epochs=2, batch_size=16, learning_rate=1e-3), seed=5, progress=False)
    return folder


def test_training_alike_on_the_same_store_gives_the_same_bits(store, trained, tmp_path):
    again = train_alike(trained, store, tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
    assert settings_of(again) == settings_of(trained)


def test_training_alike_with_one_more_channel_changes_only_the_channels(store, trained, tmp_path):
    write_bigwig(
        tmp_path / "one.bigWig",
        CHROMS,
        [(chrom, np.array([0]), np.array([400_000]), np.array([1.0])) for chrom in CHROMS],
    )
    more = add_channel(
        store,
        Channel(name="CTCF", kind="bigwig", path=str(tmp_path / "one.bigWig")),
        tmp_path / "more.h5",
        CHROMS,
    )
    again = train_alike(trained, more, tmp_path / "more", added=["CTCF"])
    before, after = settings_of(trained), settings_of(again)
    assert after["network"].pop("channels") == [*before["network"].pop("channels"), "CTCF"]
    assert {**after, "stores": 0, "store_sha256": 0} == {**before, "stores": 0, "store_sha256": 0}


def test_further_trainings_differ_only_in_the_seed(store, trained, tmp_path):
    folders = train_seeds([trained], store.path, tmp_path / "seeds", 3)
    settings = [settings_of(folder) for folder in folders]
    assert folders[0] == trained and [one["seed"] for one in settings] == [5, 6, 7]
    assert all({**one, "seed": 0} == {**settings[0], "seed": 0} for one in settings)
    scores = [pd.read_parquet(folder / "predictions.parquet")["score"] for folder in folders]
    assert not scores[0].equals(scores[1]) and not scores[1].equals(scores[2])
    other = train_seeds([trained], store.path, tmp_path / "other", 2, include=False)
    assert trained not in other and [settings_of(folder)["seed"] for folder in other] == [5, 6]
    assert train_seeds([tmp_path / "imported"], store.path, tmp_path / "none", 1) == [tmp_path / "imported"]
    with pytest.raises(InputError, match="hold out the same folds"):
        train_seeds(folders, store.path, tmp_path / "more", 2)
    with pytest.raises(InputError, match="number of trainings is 0"):
        train_seeds([trained], store.path, tmp_path / "more", 0)


def test_training_alike_passes_on_calibration_start_and_precision(store, tmp_path):
    quick, first = Recipe(epochs=1, batch_size=16, learning_rate=1e-3), tmp_path / "first"
    options = {"validation": ["chr2", "chr9"], "progress": False}
    fit(store, first, 2, SMALL, quick, **options)
    options |= {"start": Start(first, freeze=["embedding"]), "calibrate": "platt", "dtype": torch.float64}
    fit(store, tmp_path / "tuned", 2, SMALL, quick, seed=2, **options)
    again = train_alike(tmp_path / "tuned", store, tmp_path / "again")
    assert settings_of(again) == settings_of(tmp_path / "tuned")
    for name in ("model.safetensors", "calibration.json", "predictions.parquet"):
        assert (again / name).read_bytes() == (tmp_path / "tuned" / name).read_bytes()
    assert can_be_trained_again([tmp_path / "tuned"])
    (again / "model.safetensors").replace(first / "model.safetensors")
    assert not can_be_trained_again([tmp_path / "tuned"])
    with pytest.raises(InputError, match="started from, is missing or has other weights"):
        train_alike(tmp_path / "tuned", store, tmp_path / "third")


def test_training_alike_on_several_stores_needs_as_many(store, tmp_path):
    other = write_toy_store(tmp_path / "other.h5", seed=3)
    both, quick = [store.path, other], Recipe(epochs=1, batch_size=16)
    fit(both, tmp_path / "both", 2, SMALL, quick, measure=False, progress=False)
    again = train_alike(tmp_path / "both", both, tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == (
        tmp_path / "both" / "model.safetensors"
    ).read_bytes()
    assert not can_be_trained_again([tmp_path / "both"])  # on one store
    with pytest.raises(InputError, match="trained on 2 stores"):
        train_seeds([tmp_path / "both"], store.path, tmp_path / "seeds", 2)
    with pytest.raises(InputError, match="other settings"):
        train_alike(tmp_path / "both", both, tmp_path / "again", seed=1)


def test_further_trainings_read_the_channels_of_the_run(store, tmp_path):
    part = Store(store.path, channels=["H3K27ac"])
    config = ChromoformerConfig(**SMALL.to_dict() | {"channels": ["H3K27ac"]})
    fit(part, tmp_path / "one", 2, config, Recipe(epochs=1, batch_size=16), progress=False)
    folders = train_seeds([tmp_path / "one"], store.path, tmp_path / "seeds", 2)
    anew = train_seeds([tmp_path / "one"], store.path, tmp_path / "anew", 1, include=False)
    alike = train_alike(tmp_path / "one", store, tmp_path / "alike")
    read = [settings_of(one)["network"]["channels"] for one in (*folders, *anew, alike)]
    assert read == [["H3K27ac"]] * 4
    added = {"include": False, "added": ["H3K4me3"]}
    [both] = train_seeds([tmp_path / "one"], store.path, tmp_path / "both", 1, **added)
    assert settings_of(both)["network"]["channels"] == ["H3K27ac", "H3K4me3"]
    with pytest.raises(InputError, match="the runs do not read H3K4me3"):
        train_seeds([tmp_path / "one"], store.path, tmp_path / "none", 2, added=["H3K4me3"])


def test_a_run_on_shuffled_labels_is_kept_for_these_labels_only(store, trained, tmp_path):
    shuffled = with_shuffled_labels(store, seed=1)
    assert store.replace(genes=store.genes).contents == store.sha256 != shuffled.contents
    assert shuffled.contents == with_shuffled_labels(store.path, seed=1).contents
    train_alike(trained, shuffled, tmp_path / "run")
    written = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    train_alike(trained, with_shuffled_labels(store, seed=1), tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == written
    for other in (store, with_shuffled_labels(store, seed=2)):
        with pytest.raises(InputError, match="store contents"):
            train_alike(trained, other, tmp_path / "run")


def test_shuffled_labels_stay_with_their_expression_and_do_not_change_the_file(store):
    shuffled = with_shuffled_labels(store, seed=1)
    pair = ["expression", "label"]
    assert sorted(shuffled.genes[pair].itertuples(index=False)) == sorted(
        store.genes[pair].itertuples(index=False)
    )
    assert (shuffled.genes["label"] != store.genes["label"]).mean() > 0.3 and Store(store.path).genes.equals(
        store.genes
    )
    assert shuffled.genes["label"].dtype == store.genes["label"].dtype


def test_a_model_without_training_settings_cannot_be_trained_alike(runs):
    with pytest.raises(InputError, match="training settings of this model are missing"):
        settings_of(runs[0])
    assert not can_be_trained_again(runs)
    with pytest.raises(InputError, match="training settings of this model are missing"):
        train_seeds(runs, "toy.h5", "out", 2)


def links_of_genes(random, genes=100, folds=2):
    "Three links of each gene; some pCREs are shared with the gene before."
    gene = np.repeat(np.arange(genes * folds), 3)
    number = np.arange(len(gene))
    pcre = np.where((random.random(len(gene)) < 0.3) & (gene % genes > 0), number - 3, number)
    table = {"gene_id": gene, "chrom": "chr1", "tss": gene, "start": pcre, "end": pcre + 1}
    return pd.DataFrame(table).assign(fold=1 + gene // genes)


def test_effects_of_shared_pcres_are_compared_with_those_of_neighbours():
    random = np.random.default_rng(0)
    false, naive = [], []
    for seed in range(60):
        links = links_of_genes(random)
        domain = (links["gene_id"] + random.integers(10)) // 10
        links["effect"] = links["fold"] * (3 + random.normal(size=domain.max() + 1)[domain])
        links["effect"] += links["fold"] * random.normal(size=len(links))  # models differ in scale
        found = shared_pcres(links.sample(frac=1, random_state=seed), draws=100, seed=seed)
        false.append(found["r"] > found["r_chance_high"])
        naive.append(found["r"] > 0.2)
    assert np.mean(false) <= 0.1 and np.mean(naive) > 0.9  # neighbours correlate, shared pCREs or not
    links = links_of_genes(random)
    links["effect"] = links["fold"] * (random.normal(size=links["start"].max() + 1)[links["start"]] + 3)
    found = shared_pcres(links)
    assert found["r"] > 0.95 > 0.4 > found["r_chance_high"]
    with pytest.raises(InputError, match="no column 'fold'"):
        shared_pcres(links.drop(columns="fold"))


def test_correlation_of_shared_pcres_is_within_folds():
    links = links_of_genes(np.random.default_rng(1)).assign(effect=lambda t: np.sin(t.index) + 9 * t["fold"])
    scaled = links.groupby("fold")["effect"].transform(
        lambda effect: (effect - effect.mean()) / effect.std(ddof=0)
    )
    places = links.assign(value=scaled).groupby("start")["value"].agg(list)
    pairs = np.array([(one[a], one[b]) for one in places for a in range(len(one)) for b in range(a)])
    expected = np.corrcoef(np.r_[pairs, pairs[:, ::-1]].T)[0, 1]
    found = shared_pcres(links)
    assert np.isclose(found["r"], expected) and found["pairs"] == len(pairs)


def test_withheld_pcres_name_the_fold_of_their_gene(store, runs):
    effects = withhold_each(runs, store)
    assert (effects["fold"] == effects["gene_id"].map(store.genes.set_index("gene_id")["fold"])).all()
    assert effects["held_out"].all() and effects["fold"].nunique() == 4
    assert (effects["tss"] == effects["gene_id"].map(store.genes.set_index("gene_id")["tss"])).all()
    genes = regulatory_embeddings(runs, store).table
    assert (genes["tss"] == store.genes["tss"]).all()
    attention = tss_attention(runs, store).genes
    assert attention[["gene_id", "chrom", "tss", "fold"]].equals(
        store.genes[["gene_id", "chrom", "tss", "fold"]]
    )


def test_only_labels_get_wilson_intervals():
    random = np.random.default_rng(0)
    score = np.sort(random.uniform(0, 8, 1000))
    target = np.where(score < 1.6, 0.0, score + random.normal(0, 1, 1000))  # two groups are not expressed
    table = pd.DataFrame({"gene_id": [f"g{i:04}" for i in range(1000)], "score": score, "target": target})
    for found in (calibration(table), calibration(table, task="regression")):
        for group, part in zip(found.itertuples(), np.split(target, 10), strict=True):
            half = 1.96 * part.std(ddof=1) / 10
            assert np.allclose([group.low, group.high], [part.mean() - half, part.mean() + half])
    labels = table.assign(target=(target > 4) * 1.0, score=score / 8)
    by_statsmodels = [0.0, 0.036994]  # proportion_confint(0, 100, method="wilson"), with z = 1.96
    for found in (calibration(labels), calibration(labels, task="classification")):
        assert np.allclose(found.iloc[0][["low", "high"]].astype(float), by_statsmodels, atol=1e-5)
    binary = calibration(labels, task="regression")  # targets that happen to be 0 and 1
    assert (binary.iloc[0][["low", "high"]] == 0).all()
    part = labels["target"].to_numpy()[400:500]
    assert np.isclose(binary["high"][4], part.mean() + 1.96 * part.std(ddof=1) / 10)
    outside = labels.assign(score=score)  # predictions above 1 are no probabilities
    assert (calibration(outside).iloc[0][["low", "high"]] == 0).all()
    with pytest.raises(InputError, match="task 'labels' is unknown"):
        calibration(labels, task="labels")


# ---- rivals of a network in another cell type ----


def cells_with_features(tmp_path, names=("here", "there", "third")):
    "Return stores of partly different genes whose expression follows one feature, and the features."
    stores, features = {}, {}
    base = write_toy_store(tmp_path / "base.h5")
    for number, name in enumerate(names):
        random = np.random.default_rng(number)
        genes = Store(base).genes
        level = np.where(genes["label"], 5.0, 1.0) + random.normal(0, 2, len(genes))
        genes = genes.assign(expression=2 ** level.clip(0) - 1, label=(level > 3).astype(int))
        genes = genes.iloc[number:].reset_index(drop=True)  # the first genes are missing in later cell types
        stores[name] = Store(
            write_toy_store(tmp_path / f"{name}.h5", genes=genes, pcres=toy_tables()[1].iloc[:0])
        )
        noise = random.normal(size=(len(genes), 2))
        features[name] = pd.DataFrame(
            {"mark": level[number:] + noise[:, 0], "more": noise[:, 1], name: noise[:, 0]}
        )
    return stores, features


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_trees_predict_each_gene_of_a_cell_type_without_having_seen_its_fold(tmp_path, task):
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    stores, features = cells_with_features(tmp_path)
    table = transfer_trees(features, stores, task, [0, 3], rounds=7)
    here, there = stores["here"].genes, stores["there"].genes
    target = here["label"] if task == "classification" else np.log2(here["expression"] + 1)
    kind = HistGradientBoostingClassifier if task == "classification" else HistGradientBoostingRegressor
    settings = {"learning_rate": 0.05, "max_leaf_nodes": 20, "min_samples_leaf": 30, "max_features": 0.3}
    columns = ["mark", "more"]  # that all cell types have
    for seed in (0, 3):
        part = table.query("trained == 'here' and tested == 'there' and seed == @seed").set_index("gene_id")
        assert sorted(part.index) == sorted(there["gene_id"])
        for fold in (1, 2, 3, 4):
            training = here["fold"] != fold
            trees = kind(
                early_stopping=False, max_iter=7, l2_regularization=2, random_state=seed, **settings
            ).fit(features["here"].loc[training, columns].to_numpy(), target[training])
            tested = there["fold"] == fold
            inputs = features["there"].loc[tested, columns].to_numpy()
            expected = (
                trees.predict_proba(inputs)[:, 1] if task == "classification" else trees.predict(inputs)
            )
            found = part.loc[there.loc[tested, "gene_id"]]
            assert np.allclose(found["score"], expected) and (found["fold"] == fold).all()
    backwards = table.query("trained == 'there' and tested == 'here'")
    assert set(backwards["gene_id"]) == set(there["gene_id"])  # the gene that only one has is left out
    two = transfer_trees(features, stores, task, [0], rounds=7, folds=[2, 4])
    assert set(two["fold"]) == {2, 4}
    same = table[(table["seed"] == 0) & table["fold"].isin([2, 4])]
    keys = ["trained", "tested", "gene_id"]
    pd.testing.assert_frame_equal(
        two.sort_values(keys, ignore_index=True), same.sort_values(keys, ignore_index=True)
    )


def test_transfer_of_trees_is_paired_if_the_stores_name_one_genome_differently(tmp_path):
    stores, features = cells_with_features(tmp_path)
    for name, genome in zip(stores, ("hg19", "GRCh37", "hg19")):
        with h5py.File(stores[name].path, "r+") as file:
            file.attrs["genome"] = genome
        stores[name] = Store(stores[name].path)
    assert {store.genome for store in stores.values()} == {"hg19", "GRCh37"}
    predictions = transfer_trees(features, stores, "regression", rounds=7)
    assert predictions.groupby("tested")["genome"].nunique().eq(1).all()
    alike = predictions.assign(genome="hg19")
    columns = ["relative_low", "relative_high"]
    keys = ["trained", "tested"]
    paired = transfer_matrix(alike, 50).set_index(keys)[columns]
    found = transfer_matrix(predictions, 50).set_index(keys)[columns]
    pd.testing.assert_frame_equal(found.loc[paired.index], paired)


def test_features_that_do_not_fit_the_genes_are_refused(tmp_path):
    stores, features = cells_with_features(tmp_path)
    with pytest.raises(InputError, match="there has 118 rows of features and 119 genes"):
        transfer_trees(features | {"there": features["there"].iloc[1:]}, stores, "regression")
    apart = {name: table[[name]] for name, table in features.items()}
    with pytest.raises(InputError, match="no feature in common"):
        transfer_trees(apart, stores, "regression")


def test_the_mean_of_other_cell_types_leaves_out_the_tested_one(tmp_path):
    stores, _ = cells_with_features(tmp_path)
    level = {
        name: np.log2(store.genes.set_index("gene_id")["expression"] + 1) for name, store in stores.items()
    }
    found = expression_of_others(stores, "here")
    assert found.index.tolist() == stores["here"].genes["gene_id"].tolist()
    assert np.isnan(found["gene0"]) and np.isclose(found["gene1"], level["there"]["gene1"])
    assert np.isclose(found["gene9"], (level["there"]["gene9"] + level["third"]["gene9"]) / 2)
    with pytest.raises(InputError, match="no cell type other than here"):
        expression_of_others({"here": stores["here"]}, "here")


def test_models_of_a_pair_are_compared_on_the_genes_that_all_predict(tmp_path):
    stores, features = cells_with_features(tmp_path)
    trees = transfer_trees(features, stores, "regression", [0, 1], rounds=3)
    network = trees.assign(score=-trees["score"], target=trees["target"].astype(np.float32))
    network = network[network["gene_id"] != "gene50"]
    others = expression_of_others(stores, "third").drop("gene60")
    found = models_of_pair({"network": network, "trees": trees}, "here", "third", ("mean", others))
    expected = set(stores["third"].genes["gene_id"]) - {"gene50", "gene60"}
    for _, part in found.groupby(["model", "seed"]):
        assert set(part["gene_id"]) == expected and len(part) == len(expected)
    assert (found.groupby("gene_id")["target"].nunique() == 1).all()
    both = found.pivot(index=["gene_id", "seed"], columns="model", values="score")
    assert np.allclose(both["network"], -both["trees"])
    mean = both["mean"].unstack()
    assert np.allclose(mean[0], others.loc[mean.index]) and (mean[0] == mean[1]).all()
    compared = differences(found, "regression", {"trees": ["network"], "mean": ["network"]}, draws=20)
    assert (compared["reference_trainings"] == 2).all()
    with pytest.raises(InputError, match="network has no predictions of third by models trained in nowhere"):
        models_of_pair({"network": network}, "nowhere", "third")


def test_genes_at_peaks_are_those_within_the_distance_of_any_peak(tmp_path):
    random = np.random.default_rng(0)
    sizes = {"chr1": 100_000, "chr2": 50_000, "chr3": 9000}
    chrom = random.choice(["chr1", "chr2"], 300)
    genes = pd.DataFrame({"gene_id": [f"g{i}" for i in range(300)], "chrom": chrom})
    genes = genes.assign(tss=[int(random.integers(sizes[name])) for name in chrom])
    genes.loc[300] = ["alone", "chr3", 100]  # on a chromosome without peaks
    start = random.integers(0, 49_000, 40)
    peaks = pd.DataFrame({"chrom": random.choice(["chr1", "chr2"], 40), "start": start})
    peaks = peaks.assign(end=start + random.integers(1, 900, 40))  # some overlap
    narrow = peaks.assign(name=".", score=0, strand=".", signal=0.0, p=-1, q=-1, summit=0)
    narrow.loc[0, "signal"] = 3.0  # peaks without a measured signal count as well
    narrow.to_csv(tmp_path / "EZH2.narrowPeak", sep="\t", header=False, index=False)
    for distance in (0, 1, 1000, 60_000):
        expected = []
        for gene in genes.itertuples():
            here = peaks[peaks["chrom"] == gene.chrom]
            apart = np.maximum(np.maximum(here["start"] - gene.tss, gene.tss - (here["end"] - 1)), 0)
            if (apart <= distance).any():
                expected.append(gene.gene_id)
        assert genes_at_peaks(tmp_path / "EZH2.narrowPeak", genes, sizes, distance) == expected
    assert 0 < len(genes_at_peaks(tmp_path / "EZH2.narrowPeak", genes, sizes, 0)) < 100
    with pytest.raises(InputError, match="past the end of chr2"):
        genes_at_peaks(tmp_path / "EZH2.narrowPeak", genes, sizes | {"chr2": 20_000})
    with pytest.raises(InputError, match="the distance is -1 bp"):
        genes_at_peaks(tmp_path / "EZH2.narrowPeak", genes, sizes, -1)
