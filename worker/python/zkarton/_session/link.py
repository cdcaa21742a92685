"""The way to the broker: a DEALER with its monitor, and the pipe by which other threads wake the one that polls.

Only ``wake`` is for any thread. A fork leaves all of it to the parent: the child makes a context of its own.
"""
from __future__ import annotations

import os
import struct
import weakref
from typing import Any, Dict, Iterator, List, Optional

import zmq

OPTIONS = ((zmq.SNDHWM, 0), (zmq.RCVHWM, 0), (zmq.IPV6, 1), (zmq.RECONNECT_IVL, 50), (zmq.RECONNECT_IVL_MAX, 2000))
EVENTS = zmq.EVENT_CONNECTED | zmq.EVENT_CONNECT_RETRIED | zmq.EVENT_DISCONNECTED

_contexts: Dict[int, zmq.Context[zmq.Socket[bytes]]] = {}
_inherited: List[Any] = []  # contexts of a parent: kept, so that nothing is done with them


def context() -> zmq.Context[zmq.Socket[bytes]]:
    """One a process: that of a parent must not be used after a fork."""
    pid = os.getpid()
    found = _contexts.get(pid)
    if found is None:
        found = _contexts[pid] = zmq.Context()
    return found


class Link:
    """One connection after another to one address."""

    def __init__(self) -> None:
        self.is_connected = False  # of whoever reads the events
        self._wake_r, self._wake_w = os.pipe()
        # Closed with the object: nobody may write to a number that has become another file.
        weakref.finalize(self, _close_pipe, self._wake_r, self._wake_w).atexit = False
        os.set_blocking(self._wake_r, False)
        os.set_blocking(self._wake_w, False)
        self._socket: Optional[zmq.Socket[bytes]] = None
        self._monitor: Optional[zmq.Socket[bytes]] = None
        self._poller = self._new_poller()

    def _new_poller(self) -> zmq.Poller:
        poller = zmq.Poller()
        poller.register(self._wake_r, zmq.POLLIN)
        return poller

    def wake(self) -> None:
        """Ends ``poll``, now or the next time."""
        try:
            os.write(self._wake_w, b"\0")
        except OSError:
            pass  # full: it is being woken already. Closed: it is over

    @property
    def is_open(self) -> bool:
        """There is a socket, connected or not."""
        return self._socket is not None

    def open(self, address: str) -> None:
        """A fresh socket that dials; zmq.ZMQError if that is no address."""
        self.is_connected = False
        socket = self._socket = context().socket(zmq.DEALER)
        socket.linger = 0
        for option, value in OPTIONS:
            socket.setsockopt(option, value)
        monitor: zmq.Socket[bytes] = socket.get_monitor_socket(EVENTS)
        monitor.linger = 0
        self._monitor = monitor
        self._poller = self._new_poller()
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(monitor, zmq.POLLIN)
        socket.connect(address)

    def close(self, linger_s: float = 0) -> None:
        """What was sent has so long to leave."""
        if self._socket is None:
            return
        self._poller = self._new_poller()
        try:
            self._socket.disable_monitor()
        finally:
            if self._monitor is not None:
                self._monitor.close(0)
            self._socket.close(int(linger_s * 1000))
            self._socket = self._monitor = None

    def send(self, frame: bytes) -> None:
        """Hands it on."""
        if self._socket is not None:
            # No high water mark: what may be under way is bounded by windows, so this does not block.
            try:
                self._socket.send(frame, zmq.NOBLOCK)
            except zmq.Again:
                pass

    def receive(self) -> Optional[List[bytes]]:
        """The frames of the next message; None: nothing is there."""
        if self._socket is None:
            return None
        try:
            return self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None

    def events(self) -> Iterator[int]:
        """What has become of the connection."""
        while self._monitor is not None:
            try:
                frames = self._monitor.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            event: int = struct.unpack("=H", frames[0][:2])[0]
            yield event

    def poll(self, timeout_s: float) -> bool:
        """Sleeps until something is there; True: there are events."""
        has_events = False
        for source, _ in self._poller.poll(int(timeout_s * 1000) + (1 if timeout_s % 0.001 else 0)):
            if source == self._wake_r:
                try:
                    os.read(self._wake_r, 512)
                except BlockingIOError:
                    pass
            elif source is self._monitor:
                has_events = True
        return has_events


def _close_pipe(read_fd: int, write_fd: int) -> None:
    os.close(read_fd)
    os.close(write_fd)


def _after_fork_in_child() -> None:
    # The parent's sockets and context do not exist here. Nothing may be closed either.
    _inherited.extend(_contexts.values())
    _contexts.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
