"""Bad input on the command line: the message names file, place and fix, and no incomplete file is left."""

import gzip
import os
import pickle
import re
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyBigWig
import pytest
import torch
import yaml
from command_line import TINY, chromoformer, listing, refused, succeed

from chromoformer.data import published
from chromoformer.data.store import Store
from chromoformer.errors import InputError


@pytest.fixture
def folder(toy, tmp_path) -> Path:
    "A copy of the toy that a test may change."
    return Path(shutil.copytree(toy, tmp_path / "toy"))


def edit(file, change) -> None:
    "Rewrite a text file, gzipped or not, by a function of its lines."
    zipped = file.suffix == ".gz"
    text = gzip.decompress(file.read_bytes()).decode() if zipped else file.read_text()
    text = "".join(f"{line}\n" for line in change(text.splitlines()))
    file.write_bytes(gzip.compress(text.encode(), mtime=0) if zipped else text.encode())


def manifest(folder, **changes) -> Path:
    "Write the manifest of the toy with other values."
    file = folder / "cellA.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes, sort_keys=False))
    return file


def channel(folder, **changes) -> Path:
    "Write the manifest of the toy with a single changed channel, H3K4me1."
    return manifest(
        folder, channels=[{"name": "H3K4me1", "kind": "bigwig", "path": "cellA/H3K4me1.bigWig"} | changes]
    )


def build(folder, says=()) -> str:
    "Check that `build` refuses its input and leaves nothing."
    return refused(
        folder.parent,
        "build",
        folder / "cellA.yaml",
        "--out",
        folder / "stores" / "cellA.h5",
        "--processes",
        1,
        says=says,
    )


def builds(folder):
    "Build the store; return it and the messages."
    result = succeed("build", folder / "cellA.yaml", "--out", folder / "cellA.h5", "--processes", 1)
    return Store(folder / "cellA.h5"), result.err


def sizes_of(folder) -> dict[str, int]:
    return {
        name: int(size)
        for name, size in (
            line.split() for line in (folder / "genomes/toy.chrom.sizes").read_text().splitlines()
        )
    }


def write_track(path, sizes, value=lambda chrom: 1.0, name=lambda chrom: chrom) -> Path:
    "Write a bigWig with one value for each chromosome."
    with pyBigWig.open(str(path), "w") as track:
        track.addHeader([(name(chrom), size) for chrom, size in sizes.items()])
        for chrom, size in sizes.items():
            track.addEntries([name(chrom)], [0], ends=[size], values=[value(chrom)])
    return path


# ---- tracks ----


@pytest.mark.parametrize("keep", [0, 3, 64, 1000, 50_000, -1])
def test_a_bigwig_cut_short_or_empty_is_reported(folder, keep):
    track = folder / "cellA" / "H3K9ac.bigWig"
    track.write_bytes(track.read_bytes()[:keep])
    build(folder, says=[track, "empty" if keep == 0 else "bigWig", "bigWig" if keep == 3 else "again"])


def test_a_damaged_bigwig_is_reported(folder):
    track = folder / "cellA" / "H3K9ac.bigWig"
    content = bytearray(track.read_bytes())
    content[3000:90_000] = bytes(87_000)
    track.write_bytes(content)
    build(folder, says=[track, "again"])


def test_a_text_file_named_as_a_bigwig_is_reported(folder):
    track = folder / "cellA" / "H3K9ac.bigWig"
    track.write_text("chr1\t0\t10\t1\n")
    build(folder, says=[track, "chromoformer coverage"])


def test_a_missing_track_is_reported(folder):
    (folder / "cellA" / "H3K9ac.bigWig").unlink()
    build(folder, says=["cellA/H3K9ac.bigWig", "H3K9ac", "correct the path"])


def test_genes_of_a_chromosome_that_a_track_lacks_can_be_left_out(folder):
    sizes = sizes_of(folder)
    del sizes["chr7"]
    track = write_track(folder / "part.bigWig", sizes)
    channel(folder, path="part.bigWig")
    build(folder, says=[track, "chr7", "leave out the genes of these chromosomes"])
    channel(folder, path="part.bigWig")
    manifest(folder, leave_out=["chr7"])
    assert "chr7" not in set(builds(folder)[0].genes["chrom"])
    manifest(folder, leave_out=list(sizes_of(folder)))
    build(folder, says=[folder / "genomes" / "toy.gtf.gz", "leave_out in manifest cellA", "all genes lie on"])


def test_chromosome_names_without_chr_match(folder):
    write_track(folder / "bare.bigWig", sizes_of(folder), name=lambda chrom: chrom[3:])
    channel(folder, path="bare.bigWig")
    edit(folder / "genomes" / "toy.gtf.gz", lambda lines: [line.removeprefix("chr") for line in lines])
    edit(folder / "cellA" / "contacts.tsv.gz", lambda lines: [line.replace("chr", "") for line in lines])
    store, _ = builds(folder)
    assert len(store.genes) == 60 and len(store.pcres) and set(store.genes["chrom"]) <= set(sizes_of(folder))
    assert store.signal().max() == 100


@pytest.mark.parametrize("what", ["track", "annotation", "contacts", "reads", "bedgraph"])
def test_files_without_any_chromosome_of_the_genome_are_refused(folder, what):
    if what == "track":
        file = write_track(
            folder / "other.bigWig", sizes_of(folder), name=lambda chrom: f"scaffold_{chrom[3:]}"
        )
        channel(folder, path="other.bigWig")
    elif what == "annotation":
        file = folder / "genomes" / "toy.gtf.gz"
        edit(file, lambda lines: [re.sub(r"^chr", "scaffold_", line) for line in lines])
    elif what == "contacts":
        file = folder / "cellA" / "contacts.tsv.gz"
        edit(file, lambda lines: [line.replace("chr", "scaffold_") for line in lines])
    elif what == "reads":
        file = folder / "cellA" / "H3K4me3.tagAlign.gz"
        edit(file, lambda lines: [re.sub(r"^chr", "scaffold_", line) for line in lines])
    else:
        file = folder / "depth.bedGraph"
        file.write_text("scaffold_1\t0\t10\t1\n")
        channel(folder, kind="bedgraph", path="depth.bedGraph")
    build(folder, says=[file, "scaffold_", "chr1", "one genome assembly"])


