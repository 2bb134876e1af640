"From annotation and RPKM to the gene table: TSSs, labels, folds, and errors in the input."

import gzip
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import toy_tables, write_toy_store

from chromoformer.data.batches import GeneDataset
from chromoformer.data.expression import (
    ANNOTATION,
    check_genes,
    check_tss,
    label_genes,
    read_exons,
    read_expression,
    read_gene_table,
    read_genes,
    read_gtf_genes,
    strip_version,
)
from chromoformer.data.manifest import read_manifest
from chromoformer.data.published import import_regions, read_metadata
from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.genome import chromosome_fold, read_chrom_sizes

DATA = os.environ.get("CHROMOFORMER_DATA", "")
needs_data = pytest.mark.skipif(
    not DATA, reason="CHROMOFORMER_DATA is not set: the shared real data are not here"
)
SIZES = {"chr1": 10_000, "chr2": 5_000, "chrX": 3_000}


def record(feature, gene, start, end, strand="+", chrom="chr1", kind="protein_coding", more=""):
    attributes = f'gene_id "{gene}"; gene_type "{kind}"; {more}'
    return f"{chrom}\ttest\t{feature}\t{start}\t{end}\t.\t{strand}\t.\t{attributes}\n"


def transcript(gene, start, end, strand="+", kind="protein_coding", **more):
    return record("transcript", gene, start, end, strand, more=f'transcript_type "{kind}";', **more)


def gtf(tmp_path, *lines, name="a.gtf"):
    path = tmp_path / name
    path.write_text("##description: test\n" + "".join(lines))
    return path


def gene_frame(**columns):
    frame = pd.DataFrame(
        {
            "gene_id": ["A", "B"],
            "gene_name": ["a", "b"],
            "chrom": ["chr1", "chrX"],
            "tss": [100, 200],
            "strand": ["+", "-"],
            "gene_start": [100, 50],
            "gene_end": [900, 201],
        }
    )
    return frame.assign(**columns)


# -- GTF -----------------------------------------------------------------------------------------------------


def test_the_tss_is_the_first_base_of_a_plus_gene_and_the_last_of_a_minus_gene(tmp_path):
    path = gtf(tmp_path, record("gene", "P", 1, 100), record("gene", "M", 201, 300, "-"))
    genes = read_gtf_genes(path, SIZES)
    assert list(genes) == ANNOTATION
    assert genes.set_index("gene_id").tss.to_dict() == {"P": 0, "M": 299}
    assert genes[["gene_start", "gene_end"]].values.tolist() == [[0, 100], [200, 300]]
    assert genes.gene_name.tolist() == ["P", "M"]  # no gene_name: the id


def test_the_tss_is_that_of_the_longest_protein_coding_transcript(tmp_path):
    path = gtf(
        tmp_path,
        record("gene", "P", 101, 1000),
        transcript("P", 101, 1000, kind="retained_intron"),
        transcript("P", 201, 800),
        transcript("P", 301, 950),
        record("gene", "M", 2001, 3000, "-"),
        transcript("M", 2001, 2600, "-"),
        transcript("M", 2101, 2900, "-"),
        record("exon", "M", 2950, 3000, "-"),
    )
    assert read_gtf_genes(path, SIZES).set_index("gene_id").tss.to_dict() == {"P": 300, "M": 2899}


def test_of_equally_long_transcripts_the_most_upstream_decides_in_any_order(tmp_path):
    lines = [
        record("gene", "P", 101, 1000),
        transcript("P", 201, 700),
        transcript("P", 151, 650),
        transcript("P", 301, 800),
        record("gene", "M", 2001, 3000, "-"),
        transcript("M", 2001, 2500, "-"),
        transcript("M", 2301, 2800, "-"),
    ]
    for order in (lines, lines[::-1]):
        assert read_gtf_genes(gtf(tmp_path, *order), SIZES).set_index("gene_id").tss.to_dict() == {
            "P": 150,
            "M": 2799,
        }


def test_a_gene_without_coding_transcript_starts_at_its_gene_record(tmp_path):
    path = gtf(
        tmp_path,
        record("gene", "P", 101, 1000),
        transcript("P", 201, 1000, kind="nonsense_mediated_decay"),
        record("gene", "Q", 3001, 4000),
        transcript("Q", 3011, 4000),
    )
    assert read_gtf_genes(path, SIZES).set_index("gene_id").tss.to_dict() == {"P": 100, "Q": 3010}


def test_only_genes_of_the_type_or_biotype_are_kept(tmp_path):
    lines = record("gene", "P", 101, 1000), record("gene", "L", 2001, 3000, kind="lncRNA")
    path = gtf(tmp_path, *lines)
    assert read_gtf_genes(path, SIZES).gene_id.tolist() == ["P"]
    assert read_gtf_genes(path, SIZES, gene_type="lncRNA").gene_id.tolist() == ["L"]
    assert read_gtf_genes(path, SIZES, gene_type=None).gene_id.tolist() == ["P", "L"]
    ensembl = gtf(
        tmp_path, *(line.replace("gene_type", "gene_biotype").replace("chr1", "1") for line in lines)
    )
    assert read_gtf_genes(ensembl, SIZES).chrom.tolist() == ["chr1"]
    with pytest.raises(
        InputError, match="no gene record of type 'coding'; the file has 1 protein_coding, 1 lncRNA"
    ):
        read_gtf_genes(path, SIZES, gene_type="coding")


