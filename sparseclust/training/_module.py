"""The training step."""

from typing import Any

import numpy as np
import torch

from sparseclust.clustering import AffinityGraphClusterer, GaussianKernelClusterer
from sparseclust.data import Batch, SemanticClass
from sparseclust.losses import EdgeAffinityLoss, SpatialEmbeddingLoss
from sparseclust.metrics import score_events, summarize_scores
from sparseclust.pipeline import assemble, edges_within
from sparseclust.training._lightning import lightning


class SpatialEmbeddingModule(lightning.LightningModule):
    """Train a network to embed particles as Gaussian balls and, where it scores edges, to cut between them.

    Parameters
    ----------
    model : torch.nn.Module
        Maps a SparseTensor to ``"embeddings"``, ``"margins"``, ``"seediness"``; or to ``"edges"`` and
        ``"affinity"``; or to all of them.
    loss : torch.nn.Module, optional
        Of the embeddings; by default :class:`sparseclust.losses.SpatialEmbeddingLoss` as it comes.
    edge_loss : torch.nn.Module, optional
        Of the affinities; by default :class:`sparseclust.losses.EdgeAffinityLoss` as it comes.
    clusterer : GaussianKernelClusterer or AffinityGraphClusterer, optional
        Makes the labels that validation scores, and those of the trained predictor.
    learning_rate : float
        Peak rate of AdamW.
    weight_decay : float
        Of AdamW, on the weights of convolutions and linear layers.

    Notes
    -----
    The two losses are added. A loss group is one semantic class of one event. Logs the terms of the losses as
    ``train/*``, and per validation ``val/loss``, ``val/ari``, ``val/sbd`` (means over events and classes) and
    the same per class.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        loss: torch.nn.Module | None = None,
        edge_loss: torch.nn.Module | None = None,
        clusterer: GaussianKernelClusterer | AffinityGraphClusterer | None = None,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-4,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = SpatialEmbeddingLoss() if loss is None else loss
        self.edge_loss = EdgeAffinityLoss() if edge_loss is None else edge_loss
        self.clusterer = AffinityGraphClusterer() if clusterer is None else clusterer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self._scores: list[Any] = []

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Run the network on a batch."""
        outputs: dict[str, torch.Tensor] = self.model(batch.tensor)
        return outputs

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """One step."""
        terms = self._terms(batch, self(batch))
        self.log_dict(
            {f"train/{name}": value for name, value in terms.items()},
            batch_size=batch.tensor.batch_size,
            prog_bar=False,
        )
        self.log(
            "loss", terms["loss"].detach(), prog_bar=True, logger=False, batch_size=batch.tensor.batch_size
        )
        return terms["loss"]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and scores of one batch."""
        outputs = self(batch)
        terms = self._terms(batch, outputs)
        self.log("val/loss", terms["loss"], batch_size=batch.tensor.batch_size)
        self._scores.append(self._score(batch, outputs))

    def on_validation_epoch_end(self) -> None:
        """Log the mean scores."""
        if not self._scores:
            return
        table = np.concatenate(self._scores)
        self._scores = []
        for name in ("ari", "sbd"):
            self.log(
                f"val/{name}", float(np.nanmean(table[name])) if len(table) else float("nan"), prog_bar=True
            )
            for row in summarize_scores(table, by="semantic"):
                label = (
                    SemanticClass(row["semantic"]).name.lower()
                    if row["semantic"] in set(SemanticClass)
                    else "all"
                )
                self.log(f"val/{name}_{label}", float(row[name]["mean"]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; norms and biases do not decay."""
        weights = [p for p in self.parameters() if p.ndim > 1]
        others = [p for p in self.parameters() if p.ndim <= 1]
        groups = [
            {"params": weights, "weight_decay": self.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.learning_rate)

    def _terms(self, batch: Batch, outputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """``"loss"``, the sum, and the detached terms."""
        if batch.instance is None:
            raise ValueError("training needs events with true instances")
        terms: dict[str, torch.Tensor] = {}
        losses = []
        if "embeddings" in outputs:
            embedding = (outputs[name] for name in ("embeddings", "margins", "seediness"))
            terms |= self.loss(*embedding, instance=batch.instance, group=batch.group)
            losses.append(terms["loss"])
        if "affinity" in outputs:
            edges, logits = edges_within(outputs["edges"], outputs["affinity"], batch.group)
            terms |= self.edge_loss(logits, edges, instance=batch.instance)
            losses.append(terms["loss"])
        return {**terms, "loss": torch.stack(losses).sum()}

    def _score(self, batch: Batch, outputs: dict[str, torch.Tensor]) -> Any:
        assert batch.instance is not None
        labels = assemble(self.clusterer, outputs, batch)
        true = batch.instance.cpu().numpy()
        known = true >= 0
        event = batch.tensor.coords[:, 0].cpu().numpy()
        semantic = None if batch.semantic is None else batch.semantic.cpu().numpy()[known]
        return score_events(true[known], labels[known], event=event[known], semantic=semantic)
