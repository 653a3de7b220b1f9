"""Sessions for maintainers: tests on several Python versions and with the oldest dependencies, style."""

import itertools
from pathlib import Path
from typing import Any

import nox
from packaging.requirements import Requirement

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["check", "tests"]
CONSTRAINTS = ("-c", "constraints.txt")
TESTS = ("-m", "not slow and not gpu", "--doctest-modules", "tests", "sparseclust")


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the test suite."""
    pyproject = nox.project.load_toml("pyproject.toml")
    session.install(
        *CONSTRAINTS, "-e", ".[train,vis,spconv,triton]", *nox.project.dependency_groups(pyproject, "test")
    )
    session.run("pytest", *TESTS, *session.posargs)


@nox.session(python="3.11")
def minimums(session: nox.Session) -> None:
    """Run the test suite with the oldest Python and the oldest dependencies that pyproject.toml allows."""
    pyproject = nox.project.load_toml("pyproject.toml")
    lowest = Path(session.create_tmp()) / "minimums.txt"
    lowest.write_text("".join(f"{pin}\n" for pin in _minimums(pyproject["project"])))
    session.install("-c", str(lowest), "-e", ".[all]", *nox.project.dependency_groups(pyproject, "test"))
    # That old versions of dependencies use each other in old ways is not our affair.
    warnings = "-W ignore::DeprecationWarning -W ignore::FutureWarning"
    session.run("pytest", *TESTS, *session.posargs, env={"PYTEST_ADDOPTS": warnings})


def _minimums(project: dict[str, Any]) -> list[str]:
    """``name==version`` for every ``name>=version`` that the library or one of its extras needs."""
    needed = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    pins = []
    for requirement in map(Requirement, needed):
        pins += [f"{requirement.name}=={s.version}" for s in requirement.specifier if s.operator == ">="]
    return pins


@nox.session
def check(session: nox.Session) -> None:
    """Style, types, architecture."""
    pyproject = nox.project.load_toml("pyproject.toml")
    session.install(*CONSTRAINTS, "-e", ".[train,vis]", *nox.project.dependency_groups(pyproject, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
