"""Sphinx configuration: ``make docs``. Pages need no network, neither to build nor to read."""

import sys
from pathlib import Path
from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

import sparseclust

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import _compare  # noqa: E402

project = "sparseclust"
author = "The sparseclust authors"
release = version = sparseclust.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_show_copyright = False
html_title = f"sparseclust {release}"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "exclude-members": "__new__, __init__"}
add_module_names = False


def setup(app: Sphinx) -> None:
    """Compute the tables, and show formulas as MathML, which browsers draw by themselves."""
    app.connect("builder-inited", lambda _: _compare.write(HERE / "_build" / "generated"))
    app.connect("autodoc-skip-member", skip_tuple_fields)
    app.add_html_math_renderer("mathml", (inline_math, None), (display_math, None))


def skip_tuple_fields(
    app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out fields of named tuples: their docstrings only number them."""
    return True if type(member).__name__ == "_tuplegetter" else None


def inline_math(translator: Any, node: Any) -> None:
    """Write a formula within a line."""
    translator.body.append(tex2mathml(node.astext()))
    raise SkipNode


def display_math(translator: Any, node: Any) -> None:
    """Write a formula on a line of its own, with room that the scroll bar of the theme does not cut."""
    formula = tex2mathml(node.astext(), as_block=True)
    translator.body.append(f'<div style="padding: 0.5em">{formula}</div>')
    raise SkipNode
