"""The parameter half of scikit-learn's estimator protocol, without scikit-learn."""

import dataclasses
from typing import Any, Self


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
