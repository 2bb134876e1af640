"""Compare loops, predicted contacts, distance alone and no contacts on GM12878 in 10-kb bins.

    python benchmarks/gm12878_contacts.py DATA OUT [--folds 1 2 3 4] [--seeds 3]

DATA holds the files that data_manifests/gm12878_10kb_local.yaml names. Settings are those of the ablations
(gm12878.ablation.json); every model is trained --seeds times per fold. Complete runs in OUT are kept. Takes
about ten minutes per fold and seed on one core.
"""

import argparse
import json
from pathlib import Path

import torch
from _gm12878 import MANIFEST, RESULTS, analysed, opened

from chromoformer.provenance import Stopwatch, code_version, machine, versions, write_json

PREDICTED = {  # no finer than the bins of the counts; of the five marks, only H3K4me1 marks enhancers
    "marks": ["H3K4me1"],
    "resolution": 10_000,
    "width": 10_000,
    "enrichment": 2.0,
    "clear_of_tss": 10_000,
    "min_distance": 40_000,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--folds", type=int, nargs="+", default=[1])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data, out, watch = arguments.data.resolve(), arguments.out.resolve(), Stopwatch()
    store, manifest = opened(data, out / "stores" / "GM12878.h5"), str(MANIFEST)
    settings = json.loads((RESULTS / "gm12878.ablation.json").read_text())
    found = analysed(
        "contacts",
        out,
        {
            "store": str(store.path),
            "manifest": manifest,
            "manifests": {"GM12878": manifest},
            "data": str(data),
            "predicted": PREDICTED,
            "held_out": arguments.folds,
            "seeds": arguments.seeds,
            "network": settings["network"],
            "recipe": settings["recipe"],
            "processes": 1,
        },
    )
    trained = sum(
        json.loads(file.read_text())["seconds"] for file in out.glob("runs/**/fold*/provenance.json")
    )
    write_json(
        RESULTS / "gm12878.contacts.json",
        found
        | {
            "what": "GM12878 in 10-kb bins: contacts, made by nbs/analyses/contacts.ipynb",
            "versions": versions(),
            "machine": machine(),
            "code": code_version(),
            "seconds": {"of all trainings": round(trained), "of the last pass": round(watch.seconds)},
        },
    )


if __name__ == "__main__":
    main()
