"""Measure how long `import chromoformer` and `chromoformer --help` take.

Each is started in a process of its own, in turns, together with the interpreter alone. Nothing heavy (torch,
pandas, SciPy, matplotlib, scikit-learn) is imported before it is needed, which a test asserts; this benchmark
measures the effect.

    python benchmarks/startup.py [--runs 15] [--out benchmarks/results/startup.json]
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from _measure import about

COMMAND = "from chromoformer.cli import main; main()"
STARTS = {
    "python alone": ["-c", "pass"],
    "import chromoformer": ["-c", "import chromoformer"],
    "chromoformer --help": ["-c", COMMAND, "--help"],
    "chromoformer train --help": ["-c", COMMAND, "train", "--help"],
}
LIMITS = {"import chromoformer": 0.5, "chromoformer --help": 1.0}  # seconds


def seconds(arguments: list[str]) -> float:
    "Return the seconds from the start of a process to its end."
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15, help="rounds, after one that does not count")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in STARTS}
    for number in range(options.runs + 1):
        for name, arguments in STARTS.items():
            took = seconds(arguments)
            if number:
                found[name].append(took)
    for name, took in found.items():
        limit = f"  (limit {LIMITS[name]} s)" if name in LIMITS else ""
        print(f"{name:<28}{statistics.median(took):7.3f} s, {min(took):.3f} to {max(took):.3f}{limit}")
    if options.out:
        from chromoformer.provenance import write_json

        write_json(options.out, {"runs": options.runs, "seconds": found, "limits": LIMITS} | about())


if __name__ == "__main__":
    main()
