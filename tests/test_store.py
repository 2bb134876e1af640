"""The store: equal inputs make equal files, regions are kept once, and nothing that is damaged is taken for whole."""

import h5py
import numpy as np
import pytest
from helpers import CHROMS, toy_tables, write_toy_store

from chromoformer.data.batches import GeneDataset
from chromoformer.data.store import FORMAT_VERSION, Store, lay_out_regions
from chromoformer.errors import InputError


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_toy_store(tmp_path_factory.mktemp("store") / "toy.h5")


def test_equal_inputs_make_equal_stores_byte_for_byte(path, tmp_path):
    assert write_toy_store(tmp_path / "again.h5").read_bytes() == path.read_bytes()


def test_a_store_gives_back_its_tables(path):
    genes, pcres = toy_tables()
    store = Store(path)
    assert store.genes["gene_id"].tolist() == genes["gene_id"].tolist()
    assert store.genes["expression"].tolist() == genes["expression"].tolist()
    for gene, start, end in zip(genes["gene_id"], store.pcre_start, store.pcre_start[1:]):
        expected = pcres[pcres["gene_id"] == gene].sort_values("rank")
        regions = store.regions.iloc[store.pcres["region"][start:end]]
        assert regions["start"].tolist() == expected["start"].tolist()
        assert np.array_equal(store.pcres["score"][start:end], expected["score"].to_numpy(np.float32))


def test_each_region_is_kept_once():
    genes, pcres = toy_tables()
    regions, promoter, contacts, *_ = lay_out_regions(genes, pcres, 4000, 100, CHROMS)
    assert not regions.duplicated(["chrom", "start", "end"]).any()
    assert (regions["start"].to_numpy()[promoter] == genes["tss"] - 2000).all()
    assert contacts["gene"].is_monotonic_increasing


def test_a_window_that_leaves_its_chromosome_keeps_the_tss_at_its_centre(path):
    store = Store(path)
    region = store.regions.iloc[store.promoter_region[0]]
    assert (region["start"], region["inside_start"], region["end"]) == (-750, 0, 3250)
    depth = store.region_depth(store.promoter_region[0])
    assert (
        np.isnan(depth[:7]).all() and np.isfinite(depth[7:]).all()
    )  # bin 7 covers bases -50 to 50: half of it is data
    assert (GeneDataset(store).batch([0]).promoter_features(100)[1][0].sum().item()) == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda g, p: (g.assign(tss=g["tss"].where(g.index != 3, 500_000)), p),
            "TSS chr1:500000 lies outside",
        ),
        (lambda g, p: (g.assign(tss=g["tss"].where(g.index != 3, -5)), p), "gene gene3"),
        (lambda g, p: (g.assign(gene_id=g["gene_id"].replace("gene1", "gene0")), p), "more than once: gene0"),
        (lambda g, p: (g, p.assign(end=p["end"].where(p.index != 5, 400_001))), "leaves its chromosome"),
        (lambda g, p: (g, p.assign(start=p["start"].where(p.index != 5, -1))), "leaves its chromosome"),
        (lambda g, p: (g, p.assign(gene_id=p["gene_id"].where(p.index != 5, "nobody"))), "nobody"),
        (lambda g, p: (g.iloc[:0], p.iloc[:0]), "no gene"),
    ],
)
def test_wrong_tables_are_refused_and_leave_nothing(change, message, tmp_path):
    genes, pcres = change(*toy_tables())
    with pytest.raises(InputError, match=message):
        write_toy_store(tmp_path / "toy.h5", genes=genes, pcres=pcres, learnable=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_a_store_that_was_cut_short_is_refused(path, tmp_path, keep):
    whole = path.read_bytes()
    broken = tmp_path / "cut.h5"
    broken.write_bytes(whole[: int(keep if keep > 1 else keep * len(whole))])
    with pytest.raises(InputError, match=r"(?s)cut\.h5.*Fix"):
        Store(broken)


def test_a_store_of_another_version_or_kind_is_refused(path, tmp_path):
    other = tmp_path / "other.h5"
    other.write_bytes(path.read_bytes())
    with h5py.File(other, "r+") as file:
        file.attrs["version"] = FORMAT_VERSION + 1
    with pytest.raises(InputError, match=f"version {FORMAT_VERSION + 1}"):
        Store(other)
    with h5py.File(tmp_path / "kind.h5", "w") as file:
        file.attrs["format"] = "something else"
    with pytest.raises(InputError, match="not a store"):
        Store(tmp_path / "kind.h5")


def test_a_wrong_byte_in_the_signal_is_noticed(path, tmp_path):
    damaged = tmp_path / "damaged.h5"
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        chunk = file["signal"].id.get_chunk_info(0)
    content[chunk.byte_offset + chunk.size // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged\.h5"):
        Store(damaged).signal()


def test_unknown_genes_are_named(path):
    with pytest.raises(InputError, match="gene999"):
        Store(path).gene_rows(["gene0", "gene999"])


def test_stretches_of_bins_are_those_of_the_whole_signal(path):
    store = Store(path)
    whole, places = store.signal(), [(3, 50), (700, 1300), (0, 1), (store.bins - 2, None)]
    assert np.array_equal(
        store.stretches(places), np.concatenate([whole[start:end] for start, end in places])
    )
