"""Signal handlers of a service, and that no child inherits them.

A forked child with the handlers of its parent would not end by SIGTERM: ``multiprocessing.Pool`` would wait for it for
ever, and with asyncio the parent would take the child's signal for its own.
"""
from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import Any, Callable, Dict, Iterator

NUMBERS = (signal.SIGINT, signal.SIGTERM)
_before: Dict[int, Any] = {}
_is_program = False


def install(handler: Callable[[int, Any], None]) -> None:
    """Sets it for SIGINT and SIGTERM. In the main thread."""
    for number in NUMBERS:
        _before.setdefault(number, signal.signal(number, handler))


def remember() -> None:
    """For handlers that somebody else installs, such as an event loop: what a child goes back to."""
    for number in NUMBERS:
        _before.setdefault(number, signal.getsignal(number))


def remove(is_terminated: bool = False) -> None:
    """Back to what was before. But a program that was told to end is not killed by being told again (P10)."""
    for number, handler in _before.items():
        if number == signal.SIGTERM and is_terminated and _is_program:
            signal.signal(number, signal.SIG_IGN)
        elif handler is not None:
            signal.signal(number, handler)
    _before.clear()


def is_program() -> None:
    """The process ends with the service."""
    global _is_program
    _is_program = True


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """They wait."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


# A signal that comes to a child before its handlers are back would be taken by ours, and lost: it has to wait.
_masks: Dict[int, Any] = {}  # by thread


def _before_fork() -> None:
    if _before:
        _masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)


def _unblock() -> None:
    mask = _masks.pop(threading.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _after_fork_in_child() -> None:
    if _before:
        signal.set_wakeup_fd(-1)
        remove()
    _unblock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_unblock, after_in_child=_after_fork_in_child)
