"""Ctrl-C and SIGTERM, kept away from what does not survive them."""

import signal
import threading
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_Item = TypeVar("_Item")


class HeldBack:
    """As a context, lets the two signals wait until it ends, or until the next item of :meth:`each` is made.

    Signals without a handler in Python, which could raise, and threads other than the main one, where none is
    run, are left alone.
    """

    def __init__(self) -> None:
        self._handlers: dict[signal.Signals, Any] = {}
        self._came: list[int] = []

    def __enter__(self) -> Self:
        self._hold()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def each(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Go through items; while one is made, and before, signals are handled as outside of the context."""
        source = iter(items)
        while True:
            try:
                self._release()
                item = next(source)
            except StopIteration:
                return
            finally:
                self._hold()
            yield item

    def _hold(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came.append(number)

    def _release(self) -> None:
        while self._handlers:
            signal.signal(*self._handlers.popitem())
        came, self._came = self._came, []
        for number in came:
            signal.raise_signal(number)
