"""Adapter: products by spconv 2.3, on our own kernel maps."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from sparseclust._optional import require
from sparseclust.sparse.engines._protocol import Pairs
from sparseclust.sparse.engines._torch import TorchEngine


class SpconvEngine(TorchEngine):
    """Gather, multiply and scatter by spconv's native algorithm, float32 and float64.

    With our maps, coordinates may be negative, and events as many as 64-bit keys can tell apart; spconv's own
    maps drop the former and confuse more than nine events of 768^3. Its backward call asks for a CUDA stream
    even on the CPU, so the gradient of the weights stays with the reference.
    """

    name = "spconv"

    def convolve(self, feats: Tensor, weight: Tensor, pairs: Pairs, n_target: int, centre: int) -> Tensor:
        """Sum over all offsets; half types and what spconv refuses as empty go the way of the reference."""
        if feats.dtype not in (torch.float32, torch.float64) or min(*feats.shape, n_target) == 0:
            return super().convolve(feats, weight, pairs, n_target, centre)
        ops = require("spconv.pytorch.ops", extra="spconv")
        if feats.device.type != "cpu" and ops.CPU_ONLY_BUILD:
            raise ValueError(
                f"this is spconv's build for the CPU, the tensors are on {feats.device}; install one for "
                "CUDA, for example spconv-cu126, or use another engine"
            )
        table, counts = _pair_table(pairs)
        filters = weight.permute(2, 0, 1).contiguous()
        with _one_thread() if feats.device.type == "cpu" else contextlib.nullcontext():
            out: Tensor = ops.indice_conv(feats, filters, table, counts, n_target, subm=centre >= 0)
        return out


def _pair_table(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Source and target of each offset's pairs, in rows of equal length filled up with -1."""
    counts = pairs.splits.diff()
    table = pairs.source.new_full((2, len(counts), max(int(counts.max()), 1)), -1, dtype=torch.int32)
    shifts = torch.arange(len(counts)) * table.shape[2] - pairs.splits[:-1]
    places = torch.arange(len(pairs.source)) + torch.repeat_interleave(shifts, counts)
    table.view(2, -1)[:, places.to(table.device)] = torch.stack([pairs.source, pairs.target]).int()
    return table, counts.int().to(table.device)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """With several, threads of spconv's scatter_add_cpu write to the same row at the same time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


engine = SpconvEngine()
