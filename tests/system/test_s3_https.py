"""Clients of an S3 server with a certificate of its own: who knows it moves bytes, who does not says so and loses nothing."""
import hashlib
import io
import json
import os
import signal
import subprocess
import time
import unittest

from support.broker import Broker, LineReader, bin_dir, until
from support.karton import PACKAGE, services_bin
from support.processes import Process
from support.python_client import Program
from support.s3 import Versitygw, s3_options
from system.test_cli import Service

from zkarton import Producer, Resource, Task
from zkarton.exceptions import ZkartonError
from zkarton.test import ConfigMock

SMALL = b"content"
LARGE = os.urandom((5 << 20) + 1)  # goes in two parts
READER = """
    from zkarton import Karton
    class Reader(Karton):
        identity = "py.reader"
        filters = [{"type": "python"}]
        def process(self, task):
            for resource in task.iterate_resources():
                resource.download()
    Reader.main()
"""
KARTON = """
import hashlib
from karton.core import Karton, Resource, Task
class Passer(Karton):
    identity = "karton.passer"
    filters = [{"type": "karton"}]
    def process(self, task):
        for name, digest in task.get_payload("sums").items():
            assert hashlib.sha256(task.get_resource(name).content).hexdigest() == digest
        self.send_task(Task({"type": "exec"}, payload={"new": Resource("new", content=b"of karton")}))
Passer.main()
"""


