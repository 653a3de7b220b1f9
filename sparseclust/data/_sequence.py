"""What every random-access sequence of events does alike."""

import operator
from abc import abstractmethod
from collections.abc import Sequence
from typing import overload

from sparseclust.data._event import Event


class EventSequence(Sequence[Event]):
    """Events by index: negative indices count from the end, a slice gives a list."""

    @abstractmethod
    def _event(self, index: int) -> Event:
        """Event ``index``, ``0 <= index < len(self)``."""

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        if isinstance(index, slice):
            return [self._event(i) for i in range(*index.indices(len(self)))]
        i = operator.index(index)
        if not -len(self) <= i < len(self):
            raise IndexError(f"no event {i} in {self!r}")
        return self._event(i % len(self))
