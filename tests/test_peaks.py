"""Peaks as a track: the highest value over each base; files of another kind are refused."""

import gzip
import warnings
from pathlib import Path

import bioframe
import numpy as np
import pandas as pd
import pytest
from command_line import succeed
from pydantic import ValidationError
from test_tracks import depth_of_bigwig, depth_of_runs, region_table, write_text

from chromoformer.data.build import build_store, channel_sums
from chromoformer.data.manifest import Channel
from chromoformer.data.store import Store
from chromoformer.data.tracks import bin_sums, coverage, peak_intervals, read_coverage
from chromoformer.errors import InputError

SIZES = {"chr1": 1000, "chr10": 400, "chr2": 60}
CELLS = ("GM12878", "K562", "HeLa-S3")


def random_peaks(seed=0, number=60):
    "Return peaks that overlap and touch, in random order: chrom, start, end, score, signal, p, q."
    random = np.random.default_rng(seed)
    chroms = random.choice(list(SIZES), number)
    sizes = np.array([SIZES[chrom] for chrom in chroms])
    starts = (random.random(number) * (sizes - 1)).astype(int)
    ends = np.minimum(sizes, starts + random.integers(1, 200, number))
    table = pd.DataFrame({"chrom": chroms, "start": starts, "end": ends})
    table["score"] = random.integers(0, 1000, number)
    table["signal"] = random.gamma(2, 5, number).round(4)
    table["p"] = random.gamma(2, 2, number).round(3)
    table["q"] = random.gamma(2, 1, number).round(3)
    return table


def highest_by_hand(peaks, column):
    "Return the highest value over each base, base by base."
    depth = {chrom: np.zeros(size) for chrom, size in SIZES.items()}
    for row in peaks.itertuples():
        value = 1.0 if column == 1 else getattr(row, column)
        for base in range(row.start, row.end):
            depth[row.chrom][base] = max(depth[row.chrom][base], value)
    return depth


def write_peaks(path, peaks):
    "Write peaks as narrowPeak (10 columns), broadPeak (9), or BED (3 or 6), by the name of the file."
    lines = []
    for number, row in enumerate(peaks.itertuples()):
        fields = [row.chrom, row.start, row.end, f"peak{number}", row.score, ".", row.signal, row.p, row.q, 0]
        columns = {"narrowPeak": 10, "broadPeak": 9, "bed": 6, "bed3": 3}
        kind = next(kind for kind in sorted(columns, reverse=True) if f".{kind}" in path.name)
        lines.append("\t".join(map(str, fields[: columns[kind]])) + "\n")
    return write_text(path, "".join(lines))


def assert_equal(found, expected):
    for chrom, depth in expected.items():
        np.testing.assert_array_equal(
            found[chrom].astype(np.float32), depth.astype(np.float32), err_msg=chrom
        )


def depth_of(path, value=None):
    return depth_of_runs(peak_intervals(path, SIZES, value, progress=False))


@pytest.mark.parametrize("ending", ["narrowPeak", "narrowPeak.gz", "broadPeak", "broadPeak.gz"])
@pytest.mark.parametrize(
    "value, column",
    [
        (None, "signal"),
        ("signalValue", "signal"),
        ("score", "score"),
        ("pValue", "p"),
        ("qValue", "q"),
        (1, 1),
    ],
)
def test_a_base_has_the_highest_value_of_its_peaks(tmp_path, ending, value, column):
    peaks = random_peaks(3)
    path = write_peaks(tmp_path / f"x.{ending}", peaks)
    assert_equal(depth_of(path, value), highest_by_hand(peaks, column))
    out = coverage(path, SIZES, tmp_path / "out.bigWig", progress=False, value=value)
    assert_equal(depth_of_bigwig(out), highest_by_hand(peaks, column))


@pytest.mark.parametrize("seed", range(5))
def test_random_peaks_equal_a_count_base_by_base(tmp_path, seed):
    peaks = random_peaks(seed, number=20 * (seed + 1))
    path = write_peaks(tmp_path / "x.narrowPeak", peaks)
    assert_equal(depth_of(path), highest_by_hand(peaks, "signal"))


