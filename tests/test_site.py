"""The site without executing notebooks: contents, links, reference, README, and search in a browser."""

import ast
import importlib
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def of_docs(name):
    "Import a module of docs/, which is not a package."
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(DOCS))


stage = of_docs("stage")


def listed():
    contents = yaml.safe_load((DOCS / "contents.yaml").read_text())
    return [
        page
        for section in contents.values()
        for pages in [section.get("pages", []), *section.get("groups", {}).values()]
        for page in pages
    ]


# ---- contents ----


def test_table_of_contents_lists_every_notebook_once():
    made = {"reference/names", "reference/commands"}
    assert set(listed()) - made == set(stage.notebooks()) - {"index"}, "list it in docs/contents.yaml"
    assert [page for page, times in Counter(listed()).items() if times > 1] == []


@pytest.mark.parametrize("page", stage.notebooks())
def test_every_page_has_a_title_a_summary_and_valid_links(page):
    title, summary = stage.title_and_summary(stage.stage(page, stage.Links()))  # a broken link exits
    assert title and summary.endswith((".", "?"))


@pytest.mark.parametrize("page", stage.notebooks())
def test_links_within_a_page_lead_to_its_headings(page):
    cells = nbformat.read(ROOT / "nbs" / f"{page}.ipynb", as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    places = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= places


def test_links_in_markdown_files_are_valid():
    for file in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"):
        for link in re.findall(r"\]\(([^)\s]+)\)", file.read_text()):
            assert re.match(r"https?:|#", link) or (ROOT / link.partition("#")[0]).exists(), (
                f"{file.name} links to {link}"
            )


def test_the_readme_fits_two_screens():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 80 and "make demo" in readme


def test_the_readme_is_what_its_notebook_shows(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from make_readme import differing, readme

    assert differing(readme()) is None


def test_numbers_in_the_readme_match_the_results():
    kept = {
        name: json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
        for name in ("cells.train", "against_trees")
    }
    numbers = []
    for found in kept["cells.train"]["cells"].values():
        (network,) = [row for row in found["classification"]["metrics"]["means"] if row["metric"] == "auc"]
        numbers.append(f"{network['value']:.4f}")
    for found in kept["against_trees"]["results"]["three cells"].values():
        both = [found[task]["values"] for task in ("classification", "regression")]
        numbers += [
            f"{both[0][model]:.4f} ({both[1][model]:.3f})" for model in ("trees", "network", "stacked, mean")
        ]
    readme = (ROOT / "README.md").read_text()
    assert [number for number in numbers if number not in readme] == [], "make readme"


def test_citation_names_the_method_paper():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    method = cited["references"][0]
    assert [author["family-names"] for author in method["authors"]] == ["Lee", "Yang", "Kim"] and method[
        "doi"
    ] == "10.1038/s41467-022-34152-5"
    assert (
        cited["version"] == importlib.import_module("chromoformer").__version__
        and cited["license"] == "Apache-2.0"
    )


# ---- staging ----


def test_reference_entries_cover_public_names_only():
    source = """
def depth(reads: list[int], length: int = 36) -> "Tensor":
    '''Return the reads over every base.

    More text.
    '''


class Track:
    "A track."


def _hidden():
    pass
"""
    api = of_docs("api")
    text = api.entries(source, "chromoformer.data.depth")
    assert ".. autofunction:: chromoformer.data.depth.depth" in text
    assert ".. autoclass:: chromoformer.data.depth.Track\n   :members:" in text
    assert "_hidden" not in text
    names = api.public_names(source, "chromoformer.data.depth")
    assert [name.summary for name in names] == ["Return the reads over every base.", "A track."]


def test_every_public_name_is_in_the_reference():
    module = nbformat.read(ROOT / "nbs" / "model" / "attention.ipynb", as_version=4)
    public = re.findall(
        r"^(?:def|class) ([A-Za-z]\w*)",
        "\n".join(cell.source for cell in module.cells if "#| export" in cell.source),
        re.M,
    )
    text = "\n".join(cell.source for cell in stage.stage("model/attention", stage.Links()).cells)
    assert "RegulationTransformer" in public and all(
        f"chromoformer.model.attention.{name}" in text for name in public
    )


def defaults_of(function):
    "Return the default values of a function that are numbers, by parameter."
    places = [*function.args.posonlyargs, *function.args.args]
    values = dict(
        zip(
            [place.arg for place in places][len(places) - len(function.args.defaults) :],
            function.args.defaults,
        )
    )
    values |= dict(zip([place.arg for place in function.args.kwonlyargs], function.args.kw_defaults))
    return {
        name: value.value
        for name, value in values.items()
        if isinstance(value, ast.Constant) and type(value.value) in (int, float)
    }


@pytest.mark.parametrize("module", sorted((ROOT / "chromoformer").rglob("*.py")), ids=lambda path: path.stem)
def test_defaults_in_docstrings_are_those_of_the_signatures(module):
    for function in ast.walk(ast.parse(module.read_text())):
        if isinstance(function, ast.FunctionDef):
            known = defaults_of(function)
            text = ast.get_docstring(function) or ""
            for names, said in re.findall(r"^(\w+(?:, \w+)*) : .*, default ([\d][\d_,.e+-]*)$", text, re.M):
                for name in names.split(", "):
                    value = float(said.rstrip(".").replace(",", "").replace("_", ""))
                    assert known.get(name, value) == value, f"{function.name}: {name}"


def test_broken_links_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">x</a><a href="b.html#gone">x</a><a href="c.html">x</a><a href="https://example.org">x</a>'
    )
    (tmp_path / "b.html").write_text('<h1 id="there">B</h1>')
    assert of_docs("check_links").broken_links(tmp_path) == ["a.html: b.html#gone", "a.html: c.html"]


# ---- git ----


def test_hook_refuses_notebook_that_differs_from_library(tmp_path):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    (tmp_path / ".githooks").mkdir()
    shutil.copy(ROOT / ".githooks" / "pre-commit", tmp_path / ".githooks")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "in_step.py").write_text(
        "import sys\nfrom pathlib import Path\nsys.exit('bad' in Path('nbs/a.ipynb').read_text())\n"
    )
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "bin" / "ruff").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "bin" / "ruff").chmod(0o755)

    def git(*arguments):
        settings = ["-c", "core.hooksPath=.githooks", "-c", "user.name=A", "-c", "user.email=a@example.org"]
        return subprocess.run(
            ["git", *settings, *arguments],
            cwd=tmp_path,
            capture_output=True,
            env={"PATH": "/usr/bin:/bin", "VENV": str(tmp_path), "HOME": str(tmp_path)},
        ).returncode

    (tmp_path / "nbs").mkdir()
    (tmp_path / "nbs" / "a.ipynb").write_text("good")
    assert git("init", "-q") == 0 and git("add", "nbs") == 0 and git("commit", "-m", "good") == 0
    (tmp_path / "nbs" / "a.ipynb").write_text("bad")
    assert git("add", "nbs") == 0 and git("commit", "-m", "bad") != 0
    (tmp_path / "README.md").write_text("words")
    assert git("reset", "-q") == 0 and git("add", "README.md") == 0 and git("commit", "-m", "words") == 0


@pytest.mark.parametrize("name", ["test", "site"])
def test_workflows_run_make_targets(name):
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    targets = {target for run in steps for target in re.findall(r"^make (\S+)", run, re.M)}
    assert targets == {{"test": "test", "site": "docs"}[name]}
    assert all(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M) for target in targets)


# ---- in a browser ----


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "page"),
    [("RegulationTransformer", "model/attention.html"), ("capture Hi-C", "data/contacts.html")],
)
def test_search_finds_pages(words, page):
    from urllib.parse import quote

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    html = DOCS / "_build" / "html"
    if browser is None or not (html / "search.html").exists():
        pytest.skip("needs a browser (chromium) and the site (make docs)")
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        "--virtual-time-budget=20000",
        "--dump-dom",
    ]
    shown = subprocess.run(
        [*command, f"file://{html}/search.html?q={quote(words)}"], capture_output=True, text=True, timeout=120
    ).stdout
    found = re.findall(r'<a href="([^"#?]+)', shown[shown.index('id="search-results"') :])
    assert page in found, found[:20]
