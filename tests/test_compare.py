"""Models are compared on the same genes, and variants of the network change one thing."""

import json
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import papermill
import pytest
from helpers import MARKS, toy_tables, write_record, write_toy_store
from scipy import stats
from sklearn.metrics import roc_auc_score

from chromoformer.data.build import build_store
from chromoformer.data.manifest import Contacts, read_manifest
from chromoformer.data.store import Store, write_store
from chromoformer.errors import InputError
from chromoformer.experiments.comparison import (
    differences,
    fold_scores,
    gain,
    held_out_predictions,
    in_words,
    mean_scores,
    verdict,
)
from chromoformer.experiments.variants import (
    Variant,
    ablations,
    run_jobs,
    train_variant,
    variant_jobs,
    windows,
    with_channel,
)
from chromoformer.metrics import evaluate_scores, format_metrics, resampled
from chromoformer.model.checkpoint import read_config
from chromoformer.training.fit import fit
from chromoformer.training.recipe import RECIPES, network_and_recipe
from chromoformer.training.start import Start

ROOT = Path(__file__).resolve().parents[1]
BLOCK = {"layers": 1, "heads": 2, "width": 8, "attention_width": 8, "feed_forward_width": 8}
NETWORK = {"embedding": BLOCK, "pairwise": BLOCK, "regulation": BLOCK, "head_width": 8}
RECIPE = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_toy_store(tmp_path_factory.mktemp("compare") / "toy.h5")


def predictions(**scores):
    random = np.random.default_rng(0)
    label = random.integers(0, 2, 300)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "model": model,
                    "fold": np.repeat([1, 2, 3], 100),
                    "gene_id": np.arange(300),
                    "chrom": "chr1",
                    "tss": 50_000 * np.arange(300),
                    "target": label,
                    "score": score(label, random),
                }
            )
            for model, score in scores.items()
        ]
    )


def test_runs_of_several_stores_count_each_gene_once_in_each_store(tmp_path):
    table = predictions(a=lambda label, random: label + random.normal(size=300))
    for fold in (1, 2, 3):
        run = tmp_path / f"fold{fold}"
        run.mkdir()
        both = pd.concat([table.assign(store="A"), table.assign(store="B", score=-table["score"])])
        both.assign(held_out=both["fold"] == fold).to_parquet(run / "predictions.parquet")
        write_record(run, parameters={"seed": 0})
    runs = [tmp_path / f"fold{fold}" for fold in (1, 2, 3)]
    found = held_out_predictions({"a": runs})
    assert len(found) == 600 and found["store"].value_counts().to_dict() == {"A": 300, "B": 300}
    scores = fold_scores(found, "classification", draws=20)
    auc = scores[scores["metric"] == "auc"]
    assert auc["value"].tolist() == pytest.approx([0.5] * 3) and auc["genes"].tolist() == [200] * 3
    with pytest.raises(InputError, match="predicted twice"):
        held_out_predictions({"a": [*runs, runs[0]]})
    one = tmp_path / "one_store"  # of another model; its run names no store
    one.mkdir()
    table.assign(held_out=True).to_parquet(one / "predictions.parquet")
    write_record(one, parameters={"seed": 0})
    with pytest.raises(InputError, match="tested on different genes"):
        differences(held_out_predictions({"a": runs, "b": [one]}), "classification", "a", draws=20)


def test_genes_of_several_stores_are_drawn_together():
    one = predictions(a=lambda label, random: label + random.normal(size=300))
    copies = pd.concat([one.assign(store="A"), one.assign(store="B")])
    columns = ["value", "low", "high"]
    for measured in (fold_scores, mean_scores):
        alone, twice = (measured(table, "classification", draws=50) for table in (one, copies))
        auc = (alone["metric"] == "auc").to_numpy()
        assert np.allclose(alone.loc[auc, columns], twice.loc[auc, columns])
        assert twice["genes"].tolist() == (2 * alone["genes"]).tolist()


def test_means_over_folds_and_differences_equal_those_computed_by_hand():
    table = predictions(one=lambda y, r: y + r.normal(size=300), two=lambda y, r: y + 2 * r.normal(size=300))
    by_hand = {
        (model, fold): evaluate_scores(part["target"], part["score"], "classification", draws=0)["auc"][
            "value"
        ]
        for (model, fold), part in table.groupby(["model", "fold"])
    }
    means = mean_scores(table, "classification", draws=200).query("metric == 'auc'").set_index("model")
    assert np.isclose(means.loc["one", "value"], np.mean([by_hand["one", fold] for fold in (1, 2, 3)]))
    assert (means["low"] < means["value"]).all() and (means["value"] < means["high"]).all()
    found = differences(table, "classification", "one", draws=200).iloc[0]
    gaps = [by_hand["two", fold] - by_hand["one", fold] for fold in (1, 2, 3)]
    assert np.isclose(found["value"], np.mean(gaps))
    assert found["verdict"] == "not tested" and np.isnan(found["low"])  # each was trained once
    assert np.isclose(
        fold_scores(table, "classification", draws=0)
        .query("metric == 'auc' and model == 'two' and fold == 2")["value"]
        .iloc[0],
        by_hand["two", 2],
    )


