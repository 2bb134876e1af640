"""Writes published.npz: what the published implementation computes on the toy input of toy.py.

Run it in an environment of its own:

    python -m venv published && published/bin/pip install torch==2.13.0 chromoformer==1.1.3 pandas PyYAML
    scipy
    published/bin/python tests/golden/make_golden.py

Two things are changed from outside: `.cuda()` does nothing, and the float32 logarithm is the nearest float32
number (libraries
and processors differ in its last bit, which would hide differences of the network in float64).
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import toy
from torch.utils.data import default_collate

log = torch.log
torch.log = lambda x: log(x.double()).to(x.dtype)
torch.Tensor.cuda = lambda self, *args, **kwargs: self

from chromoformer import ChromoformerClassifier, ChromoformerDataset, ChromoformerRegressor

INPUTS = (
    "promoter_feats",
    "promoter_pad_masks",
    "pcre_feats",
    "pcre_pad_masks",
    "interaction_masks",
    "interaction_freq",
)


def as_dtype(value, dtype):
    if isinstance(value, dict):
        return {key: as_dtype(item, dtype) for key, item in value.items()}
    return value.to(dtype) if value.dtype == torch.float32 else value


def main():
    torch.set_num_threads(1)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        meta = toy.write_regions(Path(folder))
        for task, kind in (("clf", ChromoformerClassifier), ("reg", ChromoformerRegressor)):
            genes = [f"GENE{gene:02d}" for gene in range(toy.GENES)]
            data = ChromoformerDataset(
                str(meta), folder, genes, regression=task == "reg", binsizes=toy.SIZES["binsizes"]
            )
            batch = default_collate([data[i] for i in range(len(data))])
            model = kind(**toy.SIZES)
            state = {
                name: torch.from_numpy(toy.seeded(name, tuple(tensor.shape)))
                for name, tensor in model.state_dict().items()
            }
            found[f"{task}_tensors"] = np.array(
                [f"{name} {tuple(tensor.shape)}" for name, tensor in state.items()]
            )
            for dtype in (torch.float32, torch.float64):
                model.load_state_dict(state)
                model.to(dtype)
                with torch.no_grad():
                    found[f"{task}_{str(dtype)[6:]}"] = model(
                        *(as_dtype(batch[name], dtype) for name in INPUTS)
                    ).numpy()
            model.load_state_dict(state)
            model.to(torch.float32)
            optimiser, losses = torch.optim.AdamW(model.parameters(), lr=1e-3), []
            for start in range(0, toy.GENES, 4):
                part = default_collate([data[i] for i in range(start, start + 4)])
                output = model(*(part[name] for name in INPUTS))
                loss = (
                    torch.nn.functional.cross_entropy(output, part["label"])
                    if task == "clf"
                    else torch.nn.functional.mse_loss(output[:, 0], part["label"])
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
            found[f"{task}_losses"] = np.array(losses)
            found[f"{task}_labels"] = batch["label"].numpy()
            with torch.no_grad():
                found[f"{task}_after"] = model(*(batch[name] for name in INPUTS)).numpy()
    np.savez_compressed(Path(__file__).with_name("published.npz"), **found)
    print({name: value.shape for name, value in found.items()}, file=sys.stderr)


main()
