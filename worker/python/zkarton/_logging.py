"""Logging: Karton's records through the standard ``logging`` module (parity B "log record", S13-S15)."""
from __future__ import annotations

import logging
import os
import platform
import sys
import threading
import time
import traceback
from typing import Any, Callable, Dict, Optional, Tuple



from . import _msgpack as msgpack, _values
from ._tables import LIMITS
from .exceptions import ConfigError
from .resource import ResourceBase
from .task import get_current_task

HOSTNAME = platform.node()
LINE_FORMAT = "[%(asctime)s][%(levelname)s] %(message)s"
ASYNC_LINE_FORMAT = "[%(asctime)s][%(levelname)s][%(task_id)s] %(message)s"
_PLAIN = logging.Formatter()
RECORD_BYTES_MAX = LIMITS["LOG_RECORD_BYTES"]
_IGNORED = frozenset(("args", "asctime", "msecs", "msg", "pathname", "process", "processName", "relativeCreated",
                      "exc_info", "exc_text", "stack_info", "thread", "threadName"))


class TaskContextFilter(logging.Filter):
    """Adds ``task_id`` to every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        task = get_current_task()
        record.task_id = "(no task)" if task is None else task.task_uid
        return True


class BusLogHandler(logging.Handler):
    """Publishes records on the bus."""

    def __init__(self, backend: Any) -> None:
        super().__init__()
        self._backend = backend
        self.addFilter(TaskContextFilter())

    def prepare_log_line(self, record: logging.LogRecord) -> Dict[str, Any]:
        """The record as Karton publishes it."""
        line = {key: value for key, value in record.__dict__.items() if key not in _IGNORED}
        if record.exc_info:
            line["excText"] = logging.Formatter().formatException(record.exc_info)
            line["excValue"] = _shown(record.exc_info[1], str)
            line["excTraceback"] = traceback.format_exception(*record.exc_info)
            if record.exc_info[0]:
                line["excType"] = record.exc_info[0].__name__
        line["type"] = "log"
        # As the default formatter says it, which does no more for a record without an exception.
        line["message"] = self.format(record) if record.exc_info or record.stack_info or self.formatter is not _PLAIN \
            else record.getMessage()
        task = get_current_task()
        if task is not None:
            line["task"] = _document_of(task)
        line["hostname"] = HOSTNAME
        return line

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._backend.log(pack_record(self.prepare_log_line(record)))
        except Exception:
            self.handleError(record)


_last_document: Tuple[bytes, str] = (b"", "")


def _document_of(task: Any) -> str:
    """The document of the task, made anew only when something of it has changed: packing it is a tenth of the work."""
    global _last_document
    try:
        mark = msgpack.packb((task.uid, task.status.value, task.last_update, task.headers, task.payload,
                              task.payload_persistent, task.error), default=_mark_of)
    except Exception:  # what cannot be marked is made each time
        return str(task.serialize())
    last = _last_document
    if last[0] != mark:
        last = _last_document = (mark, task.serialize())
    return last[1]


def _mark_of(value: Any) -> str:
    return f"{value.uid} {value.name} {value.size} {value.metadata}" if isinstance(value, ResourceBase) else str(value)


class LineFormatter(logging.Formatter):
    """Formats the second once, not for each record."""

    _second = -1
    _text = ""

    def formatTime(self, record: logging.LogRecord, datefmt: Optional[str] = None) -> str:
        second = int(record.created)
        if second != self._second:
            self._text = time.strftime(self.default_time_format, time.localtime(second))
            self._second = second
        return f"{self._text},{int(record.msecs):03d}"


def pack_record(line: Dict[str, Any]) -> bytes:
    """A record for LOG: what cannot be sent is shown by its repr, what is too large is cut."""
    try:
        packed = msgpack.packb(line)
    except (TypeError, ValueError, OverflowError):
        packed = msgpack.packb(_loggable(line))
    if len(packed) <= RECORD_BYTES_MAX:
        return packed
    line.pop("task", None)
    most = RECORD_BYTES_MAX // 16
    cut = {key: value[:most] + "…" if isinstance(value, str) and len(value) > most else value
           for key, value in line.items() if key not in ("excTraceback",)}
    packed = msgpack.packb(_loggable(cut))
    return packed if len(packed) <= RECORD_BYTES_MAX else msgpack.packb(
        {key: _loggable(cut.get(key)) for key in ("name", "levelname", "levelno", "created", "message", "type", "task_id")})


def _loggable(value: Any, depth: int = 0) -> Any:
    if depth > 32:
        return "…"
    if isinstance(value, dict):
        return {_values.normal(str(key)): _loggable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_loggable(item, depth + 1) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return _values.normal(value)
    return _values.normal(_shown(value, repr))


def _shown(value: Any, how: Callable[[Any], str]) -> str:
    """A record is not lost for a value that cannot be shown."""
    try:
        return how(value)
    except Exception:
        return f"<unprintable {type(value).__name__}>"


class LoggingMixin:
    """``log``, and how it is set up."""

    config: Any
    identity: str
    debug: bool
    enable_publish_log: bool
    _log_handler: logging.Handler
    _log_format: str = LINE_FORMAT

    def setup_logger(self, level: Any = None) -> None:
        """Lines to stderr, records to the bus.

        Called when a service starts; a producer that wants it calls it itself.

        :param level: a name or a number; [logging] level if it is not given
        """
        if level is None:
            level = self.config.get("logging", "level", logging.INFO)
        given = level
        if isinstance(level, str):
            level = int(level) if level.isdigit() else level.upper()
        if isinstance(level, str) and not isinstance(logging.getLevelName(level), int):
            raise ConfigError(f'[logging] level: "{given}" is no level; write DEBUG, INFO, WARNING, ERROR, CRITICAL or a '
                              "number")
        if not self.identity:
            raise ValueError("Can't setup logger without identity")
        self._log_handler.setFormatter(_PLAIN)
        logger = logging.getLogger(self.identity)
        logger.handlers.clear()
        logger.propagate = False
        logger.setLevel(level)
        stream = logging.StreamHandler()
        stream.setFormatter(LineFormatter(self._log_format))
        stream.addFilter(TaskContextFilter())
        logger.addHandler(stream)
        if not self.debug and self.enable_publish_log:
            logger.addHandler(self._log_handler)

    @property
    def log_handler(self) -> logging.Handler:
        """Publishes the records of any logger that it is added to."""
        return self._log_handler

    @property
    def log(self) -> logging.Logger:
        """The service's logger; elsewhere ``logging.getLogger(identity)``."""
        logger: Optional[logging.Logger] = self.__dict__.get("_logger")
        if logger is None or logger.name != self.identity:
            logger = self.__dict__["_logger"] = logging.getLogger(self.identity)
        return logger