def test_a_chromosome_of_another_length_is_refused(folder):
    track = write_track(
        folder / "other.bigWig", {chrom: size + 5 for chrom, size in sizes_of(folder).items()}
    )
    channel(folder, path="other.bigWig")
    build(folder, says=[track, "365,727", "365,722", "one genome assembly"])


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_negative_or_nan_signal_in_a_bigwig_is_refused(folder, value):
    track = write_track(
        folder / "x.bigWig", sizes_of(folder), lambda chrom: value if chrom == "chr7" else 1.0
    )
    channel(folder, path="x.bigWig")
    build(folder, says=[track, "chr7:", "depth"])


@pytest.mark.parametrize("value", ["-1", "NaN", "inf", "", "high"])
def test_negative_or_nan_signal_in_a_bedgraph_is_refused(folder, value):
    track = folder / "depth.bedGraph"
    track.write_text(f"chr1\t0\t10\t1\nchr1\t10\t20\t{value}\nchr1\t20\t30\t2\n")
    refused(
        folder,
        "coverage",
        track,
        "--chrom-sizes",
        folder / "genomes/toy.chrom.sizes",
        "--out",
        folder / "x.bigWig",
        says=[track, "line 2"],
    )
    channel(folder, kind="bedgraph", path="depth.bedGraph")
    build(folder, says=[track, "line 2"])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("chr1\t-5\t20", "before the chromosome"),
        ("chr1\t365700\t365723", "past the end of chr1"),
        ("chr1\t20\t20", "not after start"),
        ("chr1\tten\t20", "not a whole number"),
        ("chr1\t10", "columns"),
        ("chr1\t1.5\t20", "not a whole number"),
    ],
)
def test_an_impossible_read_is_reported_with_its_line(folder, line, says):
    reads = folder / "reads.bed"
    reads.write_text(f"chr1\t0\t36\n{line}\nchr1\t0\t36\n")
    refused(
        folder,
        "coverage",
        reads,
        "--chrom-sizes",
        folder / "genomes/toy.chrom.sizes",
        "--out",
        folder / "new" / "x.bigWig",
        says=[reads, "line 2", says],
    )


@pytest.mark.parametrize("what", ["empty", "cut short", "missing", "a folder", "not a BAM"])
def test_files_without_readable_reads_are_refused(folder, what):
    reads = folder / "cellA" / "H3K4me3.tagAlign.gz"
    content = reads.read_bytes()
    reads.unlink()
    if what == "a folder":
        reads.mkdir()
    elif what == "not a BAM":
        reads = folder / "reads.bam"
        reads.write_bytes(b"this is not a BAM file")
    elif what != "missing":
        reads.write_bytes(content[:5000] if what == "cut short" else b"")
    refused(
        folder,
        "coverage",
        reads,
        "--chrom-sizes",
        folder / "genomes/toy.chrom.sizes",
        "--out",
        folder / "x.bigWig",
        says=[reads],
    )


@pytest.mark.parametrize("text", ["", "chr1\n", "chr1\tlong\n", "chr1\t100\nchr1\t200\n", "chr1\t0\n"])
def test_invalid_chromosome_sizes_are_refused(folder, text):
    sizes = folder / "genomes" / "toy.chrom.sizes"
    sizes.write_text(text)
    build(folder, says=[sizes])
    refused(
        folder,
        "coverage",
        folder / "cellA" / "H3K4me3.tagAlign.gz",
        "--chrom-sizes",
        sizes,
        "--out",
        folder / "x.bigWig",
        says=[sizes],
    )


# ---- genes and expression ----


def in_gtf(gene, change):
    "Change the gene record of one gene."

    def edited(lines):
        return [
            change(line) if f'"{gene}.' in line and line.split("\t")[2] == "gene" else line for line in lines
        ]

    return edited


@pytest.mark.parametrize("end", [365_723, 9_000_000])
def test_a_tss_outside_its_chromosome_is_refused(folder, end):
    annotation = folder / "genomes" / "toy.gtf.gz"
    edit(
        annotation,
        in_gtf(
            "ENSTOYG00000000001",
            lambda line: re.sub(r"^((?:[^\t]*\t){3})\d+\t\d+", rf"\g<1>{end}\t{end}", line),
        ),
    )
    build(folder, says=[annotation, "ENSTOYG00000000001", "chr1", "one genome assembly"])


def test_a_tss_outside_its_chromosome_in_a_gene_table_is_refused(folder):
    table = folder / "genes.tsv"
    table.write_text(
        "gene_id\tchrom\ttss\tstrand\nENSTOYG00000000001\tchr1\t1000\t+\nENSTOYG00000000002\tchr1\t365722\t-\n"
    )
    manifest(folder, annotation={"kind": "table", "path": "genes.tsv"})
    build(folder, says=[table, "ENSTOYG00000000002", "365722"])
    table.write_text(table.read_text().replace("365722", "-1"))
    build(folder, says=[table, "ENSTOYG00000000002", "before the chromosome's start"])


def test_genes_on_unknown_chromosomes_are_counted(folder):
    edit(
        folder / "genomes" / "toy.gtf.gz", lambda lines: [re.sub("^chr7\t", "chrM\t", line) for line in lines]
    )
    store, said = builds(folder)
    assert "chr7" not in set(store.genes["chrom"]) and re.search(
        r"Note: .*toy.gtf.gz: 1 chromosome names match nothing.*of [0-9,]+ entries.*chrM", said
    )


def test_duplicate_genes_in_the_annotation_are_refused(folder):
    annotation = folder / "genomes" / "toy.gtf.gz"
    edit(annotation, lambda lines: [*lines, next(line for line in lines if line.split("\t")[2] == "gene")])
    build(folder, says=[annotation, "ENSTOYG00000000001", "one row per gene"])


def test_duplicate_genes_in_the_expression_are_refused(folder):
    expression = folder / "genomes" / "toy.RPKM.pc.gz"
    edit(expression, lambda lines: [*lines, lines[3]])
    build(folder, says=[expression, "ENSTOYG00000000003", "line", "one row per gene"])


def test_unknown_genes_are_counted_and_refused_if_all_are_unknown(folder):
    expression = folder / "genomes" / "toy.RPKM.pc.gz"
    edit(expression, lambda lines: [line.replace("ENSTOYG00000000003", "GENE3") for line in lines])
    store, said = builds(folder)
    assert len(store.genes) == 59 and re.search(
        "Note: .*1 of the annotation have no RPKM and 1 with an RPKM", said
    )
    edit(expression, lambda lines: [line.replace("TOYG", "GENE") for line in lines])
    build(folder, says=["toy.gtf.gz", "toy.RPKM.pc.gz", "ENSTOYG00000000001", "GENE", "gene ids of one kind"])


