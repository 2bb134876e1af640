"""Seconds and bytes of one job of each kind, for the estimates of `chromoformer plan`; writes benchmarks/results/study_rates.json.

    chromoformer run benchmarks/study_rates.yaml --cores 1
    python benchmarks/study_rates.py runs/rates

The study trains the published network for 9 epochs and for 1: the difference is the time of an epoch, the rest the time that a notebook that
trains takes whatever it does; one that does not takes four fifths of the quickest. Seconds are those of computing on one core, which other work on
the machine changes little.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from chromoformer.data.store import Store
from chromoformer.model.checkpoint import load
from chromoformer.provenance import read_record, write_json
from chromoformer.studies.execution import job_from
from chromoformer.studies.jobs import Job
from chromoformer.studies.planning import models_of

OUT = Path(__file__).resolve().parent / "results" / "study_rates.json"


def finished(root: Path) -> Iterator[tuple[Job, dict]]:
    "Jobs of a study that are done, with their records; those that went on from an earlier start say nothing of their length."
    for content in json.loads((root / ".study" / "jobs.json").read_text()).values():
        job = job_from(content)
        if (root / job.record).exists() and not (record := read_record(root / job.record))["job"]["resumed"]:
            yield job, record


def rates(root: Path) -> dict:
    "Kind -> means over its jobs, and what they depend on."
    found: dict[str, list] = {}
    for job, record in finished(root):
        found.setdefault(job.kind, []).append((job, record))
    seconds = {
        kind: sum(record["cpu_seconds"] for _, record in jobs) / len(jobs) for kind, jobs in found.items()
    }
    [(short, brief)] = found["shorter"]
    long, record = next(
        (job, record)
        for job, record in found["train"]
        if (job.cell_type, job.task) == (short.cell_type, short.task)
    )
    few, epochs = short.parameters["recipe"]["epochs"], long.parameters["recipe"].get("epochs", 9)
    training = max(
        brief["cpu_seconds"] - few * (record["cpu_seconds"] - brief["cpu_seconds"]) / (epochs - few), 0.0
    )
    quickest = min(seconds[kind] for kind, jobs in found.items() if jobs[0][0].notebook and kind != "shorter")
    notebook = min(
        training, 0.8 * quickest
    )  # a fifth of the quickest is taken for work, which grows with genes and models
    genes = len(Store(root / "stores" / "cellA.h5").genes)
    parameters = sum(weights.numel() for weights in load(root / long.key).parameters())
    kinds = {}
    for kind, jobs in found.items():
        if kind not in ("shorter", "fetch"):
            outputs = [output for _, record in jobs for output in record["outputs"].values()]
            kinds[kind] = {
                "seconds": seconds[kind],
                "bytes": sum(output["size"] for output in outputs) / len(jobs),
                "genes": genes,
                "overhead": 0.0,
            }
            if jobs[0][0].notebook:
                trains = any(output["path"].endswith("state.pt") for output in outputs)
                kinds[kind] |= {
                    "overhead": min(training if trains else notebook, seconds[kind]),
                    "models": models_of(jobs[0][0].parameters),
                    "parameters": parameters,
                    "epochs": epochs,
                    "trains": trains,
                }
            kinds[kind]["source"] = (
                f"{genes} toy genes, {record['machine']['processor']}, {record['started'][:10]}"
            )
    return {
        "what": "seconds of computing and bytes of one job of each kind, on one core, with the published network and recipe",
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
        print(
            f"{kind:<16}{rate['seconds']:9.1f}{rate['bytes'] / 1e6:9.2f}{rate.get('models', ''):>8}  {'yes' if rate.get('trains') else ''}"
        )
