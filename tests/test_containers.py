"""Image and Binder environment install the package from the constraints; their files are only read here."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_image_installs_from_the_constraints_and_starts_the_command():
    lines = re.sub(r"\\\n", "", (ROOT / "Dockerfile").read_text()).splitlines()
    [install] = [line for line in lines if line.startswith("RUN pip install")]
    assert "--constraint constraints.txt ." in install and (ROOT / "constraints.txt").is_file()
    assert 'ENTRYPOINT ["chromoformer"]' in lines
    [base] = [line for line in lines if line.startswith("FROM ")]
    assert base == f"FROM python:{(ROOT / 'binder' / 'runtime.txt').read_text().strip()[7:]}-slim"


def test_image_contains_everything_that_the_wheel_is_built_from():
    from importlib.util import module_from_spec, spec_from_file_location
    from unittest import mock

    spec = spec_from_file_location("the_setup", ROOT / "setup.py")
    module = module_from_spec(spec)
    with mock.patch("setuptools.setup"):
        spec.loader.exec_module(module)
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    left_out = {line for line in lines if line and not line.startswith("#")}
    for path in (*module.SHARED, "chromoformer", "settings.ini", "setup.py", "constraints.txt"):
        assert (ROOT / path).exists()
        assert not {path, *map(str, Path(path).parents)} & left_out


def test_binder_installs_the_repository_from_the_constraints():
    lines = (ROOT / "binder" / "requirements.txt").read_text().splitlines()
    [constraint] = [line.split()[1] for line in lines if line.startswith("--constraint")]
    assert (ROOT / "binder" / constraint).resolve() == ROOT / "constraints.txt"
    assert "--editable ." in lines
    [page] = re.findall(r"lab/tree/(\S+)", (ROOT / "binder" / "README.md").read_text())
    assert (ROOT / page).is_file()
