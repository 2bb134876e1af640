"""Input that is right but unusual, and must not be refused.

Each function changes a valid data set and returns what the store must hold, by the name of its dataset:
values that follow from the change by hand.
"""

import numpy as np
import pandas as pd
from mistakes import Change, Mistake, depth_table, sizes_of, write_depth
from random_data import MARKS, write_bigwig

UNUSUAL: dict[str, Mistake] = {}


def unusual(**needs: str):
    "Add a function to the unusual data."

    def add(change: Change) -> Change:
        UNUSUAL[change.__name__] = Mistake(change, "", needs)
        return change

    return add


def _genes(data) -> pd.DataFrame:
    "Return the table of genes with numbers."
    return pd.read_csv(data.path("annotation"), sep="\t")


def _sorted_ids(genes: pd.DataFrame) -> np.ndarray:
    "Return the gene ids in the order of a store."
    place = {chrom: number for number, chrom in enumerate(("chr1", "chr7", "chr2", "chr9"))}
    order = np.lexsort((genes.gene_id, genes.tss, genes.chrom.map(place)))
    return genes.gene_id.to_numpy()[order].astype("S")


@unusual()
def one_channel(data, random):
    "There is one mark."
    if data.manifest["contacts"]["kind"] == "activity":
        data.manifest["contacts"]["marks"] = [MARKS[0]]
    del data.manifest["channels"][1:]


@unusual()
def one_bin_size_as_wide_as_half_the_window(data, random):
    "There is one resolution, of two bins."
    data.manifest["bin_sizes"] = [2000]


@unusual()
def no_expression(data, random):
    "The store is for predictions only."
    del data.manifest["expression"]
    genes = 20
    return {"genes/label": np.full(genes, -1)}


@unusual(annotation="table", contacts="none")
def one_gene_on_each_chromosome(data, random):
    "There are four genes."
    genes = _genes(data).groupby("chrom", sort=False).head(1)
    data.write_table("annotation", genes)
    return {"genes/gene_id": _sorted_ids(genes)}


@unusual(annotation="table", contacts="none")
def a_gene_at_each_end_of_a_chromosome(data, random):
    "TSSs lie on the first and the last base of a chromosome, so that windows leave it."
    genes = _genes(data)
    last = sizes_of(data)["chr1"] - 1
    ends = pd.DataFrame(
        {
            "gene_id": ["FIRST", "LAST"],
            "gene_name": ["first", "last"],
            "chrom": "chr1",
            "tss": [0, last],
            "strand": ["+", "-"],
            "gene_start": [0, last - 900],
            "gene_end": [900, last + 1],
        }
    )
    data.write_table("annotation", pd.concat([genes, ends]))
    data.write_lines("expression", [*data.lines("expression"), *_rows(data, ["FIRST", "LAST"], 3.5)])
    return {"genes/gene_id": _sorted_ids(pd.concat([genes, ends]))}


def _rows(data, ids: list[str], value: float) -> list[str]:
    "Return rows of the table of expression."
    width = len(data.lines("expression")[0].split("\t"))
    return ["\t".join([name, *[str(value)] * (width - 1)]) for name in ids]


@unusual(annotation="table")
def two_genes_with_one_tss(data, random):
    "A gene has a twin on the other strand with the same TSS."
    genes = _genes(data)
    twin = genes.iloc[[0]].assign(gene_id="TWIN", strand={"+": "-", "-": "+"}[genes.strand[0]])
    side = twin.tss[0]
    minus = twin.strand[0] == "-"
    twin = twin.assign(gene_start=side - 900 if minus else side, gene_end=side + 1 if minus else side + 900)
    data.write_table("annotation", pd.concat([genes, twin]))
    data.write_lines("expression", [*data.lines("expression"), *_rows(data, ["TWIN"], 3.5)])
    return {"genes/gene_id": _sorted_ids(pd.concat([genes, twin]))}


@unusual(annotation="table")
def genes_of_one_strand(data, random):
    "All genes are on the plus strand."
    genes = _genes(data).assign(strand="+")
    genes["tss"] = genes.gene_start
    data.write_table("annotation", genes)
    return {"genes/tss": genes_tss(genes)}


def genes_tss(genes: pd.DataFrame) -> np.ndarray:
    "Return the TSSs in the order of a store."
    by_id = genes.set_index("gene_id").tss
    return by_id[_sorted_ids(genes).astype(str)].to_numpy()


