"""Collect the claims about the toy's planted truth from finished toy studies with different seeds.

    chromoformer run workflow/studies/toy.yaml --cores 2  # and copies with another `simulate: seed`
    python benchmarks/toy_claims.py runs/toy runs/toy_seed1 runs/toy_seed2

Writes benchmarks/results/toy_claims.json: every claim of each study's report, with its numbers, and for each
claim the mean over the studies, with an interval that follows from theirs; the studies are independent.
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np
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
        "seed": simulated["parameters"]["seed"],
        "claims": json.loads(table.to_json(orient="records")),
        "met": int(table["met"].sum()),
        "of": len(table),
        **{name: record[name] for name in ("code", "versions", "machine")},
    }


def pooled(studies: list[dict]) -> list[dict]:
    "Return for each claim the mean of its first number over the studies, and in how many it holds."
    claims = pd.concat(pd.DataFrame(study["claims"]) for study in studies)
    claims["variance"] = ((claims["high"] - claims["low"]) / 2 / 1.96) ** 2
    rows = []
    for (claim, of, condition), group in claims.groupby(["claim", "of", "met if"], sort=False):
        value = group["found"].mean()
        half = 1.96 * np.sqrt(group["variance"].sum()) / len(group)
        side, chance = re.match(r"interval (above|below) ([-\d.]+)", condition).groups()
        clear = value - half > float(chance) if side == "above" else value + half < float(chance)
        rows.append(
            {"claim": claim, "of": of, "met if": condition, "value": value, "low": value - half}
            | {"high": value + half, "clear": bool(clear), "holds in": int(group["met"].sum())}
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="+", type=Path)
    studies = [claims_of(study) for study in parser.parse_args().studies]
    for study in studies:
        print(f"seed {study['seed']}: {study['met']} of {study['of']} claims hold")
    for row in (together := pooled(studies)):
        mean = f"{row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
        clear = "" if row["clear"] else ", not clear"
        print(f"in {row['holds in']} of {len(studies)}, mean {mean}{clear}: {row['claim']}")
    write_json(
        RESULTS / "toy_claims.json",
        {"what": "claims of the toy study by its seed", "studies": studies, "pooled": together},
    )


if __name__ == "__main__":
    main()
