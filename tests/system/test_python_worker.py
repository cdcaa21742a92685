"""Python workers as processes: what happens when they are killed, stopped, asked to end, or do odd things (P4-P6, P10, S25)."""
import os
import signal
import textwrap
import threading
import time
import unittest

from support.broker import Broker, until
from support.python_client import Program

import zkarton
from zkarton.test import ConfigMock

WORKER = """
    import ctypes, os, signal, sys, threading, time
    import zkarton
    from zkarton import Karton, Resource, Task
    class Worker(Karton):
        identity = "py.worker"
        filters = [{"type": "job"}]
        BODY
        def process(self, task):
            what = task.get_payload("do", "nothing")
            self.log.info("begin %s attempt=%s", what, zkarton._context.current_process().delivery.attempt)
            getattr(self, what)(task)
            self.log.info("end %s", what)
        def nothing(self, task):
            pass
    if __name__ == "__main__":
        Worker.main()
"""


def worker(body=""):
    return WORKER.replace("BODY", "\n        ".join(body.strip("\n").splitlines()))


BLOCK = """
def block(self, task):
    path = os.environ["GATE"]
    while not os.path.exists(path):
        time.sleep(0.01)
"""


class WorkerTest(unittest.TestCase):
    """One broker with an expiry of a second."""

    @classmethod
    def setUpClass(cls):
        cls.broker = Broker({"broker": {"heartbeat": "100ms", "expiry": "1s"}})
        cls.broker.__enter__()
        os.environ["KARTON_BROKER_ADDRESS"] = cls.broker.endpoints["broker"]
        cls.producer = zkarton.Producer(zkarton.Config(), identity="tester")

    @classmethod
    def tearDownClass(cls):
        cls.producer.close()
        del os.environ["KARTON_BROKER_ADDRESS"]
        cls.broker.__exit__()

    def setUp(self):
        self.gate = os.path.join(self.broker.dir, "gate-" + os.urandom(4).hex())

    def start(self, body="", *args, **env):
        program = Program(self.broker, worker(body), *args, env={"GATE": self.gate, **env})
        self.addCleanup(program.__exit__)
        return program.registered()

    def send(self, do, **payload):
        task = zkarton.Task({"type": "job"}, {"do": do, **payload})
        self.producer.send_task(task)
        return task

    def open_gate(self):
        with open(self.gate, "w", encoding="utf-8"):
            pass

    def done(self, task, finished=0, crashed=0):
        summary = self.producer.wait(task.root_uid, timeout=30)
        self.assertEqual((summary.finished, summary.crashed), (finished, crashed))
        return summary

    def error_of(self, task):
        row, = [row for row in self.producer.query("tree", root=task.root_uid) if row["state"] == "Crashed"]
        return row["error"]

    def broker_log(self):
        return self.broker.log.drain()

    # ---- Death and sleep

    def test_log_consumer_ends_while_the_broker_is_absent(self):
        with Program(self.broker, """
            from zkarton import LogConsumer
            class Reader(LogConsumer):
                identity = "py.reader"
                def process_log(self, event):
                    pass
            Reader.main()
        """, env={"KARTON_BROKER_ADDRESS": "tcp://127.0.0.1:1"}) as program:
            program.wait_for("BROKER-UNREACHABLE")
            program.process.terminate()
            self.assertEqual(program.process.wait(30), 0)

    def test_kill_gives_the_task_to_another(self):
        first = self.start(BLOCK)
        task = self.send("block")
        first.wait_for("begin block attempt=1")
        first.signal(signal.SIGKILL)
        second = self.start(BLOCK)
        second.wait_for("begin block attempt=2")
        self.open_gate()
        self.done(task, finished=1)
        self.assertEqual(second.stop(), 0)

    def test_stopped_worker_loses_its_task_and_lives_on(self):
        first = self.start(BLOCK)
        task = self.send("block")
        first.wait_for("begin block attempt=1")
        first.signal(signal.SIGSTOP)
        second = self.start(BLOCK)
        second.wait_for("begin block attempt=2")  # the guard does not heartbeat for who is stopped
        self.open_gate()
        self.done(task, finished=1)
        self.assertEqual(second.stop(), 0)
        first.signal(signal.SIGCONT)
        until("both are said", lambda: {"DELIVERY-REVOKED", "end block"} <= {
            word for word in ("DELIVERY-REVOKED", "end block") if word in first.out.drain()})
        again = self.send("nothing")
        first.wait_for("begin nothing")
        self.done(again, finished=1)
        self.assertEqual(first.stop(), 0)

    def test_restarted_broker_goes_on_with_what_is_held(self):
        program = self.start(BLOCK)
        task = self.send("block")
        program.wait_for("begin block attempt=1")
        until("Started", lambda: any(row["state"] == "Started"
                                     for row in self.producer.query("tree", root=task.root_uid)))
        self.broker.kill()
        self.broker.start()
        program.wait_for("SESSION-RESUMED")
        self.open_gate()
        self.done(task, finished=1)
        self.assertEqual(program.out.text.count("begin block"), 1)
        self.assertEqual(program.stop(), 0)

    # ---- The GIL

    GIL = """
def hold(self, task):
    ctypes.PyDLL(None).poll(None, 0, 3600)  # PyDLL: the GIL is not released
"""

    def test_gil_held_in_c_code_for_longer_than_the_expiry_keeps_the_lease(self):
        said = len(self.broker_log())
        program = self.start(self.GIL)
        begin_s = time.monotonic()
        task = self.send("hold")
        other = self.send("nothing")
        self.done(task, finished=1)
        self.done(other, finished=1)
        self.assertGreater(time.monotonic() - begin_s, 3.5)
        self.assertEqual(program.out.drain().count("begin hold"), 1)
        self.assertIn("attempt=1", program.out.text)
        self.assertNotIn("LEASE-EXPIRED", self.broker_log()[said:])
        self.assertIn("the guard kept the leases", program.out.text)
        self.assertEqual(program.stop(), 0)

    def test_without_the_guard_the_same_task_is_lost(self):
        said = len(self.broker_log())
        program = self.start("guard = False" + self.GIL)
        task = self.send("hold")
        program.wait_for("begin hold")
        until("the lease expires", lambda: "LEASE-EXPIRED" in self.broker_log()[said:])
        program.signal(signal.SIGKILL)
        program.end()
        with self.start("def hold(self, task): pass") as second:
            self.done(task, finished=1)
            self.assertIn("attempt=2", second.out.drain())

    # ---- Ends

    def test_sigterm_finishes_the_task_and_gives_the_others_back(self):
        first = self.start(BLOCK)
        tasks = [self.send("block") for _ in range(5)]
        first.wait_for("begin block")
        first.signal(signal.SIGTERM)
        first.wait_for("shutting down")
        first.signal(signal.SIGTERM)  # repeated: ignored on purpose (P10)
        self.open_gate()
        self.assertEqual(first.end(), 0)
        self.assertEqual(first.out.text.count("end block"), 1)
        with self.start(BLOCK) as second:
            for task in tasks:
                self.done(task, finished=1)
            self.assertEqual(second.out.drain().count("begin block attempt=1"), 4)
            second.stop()

    def test_second_interrupt_gives_the_task_back(self):
        first = self.start(BLOCK)
        task = self.send("block")
        first.wait_for("begin block attempt=1")
        first.signal(signal.SIGINT)
        first.wait_for("shutting down")
        first.signal(signal.SIGINT)
        self.assertEqual(first.end(), 130)
        self.open_gate()
        with self.start(BLOCK) as second:
            second.wait_for("begin block attempt=1")  # it counts no attempt
            self.done(task, finished=1)
            second.stop()

    def test_sys_exit_in_process_crashes_the_task_and_ends_the_service(self):
        first = self.start('def leave(self, task): sys.exit(7)')
        task = self.send("leave")
        self.assertEqual(first.end(), 7)
        self.done(task, crashed=1)
        self.assertIn("SystemExit: 7", self.error_of(task))

    def test_an_interrupt_that_no_signal_raised_is_a_crash(self):
        for name in ("KeyboardInterrupt", "zkarton.exceptions.HardShutdownInterrupt"):
            for extra in ("", "concurrency = 2"):
                with self.subTest(name, extra=extra), self.start(f"{extra}\ndef strike(self, task): raise {name}") as program:
                    task = self.send("strike")
                    self.done(task, crashed=1)
                    self.assertIn(name.rpartition(".")[2], self.error_of(task))
                    self.done(self.send("nothing"), finished=1)  # the service goes on
                    self.assertEqual(program.stop(), 0)

    def test_async_process_that_raises_what_ends_programs(self):
        body = """
            import sys
            from zkarton.asyncio import Karton
            class Worker(Karton):
                identity, filters = "py.async", [{"type": "async"}]
                task_timeout = int(sys.argv.pop())
                async def process(self, task):
                    raise {"kbd": KeyboardInterrupt, "exit": SystemExit}[task.get_payload("do")](5)
            Worker.main()
        """
        for limit in ("0", "9"):
            with self.subTest(limit), Program(self.broker, body, limit) as program:
                program.registered()
                for do, name in (("kbd", "KeyboardInterrupt"), ("exit", "SystemExit")):
                    task = zkarton.Task({"type": "async"}, {"do": do})
                    self.producer.send_task(task)
                    self.done(task, crashed=1)
                    self.assertIn(name, self.error_of(task))
                self.assertEqual(program.end(), 5)

    def test_second_interrupt_that_process_turns_into_an_error_gives_the_task_back(self):
        first = self.start(BLOCK + """
def wrap(self, task):
    try:
        self.block(task)
    except BaseException:
        raise ValueError("of the service")
""")
        task = self.send("wrap")
        first.wait_for("begin wrap attempt=1")
        first.signal(signal.SIGINT)
        first.wait_for("shutting down")
        first.signal(signal.SIGINT)
        self.assertEqual(first.end(), 130)
        with self.start("def wrap(self, task): pass") as second:
            self.done(task, finished=1)
            second.stop()

    def test_hooks_never_hurt(self):
        # P9: whatever they raise is logged, and harms nothing.
        for name in ("SystemExit(3)", "KeyboardInterrupt()", "ValueError()"):
            with self.subTest(name), self.start(f"""
def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    self.add_pre_hook(self.strike, "first")
    self.add_post_hook(self.strike, "last")
def strike(self, *args):
    raise {name}
""") as program:
                self.done(self.send("nothing"), finished=1)
                self.assertEqual(program.stop(), 0)
                for what in ("Pre-hook (first) failed", "Post-hook (last) failed", name.partition("(")[0]):
                    self.assertIn(what, program.out.text)

    def test_replaced_filters_end_the_old_worker(self):
        first = self.start(BLOCK)
        task = self.send("block")
        first.wait_for("begin block")
        second = self.start(BLOCK + 'filters = [{"type": "job", "x": {"$exists": False}}]')
        self.open_gate()
        self.assertEqual(first.end(), 0)
        self.assertIn("BIND-CHANGED", first.out.text)
        self.done(task, finished=1)
        self.assertEqual(second.stop(), 0)

    # ---- Timeouts

    TIMEOUT = """
task_timeout = 0.3
def sleepy(self, task):
    try:
        while True:
            time.sleep(0.01)
    except Exception:
        pass
"""

    def test_timeout_under_a_broad_except(self):
        program = self.start(self.TIMEOUT)
        task = self.send("sleepy")
        self.done(task, crashed=1)
        self.assertRegex(self.error_of(task), r"(?s)^Traceback.*, in sleepy\n.*TaskTimeoutError")
        again = self.send("nothing")
        self.done(again, finished=1)
        self.assertEqual(program.stop(), 0)

    def test_timeout_of_a_task_on_a_thread(self):
        program = self.start(self.TIMEOUT + "concurrency = 2")
        tasks = [self.send("sleepy") for _ in range(2)]
        for task in tasks:
            self.done(task, crashed=1)
        self.assertIn("TaskTimeoutError", self.error_of(tasks[0]))
        self.assertEqual(program.stop(), 0)

    STUCK = """
task_timeout = 0.3
def stuck(self, task):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    for _ in range(100):
        try:
            time.sleep(60)
        except Exception:
            pass
"""

    SOON = "zkarton._session.reports.STUCK_AFTER_S = 1\n"

    def crashes_at_the_timeout(self, do):
        began_s = time.monotonic()
        task = self.send(do)
        self.done(task, crashed=1)
        self.assertLess(time.monotonic() - began_s, 7)
        self.assertRegex(self.error_of(task), r"(?s)^Traceback.*, in stuck\n    time.sleep\(60\)\n.*TaskTimeoutError: still running")

    def test_timeout_of_a_call_that_nothing_interrupts(self):
        # P5: Crashed at once. The other slot goes on; what is stuck does not hold up the end.
        with self.start(self.STUCK + "concurrency = 2"):
            self.crashes_at_the_timeout("stuck")
        program = self.start(self.SOON + self.STUCK + "concurrency = 2")
        self.crashes_at_the_timeout("stuck")
        self.done(self.send("nothing"), finished=1)
        self.assertEqual(program.stop(), 1)
        self.assertIn("stuck behind the task timeout", program.out.text)

    def test_a_process_whose_slots_are_all_stuck_ends(self):
        for count in (1, 2):
            with self.subTest(count), self.start(self.SOON + self.STUCK + f"concurrency = {count}") as program:
                for _ in range(count):
                    self.crashes_at_the_timeout("stuck")
                self.assertEqual(program.end(), 1)
                self.assertIn("stuck behind the task timeout", program.out.text)
        self.assertEqual(self.producer.query("workers", identity="py.worker"), [])  # it said BYE

    def test_an_event_loop_that_is_stuck_ends_the_process(self):
        body = """
            import time, zkarton._session.reports
            from zkarton.asyncio import Karton
            zkarton._session.reports.STUCK_AFTER_S = 1
            class Worker(Karton):
                identity, filters = "py.async", [{"type": "async"}]
                task_timeout, concurrency_limit = 0.3, 5
                async def process(self, task):
                    time.sleep(60)
            Worker.main()
        """
        with Program(self.broker, body) as program:
            program.registered()
            task = zkarton.Task({"type": "async"})
            self.producer.send_task(task)
            self.done(task, crashed=1)
            self.assertEqual(program.end(), 1)

    # ---- Processes and threads

    FORK = """
def fork(self, task):
    mine = zkarton.Producer(identity="made.before")
    self.send_task(Task({"type": "with a file"}, {"r": Resource("r", b"of the parent")}))
    mine.backend.send(Task({"type": "x"}, {"r": Resource("r", b"of the parent")}))
    mine.backend.post(Task({"type": "x"}))
    pid = os.fork()
    if pid == 0:
        try:
            self.send_task(Task({"type": "child"}))
            os._exit(3)
        except zkarton.ZkartonError as error:
            os.write(2, f"refused: {error}\\n".encode())
        # A producer of its own works in the child.
        with zkarton.Producer(identity="forked") as producer:
            own = Task({"type": "of a child"}, {"r": Resource("r", b"of a child")})
            producer.send_task(own)
            assert own.parent_uid is None and own.root_uid != task.root_uid and own.headers["origin"] == "forked"
        mine.post_task(Task({"type": "of a child"}, {"r": Resource("r", b"of a child")}))
        mine.flush()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    mine.flush()
    self.send_task(Task({"type": "with a file"}, {"r": Resource("r", b"of the parent")}))
    self.send_task(Task({"type": "child"}))
def storm(self, task):
    for _ in range(50):
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        os.kill(pid, signal.SIGTERM)  # may come before the child has its handlers back
        assert os.waitpid(pid, 0)[1] == signal.SIGTERM
def pool(self, task):
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(2) as workers:
        assert sorted(workers.map(abs, [-1, -2, -3])) == [1, 2, 3]
"""

    def test_fork_in_process(self):
        program = self.start(self.FORK)
        task = self.send("fork")
        self.done(task, finished=1)
        self.assertIn("forked from the one that has the session", program.out.drain())
        for what in ("pool", "storm"):
            self.done(self.send(what), finished=1)
        self.assertEqual(program.out.drain().count("SESSION-LOST"), 0)
        self.assertEqual(program.stop(), 0)

    def test_thread_left_running_sends_an_analysis_of_its_own(self):
        # As in Karton: the task in process belongs to a context, and a thread has its own.
        program = self.start("""
def leave_thread(self, task):
    def later():
        while "end leave_thread" not in self.said:
            time.sleep(0.01)
        child = Task({"type": "late"})
        self.send_task(child)
        self.log.info("late root=%s", child.root_uid)
    self.said = []
    self.add_post_hook(lambda task, error: self.said.append("end leave_thread"))
    threading.Thread(target=later).start()
""")
        task = self.send("leave_thread")
        self.done(task, finished=1)
        line = program.wait_for("late root=")
        self.assertNotIn(task.root_uid, line)
        self.assertEqual(program.stop(), 0)

    # ---- Everything at once

    def test_nothing_is_lost_when_broker_and_workers_are_killed(self):
        count = 1500
        # Whoever is not back within the expiry loses what he has: it is long enough for a busy machine.
        self.broker = self.enterContext(Broker({"broker": {"heartbeat": "200ms", "expiry": "4s"}}))
        self.producer = zkarton.Producer(ConfigMock({"broker": {"address": self.broker.endpoints["broker"]}}), identity="tester")
        self.addCleanup(self.producer.close)
        ledger = os.path.join(self.broker.dir, "ledger-" + os.urandom(4).hex())
        body = """
identity = "py.chaos"
filters = [{"type": "chaos"}]
def count(self, task):
    with open(os.environ["LEDGER"], "a") as file:
        file.write(f"{task.get_payload('n')} {os.getpid()}\\n")
"""
        workers = [self.start(body, LEDGER=ledger) for _ in range(2)]

        def produce():
            for number in range(count):
                self.producer.post_task(zkarton.Task({"type": "chaos"}, {"do": "count", "n": number}))
            self.producer.flush()

        def lines():
            for worker_ in workers:
                worker_.out.drain()  # a full pipe would stop them
            if not os.path.exists(ledger):
                return []
            with open(ledger, encoding="utf-8") as file:
                return [line.split() for line in file]

        thread = threading.Thread(target=produce)
        thread.start()
        for share in (0.1, 0.5):
            until("some are done", lambda: len(lines()) > share * count)
            self.broker.kill()
            if share == 0.1:
                workers[0].signal(signal.SIGKILL)
            self.broker.start()
            workers.append(self.start(body, LEDGER=ledger))
        thread.join(60)
        self.assertFalse(thread.is_alive())
        until("all are done", lambda: len({number for number, _ in lines()}) == count)
        # Only what the killed worker had done, and the killed broker did not have on disk, is done again, and once.
        by_number = {}
        for number, pid in lines():
            by_number.setdefault(number, []).append(int(pid))
        for number, pids in by_number.items():
            self.assertTrue(len(pids) == 1 or (len(pids) == 2 and workers[0].pid in pids), (number, pids, workers[0].pid))
        for worker_ in workers[1:]:
            self.assertEqual(worker_.stop(), 0)

    # ---- Mistakes of services

    def test_hooks_that_raise_harm_nothing(self):
        program = self.start("""
def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    self.add_pre_hook(lambda task: 1 / 0, "pre")
    self.add_post_hook(lambda task, error: 1 / 0)
""")
        task = self.send("nothing")
        self.done(task, finished=1)
        text = program.out.drain()
        self.assertIn("Pre-hook (pre) failed", text)
        self.assertIn("Post-hook failed", text)
        self.assertEqual(program.stop(), 0)

    def test_forgotten_super_is_said(self):
        program = Program(self.broker, worker("def __init__(self, config=None): pass"))
        self.addCleanup(program.__exit__)
        self.assertEqual(program.end(), 2)
        self.assertIn("Worker.__init__ does not call super().__init__()", program.out.text)

    def test_crash_keeps_what_was_sent_before(self):
        program = self.start("""
def half(self, task):
    self.send_task(Task({"type": "job"}, {"do": "nothing"}))
    raise ValueError("half way")
""")
        task = self.send("half")
        self.done(task, finished=1, crashed=1)
        error = self.error_of(task)
        self.assertTrue(error.startswith("Traceback"))
        self.assertTrue(error.endswith("ValueError: half way\n"))
        self.assertEqual(program.stop(), 0)

    def test_sigterm_again_while_it_ends_changes_nothing(self):
        for base in ("zkarton", "zkarton.asyncio"):
            # As late as a signal can come: when the interpreter ends.
            program = self.start("""
import atexit
atexit.register(lambda: (os.kill(os.getpid(), signal.SIGTERM), os.write(1, b"survived\\n")))
""".replace("import atexit", "import atexit, signal, os") if base == "zkarton" else """
import atexit, os, signal
atexit.register(lambda: (os.kill(os.getpid(), signal.SIGTERM), os.write(1, b"survived\\n")))
from zkarton.asyncio import Karton as AsyncKarton
@classmethod
def main(cls):
    class Other(cls.AsyncKarton):
        identity = "py.async"
        filters = [{"type": "async job"}]
        async def process(self, task):
            pass
    Other.main()
""")
            self.assertEqual(program.stop(), 0)
            self.assertIn("survived", program.out.drain())

    def test_a_child_that_is_refused_as_a_whole_crashes_its_parent_alone(self):
        program = self.start("""
def refused(self, task):
    process = zkarton._context.current_process()
    receipt = process.backend.session.submit(b"\\x80", process.delivery, task.get_payload("waits"))  # no task
    if task.get_payload("waits"):
        receipt.result()
""")
        for waits in (True, False):
            task = self.send("refused", waits=waits)
            after = self.send("nothing")
            self.done(task, crashed=1)
            self.done(after, finished=1)
        self.assertEqual(program.stop(), 0)

    def test_transactional_crash_drops_what_was_sent(self):
        program = self.start("""
transactional = True
def half(self, task):
    self.send_task(Task({"type": "job"}, {"do": "nothing"}))
    raise ValueError("half way")
def whole(self, task):
    self.send_task(Task({"type": "job"}, {"do": "nothing"}))
""")
        self.done(self.send("half"), crashed=1)
        self.done(self.send("whole"), finished=2)
        self.assertEqual(program.stop(), 0)

    def test_a_signal_as_soon_as_the_session_is_there(self):
        program = self.start("""
from zkarton import _bus
opened = _bus.Bus.open
def open_and_end(*args):
    session = Worker.opened(*args)
    session.wait_open()
    os.kill(os.getpid(), 15)
    return session
_bus.Bus.open = open_and_end
""")
        self.assertEqual(program.end(), 0)

    def test_workers_option_runs_several(self):
        path = os.path.join(self.broker.dir, "several.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(worker('identity = "py.several"\nfilters = [{"type": "several"}]')))
        program = Program(self.broker, "import sys, zkarton.__main__\nsys.exit(zkarton.__main__.main())",
                          "run", "several.py:Worker", "--workers", "2")
        self.addCleanup(program.__exit__)
        program.registered().registered()
        self.assertEqual(len(self.producer.query("workers", identity="py.several")), 2)
        self.assertEqual(program.stop(), 0)


if __name__ == "__main__":
    unittest.main()
