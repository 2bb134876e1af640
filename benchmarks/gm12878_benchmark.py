"""Run the benchmark and the ablations on GM12878 in 10-kb bins, and write their numbers to two JSON files.

    python benchmarks/gm12878_benchmark.py DATA OUT [--processes 2] [--seeds 3]

DATA holds the files that data_manifests/gm12878_10kb_local.ctcf.yaml names. Chromoformer has the settings
that were chosen inside the training folds (gm12878.tuning.json). Every model of the benchmark is trained
--seeds times per fold, and the full network of the ablations five times. Complete runs in OUT are kept. Takes
about half an hour per seed on two cores.
"""

import argparse
import json
from pathlib import Path

import torch
from _gm12878 import MANIFEST, RESULTS, analysed, opened, trained_runs
from _measure import about

from chromoformer.provenance import write_json

FOLDS = {"classification": (1, 2, 3, 4), "regression": (1,)}
SHALLOW = {"parts": 8, "pcres": True}  # eight parts of the window of 80 kb: one a bin of the counts
DEEP = {"window": 80_000, "bin_size": 2000}
BASELINES = {
    "baseline_recipe": "fast",
    "recipes": {"HM-CRNN": "published"},
    "log_inputs": True,  # the counts are large
    "settings": {
        **dict.fromkeys(("logistic regression", "ridge regression", "gradient-boosted trees"), SHALLOW),
        **dict.fromkeys(("DeepChrome", "AttentiveChrome", "HM-CRNN"), DEEP),
    },
}
CTCF = {"kind": "bed", "path": "gm12878/GM12878.CTCF.broadPeak.gz"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=("benchmark", "ablation"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data, out = arguments.data.resolve(), arguments.out.resolve()
    store, tuning = (
        opened(data, out / "GM12878.h5"),
        json.loads((RESULTS / "gm12878.tuning.json").read_text()),
    )
    common = {
        "store": str(store.path),
        "manifest": str(MANIFEST),
        "data": str(data),
        "processes": arguments.processes,
    }
    if arguments.only != "ablation":
        tasks = {}
        for task, folds in FOLDS.items():
            runs = [str(run) for run in trained_runs(store, out / "train" / task, task, folds)]
            tasks[task] = (
                analysed(
                    "benchmark",
                    out / "benchmark" / task,
                    common
                    | BASELINES
                    | {"task": task, "runs": runs, "held_out": list(folds), "seeds": arguments.seeds},
                )
                | about()
            )
        write_json(
            RESULTS / "gm12878.benchmark.json",
            {
                "what": "GM12878 in 10-kb bins: Chromoformer (settings of gm12878.tuning.json) and baselines",
                "chosen": tuning["chosen"],
                "store_inputs": store.inputs,
                "tasks": tasks,
            },
        )
    if arguments.only != "benchmark":
        found = analysed(
            "ablation",
            out / "ablation",
            common
            | {
                "held_out": [1],
                "seeds": 5,
                "network": tuning["grid"]["narrow, 1e-3"]["network"],
                "recipe": {"learning_rate": 1e-3, "epochs": 4},
                "add": {"CTCF": CTCF | {"path": str(data / CTCF["path"])}},
            },
        )
        what = "GM12878 in 10-kb bins: ablations, made by nbs/analyses/ablation.ipynb"
        write_json(
            RESULTS / "gm12878.ablation.json",
            {"what": what} | found | {"store_inputs": store.inputs} | about(),
        )


if __name__ == "__main__":
    main()