@pytest.mark.parametrize("value", ["high", "", "NaN", "-3", "inf"])
def test_an_invalid_rpkm_is_reported_with_its_line(folder, value):
    expression = folder / "genomes" / "toy.RPKM.pc.gz"
    edit(
        expression,
        lambda lines: [re.sub("(ENSTOYG00000000003)\t[^\t]*", rf"\1\t{value}", line) for line in lines],
    )
    build(
        folder,
        says=[
            expression,
            "line 4",
            "ENSTOYG00000000003",
            "correct or remove this row" if value != "-3" else "not its logarithm",
        ],
    )


@pytest.mark.parametrize("name", ["annotation", "expression"])
@pytest.mark.parametrize("keep", [0, 150])
def test_an_annotation_or_expression_cut_short_is_refused(folder, name, keep):
    file = folder / "genomes" / {"annotation": "toy.gtf.gz", "expression": "toy.RPKM.pc.gz"}[name]
    file.write_bytes(file.read_bytes()[:keep])
    build(folder, says=[file])


def test_a_missing_column_of_the_matrix_is_reported(folder):
    manifest(folder, expression={"kind": "matrix", "path": "genomes/toy.RPKM.pc.gz", "column": "E116"})
    build(folder, says=["toy.RPKM.pc.gz", "E116", "cellA"])


# ---- contacts ----


@pytest.mark.parametrize(
    "fragment", ["chr1:365000-365723", "chr1:-5-1000", "chr1:900-800", "chr1:900", "promoter 7"]
)
def test_a_contact_that_leaves_its_chromosome_is_reported_with_its_line(folder, fragment):
    contacts = folder / "cellA" / "contacts.tsv.gz"
    edit(contacts, lambda lines: [*lines, f"chr1:32951-39681\t{fragment}\t9.5"])
    build(folder, says=[contacts, "line", fragment])


def test_contacts_between_chromosomes_are_left_out_and_counted(folder, toy_store):
    edit(
        folder / "cellA" / "contacts.tsv.gz",
        lambda lines: [*lines, "chr1:32951-39681\tchr7:100-200\t9.5", "chr2:1-9\tchr9:3-8\t7"],
    )
    store, said = builds(folder)
    assert re.search("Note: .*contacts.tsv.gz: 2 of .* contacts join two chromosomes and are left out", said)
    assert len(store.pcres) == len(Store(toy_store).pcres)


@pytest.mark.parametrize("score", ["strong", "", "nan"])
def test_an_invalid_contact_score_is_reported_with_its_line(folder, score):
    contacts = folder / "cellA" / "contacts.tsv.gz"
    edit(contacts, lambda lines: [*lines[:2], f"chr1:100-200\tchr1:300-400\t{score}", *lines[2:]])
    build(folder, says=[contacts, "line 3", "score"])


class Harmful:
    "Unpickling this object makes a folder."

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("hidden", ["outright", "as a key", "in a set"])
def test_code_in_a_pickle_of_contacts_is_never_run(folder, hidden):
    harm = Harmful(folder / "harmed")
    content = {"outright": harm, "as a key": {harm: {"chr1:1-2"}}, "in a set": {"chr1:1-2": {harm}}}[hidden]
    (folder / "neighbours.pickle").write_bytes(pickle.dumps(content))
    (folder / "scores.pickle").write_bytes(pickle.dumps({("chr1:1-2", "chr1:5-9"): 2.0}))
    paths = {"frag2neighbors": "neighbours.pickle", "pair2score": "scores.pickle"}
    manifest(folder, contacts={"kind": "pickles", "path": paths})
    build(folder, says=[folder / "neighbours.pickle", "mkdir", "do not trust this file"])


def test_contact_pickles_cut_short_or_with_other_content_are_refused(folder):
    (folder / "neighbours.pickle").write_bytes(pickle.dumps({"chr1:1-2": {"chr1:5-9"}}))
    scores = folder / "scores.pickle"
    manifest(
        folder,
        contacts={
            "kind": "pickles",
            "path": {"frag2neighbors": "neighbours.pickle", "pair2score": "scores.pickle"},
        },
    )
    for content in (
        b"",
        pickle.dumps({("chr1:1-2", "chr1:5-9"): 2.0})[:-4],
        pickle.dumps([1, 2]),
        pickle.dumps({}),
    ):
        scores.write_bytes(content)
        build(folder, says=[scores])


def test_a_damaged_cooler_or_one_without_the_resolution_or_weights_is_refused(folder):
    contacts = {"kind": "cool", "path": "cellA/hic.mcool", "resolution": 7000}
    manifest(folder, contacts=contacts)
    build(folder, says=[folder / "cellA" / "hic.mcool", "7000", "10000"])
    manifest(folder, contacts=contacts | {"resolution": 10_000, "balance": "KR"})
    build(folder, says=[folder / "cellA" / "hic.mcool", "KR", "weight"])
    file = folder / "cellA" / "hic.mcool"
    file.write_bytes(file.read_bytes()[:5000])
    build(folder, says=[file])


def test_a_manifest_without_contacts_makes_a_store_without_pcres(folder):
    manifest(folder, contacts={"kind": "none"})
    assert len(builds(folder)[0].pcres) == 0


# ---- manifest and configuration ----


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("channels:", "chanels:", "chanels"),
        ("kind: bigwig", "kind: bigwigg", "channels.0.kind"),
        ("window: 40000", "window: wide", "window"),
        ("window: 40000", "window: 40100", "bin_sizes"),
        ("name: cellA", "", "name"),
        ("H3K9ac,", "H3K4me1,", "channels"),
        ("path: cellA/H3K9ac.bigWig", "paht: cellA/H3K9ac.bigWig", "channels.6"),
        ("genome: toy", "genome: {toy", "YAML"),
        ("contacts:", "contacts: 7 #", "contacts"),
        ("bin_sizes: [2000, 500, 100]", "bin_sizes: [2000, 300]", "bin_sizes"),
    ],
)
def test_a_mistake_in_a_manifest_is_reported_with_its_key(folder, old, new, says):
    file = folder / "cellA.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    build(folder, says=[file, says])


@pytest.mark.parametrize("content", [b"", b"just words", b"- 1\n- 2\n", b"\xff\xfe\x00\x01", b"a: [\n"])
def test_a_file_that_is_not_a_manifest_is_refused(folder, content):
    (folder / "cellA.yaml").write_bytes(content)
    build(folder, says=[folder / "cellA.yaml"])


