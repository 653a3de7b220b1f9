"""The U-ResNet rebuilt from spconv's own layers with its weights: the peer on a CPU."""

import copy
import functools
from typing import Any

import spconv.pytorch as spconv
import torch
from spconv.pytorch import ops
from torch import Tensor, nn

from sparseclust.backbones import UResNet
from sparseclust.sparse import InverseConv, StridedConv

EXTENT = 768  # a multiple of 2^depth: an odd edge would lose its last plane on the way down


@functools.cache
def train_on_cpu() -> None:
    """Make spconv 2.3 train without CUDA: no stream to ask for, and no race between OpenMP threads.

    Threads of its ``scatter_add_cpu`` write to one row at the same time and lose sums, so that call runs on
    one thread; everything else uses as many as torch does.
    """
    scatter_add = ops.SpconvOps.scatter_add_cpu

    def scatter_add_alone(*args: Any) -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        scatter_add(*args)
        torch.set_num_threads(threads)

    ops.SpconvOps.scatter_add_cpu = staticmethod(scatter_add_alone)
    ops.get_current_stream = lambda: 0


class SpconvUResNet(nn.Module):
    """The layers of a :class:`UResNet`, in the same order; maps are shared through spconv's indice keys."""

    def __init__(self, net: UResNet) -> None:
        super().__init__()
        encoder, decoder = net.encoder, net.decoder
        depth = len(encoder.levels)
        self.stem = convolution(encoder.stem, "level0")
        self.down_levels = nn.ModuleList(blocks(b, f"level{i}") for i, b in enumerate(encoder.levels))
        self.downs = nn.ModuleList(
            spconv.SparseSequential(*norm_act(act), convolution(conv, f"down{i}"))
            for i, (act, conv) in enumerate(encoder.downs)
        )
        self.ups = nn.ModuleList(
            spconv.SparseSequential(*norm_act(act), convolution(up, f"down{depth - 2 - i}"))
            for i, (act, up) in enumerate(zip(decoder.acts, decoder.ups))
        )
        self.up_levels = nn.ModuleList(
            blocks(b, f"level{depth - 2 - i}") for i, b in enumerate(decoder.levels)
        )
        self.last = copy.deepcopy(decoder.last.rows)

    def forward(self, feats: Tensor, coords: Tensor) -> Tensor:
        """Return features on the voxels of a batch of events (n, out)."""
        x = spconv.SparseConvTensor(feats, coords, [EXTENT] * 3, int(coords[:, 0].max()) + 1)
        pyramid = [self.down_levels[0](self.stem(x))]
        for down, level in zip(self.downs, self.down_levels[1:]):
            pyramid.append(level(down(pyramid[-1])))
        x = pyramid[-1]
        for skip, up, level in zip(pyramid[-2::-1], self.ups, self.up_levels):
            x = level(skip.replace_feature(torch.cat([skip.features, up(x).features], dim=1)))
        out: Tensor = self.last(x.features)
        return out


class _Residual(nn.Module):
    def __init__(self, block: nn.Module, key: str) -> None:
        super().__init__()
        self.shortcut = copy.deepcopy(getattr(block.shortcut, "rows", block.shortcut))
        first_act, first, second_act, second = block.residual
        self.residual = spconv.SparseSequential(
            *norm_act(first_act), convolution(first, key), *norm_act(second_act), convolution(second, key)
        )

    def forward(self, x: Any) -> Any:
        y = self.residual(x)
        return y.replace_feature(self.shortcut(x.features) + y.features)


def blocks(level: nn.Module, key: str) -> nn.Module:
    return nn.Sequential(*(_Residual(block, key) for block in level))


def norm_act(layers: nn.Module) -> list[nn.Module]:
    return [copy.deepcopy(layer.rows) for layer in layers]


def convolution(layer: Any, key: str) -> nn.Module:
    """Return spconv's layer with the weights of ours, which are (volume, in, out)."""
    volume, n_in, n_out = layer.weight.shape
    size = round(volume ** (1 / 3))
    shared = {"bias": False, "indice_key": key, "algo": spconv.ConvAlgo.Native}
    if isinstance(layer, StridedConv):
        conv = spconv.SparseConv3d(n_in, n_out, size, stride=size, **shared)
    elif isinstance(layer, InverseConv):
        conv = spconv.SparseInverseConv3d(n_in, n_out, size, **shared)
    else:
        conv = spconv.SubMConv3d(n_in, n_out, size, **shared)
    with torch.no_grad():
        conv.weight.copy_(layer.weight.view(size, size, size, n_in, n_out).permute(4, 0, 1, 2, 3))
    return conv
