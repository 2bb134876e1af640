"""Text tables: harmless differences are tolerated, mistakes are reported with their line."""

import bz2
import gzip
import lzma
import pickle
import re

import numpy as np
import pandas as pd
import pysam
import pytest

from chromoformer.data.contacts import load_plain_pickle
from chromoformer.data.expression import read_exons, read_gtf_genes
from chromoformer.data.loops import read_loops
from chromoformer.data.motifs import read_sites
from chromoformer.data.published import read_metadata
from chromoformer.data.sequence import read_fasta
from chromoformer.data.tables import numbers, open_text, place_of, read_table
from chromoformer.data.tracks import bedgraph_intervals, peak_intervals, read_coverage
from chromoformer.errors import InputError


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize("separator", ["\t", ","])
def test_the_header_decides_between_tabs_and_commas(tmp_path, separator):
    text = "gene,E003,E116\nA,1,2\nB,3,4\n".replace(",", separator)
    table = read_table(write(tmp_path / "t.txt", text), ["gene", "E116"])
    assert table.gene.tolist() == ["A", "B"] and table.E116.tolist() == ["2", "4"]


def test_gzip_is_recognised_by_content_not_by_name(tmp_path):
    (tmp_path / "rpkm.pc").write_bytes(gzip.compress(b"gene\tx\nA\t1\n"))
    assert read_table(tmp_path / "rpkm.pc", ["x"]).x.tolist() == ["1"]
    with open_text(write(tmp_path / "plain.gz", "a\n")) as handle:
        assert handle.read() == "a\n"


def test_trailing_tabs_line_ends_byte_order_marks_blank_lines_and_comments_are_ignored(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_bytes(
        b"\xef\xbb\xbf## made by hand\r\n# gene is a symbol\r\n\r\n"
        b"gene\tx\r\n A \t1\t\r\n \t  \r\n#B\t5\r\nC\t2\r\n   \r\n"
    )
    table = read_table(path, ["gene", "x"])
    assert table.gene.tolist() == ["A", "C"] and table.x.tolist() == ["1", "2"]
    assert table.index.tolist() == [5, 8] and place_of(table, 1) == "line 8"


def test_a_header_may_begin_with_a_hash_and_fields_may_be_quoted(tmp_path):
    table = read_table(write(tmp_path / "t.csv", '#gene,x\n"A, the first",1\n'), ["gene", "x"])
    assert table.gene.tolist() == ["A, the first"] and table.x.tolist() == ["1"]


def test_optional_columns_are_read_if_present_and_one_column_makes_a_table(tmp_path):
    path = write(tmp_path / "t.tsv", "a\tb\n1\t2\n")
    assert list(read_table(path, ["b"], ["a", "z"])) == ["b", "a"]
    assert read_table(path, ["a"]).a.tolist() == ["1"]


def test_a_file_without_header_is_read_by_position_and_may_have_more_columns(tmp_path):
    path = write(tmp_path / "t.bedpe", "track name=x\n# comment\nchr1\t5\textra\nchr2\t6\n")
    assert read_table(path, ["chrom", "start"], names=["chrom", "start"]).start.tolist() == ["5", "6"]


def test_parquet_keeps_types_and_counts_rows(tmp_path):
    pd.DataFrame({"gene": ["A", "B"], "x": [1.5, np.nan], "y": [0, 1]}).to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet", ["gene", "x"])
    assert list(table) == ["gene", "x"] and table.x.dtype == float
    with pytest.raises(InputError, match="row 2, gene B: x 'nan' is not a finite number"):
        numbers(table, "x", name="gene")


@pytest.mark.parametrize(
    "text, message",
    [
        ("gene\tx\nA\t1\nB\n", r"t.tsv, line 3: expected 2 fields, found 1"),
        ("gene\tx\nA\t1\t7\n", r"line 2: expected 2 fields, found 3\n.*row.names = FALSE"),
        ("gene\tx\nA\t1\t\t\n", r"line 2: expected 2 fields, found 4"),
        ("gene\ty\nA\t1\n", r"no column 'x'; the columns are gene, y"),
        ("gene\tx\tx\nA\t1\t1\n", r"column 'x' occurs twice"),
        ("gene\tx\n", r"no rows"),
        ("", r"this file is empty"),
        (
            'gene\tx\nA\t"1\nB\t2\n',
            r"line 2: this line cannot be read \(a field goes on over several lines\)",
        ),
        ('gene\tx\n"A\t1\n"B"\t2\n', r"line 2: this line cannot be read"),
    ],
)
def test_errors_name_file_line_and_fix(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_table(write(tmp_path / "t.tsv", text), ["gene", "x"])
    assert caught.value.fix


def test_missing_truncated_and_binary_files_are_reported_as_such(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "none.tsv", ["x"])
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "none.parquet", ["x"])
    whole = gzip.compress(("n\tcube\n" + "".join(f"{i}\t{i**3}\n" for i in range(20_000))).encode())
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="truncated or damaged"):
        read_table(tmp_path / "cut.gz", ["cube"])
    (tmp_path / "binary.tsv").write_bytes(b"gene\tx\nA\t\xff\xfe\n")
    with pytest.raises(InputError, match="not a text file"):
        read_table(tmp_path / "binary.tsv", ["x"])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match="Parquet file cannot be read"):
        read_table(tmp_path / "bad.parquet", ["x"])


