"""How much faster is a training step, a prediction and a batch than in the published implementation?

Both sides run here, one after the other, on the same 64 genes with the same weights and threads; the outputs are compared.
The published side runs in an environment of its own: `make published` sets it up in .venv-published.

    python benchmarks/step.py [--threads 2] [--runs 5] [--out benchmarks/results/step.json]

Genes: the E003 demo under CHROMOFORMER_DATA, or, where that is not set, 64 random genes of the same layout.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

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


def ours(store: Path, folder: Path, rows: list[int], threads: int, runs: int) -> dict:
    "Our side, in a process of its own, so that its peak memory can be read."
    command = [sys.executable, str(ROOT / "benchmarks" / "_ours.py"), store, folder, ",".join(map(str, rows)), threads, runs]
    return json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5, help="of the published side; ours runs four times as often")
    parser.add_argument("--published", default=str(ROOT / ".venv-published"), help="environment of the published implementation")
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
    from chromoformer.provenance import machine, versions, write_json

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        meta, arrays, what = regions(folder)
        import_regions(meta, arrays, folder / "store.h5", progress=False)
        torch.manual_seed(0)
        model = Chromoformer()
        export_published(model, folder / "model.pt")
        save(model, folder / "model")
        names = pd.read_csv(meta)["gene_id"].tolist()[:GENES]
        fast = ours(folder / "store.h5", folder / "model", list(range(GENES)), options.threads, 4 * options.runs)
        command = [python, ROOT / "benchmarks" / "_published.py", meta, arrays, ",".join(names), options.threads, options.runs, folder / "model.pt"]
        slow = json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout)
    difference = max(abs(a - b) for left, right in zip(fast.pop("output"), slow.pop("output")) for a, b in zip(left, right))
    print(f"{GENES} genes ({what}), {options.threads} threads; largest difference of outputs {difference:.1e}\n")
    print(f"{'':<16}{'published':>12}{'here':>12}{'ratio':>9}")
    for work, seconds in slow["median"].items():
        print(f"{work:<16}{seconds:>10.3f} s{fast['median'][work] * 1000:>9.1f} ms{seconds / fast['median'][work]:>8.0f}x")
    print(f"{'peak memory':<16}{slow['peak_mb']:>9.0f} MB{fast['peak_mb']:>9.0f} MB{slow['peak_mb'] / fast['peak_mb']:>8.1f}x")
    if options.out:
        write_json(options.out, {"genes": what, "threads": options.threads, "published": slow, "here": fast,
                                 "difference": difference, "machine": machine(), "versions": versions()})  # fmt: skip


if __name__ == "__main__":
    main()
