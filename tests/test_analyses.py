"""Analyses look for files where a study has them; settings are chosen inside the training folds."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns

from chromoformer import plots
from chromoformer.experiments.comparison import mean_scores
from chromoformer.metrics import METRIC_NAMES
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


def test_a_fifth_of_genes_that_cannot_be_measured_does_not_move_the_others(tmp_path):
    "Genes of the shortest fifth have one class, so that their AUC is not defined."
    cells = json.loads((ROOT / "nbs" / "analyses" / "whole_gene.ipynb").read_text())["cells"]
    code = next(code for cell in cells if "by_length = " in (code := "".join(cell["source"])))
    lengths = np.repeat([1000, 2000, 4000, 8000, 16_000], 100)
    ids = [f"gene{number}" for number in range(500)]
    single = pd.DataFrame({"model": "whole genes", "seed": 0, "fold": 1, "gene_id": ids, "chrom": "chr1"})
    single = single.assign(tss=np.arange(500), target=np.arange(500) % 2, score=np.arange(500) % 3)
    single.loc[:99, "target"] = 1
    around = {"WHOLE": "whole genes", "WINDOW": "", "WHOLE_TREES": "", "WINDOW_TREES": ""}
    around |= {"np": np, "pd": pd, "plt": plt, "sns": sns, "plots": plots, "mean_scores": mean_scores}
    around |= {"METRIC_NAMES": METRIC_NAMES, "main": "auc", "task": "classification", "draws": 50}
    around |= {"lengths": lengths, "genes": single[["gene_id"]], "single": single, "out": tmp_path}
    (tmp_path / "figures").mkdir()
    exec(code, around)
    drawn = around["axis"].containers[0].lines[0].get_xdata()
    assert drawn == pytest.approx(np.array([2, 4, 8, 16]) * (1 - 0.04 * 1.5))
    plt.close("all")
