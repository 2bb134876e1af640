"Sequence as a source: FASTA files, motif matrices, scans, and the tracks and elements made of them."

import gzip
import os
import warnings

import numpy as np
import pandas as pd
import pysam
import pytest
import yaml
from scipy.stats import binom

import chromoformer.data.sequence as sequence
from chromoformer.data.build import bigwigs_of, build_store, channel_sums
from chromoformer.data.manifest import Channel, Contacts, read_manifest
from chromoformer.data.motifs import (
    Motif,
    find_sites,
    read_motif,
    read_motifs,
    read_sites,
    scan,
    score_threshold,
    site_intervals,
    sites_of,
)
from chromoformer.data.predicted_contacts import contacts_of
from chromoformer.data.sequence import Piece, composition_intervals, composition_sums, encoded, read_fasta
from chromoformer.data.store import Store
from chromoformer.data.tracks import bin_sums
from chromoformer.errors import InputError

COMPLEMENT = str.maketrans("ACGTacgtNn", "TGCAtgcaNn")
SIZES = {"chr1": 3001, "chr2": 777}
JASPAR = ">MA1 toy\nA [ 9 0 1 8 ]\nC [ 0 9 1 1 ]\nG [ 1 1 8 0 ]\nT [ 0 0 0 1 ]\n"


@pytest.fixture
def genome(tmp_path):
    "A FASTA file with both cases, stretches of N and an ambiguous base, and its sequences."
    random = np.random.default_rng(0)
    texts = {}
    for chrom, size in SIZES.items():
        letters = random.choice(list("ACGTacgt"), size)
        letters[100:140] = "N"
        letters[7] = "R"
        texts[chrom] = "".join(letters)
    path = tmp_path / "genome.fa"
    write_fasta(path, texts)
    return path, texts


def write_fasta(path, texts, width=60, end="\n"):
    lines = []
    for chrom, text in texts.items():
        lines += [f">{chrom} about it", *(text[i : i + width] for i in range(0, len(text), width))]
    path.write_bytes((end.join(lines) + end).encode())
    return path