@unusual(annotation="table")
def tsss_within_their_genes(data, random):
    "A third of the TSSs are of an internal promoter, as those of the published data."
    genes = _genes(data)
    inside = np.arange(len(genes)) % 3 == 0
    genes["tss"] = np.where(inside, (genes.gene_start + genes.gene_end) // 2, genes.tss)
    data.write_table("annotation", genes)
    return {"genes/tss": genes_tss(genes)}


@unusual(annotation="table")
def genes_without_names_and_bodies(data, random):
    "The table has the four columns that are needed."
    genes = _genes(data)
    data.write_table("annotation", genes[["gene_id", "chrom", "tss", "strand"]])
    return {"genes/tss": genes_tss(genes), "genes/gene_start": genes_tss(genes)}


@unusual(annotation="table")
def whole_genes_of_a_table(data, random):
    "Whole genes are kept, of a table with bodies."
    data.manifest["whole_genes"] = {}


@unusual(annotation="gtf")
def whole_genes_of_a_gtf_without_exons(data, random):
    "Whole genes are kept, of a GTF with genes and transcripts only."
    data.edit("annotation", lambda f: f if f[2:3] != ["exon"] else None)
    data.manifest["whole_genes"] = {"downstream": 0}


@unusual(annotation="gtf")
def a_gtf_without_transcripts(data, random):
    "The GTF has gene records only; the TSS is the 5' end of the gene."
    data.edit("annotation", lambda f: f if len(f) < 9 or f[2] == "gene" else None)


@unusual(annotation="gtf")
def genes_of_all_types(data, random):
    "gene_type is null, and the GTF has a gene of another type."
    line = ["chr1", "x", "gene", "100", "900", ".", "+", ".", 'gene_id "L1"; gene_type "lncRNA";']
    data.write_lines("annotation", [*data.lines("annotation"), "\t".join(line)])
    data.write_lines("expression", [*data.lines("expression"), *_rows(data, ["L1"], 3.5)])
    data.manifest["annotation"]["gene_type"] = None


@unusual(annotation="gtf")
def attributes_without_quotes(data, random):
    "Values of the attributes are not quoted."
    data.edit("annotation", lambda f: [*f[:-1], f[-1].replace('"', "")])


@unusual(annotation="gtf")
def a_gtf_for_the_browser(data, random):
    "The GTF begins with a track line and an empty line."
    data.write_lines("annotation", ["# x", "", *data.lines("annotation"), ""])


@unusual()
def folds_of_two(data, random):
    "There are two folds with numbers of their own."
    data.manifest["folds"] = {10: ["chr1", "chr2"], 20: ["chr7", "chr9"]}


@unusual(contacts="none")
def a_chromosome_without_genes(data, random):
    "The genome has chromosomes on which no gene lies, in no fold and in no track."
    lines = data.lines("chrom_sizes")
    data.write_lines("chrom_sizes", [*lines, "chr22\t50000", "chrUn_x1\t900", "chrM\t16569"])


@unusual(tracks="bedgraph")
def a_track_with_scaffolds(data, random):
    "A track has data on scaffolds that the genome lacks."
    data.write_lines(MARKS[0], [*data.lines(MARKS[0]), "chrUn_gl000220\t0\t900\t3"])


@unusual(tracks="bigwig")
def a_bigwig_with_scaffolds(data, random):
    "A bigWig lists scaffolds that the genome lacks."
    sizes = sizes_of(data) | {"chrUn_gl000220": 5000}
    table = pd.DataFrame({"chrom": list(sizes), "start": 0, "end": list(sizes.values()), "value": 2.0})
    write_bigwig(data.path(MARKS[0]), sizes, table)


@unusual(tracks="bedgraph")
def a_sparse_bedgraph(data, random):
    "The bedGraph has no line for bases without depth, and one value per base at some places."
    table = depth_table(data).query("value > 4")
    short = table.assign(end=table.start + 1)
    write_depth(data, pd.concat([short, table.assign(start=table.start + 1)]).sort_values(["chrom", "start"]))


@unusual(tracks="bedgraph")
def depth_below_1(data, random):
    "Depth is normalised, far below 1."
    table = depth_table(data)
    write_depth(data, table.assign(value=table.value * 1e-4))


@unusual(tracks="bed")
def reads_of_many_lengths(data, random):
    "Reads were trimmed to many lengths, or are fragments of paired reads."
    data.edit(MARKS[0], lambda f: [f[0], f[1], int(f[1]) + int(random.integers(18, 36)), *f[3:]])


@unusual(tracks="bed")
def reads_in_four_columns(data, random):
    "The BED file of reads has a name that is not a number."
    data.edit(MARKS[0], lambda f: f[:4])


@unusual(tracks="bed")
def reads_that_start_at_the_same_base(data, random):
    "Reads were not deduplicated."
    lines = data.lines(MARKS[0])
    data.write_lines(MARKS[0], lines + lines[:200])


@unusual(tracks="bam")
def replicates_of_two_formats(data, random):
    "A channel has two bigWigs with different depth."
    sizes = sizes_of(data)
    for name, value in (("one", 2.0), ("two", 3.5)):
        table = pd.DataFrame({"chrom": list(sizes), "start": 0, "end": list(sizes.values()), "value": value})
        write_bigwig(data.folder / f"{name}.bw", sizes, table)
    data.channel().update(kind="bigwig", path=["one.bw", "two.bw"])


@unusual(contacts="pairs")
def scores_below_0(data, random):
    "Contact scores are logarithms, and all contacts are wanted."
    data.edit("contacts", lambda f: f if f[2] == "score" else [f[0], f[1], float(f[2]) - 20])
    data.manifest["contacts"]["min_score"] = -100


@unusual(contacts="pairs")
def equal_scores(data, random):
    "All contacts have one score."
    data.edit("contacts", lambda f: f if f[2] == "score" else [f[0], f[1], 5])


@unusual(contacts="bedpe")
def loops_of_one_gene(data, random):
    "There is one loop on each chromosome."
    kept: dict[str, str] = {}
    for line in data.lines("contacts"):
        kept.setdefault(line.split("\t")[0], line)
    data.write_lines("contacts", list(kept.values()))


@unusual(contacts="pairs")
def one_pcre_of_each_gene(data, random):
    "top is 1."
    data.manifest["contacts"]["top"] = 1


@unusual(contacts="cool")
def raw_counts_of_a_map(data, random):
    "The map is used without balancing."
    data.manifest["contacts"]["balance"] = False


@unusual(contacts="activity")
def one_kind_of_marks(data, random):
    "Predicted contacts use the marks that the manifest names."
    data.manifest["contacts"]["marks"] = [MARKS[2]]


@unusual(expression="table")
def expression_of_further_genes(data, random):
    "The expression has genes that the annotation lacks."
    data.write_lines("expression", [*data.lines("expression"), "ENSG00000999999\t3.5", "__no_feature\t0"])


@unusual(expression="table")
def expression_in_scientific_notation(data, random):
    "Numbers are written 1.5e+01."
    data.edit("expression", lambda f: f if f[0] == "gene_id" else [f[0], f"{float(f[1]):.6e}"])


@unusual(expression="table")
def expression_rounded_to_whole_numbers(data, random):
    "TPM were rounded."
    data.edit("expression", lambda f: f if f[0] == "gene_id" else [f[0], round(float(f[1]))])


@unusual(expression="table")
def expression_with_a_third_of_zeros(data, random):
    "A third of the genes is not expressed."
    lines = data.lines("expression")
    rows = [line.split("\t")[0] + "\t0" if n % 3 == 0 else line for n, line in enumerate(lines[1:])]
    data.write_lines("expression", [lines[0], *rows])


@unusual(annotation="table", expression="table")
def ids_of_another_catalogue(data, random):
    "Gene ids are numbers, as those of NCBI."
    for name in ("annotation", "expression"):
        table = data.table(name)
        data.write_table(name, table.assign(gene_id=table.gene_id.str[4:].astype(int)))


@unusual(annotation="table", expression="table")
def names_in_another_script(data, random):
    "Gene names and the name of the data have letters of other scripts."
    table = data.table("annotation")
    data.write_table("annotation", table.assign(gene_name="遺伝子" + table.gene_name))
    data.manifest["name"] = "Größe ß"


@unusual()
def a_manifest_with_notes(data, random):
    "The manifest says where files are from."
    data.manifest["licence"] = "CC0"
    data.channel()["note"] = "from a friend"
    data.channel()["url"] = "https://example.org/x"
    data.manifest["extra"] = {"later": {"path": "later.txt"}}


@unusual(contacts="none")
def contacts_none_in_one_word(data, random):
    "contacts: none."
    data.manifest["contacts"] = "none"


@unusual()
def chromosomes_left_out(data, random):
    "A chromosome is left out, without chr."
    data.manifest["leave_out"] = ["9"]


@unusual()
def a_window_wider_than_the_chromosomes(data, random):
    "The window is wider than the chromosomes."
    data.manifest["window"] = 200_000
    data.manifest["bin_sizes"] = [2000, 500]
