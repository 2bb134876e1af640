"""Build the site: stage the notebooks, execute them, run the gallery's study, sphinx-build -W, check the links.

python docs/build.py [--study FOLDER] [--jobs N] [--only PAGE ...]
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml
from check_links import broken_links
from execute import execute
from stage import ROOT, Links, notebooks, stage, stage_executed, title_and_summary

DOCS = ROOT / "docs"
STUDIES = ("toy", "whole_genes")  # of workflow/studies; the gallery shows what they ran


def sections() -> dict[str, dict]:
    "The table of contents."
    return yaml.safe_load((DOCS / "contents.yaml").read_text())


def pages_of(section: dict) -> list[str]:
    "Pages of a section in their order."
    return [
        *section.get("pages", []),
        *(page for pages in section.get("groups", {}).values() for page in pages),
    ]


def gallery(study: Path, links: Links) -> dict:
    "The first executed notebook of each analysis, with what is known of its making."
    found = {}
    for page in (page for page in notebooks() if page.startswith("analyses/")):
        executed = sorted((study / Path(page).name).rglob("notebook.ipynb"))
        if not executed:
            continue
        made = json.loads((executed[0].parent / "provenance.json").read_text())
        job = executed[0].parent.relative_to(study)
        others = (
            f" {len(executed) - 1} more jobs of the study ran the same notebook with other parameters."
            if len(executed) > 1
            else ""
        )
        note = (
            f"Executed as job `{job}` of the study `{study.name}`: {_made(made)}.{others} Code is folded. Make it yourself: `chromoformer run workflow/studies/{study.name}.yaml`, "
            "or open the notebook and change its parameters."
        )
        found[page] = stage_executed(executed[0], page, links, note)
    return found


def _made(record: dict) -> str:
    "When, on what and with what, from a provenance record."
    where, versions = record.get("machine", {}), record.get("versions", {})
    commit = (record.get("code") or {}).get("commit") or ""
    parts = [
        str(record.get("finished", record.get("ended", "")))[:10],
        f"{record.get('seconds', 0):,.0f} s",
        where.get("processor", ""),
        f"torch {versions['torch']}" if "torch" in versions else "",
        f"commit {commit[:7]}" if commit else "",
    ]
    return ", ".join(part for part in parts if part)


def write_section(out: Path, name: str, section: dict, about: dict[str, tuple[str, str]]) -> None:
    "A page for a section: what is in it, in a table."
    groups = section.get("groups") or {"": section.get("pages", [])}
    lines = [f"# {section['title']}", "", section.get("about", ""), ""]
    for title, pages in groups.items():
        lines += [f"## {title}", ""] if title else []
        lines += ["```{list-table}", ":class: contents", ":widths: 30 70", ""]
        lines += [f"* - [{about[page][0]}](/{page})\n  - {about[page][1]}" for page in pages]
        lines += [
            "```",
            "",
            "```{toctree}",
            ":hidden:",
            *([f":caption: {title}"] if title else []),
            "",
            *(f"/{page}" for page in pages),
            "```",
            "",
        ]
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.md").write_text("\n".join(lines))


def write_commands(out: Path) -> None:
    "Every command with its options, from the command line itself."
    import typer
    from typer.cli import get_docs_for_click

    from chromoformer.cli import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(
        obj=command,
        ctx=typer.Context(command, info_name="chromoformer"),
        name="chromoformer",
        title="All commands",
    )
    text = text.replace(
        "# All commands\n", "# All commands\n\n> The command line as it describes itself.\n", 1
    )
    (out / "reference").mkdir(parents=True, exist_ok=True)
    (out / "reference" / "commands.md").write_text(text)


def write_names(out: Path, staged: dict) -> None:
    "Every public name, by module."
    lines = ["# All names", "", "> Every public function and class, and where it is explained.", ""]
    for page in pages_of(sections()["method"]) + pages_of(sections()["reference"]):
        text = (
            "\n".join(cell.source for cell in staged[page].cells if cell.cell_type == "markdown")
            if page in staged
            else ""
        )
        names = re.findall(
            r"^`{4,5}\{py:(?:function|class)\} ([\w.]+)[^\n]*\n(?::\w+:[^\n]*\n)*\n([^\n]*)", text, re.M
        )
        if names:
            module = names[0][0].rsplit(".", 1)[0]
            lines += [
                f"## {module}",
                "",
                *(f"- {{py:obj}}`{name.rsplit('.', 1)[1]} <{name}>`: {said}" for name, said in names),
                "",
            ]
    (out / "reference" / "names.md").write_text("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--study",
        type=Path,
        help="folder of a study that was run; default: runs/toy and runs/whole_genes, which are run if they are not there",
    )
    parser.add_argument("--no-study", action="store_true", help="leave the gallery's notebooks unexecuted")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="notebooks at a time")
    parser.add_argument("--out", type=Path, default=DOCS / "_build", help="folder to write")
    parser.add_argument("--only", nargs="*", help="execute these pages only; for a quick look")
    options = parser.parse_args()
    out, links = options.out.resolve(), Links()
    source = out / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)

    studies = [options.study] if options.study else []
    if not studies and not options.no_study:
        studies = [ROOT / "runs" / name for name in STUDIES]
        for study in studies:
            subprocess.run(
                [
                    Path(sys.executable).parent / "chromoformer",
                    "run",
                    ROOT / "workflow" / "studies" / f"{study.name}.yaml",
                    "--out",
                    study,
                    "--cores",
                    str(options.jobs),
                ],
                check=True,
            )
    executed = {page: made for study in studies for page, made in gallery(study.resolve(), links).items()}
    staged = {page: stage(page, links) for page in notebooks() if page not in executed}
    chosen = {
        page: notebook
        for page, notebook in staged.items()
        if not page.startswith("analyses/") and (options.only is None or page in options.only)
    }
    failed = execute(chosen, out / "executed", options.jobs)
    if failed:
        sys.exit(f"{len(failed)} notebooks failed; the site is not built")

    for page in chosen:
        for cell in chosen[page].cells:
            for output in cell.get("outputs", []):
                if "text/markdown" in output.get("data", {}):
                    output.data["text/markdown"] = links.rewrite("".join(output.data["text/markdown"]), page)

    contents = sections()
    write_commands(source)
    write_names(source, staged)
    everything = {**staged, **executed}
    about = {page: title_and_summary(notebook) for page, notebook in everything.items()}
    about = {
        page: (title or page, links.rewrite(summary, "index")) for page, (title, summary) in about.items()
    }
    for page in ("reference/names", "reference/commands"):
        about[page] = title_and_summary(
            nbformat.v4.new_notebook(
                cells=[nbformat.v4.new_markdown_cell((source / f"{page}.md").read_text())]
            )
        )
    top = []
    for name, section in contents.items():
        if list(section.get("pages", [])) == [f"guides/{name}"]:  # a section of one page is that page
            top.append(f"guides/{name}")
            continue
        write_section(source, name, section, about)
        top.append(f"{name}/index")
    toctree = (
        "```{toctree}\n:hidden:\n\n"
        + "\n".join(
            f"{contents[page.split('/')[0] if page.endswith('/index') else page.split('/')[1]]['title']} </{page}>"
            for page in top
        )
        + "\n```"
    )
    everything["index"].cells.append(nbformat.v4.new_markdown_cell(toctree))
    links.write_files(source)
    for page, notebook in everything.items():
        (source / page).parent.mkdir(parents=True, exist_ok=True)
        notebook.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        nbformat.write(notebook, source / f"{page}.ipynb")
    for name in ("conf.py", "_static"):
        (source / name).unlink(missing_ok=True)
    shutil.copytree(DOCS / "_static", source / "_static")

    html = out / "html"
    shutil.rmtree(html, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        "-j",
        str(options.jobs),
        "-c",
        DOCS,
        "-d",
        out / "doctrees",
        source,
        html,
    ]
    if subprocess.run(command).returncode:
        sys.exit("sphinx-build did not end well; the warnings above say where")
    if broken := broken_links(html):
        sys.exit("links that lead nowhere:\n" + "\n".join(broken))
    print(
        f"{len(list(html.rglob('*.html')))} pages, every internal link leads somewhere. Open {html / 'index.html'}"
    )


if __name__ == "__main__":
    main()
