"Lists of loops: anchors and scores of the tables of all known callers, and what is refused or named."

import gzip
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import succeed

from chromoformer.data.build import build_store
from chromoformer.data.contacts import read_contacts
from chromoformer.data.loops import FORMATS, describe_loop_score, find_bin_size, parse_score, read_loops
from chromoformer.data.manifest import Contacts
from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.genome import read_chrom_sizes

DATA = os.environ.get("CHROMOFORMER_DATA", "")
needs_data = pytest.mark.skipif(
    not DATA, reason="CHROMOFORMER_DATA is not set: the shared real data are not here"
)
SIZES = {"chr1": 3_000_000, "chr2": 3_000_000}
SIDES = ["start_a", "end_a", "start_b", "end_b"]


@pytest.fixture
def loops():
    "Forty loops between bins of 5 kb, with the numbers that callers report, independent of each other."
    random = np.random.default_rng(4)
    first = random.integers(0, 200, 40) * 5000
    second = first + random.integers(10, 300, 40) * 5000
    return pd.DataFrame(
        {
            "chrom": random.choice(["chr1", "chr2"], 40),
            "a": first,
            "a_end": first + 5000,
            "b": second,
            "b_end": second + 5000,
            "count": random.integers(10, 200, 40),
            "expected": random.uniform(1, 80, 40).round(3),
            "q": 10 ** random.uniform(-12, -1, 40),
            "strength": random.uniform(1.6, 30, 40).round(3),
            "noise": random.uniform(0, 100, 40).round(3),
        }
    )


def table_of(loops, columns):
    "A table with these columns: by name, the values or the column of `loops` that holds them."
    given = {
        name: loops[value] if isinstance(value, str) and value in loops else value
        for name, value in columns.items()
    }
    return pd.DataFrame(given, index=loops.index)


def anchors(names):
    return dict(zip(names.split(), ("chrom", "a", "a_end", "chrom", "b", "b_end")))


