"""Which events make a batch, and which process gets which of them."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler


class EpochBatches(Sampler[list[int]]):
    """Batches of shuffled events, epoch after epoch, without an end.

    Parameters
    ----------
    n_events : int
        Events of an epoch. Event ``i`` of epoch ``e`` has the number ``e * n_events + i``.
    batch_size : int
        Events of a batch, all processes together; the rest of an epoch that fills no batch is left out.
    seed : int
        With the epoch it determines the order.
    sizes : (n_events,) int array, optional
        Voxels of each event; without them all count the same.
    max_voxels : int, optional
        Most voxels of a batch on one process: batches may have fewer events, and an event with more is never
        drawn.
    rank, world_size : int
        This process, and how many there are.
    start : int
        Batches that have been drawn already.

    Notes
    -----
    The batches, and their order, do not depend on the number of processes unless ``max_voxels`` does its
    work. Every process gets at least one event of each batch. Which events go to which process is decided
    anew for each batch: the largest first, each to the process with the fewest voxels so far.
    """

    def __init__(
        self,
        n_events: int,
        *,
        batch_size: int,
        seed: int = 0,
        sizes: npt.NDArray[np.int64] | None = None,
        max_voxels: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        start: int = 0,
    ) -> None:
        self.n_events = n_events
        self.batch_size = batch_size
        self.seed = seed
        self.sizes = np.ones(n_events, np.int64) if sizes is None else sizes
        self.max_voxels = max_voxels
        self.rank = rank
        self.world_size = world_size
        self.start = start
        self.events = np.arange(n_events)
        if max_voxels is not None:
            self.events = self.events[self.sizes <= max_voxels]
        if min(batch_size, len(self.events)) < world_size:
            bound = "" if max_voxels is None else f" of at most {max_voxels} voxels"
            raise ValueError(
                f"a batch needs an event for each of {world_size} processes, "
                f"got batch_size={batch_size} and {len(self.events)} events{bound}"
            )

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the part of this process of one batch after the other."""
        batches = itertools.chain.from_iterable(map(self.epoch, itertools.count()))
        for batch in itertools.islice(batches, self.start, None):
            part = _shares([self._size(number) for number in batch], self.world_size)[self.rank]
            yield [batch[i] for i in part]

    def epoch(self, epoch: int) -> list[list[int]]:
        """Return all batches of an epoch."""
        order = np.random.default_rng([self.seed, epoch]).permutation(self.events) + epoch * self.n_events
        batches = list(packed(order.tolist(), self._fits, batch_size=self.batch_size))
        if len(batches) > 1 and len(batches[-1]) < self.batch_size:
            del batches[-1]
        return batches

    def _size(self, number: int) -> int:
        return int(self.sizes[number % self.n_events])

    def _fits(self, batch: Sequence[int]) -> bool:
        if self.max_voxels is None:
            return True
        sizes = [self._size(number) for number in batch]
        parts = _shares(sizes, self.world_size)
        return max(sum(sizes[i] for i in part) for part in parts) <= self.max_voxels


def packed(
    numbers: Sequence[int], fits: Callable[[Sequence[int]], bool], *, batch_size: int
) -> Iterator[list[int]]:
    """Fill batches in order: one ends where the next event is one too many, or does not fit any more."""
    batch: list[int] = []
    for number in numbers:
        if batch and (len(batch) == batch_size or not fits([*batch, number])):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _shares(sizes: Sequence[int], n: int) -> list[list[int]]:
    """Divide items among ``n``, about evenly by size; each share is in order."""
    if n == 1:
        return [list(range(len(sizes)))]
    shares: list[list[int]] = [[] for _ in range(n)]
    loads = [0] * n
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        least = min(range(n), key=lambda r: (loads[r], len(shares[r])))
        shares[least].append(i)
        loads[least] += sizes[i]
    return [sorted(share) for share in shares]
