"""Parameterised notebooks run from top to bottom with papermill."""

import json
import re
from pathlib import Path

import papermill
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


@pytest.mark.slow
def test_gm12878_runs_with_one_epoch(real_data, tmp_path):
    notebook = ROOT / "nbs" / "analyses" / "gm12878.ipynb"
    papermill.execute_notebook(
        notebook,
        tmp_path / "out.ipynb",
        cwd=ROOT,
        progress_bar=False,
        parameters={"data": str(real_data), "out": str(tmp_path / "run"), "epochs": 1},
    )
    results = json.loads((tmp_path / "run" / "metrics.json").read_text())
    means = {(row["model"], row["task"]): row["mean"] for row in results["means"]}
    assert (
        means["Chromoformer", "classification"] > 0.9
        and means["gradient-boosted trees", "classification"] > 0.93
    )
    assert {row["held_out"] for row in results["chosen"]} == {1, 2, 3, 4}
