"""How far is a training step from the arithmetic that it has to do?

Counts the floating-point operations of the step's matrix products, the share of the step spent in them (by
PyTorch's profiler), and the rate of a
large matrix product on the same threads.

    python benchmarks/arithmetic.py [--runs 9] [--out benchmarks/results/arithmetic.json]
"""

import argparse
import json
import sys
from pathlib import Path

from _measure import about, measured


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--genes", type=int, default=64)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = json.loads(
        measured(
            [
                sys.executable,
                Path(__file__).with_name("_network.py"),
                "arithmetic",
                options.genes,
                options.runs,
            ]
        )["printed"]
    )
    rate, best = found["flop"] / found["seconds"], found["best_flop_per_second"]
    print(f"training step, {options.genes} random genes        {found['seconds'] * 1000:>8.1f} ms")
    print(f"its matrix products                      {found['flop'] / 1e9:>8.2f} GFLOP")
    print(f"share of the step spent in them          {found['share_of_products']:>8.0%}")
    print(f"rate of the step                         {rate / 1e9:>8.0f} GFLOP/s")
    print(f"rate of a product of 2048 x 2048         {best / 1e9:>8.0f} GFLOP/s")
    print(f"the step, were it products at that rate  {found['flop'] / best * 1000:>8.1f} ms")
    if options.out:
        from chromoformer.provenance import write_json

        write_json(options.out, {"genes": options.genes, "runs": options.runs} | found | about())


if __name__ == "__main__":
    main()
