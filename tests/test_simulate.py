"""Tests of the toy epigenome: its files hold what was planted, and it is neither too easy nor too hard."""

import gzip
import json
from dataclasses import replace

import cooler
import numpy as np
import pandas as pd
import pyBigWig
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from chromoformer.baselines.shallow import SHALLOW, out_of_fold, pcre_features, promoter_features
from chromoformer.data.batches import GeneDataset
from chromoformer.data.build import build_store
from chromoformer.data.contacts import read_contacts, select_pcres
from chromoformer.data.expression import read_gtf_genes
from chromoformer.data.store import Store
from chromoformer.data.tracks import read_coverage
from chromoformer.errors import InputError
from chromoformer.genome import chromosome_fold, read_chrom_sizes
from chromoformer.simulate.cell import compartment_of_bins, make_cell
from chromoformer.simulate.epigenome import HUMAN_RULES, hg19_sizes, simulate
from chromoformer.simulate.rules import MARKS, TOY_FOLDS, chroms_of, make_genome


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("simulate") / "toy", genes=80, seed=1, progress=False)


def truth(folder, name, cell_type="cellA"):
    table = pd.read_parquet(folder / "truth" / f"{name}.parquet")
    return table[table["cell_type"] == cell_type].reset_index(drop=True)


def manifest(folder, name):
    return yaml.safe_load((folder / f"{name}.yaml").read_text())


def mean_depth(folder, cell_type, mark, regions):
    "Return the mean depth over regions, from the reads or the track of a mark."
    genome = manifest(folder, cell_type)["genome"]
    sizes = read_chrom_sizes(folder / "genomes" / f"{genome}.chrom.sizes")
    depth = {chrom: np.zeros(size) for chrom, size in sizes.items()}
    reads = folder / cell_type / f"{mark}.tagAlign.gz"
    if reads.exists():
        for chrom, starts, ends, values in read_coverage(reads, sizes, progress=False):
            for start, end, value in zip(starts, ends, values):
                depth[chrom][start:end] = value
    else:
        with pyBigWig.open(str(folder / cell_type / f"{mark}.bigWig")) as track:
            depth = {
                chrom: np.nan_to_num(track.values(chrom, 0, size, numpy=True))
                for chrom, size in sizes.items()
            }
    return np.array([depth[r.chrom][r.start : r.end].mean() for r in regions.itertuples()])


@pytest.mark.slow
def test_equal_seeds_give_equal_files_and_other_seeds_give_others(tmp_path):
    few = dict(genes=16, cell_types=["cellA", "other"], progress=False)
    one, two, three = (
        simulate(tmp_path / name, seed=seed, **few) for name, seed in (("1", 7), ("2", 7), ("3", 8))
    )
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(two) for path in two.rglob("*") if path.is_file())
    assert [file for file in files if (one / file).read_bytes() != (two / file).read_bytes()] == []
    assert (one / "cellA/H3K27ac.bigWig").read_bytes() != (three / "cellA/H3K27ac.bigWig").read_bytes()


@pytest.mark.parametrize("cell_type", ["cellA", "cellB", "other"])
def test_expression_follows_the_equation(folder, cell_type):
    genes, links = truth(folder, "genes", cell_type), truth(folder, "links", cell_type)
    rules = json.loads((folder / "truth/rules.json").read_text())["rules"][
        "other" if cell_type == "other" else "toy"
    ]
    enhancer = links["kind"].eq("enhancer") * rules["enhancer"] * links["activity"] * links["frequency"]
    silencer = links["kind"].eq("silencer") * rules["silencer"] * links["activity"] * links["frequency"]
    distal = (
        (enhancer - silencer)
        .groupby(links["gene_id"])
        .sum()
        .reindex(genes["gene_id"], fill_value=0)
        .to_numpy()
    )
    own = rules["promoter"] * (genes["promoter"] - 0.5) + rules["body"] * (genes["body"] - 0.5)
    assert np.allclose(rules["baseline"] + own + distal, genes["log2_expected"])
    error = genes["log2_rpkm"] - genes["log2_expected"]
    assert 0.5 * rules["noise"] < error.std() < 1.5 * rules["noise"]


