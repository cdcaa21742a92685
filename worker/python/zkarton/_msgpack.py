"""The three names of msgpack that are used, with types: it has none of its own."""
from __future__ import annotations

from typing import Any, Callable

import msgpack  # type: ignore[import-untyped,unused-ignore]

_any: Any = msgpack
packb: Callable[..., bytes] = _any.packb
unpackb: Callable[..., Any] = _any.unpackb
ExtType: Any = _any.ExtType

__all__ = ["ExtType", "packb", "unpackb"]
