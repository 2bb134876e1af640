"""Mistakes that users make with their files, and changes of files that change nothing.

Each mistake is a function that changes a valid data set; its docstring says what the user did. A build of
the changed data must raise an error, warn, or make the same store. `about` is a pattern of which the error
or the new warning must contain a match, so that a message about something else does not count.
"""

import gzip
import re
import shutil
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import cooler
import h5py
import numpy as np
import pandas as pd
import pyBigWig
import pysam
import yaml
from random_data import FRAGMENT, MARKS, DataSet, gzip_file, write_bigwig, write_sizes

Change = Callable[[DataSet, np.random.Generator], None]


class Mistake(NamedTuple):
    """A change of a data set.

    Its message must match `about`; the data set has the formats `needs`, and was changed by `before` when it
    was still right. A change that is right may change the parts of the store in `besides`.
    """

    change: Change
    about: str
    needs: dict[str, str]
    before: Change | None = None
    besides: tuple[str, ...] = ()


MISTAKES: dict[str, Mistake] = {}
SAME: dict[str, Mistake] = {}


def mistake(about: str, before: Change | None = None, **needs: str) -> Callable[[Change], Change]:
    "Add a function to the mistakes."

    def add(change: Change) -> Change:
        MISTAKES[change.__name__] = Mistake(change, about, needs, before)
        return change

    return add


def same(
    before: Change | None = None, besides: tuple[str, ...] = (), **needs: str
) -> Callable[[Change], Change]:
    "Add a function to the changes that must build the same store."

    def add(change: Change) -> Change:
        SAME[change.__name__] = Mistake(change, "", needs, before, besides)
        return change

    return add


def depth_table(data: DataSet, mark: str = MARKS[0]) -> pd.DataFrame:
    "Return the intervals of a bedGraph."
    return pd.read_csv(data.path(mark), sep="\t", names=["chrom", "start", "end", "value"])


def write_depth(data: DataSet, table: pd.DataFrame, mark: str = MARKS[0]) -> None:
    "Write the intervals of a bedGraph."
    table.to_csv(data.path(mark), sep="\t", header=False, index=False)


def sizes_of(data: DataSet) -> dict[str, int]:
    "Return the chromosome sizes of a data set."
    return {line.split()[0]: int(line.split()[1]) for line in data.lines("chrom_sizes")}


def write_xlsx(file, rows) -> None:
    "Write a minimal Excel workbook."
    cells = "".join(
        "<row>" + "".join(f'<c t="inlineStr"><is><t>{value}</t></is></c>' for value in row) + "</row>"
        for row in rows
    )
    with zipfile.ZipFile(file, "w") as book:
        book.writestr("[Content_Types].xml", "<Types/>")
        book.writestr("xl/worksheets/sheet1.xml", f"<worksheet><sheetData>{cells}</sheetData></worksheet>")


# ---- tracks ----


@mistake("chr9", tracks="bedgraph")
def bedgraph_lacks_a_chromosome(data, random):
    "The bedGraph was cut short, or made without one chromosome."
    write_depth(data, depth_table(data).query("chrom != 'chr9'"))


@mistake("chr9", tracks="bigwig")
def bigwig_lacks_a_chromosome(data, random):
    "The bigWig was made without one chromosome."
    sizes = sizes_of(data)
    table = pd.DataFrame({"chrom": list(sizes), "start": 0, "end": list(sizes.values()), "value": 2.0})
    del sizes["chr9"]
    write_bigwig(data.path(MARKS[0]), sizes, table.query("chrom != 'chr9'"))


@mistake("chr9", tracks="bigwig")
def bigwig_has_no_data_for_a_chromosome(data, random):
    "The bigWig lists all chromosomes of the genome, but was made of reads of some of them."
    sizes = sizes_of(data)
    table = pd.DataFrame({"chrom": list(sizes), "start": 0, "end": list(sizes.values()), "value": 2.0})
    write_bigwig(data.path(MARKS[0]), sizes, table.query("chrom != 'chr9'"))


@mistake("chr9", tracks="bed")
def reads_lack_a_chromosome(data, random):
    "The BED file of reads was cut short at a line."
    data.edit(MARKS[0], lambda fields: fields if fields[0] != "chr9" else None)


@mistake("chr9", tracks="tagalign")
def gzipped_reads_lack_a_chromosome(data, random):
    "The tagAlign was filtered by chromosome."
    data.edit(MARKS[0], lambda fields: fields if fields[0] != "chr9" else None)
    gzip_file(data.path(MARKS[0]))


@mistake("chr9", tracks="bam")
def bam_lacks_a_chromosome(data, random):
    "The BAM was made of an alignment to some chromosomes, but its header lists all."
    source = data.path(MARKS[0])
    part = data.folder / "part.bam"
    with (
        pysam.AlignmentFile(str(source)) as old,
        pysam.AlignmentFile(str(part), "wb", header=old.header) as new,
    ):
        for read in old:
            if read.reference_name != "chr9":
                new.write(read)
    part.replace(source)


@mistake("two names.*9", tracks="bed")
def reads_of_a_spike_in(data, random):
    "Reads were aligned to two genomes at once; the second one names its chromosomes without chr."
    lines = data.lines(MARKS[0])
    other = [line.removeprefix("chr") for line in lines if line.startswith("chr9\t")]
    data.write_lines(MARKS[0], [*lines, *other[::2]])


@mistake("two names for one chromosome", tracks="tagalign")
def gzipped_reads_of_two_replicates_joined(data, random):
    "Two files were joined by cat, and the first one names chromosomes without chr."
    lines = data.lines(MARKS[0])
    data.write_lines(MARKS[0], [*(line.removeprefix("chr") for line in lines[::2]), *lines])
    gzip_file(data.path(MARKS[0]))


@mistake("two names.*9", tracks="bedgraph")
def a_bedgraph_with_two_names_of_a_chromosome(data, random):
    "A chromosome was added to the bedGraph from a file that names it otherwise."
    table = depth_table(data)
    here = table.chrom == "chr9"
    write_depth(data, pd.concat([table[~here], table[here][::2], table[here][1::2].assign(chrom="9")]))


@mistake("two names for one chromosome", tracks="bedgraph")
def peaks_with_two_names_of_a_chromosome(data, random):
    "Peaks of two callers were joined, and one of them names chromosomes without chr."
    _peaks_instead_of_reads(data, random)
    lines = data.lines(MARKS[0])
    data.write_lines(MARKS[0], [*lines, *(line.removeprefix("chr") for line in lines[::2])])
    data.rename(MARKS[0], "H3K4me3.narrowPeak")
    data.channel()["kind"] = "peaks"


@mistake("two names.*9", tracks="bam")
def a_bam_of_two_genomes(data, random):
    "Reads were aligned to two genomes at once, whose chromosomes have equal lengths in this test."
    source = data.path(MARKS[0])
    part = data.folder / "part.bam"
    with pysam.AlignmentFile(str(source)) as old:
        header = old.header.to_dict()
        header["SQ"] = [*header["SQ"], {"SN": "9", "LN": sizes_of(data)["chr9"]}]
        with pysam.AlignmentFile(str(part), "wb", header=header) as new:
            for read in old:
                if read.reference_name == "chr9" and read.reference_start % 2:
                    read = pysam.AlignedSegment.fromstring(
                        read.to_string().replace("\tchr9\t", "\t9\t", 1), new.header
                    )
                new.write(read)
    part.replace(source)


@mistake("chr9|23", tracks="bedgraph")
def a_chromosome_has_another_name_in_a_track(data, random):
    "PLINK's number 23 for a chromosome that the genome calls otherwise."
    data.edit(MARKS[0], lambda fields: ["23", *fields[1:]] if fields[0] == "chr9" else fields)


@mistake("narrowPeak|peaks", tracks="bed")
def narrowpeaks_given_as_reads(data, random):
    "A file of peaks, with its own ending, is named as reads."
    _peaks_instead_of_reads(data, random)
    data.rename(MARKS[0], "H3K4me3.narrowPeak")


@mistake("peaks", tracks="bed")
def peaks_in_a_bed_given_as_reads(data, random):
    "A narrowPeak file whose name ends in .bed is named as reads."
    _peaks_instead_of_reads(data, random)


