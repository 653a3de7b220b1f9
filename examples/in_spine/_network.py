"""A network of ours as a stage of SPINE's full chain, with its loss."""

from typing import Any

import torch
from spine.data import EdgeIndexBatch, TensorBatch
from spine.model.full_chain import ChainLossStage, ChainStage, ChainState, ProviderSpec, StageResult
from torch import nn

from in_spine._batches import event_of_row, network_batch, rows_of_classes
from sparseclust.data import VoxelInputs
from sparseclust.losses import EdgeAffinityLoss, SpatialEmbeddingLoss
from sparseclust.models import BranchedNet, create_model
from sparseclust.pipeline import PARTICLE_CLASSES, Predictor, edges_within, network_outputs


class NetworkStage(ChainStage):
    """Run a network on the voxels of some semantic classes.

    Its outputs keep their names; ``filter_index`` and ``filter_shapes`` say which voxels they belong to.
    Edges join voxels of one class, counted among those voxels.
    """

    requires = frozenset({"point_data", "seg_pred"})

    def __init__(self, name: str, model: BranchedNet, inputs: VoxelInputs, classes: tuple[int, ...]) -> None:
        super().__init__(name)
        self.provides = frozenset({"filter_index", "filter_shapes", *model.outputs})
        self.model = model
        self.inputs = inputs
        self.classes = classes

    def forward(self, state: ChainState) -> StageResult:
        """Publish the outputs, each as a batch of SPINE."""
        data = state.require("point_data", self.name).data
        rows, shapes = rows_of_classes(data, state.require("seg_pred", self.name), self.classes)
        batch = network_batch(data, shapes, rows, self.inputs)
        outputs = network_outputs(self.model, batch)
        products = {"filter_index": rows, "filter_shapes": shapes}
        if "affinity" in outputs:
            edges, logits = edges_within(outputs.pop("edges"), outputs.pop("affinity"), batch.group)
            order = torch.argsort(edges[0], stable=True)  # events one behind another
            edges, logits = edges[:, order], logits[order]
            counts = torch.bincount(batch.tensor.coords[edges[0], 0], minlength=data.batch_size)
            products["edges"] = EdgeIndexBatch(edges, counts, rows.counts, directed=True)
            products["affinity"] = TensorBatch(logits, counts)
        products |= {name: TensorBatch(values, rows.counts) for name, values in outputs.items()}
        return StageResult(products=products, outputs=products)


class NetworkLoss(ChainLossStage):
    """The sum of our losses for what the network gives; ``loss_input`` names ``clust_label``.

    Its rows are those of the voxels that enter the chain: no stage before the network drops any.
    """

    def __init__(self, name: str, embeddings: nn.Module, affinity: nn.Module) -> None:
        super().__init__(name)
        self.embeddings = embeddings
        self.affinity = affinity

    def forward(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return ``"loss"``, with gradient, and the terms it is made of."""
        rows, shapes = data["filter_index"].index, data["filter_shapes"]
        instance = data["clust_label"].voxel_field("cluster").torch_tensor().long()[rows]
        terms: dict[str, Any] = {}
        losses = []
        if "embeddings" in data:
            cells = torch.stack([event_of_row(shapes), shapes.torch_tensor()])
            group = torch.unique(cells, dim=1, return_inverse=True)[1]
            outputs = (data[name].torch_tensor() for name in ("embeddings", "margins", "seediness"))
            terms |= self.embeddings(*outputs, instance=instance, group=group)
            losses.append(terms["loss"])
        if "affinity" in data:
            terms |= self.affinity(data["affinity"].torch_tensor(), data["edges"].data, instance=instance)
            losses.append(terms["loss"])
        return {**terms, "loss": torch.stack(losses).sum()}


def _stage(name: str, config: dict[str, Any], owner: nn.Module) -> NetworkStage:
    """``pretrained``, a file or a name of ours; or ``model`` and ``inputs``, arguments of the two."""
    if "pretrained" in config:
        predictor = Predictor.from_pretrained(config["pretrained"])
        model, inputs, classes = predictor.model, predictor.inputs, predictor.classes
    else:
        model, inputs = create_model(**config["model"]), VoxelInputs(**config["inputs"])
        classes = tuple(config.get("classes", PARTICLE_CLASSES))
    owner.add_module(name, model)
    return NetworkStage(name, model, inputs, classes)


def _loss(name: str, config: dict[str, Any], owner: nn.Module) -> NetworkLoss | None:
    """``loss`` names a block with arguments for ``embeddings`` and ``affinity``, if any."""
    options = config["loss"]
    if options is None:
        return None
    losses = (
        SpatialEmbeddingLoss(**options.get("embeddings", {})),
        EdgeAffinityLoss(**options.get("affinity", {})),
    )
    return NetworkLoss(name, *losses)


NETWORK = ProviderSpec("sparseclust_network", _stage, _loss)
