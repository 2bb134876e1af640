"""Files from someone else change nothing outside their folder, run no code, and put no markup on pages."""

import hashlib
import json
import shutil
import ssl
import subprocess
import sys
import warnings
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import chromoformer, listing, refused, succeed
from servers import Served, serving
from test_studies import notebook

from chromoformer import plots
from chromoformer.data.download import Patience, download, offered_size
from chromoformer.data.fetch import fetch, fetch_plan
from chromoformer.data.manifest import DataFile, lock_file, read_manifest
from chromoformer.errors import InputError
from chromoformer.studies.definition import parameters_of
from chromoformer.studies.execution import escaped, run_notebook

QUICK = Patience(timeout=2, attempts=2, pause=0.01)
SIZES = "chr1\t20000\n"
GTF = 'chr1\ttoy\tgene\t5001\t8000\t.\t+\t.\tgene_id "A"; gene_name "A"; gene_type "protein_coding";\n'
READS = "chr1\t4900\t4936\tN\t1000\t+\n"
GRAPH = "chr1\t4900\t5000\t2\n"
SCRIPT = '<script>alert("x")</script>'
MARKUP = (SCRIPT, "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "</td></table><iframe>")


# ---- fetch writes only into its own folder ----


@pytest.fixture
def served():
    "A server of the four small files of a manifest, and its address."
    contents = {"/sizes": SIZES, "/genes.gtf": GTF, "/reads.tagAlign": READS, "/graph.bedgraph": GRAPH}
    files = {path: Served(text.encode()) for path, text in contents.items()}
    with serving(files) as address:
        yield address, files


def content_of(address: str) -> dict:
    "A manifest whose files are all on the server; one track is made of reads."
    return {
        "name": "toy",
        "genome": "toy",
        "chrom_sizes": {"path": "sizes", "url": f"{address}/sizes"},
        "annotation": {"kind": "gtf", "path": "genes.gtf", "url": f"{address}/genes.gtf"},
        "channels": [
            {
                "name": "H3K4me3",
                "kind": "bigwig",
                "path": "tracks/H3K4me3.bigWig",
                "raw": {"kind": "tagalign", "path": "reads.tagAlign", "url": f"{address}/reads.tagAlign"},
            },
            {
                "name": "H3K27ac",
                "kind": "bedgraph",
                "path": ["graph.bedgraph"],
                "url": [f"{address}/graph.bedgraph"],
            },
        ],
        "window": 400,
        "bin_sizes": [100],
    }


PLACES = {  # what of the manifest leaves the folder
    "chromosome sizes": lambda content, path: content["chrom_sizes"].update(path=path),
    "annotation": lambda content, path: content["annotation"].update(path=path),
    "track": lambda content, path: content["channels"][1].update(path=[path]),
    "track by name": lambda content, path: content["channels"][1].update(
        path={"a": path}, url={"a": content["channels"][1]["url"][0]}
    ),
    "reads": lambda content, path: content["channels"][0]["raw"].update(path=path),
    "track made of reads": lambda content, path: content["channels"][0].update(path=path),
    "extra": lambda content, path: content.update(
        extra={"more": {"path": path, "url": content["chrom_sizes"]["url"]}}
    ),
    "averaged contacts": lambda content, path: content.update(
        contacts={
            "kind": "average",
            "of": [{"kind": "pairs", "path": path, "url": content["chrom_sizes"]["url"]}],
        }
    ),
}
WAYS = {  # how it leaves it: the path to write, given the folder and one outside
    "parent": lambda folder, outside: f"../{outside.name}/new",
    "parent later": lambda folder, outside: f"tracks/../../{outside.name}/new",
    "absolute": lambda folder, outside: str(outside / "new"),
    "link to a folder": lambda folder, outside: "link/new",
    "link to a file": lambda folder, outside: "dangling",
}


@pytest.fixture
def folders(tmp_path):
    "The folder of a manifest, with links that lead out of it, and a folder outside."
    folder, outside = tmp_path / "manifest", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "dangling").symlink_to(outside / "new")
    (outside / "mine.txt").write_text("years of work")
    return folder, outside


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("place", PLACES)
def test_fetch_refuses_to_write_outside_its_folder(served, folders, place, way):
    address, files = served
    folder, outside = folders
    content = content_of(address)
    PLACES[place](content, WAYS[way](folder, outside))
    (folder / "m.yaml").write_text(yaml.safe_dump(content))
    before = listing(outside)
    refused(folder, "fetch", folder / "m.yaml", says=["m.yaml", "1 file would be written outside", "--allow"])
    assert listing(outside) == before
    assert not any(one.asked for one in files.values()), "nothing was downloaded"
    with pytest.warns(UserWarning, match="outside the folder"):
        fetch_plan(folder / "m.yaml", ask=False)


