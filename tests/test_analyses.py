"""Analyses look for files where a study has them; settings are chosen inside the training folds."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chromoformer.studies.definition import parameters_of

ROOT = Path(__file__).resolve().parents[1]
ANALYSES = sorted((ROOT / "nbs" / "analyses").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", ANALYSES, ids=lambda path: path.stem)
def test_an_analysis_looks_for_the_files_of_a_manifest_where_the_study_has_them(notebook):
    asked = parameters_of(notebook)
    if not {"manifest", "manifests"} & set(asked):
        return
    assert "data" in asked
    cells = json.loads(notebook.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    readings = re.findall(r"(?:read_manifest|channel_beside)\(.*\)", code)
    assert readings and all(re.search(r"\bdata\b", reading) for reading in readings)


def names_read(code):
    "Return the names that code reads, also as @NAME in a query of pandas."
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names |= set(re.findall(r"@(\w+)", node.value))
    return names


@pytest.mark.parametrize("notebook", ANALYSES, ids=lambda path: path.stem)
def test_every_parameter_of_an_analysis_is_read(notebook):
    cells = json.loads(notebook.read_text())["cells"]
    later, found = "", False
    for cell in cells:
        if found and cell["cell_type"] == "code":
            later += "".join(cell["source"]) + "\n"
        found = found or "parameters" in cell["metadata"].get("tags", [])
    assert set(parameters_of(notebook)) <= names_read(later)


@pytest.mark.slow
def test_settings_of_gm12878_are_chosen_on_the_next_fold(real_data, tmp_path):
    results = tmp_path / "tuning.json"
    command = [sys.executable, ROOT / "benchmarks" / "gm12878_settings.py", real_data, tmp_path / "out"]
    command += ["--epochs", 1, "--tasks", "classification", "--folds", 4, "--results", results]
    subprocess.run(list(map(str, command)), check=True)
    found = json.loads(results.read_text())
    assert {row["setting"] for row in found["tried"]} == set(found["grid"])
    (chosen,) = found["chosen"]
    assert (chosen["held_out"], chosen["validation_fold"]) == (4, 1)
    assert chosen["score"] == max(row["score"] for row in found["tried"]) > 0.88
