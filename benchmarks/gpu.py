"""How fast is the training step on a GPU, and how long would one fold and the paper's 88 models take there?

python benchmarks/gpu.py [--runs 20] [--out benchmarks/results/gpu.json]
"""

import argparse
import json
import sys
from pathlib import Path

from _measure import about, measured

STEPS = 9 * (14_216 // 64)  # of one fold of a cell type


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--genes", type=int, default=64)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print("There is no GPU that PyTorch can use here; run this where there is one.")
        return
    found = json.loads(
        measured(
            [sys.executable, Path(__file__).with_name("_network.py"), "gpu", options.genes, options.runs]
        )["printed"]
    )
    print(found["gpu"])
    print(f"{'':<12}{'step':>12}{'one fold':>12}{'88 models':>12}")
    for name, step in found["seconds"].items():
        print(f"{name:<12}{step * 1000:>9.2f} ms{step * STEPS:>10.1f} s{step * STEPS * 88 / 60:>8.1f} min")
    if options.out:
        from chromoformer.provenance import write_json

        write_json(
            options.out,
            {"genes": options.genes, "runs": options.runs, "steps_of_a_fold": STEPS} | found | about(),
        )


if __name__ == "__main__":
    main()
