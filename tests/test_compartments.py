"""Compartments: planted ones are found from any map, as by cooltools, and reach the network as documented."""

import gzip
import re
import warnings

import bioframe
import cooler
import cooltools
import h5py
import numpy as np
import pandas as pd
import pytest

from chromoformer.data.batches import GeneDataset
from chromoformer.data.channels import add_channel
from chromoformer.data.compartments import (
    at_tss,
    compartments,
    gene_density,
    read_subcompartments,
    write_compartment_track,
)
from chromoformer.data.expression import read_genes
from chromoformer.data.manifest import Channel
from chromoformer.data.store import Store
from chromoformer.data.tracks import bin_means
from chromoformer.errors import InputError
from chromoformer.genome import read_chrom_sizes
from chromoformer.metrics import correlation, gene_blocks
from chromoformer.simulate.epigenome import simulate


@pytest.fixture(scope="module")
def hic(tmp_path_factory):
    "A toy epigenome with a contact map and one track."
    folder = tmp_path_factory.mktemp("hic") / "toy"
    simulate(folder, 240, cell_types=["cellA"], marks=["H3K4me3"], tagalign=[], progress=False)
    truth = pd.read_parquet(folder / "truth" / "genes.parquet")
    return folder, read_chrom_sizes(folder / "genomes" / "toy.chrom.sizes"), truth


@pytest.mark.parametrize("resolution", [50_000, 100_000])
def test_planted_compartments_are_found(hic, resolution):
    folder, sizes, genes = hic
    found = compartments(folder / "cellA" / "hic.mcool", sizes, genes, resolution)
    planted = pd.read_parquet(folder / "truth" / "compartments.parquet").query("bin_size == @resolution")
    both = found.merge(planted, on=["chrom", "start", "end"])
    assert len(both) == len(found) and both["pc1"].corr(both["compartment"]) > 0.9
    assert list(found["chrom"].unique()) == list(sizes)


def test_inverted_compartments_have_a_negative_correlation(hic):
    folder, sizes, genes = hic
    planted = pd.read_parquet(folder / "truth" / "compartments.parquet").query("bin_size == 50_000")
    bins = planted[["chrom", "start", "end"]]
    density = gene_density(genes, bins, reach=50_000)
    for sign in (1, -1):
        phasing = bins.assign(value=sign * density)
        found = compartments(folder / "cellA" / "hic.mcool", sizes, phasing, 50_000)
        both = found.merge(planted, on=["chrom", "start", "end"])
        blocks = gene_blocks(both["chrom"], both["start"])
        r = correlation(both["pc1"], both["compartment"], blocks)
        assert np.isclose(r["value"], both["pc1"].corr(both["compartment"]))
        assert (r["low"] if sign > 0 else -r["high"]) > 0.8


def domains(random, bins):
    "Values of +1 and -1 that change every 18 to 45 bins."
    signs = np.repeat(random.choice([-1, 1]) * np.resize([1, -1], bins), random.integers(18, 46, bins))
    return signs[:bins].astype(float)


@pytest.mark.parametrize("real", [False, True])
def test_intervals_of_a_correlation_along_the_genome_cover_it(real):
    random = np.random.default_rng(0)
    chrom, position = np.repeat(np.arange(8), 360), np.tile(np.arange(360), 8)
    blocks = gene_blocks(chrom, position)

    def drawn():
        planted = np.concatenate([domains(random, 360) for _ in range(8)])
        levels = [np.repeat(random.normal(size=20), random.integers(18, 46, 20))[:360] for _ in range(8)]
        error = np.concatenate(levels)  # shared within domains of its own
        return planted, real * planted + 0.7 * error + 0.5 * random.normal(size=2880)

    truth = np.mean([np.corrcoef(*drawn())[0, 1] for _ in range(500)])
    covered = []
    for _ in range(120):
        found = correlation(*drawn(), blocks, draws=100)
        covered.append(found["low"] <= truth <= found["high"])
    error = np.sqrt(0.95 * 0.05 / 120)
    assert 0.92 - 3 * error <= np.mean(covered) <= 0.98 + 3 * error
    alone = [correlation(*drawn(), draws=50) for _ in range(60)]
    assert np.mean([found["low"] <= truth <= found["high"] for found in alone]) < 0.7  # bins one by one


