"""The page on engines."""

import re
from pathlib import Path

from sparseclust.sparse import available_engines

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "engines.md").read_text(encoding="utf-8")


def test_every_engine_is_described_and_compared():
    rows = re.findall(r"^\| `(\w+)`", PAGE.replace("`torch`, `numba`", "`torch` |\n| `numba`"), re.MULTILINE)
    assert sorted(rows) == sorted([*available_engines()] * 2)
