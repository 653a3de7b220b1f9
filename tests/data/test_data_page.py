"""The page on event files."""

import re
from pathlib import Path

import sparseclust.data

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
ELSEWHERE = {"Batch", "Event", "SemanticClass", "Transform", "simulation", "Compose", "VoxelInputs"}


def test_every_public_name_is_described():
    mentioned = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`|```.*?```", PAGE, re.DOTALL))))
    assert set(sparseclust.data.__all__) - ELSEWHERE <= mentioned


def test_names_of_the_page_exist():
    imports = " ".join(re.findall(r"from sparseclust\.data import (.*)", PAGE))
    names = set(re.findall(r"\w+", imports)) | set(re.findall(r"`([A-Z][a-z]+[A-Z]\w*)`", PAGE))
    assert names <= {*sparseclust.data.__all__, "DataLoader", "OSError", "ValueError"}
