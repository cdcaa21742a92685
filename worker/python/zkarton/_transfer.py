"""Bytes of resources over HTTP: presigned addresses from the broker, streamed, connections kept.

What may pass (nothing listens, a lost connection, a 5xx) is tried again with growing pauses until nothing has moved
for the patience; an address that is refused, or leads nowhere for long, is renewed (docs/objects.md, Transfers). What
is large goes in parts: _parts.py.
"""
from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import os
import random
import re
import ssl
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import IO, Any, Callable, Dict, Iterator, Optional, Tuple
from urllib.parse import urljoin, urlsplit

from .exceptions import ZkartonError, error_of

BLOCK_BYTES = 1 << 18
TIMEOUT_S = 60.0
PATIENCE_S = 5 * 60.0
PATIENCE_IN_TASK_S = 60 * 60.0
PAUSE_LEAST_S = 0.05
PAUSE_MOST_S = 2.0
LOOK_S = 0.1  # so often a pause looks whether it is still wanted
RENEW_AFTER_TRIES = 8  # in vain, about 8 seconds: the broker may have another address by now
LOST_UPLOADS_MAX = 5  # tries that moved something and failed: an upload begins again each time
REDIRECTS_MAX = 5
REFUSAL_BYTES = 4096
_ELSEWHERE = (301, 302, 303, 307, 308)
# What may succeed when it is tried again, by status and by the store's code.
_AGAIN = (408, 429, 500, 502, 503, 504, 507)
_AGAIN_CODES = ("RequestTimeout",)
# What another address may help against.
_REFUSED = (401, 403)
_REFUSED_CODES = ("ExpiredToken",)

_local = threading.local()
if hasattr(os, "register_at_fork"):
    # A connection is the parent's; its bytes and the child's would mix.
    os.register_at_fork(after_in_child=lambda: _local.__dict__.clear())

#: Set by whoever waits for a transfer on another thread and does not want it any more.
given_up: ContextVar[Optional[threading.Event]] = ContextVar("zkarton_given_up", default=None)


@dataclass
class Watch:
    """What a transfer asks of whoever wants it."""

    renew: Callable[[float], str]  # another address, within so many seconds
    ended: Callable[[], Optional[str]]  # why it is not wanted any more; None: it is
    on_wait: Callable[[str], None]  # told once when it begins to wait
    in_task: bool = False
    on_progress: Optional[Callable[[], None]] = None  # called again and again while bytes of an upload move
    ca_file: Optional[str] = None  # of certificates that an https server's has to come from; None: the system's


def why_ended(watch: Watch) -> Optional[str]:
    """Why the transfer of this thread is not wanted any more; None: it is."""
    event = given_up.get()
    return "given up" if event is not None and event.is_set() else watch.ended()


def cancelled(name: str, what: str, why: str) -> ZkartonError:
    """What a transfer ends with that is not wanted any more."""
    return ZkartonError(f"{name}: the {what} was cancelled: {why}", "CANCELLED")


def patience_s(watch: Watch) -> float:
    """How long nothing may move."""
    return PATIENCE_IN_TASK_S if watch.in_task else PATIENCE_S


class _Refusal(Exception):
    """An HTTP status that is no success."""

    def __init__(self, status: int, store_code: str, error: ZkartonError) -> None:
        super().__init__(str(error))
        self.error = error
        self.may_pass = status in _AGAIN or store_code in _AGAIN_CODES
        self.is_denied = status in _REFUSED or store_code in _REFUSED_CODES
        self.is_missing = status == 404


class _UntrustedError(OSError):
    """The certificate of an https server does not hold, or cannot be checked."""


