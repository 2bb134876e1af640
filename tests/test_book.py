"""The outputs of the notebooks: when they are executed, what is kept, and what is complained about."""

import base64
import importlib
import io
import json
import sys
from pathlib import Path

import nbformat
import pytest

from chromoformer.provenance import Stopwatch, record

ROOT = Path(__file__).resolve().parents[1]


def of_docs(name):
    "Import a module of docs/, which is not a package."
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "docs"))


book, execute = of_docs("book"), of_docs("execute")
new = nbformat.v4


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    "A small book in an empty folder: one notebook imports a module of the library, one reads a kept result."
    for module in (book, execute, of_docs("stage")):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    for module in (book, of_docs("stage")):
        monkeypatch.setattr(module, "NBS", tmp_path / "nbs")
    monkeypatch.setattr(book, "CONTENTS", tmp_path / "contents.yaml")
    (tmp_path / "contents.yaml").write_text("all: {title: All, pages: [genome, numbers]}\n")
    (tmp_path / "settings.ini").write_text((ROOT / "settings.ini").read_text())
    monkeypatch.chdir(tmp_path)
    kept = tmp_path / "benchmarks" / "results"
    kept.mkdir(parents=True)
    (kept / "speed.json").write_text("[1, 2]")
    (tmp_path / "nbs").mkdir()
    sources = {
        "index": ["1 + 1"],
        "genome": ["from chromoformer.genome import Region\nRegion('chr1', 0, 5)"],
        "numbers": [
            "import json, pathlib\nfile = pathlib.Path('../benchmarks/results') / ('speed' + '.json')",
            "numbers = json.loads(file.read_text())\nsum(numbers)",
        ],
    }
    for page, cells in sources.items():
        heading = new.new_markdown_cell(f"# The {page}\n> About it.")
        notebook = new.new_notebook(cells=[heading, *map(new.new_code_cell, cells)])
        nbformat.write(notebook, tmp_path / "nbs" / f"{page}.ipynb")
    book.hash_of_file.cache_clear()
    yield tmp_path
    book.hash_of_file.cache_clear()


def edit(shelf, page, change):
    "Change a notebook in place."
    path = shelf / "nbs" / f"{page}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)


def bind(shelf):
    "Execute what changed, one notebook after the other, as `make book` does."
    executed = list(book.names_of_changed())
    for page in executed:
        page, outputs, record, _, error = book._execute(page)
        assert not error, error
        book.write(page, outputs, record)
    book.hash_of_file.cache_clear()
    return executed


def test_only_what_changed_is_executed_again(shelf, monkeypatch):
    assert any("has no outputs" in problem for problem in book.check())
    assert bind(shelf) == ["index", "genome", "numbers"]
    assert book.check() == [] and bind(shelf) == []
    numbers = nbformat.read(shelf / "nbs" / "numbers.ipynb", as_version=4)
    assert numbers.cells[2].outputs[0].data["text/plain"] == "3"

    edit(shelf, "numbers", lambda notebook: notebook.cells[0].update(source="# The numbers\n> Other words."))
    assert bind(shelf) == [], "text needs no execution"
    (shelf / "benchmarks" / "results" / "speed.json").write_text("[1, 5]")
    assert book.names_of_changed() == {"numbers": "benchmarks/results/speed.json changed"}
    assert bind(shelf) == ["numbers"]
    edit(shelf, "index", lambda notebook: notebook.cells[1].update(source="1 + 2"))
    assert book.check() == ["nbs/index.ipynb its outputs belong to other code"]
    assert bind(shelf) == ["index"] and book.check() == []

    known = book.sources_of

    def changed_module(kind, path):
        sources = known(kind, path)
        return {
            name: value + ("x" if name == "chromoformer.genome" else "") for name, value in sources.items()
        }

    monkeypatch.setattr(book, "sources_of", changed_module)
    assert book.names_of_changed() == {"genome": "a module that it imports changed"}


def test_a_page_whose_files_are_missing_keeps_its_outputs(shelf, monkeypatch, capsys):
    bind(shelf)
    edit(shelf, "numbers", lambda notebook: notebook.cells[2].update(source="numbers"))
    before = (shelf / "nbs" / "numbers.ipynb").read_text()
    monkeypatch.setattr(book, "NEEDS", {"numbers": "data/peaks.gz"})
    monkeypatch.setattr(sys, "argv", ["book.py", "--no-study"])
    monkeypatch.setattr(book, "write_contents", lambda: None)
    with pytest.raises(SystemExit) as ended:
        book.main()
    assert ended.value.code == 0 and (shelf / "nbs" / "numbers.ipynb").read_text() == before
    assert "numbers (its code changed) keeps its outputs: data/peaks.gz is missing" in capsys.readouterr().out


