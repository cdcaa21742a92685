"""What every service has: configuration, identity, logger, session."""
from __future__ import annotations

import argparse
import functools
import os
import textwrap
from typing import Any, Callable, Optional, Type, TypeVar

from . import _absent
from ._bus import Bus
from ._logging import LINE_FORMAT, BusLogHandler, LoggingMixin, note_to
from ._tables import LIMITS
from .config import Config
from .exceptions import InvalidIdentityError
from .task import Task, get_current_task, set_current_task

T = TypeVar("T")


class StrictClassMethod:
    """A class method that refuses to be called on an instance (P12)."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        functools.update_wrapper(self, function)  # type: ignore[arg-type]

    def __get__(self, instance: Any, owner: Type[Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if instance is not None:
                raise TypeError("This method can be called only on class, not on an instance")
            return self._function(owner, *args, **kwargs)
        return functools.wraps(self._function)(call)


def _is_printed(letter: str) -> bool:
    return ord(letter) >= 32 and ord(letter) != 127


def check_identity(identity: str) -> None:
    """InvalidIdentityError that says what would be right."""
    bad = next((letter for letter in identity if letter in " ?" or not _is_printed(letter)), None)
    if bad is not None:
        what = 'space and "?"' if bad in " ?" else "control characters"
        shown = "".join(letter if _is_printed(letter) else repr(letter)[1:-1] for letter in identity)
        good = "".join(letter for letter in identity.replace(" ", ".").replace("?", "") if _is_printed(letter))
        raise InvalidIdentityError(f'identity "{shown}": {what} are not allowed.' + (f" Write {good}" if good else ""))
    try:
        size = len(identity.encode())
    except UnicodeEncodeError:
        raise InvalidIdentityError("the identity is not Unicode") from None
    if size > LIMITS["IDENTITY_BYTES"]:
        raise InvalidIdentityError(f"the identity has {size} bytes, at most {LIMITS['IDENTITY_BYTES']} are allowed")


class KartonBase(LoggingMixin):
    """The base of all services.

    :param config: the usual search if it is not given
    :param identity: over the class's; ``[karton] identity`` is over both
    :param backend: in place of the bus; for tests
    """

    #: Name of the service
    identity: str = ""
    #: Version of the service
    version: Optional[str] = None
    #: As in Karton; presence is the session's here
    with_service_info: bool = False

    def __init__(self, config: Optional[Config] = None, identity: Optional[str] = None, backend: Any = None) -> None:
        self.config = config or Config()
        self.enable_publish_log = self.config.getboolean("logging", "enable_publish", True)
        if identity is not None:
            self.identity = identity
        if self.config.has_option("karton", "identity"):
            self.identity = self.config.get("karton", "identity")
        self.debug = self.config.getboolean("karton", "debug", False)
        if self.debug and self.identity:
            self.identity += "-" + os.urandom(4).hex() + "-dev"  # S26: a queue of its own
        check_identity(self.identity or "")
        self.backend: Any = backend or Bus(self.config, self.identity, note_to(self.log),
                                           self.config.getduration("karton", "connect_timeout"))
        self._log_handler = BusLogHandler(self.backend)
        self._log_format = LINE_FORMAT

    @property
    def current_task(self) -> Optional[Task]:
        """The task that is in process here."""
        return get_current_task()

    @current_task.setter
    def current_task(self, task: Optional[Task]) -> None:
        set_current_task(task)

    def close(self) -> None:
        """Ends the session with the broker; sending after it raises SessionClosedError."""
        self.backend.close()

    def __enter__(self: T) -> T:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    # ---- Command line

    @classmethod
    def args_description(cls) -> str:
        """One line for ``--help``."""
        return textwrap.dedent(cls.__doc__).strip().splitlines()[0] if cls.__doc__ else ""

    @classmethod
    def args_parser(cls) -> argparse.ArgumentParser:
        """The parser of ``main()``. Override it, and call this one, for options of your own."""
        parser = argparse.ArgumentParser(description=cls.args_description())
        parser.add_argument("--version", action="version", version=str(cls.version))
        parser.add_argument("--config-file", help="Alternative configuration path")
        parser.add_argument("--broker", help="Address of the broker, tcp://HOST:PORT")
        parser.add_argument("--connect-timeout", help="Give up when no broker answers within this time, such as 30s")
        parser.add_argument("--identity", help="Alternative identity for Karton service")
        parser.add_argument("--log-level", help="Logging level of Karton logger")
        parser.add_argument("--debug", help="Enable debugging mode", action="store_true", default=None)
        return parser

    @classmethod
    def config_from_args(cls, config: Config, args: argparse.Namespace) -> None:
        """Brings the arguments into the configuration. Override it, and call this one, for options of your own."""
        config.load_from_dict({
            "broker": {"address": getattr(args, "broker", None)},
            "karton": {"identity": args.identity, "debug": args.debug,
                       "connect_timeout": getattr(args, "connect_timeout", None)},
            "logging": {"level": args.log_level},
        })

    @classmethod
    def karton_from_args(cls: Type[T], args: Optional[argparse.Namespace] = None) -> T:
        """An instance configured by files and arguments."""
        given: argparse.Namespace = cls.args_parser().parse_args() if args is None else args  # type: ignore
        config = Config(path=given.config_file)
        cls.config_from_args(config, given)  # type: ignore
        return cls(config=config)  # type: ignore[call-arg]


def __getattr__(name: str) -> Any:
    if name == "KartonServiceBase":  # service.py is built on this module
        from .service import ServiceBase
        return ServiceBase
    return _absent.getter(__name__)(name)
