"""Turn notebooks into pages: tags for directives, reference entries for public names, links to pages."""

import os
import re
from pathlib import Path, PurePosixPath

import nbformat
from api import Name, entries, public_names

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT / "nbs"
CONTENTS = "contents"  # the table of contents for readers of nbs/; the site has its own
NAVIGATION = "book-navigation"  # id of the cell that links a notebook to its neighbours; likewise
COMMANDS = "chromoformer.cli"  # documented on the page of commands, from the command line itself
DIRECTIVE = re.compile(r"^#\|[ \t]*([a-z_-]+):?[ \t]*(.*)$", re.M)
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
LANGUAGES = {
    ".yaml": "yaml",
    ".py": "python",
    ".tsv": "text",
    ".json": "json",
    ".toml": "toml",
    ".ini": "ini",
}


def notebooks() -> list[str]:
    "Return every notebook as a page name without the suffix, for example `data/store`."
    found = (path.relative_to(NBS) for path in NBS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    return sorted({str(path.with_suffix("")) for path in found} - {CONTENTS})


def title_and_summary(notebook) -> tuple[str, str]:
    "Return the heading and the quoted line below it."
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title = re.search(r"^# (.+)$", text, re.M)
    summary = re.search(r"^> (.+)$", text, re.M)
    return (title[1] if title else "", summary[1] if summary else "")


class Links:
    "Links between pages. Files of the repository that a page links to become pages themselves."

    def __init__(self):
        self.files: dict[str, Path] = {}  # page -> file or folder of the repository

    def rewrite(self, text: str, page: str) -> str:
        "Return the Markdown of one page with its links rewritten; code stays as it is."
        parts = re.split(r"(```.*?```|`[^`\n]*`)", text, flags=re.S)
        return "".join(
            part if n % 2 else LINK.sub(lambda m: f"[{m[1]}]({self.target(m[2], page)})", part)
            for n, part in enumerate(parts)
        )

    def target(self, link: str, page: str) -> str:
        "Return one link, relative to the page."
        if re.match(r"[a-z]+:|#", link):
            return link
        path, _, place = link.partition("#")
        base = ROOT if page.startswith("files/") else (NBS / page).parent
        file = Path(os.path.normpath(base / path))
        if not file.exists():
            raise SystemExit(f"nbs/{page}.ipynb links to {link}, which does not exist")
        if file.suffix == ".ipynb":
            to = str(file.relative_to(NBS)).replace(f"{CONTENTS}.ipynb", "index.ipynb")
        elif file == NBS / "analyses":
            to = "analyses/index.md"
        else:
            to = self.page_of(file) + ".md"
        up = os.path.relpath(to, PurePosixPath(page).parent)
        return up + (f"#{place}" if place else "")

    def write_files(self, out: Path) -> None:
        "Write a page for each file or folder that a page links to."
        (out / "files").mkdir(parents=True, exist_ok=True)
        written = set()
        while waiting := [name for name in self.files if name not in written]:  # a file may link to others
            name = waiting[0]
            written.add(name)
            file = self.files[name]
            shown = file.relative_to(ROOT)
            if file.is_dir():
                inside = [
                    entry for entry in sorted(file.iterdir()) if entry.is_file() and entry.suffix in LANGUAGES
                ]
                lines = [f"- [{entry.name}]({Path(self.page_of(entry)).name}.md)" for entry in inside]
                text = f"# {shown}/\n\n" + "\n".join(lines)
            elif file.suffix == ".md":
                text = self.rewrite(file.read_text(), name)
            else:
                longest = max((len(run) for run in re.findall("`+", file.read_text())), default=0)
                fence = "`" * max(3, longest + 1)
                language = LANGUAGES.get(file.suffix, "text")
                text = f"# {shown}\n\n{fence}{language}\n{file.read_text().rstrip()}\n{fence}"
            (out / f"{name}.md").write_text(f"---\norphan: true\n---\n\n{text}\n")

    def page_of(self, file: Path) -> str:
        name = "files/" + (str(file.relative_to(ROOT)).replace("/", "_").strip(".") or "repository")
        self.files[name] = file
        return name


def stage(page: str, links: Links):
    "Return one notebook, with its outputs, as a page."
    notebook = nbformat.read(NBS / f"{page}.ipynb", as_version=4)
    module = module_of(notebook)
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "raw" or cell.get("id") == NAVIGATION:  # front matter
            continue
        if cell.cell_type == "markdown":
            cell.source = links.rewrite(cell.source, page)
            cells.append(cell)
            continue
        directives = dict(DIRECTIVE.findall(cell.source))
        if "default_exp" in directives:
            continue
        cell.source = DIRECTIVE.sub("", cell.source).strip()
        if "export" in directives and module != COMMANDS and (documentation := entries(cell.source, module)):
            cells.append(nbformat.v4.new_markdown_cell(documentation))
        folded = {"hide-input"} if page.startswith("analyses/") else set()
        cell.metadata["tags"] = sorted({*cell.metadata.get("tags", []), *_tags(directives), *folded})
        if alternative := cell.metadata.get("alt"):
            cell.metadata["mystnb"] = {"image": {"alt": alternative}}
        for output in cell.outputs:
            if "text/markdown" in output.get("data", {}):
                output.data["text/markdown"] = links.rewrite("".join(output.data["text/markdown"]), page)
        cells.append(cell)
    notebook.cells = cells
    return notebook


def _tags(directives: dict[str, str]) -> set[str]:
    "Return MyST-NB's cell tags for nbdev's directives."
    tags = set()
    if "export" in directives or directives.get("code-fold") == "true":
        tags.add("hide-input")
    if directives.get("echo") == "false":
        tags.add("remove-input")
    if "hide" in directives:
        tags.add("remove-cell")
    return tags


def module_of(notebook) -> str:
    "Return the full name of the module that a notebook exports to; empty if it exports nothing."
    for cell in notebook.cells:
        name = dict(DIRECTIVE.findall(cell.source)).get("default_exp")
        if cell.cell_type == "code" and name:
            return f"chromoformer.{name}"
    return ""


def documented(page: str) -> list[Name]:
    "Return the public names that a page documents."
    notebook = nbformat.read(NBS / f"{page}.ipynb", as_version=4)
    module = module_of(notebook)
    exported = [
        cell.source for cell in notebook.cells if cell.cell_type == "code" and "#| export" in cell.source
    ]
    return (
        [] if module == COMMANDS else [name for source in exported for name in public_names(source, module)]
    )