JUICER = anchors("chr1 x1 x2 chr2 y1 y2")
OLD_HICCUPS = JUICER | {
    "color": "0,255,255",
    "o": "count",
    "e_bl": "noise",
    "e_donut": "expected",
    "fdr_bl": "q",
}
MOTIFS = {"motif_x1 ": "NA", " sequence_1 ": "NA", " uniqueness_2": "NA"}
DOTS = {"la_exp.donut.value": "expected", "la_exp.vertical.value": "noise", "la_exp.donut.qval": "q"}
KNOWN = {  # format: columns, score by the oracle, description
    "mustache": (
        anchors("BIN1_CHR BIN1_START BIN1_END BIN2_CHROMOSOME BIN2_START BIN2_END")
        | {"FDR": "q", "DETECTION_SCALE": "noise"},
        lambda t: -np.log10(t.q),
        "-log10(FDR) (Mustache)",
    ),
    "cooltools": (
        anchors("chrom1 start1 end1 chrom2 start2 end2") | {"count": "count"} | DOTS,
        lambda t: t["count"] / t.expected,
        "count / la_exp.donut.value (cooltools dots)",
    ),
    "cooltools before 0.5": (
        anchors("chrom1 start1 end1 chrom2 start2 end2") | {"obs.raw": "count", "cstart1": "noise"} | DOTS,
        lambda t: t["count"] / t.expected,
        "obs.raw / la_exp.donut.value (cooltools dots)",
    ),
    "hiccups 2014": (OLD_HICCUPS, lambda t: t["count"], "o (HiCCUPS)"),
    "hiccups 2014 with motifs": (OLD_HICCUPS | MOTIFS, lambda t: t["count"], "o (HiCCUPS)"),
    "hiccups before BEDPE": (
        JUICER | {"color": "0,0,0", "observed": "count", "expectedBL": "noise", "expectedDonut": "expected"},
        lambda t: t["count"],
        "observed (HiCCUPS)",
    ),
    "hiccups merged_loops.bedpe": (
        {f"#{name}" if name == "chr1" else name: value for name, value in JUICER.items()}
        | dict.fromkeys(("name", "score", "strand1", "strand2"), ".")
        | {"color": "0,255,255", "observed": "count", "expectedBL": "noise", "expectedDonut": "expected"},
        lambda t: t["count"],
        "observed (HiCCUPS)",
    ),
    "chromosight": (
        anchors("chrom1 start1 end1 chrom2 start2 end2")
        | {
            "bin1": "count",
            "bin2": "noise",
            "kernel_id": 0,
            "iteration": 0,
            "score": "strength",
            "pvalue": "q",
        },
        lambda t: t.strength,
        "score (chromosight)",
    ),
    "fithichip": (
        anchors("chr1 s1 e1 chr2 s2 e2")
        | {"cc": "count", "Coverage1": "noise", "isPeak1": 1, "P-Value_Bias": "noise", "Q-Value_Bias": "q"},
        lambda t: -np.log10(t.q),
        "-log10(Q-Value_Bias) (FitHiChIP)",
    ),
    "maps": (
        anchors("chr1 start1 end1 chr2 start2 end2")
        | {"count": "count", "expected": "expected", "fdr": "q", "ClusterLabel": "Singleton1"},
        lambda t: t["count"] / t.expected,
        "count / expected (MAPS)",
    ),
    "chicago interBed": (
        {"bait_chr": "chrom", "bait_start": "a", "bait_end": "a_end", "bait_name": "NAME"}
        | {"otherEnd_chr": "chrom", "otherEnd_start": "b", "otherEnd_end": "b_end", "otherEnd_name": "."}
        | {"N_reads": "count", "score": "strength"},
        lambda t: t.strength,
        "score (CHiCAGO)",
    ),
    "chicago table of one sample": (
        anchors("baitChr baitStart baitEnd oeChr oeStart oeEnd")
        | {"N": "count", "dist": "noise"}
        # column 8 is a distance
        | {"score": "strength"},
        lambda t: t.strength,
        "score (CHiCAGO)",
    ),
    "sip": (
        anchors("chromosome1 x1 x2 chromosome2 y1 y2")
        | {"color": "0,0,0", "APScoreAvg": "strength", "ProbabilityofEnrichment": 0.99, "value": "noise"},
        lambda t: t.strength,
        "APScoreAvg (SIP)",
    ),
    "hic-dc+": (
        anchors("chrI startI endI chrJ startJ endJ")
        | {"D": "noise", "counts": "count", "pvalue": "q", "qvalue": "q", "mu": "expected"},
        lambda t: t["count"] / t.expected,
        "counts / mu (HiC-DC+)",
    ),
    "ucsc interact": (
        {"#chrom": "chrom", "chromStart": "a", "chromEnd": "b_end", "name": ".", "score": 500}
        | {"value": "strength", "exp": ".", "color": "0", "sourceChrom": "chrom", "sourceStart": "a"}
        | {"sourceEnd": "a_end", "sourceName": ".", "sourceStrand": ".", "targetChrom": "chrom"}
        | {"targetStart": "b", "targetEnd": "b_end", "targetName": ".", "targetStrand": "."},
        lambda t: t.strength,
        "value (UCSC interact)",
    ),
    "bedpe with a header": (
        anchors("chrom1 start1 end1 chrom2 start2 end2") | {"name": ".", "score": "strength"},
        lambda t: t.strength,
        "score",
    ),
    "a table with a column score": (
        anchors("chrom_a start_a end_a chrom_b start_b end_b")
        | {"kind": "loop", "depth": "noise"}
        # column 8 has no name of a strength
        | {"score": "strength"},
        lambda t: t.strength,
        "score",
    ),
}


def written(table, path, **options):
    table.to_csv(path, sep=options.pop("sep", "\t"), index=False, **options)
    return path


@pytest.mark.parametrize("name", KNOWN)
def test_anchors_and_score_of_each_caller_equal_those_of_pandas(name, loops, tmp_path):
    columns, score, description = KNOWN[name]
    path = written(table_of(loops, columns), tmp_path / "loops.tsv")
    found = read_contacts("bedpe", path, SIZES)
    assert found.chrom.tolist() == loops.chrom.tolist()
    assert (found[SIDES].to_numpy() == loops[["a", "a_end", "b", "b_end"]].to_numpy()).all()
    np.testing.assert_allclose(found.score, score(loops), rtol=1e-9)
    assert describe_loop_score(path) == description
    best = score(loops).idxmax()
    assert found.start_b[found.score.idxmax()] == loops.b[best], "the strongest loop ranks first"


def test_every_format_has_a_test():
    tested = {description.partition(" (")[2].rstrip(")") for *_, description in KNOWN.values()}
    elsewhere = {"FitHiC", "CHiCAGO peak matrix"}
    assert {form.caller for form in FORMATS} <= tested | elsewhere


