"""Reads, depth, bigWigs and bins agree with bedtools, NumPy and a second library; errors name bad input."""

import gzip
import os
import shutil
import subprocess
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pybigtools
import pyBigWig
import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chromoformer.data import tracks
from chromoformer.data.tracks import (
    bedgraph_intervals,
    bin_means,
    bin_sums,
    bins_of,
    coverage,
    read_coverage,
    write_bigwig,
)
from chromoformer.errors import InputError

SIZES = {"chr1": 1000, "chr10": 400, "chr2": 60}


# --- oracles: as plain as possible ---


def random_reads(seed=0, number=400):
    "Reads with duplicates and overlaps, and reads at both ends of every chromosome."
    random = np.random.default_rng(seed)
    reads = []
    for chrom, size in SIZES.items():
        starts = random.integers(0, size - 36, number)
        reads += [(chrom, int(start), int(start) + int(random.integers(20, 37))) for start in starts]
        reads += [
            (chrom, 0, 36),
            (chrom, 0, 36),
            (chrom, size - 36, size),
            (chrom, size - 1, size),
            (chrom, 0, size),
        ]
    return [reads[place] for place in random.permutation(len(reads))]


def depth_by_hand(reads):
    depth = {chrom: np.zeros(size, int) for chrom, size in SIZES.items()}
    for chrom, start, end in reads:
        depth[chrom][start:end] += 1
    return depth


def depth_of_runs(runs):
    depth = {chrom: np.zeros(size) for chrom, size in SIZES.items()}
    for chrom, starts, ends, values in runs:
        for start, end, value in zip(starts, ends, values):
            depth[chrom][start:end] += value
    return depth


def depth_of_bigwig(path):
    with pyBigWig.open(str(path)) as track:
        return {
            chrom: np.nan_to_num(track.values(chrom, 0, size, numpy=True))
            for chrom, size in track.chroms().items()
        }


def assert_equal_depth(found, expected):
    assert list(found) and set(found) == set(expected)
    for chrom in expected:
        assert np.array_equal(found[chrom], expected[chrom]), chrom


# --- files ---


def write_text(path, text):
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_tagalign(path, reads):
    return write_text(
        path, "".join(f"{chrom}\t{start}\t{end}\tN\t1000\t{'+-'[start % 2]}\n" for chrom, start, end in reads)
    )


def write_bed(path, reads):
    return write_text(path, "".join(f"{chrom}\t{start}\t{end}\n" for chrom, start, end in reads))


def write_bam(path, alignments, sizes=SIZES, unmapped=0):
    "Alignments: (chrom, start, cigar, flag)."
    names = list(sizes)
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": name, "LN": size} for name, size in sizes.items()]}
    with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
        for number, (chrom, start, cigar, flag) in enumerate(alignments):
            read = pysam.AlignedSegment(bam.header)
            read.query_name, read.reference_id, read.reference_start = (
                f"read{number}",
                names.index(chrom),
                start,
            )
            read.cigarstring, read.flag, read.mapping_quality = cigar, flag, 30
            read.query_sequence = "A" * read.infer_query_length()
            bam.write(read)
        for number in range(unmapped):
            read = pysam.AlignedSegment(bam.header)
            read.query_name, read.flag, read.query_sequence = f"unmapped{number}", 4, "ACGT"
            bam.write(read)
    return path


def chrom_sizes_file(folder, sizes=SIZES):
    return write_text(
        folder / "toy.chrom.sizes", "".join(f"{chrom}\t{size}\n" for chrom, size in sizes.items())
    )


def write_reads(folder, kind, reads):
    if kind == "bam":
        return write_bam(
            folder / "reads.bam",
            [(chrom, start, f"{end - start}M", 0) for chrom, start, end in reads],
            unmapped=3,
        )
    return {"tagalign": write_tagalign, "bed": write_bed}[kind](folder / f"reads.{kind}.gz", reads)


def write_library_bigwig(path, intervals, sizes=SIZES, zooms=0):
    "A bigWig written by pyBigWig itself: intervals of (chrom, start, end, value)."
    with pyBigWig.open(str(path), "w") as track:
        track.addHeader(list(sizes.items()), maxZooms=zooms)
        for chrom, start, end, value in intervals:
            track.addEntries([chrom], [start], ends=[end], values=[float(value)])
    return path


def no_leftovers(folder, *expected):
    "The folder holds the expected files and no partial one."
    return sorted(path.name for path in Path(folder).iterdir()) == sorted(expected)


# --- reads to depth ---


@pytest.mark.parametrize("kind", ["tagalign", "bed", "bam"])
def test_depth_of_every_base_equals_a_count_by_hand(tmp_path, kind):
    reads = random_reads()
    path = write_reads(tmp_path, kind, reads)
    assert_equal_depth(depth_of_runs(read_coverage(path, SIZES, progress=False)), depth_by_hand(reads))
    out = coverage(path, chrom_sizes_file(tmp_path), tmp_path / "out.bigWig", progress=False)
    assert_equal_depth(depth_of_bigwig(out), depth_by_hand(reads))