def test_a_model_does_not_differ_from_itself_in_any_resampling():
    score = np.random.default_rng(5).normal(size=300)
    table = predictions(one=lambda y, r: score, same=lambda y, r: score)
    twice = pd.concat([table.assign(seed=0), table.assign(seed=1)])
    found = differences(twice, "classification", "one", draws=50).iloc[0]
    assert found["value"] == found["low"] == found["high"] == 0 and found["p"] == 1
    assert found["verdict"] == "no difference detected"


def test_the_order_of_rows_does_not_matter_and_different_genes_are_an_error():
    table = predictions(one=lambda y, r: y + r.normal(size=300), two=lambda y, r: r.normal(size=300))
    shuffled = table.sample(frac=1, random_state=0)
    assert (
        differences(table, "classification", "one", 50)
        .set_index("model")
        .equals(differences(shuffled, "classification", "one", 50).set_index("model"))
    )
    with pytest.raises(InputError, match="different genes of fold 1"):
        mean_scores(table[~((table["model"] == "two") & (table["gene_id"] == 3))], "classification")
    with pytest.raises(InputError, match="no predictions of fold 3 by two"):
        mean_scores(table[~((table["model"] == "two") & (table["fold"] == 3))], "classification")


def test_the_gain_is_the_mean_of_the_folds_and_does_not_pool_them():
    table = predictions(one=lambda y, r: y + r.normal(size=300), two=lambda y, r: y + 2 * r.normal(size=300))
    table["held_out"] = True
    one, two = (table[table["model"] == model] for model in ("one", "two"))
    found = gain(one, two, "classification", draws=100)
    assert found["fold"].tolist() == ["1", "2", "3", "all"] and found["genes"].tolist() == [100] * 3 + [300]
    columns = ["fold", "genes", "metric", "with", "without", "gain", "low", "high", "verdict"]
    assert found.columns.tolist() == columns
    folds, mean = found.iloc[:3], found.iloc[3]
    for column in ("with", "without", "gain"):
        assert np.isclose(mean[column], folds[column].mean())
    assert found["low"].isna().all() and mean["verdict"] == "not tested"  # each was trained once
    shifted = one.assign(score=one["score"] + 10 * one["fold"])  # another scale in each fold
    assert gain(shifted, two, "classification", draws=100).equals(found)


def trained(number, **scores):
    "Return the predictions of models that were trained several times."
    table = predictions(
        **{f"{model} {seed}": score for model, score in scores.items() for seed in range(number)}
    )
    parts = table["model"].str.rsplit(" ", n=1, expand=True)
    return table.assign(model=parts[0], seed=parts[1].astype(int), held_out=True)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_gain_and_differences_are_the_same_computation(task):
    table = trained(2, one=lambda y, r: y + r.normal(size=300), two=lambda y, r: y + 2 * r.normal(size=300))
    one, two = (table[table["model"] == model] for model in ("one", "two"))
    mean = gain(one, two, task, draws=100).iloc[-1]
    found = differences(table, task, "two", draws=100).iloc[0]
    assert (mean["gain"], mean["low"], mean["high"]) == (found["value"], found["low"], found["high"])
    assert mean["low"] < mean["gain"] < mean["high"] and mean["verdict"] == found["verdict"] == "higher"


def test_genes_are_resampled_within_folds():
    "A gain that differs between folds but not between genes or trainings has no interval."
    label = np.tile([0, 1], 100)
    genes = {
        "gene_id": np.arange(200),
        "chrom": "chr1",
        "tss": np.arange(200),
        "fold": np.repeat([1, 2], 100),
        "held_out": True,
        "target": label,
    }
    right, wrong = (
        pd.concat([pd.DataFrame(genes | {"score": score, "seed": seed}) for seed in (0, 1)])
        for score in (label, 1 - label)
    )
    mixed = right.assign(score=np.where(right["fold"] == 1, right["score"], 1 - right["score"]))
    assert gain(mixed, wrong, "classification", draws=50)[["gain", "low", "high"]].to_numpy().tolist() == [
        [1, 1, 1],
        [0, 0, 0],
        [0.5, 0.5, 0.5],
    ]


