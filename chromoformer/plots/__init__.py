"""Figures: one function per figure, grouped by module; all of them are available from here."""

from .attention import attention_by_activity, attention_map, attention_parts, attention_profile
from .cell_types import by_quantile, compartment_track, gains, transfer_by_similarity, transfer_map
from .gene import gene
from .performance import (
    along,
    calibration_curve,
    forest,
    precision_recall,
    ranking,
    roc,
    scatter,
    training_curves,
    with_and_without,
)
from .regulation import (
    average_precisions,
    enrichment_bars,
    gene_places,
    planted_effects,
    scan_map,
    set_effects,
)
from .style import (
    BLUE,
    COLOURS,
    DASHES,
    GREEN,
    GREY,
    MARK_COLOURS,
    MARKERS,
    ORANGE,
    PINK,
    RED,
    SKY,
    STYLE,
    as_table,
    new_axis,
    save,
    signed,
    styled,
)
