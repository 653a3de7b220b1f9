"""The optional response of a detector, and other media."""

import numpy as np
import pytest

from sparseclust.data import SemanticClass
from sparseclust.data.simulation import DetectorResponse, EventGenerator, Primary

MUON = Primary("mu-", 300.0, (115.0, 115.0, 40.0), (0.0, 0.0, 1.0))


def events(n=4, mix="pilarnet", **response):
    generator = EventGenerator(mix, rng=3, response=DetectorResponse(**response))
    return [generator.event(i) for i in range(n)]


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("coords", "feats", "instance"))


def test_no_response_changes_nothing():
    plain = EventGenerator("pilarnet", rng=3)
    assert all(same(event, plain.event(i)) for i, event in enumerate(events()))


def test_response_is_reproducible():
    settings = {"diffusion": (0.07, 0.11), "noise": 0.02, "noise_hits": 5.0, "threshold": 0.06}
    assert all(same(a, b) for a, b in zip(events(**settings), events(**settings)))


def test_recombination_follows_birks():
    """A muon at its minimum loses 2.1 MeV/cm; stopping protons lose far more and are seen less."""
    linear = EventGenerator(response=DetectorResponse(recombination=(0.8, 0.0)))
    plain, law = EventGenerator(), EventGenerator(response=DetectorResponse(recombination=(0.8, 0.0696)))
    muon = [generator.transport([MUON]).energy.sum() for generator in (plain, linear, law)]
    assert muon[1] == pytest.approx(0.8 * muon[0], rel=0.01)
    assert muon[2] / muon[0] == pytest.approx(0.8 / (1 + 0.0696 * 2.4), rel=0.04)
    proton = Primary("p", 40.0, (115.0, 115.0, 115.0), (0.0, 0.0, 1.0))
    seen, true = (g.transport([proton], 2).energy.sum() for g in (law, plain))
    assert seen / true < muon[2] / muon[0] - 0.1


@pytest.mark.parametrize(("drift", "width"), [(50.0, 0.5 * 0.5**0.5), (200.0, 0.5 * 2**0.5)])
def test_diffusion_grows_with_the_root_of_the_drift(drift, width):
    """Spread along the drift of the first 3 cm of muons that cross it."""
    generator = EventGenerator(response=DetectorResponse(diffusion=(0.5, 0.0)))
    muon = MUON._replace(position=(drift, 115.0, 40.0))
    deposits = np.concatenate([generator._transport([muon], i)[0] for i in range(30)])
    plane, rest = np.divmod(deposits[:, 0].astype(np.int64), 770**2)
    first = (rest % 770 < 40 / 0.3 + 11) & (deposits[:, 1] == 0)
    x, energy = 0.3 * (plane[first] - 0.5), deposits[first, 2]
    assert np.average(x, weights=energy) == pytest.approx(drift, abs=0.1)
    variance = np.average((x - drift) ** 2, weights=energy) - 0.3**2 / 12
    assert np.sqrt(variance) == pytest.approx(width, rel=0.05)


def test_diffusion_keeps_the_energy():
    plain, spread = (
        EventGenerator(response=r) for r in (DetectorResponse(), DetectorResponse(diffusion=(0.07, 0.11)))
    )
    energy = [np.mean([g._transport([MUON], i)[0][:, 2].sum() for i in range(200)]) for g in (plain, spread)]
    assert energy[1] == pytest.approx(energy[0], rel=0.03)


def test_noise_threshold_and_dead_regions():
    plain = events(6)
    noisy = events(6, noise=0.005)
    difference = np.concatenate([(b.energy - a.energy) for a, b in zip(plain, noisy)])
    assert difference.std() == pytest.approx(0.005, rel=0.05)
    assert abs(difference.mean()) < 4 * 0.005 / np.sqrt(len(difference))
    assert all((event.energy >= np.float32(0.2)).all() for event in events(threshold=0.2))
    dead = ((0, 0, 0), (768, 768, 400))
    for before, after in zip(plain, events(6, dead=[dead])):
        assert (after.coords[:, 2] >= 400).all()
        assert len(after) == (before.coords[:, 2] >= 400).sum()


def test_noise_hits_are_scatters_without_instance():
    plain, noisy = events(6), events(6, noise=0.02, noise_hits=200.0, threshold=0.05)
    added = [len(b) - (a.energy >= 0.05).sum() for a, b in zip(plain, noisy)]
    assert 100 < np.mean(added) < 220  # deposits near the threshold fall below it as well
    for event in noisy:
        rows = [tuple(c) for c in event.coords.tolist()]
        assert rows == sorted(set(rows))
        assert ((event.instance < 0) == (event.semantic == SemanticClass.LOW_ENERGY)).all()


def test_more_noise_hits_than_a_poisson_loop_takes():
    [event] = events(1, mix="single:mu-", noise=0.1, noise_hits=5000.0)
    assert len(event) == pytest.approx(5600, rel=0.2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise": -1.0}, "noise must not be negative"),
        ({"threshold": float("nan")}, "threshold must not be negative"),
        ({"diffusion": (0.1, -0.1)}, "diffusion must not be negative"),
        ({"noise_hits": 3.0}, "noise_hits need a noise"),
        ({"dead": [(0, 1)]}, "dead must hold boxes"),
    ],
)
def test_wrong_responses(settings, message):
    with pytest.raises(ValueError, match=message):
        DetectorResponse(**settings)


def test_other_media():
    """Ranges of muons of 300 MeV: 124 cm in argon (Geant4), elsewhere by the ratio of the minimum losses."""
    ranges = {}
    for material in ("liquid argon", "water", "liquid xenon"):
        generator = EventGenerator(material=material)
        depth = []
        for i in range(10):
            event = generator.transport([MUON._replace(particle="mu+")], i)
            z = event.coords[event.semantic == SemanticClass.TRACK, 2]
            depth.append(0.3 * (z.max() - z.min()))
        ranges[material] = np.mean(depth)
    assert ranges["liquid argon"] == pytest.approx(0.97 * 124, rel=0.04)
    assert ranges["water"] == pytest.approx(124 * 2.105 / 1.992, rel=0.06)
    assert ranges["liquid xenon"] == pytest.approx(124 * 2.105 / (1.255 * 2.953), rel=0.08)
    with pytest.raises(ValueError, match="choose from 'liquid argon', 'water', 'liquid xenon'"):
        EventGenerator(material="steel")
