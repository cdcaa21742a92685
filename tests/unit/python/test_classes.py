"""Tasks, resources, configuration, filters and services of the Python client, without a broker."""
import asyncio
import configparser
import copy
import io
import json
import logging
import os
import pickle
import tempfile
import unittest
import uuid
import warnings
import zipfile
from unittest import mock

from support import python_client  # noqa: F401 puts the package on the path

import zkarton
import zkarton.asyncio.service
from zkarton import Config, Consumer, Karton, LogConsumer, Producer, RemoteResource, Resource, Task, TaskPriority, query
from zkarton._logging import pack_record
from zkarton._values import unpack
from zkarton.exceptions import ConfigError, FilterError, InvalidIdentityError, TaskTimeoutError
from zkarton.test import BackendMock, ConfigMock, KartonTestCase, assert_tasks_equal, run_task


class TaskTest(unittest.TestCase):
    def test_identifiers(self):  # A1, T1
        task = Task({"a": 1}, root_uid="11111111-1111-4111-8111-111111111111")
        self.assertEqual(task.uid, "{11111111-1111-4111-8111-111111111111}:" + task.task_uid)
        with self.assertRaises(ValueError):
            Task({}, uid="u")
        with self.assertRaises(ValueError):
            Task({}, payload=[1])

    def test_fork_and_derive(self):  # A2
        task = Task({"a": 1}, {"x": 1}, {"p": 2}, {"y": 3}, TaskPriority.HIGH, parent_uid="p")
        fork, derived = task.fork_task(), task.derive_task({"b": 1})
        self.assertEqual((fork.root_uid, fork.orig_uid, fork.parent_uid, fork.priority), (task.root_uid, task.uid, "p",
                                                                                          TaskPriority.HIGH))
        self.assertEqual((derived.headers, derived.payload, derived.payload_persistent), ({"b": 1, "p": 2}, {"x": 1}, {"y": 3}))
        self.assertEqual((derived.parent_uid, derived.priority), (None, TaskPriority.NORMAL))
        self.assertNotEqual(derived.root_uid, task.root_uid)

    def test_payload(self):  # A5
        task = Task({}, {"a": [1, {"b": 2}]}, payload_persistent={"p": 1})
        for name in ("a", "p"):
            with self.assertRaises(ValueError):
                task.add_payload(name, 1)
        with self.assertRaises(KeyError):
            task.remove_payload("p")
        with self.assertRaises(TypeError):
            task.get_resource("a")
        self.assertEqual(dict(task.walk_payload_items()), {"payload.a.0": 1, "payload.a.1.b": 2, "payload_persistent.p": 1})

    def test_document(self):  # T2, T4
        task = Task({"t": 1}, {"r": Resource("n", b"x")}, {"p": 1}, {"q": 2})
        document = json.loads(task.serialize())
        self.assertEqual(document["payload_persistent"], {"q": 2, "__headers_persistent": {"p": 1}})
        again = Task.unserialize(task.serialize())
        self.assertIsInstance(again.payload["r"], RemoteResource)
        self.assertEqual(json.loads(again.serialize()), document)
        raw = Task.unserialize(task.serialize(), parse_resources=False)
        self.assertEqual(raw.payload["r"]["__karton_resource__"]["size"], 1)


    def test_copies_and_pickles(self):
        task = Task({"t": 1}, {"r": RemoteResource("n", uid="u", backend=lambda: None)}, {"p": 1})
        task._asker = lambda: None
        for other in (copy.deepcopy(task), pickle.loads(pickle.dumps(task))):
            self.assertEqual(other.to_dict(), task.to_dict())
            self.assertEqual(other.headers_persistent, {"p": 1})
        self.assertIsNone(pickle.loads(pickle.dumps(task)).payload["r"].backend)

    def test_uids_are_random_uuids(self):
        uids = {Task({}).task_uid for _ in range(2000)}
        self.assertEqual(len(uids), 2000)
        for uid in uids:
            parsed = uuid.UUID(uid)
            self.assertEqual((str(parsed), parsed.version, parsed.variant), (uid, 4, uuid.RFC_4122))


