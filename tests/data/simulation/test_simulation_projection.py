"""Events seen by planes of wires."""

import math

import numpy as np
import pytest

from sparseclust.data import Event
from sparseclust.data.simulation import EventGenerator, project_event

EVENT = EventGenerator(rng=2).event(0)


@pytest.mark.parametrize("angle", [0.0, math.pi / 3, -math.pi / 3, math.pi / 2])
@pytest.mark.parametrize("pitch", [1.0, 1.7])
def test_energy_and_order(angle, pitch):
    plane = project_event(EVENT, angle=angle, pitch=pitch)
    assert plane.energy.sum() == pytest.approx(EVENT.energy.sum(), rel=1e-5)
    rows = [tuple(c) for c in plane.coords.tolist()]
    assert rows == sorted(set(rows))
    np.testing.assert_array_equal(np.unique(plane.coords[:, 0]), np.unique(EVENT.coords[:, 0]))
    assert set(plane.extra) == set(EVENT.extra)
    assert set(np.unique(plane.instance)) <= set(np.unique(EVENT.instance))


def test_planes_along_the_axes_drop_one_coordinate():
    for angle, axis in ((0.0, 1), (math.pi / 2, 2)):
        expected = np.unique(EVENT.coords[:, [0, axis]], axis=0)
        np.testing.assert_array_equal(project_event(EVENT, angle=angle).coords, expected)


def test_a_track_leads_on_shared_pixels():
    both = Event([[1, 2, 3], [1, 2, 8]], [5.0, 1.0], semantic=[0, 1], instance=[7, 8])
    plane = project_event(both)
    assert (plane.semantic.tolist(), plane.instance.tolist(), plane.energy.tolist()) == ([1], [8], [6.0])


def test_empty_and_wrong():
    assert project_event(Event(np.zeros((0, 3), int), np.zeros(0))).coords.shape == (0, 2)
    with pytest.raises(ValueError, match="three dimensions"):
        project_event(Event([[1, 2]], [1.0]))
    with pytest.raises(ValueError, match="pitch must be positive"):
        project_event(EVENT, pitch=0.0)
