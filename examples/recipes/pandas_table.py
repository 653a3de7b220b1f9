"""From a table of voxels to a table of particles with pandas.

    python examples/recipes/pandas_table.py

Events come out in the order of their ids, rows of an event in their order: an extra column with the index
brings every label back to its row, however the table is sorted.
"""

import pandas as pd

from sparseclust.data import events_from_table
from sparseclust.data.simulation import EventGenerator
from sparseclust.pipeline import Predictor


def find_particles(voxels: pd.DataFrame, predictor: Predictor) -> pd.Series:
    """Return the particle of each row, a number within its event, -1 for none.

    ``voxels`` has columns "x", "y", "z", "energy" (MeV), "class" and "event".
    """
    events = events_from_table(
        voxels.rename_axis("row").reset_index(), event="event", semantic="class", extra=["row"]
    )
    labels = [
        pd.Series(prediction.labels, index=prediction.event.extra["row"])
        for prediction in predictor.predict(events)
    ]
    return pd.concat(labels).reindex(voxels.index)


def simulated(n_events: int) -> pd.DataFrame:
    """Stand in for a file: some events, rows shuffled."""
    generator = EventGenerator("pilarnet", spatial_size=192, rng=1)
    tables = []
    for number in range(n_events):
        event = generator.event()
        columns = dict(zip("xyz", event.coords.T)) | {"energy": event.energy, "class": event.semantic}
        tables.append(pd.DataFrame(columns).assign(event=number))
    return pd.concat(tables, ignore_index=True).sample(frac=1, random_state=0)


def main(n_events: int = 3) -> pd.DataFrame:
    voxels = simulated(n_events)
    voxels["particle"] = find_particles(voxels, Predictor.from_pretrained("spice-small"))
    found = voxels[voxels["particle"] >= 0].groupby(["event", "particle"])
    particles = found.agg(voxels=("x", "size"), energy=("energy", "sum"), kind=("class", "first"))
    print(particles)
    return particles


if __name__ == "__main__":
    main()
