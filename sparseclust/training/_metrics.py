"""The partition scores as a torchmetrics metric."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from sparseclust._optional import require
from sparseclust.metrics import PartitionScores, score_events, summarize_scores

if TYPE_CHECKING:
    import torchmetrics
else:
    torchmetrics = require("torchmetrics", extra="train")

# One record per (event, class): 64-bit integers and floats.
_RECORD = score_events([], [], event=[]).dtype
_SCORES = tuple(name for name in PartitionScores._fields if _RECORD[name].kind == "f")


class PartitionMetric(torchmetrics.Metric):
    """Mean partition scores over events, on any number of processes.

    Parameters
    ----------
    by : {"semantic", None}
        Means for each semantic class, or over all rows, see :func:`sparseclust.metrics.summarize_scores`.
    weight : {"event", "cluster", "point"}
        What one event, or one class of it, counts in the mean: 1, its true clusters, or its points.
    **kwargs
        Passed to :class:`torchmetrics.Metric`.

    Raises
    ------
    ValueError
        If an option is unknown.

    Notes
    -----
    All points of an event belong in one update: it is scored there, by
    :func:`sparseclust.metrics.score_events` on the CPU, and only its scores are kept and gathered, never its
    labels. So event numbers may repeat from one update, or one process, to the next.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.training import PartitionMetric
    >>> metric = PartitionMetric()
    >>> true, event = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 0, 0])
    >>> metric.update(true, torch.tensor([3, 3, 2, 2]), event)
    >>> metric.update(true, torch.tensor([5, 5, 5, 7]), event)
    >>> scores = metric.compute()
    >>> scores["ari"].item(), round(scores["sbd"].item(), 4)
    (0.5, 0.8667)
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    records: list[torch.Tensor] | torch.Tensor

    def __init__(
        self,
        *,
        by: Literal["semantic"] | None = None,
        weight: Literal["event", "cluster", "point"] = "event",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        summarize_scores(np.zeros(0, _RECORD), by=by, weight=weight)  # refuses unknown options
        self.by = by
        self.weight = weight
        self.add_state("records", default=[], dist_reduce_fx="cat")

    def update(
        self,
        labels_true: torch.Tensor,
        labels_pred: torch.Tensor,
        event: torch.Tensor,
        semantic: torch.Tensor | None = None,
    ) -> None:
        """Score some events.

        Parameters
        ----------
        labels_true, labels_pred, event : (n,) integer tensors
            As in :func:`sparseclust.metrics.score_events`.
        semantic : (n,) integer tensor, optional
            Semantic class of each point; without it the class is -1.

        Raises
        ------
        TypeError, ValueError
            If a tensor is no (n,) tensor of whole numbers, or the lengths differ.
        """
        true, pred, events = (values.detach().cpu().numpy() for values in (labels_true, labels_pred, event))
        classes = None if semantic is None else semantic.detach().cpu().numpy()
        table = score_events(true, pred, event=events, semantic=classes)
        assert isinstance(self.records, list)
        self.records.append(self._as_tensor(table))

    def compute(self) -> dict[str, torch.Tensor]:
        """Reduce the scores to means.

        Returns
        -------
        dict of str to () float64 tensor
            ``"ari"``, ``"purity"`` and so on, ``nan`` before any event; with ``by="semantic"``
            ``"ari/<class>"`` and so on for the classes that occurred.
        """
        parts = [self.records] if isinstance(self.records, torch.Tensor) else self.records
        table = np.concatenate([np.zeros(0, _RECORD), *(_as_table(part) for part in parts)])
        return {
            name if self.by is None else f"{name}/{row['semantic']}": torch.tensor(
                row[name]["mean"], device=self.device
            )
            for row in summarize_scores(table, by=self.by, weight=self.weight)
            for name in _SCORES
        }

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the records of all processes; one that saw no event takes part with none."""
        if len(self.records) == 0:
            self.records = [self._as_tensor(np.zeros(0, _RECORD))]
        super().sync(*args, **kwargs)

    def _as_tensor(self, table: npt.NDArray[Any]) -> torch.Tensor:
        """Return records as rows of 64-bit words, which is what processes can exchange."""
        words = table.view(np.int64).reshape(len(table), _RECORD.itemsize // 8)
        return torch.from_numpy(words).to(self.device)


def _as_table(words: torch.Tensor) -> npt.NDArray[Any]:
    return words.cpu().numpy().view(_RECORD)[:, 0]
