"Chromosome names and sizes, known assemblies, and YAML files that say the same thing twice."

import warnings

import bioframe
import pydantic
import pytest

from chromoformer.data.consistency import assemblies_in
from chromoformer.data.manifest import read_manifest
from chromoformer.errors import InputError, as_input_error, read_yaml
from chromoformer.genome import (
    ASSEMBLIES,
    assembly_of,
    check_assembly,
    chrom_finder,
    match_chroms,
    read_chrom_sizes,
    same_species,
    species_of,
)
from chromoformer.studies.definition import read_study

HG19 = bioframe.assembly_info("hg19").chromsizes.to_dict()
HG38 = bioframe.assembly_info("hg38").chromsizes.to_dict()
MM10 = bioframe.assembly_info("mm10").chromsizes.to_dict()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_does_not_hide_the_first_chromosome(tmp_path, encoding):
    (tmp_path / "sizes").write_text("chr1\t1000\nchr2\t500\n", encoding=encoding)
    assert read_chrom_sizes(tmp_path / "sizes") == {"chr1": 1000, "chr2": 500}


@pytest.mark.parametrize(
    ("genome", "sizes", "says"),
    [
        ("hg19", HG38, "hg38"),
        ("hg38", HG19, "hg19"),
        ("GRCh37.p13", HG38, "hg38"),
        ("b37", {"1": HG38["chr1"]}, "hg38"),
        ("hg38", MM10, "mm10"),
        ("mm9", MM10, "mm10"),
        ("hg19", HG19 | {"chr22": HG38["chr22"]}, "chr22"),
    ],
)
def test_sizes_of_another_assembly_are_refused(genome, sizes, says):
    with pytest.raises(InputError, match=says) as caught:
        check_assembly(genome, sizes, "sizes")
    assert f"chromosome sizes of {genome}" in caught.value.fix


