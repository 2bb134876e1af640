"""The demo: a folder of its own, from simulation to report; killed and started again it leaves the same."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import yaml

from chromoformer import demo
from chromoformer.data.store import Store
from chromoformer.demo import NETWORK, RUNS, choose_gene, run_demo
from chromoformer.errors import InputError
from chromoformer.provenance import verify
from chromoformer.training.recipe import network_and_recipe

SMALL = {"genes": 80, "epochs": 1, "progress": False}


def test_the_gene_in_full_is_chosen_by_what_was_planted_alone():
    truth = pd.DataFrame({"gene_id": list("ABCD"), "log2_expected": [2.0, 2.2, 2.1, 9.0]})
    effects = pd.DataFrame(
        {
            "gene_id": list("AABBCDD"),
            "planted": [1.0, -0.5, 0.8, -0.9, 5.0, 3.0, -3.0],
            "effect": np.arange(7.0),
        }
    )
    assert choose_gene(effects, truth) == "B"  # C has no silencer, D lies far from the median
    assert choose_gene(effects.assign(effect=0.0), truth) == "B"
    assert (
        choose_gene(effects[effects["gene_id"] == "D"], truth) == "D"
    )  # where none is near, the strongest pair of all


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for force in (False, True):
        with pytest.raises(InputError, match="no folder of the demo"):
            run_demo(tmp_path, force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_force_removes_what_the_demo_made_and_nothing_else(tmp_path):
    demo._prepare(tmp_path / "out", {"seed": 0}, force=False)
    (tmp_path / "out" / "report.html").write_text("done")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="a complete demo is here"):
        demo._prepare(tmp_path / "out", {"seed": 0}, force=False)
    demo._prepare(tmp_path / "out", {"seed": 1}, force=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "README.txt",
        "notes.txt",
        "settings.json",
    }


def test_a_demo_begun_with_other_settings_is_not_mixed_with_this_one(tmp_path):
    demo._prepare(tmp_path / "out", {"seed": 0}, force=False)
    with pytest.raises(InputError, match="a demo with other settings"):
        run_demo(tmp_path / "out", seed=1)


def test_names_in_the_report_are_escaped():
    assert "&lt;script&gt;" in demo._table(["a"], [["<script>"]])


def test_the_two_classifiers_differ_in_nothing_but_their_pcres():
    assert "max_pcres" not in NETWORK
    a, b = RUNS["with_pcres"], RUNS["without_pcres"]
    assert {key for key in a if a[key] != b[key]} == {"max_pcres"} and b["max_pcres"] == 0


@pytest.mark.slow
def test_a_demo_that_was_killed_goes_on_and_leaves_the_same_as_one_left_alone(tmp_path, monkeypatch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    report = run_demo(whole, **SMALL)
    trained, fit = [], demo.fit

    def killed_at_the_sixth(store, folder, *rest, **options):
        trained.append(folder)
        if len(trained) == 6:
            raise KeyboardInterrupt
        return fit(store, folder, *rest, **options)

    monkeypatch.setattr(demo, "fit", killed_at_the_sixth)
    with pytest.raises(KeyboardInterrupt):
        run_demo(killed, **SMALL)
    assert not (killed / "report.html").exists()
    trained.clear()
    monkeypatch.setattr(
        demo,
        "fit",
        lambda store, folder, *rest, **options: (
            trained.append(folder) or fit(store, folder, *rest, **options)
        ),
    )
    run_demo(killed, **SMALL)
    assert len(trained) == 4  # of nine
    for name in ("metrics.json", "predictions.parquet", "effects.parquet", "cellA.h5"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
    for name in ("gene", "roc", "gain", "scatter", "effects", "training"):
        assert (whole / "figures" / f"{name}.png").read_bytes() == (
            killed / "figures" / f"{name}.png"
        ).read_bytes(), name

    page = report.read_text()
    assert page.count("<img") == 6 and all(
        address.startswith("data:image/png;base64,") for address in re.findall(r'src="([^"]*)', page)
    )
    assert not re.search(r'(href|src)="(https?:)?//', page)  # nothing is loaded from elsewhere
    assert verify(whole) == []
    metrics, effects = (
        json.loads((whole / "metrics.json").read_text()),
        pd.read_parquet(whole / "effects.parquet"),
    )
    predictions = pd.read_parquet(whole / "predictions.parquet")
    assert predictions["held_out"].all() and len(predictions) == predictions["gene_id"].nunique() == 80
    assert effects["planted"].notna().all() and effects["held_out"].all()
    assert sum(metrics["planted"][kind]["pcres"] for kind in ("enhancers", "silencers", "decoys")) == len(
        effects
    )
    assert {path.name for path in whole.iterdir()} <= set(demo.OWN)
    network, recipe = network_and_recipe(
        Store(whole / "cellA.h5"), **yaml.safe_load((whole / "config.yaml").read_text())
    )
    used = json.loads((whole / "runs" / "with_pcres" / "fold1" / "provenance.json").read_text())["parameters"]
    assert (
        json.loads(json.dumps(network.to_dict())) == used["network"]
        and recipe.epochs == used["recipe"]["epochs"] == 1
    )


@pytest.mark.slow
def test_the_model_gains_from_pcres_and_finds_their_planted_signs(tmp_path):
    run_demo(tmp_path / "demo", progress=False)
    metrics = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    gains = list(metrics["gain"]["folds"].values())
    assert min(gains) > 0.02 and metrics["gain"]["mean"] > np.std(gains)
    assert metrics["with_pcres"]["mean"] > 0.9 and metrics["regression"]["mean"] > 0.8
    for kind in ("enhancers", "silencers"):
        assert metrics["planted"][kind]["right_sign"] > 0.95
    assert abs(metrics["planted"]["decoys"]["mean_effect"]) < 0.1
