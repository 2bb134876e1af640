"""Execute a notebook in its own folder, and clean what it shows so that a second run shows the same."""

import base64
import io
import json
import os
import re
import tempfile
import time
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 900  # seconds that a cell may take
LARGEST = 150_000  # bytes of a figure
WIDGET = "application/vnd.jupyter.widget-view+json"

# Runs before the notebook: sharp figures, and a list of the repository's files that the notebook opens.
FIRST = """
%config InlineBackend.figure_formats = ['retina']
import sys
_opened = set()
def _note_opened(event, arguments, opened=_opened):
    if event == "open" and isinstance(arguments[0], str):
        opened.add(arguments[0])
sys.addaudithook(_note_opened)
"""
LAST = """
import json, os
print(json.dumps(sorted(os.path.abspath(name) for name in _opened)))
"""


class Failed(Exception):
    "A notebook that did not run to its end."


def execute(path: Path) -> tuple[list[list], list[str], float]:
    "Execute a notebook. Return the outputs of each code cell, the files it opened, and the seconds it took."
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    from chromoformer.studies.execution import own_kernel

    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    start, error = time.perf_counter(), ""
    for _ in range(3):
        notebook = nbformat.read(path, as_version=4)
        new = nbformat.v4.new_code_cell
        notebook.cells = [new(FIRST), *notebook.cells, new(LAST)]
        client = NotebookClient(
            notebook,
            timeout=LIMIT,
            kernel_name="python3",
            resources={"metadata": {"path": str(path.parent)}},
        )
        try:
            with own_kernel():
                client.execute()
            break
        except (CellExecutionError, TimeoutError) as failure:
            raise Failed(str(failure)) from failure
        except RuntimeError as failure:  # the kernel did not start, as when another took its port: once more
            error = str(failure)
    else:
        raise Failed(error)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    opened = json.loads(code[-1].outputs[0].text)
    return [clean(cell.outputs) for cell in code[1:-1]], opened, time.perf_counter() - start


def clean(outputs: list) -> list:
    "Return the outputs of a cell without progress, paths of this machine, addresses and counters."
    kept: list = []
    for output in outputs:
        if output.output_type == "stream":
            if output.name == "stderr":  # progress
                continue
            text = without_paths(_last_of_overwritten(output.text))
            if kept and kept[-1].output_type == "stream":
                kept[-1].text += text
            else:
                kept.append(nbformat.v4.new_output("stream", name="stdout", text=text))
            continue
        output = nbformat.from_dict(output)
        if "data" in output:
            _clean_data(output)
            if not output.data:
                continue
        if "execution_count" in output:
            output.execution_count = None
        kept.append(output)
    return kept


def _clean_data(output) -> None:
    widget = output.data.pop(WIDGET, None)
    if widget and not {"text/html", "image/png"} & set(output.data):  # a progress bar
        output.data.clear()
    for kind in list(output.data):
        if kind.startswith("text/"):
            output.data[kind] = without_paths("".join(output.data[kind]))
        elif kind == "image/png":
            output.data[kind] = _smaller("".join(output.data[kind]))
    sizes = output.get("metadata", {}).get("image/png")
    output.metadata = {"image/png": sizes} if sizes and "image/png" in output.data else {}


def without_paths(text: str) -> str:
    "Return text with this machine's folders, addresses in memory and random names replaced."
    text = text.replace(f"{ROOT}{os.sep}", "").replace(str(ROOT), ".")
    for temporary in {tempfile.gettempdir(), os.path.realpath(tempfile.gettempdir())}:
        text = re.sub(rf"{re.escape(temporary)}/[\w.-]+", "…", text)
    text = text.replace(str(Path.home()), "~")
    text = re.sub(r"(<[^<>]*?) at 0x[0-9a-f]+(>)", r"\1\2", text)
    styled = list(dict.fromkeys(re.findall(r"\bT_[0-9a-f]{5}(?![0-9a-f])", text)))  # tables styled by pandas
    for number, name in enumerate(styled):
        text = text.replace(name, f"T_{number}")
    return text


def _last_of_overwritten(text: str) -> str:
    "Return text as a terminal shows it after carriage returns."
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _smaller(encoded: str) -> str:
    "Return a PNG, base64 encoded, with at most 256 colours if that takes fewer bytes."
    from PIL import Image

    original = base64.b64decode(encoded)
    image = Image.open(io.BytesIO(original)).convert("RGBA")
    opaque = image.getextrema()[3][0] == 255
    method = Image.Quantize.MEDIANCUT if opaque else Image.Quantize.FASTOCTREE
    out = io.BytesIO()
    image.convert("RGB" if opaque else "RGBA").quantize(256, method=method, dither=Image.Dither.NONE).save(
        out, "PNG", optimize=True
    )
    smallest = min(original, out.getvalue(), key=len)
    return base64.b64encode(smallest).decode()
