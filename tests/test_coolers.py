"Hi-C maps compared with the cooler library: balancing, transforms, pieces, and errors."

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import cooler
import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from chromoformer.baselines.gcmerge import node_contacts, nodes_of
from chromoformer.data import coolers
from chromoformer.data.build import build_store
from chromoformer.data.compartments import compartments
from chromoformer.data.coolers import bin_weights, expected_counts, open_cooler, read_cool, weights_divide
from chromoformer.data.manifest import read_manifest, source_files
from chromoformer.data.store import Store
from chromoformer.describe import describe_store
from chromoformer.errors import InputError
from chromoformer.genome import read_chrom_sizes
from chromoformer.studies.jobs import manifest_inputs

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
    with pytest.warns(UserWarning, match="although weights with the name weight multiply"):
        assert np.allclose(bin_weights(opened, "weight", divisive=True), 1 / weights, equal_nan=True)
    assert (bin_weights(opened, False) == 1).all()
    with pytest.raises(InputError, match="no weight column 'VC'; other columns: KR, weight"):
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
    with pytest.warns(UserWarning, match="the map lacks chr9, so that 1 TSSs have no contacts"):
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
    with pytest.raises(InputError, match="2 maps, of the resolutions 1000, 2000, and none is chosen"):
        open_cooler(path)
    with pytest.raises(InputError, match="resolution 5000 is not among those of this file: 1000, 2000"):
        open_cooler(path, 5000)
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


def test_a_map_with_two_names_for_one_chromosome_is_refused(tmp_path):
    bins = cooler.binnify(pd.Series({"1": 12_500, "chr1": 12_500, "2": 8_000}), 1000)
    pixels = pd.DataFrame({"bin1_id": [0, 13], "bin2_id": [5, 18], "count": [3, 4]})
    path = tmp_path / "map.cool"
    cooler.create_cooler(str(path), bins, pixels)
    genes = pd.DataFrame({"chrom": ["chr1", "chr2"], "tss": [2_000, 3_000]})
    for read in (partial(read_cool, balance=False), partial(compartments, phasing=genes, balance=False)):
        with pytest.raises(InputError, match="two names for one chromosome: 1 and chr1"):
            read(path, SIZES)


@pytest.mark.parametrize("name", ["MT", "chrM"])
def test_a_map_with_the_other_chromosome_m_of_hg19_is_read(tmp_path, name):
    bins = cooler.binnify(pd.Series({"1": 12_500, name: 16_569}), 1000)
    pixels = pd.DataFrame({"bin1_id": [0], "bin2_id": [5], "count": [3]})
    cooler.create_cooler(str(tmp_path / "map.cool"), bins, pixels)
    contacts = read_cool(tmp_path / "map.cool", {"chr1": 12_500, "chrM": 16_571}, balance=False)
    assert contacts.score.tolist() == [3.0]


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


# -- files that are not what they seem -----------------------------------------------------------------------


def changed(path, out, change):
    "Copy a cooler, change the copy as an HDF5 file, and return its path."
    shutil.copy(path, out)
    with h5py.File(out, "a") as file:
        change(file)
    return out


def test_a_cooler_without_the_attribute_format_is_read_like_others(toy, tmp_path):
    def forget(file):
        for name in ("format", "bin-type", "storage-mode", "format-version", "generated-by"):
            del file.attrs[name]

    old = changed(toy, tmp_path / "old.cool", forget)
    assert not cooler.fileops.list_coolers(str(old))
    assert read_cool(old, SIZES, balance=False).equals(read_cool(toy, SIZES, balance=False))
    broken = changed(toy, tmp_path / "broken.cool", lambda file: file.attrs.__delitem__("bin-size"))
    with pytest.raises(InputError, match="lacks a table or an attribute such as bin-size"):
        open_cooler(broken)


