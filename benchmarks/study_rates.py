"""Seconds and bytes of one job of each kind, for the estimates of `chromoformer plan`; writes benchmarks/results/study_rates.json.

    chromoformer run benchmarks/study_rates.yaml --cores 1
    chromoformer run workflow/studies/toy.yaml --cores 1
    python benchmarks/study_rates.py runs/rates runs/toy

The first study trains the published network for 1 and for 5 epochs: the difference is the time of an epoch, the rest the time that a notebook takes
whatever it does. Other analyses are taken from the studies that are named after it. Run alone on the machine, or the rates are those of a busy one.
"""

import json
import sys
from pathlib import Path

from chromoformer.data.store import Store
from chromoformer.execution import job_from
from chromoformer.jobs import Job
from chromoformer.model.checkpoint import load
from chromoformer.provenance import read_record, write_json

OUT = Path(__file__).resolve().parent / "results" / "study_rates.json"


def finished(root: Path) -> list[tuple[Job, dict]]:
    "Jobs of a study with their records; those that went on from an earlier start say nothing of their length."
    jobs = [job_from(content) for content in json.loads((root / ".study" / "jobs.json").read_text()).values()]
    found = [(job, read_record(root / job.record)) for job in jobs]
    return [(job, record) for job, record in found if not record["job"]["resumed"]]


def size(record: dict) -> int:
    return sum(output["size"] for output in record["outputs"].values())


def main(reference: Path, others: list[Path]) -> None:
    jobs = finished(reference)
    few, more = (next((job, record) for job, record in jobs if job.kind == kind) for kind in ("train", "longer"))
    epochs = [job.parameters["recipe"]["epochs"] for job, _ in (few, more)]
    an_epoch = (more[1]["seconds"] - few[1]["seconds"]) / (epochs[1] - epochs[0])
    overhead = max(few[1]["seconds"] - epochs[0] * an_epoch, 0.0)
    genes = len(Store(reference / "stores" / "cellA.h5").genes)
    parameters = sum(weights.numel() for weights in load(reference / more[0].key).parameters())
    source = f"{{}}, {genes} toy genes, {more[1]['machine']['processor']}, {more[1]['started'][:10]}"
    kinds = {"train": {"seconds": more[1]["seconds"], "bytes": size(more[1]), "epochs": epochs[1], "parameters": parameters,
                       "genes": genes, "overhead": overhead, "source": source.format("the published network")}}  # fmt: skip
    for root in (reference, *others):
        for job, record in finished(root):
            if job.kind not in (*kinds, "longer", "fetch"):
                data = job.kind in ("toy", "stores")
                same = [other for one, other in finished(root) if one.kind == job.kind]
                number = len(Store(next((root / "stores").glob("*.h5"))).genes)
                seconds = sum(other["seconds"] for other in same) / len(same)
                kinds[job.kind] = {"seconds": seconds, "bytes": sum(map(size, same)) / len(same), "genes": number,
                                   "overhead": 0.0 if data else min(overhead, seconds),
                                   "source": f"{root.name} study, {number} genes, {record['started'][:10]}"}  # fmt: skip
    write_json(OUT, {"what": "seconds and bytes of one job of each kind", "kinds": kinds, "machine": more[1]["machine"], "versions": more[1]["versions"],
                     "code": more[1]["code"]})  # fmt: skip
    print(f"{'':<16}{'s':>9}{'MB':>9}{'genes':>8}")
    for kind, rate in kinds.items():
        print(f"{kind:<16}{rate['seconds']:9.1f}{rate['bytes'] / 1e6:9.2f}{rate['genes']:8}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
