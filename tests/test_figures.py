"""Every drawing function takes an axis and returns it; figures are saved as PNG, SVG or PDF."""

import inspect

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, write_toy_store
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chromoformer import plots
from chromoformer.data.store import Store
from chromoformer.interpret.gene import explain_gene
from chromoformer.model.network import Chromoformer

STARTS = {"png": b"\x89PNG\r\n", "svg": b"<?xml", "pdf": b"%PDF-"}
DRAWING = {
    f"{drawing.__module__}.{name}": drawing
    for name, drawing in vars(plots).items()
    if inspect.isfunction(drawing)
    and inspect.signature(drawing).return_annotation is Axes
    and name != "new_axis"
}
TABLES = {
    plots.gains: pd.DataFrame(
        {"fold": [1, "all"], "metric": "auc", "gain": [0.02, 0.01], "low": [0.0, 0.0], "high": [0.03, 0.02]}
    ),
    plots.transfer_map: pd.DataFrame(
        {
            "trained": ["A", "A", "B", "B"],
            "tested": ["A", "B"] * 2,
            "value": [0.9, 0.8, 0.8, 0.9],
            "relative": [1.0, 0.9, 0.9, 1.0],
            "metric": "auc",
        }
    ),
    plots.forest: pd.DataFrame(
        {
            "model": ["no pCREs", "one resolution"],
            "metric": "auc",
            "value": [-0.02, 0.01],
            "low": [-0.03, -0.01],
            "high": [-0.01, 0.02],
        }
    ),
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    store = Store(write_toy_store(tmp_path_factory.mktemp("figures") / "toy.h5"))
    torch.manual_seed(0)
    return store, explain_gene(
        Chromoformer(SMALL).eval(),
        store,
        store.genes["gene_id"].iloc[int(np.diff(store.pcre_start).argmax())],
    )


@pytest.mark.parametrize("name", DRAWING)
def test_every_drawing_function_has_an_optional_axis(name):
    assert inspect.signature(DRAWING[name]).parameters["ax"].default is None


@pytest.mark.parametrize("function", TABLES, ids=lambda function: function.__name__)
def test_tables_are_drawn_on_the_given_axis_or_a_new_one(function):
    ax = Figure(figsize=(5, 4)).subplots()
    assert function(TABLES[function], ax=ax) is ax and (ax.lines or ax.collections)
    assert function(TABLES[function]) is not ax


@pytest.mark.parametrize("ending", STARTS)
def test_gene_figure_is_saved_from_the_given_axis(example, tmp_path, ending):
    ax = Figure(figsize=(9, 8)).subplots()
    assert plots.gene(*example, ax=ax) is ax and len(ax.child_axes) > 3
    plots.save(ax, tmp_path / f"gene.{ending}")
    written = (tmp_path / f"gene.{ending}").read_bytes()
    assert written.startswith(STARTS[ending]) and len(written) > 10_000
