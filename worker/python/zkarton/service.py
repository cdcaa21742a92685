"""Producer, Consumer, Karton and LogConsumer (parity P1-P14)."""
from __future__ import annotations

import argparse
import contextlib
import fnmatch
import functools
import json
import os
import signal
import sys
import threading
import traceback
from typing import Any, Callable, ClassVar, Dict, Iterable, Iterator, List, Optional, Tuple, Type, Union

from . import _ready, _signals, query
from .__version__ import __version__
from ._bus import Summary
from ._limit import time_limit
from ._logging import say
from ._session import Delivery, Options, Session
from ._tables import LIMITS
from .base import KartonBase, StrictClassMethod
from .config import Config, parse_duration
from .events import Events
from .exceptions import ConfigError, HardShutdownInterrupt, TaskTimeoutError, ZkartonError
from .task import Task, TaskState, get_current_task
from .tree import Tree
from ._context import InProcess, current_process, enter_process, is_inherited, leave_process

Filters = Union[List[Dict[str, Any]], Dict[str, Any]]
EXIT_CODES = {"CONFIG_INVALID": 2, "FILTER_INVALID": 2, "IDENTITY_INVALID": 2, "INVALID": 2, "UNREACHABLE": 3,
              "DENIED": 4}
LOOK_S = 1.0  # how often slots are looked at that may be stuck
CLOSE_S = 5.0


class GiveBack(BaseException):
    """Raised in ``process``: the task goes back to its queue, to be delivered again after ``delay`` seconds."""

    def __init__(self, delay: float = 0) -> None:
        super().__init__(f"given back, not before {delay:g} s")
        self.delay = delay


class Producer(KartonBase):
    """Submits tasks.

    .. code-block:: python

        with Producer(identity="me") as producer:
            producer.send_task(Task({"type": "sample", "kind": "raw"}, {"sample": Resource("a", b"content")}))
    """

    def send_task(self, task: Task) -> bool:
        """Sends a task with its files; True once it is on the broker's disk.

        Inside ``process`` it becomes a child of the task in process: analysis, priority and the persistent parts are
        those of the parent (A3). Raises TypeError that names what cannot be sent, and ZkartonError that says why the
        broker refused.
        """
        process = self._inherit(task)
        self.log.debug("Dispatched task %s", task.uid)
        if process is not None:
            process.backend.send(task, process.delivery)
        else:
            self.backend.send(task)
        return True

    def post_task(self, task: Task) -> None:
        """As send_task, without waiting for the disk: many tasks travel together.

        :meth:`flush` waits for all of them. Inside ``process`` no flush is needed: the task is Finished only when
        everything it posted is on disk, and Crashed when something was refused.
        """
        process = self._inherit(task)
        if process is not None:
            process.backend.post(task, process.delivery)
        else:
            self.backend.post(task)

    def send_tasks(self, tasks: Iterable[Task]) -> int:
        """Sends many and waits once; how many. Raises the first refusal, after all were tried."""
        count = 0
        for task in tasks:
            self.post_task(task)
            count += 1
        self.flush()
        return count

    def flush(self) -> None:
        """Waits until everything posted is on disk; raises the first refusal since the last flush."""
        self.backend.flush()

    def wait(self, root_uid: str, timeout: Optional[float] = None) -> Summary:
        """Waits until an analysis is done; counts of finished and crashed tasks."""
        summary: Summary = self.backend.wait(root_uid, timeout)
        return summary

    def tree(self, root_uid: str) -> Tree:
        """An analysis as it is now; prints as a tree, and shows itself in a notebook."""
        tree: Tree = self.backend.tree(root_uid)
        return tree

    def events(self, *topics: str) -> Events:
        """Subscribes to events whose topic begins so: ``"analysis."``, ``"log.error."`` (docs/events.md)."""
        events: Events = self.backend.events(*topics)
        return events

    def query(self, what: str, **arguments: Any) -> List[Dict[str, Any]]:
        """Asks the broker: ``query("queues")``, ``query("tasks", state="Crashed")`` (docs/protocol/verbs.md)."""
        rows: List[Dict[str, Any]] = self.backend.query(what, **arguments)
        return rows

    def _inherit(self, task: Task) -> Optional[InProcess]:
        """Makes the task what the bus will make of it (A3, A4)."""
        if not hasattr(self, "backend"):
            raise TypeError(f"{type(self).__name__}.__init__ does not call super().__init__()")
        if not isinstance(task, Task):
            raise TypeError(f"a Task is sent, not {type(task).__name__}")
        process = current_process()
        if process is not None and is_inherited(process) and self.backend is not process.backend:
            task.headers["origin"] = self.identity  # forked in process: an analysis of its own
            return None
        parent = get_current_task()
        if parent is not None:
            task.set_task_parent(parent)
            task.merge_persistent_payload(parent)
            task.merge_persistent_headers(parent)
            task.priority = parent.priority
        task.headers["origin"] = self.identity if process is None else process.identity
        if process is not None and process.delivery.cancelled is not None:
            raise ZkartonError(f"the task is no longer this worker's: {process.delivery.cancelled}", "CANCELLED")
        return process


