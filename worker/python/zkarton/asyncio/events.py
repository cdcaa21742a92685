"""A subscription to the broker's events, awaited."""
from __future__ import annotations

import asyncio
import threading
from typing import Any, Optional

from ..events import Event, Events as SyncEvents
from ..exceptions import AnswerTimeoutError


class Events:
    """As zkarton.Events; what waits is awaited, on a thread.

    .. code-block:: python

        async with await producer.events("analysis.") as events:
            async for topic, body in events:
                print(topic, body)
    """

    def __init__(self, events: SyncEvents) -> None:
        self._events = events
        self._lock = threading.Lock()  # one thread at a time uses the socket

    @property
    def missed(self) -> int:
        """Events of whole families that were lost on the way."""
        return self._events.missed

    def _next(self, timeout: Optional[float]) -> Event:
        with self._lock:
            return self._events.next(timeout)

    async def next(self, timeout: Optional[float] = None) -> Event:
        """(topic, body) of the next event; AnswerTimeoutError when none comes in time, or after stop().

        Cancelling it stops the subscription: use timeout to wait for a while.
        """
        try:
            return await asyncio.to_thread(self._next, timeout)
        except asyncio.CancelledError:
            self.stop()
            raise

    def stop(self) -> None:
        """Makes next() return."""
        self._events.stop()

    def _close(self) -> None:
        with self._lock:
            self._events.close()

    async def close(self) -> None:
        """Ends the subscription."""
        self.stop()
        await asyncio.to_thread(self._close)

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self.next()
        except AnswerTimeoutError:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Events:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()


__all__ = ["Events"]