@pytest.mark.parametrize("way", ["parent", "absolute", "link to a folder"])
@pytest.mark.parametrize("place", ["annotation", "reads", "track made of reads"])
def test_files_outside_are_written_if_this_is_allowed_and_then_only_read(served, folders, place, way):
    address, _ = served
    folder, outside = folders
    content = content_of(address)
    PLACES[place](content, WAYS[way](folder, outside))
    (folder / "m.yaml").write_text(yaml.safe_dump(content))
    said = succeed("fetch", folder / "m.yaml", "--allow-outside").out
    assert "4 downloaded" in said and "1 track made" in said and (outside / "new").exists()
    after = listing(outside)
    again = fetch(folder / "m.yaml", progress=False)  # they are there, so nothing is written
    assert (again["downloaded"], again["made"]) == (0, 0) and listing(outside) == after


def test_paths_of_a_table_of_files_cannot_leave_the_folder(served, folders):
    address, files = served
    folder, outside = folders
    content = content_of(address)
    content["channels"][1] |= {"files": "list.tsv", "url": f"{address}/"}
    del content["channels"][1]["path"]
    rows = "path\turl\ngraph.bedgraph\tgraph.bedgraph\n../outside/new\tgraph.bedgraph\n"
    (folder / "list.tsv").write_text(rows)
    (folder / "m.yaml").write_text(yaml.safe_dump(content))
    refused(outside, "fetch", folder / "m.yaml", says=[str(folder / "../outside/new")])
    assert not any(one.asked for one in files.values())


@pytest.mark.parametrize("ending", [".part", ".part.json"])
def test_a_download_does_not_follow_a_link_in_the_place_of_its_part(served, folders, ending):
    address, _ = served
    folder, outside = folders
    (folder / f"genes.gtf{ending}").symlink_to(outside / "mine.txt")
    (folder / "m.yaml").write_text(yaml.safe_dump(content_of(address)))
    before = listing(outside)
    with pytest.raises(InputError, match="outside the folder"):
        fetch(folder / "m.yaml", patience=QUICK, progress=False)
    assert listing(outside) == before


def test_a_circle_of_links_is_refused(served, folders):
    address, _ = served
    folder, _ = folders
    (folder / "genes.gtf").symlink_to(folder / "b")
    (folder / "b").symlink_to(folder / "genes.gtf")
    (folder / "m.yaml").write_text(yaml.safe_dump(content_of(address)))
    with pytest.raises(InputError, match="outside the folder"):
        fetch(folder / "m.yaml", patience=QUICK, progress=False)


def test_paths_that_return_into_the_folder_are_allowed(served, tmp_path):
    address, _ = served
    content = content_of(address)
    content["annotation"]["path"] = f"{tmp_path}/m/a/../genes.gtf"
    content["chrom_sizes"]["path"] = "../m/sizes"
    (tmp_path / "m").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "m")
    (tmp_path / "m" / "m.yaml").write_text(yaml.safe_dump(content))
    assert fetch(tmp_path / "link" / "m.yaml", progress=False)["downloaded"] == 4


