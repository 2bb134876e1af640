"""Labels follow the rule of the manifest, folds are what it says, and unusual expression is noted."""

import warnings

import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import succeed

from chromoformer.data.build import build_store
from chromoformer.data.channels import add_channel
from chromoformer.data.expression import labels_of, note_labels
from chromoformer.data.manifest import Channel, read_manifest
from chromoformer.data.store import Store
from chromoformer.errors import InputError

CHROMS = {"chr1": 300_000, "chr2": 300_000, "chr14": 300_000}
GENES = pd.DataFrame(
    {
        "gene_id": [f"G{number}" for number in range(60)],
        "chrom": np.repeat(list(CHROMS), 20),
        "tss": np.tile(10_000 + 10_000 * np.arange(20), 3),
        "strand": "+",
    }
)
ROUNDED = np.round(np.random.default_rng(0).lognormal(2, 2, 60), 3)


def cell(folder, values=ROUNDED, **changes):
    "Write a small cell type; return its manifest."
    (folder / "sizes").write_text("".join(f"{name}\t{size}\n" for name, size in CHROMS.items()))
    GENES.to_csv(folder / "genes.tsv", sep="\t", index=False)
    table = pd.DataFrame({"gene_id": GENES["gene_id"], "value": values})
    table.to_csv(folder / "expression.tsv", sep="\t", index=False)
    lines = [f"{chrom}\t0\t{size}\t2\n" for chrom, size in CHROMS.items()]
    (folder / "track.bedGraph").write_text("".join(lines))
    content = {
        "name": "small",
        "genome": "toy",
        "chrom_sizes": {"path": "sizes"},
        "channels": [{"name": "mark", "kind": "bedgraph", "path": "track.bedGraph"}],
        "annotation": {"kind": "table", "path": "genes.tsv"},
        "expression": {"kind": "table", "path": "expression.tsv", "column": "value"},
        "folds": {1: ["chr1"], 2: ["chr2"], 3: ["chr14"]},
        "window": 4000,
        "bin_sizes": [500],
    }
    (folder / "cell.yaml").write_text(yaml.safe_dump(content | changes))
    return folder / "cell.yaml"


def built(folder, values=ROUNDED, **changes):
    "Build the cell type; return its store and the warnings."
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build_store(cell(folder, values, **changes), folder / "cell.h5", progress=False, force=True)
    return Store(folder / "cell.h5"), " | ".join(str(one.message) for one in caught)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("median", np.median(ROUNDED) <= ROUNDED),
        ({"above": 5}, ROUNDED > 5),
        ({"quantile": 0.5}, np.median(ROUNDED) <= ROUNDED),
        ({"quantile": 0.9}, np.sort(ROUNDED)[53] + 0.1 * np.diff(np.sort(ROUNDED)[53:55])[0] <= ROUNDED),
    ],
)
def test_labels_follow_the_rule_of_the_manifest(tmp_path, label, expected):
    store, said = built(tmp_path, label=label)
    assert store.genes["label"].tolist() == expected.astype(int).tolist()
    assert store.label == label and "label" not in said


def test_mostly_silent_genes_are_noted_and_a_threshold_separates_them(tmp_path):
    silent = np.where(np.arange(60) % 3 == 0, ROUNDED, 0)
    store, said = built(tmp_path, silent)
    assert (store.genes["label"] == 1).all()
    assert "60 of 60 genes have label 1" in said and "label: {above: 0}" in said
    store, said = built(tmp_path, silent, label={"above": 0})
    assert store.genes["label"].tolist() == (silent > 0).astype(int).tolist() and "label 1" not in said


