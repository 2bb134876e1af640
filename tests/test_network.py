"""The fast network equals the paper's form, and the output for a gene depends on that gene alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import SMALL, write_toy_store
from hypothesis import given, settings
from hypothesis import strategies as st

from chromoformer.data.batches import GeneDataset
from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.model.config import BlockConfig, ChromoformerConfig
from chromoformer.model.network import Chromoformer, predicted_values, random_batch
from chromoformer.model.paper import PaperChromoformer
from chromoformer.model.whole_gene import WholeGeneChromoformer


def network(config, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    model = Chromoformer(config).to(dtype)
    for name, parameter in model.named_parameters():
        if "gamma" in name or "norm" in name:  # not at their initial values, where errors could hide
            torch.nn.init.normal_(parameter, 1.0, 0.3)
    return model


@st.composite
def configurations(draw):
    width = draw(st.sampled_from([4, 8, 16]))

    def block(layers):
        heads = draw(st.sampled_from([1, 2, 4]))
        return BlockConfig(
            draw(st.integers(1, layers)),
            heads,
            width,
            heads * draw(st.integers(1, 5)),
            draw(st.integers(1, 20)),
        )

    bins = draw(st.lists(st.sampled_from([100, 200, 400, 1000]), min_size=1, max_size=4, unique=True))
    bins = [size for size in bins if size % min(bins) == 0]
    return ChromoformerConfig(
        channels=tuple("abcdefgh"[: draw(st.integers(1, 8))]),
        window=draw(st.sampled_from([2000, 4000, 10_000])),
        bin_sizes=tuple(bins),
        max_pcres=draw(st.integers(0, 10)),
        contacts=draw(st.booleans()),
        task=draw(st.sampled_from(["classification", "regression"])),
        embedding=block(3),
        pairwise=block(3),
        regulation=block(4),
        head_width=draw(st.integers(1, 9)),
    )


@settings(max_examples=30, deadline=None)
@given(configurations(), st.integers(0, 1000))
def test_fast_network_equals_paper_form_in_outputs_and_gradients(config, seed):
    model, batch = network(config, seed=seed), random_batch(4, config, seed)
    paper = PaperChromoformer.from_model(model)
    fast, full = model(batch), paper(batch)
    assert torch.allclose(fast, full, rtol=1e-12, atol=1e-13)
    parameters = dict(model.named_parameters())
    assert list(parameters) == [name for name, _ in paper.named_parameters()]
    a = torch.autograd.grad(fast.square().sum(), list(model.parameters()), allow_unused=True)
    b = torch.autograd.grad(full.square().sum(), list(paper.parameters()), allow_unused=True)
    for name, left, right in zip(parameters, a, b):
        left, right = (torch.zeros_like(parameters[name]) if g is None else g for g in (left, right))
        scale = max(right.abs().max().item(), 1e-3)
        assert (left - right).abs().max().item() <= 1e-11 * scale, name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_prediction_is_independent_of_batch_order_and_padding(tmp_path, dtype, tolerance):
    data, model = GeneDataset(Store(write_toy_store(tmp_path / "toy.h5"))), network(SMALL, dtype)
    with torch.no_grad():
        together = model(data.batch(range(60)))
        order = np.random.default_rng(0).permutation(60)
        shuffled = model(data.batch(order))
        alone = torch.cat([model(data.batch([row])) for row in range(60)])
    assert (together - alone).abs().max() < tolerance
    assert (together[order] - shuffled).abs().max() < tolerance


def test_prediction_is_independent_of_the_order_of_pcres():
    model, batch = network(SMALL), random_batch(5, SMALL)
    order = torch.randperm(len(batch.gene), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(batch)
        bins = -(-batch.pcre_length // batch.bin_size)
        batch.pcre = torch.cat([batch.pcre.split(bins.tolist())[pcre] for pcre in order])
        for name in ("pcre_length", "gene", "slot", "score"):
            setattr(batch, name, getattr(batch, name)[order])
        assert torch.allclose(model(batch), expected, rtol=1e-12, atol=1e-13)


def test_contact_scores_are_ignored_without_contacts_setting():
    batch, doubled = random_batch(5, SMALL), random_batch(5, SMALL)
    doubled.score = doubled.score * 2
    with torch.no_grad():
        model = network(SMALL)
        assert not torch.allclose(model(batch), model(doubled))
        blind = network(replace(SMALL, contacts=False))
        assert torch.equal(blind(batch), blind(doubled))


def test_bins_outside_promoter_window_are_ignored():
    narrow = ChromoformerConfig(**{**SMALL.to_dict(), "promoter_window": 2000})
    model, batch = network(narrow), random_batch(3, narrow)
    with torch.no_grad():
        expected = model(batch)
        batch.promoter[:, :10] = 1e6
        batch.promoter[:, 30:] = 1e6
        assert torch.equal(model(batch), expected)


def test_attention_weights_sum_to_one_and_ignore_padding():
    model, batch = network(SMALL), random_batch(6, SMALL)
    explanation = model.explain(batch)
    for size, promoter in zip(SMALL.bin_sizes, explanation.promoter):
        padding = batch.promoter_features(size)[1]
        assert torch.allclose(promoter.sum(-1), torch.ones(1, dtype=torch.float64))
        assert (promoter.masked_select(padding[:, None].expand_as(promoter)) == 0).all()
    for weights in [w for layers in (*explanation.pairwise, *explanation.regulation) for w in layers]:
        assert torch.allclose(weights.sum(-1), torch.ones(1, dtype=torch.float64))


@pytest.mark.parametrize(
    ("batch_config", "message"),
    [
        ({"channels": ("H3K4me3",)}, "1 channels, the network reads 2"),
        ({"window": 8000}, "windows of 8000 bp"),
        ({"bin_sizes": (1000,)}, "cannot be pooled"),
    ],
)
def test_batch_that_does_not_fit_network_is_refused(batch_config, message):
    model, batch = (
        network(SMALL),
        random_batch(3, ChromoformerConfig(**{**SMALL.to_dict(), **batch_config})),
    )
    with pytest.raises(InputError, match=message):
        model(batch)


@pytest.mark.parametrize(
    "values",
    [
        {"bin_sizes": (3000,)},
        {"bin_sizes": ()},
        {"channels": ()},
        {"task": "ranking"},
        {"max_pcres": -1},
        {"widow": 1},
        {"promoter_window": 80_000},
        {"embedding": {"layers": 1, "heads": 3, "width": 8, "attention_width": 8, "feed_forward_width": 8}},
    ],
)
def test_impossible_settings_are_refused(values):
    with pytest.raises(InputError, match="network configuration"):
        ChromoformerConfig(**values)


def test_predicted_value_is_probability_or_output():
    assert torch.allclose(predicted_values(torch.tensor([[0.3, 1.3]])), torch.sigmoid(torch.tensor([1.0])))
    assert predicted_values(torch.tensor([[2.5]])).tolist() == [2.5]


def test_mixed_precision_has_finite_gradients_and_close_outputs():
    config = ChromoformerConfig()
    model, batch = network(config, torch.float32), random_batch(8, config)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(batch).float()
    mixed.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert torch.allclose(mixed, model(batch), rtol=0.05, atol=0.05)


def test_padded_bins_and_dummies_change_nothing_in_paper_form():
    batch, more_slots = random_batch(4, SMALL), replace(SMALL, max_pcres=12)
    model = network(SMALL)
    paper, wider = PaperChromoformer.from_model(model), PaperChromoformer(more_slots).double()
    wider.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.allclose(paper(batch), wider(batch), rtol=1e-12, atol=1e-13)


def test_paper_form_loads_fast_weights_and_back():
    model = network(SMALL)
    paper = PaperChromoformer.from_model(model)
    again = Chromoformer(SMALL).double()
    again.load_state_dict(paper.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("max_pcres", [0, 3])
def test_more_pcres_than_a_network_reads_are_refused(max_pcres):
    batch = random_batch(4, SMALL)
    fewer = replace(SMALL, max_pcres=max_pcres)
    model = network(fewer)
    for form in (model, model.explain, PaperChromoformer.from_model(model)):
        with pytest.raises(InputError, match="use `dataset_for") as error:
            form(batch)
        assert f"reads {max_pcres} per gene" in str(error.value)
    kept = random_batch(4, fewer)
    assert torch.equal(model(kept), model.explain(kept).output)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_paper_form_of_a_joint_network_computes_its_task(task):
    config = replace(SMALL, joint=True, task=task, dropout=0.2)
    model, batch = network(config).eval(), random_batch(4, config)
    model.standardise_expression(torch.tensor([1.0, 3.0, 8.0]))
    paper = PaperChromoformer.from_model(model)
    with torch.no_grad():
        assert torch.allclose(model(batch), paper(batch), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("form", "changes"),
    [
        (PaperChromoformer, {"prior": True}),
        (PaperChromoformer, {"span": "gene"}),
        (WholeGeneChromoformer, {}),
        (WholeGeneChromoformer, {"span": "gene", "prior": True}),
    ],
)
def test_networks_without_a_paper_form_are_refused(form, changes):
    with pytest.raises(InputError, match=f"{form.__name__} has no form of a network"):
        form.from_model(network(replace(SMALL, **changes)))
