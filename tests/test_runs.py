"""Running studies: finished jobs are skipped, failures stop only dependent jobs, killed studies continue.

The tests execute real notebooks through Snakemake.
"""

import contextlib
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

import nbformat
import psutil
import pytest
import torch
import yaml
from command_line import TINY, chromoformer, succeed
from filelock import FileLock
from helpers import write_record
from test_studies import notebook

from chromoformer.provenance import read_record, sha256, verify
from chromoformer.studies.crate import METADATA

ROOT = Path(__file__).resolve().parents[1]
STEP = """
from pathlib import Path
from chromoformer.provenance import write_json
if fold == 2 and not Path("gate").exists():
    raise RuntimeError("the gate is shut")
write_json(f"{out}/metrics.json", {"auc": {"value": fold / 4, "low": 0.1, "high": 0.9}})
"""
WRITE = "from chromoformer.provenance import write_json\nwrite_json(f'{out}/metrics.json', {})"
SUM = """
import json
from pathlib import Path
from chromoformer.provenance import write_json
files = Path(study).glob("step/*/metrics.json")
values = [json.loads(file.read_text())["auc"]["value"] for file in files]
write_json(f"{out}/metrics.json", {"sum": sum(values)})
"""


SIMULATED = {
    "simulate": {"genes": 60, "cell_types": ["cellA"], "hic": False},
    "cell_types": {"cellA": "cellA.yaml"},
}


def write_step(folder: Path, code: str = STEP) -> None:
    "Write the notebook of a step."
    notebook(folder, "step", "out: str = ''\nfold: int = 1\nseed: int = 0", code)


