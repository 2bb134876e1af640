"""A seeded toy input in the published layout and seeded weights, for the golden script and the tests."""

import zlib
from pathlib import Path

import numpy as np

MARKS, GENES = 7, 20
SIZES = dict(
    n_feats=MARKS,
    d_emb=16,
    d_head=8,
    binsizes=[2000, 500, 100],
    seed=42,
    embed_kws=dict(n_layers=1, n_heads=2, d_model=16, d_ff=16),
    pairwise_interaction_kws=dict(n_layers=2, n_heads=2, d_model=16, d_ff=32),
    regulation_kws=dict(n_layers=2, n_heads=4, d_model=32, d_ff=32),
)


def write_regions(folder: Path, genes: int = GENES) -> Path:
    "Metadata and region arrays of genes with 0 to 8 pCREs each; integer depth in steps of 1 to 700 bases."
    random = np.random.default_rng(0)
    lines = ["gene_id,expression,eid,label,chrom,start,end,strand,split,neighbors,scores"]
    for gene in range(genes):
        tss = 100_000 + 250_000 * gene
        regions = [("chr1", tss - 20_000, tss + 20_000)]
        starts = tss + 21_000 + 23_000 * np.arange(random.integers(0, 9))
        regions += [("chr1", int(start), int(start + random.integers(80, 22_000))) for start in starts]
        for chrom, start, end in regions:
            steps = random.integers(1, 700, size=2 * (end - start) // 350 + 2)
            depth = random.poisson(random.gamma(0.5, 4.0, (MARKS, len(steps))))
            array = np.repeat(depth, steps, axis=1)[:, : end - start].astype(np.float16)
            assert array.shape == (MARKS, end - start)
            np.save(folder / f"{chrom}:{start}-{end}.npy", array)
        scores = np.sort(1.5 + random.gamma(1.0, 1.0, len(starts)).round(4))[::-1]
        rpkm = round(float(random.gamma(1.0, 5.0)), 3)
        lines.append(
            f"GENE{gene:02d},{rpkm},TOY,{gene % 2},chr1,{tss},{tss + 1},{'+-'[gene % 3 == 0]},1,"
            f"{';'.join(f'{c}:{s}-{e}' for c, s, e in regions[1:])},{';'.join(map(str, scores))}"
        )
    meta = folder / "meta.csv"
    meta.write_text("\n".join(lines) + "\n")
    return meta


def seeded(name: str, shape: tuple[int, ...]) -> np.ndarray:
    "The weights of one tensor, decided by its name and shape."
    random = np.random.default_rng(zlib.crc32(name.encode()))
    return (random.standard_normal(shape) * (1.0 if len(shape) == 1 else 1 / np.sqrt(shape[-1]))).astype(
        np.float32
    )
