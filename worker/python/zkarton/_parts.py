"""Uploads in parts: what is large goes in several PUTs side by side, which the broker puts together at the end.

Each part is one transfer over all of its tries (_transfer.Run): one that fails is sent again alone, while the others go
on. The parts go over threads of this upload, a block in the memory of each; the thread that wants the upload watches
them, so that a timeout, a revoked lease and a signal find it.
"""
from __future__ import annotations

import contextlib
import threading
import time
from typing import IO, Any, Callable, ContextManager, Dict, List, Optional

from . import _transfer
from ._session import Session
from .exceptions import ZkartonError, error_of

PARTS_AT_ONCE = 4
PARTS_ASKED = 32  # addresses asked for at once
BEGINS_MAX = 3  # an upload that the store forgot begins anew
ASK_S = 60.0  # the broker may have to ask the object store first
ASK_PAUSE_S = 1.0
COMPLETE_BYTES_PER_S = 20_000_000  # a store that reads all of it again needs its time
ETAG_LEN_MAX = 127
JOIN_S = 1.0


def upload(session: Session, uid: bytes, name: str, size: int, open_stream: Callable[[], ContextManager[IO[bytes]]],
           watch: _transfer.Watch, verify: Callable[[IO[bytes]], None]) -> None:
    """Sends ``size`` bytes in parts and returns when the object is whole.

    ``open_stream()`` must give a stream that can seek; ``verify`` looks at it once all parts are sent, and raises if its
    bytes are not those that were declared.
    """
    for begun_count in range(1, BEGINS_MAX + 1):
        with open_stream() as stream:
            try:
                _Upload(session, uid, name, size, stream, watch).run(verify)
                return
            except ZkartonError as error:
                if error.code != "NOT_FOUND" or begun_count == BEGINS_MAX:
                    raise


class _Stopped(Exception):
    """The upload is over: a part need not go on."""