def small_study(folder: Path) -> Path:
    "Write a study of two steps, the second of which fails until the file `gate` exists, and their sum."
    write_step(folder)
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
    "Return the hash of every file of a study, except notebooks, hidden files and those that hold times."
    files = (
        file
        for file in folder.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    return {
        str(file.relative_to(folder)): sha256(file)
        for file in files
        if "provenance.json" not in file.name and file.stem != "notebook" and file.name != METADATA
    }


def started(folder: Path) -> set[str]:
    "Return the jobs that started in the last run of a study."
    return named((folder / ".study" / "snakemake.log").read_text())


def named(log: str) -> set[str]:
    "Return the jobs that a log of Snakemake names, without the description of the study."
    return set(re.findall(r"^Job \d+: (\S+)$", log, flags=re.MULTILINE)) - {"crate"}


@pytest.mark.slow
def test_failure_stops_only_dependent_jobs_and_the_same_command_continues(tmp_path, monkeypatch):
    study, out = small_study(tmp_path), tmp_path / "small"
    monkeypatch.chdir(tmp_path)
    command = ["run", study, "--cores", 2, "--notebooks", tmp_path]
    result = chromoformer(*command)
    assert result.status == 1
    output = " ".join(result.out.split())
    assert "step.ipynb, cell [3]: RuntimeError: the gate is shut" in output
    assert "not run because of it: 1 (sum)" in output
    failed = out / "step" / "fold2"
    assert (out / "step" / "fold1" / "provenance.json").exists() and (failed / "notebook.ipynb").exists()
    assert not (failed / "metrics.json").exists() and not (out / "sum").exists()
    log = out / ".study" / "logs" / "step" / "fold2.log"
    assert "Failed in cell [3]: RuntimeError: the gate is shut" in log.read_text()

    (out / "gate").touch()
    succeed(*command)
    assert started(out) == {"step/fold2", "sum"}
    assert json.loads((out / "sum" / "metrics.json").read_text()) == {"sum": 0.75}
    assert verify(out / "sum") == [] and verify(out / "step" / "fold1") == []
    record = read_record(failed)
    assert record["parameters"] == {"out": "step/fold2", "fold": 2, "seed": 0}
    assert record["threads"] == 1 and record["seed"] == 0
    assert {"papermill", "nbclient", "snakemake", "torch", "python"} <= set(record["versions"])
    assert record["started"] <= record["ended"]

    files = [
        file for file in out.rglob("*") if file.is_file() and not {".study", ".snakemake"} & {*file.parts}
    ]
    before = {file: file.stat().st_mtime_ns for file in files}
    assert "Nothing to do: all 3 jobs" in succeed(*command).out
    assert {file: file.stat().st_mtime_ns for file in before} == before


@pytest.mark.slow
def test_only_jobs_that_a_change_affects_run_again(tmp_path, monkeypatch):
    study, out = small_study(tmp_path), tmp_path / "small"
    out.mkdir()
    (out / "gate").touch()
    monkeypatch.chdir(tmp_path)
    command = ["run", study, "--cores", 2, "--notebooks", tmp_path]
    succeed(*command)
    later = time.time() + 1
    os.utime(tmp_path / "step.ipynb", (later, later))  # the same content
    assert "Nothing to do" in succeed(*command).out
    content = yaml.safe_load(study.read_text())
    content["analyses"]["sum"] = {"notebook": "sum", "threads": 2}
    study.write_text(yaml.safe_dump(content))
    assert "sum: changed: parameters" in succeed("plan", study, "--notebooks", tmp_path).out
    assert "Runs again: sum: changed: parameters" in succeed(*command).out
    assert started(out) == {"sum"}
    write_step(tmp_path, STEP.replace("fold / 4", "fold / 8"))
    assert "step/fold1, step/fold2: changed: notebook" in succeed("plan", study, "--notebooks", tmp_path).out
    succeed(*command)
    assert started(out) == {"step/fold1", "step/fold2", "sum"}
    assert json.loads((out / "sum" / "metrics.json").read_text()) == {"sum": 0.375}
    (out / "sum" / "metrics.json").unlink()
    succeed(*command)
    assert started(out) == {"sum"}
    shutil.move(out, tmp_path / "elsewhere")
    assert "Nothing to do" in succeed(*command, "--out", tmp_path / "elsewhere").out
    assert "all as recorded" in succeed("verify", tmp_path / "elsewhere").out


def snakemake(*arguments, **options) -> str:
    "Run plain Snakemake and return what it prints."
    command = [sys.executable, "-m", "snakemake", *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, text=True, check=True, **streams, **options).stdout


@pytest.mark.slow
def test_plain_snakemake_and_the_command_write_the_same_bits(tmp_path):
    study, out = small_study(tmp_path), tmp_path / "small"
    given = ["--snakefile", ROOT / "workflow" / "Snakefile", "--configfile", study, "--cores", 2]
    given += ["--config", f"notebooks={tmp_path}"]
    out.mkdir()
    (out / "gate").touch()
    snakemake(*given, cwd=tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "gate").touch()
    succeed("run", study, "--cores", 2, "--notebooks", tmp_path, "--out", tmp_path / "other")
    assert "metrics.json" in str(results(out)) and results(out) == results(tmp_path / "other")
    again = succeed("run", study, "--cores", 2, "--notebooks", tmp_path, "--out", out).out
    assert "Nothing to do: all 3 jobs" in again
    assert "Nothing to be done" in snakemake(*given, cwd=tmp_path)
    assert "digraph" in snakemake(*given, "--dag", cwd=tmp_path)
    snakemake(*given, "--report", tmp_path / "report.html", cwd=tmp_path)
    assert "step/fold2/notebook.html" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_changed_module_runs_exactly_the_jobs_whose_notebooks_import_it(tmp_path):
    for name in ("chromoformer", "workflow"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    notebook(tmp_path, "scores", "out: str = ''", "import chromoformer.metrics", WRITE)
    notebook(tmp_path, "tables", "out: str = ''", "import chromoformer.studies.collect", WRITE)
    notebook(tmp_path, "alone", "out: str = ''", WRITE)
    (tmp_path / "cell.h5").write_bytes(b"a store that nobody reads")
    content = {"name": "small", "out": "small", "cell_types": {"cell": "cell.h5"}}
    content["analyses"] = {"scores": {}, "tables": {}, "alone": {}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    given = ["--configfile", "study.yaml", "--cores", 2, "--config", f"notebooks={tmp_path}"]
    environment = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(tmp_path)}}
    snakemake(*given, **environment)
    for module, expected in (("metrics", {"scores"}), ("studies/collect", {"tables"})):
        with open(tmp_path / "chromoformer" / f"{module}.py", "a") as file:
            file.write("\n# a comment changes nothing\n")
        assert "Nothing to be done" in snakemake(*given, "-n", **environment)
        with open(tmp_path / "chromoformer" / f"{module}.py", "a") as file:
            file.write("\nCHANGED = True\n")
        found = snakemake(*given, **environment)
        assert named(found) == expected


def write_older_records(out: Path) -> None:
    "Write what an older version of the library left behind: finished jobs, one interrupted job."
    for key in ("step/fold1", "step/fold2", "sum"):
        (out / key).mkdir(parents=True)
        job = {"key": key, "kind": key.split("/")[0], "parameters": {}, "needs": []}
        (out / key / "job.json").write_text(json.dumps({"parts": {}, "job": job}))
        (out / key / "metrics.json").write_text("{}")
        if key != "step/fold2":
            write_record(out / key, seconds=1.0, job=job | {"parts": {}, "digest": "1"})


def test_plan_of_a_study_from_an_older_version_says_what_runs_again_and_why(tmp_path):
    study, out = small_study(tmp_path), tmp_path / "small"
    write_older_records(out)
    output = succeed("plan", study, "--out", out, "--notebooks", tmp_path).out
    assert re.search("Runs again:\n  step/fold1: missing output files: .*results.sha256", output)
    assert "  step/fold2: was interrupted\n" in output


@pytest.mark.slow
def test_study_from_an_older_version_runs_again(tmp_path):
    study, out = small_study(tmp_path), tmp_path / "small"
    write_older_records(out)
    (out / "gate").touch()
    output = succeed("run", study, "--out", out, "--notebooks", tmp_path, "--cores", 2).out
    assert "Runs again: step/fold1: missing output files: " in output
    assert started(out) == {"step/fold1", "step/fold2", "sum"}
    assert json.loads((out / "sum" / "metrics.json").read_text()) == {"sum": 0.75}


def test_folder_that_the_study_did_not_make_is_refused_and_kept(tmp_path, monkeypatch):
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


def test_second_run_of_a_study_at_the_same_time_is_refused(tmp_path, monkeypatch):
    import chromoformer.studies.workflow as workflow

    study, out = small_study(tmp_path), tmp_path / "small"
    monkeypatch.setattr(workflow, "PATIENCE", 0.2)
    (out / ".study").mkdir(parents=True)
    with FileLock(out / ".study" / "lock"):
        result = chromoformer("run", study, "--out", out, "--notebooks", tmp_path)
    assert result.status == 2 and "being run already" in result.err


def test_a_run_that_two_paths_lead_to_is_collected_once(toy_runs, monkeypatch):
    from chromoformer.studies.collect import collect

    run = toy_runs[0]
    monkeypatch.chdir(run.parent)
    table = collect([run.name, run, run.parent])
    assert table.loc[table["run"] == run.name, "metric"].is_unique
    assert table["run"].nunique() == len(list(run.parent.glob("*/provenance.json")))


@pytest.mark.parametrize(
    ("parameters", "inputs", "cell_type"),
    [
        ({"stores": ["K562.v2"]}, ["K562.v2"], "K562.v2"),
        (
            {"stores": ["day0/cellA", "day7/cellA"]},
            ["day0/cellA", "day7/cellA", "start"],
            "day0/cellA, day7/cellA",
        ),
        ({"stores": ["/data/K562.v2.h5"]}, ["K562.v2"], "K562.v2"),
    ],
)
def test_collect_names_the_stores_of_a_run_in_full(tmp_path, parameters, inputs, cell_type):
    from chromoformer.studies.collect import collect

    (tmp_path / "metrics.json").write_text('{"task": "regression", "r2": {"value": 0.5}}')
    write_record(tmp_path, what="training run", parameters=parameters, inputs=dict.fromkeys(inputs, {}))
    assert collect([tmp_path])["cell_type"].tolist() == [cell_type]


def test_collect_warns_of_results_that_are_no_longer_those_of_the_study(tmp_path):
    from dataclasses import asdict

    from chromoformer.studies.collect import collect
    from chromoformer.studies.jobs import Job

    def job(fold, seed=0, needs=()):
        return Job(f"a/fold{fold}", "a", {"seed": seed}, needs=needs, fold=fold)

    done = [job(1), job(2), job(3, needs=("a/fold1",)), job(4, needs=("a/fold9",))]
    for one in done:
        (tmp_path / one.key).mkdir(parents=True)
        (tmp_path / one.key / "metrics.json").write_text('{"auc": {"value": 0.5}}')
        write_record(tmp_path / one.key, what="job", parameters={}, job=asdict(one))
    (tmp_path / ".study").mkdir()
    listed = {one.key: asdict(one) for one in (job(9), *done)}
    (tmp_path / ".study" / "jobs.json").write_text(json.dumps(listed))
    with pytest.warns(UserWarning, match="a/fold4: 1 old result, because a job that it needs is not done"):
        assert collect([tmp_path])["fold"].tolist() == [1, 2, 3, 4]
    now = [job(1), job(2, seed=1), job(3)]
    (tmp_path / ".study" / "jobs.json").write_text(json.dumps({one.key: asdict(one) for one in now}))
    with pytest.warns(UserWarning) as warned:
        collect([tmp_path])
    texts = [str(warning.message) for warning in warned]
    assert len(texts) == 2 and "fold2: 1 old result, because the settings" in texts[0]
    assert "fold4: 1 old result, because the study has no such job" in texts[1]


def test_records_inside_a_job_belong_to_the_job(tmp_path):
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
    found = {str(file.relative_to(tmp_path)) for file in outermost(records_in([tmp_path]))}
    assert found == {places[0], places[1], places[2], places[5]}
    assert outermost(records_in([tmp_path / "ablation/a/runs/full/fold1"])) == [tmp_path / places[4]]
    assert not is_result(tmp_path / places[4])  # it holds times, so equal jobs would differ


# ---- trainings, killed at random moments ----


def training_study(folder: Path, store: Path | None, epochs: int) -> Path:
    "Write a study of two trainings, on simulated data unless a store is given, and the sum of their AUCs."
    shutil.copy(ROOT / "nbs" / "analyses" / "train.ipynb", folder)
    code = SUM.replace("step/*/metrics.json", "train/*/*/*/metrics.json")
    notebook(folder, "sum", "out: str = ''\nstudy: str = ''", code)
    data = {"cell_types": {"cellA": str(store)}} if store else SIMULATED
    content = yaml.safe_load(TINY) | data | {"name": "trained", "out": str(folder / "out"), "folds": [1, 2]}
    content["recipe"]["epochs"] = epochs
    (folder / "study.yaml").write_text(yaml.safe_dump(content | {"analyses": {"train": {}, "sum": {}}}))
    return folder / "study.yaml"


def command(study: Path, out: Path) -> list[str]:
    "Return the command that runs a study in a process of its own."
    python = [sys.executable, "-c", "from chromoformer.cli import main; main()"]
    return [*python, "run", str(study), "--cores", "2", "--notebooks", str(study.parent), "--out", str(out)]


def processes_of(out: Path) -> list[int]:
    "Return the processes whose command names a study's folder."
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True)
    lines = [line for line in listed.stdout.splitlines() if str(out) in line and "ps -eo" not in line]
    return [int(line.split()[0]) for line in lines]


