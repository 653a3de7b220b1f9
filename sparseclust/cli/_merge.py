"""``sparseclust merge``."""

import glob
import itertools
import sys
from pathlib import Path
from typing import Any, NamedTuple

from sparseclust.data import EventStore, link_events


class _Part(NamedTuple):
    """A file of predictions: which of how many inputs it belongs to, and its attributes."""

    path: Path
    number: int
    of: int
    attrs: dict[str, Any]


def merge(outputs: list[str], *, output: Path, partial: bool = False) -> None:
    """Show the files of one prediction as one, without copying them.

    Parameters
    ----------
    outputs
        Files of `sparseclust predict`; each may be a glob pattern. They stay where they are: the new file
        finds them by their paths relative to its own.
    output
        HDF5 file to write.
    partial
        Write it although predictions are missing or cannot be read.
    """
    names = [Path(name) for pattern in outputs for name in _matching(pattern)]
    parts, faults = [], []
    for name in dict.fromkeys(names):
        if name.exists() and output.exists() and name.samefile(output):
            continue  # out/*.h5 matches what an earlier merge wrote
        try:
            parts.append(_inspected(name))
        except (ValueError, OSError) as error:
            faults.append(str(error))
    parts.sort(key=lambda part: part.number)
    faults += _missing(parts)
    for fault in faults:
        print(f"sparseclust merge: {'left out' if partial else 'error'}: {fault}", file=sys.stderr)
    if not parts or (faults and not partial):
        raise ValueError(
            f"{output}: not written; predict what is missing with the same command as before, which keeps "
            "what is finished, or say --partial true"
        )
    common = _common([part.attrs for part in parts])
    n = link_events(output, [part.path for part in parts], attrs=common)
    print(f"{output}: {n:,} events of {len(parts):,} files")


def _matching(pattern: str) -> list[str]:
    return [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True)) or [pattern]


def _inspected(path: Path) -> _Part:
    attrs = EventStore(path).attrs
    place = attrs.get("input")
    if "made_from" not in attrs or place is None:
        raise ValueError(f"{path}: expected a file of `sparseclust predict`, got other events")
    return _Part(path, place["number"], place["of"], attrs)


def _missing(parts: list[_Part]) -> list[str]:
    """Say which inputs have no predictions; refuse parts that are not of one prediction."""
    for a, b in itertools.pairwise(parts):
        if a.of != b.of:
            raise ValueError(
                f"{a.path} and {b.path}: one is of {a.of} inputs, the other of {b.of}; predict all inputs in "
                "one command, or merge what belongs together"
            )
        if a.number == b.number:
            raise ValueError(f"{a.path} and {b.path}: both are of input {a.number}; give one of them")
    for part in parts[1:]:
        other = [name for name, value in _made(part).items() if _made(parts[0])[name] != value]
        if other:
            raise ValueError(f"{part.path} and {parts[0].path}: other {', '.join(other)}; predict them alike")
    found = {part.number: part.path for part in parts}
    return [
        f"input {number} of {parts[0].of} has no predictions" + _beside(number, found)
        for number in range(1, parts[0].of + 1 if parts else 1)
        if number not in found
    ]


def _made(part: _Part) -> dict[str, Any]:
    return {name: value for name, value in part.attrs["made_from"].items() if name != "events"}


def _beside(number: int, found: dict[int, Path]) -> str:
    """Where in the sorted list a missing one would be, as nobody knows its name."""
    before = max((n for n in found if n < number), default=None)
    after = min((n for n in found if n > number), default=None)
    words = [f"{word} {found[n].name}" for word, n in (("after", before), ("before", after)) if n is not None]
    return f" ({', '.join(words)})"


def _common(attrs: list[dict[str, Any]]) -> dict[str, Any]:
    """Attributes on which all parts agree."""
    first = attrs[0]
    return {
        name: value
        for name, value in first.items()
        if all(name in other and other[name] == value for other in attrs)
    }
