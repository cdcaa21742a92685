"""Uploads in parts of the Python client, over the directory store and over SeaweedFS: what is cut, killed, refused, changed."""
import asyncio
import hashlib
import io
import os
import time
import unittest
import uuid
from unittest import mock

from karton.core.config import Config

from support.python_transfers import PythonTransfers
from support.s3 import s3_options, server_program
from support.seaweedfs import SeaweedFS

from zkarton import Resource, Task, _bus
from zkarton.asyncio import Producer as AsyncProducer
from zkarton.exceptions import ZkartonError
from zkarton.karton._backend import KartonBackend

PART_SIZE = 5 << 20
CONTENT = os.urandom((4 * PART_SIZE) + 12345)  # five parts
IN_FLIGHT = 4 * PART_SIZE  # what may be under way when something happens
SHORT_S = 2

READER = f"""
    import hashlib
    from zkarton import Karton
    class Reader(Karton):
        identity = "py.reader"
        filters = [{{"type": "read"}}]
        def process(self, task):
            for resource in task.iterate_resources():
                assert hashlib.sha256(resource.content).hexdigest() == resource.sha256
                assert resource.size < {PART_SIZE} or resource.sha256 == "{hashlib.sha256(CONTENT).hexdigest()}"
    Reader.main()
"""


def sender(package, define, send):
    return f"""
    from zkarton import Resource, Task
    from {package} import Karton
    class Sender(Karton):
        identity = "py.sender"
        filters = [{{"type": "send"}}]
        task_timeout = 2
        concurrency = 2  # not on the main thread
        {define} process(self, task):
            with open("out", "wb") as file:
                file.write(bytes({len(CONTENT)}))
            {send}(Task({{"type": "none"}}, {{"r": Resource("out", path="out")}}))
    Sender.main()
"""


