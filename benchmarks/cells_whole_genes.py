"""Compare joint networks on whole genes with gradient-boosted trees in three cell lines, for both tasks.

    python benchmarks/cells_whole_genes.py DATA OUT [--cells K562] [--tasks classification] [--seeds 3]

DATA holds the files that data_manifests/encode_*.yaml name (`chromoformer fetch MANIFEST --data DATA`). The
analysis and its settings are those of `whole_gene` in workflow/studies/cells.yaml. Complete trainings in OUT
are kept, and cell lines and tasks that are not named keep their results. With three seeds, one cell line and
task take about an hour on two cores.
"""

import argparse
import json
from pathlib import Path

import yaml
from _gm12878 import RESULTS, ROOT, analysed
from _measure import about

from chromoformer.data.build import build_store
from chromoformer.provenance import write_json

CELLS = ("K562", "GM12878", "HeLa-S3")
TASKS = ("classification", "regression")
KEPT = RESULTS / "cells.whole_genes.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    data, out = arguments.data.resolve(), arguments.out.resolve()
    study = yaml.safe_load((ROOT / "workflow" / "studies" / "cells.yaml").read_text())
    entry = study["analyses"]["whole_gene"]
    settings = entry["parameters"] | {name: entry[name] for name in ("network", "recipe")}
    settings |= {"seeds": arguments.seeds, "processes": arguments.processes, "data": str(data)}
    for cell in arguments.cells:
        manifest = ROOT / "data_manifests" / f"encode_{cell}.yaml"
        store = out / f"{cell}.h5"
        build_store(manifest, store, data=data, keep=True, progress=False)
        for task in arguments.tasks:
            own = {"store": str(store), "manifest": str(manifest), "task": task}
            found = analysed("whole_gene", out / cell / task, settings | own, cell)
            kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"cells": {}}
            kept["cells"].setdefault(cell, {})[task] = found | about()
            kept["what"] = "joint networks on whole genes and trees, made by nbs/analyses/whole_gene.ipynb"
            write_json(KEPT, kept)


if __name__ == "__main__":
    main()