def bedtools_depth(*arguments):
    if not shutil.which("bedtools"):
        pytest.skip("bedtools is not installed")
    text = subprocess.run(
        ["bedtools", "genomecov", "-bga", *map(str, arguments)], capture_output=True, text=True, check=True
    )
    depth = {chrom: np.full(size, -1) for chrom, size in SIZES.items()}
    for line in text.stdout.splitlines():
        chrom, start, end, value = line.split("\t")
        depth[chrom][int(start) : int(end)] = int(value)
    return depth


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["tagalign", "bed", "bam"])
def test_coverage_equals_bedtools_genomecov_base_for_base(tmp_path, kind, seed):
    path = write_reads(tmp_path, kind, sorted(random_reads(seed)))  # bedtools needs them sorted by chromosome
    sizes = chrom_sizes_file(tmp_path)
    expected = bedtools_depth("-ibam", path) if kind == "bam" else bedtools_depth("-i", path, "-g", sizes)
    out = coverage(path, sizes, tmp_path / "out.bigWig", progress=False)
    assert_equal_depth(depth_of_bigwig(out), expected)


ALIGNMENTS = [
    ("chr1", 0, "36M", 0),
    ("chr1", 0, "36M", 1024),
    ("chr1", 10, "5S20M5S", 16),
    ("chr1", 50, "10M5D10M", 0),
    ("chr1", 60, "10M7I10M", 256),
    ("chr1", 100, "10M200N10M", 0),
    ("chr1", 400, "3H4=1X5=", 2048),
    ("chr1", 500, "5M2D5M2I5M9N5M", 0),
    ("chr1", 964, "36M", 512),
    ("chr10", 0, "400M", 0),
    ("chr2", 20, "10M2D", 0),
    ("chr2", 59, "1M", 0),
]


def test_bam_coverage_equals_bedtools(tmp_path):
    path = write_bam(tmp_path / "reads.bam", ALIGNMENTS, unmapped=2)
    found = depth_of_runs(read_coverage(path, SIZES, progress=False))
    assert_equal_depth(found, bedtools_depth("-ibam", path))


def test_bam_alignments_cover_matches_and_introns_but_not_deletions(tmp_path):
    path = write_bam(tmp_path / "reads.bam", ALIGNMENTS)
    depth = depth_of_runs(read_coverage(path, SIZES, progress=False))["chr1"]
    assert (
        depth[0:10].tolist() == [2] * 10 and depth[10:30].tolist() == [3] * 20
    )  # a duplicate counts; clipped bases do not
    assert (
        depth[50:60].tolist() == [1] * 10 and depth[65:75].tolist() == [2] * 10
    )  # 60-65 is deleted in one, matched in another
    assert depth[60:65].tolist() == [1] * 5
    assert (depth[100:320] == 1).all() and depth[99] == depth[320] == 0


def test_depths_of_replicates_of_different_formats_add_up(tmp_path):
    reads = random_reads(5)
    paths = [
        write_tagalign(tmp_path / "a.tagAlign.gz", reads[:300]),
        write_bed(tmp_path / "b.bed", reads[300:500]),
        write_reads(tmp_path, "bam", reads[500:]),
    ]
    assert_equal_depth(depth_of_runs(read_coverage(paths, SIZES, progress=False)), depth_by_hand(reads))


def test_runs_are_maximal_positive_and_in_genome_order(tmp_path):
    reads = [
        ("chr2", 0, 10),
        ("chr1", 0, 10),
        ("chr1", 10, 20),
        ("chr1", 30, 40),
    ]  # one read ends where the next starts
    runs = list(read_coverage(write_bed(tmp_path / "x.bed", reads), SIZES, progress=False))
    assert [(chrom, *(column.tolist() for column in columns)) for chrom, *columns in runs] == [
        ("chr1", [0, 30], [20, 40], [1, 1]),
        ("chr2", [0], [10], [1]),
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 59), st.integers(1, 60)).map(lambda x: (x[0], min(60, sum(x)))),
        min_size=1,
        max_size=40,
    )
)
def test_runs_reproduce_any_depth(reads):
    starts, ends = np.array(reads).T
    expected = depth_by_hand([("chr2", start, end) for start, end in reads])["chr2"]
    for dtype in (np.uint32, np.uint64):
        runs = tracks.depth_runs(tracks.read_edges(starts, ends, dtype))
        assert np.array_equal(depth_of_runs([("chr2", *runs)])["chr2"], expected)
        assert (runs[0] < runs[1]).all() and (runs[2] > 0).all()
        touching = runs[1][:-1] == runs[0][1:]
        assert (runs[2][:-1][touching] != runs[2][1:][touching]).all()


@pytest.mark.parametrize(
    "text",
    [
        b"chr1\t0\t8\r\nchr1\t5\t13\r\n",  # CRLF
        b"chr1\t0\t8\nchr1\t5\t13",  # the last line has no line end
        b"#chrom\tstart\tend\nchr1\t0\t8\n\nchr1\t5\t13\n\n",  # a header and empty lines
        b'browser position chr1:1-20\ntrack name="x" description="y"\nchr1\t0\t8\n# middle\nchr1\t5\t13\n',
        b"chr1\t0\t8\n#chr1\t1\t9\nchr1\t5\t13\n",  # a record commented out
        b"chr1 0 8\nchr1  5 13\n",  # spaces
        b"1\t0\t8\n1\t5\t13\n",  # names without chr
        b'chr1\t0\t8\t"a\t1\t+\nchr1\t5\t13\tb"\t1\t-\n',  # quotation marks have no meaning
    ],
)
@pytest.mark.parametrize("ending", [".bed", ".bed.gz"])
def test_common_variants_of_text_files_are_read(tmp_path, text, ending):
    path = write_text(tmp_path / f"x{ending}", text)
    found = depth_of_runs(read_coverage(path, SIZES, progress=False))
    assert_equal_depth(found, depth_by_hand([("chr1", 0, 8), ("chr1", 5, 13)]))


