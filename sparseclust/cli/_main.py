"""Find the command, read its options, run it, and turn errors into one clear line."""

import argparse
import importlib
import inspect
import os
import re
import sys
import typing
from collections.abc import Callable, Sequence
from typing import Any

from sparseclust._optional import require
from sparseclust._version import __version__

# One module `_<name>.py` per command, holding a function of that name. Only the chosen one is imported. If it
# has a function `defaults` too, that makes of the options given the defaults of those that are not.
COMMANDS = {
    "demo": "simulate, train, predict, score and draw, in one go",
    "simulate": "write simulated events",
    "train": "train a network",
    "predict": "label the voxels of events",
    "classify": "give voxels predicted semantic classes",
    "merge": "show the predictions of many files as one",
    "evaluate": "score predictions beside DBSCAN and the published network",
    "display": "look at events in a page that needs no network",
    "tune": "find the best thresholds per class",
    "judge": "train a judge that joins fragments",
    "info": "what this installation can do",
}

_USAGE = """usage: sparseclust COMMAND [options]

Sparse instance segmentation: cluster voxels into particles, and score the result.

commands:
{commands}

`sparseclust COMMAND --help` lists a command's options. Every command also reads them from a file
(--config FILE); --print_config writes one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0, 2 on bad usage or input, 130 on Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help"):
        print(_USAGE.format(commands="\n".join(f"  {name:10s} {text}" for name, text in COMMANDS.items())))
        return 0
    if first == "--version":
        print(f"sparseclust {__version__}")
        return 0
    if first not in COMMANDS:
        print(f"sparseclust: no command {first!r}; there are: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    return _run(first, arguments[1:])


def _run(name: str, arguments: list[str]) -> int:
    # Where cores are few, torch's threads must sleep while they wait, or they starve the workers that read.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        module = importlib.import_module(f"sparseclust.cli._{name}")
        command = getattr(module, name)
        parser, positional = _parser(name, command)
        if hasattr(module, "defaults") and not any(a.startswith("--print_config") for a in arguments):
            parser.set_defaults(module.defaults(parser.parse_args(arguments)))
        options = parser.instantiate(parser.parse_args(arguments))
        options.pop("config")
        values = [options.pop(p) for p in positional]
        command(*values, **dict(options))
    except KeyboardInterrupt as stop:
        return _stopped(name, str(stop))
    except SystemError as error:
        if not _is_interrupt(error):
            raise
        return _stopped(name, "")
    except argparse.ArgumentError as error:
        print(f"sparseclust {name}: error: {_in_a_line(str(error))}", file=sys.stderr)
        print(f"`sparseclust {name} --help` lists the options", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f"sparseclust {name}: error: {error}", file=sys.stderr)
        return 2
    return 0


def _in_a_line(complaint: str) -> str:
    """Shorten what the parser says of an option."""
    option = re.match(r'Parser key "([\w.]+)":\s*', complaint)
    if option is None:
        return " ".join(complaint.split())
    wanted = re.findall(r"Expected an? (.+?)(?:\. Got value|$)", complaint, re.MULTILINE)
    got = re.search(r"(?:Got|Given) value: (.*)", complaint)
    if got is None or not wanted:
        return f"--{option[1]}: {' '.join(complaint[option.end() :].split())}"
    kinds = (re.sub(r"<class '(.+)'>|typing\.", r"\1", kind) for kind in wanted if "NoneType" not in kind)
    return f"--{option[1]}: expected {' or '.join(kinds)}, got {got[1]}"


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether a Ctrl-C is behind an error: one that arrives inside numba becomes a SystemError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _stopped(name: str, why: str) -> int:
    print(f"\nsparseclust {name}: stopped{': ' + why if why else ''}", file=sys.stderr)
    return 130


def _parser(name: str, command: Callable[..., None]) -> tuple[Any, list[str]]:
    """Build a parser from the signature and docstring; also name the positional arguments."""
    jsonargparse = require("jsonargparse", extra="train")
    docstring = require("docstring_parser", extra="train").parse(command.__doc__)
    texts = {p.arg_name: p.description for p in docstring.params}
    types = typing.get_type_hints(command)
    parser = jsonargparse.ArgumentParser(
        prog=f"sparseclust {name}", description=docstring.short_description, exit_on_error=False
    )
    parser.add_argument("--config", action="config", help="Read options from this YAML or JSON file.")
    positional = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            positional.append(parameter.name)
            kind = types[parameter.name]
            many = typing.get_origin(kind) is list
            parser.add_argument(
                parameter.name,
                type=typing.get_args(kind)[0] if many else kind,
                help=texts[parameter.name],
                **({"nargs": "+"} if many else {}),
            )
    parser.add_function_arguments(command, skip=set(positional), as_group=False)
    return parser, positional
