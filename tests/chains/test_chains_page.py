"""The page on other chains: its blocks run, and the breaks it speaks of are those of the tests."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from sparseclust.clustering import cluster_embeddings
from sparseclust.models import spice

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "chains.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def block(name: str) -> dict:
    (code,) = (code for code in BLOCKS if name in code)
    variables = {"__name__": "page"}
    exec(compile(code, "chains.md", "exec"), variables)
    return variables


def test_every_recipe_is_shown():
    folder = Path(__file__).resolve().parents[2] / "examples" / "recipes"
    assert {path.name for path in folder.glob("*.py")} == set(re.findall(r"recipes/(\w+\.py)", PAGE))


def test_a_head_is_exported_for_any_number_of_voxels():
    variables = block("class Program")
    feats, coords = torch.ones(9, 8), torch.arange(36, dtype=torch.int32).reshape(9, 4) * 0
    assert variables["program"].module()(feats, coords).shape == (9,)


def test_a_broken_head_is_named(capsys):
    block("class Centred")
    assert capsys.readouterr().out == (
        "broken promise: an event does not depend on the others of its batch\n"
    )


def test_a_checkpoint_of_other_names_is_refused_and_inputs_are_theirs(rng, tmp_path):
    page = block("def load_spice")
    coords = torch.from_numpy(np.column_stack([np.zeros(9, int), rng.integers(0, 64, (9, 3))]))
    x = page["their_inputs"](coords, torch.arange(9.0), 64)
    torch.testing.assert_close(x.feats[:, :3] + 1 / 64, (coords[:, 1:] + 0.5) * 2 / 64 - 1)
    assert x.feats[:, 3].tolist() == list(range(9))
    net = spice(4, spatial_size=64, base_channels=4, depth=2, reps=1)
    torch.save({"state_dict": {f"module.{n}": v for n, v in net.state_dict().items()}}, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match=r"encoder\.stem\.weight"):  # ours, not theirs
        page["load_spice"](str(tmp_path / "x.ckpt"), 64, base_channels=4, depth=2, reps=1)


def test_a_constant_shift_of_the_embeddings_changes_no_cluster(rng):
    points, margins, seediness = rng.random((200, 3)), np.full(200, 0.1), rng.random(200)
    options = {"seed_threshold": 0.3, "assignment": "argmax", "leftover": "nearest"}
    labels = cluster_embeddings(points, margins, seediness, **options)
    assert np.array_equal(labels, cluster_embeddings(points + 1 / 64, margins, seediness, **options))
