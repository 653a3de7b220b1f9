"""The blocks of Python on the pages run, and the commands take the options that pages show.

Pages with ``{code-cell}`` are run when the pages are built (``make docs``).
"""

import fnmatch
import importlib
import re
import shlex
from pathlib import Path
from types import FunctionType

import pytest
from public_api import PACKAGES

from sparseclust.cli import _main

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {p.relative_to(DOCS).as_posix(): p.read_text(encoding="utf-8") for p in sorted(DOCS.rglob("*.md"))}
PAGES = {name: text for name, text in PAGES.items() if not name.startswith("_build")}
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
DIRECTIVE = re.compile(r"^```\{eval-rst\}\n(.*?)^```", re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r"^\.\. (currentmodule|auto\w+|py:data):: ([\w.]+)\n((?:   .*\n)*)", re.MULTILINE)
RUN = [n for n, text in PAGES.items() if n.startswith(("howto/", "concepts/")) and BLOCK.search(text)]
COMMANDS = sorted(set(re.findall(r"^sparseclust .*", "\n".join(PAGES.values()), re.MULTILINE)))


@pytest.mark.parametrize("name", RUN)
def test_the_blocks_of_a_page_run_one_after_the_other(name, tmp_path, monkeypatch):
    if name == "howto/read_results.md":
        pytest.importorskip("awkward")
        pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    variables = {"__name__": "page"}
    for block in BLOCK.findall(PAGES[name]):
        exec(compile(block, name, "exec"), variables)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_line_parses(line):
    _, command, *arguments = shlex.split(line, comments=True)
    module = __import__(f"sparseclust.cli._{command}", fromlist=[command])
    parser, _ = _main._parser(command, getattr(module, command))
    parser.parse_args(arguments)


def test_there_are_command_lines_for_every_command():
    shown = {shlex.split(line)[1] for line in COMMANDS}
    assert shown >= {"simulate", "train", "predict", "evaluate", "info"}
    assert shown <= set(_main.COMMANDS)


def test_what_the_front_page_takes_from_the_readme_is_there():
    marks = re.findall(r':(?:start-after|end-before): "(.*)"', PAGES["index.md"])
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    first, last = (readme.index(mark) for mark in marks)
    assert [readme.count(mark) for mark in marks] == [1, 1]
    assert "| | shower | track |" in readme[first:last]


def test_every_page_can_be_reached():
    """From the front page, by the trees of contents; a star stops at a slash."""
    reached, found = set(), ["index"]
    while found:
        name = found.pop()
        reached.add(name)
        for tree in re.findall(r"^```\{toctree\}\n(.*?)^```", PAGES[f"{name}.md"], re.MULTILINE | re.DOTALL):
            entries = [line for line in tree.splitlines() if line and not line.startswith(":")]
            for pattern in ((Path(name).parent / f"{entry}.md").as_posix() for entry in entries):
                pages = fnmatch.filter(PAGES, pattern)
                here = {p.removesuffix(".md") for p in pages if p.count("/") == pattern.count("/")}
                found += sorted(here - reached)
    assert {f"{name}.md" for name in reached} == set(PAGES)


def _documented() -> set[str]:
    """Names that pages describe, or have described: of the members of a module, those with a docstring."""
    found = set()
    module = ""
    for block in DIRECTIVE.findall("\n".join(PAGES.values())):
        for kind, name, options in ENTRY.findall(block):
            if kind in ("automodule", "currentmodule"):
                module = name
            found.add(name if name.startswith("sparseclust.") else f"{module}.{name}")
            if kind == "automodule":
                left_out = re.findall(r"\w+", options.partition(":exclude-members:")[2])
                listed = importlib.import_module(name)
                documented = (
                    n for n in listed.__all__ if isinstance(getattr(listed, n), type | FunctionType)
                )
                found |= {f"{name}.{n}" for n in documented if n not in left_out}
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_in_the_reference(package):
    module = importlib.import_module(f"sparseclust.{package}")
    missing = {f"sparseclust.{package}.{name}" for name in module.__all__} - _documented()
    assert not missing


@pytest.mark.parametrize("name", PAGES)
def test_files_that_a_page_names_are_there(name):
    text = PAGES[name]
    for path in re.findall(r"(?:examples|benchmarks)/[\w./-]*\w", text):
        assert (DOCS.parent / path).exists(), path
    for path in re.findall(r"\]\(((?!https?:)[\w./-]+?\.md)(?:#[\w-]+)?\)", text):
        assert ((DOCS / name).parent / path).resolve().exists(), path
