"""Tables of scores -> the numbers one prints: means, quantiles, error bars."""

from typing import Literal

import numpy as np

from sparseclust.metrics._events import StructuredArray
from sparseclust.metrics._labels import FloatArray, IntArray

Weight = Literal["event", "cluster", "point"]

_WEIGHT_FIELDS = {"event": None, "cluster": "n_true", "point": "n_points"}
# Twentieths: quantiles of integer weights are then found in integers.
_QUANTILES = {"q05": 1, "q25": 5, "median": 10, "q75": 15, "q95": 19}
_STATISTICS = np.dtype(
    [(name, np.float64) for name in ("mean", *_QUANTILES)] + [("count", np.int64), ("n_undefined", np.int64)]
)
_TOTALS = ("n_true", "n_pred", "n_points")


def summarize_scores(
    table: StructuredArray, *, by: Literal["semantic"] | None = "semantic", weight: Weight = "event"
) -> StructuredArray:
    """Reduce a table of scores to means and quantiles, per class or over all rows.

    Parameters
    ----------
    table : (g,) structured array
        From :func:`score_events`. Every floating-point field is a score, so own columns may be added; tables
        of several runs are joined by ``np.concatenate``.
    by : {"semantic", None}
        One row per class, ascending, or a single row over everything, whose ``semantic`` is -1.
    weight : {"event", "cluster", "point"}
        What a row of the table counts: 1, its true clusters, or its points.

    Returns
    -------
    (c,) structured array
        Fields ``semantic``, ``n_rows``, ``n_true``, ``n_pred``, ``n_points`` (sums), then one record per
        score with ``mean``, ``q05``, ``q25``, ``median``, ``q75``, ``q95``, ``count`` (rows that
        define the score) and ``n_undefined`` (rows where it is ``nan``, left out of the others). So
        ``summary["ari"]["mean"]`` is the mean ARI of each class. Statistics of no rows are ``nan``.

    Raises
    ------
    TypeError, ValueError
        If ``table`` is no structured array with the fields that are needed, or an option is unknown.

    Notes
    -----
    A quantile q is the smallest score at which the rows up to it carry at least the fraction q of the weight:
    a score that occurs. Class rows and the total have one layout: ``np.concatenate`` joins them to one table.

    Three means of one table differ, and all are in use: of the rows (``by=None``), of the rows weighted by
    instances (``by=None, weight="cluster"``), and the unweighted mean of the class means
    (``summarize_scores(table)["ari"]["mean"].mean()``). Say which one you quote.

    Examples
    --------
    >>> from sparseclust.metrics import score_events, summarize_scores
    >>> table = score_events([0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, 1], event=[7, 7, 7, 7, 8, 8])
    >>> summarize_scores(table)["ari"]["mean"]
    array([0.5])
    >>> summarize_scores(table, weight="point")["ari"]["mean"].round(3)
    array([0.667])
    """
    if by not in ("semantic", None):
        raise ValueError(f'by must be "semantic" or None, got {by!r}')
    weights = _weights(table, weight)
    if by is None:
        parts = {-1: slice(None)}
    else:
        _require(table, "semantic")
        parts = {int(value): table["semantic"] == value for value in np.unique(table["semantic"])}
    scores = _score_names(table)
    integers = [(name, np.int64) for name in ("semantic", "n_rows", *_TOTALS)]
    summary = np.zeros(len(parts), integers + [(name, _STATISTICS) for name in scores])
    for row, (value, part) in zip(summary, parts.items()):
        row["semantic"] = value
        row["n_rows"] = len(table[part])
        for name in _TOTALS:
            row[name] = table[name][part].sum()
        for name in scores:
            row[name] = _statistics(table[name][part], weights[part])
    return summary


