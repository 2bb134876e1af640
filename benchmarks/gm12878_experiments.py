"""Run CTCF, compartments and regulation on GM12878, and write their numbers to a JSON file.

    python benchmarks/gm12878_experiments.py DATA OUT [--seeds 3]

DATA holds the files that data_manifests/gm12878_10kb_local.ctcf.yaml names. Four folds, with the settings
chosen before; models with and without a channel are trained --seeds times. Complete runs in OUT are kept.
Takes about half an hour per seed on one core.
"""

import argparse
import json
from pathlib import Path

import torch
from _gm12878 import MANIFEST, RESULTS, analysed, opened, trained_runs

from chromoformer.provenance import Stopwatch, code_version, machine, versions, write_json
from chromoformer.training.run_folder import settings_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data, out, watch = arguments.data.resolve(), arguments.out.resolve(), Stopwatch()
    store = opened(data, out / "stores" / "GM12878.h5")
    runs = trained_runs(store, out / "train")
    common = {"store": str(store.path), "runs": [str(run) for run in runs], "task": "classification"}
    described = common | {"manifest": str(MANIFEST), "data": str(data)}
    several = described | {"seeds": arguments.seeds}
    cooler = {"cooler": str(data / "gm12878" / "GM12878.hic.2500kb.cool"), "balance": "KR"}
    found = {
        "ctcf": analysed("ctcf", out / "ctcf", several),
        "compartments": analysed("compartments", out / "compartments", several | cooler),
        "compartments, best of three components": analysed(
            "compartments", out / "compartments_among3", described | cooler | {"among": 3, "runs": []}
        ),
        "regulation": analysed(
            "regulation", out / "regulation", described | {"gene_sets": [str(data / "genesets.symbols.gmt")]}
        ),
    }
    trained = sum(json.loads(file.read_text())["seconds"] for file in out.glob("**/fold*/provenance.json"))
    write_json(
        RESULTS / "gm12878.experiments.json",
        {
            "what": "GM12878 in 10-kb bins: CTCF, compartments, regulation; classifiers",
            "intervals": "genes in blocks of neighbours; of gains, also trainings",
            "found": {
                name: {key: value for key, value in metrics.items() if key != "inputs"}
                for name, metrics in found.items()
            },
            "inputs": store.inputs | {"CTCF": found["ctcf"]["inputs"]["CTCF"]},
            "seed": settings_of(runs[0])["seed"],
            "seeds": arguments.seeds,
            "versions": versions(),
            "machine": machine(),
            "code": code_version(),
            "seconds": {"of all trainings": round(trained), "of the last pass": round(watch.seconds)},
        },
    )


if __name__ == "__main__":
    main()
