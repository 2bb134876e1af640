"""Run `chromoformer` in the test's process, and check its output and the files it leaves."""

import contextlib
import io
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from chromoformer.cli import main
from chromoformer.provenance import sha256

TINY = """
network:
  embedding: {layers: 1, heads: 2, width: 8, attention_width: 8, feed_forward_width: 8}
  pairwise: {layers: 1, heads: 2, width: 8, attention_width: 8, feed_forward_width: 8}
  regulation: {layers: 1, heads: 2, width: 8, attention_width: 8, feed_forward_width: 8}
  head_width: 8
recipe: {epochs: 2, batch_size: 8, learning_rate: 1.0e-3}
"""


class Result(NamedTuple):
    "Exit status and output of a command."

    status: int
    out: str
    err: str


def chromoformer(*arguments) -> Result:
    "Run one command; an exception that does not become an error message fails the test."
    out, err = io.StringIO(), io.StringIO()
    with mock.patch.object(sys, "argv", ["chromoformer", *map(str, arguments)]):
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
                status = 0
            except SystemExit as stop:
                status = stop.code or 0
    return Result(status, out.getvalue(), err.getvalue())


def succeed(*arguments) -> Result:
    "Run one command that must succeed; it must end by naming the next command."
    result = chromoformer(*arguments)
    assert result.status == 0, result.err
    if "--help" not in arguments:
        assert result.out.rstrip().splitlines()[-1].startswith("Next: "), result.out
    return result


def listing(folder) -> dict[str, str]:
    "Return every file below a folder with its hash, and every subfolder, including hidden ones."
    folder = Path(folder)
    return {
        str(path.relative_to(folder)): sha256(path) if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def refused(folder, *arguments, says=()) -> str:
    "Run a command that must fail and change nothing in a folder; return its message, which contains `says`."
    before = listing(folder)
    result = chromoformer(*arguments)
    message = result.err[result.err.rfind("Error:") :]
    assert result.status == 2, result
    assert "Error:" in result.err and "Fix:" in message and "Traceback" not in result.err, result.err
    for part in says:
        assert str(part) in message, f"{part!r} is not in: {message}"
    assert listing(folder) == before
    return message
