"""The sessions behind one backend, each opened when it is first needed.

A service that registers a queue has a worker's session, and everything it sends goes that way; before that, and for
programs that only send or ask, there is a producer's. What needs an operator's rights gets a session of its own, so
that a plain service needs none.
"""
from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import Any, Deque, Dict, Iterable, Iterator, Optional

from karton.core.config import Config

from .._session import Options, Question, Session
from ..config import parse_duration
from ..exceptions import ConfigError

LOGS_KEPT = 1000
PAGE_ROWS = 500
QUESTIONS_MOST = 16  # under way; the broker takes 64

log = logging.getLogger("zkarton.karton")


def address_of(config: Config) -> str:
    """Where the broker is."""
    for section in ("zkarton", "broker"):
        address = config.get(section, "address")
        if address:
            return str(address)
    raise ConfigError("the configuration does not say where zkarton's broker is: add to karton.ini\n"
                      "[zkarton]\naddress = tcp://HOST:5570\nor set KARTON_ZKARTON_ADDRESS")


def _answer(question: Question) -> Any:
    question.wait()
    if question.error is not None:
        raise question.error
    return question.answer["rows"]


class Sessions:
    """Of one backend. Any thread may call."""

    def __init__(self, config: Config, identity: Optional[str]) -> None:
        self.address = address_of(config)
        timeout = config.get("zkarton", "connect_timeout")
        self.connect_timeout_s = None if timeout is None else parse_duration(timeout)
        self.ca_file = config.get("s3", "ca_file") or None
        self.identity = identity or ""
        self.worker: Optional[Session] = None
        self._producer: Optional[Session] = None
        self._operator: Optional[Session] = None
        self._lock = threading.RLock()
        self._logs: Deque[bytes] = deque(maxlen=LOGS_KEPT)  # from before there was a session
        self._pid = os.getpid()

    def _note(self, level: str, note_id: str, text: str) -> None:
        log.log(getattr(logging, level, logging.INFO), "%s %s", note_id, text)

    def _leave_to_parent(self) -> None:
        """In a process that was forked: the sessions stay with the one that made them; here are none yet."""
        if os.getpid() != self._pid:
            self._pid = os.getpid()
            self._lock = threading.RLock()
            self._logs.clear()
            self.worker = self._producer = self._operator = None

    def start(self, role: str, **more: Any) -> Session:
        """A new session, which the broker has yet to welcome."""
        options = Options(role=role, identity=more.pop("identity", self.identity), address=self.address,
                          origin="[zkarton] address", connect_timeout_s=self.connect_timeout_s,
                          ca_file=self.ca_file, **more.pop("options", {}))
        return Session(options, note=self._note, **more).start()

    def open(self, role: str, **more: Any) -> Session:
        """A new session, once the broker has welcomed it."""
        session = self.start(role, **more)
        try:
            session.wait_open()
        except BaseException:
            session.close()
            raise
        while self._logs:
            session.log(self._logs.popleft())
        return session

    def open_worker(self, **more: Any) -> Session:
        """The session that serves a queue, in place of the one before."""
        self._leave_to_parent()
        with self._lock:
            if self.worker is not None:
                self.worker.close()
            self.worker = self.open("worker", **more)
            if self._producer is not None:
                self._producer.close()
                self._producer = None
            return self.worker

    @property
    def sender(self) -> Session:
        """For tasks and objects: what a task brings must come from the session that sends it."""
        self._leave_to_parent()
        with self._lock:
            if self.worker is not None and not self.worker.is_over:
                return self.worker
            if self._producer is None or self._producer.is_over:
                self._producer = self.open("producer")
            return self._producer

    @property
    def asker(self) -> Session:
        """For questions: one that does not end before it is answered."""
        worker = self.worker
        if worker is not None and worker.is_retiring:
            with self._lock:
                if self._producer is None or self._producer.is_over:
                    self._producer = self.open("producer")
                return self._producer
        return self.sender

    @property
    def operator(self) -> Session:
        """For what only an operator may."""
        self._leave_to_parent()
        with self._lock:
            if self._operator is None or self._operator.is_over:
                self._operator = self.open("operator")
            return self._operator

    def log(self, packed: bytes) -> None:
        """Hands on a log record; without a session yet it is kept for the first one."""
        self._leave_to_parent()
        session = self.worker or self._producer
        if session is not None and not session.is_over:
            session.log(packed)
        else:
            self._logs.append(packed)

    def rows(self, what: str, **arguments: Any) -> Iterator[Dict[str, Any]]:
        """All rows of a question, page by page."""
        page: Dict[str, str] = {}
        while True:
            answer = self.asker.ask("QUERY", {"what": what, "limit": PAGE_ROWS, **arguments, **page})
            yield from answer["rows"]
            if not answer.get("next"):
                return
            page = {"after": answer["next"]}

    def tasks(self, uids: Iterable[str]) -> Iterator[Dict[str, Any]]:
        """The row of each task that is there; several are asked for at once."""
        session = self.asker
        open_questions: Deque[Question] = deque()
        for uid in uids:
            question = Question("QUERY", {"what": "task", "uid": uid})
            session.ask_later(question)
            open_questions.append(question)
            if len(open_questions) >= QUESTIONS_MOST:
                yield from _answer(open_questions.popleft())
        while open_questions:
            yield from _answer(open_questions.popleft())

    def control(self, what: str, **arguments: Any) -> Any:
        """Rows of something that an operator does."""
        return self.operator.ask("CONTROL", {"what": what, **arguments}, is_once=True)["rows"]

    def close(self) -> None:
        with self._lock:
            for session in (self.worker, self._producer, self._operator):
                if session is not None:
                    session.close()
            self.worker = self._producer = self._operator = None
