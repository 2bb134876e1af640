"""A study file becomes jobs, and a wrong one is refused before anything starts."""

from pathlib import Path

import nbformat
import pytest
import yaml
from command_line import refused, succeed

from chromoformer.errors import InputError
from chromoformer.studies.definition import Study, check_settings, parameters_of, read_study
from chromoformer.studies.execution import run_notebook
from chromoformer.studies.jobs import jobs_of
from chromoformer.studies.planning import Line, Plan, format_duration, format_plan, plan
from chromoformer.studies.workflow import find_study
from chromoformer.training.recipe import RECIPES, network_and_recipe

ROOT = Path(__file__).resolve().parents[1]
STUDIES = ROOT / "workflow" / "studies"
STUDY = {
    "name": "small",
    "out": "small",
    "simulate": {"genes": 60},
    "cell_types": {"cellA": "cellA.yaml", "cellB": "cellB.yaml"},
    "folds": [1, 2],
    "tasks": ["classification", "regression"],
    "analyses": {"train": {}, "compare": {"parameters": {"epochs": 5}}, "report": {}},
}
PARAMETERS = {
    "train": "out: str = ''\nstore: str = ''\ntask: str = ''\nfold: int = 1\n"
    "network: dict = {}\nseed: int = 0",
    "compare": "out: str = ''\ncell_type: str = ''\nruns: list = []\n"
    "epochs: int = 3  # passes over the genes\nrate: float = 0.1\nquick: bool = False",
    "cross": "out: str = ''\nstores: dict = {}\nall_runs: dict = {}\ntask: str = ''",
    "raw": "out: str = ''\nmanifest: str = ''\ntruth: str = ''",
    "report": "out: str = ''\nstudy: str = ''",
}


def notebook(folder: Path, name: str, parameters: str, *code: str) -> Path:
    "Write a notebook with a parameters cell."
    cells = [
        nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        *map(nbformat.v4.new_code_cell, code),
    ]
    kernel = {"name": "python3", "display_name": "python3", "language": "python"}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / f"{name}.ipynb"
    )
    return folder / f"{name}.ipynb"


@pytest.fixture
def folder(tmp_path) -> Path:
    "Return a folder of notebooks that are only read, not executed."
    for name, parameters in PARAMETERS.items():
        notebook(tmp_path, name, parameters)
    return tmp_path


def jobs(folder: Path, **changes) -> dict:
    "Return the jobs of the study with some changes."
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY | changes))
    return jobs_of(read_study(folder / "study.yaml"), folder / "study.yaml", folder)


# ---- jobs ----


def test_notebook_makes_one_job_per_task_cell_type_and_fold_that_it_asks_for(folder):
    made = jobs(folder, analyses=STUDY["analyses"] | {"cross": {}, "raw": {}})
    kinds = [job.kind for job in made.values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "toy": 1,
        "stores": 2,
        "train": 8,
        "compare": 2,
        "cross": 2,
        "raw": 2,
        "report": 1,
    }
    assert {key for key in made if key.startswith("train/regression")} == {
        f"train/regression/{cell}/fold{k}" for cell in ("cellA", "cellB") for k in (1, 2)
    }
    assert {"compare/cellA", "cross/classification", "raw/cellB", "report"} <= set(made)


def test_jobs_come_after_the_jobs_they_need(folder):
    made = jobs(folder, analyses={"report": {}, "cross": {}, "compare": {}, "train": {}})  # in reverse order
    order = list(made)
    assert all(order.index(need) < order.index(key) for key, job in made.items() for need in job.needs)
    assert order[-1] == "report" and set(made["report"].needs) == set(order[:-1])