def test_enhancers_raise_silencers_lower_and_decoys_have_no_effect(folder):
    links, elements = truth(folder, "links"), truth(folder, "elements")
    assert (links.loc[links["kind"] == "enhancer", "effect"] >= 0).all() and (links["effect"] > 0).any()
    assert (links.loc[links["kind"] == "silencer", "effect"] <= 0).all() and (links["effect"] < 0).any()
    decoys = links[links["effect"] == 0]
    in_contact = decoys[decoys["frequency"] > 0]
    assert (in_contact["kind"] == "plain").any()  # in contact, unmarked
    assert ((in_contact["h3k4me1"] > 0) & (in_contact["activity"] == 0)).any()  # in contact, primed
    assert (
        (decoys["frequency"] == 0) & (decoys["activity"] > 0)
    ).any()  # marked, contact below the threshold
    marked = elements[elements["activity"] > 0]
    assert (
        not marked["element_id"].isin(links.loc[links["effect"] != 0, "element_id"]).all()
    )  # marked, without effect on any gene


def test_distance_and_contact_score_do_not_identify_acting_contacts():
    genome = make_genome("toy", dict.fromkeys(chroms_of(TOY_FOLDS)), TOY_FOLDS)
    links = make_cell(genome, "cellA").links
    links = links[links["frequency"] > 0]
    for value in (links["distance"], links["score"]):
        assert abs(roc_auc_score(links["effect"] != 0, value) - 0.5) < 0.05


def test_planted_expression_predicts_well_and_the_gene_alone_less_well():
    scores = []
    for seed in range(5):
        genome = make_genome("toy", dict.fromkeys(chroms_of(TOY_FOLDS)), TOY_FOLDS, seed=seed)
        genes = make_cell(genome, "cellA", seed=seed).genes
        label = genes["log2_rpkm"] >= genes["log2_rpkm"].median()
        scores.append(
            [
                roc_auc_score(label, genes[terms].sum(axis=1))
                for terms in (["log2_expected"], ["promoter_term", "body_term"])
            ]
        )
        assert genes.groupby("compartment")["log2_rpkm"].mean().diff().iloc[-1] > 0  # A above B
    whole, own = np.mean(scores, axis=0)
    assert 0.93 < whole < 0.97 and 0.80 < own < 0.90


