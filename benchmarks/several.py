"""Is it faster to train several models at once, one thread each, than one after the other with all threads?

python benchmarks/several.py [--models 2] [--runs 5] [--out benchmarks/results/several.json]
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from _measure import about


def seconds(models: int, threads: int, genes: int, steps: int) -> float:
    "Wall time a step of one model, of models that train side by side."
    command = [sys.executable, Path(__file__).with_name("_network.py"), "train", threads, genes, steps]
    running = [
        subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) for _ in range(models)
    ]
    return max(json.loads(process.communicate()[0])["seconds"] for process in running) / (models * steps)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=2, help="and threads")
    parser.add_argument("--genes", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    alone, together = [], []
    for _ in range(options.runs):  # in turns, since a machine's speed drifts
        alone.append(seconds(1, options.models, options.genes, options.steps))
        together.append(seconds(options.models, 1, options.genes, options.steps))
    one, many = statistics.median(alone), statistics.median(together)
    print(f"a step, one model with {options.models} threads      {one * 1000:>8.1f} ms")
    print(
        f"a step, {options.models} models with 1 thread each  {many * 1000:>8.1f} ms, "
        f"{one / many:.2f} times as fast"
    )
    if options.out:
        from chromoformer.provenance import write_json

        write_json(
            options.out,
            vars(options) | {"out": None, "one": alone, "several": together, "ratio": one / many} | about(),
        )


if __name__ == "__main__":
    main()
