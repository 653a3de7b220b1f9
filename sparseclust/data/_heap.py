"""Rows of variable length: a check of where HDF5 keeps them, which it follows blindly."""

import os
import struct
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

_REFERENCE = struct.Struct("<IQI")  # length of the row, address of its collection, place in there
_COLLECTION = struct.Struct("<4sB3xQ")  # signature, version, size with this header
_OBJECT = struct.Struct("<HHIQ")  # place (0: the rest is free), count, nothing, size without padding


def check_row(file: Any, dataset: Any, index: int) -> None:
    """Raise where HDF5 would not come back from reading a row of variable length.

    Parameters
    ----------
    file : h5py.File
        Open, on disk.
    dataset : h5py.Dataset
        One row of variable length per event.
    index : int

    Raises
    ------
    ValueError
        If the rows that lie beside this one do not follow one another to the end of their collection, or
        this one is not as long as its reference says, which HDF5 would make room for.

    Notes
    -----
    HDF5 walks through the collection of a row without looking whether it gets anywhere, so a zeroed or
    shifted one is an endless loop. The layout is that of the file format specification, "Global Heap";
    references in compressed chunks are not checked.
    """
    place = _reference_offset(file, dataset, index)
    if place is None:
        return
    handle = file.id.get_vfd_handle()
    length, start, own = _unpacked(handle, _REFERENCE, place)
    if length == 0:
        return
    signature, version, size = _unpacked(handle, _COLLECTION, start)
    if signature != b"GCOL" or version != 1:
        raise ValueError("its rows are not where the file says")
    at, end, width = start + _COLLECTION.size, start + size, h5py.check_vlen_dtype(dataset.dtype).itemsize
    while end - at >= _OBJECT.size:
        number, _, _, size = _unpacked(handle, _OBJECT, at)
        step = _OBJECT.size + -(-size // 8) * 8 if number else size
        if step < _OBJECT.size or step > end - at:
            raise ValueError("its rows do not follow one another")
        if number == own and size != length * width:
            raise ValueError(f"it claims to be {length} numbers of {width} bytes, in a row of {size}")
        at += step


def row_lengths(file: Any, dataset: Any) -> npt.NDArray[np.int64] | None:
    """Lengths of all rows of variable length, as their references say; None where only the rows tell.

    Raises
    ------
    ValueError
        If the references lie beyond the end of the file.
    """
    handle, n = file.id.get_vfd_handle(), len(dataset)
    end = os.fstat(handle).st_size
    lengths = np.empty(n, np.int64)
    step = dataset.chunks[0] if dataset.chunks else max(n, 1)
    for first in range(0, n, step):
        place, size = _reference_offset(file, dataset, first), min(step, n - first) * _REFERENCE.size
        if place is None:
            return None
        if place + size > end:
            raise ValueError("its rows lie beyond the end of the file")
        found = np.frombuffer(os.pread(handle, size, place), "<u4, V12")
        lengths[first : first + step] = found["f0"]
    return lengths


def _reference_offset(file: Any, dataset: Any, index: int) -> int | None:
    """Where in the file the reference of a row is, or None if it cannot be told."""
    if file.userblock_size or file.id.get_create_plist().get_sizes() != (8, 8):
        return None
    first, start = 0, dataset.id.get_offset()
    if dataset.chunks is not None and dataset.id.get_create_plist().get_nfilters() == 0:
        first = index - index % dataset.chunks[0]
        start = dataset.id.get_chunk_info_by_coord((first,)).byte_offset
    return None if start is None else start + (index - first) * _REFERENCE.size


def _unpacked(handle: int, form: struct.Struct, offset: int) -> tuple[Any, ...]:
    data = os.pread(handle, form.size, offset) if offset < 2**63 - form.size else b""
    if len(data) < form.size:
        raise ValueError("its rows lie beyond the end of the file")
    return form.unpack(data)
