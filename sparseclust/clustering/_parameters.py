"""Parameters of clusterers: scikit-learn's estimator protocol, without scikit-learn, and values per class."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sparseclust.clustering._validate import FloatArray


@dataclasses.dataclass(eq=False)
class Parameters:
    """Base of estimators that are dataclasses: their initial fields are their parameters."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; ``deep`` is there for scikit-learn and changes nothing."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.init}

    def set_params(self, **params: Any) -> Self:
        """Set some parameters; raise ValueError for a name that is none."""
        known = self.get_params()
        for name in params:
            if name not in known:
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(known)}"
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self


def per_class(
    name: str,
    value: float | Mapping[int, float],
    classes: npt.NDArray[Any] | None,
    checked: Callable[[str, Any], float],
) -> FloatArray:
    """One checked value per class; ``classes`` is None when the caller named none."""
    if not isinstance(value, Mapping):
        return np.full(1 if classes is None else len(classes), checked(name, value), np.float64)
    if classes is None:
        raise ValueError(f"{name} is given per class, so the class of each point is needed: pass semantic=")
    missing = [int(c) for c in classes if int(c) not in value]
    if missing:
        raise ValueError(f"{name} has no value for the classes {missing}; it has {sorted(value)}")
    return np.array([checked(f"{name}[{c}]", value[int(c)]) for c in classes], np.float64)
