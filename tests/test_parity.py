"""Outputs, inputs and optimiser steps equal those of the published implementation on real genes."""

import numpy as np
import pytest
import torch

from chromoformer.data.batches import GeneDataset, loader
from chromoformer.data.store import Store
from chromoformer.model.checkpoint import export_published, import_published

TASKS = {"clf": "classification", "reg": "regression"}


@pytest.fixture(scope="module")
def store(demo_store):
    return Store(demo_store)


@pytest.fixture(params=TASKS)
def reference(request, real_data):
    folder = real_data / "e003_demo"
    return (
        request.param,
        np.load(folder / f"reference_small_{request.param}.npz"),
        folder / f"reference_small_{request.param}.pt",
    )


def outputs(store, model, genes):
    with torch.no_grad():
        return torch.cat([model(batch) for batch in loader(store, list(genes), batch_size=32)])


def largest_difference(found, expected):
    "Largest difference over largest output."
    expected = torch.from_numpy(expected)
    assert found.shape == expected.shape
    return ((found - expected).abs().max() / expected.abs().max()).item()


def test_float32_outputs_equal_reference_for_all_demo_genes(store, reference):
    _, expected, checkpoint = reference
    output = outputs(store, import_published(checkpoint), expected["gene_id"])
    assert largest_difference(output, expected["output_float32"]) < 1e-5


def test_float64_outputs_equal_reference_for_all_demo_genes(store, reference, request):
    """The bound is 1e-9 of the largest output.

    The classifier misses it with 1.05e-9, because of one gene; the next test shows why.
    """
    task, expected, checkpoint = reference
    if task == "clf":
        request.applymarker(
            pytest.mark.xfail(
                strict=True, reason="gene 93: one logarithm of the reference is rounded the other way"
            )
        )
    output = outputs(store, import_published(checkpoint).double(), expected["gene_id"])
    assert largest_difference(output, expected["output_float64"]) < 1e-9


def test_remaining_float64_difference_is_the_rounding_of_one_logarithm(store, reference, monkeypatch):
    """99 genes agree to 1e-11; with one input rounded as the reference rounds it, all 100 do.

    The reference's float32 logarithm is not the nearest float32 number for a handful of the 470,899 inputs.
    One of them,
    ln(7.408) in gene 93, moves an output of the classifier by 1.2e-9.
    """
    _, expected, checkpoint = reference
    output = outputs(store, import_published(checkpoint).double(), expected["gene_id"])
    others = np.arange(len(output)) != 93
    assert largest_difference(output[others], expected["output_float64"][others]) < 1e-11

    nearest, argument = torch.log, np.float32(7.408)
    next_above = np.nextafter(np.float32(np.log(argument, dtype=np.float64)), np.float32(3))
    monkeypatch.setattr(
        "chromoformer.data.batches.torch.log", lambda x: torch.where(x == argument, next_above, nearest(x))
    )
    output = outputs(store, import_published(checkpoint).double(), expected["gene_id"])
    assert largest_difference(output, expected["output_float64"]) < 1e-11


def test_binned_inputs_equal_reference_bit_for_bit(store, real_data):
    expected = np.load(real_data / "e003_demo" / "reference_inputs_first4.npz")
    batch = GeneDataset(store).batch(store.gene_rows(expected["gene_id"]))
    for size in (2000, 500, 100):
        promoter, padding = batch.promoter_features(size)
        assert np.array_equal(promoter.numpy(), expected[f"promoter_feats_{size}"][:, 0])
        assert np.array_equal(padding.numpy(), expected[f"promoter_key_mask_{size}"])
        ((found, masked, start),) = batch.pcre_features(size)
        pcre, mask = np.zeros((4, 8, 40_000 // size, 7), np.float32), np.ones((4, 8, 40_000 // size), bool)
        for gene, slot, values, hidden in zip(batch.gene, batch.slot, found.numpy(), masked.numpy()):
            pcre[gene, slot - 1, start : start + len(values)] = values
            mask[gene, slot - 1, start : start + len(values)] = hidden
        assert np.array_equal(pcre, expected[f"pcre_feats_{size}"])
        real = ~expected[f"pcre_key_mask_{size}"].all(-1)  # dummies are masked whole
        assert np.array_equal(mask[real], expected[f"pcre_key_mask_{size}"][real])
    contact = np.zeros((4, 9, 9), np.float32)
    contact[batch.gene, 0, batch.slot] = batch.score
    assert np.array_equal(contact, expected["interaction_freq"])


def test_five_adamw_steps_equal_reference_losses_and_outputs(store, reference):
    task, expected, checkpoint = reference
    model = import_published(checkpoint)
    data = GeneDataset(store, task=TASKS[task])
    optimiser = torch.optim.AdamW(model.parameters(), lr=float(expected["adamw_lr"]))
    losses = []
    for batch in loader(data, list(expected["gene_id"]), batch_size=int(expected["batch_size"])):
        output = model(batch)
        loss = (
            torch.nn.functional.cross_entropy(output, batch.target)
            if task == "clf"
            else torch.nn.functional.mse_loss(output[:, 0], batch.target)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.allclose(losses, expected["losses_five_steps"], rtol=1e-4)
    with torch.no_grad():
        output = torch.cat([model(batch) for batch in loader(data, list(expected["gene_id"]))]).numpy()
    assert np.abs(output - expected["output_after_five_steps"]).max() / np.abs(output).max() < 1e-4


def test_published_checkpoint_is_unchanged_by_import_and_export(reference, tmp_path):
    _, _, checkpoint = reference
    model = import_published(checkpoint)
    export_published(model, tmp_path / "again.pt")
    again = import_published(tmp_path / "again.pt")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters()))
    original = import_net(checkpoint)
    exported = import_net(tmp_path / "again.pt")
    assert {name: tensor.shape for name, tensor in original.items()} == {
        name: tensor.shape for name, tensor in exported.items()
    }


def import_net(path):
    from chromoformer.model.checkpoint import _read_published

    return _read_published(path)["net"]
