"""Small random data sets in every format that a manifest accepts, and what a build makes of them."""

import contextlib
import gzip
import pickle
import shutil
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import cooler
import h5py
import numpy as np
import pandas as pd
import pyBigWig
import pysam
import yaml

from chromoformer.data.build import build_store
from chromoformer.errors import InputError

CHROMS = ("chr1", "chr7", "chr2", "chr9")  # one of each human fold
MARKS = ("H3K4me3", "H3K27ac", "H3K4me1")
FRAGMENT = 4000  # bp
KINDS = {
    "annotation": ("gtf", "table"),
    "tracks": ("bigwig", "bedgraph", "bed", "tagalign", "bam"),
    "expression": ("table", "matrix"),
    "contacts": ("pairs", "bedpe", "cool", "pickles", "activity", "average", "none"),
}
ENDINGS = {"bigwig": "bigWig", "bedgraph": "bedGraph", "bed": "bed", "tagalign": "tagAlign", "bam": "bam"}


@dataclass
class DataSet:
    "A folder of input files with its manifest; mistakes change either."

    folder: Path
    kinds: dict[str, str]
    manifest: dict[str, Any] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        "Return the first file of an entry of the manifest, or of a channel."
        entry = self.manifest.get(name) or next(c for c in self.manifest["channels"] if c["name"] == name)
        path = entry["path"]
        return self.folder / (path if isinstance(path, str) else next(iter(path)))

    def channel(self, number: int = 0) -> dict[str, Any]:
        "Return an entry of the manifest's channels."
        return self.manifest["channels"][number]

    def lines(self, name: str) -> list[str]:
        "Return the lines of a text file of the manifest."
        return self.path(name).read_text().splitlines()

    def write_lines(self, name: str, lines: list[str]) -> None:
        "Replace the lines of a text file of the manifest."
        self.path(name).write_text("".join(f"{line}\n" for line in lines))

    def edit(self, name: str, change) -> None:
        "Change each field of the rows of a text file: `change(fields)` returns the new fields, or None."
        found = []
        for line in self.lines(name):
            fields = change(line.split("\t"))
            if fields is not None:
                found.append("\t".join(map(str, fields)))
        self.write_lines(name, found)

    def table(self, name: str) -> pd.DataFrame:
        "Return a table with header as text."
        return pd.read_csv(self.path(name), sep="\t", dtype=str)

    def write_table(self, name: str, table: pd.DataFrame, **options) -> None:
        "Write a table with header."
        table.to_csv(self.path(name), **({"sep": "\t", "index": False} | options))

    def rename(self, name: str, new: str) -> Path:
        "Rename the file of an entry, in the folder and in the manifest."
        entry = self.manifest.get(name) or next(c for c in self.manifest["channels"] if c["name"] == name)
        old = self.path(name)
        old.rename(self.folder / new)
        entry["path"] = new
        return self.folder / new

    def save(self) -> Path:
        "Write the manifest, and return its path."
        file = self.folder / "cells.yaml"
        text = self.manifest if isinstance(self.manifest, str) else None
        file.write_text(text or yaml.safe_dump(self.manifest, sort_keys=False, allow_unicode=True))
        return file

    def copy(self, folder: Path) -> "DataSet":
        "Return a copy in another folder."
        shutil.copytree(self.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("store"))
        return DataSet(folder, dict(self.kinds), yaml.safe_load(yaml.safe_dump(self.manifest)))


def chosen_kinds(seed: int, **needed: str) -> dict[str, str]:
    "Choose the format of each input at random; `needed` are given."
    random = np.random.default_rng(seed)
    kinds = {name: str(random.choice(options)) for name, options in KINDS.items()}
    return kinds | needed


def make_data(folder: Path, seed: int, **needed: str) -> DataSet:
    "Write a valid data set and its manifest."
    random = np.random.default_rng(seed)
    data = DataSet(folder, chosen_kinds(seed, **needed))
    folder.mkdir(parents=True)
    sizes = {chrom: int(random.integers(90_000, 120_000)) for chrom in CHROMS}
    genes = random_genes(random, sizes)
    if data.kinds["annotation"] == "metadata":
        _write_published(data, sizes, genes, random)
        return data
    data.manifest = {
        "name": "cells",
        "genome": "toy",
        "chrom_sizes": {"path": "genome.sizes"},
        "channels": [_write_track(data, mark, sizes, genes, random) for mark in MARKS],
        "annotation": _write_annotation(data, genes, random),
        "expression": _write_expression(data, genes, random),
        "contacts": _write_contacts(data, sizes, genes, random),
        "window": 4000,
        "bin_sizes": [2000, 500, 100],
        "folds": {1: ["chr1"], 2: ["chr7"], 3: ["chr2"], 4: ["chr9"]},
    }
    write_sizes(folder / "genome.sizes", sizes)
    data.save()
    return data


