"""karton-core's ``karton.core.main`` has no counterpart here: each name says what to use instead."""
from __future__ import annotations

from . import _absent

__getattr__ = _absent.getter(__name__)
