"""From awkward arrays to particles and back: one list of voxels per event, whatever their numbers.

python examples/recipes/awkward_events.py
"""

import awkward as ak
import numpy as np

from sparseclust.data import events_from_arrays
from sparseclust.data.simulation import EventGenerator
from sparseclust.pipeline import Predictor


def find_particles(voxels: ak.Array, predictor: Predictor) -> ak.Array:
    """Return the voxels with a field "particle": a number within the event, -1 for none.

    ``voxels`` has one list of records per event, with fields "x", "y", "z", "energy" (MeV) and "class".
    """
    coords = ak.concatenate([voxels[axis][..., np.newaxis] for axis in "xyz"], axis=-1)
    events = events_from_arrays(coords, voxels["energy"], semantic=voxels["class"])
    labels = [prediction.labels for prediction in predictor.predict(events)]
    particle = ak.unflatten(np.concatenate(labels), ak.num(voxels))
    return ak.with_field(voxels, particle, "particle")


def simulated(n_events: int) -> ak.Array:
    """Stand in for a file: some events, and one without a voxel."""
    generator = EventGenerator("pilarnet", spatial_size=192, rng=1)
    events = [generator.event() for _ in range(n_events)]
    columns = {axis: [e.coords[:, i] for e in events] for i, axis in enumerate("xyz")}
    columns |= {"energy": [e.energy for e in events], "class": [e.semantic for e in events]}
    counts = np.insert([len(e) for e in events], 1, 0)
    return ak.zip({name: ak.unflatten(np.concatenate(c), counts) for name, c in columns.items()})


def main(n_events: int = 3) -> ak.Array:
    voxels = find_particles(simulated(n_events), Predictor.from_pretrained("spice-small"))
    found = voxels[voxels["particle"] >= 0]
    print("voxels", ak.num(voxels).tolist(), "particles", (ak.max(found["particle"], axis=1) + 1).tolist())
    print("energy in particles, MeV:", ak.sum(found["energy"], axis=1).tolist())
    return voxels


if __name__ == "__main__":
    main()
