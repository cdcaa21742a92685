"""The base of the classes for asyncio, under karton-core's name."""
from .. import _absent
from .service import Closing as KartonAsyncBase

__all__ = ["KartonAsyncBase"]

__getattr__ = _absent.getter(__name__)
