"""``sparseclust simulate``."""

from contextlib import closing
from pathlib import Path

from sparseclust.cli._progress import progress_bar
from sparseclust.data.simulation import (
    DetectorResponse,
    EventGenerator,
    EventMix,
    SimulatedEvents,
    write_simulated,
)

_NO_RESPONSE = DetectorResponse()


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
    material: str = "liquid argon",
    response: DetectorResponse = _NO_RESPONSE,
    workers: int = 1,
) -> None:
    """Write simulated events with their truth.

    Parameters
    ----------
    output
        HDF5 file to write; it appears when it is complete. Until then, parts are kept in OUTPUT.parts:
        after an interruption, the same command goes on with the next part.
    events
        Number of events.
    mix
        What the events are made of: pilarnet, crowded, pileup, single:PARTICLE, e.g. single:mu-, or a file
        (.toml, .yaml, .json) that describes a mix.
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
    material
        The medium: liquid argon, water or liquid xenon.
    response
        What the detector makes of the deposits; by default nothing.
    workers
        Processes that simulate; the file is the same for any number.
    """
    chosen = EventMix.from_file(mix) if Path(mix).suffix else EventMix.preset(mix)
    generator = EventGenerator(
        chosen,
        rng=seed,
        spatial_size=size,
        voxel_size=voxel_size,
        small=small,
        material=material,
        response=response,
    )
    settings = {
        "mix": mix,
        "seed": seed,
        "first": first,
        "size": size,
        "voxel_size": voxel_size,
        "small": small,
        "material": material,
        "response": repr(response),
    }
    if events < 0 or first < 0:
        raise ValueError(f"--events and --first must not be negative, got {events} and {first}")
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(progress_bar(total=2 * events, what="simulate")) as bar:
            n = write_simulated(
                output,
                SimulatedEvents(events, generator, first=first),
                workers=workers,
                attrs={"content": "simulated events", **settings},
                advance=bar.update,
            )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command goes on from here") from None
    print(f"{output}: {n:,} {'event' if n == 1 else 'events'}")
