"""The benchmarks run, at a size at which their times say nothing, and write what they print."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def run(script, *arguments):
    "What a script printed."
    command = [sys.executable, BENCHMARKS / script, *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_command_that_prints_much_is_measured_to_its_end():
    code = "import sys; from _measure import measured; " + (
        "print(len(measured([sys.executable, '-c', 'print(300000 * chr(120))'])['printed']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "300001", done.stderr


@pytest.mark.skipif(not shutil.which("bedtools"), reason="bedtools is not installed")
def test_reads_and_bedtools_agree_on_every_base_and_both_are_timed(tmp_path):
    printed = run(
        "reads.py", "--scale", "toy", "--reads", "2000", "--runs", "1", "--out", tmp_path / "reads.json"
    )
    found = json.loads((tmp_path / "reads.json").read_text())
    assert (
        found["bases_compared"] > 1_000_000
        and found["bases_that_differ"] == 0
        and 1500 < found["reads"] < 2500
    )
    assert found["ratio"] == pytest.approx(
        found["median_seconds"]["bedtools"] / found["median_seconds"]["here"]
    )
    assert f"{found['ratio']:.1f} times" in printed and set(found["bedtools"]) == {
        "genomecov",
        "sort",
        "conversion",
    }
    assert (
        found["machine"]["cores"] and found["versions"]["pybigtools"] and found["here"]["all"]["peak_mb"] > 0
    )


@pytest.mark.slow
def test_the_store_of_a_cell_type_is_built_measured_and_read(tmp_path):
    printed = run(
        "store.py",
        "--scale",
        "toy",
        "--runs",
        "1",
        "--processes",
        "1",
        "--folder",
        tmp_path / "cell",
        "--out",
        tmp_path / "store.json",
    )
    found = json.loads((tmp_path / "store.json").read_text())
    assert found["content"]["genes"] == 200 and len(found["content"]["channels"]) == 7
    assert (
        found["builds"]["1"]["median"] > 0
        and found["bytes"] > 10_000
        and found["peak_mb"] >= found["builds"]["1"]["peak_mb"]
    )
    assert "batch of 64 from disk" in printed and len(found["layouts"]) == 4
    assert (tmp_path / "cell" / "cellA.yaml").exists()


@pytest.mark.slow
def test_reports_of_altered_channels_are_counted_on_the_toys(tmp_path):
    options = ("--toys", "--toy-genes", "60", "--out", tmp_path / "scale.json")
    printed = run("scale.py", *options)
    found = json.loads((tmp_path / "scale.json").read_text())
    toy = found["toy"]
    assert (toy["comparisons"], toy["channels"]) == (6, 7) and "cells" not in found
    assert [toy[key]["of"] for key in ("unaltered", "multiplied", "exchanged")] == [6, 6 * 7 * 4, 6 * 21]
    assert toy["exchanged"]["of"] - toy["exchanged"]["reported"] == sum(toy["exchanged_missed"].values())
    assert f"{toy['multiplied']['reported']:,} of 168 reported" in printed and found["machine"]["cores"]


@pytest.mark.slow
def test_windows_arithmetic_and_several_models_are_measured(tmp_path):
    run(
        "window.py",
        "--genes",
        "2",
        "--runs",
        "1",
        "--widths",
        "4000",
        "8000",
        "--out",
        tmp_path / "window.json",
    )
    found = json.loads((tmp_path / "window.json").read_text())
    assert [row["bins"] for row in found["windows"]] == [80, 160] and all(
        row["seconds"] > 0 for row in found["windows"]
    )
    run("arithmetic.py", "--genes", "2", "--runs", "1", "--out", tmp_path / "arithmetic.json")
    found = json.loads((tmp_path / "arithmetic.json").read_text())
    assert (
        0 < found["share_of_products"] < 1
        and found["flop"] > 1e8
        and found["best_flop_per_second"] > found["flop"] / found["seconds"]
    )


def test_start_up_is_measured_beside_the_interpreter_alone(tmp_path):
    printed = run("startup.py", "--runs", "1", "--out", tmp_path / "startup.json")
    found = json.loads((tmp_path / "startup.json").read_text())
    assert all(len(took) == 1 and took[0] > 0 for took in found["seconds"].values()) and set(
        found["limits"]
    ) < set(found["seconds"])
    assert all(name in printed for name in found["seconds"])


@pytest.mark.slow
def test_several_models_and_a_whole_fold_are_measured(tmp_path):
    run("several.py", "--genes", "2", "--steps", "1", "--runs", "1", "--out", tmp_path / "several.json")
    assert json.loads((tmp_path / "several.json").read_text())["ratio"] > 0
    run("fold.py", "--scale", "toy", "--threads", "1", "--out", tmp_path / "fold.json")
    found = json.loads((tmp_path / "fold.json").read_text())
    assert found["genes"] == 200 and found["seconds"] > 0 and 0 <= found["auc"]["value"] <= 1


def test_the_gpu_benchmark_runs_or_says_that_there_is_no_gpu():
    printed = run("gpu.py", "--genes", "2", "--runs", "1")
    assert "88 models" in printed or "no GPU" in printed


@pytest.mark.parametrize(
    "script",
    [
        "reads.py",
        "store.py",
        "window.py",
        "arithmetic.py",
        "several.py",
        "gpu.py",
        "fold.py",
        "startup.py",
        "cells.py",
        "cells_gene.py",
        "ingredients.py",
    ],
)
def test_help_has_an_example(script):
    assert f"python benchmarks/{script}" in run(script, "--help")


@pytest.mark.slow
def test_the_real_genes_that_the_site_draws_are_those_of_the_data(real_data, tmp_path):
    run("e003_genes.py", real_data, "--out", tmp_path)
    kept, found = (
        json.loads((folder / "e003.genes.json").read_text()) for folder in (BENCHMARKS / "results", tmp_path)
    )
    assert found["inputs"] == kept["inputs"] and [gene["gene"] for gene in found["genes"]] == [
        gene["gene"] for gene in kept["genes"]
    ]
    for name in ("depth", "attention"):
        kept, found = (
            pd.read_parquet(folder / f"e003.{name}.parquet") for folder in (BENCHMARKS / "results", tmp_path)
        )
        pd.testing.assert_frame_equal(found, kept, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_the_gene_view_is_timed_by_clicks(tmp_path):
    printed = run("browse.py", "--genes", 2, "--out", tmp_path / "browse.json")
    row = json.loads((tmp_path / "browse.json").read_text())["rows"][0]
    assert row["genes"] == 2 and 0 < row["click_seconds"] <= row["click_seconds_95"] and "window" in printed