class Run:
    """One transfer over all of its tries.

    :param is_part: of an upload that the store may have forgotten: no other address helps against that
    """

    def __init__(self, url: str, name: str, what: str, watch: Watch, is_part: bool = False) -> None:
        self.url = url
        self.name = name
        self.what = what
        self.watch = watch
        self.is_part = is_part
        self.patience_s = patience_s(watch)
        self.is_told = False
        self.lost_uploads = 0
        self.moved()

    def moved(self) -> None:
        """Something has: the patience begins anew."""
        self.give_up_s = time.monotonic() + self.patience_s
        self.pause_s = PAUSE_LEAST_S
        self.tries_in_vain = 0
        self.is_renewed = False  # since something moved: a second refusal is final

    def moved_of_upload(self) -> None:
        """What a try that failed had moved is lost: not for ever."""
        self.lost_uploads += 1
        if self.lost_uploads < LOST_UPLOADS_MAX:
            self.moved()

    def is_stale(self, problem: Exception) -> bool:
        """Whether another address may help."""
        return isinstance(problem, _Refusal) and (problem.is_denied or (problem.is_missing and not self.is_part))

    def failed(self, problem: Exception) -> None:
        """After a try that failed: returns when to try again, else raises."""
        may_pass = not isinstance(problem, _Refusal) or problem.may_pass
        if isinstance(problem, _UntrustedError):
            may_pass = self.watch.in_task  # a task is not Crashed for what its worker was not told
        is_stale = self.is_stale(problem) and not self.is_renewed
        self.tries_in_vain += may_pass
        if is_stale or (may_pass and self.tries_in_vain % RENEW_AFTER_TRIES == 0):
            is_renewed = self._renew()
            self.is_renewed = is_stale and is_renewed
            if self.is_renewed:
                return
            may_pass = True
        left_s = self.give_up_s - time.monotonic()
        pause_s = self.pause_s / 2 + random.random() * self.pause_s / 2
        if not may_pass or pause_s > left_s:
            raise self._error(problem) from problem
        if not self.is_told:
            self.is_told = True
            self.watch.on_wait(f"{self.name}: object store unreachable, retrying: {_text(problem)}")
        self._wait(pause_s)
        self.pause_s = min(self.pause_s * 2, PAUSE_MOST_S)

    def _error(self, problem: Exception) -> ZkartonError:
        if isinstance(problem, _Refusal):
            return problem.error
        code = "CONFIG_INVALID" if isinstance(problem, _UntrustedError) else "IO"
        return error_of(code, f"{self.name}: the {self.what} failed: {_text(problem)}")

    def _renew(self) -> bool:
        try:
            self.url = self.watch.renew(max(self.give_up_s - time.monotonic(), 0))
            return True
        except ZkartonError as error:
            if not error.is_retryable:
                raise
            return False  # as a store that is away

    def _wait(self, pause_s: float) -> None:
        until_s = time.monotonic() + pause_s
        while True:
            why = why_ended(self.watch)
            if why is not None:
                raise cancelled(self.name, self.what, why)
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(left_s, LOOK_S))


def _text(problem: Exception) -> str:
    if isinstance(problem, _Refusal):
        return problem.error.message
    if isinstance(problem, _UntrustedError):
        return str(problem)
    return f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__


# ---- Connections

_Key = Tuple[str, str, Optional[str]]


def _kept() -> Dict[_Key, http.client.HTTPConnection]:
    kept: Dict[_Key, http.client.HTTPConnection] = _local.__dict__.setdefault("kept", {})
    return kept


