"""How long does the gene view need to answer a click: to predict a gene again and prepare the drawing?

A random network of the published size, for promoter windows and, if the store keeps them, for whole genes;
one CPU thread.

    python benchmarks/browse.py [--store STORE.h5] [--genes 20] [--out benchmarks/results/browse.json]
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from _measure import about


def answers(store, span: str, number: int) -> dict:
    "Return seconds to choose a gene and to answer a click, for genes spread over the store."
    import torch

    from chromoformer.interpret.switches import GeneExplainer
    from chromoformer.model.config import ChromoformerConfig
    from chromoformer.model.network import Chromoformer
    from chromoformer.plots.browse import now_of, view_of

    torch.manual_seed(0)
    settings = {"channels": store.channels, "window": store.window, "bin_sizes": store.bin_sizes}
    network = Chromoformer(ChromoformerConfig(**settings, span=span)).eval()
    explainer = GeneExplainer(network, store)
    with_pcres = store.genes[(store.pcre_start[1:] - store.pcre_start[:-1]) > 0]
    genes = with_pcres["gene_id"].iloc[:: max(1, len(with_pcres) // number)].tolist()[:number]
    explainer.explain(genes[0])  # what is made once
    chosen, answered, processor, sent = [], [], [], []
    for gene in genes:
        start = time.perf_counter()
        explanation = explainer.explain(gene)
        view_of(explainer, explanation)
        chosen.append(time.perf_counter() - start)
        for pcres, marks in (([1], ()), ([], store.channels[:1]), ([1], store.channels[:1])):
            start, used = time.perf_counter(), time.process_time()
            now = now_of(explanation, explainer.change(pcres, marks))
            text = json.dumps(now)
            answered.append(time.perf_counter() - start)
            processor.append(time.process_time() - used)
            sent.append(len(text))
    return {
        "span": span,
        "genes": len(genes),
        "choose_seconds": statistics.median(chosen),
        "click_seconds": statistics.median(answered),
        "click_seconds_95": sorted(answered)[int(0.95 * (len(answered) - 1))],
        "click_processor_seconds": statistics.median(processor),
        "click_bytes": statistics.median(sent),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, help="default: a simulated cell type of 200 genes")
    parser.add_argument("--genes", type=int, default=20)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    import torch

    from chromoformer.data.store import Store

    torch.set_num_threads(1)
    if options.store:
        store = Store(options.store)
    else:
        from chromoformer.data.build import build_store
        from chromoformer.simulate.epigenome import simulate

        folder = Path(tempfile.mkdtemp())
        simulate(folder / "toy", genes=200, cell_types=["cellA"])
        build_store(folder / "toy" / "cellA.yaml", folder / "cellA.h5", processes=1, progress=False)
        store = Store(folder / "cellA.h5")
    spans = ["window", *(["gene"] if store.gene_region is not None else [])]
    rows = [answers(store, span, options.genes) for span in spans]
    print(
        f"{'network reads':<16}{'choose a gene':>16}{'answer a click':>16}{'95% of clicks':>16}{'sent':>10}"
    )
    for row in rows:
        print(
            f"{row['span']:<16}{row['choose_seconds'] * 1000:>13.0f} ms"
            f"{row['click_seconds'] * 1000:>13.0f} ms{row['click_seconds_95'] * 1000:>13.0f} ms"
            f"{row['click_bytes'] / 1000:>7.0f} kB"
        )
    if options.out:
        from chromoformer.provenance import write_json

        write_json(
            options.out, {"store": store.name, "genes_in_store": len(store.genes), "rows": rows} | about()
        )


if __name__ == "__main__":
    main()
