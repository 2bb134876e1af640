"""Two libraries read what is written, a failed write leaves no file, an incomplete bigWig does not open."""

import shutil
import struct
import subprocess
from types import SimpleNamespace

import numpy as np
import pybigtools
import pyBigWig
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chromoformer.data import bigwig
from chromoformer.data.bigwig import open_bigwig, write_bigwig
from chromoformer.errors import InputError

SIZES = {"chr1": 1000, "chr10": 400, "chr2": 60}


def no_leftovers(folder, *expected):
    return sorted(path.name for path in folder.iterdir()) == sorted(expected)


def interval(chrom="chr1", starts=(0, 10), ends=(5, 15), values=(1.0, 2.0)):
    return chrom, np.array(starts), np.array(ends), np.array(values, float)


def random_intervals(number, size, seed=0):
    random = np.random.default_rng(seed)
    edges = np.unique(random.integers(0, size + 1, 2 * number))
    keep = random.random(len(edges) - 1) < 0.7  # gaps between some
    return edges[:-1][keep], edges[1:][keep], random.integers(1, 100, keep.sum()) / 4


def assert_reads_back(path, sizes, intervals):
    "Intervals, sizes and summary, in pyBigWig and in pybigtools."
    wanted = {chrom: columns for chrom, *columns in intervals}
    lengths = np.concatenate([ends - starts for starts, ends, _ in wanted.values()])
    values = np.concatenate([np.float32(values) for *_, values in wanted.values()]).astype(float)
    summary = {"bases": lengths.sum(), "sum": (lengths * values).sum(), "min": values.min()}
    with pyBigWig.open(str(path)) as track:
        assert track.isBigWig() and track.chroms() == sizes
        for chrom in sizes:
            expected = tuple(zip(*(column.tolist() for column in wanted[chrom]))) if chrom in wanted else None
            assert track.intervals(chrom) == expected
        header = track.header()
        assert header["nBasesCovered"] == summary["bases"] and header["sumData"] == int(summary["sum"])
    with open(path, "rb") as file:
        track = pybigtools.open(file)
        assert track.chroms() == sizes
        for chrom, size in sizes.items():
            expected = list(zip(*(column.tolist() for column in wanted[chrom]))) if chrom in wanted else []
            assert list(track.records(chrom, 0, size)) == expected
        found = track.info()["summary"]
        assert (found["basesCovered"], found["min"]) == (summary["bases"], summary["min"])
        assert found["sum"] == pytest.approx(summary["sum"], rel=1e-12)


@pytest.mark.parametrize("chunk", [1, 5, 1024])
@pytest.mark.parametrize("number", [1, 2, 300])
def test_intervals_read_back_whatever_the_size_of_the_chunks(tmp_path, monkeypatch, number, chunk):
    monkeypatch.setattr(bigwig, "CHUNK", chunk)
    sizes = {f"chr{name}": 5000 for name in "ABCDE"}
    intervals = [
        (chrom, *random_intervals(number, 5000, seed)) for seed, chrom in enumerate(sizes) if chrom != "chrC"
    ]
    path = write_bigwig(tmp_path / "x.bigWig", sizes, [item for item in intervals if len(item[1])])
    assert_reads_back(path, sizes, [item for item in intervals if len(item[1])])
    bases = np.zeros(5000)
    for start, end, value in zip(*intervals[1][1:]):
        bases[start:end] = value
    with pyBigWig.open(str(path)) as track, open_bigwig(path) as other:
        for start, end in np.sort(np.random.default_rng(0).integers(0, 5000, (30, 2))).tolist():
            assert np.array_equal(
                np.nan_to_num(track.values("chrB", start, end + 1, numpy=True)), bases[start : end + 1]
            )
            assert np.array_equal(other.values("chrB", start, end + 1, fillna=0.0), bases[start : end + 1])