@pytest.mark.parametrize("page", book.NEEDS)
def test_pages_that_need_files_were_executed_with_them(page):
    notebook = nbformat.read(ROOT / "nbs" / f"{page}.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3


def test_every_kind_of_wrong_output_is_named(shelf):
    bind(shelf)

    def remove(notebook):
        notebook.cells[1].outputs = []

    edit(shelf, "genome", remove)
    assert book.check() == ["nbs/genome.ipynb its outputs are not those of its execution"]

    def spoil(notebook):
        notebook.cells[1].outputs = [
            new.new_output("error", ename="ValueError", evalue="no", traceback=[]),
            new.new_output("stream", name="stdout", text="/home/ann/data.h5"),
            new.new_output("display_data", data={"image/png": "a" * 300_000}),
        ]
        notebook.cells[1].metadata["alt"] = "A figure."
        notebook.metadata["book"]["outputs"] = book.hash_of_outputs(book.outputs_of(notebook))

    edit(shelf, "genome", spoil)
    assert book.problems("genome") == [
        "shows an error, ValueError",
        "shows a path of a machine, /home/ann",
        "has a figure of 225 kB, more than 150",
    ]


def test_figure_without_alternative_text_is_named(shelf):
    bind(shelf)

    def draw(notebook):
        notebook.cells[1].id = "drawn"
        notebook.cells[1].outputs = [new.new_output("display_data", data={"image/png": "aaaa"})]
        notebook.metadata["book"]["outputs"] = book.hash_of_outputs(book.outputs_of(notebook))

    edit(shelf, "genome", draw)
    missing = "has a figure without alternative text, `alt` in the metadata of cell drawn"
    assert book.problems("genome") == [missing]
    edit(shelf, "genome", lambda notebook: notebook.cells[1].metadata.update(alt=""))
    assert book.problems("genome") == [missing]
    edit(shelf, "genome", lambda notebook: notebook.cells[1].metadata.update(alt="One square."))
    assert book.problems("genome") == []


def test_notebooks_link_to_their_neighbours_and_the_contents(shelf):
    bind(shelf)
    book.write_contents()
    links = book.navigation_of(nbformat.read(shelf / "nbs" / "genome.ipynb", as_version=4)).split(" · ")
    assert links == [
        "Previous: [The index](index.ipynb)",
        "Next: [The numbers](numbers.ipynb)",
        "[Contents](contents.ipynb)",
    ]
    contents = nbformat.read(shelf / "nbs" / "contents.ipynb", as_version=4).cells[0].source
    assert "- [The genome](genome.ipynb)\n- [The numbers](numbers.ipynb)" in contents


def test_failing_notebook_keeps_what_it_showed(shelf):
    bind(shelf)
    edit(shelf, "index", lambda notebook: notebook.cells[1].update(source="1 / 0"))
    before = (shelf / "nbs" / "index.ipynb").read_bytes()
    failed = book.execute_all(["index"], 1)
    assert len(failed) == 1 and "ZeroDivisionError" in failed[0]
    assert (shelf / "nbs" / "index.ipynb").read_bytes() == before


def test_examples_are_checked_without_keeping_what_they_show(shelf):
    bind(shelf)
    edit(shelf, "index", lambda notebook: notebook.cells[1].update(source="1 + 5"))
    before = (shelf / "nbs" / "index.ipynb").read_bytes()
    assert book.execute_all(["index"], 1, keep=False) == []
    assert (shelf / "nbs" / "index.ipynb").read_bytes() == before


def test_two_executions_show_the_same(shelf):
    source = """
    import sys, tempfile, numpy, pandas, matplotlib.pyplot as plt
    from tqdm.auto import tqdm
    for _ in tqdm(range(3)):
        pass
    print({name for name in ("a", "b", "c", "d")}, object(), tempfile.mkdtemp(), file=sys.stdout)
    print("half", end="\\r"); print("whole")
    display(pandas.DataFrame({"x": [1.5]}).style.format(precision=1))
    plt.plot(numpy.arange(5)); plt.show()
    """
    lines = "\n".join(line[4:] for line in source.strip("\n").splitlines())
    edit(shelf, "index", lambda notebook: notebook.cells[1].update(source=lines))
    first, second = (execute.execute(shelf / "nbs" / "index.ipynb")[0] for _ in range(2))
    assert json.dumps(first) == json.dumps(second)
    shown = json.dumps(first, ensure_ascii=False)
    assert "image/png" in shown and "T_0" in shown and "…" in shown
    assert not any(word in first[0][0].text for word in ("0x", "half", "%"))


@pytest.mark.parametrize("opaque", [True, False])
def test_figures_get_smaller_and_keep_their_colours(opaque):
    from PIL import Image

    image = Image.new("RGBA", (400, 300), (255, 255, 255, 255 if opaque else 0))
    for x in range(100, 200):
        for y in range(100, 200):
            image.putpixel((x, y), (200, 30 + x % 7, 30, 255))
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=0)
    smaller = execute._smaller(base64.b64encode(out.getvalue()).decode())
    assert len(smaller) < len(out.getvalue()) / 10
    shown = Image.open(io.BytesIO(base64.b64decode(smaller))).convert("RGBA")
    assert shown.size == image.size and shown.getpixel((0, 0))[3] == (255 if opaque else 0)
    assert max(abs(a - b) for a, b in zip(shown.getpixel((150, 150)), image.getpixel((150, 150)))) <= 8


