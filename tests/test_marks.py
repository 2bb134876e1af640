"""The analysis of marks finds those that carry the signal and chooses subsets without the held-out fold."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import run_notebook
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from chromoformer.baselines.gene_features import gene_features
from chromoformer.data.build import build_store
from chromoformer.data.store import Store
from chromoformer.data.tracks import coverage
from chromoformer.genome import read_chrom_sizes
from chromoformer.simulate.epigenome import simulate
from chromoformer.simulate.rules import Rules

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
MARKS = ["H3K4me3", "H3K9me3", "H3K27me3", "H3K36me3"]
SIGNAL = {"H3K4me3", "H3K36me3"}  # of promoter and body, which set the expression of these genes
TREES = {"learning_rate": 0.2, "min_samples_leaf": 10, "max_features": 0.5, "max_bins": 63}


def run(out, folder, **parameters):
    "Execute the notebook and return its metrics."
    settings = {
        "store": str(folder / "marks.h5"),
        "manifest": str(folder / "marks.yaml"),
        "sizes": [1, 2],
        "named": [["H3K36me3", "H3K4me3"], ["H3K9me3", "DNase"]],
        "extra": "H3K27ac",
        "extra_kind": "bigwig",
        "rounds": 15,
        "trees": TREES,
        "full_rounds": 25,
        "progress": False,
        "seeds": 2,
        "draws": 50,
        "subset_draws": 20,
    }
    return run_notebook("marks", out, **settings | parameters)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Four marks, of which two carry the signal and two are reads, and one more in `extra`."
    toy = tmp_path_factory.mktemp("marks") / "toy"
    rules = Rules(promoter=6.0, body=6.0, body_follows=0.0, enhancer=0.1, silencer=0.1, noise=0.5)
    marks = [*MARKS, "H3K27ac"]
    simulate(toy, 400, cell_types=["cellA"], rules=rules, hic=False, marks=marks, progress=False)
    manifest = yaml.safe_load((toy / "cellA.yaml").read_text())
    of_name = {channel["name"]: channel for channel in manifest["channels"]}
    manifest["extra"] = {"H3K27ac": {"path": of_name["H3K27ac"]["path"]}}
    manifest["channels"] = [of_name[mark] for mark in MARKS]
    (toy / "marks.yaml").write_text(yaml.safe_dump(manifest))
    build_store(toy / "marks.yaml", toy / "marks.h5", progress=False)
    return toy


@pytest.fixture(scope="module")
def found(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "marks"
    return out, run(out, folder)


@pytest.fixture(scope="module")
def table(folder, tmp_path_factory):
    "Genes and features, computed without the notebook."
    store = Store(folder / "marks.h5")
    manifest = yaml.safe_load((folder / "marks.yaml").read_text())
    sizes = read_chrom_sizes(folder / manifest["chrom_sizes"]["path"])
    tracks, made = {}, tmp_path_factory.mktemp("tracks")
    for channel in manifest["channels"]:
        name, kind, path = channel["name"], channel.get("kind", "bigwig"), folder / channel["path"]
        tracks[name] = path
        if kind != "bigwig":
            tracks[name] = made / f"{name}.bigWig"
            coverage(path, sizes, tracks[name], kind=kind, progress=False)
    return store.genes, gene_features(tracks, store.genes, sizes)


def fitted_score(table, subset, away, fold, seed=0):
    "Return the scores of a fold by trees on a subset of the marks, fitted without some folds."
    genes, features = table
    wanted = [name for name in features if name == "length" or name.split(":")[0] in subset]
    values = features[wanted].to_numpy()
    label = genes["label"].to_numpy()
    training = ~genes["fold"].isin(away).to_numpy()
    test = (genes["fold"] == fold).to_numpy()
    model = HistGradientBoostingClassifier(max_iter=15, early_stopping=False, random_state=seed, **TREES)
    scores = model.fit(values[training], label[training]).predict_proba(values[test])[:, 1]
    return scores, label[test]


def test_the_marks_that_carry_the_signal_are_the_best_pair(found):
    _, metrics = found
    assert {frozenset(name.split(" + ")) for name in metrics["chosen"]["2"].values()} == {frozenset(SIGNAL)}
    assert set(metrics["chosen"]["1"].values()) <= SIGNAL
    value = {row["subset"]: row["value"] for row in metrics["subsets"]}
    assert value["H3K4me3 + H3K36me3"] > value["H3K9me3 + H3K27me3"] + 0.1


def test_predictions_and_scores_equal_those_of_trees_fitted_by_hand(found, table):
    out, metrics = found
    predictions = pd.read_parquet(out / "predictions.parquet")
    values = []
    for seed in (0, 1):
        for fold in (1, 2, 3, 4):
            scores, label = fitted_score(table, ["H3K4me3", "H3K27me3"], [fold], fold, seed)
            part = predictions.query("model == 'H3K4me3 + H3K27me3' and seed == @seed and fold == @fold")
            genes = table[0].loc[table[0]["fold"] == fold, "gene_id"]
            assert part.set_index("gene_id")["score"].loc[genes].to_numpy() == pytest.approx(scores)
            values.append(roc_auc_score(label, scores))
    row = next(row for row in metrics["subsets"] if row["subset"] == "H3K4me3 + H3K27me3")
    assert row["value"] == pytest.approx(np.mean(values)) and row["trainings"] == 2
    assert row["low"] < row["value"] < row["high"]


def test_the_best_subset_of_a_size_is_chosen_on_the_neighbouring_folds_and_scored_on_the_held_out_one(
    found, table
):
    out, metrics = found
    inside = pd.DataFrame(metrics["inside"])
    for fold, others in {1: (4, 2), 4: (3, 1)}.items():
        for other in others:
            scores, label = fitted_score(table, ["H3K36me3"], [fold, other], other)
            kept = inside.query("subset == 'H3K36me3' and held_out == @fold and scored_on == @other")
            assert kept["value"].item() == pytest.approx(roc_auc_score(label, scores))
    predictions = pd.read_parquet(out / "predictions.parquet")
    by_size = {row["size"]: row for row in metrics["by_size"]}
    for size, name in ((1, "best mark"), (2, "best pair")):
        of_size = inside[inside["size"] == size].groupby(["held_out", "subset"])["value"].mean()
        values = []
        for fold, subset in metrics["chosen"][str(size)].items():
            assert of_size[int(fold), subset] == of_size[int(fold)].max()
            for seed in (0, 1):
                part = predictions[(predictions["fold"] == int(fold)) & (predictions["seed"] == seed)]
                best = part[part["model"] == name].set_index("gene_id")["score"]
                assert best.equals(part[part["model"] == subset].set_index("gene_id")["score"])
                target = part[part["model"] == name]["target"]
                values.append(roc_auc_score(target, best))
        assert by_size[size]["value"] == pytest.approx(np.mean(values))
        assert by_size[size]["value"] <= by_size[size]["highest_in_each_fold"] + 1e-9
        highest = max(row["value"] for row in metrics["subsets"] if row["size"] == size)
        assert by_size[size]["highest"] == highest


def test_the_family_is_the_stated_one_and_what_is_impossible_has_a_reason(found):
    _, metrics = found
    assert [row["model"] for row in metrics["differences"]] == [
        "best mark",
        "best pair",
        "H3K4me3 + H3K36me3",
        *[f"all but {mark}" for mark in MARKS[::-1]],
        "all 4 marks + H3K27ac",
    ]
    assert {row["reference"] for row in metrics["differences"]} == {"all 4 marks"}
    assert {(row["trainings"], row["reference_trainings"]) for row in metrics["differences"]} == {(2, 2)}
    assert list(metrics["refused"]) == ["H3K9me3 + DNase"]
    assert metrics["cost_of_fast_trees"]["reference"] == "all 4 marks, 25 trees"


def test_a_second_run_starts_no_fit_and_more_seeds_keep_the_first(found, folder):
    out, metrics = found

    def written():
        return {path.name: path.stat().st_mtime_ns for path in (out / "fits").iterdir()}

    before = written()
    assert run(out, folder, processes=2) == metrics and written() == before
    kept = {path.name: pd.read_parquet(path) for path in (out / "fits").iterdir()}
    run(out, folder, seeds=3, processes=2)
    assert set(written()) == set(before)
    for name, table in kept.items():
        now = pd.read_parquet(out / "fits" / name)
        assert now.head(len(table)).equals(table) and set(now["seed"]) == {0, 1, 2}


def test_the_choice_for_a_fold_does_not_depend_on_its_labels(found, folder, tmp_path):
    _, metrics = found
    (tmp_path / "toy").symlink_to(folder)
    changed = tmp_path / "changed.h5"
    changed.write_bytes((folder / "marks.h5").read_bytes())
    with h5py.File(changed, "r+") as file:
        fold = file["genes/fold"][:]
        label = file["genes/label"][:]
        label[fold == 1] = 1 - label[fold == 1]
        file["genes/label"][:] = label
    other = run(tmp_path / "out", folder, store=str(changed), seeds=1, named=[], extra="", full_rounds=0)
    for held_out in (1, 2):
        one, two = (
            table.loc[table["held_out"] == held_out, "value"]
            for table in (pd.DataFrame(metrics["inside"]), pd.DataFrame(other["inside"]))
        )
        assert one.equals(two) == (held_out == 1)
    for size in ("1", "2"):
        assert other["chosen"][size]["1"] == metrics["chosen"][size]["1"]


def test_two_held_out_folds_in_regression_with_one_training(folder, tmp_path):
    out = tmp_path / "out"
    changes = {"task": "regression", "held_out": [1, 3], "seeds": 1, "sizes": [1], "full_rounds": 0}
    metrics = run(out, folder, **changes)
    predictions = pd.read_parquet(out / "predictions.parquet")
    assert set(predictions["fold"]) == {1, 3} and "cost_of_fast_trees" in metrics
    target = np.log2(Store(folder / "marks.h5").genes.set_index("gene_id")["expression"] + 1)
    for row in metrics["subsets"]:
        part = predictions[predictions["model"] == row["subset"]].set_index("gene_id")
        assert np.allclose(part["target"], target.loc[part.index])
        r = [np.corrcoef(one["target"], one["score"])[0, 1] for _, one in part.groupby("fold")]
        assert row["value"] == pytest.approx(np.mean(r))
    assert {row["verdict"] for row in metrics["differences"]} == {"not tested"}
    scored_on = {
        fold: set(part["scored_on"]) for fold, part in pd.DataFrame(metrics["inside"]).groupby("held_out")
    }
    assert scored_on == {1: {4, 2}, 3: {2, 4}}