def test_with_data_the_folder_is_that_of_the_data(served, tmp_path):
    address, _ = served
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(content_of(address)))
    assert fetch(tmp_path / "m.yaml", tmp_path / "data", progress=False)["downloaded"] == 4
    content = content_of(address)
    content["annotation"]["path"] = str(tmp_path / "other" / "genes.gtf")  # next to the manifest
    (tmp_path / "n.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match="outside the folder"):
        fetch(tmp_path / "n.yaml", tmp_path / "data", progress=False)


def test_existing_files_elsewhere_are_read_and_never_deleted(served, folders):
    address, _ = served
    folder, outside = folders
    (outside / "new").write_text(READS)
    content = content_of(address)
    PLACES["reads"](content, "../outside/new")
    (folder / "m.yaml").write_text(yaml.safe_dump(content))
    with pytest.warns(UserWarning, match="1 file of reads outside"):
        done = fetch(folder / "m.yaml", keep_reads=False, progress=False)
    assert (done["made"], done["dropped"]) == (1, 0) and (outside / "new").read_text() == READS
    done = fetch(folder / "m.yaml", keep_reads=False, progress=False, allow_outside=True)
    assert done["dropped"] == 1 and not (outside / "new").exists()


def test_an_unfinished_track_outside_is_not_replaced(served, folders):
    address, _ = served
    folder, outside = folders
    (outside / "new").write_bytes(b"a track of another project")
    (folder / "reads.tagAlign").write_text(READS)
    content = content_of(address)
    PLACES["track made of reads"](content, "../outside/new")
    (folder / "m.yaml").write_text(yaml.safe_dump(content))
    refused(outside, "fetch", folder / "m.yaml", says=["outside the folder"])


def test_the_lock_replaces_a_link_instead_of_following_it(served, folders):
    address, _ = served
    folder, outside = folders
    (folder / "m.yaml").write_text(yaml.safe_dump(content_of(address)))
    (outside / "mine.json").write_text('{"files": {}}')
    lock_file(folder / "m.yaml").symlink_to(outside / "mine.json")
    fetch(folder / "m.yaml", progress=False)
    assert (outside / "mine.json").read_text() == '{"files": {}}'


def test_a_study_does_not_fetch_outside_the_folder_of_the_data(served, folders, monkeypatch):
    from chromoformer.studies.execution import make
    from chromoformer.studies.jobs import Job

    address, _ = served
    folder, outside = folders
    content = content_of(address)
    PLACES["annotation"](content, "../outside/new")
    (folder / "m.yaml").write_text(yaml.safe_dump(content))
    parameters = {"manifest": str(folder / "m.yaml"), "data": str(folder), "keep_reads": True}
    with pytest.raises(InputError, match="outside the folder"):
        make(folder, Job("fetch/a", "fetch", parameters), folder / "fetch")
    assert not (outside / "new").exists()


# ---- what fetch says about checksums ----


def test_fetch_says_how_many_checksums_were_known(served, tmp_path):
    address, _ = served
    content = content_of(address)
    content["annotation"]["sha256"] = hashlib.sha256(GTF.encode()).hexdigest()
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(content))
    first = succeed("fetch", tmp_path / "m.yaml").out
    assert "1 checksum as expected; 3 files had no known checksum" in first and "m.lock.json" in first
    again = succeed("fetch", tmp_path / "m.yaml").out
    assert "4 checksums compared: all are as expected" in again


def test_a_download_that_nothing_can_check_is_named(served, tmp_path):
    address, files = served
    files["/genes.gtf"].length = False
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(content_of(address)))
    result = chromoformer("fetch", tmp_path / "m.yaml")
    assert result.status == 0 and "all are as expected" not in result.out
    assert "1 download could not be checked" in result.err and "genes.gtf" in result.err
    assert "sizes" not in result.err, "files whose length is known are not named"


@pytest.mark.parametrize("known", ["sha256", "size"])
def test_a_known_checksum_or_size_makes_up_for_a_missing_length(served, tmp_path, known):
    address, files = served
    files["/genes.gtf"].length = False
    facts = {"sha256": hashlib.sha256(GTF.encode()).hexdigest(), "size": len(GTF)}
    content = content_of(address)
    content["annotation"][known] = facts[known]
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(content))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fetch(tmp_path / "m.yaml", progress=False)


