"""What a service does through its session: send tasks with their files, fetch files, ask. One for each service."""
from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid
import weakref
from collections import deque
from typing import IO, Any, Callable, Deque, Dict, Iterator, List, NamedTuple, Optional

from . import _parts, _taskwire, _transfer, _values
from ._context import current_process
from ._session import Delivery, Options, Question, Receipt, Session
from .config import Config
from .events import Events
from .exceptions import AnswerTimeoutError, SessionClosedError, ZkartonError, error_of
from .resource import LocalResource, RemoteResource, ResourceBase
from .task import Task, TaskState
from .tree import Tree

POSTED_TASKS_MAX = 4096
POSTED_BYTES_MAX = 32 << 20
PAGE_ROWS = 1000
EARLY_LOGS_MAX = 256
DECLARE_AGAIN_S = 5 * 60.0  # while an upload takes long, so that no upload hold ends before its task comes

Note = Callable[[str, str, str], None]


class Summary(NamedTuple):
    """How an analysis ended."""

    root_uid: str
    finished: int
    crashed: int
    elapsed_s: Optional[float]  # None: not known any more


class Bus:
    """A service's way to the broker. The session is made on first use.

    Methods may be called by any thread.
    """

    def __init__(self, config: Config, identity: Optional[str], note: Note,
                 connect_timeout: Optional[float] = None) -> None:
        self.config = config
        self.identity = identity or ""
        self.connect_timeout = connect_timeout
        self._note = note
        self._session: Optional[Session] = None
        self._is_closed = False
        self._lock = threading.Lock()
        self._posted: Deque[Receipt] = deque()
        self._posted_bytes = 0
        self._first_refusal: Optional[ZkartonError] = None
        self.keeps_early_logs = False  # of a service: until its loop opens the session
        self._early_logs: Deque[bytes] = deque(maxlen=EARLY_LOGS_MAX)

    # ---- The session

    def options(self, role: str) -> Options:
        """What the configuration says about sessions."""
        return Options(role=role, identity=self.identity,
                       address=str(self.config.get("broker", "address", "tcp://127.0.0.1:5570")),
                       origin=self.config.origin("broker", "address"), connect_timeout_s=self.connect_timeout,
                       ca_file=self.config.get("s3", "ca_file") or None)

    def open(self, options: Options, on_delivery: Optional[Callable[[], None]] = None) -> Session:
        """Starts the session that everything goes through from now on."""
        with self._lock:
            session = self._session
            if session is not None and not session.is_over and _is_ours(session):
                session.close()
            self._is_closed = False
            self._session = session = Session(options, self._note, on_delivery).start()
            weakref.finalize(self, _close, session).atexit = False
            while self._early_logs:
                session.log(self._early_logs.popleft())
            return session

    @property
    def session(self) -> Session:
        """The session, a producer's unless one was opened; a forked process gets its own."""
        session = self._session
        if self._is_closed:
            raise SessionClosedError("the session was closed")
        if session is None:
            return self.open(self.options("producer"))
        if not _is_ours(session):
            if session.options.role == "worker":
                session.check_process()
            # What is under way is the parent's, and so is whoever holds the lock.
            self._lock = threading.Lock()
            self._posted.clear()
            self._posted_bytes = 0
            return self.open(self.options("producer"))
        return self.open(self.options("producer")) if session.is_over else session

    def close(self, timeout: Optional[float] = 2.0) -> None:
        """Says BYE; what is asked after it is refused."""
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None and _is_ours(session):
            session.close(timeout)

    # ---- Sending

    def send(self, task: Task, delivery: Optional[Delivery] = None) -> int:
        """Uploads its files, hands it on, returns when it is on disk: how many consumers took it."""
        self.upload(task)
        taken = self.session.submit(_taskwire.pack_task(task), delivery).result()
        task._asker = self
        return taken

    def post(self, task: Task, delivery: Optional[Delivery] = None) -> Receipt:
        """As send, without waiting for the disk; waits only while too much is under way."""
        self.upload(task)
        packed = _taskwire.pack_task(task)
        while self._posted and (len(self._posted) >= POSTED_TASKS_MAX or self._posted_bytes > POSTED_BYTES_MAX):
            self._take_posted()
        receipt = self.session.submit(packed, delivery, False)
        task._asker = self
        self._posted.append(receipt)
        self._posted_bytes += len(packed)
        return receipt

    def _take_posted(self) -> None:
        try:
            receipt = self._posted.popleft()
        except IndexError:
            return  # another thread took it
        receipt.wait()
        self._posted_bytes -= len(receipt.packed)
        # A refused child crashes its parent; its sender need not hear of it again.
        if receipt.error is not None and self._first_refusal is None and receipt.delivery is None:
            self._first_refusal = receipt.error

    def flush(self) -> None:
        """Waits until everything posted is on disk; raises the first refusal since the last flush."""
        while self._posted:
            self._take_posted()
        refusal, self._first_refusal = self._first_refusal, None
        if refusal is not None:
            raise refusal

    # ---- Files

    def upload(self, task: Task) -> None:
        """Brings every local resource of the task to the object store."""
        resources = _taskwire.local_resources(task)
        if not resources:
            return
        _taskwire.pack_task(task)  # what cannot be sent is found before a file is
        urls = self._declare(resources)
        renewed = [resource for resource in resources if urls[resource.uid].code == "IN_USE"]
        if renewed:
            # A resource that was sent before may be an object of another process: this one becomes a new object.
            for resource in renewed:
                resource._uid = str(uuid.uuid4())
            urls.update(self._declare(renewed))
        declare_again = declaring_again(self.session, [_declaration(resource) for resource in resources])
        for resource in resources:
            address = urls[resource.uid]
            if address.code:
                raise error_of(address.code, f"{resource.name}: {address.message}")
            self._upload_one(address, resource, declare_again)

    def _upload_one(self, address: _Address, resource: LocalResource, declare_again: Callable[[], None]) -> None:
        def renew(left_s: float) -> str:
            return self._url("UPLOAD", item, resource, left_s)

        def verify(stream: IO[bytes]) -> None:
            if resource._has_changed(stream, item["sha256"]):
                raise _transfer.changed(resource.name)

        item = _declaration(resource)
        watch = self._watch(renew)
        watch.on_progress = declare_again
        with resource.opener() as open_stream:
            try:
                if 0 < address.part_size < item["size"]:
                    _parts.upload(self.session, item["uid"], resource.name, item["size"], open_stream, watch, verify)
                else:
                    _transfer.upload(address.url, resource.name, item["size"], item["sha256"], open_stream, watch)
            except _transfer.ChangedError:
                if not resource._is_sha256_given:
                    raise
                raise ZkartonError(f"{resource.name}: the sha256 that was given is not that of the content", "IO") from None

    def _declare(self, resources: List[LocalResource]) -> Dict[str, _Address]:
        return self._addresses("UPLOAD", [_declaration(resource) for resource in resources],
                               [resource.uid for resource in resources])

    def _addresses(self, verb: str, items: List[Dict[str, Any]], uids: List[str],
                   timeout_s: Optional[float] = None) -> Dict[str, _Address]:
        session = self.session
        out = {uid: _Address("", 0, "OBJECT_UNKNOWN", "the broker knows no address for it") for uid in uids}
        for row in session.ask(verb, {"items": items}, timeout_s)["items"]:
            code = session.error(row["code"], "").code if row.get("code") else ""
            out[_taskwire.uid_text(row["uid"])] = _Address(session.complete_url(row.get("url") or ""), row.get("part_size") or 0,
                                                           code, row.get("message") or "refused")
        return out

    def read_object(self, resource: RemoteResource) -> Iterator[bytes]:
        """The bytes of a resource, block by block."""
        def url(timeout_s: Optional[float] = None) -> str:
            return self._url("DOWNLOAD", {"uid": _taskwire.uid_bytes(resource.uid)}, resource, timeout_s)

        return _transfer.download(url(), resource.name, self._watch(url))

    def _url(self, verb: str, item: Dict[str, Any], resource: ResourceBase, timeout_s: Optional[float]) -> str:
        address = self._addresses(verb, [item], [resource.uid], timeout_s)[resource.uid]
        if address.code:
            raise error_of(address.code, f"{resource.name}: {address.message}")
        return address.url

    def _watch(self, renew: Callable[[float], str]) -> _transfer.Watch:
        process = current_process()
        return watch_of(self.session, None if process is None else process.delivery, renew)

    # ---- Asking

    def wait(self, root_uid: str, timeout: Optional[float] = None) -> Summary:
        """Waits until nothing of the analysis is left to do. AnswerTimeoutError when it takes longer."""
        root = _taskwire.uid_bytes(root_uid)
        try:
            done = self.session.ask("WAIT", {"root": root}, timeout)
        except AnswerTimeoutError:
            raise AnswerTimeoutError(f"the analysis is not done within {timeout:g} s") from None
        elapsed_ms = done["elapsed_ms"]
        return Summary(_taskwire.uid_text(root), done["finished"], done["crashed"],
                       None if elapsed_ms < 0 else elapsed_ms / 1000)

    def query(self, what: str, timeout: Optional[float] = None, **arguments: Any) -> List[Dict[str, Any]]:
        """All rows of a question (docs/protocol/verbs.md, Questions); payloads in them as in a task."""
        rows: List[Dict[str, Any]] = []
        body = {"what": what, "limit": PAGE_ROWS, **{key: _values.normal(value) for key, value in arguments.items()}}
        while True:
            answer = self.session.ask("QUERY", body, timeout)
            rows += answer["rows"]
            if answer.get("next") is None:
                for row in rows:
                    _taskwire.open_row(row, self)
                return rows
            body["after"] = answer["next"]

    def tree(self, root_uid: str) -> Tree:
        """An analysis as it is now."""
        return Tree(root_uid.rpartition(":")[2], self.query("tree", root=root_uid.rpartition(":")[2]))

    def events(self, *topics: str) -> Events:
        """A subscription to the broker's events."""
        welcome = self.session.wait_open(self.connect_timeout)
        return Events(self.session.complete_url(welcome.get("events") or ""), topics)

    # ---- Logs

    def log(self, packed: bytes) -> None:
        """A packed record."""
        session = self._session
        if session is not None:
            session.log(packed)
        elif self._is_closed:
            pass
        elif self.keeps_early_logs:
            self._early_logs.append(packed)
        else:
            self.session.log(packed)

    def task_of(self, delivery: Delivery) -> Task:
        """The task of a delivery."""
        task = _taskwire.unpack_task(delivery.task, self, TaskState.STARTED)
        task._asker = self
        return task


