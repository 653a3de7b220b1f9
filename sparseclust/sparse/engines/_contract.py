"""What an engine promises, checked against the reference."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sparseclust.sparse.engines._protocol import Engine, Pairs
from sparseclust.sparse.engines._torch import engine as reference

_CHANNELS = ((5, 5), (3, 8), (1, 1))


def check_engine(
    engine: Engine,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    tolerance: float = 1e-4,
) -> None:
    """Check that an engine keeps the contract of :class:`sparseclust.sparse.engines.Engine`.

    Its maps are those of the reference, pair by pair, for submanifold, strided, overlapping and generative
    windows; its products are those of the reference in float64, on these maps and on their way back: outputs,
    gradients of the features and gradients of the weights. Voxels come in any order, with negative
    coordinates, from several events of which one is empty; there may be one voxel, or none, and duplicates
    are refused.

    Parameters
    ----------
    engine : Engine
    device : str or torch.device
        Where the engine computes; the reference runs on the CPU.
    dtype : torch.dtype
        Type of features and weights.
    tolerance : float
        Largest accepted difference, relative to the norm of each result.

    Raises
    ------
    AssertionError
        Saying which promise is broken, and on which map and input.

    Examples
    --------
    >>> from sparseclust.sparse.engines import TorchEngine
    >>> from sparseclust.testing import check_engine
    >>> check_engine(TorchEngine())
    """
    _promise(isinstance(getattr(engine, "name", None), str), "an engine has a name")
    for inputs, coords in _inputs():
        for window, build in _MAPS.items():
            case = _Case(engine, torch.device(device), dtype, tolerance, f"{window}, {inputs}")
            sites, exact, centre = build(reference, coords)
            found_sites, found, _ = build(engine, coords.to(device))
            case.check_map(found_sites, found, sites, exact)
            case.check_products(found, exact, (len(coords), len(sites)), centre)
            if centre < 0:
                found, exact = (Pairs(p.target, p.source, p.splits) for p in (found, exact))
                case.check_products(found, exact, (len(sites), len(coords)), centre)
    twice = torch.zeros(2, 4, dtype=torch.int32, device=device)
    for window, build in _MAPS.items():
        with contextlib.suppress(ValueError):
            build(engine, twice)
            raise AssertionError(f"broken promise: duplicate voxels are a ValueError ({window})")


class _Case(NamedTuple):
    """What is checked on one map."""

    engine: Engine
    device: torch.device
    dtype: torch.dtype
    tolerance: float
    where: str

    def check_map(self, found_sites: Tensor, found: Pairs, sites: Tensor, exact: Pairs) -> None:
        """Compare sites and pairs; the order of the pairs is part of the contract."""
        same = torch.equal(found_sites.cpu().long(), sites.long())
        self.promise(same, "sites are sorted by event and by axis")
        self.promise(found.splits.device.type == "cpu", "splits are on the CPU")
        for name in ("splits", "source", "target"):
            same = torch.equal(getattr(found, name).cpu().long(), getattr(exact, name))
            self.promise(same, f"the {name} of the pairs, by offset and by the coordinates of the target")

    def check_products(self, found: Pairs, exact: Pairs, rows: tuple[int, int], centre: int) -> None:
        """Compare the outputs and the gradients of the weights for several numbers of channels."""
        pairs, volume = found._replace(plan=self.engine.plan(found, rows[1])), len(found.splits) - 1
        for n_in, n_out in _CHANNELS:
            generator = torch.Generator().manual_seed(n_in)
            shapes = (rows[0], n_in), (volume, n_in, n_out), (rows[1], n_out)
            operands = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]
            feats, weight, grad = (operand.to(self.device, self.dtype) for operand in operands)
            self.compare(
                "convolve: y[target] += feats[source] @ weight[k], weight (k, in, out)",
                self.engine.convolve(feats, weight, pairs, rows[1], centre),
                reference.convolve(operands[0], operands[1], exact, rows[1], centre),
            )
            self.compare(
                "weight_gradient: dw[k] += feats[source]^T grad[target], dw (k, in, out)",
                self.engine.weight_gradient(feats, grad, pairs, centre),
                reference.weight_gradient(operands[0], operands[2], exact, centre),
            )

    def compare(self, promise: str, found: Tensor, exact: Tensor) -> None:
        """Compare shape, type and values."""
        shape, wanted = (
            f"{tuple(t.shape)} {dtype}" for t, dtype in ((found, found.dtype), (exact, self.dtype))
        )
        self.promise(shape == wanted, f"{promise}: expected {wanted}, got {shape}")
        size = float(torch.linalg.vector_norm(exact))
        difference = float(torch.linalg.vector_norm(found.cpu().double() - exact))
        # A NaN is not within the tolerance.
        within = difference <= self.tolerance * size
        self.promise(within, f"{promise}: the difference has norm {difference:.2g}, the result {size:.2g}")

    def promise(self, kept: bool, text: str) -> None:
        """Raise, with map and input, what is not kept."""
        _promise(kept, f"{text} ({self.where})")


def _offsets(low: int, high: int) -> Tensor:
    return torch.tensor(list(itertools.product(range(low, high), repeat=3)))


# Coordinates of the outputs, pairs and centre.
_MAPS: dict[str, Callable[[Engine, Tensor], tuple[Tensor, Pairs, int]]] = {
    "submanifold 3x3x3": lambda e, x: (x, e.submanifold_pairs(x, _offsets(-1, 2)), 13),
    "submanifold 2x2x2": lambda e, x: (x, e.submanifold_pairs(x, _offsets(0, 2)), -1),
    "strided 2x2x2": lambda e, x: (*e.strided_pairs(x, _offsets(0, 2), (2, 2, 2)), -1),
    "overlapping 3x3x3 of stride 2": lambda e, x: (*e.strided_pairs(x, _offsets(-1, 2), (2, 2, 2)), -1),
    "generative 2x2x2": lambda e, x: (*e.generated_pairs(x, _offsets(0, 2), (2, 2, 2)), -1),
}


def _inputs() -> Iterator[tuple[str, Tensor]]:
    """Voxels by description."""
    generator = torch.Generator().manual_seed(0)
    cells = torch.cat(
        [
            torch.randint(0, 3, (600, 1), generator=generator) * 2,
            torch.randint(-5, 5, (600, 3), generator=generator),
        ],
        dim=1,
    )
    rows = torch.unique(cells, dim=0).int()
    yield "sorted voxels", rows
    yield "voxels in no order", rows[torch.randperm(len(rows), generator=generator)]
    yield "one voxel", rows[:1]
    yield "no voxel", rows[:0]


def _promise(kept: bool, text: str) -> None:
    if not kept:
        raise AssertionError(f"broken promise: {text}")