class ResourceTest(unittest.TestCase):
    def test_exactly_one_source(self):  # B1, T6
        for arguments in ({}, {"content": b""}, {"content": b"x", "path": "/etc/passwd"}):
            with self.assertRaises(ValueError):
                Resource("n", **arguments)
        with tempfile.NamedTemporaryFile() as file:
            empty = Resource("n", path=file.name)
            self.assertEqual((empty.size, empty.sha256[:8]), (0, "e3b0c442"))
        stream = io.BytesIO(b"abc")
        stream.seek(2)
        resource = Resource("n", fd=stream)
        self.assertEqual((resource.size, stream.tell()), (3, 2))
        with self.assertRaisesRegex(RuntimeError, "first byte"):
            with resource.open():
                pass

    def test_broken_download_leaves_nothing(self):
        backend = BackendMock()
        backend.buckets["karton.test"]["11111111-1111-4111-8111-111111111111"] = b"other bytes"
        resource = RemoteResource("n", uid="11111111-1111-4111-8111-111111111111", backend=backend, size=11, sha256="00" * 32)
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaisesRegex(zkarton.ZkartonError, "SHA-256 differs"):
                resource.download_to_file(os.path.join(folder, "x"))
            self.assertEqual(os.listdir(folder), [])

    def test_links_out_of_a_directory_are_left_out(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "a"), "w", encoding="ascii") as file:
                file.write("x")
            for target, name in (("a", "in"), ("/etc/passwd", "out"), ("../" * 20 + "etc/passwd", "far"), ("/etc", "outdir")):
                os.symlink(target, os.path.join(folder, name))
            packed = Resource.from_directory("all", folder)
            with packed.open() as file, zipfile.ZipFile(file) as archive:
                self.assertEqual(sorted(archive.namelist()), ["a", "in"])


class ConfigTest(unittest.TestCase):
    def load(self, text, **environ):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "karton.ini")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            with mock.patch.dict(os.environ, environ), mock.patch.object(Config, "SEARCH_PATHS", []):
                return Config(path), path

    def test_files_and_environment(self):  # E1-E4, S22, S24
        config, path = self.load("[broker]\naddress = tcp://h:1\n[mwdb]\nAPI_key: a%%b\n[karton]\ntask_timeout=2m\n",
                                 KARTON_MWDB_API_URL="u", KARTON_KARTON_DEBUG="yes")
        self.assertEqual(config.get("mwdb", "api_key"), "a%b")
        self.assertEqual(dict(config.config.items("mwdb")), {"api_key": "a%b", "api_url": "u"})
        self.assertEqual(config.origin("broker", "address"), path + ":2")
        self.assertEqual(config.origin("mwdb", "api_url"), "KARTON_MWDB_API_URL")
        self.assertIs(config.getboolean("karton", "debug"), True)
        self.assertEqual(config.getduration("karton", "task_timeout"), 120)
        with self.assertRaises(configparser.NoSectionError):
            config.items("nothing")
        with self.assertRaises(ValueError):
            config.set("karton", "debug", "perhaps")
            config.getboolean("karton", "debug")
        with self.assertRaises(IOError):
            Config("/nowhere/karton.ini")

    def test_unknown_options(self):
        with self.assertRaisesRegex(ConfigError, r'karton.ini:2: \[broker\] adress: unknown. Did you mean "address"\?'):
            self.load("[broker]\nadress = x\n")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.load("[karton]\nidentiti = x\n")
        self.assertIn("identiti", str(caught[0].message))


class FilterTest(unittest.TestCase):
    def test_wrong_ones_are_named(self):
        for filters, message in ((None, "must be a list of maps, not a null"), ({"a": 1}, r"Did you mean \[\{…\}\]\?"),
                                 ([1], r"filters\[0\]: must be a map"), ([{"a": {"$in": 3}}], r"filters\[0\].a.\$in: must be a list"),
                                 ([{}, {"a": {"b": {"$type": "sting"}}}], r'filters\[1\].a.b.\$type: unknown type "sting". Did you mean "string"'),
                                 ([{"a": {"$regex": "("}}], r"filters\[0\].a.\$regex"), ([{"a": {"$mod": [0, 1]}}], "the divisor is zero")):
            with self.assertRaisesRegex(FilterError, message):
                query.check(filters)
        for filters in ([], {}, [{}], [{"a": "!b*"}]):
            query.check(filters)

    def test_class_with_a_wrong_filter_does_not_come_to_be(self):
        with self.assertRaisesRegex(FilterError, 'Did you mean "\\$not"'):
            type("Wrong", (Karton,), {"filters": [{"a": {"$nto": 1}}]})

    def test_run_time_errors_are_no_match(self):  # F8
        self.assertFalse(Task({"a": "text"}).matches_filters([{"a": {"$mod": [2, 0]}}]))


