"""What JupyterLab shows of stores, manifests, networks, folders and explanations."""

import re

import numpy as np
import pytest
import torch
from helpers import SMALL, write_toy_store

from chromoformer.data.manifest import Manifest
from chromoformer.data.store import Store
from chromoformer.describe import describe
from chromoformer.errors import summary_html
from chromoformer.interpret.gene import explain_gene
from chromoformer.model import checkpoint
from chromoformer.model.network import Chromoformer

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(write_toy_store(tmp_path_factory.mktemp("displays") / "toy.h5"))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Chromoformer(SMALL).eval()


def manifest(**values):
    return Manifest(
        name="cellA",
        genome="hg19",
        chrom_sizes={"path": "hg19.sizes"},
        channels=[{"name": "H3K4me3", "kind": "bigwig", "path": "a.bigWig"}],
        annotation={"kind": "gtf", "path": "genes.gtf"},
        **values,
    )


def test_facts_are_escaped_and_empty_ones_left_out():
    page = summary_html(HOSTILE, {HOSTILE: HOSTILE, "none": None, "empty": "", "zero": 0})
    assert "<img" not in page and page.count("&lt;img") == 3
    assert "none" not in page and "empty" not in page and "zero" in page


def test_a_store_shows_its_size_and_no_folder(store):
    page = store._repr_html_()
    assert "120 (fold 1: 30, fold 2: 30, fold 3: 30, fold 4: 30)" in page
    assert f"{len(store.pcres)} contacts, {len(store.pcres) / 120:.1f} per gene" in page
    assert "toy.h5" in page and str(store.path.parent) not in page


def test_a_manifest_shows_names_from_files_as_text():
    page = manifest(note=HOSTILE)._repr_html_()
    assert "H3K4me3 (bigwig)" in page and "none; for predictions only" in page
    assert "<img" not in page and "40,000 bp in bins of 2,000, 500, 100 bp" in page


def test_a_network_shows_its_number_of_parameters(network):
    page = network._repr_html_()
    number = sum(
        np.prod(weights.shape)
        for weights in network.state_dict(keep_vars=True).values()
        if weights.requires_grad
    )
    assert f"{int(number):,}" in page and "classification" in page and "2 layers, 2 heads" in page


def test_a_folder_is_shown_line_by_line(network, tmp_path):
    checkpoint.save(network, tmp_path / "model", held_out=[2])
    text = describe(tmp_path / "model")
    assert text._repr_html_().startswith("<pre>") and text._repr_html_().count("\n") == text.count("\n") > 3


def test_an_explanation_shows_every_pcre_with_its_effect(store, network):
    gene = store.genes["gene_id"].iloc[int(np.diff(store.pcre_start).argmax())]
    explanation = explain_gene(network, store.replace(genes=store.genes.assign(gene_name=HOSTILE)), gene)
    page = explanation._repr_html_()
    effects = [float(text) for text in re.findall(r"effect ([+-][\d.]+)", page)]
    np.testing.assert_allclose(effects, explanation.pcres["effect"].astype(float), atol=0.0051)
    assert f"{explanation.score:.3f}" in page and "<img" not in page and "may have been trained" in page
    assert len(page) < 3000
