"""Every manifest of the repository is valid, agrees with published facts, and can be fetched and built."""

import csv
import gzip
import hashlib
import json
import pickle
import random
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import TINY, chromoformer, succeed
from pydantic import ValidationError
from random_data import MARKS, make_data
from servers import Served, serving
from test_fetch import QUICK, stores_agree

from chromoformer.data.build import build_store
from chromoformer.data.channels import channel_beside
from chromoformer.data.consistency import check_manifest_of, how_read
from chromoformer.data.fetch import disk_needed, fetch, fetch_plan
from chromoformer.data.manifest import (
    Channel,
    Contacts,
    Manifest,
    _Facts,
    files_of,
    git_blob_sha1,
    read_manifest,
    source_files,
    track_files,
)
from chromoformer.data.store import PUBLISHED_MARKS, Store
from chromoformer.errors import InputError

FOLDER = Path(__file__).resolve().parents[1] / "data_manifests"
MANIFESTS = sorted(FOLDER.rglob("*.yaml"))
TISSUES = {
    "E003": "H1",
    "E004": "ME",
    "E005": "TB",
    "E006": "MSC",
    "E007": "NPC",
    "E016": "H1",
    "E066": "LI11",
    "E087": "PA",
    "E114": "LG",
    "E116": "GM",
    "E118": "LI11",
}
READS = "https://egg2.wustl.edu/roadmap/data/byFileType/alignments/consolidated/{}-{}.tagAlign.gz"
PICKLES = "https://dohlee-bioinfo.sgp1.digitaloceanspaces.com/chromoformer-data/"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_every_manifest_is_valid(path):
    manifest = read_manifest(path)
    assert manifest.name and manifest.channels
    table = fetch_plan(path, ask=False)
    assert table["file"].is_unique and set(table["state"]) <= {
        "here",
        "begun",
        "to fetch",
        "made from reads",
        "to provide",
    }


def test_every_promised_manifest_exists():
    names = {path.stem for path in MANIFESTS}
    assert (
        set(TISSUES) | {"mESC", "E116.ctcf", "E116.compartments", "toy", "e003_demo", "gm12878_10kb"} <= names
    )
    assert len(list((FOLDER / "templates").glob("*.yaml"))) >= 3


CELLS = {"GM12878": "E116", "K562": "E123", "HeLa-S3": "E117"}


@pytest.mark.parametrize("cell", CELLS)
def test_manifests_of_encode_cells_name_the_public_files(cell, real_data):
    manifest = read_manifest(FOLDER / f"encode_{cell}.yaml")
    assert [channel.name for channel in manifest.channels] == list(PUBLISHED_MARKS)
    assert manifest.expression.column == CELLS[cell] and manifest.window == 40_000
    public = pd.read_csv(real_data / "cells" / "sources.tsv", sep="\t").set_index("file")
    used = [*manifest.channels, manifest.contacts, manifest.contacts.otherwise, *manifest.extra.values()]
    names = set()
    for source in used:
        file = str(Path(source.path).relative_to(FOLDER / "cells"))
        names.add(file)
        row = public.loc[file]
        assert (source.url, source.size, source.sha256) == (row["url"], row["bytes"], row["sha256"])
    assert names == {name for name in public.index if name.startswith(f"{cell}/")}


@pytest.mark.parametrize("name", ["E116", "gm12878_10kb_local", *(f"encode_{cell}" for cell in CELLS)])
def test_ctcf_is_found_next_to_the_manifest_of_its_cell_type(name):
    assert channel_beside(FOLDER / f"{name}.yaml", "CTCF").name == "CTCF"
    plain, more = (read_manifest(FOLDER / f"{name}{kind}.yaml") for kind in ("", ".ctcf"))
    assert more.channels[:-1] == plain.channels and more.contacts == plain.contacts


@pytest.mark.parametrize("cell", TISSUES)
def test_manifests_of_the_paper_agree_with_the_publication(cell):
    manifest = read_manifest(FOLDER / f"{cell}.yaml")
    assert (manifest.name, manifest.genome, manifest.window, manifest.bin_sizes) == (
        cell,
        "hg19",
        40_000,
        [2000, 500, 100],
    )
    assert tuple(channel.name for channel in manifest.channels) == PUBLISHED_MARKS
    for channel in manifest.channels:
        assert (
            channel.raw
            and channel.raw.kind == "tagalign"
            and channel.raw.url == READS.format(cell, channel.name)
        )
    assert manifest.expression and manifest.expression.column == cell
    assert (
        manifest.expression.url
        == "https://egg2.wustl.edu/roadmap/data/byDataType/rna/expression/57epigenomes.RPKM.pc.gz"
    )
    contacts = manifest.contacts
    assert (contacts.kind, contacts.min_score, contacts.top, contacts.max_length) == (
        "pickles",
        1.5,
        8,
        40_000,
    )
    assert contacts.url == {
        kind: f"{PICKLES}{TISSUES[cell]}_{kind}.pickle" for kind in ("frag2neighbors", "pair2score")
    }
    assert manifest.folds is None and not manifest.leave_out


