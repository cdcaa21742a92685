"""What services written for karton-core do on zkarton when things go wrong, and what they are told.

Parity P1, P4-P6, P8-P10, P12-P15, S13, S14, S18-S21, S26, B1-B4, L1, L3, T3.
"""
import json
import os
import re
import signal
import subprocess
import sys
import threading
import unittest
import uuid
from unittest import mock

import msgpack

from support.broker import Broker, until
from support.karton import DEADLINE_S, PACKAGE, PROGRAMS, Zkarton, pages
from support.processes import Process
from support.zkp import Peer, task

PATIENCE_MS = 600_000  # our peers say no heartbeats
BEHAVES = os.path.join(PROGRAMS, "behaves.py")


class Behaviour(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.side = cls.enterClassContext(Zkarton())
        cls.peer = cls.enterClassContext(Peer(cls.side.broker.endpoints["broker"]))
        cls.peer.hello("operator", "test.peer", expiry_ms=PATIENCE_MS)

    def start(self, name, *args, ready="Binding on:", **more):
        """One service with a queue and a gate of its own."""
        gate = os.path.join(self.side.dir, name + ".gate")
        if not os.path.exists(gate):
            os.mkfifo(gate)
        process = self.side.spawn(BEHAVES, *args, SELF=name, GATE=gate, **more)
        self.side.wait_for(process, ready)
        return process

    def send(self, name, do, **more):
        """The root of a new analysis."""
        sent = task({"type": "behave", "to": name, "do": do}, **more)
        result = self.peer.submit(sent)[0]
        self.assertEqual(result.get("taken"), 1, result)
        return str(uuid.UUID(bytes=sent["uid"]))

    def open_gate(self, name):
        with open(os.path.join(self.side.dir, name + ".gate"), "w", encoding="ascii") as gate:
            gate.write("open")

    def ended(self, root):
        """(finished, crashed) of an analysis, once it ended."""
        self.peer.send("WAIT", {"root": uuid.UUID(root).bytes})
        done = self.peer.expect("DONE", DEADLINE_S)
        return done["finished"], done["crashed"]

    def rows(self, root):
        return list(pages(self.peer, "tree", root=root))

    def end(self, process, word=signal.SIGTERM):
        process.send_signal(word)
        return process.wait(DEADLINE_S)

    def test_sys_exit_is_a_crash(self):
        """P6, mended: karton-core calls it Finished."""
        process = self.start("exits")
        root = self.send("exits", "exit")
        self.assertEqual(self.ended(root), (0, 1))
        self.assertEqual(self.rows(root)[0]["error"].splitlines()[-1], "SystemExit: 3")
        self.assertEqual(process.wait(DEADLINE_S), 3)

    def test_a_task_that_cannot_be_read_is_a_crash_and_the_service_goes_on(self):
        process = self.start("reads")
        root = self.send("reads", "nothing", payload={"r": msgpack.ExtType(3, (7).to_bytes(4, "big"))})
        self.assertEqual(self.ended(root), (0, 1))
        self.assertIn("the task cannot be read", self.rows(root)[0]["error"])
        self.assertEqual(self.ended(self.send("reads", "nothing")), (1, 0))
        self.assertEqual(self.end(process), 0)

    def test_second_ctrl_c_gives_the_task_to_another(self):
        """P6, P10."""
        first = self.start("hard")
        root = self.send("hard", "wait")
        self.side.wait_for(first, "at the gate")
        first.send_signal(signal.SIGINT)
        self.side.wait_for(first, "Got signal")
        first.send_signal(signal.SIGINT)
        self.assertNotEqual(first.wait(DEADLINE_S), 0)
        second = self.start("hard")
        self.side.wait_for(second, "at the gate")
        self.open_gate("hard")
        self.assertEqual(self.ended(root), (1, 0))
        self.assertEqual(self.end(second), 0)

    def test_sigterm_finishes_the_task(self):
        """P10."""
        process = self.start("soft")
        root = self.send("soft", "wait")
        self.side.wait_for(process, "at the gate")
        process.send_signal(signal.SIGTERM)
        self.side.wait_for(process, "Got signal")
        self.open_gate("soft")
        self.assertEqual(self.ended(root), (1, 0))
        self.assertEqual(process.wait(DEADLINE_S), 0)

    def test_killed_service_loses_nothing(self):
        """P8, mended: in Karton the task would be Started for a day."""
        first = self.start("killed")
        root = self.send("killed", "wait")
        self.side.wait_for(first, "at the gate")
        first.kill()
        first.wait()
        second = self.start("killed")
        self.side.wait_for(second, "at the gate")
        self.open_gate("killed")
        self.assertEqual(self.ended(root), (1, 0))
        self.end(second)

    def test_timeout_ends_a_task_that_swallows_exceptions(self):
        """P5."""
        process = self.start("slow", "--task-timeout", "1")
        root = self.send("slow", "swallow")
        self.assertEqual(self.ended(root), (0, 1))
        self.assertIn("TaskTimeoutError", self.rows(root)[0]["error"])
        self.end(process)

    def test_children_of_a_crash_stay(self):
        """P4, S21: with the priority of the analysis, whatever they say."""
        process = self.start("half")
        self.peer_worker("children", [{"type": "child", "origin": "test.half"}])
        root = self.send("half", "half", prio=0)
        child = self.children.deliver()[0]
        self.assertEqual(child["task"]["prio"], 0)
        self.assertEqual(msgpack.unpackb(child["task"]["payload"]), {"n": 1})
        self.children.settle(child)
        self.assertEqual(self.ended(root), (1, 1))
        crashed = next(row for row in self.rows(root) if row["identity"] == "test.half")
        self.assertEqual(crashed["error"].splitlines()[-1], "ValueError: after the child")
        self.assertEqual(child["task"]["parent"], uuid.UUID(crashed["uid"]).bytes)
        self.end(process)

    def peer_worker(self, identity, filters, window=10):
        """A worker of the protocol, to look at what services send."""
        self.children = self.enterContext(Peer(self.side.broker.endpoints["broker"]))
        self.children.hello_worker(identity, filters, persistent=False, expiry_ms=PATIENCE_MS)
        self.children.credit(window)
        return self.children

    def test_changed_filters_end_the_older_instances(self):
        """P3, T7, T8."""
        first = self.start("moves")
        second = self.start("moves", ready="Binds changed, old service instances should exit soon", RULE="other", VERSION="2")
        self.side.wait_for(first, "Binds changed, shutting down")
        self.assertEqual(first.wait(DEADLINE_S), 0)
        root = self.send("moves", "nothing")
        self.assertEqual(self.ended(root), (1, 0))
        self.end(second)

    def test_files(self):
        """B1-B4: texts, directories, the same file twice, another bucket, a hash that is a lie."""
        process = self.start("files")
        worker = self.peer_worker("files.seen", [{"type": "child", "origin": "test.files"}])
        root = self.send("files", "files")
        seen = {}
        while len(seen) < 3:
            for item in worker.deliver():
                seen[item["task"]["headers"]["number"]] = item
        resources = {number: {one["name"]: one for one in item["task"]["resources"]} for number, item in seen.items()}
        self.assertEqual(len(seen[1]["task"]["resources"]), 2)
        self.assertEqual(resources[1]["text"]["uid"], resources[2]["text"]["uid"])
        self.assertEqual(resources[1]["text"]["size"], len("zażółć".encode()))
        self.assertEqual(resources[1]["packed"]["flags"], 1)
        self.assertEqual(resources[3]["own"]["bucket"], "elsewhere")
        self.assertEqual(resources[3]["told"]["sha256"].hex(), "a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa")
        self.assertNotIn("bucket", {key for key, value in resources[1]["text"].items() if value})
        # The directory goes on to another service by reference, which unpacks it and then removes it by hand.
        reader = self.start("reads")
        sent = task({"type": "behave", "to": "reads", "do": "read"}, payload={"packed": msgpack.ExtType(3, b"\0\0\0\0")})
        sent["resources"] = [resources[1]["packed"]]
        self.assertEqual(worker.submit(sent, delivery=seen[1]["delivery"])[0].get("taken"), 1)
        self.side.wait_for(reader, "inside: inside")
        self.side.wait_for(reader, "names: ['inside.txt']")
        for item in seen.values():
            worker.settle(item)
        self.assertEqual(self.ended(root), (4, 1))
        crashed = next(row for row in self.rows(root) if row["state"] == "Crashed")
        self.assertIn("backend.remove_object is not served on zkarton: the broker deletes an object when the last task",
                      crashed["error"])
        self.end(process)
        self.end(reader)

    def test_logs(self):
        """S13, S14, P14: Karton's record, to Karton's log consumer."""
        logger = Process(self.side.command(os.path.join(PROGRAMS, "logger.py")), cwd=self.side.dir,
                         env=dict(self.side.environment, LEVEL="ERROR"), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(logger.communicate)
        self.addCleanup(logger.kill)
        process = self.start("logs")
        # Nothing says when the consumer listens: tasks are sent until one of their records came.

        def first_record():
            self.ended(self.send("logs", "log"))
            self.side.drain()
            return self.has_line(logger) and json.loads(logger.stdout.readline())

        record = until("a record of its logger", first_record)
        self.assertLessEqual({"name", "levelname", "levelno", "filename", "module", "lineno", "funcName", "created", "task_id",
                              "type", "message", "hostname", "task", "excText", "excValue", "excTraceback", "excType"},
                             set(record))
        self.assertEqual((record["name"], record["levelname"], record["type"], record["excType"], record["excValue"]),
                         ("test.logs", "ERROR", "log", "KeyError", "'lost'"))
        self.assertEqual(record["task"]["headers"]["do"], "log")
        self.assertEqual(record["task"]["status"], "Started")
        self.assertTrue(record["task"]["uid"].endswith(":" + record["task_id"]))
        self.end(process)

    @staticmethod
    def has_line(process):
        import select
        return bool(select.select([process.stdout], [], [], 0.2)[0])

    def test_asyncio_service(self):
        """P15: as many at once as its limit says."""
        process = self.side.spawn(os.path.join(PROGRAMS, "together.py"))
        self.side.wait_for(process, "Binding on:")
        worker = self.peer_worker("together.seen", [{"type": "child", "origin": "test.together"}])
        producer = self.enterContext(Peer(self.side.broker.endpoints["broker"]))
        producer.hello("producer", "test.files", expiry_ms=PATIENCE_MS)
        roots = []
        for content in (b"one", b"two", b"crash"):
            roots.append(self.send_file(producer, {"type": "together"}, content))
        seen = []
        while len(seen) < 2:
            seen += worker.deliver(DEADLINE_S)
        self.assertEqual([item["task"]["resources"][0]["size"] for item in seen], [3, 3])
        for item in seen:
            worker.settle(item)
        self.assertEqual(sorted(self.ended(root) for root in roots), [(0, 1), (2, 0), (2, 0)])
        consumers = {row["identity"]: row for row in pages(self.peer, "consumers")}
        self.assertTrue(consumers["test.together"]["is_async"])
        self.assertEqual(self.end(process), 0)

    def send_file(self, producer, headers, content):
        import hashlib
        import urllib.request
        resource = {"uid": uuid.uuid4().bytes, "size": len(content), "sha256": hashlib.sha256(content).digest()}
        producer.send("UPLOAD", {"items": [resource]})
        url = producer.expect("URLS")["items"][0]["url"]
        if "://:" in url:
            url = url.replace("://:", "://127.0.0.1:")
        urllib.request.urlopen(urllib.request.Request(url, method="PUT", data=content), timeout=DEADLINE_S).close()
        sent = task(headers, payload={"sample": msgpack.ExtType(3, b"\0\0\0\0")})
        sent["resources"] = [dict(resource, name="in")]
        self.assertEqual(producer.submit(sent)[0].get("taken"), 1)
        return str(uuid.UUID(bytes=sent["uid"]))

    def test_debug_mode(self):
        """S26: a queue of its own, which goes with it."""
        process = self.start("debugged", "--debug")
        names = [row["identity"] for row in pages(self.peer, "consumers") if row["identity"].startswith("test.debugged")]
        self.assertEqual(len(names), 1)
        self.assertRegex(names[0], r"^test\.debugged-[0-9a-f]{8}-dev$")
        self.assertEqual(self.ended(self.send("debugged", "nothing")), (1, 0))
        self.assertEqual(self.end(process), 0)
        self.assertNotIn(names[0], [row["identity"] for row in pages(self.peer, "consumers")])

    def test_forked_process(self):
        """A child may begin an analysis; what belongs to the parent's task is the parent's to send."""
        process = Process(self.side.command(BEHAVES), cwd=self.side.dir, env=dict(self.side.environment, SELF="forks"),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        worker = self.peer_worker("forks.seen", [{"type": "forked"}])
        until("test.forks is bound", lambda: "test.forks" in [row["identity"] for row in pages(self.peer, "consumers")])
        root = self.send("forks", "fork")
        self.assertIn("NotServedError: sending a task from a forked process", process.stdout.readline())
        item = worker.deliver(DEADLINE_S)[0]
        self.assertIsNone(item["task"].get("parent"))
        worker.settle(item)
        self.assertEqual(self.ended(root), (1, 0))

    def test_kartons_own_command(self):
        """L1, L3, S18."""
        process = self.start("listed")
        self.assertEqual(self.ended(self.send("listed", "nothing")), (1, 0))
        text = self.side.run("karton", "list")
        self.assertRegex(text, r"(?m)^test\.listed +1 +5\.9\.1 *$")
        self.assertEqual(self.end(process), 0)
        deleting = subprocess.run(self.side.command("karton", "delete", "test.listed"), cwd=self.side.dir,
                                  env=self.side.environment, input=b"test.listed\n", capture_output=True, timeout=DEADLINE_S,
                                  check=False)
        self.assertEqual(deleting.returncode, 0, deleting.stderr)
        self.assertNotIn("test.listed", self.side.run("karton", "list"))


class Restart(unittest.TestCase):
    def test_broker_restarts_under_a_task(self):
        """The service keeps its task, reports it to the new broker, and goes on."""
        with Zkarton() as side:
            gate = os.path.join(side.dir, "gate")
            os.mkfifo(gate)
            service = side.spawn(BEHAVES, SELF="stays", GATE=gate)
            side.wait_for(service, "Binding on:")
            address = side.broker.endpoints["broker"]
            sent = [task({"type": "behave", "to": "stays", "do": do}) for do in ("wait", "half")]
            with Peer(address) as peer:
                peer.hello(expiry_ms=PATIENCE_MS)
                peer.submit(sent[0])
                side.wait_for(service, "at the gate")
            side.broker.kill()
            side.broker.start()
            with open(gate, "w", encoding="ascii") as file:
                file.write("open")
            with Peer(address) as peer:
                peer.hello(expiry_ms=PATIENCE_MS)
                peer.submit(sent[1])
                ends = []
                for one in sent:
                    peer.send("WAIT", {"root": one["uid"]})
                    done = peer.expect("DONE", DEADLINE_S)
                    ends.append((done["finished"], done["crashed"]))
            self.assertEqual(ends, [(1, 0), (0, 1)])
            self.assertEqual(side.drain().count("Received new task"), 2)


class Start(unittest.TestCase):
    """The ways to name a service, and what the command says when it cannot do what it is asked."""

    @classmethod
    def setUpClass(cls):
        cls.side = cls.enterClassContext(Zkarton())

    def fails(self, *args, **more):
        done = subprocess.run(self.side.command(*args), cwd=more.pop("cwd", self.side.dir),
                              env=dict(self.side.environment, **more), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return done.stderr

    def test_module_and_class(self):
        """Without a command of its own."""
        for number, name in enumerate(("karton.asciimagic", "karton.asciimagic:AsciiMagic")):
            process = self.side.spawn(name, "--identity", f"test.ascii{number}")
            self.side.wait_for(process, "Binding on:")

    def test_no_such_service(self):
        text = self.fails("karton-nothing")
        self.assertRegex(text, r'^zkarton-karton: "karton-nothing" is no command, module or file of this environment')
        self.assertIn("karton-classifier", text)

    def test_no_such_class(self):
        with open(os.path.join(self.side.dir, "odd.py"), "w", encoding="ascii") as file:
            file.write("from karton.core import Karton\nnumber = 1\nclass Bare(Karton):\n    identity, filters = 'test.bare', [{}]\n"
                       "    def __init__(self, *args, **kwargs):\n        pass\n    process = __init__\n")
        for name, text in (("Nope", "odd has no Nope."), ("number", "odd:number is no class and no function."),
                           ("Bare", "odd:Bare: Bare.__init__ does not call super().__init__()")):
            self.assertEqual(self.fails(f"odd:{name}"), f"zkarton-karton: {text}\n")

    def test_no_address(self):
        with open(os.path.join(self.side.dir, "karton.ini"), encoding="utf-8") as file:
            text = re.sub(r"(?ms)^\[zkarton\].*", "", file.read())
        directory = os.path.join(self.side.dir, "bare")
        os.makedirs(directory)
        with open(os.path.join(directory, "karton.ini"), "w", encoding="utf-8") as file:
            file.write(text)
        self.assertIn("add to karton.ini\n[zkarton]\naddress = tcp://HOST:5570", self.fails("karton-asciimagic", cwd=directory))

    def test_address_alone_is_enough(self):
        """No [redis], no [s3]."""
        directory = os.path.join(self.side.dir, "alone")
        os.makedirs(directory)
        done = subprocess.run(self.side.command("--address", self.side.broker.endpoints["broker"], "karton", "list"),
                              cwd=directory, env=self.side.environment, capture_output=True, text=True, timeout=DEADLINE_S,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_absent_broker(self):
        text = self.fails("karton-asciimagic", KARTON_ZKARTON_ADDRESS="tcp://127.0.0.1:1", KARTON_ZKARTON_CONNECT_TIMEOUT="1s")
        self.assertIn("nothing listens at tcp://127.0.0.1:1", text)

    def test_log_consumer_ends_while_the_broker_is_absent(self):
        logger = self.side.spawn(os.path.join(PROGRAMS, "logger.py"), KARTON_ZKARTON_ADDRESS="tcp://127.0.0.1:1")
        self.side.wait_for(logger, "BROKER-UNREACHABLE")
        logger.terminate()
        self.assertEqual(logger.wait(DEADLINE_S), 0)

    def test_karton_system(self):
        text = self.fails("karton-system")
        self.assertIn("the broker routes and cleans up by itself; do not start karton-system", text)

    def test_not_served(self):
        """Each call without a counterpart says what to use instead."""
        program = os.path.join(self.side.dir, "calls.py")
        with open(program, "w", encoding="ascii") as file:
            file.write("from karton.core import Config, Task\nfrom karton.core.backend import KartonBackend, KartonMetrics\n"
                       "from karton.core.task import TaskState\n"
                       "b = KartonBackend(Config(), identity='test.calls')\nt = Task({})\n"
                       "for call in (lambda: b.redis.lrange('x', 0, 1), lambda: b.s3, lambda: b.register_task(t),\n"
                       "             lambda: b.delete_task(t), lambda: b.get_outputs(), lambda: b.list_objects('karton'),\n"
                       "             lambda: b.make_pipeline(), lambda: b.set_task_status(t, TaskState.FINISHED),\n"
                       "             lambda: b.restart_task(t), lambda: b.consume_routed_task('other'), lambda: b.no_such()):\n"
                       "    try:\n        print('served', call())\n"
                       "    except NotImplementedError as error:\n        print(error)\n"
                       "print(b.get_task('no uid'), b.get_task_queue('karton.tasks'), b.check_bucket_exists('karton'))\n")
        lines = self.side.run(program).splitlines()
        self.assertEqual(len(lines), 12)
        for line in lines[:-1]:
            self.assertRegex(line, r"^.+ is not served on zkarton: .{10,}$")
        self.assertEqual(lines[-1], "None [] True")


class LastReport(unittest.TestCase):
    """A service that ends right after its task: the report is not left behind."""

    def test_report_while_closing(self):
        sys.path.insert(0, PACKAGE)
        self.addCleanup(sys.path.remove, PACKAGE)
        from zkarton._session import Options, Session

        class Hurried(Session):
            """Reports and closes when its I/O thread has just looked for both."""

            delivery = None

            def _tick(self):
                super()._tick()
                delivery, self.delivery = self.delivery, None
                if delivery is not None:
                    self.finish(delivery, "Finished")
                    self._is_closing = True

        broker = self.enterContext(Broker())
        options = Options("worker", "test.hurried", broker.endpoints["broker"], bind={"filters": [{}], "persistent": True})
        session = Hurried(options).start()
        session.wait_open()
        peer = self.enterContext(Peer(broker.endpoints["broker"]))
        peer.hello(expiry_ms=PATIENCE_MS)
        sent = task({"type": "any"})
        peer.submit(sent)
        session.delivery = session.take(DEADLINE_S)
        session._wake()
        self.assertTrue(session.join(DEADLINE_S))
        peer.send("WAIT", {"root": sent["uid"]})
        self.assertEqual(peer.expect("DONE")["finished"], 1)


class Revoked(unittest.TestCase):
    """A service whose leases ended while it was asleep: what waits in it is another's, and is not begun."""

    def test_five_tasks_that_wait(self):
        sys.path.insert(0, PACKAGE)
        self.addCleanup(sys.path.remove, PACKAGE)
        from karton.core.backend import KartonBind
        from karton.core.config import Config
        from zkarton._session import Session
        from zkarton.karton import _sessions
        from zkarton.karton._backend import KartonBackend

        awake = threading.Event()
        awake.set()
        notes = []

        class Sleepy(Session):
            def _turn(self):
                awake.wait()
                return super()._turn()

            def note(self, level, note_id, text):
                notes.append(note_id)

            def __setattr__(self, name, value):
                if name != "note":
                    super().__setattr__(name, value)

        broker = self.enterContext(Broker({"broker": {"heartbeat": "100ms", "expiry": "500ms"}}))
        config = Config(check_sections=False)
        config.load_from_dict({"zkarton": {"address": broker.endpoints["broker"]}})
        backend = KartonBackend(config, "test.sleepy")
        self.addCleanup(backend.sessions.close)
        self.addCleanup(awake.set)
        options = backend._worker_options
        bind = KartonBind(identity="test.sleepy", info=None, version="5.9.1", persistent=True, filters=[{"type": "any"}],
                          service_version=None, is_async=False)
        with mock.patch.object(_sessions, "Session", Sleepy), mock.patch.object(
                backend, "_worker_options", lambda bind: dict(options(bind), window=8, guard=False)):
            backend.register_bind(bind)
        peer = self.enterContext(Peer(broker.endpoints["broker"]))
        peer.hello("worker", "test.sleepy", expiry_ms=PATIENCE_MS, join=True)
        for _ in range(5):
            peer.submit(task({"type": "any"}))
        until("they are here", lambda: backend.sessions.worker.reports.work.qsize() == 5)
        awake.clear()
        peer.credit(5)
        taken = []
        while len(taken) < 5:
            taken += peer.deliver(DEADLINE_S)
        awake.set()
        until("they are revoked", lambda: notes.count("DELIVERY-REVOKED") == 5)
        self.assertIsNone(backend.consume_routed_task("test.sleepy", 1))
        until("they are out of hand", lambda: not backend.sessions.worker.reports.table)


if __name__ == "__main__":
    unittest.main()
