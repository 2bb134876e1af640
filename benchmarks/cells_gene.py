"""Draw the explanation of one gene of a real cell line, for the first pages.

    python benchmarks/cells_gene.py runs/cells [--cell K562]

Reads the classifiers that the study has trained for the cell line and explains a gene of the folds that they
held out, which is chosen by rule: of the genes with high expression that are predicted so, and that have at
least three pCREs, the one whose score falls most when a single pCRE is withheld. Writes cells.gene.png and
cells.gene.json into benchmarks/results.
"""

import argparse
from pathlib import Path

import pandas as pd
from _gm12878 import RESULTS
from _measure import about

from chromoformer import plots
from chromoformer.data.store import Store
from chromoformer.errors import some
from chromoformer.interpret.gene import explain_gene, withhold_each
from chromoformer.interpret.regulation import regulatory_embeddings
from chromoformer.provenance import write_json
from chromoformer.training.models import held_out_genes
from chromoformer.training.run_folder import is_complete

FEWEST_PCRES = 3
DOTS_PER_INCH = 110


def chosen_gene(runs: list[Path], store: Store) -> str:
    "Return the id of the gene to draw."
    table = regulatory_embeddings(runs, store, held_out_genes(runs, store)).table
    suited = table[(table["label"] == 1) & (table["score"] > 0.5) & (table["pcres"] >= FEWEST_PCRES)]
    if suited.empty:
        raise SystemExit(f"no gene of {store.path} fits the rule. Fix: name another cell line (--cell)")
    each = withhold_each(runs, store, suited["gene_id"].tolist())
    return str(each.loc[each["effect"].idxmax(), "gene_id"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path)
    parser.add_argument("--cell", default="K562")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    trained = sorted((arguments.study / "train" / "classification" / arguments.cell).glob("fold*"))
    runs = [run for run in trained if is_complete(run)]
    if not runs:
        raise SystemExit(
            f"{arguments.study} has no complete classifier of {arguments.cell}. Fix: run the study"
        )
    store = Store(arguments.study / "stores" / f"{arguments.cell}.h5")
    explanation = explain_gene(runs, store, chosen_gene(runs, store))
    axis = plots.gene(store, explanation)
    plots.save(axis, arguments.out / "cells.gene.png", DOTS_PER_INCH)
    gene = explanation.gene
    pcres = pd.DataFrame(explanation.pcres)
    write_json(
        arguments.out / "cells.gene.json",
        {
            "cell": arguments.cell,
            "gene": {
                name: gene[name] for name in ("gene_id", "gene_name", "chrom", "tss", "strand", "expression")
            },
            "pcres": len(pcres),
            "score": explanation.score,
            "score_without": explanation.score_without,
            "effect": explanation.effect,
            "models": some([run.name for run in runs], 9),
        }
        | about(),
    )
    print(f"{gene['gene_name']}: {explanation.score:.2f}, without pCREs {explanation.score_without:.2f}")


if __name__ == "__main__":
    main()