@pytest.mark.parametrize(("failures", "fails"), [(0, False), (2, False), (3, True)])
def test_kernel_start_is_retried_twice(shelf, monkeypatch, failures, fails):
    import nbclient

    calls = []

    def run(client):
        calls.append(client)
        if len(calls) <= failures:
            raise RuntimeError("Kernel died")
        client.nb.cells[-1].outputs = [new.new_output("stream", name="stdout", text="[]")]

    monkeypatch.setattr(nbclient.NotebookClient, "execute", run)
    if fails:
        with pytest.raises(execute.Failed, match="Kernel died"):
            execute.execute(shelf / "nbs" / "index.ipynb")
    else:
        execute.execute(shelf / "nbs" / "index.ipynb")
    assert len(calls) == min(failures + 1, 3)


def test_outputs_of_an_analysis_come_from_a_job_of_the_same_version(shelf):
    (shelf / "nbs" / "analyses").mkdir()
    parameters = new.new_code_cell("seeds = 1", metadata={"tags": ["parameters"]}, id="p")
    source = new.new_notebook(
        cells=[new.new_markdown_cell("# Window"), parameters, new.new_code_cell("seeds", id="s")]
    )
    nbformat.write(source, shelf / "nbs" / "analyses" / "window.ipynb")
    (shelf / "contents.yaml").write_text("all: {title: All, pages: [genome, numbers, analyses/window]}\n")
    job = shelf / "runs" / "toy" / "window" / "cellA"
    job.mkdir(parents=True)
    executed = new.new_notebook(cells=[nbformat.from_dict(cell) for cell in source.cells])
    injected = new.new_code_cell(
        "# Parameters\nseeds = 3\nfile = '/home/me/a/b.bed'", metadata={"tags": ["injected-parameters"]}
    )
    executed.cells.insert(2, injected)
    link = "[all](../window/cellA/notebook.html)"
    executed.cells[3].outputs = [
        new.new_output("execute_result", data={"text/plain": "3", "text/markdown": link})
    ]
    nbformat.write(executed, job / "notebook.ipynb")
    sources = book.sources_of("notebook", shelf / "nbs" / "analyses" / "window.ipynb")
    record(
        job / "provenance.json",
        what="window",
        inputs={},
        outputs={},
        parameters={},
        watch=Stopwatch(),
        job={"sources": sources},
    )

    assert book.from_study("analyses/window", shelf / "runs" / "toy")
    shown = nbformat.read(shelf / "nbs" / "analyses" / "window.ipynb", as_version=4).cells
    note = shown[1].outputs[0].data["text/markdown"]
    assert (
        "job `window/cellA`" in note and "seeds = 3" in note and shown[2].outputs[0].data["text/plain"] == "3"
    )
    assert "file = '…/b.bed'" in note and "/home" not in note
    edit(shelf, "analyses/window", lambda notebook: notebook.cells[2].update(source="seeds + 1"))
    assert not book.from_study("analyses/window", shelf / "runs" / "toy"), "made by another version"