def test_a_missing_manifest_and_a_missing_file_of_a_manifest_are_reported(folder):
    (folder / "genomes" / "toy.gtf.gz").unlink()
    build(folder, says=["genomes/toy.gtf.gz", "annotation", "correct the path"])
    (folder / "cellA.yaml").unlink()
    build(folder, says=[folder / "cellA.yaml"])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("network:", "netwerk:", "netwerk"),
        ("recipe:", "recipes:", "recipes"),
        ("head_width", "head_with", "head_with"),
        ("layers: 1", "leyers: 1", "leyers"),
        ("epochs: 2", "epocs: 2", "epocs"),
        ("epochs: 2", "epochs: many", "epochs"),
        ("epochs: 2", "epochs: 0", "epochs"),
        ("epochs: 2", "epochs: 1.5", "epochs"),
        ("width: 8", "width: 7", "width"),
        ("heads: 2", "heads: two", "heads"),
        ("heads: 2", "heads: 0", "embedding"),
        ("heads: 2", "heads: 3", "heads"),
        ("recipe: {epochs: 2, batch_size: 8, learning_rate: 1.0e-3}", "recipe: fast", "fast"),
        ("recipe: {epochs: 2, batch_size: 8, learning_rate: 1.0e-3}", "recipe: [1]", "recipe"),
        ("head_width: 8", "head_width: wide", "head_width"),
        ("head_width: 8", "embeding: 3", "embeding"),
        ("head_width: 8", "max_pcres: few", "max_pcres"),
        ("head_width: 8", "bin_sizes: [2000, 300]", "bin_sizes"),
        ("head_width: 8", "bin_sizes: 2000", "bin_sizes"),
        ("head_width: 8", "window: 20000", "20000"),
        ("head_width: 8", "channels: [A, B]", "no channel A, B"),
        ("learning_rate: 1.0e-3", "learning_rate: 1e-3", "1.0e-3"),
        ("{epochs", "{epochs: [", "YAML"),
    ],
)
def test_a_mistake_in_a_configuration_is_reported_with_its_key(toy_store, tmp_path, old, new, says):
    config = tmp_path / "config.yaml"
    assert old in TINY
    config.write_text(TINY.replace(old, new, 1))
    fits = says not in (
        "20000",
        "no channel A, B",
    )  # the configuration alone shows the mistake, without the store
    refused(
        tmp_path,
        "train",
        toy_store,
        "--config",
        config,
        "--out",
        tmp_path / "run",
        says=[config if fits else toy_store, says],
    )


@pytest.mark.parametrize(
    "content", [b"just words", b"- 1\n", b"network: 7\n", b"network: [1]\n", b"\xff\xfe\x00\x01"]
)
def test_a_file_that_is_not_a_configuration_is_refused(toy_store, tmp_path, content):
    config = tmp_path / "config.yaml"
    config.write_bytes(content)
    refused(tmp_path, "train", toy_store, "--config", config, "--out", tmp_path / "run", says=[config])
    refused(
        tmp_path,
        "train",
        toy_store,
        "--config",
        tmp_path / "none.yaml",
        "--out",
        tmp_path / "run",
        says=[tmp_path / "none.yaml"],
    )


# ---- the published layout ----


@pytest.fixture
def regions(tmp_path):
    "A metadata table, and the arrays of two genes with two marks."
    (tmp_path / "regions").mkdir()
    table = pd.DataFrame(
        {
            "gene_id": ["A", "B"],
            "chrom": ["chr1", "chr2"],
            "start": [5000, 9000],
            "strand": ["+", "-"],
            "split": [1, 3],
            "label": [0, 1],
            "expression": [0.5, 8],
            "neighbors": ["chr1:20000-20350", None],
            "scores": ["2.5", None],
        }
    )
    for region in ("chr1:3000-7000", "chr2:7000-11000", "chr1:20000-20350"):
        start, end = map(int, region.split(":")[1].split("-"))
        np.save(tmp_path / "regions" / f"{region}.npy", np.ones((2, end - start), np.float16))
    return tmp_path, table


def import_regions(folder, table, says=None, channels="A,B"):
    meta = folder / "meta.csv"
    if isinstance(table, pd.DataFrame):
        table.to_csv(meta, index=False)
    else:
        meta.write_bytes(table)
    arguments = (
        "import-regions",
        meta,
        folder / "regions",
        "--out",
        folder / "new" / "x.h5",
        "--channels",
        channels,
        "--window",
        4000,
    )
    return succeed(*arguments) if says is None else refused(folder, *arguments, says=says)


def test_a_correct_published_layout_is_imported(regions):
    import_regions(*regions)
    assert Store(regions[0] / "new" / "x.h5").genes["gene_id"].tolist() == ["A", "B"]


def test_blanks_around_the_names_of_channels_are_not_part_of_them(regions):
    import_regions(*regions, channels=" A, B ")
    assert Store(regions[0] / "new" / "x.h5").channels == ("A", "B")
    with pytest.raises(InputError, match="'B ' cannot be a name"):
        published.import_regions(
            regions[0] / "meta.csv", regions[0] / "regions", regions[0] / "y.h5", channels=["A", "B "]
        )


def test_a_published_layout_without_neighbours_has_no_pcres(regions):
    folder, table = regions
    import_regions(folder, table.drop(columns=["neighbors", "scores"]))
    assert len(Store(folder / "new" / "x.h5").pcres) == 0


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("gene_id", "A", ["listed more than once: A"]),
        ("expression", "high", ["line 3", "high"]),
        ("expression", -1, ["line 3", "-1"]),
        ("label", 2, ["line 3", "2"]),
        ("label", 0.5, ["line 3", "0.5"]),
        ("split", 5, ["line 3", "5"]),
        ("split", "one", ["line 3", "one"]),
        ("strand", ".", ["line 3", "."]),
        ("start", "far", ["line 3", "far"]),
        ("start", 9000.5, ["line 3", "9000.5"]),
        ("start", -7, ["line 3", "-7"]),
        ("start", None, ["line 3"]),
        ("start", 1000, ["line 3", "chr2:-1000-3000"]),
        ("neighbors", "chr1:20000-20350", ["line 3", "another chromosome"]),
        ("neighbors", "chr2:-50-100", ["line 3", "chr2:-50-100"]),
        ("neighbors", "chr2:9-8", ["line 3", "chr2:9-8"]),
        ("neighbors", "chr2:1-9;chr2:4-5", ["line 3", "2 neighbours"]),
        ("neighbors", "here", ["line 3", "here"]),
        ("neighbors", "chr2:20000-20350", ["chr2:20000-20350.npy"]),
        ("scores", "strong", ["line 3", "strong"]),
        ("scores", "nan", ["line 3", "nan"]),
        ("chrom", None, ["line 3"]),
    ],
)
def test_a_mistake_in_the_metadata_is_reported_with_its_line(regions, column, value, says):
    folder, table = regions
    table = table.astype(object)
    if column == "scores":
        table.loc[1, "neighbors"] = "chr2:20000-20350"
    if column == "neighbors":
        table.loc[1, "scores"] = "2.5"
    table.loc[1, column] = value
    import_regions(folder, table, says=[folder / ("regions" if ".npy" in says[0] else "meta.csv"), *says])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"gene_id,chrom\nA,chr1\n",
        b"\xff\xfe\x00\x01",
        b'gene_id,chrom\n"A,chr1\n',
        b"gene_id,chrom,start,strand,split\n",
    ],
)
def test_a_file_that_is_not_a_metadata_table_is_refused(regions, content):
    import_regions(regions[0], content, says=[regions[0] / "meta.csv"])