def test_filled_in_paths_are_those_that_earlier_jobs_write(folder):
    made = jobs(
        folder, analyses={"train": {}, "compare": {}, "cross": {"cell_types": ["cellB"]}, "raw": {}}, seed=7
    )
    train = made["train/regression/cellB/fold2"].parameters
    assert train == {
        "out": "train/regression/cellB/fold2",
        "store": "stores/cellB.h5",
        "task": "regression",
        "fold": 2,
        "network": {},
        "seed": 7,
    }
    runs = ["train/classification/cellA/fold1", "train/classification/cellA/fold2"]
    assert made["compare/cellA"].parameters == {"out": "compare/cellA", "cell_type": "cellA", "runs": runs}
    assert made["cross/regression"].parameters["stores"] == {"cellB": "stores/cellB.h5"}
    assert list(made["cross/regression"].parameters["all_runs"]) == ["cellB"]
    raw = made["raw/cellA"]
    assert raw.parameters == {"out": "raw/cellA", "manifest": "toy/cellA.yaml", "truth": "toy/truth"}
    assert raw.needs == ("toy",)


def test_analyses_hold_out_the_folds_of_the_study():
    analyses = {
        "train": {},
        "benchmark": {},
        "marks": {"folds": [2]},
        "window": {"parameters": {"held_out": [3]}},
    }
    about = {"name": "x", "out": "out", "simulate": {"genes": 600}, "cell_types": {"cellA": "cellA.yaml"}}

    def held_out(**changes):
        study = Study(**about | {"analyses": analyses} | changes)
        made = jobs_of(study, Path("study.yaml"), ROOT / "nbs" / "analyses")
        return {job.kind: job.parameters.get("held_out") for job in made.values() if "out" in job.parameters}

    found = held_out(folds=[1, 2, 3])
    assert (found["benchmark"], found["marks"], found["window"]) == ([1, 2, 3], [2], [3])
    found = held_out(folds=[1, 2, 3], analyses=analyses | {"train": {"folds": [1, 2]}})
    assert found["benchmark"] == [1, 2], "those of the runs that it compares"
    found = held_out(analyses={"train": {"folds": [2]}, "benchmark": {}, "ablation": {}})
    assert found["benchmark"] == [2] and found["ablation"] is None, "None: all folds of the store"


def test_two_analyses_can_share_a_notebook_and_their_settings_are_merged(folder):
    narrow = {"regulation": {"layers": 2, "heads": 4}}
    analyses = {
        "train": {},
        "shallow": {
            "notebook": "train",
            "network": {"regulation": {"layers": 1}},
            "folds": [2],
            "tasks": ["regression"],
        },
    }
    made = jobs(folder, analyses=analyses, network=narrow)
    [key] = [key for key in made if key.startswith("shallow") and made[key].cell_type == "cellA"]
    assert key == "shallow/regression/cellA/fold2"
    assert made[key].parameters["network"] == {"regulation": {"layers": 1, "heads": 4}}
    assert made["train/regression/cellA/fold2"].parameters["network"] == narrow


def test_only_the_stores_that_are_needed_are_built(folder):
    made = jobs(folder, analyses={"train": {"cell_types": ["cellB"]}})
    assert [key for key in made if key.startswith("stores")] == ["stores/cellB.h5"]


def test_existing_store_is_used_and_not_built(folder):
    (folder / "mine.h5").write_bytes(b"store")
    made = jobs(folder, simulate=None, cell_types={"mine": "mine.h5"}, analyses={"train": {}})
    assert {job.kind for job in made.values()} == {"train"}
    assert next(iter(made.values())).inputs == {"store.mine": str(folder / "mine.h5")}


def test_stores_that_are_ready_have_no_manifest_for_an_analysis(folder, monkeypatch):
    (folder / "mine.h5").write_bytes(b"store")
    manifests(folder, ["other"])
    notebook(folder, "tracks", "out: str = ''\nmanifests: dict = {}\ndata: str = ''\nstores: dict = {}")
    monkeypatch.setenv("CHROMOFORMER_DATA", str(folder))
    cell_types = {"mine": "mine.h5", "other": "other.yaml"}
    made = jobs(folder, simulate=None, cell_types=cell_types, analyses={"tracks": {}})
    assert made["tracks"].parameters["manifests"] == {"other": str(folder / "other.yaml")}
    assert set(made["tracks"].parameters["stores"]) == {"mine", "other"}


