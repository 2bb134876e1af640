"""Figures draw the values they are given, on the given axis, without overlapping texts."""

import json
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, write_toy_store
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from sklearn.metrics import roc_auc_score

from chromoformer import plots
from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.interpret.gene import explain_gene
from chromoformer.metrics import evaluate_scores
from chromoformer.model.network import Chromoformer
from chromoformer.plots.cell_types import by_subcompartment, transfer_rivals
from chromoformer.plots.performance import along, forest, ranking
from chromoformer.plots.style import quantile_means


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def predictions(target, score, held_out=True, folds=1):
    number = len(target)
    return pd.DataFrame(
        {
            "gene_id": [f"g{i}" for i in range(number)],
            "fold": np.arange(number) % folds + 1,
            "held_out": held_out,
            "target": np.asarray(target, float),
            "score": np.asarray(score, float),
        }
    )


def noisy(seed, strength, number=400):
    random = np.random.default_rng(seed)
    target = np.arange(number) // 4 % 2
    return predictions(target, 1 / (1 + np.exp(-random.normal(strength * (target - 0.5), 1))), folds=4)


def texts_on_texts(figure):
    "Return pairs of texts whose boxes overlap."
    figure.canvas.draw()
    found = []
    axes = [*figure.axes, *(child for ax in figure.axes for child in ax.child_axes)]
    for ax in dict.fromkeys(axes):
        found += (
            [*ax.texts, ax.title, ax._left_title, ax._right_title]
            if ax.axison or ax.texts or ax._left_title.get_text()
            else []
        )
        if legend := ax.get_legend():
            found += legend.get_texts()
        if ax.axison:
            for axis in (ax.xaxis, ax.yaxis):
                low, high = sorted(axis.get_view_interval())
                inside = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
                found += [axis.label, *(label for tick in inside for label in (tick.label1, tick.label2))]
    found = [text for text in dict.fromkeys(found) if text.get_visible() and text.get_text().strip()]
    boxes = [text.get_window_extent().shrunk(0.98, 0.9) for text in found]
    return [
        (a.get_text(), b.get_text())
        for i, a in enumerate(found)
        for j, b in enumerate(found[:i])
        if boxes[i].overlaps(boxes[j])
    ]


def panel(ax, label):
    return next(child for child in ax.child_axes if child.get_label() == label)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(write_toy_store(tmp_path_factory.mktemp("plots") / "toy.h5"))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Chromoformer(SMALL).eval()


def gene_with(store, number, strand):
    here = (np.diff(store.pcre_start) == number) & (store.genes["strand"] == strand)
    return store.genes.loc[here, "gene_id"].iloc[0]


