"""Gradients of several processes against those of one, on the same events.

    torchrun --nproc-per-node 2 benchmarks/bench_processes.py

Every process computes the gradients of the whole batch by itself, and then those of its part with the
others. Printed are the length of the difference of all gradients relative to their length, that of the
moving statistics of the norms, and, as a measure of rounding alone, that of one process when it gets the
events in reverse.
"""

import torch
from torch import Tensor, distributed

from sparseclust.data import Batch, VoxelInputs, collate_events
from sparseclust.data.simulation import EventGenerator
from sparseclust.models import create_model
from sparseclust.training import SpatialEmbeddingModule
from sparseclust.training._batches import _shares
from sparseclust.training._shares import share_of_mean
from sparseclust.training._sync_norm import SyncBatchNorms

SIZE = 256
EVENTS = 6


def gradients(events, dtype, together: bool) -> tuple[Tensor, Tensor]:
    """All gradients, and all moving statistics, of one step."""
    torch.manual_seed(0)
    model = create_model("edge_spice", spatial_size=SIZE, base_channels=8, depth=4).to(dtype)
    module = SpatialEmbeddingModule(model)
    if together:
        SyncBatchNorms().apply(module)
    batch = collate_events(events, inputs=VoxelInputs(SIZE))
    batch = Batch(batch.tensor.with_feats(batch.tensor.feats.to(dtype)), batch.semantic, batch.instance)
    share = share_of_mean if together else lambda *_: 1.0
    module._terms(batch, module(batch), share)["loss"].backward()
    found = torch.cat([p.grad.flatten() for p in module.parameters()])
    if together:
        distributed.all_reduce(found)
        found /= distributed.get_world_size()
    return found, torch.cat([b.flatten() for b in module.buffers() if b.is_floating_point()])


def _difference(found: Tensor, expected: Tensor) -> str:
    return f"{float((found - expected).norm() / expected.norm()):.1e}"


def main() -> None:
    distributed.init_process_group("gloo")
    rank, n = distributed.get_rank(), distributed.get_world_size()
    generator = EventGenerator("crowded", rng=1, spatial_size=SIZE)
    events = [generator.event(i) for i in range(EVENTS)]
    sizes = [len(event) for event in events]
    shares = _shares(sizes, n)
    part = [events[i] for i in shares[rank]]
    if rank == 0:
        print(f"{n} processes, {EVENTS} events, voxels", [sum(sizes[i] for i in share) for share in shares])
    for dtype in (torch.float64, torch.float32):
        alone = gradients(events, dtype, False)
        several = gradients(part, dtype, True)
        turned = gradients(events[::-1], dtype, False)
        if rank == 0:
            print(
                f"{dtype}: gradients {_difference(several[0], alone[0])}, "
                f"statistics {_difference(several[1], alone[1])}; "
                f"one process, events in reverse: {_difference(turned[0], alone[0])}"
            )
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
