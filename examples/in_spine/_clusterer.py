"""A clusterer of ours as a stage of SPINE's full chain."""

from typing import Any

import torch
from spine.data import IndexBatch, TensorBatch
from spine.model.full_chain import ChainStage, ChainState, ProviderSpec, StageResult
from torch import Tensor, nn

from in_spine._batches import event_of_row
from sparseclust.clustering import AffinityGraphClusterer, AgglomerativeClusterer, GaussianKernelClusterer
from sparseclust.pipeline import Predictor

_KINDS = {"kernels": GaussianKernelClusterer, "graph": AffinityGraphClusterer}


class ClustererStage(ChainStage):
    """Make fragments of the outputs of a network: ours, or any stage that provides the same products.

    Kernels read ``embeddings``, ``margins`` and ``seediness``, a graph reads ``edges`` and ``affinity``, and
    one with a judge the voxels. Fragments never cross an event or a semantic class; voxels in no cluster are
    in no fragment.
    """

    provides = frozenset({"fragment_clusts", "fragment_shapes"})

    def __init__(
        self, name: str, clusterer: AffinityGraphClusterer | AgglomerativeClusterer | GaussianKernelClusterer
    ) -> None:
        super().__init__(name)
        self.clusterer = clusterer
        kernels = isinstance(clusterer, GaussianKernelClusterer)
        self.reads = ("embeddings", "margins", "seediness") if kernels else ("edges", "affinity")
        self.requires = frozenset({"point_data", "filter_index", "filter_shapes", *self.reads})

    def forward(self, state: ChainState) -> StageResult:
        """Publish the fragments as rows of the chain's voxels."""
        shapes = state.require("filter_shapes", self.name)
        labels = self._labels(state, shapes).to(shapes.torch_tensor().device)
        order = torch.argsort(labels, stable=True)
        order = order[labels[order] >= 0]
        sizes = torch.unique_consecutive(labels[order], return_counts=True)[1]
        first = order[sizes.cumsum(0) - sizes]
        counts = torch.bincount(event_of_row(shapes)[first], minlength=shapes.batch_size)
        rows = state.require("filter_index", self.name)
        pieces = rows.index[order].split(sizes.tolist()) if len(sizes) else []
        clusts = IndexBatch(
            list(pieces), spans=rows.spans, counts=counts, single_counts=sizes, default=rows.index[:0]
        )
        products = {
            "fragment_clusts": clusts,
            "fragment_shapes": TensorBatch(shapes.torch_tensor()[first], counts),
        }
        return StageResult(products=products, outputs=products)

    def _labels(self, state: ChainState, shapes: TensorBatch) -> Tensor:
        """Clusters counted through the batch, event after event; -1 for none."""
        semantic = shapes.torch_tensor()
        with torch.no_grad():
            if isinstance(self.clusterer, GaussianKernelClusterer):
                outputs = (state.require(name, self.name).torch_tensor() for name in self.reads)
                return self.clusterer.fit_predict(*outputs, semantic=semantic, event=event_of_row(shapes))
            edges, affinity = (state.require(name, self.name) for name in self.reads)
            graph = edges.data, torch.sigmoid(affinity.torch_tensor())
            if isinstance(self.clusterer, AffinityGraphClusterer):
                return self.clusterer.fit_predict(*graph, n=len(semantic), semantic=semantic)
            data = state.require("point_data", self.name).data
            values = data.torch_tensor()[state.require("filter_index", self.name).index]
            return self.clusterer.fit_predict(
                *graph,
                coords=values[:, data.coordinate_columns()],
                energy=values[:, data.feature_columns()[0]],
                semantic=semantic,
                event=event_of_row(shapes),
            )


def _stage(name: str, config: dict[str, Any], owner: nn.Module) -> ClustererStage:
    """``pretrained``, a file or a name of ours; or ``kind``, kernels or graph, and its parameters."""
    if "pretrained" in config:
        return ClustererStage(name, Predictor.from_pretrained(config["pretrained"]).clusterer)
    parameters = dict(config)
    return ClustererStage(name, _KINDS[parameters.pop("kind")](**parameters))


CLUSTERER = ProviderSpec("sparseclust_clusterer", _stage)