def _peaks_instead_of_reads(data, random) -> None:
    "Write peaks of all chromosomes in narrowPeak format over a file of reads."
    lines = []
    for chrom, size in sizes_of(data).items():
        for number, start in enumerate(sorted(random.choice(size // 4000, 12, replace=False) * 4000)):
            end = min(start + int(random.integers(150, 3000)), size)
            signal = round(float(random.uniform(2, 40)), 5)
            fields = (chrom, start, end, f"peak_{number}", 500, ".", signal, 7.25, 5.5, 75)
            lines.append("\t".join(map(str, fields)))
    data.write_lines(MARKS[0], lines)


@mistake("bedgraph|bedGraph", tracks="bedgraph")
def a_bedgraph_given_as_reads(data, random):
    "The manifest says kind: bed for a bedGraph, so that its intervals would count as reads."
    data.channel()["kind"] = "bed"


@mistake("bedgraph|bedGraph|columns", tracks="bedgraph")
def a_bedgraph_named_bed_given_as_reads(data, random):
    "As before, and the name of the file ends in .bed, as bedtools genomecov > x.bed makes."
    data.rename(MARKS[0], "depth.bed")
    data.channel()["kind"] = "bed"


@mistake("columns|bedGraph|bedgraph", tracks="bed")
def reads_with_numeric_names_given_as_bedgraph(data, random):
    "Reads named by numbers in column 4 are named as bedGraph, so that the name would be the depth."
    table = depth_reads(data, random)
    table.to_csv(data.path(MARKS[0]), sep="\t", header=False, index=False)
    data.channel()["kind"] = "bedgraph"


def depth_reads(data, random) -> pd.DataFrame:
    "Return reads that do not overlap, in six columns with a numeric name."
    rows = []
    for chrom, size in sizes_of(data).items():
        start = np.arange(0, size - 100, 90)
        rows.append(pd.DataFrame({"chrom": chrom, "start": start, "end": start + 36}))
    table = pd.concat(rows, ignore_index=True)
    return table.assign(name=np.arange(len(table)), score=30, strand="+")


@mistake("pair|BEDPE|bedpe|columns", tracks="bed")
def paired_reads_given_as_bed(data, random):
    "A BEDPE file of pairs of reads, of which only the first mate would count."
    table = pd.read_csv(data.path(MARKS[0]), sep="\t", names=["chrom", "start", "end", "n", "s", "strand"])
    mate = table.assign(start=(table.start + 100), end=table.end + 100)
    sizes = table.chrom.map(sizes_of(data))
    both = pd.concat([table.iloc[:, :3], mate.iloc[:, :3], table.iloc[:, 3:]], axis=1)[mate.end <= sizes]
    both.to_csv(data.path(MARKS[0]), sep="\t", header=False, index=False)


@mistake(r"1-based|count from 0|start", tracks="bedgraph")
def a_bedgraph_counts_from_1(data, random):
    "The adjacent intervals of the bedGraph are 1-based and closed, so that each would lose its first base."
    table = depth_table(data)
    write_depth(data, table.assign(start=table.start + 1))


@mistake("column|number|line", tracks="bedgraph")
def a_bedgraph_with_a_strand_before_the_depth(data, random):
    "Columns are chrom, start, end, strand, depth."
    table = depth_table(data)
    table.insert(3, "strand", "+")
    write_depth(data, table)


@mistake("column|number|line", tracks="bedgraph")
def a_bedgraph_with_a_name_before_the_depth(data, random):
    "Columns are chrom, start, end, number of the interval, depth, as a table of bins is written by pandas."
    table = depth_table(data)
    table.insert(3, "bin", np.arange(len(table)))
    write_depth(data, table)


@mistake("decimal|number", tracks="bedgraph")
def a_bedgraph_with_decimal_commas(data, random):
    "The depth has decimal commas."
    data.edit(MARKS[0], lambda fields: [*fields[:3], fields[3].replace(".", ",")])


@mistake("line|column|number|separat", tracks="bedgraph")
def a_bedgraph_separated_by_commas(data, random):
    "The bedGraph was saved as CSV."
    data.write_lines(MARKS[0], [line.replace("\t", ",") for line in data.lines(MARKS[0])])


@mistake("line|column|number|separat", tracks="bedgraph")
def a_bedgraph_separated_by_semicolons(data, random):
    "The bedGraph was saved as CSV with semicolons."
    data.write_lines(MARKS[0], [line.replace("\t", ";") for line in data.lines(MARKS[0])])


@mistake("overlap", tracks="bedgraph")
def a_bedgraph_with_intervals_that_overlap(data, random):
    "The bedGraph has windows that slide by half their width."
    table = depth_table(data)
    write_depth(data, table.assign(end=np.minimum(table.end + 125, table.chrom.map(sizes_of(data)))))


@mistake("depth|negative", tracks="bedgraph")
def a_bedgraph_of_log_ratios(data, random):
    "The track holds log2 ratios over the input."
    table = depth_table(data)
    write_depth(data, table.assign(value=np.log2(table.value / table.value.median())))


@mistake("depth|negative", tracks="bigwig")
def a_bigwig_of_log_ratios(data, random):
    "The track holds log2 ratios over the input."
    with pyBigWig.open(str(data.path(MARKS[0]))) as track:
        rows = [(chrom, *row) for chrom in track.chroms() for row in track.intervals(chrom)]
    table = pd.DataFrame(rows, columns=["chrom", "start", "end", "value"])
    table["value"] = np.log2(table.value / table.value.median())
    write_bigwig(data.path(MARKS[0]), sizes_of(data), table)


@mistake("past the end|clip|chromosome", tracks="bedgraph")
def a_bedgraph_whose_last_bins_run_past_the_end(data, random):
    "bamCoverage-like bins of one width: the last bin of each chromosome is not cut."
    table = depth_table(data)
    write_depth(data, table.assign(end=table.start + 250))


@mistake("bp|past the end|assembly", tracks="bigwig")
def a_bigwig_of_another_assembly(data, random):
    "The chromosomes of the bigWig have other lengths."
    sizes = {chrom: size + 137 for chrom, size in sizes_of(data).items()}
    table = pd.DataFrame({"chrom": list(sizes), "start": 0, "end": list(sizes.values()), "value": 2.0})
    write_bigwig(data.path(MARKS[0]), sizes, table)


@mistake("H3K4me3.*H3K27ac|H3K27ac.*H3K4me3|same file|twice", tracks="bigwig")
def one_file_for_two_channels(data, random):
    "A line of the manifest was copied, and only the name was changed."
    data.channel(1)["path"] = data.channel(0)["path"]


@mistake("H3K4me3.*H3K27ac|H3K27ac.*H3K4me3|same", tracks="bedgraph")
def two_channels_with_equal_files(data, random):
    "The file of one mark was copied over that of another."
    shutil.copy(data.path(MARKS[0]), data.path(MARKS[1]))


@mistake("H3K4me3.*H3K27ac|H3K27ac.*H3K4me3")
def two_channels_exchanged(data, random):
    "The paths of two marks were exchanged; the names of the files show it."
    first, second = data.channel(0), data.channel(1)
    first["path"], second["path"] = second["path"], first["path"]


@mistake("same data|H3K4me3.*twice|same file|more than once|repeat", tracks="bam")
def a_replicate_listed_twice(data, random):
    "One file is named twice as replicates, so that its depth would count twice."
    data.channel()["path"] = [data.channel()["path"]] * 2


@mistake("H3K4me3.*(twice|same)|same|equal", tracks="bed")
def a_replicate_copied(data, random):
    "Two replicates have the same content."
    shutil.copy(data.path(MARKS[0]), data.folder / "rep2.bed")
    data.channel()["path"] = [data.channel()["path"], "rep2.bed"]


@mistake("H3K4me3|no (signal|depth)|zero", tracks="bedgraph")
def a_track_without_signal_near_any_gene(data, random):
    "The track holds data for a few bases only, for example of a test run."
    rows = [(chrom, 0, 40, 3.0) for chrom in sizes_of(data)]
    write_depth(data, pd.DataFrame(rows, columns=["chrom", "start", "end", "value"]))


@mistake("H3K27ac", tracks="bigwig")
def a_track_that_is_zero_everywhere(data, random):
    "The bigWig was made of an empty input; all its values are 0."
    sizes = sizes_of(data)
    table = pd.DataFrame({"chrom": list(sizes), "start": 0, "end": list(sizes.values()), "value": 0.0})
    write_bigwig(data.path("H3K27ac"), sizes, table)


@mistake("bigWig|bigwig", tracks="bedgraph")
def text_given_as_bigwig(data, random):
    "The manifest says kind: bigwig for a bedGraph."
    data.channel()["kind"] = "bigwig"


@mistake("annotation|line|number|record|text|columns", tracks="bedgraph", annotation="gtf")
def a_gtf_given_as_a_track(data, random):
    "The path of a channel is that of the annotation."
    shutil.copy(data.path("annotation"), data.path(MARKS[0]))


@mistake("BAM", tracks="bam")
def a_bam_cut_short(data, random):
    "The download of the BAM stopped."
    content = data.path(MARKS[0]).read_bytes()
    data.path(MARKS[0]).write_bytes(content[: len(content) // 2])


@mistake("cut short|damaged", tracks="tagalign")
def gzipped_reads_cut_short(data, random):
    "The download of the reads stopped."
    gzip_file(data.path(MARKS[0]))
    content = data.path(MARKS[0]).read_bytes()
    data.path(MARKS[0]).write_bytes(content[: len(content) // 2])


@mistake("text|line|columns|xlsx|Excel|number", tracks="bedgraph")
def a_workbook_given_as_a_track(data, random):
    "The bedGraph was saved as an Excel workbook."
    write_xlsx(data.path(MARKS[0]), [("chr1", 0, 10, 1)])


@mistake("no such file", tracks="bed")
def a_path_with_another_case(data, random):
    "The name of the file is in lower case, the path is not."
    data.channel()["path"] = data.channel()["path"].upper()


@mistake("assembly|match", tracks="bedgraph")
def a_track_with_refseq_names(data, random):
    "Chromosomes are named by their accession in RefSeq."
    data.edit(MARKS[0], lambda fields: [f"NC_00000{fields[0][3:]}.11", *fields[1:]])


@mistake("1|chr1|both|twice", tracks="bigwig")
def a_bigwig_names_a_chromosome_in_two_ways(data, random):
    "The bigWig holds chr1 and 1, of which only one would be read."
    sizes = sizes_of(data)
    table = pd.DataFrame({"chrom": list(sizes), "start": 0, "end": list(sizes.values()), "value": 2.0})
    table = pd.concat([table, table.query("chrom == 'chr1'").assign(chrom="1", value=9.0)])
    write_bigwig(data.path(MARKS[0]), sizes | {"1": sizes["chr1"]}, table)


def _mouse(data, random) -> None:
    "Call the genome mm10."
    data.manifest["genome"] = "mm10"


@mistake("mm9", before=_mouse, tracks="bedgraph")
def the_name_of_a_track_shows_another_assembly(data, random):
    "The file name says mm9, the manifest mm10; a bedGraph has no lengths to compare."
    data.rename(MARKS[0], "H3K4me3.mm9.bedGraph")


@mistake("chr9|replicate", tracks="bed")
def a_replicate_lacks_a_chromosome(data, random):
    "The second of two replicates was cut short, so that the depth of the last chromosome would be halved."
    lines = data.lines(MARKS[0])
    data.write_lines(MARKS[0], lines[::2])
    rest = [line for line in lines[1::2] if not line.startswith("chr9")]
    (data.folder / "rep2.bed").write_text("\n".join(rest) + "\n")
    data.channel()["path"] = [data.channel()["path"], "rep2.bed"]


@mistake("chr9", tracks="bedgraph")
def bedgraphs_of_chromosomes_lack_one(data, random):
    "Each chromosome has a file of its own, and one is not in the list."
    a_bedgraph_for_each_chromosome(data, random)
    data.channel()["path"].pop()


@mistake("peaks|number|bed", tracks="bed")
def narrowpeaks_given_as_bedgraph(data, random):
    "The manifest says kind: bedgraph for a file of peaks whose names are numbers."
    _peaks_instead_of_reads(data, random)
    data.edit(MARKS[0], lambda f: [*f[:3], f[3][5:], *f[4:]])
    data.channel()["kind"] = "bedgraph"


@mistake("H3K4me3|zero|depth", tracks="bed", contacts="none")
def reads_on_one_strand_of_one_base(data, random):
    "The file lists 5' ends of length 0, as some programs write them."
    data.edit(MARKS[0], lambda f: [f[0], f[1], f[1], *f[3:]])


# ---- genome and folds ----


@same()
def a_byte_order_mark_in_chrom_sizes(data, random):
    "The chromosome sizes were saved by a Windows editor."
    _prefix(data, "chrom_sizes", b"\xef\xbb\xbf")


def _prefix(data, name, mark: bytes) -> None:
    "Write bytes in front of a file."
    data.path(name).write_bytes(mark + data.path(name).read_bytes())


@mistake("chr9")
def chrom_sizes_lack_a_chromosome(data, random):
    "One line of chrom.sizes is missing."
    data.write_lines("chrom_sizes", [line for line in data.lines("chrom_sizes") if "chr9" not in line])


@mistake("chr9|line")
def chrom_sizes_with_a_digit_missing(data, random):
    "The length of a chromosome was typed with one digit less."
    data.edit("chrom_sizes", lambda fields: fields if fields[0] != "chr9" else [fields[0], fields[1][:-1]])


@mistake("line")
def chrom_sizes_as_bed(data, random):
    "chrom.sizes is a BED file: name, 0, length."
    data.edit("chrom_sizes", lambda fields: [fields[0], 0, fields[1]])


@mistake("line")
def chrom_sizes_as_csv(data, random):
    "chrom.sizes has commas."
    data.edit("chrom_sizes", lambda fields: [",".join(fields)])


@mistake("line")
def chrom_sizes_with_thousands_separators(data, random):
    "Lengths were formatted by a spreadsheet."
    data.edit("chrom_sizes", lambda fields: [fields[0], f"{int(fields[1]):,}"])


@mistake("line|expected|name and length")
def chrom_sizes_columns_exchanged(data, random):
    "chrom.sizes has length, name."
    data.edit("chrom_sizes", lambda fields: [fields[1], fields[0]])


@mistake("twice")
def chrom_sizes_list_a_chromosome_twice(data, random):
    "A line of chrom.sizes was copied."
    data.write_lines("chrom_sizes", [*data.lines("chrom_sizes"), data.lines("chrom_sizes")[0]])


@mistake("chr1|twice|same")
def chrom_sizes_name_a_chromosome_in_two_ways(data, random):
    "chrom.sizes has chr1 and 1, with different lengths."
    first = data.lines("chrom_sizes")[0].split()
    data.write_lines("chrom_sizes", [*data.lines("chrom_sizes"), f"1\t{int(first[1]) + 900}"])


@mistake("chrM|chrMT|MT")
def chrom_sizes_have_chrm_and_chrmt(data, random):
    "hg19's old and new mitochondrial chromosomes together."
    data.write_lines("chrom_sizes", [*data.lines("chrom_sizes"), "chrM\t16571", "chrMT\t16569"])


@mistake("hg38|size|assembly")
def a_genome_name_that_contradicts_the_sizes(data, random):
    "The manifest names hg38, the sizes are those of another genome."
    data.manifest["genome"] = "hg38"


@mistake("GRCh38|hg38", before=_mouse, annotation="gtf")
def a_gtf_of_another_build(data, random):
    "The header of the GTF names GRCh38, the manifest mm10."
    lines = data.lines("annotation")
    data.write_lines("annotation", ["#!genome-build GRCh38.p14", "#!genome-version GRCh38", *lines])


def _with_left_out(data, random) -> None:
    "Leave out a chromosome."
    data.manifest["leave_out"] = ["chr9"]


@mistake("chr99", before=_with_left_out)
def leave_out_names_no_chromosome(data, random):
    "The chromosome to leave out is misspelt."
    data.manifest["leave_out"] = ["chr99"]


@mistake("leave_out|chr9", before=_with_left_out)
def leave_out_by_number(data, random):
    "The chromosome to leave out is a number for YAML."
    data.manifest["leave_out"] = [9]


@mistake("chr7|fold")
def a_chromosome_in_two_folds(data, random):
    "chr7 is in folds 1 and 2."
    data.manifest["folds"][1] = ["chr1", "chr7"]


@mistake("chr7|fold")
def a_chromosome_in_two_folds_under_two_names(data, random):
    "chr7 is in fold 1 as 7 and in fold 2 as chr7."
    data.manifest["folds"][1] = ["chr1", "7"]


@mistake("chr12|fold")
def folds_name_a_chromosome_that_is_missing(data, random):
    "A fold lists a chromosome that the genome lacks instead of one that it has."
    data.manifest["folds"][4] = ["chr12"]


@mistake("chr9|fold")
def folds_leave_a_chromosome_out(data, random):
    "A chromosome with genes is in no fold."
    del data.manifest["folds"][4]


@mistake("fold")
def a_fold_with_number_0(data, random):
    "Folds are counted from 0."
    folds = data.manifest["folds"]
    data.manifest["folds"] = {number - 1: chroms for number, chroms in folds.items()}


@mistake("fold|human")
def folds_of_another_species(data, random):
    "A mouse genome without folds, so that those of the human chromosomes would be used."
    del data.manifest["folds"]
    data.manifest["genome"] = "mm10"


@mistake("folds")
def folds_as_a_list(data, random):
    "Folds are a list of lists instead of number: chromosomes."
    data.manifest["folds"] = list(data.manifest["folds"].values())


# ---- annotation ----


@mistake("strand|minus|TSS", annotation="table")
def strands_exchanged(data, random):
    "Plus and minus were exchanged, so that every TSS is at the 3' end."
    table = data.table("annotation")
    data.write_table("annotation", table.assign(strand=table.strand.map({"+": "-", "-": "+"})))


@mistake("minus|TSS|gene_start", annotation="table")
def the_tss_is_the_start_on_both_strands(data, random):
    "The column tss is a copy of gene_start."
    table = data.table("annotation")
    data.write_table("annotation", table.assign(tss=table.gene_start))


@mistake("TSS|body|outside|1", annotation="table")
def a_tss_that_counts_from_1(data, random):
    "The TSS is 1-based: gene_start + 1 on the plus strand, gene_end on the minus strand."
    table = data.table("annotation")
    data.write_table("annotation", table.assign(tss=table.tss.astype(int) + 1))


@mistake("TSS|body|outside", annotation="table")
def a_tss_far_from_its_gene(data, random):
    "The TSSs were sorted, the genes were not."
    table = data.table("annotation")
    data.write_table("annotation", table.assign(tss=table.tss.to_numpy()[::-1]))


@mistake("strand", annotation="table")
def strands_as_numbers(data, random):
    "Strands are 1 and -1, as in BioMart."
    table = data.table("annotation")
    data.write_table("annotation", table.assign(strand=table.strand.map({"+": "1", "-": "-1"})))


@mistake("twice|row per gene", annotation="table")
def a_gene_listed_twice(data, random):
    "A gene has a row for each transcript."
    data.write_lines("annotation", [*data.lines("annotation"), data.lines("annotation")[3]])


@mistake("tss", annotation="table")
def a_column_with_another_case(data, random):
    "The column is called TSS."
    data.write_table("annotation", data.table("annotation").rename(columns={"tss": "TSS"}))


@mistake("gene_start|geneStart", annotation="table")
def bodies_under_other_names(data, random):
    "The optional columns are called geneStart and geneEnd, so that genes would have no body."
    names = {"gene_start": "geneStart", "gene_end": "geneEnd"}
    data.write_table("annotation", data.table("annotation").rename(columns=names))


@mistake("gene_name|Gene_Name", annotation="table")
def names_under_another_name(data, random):
    "The optional column of gene names is called Gene_Name."
    names = {"gene_name": "Gene_Name"}
    data.write_table("annotation", data.table("annotation").rename(columns=names))


@mistake("header|column|table", annotation="table")
def a_table_without_a_header(data, random):
    "The header is missing."
    data.write_lines("annotation", data.lines("annotation")[1:])


@mistake("GTF|gtf|column", annotation="gtf")
def a_gtf_given_as_a_table(data, random):
    "The manifest says kind: table for a GTF."
    data.manifest["annotation"]["kind"] = "table"


@mistake("GTF|gtf", annotation="table")
def a_table_given_as_a_gtf(data, random):
    "The manifest says kind: gtf for a table."
    data.manifest["annotation"]["kind"] = "gtf"


@mistake("separat|column|semicolon", annotation="table")
def an_annotation_separated_by_semicolons(data, random):
    "The table was saved as CSV with semicolons."
    data.write_table("annotation", data.table("annotation"), sep=";")


@mistake("text|xlsx|Excel|workbook", annotation="table")
def a_workbook_given_as_a_table(data, random):
    "The table was saved as an Excel workbook."
    table = data.table("annotation")
    write_xlsx(data.path("annotation"), [list(table), *table.to_numpy().tolist()])


@mistake("gene_type", annotation="table")
def a_gene_type_for_a_table(data, random):
    "gene_type is given for a table, where it has no effect."
    data.manifest["annotation"]["gene_type"] = "lncRNA"


@mistake("type|protein-coding", annotation="gtf")
def a_gene_type_misspelt(data, random):
    "The gene type is written with a hyphen."
    data.manifest["annotation"]["gene_type"] = "protein-coding"


@mistake("strand", annotation="gtf")
def a_transcript_on_the_other_strand(data, random):
    "The longest transcript of a gene is on the other strand, so that its TSS would be at the wrong end."
    lines = data.lines("annotation")
    row = next(n for n, line in enumerate(lines) if line.split("\t")[2:3] == ["transcript"])
    fields = lines[row].split("\t")
    fields[6] = {"+": "-", "-": "+"}[fields[6]]
    data.write_lines("annotation", [*lines[:row], "\t".join(fields), *lines[row + 1 :]])


@mistake("GFF3|gff3", annotation="gtf")
def a_gff3_given_as_a_gtf(data, random):
    "The attributes are written as in GFF3."
    data.edit("annotation", lambda f: [*f[:-1], re.sub(r'(\w+) "([^"]*)"; ?', r"\1=\2;", f[-1])])


@mistake("fields|short|damaged|not in the annotation", annotation="gtf")
def a_gtf_cut_short(data, random):
    "The download of the GTF stopped within a line."
    text = data.path("annotation").read_text()
    data.path("annotation").write_text(text[: int(len(text) * 0.6)])


@mistake("not in the annotation", annotation="gtf")
def a_gtf_cut_at_a_line(data, random):
    "The GTF ends at a line, without its last chromosomes."
    lines = data.lines("annotation")
    data.write_lines("annotation", lines[: int(len(lines) * 0.6)])


@mistake("chr9|not in|match", annotation="gtf")
def a_gtf_with_other_names_for_a_chromosome(data, random):
    "One chromosome is named by its accession."
    data.edit("annotation", lambda f: f if f[0] != "chr9" else ["NC_000009.12", *f[1:]])


@mistake("annotation|files|one", annotation="table")
def two_annotations(data, random):
    "The annotation is a list of two files, of which only the first would be read."
    table = data.table("annotation")
    data.write_table("annotation", table.iloc[::2])
    table.iloc[1::2].to_csv(data.folder / "more.tsv", sep="\t", index=False)
    data.manifest["annotation"]["path"] = [data.manifest["annotation"]["path"], "more.tsv"]


# ---- expression ----


@mistake("expression|files|one", expression="table")
def two_tables_of_expression(data, random):
    "The expression is a list of two files, of which only the first would be read."
    table = data.table("expression")
    data.write_table("expression", table.iloc[::2])
    table.iloc[1::2].to_csv(data.folder / "more.tsv", sep="\t", index=False)
    data.manifest["expression"]["path"] = ["expression.tsv", "more.tsv"]


@mistake("genome|chrom_sizes|files|one|match")
def two_files_of_chrom_sizes(data, random):
    "The chromosome sizes are a list of two files, of which only the first would be read."
    lines = data.lines("chrom_sizes")
    data.write_lines("chrom_sizes", lines[:2])
    (data.folder / "more.sizes").write_text("\n".join(lines[2:]) + "\n")
    data.manifest["chrom_sizes"]["path"] = ["genome.sizes", "more.sizes"]


@mistake("log|negative", expression="table")
def expression_as_logarithms(data, random):
    "The expression is log2, with negative values."
    table = data.table("expression")
    values = np.log2(table.expression.astype(float) + 0.01).round(4)
    data.write_table("expression", table.assign(expression=values))


@mistake("log", expression="table")
def expression_as_logarithms_of_1_plus_x(data, random):
    "The expression is log2(TPM + 1)."
    table = data.table("expression")
    values = np.log2(table.expression.astype(float) + 1).round(4)
    data.write_table("expression", table.assign(expression=values))


@mistake("median|label|0", expression="table")
def expression_mostly_zero(data, random):
    "More than half of the genes are 0, as in single cells, so that every label would be 1."
    table = data.table("expression")
    zero = np.arange(len(table)) % 3 > 0
    data.write_table("expression", table.assign(expression=table.expression.where(~zero, "0")))


@mistake("0|label", expression="table")
def expression_all_zero(data, random):
    "The wrong column of counts, with 0 for every gene."
    data.write_table("expression", data.table("expression").assign(expression="0"))


@mistake("label|median", expression="table")
def expression_of_two_values(data, random):
    "The column says whether a gene is expressed: 1 for most, otherwise 0."
    table = data.table("expression")
    data.write_table("expression", table.assign(expression=(np.arange(len(table)) % 4 > 0).astype(int)))


@mistake("number|decimal", expression="table")
def expression_with_decimal_commas(data, random):
    "The table comes from a spreadsheet of another country."
    table = data.table("expression")
    data.write_table("expression", table.assign(expression=table.expression.str.replace(".", ",")))


@mistake("number|fields", expression="table")
def expression_with_thousands_separators(data, random):
    "The table comes from a spreadsheet: 1,234.5."
    table = data.table("expression")
    values = table.expression.astype(float).mul(1000).map("{:,.1f}".format)
    data.write_table("expression", table.assign(expression=values))


@mistake("column|separat|semicolon", expression="table")
def expression_separated_by_semicolons(data, random):
    "The table was saved as CSV with semicolons."
    data.write_table("expression", data.table("expression"), sep=";")


@mistake("column|separat|space", expression="table")
def expression_separated_by_spaces(data, random):
    "The table was saved with spaces, as write.table of R does."
    data.write_table("expression", data.table("expression"), sep=" ")


@mistake("text|xlsx|Excel|workbook", expression="table")
def expression_as_a_workbook(data, random):
    "The table is an Excel workbook."
    table = data.table("expression")
    write_xlsx(data.path("expression"), [list(table), *table.to_numpy().tolist()])


@mistake("text|UTF", expression="table")
def expression_in_utf_16(data, random):
    "The table was saved as Unicode text by Excel."
    data.path("expression").write_text(data.path("expression").read_text(), encoding="utf-16")


@mistake("listed|twice|second", expression="table")
def a_gene_with_two_values(data, random):
    "A gene is listed twice with different expression."
    data.write_lines("expression", [*data.lines("expression"), "ENSG00000000003\t88.5"])


@mistake("listed|twice|second", expression="table")
def a_gene_with_two_versions(data, random):
    "A gene is listed with two versions of its id."
    data.write_lines("expression", [*data.lines("expression"), "ENSG00000000003.7\t88.5"])


@mistake("column", expression="matrix")
def a_column_that_is_missing(data, random):
    "The column is that of another epigenome."
    data.manifest["expression"]["column"] = "E999"


@mistake("gene", expression="table")
def expression_by_gene_name(data, random):
    "The expression lists gene names, the annotation ids."
    table = data.table("expression")
    names = "GENE" + table.gene_id.str[4:].astype(int).astype(str)
    data.write_table("expression", table.assign(gene_id=names))


@mistake("no RPKM|not in|left out|have no", expression="table")
def gene_names_changed_to_dates(data, random):
    "A spreadsheet changed some names to dates."
    data.edit("expression", lambda f: ["1-Mar", *f[1:]] if f[0].endswith("03") else f)


@mistake("row|name every column|fields", expression="table")
def expression_with_row_names(data, random):
    "The table was written by R with row names, and its header lacks their column."
    lines = data.lines("expression")
    data.write_lines("expression", [lines[0], *(f"{n}\t{line}" for n, line in enumerate(lines[1:], 1))])


@mistake("line|number|finite|NA", expression="table")
def expression_with_missing_values(data, random):
    "Some values are NA."
    data.edit("expression", lambda f: [f[0], "NA"] if f[0].endswith("03") else f)


@mistake("have no|no RPKM|left out|not in", expression="table")
def expression_cut_at_a_line(data, random):
    "The table ends at a line, without its last genes."
    data.write_lines("expression", data.lines("expression")[:15])


@mistake("string|column", expression="table")
def a_column_that_yaml_reads_as_a_boolean(data, random):
    "The column is called off, without quotes."
    data.write_table("expression", data.table("expression").rename(columns={"expression": "off"}))
    data.manifest["expression"]["column"] = False


@mistake("count|whole numbers", expression="table")
def expression_as_counts(data, random):
    "The column holds counts of reads, which depend on the length of the gene."
    table = data.table("expression")
    counts = (table.expression.astype(float) * 40).round().astype(int)
    data.write_table("expression", table.assign(expression=counts))


@mistake("expression")
def an_empty_key_for_the_expression(data, random):
    "The key expression has no value, so that the store would have no labels."
    data.manifest["expression"] = None


@mistake("whole_genes", annotation="table")
def an_empty_key_for_whole_genes(data, random):
    "The key whole_genes has no value; meant are its defaults, but YAML reads that there is none."
    data.manifest["whole_genes"] = None


@mistake("column", expression="table", annotation="table")
def annotation_and_expression_exchanged(data, random):
    "The paths of annotation and expression are exchanged."
    one, other = data.manifest["annotation"], data.manifest["expression"]
    one["path"], other["path"] = other["path"], one["path"]


# ---- contacts ----


@mistake("chr9", contacts="pairs")
def contacts_lack_a_chromosome(data, random):
    "The table of contacts was cut short, or made for some chromosomes."
    data.write_lines("contacts", [line for line in data.lines("contacts") if "chr9" not in line])


@mistake("chr9", contacts="bedpe")
def loops_lack_a_chromosome(data, random):
    "The list of loops was cut short, or made for some chromosomes."
    data.write_lines("contacts", [line for line in data.lines("contacts") if "chr9" not in line])


@mistake("chr9", contacts="cool")
def a_map_without_counts_on_a_chromosome(data, random):
    "The map lists all chromosomes, but was made for some of them."
    _without_chrom(data, "count")


@mistake("chr9", contacts="cool")
def a_map_with_weights_of_nan_on_a_chromosome(data, random):
    "Balancing failed on one chromosome."
    _without_chrom(data, "weight")


def _without_chrom(data, what: str) -> None:
    "Remove the counts or the weights of chr9 from a map."
    with h5py.File(data.path("contacts"), "r+") as file:
        low, high = file["indexes/chrom_offset"][3:5]
        if what == "weight":
            file["bins/weight"][low:high] = np.nan
            return
        rows = slice(*(int(file["indexes/bin1_offset"][edge]) for edge in (low, high)))
        file["pixels/count"][rows] = 0


@mistake("weight", contacts="cool")
def a_map_with_weights_of_nan(data, random):
    "Balancing failed."
    with h5py.File(data.path("contacts"), "r+") as file:
        file["bins/weight"][:] = np.nan


@mistake("bp|assembly", contacts="cool")
def a_map_of_another_assembly(data, random):
    "The chromosomes of the map have other lengths."
    write_sizes(data.path("chrom_sizes"), {c: s + 77 for c, s in sizes_of(data).items()})


def _divisive(data, name: str, attribute: bool | None = None) -> None:
    "Replace the weights of a map by a column that divides."
    with h5py.File(data.path("contacts"), "r+") as file:
        weight = file["bins/weight"][:]
        del file["bins/weight"]
        column = file["bins"].create_dataset(name, data=1 / weight)
        if attribute is not None:
            column.attrs["divisive_weights"] = attribute
    data.manifest["contacts"]["balance"] = name


@same(contacts="cool")
def weights_of_juicer(data, random):
    "The map was converted from .hic; KR divides."
    _divisive(data, "KR")


@same(contacts="cool")
def weights_of_juicer_tools(data, random):
    "The map was converted from .hic; SCALE divides."
    _divisive(data, "SCALE")


@same(contacts="cool")
def weights_between_chromosomes_of_juicer(data, random):
    "The map was converted from .hic; GW_KR divides."
    _divisive(data, "GW_KR")


@same(contacts="cool")
def weights_with_an_attribute(data, random):
    "An attribute says that the column divides."
    _divisive(data, "mine", attribute=True)


@mistake("divisive|mine", contacts="cool")
def weights_of_unknown_meaning(data, random):
    "The name does not show whether the column divides."
    _divisive(data, "mine")


@mistake("divisive|KR", contacts="cool")
def divisive_contradicts_the_attribute(data, random):
    "The manifest says that weights multiply, the map says that they divide."
    _divisive(data, "KR", attribute=True)
    data.manifest["contacts"]["divisive"] = False


LAYOUTS = {  # header of loops, with the place of the score
    "mustache": (
        "BIN1_CHR BIN1_START BIN1_END BIN2_CHROMOSOME BIN2_START BIN2_END FDR DETECTION_SCALE",
        None,
    ),
    "cooltools": (
        "chrom1 start1 end1 chrom2 start2 end2 count la_exp.donut.value la_exp.vertical.value",
        None,
    ),
    "unknown": ("chrom1 start1 end1 chrom2 start2 end2 pvalue distance", None),
    "reversed": ("chrom1 start1 end1 chrom2 start2 end2 score qvalue", None),
}


def _loops_with(data, header: str, random, **columns) -> None:
    "Write loops with a header; `columns` are functions of the score for some of them."
    lines = ["#" + header.replace(" ", "\t")]
    for line in data.lines("contacts"):
        fields = line.split("\t")
        score = float(fields[7])
        extra = [columns[name](score) for name in header.split()[6:]]
        lines.append("\t".join(map(str, [*fields[:6], *extra])))
    data.write_lines("contacts", lines)


@mistake("DETECTION_SCALE|FDR|score|Mustache", contacts="bedpe")
def loops_of_mustache(data, random):
    "Column 8 is the scale of detection, not a strength."
    header = LAYOUTS["mustache"][0].replace(".", "_")
    _loops_with(data, header, random, FDR=lambda s: 10**-s, DETECTION_SCALE=lambda s: 9 - s / 2)


@mistake("expected|la_exp|score|count|cooltools", contacts="bedpe")
def loops_of_cooltools(data, random):
    "Column 8 is an expected count."
    lines = ["\t".join(LAYOUTS["cooltools"][0].split())]
    for line in data.lines("contacts"):
        fields = line.split("\t")
        expected = 20 - float(fields[7])
        count = float(fields[7]) * expected
        lines.append("\t".join(map(str, [*fields[:6], count, expected, expected])))
    data.write_lines("contacts", lines)


@mistake("score|distance|column", contacts="bedpe")
def loops_with_an_unknown_header(data, random):
    "Column 8 is the distance between the anchors."
    _loops_with(data, LAYOUTS["unknown"][0], random, pvalue=lambda s: 10**-s, distance=lambda s: 20 - s)


@mistake("score|column", contacts="bedpe")
def loops_with_the_score_in_column_7(data, random):
    "Name and score are exchanged: column 7 is the score, column 8 a q-value, and the header says so."
    header = LAYOUTS["reversed"][0]
    _loops_with(data, header, random, score=lambda s: s, qvalue=lambda s: round(20 - s, 4))


@mistake("number|line", contacts="bedpe")
def loops_with_the_score_before_the_name(data, random):
    "Name and score are exchanged, without a header."
    data.edit("contacts", lambda f: [*f[:6], f[7], f[6]])


@mistake("column|fragment", contacts="bedpe")
def loops_given_as_pairs(data, random):
    "The manifest says kind: pairs for a BEDPE file."
    data.manifest["contacts"]["kind"] = "pairs"


@mistake("field|number|line|column", contacts="pairs")
def pairs_given_as_loops(data, random):
    "The manifest says kind: bedpe for a table of pairs."
    data.manifest["contacts"]["kind"] = "bedpe"


@mistake("cooler", contacts="pairs")
def pairs_given_as_a_map(data, random):
    "The manifest says kind: cool for a table of pairs."
    data.manifest["contacts"]["kind"] = "cool"


@mistake("line|start", contacts="bedpe")
def loops_with_start_and_end_exchanged(data, random):
    "Start and end of the second anchor are exchanged."
    data.edit("contacts", lambda f: [*f[:4], f[5], f[4], *f[6:]])


@mistake("leaves|line", contacts="bedpe")
def a_loop_beyond_its_chromosome(data, random):
    "The loops are those of another assembly, with longer chromosomes."
    data.edit("contacts", lambda f: [*f[:5], int(f[5]) + 4_000_000, *f[6:]])


@mistake("two chromosomes", contacts="pairs")
def contacts_between_chromosomes(data, random):
    "Some contacts join two chromosomes."
    lines = data.lines("contacts")
    fields = lines[1].split("\t")
    other = "chr7" if fields[1].startswith("chr1:") else "chr1"
    fields[1] = other + ":" + fields[1].split(":")[1]
    data.write_lines("contacts", [lines[0], "\t".join(fields), *lines[2:]])


@mistake("number", contacts="pairs")
def contact_scores_with_decimal_commas(data, random):
    "Scores have decimal commas."
    data.edit("contacts", lambda f: [f[0], f[1], f[2].replace(".", ",")])


@mistake("fragment", contacts="pairs")
def fragments_with_other_separators(data, random):
    "Fragments are written chr1_0_4000."
    data.edit(
        "contacts", lambda f: [f[0].replace(":", "_").replace("-", "_"), *f[1:]] if "chr" in f[0] else f
    )


@mistake("no contact|narrow|tss_distance", contacts="bedpe")
def loops_with_anchors_of_two_bases(data, random):
    "Anchors are the middles of bins."
    middle = FRAGMENT // 2

    def change(f):
        starts = int(f[1]) + middle, int(f[4]) + middle
        return [f[0], starts[0] - 1, starts[0] + 1, f[3], starts[1] - 1, starts[1] + 1, *f[6:]]

    data.edit("contacts", change)


@mistake(r"of \d\d contacts have an anchor longer than max_length, 4,000 bp", contacts="bedpe")
def some_wide_anchors(data, random):
    "A tenth of the loops were merged into wide ones."
    data.edit("contacts", lambda f: [*f[:5], int(f[5]) + 4000 * (int(f[6][4:]) % 10 == 0), *f[6:]])


@mistake("loops have no score above 1.5, the default of min_score", contacts="bedpe")
def scores_on_another_scale(data, random):
    "Most scores are below the default of min_score, which is not in the manifest."
    data.manifest["contacts"].pop("min_score", None)
    data.edit("contacts", lambda f: [*f[:7], float(f[7]) / (1 if f[6].endswith("7") else 20)])


@mistake("no contact|min_score", contacts="pairs")
def scores_as_probabilities(data, random):
    "Scores are p-values, all below min_score."
    data.edit("contacts", lambda f: f if f[2] == "score" else [f[0], f[1], 10 ** -float(f[2])])


@mistake("no such file|bool|string|path", contacts="pairs")
def contacts_with_a_path_in_quotes_too_many(data, random):
    "The path is quoted twice."
    data.manifest["contacts"]["path"] = "'contacts.tsv'"


@mistake("contacts|files|one", contacts="pairs")
def two_tables_of_contacts(data, random):
    "The contacts are a list of two files, as channels may be."
    lines = data.lines("contacts")
    (data.folder / "more.tsv").write_text("\n".join([lines[0], *lines[20:]]) + "\n")
    data.write_lines("contacts", lines[:20])
    data.manifest["contacts"]["path"] = ["contacts.tsv", "more.tsv"]


@mistake("path|none", contacts="pairs")
def contacts_of_kind_none_with_a_file(data, random):
    "A path is given, but the kind is none."
    data.manifest["contacts"]["kind"] = "none"


@mistake("transform|option", contacts="pairs")
def an_option_of_maps_for_a_table(data, random):
    "transform is given for a table of pairs, where it has no effect."
    data.manifest["contacts"]["transform"] = "log10"


@mistake("balance|option", contacts="bedpe")
def weights_for_a_list_of_loops(data, random):
    "balance is given for loops, where it has no effect."
    data.manifest["contacts"]["balance"] = "KR"


@mistake("resolution|option", contacts="pairs")
def a_resolution_for_a_table(data, random):
    "resolution is given for a table of pairs, where it has no effect."
    data.manifest["contacts"]["resolution"] = 5000


@mistake("min_score|option", contacts="none")
def a_threshold_without_contacts(data, random):
    "min_score is given, but the kind is still none."
    data.manifest["contacts"]["min_score"] = 3.0


@mistake("top|number|integer|boolean", contacts="pairs")
def a_number_that_yaml_reads_as_a_boolean(data, random):
    "top is on."
    data.manifest["contacts"]["top"] = True


@mistake("min_score|number|boolean", contacts="pairs")
def a_threshold_that_yaml_reads_as_a_boolean(data, random):
    "min_score is no, to keep all contacts."
    data.manifest["contacts"]["min_score"] = False


@mistake("min_score|finite|no contact|nan", contacts="pairs")
def a_threshold_that_is_not_a_number(data, random):
    "min_score is .nan."
    data.manifest["contacts"]["min_score"] = float("nan")


@mistake("pair2score|frag2neighbors|dictionary|set", contacts="pickles")
def pickles_exchanged(data, random):
    "The two pickles are exchanged."
    paths = data.manifest["contacts"]["path"]
    paths["frag2neighbors"], paths["pair2score"] = paths["pair2score"], paths["frag2neighbors"]


@mistake("twice|same|liver", contacts="average")
def one_cell_type_averaged_twice(data, random):
    "The contacts of one cell type are named twice."
    data.manifest["contacts"]["of"] = [data.manifest["contacts"]["of"][0]] * 2


@mistake("in common", contacts="average")
def averaged_contacts_on_other_fragments(data, random):
    "The cell types were measured on different fragments."
    file = data.folder / "lung.tsv"
    table = pd.read_csv(file, sep="\t")
    for side in ("fragment_a", "fragment_b"):
        table[side] = table[side].str.replace(
            r"(\d+)-(\d+)$", lambda m: f"{int(m[1]) + 7}-{int(m[2])}", regex=True
        )
    table.to_csv(file, sep="\t", index=False)


# ---- manifest ----


def _edited(data, old: str, new: str) -> None:
    "Replace text of the manifest."
    text = yaml.safe_dump(data.manifest, sort_keys=False)
    assert old in text
    data.manifest = text.replace(old, new, 1)


@mistake("window|twice|duplicate")
def a_key_given_twice(data, random):
    "window is given twice; YAML would keep the last."
    _edited(data, "window: 4000\n", "window: 8000\nwindow: 4000\n")
    data.manifest = data.manifest.replace("window: 8000\nwindow: 4000", "window: 4000\nwindow: 8000")


@mistake("octal")
def a_number_that_begins_with_0(data, random):
    "The window is written with a leading 0, which makes it an octal number in YAML."
    _edited(data, "window: 4000\n", "window: 04000\n")


@mistake("path|twice|duplicate", tracks="bigwig")
def a_nested_key_given_twice(data, random):
    "A channel has two paths; YAML would keep the last."
    _edited(data, "  path: H3K4me3.bigWig\n", "  path: H3K4me3.bigWig\n  path: H3K27ac.bigWig\n")


@mistake("fold|twice|duplicate|2")
def a_fold_given_twice(data, random):
    "Fold 2 is given twice; YAML would keep the last."
    _edited(data, "  2:\n  - chr7\n", "  2:\n  - chr7\n  2:\n  - chr2\n")
    data.manifest = data.manifest.replace("  3:\n  - chr2\n", "", 1)


@mistake("chanels")
def a_key_misspelt(data, random):
    "A key is misspelt."
    data.manifest["chanels"] = data.manifest.pop("channels")


@mistake("kind")
def a_kind_with_another_case(data, random):
    "The kind is written as the format's name."
    data.channel()["kind"] = data.channel()["kind"].title() + "s"


@mistake("windw")
def a_default_that_was_meant_to_change(data, random):
    "A key with a default is misspelt."
    data.manifest["windw"] = data.manifest.pop("window")


@mistake("name|twice")
def two_channels_of_one_name(data, random):
    "Two channels have one name."
    data.channel(1)["name"] = data.channel(0)["name"]


@mistake("bin_sizes")
def bins_that_do_not_divide_the_window(data, random):
    "A bin size does not divide the window."
    data.manifest["bin_sizes"] = [2000, 300]


@mistake("bin_sizes|twice")
def a_bin_size_given_twice(data, random):
    "A bin size is given twice."
    data.manifest["bin_sizes"] = [2000, 500, 500, 100]


@mistake("window|integer|number")
def a_window_in_kb(data, random):
    "The window is written with a unit."
    data.manifest["window"] = "4kb"


@mistake("size|bytes", tracks="bed")
def a_file_that_changed(data, random):
    "A file is not the one that the manifest describes."
    data.channel()["size"] = 17


@mistake("whole_genes|gene_start|bod", annotation="table")
def whole_genes_without_bodies(data, random):
    "Whole genes are wanted, but the table has only TSSs."
    data.write_table("annotation", data.table("annotation").drop(columns=["gene_start", "gene_end"]))
    data.manifest["whole_genes"] = {"downstream": 2000}


# ---- the published layout ----


def metadata(data) -> pd.DataFrame:
    "Return the metadata of the published layout."
    return pd.read_csv(data.path("annotation"))


@mistake("chr7|split|fold", annotation="metadata")
def metadata_with_a_chromosome_in_two_splits(data, random):
    "One gene of a chromosome is in another split, so that its neighbours are held out without it."
    table = metadata(data)
    row = table.index[table.chrom == "chr7"][0]
    table.loc[row, "split"] = 3
    table.to_csv(data.path("annotation"), index=False)


@mistake("label", annotation="metadata")
def metadata_with_labels_exchanged(data, random):
    "Label 1 means the lower half."
    table = metadata(data)
    table.assign(label=1 - table.label).to_csv(data.path("annotation"), index=False)


@mistake("folds", annotation="metadata")
def folds_for_metadata(data, random):
    "The manifest gives folds, which the metadata has already."
    data.manifest["folds"] = {1: ["chr7", "chr1"], 2: ["chr2"], 3: ["chr9"]}


@mistake("leave_out", annotation="metadata")
def chromosomes_left_out_of_metadata(data, random):
    "The manifest leaves out a chromosome, which has no effect on metadata."
    data.manifest["leave_out"] = ["chr9"]


@mistake("score|neighbour", annotation="metadata")
def metadata_with_too_few_scores(data, random):
    "A gene has more neighbours than scores."
    table = metadata(data)
    row = table.index[table.neighbors.notna()][0]
    table.loc[row, "neighbors"] += ";" + table.loc[row, "neighbors"].split(";")[0]
    table.to_csv(data.path("annotation"), index=False)


@mistake("array", annotation="metadata")
def metadata_that_counts_from_1(data, random):
    "The TSS is 1-based, so that no array has the name of its window."
    table = metadata(data)
    table.assign(start=table.start + 1).to_csv(data.path("annotation"), index=False)


@mistake("shape", annotation="metadata")
def a_mark_less_than_the_arrays(data, random):
    "The manifest names two of three marks."
    del data.manifest["channels"][2]


@mistake("shape", annotation="metadata")
def arrays_with_bases_first(data, random):
    "One array is transposed."
    file = next(iter(sorted((data.folder / "regions").glob("*.npy"))))
    np.save(file, np.load(file).T)


@mistake("finite|depth", annotation="metadata")
def arrays_that_overflow(data, random):
    "Depth was stored as float16, which ends at 65504."
    file = next(iter(sorted((data.folder / "regions").glob("*.npy"))))
    with np.errstate(over="ignore"):
        np.save(file, (np.load(file) * np.float32(1e5)).astype(np.float16))


@mistake("column|separat", annotation="metadata")
def metadata_separated_by_semicolons(data, random):
    "The table was saved with semicolons."
    metadata(data).to_csv(data.path("annotation"), index=False, sep=";")


@mistake("regions", annotation="metadata", tracks="bigwig")
def bigwigs_with_metadata(data, random):
    "A channel of the published layout is a bigWig."
    data.channel().update(kind="bigwig", path="x.bigWig")


# ---- changes that change nothing ----

TEXT = ("chrom_sizes", "annotation", "expression", "contacts", MARKS[0])


def _each_text_file(data, change) -> None:
    "Change the bytes of every text file of a data set."
    for name in TEXT:
        entry = data.manifest.get(name)
        if name == "contacts" and (entry["kind"] not in ("pairs", "bedpe")):
            continue
        if name in MARKS and data.kinds["tracks"] in ("bigwig", "bam"):
            continue
        file = data.path(name)
        file.write_bytes(change(name, file.read_bytes()))


TEXTS = {"tracks": "bedgraph", "contacts": "pairs"}


@same(**TEXTS)
def windows_line_ends(data, random):
    "All text files were saved by a Windows editor."
    _each_text_file(data, lambda name, text: text.replace(b"\n", b"\r\n"))


@same(tracks="tagalign", contacts="bedpe")
def windows_line_ends_of_reads(data, random):
    "Reads and loops were saved by a Windows editor."
    _each_text_file(data, lambda name, text: text.replace(b"\n", b"\r\n"))


@same(**TEXTS)
def blank_lines(data, random):
    "There are blank lines between the lines and at the end."
    _each_text_file(data, lambda name, text: text.replace(b"\n", b"\n\n") + b"\n\n")


@same(**TEXTS)
def lines_of_blanks(data, random):
    "There are lines of spaces and tabs between the lines and at the end."
    _each_text_file(data, lambda name, text: text.replace(b"\n", b"\n  \n\t\t\n") + b" \t")


@same(tracks="bed", contacts="bedpe", annotation="table")
def lines_of_blanks_of_reads(data, random):
    "There are lines of spaces and tabs between the lines and at the end."
    _each_text_file(data, lambda name, text: text.replace(b"\n", b"\n  \n\t\t\n") + b" \t")


@same(**TEXTS)
def no_newline_at_the_end(data, random):
    "The last line of every file lacks its end."
    _each_text_file(data, lambda name, text: text.rstrip(b"\n"))


@same(tracks="bed", contacts="bedpe", annotation="table")
def no_newline_at_the_end_of_reads(data, random):
    "The last line of every file lacks its end."
    _each_text_file(data, lambda name, text: text.rstrip(b"\n"))


@same(**TEXTS)
def comments_with_a_comma(data, random):
    "Every file begins with a comment that has a comma."
    _each_text_file(data, lambda name, text: b"# made by me, today\n" + text)


@same(**TEXTS)
def comments_within(data, random):
    "There are comments between the lines."
    _each_text_file(data, lambda name, text: text.replace(b"\n", b"\n# a note\n"))


@same(**TEXTS)
def byte_order_marks(data, random):
    "All text files begin with a byte-order mark."
    _each_text_file(data, lambda name, text: b"\xef\xbb\xbf" + text)


@same(tracks="tagalign", contacts="bedpe", annotation="table")
def byte_order_marks_of_reads(data, random):
    "All text files begin with a byte-order mark."
    _each_text_file(data, lambda name, text: b"\xef\xbb\xbf" + text)


@same(tracks="bedgraph", contacts="pairs")
def gzipped_under_plain_names(data, random):
    "Files are compressed, but their names do not say so."
    _each_text_file(data, lambda name, text: gzip.compress(text) if name != "chrom_sizes" else text)


@same(tracks="bed", contacts="bedpe")
def plain_under_gzipped_names(data, random):
    "Names end in .gz, but the files are plain text."
    for name in ("annotation", "expression", "contacts", MARKS[0]):
        data.rename(name, data.path(name).name + ".gz")


@same(**TEXTS)
def gzipped(data, random):
    "Text files are compressed."
    for name in ("annotation", "expression", "contacts", MARKS[0]):
        gzip_file(data.path(name))
        data.rename(name, data.path(name).name + ".gz")


@same(**TEXTS)
def rows_in_another_order(data, random):
    "The rows of all tables are shuffled."
    for name in ("annotation", "expression", "contacts", MARKS[0]):
        lines = data.lines(name)
        head = 0 if name in MARKS or data.kinds["annotation"] == "gtf" and name == "annotation" else 1
        rows = np.array(lines[head:], dtype=object)
        data.write_lines(name, [*lines[:head], *random.permutation(rows)])


@same(tracks="tagalign", contacts="bedpe")
def reads_in_another_order(data, random):
    "Reads and loops are shuffled."
    for name in ("contacts", *MARKS):
        data.write_lines(name, list(random.permutation(np.array(data.lines(name), dtype=object))))


@same(annotation="table", expression="matrix")
def columns_in_another_order(data, random):
    "The columns of the tables are in another order, with further columns."
    for name in ("annotation", "expression"):
        table = data.table(name).assign(note="x, y")
        data.write_table(name, table[list(random.permutation(list(table)))])


@same(annotation="table", expression="table", contacts="pairs")
def tables_as_csv(data, random):
    "Tables are separated by commas."
    for name in ("annotation", "expression", "contacts"):
        data.write_table(name, data.table(name), sep=",")


@same(annotation="table", expression="table", contacts="pairs")
def tables_as_quoted_csv(data, random):
    "Tables are separated by commas and quoted."
    for name in ("annotation", "expression", "contacts"):
        data.write_table(name, data.table(name), sep=",", quoting=1)


@same(annotation="table", expression="matrix", contacts="pairs")
def tables_as_parquet(data, random):
    "Tables are Parquet files."
    for name in ("annotation", "expression", "contacts"):
        pd.read_csv(data.path(name), sep="\t").to_parquet(data.rename(name, f"{name}.parquet"), index=False)


@same(expression="table")
def expression_as_parquet_with_an_index(data, random):
    "The gene ids are the index of a DataFrame, as pandas writes it."
    table = pd.read_csv(data.path("expression"), sep="\t").set_index("gene_id")
    table.to_parquet(data.rename("expression", "expression.parquet"))


@same(tracks="bedgraph", contacts="bedpe")
def names_without_chr(data, random):
    "Annotation, tracks and contacts call the chromosomes 1, 2, ..., the genome chr1, chr2, ..."
    _each_text_file(
        data, lambda name, text: text if name == "chrom_sizes" else re.sub(rb"chr(?=\d)", b"", text)
    )


@same(tracks="bam", contacts="cool")
def names_in_capitals(data, random):
    "The annotation says CHR1."
    data.write_lines("annotation", [re.sub(r"\bchr(?=\d)", "CHR", line) for line in data.lines("annotation")])


@same(expression="table")
def ids_with_versions(data, random):
    "Gene ids of the expression have versions."
    data.edit("expression", lambda f: f if f[0] == "gene_id" else [f[0] + ".12", f[1]])


@same(tracks="bedgraph")
def depth_in_finer_intervals(data, random):
    "Intervals of the bedGraph are cut in pieces."
    table = depth_table(data)
    middle = (table.start + table.end) // 2
    parts = [table.assign(end=middle), table.assign(start=middle)]
    table = pd.concat(parts).query("start < end").sort_values(["chrom", "start"])
    write_depth(data, table)


@same(tracks="bedgraph")
def a_bedgraph_for_each_chromosome(data, random):
    "Each chromosome has a file of its own."
    paths = []
    for chrom, rows in depth_table(data).groupby("chrom"):
        paths.append(f"H3K4me3.{chrom}.bedGraph")
        rows.to_csv(data.folder / paths[-1], sep="\t", header=False, index=False)
    data.channel()["path"] = paths


@same(tracks="bedgraph")
def a_bedgraph_with_track_lines(data, random):
    "The bedGraph was made for a browser."
    lines = ["browser position chr1:1-100", 'track type=bedGraph name="x, y"', *data.lines(MARKS[0])]
    data.write_lines(MARKS[0], lines)


@same(tracks="bedgraph")
def a_bedgraph_separated_by_spaces(data, random):
    "The bedGraph is separated by spaces."
    data.write_lines(MARKS[0], [line.replace("\t", " ") for line in data.lines(MARKS[0])])


@same(tracks="bedgraph")
def a_bedgraph_as_bigwig(data, random):
    "The bedGraph was converted to a bigWig."
    table = depth_table(data)
    write_bigwig(data.folder / "x.bw", sizes_of(data), table)
    data.channel().update(kind="bigwig", path="x.bw")


@same(tracks="bed")
def reads_in_two_files(data, random):
    "Reads come in two files, whose depths add up."
    lines = data.lines(MARKS[0])
    data.write_lines(MARKS[0], lines[::2])
    (data.folder / "rep2.bed").write_text("\n".join(lines[1::2]) + "\n")
    data.channel()["path"] = [data.channel()["path"], "rep2.bed"]


@same(tracks="bed")
def reads_with_three_columns(data, random):
    "The BED file has three columns."
    data.edit(MARKS[0], lambda fields: fields[:3])


@same()
def chrom_sizes_as_fai(data, random):
    "The chromosome sizes are the index of a FASTA file."
    data.edit("chrom_sizes", lambda f: [*f, 112, 60, 61])


@same()
def chrom_sizes_with_spaces(data, random):
    "chrom.sizes is separated by spaces, with further chromosomes."
    data.edit("chrom_sizes", lambda f: [" ".join(f)])


@same(contacts="bedpe")
def loops_with_further_columns(data, random):
    "The BEDPE file has strands and a comment."
    data.edit("contacts", lambda f: [*f, ".", ".", "x"])


@same(contacts="bedpe")
def loops_with_a_plain_header(data, random):
    "The BEDPE file has the usual header, and the score in column 8."
    header = "#chrom1 start1 end1 chrom2 start2 end2 name score".replace(" ", "\t")
    data.write_lines("contacts", [header, *data.lines("contacts")])


@same(contacts="pairs")
def contacts_listed_in_both_directions(data, random):
    "Each contact is listed twice."
    table = data.table("contacts")
    other = table.rename(columns={"fragment_a": "fragment_b", "fragment_b": "fragment_a"})
    data.write_table("contacts", pd.concat([table, other[list(table)]]))


@same(contacts="bedpe")
def loops_with_anchors_exchanged(data, random):
    "The anchor with the larger position comes first."
    data.edit("contacts", lambda f: [*f[3:6], *f[:3], *f[6:]])


@same(contacts="cool")
def a_map_of_several_resolutions(data, random):
    "The map is one of an .mcool, named by its group."
    cooler.zoomify_cooler(str(data.path("contacts")), str(data.folder / "c.mcool"), [4000, 8000], 100_000)
    with h5py.File(data.folder / "c.mcool", "r+") as file, h5py.File(data.path("contacts")) as old:
        bins = file["resolutions/4000/bins"]
        if "weight" not in bins:
            bins.create_dataset("weight", data=old["bins/weight"][:])
    data.manifest["contacts"] |= {"path": "c.mcool", "resolution": 4000}


@same(contacts="cool")
def a_map_named_by_its_group(data, random):
    "The map is named as FILE::/resolutions/4000."
    a_map_of_several_resolutions(data, random)
    entry = data.manifest["contacts"]
    entry["path"] = f"{entry['path']}::/resolutions/{entry.pop('resolution')}"


@same()
def files_in_another_folder(data, random):
    "The files are in a folder with a space and an umlaut, and paths are absolute."
    folder = data.folder / "my dätä"
    folder.mkdir()
    for name in ("annotation", "expression", "chrom_sizes", MARKS[0]):
        file = data.path(name)
        file.rename(folder / file.name)
        entry = data.manifest.get(name) or data.channel()
        entry["path"] = str(folder / file.name)


@same()
def files_behind_links(data, random):
    "Files are symbolic links."
    for name in ("annotation", "expression", MARKS[0]):
        file = data.path(name)
        real = data.folder / f"real_{file.name}"
        file.rename(real)
        file.symlink_to(real)


@same()
def keys_in_another_order(data, random):
    "The keys of the manifest are in another order."
    data.manifest = dict(reversed(data.manifest.items()))


@same()
def folds_without_chr(data, random):
    "Folds name the chromosomes by numbers."
    data.manifest["folds"] = {1: [1], 2: [7], 3: [2], 4: [9]}


@same()
def a_chromosome_twice_in_one_fold(data, random):
    "A fold lists a chromosome twice."
    data.manifest["folds"][2] = ["chr7", "chr7"]


@same()
def a_manifest_with_windows_line_ends(data, random):
    "The manifest was saved by a Windows editor, with a byte-order mark."
    text = yaml.safe_dump(data.manifest, sort_keys=False)
    data.manifest = "\ufeff" + text.replace("\n", "\r\n")


@same(annotation="gtf")
def a_gtf_written_by_rtracklayer(data, random):
    "The GTF begins with the version of GFF that GTF is."
    data.write_lines(
        "annotation", ["##gff-version 2", "##source-version rtracklayer", *data.lines("annotation")]
    )


@same(annotation="gtf")
def a_gtf_with_ensembl_attributes(data, random):
    "The GTF has gene_biotype and transcript_biotype."
    lines = [
        line.replace("gene_type", "gene_biotype").replace("transcript_type", "transcript_biotype")
        for line in data.lines("annotation")
    ]
    data.write_lines("annotation", lines)


@same(annotation="gtf")
def a_gtf_with_biotypes_in_column_2(data, random):
    "Ensembl up to release 75: the biotype of a transcript is in column 2."

    def change(fields):
        if len(fields) < 9:
            return fields
        found = re.search('transcript_type "([^"]*)"', fields[8])
        fields[8] = re.sub(' transcript_type "[^"]*";', "", fields[8]).replace("gene_type", "gene_biotype")
        fields[1] = found[1] if found else "protein_coding"
        return fields

    data.edit("annotation", change)


@same(annotation="gtf")
def a_gtf_with_semicolons_in_values(data, random):
    "A quoted value contains a semicolon and the name of another attribute."

    def change(fields):
        if len(fields) < 9:
            return fields
        note = 'note "first; gene_id ENSG00000000001; transcript_type retained_intron"; '
        return [*fields[:8], note + fields[8]]

    data.edit("annotation", change)


@same(annotation="gtf")
def a_gtf_with_further_genes(data, random):
    "The GTF has genes of other types, which are not used."
    line = "\t".join(["chr1", "x", "gene", "100", "900", ".", "+", ".", 'gene_id "L1"; gene_type "lncRNA";'])
    data.write_lines("annotation", [*data.lines("annotation"), line])


@same(annotation="gtf")
def a_gene_with_a_copy_on_another_chromosome(data, random):
    "Transcripts of a copy of a gene lie on a chromosome that the genome lacks."
    lines = data.lines("annotation")
    copy = []
    for line in lines:
        fields = line.split("\t")
        if len(fields) == 9 and "ENSG00000000002" in fields[8] and fields[2] != "gene":
            copy.append(
                "\t".join(
                    ["chrY", *fields[1:3], str(int(fields[3]) - 700), str(int(fields[4]) + 700), *fields[5:]]
                )
            )
    data.write_lines("annotation", [*lines, *copy])


@same(besides=("attribute channels",), contacts="activity")
def a_mark_with_another_case(data, random):
    "A channel is called H3K27Ac; predicted contacts use it all the same."
    data.channel(1)["name"] = "H3K27Ac"


@same(besides=("signal",), contacts="activity", tracks="bedgraph")
def tracks_in_another_unit(data, random):
    "Each track is multiplied by another number; predicted contacts do not depend on it."
    for mark, factor in zip(MARKS, (1e6, 1e-6, 37.0)):
        table = depth_table(data, mark)
        write_depth(data, table.assign(value=table.value * factor), mark)


@same(besides=("genes/expression",), expression="table")
def expression_in_another_unit(data, random):
    "The expression is divided by 4; labels do not depend on it."
    data.edit("expression", lambda f: f if f[0] == "gene_id" else [f[0], float(f[1]) / 4])


def _whole_genes(data, random) -> None:
    "Keep whole genes."
    data.manifest["whole_genes"] = {"downstream": 2000}


@same(before=_whole_genes, annotation="gtf")
def exons_with_the_gene_of_another_catalogue(data, random):
    "Exons have ref_gene_id before gene_id, as StringTie writes it."
    lines = [line.replace("gene_id", 'ref_gene_id "X9"; gene_id', 1) for line in data.lines("annotation")]
    data.write_lines("annotation", lines)


@same(before=_whole_genes, annotation="gtf")
def exons_of_a_copy_on_another_chromosome(data, random):
    "Exons of a copy of a gene lie on a chromosome that the genome lacks."
    a_gene_with_a_copy_on_another_chromosome(data, random)


@same(before=_whole_genes, annotation="gtf")
def exons_in_another_order(data, random):
    "The lines of the GTF are shuffled."
    data.write_lines("annotation", list(random.permutation(np.array(data.lines("annotation"), dtype=object))))


@same(annotation="metadata")
def metadata_with_further_columns(data, random):
    "The metadata has further columns, in another order."
    table = metadata(data).assign(note="a, b")
    table[list(random.permutation(list(table)))].to_csv(data.path("annotation"), index=False)


@same(annotation="metadata")
def metadata_with_windows_line_ends(data, random):
    "The metadata was saved by a Windows editor, with a byte-order mark."
    text = data.path("annotation").read_bytes().replace(b"\n", b"\r\n")
    data.path("annotation").write_bytes(b"\xef\xbb\xbf" + text)


@same(annotation="metadata")
def arrays_of_another_type(data, random):
    "The arrays hold float64."
    for file in (data.folder / "regions").glob("*.npy"):
        np.save(file, np.load(file).astype(np.float64))
