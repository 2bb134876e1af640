"""Build the site from the notebooks and their committed outputs: stage them, run Sphinx, check the links."""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml
from check_links import broken_links
from stage import NBS, Links, documented, notebooks, stage, title_and_summary

DOCS = Path(__file__).resolve().parent


def sections() -> dict[str, dict]:
    "Return the table of contents."
    return yaml.safe_load((DOCS / "contents.yaml").read_text())


def pages_of(section: dict) -> list[str]:
    "Return the pages of a section in their order."
    return [
        *section.get("pages", []),
        *(page for pages in section.get("groups", {}).values() for page in pages),
    ]


def write_section(out: Path, name: str, section: dict, about: dict[str, tuple[str, str]]) -> None:
    "Write the page of a section: a table of its pages."
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
    "Write a page of all commands with their options, taken from the command line itself."
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
        "# All commands\n", "# All commands\n\n> Every command with its options and an example.\n", 1
    )
    (out / "reference").mkdir(parents=True, exist_ok=True)
    (out / "reference" / "commands.md").write_text(text)


def write_names(out: Path) -> None:
    "Write a page that lists every public name by module."
    lines = ["# All names", "", "> Every public function and class, and where it is explained.", ""]
    for page in pages_of(sections()["method"]) + pages_of(sections()["reference"]):
        names = documented(page) if (NBS / f"{page}.ipynb").exists() else []
        if names:
            lines += [f"## {names[0].path.rpartition('.')[0]}", ""]
            lines += [
                f"- {{py:obj}}`{name.path.rpartition('.')[2]} <{name.path}>`: {name.summary}"
                for name in names
            ]
            lines += [""]
    (out / "reference" / "names.md").write_text("\n".join(lines))


def write_contents(source: Path, everything: dict, links: Links) -> str:
    "Write a page for each section. Return the table of contents of the start page."
    about = {page: title_and_summary(notebook) for page, notebook in everything.items()}
    about = {
        page: (title or page, links.rewrite(summary, "index")) for page, (title, summary) in about.items()
    }
    for page in ("reference/names", "reference/commands"):
        text = (source / f"{page}.md").read_text()
        as_notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
        about[page] = title_and_summary(as_notebook)
    lines = ["```{toctree}", ":hidden:", ""]
    for name, section in sections().items():
        if section.get("pages") == [f"guides/{name}"]:  # a section of one page is that page
            lines += [f"{section['title']} </guides/{name}>"]
        else:
            write_section(source, name, section, about)
            lines += [f"{section['title']} </{name}/index>"]
    return "\n".join([*lines, "```"])


def write_notebooks(source: Path, everything: dict) -> None:
    "Write the staged notebooks, and the files that Sphinx needs next to them."
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    for page, notebook in everything.items():
        (source / page).parent.mkdir(parents=True, exist_ok=True)
        notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
        nbformat.write(notebook, source / f"{page}.ipynb")
    shutil.copytree(DOCS / "_static", source / "_static")


def build_html(source: Path, out: Path, jobs: int) -> None:
    "Run Sphinx, with warnings as errors, and check every internal link."
    html = out / "html"
    shutil.rmtree(html, ignore_errors=True)
    options = ["-W", "--keep-going", "-q", "-b", "html", "-j", str(jobs), "-c", DOCS, "-d", out / "doctrees"]
    if subprocess.run([sys.executable, "-m", "sphinx", *options, source, html]).returncode:
        sys.exit("sphinx-build failed; the warnings above name the pages")
    if broken := broken_links(html):
        sys.exit("broken links:\n" + "\n".join(broken))
    print(f"{len(list(html.rglob('*.html')))} pages, no broken internal link. Open {html / 'index.html'}")


def main() -> None:
    options = read_options()
    out = options.out.resolve()
    source = out / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)

    links = Links()
    everything = {page: stage(page, links) for page in notebooks()}
    write_commands(source)
    write_names(source)
    contents = write_contents(source, everything, links)
    everything["index"].cells.append(nbformat.v4.new_markdown_cell(contents))
    links.write_files(source)
    write_notebooks(source, everything)
    build_html(source, out, options.jobs)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="Example: python docs/build.py --out /tmp/site"
    )
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="processes of Sphinx")
    parser.add_argument("--out", type=Path, default=DOCS / "_build", help="folder to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