PAIRS = pd.DataFrame(
    [
        {"trained": one, "tested": two, "model": model, "metric": "auc", "value": value, "low": value - 0.01}
        for one in ("GM12878", "HeLa-S3", "K562")
        for two in ("GM12878", "HeLa-S3", "K562")
        for model, value in (("network", 0.95), ("trees", 0.96), ("mean expression of the others", 0.94))
    ]
)
PAIRS = PAIRS.assign(high=PAIRS["value"] + 0.01)
DRAWINGS = {
    "by_subcompartment": lambda ax: by_subcompartment(
        np.resize(["B1", "A1", None, "A2"], 400), np.arange(400) % 7, ax, ylabel="expression"
    ),
    "transfer_rivals": lambda ax: transfer_rivals(PAIRS, ax),
    "roc": lambda ax: plots.roc({"with pCREs": noisy(0, 3), "without": noisy(1, 1)}, ax),
    "precision_recall": lambda ax: plots.precision_recall(
        {"with pCREs": noisy(0, 3), "without": noisy(1, 1)}, ax
    ),
    "scatter": lambda ax: plots.scatter(predictions(np.arange(50) / 5, np.arange(50) / 6), ax),
    "training_curves": lambda ax: plots.training_curves(
        pd.DataFrame({"epoch": [1, 2], "training_loss": [2.0, 1.0], "held_out_loss": [2.5, 2]}), ax
    ),
    "with_and_without": lambda ax: plots.with_and_without(noisy(0, 3), noisy(1, 1), ax, ceiling=0.99),
    "planted_effects": lambda ax: plots.planted_effects(
        pd.DataFrame({"planted": [-1, 0, 1.0], "effect": [-0.5, 0.1, 0.4]}), ax
    ),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_figures_are_drawn_on_the_given_axis_or_a_new_one(name):
    ax = Figure(figsize=(5, 5)).subplots()
    assert DRAWINGS[name](ax) is ax
    new = DRAWINGS[name](None)
    assert new is not ax and new.get_xlabel() and (new.get_ylabel() or name == "with_and_without")
    assert texts_on_texts(new.figure) == []


def test_roc_curve_of_perfect_scores_passes_through_the_corner():
    ax = plots.roc(predictions([1, 1, 0, 0], [0.9, 0.8, 0.2, 0.1]))
    curve = ax.lines[1].get_xydata().tolist()
    assert curve == [[0, 0], [0, 0.5], [0, 1], [0.5, 1], [1, 1]]
    assert ax.get_legend().get_texts()[0].get_text() == "AUC 1.000 (1.000–1.000)"


def test_each_fold_has_a_curve_and_the_legend_gives_the_mean_over_folds():
    table = noisy(0, 2)
    shifted = table.assign(score=table["score"] + table["fold"])  # each model has a scale of its own
    by_fold = [roc_auc_score(part["target"], part["score"]) for _, part in table.groupby("fold")]
    for drawn in (table, shifted):
        ax = plots.roc(drawn)
        assert len(ax.lines) == 1 + 4
        areas = [np.trapezoid(line.get_ydata(), line.get_xdata()) for line in ax.lines[1:]]
        assert areas == pytest.approx(by_fold)
        text = ax.get_legend().get_texts()[0].get_text()
        assert text.startswith(f"AUC {np.mean(by_fold):.3f} (") and text.endswith("mean of 4 folds")
    measured = np.random.default_rng(0).normal(size=200)
    regressed = predictions(measured, measured + 100 * (np.arange(200) % 4), folds=4)
    assert "Pearson r 1.000" in plots.scatter(regressed).get_title("left")


def compared(**columns):
    "Three differences, as in a table of `differences`."
    value = np.array([-0.02, 0.001, 0.03])
    return pd.DataFrame(
        {
            "model": ["a", "b", "c"],
            "metric": "auc",
            "value": value,
            "low": value - 0.01,
            "high": value + 0.01,
            "verdict": ["lower", "no difference detected", "higher"],
        }
        | columns
    )


def test_a_forest_plot_marks_verdicts_and_has_no_rule_of_its_own():
    ax = forest(compared())
    assert [text.get_color() for text in ax.texts] == [plots.RED, "#555555", plots.BLUE]
    assert "genes and trainings, corrected for 3 comparisons" in ax.get_xlabel()
    same = forest(compared(verdict="no difference detected"))  # although two intervals exclude 0
    assert {text.get_color() for text in same.texts} == {"#555555"}
    assert texts_on_texts(ax.figure) == []


@pytest.mark.parametrize(
    "table",
    [
        compared(low=np.nan, high=np.nan, verdict="not tested"),
        compared(low=None, high=None, verdict="not tested"),
        compared().drop(columns="verdict"),  # of an older version, whose intervals left out trainings
    ],
    ids=["missing", "from JSON", "older"],
)
def test_differences_that_were_not_tested_have_no_bar_and_no_colour(table):
    ax = forest(table)
    assert {text.get_color() for text in ax.texts} == {plots.GREY} and "not tested" not in ax.get_xlabel()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["not tested"]
    drawn = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_color() == plots.GREY]
    assert all(np.isnan(np.asarray(line.get_xdata(), float)).all() for line in drawn)
    assert texts_on_texts(ax.figure) == []


@pytest.mark.parametrize(
    ("trainings", "says"),
    [
        ([3, 3, 3], "genes and trainings"),
        ([1, 1, 1], "genes only"),
        ([3, 1, 3], "genes, and trainings if several"),
        (None, "genes only"),
    ],
)
def test_figures_of_scores_say_what_their_intervals_cover(trainings, says):
    value = np.array([0.8, 0.85, 0.84])
    means = pd.DataFrame({"model": ["a", "b", "c"], "metric": "auc", "x": [2, 10, 40], "value": value})
    means = means.assign(low=value - 0.01, high=value + 0.01)
    if trainings:
        means["trainings"] = trainings
    folds = means.assign(fold=1)
    assert says in ranking(means, folds).get_xlabel()
    assert says in along(folds, means).get_legend().get_texts()[-1].get_text()
    bare = means.assign(low=np.nan, high=np.nan)
    assert "no intervals" in ranking(bare).get_xlabel() and "nan" not in ranking(bare).texts[0].get_text()
    assert "no intervals" in along(folds, bare).get_legend().get_texts()[-1].get_text()


