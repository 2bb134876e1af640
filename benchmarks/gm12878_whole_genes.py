"""Compare whole genes with promoter windows and trees on GM12878 in 10-kb bins, for both tasks.

    python benchmarks/gm12878_whole_genes.py DATA OUT [--processes 2]

DATA holds the files that data_manifests/gm12878_10kb_local.yaml names. The settings of networks and trees are
chosen inside the training folds, and every model is trained five times. Complete runs in OUT are kept. Takes
more than an hour on two cores.
"""

import argparse
from pathlib import Path

from _gm12878 import MANIFEST, RESULTS, analysed, opened
from _measure import about

from chromoformer.provenance import write_json

SETTINGS = {  # 2-kb bins show where in the counts' bins of 10 kb a TSS lies; the annotation has no exons
    "network": {"bin_sizes": [2000], "max_pcres": 0},
    "positions": ["none", "tss", "tss end", "tss end others", "tss end others relative"],
    "tried": {
        "rate 4e-4": {"network": {"positions": ["tss", "end", "others"]}, "recipe": {"learning_rate": 4e-4}},
        "loops as pCREs": {"network": {"positions": ["tss", "end", "others"], "max_pcres": 8}},
    },
    "seeds": 5,
    "tuning_seeds": 3,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    data, out = arguments.data.resolve(), arguments.out.resolve()
    store = opened(data, out / "GM12878.h5")
    common = {
        "store": str(store.path),
        "manifest": str(MANIFEST),
        "data": str(data),
        "processes": arguments.processes,
    }
    found = {
        task: analysed("whole_gene", out / task, common | SETTINGS | {"task": task})
        for task in ("classification", "regression")
    }
    write_json(
        RESULTS / "gm12878.whole_genes.json",
        {"what": "GM12878 in 10-kb bins: whole genes, made by nbs/analyses/whole_gene.ipynb", "tasks": found}
        | about(),
    )


if __name__ == "__main__":
    main()