# ---- refusals ----


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"analises": {}}, ["analises", "spelling"]),
        ({"folds": ["one"]}, ["folds.0", "integer"]),
        ({"folds": [0, 1]}, ["folds.0", "1"]),
        ({"folds": [1, 1]}, ["folds: a value is given twice in 1, 1"]),
        ({"tasks": ["regression", "regression"]}, ["tasks: a value is given twice"]),
        ({"analyses": {"train": {"folds": [1, 1]}}}, ["analyses.train.folds: a value is given twice"]),
        ({"analyses": {"train": {"cell_types": ["cellA", "cellA"]}}}, ["analyses.train.cell_types: a value"]),
        ({"tasks": ["guess"]}, ["tasks.0", "guess"]),
        ({"analyses": {"train": {"cell_types": ["cellC"]}}}, ["analyses.train.cell_types", "cellC", "cellA"]),
        ({"analyses": {"train": {"parameter": {}}}}, ["analyses.train.parameter"]),
        ({"analyses": {"trian": {}}}, ["trian.ipynb", "no such notebook"]),
        ({"analyses": {"stores": {}}}, ["stores", "rule of the workflow itself"]),
        ({"analyses": {"compare": {}}}, ["analyses.compare", "needs training runs"]),
        (
            {"analyses": {"train": {}, "compare": {"parameters": {"epoch": 5}}}},
            ["analyses.compare.parameters", "epoch", "epochs (int)"],
        ),
        (
            {"analyses": {"train": {}, "compare": {"parameters": {"runs": []}}}},
            ["'runs' is filled in by the study"],
        ),
        (
            {"analyses": {"train": {}, "compare": {"parameters": {"epochs": "5"}}}},
            ["analyses.compare.parameters.epochs", "'5' is not int", "passes"],
        ),
        ({"analyses": {"train": {}, "compare": {"parameters": {"epochs": 5.5}}}}, ["5.5 is not int"]),
        ({"analyses": {"train": {}, "compare": {"parameters": {"epochs": True}}}}, ["True is not int"]),
        ({"analyses": {"train": {}, "compare": {"parameters": {"quick": "true"}}}}, ["'true' is not bool"]),
        (
            {"analyses": {"train": {}, "compare": {"parameters": {"rate": "1e-3"}}}},
            ["'1e-3' is not float", "1.0e-3"],
        ),
        (
            {"analyses": {"train": {"cell_types": ["cellA"]}, "compare": {"cell_types": ["cellB"]}}},
            ["no model is trained for cellB"],
        ),
        ({"network": {"wdith": 3}}, ["wdith"]),
        ({"network": {"regulation": {"layer": 3}}}, ["regulation, layer", "layers"]),
        ({"analyses": {"train": {"network": {"max_pcres": -1}}}}, ["analyses.train, ", "max_pcres"]),
        ({"recipe": {"epoch": 3}}, ["epoch"]),
        ({"analyses": {"train": {"recipe": {"epochs": "many"}, "notebook": "learn"}}}, ["epochs", "many"]),
    ],
)
def test_wrong_study_is_refused_before_anything_starts(folder, monkeypatch, changes, says):
    notebook(folder, "learn", PARAMETERS["train"] + "\nrecipe: dict = {}")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY | changes))
    monkeypatch.chdir(folder)
    for command in ("run", "plan"):
        file = "trian" if "trian" in str(changes) else "study.yaml"
        refused(folder, command, "study.yaml", "--notebooks", folder, says=[file, *says])


