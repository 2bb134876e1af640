"""The store: equal inputs give equal files, each region is kept once, and a damaged file is refused."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from command_line import chromoformer, refused
from helpers import CHROMS, toy_tables, write_toy_store

from chromoformer.data.batches import GeneDataset, gene_rows
from chromoformer.data.store import FORMAT_VERSION, Store, lay_out_regions, record_store, refuse_finished
from chromoformer.errors import InputError
from chromoformer.provenance import Stopwatch


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_toy_store(tmp_path_factory.mktemp("store") / "toy.h5")


def test_equal_inputs_give_equal_bytes(path, tmp_path):
    assert write_toy_store(tmp_path / "again.h5").read_bytes() == path.read_bytes()


def test_tables_read_equal_tables_written(path):
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


def test_window_beyond_chromosome_keeps_tss_at_centre(path):
    store = Store(path)
    region = store.regions.iloc[store.promoter_region[0]]
    assert (region["start"], region["inside_start"], region["end"]) == (-750, 0, 3250)
    depth = store.region_depth(store.promoter_region[0])
    assert np.isnan(depth[:7]).all()
    assert np.isfinite(depth[7:]).all()  # bin 7 covers bases -50 to 50: half of it has data
    _, padding = GeneDataset(store).batch([0]).promoter_features(100)
    assert padding[0].sum().item() == 7


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
def test_wrong_tables_are_refused_and_leave_no_file(change, message, tmp_path):
    genes, pcres = change(*toy_tables())
    with pytest.raises(InputError, match=message):
        write_toy_store(tmp_path / "toy.h5", genes=genes, pcres=pcres, learnable=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_truncated_store_is_refused(path, tmp_path, keep):
    content = path.read_bytes()
    broken = tmp_path / "cut.h5"
    broken.write_bytes(content[: int(keep if keep > 1 else keep * len(content))])
    with pytest.raises(InputError, match=r"(?s)cut\.h5.*Fix"):
        Store(broken)


def test_store_of_another_version_or_kind_is_refused(path, tmp_path):
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


def test_wrong_byte_in_the_signal_is_reported(path, tmp_path):
    damaged = tmp_path / "damaged.h5"
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        chunk = file["signal"].id.get_chunk_info(0)
    content[chunk.byte_offset + chunk.size // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged\.h5"):
        Store(damaged).signal()


@pytest.fixture
def locked(path, tmp_path):
    "A store that another process holds open for writing."
    file = tmp_path / "toy.h5"
    file.write_bytes(path.read_bytes())
    hold = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print('held', flush=True); input()"
    command = [sys.executable, "-c", hold, file]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline() == "held\n"
        yield file
        other.communicate("\n")


def test_a_locked_store_is_called_locked_and_not_damaged(locked, tmp_path):
    says = ["toy.h5", "the file is locked, or this disk has no locks", "HDF5_USE_FILE_LOCKING=FALSE"]
    for command in (["info", locked], ["train", locked, "--fold", 1, "--out", tmp_path / "run"]):
        message = refused(tmp_path, *command, says=says)
        assert "cut short" not in message and "build it again" not in message
    environment = os.environ | {"HDF5_USE_FILE_LOCKING": "FALSE"}  # the suggested fix
    code = "import sys; from chromoformer.data.store import Store; Store(sys.argv[1]).signal()"
    command = [sys.executable, "-c", code, locked]
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 0


def test_a_store_that_is_locked_while_its_signal_is_read_is_called_locked(locked, path):
    store = Store(path)
    store.path = locked
    with pytest.raises(InputError, match="the file is locked"):
        store.signal()


def test_a_locked_store_is_not_replaced(locked):
    with pytest.raises(InputError, match="exists already"):
        refuse_finished(locked)


@pytest.mark.parametrize(
    ("error", "says", "fix"),
    [
        (
            OSError(37, "Unable to open file (unable to lock file, errno = 37, error message = 'No locks')"),
            "this disk has no locks (No locks)",
            "HDF5_USE_FILE_LOCKING=FALSE",
        ),
        (
            OSError("Unable to open file (file locking disabled on this file system (use HDF5_USE_FILE_...)"),
            "this disk has no locks",
            "HDF5_USE_FILE_LOCKING=FALSE",
        ),
        (PermissionError(13, "Unable to open file"), "Permission denied", "permission"),
        (OSError(24, "Unable to open file"), "Too many open files", "ulimit"),
        (OSError(5, "Can't read data"), "Input/output error", "check the disk"),
        (OSError(116, "Can't read data"), "Stale file handle", "check the disk"),
        (
            OSError("file is already open for write (may use <h5clear file>)"),
            "program that writes",
            "h5clear",
        ),
    ],
)
def test_faults_of_the_disk_do_not_blame_the_store(path, monkeypatch, error, says, fix):
    store = Store(path)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(h5py, "File", fail)
    for read in (lambda: Store(path), store.signal):
        with pytest.raises(InputError) as found:
            read()
        assert says in found.value.problem and fix in found.value.fix
        assert "build it again" not in found.value.fix and "complete store" not in found.value.problem


def test_a_file_that_is_not_hdf5_is_still_called_incomplete(tmp_path):
    (tmp_path / "notes.h5").write_text("a text")
    with pytest.raises(InputError, match="not a complete store"):
        Store(tmp_path / "notes.h5")
    assert "build it again" in chromoformer("info", tmp_path / "notes.h5").err


def test_unknown_gene_ids_are_named(path):
    with pytest.raises(InputError, match="gene999"):
        Store(path).gene_rows(["gene0", "gene999"])


@pytest.mark.parametrize(
    "asked, says",
    [
        ("name7", "name7 is gene7"),
        ("NAME7", "instead of NAME7 perhaps name7 (gene7)"),
        ("Gene7", "instead of Gene7 perhaps gene7"),
        ("gene7.3", "instead of gene7.3 perhaps gene7"),
        ("gnee7", "perhaps gene7"),
        ("zzzzzz", "for example gene0, gene1, gene2"),
    ],
)
def test_the_nearest_genes_are_suggested_wherever_a_gene_is_named(path, asked, says):
    store = Store(path)
    for look_up in (store.gene_rows, lambda genes: gene_rows(GeneDataset(store), genes)):
        with pytest.raises(InputError, match=f"unknown gene ids: {asked}") as caught:
            look_up(["gene0", asked])
        assert says in caught.value.fix


def test_stretches_equal_slices_of_the_signal(path):
    store = Store(path)
    signal = store.signal()
    places = [(3, 50), (700, 1300), (0, 1), (store.bins - 2, None)]
    expected = np.concatenate([signal[start:end] for start, end in places])
    assert np.array_equal(store.stretches(places), expected)


def test_selected_channels_are_read_in_the_order_asked_for(path):
    all_channels = Store(path)
    reversed_channels = Store(path, channels=all_channels.channels[::-1])
    assert reversed_channels.channels == ("H3K27ac", "H3K4me3")
    assert np.array_equal(reversed_channels.signal(5, 90), all_channels.signal(5, 90)[:, ::-1])
    with pytest.raises(InputError, match="no channel CTCF"):
        Store(path, channels=["CTCF"])


def test_store_without_record_may_be_replaced_and_finished_store_may_not(tmp_path):
    store = write_toy_store(tmp_path / "toy.h5")
    refuse_finished(store)
    record_store(store, what="test", inputs={}, parameters={}, watch=Stopwatch())
    with pytest.raises(InputError, match="exists already"):
        refuse_finished(store)
    refuse_finished(store, force=True)
    other = tmp_path / "other.h5"
    other.write_text("not a store")
    with pytest.raises(InputError, match="exists already"):
        refuse_finished(other)


def test_store_is_deleted_if_its_record_cannot_be_written(tmp_path):
    store = write_toy_store(tmp_path / "toy.h5")
    with pytest.raises(FileNotFoundError):
        record_store(
            store, what="test", inputs={"reads": tmp_path / "missing"}, parameters={}, watch=Stopwatch()
        )
    assert list(tmp_path.iterdir()) == []
