"""Packaging. All metadata is in settings.ini."""

import shutil
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

here = Path(__file__).parent
settings = ConfigParser(delimiters=["="])
settings.read(here / "settings.ini", encoding="utf-8")
cfg = settings["DEFAULT"]

STATUSES = {
    "1": "1 - Planning",
    "2": "2 - Pre-Alpha",
    "3": "3 - Alpha",
    "4": "4 - Beta",
    "5": "5 - Production/Stable",
}
readme = here / "README.md"
# Parts of the repository that an installed package needs, too. They keep their places, in chromoformer/share.
SHARED = (
    "nbs/analyses",
    "nbs/tutorials",
    "workflow",
    "config",
    "data_manifests",
    "benchmarks/results/study_rates.json",
)


class BuildWithShared(build_py):
    "Copy the workflow, the analyses and the manifests into the package; an editable install reads the clone."

    def run(self):
        super().run()
        if getattr(self, "editable_mode", False):
            return
        target = Path(self.build_lib) / "chromoformer" / "share"
        for source in (here / name for name in SHARED):
            place = target / source.relative_to(here)
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                hidden = shutil.ignore_patterns(".*", "__pycache__")
                shutil.copytree(source, place, ignore=hidden, dirs_exist_ok=True)
            else:
                shutil.copy(source, place)


setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else cfg["description"],
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    keywords=cfg["keywords"].split(),
    license="Apache-2.0",
    classifiers=[
        f"Development Status :: {STATUSES[cfg['status']]}",
        f"Intended Audience :: {cfg['audience']}",
        "Topic :: Scientific/Engineering :: Bio-Informatics",
        "Natural Language :: English",
        "Programming Language :: Python :: 3",
    ],
    cmdclass={"build_py": BuildWithShared},
    packages=find_packages(include=["chromoformer", "chromoformer.*"]),
    include_package_data=True,
    package_data={
        "chromoformer": ["demo_report.ipynb", "demo_report.css", "plots/browse.js", "plots/browse.css"],
    },
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require={"dev": cfg["dev_requirements"].split()},
    entry_points={"console_scripts": cfg["console_scripts"].split()},
    zip_safe=False,
)