def test_a_gain_of_single_trainings_has_no_bar_and_is_not_tested():
    by_fold = {"fold": ["1", "2", "all"], "metric": "auc", "gain": [0.01, 0.03, 0.02]}
    once = pd.DataFrame(by_fold | {"low": np.nan, "high": np.nan, "verdict": ["", "", "not tested"]})
    ax = plots.gains(once)
    assert ax.get_title("left") == "not tested" and "one training each" in ax.get_xlabel()
    several = once.assign(low=-0.01, high=0.05, verdict=["", "", "no difference detected"])
    ax = plots.gains(several)
    assert ax.get_title("left") == "no difference detected" and "genes and trainings" in ax.get_xlabel()


def test_violins_are_in_the_order_of_subcompartments_with_their_genes_and_quartiles():
    names = np.repeat(["B1", "A2", None, "A1"], [4, 8, 3, 5])
    values = np.r_[np.arange(4.0), np.arange(8.0), np.arange(3.0), 1.0, 2, 3, 4, np.nan]
    ax = by_subcompartment(names, values)
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["A1\n4", "A2\n8", "B1\n4", "unknown\n3"]
    quartiles = [drawn for drawn in ax.collections if isinstance(drawn, LineCollection)]
    lines = [line[0, 1] for drawn in quartiles for line in drawn.get_segments()]
    expected = [np.quantile(part, [0.25, 0.5, 0.75]) for part in ([1, 2, 3, 4], range(8), range(4), range(3))]
    assert np.allclose(sorted(lines), sorted(np.concatenate(expected)))
    with pytest.raises(InputError, match="no gene has a value"):
        by_subcompartment(["A1"], [np.nan])


def test_models_of_a_pair_of_cell_types_are_drawn_in_one_row_each():
    ax = transfer_rivals(PAIRS[PAIRS["tested"] != "K562"])
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == [
        "GM12878 → GM12878",
        "HeLa-S3 → GM12878",
        "K562 → GM12878",
        "HeLa-S3 → HeLa-S3",
        "GM12878 → HeLa-S3",
        "K562 → HeLa-S3",
    ]
    points = [line for line in ax.lines if line.get_marker() not in ("None", "")]
    by_row = pd.Series([round(line.get_ydata()[0]) for line in points]).value_counts()
    assert by_row.to_dict() == dict.fromkeys(range(6), 3)
    assert sorted({float(line.get_xdata()[0]) for line in points}) == [0.94, 0.95, 0.96]
    assert ax.get_xlabel().endswith("genes only")
    assert transfer_rivals(PAIRS.assign(trainings=3)).get_xlabel().endswith("genes and trainings")
    some_once = PAIRS.assign(trainings=np.where(PAIRS["model"] == "network", 3, 1))
    assert transfer_rivals(some_once).get_xlabel().endswith("genes, and trainings if several")


def test_equal_scores_are_one_step_of_the_roc_curve():
    ax = plots.roc(predictions([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5]))
    assert ax.lines[1].get_xydata().tolist() == [[0, 0], [1, 1]]
    assert "AUC 0.500" in ax.get_legend().get_texts()[0].get_text()


@pytest.mark.parametrize("label", [0, 1])
def test_genes_of_one_class_are_drawn_with_a_warning_of_what_is_not_defined(label):
    for draw in (plots.roc, plots.precision_recall):
        with pytest.warns(UserWarning, match="not defined") as found:
            draw(predictions([label] * 4, [0.1, 0.5, 0.5, 0.9]))
        assert all("not defined" in str(one.message) for one in found)
    with pytest.raises(InputError, match="no pair of values is complete"):
        plots.by_quantile([np.nan], [1.0])


def test_only_held_out_genes_are_drawn():
    held_out = np.array([True, True, False, False])
    table = predictions([1, 0, 0, 1], [0.9, 0.1, 0.9, 0.1], held_out)
    assert "AUC 1.000" in plots.roc(table).get_legend().get_texts()[0].get_text()
    with pytest.raises(InputError, match="no held-out gene"):
        plots.roc(table.assign(held_out=False))


