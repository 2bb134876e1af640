"""Contacts from CTCF against a measured map and against loops, each time on places held out.

    python benchmarks/ctcf_contacts.py DATA [--out FILE]

DATA is the folder of real data (see CHROMOFORMER_DATA). On the map of chr22 at 10 kb, the law is fitted on
one half and ranks the pairs of the other (20 kb to 1 Mb apart; halves have as many usable bins). For pairs
of CTCF peaks 100 kb to 2 Mb apart, the law is fitted on three folds of chromosomes and ranks the pairs of the
fourth; a pair is a loop if the anchors of a HiCCUPS loop overlap its peaks. The form of the law and its reach
were chosen among 36 variants on both halves of the map, so the correlations there are slightly too high;
nothing was chosen on the loops. Takes minutes.
"""

import argparse
from pathlib import Path

import cooler
import numpy as np
import pandas as pd
from _measure import about
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from chromoformer.data.ctcf_contacts import bound_sites, fit_law, site_features
from chromoformer.data.motifs import read_sites
from chromoformer.data.predicted_contacts import read_elements
from chromoformer.genome import HUMAN_FOLDS, bare_name, read_chrom_sizes
from chromoformer.provenance import write_json

ROOT = Path(__file__).resolve().parents[1]
BIN, NEAREST, FARTHEST = 10_000, 2, 100  # bp, bins, bins
PEAK_REACH = 1000  # bp


