"""The scale of a store's channels is compared with that of the training data; valid data raise no warning."""

import importlib
import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from command_line import chromoformer, succeed
from helpers import CHROMS, SMALL

from chromoformer.baselines.gcmerge import Nodes, node_features
from chromoformer.data.bigwig import write_bigwig
from chromoformer.data.manifest import Channel
from chromoformer.data.store import Store, write_store
from chromoformer.experiments.links import activity_by_contact
from chromoformer.interpret.perturbation import perturb
from chromoformer.model import checkpoint
from chromoformer.model.config import ChromoformerConfig
from chromoformer.training.fit import fit
from chromoformer.training.predict import predict
from chromoformer.training.recipe import Recipe
from chromoformer.training.scale import FEWEST, SEGMENTS, channel_scale, scale_differences

MARKS = ("H3K4me3", "H3K27me3", "H3K36me3")
QUICK = Recipe(epochs=1, batch_size=16)


def write(path, factors=(1, 1, 1), order=(0, 1, 2), seed=0, per_chrom=30):
    "Write a store of a narrow mark at the TSS, a broad one, and one downstream; depths vary between genes."
    random = np.random.default_rng(seed)
    number = per_chrom * len(CHROMS)
    label = random.integers(0, 2, number)
    genes = pd.DataFrame(
        {
            "gene_id": [f"gene{i}" for i in range(number)],
            "gene_name": "",
            "chrom": np.repeat(list(CHROMS), per_chrom),
            "tss": np.tile(np.arange(per_chrom) * 10_000 + 5000, len(CHROMS)),
            "strand": random.choice(["+", "-"], number),
            "gene_start": 100,
            "gene_end": 3000,
            "expression": np.where(label, 8.0, 0.5) + random.random(number),
            "label": label,
            "fold": np.repeat([1, 2, 3, 4], per_chrom),
        }
    )
    shape = np.ones((40, 3))
    shape[18:22, 0] = 20
    shape[:, 1] = 2
    shape[22:, 2] = 5

    def signal_of(regions):
        minus = dict(zip(zip(genes["chrom"], genes["tss"]), genes["strand"] == "-"))
        windows = []
        for region in regions.itertuples():
            window = random.gamma(2, size=3) * shape * random.gamma(5, 0.2, size=(40, 3))
            windows.append(window[::-1] if minus[region.chrom, region.start + 2000] else window)
        return (np.concatenate(windows)[:, list(order)] * 100 * factors).astype(np.float32)

    write_store(
        path,
        genes=genes,
        pcres=pd.DataFrame({name: [] for name in ("gene_id", "chrom", "start", "end", "score", "rank")}),
        signal_of=signal_of,
        channels=MARKS,
        bin_sizes=(2000, 500, 100),
        window=4000,
        genome="toy",
        inputs={},
        chrom_sizes=CHROMS,
    )
    return Store(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write(tmp_path_factory.mktemp("scale") / "cellA.h5")


@pytest.fixture(scope="module")
def runs(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    config = ChromoformerConfig(**SMALL.to_dict() | {"channels": MARKS})
    for fold in (1, 2):
        fit(store, folder / f"fold{fold}", fold, config, QUICK, progress=False)
    return [folder / "fold1", folder / "fold2"]


def warned(call) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in caught if "different scale" in str(one.message)]


def test_the_scale_equals_that_of_plain_numpy(store):
    depth = (
        np.stack([store.signal(r.first_bin, r.first_bin + r.bins) for r in store.regions.itertuples()]) / 100
    )
    depth = depth[store.promoter_region]
    depth = np.where((store.genes["strand"] == "-").to_numpy()[:, None, None], depth[:, ::-1], depth)
    found = channel_scale(store)
    assert found["genes"] == 120 and list(found["channels"]) == list(MARKS)
    for number, mark in enumerate(MARKS):
        here = depth[..., number].astype(float)
        scale = found["channels"][mark]
        assert scale["mean"] == pytest.approx(here.mean(), rel=1e-5)
        assert scale["sd"] == pytest.approx(here.mean(1).std(), rel=1e-5)
        assert scale["above"] == pytest.approx((here > here.mean()).mean(), rel=1e-5)
        edges = [round(share * 40) for share in SEGMENTS]
        parts = [here[:, first:end].sum() / here.sum() for first, end in zip(edges, edges[1:])]
        assert scale["profile"] == pytest.approx(parts, rel=1e-4)


def test_the_benchmark_alters_a_record_as_measuring_an_altered_store_does(store, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[1] / "benchmarks")
    benchmark = importlib.import_module("scale")
    plain = channel_scale(store)
    pairs = [
        (benchmark.times(plain, "H3K4me3", 10), write(tmp_path / "ten.h5", (10, 1, 1))),
        (benchmark.exchanged(plain, "H3K4me3", "H3K27me3"), write(tmp_path / "swapped.h5", order=(1, 0, 2))),
    ]
    for altered, measured in pairs:
        for mark, scale in channel_scale(measured)["channels"].items():
            for key, value in scale.items():
                assert altered["channels"][mark][key] == pytest.approx(value, rel=1e-4)


def test_only_the_given_genes_are_measured(store):
    assert channel_scale(store, np.arange(30))["genes"] == 30
    first = channel_scale(store, np.arange(30))["channels"]["H3K4me3"]["mean"]
    assert first != channel_scale(store, np.arange(30, 60))["channels"]["H3K4me3"]["mean"]


def test_a_run_records_the_scale_of_its_training_genes(store, runs):
    recorded = json.loads((runs[0] / "config.json").read_text())["training_signal"]
    scale = channel_scale(store, np.flatnonzero(store.genes["fold"] != 1))
    assert recorded == {"cellA": scale | {"data": store.described}}
    assert checkpoint.load(runs[0]).training_signal == recorded


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 0.1, 10, 1000, 1e6])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_channel_in_another_unit_is_named_alone(store, runs, tmp_path, channel, factor):
    factors = np.ones(3)
    factors[channel] = factor
    other = write(tmp_path / "other.h5", factors, seed=1)
    (message,) = warned(lambda: predict(runs, other, progress=False))  # once, not for each fold
    assert f"{other.path}: 1 of 3 channels" in message and "(cellA)" in message
    assert f": {MARKS[channel]} has " in message and "Fix: " in message
    assert sum(mark in message for mark in MARKS) == 1