def test_missing_files_that_the_study_names_are_listed_before_anything_starts(folder, monkeypatch):
    notebook(folder, "sets", "out: str = ''\nfiles: list = []\nmore: dict = {}")
    parameters = {"files": ["{here}/a.gmt", "{here}/b.gmt"], "more": {"ctcf": {"path": "{here}/c.bed"}}}
    content = STUDY | {"analyses": {"sets": {"parameters": parameters}}}
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    (folder / "a.gmt").write_text("set\t\tgene")
    monkeypatch.chdir(folder)
    missing = [folder / "b.gmt", folder / "c.bed"]
    refused(folder, "run", "study.yaml", "--notebooks", folder, says=[*missing, "provide them"])
    output = succeed("plan", "study.yaml", "--notebooks", folder).out
    assert str(folder / "b.gmt") in output and str(folder / "a.gmt") not in output
    made = jobs_of(read_study(folder / "study.yaml"), folder / "study.yaml", folder)["sets"]
    assert made.parameters["files"][0] == str(folder / "a.gmt")
    assert set(made.inputs) == {"parameter.files.1", "parameter.files.2", "parameter.more"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": "files"}, "data: this has no effect, because the data are simulated"),
        ({"keep_reads": False}, "keep_reads: this has no effect, because the data are simulated"),
        (
            {"cell_types": {"cellA": "a.h5"}},
            "simulate: this has no effect, because the cell types are stores",
        ),
        (
            {"cell_types": {"cellA": "a.h5"}, "simulate": None, "data": "x", "keep_reads": False},
            "data, keep_reads: this has no effect",
        ),
    ],
)
def test_study_keys_without_effect_are_refused(folder, changes, says):
    with pytest.raises(InputError, match=says):
        jobs(folder, **changes)


@pytest.mark.parametrize("place", ["study", "analysis"])
def test_a_task_of_the_network_that_is_not_that_of_the_jobs_is_refused(folder, place):
    setting = {"network": {"task": "regression"}}
    changes = setting if place == "study" else {"analyses": {"train": setting}}
    changes = {"analyses": {"train": {}}} | changes
    with pytest.raises(InputError, match="task of the network is regression, but that of a job is class"):
        jobs(folder, tasks=["classification"], **changes)
    jobs(folder, tasks=["regression"], **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"cell_types": {"cellA": "toy/cellA.yaml"}},
        {"simulate": {"cell_types": ["cellA"]}},  # and not cellB
        {"simulate": {"hic": False}, "cell_types": {"cellA": "cellA.cool.yaml"}},
        {"cell_types": {"cellA": "cellA.sequence.yaml"}},
    ],
)
def test_manifests_that_the_simulation_does_not_write_are_refused(folder, changes):
    with pytest.raises(InputError, match="the simulation does not write"):
        jobs(folder, **changes)
    jobs(folder, cell_types={"cellA": "cellA.cool.yaml", "cellB": "cellB.ctcf.yaml"})
    jobs(folder, simulate={"sequence": True}, cell_types={"cellA": "cellA.predicted.yaml"})


def test_a_study_is_found_by_name_next_to_a_folder_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy").mkdir()  # as `chromoformer simulate toy` writes it
    assert find_study("toy") == STUDIES / "toy.yaml"
    assert find_study(tmp_path / "toy") == tmp_path / "toy"


def test_a_plan_on_many_cores_is_no_shorter_than_its_longest_chain_of_jobs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = plan(find_study("toy"), out=tmp_path / "new")
    total = sum(line.seconds for line in found.lines)
    assert 0 < found.chain < total
    assert f"On 9999 cores: about {format_duration(found.chain)}" in format_plan(found, 9999)
    assert f"On 2 cores: about {format_duration(total / 2)}" in format_plan(found, 2)


def test_a_plan_reserves_memory_for_the_jobs_that_run_at_the_same_time(tmp_path):
    line = Line("train", jobs=3, done=1, seconds=7200.0, memory=2e9)
    found = Plan(Study(**STUDY), tmp_path, {}, {}, [line], [], [], chain=3600.0, threads=4)
    assert "On 8 cores: about 1.0 h, up to 4.0 GB of memory." in format_plan(found, 8)
    assert "On 4 cores: about 2.0 h, up to 2.0 GB of memory." in format_plan(found, 4)


@pytest.mark.parametrize(
    ("notebook_name", "setting"),
    [
        ("compare", {"network": {"max_pcres": 0}}),
        ("train", {"recipe": {"epochs": 2}}),
        ("compare", {"seed": 0}),
        ("compare", {"tasks": ["regression"]}),
        ("raw", {"folds": [1]}),
        ("report", {"cell_types": ["cellA"]}),
    ],
)
def test_settings_of_an_analysis_that_its_notebook_does_not_read_are_refused(folder, notebook_name, setting):
    analyses = {"train": {}, "other": {"notebook": notebook_name} | setting}
    with pytest.raises(InputError, match="has no effect") as error:
        jobs(folder, analyses=analyses)
    assert f"analyses.other.{next(iter(setting))}" in str(error.value)


