"""Downloads survive misbehaving servers and kills at random moments, and checksums are enforced."""

import gzip
import hashlib
import json
import multiprocessing
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
import yaml
from command_line import chromoformer, succeed
from servers import Served, serving

from chromoformer.data.bigwig import open_bigwig
from chromoformer.data.build import build_store
from chromoformer.data.download import Patience, download
from chromoformer.data.fetch import disk_needed, fetch, fetch_plan
from chromoformer.data.manifest import DataFile, git_blob_sha1, lock_file, read_lock
from chromoformer.errors import InputError
from chromoformer.provenance import sha256

QUICK = Patience(timeout=0.4, attempts=3, pause=0.01)
CONTENT = random.Random(0).randbytes(400_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def ask(folder: Path, served: Served, digest: str | None = DIGEST, size: int | None = None) -> Path:
    "Download the one file of a server."
    with serving({"/track.bw": served}) as address:
        file = DataFile("H3K4me3", folder / "track.bw", f"{address}/track.bw", size, digest)
        download(file, QUICK)
        return file.path


def ranges(served: Served) -> list[str | None]:
    return [asked.get("Range") for asked in served.asked]


@pytest.mark.parametrize("digest", [DIGEST, None], ids=["checksum known", "checksum not known"])
@pytest.mark.parametrize(
    "served",
    [
        Served(CONTENT),
        Served(CONTENT, most=150_000),
        Served(CONTENT, most=150_000, stall=2),
        Served(CONTENT, most=150_000, ranges=False, times=2),
        Served(CONTENT, status=[500, 503]),
        Served(CONTENT, status=[429], headers={"Retry-After": "0"}),
        Served(CONTENT, etag=None, most=150_000, times=1),
        Served(CONTENT, etag='W/"1"', most=150_000, times=1),
        Served(CONTENT, length=False),
        Served(CONTENT, status=[416], most=200_000),
    ],
    ids=[
        "well-behaved",
        "truncates",
        "stalls",
        "no ranges",
        "500",
        "429",
        "no ETag",
        "weak ETag",
        "no length",
        "416",
    ],
)
def test_a_download_survives_a_misbehaving_server(tmp_path, served, digest):
    served = Served(**{**vars(served), "asked": [], "status": list(served.status)})
    assert ask(tmp_path, served, digest).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["track.bw"], "nothing else is left"
    assert all(asked["Accept-Encoding"] == "identity" for asked in served.asked)


def test_an_interrupted_download_asks_only_for_the_rest(tmp_path):
    served = Served(CONTENT, most=150_000)
    ask(tmp_path, served)
    assert ranges(served) == [None, "bytes=150000-", "bytes=300000-"]
    assert served.asked[1]["If-Range"] == '"1"'


@pytest.mark.parametrize("hops", [301, 302, 307, 308])
def test_redirects_are_followed(tmp_path, hops):
    files = {"/end": Served(CONTENT, most=300_000)}
    with serving(files) as address:
        for hop in ("/begin", "/middle"):
            files[hop] = Served(
                b"",
                status=[hops] * 9,
                headers={"Location": f"{address}{'/middle' if hop == '/begin' else '/end'}"},
            )
        download(DataFile("x", tmp_path / "x", f"{address}/begin", sha256=DIGEST), QUICK)
    assert (tmp_path / "x").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "served, says",
    [
        (Served(b"", status=[404]), ["404", "check the url"]),
        (Served(b"", status=[403]), ["403"]),
        (Served(b"", status=[410]), ["410"]),
        (Served(b"", status=[500] * 9), ["500", "3 attempts in a row", "continues where"]),
        (Served(CONTENT, most=1000, stall=0, ranges=False), ["broke off", "attempts in a row"]),
        (Served(b"", status=[302] * 99, headers={"Location": "/track.bw"}), ["leads nowhere"]),
        (Served(b"", status=[302], headers={"Location": "gopher://127.0.0.1/track"}), ["leads nowhere"]),
    ],
    ids=["404", "403", "410", "500 every time", "never whole", "redirects in a circle", "redirect elsewhere"],
)
def test_an_impossible_download_is_explained(tmp_path, served, says):
    with pytest.raises(InputError) as error:
        ask(tmp_path, served)
    assert all(text in str(error.value) for text in [str(tmp_path / "track.bw"), *says]), error.value
    assert not (tmp_path / "track.bw").exists()


def test_a_web_page_instead_of_data_is_refused(tmp_path):
    with pytest.raises(InputError, match="web page"):
        ask(tmp_path, Served(b"<html>Log in</html>", kind="text/html; charset=utf-8"), None)
    assert not list(tmp_path.iterdir())