def test_a_large_file_reads_back(tmp_path):
    sizes = {"chr1": 20_000_000, "chr2": 30_000_000}
    intervals = [(chrom, *random_intervals(300_000, size)) for chrom, size in sizes.items()]
    assert len(intervals[0][1]) > 2 * bigwig.CHUNK
    assert_reads_back(write_bigwig(tmp_path / "x.bigWig", sizes, intervals), sizes, intervals)


def zoom_windows(path):
    "Width in bp of the windows of each zoom level, from the header of a bigWig."
    content = path.read_bytes()
    (levels,) = struct.unpack_from("<H", content, 6)
    return [struct.unpack_from("<I", content, 64 + 24 * level)[0] for level in range(levels)]


def test_zoom_levels_summarise_the_bases_of_their_windows(tmp_path):
    sizes = {"chr1": 300_000, "chr2": 70_000, "chr3": 5_000}
    intervals = [
        ("chr1", *random_intervals(20_000, 300_000, 1)),
        interval("chr2", (100, 30_000), (25_000, 70_000), (2.0, 0.5)),
    ]
    path = write_bigwig(tmp_path / "x.bigWig", sizes, intervals)
    windows = zoom_windows(path)
    assert len(windows) >= 2
    with open(path, "rb") as file:
        track = pybigtools.open(file)
        assert track.info()["zoomLevels"] == len(windows)
        for chrom, starts, ends, values in intervals:
            bases = np.full(sizes[chrom], np.nan)
            for start, end, value in zip(starts, ends, values):
                bases[start:end] = value
            for size in windows:
                records = list(track.zoom_records(size, chrom))
                assert sum(summary["bases_covered"] for *_, summary in records) == (ends - starts).sum()
                without_sum = 0
                for start, end, summary in records:
                    window = bases[start:end][~np.isnan(bases[start:end])]
                    _, count, smallest, largest, *sums = summary.values()
                    assert (count, smallest, largest) == (len(window), window.min(), window.max())
                    without_sum += sums == [0, 0]
                    assert sums == [0, 0] or np.allclose(sums, [window.sum(), (window**2).sum()], rtol=1e-6)
                assert (
                    without_sum <= 2 + len(records) // 1000
                )  # of the last record of a block, pyBigWig writes 0
        assert list(track.zoom_records(windows[0], "chr3")) == []


def test_a_zoom_level_gives_approximate_means_of_a_whole_chromosome(tmp_path):
    size = 5_000_000
    starts, ends, values = random_intervals(100_000, size)
    path = write_bigwig(tmp_path / "x.bigWig", {"chr1": size}, [("chr1", starts, ends, values)])
    with pyBigWig.open(str(path)) as track:
        assert track.header()["nLevels"] >= 3
        coarse, fine = (track.stats("chr1", nBins=5, exact=exact) for exact in (False, True))
    assert coarse != fine and np.allclose(coarse, fine, rtol=0.05)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 9), st.integers(1, 9), st.floats(width=32, allow_nan=False, allow_infinity=False)
        ),
        min_size=1,
        max_size=50,
    )
)
def test_any_finite_value_reads_back_unchanged(tmp_path, steps):
    ends = np.cumsum([gap + length for gap, length, _ in steps])
    starts = ends - [length for _, length, _ in steps]
    values = np.array([value for *_, value in steps])
    path = write_bigwig(tmp_path / "x.bigWig", SIZES, [("chr1", starts, ends, values)])
    with pyBigWig.open(str(path)) as track:
        assert track.intervals("chr1") == tuple(zip(starts.tolist(), ends.tolist(), values.tolist()))


def test_thousands_of_scaffolds_read_back(tmp_path):
    sizes = {f"scaffold_{number}": 100 + number for number in range(3000)}
    intervals = [interval(chrom) for chrom in list(sizes)[::7]]
    assert_reads_back(write_bigwig(tmp_path / "x.bigWig", sizes, intervals), sizes, intervals)