def test_columns_of_the_metadata_that_occur_twice_or_have_no_name_are_refused(regions):
    folder, table = regions
    twice = pd.concat([table, 1 - table[["label"]]], axis=1)
    import_regions(folder, twice, says=[folder / "meta.csv", "columns occur twice: label"])
    header, *lines = table.to_csv(index=False).splitlines()
    longer = "\n".join([header, *(f"{line}," for line in lines)]) + "\n"
    import_regions(folder, longer.encode(), says=[folder / "meta.csv", "more fields than the header"])


def test_missing_metadata_and_missing_arrays_are_reported(regions):
    folder, table = regions
    (folder / "regions" / "chr2:7000-11000.npy").unlink()
    import_regions(folder, table, says=[folder / "regions" / "chr2:7000-11000.npy", "add the file"])
    refused(
        folder,
        "import-regions",
        folder / "none.csv",
        folder / "regions",
        "--out",
        folder / "x.h5",
        says=[folder / "none.csv"],
    )
    refused(
        folder,
        "import-regions",
        folder / "meta.csv",
        folder / "none",
        "--out",
        folder / "x.h5",
        "--window",
        4000,
        says=[folder / "none"],
    )


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_negative_or_nan_signal_in_a_region_array_is_refused(regions, value):
    folder, table = regions
    file = folder / "regions" / "chr2:7000-11000.npy"
    depth = np.load(file)
    depth[1, 41] = value
    np.save(file, depth)
    import_regions(folder, table, says=[file, "mark 2, base 42"])


def test_region_arrays_cut_short_or_of_another_shape_are_refused(regions):
    folder, table = regions
    file = folder / "regions" / "chr2:7000-11000.npy"
    whole = file.read_bytes()
    for content in (b"", whole[:60], whole[:-2], b"text"):
        file.write_bytes(content)
        import_regions(folder, table, says=[file])
    for array in (np.ones((3, 4000)), np.ones((2, 3999)), np.ones(4000), np.full((2, 4000), "x")):
        np.save(file, array)
        import_regions(folder, table, says=[file])


def test_code_in_a_region_array_is_never_run(regions):
    folder, table = regions
    file = folder / "regions" / "chr2:7000-11000.npy"
    np.save(file, np.array([Harmful(folder / "harmed")], object), allow_pickle=True)
    import_regions(folder, table, says=[file])


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--bin-sizes", "2000,many", "--bin-sizes"),
        ("--bin-sizes", "2000,300", "300"),
        ("--bin-sizes", "0", "0"),
        ("--window", 4100, "4100"),
        ("--window", 0, "0"),
        ("--channels", "A,B,C", "(2, "),
        ("--channels", "A,A", "A"),
    ],
)
def test_settings_of_import_regions_that_do_not_fit_are_refused(regions, option, value, says):
    folder, table = regions
    table.to_csv(folder / "meta.csv", index=False)
    options = {"--channels": "A,B", "--window": 4000, "--out": folder / "x.h5"} | {option: value}
    refused(
        folder,
        "import-regions",
        folder / "meta.csv",
        folder / "regions",
        *sum(options.items(), ()),
        says=[says],
    )


# ---- stores ----


@pytest.mark.parametrize("keep", [0, 7, 500, 0.3, 0.6, 0.9, 0.999])
def test_a_store_cut_short_is_refused(toy_store, toy_runs, tiny, tmp_path, keep):
    store, whole = tmp_path / "cellA.h5", toy_store.read_bytes()
    store.write_bytes(whole[: int(keep if keep == 0 or keep > 1 else keep * len(whole))])
    for command in (
        ("info", store),
        ("train", store, "--config", tiny, "--out", tmp_path / "run"),
        ("predict", toy_runs[0], store, "--out", tmp_path / "p.csv"),
    ):
        refused(tmp_path, *command, says=[store, "build it again"])


def test_a_store_with_damaged_signal_is_refused(toy_store, toy_runs, tmp_path):
    store = Path(shutil.copy(toy_store, tmp_path / "cellA.h5"))
    with h5py.File(store) as file:
        chunk = file["signal"].id.get_chunk_info(0)
    content = bytearray(store.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    store.write_bytes(content)
    refused(
        tmp_path, "predict", toy_runs[0], store, "--out", tmp_path / "p.csv", says=[store, "build it again"]
    )


def test_a_store_of_another_version_and_another_hdf5_file_are_refused(toy_store, tiny, tmp_path):
    store = Path(shutil.copy(toy_store, tmp_path / "cellA.h5"))
    with h5py.File(store, "r+") as file:
        file.attrs["version"] = 99
    refused(
        tmp_path,
        "train",
        store,
        "--config",
        tiny,
        "--out",
        tmp_path / "run",
        says=[store, "99", "build it again"],
    )
    with h5py.File(store, "r+") as file:
        del file.attrs["version"]
    refused(tmp_path, "info", store, says=[store])
    with h5py.File(store, "w") as file:
        file["x"] = 1
    refused(tmp_path, "info", store, says=[store, "not a store"])


# ---- checkpoints and models ----


@pytest.fixture
def weights(toy_runs, tmp_path):
    "A checkpoint in the published format."
    succeed("export-weights", toy_runs[0], "--out", tmp_path / "clf.pt")
    return tmp_path / "clf.pt"


def import_weights(weights, *options, says):
    return refused(
        weights.parent,
        "import-weights",
        weights,
        "--out",
        weights.parent / "new" / "model",
        *options,
        says=says,
    )


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("fc_head.0.weight", (8, 16)),
        ("embed.500.lin_proj.weight", (8, 6)),
        ("regulation.100.transformer.layers.0.ff.l1.weight", (9, 8)),
        ("pairwise_interaction.2000.transformer.layers.0.self_att.p_att.weight", (8, 7)),
        ("embed.2000.lin_proj.weight", (7,)),
        ("fc_head.2.weight", (3, 8)),
        ("regulation.2000.transformer.layers.0.self_att.gamma_f", ()),
    ],
)
def test_a_checkpoint_with_a_tensor_of_another_shape_is_refused(weights, name, shape):
    content = torch.load(weights, weights_only=False)
    assert name in content["net"]
    content["net"][name] = torch.zeros(shape)
    torch.save(content, weights)
    import_weights(weights, says=[weights])


