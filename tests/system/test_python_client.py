"""The Python client inside of this process: producers, files, logs, asyncio, odd brokers."""
import asyncio
import glob
import io
import logging
import os
import tempfile
import threading
import time
import unittest
from unittest import mock

import msgpack
import zmq

from support.broker import Broker, until
from support.python_client import Program

import zkarton
import zkarton.asyncio
from zkarton import Config, Consumer, Karton, LogConsumer, Producer, Resource, Task, TaskPriority
from zkarton._tables import ERRORS, VERBS
from zkarton.exceptions import AnswerTimeoutError, UnreachableError, VersionError
from zkarton.test import ConfigMock


class Running:
    """A service's loop on a thread."""

    def __init__(self, service):
        self.service = service
        self.error = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        until("the session", lambda: getattr(service, "_session", None) or getattr(service, "_events", None))
        if service.__dict__.get("_session") is not None:
            service._session.wait_open(30)

    def _run(self):
        try:
            self.service.loop()
        except BaseException as error:
            self.error = error

    def end(self):
        self.service.stop()
        self.thread.join(30)
        assert not self.thread.is_alive()

    def __enter__(self):
        return self.service

    def __exit__(self, *_):
        self.end()


class ClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker({"broker": {"heartbeat": "100ms", "expiry": "2s"}, "store": {"finished_ttl": "1h"}})
        cls.broker.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.broker.__exit__()

    def config(self, **sections):
        return ConfigMock({"broker": {"address": self.broker.endpoints["broker"]}, **sections})

    def setUp(self):
        self.producer = Producer(self.config(), identity="tester")
        self.addCleanup(self.producer.close)

    def run_in(self, body, **attributes):
        """A service with this body of process; its identity is its own."""
        identity = "py." + os.urandom(4).hex()
        kind = type("Service", (Karton,), {"identity": identity, "filters": [{"to": identity}], "process": body, **attributes})
        running = Running(kind(config=self.config()))
        self.addCleanup(running.end)
        return running.service

    def send(self, service, payload=None, **more):
        task = Task({"to": service.identity}, payload, **more)
        self.producer.send_task(task)
        return task

    def done(self, task):
        summary = self.producer.wait(task.root_uid, timeout=30)
        return summary.finished, summary.crashed

    # ---- Files (B1-B4)

    def test_files_there_and_back(self):
        seen = {}

        def process(service, task):
            for name in ("content", "path", "fd"):
                resource = task.get_resource(name)
                seen[name] = (resource.name, resource.size, resource.content, resource.sha256)
            with task.get_resource("folder").extract_temporary() as folder:
                with open(os.path.join(folder, "sub", "b"), "rb") as file:
                    seen["folder"] = file.read()
            with task.get_resource("path").download_temporary_file(suffix=".x") as file:
                seen["temporary"] = (file.read()[:2], file.name)
            service.send_task(Task({"type": "child"}, {"again": [task.get_resource("content")]}))

        service = self.run_in(process)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "big")
            os.mkdir(os.path.join(folder, "sub"))
            with open(os.path.join(folder, "sub", "b"), "wb") as file:
                file.write(b"in a folder")
            with open(path, "wb") as file:
                file.write(os.urandom(1 << 20) * 3)
            task = self.send(service, {"content": Resource("ä\udc80", b"abc", metadata={"k": 1}), "path": Resource("big", path=path),
                                       "fd": Resource("fd", fd=io.BytesIO(b"f" * 70000)),
                                       "folder": Resource.from_directory("dir", os.path.join(folder))})
            self.assertEqual(self.done(task), (1, 0))
            with open(path, "rb") as file:
                self.assertEqual(seen["path"][2], file.read())
        self.assertEqual(seen["content"][:3], ("ä\udc80", 3, b"abc"))
        self.assertEqual(seen["fd"][1:3], (70000, b"f" * 70000))
        self.assertEqual(seen["folder"], b"in a folder")
        self.assertFalse(os.path.exists(seen["temporary"][1]))
        child, = [row for row in self.producer.query("tree", root=task.root_uid) if row["headers"].get("type") == "child"] or [None]
        self.assertIsNone(child)  # nobody takes it, so it is nothing of the analysis (S4)

    def test_the_same_resource_twice(self):  # B2
        service = self.run_in(lambda service, task: task.get_resource("r").download())
        resource = Resource("r", b"once")
        for _ in range(2):
            self.assertEqual(self.done(self.send(service, {"r": resource})), (1, 0))

    def test_damaged_object_is_noticed(self):
        errors = []

        def process(service, task):
            path, = [path for path in glob.glob(self.broker.data + "/objects/**", recursive=True)
                     if os.path.basename(path).startswith(task.get_resource("r").uid) or task.get_resource("r").uid.replace("-", "") in path]
            with open(path, "r+b") as file:
                file.write(b"X")
            try:
                task.get_resource("r").download()
            except zkarton.ZkartonError as error:
                errors.append(str(error))

        service = self.run_in(process)
        self.assertEqual(self.done(self.send(service, {"r": Resource("r", b"0123456789" * 10)})), (1, 0))
        self.assertRegex(errors[0], "r: the bytes are not those that were sent")

    # ---- Sending

    def test_many_tasks_travel_together(self):
        numbers = []
        service = self.run_in(lambda service, task: numbers.append(task.get_payload("n")), task_timeout=0)
        tasks = [Task({"to": service.identity}, {"n": number}) for number in range(3000)]
        self.assertEqual(self.producer.send_tasks(tasks), 3000)
        until("all are through", lambda: len(numbers) == 3000)
        self.assertEqual(numbers, list(range(3000)))  # in order, each once

    def test_children_and_priorities(self):  # A3, S21
        rows = []

        def process(service, task):
            if task.get_payload("level") < 2:
                service.send_task(Task({"to": service.identity, "p": "own"}, {"level": task.get_payload("level") + 1},
                                       priority=TaskPriority.LOW))
            rows.append((task.priority, task.headers["p"], task.headers["origin"], task.headers["receiver"], task.parent_uid,
                         task.get_payload("k"), task.uid))

        service = self.run_in(process)
        task = self.send(service, {"level": 0}, headers_persistent={"p": "first"}, payload_persistent={"k": [1]},
                         priority=TaskPriority.HIGH)
        self.assertEqual(self.done(task), (3, 0))
        self.assertEqual({row[:4] + (str(row[5]),) for row in rows[1:]},
                         {(TaskPriority.HIGH, "first", service.identity, service.identity, "[1]")})
        self.assertEqual([row[4] for row in rows], [None, rows[0][6], rows[1][6]])

    def test_posted_child_that_is_refused_crashes_its_parent(self):
        def process(service, task):
            child = Task({"type": "x"}, {"r": Resource("r", b"x")})
            service.backend.upload = lambda task: None  # so that the broker has never heard of the object
            service.post_task(child)

        service = self.run_in(process)
        task = self.send(service)
        self.assertEqual(self.done(task), (0, 1))
        self.assertIn("a child was refused", self.producer.tree(task.root_uid).rows[0]["error"])

    def test_task_that_cannot_be_read_is_crashed_and_the_service_goes_on(self):
        class Async(zkarton.asyncio.Consumer):
            identity, filters = "py.async.unreadable", [{"to": "py.async.unreadable"}]

            async def process(self, task):
                pass

        service = Async(config=self.config())
        running = Running(service)
        self.addCleanup(running.end)
        for service in (self.run_in(lambda service, task: None), service):
            with self.subTest(service=service.identity):
                with mock.patch.object(service.backend, "task_of", side_effect=TypeError("odd")):
                    task = self.send(service)
                    self.assertEqual(self.done(task), (0, 1))
                row, = [row for row in self.producer.query("tree", root=task.root_uid) if row["error"]]
                self.assertEqual(row["error"], "the task cannot be read: TypeError('odd')")
                self.assertEqual(self.done(self.send(service)), (1, 0))

    def test_give_back(self):
        attempts = []

        def process(service, task):
            attempts.append(time.monotonic())
            if len(attempts) == 1:
                raise zkarton.GiveBack(delay=0.3)

        task = self.send(self.run_in(process))
        self.assertEqual(self.done(task), (1, 0))
        self.assertGreater(attempts[1] - attempts[0], 0.25)

    def test_threads(self):
        gate = threading.Barrier(4)
        service = self.run_in(lambda service, task: gate.wait(20), concurrency=4)
        tasks = [self.send(service) for _ in range(4)]
        for task in tasks:
            self.assertEqual(self.done(task), (1, 0))

    def test_wait_and_tree(self):
        gate = threading.Event()
        service = self.run_in(lambda service, task: gate.wait(20))
        task = self.send(service)
        with self.assertRaisesRegex(AnswerTimeoutError, "not done within 0.2 s"):
            self.producer.wait(task.root_uid, timeout=0.2)
        gate.set()
        self.assertEqual(self.done(task), (1, 0))
        tree = task.tree()
        self.assertTrue(tree.is_done)
        self.assertIn(f"└─ {service.identity}  Finished", str(tree))
        self.assertIn("<table>", tree._repr_html_())

    # ---- Queues (S16-S19, S26)

    def test_drain_removes_a_queue(self):  # S18, S19
        identity = "py.drained"
        kind = type("Old", (Consumer,), {"identity": identity, "filters": [{"to": identity}], "process": lambda self, task: None})
        Running(kind(config=self.config())).end()
        task = Task({"to": identity})
        self.producer.send_task(task)
        processed = []
        drain = type("Drain", (Consumer,), {"identity": identity, "filters": {}, "persistent": False,
                                            "process": lambda self, task: processed.append(task)})
        with Running(drain(config=self.config())):
            self.assertEqual(self.done(task), (1, 0))
        self.assertEqual(processed, [])
        until("it is gone", lambda: not any(row["identity"] == identity for row in self.producer.query("consumers")))

    def test_debug_queue_is_its_own(self):
        kind = type("Debugged", (Consumer,), {"identity": "py.debugged", "filters": [{"to": "nobody"}]})
        with Running(kind(config=self.config(karton={"debug": "1"}))) as service:
            row, = [row for row in self.producer.query("consumers") if row["identity"] == service.identity]
            self.assertRegex(row["identity"], "^py.debugged-[0-9a-f]{8}-dev$")
            self.assertIs(row["persistent"], False)

    # ---- Logs (S13, P14)

    def test_log_consumer(self):
        got = []
        kind = type("Logs", (LogConsumer,), {"identity": "py.logs", "level": "ERROR", "logger_filter": "py.*",
                                             "process_log": lambda self, event: got.append(event)})

        def process(service, task):
            service.log.info("not this one")
            raise ValueError("this one")

        with Running(kind(config=self.config())):
            service = self.run_in(process)
            task = self.send(service, {"x": 1})
            self.assertEqual(self.done(task), (0, 1))
            until("the record", lambda: got)
        record, = got
        self.assertEqual((record["name"], record["excType"], record["task"]["payload"]), (service.identity, "ValueError", {"x": 1}))
        self.assertTrue(record["message"].startswith("Failed to process task - {" + task.root_uid))

    # ---- asyncio (P15)

    def test_asyncio(self):
        state = {"now": 0, "most": 0}

        class Several(zkarton.asyncio.Karton):
            identity, filters, concurrency_limit, task_timeout = "py.async", [{"to": "py.async"}], 3, 5

            async def process(self, task):
                state["now"] += 1
                state["most"] = max(state["most"], state["now"])
                await asyncio.sleep(0.05)
                content = await task.get_resource("r").download()
                await self.send_task(Task({"to": "py.async.child"}, {"r": Resource("c", content + b"!")}))
                state["now"] -= 1
                if task.get_payload("n") == 4:
                    await asyncio.sleep(20)

        class Child(zkarton.asyncio.Consumer):
            identity, filters = "py.async.child", [{"to": "py.async.child"}]

            async def process(self, task):
                assert (await task.get_resource("r").download()) == b"abc!"

        async def produce():
            async with zkarton.asyncio.Producer(self.config(), identity="async producer".replace(" ", ".")) as producer:
                await producer.connect()
                tasks = [Task({"to": "py.async"}, {"r": Resource("r", b"abc"), "n": number}) for number in range(6)]
                await producer.send_tasks(tasks)
                summaries = [await producer.wait(task.root_uid, 30) for task in tasks]
                rows = await producer.query("tree", root=tasks[4].root_uid)
                return summaries, [row["error"] for row in rows if row["state"] == "Crashed"]

        service = Several(config=self.config(karton={"task_timeout": "3s"}))
        service.task_timeout = 3
        with Running(service), Running(Child(config=self.config())):
            summaries, (error,) = asyncio.run(produce())
        self.assertEqual([(summary.finished, summary.crashed) for summary in summaries], [(2, 0)] * 4 + [(1, 1)] + [(2, 0)])
        self.assertRegex(error, r"(?s), in process\n    await asyncio.sleep\(20\)\n.*TaskTimeoutError: not done within 3 s")
        self.assertEqual(state["most"], 3)

    def test_stopped_events_are_stopped(self):
        with Producer(self.config(), identity="follower") as producer:
            for is_closed in (False, True):
                events = producer.events("analysis.")
                producer.send_task(Task({"type": "for nobody"}))
                self.assertTrue(events.next(timeout=30)[0].startswith("analysis."))
                for _ in range(3):  # there is always more
                    producer.send_task(Task({"type": "for nobody"}))
                producer.flush()
                events.close() if is_closed else events.stop()
                for _ in range(2):
                    with self.assertRaises(AnswerTimeoutError):
                        events.next()
                events.close()
                events.stop()
                events.close()

    def test_asyncio_events_and_close_leave_the_loop_alone(self):
        async def run():
            producer = zkarton.asyncio.Producer(self.config(), identity="async.follower")
            async with await producer.events("analysis.") as events:
                with self.assertRaises(AnswerTimeoutError):
                    await events.next(timeout=0.05)
                waiting = asyncio.ensure_future(events.next())
                task = Task({"to": service.identity})
                await producer.send_task(task)  # while the other waits
                topic, body = await asyncio.wait_for(waiting, 30)
                self.assertTrue(topic.startswith("analysis."))
                pump = asyncio.ensure_future(events.next())
                await asyncio.sleep(0)
                pump.cancel()
            with self.assertRaises(AnswerTimeoutError):  # as a pump does that was between two of them
                await events.next()
            await producer.close()
            return task

        service = self.run_in(lambda service, task: None)
        self.assertEqual(self.done(asyncio.run(run())), (1, 0))
        producer = zkarton.asyncio.Producer(ConfigMock({"broker": {"address": "tcp://127.0.0.1:1"}}), identity="p")

        async def turns_while(call):
            turns = 0
            waiting = asyncio.ensure_future(call)
            while not waiting.done():
                await asyncio.sleep(0.01)
                turns += 1
            await asyncio.gather(waiting, return_exceptions=True)
            return turns

        producer.backend.connect_timeout = 0.3
        self.assertGreater(asyncio.run(turns_while(producer.events("analysis."))), 5)
        gate = threading.Event()
        self.addCleanup(gate.set)
        producer.backend.close = lambda: gate.wait(0.3)
        self.assertGreater(asyncio.run(turns_while(producer.close())), 5)

    def test_async_worker_as_a_program(self):
        with Program(self.broker, """
            import asyncio, multiprocessing
            from zkarton.asyncio import Karton
            class Worker(Karton):
                identity = "py.async.program"
                filters = [{"to": "py.async.program"}]
                async def process(self, task):
                    self.log.info("begin")
                    await asyncio.sleep(0.3)
                    with multiprocessing.get_context("fork").Pool(2) as workers:  # ended by SIGTERM
                        assert workers.map(abs, [-1, -2]) == [1, 2]
                    self.log.info("end")
            Worker.main()
        """) as program:
            program.registered()
            task = Task({"to": "py.async.program"})
            self.producer.send_task(task)
            program.wait_for("begin")
            self.assertEqual(program.stop(), 0)  # what is in process is finished
            self.assertEqual(self.done(task), (1, 0))
            self.assertIn("end", program.out.text)

    # ---- No broker, other brokers

    def test_nobody_listens(self):
        config = ConfigMock({"broker": {"address": "tcp://127.0.0.1:1"}, "karton": {"connect_timeout": "300ms"}})
        with Producer(config, identity="p") as producer:
            with self.assertRaisesRegex(UnreachableError, r"nothing listens at tcp://127.0.0.1:1 \(address from program\)"):
                producer.send_task(Task({}))
        with Program(self.broker, """
            from zkarton import Consumer
            class Worker(Consumer):
                identity = "py.x"
            Worker.main()
        """, "--broker", "tcp://127.0.0.1:1", "--connect-timeout", "300ms") as program:
            self.assertEqual(program.end(), 3)
            self.assertEqual(program.out.text.count("BROKER-UNREACHABLE"), 1)

    def test_waiting_for_a_broker_costs_next_to_nothing(self):
        producer = Producer(ConfigMock({"broker": {"address": "tcp://127.0.0.1:1"}}), identity="p")
        self.addCleanup(producer.close)
        session = producer.backend.session
        until("it is refused", lambda: session._refused_since_s)
        # As if more time had passed than a WELCOME may take.
        session._greeted_s -= 60
        turns = []
        turn = session._turn
        session._turn = lambda: turns.append(1) or turn()
        session._wake()
        with self.assertRaises(AnswerTimeoutError if session.state == "open" else UnreachableError):
            producer.query("queues", timeout=1)
        self.assertLess(len(turns), 60)

    def test_other_version_names_both(self):
        socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.addCleanup(socket.close, 0)
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        code = next(number for number, name in ERRORS.items() if name == "VERSION_UNSUPPORTED")

        def answer():
            peer, frame = socket.recv_multipart()
            socket.send_multipart([peer, msgpack.packb([VERBS["ERROR"], msgpack.unpackb(frame)[1],
                                                        {"code": code, "message": "this broker speaks ZKP/9"}])])

        thread = threading.Thread(target=answer)
        thread.start()
        with Producer(ConfigMock({"broker": {"address": f"tcp://127.0.0.1:{port}"}}), identity="p") as producer:
            with self.assertRaisesRegex(VersionError, "ZKP/9.*zkarton 0.1.0 for Python, which speaks ZKP/1"):
                producer.send_task(Task({}))
        thread.join()

    def test_closed_producer_refuses(self):
        producer = Producer(self.config(), identity="p")
        producer.send_task(Task({"a": 1}))
        session = producer.backend.session
        producer.close()
        with self.assertRaisesRegex(zkarton.ZkartonError, "closed"):
            session.ask("QUERY", {"what": "queues"})
        for use in (lambda: producer.send_task(Task({"a": 1})), lambda: producer.query("queues")):
            with self.assertRaisesRegex(zkarton.exceptions.SessionClosedError, "the session was closed"):
                use()
        producer.log_handler.handle(logging.LogRecord("p", logging.INFO, "", 0, "too late", (), None))  # harms nothing
        with Producer(self.config(), identity="p") as producer:
            pass
        with self.assertRaisesRegex(zkarton.exceptions.SessionClosedError, "the session was closed"):
            producer.send_task(Task({"a": 1}))

    def test_config_of_a_program(self):
        self.assertIsInstance(Producer(Config(self.broker.ini)).config, Config)


if __name__ == "__main__":
    unittest.main()