def same(one, other) -> bool:
    "Return whether two nested structures are equal, tensors to the last bit."
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


KILLS = int(os.environ.get("CHROMOFORMER_KILLS", "10"))  # in the test of random moments


def kill(process: subprocess.Popen, kind: str) -> None:
    "Kill the command, its Snakemake, one of its jobs, or everything at once."
    if kind == "everything":
        os.killpg(process.pid, signal.SIGKILL)
        return
    word = {"snakemake": "snakemake", "job": "run-job", "kernel": "ipykernel_launcher"}.get(kind)
    for child in psutil.Process(process.pid).children(recursive=True) if word else []:
        with contextlib.suppress(psutil.Error):
            if word in child.cmdline():
                child.kill()
                return
    process.kill()  # also where no such process runs at the moment


@pytest.mark.slow
def test_study_killed_at_random_moments_ends_with_the_same_files(tmp_path):
    study, rng = training_study(tmp_path, None, epochs=40), random.Random(0)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    begun = time.monotonic()
    subprocess.run(command(study, whole), check=True, capture_output=True)
    length = time.monotonic() - begun
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    kills = 0
    while True:
        process = subprocess.Popen(command(study, killed), **streams)
        try:
            process.wait(rng.uniform(0, length * (kills + 2) / KILLS) if kills < KILLS else None)
        except subprocess.TimeoutExpired:
            kill(process, ("everything", "snakemake", "job", "command", "kernel")[kills % 5])
            process.wait()
            kills += 1
            continue
        if process.returncode == 0:
            break
        assert kills < KILLS, process.returncode  # undisturbed: it must succeed
    assert kills >= min(KILLS, 4), kills
    print(f"{kills} kills")
    found, expected = results(killed), results(whole)
    states = [name for name in expected if name.endswith("state.pt")]
    assert len(states) == 2
    for name in states:  # equal content; pickling after a load may write it in another order
        one, other = (torch.load(folder / name, weights_only=True) for folder in (killed, whole))
        assert same(one, other)
        del found[name], expected[name]
    assert found == expected
    assert "all as recorded" in succeed("verify", killed).out
    deadline = time.monotonic() + 10
    while processes_of(killed) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_of(killed) == []  # nothing continues in the background