def test_one_fold_is_the_mean_and_tables_without_held_out_genes_are_an_error():
    table = predictions(one=lambda y, r: y + r.normal(size=300)).query("fold == 1").assign(held_out=True)
    assert gain(table, table, "classification", draws=0)["fold"].tolist() == ["all"]
    with pytest.raises(InputError, match="no held-out genes with a target"):
        gain(table, table.assign(held_out=False), "classification")
    with pytest.raises(InputError, match="a gene is predicted twice"):
        gain(table, pd.concat([table, table]), "classification")


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_paired_interval_is_narrower_than_the_difference_of_two_alone(task):
    random = np.random.default_rng(0)
    target = np.arange(400) % 2 if task == "classification" else random.normal(0, 1, 400)
    shared = target + random.normal(0, 1, 400)  # the same genes are hard for both
    about = {"gene_id": np.arange(400), "chrom": "chr1", "tss": np.arange(400), "fold": 1, "held_out": True}
    tables = [
        pd.concat(
            [
                pd.DataFrame(
                    about | {"seed": seed, "target": target, "score": shared + random.normal(0, noise, 400)}
                )
                for seed in (0, 1, 2)
            ]
        )
        for noise in (0.1, 0.4)
    ]
    row = gain(*tables, task, draws=200).iloc[0]
    alone = [
        mean_scores(table.assign(model="one"), task, draws=200).set_index("metric").loc[row["metric"]]
        for table in tables
    ]
    assert row["high"] - row["low"] < alone[0]["high"] - alone[1]["low"]
    assert row["low"] < row["gain"] < row["high"]
    with pytest.raises(InputError, match="different genes"):
        gain(tables[0], tables[1].query("gene_id > 0"), task)


def test_intervals_have_the_spread_of_the_resampled_metrics():
    random = np.random.default_rng(2)
    target, score = random.normal(size=80), random.normal(size=80)
    drawn = resampled(target, score, "regression", draws=120, seed=4)["pearson_r"]
    found = evaluate_scores(target, score, "regression", draws=120, seed=4)["pearson_r"]
    half = stats.t.ppf(0.975, 79) * np.std(drawn[1:], ddof=1) * np.sqrt(80 / 79)
    assert len(drawn) == 121 and found["value"] == drawn[0]
    assert found["low"] == pytest.approx(found["value"] - half)
    assert found["high"] == pytest.approx(found["value"] + half)


# How often a verdict is false. The large simulation is benchmarks/comparisons.py; here, few genes and runs.
RUNS = 60
DRAWS = 100


def of_equal_models(trainings, random, genes=200, folds=2, shifted=()):
    """Return predictions of models that differ only by training.

    The expected accuracy of a training differs by chance, as that of a network with another seed. `trainings`
    has the number of trainings of each model; `shifted` models have scores of another scale in every fold.
    """
    tables = []
    for fold in range(1, folds + 1):
        target = random.permutation(np.arange(genes) % 2)
        common = random.normal(size=genes)  # the same genes are hard for all
        for model, number in enumerate(trainings):
            for seed in range(number):
                quality = 1 + 0.1 * random.normal()
                score = quality * target + common + 0.3 * random.normal(size=genes)
                about = {"model": f"model {model}", "seed": seed, "fold": fold, "chrom": f"chr{fold}"}
                genes_of = {"gene_id": [f"{fold}.{i}" for i in range(genes)], "tss": 1000 * np.arange(genes)}
                score = score + 10 * fold * (model in shifted)
                tables.append(pd.DataFrame(about | genes_of | {"target": target, "score": score}))
    return pd.concat(tables, ignore_index=True)


def most_by_chance(runs, level=0.05):
    "Return the largest share of false verdicts that is compatible with a level, three standard errors above."
    return level + 3 * np.sqrt(level * (1 - level) / runs)


def share_with_a_verdict(trainings, runs=RUNS, **how):
    "Return how often at least one of the equal models is called higher or lower than the first."
    false = 0
    for run in range(runs):
        table = of_equal_models(trainings, np.random.default_rng(run), **how)
        found = differences(table, "classification", "model 0", DRAWS)
        false += found["verdict"].isin(["higher", "lower"]).any()
    return false / runs


