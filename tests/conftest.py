"""Fixtures shared by the tests: the real data, and a small toy epigenome with its store and runs."""

import os
import tarfile
from pathlib import Path

import pytest
from command_line import TINY, succeed


@pytest.fixture(scope="session")
def real_data() -> Path:
    "Return the folder of real data; skip the test if CHROMOFORMER_DATA does not name one."
    folder = os.environ.get("CHROMOFORMER_DATA")
    if not folder:
        pytest.skip("CHROMOFORMER_DATA is not set, so there are no real data")
    return Path(folder)


@pytest.fixture(scope="session")
def demo_regions(real_data, tmp_path_factory) -> Path:
    "Unpack the region arrays of the E003 demo."
    folder = tmp_path_factory.mktemp("e003")
    with tarfile.open(real_data / "e003_demo" / "demo_data.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "demo_data"


@pytest.fixture(scope="session")
def demo_store(real_data, demo_regions, tmp_path_factory) -> Path:
    "Import the E003 demo as a store."
    from chromoformer.data.published import import_regions

    out = tmp_path_factory.mktemp("stores") / "E003.h5"
    import_regions(real_data / "e003_demo" / "demo_meta.csv", demo_regions, out, progress=False)
    return out


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Path:
    "Simulate a small toy epigenome; a test must copy what it changes."
    folder = tmp_path_factory.mktemp("toy") / "toy"
    succeed("simulate", folder, "--genes", 60, "--cell-type", "cellA")
    return folder


@pytest.fixture(scope="session")
def toy_store(toy, tmp_path_factory) -> Path:
    "Build the store of the toy epigenome."
    store = tmp_path_factory.mktemp("toy_store") / "cellA.h5"
    succeed("build", toy / "cellA.yaml", "--out", store, "--processes", 1)
    return store


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    "Write a --config file of a network that trains in a second."
    file = tmp_path_factory.mktemp("config") / "tiny.yaml"
    file.write_text(TINY)
    return file


@pytest.fixture(scope="session")
def toy_runs(toy_store, tiny, tmp_path_factory) -> list[Path]:
    "Train the four folds on the toy store."
    folder = tmp_path_factory.mktemp("toy_runs")
    succeed("train", toy_store, "--fold", "all", "--out", folder, "--config", tiny)
    return [folder / f"fold{fold}" for fold in (1, 2, 3, 4)]
