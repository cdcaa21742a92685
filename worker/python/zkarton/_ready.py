"""A worker of ``run --workers`` tells the one that started it that it is registered."""
from __future__ import annotations

import os
from typing import Optional

from ._session import Question, Session

_fd: Optional[int] = None


def will_tell(fd: int) -> None:
    """Where a byte goes once this process is registered."""
    global _fd
    os.set_inheritable(fd, False)
    _fd = fd


def tell() -> None:
    """It is registered. Once."""
    global _fd
    fd, _fd = _fd, None
    if fd is not None:
        os.write(fd, b"!")
        os.close(fd)


def tell_when_open(session: Session) -> None:
    """As tell, as soon as the broker knows the session."""
    if _fd is not None:
        question = Question("HELLO", {})
        question.callback = _opened
        session.ask_later(question)


def _opened(question: Question) -> None:
    if question.error is None:
        tell()
