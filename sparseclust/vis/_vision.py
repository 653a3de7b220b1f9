"""How far apart two colours are, for eyes of every kind."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Machado, Oliveira, Fernandes 2009, severity 1, on linear RGB.
VISIONS = {
    "normal": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanope": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranope": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
}
# Ottosson 2020, "A perceptual color space for image processing".
_TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


def oklab(colours: Sequence[str], vision: str = "normal") -> FloatArray:
    """Coordinates (k, 3) of ``"#rrggbb"`` colours in OKLab, where 0.02 is a just noticeable distance."""
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours]).reshape(-1, 3)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(VISIONS[vision]), 0, 1)
    lab: FloatArray = np.cbrt(seen @ np.transpose(_TO_CONES)) @ np.transpose(_TO_LAB)
    return lab


def distances(colours: Sequence[str]) -> FloatArray:
    """Distance (k, k) of each two colours in OKLab, for the eye that sees them closest."""
    labs = [oklab(colours, vision) for vision in VISIONS]
    apart: FloatArray = np.min([np.linalg.norm(lab[:, None] - lab, axis=2) for lab in labs], axis=0)
    return apart
