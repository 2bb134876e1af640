"Hi-C maps compared with the cooler library: balancing, transforms, pieces, and errors."

import os
from pathlib import Path

import cooler
import numpy as np
import pandas as pd
import pytest

from chromoformer.data import coolers
from chromoformer.data.coolers import bin_weights, expected_counts, open_cooler, read_cool
from chromoformer.errors import InputError
from chromoformer.genome import read_chrom_sizes

DATA = os.environ.get("CHROMOFORMER_DATA", "")
needs_data = pytest.mark.skipif(
    not DATA, reason="CHROMOFORMER_DATA is not set: the shared real data are not here"
)
SIZES = {"chr1": 12_500, "chr2": 8_000}  # the last bin of chr1 is half a bin


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    "Two chromosomes named without chr, bins of 1 kb, both kinds of weights, and one bin without a weight."
    random = np.random.default_rng(3)
    bins = cooler.binnify(pd.Series({"1": 12_500, "2": 8_000}), 1000)
    bins["weight"] = random.uniform(0.5, 2, len(bins))
    bins.loc[4, "weight"] = np.nan
    bins["KR"] = 1 / bins.weight
    one, two = np.triu_indices(len(bins))
    kept = random.random(len(one)) < 0.8
    pixels = pd.DataFrame({"bin1_id": one, "bin2_id": two, "count": random.integers(1, 100, len(one))})[kept]
    path = tmp_path_factory.mktemp("maps") / "toy.cool"
    cooler.create_cooler(str(path), bins, pixels)
    return path


def cis(path, chrom, balance):
    "The contacts in cooler's own dense matrix of a chromosome, as the reference."
    matrix = cooler.Cooler(str(path)).matrix(balance=balance).fetch(chrom)
    raw = cooler.Cooler(str(path)).matrix(balance=False).fetch(chrom)
    one, two = np.nonzero(np.triu(raw))
    return {(i * 1000, j * 1000): matrix[i, j] for i, j in zip(one, two) if np.isfinite(matrix[i, j])}


def found(contacts, chrom):
    rows = contacts[contacts.chrom == chrom]
    return dict(zip(zip(rows.start_a, rows.start_b), rows.score))


@pytest.mark.parametrize("balance", [False, "weight", "KR"])
def test_balanced_scores_equal_those_of_cooler_and_trans_contacts_are_left_out(toy, balance):
    contacts = read_cool(toy, SIZES, balance=balance)
    for name in ("1", "2"):
        expected, got = cis(toy, name, balance), found(contacts, f"chr{name}")
        assert got.keys() == expected.keys()
        assert np.allclose([got[key] for key in expected], list(expected.values()), rtol=1e-14)


def test_the_name_of_the_weights_decides_whether_they_divide_unless_divisive_is_given(toy):
    opened = open_cooler(toy)
    weights = bin_weights(opened, "weight")
    assert np.isnan(weights[4]) and np.allclose(bin_weights(opened, "KR"), weights, equal_nan=True)
    assert np.allclose(bin_weights(opened, "weight", divisive=True), 1 / weights, equal_nan=True)
    assert (bin_weights(opened, False) == 1).all()
    with pytest.raises(InputError, match="no column 'VC' of weights; there are: KR, weight"):
        bin_weights(opened, "VC")


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_contacts_do_not_depend_on_the_size_of_the_pieces(toy, monkeypatch, piece):
    whole = read_cool(toy, SIZES, transform="observed_over_expected")
    monkeypatch.setattr(coolers, "PIECE", piece)
    assert read_cool(toy, SIZES, transform="observed_over_expected").equals(whole)


def test_the_expected_count_is_the_mean_over_all_usable_pairs_at_a_distance(toy):
    matrix = np.nan_to_num(cooler.Cooler(str(toy)).matrix(balance="weight").fetch("1"), nan=np.nan)
    size = len(matrix)
    oracle = [np.nanmean([matrix[i, i + d] for i in range(size - d)]) for d in range(size)]
    expected = expected_counts(open_cooler(toy), "1", bin_weights(open_cooler(toy))[:size])
    usable = np.array(oracle) > 0
    assert (
        np.allclose(expected[usable], np.array(oracle)[usable], rtol=1e-12)
        and np.isnan(expected[~usable]).all()
    )