class ServiceBase(KartonBase):
    """What loops."""

    _is_aborted = False  # by a second Ctrl-C

    def __init__(self, config: Optional[Config] = None, identity: Optional[str] = None, backend: Any = None) -> None:
        super().__init__(config=config, identity=identity, backend=backend)
        self.backend.keeps_early_logs = True
        self._shutdown = False
        self._set_up()

    def _set_up(self) -> None:
        self.setup_logger()

    @property
    def shutdown(self) -> bool:
        """Whether it was asked to end."""
        return self._shutdown

    def _on_stop(self, level: int) -> None:
        """Once for the first signal (1), and for a second Ctrl-C (2)."""

    def stop(self) -> None:
        """As the first SIGTERM: what is in process is finished, then the service ends. From any thread."""
        self._shutdown = True
        self._on_stop(1)

    @contextlib.contextmanager
    def graceful_killer(self) -> Iterator[None]:
        """SIGINT and SIGTERM stop; a second SIGINT aborts, a repeated SIGTERM is ignored (P10)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        had_interrupt = False

        def handler(number: int, _frame: Any) -> None:
            nonlocal had_interrupt
            if not self._shutdown:
                self.log.info("Got signal, shutting down...")
            self.stop()
            if number == signal.SIGINT:
                if had_interrupt:
                    self._is_aborted = True
                    self._on_stop(2)
                    raise HardShutdownInterrupt
                had_interrupt = True

        _signals.install(handler)
        try:
            yield
        except HardShutdownInterrupt:
            self.log.info("Hard shutting down!")
            raise
        finally:
            _signals.remove(self._shutdown)

    def loop(self) -> None:
        """Works until it is told to end."""
        raise NotImplementedError

    @StrictClassMethod
    def main(cls) -> None:  # noqa: N805 it is given the class
        """A whole program: arguments, configuration, loop; exits 2 for a wrong configuration, 3 without a broker."""
        _signals.is_program()
        try:
            service = cls.karton_from_args()
            if not hasattr(service, "backend"):
                raise ConfigError(f"{type(service).__name__}.__init__ does not call super().__init__()")
            service.loop()
        except HardShutdownInterrupt:
            sys.exit(130)
        except (ZkartonError, OSError) as error:
            print(f"{sys.argv[0]}: {error}", file=sys.stderr)
            sys.exit(EXIT_CODES.get(getattr(error, "code", ""), 2 if isinstance(error, OSError) else 1))


class Consumer(ServiceBase):
    """Takes tasks whose headers match ``filters``; ``process`` does the work.

    The docstring of the class is the description of its queue.
    """

    #: What it takes: a list of maps; the list is OR, a map is AND. [] or {} drains the queue (S18)
    filters: Any = []
    #: The queue stays when no worker is there
    persistent: bool = True
    #: Seconds that one task may take; 0: no limit, None: as configured
    task_timeout: Any = None
    #: Tasks processed at the same time, each on a thread
    concurrency: Optional[int] = None
    #: Most tasks held at once; None: by how quick they are
    prefetch: Optional[int] = None
    #: Children count only when their parent is Finished
    transactional: bool = False
    #: Takes the registered filters, whatever they are (T7)
    join: bool = False
    #: A helper process keeps the leases while C code holds the GIL
    guard: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        filters = cls.__dict__.get("filters")
        if filters is not None and filters is not Ellipsis and not isinstance(filters, property):
            query.check(filters)

    def __init__(self, config: Optional[Config] = None, identity: Optional[str] = None, backend: Any = None) -> None:
        super().__init__(config=config, identity=identity, backend=backend)
        if self.filters is None or self.filters is Ellipsis:
            raise ValueError("Cannot bind consumer on Empty binds")
        query.check(self.filters)
        self.persistent = bool(self.config.getboolean("karton", "persistent", self.persistent)) and not self.debug
        if self.task_timeout is None:
            self.task_timeout = self.config.getduration("karton", "task_timeout")
        self._pre_hooks: List[Tuple[Optional[str], Callable[[Task], None]]] = []
        self._post_hooks: List[Tuple[Optional[str], Callable[[Task, Optional[BaseException]], None]]] = []
        self._session: Optional[Session] = None

    def _set_up(self) -> None:
        if not self.identity:
            raise ConfigError("a consumer needs an identity")
        super()._set_up()

    def process(self, task: Task) -> Any:
        """Does the work. Returns: Finished. Raises: Crashed, and what was sent before stays sent (P4)."""
        raise NotImplementedError

    @property
    def is_cancelled(self) -> bool:
        """The task in process is no longer this worker's: what it does is for nothing."""
        process = current_process()
        return process is not None and process.delivery.cancelled is not None

    # ---- Hooks

    def add_pre_hook(self, callback: Callable[[Task], None], name: Optional[str] = None) -> None:
        """``callback(task)`` before each task; what it raises is logged and harms nothing."""
        self._pre_hooks.append((name, callback))

    def add_post_hook(self, callback: Callable[[Task, Optional[BaseException]], None],
                      name: Optional[str] = None) -> None:
        """``callback(task, exception or None)`` after each task; what it raises is logged and harms nothing."""
        self._post_hooks.append((name, callback))

    def _run_hooks(self, kind: str, hooks: List[Any], *args: Any) -> None:
        for name, callback in hooks:
            try:
                callback(*args)
            except BaseException:  # P9: sys.exit too
                if self._is_aborted:
                    raise
                self.log.exception("%s (%s) failed", kind, name) if name else self.log.exception("%s failed", kind)

    # ---- One task

    def internal_process(self, task: Task) -> None:
        """process with everything around it; the outcome is in ``task.status`` and ``task.error`` (P4)."""
        self._before_process(task)
        raised: Optional[BaseException] = None
        try:
            with time_limit(self.task_timeout):
                self.process(task)
        except BaseException as error:  # P6: whatever ends process before its end is no Finished
            raised = error
            if self._is_aborted and not isinstance(error, HardShutdownInterrupt):
                raised = HardShutdownInterrupt()  # whatever process made of the second Ctrl-C
                raised.__cause__ = error
        self._after_process(task, raised)

    #: What process may raise without ending the service.
    _CRASHES: ClassVar[Tuple[Type[BaseException], ...]] = (Exception, TaskTimeoutError, KeyboardInterrupt,
                                                           HardShutdownInterrupt)

    def _before_process(self, task: Task) -> None:
        say(self.log, "Received new task - %s", task.uid)
        self._run_hooks("Pre-hook", self._pre_hooks, task)

    def _after_process(self, task: Task, raised: Optional[BaseException]) -> None:
        self._run_hooks("Post-hook", self._post_hooks, task, raised)
        if raised is None:
            say(self.log, "Task done - %s", task.uid)
            task.status = TaskState.FINISHED
            return
        if isinstance(raised, GiveBack) or (self._is_aborted and isinstance(raised, HardShutdownInterrupt)):
            raise raised
        task.status = TaskState.CRASHED
        task.error = traceback.format_exception(type(raised), raised, _without_ours(raised))
        self.log.error("Failed to process task - %s", task.uid, exc_info=raised)
        if not isinstance(raised, self._CRASHES):
            raise raised  # sys.exit ends the service; the task is Crashed

    def _work_on(self, delivery: Delivery, session: Session) -> None:
        delivery.where = functools.partial(_place_of, threading.get_ident())
        session.begin(delivery)
        state, error, delay_ms = "Crashed", None, 0
        before = None
        try:
            try:
                task = self.backend.task_of(delivery)
            except Exception as damage:  # whatever is wrong with it, the next one may be well
                error = f"the task cannot be read: {damage!r}"
                self.log.error("Failed to process task - %s", error)
                return
            before = enter_process(InProcess(self.backend, delivery, task, session.options.identity))
            self.internal_process(task)
            state = task.status.value
        except GiveBack as back:
            state, delay_ms = "Returned", int(back.delay * 1000)
            self.log.info("Task given back - %s", delivery.uid.hex())
        except BaseException:
            if self._is_aborted:
                state = "Returned"
            raise
        finally:
            if before is not None:
                if state == "Crashed":
                    error = "".join(_current_error() or ["FAILED"])
                leave_process(before)
            session.finish(delivery, state, error, delay_ms)

    # ---- The loop

    def _int_option(self, value: Optional[int], name: str, most: int, fallback: int) -> int:
        if value is None:
            told = self.config.get("worker", name, fallback)
            if told == "auto":
                return 0
            try:
                value = int(told)
            except ValueError:
                raise ConfigError(f'[worker] {name}: "{told}" is no whole number') from None
        if not 0 <= value <= most:
            raise ConfigError(f"[worker] {name}: {value} is not between 0 and {most}")
        return value

    def _bind(self) -> Dict[str, Any]:
        bind = {"filters": self.filters, "persistent": self.persistent, "version": __version__, "is_async": False}
        if self.__doc__ and type(self).__doc__ != Consumer.__doc__:
            bind["info"] = type(self).__doc__
        if type(self).version is not None:
            bind["service_version"] = str(type(self).version)
        return bind

    def session_options(self) -> Options:
        """What its session is for."""
        if not self.identity:
            raise ConfigError("a consumer needs an identity")
        options: Options = self.backend.options("worker")
        options.join = self.join
        options.bind = None if self.join else self._bind()
        options.concurrency = max(self._int_option(self.concurrency, "concurrency", LIMITS["CONCURRENCY"], 1), 1)
        options.window = self._int_option(self.prefetch, "prefetch", LIMITS["CREDIT"], 0)
        options.transactional = self.transactional or self.config.getboolean("worker", "transactional", False)
        options.task_timeout_s = float(parse_duration(self.task_timeout)) if self.task_timeout else 0
        options.guard = self.guard
        return options

    def loop(self) -> None:
        """Registers, and works until it is told to end or its filters are replaced."""
        if not hasattr(self, "_post_hooks"):
            raise TypeError(f"{type(self).__name__}.__init__ does not call super().__init__()")
        self.log.info("Service %s started", self.identity)
        if self.task_timeout:
            self.log.info("Task timeout is set to %s seconds", self.task_timeout)
        for rule in self.filters:
            self.log.info("Binding on: %s", rule)
        with self.graceful_killer():  # from before the broker knows of it
            self._session = session = self.backend.open(self.session_options())
            _ready.tell_when_open(session)
            try:
                if self._shutdown:
                    session.stop(1)
                with self._watched(session):
                    self._run_slots(session)
                session.join()
            finally:
                session.close()
        if session.result is not None:
            raise session.result

    def _is_stuck(self, session: Session) -> bool:
        """Whether nothing can be done any more but to end the process: C code and ``except:`` hold every slot."""
        stuck, running = session.reports.stuck()
        return 0 < stuck == running and (self._shutdown or running >= session.options.concurrency)

    @contextlib.contextmanager
    def _watched(self, session: Session) -> Iterator[None]:
        """Ends the process once it is stuck, with 1. Its tasks were reported at their timeouts."""
        is_over = threading.Event()
        is_program = threading.current_thread() is threading.main_thread()

        def watch() -> None:
            while not is_over.wait(LOOK_S):
                if self._is_stuck(session):
                    self.log.error("Every slot is stuck behind the task timeout: the service ends")
                    session.close()
                    session.join(CLOSE_S)
                    if is_program:
                        os._exit(1)
                    return

        if session.options.task_timeout_s:
            threading.Thread(target=watch, name="zkarton-watch", daemon=True).start()
        try:
            yield
        finally:
            is_over.set()

    def _run_slots(self, session: Session) -> None:
        if session.options.concurrency == 1:
            self._run_slot(session)
            return
        threads = [threading.Thread(target=self._run_slot_thread, args=(session,), name=f"zkarton-slot-{index}",
                                    daemon=True) for index in range(session.options.concurrency)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run_slot(self, session: Session) -> None:
        while True:
            delivery = session.take()
            if delivery is None:
                return
            self._work_on(delivery, session)

    def _run_slot_thread(self, session: Session) -> None:
        try:
            self._run_slot(session)
        except BaseException:  # such as sys.exit in process: the service ends, as with one slot
            session.stop(1)

    def _on_stop(self, level: int) -> None:
        if self._session is not None:
            self._session.stop(level)

    # ---- Command line

    @classmethod
    def args_parser(cls) -> argparse.ArgumentParser:
        parser = super().args_parser()
        parser.add_argument("--non-persistent", action="store_const", const=False, dest="persistent",
                            help="Run service with non-persistent queue")
        parser.add_argument("--task-timeout", help="Limit task execution time")
        parser.add_argument("--concurrency", help="Tasks processed at the same time")
        parser.add_argument("--prefetch", help="Most tasks held at once")
        parser.add_argument("--transactional", action="store_const", const=True,
                            help="Children count only when their parent is Finished")
        return parser

    @classmethod
    def config_from_args(cls, config: Config, args: argparse.Namespace) -> None:
        super().config_from_args(config, args)
        config.load_from_dict({
            "karton": {"persistent": args.persistent, "task_timeout": args.task_timeout},
            "worker": {name: getattr(args, name, None) for name in ("concurrency", "prefetch", "transactional")},
        })


def _current_error() -> Optional[List[str]]:
    """The traceback of the task that is in process here."""
    task = get_current_task()
    return None if task is None else task.error


def _place_of(thread: int) -> str:
    """What process does on that thread, as the traceback of an exception says it. From any thread."""
    frame = sys._current_frames().get(thread)
    stack = traceback.extract_stack(frame) if frame is not None else []
    ours = [at for at, row in enumerate(stack) if row.filename == __file__ and row.name == "internal_process"]
    if not ours:
        return ""
    return "".join(["Traceback (most recent call last):\n", *traceback.format_list(stack[ours[-1] + 1:])])


def _without_ours(error: BaseException) -> Any:
    """The traceback without the frames of this module."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


class Karton(Consumer, Producer):
    """A consumer that sends tasks: the usual service."""

    def __init__(self, config: Optional[Config] = None, identity: Optional[str] = None, backend: Any = None) -> None:
        super().__init__(config=config, identity=identity, backend=backend)
        if self.config.getboolean("signaling", "status", False):
            self.log.info("Using status signaling")
            self.add_pre_hook(lambda task: self._signal("task_begin"), "task_begin")
            self.add_post_hook(lambda task, error: self._signal("task_end"), "task_end")

    def _signal(self, status: str) -> None:
        self.send_task(Task({"type": "karton.signaling.status", "status": status}))


class _Ended(Exception):
    """It was asked to end before the broker was there."""


class LogConsumer(ServiceBase):
    """Gets the log records of all services (P14).

    .. code-block:: python

        class Printer(LogConsumer):
            identity = "karton.log-printer"

            def process_log(self, event):
                print(event["levelname"], event["name"], event["message"])
    """

    #: Names of loggers, with wildcards; None: all
    logger_filter: Optional[str] = None
    #: Exactly this level, such as "ERROR"; None: all
    level: Optional[str] = None
    with_service_info = True

    def __init__(self, config: Optional[Config] = None, identity: Optional[str] = None, backend: Any = None) -> None:
        super().__init__(config=config, identity=identity, backend=backend)
        self._events: Optional[Events] = None

    def process_log(self, event: Dict[str, Any]) -> None:
        """Gets one record; ``event["task"]`` is the document of the task it belongs to, if it belongs to one."""
        raise NotImplementedError

    def _on_stop(self, level: int) -> None:
        if self._events is not None:
            self._events.stop()

    def loop(self) -> None:
        self.log.info("Logger %s started", self.identity)
        with self.graceful_killer():
            try:
                self.backend.session.wait_open(self.backend.connect_timeout, self._look)
                self._consume()
            except _Ended:
                pass
        self.close()

    def _look(self) -> None:
        if self._shutdown:
            raise _Ended

    def _consume(self) -> None:
        level = self.level.lower() if self.level else None
        with self.backend.events(f"log.{level}." if level else "log.") as events:
            self._events = events
            _ready.tell()
            while not self._shutdown:
                try:
                    topic, record = events.next()
                except ZkartonError:
                    continue
                name = topic.split(".", 2)[2]
                if self.logger_filter is None or fnmatch.fnmatchcase(name, self.logger_filter):
                    self._process_one(record)

    def _process_one(self, record: Dict[str, Any]) -> None:
        record.pop("seq", None)
        try:
            if isinstance(record.get("task"), str):
                record["task"] = json.loads(record["task"])
            self.process_log(record)
        except Exception:  # logged, it would come here again
            traceback.print_exc()


__all__ = ["Consumer", "GiveBack", "Karton", "LogConsumer", "Producer"]
