"""Collect the claims about the toy's planted truth from finished toy studies with different seeds.

    chromoformer run workflow/studies/toy.yaml --cores 2          # and copies with other values of `simulate: seed`
    python benchmarks/toy_claims.py runs/toy runs/toy_seed1 runs/toy_seed2

Writes benchmarks/results/toy_claims.json: every claim of each study's report, with its numbers and whether it holds.
"""

import argparse
import json
from pathlib import Path

import pandas as pd
from _gm12878 import RESULTS

from chromoformer.provenance import read_record, write_json


def claims_of(study: Path) -> dict:
    "Return the claims of a study with the seed of its toy and the code that checked them."
    report = study / "report"
    table = pd.read_parquet(report / "claims.parquet")
    record = read_record(report / "provenance.json")
    simulated = read_record(study / "toy.provenance.json")
    return {
        "seed": simulated["job"]["parameters"]["seed"],
        "claims": json.loads(table.to_json(orient="records")),
        "met": int(table["met"].sum()),
        "of": len(table),
        **{name: record[name] for name in ("code", "versions", "machine")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="+", type=Path)
    studies = [claims_of(study) for study in parser.parse_args().studies]
    for study in studies:
        print(f"seed {study['seed']}: {study['met']} of {study['of']} claims hold")
    write_json(RESULTS / "toy_claims.json", {"what": "claims of the toy study by its seed", "studies": studies})


if __name__ == "__main__":
    main()
