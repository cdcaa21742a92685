"""The task timeout (P5): TaskTimeoutError is raised inside ``process``, and no ``except Exception`` swallows it."""
from __future__ import annotations

import contextlib
import ctypes
import signal
import threading
from typing import Any, Iterator

from .config import parse_duration
from .exceptions import TaskTimeoutError

AGAIN_S = 5.0  # whoever swallows it with a bare except hears it again


@contextlib.contextmanager
def time_limit(limit: Any) -> Iterator[None]:
    """0 and None: no limit."""
    seconds = parse_duration(limit) if limit else 0
    if not seconds:
        yield
    elif threading.current_thread() is threading.main_thread():
        with _by_alarm(seconds):
            yield
    else:
        with _by_timer(seconds):
            yield


@contextlib.contextmanager
def _by_alarm(seconds: float) -> Iterator[None]:
    is_armed = True

    def handler(_number: int, _frame: Any) -> None:
        if is_armed:
            raise TaskTimeoutError

    old = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)
        yield
    finally:
        is_armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@contextlib.contextmanager
def _by_timer(seconds: float) -> Iterator[None]:
    """A thread cannot have an alarm: the exception is set from outside, between two of its instructions."""
    ident = threading.get_ident()
    lock = threading.Lock()
    is_over = threading.Event()

    def raise_there() -> None:
        wait_s = seconds
        while not is_over.wait(wait_s):
            wait_s = AGAIN_S
            with lock:
                if not is_over.is_set():
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(TaskTimeoutError))

    thread = threading.Thread(target=raise_there, name="zkarton-timeout", daemon=True)
    thread.start()
    try:
        yield
    finally:
        with lock:
            is_over.set()
