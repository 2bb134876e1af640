"""Batches equal what plain NumPy computes from the store's regions, gene by gene."""

import numpy as np
import pytest
import torch
from helpers import write_toy_store

from chromoformer.data.batches import GeneDataset, bin_features, loader
from chromoformer.data.store import Store
from chromoformer.errors import InputError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(write_toy_store(tmp_path_factory.mktemp("batches") / "toy.h5"))


def by_hand(store, region, bin_size):
    "Return ln(mean depth + 1) of one region's bins and the bases of each, with plain NumPy."
    row = store.regions.iloc[region]
    sums = store.signal(row["first_bin"], row["first_bin"] + row["bins"])
    inside = np.zeros(row["bins"] * 100, bool)
    inside[row["inside_start"] - row["start"] : row["inside_end"] - row["start"]] = True
    values, bases = [], []
    for start in range(0, row["end"] - row["start"], bin_size):
        bases.append(inside[start : start + bin_size].sum())
        total = sums[start // 100 : (start + bin_size) // 100].sum(0)
        mean = np.float32(total / np.float32(max(bases[-1], 1)))
        values.append(np.log(mean + np.float32(1), dtype=np.float64).astype(np.float32))
    return np.array(values), np.array(bases)


@pytest.mark.parametrize("bin_size", [100, 500, 2000])
def test_features_equal_plain_numpy(store, bin_size):
    data = GeneDataset(store)
    rows = np.random.default_rng(1).permutation(len(data))[:20]
    batch = data.batch(rows)
    promoter, padding = batch.promoter_features(bin_size)
    ((pcre, pcre_padding, start),) = batch.pcre_features(bin_size)
    window = 4000 // bin_size
    at = 0
    for place, row in enumerate(rows):
        values, bases = by_hand(store, store.promoter_region[row], bin_size)
        if store.genes["strand"][row] == "-":
            values, bases = values[::-1], bases[::-1]
        assert np.array_equal(promoter[place].numpy()[bases > 0], values[bases > 0])
        assert np.array_equal(padding[place].numpy(), bases == 0)
        for contact in range(store.pcre_start[row], store.pcre_start[row + 1]):
            values, _ = by_hand(store, store.pcres["region"][contact], bin_size)
            before = -(-(window - len(values)) // 2) - start
            middle = slice(before, before + len(values))
            assert np.array_equal(pcre[at, middle].numpy(), values)
            assert (~pcre_padding[at]).sum() == len(values) and not pcre_padding[at, middle].any()
            assert batch.gene[at] == place and batch.slot[at] == contact - store.pcre_start[row] + 1
            at += 1
    assert at == len(batch.gene)


def test_narrow_promoter_window_is_cut_around_tss_and_padded(store):
    batch = GeneDataset(store).batch([40, 41])
    whole, _ = batch.promoter_features(100)
    narrow, padding = batch.promoter_features(100, promoter_window=1000)
    assert torch.equal(narrow[:, 15:25], whole[:, 15:25])
    assert padding[:, :15].all() and padding[:, 25:].all() and not padding[:, 15:25].any()
    odd, padding = batch.promoter_features(200, promoter_window=200)  # one bin in a window of twenty
    for gene, minus in enumerate(batch.minus.tolist()):
        assert (~padding[gene]).nonzero().flatten().tolist() == [9 if minus else 10]
    assert odd.shape == (2, 20, 2)


@pytest.mark.parametrize(
    ("bin_size", "width", "says"),
    [
        (100, 1100, "for example 1000 bp"),  # the window would begin within a bin of the store
        (500, 1100, "for example 1000 bp"),
        (500, 1250, "for example 1000 bp"),
        (500, 500, "for example 1000 bp"),  # would begin in the middle of a bin of the store
        (100, 4200, "for example 4000 bp"),
        (100, -1000, "for example 200 bp"),
        (150, None, "multiple of 100 bp"),
        (50, None, "multiple of 100 bp"),
    ],
)
def test_promoter_windows_that_are_not_whole_bins_are_refused_with_a_width_that_fits(
    store, bin_size, width, says
):
    batch = GeneDataset(store).batch([40, 41])
    with pytest.raises(InputError, match=says):
        batch.promoter_features(bin_size, width)
    if width:
        batch.promoter_features(bin_size, int(says.split()[-2]))


def test_every_accepted_width_reads_whole_bins_around_the_tss(store):
    batch = GeneDataset(store).batch([40, 41])
    whole = batch.promoter.double().numpy() / 100  # mean depth of bins of 100 bp
    for size in (100, 500):
        for width in range(100, 4100, 100):
            try:
                values, padding = batch.promoter_features(size, width)
            except InputError:
                continue
            start = (4000 - width) // 200
            mean = whole[:, start : start + width // 100].reshape(2, width // size, size // 100, -1).mean(2)
            for gene in range(2):
                found = values[gene][~padding[gene]].double().numpy()
                np.testing.assert_allclose(found, np.log1p(mean[gene]), rtol=1e-5)


def test_batches_from_disk_equal_batches_from_memory(store, tmp_path):
    other = Store(write_toy_store(tmp_path / "other.h5", seed=1))
    for stores in (store, [store, other]):
        memory, disk = GeneDataset(stores), GeneDataset(stores, in_memory=False)
        rows = np.random.default_rng(0).permutation(len(memory))[:40]
        a, b = memory.batch(rows), disk.batch(rows)
        assert torch.equal(a.promoter, b.promoter) and torch.equal(a.pcre, b.pcre)


def test_batches_of_several_stores_equal_those_of_each(store, tmp_path):
    other = Store(write_toy_store(tmp_path / "other.h5", seed=1))
    both, single = GeneDataset([store, other]), GeneDataset(other)
    joined, alone = both.batch(np.arange(5) + len(store.genes)), single.batch(np.arange(5))
    assert torch.equal(joined.promoter, alone.promoter) and torch.equal(joined.pcre, alone.pcre)
    assert torch.equal(joined.score, alone.score) and torch.equal(joined.target, alone.target)


def test_store_path_gives_the_same_batch_as_open_store(store):
    assert torch.equal(GeneDataset(store.path).batch([3]).promoter, GeneDataset(store).batch([3]).promoter)
    assert len(GeneDataset([store.path, store])) == 2 * len(store.genes)


def test_max_pcres_keeps_the_best(store):
    batch, few = GeneDataset(store).batch(range(20)), GeneDataset(store, max_pcres=2).batch(range(20))
    keep = batch.slot <= 2
    assert torch.equal(few.score, batch.score[keep]) and few.slot.max() == 2
    assert len(GeneDataset(store, max_pcres=0).batch(range(20)).gene) == 0


def test_epoch_visits_every_gene_once_in_its_own_repeatable_order(store):
    data = GeneDataset(store)
    orders = [
        torch.cat([b.rows for b in loader(data, shuffle=True, seed=3, epoch=e)]).tolist() for e in (0, 1, 0)
    ]
    assert orders[0] == orders[2] != orders[1] and sorted(orders[0]) == list(range(len(data)))
    assert sum(len(b) for b in loader(data, batch_size=50, drop_last=True)) == 100


def test_stores_with_different_channels_are_refused(store, tmp_path):
    other = Store(write_toy_store(tmp_path / "other.h5"))
    other.channels = ("H3K4me1", "H3K27ac")
    with pytest.raises(InputError, match=r"channels.*other\.h5|other\.h5.*channels"):
        GeneDataset([store, other])


def test_logarithm_is_the_nearest_float32_number():
    sums = torch.arange(1.0, 5001.0).view(1, -1, 1)
    values, _ = bin_features(sums, torch.tensor([0]), torch.tensor([5000 * 7]), 7, 7)
    means = (np.arange(1, 5001, dtype=np.float32) / np.float32(7)) + np.float32(1)
    assert np.array_equal(values.flatten().numpy(), np.log(means, dtype=np.float64).astype(np.float32))


def test_a_batch_is_shown_by_its_shapes(store):
    batch = GeneDataset(store).batch([0, 1, 2])
    shown = repr(batch)
    assert shown.startswith(f"Batch of 3 genes and {len(batch.gene)} pCREs on cpu")
    for name in (
        "promoter",
        "promoter_span",
        "minus",
        "pcre",
        "pcre_length",
        "gene",
        "slot",
        "score",
        "target",
    ):
        value = getattr(batch, name)
        (line,) = [line for line in shown.splitlines() if line.split()[0] == name]
        assert str(tuple(value.shape)) in line and str(value.dtype).removeprefix("torch.") in line
    assert "tensor(" not in shown and len(shown) < 1200 and str(batch) == shown
