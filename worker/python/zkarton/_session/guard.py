"""The guard: a small helper process that keeps the leases while no Python code can run here.

The I/O thread needs the GIL. A ``process`` that is in C code and holds it for longer than the expiry would lose its
lease though it works. So each worker has a helper that sleeps, next to free of cost: the worker writes what it holds
and a beat into memory both share; if the beat stops while the worker's process runs (not stopped, not dead), the helper
says HELLO for the same instance with everything held, and heartbeats. As soon as the I/O thread runs again it says
HELLO itself and the helper steps back: both are the ordinary resuming of docs/protocol. Why so:
docs/decisions/0007-python-guard.md.
"""
from __future__ import annotations

import contextlib
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
from .._tables import ERRORS, LIMITS, VERBS

if TYPE_CHECKING:
    from .delivery import Delivery
    from .session import Session

# The table: a head, then a place for each delivery. guard_main.py reads it, and is told how.
HEAD_BYTES = 64
PLACE = struct.Struct("<Q16sB7x")  # number, uid of the task, whether its process runs
STARTED_AT = 24
PLACES = LIMITS["HELD"]
HEAD = struct.Struct("<QQQQB")  # beat, generation, interval and expiry in ns; the guard has taken over
BEAT = struct.Struct("<Q")
TAKEN_OVER_AT = 32
INSTANCE_AT = 40
INSTANCE_BYTES = 16

_CODES = {name: number for number, name in ERRORS.items()}


class Guard:
    """The worker's side. Only the I/O thread calls these, but for `started`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._free: List[int] = []
        self._next = 0
        self._process: Optional[subprocess.Popen[bytes]] = None
        self.beat_s = 1.0
        self._fd = fd = os.memfd_create("zkarton-guard") if hasattr(os, "memfd_create") else _unlinked_file()
        try:
            os.ftruncate(fd, HEAD_BYTES + PLACE.size * PLACES)
            self._table = mmap.mmap(fd, 0)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def start(cls, session: Session) -> Optional[Guard]:
        """None, and a note, where there can be no helper: the I/O thread is on its own then."""
        guard = None
        try:
            guard = cls(session)
            guard._spawn()
            return guard
        except OSError as error:
            if guard is not None:
                guard.stop()
            session.note("WARNING", "GUARD-ABSENT", f'text="{error}"')
            return None

    def _spawn(self) -> None:
        if not sys.executable:
            raise OSError("there is no Python program to run it")
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guard_main.py")
        self._process = subprocess.Popen([sys.executable, "-I", "-S", program, str(self._fd)], stdin=subprocess.PIPE,
                                         stdout=subprocess.DEVNULL, pass_fds=(self._fd,), start_new_session=True)
        session = self._session
        hello = session.hello()
        self.instance(hello["instance"])
        told = {"pid": os.getpid(), "path": sys.path, "address": session.options.address, "hello": msgpack.packb(hello).hex(),
                "head_bytes": HEAD_BYTES, "head": HEAD.format, "place": PLACE.format, "taken_over_at": TAKEN_OVER_AT,
                "instance_at": INSTANCE_AT, "instance_bytes": INSTANCE_BYTES,
                "hello_required": _CODES["HELLO_REQUIRED"], "session_replaced": _CODES["SESSION_REPLACED"],
                "hello_verb": VERBS["HELLO"], "heartbeat_verb": VERBS["HEARTBEAT"], "report_verb": VERBS["REPORT"],
                "error_verb": VERBS["ERROR"], "welcome_verb": VERBS["WELCOME"]}
        pipe = self._process.stdin
        assert pipe is not None
        pipe.write(json.dumps(told).encode() + b"\n")
        pipe.flush()

    def stop(self) -> None:
        """At once: it has nothing to finish."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin is not None:
                with contextlib.suppress(OSError):  # what it was not told any more
                    process.stdin.close()
        self._table.close()
        os.close(self._fd)

    # ---- The table

    def welcomed(self, generation: int, interval_s: float, expiry_s: float) -> None:
        """The terms of the session."""
        self.beat_s = min(interval_s / 2, 1.0)
        taken = self._table[TAKEN_OVER_AT]
        HEAD.pack_into(self._table, 0, time.monotonic_ns(), generation, int(interval_s * 1e9), int(expiry_s * 1e9),
                       taken)

    def instance(self, instance: bytes) -> None:
        """Whom the helper is to speak for."""
        self._table[INSTANCE_AT:INSTANCE_AT + INSTANCE_BYTES] = instance

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
            self._table[HEAD_BYTES + PLACE.size * delivery.place + STARTED_AT] = 1

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
