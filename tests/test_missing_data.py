"""Missing or wrong parts of a track lead to an error or a warning, by one rule for all kinds."""

import warnings

import numpy as np
import pandas as pd
import pyBigWig
import pytest
from helpers import CHROMS, toy_tables
from test_tracks import write_bam, write_library_bigwig, write_text

from chromoformer.baselines.common import promoter_bins
from chromoformer.baselines.shallow import gene_body_features, genome_bin_features
from chromoformer.data.batches import GeneDataset
from chromoformer.data.build import build_store
from chromoformer.data.channels import add_channel
from chromoformer.data.manifest import Channel
from chromoformer.data.store import Store, write_store
from chromoformer.data.tracks import (
    bases_on_chromosome,
    bedgraph_intervals,
    bin_sums,
    coverage,
    read_coverage,
)
from chromoformer.errors import InputError

SIZES = {"chr1": 20_000, "chr2": 20_000, "chrY": 20_000, "chrUn": 20_000}
KINDS = ("bigwig", "bedgraph", "tagalign", "bed", "bam", "peaks")
ROWS = [("chr1", 4000, 4100), ("chr1", 6000, 6100), ("chr2", 4000, 4100), ("chrY", 5000, 5100)]


def write_kind(folder, kind, rows, name="track", listed=SIZES):
    "Write intervals as one kind of track, and return its path."
    if kind == "bigwig":
        return write_library_bigwig(folder / f"{name}.bigWig", [(*row, 2) for row in rows], listed)
    if kind == "bam":
        reads = [(chrom, start, f"{end - start}M", 0) for chrom, start, end in rows]
        return write_bam(folder / f"{name}.bam", reads, listed)
    tails = {"bedgraph": "\t2", "tagalign": "\tN\t1000\t+", "bed": "", "peaks": "\t.\t9\t.\t2.5\t-1\t-1\t-1"}
    ending = {"bedgraph": "bedGraph", "tagalign": "tagAlign.gz", "bed": "bed", "peaks": "narrowPeak"}[kind]
    lines = (f"{chrom}\t{start}\t{end}{tails[kind]}\n" for chrom, start, end in rows)
    return write_text(folder / f"{name}.{ending}", "".join(lines))


def write_manifest(folder, channels, chroms=("chr1", "chr2"), more=""):
    "Write a manifest with a gene on each chromosome; channels: name -> kind and path."
    (folder / "sizes").write_text("".join(f"{chrom}\t{size}\n" for chrom, size in SIZES.items()))
    lines = []
    for number, chrom in enumerate(chroms):
        attributes = f'gene_id "G{number}"; gene_name "G{number}"; gene_type "protein_coding";'
        lines.append(f"{chrom}\ttoy\tgene\t5001\t8000\t.\t+\t.\t{attributes}\n")
    (folder / "genes.gtf").write_text("".join(lines))
    entries = "".join(
        f"  - {{name: {name}, kind: {kind}, path: {path}}}\n" for name, (kind, path) in channels.items()
    )
    (folder / "m.yaml").write_text(
        f"name: toy\ngenome: toy\nchrom_sizes: {{path: sizes}}\nfolds: {{1: [chr1], 2: [chr2], 3: [chrY]}}\n"
        f"channels:\n{entries}annotation: {{kind: gtf, path: genes.gtf}}\n"
        f"window: 4000\nbin_sizes: [1000, 100]\n{more}"
    )
    return folder / "m.yaml"


def build(folder, channels, **options):
    build_store(write_manifest(folder, channels, **options), folder / "s.h5", force=True, progress=False)
    return Store(folder / "s.h5")


