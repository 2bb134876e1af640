"""Compare pCREs from each kind of contact in three cell lines, for the prediction of expression.

    python benchmarks/cells_contacts.py DATA SITES OUT [--cells K562] [--folds 1 2 3 4] [--seeds 1]

DATA holds the files that data_manifests/encode_*.yaml name (`chromoformer fetch MANIFEST --data DATA`), SITES
is a stranded BED file of CTCF motifs in hg19. The analysis is `contacts`: Hi-C loops (with activity and
distance for genes without a loop), loops of the other cell lines, activity and distance with and without
CTCF sites, distance alone, and none. Candidate elements are peaks of DNase. The network is
`whole-gene-joint` with up to eight pCREs of a gene; nothing is chosen here.

Complete trainings in OUT are kept, and cell lines that are not named keep their results. One cell line takes
about an hour and a half per seed on one core.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from _gm12878 import RESULTS, ROOT, analysed
from _measure import about
from against_trees import CELLS
from cells import without_paths

from chromoformer.data.build import build_store
from chromoformer.data.manifest import files_of, read_manifest
from chromoformer.provenance import write_json
from chromoformer.training.recipe import RECIPES

NETWORK = {"base": "whole-gene-joint", "max_pcres": 8}
KEPT = RESULTS / "cells.contact_kinds.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("sites", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    parser.add_argument("--folds", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=RECIPES["whole-gene-joint"].epochs)
    arguments = parser.parse_args()
    data, out = arguments.data.resolve(), arguments.out.resolve()
    manifests = {cell: str(ROOT / "data_manifests" / f"encode_{cell}.yaml") for cell in CELLS}
    for cell in arguments.cells:
        store = out / f"{cell}.h5"
        build_store(manifests[cell], store, data=data, keep=True, progress=False)
        described = read_manifest(manifests[cell], data)
        peaks = files_of(described.extra["CTCF"].path)[0]
        found = analysed(
            "contacts",
            out / cell,
            {
                "store": str(store),
                "manifest": manifests[cell],
                "manifests": manifests,
                "data": str(data),
                "predicted": {"path": described.contacts.otherwise.path},
                "ctcf": {"path": {"sites": str(arguments.sites.resolve()), "peaks": str(peaks)}},
                "held_out": arguments.folds,
                "seeds": arguments.seeds,
                "network": NETWORK,
                "recipe": asdict(RECIPES["whole-gene-joint"]) | {"epochs": arguments.epochs},
                "processes": arguments.processes,
            },
            cell,
        )
        kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"cells": {}}
        cells = kept["cells"] | {cell: without_paths(found) | about()}
        kept["cells"] = {name: cells[name] for name in CELLS if name in cells}
        kept["what"] = "pCREs from each kind of contact, made by nbs/analyses/contacts.ipynb"
        write_json(KEPT, kept)


if __name__ == "__main__":
    main()