def test_concatenated_gzip_and_bgzip_files_are_read_to_the_end(tmp_path):
    reads = random_reads(7)
    half = (
        write_bed(tmp_path / "half.bed", reads[:600]).read_bytes(),
        write_bed(tmp_path / "rest.bed", reads[600:]).read_bytes(),
    )
    (tmp_path / "joined.bed.gz").write_bytes(b"".join(map(gzip.compress, half)))
    (tmp_path / "all.bed").write_bytes(b"".join(half))
    pysam.tabix_compress(str(tmp_path / "all.bed"), str(tmp_path / "bgzip.bed.gz"))
    for name in ("joined.bed.gz", "bgzip.bed.gz"):
        assert_equal_depth(
            depth_of_runs(read_coverage(tmp_path / name, SIZES, progress=False)), depth_by_hand(reads)
        )


@pytest.mark.parametrize("block", [1, 7, 50, 1000])
def test_depth_does_not_depend_on_the_block_size(tmp_path, monkeypatch, block):
    reads = random_reads(9, number=20)
    path = write_text(
        tmp_path / "x.bed.gz",
        "# a comment\n" + "".join(f"{chrom}\t{start}\t{end}\n" for chrom, start, end in reads) + "# the end",
    )
    monkeypatch.setattr(tracks, "BLOCK", block)
    assert_equal_depth(depth_of_runs(read_coverage(path, SIZES, progress=False)), depth_by_hand(reads))


def test_reads_on_unknown_chromosomes_are_counted_in_one_warning(tmp_path):
    reads = [("chr1", 0, 8), ("chrM", 0, 8), ("chrUn_7", 500, 100), ("chrUn_7", 5, 10), ("chrM", -5, 8)]
    with pytest.warns(UserWarning) as caught:
        found = depth_of_runs(read_coverage(write_bed(tmp_path / "x.bed", reads), SIZES, progress=False))
    assert len(caught) == 1
    assert "4 records on 2 chromosomes" in str(caught[0].message) and "chrM, chrUn_7" in str(
        caught[0].message
    )
    assert_equal_depth(found, depth_by_hand(reads[:1]))


# --- bad reads ---

GOOD = "chr1\t0\t8\tN\t1000\t+\n"


def tag_line(chrom, start, end):
    return f"{chrom}\t{start}\t{end}\tN\t1000\t+\n"


@pytest.mark.parametrize("ending", [".tagAlign", ".tagAlign.gz"])
@pytest.mark.parametrize(
    "line, problem",
    [
        (tag_line("chr1", 990, 1001), "past the end of chr1"),
        (tag_line("10", 395, 401), "past the end of 10"),
        (tag_line("chr1", -1, 20), "before the chromosome"),
        (tag_line("chr1", 20, 20), "not after start"),
        (tag_line("chr1", 20, 10), "not after start"),
        (tag_line("chr1", "abc", 10), "start 'abc' is not a whole number"),
        (tag_line("chr1", 1, "1e3"), "end '1e3' is not a whole number"),
        (tag_line("chr1", 1, "NA"), "end 'NA' is not a whole number"),
        (tag_line("chr1", 1, ""), "end '' is not a whole number"),
        (tag_line("chr1", 1, "99999999999999999999"), "is not a whole number"),
        ("chr1\t5\n", "the number of columns is 2"),
        ("chr1\t5\t9\n", "the number of columns is 3"),
    ],
)
def test_a_bad_read_is_reported_with_file_and_line(tmp_path, monkeypatch, line, problem, ending):
    monkeypatch.setattr(tracks, "BLOCK", 40)  # the bad line is in a later block
    path = write_text(tmp_path / f"x{ending}", "# comment\n" + GOOD * 5 + line + GOOD)
    with pytest.raises(InputError, match="line 7") as caught:
        coverage(path, SIZES, tmp_path / "out.bigWig", progress=False)
    assert problem in str(caught.value) and caught.value.file == path and caught.value.fix
    assert no_leftovers(tmp_path, path.name)


@pytest.mark.parametrize("keep", [5, 12, 0.5, -9, -8, -1])
def test_a_gzip_cut_short_is_an_error(tmp_path, keep):
    whole = write_tagalign(tmp_path / "x.tagAlign.gz", random_reads()).read_bytes()
    path = tmp_path / "x.tagAlign.gz"
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(InputError, match="cut short or damaged") as caught:
        coverage(path, SIZES, tmp_path / "out.bigWig", progress=False)
    assert caught.value.file == path and no_leftovers(tmp_path, path.name)


def test_a_damaged_gzip_is_an_error(tmp_path):
    path = write_tagalign(tmp_path / "x.tagAlign.gz", random_reads())
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # the checksum
    path.write_bytes(data)
    with pytest.raises(InputError, match="cut short or damaged"):
        list(read_coverage(path, SIZES, progress=False))


@pytest.mark.parametrize(
    "name, data, problem",
    [
        ("x.bed", b"", "empty"),
        ("x.bed.gz", b"", "empty"),
        ("x.bam", b"", "empty"),
        ("x.bed.gz", gzip.compress(b"", mtime=0), "no record"),
        ("x.bed", b"# nothing but a comment\n", "no record"),
        ("x.bed", b"\n\n", "no record"),
        ("x.bed", b"scaffold_1\t0\t10\n", "no chromosome matches"),
        ("x.bed", b"chrom\tstart\tend\nchr1\t0\t8\n", "line 1: start 'start' is not a whole number"),
        ("x.bed", b"\x00\x01\xff\xfe" * 100, "number of columns is 1"),
        ("x.reads", b"chr1\t0\t8\n", "does not show its format"),
        ("x.bam", b"chr1\t0\t8\n", "not a complete BAM file"),
        ("x.bedGraph", b"chr1\t0\t8\t1\n", "a bedGraph holds depths"),
    ],
)
def test_files_without_reads_are_refused(tmp_path, name, data, problem):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=problem) as caught:
        list(read_coverage(path, SIZES, progress=False))
    assert str(path) in str(caught.value) and caught.value.fix


