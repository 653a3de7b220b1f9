"""Event displays, score plots and the self-contained HTML report (extra ``vis``: plotly, matplotlib)."""

from sparseclust.vis._blocks import ReportEvent
from sparseclust.vis._embeddings import plot_embeddings
from sparseclust.vis._figures import plot_comparison, plot_event
from sparseclust.vis._report import ReportTable, write_report
from sparseclust.vis._scores import plot_scores
from sparseclust.vis._thresholds import plot_thresholds
from sparseclust.vis._trends import plot_trends

__all__ = [
    "ReportEvent",
    "ReportTable",
    "plot_comparison",
    "plot_embeddings",
    "plot_event",
    "plot_scores",
    "plot_thresholds",
    "plot_trends",
    "write_report",
]
