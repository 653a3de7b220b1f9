"""The tables of the metrics page: every number is computed when the pages are built.

Programs that cannot be installed beside the rest are quoted instead: their columns say "recorded".
"""

import importlib.util
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn import metrics as scikit_learn
from torchmetrics.functional import clustering as torchmetrics

from sparseclust import metrics
from sparseclust.metrics import _reference
from sparseclust.training import PUBLISHED

Labels = npt.NDArray[np.int64]
Row = dict[str, Any]

# What spine.math.metrics returned under the version named, by score and input.
SPINE_RECORDED = "1.4.3"
SPINE: Mapping[str, Mapping[str, float]] = {
    "ari": {
        "10,000 points": 0.6399639927985596,
        "100,000 points": 0.6399963999279986,
        "200,000 points": 0.8127279272176906,
        "1,000,000 points": 0.8199964991757012,
        "a label −1": 0.2222222222222222,
        "crossed": -0.25,
        "one point": math.nan,
        "one cluster": 1.0,
        "every point alone": 1.0,
        "no points": math.nan,
    },
    "ami": {
        "a label −1": 0.02761070694552861,
        "crossed": -0.6309297535714573,
        "one point": 1.0,
        "one cluster": 1.0,
        "every point alone": 1.0,
        "no points": math.nan,
    },
}


def halves(n: int) -> tuple[Labels, Labels]:
    """Two halves; every tenth point is predicted to lie in the other one."""
    point = np.arange(n)
    true = 2 * point // n
    return true, np.where(point % 10 == 0, 1 - true, true)


LARGE = {f"{n:,} points": halves(n) for n in (10_000, 100_000, 200_000, 1_000_000)}
SMALL = {
    name: (np.array(true, np.int64), np.array(pred, np.int64))
    for name, true, pred in (
        ("a label −1", [0, 0, 0, 1, 1, 2, 2, 2], [0, 0, -1, -1, 1, 1, 2, 2]),
        ("crossed", [0, 0, 1, 1, 2, 2], [0, 1, 2, 0, 1, 2]),
    )
}
EDGES = {
    "one point": (np.array([0]), np.array([0])),
    "one cluster": (np.zeros(4, np.int64), np.zeros(4, np.int64)),
    "every point alone": (np.arange(4), np.arange(4)),
    "no points": (np.zeros(0, np.int64), np.zeros(0, np.int64)),
}


# ------------------------------------------------------------------------------------------------ the tables
def ari_of_large_inputs() -> list[Row]:
    """ARI where products of pair counts outgrow 64-bit integers."""
    return compare("ari", LARGE, exact_ari)


def ari_of_small_inputs() -> list[Row]:
    """ARI of inputs that one can check by hand."""
    return compare("ari", SMALL, lambda *pair: float(_reference.adjusted_rand_score(*pair)))


def ami_of_small_inputs() -> list[Row]:
    """AMI of the same inputs."""
    return compare("ami", SMALL, exact_ami)


def conventions() -> list[Row]:
    """Score inputs where the formulas read 0/0, or where there is nothing to score."""
    return [
        {"score": score.upper()} | row for score in ("ari", "ami", "nmi") for row in compare(score, EDGES)
    ]


def averages() -> list[Row]:
    """Purity and efficiency of one large cluster that is found and small ones that are not."""
    true = np.repeat([0, 1, 2, 3], [97, 1, 1, 1])
    pred = np.repeat([0, 1], [97, 3])
    return [
        {
            "score": score.__name__,
            "mean over clusters": score(true, pred),
            "mean over points": score(true, pred, average="point"),
        }
        for score in (metrics.purity, metrics.efficiency)
    ]


def joined_events() -> list[Row]:
    """Events scored one by one, and as one large partition whose clusters never cross events."""
    true = np.repeat([0, 1, 0, 1], [50, 50, 450, 450])
    pred = np.concatenate([np.repeat([0, 1], 25), np.repeat([0, 1], 25), np.repeat([0, 1], 450)])
    event = np.repeat([0, 1], [100, 900])
    table = metrics.score_events(true, pred, event=event)
    joined = metrics.score_partition(2 * event + true, 2 * event + pred)
    mean = metrics.summarize_scores(table, by=None)[0]
    return [
        {
            "score": name,
            "event 0, 100 points": table[name][0],
            "event 1, 900 points": table[name][1],
            "mean of the events": mean[name]["mean"],
            "one partition of 1000 points": getattr(joined, name),
        }
        for name in ("ari", "purity", "efficiency", "sbd")
    ]


# Events out of 100 that hold a class, and its instances in each. Made up: the publication names neither.
COMPOSITION = {"SHOWER": (80, 3), "TRACK": (100, 3), "MICHEL": (50, 1), "DELTA": (70, 2)}


def published_like_table() -> npt.NDArray[Any]:
    """Return a table of scores with the published mean ARI in every row of a class."""
    columns = [
        (event, semantic, scores["ari"], COMPOSITION[semantic.name][1])
        for semantic, scores in PUBLISHED.items()
        for event in range(COMPOSITION[semantic.name][0])
    ]
    table = np.zeros(len(columns), metrics.score_events([], [], event=[]).dtype)
    for name, column in zip(("event", "semantic", "ari", "n_true"), zip(*columns)):
        table[name] = column
    return table


