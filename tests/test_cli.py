"""The command line: every command does its job, prints what it did, and exits with 0 or 2."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyBigWig
import pytest
import torch
import yaml
from command_line import TINY, chromoformer, listing, refused, succeed
from helpers import toy_tables, write_toy_store

from chromoformer.data.store import Store
from chromoformer.provenance import verify
from chromoformer.training.predict import evaluate

COMMANDS = [
    "simulate",
    "coverage",
    "build",
    "import-regions",
    "import-weights",
    "export-weights",
    "train",
    "predict",
    "stack",
    "evaluate",
    "explain",
    "links",
    "info",
    "demo",
    "fetch",
    "run",
    "plan",
    "notebooks",
    "verify",
    "collect",
    "doctor",
]
HEAVY = {"torch", "numpy", "pandas", "matplotlib", "scipy", "sklearn", "h5py", "pyarrow"}


def process(*arguments, **options):
    "Run Python in a process of its own."
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, **options)


def command(*arguments) -> list[str]:
    "Return the command of a process of its own."
    return [sys.executable, "-c", "from chromoformer.cli import main; main()", *map(str, arguments)]


# ---- starting ----


def test_help_lists_every_command():
    result = succeed("--help")
    assert all(name in result.out for name in COMMANDS) and result.err == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_has_an_example(name):
    words = succeed(name, "--help").out.replace("│", " ").replace("`", "").split()
    assert f"Example: chromoformer {name}" in " ".join(words)


def test_help_takes_under_a_second():
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        assert process(*command("--help")[1:]).returncode == 0
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1


@pytest.mark.parametrize("module", ["chromoformer", "chromoformer.cli"])
def test_nothing_heavy_is_imported_at_the_top(module):
    found = process("-c", f"import {module}, sys; print(*sys.modules)")
    assert found.returncode == 0 and not HEAVY & set(found.stdout.split())


def test_nothing_heavy_is_imported_for_help():
    found = process("-X", "importtime", *command("--help")[1:])
    imported = {
        line.split("|")[-1].strip().split(".")[0]
        for line in found.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert found.returncode == 0 and "typer" in imported and not HEAVY & imported


def test_missing_or_wrong_commands_and_arguments_are_usage_errors():
    assert chromoformer().status == 2
    for wrong in (
        ["trian"],
        ["info"],
        ["info", "a", "b"],
        ["train", "x.h5", "--out", "run", "--task", "guess"],
    ):
        result = chromoformer(*wrong)
        assert result.status == 2 and "Usage" in result.err and result.out == ""


# ---- making data ----


def test_build_accepts_what_simulate_writes(toy, toy_store):
    manifests = {"cellA.yaml", "cellA.cool.yaml", "cellA.ctcf.yaml"}
    assert {path.name for path in toy.iterdir()} == manifests | {"README.txt", "cellA", "genomes", "truth"}
    store = Store(toy_store)
    assert len(store.genes) == 60 and len(store.channels) == 7 and store.window == 40_000
    assert verify(toy_store.with_suffix(".provenance.json")) == []


def test_simulate_refuses_unknown_cell_types(tmp_path):
    refused(tmp_path, "simulate", tmp_path / "toy", "--cell-type", "cellC", says=["cellC", "cellA"])


def test_coverage_of_reads_and_of_a_bedgraph(tmp_path):
    (tmp_path / "sizes").write_text("chr1\t1000\nchr2\t500\n")
    (tmp_path / "reads.bed").write_text("chr1\t10\t20\nchr1\t15\t30\nchr2\t0\t500\n")
    (tmp_path / "depth.bedGraph").write_text(
        "chr1\t10\t15\t1\nchr1\t15\t20\t2\nchr1\t20\t30\t1\nchr2\t0\t500\t1\n"
    )
    for name in ("reads.bed", "depth.bedGraph"):
        out = tmp_path / f"{name}.bigWig"
        result = succeed("coverage", tmp_path / name, "--chrom-sizes", tmp_path / "sizes", "--out", out)
        assert str(out) in result.out
        with pyBigWig.open(str(out)) as track:
            assert track.intervals("chr1") == ((10, 15, 1.0), (15, 20, 2.0), (20, 30, 1.0))
            assert track.intervals("chr2") == ((0, 500, 1.0),)


def test_coverage_adds_up_files_and_accepts_their_kind(tmp_path):
    (tmp_path / "sizes").write_text("chr1\t1000\n")
    (tmp_path / "a").write_text("chr1\t0\t10\n")
    (tmp_path / "b").write_text("chr1\t5\t10\n")
    reads = (tmp_path / "a", tmp_path / "b")
    options = ("--chrom-sizes", tmp_path / "sizes", "--kind", "bed", "--out", tmp_path / "x.bigWig")
    succeed("coverage", *reads, *options)
    with pyBigWig.open(str(tmp_path / "x.bigWig")) as track:
        assert track.intervals("chr1") == ((0, 5, 1.0), (5, 10, 2.0))


def test_build_writes_identical_stores_from_identical_inputs(toy, toy_store, tmp_path):
    succeed("build", toy / "cellA.yaml", "--out", tmp_path / "again.h5", "--processes", 2)
    assert (tmp_path / "again.h5").read_bytes() == toy_store.read_bytes()


# ---- the published layouts ----


@pytest.fixture
def published(tmp_path):
    "Write metadata and region arrays of sixteen genes: two marks, a 4-kb window, no labels."
    folder, random = tmp_path / "regions", np.random.default_rng(0)
    folder.mkdir()
    rows = []
    for number in range(16):
        tss, chrom = 10_000 + 5_000 * number, f"chr{[1, 7, 2, 9][number % 4]}"
        pcre = f"{chrom}:{100_000 + number}-{100_350 + number}"
        rows.append(
            (
                f"gene{number}",
                chrom,
                tss,
                "+-"[number % 2],
                number % 4 + 1,
                pcre if number else "",
                "2.5" if number else "",
            )
        )
        for region, length in ((f"{chrom}:{tss - 2000}-{tss + 2000}", 4000), (pcre, 350)):
            np.save(folder / f"{region}.npy", random.poisson(2, (2, length)).astype(np.float16))
    table = pd.DataFrame(
        rows, columns=["gene_id", "chrom", "start", "strand", "split", "neighbors", "scores"]
    )
    table.to_csv(tmp_path / "meta.csv", index=False)
    return tmp_path


def import_arguments(folder, out):
    "Return the arguments that import the published layout."
    options = ("--channels", "A,B", "--window", 4000, "--bin-sizes", "2000,500,100")
    return ("import-regions", folder / "meta.csv", folder / "regions", *options, "--out", out)


def test_regions_without_labels_allow_predictions_but_no_training(published, tiny):
    store = published / "published.h5"
    succeed(*import_arguments(published, store))
    assert Store(store).genes["fold"].tolist() == [1, 2, 3, 4] * 4
    model = published / "model"
    save_model(model, channels=("A", "B"), window=4000)
    succeed("predict", model, store, "--out", published / "predictions.csv")
    table = pd.read_csv(published / "predictions.csv")
    assert len(table) == 16 and table["target"].isna().all() and table["score"].between(0, 1).all()
    assert not table["held_out"].any()
    training = ("train", store, "--config", tiny, "--out", published / "run")
    refused(published, *training, says=[store, "expression or labels"])


def save_model(folder, **settings):
    "Write a tiny model folder with random weights."
    from chromoformer.model import checkpoint
    from chromoformer.model.config import BlockConfig, ChromoformerConfig
    from chromoformer.model.network import Chromoformer

    torch.manual_seed(0)
    block = BlockConfig(1, 2, 8, 8, 8)
    folder.mkdir()
    sizes = {"embedding": block, "pairwise": block, "regulation": block, "head_width": 8}
    checkpoint.save(Chromoformer(ChromoformerConfig(**settings, **sizes)), folder)


def test_exported_and_imported_weights_predict_the_same(toy_runs, toy_store, tmp_path):
    succeed("export-weights", toy_runs[0], "--out", tmp_path / "fold1.pt")
    result = succeed("import-weights", tmp_path / "fold1.pt", "--out", tmp_path / "model", "--fold", 1)
    assert "classification" in result.out
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"config.json", "model.safetensors"}
    for name, model in (("run", toy_runs[0]), ("model", tmp_path / "model")):
        succeed("predict", model, toy_store, "--out", tmp_path / f"{name}.csv")
    run, model = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("run", "model"))
    assert run.drop(columns="outside_training").equals(model)  # a checkpoint keeps no range


# ---- training, predicting, evaluating ----


def test_config_sets_network_and_recipe(toy_runs):
    config = json.loads((toy_runs[0] / "config.json").read_text())
    assert config["network"]["embedding"]["width"] == 8 and config["held_out"] == [1]
    assert len(pd.read_csv(toy_runs[0] / "history.csv")) == 2


def test_each_gene_is_predicted_by_the_run_that_held_it_out(toy_runs, toy_store, tmp_path):
    result = succeed("predict", *toy_runs, toy_store, "--out", tmp_path / "all.parquet")
    assert "60 genes, 60 of them held out" in result.out
    table = pd.read_parquet(tmp_path / "all.parquet")
    assert list(table) == [
        *("gene_id", "chrom", "tss", "fold", "held_out", "target", "score"),
        *("output_0", "output_1", "outside_training"),
    ]
    assert table["gene_id"].is_unique and table["held_out"].all()
    own = pd.concat([pd.read_parquet(run / "predictions.parquet").query("held_out") for run in toy_runs])
    own = own.set_index("gene_id").loc[table["gene_id"]]
    assert np.allclose(own["score"], table["score"], atol=1e-6)


def test_csv_and_parquet_contain_the_same_predictions(toy_runs, toy_store, tmp_path):
    for ending in ("csv", "parquet"):
        succeed("predict", toy_runs[1], toy_store, "--out", tmp_path / f"p.{ending}", "--low-memory")
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "p.csv"), pd.read_parquet(tmp_path / "p.parquet"), check_dtype=False
    )
    refused(
        tmp_path, "predict", toy_runs[1], toy_store, "--out", tmp_path / "p.xlsx", says=["p.xlsx", "*.csv"]
    )


def test_float64_agrees_with_float32_and_is_more_precise(toy_runs, toy_store, tmp_path):
    tables = []
    for dtype in ("float32", "float64"):
        succeed("predict", toy_runs[0], toy_store, "--out", tmp_path / f"{dtype}.parquet", "--dtype", dtype)
        tables.append(pd.read_parquet(tmp_path / f"{dtype}.parquet")["output_0"])
    assert [column.dtype for column in tables] == [np.float32, np.float64]
    assert np.allclose(*tables, rtol=1e-4, atol=1e-6) and (tables[0] != tables[1]).any()


def test_regressor_trains_in_float64_on_two_stores(toy, toy_store, tiny, tmp_path):
    manifest = yaml.safe_load((toy / "cellA.yaml").read_text())
    manifest["contacts"]["top"] = 4  # another store of the same genes
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(manifest))
    out = ("--out", tmp_path / "second.h5", "--processes", 1)
    succeed("build", tmp_path / "second.yaml", "--data", toy, *out)
    options = ("--task", "regression", "--dtype", "float64", "--seed", 3, "--validation", "chr1")
    stores = (toy_store, tmp_path / "second.h5")
    succeed("train", *stores, "--fold", 2, "--config", tiny, *options, "--out", tmp_path / "run")
    table = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert table["output_0"].dtype == np.float64 and len(table) == 120
    assert set(table["store"]) == {"cellA", "second"}
    assert "validation_pearson_r" in pd.read_csv(tmp_path / "run" / "history.csv")


def test_evaluate_names_runs_of_equal_folders_by_their_paths(toy_runs, tmp_path):
    shutil.copytree(toy_runs[0], tmp_path / "fold1")
    table = evaluate([toy_runs[0], tmp_path / "fold1"], draws=0)
    assert list(dict.fromkeys(table["run"])) == [str(toy_runs[0]), str(tmp_path / "fold1")]
    assert set(evaluate(toy_runs[:1], draws=0)["run"]) == {"fold1"}


def test_predict_refuses_options_that_baselines_do_not_read(toy_store, tmp_path):
    from chromoformer import baselines

    baselines.fit("logistic regression", toy_store, tmp_path / "run", 1, progress=False)
    words = ("predict", tmp_path / "run", toy_store, "--out", tmp_path / "a.csv")
    for option in (("--device", "cpu"), ("--dtype", "float64"), ("--low-memory",)):
        refused(tmp_path, *words, *option, says=[option[0], "baselines do not read it"])
    succeed(*words)


def test_evaluate_reports_each_fold_and_all_folds(toy_runs, tmp_path):
    result = succeed("evaluate", *toy_runs, "--out", tmp_path / "scores.csv")
    table = pd.read_csv(tmp_path / "scores.csv")
    assert "all folds" in result.out
    assert set(table["run"]) == {"fold1", "fold2", "fold3", "fold4", "all folds"}
    assert table.query("run == 'all folds'")["genes"].eq(60).all()
    assert pd.to_numeric(table["value"]).between(0, 1).all()
    everything = succeed("evaluate", toy_runs[0], "--all-genes")
    assert " 60 " in everything.out


def test_explain_uses_the_run_that_held_the_gene_out(toy_runs, toy_store, tmp_path):
    store = Store(toy_store)
    most = int(np.diff(store.pcre_start).argmax())
    gene, fold = store.genes.loc[most, ["gene_id", "fold"]]
    result = succeed("explain", *toy_runs, toy_store, gene, "--out", tmp_path / "gene.png")
    assert f"{gene} by {toy_runs[fold - 1]}" in result.out and "trained on this gene" not in result.out
    assert len(re.findall(r"^ *chr\d", result.out, re.M)) == np.diff(store.pcre_start)[most]
    assert (tmp_path / "gene.png").read_bytes()[:4] == b"\x89PNG"
    figure, text = tmp_path / "other.png", tmp_path / "other.txt"
    refused(tmp_path, "explain", toy_runs[0], toy_store, "nobody", "--out", figure, says=["nobody"])
    refused(tmp_path, "explain", toy_store, gene, "--out", figure, says=["run folder", "GENE"])
    refused(tmp_path, "explain", *toy_runs, toy_store, gene, "--out", text, says=["other.txt", "*.png"])


def test_options_without_effect_are_refused_or_named(toy, toy_runs, toy_store, tmp_path):
    runs = toy_runs
    links, table = tmp_path / "links.bedpe", tmp_path / "table.csv"
    for option in ("--manifest", "--trained-with", "--trained-manifest"):
        arguments = ("predict", *runs, toy_store, "--out", table, option, tmp_path / "missing")
        refused(tmp_path, *arguments, says=[option, "no effect"])
    refused(
        tmp_path, "links", *runs, toy_store, "--out", links, "--data", tmp_path, says=["--data", "no effect"]
    )
    share = ("links", toy / "cellA.yaml", "--by", "share", "--out", links)
    refused(
        tmp_path, *share, "--device", "cpu", "--dtype", "float64", says=["--device, --dtype", "no effect"]
    )
    given = succeed("predict", *runs, toy_store, "--out", table, "--coverage", "0.5")
    assert "--coverage has no effect" in given.err
    table.unlink()
    assert "no effect" not in succeed("predict", *runs, toy_store, "--out", table).err


def test_folds_of_the_store_can_be_held_out(toy, tiny, tmp_path):
    manifest = (toy / "cellA.yaml").read_text().replace("  1: [chr1, chr5]\n", "  7: [chr1, chr5]\n")
    assert "  7: " in manifest
    (tmp_path / "seven.yaml").write_text(manifest)
    store = tmp_path / "seven.h5"
    result = succeed("build", tmp_path / "seven.yaml", "--data", toy, "--out", store, "--processes", 1)
    assert "--fold 2" in result.out and ", 7: " in result.out
    wrong = ("train", store, "--fold", 1, "--out", tmp_path / "run")
    refused(tmp_path, *wrong, says=["'1' is not a fold", "2, 3, 4, 7 or all"])
    succeed("train", store, "--fold", "all", "--out", tmp_path / "runs", "--config", tiny)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["fold2", "fold3", "fold4", "fold7"]


def test_store_with_a_single_fold_is_refused(toy, tmp_path):
    folds = "folds: {3: [chr1, chr2, chr3, chr5, chr7, chr9, chr10, chr13]}\n"
    manifest = re.sub(r"folds:\n(  .*\n)+", folds, (toy / "cellA.yaml").read_text())
    (tmp_path / "one.yaml").write_text(manifest)
    store = tmp_path / "one.h5"
    succeed("build", tmp_path / "one.yaml", "--data", toy, "--out", store, "--processes", 1)
    training = ("train", store, "--fold", "all", "--out", tmp_path / "runs")
    refused(tmp_path, *training, says=["one.h5", "fold 3", "folds:"])


def test_build_notes_missing_folds_of_a_genome_without_default_folds(toy, tmp_path):
    manifest = re.sub(r"folds:\n(  .*\n)+", "", (toy / "cellA.yaml").read_text())
    for genome, expected in (("mm10", True), ("hg38", False)):
        (tmp_path / f"{genome}.yaml").write_text(manifest.replace("genome: toy", f"genome: {genome}"))
        options = ("--data", toy, "--out", tmp_path / f"{genome}.h5", "--processes", 1)
        result = succeed("build", tmp_path / f"{genome}.yaml", *options)
        assert ("names no folds" in result.err) is expected


def test_info_describes_stores_runs_and_models(toy_store, toy_runs, tmp_path):
    save_model(tmp_path / "model")
    for what, expected in ((toy_store, "60"), (toy_runs[2], "fold 3"), (tmp_path / "model", "unknown")):
        result = succeed("info", what)
        assert str(what) in result.out and expected in result.out
    refused(tmp_path, "info", tmp_path / "nothing", says=[tmp_path / "nothing"])


def test_repeated_training_is_bit_identical_and_fold_all_trains_only_missing_folds(
    toy_runs, toy_store, tiny, tmp_path
):
    succeed("train", toy_store, "--fold", 1, "--out", tmp_path / "fold1", "--config", tiny)
    for name in ("model.safetensors", "metrics.json", "history.csv"):
        assert (tmp_path / "fold1" / name).read_bytes() == (toy_runs[0] / name).read_bytes()
    before = listing(tmp_path / "fold1")
    result = succeed("train", toy_store, "--fold", "all", "--out", tmp_path, "--config", tiny)
    assert "fold 1: complete already" in result.out and listing(tmp_path / "fold1") == before
    assert (tmp_path / "fold4" / "metrics.json").exists()


def test_complete_run_is_kept_on_request_and_refused_with_other_settings(toy_runs, toy_store, tiny, tmp_path):
    command = ["train", toy_store, "--fold", 1, "--out", toy_runs[0], "--config", tiny]
    before = listing(toy_runs[0].parent)
    refused(toy_runs[0].parent, *command, says=["complete run"])
    result = succeed(*command, "--keep")
    assert "fold 1: complete already" in result.out and "AUC" in result.out
    refused(toy_runs[0].parent, *command, "--keep", "--seed", 7, says=["other settings", "seed"])
    refused(toy_runs[0].parent, *command, "--keep", "--force", says=["--keep", "--force"])
    every = ["train", toy_store, "--fold", "all", "--out", toy_runs[0].parent, "--config", tiny]
    assert succeed(*every).out.count("complete already") == 4
    refused(toy_runs[0].parent, *every, "--seed", 7, says=["other settings", "seed"])
    assert listing(toy_runs[0].parent) == before


def test_keep_trains_a_run_that_is_missing(toy_store, tiny, tmp_path):
    command = ["train", toy_store, "--fold", 1, "--out", tmp_path / "run", "--config", tiny, "--keep"]
    assert "complete already" not in succeed(*command).out
    assert "complete already" in succeed(*command).out


def test_a_member_that_is_added_is_not_complete_already(toy_store, tiny, tmp_path):
    command = [
        "train",
        toy_store,
        "--fold",
        1,
        "--out",
        tmp_path / "run",
        "--config",
        tiny,
        "--keep",
        "--seeds",
    ]
    succeed(*command, 1)
    assert "complete already" not in succeed(*command, 2).out
    assert "complete already" in succeed(*command, 2).out


def test_seeds_of_a_fold_are_averaged_by_predict(toy_runs, toy_store, tiny, tmp_path):
    seed = tmp_path / "seed1"
    succeed("train", toy_store, "--fold", 1, "--seed", 1, "--out", seed, "--config", tiny)
    result = succeed("predict", *toy_runs, seed, toy_store, "--out", tmp_path / "p.csv")
    assert "2 runs of a fold are averaged" in result.out
    table = pd.read_csv(tmp_path / "p.csv")
    each = [
        pd.read_parquet(run / "predictions.parquet").set_index("gene_id")["score"]
        for run in (toy_runs[0], seed)
    ]
    own = table[table["fold"] == 1].set_index("gene_id")
    assert np.allclose(own["score"], (each[0] + each[1]).loc[own.index] / 2, atol=1e-6)
    assert np.allclose(own["score_sd"], (each[0] - each[1]).abs().loc[own.index] / np.sqrt(2), atol=1e-6)
    assert (own["n_models"] == 2).all() and (table.loc[table["fold"] != 1, "n_models"] == 1).all()


def test_stopped_command_prints_that_it_can_continue(toy_store, tiny, tmp_path):
    config = tmp_path / "long.yaml"
    config.write_text(tiny.read_text().replace("epochs: 2", "epochs: 1000"))
    arguments = command("train", toy_store, "--out", tmp_path / "run", "--config", config, "--threads", 1)
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    listen = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # also below `nohup`
    with subprocess.Popen(arguments, preexec_fn=listen, **streams) as training:
        waiting = time.monotonic() + 60
        while not (tmp_path / "run" / "state.pt").exists() and time.monotonic() < waiting:
            time.sleep(0.02)
        errors = ""
        for last in (False, False, True):  # Python loses a signal that arrives in a finaliser
            training.send_signal(signal.SIGINT)
            with contextlib.suppress(*() if last else (subprocess.TimeoutExpired,)):
                _, errors = training.communicate(timeout=20)
                break
    assert training.returncode == 130 and "Traceback" not in errors
    assert "the same command continues" in errors


@pytest.mark.slow
def test_resumed_training_after_a_kill_is_bit_identical(toy_store, tiny, tmp_path):
    config = tmp_path / "long.yaml"
    config.write_text(tiny.read_text().replace("epochs: 2", "epochs: 10"))
    arguments = command("train", toy_store, "--out", tmp_path / "killed", "--config", config, "--threads", 1)
    training = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    waiting = time.monotonic() + 60
    while not (tmp_path / "killed" / "state.pt").exists() and time.monotonic() < waiting:
        time.sleep(0.02)
    training.send_signal(signal.SIGKILL)
    training.wait()
    assert not (tmp_path / "killed" / "metrics.json").exists()
    refused(tmp_path, "evaluate", tmp_path / "killed", says=["killed", "`train` command"])
    predict = ("predict", tmp_path / "killed", toy_store, "--out", tmp_path / "p.csv")
    refused(tmp_path, *predict, says=["killed", "`train` command"])
    for name in ("killed", "whole"):
        finished = subprocess.run(
            command("train", toy_store, "--out", tmp_path / name, "--config", config, "--threads", 1),
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 0 and "held-out genes" in finished.stdout, finished.stderr
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("killed", "whole")]
    assert weights[0] == weights[1]
    files = [{path.name for path in (tmp_path / name).iterdir()} for name in ("killed", "whole")]
    assert files[0] == files[1]


# ---- outputs that exist ----


@pytest.fixture
def outputs(toy, toy_store, toy_runs, tiny, published, tmp_path):
    "Return the arguments of each command that writes an output, up to the output."
    (tmp_path / "sizes").write_text("chr1\t1000\n")
    (tmp_path / "reads.bed").write_text("chr1\t10\t20\n")
    succeed("export-weights", toy_runs[0], "--out", tmp_path / "there.pt")
    store = Store(toy_store)
    simple = store.genes["gene_id"].iloc[np.diff(store.pcre_start).argmin()]  # its figure is drawn fastest
    return {
        "simulate": ("simulate", "--genes", 8, "--cell-type", "cellA"),
        "coverage": ("coverage", tmp_path / "reads.bed", "--chrom-sizes", tmp_path / "sizes", "--out"),
        "build": ("build", toy / "cellA.yaml", "--processes", 1, "--out"),
        "import-regions": import_arguments(published, "")[:-1],
        "import-weights": ("import-weights", tmp_path / "there.pt", "--out"),
        "export-weights": ("export-weights", toy_runs[0], "--out"),
        "train": ("train", toy_store, "--config", tiny, "--out"),
        "predict": ("predict", toy_runs[0], toy_store, "--out"),
        "evaluate": ("evaluate", toy_runs[0], "--out"),
        "explain": ("explain", toy_runs[0], toy_store, simple, "--out"),
        "links": ("links", toy_runs[0], toy_store, "--out"),
        "collect": ("collect", *toy_runs, "--out"),
        "notebooks": ("notebooks",),
    }


ENDINGS = {
    "coverage": ".bigWig",
    "build": ".h5",
    "import-regions": ".h5",
    "export-weights": ".pt",
    "predict": ".csv",
    "evaluate": ".csv",
    "explain": ".png",
    "links": ".bedpe",
    "collect": ".csv",
}
WITHOUT = (
    *("info", "doctor", "demo", "fetch", "run", "plan", "verify"),  # these write nothing, or continue
    "stack",  # see test_stack.py
)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITHOUT])
def test_existing_output_is_kept_unless_force_is_given(outputs, tmp_path, name):
    out = tmp_path / f"out{ENDINGS.get(name, '')}"
    succeed(*outputs[name], out)
    refused(tmp_path, *outputs[name], out, says=[out, "--force"])
    before = listing(tmp_path)
    succeed(*outputs[name], out, "--force")
    assert listing(tmp_path).keys() == before.keys()


@pytest.mark.parametrize("name", ["import-weights", "simulate"])
def test_folder_with_other_files_is_refused(outputs, tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    refused(tmp_path, *outputs[name], tmp_path / "mine", says=[tmp_path / "mine", "--force"])
    refused(tmp_path, *outputs[name], tmp_path / "mine", "--force", says=["thesis.txt", "would be lost"])


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in (*WITHOUT, "notebooks", "train")])
def test_the_current_folder_is_never_replaced(outputs, tmp_path, monkeypatch, name):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    refused(tmp_path, *outputs[name], ".", "--force", says=[".: ", "Fix"])


def test_train_adds_to_a_folder_but_never_replaces_a_model(outputs, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notebook.ipynb").write_text("{}")
    succeed(*outputs["train"], tmp_path / "notes")
    assert (tmp_path / "notes" / "notebook.ipynb").read_text() == "{}"
    succeed(*outputs["import-weights"], tmp_path / "model")
    refused(tmp_path, *outputs["train"], tmp_path / "model", says=[tmp_path / "model", "--force"])


# ---- real processes ----


def test_process_exits_with_0_or_2_and_writes_errors_to_stderr(tmp_path):
    (tmp_path / "sizes").write_text("chr1\t1000\n")
    (tmp_path / "reads.bed").write_text("chr1\t10\t20\n")
    options = ("--chrom-sizes", tmp_path / "sizes", "--out", tmp_path / "x.bigWig")
    arguments = command("coverage", tmp_path / "reads.bed", *options)
    good = subprocess.run(arguments, capture_output=True, text=True)
    assert good.returncode == 0 and "Next:" in good.stdout and "Error" not in good.stderr
    bad = subprocess.run(arguments, capture_output=True, text=True)
    assert bad.returncode == 2 and bad.stdout == ""
    assert bad.stderr.startswith("Error: ") and "Traceback" not in bad.stderr


def test_progress_in_a_log_takes_a_few_lines(tmp_path):
    genes, pcres = toy_tables(per_chrom=6)
    write_toy_store(tmp_path / "toy.h5", genes=genes, pcres=pcres)
    (tmp_path / "tiny.yaml").write_text(TINY.replace("epochs: 2", "epochs: 12"))
    options = ("--config", tmp_path / "tiny.yaml", "--out", tmp_path / "run", "--threads", 1)
    done = subprocess.run(command("train", tmp_path / "toy.h5", *options), capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.rstrip().splitlines()[-1].startswith("Next: ")
    assert 1 <= done.stderr.replace("\r", "\n").strip().count("\n") + 1 <= 6, done.stderr  # 12 epochs


def test_completion_is_offered_to_every_shell():
    for shell in ("bash", "zsh", "fish"):
        # Otherwise typer looks for the shell that runs the tests.
        environment = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
        shown = process(*command("--show-completion", shell)[1:], env=environment)
        assert shown.returncode == 0 and "complete" in shown.stdout.lower()


def test_command_is_installed():
    script = Path(sys.executable).with_name("chromoformer")
    if not script.exists():
        pytest.skip("the package is not installed: no chromoformer next to python")
    result = subprocess.run([script, "--help"], capture_output=True, text=True)
    assert result.returncode == 0 and "import-regions" in result.stdout


# ---- what to do next ----


def suggested(result, **values) -> list[str]:
    "Return the words of the command that a result suggests, with values for its placeholders."
    words = shlex.split(result.out.rstrip().splitlines()[-1].partition("chromoformer ")[2])
    return [str(values.get(word.partition(".")[0], word)) for word in words]


def test_a_store_without_two_labels_is_predicted_next(toy, toy_runs, tmp_path):
    content = yaml.safe_load((toy / "cellA.yaml").read_text())
    del content["expression"]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content))
    store = tmp_path / "my cells.h5"
    out = ["--out", tmp_path / "p.csv", "--force"]
    built = succeed("build", tmp_path / "a.yaml", "--data", toy, "--out", store, "--processes", 1)
    for result in (built, succeed("info", store)):
        words = suggested(result, MODEL_DIR=toy_runs[0])
        assert words[:3] == ["predict", str(toy_runs[0]), str(store)]
        assert "compare" not in succeed(*words[:3], *out).out.splitlines()[-1]


def test_a_labelled_store_is_trained_on_next(toy_store, tiny, tmp_path):
    words = suggested(succeed("info", toy_store))
    assert words[:2] == ["train", str(toy_store)] and words[-2:] == ["--out", "runs/fold1"]
    succeed(*words[:-1], tmp_path / "run", "--config", tiny)


def test_the_simulated_cell_type_is_built_next(tmp_path, monkeypatch):
    monkeypatch.setattr("chromoformer.simulate.epigenome.simulate", lambda *_, **__: None)
    result = succeed("simulate", tmp_path / "toy", "--genes", 8, "--cell-type", "cellB")
    assert suggested(result)[1] == str(tmp_path / "toy" / "cellB.yaml")


def test_exported_weights_are_read_back_next_with_their_window_and_marks(tiny, tmp_path):
    genes, pcres = toy_tables(per_chrom=6)
    write_toy_store(tmp_path / "toy.h5", genes=genes, pcres=pcres)
    store = Store(tmp_path / "toy.h5")
    succeed("train", store.path, "--config", tiny, "--out", tmp_path / "run")
    result = succeed("export-weights", tmp_path / "run", "--out", tmp_path / "w.pt")
    succeed(*suggested(result, MODEL_DIR=tmp_path / "model"))
    config = json.loads((tmp_path / "model" / "config.json").read_text())["network"]
    assert tuple(config["channels"]) == store.channels and config["window"] == store.window


def test_an_interrupted_run_is_continued_next(toy_runs, tmp_path):
    run = Path(shutil.copytree(toy_runs[0], tmp_path / "run"))
    (run / "metrics.json").unlink()
    assert "run the command again that trained it" in succeed("info", run).out
