"""Withholding a pCRE equals a store without it; explanations equal the network's outputs and attention."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import CHROMS, MARKS, SMALL, toy_tables, write_toy_store
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from chromoformer.data.batches import GeneDataset
from chromoformer.data.store import Store, write_store
from chromoformer.errors import InputError
from chromoformer.genome import Region
from chromoformer.interpret.attention import attention_maps, tss_attention
from chromoformer.interpret.gene import explain_gene, withhold, withhold_each
from chromoformer.interpret.perturbation import perturb, scan
from chromoformer.interpret.regulation import regulatory_embeddings
from chromoformer.model import checkpoint
from chromoformer.model.config import BlockConfig
from chromoformer.model.network import Chromoformer, predicted_values, random_batch
from chromoformer.model.paper import PaperChromoformer


def assert_same(a, b):
    for field in fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        assert torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y, field.name


def network(config=SMALL, seed=0):
    torch.manual_seed(seed)
    return Chromoformer(config).double().eval()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(write_toy_store(tmp_path_factory.mktemp("interpret") / "toy.h5"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    "Four networks with random weights, each recorded as having held out one fold."
    folder = tmp_path_factory.mktemp("runs")
    for fold in (1, 2, 3, 4):
        checkpoint.save(network(seed=fold), folder / f"fold{fold}", [fold])
    return [folder / f"fold{fold}" for fold in (1, 2, 3, 4)]


@pytest.fixture(scope="module")
def gene(store):
    "A gene on the minus strand with at least four pCREs."
    many = np.diff(store.pcre_start) >= 4
    return store.genes.loc[many & (store.genes["strand"] == "-"), "gene_id"].iloc[0]


@pytest.mark.parametrize("most", [0, 1, 3])
def test_withholding_the_last_ranks_equals_a_batch_built_with_fewer_pcres(store, most):
    rows = np.arange(20)
    batch = GeneDataset(store).batch(rows)
    assert_same(withhold(batch, range(most + 1, 9)), GeneDataset(store, max_pcres=most).batch(rows))


def test_withholding_any_pcre_equals_the_batch_of_a_store_without_it(tmp_path):
    genes, pcres = toy_tables()
    lost = pcres.index.isin(pcres.sample(frac=0.4, random_state=0).index)
    left = pcres[~lost]
    left = left.assign(rank=left.groupby("gene_id").cumcount() + 1)

    def batch_of_store(name, contacts):
        def signal_of(regions):  # depth depends on the place of a region, not on the other regions
            return np.concatenate(
                [
                    np.stack([np.arange(r.bins) + r.start % 97, np.arange(r.bins) * 2 + r.start % 89], 1)
                    for r in regions.itertuples()
                ]
            )

        write_store(
            tmp_path / name,
            genes=genes,
            pcres=contacts,
            signal_of=signal_of,
            channels=MARKS,
            bin_sizes=(500, 100),
            window=4000,
            genome="toy",
            inputs={},
            chrom_sizes=CHROMS,
        )
        return GeneDataset(Store(tmp_path / name)).batch(np.arange(len(genes)))

    assert_same(withhold(batch_of_store("whole.h5", pcres), lost), batch_of_store("fewer.h5", left))


def test_withholding_nothing_changes_nothing(store):
    batch = GeneDataset(store).batch([0, 1, 2])
    assert_same(withhold(batch, []), batch)
    assert_same(withhold(batch, torch.zeros(len(batch.slot), dtype=torch.bool)), batch)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), data=st.data())
def test_withholding_leaves_other_genes_unchanged_and_equals_the_paper_form(seed, data):
    batch, model = random_batch(5, SMALL, seed), network()
    mask = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(batch.slot), max_size=len(batch.slot))), bool
    )
    fewer = withhold(batch, mask)
    touched = set(batch.gene[torch.from_numpy(mask)].tolist())
    with torch.inference_mode():
        before, after, in_full = model(batch), model(fewer), PaperChromoformer.from_model(model)(fewer)
    untouched = [gene for gene in range(5) if gene not in touched]
    assert torch.allclose(before[untouched], after[untouched], atol=1e-12, rtol=0)
    assert torch.allclose(after, in_full, atol=1e-12, rtol=0)


def test_a_mask_of_the_wrong_length_is_an_error(store):
    with pytest.raises(InputError, match="one True or False per pCRE"):
        withhold(GeneDataset(store).batch([0, 1, 2]), np.array([True]))


def test_an_explanation_equals_the_network_called_by_hand(store, runs, gene):
    row = store.gene_rows([gene])
    model = checkpoint.load(runs[store.genes["fold"][row[0]] - 1], torch.float64).eval()
    batch = GeneDataset(store).batch(row)
    explanation = explain_gene(runs, store, gene, dtype=torch.float64)
    with torch.inference_mode():
        by_hand = model.explain(batch)
        none = model.explain(withhold(batch, range(1, 9)))
        each = [model.explain(withhold(batch, [rank])) for rank in batch.slot.tolist()]
    assert explanation.held_out and explanation.model.endswith(f"fold{explanation.gene['fold']}")
    assert (
        np.array_equal(explanation.output, by_hand.output[0])
        and explanation.score == predicted_values(by_hand.output).item()
    )
    assert np.isclose(explanation.score_without, predicted_values(none.output).item(), atol=1e-12)
    assert np.array_equal(explanation.embedding, by_hand.embedding[0])
    assert np.allclose(explanation.embedding_without, none.embedding[0], atol=1e-12, rtol=0)
    assert len(explanation.pcres) == len(each)
    for (_, pcre), without in zip(explanation.pcres.iterrows(), each):
        assert np.isclose(
            pcre["score_change"],
            (predicted_values(by_hand.output) - predicted_values(without.output)).item(),
            atol=1e-12,
        )
        logit = by_hand.output.diff(dim=1) - without.output.diff(dim=1)
        assert np.isclose(pcre["effect"], logit.item(), atol=1e-12)
        assert np.isclose(
            pcre["euclidean"], (by_hand.embedding - without.embedding).norm().item(), atol=1e-12
        )
        assert np.isclose(
            pcre["cosine"], 1 - F.cosine_similarity(by_hand.embedding, without.embedding).item(), atol=1e-12
        )
    for number, size in enumerate(SMALL.bin_sizes):
        assert np.array_equal(explanation.promoter_attention[size], by_hand.promoter[number][0])
        assert np.array_equal(
            explanation.regulation_attention[size], torch.stack(by_hand.regulation[number])[:, 0]
        )
        for pcre, weights in enumerate(explanation.pcre_attention[size]):
            whole = torch.stack(by_hand.pairwise[number])[:, pcre]
            assert weights.shape[-1] == len(explanation.pcre_bins(pcre, size))
            assert np.allclose(weights.sum(-1), 1) and set(weights.ravel()) <= set(whole.ravel().tolist())
    shares = np.mean([explanation.regulation_attention[size].mean((0, 1)) for size in SMALL.bin_sizes], 0)
    assert np.allclose(explanation.pcres["attention"], shares[1:])


def test_the_table_of_pcres_has_their_positions_and_contact_scores(store, runs, gene):
    explanation = explain_gene(runs, store, gene)
    expected = toy_tables()[1].query("gene_id == @gene").reset_index(drop=True)
    assert explanation.pcres[["gene_id", "rank", "chrom", "start", "end"]].equals(
        expected[["gene_id", "rank", "chrom", "start", "end"]]
    )
    assert np.allclose(explanation.pcres["contact"], expected["score"])
    assert (
        explanation.pcres["distance"].tolist()
        == ((expected["start"] + expected["end"]) // 2 - explanation.gene["tss"]).tolist()
    )


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("bin_size", [100, 500, 2000])
def test_promoter_bins_are_placed_where_the_network_reads_them(store, runs, strand, bin_size):
    "The bin that the explanation places over a base is the bin in which the network reads this base."
    row = np.flatnonzero((store.genes["strand"] == strand) & (store.genes["tss"] > 5000))[0]
    explanation = explain_gene(runs, store, store.genes["gene_id"][row])
    bins, sums = explanation.promoter_bins(bin_size), store.signal(*_bins_of(store, row))
    features, _ = GeneDataset(store).batch([row]).promoter_features(bin_size)
    for place in range(len(bins)):
        first = (bins["start"][place] - explanation.window.start) // 100
        expected = np.log(sums[first : first + bin_size // 100].sum(0) / bin_size + 1)
        assert np.allclose(features[0, place], expected, atol=1e-6)


def _bins_of(store, row):
    region = store.regions.iloc[store.promoter_region[row]]
    return region["first_bin"], region["first_bin"] + region["bins"]


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("promoter_window", [2000, 3000])
def test_a_narrower_promoter_window_is_placed_around_the_tss(store, strand, promoter_window):
    "With 3,000 of 4,000 bp, bins of 1,000 bp are shifted by half a bin, bins of 500 bp are not."
    config = replace(SMALL, promoter_window=promoter_window, bin_sizes=(1000, 500, 100))
    row = np.flatnonzero((store.genes["strand"] == strand) & (store.genes["tss"] > 5000))[0]
    explanation = explain_gene(network(config), store, store.genes["gene_id"][row], dtype=torch.float64)
    for size in config.bin_sizes:
        weights, bins = explanation.promoter_attention[size], explanation.promoter_bins(size)
        seen = bins[weights[0] > 0]
        assert seen["start"].min() == explanation.gene["tss"] - promoter_window // 2
        assert seen["end"].max() == explanation.gene["tss"] + promoter_window // 2


def test_bins_outside_the_chromosome_receive_no_attention(store, runs):
    explanation = explain_gene(runs, store, "gene0")  # its TSS is at 1,250, its window begins at -750
    bins = explanation.promoter_bins(100)
    outside = bins["end"].to_numpy() <= 0
    assert outside.sum() == 7 and (explanation.promoter_attention[100][:, outside] == 0).all()


def test_effects_do_not_depend_on_the_batch(store):
    model = network()
    some = store.genes["gene_id"].tolist()[:12]
    together = withhold_each(model, store, some, batch_size=5)
    for gene in some:
        alone = explain_gene(model, store, gene).pcres
        rows = together[together["gene_id"] == gene].reset_index(drop=True)
        assert len(rows) == len(alone)
        for column in ("score", "score_without", "effect", "euclidean"):
            assert np.allclose(rows[column].astype(float), alone[column].astype(float), atol=1e-12, rtol=0)


def test_each_gene_is_explained_by_the_model_that_held_it_out(store, runs):
    effects = withhold_each(runs, store)
    assert effects["held_out"].all() and len(effects) == len(store.pcres)
    fold3 = store.genes.loc[store.genes["fold"] == 3, "gene_id"]
    alone = withhold_each(runs[2], store, fold3.tolist())
    part = effects[effects["gene_id"].isin(fold3)].reset_index(drop=True)
    assert alone["held_out"].all() and np.allclose(part["effect"], alone["effect"], atol=1e-6)
    assert not withhold_each(runs[0], store, fold3.tolist())["held_out"].any()


def test_the_effect_of_a_regressor_is_the_change_of_its_prediction(store, gene):
    explanation = explain_gene(network(replace(SMALL, task="regression")), store, gene)
    assert explanation.output.shape == (1,) and explanation.score == explanation.output[0]
    assert np.array_equal(explanation.pcres["effect"], explanation.pcres["score_change"]) and np.isclose(
        explanation.effect, explanation.score - explanation.score_without
    )


def test_a_model_without_pcres_or_a_gene_without_any_has_nothing_to_withhold(store, gene):
    bare = store.genes["gene_id"][np.flatnonzero(np.diff(store.pcre_start) == 0)[0]]
    for model, name in ((network(replace(SMALL, max_pcres=0)), gene), (network(), bare)):
        explanation = explain_gene(model, store, name)
        assert (
            explanation.pcres.empty
            and explanation.score == explanation.score_without
            and explanation.effect == 0
        )
        assert all(weights.shape[-1] == 1 for weights in explanation.regulation_attention.values())
        assert "attention" in explanation.pcres and withhold_each(model, store, [name]).empty


def test_networks_with_deeper_embedding_blocks_are_explained(store, gene):
    explanation = explain_gene(network(replace(SMALL, embedding=BlockConfig(2, 4, 16, 16, 16))), store, gene)
    assert explanation.promoter_attention[100].shape == (4, 40)


def test_errors_name_unknown_genes_ambiguous_models_and_wrong_channels(store, runs, gene):
    with pytest.raises(InputError, match="unknown gene ids: nobody"):
        explain_gene(runs, store, "nobody")
    with pytest.raises(InputError, match="fold 1 is held out by"):
        explain_gene([runs[0], runs[0], runs[1], runs[2], runs[3], runs[3], runs[2], runs[1]], store, gene)
    with pytest.raises(InputError, match="lacks .*which the model reads"):
        explain_gene(network(replace(SMALL, channels=("H3K4me3", "CTCF"))), store, gene)


def test_a_gene_that_is_named_twice_counts_once(store, runs, gene):
    other = store.genes["gene_id"].iloc[0]
    once, twice = (withhold_each(runs, store, genes) for genes in ([other, gene], [gene, other, gene]))
    assert twice.equals(once)
    maps = [attention_maps(runs, store, genes) for genes in ([other, gene], [gene, other, gene])]
    assert all(np.allclose(maps[0][size], maps[1][size]) for size in maps[0])
    for found in (
        tss_attention(runs, store, [gene, gene]).genes,
        regulatory_embeddings(runs, store, [gene, gene]).table,
        perturb(runs, store, Region(store.genes["chrom"].iloc[0], 0, 10_000), genes=[gene, gene]),
    ):
        assert found["gene_id"].tolist() == [gene]


def test_a_mark_that_is_named_twice_is_scanned_once(store, runs, gene):
    twice = scan(runs, store, gene, marks=[MARKS[0], MARKS[0]])
    assert twice.equals(scan(runs, store, gene, marks=[MARKS[0]]))


def test_an_interval_is_silenced_on_a_chromosome_with_or_without_chr(store):
    gene = store.genes.iloc[3]
    around = (int(gene["tss"]) - 500, int(gene["tss"]) + 500)
    found, bare = (
        perturb(network(), store, Region(chrom, *around), dtype=torch.float64)
        for chrom in (gene["chrom"], gene["chrom"].removeprefix("chr"))
    )
    assert gene["gene_id"] in set(found["gene_id"]) and found["effect"].abs().max() > 0
    pd.testing.assert_frame_equal(found, bare)
