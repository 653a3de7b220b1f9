"""Clusterers as plain values and tensors, for files."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparseclust.clustering import (
    AffinityGraphClusterer,
    AgglomerativeClusterer,
    FragmentJudge,
    GaussianKernelClusterer,
)
from sparseclust.pipeline._assemble import Clusterer

_KINDS: Mapping[str, type[Clusterer]] = {
    kind.__name__: kind for kind in (GaussianKernelClusterer, AffinityGraphClusterer, AgglomerativeClusterer)
}


def clusterer_to_dict(clusterer: Clusterer) -> dict[str, Any]:
    """Kind and parameters of a clusterer, as plain values; of a judge what it judges, and a checksum."""
    parameters = clusterer.get_params()
    if isinstance(clusterer, AgglomerativeClusterer):
        judge = clusterer.judge
        parameters["judge"] = {
            "classes": list(map(int, judge.classes)),
            "radii": list(map(float, judge.radii)),
        }
        if isinstance(judge, FragmentJudge):
            parameters["judge"]["width"] = judge.width
            parameters["judge"]["checksum"] = _checksum(judge_to_state(clusterer))
    return {"kind": type(clusterer).__name__, **parameters}


def judge_to_state(clusterer: Clusterer) -> dict[str, Tensor]:
    """Weights of the judge of a clusterer, none for one without.

    Raises
    ------
    TypeError
        If the judge is none of ours.
    """
    if not isinstance(clusterer, AgglomerativeClusterer):
        return {}
    judge = clusterer.judge
    if not isinstance(judge, FragmentJudge):
        raise TypeError(f"a file can hold a FragmentJudge, not a judge of type {type(judge).__name__}")
    return {name: torch.from_numpy(np.array(values)) for name, values in judge.arrays().items()}


def clusterer_from_dict(settings: Mapping[str, Any], state: Mapping[str, Tensor]) -> Clusterer:
    """Build what :func:`clusterer_to_dict` and :func:`judge_to_state` described.

    Raises
    ------
    ValueError
        If what a judge needs is missing or makes no trees.
    """
    parameters = dict(settings)
    kind = _KINDS[parameters.pop("kind")]
    if "judge" in parameters:
        told = parameters["judge"]
        trees = {name: values.numpy() for name, values in state.items()}
        try:
            parameters["judge"] = FragmentJudge(
                **trees, width=told["width"], classes=tuple(told["classes"]), radii=tuple(told["radii"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                "the judge is damaged or of another release; let another one learn on the model that it was "
                f"made for: sparseclust judge ({error})"
            ) from error
    return kind(**parameters)


def _checksum(state: Mapping[str, Tensor]) -> str:
    content = hashlib.sha256()
    for name, values in state.items():
        content.update(name.encode() + values.numpy().tobytes())
    return content.hexdigest()[:16]
