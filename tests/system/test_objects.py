"""Bytes of resources: a large file in constant memory, and what happens to objects when nobody needs them any more."""
import glob
import os
import subprocess
import threading
import time
import unittest

from support.broker import Broker, bin_dir
from system.test_cli import Service

LARGE_BYTES = 1 << 30
MEMORY_MAX_KIB = 64 << 10


def anonymous_kib(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            for line in file:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


class Peak:
    """The largest anonymous memory of some processes, looked at all the time."""

    def __init__(self, **pids):
        self.kib = dict.fromkeys(pids, 0)
        self.pids = pids
        self.end = threading.Event()
        self.thread = threading.Thread(target=self._look)

    def _look(self):
        while not self.end.wait(0.01):
            for name, pid in self.pids.items():
                self.kib[name] = max(self.kib[name], anonymous_kib(pid))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()


class ObjectsTest(unittest.TestCase):
    def setUp(self):
        self.broker = Broker()
        self.addCleanup(self.broker.__exit__)
        self.broker.start()

    def objects(self):
        return glob.glob(os.path.join(self.broker.data, "objects", "??", "*"))

    def wait_for_objects(self, count):
        deadline = time.monotonic() + 30
        while len(self.objects()) != count:
            self.assertLess(time.monotonic(), deadline, f"{self.objects()} instead of {count}")
            time.sleep(0.02)

    @unittest.skipIf("asan" in bin_dir() or "tsan" in bin_dir(), "sanitizers need memory of their own")
    def test_a_large_file_needs_little_memory(self):
        path = os.path.join(self.broker.dir, "large")
        with open(path, "wb") as file:
            file.truncate(LARGE_BYTES)
            file.seek(LARGE_BYTES - 4)
            file.write(b"last")
        os.environ["TMPDIR"] = self.broker.dir
        self.addCleanup(os.environ.pop, "TMPDIR")
        with Service(self.broker, "exec", "t.large", "type=large", "--", "sh", "-c",
                     f"test $(stat -c %s in/sample) = {LARGE_BYTES} && test $(tail -c 4 in/sample) = last") as service:
            sender = subprocess.Popen([os.path.join(bin_dir(), "zkarton"), "send", "type=large", "-r", "sample=" + path, "--wait",
                                       "--timeout", "5m"], env=self.broker.environment, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            with Peak(broker=self.broker.process.pid, worker=service.process.pid, sender=sender.pid) as peak:
                self.assertEqual(sender.wait(300), 0)
            for name, kib in peak.kib.items():
                self.assertLess(kib, MEMORY_MAX_KIB, f"anonymous memory of the {name}")
                self.assertGreater(kib, 0)

    def test_an_object_goes_with_its_last_task(self):
        with Service(self.broker, "exec", "t.one", "type=one", "--", "sh", "-c",
                     "zkarton send type=two -r sample=in/sample") as one:
            path = os.path.join(self.broker.dir, "file")
            with open(path, "w", encoding="utf-8") as file:
                file.write("content")
            with Service(self.broker, "exec", "t.two", "type=two", "--", "sleep", "1000") as two:
                self.broker.run("zkarton", "send", "type=one", "-r", "sample=" + path)
                two.log.drain()
                self.wait_for_objects(1)
                two.process.kill()
                two.process.wait()
            with Service(self.broker, "exec", "t.two", "type=two", "--", "grep", "-q", "content", "{}"):
                self.wait_for_objects(0)  # the child held it until now
            self.assertEqual(one.stop(), 0)

    def test_an_object_survives_the_broker(self):
        path = os.path.join(self.broker.dir, "file")
        with open(path, "w", encoding="utf-8") as file:
            file.write("content")
        with Service(self.broker, "exec", "t.later", "type=later", "--", "true") as service:
            self.assertEqual(service.stop(), 0)
        root = self.broker.run("zkarton", "send", "type=later", "-r", "sample=" + path)[1].strip()
        self.broker.kill()
        self.broker.start()
        self.assertEqual(len(self.objects()), 1)
        with Service(self.broker, "exec", "t.later", "type=later", "--", "grep", "-q", "content", "{}"):
            self.assertEqual(self.broker.run("zkarton", "wait", root, timeout=60)[0], 0)
        self.wait_for_objects(0)


if __name__ == "__main__":
    unittest.main()
