"""Fixtures shared by the tests: where the real data are, and small things made from nothing."""

import os
import tarfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    "The folder of real data, or a skip that says how to provide it."
    folder = os.environ.get("CHROMOFORMER_DATA")
    if not folder:
        pytest.skip("CHROMOFORMER_DATA is not set: no real data here")
    return Path(folder)


@pytest.fixture(scope="session")
def demo_regions(real_data, tmp_path_factory) -> Path:
    "The E003 demo's region arrays, unpacked."
    folder = tmp_path_factory.mktemp("e003")
    with tarfile.open(real_data / "e003_demo" / "demo_data.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "demo_data"


@pytest.fixture(scope="session")
def demo_store(real_data, demo_regions, tmp_path_factory) -> Path:
    "The E003 demo as a store."
    from chromoformer.data.published import import_regions

    out = tmp_path_factory.mktemp("stores") / "E003.h5"
    import_regions(real_data / "e003_demo" / "demo_meta.csv", demo_regions, out, progress=False)
    return out