def test_missing_files_and_unknown_kinds_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        list(read_coverage(tmp_path / "x.bed", SIZES, progress=False))
    with pytest.raises(InputError, match="kind 'sam' is unknown"):
        list(
            read_coverage(write_bed(tmp_path / "x.bed", [("chr1", 0, 5)]), SIZES, kind="sam", progress=False)
        )


def test_a_given_kind_overrides_the_file_name(tmp_path):
    path = write_bed(tmp_path / "reads.txt", [("chr1", 0, 5)])
    assert next(read_coverage(path, SIZES, kind="bed", progress=False))[2].tolist() == [5]


def test_a_bam_of_another_assembly_or_cut_short_or_with_reads_past_the_end_is_refused(tmp_path):
    path = write_bam(tmp_path / "reads.bam", ALIGNMENTS)
    with pytest.raises(InputError, match="chr10 is 400 bp long in this file, but chr10 has 401 bp"):
        list(read_coverage(path, SIZES | {"chr10": 401}, progress=False))
    whole = path.read_bytes()
    for size in (20, len(whole) // 2, len(whole) - 28):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="not a complete BAM file"):
            coverage(path, SIZES, tmp_path / "out.bigWig", progress=False)
    write_bam(path, [("chr2", 50, "36M", 0)])
    with pytest.raises(InputError, match="chr2:50-86: an alignment leaves its chromosome"):
        coverage(path, SIZES, tmp_path / "out.bigWig", progress=False)
    assert no_leftovers(tmp_path, "reads.bam")


# --- bedGraph ---


@pytest.mark.parametrize("ending", [".bedGraph", ".bedGraph.gz", ".bdg"])
def test_a_bedgraph_in_any_order_becomes_a_bigwig(tmp_path, ending):
    text = "track type=bedGraph\nchr10\t5\t6\t1e2\nchr1\t20\t30\t2.5\nchr1\t10\t20\t0\nchr1\t0\t10\t1\n"
    path = write_text(tmp_path / f"x{ending}", text)
    runs = [
        (chrom, *(column.tolist() for column in columns))
        for chrom, *columns in bedgraph_intervals(path, SIZES, progress=False)
    ]
    assert runs == [("chr1", [0, 20], [10, 30], [1.0, 2.5]), ("chr10", [5], [6], [100.0])]
    depth = depth_of_bigwig(coverage(path, SIZES, tmp_path / "out.bigWig", progress=False))
    assert (
        depth["chr1"][:31].tolist() == [1.0] * 10 + [0] * 10 + [2.5] * 10 + [0]
        and depth["chr10"].sum() == 100
    )


@pytest.mark.parametrize(
    "line, problem",
    [
        ("chr1\t50\t60\tnan\n", "line 4: value nan is not a depth"),
        ("chr1\t50\t60\t-1\n", "line 4: value -1 is not a depth"),
        ("chr1\t50\t60\tinf\n", "line 4: value inf is not a depth"),
        ("chr1\t50\t60\t1e39\n", "line 4: value 1e39 is not a depth"),
        ("chr1\t50\t60\thigh\n", "line 4: value 'high' is not a number"),
        ("chr1\t50\t60\t\n", "line 4: value '' is not a number"),
        ("chr1\t50\t1001\t1\n", "line 4: end 1,001 is past the end"),
        ("chr1\t50\t60\n", "line 4: the number of columns is 3"),
        ("chr1 50 60 1\n", "line 4: the number of columns is 1, but the first line has 4"),
        ("chr1\t25\t35\t1\n", "lines 3, 4: intervals overlap: chr1:20-30 and chr1:25-35"),
        ("chr1\t20\t30\t1\n", "lines 3, 4: intervals overlap: chr1:20-30 and chr1:20-30"),
    ],
)
def test_a_bad_bedgraph_line_is_reported_with_its_number(tmp_path, line, problem):
    path = write_text(tmp_path / "x.bedGraph", "chr1\t0\t10\t1\nchr1\t10\t20\t2\nchr1\t20\t30\t3\n" + line)
    with pytest.raises(InputError, match=problem) as caught:
        coverage(path, SIZES, tmp_path / "out.bigWig", progress=False)
    assert caught.value.file == path and no_leftovers(tmp_path, path.name)


@pytest.mark.parametrize("blanks", [("", " "), (" ", ""), ("", " \t"), ("", " \r")])
def test_blanks_around_the_lines_of_a_file_with_spaces_are_skipped(tmp_path, blanks):
    before, after = blanks
    lines = ["chr1 0 10 1", f"{before}chr1 10  20 2{after}", "chr1 20 30 3"]
    path = write_text(tmp_path / "x.bedGraph", "".join(f"{line}\n" for line in lines))
    ((chrom, *columns),) = bedgraph_intervals(path, SIZES, progress=False)
    assert chrom == "chr1" and [column.tolist() for column in columns] == [
        [0, 10, 20],
        [10, 20, 30],
        [1, 2, 3],
    ]


def test_a_bed_file_is_not_read_as_a_bedgraph(tmp_path):
    with pytest.raises(InputError, match="line 1: the number of columns is 3, but at least 4"):
        list(bedgraph_intervals(write_bed(tmp_path / "x.bed", [("chr1", 0, 5)]), SIZES, progress=False))


# --- reads to bigWig ---


def test_two_libraries_read_back_the_written_depth(tmp_path):
    reads = random_reads(11)
    out = coverage(write_bed(tmp_path / "x.bed", reads), SIZES, tmp_path / "out.bigWig", progress=False)
    expected = depth_by_hand(reads)
    assert_equal_depth(depth_of_bigwig(out), expected)
    other = pybigtools.open(str(out))
    assert other.chroms() == SIZES
    for chrom, size in SIZES.items():
        assert np.array_equal(other.values(chrom, 0, size, fillna=0.0), expected[chrom])


def test_equal_reads_make_equal_bytes_whatever_their_order(tmp_path):
    reads = random_reads(3)
    first = coverage(write_bed(tmp_path / "x.bed", reads), SIZES, tmp_path / "first.bigWig", progress=False)
    again = coverage(
        write_tagalign(tmp_path / "y.tagAlign.gz", reads[::-1]),
        dict(reversed(SIZES.items())),
        tmp_path / "again.bigWig",
        progress=False,
    )
    assert first.read_bytes() == again.read_bytes()


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    path = write_bed(tmp_path / "x.bed", random_reads(3))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
    with pytest.raises(InputError, match="disk is full") as caught:
        coverage(path, SIZES, tmp_path / "out.bigWig", progress=False)
    assert caught.value.file == tmp_path / "out.bigWig" and no_leftovers(tmp_path, "x.bed")


# --- bins ---


def oracle_sums(depth, regions, bin_size):
    "Bin by bin and base by base; bases outside the chromosome have no depth."
    sums = []
    for chrom, start, end in regions.itertuples(index=False):
        for first in range(start, end, bin_size):
            inside = range(max(first, 0), max(0, min(first + bin_size, end, len(depth[chrom]))))
            sums.append(sum(float(depth[chrom][base]) for base in inside))
    return np.array(sums).astype(np.float32)


def region_table(*rows):
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


SIGNAL = [
    ("chr1", 0, 7, 2),
    ("chr1", 7, 20, 0.5),
    ("chr1", 33, 34, 0.25),
    ("chr1", 90, 130, 3),
    ("chr1", 995, 1000, 8),
    ("chr10", 100, 399, 1.75),
    ("chr2", 0, 60, 1000),
]


def depth_of_signal(signal=SIGNAL, sizes=SIZES):
    depth = {chrom: np.zeros(size) for chrom, size in sizes.items()}
    for chrom, start, end, value in signal:
        depth[chrom][start:end] = np.float32(value)
    return depth


@pytest.fixture(scope="module")
def signal_file(tmp_path_factory):
    return write_library_bigwig(tmp_path_factory.mktemp("signal") / "signal.bw", SIGNAL)


def places(chrom):
    return st.tuples(st.just(chrom), st.integers(-150, SIZES[chrom] + 150), st.integers(1, 500))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(list(SIZES)).flatmap(places), min_size=1, max_size=8),
    st.one_of(st.integers(1, 40), st.integers(41, 700)),
)
def test_sums_and_means_of_random_regions_equal_numpy(signal_file, rows, bin_size):
    regions = region_table(*((chrom, start, start + length) for chrom, start, length in rows))
    expected = oracle_sums(depth_of_signal(), regions, bin_size)
    sums = bin_sums(signal_file, regions, bin_size, SIZES)
    assert sums.dtype == np.float32 and np.array_equal(sums, expected)
    bases = np.concatenate(
        [
            [min(bin_size, end - first) for first in range(start, end, bin_size)]
            for _, start, end in regions.itertuples(index=False)
        ]
    )
    assert np.array_equal(
        bin_means(signal_file, regions, bin_size, SIZES), expected / bases.astype(np.float32)
    )
    counts, found_bases = bins_of(regions, bin_size)
    assert np.array_equal(found_bases, bases) and counts.sum() == len(sums)


