"""The toy epigenome over five seeds: the gain from pCREs, trees, the simulated truth, shuffled labels."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from chromoformer.baselines.shallow import SHALLOW, out_of_fold, pcre_features, promoter_features
from chromoformer.data.batches import GeneDataset
from chromoformer.data.build import build_store
from chromoformer.data.store import Store
from chromoformer.demo import NETWORK, RECIPE
from chromoformer.simulate.epigenome import simulate
from chromoformer.training.fit import fit
from chromoformer.training.recipe import network_and_recipe


def trained_auc(store, out, seed, **network):
    config, recipe = network_and_recipe(store, NETWORK | network, RECIPE | {"epochs": 7})
    return fit(store, out, 1 + seed % 4, config, recipe, seed=seed, measure=False, progress=False)["auc"][
        "value"
    ]


@pytest.mark.slow
def test_pcres_help_by_more_than_the_spread_of_seeds_and_shuffled_labels_are_at_chance(tmp_path, capsys):
    rows = []
    for seed in range(5):
        folder = simulate(tmp_path / f"toy{seed}", seed=seed, cell_types=["cellA"], hic=False, progress=False)
        build_store(folder / "cellA.yaml", tmp_path / f"{seed}.h5", progress=False)
        store = Store(tmp_path / f"{seed}.h5")
        held_out = (store.genes["fold"] == 1 + seed % 4).to_numpy()
        label, fold = store.genes["label"].to_numpy(), store.genes["fold"].to_numpy()
        data = GeneDataset(store)
        promoter, trees = promoter_features(data), SHALLOW["classification"]["gradient-boosted trees"]
        truth = (
            pd.read_parquet(folder / "truth" / "genes.parquet")
            .set_index("gene_id")
            .loc[store.genes["gene_id"], "log2_expected"]
        )
        row = {
            "with": trained_auc(store, tmp_path / f"with{seed}", seed),
            "without": trained_auc(store, tmp_path / f"without{seed}", seed, max_pcres=0),
        }
        for name, features in (
            ("trees", promoter),
            ("trees with pCREs", np.c_[promoter, pcre_features(data)]),
        ):
            row[name] = roc_auc_score(label[held_out], out_of_fold(trees, features, label, fold)[held_out])
        row["truth"] = roc_auc_score(label[held_out], truth[held_out])
        store.genes["label"] = np.random.default_rng(seed).permutation(label)
        row["shuffled"] = trained_auc(store, tmp_path / f"shuffled{seed}", seed)
        shuffled = store.genes["label"].to_numpy()[held_out]
        row["standard error"] = np.sqrt(
            (len(shuffled) + 1) / (12 * shuffled.sum() * (len(shuffled) - shuffled.sum()))
        )
        rows.append(row)
    table = pd.DataFrame(rows)
    with capsys.disabled():
        print("\n", table.round(3).to_string(), "\n mean", table.mean().round(3).to_dict())
    gain = table["with"] - table["without"]
    assert gain.mean() > max(table["with"].std(), table["without"].std()) and (gain > 0).all()
    assert (table["truth"] > table["with"]).all()
    assert (abs(table["shuffled"] - 0.5) < 3 * table["standard error"]).all()
