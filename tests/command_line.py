"""Run `chromoformer` inside the test's process, and see what a command leaves behind."""

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
    "What a command said."

    status: int
    out: str
    err: str


def chromoformer(*arguments) -> Result:
    "Run one command; an exception that the command line does not turn into a message fails the test."
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
    "Run one command that must end with exit status 0."
    result = chromoformer(*arguments)
    assert result.status == 0, result.err
    if "--help" not in arguments:  # it ends with what to do next
        assert result.out.rstrip().splitlines()[-1].startswith("Next: "), result.out
    return result


def listing(folder) -> dict[str, str]:
    "Every file and folder below a folder, hidden ones included, with its hash."
    folder = Path(folder)
    return {
        str(path.relative_to(folder)): sha256(path) if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def refused(folder, *arguments, says=()) -> str:
    "Run a command that must refuse its input and leave a folder as it was; its message, which must contain each of `says`."
    before = listing(folder)
    result = chromoformer(*arguments)
    message = result.err[result.err.rfind("Error:") :]
    assert result.status == 2, result
    assert "Error:" in result.err and "Fix:" in message and "Traceback" not in result.err, result.err
    for part in says:
        assert str(part) in message, f"{part!r} is not in: {message}"
    assert listing(folder) == before
    return message
