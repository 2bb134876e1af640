"""GM12878: its manifest builds a store, and shallow models reach the AUCs measured before."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from chromoformer.baselines.shallow import SHALLOW, gene_body_features, genome_bin_features, out_of_fold
from chromoformer.data.build import build_store
from chromoformer.data.manifest import read_manifest
from chromoformer.data.store import Store
from chromoformer.genome import read_chrom_sizes

MANIFEST = Path(__file__).resolve().parents[1] / "data_manifests" / "gm12878_10kb_local.yaml"


@pytest.fixture(scope="module")
def store(real_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("gm12878") / "GM12878.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        build_store(MANIFEST, out, data=real_data, processes=1, progress=False)
    return Store(out)


def test_the_manifest_builds_a_store_of_gm12878(store):
    assert len(store.genes) == 18_915 and store.genes["label"].sum() == 9_460
    assert store.channels == ("H3K4me1", "H3K4me3", "H3K9me3", "H3K27me3", "H3K36me3")
    assert store.genes["fold"].value_counts().sort_index().index.tolist() == [1, 2, 3, 4]
    assert (store.pcres["score"] > 1.5).all() and len(store.pcres) > 6000


def test_stored_depth_equals_the_depth_of_the_track(store, real_data):
    import pyBigWig

    tracks = {c.name: c.path for c in read_manifest(MANIFEST, real_data).channels}
    for gene in (10, 5000, 18_000):
        region = store.regions.iloc[store.promoter_region[gene]]
        depth = store.region_depth(store.promoter_region[gene])
        for column, channel in enumerate(store.channels):
            with pyBigWig.open(tracks[channel]) as track:
                values = np.nan_to_num(
                    track.values(
                        region["chrom"], int(region["inside_start"]), int(region["inside_end"]), numpy=True
                    )
                )
            whole = np.full(region["end"] - region["start"], np.nan)
            whole[region["inside_start"] - region["start"] : region["inside_end"] - region["start"]] = values
            expected = np.nanmean(whole.reshape(-1, store.bin_size), axis=1)
            assert np.allclose(depth[:, column], expected, rtol=1e-6)


@pytest.mark.slow
def test_shallow_models_reach_the_known_auc(store, real_data):
    """The known AUCs are of the same features without alignment to the strand, which adds 0.006 to 0.02."""
    described = read_manifest(MANIFEST, real_data)
    features = genome_bin_features(
        {c.name: c.path for c in described.channels},
        store.genes,
        read_chrom_sizes(described.chrom_sizes.path),
    )
    label, fold = store.genes["label"].to_numpy(), store.genes["fold"].to_numpy()
    known = {
        "gradient-boosted trees": [0.930, 0.933, 0.937, 0.918],
        "logistic regression": [0.915, 0.922, 0.927, 0.904],
    }
    for name, expected in known.items():
        scores = out_of_fold(SHALLOW["classification"][name], features, label, fold)
        found = [roc_auc_score(label[fold == k], scores[fold == k]) for k in (1, 2, 3, 4)]
        assert (np.array(found) > np.array(expected) - 0.003).all(), (name, found)


@pytest.mark.slow
def test_gene_body_features_reach_the_known_auc(store, real_data):
    """The known mean AUC over the four folds is 0.959."""
    described = read_manifest(MANIFEST, real_data)
    given = (
        {c.name: c.path for c in described.channels},
        store.genes,
        read_chrom_sizes(described.chrom_sizes.path),
    )
    features = np.c_[genome_bin_features(*given), gene_body_features(*given)]
    label, fold = store.genes["label"].to_numpy(), store.genes["fold"].to_numpy()
    scores = out_of_fold(SHALLOW["classification"]["gradient-boosted trees"], features, label, fold)
    assert np.mean([roc_auc_score(label[fold == k], scores[fold == k]) for k in (1, 2, 3, 4)]) > 0.956