def test_the_expression_matrix_has_a_column_for_each_cell_type(real_data):
    with gzip.open(real_data / "57epigenomes.RPKM.pc.gz", "rt") as lines:
        assert set(TISSUES) <= set(lines.readline().split())


def test_cell_types_share_their_common_files():
    plans = pd.concat([fetch_plan(FOLDER / f"{cell}.yaml", ask=False) for cell in TISSUES])
    assert (plans.groupby("file")["url"].nunique(dropna=False) == 1).all(), "each path has one source"
    assert (
        plans["file"].nunique() == 11 * 14 + 3 + 2 * 9
    )  # reads and tracks; genome, annotation, RPKM; two pickles a tissue
    disk = disk_needed(fetch_plan(FOLDER / "E003.yaml", ask=False))
    assert disk["peak, reads dropped"] < disk["peak, reads kept"] < 4.2e9, "as stated by `fetch --help`"


def test_files_without_a_known_source_have_a_note_for_the_user():
    for name, wanted in (("mESC", 9), ("E116.ctcf", 1), ("E116.compartments", 1)):
        missing = fetch_plan(FOLDER / f"{name}.yaml", ask=False).query("state == 'to provide'")
        assert len(missing) == wanted
        sources = read_manifest(FOLDER / f"{name}.yaml")
        for source in [*sources.channels, sources.expression, sources.contacts, *sources.extra.values()]:
            if source and source.url is None and getattr(source, "raw", None) is None:
                assert source.note and "not known" in source.note


def test_the_toy_manifest_equals_the_one_that_simulate_writes(toy):
    shipped, written = read_manifest(FOLDER / "toy.yaml", toy), read_manifest(toy / "cellA.yaml")
    assert shipped.model_copy(update={"licence": None}) == written


def test_lists_of_files_agree_with_the_public_sources(real_data):
    with open(real_data / "public_sources.tsv") as lines:
        public = {row["url"]: row for row in csv.DictReader(lines, delimiter="\t")}
    demo, counts = read_manifest(FOLDER / "e003_demo.yaml"), read_manifest(FOLDER / "gm12878_10kb.yaml")
    files = source_files("regions", demo.channels[0]) + source_files("annotation", demo.annotation)
    files += [file for channel in counts.channels for file in source_files(channel.name, channel.raw)]
    weights = [file for key in ("classifier", "regressor") for file in source_files(key, demo.extra[key])]
    assert {file.url for file in files + weights} == set(public) and len(files) == 789
    for file in files:
        known = public[str(file.url)]
        assert (file.sha256, file.size) == (known["sha256"], int(known["bytes"]))
    assert [file.git_sha1 for file in weights] == [public[str(file.url)]["git_blob_sha1"] for file in weights]


@pytest.mark.parametrize(
    "change, says",
    [
        ("window: 40001", ["bin_sizes"]),
        ("extras: {}", ["extras", "spelling"]),
        (
            "channels: [{name: a, kind: bigwig, path: [a, b], sha256: ['%s']}]" % ("a" * 64),
            ["channels.0", "1 given for 2 paths"],
        ),
        ("channels: [{name: a, kind: bigwig, path: a, sha256: xyz}]", ["channels.0", "64 hexadecimal"]),
        ("channels: [{name: a, kind: bigwig, path: a, url: 'file:///a'}]", ["channels.0", "http"]),
        ("channels: [{name: a, kind: bam, path: a, raw: {kind: bam, path: b}}]", ["raw"]),
        ("channels: [{name: a, kind: regions, path: a}]", ["metadata"]),
        ("channels: [{name: 'a,b', kind: bigwig, path: a}]", ["channels.0.name", "'a,b'", "without commas"]),
        ("channels: [{name: 'a ', kind: bigwig, path: a}]", ["channels.0.name", "'a '", "blanks"]),
        ("channels: [{name: '', kind: bigwig, path: a}]", ["channels.0.name", "''"]),
        ("name: ''", ["name", "at least 1 character"]),
        (
            "channels: [{name: a, kind: regions, path: a}, {name: b, kind: bigwig, path: b}]",
            ["share one path"],
        ),
        (
            "channels: [{name: a, kind: bigwig, path: a, files: none.tsv}]",
            ["none.tsv", "next to the manifest"],
        ),
        ("channels: [{name: a, kind: bigwig, path: a, files: odd.tsv}]", ["odd.tsv", "column path"]),
        ("channels: [{name: a, kind: bigwig, path: a, files: other.tsv}]", ["other.tsv", "source a"]),
    ],
)
def test_errors_name_file_key_and_fix(tmp_path, change, says):
    key = change.split(":")[0]
    content = {
        "name": "x",
        "genome": "x",
        "chrom_sizes": {"path": "x"},
        "annotation": {"kind": "gtf", "path": "x"},
        "channels": [{"name": "a", "kind": "bigwig", "path": "a"}],
    }
    content.pop(key, None)
    (tmp_path / "odd.tsv").write_text("file\tsize\na\t1\n")
    (tmp_path / "other.tsv").write_text("source\tpath\nb\tb.bw\n")
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content) + change)
    with pytest.raises(InputError) as error:
        read_manifest(tmp_path / "x.yaml")
    assert all(text in str(error.value) for text in [str(tmp_path), "Fix", *says]), error.value