@pytest.mark.slow
def test_seventy_thousand_scaffolds_read_back(tmp_path):
    sizes = {f"scaffold_{number}": 100 + number for number in range(70_000)}
    used = ["scaffold_0", "scaffold_40000", "scaffold_69999"]
    path = write_bigwig(tmp_path / "x.bigWig", sizes, [interval(chrom) for chrom in used])
    with pyBigWig.open(str(path)) as track, open_bigwig(path) as other:
        assert track.chroms() == sizes and other.chroms() == sizes
        for chrom in used:
            assert track.intervals(chrom) == ((0, 5, 1.0), (10, 15, 2.0))
            assert list(other.records(chrom, 0, 100)) == [(0, 5, 1.0), (10, 15, 2.0)]
        assert track.intervals("scaffold_39999") is None


def test_chrom_sizes_may_be_a_file(tmp_path):
    (tmp_path / "toy.chrom.sizes").write_text("chr1\t1000\n")
    path = write_bigwig(tmp_path / "x.bigWig", tmp_path / "toy.chrom.sizes", [interval()])
    assert_reads_back(path, {"chr1": 1000}, [interval()])


@pytest.mark.parametrize(
    "intervals, problem",
    [
        ([], "nothing to write"),
        ([interval(starts=(), ends=(), values=())], "nothing to write"),
        ([interval("chr7")], "chr7 is not in the genome"),
        ([interval(starts=(0, 4))], "chr1:0-5: the next interval starts before this one ends"),
        ([interval(starts=(20, 10), ends=(25, 15))], "next interval starts before this one ends"),
        ([interval(ends=(5, 10))], "chr1:10-10: an interval ends at or before its start"),
        ([interval(starts=(-1, 10))], "leaves its chromosome"),
        ([interval(ends=(5, 1001))], "chr1:10-1001: an interval leaves its chromosome"),
        ([interval(values=(1, np.nan))], "not finite"),
        ([interval(values=(1, 1e39))], "not finite"),
        ([interval("chr2"), interval("chr1")], "chr1 comes twice or too late"),
        ([interval(), interval(starts=(20, 30), ends=(25, 35))], "chr1 comes twice or too late"),
    ],
)
def test_invalid_intervals_are_refused_and_keep_the_earlier_file(tmp_path, intervals, problem):
    (tmp_path / "out.bigWig").write_text("what was there before")
    with pytest.raises(InputError, match=problem):
        write_bigwig(tmp_path / "out.bigWig", SIZES, intervals)
    assert (tmp_path / "out.bigWig").read_text() == "what was there before" and no_leftovers(
        tmp_path, "out.bigWig"
    )


def test_a_chromosome_too_long_for_the_format_is_refused(tmp_path):
    with pytest.raises(InputError, match="4,294,967,296 bp is more than a bigWig holds"):
        write_bigwig(tmp_path / "out.bigWig", {"chr1": 1 << 32}, [])


# --- full disks ---


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_full_disk_at_any_moment_keeps_the_earlier_file(tmp_path, monkeypatch, fails_at):
    "The disk is full at the header, at the first chunk or at the second."
    (tmp_path / "out.bigWig").write_text("what was there before")
    asked = []

    def disk_usage(folder):
        asked.append(folder)
        return SimpleNamespace(free=0 if len(asked) >= fails_at else 1 << 30)

    monkeypatch.setattr(bigwig, "CHUNK", 1)
    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    with pytest.raises(InputError, match="disk is full") as caught:
        write_bigwig(tmp_path / "out.bigWig", SIZES, [interval()])
    assert caught.value.file == tmp_path / "out.bigWig"
    assert len(asked) == fails_at + 1  # the message asks once more
    assert (tmp_path / "out.bigWig").read_text() == "what was there before"
    assert no_leftovers(tmp_path, "out.bigWig")


