"""How often does the comparison of scales report channels that are altered, and channels that are not?

The peaks of eleven marks and factors in three cell lines (DATA/cells; each cell line is compared with each
of the others, in samples of several sizes), and the toy cell types. A channel is altered by multiplying its
depth, or by exchanging it with another one. Without DATA, only the toys are compared.

    python benchmarks/scale.py [--data DATA] [--genes 3000] [--draws 3] [--toy-genes 1000] [--out
    benchmarks/results/scale.json]
"""

import argparse
import gzip
import itertools
import os
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from _measure import about

from chromoformer.data.build import build_store
from chromoformer.data.store import Store
from chromoformer.provenance import write_json
from chromoformer.simulate.epigenome import simulate
from chromoformer.simulate.rules import MARKS
from chromoformer.training.scale import channel_scale, scale_differences

CELLS = ("GM12878", "K562", "HeLa-S3")
SIZES = (40, 128, 256, 512)  # genes of a sample
FACTORS = (0.001, 0.1, 10, 1000)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("CHROMOFORMER_DATA"))
    parser.add_argument("--genes", type=int, default=3000, help="of a cell line")
    parser.add_argument("--draws", type=int, default=3, help="samples of each size")
    parser.add_argument("--toy-genes", type=int, default=1000)
    parser.add_argument("--toys", action="store_true", help="compare only the toys")
    parser.add_argument("--folder", type=Path, help="keep the stores here, and use those that are here")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        result["toy"] = toys(folder, options.toy_genes)
        if options.data and not options.toys:
            stores = [cell_line(cell, Path(options.data), folder, options.genes) for cell in CELLS]
            result["cells"] = cell_lines(stores, options.draws)
    for name, found in result.items():
        print(f"{name}: {found['comparisons']} comparisons of two stores, {found['channels']} channels")
        print(f"  not altered: {found['unaltered']['reported']} of {found['unaltered']['of']} reported")
        print(f"  multiplied:  {found['multiplied']['reported']:,} of {found['multiplied']['of']:,} reported")
        print(f"  exchanged:   {found['exchanged']['reported']:,} of {found['exchanged']['of']:,} reported")
    if options.out:
        write_json(options.out, result | about())


def cell_line(cell: str, data: Path, folder: Path, genes: int) -> Store:
    "Build the store of a cell line from its peaks, with evenly spaced protein-coding genes."
    files = sorted((data / "cells" / cell).glob("*Peak.gz"))
    annotation = folder / f"{genes}.gtf"
    if not annotation.exists():
        with gzip.open(data / "gencode.v10.genes.hg19.gtf.gz", "rt") as lines:
            coding = [
                line for line in lines if '"protein_coding"' in line and line[:5] not in ("chrM\t", "chrY\t")
            ]
        chosen = np.linspace(0, len(coding) - 1, genes).astype(int)
        annotation.write_text("".join(coding[row] for row in chosen))
    channels = "".join(
        f"  - {{name: {file.name.split('.')[0].rsplit('-', 1)[1]}, kind: peaks, path: {file}}}\n"
        for file in files
    )
    manifest = folder / f"{cell}.yaml"
    manifest.write_text(
        f"name: {cell}\ngenome: hg19\nchrom_sizes: {{path: {data}/hg19.chrom.sizes}}\nchannels:\n{channels}"
        f"annotation: {{kind: gtf, path: {annotation}}}\nbin_sizes: [100]\n"
    )
    return built(manifest, folder / f"{cell}.h5")


def built(manifest: Path, path: Path) -> Store:
    "Return the store of a manifest, built if it is not there."
    build_store(manifest, path, keep=True, progress=False)
    return Store(path)