def test_resolutions_select_maps_in_groups_of_any_name(toy, tmp_path):
    "Old files of several resolutions have groups 0, 1, ...; cells of a .scool have one resolution."
    path = tmp_path / "several.mcool"
    cooler.zoomify_cooler(str(toy), str(path), [1000, 2000], chunksize=1000)
    old = tmp_path / "old.mcool"
    with h5py.File(path) as source, h5py.File(old, "w") as file:
        for name, resolution in (("0", 2000), ("1", 1000)):
            source.copy(f"resolutions/{resolution}", file, name)
    assert open_cooler(old, 1000).root == "/1" and open_cooler(old, 2000).root == "/0"
    with pytest.raises(InputError, match="holds 2 maps, of the resolutions 2000, 1000, and none is chosen"):
        open_cooler(old)
    with h5py.File(old, "a") as file:
        file.copy("1", "cells/a")
    with pytest.raises(InputError, match=r"2 maps .* resolution 1000: /1, /cells/a\n.*old.mcool::/1"):
        open_cooler(old, 1000)
    with h5py.File(path, "a") as file:
        del file["resolutions/2000"]
    assert open_cooler(path).binsize == 1000  # the only map


@pytest.mark.parametrize("group", ["/resolutions/2000", "resolutions/2000", "/resolutions/2000/"])
def test_a_group_may_be_written_with_or_without_slashes(toy, tmp_path, group):
    path = tmp_path / "toy.mcool"
    cooler.zoomify_cooler(str(toy), str(path), [1000, 2000], chunksize=1000)
    by_group = read_cool(f"{path}::{group}", SIZES, balance=False)
    assert by_group.equals(read_cool(path, SIZES, resolution=2000, balance=False))
    assert read_cool(f"{path}::{group}", SIZES, resolution=2000, balance=False).equals(by_group)


def test_files_often_mistaken_for_coolers_are_refused_with_their_conversion(toy, tmp_path):
    (tmp_path / "GM.hic").write_bytes(b"HIC\0" + bytes(500))
    (tmp_path / "GM.cool.gz").write_bytes(gzip.compress(Path(toy).read_bytes()))
    (tmp_path / "loops.cool").write_text("chr1\t0\t1000\tchr1\t5000\t6000\t3\n")
    with h5py.File(tmp_path / "GM.h5", "w") as file:  # the groups of a HiCExplorer matrix
        for name in ("matrix/data", "intervals/chr_list", "correction_factors", "nan_bins"):
            file[name] = np.arange(3)
    with h5py.File(tmp_path / "else.h5", "w") as file:
        file["obs"] = np.arange(3)
    for name, says in {
        "GM.hic": ".hic file of Juicer, not a cooler\n.*`hictk convert GM.hic GM.mcool`",
        "GM.h5": "HiCExplorer .*, not a cooler\n.*`hicConvertFormat -m GM.h5 --inputFormat h5 "
        "--outputFormat cool -o GM.cool`",
        "GM.cool.gz": "compressed with gzip.*\n.*gunzip GM.cool.gz",
        "loops.cool": "not a cooler, or a damaged one .it is not an HDF5 file",
        "else.h5": "an HDF5 file without a Hi-C map; it holds obs",
    }.items():
        with pytest.raises(InputError, match=says):
            read_cool(tmp_path / name, SIZES)


def test_a_cooler_that_another_program_writes_is_not_called_damaged(toy, tmp_path):
    path = tmp_path / "busy.cool"
    shutil.copy(toy, path)
    code = f"import h5py, sys; f = h5py.File({str(path)!r}, 'a'); print('open', flush=True); sys.stdin.read()"
    writer = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        writer.stdout.readline()
        with pytest.raises(InputError, match="another program has locked the file"):
            open_cooler(path)
    finally:
        writer.communicate()


# -- which weights divide ------------------------------------------------------------------------------------