def test_transforms_are_applied_to_balanced_counts(toy):
    plain = found(read_cool(toy, SIZES), "chr2")
    for transform, function in (("log1p", np.log1p), ("log10", np.log10)):
        transformed = found(read_cool(toy, SIZES, transform=transform), "chr2")
        assert all(transformed[key] == function(count) for key, count in plain.items())
    over = found(read_cool(toy, SIZES, transform="observed_over_expected"), "chr2")
    expected = expected_counts(open_cooler(toy), "2", bin_weights(open_cooler(toy))[13:])
    assert all(np.isclose(over[a, b], score / expected[(b - a) // 1000]) for (a, b), score in plain.items())
    with pytest.raises(
        InputError, match="transform 'sqrt' is unknown\n.*none, log1p, log10, observed_over_expected"
    ):
        read_cool(toy, SIZES, transform="sqrt")


def test_only_contacts_of_bins_near_a_site_are_read(toy):
    sites = pd.DataFrame({"chrom": ["chr1"], "tss": [3100]})
    near = read_cool(toy, SIZES, sites=sites)
    assert (
        len(near) and ((near.start_a == 3000) | (near.start_b == 3000)).all() and set(near.chrom) == {"chr1"}
    )
    wider = read_cool(toy, SIZES, sites=sites, tss_distance=101)  # base 2999 is 101 bp away from the TSS
    both = wider[["start_a", "start_b"]].isin([2000, 3000]).any(axis=1)
    assert both.all() and (wider[["start_a", "start_b"]] == 2000).any(axis=None)
    assert len(read_cool(toy, SIZES, sites=sites, tss_distance=100)) == len(near)
    assert read_cool(toy, SIZES, sites=sites.assign(chrom="chr9")).empty


def test_the_last_bin_ends_with_the_chromosome(toy):
    contacts = read_cool(toy, SIZES)
    assert contacts[contacts.chrom == "chr1"].end_b.max() == 12_500


def test_a_map_stored_as_a_square_gives_each_pair_once(tmp_path):
    bins = cooler.binnify(pd.Series({"1": 3000}), 1000)
    pixels = pd.DataFrame({"bin1_id": [0, 0, 1, 1], "bin2_id": [1, 2, 0, 1], "count": [5, 6, 5, 1]})
    cooler.create_cooler(str(tmp_path / "s.cool"), bins, pixels, symmetric_upper=False)
    assert found(read_cool(tmp_path / "s.cool", {"chr1": 3000}, balance=False), "chr1") == {
        (0, 1000): 5,
        (0, 2000): 6,
        (1000, 1000): 1,
    }


def test_bins_of_mixed_widths_are_read_but_have_no_expected_counts(tmp_path):
    bins = pd.DataFrame({"chrom": "1", "start": [0, 700, 2000], "end": [700, 2000, 3000]})
    pixels = pd.DataFrame({"bin1_id": [0], "bin2_id": [2], "count": [5]})
    cooler.create_cooler(str(tmp_path / "f.cool"), bins, pixels)
    contacts = read_cool(tmp_path / "f.cool", {"chr1": 3000}, balance=False)
    assert contacts.values.tolist() == [["chr1", 0, 700, 2000, 3000, 5.0]]
    with pytest.raises(InputError, match="needs bins of one width"):
        read_cool(tmp_path / "f.cool", {"chr1": 3000}, balance=False, transform="observed_over_expected")


def test_an_mcool_needs_a_resolution_and_the_error_lists_them(toy, tmp_path):
    path = tmp_path / "toy.mcool"
    cooler.zoomify_cooler(str(toy), str(path), [1000, 2000], chunksize=1000)
    assert (
        open_cooler(path, 2000).binsize == 2000 and open_cooler(f"{path}::/resolutions/1000").binsize == 1000
    )
    for resolution in (None, 5000):
        with pytest.raises(
            InputError, match=f"resolution {resolution} is not among those of this file: 1000, 2000"
        ):
            open_cooler(path, resolution)
    with pytest.raises(InputError, match="the bins are 1000 bp wide, not 2000"):
        open_cooler(toy, 2000)
    with pytest.raises(InputError, match="no map '/resolutions/9' in this file"):
        open_cooler(f"{path}::/resolutions/9")
    total = read_cool(path, SIZES, resolution=2000, balance=False).score.sum()
    assert total == read_cool(toy, SIZES, balance=False).score.sum()


def test_missing_foreign_and_truncated_files_are_refused(toy, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        open_cooler(tmp_path / "none.cool")
    (tmp_path / "text.cool").write_text("chr1 0 1000")
    with pytest.raises(InputError, match="not a cooler, or a damaged one"):
        open_cooler(tmp_path / "text.cool")
    (tmp_path / "cut.cool").write_bytes(Path(toy).read_bytes()[:-5000])
    with pytest.raises(InputError, match="not a cooler, or a damaged one"):
        open_cooler(tmp_path / "cut.cool")


def test_a_map_of_another_assembly_is_refused(toy):
    with pytest.raises(
        InputError, match="chromosome 2: 2 is 8,000 bp long in the map and 8,500 bp in the genome"
    ):
        read_cool(toy, SIZES | {"chr2": 8_500})
    with pytest.raises(InputError, match="no chromosome matches the genome"):
        read_cool(toy, {"scaffold": 1000})


@needs_data
@pytest.mark.parametrize("chrom, balance", [("8", "KR"), ("21", "VC"), ("X", "VC_SQRT"), ("8", False)])
def test_the_real_map_of_gm12878_is_read_as_cooler_reads_it(chrom, balance):
    path = Path(DATA) / "gm12878/GM12878.hic.2500kb.cool"
    sizes = read_chrom_sizes(Path(DATA) / "hg19.chrom.sizes")
    with pytest.warns(UserWarning, match=r"1 chromosome names match nothing .*\(MT\)"):
        contacts = read_cool(path, sizes, balance=balance)
    rows = contacts[contacts.chrom == f"chr{chrom}"]
    matrix = cooler.Cooler(str(path)).matrix(balance=balance).fetch(chrom)  # cooler, too, divides by KR
    assert len(rows) == (np.triu(np.nan_to_num(matrix)) > 0).sum()
    expected = matrix[rows.start_a // 2_500_000, rows.start_b // 2_500_000]
    assert np.allclose(rows.score, expected, rtol=1e-12)
