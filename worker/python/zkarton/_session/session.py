"""The I/O thread: takes notes of the application's threads, receives, runs timers, sends what has gathered, and sleeps
only when nothing was there. Batching falls out of the shape: while one round is busy the next round's tasks and reports
gather.

One path for the first contact, a cut connection and a restarted broker: a fresh socket and a HELLO of the same
instance, so that nothing queued for the old connection can arrive before it.
"""
from __future__ import annotations

import atexit
import math
import os
import platform
import queue
import random
import sys
import threading
import time
import traceback
import weakref
from collections import deque
from dataclasses import dataclass
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple
from urllib.parse import urlsplit

import zmq

from .. import _msgpack as msgpack, _values
from .._tables import PROTOCOL_VERSION, VERBS
from ..__version__ import __version__
from ..exceptions import SessionClosedError, VersionError, ZkartonError, error_of
from .delivery import Delivery, Question, Receipt
from .link import Link
from .questions import Questions
from .reports import NEVER, Reports
from .submits import Submits

WELCOME_WAIT_S = 5.0  # after HELLO on a connected socket
BACKOFF_FIRST_S = 0.05
BACKOFF_MOST_S = 5.0
BYE_WAIT_S = 1.0
CLOSE_LINGER_S = 0.5
ABORT_GRACE_S = 2.0  # for process to end
ANSWER_GRACE_S = 3.0  # for the broker to take the last reports
POLL_MOST_S = 1.0
LOOK_S = 0.1
NAP_S = 0.006
RECEIVE_MOST = 256

NAMES = {number: name for name, number in VERBS.items()}
Note = Callable[[str, str, str], None]

_sessions: weakref.WeakSet[Session] = weakref.WeakSet()


@dataclass
class Options:
    """What a session is for."""

    role: str  # "producer", "worker" or "operator"
    identity: str = ""
    address: str = "tcp://127.0.0.1:5570"
    origin: str = "default"  # where the address was configured
    ca_file: Optional[str] = None  # of an object store with https; None: the system's
    bind: Optional[Dict[str, Any]] = None
    join: bool = False
    concurrency: int = 1
    transactional: bool = False
    window: int = 0  # 0: adaptive
    task_timeout_s: float = 0  # 0: none
    connect_timeout_s: Optional[float] = None  # None: waits for ever
    expiry_ms: Optional[int] = None
    guard: bool = True  # a helper process keeps the leases while the GIL is not to be had


