"""Events of the broker: logs, analyses, workers (docs/events.md)."""
from __future__ import annotations

import os
import socket
import time
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import zmq

from . import _values
from ._session.link import context
from .exceptions import AnswerTimeoutError, UnreachableError

SYNC_WAIT_S = 10.0
Event = Tuple[str, Dict[str, Any]]


class Events:
    """A subscription. What comes after it is made is not missed; who reads too slowly loses events.

    .. code-block:: python

        with producer.events("analysis.") as events:
            for topic, body in events:
                print(topic, body)
    """

    def __init__(self, address: str, topics: Sequence[str]) -> None:
        self.topics = list(topics)
        #: Events of whole families that were lost on the way, as their numbers tell
        self.missed = 0
        self._last: Dict[str, int] = {}
        self._stopped = False
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_w.setblocking(False)
        self._socket = context().socket(zmq.SUB)
        self._socket.linger = 0
        self._socket.setsockopt(zmq.IPV6, 1)
        self._socket.setsockopt(zmq.RCVHWM, 100000)
        for topic in self.topics:
            self._socket.subscribe(topic)
        self._socket.connect(address)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._wake_r, zmq.POLLIN)
        self._early: List[Event] = []
        self._synchronise(address)

    def _synchronise(self, address: str) -> None:
        """The broker answers a subscription of our own: what was subscribed to before is in force then."""
        sync = "sync." + os.urandom(16).hex()
        self._socket.subscribe(sync)
        deadline_s = time.monotonic() + SYNC_WAIT_S
        while True:
            event = self._receive(deadline_s)
            if event is None:
                self.close()
                raise UnreachableError(f"no events from {address}")
            if event[0] == sync:
                break
            self._early.append(event)
        self._socket.unsubscribe(sync)

    def _receive(self, deadline_s: Optional[float]) -> Optional[Event]:
        while not self._stopped:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                wait_ms = None if deadline_s is None else max(int((deadline_s - time.monotonic()) * 1000) + 1, 0)
                ready = dict(self._poller.poll(wait_ms))
                if not ready:
                    return None
                continue
            if len(frames) == 2:
                try:
                    return frames[0].decode("utf-8", "replace"), _values.unpack(frames[1])
                except Exception:  # not ours to judge: the next one
                    continue
        return None

    def next(self, timeout: Optional[float] = None) -> Event:
        """(topic, body) of the next event; AnswerTimeoutError when none comes in time, or after stop()."""
        if self._early and not self._stopped:
            event: Optional[Event] = self._early.pop(0)
        else:
            event = self._receive(None if timeout is None else time.monotonic() + timeout)
        if event is None:
            raise AnswerTimeoutError("no event in time")
        self._count_missed(event)
        return event

    def _count_missed(self, event: Event) -> None:
        family = event[0].partition(".")[0] + "."
        number = event[1].get("seq")
        if not isinstance(number, int) or not any(family.startswith(topic) for topic in self.topics):
            return
        last = self._last.get(family)
        if last is not None and number > last + 1:
            self.missed += number - last - 1
        self._last[family] = number

    def stop(self) -> None:
        """Makes next() return, for good. From any thread, or a signal handler."""
        self._stopped = True
        try:
            self._wake_w.send(b"\0")
        except OSError:
            pass

    def close(self) -> None:
        """Ends the subscription; not while another thread is in next()."""
        self._stopped = True
        self._socket.close(0)
        self._wake_r.close()
        self._wake_w.close()

    def __iter__(self) -> Iterator[Event]:
        while True:
            try:
                yield self.next()
            except AnswerTimeoutError:
                return

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
