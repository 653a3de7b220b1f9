"""Several events as one."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
import numpy.typing as npt

from sparseclust.data._duplicates import PRECEDENCE, coalesce_event
from sparseclust.data._event import Event


def overlay_events(events: Sequence[Event], *, precedence: Sequence[int] = PRECEDENCE) -> Event:
    """Lay events over one another.

    Parameters
    ----------
    events : sequence of Event
        At least one, with the same ``ndim`` and features.
    precedence : sequence of int
        Who owns a voxel that several events have: see :func:`coalesce_event`.

    Returns
    -------
    Event
        One row per voxel. Instance ids stay different: those of each event are raised above those before it;
        -1 stays. Truth is None if any event lacks it. ``extra`` has one column, ``event``: the place of the
        event that owns the voxel; the columns of the events mean something only within them.

    Raises
    ------
    ValueError
        If there is no event, or they do not fit together.

    Examples
    --------
    >>> from sparseclust.data import Event, overlay_events
    >>> shower = Event([[0, 0], [0, 1]], [1.0, 1.0], semantic=[0, 0], instance=[3, 3])
    >>> track = Event([[0, 1], [0, 2]], [2.0, 2.0], semantic=[1, 1], instance=[0, 0])
    >>> both = overlay_events([shower, track])
    >>> both.energy.tolist(), both.semantic.tolist(), both.instance.tolist()
    ([1.0, 3.0, 2.0], [0, 1, 1], [3, 4, 4])
    """
    if len({(event.ndim, event.feats.shape[1]) for event in events}) != 1:
        raise ValueError(
            f"expected at least one event, all of the same ndim and features, got {list(events)}"
        )
    together = Event(
        np.concatenate([event.coords for event in events]),
        np.concatenate([event.feats for event in events]),
        _joined([event.semantic for event in events]),
        _joined(_different([event.instance for event in events])),
        extra={"event": np.repeat(np.arange(len(events)), [len(event) for event in events])},
    )
    return coalesce_event(together, precedence=precedence)[0]


@dataclass(frozen=True)
class MixEvents:
    """Lay another event over this one, with some probability.

    Parameters
    ----------
    events : sequence of Event
        Where the other event is drawn from, e.g. the training file.
    probability : float
        From 0 to 1.
    precedence : sequence of int
        See :func:`overlay_events`.

    Notes
    -----
    The other event comes as it is: put transforms of both after this one, and ``RandomSymmetry`` of this one
    before it, so that the same two events do not always meet in the same way. Columns of ``extra`` are left
    out of every event, mixed or not.

    Examples
    --------
    >>> import numpy as np
    >>> from sparseclust.data import Compose, Event, MixEvents, RandomSymmetry
    >>> events = [Event([[i, i, i]], [1.0]) for i in range(10)]
    >>> augment = Compose([RandomSymmetry(768), MixEvents(events, probability=1.0)])
    >>> len(augment(events[0], np.random.default_rng(0)))
    2
    """

    events: Sequence[Event]
    _: KW_ONLY
    probability: float = 0.5
    precedence: Sequence[int] = PRECEDENCE

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability must be in [0, 1], got {self.probability}")
        if len(self.events) == 0:
            raise ValueError("there are no events to mix with")

    def __call__(self, event: Event, rng: np.random.Generator) -> Event:
        """Transform the event."""
        mixed = [event]
        if rng.random() < self.probability:
            mixed.append(self.events[int(rng.integers(len(self.events)))])
        return overlay_events(mixed, precedence=self.precedence)


def _joined(labels: Sequence[npt.NDArray[np.int64] | None]) -> npt.NDArray[np.int64] | None:
    known = [values for values in labels if values is not None]
    return np.concatenate(known) if len(known) == len(labels) else None


def _different(
    instances: Sequence[npt.NDArray[np.int64] | None],
) -> Sequence[npt.NDArray[np.int64] | None]:
    """Raise the ids of each event above those before it."""
    raised: list[npt.NDArray[np.int64] | None] = []
    free = 0
    for instance in instances:
        if instance is None:
            return instances
        raised.append(np.where(instance < 0, instance, instance + free))
        free += int(instance.max(initial=-1)) + 1
    return raised
