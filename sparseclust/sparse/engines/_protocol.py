"""What an engine has to offer."""

from typing import NamedTuple, Protocol

from torch import Tensor


class Pairs(NamedTuple):
    """Which input row meets which output row under which kernel offset.

    Attributes
    ----------
    source, target : (m,) int32 or int64, on the device of the coordinates
        Rows of the input and of the output. Within one offset every row occurs at most once, and the pairs
        are ordered by the coordinates of their target: (event, x, y, z).
    splits : (k + 1,) int64, on the CPU
        The pairs of offset ``k`` are ``splits[k]:splits[k + 1]``. On the CPU, so that walking over the
        offsets never waits for a device.
    plan : Tensor or None
        What :meth:`Engine.plan` made of the other three.
    """

    source: Tensor
    target: Tensor
    splits: Tensor
    plan: Tensor | None = None


class Engine(Protocol):
    """Kernel maps and the two products that a convolution and its gradients are made of.

    The gradient with respect to the features is again a convolution: the transposed map with transposed
    weights. So an engine has no backward method of its own.
    """

    name: str

    def submanifold_pairs(self, coords: Tensor, offsets: Tensor) -> Pairs:
        """Pairs with ``coords[source] == coords[target] + offsets[k]``, event by event.

        ``offsets`` (k, ndim) int64 on the CPU are distinct and lexicographic; those of windows of odd size
        are symmetric, ``offsets[k] == -offsets[-1 - k]``, those of even size are not. Raises ValueError when
        two rows have the same coordinates.
        """

    def strided_pairs(self, coords: Tensor, offsets: Tensor, stride: tuple[int, ...]) -> tuple[Tensor, Pairs]:
        """Coarse sites, and pairs with ``coords[source] == stride * sites[target] + offsets[k]``.

        The sites, int32 and sorted by event and by axis, are all that a row reaches under some offset.
        Windows may overlap, and may leave rows out. Raises ValueError when two of the paired rows have the
        same coordinates, and when a site does not fit int32.
        """

    def generated_pairs(
        self, coords: Tensor, offsets: Tensor, stride: tuple[int, ...]
    ) -> tuple[Tensor, Pairs]:
        """Fine sites, and pairs with ``sites[target] == stride * coords[source] + offsets[k]``.

        Every row reaches a site under every offset; order and errors as :meth:`strided_pairs`.
        """

    def plan(self, pairs: Pairs, n_target: int) -> Tensor | None:
        """Return what the products can use besides the pairs, on their device, or None.

        Made once per map and direction, kept with the map, and handed to the products as ``pairs.plan``.
        """

    def convolve(self, feats: Tensor, weight: Tensor, pairs: Pairs, n_target: int, centre: int) -> Tensor:
        """Return ``y`` (n_target, out) with ``y[target] += feats[source] @ weight[k]`` over all pairs.

        ``centre`` is the offset that joins every row to itself, in the middle of symmetric offsets, or -1
        when the map is of another kind. Maps also come transposed: source and target exchanged.
        """

    def weight_gradient(self, feats: Tensor, grad: Tensor, pairs: Pairs, centre: int) -> Tensor:
        """Return ``dw`` (k, in, out) with ``dw[k] = sum over pairs of feats[source]^T grad[target]``."""
