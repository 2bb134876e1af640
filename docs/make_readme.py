"""Execute nbs/index.ipynb and write it as README.md."""

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

from chromoformer.studies.execution import own_kernel

ROOT = Path(__file__).resolve().parents[1]
HEAD = "<!-- Written from nbs/index.ipynb by `make readme`; edit that. -->\n\n"


def main() -> None:
    notebook = nbformat.read(ROOT / "nbs" / "index.ipynb", as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(ROOT)}},
    )
    with own_kernel():
        client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code" and "echo: false" in cell.source:
            cell.source = ""
            cell.outputs = [
                out for out in cell.outputs if out.output_type in ("display_data", "execute_result")
            ]
    body, resources = MarkdownExporter().from_notebook_node(
        notebook, resources={"output_files_dir": "docs/images"}
    )
    for name, content in resources.get("outputs", {}).items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_bytes(content)
    body = re.sub(r"```python\n\s*```\n*", "", body)
    body = re.sub(
        r" *\n!\[png\]\((.*?output_(\d+)_.*?)\)\n *",
        lambda found: f"\n![{notebook.cells[int(found[2])].metadata['alt']}]({found[1]})\n",
        body,
    )
    (ROOT / "README.md").write_text(HEAD + re.sub(r"\n{3,}", "\n\n", body).strip() + "\n")
    print(f"wrote {ROOT / 'README.md'}")


if __name__ == "__main__":
    main()
