"""Tests of the demo: it changes only its own folder, and an interrupted demo gives the same results."""

import json
import re
from pathlib import Path

import nbformat
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
from chromoformer.training.run_folder import is_complete

SMALL = {"genes": 80, "epochs": 1, "progress": False}


def test_the_explained_gene_is_chosen_by_planted_effects_alone():
    truth = pd.DataFrame({"gene_id": list("ABCD"), "log2_expected": [2.0, 2.2, 2.1, 9.0]})
    effects = pd.DataFrame(
        {
            "gene_id": list("AABBCDD"),
            "planted": [1.0, -0.5, 0.8, -0.9, 5.0, 3.0, -3.0],
            "effect": np.arange(7.0),
        }
    )
    assert choose_gene(effects, truth) == "B"  # C has no silencer, D is far from the median
    assert choose_gene(effects.assign(effect=0.0), truth) == "B"
    assert (
        choose_gene(effects[effects["gene_id"] == "D"], truth) == "D"
    )  # no gene is close to the median: the strongest pair of all


def test_a_folder_with_other_files_is_not_changed(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for force in (False, True):
        with pytest.raises(InputError, match="not a folder of the demo"):
            run_demo(tmp_path, force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_force_removes_only_files_of_the_demo(tmp_path):
    demo._prepare(tmp_path / "out", {"seed": 0}, force=False)
    (tmp_path / "out" / "report.html").write_text("done")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds a complete demo"):
        demo._prepare(tmp_path / "out", {"seed": 0}, force=False)
    demo._prepare(tmp_path / "out", {"seed": 1}, force=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "README.txt",
        "notes.txt",
        "settings.json",
    }


def test_the_readme_has_a_line_for_each_file():
    lines = demo.README.splitlines()
    for name in set(demo.OWN) - {"README.txt", "cellA.provenance.json", "provenance.json"}:
        assert any(re.match(rf"{re.escape(name)}(/\S*)? {{2,}}\S", line) for line in lines), name
    assert "; provenance.json: " in demo.README


def test_a_demo_with_other_settings_is_refused(tmp_path):
    demo._prepare(tmp_path / "out", {"seed": 0}, force=False)
    with pytest.raises(InputError, match="holds a demo with other settings"):
        run_demo(tmp_path / "out", seed=1)


def test_the_report_and_its_style_are_part_of_the_package():
    package = Path(demo.__file__).parent
    notebook = nbformat.read(package / "demo_report.ipynb", as_version=4)
    assert [cell.metadata.get("tags") for cell in notebook.cells].count(["parameters"]) == 1
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert (package / "demo_report.css").is_file()


def test_the_two_classifiers_differ_only_in_their_pcres():
    assert "max_pcres" not in NETWORK
    a, b = RUNS["with_pcres"], RUNS["without_pcres"]
    assert {key for key in a if a[key] != b[key]} == {"max_pcres"} and b["max_pcres"] == 0


@pytest.mark.slow
def test_an_interrupted_demo_gives_the_same_results_as_an_uninterrupted_one(tmp_path, monkeypatch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    report = run_demo(whole, **SMALL)
    trained = []
    fit = demo.fit

    def interrupted_at_the_sixth(store, folder, *rest, **options):
        trained.append(folder)
        if len(trained) == 6:
            raise KeyboardInterrupt
        return fit(store, folder, *rest, **options)

    monkeypatch.setattr(demo, "fit", interrupted_at_the_sixth)
    with pytest.raises(KeyboardInterrupt):
        run_demo(killed, **SMALL)
    assert not (killed / "report.html").exists()
    trained.clear()
    monkeypatch.setattr(
        demo,
        "fit",
        lambda store, folder, *rest, **options: (
            trained.append(is_complete(folder)) or fit(store, folder, *rest, **options)
        ),
    )
    run_demo(killed, **SMALL)
    assert trained == [True] * 5 + [False] * 4  # complete runs are kept
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
    assert not re.search(r'(href|src)="(https?:)?//', page)  # nothing is loaded from the network
    assert "<script" not in page and "show_figure" not in page  # no code is shown
    assert page.count('alt="') == 6 and 'alt=""' not in page
    assert "show_figure" in (whole / "report" / "notebook.html").read_text()
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

    effects.assign(kind="<script>").to_parquet(whole / "effects.parquet")
    truth = pd.read_parquet(whole / "toy" / "truth" / "genes.parquet")
    name = "<script>alert(1)</script>[x](javascript:alert(1))"
    truth.assign(gene_name=name).to_parquet(whole / "toy" / "truth" / "genes.parquet")
    demo._write_report(whole, {"train": 1.0}, threads=1)
    page = report.read_text()
    assert "&lt;script&gt;" in page and "<script" not in page  # names in the report are escaped
    assert "alert(1)" in page and '<a href="javascript' not in page


@pytest.mark.slow
def test_the_model_gains_from_pcres_and_finds_the_planted_signs(tmp_path):
    run_demo(tmp_path / "demo", progress=False)
    metrics = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    gains = list(metrics["gain"]["folds"].values())
    assert min(gains) > 0.02 and metrics["gain"]["mean"] > np.std(gains)
    assert metrics["with_pcres"]["mean"] > 0.9 and metrics["regression"]["mean"] > 0.8
    for kind in ("enhancers", "silencers"):
        assert metrics["planted"][kind]["right_sign"] > 0.95
    assert abs(metrics["planted"]["decoys"]["mean_effect"]) < 0.1