def test_gzipped_gtf_with_unquoted_attributes_is_read_in_the_order_of_the_genome(tmp_path):
    text = (
        record("gene", "C", 11, 20, chrom="chr2")
        + record("gene", "B", 501, 600)
        + record("gene", "A", 11, 20).replace('"', "")
    )
    (tmp_path / "a.gtf.gz").write_bytes(gzip.compress(text.encode()))
    genes = read_gtf_genes(tmp_path / "a.gtf.gz", SIZES)
    assert genes.gene_id.tolist() == ["A", "B", "C"] and genes.index.tolist() == [0, 1, 2]


def test_versions_are_removed_and_par_y_is_kept():
    before = [
        "ENSG00000000003.10",
        "ENSG00000182378.15_PAR_Y",
        "ENSMUSG00000051951.6",
        "ENSG00000186092.4_2",
        "ENSGR0000226179.1",
        "ENSG00000182378.14_5_PAR_Y",
        "ENSG00000000003",
        "AT1G01010.1",
        "RP11-34P13.7",
        "toy_7",
    ]
    assert strip_version(before) == [
        "ENSG00000000003",
        "ENSG00000182378_PAR_Y",
        "ENSMUSG00000051951",
        "ENSG00000186092",
        "ENSGR0000226179",
        "ENSG00000182378_PAR_Y",
        "ENSG00000000003",
        "AT1G01010.1",
        "RP11-34P13.7",
        "toy_7",
    ]


def test_both_copies_of_a_pseudoautosomal_gene_are_kept(tmp_path):
    path = gtf(
        tmp_path,
        record("gene", "ENSG00000182378.15", 101, 200, chrom="chrX"),
        record("gene", "ENSG00000182378.15_PAR_Y", 101, 200),
    )
    assert sorted(read_gtf_genes(path, SIZES).gene_id) == ["ENSG00000182378", "ENSG00000182378_PAR_Y"]


def test_chromosomes_the_genome_lacks_are_skipped_with_one_warning(tmp_path):
    path = gtf(
        tmp_path,
        record("gene", "A", 11, 20),
        record("gene", "M", 1, 5, chrom="chrM"),
        record("gene", "U", 1, 5, chrom="GL000191.1"),
    )
    with pytest.warns(UserWarning, match="2 chromosome names match nothing") as caught:
        assert read_gtf_genes(path, SIZES).gene_id.tolist() == ["A"]
    assert len(caught) == 1


@pytest.mark.parametrize(
    "lines, message",
    [
        (
            ["chr1\tx\tgene\t1\t100\t.\t+\t.\tID=gene:A;biotype=protein_coding\n"],
            "line 2: this is GFF3, not GTF",
        ),
        (["##gff-version 3\n"], "this is GFF3, not GTF"),
        ([record("exon", "A", 1, 100)], "no gene record in this file"),
        (["chr1\tx\tgene\t1\t100\n"], "line 2: a GTF line has 9 fields, this one has 5"),
        ([record("gene", "A", "ten", 100)], "line 2: start 'ten' is not a whole number"),
        ([record("gene", "A", 1, 100, "?")], "line 2, gene_id A: strand '\\?' is neither"),
        (
            [record("gene", "A", 1, 100), record("gene", "A", 301, 400)],
            "line 3, gene_id A: gene A is listed twice",
        ),
        (
            [record("gene", "ENSG00000000003.1", 1, 9), record("gene", "ENSG00000000003.2", 31, 40)],
            "listed twice",
        ),
        ([record("gene", "A", 1, 10_001)], "gene_id A: TSS 0 and body 0-10001 do not lie inside chr1"),
        ([record("gene", "A", 0, 100)], "gene_id A: TSS -1 lies before"),
        ([record("gene", "A", 100, 50)], "gene_id A: the gene's body chr1:99-50 is not an interval"),
        (
            [record("gene", "A", 1, 9, chrom="scaffold1")],
            "no chromosome matches the genome: the file has scaffold1",
        ),
        ([record("gene", "", 1, 9)], "a gene without an id"),
    ],
)
def test_gtf_errors_name_line_or_gene(tmp_path, lines, message):
    with pytest.raises(InputError, match=message) as caught:
        read_gtf_genes(gtf(tmp_path, *lines), SIZES)
    assert "a.gtf" in str(caught.value) and caught.value.fix


def test_empty_and_missing_gtf_are_refused(tmp_path):
    (tmp_path / "empty.gtf").write_text("")
    with pytest.raises(InputError, match="this file is empty"):
        read_gtf_genes(tmp_path / "empty.gtf", SIZES)
    with pytest.raises(InputError, match="no such file"):
        read_gtf_genes(tmp_path / "none.gtf", SIZES)


# -- what a transcript is ------------------------------------------------------------------------------------


def line(feature, start, end, strand, attributes, source="test", chrom="chr1"):
    return f"{chrom}\t{source}\t{feature}\t{start}\t{end}\t.\t{strand}\t.\t{attributes}\n"