def say(logger: logging.Logger, message: str, argument: Any) -> None:
    """``logger.info(message, argument)`` for what is said of every task: where it was said is known beforehand."""
    if not logger.isEnabledFor(logging.INFO):
        return
    if logging.getLogRecordFactory() is not logging.LogRecord:
        logger.info(message, argument)
        return
    record = logging.LogRecord.__new__(logging.LogRecord)
    record.__dict__.update(_SAID)
    now = time.time()
    record.name = logger.name
    record.msg = message
    record.args = (argument,)
    record.created = now
    record.msecs = int((now - int(now)) * 1000) + 0.0
    thread = threading.current_thread()
    record.thread = thread.ident
    record.threadName = thread.name
    record.process = os.getpid()
    logger.handle(record)


_SAID: Dict[str, Any] = logging.LogRecord("", logging.INFO, os.path.join(os.path.dirname(__file__), "service.py"), 0, "",
                                          (), None, "internal_process").__dict__


def note_to(logger: logging.Logger) -> Any:
    """How the I/O thread tells what became of the session: on the service's stderr, not on the bus."""
    shown = logging.getLogger("zkarton.session")

    def note(level: str, note_id: str, text: str) -> None:
        number = logging.getLevelName(level)
        if not logger.isEnabledFor(number) and logger.handlers:
            return
        stream: Optional[logging.Handler] = next(
            (handler for handler in logger.handlers if isinstance(handler, logging.StreamHandler)), None)
        record = shown.makeRecord(shown.name, number, "", 0, "%s %s", (note_id, text), None)
        if stream is not None:
            stream.handle(record)
        elif shown.isEnabledFor(number):
            shown.handle(record)
        if sys.is_finalizing():
            return
    return note
