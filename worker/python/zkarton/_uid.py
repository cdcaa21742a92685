"""Random uids drawn in bulk: a system call for each would cost more than all else about a task."""
from __future__ import annotations

import os
from typing import List

_COUNT = 256
_pool: List[bytes] = []


def _fill() -> None:
    data = os.urandom(16 * _COUNT)
    _pool.extend(data[at:at + 16] for at in range(0, len(data), 16))


def new_uid() -> str:
    """A random UUID (version 4) as text."""
    try:
        data = _pool.pop()
    except IndexError:
        _fill()
        return new_uid()
    text = data.hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[data[8] & 3]}{text[17:20]}-{text[20:]}"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.clear)  # parent and child must not draw the same
