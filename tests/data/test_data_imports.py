import subprocess
import sys

import pytest

import sparseclust.data

PROGRAM = """
import sys
from sparseclust.data import EventStore, PilarnetFile, VoxelInputs, coalesce_event, open_events, write_events
print(*sorted({"torch", "numba", "lightning", "sparseclust.sparse"} & set(sys.modules)))
"""


def test_reading_needs_neither_torch_nor_numba():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_public_name_is_there():
    for name in sparseclust.data.__all__:
        assert getattr(sparseclust.data, name) is not None
    assert set(sparseclust.data.__all__) <= set(dir(sparseclust.data))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sparseclust.data.nothing  # noqa: B018
