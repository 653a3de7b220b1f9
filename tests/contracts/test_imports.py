"""What an import costs: which modules it loads, in a fresh interpreter."""

import json
import subprocess
import sys

import pytest


def _loaded_by(statement: str) -> set[str]:
    code = f"""import sys, json
before = set(sys.modules)
{statement}
print(json.dumps(sorted(set(sys.modules) - before)))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_import_sparseclust_loads_nothing_heavy():
    loaded = _loaded_by("import sparseclust")
    assert not loaded - set(sys.stdlib_module_names) - {"sparseclust"}


def test_subpackages_load_on_first_use():
    assert "numpy" in _loaded_by("import sparseclust; sparseclust.metrics")
    assert "metrics" in dir(__import__("sparseclust"))


def test_unknown_attribute_is_an_attribute_error():
    import sparseclust

    with pytest.raises(AttributeError, match="no attribute 'clusters'"):
        sparseclust.clusters  # noqa: B018


@pytest.mark.parametrize(
    ("package", "absent"),
    [
        ("metrics", {"torch", "numba", "h5py", "matplotlib", "plotly"}),
        ("clustering", {"torch", "h5py", "matplotlib", "plotly"}),
        ("data", {"torch", "matplotlib", "plotly"}),
        ("vis", {"torch", "numba", "matplotlib", "plotly"}),
        ("sparse", {"numba", "h5py", "lightning"}),
        ("losses", {"numba", "h5py", "lightning"}),
        ("cli", {"torch", "numba", "lightning"}),
    ],
)
def test_subpackage_loads_without(package: str, absent: set[str]):
    assert not _loaded_by(f"import sparseclust.{package}") & absent
