"""Ideas for the whole-gene network that are not part of the library; ingredients.py measures them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chromoformer.data.batches import Batch, loader
from chromoformer.data.store import Store
from chromoformer.data.whole_genes import PooledGenes
from chromoformer.model import checkpoint
from chromoformer.model import network as networks
from chromoformer.model.config import ChromoformerConfig
from chromoformer.model.network import Chromoformer
from chromoformer.model.whole_gene import GeneTransformer
from chromoformer.training import fit as fitting
from chromoformer.training.models import dataset_for

WIDTH = 5  # bins of the convolution
EPOCHS = 5  # of pretraining
HIDDEN = 0.3  # share of marks that are hidden in pretraining


class ConvolvedGenes(GeneTransformer):
    "`GeneTransformer` that adds to the marks of each bin what a convolution finds around it."

    def __init__(self, channels: int, *arguments):
        super().__init__(channels, *arguments)
        self.convolution = nn.Conv1d(channels, channels, WIDTH, padding=WIDTH // 2)

    def bins(self, features: Tensor, pooled: PooledGenes) -> Tensor:
        "Return scaled marks, with those around, and position features of each bin."
        every = super().bins(features, pooled)
        marks = every[:, : features.shape[1]]
        apart = torch.arange(len(marks)) + WIDTH * pooled.gene  # zeros between the genes
        spread = marks.new_zeros(int(apart[-1]) + 1, marks.shape[1]).index_copy(0, apart, marks)
        around = self.convolution(spread.T[None])[0].T[apart]
        return torch.cat([marks + around.relu(), every[:, marks.shape[1] :]], 1)


def convolution_first():
    "Let networks that are made meanwhile read marks through a convolution."
    return patch.object(networks, "GeneTransformer", ConvolvedGenes)


@contextmanager
def ranking_loss() -> Iterator[None]:
    "Add to the joint loss that of the order of all pairs of genes in a batch, by their expression."
    usual = fitting.joint_loss

    def with_order(output: Tensor, label: Tensor, expression: Tensor, weight: float) -> Tensor:
        apart = expression[:, None] - expression
        predicted = output[:, 2, None] - output[:, 2]
        order = F.softplus(-predicted[apart > 0]).mean()
        return usual(output, label, expression, weight) + weight * order

    with patch.object(fitting, "joint_loss", with_order):
        yield


def _marks_of(batch: Batch, model: Chromoformer) -> Tensor:  # (B, 2 * channels)
    "Return the mean scaled marks of each gene, in its promoter window and in all of it."
    size = min(model.config.bin_sizes)
    features, pooled = batch.gene_features(size)
    block = model.embedding[str(size)]
    scaled = (features - block.get_buffer("mean")) / block.get_buffer("deviation")
    means = []
    for near in (2000, 1 << 40):
        inside = (pooled.bases > 0) & (pooled.centre.abs() < near)
        sums = scaled.new_zeros(len(batch), scaled.shape[1]).index_add(0, pooled.gene[inside], scaled[inside])
        means.append(sums / torch.bincount(pooled.gene[inside], minlength=len(batch)).clamp(min=1)[:, None])
    return torch.cat(means, 1)


def pretrained(
    store: Store, folder: Path, config: ChromoformerConfig, held_out: Sequence[int], seed: int
) -> Path:
    """Train a network to predict marks that are hidden from it, on all genes of a store; return its folder.

    Expression is not read, except its scale on genes that are not held out.
    """
    torch.manual_seed(seed)
    model = Chromoformer(config)
    data = dataset_for(model, store, "cpu")
    rows = np.arange(len(data))
    training = ~data.genes["fold"].isin(held_out).to_numpy()
    known = np.log2(data.genes["expression"].to_numpy()[training] + 1)
    model.standardise_expression(torch.as_tensor(known, dtype=torch.float32))
    model.standardise(data.batch(rows[:: len(rows) // 512]))
    channels = len(config.channels)
    guess = nn.Linear(len(config.bin_sizes) * config.embedding.width, 2 * channels)
    optimiser = torch.optim.AdamW([*model.parameters(), *guess.parameters()], 1e-3)
    for epoch in range(EPOCHS):
        for batch in loader(data, rows, 64, shuffle=True, seed=seed, epoch=epoch):
            hidden = torch.rand(len(batch), channels) < HIDDEN
            seen = batch.scaled((~hidden).float())
            error = guess(model.explain(seen).embedding) - _marks_of(batch, model)
            loss = error[hidden.repeat(1, 2)].square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    checkpoint.save(model, folder, held_out)
    return folder
