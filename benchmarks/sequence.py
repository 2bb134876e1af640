"""Seconds per Mb and memory of scanning a chromosome for a motif, and of counting G, C and CpG.

    python benchmarks/sequence.py [--megabases 250] [--real FASTA MATRIX SIZE NAME] [--out FILE]

Scans a random chromosome, plain and gzipped, with a matrix of 19 positions at p-value 1e-5, and reports the
peak memory of the process and the part of it that was used before. --real scans a FASTA file with a matrix as
well. Writes benchmarks/results/sequence.json. Takes a few minutes on one core.
"""

import argparse
import gzip
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from _measure import about

from chromoformer.data.motifs import Motif, find_sites
from chromoformer.data.sequence import composition_sums
from chromoformer.provenance import write_json

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 19


def write_chromosome(path: Path, megabases: int, seed: int = 0) -> None:
    "Write a random chromosome in lines of 60 bases."
    random = np.random.default_rng(seed)
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as file:
        file.write(b">chr1\n")
        for first in range(0, megabases * 1_000_000, 6_000_000):
            bases = min(6_000_000, megabases * 1_000_000 - first)
            letters = np.frombuffer(b"ACGTacgt", np.uint8)[random.integers(0, 8, bases)]
            lines = np.full((-(-bases // 60), 61), ord("\n"), np.uint8)
            lines[:, :60] = np.pad(letters, (0, -bases % 60), constant_values=ord("\n")).reshape(-1, 60)
            file.write(lines.tobytes())


def measured(what: str, fasta: str, size: int, matrix: str | Motif, chrom: str) -> dict[str, float]:
    "Return seconds per Mb, memory in MB and the number of sites, of one task in a process of its own."
    before = peak_memory()
    begun = time.perf_counter()
    if what == "scan":
        found = len(find_sites(fasta, matrix, {chrom: size}))
    else:
        starts = np.arange(0, size, 1000)
        regions = pd.DataFrame({"chrom": chrom, "start": starts, "end": np.minimum(starts + 1000, size)})
        found = float(composition_sums(fasta, what, regions, 1000, {chrom: size}).sum(dtype=float) / size)
    seconds = time.perf_counter() - begun
    memory = {"peak_MB": peak_memory(), "peak_before_MB": before}
    return {"seconds_per_Mb": seconds / size * 1e6, "found": found} | memory


def peak_memory() -> float:
    "Return the largest resident memory of this process so far, in MB; of a Linux machine."
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    "Run the tasks and write the results."
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabases", type=int, default=250)
    parser.add_argument("--real", nargs=4, metavar=("FASTA", "MATRIX", "SIZE", "NAME"))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "sequence.json")
    arguments = parser.parse_args()
    size = arguments.megabases * 1_000_000
    random = np.random.default_rng(1)
    motif = Motif("random", "", random.dirichlet(np.full(4, 0.3), WIDTH).T * 900)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("chr1.fa", "chr1.fa.gz"):
            fasta = Path(folder) / name
            write_chromosome(fasta, arguments.megabases)
            tasks = [(what, str(fasta), size, motif, "chr1") for what in ("scan", "gc", "cpg")]
            for task in tasks:
                rows.append({"task": task[0], "file": name, "Mb": arguments.megabases} | alone(*task))
                print(rows[-1], flush=True)
    if arguments.real:
        fasta, matrix, length, chrom = arguments.real
        real = {"task": "scan", "file": Path(fasta).name, "Mb": int(length) / 1e6}
        rows.append(real | alone("scan", fasta, int(length), matrix, chrom))
        print(rows[-1])
    write_json(arguments.out, {"rows": rows} | about())


def alone(*task) -> dict[str, float]:
    "Return what `measured` returns in a new process, whose memory nothing else has used."
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, task)


if __name__ == "__main__":
    main()