values = st.floats(0, 2.0**80, width=32, allow_subnormal=False)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30), values), min_size=1, max_size=20),
    st.integers(1, 50),
)
def test_sums_of_float_values_are_rounded_once(tmp_path, steps, bin_size):
    signal, at = [], 0
    for gap, length, value in steps:
        if at + gap + length <= 1000:
            signal.append(("chr1", at + gap, at + gap + length, value))
            at += gap + length
    path = write_library_bigwig(tmp_path / "x.bw", signal)
    regions = region_table(("chr1", 0, 1000), ("chr1", 13, 500))
    found = bin_sums(path, regions, bin_size, SIZES)
    np.testing.assert_allclose(found, oracle_sums(depth_of_signal(signal), regions, bin_size), rtol=1.2e-7)


def test_counts_up_to_two_to_the_24_are_exact(tmp_path):
    signal = [("chr1", 0, 1, 2**24 - 1), ("chr1", 1, 2, 1), ("chr1", 10, 20, 1), ("chr1", 100, 1000, 18641)]
    path = write_library_bigwig(tmp_path / "x.bw", signal)
    assert bin_sums(path, region_table(("chr1", 0, 20)), 10, SIZES).tolist() == [2**24, 10]
    assert bin_sums(path, region_table(("chr1", 100, 1000)), 900, SIZES).tolist() == [18641 * 900]


