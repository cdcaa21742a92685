"""Producer, Consumer and Karton for asyncio. The session's I/O stays on a thread of its own (P15, S25)."""
from __future__ import annotations

import asyncio
import contextlib
import queue
import signal
import threading
from collections import deque
from typing import Any, Deque, Dict, Iterable, List, Optional, Set

from .. import _ready, _signals, _taskwire, service as sync
from .._bus import POSTED_BYTES_MAX, POSTED_TASKS_MAX, Summary
from .._context import InProcess, current_process, enter_process, leave_process
from .._logging import ASYNC_LINE_FORMAT
from .._session import Delivery, Options, Question, Receipt, Session
from .._session.delivery import Answerable
from .._tables import LIMITS
from .._threads import on_a_thread
from ..base import KartonBase
from ..config import Config, parse_duration
from ..exceptions import ConfigError, HardShutdownInterrupt, TaskTimeoutError
from ..resource import RemoteResource as SyncRemoteResource
from ..service import GiveBack
from ..task import Task, TaskState
from ..tree import Tree
from .events import Events
from .resource import of


def _set(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_result(None)


def _future_of(item: Answerable) -> asyncio.Future[Any]:
    """Done when the I/O thread answers. Set before the item is handed on."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def done(_item: Any) -> None:
        try:
            loop.call_soon_threadsafe(_set, future)
        except RuntimeError:
            pass  # the loop is closed: nobody waits

    item.callback = done
    return future


class Closing(KartonBase):
    """What ends without holding up the loop."""

    async def close(self) -> None:  # type: ignore[override]
        """Ends the session with the broker."""
        await asyncio.to_thread(self.backend.close)

    def __exit__(self, *_: Any) -> None:
        self.backend.close()  # a plain `with` cannot wait

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()


class Producer(Closing, sync.Producer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """As zkarton.Producer; what waits is awaited."""

    async def connect(self) -> None:
        """Waits until the broker is there. Not needed before the other calls."""
        question = Question("HELLO", {})
        future = _future_of(question)
        self.backend.session.ask_later(question)
        await future
        if question.error is not None:
            raise question.error

    async def send_task(self, task: Task) -> bool:  # type: ignore[override]
        """Sends a task with its files; True once it is on the broker's disk."""
        process = self._inherit(task)
        self.log.debug("Dispatched task %s", task.uid)
        receipt = await self._hand_on(task, process, True)
        if receipt is not None:
            receipt.result(0)
        return True

    async def post_task(self, task: Task) -> None:  # type: ignore[override]
        """As send_task, without waiting for the disk; waits only while too much is under way. flush() waits for all."""
        process = self._inherit(task)
        posted = self._posted()
        while posted and (len(posted) >= POSTED_TASKS_MAX
                          or self.__dict__.get("_posted_bytes", 0) > POSTED_BYTES_MAX):
            await self._take_posted()
        receipt = await self._hand_on(task, process, False)
        if receipt is not None:
            posted.append(receipt)
            self._posted_bytes = self.__dict__.get("_posted_bytes", 0) + len(receipt.packed)

    def _posted(self) -> Deque[Receipt]:
        posted: Deque[Receipt] = self.__dict__.setdefault("_posted_receipts", deque())
        return posted

    async def _take_posted(self) -> None:
        receipt = self._posted().popleft()
        if not receipt.is_done:
            future = _future_of(receipt)
            if not receipt.is_done:
                await future
        self._posted_bytes -= len(receipt.packed)
        # A refused child crashes its parent; its sender need not hear of it again.
        if receipt.error is not None and receipt.delivery is None:
            self.__dict__.setdefault("_first_refusal", receipt.error)

    async def send_tasks(self, tasks: Iterable[Task]) -> int:  # type: ignore[override]
        """Sends many and waits once; how many."""
        count = 0
        for task in tasks:
            await self.post_task(task)
            count += 1
        await self.flush()
        return count

    async def flush(self) -> None:  # type: ignore[override]
        """Waits until everything posted is on disk; raises the first refusal."""
        while self._posted():
            await self._take_posted()
        refusal = self.__dict__.pop("_first_refusal", None)
        if refusal is not None:
            raise refusal

    async def _hand_on(self, task: Task, process: Optional[InProcess], is_waited_for: bool) -> Optional[Receipt]:
        backend = self.backend if process is None else process.backend
        delivery = None if process is None else process.delivery
        if not hasattr(backend, "session"):
            backend.send(task, delivery)  # a test kit's
            return None
        if _taskwire.local_resources(task):
            await on_a_thread(backend.upload, task)
        receipt = Receipt(_taskwire.pack_task(task), delivery, is_waited_for)
        future = _future_of(receipt) if is_waited_for else None
        backend.session.submit_receipt(receipt)
        if future is not None:
            await future
        task._asker = backend
        return receipt

    async def wait(self, root_uid: str, timeout: Optional[float] = None) -> Summary:  # type: ignore[override]
        """Waits until an analysis is done."""
        summary: Summary = await asyncio.to_thread(self.backend.wait, root_uid, timeout)
        return summary

    async def tree(self, root_uid: str) -> Tree:  # type: ignore[override]
        """An analysis as it is now."""
        tree: Tree = await asyncio.to_thread(self.backend.tree, root_uid)
        return tree

    async def query(self, what: str, **arguments: Any) -> List[Dict[str, Any]]:  # type: ignore[override]
        """Asks the broker."""
        rows: List[Dict[str, Any]] = await asyncio.to_thread(lambda: self.backend.query(what, **arguments))
        return rows

    async def events(self, *topics: str) -> Events:  # type: ignore[override]
        """Subscribes to events whose topic begins so: ``"analysis."``, ``"log.error."`` (docs/events.md)."""
        return Events(await asyncio.to_thread(self.backend.events, *topics))


class Consumer(Closing, sync.Consumer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """As zkarton.Consumer, with ``async def process``; up to ``concurrency_limit`` tasks at the same time."""

    #: None: as many as there are
    concurrency_limit: Optional[int] = 1

    def __init__(self, config: Optional[Config] = None, identity: Optional[str] = None, backend: Any = None) -> None:
        super().__init__(config=config, identity=identity, backend=backend)
        self._log_format = ASYNC_LINE_FORMAT
        self.setup_logger()
        self.concurrency_limit = self.config.getint("karton", "concurrency_limit", self.concurrency_limit)
        if self.concurrency_limit is not None and not 1 <= self.concurrency_limit <= LIMITS["CONCURRENCY"]:
            raise ConfigError(f"[karton] concurrency_limit: {self.concurrency_limit} is not between 1 and "
                              f"{LIMITS['CONCURRENCY']}")
        self._working: Set[asyncio.Task[None]] = set()
        self._wake: Optional[asyncio.Event] = None

    async def process(self, task: Task) -> Any:
        """Does the work."""
        raise NotImplementedError

    def _bind(self) -> Dict[str, Any]:
        return {**super()._bind(), "is_async": True}

    def session_options(self) -> Options:
        options = super().session_options()
        options.concurrency = self.concurrency_limit or LIMITS["CONCURRENCY"]
        return options

    async def internal_process(self, task: Task) -> None:  # type: ignore[override]
        """process with everything around it; the outcome is in ``task.status`` and ``task.error``."""
        self._before_process(task)
        raised: Optional[BaseException] = None
        try:
            await self._limited(task)
        except BaseException as error:
            raised = error
        self._after_process(task, raised)

    _CRASHES = (*sync.Consumer._CRASHES, asyncio.CancelledError)

    async def _limited(self, task: Task) -> None:
        limit_s = parse_duration(self.task_timeout) if self.task_timeout else 0
        if not limit_s:
            await self.process(task)
            return
        # Not wait_for around the coroutine itself: a TimeoutError of process is no task timeout.
        work = asyncio.ensure_future(self._caught(task))
        try:
            done, _ = await asyncio.wait({work}, timeout=limit_s)
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            raise
        if not done:
            work.cancel()
            await asyncio.wait({work}, timeout=2)
            raise TaskTimeoutError(f"not done within {limit_s:g} s") from _end_of(work)
        raised = work.result()
        if raised is not None:
            raise raised

    async def _caught(self, task: Task) -> Optional[BaseException]:
        """What process raised: an asyncio task that raises sys.exit or KeyboardInterrupt ends the loop."""
        try:
            await self.process(task)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            return error
        return None

    async def _work(self, delivery: Delivery, session: Session) -> None:
        session.begin(delivery)
        loop = asyncio.get_running_loop()
        ours = asyncio.current_task()

        def on_cancel(_delivery: Delivery) -> None:
            loop.call_soon_threadsafe(lambda: ours and ours.cancel())

        delivery.on_cancel = on_cancel
        state, error, delay_ms = "Crashed", "FAILED", 0
        try:
            try:
                task = self.backend.task_of(delivery)
                task.transform_payload_bags(_awaited)
            except Exception as damage:  # whatever is wrong with it, the next one may be well
                error = f"the task cannot be read: {damage!r}"
                self.log.error("Failed to process task - %s", error)
                return
            before = enter_process(InProcess(self.backend, delivery, task, session.options.identity))
            try:
                await self.internal_process(task)
            finally:
                leave_process(before)
                state = task.status.value if task.status in (TaskState.FINISHED, TaskState.CRASHED) else state
                error = "".join(task.error or [error])
        except GiveBack as back:
            state, delay_ms = "Returned", int(back.delay * 1000)
        except asyncio.CancelledError:
            pass
        finally:
            if self._is_aborted and state == "Crashed":
                state = "Returned"  # as after a second Ctrl-C elsewhere: it counts no attempt
            delivery.on_cancel = None
            session.finish(delivery, state, error, delay_ms)

    async def _loop(self) -> None:
        loop = asyncio.get_running_loop()
        self._wake = wake = asyncio.Event()
        is_noted = False

        def on_delivery() -> None:  # on the I/O thread
            nonlocal is_noted
            if not is_noted:
                is_noted = True
                loop.call_soon_threadsafe(wake.set)

        self._session = session = self.backend.open(self.session_options(), on_delivery)
        _ready.tell_when_open(session)
        if self._shutdown:
            session.stop(1)
        is_more = True
        watched = contextlib.ExitStack()
        watched.enter_context(self._watched(session))
        try:
            while is_more or self._working:
                is_noted = False
                wake.clear()
                while is_more and len(self._working) < session.options.concurrency:
                    try:
                        delivery = session.take(0)
                    except queue.Empty:
                        break
                    if delivery is None:
                        is_more = False
                        break
                    task = loop.create_task(self._work(delivery, session))
                    self._working.add(task)
                    task.add_done_callback(self._on_worked)
                if is_more or self._working:
                    await wake.wait()
            while not session.join(0):
                await asyncio.sleep(0.01)
        finally:
            for task in self._working:
                task.cancel()
            if self._working:
                await asyncio.gather(*self._working, return_exceptions=True)
            watched.close()
            await asyncio.to_thread(session.close)
        if session.result is not None:
            raise session.result

    def _is_stuck(self, session: Session) -> bool:
        # A slot is free two seconds after its timeout, whatever process does, unless the loop itself stands still.
        return session.reports.stuck()[0] > 0

    def _on_worked(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        if self._wake is not None:
            self._wake.set()
        if not task.cancelled() and task.exception() is not None:
            self.log.error("The service ends: %r", task.exception())
            self.stop()

    def _on_signal(self, number: int) -> None:
        if not self._shutdown:
            self.log.info("Got signal, shutting down...")
            self.stop()
        elif number == signal.SIGINT:
            self.log.info("Hard shutting down!")
            self._is_aborted = True
            self._on_stop(2)
            for task in self._working:
                task.cancel()

    async def run(self) -> None:
        """As loop(), inside a running event loop."""
        if not hasattr(self, "_post_hooks"):
            raise TypeError(f"{type(self).__name__}.__init__ does not call super().__init__()")
        self.log.info("Service %s started", self.identity)
        for rule in self.filters:
            self.log.info("Binding on: %s", rule)
        loop = asyncio.get_running_loop()
        numbers: List[signal.Signals] = []
        if threading.current_thread() is threading.main_thread():
            _signals.remember()
            for number in _signals.NUMBERS:
                loop.add_signal_handler(number, self._on_signal, number)
                numbers.append(number)
        try:
            await self._loop()
        finally:
            if numbers:
                with _signals.blocked():  # the loop's own way back is by the default
                    for number in numbers:
                        loop.remove_signal_handler(number)
                    _signals.remove(self._shutdown)
        if self._is_aborted:
            raise HardShutdownInterrupt  # the program ends with 130, as elsewhere

    def loop(self) -> None:
        """Registers, and works until it is told to end or its filters are replaced."""
        asyncio.run(self.run())

    @classmethod
    def args_parser(cls) -> Any:
        parser = super().args_parser()
        parser.add_argument("--concurrency-limit", type=int, help="Limit number of concurrent tasks")
        return parser

    @classmethod
    def config_from_args(cls, config: Config, args: Any) -> None:
        super().config_from_args(config, args)
        config.load_from_dict({"karton": {"concurrency_limit": args.concurrency_limit}})


def _end_of(work: asyncio.Future[Optional[BaseException]]) -> Optional[BaseException]:
    """What process ended with when it was cancelled: it says where that was."""
    if not work.done():
        return None
    try:
        return work.result()
    except asyncio.CancelledError as error:
        return error


def _awaited(value: Any) -> Any:
    return of(value) if isinstance(value, SyncRemoteResource) else value


class Karton(Consumer, Producer):
    """A consumer that sends tasks: the usual service."""


__all__ = ["Consumer", "Karton", "Producer"]
