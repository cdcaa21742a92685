"""Questions to the broker and log records.

A question is said again after a resume, unless it is one that changes something: whether that was done cannot be
known, so it fails.
"""
from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Deque, Dict, List

from .. import _msgpack as msgpack
from .._tables import LIMITS, VERBS
from .._values import array_head
from ..exceptions import ZkartonError, error_of
from .delivery import Question

if TYPE_CHECKING:
    from .session import Session

LOGS_WAITING_MAX = 4096
LOG_BYTES_MAX = 2 << 20
RECORDS_MAX = LIMITS["LOG_RECORDS"]
_RECORDS = msgpack.packb("records")


class Questions:
    """Only the I/O thread calls these."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.unsent: Deque[Question] = deque()
        self.by_id: Dict[int, Question] = {}
        self.logs: Deque[bytes] = deque()
        self.is_drop_told = False

    def take(self, question: Question) -> None:
        self.unsent.append(question)

    def flush(self) -> None:
        session = self.session
        if session.state == "dead" and session.problem is not None:
            self.refuse_all(session.problem)
        while session.state == "open" and self.unsent:
            question = self.unsent.popleft()
            if question.is_done:
                continue
            if question.verb == "HELLO":  # waits until the session is open
                question.answer = session.welcome
                question.finish()
                continue
            question.id = session.next_id()
            self.by_id[question.id] = question
            session.send(question.verb, question.id, question.body)

    def answered(self, message_id: int, body: Dict[str, Any]) -> bool:
        question = self.by_id.pop(message_id, None)
        if question is None:
            return False
        question.answer = body
        question.finish()
        return True

    def refused(self, message_id: int, error: ZkartonError) -> bool:
        question = self.by_id.pop(message_id, None)
        if question is None:
            return False
        question.refuse(error)
        return True

    def abandon(self, question: Question) -> None:
        """The asker's time is up; if the answer is on its way to him already, he takes that."""
        self.by_id.pop(question.id, None)
        question.refuse(self.session.silence_error())

    def resume(self) -> None:
        """After WELCOME."""
        pending, self.by_id = list(self.by_id.values()), {}
        for question in reversed(pending):
            if question.is_once:
                question.refuse(error_of("UNREACHABLE", "the connection was lost: whether it was done is not known"))
            else:
                self.unsent.appendleft(question)

    def refuse_all(self, error: ZkartonError) -> None:
        pending = [*self.by_id.values(), *self.unsent]
        self.by_id.clear()
        self.unsent.clear()
        for question in pending:
            question.refuse(error)

    # ---- Logs: fire and forget

    def take_log(self, record: bytes) -> None:
        if len(self.logs) >= LOGS_WAITING_MAX:
            if not self.is_drop_told:
                self.is_drop_told = True
                self.session.note("WARNING", "LOGS-DROPPED", f'text="{LOGS_WAITING_MAX} records wait for the broker"')
        else:
            self.logs.append(record)

    def flush_logs(self) -> None:
        session = self.session
        while self.logs and session.state == "open":
            records: List[bytes] = []
            size = 0
            while self.logs and len(records) < RECORDS_MAX and size < LOG_BYTES_MAX:
                size += len(self.logs[0])
                records.append(self.logs.popleft())
            session.send_bytes(b"".join((b"\x93", msgpack.packb(VERBS["LOG"]), b"\x00\x81", _RECORDS,
                                         array_head(len(records)), *records)))