def test_a_missing_server_is_explained(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
        with pytest.raises(InputError, match="no answer.*refused"):
            download(DataFile("x", tmp_path / "x", url), QUICK)


def test_a_file_of_another_size_is_refused_before_the_download(tmp_path):
    with pytest.raises(InputError, match="size: expected 7, the server offers 400000"):
        ask(tmp_path, Served(CONTENT), None, size=7)


def begun(folder: Path, content: bytes, etag: str | None, url: str, total: int | None = None) -> None:
    "Write the part and the note that an earlier attempt leaves."
    (folder / "track.bw.part").write_bytes(content)
    (folder / "track.bw.part.json").write_text(
        json.dumps({"url": url, "total": total, "etag": etag, "modified": None})
    )


OLD = bytes(200_000)  # the beginning of another file


@pytest.mark.parametrize(
    "served",
    [Served(CONTENT, etag='"new"'), Served(CONTENT, etag='"new"', if_range=False)],
    ids=["If-Range known", "If-Range ignored"],
)
@pytest.mark.parametrize("digest", [DIGEST, None], ids=["checksum known", "checksum not known"])
def test_halves_of_two_files_are_never_joined(tmp_path, served, digest):
    served.asked.clear()
    with serving({"/track.bw": served}) as address:
        begun(tmp_path, OLD, '"old"', f"{address}/track.bw")
        download(DataFile("x", tmp_path / "track.bw", f"{address}/track.bw", sha256=digest), QUICK)
    assert (tmp_path / "track.bw").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "etag, url", [(None, None), ('"1"', "http://elsewhere/track.bw")], ids=["no validator", "another url"]
)
def test_a_part_of_unknown_origin_is_discarded(tmp_path, etag, url):
    with serving({"/track.bw": (served := Served(CONTENT, if_range=False))}) as address:
        begun(tmp_path, OLD, etag, url or f"{address}/track.bw")
        download(DataFile("x", tmp_path / "track.bw", f"{address}/track.bw"), QUICK)
    assert (tmp_path / "track.bw").read_bytes() == CONTENT and ranges(served) == [None]


def test_a_wrong_part_is_found_by_its_checksum_and_downloaded_again(tmp_path):
    with serving({"/track.bw": (served := Served(CONTENT, etag=None))}) as address:
        begun(tmp_path, OLD, None, f"{address}/track.bw")
        download(DataFile("x", tmp_path / "track.bw", f"{address}/track.bw", sha256=DIGEST), QUICK)
    assert (tmp_path / "track.bw").read_bytes() == CONTENT and ranges(served) == ["bytes=200000-", None]


@pytest.mark.parametrize(
    "content, asked",
    [(CONTENT, ["bytes=400000-"]), (CONTENT + b"more", ["bytes=400004-", None])],
    ids=["whole", "too long"],
)
def test_416_means_complete_or_start_again(tmp_path, content, asked):
    with serving({"/track.bw": (served := Served(CONTENT))}) as address:
        begun(tmp_path, content, '"1"', f"{address}/track.bw")
        download(DataFile("x", tmp_path / "track.bw", f"{address}/track.bw"), QUICK)
    assert (tmp_path / "track.bw").read_bytes() == CONTENT and ranges(served) == asked


def test_a_complete_part_needs_no_server(tmp_path):
    (tmp_path / "track.bw.part").write_bytes(CONTENT)
    found = download(
        DataFile("x", tmp_path / "track.bw", "http://127.0.0.1:9/track.bw", len(CONTENT), DIGEST), QUICK
    )
    assert found["sha256"] == DIGEST and (tmp_path / "track.bw").read_bytes() == CONTENT


def test_a_download_with_a_wrong_checksum_is_reported_and_not_kept(tmp_path):
    with pytest.raises(InputError) as error:
        ask(tmp_path, Served(CONTENT[:-1] + b"?"))
    assert all(
        text in str(error.value) for text in (str(tmp_path / "track.bw"), f"expected {DIGEST}", "found")
    )
    assert not list(tmp_path.iterdir())


def test_gits_hash_is_enforced(tmp_path):
    (tmp_path / "here").write_bytes(CONTENT)
    right = git_blob_sha1(tmp_path / "here")
    with serving({"/x": Served(CONTENT), "/y": Served(CONTENT + b"!")}) as address:
        download(DataFile("x", tmp_path / "x", f"{address}/x", git_sha1=right), QUICK)
        with pytest.raises(InputError, match=f"git_sha1: expected {right}"):
            download(DataFile("y", tmp_path / "y", f"{address}/y", git_sha1=right), QUICK)


def test_two_processes_do_not_write_one_file(tmp_path):
    hold = (
        "import filelock, sys, time; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); "
        "print('held', flush=True); time.sleep(30)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, tmp_path / "track.bw.part.lock"], stdout=subprocess.PIPE
    ) as other:
        try:
            assert other.stdout and other.stdout.readline() == b"held\n"
            with pytest.raises(InputError, match="another process"):
                ask(tmp_path, Served(CONTENT))
        finally:
            other.kill()
    assert (
        ask(tmp_path, Served(CONTENT)).read_bytes() == CONTENT
    )  # the lock ended with the process that held it
    assert [path.name for path in tmp_path.iterdir()] == ["track.bw"], "no lock is left"


def test_two_processes_that_begin_together_give_one_file(tmp_path):
    with serving({"/track.bw": (served := Served(CONTENT, slow=0.05))}) as address:
        code = (
            "import sys; from pathlib import Path; from chromoformer.data.download import download; "
            "from chromoformer.data.manifest import DataFile; from chromoformer.errors import InputError\n"
            "try: download(DataFile('x', Path(sys.argv[1]), sys.argv[2]))\n"
            "except InputError as error: print(error.problem)"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "track.bw"), f"{address}/track.bw"]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        said = [process.communicate()[0] for process in both]
    assert all(process.returncode == 0 for process in both)
    assert (tmp_path / "track.bw").read_bytes() == CONTENT and len(served.asked) <= 2
    assert set(said) <= {"", "another process is downloading this file\n"} and "" in said
    assert [path.name for path in tmp_path.iterdir()] == ["track.bw"]


def test_a_file_compressed_on_the_way_is_refused_and_a_gzip_file_is_kept_unchanged(tmp_path):
    zipped = gzip.compress(CONTENT)
    with serving(
        {
            "/t.bw": Served(zipped, more={"Content-Encoding": "gzip"}),
            "/t.gz": Served(zipped, more={"Content-Encoding": "x-gzip"}),
        }
    ) as address:
        with pytest.raises(InputError, match="compressed"):
            download(DataFile("x", tmp_path / "t.bw", f"{address}/t.bw"), QUICK)
        download(DataFile("x", tmp_path / "t.gz", f"{address}/t.gz"), QUICK)
    assert (tmp_path / "t.gz").read_bytes() == zipped


