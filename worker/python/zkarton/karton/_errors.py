"""What the look-alike of Karton's backend cannot do says so, and what to use instead."""
from __future__ import annotations


class NotServedError(NotImplementedError):
    """A call of karton-core's backend that has no counterpart on zkarton."""

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"{what} is not served on zkarton: {instead}")
