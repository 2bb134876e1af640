"""How long does one fold of a whole cell type take from start to metrics, and how much memory?

A simulated cell type of full size (19,000 genes, 30 million reads a mark), the published network and recipe,
nine epochs. Making the data takes some
minutes: keep them with --folder.

    python benchmarks/fold.py [--folder cell30m] [--out benchmarks/results/fold.json]
    python benchmarks/fold.py --scale toy         # a quick look
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from _measure import about, measured

STEPS = Path(__file__).with_name("_store.py")
AIM, MUST = 180, 480  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, help="keep the simulated cell type and its store here, and use what is here"
    )
    parser.add_argument("--scale", choices=("human", "toy"), default="human")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name) / "cell"
        store = folder / "cellA.h5"
        if not (folder / "cellA.yaml").exists():
            measured([sys.executable, STEPS, "simulate", options.scale, folder])
        if not store.exists():
            measured([sys.executable, STEPS, "build", folder / "cellA.yaml", store, options.threads])
        command = [
            sys.executable,
            "-c",
            "from chromoformer.cli import main; main()",
            "train",
            store,
            "--fold",
            1,
            "--out",
            Path(name) / "fold1",
            "--threads",
            options.threads,
        ]
        run = measured(command)
        metrics = json.loads((Path(name) / "fold1" / "metrics.json").read_text())
        genes = json.loads(measured([sys.executable, STEPS, "describe", store])["printed"])["genes"]
    print(f"{genes:,} genes, fold 1 held out, 9 epochs, {options.threads} threads")
    print(
        f"start to metrics {run['seconds']:.0f} s (aim {AIM} s, must {MUST} s), "
        f"peak memory {run['peak_mb']:.0f} MB, AUC {metrics['auc']['value']:.3f}"
    )
    if options.out:
        from chromoformer.provenance import write_json

        write_json(
            options.out,
            {
                "scale": options.scale,
                "genes": genes,
                "threads": options.threads,
                "seconds": run["seconds"],
                "peak_mb": run["peak_mb"],
                "auc": metrics["auc"],
                "targets": [AIM, MUST],
            }
            | about(),
        )


if __name__ == "__main__":
    main()