@pytest.mark.parametrize("name", KNOWN)
def test_columns_in_another_order_and_chromosomes_without_chr_give_the_same_contacts(name, loops, tmp_path):
    columns, *_ = KNOWN[name]
    table = table_of(loops, columns)
    usual = read_contacts("bedpe", written(table, tmp_path / "usual.tsv"), SIZES)
    bare = table.replace({"chr1": "1", "chr2": "2"})
    (tmp_path / "bare.gz").write_bytes(gzip.compress(bare.to_csv(sep="\t", index=False).encode()))
    assert read_contacts("bedpe", tmp_path / "bare.gz", SIZES).equals(usual)
    with_comment = "# made by a test\n" + table.to_csv(sep="\t", index=False)
    (tmp_path / "comment.tsv").write_text(with_comment)
    assert read_contacts("bedpe", tmp_path / "comment.tsv", SIZES).equals(usual)
    if list(table)[0].startswith("#"):
        return
    moved = table[list(table)[::-1]]
    if name != "bedpe with a header":  # then column 8 is a chromosome, and there is a column score
        assert read_contacts("bedpe", written(moved, tmp_path / "moved.tsv"), SIZES).equals(usual)


def test_hichipper_counts_are_read_separated_by_spaces_as_it_writes_them(loops, tmp_path):
    table = table_of(loops, anchors("c1 s1 e1 c2 s2 e2") | {"name": ".", "counts": "count"})
    path = written(table, tmp_path / "one.filt.intra.loop_counts.bedpe", sep=" ", header=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_contacts("bedpe", path, SIZES)
    assert found.score.tolist() == loops["count"].tolist() and found.start_b.tolist() == loops.b.tolist()
    assert describe_loop_score(path) == "column 8"


def test_the_score_of_mango_files_is_the_count_not_the_false_discovery_rate(loops, tmp_path):
    table = table_of(loops, anchors("c1 s1 e1 c2 s2 e2") | {"counts": "count", "q": "q"})
    path = written(table, tmp_path / "one.interactions.all.mango", header=False)
    assert read_contacts("bedpe", path, SIZES).score.tolist() == loops["count"].tolist()
    other = written(table, tmp_path / "loops.bedpe", header=False)
    with pytest.warns(UserWarning, match="column 7, the name in BEDPE, holds numbers too"):
        assert np.allclose(read_contacts("bedpe", other, SIZES).score, loops.q)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_contacts("bedpe", other, SIZES, score=7).score.tolist() == loops["count"].tolist()
        numbered = read_contacts("bedpe", other, SIZES, score="-log10(8)").score
    np.testing.assert_allclose(numbered, -np.log10(loops.q))


@pytest.mark.parametrize("name", ["mustache", "cooltools", "maps", "fithichip", "chromosight", "hic-dc+"])
def test_a_table_that_lost_its_header_is_not_read_by_column_8_in_silence(name, loops, tmp_path):
    path = written(table_of(loops, KNOWN[name][0]), tmp_path / "l.bedpe", header=False)
    with pytest.warns(UserWarning, match="column 8 is taken as the score, but column 7"):
        read_contacts("bedpe", path, SIZES)


def test_a_merged_loops_file_that_lost_its_header_names_the_columns_of_numbers(loops, tmp_path):
    columns = KNOWN["hiccups merged_loops.bedpe"][0]
    path = written(table_of(loops, columns), tmp_path / "l.bedpe", header=False)
    with pytest.raises(
        InputError, match=r"column 8 \(score\) holds no numbers, but \.\n.*numbers are 12, 13, 14"
    ):
        read_contacts("bedpe", path, SIZES)
    assert read_contacts("bedpe", path, SIZES, score=12).score.tolist() == loops["count"].tolist()


@pytest.mark.parametrize("pairs", [True, False])
def test_text_for_the_washu_browser_is_read_in_both_forms(pairs, loops, tmp_path):
    lines = []
    for row in loops.itertuples():
        line = f"{row.chrom},{row.a},{row.a_end}\t{row.chrom},{row.b},{row.b_end}\t{row.strength}"
        if not pairs:
            partner = f"{row.chrom}:{row.b}-{row.b_end},{row.strength}"
            line = f"{row.chrom}\t{row.a}\t{row.a_end}\t{partner}\t{row.Index}\t."
        lines.append(line)
    path = tmp_path / "washu.txt"
    path.write_text("\n".join(lines) + "\n")
    found = read_contacts("bedpe", path, SIZES)
    assert (found[SIDES].to_numpy() == loops[["a", "a_end", "b", "b_end"]].to_numpy()).all()
    assert found.score.tolist() == loops.strength.tolist()
    assert describe_loop_score(path) == "column 8 (WashU browser)"


# -- FitHiC and other midpoints ------------------------------------------------------------------------------


def fithic(loops, quantity="q-value"):
    middle = loops.assign(mid_a=loops.a + 2500, mid_b=loops.b + 2500)
    columns = {"chr1": "chrom", "fragmentMid1": "mid_a", "chr2": "chrom", "fragmentMid2": "mid_b"}
    return table_of(
        middle,
        columns | {"contactCount": "count", "p-value": "noise", quantity: "q", "bias1": 1.0, "bias2": 1.1},
    )


@pytest.mark.parametrize("quantity", ["q-value", "q_value"])
def test_midpoints_of_fithic_become_the_bins_they_are_the_middles_of(loops, quantity, tmp_path):
    path = written(fithic(loops, quantity), tmp_path / "fithic.txt")
    with pytest.warns(UserWarning, match="midpoints, apparently of bins of 5,000 bp"):
        found = read_contacts("bedpe", path, SIZES)
    assert (found[SIDES].to_numpy() == loops[["a", "a_end", "b", "b_end"]].to_numpy()).all()
    np.testing.assert_allclose(found.score, -np.log10(loops.q))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_contacts("bedpe", path, SIZES, resolution=5000).equals(found)
        wide = read_contacts("bedpe", path, SIZES, resolution=20_000)
    assert ((wide.end_b - wide.start_b) <= 20_000).all() and wide.start_a.min() >= 0


def test_midpoints_of_irregular_fragments_need_a_resolution(loops, tmp_path):
    table = fithic(loops).assign(fragmentMid1=lambda table: table.fragmentMid1 + np.arange(len(table)) % 7)
    path = written(table, tmp_path / "fithic.txt")
    with pytest.raises(InputError, match="the bin size cannot be inferred from them\n.*resolution: N"):
        read_contacts("bedpe", path, SIZES)
    assert len(read_contacts("bedpe", path, SIZES, resolution=4000)) == 40


@pytest.mark.parametrize("size", [1000, 5000, 10_000, 25_000])
def test_the_bin_size_is_found_from_midpoints(size):
    middles = np.random.default_rng(size).integers(0, 3000, 60) * size + size // 2
    assert find_bin_size(middles) == size
    assert find_bin_size(middles + 1) is None
    assert find_bin_size(middles[:1]) is None


def narrow_loops(loops, tmp_path):
    "Anchors of 2 bp around the middles of bins, as FitHiChIP writes them for IGV."
    table = table_of(loops, anchors("c1 s1 e1 c2 s2 e2") | {"name": "-", "score": "strength", "s": "."})
    table = table.assign(s1=loops.a + 2499, e1=loops.a + 2501, s2=loops.b + 2499, e2=loops.b + 2501)
    return written(table, tmp_path / "igv.bedpe", header=False)


def test_narrow_anchors_are_named_and_resolution_widens_them(loops, tmp_path):
    path = narrow_loops(loops, tmp_path)
    with pytest.warns(UserWarning, match="anchors of 2 bp are too narrow to hold a TSS.*5,000 bp") as caught:
        read_contacts("bedpe", path, SIZES)
    assert "resolution: 5000 or tss_distance: 2500" in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wide = read_contacts("bedpe", path, SIZES, resolution=5000)
    assert (wide[SIDES].to_numpy() == loops[["a", "a_end", "b", "b_end"]].to_numpy()).all()


def test_the_suggested_tss_distance_still_warns_about_narrow_pcres(loops, tmp_path):
    path = narrow_loops(loops, tmp_path)
    with pytest.warns(UserWarning, match="too narrow to hold the marks of a pCRE"):
        read_contacts("bedpe", path, SIZES, tss_distance=2500)


# -- the key score ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "score, expected",
    [
        ("e_donut", lambda t: t.expected),
        ("E_DONUT", lambda t: t.expected),
        (10, lambda t: t.expected),
        ("10", lambda t: t.expected),
        ("o / e_donut", lambda t: t["count"] / t.expected),
        ("o/e_donut", lambda t: t["count"] / t.expected),
        ("8 / 10", lambda t: t["count"] / t.expected),
        ("-log10(fdr_bl)", lambda t: -np.log10(t.q)),
    ],
)
def test_score_chooses_a_column_a_ratio_or_a_logarithm(score, expected, loops, tmp_path):
    path = written(table_of(loops, OLD_HICCUPS), tmp_path / "l.txt")
    np.testing.assert_allclose(read_contacts("bedpe", path, SIZES, score=score).score, expected(loops))


