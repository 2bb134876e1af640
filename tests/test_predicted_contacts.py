"Contacts without a map: elements from the marks, activity and distance, and the mean of other cell types."

import gzip
import json
import re
import shutil
from pathlib import Path

import cooler
import numpy as np
import pandas as pd
import papermill
import pytest
import yaml
from command_line import refused, succeed

from chromoformer.baselines.gcmerge import node_contacts, nodes_of
from chromoformer.data.bigwig import write_bigwig
from chromoformer.data.build import build_store, genes_of, pcres_of
from chromoformer.data.contacts import read_contacts, select_pcres
from chromoformer.data.coolers import CONTACT
from chromoformer.data.expression import read_genes
from chromoformer.data.fetch import fetch_plan
from chromoformer.data.manifest import Contacts, read_manifest
from chromoformer.data.predicted_contacts import (
    average_contacts,
    contacts_of,
    element_contacts,
    find_elements,
    read_elements,
    recovered,
    recovered_by_gene,
    relative_signal,
)
from chromoformer.data.store import Store
from chromoformer.data.tracks import coverage
from chromoformer.errors import InputError
from chromoformer.genome import read_chrom_sizes
from chromoformer.provenance import sha256
from chromoformer.studies.definition import read_study
from chromoformer.studies.jobs import jobs_of

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"chr1": 2_000_000}
KINDS = [["H3K27ac", "H3K4me1"], ["H3K27me3"]]
COUNTS = {"balance": False, "transform": "none"}  # of a map


def track(path, peaks, background=1.0, scale=1.0, size=2_000_000):
    "A bigWig of a flat background with blocks on it: (start, end, height)."
    depth = np.full(size, background)
    for start, end, height in peaks:
        depth[start:end] = height
    edge = np.append(0, np.flatnonzero(np.diff(depth)) + 1)
    write_bigwig(path, {"chr1": size}, [("chr1", edge, np.append(edge[1:], size), depth[edge] * scale)])
    return [path]


def gene_table(**tss):
    return pd.DataFrame({"gene_id": list(tss), "chrom": "chr1", "tss": list(tss.values())})