def as_gzip(path):
    packed = path.with_name("packed.fa.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed


def as_bgzip(path):
    packed = path.with_name("blocks.fa.gz")
    pysam.tabix_compress(str(path), str(packed), force=True)
    pysam.faidx(str(packed))
    return packed


def as_indexed(path):
    pysam.faidx(str(path))
    return path


def counted(text, kind, start, end):
    "Percent-bases of one bin, letter by letter."
    text = text.upper()
    total = 0
    for base in range(max(start, 0), min(end, len(text))):
        if kind == "gc":
            total += text[base] in "GC"
        else:
            first = text[base : base + 2] == "CG"
            second = base > 0 and text[base - 1 : base + 1] == "CG"
            total += first or second
    return 100 * total


@pytest.mark.parametrize("piece", [5, 64, 1 << 22])
@pytest.mark.parametrize("form", [lambda path: path, as_gzip, as_bgzip, as_indexed])
@pytest.mark.parametrize("kind", ["gc", "cpg"])
def test_gc_and_cpg_equal_a_count_letter_by_letter(genome, monkeypatch, piece, form, kind):
    path, texts = genome
    monkeypatch.setattr(sequence, "PIECE", piece)
    regions = pd.DataFrame({"chrom": ["chr2", "chr1", "chr1"], "start": [-30, 1, 90], "end": [40, 3001, 155]})
    expected = [
        counted(texts[chrom], kind, place, min(place + 10, end))
        for chrom, start, end in regions.itertuples(index=False)
        for place in range(start, end, 10)
    ]
    assert composition_sums(form(path), kind, regions, 10, SIZES).tolist() == expected
    for chrom, starts, ends, values in composition_intervals(path, kind, SIZES):
        step = [counted(texts[chrom], kind, s, s + 50) / min(50, SIZES[chrom] - s) for s in starts]
        assert np.allclose(values, step) and starts[0] == 0 and ends[-1] == SIZES[chrom]
        assert (starts[1:] == ends[:-1]).all()


@pytest.mark.parametrize("form", [lambda path: path, as_gzip, as_bgzip, as_indexed])
def test_all_forms_of_a_fasta_file_give_the_same_sequence(genome, form):
    path, texts = genome
    for piece in read_fasta(form(path), SIZES):
        assert piece.codes.tolist() == encoded(texts[piece.chrom]).tolist()


def test_names_with_and_without_chr_and_ends_of_lines_of_windows_are_read(tmp_path):
    path = write_fasta(tmp_path / "a.fa", {"1": "ACGTACGTAC", "Un_1": "AAA", "chr2": "GG"}, 4, "\r\n")
    (first, second) = read_fasta(path, {"chr1": 10, "2": 2})
    assert (first.chrom, second.chrom) == ("chr1", "2") and first.codes.tolist()[:4] == [0, 1, 2, 3]


def test_an_index_older_than_its_file_is_not_used(tmp_path):
    path = as_indexed(write_fasta(tmp_path / "a.fa", {"chr1": "A" * 100, "chr2": "C" * 100}))
    write_fasta(path, {"chr0": "T" * 33, "chr1": "A" * 100, "chr2": "C" * 100})
    os.utime(f"{path}.fai", ns=(0, 0))
    with pytest.warns(UserWarning, match="older than"):
        (piece,) = read_fasta(path, {"chr1": 100, "chr2": 100}, ["chr2"])
    assert set(piece.codes.tolist()) == {1}


@pytest.mark.parametrize("before", [{"chr0": "T" * 33}, {"chr0": ""}, {}])
def test_an_index_of_another_file_does_not_give_wrong_bases(tmp_path, before):
    "The index has a recent date, but points to other bases."
    path = as_indexed(write_fasta(tmp_path / "a.fa", {"chr1": "A" * 100, "chr2": "C" * 100}))
    index = (tmp_path / "a.fa.fai").read_bytes()
    write_fasta(path, before | {"chr1 long name of it": "A" * 100, "chr2": "C" * 100})
    (tmp_path / "a.fa.fai").write_bytes(index)
    os.utime(f"{path}.fai")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pieces = list(read_fasta(path, {"chr1": 100, "chr2": 100}, ["chr2"]))
        except InputError as error:
            assert "index" in str(error) or "expected a base" in str(error)
        else:
            assert set(pieces[0].codes.tolist()) == {1}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (">chr1\nACGT\n", "4 bp in this file, but 10 bp"),
        (">chr1\n" + "A" * 11, "more than 10 bp"),
        (">chr1\nMEEPQSDPSV\n", "found 'E'"),
        (">chr1\nACGT>GTACG\n", "found '>'"),
        (">chr1\nAAAAAAAAAA\n>1\nAAAAAAAAAA\n", "occurs twice"),
        (">NC_000001.10\nAAAAAAAAAA\n", "no chromosome matches"),
        (">\nAAAAAAAAAA\n", "no name"),
        ("@read\nACGT\n+\nIIII\n", "FASTQ"),
        ("ACGTACGTAC\n", "expected a FASTA file"),
        ("", "empty"),
    ],
)
def test_other_files_and_other_assemblies_are_refused_by_name(tmp_path, text, problem):
    path = tmp_path / "a.fa"
    path.write_text(text)
    with pytest.raises(InputError, match=problem) as caught:
        list(read_fasta(path, {"chr1": 10}))
    assert "a.fa" in str(caught.value) and "Fix" in str(caught.value)


def test_a_truncated_gzip_file_and_a_missing_chromosome_are_refused(genome):
    path, _ = genome
    packed = as_gzip(path)
    packed.write_bytes(packed.read_bytes()[:-300])
    with pytest.raises(InputError, match="cut short"):
        list(read_fasta(packed, SIZES))
    with pytest.raises(InputError, match=r"no sequence of chr3"):
        list(read_fasta(path, SIZES | {"chr3": 5}, ["chr1", "chr3"]))


def test_a_hard_masked_genome_is_reported(tmp_path):
    path = write_fasta(tmp_path / "a.fa", {"chr1": "ACNN" * 500})
    with pytest.warns(UserWarning, match="hard-masked"):
        list(read_fasta(path, {"chr1": 2000}))