@pytest.mark.parametrize("ending", ["bed", "bed3.txt", "bed.gz"])
def test_the_bases_covered_by_plain_bed_peaks_equal_those_of_bioframe(tmp_path, ending):
    peaks = random_peaks(5)
    path = write_peaks(tmp_path / f"x.{ending}", peaks)
    merged = bioframe.merge(peaks[["chrom", "start", "end"]], min_dist=0)
    found = depth_of(path)
    for chrom, size in SIZES.items():
        inside = np.zeros(size)
        for row in merged[merged["chrom"] == chrom].itertuples():
            inside[row.start : row.end] = 1
        assert np.array_equal(found[chrom], inside)


def test_the_blocks_of_a_gapped_peak_are_read_without_the_marks_at_its_ends(tmp_path):
    text = (
        'track name="x" type=gappedPeak\n'
        "chr1\t100\t500\tp1\t25\t.\t0\t0\t0\t3\t1,50,1\t0,200,399\t4.5\t3.25\t2.5\n"
        "chr1\t600\t700\tp2\t50\t.\t600\t700\t0\t2\t60,1,\t0,99,\t2.5\t1.25\t0.5\n"
        "chr1\t620\t640\tp3\t70\t.\t620\t640\t0\t1\t20\t0\t9.0\t8.0\t7.0\n"
        "chr2\t0\t60\tp4\t70\t.\t0\t0\t0\t2\t1,1\t0,59\t9.5\t160\t150\n"
    )
    expected = np.zeros(1000)
    expected[300:350] = 4.5
    expected[600:660] = 2.5
    expected[620:640] = 9.0
    path = write_text(tmp_path / "x.gappedPeak", text)
    found = depth_of(path)
    assert np.array_equal(found["chr1"], expected) and not found["chr2"].any()
    assert depth_of(path, "score")["chr1"][300] == 25 and depth_of(path, "qValue")["chr1"][630] == 7


def test_a_bed_with_thick_starts_and_colours_has_no_signal(tmp_path):
    text = "chr1\t100\t200\ta\t5\t+\t100\t200\t0\nchr1\t300\t320\tb\t7\t-\t310\t315\t0\n"
    found = depth_of(write_text(tmp_path / "x.bed", text))["chr1"]
    assert found.sum() == 120 and found.max() == 1


def test_an_idr_file_of_20_columns_is_read_as_narrowpeak(tmp_path):
    line = "chr1\t100\t200\t.\t900\t.\t7.5\t3\t2\t40\t1.2\t1.3\t100\t190\t8.1\t30\t105\t200\t7.0\t35\n"
    assert depth_of(write_text(tmp_path / "x.bed", line))["chr1"][100:200].tolist() == [7.5] * 100


@pytest.mark.parametrize("text", ["# no peak was called\n", "\n"])
def test_a_file_without_peaks_is_named_as_such(tmp_path, text):
    with pytest.raises(InputError, match="no record in this file"):
        depth_of(write_text(tmp_path / "x.narrowPeak.gz", text))


def test_files_of_peaks_add_up_and_each_has_its_own_maximum(tmp_path):
    one = random_peaks(1)
    two = random_peaks(2)
    paths = [write_peaks(tmp_path / "a.narrowPeak", one), write_peaks(tmp_path / "b.broadPeak.gz", two)]
    depth = depth_of_bigwig(coverage(paths, SIZES, tmp_path / "out.bigWig", progress=False))
    first = highest_by_hand(one, "signal")
    second = highest_by_hand(two, "signal")
    for chrom in SIZES:
        np.testing.assert_allclose(depth[chrom], first[chrom] + second[chrom], rtol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffchr1\t5\t20\n",
        "track name=x\nchr1\t5\t20\r\n",
        "#chrom\tstart\tend\nchr1 5 20\n\n",
        "1\t5\t20\n1\t8\t12\n",
        "chr1\t5\t20\tpeak\t0\t.\n",
    ],
)
def test_common_variants_of_bed_peaks_are_read(tmp_path, text):
    found = depth_of(write_text(tmp_path / "x.bed.gz", text))["chr1"]
    assert found[5:20].all() and found.sum() == 15


def test_a_peak_that_runs_past_the_end_is_clipped_with_a_warning(tmp_path):
    path = write_text(tmp_path / "x.bed", "chr1\t5\t20\nchr2\t20\t75\n")
    with pytest.warns(UserWarning, match="1 intervals run past the end .* chr2:20-75|chr2:20-75"):
        found = depth_of(path)
    assert found["chr2"].tolist() == [0] * 20 + [1] * 40


