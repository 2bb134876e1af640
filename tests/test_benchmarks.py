"""The benchmarks run, at a size at which their times say nothing, and write what they print."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def run(script, *arguments):
    "What a script printed."
    command = [sys.executable, BENCHMARKS / script, *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("bedtools"), reason="bedtools is not installed")
def test_reads_and_bedtools_agree_on_every_base_and_both_are_timed(tmp_path):
    printed = run("reads.py", "--scale", "toy", "--reads", "2000", "--runs", "1", "--out", tmp_path / "reads.json")
    found = json.loads((tmp_path / "reads.json").read_text())
    assert found["bases_compared"] > 1_000_000 and found["bases_that_differ"] == 0 and 1500 < found["reads"] < 2500
    assert found["ratio"] == pytest.approx(found["median_seconds"]["bedtools"] / found["median_seconds"]["here"])
    assert f"{found['ratio']:.1f} times" in printed and set(found["bedtools"]) == {"genomecov", "sort", "conversion"}
    assert found["machine"]["cores"] and found["versions"]["pybigtools"] and found["here"]["all"]["peak_mb"] > 0


def test_the_store_of_a_cell_type_is_built_measured_and_read(tmp_path):
    printed = run("store.py", "--scale", "toy", "--runs", "1", "--processes", "1", "--folder", tmp_path / "cell", "--out", tmp_path / "store.json")
    found = json.loads((tmp_path / "store.json").read_text())
    assert found["content"]["genes"] == 200 and len(found["content"]["channels"]) == 7
    assert found["builds"]["1"]["median"] > 0 and found["bytes"] > 10_000 and found["peak_mb"] >= found["builds"]["1"]["peak_mb"]
    assert "batch of 64 from disk" in printed and len(found["layouts"]) == 4
    assert (tmp_path / "cell" / "cellA.yaml").exists()


@pytest.mark.parametrize("script", ["reads.py", "store.py"])
def test_help_has_an_example(script):
    assert f"python benchmarks/{script}" in run(script, "--help")