def brute(texts, counts, least):
    "All sites, scored word by word on both strands."
    scores = np.log2((counts + 0.1) / (counts + 0.1).sum(0) / 0.25)
    width = counts.shape[1]
    found = []
    for chrom, text in texts.items():
        for start in range(len(text) - width + 1):
            word = text[start : start + width].upper()
            for strand, read in (("+", word), ("-", word.translate(COMPLEMENT)[::-1])):
                if set(read) <= set("ACGT"):
                    score = sum(scores["ACGT".index(base), i] for i, base in enumerate(read))
                    if score >= least:
                        found.append((chrom, start, start + width, strand, round(score, 9)))
    return found


@pytest.mark.parametrize("piece", [5, 64, 1 << 22])
@pytest.mark.parametrize("least", [-3.0, 2.0, 5.0])
def test_a_scan_finds_the_same_sites_as_a_loop_over_all_words(genome, tmp_path, monkeypatch, piece, least):
    path, texts = genome
    monkeypatch.setattr(sequence, "PIECE", piece)
    (tmp_path / "toy.jaspar").write_text(JASPAR)
    sites = find_sites(path, tmp_path / "toy.jaspar", SIZES, min_score=least)
    sites = sites.assign(score=sites["score"].round(9))
    found = list(sites[["chrom", "start", "end", "strand", "score"]].itertuples(index=False, name=None))
    assert found == brute(texts, read_motif(tmp_path / "toy.jaspar").counts, least)
    assert piece > 5 or len(found) > 3


@pytest.mark.parametrize("width", [1, 2, 30])
def test_motifs_of_any_width_are_found_at_the_ends_of_a_chromosome(width):
    random = np.random.default_rng(width)
    word = random.integers(0, 4, width)
    counts = np.zeros((4, width))
    counts[word, np.arange(width)] = 50
    motif = Motif("x", "", counts)
    codes = np.concatenate([word, [4], (3 - word)[::-1]]).astype(np.uint8)
    best = motif.scores()[word, np.arange(width)].sum()
    sites = scan([Piece("chr1", 0, codes)], motif, best - 1e-9)
    wanted = {(0, "+"), (width + 1, "-")}
    assert wanted <= set(zip(sites["start"], sites["strand"])) and (width < 30 or len(sites) == 2)
    assert scan([Piece("chr1", 0, codes[: width - 1])], motif, -1e3).empty


def test_a_motif_without_rare_words_is_named_with_its_file(tmp_path):
    (tmp_path / "short.jaspar").write_text(">MA1 X\nA [4 0]\nC [0 4]\nG [0 0]\nT [0 0]\n")
    (tmp_path / "genome.fa").write_text(">chr1\nACGT\n")
    path = {"sequence": str(tmp_path / "genome.fa"), "matrix": str(tmp_path / "short.jaspar")}
    with pytest.raises(InputError, match="short.jaspar: no word is as rare as 1e-05"):
        sites_of(path, {"chr1": 4})


def test_sites_of_a_palindrome_are_listed_once_without_a_strand(tmp_path):
    palindrome = Motif("p", "", 10 * np.eye(4)[:, [0, 1, 2, 3]])  # ACGT
    sites = scan([Piece("chr1", 0, encoded("TTACGTAA"))], palindrome, 7)
    assert sites[["start", "strand"]].to_numpy().tolist() == [[2, "."]]
    (tmp_path / "p.jaspar").write_text(">p\nA [9 0]\nC [0 0]\nG [0 0]\nT [0 9]\n")
    path = {"sequence": "none.fa", "matrix": str(tmp_path / "p.jaspar")}
    with pytest.raises(InputError, match="palindrome"):
        sites_of(path, SIZES, stranded=True)


@pytest.mark.parametrize("background", [(0.25,) * 4, (0.3, 0.2, 0.2, 0.3)])
@pytest.mark.parametrize("p_value", [0.3, 0.01, 0.002])
def test_the_threshold_of_a_p_value_is_that_of_all_words(background, p_value):
    random = np.random.default_rng(1)
    motif = Motif("m", "", random.dirichlet(np.ones(4), 6).T * 100)
    scores = motif.scores(background)
    words = np.indices((4,) * 6).reshape(6, -1)
    each = scores[words, np.arange(6)[:, None]].sum(0)
    chance = np.prod(np.array(background)[words], axis=0)
    threshold = score_threshold(scores, p_value, background)
    assert chance[each >= threshold].sum() <= p_value * 1.02
    assert chance[each >= threshold - 0.05].sum() >= p_value * 0.9  # not far below what is allowed