@pytest.mark.parametrize(
    "score, message",
    [
        (
            "fdr_donut",
            "score: there is no column 'fdr_donut'; the columns are chr1, x1, .*\n.*NAME or NUMBER",
        ),
        (12, "score: there is no column '12'"),
        (0, "score: there is no column '0'"),
        ("fdr_bl", r"P value or false discovery rate.*\n.*score: -log10\(fdr_bl\)"),
        ("y2", "score: y2 is a coordinate of an anchor\n.*score: COLUMN"),
        ("color", r"column 7 \(color\) holds no numbers, but 0,255,255\n.*o \(column 8\), e_bl \(column 9\)"),
        ("-log10(o)", "line 2: o '.*' is not a P value, from 0 to 1"),
    ],
)
def test_a_score_that_cannot_be_right_is_refused_with_the_fix(score, message, loops, tmp_path):
    path = written(table_of(loops, OLD_HICCUPS), tmp_path / "l.txt")
    with pytest.raises(InputError, match=message):
        read_contacts("bedpe", path, SIZES, score=score)


def test_a_column_name_that_contains_a_slash_or_occurs_twice_is_found_or_refused():
    assert parse_score("o/e", ["o", "o/e"], 2).columns == (1,)
    assert str(parse_score("-log10(q)", ["-log10(q)"], 1)) == "-log10(q)"
    assert parse_score("-log10(q)", ["-log10(q)"], 1).minus_log10 is False
    with pytest.raises(InputError, match="column 'n' occurs 2 times\n.*score: 1"):
        parse_score("n", ["n", "n"], 2)