@pytest.mark.parametrize("writer", ["pyBigWig", "pybigtools", "zooms", "fixed step", "variable step"])
def test_sums_do_not_depend_on_the_program_that_wrote_the_bigwig(tmp_path, writer):
    path = tmp_path / "x.bigWig"
    signal = [("chr1", start, start + 5, value) for start, value in zip(range(0, 1000, 10), range(1, 101))]
    starts, levels = [row[1] for row in signal], [float(row[3]) for row in signal]
    if writer == "pybigtools":
        pybigtools.open(str(path), "w").write(SIZES, [(*row[:3], float(row[3])) for row in signal])
    elif "step" in writer:
        with pyBigWig.open(str(path), "w") as track:
            track.addHeader(list(SIZES.items()))
            if writer == "fixed step":
                track.addEntries("chr1", 0, values=levels, span=5, step=10)
            else:
                track.addEntries("chr1", starts, values=levels, span=5)
    else:
        write_library_bigwig(path, signal, zooms=10 if writer == "zooms" else 0)
    regions = region_table(("chr1", -20, 333), ("chr1", 3, 1000))
    for bin_size in (1, 7, 100, 400):
        assert np.array_equal(
            bin_sums(path, regions, bin_size, SIZES), oracle_sums(depth_of_signal(signal), regions, bin_size)
        )


def test_sums_over_many_blocks_and_long_regions_equal_numpy(tmp_path):
    "A chromosome of many compressed blocks, read whole and in pieces."
    random = np.random.default_rng(0)
    edges = np.unique(random.integers(0, 3_000_000, 60_000))
    depth = random.integers(0, 200, len(edges) - 1)
    path = write_bigwig(tmp_path / "x.bigWig", {"chr1": 3_000_000}, [("chr1", edges[:-1], edges[1:], depth)])
    bases = np.zeros(3_000_000)
    bases[edges[0] : edges[-1]] = np.repeat(depth, np.diff(edges))
    whole = bin_sums(path, region_table(("chr1", 0, 3_000_000)), 100, {"chr1": 3_000_000})
    assert np.array_equal(whole, bases.reshape(-1, 100).sum(1))
    starts = np.append(random.integers(0, 2_950_000, 200), 2_951_234)
    regions = pd.DataFrame({"chrom": "chr1", "start": starts, "end": starts + 40_000})
    found = bin_sums(path, regions, 500, {"chr1": 3_000_000}).reshape(-1, 80)
    for row, start in zip(found, starts):
        assert np.array_equal(row, bases[start : start + 40_000].reshape(80, 500).sum(1))


def test_the_order_of_regions_is_kept_and_its_index_ignored(signal_file):
    regions = region_table(("chr2", 0, 20), ("chr1", 90, 110), ("chr1", 0, 10))
    regions.index = [7, 7, 3]
    assert bin_sums(signal_file, regions, 10, SIZES).tolist() == [10_000, 10_000, 30, 30, 15.5]
    assert (
        bin_sums(signal_file, regions.astype({"start": np.int32, "chrom": "category"}), 10, SIZES)[-1] == 15.5
    )


def test_no_regions_give_no_bins(signal_file):
    assert bin_sums(signal_file, region_table().astype({"start": int, "end": int}), 10, SIZES).shape == (0,)


def test_a_bigwig_of_any_name_is_read(tmp_path, signal_file):
    shutil.copy(signal_file, tmp_path / "signal.download")
    assert bin_sums(tmp_path / "signal.download", region_table(("chr2", 0, 10)), 10, SIZES).tolist() == [
        10_000
    ]


def test_names_with_and_without_chr_are_equivalent(tmp_path, signal_file):
    bare = write_library_bigwig(
        tmp_path / "bare.bw",
        [(chrom[3:], *rest) for chrom, *rest in SIGNAL],
        sizes={chrom[3:]: size for chrom, size in SIZES.items()},
    )
    regions = region_table(("chr1", 0, 100), ("chr10", 90, 110))
    assert np.array_equal(bin_sums(bare, regions, 10, SIZES), bin_sums(signal_file, regions, 10, SIZES))
    bare_regions = regions.assign(chrom=regions["chrom"].str[3:])
    bare_sizes = {chrom[3:]: size for chrom, size in SIZES.items()}
    assert np.array_equal(
        bin_sums(signal_file, bare_regions, 10, bare_sizes), bin_sums(signal_file, regions, 10, SIZES)
    )


# --- bad tracks ---


@pytest.mark.parametrize(
    "value, problem",
    [
        (-1.0, "the signal is -1"),
        (np.inf, "infinite"),
        (-np.inf, "the signal is -inf"),
        (np.nan, "not a number"),
    ],
)
def test_signal_that_is_not_depth_is_refused_only_in_regions_that_are_read(tmp_path, value, problem):
    signal = [("chr1", 0, 100, 5), ("chr1", 100, 101, value), ("chr1", 102, 200, 5)]
    path = write_library_bigwig(tmp_path / "x.bw", signal)
    bad = region_table(("chr1", 0, 50), ("chr1", 60, 150))
    for bin_size in (1, 10, 90, 500):
        with pytest.raises(InputError, match=problem) as caught:
            bin_sums(path, bad, bin_size, SIZES)
        assert caught.value.file == path and caught.value.place == "chr1:60-150" and caught.value.fix
    assert bin_sums(path, region_table(("chr1", 0, 50), ("chr1", 150, 210)), 50, SIZES).tolist() == [
        250,
        250,
        0,
    ]


def test_a_bigwig_cut_short_at_any_byte_is_refused(tmp_path, capfd):
    random = np.random.default_rng(0)
    edges = np.unique(random.integers(0, 100_000, 9000))
    for zooms in (0, 10):
        signal = zip(edges[:-1].tolist(), edges[1:].tolist(), random.integers(1, 9, len(edges) - 1).tolist())
        path = write_library_bigwig(
            tmp_path / "x.bigWig", [("chr1", *run) for run in signal], {"chr1": 100_000}, zooms
        )
        whole = path.read_bytes()
        for size in [
            1,
            3,
            4,
            5,
            6,
            30,
            63,
            64,
            100,
            200,
            *range(300, len(whole), 997),
            *range(len(whole) - 6, len(whole)),
        ]:
            path.write_bytes(whole[:size])
            with pytest.raises(InputError) as caught:
                bin_sums(path, region_table(("chr1", 0, 1000)), 10, {"chr1": 100_000})
            assert caught.value.file == path and caught.value.fix