class Service(Karton):
    """Says what it is given"""

    identity = "py.service"
    filters = [{"type": "t"}]

    def process(self, task):
        self.send_task(Task({"type": "out"}, {"said": task.get_payload("say"), "file": Resource("f", b"x")}))


class ServiceTest(unittest.TestCase):
    def test_identity(self):  # P13, S26
        for wrong in ("a b", "a?b", "x" * 300):
            with self.assertRaises(InvalidIdentityError):
                Producer(ConfigMock(), identity=wrong)
        config = ConfigMock({"karton": {"debug": "1", "identity": "other"}})
        service = Service(config=config, backend=BackendMock())
        self.assertRegex(service.identity, "^other-[0-9a-f]{8}-dev$")
        self.assertFalse(service.persistent)
        self.assertEqual(len(service.log.handlers), 1)  # logs are not forwarded

    def test_main_is_of_the_class(self):  # P12
        with self.assertRaisesRegex(TypeError, "only on class"):
            Service(config=ConfigMock(), backend=BackendMock()).main()

    def test_filters_none(self):  # F9
        with self.assertRaises(ValueError):
            type("Empty", (Consumer,), {"filters": None, "identity": "x"})(config=ConfigMock(), backend=BackendMock())

    def test_inheritance_of_children(self):  # A3, A4, S21
        parent = Task({"type": "t"}, {"say": 1}, {"p": "parent"}, {"k": "parent"}, TaskPriority.LOW)

        class Child(Service):
            def process(self, task):
                self.send_task(Task({"type": "c", "p": "own"}, {"k": "own", "z": 1}, priority=TaskPriority.HIGH))

        child, = run_task(Child, parent)
        self.assertEqual(child.headers, {"type": "c", "p": "parent", "origin": "py.service"})
        self.assertEqual((child.payload, child.payload_persistent, child.priority), ({"z": 1}, {"k": "parent"}, TaskPriority.LOW))
        self.assertEqual(child.root_uid, parent.root_uid)

    def test_signaling(self):  # P11
        service = Service(config=ConfigMock({"signaling": {"status": "1"}}), backend=BackendMock())
        self.assertEqual([name for name, _ in service._pre_hooks], ["task_begin"])

    def test_records(self):  # parity B, log record
        service = Service(config=ConfigMock(), backend=BackendMock())
        zkarton.task.set_current_task(Task({"a": 1}))
        try:
            try:
                raise ValueError("odd \ud800")
            except ValueError:
                service.log.exception("it %s", "failed", extra={"more": object(), "big": 2 ** 80})
        finally:
            zkarton.task.set_current_task(None)
        record = unpack(service.backend.records[-1])
        self.assertEqual((record["levelname"], record["excType"], record["type"], record["big"]),
                         ("ERROR", "ValueError", "log", 2 ** 80))
        self.assertIn("it failed\nTraceback", record["message"])
        self.assertEqual(json.loads(record["task"])["headers"], {"a": 1})
        self.assertLess(len(pack_record({"message": "x" * (1 << 20), "task": "y" * (1 << 20)})), 256 << 10)

    def test_record_of_what_cannot_be_shown(self):
        class Mute(Exception):
            def __str__(self):
                raise RuntimeError("no text")
            __repr__ = __str__

        service = Service(config=ConfigMock(), backend=BackendMock())
        try:
            raise Mute
        except Mute:
            service.log.exception("it failed", extra={"more": Mute()})
        record = unpack(service.backend.records[-1])
        self.assertEqual((record["excType"], record["excValue"], record["more"]),
                         ("Mute", "<unprintable Mute>", "<unprintable Mute>"))

    def test_changed_task_shows_in_its_records(self):
        service = Service(config=ConfigMock(), backend=BackendMock())
        task = Task({"a": 1}, {"x": [1]})
        zkarton.task.set_current_task(task)
        try:
            service.log.info("one")
            task.payload["x"].append(2)
            service.log.info("two")
        finally:
            zkarton.task.set_current_task(None)
        first, second = (json.loads(unpack(record)["task"])["payload"]["x"] for record in service.backend.records[-2:])
        self.assertEqual((first, second), ([1], [1, 2]))

    def test_log_consumer_survives(self):  # P14
        class Odd(LogConsumer):
            identity = "py.logs"

            def process_log(self, event):
                raise ValueError(event["task"]["x"])

        with mock.patch("traceback.print_exc") as shown:
            Odd(config=ConfigMock(), backend=BackendMock())._process_one({"seq": 1, "task": '{"x": 1}'})
        self.assertTrue(shown.called)

    def test_functions_as_services(self):
        @zkarton.consumer("py.function", [{"type": "t"}], version="3", task_timeout=5)
        def double(karton, task):
            """Doubles"""
            karton.send_task(Task({"type": "out"}, {"n": 2 * task.get_payload("n")}))

        @zkarton.consumer("py.coroutine", [{"type": "t"}])
        async def later(karton, task):
            await asyncio.sleep(0)
            await karton.send_task(Task({"type": "out"}, {"n": 1 + task.get_payload("n")}))

        self.assertEqual((double.version, double.__doc__, double.task_timeout), ("3", "Doubles", 5))
        self.assertEqual([run_task(service, Task({"type": "t"}, {"n": 4}))[0].payload["n"] for service in (double, later)], [8, 5])


