"""Mistakes are refused, named by a warning, or harmless; right but unusual input is accepted."""

import re

import numpy as np
import pytest
from mistakes import MISTAKES, SAME, Mistake
from random_data import DataSet, Outcome, build, chosen_kinds, differences, is_explained, make_data
from unusual import UNUSUAL

SLOW = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 10)]


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    "Return a function that makes a valid data set and its store; each is made once."
    made: dict[tuple, tuple[DataSet, Outcome]] = {}

    def make(mistake: Mistake, seed: int) -> tuple[DataSet, Outcome]:
        kinds = chosen_kinds(seed, **mistake.needs)
        key = (seed, mistake.before, *kinds.values())
        if key not in made:
            data = make_data(tmp_path_factory.mktemp("valid") / "data", seed, **mistake.needs)
            if mistake.before:
                mistake.before(data, np.random.default_rng(seed))
            outcome = build(data)
            assert outcome.error is None, outcome.error
            made[key] = data, outcome
        return made[key]

    return make


def after(mistake: Mistake, seed: int, valid, folder) -> tuple[Outcome, Outcome]:
    "Return what comes of a valid data set, and what comes of it after the mistake."
    data, right = valid(mistake, seed)
    changed = data.copy(folder / "data")
    mistake.change(changed, np.random.default_rng(seed))
    assert files_of(changed) != files_of(data), "the mistake has no effect on the files"
    return right, build(changed)


def files_of(data: DataSet) -> dict[str, bytes]:
    "Return the content of all files of a data set, and its manifest."
    data.save()
    files = (file for file in data.folder.rglob("*") if file.is_file() and file.parent.name != "store")
    return {str(file.relative_to(data.folder)): file.read_bytes() for file in files}


def silence(right: Outcome, found: Outcome, about: str, besides: tuple[str, ...] = ()) -> str | None:
    "Return what is wrong: a crash, a message about something else, or another store without a message."
    if found.error:
        if not is_explained(found.error):
            return f"a crash, or an error without a place or fix: {found.error!r}"
        return None if re.search(about, str(found.error)) else f"an error about something else: {found.error}"
    changed = [name for name in differences(right.content, found.content) if name not in besides]
    new = [message for message in found.warnings if message not in right.warnings]
    if not changed or any(re.search(about, message) for message in new):
        return None
    return f"another store ({', '.join(changed)}), and the new warnings are {new}"


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("seed", [1, *SLOW])
def test_a_mistake_is_refused_or_named(name, seed, valid, tmp_path):
    mistake = MISTAKES[name]
    right, found = after(mistake, seed, valid, tmp_path)
    assert silence(right, found, mistake.about) is None


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("seed", [1, *SLOW])
def test_the_same_data_in_another_form_make_the_same_store(name, seed, valid, tmp_path):
    change = SAME[name]
    right, found = after(change, seed, valid, tmp_path)
    assert found.error is None, found.error
    assert [part for part in differences(right.content, found.content) if part not in change.besides] == []


@pytest.mark.parametrize("name", UNUSUAL)
@pytest.mark.parametrize("seed", [1, *SLOW])
def test_unusual_but_right_input_is_accepted(name, seed, valid, tmp_path):
    case = UNUSUAL[name]
    data, _ = valid(case, seed)
    changed = data.copy(tmp_path / "data")
    expected = case.change(changed, np.random.default_rng(seed))
    found = build(changed)
    assert found.error is None, found.error
    for part, value in (expected or {}).items():
        assert np.array_equal(found.content[part], value), part


def test_the_check_itself_sees_silence(tmp_path):
    "A store that differs without a message, a message about something else, and a crash are faults."
    right = Outcome(None, {"signal": np.ones(3)}, ["old"])
    assert silence(right, Outcome(None, {"signal": np.zeros(3)}, ["old"]), "old")
    assert silence(right, Outcome(None, {"signal": np.zeros(3)}, ["other"]), "chr9")
    assert silence(right, Outcome(KeyError("chr9"), {}, []), "chr9")
    assert not silence(right, Outcome(None, {"signal": np.zeros(3)}, ["chr9 is missing"]), "chr9")
    assert not silence(right, Outcome(None, {"signal": np.ones(3)}, []), "chr9")
