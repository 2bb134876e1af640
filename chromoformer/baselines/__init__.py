"""Models that Chromoformer is compared with, under one `fit` and one `predict`."""

from .common import settings_for
from .registry import BASELINES, baseline_of, fit, predict, why_not
from .shallow import (
    SHALLOW,
    gene_body_features,
    genome_bin_features,
    out_of_fold,
    pcre_features,
    promoter_features,
)