def test_a_doi_is_resolved_by_pooch_and_then_resumes(tmp_path):
    with (
        serving({"/7": (served := Served(CONTENT, most=150_000))}) as address,
        mock.patch("chromoformer.data.download.doi_to_repository") as repository,
    ):
        repository.return_value.download_url.return_value = f"{address}/7"
        download(DataFile("x", tmp_path / "x", "doi:10.6084/m9.figshare.1/model.pt", sha256=DIGEST), QUICK)
    repository.assert_called_with("10.6084/m9.figshare.1")
    repository.return_value.download_url.assert_called_with("model.pt")
    assert (tmp_path / "x").read_bytes() == CONTENT and ranges(served) == [
        None,
        "bytes=150000-",
        "bytes=300000-",
    ]


def test_ftp_goes_through_pooch_and_its_failure_is_explained(tmp_path):
    file = DataFile("x", tmp_path / "x", "ftp://127.0.0.1/x", sha256=DIGEST)
    with mock.patch("ftplib.FTP.connect", side_effect=ConnectionRefusedError(111, "refused")):
        with pytest.raises(InputError, match="ftp://.*could not be downloaded.*refused"):
            download(file, QUICK)
    assert not list(tmp_path.iterdir())
    with (
        mock.patch("ftplib.FTP.connect"),
        mock.patch("ftplib.FTP.login"),
        mock.patch("ftplib.FTP.quit"),
        mock.patch("ftplib.FTP.retrbinary") as sent,
    ):
        sent.side_effect = lambda _, write, **__: write(CONTENT)
        download(file, QUICK)
    assert file.path.read_bytes() == CONTENT


# --- manifests ---


@pytest.fixture
def served_toy(toy, tmp_path):
    "The toy on a server, and its manifest with urls instead of files; reads become tracks."
    content = yaml.safe_load((toy / "cellA.yaml").read_text())
    files = {
        f"/{path.relative_to(toy)}": Served(path.read_bytes()) for path in toy.rglob("*") if path.is_file()
    }
    with serving(files) as address:
        for entry in (
            content["chrom_sizes"],
            content["expression"],
            content["annotation"],
            content["contacts"],
            *content["channels"],
        ):
            entry["url"] = f"{address}/{entry['path']}"
        for entry in content["channels"]:
            if entry["kind"] == "tagalign":
                entry["raw"] = {key: entry.pop(key) for key in ("kind", "path", "url")}
                entry |= {"kind": "bigwig", "path": f"tracks/{entry['name']}.bigWig"}
        manifest = tmp_path / "toy" / "cellA.yaml"
        manifest.parent.mkdir()
        manifest.write_text(yaml.safe_dump(content, sort_keys=False))
        yield manifest, files, content


def stores_agree(one: Path, other: Path) -> None:
    import h5py
    import numpy as np

    with h5py.File(one) as a, h5py.File(other) as b:
        names: list[str] = []
        a.visit(names.append)
        for name in names:
            if isinstance(a[name], h5py.Dataset):
                assert np.array_equal(a[name][...], b[name][...], equal_nan=a[name].dtype.kind == "f"), name


def test_fetch_then_build_gives_the_store_of_the_files_themselves(served_toy, toy_store, tmp_path):
    manifest, _, content = served_toy
    said = succeed("fetch", manifest, "--drop-reads").out
    assert "11 downloaded" in said and "2 tracks made" in said and "2 files of reads deleted" in said
    assert not list(manifest.parent.rglob("*.part*")) and not list(manifest.parent.rglob("*.tagAlign.gz"))
    succeed("build", manifest, "--out", tmp_path / "cellA.h5", "--processes", 1)
    stores_agree(tmp_path / "cellA.h5", toy_store)
    lock = read_lock(manifest)
    assert set(lock) == {
        entry["path"]
        for entry in (
            content["chrom_sizes"],
            content["expression"],
            content["annotation"],
            content["contacts"],
        )
    } | {entry.get("raw", entry)["path"] for entry in content["channels"]}
    again = succeed("fetch", manifest).out
    assert "0 downloaded" in again and "0 tracks made" in again, (
        "reads that became tracks are not fetched again"
    )


def test_files_can_be_in_another_folder(served_toy, tmp_path):
    manifest, _, _ = served_toy
    fetch(manifest, tmp_path / "disk", patience=QUICK, progress=False)
    assert {path.name for path in manifest.parent.iterdir()} == {"cellA.yaml", "cellA.lock.json"}
    build_store(manifest, tmp_path / "cellA.h5", data=tmp_path / "disk", progress=False)
    with pytest.raises(InputError, match="chromoformer fetch"):
        build_store(manifest, tmp_path / "other.h5", progress=False)