class _Address(NamedTuple):
    url: str
    part_size: int  # 0: it goes in one PUT
    code: str
    message: str


def watch_of(session: Session, delivery: Optional[Delivery], renew: Callable[[float], str]) -> _transfer.Watch:
    """What ends a transfer: the end of its session, and that the task it is for is no longer wanted here."""
    def ended() -> Optional[str]:
        if delivery is not None and delivery.cancelled is not None:
            return f"the task is no longer this worker's: {delivery.cancelled}"
        return "the session was closed" if session.is_over or session.is_aborting else None

    def on_wait(text: str) -> None:
        session.note("WARNING", "OBJECT-STORE-AWAY", f'text="{text}"')

    return _transfer.Watch(renew, ended, on_wait, delivery is not None, ca_file=session.options.ca_file)


def declaring_again(session: Session, items: List[Dict[str, Any]]) -> Callable[[], None]:
    """What an upload calls as it goes on: declares everything of its task once more, now and then."""
    next_s = time.monotonic() + DECLARE_AGAIN_S

    def declare_again() -> None:
        nonlocal next_s
        if time.monotonic() >= next_s:
            next_s = time.monotonic() + DECLARE_AGAIN_S
            session.ask_later(Question("UPLOAD", {"items": items}))  # a refusal is told by what comes next

    return declare_again


def _declaration(resource: LocalResource) -> Dict[str, Any]:
    return {"uid": _taskwire.uid_bytes(resource.uid), "size": resource.size or 0, "sha256": _digest_of(resource)}


def _is_ours(session: Session) -> bool:
    return session.pid == os.getpid()


def _close(session: Session) -> None:
    session.close(0)


def _digest_of(resource: LocalResource) -> bytes:
    try:
        digest = bytes.fromhex(resource.sha256 or "")
    except ValueError:
        digest = b""
    if len(digest) != 32:
        hashed = hashlib.sha256()
        with resource.open() as stream:
            for block in iter(lambda: stream.read(_transfer.BLOCK_BYTES), b""):
                hashed.update(block)
        digest = hashed.digest()
    return digest


__all__ = ["Bus", "Summary"]
