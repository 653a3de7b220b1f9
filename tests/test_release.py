"""What must agree between the files that a release is made of."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest

import sparseclust

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINNED = (ROOT / "constraints.txt").read_text().lower()
PINS = dict(re.findall(r"^([\w.-]+)==([\w.]+)$", PINNED, re.MULTILINE))
NEEDED = [
    *PROJECT["project"]["dependencies"],
    *(r for extra in PROJECT["project"]["optional-dependencies"].values() for r in extra),
    *(r for group in PROJECT["dependency-groups"].values() for r in group),
]


def numbers(version: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", version)]


def test_the_citation_is_of_this_version():
    assert f"\nversion: {sparseclust.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_changelog_begins_with_what_is_unreleased_and_keeps_its_headings():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE)[0] == "[Unreleased]"
    known = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Numerics"}
    for version in text.split("\n## ")[1:]:
        headings = re.findall(r"^### (.*)$", version, re.MULTILINE)
        assert set(headings) <= known
        assert len(set(headings)) == len(headings)
        assert headings[-1] == "Numerics"


def test_what_the_release_check_tries_first_works_here(capsys):
    check = runpy.run_path(str(ROOT / ".ci" / "release_check.py"))
    exec(check["PARTS"], {})
    assert "spice-small" in capsys.readouterr().out


@pytest.mark.parametrize("requirement", [r for r in NEEDED if not r.startswith("sparseclust[")])
def test_what_make_installs_is_new_enough(requirement: str):
    name, minimum = re.match(r"([\w.-]+)(?:\[\w+\])?(?:>=([\d.]+))?", requirement).groups()
    assert name in PINS
    assert numbers(PINS[name]) >= numbers(minimum or "0")
