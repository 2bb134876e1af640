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

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from chromoformer.provenance import write_json
from chromoformer.studies.definition import Study
from chromoformer.studies.execution import STUDY_FOLDER, end_with, locked
from chromoformer.studies.jobs import jobs_of, missing_files
from chromoformer.studies.sources import hash_of, sources_of
from chromoformer.studies.workflow import beside_the_library

if not workflow.configfiles:
    raise WorkflowError("no study is given: add --configfile, for example --configfile workflow/studies/toy.yaml")
SETTINGS = {name: value for name, value in config.items() if name != "notebooks"}
validate(SETTINGS, Path(workflow.current_basedir) / "../schemas/study.schema.yaml", set_default=False)
STUDY = Study(**SETTINGS)
ROOT = Path(STUDY.out).resolve()
JOBS = jobs_of(STUDY, workflow.configfiles[-1], config.get("notebooks") or beside_the_library("nbs/analyses"))
RUNS = workflow.is_main_process and not workflow.dryrun


workdir: str(ROOT)


if RUNS:
    if os.environ.get("CHROMOFORMER_RUN"):
        end_with([int(os.environ["CHROMOFORMER_RUN"])])
    LOCK = locked(Path(STUDY_FOLDER, "lock"), wait=0)
    try:
        LOCK.__enter__()  # held until Snakemake ends, however it ends
    except TimeoutError:
        raise WorkflowError(f"the study in {ROOT} is being run already") from None
    write_json(Path(STUDY_FOLDER, "jobs.json"), {key: asdict(job) for key, job in JOBS.items()})

# What a job runs. The number of threads decides the last bits of a result, so it is fixed by the study.
RUN_JOB = (
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


def log_of(pattern):
    "Return the file for the messages of a job."
    return f"{STUDY_FOLDER}/logs/{pattern}.log"


def labels_of(kind):
    "Return the labels of a job in Snakemake's report."
    job = KINDS[kind]
    names = {"task": job.task, "cell_type": job.cell_type, "fold": job.fold}
    return {name: f"{{{name}}}" for name, value in names.items() if value} or {"analysis": kind}
