"""Keep what a study of the three cell lines found: one JSON per analysis in benchmarks/results.

    chromoformer run workflow/studies/cells.yaml --cores 2
    python benchmarks/cells.py runs/cells [--name cells]

Reads the metrics and the provenance of all complete jobs of the study, which need not be complete itself. A
result holds, for each cell type and task, the metrics of the analysis as it wrote them, its parameters, the
code, and what its jobs took: seconds, seconds of computing, bytes written and the peak memory. Results of
cell types and tasks that the study has not finished are left as kept before. `cells.study.json` holds the
seconds of each analysis and what a store takes. Scores of the trained networks over all folds are computed
here from their held-out predictions.
"""

import argparse
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
from _gm12878 import RESULTS

from chromoformer.experiments.comparison import held_out_predictions, mean_scores
from chromoformer.provenance import read_record, write_json

ALL = "all cell types"  # of an analysis that reads several
TIMES = ("seconds", "cpu_seconds")


def jobs_in(study: Path) -> list[dict]:
    "Return analysis, cell type, task, folder and record of every complete job, except stores and files."
    jobs = []
    for file in sorted(study.glob("*/*/**/provenance.json")):
        record = read_record(file)
        if "job" in record and (file.parent / "metrics.json").exists():
            own = {"analysis": record["job"]["kind"], "folder": file.parent, "record": record}
            own |= {name: record["job"][name] for name in ("cell_type", "task", "fold")}
            jobs.append(own | {"name": file.parent.relative_to(study).parts[0]})
    return jobs


def without_incomplete(jobs: list[dict], study: Path) -> list[dict]:
    "Leave out trainings of which another fold has not finished: their mean would not be that of all folds."
    planned = json.loads((study / ".study" / "jobs.json").read_text()).values()
    of_folds = ("kind", "cell_type", "task")
    wanted = Counter(tuple(job[key] for key in of_folds) for job in planned if job["fold"] is not None)
    finished = Counter(
        (job["analysis"], job["cell_type"], job["task"]) for job in jobs if job["fold"] is not None
    )
    for key in [key for key, number in finished.items() if number < wanted[key]]:
        print(f"{', '.join(key)} is left out: {finished[key]} of {wanted[key]} folds have finished")
        jobs = [job for job in jobs if (job["analysis"], job["cell_type"], job["task"]) != key]
    return jobs


def finite(value):
    "Return a value of JSON with six digits of each number; those that are not finite are None."
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value


def without_paths(value):
    "Return parameters in which files of this machine have only their names."
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    return Path(value).name if isinstance(value, str) and re.match(r"/|[A-Za-z]:\\", value) else value


def scores_of(jobs: list[dict]) -> dict:
    "Return the scores of the networks of one cell type and task over their folds, and the genes of each."
    task = jobs[0]["task"]
    predictions = held_out_predictions({"Chromoformer": [job["folder"] for job in jobs]})
    return {
        "means": mean_scores(predictions, task).to_dict("records"),
        "genes": {str(fold): len(part) for fold, part in predictions.groupby("fold")},
    }


def times_of_job(job: dict) -> dict[str, float]:
    "Return the seconds of a job; a resumed one also took those of the runs that it found complete."
    record, before = job["record"], []
    if record["job"]["resumed"]:
        runs = [read_record(file) for file in job["folder"].glob("*/**/provenance.json")]
        before = [run for run in runs if run["ended"] <= record["started"]]
    return {name: record[name] + sum(run[name] for run in before) for name in TIMES}


def kept_result(name: str, jobs: list[dict], title: str) -> dict:
    "Return what is kept of one analysis."
    found: dict = {}
    for cell in dict.fromkeys(job["cell_type"] or ALL for job in jobs):
        for task in dict.fromkeys(job["task"] for job in jobs):
            own = [job for job in jobs if (job["cell_type"] or ALL, job["task"]) == (cell, task)]
            if not own:
                continue
            metrics = (
                scores_of(own)
                if own[0]["fold"] is not None
                else json.loads((own[0]["folder"] / "metrics.json").read_text())
            )
            record = own[0]["record"]
            found.setdefault(cell, {})[task or "no task"] = {
                "metrics": metrics,
                "parameters": without_paths(record["parameters"]),
                "inputs": {key: entry["sha256"] for key, entry in record["inputs"].items()},
                "code": record["code"],
                "jobs": len(own),
                **{name: sum(times[name] for times in map(times_of_job, own)) for name in TIMES},
                "bytes": sum(out["size"] for job in own for out in job["record"]["outputs"].values()),
                "trains": any(
                    out["path"].endswith("state.pt")
                    for job in own
                    for out in job["record"]["outputs"].values()
                ),
                "peak_memory": max(job["record"].get("peak_memory") or 0 for job in own),
            }
    first = jobs[0]["record"]
    about = {"machine": first["machine"], "versions": first["versions"]}
    return finite({"what": f"{name}, of the study {title}", "cells": found} | about)


def times_of(folder: Path, title: str) -> dict:
    "Return the seconds of each analysis whose results are kept."
    seconds = {}
    for file in sorted(folder.glob(f"{title}.*.json")):
        kept = json.loads(file.read_text())
        entries = [entry for tasks in kept.get("cells", {}).values() for entry in tasks.values()]
        if entries and "seconds" in entries[0]:
            seconds[file.name.removeprefix(f"{title}.").removesuffix(".json")] = sum(
                entry["seconds"] for entry in entries
            )
    return {"seconds": seconds}


def of_stores(study: Path) -> dict:
    "Return what a store takes on average: seconds of computing, bytes, and the highest peak memory."
    records = [read_record(file) for file in sorted(study.glob("stores/*.provenance.json"))]
    return {
        "seconds": float(np.mean([record["cpu_seconds"] for record in records])),
        "bytes": float(np.mean([sum(o["size"] for o in r["outputs"].values()) for r in records])),
        "memory": max(record.get("peak_memory") or 0 for record in records),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path)
    parser.add_argument("--name", help="Beginning of the files' names; by default the folder's.")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    study = arguments.study.resolve()
    title = arguments.name or study.name
    jobs = without_incomplete(jobs_in(study), study)
    if not jobs:
        raise SystemExit(f"{arguments.study} has no complete job. Fix: name the folder of the study")
    by_name: dict = {}
    for job in jobs:
        by_name.setdefault(job["name"], []).append(job)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, own in by_name.items():
        file = arguments.out / f"{title}.{name}.json"
        result = kept_result(name, own, title)
        if file.exists():
            for cell, by_task in json.loads(file.read_text())["cells"].items():
                result["cells"][cell] = by_task | result["cells"].get(cell, {})
        write_json(file, result)
    about = {name: jobs[0]["record"][name] for name in ("machine", "versions")}
    about = times_of(arguments.out, title) | {"stores": of_stores(study)} | about
    write_json(arguments.out / f"{title}.study.json", about)
    print(f"Kept {len(jobs)} jobs of {len(by_name)} analyses in {arguments.out}")


if __name__ == "__main__":
    main()
