"""Models by name."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec

from sparseclust.models._branched import BranchedNet

P = ParamSpec("P")

_MODELS: dict[str, Callable[..., BranchedNet]] = {}


def register_model(build: Callable[P, BranchedNet]) -> Callable[P, BranchedNet]:
    """Register a function that builds a model under its own name; the model remembers its arguments."""
    signature = inspect.signature(build)

    @functools.wraps(build)
    def create(*args: P.args, **kwargs: P.kwargs) -> BranchedNet:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        model = build(*args, **kwargs)
        model.config = {"name": build.__name__, **bound.arguments}
        return model

    _MODELS[build.__name__] = create
    return create


def create_model(name: str, **kwargs: Any) -> BranchedNet:
    """Build a model by name.

    Parameters
    ----------
    name : str
        One of :func:`list_models`.
    **kwargs
        Arguments of the function of that name.

    Raises
    ------
    ValueError
        If there is no model of that name.

    Examples
    --------
    >>> from sparseclust.models import create_model
    >>> model = create_model("spice", base_channels=8, depth=2)
    >>> again = create_model(**model.config)
    """
    if name not in _MODELS:
        raise ValueError(f"no model {name!r}; there are: {', '.join(list_models())}")
    return _MODELS[name](**kwargs)


def list_models() -> list[str]:
    """Return the names that :func:`create_model` knows, sorted.

    Examples
    --------
    >>> from sparseclust.models import list_models
    >>> list_models()
    ['edge_spice', 'edge_unet', 'semantic_unet', 'spice']
    """
    return sorted(_MODELS)