def map_pairs(path: Path) -> pd.DataFrame:
    "Return all pairs of usable 10-kb bins with their balanced counts (sums of 2 x 2 bins of 5 kb)."
    opened = cooler.Cooler(str(path))
    pixels = opened.pixels()[:]
    weight = opened.bins()[:]["weight"].to_numpy()
    bins = len(weight) // 2
    value = pixels["count"].to_numpy() * weight[pixels["bin1_id"]] * weight[pixels["bin2_id"]]
    one, other = (pixels[name].to_numpy() // 2 for name in ("bin1_id", "bin2_id"))
    kept = np.isfinite(value) & (other < bins) & (other - one <= FARTHEST)
    band = np.bincount(one[kept] * (FARTHEST + 1) + (other - one)[kept], value[kept], bins * (FARTHEST + 1))
    usable = np.isfinite(weight[: 2 * bins]).reshape(-1, 2).all(1)
    steps = np.arange(NEAREST, FARTHEST + 1)
    first = np.repeat(np.arange(bins), len(steps))
    second = first + np.tile(steps, bins)
    inside = second < bins
    first, second = first[inside], second[inside]
    chosen = usable[first] & usable[second]
    first, second = first[chosen], second[chosen]
    middle = int(np.median(np.flatnonzero(usable)))
    half = np.where(second < middle, 0, np.where(first >= middle, 1, -1))
    counts = band.reshape(bins, -1)[first, second - first]
    return pd.DataFrame({"first": first, "second": second, "counts": counts, "half": half})


def expected_of(step: np.ndarray, counts: np.ndarray) -> np.ndarray:
    "Return the mean count at each distance."
    return np.bincount(step, counts) / np.maximum(np.bincount(step), 1)


def on_the_map(data: Path) -> list[dict]:
    "Return the rank correlations with observed over expected counts in each half, held out."
    sizes = read_chrom_sizes(data / "hg19.chrom.sizes")
    sites = read_sites(data / "sequence" / "ctcf_motifs.hg19.bed.gz", sizes, stranded=True)
    peaks = read_elements(data / "cells" / "K562" / "K562-CTCF.narrowPeak.gz", sizes)
    pairs = map_pairs(data / "links" / "K562.chr22.5kb.hg19.cool")
    step = (pairs["second"] - pairs["first"]).to_numpy()
    ratio = pairs["counts"].to_numpy() / expected_of(step, pairs["counts"])[step]
    centres = [(pairs[name].to_numpy() * BIN + BIN // 2) for name in ("first", "second")]
    models = {"motifs": sites, "motifs in peaks": bound_sites(sites, peaks)}
    rows = []
    for half in (0, 1):
        test = (pairs["half"] == half).to_numpy()
        row = {"held_out_half": half + 1, "pairs": int(test.sum())}
        rows.append(row | {"model": "distance", "rho": float(spearmanr(-step[test], ratio[test])[0])})
        train = (pairs["half"] == 1 - half).to_numpy()
        expected = expected_of(step[train], pairs["counts"].to_numpy()[train])[step]
        for name, chosen in models.items():
            features = site_features(chosen, "chr22", *centres)
            law = fit_law(features[train], pairs["counts"].to_numpy()[train], expected[train])
            score = features[test] @ np.array([-law.insulation, law.gain])
            found = {"model": name, "insulation": law.insulation, "gain": law.gain}
            rows.append(row | found | {"rho": float(spearmanr(score, ratio[test])[0])})
            print(rows[-1], flush=True)
    return rows


def loop_pairs(data: Path, cell: str) -> pd.DataFrame:
    "Return the pairs of CTCF peaks 100 kb to 2 Mb apart: features, and whether each is a loop."
    sizes = read_chrom_sizes(data / "hg19.chrom.sizes")
    sites = read_sites(data / "sequence" / "ctcf_motifs.hg19.bed.gz", sizes, stranded=True)
    peaks = read_elements(data / "cells" / cell / f"{cell}-CTCF.narrowPeak.gz", sizes)
    bound = bound_sites(sites, peaks)
    loops = pd.read_csv(
        data / "cells" / cell / f"{cell}-loops_with_motifs.txt.gz", sep="\t", dtype={"chr1": str}
    )
    found = []
    for chrom, here in peaks.groupby("chrom", sort=False):
        here = here.sort_values("start")
        centre = ((here["start"] + here["end"]) // 2).to_numpy()
        order = np.argsort(centre)
        here, centre = here.iloc[order], centre[order]
        low, high = (np.searchsorted(centre, centre + reach) for reach in (100_000, 2_000_001))
        one = np.repeat(np.arange(len(centre)), high - low)
        other = np.arange(len(one)) - np.repeat(np.cumsum(high - low) - high, high - low)
        on = loops[loops["chr1"] == bare_name(str(chrom))]
        is_loop = np.zeros((len(one)), bool)
        start, end = here["start"].to_numpy(), here["end"].to_numpy()
        number = one.astype(np.int64) * len(centre) + other
        looped = [
            np.add.outer(a * len(centre), b).ravel()
            for x1, x2, y1, y2 in on[["x1", "x2", "y1", "y2"]].to_numpy()
            for a in [np.flatnonzero((start < x2) & (end > x1))]
            for b in [np.flatnonzero((start < y2) & (end > y1))]
        ]
        is_loop = np.isin(number, np.concatenate(looped)) if looped else is_loop
        features = site_features(bound, str(chrom), centre[one], centre[other], PEAK_REACH)
        middle = ((bound["start"] + bound["end"]) // 2)[bound["chrom"] == chrom].sort_values().to_numpy()
        near = np.searchsorted(middle, centre + PEAK_REACH) - np.searchsorted(middle, centre - PEAK_REACH)
        unoriented = np.minimum(np.minimum(near[one], near[other]), 2)
        table = {"distance": centre[other] - centre[one], "between": features[:, 0], "pairs": features[:, 1]}
        table |= {"unoriented": unoriented.astype(float), "loop": is_loop}
        fold = next((f for f, chroms in HUMAN_FOLDS.items() if bare_name(str(chrom)) in chroms), 0)
        found.append(pd.DataFrame(table).assign(fold=fold))
    return pd.concat(found, ignore_index=True)


def on_loops(data: Path, cell: str) -> list[dict]:
    "Return the average precision of each model on each fold of chromosomes, held out."
    pairs = loop_pairs(data, cell)
    loop = pairs["loop"].to_numpy(float)
    step = np.minimum((np.log(pairs["distance"] / 100_000) / np.log(20) * 40).astype(int), 39).to_numpy()
    rows = []
    for fold in (1, 2, 3, 4):
        test = (pairs["fold"] == fold).to_numpy()
        expected = np.maximum(expected_of(step[~test], loop[~test])[step], 1e-9)
        scores = {"distance": expected}
        for name, column in (("orientation ignored", "unoriented"), ("convergent pairs", "pairs")):
            features = pairs[["between", column]].to_numpy(float)
            law = fit_law(features[~test], loop[~test], expected[~test], PEAK_REACH)
            scores[name] = expected * np.exp(features @ np.array([-law.insulation, law.gain]))
        for name, score in scores.items():
            precision = average_precision_score(loop[test], score[test])
            row = {"cell": cell, "held_out_fold": fold, "model": name, "average_precision": float(precision)}
            rows.append(row | {"pairs": int(test.sum()), "loops": int(loop[test].sum())})
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    "Run both comparisons and write the results."
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "ctcf_contacts.json")
    arguments = parser.parse_args()
    results = {"map": on_the_map(arguments.data), "loops": []}
    write_json(arguments.out, results | about())
    for cell in ("K562", "GM12878"):
        results["loops"] += on_loops(arguments.data, cell)
        write_json(arguments.out, results | about())


if __name__ == "__main__":
    main()
