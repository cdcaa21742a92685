"""A damaged or lost store: named, refused, nothing half done; and a first start that was killed begins again."""
import os
import shutil
import subprocess
import tempfile
import unittest

from support.broker import Broker, bin_dir, until
from support.zkp import Peer, task

PROGRAM = os.path.join(bin_dir(), "zkarton-broker")


def run(*args):
    return subprocess.run([PROGRAM, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
                          check=False)


class DamageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker().start()
        cls.addClassCleanup(cls.broker.__exit__)
        worker = Peer(cls.broker.endpoints["broker"])
        worker.hello_worker("q", [{"type": "a"}])
        producer = Peer(cls.broker.endpoints["broker"])
        producer.hello()
        producer.submit(*[task({"type": "a", "n": "x" * 300}) for _ in range(40)])
        worker.close()
        producer.close()
        cls.broker.kill()

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="zkt-test-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.data = os.path.join(self.dir, "data")
        self.file = os.path.join(self.data, "store", "data.mdb")
        self.assertEqual(run("store", "copy", self.broker.data, self.data).returncode, 0)

    def starts(self):
        broker = Broker(data=self.data)
        try:
            broker.start()
        finally:
            broker.__exit__()

    def assert_refused(self, word):
        started = run("--data", self.data, "--port", "0", "--http-listen", "127.0.0.1:0")
        self.assertEqual(started.returncode, 1, started.stderr)
        self.assertIn(word, started.stderr)
        self.assertNotIn("BROKER-READY", started.stderr)

    def assert_no_copy(self):
        copy = os.path.join(self.dir, "copy")
        copied = run("store", "copy", self.data, copy)
        self.assertEqual(copied.returncode, 1, copied.stderr)
        self.assertIn("data.mdb", copied.stderr)
        self.assertFalse(os.path.exists(copy))

    def test_a_whole_copy_starts(self):
        self.starts()

    def test_a_file_that_is_too_short(self):
        size = os.path.getsize(self.file)
        self.assertGreater(size, 20480)
        for length in (0, 1, 4096, 4097, 8192, 12288, size // 4096 // 2 * 4096, size - 4096):
            with self.subTest(length=length):
                with open(self.file, "rb") as file:
                    whole = file.read()
                os.truncate(self.file, length)
                checked = run("store", "check", self.data)
                self.assertEqual(checked.returncode, 1, checked.stdout)
                self.assert_refused("data.mdb")
                self.assert_no_copy()
                dumped = run("store", "dump", self.data)
                self.assertEqual(dumped.returncode, 1, dumped.stdout)
                self.assertIn('"damage"', dumped.stdout)
                self.assertEqual(os.path.getsize(self.file), length)  # nothing was changed
                with open(self.file, "wb") as file:
                    file.write(whole)
        self.starts()

    def test_meta_pages(self):
        with open(self.file, "rb") as file:
            whole = file.read()
        for at in (16, 24, 4096, 4120):
            with self.subTest(at=at):
                with open(self.file, "wb") as file:
                    file.write(whole[:at] + bytes(range(100, 200)) + whole[at + 100:])
                self.assertEqual(run("store", "check", self.data).returncode, 1)
                self.assert_refused("meta page")
                self.assert_no_copy()

    def test_roots_outside_and_of_another_kind(self):
        with open(self.file, "rb") as file:
            whole = file.read()
        newest = 4096 * max((0, 1), key=lambda page: whole[4096 * page + 144:4096 * page + 152][::-1])
        for tree in (40, 88):
            for root in (0, 1, 1 << 20, (1 << 64) - 2):
                with self.subTest(tree=tree, root=root):
                    at = newest + tree + 40
                    with open(self.file, "wb") as file:
                        file.write(whole[:at] + root.to_bytes(8, "little") + whole[at + 8:])
                    self.assert_refused("data.mdb")

    def test_a_store_that_is_gone(self):
        self.starts()  # from now on the data directory knows of its store
        shutil.rmtree(os.path.join(self.data, "store"))
        self.assert_refused("keys/store.made")
        self.assertFalse(os.path.exists(self.file))
        os.unlink(os.path.join(self.data, "keys", "store.made"))  # the operator says so
        self.starts()

    def test_a_first_start_that_was_killed(self):
        shutil.rmtree(self.data)
        for name in ("store/data.mdb", "store/new/data.mdb", "keys/object.secret", "objects"):
            broker = Broker(data=self.data)
            try:
                broker._spawn()
                until(name, lambda: os.path.exists(os.path.join(self.data, name)) or broker.process.poll() is not None
                      or os.path.exists(self.file))
            finally:
                broker.kill()
                broker.__exit__()
            with self.subTest(name=name):
                self.starts()
            shutil.rmtree(self.data)
        # The moments of the creation, one after the other.
        os.makedirs(os.path.join(self.data, "store", "new"))
        open(os.path.join(self.data, "store", "lock"), "w", encoding="utf-8").close()
        open(os.path.join(self.data, "store", "new", "data.mdb"), "w", encoding="utf-8").close()
        open(os.path.join(self.data, "store", "new", "lock.mdb"), "w", encoding="utf-8").close()
        self.starts()
        self.assertFalse(os.path.exists(os.path.join(self.data, "store", "new")))


if __name__ == "__main__":
    unittest.main()
