"""Experiment notebooks find the rules planted in a toy epigenome and refuse models that do not fit."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import run_notebook
from papermill.exceptions import PapermillExecutionError

from chromoformer.data.build import build_store
from chromoformer.data.store import Store
from chromoformer.demo import NETWORK, RECIPE
from chromoformer.experiments.cross_cell_type import read_orthologs, transfer, transfer_matrix
from chromoformer.experiments.links import judge_rankings
from chromoformer.experiments.retrain import with_shuffled_labels
from chromoformer.interpret.attention import (
    attention_by_part,
    body_preferences,
    tss_attention,
    tss_states,
)
from chromoformer.interpret.gene import withhold_each
from chromoformer.metrics import blocks_of, mean_interval
from chromoformer.simulate.epigenome import simulate
from chromoformer.training.fit import fit
from chromoformer.training.recipe import network_and_recipe
from chromoformer.training.run_folder import read_predictions, settings_of

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def epigenome(tmp_path_factory):
    "Three cell types of 600 genes, of two species."
    return simulate(tmp_path_factory.mktemp("epigenome") / "toy", 600, tagalign=[], progress=False)


@pytest.fixture(scope="module")
def stores(epigenome, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    for name in ("cellA", "cellB", "other"):
        build_store(epigenome / f"{name}.yaml", folder / f"{name}.h5", progress=False)
    return {name: str(folder / f"{name}.h5") for name in ("cellA", "cellB", "other")}


def trained(store, folder, folds=(1, 2, 3, 4), epochs=20, **network):
    config, recipe = network_and_recipe(
        Store(store) if isinstance(store, str) else store,
        NETWORK | network,
        RECIPE | {"epochs": epochs, "decay": 0.9},
    )
    for fold in folds:
        fit(store, folder / f"fold{fold}", fold, config, recipe, measure=False, progress=False)
    return [str(folder / f"fold{fold}") for fold in folds]


@pytest.fixture(scope="module")
def runs(stores, tmp_path_factory):
    return trained(stores["cellA"], tmp_path_factory.mktemp("runs"))


def test_planted_links_are_found_with_their_signs(epigenome, stores, runs):
    effects = withhold_each(runs, stores["cellA"])
    planted = (
        pd.read_parquet(epigenome / "truth" / "links.parquet")
        .query("cell_type == 'cellA'")
        .rename(columns={"effect": "planted"})
    )
    effects = effects.merge(
        planted[["gene_id", "chrom", "start", "end", "planted"]], on=["gene_id", "chrom", "start", "end"]
    )
    active = effects[effects["planted"] != 0]
    assert ((active["effect"] > 0) == (active["planted"] > 0)).mean() >= 0.9
    without_model = {
        "distance": -effects["distance"].abs().to_numpy(float),
        "contact": effects["contact"].to_numpy(float),
    }
    for ranking, positive in (
        (effects["effect"], effects["planted"] > 0),
        (effects["effect"].abs(), effects["planted"] != 0),
    ):
        judged = judge_rankings(
            {"effect": ranking.to_numpy()} | without_model, positive.to_numpy(), 100
        ).set_index("ranking")
        assert judged.loc["effect", "low"] > judged.loc[["distance", "contact"], "high"].max()


def test_attention_of_active_genes_prefers_the_body_more_than_with_shuffled_labels(stores, runs, tmp_path):
    store = Store(stores["cellA"])
    shuffled = trained(with_shuffled_labels(store), tmp_path / "shuffled")
    states = tss_states(store)
    active = states.loc[states["state"] == 3, "gene_id"]
    real, control = (
        mean_interval(
            body_preferences(attention_by_part(tss_attention(folders, store))).loc[active],
            blocks_of(store.genes.set_index("gene_id").loc[active]),
        )
        for folders in (runs, shuffled)
    )
    assert real["low"] > max(1, control["high"])


def test_models_of_the_related_cell_type_predict_better_than_those_of_the_other_species(
    epigenome, stores, runs, tmp_path
):
    folders = {"cellA": runs} | {
        name: trained(stores[name], tmp_path / name, epochs=8) for name in ("cellB", "other")
    }
    matrix = transfer_matrix(
        transfer(folders, stores, read_orthologs(epigenome / "orthologs.tsv", ["toy", "other"]))
    ).set_index(["trained", "tested"])["relative"]
    assert (
        matrix["cellB", "cellA"] > matrix["other", "cellA"]
        and matrix["cellA", "cellB"] > matrix["other", "cellB"]
    )


def test_inverted_compartments_contradict_the_planted_ones(epigenome, stores, tmp_path):
    truth = tmp_path / "truth"
    truth.mkdir()
    planted = pd.read_parquet(epigenome / "truth" / "compartments.parquet")
    planted.assign(compartment=-planted["compartment"]).to_parquet(truth / "compartments.parquet")
    common = {"store": stores["cellA"], "manifest": str(epigenome / "cellA.yaml")}
    right = run_notebook("compartments", tmp_path / "right", **common, truth=str(epigenome / "truth"))
    inverted = run_notebook("compartments", tmp_path / "inverted", **common, truth=str(truth))
    assert right["r with planted"]["low"] > 0.9 and inverted["r with planted"]["high"] < -0.9
    assert right["r with expression"] == pytest.approx(
        inverted["r with expression"]
    )  # one sum in another order
    assert right["r with expression"]["low"] < right["r with expression"]["value"]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_notebook_runs_and_the_report_collects_their_results(epigenome, stores, tmp_path, task):
    "Run a small study by hand, in the layout of `chromoformer run`."
    out, small = tmp_path / "study", {"task": task, "bin_sizes": [2000, 500]}  # two resolutions
    (out / "stores").mkdir(parents=True)
    for name, store in stores.items():
        (out / "stores" / f"{name}.h5").symlink_to(store)
    folders = {
        name: trained(store, out / "train" / task / name, epochs=2, **small) for name, store in stores.items()
    }
    truth = str(epigenome / "truth")
    seeds = {"seeds": 2}
    one = {"store": stores["cellA"], "cell_type": "cellA", "runs": folders["cellA"], "task": task}
    many = {"stores": stores, "all_runs": folders, "task": task}
    manifest = {"manifest": str(epigenome / "cellA.yaml")}
    for name, parameters in {
        "attention": one | {"trainings": 2},
        "regulation": one | manifest | {"truth": truth, "permutations": 50},
        "ctcf": one | manifest | seeds,
        "perturbation": one | {"truth": truth, "silenced": 5, "width": 10_000},
        "compartments": one | manifest | {"truth": truth, "seeds": 1},
    }.items():
        run_notebook(name, out / name / task / "cellA", **parameters)
    attention = json.loads((out / "attention" / task / "cellA" / "metrics.json").read_text())
    difference = attention["body_trained_minus_shuffled"]
    assert difference["trainings"] == 2 and difference["low"] < difference["value"] < difference["high"]
    assert difference["verdict"] in ("higher", "lower", "no difference detected")
    again = out / "attention" / task / "cellA" / "trained" / "training1" / "fold1"
    assert settings_of(again)["seed"] == settings_of(folders["cellA"][0])["seed"] + 1
    shuffled = [out / "attention" / task / "cellA" / "shuffled" / f"training{n}" / "fold1" for n in (0, 1)]
    targets = [read_predictions(folder)["target"] for folder in shuffled]
    assert not targets[0].equals(targets[1])  # every training has its own shuffling
    perturbation = json.loads((out / "perturbation" / task / "cellA" / "metrics.json").read_text())
    for name in ("right sign, both, all", "average precision, enhancers: effect minus nearest first"):
        assert perturbation[name]["low"] <= perturbation[name]["value"] <= perturbation[name]["high"]
    run_notebook("cross_cell", out / "cross_cell" / task, **many)
    related = run_notebook("cross_species", out / "cross_species" / task, **many, truth=truth, seeds=2)
    related = related["related minus other species"]
    assert related["low"] < related["value"] < related["high"] and related["trainings"] == 2
    gains = {
        name: json.loads((out / name / task / "cellA" / "metrics.json").read_text())["gain"]
        for name in ("ctcf", "compartments")
    }
    assert gains["ctcf"]["low"] < gains["ctcf"]["value"] < gains["ctcf"]["high"]
    assert gains["ctcf"]["trainings"] == 2 and gains["compartments"]["verdict"] == "not tested"
    metrics = run_notebook("report", out / "report", study=str(out), truth=truth)
    assert set(metrics["analyses"]) == {
        "train",
        "attention",
        "regulation",
        "perturbation",
        "cross_cell",
        "cross_species",
        "ctcf",
        "compartments",
    }
    open_claims = [row["claim"] for row in metrics["claims"] if row["answer"] == "not run"]
    assert metrics["missing"] == [
        "benchmark",
        "window",
        "ablation",
        "marks",
        "contacts",
        "differential",
    ] and all(claim.startswith(("silencing", "predicted contacts")) for claim in open_claims)
    compartments = next(row for row in metrics["claims"] if row["claim"] == "compartments")
    assert compartments["found"] > 0.9 and compartments["low"] > 0 and compartments["answer"] == "yes"
    bare = run_notebook("report", out / "report_without_truth", study=str(out))
    assert bare["claims"] == []


def test_changes_of_expression_are_compared_over_several_trainings(epigenome, stores, tmp_path):
    two = {name: stores[name] for name in ("cellA", "cellB")}
    runs = {
        name: trained(store, tmp_path / name, folds=(1, 2), epochs=1, task="regression", bin_sizes=[2000])
        for name, store in two.items()
    }
    common = {"stores": two, "all_runs": runs, "baseline_recipe": "fast", "processes": 1, "draws": 50}
    shallow = ["ridge regression", "whole-gene trees"]  # without manifests, trees are left out
    metrics = run_notebook("differential", tmp_path / "out", **common, seeds=2, shallow=shallow)
    rows = {row["model"]: row for row in metrics["differences"]}
    assert set(rows) == {"ridge regression", "Chromoformer"}
    assert {(row["trainings"], row["reference_trainings"]) for row in rows.values()} == {(2, 2)}
    assert {row["verdict"] for row in rows.values()} <= {"higher", "lower", "no difference detected"}
    table = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert table.groupby(["model", "fold", "gene_id"]).size().eq(2).all()
    expression = {name: Store(store).genes.set_index("gene_id")["expression"] for name, store in two.items()}
    change = np.log2((expression["cellB"] + 1) / (expression["cellA"] + 1))
    assert np.allclose(table["target"], change.loc[table["gene_id"]], atol=1e-5)
    r = {
        model: np.mean(
            [np.corrcoef(one["target"], one["score"])[0, 1] for _, one in part.groupby(["seed", "fold"])]
        )
        for model, part in table.groupby("model")
    }
    for model, row in rows.items():
        assert np.isclose(row["value"], r[model] - r["DeepDiff"])
    second = json.loads((tmp_path / "out/runs/cellA/Chromoformer/seed1/fold1/provenance.json").read_text())[
        "parameters"
    ]
    first = json.loads((Path(runs["cellA"][0]) / "provenance.json").read_text())["parameters"]
    assert second["seed"] == 1 and second | {"seed": first["seed"]} == first

    manifests = {name: str(epigenome / f"{name}.yaml") for name in two}
    once = run_notebook("differential", tmp_path / "once", **common, seeds=1, manifests=manifests)
    assert {row["verdict"] for row in once["differences"]} == {"not tested"}
    simple = {"ridge regression", "gradient-boosted trees", "whole-gene trees"}
    assert {row["model"] for row in once["differences"]} == simple | {"Chromoformer"}


def test_wider_windows_are_built_from_files_in_another_folder(epigenome, stores, tmp_path):
    moved = tmp_path / "manifest" / "cellA.yaml"
    moved.parent.mkdir()
    moved.write_text((epigenome / "cellA.yaml").read_text())
    common = {"store": stores["cellA"], "manifest": str(moved), "held_out": [1], "seeds": 1, "processes": 1}
    common |= {"widths": [40_000, 50_000], "network": {"bin_sizes": [2000]}, "recipe": {"epochs": 1}}
    metrics = run_notebook("window", tmp_path / "window", data=str(epigenome), draws=50, **common)
    assert metrics["refused"] == {} and {row["model"] for row in metrics["means"]} == {"40 kb", "50 kb"}
    common |= {"manifest": str(epigenome / "cellB.yaml")}
    with pytest.raises(PapermillExecutionError, match="is not the file"):
        run_notebook("window", tmp_path / "foreign", **common)


def test_a_benchmark_of_one_fold_uses_the_given_run_of_this_fold(stores, tmp_path):
    runs = trained(stores["cellA"], tmp_path / "runs", folds=(1, 2), epochs=1, bin_sizes=[2000])
    common = {"store": stores["cellA"], "runs": runs, "seeds": 1, "processes": 1, "draws": 50}
    metrics = run_notebook(
        "benchmark", tmp_path / "out", **common, held_out=[2], models=["logistic regression"]
    )
    assert metrics["folds"] == [2]
    predictions = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    given = read_predictions(runs[1]).query("held_out").set_index("gene_id")["score"]
    own = predictions.query("model == 'Chromoformer'").set_index("gene_id")["score"]
    assert set(predictions["fold"]) == {2} and np.allclose(own, given.loc[own.index])


def test_whole_gene_takes_network_and_recipe_of_its_base(tmp_path):
    toy = simulate(
        tmp_path / "toy", 80, long_genes=True, marks=["H3K4me3", "H3K36me3"], hic=False, progress=False
    )
    build_store(toy / "cellA.yaml", tmp_path / "cellA.h5", progress=False)
    common = {"store": str(tmp_path / "cellA.h5"), "held_out": [1], "seeds": 1, "window": False, "draws": 20}
    common |= {"positions": ["tss end"], "network": {"base": "whole-gene-joint", "max_pcres": 0}}
    short = {"epochs": 1, "batch_size": 16}
    run_notebook("whole_gene", tmp_path / "out", **common, recipe=short, processes=1)
    used = settings_of(tmp_path / "out" / "runs" / "whole_genes" / "seed0" / "fold1")
    network, recipe = network_and_recipe(
        Store(common["store"]),
        common["network"] | {"positions": ["tss", "end"]},
        {"base": "whole-gene-joint"} | short,
    )
    assert network.joint
    assert used["network"] == json.loads(json.dumps(asdict(network))) and used["recipe"] == asdict(recipe)


def test_four_marks_without_pcres_work_or_are_an_error_with_the_reason(toy, tmp_path):
    import yaml

    manifest = yaml.safe_load((toy / "cellA.yaml").read_text())
    manifest["channels"] = manifest["channels"][:4]
    (toy / "four.yaml").write_text(yaml.safe_dump(manifest))
    build_store(toy / "four.yaml", tmp_path / "four.h5", progress=False)
    store = str(tmp_path / "four.h5")
    runs = trained(store, tmp_path / "runs", folds=(1,), epochs=1, max_pcres=0, bin_sizes=[500])
    common = {"store": store, "cell_type": "four", "runs": runs, "task": "classification"}
    assert run_notebook("attention", tmp_path / "attention", **common, control=False)["genes"]["value"] > 0
    described = common | {"manifest": str(toy / "four.yaml")}
    for name, more, changed, differing in (
        ("ctcf", {"track": str(toy / "cellA" / "CTCF.bigWig")}, {"channel": "sites"}, "other settings"),
        (
            "compartments",
            {"cooler": str(toy / "cellA" / "hic.mcool"), "resolution": 10_000},
            {"balance": ""},
            r"other files \(compartment\)",
        ),
    ):
        settings = described | more | {"seeds": 1}
        assert run_notebook(name, tmp_path / name, **settings)["gain"]["genes"] > 0
        before = (tmp_path / name / "store.h5").stat().st_mtime_ns
        run_notebook(name, tmp_path / name, **settings)
        assert (tmp_path / name / "store.h5").stat().st_mtime_ns == before
        with pytest.raises(PapermillExecutionError, match=differing):  # not the old store, silently
            run_notebook(name, tmp_path / name, **settings | changed)
    with pytest.raises(PapermillExecutionError, match="it would hold the channel CTCF"):
        run_notebook("ctcf", tmp_path / "no_ctcf", **described)
    for name, reason in (
        ("regulation", "made without pCREs"),
        ("perturbation", "no gene of these models has a pCRE"),
    ):
        with pytest.raises(PapermillExecutionError, match=reason):
            run_notebook(name, tmp_path / name, **common)
    with pytest.raises(PapermillExecutionError, match="cell types of one genome are compared"):
        run_notebook("cross_cell", tmp_path / "cross_cell", stores={"four": store}, all_runs={"four": runs})
    with pytest.raises(PapermillExecutionError, match="two genomes are needed"):
        run_notebook(
            "cross_species", tmp_path / "cross_species", stores={"four": store}, all_runs={"four": runs}
        )