@functools.lru_cache(maxsize=8)
def _trust(ca_file: Optional[str]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


def _connect(scheme: str, host: str, ca_file: Optional[str]) -> http.client.HTTPConnection:
    if scheme != "https":
        return http.client.HTTPConnection(host, timeout=TIMEOUT_S, blocksize=BLOCK_BYTES)
    try:
        context = _trust(ca_file)
    except OSError as problem:
        raise _UntrustedError(f"[s3] ca_file: {ca_file} cannot be read as certificates ({problem})") from problem
    connection = http.client.HTTPSConnection(host, timeout=TIMEOUT_S, blocksize=BLOCK_BYTES, context=context)
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as problem:
        raise _UntrustedError(f"[s3] ca_file: the certificate of https://{host} does not hold by "
                              f"{ca_file or 'the certificates of the system'} ({problem.verify_message})") from problem
    return connection


@contextlib.contextmanager
def _connection(url: str, ca_file: Optional[str]) -> Iterator[Tuple[http.client.HTTPConnection, str]]:
    """A connection of this thread to the host of url, and the rest of it; kept only after a whole exchange."""
    parts = urlsplit(url)
    key = (parts.scheme, parts.netloc, ca_file)
    connection = _kept().pop(key, None) or _connect(parts.scheme, parts.netloc, ca_file)
    try:
        yield connection, parts.path + (f"?{parts.query}" if parts.query else "")
    except BaseException:
        connection.close()
        raise
    _kept()[key] = connection


def close_kept() -> None:
    """Closes the connections of this thread, which ends."""
    kept = _kept()
    while kept:
        kept.popitem()[1].close()


def _is_kept(url: str, ca_file: Optional[str]) -> bool:
    parts = urlsplit(url)
    return (parts.scheme, parts.netloc, ca_file) in _kept()


def _refusal(name: str, what: str, response: http.client.HTTPResponse) -> _Refusal:
    """Of the server's document only the code: the rest may name keys, and goes to logs and errors of tasks."""
    found = re.search(rb"<Code>([A-Za-z0-9._-]{1,64})</Code>", response.read(REFUSAL_BYTES))
    store_code = found.group(1).decode() if found else ""
    why = f": {store_code}" if found else ""
    code = {403: "DENIED", 404: "NOT_FOUND", 413: "TOO_LARGE", 507: "DISK_FULL", 503: "BUSY"}.get(response.status, "IO")
    return _Refusal(response.status, store_code, error_of(code, f"{name}: the {what} ended with HTTP {response.status}{why}"))


# ---- Upload

def upload(url: str, name: str, size: int, sha256: bytes, open_stream: Callable[[], Any], watch: Watch) -> None:
    """PUTs ``size`` bytes of what ``open_stream()`` (a context manager, opened anew for each try) gives."""
    put(Run(url, name, "upload", watch), size, open_stream, sha256)


def put(run: Run, size: int, open_stream: Callable[[], Any], sha256: Optional[bytes] = None) -> str:
    """Over all tries; the ETag that the store answers. Bytes whose hash is another are an error."""
    while True:
        was_kept = _is_kept(run.url, run.watch.ca_file)
        with open_stream() as stream:
            blocks = _Blocks(stream, size, run, sha256)
            try:
                etag = _put(run, size, blocks)
                blocks.check()
                return etag
            except _Refusal as refusal:
                if not refusal.may_pass:
                    blocks.check()  # that they changed says more than the store's answer
                problem: Exception = refusal
            except (OSError, http.client.HTTPException) as lost:
                if blocks.problem is not None:
                    raise  # the file's, not the network's
                problem = lost
        if was_kept and not isinstance(problem, _Refusal):
            continue  # the server had closed it meanwhile: a new one will do
        if blocks.done and not run.is_stale(problem):
            run.moved_of_upload()
        run.failed(problem)


def _put(run: Run, size: int, blocks: _Blocks) -> str:
    with _connection(run.url, run.watch.ca_file) as (connection, target):
        try:
            connection.request("PUT", target, body=blocks, headers={"Content-Length": str(size)})
        except (BrokenPipeError, ConnectionResetError) as lost:
            # A server that refuses may close before it has read everything.
            try:
                response = connection.getresponse()
            except (OSError, http.client.HTTPException):
                raise lost from None
        else:
            response = connection.getresponse()
        if response.status not in (200, 201, 204):
            raise _refusal(run.name, "upload", response)
        response.read()
        return response.headers.get("ETag") or ""


class _Blocks:
    """The bytes of one try."""

    def __init__(self, stream: IO[bytes], size: int, run: Run, sha256: Optional[bytes]) -> None:
        self._stream = stream
        self._left = size
        self._name = run.name
        self._on_progress = run.watch.on_progress
        self._sha256 = sha256
        self._hashed = hashlib.sha256()
        self.done = 0
        self.problem: Optional[OSError] = None

    def __iter__(self) -> Iterator[bytes]:
        while self._left:
            try:
                block = self._stream.read(min(self._left, BLOCK_BYTES))
            except OSError as problem:
                self.problem = problem
                raise
            if not block:
                raise ZkartonError(f"{self._name}: ends {self._left} bytes before its size", "IO")
            self._left -= len(block)
            if self._sha256 is not None:
                self._hashed.update(block)
            if self._on_progress is not None:
                self._on_progress()
            yield block
            self.done += len(block)

    def check(self) -> None:
        """Once all were read."""
        if self._sha256 is not None and not self._left and self._hashed.digest() != self._sha256:
            raise changed(self._name)


class ChangedError(ZkartonError):
    """The bytes of an upload are not those that were declared."""


def changed(name: str) -> ChangedError:
    """What such an upload ends with."""
    return ChangedError(f"{name}: hash differs: the bytes changed after they were added to the task", "IO")


# ---- Download

def download(url: str, name: str, watch: Watch) -> Iterator[bytes]:
    """GETs it block by block; goes on where a broken connection stopped."""
    run = Run(url, name, "download", watch)
    done = 0
    redirects = 0
    while True:
        was_kept = _is_kept(run.url, watch.ca_file)
        before = done
        try:
            with _connection(run.url, watch.ca_file) as (connection, target):
                connection.request("GET", target, headers={"Range": f"bytes={done}-"} if done else {})
                response = connection.getresponse()
                place = response.headers.get("Location")
                if response.status in _ELSEWHERE and redirects < REDIRECTS_MAX and place:
                    response.read()
                    redirects += 1
                    run.url = urljoin(run.url, place)
                    continue
                if response.status not in (200, 206):
                    raise _refusal(name, "download", response)
                if response.status == 206 and not _begins_at(response, done):
                    raise ZkartonError(f"{name}: the object store cannot go on where it stopped", "IO")
                for block in _blocks_of(response, done if response.status == 200 else 0):
                    done += len(block)
                    run.moved()
                    run.is_told = False
                    yield block
                if response.length:
                    raise http.client.IncompleteRead(b"", response.length)
                return
        except (OSError, http.client.HTTPException, _Refusal) as problem:
            if was_kept and done == before and not isinstance(problem, _Refusal):
                continue  # the server had closed it meanwhile: a new one will do
            url = run.url
            run.failed(problem)
            redirects = redirects if run.url == url else 0


def _begins_at(response: http.client.HTTPResponse, done: int) -> bool:
    return (response.headers.get("Content-Range") or f"bytes {done}-").startswith(f"bytes {done}-")


def _blocks_of(response: http.client.HTTPResponse, skip: int) -> Iterator[bytes]:
    """Without the first ``skip`` bytes, which came before."""
    while True:
        block = response.read(BLOCK_BYTES)
        if not block:
            return
        dropped = min(skip, len(block))
        skip -= dropped
        if dropped < len(block):
            yield block[dropped:]