@pytest.mark.slow
def test_groups_of_trainings_of_one_network_are_not_told_apart():
    "Six trainings of one network form ten pairs of groups of three; single trainings are never told apart."
    groups = [set(one) for one in combinations(range(6), 3) if 0 in one]
    false = []
    for run in range(10):
        table = of_equal_models((6,), np.random.default_rng(run))
        for group in groups:
            split = table.assign(model=np.where(table["seed"].isin(group), "one", "other"))
            false.append(differences(split, "classification", "one", DRAWS)["verdict"].iloc[0])
    rate = np.isin(false, ["higher", "lower"]).mean()
    assert rate <= most_by_chance(10)  # the pairs of one run depend on each other, so runs are counted
    single = differences(
        table.assign(model=table["seed"].astype(str), seed=0), "classification", [*"012345"], DRAWS
    )
    assert len(single) == 15 and set(single["verdict"]) == {"not tested"}


@pytest.mark.slow
def test_two_equal_models_of_three_trainings_are_rarely_told_apart_and_sometimes_are():
    rate = share_with_a_verdict((3, 3))
    assert rate <= most_by_chance(RUNS)
    single_genes = 0  # what intervals over genes only would say
    for run in range(30):
        table = of_equal_models((1, 1), np.random.default_rng(run))
        values = {
            (model, fold): resampled(part["target"], part["score"], "classification", DRAWS, fold, only="auc")
            for (model, fold), part in table.groupby(["model", "fold"])
        }
        difference = np.mean(
            [values["model 1", fold]["auc"] - values["model 0", fold]["auc"] for fold in (1, 2)], axis=0
        )
        low, high = np.quantile(difference[1:], [0.025, 0.975])
        single_genes += low > 0 or high < 0
    assert single_genes / 30 > most_by_chance(30)  # the simulated trainings differ enough to matter


def test_the_same_ranking_on_another_scale_in_each_fold_has_no_difference():
    table = of_equal_models((3,), np.random.default_rng(0), folds=4)
    shifted = table.assign(model="shifted", score=2 * table["score"] + 5 * (table["fold"] % 3))
    both = pd.concat([table, shifted])
    found = differences(both, "classification", "model 0", DRAWS).iloc[0]
    assert found["value"] == 0 and found["verdict"] == "no difference detected"
    gained = gain(shifted.assign(held_out=True), table.assign(held_out=True), "classification", DRAWS)
    assert (gained["gain"] == 0).all()
    pooled = [
        evaluate_scores(part["target"], part["score"], "classification", draws=0)["auc"]["value"]
        for _, part in both.query("seed == 0").groupby("model")
    ]
    assert pooled[1] < pooled[0] - 0.05  # what pooling would report


@pytest.mark.slow
def test_the_best_of_seven_equal_baselines_is_rarely_called_higher():
    assert share_with_a_verdict((3,) * 8, runs=40) <= most_by_chance(40)


@pytest.mark.slow
def test_25_ablations_without_effect_rarely_have_a_verdict():
    runs = 15
    assert share_with_a_verdict((5, *[1] * 25), runs=runs) <= most_by_chance(runs)


def test_a_variant_trained_once_varies_like_the_full_network():
    "The standard error of trainings is s sqrt(1 + 1/n), with n - 1 degrees of freedom in each fold."
    random = np.random.default_rng(1)
    target = np.arange(400) % 2
    about = {"gene_id": np.arange(400), "chrom": "chr1", "tss": np.arange(400), "fold": 1, "target": target}
    noise = random.normal(size=400)
    full = [(target * quality + noise) for quality in (1, 1.2, 0.8, 1.1, 1.4)]
    tables = [pd.DataFrame(about | {"model": "full", "seed": s, "score": v}) for s, v in enumerate(full)]
    tables.append(pd.DataFrame(about | {"model": "less", "seed": 0, "score": target * 0.9 + noise}))
    found = differences(pd.concat(tables), "classification", "full", draws=300).iloc[0]
    auc = [roc_auc_score(target, score) for score in full]
    trainings = np.var(auc, ddof=1) * (1 + 1 / 5)
    blocks = np.repeat(np.arange(8), 50)  # 400 genes: 8 blocks
    drawn = [
        resampled(target, score, "classification", 300, 1, blocks, "auc")["auc"]
        for score in (tables[-1]["score"].to_numpy(), *full)
    ]
    genes = np.var((drawn[0] - np.mean(drawn[1:], axis=0))[1:], ddof=1) * 8 / 7
    freedom = (genes + trainings) ** 2 / (genes**2 / 7 + trainings**2 / 4)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(genes + trainings)
    assert found["value"] == pytest.approx(drawn[0][0] - np.mean(auc))
    assert (found["high"] - found["low"]) / 2 == pytest.approx(half)