@pytest.fixture(scope="module")
def trained(tmp_path_factory, toy_store) -> Path:
    "Return the folder of a finished study of two trainings."
    folder = tmp_path_factory.mktemp("trained")
    study = training_study(folder, toy_store, epochs=2)
    subprocess.run(command(study, folder / "out"), check=True, capture_output=True)
    return folder / "out"


@pytest.mark.slow
def test_verify_names_any_file_with_one_flipped_bit(trained, tmp_path, toy_store):
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    files = [
        path
        for path in out.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(out).parts)
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
def test_rerun_agrees_to_the_last_bit_and_names_a_changed_result(trained, tmp_path):
    run = trained / "train" / "classification" / "cellA" / "fold1"
    assert "the same to the last bit" in succeed("verify", run, "--rerun").out
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    from chromoformer.provenance import write_json
    from chromoformer.studies.verify import rerun

    run = out / "train/classification/cellA/fold1"
    metrics = json.loads((run / "metrics.json").read_text())
    write_json(run / "metrics.json", metrics | {"auc": metrics["auc"] | {"value": 0.123}})
    [difference] = rerun(run)
    assert "auc.value: 0.123 before" in difference


@pytest.mark.slow
def test_rerun_goes_on_after_a_record_that_cannot_be_run_again(trained, toy_store, tmp_path):
    from chromoformer import baselines

    baselines.fit("logistic regression", toy_store, tmp_path / "a", 1, progress=False)
    run = trained / "train" / "classification" / "cellA" / "fold1"
    found = chromoformer("verify", tmp_path / "a", run, "--rerun")
    assert found.status == 1 and "cannot be run again" in found.err and str(tmp_path / "a") in found.err
    assert "the same to the last bit" in found.out