def bootstrap(
    table: StructuredArray, *, rng: np.random.Generator, n: int = 1000, weight: Weight = "event"
) -> StructuredArray:
    """Error bars of the mean scores, by drawing events with replacement.

    Parameters
    ----------
    table : (g,) structured array
        From :func:`score_events`. For one class: ``table[table["semantic"] == 1]``.
    rng : numpy.random.Generator
        Source of the draws.
    n : int
        Number of draws.
    weight : {"event", "cluster", "point"}
        As in :func:`summarize_scores`.

    Returns
    -------
    () structured array
        One record per score: ``mean`` (of the table), ``std`` (standard error) and ``low``, ``high`` (central
        95 % of the draws). ``nan`` where nothing is defined.

    Raises
    ------
    TypeError, ValueError
        If ``table`` is no structured array with the fields that are needed, or an option is out of range.

    Notes
    -----
    Whole events are drawn, as the classes of an event share its difficulty. Rows that are ``nan`` are left
    out. O(n events) time; memory does not grow with n.

    References
    ----------
    Efron, Bootstrap methods: another look at the jackknife, Annals of Statistics 7 (1979).

    Examples
    --------
    >>> import numpy as np
    >>> from sparseclust.metrics import bootstrap, score_events
    >>> labels = np.random.default_rng(0).integers(0, 3, (2, 4000))
    >>> table = score_events(labels[0], labels[1], event=np.arange(4000) // 10)
    >>> error = bootstrap(table, rng=np.random.default_rng(1))["ari"]
    >>> bool(error["low"] < 0 < error["high"]), bool(0.005 < error["std"] < 0.015)
    (True, True)
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    weights = _weights(table, weight)
    _require(table, "event")
    scores = _score_names(table)
    events, row_event = np.unique(table["event"], return_inverse=True)
    values = np.stack([table[name] for name in scores])
    defined = ~np.isnan(values)
    sums = [
        np.bincount(row_event, weights=row, minlength=len(events))
        for row in (*np.where(defined, values * weights, 0.0), *(defined * weights))
    ]
    per_event: FloatArray = np.stack(sums, axis=1, dtype=np.float64)
    draws = np.array([_means(_draw(per_event, rng)) for _ in range(n)])
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    columns = {"mean": _means(per_event.sum(axis=0)), "std": draws.std(axis=0), "low": low, "high": high}
    errors = np.zeros((), [(name, [(field, np.float64) for field in columns]) for name in scores])
    for k, name in enumerate(scores):
        errors[name] = tuple(column[k] for column in columns.values())
    return errors


def _draw(per_event: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Column sums over as many events, drawn with replacement."""
    events = len(per_event)
    times = np.bincount(rng.integers(events, size=events), minlength=events)
    sums: FloatArray = times @ per_event
    return sums


def _means(sums: FloatArray) -> FloatArray:
    """Weighted sums, then weights -> means, nan where no weight is left."""
    total, weight = np.split(sums, 2)
    means: FloatArray = np.divide(total, weight, out=np.full(len(total), np.nan), where=weight > 0)
    return means


def _statistics(scores: FloatArray, weights: IntArray) -> tuple[float | int, ...]:
    """One record of ``_STATISTICS``."""
    defined = ~np.isnan(scores)
    scores, weights = scores[defined], weights[defined]
    if len(scores) == 0:
        return (*[np.nan] * (1 + len(_QUANTILES)), 0, len(defined))
    order = np.argsort(scores, kind="stable")
    below = np.cumsum(weights[order])
    at = np.searchsorted(20 * below, np.array(list(_QUANTILES.values())) * below[-1])
    mean = np.dot(scores, weights) / below[-1]
    return (mean, *scores[order[at]], len(scores), len(defined) - len(scores))


def _weights(table: StructuredArray, weight: Weight) -> IntArray:
    if weight not in _WEIGHT_FIELDS:
        raise ValueError(f"weight must be one of {', '.join(map(repr, _WEIGHT_FIELDS))}, got {weight!r}")
    _require(table, *_TOTALS)
    field = _WEIGHT_FIELDS[weight]
    return np.ones(len(table), np.int64) if field is None else table[field]


def _score_names(table: StructuredArray) -> list[str]:
    return [name for name in table.dtype.names or () if table.dtype[name].kind == "f"]


def _require(table: StructuredArray, *fields: str) -> None:
    names = getattr(table, "dtype", np.dtype(object)).names
    if names is None:
        raise TypeError(
            f"table must be a structured array, as score_events returns, got {type(table).__name__}"
        )
    if missing := [field for field in fields if field not in names]:
        raise ValueError(
            f"table lacks the fields {missing}; it has {list(names)}. score_events makes such a table"
        )