# Column 2, feature and attributes of a coding and of another transcript; attributes of the gene.
SOURCES = {
    "GENCODE": (
        (
            "HAVANA",
            "transcript",
            'gene_id "{}"; gene_type "protein_coding"; transcript_type "protein_coding";',
        ),
        (
            "HAVANA",
            "transcript",
            'gene_id "{}"; gene_type "protein_coding"; transcript_type "retained_intron";',
        ),
        'gene_id "{}"; gene_type "protein_coding";',
    ),
    "Ensembl": (
        (
            "havana",
            "transcript",
            'gene_id "{}"; gene_biotype "protein_coding"; transcript_biotype "protein_coding";',
        ),
        ("ensembl", "transcript", 'gene_id "{}"; gene_biotype "protein_coding"; transcript_biotype "TEC";'),
        'gene_id "{}"; gene_biotype "protein_coding";',
    ),
    "Ensembl 75": (
        ("protein_coding", "transcript", 'gene_id "{}"; gene_biotype "protein_coding";'),
        ("nonsense_mediated_decay", "transcript", 'gene_id "{}"; gene_biotype "protein_coding";'),
        'gene_id "{}"; gene_biotype "protein_coding";',
    ),
    "column 2 alone": (
        ("protein_coding", "transcript", 'gene_id "{}";'),
        ("processed_transcript", "transcript", 'gene_id "{}";'),
        'gene_id "{}";',
    ),
    "NCBI": (
        ("BestRefSeq", "transcript", 'gene_id "{}"; gbkey "mRNA"; transcript_biotype "mRNA";'),
        ("Gnomon", "transcript", 'gene_id "{}"; gbkey "misc_RNA"; transcript_biotype "transcript";'),
        'gene_id "{}"; transcript_id ""; gbkey "Gene"; gene_biotype "protein_coding";',
    ),
    "NCBI before": (
        ("BestRefSeq", "transcript", 'gene_id "{}"; transcript_biotype ""; gbkey "mRNA";'),
        ("Gnomon", "transcript", 'gene_id "{}"; gbkey "ncRNA";'),
        'gene_id "{}"; gbkey "Gene"; gene_biotype "protein_coding";',
    ),
    "FlyBase": (
        ("FlyBase", "mRNA", 'gene_id "{}"; gene_symbol "x"; transcript_id "FBtr1"'),
        ("FlyBase", "ncRNA", 'gene_id "{}"; gene_symbol "x"; transcript_id "FBtr2"'),
        'gene_id "{}"; gene_symbol "x"',
    ),
    "mRNA and transcript": (
        ("maker", "mRNA", 'gene_id "{}"; transcript_id "a";'),
        ("maker", "transcript", 'gene_id "{}"; transcript_id "b";'),
        'gene_id "{}"; biotype "protein_coding";',
    ),
}


@pytest.mark.filterwarnings("ignore:.*have no type")
@pytest.mark.parametrize("gene_type", ["protein_coding", None])
@pytest.mark.parametrize("source", SOURCES)
def test_the_tss_is_that_of_the_longest_coding_transcript_wherever_the_biotype_is(
    tmp_path, source, gene_type
):
    coding, other, of_gene = SOURCES[source]
    random = np.random.default_rng(0)
    lines, planted = [], []
    for number in range(20):
        gene, strand = f"gene{number}", "+-"[number % 2]
        lines.append(line("gene", 1, 9000, strand, of_gene.format(gene), coding[0]))
        for kind in [coding] * 3 + [other] * 2:
            start, end = sorted(int(at) for at in random.choice(np.arange(1, 9000), 2, replace=False))
            lines.append(line(kind[1], start, end, strand, kind[2].format(gene), kind[0]))
            planted.append((gene, strand, start - 1, end, kind is coding))
        lines.append(line(other[1], 1, 9000, strand, other[2].format(gene), other[0]))  # longer than any
    genes = read_gtf_genes(gtf(tmp_path, *lines), SIZES, gene_type).set_index("gene_id")
    table = pd.DataFrame(planted, columns=["gene", "strand", "start", "end", "coding"]).query("coding")
    longest = table.loc[(table.end - table.start).groupby(table.gene).idxmax()].set_index("gene")
    expected = longest.start.where(longest.strand == "+", longest.end - 1)
    assert genes.tss.to_dict() == expected.to_dict() and len(genes) == 20


def test_transcripts_of_unknown_type_count_only_without_typed_ones_and_are_noted(tmp_path):
    untyped = 'gene_id "{}"; gene_type "protein_coding";'
    path = gtf(
        tmp_path,
        record("gene", "P", 1, 900),
        line("transcript", 1, 900, "+", untyped.format("P")),
        transcript("P", 101, 500),
        record("gene", "Q", 1001, 1900),
        line("transcript", 1101, 1900, "+", untyped.format("Q")),
        record("gene", "R", 2001, 2900),
    )
    with pytest.warns(UserWarning) as caught:
        assert read_gtf_genes(path, SIZES).tss.tolist() == [100, 1100, 2000]
    messages = sorted(str(one.message) for one in caught)
    assert len(messages) == 2 and "a.gtf: 1 of 3 genes have no transcript of their own type" in messages[0]
    assert "a.gtf: 1 of 3 genes have transcripts of unknown type" in messages[1] and messages[1].endswith(
        "(Q)"
    )


def test_transcripts_of_other_gene_types_follow_the_type_of_their_gene(tmp_path):
    path = gtf(
        tmp_path,
        record("gene", "P", 1, 900),
        transcript("P", 101, 500),
        transcript("P", 1, 900, kind="lncRNA"),
        record("gene", "L", 1001, 1900, kind="lncRNA"),
        line("transcript", 1201, 1800, "+", 'gene_id "L"; transcript_biotype "lnc_RNA";'),
        transcript("L", 1001, 1900, kind="retained_intron"),
    )
    assert read_gtf_genes(path, SIZES, None).tss.tolist() == [100, 1200]
    assert read_gtf_genes(path, SIZES, "lncRNA").tss.tolist() == [1200]


