"""What a trained model, ``sparseclust train --start``, says of the options that are not given."""

from collections.abc import Mapping
from typing import Any

from sparseclust.pipeline import describe_pretrained

_OF_NETWORK = ("name", "base_channels", "depth", "reps", "margin_dim", "initial_margin", "bridge_radius")
# A network of another name, or one that bridges gaps, may have parts that the model lacks. Not so with these.
_FIXED = (
    "size",
    "network.input_classes",
    "network.depth",
    "network.reps",
    "network.margin_dim",
)
_WIDTH = "network.base_channels"


def options_of_model(start: str) -> dict[str, Any]:
    """Options of ``sparseclust train`` that lead to the network of a model, and to its inputs."""
    told = describe_pretrained(start)
    if told["model"] is None:
        raise ValueError(f"{start}: does not say how to build its network; train it further in Python")
    options = {"size": told["inputs"]["spatial_size"], "network.input_classes": told["inputs"]["n_classes"]}
    options |= {f"network.{name}": told["model"][name] for name in _OF_NETWORK if name in told["model"]}
    return {name: value for name, value in options.items() if value is not None}


def describe_start(start: str, given: Mapping[str, Any], *, semantic: str) -> dict[str, Any]:
    """Describe the model to start from, and refuse options under which its weights mean nothing.

    Parameters
    ----------
    start : str
        Model file or name.
    given : mapping
        Options, by the names of :func:`options_of_model`.
    semantic : str
        The name of networks that find classes instead of particles.

    Raises
    ------
    ValueError
        If an option is not that of the model, or one of the two networks finds classes and the other
        particles.
    """
    told = options_of_model(start)
    wrong = [name for name in _FIXED if name in told and told[name] != given[name]]
    if given[_WIDTH] < told[_WIDTH]:  # more are new features
        wrong.append(_WIDTH)
    if (told["network.name"] == semantic) != (given["network.name"] == semantic):
        wrong = ["network.name"]
    if wrong:
        differences = ", ".join(f"--{name} {told[name]}, not {given[name]}" for name in wrong)
        raise ValueError(f"{start} has {differences}; what is not given is taken from the model")
    return describe_pretrained(start)
