"""python -m zkarton.karton SERVICE [arguments]: starts an installed Karton service on zkarton."""
from __future__ import annotations

import argparse
import importlib
import os
import runpy
import sys
from importlib import metadata
from importlib.util import find_spec
from typing import Any, List, Optional

from ..__version__ import __version__
from ..exceptions import ZkartonError

EPILOG = """SERVICE is the command that starts the service today (karton-classifier), a module (karton.classifier), a
class (karton.classifier:Classifier) or a Python file (./service.py). Everything after it is given to the service.
karton.ini is read as before; it needs to say where the broker is: [zkarton] address, or KARTON_ZKARTON_ADDRESS."""


class UsageError(Exception):
    """The service cannot be found."""


def _commands() -> List[Any]:
    points: Any = metadata.entry_points()
    return list(points.select(group="console_scripts") if hasattr(points, "select") else points.get("console_scripts", []))


def _needs_karton(name: Optional[str]) -> bool:
    try:
        return any(need.lower().startswith("karton-core") for need in metadata.requires(name or "") or [])
    except metadata.PackageNotFoundError:
        return False


def _known() -> str:
    names = sorted({point.name for distribution in metadata.distributions() if _needs_karton(distribution.metadata["Name"])
                    for point in distribution.entry_points if point.group == "console_scripts"})
    return f" Installed here: {', '.join(names)}." if names else ""


def _is_python(path: str) -> bool:
    with open(path, "rb") as file:
        head = file.readline()
    return path.endswith(".py") or (head.startswith(b"#!") and b"python" in head)


def _run_class(name: str) -> Any:
    module_name, _, path = name.partition(":")
    found: Any = importlib.import_module(module_name)
    for part in path.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{module_name} has no {path}.")
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(f"{name} is no class and no function.")
    return getattr(found, "main", found)()


def _lacks_init(service: Any) -> bool:
    """Whether it is a service that its class has not set up. (Before Python 3.10 nobody tells.)"""
    base = sys.modules["karton.core.base"].KartonBase
    return isinstance(service, base) and "backend" not in vars(service)


def _module_exists(name: str) -> bool:
    try:
        return all(part.isidentifier() for part in name.split(".")) and find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def run(service: str) -> Any:
    """Starts what ``service`` names, with sys.argv as the service shall see it."""
    if os.path.isfile(service) and (os.sep in service or service.endswith(".py")):
        if not _is_python(service):
            raise UsageError(f"{service} is no Python program.")
        sys.path.insert(0, os.path.dirname(os.path.abspath(service)))
        runpy.run_path(service, run_name="__main__")
        return None
    sys.path.insert(0, os.getcwd())
    if ":" in service:
        return _run_class(service)
    for point in _commands():
        if point.name == service:
            return point.load()()
    beside = os.path.join(os.path.dirname(os.path.abspath(sys.executable)), service)
    if os.path.isfile(beside) and _is_python(beside):
        runpy.run_path(beside, run_name="__main__")
        return None
    if _module_exists(service):
        runpy.run_module(service, run_name="__main__", alter_sys=True)
        return None
    raise UsageError(f'"{service}" is no command, module or file of this environment ({sys.prefix}).{_known()}')


def main(arguments: Optional[List[str]] = None) -> Any:
    """The command line; what it returns is the exit code."""
    parser = argparse.ArgumentParser(prog="zkarton-karton", description=__doc__, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--address", help="of the broker, in place of [zkarton] address")
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the service")
    options = parser.parse_args(arguments)
    if options.address:
        os.environ["KARTON_ZKARTON_ADDRESS"] = options.address
    from ._errors import NotServedError
    from ._install import install

    try:
        install()
    except ImportError as error:
        sys.exit(f"zkarton-karton: {error}")
    sys.argv = [options.service, *options.arguments]
    try:
        return run(options.service)
    except UsageError as error:
        sys.exit(f"zkarton-karton: {error}")
    except AttributeError as error:
        if not _lacks_init(getattr(error, "obj", None)):
            raise
        name = type(getattr(error, "obj", None)).__name__
        sys.exit(f"zkarton-karton: {options.service}: {name}.__init__ does not call super().__init__()")
    except (ZkartonError, NotServedError) as error:
        sys.exit(f"zkarton-karton: {options.service}: {error}")
