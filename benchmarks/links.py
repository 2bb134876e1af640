"""Compare scores of enhancer-gene links with CRISPR interference in K562.

    python benchmarks/links.py DATA OUT [--networks NAME STORE RUN ... [--networks ...]]

DATA holds the files that data_manifests/encode_K562.yaml names (`chromoformer fetch MANIFEST --data DATA`).
The tested pairs are links/K562.crispri.hg19.tsv.gz in DATA or in CHROMOFORMER_DATA. OUT keeps tables. With
`--networks` (run folders, one per fold, and the store that they predict), pairs are also scored by silencing
the element, once by predicting again and once to first order, by the gradient. Each gene is predicted by the
run that held it out. Without `--networks`, the kept result keeps what networks found before. The model of the
recommended score is chosen within the training chromosomes; features were chosen on folds 1 and 2, so results
on folds 3 and 4 are given separately.
"""

import argparse
import json
import os
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
from _gm12878 import RESULTS, ROOT
from _measure import about
from sklearn.metrics import average_precision_score

from chromoformer.data import predicted_contacts
from chromoformer.data.build import bigwigs_of, genes_of
from chromoformer.data.coolers import read_cool
from chromoformer.data.manifest import read_manifest
from chromoformer.data.predicted_contacts import element_contacts, find_elements
from chromoformer.experiments.link_features import (
    link_features,
    peak_files,
    read_domains,
    read_loops_of,
    read_tracks,
)
from chromoformer.experiments.links import (
    by_distance,
    differences_of_links,
    genes_for_links,
    held_out_scores,
    judge_links,
    read_tested_pairs,
    recommended_features,
    sign_table,
    silencer_marks,
    silencing_effects,
    simple_scores,
)
from chromoformer.genome import chromosome_fold, read_chrom_sizes
from chromoformer.provenance import write_json

KEPT = RESULTS / "links.K562.json"
RELATIVES = ("E000", "E116", "E117", "E122")  # the universal reference, and the project's other cell lines
RECOMMENDED, WITH_EXPRESSION = "recommended", "with the gene's expression"
KINDS = [["H3K27ac", "H3K4me1"]]
WAYS = {"predicted again": False, "by gradient": True}


def table_of(folder: Path) -> Path:
    "Return the table of tested pairs, in DATA or in the shared folder."
    name = Path("links") / "K562.crispri.hg19.tsv.gz"
    here = folder / name
    return here if here.exists() else Path(os.environ["CHROMOFORMER_DATA"]) / name


def predicted(pairs: pd.DataFrame, manifest, genes: pd.DataFrame, sizes: dict, out: Path) -> np.ndarray:
    "Return the default predicted contact of each pair; 0 beyond its reach."
    marks = [channel for channel in manifest.channels if channel.name in KINDS[0]]
    tracks = bigwigs_of(marks, sizes, out, required=())
    here = genes[genes["chrom"].isin(pairs["chrom"])]
    given = pairs[["chrom", "start", "end"]].drop_duplicates()
    elements = find_elements(tracks, KINDS, here, sizes, given=given, clear_of_tss=-1)
    contacts = element_contacts(pairs[["chrom", "tss"]].drop_duplicates(), elements)
    contacts["middle"] = (contacts["start_b"] + contacts["end_b"]) // 2
    known = contacts.groupby(["chrom", "start_a", "middle"])["score"].max()
    middle = (pairs["start"] + pairs["end"]) // 2
    keys = pd.MultiIndex.from_arrays([pairs["chrom"], pairs["tss"], middle])
    return known.reindex(keys).fillna(0.0).to_numpy()


def tried_defaults(pairs: pd.DataFrame, regulated: np.ndarray, first: np.ndarray, *data) -> list[dict]:
    "Return the average precision of predicted contacts with several settings, on both halves."
    rows = []
    kept = predicted_contacts.ACTIVE, predicted_contacts.NEAREST
    for active, nearest in ((4000, 5000), (4000, 2000), (1000, 5000), (1000, 2000)):
        predicted_contacts.ACTIVE, predicted_contacts.NEAREST = active, nearest
        values = predicted(pairs, *data)
        row = {"activity in": active, "nearest": nearest, "used": (active, nearest) == kept}
        for name, part in (("folds 1 and 2", first), ("folds 3 and 4", ~first)):
            row[name] = average_precision_score(regulated[part], values[part])
        rows.append(row)
    predicted_contacts.ACTIVE, predicted_contacts.NEAREST = kept
    return rows


def table_scores(pairs: pd.DataFrame) -> dict[str, np.ndarray]:
    "Return the score from the reads that the table itself gives; it needs more than peaks."
    activity = np.sqrt(pairs["H3K27ac_RPM"] * pairs["DNase_RPM"])
    return {"table's reads / distance": (activity / pairs["distance"].abs().clip(lower=1)).to_numpy()}


def network_scores(name: str, store: str, runs: list[str], pairs: pd.DataFrame, scores: dict, draws: int):
    "Return what the networks of a name find, and their effects on each pair."
    effects, seconds = {}, {}
    for way, gradient in WAYS.items():
        started = process_time()
        effects[way] = silencing_effects(runs, store, pairs, gradient=gradient)
        seconds[way] = process_time() - started
    known = effects["predicted again"]["held_out"].to_numpy(bool)
    here = pairs[known].reset_index(drop=True)
    own = {score: values[known] for score, values in scores.items()}
    for way, found in effects.items():
        own[f"silencing, {way}"] = found["effect"].to_numpy(float)[known]
        own[f"absolute silencing, {way}"] = np.abs(own[f"silencing, {way}"])
    read = effects["predicted again"]["read"].to_numpy(bool)[known]
    kept = {
        "name": name,
        "runs": len(runs),
        "read": int(read.sum()),
        "links read": int(here["regulated"].to_numpy(bool)[read].sum()),
        "processor seconds": seconds,
        "scores": judge_links(own, here, draws=draws).to_dict("records"),
        "scores of elements read": judge_links(
            {score: values[read] for score, values in own.items()},
            here[read].reset_index(drop=True),
            draws=draws,
        ).to_dict("records"),
        "signs": {
            way: sign_table(found[known].reset_index(drop=True), here).to_dict("records")
            for way, found in effects.items()
        },
    }
    return kept, pd.concat({way: found["effect"] for way, found in effects.items()}, axis=1)


