"""The toy epigenome with a DNA sequence: its sites block contacts, and only the sequence shows them."""

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import papermill
import pytest
import yaml

from chromoformer.data.build import build_store
from chromoformer.data.manifest import read_manifest
from chromoformer.data.motifs import sites_of
from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.genome import read_chrom_sizes
from chromoformer.simulate.cell import STEP, expected_depth, make_cell
from chromoformer.simulate.epigenome import simulate
from chromoformer.simulate.rules import MARKS, TOY_FOLDS, SequenceRules, chroms_of, make_genome

ROOT = Path(__file__).resolve().parents[1]
MOTIF = "TGGCCACCAGGGGGCGCTA"
COMPLEMENT = str.maketrans("ACGT", "TGCA")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("sequence") / "toy"
    return simulate(place, genes=80, seed=1, sequence=True, cell_types=["cellA", "other"], progress=False)


def truth(folder, name):
    return pd.read_parquet(folder / "truth" / f"{name}.parquet")


def sequence_of(folder, genome):
    "Return the bases of each chromosome."
    records = gzip.decompress((folder / f"genomes/{genome}.fa.gz").read_bytes()).decode().split(">")[1:]
    return {record.split("\n", 1)[0]: record.split("\n", 1)[1].replace("\n", "") for record in records}


