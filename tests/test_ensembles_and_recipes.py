"""What a user meets who trains ensembles, named networks and joint networks: defaults, warnings, refusals."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import MARKS, SMALL, write_toy_store
from test_lacking_marks import HIDING, LACKING, write
from typer.testing import CliRunner

from chromoformer.cli import app
from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.interpret.gene import explain_gene
from chromoformer.interpret.switches import GeneExplainer
from chromoformer.model import checkpoint
from chromoformer.training.fit import fit
from chromoformer.training.members import fit_members
from chromoformer.training.predict import evaluate, predict
from chromoformer.training.recipe import RECIPES, Recipe, network_and_recipe
from chromoformer.training.run_folder import settings_of

QUICK = Recipe(epochs=1, batch_size=32)
BLOCK = {"layers": 1, "heads": 2, "width": 16, "attention_width": 16, "feed_forward_width": 16}
SIZES = {"embedding": BLOCK, "pairwise": BLOCK, "regulation": BLOCK, "head_width": 16}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(write_toy_store(tmp_path_factory.mktemp("ensembles") / "toy.h5"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    "Return a store of whole genes."
    return write(tmp_path_factory.mktemp("whole") / "both.h5", MARKS)


def invoke(*arguments):
    "Run a command."
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_one_calibrated_member_predicts_probabilities_as_a_single_network_does(store, tmp_path):
    options = {"config": SMALL, "recipe": Recipe(epochs=1, batch_size=8), "calibrate": "platt"}
    left_out = store.genes.loc[store.genes["fold"].isin([2, 3]), "chrom"].unique()
    options |= {"validation": list(left_out), "progress": False}
    fit(store, tmp_path / "single", 1, **options)
    fit_members(store, tmp_path / "member", 1, seeds=[0], **options)
    single, member = (predict(tmp_path / name, store, progress=False) for name in ("single", "member"))
    assert np.array_equal(single["probability"], member["probability"])
    assert "spread" not in (tmp_path / "member" / "README.md").read_text()


def test_a_named_network_comes_with_the_recipe_of_its_name(whole):
    for name in ("whole-gene-joint", "whole-gene-prior", "whole-gene-lacking"):
        assert network_and_recipe(Store(whole), name)[1] == RECIPES[name]
        assert network_and_recipe(Store(whole), {"base": name, **SIZES})[1] == RECIPES[name]
    assert network_and_recipe(Store(whole))[1] == Recipe()
    shorter = network_and_recipe(Store(whole), None, {"base": "whole-gene-joint", "epochs": 2})[1]
    assert shorter.epochs == 2 and shorter.average == RECIPES["whole-gene-joint"].average


def test_the_command_names_network_and_recipe(whole, tmp_path):
    settings = tmp_path / "small.yaml"
    settings.write_text(json.dumps({"network": SIZES | {"bin_sizes": [500]}, "recipe": {"epochs": 1}}))
    run = tmp_path / "run"
    made = invoke(
        "train", whole, "--out", run, "--config", settings, "--network", "whole-gene-joint", "--recipe",
        "whole-gene-joint",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    recorded = settings_of(run)["recipe"]
    assert checkpoint.read_config(run)[0].joint and recorded["epochs"] == 1 and recorded["cosine"]
    settings.write_text(json.dumps({"network": {"base": "whole-gene"}}))
    twice = invoke("train", whole, "--out", tmp_path / "no", "--config", settings, "--network", "published")
    assert twice.exit_code != 0 and not (tmp_path / "no").exists()


def test_a_start_brings_its_recipe(store, tmp_path):
    recipe = Recipe(epochs=2, batch_size=16, learning_rate=2e-3)
    fit(store, tmp_path / "first", 1, SMALL, recipe, progress=False)
    made = invoke("train", store.path, "--out", tmp_path / "second", "--init", tmp_path / "first")
    assert made.exit_code == 0, made.output
    assert Recipe(**settings_of(tmp_path / "second")["recipe"]) == recipe


def test_a_network_that_may_lack_marks_but_sees_none_hidden_is_warned_of(whole, tmp_path):
    with pytest.warns(UserWarning, match="will not learn to.*drop_marks is 0"):
        fit(whole, tmp_path / "run", 1, LACKING, QUICK, progress=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*will not learn to")
        fit(whole, tmp_path / "hiding", 1, LACKING, HIDING, progress=False)


def test_a_warm_up_longer_than_the_training_is_warned_of(store, tmp_path):
    with pytest.warns(UserWarning, match="rises for 200 steps, but the training has only"):
        fit(store, tmp_path / "run", 1, SMALL, Recipe(epochs=1, warm_up=200), progress=False)


def test_joint_runs_are_evaluated_for_both_tasks_and_stacks_like_networks(whole, tmp_path):
    fit(whole, tmp_path / "run", 1, LACKING, HIDING, progress=False)
    table = evaluate(tmp_path / "run")
    assert set(table["task"]) == {"classification", "regression"}
    held_out = pd.read_parquet(tmp_path / "run" / "predictions.regression.parquet").query("held_out")
    r = np.corrcoef(held_out["score"], held_out["target"])[0, 1]
    assert table.set_index("metric").loc["pearson_r", "value"] == pytest.approx(r)


def test_runs_of_other_networks_or_stores_that_are_joined_are_warned_of(store, tmp_path):
    other = Store(write_toy_store(tmp_path / "other.h5", seed=1))
    fit(store, tmp_path / "one", 1, SMALL, QUICK, progress=False)
    fit(store, tmp_path / "two", 2, SMALL, QUICK, progress=False)
    fit(store, tmp_path / "alone", 2, replace(SMALL, max_pcres=0), QUICK, progress=False)
    fit(other, tmp_path / "elsewhere", 2, SMALL, QUICK, progress=False)
    gene = store.genes.loc[store.genes["fold"] == 1, "gene_id"].iloc[0]
    for name, says in (("alone", "max_pcres"), ("elsewhere", "training stores")):
        runs = [tmp_path / "one", tmp_path / name]
        with pytest.warns(
            UserWarning, match=rf"{name} is another model than .*one \(they differ in {says}\)"
        ):
            predict(runs, store, progress=False)
        with pytest.warns(UserWarning, match="is another model"):
            evaluate(runs, draws=0)
        with pytest.warns(UserWarning, match="is another model"):
            explain_gene(runs, store, gene)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict([tmp_path / "one", tmp_path / "two"], store, progress=False)
        evaluate([tmp_path / "one", tmp_path / "two"], draws=0)


def test_members_are_named_where_one_network_is_needed(store, tmp_path):
    fit_members(store, tmp_path / "run", 1, config=SMALL, recipe=QUICK, seeds=[0, 1], progress=False)
    gene = store.genes["gene_id"].iloc[0]
    with pytest.raises(InputError) as refused:
        explain_gene([tmp_path / "run"], store, gene)
    assert "seed0" in str(refused.value)


def test_a_mark_that_the_store_lacks_cannot_be_switched_off(whole, tmp_path):
    fit(whole, tmp_path / "run", 1, LACKING, HIDING, progress=False)
    one = Store(whole, MARKS[:1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explainer = GeneExplainer([tmp_path / "run"], one)
        explainer.explain(one.genes["gene_id"].iloc[0])
        with pytest.raises(InputError, match=f"no {MARKS[1]}"):
            explainer.change(marks=[MARKS[1]])


def test_a_channel_named_twice_is_refused(store):
    with pytest.raises(InputError, match="named twice"):
        Store(store.path, [MARKS[0], MARKS[1], MARKS[0]])


def test_the_store_without_labels_is_the_one_that_is_named(store, tmp_path):
    without = write_toy_store(tmp_path / "without.h5")
    unknown = Store(without)
    unknown = unknown.replace(genes=unknown.genes.assign(expression=np.nan, label=-1))
    with pytest.raises(InputError, match=r"training genes have no label") as refused:
        fit([store, unknown], tmp_path / "run", 1, SMALL, QUICK, progress=False)
    assert "without.h5" in str(refused.value)


def test_marks_never_seen_in_training_are_outside_its_range(whole, tmp_path):
    fit(whole, tmp_path / "both", 1, LACKING, HIDING, progress=False)
    fit(Store(whole, MARKS[:1]), tmp_path / "tuned", 1, None, HIDING, start=tmp_path / "both", progress=False)
    config = json.loads((tmp_path / "tuned" / "config.json").read_text(), parse_constant=lambda name: 1 / 0)
    unseen = [name for name, limits in config["training_range"]["limits"].items() if None in limits]
    assert unseen and all(MARKS[1] in name for name in unseen)
    assert predict(tmp_path / "tuned", whole, progress=False)["outside_training"].all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = predict(tmp_path / "tuned", Store(whole, MARKS[:1]), progress=False)
    assert not known["outside_training"].all()
