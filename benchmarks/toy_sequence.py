"""Find on toy epigenomes that CTCF sites in the sequence block elements: as tracks and in predicted contacts.

    python benchmarks/toy_sequence.py OUT [--seeds 3 4 5 6 7] [--genes 600] [--result FILE]

--seeds are those of the epigenomes (`SequenceRules`), which are analysed together: folds of different
epigenomes are different folds. Gradient-boosted trees read the mean of each mark in the promoter window and
in the pCREs, weighted by contact score. They are trained three times, so that differences are tested, but
their training involves no randomness: intervals are over genes. The strengths of the rules were chosen on the
epigenomes of seeds 0 to 2. Epigenomes and stores in OUT are kept. Writes
benchmarks/results/toy.sequence.json. Takes a minute per epigenome on one core.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from _measure import about
from toy_contacts import together

from chromoformer.baselines.shallow import SHALLOW, out_of_fold, pcre_features, promoter_features, with_seed
from chromoformer.data.batches import GeneDataset
from chromoformer.data.build import build_store
from chromoformer.data.manifest import Contacts, read_manifest
from chromoformer.data.store import Store
from chromoformer.experiments.comparison import comparison_table, differences, mean_scores
from chromoformer.provenance import write_json
from chromoformer.simulate.epigenome import simulate

ROOT = Path(__file__).resolve().parents[1]
TREES = SHALLOW["classification"]["gradient-boosted trees"]
TRAININGS = 3
SITES = "distance, with sites"
COMPARED = {  # reference -> the models compared with it
    "none": ["distance", "none, with sites"],
    "distance": ["activity", "activity with CTCF", SITES, "distance, with shuffled sites"],
    "activity with CTCF": ["measured"],
    "distance, with GC and CpG": ["distance"],
}


def stores_of(out: Path, genes: int, seed: int) -> dict[str, Store]:
    "Return stores of one epigenome that differ in their contacts; that of distance reads the sequence, too."
    toy = out / "toy"
    if not toy.exists():
        simulate(toy, genes, seed, sequence=True, cell_types=["cellA"], hic=False, progress=False)
    sequence, predicted = (read_manifest(toy / f"cellA.{name}.yaml") for name in ("sequence", "predicted"))
    marks = predicted.contacts.marks
    manifests = {
        "measured": read_manifest(toy / "cellA.yaml"),
        "activity with CTCF": predicted,
        "activity": predicted.model_copy(update={"contacts": Contacts(kind="activity", marks=marks)}),
        "distance": sequence.model_copy(update={"contacts": Contacts(kind="distance", marks=marks)}),
    }
    for name, manifest in manifests.items():
        build_store(manifest, out / f"{name}.h5", keep=True, progress=False)
    return {name: Store(out / f"{name}.h5") for name in manifests}


def features_of(stores: Mapping[str, Store]) -> dict[str, np.ndarray]:
    "Return the input of each model, (genes, features)."
    found = {}
    for name, store in stores.items():
        data = GeneDataset(store)
        marks = [number for number, name in enumerate(store.channels) if name.startswith("H3")]
        window = promoter_features(data)
        pcres = pcre_features(data)[:, [*marks, -1]]
        found[name] = np.c_[window[:, marks], pcres]
        if name == "distance":
            site, gc, cpg = (window[:, [store.channels.index(name)]] for name in ("CTCF sites", "GC", "CpG"))
            found |= {"none": window[:, marks], "none, with sites": np.c_[window[:, marks], site]}
            found[SITES] = np.c_[found[name], site]
            shuffled = np.random.default_rng(0).permutation(site)
            found["distance, with shuffled sites"] = np.c_[found[name], shuffled]
            found["distance, with GC and CpG"] = np.c_[found[name], gc, cpg]
    return found


def predictions_of(out: Path, genes: int, seed: int) -> pd.DataFrame:
    "Return the predictions of every model and training for the genes of held-out folds."
    stores = stores_of(out, genes, seed)
    table = stores["measured"].genes
    label, fold = table["label"].to_numpy(), table["fold"].to_numpy()
    parts = []
    for model, features in features_of(stores).items():
        for training in range(TRAININGS):
            score = out_of_fold(with_seed(TREES, training), features, label, fold)
            columns = {"model": model, "seed": training, "target": label, "score": score}
            parts.append(table[["fold", "gene_id", "chrom", "tss"]].assign(**columns))
    return pd.concat(parts, ignore_index=True)


def blocked_share(out: Path) -> float:
    "Return the share of the drawn contacts that a site blocks."
    links = pd.read_parquet(out / "toy" / "truth" / "links.parquet")
    return float(links["blocked"].sum() / (links["blocked"] | (links["frequency"] > 0)).sum())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5, 6, 7])
    parser.add_argument("--genes", type=int, default=600)
    results = ROOT / "benchmarks" / "results"
    parser.add_argument("--result", type=Path, default=results / "toy.sequence.json")
    arguments = parser.parse_args()
    folders = {seed: arguments.out / f"seed{seed}" for seed in arguments.seeds}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    tables = [predictions_of(folder, arguments.genes, seed) for seed, folder in folders.items()]
    predictions = together(tables)
    changes = differences(predictions, "classification", COMPARED)
    means = mean_scores(predictions, "classification").query("metric == 'auc'")
    alone = [mean_scores(table, "classification").query("metric == 'auc'") for table in tables]
    write_json(
        arguments.result,
        {
            "what": "trees on toy epigenomes with sites in the sequence; means over folds and epigenomes",
            "seeds": arguments.seeds,
            "genes": arguments.genes,
            "trainings": TRAININGS,
            "blocked": [blocked_share(folder) for folder in folders.values()],
            "means": means.to_dict("records"),
            "of each epigenome": [dict(zip(table["model"], table["value"])) for table in alone],
            "differences": changes.to_dict("records"),
        }
        | about(),
    )
    print(means[["model", "value", "low", "high"]].round(3).to_string(index=False))
    print(comparison_table(changes).to_string(index=False))


if __name__ == "__main__":
    main()