def earlier_networks() -> list[dict]:
    "Return what networks found in the kept result, without the learned scores, which are made again."
    if not KEPT.exists():
        return []
    kept = json.loads(KEPT.read_text())
    found = []
    for entry in kept["networks"]:
        entry = {"code": kept["code"], "date": kept["date"]} | entry
        for table in ("scores", "scores of elements read"):
            entry[table] = [row for row in entry[table] if row["score"] not in (RECOMMENDED, WITH_EXPRESSION)]
        found.append(entry)
    return found


def measured_contacts(pairs: pd.DataFrame, sizes: dict, path: Path) -> np.ndarray:
    "Return the Hi-C contact of each pair of chromosome 22; 0 where none was counted."
    table = read_cool(path, sizes, sites=pairs[["chrom", "tss"]])
    table = table[["start_a", "end_a", "start_b", "end_b", "score"]].to_numpy()
    swapped = table[:, [2, 3, 0, 1, 4]]
    bins = {(int(a // 5000), int(c // 5000)): s for a, _, c, _, s in [*table, *swapped]}
    middle = (pairs["start"] + pairs["end"]) // 2
    return np.array([bins.get((t // 5000, m // 5000), 0.0) for t, m in zip(pairs["tss"], middle)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--networks", nargs="+", action="append", default=[], metavar=("NAME STORE RUN", "RUN")
    )
    parser.add_argument("--draws", type=int, default=300)
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(ROOT / "data_manifests" / "encode_K562.yaml", arguments.data)
    sizes = read_chrom_sizes(manifest.chrom_sizes.path)
    genes = genes_of(manifest, sizes)
    pairs = read_tested_pairs(table_of(arguments.data), sizes)
    table = link_features(
        pairs,
        read_tracks(peak_files(manifest), sizes),
        genes_for_links(manifest, genes, RELATIVES),
        read_loops_of(manifest, sizes),
        read_domains(manifest.extra["domains"].path, sizes),
    )
    scores = simple_scores(table) | {"predicted contacts": predicted(pairs, manifest, genes, sizes, out)}
    scores |= table_scores(pairs)
    label = pairs["regulated"].to_numpy(bool)
    scores[RECOMMENDED], chosen = held_out_scores(recommended_features(table), label, pairs["chrom"])
    scores[WITH_EXPRESSION], _ = held_out_scores(table, label, pairs["chrom"])
    fold = pairs["chrom"].map(chromosome_fold).to_numpy()
    powered = pairs["power_at_25"].to_numpy() >= 0.8
    made = (manifest, genes, sizes, out)
    kept = {
        "what": "scores of enhancer-gene links against CRISPR interference, made by benchmarks/links.py",
        "pairs": len(pairs),
        "links": int(pairs["regulated"].sum()),
        "chance": float(pairs["regulated"].mean()),
        "features": list(recommended_features(table)),
        "power below 0.8": {"links": int((~powered & label).sum()), "others": int((~powered & ~label).sum())},
        "predicted contacts": tried_defaults(pairs, label, fold <= 2, *made),
        "scores": judge_links(scores, pairs, draws=arguments.draws).to_dict("records"),
        "differences": differences_of_links(scores, pairs, RECOMMENDED, arguments.draws).to_dict("records"),
        "distance": by_distance(scores, pairs).to_dict("records"),
        "chosen": chosen.to_dict("records"),
        "silencers": silencer_marks(table, pairs).to_dict("records"),
        "interval": "genes",
    }
    for name, part in (("folds 1 and 2", fold <= 2), ("folds 3 and 4", fold > 2), ("power", powered)):
        own = {score: values[part] for score, values in scores.items()}
        judged = judge_links(own, pairs[part].reset_index(drop=True), draws=arguments.draws)
        kept[name] = judged.to_dict("records")
    kept["networks"] = [] if arguments.networks else earlier_networks()
    for name, store, *runs in arguments.networks:
        found, effects = network_scores(name, store, runs, pairs, scores, arguments.draws)
        kept["networks"].append(found)
        effects.to_parquet(out / f"effects.{name}.parquet")
    cool = table_of(arguments.data).parent / "K562.chr22.5kb.hg19.cool"
    if cool.exists():
        part = (pairs["chrom"] == "chr22").to_numpy()
        contact = measured_contacts(pairs[part], sizes, cool)
        label = label[part]
        own = {name: values[part] for name, values in scores.items()} | {"Hi-C": contact}
        found = {name: average_precision_score(label, values) for name, values in own.items()}
        kept["chr22"] = {"pairs": int(part.sum()), "links": int(label.sum()), "average_precision": found}
    pd.DataFrame(scores).assign(regulated=pairs["regulated"]).to_parquet(out / "scores.parquet")
    write_json(KEPT, kept | about())
    print(pd.DataFrame(kept["scores"]).round(3).to_string())


if __name__ == "__main__":
    main()
