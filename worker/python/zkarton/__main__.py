"""``python -m zkarton``: runs services, matches filters.

    python -m zkarton run module:Class [--workers N] [options of the class]
    python -m zkarton match --jsonl
"""
from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional

from . import _ready, query
from .__version__ import __version__
from .exceptions import ZkartonError

RESTART_PAUSE_S = 1.0


def load(name: str) -> Any:
    """The class that ``module:Class`` names; ``module`` alone: the one service defined in it."""
    module_name, _, class_name = name.partition(":")
    sys.path.insert(0, os.getcwd())
    if module_name.endswith(".py"):
        folder, file = os.path.split(module_name)
        sys.path.insert(0, os.path.abspath(folder or "."))
        module_name = file[:-3]
    module = importlib.import_module(module_name)
    if class_name:
        found = module
        for part in class_name.split("."):
            if not hasattr(found, part):
                raise ValueError(f"{module_name} has no {class_name}")
            found = getattr(found, part)
        if not _is_service(found):
            raise ValueError(f"{class_name} is no service: a class of Karton, Consumer or LogConsumer is needed")
        return found
    services = [value for value in vars(module).values() if _is_service(value) and value.__module__ == module.__name__]
    if len(services) != 1:
        names = ", ".join(f"{module_name}:{service.__name__}" for service in services) or "none"
        raise ValueError(f"{module_name} has {len(services)} services ({names}); name one")
    return services[0]


def _is_service(value: Any) -> bool:
    return inspect.isclass(value) and hasattr(value, "loop") and hasattr(value, "main")


class Workers:
    """Several processes of one service: one that dies is started anew, and all end together.

    Not started anew is what would end again: a wrong configuration (2), no broker (3), no permission (4), and whoever
    dies before he was registered, as long as none has been.
    """

    PERMANENT = (2, 3, 4)

    def __init__(self, arguments: List[str], count: int) -> None:
        self.arguments = arguments
        self.count = count
        self.processes: Dict[int, subprocess.Popen[bytes]] = {}
        self.is_stopping = False
        self.ready, self._tells_ready = os.pipe()
        os.set_blocking(self.ready, False)
        self.was_registered = False

    def _start(self) -> None:
        command = [sys.executable, "-m", "zkarton", "run", "--ready-fd", str(self._tells_ready), *self.arguments]
        process = subprocess.Popen(command, start_new_session=True, pass_fds=[self._tells_ready])
        self.processes[process.pid] = process

    def _is_worth_another(self, code: int) -> bool:
        try:
            self.was_registered = bool(os.read(self.ready, 1 << 16)) or self.was_registered
        except BlockingIOError:
            pass
        return code not in self.PERMANENT and self.was_registered

    def stop(self, number: int, _frame: Any) -> None:
        """Passes the signal on."""
        self.is_stopping = True
        for process in self.processes.values():
            process.send_signal(number)

    def run(self) -> int:
        """Until all have ended: 0 if all ended well, else the last bad exit status."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.stop)
        for _ in range(self.count):
            self._start()
        status = 0
        while self.processes:
            try:
                pid, waited = os.waitpid(-1, 0)
            except ChildProcessError:
                break
            process = self.processes.pop(pid, None)
            if process is None:
                continue
            code = os.waitstatus_to_exitcode(waited)
            process.returncode = code
            if code == 0 or self.is_stopping or not self._is_worth_another(code):
                status = code if code > 0 else status if code == 0 else 128 - code
                continue
            print(f"zkarton: worker {pid} ended with {code}; starting another", file=sys.stderr)
            time.sleep(RESTART_PAUSE_S)
            if not self.is_stopping:
                self._start()
        return status


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a whole number, at least 1")
    return int(text)


def run(name: str, workers: int, rest: List[str], ready_fd: Optional[int] = None) -> int:
    """One service, in this process or in several."""
    if workers > 1:
        return Workers([name, *rest], workers).run()
    if ready_fd is not None:
        _ready.will_tell(ready_fd)
    try:
        service = load(name)
    except (ImportError, ValueError) as error:
        print(f"zkarton: {name}: {error}", file=sys.stderr)
        return 2
    sys.argv = [name, *rest]
    service.main()
    return 0


def match() -> int:
    """Lines ``{"filters": …, "headers": …}`` to lines ``{"match": …}`` or ``{"error": …}``."""
    for line in sys.stdin:
        try:
            asked = json.loads(line)
            query.check(asked["filters"])
            answer: Dict[str, Any] = {"match": query.convert(asked["filters"]).match(asked["headers"])}
        except (ZkartonError, ValueError, KeyError, TypeError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer))
    return 0


def main(arguments: Optional[List[str]] = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m zkarton", description="zkarton for Python")
    parser.add_argument("--version", action="version", version=f"zkarton {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="run a service", description="Options after the name are the service's.")
    running.add_argument("--workers", type=_count, default=1, help="processes")
    running.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    running.add_argument("service", help="module:Class, or a file.py with one service in it")
    running.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    matching = commands.add_parser("match", help="match headers with filters, offline")
    matching.add_argument("--jsonl", action="store_true", required=True)
    options = parser.parse_args(arguments)
    if options.command == "match":
        return match()
    rest = list(options.rest)
    # --workers may also stand behind the name, as in `run module:Class --workers 4`.
    behind = argparse.ArgumentParser(prog=running.prog, add_help=False, allow_abbrev=False)
    behind.add_argument("--workers", type=_count, default=options.workers)
    known, rest = behind.parse_known_args(rest)
    return run(options.service, known.workers, rest, options.ready_fd)


if __name__ == "__main__":
    sys.exit(main())
