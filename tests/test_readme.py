"""The examples of the README run, and print what the README says."""

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_there_are_three():
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("number", range(3))
def test_example(number, capsys):
    code = EXAMPLES[number]
    exec(compile(code, f"README example {number}", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    promised = re.findall(r"^(?:print\(.*\)  )?# (.*)$", code, re.MULTILINE)
    assert printed
    if promised:
        assert printed == promised
