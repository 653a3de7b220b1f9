"""Averages over symmetries of the volume."""

import numpy as np
import pytest
import torch

from sparseclust.clustering import AffinityGraphClusterer
from sparseclust.data import VoxelInputs
from sparseclust.models import edge_spice, spice
from sparseclust.pipeline import Predictor
from sparseclust.pipeline._views import averaged, symmetries, turned
from sparseclust.testing import random_event

SIZE = 16


def make_predictor(views, *, ndim=3, bridge_radius=0.0):
    torch.manual_seed(0)
    network = edge_spice(
        ndim + 1, ndim=ndim, spatial_size=SIZE, base_channels=4, depth=2, reps=1, bridge_radius=bridge_radius
    )
    return Predictor(network, AffinityGraphClusterer(min_size=1), inputs=VoxelInputs(SIZE), views=views)


def affinities(prediction):
    """The affinity of each pair of rows."""
    ends = np.sort(prediction.edges, axis=0).T.tolist()
    return {tuple(pair): value for pair, value in zip(ends, prediction.affinity.tolist(), strict=True)}


@pytest.mark.parametrize(("ndim", "order"), [(1, 2), (2, 8), (3, 48)])
def test_symmetries_are_the_group(ndim, order):
    found = symmetries(ndim, order)
    assert len(set(found)) == order
    assert found[0] == (tuple(range(ndim)), (False,) * ndim)
    assert symmetries(ndim, 2) == found[:2]
    for count in (0, order + 1):
        with pytest.raises(ValueError, match=f"1 to {order} views, got {count}"):
            symmetries(ndim, count)


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_average_over_the_group_does_not_depend_on_the_orientation(rng, ndim):
    event = random_event(rng, ndim=ndim, spatial_size=SIZE)
    group = symmetries(ndim, {2: 8, 3: 48}[ndim])
    whole, single = make_predictor(len(group), ndim=ndim), make_predictor(1, ndim=ndim)
    events = [turned(event, *group[i], size=SIZE) for i in (0, 3, 5)]
    expected, *others = (affinities(p) for p in whole.predict(events))
    assert expected
    for other in others:
        assert other == pytest.approx(expected, abs=1e-5)
    first, *others = (affinities(p) for p in single.predict(events))
    assert all(other != pytest.approx(first, abs=1e-4) for other in others)


def test_few_views_are_the_mean_of_their_log_odds(rng):
    event = random_event(rng, spatial_size=SIZE)
    views = [turned(event, *symmetry, size=SIZE) for symmetry in symmetries(3, 3)]
    parts = [affinities(p) for p in make_predictor(1, bridge_radius=4.0).predict(views)]
    [found] = make_predictor(3, bridge_radius=4.0).predict([event])
    for pair, value in affinities(found).items():
        odds = [np.log(part[pair] / (1 - part[pair])) for part in parts if pair in part]
        assert value == pytest.approx(1 / (1 + np.exp(-np.mean(odds))), abs=1e-5)


def test_an_edge_that_a_view_lacks_is_the_mean_of_the_others():
    own = {"edges": torch.tensor([[0, 3, 1], [1, 2, 2]]), "affinity": torch.tensor([1.0, 2.0, 3.0])}
    other = {"edges": torch.tensor([[2, 0, 4], [1, 1, 0]]), "affinity": torch.tensor([5.0, 4.0, 9.0])}
    assert averaged(own, [other], 5)["affinity"].tolist() == [2.5, 2.0, 4.0]
    none = {"edges": torch.zeros(2, 0, dtype=torch.long), "affinity": torch.zeros(0)}
    assert averaged(none, [other], 5)["affinity"].tolist() == []
    assert averaged(own, [none], 5)["affinity"].tolist() == [1.0, 2.0, 3.0]


def test_what_cannot_be_averaged_is_refused(rng):
    with pytest.raises(ValueError, match="views must be at least 1, got 0"):
        make_predictor(0)
    event = random_event(rng, spatial_size=SIZE)
    network = spice(spatial_size=SIZE, base_channels=4, depth=2, reps=1)
    predictor = Predictor(network, AffinityGraphClusterer(), inputs=VoxelInputs(SIZE), views=2)
    with pytest.raises(ValueError, match=r"the network gives .*embeddings.* leave views out"):
        list(predictor.predict([event]))
    with pytest.raises(ValueError, match="1 to 48 views, got 49"):
        list(make_predictor(49).predict([event]))


def test_events_without_voxels(rng):
    event = random_event(rng, spatial_size=SIZE)
    none = event.select(np.zeros(len(event), bool))
    empty, full = make_predictor(2).predict([none, event])
    assert len(empty.labels) == 0
    assert len(full.labels) == len(event)
