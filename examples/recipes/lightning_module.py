"""Train with Lightning in a module of your own: ``python examples/recipes/lightning_module.py``.

It is made of our network, loss, clusterer and metric.
"""

from functools import partial

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sparseclust.clustering import GaussianKernelClusterer
from sparseclust.data import Batch, VoxelDataset, VoxelInputs, collate_events
from sparseclust.data.simulation import EventGenerator
from sparseclust.losses import SpatialEmbeddingLoss
from sparseclust.models import spice
from sparseclust.pipeline import assemble
from sparseclust.training import PartitionMetric

INPUTS = VoxelInputs(64)


class Particles(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.model = spice(INPUTS.channels(3), spatial_size=64, base_channels=8, depth=3, initial_margin=0.2)
        self.loss = SpatialEmbeddingLoss()
        self.score = PartitionMetric()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        outputs = self.model(batch.tensor)
        loss = self.loss(**outputs, instance=batch.instance, group=batch.group)["loss"]
        self.log("loss", loss, batch_size=len(batch))
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        labels = assemble(GaussianKernelClusterer(0.5), self.model(batch.tensor), batch)
        self.score.update(batch.instance, torch.from_numpy(labels), batch.tensor.coords[:, 0], batch.semantic)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.score.compute())
        self.score.reset()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


def main(n_events: int = 16, epochs: int = 2) -> dict[str, Tensor]:
    generator = EventGenerator("pilarnet", spatial_size=64, rng=1)
    events = VoxelDataset([generator.event() for _ in range(n_events)])
    loader = DataLoader(events, batch_size=4, collate_fn=partial(collate_events, inputs=INPUTS))
    trainer = pl.Trainer(max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(Particles(), loader, loader)
    print(trainer.callback_metrics)
    return trainer.callback_metrics


if __name__ == "__main__":
    main()
