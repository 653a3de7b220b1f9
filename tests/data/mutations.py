"""Ways to spoil an HDF5 file, each drawn from a random generator."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

TYPES = ["f2", "f8", "i1", "u8", "?", "c16", "S3", [("a", "f4"), ("b", "i8")]]


def spoil_bytes(path: Path, rng: np.random.Generator) -> str:
    """Cut, flip, zero, insert or remove some bytes; return how."""
    data = bytearray(path.read_bytes())
    at = int(rng.integers(len(data)))
    size = int(rng.integers(1, 600))
    how = str(rng.choice(["cut", "flip", "flip", "flip", "zero", "insert", "remove"]))
    if how == "cut":
        del data[at:]
    elif how == "flip":
        for place in rng.integers(len(data), size=rng.integers(1, 9)):
            data[place] ^= 1 << int(rng.integers(8))
    elif how == "zero":
        data[at : at + size] = bytes(len(data[at : at + size]))
    elif how == "insert":
        data[at:at] = rng.bytes(size)
    else:
        del data[at : at + size]
    path.write_bytes(data)
    return how


def spoil_structure(path: Path, rng: np.random.Generator) -> str:
    """Change one thing that a reader relies on; return what."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = str(rng.choice(names))
        item = file[name]
        if item.attrs and rng.random() < 0.4:
            return spoil_attribute(item, rng)
        if isinstance(item, h5py.Group) or rng.random() < 0.4:
            return f"{name}: {replace(file, name, rng)}"
        return f"{name}: {spoil_dataset(file, name, rng)}"


def spoil_attribute(item: Any, rng: np.random.Generator) -> str:
    key = str(rng.choice(list(item.attrs)))
    values = ["", "text", -1, 2**62, np.nan, [1, 2], np.zeros((0,)), None]
    value = values[rng.integers(len(values))]
    del item.attrs[key]
    if value is not None:
        item.attrs[key] = value
    return f"attribute {key} of {item.name} is {value!r}"


def replace(file: Any, name: str, rng: np.random.Generator) -> str:
    """Put something else, or nothing, in the place of a data set or group."""
    links = {
        "nothing": None,
        "a group": None,
        "a scalar": None,
        "a dangling link": h5py.SoftLink("/nowhere"),
        "a link to itself": h5py.SoftLink(f"/{name}"),
        "a file that is not there": h5py.ExternalLink("nowhere.h5", "/"),
    }
    what = str(rng.choice(list(links)))
    del file[name]
    if what == "a group":
        file.create_group(name)
    elif what == "a scalar":
        file[name] = 1.5
    elif links[what] is not None:
        file[name] = links[what]
    return what


def spoil_dataset(file: Any, name: str, rng: np.random.Generator) -> str:
    """Change the length, the type or the numbers of a data set."""
    dataset = file[name]
    how = str(rng.choice(["longer", "shorter", "type", "axis", "numbers"]))
    if how in ("longer", "shorter") and dataset.maxshape[:1] == (None,):
        length = 10 ** int(rng.integers(3, 16)) if how == "longer" else int(rng.integers(len(dataset) + 1))
        dataset.resize(length, axis=0)
        return f"{length} rows"
    shape, values = dataset.shape, dataset[()]
    del file[name]
    if how == "type":
        kind = TYPES[rng.integers(len(TYPES))]
        file.create_dataset(name, shape, kind)
        return f"type {kind}"
    if how == "axis":
        file.create_dataset(name, (*shape, 2), "f4")
        return "another axis"
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf" and values.size:
        choices = [-1, 2**31, 2**62, 0] if values.dtype.kind in "iu" else [np.nan, np.inf, -1.0, 0.5, 1e30]
        place = tuple(rng.integers(shape))
        with np.errstate(over="ignore"):
            values[place] = np.array(choices[rng.integers(len(choices))]).astype(values.dtype)
        file[name] = values
        return f"{values[place]} at {place}"
    file.create_dataset(name, (0, *shape[1:]), "f4")
    return "empty"
