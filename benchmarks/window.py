"""How do time and memory of a training step grow with the promoter window?

Windows at 100 bp, from the published 40 kb to 2 Mb, the same genes in each; a process for each window.

    python benchmarks/window.py [--genes 16] [--runs 7] [--out benchmarks/results/window.json]
"""

import argparse
import json
import sys
from pathlib import Path

from _measure import about, measured

WIDTHS = (40_000, 400_000, 2_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--genes", type=int, default=16)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS, help="bp")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    print(f"{'window':>10}{'bins':>12}{'step':>12}{'per 1000 bins':>16}{'memory':>12}")
    for width in options.widths:
        run = measured(
            [
                sys.executable,
                Path(__file__).with_name("_network.py"),
                "window",
                width,
                options.genes,
                options.runs,
            ]
        )
        row = {"window": width, "peak_mb": run["peak_mb"]} | json.loads(run["printed"])
        rows.append(row)
        print(
            f"{width // 1000:>7,} kb{row['bins']:>12,}{row['seconds'] * 1000:>9.1f} ms"
            f"{row['seconds'] * 1e9 / row['bins']:>13.1f} us{row['peak_mb']:>9.0f} MB"
        )
    if options.out:
        from chromoformer.provenance import write_json

        write_json(options.out, {"genes": options.genes, "runs": options.runs, "windows": rows} | about())


if __name__ == "__main__":
    main()
