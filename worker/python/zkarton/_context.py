"""What is in process here: on this thread, in this asyncio task."""
from __future__ import annotations

import os
from contextvars import ContextVar
from typing import Any, NamedTuple, Optional, Tuple

from ._session import Delivery
from .task import Task, get_current_task, set_current_task


class InProcess(NamedTuple):
    """A task in process, and the way its children go."""

    backend: Any
    delivery: Delivery
    task: Task
    identity: str


_process: ContextVar[Optional[InProcess]] = ContextVar("zkarton_process", default=None)
Before = Tuple[Optional[InProcess], Optional[Task]]


def current_process() -> Optional[InProcess]:
    """What is in process here. After a fork in ``process`` it is still set, and its session refuses."""
    return _process.get()


_inherited: Optional[InProcess] = None  # what was in process where this process was forked


def is_inherited(process: InProcess) -> bool:
    """It is the parent's: this process was forked inside ``process``."""
    return process is _inherited


def _after_fork_in_child() -> None:
    global _inherited
    _inherited = _process.get()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def enter_process(process: InProcess) -> Before:
    """Sets it; what was before."""
    before = (_process.get(), get_current_task())
    _process.set(process)
    set_current_task(process.task)
    return before


def leave_process(before: Before) -> None:
    """Sets back."""
    _process.set(before[0])
    set_current_task(before[1])