def test_fetch_and_build_report_a_single_changed_byte_in_any_input(served_toy, tmp_path):
    manifest, _, _ = served_toy
    fetch(manifest, patience=QUICK, progress=False)
    files = [
        path
        for path in manifest.parent.rglob("*")
        if path.is_file() and path.suffix not in (".yaml", ".json")
    ]
    assert len(files) == 13  # 11 downloaded, 2 made
    for path in files:
        whole = path.read_bytes()
        at = random.Random(path.name).randrange(len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        found, expected = sha256(path), hashlib.sha256(whole).hexdigest()
        commands = [
            ("fetch", manifest),
            ("fetch", manifest, "--offline"),
            ("build", manifest, "--out", tmp_path / "x.h5", "--processes", 1),
        ]
        for command in (
            commands if "tagAlign" not in path.name else commands[:0]
        ):  # build does not read the reads that a track was made of
            result = chromoformer(*command)
            assert result.status == 2 and all(
                text in result.err for text in (str(path), f"expected {expected}", f"found {found}")
            ), (command, result)
        assert sha256(path) == found, "nothing is overwritten"
        path.write_bytes(whole)
    assert (
        fetch(manifest, patience=QUICK, progress=False)["downloaded"] == 0
        and not (tmp_path / "x.h5").exists()
    )


def test_the_lock_is_enforced_when_the_source_changes(served_toy):
    manifest, files, content = served_toy
    fetch(manifest, patience=QUICK, progress=False)
    path = content["contacts"]["path"]
    (manifest.parent / path).unlink()
    files[f"/{path}"].content += b"\n"
    with pytest.raises(InputError, match=r"server offers"):
        fetch(manifest, patience=QUICK, progress=False)
    files[f"/{path}"].content = b"?" + files[f"/{path}"].content[1:-1]
    with pytest.raises(InputError, match="sha256: expected"):
        fetch(manifest, patience=QUICK, progress=False)
    assert not (manifest.parent / path).exists()
    lock = lock_file(manifest)
    lock.write_text(lock.read_text()[:50])
    with pytest.raises(InputError, match="not a lock file"):
        fetch(manifest, patience=QUICK, progress=False)


def test_a_failure_keeps_the_files_that_are_complete(served_toy):
    manifest, files, content = served_toy
    bad = files[f"/{content['contacts']['path']}"]
    bad.status = [500] * 3
    with pytest.raises(InputError, match="500"):
        fetch(manifest, jobs=1, patience=QUICK, progress=False)
    kept = [
        path
        for path in manifest.parent.rglob("*")
        if path.is_file() and path.suffix not in (".yaml", ".json", ".part")
    ]
    done = fetch(manifest, patience=QUICK, progress=False)
    assert done["here"] == len(kept) > 0


def test_offline_uses_existing_files_and_lists_missing_ones(served_toy, toy):
    manifest, files, content = served_toy
    result = chromoformer("fetch", manifest, "--offline")
    assert (
        result.status == 2
        and all(entry.get("raw", entry)["path"] in result.err for entry in content["channels"])
        and "--offline" in result.err
    )
    for path in [path for path in files if not path.endswith(".yaml")]:
        (manifest.parent / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (manifest.parent / path[1:]).write_bytes((toy / path[1:]).read_bytes())
    assert "2 tracks made" in succeed("fetch", manifest, "--offline").out
    assert not any(served.asked for served in files.values())


def test_the_user_is_asked_for_files_without_a_source(served_toy):
    manifest, _, content = served_toy
    content["expression"] |= {"url": None, "note": "RPKM of your cells, by Ensembl id"}
    manifest.write_text(yaml.safe_dump(content))
    result = chromoformer("fetch", manifest)
    assert (
        result.status == 2
        and "RPKM of your cells" in result.err
        and content["expression"]["path"] in result.err
    )
    assert (manifest.parent / content["contacts"]["path"]).exists(), "all else is fetched"
    result = chromoformer("build", manifest, "--out", manifest.parent / "x.h5")
    assert result.status == 2 and "RPKM of your cells" in result.err


def test_a_killed_run_between_track_and_record_makes_the_track_again(served_toy):
    manifest, _, content = served_toy
    fetch(manifest, patience=QUICK, progress=False)
    track = manifest.parent / next(entry["path"] for entry in content["channels"] if "raw" in entry)
    whole = track.read_bytes()
    track.with_suffix(".provenance.json").unlink()
    track.write_bytes(b"of another run")
    assert fetch(manifest, patience=QUICK, progress=False)["made"] == 1 and track.read_bytes() == whole


PEAKS = """
name: toy
genome: toy
chrom_sizes: {{path: toy.sizes}}
channels:
  - {{name: CTCF, kind: bigwig, path: CTCF.bigWig, raw: {{{raw}}}}}
annotation: {{kind: table, path: genes.tsv}}
folds: {{1: [chr1]}}
window: 400
bin_sizes: [100]
"""


@pytest.fixture
def peaks(tmp_path):
    "Return a function that writes a manifest whose track is made of one raw file, and fetches it."
    (tmp_path / "toy.sizes").write_text("chr1\t2000\n")
    (tmp_path / "genes.tsv").write_text("gene_id\tchrom\ttss\tstrand\nA\tchr1\t1000\t+\n")
    (tmp_path / "CTCF.narrowPeak").write_text("chr1\t900\t1100\t.\t9\t.\t5.5\t-1\t-1\t50\n")
    (tmp_path / "CTCF.bed").write_text("chr1\t900\t1100\nchr1\t1000\t1200\n")

    def write(raw: str) -> Path:
        (tmp_path / "toy.yaml").write_text(PEAKS.format(raw=raw))
        return tmp_path / "toy.yaml"

    return write


SIGNAL = "kind: peaks, path: CTCF.narrowPeak, value: signalValue"
ONE = "kind: peaks, path: CTCF.narrowPeak, value: 1"
READS, INTERVALS = "kind: bed, path: CTCF.bed", "kind: peaks, path: CTCF.bed"


@pytest.mark.parametrize(
    "before, after", [(SIGNAL, ONE), (ONE, SIGNAL), (READS, INTERVALS), (INTERVALS, READS)]
)
def test_a_track_is_made_again_if_kind_or_value_of_its_raw_files_change(peaks, before, after):
    quietly = {"offline": True, "progress": False}
    assert fetch(peaks(before), **quietly)["made"] == 1 and fetch(peaks(before), **quietly)["made"] == 0
    track = peaks(after).with_name("CTCF.bigWig")
    old = track.read_bytes()
    with pytest.raises(InputError, match="made of other raw files.*\n.*chromoformer fetch"):
        build_store(peaks(after), track.with_name("a.h5"), progress=False)
    assert "made from reads" in fetch_plan(peaks(after), ask=False)["state"].tolist()
    assert fetch(peaks(after), **quietly)["made"] == 1
    assert track.read_bytes() != old
    assert fetch(peaks(after), **quietly)["made"] == 0
    build_store(peaks(after), track.with_name("a.h5"), progress=False)


@pytest.mark.parametrize(
    "sizes, again", [("chr1\t2000\nchrY\t900\n", 1), ("chr1\t3000\n", 1), ("chr1\t2000\n", 0)]
)
def test_a_track_is_made_again_for_other_chromosome_sizes(peaks, sizes, again):
    manifest = peaks(INTERVALS)
    manifest.with_name("CTCF.bed").write_text("chr1\t900\t1100\nchrY\t100\t300\n")
    manifest.with_name("toy.sizes").write_text("chr1\t2000\nchrX\t500\n")
    fetch(manifest, offline=True, progress=False)
    manifest.with_name("toy.sizes").write_text(sizes)
    manifest.with_name("toy.lock.json").unlink()
    if again:
        with pytest.raises(InputError, match="made with other chromosome sizes.*\n.*chromoformer fetch"):
            build_store(manifest, manifest.with_name("a.h5"), progress=False)
        assert "made from reads" in fetch_plan(manifest, ask=False)["state"].tolist()
    assert fetch(manifest, offline=True, progress=False)["made"] == again
    assert fetch(manifest, offline=True, progress=False)["made"] == 0
    build_store(manifest, manifest.with_name("a.h5"), progress=False)
    with open_bigwig(manifest.with_name("CTCF.bigWig")) as track:
        assert ("chrY" in track.chroms()) == ("chrY" in sizes)


def test_a_store_and_a_track_do_not_replace_the_record_of_each_other(peaks):
    manifest = peaks(INTERVALS)
    store, track = manifest.with_name("CTCF.h5"), manifest.with_name("CTCF.bigWig")
    record = manifest.with_name("CTCF.provenance.json")
    fetch(manifest, offline=True, progress=False)
    before = record.read_bytes()
    with pytest.raises(InputError, match="json: this is the record of CTCF.bigWig, which that of CTCF.h5"):
        build_store(manifest, store, progress=False)
    assert record.read_bytes() == before and not store.exists()
    track.unlink()
    build_store(manifest, store, progress=False)  # from the peaks
    before = record.read_bytes()
    with pytest.raises(InputError, match="json: this is the record of CTCF.h5, which that of CTCF.bigWig"):
        fetch(manifest, offline=True, progress=False)
    assert record.read_bytes() == before and not track.exists()
    build_store(manifest, store, force=True, progress=False)


@pytest.mark.parametrize("damage", ["cut short", "edited", "without its hash", "of something else"])
def test_a_track_with_a_damaged_record_is_made_again(peaks, damage):
    manifest = peaks(SIGNAL)
    fetch(manifest, offline=True, progress=False)
    path = manifest.with_name("CTCF.provenance.json")
    whole = path.read_text()
    content = json.loads(whole)
    if damage == "edited":
        content["parameters"]["value"] = "score"
    elif damage == "without its hash":
        content.pop("sha256")
    elif damage == "of something else":
        content["outputs"] = {}
    path.write_text(whole[:200] if damage == "cut short" else json.dumps(content, indent=1) + "\n")
    with pytest.raises(InputError, match="CTCF.provenance.json, CTCF: .*\n.*chromoformer fetch"):
        build_store(manifest, manifest.with_name("a.h5"), progress=False)
    assert fetch_plan(manifest, ask=False)["state"].tolist()[-1] == "made from reads"
    assert fetch(manifest, offline=True, progress=False)["made"] == 1
    assert json.loads(path.read_text())["parameters"] == content["parameters"] or damage == "edited"


# --- raw files: other ones, changed ones, and those that are deleted ---


QUIET = {"offline": True, "progress": False}


def own_reads(peaks, path: str = "CTCF.bed") -> Path:
    "Return a manifest whose track is made of reads without url and checksum, after adding more reads."
    manifest = peaks(f"kind: bed, path: {path}")
    manifest.with_name("rep2.bed").write_text("chr1\t300\t700\n")
    return manifest


@pytest.mark.parametrize("with_lock", [True, False])
def test_a_track_is_made_again_if_the_manifest_names_other_reads(peaks, with_lock):
    fetch(own_reads(peaks), **QUIET)
    track = own_reads(peaks).with_name("CTCF.bigWig")
    old = track.read_bytes()
    if not with_lock:
        lock_file(own_reads(peaks)).unlink()
    manifest = own_reads(peaks, "rep2.bed")
    with pytest.raises(InputError, match="made of other raw files"):
        build_store(manifest, track.with_name("a.h5"), progress=False)
    assert fetch_plan(manifest, ask=False)["state"].tolist()[-1] == "made from reads"
    assert fetch(manifest, **QUIET)["made"] == 1 and track.read_bytes() != old
    assert fetch(manifest, **QUIET)["made"] == 0


def test_reads_of_the_same_name_in_another_folder_are_others(peaks):
    fetch(own_reads(peaks), **QUIET)
    manifest = own_reads(peaks, "other/CTCF.bed")
    (manifest.parent / "other").mkdir()
    (manifest.parent / "other" / "CTCF.bed").write_text("chr1\t300\t700\n")
    assert fetch(manifest, **QUIET)["made"] == 1


def test_the_same_reads_elsewhere_or_with_another_date_are_the_same(peaks, tmp_path):
    manifest = own_reads(peaks)
    fetch(manifest, **QUIET)
    manifest.with_name("CTCF.bed").touch()
    assert fetch(manifest, **QUIET)["made"] == 0
    manifest.with_name("CTCF.bed").rename(manifest.with_name("renamed.bed"))
    assert fetch(own_reads(peaks, "renamed.bed"), **QUIET)["made"] == 0
    manifest.with_name("renamed.bed").rename(manifest.with_name("CTCF.bed"))
    own_reads(peaks)
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path, moved)
    manifest.with_name("CTCF.bed").unlink()
    assert fetch(moved / "toy.yaml", **QUIET)["made"] == 0
    (moved / "CTCF.bed").unlink()  # the record says where they were
    lock_file(moved / "toy.yaml").unlink()
    assert fetch(moved / "toy.yaml", **QUIET)["made"] == 0


@pytest.mark.parametrize("length", ["same", "other"])
def test_reads_that_changed_after_their_track_was_made_are_noticed(peaks, length):
    manifest = own_reads(peaks)
    fetch(manifest, **QUIET)
    reads = manifest.with_name("CTCF.bed")
    old = reads.read_text()
    reads.write_text(old.replace("900", "800") if length == "same" else old + "chr1\t50\t90\n")
    with pytest.raises(InputError, match="made of other raw files"):
        build_store(manifest, reads.with_name("a.h5"), progress=False)
    lock = lock_file(manifest)
    with pytest.raises(InputError, match=rf"CTCF.bed.*expected.*\n.*remove the entry CTCF.bed from {lock}"):
        fetch(manifest, **QUIET)
    content = json.loads(lock.read_text())
    del content["files"]["CTCF.bed"]
    lock.write_text(json.dumps(content))
    assert fetch(manifest, **QUIET)["made"] == 1 and fetch(manifest, **QUIET)["made"] == 0
    build_store(manifest, reads.with_name("a.h5"), progress=False)


def test_a_file_of_another_url_is_not_taken_for_the_new_one(served_toy):
    manifest, files, content = served_toy
    entry = content["expression"]
    path, old = manifest.parent / entry["path"], entry["url"]
    fetch(manifest, patience=QUICK, progress=False)
    digest = sha256(path)
    lock = lock_file(manifest).read_bytes()
    files["/new"] = Served(path.read_bytes() + b"\n")
    entry["url"] = old.replace(entry["path"], "new")
    manifest.write_text(yaml.safe_dump(content))
    for command in (("fetch", manifest), ("build", manifest, "--out", manifest.parent / "x.h5")):
        result = chromoformer(*command)
        says = [str(path), old, entry["url"], "delete or rename", f"sha256: {digest}"]
        assert result.status == 2 and all(text in result.err for text in says), result.err
    assert lock_file(manifest).read_bytes() == lock
    entry["sha256"] = digest
    manifest.write_text(yaml.safe_dump(content))
    assert fetch(manifest, patience=QUICK, progress=False)["downloaded"] == 0
    del entry["sha256"]
    manifest.write_text(yaml.safe_dump(content))
    path.unlink()
    assert fetch(manifest, patience=QUICK, progress=False)["downloaded"] == 1
    assert read_lock(manifest)[entry["path"]]["url"] == entry["url"]
    assert read_lock(manifest)[entry["path"]]["sha256"] == sha256(path) != digest


def test_a_run_killed_after_a_download_from_a_new_url_can_be_repeated(served_toy, monkeypatch):
    manifest, files, content = served_toy
    fetch(manifest, patience=QUICK, progress=False)
    entry = content["expression"]
    path = manifest.parent / entry["path"]
    files["/new"] = Served(path.read_bytes() + b"\n")
    entry["url"] = entry["url"].replace(entry["path"], "new")
    manifest.write_text(yaml.safe_dump(content))
    path.unlink()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("chromoformer.data.fetch._Errand.lock", mock.Mock(side_effect=KeyboardInterrupt))
        fetch(manifest, patience=QUICK, progress=False)
    assert path.is_file()
    assert fetch(manifest, patience=QUICK, progress=False)["downloaded"] == 0
    assert read_lock(manifest)[entry["path"]]["url"] == entry["url"]


def test_a_track_is_made_again_if_the_url_of_its_deleted_reads_changes(served_toy):
    manifest, files, content = served_toy
    channel = next(entry for entry in content["channels"] if "raw" in entry)
    fetch(manifest, patience=QUICK, progress=False, keep_reads=False)
    track = manifest.parent / channel["path"]
    old, url = track.read_bytes(), channel["raw"]["url"]
    lines = gzip.decompress(files[f"/{channel['raw']['path']}"].content).splitlines(keepends=True)
    files["/new"] = Served(gzip.compress(b"".join(lines + lines[::9])))
    channel["raw"]["url"] = url.replace(channel["raw"]["path"], "new")
    manifest.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match="made of other raw files"):
        build_store(manifest, manifest.parent / "x.h5", progress=False)
    done = fetch(manifest, patience=QUICK, progress=False)
    assert (done["downloaded"], done["made"]) == (1, 1) and track.read_bytes() != old