def test_numbers_are_exact_and_other_text_is_refused(tmp_path):
    random = np.random.default_rng(0)
    values = [*random.uniform(0, 1e4, 500).round(3), *random.normal(size=500)]
    table = pd.DataFrame({"x": [repr(float(value)) for value in values]})
    assert (numbers(table, "x") == np.array(values)).all()
    assert numbers(pd.DataFrame({"x": ["1e+05", "-3"]}), "x", whole=True).tolist() == [
        100_000,
        -3,
    ]  # as R writes it
    for text in ("abc", "", "nan", "NA", "inf", "-inf", "1,5", "0x1"):
        with pytest.raises(InputError, match=f"row 0: x '{text}' is not a finite number"):
            numbers(pd.DataFrame({"x": [text]}), "x")
    with pytest.raises(InputError, match="not a whole number"):
        numbers(pd.DataFrame({"x": ["1.5"]}), "x", whole=True)


@pytest.mark.parametrize(
    "text, says",
    [
        ("gene;x\nA;1\n", "the columns are separated by semicolons: gene;x"),
        ('"gene" "x"\n"A" 1\n', "the columns are separated by spaces"),
        ("gene|x\nA|1\n", "the columns are separated by vertical bars"),
        ("gene\tx\nA 1\n", "line 2: expected 2 fields, but they are separated by spaces"),
        ("gene\tx\nA,1\n", "line 2: expected 2 fields, but they are separated by commas"),
        ("gene,x\nA;1\n", "line 2: expected 2 fields, but they are separated by semicolons"),
        ("gene,x\nA\t1\n", "line 2: expected 2 fields, but they are separated by tabs"),
        ("A\t1\t2\t+\nB\t2\t3\t-\n", "the first line has numbers where column names are expected: A, 1, 2"),
    ],
)
def test_wrong_separators_and_missing_headers_are_named(tmp_path, text, says):
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        read_table(write(tmp_path / "t.txt", text), ["gene", "x"])
    assert caught.value.fix


def test_fields_separated_by_spaces_in_a_file_without_header_are_named(tmp_path):
    with pytest.raises(InputError, match="line 1: expected 3 fields, but they are separated by spaces"):
        read_table(write(tmp_path / "t.bed", "chr1 5 9\n"), ["chrom"], names=["chrom", "start", "end"])


def test_a_comment_with_commas_does_not_decide_the_delimiter(tmp_path):
    path = write(tmp_path / "t.tsv", "# two genes, from a spreadsheet\ngene\tx\nA, b\t1\n")
    assert read_table(path, ["gene", "x"]).gene.tolist() == ["A, b"]


