"""Analyses read what real cells have: subcompartments, peaks, and manifests of several cell types."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import TINY
from helpers import run_notebook
from papermill.exceptions import PapermillExecutionError
from scipy.stats import pearsonr
from sklearn.metrics import roc_auc_score

from chromoformer.baselines.gene_features import TREES, gene_features
from chromoformer.baselines.shallow import predict_with_trees
from chromoformer.data.build import build_store
from chromoformer.data.manifest import read_manifest
from chromoformer.data.store import Store
from chromoformer.genome import read_chrom_sizes
from chromoformer.interpret.regulation import housekeeping_genes, read_gmt, specific_genes
from chromoformer.simulate.epigenome import simulate
from chromoformer.training.fit import fit
from chromoformer.training.recipe import network_and_recipe

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    "A toy epigenome of two cell types of one genome."
    folder = tmp_path_factory.mktemp("cells") / "toy"
    return simulate(folder, 200, cell_types=["cellA", "cellB"], tagalign=[], progress=False)


@pytest.fixture(scope="module")
def stores(toy, tmp_path_factory):
    "Their stores; the last ten genes of cellB are missing."
    folder = tmp_path_factory.mktemp("stores")
    for name in ("cellA", "cellB"):
        manifest = read_manifest(toy / f"{name}.yaml")
        if name == "cellB":
            matrix = Path(manifest.expression.path)
            fewer = pd.read_csv(matrix, sep="\t", index_col=False).iloc[:-10]
            fewer.to_csv(folder / "fewer.tsv", sep="\t", index=False)
            expression = manifest.expression.model_copy(update={"path": str(folder / "fewer.tsv")})
            manifest = manifest.model_copy(update={"expression": expression})
        build_store(manifest, folder / f"{name}.h5", progress=False)
    return {name: str(folder / f"{name}.h5") for name in ("cellA", "cellB")}


@pytest.fixture(scope="module")
def runs(stores, tmp_path_factory):
    "A network of each cell type that holds out folds 1 and 2."
    folder = tmp_path_factory.mktemp("runs")
    tiny = yaml.safe_load(TINY)
    found = {}
    for name, store in stores.items():
        config, recipe = network_and_recipe(
            Store(store), tiny["network"] | {"bin_sizes": [2000]}, tiny["recipe"] | {"batch_size": 32}
        )
        for fold in (1, 2):
            fit(store, folder / name / f"fold{fold}", fold, config, recipe, measure=False, progress=False)
        found[name] = [str(folder / name / f"fold{fold}") for fold in (1, 2)]
    return found


@pytest.fixture(scope="module")
def published(toy, tmp_path_factory):
    "A file of subcompartments with the planted compartments, in whole bins."
    planted = pd.read_parquet(toy / "truth" / "compartments.parquet").query("bin_size == 100_000")
    sign = planted["compartment"]
    name = np.select([sign > 0.6, sign > 0, sign == 0], ["A1", "A2", "NA"], "B1")
    path = tmp_path_factory.mktemp("published") / "subcompartments.bed"
    bins = planted.assign(end=planted["start"] + 100_000, name=name)[["chrom", "start", "end", "name"]]
    bins.to_csv(path, sep="\t", header=False, index=False)
    return path


def with_extra(toy, tmp_path, **extra):
    "Return a copy of the manifest of cellA, next to no map, with more files."
    content = yaml.safe_load((toy / "cellA.yaml").read_text())
    content["extra"] = {name: {"path": str(path)} for name, path in extra.items()}
    (tmp_path / "cellA.yaml").write_text(yaml.safe_dump(content))
    return {"manifest": str(tmp_path / "cellA.yaml"), "data": str(toy)}


@pytest.mark.slow
def test_compartments_of_a_list_are_those_of_its_names_and_become_a_channel(
    toy, stores, runs, published, tmp_path
):
    one = {"store": stores["cellA"], "runs": runs["cellA"], "seeds": 1}
    extra = with_extra(toy, tmp_path, subcompartments=published)
    found = run_notebook("compartments", tmp_path / "out", **one, **extra, truth=str(toy / "truth"))
    genes = Store(stores["cellA"]).genes
    bins = pd.read_csv(published, sep="\t", names=["chrom", "start", "end", "name"], keep_default_na=False)
    name = genes.assign(start=genes["tss"] // 100_000 * 100_000).merge(
        bins, how="left", on=["chrom", "start"]
    )["name"]
    letter = name.str[0].map({"A": 1, "B": 0}).to_numpy(float)
    known = np.isfinite(letter)
    level = np.log2(genes["expression"].to_numpy() + 1)
    r = found["r with expression"]
    assert np.isclose(r["value"], pearsonr(letter[known], level[known])[0]) and r["genes"] == known.sum()
    assert found["|r| with expression"]["value"] == abs(r["value"])
    for subcompartment, values in pd.Series(level).groupby(name.to_numpy()):
        assert np.isclose(found[f"expression in {subcompartment}"]["value"], values.mean())
    assert found["r with planted"]["value"] > 0.9 and found["source"] == "subcompartments"
    more = Store(tmp_path / "out" / "store.h5")
    assert more.channels[-1] == "compartment" and found["gain"]["verdict"] == "not tested"
    for figure in ("expression", "track", "gain"):
        assert (tmp_path / "out" / "figures" / f"{figure}.png").stat().st_size > 1000
    again = run_notebook(
        "compartments",
        tmp_path / "named",
        store=stores["cellA"],
        manifest=str(toy / "cellA.yaml"),
        subcompartments=str(published),
    )
    assert again["r with expression"] == r


@pytest.mark.slow
def test_a_cell_type_without_a_map_and_subcompartments_is_refused(toy, stores, published, tmp_path):
    with pytest.raises(
        PapermillExecutionError, match="no contact map of cellA and there are no subcompartments"
    ):
        run_notebook("compartments", tmp_path / "none", store=stores["cellA"], **with_extra(toy, tmp_path))
    both = {"cooler": "map.cool", "subcompartments": str(published)}
    with pytest.raises(PapermillExecutionError, match="both a contact map and subcompartments are given"):
        run_notebook(
            "compartments", tmp_path / "both", store=stores["cellA"], manifest=str(toy / "cellA.yaml"), **both
        )


@pytest.mark.slow
def test_genes_at_peaks_are_a_set_of_the_regulation_analysis(toy, stores, runs, tmp_path):
    genes = Store(stores["cellA"]).genes
    at_peaks = genes.iloc[::3]
    lines = [f"{gene.chrom}\t{gene.tss + 900}\t{gene.tss + 1000}\n" for gene in at_peaks.itertuples()]
    (tmp_path / "EZH2.bed").write_text("".join(lines))
    extra = with_extra(toy, tmp_path, EZH2=tmp_path / "EZH2.bed")
    one = {"store": stores["cellA"], "runs": runs["cellA"], "permutations": 20}
    peaks = {"EZH2": "EZH2", "same": str(tmp_path / "EZH2.bed")}  # an extra file of the manifest, and a path
    found = run_notebook("regulation", tmp_path / "near", **one, **extra, peaks=peaks)
    held_out = genes[genes["fold"].isin([1, 2])]
    near = {
        gene.gene_id
        for gene in held_out.itertuples()
        if (
            (at_peaks["chrom"] == gene.chrom) & ((at_peaks["tss"] + 900 - gene.tss).between(-99 - 1000, 1000))
        ).any()
    }
    moved = pd.read_parquet(tmp_path / "near" / "genes.parquet").query("pcres > 0")
    assert found["set: EZH2 at the TSS"]["genes"] == moved["gene_id"].isin(near).sum() > 5
    assert found["set: same at the TSS"]["value"] == found["set: EZH2 at the TSS"]["value"]
    with pytest.raises(PapermillExecutionError, match="no set has 5 or more genes"):
        run_notebook("regulation", tmp_path / "far", **one, **extra, peaks=peaks, peak_distance=0)
    with pytest.raises(PapermillExecutionError, match="peaks are given without a manifest"):
        run_notebook("regulation", tmp_path / "none", **one, peaks={"EZH2": str(tmp_path / "EZH2.bed")})


@pytest.mark.slow
def test_a_track_of_peaks_is_tested_as_an_extra_channel(toy, stores, runs, tmp_path):
    genes = Store(stores["cellA"]).genes
    lines = [
        f"{gene.chrom}\t{gene.tss // 100 * 100}\t{gene.tss // 100 * 100 + 200}\n"
        for gene in genes.itertuples()
    ]
    (tmp_path / "CTCF.bed").write_text("".join(lines))
    track = {"track": str(tmp_path / "CTCF.bed"), "kind": "peaks"}
    manifest = {"manifest": str(toy / "cellA.yaml")}
    one = {"store": stores["cellA"], "runs": runs["cellA"], "seeds": 1}
    found = run_notebook("ctcf", tmp_path / "out", **one, **manifest, **track)
    more = Store(tmp_path / "out" / "store.h5")
    assert found["channel"] == more.channels[-1] == "CTCF" and found["gain"]["verdict"] == "not tested"
    gene = more.genes.iloc[20]
    region = more.regions.iloc[more.promoter_region[20]]
    bins = region["start"] + more.bin_size * np.arange(len(more.region_depth(more.promoter_region[20])))
    depth = more.region_depth(more.promoter_region[20])[:, -1]
    at_tss = (bins // 100 * 100 == gene["tss"] // 100 * 100) | (
        bins // 100 * 100 == gene["tss"] // 100 * 100 + 100
    )
    assert (depth[at_tss] > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 2])
def test_networks_are_compared_with_trees_and_the_mean_of_other_cell_types(
    toy, stores, runs, tmp_path, seeds
):
    manifests = {name: str(toy / f"{name}.yaml") for name in stores}
    found = run_notebook(
        "cross_cell",
        tmp_path / "out",
        stores=stores,
        all_runs=runs,
        manifests=manifests,
        seeds=seeds,
        rounds=10,
        draws=50,
    )
    opened = {name: Store(store) for name, store in stores.items()}
    common = set(opened["cellA"].genes["gene_id"]) & set(opened["cellB"].genes["gene_id"])
    one, two = (opened[name].genes for name in ("cellA", "cellB"))
    inputs = {}
    for name, store in opened.items():
        described = read_manifest(manifests[name])
        tracks = {channel.name: channel.path for channel in described.channels}
        sizes = read_chrom_sizes(described.chrom_sizes.path)
        inputs[name] = gene_features(tracks, store.genes, sizes).to_numpy()
    tested = two["gene_id"].isin(common).to_numpy()
    level = one.set_index("gene_id")["expression"]
    settings = {name: value for name, value in TREES.items() if name != "max_iter"}
    trees, mean = [], []
    for fold in (1, 2):
        here = tested & (two["fold"] == fold).to_numpy()
        together = np.concatenate([inputs["cellA"], inputs["cellB"][here]])
        folds = np.append(one["fold"] == fold, np.full(here.sum(), 2))
        label = np.append(one["label"].astype(float), np.full(here.sum(), np.nan))
        label[np.flatnonzero(folds == 1)] = np.nan  # held out, and not predicted
        score = predict_with_trees(together, label, folds, 2, "classification", settings, 10, range(seeds))
        trees.append(np.mean([roc_auc_score(two.loc[here, "label"], each) for each in score]))
        mean.append(roc_auc_score(two.loc[here, "label"], level.loc[two.loc[here, "gene_id"]]))
    assert np.isclose(found["cellA -> cellB, trees"]["value"], np.mean(trees))
    assert np.isclose(found["cellA -> cellB, mean expression of the others"]["value"], np.mean(mean))
    assert found["cellA -> cellB, network"]["genes"] == found["cellA -> cellB"]["genes"]
    difference = found["cellA -> cellB, network minus trees"]
    values = [found[f"cellA -> cellB, {model}"]["value"] for model in ("network", "trees")]
    assert np.isclose(difference["value"], values[0] - values[1])
    assert (difference["verdict"] == "not tested") == (seeds == 1)
    assert "cellA -> cellA, network minus trees" not in found
    changes = pd.read_parquet(tmp_path / "out" / "differences.parquet")
    assert len(changes) == 4 and changes["low"].notna().all() == (seeds > 1)
    for figure in ("rivals", "matrix"):
        assert (tmp_path / "out" / "figures" / f"{figure}.png").stat().st_size > 1000


@pytest.mark.slow
def test_cell_types_without_a_manifest_have_no_trees(toy, stores, runs, tmp_path):
    manifests = {"cellA": str(toy / "cellA.yaml"), "cellB": stores["cellB"]}
    both = {"stores": stores, "all_runs": runs, "seeds": 1, "draws": 20}
    found = run_notebook("cross_cell", tmp_path / "one", **both, manifests=manifests, rounds=5)
    assert found["without_trees"] == {"cellB": "there is no manifest"}
    assert "cellA -> cellA, trees" in found and "cellA -> cellB, trees" not in found
    assert "cellA -> cellB, network minus mean expression of the others" in found
    none = run_notebook("cross_cell", tmp_path / "none", **both)
    assert not [name for name in none if name.endswith(", trees")] and "cellA -> cellB, network" in none


def test_sets_of_symbols_and_specific_genes_fit_the_genes_of_real_cells(real_data):
    named = pd.read_csv(
        real_data / "gencode.v10.genes.hg19.gtf.gz", sep="\t", comment="#", header=None, usecols=[8]
    )[8]
    names = set(named.str.extract(r'gene_name "([^"]+)"')[0])
    for name, members in read_gmt(real_data / "genesets.symbols.gmt").items():
        assert len(names.intersection(members)) > 0.8 * len(members), name
    matrix = pd.read_csv(real_data / "57epigenomes.RPKM.pc.gz", sep="\t", index_col=False).set_index(
        "gene_id"
    )
    assert matrix.shape[1] == 57
    logs = np.log2(matrix + 1)
    others = logs.drop(columns="E123")
    above = (logs["E123"] - others.mean(axis=1)) / (others.std(axis=1) + 0.5)
    found = specific_genes(real_data / "57epigenomes.RPKM.pc.gz", "E123", 100)
    assert found == above.sort_values(ascending=False, kind="stable").index[:100].tolist()
    even = (
        (matrix.min(axis=1) >= 1)
        & (logs.std(axis=1) < 1)
        & (logs.sub(logs.mean(axis=1), axis=0).abs() < 2).all(axis=1)
    )
    found = housekeeping_genes(real_data / "57epigenomes.RPKM.pc.gz")
    assert found == matrix.index[even].tolist() and 1000 < len(found) < 10_000
