"""How do time and memory of an epoch grow from promoter windows of 40 kb to whole genes of up to 2.3 Mb?

Genes as long as human ones (log-normal, median 26 kb, one of 2.3 Mb), times a factor, on a store at 100 bp
with seven marks; one epoch of training by `fit`,
a process for each row. The network of the first row reads the promoter windows
of the same genes, with one layer as published: more layers over a window attend from every bin to every bin.

    python benchmarks/whole_genes.py [--genes 1500] [--runs 3] [--out benchmarks/results/whole_genes.json]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from _measure import about, measured

WORK = (
    "window, 1",
    "gene, 0",
    "gene, 0.5",
    "gene, 1",
    "gene, 2",
)  # span, and the factor of all lengths but the longest
LONGEST, DOWNSTREAM = 2_304_000, 20_000  # bp


def make_store(path: Path, genes: int, factor: float) -> None:
    "Random depth, genes in a row on chromosomes of four folds. With factor 0 all end where they start."
    import numpy as np
    import pandas as pd

    from chromoformer.data.store import PUBLISHED_MARKS, write_store

    random = np.random.default_rng(0)
    length = (np.exp(random.normal(np.log(26_000), 1.44, genes)).clip(500, LONGEST) * factor).astype(int) + 1
    length[0] = LONGEST if factor else 1
    fold = np.arange(genes) % 4 + 1
    tss = np.empty(genes, np.int64)
    for k in range(1, 5):
        mine = fold == k
        tss[mine] = 50_000 + np.cumsum(length[mine] + 60_000) - length[mine]
    table = pd.DataFrame(
        {
            "gene_id": [f"g{i}" for i in range(genes)],
            "gene_name": [f"g{i}" for i in range(genes)],
            "chrom": [f"chr{k}" for k in fold],
            "tss": tss,
            "strand": "+",
            "gene_start": tss,
            "gene_end": tss + length,
            "expression": random.random(genes),
            "label": random.integers(0, 2, genes),
            "fold": fold,
        }
    )
    no_pcres = pd.DataFrame(columns=["gene_id", "chrom", "start", "end", "score", "rank"])
    write_store(
        path,
        genes=table,
        pcres=no_pcres,
        channels=PUBLISHED_MARKS,
        bin_sizes=(2000, 500, 100),
        window=40_000,
        genome="random",
        inputs={},
        downstream=DOWNSTREAM,
        signal_of=lambda regions: random.poisson(100, (int(regions["bins"].sum()), 7)),
    )


def epoch(store: str, span: str) -> dict:
    "One epoch, the longest gene in it, and the bins that it reads."
    import torch

    from chromoformer.data.store import Store
    from chromoformer.training.fit import fit
    from chromoformer.training.recipe import network_and_recipe

    torch.set_num_threads(2)
    opened = Store(store)
    network, recipe = network_and_recipe(
        opened,
        {"base": "whole-gene", "span": span, "max_pcres": 0}
        | ({"embedding": {"layers": 1}} if span == "window" else {}),
        {"epochs": 1, "drop_last": False},
    )
    regions = opened.regions.iloc[opened.gene_region if span == "gene" else opened.promoter_region]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        fit(opened, Path(folder) / "run", 4, network, recipe, measure=False, progress=False)
        whole = time.perf_counter() - start
    history = {
        "fit_seconds": whole,
        "bins": int(regions["bins"][(opened.genes["fold"] != 4).to_numpy()].sum()),
        "longest": int(regions["bins"].max()),
    }
    return history


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--genes", type=int, default=1500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--epoch", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.epoch:
        print(json.dumps(epoch(*options.epoch)))
        return
    rows = []
    print(
        f"{'network, lengths':<20}{'longest':>10}{'bins read':>12}{'epoch':>10}"
        f"{'per million bins':>18}{'peak':>10}{'store':>10}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for work in WORK:
            span, factor = work.split(", ")
            store = Path(folder) / f"{factor}.h5"
            if not store.exists():
                make_store(store, options.genes, float(factor))
            runs = [measured([sys.executable, __file__, "--epoch", store, span]) for _ in range(options.runs)]
            told = [json.loads(run["printed"]) for run in runs]
            row = {
                "span": span,
                "factor": float(factor),
                "seconds": statistics.median(one["fit_seconds"] for one in told),
                "peak_mb": max(run["peak_mb"] for run in runs),
                "store_mb": store.stat().st_size / 1e6,
            } | {key: told[0][key] for key in ("bins", "longest")}
            rows.append(row)
            print(
                f"{span + ', ' + factor + ' x':<20}{row['longest'] / 1e4:>7.2f} Mb{row['bins']:>12,}"
                f"{row['seconds']:>8.1f} s{row['seconds'] * 1e6 / row['bins']:>16.1f} s"
                f"{row['peak_mb']:>7.0f} MB{row['store_mb']:>7.0f} MB"
            )
    if options.out:
        from chromoformer.provenance import write_json

        write_json(
            options.out,
            {
                "genes": options.genes,
                "runs": options.runs,
                "longest": LONGEST,
                "downstream": DOWNSTREAM,
                "rows": rows,
            }
            | about(),
        )


if __name__ == "__main__":
    main()