def test_settings_that_a_notebook_reads_are_accepted(folder):
    settings = {"cell_types": ["cellB"], "folds": [2], "tasks": ["regression"], "seed": 3}
    analyses = {
        "train": {},
        "other": {"notebook": "train", "network": {"max_pcres": 0}} | settings,
        "compare": {"cell_types": ["cellA"], "folds": [1]},
        "cross": {"cell_types": ["cellA", "cellB"], "tasks": ["regression"]},
    }
    made = jobs(folder, analyses=analyses)
    assert made["other/regression/cellB/fold2"].parameters["seed"] == 3
    assert made["compare/cellA"].parameters["runs"] == ["train/classification/cellA/fold1"]


def test_missing_or_invalid_study_file_is_named(tmp_path):
    (tmp_path / "broken.yaml").write_text("analyses: {train: [")
    refused(tmp_path, "plan", tmp_path / "broken.yaml", says=["broken.yaml", "not valid YAML"])
    refused(tmp_path, "run", tmp_path / "none.yaml", says=["none.yaml", "no such study"])


def test_parameter_whose_default_is_not_a_plain_value_is_named(tmp_path):
    path = notebook(tmp_path, "odd", "out: str = ''\nwhen: int = time.time()")
    with pytest.raises(InputError, match="parameter when"):
        parameters_of(path)
    with pytest.raises(InputError, match="no parameter `out`"):
        parameters_of(notebook(tmp_path, "odd", "other: str = ''"))


# ---- the studies that come with the repository ----


def manifests(folder: Path, names) -> None:
    "Write manifests of cell types whose files can be downloaded."
    for name in names:
        content = {
            "name": name,
            "genome": "hg19",
            "chrom_sizes": {"path": "hg19.chrom.sizes"},
            "annotation": {"kind": "gtf", "path": "genes.gtf.gz"},
            "channels": [
                {
                    "name": "H3K4me3",
                    "kind": "tagalign",
                    "path": f"{name}.tagAlign.gz",
                    "url": f"https://x.invalid/{name}",
                    "size": 10**9,
                }
            ],
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


def test_download_is_repeated_only_if_one_of_its_files_was_deleted(tmp_path):
    from chromoformer.studies.jobs import Job
    from chromoformer.studies.workflow import _forget_deleted_downloads

    manifests(tmp_path, ["a"])
    parameters = {"manifest": str(tmp_path / "a.yaml"), "data": str(tmp_path)}
    jobs_ = {"fetch/a": Job("fetch/a", "fetch", parameters)}
    record = tmp_path / "out" / "fetch" / "a.provenance.json"
    record.parent.mkdir(parents=True)
    files = [tmp_path / name for name in ("hg19.chrom.sizes", "genes.gtf.gz", "a.tagAlign.gz")]
    for file in (*files, record):
        file.touch()
    _forget_deleted_downloads(tmp_path / "out", jobs_)
    assert record.exists()
    files[2].unlink()
    _forget_deleted_downloads(tmp_path / "out", jobs_)
    assert not record.exists()


def test_paper_study_is_planned_in_order_without_any_data(tmp_path, monkeypatch):
    monkeypatch.delenv("CHROMOFORMER_DATA", raising=False)
    content = yaml.safe_load((STUDIES / "paper.yaml").read_text())
    cells = [f"E{number:03}" for number in (3, 4, 5, 6, 7, 16, 66, 87, 114, 116, 118)]
    trained = content["analyses"]["train"].get("cell_types") or list(content["cell_types"])
    assert trained == cells
    assert content["tasks"] == ["classification", "regression"]
    assert content["folds"] == [1, 2, 3, 4]
    content["analyses"] = {"train": content["analyses"]["train"]}  # other notebooks have their own tests
    manifests(tmp_path, content["cell_types"])
    content["cell_types"] = {name: f"{name}.yaml" for name in content["cell_types"]}
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(content))
    made = jobs_of(read_study(tmp_path / "paper.yaml"), tmp_path / "paper.yaml", ROOT / "nbs" / "analyses")
    kinds = [job.kind for job in made.values()]
    assert (kinds.count("train"), kinds.count("stores"), kinds.count("fetch")) == (11 * 4 * 2, 11, 11)
    assert made["stores/E003.h5"].needs == ("fetch/E003",)
    assert made["train/regression/E116/fold4"].needs == ("stores/E116.h5",)
    output = succeed("plan", tmp_path / "paper.yaml", "--out", tmp_path / "out", "--cores", 8).out
    assert "E003: 1 file to fetch, about 1.0 GB" in output and " 110" in output
    assert f"Next: chromoformer run {tmp_path / 'paper.yaml'} --cores 8 --out {tmp_path / 'out'}" in output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["toy", "paper", "gm12878", "whole_genes", "differential", "cells"])