def test_exons_without_transcripts_and_files_without_genes_are_named(tmp_path):
    path = gtf(tmp_path, record("gene", "P", 1, 900), record("exon", "P", 101, 900))
    with pytest.warns(UserWarning, match="exons but no records of transcripts, so the TSS of all 1 genes"):
        assert read_gtf_genes(path, SIZES).tss.tolist() == [0]
    with pytest.raises(InputError, match="no gene record in this file") as caught:
        read_gtf_genes(gtf(tmp_path, transcript("P", 1, 900), record("exon", "P", 1, 900)), SIZES)
    assert "before release 75" in caught.value.fix


def test_gene_type_null_in_a_manifest_means_all_genes(tmp_path):
    (tmp_path / "m.yaml").write_text(
        "name: x\ngenome: hg38\nchrom_sizes: {path: g.sizes}\n"
        "channels: [{name: M, kind: bedgraph, path: m.bedgraph}]\n"
        "annotation: {kind: gtf, path: g.gtf, gene_type: null}\n"
    )
    assert read_manifest(tmp_path / "m.yaml").annotation.gene_type is None
    path = gtf(tmp_path, line("gene", 1, 900, "+", 'gene_id "G"; gene_name "A";'))
    assert read_genes("gtf", path, SIZES, gene_type=None).gene_name.tolist() == ["A"]
    assert read_genes("gtf", path, SIZES, gene_type="").gene_id.tolist() == ["G"]


# -- attributes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attributes",
    [
        'gene_id "A"; gene_name "N"; gene_type "protein_coding";',
        "gene_id A ; gene_name N; gene_type protein_coding",
        'ref_gene_id "R"; note "a; gene_id "X"; z"; gene_id "A"; gene_type "protein_coding"; gene_name "N"',
        'note "5\' end; see gene_id B"; gene_type "protein_coding"; gene_name "N"; gene_id "A"; level 2;',
        'note "the "big" one"; tag; gene_name "N";; gene_type "protein_coding" ; gene_id "A"',
        'product "gene_name "X"; "; gene_id "A"; gene_name "N"; gene_type "protein_coding";',
        'gene_id "A"; gene_name "N"; gene_type "protein_coding"; gene_id "C"; note "cut; off',
        '\tgene_id\t"A"; gene_name   "N"; gene_type "protein_coding"'.lstrip(),
    ],
)
def test_attributes_are_read_as_keys_and_values_not_by_searching(tmp_path, attributes):
    path = gtf(
        tmp_path, line("gene", 1, 900, "+", attributes.replace("\t", " ")), record("gene", "B", 901, 950)
    )
    genes = read_gtf_genes(path, SIZES)
    assert genes.gene_id.tolist() == ["A", "B"] and genes.gene_name.tolist() == ["N", "B"]
    exons = gtf(tmp_path, line("exon", 1, 90, "+", attributes.replace("\t", " ")), name="e.gtf")
    assert read_exons(exons, genes).values.tolist() == [["A", 0, 90]]


def test_semicolons_and_quotes_in_values_are_kept(tmp_path):
    attributes = 'gene_id "A"; gene_type "protein_coding"; gene_name "E(spl)m8; "HLH"";'
    assert read_gtf_genes(gtf(tmp_path, line("gene", 1, 90, "+", attributes)), SIZES).gene_name[0] == (
        'E(spl)m8; "HLH"'
    )


def test_attributes_without_semicolons_are_refused(tmp_path):
    path = gtf(tmp_path, line("gene", 1, 90, "+", 'gene_id "A" gene_type "protein_coding"'))
    with pytest.raises(InputError, match="line 2: the gene_id .* contains a quotation mark"):
        read_gtf_genes(path, SIZES)


# -- copies and contradictions -------------------------------------------------------------------------------


def test_transcripts_and_exons_on_another_chromosome_or_strand_do_not_count(tmp_path):
    path = gtf(
        tmp_path,
        record("gene", "A", 101, 1000, chrom="chrX"),
        transcript("A", 301, 900, chrom="chrX"),
        record("exon", "A", 301, 400, chrom="chrX"),
        record("gene", "A", 501, 2000, chrom="chrY"),
        transcript("A", 501, 2000, chrom="chrY"),
        record("exon", "A", 501, 600, chrom="chrY"),
        transcript("A", 101, 1000, "-", chrom="chrX"),
        record("exon", "A", 701, 800, "-", chrom="chrX"),
        transcript("A", 101, 3000, chrom="chrX"),
    )
    with pytest.warns(UserWarning) as caught:
        genes = read_gtf_genes(path, SIZES)  # SIZES has no chrY
        exons = read_exons(path, genes)
    assert genes.tss.tolist() == [300] and exons.values.tolist() == [["A", 300, 400]]
    messages = [str(one.message) for one in caught]
    assert any("3 transcripts of 1 genes lie on another chromosome or strand" in text for text in messages)
    assert any("2 exons of 1 genes lie on another chromosome or strand" in text for text in messages)
    with pytest.raises(InputError, match="gene A has exons on chrX, chrY"):
        read_exons(path, ["A"])


def test_chromosomes_of_exons_match_with_or_without_chr(tmp_path):
    path = gtf(tmp_path, record("gene", "A", 101, 1000, chrom="X"), record("exon", "A", 301, 400, chrom="X"))
    with pytest.warns(UserWarning, match="no records of transcripts"):
        genes = read_gtf_genes(path, SIZES)
    assert genes.chrom.tolist() == ["chrX"] and read_exons(path, genes).values.tolist() == [["A", 300, 400]]


# -- TSSs that contradict their gene -------------------------------------------------------------------------