def test_p_values_of_zero_have_the_largest_finite_score(loops, tmp_path):
    loops.loc[3, "q"] = 0.0
    path = written(table_of(loops, KNOWN["mustache"][0]), tmp_path / "l.tsv")
    found = read_contacts("bedpe", path, SIZES)
    assert found.score[3] == 300 and found.score.idxmax() == 3 and np.isfinite(found.score).all()


def test_an_expected_count_of_zero_is_refused_with_its_line(loops, tmp_path):
    loops.loc[3, "expected"] = 0.0
    path = written(table_of(loops, KNOWN["cooltools"][0]), tmp_path / "l.tsv")
    with pytest.raises(InputError, match="line 5: la_exp.donut.value '0.0' cannot be divided by"):
        read_contacts("bedpe", path, SIZES)


@pytest.mark.parametrize(
    "eighth", ["DETECTION_SCALE", "bin2", "Coverage1", "expected", "fdr", "distance", "color2"]
)
def test_an_unknown_header_is_refused_and_the_candidates_are_listed(eighth, loops, tmp_path):
    columns = anchors("chr1 x1 x2 chr2 y1 y2") | {"text": "abc", eighth: "noise", "weighty": "strength"}
    path = written(table_of(loops, columns), tmp_path / "l.tsv")
    with pytest.raises(InputError) as caught:
        read_contacts("bedpe", path, SIZES)
    assert f"column 8 is '{eighth}'" in str(caught.value)
    assert f"{eighth} (column 8), weighty (column 9)" in caught.value.fix and "text" not in caught.value.fix
    assert read_contacts("bedpe", path, SIZES, score="weighty").score.tolist() == loops.strength.tolist()


def test_a_peak_matrix_needs_the_cell_type_whose_scores_to_use(loops, tmp_path):
    columns = anchors("baitChr baitStart baitEnd oeChr oeStart oeEnd") | {"dist": "noise"}
    table = table_of(loops, columns | {"Mon": "strength", "nB": "noise"})
    path = written(table, tmp_path / "PCHiC_peak_matrix.tsv")
    with pytest.raises(
        InputError, match=r"score of a CHiCAGO peak matrix .*\n.*Mon \(column 8\), nB \(column 9\)"
    ):
        read_contacts("bedpe", path, SIZES)
    assert read_contacts("bedpe", path, SIZES, score="Mon").score.tolist() == loops.strength.tolist()