@pytest.mark.parametrize(
    "content, says",
    [
        (b"PK\x03\x04\x14\x00", "an Excel workbook (xlsx)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an Excel workbook (xls)"),
        ("gene\tx\nA\t1\n".encode("utf-16"), "text in UTF-16"),
        (bz2.compress(b"gene\tx\nA\t1\n"), "a bzip2 file"),
        (lzma.compress(b"gene\tx\nA\t1\n"), "an xz file"),
        (b"PAR1abcd", "a Parquet file"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    ],
)
@pytest.mark.parametrize("name", ["t.tsv", "t.xlsx"])
def test_files_that_are_not_text_are_named(tmp_path, content, says, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(f"found {says}")) as caught:
        read_table(tmp_path / name, ["gene", "x"])
    assert caught.value.fix and name in str(caught.value)


@pytest.mark.parametrize("text", ["1,5", "12,345", "1.234,5", "1,234.5"])
def test_commas_in_numbers_are_refused_with_the_way_to_write_them(text):
    with pytest.raises(InputError, match="is not a finite number") as caught:
        numbers(pd.DataFrame({"x": [text]}), "x")
    assert "decimal point" in caught.value.fix


SIZES = {"chr1": 1_000_000}
READERS = {  # name: one line of a file by number, its first line, and a function that reads the file
    "table": ("G{n}\t{n}", "gene\tx", lambda path: numbers(read_table(path, ["gene", "x"]), "x")),
    "metadata": (
        "G{n},chr1,{n}0,+,1",
        "gene_id,chrom,start,strand,split",
        lambda path: read_metadata(path)[0].drop(columns="expression"),
    ),
    "loops": ("chr1\t{n}0\t{n}5\tchr1\t{n}6\t{n}7\tl\t2", None, lambda path: read_loops(path, SIZES)),
    "gtf": (
        'chr1\tx\tgene\t{n}1\t{n}9\t.\t+\t.\tgene_id "G{n}"; gene_type "protein_coding";',
        None,
        lambda path: read_gtf_genes(path, SIZES),
    ),
    "exons": (
        'chr1\tx\texon\t{n}1\t{n}9\t.\t+\t.\tgene_id "G{n}";',
        None,
        lambda path: read_exons(path, [f"G{n}" for n in range(9000)]),
    ),
    "sites": ("chr1\t{n}0\t{n}5", None, lambda path: read_sites(path, SIZES)),
    "bedgraph": ("chr1\t{n}0\t{n}5\t2", None, lambda path: list(bedgraph_intervals(path, SIZES, False))),
    "spaces": ("chr1 {n}0 {n}5 2", None, lambda path: list(bedgraph_intervals(path, SIZES, False))),
    "peaks": ("chr1\t{n}0\t{n}5", None, lambda path: list(peak_intervals(path, SIZES, progress=False))),
    "reads": ("chr1\t{n}0\t{n}5", None, lambda path: list(read_coverage(path, SIZES, "bed", False))),
}


def lines_for(name, numbers=range(1, 9000)):
    line, header, _ = READERS[name]
    return [*([header] if header else []), *(line.format(n=number) for number in numbers)]


def bgzip(path, data):
    with pysam.BGZFile(str(path), "wb") as file:
        file.write(data)
    return path.read_bytes()


@pytest.mark.parametrize("name", READERS)
def test_lines_of_blanks_are_skipped_in_every_format(tmp_path, name):
    lines, read = lines_for(name, range(1, 40)), READERS[name][2]
    expected = read(write(tmp_path / "plain", "\n".join(lines) + "\n"))
    blank = [
        line
        for number, line in enumerate(lines)
        for line in (line, *["", "   ", " \t", "\t\t"][: number % 5])
    ]
    for end in ("\n", "\r\n"):
        (tmp_path / "blank").write_bytes((end.join(blank) + end).encode())
        found = read(tmp_path / "blank")
        if isinstance(expected, pd.DataFrame):
            assert (found.to_numpy() == expected.to_numpy()).all()
        else:
            assert [*map(str, found)] == [*map(str, expected)]
    write(tmp_path / "wrong", "\n".join([*blank, "  ", READERS[name][0].format(n="x")]) + "\n")
    with pytest.raises(InputError, match=f"line {len(blank) + 2}\\b"):
        read(tmp_path / "wrong")


@pytest.mark.parametrize("name", READERS)
def test_compressed_files_that_are_cut_are_refused(tmp_path, name):
    text = ("\n".join(lines_for(name)) + "\n").encode()
    read = READERS[name][2]
    whole = bgzip(tmp_path / "whole.gz", text)
    read(tmp_path / "whole.gz")
    second = 1 + int.from_bytes(whole[16:18], "little")  # where the second block begins
    for cut in (second, len(whole) - 28):
        (tmp_path / "cut.gz").write_bytes(whole[:cut])
        assert text.startswith(gzip.decompress(whole[:cut]))  # complete for a reader of gzip
        with pytest.raises(InputError, match="cut.gz: this bgzip file is truncated"):
            read(tmp_path / "cut.gz")
    packed = gzip.compress(text)
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"cut.gz.*(truncated|cut short) or damaged"):
        read(tmp_path / "cut.gz")


def test_sequences_and_pickles_that_are_cut_are_refused(tmp_path):
    for name, data, read in (
        ("cut.fa.gz", b">chr1\n" + b"ACGT" * 30_000, lambda path: list(read_fasta(path, {"chr1": 120_000}))),
        ("cut.pickle.gz", pickle.dumps({"a": "b" * 90_000}), load_plain_pickle),
    ):
        whole = bgzip(tmp_path / name, data)
        read(tmp_path / name)
        (tmp_path / name).write_bytes(whole[:-28])
        with pytest.raises(InputError, match=f"{name}: this bgzip file is truncated"):
            read(tmp_path / name)