@pytest.mark.parametrize(
    "name, text, problem, fix",
    [
        ("x.bed", "chr2\t50\t200\n", "line 1: end 200 is past the end", "one assembly"),
        ("x.bed", "chr2\t70\t75\n", "line 1: end 75 is past the end", "one assembly"),
        ("x.bed", "chr2\t-5\t20\n", "line 1: start -5 is before", "count from 0"),
        ("x.bed", "chr2\t20\t20\n", "line 1: end 20 is not after", "half-open"),
        (
            "x.bed",
            "chrom\tstart\tend\nchr1\t5\t9\n",
            "line 1: start 'start' is not a whole",
            "remove the line",
        ),
        (
            "x.narrowPeak",
            "chr1\t5\t9\t.\t0\t.\t-1\t-1\t-1\t-1\n",
            "line 1: value -1 is not a depth",
            "value: 1",
        ),
        ("x.narrowPeak", "chr1\t5\t9\t.\t0\t.\tNA\t-1\t-1\t-1\n", "line 1: value 'NA' is not a number", ""),
        ("x.narrowPeak", "chr1\t5\t9\t.\t0\t.\t0\t-1\t-1\t-1\n", "no base has a value other than 0", ""),
        ("x.narrowPeak", "chr1\t5\t9\tp\t0\t.\n", "6 columns are not those of a narrowPeak", "value: score"),
        ("x.xls", "chr1\t5\t9\t5\t7\t30\t8.1\t3.2\n", "8 columns are not those of", "value: 1"),
        ("x.tagAlign", "chr1\t5\t9\tN\t1000\t+\n", "this is reads", "kind: tagalign"),
        ("x.bed", "chr1\t5\t9\tN\t1000\t+\nchr1\t7\t9\tN\t0\t-\n", "this is reads", "kind: tagalign"),
        ("x.bedGraph", "chr1\t5\t9\t3.5\n", "this is a bedGraph", "kind: bedgraph"),
        ("x.bed", "chr1,5,9\nchr1,7,9\n", "commas between its columns", "tabs"),
        ("x.bed", "chr1;5;9\n", "semicolons between its columns", "tabs"),
        ("x.gtf", 'chr1\tX\tgene\t5\t9\t.\t+\t.\tgene_id "A";\n', "an annotation", "annotation"),
        ("x.bedpe", "chr1\t5\t9\tchr1\t50\t90\t.\t3\n", "BEDPE", "contacts"),
        (
            "x.gappedPeak",
            "chr1\t5\t9\t.\t0\t.\t0\t0\t0\t2\t1,5\t0,2\t3\t2\t1\n",
            "do not lie in their",
            "block",
        ),
        ("x.wig", "fixedStep chrom=chr1 start=1 step=10\n", "wiggle", "wigToBigWig"),
        ("x.bed", b"PK\x03\x04....", "Excel", "tab-separated"),
        ("x.bed", b"\x89HDF\r\n\x1a\n...", "HDF5", "contacts"),
        ("x.bed", b"\xeb\xf2\x89\x87....", "bigBed", "bigBedToBed"),
        ("x.bed", gzip.compress(b"BAM\x01...", mtime=0), "a BAM file", "kind: bam"),
        ("x.bed", "chr1\t5\t9\n".encode("utf-16"), "UTF-16", "UTF-8"),
        ("x.bed", b"<!DOCTYPE html><html>404", "web page", "download"),
    ],
)
def test_what_is_not_peaks_is_refused_with_a_fix(tmp_path, name, text, problem, fix):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        list(peak_intervals(path, SIZES, progress=False))
    assert problem in str(caught.value) and fix in str(caught.value.fix) and caught.value.file == path


def test_a_value_that_the_file_lacks_is_refused(tmp_path):
    path = write_text(tmp_path / "x.bed", "chr1\t5\t20\tp\t700\t.\n")
    with pytest.raises(InputError, match="no signalValue\n.*value: 1.*or `value: score`"):
        depth_of(path, "signalValue")
    assert depth_of(path, "score")["chr1"][5] == 700
    with pytest.raises(InputError, match="`value` applies only to peaks"):
        coverage(path, SIZES, tmp_path / "out.bigWig", kind="bed", progress=False, value="score")