# ---- redirects ----


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    "A certificate of this machine, signed by itself, with its key."
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    options = (
        "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    command = ["openssl", *options.split(), "-keyout", f"{file}.key", "-out", f"{file}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(Path(f"{file}.key").read_text() + Path(f"{file}.crt").read_text())
    return file


@pytest.fixture
def encryption(certificate, monkeypatch) -> ssl.SSLContext:
    "The settings of a server whose certificate the client trusts."
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def to(address: str, status: int = 302) -> Served:
    "Answers that redirect."
    return Served(b"", status=[status] * 9, headers={"Location": address})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_from_https_to_http_is_refused(tmp_path, encryption, status):
    right = hashlib.sha256(b"data").hexdigest()
    with serving({"/x": (plain := Served(b"data"))}) as http:
        with serving({"/x": to(f"{http}/x", status)}, encryption) as https:
            file = DataFile("x", tmp_path / "x", f"{https}/x", sha256=right)
            with pytest.raises(InputError, match="refused: https.* redirects to http:.*not encrypted"):
                download(file, QUICK)
            assert offered_size(file) is None
    assert not plain.asked and not list(tmp_path.iterdir())


@pytest.mark.parametrize("spelling", ["HTTP://127.0.0.1:{port}/x", "http:/\\127.0.0.1:{port}/x"])
def test_other_spellings_of_http_are_refused(tmp_path, encryption, spelling):
    with serving({"/x": (plain := Served(b"data"))}) as http:
        target = spelling.format(port=http.rsplit(":", 1)[1])
        with serving({"/x": to(target)}, encryption) as https, pytest.raises(InputError):
            download(DataFile("x", tmp_path / "x", f"{https}/x"), QUICK)
    assert not plain.asked


def test_a_downgrade_after_other_redirects_is_refused(tmp_path, encryption):
    with serving({"/x": (plain := Served(b"data"))}) as http:
        files = {"/b": to(f"{http}/x")}
        with serving(files, encryption) as https:
            files["/a"] = to("/b")
            with serving({"/0": to(f"{https}/a")}) as first, pytest.raises(InputError, match="not encrypted"):
                download(DataFile("x", tmp_path / "x", f"{first}/0"), QUICK)
    assert not plain.asked


@pytest.mark.parametrize("target", ["absolute", "/x", "x"])
def test_redirects_that_stay_encrypted_are_followed(tmp_path, encryption, target):
    files = {"/x": Served(b"data")}
    with serving(files, encryption) as https:
        files["/a"] = to(f"{https}/x" if target == "absolute" else target)
        download(DataFile("x", tmp_path / "x", f"{https}/a"), QUICK)
        with serving({"/0": to(f"{https}/x")}) as http:  # http to https is an upgrade
            download(DataFile("y", tmp_path / "y", f"{http}/0"), QUICK)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes() == b"data"


def test_a_doi_that_leads_to_http_needs_a_checksum(tmp_path, monkeypatch):
    class Repository:
        "A repository behind a doi."

        def download_url(self, name):
            return f"{http}/{name}"

    monkeypatch.setattr("chromoformer.data.download.doi_to_repository", lambda doi: Repository())
    with serving({"/x": Served(b"data")}) as http:
        with pytest.raises(InputError, match="not encrypted"):
            download(DataFile("x", tmp_path / "x", "doi:10.1/a/x"), QUICK)
        right = hashlib.sha256(b"data").hexdigest()
        download(DataFile("x", tmp_path / "x", "doi:10.1/a/x", sha256=right), QUICK)


# ---- notebooks are parsed, not evaluated ----


ATTACKS = [
    "x: __import__('pathlib').Path({trap!r}).touch() = ''",
    "x = ''  # type: __import__('pathlib').Path({trap!r}).touch()",
    "x: \"__import__('pathlib').Path({trap!r}).touch()\" = ''",
    "x: list[__import__('pathlib').Path({trap!r}).touch()] = []",
    "x: int.__class__.__base__.__subclasses__() = 1",
    "x: str.format = ''",
    "x: [t for t in (open({trap!r}, 'w'),)] = 1",
    "x: (lambda: open({trap!r}, 'w'))() = 1",
    "x: 'int' 'str' = 1",
    "x: Path = ''",
    "x: tuple[int, ...] = 1",
    "x: 3 = 1",
]


@pytest.mark.parametrize("line", ATTACKS)
def test_a_type_in_a_notebook_is_never_executed(tmp_path, line, monkeypatch):
    trap = tmp_path / "trap"
    path = notebook(tmp_path, "step", "out: str = ''\n" + line.format(trap=str(trap)))
    with pytest.warns(UserWarning, match="parameter x are not checked"):
        found = parameters_of(path)["x"]
    assert found.fits("anything") and found.fits(3)
    study = {"name": "s", "out": "out", "cell_types": {"a": "a.h5"}, "analyses": {"step": {}}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    (tmp_path / "a.h5").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    result = chromoformer("plan", "study.yaml", "--notebooks", tmp_path)
    assert result.status == 0 and "parameter x are not checked" in result.err
    assert not trap.exists()


@pytest.mark.parametrize("default", ["open({trap!r}, 'w')", "[open({trap!r}, 'w')]", "f'{{open({trap!r})}}'"])
def test_a_default_in_a_notebook_is_never_executed(tmp_path, default):
    trap = tmp_path / "trap"
    path = notebook(tmp_path, "step", f"out: str = ''\nx: str = {default.format(trap=str(trap))}")
    with pytest.raises(InputError, match="parameter"):
        parameters_of(path)
    assert not trap.exists()


def test_other_code_of_a_parameters_cell_is_not_executed(tmp_path):
    trap = tmp_path / "trap"
    code = f"%matplotlib inline\nout: str = ''\nopen({str(trap)!r}, 'w')\nimport os\n!touch {trap}\n"
    assert list(parameters_of(notebook(tmp_path, "step", code))) == ["out"]
    assert not trap.exists()


@pytest.mark.parametrize(
    ("annotation", "default", "right", "wrong", "name"),
    [
        ("int", "1", [2], ["2", 2.5, True, None], "int"),
        ("float", "1.0", [2, 2.5], ["2"], "float"),
        ("int | None", "None", [None, 3], ["3", 3.5], "int | None"),
        ("Optional[str]", "None", [None, "x"], [3], "str | None"),
        ("typing.Optional[str]", "None", [None, "x"], [3], "str | None"),
        ("Union[int, str]", "1", [1, "x"], [None, 1.5], "int | str"),
        ("list[int]", "[]", [[], [1, 2]], [["a"], [1.5], 1], "list[int]"),
        ("List[str]", "[]", [["a"]], [[1]], "list[str]"),
        ("dict[str, float]", "{}", [{"a": 1.5}], [{"a": "b"}, []], "dict[str, float]"),
        ("dict[str, list[int] | None]", "{}", [{"a": [1]}, {"a": None}], [{"a": ["b"]}], "dict[str"),
        ("Literal['mean', 'sum']", "'mean'", ["sum"], ["median", 1], "Literal['mean', 'sum']"),
        ("Literal[1, 2]", "1", [2], [3, "1"], "Literal[1, 2]"),
        ("'list[int]'", "[]", [[1]], [["a"]], "list[int]"),
        ("Any", "1", [1, "x", None], [], "Any"),
        ("None", "None", [None], [1], "NoneType"),
    ],
)
def test_types_of_parameters_are_compared_with_values(tmp_path, annotation, default, right, wrong, name):
    path = notebook(tmp_path, "step", f"out: str = ''\nx: {annotation} = {default}  # help # more")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = parameters_of(path)["x"]
    assert all(map(found.fits, right)) and not any(map(found.fits, wrong))
    assert name in found.type_name and found.help == "help # more"


def test_parameters_over_several_lines_are_read_with_their_help(tmp_path):
    code = 'out: str = ""\nnote: str = (\n    "a"  # first\n    "b"  # text\n)\n'
    code += "x = [\n    1,\n]  # type: list help\n"
    found = parameters_of(notebook(tmp_path, "step", code))
    assert (found["note"].default, found["note"].help) == ("ab", "text")
    assert (found["x"].default, found["x"].type, found["x"].help) == ([1], list, "help")


@pytest.mark.parametrize(
    ("cell", "says"), [("out: str = (", "not valid Python"), ("x = 1", "no parameter `out`")]
)
def test_a_parameters_cell_that_cannot_be_read_is_refused(tmp_path, cell, says):
    with pytest.raises(InputError, match=says):
        parameters_of(notebook(tmp_path, "step", cell))


def test_a_notebook_of_another_language_is_refused(tmp_path):
    path = notebook(tmp_path, "step", "out = 1")
    content = json.loads(path.read_text())
    content["metadata"]["kernelspec"] = {"name": "ir", "display_name": "R", "language": "R"}
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="its language is R"):
        parameters_of(path)
    path.write_text("not a notebook")
    with pytest.raises(InputError, match="not a Python notebook"):
        parameters_of(path)


# ---- the kernel of a study ----


@pytest.mark.parametrize("variable", ["JUPYTER_PATH", "JUPYTER_DATA_DIR"])
def test_a_study_uses_its_own_python_whatever_kernel_is_named_python3(tmp_path, monkeypatch, variable):
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    other = {"argv": ["/bin/false", "{connection_file}"], "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(other))
    monkeypatch.setenv(variable, str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    from jupyter_client.kernelspec import KernelSpecManager

    assert KernelSpecManager().get_kernel_spec("python3").argv[0] == "/bin/false"
    code = "import sys, json\nopen(out, 'w').write(json.dumps([sys.executable, sys.prefix]))"
    path = notebook(tmp_path, "step", "out: str = ''", code)
    run_notebook(path, tmp_path / "run", {"out": str(tmp_path / "said.json")}, tmp_path)
    assert json.loads((tmp_path / "said.json").read_text()) == [sys.executable, sys.prefix]
    executed = json.loads((tmp_path / "run" / "notebook.ipynb").read_text())
    assert executed["metadata"]["kernelspec"]["name"] == "python3", "readers open it with their own kernel"


# ---- names on pages ----


def is_clean(page: str) -> bool:
    "Return whether no tag that a hostile name would add is in a page."
    # nbconvert writes images again, with their attributes in quotes
    tags = ("<script>alert", "<img src=x", "<svg onload", "<iframe", 'onerror="', 'onload="')
    return not any(tag in page for tag in tags)


@pytest.mark.parametrize("name", [*MARKUP, "[x](javascript:alert(1))", "![x](http://127.0.0.1/y)", "**b**"])
def test_an_escaped_name_is_plain_text_in_markdown_and_html(tmp_path, name):
    import html

    code = "from IPython.display import HTML, Markdown, display\n"
    code += "from chromoformer.studies.execution import escaped\n"
    code += "display(Markdown(f'**{escaped(name)}**'), HTML(f'<p>{escaped(name)}</p>'))"
    run_notebook(notebook(tmp_path, "n", "name: str = ''", code), tmp_path / "run", {"name": name}, tmp_path)
    page = (tmp_path / "run" / "notebook.html").read_text()
    assert is_clean(page) and '<a href="javascript' not in page and 'src="http://127' not in page
    assert html.unescape(escaped(name)) == name


def test_tables_of_names_are_text_on_the_page_of_a_notebook(tmp_path):
    names = [*MARKUP, r"$\href{javascript:alert(1)}{x}$"]
    code = "import pandas as pd\npd.DataFrame({name: [name] for name in names}, index=['<iframe>'])"
    path = notebook(tmp_path, "n", "names: list = []", code)
    run_notebook(path, tmp_path / "run", {"names": names}, tmp_path)
    page = (tmp_path / "run" / "notebook.html").read_text()
    assert is_clean(page) and "&lt;img src=x" in page
    table = page[: page.index("<table")]
    assert table.rstrip().rfind("tex2jax_ignore mathjax_ignore") > table.rfind("jp-OutputArea-output")


@pytest.mark.slow
def test_the_report_of_a_study_shows_hostile_names_as_text(tmp_path):
    root = Path(__file__).resolve().parents[1]
    study, cell = tmp_path / "study", "<img src=x onerror=alert(1)>"
    (study / "stores").mkdir(parents=True)
    (study / "stores" / f"{cell}.h5").write_bytes(b"")
    analysis = "<iframe>"
    for name in ("attention", analysis):
        job = study / name / cell
        job.mkdir(parents=True)
        content = {SCRIPT: {"value": 0.5}, "refused": "<iframe>", "means": [{"model": SCRIPT, "mean": 1.0}]}
        (job / "metrics.json").write_text(json.dumps(content))
    parameters = {"out": str(tmp_path / "out"), "study": str(study)}
    run_notebook(root / "nbs" / "analyses" / "report.ipynb", tmp_path / "run", parameters, tmp_path)
    page = (tmp_path / "run" / "notebook.html").read_text()
    assert is_clean(page), [
        page[page.find(tag) - 80 : page.find(tag) + 60] for tag in ("<img src=x", "<iframe")
    ]
    assert "onerror" in page, "the name is shown"


def test_the_reasons_of_the_benchmark_are_escaped():
    cells = nbformat.read(Path(__file__).resolve().parents[1] / "nbs/analyses/benchmark.ipynb", 4).cells
    assert all('escape="html"' in cell.source for cell in cells if ".style" in cell.source)


@pytest.mark.parametrize("name", [*MARKUP, "--><script>", "a$b$", r"$\x{$", "$", "a & b"])
def test_names_in_figures_are_text(tmp_path, name):
    table = pd.DataFrame({"held_out": True, "target": [0, 1, 0, 1], "score": [0.1, 0.9, 0.4, 0.3]})
    axis = plots.roc({name: table})
    plots.save(axis, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    assert is_clean(drawn) and "--><script" not in drawn
    assert any(text.get_text().startswith(name) for text in axis.get_legend().get_texts())
    import xml.etree.ElementTree as ElementTree

    ElementTree.fromstring(drawn)


def test_numbers_of_a_logarithmic_axis_stay_formulas():
    import matplotlib.pyplot as plt
    from matplotlib.text import Text

    @plots.style.styled
    def draw():
        axis = plt.subplots()[1]
        axis.plot([1, 10, 1000], np.arange(3))
        axis.set(xscale="log")
        axis.set_title("$a$", loc="left")
        return axis

    axis = draw()
    axis.figure.canvas.draw()
    ticks = [text for text in axis.get_xticklabels() if "$" in text.get_text()]
    assert ticks and all(text.get_parse_math() for text in ticks)
    title = next(text for text in axis.findobj(Text) if text.get_text() == "$a$")
    assert not title.get_parse_math()


# ---- no reader of this package runs code in a file ----


def test_readers_of_files_never_evaluate_them():
    library = Path(sys.modules["chromoformer"].__file__).parent
    calls = (
        "eval(",
        "exec(",
        "pickle.load(",
        "pickle.loads(",
        "yaml.load(",
        "yaml.unsafe_load(",
        "joblib.load(",
    )
    calls += (
        "allow_pickle=True",
        "weights_only=False",
        "read_pickle(",
        "extractall(",
        "os.system(",
        "shell=True",
    )
    for file in library.rglob("*.py"):
        text = file.read_text().replace(".eval()", "").replace("model_eval(", "")
        found = [call for call in calls if call in text.replace("literal_eval(", "")]
        assert not found, (file, found)


def test_manifests_that_name_files_elsewhere_are_still_read(tmp_path):
    content = content_of("http://127.0.0.1:9")
    content["annotation"]["path"] = "../elsewhere/genes.gtf"
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(content))
    found = read_manifest(tmp_path / "m.yaml")
    assert Path(found.annotation.path) == tmp_path / ".." / "elsewhere" / "genes.gtf"
