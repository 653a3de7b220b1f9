"""The configurations in examples/configs: every option exists, and the network can be built."""

from pathlib import Path

import pytest

from sparseclust.cli._judge import judge
from sparseclust.cli._main import _parser
from sparseclust.cli._train import build_network, train

FOLDER = Path(__file__).parents[2] / "examples/configs"
JUDGE = FOLDER / "spice-small-judge.yaml"
CONFIGS = sorted(set(FOLDER.glob("*.yaml")) - {JUDGE})


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_is_understood(path):
    parser, _ = _parser("train", train)
    options = parser.instantiate(parser.parse_args(["--config", str(path)]))
    assert options.max_minutes or options.max_steps
    network = build_network(options.network, size=options.size, seed=options.seed)
    assert sum(p.numel() for p in network.parameters()) > 1e6


def test_that_of_the_judge_is_understood():
    parser, _ = _parser("judge", judge)
    options = parser.instantiate(parser.parse_args(["events.h5", "--config", str(JUDGE)]))
    assert options.fragment_threshold.keys() == {0, 1, 2, 3}


def test_there_are_some():
    assert {path.stem for path in CONFIGS} >= {
        "spice-small",
        "spice-base",
        "spice-published",
        "semantic-small",
    }
