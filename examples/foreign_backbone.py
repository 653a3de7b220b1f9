"""Our heads, loss and clusterer on a backbone that knows nothing of them: dense convolutions on images.

    python examples/foreign_backbone.py

Your module becomes an encoder of one level, and a decoder for one level only normalises its features.
`check_encoder` says whether it keeps the promises: rows stay rows, in any order, and events do not see each
other.
"""

import torch
from torch import nn

from sparseclust.backbones import UResNetDecoder
from sparseclust.clustering import GaussianKernelClusterer
from sparseclust.data import VoxelInputs, collate_events
from sparseclust.data.simulation import EventGenerator, project_event
from sparseclust.heads import EmbeddingHead, MarginHead, SeedinessHead
from sparseclust.losses import SpatialEmbeddingLoss
from sparseclust.models import Branch, BranchedNet
from sparseclust.pipeline import Predictor
from sparseclust.sparse import SparseTensor
from sparseclust.testing import check_encoder

SIZE = 128  # pixels along each side


class Dense(nn.Module):
    def __init__(self, foreign: nn.Module, channels: int) -> None:
        super().__init__()
        self.foreign, self.channels = foreign, [channels]

    def forward(self, x: SparseTensor) -> list[SparseTensor]:
        event, row, column = x.coords.long().unbind(1)
        return [x.with_feats(self.foreign(x.dense((SIZE, SIZE)))[event, :, row, column])]


def main(steps: int = 200) -> None:
    torch.manual_seed(0)
    encoder = Dense(nn.Sequential(nn.Conv2d(3, 32, 9, padding=4), nn.ReLU(), nn.Conv2d(32, 16, 1)), 16)
    check_encoder(encoder, in_channels=3, ndim=2)
    heads = {"embeddings": EmbeddingHead(16, spatial_size=SIZE, dim=2), "margins": MarginHead(16)}
    heads["seediness"] = SeedinessHead(16)
    model = BranchedNet(encoder, {"main": Branch(UResNetDecoder(encoder.channels, ndim=2), heads)})
    inputs = VoxelInputs(SIZE)
    images = [project_event(EventGenerator("crowded", spatial_size=SIZE).event(i)) for i in range(41)]
    loss, optimizer = SpatialEmbeddingLoss(), torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        batch = collate_events([images[(4 * step + i) % 40] for i in range(4)], inputs=inputs)
        terms = loss(**model(batch.tensor), instance=batch.instance, group=batch.group)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
    predictor = Predictor(model, GaussianKernelClusterer(0.5, leftover="nearest"), inputs=inputs)
    [found] = predictor.predict(images[40:])
    print(f"loss {terms['loss'].item():.3f}; {len(found.labels)} pixels, {found.labels.max() + 1} particles")


if __name__ == "__main__":
    main()
