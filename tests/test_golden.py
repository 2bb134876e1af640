"""Outputs equal those of the published implementation on a seeded toy input (golden/make_golden.py)."""

from pathlib import Path

import numpy as np
import pytest
import torch
import toy

from chromoformer.data.batches import GeneDataset, loader
from chromoformer.data.published import import_regions
from chromoformer.data.store import Store
from chromoformer.model.checkpoint import import_published
from chromoformer.training.fit import loss_of

TASKS = {"clf": "classification", "reg": "regression"}


@pytest.fixture(scope="module")
def golden():
    return np.load(Path(__file__).parent / "golden" / "published.npz")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    import_regions(toy.write_regions(folder), folder, folder / "toy.h5", progress=False)
    return Store(folder / "toy.h5")


@pytest.fixture(params=TASKS)
def task(request):
    return request.param


@pytest.fixture
def model(task, golden, tmp_path):
    shapes = dict(line.split(" ", 1) for line in golden[f"{task}_tensors"])
    net = {
        name: torch.from_numpy(
            toy.seeded(name, tuple(int(n) for n in shape.strip("()").split(",") if n.strip()))
        )
        for name, shape in shapes.items()
    }
    torch.save({"net": net, "epoch": 0}, tmp_path / "published.pt")
    return import_published(tmp_path / "published.pt")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-9)])
def test_outputs_equal_the_published_implementation(task, model, store, golden, dtype, tolerance):
    expected = golden[f"{task}_{dtype}"]
    model = model.to(getattr(torch, dtype))
    with torch.no_grad():
        output = torch.cat([model(batch) for batch in loader(store, batch_size=7)]).numpy()
    assert output.shape == expected.shape
    assert np.abs(output - expected).max() / np.abs(expected).max() < tolerance


def test_losses_of_five_adamw_steps_equal_the_published_implementation(task, model, store, golden):
    data = GeneDataset(store, TASKS[task])
    optimiser, losses = torch.optim.AdamW(model.parameters(), lr=1e-3), []
    for batch in loader(data, batch_size=4):
        if task == "reg":  # the published regressor's target: its labels, as its own data set makes them
            batch.target = torch.from_numpy(golden["reg_labels"])[batch.rows]
        loss = loss_of(model(batch), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.allclose(losses, golden[f"{task}_losses"], rtol=1e-5)
    with torch.no_grad():
        after = torch.cat([model(batch) for batch in loader(data)]).numpy()
    assert np.abs(after - golden[f"{task}_after"]).max() / np.abs(after).max() < 1e-5