@pytest.mark.parametrize(
    ("genome", "sizes"),
    [
        ("hg19", HG19),
        ("hg19", HG19 | {"chrM": 16_571, "chrMT": 16_569, "chr1_gl000191_random": 106_433}),
        ("GRCh38", {name.removeprefix("chr"): size for name, size in HG38.items()}),
        ("hg38.analysisSet", {"chr21": HG38["chr21"]}),
        ("mm10", MM10),
        ("toy", {"chr1": 1000}),
        ("danRer11", {"chr1": 59_578_282}),
    ],
)
def test_right_sizes_and_unknown_assemblies_pass_without_a_word(genome, sizes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_assembly(genome, sizes)


def test_lengths_of_no_known_assembly_are_noted():
    with pytest.warns(UserWarning, match="1 lengths are not those of hg38"):
        check_assembly("hg38", {"chr1": 5_997_264})


@pytest.mark.parametrize(
    ("names", "genome", "expected"),
    [
        (["M", "MT"], ["chrM", "chrMT"], {"M": "chrM", "MT": "chrMT"}),
        (["MT", "M"], ["chrMT", "chrM"], {"M": "chrM", "MT": "chrMT"}),
        (["chrMT"], ["chrM"], {"chrMT": "chrM"}),
        (["M"], ["1", "MT"], {"M": "MT"}),
        (["chrM", "chrMT"], ["chrM"], {"chrM": "chrM"}),
        (["MT", "chrM"], ["MT"], {"MT": "MT"}),
        (["Chr1", "X"], ["chr1", "chrX"], {"Chr1": "chr1", "X": "chrX"}),
    ],
)
def test_each_chromosome_keeps_its_own_name_where_m_and_mt_are_both_there(names, genome, expected):
    assert match_chroms(names, genome, warn=False) == expected


def test_entries_on_chromosomes_that_the_genome_lacks_are_counted():
    with pytest.warns(UserWarning, match=r"^a.bed: 2 chromosome .* skipped, with 3 of 5 entries \(Un, M\)$"):
        match_chroms(["1", "Un", "1", "M", "Un"], ["chr1"], file="a.bed")
    with pytest.warns(UserWarning, match=r"1 chromosome .* skipped \(Un\)$"):
        match_chroms(["1", "Un"], ["chr1"])


def test_two_names_of_one_chromosome_are_noted():
    with pytest.warns(UserWarning, match="chr1, 1"):
        assert match_chroms(["chr1", "1"], ["chr1"]) == {"chr1": "chr1", "1": "chr1"}


def test_species_are_told_apart_by_their_assemblies():
    assert same_species("hg19", "hg38") and same_species("GRCm38", "mm10") and same_species("other", "other")
    assert not same_species("toy", "other") and not same_species("hg19", "mm10")


def test_every_name_of_an_assembly_means_the_same_to_all_checks():
    for species, assemblies in ASSEMBLIES.items():
        for name, others in assemblies.items():
            for one in (name, *others, name.upper(), f"{name}.p2"):
                assert assembly_of(one) == name and species_of(one) == species, one
                assert assemblies_in(f"genes.{one}.gtf.gz") == {name}, one
    assert same_species("hs1", "hg19") and same_species("T2T-CHM13v2.0", "GRCh38")
    assert species_of("hg16") == "human" and species_of("Mmul_10") is assembly_of("hg199") is None
    with pytest.raises(InputError, match="are those of hs1"):
        check_assembly("hg38", {"chr1": bioframe.assembly_info("hs1").chromsizes["chr1"]})


def test_one_name_is_found_like_many_where_the_genome_has_both_mitochondria():
    find = chrom_finder(["chr1", "chrM", "chrMT"])
    assert [find(name) for name in ("M", "chrMT", "MT", "Chr1", "2")] == [
        "chrM",
        "chrMT",
        "chrMT",
        "chr1",
        None,
    ]
    assert chrom_finder(["1", "MT"])("chrM") == "MT"


# ---- YAML ----


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: a\ngenome: b\nname: c\n", "line 3: the key name"),
        ("folds:\n  1: [chr1]\n  2: [chr2]\n  1: [chr3]\n", "line 4: the key 1"),
        ("folds:\n  1: [chr1]\n  '1': [chr3]\n", "line 3: the key 1"),
        ("a: {b: 1, c: [1, {d: 2, e: 1, d: 3}]}\n", "line 1: the key d"),
    ],
)
def test_a_key_given_twice_is_refused_with_its_line(tmp_path, text, says):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputError, match=says):
        read_yaml(tmp_path / "x.yaml", what="file", fix="write one")
    with pytest.raises(InputError, match=says):
        read_manifest(tmp_path / "x.yaml")
    with pytest.raises(InputError, match=says):
        read_study(tmp_path / "x.yaml")


def test_merged_keys_may_be_replaced_and_a_byte_order_mark_is_skipped(tmp_path):
    text = "base: &base {a: 1, b: 2}\nown: {<<: *base, a: 3}\nsame: [*base, *base]\n"
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8-sig")
    found = read_yaml(tmp_path / "x.yaml", what="file", fix="write one")
    assert found == {"base": {"a": 1, "b": 2}, "own": {"a": 3, "b": 2}, "same": [{"a": 1, "b": 2}] * 2}


@pytest.mark.parametrize("written", ["off", "no", "Yes", "2024", "1:30", "2024-01-31", "0x1F", "1.50"])
def test_text_that_yaml_reads_as_something_else_is_shown_as_it_is_written(tmp_path, written):
    class Expression(pydantic.BaseModel):
        column: str

    class Whole(pydantic.BaseModel):
        expression: list[Expression]

    file = tmp_path / "x.yaml"
    file.write_text(f"expression:\n- {{column: {written}}}\n")
    with pytest.raises(pydantic.ValidationError) as caught:
        Whole(**read_yaml(file, what="file", fix="write one"))
    error = as_input_error(caught.value, file, "file")
    assert error.fix == f'put it in quotes: "{written}"' and error.place == "expression.0.column"