def test_studies_of_the_repository_are_valid(name):
    assert read_study(STUDIES / f"{name}.yaml").name == name


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "nbs" / "analyses").glob("*.ipynb")))
def test_every_analysis_notebook_has_parameters_with_types_and_help(name):
    found = parameters_of(ROOT / "nbs" / "analyses" / f"{name}.ipynb")
    assert all(parameter.fits(parameter.default) for parameter in found.values())


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "nbs" / "analyses").glob("*.ipynb")))
def test_analyses_write_neither_time_nor_machine_into_their_metrics(name):
    "Both belong into the record: a job that runs again must write the same metrics."
    cells = nbformat.read(ROOT / "nbs" / "analyses" / f"{name}.ipynb", as_version=4).cells
    assert not [
        word
        for word in ("Stopwatch", "perf_counter", "machine()", "code_version()")
        for cell in cells
        if word in cell.source
    ]


def test_a_recipe_may_name_another_as_its_base(folder):
    notebook(folder, "train", PARAMETERS["train"] + "\nrecipe: dict = {}")
    based = {"base": "whole-gene-joint"}
    made = jobs(folder, analyses={"train": {"recipe": {"epochs": 2}}}, recipe=based)
    assert {str(job.parameters["recipe"]) for job in made.values() if "recipe" in job.parameters} == {
        str(based | {"epochs": 2})
    }
    check_settings(read_study(folder / "study.yaml"), "study.yaml")
    jobs(folder, analyses={"train": {"recipe": {"base": "none"}}})
    with pytest.raises(InputError, match="analyses.train.*there is no recipe 'none'"):
        check_settings(read_study(folder / "study.yaml"), "study.yaml")


def test_a_network_may_name_another_as_its_base_and_brings_its_recipe(folder):
    notebook(folder, "train", PARAMETERS["train"] + "\nnetwork: dict = {}\nrecipe: dict = {}")
    own = {"base": "whole-gene-joint", "max_pcres": 4}
    made = jobs(folder, analyses={"train": {"network": own}}, network={"base": "whole-gene", "dropout": 0.1})
    given = next(job.parameters for job in made.values() if "network" in job.parameters)
    assert given["network"] == own | {"dropout": 0.1}
    check_settings(read_study(folder / "study.yaml"), "study.yaml")
    config, recipe = network_and_recipe(None, given["network"], given["recipe"])
    assert (config.joint, config.max_pcres, config.dropout) == (True, 4, 0.1)
    assert recipe == RECIPES["whole-gene-joint"]
    jobs(folder, network={"base": "none"})
    with pytest.raises(InputError, match="there is no network 'none'"):
        check_settings(read_study(folder / "study.yaml"), "study.yaml")


def test_a_notebook_is_executed_without_messages_of_its_kernel(tmp_path, capfd):
    cells = [nbformat.v4.new_code_cell("number: int = 1"), nbformat.v4.new_code_cell("number")]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "python3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "one.ipynb")
    run_notebook(tmp_path / "one.ipynb", tmp_path / "out", {"number": 2}, tmp_path)
    executed = nbformat.read(tmp_path / "out" / "notebook.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].data["text/plain"] == "2"
    assert capfd.readouterr().err == ""