def test_words_follow_the_verdict_and_the_verdict_the_interval():
    table = trained(3, one=lambda y, r: y + r.normal(size=300), two=lambda y, r: y + 3 * r.normal(size=300))
    row = next(differences(table, "classification", "one", draws=100).itertuples())
    assert row.verdict == verdict(row.low, row.high) == "lower"
    assert in_words(row).startswith("two: lower than one, AUC -0.")
    once = next(differences(table.query("seed == 0"), "classification", "one", draws=100).itertuples())
    assert "not tested (too few trainings)" in in_words(once) and "(+" not in in_words(once)


def test_reading_some_channels_equals_a_store_without_the_others(store):
    whole, part = Store(store), Store(store, channels=["H3K27ac"])
    assert part.channels == ("H3K27ac",) and np.array_equal(
        part.signal(), whole.signal()[:, [MARKS.index("H3K27ac")]]
    )
    assert Store(store, channels=MARKS[::-1]).signal(3, 9).tolist() == whole.signal(3, 9)[:, ::-1].tolist()
    with pytest.raises(InputError, match="no channel H3K9me3; there are H3K4me3, H3K27ac"):
        Store(store, channels=["H3K9me3"])


def test_a_variant_without_a_mark_does_not_depend_on_it(store, tmp_path):
    variant = Variant("without", "mark out", channels=("H3K27ac",))
    train_variant(variant, store, tmp_path / "one", 1, NETWORK, RECIPE, "classification")
    changed = write_toy_store(tmp_path / "changed.h5", learnable=False)  # H3K4me3 differs, H3K27ac does not
    assert not np.array_equal(Store(changed).signal(), Store(store).signal())
    train_variant(variant, changed, tmp_path / "two", 1, NETWORK, RECIPE, "classification")
    assert (tmp_path / "one" / "model.safetensors").read_bytes() == (
        tmp_path / "two" / "model.safetensors"
    ).read_bytes()


def test_variants_of_a_network_that_names_its_channels_read_their_own(store, tmp_path):
    whole = Store(store)
    columns = dict(zip(MARKS, whole.signal().T))
    tracks = {"CTCF": columns["H3K27ac"][::-1], "H3K27ac": columns["H3K27ac"], "H3K4me3": columns["H3K4me3"]}

    def store_of(path, names):
        "Write a store of some of the tracks, with the genes and regions of the first."
        genes, pcres = toy_tables()
        return write_store(
            path,
            genes=genes,
            pcres=pcres,
            signal_of=lambda regions: np.column_stack([tracks[name] for name in names]),
            channels=names,
            bin_sizes=(2000, 500, 100),
            window=4000,
            genome="toy",
            inputs={},
        )

    store_of(tmp_path / "more.h5", ["H3K4me3", "H3K27ac", "CTCF"])
    store_of(tmp_path / "only.h5", ["H3K27ac", "CTCF"])
    network = NETWORK | {"channels": ["H3K27ac"]}
    added = with_channel("CTCF", whole, tmp_path / "more.h5", network)
    both = NETWORK | {"channels": list(MARKS)}
    variants = [variant for variant in ablations(whole, both)[0] if variant.group in ("mark out", "full")]
    found = {}
    for variant, settings in [(added, network), *((variant, both) for variant in variants)]:
        out = tmp_path / variant.name
        train_variant(variant, store, out, 1, settings, RECIPE, "classification")
        found[variant.name] = read_config(out)[0].channels
    assert found == {
        "with CTCF": ("H3K27ac", "CTCF"),
        "full": MARKS,
        "without H3K4me3": ("H3K27ac",),
        "without H3K27ac": ("H3K4me3",),
    }
    alone = Variant("alone", "added", store=str(tmp_path / "only.h5"))  # a store of just these channels
    train_variant(alone, store, tmp_path / "alone", 1, NETWORK, RECIPE, "classification")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("alone", "with CTCF")]
    assert weights[0] == weights[1]


def test_shuffled_contact_scores_keep_their_distribution(store, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "chromoformer.experiments.variants.fit",
        lambda opened, *rest, **named: seen.append(opened.pcres["score"].to_numpy()),
    )
    train_variant(
        Variant("shuffled", "distal", shuffle_contacts=True),
        store,
        tmp_path,
        1,
        NETWORK,
        RECIPE,
        "classification",
    )
    true = Store(store).pcres["score"].to_numpy()
    assert np.array_equal(np.sort(seen[0]), np.sort(true)) and (seen[0] != true).mean() > 0.9


def test_complete_runs_are_kept_only_with_the_same_settings(store, tmp_path):
    def jobs(recipe, network=NETWORK):
        variants, names = [Variant("full", "full"), Variant("blind", "distal", {"contacts": False})], [1]
        return variant_jobs(variants, store, tmp_path, names, network, recipe, "classification")

    made, folders = jobs(RECIPE)
    run_jobs(made, progress=False)
    file = folders["blind"][0] / "model.safetensors"
    before = file.stat().st_mtime_ns
    run_jobs(made, progress=False)
    assert file.stat().st_mtime_ns == before
    for other in (jobs(RECIPE | {"epochs": 7})[0], jobs(RECIPE, NETWORK | {"head_width": 6})[0]):
        with pytest.raises(InputError, match="other settings"):
            run_jobs(other, progress=False)