def test_random_sequence_has_about_as_many_sites_as_the_p_value_says():
    random = np.random.default_rng(2)
    motif = Motif("m", "", random.dirichlet(np.full(4, 0.5), 10).T * 100)
    threshold = score_threshold(motif.scores(), 1e-3)
    codes = random.integers(0, 4, 300_000).astype(np.uint8)
    found = len(scan([Piece("chr1", 0, codes)], motif, threshold))
    assert binom.ppf(1e-4, 600_000, 8e-4) < found < binom.ppf(1 - 1e-4, 600_000, 1e-3)


def test_probabilities_get_pseudocounts_of_a_number_of_sites_not_of_one(tmp_path):
    stated = "MOTIF a\nletter-probability matrix: alength= 4 w= 2 nsites= 913\n1 0 0 0\n0 0 0 1\n"
    for text, sites in ((stated, 913), (stated.replace("nsites= 913", ""), 100)):
        (tmp_path / "a.meme").write_text("MEME version 4\n\n" + text)
        counts = read_motif(tmp_path / "a.meme").counts
        assert counts.sum(0).tolist() == [sites, sites]
    (tmp_path / "a.jaspar").write_text(">a\nA [1 0]\nC [0 0]\nG [0 0]\nT [0 1]\n")
    assert read_motif(tmp_path / "a.jaspar").counts[0, 0] == 100


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (">a\n", "no columns"),
        (">a\nA [ ]\nC [ ]\nG [ ]\nT [ ]\n", "no columns"),
        (">a\nA [1 2]\nC [1 2]\nG [1 2]\n", "3 rows"),
        (">a\nA [1 2]\nC [1 2]\nG [1]\nT [1 2]\n", "expected 4 of equal length"),
        (">a\nA [1 2]\nA [1 2]\nG [1 2]\nT [1 2]\n", "expected a row for each"),
        (">a\nA [1 -2]\nC [1 2]\nG [1 2]\nT [1 2]\n", "matrix of scores"),
        (">a\nA [1 0]\nC [1 0]\nG [1 0]\nT [1 0]\n", "add up to 0"),
        (">a\nA [9 1]\nC [9 1]\nG [9 1]\nT [9 1]\n", "nearly the same"),
        (">a\nA [1 x]\nC [1 2]\nG [1 2]\nT [1 2]\n", "expected numbers"),
        ("MEME version 4\nALPHABET= ACDEFGHIKLMNPQRSTVWY\nMOTIF a\n", "expected DNA"),
        ("MEME version 4\nMOTIF a\nletter-probability matrix: w= 3\n1 0 0 0\n0 1 0 0\n", "states w= 3"),
        ("MEME version 4\nMOTIF a\n", "no letter-probability matrix"),
        ("MEME version 4\n", "no matrix"),
        ("ID a\nP0 G C A T\n01 1 2 3 4\n//\n", "expected A C G T"),
        ("ID a\nP0 A C G T\n//\n", "no columns"),
        ("chrom,start\n", "no matrix found"),
        ("", "empty"),
    ],
)
def test_wrong_matrices_are_refused_by_name(tmp_path, text, problem):
    (tmp_path / "m.txt").write_text(text)
    with pytest.raises(InputError, match=problem) as caught:
        read_motif(tmp_path / "m.txt")
    assert "m.txt" in str(caught.value) and "Fix" in str(caught.value)


def test_one_of_several_matrices_must_be_named(tmp_path):
    (tmp_path / "m.txt").write_text(JASPAR + JASPAR.replace("MA1 toy", "MA2 other"))
    assert [one.id for one in read_motifs(tmp_path / "m.txt")] == ["MA1", "MA2"]
    assert read_motif(tmp_path / "m.txt", "MA2").name == "other"
    assert read_motif(tmp_path / "m.txt", "TOY").id == "MA1"
    for name in (None, "third"):
        with pytest.raises(InputError, match="MA1 toy"):
            read_motif(tmp_path / "m.txt", name)


