"""An installed wheel contains everything that a study needs: workflow, analyses, studies and manifests."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_every_import_of_the_library_is_declared():
    settings = ConfigParser(delimiters=["="])
    settings.read(ROOT / "settings.ini", encoding="utf-8")
    declared = {re.split(r"[<>=]", one)[0].lower() for one in settings["DEFAULT"]["requirements"].split()}
    imported = set()
    for file in (ROOT / "chromoformer").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            imported |= {name.partition(".")[0] for name in names}
    packages = metadata.packages_distributions()
    foreign = imported - set(sys.stdlib_module_names) - {"chromoformer", "fcntl", "resource"}
    lacking = {name for name in foreign if not declared & {one.lower() for one in packages[name]}}
    assert not lacking
    assert "fcntl" not in imported  # Windows does not have it
    assert "gseapy" not in declared  # only tests compare with it


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    "Return a fresh environment with the wheel; other packages come from the running environment."
    folder = tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns(
        ".*", "build", "dist", "runs", "demo", "_build", "*.egg-info", "__pycache__"
    )
    shutil.copytree(ROOT, folder / "clone", ignore=left_out)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    build = [sys.executable, "-m", "pip", "wheel", *options, str(folder / "clone")]
    subprocess.run(build, check=True, env=clean)
    venv.create(folder / "env", with_pip=False)
    [wheel] = folder.glob("*.whl")
    python = folder / "env" / "bin" / "python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        str(wheel),
    ]
    subprocess.run(pip, check=True, env=clean)
    [packages] = (folder / "env" / "lib").glob("python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "env" / "bin"


def run(installed: Path, folder: Path, *arguments) -> str:
    "Run the installed command in a folder, without a network, and return what it prints."
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    command = [str(installed / "chromoformer"), *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, cwd=folder, env=environment, text=True, check=False, **streams)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
def test_installed_wheel_plans_studies_by_name_and_copies_notebooks(installed, tmp_path):
    output = run(installed, tmp_path, "plan", "paper")
    assert "Study paper" in output and "E118: " in output
    assert "Study toy" in run(installed, tmp_path, "plan", "toy") and list(tmp_path.iterdir()) == []
    run(installed, tmp_path, "notebooks", "mine")
    copied = {path.name for path in (tmp_path / "mine" / "nbs" / "analyses").glob("*.ipynb")}
    assert {path.name for path in (ROOT / "nbs" / "analyses").glob("*.ipynb")} == copied
    assert (tmp_path / "mine" / "nbs" / "tutorials" / "first_model.ipynb").is_file()
    assert (tmp_path / "mine" / "data_manifests" / "E003.yaml").is_file()


def small_toy() -> str:
    "Return a study of one analysis on few simulated genes."
    return """
name: small
out: small
simulate: {genes: 60, cell_types: [cellA], hic: false}
cell_types: {cellA: cellA.yaml}
folds: [1]
network:
  bin_sizes: [2000]
  embedding: {layers: 1, heads: 2, width: 8, attention_width: 8, feed_forward_width: 8}
  pairwise: {layers: 1, heads: 2, width: 8, attention_width: 8, feed_forward_width: 8}
  regulation: {layers: 1, heads: 2, width: 8, attention_width: 8, feed_forward_width: 8}
  head_width: 8
recipe: {epochs: 1, batch_size: 8}
analyses: {train: {}}
"""


@pytest.mark.slow
def test_installed_wheel_runs_a_study_in_an_empty_folder(installed, tmp_path):
    (tmp_path / "small.yaml").write_text(small_toy())
    run(installed, tmp_path, "run", "small.yaml", "--cores", 1)
    job = tmp_path / "small" / "train" / "classification" / "cellA" / "fold1"
    assert {"results.sha256", "metrics.json", "model.safetensors"} <= {path.name for path in job.iterdir()}
    assert (tmp_path / "small" / "ro-crate-metadata.json").is_file()
    assert "Nothing to do" in run(installed, tmp_path, "run", "small.yaml", "--cores", 1)
    assert "all as recorded" in run(installed, tmp_path, "verify", "small")


@pytest.mark.slow
def test_installed_wheel_runs_the_demo_in_an_empty_folder(installed, tmp_path):
    run(installed, tmp_path, "demo")
    assert (tmp_path / "demo" / "report.html").stat().st_size > 100_000