def test_other_exports_without_a_score_in_column_8_are_refused_with_a_fix(loops, tmp_path):
    seqmonk = tmp_path / "seqmonk.txt"
    seqmonk.write_text("1\t100\t900\tGENE\t12\t7.5\n1\t9000\t9900\t.\t12\t7.5\n")
    with pytest.raises(InputError, match="expected 8 fields, found 6\n.*interBed"):
        read_contacts("bedpe", seqmonk, SIZES)
    columns = anchors("c1 s1 e1 c2 s2 e2") | {"p": "q"}
    path = written(table_of(loops, columns), tmp_path / "hicexplorer.bedgraph", header=False)
    with pytest.raises(InputError, match="expected 8 fields, found 7\n.*columns of numbers are 7"):
        read_contacts("bedpe", path, SIZES)
    np.testing.assert_allclose(
        read_contacts("bedpe", path, SIZES, score="-log10(7)").score, -np.log10(loops.q)
    )


def test_scores_that_look_like_p_values_are_named(loops, tmp_path):
    for header, name in ((False, "score"), (True, "score")):
        columns = anchors("chrom1 start1 end1 chrom2 start2 end2") | {"name": ".", name: "q"}
        path = written(table_of(loops, columns), tmp_path / "l.bedpe", header=header)
        with pytest.warns(UserWarning, match=r"if they are P values, .*score: -log10\(8\)"):
            read_contacts("bedpe", path, SIZES)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = read_contacts("bedpe", path, SIZES, score="-log10(8)").score
        np.testing.assert_allclose(found, -np.log10(loops.q))


def test_wrong_separators_and_several_files_are_refused(loops, tmp_path):
    path = written(table_of(loops, KNOWN["bedpe with a header"][0]), tmp_path / "l.bedpe", sep=";")
    with pytest.raises(InputError, match="expected 8 fields, found 1\n.*tabs, commas or spaces"):
        read_contacts("bedpe", path, SIZES)
    for kind in ("bedpe", "pairs"):
        with pytest.raises(InputError, match=f"contacts of kind {kind} are one file"):
            read_contacts(kind, [str(path), str(path)], SIZES)


def test_a_table_from_r_with_row_names_is_refused(loops, tmp_path):
    table = table_of(loops, KNOWN["bedpe with a header"][0])
    lines = table.to_csv(sep="\t").splitlines()
    (tmp_path / "r.tsv").write_text("\n".join([lines[0].lstrip("\t"), *lines[1:]]) + "\n")
    with pytest.raises(
        InputError, match="coordinates of two anchors, found 'chr[12]' in column 2.*\n.*row.names"
    ):
        read_contacts("bedpe", tmp_path / "r.tsv", SIZES)


def test_names_that_r_makes_up_are_no_header(loops, tmp_path):
    columns = anchors("V1 V2 V3 V4 V5 V6") | {"V7": ".", "V8": "strength"}
    path = written(table_of(loops, columns), tmp_path / "r.tsv", quoting=1)
    assert read_contacts("bedpe", path, SIZES).score.tolist() == loops.strength.tolist()


def test_loops_without_a_score_are_left_out_and_counted(loops, tmp_path):
    table = table_of(loops, KNOWN["chromosight"][0]).assign(score=loops.strength.mask(loops.index < 3))
    path = written(table, tmp_path / "l.tsv", na_rep="nan")
    with pytest.warns(UserWarning, match=r"3 of 40 loops have no score \(score\) and are left out"):
        assert read_contacts("bedpe", path, SIZES).score.tolist() == loops.strength[3:].tolist()
    path = written(table.assign(score=np.nan), tmp_path / "none.tsv", na_rep="nan")
    with pytest.raises(InputError, match="no loop has a score in score\n.*pvalue"):
        read_contacts("bedpe", path, SIZES)


