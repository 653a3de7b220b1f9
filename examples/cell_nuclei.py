"""Cut touching cell nuclei apart in a microscope image, which is sparse too: most of it is background.

    python examples/cell_nuclei.py   # needs scikit-image, which brings the picture: no download

The picture is a stained section of tissue, `skimage.data.immunohistochemistry`. Nobody drew its nuclei: the
truth here is a watershed, and what the network learns is to cut as that recipe does. That shows how to
train on images of your own, whose nuclei somebody drew, and says nothing about cells. The lowest quarter of
the picture is held out. All pixels are of one class, 0, and the stain stands where energy does.
"""

from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage import color, data, feature, filters, segmentation

from sparseclust.clustering import GaussianKernelClusterer
from sparseclust.data import Event, RandomSymmetry, VoxelInputs
from sparseclust.models import spice
from sparseclust.training import BudgetSchedule, EventDataModule, SpatialEmbeddingModule, evaluate, train
from sparseclust.vis import plot_comparison

TILE = 128


def tiles() -> list[Event]:
    stain = filters.gaussian(color.rgb2hed(data.immunohistochemistry())[..., 0], 1.5)
    inside = stain > filters.threshold_otsu(stain)
    depth = filters.gaussian(ndimage.distance_transform_edt(inside), 1)
    peaks = feature.peak_local_max(depth, min_distance=6, labels=inside.astype(int))
    seeds = np.zeros(inside.shape, int)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    nuclei = segmentation.watershed(-depth, seeds, mask=inside)
    events = []
    for row, column in np.ndindex(4, 4):
        part = np.s_[TILE * row : TILE * (row + 1), TILE * column : TILE * (column + 1)]
        i, j = pixels = np.nonzero(nuclei[part])
        events.append(Event(np.transpose(pixels), stain[part][i, j], 0 * i, nuclei[part][i, j]))
    return events


def main(output: str | Path = "runs/nuclei", *, minutes: float = 2.0) -> None:
    events = tiles()
    inputs = VoxelInputs(TILE, energy="linear", min_energy=0.01, max_energy=0.1)
    model = spice(3, spatial_size=TILE, base_channels=8, depth=4, ndim=2, initial_margin=0.05)
    clusterer = GaussianKernelClusterer(seed_threshold=0.5, leftover="nearest")
    module = SpatialEmbeddingModule(model, clusterer=clusterer, learning_rate=4e-3)
    turned = RandomSymmetry(TILE)
    batches = EventDataModule(events[:12], events[12:], inputs=inputs, batch_size=4, transform=turned)
    ours = train(module, batches, output=output, overwrite=True, schedule=BudgetSchedule(max_minutes=minutes))
    predictions = list(ours.predict(events[12:]))
    for name, scorer in evaluate(predictions).items():
        print(name, {s: round(float(scorer.table()[s].mean()), 3) for s in ("ari", "sbd", "pq")})
    labels = {"sparseclust": predictions[0].labels}
    plot_comparison(events[12], labels, backend="matplotlib").savefig(Path(output) / "nuclei.png")


if __name__ == "__main__":
    main()
