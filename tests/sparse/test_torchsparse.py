"""torchsparse's own autograd function as an independent reference."""

import importlib

import pytest
import torch

from sparseclust.sparse import available_engines, sparse_conv, strided_map, submanifold_map, use_engine

STATE = available_engines()["torchsparse"]
pytestmark = pytest.mark.skipif(STATE != "ok", reason=f"torchsparse: {STATE}")


def own_convolution(feats, weight, kernel_map):
    """Run torchsparse, which finds the input in the first column of its map and the output in the second."""
    module = importlib.import_module("torchsparse.nn.functional.conv.func.gather_scatter")
    own_map = {
        "nbmaps": torch.stack([kernel_map.source, kernel_map.target], dim=1),
        "nbsizes": kernel_map.splits.diff(),
        "sizes": (kernel_map.n_source, kernel_map.n_target),
        "input_mask": None,
        "output_mask": None,
    }
    options = {"epsilon": 0.0, "mm_thresh": 0}
    return module.GatherScatterConvolutionFuntion.apply(feats, weight, own_map, options, False)


@pytest.mark.parametrize("kind", ["submanifold", "strided"])
def test_values_and_gradients_are_torchsparses(make_coords, kind):
    coords = make_coords(3)
    kernel_map = submanifold_map(coords, 3) if kind == "submanifold" else strided_map(coords, 2)[1]
    feats = torch.randn(len(coords), 3, requires_grad=True)
    weight = torch.randn(kernel_map.volume, 3, 5, requires_grad=True)
    with use_engine("torchsparse"):
        ours = sparse_conv(feats, weight, kernel_map)
    theirs = own_convolution(feats, weight, kernel_map)
    upper = torch.randn(ours.shape)
    for a, b in zip(
        (ours, *torch.autograd.grad((ours * upper).sum(), [feats, weight])),
        (theirs, *torch.autograd.grad((theirs * upper).sum(), [feats, weight])),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