def bodies(number=8, length=1000):
    start = np.arange(number) * 1100 + 100
    return pd.DataFrame(
        {
            "gene_id": [f"g{i}" for i in range(number)],
            "gene_name": [f"n{i}" for i in range(number)],
            "chrom": "chr1",
            "tss": np.where(np.arange(number) % 2, start + length - 1, start),
            "strand": np.resize(["+", "-"], number),
            "gene_start": start,
            "gene_end": start + length,
        }
    )


def messages_of(tmp_path, table):
    table.to_csv(tmp_path / "g.tsv", sep="\t", index=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        genes = read_gene_table(tmp_path / "g.tsv", SIZES)
    assert sorted(genes.tss) == sorted(table.tss)
    return [str(one.message) for one in caught]


def test_right_tss_raise_no_warning(tmp_path):
    right = bodies()
    assert not messages_of(tmp_path, right)
    assert not messages_of(tmp_path, right.assign(tss=right.tss + np.where(right.strand == "+", 200, -200)))
    assert not messages_of(tmp_path, right[["gene_id", "chrom", "tss", "strand"]])


@pytest.mark.parametrize(
    "tss, says",
    [
        (
            lambda t: t.gene_start,
            ["4 of 4 genes on the - strand lie at or near gene_start", "(n1, n3, n5 and 1 more)"],
        ),
        (
            lambda t: t.gene_start + 1,
            ["4 of 4 genes on the - strand", "4 of 4 genes on the + strand lie 1 bp"],
        ),
        (lambda t: t.gene_end - 1, ["4 of 4 genes on the + strand lie at or near gene_end - 1"]),
        (
            lambda t: (t.gene_start + t.gene_end) // 2,
            ["4 of 4 genes on the + strand lie at or near gene_end"],
        ),
        (
            lambda t: t.tss + 1,
            ["4 of 4 genes on the + strand lie 1 bp", "4 of 4 genes on the - strand lie 1 bp"],
        ),
        (lambda t: t.tss.where(t.index != 3, t.gene_start), ["1 of 4 genes on the - strand", "(n3)"]),
        (
            lambda t: t.tss.where(t.index != 4, t.gene_start - 60),
            ["1 of 4 genes on the + strand lie upstream", "(n4)"],
        ),
        (
            lambda t: t.tss.where(t.index != 3, t.gene_end),
            ["1 of 4 genes on the - strand lie upstream", "(n3)"],
        ),
    ],
)
def test_suspicious_tss_are_counted_with_names(tmp_path, tss, says):
    table = bodies()
    text = "\n".join(messages_of(tmp_path, table.assign(tss=tss(table))))
    assert "g.tsv" in text and all(part in text for part in says), text


def test_one_based_closed_bodies_are_noticed_on_the_minus_strand(tmp_path):
    table = bodies()
    one_based = table.assign(tss=table.tss + 1, gene_start=table.gene_start + 1)
    assert "4 of 4 genes on the - strand lie 1 bp from gene_end - 1" in "".join(
        messages_of(tmp_path, one_based)
    )


@pytest.mark.parametrize(("row", "tss"), [(2, 3300), (3, 3399), (3, 0), (2, 9999)])
def test_a_tss_beyond_the_end_of_its_gene_is_refused(tmp_path, row, tss):
    table = bodies()
    table.loc[row, "tss"] = tss
    table.to_csv(tmp_path / "g.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match=f"gene_id g{row}: TSS {tss} lies beyond the 3' end of its gene"):
        read_gene_table(tmp_path / "g.tsv", SIZES)
    with pytest.raises(InputError, match="lies beyond the 3' end"):
        check_genes(table)


def test_a_tss_a_megabase_upstream_is_refused():
    table = bodies().assign(gene_start=2_000_000, gene_end=2_001_000, tss=2_000_500)
    check_genes(table)
    with pytest.raises(InputError, match="gene_id g0: TSS 999 lies more than 1 Mb upstream"):
        check_genes(table.assign(tss=np.where(table.index == 0, 999, 2_000_500)))


def test_metadata_whose_start_is_that_of_the_gene_body_is_noticed(tmp_path):
    table = bodies().assign(split=1)
    table = table.assign(start=table.gene_start, end=table.gene_end)
    table.drop(columns=["tss", "gene_start", "gene_end"]).to_csv(tmp_path / "meta.csv", index=False)
    with pytest.warns(UserWarning, match="meta.csv: the TSSs of 4 of 4 genes on the - strand"):
        read_metadata(tmp_path / "meta.csv")
    table.assign(end=table.start + 1).to_csv(tmp_path / "meta.csv", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_metadata(tmp_path / "meta.csv")
    table.assign(end=table.start).to_csv(tmp_path / "meta.csv", index=False)
    with pytest.raises(InputError, match="line 2, gene_id g0: end 100 is not above start 100"):
        read_metadata(tmp_path / "meta.csv")


def test_genes_without_bodies_are_not_checked():
    table = bodies().assign(gene_start=lambda t: t.tss, gene_end=lambda t: t.tss + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_tss(table)


# -- annotations of another kind -----------------------------------------------------------------------------


def test_an_annotation_of_another_kind_is_named_with_the_kind_to_write(tmp_path):
    files = {
        "gtf": gtf(tmp_path, record("gene", "A", 101, 900)),
        "table": tmp_path / "g.tsv",
        "metadata": tmp_path / "m.csv",
    }
    bodies().to_csv(files["table"], sep="\t", index=False)
    meta = bodies().assign(start=lambda t: t.tss, split=1).drop(columns="tss")
    meta.to_csv(files["metadata"], index=False)
    readers = {
        "gtf": lambda path: read_gtf_genes(path, SIZES),
        "table": lambda path: read_gene_table(path, SIZES),
        "metadata": read_metadata,
    }
    for given, read in readers.items():
        for kind, path in files.items():
            if kind == given:
                read(path)
            else:
                with pytest.raises(InputError, match="found a .*, expected a ") as caught:
                    read(path)
                assert f"`kind: {kind}`" in caught.value.fix


def test_genes_of_a_gtf_are_in_the_order_of_the_genome_for_both_kinds_of_tss(tmp_path):
    lines = [record("gene", "Q", 501, 900), record("gene", "P", 101, 400), transcript("P", 101, 400)]
    path = gtf(tmp_path, *lines, transcript("Q", 501, 900))
    for tss in ("gene", "transcript"):
        assert read_gtf_genes(path, SIZES, tss=tss).gene_id.tolist() == ["P", "Q"]


@pytest.mark.parametrize("tss", ["Genes", "genes", "", None])
def test_an_unknown_kind_of_tss_is_refused(tmp_path, tss):
    path = gtf(tmp_path, record("gene", "P", 101, 400), transcript("P", 151, 400))
    with pytest.raises(InputError, match="tss .* is unknown\n.*transcript or gene"):
        read_gtf_genes(path, SIZES, tss=tss)


def test_errors_in_metadata_name_the_line_also_after_blank_lines(tmp_path):
    path = tmp_path / "meta.csv"
    header = "gene_id,chrom,start,end,strand,split,neighbors,scores\n\n"
    good = "g0,chr1,50000,50001,+,1,chr1:1-9,1\n\n\n"
    for wrong, says in (
        ("g1,chr1,60000,60001,?,1,,\n", "line 6, gene_id g1: strand is '\\?'"),
        ("g1,chr1,60000,60000,+,1,,\n", "line 6, gene_id g1: end 60000(.0)? is not above"),
        ("g1,chr1,60000,60001,+,1,chr1:1-9,x\n", "line 6, gene_id g1: the score 'x'"),
    ):
        path.write_text(header + good + wrong)
        with pytest.raises(InputError, match=says):
            read_metadata(path)
    path.write_text(header + good + "g1,chr1,60,61,+,1,,\n")
    with pytest.raises(InputError, match="line 6, gene_id g1: the window chr1:-19940-20060 begins before"):
        import_regions(path, tmp_path, tmp_path / "s.h5", progress=False)
    assert read_metadata(path)[1].gene_id.tolist() == ["g0"]


# -- gene tables ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["tsv", "csv", "parquet"])
def test_a_gene_table_is_read_from_every_format(tmp_path, ending):
    genes, path = gene_frame(), tmp_path / f"genes.{ending}"
    if ending == "parquet":
        genes.to_parquet(path)
    else:
        genes.to_csv(path, sep={"tsv": "\t", "csv": ","}[ending], index=False)
    assert read_gene_table(path, SIZES).equals(genes)
    assert read_genes("table", path, SIZES).equals(genes)


def test_name_and_body_of_a_gene_table_are_optional(tmp_path):
    (tmp_path / "g.csv").write_text("gene_id,chrom,tss,strand\nENSG00000000003.4,X,200,-\n")
    genes = read_gene_table(tmp_path / "g.csv", SIZES)
    assert genes.values.tolist() == [["ENSG00000000003", "ENSG00000000003", "chrX", 200, "-", 200, 201]]
    (tmp_path / "h.csv").write_text("gene_id,chrom,tss,strand,gene_start\nA,X,200,-,5\n")
    with pytest.raises(InputError, match="go together"):
        read_gene_table(tmp_path / "h.csv", SIZES)


@pytest.mark.parametrize(
    "row, message",
    [
        ("A,chr1,10000,+", "line 2, gene_id A: TSS 10000 and body 10000-10001 do not lie inside chr1"),
        ("A,chr1,-1,+", "line 2, gene_id A: TSS -1 lies before"),
        ("A,chr1,1.5,+", "line 2, gene_id A: tss '1.5' is not a whole number"),
        ("A,chr1,5,.", "line 2, gene_id A: strand '.' is neither"),
        (",chr1,5,+", "a gene without an id"),
        ("A,chr9,5,+", "no chromosome matches"),
    ],
)
def test_gene_table_errors_name_line_and_gene(tmp_path, row, message):
    (tmp_path / "g.csv").write_text(f"gene_id,chrom,tss,strand\n{row}\n")
    with pytest.raises(InputError, match=message):
        read_gene_table(tmp_path / "g.csv", SIZES)


def test_unknown_kinds_and_options_are_refused(tmp_path):
    with pytest.raises(InputError, match="kind 'gff' is unknown"):
        read_genes("gff", tmp_path / "a", SIZES)
    with pytest.raises(InputError, match="kind table has no option gene_type"):
        read_genes("table", tmp_path / "a", SIZES, gene_type="x")


def test_check_genes_orders_columns_fixes_types_and_resets_the_index():
    messy = gene_frame(tss=["100", "200"], expression=["1.5", "0"], label=[1.0, 0.0], extra=7)[::-1]
    checked = check_genes(messy[sorted(messy)], SIZES)
    assert list(checked) == [*ANNOTATION, "expression", "label"] and checked.index.tolist() == [0, 1]
    assert checked.tss.tolist() == [200, 100] and checked.tss.dtype == checked.label.dtype == np.int64
    assert checked.expression.dtype == np.float64


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"gene_id": ["A", "A"]}, "gene A is listed twice"),
        ({"strand": ["+", None]}, "is neither"),
        ({"expression": [1, -2]}, "gene_id B: expression -2.0 is negative"),
        ({"expression": [1, np.nan]}, "gene_id B: expression 'nan' is not a finite number"),
        ({"label": [1, 2]}, "label 2 is neither 0 nor 1"),
        ({"chrom": ["chr1", "chr9"]}, "chromosome chr9 is not in the genome"),
        ({"tss": [10_000, 5]}, "gene_id A: TSS 10000"),
    ],
)
def test_check_genes_refuses_impossible_values(columns, message):
    with pytest.raises(InputError, match=message):
        check_genes(gene_frame(**columns), SIZES)
    with pytest.raises(InputError, match="lacks strand"):
        check_genes(gene_frame().drop(columns="strand"))
    with pytest.raises(InputError, match="no genes"):
        check_genes(gene_frame()[:0])