def test_sites_of_a_bed_file_are_checked(tmp_path):
    bed = tmp_path / "s.bed"
    for line, problem in (
        ("chr1\t5\t4\ta\t1\t+", "s.bed"),
        ("chr1\t5\t5000\ta\t1\t+", "chr1"),
        ("chr1\t5\t9\ta\t-1\t+", "below 0"),
        ("chr1\t5\t9\ta\t1\t1", "strand is not"),
        ("chr1\t5\t9\ta\t1\t.", "no strand"),
    ):
        bed.write_text(f"{line}\n")
        with pytest.raises(InputError, match=problem):
            read_sites(bed, SIZES, stranded=True)


def test_a_motif_track_has_the_highest_score_of_each_base(genome, tmp_path):
    path, texts = genome
    matrix = tmp_path / "toy.jaspar"
    matrix.write_text(JASPAR)
    channel = Channel(
        name="toy motif", kind="motif", path={"sequence": str(path), "matrix": str(matrix)}, p_value=1e-3
    )

    with pytest.raises(InputError, match="no word is as rare"):  # four bases are never that rare
        channel_sums(
            channel, pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [10]}), 10, SIZES, tmp_path
        )
    sites = find_sites(path, matrix, SIZES, min_score=3.0)
    expected = np.zeros(SIZES["chr1"])
    for start, end, score in sites.loc[sites["chrom"] == "chr1", ["start", "end", "score"]].to_numpy():
        expected[int(start) : int(end)] = np.maximum(expected[int(start) : int(end)], score)
    got = np.zeros(SIZES["chr1"])
    for chrom, starts, ends, values in site_intervals(sites, SIZES):
        if chrom == "chr1":
            for start, end, value in zip(starts, ends, values):
                assert not got[start:end].any()
                got[start:end] = value
    assert np.allclose(got, expected)


WIDE = ">MA9 wide\nA [9 0 0 9 0 0]\nC [0 9 0 0 9 9]\nG [0 0 9 0 0 0]\nT [0 0 0 0 0 0]\n"  # ACGACC


@pytest.fixture
def planted(tmp_path):
    "A chromosome without C and G but for two sites of ACGACC, at 30,000 and (minus strand) 100,000."
    letters = np.random.default_rng(3).choice(list("AT"), 200_000)
    letters[30_000:30_006] = list("ACGACC")
    letters[100_000:100_006] = list("ggtcgt")
    write_fasta(tmp_path / "g.fa", {"1": "".join(letters)})
    (tmp_path / "wide.jaspar").write_text(WIDE)
    (tmp_path / "sizes").write_text("chr1\t200000\n")
    (tmp_path / "genes.tsv").write_text(
        "gene_id\tgene_name\tchrom\ttss\tstrand\tgene_start\tgene_end\n"
        "A\ta\tchr1\t40000\t+\t40000\t45000\nB\tb\tchr1\t150000\t-\t140000\t150001\n"
    )
    scan_of = "{sequence: g.fa, matrix: wide.jaspar}"
    (tmp_path / "m.yaml").write_text(f"""
name: toy
genome: toy
chrom_sizes: {{path: sizes}}
channels:
  - {{name: sites, kind: motif, path: {scan_of}, p_value: 0.001, value: 1}}
  - {{name: forward, kind: motif, path: {scan_of}, p_value: 0.001, value: 1, strand: +}}
  - {{name: GC, kind: gc, path: g.fa}}
  - {{name: CpG, kind: cpg, path: g.fa}}
annotation: {{kind: table, path: genes.tsv}}
contacts: {{kind: distance, path: {scan_of}, p_value: 0.001, width: 1000, min_distance: 0}}
folds: {{1: [chr1]}}
""")
    return tmp_path