class _Upload:
    """One upload, from its begin to its completion."""

    def __init__(self, session: Session, uid: bytes, name: str, size: int, stream: IO[bytes],
                 watch: _transfer.Watch) -> None:
        self._session = session
        self._uid = uid
        self._name = name
        self._size = size
        self._stream = stream
        self._start = stream.tell()
        self._reading = threading.Lock()  # the stream has one position
        self._watch = watch
        self._upload = ""
        self._part_size = 0
        self._parts_count = 0
        self._addresses = threading.Lock()
        self._urls: Dict[int, str] = {}
        self._lock = threading.Lock()  # of what follows
        self._begun_count = 0
        self._etags: List[str] = []
        self._is_told = False
        self._problem: Optional[BaseException] = None
        self._is_stopped = threading.Event()
        self._wake = threading.Event()  # a thread has ended

    def run(self, verify: Callable[[IO[bytes]], None]) -> None:
        """Begins, sends, completes."""
        self._patiently(lambda left_s: self._ask_for(1, left_s), 0)
        self._etags = [""] * self._parts_count
        self._send()
        verify(self._stream)
        self._stream.seek(self._start + self._size)  # where one PUT would have left it
        tags = {"uid": self._uid, "upload": self._upload, "items": [{"etag": etag} for etag in self._etags]}
        self._patiently(lambda left_s: self._ask("COMPLETE", tags, left_s), self._size / COMPLETE_BYTES_PER_S)

    # ---- Asking the broker

    def _look(self) -> None:
        why = "the upload ended" if self._is_stopped.is_set() else _transfer.why_ended(self._watch)
        if why is not None:
            raise _transfer.cancelled(self._name, "upload", why)
        if self._watch.on_progress is not None:
            self._watch.on_progress()

    def _ask(self, verb: str, body: Dict[str, Any], timeout_s: float) -> Dict[str, Any]:
        try:
            return self._session.ask_while(verb, body, timeout_s, self._look)
        except ZkartonError as error:
            if error.code == "CANCELLED":
                raise
            raise error_of(error.code, f"{self._name}: {error.message}") from error

    def _ask_for(self, first: int, timeout_s: float) -> None:
        body: Dict[str, Any] = {"uid": self._uid, "first": first, "count": PARTS_ASKED}
        if self._upload:
            body["upload"] = self._upload
        answer = self._ask("PARTS", body, timeout_s)
        size, items = answer["part_size"], answer["items"]
        if answer["first"] != first or not items or size <= 0 or not answer["upload"] or (
                self._upload and (answer["upload"], size) != (self._upload, self._part_size)):
            raise ZkartonError(f"{self._name}: the broker's answer to PARTS makes no sense", "INVALID")
        self._upload, self._part_size = answer["upload"], size
        self._parts_count = -(-self._size // size)
        self._urls = {first + at: self._session.complete_url(item["url"]) for at, item in enumerate(items)}

    def _patiently(self, ask: Callable[[float], Any], more_s: float) -> None:
        """Asks until it is answered, or the patience ends."""
        give_up_s = time.monotonic() + _transfer.patience_s(self._watch) + more_s
        while True:
            try:
                ask(max(give_up_s - time.monotonic(), 0))
                return
            except ZkartonError as error:
                if not error.is_retryable or time.monotonic() + ASK_PAUSE_S > give_up_s:
                    raise
                self._tell(f"{self._name}: object store unreachable, retrying: {error.message}")
            until_s = time.monotonic() + ASK_PAUSE_S
            while time.monotonic() < until_s:
                self._look()
                time.sleep(_transfer.LOOK_S)

    def _tell(self, text: str) -> None:
        with self._lock:
            is_told, self._is_told = self._is_told, True
        if not is_told:
            self._watch.on_wait(text)

    def _url_of(self, part: int, refused: Optional[str], timeout_s: float) -> str:
        with self._addresses:
            url = self._urls.get(part)
            if url is None or url == refused:
                self._ask_for(part, min(timeout_s, ASK_S))
            return self._urls[part]

    # ---- On the thread that wants it

    def _send(self) -> None:
        # Of the thread that wants it; those of the parts have contexts of their own.
        given_up = _transfer.given_up.get()
        threads = [threading.Thread(target=self._work, args=(given_up,), name="zkarton-part", daemon=True)
                   for _ in range(min(PARTS_AT_ONCE, self._parts_count))]
        started: List[threading.Thread] = []
        try:
            for thread in threads:
                thread.start()
                started.append(thread)
            while self._problem is None and any(thread.is_alive() for thread in threads):
                self._wake.wait(_transfer.LOOK_S)
                self._wake.clear()
                self._look()
        finally:
            self._is_stopped.set()
            for thread in started:
                thread.join(JOIN_S)
        if self._problem is not None:
            raise self._problem
        self._is_stopped.clear()  # all have ended; the completion goes on

    # ---- On a thread of parts

    def _work(self, given_up: Optional[threading.Event]) -> None:
        _transfer.given_up.set(given_up)
        try:
            while (part := self._next_part()) is not None:
                self._send_part(part)
        except _Stopped:
            pass
        except BaseException as problem:
            with self._lock:
                if self._problem is None and not self._is_stopped.is_set():
                    self._problem = problem
        finally:
            _transfer.close_kept()
            self._wake.set()

    def _next_part(self) -> Optional[int]:
        with self._lock:
            if self._begun_count == self._parts_count or self._problem is not None or self._is_stopped.is_set():
                return None
            self._begun_count += 1
            return self._begun_count

    def _send_part(self, part: int) -> None:
        def renew(left_s: float) -> str:
            return self._url_of(part, run.url, left_s)

        def ended() -> Optional[str]:
            return "the upload ended" if self._is_stopped.is_set() else self._watch.ended()

        def open_part() -> ContextManager[Any]:
            return contextlib.nullcontext(_Part(self, offset))

        offset = (part - 1) * self._part_size
        watch = _transfer.Watch(renew, ended, self._tell, self._watch.in_task, ca_file=self._watch.ca_file)
        run = _transfer.Run(self._first_url(part), self._name, "upload", watch, is_part=True)
        etag = _transfer.put(run, min(self._part_size, self._size - offset), open_part)
        if not 0 < len(etag) <= ETAG_LEN_MAX:
            raise ZkartonError(f"{self._name}: the object store gave no ETag for a part", "IO")
        with self._lock:
            self._etags[part - 1] = etag
            self._is_told = False

    def _first_url(self, part: int) -> str:
        url: List[str] = []
        self._patiently(lambda left_s: url.append(self._url_of(part, None, left_s)), 0)
        return url[0]

    def read_at(self, position: int, size: int) -> bytes:
        """A piece of the stream."""
        if self._is_stopped.is_set() or self._problem is not None:
            raise _Stopped
        with self._reading:
            self._stream.seek(self._start + position)
            return self._stream.read(size)


class _Part:
    """The stream of one part."""

    def __init__(self, upload: _Upload, position: int) -> None:
        self._upload = upload
        self._position = position

    def read(self, size: int) -> bytes:
        data = self._upload.read_at(self._position, size)
        self._position += len(data)
        return data