@pytest.mark.parametrize("kind", ["bed", "tagalign", "bedgraph"])
@pytest.mark.parametrize("name", ["x.narrowPeak.gz", "x.broadPeak", "x.narrowPeak.txt", "x.broadPeak.txt"])
def test_peaks_given_as_another_kind_are_refused_by_name_and_by_content(tmp_path, kind, name):
    path = write_peaks(tmp_path / name, random_peaks(4))
    with pytest.raises(InputError, match="this is peaks .*\n.*kind: peaks"):
        coverage(path, SIZES, tmp_path / "out.bigWig", kind=kind, progress=False)
    assert not (tmp_path / "out.bigWig").exists()


@pytest.mark.parametrize(
    "kind, text, problem, fix",
    [
        ("bed", "chr1\t0\t9\t0.5\nchr1\t9\t20\t2\n", "a bedGraph", "kind: bedgraph"),
        ("tagalign", "chr1\t0\t9\t3\nchr1\t9\t20\t3\n", "a bedGraph", "kind: bedgraph"),
        ("bedgraph", "chr1\t0\t9\t1\t0\t+\nchr1\t9\t20\t2\t0\t-\n", "a BED file", "kind: peaks"),
        ("bed", "@HD\tVN:1.6\n", "a SAM file", "samtools"),
        ("bed", 'chr1\tX\tgene\t5\t9\t.\t+\t.\tgene_id "A";\n', "an annotation", "annotation"),
        ("bedgraph", "variableStep chrom=chr1\n1 5\n", "wiggle", "wigToBigWig"),
        ("tagalign", "chr1,5,9,N,1000,+\n", "commas", "tabs"),
        ("bed", "chr1\t5\t9\tchr1\t50\t90\tr1\t30\t+\t-\n", "BEDPE", "fragments"),
    ],
)
def test_a_table_of_another_kind_is_refused(tmp_path, kind, text, problem, fix):
    path = write_text(tmp_path / "x.txt", text)
    with pytest.raises(InputError) as caught:
        coverage(path, SIZES, tmp_path / "out.bigWig", kind=kind, progress=False)
    assert problem in str(caught.value) and fix in caught.value.fix


def random_lines(seed, widths, number, size, strand=True):
    random = np.random.default_rng(seed)
    width = random.choice(widths, number)
    start = (random.random(number) * (size - width)).astype(int)
    tail = [f"\tr\t0\t{sign}" if strand else "" for sign in random.choice(["+", "-"], number)]
    return "".join(f"chr1\t{s}\t{s + w}{t}\n" for s, w, t in zip(start, width, tail))


