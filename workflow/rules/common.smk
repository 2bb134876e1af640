"""Read the study, and say what each rule needs to know about its jobs.

A rule has one job per task, cell type and fold that its notebook asks for. Parameters and code of a job are Snakemake
parameters: a change of either runs the job again, wherever the notebook and the library are installed.
"""

import os
import re
import shlex
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from chromoformer.provenance import write_json
from chromoformer.studies.definition import Study
from chromoformer.studies.execution import STUDY_FOLDER, end_with
from chromoformer.studies.jobs import jobs_of
from chromoformer.studies.sources import hash_of, sources_of
from chromoformer.studies.workflow import beside_the_library

if not workflow.configfiles:
    raise WorkflowError("no study is given: add --configfile, for example --configfile workflow/studies/toy.yaml")
SETTINGS = {name: value for name, value in config.items() if name != "notebooks"}
validate(SETTINGS, Path(workflow.current_basedir) / "../schemas/study.schema.yaml", set_default=False)
STUDY = Study(**SETTINGS)
ROOT = Path(STUDY.out).resolve()
JOBS = jobs_of(STUDY, workflow.configfiles[-1], config.get("notebooks") or beside_the_library("nbs/analyses"))
DESCRIBED = SETTINGS | {"out": STUDY.name}  # wherever the study is
LOCK = FileLock(Path(STUDY_FOLDER, "lock"))


workdir: str(ROOT)


def begin():
    "Lock the study and write down its jobs for `run-job`; not for a dry run, a drawing or a report."
    if "CHROMOFORMER_RUN" in os.environ:  # `chromoformer run` started this Snakemake
        end_with(int(os.environ["CHROMOFORMER_RUN"]))
    Path(STUDY_FOLDER).mkdir(exist_ok=True)
    try:
        LOCK.acquire(timeout=0)  # released when Snakemake ends, however it ends; its own locks outlive a kill
    except Timeout:
        raise WorkflowError(f"the study in {ROOT} is being run already") from None
    write_json(Path(STUDY_FOLDER, "jobs.json"), {key: asdict(job) for key, job in JOBS.items()})
    write_json(Path(STUDY_FOLDER, "study.json"), DESCRIBED)


# What a job runs. The number of threads decides the last bits of a result, so it is fixed by the study.
# $PPID is Snakemake: the job ends with it.
RUN_JOB = (
    "CHROMOFORMER_RUN=$PPID "
    "OMP_NUM_THREADS={params.threads} MKL_NUM_THREADS={params.threads} OPENBLAS_NUM_THREADS={params.threads} "
    "MPLBACKEND=agg PYTHONHASHSEED=0 {PYTHON} -c 'from chromoformer.cli import main; main()' "
    "run-job . {params.key} > {log.text} 2>&1"
)
PYTHON = shlex.quote(sys.executable)
KINDS = {}
for job in JOBS.values():
    KINDS.setdefault(job.kind, job)


wildcard_constraints:
    task="classification|regression",
    cell_type=r"\w[\w.-]*",
    fold=r"\d+",


def folder_of(kind):
    "Return the folder of the jobs of an analysis, with wildcards for task, cell type and fold."
    job = KINDS[kind]
    parts = [kind, job.task and "{task}", job.cell_type and "{cell_type}", job.fold and "fold{fold}"]
    return "/".join(part for part in parts if part)


def job_of(pattern, wildcards):
    "Return the job of some wildcards."
    key = pattern.format(**wildcards)
    if key not in JOBS:
        raise WorkflowError(f"the study has no job {key}")
    return JOBS[key]


def made_by(job):
    "Return the files of a job that must not be missing."
    return dict.fromkeys([job.result, job.record, *([f"{job.key}/metrics.json"] if job.notebook else [])])


def files_of(pattern):
    "Return a function of the wildcards that returns a job's inputs."

    def inputs(wildcards):
        job = job_of(pattern, wildcards)
        return [*(JOBS[key].result for key in job.needs), *dict.fromkeys(job.inputs.values())]

    return inputs


def of(pattern, name):
    "Return a function of the wildcards that returns an attribute of a job."
    return lambda wildcards: getattr(job_of(pattern, wildcards), name)


@cache
def code_of(kind, notebook):
    "Return the hash of the code of a job."
    return hash_of(sources_of(kind, notebook))


def code(pattern):
    "Return a function of the wildcards that returns the hash of a job's code."

    def found(wildcards):
        job = job_of(pattern, wildcards)
        return code_of(job.kind, job.notebook)

    return found


def params_of(pattern):
    "Return the parameters of a rule: if they change, its jobs run again."
    settings = of(pattern, "settings")
    return {"key": pattern, "settings": settings, "code": code(pattern), "threads": of(pattern, "threads")}


def resources_of(pattern):
    "Return what a cluster reserves for the jobs of a rule."
    return {"mem_mb": of(pattern, "memory_mb"), "runtime": of(pattern, "minutes")}


def pages_of(kind):
    "Return what every notebook leaves: its metrics, figures and page, the checksums of its results, its record."
    key = folder_of(kind)
    job = KINDS[kind]
    names = {"task": job.task, "cell_type": job.cell_type, "fold": job.fold}
    labels = {name: f"{{{name}}}" for name, value in names.items() if value} or {"analysis": kind}
    named = labels | {"figure": "{name}"}
    figures = report(directory(f"{key}/figures"), patterns=["{name}.png"], category=kind, labels=named)
    page = report(f"{key}/notebook.html", category=kind, labels=labels | {"figure": "notebook"})
    return [f"{key}/metrics.json", figures, page, f"{key}/results.sha256", f"{key}/provenance.json"]


def logs_of(pattern, notebook=True):
    "Return the executed notebook, which is kept if the job fails, and the file for its messages."
    logs = {"notebook": f"{pattern}/notebook.ipynb"} if notebook else {}
    return logs | {"text": f"{STUDY_FOLDER}/logs/{pattern}.log"}


def message_of(pattern):
    "Return the message of a rule: the job's key, which the log of Snakemake then names."
    return re.sub(r"{(\w+)}", r"{wildcards.\1}", pattern)
