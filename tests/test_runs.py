"""Studies at work: what is done is not done again, what fails stops only what depends on it, and whatever kills a run, the same command goes on."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from command_line import TINY, chromoformer, succeed
from test_studies import notebook

from chromoformer.provenance import read_record, sha256, verify

ROOT = Path(__file__).resolve().parents[1]
STEP = """
from pathlib import Path
from chromoformer.provenance import write_json
if fold == 2 and not Path("gate").exists():
    raise RuntimeError("the gate is shut")
write_json(f"{out}/metrics.json", {"auc": {"value": fold / 4, "low": 0.1, "high": 0.9}})
"""
SUM = """
import json
from pathlib import Path
from chromoformer.provenance import write_json
write_json(f"{out}/metrics.json", {"sum": sum(json.loads(file.read_text())["auc"]["value"] for file in Path(study).glob("step/*/metrics.json"))})
"""


def small_study(folder: Path) -> Path:
    "Two steps, the second of which fails until there is a file `gate`, and a sum of both."
    notebook(folder, "step", "out: str = ''\nfold: int = 1\nseed: int = 0", STEP)
    notebook(folder, "sum", "out: str = ''\nstudy: str = ''", SUM)
    (folder / "cell.h5").write_bytes(b"a store that nobody reads")
    content = {
        "name": "small",
        "out": "small",
        "cell_types": {"cell": "cell.h5"},
        "folds": [1, 2],
        "analyses": {"step": {}, "sum": {}},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    return folder / "study.yaml"


def results(folder: Path) -> dict[str, str]:
    "Hash of every file of a study but those that hold clock times, pages, and Snakemake's own."
    files = (
        file
        for file in folder.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    return {
        str(file.relative_to(folder)): sha256(file)
        for file in files
        if "provenance.json" not in file.name and file.stem != "notebook"
    }


def started(folder: Path) -> set[str]:
    "Jobs whose work was begun in the last run."
    return {
        event["job"]
        for event in map(json.loads, (folder / ".study" / "events.jsonl").read_text().splitlines())
        if event["event"] == "begun"
    }


def test_a_failure_stops_only_what_depends_on_it_and_the_same_command_goes_on(tmp_path, monkeypatch):
    study, out = small_study(tmp_path), tmp_path / "small"
    monkeypatch.chdir(tmp_path)
    command = ["run", study, "--cores", 2, "--notebooks", tmp_path]
    result = chromoformer(*command)
    assert result.status == 1
    said = " ".join(result.out.split())
    assert (
        "step.ipynb, cell [3]: RuntimeError: the gate is shut" in said
        and "not run because of it: 1 (sum)" in said
    )
    assert (out / "step" / "fold1" / "provenance.json").exists() and (
        out / "step" / "fold2" / "notebook.ipynb"
    ).exists()
    assert not (out / "step" / "fold2" / "metrics.json").exists() and not (out / "sum").exists()
    assert (
        json.loads((out / "step" / "fold2" / "error.json").read_text())["error"]
        == "RuntimeError: the gate is shut"
    )

    (out / "gate").touch()
    succeed(*command)
    assert started(out) == {"step/fold2", "sum"}
    assert (
        json.loads((out / "sum" / "metrics.json").read_text()) == {"sum": 0.75}
        and not (out / "step" / "fold2" / "error.json").exists()
    )
    assert verify(out / "sum") == [] and verify(out / "step" / "fold1") == []
    record = read_record(out / "step" / "fold2")
    assert (
        record["parameters"] == {"out": "step/fold2", "fold": 2, "seed": 0}
        and record["threads"] == 1
        and record["seed"] == 0
    )
    assert {"papermill", "nbclient", "snakemake", "torch", "python"} <= set(record["versions"]) and record[
        "started"
    ] <= record["ended"]

    before = {
        file: file.stat().st_mtime_ns
        for file in out.rglob("*")
        if file.is_file() and ".study" not in file.parts
    }
    assert "Nothing to do: all 3 jobs" in succeed(*command).out
    assert {file: file.stat().st_mtime_ns for file in before} == before


@pytest.mark.slow
def test_what_changed_runs_again_and_nothing_else(tmp_path, monkeypatch):
    study, out = small_study(tmp_path), tmp_path / "small"
    out.mkdir()
    (out / "gate").touch()
    monkeypatch.chdir(tmp_path)
    command = ["run", study, "--cores", 2, "--notebooks", tmp_path]
    succeed(*command)
    os.utime(
        tmp_path / "step.ipynb", (time.time() + 1, time.time() + 1)
    )  # touched: its jobs run again, and leave the same, so the sum does not
    succeed(*command)
    assert started(out) == {"step/fold1", "step/fold2"} and verify(out / "sum") == []
    content = yaml.safe_load(study.read_text())
    content["analyses"]["step"] = {"seed": 1}
    study.write_text(yaml.safe_dump(content))
    assert "step/fold1: changed: parameters" in succeed("plan", study, "--notebooks", tmp_path).out
    succeed(*command)
    assert started(out) == {"step/fold1", "step/fold2"}  # the same numbers: the sum is left alone
    notebook(
        tmp_path, "step", "out: str = ''\nfold: int = 1\nseed: int = 0", STEP.replace("fold / 4", "fold / 8")
    )
    succeed(*command)
    assert started(out) == {"step/fold1", "step/fold2", "sum"} and json.loads(
        (out / "sum" / "metrics.json").read_text()
    ) == {"sum": 0.375}
    (out / "step" / "fold1" / "metrics.json").unlink()
    succeed(*command)
    assert started(out) == {"step/fold1"}
    shutil.move(out, tmp_path / "elsewhere")
    assert "Nothing to do" in succeed(*command, "--out", tmp_path / "elsewhere").out
    assert "all as recorded" in succeed("verify", tmp_path / "elsewhere").out


def test_a_folder_that_the_study_did_not_make_is_left_alone(tmp_path, monkeypatch):
    study, out = small_study(tmp_path), tmp_path / "small"
    monkeypatch.chdir(tmp_path)
    from chromoformer.studies.definition import read_study
    from chromoformer.studies.execution import do
    from chromoformer.studies.jobs import jobs_of

    (out / "step" / "fold1").mkdir(parents=True)
    (out / "step" / "fold1" / "thesis.txt").write_text("years of work")
    with pytest.raises(Exception, match="not made by the study"):
        do(out, jobs_of(read_study(study), study, tmp_path)["step/fold1"])
    assert (out / "step" / "fold1" / "thesis.txt").read_text() == "years of work"


def test_two_runs_of_one_study_at_once_are_refused(tmp_path, monkeypatch):
    import chromoformer.studies.workflow as runs
    from chromoformer.studies.execution import locked

    study, out = small_study(tmp_path), tmp_path / "small"
    monkeypatch.setattr(runs, "PATIENCE", 0.2)
    with locked(out / ".study" / "lock"):
        result = chromoformer("run", study, "--out", out, "--notebooks", tmp_path)
    assert result.status == 2 and "being run already" in result.err


def test_records_inside_of_a_job_are_its_own(tmp_path):
    from chromoformer.studies.collect import outermost, records_in
    from chromoformer.studies.execution import is_result

    places = [
        "toy.provenance.json",
        "stores/a.provenance.json",
        "ablation/a/provenance.json",
        "ablation/a/store.provenance.json",
        "ablation/a/runs/full/fold1/provenance.json",
        "train/a/fold1/provenance.json",
    ]
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("{}")
    assert {str(file.relative_to(tmp_path)) for file in outermost(records_in([tmp_path]))} == {
        places[0],
        places[1],
        places[2],
        places[5],
    }
    assert outermost(records_in([tmp_path / "ablation/a/runs/full/fold1"])) == [tmp_path / places[4]]
    assert not is_result(tmp_path / places[4])  # it says when: equal jobs would never be equal


# ---- one training, killed at random moments ----


def training_study(folder: Path, store: Path, epochs: int) -> Path:
    "Two folds of a tiny network, and what they scored."
    shutil.copy(ROOT / "nbs" / "analyses" / "train.ipynb", folder)
    notebook(
        folder,
        "sum",
        "out: str = ''\nstudy: str = ''",
        SUM.replace("step/*/metrics.json", "train/*/*/*/metrics.json"),
    )
    content = yaml.safe_load(TINY) | {
        "name": "trained",
        "out": str(folder / "out"),
        "cell_types": {"cellA": str(store)},
        "folds": [1, 2],
    }
    content["recipe"]["epochs"] = epochs
    (folder / "study.yaml").write_text(yaml.safe_dump(content | {"analyses": {"train": {}, "sum": {}}}))
    return folder / "study.yaml"


def command(study: Path, out: Path) -> list[str]:
    "The command as a process sees it."
    return [
        sys.executable,
        "-c",
        "from chromoformer.cli import main; main()",
        "run",
        str(study),
        "--cores",
        "2",
        "--notebooks",
        str(study.parent),
        "--out",
        str(out),
    ]


def processes_of(out: Path) -> list[int]:
    "Processes that have to do with a study's folder."
    found = subprocess.run(
        ["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [int(line.split()[0]) for line in found if str(out) in line and "ps -eo" not in line]


def same(one, other) -> bool:
    "Are two nested structures equal, tensors to the last bit?"
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.slow
def test_a_study_killed_at_random_moments_leaves_what_an_undisturbed_one_leaves(tmp_path, toy_store):
    study, rng = training_study(tmp_path, toy_store, epochs=40), random.Random(0)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(study, whole), check=True, capture_output=True)
    kills = 0
    while True:
        process = subprocess.Popen(
            command(study, killed),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(rng.uniform(1, 8 + 2 * kills) if kills < 14 else None)
            break
        except subprocess.TimeoutExpired:
            if kills % 2:  # the command alone, or everything at once
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
    assert kills >= 4 and process.returncode == 0, kills
    found, expected = results(killed), results(whole)
    states = [
        name for name in expected if name.endswith("state.pt")
    ]  # equal in content; pickling after a load may order it otherwise
    assert len(states) == 2 and {k: v for k, v in found.items() if k not in states} == {
        k: v for k, v in expected.items() if k not in states
    }
    assert all(
        same(torch.load(killed / name, weights_only=True), torch.load(whole / name, weights_only=True))
        for name in states
    )
    assert "all as recorded" in succeed("verify", killed).out
    deadline = time.monotonic() + 10
    while processes_of(killed) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_of(killed) == []  # nothing goes on behind the back of the one that was killed


@pytest.fixture(scope="module")
def trained(tmp_path_factory, toy_store) -> Path:
    "A study of two trainings, done."
    folder = tmp_path_factory.mktemp("trained")
    subprocess.run(
        command(training_study(folder, toy_store, epochs=2), folder / "out"), check=True, capture_output=True
    )
    return folder / "out"


@pytest.mark.slow
def test_one_flipped_byte_in_any_output_or_input_is_found_and_named(trained, tmp_path, toy_store):
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    files = [
        file
        for file in out.rglob("*")
        if file.is_file() and ".study" not in file.parts and ".snakemake" not in file.parts
    ]
    assert len(files) > 30
    for file in files:
        content = bytearray(file.read_bytes())
        place = random.Random(str(file.relative_to(out))).randrange(len(content))
        content[place] ^= 1
        file.write_bytes(content)
        result = chromoformer("verify", out)
        assert result.status == 1 and str(file) in result.err, (file, place, result)
        content[place] ^= 1
        file.write_bytes(content)
    assert chromoformer("verify", out).status == 0


@pytest.mark.slow
def test_a_run_again_agrees_to_the_last_bit_and_a_changed_result_is_named(trained, tmp_path):
    run = trained / "train" / "classification" / "cellA" / "fold1"
    assert "the same to the last bit" in succeed("verify", run, "--rerun").out
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    from chromoformer.provenance import write_json
    from chromoformer.studies.verify import rerun

    metrics = json.loads((out / "train/classification/cellA/fold1/metrics.json").read_text())
    write_json(
        out / "train/classification/cellA/fold1/metrics.json",
        metrics | {"auc": metrics["auc"] | {"value": 0.123}},
    )
    [difference] = rerun(out / "train/classification/cellA/fold1")
    assert "auc.value: 0.123 before" in difference


@pytest.mark.slow
def test_metrics_of_a_study_are_collected_in_one_table(trained, tmp_path):
    import pandas as pd

    succeed("collect", trained, "--out", tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv")
    assert list(table) == ["run", "analysis", "cell_type", "task", "fold", "metric", "value", "low", "high"]
    auc = table[table["metric"] == "auc"].set_index("fold")
    assert (
        list(auc.index) == [1, 2]
        and (auc["cell_type"] == "cellA").all()
        and (auc["analysis"] == "train").all()
    )
    assert (
        auc.loc[2, "value"]
        == json.loads((trained / "train/classification/cellA/fold2/metrics.json").read_text())["auc"]["value"]
    )


@pytest.mark.slow
def test_the_toy_study_finds_what_was_planted_then_has_nothing_to_do_then_one_notebook_is_touched(tmp_path):
    shutil.copytree(ROOT / "nbs" / "analyses", tmp_path / "analyses")
    run = [
        "run",
        ROOT / "workflow" / "studies" / "toy.yaml",
        "--cores",
        2,
        "--out",
        tmp_path / "toy",
        "--notebooks",
        tmp_path / "analyses",
    ]
    succeed(*run)
    said = json.loads((tmp_path / "toy" / "report" / "metrics.json").read_text())
    assert said["claims met"]["value"] == said["claims judged"]["value"] == len(said["claims"]), [
        row for row in said["claims"] if not row["met"]
    ]
    assert "Nothing to do" in succeed(*run).out
    (tmp_path / "analyses" / "train.ipynb").touch()
    succeed(*run)
    jobs = json.loads((tmp_path / "toy" / ".study" / "jobs.json").read_text())
    assert started(tmp_path / "toy") == {
        key for key, job in jobs.items() if job["notebook"] and re.search("train.ipynb$", job["notebook"])
    }


@pytest.mark.slow
def test_a_training_from_the_command_line_can_be_run_again(toy_store, tiny, tmp_path):
    succeed("train", toy_store, "--fold", 2, "--config", tiny, "--threads", 1, "--out", tmp_path / "run")
    assert "the same to the last bit" in succeed("verify", tmp_path / "run", "--rerun").out
