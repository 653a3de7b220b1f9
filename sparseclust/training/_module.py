"""The training step."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch

from sparseclust.clustering import AffinityGraphClusterer, AgglomerativeClusterer, GaussianKernelClusterer
from sparseclust.data import Batch, SemanticClass, VoxelInputs
from sparseclust.losses import EdgeAffinityLoss, MaximinAffinityLoss, SpatialEmbeddingLoss
from sparseclust.pipeline import Predictor, assemble, edges_within, network_outputs
from sparseclust.training._lightning import lightning
from sparseclust.training._metrics import PartitionMetric
from sparseclust.training._optimizer import adamw
from sparseclust.training._shares import cluster_weight, edge_weight, share_of_mean

_ALONE = {"edges": ("edges", "affinity"), "embeddings": ("embeddings", "margins", "seediness")}


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
    maximin_weight : float
        Weight of :class:`sparseclust.losses.MaximinAffinityLoss` of touching voxels and bridges together; 0
        leaves it out.
    clusterer : GaussianKernelClusterer, AffinityGraphClusterer or AgglomerativeClusterer, optional
        Makes the labels that validation scores, and those of the trained predictor. The default, an
        AffinityGraphClusterer, needs a network that scores edges.
    only : {"edges", "embeddings"}, optional
        Train these alone: branches of a :class:`~sparseclust.models.BranchedNet` for the other are not run,
        which saves their time, and keep their weights, though the encoder that they read learns on.
    across_classes : bool
        Learn whether touching voxels of different classes are of one particle, too: for events whose classes
        are predicted, where they may be. Bridges and embeddings stay within a class.
    learning_rate : float
        Peak rate of AdamW.
    weight_decay : float
        Of AdamW, on the weights of convolutions and linear layers.

    Raises
    ------
    ValueError
        If the network has no branches for what is to be trained alone, or ``across_classes`` is asked for
        beside Gaussian kernels.

    Notes
    -----
    The losses are added. A loss group is one semantic class of one event. Logs the terms of the losses as
    ``train/*``, the loss of the embeddings also per class (``train/loss_track``, ``nan`` in a step without
    the class), and per validation ``val/loss``, ``val/ari``, ``val/sbd`` (means over events and classes) and
    the same per class.

    The loss of a voxel grows with the square of its distance in margins, without a bound, so one event can
    make ``val/loss`` jump where the scores stay as they were. At full learning rate the moving statistics of
    the norms, which remember some ten batches, add to that; averages (:class:`WeightAverage`) steady it.
    """

    monitor = "val/sbd"

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        loss: torch.nn.Module | None = None,
        edge_loss: torch.nn.Module | None = None,
        maximin_weight: float = 1.0,
        clusterer: GaussianKernelClusterer | AffinityGraphClusterer | AgglomerativeClusterer | None = None,
        only: Literal["edges", "embeddings"] | None = None,
        across_classes: bool = False,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-4,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = SpatialEmbeddingLoss() if loss is None else loss
        self.edge_loss = EdgeAffinityLoss() if edge_loss is None else edge_loss
        self.bridge_loss = EdgeAffinityLoss(cut_weight=1.0)
        self.maximin_loss = MaximinAffinityLoss()
        self.maximin_weight = maximin_weight
        self.clusterer = AffinityGraphClusterer() if clusterer is None else clusterer
        if only not in (None, *_ALONE):
            raise ValueError(f"only must be one of {list(_ALONE)}, got {only!r}")
        self.only = None if only is None else _ALONE[only]
        given = list(getattr(model, "outputs", ()))
        if not set(self.only or ()) <= set(given):
            raise ValueError(f"{only} alone cannot be trained: the branches of the network give {given}")
        if across_classes and isinstance(self.clusterer, GaussianKernelClusterer):
            raise ValueError("across_classes is about edges, and needs an AffinityGraphClusterer")
        self.across_classes = across_classes
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.scores = PartitionMetric()
        self.class_scores = PartitionMetric(by="semantic")

    def train(self, mode: bool = True) -> "SpatialEmbeddingModule":
        """Switch to training; parts of which nothing is trained stay as they are used, norms among them."""
        super().train(mode)
        for part in self.modules():
            parameters = list(part.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                part.eval()
        return self

    def trained(self, inputs: VoxelInputs, classes: Sequence[int]) -> Predictor:
        """Return what applies the network to events.

        With Gaussian kernels it repairs their clusters.
        """
        refine = isinstance(self.clusterer, GaussianKernelClusterer)
        return Predictor(
            self.model,
            self.clusterer,
            inputs=inputs,
            classes=classes,
            refine=refine,
            across_classes="classified" if self.across_classes else "never",
        )

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Run the network on a batch."""
        return network_outputs(self.model, batch, only=self.only)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """One step."""
        terms = self._terms(batch, self(batch), share_of_mean)
        loss = terms["loss"].detach()
        for name, value in _named(terms).items():
            # The mean over processes; other terms are those of the first one.
            together = name == "train/loss"
            self.log(name, value, sync_dist=together, batch_size=batch.tensor.batch_size)
        self.log("loss", loss, prog_bar=True, logger=False, batch_size=batch.tensor.batch_size)
        return terms["loss"]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and scores of one batch."""
        outputs = self(batch)
        terms = self._terms(batch, outputs)
        self.log("val/loss", terms["loss"], batch_size=batch.tensor.batch_size, sync_dist=True)
        assert batch.instance is not None
        labels = torch.from_numpy(
            assemble(self.clusterer, outputs, batch, across_classes=self.across_classes)
        ).to(batch.instance.device)
        known = batch.instance >= 0
        semantic = None if batch.semantic is None else batch.semantic[known]
        points = batch.instance[known], labels[known], batch.tensor.coords[known, 0], semantic
        self.scores.update(*points)
        self.class_scores.update(*points)

    def on_validation_epoch_end(self) -> None:
        """Log the mean scores, of the events of all processes, and so the same on each."""
        means, of_classes = self.scores.compute(), self.class_scores.compute()
        self.scores.reset()
        self.class_scores.reset()
        for score in ("ari", "sbd"):
            self.log(f"val/{score}", means[score], prog_bar=True, sync_dist=True)
            for number in SemanticClass:
                if f"{score}/{number}" in of_classes:
                    name, value = f"val/{score}_{number.name.lower()}", of_classes[f"{score}/{number}"]
                    self.log(name, value, sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; norms and biases do not decay."""
        return adamw(self, learning_rate=self.learning_rate, weight_decay=self.weight_decay)

    def _terms(
        self, batch: Batch, outputs: dict[str, torch.Tensor], share: Callable[..., Any] = lambda *_: 1.0
    ) -> dict[str, torch.Tensor]:
        """``"loss"``, the sum, and the detached terms; ``share`` is that in the batch of all processes."""
        if batch.instance is None:
            raise ValueError("training needs events with true instances")
        terms: dict[str, torch.Tensor] = {}
        losses = []
        if "embeddings" in outputs:
            embedding = (outputs[name] for name in ("embeddings", "margins", "seediness"))
            truth = {"instance": batch.instance, "group": batch.group}
            truth["event"] = batch.tensor.coords[:, 0].long()
            terms |= self.loss(*embedding, **truth, semantic=batch.semantic)
            losses.append(terms["loss"] * share(cluster_weight, *truth.values(), self.loss))
        if "affinity" in outputs:
            edges, logits, group = outputs["edges"], outputs["affinity"], batch.tensor.coords[:, 0].long()
            if not self.across_classes:
                group = batch.group
                edges, logits = edges_within(edges, logits, group)
            places = batch.tensor.coords[:, 1:]
            bridge = (places[edges[0]] - places[edges[1]]).abs().amax(dim=1) > 1
            touching = edges[:, ~bridge]
            terms |= self.edge_loss(logits[~bridge], touching, instance=batch.instance)
            weight = share(edge_weight, touching, batch.instance, None, self.edge_loss)
            losses.append(terms["loss"] * weight)
            if getattr(self.model, "bridge_radius", 0.0):
                of_bridges = self.bridge_loss(logits[bridge], edges[:, bridge], instance=batch.instance)
                terms |= {f"bridge_{name}": value for name, value in of_bridges.items()}
                weight = share(edge_weight, edges[:, bridge], batch.instance, None, self.bridge_loss)
                losses.append(terms["bridge_loss"] * weight)
            if self.maximin_weight:
                of_pairs = self.maximin_loss(logits, edges, instance=batch.instance, group=group)
                terms |= {f"maximin_{name}": value for name, value in of_pairs.items()}
                weight = share(edge_weight, edges, batch.instance, group, self.maximin_loss)
                losses.append(terms["maximin_loss"] * weight * self.maximin_weight)
        return {**terms, "loss": torch.stack(losses).sum()}


def _named(terms: dict[str, torch.Tensor]) -> dict[str, torch.Tensor | float]:
    """Names in the log; absent classes are there too, or their last values would be repeated."""
    logged: dict[str, torch.Tensor | float] = {f"train/{n}": v for n, v in terms.items() if "/" not in n}
    if len(logged) < len(terms):
        for c in SemanticClass:
            logged[f"train/loss_{c.name.lower()}"] = terms.get(f"loss/{c}", math.nan)
    return logged