def _write_published(data, sizes, genes, random) -> None:
    "Write metadata and region arrays of the published layout, and their manifest."
    expression = np.round(random.lognormal(1.5, 2, len(genes)), 3)
    regions = [(gene.chrom, gene.tss - 2000, gene.tss + 2000) for gene in genes.itertuples()]
    neighbours, scores = [], []
    for gene in genes.itertuples():
        starts = np.sort(random.integers(0, sizes[gene.chrom] - 3000, 2))
        pcres = [(gene.chrom, int(start), int(start + 2500)) for start in starts]
        regions += pcres
        neighbours.append(";".join(f"{chrom}:{start}-{end}" for chrom, start, end in pcres))
        scores.append(";".join(f"{score:.3f}" for score in np.sort(random.uniform(2, 9, 2))[::-1]))
    table = genes[["gene_id", "gene_name", "chrom", "strand"]].assign(
        start=genes.tss,
        split=genes.chrom.map({chrom: fold for fold, chrom in enumerate(CHROMS, 1)}),
        label=(expression >= np.median(expression)).astype(int),
        expression=expression,
        neighbors=neighbours,
        scores=scores,
    )
    table.to_csv(data.folder / "meta.csv", index=False)
    (data.folder / "regions").mkdir()
    for chrom, start, end in regions:
        depth = random.poisson(2, (len(MARKS), end - start)).astype(np.float16)
        np.save(data.folder / "regions" / f"{chrom}:{start}-{end}.npy", depth)
    write_sizes(data.folder / "genome.sizes", sizes)
    data.manifest = {
        "name": "cells",
        "genome": "toy",
        "chrom_sizes": {"path": "genome.sizes"},
        "channels": [{"name": mark, "kind": "regions", "path": "regions"} for mark in MARKS],
        "annotation": {"kind": "metadata", "path": "meta.csv"},
        "window": 4000,
        "bin_sizes": [2000, 500, 100],
    }
    data.save()


def write_sizes(file: Path, sizes: dict[str, int]) -> None:
    "Write a chrom.sizes file."
    file.write_text("".join(f"{chrom}\t{size}\n" for chrom, size in sizes.items()))


def random_genes(random: np.random.Generator, sizes: dict[str, int], per_chrom: int = 5) -> pd.DataFrame:
    "Return genes of both strands that do not overlap; the TSS is the 5' end (0-based, half-open)."
    rows = []
    for chrom, size in sizes.items():
        edges = np.linspace(9000, size - 12_000, per_chrom).astype(int)
        strands = ["+", "-", *random.choice(["+", "-"], per_chrom - 2)]
        for edge, strand in zip(edges, strands):
            start = int(edge + random.integers(0, 4000))
            end = int(start + random.integers(2000, 6000))
            number = len(rows) + 1
            tss = start if strand == "+" else end - 1
            rows.append((f"ENSG{number:011d}", f"GENE{number}", chrom, tss, strand, start, end))
    names = ["gene_id", "gene_name", "chrom", "tss", "strand", "gene_start", "gene_end"]
    return pd.DataFrame(rows, columns=names)


def _write_track(data, mark, sizes, genes, random) -> dict[str, Any]:
    "Write the track of a mark; return its entry in the manifest."
    kind = data.kinds["tracks"]
    path = f"{mark}.{ENDINGS[kind]}"
    if kind in ("bigwig", "bedgraph"):
        table = _depth(sizes, genes, random)
        if kind == "bigwig":
            write_bigwig(data.folder / path, sizes, table)
        else:
            table.to_csv(data.folder / path, sep="\t", header=False, index=False)
    else:
        _write_reads(data.folder / path, kind, sizes, _reads(sizes, genes, random), random)
    return {"name": mark, "kind": kind, "path": path}


