"""No mistake is silent: it is refused, named by a warning, or harmless."""

import re

import numpy as np
import pytest
from mistakes import MISTAKES, SAME, Mistake
from random_data import DataSet, Outcome, build, chosen_kinds, differences, is_explained, make_data

FIXED_ELSEWHERE: dict[str, str] = {}
SEEDS = (1, 2)


def with_marks(names):
    "Return the names as parameters; those that wait for another change must fail."
    for name in names:
        marks = [pytest.mark.xfail(strict=True)] if name in FIXED_ELSEWHERE else []
        yield pytest.param(name, marks=marks)


@pytest.fixture(scope="session")
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


def after(mistake: Mistake, seed: int, valid, folder) -> tuple[Outcome, Outcome, DataSet]:
    "Return what comes of the valid data set, what comes of it after the mistake, and the changed data."
    data, right = valid(mistake, seed)
    changed = data.copy(folder / f"seed{seed}")
    mistake.change(changed, np.random.default_rng(seed))
    return right, build(changed), changed


def silence(right: Outcome, found: Outcome, about: str, besides: tuple = ()) -> str | None:
    "Return what is wrong: a crash, a message about something else, or another store without a message."
    if found.error:
        if not is_explained(found.error):
            return f"a crash or an error without place or fix: {found.error!r}"
        return None if re.search(about, str(found.error)) else f"an error about something else: {found.error}"
    changed = [name for name in differences(right.content, found.content) if name not in besides]
    new = [message for message in found.warnings if message not in right.warnings]
    if not changed or any(re.search(about, message) for message in new):
        return None
    return f"another store ({', '.join(changed)}), and the warnings are {new}"


@pytest.mark.parametrize("name", with_marks(MISTAKES))
@pytest.mark.parametrize(
    "seed", [*SEEDS, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 9))]
)
def test_a_mistake_is_refused_or_named(name, seed, valid, tmp_path):
    mistake = MISTAKES[name]
    right, found, _ = after(mistake, seed, valid, tmp_path)
    assert silence(right, found, mistake.about) is None
