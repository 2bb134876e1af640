"""Measure seconds and bytes of one job of each kind, for the estimates of `chromoformer plan`.

    chromoformer run benchmarks/study_rates.yaml --cores 1
    python benchmarks/study_rates.py runs/rates

Writes benchmarks/results/study_rates.json. The study trains the published network for 9 epochs and for
1. The difference gives the time of an epoch, and the rest is the fixed time of a notebook that trains.
The fixed time of other notebooks is four fifths of the shortest one. Seconds are CPU time on one core,
which other work on the machine changes little.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from chromoformer.data.store import Store
from chromoformer.model.checkpoint import load
from chromoformer.provenance import read_record, write_json
from chromoformer.studies.jobs import Job, job_from
from chromoformer.studies.planning import amounts_of, models_of

OUT = Path(__file__).resolve().parent / "results" / "study_rates.json"


def finished(root: Path) -> Iterator[tuple[Job, dict]]:
    "Yield the finished jobs of a study with their records, except resumed ones: their length is unknown."
    for content in json.loads((root / ".study" / "jobs.json").read_text()).values():
        job = job_from(content)
        record = read_record(root / job.record) if (root / job.record).exists() else None
        if record and not record["job"]["resumed"]:
            yield job, record


def fixed_seconds(found: dict[str, list]) -> tuple[float, float]:
    "Return the fixed seconds of a notebook that trains and of one that does not, besides their real work."
    [(short, short_record)] = found["shorter"]
    same = [
        (job, record)
        for job, record in found["train"]
        if (job.cell_type, job.task) == (short.cell_type, short.task)
    ]
    long, long_record = same[0]
    few = short.parameters["recipe"]["epochs"]
    many = long.parameters["recipe"].get("epochs", 9)
    epoch = (long_record["cpu_seconds"] - short_record["cpu_seconds"]) / (many - few)
    training = max(short_record["cpu_seconds"] - few * epoch, 0.0)
    shortest = min(
        mean_seconds(jobs) for kind, jobs in found.items() if jobs[0][0].notebook and kind != "shorter"
    )
    return training, min(training, 0.8 * shortest)  # a fifth is work, which grows with genes and models


def mean_seconds(jobs: list) -> float:
    "Return the mean CPU time of some jobs."
    return sum(record["cpu_seconds"] for _, record in jobs) / len(jobs)


def rates(root: Path) -> dict:
    "Return the rates of a finished study: by kind, means over its jobs and what they depend on."
    found: dict[str, list] = {}
    for job, record in finished(root):
        found.setdefault(job.kind, []).append((job, record))
    training, other = fixed_seconds(found)
    genes = len(Store(root / "stores" / "cellA.h5").genes)
    long, record = found["train"][0]
    parameters = sum(weights.numel() for weights in load(root / long.key).parameters())
    kinds = {}
    for kind in [kind for kind in found if kind not in ("shorter", "fetch")]:
        jobs = found[kind]
        outputs = [output for _, record in jobs for output in record["outputs"].values()]
        size = sum(output["size"] for output in outputs) / len(jobs)
        kinds[kind] = {"seconds": mean_seconds(jobs), "bytes": size, "genes": genes, "overhead": 0.0}
        job = jobs[0][0]
        if job.notebook:
            trains = any(output["path"].endswith("state.pt") for output in outputs)
            kinds[kind] |= {
                "overhead": min(training if trains else other, kinds[kind]["seconds"]),
                "models": models_of(job.parameters),
                "amounts": amounts_of(job),
                "parameters": parameters,
                "epochs": long.parameters["recipe"].get("epochs", 9),
                "trains": trains,
            }
        processor = record["machine"]["processor"]
        kinds[kind]["source"] = f"{genes} toy genes, {processor}, {record['started'][:10]}"
    return {
        "what": "CPU seconds and bytes of one job of each kind, on one core, published network and recipe",
        "kinds": kinds,
        "machine": record["machine"],
        "versions": record["versions"],
        "code": record["code"],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="folder of the finished study")
    content = rates(parser.parse_args().study)
    write_json(OUT, content)
    print(f"{'':<16}{'s':>9}{'MB':>9}{'models':>8}  trains")
    for kind, rate in content["kinds"].items():
        trains = "yes" if rate.get("trains") else ""
        numbers = f"{rate['seconds']:9.1f}{rate['bytes'] / 1e6:9.2f}{rate.get('models', ''):>8}"
        print(f"{kind:<16}{numbers}  {trains}")