FILES = {"pickles": ["a", "b"], "pairs": "a", "bedpe": "a", "cool": "a", "ctcf": {"sites": "a.bed"}}
OTHER_VALUES = {  # of each option of contacts: a value that is not its default, and the kinds that read it
    "score": ("o", "bedpe"),
    "resolution": (5000, "bedpe cool activity distance ctcf"),
    "balance": ("KR", "cool"),
    "divisive": (True, "cool"),
    "transform": ("log1p", "cool"),
    "of": ([{"kind": "pairs", "path": "a"}], "average"),
    "otherwise": ({"kind": "distance"}, "pickles pairs bedpe cool average"),
    "marks": (["M"], "activity distance ctcf"),
    "exponent": (2.0, "activity distance ctcf"),
    "max_distance": (500_000, "pickles pairs bedpe cool average activity distance ctcf"),
    "width": (2000, "activity distance ctcf"),
    "enrichment": (2.0, "activity distance ctcf"),
    "clear_of_tss": (100, "activity distance ctcf"),
    "motif": ("CTCF", "activity distance ctcf"),
    "p_value": (1e-6, "activity distance ctcf"),
    "insulation": (0.5, "ctcf"),
    "gain": (1.5, "ctcf"),
    "min_score": (3.0, "pickles pairs bedpe cool average activity distance ctcf"),
    "top": (3, "pickles pairs bedpe cool average activity distance ctcf"),
    "max_length": (9000, "pickles pairs bedpe cool average activity distance ctcf"),
    "tss_distance": (500, "pickles pairs bedpe cool average"),
    "min_distance": (30_000, "pickles pairs bedpe cool average activity distance ctcf"),
}


def test_every_option_of_contacts_is_listed_here():
    assert set(Contacts.model_fields) - set(_Facts.model_fields) - {"kind", "path"} == set(OTHER_VALUES)


@pytest.mark.parametrize("option", OTHER_VALUES)
@pytest.mark.parametrize(
    "kind", ["pickles", "pairs", "bedpe", "cool", "none", "average", "activity", "distance", "ctcf"]
)
def test_contacts_accept_an_option_only_if_their_kind_reads_it(kind, option):
    value, kinds = OTHER_VALUES[option]
    content = {"kind": kind, option: value} | ({"path": FILES[kind]} if kind in FILES else {})
    if option in ("motif", "p_value") and kind in kinds.split():
        content["path"] = {"sequence": "a.fa", "matrix": "a.jaspar"}
    if kind == "average":
        content["of"] = [{"kind": "pairs", "path": "a"}]
    if kind in kinds.split():
        assert getattr(Contacts(**content), option)
    else:
        with pytest.raises(ValidationError, match=option):
            Contacts(**content)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"kind": "cool", "path": "a", "balance": False, "divisive": False}, "divisive: raw counts"),
        (
            {"kind": "cool", "path": "a", "max_distance": 9000},
            "max_distance: 9000 bp is not above min_distance",
        ),
        ({"kind": "activity", "max_distance": None}, "max_distance: contacts of kind activity need a number"),
        ({"kind": "activity", "path": "a", "enrichment": 2.0}, "enrichment: the elements of a file"),
        ({"kind": "distance", "path": "a", "marks": ["M"]}, "marks: the elements of a file"),
        ({"kind": "distance", "path": "a", "resolution": 100}, "resolution: the elements of a file"),
        (
            {
                "kind": "average",
                "of": [{"kind": "pairs", "path": "a", "otherwise": {"kind": "distance"}}],
            },
            "otherwise applies to the average",
        ),
    ],
)
def test_an_option_that_another_one_replaces_is_refused(content, says):
    with pytest.raises(ValidationError, match=says):
        Contacts(**content)