def test_a_bed_that_may_hold_peaks_is_read_as_reads_with_a_warning(tmp_path):
    size = {"chr1": 1_000_000}
    wide = write_text(tmp_path / "wide.bed", random_lines(0, [200, 900, 3000, 9000], 50, 900_000))
    with pytest.warns(UserWarning, match="widths from .* unusual for reads"):
        list(read_coverage(wide, size, progress=False))
    apart = "".join(f"chr1\t{start}\t{start + 150}\n" for start in range(0, 1_000_000, 1000))
    with pytest.warns(
        UserWarning, match="no two records overlap, but about 150 overlaps are expected of reads"
    ):
        list(read_coverage(write_text(tmp_path / "apart.bed", apart), size, progress=False))
    reads = write_text(tmp_path / "reads.bed", random_lines(0, [30, 36, 50, 75, 100], 2000, 900_000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(read_coverage(reads, size, progress=False))


def test_reads_given_as_peaks_are_named_in_a_warning(tmp_path):
    reads = write_text(tmp_path / "reads.bed", random_lines(0, [36], 900, 10_000))
    with pytest.warns(UserWarning, match="look like reads"):
        list(peak_intervals(reads, {"chr1": 10_000}, progress=False))
    motifs = "".join(f"chr1\t{s}\t{s + 19}\tm\t9\t{'+-'[s % 2]}\n" for s in range(0, 9000, 45))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(peak_intervals(write_text(tmp_path / "m.bed", motifs), {"chr1": 10_000}, progress=False))


def test_a_store_of_peaks_equals_one_of_the_same_values_as_bedgraph(tmp_path):
    (tmp_path / "sizes").write_text("chr1\t20000\n")
    attributes = 'gene_id "A"; gene_name "A"; gene_type "protein_coding";'
    (tmp_path / "genes.gtf").write_text(f"chr1\ttoy\tgene\t5001\t8000\t.\t+\t.\t{attributes}\n")
    (tmp_path / "p.narrowPeak").write_text(
        "chr1\t4000\t6000\t.\t1\t.\t2.5\t-1\t-1\t-1\nchr1\t4550\t4600\t.\t2\t.\t8\t-1\t-1\t-1\n"
    )
    (tmp_path / "p.bedGraph").write_text(
        "chr1\t4000\t4550\t2.5\nchr1\t4550\t4600\t8\nchr1\t4600\t6000\t2.5\n"
    )
    for kind, name in (("peaks", "p.narrowPeak"), ("bedgraph", "p.bedGraph")):
        (tmp_path / f"{kind}.yaml").write_text(
            "name: toy\ngenome: toy\nchrom_sizes: {path: sizes}\nfolds: {1: [chr1]}\n"
            f"channels: [{{name: CTCF, kind: {kind}, path: {name}}}]\n"
            "annotation: {kind: gtf, path: genes.gtf}\nwindow: 4000\nbin_sizes: [1000, 100]\n"
        )
        build_store(tmp_path / f"{kind}.yaml", tmp_path / f"{kind}.h5", progress=False)
    stores = [Store(tmp_path / f"{kind}.h5") for kind in ("peaks", "bedgraph")]
    assert np.array_equal(stores[0].signal(), stores[1].signal())
    assert stores[0].signal().sum() == 2.5 * 1950 + 8 * 50


def test_the_command_coverage_reads_peaks_and_their_values(tmp_path):
    peaks = random_peaks(6)
    path = write_peaks(tmp_path / "x.broadPeak", peaks)
    sizes = write_text(tmp_path / "sizes", "".join(f"{chrom}\t{size}\n" for chrom, size in SIZES.items()))
    for value, column in (("score", "score"), ("1", 1)):
        out = tmp_path / f"{value}.bigWig"
        succeed("coverage", path, "--chrom-sizes", sizes, "--out", out, "--value", value)
        assert_equal(depth_of_bigwig(out), highest_by_hand(peaks, column))


@pytest.mark.parametrize("value", ["pvalue", 7, "signal"])
def test_a_manifest_with_an_unknown_value_lists_the_known_ones(tmp_path, value):
    with pytest.raises(ValidationError, match="'signalValue', 'score', 'pValue', 'qValue' or 1"):
        Channel(name="A", kind="peaks", path="x.narrowPeak", value=value)
    with pytest.raises(ValidationError, match="only tracks of kind peaks"):
        Channel(name="A", kind="bed", path="x.bed", value=1)


# --- real peaks ---


def real_peaks(real_data):
    return sorted(path for cell in CELLS for path in (real_data / "cells" / cell).glob("*Peak.gz"))


def pandas_sums(peaks, regions, bin_size):
    "Return the sums of the highest signal in bins, from a table of peaks."
    sums = []
    for chrom, start, end in regions.itertuples(index=False):
        rows = peaks[(peaks["chrom"] == chrom) & (peaks["start"] < end) & (peaks["end"] > start)]
        depth = np.zeros(end - start)
        for row in rows.itertuples():
            inside = slice(max(0, row.start - start), row.end - start)
            depth[inside] = np.maximum(depth[inside], row.signal)
        sums.append(depth.reshape(-1, bin_size).sum(1))
    return np.concatenate(sums)


def check_real_file(path, real_data, tmp_path, number=200):
    sizes = dict(pd.read_csv(real_data / "hg19.chrom.sizes", sep="\t", header=None).values)
    peaks = pd.read_csv(path, sep="\t", header=None, usecols=[0, 1, 2, 6])
    peaks.columns = ["chrom", "start", "end", "signal"]
    random = np.random.default_rng(0)
    near = peaks.iloc[random.choice(len(peaks), number // 2)]  # half of the regions around peaks
    places = [(row.chrom, max(0, int(row.start) - 20_000)) for row in near.itertuples()]
    chroms = random.choice(peaks["chrom"].unique(), number - len(places))
    places += [(chrom, int(random.integers(0, sizes[chrom] - 40_000))) for chrom in chroms]
    regions = region_table(*((chrom, start, start + 40_000) for chrom, start in places))
    channel = Channel(name=path.name, kind="peaks", path=str(path))
    found = channel_sums(channel, regions, 100, sizes, tmp_path)
    np.testing.assert_allclose(found, pandas_sums(peaks, regions, 100), rtol=1e-5)


def test_real_files_of_peaks_equal_pandas_in_random_regions(real_data, tmp_path):
    for name in ("GM12878-H3K27me3.broadPeak.gz", "GM12878-EZH2.narrowPeak.gz"):
        check_real_file(real_data / "cells" / "GM12878" / name, real_data, tmp_path, number=40)


@pytest.mark.slow
def test_every_real_file_of_peaks_equals_pandas_in_200_random_regions(real_data, tmp_path):
    paths = real_peaks(real_data)
    assert len(paths) == 33
    for path in paths:
        check_real_file(path, real_data, tmp_path)


def write_cell_manifest(folder, real_data, cell, column):
    "Write a manifest that names the published peaks of a cell as they are."
    files = sorted((real_data / "cells" / cell).glob("*Peak.gz"))
    channels = "".join(
        f"  - {{name: {file.name.split('.')[0].split('-')[-1]}, kind: peaks, path: {file}}}\n"
        for file in files
    )
    text = (
        f"name: {cell}\ngenome: hg19\nchrom_sizes: {{path: {real_data}/hg19.chrom.sizes}}\n"
        f"channels:\n{channels}"
        f"annotation: {{kind: gtf, path: {real_data}/gencode.v10.genes.hg19.gtf.gz}}\n"
        f"expression: {{kind: matrix, path: {real_data}/57epigenomes.RPKM.pc.gz, column: {column}}}\n"
    )
    path = Path(folder) / f"{cell}.yaml"
    path.write_text(text)
    return path, files


@pytest.mark.slow
@pytest.mark.parametrize("cell, column", [("GM12878", "E116"), ("K562", "E123"), ("HeLa-S3", "E117")])
def test_a_real_cell_builds_directly_from_its_published_peaks(real_data, tmp_path, cell, column):
    manifest, files = write_cell_manifest(tmp_path, real_data, cell, column)
    with pytest.warns(UserWarning, match="no data on chrY"):
        build_store(manifest, tmp_path / "cell.h5", progress=False)
    store = Store(tmp_path / "cell.h5")
    assert len(files) == 11 and len(store.genes) > 19_000
    chosen = np.random.default_rng(0).choice(len(store.genes), 200, replace=False)
    rows = store.regions.iloc[store.promoter_region[chosen]]
    inside = (rows["inside_start"] == rows["start"]) & (rows["inside_end"] == rows["end"])
    rows = rows[inside]
    signal = store.signal()
    for column_of_signal, path in enumerate(files):
        peaks = pd.read_csv(path, sep="\t", header=None, usecols=[0, 1, 2, 6])
        peaks.columns = ["chrom", "start", "end", "signal"]
        expected = pandas_sums(peaks, rows[["chrom", "start", "end"]], 100).reshape(len(rows), -1)
        for first, sums in zip(rows["first_bin"], expected):
            np.testing.assert_allclose(signal[first : first + 400, column_of_signal], sums, rtol=1e-5)


def test_a_real_file_of_peaks_as_a_bigwig_has_the_largest_signal(real_data, tmp_path):
    path = real_data / "cells" / "GM12878" / "GM12878-EZH2.narrowPeak.gz"
    sizes = real_data / "hg19.chrom.sizes"
    out = coverage(path, sizes, tmp_path / "x.bigWig", progress=False)
    peaks = pd.read_csv(path, sep="\t", header=None)
    top = peaks.loc[peaks[6].idxmax()]
    region = region_table((top[0], int(top[1]), int(top[2])))
    mean = bin_sums(out, region, int(top[2] - top[1]), sizes)[0] / (top[2] - top[1])
    assert mean == pytest.approx(top[6], rel=1e-6)
