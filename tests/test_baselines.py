"""The baselines have their authors' sizes, learn, resume, and never read the held-out fold."""

import json
import shutil
from dataclasses import asdict
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pyBigWig
import pytest
import torch
from helpers import SMALL, interrupted_in_the_second_epoch, toy_tables, write_toy_store
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import roc_auc_score

from chromoformer import baselines
from chromoformer.baselines import networks, shallow
from chromoformer.baselines.attentivechrome import AttentiveChromeNetwork
from chromoformer.baselines.common import BaselineRecipe, Prepared, promoter_bins
from chromoformer.baselines.deepchrome import DeepChromeNetwork
from chromoformer.baselines.gcmerge import (
    GCMERGENetwork,
    Graph,
    Nodes,
    node_contacts,
    node_features,
    nodes_of,
    strongest,
)
from chromoformer.baselines.hmcrnn import HMCRNNNetwork
from chromoformer.data.batches import GeneDataset
from chromoformer.data.manifest import read_manifest
from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.metrics import evaluate_scores
from chromoformer.provenance import verify
from chromoformer.simulate.epigenome import simulate
from chromoformer.training.fit import fit as fit_network
from chromoformer.training.recipe import Recipe

IN_BINS = ("DeepChrome", "AttentiveChrome", "HM-CRNN")
FAST = {
    "DeepChrome": "fast",
    "AttentiveChrome": {"epochs": 8, "learning_rate": 5e-3, "batch_size": 16},
    "HM-CRNN": "fast",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_toy_store(tmp_path_factory.mktemp("baselines") / "toy.h5")


def settings_of(name, store):
    return baselines.settings_for(
        baselines.BASELINES[name], store if isinstance(store, Store) else Store(store)
    ) | {"log": True}


def fit(name, store, out, **options):
    how = {
        "recipe": FAST.get(name, "published"),
        "settings": settings_of(name, store) if name in IN_BINS else None,
        "progress": False,
    }
    return baselines.fit(name, store, out, 1, **(how | options))


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (DeepChromeNetwork(5, 100), 644_177),
        (AttentiveChromeNetwork(5), 55_681),
        (HMCRNNNetwork(7, 40), 24_818),
        (GCMERGENetwork(6), 266_754),
    ],
)
def test_networks_have_as_many_parameters_as_their_authors_versions(network, parameters):
    assert sum(weights.numel() for weights in network.parameters()) == parameters