def test_scores_that_are_all_below_min_score_are_named_with_their_range(loops, tmp_path):
    table = table_of(loops, KNOWN["chromosight"][0]).assign(score=loops.strength / 40)
    path = written(table, tmp_path / "l.tsv")
    with pytest.warns(
        UserWarning,
        match=r"no loop has a score above min_score, 1.5; its score, score \(chromosight\), ranges from 0\.",
    ):
        read_contacts("bedpe", path, SIZES, min_score=1.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_contacts("bedpe", path, SIZES, min_score=0.1)


def test_the_last_bin_of_a_chromosome_is_cut_and_other_overhanging_anchors_are_refused(loops, tmp_path):
    sizes = {"chr1": int(loops.b_end.max()) - 3000, "chr2": int(loops.b_end.max()) - 3000}
    path = written(table_of(loops, OLD_HICCUPS), tmp_path / "l.txt")
    with pytest.warns(UserWarning, match="l.txt: [0-9]+ anchors are cut at the end of their chromosome"):
        found = read_contacts("bedpe", path, sizes)
    assert (found.end_b == np.minimum(loops.b_end, sizes["chr1"])).all()
    shifted = loops.assign(a=loops.a + 100, a_end=loops.a_end + 100, b=loops.b + 100, b_end=loops.b_end + 100)
    with pytest.raises(InputError, match="leaves its chromosome"):
        read_contacts("bedpe", written(table_of(shifted, OLD_HICCUPS), tmp_path / "s.txt"), sizes)


def test_commas_separate_columns_too(loops, tmp_path):
    path = written(table_of(loops, KNOWN["mustache"][0]), tmp_path / "l.csv", sep=",")
    np.testing.assert_allclose(read_contacts("bedpe", path, SIZES).score, -np.log10(loops.q))


def test_a_list_without_loops_is_refused(tmp_path):
    path = tmp_path / "l.tsv"
    for text in ("", "# nothing\n", "\t".join(KNOWN["mustache"][0]) + "\n"):
        path.write_text(text)
        with pytest.raises(InputError, match="this list of loops is empty"):
            read_contacts("bedpe", path, SIZES)


def test_parquet_keeps_its_column_score(loops, tmp_path):
    columns = anchors("chrom_a start_a end_a chrom_b start_b end_b") | {"score": "strength"}
    table_of(loops, columns).to_parquet(tmp_path / "l.parquet")
    assert read_contacts("bedpe", tmp_path / "l.parquet", SIZES).score.tolist() == loops.strength.tolist()
    with pytest.raises(InputError, match="Parquet"):
        read_loops(tmp_path / "l.parquet", SIZES, score=8)


# -- from the manifest to the store --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pairs", "cool", "none"])
def test_only_bedpe_has_the_option_score(kind):
    assert Contacts(kind="bedpe", path="l", score=8).score == 8
    for wrong in ({"kind": kind, "path": "l", "score": "o"}, {"kind": "bedpe", "path": "l", "score": True}):
        with pytest.raises(ValueError, match="score"):
            Contacts(**wrong)
    average = Contacts(kind="average", of=[{"kind": "bedpe", "path": "l", "score": "o"}])
    assert average.of[0].score == "o"


def manifest_of(tmp_path, contacts):
    "A manifest of four genes, one mark and these contacts; the first gene has its TSS at chr1:505,000."
    (tmp_path / "sizes").write_text("chr1\t3000000\nchr2\t3000000\n")
    genes = {"gene_id": [*"ABCD"], "gene_name": [*"ABCD"], "chrom": ["chr1", "chr1", "chr2", "chr2"]}
    tss = [505_000, 1_505_000, 505_000, 1_505_000]
    written(pd.DataFrame(genes | {"tss": tss, "strand": "+"}), tmp_path / "genes.tsv")
    written(pd.DataFrame({"gene_id": [*"ABCD"], "RPKM": [1.0, 2, 3, 4]}), tmp_path / "rpkm.tsv")
    (tmp_path / "m.bedgraph").write_text("chr1\t0\t3000000\t1\nchr2\t0\t3000000\t2\n")
    content = {
        "name": "x",
        "genome": "hg38",
        "chrom_sizes": {"path": "sizes"},
        "channels": [{"name": "M1", "kind": "bedgraph", "path": "m.bedgraph"}],
        "annotation": {"kind": "table", "path": "genes.tsv"},
        "expression": {"kind": "table", "path": "rpkm.tsv", "column": "RPKM"},
        "contacts": contacts,
        "window": 40_000,
        "bin_sizes": [2000, 500],
    }
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "m.yaml"


TWO = pd.DataFrame(  # the first loop is the stronger one; columns that are not strengths say the contrary
    {
        "chrom": "chr1",
        "a": [500_000, 500_000],
        "a_end": [510_000, 510_000],
        "b": [720_000, 940_000],
        "b_end": [730_000, 950_000],
        "count": [64, 33],
        "expected": [8.0, 22.0],
        "q": [1e-8, 0.02],
        "strength": [9.5, 2.5],
        "noise": [2.0, 50.0],
    }
)


@pytest.mark.parametrize("name", KNOWN)
def test_stores_rank_the_pcres_of_a_gene_by_strength_and_info_says_what_the_score_is(name, tmp_path):
    columns, score, description = KNOWN[name]
    written(table_of(TWO, columns), tmp_path / "l.tsv")
    path = manifest_of(tmp_path, {"kind": "bedpe", "path": "l.tsv", "min_score": 0})
    build_store(path, tmp_path / "s.h5", progress=False)
    store = Store(tmp_path / "s.h5")
    assert store.regions.start[store.pcres.region].tolist() == [720_000, 940_000]
    np.testing.assert_allclose(store.pcres.score, score(TWO), rtol=1e-6)
    assert store.inputs["contacts"]["score"] == description
    assert f"score: {description}" in succeed("info", tmp_path / "s.h5").out


def test_score_and_resolution_of_a_manifest_reach_the_store(tmp_path):
    written(table_of(TWO, OLD_HICCUPS), tmp_path / "l.tsv")
    contacts = {"kind": "bedpe", "path": "l.tsv", "min_score": 0, "score": "o / e_donut"}
    build_store(manifest_of(tmp_path, contacts), tmp_path / "s.h5", progress=False)
    assert Store(tmp_path / "s.h5").pcres.score.tolist() == [8.0, 1.5]
    assert Store(tmp_path / "s.h5").inputs["contacts"]["score"] == "o / e_donut"


def test_narrow_anchors_are_named_by_build_and_both_fixes_find_the_contact(tmp_path):
    (tmp_path / "l.bedpe").write_text("chr1\t502499\t502501\tchr1\t722499\t722501\t-\t7\t.\t.\n")
    contacts = {"kind": "bedpe", "path": "l.bedpe", "min_score": 0}
    said = succeed("build", manifest_of(tmp_path, contacts), "--out", tmp_path / "s.h5", "--processes", 1).err
    assert "too narrow to hold a TSS" in said and "tss_distance: 2500" in said
    for fix, length in (({"resolution": 5000, "tss_distance": 1}, 5000), ({"tss_distance": 2500}, 2)):
        build_store(manifest_of(tmp_path, contacts | fix), tmp_path / "fixed.h5", force=True, progress=False)
        store = Store(tmp_path / "fixed.h5")
        region = store.regions.loc[store.pcres.region].iloc[0]
        assert (region.end - region.start, store.pcres.score.tolist()) == (length, [7.0])


# -- real data -----------------------------------------------------------------------------------------------


@needs_data
@pytest.mark.parametrize("cell", ["GM12878", "K562", "HeLa-S3"])
def test_published_loops_with_motifs_are_read_directly_and_equal_pandas(cell):
    path = Path(DATA) / "cells" / cell / f"{cell}-loops_with_motifs.txt.gz"
    found = read_contacts("bedpe", path, read_chrom_sizes(Path(DATA) / "hg19.chrom.sizes"))
    expected = pd.read_csv(path, sep="\t", dtype={"chr1": str, "chr2": str})
    assert len(found) == len(expected) and (expected.chr1 == expected.chr2).all()
    assert (found.chrom == "chr" + expected.chr1).all() and found.score.tolist() == expected.o.tolist()
    assert (found[SIDES].to_numpy() == expected[["x1", "x2", "y1", "y2"]].to_numpy()).all()
    assert describe_loop_score(path) == "o (HiCCUPS)"


@needs_data
def test_the_converted_list_of_gm12878_is_read_by_column_8_as_before():
    path = Path(DATA) / "gm12878" / "GM12878.loops.bedpe.gz"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_contacts("bedpe", path, read_chrom_sizes(Path(DATA) / "hg19.chrom.sizes"), min_score=1.5)
    expected = pd.read_csv(path, sep="\t", header=None)
    assert found.score.tolist() == expected[7].tolist() and describe_loop_score(path) == "column 8"
    assert (found[SIDES].to_numpy() == expected[[1, 2, 4, 5]].to_numpy()).all()
