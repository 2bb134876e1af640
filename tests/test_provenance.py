"""Records without their hash are refused, and a folder survives a kill between two renames."""

import errno
import json
import os
import platform
import subprocess
import sys

import pytest

from chromoformer import provenance
from chromoformer.errors import InputError
from chromoformer.provenance import (
    Stopwatch,
    atomic_files,
    atomic_path,
    read_record,
    record,
    refuse_existing,
    verify,
)


def test_a_record_without_the_hash_of_its_content_is_refused(tmp_path):
    (tmp_path / "out").write_text("x")
    path = tmp_path / "provenance.json"
    record(path, what="x", inputs={}, outputs={"out": tmp_path / "out"}, parameters={}, watch=Stopwatch())
    content = read_record(path)
    content["parameters"] = {"seed": 2}
    del content["sha256"]
    path.write_text(json.dumps(content, indent=1) + "\n")
    for check in (read_record, verify):
        with pytest.raises(InputError, match="has been changed since it was written"):
            check(path)


def killed_between_renames(path) -> None:
    "Replace a folder in a process that is killed after its first rename."
    code = (
        "import os, sys; from chromoformer.provenance import atomic_path; replace = os.replace\n"
        "def once(one, other): replace(one, other); os.kill(os.getpid(), 9)\n"
        "with atomic_path(sys.argv[1]) as new:\n"
        "    new.mkdir(); (new / 'a').write_text('new'); os.replace = once\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -9
    assert not path.exists()


def test_a_folder_is_restored_after_a_kill_between_two_renames(tmp_path):
    path = tmp_path / "folder"
    for use in ("refused", "replaced", "failed"):
        path.mkdir(exist_ok=True)
        (path / "a").write_text("old")
        killed_between_renames(path)
        if use == "refused":
            with pytest.raises(InputError, match="exists already"):
                refuse_existing(path)
        elif use == "replaced":
            with atomic_path(path) as new:
                assert (path / "a").read_text() == "old"
                new.mkdir()
                (new / "a").write_text("newer")
        else:
            with pytest.raises(RuntimeError), atomic_path(path):
                raise RuntimeError
        assert (path / "a").read_text() == ("newer" if use == "replaced" else "old")
        refuse_existing(path, force=True, own=["a"])
        with atomic_path(tmp_path / "other") as other:  # the names of others are left alone
            other.write_text("x")
    assert {file.name for file in tmp_path.iterdir() if not file.name.endswith(".partial")} == {
        "folder",
        "other",
    }


def test_only_a_folder_that_holds_nothing_else_than_the_command_writes_is_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a.yaml").write_text("old")
    refuse_existing(tmp_path / "folder", force=True, own=["*.yaml", "b"])
    refuse_existing(tmp_path / "folder/a.yaml", force=True)
    (tmp_path / "folder/thesis.txt").write_text("x")
    with pytest.raises(InputError, match=r"other files than .*thesis.txt"):
        refuse_existing(tmp_path / "folder", force=True, own=["*.yaml", "b"])
    with pytest.raises(InputError, match="found a file, expected a folder"):
        refuse_existing(tmp_path / "folder/a.yaml", force=True, own=["a"])
    with pytest.raises(InputError, match="found a folder, expected a file"):
        refuse_existing(tmp_path / "folder", force=True)


@pytest.mark.parametrize("path", [".", "..", "/"])
def test_the_current_folder_and_those_above_it_are_not_replaced(path, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match="the current folder, or one above it"), atomic_path(path) as new:
        new.mkdir()
    assert list(tmp_path.rglob("*")) == [tmp_path / "here"]


def test_a_link_to_a_folder_is_replaced_without_changing_its_target(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target/a").write_text("old")
    (tmp_path / "link").symlink_to("target")
    with atomic_path(tmp_path / "link") as new:
        new.mkdir()
    assert (tmp_path / "target/a").read_text() == "old" and not list((tmp_path / "link").iterdir())


def test_the_old_folder_of_a_running_process_is_left_alone(tmp_path):
    running = tmp_path / f".folder.{platform.node()}.{os.getppid()}.old"
    running.mkdir()
    refuse_existing(tmp_path / "folder")
    assert running.is_dir() and not (tmp_path / "folder").exists()


def test_a_folder_that_cannot_be_replaced_keeps_its_name(tmp_path, monkeypatch):
    path = tmp_path / "folder"
    path.mkdir()
    replace = os.replace

    def refuse(one, other):
        if str(one).endswith(".partial"):
            raise OSError("refused")
        replace(one, other)

    monkeypatch.setattr(provenance.os, "replace", refuse)
    with pytest.raises(OSError, match="refused"), atomic_path(path) as new:
        new.mkdir()
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_files_that_belong_together_are_written_all_or_none(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("mine", "a"):
        (folder / name).write_text("old")
    with pytest.raises(InputError, match=f"^{folder / 'b'}: the disk is full"):
        with atomic_files(folder) as new:
            (new / "a").write_text("new")
            with atomic_path(new / "b"):
                raise OSError(errno.ENOSPC, "No space left on device")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"mine": "old", "a": "old"}
    with atomic_files(folder) as new:
        (new / "a").write_text("new")
        (new / "deep").mkdir()
        (new / "deep" / "b").write_text("new")
    assert (folder / "a").read_text() == (folder / "deep" / "b").read_text() == "new"
    assert (folder / "mine").read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_files_are_written_to_the_working_folder_and_never_below_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic_files(".") as new:
        (new / "a").write_text("new")
    with pytest.raises(InputError, match="found a file, expected a folder"):
        with atomic_files("a"):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
