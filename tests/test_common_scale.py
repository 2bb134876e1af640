"""Networks read stores of other sequencing depth on a common scale, which models keep."""

import json
import warnings
from dataclasses import replace

import h5py
import numpy as np
import pytest
from helpers import MARKS, SMALL, write_toy_store

from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.genome import Region
from chromoformer.interpret.perturbation import silence
from chromoformer.interpret.switches import GeneExplainer
from chromoformer.model import checkpoint
from chromoformer.model.network import Chromoformer
from chromoformer.training.common_scale import PROBABILITIES, common_scale, depth_quantiles, on_common_scale
from chromoformer.training.fit import fit
from chromoformer.training.members import fit_members
from chromoformer.training.models import dataset_for
from chromoformer.training.predict import predict
from chromoformer.training.recipe import Recipe
from chromoformer.training.run_folder import settings_of
from chromoformer.training.start import Start

RECIPE = Recipe(epochs=2, learning_rate=1e-3, batch_size=16)
KINDS = ("quantile", "rank")


def with_depth(source, path, change):
    "Write a copy of a store whose bins are changed."
    path.write_bytes(source.read_bytes())
    with h5py.File(path, "r+") as file:
        file["signal"][...] = change(file["signal"][...])
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scale")
    write_toy_store(folder / "a.h5")
    with_depth(folder / "a.h5", folder / "deep.h5", lambda signal: 20 * signal)
    with_depth(folder / "a.h5", folder / "bent.h5", lambda signal: 100 * (signal / 100) ** 1.7)
    for kind in ("depth", *KINDS):
        config = replace(SMALL, channels=MARKS, scale=kind)
        fit(folder / "a.h5", folder / kind, 1, config, RECIPE, progress=False)
    return folder


def scores(run, store):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return predict(run, store, progress=False)["score"].to_numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", ["deep", "bent"])
def test_predictions_do_not_depend_on_a_monotone_change_of_depth(folder, kind, other):
    expected = scores(folder / kind, folder / "a.h5")
    assert np.allclose(scores(folder / kind, folder / f"{other}.h5"), expected, atol=1e-2)
    by_depth = scores(folder / "depth", folder / "a.h5")
    assert not np.allclose(scores(folder / "depth", folder / f"{other}.h5"), by_depth, atol=2e-2)


def test_one_training_store_on_quantiles_is_read_as_it_is(folder):
    store = Store(folder / "a.h5")
    scaled = on_common_scale(store, common_scale([store], "quantile"))
    assert np.allclose(scaled.signal(), store.signal(), rtol=1e-4)


def test_ranks_match_an_independent_computation(folder):
    store = Store(folder / "a.h5")
    found = on_common_scale(store, common_scale([store], "rank")).signal() / store.bin_size
    for column, sums in enumerate(store.signal().T):
        positive = np.sort(sums[sums > 0])
        middle = (np.searchsorted(positive, sums, "left") + np.searchsorted(positive, sums, "right")) / 2
        share = middle / len(positive)
        with_signal = sums > 0
        assert (found[~with_signal, column] == 0).all()
        assert np.allclose(np.log1p(found[with_signal, column]), 3 * share[with_signal], atol=0.15)


def test_quantiles_match_numpy(folder):
    store = Store(folder / "a.h5")
    for name, sums in zip(store.channels, store.signal().T):
        expected = np.quantile(sums[sums > 0] / store.bin_size, PROBABILITIES)
        assert np.allclose(depth_quantiles(store)[name], expected, rtol=1e-4)


def test_the_model_folder_keeps_the_scale(folder):
    kept = json.loads((folder / "quantile" / "config.json").read_text())["common_scale"]
    assert kept == common_scale([Store(folder / "a.h5")], "quantile")
    assert checkpoint.load(folder / "quantile").common_scale == kept
    assert "common_scale" not in json.loads((folder / "depth" / "config.json").read_text())
    assert settings_of(folder / "rank")["network"]["scale"] == "rank"


