"""What uploads and downloads of the Python client survive, as test_transfers.py has it for the C library."""
import io
import os
import signal
import subprocess
import time
import unittest

from support.broker import until
from support.python_transfers import PythonTransfers

from zkarton import Resource, Task

CONTENT = os.urandom(3 << 20)
READER = """
    import hashlib, os
    import zkarton
    from zkarton import Karton, Resource, Task
    class Reader(Karton):
        identity = "py.reader"
        filters = [{"type": "read"}]
        def process(self, task):
            self.log.info("begin")
            for resource in task.iterate_resources():
                resource.download()
"""
LOOP = """
    Reader.main()
"""
FORKS = """
            from zkarton import _transfer
            assert _transfer._kept()
            pid = os.fork()
            if pid == 0:
                os._exit(len(_transfer._kept()))
            assert os.waitpid(pid, 0)[1] == 0
"""
ASYNC = """
    import zkarton.asyncio
    class Reader(zkarton.asyncio.Karton):
        identity = "py.reader"
        filters = [{"type": "read"}]
        task_timeout = 1
        async def process(self, task):
            await task.get_resource("r").download()
    Reader.main()
"""
TRIES_BEFORE = 6  # more than a client without patience would make


class PythonTransfersTest(PythonTransfers, unittest.TestCase):
    OPTIONS = {"url_ttl": "1s"}
    CONTENT = CONTENT
    READER = READER + LOOP

    def tried(self, count):
        until(f"{count} tries", lambda: self.proxy.connections_count >= count)

    def kinds(self):
        folder = os.path.join(self.broker.dir, "folder")
        os.makedirs(folder, exist_ok=True)
        self.write("folder/deep")
        return {"bytes": Resource("bytes", CONTENT), "path": Resource("path", path=self.write("file")),
                "fd": Resource("fd", fd=io.BytesIO(CONTENT)), "directory": Resource.from_directory("folder", folder)}

    def test_every_kind_of_resource_is_sent_again_after_a_cut(self):
        program = self.reader()
        for cuts, (kind, resource) in enumerate(self.kinds().items(), 1):
            with self.subTest(kind=kind):
                self.proxy.cut("up", 1 << 20)
                task = Task({"type": "read"}, {"r": resource})
                self.producer.send_task(task)
                self.assertEqual(self.proxy.cut_count, cuts)
                self.done(task)
        self.assertEqual(program.stop(), 0)

    def test_every_kind_of_resource_is_sent_over_a_connection_that_was_closed(self):
        program = self.reader()
        self.producer.send_task(Task({"type": "read"}, {"r": Resource("first", b"first")}))
        for kind, resource in self.kinds().items():
            with self.subTest(kind=kind):
                self.proxy.refuse()  # resets what was kept
                self.proxy.refuse(False)
                task = Task({"type": "read"}, {"r": resource})
                self.producer.send_task(task)
                self.done(task)
        self.assertEqual(program.stop(), 0)

    def test_upload_and_download_outlast_a_broker_that_is_started_again(self):
        program = self.reader()
        sent = self.cut_while_sending(Resource("r", CONTENT), "up", 1 << 20)
        self.broker.kill()
        self.tried(self.proxy.connections_count + TRIES_BEFORE)
        self.start()
        self.proxy.cut("down", 1 << 20, then_refuse=True)
        self.proxy.refuse(False)
        task = sent()
        until("it is cut", lambda: self.proxy.cut_count == 2)
        self.broker.kill()
        self.tried(self.proxy.connections_count + TRIES_BEFORE)
        self.start()
        self.proxy.refuse(False)
        self.done(task)
        self.assertIn("object store unreachable, retrying", program.out.drain())
        self.assertEqual(program.stop(), 0)

    def test_an_address_that_expires_meanwhile_is_renewed(self):
        program = self.reader()
        self.proxy.refuse()
        sent = self.send_on_a_thread(Resource("r", CONTENT))
        self.tried(1)
        time.sleep(2.2)  # longer than a URL is good: that is what is tested
        self.proxy.cut("down", len(CONTENT) // 2, then_refuse=True)
        self.proxy.refuse(False)
        task = sent()
        until("it is cut", lambda: self.proxy.cut_count == 1)
        time.sleep(2.2)
        before = self.proxy.passed["down"]
        self.proxy.refuse(False)
        self.done(task)
        self.assertLess(self.proxy.passed["down"] - before, len(CONTENT) * 3 // 4)  # with a new address it went on
        self.assertEqual(program.stop(), 0)

    def test_an_upload_whose_answer_was_lost_is_done(self):
        program = self.reader()
        sent = self.cut_while_sending(Resource("r", CONTENT), "down", 1)
        self.assertEqual(len(self.objects()), 1)  # it is there, and nobody was told
        time.sleep(2.2)  # longer than a URL is good
        self.proxy.refuse(False)
        self.done(sent())
        self.assertEqual(program.stop(), 0)

    def test_a_worker_that_waits_for_the_store_can_be_stopped(self):  # P6
        program = self.reader()
        task = Task({"type": "read"}, {"r": Resource("r", CONTENT)})
        self.proxy.cut("down", 1 << 20, then_refuse=True)
        self.producer.send_task(task)
        program.wait_for("object store unreachable, retrying")
        program.signal(signal.SIGINT)
        program.wait_for("shutting down")
        with self.assertRaises(subprocess.TimeoutExpired):
            program.process.wait(0.3)  # it would finish its task
        program.signal(signal.SIGINT)
        self.assertEqual(program.end(), 130)
        self.proxy.refuse(False)
        second = self.reader()
        self.done(task)
        self.assertEqual(second.stop(), 0)

    def test_an_asyncio_task_that_waits_for_the_store_times_out(self):
        program = self.reader(ASYNC)
        self.proxy.cut("down", 1 << 20, then_refuse=True)
        task = Task({"type": "read"}, {"r": Resource("r", CONTENT)})
        self.producer.send_task(task)
        self.done(task, 0, 1)
        self.assertEqual(program.stop(), 0)  # no thread of it goes on

    def test_a_fork_in_one_of_two_slots(self):
        source = READER.replace("    filters", "    concurrency = 2\n        filters") + FORKS + LOOP
        program = self.reader(source)
        tasks = [Task({"type": "read"}, {"r": Resource("r", CONTENT)}) for _ in range(4)]
        for task in tasks:
            self.producer.send_task(task)
        for task in tasks:
            self.done(task)
        self.assertEqual(program.stop(), 0)
