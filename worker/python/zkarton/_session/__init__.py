"""The session with the broker, on a thread of its own: HELLO and resuming, heartbeats, SUBMIT in order, deliveries and
their reports, questions, logs. It is libzkarton's (worker/c/io_thread.h) in Python and keeps the same promises.

Of the package for the package: ``Session`` and ``Options`` are what the classes above it are built on.
"""
from .delivery import Delivery, Question, Receipt
from .session import Options, Session

__all__ = ["Delivery", "Options", "Question", "Receipt", "Session"]
