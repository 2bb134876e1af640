"""Run one step of reads.py in its own process: `python _reads.py STEP READS SIZES OUT`."""

import sys

import numpy as np


def simulate(scale, reads, folder):
    "Write sorted reads of one mark as tagAlign, and the chromosome sizes; print the number of reads."
    from chromoformer.simulate import epigenome as human
    from chromoformer.simulate.cell import make_cell
    from chromoformer.simulate.cell import reads as draw
    from chromoformer.simulate.files import write_tagalign
    from chromoformer.simulate.rules import TOY_FOLDS, Rules, chroms_of, generator, make_genome

    if scale == "human":
        folds = {fold: [f"chr{name}" for name in names] for fold, names in human.HUMAN_FOLDS.items()}
        rules = human.HUMAN_RULES
        sizes = human.hg19_sizes()
        genes = 19_000
    else:
        folds = TOY_FOLDS
        rules = Rules()
        sizes = dict.fromkeys(chroms_of(folds))
        genes = 200
    cell = make_cell(make_genome(scale, sizes, folds, genes, rules, 0), "cellA", rules, 0)
    drawn = list(draw(cell, "H3K4me3", 0))
    total = sum(len(starts) for _, starts in drawn)
    if 0 < int(reads) < total:
        kept = np.random.default_rng(0)
        drawn = [(chrom, starts[kept.random(len(starts)) < int(reads) / total]) for chrom, starts in drawn]
    with open(f"{folder}/chrom.sizes", "w") as file:
        file.writelines(f"{chrom}\t{size}\n" for chrom, size in sorted(cell.genome.sizes.items()))
    write_tagalign(f"{folder}/reads.tagAlign.gz", drawn, rules.read_length, generator(0, "strand"))
    print(sum(len(starts) for _, starts in drawn))


def ours(reads, sizes, out):
    "Turn reads into a bigWig with this package."
    from chromoformer.data.tracks import coverage

    coverage(reads, sizes, out, progress=False)


def convert(bedgraph, sizes, out):
    "Turn a sorted bedGraph into a bigWig as fast as pyBigWig can: read by Arrow, handed over as arrays."
    import pyarrow as pa
    import pyarrow.csv
    import pyBigWig

    names = ["chrom", "start", "end", "value"]
    types = {"chrom": pa.string(), "start": pa.int64(), "end": pa.int64(), "value": pa.float64()}
    with open(sizes) as file:
        header = [(chrom, int(size)) for chrom, size in (line.split() for line in file)]
    with pyBigWig.open(out, "w") as track:
        track.addHeader(header, maxZooms=0)
        for batch in pyarrow.csv.open_csv(
            bedgraph,
            pyarrow.csv.ReadOptions(column_names=names, block_size=1 << 24),
            pyarrow.csv.ParseOptions(delimiter="\t"),
            pyarrow.csv.ConvertOptions(column_types=types),
        ):
            track.addEntries(
                batch["chrom"].to_pylist(),
                batch["start"].to_numpy(),
                ends=batch["end"].to_numpy(),
                values=batch["value"].to_numpy(),
                validate=False,
            )


def compare(ours, theirs, number):
    "Compare the depth of the shortest chromosomes; print how many bases are compared and differ."
    import pyBigWig

    compared = 0
    differ = 0
    with pyBigWig.open(ours) as left, pyBigWig.open(theirs) as right:
        sizes = left.chroms()
        for chrom in sorted(sizes, key=lambda name: sizes[name])[: int(number)]:
            for start in range(0, sizes[chrom], 10_000_000):
                end = min(start + 10_000_000, sizes[chrom])
                depth = [
                    np.nan_to_num(track.values(chrom, start, end, numpy=True)) for track in (left, right)
                ]
                compared += end - start
                differ += int((depth[0] != depth[1]).sum())
    print(compared, differ)


if __name__ == "__main__":
    {"simulate": simulate, "ours": ours, "convert": convert, "compare": compare}[sys.argv[1]](*sys.argv[2:])