def test_precision_and_recall_equal_those_of_scikit_learn():
    from sklearn.metrics import precision_recall_curve

    table = noisy(0, 2).assign(fold=1)
    precision, recall, _ = precision_recall_curve(table["target"], table["score"])
    line = plots.precision_recall(table).lines[1]
    drawn = dict(
        zip(line.get_xdata().round(9), line.get_ydata())
    )  # the last, lowest precision at each recall
    lowest = {}
    for p, r in zip(precision[::-1], recall[::-1].round(9)):
        lowest[r] = p
    assert all(np.isclose(drawn[r], p) for r, p in lowest.items() if r > 0)


def test_scatter_draws_every_gene_or_the_density_of_many_genes():
    few, many = (np.linspace(0, 9, number) for number in (30, 5000))
    ax = plots.scatter(predictions(few, few / 2))
    assert ax.collections[0].get_offsets().tolist() == np.stack([few, few / 2], 1).tolist()
    assert "30 held-out genes" in ax.get_title("left") and "Pearson r 1.000" in ax.get_title("left")
    assert len(plots.scatter(predictions(many, many / 2)).collections[0].get_offsets()) < 5000


def test_training_curves_draw_each_run_and_their_mean():
    runs = {
        name: pd.DataFrame({"epoch": [1, 2, 3], "held_out_auc": [0.5, 0.6, top]})
        for name, top in (("a", 0.7), ("b", 0.9))
    }
    ax = plots.training_curves(runs, measure="auc")
    assert [line.get_ydata()[-1] for line in ax.lines] == pytest.approx([0.7, 0.9, 0.8])
    with pytest.raises(InputError, match="no loss in these runs"):
        plots.training_curves(runs)


def test_the_mean_training_curve_ends_with_the_shortest_run():
    runs = {
        name: pd.DataFrame({"epoch": range(1, epochs + 1), "training_loss": level})
        for name, epochs, level in (("a", 3, 1.0), ("b", 2, 9.0))
    }
    mean = plots.training_curves(runs).lines[-1]
    assert mean.get_xdata().tolist() == [1, 2] and mean.get_ydata().tolist() == [5, 5]


def test_a_map_of_transfer_shows_values_without_a_model_of_the_tested_cell_type():
    matrix = pd.DataFrame(
        {"trained": "A", "tested": ["A", "B"], "metric": "auc", "value": [0.9, 0.8], "relative": [1, np.nan]}
    )
    ax = plots.transfer_map(matrix)
    assert {text.get_text(): text.get_position() for text in ax.texts} == {
        "0.900": (0.5, 0.5),
        "0.800": (1.5, 0.5),
    }


def test_a_forest_plot_names_the_reference_of_its_table():
    assert "minus that of Chromoformer\n" in forest(compared(reference="Chromoformer")).get_xlabel()
    assert "minus that of full (0.9)\n" in forest(compared(reference="full"), "full (0.9)").get_xlabel()


def test_gain_is_the_difference_of_the_two_models_in_each_fold():
    a, b = noisy(0, 3), noisy(1, 1)
    ax = plots.with_and_without(a, b)
    for fold, text in zip((1, 2, 3, 4), ax.texts):
        auc = [
            evaluate_scores(t["target"], t["score"], "classification")["auc"]["value"]
            for t in (a[a["fold"] == fold], b[b["fold"] == fold])
        ]
        assert text.get_text() == plots.signed(auc[0] - auc[1], 3)
    with pytest.raises(InputError, match="different genes"):
        plots.with_and_without(a, b.iloc[1:])


def test_planted_effects_count_correct_signs():
    table = pd.DataFrame(
        {"planted": [1.0, 2.0, 3.0, 1.5, -1.0, -2.0, 0.0], "effect": [0.1, 0.2, 0.3, -0.1, -0.2, -0.1, 0.0]}
    )
    labels = [text.get_text() for text in plots.planted_effects(table).get_legend().get_texts()]
    assert labels == [
        "no effect planted (1)",
        "planted to raise (4, 75.0% with this sign)",
        "planted to lower (2, 100.0% with this sign)",
    ]