def test_a_checkpoint_with_a_missing_or_unknown_tensor_is_refused(weights):
    content = torch.load(weights, weights_only=False)
    tensor = content["net"].pop("fc_head.0.bias")
    torch.save(content, weights)
    import_weights(weights, says=[weights, "fc_head.0.bias"])
    content["net"] |= {"fc_head.0.bias": tensor, "extra.weight": tensor}
    torch.save(content, weights)
    import_weights(weights, says=[weights, "extra.weight"])


@pytest.mark.parametrize(
    "content",
    ["empty", "cut short", "text", "a list", "no net", "numbers", "no tensors", "odd names", "missing"],
)
def test_other_files_are_not_read_as_checkpoints(weights, content):
    whole = weights.read_bytes()
    raw = {"empty": b"", "cut short": whole[: len(whole) // 2], "text": b"weights"}
    saved = {
        "a list": [1],
        "no net": {"epoch": 3},
        "numbers": {"net": 7},
        "no tensors": {"net": {"embed.500.lin_proj.weight": 3}},
        "odd names": {"net": {"embed.x.lin_proj.weight": torch.zeros(2, 2), 5: torch.zeros(1)}},
    }
    if content in raw:
        weights.write_bytes(raw[content])
    elif content in saved:
        torch.save(saved[content], weights)
    else:
        weights.unlink()
    import_weights(weights, says=[weights])


def test_code_in_a_checkpoint_is_never_run(weights):
    content = torch.load(weights, weights_only=False)
    content["optimizer"] = Harmful(weights.parent / "harmed")
    torch.save(content, weights)
    import_weights(weights, says=[weights, "mkdir", "not loaded"])


def test_settings_that_do_not_fit_a_checkpoint_are_refused(weights):
    import_weights(weights, "--channels", "A,B", says=[weights, "7 channels"])
    import_weights(weights, "--window", 1234, says=["1234", "2000"])


def test_a_model_that_does_not_fit_the_store_is_refused(toy_store, toy_runs, folder, tmp_path):
    channels = yaml.safe_load((folder / "cellA.yaml").read_text())["channels"]
    manifest(folder, channels=channels[:6])
    store = builds(folder)[0].path
    refused(
        tmp_path,
        "predict",
        toy_runs[0],
        store,
        "--out",
        tmp_path / "p.csv",
        says=[toy_runs[0], store, channels[6]["name"]],
    )
    manifest(
        folder,
        channels=channels[:7],
        window=20_000,
        contacts={"kind": "none"},
    )
    succeed("build", folder / "cellA.yaml", "--out", folder / "narrow.h5", "--processes", 1)
    store = folder / "narrow.h5"
    refused(
        tmp_path,
        "predict",
        toy_runs[0],
        store,
        "--out",
        tmp_path / "p.csv",
        says=[toy_runs[0], "20000 bp", "40000 bp"],
    )
    refused(tmp_path, "train", toy_store, store, "--out", tmp_path / "run", says=[store, "window"])


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"half"])
def test_a_model_folder_with_a_damaged_file_is_refused(toy_store, toy_runs, tmp_path, name, content):
    model = Path(shutil.copytree(toy_runs[0], tmp_path / "model"))
    if content is None:
        (model / name).unlink()
    else:
        (model / name).write_bytes(
            (model / name).read_bytes()[: (model / name).stat().st_size // 2]
            if content == b"half"
            else content
        )
    refused(
        tmp_path,
        "predict",
        model,
        toy_store,
        "--out",
        tmp_path / "p.csv",
        says=[model, "again" if content is not None else "model"],
    )


def test_weights_that_do_not_fit_their_configuration_are_refused(toy_store, toy_runs, tmp_path):
    model = Path(shutil.copytree(toy_runs[0], tmp_path / "model"))
    config = (model / "config.json").read_text()
    for old, new, says in (
        ('"head_width": 8', '"head_width": 9', "head.0"),
        ('"head_width"', '"head_with"', "head_with"),
        ('"head_width": 8', '"head_width": -8', "head_width"),
        ('"held_out": [', '"held_out": 1, "x": [', ""),
    ):
        assert old in config
        (model / "config.json").write_text(config.replace(old, new))
        refused(tmp_path, "predict", model, toy_store, "--out", tmp_path / "p.csv", says=[model, says])


def test_runs_that_cannot_be_combined_are_refused(toy_store, toy_runs, tmp_path):
    refused(
        tmp_path,
        "predict",
        toy_runs[0],
        toy_runs[0],
        toy_store,
        "--out",
        tmp_path / "p.csv",
        says=[toy_runs[0], "fold 1", "named twice", "one run per fold"],
    )
    refused(tmp_path, "predict", toy_store, "--out", tmp_path / "p.csv", says=["model folder and a store"])
    refused(tmp_path, "predict", toy_store, toy_runs[0], "--out", tmp_path / "p.csv", says=[toy_runs[0]])
    refused(
        tmp_path,
        "predict",
        tmp_path / "none",
        toy_store,
        "--out",
        tmp_path / "p.csv",
        says=[tmp_path / "none"],
    )


def test_an_incomplete_or_damaged_run_is_not_evaluated(toy_runs, tmp_path):
    run = Path(shutil.copytree(toy_runs[0], tmp_path / "run"))
    table = run / "predictions.parquet"
    table.write_bytes(table.read_bytes()[:200])
    refused(tmp_path, "evaluate", run, says=[table])
    table.unlink()
    refused(tmp_path, "evaluate", toy_runs[1], run, says=[run, "complete run"])


@pytest.mark.parametrize("content", ["", "\n", "epoch\n1\n", "epoch,training_loss\n"])
def test_a_run_with_a_damaged_history_is_not_described(toy_runs, tmp_path, content):
    run = Path(shutil.copytree(toy_runs[0], tmp_path / "run"))
    (run / "history.csv").write_text(content)
    refused(tmp_path, "info", run, says=[run / "history.csv"])


def test_training_does_not_resume_from_a_damaged_state(toy_store, toy_runs, tiny, tmp_path):
    run = Path(shutil.copytree(toy_runs[0], tmp_path / "run"))
    (run / "metrics.json").unlink()
    for content in (b"", (run / "state.pt").read_bytes()[:999], b"text"):
        (run / "state.pt").write_bytes(content)
        refused(
            tmp_path, "train", toy_store, "--config", tiny, "--out", run, says=[run / "state.pt", "--force"]
        )


# ---- training that cannot succeed ----


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_constant_target_is_refused(folder, tiny, task):
    edit(
        folder / "genomes" / "toy.RPKM.pc.gz",
        lambda lines: [lines[0], *(line.split("\t")[0] + "\t3.0\t" for line in lines[1:])],
    )
    store = builds(folder)[0].path
    arguments = ("train", store, "--config", tiny, "--task", task, "--out", folder / "new" / "run")
    refused(
        folder,
        *arguments,
        says=[store, "the same" if task == "regression" else "all training genes", "expression column"],
    )


def test_a_bad_input_keeps_the_earlier_run(toy_store, toy_runs, tiny, tmp_path):
    run = Path(shutil.copytree(toy_runs[0], tmp_path / "run"))
    config = tmp_path / "big.yaml"
    config.write_text(TINY.replace("batch_size: 8", "batch_size: 800"))
    refused(
        tmp_path,
        "train",
        toy_store,
        "--config",
        config,
        "--out",
        run,
        "--force",
        says=[toy_store, "batch_size"],
    )


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--fold", "5", "fold"),
        ("--fold", "0", "fold"),
        ("--validation", "chr99", "chr99"),
        ("--device", "cuda:99", "cuda:99"),
        ("--device", "moon", "moon"),
    ],
)
def test_impossible_settings_of_train_are_refused(toy_store, tiny, tmp_path, option, value, says):
    refused(
        tmp_path, "train", toy_store, "--config", tiny, "--out", tmp_path / "run", option, value, says=[says]
    )