def test_damaged_blocks_are_reported(tmp_path, capfd):
    "As a wrongly resumed download leaves them: zeros in the middle, the end mark in place."
    edges = np.arange(0, 90_001, 3)
    values = np.random.default_rng(0).integers(1, 9, len(edges) - 1)
    path = write_bigwig(tmp_path / "x.bigWig", {"chr1": 100_000}, [("chr1", edges[:-1], edges[1:], values)])
    whole = path.read_bytes()
    path.write_bytes(whole[:20_000] + bytes(20_000) + whole[40_000:])
    with pytest.raises(InputError, match="damaged") as caught:
        bin_sums(path, region_table(("chr1", 0, 100_000)), 100, {"chr1": 100_000})
    assert caught.value.file == path


@pytest.mark.parametrize(
    "name, data, problem",
    [
        ("x.bw", b"", "empty"),
        ("x.bw", b"chr1\t0\t10\t1\n" * 9, "not a bigWig file"),
        ("x.bw", bytes(500), "not a bigWig file"),
        ("x.bw", b"ab", "not a bigWig file"),
    ],
)
def test_other_files_are_not_read_as_bigwigs(tmp_path, name, data, problem):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=problem) as caught:
        bin_sums(tmp_path / name, region_table(("chr1", 0, 10)), 10, SIZES)
    assert caught.value.file == tmp_path / name and caught.value.fix


