"""Sphinx configuration: ``make docs``. Pages need no network, neither to build nor to read.

Pages with ``{code-cell}`` are run by myst-nb when they are built: a cell that raises, or writes to stderr,
fails the build.
"""

import contextlib
import importlib
import inspect
import io
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

from docutils.nodes import SkipNode, Text, entry
from docutils.utils.math.latex2mathml import tex2mathml
from plotly.offline import get_plotlyjs
from sphinx.application import Sphinx

import sparseclust
from sparseclust.cli import main
from sparseclust.cli._main import COMMANDS

HERE = Path(__file__).parent
GENERATED = HERE / "_build" / "generated"
STATIC = GENERATED / "static"
STATIC.mkdir(parents=True, exist_ok=True)
sys.path.insert(0, str(HERE))
import _compare  # noqa: E402

project = "sparseclust"
author = "The sparseclust authors"
release = version = sparseclust.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static", str(STATIC)]
html_css_files = ["custom.css"]
html_show_copyright = False
html_title = f"sparseclust {release}"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
nb_output_stderr = "remove-warn"
nb_kernel_rgx_aliases = {".*": "python3"}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
# Words such as ndim in the shapes of arrays, which are names of several attributes.
suppress_warnings = ["ref.python"]
autodoc_typehints = "none"
autodoc_member_order = "groupwise"
autodoc_default_options = {
    "members": True,
    "special-members": "__call__",
    "exclude-members": "__new__, __init__, extra_repr",
}
add_module_names = False


# How cells draw: kernels inherit this environment, and read their settings from the folders that it names.
KERNEL = {
    "ipython_kernel_config.py": """
c.IPKernelApp.log_level = "ERROR"
c.IPKernelApp.matplotlib = "inline"
c.InlineBackend.figure_formats = {"png"}
c.InlineBackend.print_figure_kwargs = {"bbox_inches": None}
c.HistoryManager.enabled = False
""",
    "startup/outputs.py": """
import subprocess

import plotly.io
from IPython.core.magic import register_cell_magic
from plotly.io.base_renderers import MimetypeRenderer

class Offline(MimetypeRenderer):
    def to_mimebundle(self, figure):
        figure["layout"] |= {"paper_bgcolor": "rgba(0,0,0,0)", "font": {"color": "#888"}}
        options = {"full_html": False, "include_plotlyjs": False, "include_mathjax": False}
        options["config"] = {"displayModeBar": False, "responsive": True}
        return {"text/html": plotly.io.to_html(figure, validate=False, **options)}

plotly.io.renderers["docs"] = Offline()
plotly.io.renderers.default = "docs"

@register_cell_magic
def bash(options, cell):
    # IPython's own prints pieces of a hundred characters, which become lines of the page.
    print(subprocess.run(["bash", "-ec", cell], check=True, stdout=-1, text=True).stdout, end="")
""",
}
logging.getLogger("traitlets").setLevel(logging.WARNING)
os.environ |= {
    "IPYTHONDIR": str(GENERATED / "ipython"),
    "MATPLOTLIBRC": str(HERE / "matplotlibrc"),
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}


def setup(app: Sphinx) -> None:
    """Compute what pages include, and show formulas as MathML, which browsers draw by themselves."""
    app.connect("builder-inited", write_generated)
    app.connect("html-page-context", add_plotly)
    app.connect("autodoc-process-docstring", list_references)
    app.connect("doctree-resolved", keep_pairs)
    app.connect("autodoc-skip-member", skip_tuple_fields)
    app.connect("autodoc-process-signature", leave_out_any)
    app.add_html_math_renderer("mathml", (inline_math, None), (display_math, None))


def write_generated(app: Sphinx) -> None:
    """Write tables, the help of the commands, plotly.js, and the settings of the kernels."""
    _compare.write(GENERATED)
    for module in [*sparseclust.__all__[1:], "data.simulation"]:
        (GENERATED / f"{module}.md").write_text(summary_of(module), encoding="utf-8")
    (GENERATED / "packages.md").write_text(summary_of_packages(), encoding="utf-8")
    commands = "".join(f"## {name}\n\n```text\n{help_of(name)}```\n\n" for name in COMMANDS)
    (GENERATED / "cli.md").write_text(commands, encoding="utf-8")
    profile = GENERATED / "ipython" / "profile_default"
    for name, text in KERNEL.items():
        (profile / name).parent.mkdir(parents=True, exist_ok=True)
        (profile / name).write_text(text.lstrip(), encoding="utf-8")
    (STATIC / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")


def summary_of(module: str) -> str:
    """Return a table of the public names of a module, each with the first line of its docstring."""
    name = f"sparseclust.{module}"
    found = ((n, getattr(importlib.import_module(name), n)) for n in importlib.import_module(name).__all__)
    rows = [f"| {{py:obj}}`~{name}.{n}` | {first_line(o)} |" for n, o in found if callable(o)]
    return "\n".join(["| | |", "|---|---|", *rows, ""])


def summary_of_packages() -> str:
    """Return a table of the public subpackages."""
    rows = [
        f"| [{name}]({'../metrics.md#reference' if name == 'metrics' else f'{name}.md'}) "
        f"| {first_line(importlib.import_module(f'sparseclust.{name}'))} |"
        for name in sparseclust.__all__[1:]
    ]
    return "\n".join(["| | |", "|---|---|", *rows, "| [command line](cli.md) | what `--help` prints |", ""])


def first_line(thing: Any) -> str:
    """Return the first line of a docstring as Markdown."""
    line = (inspect.getdoc(thing) or "").partition("\n")[0]
    return re.sub(r":\w+:`~?", "`", line).replace("``", "`").replace("|", "\\|")


def help_of(command: str) -> str:
    """Return what ``sparseclust COMMAND --help`` prints."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        main([command, "--help"])
    return text.getvalue().replace(" \b", "")  # argparse prints a backspace where a space is too many


def add_plotly(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Load plotly.js where a page has a figure of it, before the figure."""
    if "plotly-graph-div" in context.get("body", ""):
        context["metatags"] += f'<script src="{context["pathto"]("_static/plotly.min.js", 1)}"></script>'


def leave_out_any(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, None] | None:
    """Write no ``(*args, **kwargs)`` for classes without a constructor of their own."""
    return ("", None) if signature == "(*args, **kwargs)" else None


def keep_pairs(app: Sphinx, tree: Any, page: str) -> None:
    """Break no line between the numbers of a pair in a table."""
    for cell in tree.findall(entry):
        for text in list(cell.findall(Text)):
            text.parent.replace(text, Text(re.sub(r"(?<=[\d)]) / (?=[\d.])", "\xa0/\xa0", text)))


def skip_tuple_fields(
    app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out fields of named tuples: their docstrings only number them."""
    return True if type(member).__name__ == "_tuplegetter" else None


def list_references(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Make a list of the references of a docstring: footnotes would be numbered within the page."""
    lines[:] = [re.sub(r"^\.\. \[(\d+)\]", r"\1.", line).replace("]_", "]") for line in lines]


def inline_math(translator: Any, node: Any) -> None:
    """Write a formula within a line."""
    translator.body.append(tex2mathml(node.astext()))
    raise SkipNode


def display_math(translator: Any, node: Any) -> None:
    """Write a formula on a line of its own, with room that the scroll bar of the theme does not cut."""
    formula = tex2mathml(node.astext(), as_block=True)
    translator.body.append(f'<div style="padding: 0.5em">{formula}</div>')
    raise SkipNode