@pytest.mark.parametrize("kind", KINDS)
def test_a_track_of_any_kind_that_lacks_a_chromosome_is_refused(tmp_path, kind):
    path = write_kind(tmp_path, kind, [row for row in ROWS if row[0] == "chr1"])
    whole = write_kind(tmp_path, "bedgraph", ROWS, name="whole")
    manifest = write_manifest(tmp_path, {"A": (kind, path), "B": ("bedgraph", whole)})
    with pytest.raises(InputError, match="the track lacks chr2: it has chr1.*the regions lie on") as caught:
        build_store(manifest, tmp_path / "s.h5", progress=False)
    assert str(path) in str(caught.value.file) and "`leave_out: [chr2]`" in caught.value.fix
    assert not (tmp_path / "s.h5").exists()
    left_out = write_manifest(
        tmp_path, {"A": (kind, path), "B": ("bedgraph", whole)}, more="leave_out: [chr2]\n"
    )
    build_store(left_out, tmp_path / "s.h5", progress=False)
    assert Store(tmp_path / "s.h5").genes["chrom"].tolist() == ["chr1"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_track_of_any_kind_may_lack_chromosomes_without_genes(tmp_path, kind):
    path = write_kind(tmp_path, kind, [row for row in ROWS if row[0] != "chrY"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build(tmp_path, {"A": (kind, path)}).signal().sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_chry_counts_as_0_with_a_warning(tmp_path, kind):
    listed = {chrom: size for chrom, size in SIZES.items() if chrom != "chrY"}
    path = write_kind(tmp_path, kind, [row for row in ROWS if row[0] != "chrY"], listed=listed)
    with pytest.warns(UserWarning, match=f"{path}: the track has no data on chrY, which counts as 0"):
        store = build(tmp_path, {"A": (kind, path)}, chroms=("chr1", "chr2", "chrY"))
    depth = [store.region_depth(region).sum() for region in store.promoter_region]
    assert depth[0] > 0 and depth[1] > 0 and depth[2] == 0


def test_a_bigwig_that_lists_a_chromosome_without_data_lacks_it(tmp_path):
    path = write_library_bigwig(tmp_path / "x.bw", [("chr1", 0, 5, 1)], SIZES)
    regions = pd.DataFrame({"chrom": ["chr1", "chr2"], "start": 0, "end": 100})
    with pytest.raises(InputError, match="lacks chr2: it has chr1"):
        bin_sums(path, regions, 10, SIZES)
    assert bin_sums(path, regions, 100, SIZES, required=["chr1"]).tolist() == [5, 0]


@pytest.mark.parametrize("kind", ["bigwig", "bedgraph", "peaks"])
def test_a_chromosome_of_zeros_is_data_but_is_named_in_a_warning(tmp_path, kind):
    if kind == "bigwig":
        rows = [("chr1", 4000, 4100, 2), ("chr2", 0, 20_000, 0)]
        path = write_library_bigwig(tmp_path / "x.bw", rows, SIZES)
    else:
        tail = {"bedgraph": "{}", "peaks": ".\t9\t.\t{}\t-1\t-1\t-1"}[kind]
        text = "".join(
            f"{place}\t{tail.format(v)}\n" for place, v in (("chr1\t4000\t4100", 2), ("chr2\t0\t20000", 0))
        )
        path = write_text(tmp_path / f"x.{'bedGraph' if kind == 'bedgraph' else 'narrowPeak'}", text)
    with pytest.warns(UserWarning, match="channel A is 0 everywhere on chr2"):
        store = build(tmp_path, {"A": (kind, path)})
    assert store.signal().sum() == 200


def test_a_warning_of_a_worker_process_is_repeated(tmp_path):
    path = write_text(tmp_path / "x.bedGraph", "chr1\t4000\t4100\t2\nchr2\t0\t20000\t0\n")
    whole = write_kind(tmp_path, "bed", ROWS, name="whole")
    manifest = write_manifest(tmp_path, {"A": ("bedgraph", path), "B": ("bed", whole)})
    with pytest.warns(UserWarning, match="channel A is 0 everywhere on chr2"):
        build_store(manifest, tmp_path / "s.h5", processes=2, progress=False)


def test_no_signal_at_the_genes_of_a_chromosome_is_no_fault(tmp_path):
    path = write_kind(tmp_path, "bed", [("chr1", 4000, 4100), ("chr2", 15_000, 15_100)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(tmp_path, {"A": ("bed", path)})


@pytest.mark.parametrize("kind", ["bed", "bam", "peaks"])
def test_each_replicate_must_have_every_chromosome_unless_files_split_the_genome(tmp_path, kind):
    part = [[row for row in ROWS if row[0] == chrom] for chrom in ("chr1", "chr2")]
    one, two = (write_kind(tmp_path, kind, rows, name=f"part{n}") for n, rows in enumerate(part))
    whole = write_kind(tmp_path, kind, part[0] + part[1], name="whole")
    split = build(tmp_path, {"A": (kind, f"[{one}, {two}]")})
    assert np.array_equal(split.signal(), build(tmp_path, {"A": (kind, whole)}).signal())
    with pytest.raises(InputError, match="part0.*the track lacks chr2"):
        build(tmp_path, {"A": (kind, f"[{whole}, {one}]")})


def test_bedgraphs_of_different_chromosomes_must_cover_the_genes_together(tmp_path):
    one = write_kind(tmp_path, "bedgraph", ROWS[:2], name="one")
    two = write_kind(tmp_path, "bedgraph", ROWS[2:3], name="two")
    build(tmp_path, {"A": ("bedgraph", f"[{one}, {two}]")})
    three = write_kind(tmp_path, "bedgraph", ROWS[3:], name="three")
    with pytest.raises(InputError, match="lacks chr2"):
        build(tmp_path, {"A": ("bedgraph", f"[{one}, {three}]")})


def test_a_channel_added_to_a_store_follows_the_same_rule(tmp_path):
    whole = write_kind(tmp_path, "bedgraph", ROWS)
    store = build(tmp_path, {"A": ("bedgraph", whole)})
    half = write_kind(tmp_path, "peaks", ROWS[:2], name="half")
    with pytest.raises(InputError, match="the track lacks chr2"):
        add_channel(store, Channel(name="B", kind="peaks", path=str(half)), tmp_path / "b.h5", SIZES)
    peaks = write_kind(tmp_path, "peaks", ROWS, name="peaks")
    more = add_channel(store, Channel(name="B", kind="peaks", path=str(peaks)), tmp_path / "b.h5", SIZES)
    assert more.signal().sum(0).tolist() == [600, 750]


def test_a_channel_of_another_assembly_is_not_added(tmp_path):
    whole = write_kind(tmp_path, "bedgraph", ROWS)
    store = build(tmp_path, {"A": ("bedgraph", whole)})
    channel = Channel(name="B", kind="bedgraph", path=str(whole))
    hg38 = {"chr1": 248_956_422, "chr2": 242_193_529}
    store.genome = "hg19"
    with pytest.raises(InputError, match="s.h5: chr1 has 248,956,422 bp, but 249,250,621 bp in hg19"):
        add_channel(store, channel, tmp_path / "b.h5", hg38)
    store.genome = "toy"
    store.regions["inside_end"] = store.regions["end"] - 100  # windows that the ends of chromosomes cut
    end = int(store.regions["inside_end"][0])
    with pytest.raises(InputError, match=f"s.h5: chr1 has 248,956,422 bp, but {end:,} bp in the genome of"):
        add_channel(store, channel, tmp_path / "b.h5", hg38)
    assert not (tmp_path / "b.h5").exists()


# --- the same file twice ---


def test_one_file_for_two_channels_is_named_in_a_warning(tmp_path):
    path = write_kind(tmp_path, "peaks", ROWS)
    copy = tmp_path / "copy.narrowPeak"
    copy.write_bytes(path.read_bytes())
    for channels in (
        {"A": ("peaks", path), "B": ("peaks", path)},
        {"A": ("peaks", path), "B": ("peaks", copy)},
    ):
        with pytest.warns(UserWarning, match="the same data are read 2 times, for A .*, B "):
            build(tmp_path, channels)
    with pytest.warns(UserWarning, match="the same data are read 2 times, for A .*, A "):
        build(tmp_path, {"A": ("peaks", f"[{path}, {copy}]")})
    with pytest.raises(InputError, match="track.narrowPeak is given twice"):
        build(tmp_path, {"A": ("peaks", f"[{path}, {path}]")})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # another value of the same peaks is another track
        build(tmp_path, {"A": ("peaks", path), "B": ("peaks", f"{path}, value: score")})
    with pytest.warns(UserWarning, match="C has the same content as B of"):
        new = Channel(name="C", kind="peaks", path=str(copy))
        add_channel(Store(tmp_path / "s.h5"), new, tmp_path / "c.h5", SIZES)


# --- ends of chromosomes ---


def test_a_last_bin_past_the_end_is_clipped_with_a_warning(tmp_path):
    lines = [
        f"{chrom}\t{start}\t{start + 300}\t{start}\n" for chrom in SIZES for start in range(300, 20_000, 300)
    ]
    path = write_text(tmp_path / "x.bedGraph", "".join(lines))  # the last bins are 19800-20100
    with pytest.warns(UserWarning, match="4 intervals run past the end .*chr1:19800-20100"):
        out = coverage(path, SIZES, tmp_path / "x.bigWig", progress=False)
    with pyBigWig.open(str(out)) as track:
        assert track.intervals("chr1")[-1] == (19_800, 20_000, 19_800.0)
        assert track.values("chr2", 19_799, 19_801) == [19_500, 19_800]


@pytest.mark.parametrize(
    "line",
    [
        "chr1\t19900\t20301\t5\n",
        "chr1\t20000\t20300\t5\n",
        "chr1\t19800\t20400\t5\n",
        "chr1\t20300\t20600\t5\n",
    ],
)
def test_an_interval_of_another_assembly_is_refused(tmp_path, line):
    path = write_text(tmp_path / "x.bedGraph", "chr1\t0\t300\t1\nchr1\t300\t600\t2\n" + line)
    with pytest.raises(InputError, match="line 3: end .* is past the end of chr1"):
        list(bedgraph_intervals(path, SIZES, progress=False))


@pytest.mark.parametrize("ending", ["bed", "bedGraph", "bed.gz"])
def test_a_byte_order_mark_does_not_hide_the_first_line(tmp_path, ending):
    text = (
        "\ufeffchr1\t0\t8\t1\nchr1\t10\t13\t1.5\n"
        if "Graph" in ending
        else "\ufeffchr1\t0\t8\nchr1\t10\t13\n"
    )
    path = write_text(tmp_path / f"x.{ending}", text)
    read = bedgraph_intervals if "Graph" in ending else read_coverage
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ((_, starts, _, _),) = read(path, SIZES, progress=False)
    assert starts.tolist() == [0, 10]


# --- baselines at the ends of chromosomes ---


def flat_store(path):
    "Write a store whose depth is 3 on every base; the first gene's window begins before its chromosome."
    genes, pcres = toy_tables(per_chrom=3)
    genes.loc[1, ["tss", "strand"]] = [CHROMS["chr1"] - 730, "-"]

    def signal_of(regions):
        sums = []
        for row in regions.itertuples():
            first = row.start + 100 * np.arange(row.bins)
            last = np.minimum(np.minimum(first + 100, row.end), CHROMS[row.chrom])
            sums.append(3 * np.clip(last - np.maximum(first, 0), 0, None))
        return np.concatenate(sums)[:, None]

    write_store(
        path,
        genes=genes,
        pcres=pcres,
        signal_of=signal_of,
        channels=["mark"],
        bin_sizes=(2000, 500, 100),
        window=4000,
        genome="toy",
        inputs={},
        chrom_sizes=CHROMS,
    )
    return genes


def test_the_promoter_bins_of_baselines_average_over_bases_on_the_chromosome(tmp_path):
    flat_store(tmp_path / "s.h5")
    data = GeneDataset(Store(tmp_path / "s.h5"), "classification")
    for window, bin_size in ((4000, 500), (4000, 200), (3000, 500)):
        bins = promoter_bins(data, window, bin_size)[:, 0].numpy()
        for row, gene in data.genes.iterrows():
            strand = 1 if gene["strand"] == "+" else -1
            edges = gene["tss"] - window // 2 + bin_size * np.arange(window // bin_size + 1)
            inside = np.diff(np.clip(edges, 0, CHROMS[gene["chrom"]]))[::strand]
            np.testing.assert_allclose(bins[row], np.where(inside > 0, 3, 0), rtol=1e-6)
        assert (bins == 0).any() and (bins[0] == 3).any()


def test_the_genome_bins_of_shallow_models_average_over_bases_on_the_chromosome(tmp_path):
    sizes = {"chr1": 20_300}
    path = write_library_bigwig(tmp_path / "x.bw", [("chr1", 0, 20_300, 3)], sizes)
    genes = pd.DataFrame({"chrom": "chr1", "tss": [500, 20_100], "strand": ["+", "-"]})
    genes[["gene_start", "gene_end"]] = [[500, 1500], [18_000, 20_101]]
    bins = genome_bin_features({"mark": str(path)}, genes, sizes, bin_size=1000, flank=2)
    log = np.log1p(3)
    np.testing.assert_allclose(bins, [[0, 0, log, log, log], [0, 0, log, log, log]], rtol=1e-6)
    body = gene_body_features({"mark": str(path)}, genes, sizes, bin_size=1000)
    np.testing.assert_allclose(body[:, :4], log, rtol=1e-6)


def test_bases_on_the_chromosome_equal_a_count_by_hand():
    random = np.random.default_rng(0)
    start = random.integers(-500, 1200, 50)
    regions = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + random.integers(1, 600, 50)})
    expected = [
        sum(0 <= base < 1000 for base in range(first, min(first + 70, end)))
        for _, start, end in regions.itertuples(index=False)
        for first in range(start, end, 70)
    ]
    assert bases_on_chromosome(regions, 70, {"chr1": 1000}).tolist() == expected


# --- arrays of regions ---


@pytest.mark.parametrize("silent", [None, "chr2"])
def test_arrays_that_are_0_on_a_chromosome_are_named_in_a_warning(tmp_path, silent):
    from chromoformer.data.published import import_regions

    meta = pd.DataFrame(
        {"gene_id": ["A", "B"], "chrom": ["chr1", "chr2"], "start": 5000, "strand": "+", "split": [1, 2]}
    )
    meta.to_csv(tmp_path / "meta.csv", index=False)
    for chrom in ("chr1", "chr2"):
        depth = np.ones((2, 4000), np.float16)
        depth[1] = chrom != silent
        np.save(tmp_path / f"{chrom}:3000-7000.npy", depth)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import_regions(
            tmp_path / "meta.csv",
            tmp_path,
            tmp_path / "s.h5",
            channels=["A", "B"],
            window=4000,
            bin_sizes=(1000, 100),
            progress=False,
        )
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == (silent is not None)
    assert all("channel B is 0 in all regions on chr2" in message for message in messages)