@pytest.mark.parametrize("kind", KINDS)
def test_another_depth_is_no_reason_for_a_warning_but_swapped_tracks_are(folder, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict(folder / kind, folder / "deep.h5", progress=False)
    with pytest.warns(UserWarning, match="times the depth"):
        predict(folder / "depth", folder / "deep.h5", progress=False)


def test_several_stores_share_one_scale(folder, tmp_path):
    stores = [folder / "a.h5", folder / "deep.h5"]
    fit(stores, tmp_path / "run", 1, replace(SMALL, channels=MARKS, scale="quantile"), RECIPE, progress=False)
    one, other = (scores(tmp_path / "run", store) for store in stores)
    assert np.allclose(one, other, atol=2e-3)
    kept = checkpoint.load(tmp_path / "run").common_scale["channels"]
    means = np.mean(
        [[np.log1p(depth_quantiles(Store(store))[name]) for name in MARKS] for store in stores], 0
    )
    assert np.allclose(np.log1p([kept[name] for name in MARKS]), means, atol=1e-4)


def test_members_share_a_scale(folder, tmp_path):
    config = replace(SMALL, channels=MARKS, scale="rank")
    fit_members(folder / "a.h5", tmp_path / "run", 1, config, RECIPE, seeds=[0, 1], progress=False)
    assert np.allclose(
        scores(tmp_path / "run", folder / "deep.h5"), scores(tmp_path / "run", folder / "a.h5"), atol=2e-3
    )


def test_a_silenced_element_is_silenced_before_the_depths_are_scaled(folder):
    store = Store(folder / "deep.h5")
    known = common_scale([Store(folder / "a.h5")], "quantile")
    region = store.regions.iloc[1]
    interval = Region(region["chrom"], int(region["start"]), int(region["start"]) + 10 * store.bin_size)
    silent = on_common_scale(silence(store, interval), known)
    first = int(region["first_bin"])
    assert (silent.signal()[first : first + 10] == 0).all()
    kept = on_common_scale(store, known).signal()
    elsewhere = np.setdiff1d(np.arange(store.bins), np.flatnonzero((silent.signal() != kept).any(1)))
    assert len(elsewhere) >= store.bins - 10 * len(store.regions)
    assert np.allclose(silent.signal()[elsewhere], kept[elsewhere])


def test_explanations_read_the_same_as_predictions(folder):
    for store in ("a.h5", "deep.h5"):
        explainer = GeneExplainer(folder / "quantile", folder / store)
        gene = Store(folder / store).genes["gene_id"].iloc[0]
        table = predict(folder / "quantile", folder / store, progress=False).set_index("gene_id")
        shown = explainer.explain(gene).score
        assert np.isclose(shown, table.loc[gene, "score"], atol=1e-5)


def test_training_from_a_model_keeps_its_scale(folder, tmp_path):
    fit(
        folder / "deep.h5",
        tmp_path / "run",
        1,
        recipe=RECIPE,
        start=Start(folder / "quantile"),
        progress=False,
    )
    expected = checkpoint.load(folder / "quantile").common_scale
    assert checkpoint.load(tmp_path / "run").common_scale == expected


def test_a_network_without_a_scale_is_refused(folder):
    model = Chromoformer(replace(SMALL, channels=MARKS, scale="quantile"))
    with pytest.raises(InputError, match="no record"):
        dataset_for(model, folder / "a.h5", "cpu")


def test_a_mark_without_signal_in_training_is_refused(folder, tmp_path):
    def empty(signal):
        signal[:, 0] = 0
        return signal

    with_depth(folder / "a.h5", tmp_path / "empty.h5", empty)
    config = replace(SMALL, channels=MARKS, scale="quantile")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(tmp_path / "empty.h5", tmp_path / "run", 1, config, RECIPE, progress=False)
        with pytest.raises(InputError, match=f"{MARKS[0]} had no signal"):
            predict(tmp_path / "run", folder / "a.h5", progress=False)


def test_unknown_scales_are_refused():
    with pytest.raises(InputError, match="scale"):
        replace(SMALL, scale="zscore")
