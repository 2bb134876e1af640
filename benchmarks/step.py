"""How much faster is a training step, a prediction and a batch than in the published implementation?

Both sides run here in turns, each in a process of its own, on the same 64 genes with the same weights and
threads; the outputs are compared. A
round is one run of each work of the published side, then several of ours, so that a machine whose speed
drifts is as fast for both.
Bins and their logarithms are part of the published batch; here they are part of the prediction and of the
step. `both` is a batch and its prediction.
The published side runs in an environment of its own: `make published` sets it up in .venv-published.

    python benchmarks/step.py [--threads 2] [--runs 5] [--out benchmarks/results/step.json]

Genes: the E003 demo under CHROMOFORMER_DATA, or, where that is not set, 64 random genes of the same layout.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GENES = 64


def regions(folder: Path) -> tuple[Path, Path, str]:
    "Metadata, region arrays, and what they are."
    if data := os.environ.get("CHROMOFORMER_DATA"):
        with tarfile.open(Path(data) / "e003_demo" / "demo_data.tar.gz") as archive:
            archive.extractall(folder, filter="data")
        return Path(data) / "e003_demo" / "demo_meta.csv", folder / "demo_data", "E003 demo"
    sys.path.insert(0, str(ROOT / "tests" / "golden"))
    import toy

    return toy.write_regions(folder, GENES), folder, "random counts"


WORK = {
    "batch": 40,
    "prediction": 40,
    "training step": 20,
}  # name -> our runs for each of the published side's
WARM = 5  # of ours that do not count, and 1 of the published side's in its first round


class Side:
    "A process that does what it is asked and says how long it took."

    def __init__(self, *command: object):
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.output = self.said()

    def said(self) -> Any:
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args[1]} ended with status {self.process.wait()}")
        return json.loads(line)

    def ask(self, what: str) -> Any:
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self.said()

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def in_turns(
    ours: list[object], theirs: list[object], rounds: int
) -> tuple[dict[str, dict[str, Any]], dict[str, float], float]:
    "Seconds and ratios of each round, for each work; peak memory; largest difference of the outputs."
    found = {work: {"published": [], "here": []} for work in WORK}
    published, peak = Side(*theirs), {"published": 0.0, "here": 0.0}
    for work in WORK:
        published.ask(f"{work} 1")
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for work in WORK:
            found[work]["published"] += published.ask(f"{work} 1")
        here = Side(*ours)  # anew: a process that has waited for half a minute is slower at first
        for work, times in WORK.items():
            found[work]["here"].append(statistics.median(here.ask(f"{work} {WARM + times}")[WARM:]))
        peak["here"] = max(peak["here"], here.ask("peak"))
        here.end()
    peak["published"] = published.ask("peak")
    published.end()
    found["both"] = {
        side: list(map(sum, zip(found["batch"][side], found["prediction"][side]))) for side in peak
    }  # from genes to outputs
    for work in found.values():
        work["ratios"] = [slow / fast for slow, fast in zip(work["published"], work["here"])]
    difference = max(
        abs(a - b) for left, right in zip(here.output, published.output) for a, b in zip(left, right)
    )
    return found, peak, difference


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5, help="rounds")
    parser.add_argument(
        "--published",
        default=str(ROOT / ".venv-published"),
        help="environment of the published implementation",
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    python = Path(options.published) / "bin" / "python"
    if not python.exists():
        sys.exit(f"{python} is missing: run `make published` first")

    import pandas as pd
    import torch

    from chromoformer.data.published import import_regions
    from chromoformer.model.checkpoint import export_published, save
    from chromoformer.model.network import Chromoformer
    from chromoformer.provenance import code_version, machine, versions, write_json

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        meta, arrays, what = regions(folder)
        import_regions(meta, arrays, folder / "store.h5", progress=False)
        torch.manual_seed(0)
        model = Chromoformer()
        export_published(model, folder / "model.pt")
        save(model, folder / "model")
        names = pd.read_csv(meta)["gene_id"].tolist()[:GENES]
        ours = [
            sys.executable,
            ROOT / "benchmarks" / "_ours.py",
            folder / "store.h5",
            folder / "model",
            ",".join(map(str, range(GENES))),
            options.threads,
        ]
        theirs = [
            python,
            ROOT / "benchmarks" / "_published.py",
            meta,
            arrays,
            ",".join(names),
            options.threads,
            folder / "model.pt",
        ]
        found, peak, difference = in_turns(ours, theirs, options.runs)
    print(
        f"{GENES} genes ({what}), {options.threads} threads, {options.runs} rounds; "
        f"largest difference of outputs {difference:.1e}\n"
    )
    print(f"{'':<16}{'published':>12}{'here':>12}{'ratio':>9}{'of single rounds':>22}")
    for work, times in found.items():
        theirs, ours = statistics.median(times["published"]), statistics.median(times["here"])
        print(
            f"{work:<16}{theirs:>10.3f} s{ours * 1000:>9.1f} ms{theirs / ours:>8.0f}x"
            f"{min(times['ratios']):>13.0f}x to {max(times['ratios']):.0f}x"
        )
    print(
        f"{'peak memory':<16}{peak['published']:>9.0f} MB{peak['here']:>9.0f} MB"
        f"{peak['published'] / peak['here']:>8.1f}x"
    )
    if options.out:
        write_json(
            options.out,
            {
                "genes": what,
                "threads": options.threads,
                "work": found,
                "peak_mb": peak,
                "difference": difference,
                "date": time.strftime("%Y-%m-%d"),
                "machine": machine(),
                "versions": versions(),
                "code": code_version(),
            },
        )


if __name__ == "__main__":
    main()
