"""Write README.md from nbs/index.ipynb and what it shows; `--check` only says whether the two differ."""

import argparse
import re
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]
HEAD = "<!-- Written from nbs/index.ipynb by `make readme`; edit that. -->\n\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file would change")
    files = readme()
    if parser.parse_args().check:
        sys.exit(differing(files))
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    print(f"wrote {ROOT / 'README.md'}")


def differing(files: dict[Path, bytes]) -> str | None:
    "Say which files are missing or have other content."
    wrong = [
        str(path) for path, content in files.items() if not path.is_file() or path.read_bytes() != content
    ]
    return f"{', '.join(wrong)}: not what nbs/index.ipynb shows; run `make readme`" if wrong else None


def readme() -> dict[Path, bytes]:
    "Return README.md and its figures: file -> content."
    notebook = nbformat.read(ROOT / "nbs" / "index.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = ""
            cell.outputs = [
                out for out in cell.outputs if out.output_type in ("display_data", "execute_result")
            ]
    body, resources = MarkdownExporter().from_notebook_node(
        notebook, resources={"output_files_dir": "docs/images"}
    )
    body = re.sub(r"```\w*\n\s*```\n*", "", body)
    body = re.sub(
        r" *\n!\[png\]\((.*?output_(\d+)_.*?)\)\n *",
        lambda found: f"\n![{notebook.cells[int(found[2])].metadata['alt']}]({found[1]})\n",
        body,
    )
    body = re.sub(r"\]\((?!docs/images/|[a-z]+:|#)", "](nbs/", body).replace("](nbs/../", "](")
    text = HEAD + re.sub(r"\n{3,}", "\n\n", body).strip() + "\n"
    return {ROOT / "README.md": text.encode()} | {
        ROOT / name: content for name, content in resources.get("outputs", {}).items()
    }


if __name__ == "__main__":
    main()