@pytest.mark.parametrize(
    ("expression", "noted"),
    [
        (np.zeros(60), "is 0"),
        (np.log2(ROUNDED + 1), "logarithms"),
        (np.log(ROUNDED + 1), "logarithms"),
        (np.log10(ROUNDED + 1), "logarithms"),
        (ROUNDED * 20, ""),
        (np.arange(60.0) // 3, ""),
    ],
)
def test_expression_that_is_zero_or_a_logarithm_is_noted(tmp_path, expression, noted):
    _, said = built(tmp_path, expression)
    assert noted in said and bool(noted) == ("expression.tsv, column value" in said)


def test_the_unit_is_named_instead_of_rpkm_and_kept(tmp_path):
    content = {"kind": "table", "path": "expression.tsv", "column": "value", "unit": "CAGE tags"}
    manifest = cell(tmp_path, np.log2(ROUNDED + 1), expression=content)
    with pytest.warns(UserWarning, match="largest CAGE tags"):
        build_store(manifest, tmp_path / "cell.h5", progress=False)
    store = Store(tmp_path / "cell.h5")
    assert store.unit == "CAGE tags"
    other = add_channel(
        store,
        Channel(name="more", kind="bedgraph", path=str(tmp_path / "track.bedGraph")),
        tmp_path / "more.h5",
        CHROMS,
    )
    assert (other.unit, other.label) == ("CAGE tags", "median")
    table = pd.read_csv(tmp_path / "expression.tsv", sep="\t")
    table.assign(value=-1.0).to_csv(tmp_path / "expression.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match="CAGE tags -1.0 is negative") as caught:
        build_store(manifest, tmp_path / "cell.h5", progress=False, force=True)
    assert "RPKM" not in str(caught.value)


def test_build_and_info_say_how_many_labels_are_1(tmp_path):
    manifest = cell(tmp_path, label={"above": 5})
    result = succeed("build", manifest, "--out", tmp_path / "cell.h5", "--processes", 1)
    assert f"genes with label 1: {(ROUNDED > 5).sum()} of 60 (RPKM above 5)" in result.out
    assert "RPKM above 5" in succeed("info", tmp_path / "cell.h5").out


def test_a_store_with_default_rule_and_unit_is_the_same_file_as_before(tmp_path):
    built(tmp_path)
    default = (tmp_path / "cell.h5").read_bytes()
    built(tmp_path, label={"quantile": 0.5})
    assert (tmp_path / "cell.h5").read_bytes() != default
    built(tmp_path, label="median")
    assert (tmp_path / "cell.h5").read_bytes() == default


@pytest.mark.parametrize(
    "label",
    [
        "mean",
        {"above": -1},
        {"quantile": 1.5},
        {"quantile": 50},
        {"above": True},
        {"above": 1, "quantile": 0.5},
        {},
        3,
    ],
)
def test_unknown_rules_are_refused(tmp_path, label):
    with pytest.raises(InputError, match="is not a rule"):
        read_manifest(cell(tmp_path, label=label))


@pytest.mark.parametrize(
    ("labels", "label", "noted"),
    [
        ([1, 0, 1], "median", False),
        ([1], "median", False),
        ([1] * 54 + [0] * 46, "median", False),
        ([1] * 60 + [0] * 40, "median", True),
        ([1] * 25 + [0] * 75, {"quantile": 0.75}, False),
        ([1] * 40 + [0] * 60, {"quantile": 0.75}, True),
        ([1] * 90 + [0] * 10, {"above": 1}, False),
        ([1] * 99 + [0], {"above": 1}, True),
        ([0] * 50, {"above": 1}, True),
        ([-1] * 90 + [1, 0], "median", False),
    ],
)
def test_only_labels_far_from_what_was_asked_are_noted(labels, label, noted):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        note_labels(np.array(labels), label)
    assert bool(caught) is noted


def test_unknown_expression_is_no_label_and_moves_no_threshold():
    expression = np.array([np.nan, 1.0, 2.0, 3.0, np.nan])
    assert labels_of(expression).tolist() == [-1, 0, 1, 1, -1]
    assert labels_of(expression, {"above": 2}).tolist() == [-1, 0, 0, 1, -1]
    assert labels_of(expression, among=np.array([np.nan])).tolist() == [-1] * 5


# ---- folds ----


def test_chromosomes_may_be_written_as_numbers(tmp_path):
    store, said = built(tmp_path, folds={1: [1], 2: [2], 3: [14]}, leave_out=[2])
    assert store.genes.groupby("chrom")["fold"].unique().map(list).to_dict() == {"chr1": [1], "chr14": [3]}
    assert "no chromosome" not in said


@pytest.mark.parametrize(
    ("folds", "says"),
    [
        ({1: ["chr1"], 2: ["chr2", "chr1"]}, "chr1 is in folds 1 and 2"),
        ({1: ["chr1"], 2: ["chr2", "1"]}, "1 is in folds 1 and 2"),
        ({1: [1], 2: ["chr1"]}, "chr1 is in folds 1 and 2"),
        ({0: ["chr1"], 2: ["chr2"]}, "0 is not a fold"),
        ({-1: ["chr1"], 2: ["chr2"]}, "-1 is not a fold"),
    ],
)
def test_a_chromosome_in_two_folds_is_refused(tmp_path, folds, says):
    with pytest.raises(InputError, match=says):
        read_manifest(cell(tmp_path, folds=folds))


def test_folds_and_left_out_chromosomes_that_the_genome_lacks_are_noted(tmp_path):
    folds = {1: ["chr1", "chr1l"], 2: ["chr2"], 3: ["chr14"]}
    _, said = built(tmp_path, folds=folds, leave_out=["chrX"])
    assert "folds of manifest small: the genome has no chromosome chr1l" in said
    assert "leave_out of manifest small: the genome has no chromosome chrX" in said


def test_sizes_of_another_assembly_stop_the_build(tmp_path):
    manifest = cell(tmp_path, genome="hg19")
    (tmp_path / "sizes").write_text("chr1\t248956422\n")
    with pytest.raises(InputError, match="lengths are those of hg38"):
        build_store(manifest, tmp_path / "cell.h5", progress=False)
    assert not (tmp_path / "cell.h5").exists()