def test_all_channels_in_another_unit_are_named(store, runs, tmp_path):
    other = write(tmp_path / "other.h5", (100, 100, 100), seed=1)
    (message,) = warned(lambda: predict(runs[0], other, progress=False))
    assert "3 of 3 channels" in message and message.count("times the depth") == 3


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (0, 2, 1), (1, 2, 0), (2, 0, 1)])
def test_exchanged_channels_are_named_with_what_they_look_like(runs, tmp_path, order):
    other = write(tmp_path / "other.h5", order=order, seed=1)
    (message,) = warned(lambda: predict(runs[0], other, progress=False))
    for here, there in enumerate(order):
        assert (f"{MARKS[here]} looks like {MARKS[there]} in training" in message) == (here != there)


def test_a_channel_without_signal_is_named(runs, tmp_path):
    other = write(tmp_path / "other.h5", (1, 0, 1), seed=1)
    (message,) = warned(lambda: predict(runs[0], other, progress=False))
    assert "1 of 3 channels" in message and "H3K27me3 has no signal" in message


def test_a_channel_that_had_no_signal_in_training_is_named(store, tmp_path):
    silent = channel_scale(write(tmp_path / "silent.h5", (1, 0, 1)))
    assert scale_differences(silent, channel_scale(store)) == {
        "H3K27me3": "has signal, but had none in training"
    }
    assert scale_differences(silent, silent) == {}


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("depth", [0.4, 1, 2.5])
def test_other_samples_and_sequencing_depths_raise_no_warning(store, runs, tmp_path, seed, depth):
    other = write(tmp_path / "other.h5", (depth, 1, 1 / depth), seed=seed)
    assert warned(lambda: predict(runs, other, progress=False)) == []
    assert warned(lambda: predict(runs, store, progress=False)) == []