def test_a_missing_bigwig_is_reported(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        bin_sums(tmp_path / "x.bw", region_table(("chr1", 0, 10)), 10, SIZES)


def test_a_track_that_lacks_a_chromosome_lists_both_sides(tmp_path):
    path = write_library_bigwig(tmp_path / "x.bw", [("chr1", 0, 5, 1)], sizes={"chr1": 1000, "chr10": 400})
    with pytest.raises(
        InputError, match="lacks chr2: it has chr1, chr10, the regions lie on chr1, chr2"
    ) as caught:
        bin_sums(path, region_table(("chr1", 0, 10), ("chr2", 0, 10)), 10, SIZES)
    assert caught.value.file == path
    assert bin_sums(path, region_table(("chr1", 0, 10)), 10, SIZES).tolist() == [5]


def test_a_track_of_another_assembly_is_refused(signal_file):
    with pytest.raises(InputError, match="chr2 is 60 bp long in this file, but chr2 has 61 bp"):
        bin_sums(signal_file, region_table(("chr1", 0, 10)), 10, SIZES | {"chr2": 61})
    with pytest.raises(InputError, match="no chromosome matches"):
        bin_sums(signal_file, region_table(("scaffold_1", 0, 10)), 10, {"scaffold_1": 100})


def test_chromosomes_that_the_genome_lacks_are_reported_once(signal_file):
    with pytest.warns(
        UserWarning, match="1 chromosome names match nothing in the genome and are skipped .chr2."
    ) as caught:
        sums = bin_sums(
            signal_file, region_table(("chr1", 0, 10), ("chr10", 100, 110)), 10, {"chr1": 1000, "chr10": 400}
        )
    assert len(caught) == 1 and sums.tolist() == [15.5, 17.5]


def test_a_mitochondrial_chromosome_of_another_length_is_accepted(tmp_path):
    path = write_library_bigwig(tmp_path / "x.bw", [("chr1", 0, 5, 1)], sizes={"chr1": 1000, "chrM": 571})
    assert bin_sums(path, region_table(("chr1", 0, 10)), 10, {"chr1": 1000, "chrMT": 569}).tolist() == [5]


@pytest.mark.parametrize("kind", ["bed", "bam", "bedgraph"])
def test_the_two_more_bases_of_chromosome_m_in_hg19_are_cut_off(tmp_path, kind):
    sizes = {"chr1": 1000, "chrM": 16_569}
    rows = [("chr1", 0, 36), ("chrM", 16_535, 16_571), ("chrM", 16_569, 16_571), ("chr1", 50, 86)]
    rows = rows if kind != "bedgraph" else [row for row in rows if row[1] != 16_535]
    path = tmp_path / f"x.{kind}"
    if kind == "bam":
        reads = [(chrom, start, f"{end - start}M", 0) for chrom, start, end in rows]
        path = write_bam(path, reads, sizes | {"chrM": 16_571})
    else:
        value = "\t1" if kind == "bedgraph" else ""
        write_text(path, "".join(f"{chrom}\t{start}\t{end}{value}\n" for chrom, start, end in rows))
    depth = depth_of_bigwig(coverage(path, sizes, tmp_path / "out.bigWig", progress=False))
    assert depth["chr1"].sum() == 72
    assert kind == "bedgraph" or (depth["chrM"].sum(), depth["chrM"][-1]) == (34, 1)
    with pytest.raises(InputError, match="end 16,572 is past the end of chrM"):
        coverage(
            write_bed(tmp_path / "y.bed", [*rows, ("chrM", 16_540, 16_572)]),
            sizes,
            tmp_path / "y.bigWig",
            progress=False,
        )


def test_invalid_regions_and_bin_sizes_are_refused(signal_file):
    with pytest.raises(InputError, match="chr7, which the genome lacks"):
        bin_sums(signal_file, region_table(("chr7", 0, 10)), 10, SIZES)
    with pytest.raises(InputError, match="chr1:20-20: a region ends"):
        bin_sums(signal_file, region_table(("chr1", 0, 10), ("chr1", 20, 20)), 10, SIZES)
    for bin_size in (0, -5, 2.5):
        with pytest.raises(InputError, match="bin size"):
            bin_sums(signal_file, region_table(("chr1", 0, 10)), bin_size, SIZES)


# --- real data ---


@pytest.mark.parametrize("mark", ["H3K4me3", "H3K27me3"])
def test_real_counts_of_gm12878_equal_pybigwig(mark):
    if "CHROMOFORMER_DATA" not in os.environ:
        pytest.skip("CHROMOFORMER_DATA is not set")
    data = Path(os.environ["CHROMOFORMER_DATA"])
    path = data / "gm12878" / f"E116-{mark}.counts10kb.bigWig"
    random = np.random.default_rng(0)
    regions = region_table(
        *(
            (f"chr{random.integers(1, 23)}", start, start + 80_000)
            for start in random.integers(-50_000, 40_000_000, 200)
        )
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bin_sums(path, regions, 2000, data / "hg19.chrom.sizes").reshape(200, 40)
    with pyBigWig.open(str(path)) as track:
        for row, (chrom, start, end) in zip(found, regions.itertuples(index=False)):
            bases = np.zeros(80_000)
            if end > 0:
                bases[max(0, -start) :] = np.nan_to_num(track.values(chrom, max(start, 0), end, numpy=True))
            assert np.array_equal(row, bases.reshape(40, 2000).sum(1).astype(np.float32))


TWO_NAMES = {
    "reads.bed": "{}\t100\t136\tr\t30\t+\n",
    "reads.tagAlign": "{}\t100\t136\tN\t1000\t+\n",
    "depth.bedGraph": "{}\t100\t136\t2.5\n",
    "peaks.narrowPeak": "{}\t100\t136\t.\t9\t.\t5.5\t-1\t-1\t9\n",
    "blocks.gappedPeak": "{}\t100\t136\t.\t9\t.\t100\t136\t0\t1\t36\t0\t5.5\t-1\t-1\n",
}


def write_two_names(folder, file, names):
    "Write a record on each of some chromosomes, and return the file."
    path = folder / file
    line = TWO_NAMES.get(file.removesuffix(".gz"), "")
    path.write_text("".join(line.format(name) for name in names))
    if file.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    if file.endswith(".bam"):
        header = {"HD": {"VN": "1.0"}, "SQ": [{"SN": name, "LN": 1000} for name in dict.fromkeys(names)]}
        with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
            for name in names[:1]:  # one name of the header may have no read
                read = pysam.AlignedSegment(bam.header)
                read.query_name, read.reference_name, read.reference_start = "r", name, 100
                read.cigartuples, read.query_sequence, read.flag = [(0, 36)], "A" * 36, 0
                bam.write(read)
    return path


@pytest.mark.parametrize("file", [*TWO_NAMES, "reads.bed.gz", "reads.bam"])
@pytest.mark.parametrize("names", [["chrX", "X"], ["X", "chr1", "chrX"], ["chrX", "ChrX"]])
def test_two_names_of_one_chromosome_are_refused(tmp_path, monkeypatch, file, names):
    monkeypatch.setattr(tracks, "BLOCK", 40)  # the second name is in another block
    path = write_two_names(tmp_path, file, names)
    two = [name for name in names if name.lower().endswith("x")]
    with pytest.raises(InputError, match=f"two names for one chromosome: {two[0]} and {two[1]}\n.*spike-in"):
        coverage(path, {"chr1": 1000, "chrX": 1000}, tmp_path / "x.bigWig", progress=False)
    assert not (tmp_path / "x.bigWig").exists()


@pytest.mark.parametrize("names", [["chrX", "Y"], ["X", "chr1", "X"], ["chr1_alt", "1"]])
def test_one_name_for_each_chromosome_may_have_any_spelling(tmp_path, names):
    path = write_two_names(tmp_path, "reads.bed", names)
    sizes = {"chr1": 1000, "chrX": 1000, "chrY": 1000}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert list(read_coverage(path, sizes, progress=False))


def test_files_of_one_track_may_name_chromosomes_differently(tmp_path):
    sizes = {"chr1": 1000, "chrX": 1000}
    one = write_two_names(tmp_path, "reads.bed", ["chr1", "chrX"])
    other = write_two_names(tmp_path, "reads.tagAlign", ["1", "X"])
    assert [depth.tolist() for *_, depth in read_coverage([one, other], sizes, progress=False)] == [[2], [2]]


@pytest.mark.parametrize("names", [["chrM", "MT", "MT"], ["MT", "MT", "chrM"]])
def test_mt_is_read_as_m_only_if_the_file_has_no_m(tmp_path, monkeypatch, names):
    monkeypatch.setattr(tracks, "BLOCK", 40)
    path = write_two_names(tmp_path, "reads.bed", names)
    with pytest.warns(UserWarning, match=r"2 records on 1 chromosomes .* skipped \(MT\)"):
        ((chrom, *_, depth),) = read_coverage(path, {"chrM": 1000}, progress=False)
    assert (chrom, depth.tolist()) == ("chrM", [1])
    path = write_two_names(tmp_path, "reads.bed", ["MT", "MT"])
    ((chrom, *_, depth),) = read_coverage(path, {"chrM": 1000}, progress=False)
    assert (chrom, depth.tolist()) == ("chrM", [2])