@pytest.mark.parametrize("number, strand", [(8, "+"), (8, "-"), (3, "-"), (1, "+"), (0, "-")])
def test_gene_figure_shows_depth_contacts_attention_and_effects(store, model, number, strand):
    explanation = explain_gene(model, store, gene_with(store, number, strand))
    ax = plots.gene(store, explanation, notes=[f"note {i}" for i in range(number)], note_title="notes")
    assert texts_on_texts(ax.figure) == []
    tracks = panel(ax, "H3K27ac 0").patches[0].get_data()
    promoter = store.promoter_region[store.gene_rows([explanation.gene["gene_id"]])[0]]
    assert np.allclose(tracks.values, np.nan_to_num(store.region_depth(promoter)[:, 1]))
    assert tracks.edges[0] == explanation.window.start and panel(ax, "H3K27ac 0").get_xlim() == (
        explanation.window.start,
        explanation.window.end,
    )
    for pcre in range(number):
        assert panel(ax, f"H3K4me3 {pcre + 1}").get_xlim() == tuple(
            explanation.pcres.loc[pcre, ["start", "end"]]
        )
    strips = panel(ax, "attention 0").collections
    assert len(strips) == 2 * len(SMALL.bin_sizes)  # heads, resolutions
    finest = explanation.promoter_attention[100][-1] * np.count_nonzero(
        explanation.promoter_attention[100][-1]
    )
    assert np.allclose(np.ravel(strips[-1].get_array()), finest if strand == "+" else finest[::-1])
    if number:
        bars = [bar.get_height() for bar in panel(ax, "effects").patches]
        assert np.allclose(bars, [explanation.effect, *explanation.pcres["effect"]])
        widths = [line.get_linewidth() for line in panel(ax, "arcs").lines[:number]]
        assert np.array_equal(np.argsort(widths)[::-1], np.arange(number))  # the best contact is the widest
        shares = [bar.get_height() for bar in panel(ax, "regulation").patches]
        assert np.isclose(sum(shares), 1)
    else:
        assert "arcs" not in [child.get_label() for child in ax.child_axes]


