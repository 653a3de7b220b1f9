"""The same network and weights in an independent engine: outputs and gradients."""

from pathlib import Path

import numpy as np
import pytest
import torch
from engines import ENGINES, skip_unless_usable
from torch import Tensor, nn

from sparseclust.models import BranchedNet, spice
from sparseclust.sparse import SparseTensor, use_engine

SIZE = 64


def ours(theirs: str) -> str:
    """Name of a parameter in our network."""
    part, *rest = theirs.split(".")
    if part.endswith("_output"):
        return {
            "embedding_output": "",
            "seediness_output": "branches.seediness.heads.seediness.linear.weight",
        }[part]
    prefix = "encoder" if part == "encoder" else f"branches.{part.removesuffix('_decoder')}.decoder"
    match rest:
        case ["input_layer", _]:
            return f"{prefix}.stem.weight"
        case ["encoding_conv", i, _, _]:
            return f"{prefix}.downs.{i}.1.weight"
        case ["decoding_conv", i, _, _]:
            return f"{prefix}.ups.{i}.weight"
        case [_, i, j, "residual", _, _]:
            return f"{prefix}.levels.{i}.{j}.shortcut.rows.weight"
        case [_, i, j, "conv1" | "conv2" as conv, _]:
            return f"{prefix}.levels.{i}.{j}.residual.{1 if conv == 'conv1' else 3}.weight"
    raise AssertionError(theirs)


def reordered(kernel: Tensor) -> Tensor:
    """Their offsets have x fastest, ours z; a matrix has none."""
    if kernel.ndim == 2:
        return kernel
    size = round(len(kernel) ** (1 / 3))
    return kernel.view(size, size, size, *kernel.shape[1:]).permute(2, 1, 0, 3, 4).reshape(kernel.shape)


def translated(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their parameters, or gradients, under our names; their one linear layer is our two."""
    joint = arrays["embedding_output.1.linear.weight"]
    heads = "branches.embedding.heads"
    named = {
        ours(name): reordered(values)
        for name, values in arrays.items()
        if not name.startswith("embedding_output")
    }
    return named | {
        f"{heads}.embeddings.linear.weight": joint[:3],
        f"{heads}.margins.linear.weight": joint[3:],
    }


@pytest.fixture(scope="module")
def oracle(oracle_dir: Path) -> dict[str, Tensor]:
    with np.load(oracle_dir / "net_spine_relu_none.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files if name != "cfg"}


def section(oracle: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): values for name, values in oracle.items() if name.startswith(prefix)}


@pytest.fixture
def network(oracle: dict[str, Tensor]) -> BranchedNet:
    net = spice(spatial_size=SIZE, base_channels=8, depth=3, reps=1, norm="none")
    net.load_state_dict(translated(section(oracle, "sd/")), strict=False)
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
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


def test_every_parameter_is_compared(oracle, network):
    weights = {name: p.shape for name, p in network.named_parameters() if not name.endswith("bias")}
    assert {name: values.shape for name, values in translated(section(oracle, "sd/")).items()} == weights


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
    for name, expected in translated(section(oracle, "eval/grad/")).items():
        scale = expected.abs().max().item()
        torch.testing.assert_close(gradients[name], expected, rtol=0, atol=1e-4 * scale, msg=name)
