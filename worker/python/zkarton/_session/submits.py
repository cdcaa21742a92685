"""SUBMIT: tasks in order, once.

Numbers belong to the instance; what is not answered is kept and said again, renumbered if the broker's count asks for
it. A retryable refusal is of the whole SUBMIT and consumes nothing; those behind it come back as SEQUENCE_GAP. So after
one everything out counts as unsent, and after a pause the first goes alone until it is through.
"""
from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Deque, Dict, List

from .. import _msgpack as msgpack
from .._tables import LIMITS, VERBS
from .._values import array_head
from ..exceptions import ZkartonError, error_of
from .delivery import OpenSubmit, Receipt

if TYPE_CHECKING:
    from .session import Session

BACKOFF_FIRST_S = 0.05
BACKOFF_MOST_S = 3.0
FRAME_HEAD_BYTES = 128
TASKS_MAX = LIMITS["SUBMIT_TASKS"]
BYTES_MAX = LIMITS["SUBMIT_BYTES"] - FRAME_HEAD_BYTES
OPEN_MAX = LIMITS["SUBMITS_OPEN"]

_NUMBER = msgpack.packb("number")
_DELIVERY = msgpack.packb("delivery")
_TASKS = msgpack.packb("tasks")


class Submits:
    """Everything on its way to the broker's disk. Only the I/O thread calls these."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.waiting: Deque[Receipt] = deque()
        self.open: Dict[int, OpenSubmit] = {}  # by number, ascending
        self.next_number = 1
        self.resume_s = 0.0  # 0: not paused
        self.has_unsent = False
        self.is_probing = False
        self.tries = 0

    @property
    def is_idle(self) -> bool:
        return not self.open and not self.waiting

    def take(self, receipt: Receipt) -> None:
        if receipt.delivery is not None:
            receipt.delivery.children_open += 1
        self.waiting.append(receipt)

    # ---- Sending

    def _send(self, submit: OpenSubmit) -> None:
        session = self.session
        submit.id = session.next_id()
        parts: List[bytes] = [b"\x93", msgpack.packb(VERBS["SUBMIT"]), msgpack.packb(submit.id)]
        if submit.delivery is None:
            parts += (b"\x82", _NUMBER, msgpack.packb(submit.number))
        else:
            submit.delivery.after = max(submit.delivery.after, submit.number)
            parts += (b"\x83", _NUMBER, msgpack.packb(submit.number), _DELIVERY, msgpack.packb(submit.delivery.number))
        parts += (_TASKS, array_head(len(submit.receipts)))
        parts += [receipt.packed for receipt in submit.receipts]
        session.send_bytes(b"".join(parts))

    def _open_next(self) -> None:
        """Takes the head of what waits: one parent, within the limits."""
        waiting = self.waiting
        first = waiting.popleft()
        receipts = [first]
        size = len(first.packed)
        while waiting and len(receipts) < TASKS_MAX:
            receipt = waiting[0]
            size += len(receipt.packed)
            if receipt.delivery is not first.delivery or size > BYTES_MAX:
                break
            receipts.append(waiting.popleft())
        submit = OpenSubmit(self.next_number, first.delivery, receipts)
        self.next_number += 1
        self.open[submit.number] = submit
        self._send(submit)

    def _send_unsent(self) -> None:
        for submit in self.open.values():
            if submit.id == 0:
                self._send(submit)
            if self.is_probing:
                return
        self.has_unsent = False

    def flush(self) -> None:
        session = self.session
        if session.state == "dead" and session.problem is not None:
            if self.waiting:
                self.refuse_all(session.problem)
            return
        if session.state != "open" or session.now < self.resume_s:
            return
        self.resume_s = 0.0
        if self.has_unsent:
            self._send_unsent()
        while self.waiting and len(self.open) < OPEN_MAX and not self.is_probing:
            self._open_next()

    def _unsend_all(self) -> None:
        self.has_unsent = True
        for submit in self.open.values():
            submit.id = 0

    def resume(self, last_number: int) -> None:
        """After WELCOME: everything unanswered is said again."""
        self._unsend_all()
        self.resume_s = 0.0
        self.is_probing = False
        if self.open and next(iter(self.open)) <= last_number:
            return  # the answers were lost: said again, they are answered again
        # A number that was refused for good may or may not have been consumed: the broker's count is the truth.
        self.next_number = last_number + 1
        submits = list(self.open.values())
        self.open = {}
        for submit in submits:
            submit.number = self.next_number
            self.open[submit.number] = submit
            self.next_number += 1

    # ---- Answers

    def _close(self, submit: OpenSubmit) -> None:
        del self.open[submit.number]
        self._give_back(submit.receipts)

    def _give_back(self, receipts: Any) -> None:
        for receipt in receipts:
            if receipt.delivery is not None:
                self.session.reports.child_answered(receipt.delivery, receipt)
            receipt.finish()

    def answered(self, body: Dict[str, Any]) -> None:
        submit = self.open.get(body["number"])
        if submit is None:
            return  # said twice, answered twice
        results = body["results"]
        for index, receipt in enumerate(submit.receipts):
            if index >= len(results):
                receipt.error = ZkartonError("the broker did not answer for this task")
                continue
            result = results[index]
            receipt.taken = result.get("taken") or 0
            if result.get("code"):
                receipt.error = error_of(result["code"], result.get("message") or "refused")
        self.is_probing = False
        self.tries = 0
        self._close(submit)

    def _pause(self) -> None:
        self._unsend_all()
        self.is_probing = True
        self.resume_s = self.session.now + self.session.jitter(self.tries, BACKOFF_FIRST_S, BACKOFF_MOST_S)
        self.tries += 1

    def refused(self, message_id: int, error: ZkartonError) -> bool:
        """False: the id is of no SUBMIT."""
        is_first = True
        for submit in self.open.values():
            if submit.id == message_id:
                break
            is_first = False
        else:
            return False
        if error.code == "SEQUENCE_GAP" and is_first:
            self.session.lost("the broker counts our submits differently")
        elif error.is_retryable:
            self._pause()
        else:
            for receipt in submit.receipts:
                receipt.error = error
            self._close(submit)
            if error.code == "INSTANCE_FORGOTTEN":
                self.forget_instance(error)
            self.session.lost("a SUBMIT was refused as a whole")
        return True

    def forget_instance(self, error: ZkartonError) -> None:
        self.refuse_all(ZkartonError("the broker forgot this instance: the fate of what was under way is not known",
                                     error.code))
        self.session.new_instance()

    def refuse_all(self, error: ZkartonError) -> None:
        submits, self.open = list(self.open.values()), {}
        waiting, self.waiting = self.waiting, deque()
        for submit in submits:
            for receipt in submit.receipts:
                receipt.error = error
            self._give_back(submit.receipts)
        for receipt in waiting:
            receipt.error = error
        self._give_back(waiting)
