"""Deliveries on the I/O thread's side, from DELIVER to REPORTED.

A REPORT goes out when the outcome is known and every child that ``process`` sent is on disk, is said again after each
resume, and is over when the broker answers it: until then the delivery is named in ``held``.
"""
from __future__ import annotations

import queue
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Deque, Dict, List, Optional, Tuple

from .._tables import LIMITS
from ..exceptions import ZkartonError
from .delivery import Delivery, Receipt

if TYPE_CHECKING:
    from .session import Session

REPORT_ITEMS = 256
REPORT_BYTES = 1 << 20
NOT_YET_WAIT_S = 0.03
WINDOW_DEFAULT = 64
STARTED_AFTER_S = 0.005  # a task that is through before is reported Finished alone
SLOW_S = 1.0  # such a task ends the prefetching
QUICK_S = 0.1
QUICK_TASKS = 16  # so many in a row bring it back
GIVEN_UP_AFTER_S = 0.5  # a task that does not end by its timeout is Crashed from outside
STUCK_AFTER_S = 10.0  # and holds its slot for good
NEVER = float("inf")


class Reports:
    """What this worker holds. Only the I/O thread calls these, but for `running`."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.table: Dict[int, Delivery] = {}
        self.unsettled = 0  # of them: the broker counts these as ours
        self.in_process = 0  # of them: in the work queue or with a slot
        self.ready: Deque[Delivery] = deque()  # outcome known, to be sent
        self.sent: Dict[int, Tuple[int, Delivery]] = {}  # number: (id of the REPORT, delivery)
        self.resume_s = 0.0
        self.window = 0
        self.is_window_told = False
        self.quick = 0
        self.running: Dict[int, Delivery] = {}  # written by the slots
        self.work: queue.SimpleQueue[Optional[Delivery]] = queue.SimpleQueue()

    # ---- In

    def deliver(self, body: Dict[str, Any]) -> None:
        session = self.session
        is_ending = session.is_ending
        guard = session.guard
        for item in body["items"]:
            if item["delivery"] in self.table:
                continue  # heard twice
            delivery = Delivery(item)
            self.table[delivery.number] = delivery
            self.unsettled += 1
            if guard is not None:
                guard.hold(delivery)
            if is_ending:
                delivery.is_with_slot = False
                self.set_outcome(delivery, "Returned")
                continue
            self.in_process += 1
            session.hand_out(delivery)

    def revoke(self, body: Dict[str, Any]) -> None:
        for number in body["deliveries"]:
            delivery = self.table.get(number)
            if delivery is None or delivery.is_settled:
                continue
            self.session.note("WARNING", "DELIVERY-REVOKED", f'task={delivery.uid.hex()} reason="{body.get("reason")}"')
            delivery.cancel("revoked")
            self.settle(delivery)

    # ---- Outcomes

    def settle(self, delivery: Delivery) -> None:
        """The broker does not count it as ours any more."""
        if not delivery.is_settled:
            delivery.is_settled = True
            self.unsettled -= 1
            self.sent.pop(delivery.number, None)
            if self.session.guard is not None:
                self.session.guard.release(delivery)
        self._forget_if_through(delivery)

    def _forget_if_through(self, delivery: Delivery) -> None:
        if delivery.is_settled and not delivery.is_with_slot and delivery.children_open == 0:
            self.table.pop(delivery.number, None)

    def _make_ready(self, delivery: Delivery) -> None:
        if (not delivery.is_settled and delivery.outcome is not None and delivery.children_open == 0
                and delivery.number not in self.sent):
            # A parent may not be Finished without the children that it sent.
            if delivery.child_error is not None and delivery.outcome == "Finished":
                delivery.outcome, delivery.error = "Crashed", delivery.child_error
            self.sent[delivery.number] = (0, delivery)
            self.ready.append(delivery)

    def set_outcome(self, delivery: Delivery, outcome: str, error: Optional[str] = None) -> None:
        if delivery.outcome is not None or delivery.is_settled:
            return
        delivery.outcome = outcome
        delivery.error = error
        self._make_ready(delivery)

    def child_answered(self, delivery: Delivery, receipt: Receipt) -> None:
        delivery.children_open -= 1
        if receipt.error is not None and not receipt.is_waited_for and delivery.child_error is None:
            delivery.child_error = f"a child was refused: {receipt.error}"
        self._make_ready(delivery)
        self._forget_if_through(delivery)

    def processed(self, outcome: Tuple[Delivery, str, Optional[str], int, float]) -> None:
        """A slot is through with it."""
        delivery, state, error, delay_ms, took_s = outcome
        delivery.is_with_slot = False
        self.in_process -= 1
        self._count_quick(took_s)
        delivery.delay_ms = delay_ms
        self.set_outcome(delivery, state, error)
        self._forget_if_through(delivery)

    def return_unstarted(self) -> None:
        for delivery in self.session.take_back():
            delivery.is_with_slot = False
            self.in_process -= 1
            self.set_outcome(delivery, "Returned")
            self._forget_if_through(delivery)

    # ---- Out

    def _item(self, delivery: Delivery) -> Dict[str, Any]:
        item: Dict[str, Any] = {"delivery": delivery.number, "uid": delivery.uid, "state": delivery.outcome}
        if delivery.error is not None and delivery.outcome == "Crashed":
            item["error"] = _cut(delivery.error)
        if delivery.after:
            item["after"] = delivery.after
        if delivery.delay_ms:
            item["delay_ms"] = delivery.delay_ms
        return item

    def flush(self) -> None:
        session = self.session
        if not self.ready or session.state != "open" or session.now < self.resume_s:
            return
        self.resume_s = 0.0
        while self.ready:
            message_id = session.next_id()
            items: List[Dict[str, Any]] = []
            size = 0
            while self.ready and len(items) < REPORT_ITEMS and size < REPORT_BYTES:
                delivery = self.ready.popleft()
                if delivery.is_settled:
                    continue
                items.append(self._item(delivery))
                size += len(delivery.error or "")
                self.sent[delivery.number] = (message_id, delivery)
            if items:
                session.send("REPORT", message_id, {"items": items})

    def answered(self, body: Dict[str, Any]) -> None:
        for item in body["items"]:
            delivery = self.table.get(item["delivery"])
            if delivery is None or delivery.is_settled or delivery.outcome is None:
                continue
            code = item.get("code")
            if not code:
                self.settle(delivery)
                continue
            error = self.session.error(code, "")
            if error.code == "NOT_YET":
                self._again(delivery)
                continue
            self.session.note("WARNING", "REPORT-REFUSED", f"task={delivery.uid.hex()} code={error.code}")
            self.settle(delivery)

    def _again(self, delivery: Delivery) -> None:
        self.sent[delivery.number] = (0, delivery)
        self.ready.append(delivery)
        self.resume_s = self.session.now + NOT_YET_WAIT_S

    def refused(self, message_id: int, error: ZkartonError) -> bool:
        """False: the id is of no REPORT."""
        ours = [delivery for sent_id, delivery in self.sent.values() if sent_id == message_id]
        for delivery in ours:
            if error.is_retryable:
                self._again(delivery)
            else:
                self.session.note("ERROR", "REPORT-REFUSED", f"task={delivery.uid.hex()} code={error.code}")
                self.settle(delivery)
        return bool(ours)

    # ---- The window

    def tell_window(self, window: int) -> None:
        if self.is_window_told and self.window == window:
            return
        self.window = window
        self.is_window_told = self.session.state == "open"
        if self.is_window_told:
            self.session.send("CREDIT", 0, {"window": window})

    def wide_window(self) -> int:
        options = self.session.options
        return max(options.window or WINDOW_DEFAULT, options.concurrency)

    def _count_quick(self, took_s: float) -> None:
        self.quick = self.quick + 1 if took_s < QUICK_S else 0
        if self.quick >= QUICK_TASKS and self.window != self.wide_window() and not self.session.is_ending:
            self.tell_window(self.wide_window())

    # ---- Resuming

    def resume(self, last_number: int) -> None:
        """After WELCOME: everything unanswered again."""
        # A SUBMIT that was refused as a whole has no number with the broker, so no report may wait for it. Those
        # that are said again raise the mark again.
        for delivery in self.table.values():
            delivery.after = min(delivery.after, last_number)
        self.ready = deque(delivery for _, delivery in self.sent.values())
        self.sent = {delivery.number: (0, delivery) for delivery in self.ready}
        self.resume_s = 0.0
        self.is_window_told = False
        if self.session.options.role == "worker":
            self.tell_window(0 if self.session.is_retiring else self.window)
        for delivery in list(self.running.values()):
            delivery.is_start_reported = False

    def held(self) -> List[Dict[str, Any]]:
        held: List[Dict[str, Any]] = []
        for delivery in self.table.values():
            if not delivery.is_settled and len(held) < LIMITS["HELD"]:
                held.append({"delivery": delivery.number, "uid": delivery.uid, "started": delivery.is_start_reported})
        return held

    # ---- The eye on the slots

    def watch(self) -> None:
        session = self.session
        if session.options.role != "worker":
            return
        if self.window == 0 and not session.is_ending:
            self.tell_window(self.wide_window())
        if self.running:
            for delivery in list(self.running.values()):
                self._watch(delivery, session.now - delivery.started_s)

    def _watch(self, delivery: Delivery, age_s: float) -> None:
        session = self.session
        is_open = delivery.outcome is None and not delivery.is_settled
        if age_s >= STARTED_AFTER_S and is_open and not delivery.is_start_reported and session.state == "open":
            session.send("REPORT", 0, {"items": [{"delivery": delivery.number, "uid": delivery.uid,
                                                  "state": "Started"}]})
            delivery.is_start_reported = True
        if age_s >= SLOW_S and session.options.window == 0:
            self.quick = 0
            if self.window > session.options.concurrency:
                self.tell_window(session.options.concurrency)
                self.return_unstarted()
        timeout_s = session.options.task_timeout_s
        if timeout_s and is_open and age_s >= timeout_s + GIVEN_UP_AFTER_S:
            delivery.cancel("timeout")
            where = delivery.where() if delivery.where is not None else ""
            self.set_outcome(delivery, "Crashed", f"{where}TaskTimeoutError: still running after {timeout_s:g} s")

    def stuck(self) -> Tuple[int, int]:
        """How many slots are stuck behind the task timeout, and how many have a task. From any thread."""
        timeout_s = self.session.options.task_timeout_s
        if not timeout_s:
            return 0, 0
        latest_s = time.monotonic() - timeout_s - STUCK_AFTER_S
        running = list(self.running.values())
        return sum(delivery.started_s < latest_s for delivery in running), len(running)

    def next_s(self) -> float:
        """When the slots have to be looked at again."""
        next_s = NEVER
        session = self.session
        for delivery in list(self.running.values()):
            age_s = session.now - delivery.started_s
            for mark_s in (STARTED_AFTER_S, SLOW_S, (session.options.task_timeout_s or NEVER) + GIVEN_UP_AFTER_S):
                if age_s < mark_s:
                    next_s = min(next_s, delivery.started_s + mark_s)
                    break
        # Queued work may start at any moment without a word.
        if self.in_process > len(self.running) and len(self.running) < session.options.concurrency:
            next_s = min(next_s, session.now + STARTED_AFTER_S)
        return next_s


def _cut(text: str) -> str:
    """At most LIMIT_ERROR_BYTES of UTF-8, the end kept: a traceback's last lines say what happened."""
    most = LIMITS["ERROR_BYTES"]
    data = text.encode("utf-8", "replace")
    if len(data) > most:
        data = data[-most:]
    return data.decode("utf-8", "ignore")
