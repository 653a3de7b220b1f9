"""Sessions for maintainers: the tests on several Python versions, and the release checks."""

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["check", "tests"]
CONSTRAINTS = ("-c", "constraints.txt")


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the test suite."""
    pyproject = nox.project.load_toml("pyproject.toml")
    session.install(
        *CONSTRAINTS, "-e", ".[train,vis,spconv,triton]", *nox.project.dependency_groups(pyproject, "test")
    )
    session.run(
        "pytest", "-m", "not slow and not gpu", "--doctest-modules", "tests", "sparseclust", *session.posargs
    )


@nox.session
def check(session: nox.Session) -> None:
    """Style, types, architecture."""
    pyproject = nox.project.load_toml("pyproject.toml")
    session.install(*CONSTRAINTS, "-e", ".[train,vis]", *nox.project.dependency_groups(pyproject, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