def test_maps_are_observed_over_expected_within_two_megabases_unless_the_manifest_says_otherwise():
    distances = ("min_distance", "max_distance")
    cool = {"kind": "cool", "path": "a"}
    mean = Contacts(kind="average", of=[cool, {"kind": "pairs", "path": "b"}])
    for entry in (Contacts(**cool), mean):
        assert [getattr(entry, name) for name in distances] == [20_000, 2_000_000]
        assert Contacts(**entry.model_dump()) == entry
    assert Contacts(kind="average", of=[Contacts(**cool), Contacts(kind="pairs", path="b")]) == mean
    assert Contacts(**cool).transform == mean.of[0].transform == "observed_over_expected"
    assert mean.of[1].transform == "none" and Contacts(**cool, transform="none").transform == "none"
    free = Contacts(**cool, min_distance=0, max_distance=None)
    assert [getattr(free, name) for name in distances] == [0, None]
    bedpe = Contacts(kind="bedpe", path="a")
    assert [getattr(bedpe, name) for name in distances] == [0, None]
    with pytest.raises(ValidationError, match="max_distance applies to the average"):
        Contacts(kind="average", of=[cool | {"max_distance": 50_000}])
    for wrong in ({"of": 5}, {"of": "cool"}, {"kind": ["cool"]}):
        with pytest.raises(ValidationError):
            Contacts(**{"kind": "average"} | wrong)


# --- real data and real formats, from a local server ---


def copied(name: str, folder: Path, address: str, **replaced: str) -> Path:
    "A copy of a manifest whose sources are on a local server, under host and path of the real ones."
    folder.mkdir(exist_ok=True)
    for table in FOLDER.glob("*.files.tsv"):
        shutil.copy(table, folder)
    text = (FOLDER / f"{name}.yaml").read_text().replace("https://", f"{address}/")
    for old, new in replaced.values():
        assert old in text
        text = text.replace(old, new)
    (folder / f"{name}.yaml").write_text(text)
    return folder / f"{name}.yaml"


def served_at(url: str) -> str:
    return "/" + str(url).removeprefix("https://")


def test_the_published_demo_from_fetch_to_predictions(real_data, demo_regions, demo_store, tmp_path):
    "Small random checkpoints replace those of the authors; the published predictions are the real table."
    manifest = read_manifest(FOLDER / "e003_demo.yaml")
    demo = real_data / "e003_demo"
    content = {
        file.url: (demo_regions / file.path.name).read_bytes()
        for file in source_files("x", manifest.channels[0])
    }
    content |= {
        manifest.annotation.url: (demo / "demo_meta.csv").read_bytes(),
        manifest.chrom_sizes.url: (real_data / "hg19.chrom.sizes").read_bytes(),
        manifest.extra["classifier"].url: (demo / "reference_small_clf.pt").read_bytes(),
        manifest.extra["regressor"].url: (demo / "reference_small_reg.pt").read_bytes(),
        manifest.extra["published_predictions"].url: (demo / "published_predictions.csv").read_bytes(),
    }
    files = {served_at(url): Served(data) for url, data in content.items()}
    hashes = {
        kind: (manifest.extra[key].git_sha1, git_blob_sha1(demo / f"reference_small_{kind}.pt"))
        for kind, key in (("clf", "classifier"), ("reg", "regressor"))
    }
    with serving(files) as address:
        path = copied("e003_demo", tmp_path / "manifests", address, **hashes)
        assert "683 downloaded" in succeed("fetch", path).out
    assert set(json.loads(path.with_suffix(".lock.json").read_text())["files"]) == {
        "hg19/hg19.chrom.sizes",
        "e003_demo/classifier.pt",
        "e003_demo/regressor.pt",
        "e003_demo/demo_meta.predicted.csv",
    }
    succeed("build", path, "--out", tmp_path / "e003.h5")
    stores_agree(tmp_path / "e003.h5", demo_store)
    assert len(Store(tmp_path / "e003.h5").genes) == 100
    published = pd.read_csv(path.parent / "e003_demo" / "demo_meta.predicted.csv")
    for kind, key in (("clf", "classifier"), ("reg", "regressor")):
        succeed(
            "import-weights", path.parent / "e003_demo" / f"{key}.pt", "--out", tmp_path / key, "--fold", 1
        )
        succeed("predict", tmp_path / key, tmp_path / "e003.h5", "--out", tmp_path / f"{key}.csv")
        ours, reference = pd.read_csv(tmp_path / f"{key}.csv"), np.load(demo / f"reference_small_{kind}.npz")
        assert ours["held_out"].all() and set(ours["gene_id"]) == set(published["gene_id"])
        outputs = (
            ours.set_index("gene_id")
            .loc[published["gene_id"], [name for name in ours if name.startswith("output_")]]
            .to_numpy()
        )
        expected = next(reference[name] for name in reference if reference[name].shape == outputs.shape)
        assert np.allclose(outputs, expected, atol=1e-4), "each row of their table has one row in ours"
    array = next((path.parent / "e003_demo" / "demo_data").iterdir())
    whole = array.read_bytes()
    array.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    for command in (("fetch", path, "--offline"), ("build", path, "--out", tmp_path / "again.h5")):
        result = chromoformer(*command)
        assert result.status == 2 and all(
            text in result.err for text in (str(array), hashlib.sha256(whole).hexdigest(), "found")
        )