def with_urls(manifest: Path, **urls: str | None) -> Path:
    "Give raw files of a manifest a url; no server is needed, because they are there."
    content = yaml.safe_load(manifest.read_text())
    for channel in content["channels"]:
        channel["raw"]["url"] = urls.get(channel["name"], "http://127.0.0.1:9/x")
        if channel["raw"]["url"] is None:
            del channel["raw"]["url"]
    manifest.write_text(yaml.safe_dump(content))
    return manifest


def test_dropping_reads_keeps_those_that_cannot_be_downloaded_again(peaks):
    manifest = with_urls(own_reads(peaks), CTCF=None)
    with pytest.warns(UserWarning, match=r"1 file of reads without a url kept: .*CTCF.bed"):
        assert fetch(manifest, keep_reads=False, **QUIET)["dropped"] == 0
    assert manifest.with_name("CTCF.bed").is_file()
    plan = fetch_plan(manifest, ask=False)
    assert disk_needed(plan)["peak, reads dropped"] == disk_needed(plan)["peak, reads kept"]
    with pytest.raises(InputError, match="CTCF.bed.*was here before it had a url.*\n.*write `sha256: "):
        fetch(with_urls(manifest), keep_reads=False, **QUIET)
    assert manifest.with_name("CTCF.bed").is_file()