def test_an_empty_recipe_is_that_of_the_named_network(store, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("chromoformer.experiments.variants.fit", lambda *rest, **named: seen.append(rest[4]))
    whole = {"base": "whole-gene-joint"}
    for network, recipe in ((whole, {}), (whole, {"base": "whole-gene"}), (NETWORK, {})):
        train_variant(Variant("one", "full"), store, tmp_path, np.int64(1), network, recipe, "regression")
    assert seen == [RECIPES["whole-gene-joint"], RECIPES["whole-gene"], RECIPES["published"]]


def test_ablations_of_a_named_network_are_those_of_its_settings(store):
    variants, refused = ablations(Store(store), {"base": "whole-gene-joint"})
    assert "the network reads no pCREs" in refused.values()
    assert {v.name for v in variants if v.group == "resolution"} == {"2 kb only", "500 bp only"}


@pytest.fixture(scope="module")
def plain_store(toy, tmp_path_factory):
    "Four marks, one resolution, no contacts."
    manifest = read_manifest(toy / "cellA.yaml")
    plain = manifest.model_copy(
        update={
            "channels": [manifest.channels[i] for i in (0, 2, 4, 5)],
            "bin_sizes": [500],
            "contacts": Contacts(kind="none"),
        }
    )
    out = tmp_path_factory.mktemp("plain") / "plain.h5"
    build_store(plain, out, progress=False)
    return out


def test_ablations_that_a_store_does_not_allow_are_returned_with_the_reason(plain_store, store):
    variants, refused = ablations(Store(plain_store))
    assert refused == {
        "without pCREs; without contact scores": "no gene has a pCRE in this store",
        "fewer resolutions": "there is only one, 500 bp",
    }
    assert [v.name for v in variants][:2] == ["full", "without H3K4me1"]
    assert sum(v.group == "mark out" for v in variants) == 4
    assert "each mark out, each mark alone" in ablations(Store(store, channels=["H3K4me3"]))[1]
    assert windows(Store(plain_store), [3000, 40_000, 80_000])[1].keys() == {"80 kb"}
    assert [v.network for v in windows(Store(plain_store), [3000, 40_000])[0]] == [
        {"promoter_window": 3000},
        {"promoter_window": None},
    ]
    assert "cut through bins" in windows(Store(plain_store), [500])[1]["0.5 kb"]


def run(name, out, **parameters):
    out.mkdir(exist_ok=True)
    papermill.execute_notebook(
        ROOT / "nbs" / "analyses" / f"{name}.ipynb",
        out / "notebook.ipynb",
        cwd=out,
        progress_bar=False,
        parameters={
            "out": str(out),
            "processes": 1,
            "network": NETWORK,
            "recipe": RECIPE,
            "draws": 50,
            **parameters,
        },
    )
    return json.loads((out / "metrics.json").read_text())


@pytest.mark.slow
def test_the_benchmark_compares_the_models_that_fit_a_store_without_contacts(plain_store, toy, tmp_path):
    results = run(
        "benchmark",
        tmp_path,
        store=str(plain_store),
        task="regression",
        models=["ridge regression", "HM-CRNN", "logistic regression", "GC-MERGE"],
        baseline_recipe="fast",
        seeds=2,
    )
    assert set(results["refused"]) == {"logistic regression", "GC-MERGE"}
    assert {row["model"] for row in results["means"]} == {"Chromoformer", "ridge regression", "HM-CRNN"}
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    assert len(table) == 2 * 3 * len(Store(plain_store).genes) and set(table["task"]) == {"regression"}
    assert (tmp_path / "figures" / "ranking.png").stat().st_size > 10_000
    by_hand = held_out_predictions(
        {
            "HM-CRNN": [
                tmp_path / "runs" / "HM-CRNN" / f"seed{seed}" / f"fold{fold}"
                for seed in (0, 1)
                for fold in (1, 2, 3, 4)
            ]
        }
    )
    means = mean_scores(by_hand, "regression", 50).set_index("metric")["value"]
    assert np.isclose(
        means["r2"],
        next(row["value"] for row in results["means"] if row["model"] == "HM-CRNN" and row["metric"] == "r2"),
    )
    differs = {row["model"]: row for row in results["differences"]}
    assert set(differs) == {"ridge regression", "HM-CRNN"}
    assert all(row["trainings"] == row["reference_trainings"] == 2 for row in differs.values())
    assert all(row["verdict"] == verdict(row["low"], row["high"]) != "not tested" for row in differs.values())
    ridge = table[table["model"] == "ridge regression"].set_index(["seed", "gene_id"])["score"]
    assert (ridge[0] == ridge[1]).all()  # the same result with each seed


@pytest.mark.slow
def test_the_benchmark_takes_given_runs_as_one_training_and_adds_others(plain_store, tmp_path):
    config, recipe = network_and_recipe(Store(plain_store), NETWORK, RECIPE)
    runs = [str(tmp_path / "given" / f"fold{fold}") for fold in (1, 2)]
    for fold, run_folder in zip((1, 2), runs):
        fit(Store(plain_store), run_folder, fold, config, recipe, seed=7, measure=False, progress=False)
    common = {"store": str(plain_store), "models": ["logistic regression"], "runs": runs, "held_out": [1, 2]}
    found = run("benchmark", tmp_path / "all", **common)
    table = pd.read_parquet(tmp_path / "all" / "predictions.parquet")
    seeds = table.groupby("model")["seed"].unique().map(sorted).to_dict()
    assert seeds == {"Chromoformer": [7, 8, 9], "logistic regression": [0, 1, 2]}
    assert found["seeds"] == 3 and found["differences"][0]["reference_trainings"] == 3
    given = pd.concat([pd.read_parquet(f"{run_folder}/predictions.parquet") for run_folder in runs])
    used = table.query("model == 'Chromoformer' and seed == 7").set_index("gene_id")["score"]
    expected = given[given["held_out"]].set_index("gene_id")["score"].loc[used.index]
    assert len(used) and np.array_equal(used, expected)
    first, how = tmp_path / "first", {"measure": False, "progress": False}
    fit(Store(plain_store), first, (1, 2), config, recipe, **how)
    tuned = [str(tmp_path / "tuned" / f"fold{fold}") for fold in (1, 2)]
    for fold, run_folder in zip((1, 2), tuned):
        fit(Store(plain_store), run_folder, fold, config, recipe, start=Start(first), **how)
    shutil.rmtree(first)  # what they started from is gone, so they cannot be trained again
    found = run("benchmark", tmp_path / "once", **common | {"runs": tuned})
    assert found["seeds"] == 1 and [row["verdict"] for row in found["differences"]] == ["not tested"]


@pytest.mark.slow
def test_ablation_and_window_train_the_variants_that_a_store_allows(plain_store, toy, tmp_path):
    for name in ("ablation", "window"):
        (tmp_path / name).mkdir()
    results = run(
        "ablation", tmp_path / "ablation", store=str(plain_store), task="regression", held_out=[1], seeds=2
    )
    assert len(results["refused"]) == 2 and len(results["differences"]) == 4 + 4
    for row in results["differences"]:
        assert (row["reference"], row["reference_trainings"], row["trainings"]) == ("full", 2, 1)
        assert row["verdict"] == verdict(row["low"], row["high"])
    assert set(results["over_seeds"]) == {"0", "1"} and "spread" not in results
    full = next(r for r in results["means"] if r["model"] == "full" and r["metric"] == "pearson_r")
    assert np.mean(list(results["over_seeds"].values())) == pytest.approx(full["value"])
    results = run(
        "window", tmp_path / "window", store=str(plain_store), held_out=[1], widths=[3000, 80_000], seeds=2
    )
    assert {row["model"] for row in results["means"]} == {"3 kb", "40 kb"} and "manifest" in results[
        "refused"
    ]["80 kb"]
    assert results["reference"] == "40 kb" and [row["model"] for row in results["differences"]] == ["3 kb"]


@pytest.mark.slow
def test_the_reference_window_is_that_of_the_store_where_the_paper_s_is_not_possible(store, tmp_path):
    window = Store(store).window
    results = run("window", tmp_path, store=str(store), held_out=[1], widths=[window // 2], seeds=1)
    assert window < 40_000 and results["reference"] == f"{window / 1000:g} kb"
    assert [row["verdict"] for row in results["differences"]] == ["not tested"]


@pytest.mark.slow
def test_wider_windows_and_added_tracks_are_built_from_the_manifest(toy, toy_store, tmp_path):
    for name in ("ablation", "window"):
        (tmp_path / name).mkdir()
    common = {"store": str(toy_store), "manifest": str(toy / "cellA.yaml"), "held_out": [1]}
    results = run("window", tmp_path / "window", widths=[10_000, 80_000], seeds=1, **common)
    assert {row["model"] for row in results["means"]} == {"10 kb", "40 kb", "80 kb"} and results[
        "refused"
    ] == {}
    assert Store(tmp_path / "window" / "stores" / "80000.h5").window == 80_000
    results = run(
        "ablation",
        tmp_path / "ablation",
        groups=["added", "distal"],
        seeds=1,
        add={"CTCF": {"kind": "bigwig", "path": str(toy / "cellA" / "CTCF.bigWig")}},
        **common,
    )
    assert [row["model"] for row in results["differences"]] == [
        "no pCREs",
        "no contact scores",
        "shuffled contact scores",
        "with CTCF",
    ]
    assert (
        read_config(tmp_path / "ablation" / "runs" / "with_CTCF" / "seed0" / "fold1")[0].channels[-1]
        == "CTCF"
    )


@pytest.mark.parametrize("ties", [False, True])
def test_spearman_equals_scipy_on_resampled_genes(ties):
    random = np.random.default_rng(3)
    target = random.normal(size=80)
    score = target + random.normal(size=80)
    if ties:
        target, score = target.round(), score.round()
    drawn = resampled(target, score, "regression", draws=60, seed=4)["spearman_rho"]
    assert drawn[0] == pytest.approx(stats.spearmanr(target, score)[0])
    again = np.random.default_rng(4)
    weights = np.concatenate([again.multinomial(80, np.full(80, 1 / 80), size=size) for size in (50, 10)])
    expected = []
    for weight in weights:
        rows = np.repeat(np.arange(80), weight)
        expected.append(stats.spearmanr(target[rows], score[rows])[0])
    assert drawn[1:] == pytest.approx(expected)
    assert resampled(np.exp(target), score**3, "regression", draws=0)["spearman_rho"] == pytest.approx(
        drawn[:1]
    )


@pytest.mark.parametrize("constant", ["target", "score", "both"])
def test_spearman_of_constant_values_is_missing(constant):
    values = np.random.default_rng(0).normal(size=50)
    same = np.full(50, 0.1)
    target = values if constant == "score" else same
    score = values if constant == "target" else same
    assert np.isnan(resampled(target, score, "regression", draws=20)["spearman_rho"]).all()


def test_spearman_is_reported_with_its_name_and_interval():
    values = np.random.default_rng(0).normal(size=50)
    found = evaluate_scores(values, values + 1, "regression")
    assert list(found) == ["genes", "pearson_r", "spearman_rho", "r2"]
    assert "Spearman rho 1.000 (1.000-1.000)" in format_metrics(found)
    older = {
        name: entry for name, entry in found.items() if name != "spearman_rho"
    }  # metrics.json of an older run
    assert "Spearman" not in format_metrics(older)


@pytest.mark.parametrize(
    "task, metric, smallest", [("classification", "auc", 0), ("regression", "pearson_r", -1)]
)
@pytest.mark.parametrize("genes", [4, 8, 16])
def test_intervals_of_few_genes_stay_within_the_metric(task, metric, smallest, genes):
    random = np.random.default_rng(genes)
    target = np.arange(genes) % 2 if task == "classification" else random.normal(size=genes)
    for score in (random.random(genes), -target.astype(float) + random.normal(0, 0.1, genes)):
        found = evaluate_scores(target, score, task, draws=100)[metric]
        assert smallest <= found["low"] <= found["value"] <= found["high"] <= 1
        table = pd.DataFrame({"model": "one", "seed": 0, "fold": 1, "chrom": "chr1", "tss": np.arange(genes)})
        table = table.assign(gene_id=[f"g{i}" for i in range(genes)], target=target, score=score)
        for scores in (mean_scores(table, task, 100), fold_scores(table, task, 100)):
            row = scores.set_index("metric").loc[metric]
            assert smallest <= row["low"] <= row["value"] <= row["high"] <= 1


def test_models_are_compared_in_the_folds_that_define_the_metric():
    table = predictions(
        a=lambda label, random: label + random.normal(size=300),
        b=lambda label, random: label + 3 * random.normal(size=300),
    )
    table.loc[table["fold"] == 2, "target"] = 1
    others = table[table["fold"] != 2]
    with pytest.warns(UserWarning, match="not defined in fold 2, .*: AUC; the mean is over 2 other folds"):
        found = mean_scores(table, "classification", draws=50).set_index(["model", "metric"])
    expected = mean_scores(others, "classification", draws=0).set_index(["model", "metric"])
    for model in ("a", "b"):
        assert found.loc[(model, "auc"), "value"] == expected.loc[(model, "auc"), "value"]
        assert found.loc[(model, "auc"), "low"] < found.loc[(model, "auc"), "value"]