def cell_lines(stores: list[Store], draws: int) -> dict:
    "Compare samples of each cell line with samples of each of the others."
    random = np.random.default_rng(0)
    pairs = []
    for size in SIZES:
        for _ in range(draws):
            for trained, other in itertools.permutations(stores, 2):
                scales = [
                    channel_scale(store, np.sort(random.choice(len(store.genes), size, replace=False)))
                    for store in (trained, other)
                ]
                pairs.append((size, *scales))
    by_size = {size: reports([scales for of, *scales in pairs if of == size]) for size in SIZES}
    found = {"genes": len(stores[0].genes), "draws": draws} | total(list(by_size.values()))
    found["by_size"] = by_size
    everything = [mean_depths(store) for store in stores]
    samples = [scales for size, *scales in pairs if size == 256]
    found["largest_ratio"] = {
        name: {
            "all": max(ratio(one[name], other[name]) for one, other in itertools.combinations(everything, 2)),
            "256": float(
                np.nanmax([ratio(*(scale["channels"][name]["mean"] for scale in pair)) for pair in samples])
            ),
        }
        for name in stores[0].channels
    }
    return found


def mean_depths(store: Store) -> dict[str, float]:
    "Return the mean depth of each channel over the promoter windows of all genes."
    parts = np.array_split(np.arange(len(store.genes)), len(store.genes) // 500 + 1)
    scales = [channel_scale(store, part)["channels"] for part in parts]
    weights = [len(part) for part in parts]
    return {
        name: float(np.average([scale[name]["mean"] for scale in scales], weights=weights))
        for name in store.channels
    }


def ratio(one: float, other: float) -> float:
    "Return the ratio of two depths, at least 1; NaN if a sample has no signal."
    return max(one, other) / min(one, other) if min(one, other) > 0 else float("nan")


def toys(folder: Path, genes: int) -> dict:
    "Compare the two cell types and the other species of the toy epigenome with each other."
    if not (folder / "toy").exists():
        simulate(folder / "toy", genes, marks=MARKS, tagalign=(), hic=False, progress=False)
    scales = [
        channel_scale(built(folder / "toy" / f"{cell}.yaml", folder / f"{cell}.h5"))
        for cell in ("cellA", "cellB", "other")
    ]
    return {"genes": genes} | reports(list(itertools.permutations(scales, 2)))


def reports(pairs: list[tuple[dict, dict]]) -> dict:
    "Count the reports if nothing, one channel or two channels of the second scale of each pair are altered."
    names = list(pairs[0][0]["channels"])
    unaltered = [scale_differences(trained, found) for trained, found in pairs]
    multiplied = [
        name in scale_differences(trained, times(found, name, factor))
        for trained, found in pairs
        for name in names
        for factor in FACTORS
    ]
    missed: Counter[str] = Counter()
    for trained, found in pairs:
        for one, other in itertools.combinations(names, 2):
            if not {one, other} & set(scale_differences(trained, exchanged(found, one, other))):
                missed[f"{one} and {other}"] += 1
    swaps = len(pairs) * len(names) * (len(names) - 1) // 2
    return {
        "comparisons": len(pairs),
        "channels": len(names),
        "unaltered": {"reported": sum(map(bool, unaltered)), "of": len(pairs)},
        "multiplied": {"reported": sum(multiplied), "of": len(multiplied)},
        "exchanged": {"reported": swaps - sum(missed.values()), "of": swaps},
        "exchanged_missed": dict(missed.most_common()),
    }


def total(parts: list[dict]) -> dict:
    "Add up the counts of several groups of comparisons."
    found = {"comparisons": sum(part["comparisons"] for part in parts), "channels": parts[0]["channels"]}
    for key in ("unaltered", "multiplied", "exchanged"):
        found[key] = {name: sum(part[key][name] for part in parts) for name in ("reported", "of")}
    missed = sum((Counter(part["exchanged_missed"]) for part in parts), Counter())
    return found | {"exchanged_missed": dict(missed.most_common())}


def times(scale: dict, name: str, factor: float) -> dict:
    "Return the scale of a store whose channel is multiplied by a factor; its profile and share stay."
    channel = scale["channels"][name]
    altered = channel | {"mean": channel["mean"] * factor, "sd": channel["sd"] * factor}
    return scale | {"channels": scale["channels"] | {name: altered}}


def exchanged(scale: dict, one: str, other: str) -> dict:
    "Return the scale of a store whose two channels have each other's names."
    channels = scale["channels"]
    return scale | {"channels": channels | {one: channels[other], other: channels[one]}}


if __name__ == "__main__":
    main()