@pytest.mark.parametrize("user", ["extra", "a channel", "the same file by a link"])
def test_dropping_reads_keeps_files_that_other_entries_name(peaks, user):
    manifest = with_urls(own_reads(peaks))
    content = yaml.safe_load(manifest.read_text())
    path = "CTCF.bed"
    if user == "the same file by a link":
        path = "link.bed"
        manifest.with_name(path).symlink_to("CTCF.bed")
    if user == "a channel":
        content["channels"].append({"name": "peaks", "kind": "peaks", "path": path})
    else:
        content["extra"] = {"reads": {"path": path}}
    manifest.write_text(yaml.safe_dump(content))
    with pytest.warns(UserWarning, match=r"reads that other entries of the manifest name kept: .*CTCF.bed"):
        assert fetch(manifest, keep_reads=False, **QUIET)["dropped"] == 0
    assert manifest.with_name("CTCF.bed").is_file()


def two_tracks(peaks) -> tuple[Path, dict]:
    "Return a manifest with two tracks that are made of one file of reads, and its content."
    manifest = with_urls(own_reads(peaks))
    content = yaml.safe_load(manifest.read_text())
    raw = content["channels"][0]["raw"]
    second = {"name": "sites", "kind": "bigwig", "path": "sites.bigWig", "raw": raw | {"kind": "peaks"}}
    content["channels"].append(second)
    manifest.write_text(yaml.safe_dump(content))
    return manifest, content


