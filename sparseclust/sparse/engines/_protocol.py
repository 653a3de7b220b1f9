"""What an engine has to offer."""

from typing import NamedTuple, Protocol

from torch import Tensor


class Pairs(NamedTuple):
    """Which input row meets which output row under which kernel offset.

    Attributes
    ----------
    source, target : (m,) int64, on the device of the coordinates
        Rows of the input and of the output. Within one offset every row occurs at most once, and the pairs
        are ordered by the coordinates of their target: (event, x, y, z).
    splits : (k + 1,) int64, on the CPU
        The pairs of offset ``k`` are ``splits[k]:splits[k + 1]``. On the CPU, so that walking over the
        offsets never waits for a device.
    """

    source: Tensor
    target: Tensor
    splits: Tensor


class Engine(Protocol):
    """Kernel maps and the two products that a convolution and its gradients are made of.

    The gradient with respect to the features is again a convolution: the transposed map with transposed
    weights. So an engine has no backward method of its own.
    """

    name: str

    def submanifold_pairs(self, coords: Tensor, offsets: Tensor) -> Pairs:
        """Pairs with ``coords[source] == coords[target] + offset``, event by event.

        ``offsets`` (k, ndim) int64 on the CPU is symmetric: ``offsets[k] == -offsets[-1 - k]``, k odd.
        Raises ValueError when two rows have the same coordinates.
        """

    def strided_pairs(self, coords: Tensor, stride: int) -> tuple[Tensor, Pairs]:
        """Coarse coordinates, sorted, and pairs with ``coords[source] == stride * coarse[target] + offset``.

        Offsets run over ``0 .. stride - 1`` per axis, lexicographic. Raises as :meth:`submanifold_pairs`.
        """

    def convolve(self, feats: Tensor, weight: Tensor, pairs: Pairs, n_target: int, centre: int) -> Tensor:
        """Return ``y`` (n_target, out) with ``y[target] += feats[source] @ weight[k]`` over all pairs.

        ``centre`` is the offset that joins every row to itself, or -1 when there is none.
        """

    def weight_gradient(self, feats: Tensor, grad: Tensor, pairs: Pairs, centre: int) -> Tensor:
        """Return ``dw`` (k, in, out) with ``dw[k] = sum over pairs of feats[source]^T grad[target]``."""