class Client:
    """What Service and Program need of a broker; its configuration names the broker and perhaps the certificates."""

    def __init__(self, broker, folder, ca_file):
        self.dir = folder
        self.environment = dict(broker.environment)
        del self.environment["KARTON_CONFIG_FILE"]
        if ca_file is not None:
            self.environment["KARTON_S3_CA_FILE"] = ca_file
        self.options = {"broker": {"address": broker.endpoints["broker"]}, "s3": {"ca_file": ca_file} if ca_file else {}}

    def run(self, *args):
        done = subprocess.run([os.path.join(bin_dir(), args[0]), *args[1:]], env=self.environment, cwd=self.dir,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout.strip(), done.stderr


class HttpsTest(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Versitygw(is_secure=True))
        options = s3_options(self.server, multipart_threshold="5MiB")
        options["s3"]["ca_file"] = self.server.certificate
        options["store"] = {"min_free": "1MiB", "finished_ttl": "1h"}
        self.broker = self.enterContext(Broker(options, args=["--setup-bucket"]))
        folder = os.path.join(self.server.dir, "client")  # without a karton.ini
        os.mkdir(folder)
        self.knowing = Client(self.broker, folder, self.server.certificate)
        self.unknowing = Client(self.broker, folder, None)
        self.files = []
        for name, content in (("small", SMALL), ("large", LARGE)):
            path = os.path.join(folder, name)
            with open(path, "wb") as file:
                file.write(content)
            self.files += ["-r", f"{name}={path}"]

    def assert_names_the_setting(self, text):
        self.assertIn("[s3] ca_file", text)
        self.assertIn(self.server.address, text)
        self.assertIn("the certificates of the system", text)
        self.assertNotIn("X-Amz", text)

    def objects(self):
        return sorted(os.path.getsize(path) for path in self.server.objects())

    def test_the_command_line_and_exec(self):
        begin_s = time.monotonic()
        code, said, error = self.unknowing.run("zkarton", "send", "type=exec", *self.files)
        self.assertNotEqual(code, 0)
        self.assertLess(time.monotonic() - begin_s, 20)  # not the patience of one who waits
        self.assertEqual(said, "")
        self.assert_names_the_setting(error)
        self.assertEqual(self.objects(), [])
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in (("small", SMALL), ("large", LARGE))}
        check = " && ".join(f'test "$(sha256sum < in/{name})" = "{digest}  -"' for name, digest in sums.items())

        def worker(client):
            return Service(client, "exec", "t.exec", "type=exec", "--", "sh", "-c", check)

        with worker(self.unknowing) as service:
            code, root, error = self.knowing.run("zkarton", "send", "type=exec", *self.files)
            self.assertEqual(code, 0, error)
            self.assertEqual(self.objects(), [len(SMALL), len(LARGE)])
            self.assert_names_the_setting(service.log.wait_for("retrying"))
            # Ctrl-C until it is seen twice: the task goes back.
            until("the end", lambda: service.process.send_signal(signal.SIGINT) or service.process.poll() is not None)
        with worker(self.knowing):
            code, said, error = self.knowing.run("zkarton", "wait", root)
            self.assertEqual(code, 0, said + error)
        until("the objects' end", lambda: not self.server.objects())

    def test_a_file_that_is_no_certificate(self):
        client = Client(self.broker, self.knowing.dir, os.path.join(self.knowing.dir, "small"))
        code, _, error = client.run("zkarton", "send", "type=exec", *self.files)
        self.assertNotEqual(code, 0)
        self.assertIn("[s3] ca_file", error)
        self.assertIn(client.environment["KARTON_S3_CA_FILE"], error)
        with Producer(ConfigMock(client.options), identity="tester") as producer, self.assertRaises(ZkartonError) as raised:
            producer.send_task(Task({"type": "python"}, {"r": Resource("small", SMALL)}))
        self.assertEqual(raised.exception.code, "CONFIG_INVALID")
        self.assertIn(client.environment["KARTON_S3_CA_FILE"], str(raised.exception))

    def test_python(self):
        task = Task({"type": "python"}, {"small": Resource("small", SMALL), "large": Resource("large", fd=io.BytesIO(LARGE))})
        for resource in (Resource("small", SMALL), Resource("large", LARGE)):
            with Producer(ConfigMock(self.unknowing.options), identity="tester") as producer, \
                    self.assertRaises(ZkartonError) as raised:
                producer.send_task(Task({"type": "python"}, {"r": resource}))
            self.assertEqual(raised.exception.code, "CONFIG_INVALID")
            self.assert_names_the_setting(str(raised.exception))
        self.assertEqual(self.objects(), [])
        with Program(self.unknowing, READER) as program:
            program.registered()
            with Producer(ConfigMock(self.knowing.options), identity="tester") as producer:
                producer.send_task(task)
            self.assertEqual(self.objects(), [len(SMALL), len(LARGE)])
            self.assert_names_the_setting(program.wait_for("retrying"))
            program.signal(signal.SIGINT)
            program.wait_for("shutting down")
            program.signal(signal.SIGINT)
            self.assertEqual(program.end(), 130)
        with Program(self.knowing, READER), Producer(ConfigMock(self.knowing.options), identity="tester") as producer:
            summary = producer.wait(task.root_uid, 60)
        self.assertEqual((summary.finished, summary.crashed), (1, 0))

    def test_a_service_of_karton(self):
        folder = os.path.join(self.server.dir, "karton")
        os.mkdir(folder)
        with open(os.path.join(folder, "karton.ini"), "w", encoding="utf-8") as ini:
            ini.write(f"[zkarton]\naddress = {self.broker.endpoints['broker']}\n[redis]\nhost = nowhere\n"
                      f"[s3]\naddress = https://nowhere\naccess_key = a\nsecret_key = b\nbucket = c\nca_file = {self.server.certificate}\n")
        with open(os.path.join(folder, "passer.py"), "w", encoding="utf-8") as program:
            program.write(KARTON)
        sums = json.dumps({name: hashlib.sha256(content).hexdigest() for name, content in (("small", SMALL), ("large", LARGE))})
        environment = {name: value for name, value in self.knowing.environment.items() if not name.startswith("KARTON_")}
        service = Process([services_bin("python"), "-m", "zkarton.karton", "passer.py"], cwd=folder, stdin=subprocess.DEVNULL,
                          env=dict(environment, PYTHONPATH=PACKAGE), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            LineReader(service.stderr).wait_for("Binding on:", 60)
            with Service(self.knowing, "exec", "t.exec", "type=exec", "--", "grep", "-q", "of karton", "in/new"):
                code, root, error = self.knowing.run("zkarton", "send", "type=karton", "-p", f"sums:={sums}", *self.files)
                self.assertEqual(code, 0, error)
                code, said, error = self.knowing.run("zkarton", "wait", root)
                self.assertEqual(code, 0, said + error)
                self.assertIn("finished", said)
        finally:
            service.kill()
            service.wait()
            service.stderr.close()


if __name__ == "__main__":
    unittest.main()
