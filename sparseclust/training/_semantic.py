"""The training step of a classifier of voxels."""

from collections.abc import Sequence

import torch

from sparseclust.data import Batch, SemanticClass, VoxelInputs
from sparseclust.losses import SemanticLoss
from sparseclust.pipeline import SemanticClassifier
from sparseclust.training._lightning import lightning
from sparseclust.training._optimizer import adamw
from sparseclust.training._shares import share_of_mean, voxel_weight


class SemanticModule(lightning.LightningModule):
    """Train a network to say which semantic class each voxel is of.

    Parameters
    ----------
    model : torch.nn.Module
        Maps a SparseTensor to ``"semantic"``, logits (n, classes).
    loss : torch.nn.Module, optional
        By default :class:`sparseclust.losses.SemanticLoss` as it comes.
    learning_rate : float
        Peak rate of AdamW.
    weight_decay : float
        Of AdamW, on the weights of convolutions and linear layers.

    Notes
    -----
    Logs ``train/loss`` and ``train/accuracy``, and per validation ``val/loss``, ``val/accuracy`` and
    ``val/iou``, the mean over the classes that occur of intersection over union, and that of each class.
    """

    monitor = "val/iou"

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        loss: torch.nn.Module | None = None,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-4,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = SemanticLoss() if loss is None else loss
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.confusion: torch.Tensor | None = None

    def trained(self, inputs: VoxelInputs, classes: Sequence[int]) -> SemanticClassifier:
        """Return what applies the network to events; specks of fewer than four voxels are smoothed away."""
        return SemanticClassifier(self.model, inputs=inputs, min_size=4)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return the logits."""
        logits: torch.Tensor = self.model(batch.tensor)["semantic"]
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """One step."""
        truth, size = _truth(batch), batch.tensor.batch_size
        terms = self.loss(self(batch), truth)
        loss: torch.Tensor = terms["loss"] * share_of_mean(voxel_weight, truth, self.loss)
        self.log("train/loss", loss.detach(), batch_size=size, sync_dist=True)
        self.log("train/accuracy", terms["accuracy"], batch_size=size)
        self.log("loss", loss.detach(), prog_bar=True, logger=False, batch_size=size)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Begin to count."""
        self.confusion = None

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count pairs of true and predicted class."""
        logits, truth = self(batch), _truth(batch)
        self.log(
            "val/loss", self.loss(logits, truth)["loss"], batch_size=batch.tensor.batch_size, sync_dist=True
        )
        k = logits.shape[1]
        known = truth >= 0
        pairs = truth[known] * k + logits.argmax(1)[known]
        counts = torch.bincount(pairs, minlength=k * k).reshape(k, k)
        self.confusion = counts if self.confusion is None else self.confusion + counts

    def on_validation_epoch_end(self) -> None:
        """Log the scores, of the voxels of all processes."""
        if self.confusion is None:
            return
        counts = self.all_gather(self.confusion).reshape(-1, *self.confusion.shape).sum(0).double()
        hit = counts.diagonal()
        iou = hit / (counts.sum(0) + counts.sum(1) - hit)
        self.log("val/accuracy", hit.sum() / counts.sum(), prog_bar=True, sync_dist=True)
        self.log("val/iou", iou.nanmean(), prog_bar=True, sync_dist=True)
        for c in SemanticClass:
            if c < len(iou):
                self.log(f"val/iou_{c.name.lower()}", iou[c], sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; norms and biases do not decay."""
        return adamw(self, learning_rate=self.learning_rate, weight_decay=self.weight_decay)


def _truth(batch: Batch) -> torch.Tensor:
    if batch.semantic is None:
        raise ValueError("training a classifier needs events with semantic classes")
    return batch.semantic
