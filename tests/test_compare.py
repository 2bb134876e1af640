"""Models are compared on the same genes, and variants of the network change one thing."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import papermill
import pytest
from helpers import MARKS, write_toy_store
from scipy import stats

from chromoformer.data.build import build_store
from chromoformer.data.manifest import Contacts, read_manifest
from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.experiments.comparison import (
    differences,
    fold_scores,
    gain,
    held_out_predictions,
    mean_scores,
    paired_test,
)
from chromoformer.experiments.variants import Variant, ablations, run_jobs, train_variant, windows
from chromoformer.metrics import evaluate_scores, format_metrics, resampled
from chromoformer.model.checkpoint import read_config

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
                    "target": label,
                    "score": score(label, random),
                }
            )
            for model, score in scores.items()
        ]
    )


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
    assert (
        np.isclose(found["value"], np.mean(gaps))
        and found["folds_below"] == sum(gap < 0 for gap in gaps)
        and found["high"] < 0
    )
    assert np.isclose(
        fold_scores(table, "classification", draws=0)
        .query("metric == 'auc' and model == 'two' and fold == 2")["value"]
        .iloc[0],
        by_hand["two", 2],
    )


def test_a_model_does_not_differ_from_itself_in_any_resampling():
    score = np.random.default_rng(5).normal(size=300)
    found = differences(
        predictions(one=lambda y, r: score, same=lambda y, r: score), "classification", "one", draws=50
    ).iloc[0]
    assert found["value"] == found["low"] == found["high"] == 0 and np.isnan(found["p_t"])


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
    assert found.columns.tolist() == ["fold", "genes", "metric", "with", "without", "gain", "low", "high"]
    folds, mean = found.iloc[:3], found.iloc[3]
    for column in ("with", "without", "gain"):
        assert np.isclose(mean[column], folds[column].mean())
    assert (found["low"] < found["gain"]).all() and (found["gain"] < found["high"]).all()
    shifted = one.assign(score=one["score"] + 10 * one["fold"])  # another scale in each fold
    assert gain(shifted, two, "classification", draws=100).equals(found)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_gain_and_differences_are_the_same_computation(task):
    table = predictions(one=lambda y, r: y + r.normal(size=300), two=lambda y, r: y + 2 * r.normal(size=300))
    table["held_out"] = True
    one, two = (table[table["model"] == model] for model in ("one", "two"))
    mean = gain(one, two, task, draws=100).iloc[-1]
    found = differences(table, task, "two", draws=100).iloc[0]
    assert (mean["gain"], mean["low"], mean["high"]) == (found["value"], found["low"], found["high"])


def test_genes_are_resampled_within_folds():
    "A gain that differs between folds but not between genes has no interval."
    label = np.tile([0, 1], 100)
    genes = {"gene_id": np.arange(200), "fold": np.repeat([1, 2], 100), "held_out": True, "target": label}
    right, wrong = pd.DataFrame(genes | {"score": label}), pd.DataFrame(genes | {"score": 1 - label})
    mixed = right.assign(score=np.where(right["fold"] == 1, label, 1 - label))
    assert gain(mixed, wrong, "classification", draws=50)[["gain", "low", "high"]].to_numpy().tolist() == [
        [1, 1, 1],
        [0, 0, 0],
        [0.5, 0.5, 0.5],
    ]


def test_a_single_fold_has_no_mean_row_and_tables_without_held_out_genes_are_an_error():
    table = predictions(one=lambda y, r: y + r.normal(size=300)).query("fold == 1").assign(held_out=True)
    assert gain(table, table, "classification", draws=0)["fold"].tolist() == ["1"]
    with pytest.raises(InputError, match="no held-out genes with a target"):
        gain(table, table.assign(held_out=False), "classification")
    with pytest.raises(InputError, match="a gene is predicted twice"):
        gain(table, pd.concat([table, table]), "classification")


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_paired_interval_is_narrower_than_the_difference_of_two_alone(task):
    random = np.random.default_rng(0)
    target = np.arange(400) % 2 if task == "classification" else random.normal(0, 1, 400)
    shared = target + random.normal(0, 1, 400)  # the same genes are hard for both
    tables = [
        pd.DataFrame(
            {
                "gene_id": np.arange(400),
                "fold": 1,
                "held_out": True,
                "target": target,
                "score": shared + random.normal(0, noise, 400),
            }
        )
        for noise in (0.1, 0.4)
    ]
    row = gain(*tables, task, draws=200).iloc[0]
    alone = [evaluate_scores(target, table["score"].to_numpy(), task)[row["metric"]] for table in tables]
    assert (
        row["high"] - row["low"] < alone[0]["high"] - alone[1]["low"]
        and row["low"] < row["gain"] < row["high"]
    )
    with pytest.raises(InputError, match="different genes"):
        gain(tables[0], tables[1].iloc[1:], task)


def test_intervals_are_quantiles_of_the_resampled_metrics():
    random = np.random.default_rng(2)
    target, score = random.normal(size=80), random.normal(size=80)
    drawn = resampled(target, score, "regression", draws=120, seed=4)["pearson_r"]
    found = evaluate_scores(target, score, "regression", draws=120, seed=4)["pearson_r"]
    assert len(drawn) == 121 and found["value"] == drawn[0] and found["low"] == np.quantile(drawn[1:], 0.025)


def test_paired_tests_find_a_steady_difference_and_none_in_noise():
    base = np.linspace(0.8, 0.9, 12)
    steady = paired_test(base + 0.01 + 0.001 * np.sin(np.arange(12)), base)
    assert steady["p_t"] < 1e-6 and steady["p_wilcoxon"] < 1e-3 and steady["units"] == 12
    assert paired_test(base + 0.01 * np.tile([1, -1], 6), base)["p_t"] > 0.5
    assert np.isnan(paired_test([0.9], [0.8])["p_t"])


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


def test_complete_runs_are_not_run_again(tmp_path):
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "metrics.json").write_text("{}")
    made = []
    run_jobs(
        {tmp_path / "done": partial(made.append, "done"), tmp_path / "new": partial(made.append, "new")},
        progress=False,
    )
    assert made == ["new"]


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
    variants, refused = ablations(Store(plain_store), seeds=2)
    assert refused == {
        "without pCREs; without contact scores": "no gene has a pCRE in this store",
        "fewer resolutions": "there is only one, 500 bp",
    }
    assert [v.name for v in variants][:2] == ["full", "seed 1"] and sum(
        v.group == "mark out" for v in variants
    ) == 4
    assert "each mark out, each mark alone" in ablations(Store(store, channels=["H3K4me3"]))[1]
    assert windows(Store(plain_store), [3000, 40_000, 80_000])[1].keys() == {"80 kb"}
    assert [v.network for v in windows(Store(plain_store), [3000, 40_000])[0]] == [
        {"promoter_window": 3000},
        {"promoter_window": None},
    ]
    assert "cut through bins" in windows(Store(plain_store), [500])[1]["0.5 kb"]


def run(name, out, **parameters):
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


def test_the_benchmark_compares_the_models_that_fit_a_store_without_contacts(plain_store, toy, tmp_path):
    results = run(
        "benchmark",
        tmp_path,
        store=str(plain_store),
        task="regression",
        models=["ridge regression", "HM-CRNN", "logistic regression", "GC-MERGE"],
        baseline_recipe="fast",
    )
    assert set(results["refused"]) == {"logistic regression", "GC-MERGE"}
    assert {row["model"] for row in results["means"]} == {"Chromoformer", "ridge regression", "HM-CRNN"}
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    assert len(table) == 3 * len(Store(plain_store).genes) and set(table["task"]) == {"regression"}
    assert (tmp_path / "figures" / "ranking.png").stat().st_size > 10_000
    by_hand = held_out_predictions(
        {"HM-CRNN": [tmp_path / "runs" / "HM-CRNN" / f"fold{fold}" for fold in (1, 2, 3, 4)]}
    )
    means = mean_scores(by_hand, "regression", 50).set_index("metric")["value"]
    assert np.isclose(
        means["r2"],
        next(row["value"] for row in results["means"] if row["model"] == "HM-CRNN" and row["metric"] == "r2"),
    )


@pytest.mark.slow
def test_ablation_and_window_train_the_variants_that_a_store_allows(plain_store, toy, tmp_path):
    for name in ("ablation", "window"):
        (tmp_path / name).mkdir()
    results = run(
        "ablation", tmp_path / "ablation", store=str(plain_store), task="regression", held_out=[1], seeds=2
    )
    assert len(results["refused"]) == 2 and len(results["differences"]) == 1 + 4 + 4
    results = run(
        "window", tmp_path / "window", store=str(plain_store), held_out=[1], widths=[3000, 40_000, 80_000]
    )
    assert {row["model"] for row in results["means"]} == {"3 kb", "40 kb"} and "name the manifest" in results[
        "refused"
    ]["80 kb"]


@pytest.mark.slow
def test_wider_windows_and_added_tracks_are_built_from_the_manifest(toy, toy_store, tmp_path):
    for name in ("ablation", "window"):
        (tmp_path / name).mkdir()
    common = {"store": str(toy_store), "manifest": str(toy / "cellA.yaml"), "held_out": [1]}
    results = run("window", tmp_path / "window", widths=[10_000, 80_000], **common)
    assert {row["model"] for row in results["means"]} == {"10 kb", "80 kb"} and results["refused"] == {}
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
    assert read_config(tmp_path / "ablation" / "runs" / "with_CTCF" / "fold1")[0].channels[-1] == "CTCF"


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
