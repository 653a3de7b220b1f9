"""The public names with their signatures, one a line; ``python tests/public_api.py`` records them anew.

The record is ``tests/contracts/public_names.txt``. A change of it is a decision and needs a line in
``CHANGELOG.md``. Annotations are left out: they are mypy's business, and their text depends on the Python.
"""

import enum
import importlib
import inspect
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sparseclust

RECORD = Path(__file__).with_name("contracts") / "public_names.txt"
PACKAGES = sorted(name for name in sparseclust.__all__ if name != "__version__")


def public_api() -> list[str]:
    """Every public name, with its signature where it can be called, sorted."""
    modules = (importlib.import_module(f"sparseclust.{name}") for name in PACKAGES)
    return sorted({line for module in modules for line in _of_module(module)})


def _of_module(module: types.ModuleType) -> Iterator[str]:
    path = module.__name__.removeprefix("sparseclust.")
    for name in module.__all__:
        thing = getattr(module, name)
        if isinstance(thing, types.ModuleType):
            yield f"{path}.{name}"
            yield from _of_module(thing)
        elif inspect.isclass(thing):
            yield from _of_class(f"{path}.{name}", thing)
        else:
            yield f"{path}.{name}" + (_signature(thing) if inspect.isfunction(thing) else "")


def _of_class(path: str, cls: type) -> Iterator[str]:
    """The constructor, and what the class and our bases of it define."""
    if issubclass(cls, enum.Enum):
        yield from (path, *(f"{path}.{member}" for member in cls.__members__))
        return
    yield path + ("" if getattr(cls, "_is_protocol", False) else _signature(cls))
    fields = getattr(cls, "_fields", ())
    members: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        members |= vars(base) if base.__module__.startswith("sparseclust.") else {}
    for name, member in members.items():
        # Private, in the constructor of a named tuple, or called by torch and Lightning alone.
        if (name.startswith(("_", "on_", "extra_repr")) and name != "__call__") or name in fields:
            continue
        function = getattr(member, "__func__", member)
        if inspect.isfunction(function):
            yield f"{path}.{name}{_signature(function, method=not isinstance(member, staticmethod))}"
        elif isinstance(member, property):
            yield f"{path}.{name}"


def _signature(thing: Any, *, method: bool = False) -> str:
    """``(labels, *, average='cluster')``, without self."""
    parameters = list(inspect.signature(thing).parameters.values())[method:]
    public = [parameter for parameter in parameters if not parameter.name.startswith("_")]
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in public]
    return str(inspect.Signature(bare))


if __name__ == "__main__":
    RECORD.write_text("\n".join(public_api()) + "\n", encoding="utf-8")