@pytest.mark.parametrize(("cell_type", "genome"), [("cellA", "sequence"), ("other", "other_sequence")])
def test_a_contact_is_blocked_exactly_where_a_site_lies_between_gene_and_element(folder, cell_type, genome):
    links = truth(folder, "links").query("cell_type == @cell_type")
    sites = truth(folder, "sites").query("genome == @genome")
    drawn = links[links["blocked"] | (links["frequency"] > 0)]
    assert 0.2 < drawn["blocked"].mean() < 0.9
    for link in drawn.itertuples():
        low, high = sorted((link.tss, (link.start + link.end) // 2))
        middle = (sites.loc[sites["chrom"] == link.chrom, ["start", "end"]].sum(axis=1) // 2).to_numpy()
        assert link.blocked == bool(((middle >= low) & (middle < high)).any())
        assert (link.frequency == 0) == link.blocked
    blocked = links[links["blocked"]]
    assert (blocked["effect"] == 0).all() and (blocked["score"] < 1.5).all()
    assert ((blocked["kind"] == "enhancer") & (blocked["activity"] > 0)).any()


def test_sites_are_copies_of_the_motif_with_few_errors_on_both_strands(folder):
    sequence, sites = sequence_of(folder, "sequence"), truth(folder, "sites").query("genome == 'sequence'")
    sizes = read_chrom_sizes(folder / "genomes/sequence.chrom.sizes")
    assert {chrom: len(bases) for chrom, bases in sequence.items()} == sizes
    wrong = []
    for site in sites.itertuples():
        bases = sequence[site.chrom][site.start : site.end]
        if site.strand == "-":
            bases = bases.translate(COMPLEMENT)[::-1]
        wrong.append(np.mean([a != b for a, b in zip(bases, MOTIF, strict=True)]))
    assert 0.01 < np.mean(wrong) < 0.06 and max(wrong) < 0.4
    assert 0.3 < (sites["strand"] == "+").mean() < 0.7
    for bases in sequence.values():
        assert abs(sum(bases.count(base) for base in "GC") / len(bases) - 0.5) < 0.01


def test_the_scan_of_a_manifest_finds_the_planted_sites_and_hardly_any_other(folder):
    channel = read_manifest(folder / "cellA.sequence.yaml").channels[7]
    sizes = read_chrom_sizes(folder / "genomes/sequence.chrom.sizes")
    found = sites_of(channel.path, sizes, p_value=channel.p_value)
    planted = truth(folder, "sites").query("genome == 'sequence'")
    both = found.merge(planted, on=["chrom", "start", "end", "strand"])
    assert len(both) >= 0.9 * len(planted) and len(found) - len(both) <= 3


def test_no_mark_shows_the_sites():
    rules = SequenceRules()
    genome = make_genome("sequence", dict.fromkeys(chroms_of(TOY_FOLDS)), TOY_FOLDS, 400, rules)
    cell = make_cell(genome, "cellA", rules)
    for mark in MARKS:
        at_sites, at_mirrored = [], []
        for chrom, sites in genome.sites.groupby("chrom"):
            depth = expected_depth(cell, mark, str(chrom), np.random.default_rng(0))
            tss = np.sort(genome.genes.loc[genome.genes["chrom"] == chrom, "tss"])
            nearest = tss[np.abs(sites["start"].to_numpy()[:, None] - tss).argmin(axis=1)]
            mirrored = 2 * nearest - sites["start"].to_numpy()
            inside = (mirrored >= 0) & (mirrored // STEP < len(depth))
            at_sites.append(depth[sites["start"].to_numpy()[inside] // STEP])
            at_mirrored.append(depth[mirrored[inside] // STEP])
        difference = np.concatenate(at_sites) - np.concatenate(at_mirrored)
        assert abs(difference.mean()) < 4 * difference.std(ddof=1) / np.sqrt(len(difference)), mark


def test_manifests_read_the_sequence_and_ctcf_is_not_measured(folder, tmp_path):
    names = {path.name for path in folder.glob("cellA*.yaml")}
    assert names == {f"cellA{ending}.yaml" for ending in ("", ".sequence", ".predicted", ".cool")}
    assert not list(folder.rglob("CTCF*"))
    build_store(folder / "cellA.sequence.yaml", tmp_path / "sequence.h5", progress=False)
    build_store(folder / "cellA.predicted.yaml", tmp_path / "predicted.h5", progress=False)
    sequence, predicted = Store(tmp_path / "sequence.h5"), Store(tmp_path / "predicted.h5")
    assert sequence.channels == (*MARKS, "CTCF sites", "GC", "CpG") and predicted.channels == MARKS
    links = truth(folder, "links").query("cell_type == 'cellA' and frequency > 0")
    assert len(sequence.pcres) == len(links)  # measured contacts: those that are not blocked
    window = sequence.regions.iloc[sequence.promoter_region]
    site = sequence.signal()[:, 7]
    first = window["first_bin"].to_numpy()
    sums = [site[begin : begin + bins].sum() for begin, bins in zip(first, window["bins"])]
    assert 0.3 < np.mean(np.array(sums) > 0) < 0.95


def test_the_default_toy_has_the_bytes_of_earlier_versions(tmp_path):
    folder = simulate(tmp_path / "toy", genes=24, seed=3, hic=False, progress=False)
    expected = {
        "cellA/contacts.tsv.gz": "2c269f19207fec31",
        "cellA/H3K4me3.tagAlign.gz": "3fa07006d2718fc4",
        "genomes/toy.gtf.gz": "7fca215de1f2dc64",
        "genomes/toy.RPKM.pc.gz": "744cc78e9e45ca41",
        "other/contacts.tsv.gz": "75e866c571705dc9",
    }
    found = {
        name: hashlib.sha256(gzip.decompress((folder / name).read_bytes())).hexdigest()[:16]
        for name in expected
    }
    assert found == expected
    assert not list(folder.rglob("*.fa.gz")) and not (folder / "truth/sites.parquet").exists()
    assert "blocked" not in truth(folder, "links")


@pytest.mark.parametrize("others", [{"scale": "human"}, {"long_genes": True}])
def test_a_sequence_at_human_scale_or_with_long_genes_is_refused(tmp_path, others):
    with pytest.raises(InputError, match="sequence"):
        simulate(tmp_path / "toy", sequence=True, **others)
    assert not (tmp_path / "toy").exists()


def test_the_option_of_the_command_line_writes_the_sequence(tmp_path):
    command = [sys.executable, "-c", "from chromoformer.cli import main; main()", "simulate"]
    command += [str(tmp_path / "toy"), "--sequence"]
    subprocess.run([*command, "--genes", "16", "--cell-type", "cellA"], check=True, capture_output=True)
    content = yaml.safe_load((tmp_path / "toy/cellA.predicted.yaml").read_text())
    assert content["contacts"]["kind"] == "ctcf"
    assert (tmp_path / "toy" / content["contacts"]["path"]["sequence"]).is_file()


@pytest.mark.slow
def test_the_sites_are_found_with_sequence_tracks_and_contacts_help_in_the_expected_order(tmp_path):
    script = ROOT / "benchmarks" / "toy_sequence.py"
    command = [sys.executable, str(script), str(tmp_path / "out"), "--seeds", "0", "1", "2"]
    subprocess.run([*command, "--result", str(tmp_path / "found.json")], check=True)
    found = json.loads((tmp_path / "found.json").read_text())
    mean = {row["model"]: row["value"] for row in found["means"]}
    order = ["none", "distance", "activity with CTCF", "measured"]
    assert [mean[name] for name in order] == sorted(mean[name] for name in order)
    verdict = {(row["model"], row["reference"]): row["verdict"] for row in found["differences"]}
    assert verdict["activity with CTCF", "distance"] == "higher"
    assert verdict["measured", "activity with CTCF"] == "higher"
    assert verdict["distance, with sites", "distance"] == "higher"
    assert verdict["none, with sites", "none"] == "higher"
    assert verdict["distance, with shuffled sites", "distance"] == "no difference detected"
    assert verdict["distance", "distance, with GC and CpG"] == "no difference detected"


@pytest.mark.slow
def test_the_analysis_of_contacts_compares_contacts_from_ctcf(folder, tmp_path):
    content = yaml.safe_load((folder / "cellA.yaml").read_text())
    content["contacts"]["top"] = 3  # of the many candidates
    (folder / "few.yaml").write_text(yaml.safe_dump(content))
    build_store(folder / "few.yaml", tmp_path / "cellA.h5", progress=False)
    described = read_manifest(folder / "cellA.predicted.yaml").contacts
    names = ("path", "p_value", "insulation", "gain")
    small = {"layers": 1, "heads": 2, "width": 8, "attention_width": 8, "feed_forward_width": 8}
    parameters = {
        "out": str(tmp_path / "out"),
        "store": str(tmp_path / "cellA.h5"),
        "manifest": str(folder / "few.yaml"),
        "truth": str(folder / "truth"),
        "network": {"embedding": small, "pairwise": small, "regulation": small, "head_width": 8},
        "recipe": {"epochs": 1, "batch_size": 8},
        "held_out": [1],
        "seeds": 1,
        "processes": 1,
        "draws": 20,
        "predicted": {"marks": described.marks},
        "ctcf": {name: getattr(described, name) for name in names},
    }
    notebook = ROOT / "nbs" / "analyses" / "contacts.ipynb"
    papermill.execute_notebook(notebook, tmp_path / "done.ipynb", parameters, progress_bar=False, cwd=ROOT)
    results = json.loads((tmp_path / "out" / "metrics.json").read_text())
    kinds = {row["model"] for row in results["means"]}
    assert kinds == {"measured", "activity and distance", "activity with CTCF", "distance alone", "none"}
    assert results["contacts"]["activity with CTCF"]["insulation"] == described.insulation
    found = {name: results[f"recall of planted enhancers, {name}"]["value"] for name in kinds - {"none"}}
    assert found["activity with CTCF"] > found["activity and distance"]
