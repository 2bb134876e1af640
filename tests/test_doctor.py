"""What `chromoformer doctor` says of a machine: each check finds what is wrong, and says what to do."""

import os
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest
import torch
from command_line import chromoformer, listing, succeed

from chromoformer import doctor


def found(checks, what):
    return next(check for check in checks if check.what == what)


def test_all_is_looked_at_and_nothing_stays(tmp_path):
    checks = doctor.examine(tmp_path)
    assert [check.what for check in checks] == [
        "python",
        "chromoformer",
        "packages",
        "threads",
        "memory",
        "GPU",
        "disk",
        "analyses",
    ]
    assert listing(tmp_path) == {} and all(check.fix for check in checks if check.state != doctor.GOOD)
    assert str(tmp_path) in found(checks, "disk").said and os.sep in found(checks, "chromoformer").said


def test_the_command_ends_well_or_with_status_1_and_a_remedy(tmp_path):
    assert "All is well" in succeed("doctor", "--folder", tmp_path).out
    wrong = chromoformer("doctor", "--folder", tmp_path / "nowhere")
    assert wrong.status == 1 and "Fix: make it" in wrong.out and "1 of 8 checks" in wrong.err


@pytest.mark.parametrize(
    ("version", "said"), [(None, "numpy is missing"), ("1.0", "numpy is 1.0, wanted >=2")]
)
def test_a_package_that_is_missing_or_too_old_is_named(monkeypatch, version, said):
    asked = metadata.version

    def other(name):
        if name != "numpy":
            return asked(name)
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    try:
        metadata.requires("chromoformer-repro")
    except metadata.PackageNotFoundError:
        pytest.skip("the package is not installed, so there are no requirements to compare with")
    monkeypatch.setattr(metadata, "version", other)
    check = doctor._requirements()
    assert check.state == doctor.BAD and check.said == said and "make install" in check.fix


def test_more_threads_than_cores_are_remarked(monkeypatch):
    cores = os.cpu_count() or 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4 * cores)
    check = doctor._threads()
    assert check.state == doctor.NOTE and "--threads" in check.fix and "training step" in check.said


def test_a_disk_that_is_full_or_does_not_take_files_is_found(monkeypatch, tmp_path):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: Usage(10**12, 10**12, 10**9))
    assert doctor._disk(tmp_path).state == doctor.NOTE

    def locked(*_):
        raise OSError(11, "unable to lock file")

    monkeypatch.setattr(doctor.os, "replace", locked)
    check = doctor._disk(tmp_path)
    assert check.state == doctor.BAD and "HDF5_USE_FILE_LOCKING" in check.fix and listing(tmp_path) == {}


def test_analyses_that_are_not_beside_the_library_are_remarked(monkeypatch, tmp_path):
    import chromoformer.studies.workflow
    from chromoformer.errors import InputError

    def nowhere(name):
        raise InputError("not there", file=Path(name), fix="clone")

    monkeypatch.setattr(chromoformer.studies.workflow, "beside_the_library", nowhere)
    assert doctor._notebooks().state == doctor.NOTE
