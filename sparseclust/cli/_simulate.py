"""``sparseclust simulate``."""

from pathlib import Path

from sparseclust.cli._progress import progress
from sparseclust.data import write_events
from sparseclust.data.simulation import EventGenerator, SimulatedEvents


def simulate(
    output: Path,
    *,
    events: int = 100,
    mix: str = "pilarnet",
    first: int = 0,
    seed: int = 0,
    size: int = 768,
    voxel_size: float = 0.3,
    small: str = "scatter",
) -> None:
    """Write simulated events with their truth.

    Parameters
    ----------
    output
        HDF5 file to write; it appears when it is complete.
    events
        Number of events.
    mix
        What the events are made of: pilarnet, crowded, or single:PARTICLE, e.g. single:mu-.
    first
        Number of the first event. Files of one seed with disjoint numbers share no event.
    seed
        Of the random numbers: event i of a seed is the same wherever and whenever it is made.
    size
        Voxels along each side of the volume.
    voxel_size
        Edge of a voxel in cm.
    small
        What becomes of shower pieces of fewer than 10 voxels. scatter: low-energy class without an instance;
        parent: part of the particle that made them.
    """
    generator = EventGenerator(mix, rng=seed, spatial_size=size, voxel_size=voxel_size, small=small)
    source = SimulatedEvents(events, generator, first=first)
    settings = {
        "mix": mix,
        "seed": seed,
        "first": first,
        "size": size,
        "voxel_size": voxel_size,
        "small": small,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    n = write_events(
        output,
        progress(source, total=events, what="simulate"),
        attrs={"content": "simulated events", **settings},
    )
    print(f"{output}: {n} events")