def middles(elements):
    return ((elements["start"] + elements["end"]) // 2).tolist()


@pytest.fixture(scope="module")
def described(toy):
    return read_manifest(toy / "cellA.yaml")


@pytest.fixture(scope="module")
def toy_sizes(described):
    return read_chrom_sizes(described.chrom_sizes.path)


@pytest.fixture(scope="module")
def toy_genes(described, toy_sizes):
    return genes_of(described, toy_sizes)


def with_contacts(described, **entry):
    return described.model_copy(update={"contacts": Contacts(**entry)})


# -- elements ------------------------------------------------------------------------------------------------


def test_planted_elements_are_found_with_few_others(toy, described, toy_sizes, toy_genes, tmp_path):
    tracks = {}
    for channel in described.channels:
        tracks[channel.name] = [channel.path]
        if channel.kind == "tagalign":
            tracks[channel.name] = [
                coverage(channel.path, toy_sizes, tmp_path / f"{channel.name}.bigWig", progress=False)
            ]
    planted = pd.read_parquet(toy / "truth" / "elements.parquet")
    shown = planted[(planted["activity"] > 0) | (planted["h3k4me1"] > 0)]
    elements = find_elements(
        {mark: tracks[mark] for kind in KINDS for mark in kind}, KINDS, toy_genes, toy_sizes
    )
    found, there = elements.assign(gene_id="all"), shown.assign(gene_id="all")
    assert (
        recovered(found, there[there["activity"] > 0])["recall"] > 0.9
        and recovered(found, there)["precision"] > 0.85
    )
    both = elements.merge(planted, on="chrom", suffixes=("", "_planted"))
    both = both[
        (both["start"] + both["end"]) // 2 // 1000
        == (both["start_planted"] + both["end_planted"]) // 2 // 1000
    ]
    active = both[both["activity_planted"] > 0]
    assert (
        active["kind"] == active["kind_planted"].map({"enhancer": "H3K27ac+H3K4me1", "silencer": "H3K27me3"})
    ).all()
    primed = both[(both["kind_planted"] == "enhancer") & (both["activity_planted"] == 0)]
    lowest = active.loc[active["kind_planted"] == "enhancer", "activity"].min()
    # One primed enhancer lies next to an active one.
    assert len(primed) > 5 and (primed["activity"] < lowest).mean() > 0.9


@pytest.mark.parametrize(("scale", "bin_size"), [(1, 200), (0.01, 200), (300, 200), (1, 100), (1, 500)])
def test_elements_do_not_depend_on_sequencing_depth_or_bin_width(tmp_path, scale, bin_size):
    peaks = [(300_000, 302_000, 30), (700_000, 701_000, 12), (1_200_000, 1_203_000, 3.5)]
    found = find_elements(
        {"mark": track(tmp_path / "mark.bigWig", peaks, scale=scale)},
        [["mark"]],
        gene_table(G=1_900_000),
        SIZES,
        bin_size=bin_size,
    )
    assert [round(middle, -3) for middle in middles(found)] == [301_000, 700_000] or np.allclose(
        middles(found), [301_000, 700_500], atol=bin_size
    )
    assert found["activity"].iloc[0] / found["activity"].iloc[1] == pytest.approx(30 / 12, rel=0.1)
    assert found["activity"].median() == pytest.approx(1)


def blocks_of_equal_heights(seed):
    "Blocks of a few lengths and small whole heights, so that many peaks are equal; with gaps of no coverage."
    random = np.random.default_rng(seed)
    starts = np.arange(20_000, 1_980_000, 2_000)[random.random(980) < 0.15]
    lengths = random.choice([200, 1000, 1800], len(starts))
    return [(start, start + length, random.integers(3, 9)) for start, length in zip(starts, lengths)]


@pytest.fixture(scope="module")
def equal_peaks():
    "Three marks, two of them the same; both a kind of their own."
    first, second = blocks_of_equal_heights(0), blocks_of_equal_heights(1)
    return {"H3K27ac": first, "H3K4me1": second, "H3K27me3": first}


def pcres_on_scale(folder, marks, factors):
    tracks = {}
    for mark, blocks in marks.items():
        background = 0.3 if mark == "H3K4me1" else 1.0  # 0.3 has no exact binary form
        tracks[mark] = track(folder / f"{mark}.bigWig", blocks, background, factors.get(mark, 1.0))
    genes = gene_table(G=1_000_000, H=400_000, E=5_000).assign(strand="+")
    elements = find_elements(tracks, [["H3K27ac", "H3K4me1"], ["H3K27me3"], ["H3K27ac"]], genes, SIZES)
    contacts = element_contacts(genes, elements)
    return elements, select_pcres(genes, contacts, min_score=0.7)


@pytest.mark.parametrize("factor", [1e-9, 1e-6, 1e-3, 0.1, 3, 7, 1e3, 1e6, 1e9])
@pytest.mark.parametrize("mark", ["H3K27ac", "H3K4me1", "H3K27me3", "all"])
def test_predicted_contacts_do_not_depend_on_the_unit_of_any_track(tmp_path, equal_peaks, mark, factor):
    elements, pcres = pcres_on_scale(tmp_path, equal_peaks, {})
    assert len(elements) > 100 and elements["kind"].nunique() == 2  # equal kinds: the first that is named
    factors = dict.fromkeys(equal_peaks, factor) if mark == "all" else {mark: factor}
    scaled_elements, scaled_pcres = pcres_on_scale(tmp_path, equal_peaks, factors)
    pd.testing.assert_frame_equal(scaled_elements, elements, rtol=1e-3)
    pd.testing.assert_frame_equal(scaled_pcres, pcres, rtol=1e-3)  # the same pCREs in the same order


def test_elements_equal_those_of_plain_numpy(tmp_path, equal_peaks):
    blocks = equal_peaks["H3K27ac"]
    depth = np.ones(2_000_000)
    for start, end, height in blocks:
        depth[start:end] = height
    bins = np.pad(depth.reshape(-1, 200).mean(1), 2, mode="edge")
    smooth = np.lib.stride_tricks.sliding_window_view(bins, 5).sum(1) / 5
    surroundings = np.maximum(np.median(smooth.reshape(-1, 500), 1), np.median(smooth)).repeat(500)
    files = track(tmp_path / "mark.bigWig", blocks)
    assert relative_signal(files, "chr1", SIZES) == pytest.approx(smooth / surroundings, rel=1e-12)


def test_bins_without_coverage_are_exactly_0_beside_very_high_ones(tmp_path):
    files = track(
        tmp_path / "mark.bigWig", [(500_000, 500_200, 1e12), (900_000, 900_200, 1e-12)], background=0.0
    )
    ratio = relative_signal(files, "chr1", SIZES)
    assert np.flatnonzero(ratio).tolist() == [*range(2498, 2503), *range(4498, 4503)]
    assert ratio[2500] / ratio[4500] == pytest.approx(1e24, rel=1e-4)


def test_signal_is_relative_to_the_surroundings_and_0_without_coverage(tmp_path):
    files = track(tmp_path / "one.bigWig", [(500_000, 1_000_000, 5), (700_000, 701_000, 50)], background=1.0)
    ratio = relative_signal(files, "chr1", SIZES)
    assert ratio[3600] == pytest.approx(1)  # inside the wide domain
    assert ratio.max() == pytest.approx(10)  # the peak on it
    write_bigwig(tmp_path / "none.bigWig", SIZES, [("chr1", np.array([0]), np.array([10]), np.array([1.0]))])
    assert np.count_nonzero(relative_signal([tmp_path / "none.bigWig"], "chr1", SIZES)) <= 10
    tiny = track(tmp_path / "tiny.bigWig", [(500, 700, 40)], size=1500)
    assert len(relative_signal(tiny, "chr1", {"chr1": 1500})) == 8  # the last bin is a half


@pytest.mark.parametrize(
    ("tss", "number"), [(499_000, 1), (498_049, 1), (498_050, 0), (501_000, 0), (503_050, 0), (503_051, 1)]
)
def test_a_peak_near_any_tss_is_a_promoter_not_an_element(tmp_path, tss, number):
    files = {"mark": track(tmp_path / "mark.bigWig", [(500_000, 501_000, 20)])}
    found = find_elements(
        files,
        [["mark"]],
        gene_table(G=1_000_000, other=tss),
        SIZES,
        bin_size=100,
        clear_of_tss=1000 if tss == 499_000 else 2500,
    )
    # The peak's middle is at 500,550, the middle of a bin; the slopes of a promoter's peak are not elements.
    assert len(found) == number


def test_elements_stay_inside_the_chromosome_and_apart_from_each_other(tmp_path):
    blocks = [(0, 1200, 9), (60_000, 61_000, 20), (62_000, 63_000, 30), (1_999_000, 2_000_000, 8)]
    found = find_elements(
        {"mark": track(tmp_path / "mark.bigWig", blocks)},
        [["mark"]],
        gene_table(G=1_000_000),
        SIZES,
        width=4000,
    )
    assert (found["start"] >= 0).all() and (found["end"] <= 2_000_000).all() and len(found) == 3
    assert 62_000 <= middles(found)[1] < 63_000  # the higher of two within one width


def test_a_bed_file_of_peaks_gives_the_elements(tmp_path):
    with gzip.open(tmp_path / "dnase.narrowPeak.gz", "wt") as text:
        text.write(
            "1\t300000\t300400\tpeak\t600\t.\t8.1\t12\t9\t200\nchr1\t700000\t700200\tpeak\t500\t.\t4.1\t7\t5\t90\nchrM\t1\t90\tx\t1\t.\t1\t1\t1\t5\n"
        )
    with pytest.warns(UserWarning, match="chrM"):
        given = read_elements(tmp_path / "dnase.narrowPeak.gz", SIZES)
    tracks = {"H3K27ac": track(tmp_path / "mark.bigWig", [(299_500, 301_000, 20), (900_000, 901_000, 50)])}
    found = find_elements(tracks, [["H3K27ac"]], gene_table(G=1_000_000), SIZES, given=given, width=500)
    assert found[["start", "end"]].values.tolist() == [[299_950, 300_450], [699_850, 700_350]]
    assert found["activity"].iloc[0] / found["activity"].iloc[1] == pytest.approx(20)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("chr1\t10\t3000000", "line 2.*chromosome"),
        ("chr1\t90\t90", "line 2.*ends at or before its start"),
        ("chr1\tten\t90", "line 2.*whole number"),
        ("chr9\t1\t5", None),
    ],
)
def test_errors_in_peaks_name_the_line(tmp_path, line, says):
    (tmp_path / "peaks.bed").write_text(f"chr1\t100\t200\n{line}\n")
    if says is None:
        with pytest.warns(UserWarning, match="chr9"):
            assert len(read_elements(tmp_path / "peaks.bed", SIZES)) == 1
        return
    with pytest.raises(InputError) as caught:
        read_elements(tmp_path / "peaks.bed", SIZES)
    assert re.search(says, str(caught.value).replace("\n", " ")) or all(
        part in str(caught.value) for part in says.split(".*")
    )