class Session:
    """One session. Start it, then any thread may call what is marked so."""

    def __init__(self, options: Options, note: Optional[Note] = None,
                 on_delivery: Optional[Callable[[], None]] = None) -> None:
        self.options = options
        self.note: Note = note or _silent
        self._on_delivery = on_delivery  # called on the I/O thread when something is to be taken
        self.pid = os.getpid()
        self.state = "closed"  # greeting, open, leaving, dead
        self.problem: Optional[ZkartonError] = None  # of "dead", or the last refusal
        self.result: Optional[ZkartonError] = None  # why it ended, None: as asked
        self.welcome: Dict[str, Any] = {}
        self.submits = Submits(self)
        self.reports = Reports(self)
        self.questions = Questions(self)
        self.guard: Any = None
        self.now = time.monotonic()
        self.is_retiring = False
        self._instance = os.urandom(16)
        self._inbox: Deque[Tuple[Callable[[Any], None], Any]] = deque()
        self._is_sleeping = False
        self._is_napping = False
        self._link = Link()
        self._id = 0
        self._hello_id = 0
        self._generation = 0
        self._interval_s = 2.0
        self._expiry_s = 10.0
        self._heard_s = self._sent_s = self._greeted_s = 0.0
        self._next_try_s = 0.0
        self._tries = 0
        self._was_open = False
        self._refused_since_s = 0.0
        self._started_s = 0.0
        self._level = 0  # as asked: 1 finish, 2 give back
        self._level_seen = 0
        self._level_s = 0.0
        self._is_ending = False
        self._is_closing = False
        self._closing_s = 0.0
        self._is_over = False
        self._is_drained = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="zkarton-io", daemon=True)

    # ---- For any thread

    def start(self) -> Session:
        """Makes the thread; connects in the background."""
        if self.options.role == "worker" and self.options.guard:
            from .guard import Guard
            self.guard = Guard.start(self)
        self._started_s = time.monotonic()
        _sessions.add(self)
        self._thread.start()
        return self

    def check_process(self) -> None:
        """Raises in a process that was forked: the session stayed with the parent."""
        if os.getpid() != self.pid:
            raise SessionClosedError("this process was forked from the one that has the session; make a Producer of "
                                     "its own here, or hand results to the parent")

    def _put(self, handler: Callable[[Any], None], item: Any) -> None:
        if os.getpid() != self.pid:
            self.check_process()
        self._inbox.append((handler, item))
        if self._is_sleeping:
            self._wake()
        if self._is_drained:
            self._drain_closed()

    def _put_lazily(self, handler: Callable[[Any], None], item: Any) -> None:
        """As _put; does not wake a thread that wakes by itself within some milliseconds."""
        self._inbox.append((handler, item))
        if self._is_sleeping and not self._is_napping:
            self._wake()
        if self._is_drained:
            self._drain_closed()

    def _wake(self) -> None:
        self._is_sleeping = False
        self._link.wake()

    def submit(self, packed: bytes, delivery: Optional[Delivery] = None, is_waited_for: bool = True) -> Receipt:
        """Hands on one packed task; the receipt tells when it is on disk."""
        return self.submit_receipt(Receipt(packed, delivery, is_waited_for))

    def submit_receipt(self, receipt: Receipt) -> Receipt:
        """As submit, with a receipt of the caller's (that has a callback)."""
        self._put(self.submits.take, receipt)
        return receipt

    def ask(self, verb: str, body: Optional[Dict[str, Any]] = None, timeout_s: Optional[float] = None,
            is_once: bool = False) -> Dict[str, Any]:
        """Asks and waits for the answer's body; raises what the broker refused it with."""
        question = Question(verb, body or {}, is_once)
        self._put(self.questions.take, question)
        if not question.wait(timeout_s):
            self._put(self.questions.abandon, question)
            question.wait()
        if question.error is not None:
            raise question.error
        return question.answer

    def ask_while(self, verb: str, body: Dict[str, Any], timeout_s: float, look: Callable[[], None]
                  ) -> Dict[str, Any]:
        """As ask, for what may take long: ``look`` is called now and then, and ends it when it raises."""
        question = Question(verb, body)
        self._put(self.questions.take, question)
        until_s = time.monotonic() + timeout_s
        try:
            while not question.wait(min(LOOK_S, max(until_s - time.monotonic(), 0))):
                look()
                if time.monotonic() >= until_s:
                    break
        finally:
            if not question.is_done:
                self._put(self.questions.abandon, question)
        question.wait()
        if question.error is not None:
            raise question.error
        return question.answer

    def ask_later(self, question: Question) -> None:
        """Asks; ``question.callback`` is called on the I/O thread."""
        self._put(self.questions.take, question)

    def wait_open(self, timeout_s: Optional[float] = None, look: Optional[Callable[[], None]] = None) -> Dict[str, Any]:
        """Waits for the session to be open; the body of WELCOME. ``look`` as for ask_while."""
        if look is None:
            return self.ask("HELLO", {}, timeout_s)
        return self.ask_while("HELLO", {}, math.inf if timeout_s is None else timeout_s, look)

    def log(self, packed: bytes) -> None:
        """A packed log record, fire and forget."""
        if os.getpid() == self.pid:
            self._put_lazily(self.questions.take_log, packed)

    def take(self, timeout_s: Optional[float] = None) -> Optional[Delivery]:
        """The next delivery for a slot; None: nothing more comes. Raises queue.Empty.

        What need not begin any more is given back here, and never seen.
        """
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = None if until_s is None else max(until_s - time.monotonic(), 0)
            delivery = self.reports.work.get(timeout=left_s)
            if delivery is None or self._is_wanted(delivery):
                return delivery
            self.finish(delivery, "Returned")

    def _is_wanted(self, delivery: Delivery) -> bool:
        """Whether ``process`` should start: not of a cancelled task, and nothing once the session is asked to end,
        however soon the I/O thread hears of it."""
        return delivery.cancelled is None and self._level == 0

    def begin(self, delivery: Delivery) -> None:
        """``process`` starts."""
        delivery.started_s = time.monotonic()
        if self.guard is not None:
            self.guard.started(delivery)
        self.reports.running[delivery.number] = delivery

    def finish(self, delivery: Delivery, state: str, error: Optional[str] = None, delay_ms: int = 0) -> None:
        """``process`` is through: Finished, Crashed with the error's text, or Returned."""
        self.reports.running.pop(delivery.number, None)
        took_s = time.monotonic() - delivery.started_s if delivery.started_s else 0.0
        item = (delivery, state, error, delay_ms, took_s)
        # While more work is here already, the reports gather: the thread wakes by itself before long.
        work = self.reports.work
        if work.empty() or len(self._inbox) >= 24:
            self._put(self.reports.processed, item)
        else:
            self._put_lazily(self.reports.processed, item)

    def stop(self, level: int = 1) -> None:
        """1: finishes what is in process, then leaves. 2: gives that back too. Usable in a signal handler."""
        if level > self._level:
            self._level = level
        self._wake()

    def close(self, timeout_s: Optional[float] = 2.0) -> None:
        """Says BYE and ends the thread."""
        if os.getpid() != self.pid:
            return
        self._is_closing = True
        self._wake()
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            self._over.wait(timeout_s)

    def join(self, timeout_s: Optional[float] = None) -> bool:
        """Waits until it is over; True if it is."""
        return self._over.wait(timeout_s)

    @property
    def is_over(self) -> bool:
        return self._is_over

    @property
    def is_aborting(self) -> bool:
        """What is in process is not to be finished."""
        return self._level >= 2

    def error(self, code: Any, message: str) -> ZkartonError:
        return error_of(code, message)

    def complete_url(self, url: str) -> str:
        """An address of the broker whose host is empty is on the host that was dialled."""
        scheme, _, rest = url.partition("://")
        if rest.startswith(":"):
            host = urlsplit(self.options.address).hostname or "127.0.0.1"
            return f"{scheme}://{f'[{host}]' if ':' in host else host}{rest}"
        return url

    def silence_error(self) -> ZkartonError:
        """Why an answer does not come."""
        options = self.options
        if self.state == "open":
            return error_of("TIMEOUT", "no answer from the broker in time")
        if self._refused_since_s:
            return error_of("UNREACHABLE", f"nothing listens at {options.address} (address from {options.origin}). "
                                           "Start: zkarton-broker --dev")
        if self.problem is not None:
            return self.problem
        return error_of("UNREACHABLE", f"no broker answers at {options.address} (address from {options.origin})")

    # ---- For the other parts, on the I/O thread

    def next_id(self) -> int:
        self._id += 1
        return self._id

    def send(self, verb: str, message_id: int, body: Dict[str, Any]) -> None:
        self.send_bytes(msgpack.packb([VERBS[verb], message_id, body]))

    def send_bytes(self, frame: bytes) -> None:
        self._link.send(frame)
        self._sent_s = self.now

    def jitter(self, tries: int, first_s: float, most_s: float) -> float:
        """Peers that lost one broker together do not come back together."""
        step_s = min(first_s * (1 << min(tries, 10)), most_s)
        return step_s / 2 + random.random() * step_s / 2

    def new_instance(self) -> None:
        self._instance = os.urandom(16)
        if self.guard is not None:
            self.guard.instance(self._instance)

    @property
    def is_ending(self) -> bool:
        """Nothing new is taken."""
        return self._level_seen > 0 or self.is_retiring or self.state in ("dead", "leaving")

    def hand_out(self, delivery: Delivery) -> None:
        self.reports.work.put(delivery)
        if self._on_delivery is not None:
            self._on_delivery()

    def take_back(self) -> List[Delivery]:
        """What no slot has begun."""
        back = []
        work = self.reports.work
        try:
            while True:
                delivery = work.get_nowait()
                if delivery is not None:
                    back.append(delivery)
                else:
                    work.put(None)
                    break
        except queue.Empty:
            pass
        return back

    def lost(self, why: str) -> None:
        """The connection or the session is gone: once more from HELLO, after a pause."""
        if self.state == "dead":
            return
        if self.state == "leaving":
            self._is_over = True
            return
        if self.state == "open":
            self.note("WARNING", "SESSION-LOST", f'address={self.options.address} reason="{why}"')
        self._link.close()
        self.state = "closed"
        self._next_try_s = self.now + self.jitter(self._tries, BACKOFF_FIRST_S, BACKOFF_MOST_S)
        self._tries += 1

    def _die(self, error: ZkartonError) -> None:
        self.problem = error
        self._link.close()
        self.state = "dead"
        self.submits.refuse_all(error)
        self.questions.refuse_all(error)

    # ---- The way up

    def hello(self) -> Dict[str, Any]:
        """The body of HELLO but for what changes: generation and held."""
        options = self.options
        body: Dict[str, Any] = {
            "v": PROTOCOL_VERSION, "instance": self._instance, "identity": options.identity, "role": options.role,
            "host": platform.node(), "pid": self.pid, "lang": f"python/{__version__}",
        }
        if options.bind is not None:
            body["bind"] = _values.normal(options.bind)
        if options.role == "worker":
            body.update(join=options.join, concurrency=options.concurrency, transactional=options.transactional)
        if options.expiry_ms is not None:
            body["expiry_ms"] = options.expiry_ms
        return body

    def _greet(self) -> None:
        self._greeted_s = self.now
        self.state = "greeting"
        try:
            self._link.open(self.options.address)
        except zmq.ZMQError:
            self._die(error_of("CONFIG_INVALID", f'"{self.options.address}" is no address (from {self.options.origin}).'
                                                 " Write tcp://HOST:PORT."))
            return
        body = self.hello()
        if self.options.role == "worker":
            body.update(generation=self._generation, held=self.reports.held())
        self._hello_id = self.next_id()
        self.send("HELLO", self._hello_id, body)

    # ---- Receiving

    def _watch_link(self) -> None:
        is_disconnected = False
        for event in self._link.events():
            if event == zmq.EVENT_CONNECTED:
                self._link.is_connected = True
                self._refused_since_s = 0.0
                self._greeted_s = self.now
            elif event == zmq.EVENT_CONNECT_RETRIED:
                self._note_refused()
            elif event == zmq.EVENT_DISCONNECTED:
                is_disconnected = True
        if is_disconnected:
            self.lost("disconnected")

    def _note_refused(self) -> None:
        self._link.is_connected = False
        if not self._refused_since_s:
            self._refused_since_s = self.now
            self.note("WARNING", "BROKER-UNREACHABLE", f'address={self.options.address} origin="{self.options.origin}"')

    def _receive(self) -> bool:
        count = 0
        while count < RECEIVE_MOST:
            frames = self._link.receive()
            if frames is None:
                break
            count += 1
            self._heard_s = self.now
            self._handle_frames(frames)
        if count == 0 and self.state == "open" and self.now - self._heard_s > self._expiry_s:
            # Judged only with nothing left to read: whoever was stopped himself hears what came.
            self.lost("nothing heard for the expiry")
        return count > 0

    def _handle_frames(self, frames: List[bytes]) -> None:
        if len(frames) != 1:
            self.note("WARNING", "FRAME-BAD", 'text="more than one frame"')
            return
        try:
            verb, message_id, body = _values.unpack(frames[0])
            name = NAMES.get(verb, "")
            if name and not isinstance(body, dict):
                raise ValueError("the body is no map")
        except Exception as error:  # msgpack raises many kinds
            self.note("WARNING", "FRAME-BAD", f'text="{error}"')
            return
        if name == "DELIVER":
            self.reports.deliver(body)
        elif name == "REPORTED":
            self.reports.answered(body)
        elif name == "SUBMITTED":
            self.submits.answered(body)
        elif name == "REVOKE":
            self.reports.revoke(body)
        elif name == "WELCOME":
            self._welcomed(message_id, body)
        elif name == "RETIRE":
            self.is_retiring = True
        elif name == "BYE":
            if self.state == "leaving":
                self._is_over = True
        elif name == "ERROR":
            self._refused(message_id, body)
        elif name in ("URLS", "PART_URLS", "COMPLETED", "DONE", "ANSWER"):
            self.questions.answered(message_id, body)
        # HEARTBEAT: being heard is all of it. Others are unknown to this version.

    def _welcomed(self, message_id: int, body: Dict[str, Any]) -> None:
        if self.state != "greeting" or message_id != self._hello_id:
            return
        self.state = "open"
        self._tries = 0
        self._refused_since_s = 0.0
        self._heard_s = self.now
        self._interval_s = max(body["interval_ms"] / 1000, 0.01)
        self._expiry_s = body["expiry_ms"] / 1000 or self._expiry_s
        self._generation = body.get("generation") or 0
        self.is_retiring = bool(body.get("retiring"))
        self.welcome = body
        if self.guard is not None:
            self.guard.welcomed(self._generation, self._interval_s, self._expiry_s)
        self.note("INFO", "SESSION-RESUMED" if self._was_open else "SESSION-OPENED",
                  f"address={self.options.address} session={body['session']}")
        self._was_open = True
        self.submits.resume(body["last_number"])
        self.reports.resume(body["last_number"])
        self.questions.resume()

    def _refused(self, message_id: int, body: Dict[str, Any]) -> None:
        error = error_of(body["code"], body.get("message") or "refused")
        if error.code == "HELLO_REQUIRED":
            self.lost("the broker asks for a new HELLO")
        elif error.code == "SESSION_REPLACED" or message_id == self._hello_id:
            self._refused_session(error)
        elif message_id and (self.submits.refused(message_id, error) or self.reports.refused(message_id, error)
                             or self.questions.refused(message_id, error)):
            return
        else:
            self.note("WARNING", "BROKER-ERROR", f'code={error.code} verb={body.get("verb")} text="{error.message}"')

    def _refused_session(self, error: ZkartonError) -> None:
        if error.code == "SESSION_REPLACED":
            if self.guard is not None and self.guard.has_taken_over():
                self._tries = 0
                self.lost("the guard kept the leases while this process held the GIL")
            else:
                self._die(error_of(error.code, "another process took over this session"))
        elif error.code == "INSTANCE_FORGOTTEN":
            self.submits.forget_instance(error)
            self.lost("the broker forgot this instance")
        elif error.code == "VERSION_UNSUPPORTED":
            self._die(VersionError(f"the broker says: {error.message}; this is zkarton {__version__} for Python, "
                                   f"which speaks ZKP/{PROTOCOL_VERSION}"))
        elif error.is_retryable:
            self.problem = error
            self.lost(str(error))
        else:
            self._die(error)

    # ---- Timers

    def _tick(self) -> None:
        state = self.state
        if state == "open":
            if self.now - self._sent_s >= self._interval_s:
                self.send("HEARTBEAT", 0, {})
        elif state == "closed":
            if self.now >= self._next_try_s:
                self._greet()
        elif state == "greeting":
            if self._link.is_connected and self.now - self._greeted_s > WELCOME_WAIT_S:
                self.lost("no answer to HELLO")
        elif state == "leaving" and self.now >= self._next_try_s:
            self._is_over = True
        connect_s = self.options.connect_timeout_s
        if (connect_s is not None and not self._was_open and state in ("closed", "greeting")
                and self.now - self._started_s >= connect_s):
            self._die(self.silence_error())

    def _next_s(self) -> float:
        state = self.state
        next_s = NEVER
        if state in ("closed", "leaving"):
            next_s = self._next_try_s
        elif state == "greeting" and self._link.is_connected:  # else libzmq tells when it is
            next_s = self._greeted_s + WELCOME_WAIT_S + 0.001
        elif state == "open":
            next_s = self._sent_s + self._interval_s
        if self.options.connect_timeout_s is not None and not self._was_open and state != "dead":
            next_s = min(next_s, self._started_s + self.options.connect_timeout_s)
        if self.submits.resume_s:
            next_s = min(next_s, self.submits.resume_s)
        if self.reports.resume_s:
            next_s = min(next_s, self.reports.resume_s)
        if self._level_seen or self._is_closing or self.is_retiring:
            next_s = min(next_s, self.now + 0.05)
        if self.options.role == "worker":
            next_s = min(next_s, self.reports.next_s())
        return next_s

    def _sleep(self) -> None:
        timeout_s = min(max(self._next_s() - self.now, 0), POLL_MOST_S)
        if self.guard is not None:
            timeout_s = min(timeout_s, self.guard.beat_s)
        self._is_napping = timeout_s <= NAP_S
        self._is_sleeping = True
        if self._inbox and not self._is_napping:
            self._is_sleeping = False
            return
        has_events = self._link.poll(timeout_s)
        self._is_sleeping = self._is_napping = False
        self.now = time.monotonic()
        if has_events:
            self._watch_link()

    # ---- The way down

    def _see_level(self) -> None:
        if self._level > self._level_seen:
            self._level_seen = self._level
            self._level_s = self.now

    def _begin_ending(self) -> None:
        if self._is_ending:
            return
        self._is_ending = True
        self._level_s = self.now
        self.reports.tell_window(0)
        self.reports.return_unstarted()
        is_dead = self.state == "dead"
        if is_dead:
            for delivery in list(self.reports.table.values()):
                delivery.cancel("revoked")
                self.reports.settle(delivery)
        if not self._joins_again():
            self._say_no_more()

    def _say_no_more(self) -> None:
        for _ in range(self.options.concurrency):
            self.reports.work.put(None)
        if self._on_delivery is not None:
            self._on_delivery()

    def _joins_again(self) -> bool:
        return self.is_retiring and self.options.join and self._level_seen == 0 and self.state != "dead"

    def _drive_stop(self) -> None:
        if self.options.role != "worker" or self._is_over or self.state == "leaving":
            return
        self._see_level()
        if not self.is_ending:
            return
        self._begin_ending()
        waited_s = self.now - self._level_s
        reports = self.reports
        if self.state == "dead":
            self.result = self.problem
            if reports.in_process == 0 or waited_s > ABORT_GRACE_S:
                self._is_over = True
            return
        if self._level_seen == 2 and waited_s > ABORT_GRACE_S:
            for delivery in list(reports.table.values()):
                reports.set_outcome(delivery, "Returned")
        if reports.unsettled == 0 and self.submits.is_idle:
            if self._level_seen == 2 or reports.in_process == 0:
                self._leave_or_join_again()
            return
        is_mute = self.state != "open" or self._level_seen == 2
        if self._level_seen and is_mute and reports.in_process == 0 and waited_s > ABORT_GRACE_S + ANSWER_GRACE_S:
            self.note("WARNING", "STOP-UNANSWERED", f"deliveries={reports.unsettled}")
            self.result = self.silence_error()
            self._is_over = True

    def _leave_or_join_again(self) -> None:
        if self._joins_again():
            self._is_ending = False
            self.is_retiring = False
            self._generation = 0
            self.reports.window = 0
            self.lost("joining the new bind")
            return
        if self.is_retiring and self.state == "open":
            self.note("INFO", "BIND-CHANGED", f"identity={self.options.identity}")
        self._leave()

    def _leave(self) -> None:
        if self.state == "open":
            if self.questions.logs:
                self.questions.flush_logs()
            self.send("BYE", self.next_id(), {})
            self.state = "leaving"
            self._next_try_s = self.now + BYE_WAIT_S
        elif self.state != "greeting" or self.now - self._level_s > ANSWER_GRACE_S:
            self._is_over = True  # else the WELCOME is awaited, to be able to say BYE

    def _close_when_asked(self) -> None:
        if not self._is_closing or self.state == "leaving":
            return
        if not self._closing_s:
            self._closing_s = self.now
        waited_s = self.now - self._closing_s
        if self.state == "open":
            # Whoever ends right after his last task may have reported it since the inbox was looked at.
            is_through = self.submits.is_idle and not self._inbox and not self.reports.sent
            if is_through or waited_s > CLOSE_LINGER_S:
                self._leave()
                self._next_try_s = self.now + CLOSE_LINGER_S
        elif self.state != "greeting" or not self._link.is_connected or waited_s > CLOSE_LINGER_S:
            self._is_over = True  # else the WELCOME is awaited, to be able to say BYE

    # ---- The loop

    def _take_inbox(self) -> bool:
        inbox = self._inbox
        count = len(inbox)
        for _ in range(count):
            handler, item = inbox.popleft()
            handler(item)
        return count > 0

    def _turn(self) -> bool:
        busy = self._take_inbox()
        if self._link.is_open:
            busy = self._receive() or busy
        self._tick()
        reports = self.reports
        reports.watch()
        self._drive_stop()
        submits = self.submits
        if submits.waiting or submits.has_unsent:
            submits.flush()
        if reports.ready:
            reports.flush()
        questions = self.questions
        if questions.unsent:
            questions.flush()
        if questions.logs:
            questions.flush_logs()
        self._close_when_asked()
        if self.guard is not None:
            self.guard.beat()
        return busy

    def _run(self) -> None:
        try:
            while not self._is_over:
                busy = self._turn()
                if busy:
                    self.now = time.monotonic()
                elif not self._is_over:
                    self._sleep()
        except BaseException:  # a bug of ours must not leave anybody waiting for ever
            self.note("ERROR", "IO-THREAD-FAILED", traceback.format_exc())
            self._die(ZkartonError("the I/O thread failed: " + traceback.format_exc(limit=-3)))
            self.result = self.problem
            self._say_no_more()
        finally:
            self._finish()

    def _finish(self) -> None:
        self._is_over = True
        self._link.close(CLOSE_LINGER_S if self.state == "leaving" else 0)
        if self.guard is not None:
            self.guard.stop()
        self._is_drained = True
        self._drain_closed()
        self._over.set()

    def _drain_closed(self) -> None:
        gone = self.problem if self.state == "dead" and self.problem else SessionClosedError("the session was closed")
        inbox = self._inbox
        try:
            while True:
                handler, item = inbox.popleft()
                if isinstance(item, (Receipt, Question)):
                    item.refuse(gone)
        except IndexError:
            pass
        self.submits.refuse_all(gone)
        self.questions.refuse_all(gone)


def _silent(_level: str, _id: str, _text: str) -> None:
    pass


@atexit.register
def _close_all() -> None:
    for session in list(_sessions):
        if not session.is_over:
            session.close()


def _after_fork_in_child() -> None:
    _sessions.clear()  # the threads are the parent's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

if sys.version_info < (3, 9):
    raise ImportError("zkarton needs Python 3.9 or later")
