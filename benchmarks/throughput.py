"""How many genes a second are predicted, here and by the published implementation, from disk to scores?

Both sides predict the same 2,000 genes with the same weights and threads, in turns, each in a process of its
own. The published side reads its region arrays in batches of 64, its own default; this package reads its
store in batches of 256, its default. The time to convert the arrays to a store is reported separately. The
published side runs in an environment of its own: `make published` sets it up in .venv-published.

    python benchmarks/throughput.py [--threads 2] [--runs 3] [--out benchmarks/results/throughput.json]

The genes are random counts in the published layout, about 2.5 GB for 2,000 genes, in a temporary folder. A
round takes about five minutes on two cores, nearly all of it on the published side.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from _measure import about
from step import ROOT, Side

sys.path.insert(0, str(ROOT / "tests" / "golden"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--published", type=Path, default=ROOT / ".venv-published", help="its environment")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    python = options.published / "bin" / "python"
    if not python.exists():
        sys.exit(f"{python} is missing: run `make published` first")

    import torch
    import toy

    from chromoformer.data.published import import_regions
    from chromoformer.model.checkpoint import export_published, save
    from chromoformer.model.network import Chromoformer
    from chromoformer.provenance import write_json

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        meta = toy.write_regions(folder, options.genes)
        start = time.perf_counter()
        import_regions(meta, folder, folder / "store.h5", progress=False)
        conversion = time.perf_counter() - start
        torch.manual_seed(0)
        model = Chromoformer()
        export_published(model, folder / "model.pt")
        save(model, folder / "model")
        scripts = ROOT / "benchmarks"
        here = Side(
            sys.executable, scripts / "_throughput.py", folder / "store.h5", folder / "model", options.threads
        )
        published = Side(
            python, scripts / "_published_throughput.py", meta, folder, options.threads, folder / "model.pt"
        )
        seconds = {"published": [], "here": []}
        for number in range(options.runs):
            print(f"round {number + 1} of {options.runs}", file=sys.stderr)
            seconds["published"] += published.ask("predict 1")
            seconds["here"] += here.ask("predict 1")
        scores = {"published": published.ask("scores"), "here": here.ask("scores")}
        for side in (published, here):
            side.end()
    difference = max(abs(a - b) for a, b in zip(scores["here"], scores["published"], strict=True))
    rate = {side: options.genes / statistics.median(times) for side, times in seconds.items()}
    print(
        f"{options.genes:,} genes, {options.threads} threads: published {rate['published']:.1f} genes/s, "
        f"here {rate['here']:,.0f} genes/s, {rate['here'] / rate['published']:.0f} times; conversion to a "
        f"store {conversion:.0f} s, once; largest difference of scores {difference:.1e}"
    )
    if options.out:
        found = {
            "genes": options.genes,
            "threads": options.threads,
            "seconds": seconds,
            "genes_per_second": rate,
        }
        found |= {"conversion_seconds": conversion, "difference": difference}
        write_json(options.out, found | about())


if __name__ == "__main__":
    main()