# -- scores --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("exponent", "max_distance"), [(1.024, 1_000_000), (0.0, 300_000), (2.0, 50_000)])
def test_every_gene_contacts_the_elements_within_reach_with_the_score_of_the_equation(exponent, max_distance):
    random = np.random.default_rng(0)
    genes = gene_table(**{f"g{i}": int(tss) for i, tss in enumerate(random.integers(0, 2_000_000, 15))})
    start = np.sort(random.integers(0, 1_996_000, 40))
    elements = pd.DataFrame(
        {
            "chrom": "chr1",
            "start": start,
            "end": start + random.integers(200, 4000, 40),
            "activity": random.lognormal(size=40),
        }
    ).sample(frac=1, random_state=0)
    expected = set()
    for tss in genes["tss"]:
        for row in elements.itertuples():
            distance = abs((row.start + row.end) // 2 - tss)
            if distance <= max_distance:
                expected.add(
                    (
                        tss,
                        row.start,
                        round(np.log(1 + row.activity * (max_distance / max(distance, 2000)) ** exponent), 9),
                    )
                )
    table = element_contacts(genes, elements, exponent, max_distance)
    assert {(row.start_a, row.start_b, round(row.score, 9)) for row in table.itertuples()} == expected
    assert (table["end_a"] - table["start_a"] == 1).all() and len(table) == len(expected)


def test_elements_in_the_promoter_window_are_left_out_and_contacts_hold_one_way():
    elements = pd.DataFrame(
        {
            "chrom": "chr1",
            "start": [99_000, 130_000, 400_000],
            "end": [103_000, 134_000, 404_000],
            "activity": 1.0,
        }
    )
    genes = gene_table(near=100_000, inside=401_000)
    pcres = select_pcres(genes, element_contacts(genes, elements), min_score=0, min_distance=20_000)
    assert pcres[pcres["gene_id"] == "near"]["start"].tolist() == [130_000, 400_000]
    assert pcres[pcres["gene_id"] == "inside"]["start"].tolist() == [130_000, 99_000]


def test_activity_prefers_active_elements_and_distance_the_nearest(tmp_path):
    peaks = [(1_030_000, 1_031_000, 6), (1_100_000, 1_101_000, 60)]
    tracks, genes = {"H3K27ac": track(tmp_path / "mark.bigWig", peaks)}, gene_table(G=1_000_000)
    first = {
        kind: select_pcres(
            genes,
            contacts_of(Contacts(kind=kind, marks=["H3K27ac"]), genes, SIZES, tracks),
            min_score=0,
            top=1,
        )["start"].iloc[0]
        for kind in ("activity", "distance")
    }
    assert first["activity"] > 1_090_000 and first["distance"] < 1_040_000


# -- averages ------------------------------------------------------------------------------------------------


def contact_table(*rows, **columns):
    return pd.DataFrame([("chr1", *row) for row in rows], columns=CONTACT).assign(**columns)


def test_the_mean_counts_a_missing_contact_as_0_whichever_side_comes_first():
    one = contact_table((0, 100, 500, 600, 4.0), (0, 100, 800, 900, 3.0), (0, 100, 800, 900, 2.0))
    two = contact_table((500, 600, 0, 100, 2.0))
    three = contact_table((0, 100, 500, 600, 9.0))
    pcres = select_pcres(gene_table(G=50), average_contacts([one, two, three]), min_score=0)
    assert pcres[["start", "score"]].values.tolist() == [
        [500, 5.0],
        [800, 1.0],
    ]  # listed twice: the higher score counts
    assert select_pcres(gene_table(G=50), average_contacts([one]), min_score=0).equals(
        select_pcres(gene_table(G=50), one, min_score=0)
    )


def test_scores_of_one_direction_stay_in_it():
    one = contact_table((0, 100, 500, 600, 4.0), (500, 600, 0, 100, 2.0), one_way=True)
    mean = average_contacts([one, contact_table((0, 100, 500, 600, 2.0))])
    assert select_pcres(gene_table(G=50, H=550), mean)["score"].tolist() == [3.0, 2.0]


def test_cell_types_without_a_contact_in_common_are_reported():
    with pytest.warns(UserWarning, match="have no pair of intervals in common"):
        average_contacts([contact_table((0, 100, 500, 600, 4.0)), contact_table((0, 101, 500, 600, 4.0))])


def test_averaged_maps_give_the_pcres_of_the_averaged_pairs(tmp_path):
    random = np.random.default_rng(0)
    bins = pd.DataFrame(
        {"chrom": "chr1", "start": np.arange(200) * 10_000, "end": np.arange(1, 201) * 10_000}
    )
    first, second = np.triu_indices(200, 1)
    entries: dict = {"cool": [], "pairs": []}
    for name in ("one", "two"):
        counts = random.poisson(30 / (second - first))
        seen = counts > 0
        cooler.create_cooler(
            str(tmp_path / f"{name}.cool"),
            bins,
            pd.DataFrame({"bin1_id": first[seen], "bin2_id": second[seen], "count": counts[seen]}),
        )
        lines = [
            f"chr1:{i}0000-{i + 1}0000\tchr1:{j}0000-{j + 1}0000\t{count}\n"
            for i, j, count in zip(first[seen], second[seen], counts[seen])
        ]
        (tmp_path / f"{name}.tsv").write_text("fragment_a\tfragment_b\tscore\n" + "".join(lines))
        entries["cool"].append({"kind": "cool", "path": str(tmp_path / f"{name}.cool"), **COUNTS})
        entries["pairs"].append({"kind": "pairs", "path": str(tmp_path / f"{name}.tsv")})
    genes = gene_table(G=505_000, H=1_212_000)
    found = {
        kind: select_pcres(
            genes,
            contacts_of(Contacts(kind="average", of=of, min_distance=20_000), genes, SIZES, {}),
            min_score=1.5,
            min_distance=20_000,
        )
        for kind, of in entries.items()
    }
    assert found["cool"].equals(found["pairs"]) and len(found["cool"]) == 16


@pytest.fixture(scope="module")
def dense_maps(tmp_path_factory):
    "Two maps in which three genes have more than 100 contacts each; the weights of the second divide."
    folder = tmp_path_factory.mktemp("dense")
    random = np.random.default_rng(5)
    sizes = {"chr1": 400_000, "chr2": 300_000}
    bins = cooler.binnify(pd.Series(sizes), 1000)
    entries, matrices = [], []
    for name, column in (("one", "weight"), ("two", "KR")):
        weights = np.where(random.random(len(bins)) < 0.05, np.nan, random.uniform(0.5, 2, len(bins)))
        one, two = np.triu_indices(len(bins))
        kept = random.random(len(one)) < 0.7
        pixels = pd.DataFrame({"bin1_id": one, "bin2_id": two, "count": random.integers(1, 200, len(one))})
        cooler.create_cooler(str(folder / f"{name}.cool"), bins.assign(**{column: weights}), pixels[kept])
        matrix = cooler.Cooler(str(folder / f"{name}.cool")).matrix(balance=column)  # cooler divides by KR
        matrices.append({chrom: np.nan_to_num(matrix.fetch(chrom)) for chrom in sizes})
        entries.append({"kind": "cool", "path": str(folder / f"{name}.cool"), **COUNTS, "balance": column})
    return sizes, entries, matrices


@pytest.mark.parametrize("top", [1, 8, 150])
def test_the_mean_is_taken_over_all_contacts_before_the_best_are_chosen(dense_maps, top):
    sizes, entries, matrices = dense_maps
    genes = pd.DataFrame(
        {"gene_id": ["G", "H", "I"], "chrom": ["chr1", "chr1", "chr2"], "tss": [300_500, 7, 299_999]}
    )
    entry = Contacts(kind="average", of=entries, min_distance=2000, top=top)
    chosen = select_pcres(genes, contacts_of(entry, genes, sizes, {}), top=top, min_distance=2000)
    for gene in genes.itertuples():
        mean = np.mean([matrix[gene.chrom][gene.tss // 1000] for matrix in matrices], axis=0)
        start = np.arange(len(mean)) * 1000
        gap = np.maximum(start - gene.tss, gene.tss - (start + 999))
        mean[(gap < 2000) | (mean <= 1.5)] = 0
        best = np.sort(mean)[::-1][:top]
        mine = chosen[chosen["gene_id"] == gene.gene_id]
        assert np.allclose(mine["score"], best[best > 0], rtol=1e-12)
        assert np.allclose(mean[mine["start"] // 1000], mine["score"], rtol=1e-12)


def test_a_contact_that_is_not_among_the_100_strongest_of_one_map_keeps_its_mean(tmp_path):
    bins = cooler.binnify(pd.Series({"chr1": 400_000}), 1000)
    for name, counts in (("one", [10] * 150 + [9]), ("two", [0] * 150 + [20])):
        pixels = pd.DataFrame({"bin1_id": np.arange(151), "bin2_id": 300, "count": counts}).query("count > 0")
        cooler.create_cooler(str(tmp_path / f"{name}.cool"), bins, pixels)
    of = [{"kind": "cool", "path": str(tmp_path / f"{name}.cool"), **COUNTS} for name in ("one", "two")]
    genes = gene_table(G=300_500)
    found = contacts_of(Contacts(kind="average", of=of), genes, {"chr1": 400_000}, {})
    best = select_pcres(genes, found, top=1)
    assert best[["start", "score"]].values.tolist() == [[150_000, 14.5]]


def test_maps_and_lists_are_averaged_together_and_nothing_in_common_is_reported(dense_maps, tmp_path):
    sizes, entries, matrices = dense_maps
    genes = pd.DataFrame({"gene_id": ["G", "I"], "chrom": ["chr1", "chr2"], "tss": [300_500, 250_000]})
    (tmp_path / "list.tsv").write_text(
        "fragment_a\tfragment_b\tscore\nchr1:10000-11000\tchr1:300000-301000\t9000\n"
    )
    of = [entries[0], {"kind": "pairs", "path": str(tmp_path / "list.tsv")}]
    found = contacts_of(Contacts(kind="average", of=of), genes, sizes, {})
    best = select_pcres(genes, found)
    assert best["start"].iloc[0] == 10_000 and set(best["chrom"]) == {"chr1", "chr2"}
    assert np.isclose(best["score"].iloc[0], (9000 + matrices[0]["chr1"][300, 10]) / 2)
    (tmp_path / "list.tsv").write_text(
        "fragment_a\tfragment_b\tscore\nchr1:10001-11001\tchr1:300000-301000\t9000\n"
    )
    with pytest.warns(UserWarning, match="2 cell types have no pair of intervals in common"):
        contacts_of(Contacts(kind="average", of=of), genes, sizes, {})
    with pytest.warns(UserWarning, match="one.cool: the map lacks chr3, so that 1 TSSs have no contacts"):
        more = pd.concat([genes, pd.DataFrame({"gene_id": ["J"], "chrom": ["chr3"], "tss": [5]})])
        contacts_of(Contacts(kind="average", of=[entries[0]]), more, sizes | {"chr3": 900}, {})


# -- manifests and stores ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contacts", "says"),
    [
        ({"kind": "activity", "marks": ["H3K79me2"]}, ["H3K79me2", "H3K27ac"]),
        ({"kind": "activity", "marks": ["H3K27ac"], "exponant": 1}, ["contacts.exponant", "spelling"]),
        ({"kind": "activity", "tss_distance": 500}, ["tss_distance"]),
        ({"kind": "distance", "width": 50_000}, ["width", "40000"]),
        ({"kind": "distance", "max_distance": 10_000}, ["max_distance", "20000"]),
        ({"kind": "activity", "path": ["one.bed", "two.bed"]}, ["one file"]),
        ({"kind": "pairs", "path": "cellA/contacts.tsv.gz", "exponent": 2.0}, ["exponent", "kind pairs"]),
        ({"kind": "pairs"}, ["path is missing"]),
        ({"kind": "activity", "otherwise": {"kind": "distance"}}, ["otherwise", "no genes to complete"]),
        (
            {"kind": "pairs", "path": "cellA/contacts.tsv.gz", "otherwise": {"kind": "pairs", "path": "x"}},
            ["otherwise", "activity or distance"],
        ),
        (
            {
                "kind": "pairs",
                "path": "cellA/contacts.tsv.gz",
                "otherwise": {"kind": "activity", "marks": ["H3K79me2"]},
            },
            ["H3K79me2", "H3K27ac"],
        ),
        ({"kind": "average"}, ["of:"]),
        ({"kind": "average", "of": [{"kind": "activity"}]}, ["of:", "measured"]),
        (
            {"kind": "average", "of": [{"kind": "pairs", "path": "x", "min_score": 3}]},
            ["min_score", "next to"],
        ),
        ({"kind": "average", "of": [{"kind": "pears", "path": "x"}]}, ["contacts.of.0.kind", "pears"]),
        (
            {"kind": "average", "of": [{"kind": "pairs", "path": "gone.tsv"}]},
            ["gone.tsv", "no such file", "contacts.1"],
        ),
    ],
)
def test_options_that_do_not_fit_the_contacts_are_refused_by_name(toy, tmp_path, contacts, says):
    content = yaml.safe_load((toy / "cellA.yaml").read_text()) | {"contacts": contacts}
    file = toy / "wrong.yaml"
    file.write_text(yaml.safe_dump(content))
    try:
        refused(tmp_path, "build", file, "--out", tmp_path / "wrong.h5", says=says)
    finally:
        file.unlink()


def test_without_enhancer_marks_the_manifest_must_name_marks(toy, toy_genes, toy_sizes, tmp_path):
    content = yaml.safe_load((toy / "cellA.yaml").read_text()) | {"contacts": {"kind": "activity"}}
    content["channels"] = [
        channel for channel in content["channels"] if channel["name"] not in ("H3K27ac", "H3K4me1")
    ]
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match="neither H3K27ac nor H3K4me1"):
        read_manifest(tmp_path / "few.yaml", toy)
    content["channels"].append({"name": "H3K4me1", "kind": "bigwig", "path": "cellA/H3K4me1.bigWig"})
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(content))
    manifest = read_manifest(tmp_path / "few.yaml", toy)
    assert len(pcres_of(manifest, toy_genes, toy_sizes)) > 100


def test_genes_without_a_measured_contact_get_predicted_ones(toy, described, toy_genes, toy_sizes, tmp_path):
    half = set(toy_genes["gene_id"][::2])
    contacts = read_contacts("pairs", toy / "cellA" / "contacts.tsv.gz", toy_sizes)
    every = select_pcres(toy_genes, contacts)
    sites = toy_genes.set_index("gene_id")["tss"]
    kept = every[every["gene_id"].isin(half)]
    lines = ["fragment_a\tfragment_b\tscore"]
    for row in kept.itertuples():
        tss = sites[row.gene_id]
        lines.append(f"{row.chrom}:{tss}-{tss + 1}\t{row.chrom}:{row.start}-{row.end}\t{row.score}")
    (tmp_path / "half.tsv").write_text("\n".join(lines) + "\n")
    measured = {"kind": "pairs", "path": str(tmp_path / "half.tsv")}
    predicted = {"kind": "activity", "marks": KINDS, "top": 5}
    alone = pcres_of(with_contacts(described, **measured), toy_genes, toy_sizes)
    likely = pcres_of(with_contacts(described, **predicted), toy_genes, toy_sizes)
    both = pcres_of(with_contacts(described, **measured, otherwise=predicted), toy_genes, toy_sizes)
    columns = ["gene_id", "start", "end", "rank"]
    of_measured = both["gene_id"].isin(alone["gene_id"])
    pd.testing.assert_frame_equal(both[of_measured].reset_index(drop=True), alone)
    added = both[~of_measured].reset_index(drop=True)
    expected = likely[~likely["gene_id"].isin(alone["gene_id"])].reset_index(drop=True)
    assert len(added) > 0 and added[columns].equals(expected[columns])
    assert added["score"].iloc[np.argsort(expected["score"])].is_monotonic_increasing  # on another scale
    assert alone["score"].min() <= added["score"].min() and added["score"].max() <= alone["score"].max()
    assert abs(added["score"].median() - alone["score"].median()) < 0.05 * alone["score"].median()
    order = toy_genes.reset_index().set_index("gene_id")["index"]
    assert both["gene_id"].map(order).is_monotonic_increasing


def test_a_store_of_predicted_contacts_records_all_its_inputs(toy, toy_store, tmp_path):
    content = yaml.safe_load((toy / "cellA.yaml").read_text())
    mine = tmp_path / "toy"
    shutil.copytree(toy, mine)
    planted = pd.read_parquet(mine / "truth" / "elements.parquet")
    planted[["chrom", "start", "end"]].to_csv(mine / "peaks.bed", sep="\t", header=False, index=False)
    (mine / "B.tsv").write_bytes(
        gzip.decompress((mine / "cellA" / "contacts.tsv.gz").read_bytes()).replace(b".", b".1")
    )
    kinds = {
        "activity": {"kind": "activity", "marks": KINDS},
        "distance": {"kind": "distance", "path": "peaks.bed", "width": 2000, "top": 5},
        "average": {
            "kind": "average",
            "of": [{"kind": "pairs", "path": "cellA/contacts.tsv.gz"}, {"kind": "pairs", "path": "B.tsv"}],
        },
        "completed": {
            "kind": "pairs",
            "path": "cellA/contacts.tsv.gz",
            "otherwise": {"kind": "distance", "path": "peaks.bed", "width": 2000},
        },
    }
    for name, contacts in kinds.items():
        (mine / f"{name}.yaml").write_text(yaml.safe_dump(content | {"name": "cellA", "contacts": contacts}))
        succeed("build", mine / f"{name}.yaml", "--out", tmp_path / f"{name}.h5", "--processes", 1)
    plain, (activity, distance, average, completed) = (
        Store(toy_store),
        (Store(tmp_path / f"{name}.h5") for name in kinds),
    )
    assert activity.genes.equals(plain.genes) and set(activity.inputs) == set(plain.inputs) - {"contacts"}
    assert distance.inputs["contacts"]["sha256"] == sha256(mine / "peaks.bed")
    assert completed.inputs["contacts.otherwise"]["sha256"] == sha256(mine / "peaks.bed")
    first, second = (average.inputs[f"contacts.{number}"] for number in (1, 2))
    assert (
        first["sha256"] == plain.inputs["contacts"]["sha256"] and "mean over 2 cell types" in first["score"]
    )
    assert second["sha256"] == sha256(mine / "B.tsv")
    assert (
        json.loads((tmp_path / "activity.provenance.json").read_text())["parameters"]["contacts"]["marks"]
        == KINDS
    )
    widths = (distance.regions["end"] - distance.regions["start"]).iloc[distance.pcres["region"].unique()]
    assert set(widths) == {2000} and distance.pcres.groupby("gene").size().max() == 5
    for store in (activity, distance, average):  # promoters have the same depth as in the plain store
        at, there = store.promoter_region[7], plain.promoter_region[7]
        assert np.array_equal(store.region_depth(at), plain.region_depth(there))
    content["contacts"] = kinds["average"] | {
        "of": [kinds["average"]["of"][0], {"kind": "pairs", "path": "B.tsv", "sha256": "0" * 64}]
    }
    (mine / "average.yaml").write_text(yaml.safe_dump(content))
    refused(
        tmp_path,
        "build",
        mine / "average.yaml",
        "--out",
        tmp_path / "again.h5",
        says=["B.tsv", "sha256: expected 0000"],
    )


def test_reads_and_the_track_made_from_them_predict_the_same_contacts(
    described, toy_sizes, toy_genes, tmp_path
):
    marks = {"kind": "activity", "marks": ["H3K27me3"]}
    channel = next(channel for channel in described.channels if channel.name == "H3K27me3")
    made = channel.model_copy(
        update={
            "kind": "bigwig",
            "path": str(coverage(channel.path, toy_sizes, tmp_path / "k27.bigWig", progress=False)),
        }
    )
    track = described.model_copy(update={"channels": [made]})
    found = [
        pcres_of(with_contacts(manifest, **marks), toy_genes, toy_sizes) for manifest in (described, track)
    ]
    assert found[0].equals(found[1]) and len(found[0]) > 100


def test_the_sources_of_an_average_are_fetched_before_the_store(toy, tmp_path):
    content = yaml.safe_load((toy / "cellA.yaml").read_text())
    of = [
        {"kind": "pairs", "path": f"{name}.tsv", "url": f"https://example.org/{name}.tsv", "size": 9}
        for name in ("B", "C")
    ]
    (toy / "fetched.yaml").write_text(yaml.safe_dump(content | {"contacts": {"kind": "average", "of": of}}))
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "one",
                "out": "runs",
                "cell_types": {"cellA": str(toy / "fetched.yaml")},
                "analyses": {"train": {}},
            }
        )
    )
    plan = fetch_plan(toy / "fetched.yaml", ask=False).set_index("role")
    made = jobs_of(read_study(tmp_path / "study.yaml"), tmp_path / "study.yaml", ROOT / "nbs" / "analyses")
    (toy / "fetched.yaml").unlink()
    assert [Path(plan.loc[role, "file"]).name for role in ("contacts.1", "contacts.2")] == [
        "B.tsv",
        "C.tsv",
    ] and plan.loc["contacts.1", "state"] == "to fetch"
    assert made["stores/cellA.h5"].needs == ("fetch/cellA",) and "fetch/cellA" in made


