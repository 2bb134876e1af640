"""The gene view: switched inputs, gene names, pictures without a kernel, and a real browser."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.resources import files

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import CHROMS, MARKS, SMALL, toy_tables, write_toy_store

from chromoformer.data.store import Store, write_store
from chromoformer.errors import InputError
from chromoformer.genome import Region
from chromoformer.interpret.gene import explain_gene, withhold_each
from chromoformer.interpret.perturbation import perturb, silence
from chromoformer.interpret.switches import GeneExplainer, find_gene
from chromoformer.model import checkpoint
from chromoformer.model.config import ChromoformerConfig
from chromoformer.model.network import Chromoformer
from chromoformer.plots.browse import MOST_POINTS, browse, thinned, view_of
from chromoformer.plots.gene import LEAST_EFFECT


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(write_toy_store(tmp_path_factory.mktemp("browse") / "toy.h5"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs")
    for fold in (1, 2, 3):  # nobody held out fold 4
        checkpoint.save(Chromoformer(SMALL), folder / f"fold{fold}", held_out=[fold])
    return [folder / f"fold{fold}" for fold in (1, 2, 3)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    "A store of whole genes, some long, on both strands, and a network that reads them."
    genes, pcres = toy_tables(per_chrom=6)
    length = 1000 + 9700 * (np.arange(len(genes)) % 3)
    plus = genes["strand"] == "+"
    genes["tss"] += 150_000
    genes["gene_start"] = np.where(plus, genes["tss"], genes["tss"] + 1 - length)
    genes["gene_end"] = genes["gene_start"] + length
    path = tmp_path_factory.mktemp("whole") / "whole.h5"
    random = np.random.default_rng(0)
    write_store(
        path,
        genes=genes,
        pcres=pcres,
        signal_of=lambda regions: random.poisson(100, (regions["bins"].sum(), 2)),
        channels=MARKS,
        bin_sizes=(2000, 500, 100),
        window=4000,
        genome="toy",
        inputs={},
        chrom_sizes=CHROMS,
        downstream=1000,
    )
    torch.manual_seed(0)
    network = Chromoformer(ChromoformerConfig(**SMALL.to_dict() | {"span": "gene"})).eval()
    return Store(path), network


def gene_with(store, pcres, fold=1):
    "The first gene of a fold with so many pCREs."
    number = np.diff(store.pcre_start)
    return store.genes.loc[(number == pcres) & (store.genes["fold"] == fold), "gene_id"].iloc[0]


# ---- switched inputs ----


def test_every_switched_pcre_gives_the_number_of_withhold_each(store, runs):
    gene = gene_with(store, 5)
    explainer = GeneExplainer(runs, store)
    explanation = explainer.explain(gene)
    expected = withhold_each(runs, store, [gene])
    for row in expected.itertuples():
        change = explainer.change(pcres=[row.rank])
        assert change.score == pytest.approx(row.score_without, abs=1e-6)
        assert change.effect == pytest.approx(row.effect, abs=1e-6)
        assert set(change.pcre_attention[100]) == set(range(1, 6)) - {row.rank}
    everything_off = explainer.change(pcres=range(1, 6))
    assert everything_off.score == pytest.approx(explanation.score_without, abs=1e-6)
    assert everything_off.effect == pytest.approx(explanation.effect, abs=1e-6)
    assert all(weights.shape[-1] == 1 for weights in everything_off.regulation_attention.values())


@pytest.mark.parametrize("marks", [["H3K27ac"], list(MARKS)])
@pytest.mark.parametrize("reads", ["window", "gene"])
def test_a_mark_that_is_off_equals_silencing_all_that_is_read(store, runs, whole, marks, reads):
    store, models = (store, runs) if reads == "window" else whole
    gene = gene_with(store, 3)
    explainer = GeneExplainer(models, store)
    explanation = explainer.explain(gene)
    silent = silence(store, explainer.stretch, marks)
    for pcre in explanation.pcres.itertuples():
        silent = silence(silent, Region(pcre.chrom, pcre.start, pcre.end), marks)
    again = Region(explainer.stretch.chrom, max(explainer.stretch.start, 0), explainer.stretch.end)
    expected = perturb(models, silent, again, marks, genes=[gene])["score_silenced"].item()
    assert explainer.change(marks=marks).score == pytest.approx(expected, abs=1e-6)
    assert expected != pytest.approx(explanation.score, abs=1e-6)


def test_the_explainer_explains_as_explain_gene_does(store, runs, whole):
    for models, of in ((runs, store), (whole[1], whole[0])):
        gene = gene_with(of, 3)
        found, expected = GeneExplainer(models, of).explain(gene), explain_gene(models, of, gene)
        pd.testing.assert_frame_equal(found.pcres, expected.pcres)
        effects = withhold_each(models, of, [gene])
        np.testing.assert_allclose(found.pcres["effect"].astype(float), effects["effect"], atol=1e-6)
        assert (found.score, found.model, found.held_out) == (
            expected.score,
            expected.model,
            expected.held_out,
        )


def test_a_gene_is_shown_only_by_the_model_that_held_it_out(store, runs):
    explainer = GeneExplainer(runs, store)
    assert explainer.explain(gene_with(store, 2, fold=2)).model == str(runs[1])
    with pytest.raises(InputError, match="none of the models held out the fold"):
        explainer.explain(gene_with(store, 2, fold=4))
    assert set(explainer.genes["fold"]) == {1, 2, 3}
    alone = GeneExplainer(runs[0], store)
    assert (
        set(alone.genes["fold"]) == {1, 2, 3, 4} and not alone.explain(gene_with(store, 2, fold=4)).held_out
    )


def test_genes_are_found_by_id_and_by_name_in_any_case(store):
    assert find_gene(store, "gene7") == find_gene(store, "name7") == find_gene(store, " NAME7 ") == "gene7"
    with pytest.raises(InputError, match=r"perhaps .*name11"):
        find_gene(store, "nmae11")
    with pytest.raises(InputError):
        find_gene(store, "")
    twice = store.replace(genes=store.genes.assign(gene_name="same"))
    with pytest.raises(InputError, match="120 genes are called same"):
        find_gene(twice, "same")


def test_unknown_pcres_and_marks_are_errors(store, runs):
    explainer = GeneExplainer(runs, store)
    with pytest.raises(InputError, match="no gene was explained"):
        explainer.change()
    explainer.explain(gene_with(store, 3))
    with pytest.raises(InputError, match="has 3 pCREs"):
        explainer.change(pcres=[4])
    with pytest.raises(InputError, match="H3K9"):
        explainer.change(marks=["H3K9"])


# ---- what the browser gets ----


def test_thinned_bins_are_means_of_neighbours():
    values = np.random.default_rng(0).random((2, 1234))
    found, together = thinned(values, 100)
    assert together == 13 and found.shape == (2, 95)
    np.testing.assert_allclose(found[:, 3], values[:, 39:52].mean(1))
    np.testing.assert_allclose(found[:, -1], values[:, 1222:].mean(1))


@pytest.mark.parametrize("reads", ["window", "gene"])
def test_attention_in_the_view_lies_where_the_network_reads_it(store, runs, whole, reads):
    store, models = (store, runs) if reads == "window" else whole
    explainer = GeneExplainer(models, store)
    for strand in "+-":
        genes = store.genes[(store.genes["strand"] == strand) & (store.genes["fold"] == 2)]
        view = browse(store, models, genes["gene_id"].iloc[-1])
        explanation = explainer.explain(view.view["gene"]["id"])
        for size in (2000, 500, 100):
            attention = explainer.change().promoter_attention[size]
            edges = view.view["edges"][size][0]
            shown = np.array(view.now["attention"][size][0])
            assert len(edges) == shown.shape[1] + 1 <= MOST_POINTS + 1 and np.all(np.diff(edges) > 0)
            bins = explanation.promoter_bins(size)
            place = edges.index(bins["start"].iloc[0])  # of the first bin at the 5' end
            expected = attention[:, 0] * np.count_nonzero(attention, axis=1)
            np.testing.assert_allclose(shown[:, place], expected, atol=1e-3)
        assert json.loads(json.dumps(view_of(explainer, explanation)))["gene"]["tss"] == genes["tss"].iloc[-1]


def test_view_and_figure_colour_effects_by_the_same_threshold(store, runs):
    assert browse(store, runs, gene_with(store, 3)).view["least_effect"] == LEAST_EFFECT
    script = (files("chromoformer") / "plots" / "browse.js").read_text()
    assert "colourOf(pcre.effect, view.least_effect)" in script


def test_view_answers_questions_and_reports_unknown_genes(store, runs):
    gene = gene_with(store, 4)
    view = browse(store, runs, gene)
    view.asked = {"gene": gene, "pcres": [2], "marks": [], "number": 1}
    expected = withhold_each(runs, store, [gene])["score_without"][1]
    assert view.now["score"] == pytest.approx(expected, abs=1e-6) and "pCRE 2" in view.now["alt"]
    view.asked = {"gene": "nmae11", "pcres": [], "marks": [], "number": 2}
    assert "perhaps" in view.message and view.now["of"] == gene
    assert [one["id"] for one in view.complete("NAME11")][:2] == ["gene11", "gene110"][
        : len(view.complete("NAME11"))
    ]
    assert view.complete("") == [] and view.complete("no such") == []


def test_first_gene_is_a_held_out_one_with_the_most_pcres(store, runs):
    number = pd.Series(np.diff(store.pcre_start), store.genes["gene_id"])
    of_fold = number[(store.genes["fold"] == 2).to_numpy()]
    assert number[browse(store, runs[1]).view["gene"]["id"]] == of_fold.max()
    assert store.genes.set_index("gene_id")["fold"][browse(store, runs[1]).view["gene"]["id"]] == 2


def test_a_hostile_gene_name_is_text_in_the_picture(store, runs):
    named = store.replace(genes=store.genes.assign(gene_name="<script>alert(1)</script>"))
    view = browse(named, runs, "gene7")
    page = view._repr_html_()
    assert "<script" not in page and "needs a running kernel" in page and 'alt="' in page
    assert not (set(map(str, runs)) & set(page.split('"')))


def test_importing_the_package_stays_light():
    code = "import sys, chromoformer; print(sorted({'torch', 'anywidget', 'matplotlib'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
    with pytest.raises(AttributeError, match="brwse"):
        import chromoformer

        chromoformer.brwse


# ---- in JupyterLab ----


def written(path, store, runs, gene):
    "Write a notebook that browses."
    code = (
        f"import chromoformer\nchromoformer.browse({str(store.path)!r}, {list(map(str, runs))!r}, {gene!r})"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return path


@pytest.mark.slow
def test_exported_pages_show_the_picture(store, runs, tmp_path):
    notebook = written(tmp_path / "view.ipynb", store, runs, gene_with(store, 3))
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--execute", str(notebook)]
    subprocess.run(command, check=True, capture_output=True)
    page = (tmp_path / "view.html").read_text()
    assert "needs a running kernel" in page and "data:image/png;base64" in page
    assert '<script type="application/vnd.jupyter.widget-view+json">' not in page


@contextmanager
def lab(folder):
    "Start JupyterLab in a folder with settings of its own; yield its port."
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {
        name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=t", f"--ServerApp.root_dir={folder}"]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log)
    try:
        for _ in range(300):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.3)
        yield port
    finally:
        server.terminate()
        server.wait()


@pytest.mark.slow
def test_a_click_in_jupyterlab_shows_the_number_of_the_library(store, runs, tmp_path):
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    missing = [name for name in ("playwright", "jupyterlab") if importlib.util.find_spec(name) is None]
    if chromium is None or missing:
        pytest.skip(f"needs a browser (chromium), playwright and jupyterlab; missing: {missing}")
    from playwright.sync_api import sync_playwright

    first, other = gene_with(store, 4, fold=1), gene_with(store, 5, fold=2)
    expected = withhold_each(runs, store, [other])
    explainer = GeneExplainer(runs, store)
    explanation = explainer.explain(other)
    written(tmp_path / "view.ipynb", store, runs, first)
    with lab(tmp_path) as port, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(120_000)
        page.goto(f"http://127.0.0.1:{port}/lab/tree/view.ipynb?token=t")
        prompt = page.locator(".jp-InputPrompt").first
        for _ in range(60):  # until the kernel is there
            page.locator(".jp-Notebook .cm-content").first.click()
            page.keyboard.press("Shift+Enter")
            page.wait_for_timeout(2000)
            if prompt.inner_text() != "[ ]:":
                break

        def wait_for(score):
            shown = "document.querySelector('.cf-view[aria-busy=false] .cf-score strong')?.textContent"
            page.wait_for_function(f"{shown} === '{score:.3f}'")

        wait_for(GeneExplainer(runs, store).explain(first).score)
        assert not page.locator("[class^=cf-static]").first.is_visible()
        gene = page.locator(".cf-input")  # choose a gene with the keyboard
        gene.fill(explanation.gene["gene_name"])
        page.wait_for_selector(".cf-list li")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        wait_for(explanation.score)
        boxes = page.locator("input[data-kind=pcres]")
        assert boxes.count() == 5
        boxes.nth(1).focus()
        page.keyboard.press("Space")  # the pCRE of rank 2
        wait_for(expected["score_without"][1])
        assert "pCRE 2" in page.locator(".cf-figure svg").get_attribute("aria-label")
        page.locator("input[data-kind=marks]").first.click()
        wait_for(explainer.change([2], [MARKS[0]]).score)
        page.locator(".cf-button").click()
        wait_for(explanation.score)
        gene.fill("nmae11")
        page.keyboard.press("Enter")
        page.wait_for_function("document.querySelector('.cf-message').textContent.includes('perhaps')")
        browser.close()
