"""Log records, out and in: Karton's record on the broker's events socket."""
from __future__ import annotations

import fnmatch
import json
import time
from typing import Any, Dict, Iterator, Optional

import zmq

from .. import _values
from .._tables import LIMITS
from ..exceptions import ZkartonError
from ._sessions import Sessions

MESSAGE_KEPT = 16384


def pack_record(record: Dict[str, Any], level: str) -> bytes:
    """A record within the limits: what is too large goes first from what it repeats."""
    record = {"levelname": level, **record}
    try:
        packed = _values.pack_value(record, "log record")
    except (TypeError, ValueError):  # an `extra` that is no value
        packed = _values.pack_value(json.loads(json.dumps(record, default=repr)), "log record")
    most = LIMITS["LOG_RECORD_BYTES"]
    if len(packed) > most:
        short = {key: value for key, value in record.items() if key != "task"}
        packed = _values.pack_value(json.loads(json.dumps(short, default=repr)), "log record")
    if len(packed) > most:
        message = str(record.get("message"))[:MESSAGE_KEPT]
        packed = _values.pack_value({"levelname": level, "type": "log", "name": str(record.get("name")), "message": message})
    return packed


def consume(sessions: Sessions, timeout_s: float, logger: Optional[str], level: Optional[str]) -> Iterator[
        Optional[Dict[str, Any]]]:
    """Records as they come; None when none came for so long."""
    session = sessions.start("producer")  # its own: nothing may hold the others up while the broker is not there
    prefix = f"log.{level.lower()}." if level else "log."
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    try:
        socket.linger = 0
        socket.setsockopt(zmq.IPV6, 1)
        while not session.welcome:
            try:
                session.wait_open(timeout_s)
            except ZkartonError:
                if session.is_over:
                    raise
                yield None
        socket.connect(session.complete_url(session.welcome["events"]))
        socket.setsockopt(zmq.SUBSCRIBE, prefix.encode())
        deadline_s = time.monotonic() + timeout_s
        while True:
            if not socket.poll(max(int((deadline_s - time.monotonic()) * 1000), 0)):
                deadline_s = time.monotonic() + timeout_s
                yield None
                continue
            topic, body = socket.recv_multipart()
            identity = topic.decode("utf-8", "replace").split(".", 2)[2]
            if logger is not None and not fnmatch.fnmatchcase(identity, logger):
                continue
            record = _values.unpack(body)
            record.pop("seq", None)
            if isinstance(record.get("task"), str):
                record["task"] = json.loads(record["task"])
            deadline_s = time.monotonic() + timeout_s
            yield record
    finally:
        socket.close()
        session.close()