JUICER = [f"{scope}{name}" for scope in ("", "INTER_", "GW_") for name in ("KR", "VC", "VC_SQRT", "SCALE")]
BALANCED = {"ignore_diags": 2, "mad_max": 5, "min_nnz": 10, "tol": 1e-5, "cis_only": True}
MEMBERS = [  # program, column, attributes, whether the weights divide
    ("cooler-0.11.0", "weight", BALANCED | {"divisive_weights": False}, False),
    ("cooler-0.8.5", "weight", BALANCED, False),
    ("cooler-0.8.5", "cis_ICE", BALANCED, False),
    ("cooler-0.11.0", "weight", {}, False),
    ("cooler-0.11.0", "KR", {}, True),
    ("hictk-v2.1.0", "GW_ICE", {"divisive_weights": False}, False),
    ("hictk-v2.1.0", "ICE", {"divisive_weights": True}, True),
    ("hictk-v2.1.0", "VC", {"divisive_weights": np.True_}, True),
    ("somebody", "mine", {"divisive_weights": 1}, True),
    ("somebody", "mine", {"divisive_weights": "false"}, False),
    ("somebody", "KR", {"divisive_weights": False}, False),
    ("hic2cool-0.4.2", "SCALE", {"divisive_weights": True}, True),
    ("HiCMatrix-15", "weight", {"divisive_weights": False}, False),
    ("HiCMatrix-15", "weight", BALANCED, False),  # balanced by cooler afterwards
    ("hic2cool-0.10.0", "KR", {}, True),
    *[("hic2cool-0.8.3", name, {}, True) for name in JUICER],
    *[("hic2cool-0.5.1", name, {}, True) for name in ("KR", "VC", "VC_SQRT")],
    *[("hic2cool-0.4.2", name, {}, False) for name in ("KR", "VC", "VC_SQRT", "SCALE", "weight")],
    ("hic2cool-0.1.1", "weight", {}, False),
]


def map_of(path, program, column, attributes, values=None):
    "A map of one chromosome with one column of weights, as a program would write it."
    random = np.random.default_rng(7)
    bins = cooler.binnify(pd.Series({"chr1": 20_000}), 1000)
    drawn = np.append(np.nan, random.uniform(0.3, 3, 19))
    bins[column] = drawn if values is None else values
    one, two = np.triu_indices(20)
    pixels = pd.DataFrame({"bin1_id": one, "bin2_id": two, "count": random.integers(1, 50, len(one))})
    cooler.create_cooler(str(path), bins, pixels)
    with h5py.File(path, "a") as file:
        file.attrs["generated-by"] = program
        file[f"bins/{column}"].attrs.update(attributes)
    return path