def test_a_correlation_leaves_out_missing_rows():
    x, y = np.array([1.0, 2, np.nan, 4, 5, 9]), np.array([2.0, 1, 7, np.nan, 6, 8])
    found = correlation(x, y, draws=0)
    assert found["count"] == 4 and np.isclose(
        found["value"], np.corrcoef(x[[0, 1, 4, 5]], y[[0, 1, 4, 5]])[0, 1]
    )
    assert np.isnan(found["low"]) and correlation(x[:1], y[:1])["count"] == 1
    assert np.isclose(correlation(x, y, draws=0, ranked=True)["value"], 0.8)


def test_compartments_equal_those_of_cooltools(hic):
    folder, sizes, genes = hic
    file, resolution = folder / "cellA" / "hic.mcool", 50_000
    found = compartments(file, sizes, genes, resolution)
    opened = cooler.Cooler(f"{file}::/resolutions/{resolution}")
    bins = opened.bins()[["chrom", "start", "end"]][:]
    phase = bins.assign(value=gene_density(genes, bins, reach=50_000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = cooltools.eigs_cis(opened, phase, bioframe.make_viewframe(opened.chromsizes), n_eigs=1)[1]
    both = found.merge(theirs.astype({"chrom": str}), on=["chrom", "start", "end"])
    for _, part in both.groupby("chrom"):
        assert part["pc1"].corr(part["E1"]) > 0.999


def test_divisive_weights_and_names_without_chr_give_the_same_compartments(hic, tmp_path):
    folder, sizes, genes = hic
    opened = cooler.Cooler(f"{folder / 'cellA' / 'hic.mcool'}::/resolutions/100000")
    bins = opened.bins()[:]
    bins = bins.assign(
        chrom=bins["chrom"].astype(str).str.removeprefix("chr"),
        KR=1 / bins["weight"],
        mine=1 / bins["weight"],
    ).drop(columns="weight")
    cooler.create_cooler(str(tmp_path / "kr.cool"), bins, opened.pixels()[:])
    expected = compartments(folder / "cellA" / "hic.mcool", sizes, genes, 100_000)
    for options in ({"balance": "KR"}, {"balance": "mine", "divisive": True}):
        pd.testing.assert_frame_equal(
            compartments(tmp_path / "kr.cool", sizes, genes, **options),
            expected,
            check_exact=False,
            rtol=1e-6,
        )


def test_the_sign_follows_the_phasing_and_is_unknown_without_it(hic):
    folder, sizes, genes = hic
    file = folder / "cellA" / "hic.mcool"
    first = compartments(file, sizes, genes, 100_000)
    phase = first.rename(columns={"pc1": "value"})
    turned = compartments(file, sizes, phase.assign(value=-phase["value"]), 100_000)
    assert np.allclose(turned["pc1"], -first["pc1"], equal_nan=True)
    with pytest.warns(UserWarning, match="there are no compartments on chr1: "):
        fewer = compartments(file, sizes, genes[genes["chrom"] != "chr1"], 100_000)
    assert (
        fewer.loc[fewer["chrom"] == "chr1", "pc1"].isna().all()
        and fewer.loc[fewer["chrom"] != "chr1", "pc1"].notna().any()
    )


def test_a_map_of_another_assembly_is_refused(hic):
    folder, sizes, genes = hic
    with pytest.raises(InputError, match=r"chr1 is [\d,]+ bp long in the map and [\d,]+ bp in the genome"):
        compartments(folder / "cellA" / "hic.mcool", sizes | {"chr1": sizes["chr1"] + 1}, genes, 100_000)


def test_the_names_of_the_phasing_may_lack_chr_and_its_bins_may_lack_an_end(hic):
    folder, sizes, genes = hic
    file = folder / "cellA" / "hic.mcool"
    expected = compartments(file, sizes, genes, 100_000)
    bins = expected.drop(columns="pc1")
    table = bins.assign(value=gene_density(genes, bins, reach=50_000))
    bare = table["chrom"].str.removeprefix("chr")
    for phasing in (
        table,
        table.assign(chrom=bare),
        table.drop(columns="end").assign(chrom=bare),
        table.sample(frac=1, random_state=0),
        genes.assign(chrom=genes["chrom"].str.removeprefix("chr")),
    ):
        pd.testing.assert_frame_equal(compartments(file, sizes, phasing, 100_000), expected)


def test_a_phasing_that_does_not_fit_the_map_is_refused(hic):
    folder, sizes, genes = hic
    file = folder / "cellA" / "hic.mcool"
    bins = compartments(file, sizes, genes, 100_000).drop(columns="pc1")
    table = bins.assign(value=gene_density(genes, bins))
    fine = compartments(file, sizes, genes, 50_000).rename(columns={"pc1": "value"})
    wide = table[table["start"] % 200_000 == 0]
    for phasing, says in (
        (
            table.assign(chrom=table["chrom"].str.replace("chr", "scaffold")),
            "no chromosome matches the genome",
        ),
        (genes.assign(chrom="scaffold1"), "no chromosome matches the genome"),
        (table.assign(start=table["start"] + 1), "are not bins of the map; the first is .chr1, 1, 100000"),
        (table.assign(start=table["start"] + 1).drop(columns="end"), "are not bins of the map"),
        (fine, "are not bins of the map"),
        (fine.drop(columns="end"), "are not bins of the map"),
        (wide.assign(end=wide["start"] + 200_000), "are not bins of the map"),
        (wide.drop(columns="end"), "200000 bp apart, the map's bins 100000 bp"),
        (pd.concat([table, table.head(3)]), "lists 3 bins twice"),
        (
            table.rename(columns={"value": "GC"}),
            "the phasing table lacks value; it has chrom, start, end, GC",
        ),
        (
            genes.rename(columns={"tss": "position"}),
            "the phasing table lacks value; it has start, end, strand",
        ),
    ):
        with pytest.raises(InputError, match=says):
            compartments(file, sizes, phasing, 100_000)


def test_chromosomes_without_compartments_are_named(hic, tmp_path):
    folder, sizes, genes = hic
    file = folder / "cellA" / "hic.mcool"
    opened = cooler.Cooler(f"{file}::/resolutions/100000")
    bins = opened.bins()[:]
    first = (bins["chrom"] == "chr1").to_numpy()
    for name, weights in (("some", np.where(first, np.nan, bins["weight"])), ("none", np.nan)):
        table = bins[["chrom", "start", "end"]].assign(weight=weights)
        cooler.create_cooler(str(tmp_path / f"{name}.cool"), table, opened.pixels()[:])
    with pytest.warns(UserWarning, match="no bin of chr1 has a weight in the column weight") as said:
        found = compartments(tmp_path / "some.cool", sizes, genes)
    assert len(said) == 1
    assert found.loc[found["chrom"] == "chr1", "pc1"].isna().all()
    with pytest.raises(InputError, match="column weight are all missing"):
        compartments(tmp_path / "none.cool", sizes, genes)
    table = found.drop(columns="pc1").assign(value=np.nan)
    with pytest.warns(UserWarning, match="there are no compartments on chr1, chr2"):
        assert compartments(file, sizes, table, 100_000)["pc1"].isna().all()


def test_weights_of_unknown_direction_are_refused_and_an_attribute_decides(hic, tmp_path):
    folder, sizes, genes = hic
    opened = cooler.Cooler(f"{folder / 'cellA' / 'hic.mcool'}::/resolutions/100000")
    bins = opened.bins()[:]
    expected = compartments(folder / "cellA" / "hic.mcool", sizes, genes, 100_000)
    bins = bins[["chrom", "start", "end"]].assign(mine=1 / bins["weight"])
    cooler.create_cooler(str(tmp_path / "m.cool"), bins, opened.pixels()[:])
    with pytest.raises(InputError, match="unknown whether the weights mine divide"):
        compartments(tmp_path / "m.cool", sizes, genes, balance="mine")
    with h5py.File(tmp_path / "m.cool", "a") as file:
        file["bins/mine"].attrs["divisive_weights"] = True
    found = compartments(tmp_path / "m.cool", sizes, genes, balance="mine")
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-6)


def test_genes_and_tracks_of_another_genome_are_refused(tmp_path):
    table = pd.DataFrame({"chrom": ["1", "1"], "start": [0, 100], "end": [100, 200], "pc1": [1.0, -1.0]})
    with pytest.raises(InputError, match="the table has 1, the genes chr1"):
        at_tss(table, pd.DataFrame({"chrom": ["chr1"], "tss": [5]}))
    with pytest.raises(InputError, match="the table has 1, the genome has chr1"):
        write_compartment_track(tmp_path / "t.bigWig", table, {"chr1": 200})
    with pytest.raises(InputError, match="1 bins of the table leave their chromosome, the first at 1:100"):
        write_compartment_track(tmp_path / "t.bigWig", table, {"1": 100})


def test_the_network_reads_one_plus_half_the_component(toy_store, toy, tmp_path):
    store, sizes = Store(toy_store), read_chrom_sizes(toy / "genomes" / "toy.chrom.sizes")
    edges = [
        (chrom, start, min(start + 50_000, size))
        for chrom, size in sizes.items()
        for start in range(0, size, 50_000)
    ]
    table = pd.DataFrame(edges, columns=["chrom", "start", "end"])
    table["pc1"] = np.random.default_rng(0).normal(0, 1.5, len(table))
    table.loc[::7, "pc1"] = np.nan
    write_compartment_track(tmp_path / "pc1.bigWig", table, sizes)
    more = add_channel(
        store,
        Channel(name="compartment", kind="bigwig", path=str(tmp_path / "pc1.bigWig")),
        tmp_path / "more.h5",
        sizes,
    )
    tss = more.genes["tss"].to_numpy()
    clear = (tss % 50_000 > 200) & (tss % 50_000 < 49_800)  # the TSS's bin lies in one bin of the map
    read = GeneDataset(more).batch(np.flatnonzero(clear)).promoter_features(100)[0][:, 200, -1].numpy()
    value = at_tss(table, more.genes)[clear]
    assert np.allclose(read, 1 + np.clip(np.nan_to_num(value) / 2, -1, 1), atol=1e-4)


def test_the_real_map_has_compartments_despite_its_names_and_weights(real_data):
    sizes = {
        chrom: size
        for chrom, size in read_chrom_sizes(real_data / "hg19.chrom.sizes").items()
        if chrom not in ("chrX", "chrY")
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        genes = read_genes(
            "gtf", real_data / "gencode.v10.genes.hg19.gtf.gz", sizes, gene_type="protein_coding"
        )
        found = compartments(real_data / "gm12878" / "GM12878.hic.2500kb.cool", sizes, genes, balance="KR")
    assert set(found["chrom"]) == set(sizes) and found["pc1"].notna().mean() > 0.9
    density = gene_density(genes, found)
    assert pd.Series(density).corr(found["pc1"]) > 0.4


SIZES = {"chr1": 950, "chr2": 500, "chr3": 400}
PUBLISHED = [
    ("chr1", 0, 300, "A1"),
    ("chr1", 300, 500, "B4"),
    ("chr1", 700, 1000, "A2"),  # the last bin of 100 bp runs past the chromosome's end
    ("chr2", 100, 200, "NA"),
    ("chr2", 200, 400, "B1"),
]


def bed(path, rows, sep="\t", more=""):
    path.write_text("".join(sep.join(map(str, row)) + more + "\n" for row in rows))
    return path


def test_every_base_has_the_subcompartment_of_the_file(tmp_path):
    found = read_subcompartments(bed(tmp_path / "a.bed", PUBLISHED), SIZES)
    for chrom in ("chr1", "chr2"):
        here = found[found["chrom"] == chrom]
        assert here["start"].tolist() == [0, *here["end"][:-1]] and here["end"].iloc[-1] == SIZES[chrom]
        bases = pd.DataFrame({"chrom": chrom, "tss": range(SIZES[chrom])})
        expected = np.array([None] * 1000, dtype=object)
        for _, start, end, name in (row for row in PUBLISHED if row[0] == chrom and row[3] != "NA"):
            expected[start:end] = name
        assert pd.Series(at_tss(found, bases, "name")).fillna("").tolist() == [
            name or "" for name in expected[: SIZES[chrom]]
        ]
        letter = {"A": 1, "B": -1, None: 0}
        signs = [letter[name and name[0]] for name in expected[: SIZES[chrom]]]
        assert np.nan_to_num(at_tss(found, bases, "compartment")).tolist() == signs
    assert "chr3" not in set(found["chrom"])


def test_subcompartments_are_read_in_any_order_and_spelling(tmp_path):
    expected = read_subcompartments(bed(tmp_path / "a.bed", PUBLISHED), SIZES)
    bare = [(chrom[3:], *rest) for chrom, *rest in PUBLISHED]
    (tmp_path / "a.bed.gz").write_bytes(gzip.compress((tmp_path / "a.bed").read_bytes()))
    colours = bed(tmp_path / "nine.bed", PUBLISHED, more="\t0\t.\t0\t1\t34,139,34")
    colours.write_text("track name=subcompartments\n#chrom\tstart\n" + colours.read_text())
    for path in (
        bed(tmp_path / "turned.bed", PUBLISHED[::-1]),
        bed(tmp_path / "bare.bed", bare),
        bed(tmp_path / "spaces.bed", PUBLISHED, sep=" "),
        tmp_path / "a.bed.gz",
        colours,
    ):
        pd.testing.assert_frame_equal(read_subcompartments(path, SIZES), expected)
    with pytest.warns(UserWarning, match="1 chromosome names match nothing"):
        more = read_subcompartments(bed(tmp_path / "more.bed", [*PUBLISHED, ("chrUn", 0, 100, "A1")]), SIZES)
    pd.testing.assert_frame_equal(more, expected)


def test_names_with_the_letter_of_a_compartment_count_as_it(tmp_path):
    names = ["A", "A1", "A.2.1", "A-", "B", "B3", "B_x", "NA", "."]
    rows = [("chr1", 100 * place, 100 * place + 100, name) for place, name in enumerate(names)]
    found = read_subcompartments(bed(tmp_path / "a.bed", rows), SIZES)
    assert np.nan_to_num(found["compartment"]).tolist() == [1, 1, 1, 1, -1, -1, -1, 0, 0, 0]
    assert found["name"].tolist()[:7] == names[:7] and found["name"][7:].isna().all()


@pytest.mark.parametrize(
    "rows, says",
    [
        ([("chr1", 0, 100, "1")], r"line 6.*'1' is not a subcompartment"),
        ([("chr1", 500, 600, "Active")], r"line 6.*'Active' is not a subcompartment"),
        ([("chr1", 500, 600, "0.83")], r"line 6.*'0.83' is not a subcompartment"),
        ([("chr1", 500, 600)], r"line 6.*the number of columns is 3"),
        ([("chr1", 200, 400, "B1")], r"lines 1 and 6.*intervals overlap: chr1:0-300 and chr1:200-400"),
        ([("chr1", 0, 300, "A1")], r"lines 1 and 6.*overlap"),
        ([("chr1", 600, 600, "A1")], r"line 6.*end 600 is not after start 600"),
        ([("chr1", "start", "end", "name")], r"line 6.*'start' and end 'end' are not both whole numbers"),
        ([("chr1", -100, 0, "A1")], r"line 6.*not both whole numbers"),
        ([("chr3", 300, 500, "A1")], r"line 6.*end 500 is past the end of chr3 \(400 bp\)"),
        ([("chr3", 400, 401, "A1")], r"line 6.*past the end of chr3"),
    ],
)
def test_files_of_other_things_than_subcompartments_are_refused(tmp_path, rows, says):
    with pytest.raises(InputError) as error:
        read_subcompartments(bed(tmp_path / "a.bed", [*PUBLISHED, *rows]), SIZES)
    text = str(error.value)
    assert str(tmp_path / "a.bed") in text and error.value.fix
    place = f"{error.value.place}: {error.value.problem}"
    assert re.search(says, place), place


def test_files_without_a_known_subcompartment_are_refused(tmp_path):
    with pytest.raises(InputError, match="lists no subcompartments"):
        read_subcompartments(bed(tmp_path / "empty.bed", []), SIZES)
    with pytest.raises(InputError, match="all subcompartments are unknown"):
        read_subcompartments(bed(tmp_path / "unknown.bed", [("chr1", 0, 100, "NA")]), SIZES)
    with pytest.raises(InputError, match="no chromosome matches"):
        read_subcompartments(bed(tmp_path / "other.bed", [("2L", 0, 100, "A1")]), SIZES)
    from_1 = [("chr1", 10 * number + 1, 10 * number + 10, "AB"[number % 2]) for number in range(30)]
    with pytest.raises(InputError, match="starts count from 1"):
        read_subcompartments(bed(tmp_path / "one.bed", from_1), SIZES)


def test_a_network_reads_subcompartments_as_2_in_a_0_in_b_and_1_elsewhere(tmp_path):
    found = read_subcompartments(bed(tmp_path / "a.bed", PUBLISHED), SIZES)
    known = found[found["compartment"].notna()]  # with gaps, as in a table of other origin
    for table in (found, known):
        track = write_compartment_track(tmp_path / "track.bigWig", table, SIZES)
        for chrom, size in SIZES.items():
            regions = pd.DataFrame({"chrom": [chrom], "start": [0], "end": [size]})
            read = np.log(bin_means(track, regions, 1, SIZES) + 1)
            expected = np.ones(1000)
            for _, start, end, name in (row for row in PUBLISHED if row[0] == chrom and row[3] != "NA"):
                expected[start:end] = {"A": 2, "B": 0}[name[0]]
            assert np.allclose(read, expected[:size], atol=1e-6)


def test_bins_that_a_map_lacks_are_unknown_in_the_track(tmp_path):
    table = pd.DataFrame({"chrom": "chr1", "start": [0, 600], "end": [100, 700], "pc1": [2.0, -2.0]})
    track = write_compartment_track(tmp_path / "track.bigWig", table, SIZES)
    regions = pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [900]})
    read = np.log(bin_means(track, regions, 100, SIZES) + 1)
    assert np.allclose(read, [2, 1, 1, 1, 1, 1, 0, 1, 1], atol=1e-6)


def test_the_real_subcompartments_of_gm12878_are_read_whole(real_data):
    path = real_data / "cells" / "GM12878" / "GM12878-subcompartments.bed.gz"
    sizes = read_chrom_sizes(real_data / "hg19.chrom.sizes")
    found = read_subcompartments(path, sizes)
    lines = pd.read_csv(path, sep="\t", header=None, keep_default_na=False)
    assert len(found) == len(lines) == 4064 and set(found["chrom"]) == {f"chr{n}" for n in range(1, 23)}
    assert found["name"].fillna("NA").value_counts().to_dict() == lines[3].value_counts().to_dict()
    bases = (found["end"] - found["start"]).groupby(found["chrom"]).sum()
    assert bases.to_dict() == {chrom: sizes[chrom] for chrom in bases.index}
    smaller = sizes | {"chr1": sizes["chr1"] - 200_000}
    with pytest.raises(InputError, match="is past the end of chr1"):
        read_subcompartments(path, smaller)
