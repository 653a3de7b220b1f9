"""Optional packages: the only place of the library that catches ImportError."""

import importlib
import importlib.util
from typing import Any


class MissingPackageError(ImportError, ValueError):
    """An optional package is not installed. A ValueError too: the command line shows it as one line."""


def require(module: str, *, extra: str | None = None) -> Any:
    """Import ``module``, or say what installs it.

    Parameters
    ----------
    module : str
        Dotted module name, e.g. ``"plotly.graph_objects"``.
    extra : str, optional
        The extra of sparseclust that brings the package; None for one that every installation should have.

    Returns
    -------
    module
        The imported module. Typed ``Any``, as optional packages often ship no types.

    Raises
    ------
    MissingPackageError
        The package is missing; names the command that installs it.
    """
    package = module.partition(".")[0]
    if not available(package):
        what = package if extra is None else f"'sparseclust[{extra}]'"
        raise MissingPackageError(
            f"this part of sparseclust needs the package {package!r}, which is not installed; "
            f"run: pip install {what}"
        )
    return importlib.import_module(module)


def available(package: str) -> bool:
    """Whether a top-level package can be found, without importing it."""
    return importlib.util.find_spec(package) is not None


def why_unavailable(module: str) -> str | None:
    """Import ``module``, or call ``"module:function"``; return ``None``, or one line on why that fails."""
    name, _, function = module.partition(":")
    if not available(name.partition(".")[0]):
        return "not installed"
    try:
        imported = importlib.import_module(name)
        if function:
            getattr(imported, function)()
    except (ImportError, OSError, RuntimeError) as error:  # a broken wheel fails in any of these ways
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    return None