def looplist(bedpe: bytes) -> bytes:
    "Loops as HiCCUPS lists them: a header, chromosomes without chr, the observed count in column 8."
    lines = [
        "chr1\tx1\tx2\tchr2\ty1\ty2\tcolor\to\te_bl\te_donut\te_h\te_v\tfdr_bl\tfdr_donut\tfdr_h\tfdr_v\tnum_collapsed\tcentroid1\tcentroid2\tradius"
    ]
    for line in gzip.decompress(bedpe).decode().splitlines():
        a, b, c, d, e, f, _, count = line.split("\t")
        lines.append(
            "\t".join([a[3:], b, c, d[3:], e, f, "0,255,255", count, *["1.0"] * 8, "1", b, e, "10000"])
        )
    return gzip.compress("\n".join(lines).encode())


@pytest.mark.slow
def test_gm12878_from_fetch_to_store(real_data, tmp_path):
    "The 110 files of counts are written from the tracks; checksums show that they equal the public files."
    import pyBigWig

    manifest, local = (
        read_manifest(FOLDER / "gm12878_10kb.yaml"),
        read_manifest(FOLDER / "gm12878_10kb_local.yaml", real_data),
    )
    content = {
        manifest.chrom_sizes.url: (real_data / "hg19.chrom.sizes").read_bytes(),
        manifest.expression.url: (real_data / "57epigenomes.RPKM.pc.gz").read_bytes(),
        manifest.annotation.url: (real_data / "gencode.v10.genes.hg19.gtf.gz").read_bytes(),
        manifest.contacts.url: looplist((real_data / "gm12878" / "GM12878.loops.bedpe.gz").read_bytes()),
    }
    for channel, track in zip(manifest.channels, local.channels):
        with pyBigWig.open(track.path) as bigwig:
            for file in source_files(channel.name, channel.raw):
                chrom = file.path.name.split("_")[0]
                content[file.url] = "".join(
                    f"{chrom}\t{a}\t{b}\t{value:.0f}\n" for a, b, value in bigwig.intervals(chrom)
                ).encode()
    with serving({served_at(url): Served(data) for url, data in content.items()}) as address:
        path = copied("gm12878_10kb", tmp_path / "manifests", address)
        assert "5 tracks made, 110 files of reads deleted" in succeed("fetch", path, "--drop-reads").out
    for name in ("gm12878_10kb", "gm12878_10kb_local"):
        source = path if name == "gm12878_10kb" else FOLDER / f"{name}.yaml"
        build_store(
            source, tmp_path / f"{name}.h5", data=None if source is path else real_data, progress=False
        )
    stores_agree(tmp_path / "gm12878_10kb.h5", tmp_path / "gm12878_10kb_local.h5")
    assert len(Store(tmp_path / "gm12878_10kb.h5").genes) == 18_915


CHROMS = {"chr1": 300_000, "chr7": 300_000, "chr2": 300_000, "chr9": 300_000}  # one for each fold


