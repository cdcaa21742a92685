"""Calls that may take long, from an event loop."""
from __future__ import annotations

import asyncio
import threading
from typing import Any, Callable, TypeVar

from . import _transfer

T = TypeVar("T")


async def on_a_thread(function: Callable[..., T], *args: Any) -> T:
    """As asyncio.to_thread; a transfer in it stops waiting for the object store when this is cancelled."""
    given_up = threading.Event()
    before = _transfer.given_up.set(given_up)
    try:
        return await asyncio.to_thread(function, *args)
    except asyncio.CancelledError:
        given_up.set()
        raise
    finally:
        _transfer.given_up.reset(before)
