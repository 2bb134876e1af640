"""`chromoformer doctor`: each check finds its problem and suggests a fix."""

import os
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import chromoformer, listing, succeed

from chromoformer import doctor
from chromoformer.data import motifs


def result(checks, what):
    "Return the check of a name."
    return next(check for check in checks if check.what == what)


def test_doctor_checks_everything_and_leaves_no_file(tmp_path):
    checks = doctor.examine(tmp_path)
    names = [
        "python",
        "chromoformer",
        "packages",
        "threads",
        "memory",
        "GPU",
        "sequences",
        "disk",
        "analyses",
    ]
    assert [check.what for check in checks] == names
    assert listing(tmp_path) == {} and all(check.fix for check in checks if check.state != doctor.GOOD)
    assert str(tmp_path) in result(checks, "disk").found and os.sep in result(checks, "chromoformer").found


def test_command_exits_with_status_1_and_a_fix_if_there_is_a_problem(tmp_path):
    assert "No problems found" in succeed("doctor", "--folder", tmp_path).out
    wrong = chromoformer("doctor", "--folder", tmp_path / "nowhere")
    assert wrong.status == 1 and "Fix: create it" in wrong.out and "1 of 9 checks" in wrong.err


def test_a_scanner_that_finds_nothing_or_cannot_be_loaded_is_reported(monkeypatch):
    assert doctor._sequences().state == doctor.GOOD
    monkeypatch.setattr(motifs, "_hits", lambda codes, *rest: (np.zeros(0, np.int64), np.zeros(0)))
    assert doctor._sequences().state == doctor.BAD and "BED" in doctor._sequences().fix
    monkeypatch.setitem(sys.modules, "lightmotif", None)
    assert doctor._sequences().state == doctor.BAD and "pip install" in doctor._sequences().fix


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "No problems found."), (1, "; 1 remark."), (2, "; 2 remarks.")]
)
def test_command_counts_remarks(monkeypatch, number, expected):
    checks = [doctor.Check("disk", doctor.NOTE, "full", "use another")] * number
    monkeypatch.setattr(doctor, "examine", lambda folder: checks)
    assert expected in succeed("doctor").out


@pytest.mark.parametrize(
    ("version", "expected"), [(None, "numpy is missing"), ("1.0", "numpy is 1.0, wanted >=2")]
)
def test_missing_or_outdated_package_is_named(monkeypatch, version, expected):
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
    assert check.state == doctor.BAD and check.found == expected and "make install" in check.fix


def test_more_threads_than_cores_get_a_remark(monkeypatch):
    cores = os.cpu_count() or 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4 * cores)
    check = doctor._threads()
    assert check.state == doctor.NOTE and "--threads" in check.fix and "training step" in check.found


def test_disk_that_is_full_or_refuses_files_is_reported(monkeypatch, tmp_path):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: Usage(10**12, 10**12, 10**9))
    assert doctor._disk(tmp_path).state == doctor.NOTE

    def locked(*_):
        raise OSError(11, "unable to lock file")

    monkeypatch.setattr(doctor.os, "replace", locked)
    check = doctor._disk(tmp_path)
    assert check.state == doctor.BAD and "HDF5_USE_FILE_LOCKING" in check.fix and listing(tmp_path) == {}


def test_missing_analysis_notebooks_get_a_remark(monkeypatch, tmp_path):
    import chromoformer.studies.workflow
    from chromoformer.errors import InputError

    def nowhere(name):
        raise InputError("not there", file=Path(name), fix="clone")

    monkeypatch.setattr(chromoformer.studies.workflow, "beside_the_library", nowhere)
    assert doctor._notebooks().state == doctor.NOTE