def small_sources(cells: dict[str, str]) -> dict[str, bytes]:
    "Files for the manifests of the paper, by url: few genes and reads, in the right formats."
    chance = random.Random(0)
    manifest = read_manifest(FOLDER / "E003.yaml")
    genes = [
        (f"ENSG{number:011}", chrom, at)
        for number, (chrom, at) in enumerate(
            (chrom, at) for chrom in CHROMS for at in range(30_000, 270_001, 40_000)
        )
    ]
    gtf = "".join(
        f'{chrom}\tHAVANA\t{kind}\t{at + 1}\t{at + 9000}\t.\t+\t.\tgene_id "{gene}.1"; '
        f'transcript_id "{gene}.1"; gene_type "protein_coding"; '
        f'gene_name "{gene}"; transcript_type "protein_coding";\n'
        for gene, chrom, at in genes
        for kind in ("gene", "transcript")
    )
    rpkm = (
        "\t".join(["gene_id", *TISSUES])
        + "\n"
        + "".join(
            "\t".join([gene, *(f"{chance.random() * 9:.3f}" for _ in TISSUES)]) + "\t\n"
            for gene, _, _ in genes
        )
    )
    found = {
        manifest.chrom_sizes.url: "".join(f"{name}\t{size}\n" for name, size in CHROMS.items()).encode(),
        manifest.annotation.url: gzip.compress(gtf.encode()),
        manifest.expression.url: gzip.compress(rpkm.encode()),
    }
    for tissue in set(cells.values()):
        neighbours: dict[str, set] = {}
        scores = {}
        for _, chrom, at in genes:
            promoter, other = f"{chrom}:{at - 2000}-{at + 3000}", f"{chrom}:{at + 8000}-{at + 11_000}"
            for a, b in ((promoter, other), (other, promoter)):
                neighbours.setdefault(a, set()).add(b)
            scores[promoter, other] = scores[other, promoter] = np.float64(1.6 + chance.random())
        found |= {
            f"{PICKLES}{tissue}_frag2neighbors.pickle": pickle.dumps(neighbours),
            f"{PICKLES}{tissue}_pair2score.pickle": pickle.dumps(scores),
        }
    for cell in cells:
        for mark in PUBLISHED_MARKS:
            reads = sorted((chance.choice(list(CHROMS)), chance.randrange(299_900)) for _ in range(2000))
            found[READS.format(cell, mark)] = gzip.compress(
                "".join(f"{c}\t{at}\t{at + 36}\tN\t1000\t+\n" for c, at in reads).encode()
            )
    return found


def test_cell_types_fetched_from_a_local_server_share_files_and_build(tmp_path):
    "Two cell types share contacts, genome and expression; the reads of one of them are dropped."
    cells = {"E003": "H1", "E016": "H1"}
    files = {served_at(url): Served(data) for url, data in small_sources(cells).items()}
    with serving(files) as address:
        for cell in cells:
            path = copied(cell, tmp_path / "manifests", address)
            done = fetch(path, keep_reads=cell == "E016", patience=QUICK, progress=False)
            assert done["made"] == 7 and done["downloaded"] == (12 if cell == "E003" else 7)
            build_store(path, tmp_path / f"{cell}.h5", progress=False)
            store = Store(tmp_path / f"{cell}.h5")
            assert store.channels == PUBLISHED_MARKS and len(store.genes) == 28 and len(store.pcres) == 28
            assert set(store.genes["fold"]) == {1, 2, 3, 4} and store.signal().sum() > 0
    assert all(len(served.asked) == 1 for served in files.values()), "nothing is fetched twice"
    left = sorted(path.name for path in (tmp_path / "manifests" / "roadmap" / "reads").iterdir())
    assert left == sorted(f"E016-{mark}.tagAlign.gz" for mark in PUBLISHED_MARKS)
    for track in (tmp_path / "manifests" / "roadmap" / "tracks").glob("E016*.bigWig"):
        track.unlink()
    build_store(path, tmp_path / "from_reads.h5", progress=False)  # the tracks are made from the reads
    stores_agree(tmp_path / "from_reads.h5", tmp_path / "E016.h5")


@pytest.mark.slow
def test_the_study_of_the_paper_runs_from_fetch_to_training_against_a_local_server(tmp_path, monkeypatch):
    "Two cell types, one fold, one task and a tiny network. In the first run, the server lacks some reads."
    monkeypatch.delenv("CHROMOFORMER_DATA", raising=False)
    cells, study = (
        {"E003": "H1", "E016": "H1"},
        yaml.safe_load((FOLDER.parent / "workflow" / "studies" / "paper.yaml").read_text()),
    )
    study |= yaml.safe_load(TINY) | {
        "cell_types": {cell: f"manifests/{cell}.yaml" for cell in cells},
        "folds": [1],
        "tasks": ["classification"],
        "analyses": {"train": study["analyses"]["train"]},
    }
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(study))
    files = {served_at(url): Served(data) for url, data in small_sources(cells).items()}
    late = served_at(READS.format("E016", "H3K9ac"))
    offered = {path: served for path, served in files.items() if path != late}
    out, run = tmp_path / "paper", ["run", tmp_path / "paper.yaml", "--cores", 2, "--out", tmp_path / "paper"]
    with serving(offered) as address:
        for cell in cells:
            copied(cell, tmp_path / "manifests", address)
        result = chromoformer(*run)
        assert (
            result.status == 1
            and "E016-H3K9ac.tagAlign.gz" in result.out + result.err
            and "404" in result.out + result.err
        )
        assert (out / "train/classification/E003/fold1/metrics.json").exists() and not (
            out / "stores/E016.h5"
        ).exists()
        offered[late] = files[late]
        succeed(*run)
    assert {len(served.asked) for served in files.values()} == {1}, (
        "each is fetched once, for both cell types together"
    )
    assert (out / "train/classification/E016/fold1/metrics.json").exists()
    assert "Nothing to do" in succeed(*run).out and "all as recorded" in succeed("verify", out).out, (
        "and no server is asked"
    )