def test_models_without_a_record_and_few_genes_raise_no_warning(runs, tmp_path):
    other = write(tmp_path / "other.h5", (1000, 1, 1))
    network = checkpoint.load(runs[0])
    network.training_signal = None
    network.training_range = None
    checkpoint.save(network, tmp_path / "older", [1])
    content = json.loads((tmp_path / "older" / "config.json").read_text())
    assert list(content) == ["network", "held_out"]  # as earlier versions wrote it
    assert warned(lambda: predict(tmp_path / "older", other, progress=False)) == []
    few = write(tmp_path / "few.h5", (1000, 1, 1), per_chrom=(FEWEST - 1) // 4)
    assert warned(lambda: predict(runs[0], few, progress=False)) == []


def test_a_network_that_is_saved_again_keeps_the_record(runs, tmp_path):
    checkpoint.save(checkpoint.load(runs[0]), tmp_path / "again", [1], checkpoint.read_folds(runs[0]))
    assert (tmp_path / "again" / "config.json").read_bytes() == (runs[0] / "config.json").read_bytes()


def test_a_store_that_is_replaced_is_compared_again(runs, tmp_path):
    path = tmp_path / "other.h5"
    write(path, seed=1)
    assert warned(lambda: predict(runs[0], path, progress=False)) == []
    path.unlink()
    write(path, (50, 1, 1), seed=1)
    assert len(warned(lambda: predict(runs[0], path, progress=False))) == 1


def test_silencing_in_memory_raises_no_warning(store, runs):
    from chromoformer.genome import Region

    interval = Region("chr1", 0, 400_000)
    assert warned(lambda: perturb(runs[0], store, interval, ["H3K27me3"])) == []


def test_training_stores_on_different_scales_are_reported_and_each_is_recorded(store, runs, tmp_path):
    other = write(tmp_path / "cellB.h5", (1, 30, 1), seed=2)
    config = checkpoint.read_config(runs[0])[0]

    def train():
        fit([store, other], tmp_path / "run", 1, config, QUICK, progress=False)

    (message,) = warned(train)
    assert f"{other.path}: 1 of 3 channels" in message and "H3K27me3 has about 30 times the depth" in message
    assert list(checkpoint.load(tmp_path / "run").training_signal) == ["cellA", "cellB"]
    for known in (store, other):  # both scales were in training
        assert warned(lambda known=known: predict(tmp_path / "run", known, progress=False)) == []
    third = write(tmp_path / "cellC.h5", (20, 1, 1))
    (message,) = warned(lambda: predict(tmp_path / "run", third, progress=False))
    assert "H3K4me3 has about 20 times the depth" in message and "(cellA, cellB)" in message


def test_the_command_prints_the_warning_once(runs, tmp_path):
    write(tmp_path / "other.h5", (1000, 1, 1), seed=1)
    result = succeed("predict", *runs, tmp_path / "other.h5", "--out", tmp_path / "p.csv")
    assert result.err.count("Note: ") == 1 and "H3K4me3 has about 1,000 times the depth" in result.err
    write(tmp_path / "same.h5", seed=1)
    result = chromoformer("predict", *runs, tmp_path / "same.h5", "--out", tmp_path / "q.csv")
    assert result.status == 0 and "Note: " not in result.err


def scaled_store(path, factors):
    "Write a store whose first mark has no signal in two of four pCREs."
    genes = pd.DataFrame(
        {
            "gene_id": ["A", "B"],
            "gene_name": "",
            "chrom": "chr1",
            "tss": [5000, 9000],
            "strand": "+",
            "gene_start": 1,
            "gene_end": 2,
            "expression": [0.0, 3.0],
            "label": [0, 1],
            "fold": 1,
        }
    )
    start = np.arange(4) * 1000 + 50_000
    pcres = pd.DataFrame(
        {
            "gene_id": "A",
            "chrom": "chr1",
            "start": start,
            "end": start + 500,
            "score": 2.0,
            "rank": [1, 2, 3, 4],
        }
    )
    depth = {50_000: (0, 3), 51_000: (4, 1), 52_000: (0, 9), 53_000: (2, 2)}

    def signal_of(regions):
        rows = [np.tile(depth.get(r.start, (1, 1)), (r.bins, 1)) * 100 for r in regions.itertuples()]
        return (np.concatenate(rows) * factors).astype(np.float32)

    write_store(
        path,
        genes=genes,
        pcres=pcres,
        signal_of=signal_of,
        channels=("H3K27ac", "H3K4me1"),
        bin_sizes=(500, 100),
        window=4000,
        genome="toy",
        inputs={},
        chrom_sizes=CHROMS,
    )
    return Store(path)


@pytest.mark.parametrize("factors", [(1, 1), (1e-9, 1), (1, 1e9), (1e6, 1e-6)])
def test_activity_by_contact_ranks_links_the_same_in_every_unit(tmp_path, factors):
    store = scaled_store(tmp_path / "s.h5", factors)
    start = np.arange(4) * 1000 + 50_000
    effects = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 500, "contact": 1.0})
    found = activity_by_contact(effects, store) / np.sqrt(np.prod(factors))
    assert np.argsort(found).tolist() == [0, 2, 1, 3] or found[1] == pytest.approx(found[3])
    assert found[1] == pytest.approx(2, rel=1e-4) and found[3] == pytest.approx(2, rel=1e-4)
    assert found[2] / found[0] == pytest.approx(np.sqrt(3), rel=1e-4) and found[2] < 0.1


@pytest.mark.parametrize("factor", [1, 1e-15, 1e12])
def test_marks_of_the_graph_model_do_not_depend_on_the_unit(tmp_path, factor):
    sizes = {"chr1": 40_000}
    edges = np.array([0, 10_000, 20_000, 30_000])
    track = tmp_path / "mark.bigWig"
    write_bigwig(track, sizes, [("chr1", edges, edges + 10_000, np.array([1.0, 4.0, 0.0, 2.0]) * factor)])
    manifest = SimpleNamespace(channels=[Channel(name="mark", kind="bigwig", path=str(track))])
    marks = node_features(manifest, Nodes(sizes, 10_000), log=False)
    assert marks[:, 0] == pytest.approx([0.25, 1, 0, 0.5])


@pytest.mark.parametrize("log", [False, True])
def test_the_shorter_last_bin_of_a_chromosome_has_its_own_depth(tmp_path, log):
    sizes = {"chr1": 32_500}
    start, end = np.array([0, 30_000]), np.array([10_000, 32_500])
    track = tmp_path / "mark.bigWig"
    write_bigwig(track, sizes, [("chr1", start, end, np.array([4.0, 2.0]))])
    manifest = SimpleNamespace(channels=[Channel(name="mark", kind="bigwig", path=str(track))])
    depth = np.array([4.0, 0, 0, 2.0])
    marks = node_features(manifest, Nodes(sizes, 10_000), log=log)
    assert marks[:, 0] == pytest.approx(np.log1p(depth) if log else depth / 4)
