"""Old names that still work: decorators that warn and say until when."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def deprecated(*, use: str, removal: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Warn where a function is called that will go away.

    Parameters
    ----------
    use : str
        What to call instead.
    removal : str
        Version that will not have the function any more.

    Returns
    -------
    decorator
        The function does what it did; each line that calls it warns once, with a FutureWarning: unlike a
        DeprecationWarning, users see it.

    Examples
    --------
    >>> from sparseclust._deprecation import deprecated
    >>> @deprecated(use="double", removal="0.9")
    ... def twice(x):
    ...     return 2 * x
    >>> import warnings
    >>> with warnings.catch_warnings(record=True, action="always") as caught:
    ...     twice(21)
    42
    >>> str(caught[0].message)
    'twice is deprecated and will be removed in sparseclust 0.9; use double'
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def warn(*args: P.args, **kwargs: P.kwargs) -> R:
            _warn(f"{function.__qualname__} is deprecated", removal, use)
            return function(*args, **kwargs)

        return warn

    return decorate


def renamed_parameter(old: str, new: str, *, removal: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Accept a keyword of a function under its old name too.

    Parameters
    ----------
    old, new : str
        The parameter must be given by keyword under its old name.
    removal : str
        Version that will not know the old name any more.

    Returns
    -------
    decorator
        Each line that calls the function with the old name warns once, with a FutureWarning. Both names in
        one call are a TypeError.

    Examples
    --------
    >>> from sparseclust._deprecation import renamed_parameter
    >>> @renamed_parameter("eps", "radius", removal="0.9")
    ... def ball(*, radius=1.0):
    ...     return radius
    >>> import warnings
    >>> with warnings.catch_warnings(record=True, action="always") as caught:
    ...     ball(eps=2.0)
    2.0
    >>> str(caught[0].message)
    'eps= of ball is deprecated and will be removed in sparseclust 0.9; use radius='
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(function)
        def rename(*args: Any, **kwargs: Any) -> R:
            if old in kwargs:
                name = function.__qualname__
                if new in kwargs:
                    raise TypeError(f"{name} got {new}= and its old name {old}=; leave {old}= out")
                _warn(f"{old}= of {name} is deprecated", removal, f"{new}=")
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return rename

    return decorate


def _warn(what: str, removal: str, use: str) -> None:
    """Warn at the line that called the decorated function; Python's registry keeps it to once a line."""
    text = f"{what} and will be removed in sparseclust {removal}; use {use}"
    warnings.warn(text, FutureWarning, stacklevel=3)
