"""A finished study describes itself for other tools: an RO-Crate and a list of outputs to check."""

import hashlib
import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from command_line import chromoformer, succeed
from test_studies import notebook

from chromoformer.provenance import Stopwatch, read_record, record, write_json
from chromoformer.studies.crate import describe_study
from chromoformer.studies.execution import STUDY_FOLDER
from chromoformer.studies.jobs import Job

ROOT = Path(__file__).resolve().parents[1]
VALIDATOR = Path(os.environ.get("ROC_VALIDATOR", ROOT / ".venv-crate" / "bin" / "rocrate-validator"))
JOBS = {
    "train/cellA/fold1": (),
    "train/cellA/fold2": (),
    "report": ("train/cellA/fold1", "train/cellA/fold2"),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    "Return the folder of a finished study of two trainings, which read a file elsewhere, and a report."
    folder = tmp_path_factory.mktemp("crate")
    (folder / "elsewhere.h5").write_bytes(b"a store")
    root = folder / "out"
    jobs = {}
    for key, needs in JOBS.items():
        kind = key.split("/")[0]
        file = notebook(folder, kind, "out: str = ''")
        job = Job(key, kind, {"out": key, "seed": 1}, needs, notebook=str(file))
        write_json(root / key / "metrics.json", {"auc": {"value": 0.9, "low": 0.8, "high": 1.0}})
        (root / key / "figures").mkdir()
        (root / key / "figures" / "roc.png").write_bytes(b"a figure")
        inputs = {need: root / need / "metrics.json" for need in needs}
        inputs |= {} if needs else {"store": folder / "elsewhere.h5"}
        outputs = {name: root / key / name for name in ("metrics.json", "figures/roc.png")}
        record(
            root / job.record,
            what=f"{kind}, job of a study",
            inputs=inputs,
            outputs=outputs,
            parameters=job.parameters,
            watch=Stopwatch(),
            job=asdict(job),
        )
        jobs[key] = asdict(job)
    settings = {"name": "small", "out": "out", "cell_types": {"cellA": "elsewhere.h5"}, "license": "CC0-1.0"}
    write_json(root / STUDY_FOLDER / "jobs.json", jobs)
    write_json(root / STUDY_FOLDER / "study.json", settings | {"analyses": {"train": {}, "report": {}}})
    describe_study(root)
    return root


def entities(root: Path) -> dict[str, dict]:
    "Return the entities of a crate by their identifiers."
    return {
        entity["@id"]: entity
        for entity in json.loads((root / "ro-crate-metadata.json").read_text())["@graph"]
    }


def names(value) -> set[str]:
    "Return the identifiers of one reference or a list of them."
    return {item["@id"] for item in (value if isinstance(value, list) else [value])}


def test_crate_names_the_workflow_its_software_and_the_study(study):
    found = entities(study)
    main = found[found["./"]["mainEntity"]["@id"]]
    assert main["@id"] == "workflow/Snakefile"
    assert (study / "workflow" / "Snakefile").read_text() == (ROOT / "workflow" / "Snakefile").read_text()
    assert found["./"]["license"] == "CC0-1.0" and found["./"]["name"] == "Study small"
    engine = found[found["#organise"]["instrument"]["@id"]]
    from importlib.metadata import version

    assert (engine["name"], engine["softwareVersion"]) == ("Snakemake", version("snakemake"))
    assert found["#run"]["instrument"] == {"@id": main["@id"]}
    assert yaml.safe_load((study / "workflow" / "study.yaml").read_text())["name"] == "small"


def test_crate_says_what_each_job_used_read_and_wrote(study):
    found = entities(study)
    for key, needs in JOBS.items():
        action = found[f"#job-{key}"]
        assert action["instrument"] == {"@id": f"workflow/notebooks/{key.split('/')[0]}.ipynb"}
        assert names(action["result"]) == {
            f"{key}/{name}" for name in ("metrics.json", "figures/roc.png", "provenance.json")
        }
        if needs:
            assert names(action["object"]) == {f"{need}/metrics.json" for need in needs}
        else:
            [store] = names(action["object"])
            assert found[store]["sha256"] == hashlib.sha256(b"a store").hexdigest()
        assert found[f"#control-{key}"]["object"] == {"@id": action["@id"]}
    assert names(found["#organise"]["object"]) == {f"#control-{key}" for key in JOBS}
    assert store in names(found["#run"]["object"]) and "workflow/study.yaml" in names(found["#run"]["object"])


def test_files_of_the_crate_exist_and_have_their_checksums(study):
    files = [entity for entity in entities(study).values() if "File" in entity["@type"]]
    assert len(files) >= 12
    for entity in files:
        content = (study / entity["@id"]).read_bytes()
        assert entity["sha256"] == hashlib.sha256(content).hexdigest()
        assert entity["contentSize"] == str(len(content))


def test_codecheck_lists_numbers_and_figures(study):
    content = yaml.safe_load((study / "codecheck.yml").read_text())
    files = [entry["file"] for entry in content["manifest"]]
    assert set(files) == {f"{key}/{name}" for key in JOBS for name in ("metrics.json", "figures/roc.png")}
    assert content["manifest"][0]["comment"] == "train.ipynb: AUC 0.900 (0.800-1.000)"
    assert content["version"] == "https://codecheck.org.uk/spec/config/1.0/"


def test_verify_covers_the_description_of_a_study(study):
    assert "all as recorded" in succeed("verify", study).out
    assert set(read_record(study / "ro-crate.provenance.json")["inputs"]) == set(JOBS)
    for name in (
        "ro-crate-metadata.json",
        "codecheck.yml",
        "workflow/study.yaml",
        "workflow/rules/train.smk",
    ):
        text = (study / name).read_text()
        (study / name).write_text(text.replace("e", "i", 1))
        result = chromoformer("verify", study)
        assert result.status == 1 and name in result.err
        (study / name).write_text(text)
    assert chromoformer("verify", study).status == 0


def local_context() -> list:
    "Return the terms of RO-Crate from the library `rocrate`; the validator would download them."
    import rocrate

    packaged = json.loads((Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_text())
    old = "https://bioschemas.org/"  # the library has those of 1.3; these differ in 1.1
    workflow = {"input": "ComputationalWorkflow#input", "output": "ComputationalWorkflow#output"}
    terms = {name: name for name in ("ComputationalWorkflow", "FormalParameter")} | workflow
    changed = {name: old + value for name, value in terms.items()}
    changed["sha256"] = "https://w3id.org/ro/terms/workflow-run#sha256"
    return [packaged["@context"], changed]


def problems(study: Path, folder: Path, change=lambda content: None) -> set[str]:
    "Return what roc-validator finds in a copy of a crate, at the level `required`."
    if not VALIDATOR.exists():
        pytest.skip("roc-validator is not installed: make crate, or set ROC_VALIDATOR")
    for path in study.iterdir():
        if path.name != "ro-crate-metadata.json":
            (folder / path.name).symlink_to(path)
    content = json.loads((study / "ro-crate-metadata.json").read_text())
    assert content["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    content["@context"] = local_context()
    change(content)
    (folder / "ro-crate-metadata.json").write_text(json.dumps(content))
    options = ["--profile-identifier", "provenance-run-crate", "--requirement-severity", "required"]
    report = folder.parent / f"{folder.name}.json"
    command = [
        VALIDATOR,
        "-y",
        "validate",
        *options,
        "--output-format",
        "json",
        "--output-file",
        report,
        folder,
    ]
    subprocess.run(command, capture_output=True, text=True, check=False)
    return {issue["message"] for issue in json.loads(report.read_text())["issues"]}


@pytest.mark.slow
def test_crate_is_valid_at_the_required_level_of_the_provenance_profile(study, tmp_path):
    (tmp_path / "whole").mkdir()
    assert problems(study, tmp_path / "whole") == set()


@pytest.mark.slow
def test_crate_without_its_workflow_is_refused_by_the_validator(study, tmp_path):
    def without_main_entity(content):
        [root] = [entity for entity in content["@graph"] if entity["@id"] == "./"]
        del root["mainEntity"]

    (tmp_path / "broken").mkdir()
    found = problems(study, tmp_path / "broken", without_main_entity)
    assert any("Main Workflow must be specified" in message for message in found)