def test_files_of_an_average_that_are_not_fetched_are_inputs_of_the_store(toy, tmp_path):
    content = yaml.safe_load((toy / "cellA.yaml").read_text())
    of = [{"kind": "pairs", "path": f"{name}.tsv"} for name in ("B", "C")]
    (toy / "local.yaml").write_text(yaml.safe_dump(content | {"contacts": {"kind": "average", "of": of}}))
    study = {"name": "one", "out": "runs", "cell_types": {"cellA": str(toy / "local.yaml")}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study | {"analyses": {"train": {}}}))
    made = jobs_of(read_study(tmp_path / "study.yaml"), tmp_path / "study.yaml", ROOT / "nbs" / "analyses")
    (toy / "local.yaml").unlink()
    inputs = made["stores/cellA.h5"].inputs
    assert [Path(inputs[name]).name for name in ("contacts.1", "contacts.2")] == ["B.tsv", "C.tsv"]


def test_the_graph_model_accepts_averages_and_refuses_predictions(toy, described):
    path = str(toy / "cellA" / "contacts.tsv.gz")
    nodes = nodes_of(described, 10_000)
    alone, mean = (
        node_contacts(with_contacts(described, **entry), nodes, 10)
        for entry in (
            {"kind": "pairs", "path": path},
            {"kind": "average", "of": [{"kind": "pairs", "path": path}] * 2},
        )
    )
    assert (alone != mean).nnz == 0
    with pytest.raises(InputError, match="no measured contacts"):
        node_contacts(with_contacts(described, kind="activity"), nodes, 10)