@pytest.mark.parametrize("jobs", [1, 4])
def test_reads_of_two_tracks_are_dropped_after_both_are_made(peaks, jobs):
    manifest, _ = two_tracks(peaks)
    done = fetch(manifest, keep_reads=False, jobs=jobs, **QUIET)
    assert (done["made"], done["dropped"]) == (2, 1)
    assert not manifest.with_name("CTCF.bed").exists()
    assert fetch(manifest, keep_reads=False, jobs=jobs, **QUIET)["made"] == 0


def test_reads_of_two_tracks_are_kept_while_one_track_is_missing(peaks):
    manifest, content = two_tracks(peaks)
    content["channels"][1]["raw"] |= {
        "path": ["CTCF.bed", "missing.bed"],
        "url": ["http://127.0.0.1:9/x"] * 2,
    }
    manifest.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match="missing.bed"):
        fetch(manifest, keep_reads=False, **QUIET)
    assert manifest.with_name("CTCF.bigWig").is_file() and manifest.with_name("CTCF.bed").is_file()


def test_reads_of_two_tracks_are_downloaded_once(peaks):
    manifest, content = two_tracks(peaks)
    reads = manifest.with_name("CTCF.bed")
    with serving({"/x": (served := Served(reads.read_bytes(), slow=0.05))}) as address:
        for channel in content["channels"]:
            channel["raw"]["url"] = f"{address}/x"
        manifest.write_text(yaml.safe_dump(content))
        reads.unlink()
        done = fetch(manifest, keep_reads=False, patience=QUICK, progress=False)
    assert (done["downloaded"], done["made"], done["dropped"], len(served.asked)) == (1, 2, 1, 1)


def test_the_plan_gives_sizes_and_the_peak(served_toy):
    manifest, files, content = served_toy
    before = fetch_plan(manifest)
    wanted = sum(len(files[f"/{entry.get('raw', entry)['path']}"].content) for entry in content["channels"])
    wanted += sum(
        len(files[f"/{content[key]['path']}"].content)
        for key in ("chrom_sizes", "expression", "annotation", "contacts")
    )
    disk = disk_needed(before)
    assert disk["to download"] == wanted and disk["peak, reads dropped"] <= disk["peak, reads kept"]
    fetch(manifest, keep_reads=False, patience=QUICK, progress=False)
    after = fetch_plan(manifest, ask=False)
    assert set(after["state"]) == {"here", "not needed"} and disk_needed(after)["to download"] == 0
    assert "not needed" in succeed("fetch", manifest, "--plan", "--offline").out


def test_everything_except_fetch_works_without_network(toy, tiny, tmp_path):
    def refuse(*_, **__):
        raise OSError("the network is off")

    with mock.patch.object(socket.socket, "connect", refuse), mock.patch("socket.create_connection", refuse):
        succeed("simulate", tmp_path / "own", "--genes", 12, "--cell-type", "cellA")
        succeed("fetch", toy / "cellA.yaml", "--data", toy, "--offline")
        lock_file(toy / "cellA.yaml").unlink()
        succeed("build", toy / "cellA.yaml", "--out", tmp_path / "a.h5", "--processes", 1)
        succeed("train", tmp_path / "a.h5", "--fold", 1, "--out", tmp_path / "run", "--config", tiny)
        succeed("predict", tmp_path / "run", tmp_path / "a.h5", "--out", tmp_path / "predictions.csv")
        succeed("evaluate", tmp_path / "run")
        succeed("info", tmp_path / "run")