def test_manifests_have_the_documented_form_and_name_existing_files(folder):
    for name in ("cellA", "cellB", "other"):
        content = manifest(folder, name)
        assert list(content) == [
            "name",
            "genome",
            "chrom_sizes",
            "channels",
            "expression",
            "annotation",
            "contacts",
            "folds",
            "window",
            "bin_sizes",
        ]
        assert tuple(channel["name"] for channel in content["channels"]) == MARKS
        parts = [content[key] for key in ("chrom_sizes", "expression", "annotation", "contacts")] + content[
            "channels"
        ]
        assert all((folder / part["path"]).is_file() for part in parts)
        genes = truth(folder, "genes", name)
        folds = [chromosome_fold(chrom, content["folds"]) for chrom in genes["chrom"]]
        assert np.bincount(folds).tolist() == [0, *[len(genes) // 4] * 4]
    kinds = [channel["kind"] for channel in manifest(folder, "cellA")["channels"]]
    assert set(kinds) == {"tagalign", "bigwig"}
    assert [channel["name"] for channel in manifest(folder, "cellA.ctcf")["channels"]] == [*MARKS, "CTCF"]
    assert "truth/genes.parquet" in (folder / "README.txt").read_text()


def test_annotation_returns_planted_genes_and_tss(folder):
    for cell_type, genome in (("cellA", "toy"), ("other", "other")):
        planted = truth(folder, "genes", cell_type)
        sizes = read_chrom_sizes(folder / f"genomes/{genome}.chrom.sizes")
        read = read_gtf_genes(folder / f"genomes/{genome}.gtf.gz", sizes)
        assert set(read["gene_id"]) == set(planted["gene_id"])  # without versions and non-coding genes
        both = read.merge(planted, on=["gene_id", "chrom", "strand"], suffixes=("", "_planted"))
        assert (
            len(both) == len(planted)
            and (both["tss"] == both["tss_planted"]).all()
            and (both["gene_end"] == both["end"]).all()
        )


def test_exons_are_in_order_within_their_transcripts(folder):
    columns = ["chrom", "source", "feature", "start", "end", "score", "strand", "frame", "attributes"]
    table = pd.read_csv(folder / "genomes/toy.gtf.gz", sep="\t", names=columns)
    assert set(table["feature"]) == {"gene", "transcript", "exon"} and (table["start"] >= 1).all()
    assert table["attributes"].str.contains("lincRNA").any()
    exons = table[table["feature"] == "exon"]
    name = exons["attributes"].str.extract('transcript_id "([^"]+)"')[0]
    assert (exons["start"] > exons.groupby(name)["end"].shift(fill_value=0)).all()
    whole = exons.groupby(name).agg(start=("start", "min"), end=("end", "max"))
    transcripts = table[table["feature"] == "transcript"]
    named = transcripts.set_index(transcripts["attributes"].str.extract('transcript_id "([^"]+)"')[0])[
        ["start", "end"]
    ]
    assert (whole == named.reindex(whole.index)).all(axis=None)


def test_expression_matrix_has_the_roadmap_layout(folder):
    header, *rows = gzip.decompress((folder / "genomes/toy.RPKM.pc.gz").read_bytes()).decode().splitlines()
    assert header == "gene_id\tcellA\tcellB" and all(
        row.endswith("\t") and row.count("\t") == 3 for row in rows
    )
    planted = truth(folder, "genes")
    assert [row.split("\t")[0] for row in rows] == planted["gene_id"].tolist()
    assert np.allclose([float(row.split("\t")[1]) for row in rows], 2 ** planted["log2_rpkm"], atol=5e-4)


def test_fragment_pairs_return_the_planted_contacts(folder):
    genome = {"cellA": "toy", "cellB": "toy", "other": "other"}
    for cell_type, name in genome.items():
        sizes = read_chrom_sizes(folder / f"genomes/{name}.chrom.sizes")
        genes = read_gtf_genes(folder / f"genomes/{name}.gtf.gz", sizes)
        contacts = read_contacts("pairs", folder / cell_type / "contacts.tsv.gz", sizes)
        found = select_pcres(genes, contacts)
        links = truth(folder, "links", cell_type)
        planted = links[links["frequency"] > 0]
        both = found.merge(planted, on=["gene_id", "chrom", "start", "end"])
        assert len(both) == len(found) == len(planted) and np.allclose(
            both["score_x"], both["score_y"], atol=1e-4
        )
        assert planted["distance"].between(25_000, 500_000).all()
        assert (links.loc[links["frequency"] == 0, "score"] < 1.5).all()


def test_marks_cover_the_planted_places(folder):
    for cell_type in ("cellA", "cellB"):
        genes, elements = truth(folder, "genes", cell_type), truth(folder, "elements", cell_type)
        at_tss = pd.DataFrame(
            {"chrom": genes["chrom"], "start": genes["tss"] - 1000, "end": genes["tss"] + 1000}
        )
        for mark in ("H3K4me3", "H3K27ac", "H3K9ac"):
            assert np.corrcoef(mean_depth(folder, cell_type, mark, at_tss), genes["promoter"])[0, 1] > 0.9
        body = genes[["chrom", "start", "end"]]
        assert np.corrcoef(mean_depth(folder, cell_type, "H3K36me3", body), genes["body"])[0, 1] > 0.8
        for mark, kind, level in (
            ("H3K27ac", "enhancer", "activity"),
            ("H3K4me1", "enhancer", "h3k4me1"),
            ("H3K27me3", "silencer", "activity"),
        ):
            planted = elements[level].where(elements["kind"] == kind, 0)
            depth = mean_depth(folder, cell_type, mark, elements)
            assert depth[planted > 0].mean() > 5 * depth[planted == 0].mean()
    domains = pd.read_parquet(folder / "truth/compartments.parquet").query(
        "genome == 'toy' and bin_size == 50000"
    )
    assert np.corrcoef(mean_depth(folder, "cellA", "H3K9me3", domains), domains["compartment"])[0, 1] < -0.8


def test_mean_depth_resembles_real_experiments(folder):
    for mark in (*MARKS, "CTCF"):
        sizes = read_chrom_sizes(folder / "genomes/toy.chrom.sizes")
        whole = pd.DataFrame({"chrom": list(sizes), "start": 0, "end": list(sizes.values())})
        assert (
            0.15 < mean_depth(folder, "cellA", mark, whole).mean() < 0.5
        )  # 30 million reads of 36 bp in human: 0.35


def test_contact_maps_agree_across_resolutions_and_are_balanced(folder):
    maps = {
        size: cooler.Cooler(f"{folder}/cellA/hic.mcool::/resolutions/{size}")
        for size in (10_000, 50_000, 100_000)
    }
    assert len({int(opened.info["sum"]) for opened in maps.values()}) == 1
    for opened in maps.values():
        for chrom in opened.chromnames:
            balanced = np.nan_to_num(opened.matrix(balance=True).fetch(chrom))
            apart = np.triu(balanced, 2)
            total = (apart + apart.T).sum(axis=1)
            assert np.allclose(total[total > 0], 1, atol=1e-3)


def test_weights_equal_a_tighter_balance_of_cooler(folder):
    uri = f"{folder}/cellA/hic.mcool::/resolutions/10000"
    theirs, _ = cooler.balance_cooler(
        cooler.Cooler(uri), cis_only=True, mad_max=0, min_nnz=0, tol=1e-10, max_iters=1000
    )
    opened = cooler.Cooler(uri)
    weights = opened.bins()["weight"][:].to_numpy()
    for chrom in opened.chromnames:
        extent = slice(*opened.extent(chrom))
        assert np.allclose(
            weights[extent] / np.nanmean(weights[extent]),
            theirs[extent] / np.nanmean(theirs[extent]),
            rtol=1e-3,
        )


def test_planted_contacts_are_enriched_in_the_contact_map(folder):
    opened = cooler.Cooler(f"{folder}/cellA/hic.mcool::/resolutions/10000")
    links = truth(folder, "links")
    found, around = [], []
    for chrom, here in links[(links["frequency"] > 0) & (links["distance"] > 60_000)].groupby("chrom"):
        counts = opened.matrix(balance=False).fetch(chrom)
        i, j = here["tss"] // 10_000, (here["start"] + here["end"]) // 20_000
        found.append(counts[i, j])
        around.append([np.median(np.diagonal(counts, abs(a - b))) for a, b in zip(i, j)])
    assert np.concatenate(found).mean() > 3 * np.concatenate(around).mean()


def test_bin_compartments_are_weighted_by_domain_overlap():
    genome = make_genome("toy", dict.fromkeys(chroms_of(TOY_FOLDS)), TOY_FOLDS, genes=160)
    value = compartment_of_bins(genome, "chr1", 10_000)
    first = genome.domains[genome.domains["chrom"] == "chr1"].iloc[0]
    assert (value[: first["end"] // 10_000] == first["compartment"]).all() and np.abs(value).max() == 1
    turn = first["end"] % 10_000 / 10_000  # the bin that holds the first change of compartment
    assert np.isclose(value[first["end"] // 10_000], first["compartment"] * (2 * turn - 1))


def test_related_cell_type_shares_most_activities_and_orthologues_are_listed(folder):
    one, two = truth(folder, "elements"), truth(folder, "elements", "cellB")
    differ = (one["activity"] != two["activity"]) | (one["h3k4me1"] != two["h3k4me1"])
    assert one["element_id"].equals(two["element_id"]) and 0.1 < differ.mean() < 0.45
    a, b = truth(folder, "genes"), truth(folder, "genes", "cellB")
    housekeeping = a["gene_class"] == "housekeeping"
    assert (a["promoter"] == b["promoter"])[housekeeping].all() and (a["promoter"] != b["promoter"]).any()
    pairs = pd.read_csv(folder / "orthologs.tsv", sep="\t")
    other = truth(folder, "genes", "other")
    assert pairs["other"].tolist() == other["gene_id"].tolist() and set(pairs["toy"]) <= set(a["gene_id"])
    assert not set(other["chrom"]) & set(a["chrom"])


def test_each_manifest_builds_a_store(folder, tmp_path):
    for name, channels in (("cellA.ctcf", 8), ("cellA.cool", 7), ("other", 7)):
        build_store(folder / f"{name}.yaml", tmp_path / f"{name}.h5", progress=False)
        store = Store(tmp_path / f"{name}.h5")
        assert len(store.channels) == channels and len(store.genes) == (48 if name == "other" else 80)
        assert sorted(store.genes["fold"].unique()) == [1, 2, 3, 4] and len(store.pcres["score"]) > 2 * len(
            store.genes
        )


def test_invalid_arguments_are_refused_and_leave_no_files(tmp_path):
    for wrong in (dict(scale="mouse"), dict(cell_types=["cellC"]), dict(genes=5), dict(marks=["H2AZ"])):
        with pytest.raises(InputError):
            simulate(tmp_path / "toy", progress=False, **wrong)
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "toy").mkdir()
    with pytest.raises(InputError, match="exists"):
        simulate(tmp_path / "toy", genes=16, progress=False)


def test_only_requested_files_are_written(tmp_path):
    folder = simulate(
        tmp_path / "toy",
        genes=16,
        cell_types=["cellA"],
        marks=["H3K4me3"],
        tagalign=(),
        hic=False,
        progress=False,
    )
    assert sorted(path.name for path in folder.glob("*.yaml")) == ["cellA.yaml"]
    assert sorted(path.name for path in (folder / "cellA").iterdir()) == ["H3K4me3.bigWig", "contacts.tsv.gz"]
    assert not (folder / "orthologs.tsv").exists()


@pytest.mark.slow
def test_human_scale_has_human_chromosomes(tmp_path):
    sparse = replace(HUMAN_RULES, background=0.003)
    folder = simulate(
        tmp_path / "human",
        genes=600,
        scale="human",
        marks=["H3K4me3", "H3K27ac"],
        rules=sparse,
        progress=False,
    )
    assert read_chrom_sizes(folder / "genomes/human.chrom.sizes") == hg19_sizes()
    build_store(folder / "cellA.yaml", tmp_path / "human.h5", progress=False)
    assert len(Store(tmp_path / "human.h5").genes) == 600
    opened = cooler.Cooler(f"{folder}/cellA/hic.mcool::/resolutions/1000000")
    assert opened.chromsizes.to_dict() == hg19_sizes()


@pytest.mark.slow
def test_cooltools_recovers_the_planted_compartments(tmp_path):
    cooltools = pytest.importorskip("cooltools")
    folder = simulate(tmp_path / "toy", cell_types=["cellA"], marks=["H3K4me3"], progress=False)
    planted = pd.read_parquet(folder / "truth/compartments.parquet")
    for size in (50_000, 100_000):
        opened = cooler.Cooler(f"{folder}/cellA/hic.mcool::/resolutions/{size}")
        density = opened.bins()[["chrom", "start", "end"]][:]
        genes = truth(folder, "genes")
        density["genes"] = (
            genes.groupby([genes["chrom"], genes["tss"] // size * size])
            .size()
            .reindex(pd.MultiIndex.from_frame(density[["chrom", "start"]]), fill_value=0)
            .to_numpy(float)
        )
        _, found = cooltools.eigs_cis(opened, phasing_track=density, n_eigs=1)  # gene density sets the sign
        both = found.merge(planted[planted["bin_size"] == size], on=["chrom", "start", "end"])
        for _, here in both.groupby("chrom"):
            assert here["E1"].corr(here["compartment"]) > 0.9


@pytest.mark.slow
def test_the_toy_is_neither_too_easy_nor_too_hard(tmp_path):
    rows = []
    for seed in range(5):
        folder = simulate(tmp_path / f"toy{seed}", seed=seed, cell_types=["cellA"], hic=False, progress=False)
        build_store(folder / "cellA.yaml", tmp_path / f"{seed}.h5", progress=False)
        data = GeneDataset(Store(tmp_path / f"{seed}.h5"))
        genes = truth(folder, "genes").set_index("gene_id").loc[data.genes["gene_id"]]
        label, fold = data.genes["label"].to_numpy(), data.genes["fold"].to_numpy()
        means, distal = promoter_features(data), pcre_features(data)
        logistic, trees = SHALLOW["classification"].values()
        shuffled = np.random.default_rng(seed).permutation(label)
        rows.append(
            {
                "means": roc_auc_score(label, out_of_fold(logistic, means, label, fold)),
                "parts": roc_auc_score(
                    label, out_of_fold(logistic, promoter_features(data, 20), label, fold)
                ),
                "trees": roc_auc_score(label, out_of_fold(trees, means, label, fold)),
                "trees with pCREs": roc_auc_score(
                    label, out_of_fold(trees, np.c_[means, distal], label, fold)
                ),
                "shuffled": roc_auc_score(shuffled, out_of_fold(logistic, means, shuffled, fold)),
                "truth": roc_auc_score(label, genes["log2_expected"]),
            }
        )
    scores = pd.DataFrame(rows)
    print(scores.round(3))
    assert scores[["means", "parts"]].stack().between(0.75, 0.90).all()
    assert scores["truth"].between(0.93, 0.98).all()
    gain = scores["trees with pCREs"] - scores["trees"]
    assert gain.min() > 0.03 and gain.mean() > 3 * gain.std()
    standard_error = np.sqrt((1000 + 1) / (12 * 500 * 500))  # of an AUC of 0.5 (Mann-Whitney)
    assert (scores["shuffled"] - 0.5).abs().max() < 3 * standard_error
