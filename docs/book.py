"""Write the outputs of the notebooks in nbs/: execute those whose code, modules or files have changed.

    python docs/book.py                       # what changed; small simulated studies run the analyses
    python docs/book.py --only guides/speed   # these notebooks
    python docs/book.py --check               # execute nothing; list what is missing or does not fit
    python docs/book.py --test                # execute what changed, and keep nothing

Each notebook keeps a record in its metadata, under "book": hashes of its code, of the library's modules that
it imports, of the repository's files that it read, and of the outputs.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path

import nbformat
import yaml
from execute import LARGEST, ROOT, Failed, clean, execute
from nbdev.clean import nbdev_clean
from stage import CONTENTS as CONTENTS_PAGE
from stage import NAVIGATION, NBS, notebooks

from chromoformer.provenance import atomic_path, read_record, sha256
from chromoformer.studies.sources import hash_of, sources_of

CONTENTS = ROOT / "docs" / "contents.yaml"
STUDIES = ("toy", "whole_genes", "differential")  # in workflow/studies; their jobs execute the analyses
NEEDS = {  # page -> a downloaded file, without which it shows nothing and keeps its earlier outputs
    "tutorials/encode_peaks": "data/cells/K562/K562-H3K4me3.broadPeak.gz",
}
READ = ("benchmarks", "data_manifests", "workflow", "docs/contents.yaml")  # files that may change an output
LARGEST_BOOK = 20_000_000  # bytes of all outputs
MACHINE = re.compile(r"(?<![\w.…])/(?:home|root|Users|tmp|work|private|var/folders)/[\w.-]+")


# ---- what a notebook depends on ----


def file_of(page: str) -> Path:
    "Return the notebook of a page such as `data/store`."
    return NBS / f"{page}.ipynb"


def short(value: object) -> str:
    "Return the first 16 digits of a hash; enough to notice a change."
    return hash_of(value)[:16]


def code_and_library(path: Path) -> tuple[str, str]:
    "Return the hash of a notebook's code, and that of all modules of the library that it may import."
    sources = sources_of("notebook", path)
    if any(re.search(r"^\s*!.*\bchromoformer\b", source, re.M) for source in _code(path)):
        sources |= sources_of_command()
    return _parts(sources)


def _parts(sources: dict[str, str]) -> tuple[str, str]:
    modules = {name: value for name, value in sources.items() if name not in ("notebook", "text")}
    return sources["notebook"][:16], short(modules)


@cache
def sources_of_command() -> dict[str, str]:
    "Return the modules that the command `chromoformer` may import."
    from chromoformer.studies.sources import library_of

    return library_of(["chromoformer.cli"])


@cache
def hash_of_file(path: Path) -> str:
    return sha256(path)[:16] if path.is_file() else ""


def _code(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def _read_by(path: Path, opened: list[str]) -> list[str]:
    "Return the repository's files that a notebook opened or names, relative to the repository."
    named = re.findall(rf"(?:{'|'.join(READ[:3])})/[\w./-]+\w", "\n".join(_code(path)))
    found = {os.path.relpath(name, ROOT) for name in opened if name.startswith(f"{ROOT}{os.sep}")}
    return sorted(
        name
        for name in {*found, *named}
        if name.startswith(READ) and (ROOT / name).is_file() and "__pycache__" not in name
    )


def outputs_of(notebook) -> list[list]:
    "Return the outputs of each code cell."
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def hash_of_outputs(outputs: list[list]) -> str:
    "Return the hash of the outputs of all cells."
    return short([[nbformat.from_dict(output) for output in cell] for cell in outputs])


# ---- what is missing or does not fit ----


def changed(page: str) -> str:
    "Return why a notebook must be executed; empty if its outputs fit."
    path = file_of(page)
    record = nbformat.read(path, as_version=4).metadata.get("book")
    if not record:
        return "has no outputs"
    code, library = code_and_library(path)
    if record["code"] != code:
        return "its code changed"
    if record["library"] != library:
        return "a module that it imports changed"
    files = [name for name, value in record["files"].items() if hash_of_file(ROOT / name) != value]
    return f"{', '.join(files)} changed" if files else ""


def problems(page: str) -> list[str]:
    "Return what is wrong with the outputs that a notebook has."
    path = file_of(page)
    notebook = nbformat.read(path, as_version=4)
    record = notebook.metadata.get("book")
    if not record:
        return ["has no outputs"]
    found = []
    outputs = outputs_of(notebook)
    if record["code"] != code_and_library(path)[0]:
        found.append("its outputs belong to other code")
    elif record["outputs"] != hash_of_outputs(outputs):
        found.append("its outputs are not those of its execution")
    for output in (output for cell in outputs for output in cell):
        if output.output_type == "error":
            found.append(f"shows an error, {output.ename}")
        text = "".join(_texts(output))
        if place := MACHINE.search(text):
            found.append(f"shows a path of a machine, {place[0]}")
        image = output.get("data", {}).get("image/png", "")
        if len(image) * 3 / 4 > LARGEST:
            found.append(
                f"has a figure of {len(image) * 3 / 4 / 1000:.0f} kB, more than {LARGEST / 1000:.0f}"
            )
    for cell in notebook.cells:
        if cell.cell_type == "code" and _shows_figure(cell) and not cell.metadata.get("alt"):
            found.append(f"has a figure without alternative text, `alt` in the metadata of cell {cell.id}")
    return list(dict.fromkeys(found))


def _shows_figure(cell) -> bool:
    "Return whether a code cell has a figure among its outputs."
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


def _texts(output) -> list[str]:
    data = output.get("data", {})
    return [output.get("text", ""), *("".join(data[kind]) for kind in data if kind.startswith("text/"))]


def check() -> list[str]:
    "Return what `make in-step` complains about: outputs that are missing, wrong or too large together."
    pages = notebooks()
    found = [f"nbs/{page}.ipynb {problem}" for page in pages for problem in problems(page)]
    total = sum(len(json.dumps(outputs_of(nbformat.read(file_of(page), as_version=4)))) for page in pages)
    if total > LARGEST_BOOK:
        found.append(f"all outputs take {total / 1e6:.1f} MB, more than {LARGEST_BOOK / 1e6:.0f}")
    order = in_order()
    found += [
        f"nbs/{page}.ipynb does not link to the notebooks before and after it"
        for page in pages
        if navigation_of(nbformat.read(file_of(page), as_version=4)) != navigation(page, order)
    ]
    return found


def names_of_changed() -> dict[str, str]:
    "Return the notebooks that `make book` would execute, each with the reason."
    return {page: why for page in in_order() if (why := changed(page))}


# ---- the order of the book ----


def in_order() -> list[str]:
    "Return the notebooks in the order of the table of contents."
    sections = yaml.safe_load(CONTENTS.read_text())
    pages = ["index"]
    for section in sections.values():
        pages += section.get("pages", [])
        pages += [page for group in section.get("groups", {}).values() for page in group]
    return [page for page in pages if file_of(page).exists()]


def title_of(page: str) -> str:
    "Return the heading of a notebook."
    for cell in nbformat.read(file_of(page), as_version=4).cells:
        if heading := re.search(r"^# (.+)$", cell.source, re.M):
            return heading[1]
    return page


def navigation(page: str, order: list[str]) -> str:
    "Return the line that links a notebook to its neighbours and to the contents."
    if page == "index":
        return ""
    here = order.index(page)
    links = [("Previous: ", order[here - 1])] + (
        [("Next: ", order[here + 1])] if here + 1 < len(order) else []
    )
    folder = file_of(page).parent
    parts = [f"{word}[{title_of(other)}]({os.path.relpath(file_of(other), folder)})" for word, other in links]
    return " · ".join([*parts, f"[Contents]({os.path.relpath(file_of(CONTENTS_PAGE), folder)})"])


def navigation_of(notebook) -> str:
    "Return the line that a notebook has."
    return next((cell.source for cell in notebook.cells if cell.get("id") == NAVIGATION), "")


def write_contents() -> None:
    "Write nbs/contents.ipynb, the linked table of contents."
    lines = ["# Contents", "", "> Every notebook, in the order of the book."]
    for section in yaml.safe_load(CONTENTS.read_text()).values():
        lines += ["", f"## {section['title']}", ""]
        for group, pages in {"": section.get("pages", []), **section.get("groups", {})}.items():
            listed = [f"- [{title_of(page)}]({page}.ipynb)" for page in pages if file_of(page).exists()]
            lines += [f"**{group}**", "", *listed, ""] if group and listed else listed
    text = "\n".join(lines).strip().replace("\n\n\n", "\n\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text, id="book-contents")])
    with atomic_path(file_of(CONTENTS_PAGE)) as temporary:
        nbformat.write(notebook, temporary)
    nbdev_clean(str(file_of(CONTENTS_PAGE)))


# ---- writing ----


def write(page: str, outputs: list[list] | None = None, record: dict | None = None) -> None:
    "Write outputs with their record into a notebook, and the lines to its neighbours."
    path = file_of(page)
    notebook = nbformat.read(path, as_version=4)
    if outputs is not None:
        for cell, found in zip((c for c in notebook.cells if c.cell_type == "code"), outputs, strict=True):
            cell.outputs = [nbformat.from_dict(output) for output in found]
        notebook.metadata["book"] = (record or {}) | {"outputs": hash_of_outputs(outputs)}
    notebook.cells = [cell for cell in notebook.cells if cell.get("id") != NAVIGATION]
    if line := navigation(page, in_order()):
        notebook.cells.append(nbformat.v4.new_markdown_cell(line, id=NAVIGATION))
    with atomic_path(path) as temporary:
        nbformat.write(notebook, temporary)
    nbdev_clean(str(path))


def _execute(page: str) -> tuple[str, list[list], dict, float, str]:
    "Execute one notebook. Return page, outputs, record, seconds and error."
    path = file_of(page)
    try:
        outputs, opened, seconds = execute(path)
    except Failed as failure:
        return page, [], {}, 0.0, str(failure)
    code, library = code_and_library(path)
    files = {name: hash_of_file(ROOT / name) for name in _read_by(path, opened)}
    return page, outputs, {"code": code, "library": library, "files": files}, seconds, ""


def execute_all(pages: list[str], workers: int, keep: bool = True) -> list[str]:
    "Execute notebooks, and write their outputs if they are to be kept. Return the errors."
    failed = []
    with ProcessPoolExecutor(workers) as pool:
        waiting = [pool.submit(_execute, page) for page in pages]
        for number, ended in enumerate(as_completed(waiting), 1):
            page, outputs, record, seconds, error = ended.result()
            state = "failed" if error else f"{seconds:6.1f} s"
            print(f"[{number}/{len(pages)}] {page:<40} {state}", flush=True)
            if error:
                failed.append(f"nbs/{page}.ipynb: {error}")
            elif keep:
                write(page, outputs, record)
    return failed


# ---- analyses: executed by studies ----


def from_study(page: str, study: Path) -> bool:
    "Write the outputs of an analysis from the first of its jobs in a study. Return whether there is one."
    source = nbformat.read(file_of(page), as_version=4)
    cells = [cell for cell in source.cells if cell.cell_type == "code"]
    for executed in sorted((study / Path(page).name).rglob("notebook.ipynb")):
        job = executed.parent
        sources = read_record(job / "provenance.json")["job"].get("sources", {})
        code, library = _parts(sources) if sources else ("", "")
        if code != code_and_library(file_of(page))[0]:
            continue  # made by another version of the notebook
        executed = nbformat.read(executed, as_version=4)
        by_id = {cell.get("id"): cell for cell in executed.cells if cell.cell_type == "code"}
        outputs = [clean(by_id[cell.id].outputs) for cell in cells]
        for cell, shown in zip(cells, outputs):
            _link_to_notebooks(shown)
            if "parameters" in cell.metadata.get("tags", []):
                shown[:] = [_parameters_shown(job, study, executed)]
            _name_files_only(shown)
        record = {
            "code": code,
            "library": library,
            "files": {},
            "job": f"{study.name}/{job.relative_to(study)}",
        }
        write(page, outputs, record)
        return True
    return False


def _link_to_notebooks(outputs: list) -> None:
    "Let links to other jobs of the study lead to their notebooks here, in place."
    for output in outputs:
        for kind in [kind for kind in output.get("data", {}) if kind.startswith("text/")]:
            text = "".join(output.data[kind])
            output.data[kind] = re.sub(r"\(\.\./(\w+)/[\w./-]*notebook\.html\)", r"(\1.ipynb)", text)


def _name_files_only(outputs: list) -> None:
    "Replace the folders of files that a study read elsewhere on its machine by an ellipsis, in place."
    for output in outputs:
        if "text" in output:
            output.text = _without_folders(output.text)
        for kind in [kind for kind in output.get("data", {}) if kind.startswith("text/")]:
            output.data[kind] = _without_folders("".join(output.data[kind]))


def _without_folders(text: str) -> str:
    "Return text in which paths of a machine have only the name of the file."
    return re.sub(rf"{MACHINE.pattern}(?:/[\w.-]+)*", lambda path: f"…/{Path(path[0]).name}", text)


def _parameters_shown(job: Path, study: Path, executed):
    "Return an output for the cell of parameters: the job whose outputs follow, and what it set."
    tagged = [cell for cell in executed.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    lines = tagged[0].source.splitlines()[1:] if tagged else []
    text = (
        f"The outputs below are from the job `{job.relative_to(study)}` of the study "
        f"`workflow/studies/{study.name}.yaml`, which sets these parameters:\n\n```python\n"
        + "\n".join(lines)
        + "\n```"
    )
    output = nbformat.v4.new_output("display_data", data={"text/markdown": text})
    return clean([output])[0]


def run_studies(cores: int) -> list[Path]:
    "Run the studies of the book; finished jobs are skipped. Return their folders."
    folders = [ROOT / "runs" / name for name in STUDIES]
    chromoformer = Path(sys.executable).parent / "chromoformer"
    for folder in folders:
        study = ROOT / "workflow" / "studies" / f"{folder.name}.yaml"
        subprocess.run([chromoformer, "run", study, "--out", folder, "--cores", str(cores)], check=True)
    return folders


def main() -> None:
    options = read_options()
    if options.check:
        found = check()
        stale = [f"nbs/{page}.ipynb: {why}" for page, why in names_of_changed().items()]
        print(*found, *stale, sep="\n")
        sys.exit(bool(found))
    order = in_order()
    if options.test:
        pages = [page for page in names_of_changed() if not page.startswith("analyses/")]
        print(f"{len(order)} notebooks; {len(pages)} were not executed with the present code")
        for error in (failed := execute_all(pages, options.jobs, keep=False)):
            print(error, file=sys.stderr)
        sys.exit(bool(failed))
    write_contents()
    for page in order:
        if navigation_of(nbformat.read(file_of(page), as_version=4)) != navigation(page, order):
            write(page)
    reasons = {
        page: why for page in options.only or order if (why := options.only and "asked for" or changed(page))
    }
    for page in [page for page in reasons if page in NEEDS and not (ROOT / NEEDS[page]).exists()]:
        print(f"{page} ({reasons.pop(page)}) keeps its outputs: {NEEDS[page]} is missing")
    print(f"{len(order)} notebooks, {len(reasons)} to execute")
    for page, why in reasons.items():
        print(f"  {page}: {why}")
    analyses = [page for page in reasons if page.startswith("analyses/")]
    failed = execute_all([page for page in reasons if page not in analyses], options.jobs)
    if analyses and not options.no_study:
        studies = [study.resolve() for study in options.study] or run_studies(options.jobs)
        for page in analyses:
            if not any(from_study(page, study) for study in studies):
                names = ", ".join(study.name for study in studies)
                failed.append(
                    f"nbs/{page}.ipynb: no finished job of {names} executed this version of it; "
                    "name the folder of a study that did with --study"
                )
    for error in failed:
        print(error, file=sys.stderr)
    sys.exit(bool(failed))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="PAGE", help="execute these pages only, changed or not")
    parser.add_argument("--check", action="store_true", help="execute nothing; list what does not fit")
    parser.add_argument("--test", action="store_true", help="execute what changed, and keep nothing")
    parser.add_argument(
        "--study",
        type=Path,
        action="append",
        default=[],
        help="folder of a finished study that executed analyses; default: run toy, whole_genes, differential",
    )
    parser.add_argument("--no-study", action="store_true", help="leave the analyses as they are")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="notebooks at a time")
    return parser.parse_args()


if __name__ == "__main__":
    main()
