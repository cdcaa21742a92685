"""Bytes of resources over HTTP: presigned addresses from the broker, streamed, connections kept."""
from __future__ import annotations

import http.client
import os
import threading
import time
from typing import IO, Any, Dict, Iterator, Optional, Tuple
from urllib.parse import urljoin, urlsplit

from .exceptions import ZkartonError, error_of

BLOCK_BYTES = 1 << 18
TIMEOUT_S = 60.0
TRIES = 4
PAUSE_S = 0.2
REDIRECTS_MAX = 5
_ELSEWHERE = (301, 302, 303, 307, 308)
# What may succeed when it is tried again.
_AGAIN = (408, 429, 500, 502, 503, 504, 507)

_local = threading.local()
if hasattr(os, "register_at_fork"):
    # A connection is the parent's; its bytes and the child's would mix.
    os.register_at_fork(after_in_child=_local.__dict__.clear)


def _connection(url: str, fresh: bool) -> Tuple[http.client.HTTPConnection, str]:
    """A kept connection of this thread to the host of url, and the rest of it."""
    parts = urlsplit(url)
    kept: Dict[Tuple[str, str], http.client.HTTPConnection] = _local.__dict__.setdefault("kept", {})
    key = (parts.scheme, parts.netloc)
    connection = kept.get(key)
    if connection is None or fresh:
        if connection is not None:
            connection.close()
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kept[key] = kind(parts.netloc, timeout=TIMEOUT_S, blocksize=BLOCK_BYTES)
    return connection, parts.path + (f"?{parts.query}" if parts.query else "")


def _refusal(name: str, what: str, response: http.client.HTTPResponse) -> ZkartonError:
    text = response.read(2048).decode("utf-8", "replace").strip()
    code = {403: "DENIED", 404: "NOT_FOUND", 413: "TOO_LARGE", 507: "DISK_FULL", 503: "BUSY"}.get(response.status, "IO")
    return error_of(code, f"{name}: {what} ended with HTTP {response.status}{': ' + text if text else ''}")


def upload(url: str, name: str, size: int, open_stream: Any) -> None:
    """PUTs ``size`` bytes of what ``open_stream()`` (a context manager) gives."""
    error: Optional[Exception] = None
    for attempt in range(TRIES):
        connection, target = _connection(url, fresh=attempt > 0)
        try:
            with open_stream() as stream:
                connection.request("PUT", target, body=_exactly(stream, size, name),
                                   headers={"Content-Length": str(size)})
            response = connection.getresponse()
            if response.status in (200, 201, 204):
                response.read()
                return
            refusal = _refusal(name, "the upload", response)
            response.read()
            if response.status not in _AGAIN:
                raise refusal
            error = refusal
        except (OSError, http.client.HTTPException) as problem:
            error = problem
        if attempt:
            time.sleep(PAUSE_S * 2 ** attempt)
    raise ZkartonError(f"{name}: the upload failed: {error!r}", "IO") from error


def _exactly(stream: IO[bytes], size: int, name: str) -> Iterator[bytes]:
    left = size
    while left:
        block = stream.read(min(left, BLOCK_BYTES))
        if not block:
            raise ZkartonError(f"{name}: ends {left} bytes before its size", "IO")
        left -= len(block)
        yield block


def download(url: str, name: str) -> Iterator[bytes]:
    """GETs it block by block; goes on where a broken connection stopped."""
    done = 0
    attempt = 0
    redirects = 0
    error: Optional[Exception] = None
    while attempt < TRIES:
        connection, target = _connection(url, fresh=attempt > 0)
        try:
            connection.request("GET", target, headers={"Range": f"bytes={done}-"} if done else {})
            response = connection.getresponse()
            if response.status in _ELSEWHERE and redirects < REDIRECTS_MAX and response.headers.get("Location"):
                response.read()
                redirects += 1
                url = urljoin(url, response.headers["Location"])
                continue
            if response.status not in (200, 206):
                refusal = _refusal(name, "the download", response)
                response.read()
                if response.status not in _AGAIN:
                    raise refusal
                error = refusal
            else:
                skip = done if response.status == 200 else 0
                while True:
                    block = response.read(BLOCK_BYTES)
                    if not block:
                        break
                    if skip:
                        dropped = min(skip, len(block))
                        skip -= dropped
                        block = block[dropped:]
                    done += len(block)
                    if block:
                        yield block
                if not response.length:
                    return
                error = http.client.IncompleteRead(b"", response.length)
        except (OSError, http.client.HTTPException) as problem:
            error = problem
        attempt += 1
        if attempt > 1:
            time.sleep(PAUSE_S * 2 ** attempt)
    raise ZkartonError(f"{name}: the download failed: {error!r}", "IO") from error