def _depth(sizes, genes, random) -> pd.DataFrame:
    "Return depth in adjacent intervals of 250 bp that cover the chromosomes, higher near TSSs."
    parts = []
    for chrom, size in sizes.items():
        start = np.arange(0, size, 250)
        value = 1 + random.poisson(2.0, len(start)).astype(float)
        for tss in genes.tss[genes.chrom == chrom]:
            value[abs(start - tss) < 1000] += random.poisson(20)
        for place in random.integers(0, size, 4):
            value[abs(start - place) < 1000] += 40
        end = np.minimum(start + 250, size)
        parts.append(pd.DataFrame({"chrom": chrom, "start": start, "end": end, "value": value}))
    return pd.concat(parts, ignore_index=True)


def write_bigwig(file: Path, sizes: dict[str, int], table: pd.DataFrame) -> None:
    "Write a bigWig of the intervals of a table."
    with pyBigWig.open(str(file), "w") as track:
        track.addHeader([(chrom, int(size)) for chrom, size in sizes.items()])
        for chrom, rows in table.groupby("chrom", sort=False):
            columns = rows.start.tolist(), rows.end.tolist(), rows.value.tolist()
            track.addEntries([chrom] * len(rows), columns[0], ends=columns[1], values=columns[2])


def _reads(sizes, genes, random) -> pd.DataFrame:
    "Return reads of 36 bp, more near TSSs and at a few other places."
    parts = []
    for chrom, size in sizes.items():
        centres = [*genes.tss[genes.chrom == chrom], *random.integers(5000, size - 5000, 4)]
        near = np.concatenate([centre + random.integers(-800, 800, 40) for centre in centres])
        start = np.concatenate([random.integers(0, size - 36, 250), near.clip(0, size - 36)])
        strand = random.choice(["+", "-"], len(start))
        parts.append(pd.DataFrame({"chrom": chrom, "start": start, "end": start + 36, "strand": strand}))
    return pd.concat(parts, ignore_index=True)


def _write_reads(file, kind, sizes, reads, random) -> None:
    "Write reads as BAM, BED (6 columns) or tagAlign."
    if kind == "bam":
        header = {"SQ": [{"SN": chrom, "LN": int(size)} for chrom, size in sizes.items()]}
        numbers = {chrom: number for number, chrom in enumerate(sizes)}
        with pysam.AlignmentFile(str(file), "wb", header=header) as bam:
            for row in reads.itertuples():
                read = pysam.AlignedSegment(bam.header)
                read.query_name = f"read{row.Index}"
                read.query_sequence = "A" * 36
                read.reference_id = numbers[row.chrom]
                read.reference_start = int(row.start)
                read.cigarstring = "36M"
                read.mapping_quality = 30
                bam.write(read)
        return
    name = "N" if kind == "tagalign" else [f"read{number}" for number in range(len(reads))]
    table = reads.assign(name=name, score=1000 if kind == "tagalign" else 30)
    columns = ["chrom", "start", "end", "name", "score", "strand"]
    table[columns].to_csv(file, sep="\t", header=False, index=False)


def _write_annotation(data, genes, random) -> dict[str, Any]:
    "Write the genes as GTF or table; return the entry in the manifest."
    if data.kinds["annotation"] == "table":
        genes.to_csv(data.folder / "genes.tsv", sep="\t", index=False)
        return {"kind": "table", "path": "genes.tsv"}
    lines = ["##description: made by a test", "##provider: nobody"]
    for gene in genes.itertuples():
        lines += gtf_records(gene, random)
    (data.folder / "genes.gtf").write_text("".join(f"{line}\n" for line in lines))
    return {"kind": "gtf", "path": "genes.gtf"}


def gtf_records(gene, random, kind: str = "protein_coding") -> list[str]:
    "Return the lines of a gene in GENCODE's style; its longest coding transcript spans the gene."
    third = (gene.gene_end - gene.gene_start) // 3
    half = gene.gene_start + third
    transcripts = [("protein_coding" if kind == "protein_coding" else kind, gene.gene_start, gene.gene_end)]
    transcripts.append(("retained_intron", half, half + third))
    transcripts.append((kind, half, gene.gene_end) if gene.strand == "+" else (kind, gene.gene_start, half))
    common = f'gene_id "{gene.gene_id}.3"; gene_type "{kind}"; gene_name "{gene.gene_name}";'
    lines = [_gtf_line(gene, "gene", gene.gene_start, gene.gene_end, common)]
    for number, (type_, start, end) in enumerate(transcripts, 1):
        own = f'{common} transcript_id "{gene.gene_id}.3.{number}"; transcript_type "{type_}";'
        lines.append(_gtf_line(gene, "transcript", start, end, own))
        lines.append(_gtf_line(gene, "exon", start, start + 300, own))
        lines.append(_gtf_line(gene, "exon", end - 300, end, own))
    return lines