# --- kills ---


def kill_at_random_moments(target, arguments: tuple, seed: int, kills: int, longest: float, check) -> None:
    "Start a function in a process, kill it after a random time and check, many times; then let it finish."
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["chromoformer.data.fetch"])
    chance, killed = random.Random(seed), 0
    for _ in range(5 * kills):
        process = context.Process(target=target, args=arguments)
        process.start()
        process.join(chance.uniform(0, longest))
        if process.is_alive():
            process.kill()
            killed += 1
        process.join()
        assert process.exitcode in (0, -9)
        check(process.exitcode == 0)
        if killed == kills:
            break
    assert killed == kills, "the processes finished before they were killed"
    process = context.Process(target=target, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0


def fetch_quietly(manifest: Path) -> None:
    fetch(manifest, keep_reads=False, progress=False)


@pytest.mark.slow
def test_a_fetch_killed_at_random_moments_gives_the_same_bytes(served_toy, tmp_path):
    manifest, files, content = served_toy
    for served in files.values():
        served.slow = 0.05
    big = random.Random(1).randbytes(3_000_000)
    files["/big"] = Served(big, slow=0.01)
    content["extra"] = {
        "big": {
            "path": "big",
            "url": content["chrom_sizes"]["url"].replace(content["chrom_sizes"]["path"], "big"),
        }
    }
    manifest.write_text(yaml.safe_dump(content, sort_keys=False))
    right = {
        path[1:]: hashlib.sha256(served.content).hexdigest()
        for path, served in files.items()
        if not path.endswith(".yaml")
    }
    undisturbed, start = tmp_path / "undisturbed", time.perf_counter()
    fetch(manifest, undisturbed, keep_reads=False, progress=False)
    needed = time.perf_counter() - start
    lock_file(manifest).unlink()
    begun: set[str] = set()

    def check(finished):
        for path in manifest.parent.rglob("*"):
            if (name := str(path.relative_to(manifest.parent))) in right:
                assert sha256(path) == right[name], f"{name} is incomplete"
            begun.update([path.name] if path.suffix == ".part" else [])
        assert all(locked["sha256"] == right[name] for name, locked in read_lock(manifest).items())
        if finished:  # before it could be killed: start again
            shutil.rmtree(manifest.parent / "tracks")
            for path in [path for path in manifest.parent.rglob("*") if path.is_file() and path != manifest]:
                path.unlink()

    kill_at_random_moments(fetch_quietly, (manifest,), 0, 60, needed, check)
    assert "big.part" in begun, "no process was killed during a download"
    made = {
        path.relative_to(undisturbed): path.read_bytes() for path in undisturbed.rglob("*") if path.is_file()
    }
    found = {
        path.relative_to(manifest.parent): path.read_bytes()
        for path in manifest.parent.rglob("*")
        if path.is_file()
    }
    locked = {Path("cellA.yaml"), Path("cellA.lock.json")}
    assert set(found) - locked == set(made), "nothing is missing, and nothing is left behind"
    assert all(found[path] == made[path] for path in made if not path.name.endswith(".provenance.json"))


@pytest.mark.slow
def test_a_build_killed_at_random_moments_gives_the_same_bytes(toy, toy_store, tmp_path):
    out, whole = tmp_path / "cellA.h5", toy_store.read_bytes()
    start = time.perf_counter()
    build_quietly(toy / "cellA.yaml", tmp_path / "undisturbed.h5")
    needed = time.perf_counter() - start

    def check(finished):
        assert not out.exists() or out.read_bytes() == whole, "an incomplete store has the final name"
        if finished:
            out.unlink(), out.with_suffix(".provenance.json").unlink()

    kill_at_random_moments(build_quietly, (toy / "cellA.yaml", out), 1, 40, needed, check)
    assert out.read_bytes() == whole and not list(tmp_path.glob(".*partial"))
    assert chromoformer("build", toy / "cellA.yaml", "--out", out).status == 2, (
        "a finished store is not replaced"
    )


def build_quietly(manifest: Path, out: Path) -> None:
    build_store(manifest, out, progress=False)


def test_only_a_store_without_its_record_is_built_again(toy, toy_store, tmp_path):
    out = tmp_path / "cellA.h5"
    out.write_bytes(toy_store.read_bytes())  # a process killed between store and record leaves this
    succeed("build", toy / "cellA.yaml", "--out", out, "--processes", 1)
    assert out.read_bytes() == toy_store.read_bytes() and out.with_suffix(".provenance.json").exists()
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    assert (
        chromoformer("build", toy / "cellA.yaml", "--out", other).status == 2 and other.read_text() == "mine"
    )


def test_every_input_of_a_store_is_read_once_for_its_hash(toy, tmp_path, monkeypatch):
    import chromoformer.provenance as provenance

    read, sha256 = [], provenance.sha256
    monkeypatch.setattr(provenance, "sha256", lambda path: read.append(Path(path).resolve()) or sha256(path))
    build_quietly(toy / "cellA.yaml", tmp_path / "cellA.h5")
    inputs = provenance.read_record(tmp_path / "cellA.provenance.json")["inputs"]
    assert len(inputs) > 9 and sorted(path for path in read if toy in path.parents) == sorted(
        {Path(entry["path"]).resolve() for entry in inputs.values()}
    )
    assert provenance.verify(tmp_path / "cellA.provenance.json") == []
