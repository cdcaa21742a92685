"""What the I/O thread and the threads of the application share about one delivery, one submit, one question."""
from __future__ import annotations

import _thread
from typing import Any, Callable, Dict, List, Optional

from ..exceptions import ZkartonError


class Delivery:
    """One lease: a routed task in this worker's hands. Its outcome is decided on the I/O thread."""

    __slots__ = ("number", "attempt", "uid", "task", "place", "outcome", "error", "delay_ms", "after", "children_open",
                 "child_error", "is_settled", "is_with_slot", "is_start_reported", "started_s", "cancelled",
                 "on_cancel", "where")

    def __init__(self, item: Dict[str, Any]) -> None:
        self.number: int = item["delivery"]
        self.attempt: int = item["attempt"]
        self.task: Dict[str, Any] = item["task"]
        self.uid: bytes = self.task["uid"]
        self.place = -1  # in the guard's table
        self.outcome: Optional[str] = None
        self.error: Optional[str] = None
        self.delay_ms = 0
        self.after = 0
        self.children_open = 0
        self.child_error: Optional[str] = None
        self.is_settled = False  # the broker does not count it as ours any more
        self.is_with_slot = True  # in the work queue or in process
        self.is_start_reported = False
        self.started_s = 0.0
        self.cancelled: Optional[str] = None  # why, once it is
        self.on_cancel: Optional[Callable[[Delivery], None]] = None
        self.where: Optional[Callable[[], str]] = None  # the traceback of what process does at the moment

    def cancel(self, reason: str) -> None:
        """Tells the slot, once."""
        if self.cancelled is None:
            self.cancelled = reason
            if self.on_cancel is not None:
                self.on_cancel(self)


class Answerable:
    """Something another thread waits for; answered once, by the I/O thread."""

    __slots__ = ("error", "is_done", "_lock", "callback")

    def __init__(self) -> None:
        self.error: Optional[ZkartonError] = None
        self.is_done = False
        self._lock: Optional[_thread.LockType] = None
        self.callback: Optional[Callable[[Any], None]] = None  # called on the I/O thread

    def finish(self) -> None:
        """On the I/O thread: the answer is in the fields."""
        if self.is_done:
            return
        self.is_done = True
        lock = self._lock
        if lock is not None:
            lock.release()
        if self.callback is not None:
            self.callback(self)

    def refuse(self, error: ZkartonError) -> None:
        """On the I/O thread: there is no answer, and why."""
        if not self.is_done:
            self.error = error
        self.finish()

    def wait(self, timeout_s: Optional[float] = None) -> bool:
        """Waits for the answer; False: not in time. Only one thread may wait."""
        if self.is_done:
            return True
        lock = self._lock
        if lock is None:
            lock = _thread.allocate_lock()
            lock.acquire()
            self._lock = lock
            if self.is_done:
                return True
        return lock.acquire(True, -1 if timeout_s is None else max(timeout_s, 0))


class Receipt(Answerable):
    """One task on its way to the broker."""

    __slots__ = ("packed", "delivery", "taken", "is_waited_for")

    def __init__(self, packed: bytes, delivery: Optional[Delivery], is_waited_for: bool) -> None:
        super().__init__()
        self.packed = packed
        self.delivery = delivery
        self.taken = 0
        self.is_waited_for = is_waited_for  # its sender hears of a refusal, so that nobody else is told

    def result(self, timeout_s: Optional[float] = None) -> int:
        """How many consumers took it, once it is on disk; raises what the broker refused it with."""
        if not self.wait(timeout_s):
            raise ZkartonError("the broker did not answer in time; the task may still be accepted", "TIMEOUT")
        if self.error is not None:
            raise self.error
        return self.taken


class Question(Answerable):
    """One request with an answer of its own."""

    __slots__ = ("verb", "body", "is_once", "id", "answer")

    def __init__(self, verb: str, body: Dict[str, Any], is_once: bool = False) -> None:
        super().__init__()
        self.verb = verb
        self.body = body
        self.is_once = is_once  # changes something: never said twice
        self.id = 0
        self.answer: Dict[str, Any] = {}


class OpenSubmit:
    """One SUBMIT that is not answered yet."""

    __slots__ = ("number", "id", "delivery", "receipts")

    def __init__(self, number: int, delivery: Optional[Delivery], receipts: List[Receipt]) -> None:
        self.number = number
        self.id = 0  # of its last sending; 0: to be sent (again)
        self.delivery = delivery
        self.receipts = receipts
