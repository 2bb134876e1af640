"""Train a network with folds held out, and predict with the models that training leaves."""

from .fit import fit, loss_of, new_optimiser, split_genes
from .models import held_out_genes, open_models
from .predict import evaluate, predict
from .recipe import NETWORKS, RECIPES, Recipe, network_and_recipe
from .run_folder import settings_of
