"""Parameterised notebooks run from top to bottom with papermill."""

import json
from pathlib import Path

import papermill
import pytest

ROOT = Path(__file__).resolve().parents[1]


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
