"""Small helpers, under karton-core's names."""
from __future__ import annotations

import itertools
from typing import Any, Iterator, Sequence, TypeVar

from . import _absent
from ._limit import time_limit as timeout
from .base import StrictClassMethod
from .task import leaves as recursive_iter_with_keys, mapped as recursive_map

T = TypeVar("T")
__getattr__ = _absent.getter(__name__)

__all__ = ["StrictClassMethod", "chunks", "chunks_iter", "recursive_iter", "recursive_iter_with_keys", "recursive_map",
           "timeout"]


def chunks(seq: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Pieces of at most ``size``."""
    for at in range(0, len(seq), size):
        yield seq[at:at + size]


def chunks_iter(seq: Iterator[T], size: int) -> Iterator[Sequence[T]]:
    """As chunks, of what can only be iterated."""
    source = iter(seq)
    while True:
        piece = list(itertools.islice(source, size))
        if not piece:
            return
        yield piece


def recursive_iter(obj: Any) -> Iterator[Any]:
    """Every leaf of nested lists and dicts."""
    for _, leaf in recursive_iter_with_keys(obj):
        yield leaf
