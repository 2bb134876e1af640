"""Keep two genes of the published demo (H1 cells, 100 bp) with the attention of random weights.

    python benchmarks/e003_genes.py DATA

DATA holds e003_demo/ (demo_meta.csv, demo_data.tar.gz, a checkpoint) and gencode.v10.genes.hg19.gtf.gz.
Writes e003.genes.json, e003.depth.parquet and e003.attention.parquet to benchmarks/results. The genes are
chosen by rule among those with at least two pCREs: the one with the highest expression, and the silent
one with the most H3K27me3 around its TSS. Attention of random weights has no biological meaning; it shows
what the attention of any published checkpoint looks like and where it comes from.
"""

import argparse
import json
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _measure import about

from chromoformer.data.expression import read_gtf_genes
from chromoformer.data.published import import_regions
from chromoformer.data.store import Store
from chromoformer.interpret.attention import attention_maps
from chromoformer.interpret.gene import GeneExplanation, explain_gene
from chromoformer.model.checkpoint import import_published
from chromoformer.provenance import file_record, write_json

OUT = Path(__file__).resolve().parent / "results"


def chosen(store: Store) -> list[str]:
    "Gene ids of the most expressed gene, and of the silent one with most H3K27me3 within 5 kb of its TSS."
    number = np.bincount(store.pcres["gene"], minlength=len(store.genes))
    genes = store.genes.assign(pcres=number)
    middle, bins, mark = (
        store.window // store.bin_size // 2,
        5000 // store.bin_size,
        store.channels.index("H3K27me3"),
    )
    genes["polycomb"] = [
        np.nanmean(store.region_depth(region)[middle - bins : middle + bins, mark])
        for region in store.promoter_region
    ]
    genes = genes[genes["pcres"] >= 2]
    return [
        genes.loc[genes["expression"].idxmax(), "gene_id"],
        genes.loc[genes.loc[genes["expression"] < 0.1, "polycomb"].idxmax(), "gene_id"],
    ]


def depth_of(store: Store, gene_id: str, pcres: int) -> pd.DataFrame:
    "Mean depth in every 100-bp bin: the promoter window is region 0, the pCREs follow."
    row = int(store.gene_rows([gene_id])[0])
    first = store.pcre_start[row]
    tables = []
    for place, region in enumerate(
        [store.promoter_region[row], *store.pcres["region"].iloc[first : first + pcres]]
    ):
        span, depth = store.regions.iloc[region], store.region_depth(region).round(3)
        tables.append(
            pd.DataFrame(depth, columns=list(store.channels)).assign(
                region=place, chrom=span["chrom"], start=int(span["start"]), end=int(span["end"])
            )
        )
    return pd.concat(tables).assign(gene_id=gene_id)


def attention_of(explanation: GeneExplanation, map_2000: np.ndarray) -> pd.DataFrame:
    "Attention weights, one a row: of the TSS over the promoter, of the promoter over each pCRE, of the gene"
    "over itself and its pCREs, and one whole map."
    arrays = {
        ("map", 2000, 0): map_2000.swapaxes(0, 1)
    }  # the attending bin stands where a layer stands elsewhere
    for size, weights in explanation.promoter_attention.items():
        arrays |= {
            ("promoter", size, 0): weights[None],
            ("regulation", size, 0): explanation.regulation_attention[size],
        }
        arrays |= {
            ("pcre", size, place + 1): part for place, part in enumerate(explanation.pcre_attention[size])
        }
    tables = []
    for (part, size, region), weights in arrays.items():
        layer, head, place = (axis.ravel() for axis in np.indices(weights.shape))
        tables.append(
            pd.DataFrame(
                {
                    "part": part,
                    "bin_size": size,
                    "region": region,
                    "layer": layer,
                    "head": head,
                    "bin": place,
                    "weight": weights.ravel(),
                }
            )
        )
    return pd.concat(tables).assign(gene_id=explanation.gene["gene_id"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=OUT, help="folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder, annotation = arguments.data / "e003_demo", arguments.data / "gencode.v10.genes.hg19.gtf.gz"
    checkpoint = folder / "reference_small_clf.pt"
    with tempfile.TemporaryDirectory() as temporary:
        with tarfile.open(folder / "demo_data.tar.gz") as archive:
            archive.extractall(temporary, filter="data")
        import_regions(
            folder / "demo_meta.csv",
            Path(temporary) / "demo_data",
            Path(temporary) / "E003.h5",
            progress=False,
        )
        store, model = Store(Path(temporary) / "E003.h5"), import_published(checkpoint)
        explanations = {gene_id: explain_gene(model, store, gene_id) for gene_id in chosen(store)}
        depth = pd.concat([depth_of(store, gene_id, len(one.pcres)) for gene_id, one in explanations.items()])
        attention = pd.concat(
            [
                attention_of(one, attention_maps(model, store, [gene_id])[2000])
                for gene_id, one in explanations.items()
            ]
        )
    sizes = dict(
        pd.read_csv(arguments.data / "hg19.chrom.sizes", sep="\t", header=None).itertuples(index=False)
    )
    bodies = read_gtf_genes(annotation, sizes).set_index("gene_id")
    published = pd.read_csv(folder / "published_predictions.csv").set_index("gene_id")
    genes = []
    for gene_id, one in explanations.items():
        body = bodies.loc[gene_id, ["gene_name", "gene_start", "gene_end"]]
        genes.append(
            {
                "gene": json.loads(one.gene.to_json()) | json.loads(body.to_json()),
                "pcres": json.loads(one.pcres.to_json(orient="records")),
                "published": {
                    name: float(value)
                    for name, value in published.loc[gene_id].items()
                    if name.startswith("published")
                },
            }
            | {name: float(getattr(one, name)) for name in ("score", "score_without", "effect")}
        )
        print(f"{body['gene_name']:<12} RPKM {one.gene['expression']:<9} {len(one.pcres)} pCREs")
    inputs = {
        file.name: file_record(file)
        for file in (
            folder / "demo_meta.csv",
            folder / "demo_data.tar.gz",
            folder / "published_predictions.csv",
            checkpoint,
            annotation,
        )
    }
    depth.to_parquet(arguments.out / "e003.depth.parquet", index=False)
    attention.astype({"weight": "float32"}).to_parquet(arguments.out / "e003.attention.parquet", index=False)
    write_json(
        arguments.out / "e003.genes.json",
        {
            "what": "Two genes of the published demo (Roadmap E003) at 100 bp; attention of random weights",
            "channels": store.channels,
            "bin_sizes": store.bin_sizes,
            "window": store.window,
            "genome": "hg19",
            "genes": genes,
            "inputs": inputs,
        }
        | about(),
    )


if __name__ == "__main__":
    main()