def _gtf_line(gene, feature, start, end, attributes) -> str:
    "Return one line of a GTF, of an interval that is 0-based and half-open."
    fields = (gene.chrom, "HAVANA", feature, start + 1, end, ".", gene.strand, ".", attributes)
    return "\t".join(map(str, fields))


def _write_expression(data, genes, random) -> dict[str, Any]:
    "Write the expression of the genes; return the entry in the manifest."
    rpkm = np.round(random.lognormal(1.5, 2, len(genes)), 3) + 0.001
    rpkm[random.choice(len(genes), 2, replace=False)] = 0
    rpkm[random.integers(len(genes))] = 512.25
    if data.kinds["expression"] == "table":
        table = pd.DataFrame({"gene_id": genes.gene_id, "expression": rpkm})
        table.to_csv(data.folder / "expression.tsv", sep="\t", index=False)
        return {"kind": "table", "path": "expression.tsv"}
    other = np.round(random.lognormal(1.5, 2, len(genes)), 3)
    table = pd.DataFrame({"gene_id": genes.gene_id, "E003": other, "E116": rpkm})
    table.to_csv(data.folder / "expression.tsv", sep="\t", index=False)
    return {"kind": "matrix", "path": "expression.tsv", "column": "E116"}


def _write_contacts(data, sizes, genes, random) -> dict[str, Any]:
    "Write contacts; return the entry in the manifest."
    kind = data.kinds["contacts"]
    if kind == "none":
        return {"kind": "none"}
    if kind == "activity":
        return {"kind": "activity", "enrichment": 1.5, "min_distance": 3000, "max_length": 4000}
    limits = {"max_length": 4000} if kind == "cool" else {}
    if kind == "cool":
        _write_cool(data.folder / "contacts.cool", sizes, random)
        counts = {"transform": "none", "min_score": 0.5, "min_distance": 0}
        return {"kind": "cool", "path": "contacts.cool", **counts, **limits}
    table = _pairs(sizes, genes, random)
    if kind == "average":
        of = []
        for name in ("liver", "lung"):
            part = table.assign(score=np.round(table.score * random.uniform(0.5, 1.5, len(table)), 3))
            _pair_table(part).to_csv(data.folder / f"{name}.tsv", sep="\t", index=False)
            of.append({"kind": "pairs", "path": f"{name}.tsv"})
        return {"kind": "average", "of": of}
    if kind == "pairs":
        _pair_table(table).to_csv(data.folder / "contacts.tsv", sep="\t", index=False)
        return {"kind": "pairs", "path": "contacts.tsv"}
    if kind == "bedpe":
        write_bedpe(data.folder / "contacts.bedpe", table)
        return {"kind": "bedpe", "path": "contacts.bedpe"}
    names = _pair_table(table)
    neighbours: dict[str, set] = {}
    for a, b in zip(names.fragment_a, names.fragment_b):
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    scores = {(a, b): float(score) for a, b, score in names.itertuples(index=False)}
    (data.folder / "neighbours.pickle").write_bytes(pickle.dumps(neighbours))
    (data.folder / "scores.pickle").write_bytes(pickle.dumps(scores))
    paths = {"frag2neighbors": "neighbours.pickle", "pair2score": "scores.pickle"}
    return {"kind": "pickles", "path": paths}


def _pairs(sizes, genes, random) -> pd.DataFrame:
    "Return contacts between the fragments of TSSs and others, with distinct scores."
    rows = {}
    for gene in genes.itertuples():
        own = gene.tss // FRAGMENT
        last = sizes[gene.chrom] // FRAGMENT - 1
        others = random.choice([n for n in range(last) if abs(n - own) > 1], 4, replace=False)
        for other in others:
            first, second = sorted((int(own), int(other)))
            rows[gene.chrom, first, second] = None
    scores = np.round(random.uniform(1, 12, len(rows)), 3)
    table = pd.DataFrame(list(rows), columns=["chrom", "a", "b"]).assign(score=scores)
    for side in "ab":
        start = table[side] * FRAGMENT
        end = np.minimum(start + FRAGMENT, table.chrom.map(sizes))
        table = table.assign(**{f"start_{side}": start, f"end_{side}": end})
    return table


