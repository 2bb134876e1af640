"""What does each optimisation of the network buy?

Removes each in turn and compares a training step and a prediction with and without it, in alternating rounds
on one thread, so that a machine
whose speed drifts is as fast for both sides. A ratio of 2 means: without it, the work takes twice as long.
Settings of the process (memory, waiting threads) are compared between processes; the threads' with a
competitor for one of two cores.

    python benchmarks/speed_steps.py [--rounds 9] [--out benchmarks/results/speed_steps.json]

Genes: the E003 demo under CHROMOFORMER_DATA, or, where that is not set, 64 random genes of the same layout.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

GENES = 64
WORK = ("training step", "prediction")


def one_query_removed(model) -> AbstractContextManager:
    "Every promoter bin is a query in Embedding and Pairwise Interaction, as in the paper's form."
    from chromoformer.model.attention import EmbeddingTransformer, PairwiseTransformer
    from chromoformer.model.paper import Embedding

    def embedding(self, features, padding, positions):
        self.bins = features.shape[1]
        x, weights = Embedding.forward(self, features, padding)
        return x[:, self.bins // 2], weights[-1][:, :, self.bins // 2]

    def pairwise(self, promoter, gene, windows):
        # all promoter bins ask; they are copies of the TSS bin here, which costs the same
        bins = model.config.window // next(
            size for size in model.config.bin_sizes if model.pairwise[str(size)] is self
        )
        x = self.promoter_input(promoter).index_select(0, gene)[:, None].expand(-1, bins, -1)
        source = self.pcre_input(windows.features) + windows.positions
        for layer in self.layers:
            x, _ = layer(x, source, windows.padding[:, None, None])
        return x[:, bins // 2], []

    patches = ExitStack()
    patches.enter_context(patch.object(EmbeddingTransformer, "forward", embedding))
    patches.enter_context(patch.object(PairwiseTransformer, "forward", pairwise))
    return patches


def keys_and_values_formed(model) -> AbstractContextManager:
    "One query per window, but keys and values of all bins are formed."

    def layer_with_keys_and_values(layer, x, input_map, groups):
        sources, all_weights = [], []
        for group, asking in zip(groups, x.split([len(group.features) for group in groups])):
            source = group.features @ input_map.T
            if group.positions is not None:
                source = source + group.positions
            updated, weights = layer(asking[:, None], source, group.padding[:, None, None])
            sources.append(updated[:, 0])
            all_weights.append(weights[:, :, 0])
        return _joined(sources), all_weights

    return patch("chromoformer.model.attention.one_query_layer", layer_with_keys_and_values)


def genes_not_packed(model) -> AbstractContextManager:
    "A row of tokens for each gene, padded to the gene with the most pCREs."
    from torch.nn import functional as F

    from chromoformer.model.attention import RegulationTransformer

    def forward(self, promoter, pcre, packed, attention=False):
        tokens = packed.source.view(-1)[packed.own]  # (B, S)
        x = F.embedding(tokens, _joined([promoter, pcre]))
        contact = F.pad(packed.own_contact[:, None], (0, 0, 0, tokens.shape[1] - 1))  # (B, S, S)
        ignored = packed.dummy[:, None, None]
        for layer, gamma in zip(self.layers[:-1], self.gamma):
            x, _ = layer(x, x, ignored, gamma[:, None, None] * contact[:, None])
        bias = self.gamma[-1][:, None, None] * packed.own_contact[:, None, None]
        x, _ = self.layers[-1](x[:, :1], x, ignored, bias)
        return x[:, 0], []

    return patch.object(RegulationTransformer, "forward", forward)


def last_layer_in_full(model) -> AbstractContextManager:
    "The last layer of Regulation for all tokens."
    from torch.nn import functional as F

    from chromoformer.model.attention import RegulationTransformer

    def forward(self, promoter, pcre, packed, attention=False):
        x = F.embedding(packed.source, _joined([promoter, pcre]))
        for layer, gamma in zip(self.layers, self.gamma):
            x, _ = layer(x, x, packed.strangers, gamma[:, None, None] * packed.contact[:, None])
        return x.flatten(0, 1).index_select(0, packed.own[:, 0]), []

    return patch.object(RegulationTransformer, "forward", forward)


def whole_genes_not_grouped(model) -> AbstractContextManager:
    "Whole genes of all lengths in one tensor, padded to the longest."
    import torch

    return patch(
        "chromoformer.model.whole_gene.groups_of_similar_length", lambda bins: [torch.arange(len(bins))]
    )


def nothing(model) -> AbstractContextManager:
    "Nothing is removed."
    return nullcontext()


def _joined(tensors):
    import torch

    return torch.cat(tensors)


def with_dummies(batch):
    "The same genes with eight pCREs as long as the window: a batch with all dummies and padding."
    import torch

    genes, bins = len(batch), batch.window // batch.bin_size
    gene = torch.arange(genes).repeat_interleave(8)
    return replace(
        batch,
        pcre=torch.ones(len(gene) * bins, batch.promoter.shape[-1]),
        pcre_length=torch.full((len(gene),), batch.window),
        gene=gene,
        slot=torch.arange(1, 9).repeat(genes),
        score=torch.ones(len(gene)),
    )


def whole_genes(genes: int):
    "Whole genes as long as human ones (log-normal, median 26 kb), and settings of a network for them."
    import torch

    from chromoformer.data.whole_genes import WholeGeneBatch
    from chromoformer.model.config import ChromoformerConfig
    from chromoformer.model.network import random_batch

    config = ChromoformerConfig(span="gene", max_pcres=0)
    random = torch.Generator().manual_seed(0)
    length = (26_000 * (1.44 * torch.randn(genes, generator=random)).exp()).clamp(500, 2_300_000).long()
    bins = (length + config.window) // 100 + 1
    total, half = int(bins.sum()), config.window // 2
    sums = torch.randint(0, 5000, (total, len(config.channels)), generator=random).float()
    covered = torch.randint(0, 101, (total, 3), generator=random).float()
    span = torch.stack([torch.zeros_like(bins), bins * 100], 1)
    whole = WholeGeneBatch(sums, covered, bins, span, length, half, 100, True)
    return replace(random_batch(genes, config), whole=whole), config


def tasks(batch, config=None) -> tuple[object, dict[str, Callable[[], object]]]:
    "Return a network, and functions that make a training step and a prediction of a batch with it."
    import torch

    from chromoformer.model.network import Chromoformer
    from chromoformer.training.fit import loss_of, new_optimiser

    torch.manual_seed(0)
    model = Chromoformer(config)
    optimiser = new_optimiser(model, lr=3e-5)

    def step():
        loss = loss_of(model(batch), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def predict():
        with torch.inference_mode():
            model(batch)

    return model, {"training step": step, "prediction": predict}


def alternating(sides: list[tuple[Callable, Callable]], rounds: int) -> list[list[float]]:
    "Processor seconds of each side (context, work) in alternating rounds, after one that does not count."
    seconds: list[list[float]] = [[] for _ in sides]
    for number in range(rounds + 1):
        for found, (context, work) in zip(seconds, sides):
            with context():
                start = time.process_time()
                work()
                if number:
                    found.append(time.process_time() - start)
    return seconds


def compared(with_it, without, removal, rounds: int) -> dict[str, dict]:
    "For each work: seconds with and without an optimisation, and their ratio, as medians of the rounds."
    found = {}
    for work in WORK:
        model, functions = without
        sides = [(nullcontext, with_it[1][work]), (lambda model=model: removal(model), functions[work])]
        fast, slow = alternating(sides, rounds)
        found[work] = _summary(fast, slow)
        print(f"    {work:<16}{found[work]['ratio']:>8.2f}", flush=True)
    return found


def _summary(fast: list[float], slow: list[float]) -> dict:
    ratios = [b / a for a, b in zip(fast, slow)]
    return {
        "with": statistics.median(fast),
        "without": statistics.median(slow),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }


def child(store: str, setting: str, threads: str, runs: str) -> None:
    "One side of a comparison between processes: prints the median seconds of each work."
    import torch

    torch.set_num_threads(int(threads))
    if setting == "no kept memory":
        empty = torch.empty
        with patch(
            "torch.empty",
            lambda *size, **kind: None if kind.get("dtype") is torch.uint8 else empty(*size, **kind),
        ):
            import chromoformer.model.network  # noqa: F401
    from chromoformer.data.batches import GeneDataset

    _, functions = tasks(GeneDataset(store).batch(range(GENES)))
    clock = time.process_time if int(threads) == 1 else time.perf_counter
    found = {}
    for work, function in functions.items():
        seconds = []
        for _ in range(int(runs) + 2):
            start = clock()
            function()
            seconds.append(clock() - start)
        found[work] = statistics.median(seconds[2:])
    print(json.dumps(found))


def _busy() -> None:
    while True:
        pass


def between_processes(store: Path, setting: str, threads: int, rounds: int, **environment: str) -> dict:
    "The same comparison for a setting of the whole process, each side in new processes."
    found = {work: ([], []) for work in WORK}
    for _ in range(rounds):
        for side in (0, 1):
            command = [sys.executable, __file__, "--child", store, setting if side else "", threads, 5]
            changed = os.environ | {"OMP_NUM_THREADS": str(threads)} | (environment if side else {})
            done = subprocess.run(
                list(map(str, command)), env=changed, capture_output=True, text=True, check=True
            )
            for work, seconds in json.loads(done.stdout).items():
                found[work][side].append(seconds)
    summaries = {work: _summary(*seconds) for work, seconds in found.items()}
    for work, summary in summaries.items():
        print(f"    {work:<16}{summary['ratio']:>8.2f}", flush=True)
    return summaries


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--genes", type=int, default=16, help="genes where every query is computed")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    import torch
    from _measure import about
    from step import regions

    from chromoformer.data.batches import GeneDataset
    from chromoformer.data.published import import_regions
    from chromoformer.provenance import write_json

    torch.set_num_threads(1)
    kept = []

    def row(name: str, genes: int, measure: Callable[..., dict], *arguments, **more) -> None:
        print(f"{name} ({genes} genes)")
        kept.append({"name": name, "genes": genes, "work": measure(*arguments, **more)})
        if options.out:  # after each row, so that an interrupted run keeps what it measured
            found = {"genes": what, "threads": 1, "rounds": options.rounds, "kept": kept}
            write_json(options.out, found | about())

    print("Work takes this many times as long without:")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        meta, arrays, what = regions(folder)
        store = folder / "store.h5"
        import_regions(meta, arrays, store, progress=False)
        data = GeneDataset(store)
        few, batch = tasks(data.batch(range(options.genes))), data.batch(range(GENES))
        all_genes, rounds = tasks(batch), options.rounds
        row("one query", options.genes, compared, few, few, one_query_removed, max(1, rounds // 3))
        row(
            "keys and values not formed",
            GENES,
            compared,
            all_genes,
            all_genes,
            keys_and_values_formed,
            rounds,
        )
        filled = tasks(with_dummies(batch))
        row("dummies and padding dropped", GENES, compared, all_genes, filled, nothing, rounds)
        row("genes packed in rows", GENES, compared, all_genes, all_genes, genes_not_packed, rounds)
        row("last layer for the promoter", GENES, compared, all_genes, all_genes, last_layer_in_full, rounds)
        genes = tasks(*whole_genes(GENES))
        row("whole genes grouped by length", GENES, compared, genes, genes, whole_genes_not_grouped, rounds)
        row("memory kept", GENES, between_processes, store, "no kept memory", 1, max(2, rounds // 2))
        competitor = multiprocessing.Process(target=_busy, daemon=True)
        competitor.start()
        spinning = {"GOMP_SPINCOUNT": "10000000"}
        row(
            "threads sleep, a core is busy",
            GENES,
            between_processes,
            store,
            "",
            2,
            max(2, rounds // 2),
            **spinning,
        )
        competitor.terminate()


if __name__ == "__main__":
    main()