class Parts(PythonTransfers):
    """The tests; what comes after them says over which store."""

    CONTENT = CONTENT
    READER = READER

    def options(self):
        options = super().options()
        is_short = self._testMethodName.startswith("test_addresses")
        options["object"].update({"multipart_threshold": "5MiB", "url_ttl": f"{SHORT_S}s" if is_short else "1h"})
        return options

    def cut_between_parts(self):
        sent = self.cut_while_sending(Resource("path", path=self.write("file")), "up", 3 * PART_SIZE)
        self.proxy.refuse()  # the others too
        return sent

    def test_every_kind_of_resource(self):
        program = self.reader()
        for resource in (Resource("bytes", CONTENT), Resource("path", path=self.write("file")),
                         Resource("fd", fd=io.BytesIO(CONTENT)), Resource("small", b"small")):
            with self.subTest(resource=resource.name):
                task = Task({"type": "read"}, {"r": resource})
                self.producer.send_task(task)
                self.done(task)
        self.assertGreaterEqual(self.proxy.connections_count, 3 * 4)  # parts went side by side
        self.assertEqual(program.stop(), 0)

    def test_asyncio(self):
        async def send():
            async with AsyncProducer(self.config, identity="tester.async") as producer:
                beats = 0

                async def beat():
                    nonlocal beats
                    while True:
                        await asyncio.sleep(0.01)
                        beats += 1

                beating = asyncio.create_task(beat())
                await producer.send_task(task)
                beating.cancel()
                return beats

        program = self.reader()
        task = Task({"type": "read"}, {"r": Resource("path", path=self.write("file"))})
        self.assertGreater(asyncio.run(send()), 2)  # the loop went on meanwhile
        self.done(task)
        self.assertEqual(program.stop(), 0)

    def test_a_part_that_is_cut_goes_again_alone(self):
        program = self.reader()
        self.proxy.cut("up", PART_SIZE // 2)
        task = Task({"type": "read"}, {"r": Resource("path", path=self.write("file"))})
        self.producer.send_task(task)
        self.assertEqual(self.proxy.cut_count, 1)
        self.assertLess(self.proxy.passed["up"], len(CONTENT) + PART_SIZE + (1 << 20))
        self.done(task)
        self.assertEqual(program.stop(), 0)

    def test_broker_killed_between_parts(self):
        program = self.reader()
        sent = self.cut_between_parts()
        self.broker.kill()
        self.start()
        self.proxy.refuse(False)
        self.done(sent())
        self.assertLess(self.proxy.passed["up"], len(CONTENT) + IN_FLIGHT + (1 << 20))
        self.assertEqual(program.stop(), 0)

    def test_addresses_that_end_between_parts(self):
        program = self.reader()
        sent = self.cut_between_parts()
        time.sleep(SHORT_S + 0.2)  # longer than an address is good: that is what is tested
        self.proxy.refuse(False)
        self.done(sent())
        self.assertEqual(program.stop(), 0)

    def test_what_takes_long_is_declared_again(self):
        session = self.producer.backend.session
        declared = []

        def ask_later(question):
            declared.append([item["size"] for item in question.body["items"]])
            asked(question)

        asked = session.ask_later
        with mock.patch.object(session, "ask_later", ask_later), mock.patch.object(_bus, "DECLARE_AGAIN_S", 0.001):
            self.producer.send_task(Task({"type": "none"}, {"a": Resource("a", CONTENT), "b": Resource("b", b"small")}))
        self.assertIn([len(CONTENT), 5], declared)  # all of the task, whichever is under way

    def test_a_timeout_ends_an_upload_that_waits(self):
        for words in (("zkarton", "def", "self.send_task"), ("zkarton.asyncio", "async def", "await self.send_task")):
            program = self.reader(sender(*words))
            self.proxy.cut("up", PART_SIZE // 2, then_refuse=True)
            task = Task({"type": "send"})
            self.producer.send_task(task)
            self.done(task, 0, 1)
            self.assertEqual(program.stop(), 0)  # no thread of it goes on
            self.proxy.refuse(False)
        self.assertEqual(self.proxy.cut_count, 2)

    def test_a_file_that_changed_is_not_sent(self):
        path = self.write("file")
        resource = Resource("file", path=path)
        with open(path, "r+b") as file:
            file.seek(PART_SIZE)
            file.write(b"other bytes")
        with self.assertRaisesRegex(ZkartonError, "file: hash differs: the bytes changed after they were added"):
            self.producer.send_task(Task({"type": "read"}, {"r": resource}))

    def test_a_hash_that_was_given_and_is_wrong(self):
        for content in (b"in one go", CONTENT):
            for source in ({"content": content}, {"path": self.write("given", content)}):
                with self.assertRaisesRegex(ZkartonError, "r: the sha256 that was given is not that of the content"):
                    self.producer.send_task(Task({"type": "read"}, {"r": Resource("r", sha256="0" * 64, **source)}))


class DirPartsTest(Parts, unittest.TestCase):
    def backend(self):
        """karton-core's, as a service on zkarton-karton has it."""
        config = Config(check_sections=False)
        config._config["zkarton"] = {"address": self.broker.endpoints["broker"]}
        backend = KartonBackend(config, "karton.service")
        self.addCleanup(backend.sessions.close)
        return backend

    def test_objects_of_services_for_karton_core(self):
        """B1, B2: in parts too, and compared with what the task says about them."""
        backend = self.backend()
        uid = str(uuid.uuid4())
        backend.upload_object_from_file("any", uid, self.write("file"))
        self.assertGreaterEqual(self.proxy.connections_count, 4)
        stored, = self.objects()
        known = {"uid": uid, "name": "r", "bucket": "any", "size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
        resource = backend.unserialize_resource(known)
        self.assertEqual(resource.content, CONTENT)
        with open(stored, "r+b") as file:
            file.seek(PART_SIZE)
            file.write(b"other bytes")
        resource = backend.unserialize_resource(known)
        out = os.path.join(self.broker.dir, "out")
        for download in (resource.download, lambda: resource.download_to_file(out)):
            with self.assertRaisesRegex(ZkartonError, "not those that were sent"):
                download()
        self.assertFalse(os.path.exists(out))
        backend.unserialize_resource({**known, "size": 5})
        with self.assertRaisesRegex(ZkartonError, "5 were sent"):
            backend.download_object("any", uid)


class S3PartsTest(Parts, unittest.TestCase):
    ARGS = ("--setup-bucket",)

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(SeaweedFS(server_program("weed")))

    def options(self):
        options = super().options()
        store = s3_options(self.server)
        return {**options, **store, "object": {**options["object"], **store["object"]}}

    def store_port(self):
        return self.server.ports["s3.port"]


if __name__ == "__main__":
    unittest.main()