class KitTest(KartonTestCase):
    karton_class, config = Service, ConfigMock()

    def test_run_task(self):  # I5
        sent = self.run_task(Task({"type": "t"}, {"say": [1], "in": Resource("i", b"in")}))
        wanted = [Task({"type": "out", "origin": "py.service"}, {"said": [1], "file": Resource("other name", b"x")})]
        self.assertTasksEqual(sent, wanted)
        wanted[0].payload["file"] = Resource("f", b"y")
        with self.assertRaisesRegex(AssertionError, "Resource content mismatch in payload.file"):
            assert_tasks_equal(sent, wanted)

    def test_refuses_what_the_bus_would(self):
        with self.assertRaisesRegex(TypeError, "^payload.said: bytes"):
            self.run_task(Task({"type": "t"}, {"say": b"x"}))


class LimitTest(unittest.TestCase):
    def test_swallowed_timeout_comes_again(self):
        from zkarton import _limit
        count = 0
        with mock.patch.object(_limit, "AGAIN_S", 0.05):
            with self.assertRaises(TaskTimeoutError):
                with _limit.time_limit("50ms"):
                    while True:
                        try:
                            while True:
                                pass
                        except BaseException:
                            count += 1
                            if count == 2:
                                raise
        self.assertEqual(count, 2)


class PostTest(unittest.TestCase):
    """zkarton.asyncio: what is posted and not answered is bounded."""

    def post(self, limit, value, most):
        receipts = []
        backend = mock.Mock()
        backend.session.submit_receipt = receipts.append
        producer = zkarton.asyncio.Producer(ConfigMock(), identity="p", backend=backend)

        async def run():
            with mock.patch.object(zkarton.asyncio.service, limit, value):
                for _ in range(most):
                    await asyncio.wait_for(producer.post_task(Task({"a": 1})), 5)
                waiting = asyncio.ensure_future(producer.post_task(Task({"a": 1})))
                done, _ = await asyncio.wait({waiting}, timeout=0.05)
                self.assertEqual((len(done), len(receipts)), (0, most))
                receipts[0].refuse(zkarton.ZkartonError("refused", "TOO_LARGE"))
                await asyncio.wait_for(waiting, 5)
                for receipt in receipts[1:]:
                    receipt.finish()
                with self.assertRaisesRegex(zkarton.ZkartonError, "refused"):
                    await producer.flush()
                await producer.flush()  # said once

        asyncio.run(run())
        self.assertEqual(len(receipts), most + 1)

    def test_tasks(self):
        self.post("POSTED_TASKS_MAX", 4, 4)

    def test_bytes(self):
        self.post("POSTED_BYTES_MAX", 0, 1)


class LogsTest(unittest.TestCase):
    def test_records_that_are_dropped_are_told_once(self):
        from zkarton._session import questions
        session = mock.Mock()
        waiting = questions.Questions(session)
        for _ in range(questions.LOGS_WAITING_MAX):
            waiting.take_log(b"")
        session.note.assert_not_called()
        for _ in range(2):
            waiting.take_log(b"")
        session.note.assert_called_once_with("WARNING", "LOGS-DROPPED", mock.ANY)


logging.getLogger("py.service").propagate = False

if __name__ == "__main__":
    unittest.main()