@pytest.mark.parametrize(("program", "column", "attributes", "divides"), MEMBERS)
def test_the_file_decides_whether_its_weights_divide(tmp_path, program, column, attributes, divides):
    path = map_of(tmp_path / "m.cool", program, column, attributes)
    matrix = cooler.Cooler(str(path)).matrix(balance=column, divisive_weights=divides)[:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        contacts = read_cool(path, {"chr1": 20_000}, balance=column)
        assert read_cool(path, {"chr1": 20_000}, balance=column, divisive=divides).equals(contacts)
    expected = matrix[contacts.start_a // 1000, contacts.start_b // 1000]
    assert len(contacts) == np.isfinite(np.triu(matrix)[np.triu_indices(20)]).sum()
    assert np.allclose(contacts.score, expected, rtol=1e-12)
    with pytest.warns(UserWarning, match=f"divisive: {str(not divides).lower()} is used for the weights"):
        other = read_cool(path, {"chr1": 20_000}, balance=column, divisive=not divides)
    matrix = cooler.Cooler(str(path)).matrix(balance=column, divisive_weights=not divides)[:]
    assert np.allclose(other.score, matrix[other.start_a // 1000, other.start_b // 1000], rtol=1e-12)


@pytest.mark.parametrize(
    ("program", "column", "says"),
    [
        ("somebody", "ICE", "the name is unknown"),
        ("somebody", "kr", "the name is unknown"),
        ("hic2cool", "KR", "versions of hic2cool differ"),
        ("HiCMatrix-8", "weight", "hicCorrectMatrix stores corrected counts"),
        ("HiCMatrix-17.2", "weight", "hicCorrectMatrix stores corrected counts"),
        ("HiCExplorer-3.7", "weight", "hicCorrectMatrix stores corrected counts"),
    ],
)
def test_weights_of_unknown_direction_are_refused_until_divisive_is_given(tmp_path, program, column, says):
    path = map_of(tmp_path / "m.cool", program, column, {})
    with pytest.raises(InputError, match=f"(?s){says}.*write divisive: true or divisive: false"):
        read_cool(path, {"chr1": 20_000}, balance=column)
    for divisive in (True, False):
        contacts = read_cool(path, {"chr1": 20_000}, balance=column, divisive=divisive)
        matrix = cooler.Cooler(str(path)).matrix(balance=column, divisive_weights=divisive)[:]
        expected = matrix[contacts.start_a // 1000, contacts.start_b // 1000]
        assert np.allclose(contacts.score, expected, rtol=1e-12)


@pytest.mark.parametrize("right", ["divide", "multiply"])
def test_the_refusal_shows_which_reading_balances_the_map(tmp_path, right):
    path = map_of(tmp_path / "m.cool", "somebody", "weight", {})
    cooler.balance_cooler(
        cooler.Cooler(str(path)), mad_max=0, min_nnz=0, ignore_diags=2, store=True, store_name="w"
    )
    weights = cooler.Cooler(str(path)).bins()["w"][:].to_numpy()
    path = map_of(
        tmp_path / "n.cool", "somebody", "mine", {}, weights if right == "multiply" else 1 / weights
    )
    with pytest.raises(InputError) as caught:
        bin_weights(open_cooler(path), "mine")
    spread = dict(re.findall(r"(\d+)% if the weights (\w+)", str(caught.value)))
    assert min(spread, key=int) == "0" and spread["0"] == right and len(spread) == 3


@pytest.mark.parametrize("values", [np.full(20, np.nan), np.zeros(20), np.full(20, np.inf)])
def test_weights_that_are_all_missing_are_refused(tmp_path, values):
    path = map_of(tmp_path / "m.cool", "hic2cool-0.8.3", "KR", {}, values)
    with pytest.raises(InputError, match="column KR are all missing .*\n.*balance: false"):
        read_cool(path, {"chr1": 20_000}, balance="KR")


def test_values_below_0_are_not_weights_and_a_weight_of_0_is_missing(tmp_path):
    path = map_of(tmp_path / "m.cool", "cooler-0.11", "E1", {}, np.linspace(-1, 1, 20))
    with pytest.raises(InputError, match="column E1 include numbers below 0"):
        read_cool(path, {"chr1": 20_000}, balance="E1", divisive=False)
    for column in ("weight", "KR"):
        path = map_of(tmp_path / f"{column}.cool", "cooler-0.11", column, {}, np.append(0, np.ones(19)))
        assert np.isnan(bin_weights(open_cooler(path), column)[0])
        assert read_cool(path, {"chr1": 20_000}, balance=column).start_a.min() == 1000


def test_balance_true_means_the_column_weight(toy):
    assert read_cool(toy, SIZES, balance=True).equals(read_cool(toy, SIZES, balance="weight"))


def test_a_chromosome_without_weights_and_one_that_the_map_lacks_are_named(toy, tmp_path):
    def empty_chr2(file):
        values = file["bins/KR"][:]
        values[13:] = np.nan
        file["bins/KR"][:] = values

    path = changed(toy, tmp_path / "no2.cool", empty_chr2)
    with pytest.warns(UserWarning, match="no bin of 2 has a weight in the column KR"):
        contacts = read_cool(path, SIZES, balance="KR")
    assert set(contacts.chrom) == {"chr1"}
    sites = pd.DataFrame({"chrom": ["chr1", "chr3", "chr3"], "tss": [3100, 5, 6]})
    with pytest.warns(UserWarning, match="the map lacks chr3, so that 2 TSSs have no contacts"):
        read_cool(path, SIZES | {"chr3": 900}, balance="KR", sites=sites)


# -- the same rule in manifests ------------------------------------------------------------------------------


def build_with(folder, contacts):
    "Build a store of two genes from a manifest with these contacts; return the scores of the first by start."
    (folder / "g.sizes").write_text("chr1\t20000\n")
    (folder / "genes.tsv").write_text(
        "gene_id\tgene_name\tchrom\tstrand\ttss\tgene_start\tgene_end\n"
        "G\tG\tchr1\t+\t4500\t4500\t6000\nH\tH\tchr1\t+\t9500\t9500\t9900\n"
    )
    (folder / "expr.tsv").write_text("gene_id\texpression\nG\t1.0\nH\t5.0\n")
    (folder / "m.bedgraph").write_text("chr1\t0\t20000\t2.0\n")
    manifest = {
        "name": "x",
        "genome": "hg38",
        "chrom_sizes": {"path": "g.sizes"},
        "channels": [{"name": "M1", "kind": "bedgraph", "path": "m.bedgraph"}],
        "annotation": {"kind": "table", "path": "genes.tsv"},
        "expression": {"kind": "table", "path": "expr.tsv"},
        "contacts": {"min_score": 0, "top": 30, "min_distance": 2000} | contacts,
        "window": 4000,
        "bin_sizes": [500],
    }
    (folder / "m.yaml").write_text(yaml.safe_dump(manifest))
    build_store(folder / "m.yaml", folder / "s.h5", force=True, progress=False)
    store = Store(folder / "s.h5")
    pcres = store.pcres[store.pcres["gene"] == 0]
    return dict(zip(store.regions["start"].iloc[pcres["region"]], pcres["score"]))


@pytest.mark.parametrize(
    ("program", "column", "attributes", "divides"),
    [
        ("hic2cool-0.8.3", "KR", {}, True),
        ("hictk", "SCALE", {"divisive_weights": True}, True),
        ("hic2cool-0.4.0", "KR", {}, False),
        ("cooler-0.11.0", "weight", {}, False),
    ],
)
@pytest.mark.parametrize("kind", ["cool", "average"])
def test_a_manifest_without_divisive_leaves_the_decision_to_the_file(
    tmp_path, program, column, attributes, divides, kind
):
    path = map_of(tmp_path / "m.cool", program, column, attributes)
    entry = {"kind": "cool", "path": "m.cool", "balance": column, "transform": "none"}
    scores = build_with(tmp_path, entry if kind == "cool" else {"kind": "average", "of": [entry]})
    row = cooler.Cooler(str(path)).matrix(balance=column, divisive_weights=divides)[:][4]
    expected = {i * 1000: row[i] for i in range(20) if np.isfinite(row[i]) and not 2 <= i <= 6}
    assert scores.keys() == expected.keys()
    assert np.allclose([scores[start] for start in expected], list(expected.values()), rtol=1e-6)


@pytest.mark.parametrize(
    ("program", "column", "options", "says"),
    [
        ("hic2cool-0.8.3", "KR", {}, "counts divided by the weights KR"),
        ("hic2cool-0.4.0", "KR", {}, "counts multiplied by the weights KR"),
        ("somebody", "ICE", {"divisive": True}, "counts divided by the weights ICE"),
        ("cooler-0.11.0", "weight", {"balance": True}, "counts multiplied by the weights weight"),
        ("hic2cool-0.8.3", "KR", {"balance": False}, "raw counts"),
        (
            "hic2cool-0.8.3",
            "KR",
            {"transform": "observed_over_expected"},
            "counts divided by the weights KR, observed_over_expected",
        ),
    ],
)
def test_a_store_says_what_its_contact_score_is_and_what_is_averaged(
    tmp_path, program, column, options, says
):
    for name in ("m.cool", "n.cool"):
        with h5py.File(map_of(tmp_path / name, program, column, {}), "r+") as file:
            file.attrs["name"] = name  # so that the files differ
    counts = {"kind": "cool", "balance": column, "transform": "none"}
    entries = [{**counts, "path": name} | options for name in ("m.cool", "n.cool")]
    build_with(tmp_path, entries[0])
    assert Store(tmp_path / "s.h5").inputs["contacts"]["score"] == says
    build_with(tmp_path, {"kind": "average", "of": entries})
    mean = f"{says}; the mean over 2 cell types, 0 where a contact is absent"
    inputs = Store(tmp_path / "s.h5").inputs
    assert [inputs[name]["score"] for name in ("contacts.1", "contacts.2")] == [mean, mean]
    assert describe_store(Store(tmp_path / "s.h5")).count(f"score: {mean}") == 2


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    "20 reads for each pair of bins within 2 Mb, 60 for one of them, and two single reads at 25 Mb."
    path = tmp_path_factory.mktemp("sparse") / "m.mcool"
    bins = cooler.binnify(pd.Series({"chr1": 30_000_000}), 25_000).assign(weight=1.0)
    one, two = (index.ravel() for index in np.meshgrid(np.arange(1200), np.arange(1, 81), indexing="ij"))
    near = pd.DataFrame({"bin1_id": one, "bin2_id": one + two, "count": 20})
    near = near[near["bin2_id"] < 1200]
    near.loc[(near["bin1_id"] == 40) & (near["bin2_id"] == 60), "count"] = 60
    far = pd.DataFrame({"bin1_id": [40, 40], "bin2_id": [1040, 1100], "count": 1})
    pixels = pd.concat([near, far]).sort_values(["bin1_id", "bin2_id"])
    cooler.create_cooler(f"{path}::/resolutions/25000", bins, pixels)
    return path


@pytest.mark.parametrize("kind", ["cool", "average"])
@pytest.mark.parametrize(
    "options, chosen", [({}, [1_500_000]), ({"max_distance": None}, [26_000_000, 27_500_000])]
)
def test_single_far_reads_of_a_sparse_map_are_pcres_only_if_any_distance_is_asked_for(
    tmp_path, sparse, kind, options, chosen
):
    map_entry = {"kind": "cool", "path": str(sparse), "resolution": 25_000}
    contacts = map_entry if kind == "cool" else {"kind": "average", "of": [map_entry]}
    (tmp_path / "sizes").write_text("chr1\t30000000\n")
    (tmp_path / "m.bedgraph").write_text("chr1\t0\t30000000\t2.0\n")
    (tmp_path / "genes.tsv").write_text("gene_id\tchrom\tstrand\ttss\nG\tchr1\t+\t1010000\n")
    manifest = {
        "name": "x",
        "genome": "toy",
        "chrom_sizes": {"path": "sizes"},
        "channels": [{"name": "M", "kind": "bedgraph", "path": "m.bedgraph"}],
        "annotation": {"kind": "table", "path": "genes.tsv"},
        "contacts": contacts | options | {"top": 2},
        "folds": {1: ["chr1"]},
    }
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(manifest))
    build_store(tmp_path / "m.yaml", tmp_path / "s.h5", progress=False)
    store = Store(tmp_path / "s.h5")
    assert store.regions["start"].iloc[store.pcres["region"]].tolist() == chosen
    assert store.pcres["score"].max() < 4 if not options else store.pcres["score"].min() > 90


@pytest.mark.parametrize("kind", ["cool", "average"])
def test_a_map_without_contacts_at_the_distances_is_named_with_its_options(tmp_path, kind):
    map_of(tmp_path / "m.cool", "cooler-0.11.0", "weight", {})
    entry = {"kind": "cool", "path": "m.cool", "balance": False}
    limits = {"min_distance": 19_000}  # the chromosome ends before
    contacts = limits | (entry if kind == "cool" else {"kind": "average", "of": [entry]})
    with pytest.warns(UserWarning, match="no contact joins a gene .* min_distance and max_distance"):
        assert build_with(tmp_path, contacts) == {}


def test_the_graph_of_gc_merge_follows_the_same_rule(tmp_path):
    "A map with Juicer's weights and one with their inverse as cooler's weights give the same graph."
    weights = np.append(np.nan, np.random.default_rng(3).uniform(0.3, 3, 19))
    graphs = []
    for program, column, attributes, values in (
        ("cooler-0.11.0", "weight", {}, 1 / weights),
        ("hictk", "SCALE", {"divisive_weights": True}, weights),
        ("hic2cool-0.8.3", "KR", {}, weights),
        ("hic2cool-0.4.2", "KR", {}, 1 / weights),
    ):
        map_of(tmp_path / "m.cool", program, column, attributes, values)
        build_with(tmp_path, {"kind": "cool", "path": "m.cool", "balance": column})
        manifest = read_manifest(tmp_path / "m.yaml")
        graphs.append(node_contacts(manifest, nodes_of(manifest, 1000), 3).toarray())
    assert graphs[0].any() and all(np.array_equal(graph, graphs[0]) for graph in graphs)


def test_a_manifest_may_name_a_group_and_its_checksum_is_that_of_the_file(tmp_path):
    map_of(tmp_path / "m.cool", "cooler-0.11.0", "weight", {})
    path = tmp_path / "m.mcool"
    cooler.zoomify_cooler(str(tmp_path / "m.cool"), str(path), [1000, 2000], chunksize=1000)
    by_resolution = build_with(
        tmp_path, {"kind": "cool", "path": "m.mcool", "resolution": 1000, "balance": False}
    )
    entry = {"kind": "cool", "path": "m.mcool::/resolutions/1000", "balance": False}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert build_with(tmp_path, entry | {"sha256": digest}) == by_resolution and len(by_resolution) > 5
    assert Store(tmp_path / "s.h5").inputs["contacts"]["sha256"] == digest
    record = json.loads((tmp_path / "s.provenance.json").read_text())
    assert str(path) in json.dumps(record["inputs"]) and "::" not in json.dumps(record["inputs"])
    with pytest.raises(InputError, match="sha256"):
        build_with(tmp_path, entry | {"sha256": "0" * 64})
    with pytest.raises(InputError, match="no such file"):
        build_with(tmp_path, {"kind": "cool", "path": "gone.mcool::/resolutions/1000"})


def test_only_the_file_of_a_group_is_fetched_and_watched(tmp_path):
    entry = {"kind": "cool", "path": "hic/m.mcool::/resolutions/1000", "url": "https://example.org/m.mcool"}
    (tmp_path / "m.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "x",
                "genome": "hg38",
                "chrom_sizes": {"path": "g.sizes"},
                "channels": [{"name": "M1", "kind": "bedgraph", "path": "m.bedgraph"}],
                "annotation": {"kind": "table", "path": "genes.tsv"},
                "contacts": entry,
            }
        )
    )
    (tmp_path / "m.lock.json").write_text(
        json.dumps({"files": {"hic/m.mcool": {"url": entry["url"], "size": 7, "sha256": "1" * 64}}})
    )
    manifest = read_manifest(tmp_path / "m.yaml")
    [file] = source_files("contacts", manifest.contacts)
    assert (file.path, file.size, file.sha256) == (tmp_path / "hic" / "m.mcool", 7, "1" * 64)
    assert manifest_inputs(manifest)["contacts"] == str(tmp_path / "hic" / "m.mcool")
    assert str(manifest.contacts.path) == f"{tmp_path}/hic/m.mcool::/resolutions/1000"


@needs_data
def test_real_maps_are_read_without_naming_the_direction():
    sizes = read_chrom_sizes(Path(DATA) / "hg19.chrom.sizes")
    path = Path(DATA) / "links/K562.chr22.5kb.hg19.cool"  # balanced by cooler
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not weights_divide(open_cooler(path), "weight")
        weights = bin_weights(open_cooler(path), "weight")
    assert np.allclose(weights, cooler.Cooler(str(path)).bins()["weight"][:], equal_nan=True)
    assert weights_divide(open_cooler(Path(DATA) / "gm12878/GM12878.hic.2500kb.cool"), "VC_SQRT")
    assert "chr22" in sizes
