"""The guard of a worker's leases: what its helper says for whom, and that nothing of it stays behind."""
import mmap
import os
import signal
import threading
import time
import unittest
from unittest import mock

import msgpack
import zmq

from support import python_client  # noqa: F401 puts the package on the path
from support.broker import until

from zkarton._session import Options, Session, guard, guard_main
from zkarton._tables import ERRORS, VERBS

CODES = {name: number for number, name in ERRORS.items()}
WELCOME = {"session": 1, "interval_ms": 20, "expiry_ms": 200, "generation": 7, "last_number": 0}


def tables():
    """What this process has open of shared tables."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink("/proc/self/fd/" + fd)
        except FileNotFoundError:
            continue  # that of listdir itself
        if "zkarton-guard" in target:
            found.append(target)
    return found


class Sleepy(Session):
    """A session whose I/O thread can be held, as by C code that has the GIL."""

    def __init__(self, *args):
        super().__init__(*args)
        self.awake = threading.Event()
        self.awake.set()
        self.notes = []
        self.note = lambda level, note_id, text: self.notes.append(note_id)

    def _turn(self):
        self.awake.wait()
        return super()._turn()


class GuardTest(unittest.TestCase):
    def setUp(self):
        self.broker = zmq.Context.instance().socket(zmq.ROUTER)
        self.addCleanup(self.broker.close, 0)
        self.address = f"tcp://127.0.0.1:{self.broker.bind_to_random_port('tcp://127.0.0.1')}"

    def session(self):
        session = Sleepy(Options("worker", "test.guarded", self.address, bind={"filters": [{}], "persistent": True}))
        self.addCleanup(session.close)
        self.addCleanup(session.awake.set)
        return session

    def hello(self):
        """(peer, body) of the next HELLO."""
        while True:
            self.assertTrue(self.broker.poll(10_000), "a HELLO is awaited")
            peer, frame = self.broker.recv_multipart()
            verb, message_id, body = msgpack.unpackb(frame)
            if verb == VERBS["HELLO"]:
                self.broker.send_multipart([peer, msgpack.packb([VERBS["WELCOME"], message_id, WELCOME])])
                return peer, body

    def test_helper_speaks_for_the_instance_that_the_session_has_now(self):
        session = self.session().start()
        first = self.hello()[1]["instance"]
        session.wait_open(10)
        session.new_instance()
        session.awake.clear()
        _, body = self.hello()
        self.assertEqual((body["instance"], body["generation"]), (session._instance, 7))
        self.assertNotEqual(body["instance"], first)

    def test_helper_that_says_hello_again_says_so_to_the_worker(self):
        session = self.session().start()
        self.hello()
        session.wait_open(10)
        session.awake.clear()
        peer, _ = self.hello()
        self.assertTrue(session.guard.has_taken_over())
        self.broker.send_multipart([peer, msgpack.packb([VERBS["ERROR"], 0, {"code": CODES["HELLO_REQUIRED"]}])])
        self.assertEqual(self.hello()[0], peer)
        self.assertTrue(session.guard.has_taken_over())

    def test_helper_steps_back_before_a_worker_that_runs(self):
        session = self.session()
        with mock.patch.object(guard.subprocess, "Popen") as popen:
            made = guard.Guard.start(session)
        self.addCleanup(made.stop)
        told = guard.json.loads(popen.return_value.stdin.write.call_args.args[0])
        table = mmap.mmap(made._fd, 0)
        self.addCleanup(table.close)
        made.welcomed(7, 60, 120)
        helper = guard_main.Guard(table, told)
        helper.prepare()
        self.addCleanup(helper.context.destroy, 0)
        helper.take_over()
        peer, _ = self.hello()
        self.assertTrue(made.has_taken_over())
        made.beat()
        self.broker.send_multipart([peer, msgpack.packb([VERBS["ERROR"], 0, {"code": CODES["HELLO_REQUIRED"]}])])
        until("it steps back", lambda: helper.pump(60 * 10**9) or helper.socket is None)
        self.assertFalse(made.has_taken_over())
        self.assertFalse(self.broker.poll(0))

    def test_helper_that_hangs_is_not_waited_for(self):
        made = guard.Guard.start(self.session())
        self.assertTrue(tables())
        pid = made._process.pid
        os.kill(pid, signal.SIGSTOP)
        # Whatever happens below, it does not stay.
        killer = threading.Timer(5, lambda: made._process is None and os.path.exists(f"/proc/{pid}")
                                 and os.kill(pid, signal.SIGKILL))
        killer.start()
        self.addCleanup(killer.cancel)
        begin_s = time.monotonic()
        made.stop()
        self.assertLess(time.monotonic() - begin_s, 1)

    def test_nothing_stays_open_where_there_can_be_no_helper(self):
        session = self.session()
        for reason in (mock.patch.object(guard.sys, "executable", ""),
                       mock.patch.object(guard.subprocess, "Popen", side_effect=OSError("no process")),
                       mock.patch.object(guard.mmap, "mmap", side_effect=OSError("no memory"))):
            with self.subTest(reason=reason), reason:
                self.assertIsNone(guard.Guard.start(session))
                self.assertEqual(session.notes.pop(), "GUARD-ABSENT")
            self.assertEqual(tables(), [])


if __name__ == "__main__":
    unittest.main()