@pytest.mark.skipif(
    shutil.which("awk") is None, reason="awk is missing: the recipes of the templates are not tested"
)
def test_the_recipes_of_the_templates_produce_contacts(tmp_path):
    "awk lines as the templates print them, on tables as CHiCAGO and FitHiChIP write them."
    from chromoformer.data.contacts import read_contacts

    tables = {
        "my_cells.ibed": "bait_chr\tbait_start\tbait_end\tbait_name\t"
        "otherEnd_chr\totherEnd_start\totherEnd_end\totherEnd_name\tN_reads\tscore\n"
        "chr1\t1000\t5000\tA\tchr1\t9000\t12000\t.\t40\t7.5\n",
        "loops.bed": "chr1\ts1\te1\tchr2\ts2\te2\tcc\tQ-Value_Bias\n"
        "chr1\t1000\t5000\tchr1\t9000\t12000\t7\t0.001\n",
    }
    for name, text in tables.items():
        (tmp_path / name).write_text(text)
    for template, kind, out, score in (
        ("reads_chicago", "bedpe", "chicago.bedpe", 7.5),
        ("encode_hg38_hichip", "pairs", "pairs.tsv", 3.0),
    ):
        lines = (FOLDER / "templates" / f"{template}.yaml").read_text().splitlines()
        first = next(number for number, line in enumerate(lines) if line.startswith("#   awk"))
        last = next(number for number in range(first, len(lines)) if f"> {out}" in lines[number])
        recipe = "\n".join(line.lstrip("# ") for line in lines[first : last + 1])
        subprocess.run(recipe, shell=True, check=True, cwd=tmp_path)
        contacts = read_contacts(kind, tmp_path / out, {"chr1": 20_000})
        assert contacts["score"].tolist() == [score] and files_of(
            read_manifest(FOLDER / "templates" / f"{template}.yaml").contacts.path
        )[0].endswith(out)


def test_the_default_of_max_length_is_limited_by_a_narrow_window(tmp_path):
    entry = {
        "name": "x",
        "genome": "g",
        "chrom_sizes": {"path": "s"},
        "channels": [{"name": "a", "kind": "bigwig", "path": "a.bw"}],
        "annotation": {"kind": "table", "path": "g.tsv"},
        "contacts": {"kind": "bedpe", "path": "l.bedpe"},
        "window": 20_000,
        "bin_sizes": [100],
    }
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(entry))
    assert read_manifest(tmp_path / "m.yaml").contacts.max_length == 20_000
    (tmp_path / "m.yaml").write_text(
        yaml.safe_dump(entry | {"contacts": entry["contacts"] | {"max_length": 40_000}})
    )
    with pytest.raises(InputError, match="longer than the window"):
        read_manifest(tmp_path / "m.yaml")


@pytest.mark.parametrize("write", [str, float])
def test_a_number_that_is_written_in_another_way_is_read_as_the_same_number(write):
    def manifest(number):
        return Manifest(
            name="x",
            genome="g",
            chrom_sizes={"path": "s", "size": number(12)},
            channels=[{"name": "a", "kind": "peaks", "path": "a", "value": number(1)}],
            annotation={"kind": "table", "path": "g"},
            expression={"kind": "table", "path": "e"},
            label={"above": number(3)},
            contacts={"kind": "bedpe", "path": "l", "top": number(4), "min_score": number(2)},
            window=number(4000),
            bin_sizes=[number(100)],
            whole_genes={"downstream": number(500)},
        )

    assert manifest(write) == manifest(int)
    assert manifest(write).contacts.max_length == 4000


def test_blank_lines_of_a_table_of_files_are_skipped(tmp_path):
    (tmp_path / "files.tsv").write_text("\n# a comment\npath\tsize\na.bed\t12\n  \t\nb.bed\t34\n \n")
    text = yaml.safe_dump(
        {
            "name": "x",
            "genome": "g",
            "chrom_sizes": {"path": "s"},
            "channels": [{"name": "a", "kind": "bed", "path": "reads", "files": "files.tsv"}],
            "annotation": {"kind": "table", "path": "g.tsv"},
        }
    )
    (tmp_path / "m.yaml").write_text(text)
    assert [file.size for file in track_files(read_manifest(tmp_path / "m.yaml").channels[0])] == [12, 34]