def _pair_table(table: pd.DataFrame) -> pd.DataFrame:
    "Return fragment_a, fragment_b and score."
    names = {
        f"fragment_{side}": table.chrom
        + ":"
        + table[f"start_{side}"].astype(str)
        + "-"
        + table[f"end_{side}"].astype(str)
        for side in "ab"
    }
    return pd.DataFrame(names).assign(score=table.score)


def write_bedpe(file: Path, table: pd.DataFrame) -> None:
    "Write contacts as BEDPE of eight columns, without a header."
    table = table.assign(other=table.chrom, name=[f"loop{number}" for number in range(len(table))])
    columns = ["chrom", "start_a", "end_a", "other", "start_b", "end_b", "name", "score"]
    table[columns].to_csv(file, sep="\t", header=False, index=False)


def _write_cool(file: Path, sizes, random) -> None:
    "Write a Hi-C map of 4-kb bins with multiplicative weights, balanced counts from 0 to about 10."
    parts = []
    for chrom, size in sizes.items():
        start = np.arange(0, size, 4000)
        parts.append(pd.DataFrame({"chrom": chrom, "start": start, "end": np.minimum(start + 4000, size)}))
    bins = pd.concat(parts, ignore_index=True)
    bins["weight"] = random.uniform(0.3, 1.2, len(bins))
    first = bins.groupby("chrom", sort=False).apply(lambda rows: rows.index[0], include_groups=False)
    pixels = []
    for chrom in sizes:
        count = int((bins.chrom == chrom).sum())
        one, two = np.triu_indices(count)
        value = random.poisson(60 / (1 + two - one))
        pixels.append(
            pd.DataFrame({"bin1_id": one + first[chrom], "bin2_id": two + first[chrom], "count": value})
        )
    table = pd.concat(pixels, ignore_index=True)
    cooler.create_cooler(str(file), bins, table[table["count"] > 0], ordered=True)


# ---- what a build makes of a data set ----


class Outcome(NamedTuple):
    "What came of a build: an error, or the content of the store with the warnings."

    error: Exception | None
    content: dict[str, Any]
    warnings: list[str]


def build(data: DataSet) -> Outcome:
    "Build the store of a data set in this process."
    out = data.folder / "store" / "cells.h5"
    with warnings.catch_warnings(record=True) as caught, contextlib.ExitStack() as stack:
        for module in ("build", "published"):  # the record takes a third of the time of a small build
            stack.enter_context(mock.patch(f"chromoformer.data.{module}.record_store"))
        warnings.simplefilter("always")
        try:
            build_store(data.save(), out, progress=False)
        except Exception as error:  # a crash is an outcome, too
            return Outcome(error, {}, _messages(caught, data.folder))
    return Outcome(None, content_of(out), _messages(caught, data.folder))


def _messages(caught, folder: Path) -> list[str]:
    "Return the warnings that a user sees, without the name of the folder."
    return [str(w.message).replace(str(folder), "") for w in caught if w.category is UserWarning]


def content_of(store: Path) -> dict[str, Any]:
    "Return the datasets and attributes of a store, without the record of its input files."
    content: dict[str, Any] = {}
    with h5py.File(store) as file:
        content |= {f"attribute {name}": file.attrs[name] for name in file.attrs if name != "inputs"}
        file.visititems(lambda name, item: _add_dataset(content, name, item))
    return content


def _add_dataset(content: dict[str, Any], name: str, item: Any) -> None:
    "Add the values of a dataset of an HDF5 file."
    if isinstance(item, h5py.Dataset):
        content[name] = item[()]


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    "Return the names of the datasets and attributes that differ."
    return [
        name
        for name in sorted(one.keys() | other.keys())
        if name not in one or name not in other or not _equal(one[name], other[name])
    ]


def _equal(one: Any, other: Any) -> bool:
    "Return whether two values of an HDF5 file are the same, apart from the rounding of float32."
    one, other = np.asarray(one), np.asarray(other)
    if one.shape != other.shape:
        return False
    if one.dtype.kind == "f" and other.dtype.kind == "f":
        return bool(np.allclose(one, other, rtol=1e-6, atol=0, equal_nan=True))
    return bool(np.array_equal(one, other))


def is_explained(error: Exception) -> bool:
    "Return whether an error is one for users: it names a file or a place, and a fix."
    return isinstance(error, InputError) and bool(error.file or error.place) and bool(error.fix)


def gzip_file(file: Path) -> None:
    "Compress a file in its place."
    file.write_bytes(gzip.compress(file.read_bytes(), mtime=0))
