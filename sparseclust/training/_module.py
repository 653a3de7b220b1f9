"""The training step."""

import math

import torch

from sparseclust.clustering import AffinityGraphClusterer, GaussianKernelClusterer
from sparseclust.data import Batch, SemanticClass
from sparseclust.losses import EdgeAffinityLoss, SpatialEmbeddingLoss
from sparseclust.pipeline import assemble, edges_within, network_outputs
from sparseclust.training._lightning import lightning
from sparseclust.training._metrics import PartitionMetric


class SpatialEmbeddingModule(lightning.LightningModule):
    """Train a network to embed particles as Gaussian balls and, where it scores edges, to cut between them.

    Parameters
    ----------
    model : torch.nn.Module
        Maps a SparseTensor to ``"embeddings"``, ``"margins"``, ``"seediness"``; or to ``"edges"`` and
        ``"affinity"``; or to all of them.
    loss : torch.nn.Module, optional
        Of the embeddings, called like :class:`sparseclust.losses.SpatialEmbeddingLoss` with instance, group,
        event and semantic; by default that, as it comes.
    edge_loss : torch.nn.Module, optional
        Of the affinities of touching voxels; by default :class:`sparseclust.losses.EdgeAffinityLoss` as it
        comes. Bridges over gaps, of which there are few and no more of one kind than of the other, have a
        cross-entropy of their own.
    clusterer : GaussianKernelClusterer or AffinityGraphClusterer, optional
        Makes the labels that validation scores, and those of the trained predictor. The default, an
        AffinityGraphClusterer, needs a network that scores edges.
    learning_rate : float
        Peak rate of AdamW.
    weight_decay : float
        Of AdamW, on the weights of convolutions and linear layers.

    Notes
    -----
    The losses are added. A loss group is one semantic class of one event. Logs the terms of the losses as
    ``train/*``, the loss of the embeddings also per class (``train/loss_track``, ``nan`` in a step without
    the class), and per validation ``val/loss``, ``val/ari``, ``val/sbd`` (means over events and classes) and
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
        self.bridge_loss = EdgeAffinityLoss(cut_weight=1.0)
        self.clusterer = AffinityGraphClusterer() if clusterer is None else clusterer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.scores = PartitionMetric()
        self.class_scores = PartitionMetric(by="semantic")

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Run the network on a batch."""
        return network_outputs(self.model, batch)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """One step."""
        terms = self._terms(batch, self(batch))
        self.log_dict(_named(terms), batch_size=batch.tensor.batch_size, prog_bar=False)
        self.log(
            "loss", terms["loss"].detach(), prog_bar=True, logger=False, batch_size=batch.tensor.batch_size
        )
        return terms["loss"]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and scores of one batch."""
        outputs = self(batch)
        terms = self._terms(batch, outputs)
        self.log("val/loss", terms["loss"], batch_size=batch.tensor.batch_size, sync_dist=True)
        assert batch.instance is not None
        labels = torch.from_numpy(assemble(self.clusterer, outputs, batch)).to(batch.instance.device)
        known = batch.instance >= 0
        semantic = None if batch.semantic is None else batch.semantic[known]
        points = batch.instance[known], labels[known], batch.tensor.coords[known, 0], semantic
        self.scores.update(*points)
        self.class_scores.update(*points)

    def on_validation_epoch_end(self) -> None:
        """Log the mean scores, of the events of all processes."""
        means, of_classes = self.scores.compute(), self.class_scores.compute()
        self.scores.reset()
        self.class_scores.reset()
        for score in ("ari", "sbd"):
            self.log(f"val/{score}", means[score], prog_bar=True)
            for number in SemanticClass:
                if f"{score}/{number}" in of_classes:
                    self.log(f"val/{score}_{number.name.lower()}", of_classes[f"{score}/{number}"])

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
            event = batch.tensor.coords[:, 0].long()
            terms |= self.loss(
                *embedding, instance=batch.instance, group=batch.group, event=event, semantic=batch.semantic
            )
            losses.append(terms["loss"])
        if "affinity" in outputs:
            edges, logits = edges_within(outputs["edges"], outputs["affinity"], batch.group)
            places = batch.tensor.coords[:, 1:]
            bridge = (places[edges[0]] - places[edges[1]]).abs().amax(dim=1) > 1
            touching = edges[:, ~bridge]
            terms |= self.edge_loss(logits[~bridge], touching, instance=batch.instance, event=batch.group)
            losses.append(terms["loss"])
            if getattr(self.model, "bridge_radius", 0.0):
                of_bridges = self.bridge_loss(logits[bridge], edges[:, bridge], instance=batch.instance)
                terms |= {f"bridge_{name}": value for name, value in of_bridges.items()}
                losses.append(terms["bridge_loss"])
        return {**terms, "loss": torch.stack(losses).sum()}


def _named(terms: dict[str, torch.Tensor]) -> dict[str, torch.Tensor | float]:
    """Names in the log; absent classes are there too, or their last values would be repeated."""
    logged: dict[str, torch.Tensor | float] = {f"train/{n}": v for n, v in terms.items() if "/" not in n}
    if len(logged) < len(terms):
        for c in SemanticClass:
            logged[f"train/loss_{c.name.lower()}"] = terms.get(f"loss/{c}", math.nan)
    return logged