# --- the manifest of a store ---


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    "A data set whose first channel is peaks, the second two files of reads, and its store."
    data = make_data(
        tmp_path_factory.mktemp("of a store") / "data",
        3,
        tracks="bed",
        contacts="none",
        annotation="table",
        expression="table",
    )
    sizes = dict(line.split() for line in data.lines("chrom_sizes"))
    peaks = [
        f"{chrom}\t{start}\t{start + 900}\tp\t{100 + start % 7}\t.\t{2 + start % 5}\t9\t5\t75"
        for chrom, size in sizes.items()
        for start in range(1000, int(size) - 4000, 4000)
    ]
    (data.folder / "a.narrowPeak").write_text("".join(f"{peak}\n" for peak in peaks))
    reads = data.channel(1)["path"]
    (data.folder / "rep2.bed").write_text("".join(f"{line}\n" for line in data.lines(MARKS[1])[::2]))
    data.manifest["channels"][0] = {"name": MARKS[0], "kind": "peaks", "path": "a.narrowPeak"}
    data.manifest["channels"][1]["path"] = [reads, "rep2.bed"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        build_store(data.save(), data.folder / "s.h5", progress=False)
    return data


def changed(built, folder: Path, number: int, **changes) -> Manifest:
    "Return the manifest with another entry of a channel; the files stay where they are."
    content = yaml.safe_load(yaml.safe_dump(built.manifest))
    content["channels"][number] |= changes
    (folder / "changed.yaml").write_text(yaml.safe_dump(content))
    return read_manifest(folder / "changed.yaml", built.folder)


@pytest.mark.parametrize(
    "number, changes, says",
    [
        (0, {"value": 1}, "a.narrowPeak .* read with value: 1, but .* built with value: signalValue"),
        (0, {"value": "score"}, "read with value: score, but"),
        (0, {"kind": "bed"}, "read with kind: bed, but the store was built with kind: peaks"),
        (1, {"kind": "peaks"}, "read with kind: peaks, but the store was built with kind: bed"),
        (1, {"path": "rep2.bed"}, "has 1 file in the manifest .* built from 2"),
        (2, {"path": ["H3K4me1.bed", "rep2.bed"]}, "has 2 files in the manifest .* built from 1"),
        (0, {"value": "signalValue"}, None),
        (1, {"kind": "tagalign"}, None),
        (2, {}, None),
    ],
)
def test_a_manifest_that_reads_tracks_in_another_way_is_not_that_of_the_store(
    built, tmp_path, number, changes, says
):
    store, manifest = Store(built.folder / "s.h5"), changed(built, tmp_path, number, **changes)
    if says is None:
        check_manifest_of(store, manifest)
        return
    with pytest.raises(InputError, match=says) as error:
        check_manifest_of(store, manifest)
    assert error.value.file == store.path
    if "path" not in changes:
        for entry in store.inputs.values():  # as in stores of earlier versions
            entry.pop("read", None)
        check_manifest_of(store, manifest)


def test_a_store_of_raw_files_fits_the_manifest_before_and_after_their_track_is_made(built, tmp_path):
    raw = {"kind": "peaks", "path": "a.narrowPeak"}
    manifest = changed(built, tmp_path, 0, kind="bigwig", path="made.bigWig", raw=raw)
    store = Store(built.folder / "s.h5")
    check_manifest_of(store, manifest)
    other = changed(built, tmp_path, 0, kind="bigwig", path="made.bigWig", raw=raw | {"value": 1})
    with pytest.raises(InputError, match="read with value: 1"):
        check_manifest_of(store, other)
    changed(built, tmp_path, 0, kind="bigwig", path="made.bigWig", raw=raw)
    fetch(tmp_path / "changed.yaml", built.folder, offline=True, progress=False)
    check_manifest_of(store, manifest)
    with pytest.raises(InputError, match="made.bigWig .* is not the file a.narrowPeak"):
        check_manifest_of(store, other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        build_store(tmp_path / "changed.yaml", tmp_path / "made.h5", data=built.folder, progress=False)
    check_manifest_of(Store(tmp_path / "made.h5"), manifest)


def test_the_way_in_which_a_motif_is_read_depends_on_its_options():
    scan = {"sequence": "a.fa", "matrix": "m.jaspar"}
    one = Channel(name="CTCF", kind="motif", path=scan)
    ways = [
        how_read(one, "a.fa"),
        *(
            how_read(one.model_copy(update=change), "a.fa")
            for change in ({"value": 1}, {"strand": "+"}, {"p_value": 1e-6}, {"motif": "MA0139.1"})
        ),
    ]
    assert len({json.dumps(way) for way in ways}) == 5
    assert how_read(one, "a.fa") == how_read(one.model_copy(update={"value": "score"}), "a.fa")
    assert how_read(Channel(name="GC", kind="gc", path="a.fa"), "a.fa") == {"kind": "gc"}
