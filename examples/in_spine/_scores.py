"""Our partition scores as an analysis script of SPINE."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from spine.ana.base import AnaBase
from spine.ana.factories import ANA_DICT

from sparseclust.metrics import PartitionScores, score_events
from sparseclust.pipeline import PARTICLE_CLASSES


class PartitionScoresAna(AnaBase):
    """Write one row of scores per event and semantic class to ``partition_scores_<clusters>.csv``.

    Parameters
    ----------
    clusters : str
        Product with the predicted clusters, lists of voxels.
    label_key, shape_key : str
        Products with the true cluster and the class of each voxel.
    column : str
        Field of the label that numbers the true clusters.
    classes : sequence of int
        Classes to score. Voxels of other classes, or of no true cluster, take no part; those in no predicted
        cluster count as one more cluster, so leaving voxels out costs efficiency.
    """

    name = "partition_scores"

    def __init__(
        self,
        clusters: str = "fragment_clusts",
        label_key: str = "clust_label",
        shape_key: str = "seg_label",
        column: str = "cluster",
        classes: tuple[int, ...] = PARTICLE_CLASSES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.clusters, self.label_key, self.shape_key = clusters, label_key, shape_key
        self.column = column
        self.classes = tuple(classes)
        self.update_keys(dict.fromkeys((clusters, label_key, shape_key), True))
        self.initialize_writer(clusters)

    def process(self, data: Mapping[str, Any]) -> None:
        """Score one event."""
        true = np.asarray(data[self.label_key].voxel_field(self.column), np.int64)
        shape = np.asarray(data[self.shape_key].features, np.int64).reshape(-1)
        found = np.full(len(true), -1)
        for number, rows in enumerate(data[self.clusters]):
            found[rows] = number
        scored = (true >= 0) & np.isin(shape, self.classes)
        event = np.zeros(np.count_nonzero(scored), np.int64)
        for row in score_events(true[scored], found[scored], event=event, semantic=shape[scored]):
            scores = {field: row[field].item() for field in PartitionScores._fields}
            self.append(self.clusters, semantic=int(row["semantic"]), **scores)


def register_scores() -> None:
    """Enter :class:`PartitionScoresAna` among the scripts that SPINE's ``ana`` block knows."""
    ANA_DICT[PartitionScoresAna.name] = PartitionScoresAna