def test_a_store_has_tracks_of_the_sequence_and_sites_as_elements(planted, recwarn):
    build_store(planted / "m.yaml", planted / "m.h5", progress=False)
    assert not any("same data are read" in str(warning.message) for warning in recwarn)
    store = Store(planted / "m.h5")
    regions = store.regions
    promoter = regions.iloc[store.promoter_region[0]]
    sums = store.signal()[promoter["first_bin"] : promoter["first_bin"] + 400]
    place = (30_000 - promoter["start"]) // 100
    assert sums[place].tolist() == [6, 6, 400, 200]  # ACGACC: six bases, four of them G or C, one CpG
    assert sums.sum(0).tolist() == [6, 6, 400, 200]
    pcres = regions.iloc[store.pcres["region"]]
    assert sorted((pcres["start"] + 500).tolist()) == [30_003, 30_003, 100_003, 100_003]
    assert {"sites.1", "sites.2", "GC", "contacts.1", "contacts.2"} <= set(store.inputs)


def test_elements_of_predicted_contacts_are_the_sites_of_a_motif(planted):
    manifest = read_manifest(planted / "m.yaml")
    genes = pd.DataFrame({"gene_id": ["A"], "chrom": ["chr1"], "tss": [40_000]})
    found = contacts_of(manifest.contacts, genes, {"chr1": 200_000}, {})
    assert sorted(found["start_b"] + 500) == [30_003, 100_003]


def test_bigwigs_of_sequence_tracks_hold_sites_and_percentages(planted):
    channels = {channel.name: channel for channel in read_manifest(planted / "m.yaml").channels}
    sizes = {"chr1": 200_000}
    (planted / "made").mkdir()
    tracks = bigwigs_of(channels.values(), sizes, planted / "made", ["chr1"])
    whole = pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [200_000]})
    totals = {name: bin_sums(files[0], whole, 200_000, sizes)[0] for name, files in tracks.items()}
    assert totals == {"sites": 12, "forward": 6, "GC": 800, "CpG": 400}


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "motif", "path": ["a.bed", "b.bed"]},
        {"kind": "motif", "path": {"sequence": "a.fa"}},
        {"kind": "motif", "path": "a.bed", "p_value": 1e-4},
        {"kind": "motif", "path": "a.bed", "motif": "CTCF"},
        {"kind": "motif", "path": {"sequence": "a.fa", "matrix": "m"}, "value": "pValue"},
        {"kind": "motif", "path": {"sequence": "a.fa", "matrix": "m"}, "p_value": 0.5},
        {"kind": "gc", "path": ["a.fa", "b.fa"]},
        {"kind": "gc", "path": "a.fa", "strand": "+"},
        {"kind": "cpg", "path": "a.fa", "value": 1},
        {"kind": "peaks", "path": "a.bed", "motif": "CTCF"},
    ],
)
def test_options_that_a_track_of_the_sequence_does_not_read_are_refused(entry):
    with pytest.raises(ValueError, match=r"path|value|motif|p_value|strand"):
        Channel(name="x", **entry)


def test_options_of_a_scan_are_refused_where_elements_are_not_scanned():
    with pytest.raises(ValueError, match="only sites in a sequence"):
        Contacts(kind="distance", path="a.bed", p_value=1e-4)


def test_the_real_ctcf_sites_are_found_at_their_places_and_strands(real_data):
    folder = real_data / "sequence"
    sizes = {"chr22": 22_000_000}
    sites = find_sites(folder / "hg19.chr22_1-22000000.fa.gz", folder / "MA0139.1.jaspar", sizes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        listed = read_sites(folder / "ctcf_motifs.hg19.bed.gz", {"chr22": 51_304_566})
    listed = listed[listed["end"] <= sizes["chr22"]]
    found = listed.merge(sites, on=["chrom", "start", "end", "strand"])
    assert len(listed) == len(found) == 158 and len(sites) < 450
    many = find_sites(folder / "hg19.chr22_1-22000000.fa.gz", folder / "MA0139.1.jaspar", sizes, min_score=12)
    assert len(many) == 402


def test_yaml_reads_a_p_value_written_as_1e_5():
    entry = yaml.safe_load("{name: x, kind: motif, path: {sequence: a.fa, matrix: m}, p_value: 1e-5}")
    assert Channel(**entry).p_value == 1e-5