def classes() -> list[Row]:
    """List what enters the three means."""
    return [
        {
            "class": semantic.name.lower(),
            "published ARI": scores["ari"],
            "events that hold it": COMPOSITION[semantic.name][0],
            "instances in each": COMPOSITION[semantic.name][1],
        }
        for semantic, scores in PUBLISHED.items()
    ]


def three_means() -> list[Row]:
    """Reduce one table in three ways."""
    table = published_like_table()
    per_class = metrics.summarize_scores(table)["ari"]["mean"].mean()
    rows = metrics.summarize_scores(table, by=None)[0]["ari"]["mean"]
    instances = metrics.summarize_scores(table, by=None, weight="cluster")[0]["ari"]["mean"]
    return [
        {
            "mean over": "classes",
            "computed by": '`summarize_scores(table)["ari"]["mean"].mean()`',
            "mean ARI": per_class,
        },
        {
            "mean over": "(event, class) rows",
            "computed by": '`summarize_scores(table, by=None)["ari"]["mean"]`',
            "mean ARI": rows,
        },
        {
            "mean over": "instances",
            "computed by": '`summarize_scores(table, by=None, weight="cluster")["ari"]["mean"]`',
            "mean ARI": instances,
        },
    ]


# --------------------------------------------------------------------------------------------- the machinery
def compare(
    score: str,
    inputs: Mapping[str, tuple[Labels, Labels]],
    exact: Callable[[Labels, Labels], float] | None = None,
) -> list[Row]:
    """One row per input: the definition, then what every program says."""
    rows = []
    for name, (true, pred) in inputs.items():
        row: Row = {"input": name}
        if exact is not None:
            row["definition"] = exact(true, pred)
        row["sparseclust"] = OURS[score](true, pred)
        for program, function in peers(score).items():
            row[program] = answer(function, true, pred)
        rows.append(row | spine(score, name, true, pred))
    return rows


def answer(function: Callable[[Labels, Labels], Any], true: Labels, pred: Labels) -> float | str:
    """Ask another program: a number, or the name of the error it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(function(true, pred))
        except (RuntimeError, ValueError) as error:
            return type(error).__name__


OURS = {
    "ari": metrics.adjusted_rand_score,
    "ami": metrics.adjusted_mutual_info_score,
    "nmi": metrics.normalized_mutual_info_score,
}
_NAMES = {
    "ari": "adjusted_rand_score",
    "ami": "adjusted_mutual_info_score",
    "nmi": "normalized_mutual_info_score",
}


def peers(score: str) -> dict[str, Callable[[Labels, Labels], Any]]:
    """Return the same score of other programs, called ``(true, pred)``."""
    tensors = getattr(torchmetrics, _NAMES[score])
    return {
        f"scikit-learn {version('scikit-learn')}": getattr(scikit_learn, _NAMES[score]),
        f"torchmetrics {version('torchmetrics')}": lambda true, pred: tensors(
            torch.from_numpy(pred), torch.from_numpy(true)
        ),
    }


def spine(score: str, name: str, true: Labels, pred: Labels) -> Row:
    """Ask SPINE where it is installed, and quote it where it is not. It has no NMI."""
    installed = importlib.util.find_spec("spine") is not None
    column = f"SPINE {version('spine')}" if installed else f"SPINE {SPINE_RECORDED}, recorded"
    if score not in SPINE:
        return {column: "–"}
    if not installed:
        return {column: SPINE[score][name]}
    module = importlib.import_module("spine.math.metrics")
    return {column: answer(getattr(module, score), true, pred)}


def exact_ari(true: Labels, pred: Labels) -> float:
    """ARI in fractions of Python integers, rounded once."""
    shared, in_true, in_pred = (
        sum(n * (n - 1) // 2 for n in np.unique(side, axis=0, return_counts=True)[1].tolist())
        for side in (np.stack([true, pred], axis=1), true, pred)
    )
    chance = Fraction(2 * in_true * in_pred, len(true) * (len(true) - 1))
    return float((shared - chance) / (Fraction(in_true + in_pred, 2) - chance))


def exact_ami(true: Labels, pred: Labels) -> float:
    """AMI with the expectation from exact hypergeometric probabilities."""
    entropies = [_reference.mutual_information(side, side) for side in (true.tolist(), pred.tolist())]
    shared = _reference.mutual_information(true.tolist(), pred.tolist())
    expected = _reference.expected_mutual_information(true.tolist(), pred.tolist())
    return (shared - expected) / (sum(entropies) / 2 - expected)


TABLES: Mapping[str, Callable[[], list[Row]]] = {
    function.__name__: function
    for function in (
        ari_of_large_inputs,
        ari_of_small_inputs,
        ami_of_small_inputs,
        conventions,
        averages,
        joined_events,
        classes,
        three_means,
    )
}


def write(folder: Path) -> None:
    """Write every table as a Markdown file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, function in TABLES.items():
        (folder / f"{name}.md").write_text(markdown(function()), encoding="utf-8")


def markdown(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table; numbers that are not the definition's are bold."""
    head = list(rows[0])
    lines = [head, [":--" if isinstance(rows[0][name], str) else "--:" for name in head]]
    lines += [[_cell(value, row.get("definition")) for value in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(value: Any, definition: float | None) -> str:
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.7g}".replace("-", "−")
    wrong = definition is not None and not math.isclose(value, definition, abs_tol=1e-6)
    return f"**{text}**" if wrong else text
