"""What puts log records on the bus, under karton-core's names."""
from .. import _absent
from .._logging import BusLogHandler as KartonAsyncLogHandler, TaskContextFilter

__all__ = ["KartonAsyncLogHandler", "TaskContextFilter"]

__getattr__ = _absent.getter(__name__)
