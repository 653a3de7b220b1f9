"""Write a head of your own: here one that points from every voxel to the middle of its particle.

    python examples/own_head.py

A head is a module from a SparseTensor to a tensor with a row per voxel; `check_head` says whether it is
one. In a branch it stands beside others, and the model returns its output under the name it has there.
"""

import torch
from torch import Tensor, nn

from sparseclust.backbones import UResNetDecoder, UResNetEncoder
from sparseclust.data import Batch, VoxelDataset, VoxelInputs, collate_events
from sparseclust.data.simulation import EventGenerator
from sparseclust.heads import SeedinessHead
from sparseclust.losses import segment_mean
from sparseclust.models import Branch, BranchedNet
from sparseclust.sparse import SparseTensor
from sparseclust.testing import check_head


class MiddleHead(nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, 3)

    def forward(self, features: SparseTensor) -> Tensor:
        return 20 * self.linear(features.feats)  # voxels


def true_steps(batch: Batch) -> Tensor:
    """Return what the head should say; a particle is an instance of one event and class."""
    particle = torch.stack([batch.group, batch.instance]).unique(dim=1, return_inverse=True)[1]
    places = batch.tensor.coords[:, 1:].float()
    return segment_mean(places, particle, int(particle.max()) + 1)[particle] - places


def main(steps: int = 150) -> None:
    torch.manual_seed(0)
    inputs, generator = VoxelInputs(128), EventGenerator(spatial_size=128)
    encoder = UResNetEncoder(inputs.channels(ndim=3), base_channels=8, depth=4)
    decoder = UResNetDecoder(encoder.channels)
    heads = {"middle": MiddleHead(decoder.out_channels), "seediness": SeedinessHead(decoder.out_channels)}
    model = BranchedNet(encoder, {"main": Branch(decoder, heads)})
    check_head(heads["middle"], in_channels=decoder.out_channels)
    events = VoxelDataset([generator.event() for _ in range(40)])  # without the class of low energy
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        batch = collate_events([events[(4 * step + i) % 40] for i in range(4)], inputs=inputs)
        miss = (model(batch.tensor)["middle"] - true_steps(batch)).norm(dim=1).mean()
        optimizer.zero_grad()
        miss.backward()
        optimizer.step()
        if step in (0, steps - 1):
            print(f"step {step}: misses the middle by {miss.item():.1f} voxels")


if __name__ == "__main__":
    main()
