"""The Python client in tests: services as programs of their own, and the package on this interpreter's path.

With ZKT_INSTALLED it is the one that this interpreter has installed.
"""
import os
import signal
import subprocess
import sys
import textwrap
import unittest

from support.broker import DEADLINE_S, SOURCE, LineReader
from support.processes import Process

PACKAGE = os.path.join(SOURCE, "worker", "python")
IS_INSTALLED = bool(os.environ.get("ZKT_INSTALLED"))
if PACKAGE not in sys.path and not IS_INSTALLED:
    sys.path.insert(0, PACKAGE)


if sys.version_info < (3, 11):
    def enter_context(test, manager):
        entered = manager.__enter__()
        test.addCleanup(manager.__exit__, None, None, None)
        return entered

    unittest.TestCase.enterContext = enter_context


def environment(broker=None):
    env = dict(os.environ if broker is None else broker.environment)
    if not IS_INSTALLED:
        env["PYTHONPATH"] = PACKAGE
    env["PYTHONUNBUFFERED"] = "1"
    return env


class Program:
    """A Python program as a process; its stderr and stdout are read together."""

    def __init__(self, broker, source, *args, env=None):
        self.path = os.path.join(broker.dir, f"service_{os.urandom(4).hex()}.py")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(source))
        self.process = Process([sys.executable, self.path, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, cwd=broker.dir, start_new_session=True,
                               env=dict(environment(broker), **(env or {})))
        self.out = LineReader(self.process.stdout)

    @property
    def pid(self):
        return self.process.pid

    def wait_for(self, word, timeout_s=DEADLINE_S):
        return self.out.wait_for(word, timeout_s)

    def registered(self):
        self.wait_for("SESSION-OPENED")
        return self

    def signal(self, number):
        self.process.send_signal(number)

    def end(self, timeout_s=DEADLINE_S):
        """The exit status."""
        code = self.process.wait(timeout_s)
        self.out.drain()
        return code

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.end()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # also what it has forked
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdout.close()
