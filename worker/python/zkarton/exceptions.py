"""What can go wrong, by name.

Errors of the bus are :class:`ZkartonError` with the code of the protocol; the three names of ``karton.core.exceptions``
are here too.
"""
from __future__ import annotations

from typing import Dict, Type

from ._tables import ERRORS, RETRYABLE


class ZkartonError(Exception):
    """The broker refused something, or could not be reached. ``code`` is the name of docs/protocol/errors.md."""

    code = "FAILED"

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        if code:
            self.code = code

    @property
    def is_retryable(self) -> bool:
        """The same call may succeed later."""
        return self.code in RETRYABLE

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


class UnreachableError(ZkartonError):
    """Nobody answers at the broker's address."""

    code = "UNREACHABLE"


class AnswerTimeoutError(ZkartonError, TimeoutError):
    """The broker did not answer in time."""

    code = "TIMEOUT"


class VersionError(ZkartonError):
    """Client and broker speak different versions of the protocol."""

    code = "VERSION_UNSUPPORTED"


class TooLargeError(ZkartonError, ValueError):
    """Over a limit of the protocol. Large data travels as a resource."""

    code = "TOO_LARGE"


class LeaseLostError(ZkartonError):
    """The task is no longer this worker's: another one has it."""

    code = "LEASE_LOST"


class SessionClosedError(ZkartonError):
    """The session was closed, or belongs to the process this one was forked from."""

    code = "CANCELLED"


class FilterError(ZkartonError, ValueError):
    """A clause of the filters could never be evaluated; the message names it."""

    code = "FILTER_INVALID"


class ConfigError(ZkartonError, ValueError):
    """A configuration file or option is wrong; the message names it."""

    code = "CONFIG_INVALID"


class InvalidIdentityError(ZkartonError, ValueError):
    """The identity has a character that is not allowed, is too long, or empty."""

    code = "IDENTITY_INVALID"


class TaskTimeoutError(BaseException):
    """The task took longer than ``task_timeout``. No ``except Exception`` swallows it (P5)."""


class HardShutdownInterrupt(BaseException):
    """The second Ctrl-C: the task goes back to its queue, the service ends (P10)."""


_CLASSES: Dict[str, Type[ZkartonError]] = {
    kind.code: kind
    for kind in (UnreachableError, AnswerTimeoutError, VersionError, TooLargeError, LeaseLostError, SessionClosedError,
                 FilterError, ConfigError, InvalidIdentityError)
}


def error_of(code: object, message: str) -> ZkartonError:
    """The exception for a code of the protocol, its number or its name."""
    name = ERRORS.get(code, f"error {code}") if isinstance(code, int) else str(code)
    return _CLASSES.get(name, ZkartonError)(message, name)