# -- expression ----------------------------------------------------------------------------------------------


def matrix(tmp_path, text, name="rpkm.pc.gz"):
    (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    return tmp_path / name


def test_the_roadmap_matrix_with_its_trailing_tabs_is_read_by_column(tmp_path):
    path = matrix(
        tmp_path, "gene_id\tE003\tE116\nENSG00000000003\t1.5\t23.265\t\nENSG00000000005\t0.000\t0.872\t\n"
    )
    assert read_expression(path, "E116").to_dict() == {"ENSG00000000003": 23.265, "ENSG00000000005": 0.872}
    assert read_expression(path, "E003", kind="table").tolist() == [1.5, 0]


def test_expression_is_read_from_other_layouts_and_with_versioned_ids(tmp_path):
    (tmp_path / "t.csv").write_text("Gene,x,FPKM\nENSG00000000003.14,7,1e1\n")
    assert read_expression(tmp_path / "t.csv", "FPKM", "Gene").to_dict() == {"ENSG00000000003": 10.0}
    (tmp_path / "r.tsv").write_text("\tE1\nA\t2\n")  # R's write.table(col.names = NA)
    assert read_expression(tmp_path / "r.tsv", "E1", gene_id="").to_dict() == {"A": 2.0}
    pd.DataFrame({"gene_id": ["A"], "E1": [3.0]}).to_parquet(tmp_path / "t.parquet")
    assert read_expression(tmp_path / "t.parquet", "E1").to_dict() == {"A": 3.0}


@pytest.mark.parametrize(
    "text, message",
    [
        ("gene_id\tE003\nA\t1\n", "no column 'E116'; the columns are gene_id, E003"),
        ("gene_id\tE116\nA\t1\nB\tabc\n", "line 3, gene_id B: E116 'abc' is not a finite number"),
        ("gene_id\tE116\nA\tnan\n", "line 2, gene_id A: E116 'nan' is not a finite number"),
        ("gene_id\tE116\nA\t\n", "line 2, gene_id A: E116 '' is not a finite number"),
        ("gene_id\tE116\nA\t-0.5\n", "line 2, gene_id A: RPKM -0.5 is negative"),
        ("gene_id\tE116\nA\t1\nB\t2\nA\t1\n", "line 4, gene_id A: this gene is listed a second time"),
        ("gene_id\tE116\n", "no rows"),
        ("", "this file is empty"),
    ],
)
def test_expression_errors_name_line_gene_and_fix(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_expression(matrix(tmp_path, text), "E116")
    assert "rpkm.pc.gz" in str(caught.value) and caught.value.fix
    with pytest.raises(InputError, match="no such file"):
        read_expression(tmp_path / "none", "E116")


# -- labels --------------------------------------------------------------------------------------------------


def test_label_is_1_at_or_above_the_median_of_the_genes_used():
    genes = pd.concat([gene_frame(), gene_frame(gene_id=["C", "D"])])
    rpkm = pd.Series({"A": 1.0, "B": 2.0, "C": 2.0, "D": 9.0})
    labelled = label_genes(genes, rpkm)
    assert labelled.label.tolist() == [0, 1, 1, 1]  # the median is 2, and ties are at the median
    assert labelled.fold.tolist() == [1, 4, 1, 4]
    assert list(labelled) == [*ANNOTATION, "expression", "label", "fold"]


def test_the_median_can_be_taken_over_training_genes_only():
    genes = pd.concat([gene_frame(), gene_frame(gene_id=["C", "D"])])
    rpkm = pd.Series({"A": 1.0, "B": 20.0, "C": 3.0, "D": 40.0})  # A, C: fold 1; B, D: fold 4
    assert label_genes(genes, rpkm).label.tolist() == [0, 1, 0, 1]  # the median is 11.5
    trained = label_genes(genes, rpkm, train_folds=[1])
    assert trained.label.tolist() == [0, 1, 1, 1]  # the median of fold 1 is 2
    changed = rpkm.copy()
    changed[["B", "D"]] = 1000.0  # the expression of held-out genes does not change the threshold
    assert label_genes(genes, changed, train_folds=iter([1])).label.tolist() == trained.label.tolist()
    with pytest.raises(InputError, match=r"no gene is in the folds .*\(2\)"):
        label_genes(genes, rpkm, train_folds=[2])


def test_genes_without_annotation_or_rpkm_are_left_out_with_one_warning_that_counts_them():
    with pytest.warns(
        UserWarning, match="1 gene is used; 1 of the annotation have no RPKM and 2 with"
    ) as caught:
        labelled = label_genes(gene_frame(), pd.Series({"A": 1.0, "Y": 0.0, "Z": 5.0}))
    assert labelled.gene_id.tolist() == ["A"] and len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        label_genes(gene_frame(), pd.Series({"A": 1.0, "B": 5.0}))


def test_genes_in_no_fold_are_left_out_and_do_not_move_the_median():
    genes = gene_frame(chrom=["chr1", "chrM"])
    with pytest.warns(UserWarning, match=r"1 genes lie on chromosomes that are in no fold \(chrM\)"):
        labelled = label_genes(genes, pd.Series({"A": 1.0, "B": 100.0}))
    assert labelled.gene_id.tolist() == ["A"] and labelled.label.tolist() == [1]
    with pytest.raises(InputError, match="no gene lies on a chromosome of any fold; genes lie on toy1"):
        label_genes(gene_frame(chrom="toy1"), pd.Series({"A": 1.0, "B": 100.0}))
    folds = {1: ["toy1"]}
    assert label_genes(
        gene_frame(chrom="toy1"), pd.Series({"A": 1.0, "B": 9.0}), folds=folds
    ).fold.tolist() == [1, 1]


def test_no_chromosome_is_in_two_folds():
    folds = {chrom: chromosome_fold(chrom) for chrom in [*map(str, range(1, 23)), "X", "Y"]}
    assert sorted(set(folds.values())) == [1, 2, 3, 4] and folds["X"] == 4 and folds["21"] == 2


def test_label_genes_refuses_ids_that_do_not_match_or_repeat():
    with pytest.raises(InputError, match=r"no gene is in both annotation \(A, B\) and expression \(q\)"):
        label_genes(gene_frame(), pd.Series({"q": 1.0}))
    symbols = pd.Series({"a": 1.0, "b": 2.0, "z": 3.0})
    with pytest.raises(InputError, match=r"annotation \(ENSG1, ENSG2\) and expression \(a, b, z\)") as caught:
        label_genes(gene_frame(gene_id=["ENSG1", "ENSG2"]), symbols)
    assert "annotation has Ensembl gene ids, the expression names" in caught.value.fix
    assert "(2 of them names of its genes)" in caught.value.fix
    with pytest.warns(
        UserWarning, match="only in the annotation: B; only in the expression: p, q, r and 1 more"
    ):
        label_genes(gene_frame(), pd.Series({"A": 1.0, "p": 1.0, "q": 1.0, "r": 1.0, "s": 1.0}))
    with pytest.raises(InputError, match="listed twice in the expression: A"):
        label_genes(gene_frame(), pd.Series([1.0, 2.0], index=["A", "A"]))
    with pytest.raises(InputError, match="gene_id B: expression -1.0 is negative"):
        label_genes(gene_frame(), pd.Series({"A": 1.0, "B": -1.0}))
    with pytest.raises(InputError, match="gene A is listed twice"):
        label_genes(gene_frame(gene_id=["A", "A"]), pd.Series({"A": 1.0}))


def test_the_regression_target_is_log2_of_rpkm_plus_1(tmp_path):
    genes, pcres = toy_tables(per_chrom=3)
    genes = genes.assign(expression=np.resize([0.0, 1.0, 7.0], len(genes)))
    store = Store(write_toy_store(tmp_path / "toy.h5", genes=genes, pcres=pcres))
    assert GeneDataset(store, task="regression").batch([0, 1, 2]).target.tolist() == [0, 1, 3]


# -- real data -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def e116():
    sizes = read_chrom_sizes(Path(DATA) / "hg19.chrom.sizes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        genes = read_genes("gtf", Path(DATA) / "gencode.v10.genes.hg19.gtf.gz", sizes)
        return label_genes(genes, read_expression(Path(DATA) / "57epigenomes.RPKM.pc.gz", "E116")), genes


@needs_data
def test_all_genes_of_the_roadmap_matrix_are_in_gencode_v10(e116):
    labelled, genes = e116
    assert len(genes) == 20_007 - 13  # 13 protein-coding genes are mitochondrial
    assert len(labelled) == 19_795
    assert labelled.fold.value_counts().to_dict() == {1: 5301, 2: 4821, 3: 4707, 4: 4966}


@needs_data
def test_the_autosomal_median_splits_18915_genes_in_halves(e116):
    labelled, _ = e116
    autosomal = labelled[~labelled.chrom.isin(["chrX", "chrY"])]
    assert len(autosomal) == 18_915 and autosomal.expression.median() == 1.86
    assert (autosomal.expression > 1.86).sum() == 9457 and (autosomal.expression >= 1.86).sum() == 9460


@needs_data
def test_77_of_100_gene_ends_are_within_1_kb_of_the_published_tss(e116):
    published = pd.read_csv(Path(DATA) / "e003_demo/demo_meta.csv").merge(
        e116[1], on="gene_id", suffixes=("", "_gtf")
    )
    assert len(published) == 100 and (published.strand == published.strand_gtf).all()
    assert ((published.start - published.tss).abs() <= 1000).sum() == 77


@needs_data
def test_98_of_100_published_labels_are_those_of_the_whole_matrix():
    rpkm = read_expression(Path(DATA) / "57epigenomes.RPKM.pc.gz", "E003")
    published = pd.read_csv(Path(DATA) / "e003_demo/demo_meta.csv")
    assert (rpkm[published.gene_id].to_numpy() == published.expression).all()
    assert ((published.expression >= rpkm.median()) != published.label).sum() == 2
