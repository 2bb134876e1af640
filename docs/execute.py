"""Execute notebooks in parallel and cache their outputs until a notebook or the library changes."""

import hashlib
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 600  # seconds that a cell may take
SHARP = "%config InlineBackend.figure_formats = ['retina']"


def _library() -> str:
    "Return a hash of everything besides a notebook that may change its results."
    found = hashlib.sha256()
    for folder, pattern in (
        ("chromoformer", "*.py"),
        ("benchmarks/results", "*.json"),
        ("workflow", "*.yaml"),
        ("data_manifests", "*.yaml"),
    ):
        for file in sorted((ROOT / folder).rglob(pattern)):
            found.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return found.hexdigest()


def _key(notebook, library: str) -> str:
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps([cells, library]).encode()).hexdigest()[:24]


def _run(page: str, source: str, kept: Path) -> tuple[str, float, str]:
    "Execute one notebook in its own folder. Return page, seconds and error."
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    from chromoformer.studies.execution import own_kernel

    start, error = time.perf_counter(), ""
    for _ in range(3):
        notebook = nbformat.reads(source, as_version=4)
        notebook.cells.insert(0, nbformat.v4.new_code_cell(SHARP))
        client = NotebookClient(
            notebook,
            timeout=LIMIT,
            kernel_name="python3",
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": str((ROOT / "nbs" / page).parent)}},
        )
        try:
            with own_kernel():
                client.execute()
            break
        except (CellExecutionError, TimeoutError) as failure:
            return page, time.perf_counter() - start, str(failure)
        except RuntimeError as failure:  # the kernel did not start, as when another took its port: once more
            error = str(failure)
    else:
        return page, time.perf_counter() - start, error
    outputs = [cell.outputs for cell in notebook.cells[1:] if cell.cell_type == "code"]
    part = kept.with_suffix(".part")
    part.write_text(json.dumps(outputs))
    part.replace(kept)
    return page, time.perf_counter() - start, ""


def execute(notebooks: dict, cache: Path, workers: int) -> list[str]:
    "Fill in the outputs of every notebook. Return the errors."
    cache.mkdir(parents=True, exist_ok=True)
    library, failed = _library(), []
    kept = {page: cache / f"{_key(notebook, library)}.json" for page, notebook in notebooks.items()}
    todo = [page for page in notebooks if not kept[page].exists()]
    print(
        f"{len(notebooks)} notebooks, {len(notebooks) - len(todo)} of them executed before with the same code"
    )
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    with ProcessPoolExecutor(workers) as pool:
        waiting = [pool.submit(_run, page, nbformat.writes(notebooks[page]), kept[page]) for page in todo]
        for number, ended in enumerate(as_completed(waiting), 1):
            page, seconds, error = ended.result()
            print(
                f"[{number}/{len(todo)}] {page:<40} {seconds:6.1f} s{'  failed' if error else ''}", flush=True
            )
            if error:
                failed.append(f"nbs/{page}.ipynb: {error}")
    for page, notebook in notebooks.items():
        if kept[page].exists():
            outputs = json.loads(kept[page].read_text())
            for cell, found in zip((cell for cell in notebook.cells if cell.cell_type == "code"), outputs):
                cell.outputs = [nbformat.from_dict(output) for output in found]
    wanted = set(kept.values())
    for old in cache.glob("*.json"):
        if old not in wanted:
            old.unlink()
    for error in failed:
        print(error, file=sys.stderr)
    return failed
