"""The rules of the house that import-linter cannot express, and import-linter itself."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from public_api import PACKAGES, RECORD, public_api

import sparseclust

PACKAGE = Path(sparseclust.__file__).parent
FILES = sorted(p for p in PACKAGE.rglob("*.py"))


def _relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_import_linter_contracts_hold():
    command = Path(sys.executable).with_name("lint-imports")
    if not command.exists():
        pytest.skip("import-linter is not installed (dependency group 'lint')")
    done = subprocess.run(
        [command, "--no-cache"], cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", FILES, ids=_relative)
def test_only_optional_catches_import_errors(path: Path):
    if path.name == "_optional.py":
        return
    caught = {
        name.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and node.type is not None
        for name in ast.walk(node.type)
        if isinstance(name, ast.Name)
    }
    assert not caught & {"ImportError", "ModuleNotFoundError"}


@pytest.mark.parametrize("path", [p for p in FILES if p.name.startswith("_kernels")], ids=_relative)
def test_kernel_files_import_only_kernel_files(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            assert not name.startswith("sparseclust") or "._kernels" in name, name


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py"][1:], ids=_relative)
def test_subpackage_faces_hold_no_code(path: Path):
    """Docstring, imports, ``__all__``; and, where a heavy import must wait, PEP 562's two functions."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            assert node.name in {"__getattr__", "__dir__"}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            assert isinstance(target, ast.Name)
            assert target.id in {"__all__", "_LAZY"}
        elif isinstance(node, ast.If):
            assert ast.unparse(node.test) == "TYPE_CHECKING"
        else:
            assert isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)


def test_public_names_and_signatures_are_the_recorded_ones():
    """A change of them is a decision: record it and write a line in CHANGELOG.md."""
    assert public_api() == RECORD.read_text().splitlines(), "to record: python tests/public_api.py"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_object_is_documented(package: str):
    module = importlib.import_module(f"sparseclust.{package}")
    assert module.__doc__
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert thing.__doc__, f"{package}.{name} has no docstring"
            assert thing.__module__.startswith("sparseclust."), f"{package}.{name} is not ours"


def test_subpackages_are_the_listed_ones():
    found = {m.name for m in pkgutil.iter_modules([str(PACKAGE)]) if not m.name.startswith("_")}
    assert found == {*PACKAGES, "cli"}