@pytest.mark.slow
def test_collect_gathers_the_metrics_of_a_study_in_one_table(trained, tmp_path):
    import pandas as pd

    succeed("collect", trained, "--out", tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv")
    assert list(table) == ["run", "analysis", "cell_type", "task", "fold", "metric", "value", "low", "high"]
    auc = table[table["metric"] == "auc"].set_index("fold")
    assert list(auc.index) == [1, 2]
    assert (auc["cell_type"] == "cellA").all() and (auc["analysis"] == "train").all()
    metrics = json.loads((trained / "train/classification/cellA/fold2/metrics.json").read_text())
    assert auc.loc[2, "value"] == metrics["auc"]["value"]


@pytest.mark.slow
def test_toy_study_meets_its_claims_then_skips_finished_jobs_then_runs_one_changed_notebook(tmp_path):
    shutil.copytree(ROOT / "nbs" / "analyses", tmp_path / "analyses")
    study = ROOT / "workflow" / "studies" / "toy.yaml"
    run = ["run", study, "--cores", 2, "--out", tmp_path / "toy", "--notebooks", tmp_path / "analyses"]
    succeed(*run)
    metrics = json.loads((tmp_path / "toy" / "report" / "metrics.json").read_text())
    failed = [row for row in metrics["claims"] if not row["met"]]
    assert metrics["claims met"]["value"] == metrics["claims judged"]["value"] == len(metrics["claims"]), (
        failed
    )
    assert "Nothing to do" in succeed(*run).out
    changed = tmp_path / "analyses" / "perturbation.ipynb"
    content = nbformat.read(changed, as_version=4)
    content.cells.append(nbformat.v4.new_markdown_cell("One more cell."))
    nbformat.write(content, changed)
    succeed(*run)
    assert started(tmp_path / "toy") == {"perturbation/classification/cellA", "report"}


@pytest.mark.slow
def test_training_from_the_command_line_can_be_run_again(toy_store, tiny, tmp_path):
    succeed("train", toy_store, "--fold", 2, "--config", tiny, "--threads", 1, "--out", tmp_path / "run")
    assert "the same to the last bit" in succeed("verify", tmp_path / "run", "--rerun").out
