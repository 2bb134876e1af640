"""The Snakemake workflow: its schema fits the studies, and it is laid out for the workflow catalogue."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from study_schema import SCHEMA, schema

ROOT = Path(__file__).resolve().parents[1]


def test_schema_of_studies_is_that_of_the_library():
    assert SCHEMA.read_text() == schema(), "run python tests/study_schema.py"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "workflow" / "studies").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_study_fits_the_schema(path):
    import jsonschema

    jsonschema.validate(yaml.safe_load(path.read_text()), yaml.safe_load(SCHEMA.read_text()))


def test_study_with_an_unknown_key_does_not_fit_the_schema():
    import jsonschema

    content = yaml.safe_load((ROOT / "workflow" / "studies" / "toy.yaml").read_text())
    with pytest.raises(jsonschema.ValidationError, match="analises"):
        jsonschema.validate(content | {"analises": {}}, yaml.safe_load(SCHEMA.read_text()))


def test_workflow_is_laid_out_for_the_catalogue():
    rules = {path.stem for path in (ROOT / "workflow" / "rules").glob("*.smk")}
    assert rules == {"common", "fetch", "store", "train", "analyses", "report"}
    assert (ROOT / "config" / "README.md").is_file()
    assert "usage" in yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())


def test_planning_a_study_needs_neither_torch_nor_nbformat():
    code = (
        "import sys; from chromoformer.studies.workflow import find_study, open_study\n"
        "open_study(find_study('toy'))\n"
        "import chromoformer.studies.planning; print(*{'torch', 'nbformat', 'papermill'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
