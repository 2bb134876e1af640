"""Small random stores, notebooks and interruptions, shared by the tests."""

import importlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from chromoformer import provenance
from chromoformer.data.store import write_store
from chromoformer.model.config import BlockConfig, ChromoformerConfig

MARKS = ("H3K4me3", "H3K27ac")
CHROMS = {"chr1": 400_000, "chr7": 400_000, "chr2": 400_000, "chr9": 400_000}  # one chromosome a fold
SMALL = ChromoformerConfig(
    channels=MARKS,
    window=4000,
    bin_sizes=(2000, 500, 100),
    embedding=BlockConfig(1, 2, 16, 16, 16),
    pairwise=BlockConfig(2, 2, 16, 16, 16),
    regulation=BlockConfig(2, 2, 16, 16, 16),
    head_width=16,
)


def run_notebook(name, out, **parameters) -> dict:
    "Execute a notebook of the analyses in a folder and return its metrics."
    import papermill

    root = Path(__file__).resolve().parents[1]
    out.mkdir(parents=True, exist_ok=True)
    papermill.execute_notebook(
        root / "nbs" / "analyses" / f"{name}.ipynb",
        out / "notebook.ipynb",
        {"out": str(out), **parameters},
        progress_bar=False,
        cwd=root,
    )
    return json.loads((out / "metrics.json").read_text())


def before_the_second_epoch(monkeypatch, act: Callable[[], None]) -> None:
    "Let trainings call a function once, before their second epoch."
    training = importlib.import_module("chromoformer.training.fit")
    calls, train_epoch = [], training._train_epoch

    def train(*arguments):
        calls.append(1)
        if len(calls) == 2:
            act()
        return train_epoch(*arguments)

    monkeypatch.setattr(training, "_train_epoch", train)


@contextmanager
def interrupted_in_the_second_epoch(monkeypatch) -> Iterator[None]:
    "Interrupt the training within the block in its second epoch."

    def interrupt():
        raise KeyboardInterrupt

    before_the_second_epoch(monkeypatch, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("training was not interrupted")
    finally:
        monkeypatch.undo()


def toy_tables(per_chrom=30, seed=0):
    "Return genes, the first at a chromosome's start, and for each 0 to 8 pCREs of 90 to 4,000 bp."
    random = np.random.default_rng(seed)
    number = per_chrom * len(CHROMS)
    label = random.integers(0, 2, number)
    genes = pd.DataFrame(
        {
            "gene_id": [f"gene{i}" for i in range(number)],
            "gene_name": [f"name{i}" for i in range(number)],
            "chrom": np.repeat(list(CHROMS), per_chrom),
            "tss": np.tile(np.arange(per_chrom) * 4000 + 1250, len(CHROMS)),
            "strand": random.choice(["+", "-"], number),
            "gene_start": 100,
            "gene_end": 3000,
            "expression": np.where(label, 8.0, 0.5) + random.random(number),
            "label": label,
            "fold": np.repeat([1, 2, 3, 4], per_chrom),
        }
    )
    rows = []
    for gene in genes.itertuples():
        for rank in range(1, random.integers(0, 9) + 1):
            start = int(random.integers(150_000, 390_000))
            end = start + int(random.integers(90, 4001))
            rows.append((gene.gene_id, gene.chrom, start, end, 9.0 - rank + random.random(), rank))
    return genes, pd.DataFrame(rows, columns=["gene_id", "chrom", "start", "end", "score", "rank"])


def write_toy_store(path, seed=0, genes=None, pcres=None, learnable=True):
    "Write a store of random counts; if learnable, H3K4me3 at the TSS depends on the label."
    toy_genes, toy_pcres = toy_tables(seed=seed)
    genes = toy_genes if genes is None else genes
    pcres = toy_pcres if pcres is None else pcres
    random = np.random.default_rng(seed)

    def signal_of(regions):
        left = [r.end - r.start - 100 * np.arange(r.bins) for r in regions.itertuples()]
        bases = np.minimum(100, np.concatenate(left))
        signal = random.poisson(np.repeat(bases[:, None], len(MARKS), 1)).astype(np.float32)
        where = {(r.chrom, r.start): r.first_bin for r in regions.itertuples()}
        for gene in genes.itertuples():
            if learnable:
                at = where[gene.chrom, gene.tss - 2000]
                signal[at + 18 : at + 22, 0] += 500 * gene.label
        return signal

    write_store(
        path,
        genes=genes,
        pcres=pcres,
        signal_of=signal_of,
        channels=MARKS,
        bin_sizes=(2000, 500, 100),
        window=4000,
        genome="toy",
        inputs={"made": {"name": "helpers.py"}},
        chrom_sizes=CHROMS,
    )
    return path


def write_record(folder: Path, **content) -> None:
    "Write a record with its hash, as the library does, without running anything."
    record = {"inputs": {}, "outputs": {}} | content
    record["sha256"] = provenance._hash_of_record(record)
    provenance.write_json(folder / "provenance.json", record)