def test_an_analysis_of_one_cell_type_gets_the_manifests_of_all(tmp_path):
    study = {
        "name": "two",
        "out": "runs",
        "simulate": {"genes": 60},
        "cell_types": {"cellA": "cellA.yaml", "cellB": "cellB.yaml"},
        "analyses": {"contacts": {"cell_types": ["cellA"]}},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    made = jobs_of(read_study(tmp_path / "study.yaml"), tmp_path / "study.yaml", ROOT / "nbs" / "analyses")
    [key] = [key for key in made if key.startswith("contacts")]
    assert key == "contacts/classification/cellA" and made[key].parameters["manifests"] == {
        "cellA": "toy/cellA.yaml",
        "cellB": "toy/cellB.yaml",
    }


# -- real data -----------------------------------------------------------------------------------------------


def test_real_loops_end_at_predicted_elements_more_often_than_near_them(real_data):
    "H3K4me1 of GM12878 in 10-kb bins, chromosome 1, and anchors without a TSS of loops in the same cells."
    sizes = read_chrom_sizes(real_data / "hg19.chrom.sizes")
    genes = read_genes("gtf", real_data / "gencode.v10.genes.hg19.gtf.gz", sizes, gene_type="protein_coding")
    genes = genes[genes["chrom"] == "chr1"]
    tracks = {"H3K4me1": [real_data / "gm12878" / "E116-H3K4me1.counts10kb.bigWig"]}
    elements = find_elements(
        tracks, [["H3K4me1"]], genes, sizes, width=10_000, bin_size=10_000, least=2.0, clear_of_tss=10_000
    )
    contacts = read_contacts("bedpe", real_data / "gm12878" / "GM12878.loops.bedpe.gz", sizes)
    loops = select_pcres(genes, contacts, tss_distance=10_000)
    found = recovered(elements.assign(gene_id="all"), loops.assign(gene_id="all"))["recall"]
    moved = [
        elements.assign(gene_id="all", start=elements["start"] + shift, end=elements["end"] + shift)
        for shift in (-300_000, -150_000, 150_000, 300_000)
    ]
    nearby = [recovered(table, loops.assign(gene_id="all"))["recall"] for table in moved]
    assert len(elements) > 300 and found > 1.3 * max(nearby)


def test_links_are_counted_gene_by_gene():
    columns = ["gene_id", "chrom", "start", "end"]
    links = pd.DataFrame(
        [("A", "chr1", 0, 100), ("A", "chr1", 500, 600), ("B", "chr1", 0, 100), ("C", "chr1", 0, 100)],
        columns=columns,
    )
    pcres = pd.DataFrame(
        [("A", "chr1", 40, 90), ("A", "chr1", 10, 30), ("B", "chr2", 0, 100), ("D", "chr1", 0, 100)],
        columns=columns,
    )
    found = recovered_by_gene(pcres, links)
    expected = {"A": (2, 2, 1, 2), "B": (1, 1, 0, 0), "C": (1, 0, 0, 0), "D": (0, 1, 0, 0)}
    for gene, counts in expected.items():
        assert tuple(found.loc[gene, ["links", "pcres", "found", "right"]]) == counts
    total = recovered(pcres, links)
    assert (total["recall"], total["precision"], total["found"]) == (1 / 4, 2 / 4, 1)


# -- the analysis --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_notebook_compares_all_selections_and_lists_those_it_cannot(toy, toy_store, tmp_path):
    small = {"layers": 1, "heads": 2, "width": 8, "attention_width": 8, "feed_forward_width": 8}
    common = {
        "manifest": str(toy / "cellA.yaml"),
        "truth": str(toy / "truth"),
        "network": {"embedding": small, "pairwise": small, "regulation": small, "head_width": 8},
        "recipe": {"epochs": 1, "batch_size": 8},
        "held_out": [1, 2],
        "processes": 1,
        "draws": 20,
        "predicted": {"marks": KINDS},
    }

    def run(out, **parameters):
        out.mkdir()
        papermill.execute_notebook(
            ROOT / "nbs" / "analyses" / "contacts.ipynb",
            out / "notebook.ipynb",
            common | parameters | {"out": str(out)},
            progress_bar=False,
            cwd=ROOT,
        )
        return json.loads((out / "metrics.json").read_text())

    (tmp_path / "cellB.tsv").write_bytes(gzip.decompress((toy / "cellA" / "contacts.tsv.gz").read_bytes()))
    content = yaml.safe_load((toy / "cellA.yaml").read_text()) | {
        "name": "cellB",
        "contacts": {"kind": "pairs", "path": str(tmp_path / "cellB.tsv")},
    }
    (toy / "neighbour.yaml").write_text(yaml.safe_dump(content))
    names = {"cellA": str(toy / "cellA.yaml"), "cellB": str(toy / "neighbour.yaml")}
    results = run(tmp_path / "all", store=str(toy_store), manifests=names, seeds=2)
    (toy / "neighbour.yaml").unlink()
    assert {row["model"] for row in results["means"]} == {
        "measured",
        "other cell types",
        "activity and distance",
        "distance alone",
        "none",
    }
    assert (
        results["refused"] == {}
        and results["averaged"] == ["cellB"]
        and len(list((tmp_path / "all" / "runs").glob("*/seed*/fold*/metrics.json"))) == 20
    )
    assert (
        results["recall of planted, both, measured"]["value"]
        == results["recall of planted, both, other cell types"]["value"]
        == 1
    )
    assert 0.4 < results["recall of planted, both, activity and distance"]["value"] < 1
    gained = {row["model"]: row for row in results["differences"] if row["reference"] == "none"}
    values = {row["model"]: row["value"] for row in results["means"] if row["metric"] == "auc"}
    for model, row in gained.items():
        kept = results[f"{model} minus none"]
        assert kept == {name: row[name] for name in ("value", "low", "high", "verdict")}
        assert np.isclose(kept["value"], values[model] - values["none"]) and row["trainings"] == 2
    nearer = results["recall of planted, both, activity and distance minus distance alone"]
    shares = [
        results[f"recall of planted, both, {name}"]["value"]
        for name in ("activity and distance", "distance alone")
    ]
    assert np.isclose(nearer["value"], shares[0] - shares[1])
    assert nearer["low"] < nearer["value"] < nearer["high"]
    table = pd.read_parquet(tmp_path / "all" / "predictions.parquet")
    assert (
        set(table["fold"]) == {1, 2}
        and set(table["seed"]) == {0, 1}
        and not table.duplicated(["model", "seed", "gene_id"]).any()
        and len(list((tmp_path / "all" / "figures").glob("*.png"))) == 2
    )

    bare = yaml.safe_load((toy / "cellA.yaml").read_text()) | {"contacts": {"kind": "none"}}
    (tmp_path / "bare.yaml").write_text(yaml.safe_dump(bare))
    build_store(read_manifest(tmp_path / "bare.yaml", toy), tmp_path / "bare.h5", progress=False)
    results = run(
        tmp_path / "bare",
        store=str(tmp_path / "bare.h5"),
        manifest=str(tmp_path / "bare.yaml"),
        data=str(toy),
        truth="",
    )
    assert set(results["refused"]) == {"measured", "other cell types"} and results["recovery"] == []
    assert {row["reference"] for row in results["differences"]} == {"none"}
    results = run(tmp_path / "once", store=str(toy_store), seeds=1)
    assert {row["verdict"] for row in results["differences"]} == {"not tested"}
