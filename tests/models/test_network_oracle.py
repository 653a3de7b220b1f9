"""The same network and weights in an independent engine: outputs and gradients."""

from pathlib import Path

import numpy as np
import pytest
import torch
from engines import ENGINES, skip_unless_usable
from torch import Tensor, nn

from sparseclust.models import BranchedNet, convert_state_dict, spice
from sparseclust.sparse import SparseTensor, use_engine

SIZE = 64


@pytest.fixture(scope="module")
def oracle(oracle_dir: Path) -> dict[str, Tensor]:
    with np.load(oracle_dir / "net_spine_relu_none.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files if name != "cfg"}


def section(oracle: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): values for name, values in oracle.items() if name.startswith(prefix)}


@pytest.fixture
def network(oracle: dict[str, Tensor]) -> BranchedNet:
    net = spice(spatial_size=SIZE, base_channels=8, depth=3, reps=1, norm="none")
    net.load_state_dict(convert_state_dict(section(oracle, "sd/"), source="spine"))
    for module in net.modules():
        if isinstance(module, nn.LeakyReLU):
            module.negative_slope = 0.0
    return net


@pytest.fixture(params=ENGINES)
def outputs(
    request: pytest.FixtureRequest, oracle: dict[str, Tensor], network: BranchedNet
) -> dict[str, Tensor]:
    skip_unless_usable(request.param, "cpu")
    rows = oracle["data"][oracle["eval/filter_index"]]
    coords = rows[:, :4].int()
    places = coords[:, 1:] * 2 / SIZE - 1
    with use_engine(request.param):
        return network(SparseTensor(torch.cat([places, rows[:, 4:]], dim=1), coords))


def test_outputs(oracle, outputs):
    # They put a voxel's corner, not its centre, at its coordinate: half a voxel in the unit volume.
    half_voxel = 1 / SIZE
    torch.testing.assert_close(
        outputs["embeddings"] - half_voxel, oracle["eval/embeddings"], rtol=0, atol=1e-4
    )
    torch.testing.assert_close(outputs["margins"], oracle["eval/margins"].squeeze(1), rtol=0, atol=1e-4)
    torch.testing.assert_close(outputs["seediness"], oracle["eval/seediness"].squeeze(1), rtol=0, atol=1e-4)


def test_gradients(oracle, network, outputs):
    embeddings = outputs["embeddings"] - 1 / SIZE
    loss = embeddings.square().sum() + outputs["margins"].sum() + 3 * outputs["seediness"].sum()
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    found = convert_state_dict(section(oracle, "eval/grad/"), source="spine")
    weights = {name: expected for name, expected in found.items() if not name.endswith("bias")}
    assert weights.keys() == {name for name in gradients if not name.endswith("bias")}
    for name, expected in weights.items():
        scale = expected.abs().max().item()
        torch.testing.assert_close(gradients[name], expected, rtol=0, atol=1e-4 * scale, msg=name)
