"""The configurations in examples/configs: every option exists, and the network can be built."""

from pathlib import Path

import pytest

from sparseclust.cli._main import _parser
from sparseclust.cli._train import build_network, train

CONFIGS = sorted((Path(__file__).parents[2] / "examples/configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_is_understood(path):
    parser, _ = _parser("train", train)
    options = parser.instantiate(parser.parse_args(["--config", str(path)]))
    assert options.max_minutes or options.max_steps
    network = build_network(options.network, size=options.size, seed=options.seed)
    assert sum(p.numel() for p in network.parameters()) > 1e6


def test_there_are_some():
    assert {path.stem for path in CONFIGS} >= {
        "spice-small",
        "spice-base",
        "spice-published",
        "semantic-small",
    }