@pytest.fixture
def tiny_disk(tmp_path):
    "A file system of 256 kB."
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True
        ).returncode
    ):
        pytest.skip("mounting a tiny disk needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("chunk", [1000, 1 << 18])  # the disk fills up on the way; nothing is written at all
@pytest.mark.parametrize("number", [45_000, 600_000])  # too large by little; by far
def test_a_file_too_large_for_its_disk_leaves_nothing(tiny_disk, monkeypatch, number, chunk):
    monkeypatch.setattr(bigwig, "CHUNK", chunk)
    starts, ends, values = random_intervals(number, 100 * number)
    with pytest.raises(InputError, match="disk is full") as caught:
        write_bigwig(tiny_disk / "out.bigWig", {"chr1": 100 * number}, [("chr1", starts, ends, values)])
    assert caught.value.file == tiny_disk / "out.bigWig" and no_leftovers(tiny_disk)


def test_a_file_that_fits_on_a_tiny_disk_is_written(tiny_disk):
    intervals = [("chr1", *random_intervals(2000, 100_000))]
    path = write_bigwig(tiny_disk / "out.bigWig", {"chr1": 100_000}, intervals)
    assert_reads_back(path, {"chr1": 100_000}, intervals)


def test_a_disk_filled_by_another_program_before_the_index_is_written_leaves_nothing(tiny_disk, capfd):
    def intervals():
        yield "chr1", *random_intervals(2000, 100_000)
        with open(tiny_disk / "other", "wb", buffering=0) as file:
            while file.write(bytes(4096)) == 4096:
                pass

    with pytest.raises(InputError, match="disk is full") as caught:
        write_bigwig(tiny_disk / "out.bigWig", {"chr1": 100_000}, intervals())
    assert caught.value.file == tiny_disk / "out.bigWig" and no_leftovers(tiny_disk, "other")


# --- opening ---


def test_a_file_cut_short_at_any_byte_is_refused(tmp_path, capfd):
    intervals = [("chr1", *random_intervals(5000, 100_000))]
    whole = write_bigwig(tmp_path / "x.bigWig", {"chr1": 100_000}, intervals).read_bytes()
    cut = tmp_path / "cut.bigWig"
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
        104,
        150,
        200,
        *range(300, len(whole), 499),
        *range(len(whole) - 6, len(whole)),
    ]:
        cut.write_bytes(whole[:size])
        with pytest.raises(InputError) as caught:
            with open_bigwig(cut) as track:
                track.values("chr1", 0, 1000, fillna=0.0)
        assert caught.value.file == cut and caught.value.fix


def test_zeros_in_the_middle_of_a_file_are_reported_as_damage(tmp_path, capfd):
    "As a download leaves them that was resumed wrongly: the end mark is in place."
    path = write_bigwig(
        tmp_path / "x.bigWig", {"chr1": 100_000}, [("chr1", *random_intervals(20_000, 100_000))]
    )
    whole = path.read_bytes()
    path.write_bytes(whole[:5_000] + bytes(10_000) + whole[15_000:])
    with pytest.raises(InputError, match="damaged"):
        with open_bigwig(path) as track:
            track.values("chr1", 0, 100_000, fillna=0.0)


def test_errors_of_the_caller_inside_the_with_block_pass_through(tmp_path):
    path = write_bigwig(tmp_path / "x.bigWig", SIZES, [interval()])
    with pytest.raises(ZeroDivisionError):
        with open_bigwig(path):
            1 / 0
    with pytest.raises(KeyError):
        with open_bigwig(path) as track:
            track.values("chr7", 0, 10, fillna=0.0)


def test_a_big_endian_file_needs_a_big_endian_end_mark(tmp_path):
    (tmp_path / "x.bigWig").write_bytes(bigwig.MAGIC[::-1] + b"\x00\x04" + bytes(100) + bigwig.MAGIC)
    with pytest.raises(InputError, match="end mark is missing"):
        with open_bigwig(tmp_path / "x.bigWig"):
            pass