def test_gene_body_features_summarise_the_bins_from_tss_to_transcript_end(tmp_path):
    random, size, bin_size = np.random.default_rng(0), 60_000, 1000
    edges = np.sort(np.append(random.choice(np.arange(1, size), 800, replace=False), [0, size]))
    depth = random.integers(0, 9, (2, len(edges) - 1)).astype(float)
    tracks = {name: str(tmp_path / f"{name}.bigWig") for name in ("one", "two")}
    for path, values in zip(tracks.values(), depth):
        with pyBigWig.open(path, "w") as track:
            track.addHeader([("chr1", size)])
            track.addEntries(
                ["chr1"] * len(values), edges[:-1].tolist(), ends=edges[1:].tolist(), values=values.tolist()
            )
    rows = [
        ("+", 4200, 4200, 19_500),
        ("-", 19_499, 4200, 19_500),
        ("+", 6000, 4200, 7000),
        ("-", 8150, 8100, 9300),
        ("+", 50_000, 50_000, 60_000),
    ]
    genes = pd.DataFrame(rows, columns=["strand", "tss", "gene_start", "gene_end"]).assign(chrom="chr1")
    found = baselines.gene_body_features(tracks, genes, {"chr1": size}, bin_size)
    for gene, features in zip(genes.itertuples(), found):
        end = gene.gene_end - 1 if gene.strand == "+" else gene.gene_start
        step = 1 if gene.strand == "+" else -1
        expected = []
        for path in tracks.values():
            with pyBigWig.open(path) as track:
                bins = np.array(
                    [
                        track.stats("chr1", b * bin_size, (b + 1) * bin_size, exact=True)[0]
                        for b in range(gene.tss // bin_size, end // bin_size + step, step)
                    ]
                )
            expected += [bins.mean(), bins.max(), bins[-1], bins[len(bins) // 2 :].mean()]
        assert np.allclose(np.expm1(features[:-1]), expected, rtol=1e-5)
        assert np.isclose(np.exp(features[-1]), abs(end - gene.tss) + 1)


def twenty_genes(name, task):
    random = np.random.default_rng(1)
    target = np.tile([0.0, 1.0], 10) if task == "classification" else random.normal(size=20)
    genes = pd.DataFrame({"gene_id": range(20)})
    if name != "GC-MERGE":
        return Prepared(
            genes, target, torch.tensor(random.normal(size=(20, 3, 24)), dtype=torch.float32), ("a", "b", "c")
        )
    mean = strongest(random.integers(0, 60, 300), random.integers(0, 60, 300), random.random(300), 60, 5)
    return Prepared(
        genes,
        target,
        Graph(random.normal(size=(60, 3)).astype(np.float32), mean, np.arange(20)),
        ("a", "b", "c"),
    )


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("name", [*IN_BINS, "GC-MERGE", "DeepDiff"])
def test_each_network_can_overfit_twenty_genes(name, task):
    model, prepared = baselines.BASELINES[name], twenty_genes(name, task)
    if task not in model.tasks:
        return
    batch = None if name == "GC-MERGE" else 10
    rate = {"DeepChrome": 1e-3, "AttentiveChrome": 2e-2, "DeepDiff": 2e-2}.get(name, 5e-3)
    recipe = BaselineRecipe(epochs=120, learning_rate=rate, batch_size=batch, select=False)
    network, _ = networks.train_network(model, prepared, np.arange(20), np.arange(0), recipe, task)
    output = networks.outputs_of(network, prepared.inputs, np.arange(20))
    metrics = evaluate_scores(prepared.target, model.predicted_values(output, task).numpy(), task, draws=0)
    assert metrics["auc"]["value"] == 1 if task == "classification" else metrics["pearson_r"]["value"] > 0.95


@pytest.mark.parametrize("name", IN_BINS)
def test_each_network_learns_and_its_run_reproduces_its_predictions(name, store, tmp_path):
    metrics = fit(name, store, tmp_path / "run")
    assert metrics["auc"]["value"] > 0.8
    assert verify(tmp_path / "run") == []
    saved = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    pd.testing.assert_frame_equal(baselines.predict(tmp_path / "run", store), saved)
    assert saved["held_out"].equals(saved["fold"] == 1)


@pytest.mark.parametrize("name", ["DeepChrome", "ridge regression", "gradient-boosted trees"])
def test_regressors_learn(name, store, tmp_path):
    assert fit(name, store, tmp_path / "run", task="regression")["pearson_r"]["value"] > 0.5


@pytest.mark.parametrize("name", IN_BINS)
def test_labels_of_the_held_out_fold_do_not_affect_the_weights(name, store, tmp_path):
    recipe = {"epochs": 2, "batch_size": 16, "optimiser": "adam", "learning_rate": 1e-3}
    fit(name, store, tmp_path / "run", recipe=recipe)
    changed = Store(store)
    out = (changed.genes["fold"] == 1).to_numpy()
    changed.genes.loc[out, "label"] = 1 - changed.genes.loc[out, "label"]
    fit(name, changed, tmp_path / "other", recipe=recipe)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (
        tmp_path / "other" / "model.safetensors"
    ).read_bytes()
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["validation"] and not set(config["validation"]) & set(changed.genes.loc[out, "chrom"])


@pytest.mark.parametrize("stop", [3, 11])  # while the epoch is chosen, and while the network is refitted
def test_resumed_training_matches_uninterrupted_training(store, tmp_path, monkeypatch, stop):
    fit("DeepChrome", store, tmp_path / "whole")
    clock = iter(range(0, 10**6, 100))
    monkeypatch.setattr(
        networks, "time", SimpleNamespace(monotonic=lambda: next(clock))
    )  # every epoch is saved
    save, saved = networks._save_state, []

    def save_and_stop(*arguments):
        save(*arguments)
        saved.append(1)
        if len(saved) == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(networks, "_save_state", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        fit("DeepChrome", store, tmp_path / "cut")
    with pytest.raises(InputError, match="other settings"):
        fit("DeepChrome", store, tmp_path / "cut", seed=1)
    fit("DeepChrome", store, tmp_path / "cut")
    for name in ("model.safetensors", "history.csv", "metrics.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    with pytest.raises(InputError, match="complete run"):
        fit("DeepChrome", store, tmp_path / "cut")


def test_refitting_trains_on_all_training_genes_for_the_chosen_number_of_epochs(store, tmp_path, monkeypatch):
    train, read = networks._train_epoch, []

    def count(network, optimiser, baseline, prepared, target, rows, recipe, task):
        read.append(sorted(rows.tolist()))
        return train(network, optimiser, baseline, prepared, target, rows, recipe, task)

    monkeypatch.setattr(networks, "_train_epoch", count)
    changed = Store(store)
    unknown = changed.genes.index[changed.genes["fold"] == 2][0]
    changed.genes.loc[unknown, "label"] = -1
    fit("DeepChrome", changed, tmp_path / "run")
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    selection, refit = history[history["stage"] == "selection"], history[history["stage"] == "refit"]
    chosen = int(np.argmax(selection["validation_auc"])) + 1
    assert len(selection) == 10 and refit["epoch"].tolist() == list(range(1, chosen + 1))
    assert refit["validation_auc"].isna().all()
    genes = changed.genes
    known = (genes["fold"] != 1) & (genes["label"] >= 0)
    validation = json.loads((tmp_path / "run" / "config.json").read_text())["validation"]
    first = np.flatnonzero(known & ~genes["chrom"].isin(validation))
    assert 0 < len(first) < known.sum() and all(rows == first.tolist() for rows in read[:10])
    assert len(read) == 10 + chosen and all(rows == np.flatnonzero(known).tolist() for rows in read[10:])
    for name, place in (("config.json", ()), ("provenance.json", ("parameters",))):
        record = json.loads((tmp_path / "run" / name).read_text())
        for key in place:
            record = record[key]
        assert record["chosen_epoch"] == chosen
    plain = {"epochs": chosen, "batch_size": 16, "optimiser": "adam", "select": False}
    fit("DeepChrome", changed, tmp_path / "plain", recipe=plain)
    predicted = [pd.read_parquet(tmp_path / run / "predictions.parquet")["score"] for run in ("run", "plain")]
    assert np.array_equal(*predicted)


def test_fast_recipes_refit_and_published_recipes_do_only_if_asked():
    for model in baselines.BASELINES.values():
        if model.recipes:
            selects = model.recipes["published"].select
            assert model.recipes["fast"].refits == selects
            assert not model.recipes["published"].refits
            for asked in ("refitted", {"refit": True}):
                assert asdict(model.with_recipe(asked)) == asdict(model.recipes["published"]) | {
                    "refit": True
                }
                assert model.with_recipe(asked).refits == selects


def test_a_run_of_a_version_without_refitting_is_still_read(store, tmp_path):
    fit("DeepChrome", store, tmp_path / "run", recipe={"epochs": 2, "batch_size": 16, "optimiser": "adam"})
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    del config["recipe"]["refit"], config["chosen_epoch"]
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    saved = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    pd.testing.assert_frame_equal(baselines.predict(tmp_path / "run", store), saved)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_trees_read_all_genes_also_of_more_than_ten_thousand(task):
    random = np.random.default_rng(0)
    features = random.normal(size=(10_500, 2))
    target = (features[:, 0] > 0).astype(float)
    prepared = Prepared(pd.DataFrame({"gene_id": range(10_500)}), target, features, ("a", "b"))
    fitted = shallow.Shallow("gradient-boosted trees").fitted(prepared, np.arange(10_500), task)
    assert fitted.n_iter_ == 100 and not fitted.do_early_stopping_ and len(fitted.validation_score_) == 0


@pytest.mark.parametrize("name", ["logistic regression", "gradient-boosted trees"])
def test_trainings_of_a_shallow_model_without_random_numbers_are_equal(name, store, tmp_path):
    for seed in (0, 1):
        fit(name, store, tmp_path / f"seed{seed}", seed=seed)
    first, second = (pd.read_parquet(tmp_path / f"seed{seed}" / "predictions.parquet") for seed in (0, 1))
    pd.testing.assert_frame_equal(first, second)


def four_folds(task, unknown=()):
    "Features and targets of 400 genes in four folds."
    random = np.random.default_rng(2)
    features = random.normal(size=(400, 6))
    target = features[:, 0] + random.normal(size=400)
    target = (target > 0).astype(float) if task == "classification" else target
    target[list(unknown)] = np.nan
    return features, target, np.repeat([1, 2, 3, 4], 100)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.slow
def test_settings_of_trees_are_chosen_by_the_score_of_the_inner_fold(task):
    features, target, fold = four_folds(task, unknown=[5, 150, 250])
    grid = {"learning_rate": [0.05, 0.3], "max_leaf_nodes": [4, 8], "max_features": [0.5]}
    sets = {"all": features, "noise": features[:, 1:]}
    tried = shallow.tune_trees(sets, target, fold, 1, 2, task, grid, most_trees=30, seed=3)
    assert len(tried) == 2 * 4 and tried.loc[tried["score"].idxmax(), "features"] == "all"
    kind = HistGradientBoostingClassifier if task == "classification" else HistGradientBoostingRegressor
    known = np.isfinite(target)
    training, scored = known & np.isin(fold, [3, 4]), known & (fold == 2)
    for row in tried.itertuples():
        by_number = []
        for trees in range(1, 31):
            model = kind(
                max_iter=trees, random_state=3, early_stopping=False, **json.loads(row.settings)
            ).fit(sets[row.features][training], target[training])
            if task == "classification":
                predicted = model.predict_proba(sets[row.features][scored])[:, 1]
                by_number.append(roc_auc_score(target[scored], predicted))
            else:
                predicted = model.predict(sets[row.features][scored])
                by_number.append(np.corrcoef(target[scored], predicted)[0, 1])
        assert row.score == pytest.approx(max(by_number)) == pytest.approx(by_number[row.trees - 1])


def test_tuned_trees_never_read_the_held_out_fold_and_are_fitted_on_all_others():
    features, target, fold = four_folds("classification", unknown=[150])
    grid = {"learning_rate": [0.1], "max_features": [0.5]}
    settings = {"learning_rate": 0.1, "max_features": 0.5}
    other_features, other_target = features.copy(), target.copy()
    other_features[:100] += 5
    other_target[:100] = 1 - other_target[:100]
    tried = [
        shallow.tune_trees({"all": values}, known, fold, 1, 2, "classification", grid, 20)
        for values, known in ((features, target), (other_features, other_target))
    ]
    pd.testing.assert_frame_equal(*tried)
    found = shallow.predict_with_trees(features, target, fold, 1, "classification", settings, 20, [4, 5])
    again = shallow.predict_with_trees(
        features, other_target, fold, 1, "classification", settings, 20, [4, 5]
    )
    assert np.array_equal(found, again) and not np.array_equal(found[0], found[1])
    training = np.isfinite(target) & (fold != 1)
    assert training.sum() == 299
    for seed, values in zip((4, 5), found):
        model = HistGradientBoostingClassifier(
            max_iter=20, random_state=seed, early_stopping=False, **settings
        ).fit(features[training], target[training])
        assert np.array_equal(values, model.predict_proba(features[:100])[:, 1])
    for held_out, inner in ((1, 1), (1, 9)):
        with pytest.raises(InputError, match="cannot be chosen"):
            shallow.tune_trees({"all": features}, target, fold, held_out, inner, "classification", grid)


def test_genes_without_a_target_are_predicted_out_of_fold_but_not_learned_from():
    features, target, fold = four_folds("classification", unknown=[5, 150])
    model = shallow.SHALLOW["classification"]["logistic regression"]
    found = shallow.out_of_fold(model, features, target, fold)
    known = np.isfinite(target)
    rest = shallow.out_of_fold(model, features[known], target[known], fold[known])
    assert np.isfinite(found).all() and np.allclose(found[known], rest)


def test_shallow_models_are_fitted_again_to_predict_another_store(store, tmp_path):
    fit("gradient-boosted trees", store, tmp_path / "run")
    other = write_toy_store(tmp_path / "other.h5", seed=3)
    table = baselines.predict(tmp_path / "run", other)
    assert evaluate_scores(table["target"], table["score"], "classification", draws=0)["auc"]["value"] > 0.8
    pd.testing.assert_frame_equal(
        baselines.predict(tmp_path / "run", store), pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    )


@pytest.mark.parametrize("trained_with_contacts", [True, False])
def test_a_shallow_model_names_stores_of_which_only_one_has_contacts(store, tmp_path, trained_with_contacts):
    genes, pcres = toy_tables()
    without = write_toy_store(tmp_path / "without.h5", genes=genes, pcres=pcres.iloc[:0])
    trained, other = (store, without) if trained_with_contacts else (without, store)
    fit("gradient-boosted trees", trained, tmp_path / "run", settings={"parts": 4})
    with pytest.raises(InputError, match="only one of it .* has contacts") as error:
        baselines.predict(tmp_path / "run", other)
    assert str(other) in str(error.value) and str(trained) in str(error.value)


def test_damaged_weights_of_a_baseline_are_named(store, tmp_path):
    fit("DeepChrome", store, tmp_path / "run", recipe={"epochs": 1})
    weights = tmp_path / "run" / "model.safetensors"
    for content in (weights.read_bytes()[:-9], b"", None):
        weights.unlink() if content is None else weights.write_bytes(content)
        with pytest.raises(InputError, match="weights cannot be read") as error:
            baselines.predict(tmp_path / "run", store)
        assert str(weights) in str(error.value)


def test_no_held_out_fold_is_refused(store, tmp_path):
    with pytest.raises(InputError, match="no gene is in fold"):
        baselines.fit("DeepChrome", store, tmp_path / "run", [], settings=settings_of("DeepChrome", store))


def test_validation_genes_without_expression_cannot_choose_an_epoch(tmp_path):
    genes, pcres = toy_tables()
    genes.loc[genes["chrom"] == "chr7", ["expression", "label"]] = np.nan, -1
    store = write_toy_store(tmp_path / "toy.h5", genes=genes, pcres=pcres, learnable=False)
    recipe = Recipe(epochs=1, batch_size=16, patience=2)
    with pytest.raises(InputError, match="chr7 has a known target"):
        fit_network(store, tmp_path / "network", 1, SMALL, recipe, validation=["chr7"], progress=False)
    with pytest.raises(InputError, match="chr7 has a known target"):
        fit("DeepChrome", store, tmp_path / "run", validation=["chr7"], recipe={"epochs": 1})


def test_promoter_bins_equal_those_of_chromoformer(store):
    data = GeneDataset(Store(store))
    rows = np.flatnonzero(
        (data._span[:, 0] == 0).numpy() & (data._span[:, 1] == data.window).numpy()
    )  # windows inside their chromosome
    expected = data.batch(rows).promoter_features(500)[0].transpose(1, 2)
    assert torch.allclose(promoter_bins(data, 4000, 500, log=True)[rows], expected, atol=1e-5)
    raw = promoter_bins(data, 2000, 100)
    assert raw.shape == (len(data), 2, 20) and torch.allclose(
        raw.mean((0, 2))[1], torch.tensor(1.0), atol=0.1
    )  # one read a base
    with pytest.raises(InputError, match="whole bins"):
        promoter_bins(data, 3900, 100)


def test_unsuitable_models_settings_and_tasks_are_refused_with_the_reason(store, tmp_path):
    for name, options, reason in (
        ("DeepDiff", {}, "regression only"),
        ("GC-MERGE", {}, "needs the manifest"),
        ("whole-gene trees", {}, "needs the manifest"),
        ("nothing", {}, "no baseline"),
        ("DeepChrome", {"settings": {"windows": 1}}, "no settings windows"),
        ("DeepChrome", {"recipe": "quick"}, "no recipe"),
        ("DeepChrome", {"settings": None}, "window of 10000 bp does not lie"),
        ("HM-CRNN", {"task": "both"}, "made for"),
    ):
        with pytest.raises(InputError, match=reason):
            fit(name, store, tmp_path / "run", **options)
    with pytest.raises(InputError, match="reads 2 cell types"):
        fit("DeepDiff", store, tmp_path / "run", task="regression")
    assert not (tmp_path / "run").exists()


def test_deepdiff_reads_the_difference_of_two_cell_types(store, tmp_path):
    genes, pcres = toy_tables()
    drawn = toy_tables(seed=1)[0].set_index("gene_id").loc[genes["gene_id"], ["expression", "label"]]
    genes = genes.assign(**{name: column.to_numpy() for name, column in drawn.items()})
    other = write_toy_store(tmp_path / "other.h5", 1, genes, pcres)
    model = baselines.BASELINES["DeepDiff"]
    settings = {"window": 4000, "bin_size": 100, "log": True}
    one, two = Store(store), Store(other)
    there, back = (
        model.prepare([one, two], "regression", settings),
        model.prepare([two, one], "regression", settings),
    )
    shared = there.genes.merge(back.genes[["gene_id"]].assign(row=np.arange(len(back))), on="gene_id")[
        "row"
    ].to_numpy()
    assert np.allclose(there.target, -back.target[shared]) and torch.allclose(
        there.inputs, -back.inputs[torch.tensor(shared)]
    )
    expression = np.log2(two.genes["expression"] + 1) - np.log2(one.genes["expression"] + 1)
    assert np.allclose(there.target, expression, atol=1e-5)
    metrics = baselines.fit(
        "DeepDiff",
        [store, other],
        tmp_path / "run",
        1,
        task="regression",
        settings=settings,
        progress=False,
        recipe={"epochs": 12, "learning_rate": 5e-3, "batch_size": 16},
    )
    assert metrics["pearson_r"]["value"] > 0.4


def test_whole_gene_trees_predict_another_cell_type_when_they_get_both_manifests(toy, toy_store, tmp_path):
    for fold in (1, 2):
        baselines.fit(
            "whole-gene trees",
            toy_store,
            tmp_path / f"fold{fold}",
            fold,
            manifest=toy / "cellA.yaml",
            progress=False,
        )
    runs = [tmp_path / "fold1", tmp_path / "fold2"]
    again = baselines.predict(runs, toy_store, manifest=toy / "cellA.yaml")
    stored = pd.concat(pd.read_parquet(run / "predictions.parquet") for run in runs).query("held_out")
    both = again.merge(stored, on="gene_id", suffixes=("", "_stored"))
    assert len(both) == len(again) and np.allclose(both["score"], both["score_stored"])
    copy = shutil.copy(toy_store, tmp_path / "elsewhere.h5")
    with pytest.raises(InputError, match="needs the manifest of its training store"):
        baselines.predict(runs, copy, manifest=toy / "cellA.yaml")
    there = baselines.predict(runs, copy, manifest=toy / "cellA.yaml", trained_manifest=toy / "cellA.yaml")
    assert np.allclose(there["score"], again["score"])
    with pytest.raises(InputError, match="needs the manifest"):
        baselines.predict(runs, toy_store)
    manifest = read_manifest(toy / "cellA.yaml")
    fewer = manifest.model_copy(update={"channels": manifest.channels[1:]})
    with pytest.raises(InputError, match="give the manifest that the store was built from"):
        baselines.predict(runs, toy_store, manifest=fewer)


@pytest.mark.parametrize("name", ["whole-gene trees", "GC-MERGE"])
def test_the_manifest_of_another_cell_type_is_refused(name, toy_store, tmp_path):
    "Channels and files have the same names, so only the content differs."
    simulate(tmp_path / "other", genes=60, cell_types=["cellA"], seed=1, progress=False)
    with pytest.raises(InputError, match="is not the file .* that the store was built from"):
        baselines.fit(
            name, toy_store, tmp_path / "run", 1, manifest=tmp_path / "other" / "cellA.yaml", progress=False
        )
    assert not (tmp_path / "run").exists()


def test_a_shallow_model_is_fitted_again_on_its_own_training_store_only(tmp_path):
    "Another store at the same place, a missing one, and one that was named wrongly."
    place = tmp_path / "stores" / "cell.h5"
    place.parent.mkdir()
    genes, pcres = toy_tables(per_chrom=40)
    write_toy_store(place, seed=0, genes=genes, pcres=pcres)
    new = write_toy_store(tmp_path / "new.h5", seed=2, genes=genes, pcres=pcres)
    run = tmp_path / "run"
    baselines.fit("logistic regression", place, run, 1, progress=False)
    expected = baselines.predict(run, new)["score"]
    shutil.copy(place, tmp_path / "moved.h5")
    shutil.copy(new, place)
    with pytest.raises(InputError, match="other content"):
        baselines.predict(run, new)
    place.unlink()
    with pytest.raises(InputError, match=r"cell\.h5 is missing") as refused:
        baselines.predict(run, new)
    assert str(run) in str(refused.value) and "--trained-with" in str(refused.value)
    with pytest.raises(InputError, match="other content"):
        baselines.predict(run, new, trained_with=new)
    assert np.allclose(baselines.predict(run, new, trained_with=tmp_path / "moved.h5")["score"], expected)


def test_a_shallow_model_of_some_channels_is_fitted_again_on_these(store, tmp_path):
    other = write_toy_store(tmp_path / "other.h5", seed=1)
    some = Store(store).channels[1:3]
    baselines.fit("logistic regression", Store(store, some), tmp_path / "run", 1, progress=False)
    there = baselines.predict(tmp_path / "run", Store(other, some))
    assert there["score"].between(0, 1).all() and there["score"].std() > 0


def test_runs_of_two_tasks_are_not_joined(store, tmp_path):
    for task, fold, name in (
        ("classification", 1, "logistic regression"),
        ("regression", 2, "ridge regression"),
    ):
        baselines.fit(name, store, tmp_path / f"fold{fold}", fold, task=task, progress=False)
    with pytest.raises(InputError, match="cannot be joined in one table"):
        baselines.predict([tmp_path / "fold1", tmp_path / "fold2"], store)


def test_the_graph_is_built_from_tracks_and_contacts(toy, toy_store, tmp_path):
    manifest = read_manifest(toy / "cellA.yaml")
    prepared = baselines.BASELINES["GC-MERGE"].prepare(
        [Store(toy_store)], "classification", baselines.BASELINES["GC-MERGE"].settings, manifest
    )
    graph, genes = prepared.inputs, prepared.genes
    degree = np.diff(graph.mean.indptr)
    assert degree.max() <= 10 and np.allclose(graph.mean.sum(1)[degree > 0], 1) and graph.features.max() == 1
    sizes = {
        line.split()[0]: int(line.split()[1])
        for line in (toy / "genomes" / "toy.chrom.sizes").read_text().splitlines()
    }
    nodes = Nodes(sizes)
    of_gene = graph.gene_node[7]
    chrom = genes["chrom"][7]
    assert nodes.first[chrom] + genes["tss"][7] // 10_000 == of_gene
    depth = node_features(manifest, nodes, log=True)[of_gene, 0]
    from chromoformer.data.tracks import bin_means

    start = int(genes["tss"][7] // 10_000 * 10_000)
    region = pd.DataFrame({"chrom": [chrom], "start": [start], "end": [min(start + 10_000, sizes[chrom])]})
    assert np.isclose(
        depth, np.log1p(bin_means(toy / "cellA" / "H3K4me1.bigWig", region, 10_000, sizes)[0]), rtol=1e-5
    )
    fewer = manifest.model_copy(update={"leave_out": [list(sizes)[-1]]})
    assert set(nodes_of(fewer, 10_000).sizes) == set(
        list(sizes)[:-1]
    )  # tracks may lack the chromosomes that the manifest leaves out
    hic = node_contacts(manifest, nodes, 10, f"{toy / 'cellA' / 'hic.mcool'}")
    assert hic.nnz > graph.mean.nnz and np.diff(hic.indptr).max() == 10
    none = manifest.model_copy(update={"contacts": manifest.contacts.model_copy(update={"kind": "none"})})
    with pytest.raises(InputError, match="no measured contacts to make a graph of"):
        node_contacts(none, nodes, 10)


def test_a_run_of_gcmerge_is_kept_for_its_contacts_only(toy, toy_store, tmp_path):
    described = read_manifest(toy / "cellA.yaml")
    path = tmp_path / "contacts.tsv.gz"
    shutil.copy(described.contacts.path, path)
    manifest = described.model_copy(
        update={"contacts": described.contacts.model_copy(update={"path": str(path)})}
    )

    def train(**changes):
        options = {"recipe": {"epochs": 1, "select": False}, "manifest": manifest, "keep": True}
        options |= {"progress": False} | changes
        return baselines.fit("GC-MERGE", toy_store, tmp_path / "run", 1, **options)

    train()
    recorded = json.loads((tmp_path / "run" / "provenance.json").read_text())["inputs"]
    assert [entry["name"] for entry in recorded.values()] == [toy_store.name, "contacts.tsv.gz"]
    assert train() == train(manifest=described), "the same contacts at another place"
    baselines.predict(tmp_path / "run", toy_store, manifest=manifest)
    table = pd.read_csv(path, sep="\t")
    table.iloc[:-20].to_csv(path, sep="\t", index=False)
    with pytest.raises(InputError, match="other settings"):
        train()
    with pytest.raises(InputError, match="other settings"):
        train(settings={"hic": str(toy / "cellA" / "hic.mcool")})
    with pytest.raises(InputError, match="missing.mcool"):
        train(settings={"hic": str(tmp_path / "missing.mcool")})


def test_only_the_strongest_contacts_of_each_bin_become_edges():
    random = np.random.default_rng(0)
    first, second, score = random.integers(0, 30, 400), random.integers(0, 30, 400), random.random(400)
    mean = strongest(first, second, score, 30, 4).toarray()
    best = np.zeros((30, 30))
    np.maximum.at(best, (first, second), score)
    best = np.maximum(best, best.T)
    np.fill_diagonal(best, 0)
    for node in range(30):
        assert set(np.flatnonzero(mean[node])) == set(np.argsort(-best[node])[:4])


def test_of_equally_strong_contacts_the_nearest_become_edges():
    distance = np.r_[np.arange(1, 20), 25, 28]
    first, second = np.r_[30 - distance, 30 + 0 * distance], np.r_[30 + 0 * distance, 30 + distance]
    order = np.random.default_rng(0).permutation(len(first))
    mean = strongest(first[order], second[order], np.ones(len(order)), 60, 6)
    assert set(mean[30].indices) == {27, 28, 29, 31, 32, 33}


BINS = 3000


@pytest.fixture(scope="module", params=["raw", "balanced"])
def sparse_hic(request, tmp_path_factory):
    "A sparse map of a chromosome of 30 Mb in bins of 10 kb, with 100 loops 100 to 600 kb apart."
    import cooler

    random = np.random.default_rng(1)
    distance = np.arange(1, BINS)
    apart = np.repeat(distance, random.poisson(20 / distance * (BINS - distance)))
    left = random.integers(0, BINS - apart)
    loop_left = random.integers(0, BINS - 60, 100)
    loop_right = loop_left + random.integers(10, 60, 100)
    on_diagonal = np.arange(BINS).repeat(50)
    one = np.r_[left, loop_left.repeat(15), on_diagonal]
    other = np.r_[left + apart, loop_right.repeat(15), on_diagonal]
    pair, count = np.unique(one * BINS + other, return_counts=True)
    bins = pd.DataFrame({"chrom": "1", "start": np.arange(BINS) * 10_000})
    bins["end"] = bins["start"] + 10_000
    path = str(tmp_path_factory.mktemp("hic") / "sparse.cool")
    pixels = pd.DataFrame({"bin1_id": pair // BINS, "bin2_id": pair % BINS, "count": count})
    cooler.create_cooler(path, bins, pixels)
    balance = "weight" if request.param == "balanced" else False
    if balance:
        cooler.balance_cooler(cooler.Cooler(path), store=True)
    matrix = np.nan_to_num(cooler.Cooler(path).matrix(balance=balance)[:])
    return path, balance, loop_left, loop_right, matrix


def graph_of(path, balance, neighbours=10):
    "The edges that GC-MERGE makes of a cooler."
    contacts = SimpleNamespace(kind="cool", path=path, balance=balance, divisive=None)
    manifest = SimpleNamespace(name="sparse", contacts=contacts)
    return node_contacts(manifest, Nodes({"chr1": BINS * 10_000}), neighbours)


def edges_by(score, neighbours=10):
    "The strongest positive scores of each row of a whole matrix, without regard to ties."
    score = np.where(np.eye(BINS, dtype=bool), 0, score)
    threshold = np.sort(score, 1)[:, -neighbours]
    return score, threshold


def test_edges_of_a_sparse_map_are_its_loops_and_short(sparse_hic):
    path, balance, left, right, matrix = sparse_hic
    graph = graph_of(path, balance)
    one, other = graph.nonzero()
    found = np.asarray(graph[left, right]).ravel() > 0
    assert found.mean() > 0.9 and np.median(abs(one - other)) * 10_000 < 500_000
    # The old rule: observed over expected.
    distance = abs(np.subtract.outer(np.arange(BINS), np.arange(BINS)))
    mean = np.array([np.diagonal(matrix, apart).mean() for apart in range(BINS)])
    score, threshold = edges_by(matrix / np.maximum(mean, 1e-12)[distance])
    one, other = np.nonzero(score >= threshold[:, None])
    assert np.median(abs(one - other)) * 10_000 > 5_000_000
    assert (score[left, right] >= threshold[left]).mean() < 0.05


def test_edges_are_the_counts_farthest_above_the_median_of_their_diagonal(sparse_hic, monkeypatch):
    path, balance, _, _, matrix = sparse_hic
    usable = np.ones(BINS, bool)
    if balance:
        import cooler

        usable = np.isfinite(cooler.Cooler(path).bins()["weight"][:].to_numpy())
    median = np.zeros(BINS)
    for apart in range(BINS):
        pairs = usable[: BINS - apart] & usable[apart:]
        if pairs.any():
            median[apart] = np.median(np.diagonal(matrix, apart)[pairs])
    distance = abs(np.subtract.outer(np.arange(BINS), np.arange(BINS)))
    score, threshold = edges_by(np.maximum(matrix - median[distance], 0))
    graph = graph_of(path, balance)
    one, other = graph.nonzero()
    assert (score[one, other] > 0).all()
    assert (score[one, other] >= threshold[one] * (1 - 1e-9)).all()  # none is weaker than the tenth
    degree = np.diff(graph.indptr)
    assert (degree == np.minimum((score > 0).sum(1), 10)).all()
    monkeypatch.setattr("chromoformer.data.coolers.PIECE", 9_999)
    monkeypatch.setattr("chromoformer.data.coolers._HELD", 20_000)
    assert (graph_of(path, balance) != graph).nnz == 0  # pieces do not matter


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [*IN_BINS, "GC-MERGE", "logistic regression", "gradient-boosted trees", "whole-gene trees"]
)
def test_each_baseline_learns_the_toy_epigenome(name, tmp_path_factory, tmp_path):
    from chromoformer.data.build import build_store
    from chromoformer.simulate.epigenome import simulate

    folder = tmp_path_factory.getbasetemp() / "toy400"
    if not folder.exists():
        simulate(folder, 400, cell_types=["cellA"], hic=False, progress=False)
        build_store(folder / "cellA.yaml", folder / "cellA.h5", progress=False)
    metrics = baselines.fit(
        name,
        folder / "cellA.h5",
        tmp_path / "run",
        1,
        recipe="fast",
        manifest=folder / "cellA.yaml",
        progress=False,
    )
    assert metrics["auc"]["value"] > 0.7


def test_a_shallow_model_does_not_replace_an_interrupted_run_of_another(store, tmp_path, monkeypatch):
    with interrupted_in_the_second_epoch(monkeypatch):
        fit_network(store, tmp_path / "one", 1, SMALL, Recipe(epochs=2, batch_size=16), progress=False)
    before = (tmp_path / "one" / "state.pt").read_bytes()
    with pytest.raises(InputError, match=r"already holds a model \(state\.pt"):
        baselines.fit("ridge regression", store, tmp_path / "one", 1, task="regression", progress=False)
    with pytest.raises(InputError, match="other settings"):
        fit("DeepChrome", store, tmp_path / "one")
    assert (tmp_path / "one" / "state.pt").read_bytes() == before
    assert not (tmp_path / "one" / "config.json").exists()


def test_an_interrupted_shallow_model_is_fitted_again(store, tmp_path):
    options = {"task": "regression", "progress": False}
    one = baselines.fit("ridge regression", store, tmp_path / "run", 1, **options)
    (tmp_path / "run" / "provenance.json").unlink()
    assert baselines.fit("ridge regression", store, tmp_path / "run", 1, **options) == one
    (tmp_path / "run" / "provenance.json").unlink()
    with pytest.raises(InputError, match="already holds a model"):
        baselines.fit("logistic regression", store, tmp_path / "run", 1, progress=False)


def test_a_complete_baseline_is_kept_only_with_the_same_settings(store, tmp_path):
    def train(held_out=1, **changes):
        options = {"task": "regression", "keep": True, "progress": False} | changes
        return baselines.fit("ridge regression", store, tmp_path / "run", np.int64(held_out), **options)

    one = train()
    before = (tmp_path / "run" / "predictions.parquet").stat().st_mtime_ns
    assert train() == train(seed=np.int64(0)) == one
    assert (tmp_path / "run" / "predictions.parquet").stat().st_mtime_ns == before
    for changes in ({"held_out": 2}, {"seed": 4}, {"leave_out": ["chr9"]}):
        with pytest.raises(InputError, match="other settings"):
            train(**changes)
    with pytest.raises(InputError, match="complete run"):
        train(keep=False)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics))
    assert "metrics.json" in "".join(verify(tmp_path / "run"))


def test_models_are_fitted_again_on_the_genes_and_channels_of_their_training(store, tmp_path):
    options = {"settings": {"parts": 2, "pcres": False}, "progress": False, "keep": True}
    opened = Store(store)
    other = opened.replace(genes=opened.genes.assign(label=1 - opened.genes["label"]))
    baselines.fit("logistic regression", opened, tmp_path / "run", 1, **options)
    with pytest.raises(InputError, match="store contents differ|other settings"):
        baselines.fit("logistic regression", other, tmp_path / "run", 1, **options)
    baselines.fit("logistic regression", other, tmp_path / "other", 1, **options)
    with pytest.raises(InputError, match="has other content"):
        baselines.predict(tmp_path / "other", store)
    again = baselines.predict(tmp_path / "other", store, trained_with=[other])
    kept = pd.read_parquet(tmp_path / "other" / "predictions.parquet")
    assert np.allclose(again["score"], kept["score"])

    turned = Store(store, channels=opened.channels[::-1])
    baselines.fit("logistic regression", turned, tmp_path / "turned", 1, **options)
    second = write_toy_store(store.parent / "second.h5", seed=3)
    one = baselines.predict(tmp_path / "run", second)
    two = baselines.predict(tmp_path / "turned", Store(second, channels=opened.channels[::-1]))
    assert np.allclose(one["score"], two["score"], atol=1e-4)


def test_each_store_has_the_folds_of_its_own_genome(store, tmp_path):
    "The genes of a second genome, whose chromosomes have other folds, are put into these."
    genes, pcres = toy_tables()
    moved = genes.assign(fold=genes["fold"] % 4 + 1)
    other = write_toy_store(tmp_path / "other.h5", genes=moved, pcres=pcres)
    with h5py.File(other, "r+") as file:
        file.attrs["genome"] = "mm10"
    options = {"task": "regression", "progress": False}
    baselines.fit("ridge regression", [store, other], tmp_path / "run", 1, **options)
    table = baselines.predict(tmp_path / "run", [store, other])
    for name, part in table.groupby("store"):
        assert set(part.loc[part["held_out"], "chrom"]) == ({"chr9"} if name == "other" else {"chr1"})
