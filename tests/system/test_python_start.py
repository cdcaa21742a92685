"""How Python services begin and fail to: `run`, its workers, arguments and classes that are wrong (P12)."""
import os
import re
import signal
import subprocess
import sys
import textwrap
import unittest

from support.broker import DEADLINE_S, Broker
from support.python_client import Program, environment

import zkarton
import zkarton.test

RUN = "import sys, zkarton.__main__\nsys.exit(zkarton.__main__.main())"
SERVICES = """
    import os, sys
    from zkarton import Consumer, Karton, Task
    from zkarton.asyncio import Karton as AsyncKarton
    class Good(Karton):
        identity = "start.good"
        filters = [{"type": "start"}]
        def process(self, task):
            os._exit(9)
    class Async(AsyncKarton):
        identity = "start.async"
        filters = [{"type": "start.async"}]
        async def process(self, task):
            os._exit(9)
    class Nameless(Karton):
        filters = [{}]
    class Bare(Good):
        def __init__(self, *args, **kwargs):
            pass
    class Dies(Good):
        def __init__(self, *args, **kwargs):
            os._exit(7)
    class NotK:
        pass
    def f():
        pass
"""


class StartTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker({"broker": {"heartbeat": "100ms", "expiry": "1s"}})
        cls.broker.__enter__()
        cls.addClassCleanup(cls.broker.__exit__)
        with open(os.path.join(cls.broker.dir, "services.py"), "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(SERVICES))

    def refused(self, code, pattern, *arguments, env=None, module="zkarton"):
        """It ends with the status and one sentence."""
        out = subprocess.run([sys.executable, "-m", module, *arguments], cwd=self.broker.dir, timeout=DEADLINE_S,
                             env=dict(environment(self.broker), **(env or {})), capture_output=True, text=True, check=False)
        self.assertEqual(out.returncode, code, out.stderr)
        self.assertNotIn("Traceback", out.stderr)
        self.assertRegex(out.stderr, pattern)

    # ---- Sentences

    def test_what_is_no_service(self):
        for name in ("NotK", "f", "os", "Missing"):
            self.refused(2, f"services:{name}.*(no service|has no)", "run", f"services:{name}")

    def test_log_level(self):
        for options in (["--log-level", "nonsense"], []):
            self.refused(2, r'\[logging\] level: "nonsense".*CONFIG_INVALID', "run", "services:Good", *options,
                         env={} if options else {"KARTON_LOGGING_LEVEL": "nonsense"})

    def test_count_of_workers(self):
        for count in ("0", "-1", "x"):
            for arguments in (["run", "--workers", count, "services:Good"], ["run", "services:Good", "--workers", count]):
                self.refused(2, "--workers.*at least 1", *arguments)

    def test_consumer_without_identity(self):
        self.refused(2, "a consumer needs an identity", "run", "services:Nameless")
        with self.assertRaisesRegex(ValueError, "a consumer needs an identity"):
            type("Nameless", (zkarton.Consumer,), {"filters": [{}]})(zkarton.test.ConfigMock())

    def test_init_without_super(self):
        self.refused(2, r"Bare.__init__ does not call super\(\).__init__\(\)", "run", "services:Bare")

    # ---- Workers

    def workers(self, service, *arguments, env=None):
        program = Program(self.broker, RUN, "run", f"services:{service}", "--workers", "2", *arguments, env=env)
        self.addCleanup(program.__exit__)
        return program

    def test_no_broker_ends_all(self):
        nowhere = {"KARTON_BROKER_ADDRESS": f"ipc://{self.broker.dir}/nobody"}
        program = self.workers("Good", "--connect-timeout", "200ms", env=nowhere)
        self.assertEqual(program.end(), 3)
        self.assertNotIn("starting another", program.out.text)

    def test_who_never_registered_is_not_started_again(self):
        for service, code in (("NotK", 2), ("Dies", 7)):
            program = self.workers(service)
            self.assertEqual(program.end(), code)
            self.assertNotIn("starting another", program.out.text)

    def test_who_was_registered_is_started_again(self):
        with zkarton.Producer(zkarton.test.ConfigMock({"broker": {"address": self.broker.endpoints["broker"]}}),
                              identity="tester") as producer:
            for service, kind in (("Good", "start"), ("Async", "start.async")):
                program = self.workers(service).registered().registered()
                producer.send_task(zkarton.Task({"type": kind}))
                pid = int(re.search(r"worker (\d+) ended with 9; starting another",
                                    program.wait_for("starting another")).group(1))
                self.assertNotEqual(pid, program.pid)
                program.registered()
                program.signal(signal.SIGTERM)
                program.end()


if __name__ == "__main__":
    unittest.main()