@pytest.mark.parametrize("contacts", [[-2.0, -2.5, -4.0], [1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
def test_a_stronger_contact_is_wider_also_if_contacts_are_logarithms(store, model, contacts):
    explanation = explain_gene(model, store, gene_with(store, 3, "-"))
    changed = replace(explanation, pcres=explanation.pcres.assign(contact=contacts))
    lines = panel(plots.gene(store, changed), "arcs").lines[:3]
    widths = np.array([line.get_linewidth() for line in lines])
    assert (widths >= 0.8).all() and (widths <= 5).all()
    assert (np.sign(-np.diff(widths)) == np.sign(-np.diff(contacts))).all()


def test_figures_of_a_store_in_tpm_name_its_unit(tmp_path):
    path = write_toy_store(tmp_path / "tpm.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["unit"] = "TPM"
    store = Store(path)
    torch.manual_seed(0)
    network = Chromoformer(replace(SMALL, task="regression"))
    figure = plots.gene(store, explain_gene(network, store, gene_with(store, 2, "+"))).figure
    texts = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "log2(TPM + 1)" in texts and "Effect on\nlog2(TPM+1)" in texts and "RPKM" not in texts
    ax = plots.scatter(predictions([0, 1, 2, 3.5], [0.5, 1, 2, 3]), unit=store.unit)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Measured log2(TPM + 1)", "Predicted log2(TPM + 1)")


def test_analyses_of_any_store_do_not_write_rpkm_on_figures():
    for notebook in sorted((Path(__file__).parents[1] / "nbs" / "analyses").glob("*.ipynb")):
        cells = json.loads(notebook.read_text())["cells"]
        code = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        assert "log2(RPKM" not in code, notebook


def test_small_effects_are_grey_however_small_the_others_are(store, model):
    explanation = explain_gene(model, store, gene_with(store, 3, "+"))
    for effects, colours in (
        ([0.01, -0.04, 0.049], [plots.GREY] * 3),
        ([3.0, 0.06, -0.06], [plots.RED, plots.RED, plots.BLUE]),
    ):
        changed = replace(explanation, pcres=explanation.pcres.assign(effect=effects))
        arcs = panel(plots.gene(store, changed), "arcs").lines[:3]
        assert [arc.get_color() for arc in arcs] == colours


def test_the_named_ranking_is_highlighted():
    judged = pd.DataFrame({"ranking": ["a", "b"], "average_precision": [0.5, 0.4], "chance": 0.1})
    judged = judged.assign(low=0.3, high=0.6)
    for name, blue in ((None, 0), ("a", 0), ("b", 1)):
        bars = plots.average_precisions(judged, highlight=name).patches
        assert [to_hex(bar.get_facecolor()) == plots.BLUE.lower() for bar in bars] == [blue == 0, blue == 1]
    with pytest.raises(InputError, match="no ranking is called 'c'"):
        plots.average_precisions(judged, highlight="c")


def test_columns_of_the_gene_figure_follow_the_chromosome(store, model):
    explanation = explain_gene(model, store, gene_with(store, 8, "+"))
    ax = plots.gene(store, explanation)
    columns = sorted(range(9), key=lambda column: panel(ax, f"genes {column}").get_position().x0)
    middles = [
        int(explanation.gene["tss"])
        if column == 0
        else explanation.pcres.loc[column - 1, ["start", "end"]].sum() / 2
        for column in columns
    ]
    assert middles == sorted(middles)


def test_exons_are_drawn_at_their_coordinates(store, model):
    name = gene_with(store, 0, "+")
    explanation = explain_gene(model, store, name)
    tss = int(explanation.gene["tss"])
    exons = pd.DataFrame(
        {
            "chrom": [explanation.window.chrom, "chrZ"],
            "start": [tss, tss],
            "end": [tss + 300, tss + 900],
            "gene_id": [name, name],
        }
    )
    boxes = panel(plots.gene(store, explanation, exons=exons), "genes 0").collections
    assert [box.get_paths()[0].get_extents().intervalx.tolist() for box in boxes] == [[tss, tss + 300]]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_equal_figures_make_equal_files(tmp_path, ending):
    for name in ("a", "b"):
        plots.save(DRAWINGS["roc"](None), tmp_path / f"{name}.{ending}")
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_unknown_formats_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"unknown format \.jpg"):
        plots.save(DRAWINGS["scatter"](None), tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_every_figure_of_a_notebook_is_shown():
    import nbclient
    import nbformat

    draw = (
        "plots.scatter(pd.DataFrame({'held_out': True, 'target': [0.0, 1, 2, 3], 'score': [0.0, 2, 1, 3]}));"
    )
    cells = ["import pandas as pd\nfrom chromoformer import plots", draw, draw]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    assert [
        sum(output.output_type == "display_data" for output in cell.outputs) for cell in notebook.cells
    ] == [0, 1, 1]


def test_bars_of_groups_count_neighbouring_genes_once():
    random = np.random.default_rng(0)
    block = np.repeat(np.arange(100), 10)
    x = pd.Series(np.repeat(random.permutation(100), 10) + random.random(1000) / 10)
    y = pd.Series(np.repeat(random.normal(size=100), 10))
    single = quantile_means(x, y, 5)["error"]
    together = quantile_means(x, y, 5, block)["error"]
    of_blocks = y[::10].groupby(pd.qcut(x[::10], 5)).std() / np.sqrt(20)
    assert np.allclose(together, 2.09 * of_blocks, rtol=0.2)  # t of 19 degrees of freedom
    assert (together > 2.5 * single).all()


def test_every_model_and_group_is_drawn_with_a_look_of_its_own():
    names = [f"model {number}" for number in range(9)]
    tables = {name: noisy(number, 1.0) for number, name in enumerate(names)}
    for draw in (plots.roc, plots.precision_recall):
        ax = draw(tables)
        shown = [text.get_text().splitlines()[0] for text in ax.get_legend().get_texts()]
        assert shown == names
        looks = {(line.get_color(), str(line._dash_pattern)) for line in ax.lines if line.get_lw() == 1.0}
        assert len(looks) == 9
    random = np.random.default_rng(0)
    places, groups = random.normal(size=(90, 2)), np.repeat(names, 10)
    assert len(plots.gene_places(places, groups).get_legend().get_texts()) == 9
    profile = pd.DataFrame({"group": groups, "place": np.tile(np.arange(10) / 10, 9)})
    profile = profile.assign(bin_size=100, enrichment=1.0, genes=99)
    assert len(plots.attention_profile(profile).get_legend().get_texts()) == 9
    parts = pd.DataFrame({"group": groups, "part": "body", "gene_id": np.arange(90), "enrichment": 1.0})
    assert len(plots.attention_parts(parts).get_legend().get_texts()) == 9
