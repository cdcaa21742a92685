"""The guard: a small helper process that keeps the leases while no Python code can run here.

The I/O thread needs the GIL. A ``process`` that is in C code and holds it for longer than the expiry would lose its
lease though it works. So each worker has a helper that sleeps, next to free of cost: the worker writes what it holds
and a beat into memory both share; if the beat stops while the worker's process runs (not stopped, not dead), the helper
says HELLO for the same instance with everything held, and heartbeats. As soon as the I/O thread runs again it says
HELLO itself and the helper steps back: both are the ordinary resuming of docs/protocol. Why so:
docs/decisions/0007-python-guard.md.
"""
from __future__ import annotations

import json
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, List, Optional

from .. import _msgpack as msgpack
from .._tables import LIMITS, VERBS

if TYPE_CHECKING:
    from .delivery import Delivery
    from .session import Session

# The table: a head, then a place for each delivery. guard_main.py reads it.
HEAD_BYTES = 64
PLACE = struct.Struct("<Q16sB7x")
PLACES = LIMITS["HELD"]
HEAD = struct.Struct("<QQQQB")  # beat, generation, interval and expiry in ns; the guard has taken over
BEAT = struct.Struct("<Q")
TAKEN_OVER_AT = 32
STOP_WAIT_S = 2.0


class Guard:
    """The worker's side. Only the I/O thread calls these, but for `started`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._free: List[int] = []
        self._next = 0
        self._process: Optional[subprocess.Popen[bytes]] = None
        self.beat_s = 1.0
        fd = os.memfd_create("zkarton-guard") if hasattr(os, "memfd_create") else _unlinked_file()
        os.ftruncate(fd, HEAD_BYTES + PLACE.size * PLACES)
        self._fd = fd
        self._table = mmap.mmap(fd, 0)

    @classmethod
    def start(cls, session: Session) -> Optional[Guard]:
        """None, and a note, where there can be no helper: the I/O thread is on its own then."""
        try:
            guard = cls(session)
            guard._spawn()
            return guard
        except OSError as error:
            session.note("WARNING", "GUARD-ABSENT", f'text="{error}"')
            return None

    def _spawn(self) -> None:
        if not sys.executable:
            raise OSError("there is no Python program to run it")
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guard_main.py")
        self._process = subprocess.Popen([sys.executable, "-I", "-S", program, str(self._fd)], stdin=subprocess.PIPE,
                                         stdout=subprocess.DEVNULL, pass_fds=(self._fd,), start_new_session=True)
        session = self._session
        hello = msgpack.packb(session.hello())
        told = {"pid": os.getpid(), "path": sys.path, "address": session.options.address, "hello": hello.hex(),
                "hello_verb": VERBS["HELLO"], "heartbeat_verb": VERBS["HEARTBEAT"], "report_verb": VERBS["REPORT"],
                "error_verb": VERBS["ERROR"], "welcome_verb": VERBS["WELCOME"]}
        pipe = self._process.stdin
        assert pipe is not None
        pipe.write(json.dumps(told).encode() + b"\n")
        pipe.flush()

    def stop(self) -> None:
        """It ends when its pipe does."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            if process.stdin is not None:
                process.stdin.close()
            process.wait(STOP_WAIT_S)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
        self._table.close()
        os.close(self._fd)

    # ---- The table

    def welcomed(self, generation: int, interval_s: float, expiry_s: float) -> None:
        """The terms of the session."""
        self.beat_s = min(interval_s / 2, 1.0)
        taken = self._table[TAKEN_OVER_AT]
        HEAD.pack_into(self._table, 0, time.monotonic_ns(), generation, int(interval_s * 1e9), int(expiry_s * 1e9),
                       taken)

    def beat(self) -> None:
        """The I/O thread runs."""
        BEAT.pack_into(self._table, 0, time.monotonic_ns())

    def has_taken_over(self) -> bool:
        """Whether it has, since last asked."""
        has: bool = self._table[TAKEN_OVER_AT] != 0
        self._table[TAKEN_OVER_AT] = 0
        return has

    def hold(self, delivery: Delivery) -> None:
        """One lease more."""
        if self._free:
            delivery.place = self._free.pop()
        elif self._next < PLACES:
            delivery.place = self._next
            self._next += 1
        else:
            return  # more than HELLO can name
        PLACE.pack_into(self._table, HEAD_BYTES + PLACE.size * delivery.place, delivery.number, delivery.uid, 0)

    def started(self, delivery: Delivery) -> None:
        """Its process runs. On the slot's thread."""
        if delivery.place >= 0 and self._process is not None:
            self._table[HEAD_BYTES + PLACE.size * delivery.place + 24] = 1

    def release(self, delivery: Delivery) -> None:
        """One lease less."""
        if delivery.place >= 0:
            PLACE.pack_into(self._table, HEAD_BYTES + PLACE.size * delivery.place, 0, bytes(16), 0)
            self._free.append(delivery.place)
            delivery.place = -1


def _unlinked_file() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


__all__: List[Any] = ["Guard"]
