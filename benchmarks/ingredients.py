"""Measure what each ingredient of the joint whole-gene network adds, in paired comparisons.

    python benchmarks/ingredients.py OUT [--cell K562] [--seeds 3] [--only "no jitter"]

OUT holds the stores that against_trees.py builds. Each variant of `whole-gene-joint` is trained on folds 3
and 4 and predicts fold 2; fold 1 stays untouched, so that it may be held out from what is chosen here. Runs
in OUT/ingredients are kept, and the script may be interrupted. Everything takes two hours on one core.
"""

import argparse
import json
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import _ideas as ideas
import torch
from _gm12878 import RESULTS
from _measure import about

from chromoformer.data.store import Store
from chromoformer.experiments.comparison import differences, held_out_predictions, mean_scores
from chromoformer.metrics import MAIN_METRIC
from chromoformer.provenance import write_json
from chromoformer.training.fit import fit
from chromoformer.training.recipe import NETWORKS, RECIPES, network_and_recipe
from chromoformer.training.run_folder import is_complete

KEPT = RESULTS / "ingredients.json"
CHOSEN_ON, UNTOUCHED = 2, 1
TASKS = ("classification", "regression")


@dataclass(frozen=True)
class Variant:
    "What differs from the full network: settings of the network and of the recipe, and code."

    network: dict = field(default_factory=dict)
    recipe: dict = field(default_factory=dict)
    code: Callable[[], AbstractContextManager] = nullcontext  # changes the library while a network trains
    pretrained: bool = False


EMBEDDING = NETWORKS["whole-gene-joint"]["embedding"]
PLAIN = {"average": None, "cosine": False, "warm_up": 0, "weight_decay": 0.01, "clip_norm": None}
PLAIN |= {"drop_marks": 0.0, "jitter": 0.0}
FULL = "full"
VARIANTS = {
    FULL: Variant(),
    "six epochs": Variant(recipe={"epochs": 6}),
    "15 epochs": Variant(recipe={"epochs": 15}),
    "only the label": Variant({"joint": False, "task": "classification"}),
    "only the expression": Variant({"joint": False, "task": "regression"}),
    "no mean of weights": Variant(recipe={"average": None}),
    "no cosine, no warm-up": Variant(recipe={"cosine": False, "warm_up": 0}),
    "weight decay 0.01": Variant(recipe={"weight_decay": 0.01}),
    "no clipping": Variant(recipe={"clip_norm": None}),
    "no dropout": Variant({"dropout": 0.0}),
    "no dropped marks": Variant(recipe={"drop_marks": 0.0}),
    "no jitter": Variant(recipe={"jitter": 0.0}),
    "none of the seven above": Variant({"dropout": 0.0}, PLAIN),
    "2 kb only": Variant({"bin_sizes": [2000]}),
    "500 bp only": Variant({"bin_sizes": [500]}),
    "100 bp, too": Variant({"bin_sizes": [2000, 500, 100]}),
    "pCREs, too": Variant({"max_pcres": 8}),
    "no place of the gene's end": Variant({"positions": ["tss", "others"]}),
    "no place of other genes": Variant({"positions": ["tss", "end"]}),
    "ranks of depth": Variant({"scale": "rank"}),
    "eight heads": Variant({"embedding": EMBEDDING | {"heads": 8, "attention_width": 128}}),
    "convolution first": Variant(code=ideas.convolution_first),
    "ranking loss": Variant(code=ideas.ranking_loss),
    "pretrained on masked marks": Variant(pretrained=True),
}


def trained(store: Store, out: Path, variant: str, seed: int) -> Path:
    "Train a variant unless its run is complete."
    run = out / "ingredients" / store.name / variant.replace(" ", "_") / f"seed{seed}"
    if is_complete(run):
        return run
    its = VARIANTS[variant]
    config, _ = network_and_recipe(store, {"base": "whole-gene-joint"} | its.network)
    recipe = replace(RECIPES["whole-gene-joint"], **its.recipe)
    held_out = [UNTOUCHED, CHOSEN_ON]
    start = (
        ideas.pretrained(store, run.with_name(f"start{seed}"), config, held_out, seed)
        if its.pretrained
        else None
    )
    with its.code():
        fit(store, run, held_out, config, recipe, start=start, seed=seed, measure=False, progress=False)
    return run


def compared(runs: dict[str, list[Path]], task: str) -> dict:
    "Compare each variant that predicts a task with the full network, on the fold that choices are made on."
    own = {name: places for name, places in runs.items() if predicts(name, task)}
    every = held_out_predictions(own, task=task)
    judged = every[every["fold"] == CHOSEN_ON]
    metric = MAIN_METRIC[task]
    means = mean_scores(judged, task)
    return {
        "values": means[means["metric"] == metric].to_dict("records"),
        "differences": differences(judged, task, FULL, alike=True).to_dict("records"),
    }


def predicts(variant: str, task: str) -> bool:
    "Return whether a variant predicts a task."
    network = VARIANTS[variant].network
    return network.get("joint", True) or network["task"] == task


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--cell", default="K562")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    store = Store(arguments.out / f"{arguments.cell}.h5")
    runs = {
        name: [trained(store, arguments.out, name, seed) for seed in range(arguments.seeds)]
        for name in dict.fromkeys([FULL, *arguments.only])
    }
    found = {task: compared(runs, task) for task in TASKS}
    setting = {"cell": arguments.cell, "trained_on": [3, 4], "predicted": CHOSEN_ON, "seeds": arguments.seeds}
    write_json(KEPT, {"what": "ingredients of whole-gene-joint"} | setting | {"found": found} | about())
    print(json.dumps({task: found[task]["differences"] for task in TASKS}, indent=1))


if __name__ == "__main__":
    main()
