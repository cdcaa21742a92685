"""Objects: the broker gives an address, the bytes go there."""
from __future__ import annotations

import contextlib
import hashlib
import io
import os
import threading
import uuid
from collections import OrderedDict
from typing import IO, Any, Callable, Dict, Iterator, NamedTuple, Optional, Tuple, Union

from .. import _parts, _transfer
from .._bus import declaring_again, watch_of
from .._session import Delivery, Session
from .._taskwire import uid_bytes
from ..exceptions import ZkartonError, error_of
from ._errors import NotServedError
from ._sessions import Sessions

IN_USE_TRIES = 3
KNOWN_MAX = 1 << 16


class ObjectStream(io.RawIOBase):
    """An object as it comes, with what callers of boto3's and urllib3's streams use."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        super().__init__()
        self._blocks = blocks
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._left = block
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def release_conn(self) -> None:
        """Connections are kept by themselves."""


def _measure(stream: IO[bytes]) -> Tuple[int, bytes]:
    """Length and hash from where it stands to its end, and back to where it stood."""
    start = stream.tell()
    digest = hashlib.sha256()
    size = 0
    for block in iter(lambda: stream.read(_transfer.BLOCK_BYTES), b""):
        digest.update(block)
        size += len(block)
    stream.seek(start)
    return size, digest.digest()


def _key(uid: str) -> bytes:
    try:
        return uid_bytes(uid)
    except ValueError:
        raise NotServedError(f'a resource with the uid "{uid}"',
                             "a uid of a resource is a UUID; leave it out and one is drawn") from None


class _Address(NamedTuple):
    url: str
    part_size: int  # 0: it goes in one PUT


class _Known(NamedTuple):
    size: Optional[int]
    sha256: Optional[str]


class Objects:
    """Of one backend."""

    def __init__(self, sessions: Sessions, delivery_here: Callable[[], Optional[Delivery]]) -> None:
        self._sessions = sessions
        self._delivery_here = delivery_here  # of the task that is in process here
        self.hashes: Dict[str, str] = {}  # of what was uploaded for a task that is not sent yet, by uid
        self._known: OrderedDict[str, _Known] = OrderedDict()  # of resources of tasks that came, the last ones
        self._lock = threading.Lock()

    def _address(self, session: Session, verb: str, item: Dict[str, Any], uid: str,
                 timeout_s: Optional[float] = None) -> _Address:
        answer = session.ask(verb, {"items": [item]}, timeout_s)["items"][0]
        if answer.get("code"):
            raise error_of(answer["code"], f"object {uid}: {answer.get('message') or 'refused'}")
        return _Address(session.complete_url(answer["url"]), answer.get("part_size") or 0)

    def upload(self, uid: str, content: Union[bytes, IO[bytes]], draw_uid: Callable[[], str]) -> None:
        """Uploads what is there; under another uid if somebody else's object has that one."""
        stream = io.BytesIO(content) if isinstance(content, (bytes, bytearray, memoryview)) else content
        start = stream.tell()
        size, sha256 = _measure(stream)

        @contextlib.contextmanager
        def rewound() -> Iterator[IO[bytes]]:
            stream.seek(start)
            yield stream

        def verify(_: IO[bytes]) -> None:
            stream.seek(start)
            if _measure(stream) != (size, sha256):
                raise _transfer.changed(uid)

        for _ in range(IN_USE_TRIES):
            session = self._sessions.sender
            key = _key(uid)
            item = {"uid": key, "size": size, "sha256": sha256}
            try:
                address = self._address(session, "UPLOAD", item, uid)
            except ZkartonError as error:
                if error.code != "IN_USE":
                    raise
                uid = draw_uid()
                continue
            watch = self._watch(session, "UPLOAD", item, uid)
            watch.on_progress = declaring_again(session, [item])
            if 0 < address.part_size < size:
                _parts.upload(session, key, uid, size, rewound, watch, verify)
            else:
                _transfer.upload(address.url, uid, size, sha256, rewound, watch)
            self.hashes[uid] = sha256.hex()
            return
        raise ZkartonError(f"object {uid}: its uid is taken", "IN_USE")

    def learn(self, document: Dict[str, Any]) -> None:
        """What a resource of a task says about its object: downloads are compared with it."""
        metadata = document.get("metadata") or {}
        known = _Known(document.get("size"), document.get("sha256") or metadata.get("sha256"))
        with self._lock:
            self._known[document["uid"]] = known
            self._known.move_to_end(document["uid"])
            if len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)

    def blocks(self, uid: str) -> Iterator[bytes]:
        """The object, block by block; raises at the end if it is not what its task says."""
        return self._checked(uid, self._blocks(uid))

    def _checked(self, uid: str, blocks: Iterator[bytes]) -> Iterator[bytes]:
        with self._lock:
            known = self._known.get(uid, _Known(None, None))
        digest = hashlib.sha256()
        size = 0
        for block in blocks:
            digest.update(block)
            size += len(block)
            yield block
        if known.size is not None and size != known.size:
            raise ZkartonError(f"object {uid}: {size} bytes came, {known.size} were sent", "IO")
        if known.sha256 and digest.hexdigest() != known.sha256.lower():
            raise ZkartonError(f"object {uid}: the bytes are not those that were sent (SHA-256 differs)", "IO")

    def _blocks(self, uid: str) -> Iterator[bytes]:
        item = {"uid": _key(uid)}
        session = self._sessions.sender
        try:
            address = self._address(session, "DOWNLOAD", item, uid)
        except ZkartonError as error:
            if error.code != "OBJECT_UNKNOWN":
                raise
            # Not of a task that this service works on: a dashboard may look at it all the same.
            session = self._sessions.operator
            address = self._address(session, "DOWNLOAD", item, uid)
        return _transfer.download(address.url, uid, self._watch(session, "DOWNLOAD", item, uid))

    def _watch(self, session: Session, verb: str, item: Dict[str, Any], uid: str) -> _transfer.Watch:
        def renew(left_s: float) -> str:
            return self._address(session, verb, item, uid, left_s).url

        return watch_of(session, self._delivery_here(), renew)

    def open(self, uid: str) -> ObjectStream:
        """The object as a stream."""
        return ObjectStream(self.blocks(uid))

    def download(self, uid: str) -> bytes:
        """The whole object."""
        return b"".join(self.blocks(uid))

    def download_to_file(self, uid: str, path: str) -> None:
        """The object at a path; a file there is replaced only by a whole one."""
        part = f"{path}.{uuid.uuid4().hex}.part"
        try:
            with open(part, "xb") as file:
                for block in self.blocks(uid):
                    file.write(block)
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
            raise