def test_a_diverging_learning_rate_leaves_no_run(toy_store, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(TINY.replace("1.0e-3", "1.0e+30"))
    refused(
        tmp_path,
        "train",
        toy_store,
        "--config",
        config,
        "--out",
        tmp_path / "new" / "run",
        says=[toy_store, "lower the learning rate"],
    )


# ---- places that cannot be written to ----


def test_an_output_below_a_file_is_refused(toy_store, toy_runs, tiny, folder):
    (folder / "file").write_text("")
    sizes = folder / "genomes/toy.chrom.sizes"
    for command in (
        ("coverage", folder / "cellA" / "H3K4me3.tagAlign.gz", "--chrom-sizes", sizes),
        ("build", folder / "cellA.yaml", "--processes", 1),
        ("train", toy_store, "--config", tiny),
        ("predict", toy_runs[0], toy_store),
        ("export-weights", toy_runs[0]),
    ):
        refused(folder, *command, "--out", folder / "file" / "x.csv", says=[folder / "file"])


# ---- a full disk ----


@pytest.fixture
def small_disk(tmp_path):
    "Mount a disk of a given number of kB, which is removed after the test."
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(kilobytes):
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
        (folder / "mine.txt").write_text("here before")
        return folder

    yield mount
    subprocess.run(["umount", "--lazy", folder], capture_output=True)


@pytest.mark.parametrize("kilobytes", [8, 40, 100])
def test_coverage_on_a_full_disk_leaves_nothing(toy, small_disk, kilobytes):
    disk = small_disk(kilobytes)
    out = disk / "new" / "x.bigWig"
    refused(
        disk,
        "coverage",
        toy / "cellA" / "H3K4me3.tagAlign.gz",
        "--chrom-sizes",
        toy / "genomes/toy.chrom.sizes",
        "--out",
        out,
        says=[out, "the disk is full", "free some space"],
    )


@pytest.mark.parametrize("kilobytes", [8, 24, 60, 120, 200])
def test_build_on_a_full_disk_leaves_nothing(toy, small_disk, kilobytes):
    disk = small_disk(kilobytes)
    out = disk / "new" / "cellA.h5"
    refused(
        disk,
        "build",
        toy / "cellA.yaml",
        "--processes",
        1,
        "--out",
        out,
        says=["cellA", "the disk is full", "free some space"],
    )


def test_a_store_without_room_for_its_record_is_removed(toy, toy_store, small_disk):
    disk = small_disk(
        -(-toy_store.stat().st_size // 4096) * 4 + 4
    )  # room for the store and the file that is there, no more
    out = disk / "cellA.h5"
    refused(
        disk, "build", toy / "cellA.yaml", "--processes", 1, "--out", out, says=["cellA", "the disk is full"]
    )


@pytest.mark.parametrize("kilobytes", [8, 60, 100])
def test_train_on_a_full_disk_leaves_nothing(toy_store, tiny, small_disk, kilobytes):
    disk = small_disk(kilobytes)
    refused(
        disk,
        "train",
        toy_store,
        "--config",
        tiny,
        "--out",
        disk / "new" / "run",
        says=["state.pt", "the disk is full", "free some space"],
    )


def test_training_resumes_after_a_full_disk(toy_store, toy_runs, tiny, small_disk):
    state, weights = (
        -(-(toy_runs[0] / name).stat().st_size // 4096) * 4 for name in ("state.pt", "model.safetensors")
    )
    disk = small_disk(2 * state + weights // 2)
    filler = disk / "filler"
    filler.write_bytes(bytes(1024 * (state // 2)))
    command = ("train", toy_store, "--config", tiny, "--out", disk / "run")
    result = chromoformer(*command)
    assert (
        result.status == 2
        and "the disk is full" in result.err
        and "free some space" in result.err
        and "Traceback" not in result.err
    )
    assert set(listing(disk / "run")) <= {"state.pt", "history.csv", "config.json", "model.safetensors"}
    subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
    succeed(*command)
    assert (disk / "run" / "model.safetensors").read_bytes() == (
        toy_runs[0] / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_predict_on_a_full_disk_leaves_nothing(toy_store, toy_runs, small_disk, ending):
    disk = small_disk(8)
    out = disk / "new" / f"p.{ending}"
    (disk / "filler").write_bytes(bytes(4096))
    refused(
        disk,
        "predict",
        toy_runs[0],
        toy_store,
        "--out",
        out,
        says=[out, "the disk is full", "free some space"],
    )


@pytest.mark.parametrize("kilobytes", [8, 16])
def test_weights_on_a_full_disk_leave_nothing(toy_runs, weights, small_disk, kilobytes):
    disk = small_disk(kilobytes)
    refused(disk, "import-weights", weights, "--out", disk / "new" / "model", says=["the disk is full"])
    refused(disk, "export-weights", toy_runs[0], "--out", disk / "new" / "clf.pt", says=["the disk is full"])


def test_simulate_on_a_full_disk_leaves_nothing(small_disk):
    disk = small_disk(500)
    refused(
        disk,
        "simulate",
        disk / "new" / "toy",
        "--genes",
        60,
        "--cell-type",
        "cellA",
        says=["the disk is full"],
    )


# ---- notes, and errors about order and folds ----


def test_contacts_without_any_pcre_of_a_gene_are_noted(folder):
    content = yaml.safe_load((folder / "cellA.yaml").read_text())
    manifest(folder, contacts=content["contacts"] | {"min_score": 1e9})
    store, said = builds(folder)
    assert (
        len(store.pcres) == 0 and "contacts.tsv.gz: no contact joins a gene" in said and "min_score" in said
    )


def test_contacts_none_can_be_written_as_one_word(folder):
    manifest(folder, contacts="none")
    store, said = builds(folder)
    assert len(store.pcres) == 0 and "no contact" not in said


def test_a_fold_without_genes_is_reported_before_training(folder):
    manifest(folder, leave_out=["chr7", "chr10"])  # fold 2
    store, _ = builds(folder)
    (folder / "tiny.yaml").write_text(TINY)
    refused(
        folder.parent,
        "train",
        store.path,
        "--fold",
        2,
        "--out",
        folder / "runs",
        "--config",
        folder / "tiny.yaml",
        says=["'2' is not a fold", "1, 3, 4 or all", "folds:"],
    )


def test_a_store_given_before_the_models_is_reported(folder):
    (folder / "run").mkdir()
    refused(
        folder.parent,
        "predict",
        folder / "cellA.h5",
        folder / "run",
        "--out",
        folder / "p.csv",
        says=[folder / "run", "the store last"],
    )


# ---- names of outputs, names given twice, and seeds ----


def test_unknown_endings_are_refused_before_anything_is_read(tmp_path):
    for command, out, says in (
        (("build", "a.yaml"), "a.hdf5", ["the name of a store ends in .h5"]),
        (("import-regions", "a.csv", "arrays"), "a", ["the name of a store ends in .h5"]),
        (("coverage", "a.bed", "--chrom-sizes", "sizes"), "a.wig", ["unknown format", "*.bigWig", "*.bw"]),
        (("export-weights", "run"), "a.safetensors", ["unknown format", "*.pt"]),
        (("predict", "run", "a.h5"), "a.tsv", ["unknown format", "*.parquet", "*.csv"]),
        (("evaluate", "run"), "a.xlsx", ["unknown format", "*.parquet", "*.csv"]),
        (("collect", "run"), "a.xlsx", ["unknown format", "*.parquet", "*.csv"]),
        (("explain", "run", "a.h5", "GENE"), "a.jpg", ["unknown format", "*.png", "*.svg", "*.pdf"]),
        (("links", "run", "a.h5"), "a.bed", ["unknown format", "*.bedpe"]),
    ):
        refused(tmp_path, *command, "--out", tmp_path / out, says=[out, *says])


def test_reads_and_marks_that_are_given_twice_are_refused(toy, toy_store, toy_runs, weights, tiny, tmp_path):
    reads, sizes = toy / "cellA" / "H3K4me3.tagAlign.gz", toy / "genomes/toy.chrom.sizes"
    twice = [reads.name, "given twice"]
    refused(
        tmp_path,
        *("coverage", reads, reads, "--chrom-sizes", sizes, "--out", tmp_path / "a.bw"),
        says=twice,
    )
    command = ("train", toy_store, "--config", tiny, "--out", tmp_path / "run", "--init", toy_runs[0])
    marks = "H3K4me3=H3K27ac,H3K4me3=H3K4me1"
    refused(tmp_path, *command, "--marks", marks, says=["--marks", "H3K4me3 is given twice"])
    channels = ",".join(["H3K4me3"] * 2 + [f"mark{number}" for number in range(5)])
    refused(
        tmp_path,
        *("import-weights", weights, "--out", tmp_path / "model", "--channels", channels),
        says=["channels", "twice"],
    )


def test_a_study_with_an_impossible_seed_is_refused(tmp_path):
    (tmp_path / "study.yaml").write_text(
        "name: a\nout: a\nsimulate: {}\nseed: -1\ncell_types: {cellA: a.yaml}\nanalyses: {train: }\n"
    )
    refused(tmp_path, "plan", tmp_path / "study.yaml", says=["seed", "-1"])


@pytest.mark.parametrize("kilobytes", [8, 100])
def test_notebooks_on_a_full_disk_leave_nothing(small_disk, kilobytes):
    disk = small_disk(kilobytes)
    refused(disk, "notebooks", disk / "new" / "mine", says=["the disk is full", "free some space"])


# ---- folders and files in place of each other ----


def test_a_path_of_another_kind_is_named_for_what_it_is(toy_runs, toy_store, tiny, tmp_path):
    (tmp_path / "file").write_text("x")
    folder, out = toy_runs[0].parent, ("--out", tmp_path / "a.csv")
    for command, says in (
        (("evaluate", folder), ["name the runs in this folder", toy_runs[0], toy_runs[3]]),
        (("evaluate", tmp_path / "lost"), ["no such folder"]),
        (("predict", toy_runs[0], toy_store, toy_store, *out), ["a file, not a folder"]),
        (("stack", folder, toy_runs[0], "--out", tmp_path / "s"), ["name the runs in this folder"]),
        (("train", toy_runs[0], "--out", tmp_path / "r"), [toy_runs[0], "a folder, not a store"]),
        (("import-weights", toy_runs[0], "--out", tmp_path / "m"), ["a folder, not a checkpoint"]),
        (("train", toy_store, "--config", tiny, "--out", tmp_path / "file"), ["file is a file"]),
        (("notebooks", tmp_path / "file", "--force"), [tmp_path / "file", "expected a folder"]),
    ):
        refused(tmp_path, *command, says=says)
