"""Options of the broker do what docs/configuration.md says: each is set to something else than its default and seen at work."""
import os
import subprocess
import tempfile
import unittest
import uuid

from support.broker import Broker, bin_dir
from support.zkp import Peer, task


class CheckConfigTest(unittest.TestCase):
    """--check-config refuses what cannot work, and says where it is written."""

    def check(self, text, *args):
        with tempfile.TemporaryDirectory() as path:
            file = os.path.join(path, "c.ini")
            with open(file, "w", encoding="utf-8") as out:
                out.write(text)
            clean = {name: value for name, value in os.environ.items()
                     if not name.startswith(("AWS_", "KARTON_", "ZKT_"))}
            done = subprocess.run([os.path.join(bin_dir(), "zkarton-broker"), "--check-config", "-c", file, *args],
                                  env=dict(clean, HOME=path), cwd=path, capture_output=True, timeout=30, check=False)
            return done.returncode, done.stderr.decode().replace(path + "/", "")

    def test_what_cannot_work_is_refused(self):
        s3 = "[object]\nkind = s3\n[s3]\n"
        for text, args, words in (
                ("[broker]\nlisten = tcp://127.0.0.1:99999\n", (), ("c.ini:2: [broker] listen", "65535")),
                ("[broker]\nevents_listen = tcp://127.0.0.1:65536\n", (), ("c.ini:2: [broker] events_listen", "65535")),
                ("[broker]\naddress = tcp://127.0.0.1:70000\n", (), ("c.ini:2: [broker] address", "65535")),
                ("[http]\nlisten = 127.0.0.1:99999\n", (), ("c.ini:2: [http] listen", "65535")),
                ("", ("--http-listen", "127.0.0.1:99999"), ("--http-listen: [http] listen", "65535")),
                ("", ("--listen", "tcp://127.0.0.1:99999"), ("--listen: [broker] listen", "65535")),
                ("[broker]\nlisten = foo\n", (), ('"foo" is not tcp://HOST:PORT',)),
                ("[http]\nlisten = foo\n", (), ('"foo" is not HOST:PORT',)),
                (s3 + "address = http://127.0.0.1:9\n", (), ("[s3] bucket is missing",)),
                (s3 + "bucket = b\n", (), ("[s3] address is missing",)),
                (s3 + "bucket = b\naddress = foo\n", (), ("c.ini:5: [s3] address", '"foo" is not http://HOST:PORT')),
                (s3 + "bucket = b\naddress = http://h:99999\n", (), ("c.ini:5: [s3] address", "65535")),
                ("[object]\nprefix = ../../x\n", (), ("c.ini:2: [object] prefix", "../../x")),
                ("[object]\npublic_address = ftp://x\n", (), ("c.ini:2: [object] public_address", "ftp://x")),
                ("[broker]\nexpiry = 1s\nheartbeat = 3s\n", (), ("c.ini:2: [broker] expiry", "heartbeat")),
                ("[broker]\nexpiry = 5s\nmax_expiry = 4s\n", (), ("c.ini:3: [broker] max_expiry", "expiry"))):
            with self.subTest(text=text, args=args):
                code, err = self.check(text, *args)
                self.assertEqual(code, 2, err)
                self.assertIn("(CONFIG_INVALID)", err)
                for word in words:
                    self.assertIn(word, err)

    def test_what_works_is_accepted(self):
        for text in ("[broker]\nlisten = tcp://127.0.0.1:*\naddress = tcp://host.example:65535\n",
                     "[http]\nlisten = [::1]:0\n", "[object]\nprefix = a/b../\npublic_address = https://files.example/\n",
                     "[object]\nkind = s3\n[s3]\nbucket = b\naddress = https://s3.example\n",
                     "[object]\nkind = s3\n[s3]\nbucket = b\n[minio]\naddress = [::1]:9000\n"):
            with self.subTest(text=text):
                self.assertEqual(self.check(text), (0, ""))


class OptionsTest(unittest.TestCase):
    def broker(self, options=None, args=()):
        broker = Broker(options, args=args).start()
        self.addCleanup(broker.__exit__)
        return broker

    def peer(self, broker):
        peer = Peer(broker.endpoints["broker"])
        self.addCleanup(peer.close)
        return peer

    def test_log_level(self):
        quiet = Broker({"logging": {"level": "ERROR"}}, args=["--log-level", "INFO"])  # the flag wins
        self.addCleanup(quiet.__exit__)
        quiet.start()
        self.peer(quiet).hello_worker("test.logged", [{"type": "a"}])
        quiet.log.wait_for("WORKER-JOINED")
        quiet.args = ["--log-level", "WARNING"]
        quiet.stop()
        quiet.start_quietly()
        self.peer(quiet).hello_worker("test.logged", [{"type": "a"}])
        self.assertEqual(quiet.stop(), 0)
        self.assertNotIn("INFO", quiet.log.text)

    def test_heartbeat_expiry_and_the_most_a_peer_gets(self):
        broker = self.broker({"broker": {"heartbeat": "300ms", "expiry": "1500ms", "max_expiry": "4s"}})
        welcome = self.peer(broker).hello()
        self.assertEqual((welcome["interval_ms"], welcome["expiry_ms"]), (300, 1500))
        self.assertEqual(self.peer(broker).hello(expiry_ms=60000)["expiry_ms"], 4000)

    def test_max_tasks_closes_intake(self):
        broker = self.broker({"store": {"max_tasks": "3"}})
        worker = self.peer(broker)
        worker.hello_worker("test.full", [{"type": "a"}])
        producer = self.peer(broker)
        producer.hello()
        producer.submit(*[task({"type": "a"}) for _ in range(3)])
        producer.send("SUBMIT", {"number": producer.number + 1, "tasks": [task({"type": "a"})]})
        verb, _, body = producer.receive()
        self.assertEqual((verb, body["code"], body["retryable"]), ("ERROR", 10, True))  # BUSY
        self.assertIn("as many tasks as it may", broker.log.wait_for("INTAKE-CLOSED"))
        code, out, err = broker.run("zkarton", "send", "type=a", "--timeout", "1s", check=False)
        self.assertEqual((code, out), (124, ""))
        self.assertEqual(err, "zkarton: 1 task is not confirmed yet: the broker holds as many tasks as it may (BUSY) (TIMEOUT)\n")
        worker.credit(3)
        held = worker.deliver()
        self.assertEqual(len(held), 3)
        for item in held[:2]:  # at the limit each end makes room for one more: not worth a line
            worker.settle(item, "Finished")
            producer.submit(task({"type": "b"}))
            producer.submit(task({"type": "a"}))
        worker.settle(held[2], "Finished")
        broker.log.wait_for("INTAKE-OPENED")
        self.assertEqual(broker.log.text.count("INTAKE-"), 2)

    def test_max_deliveries(self):
        broker = self.broker({"broker": {"heartbeat": "100ms", "expiry": "500ms", "max_deliveries": "1"}})
        worker = self.peer(broker)
        worker.hello_worker("test.once", [{"type": "a"}])
        worker.credit(1)
        producer = self.peer(broker)
        producer.hello()
        lost = task({"type": "a"})
        producer.submit(lost)
        worker.deliver()  # and then silence
        broker.log.wait_for("WORKER-LOST")
        operator = self.peer(broker)
        operator.hello("operator", "watcher")
        operator.send("WAIT", {"root": lost["uid"]})
        self.assertEqual(operator.expect("DONE")["crashed"], 1)

    def test_public_address_begins_the_urls(self):
        broker = self.broker({"object": {"public_address": "http://files.example:81"}})
        peer = self.peer(broker)
        peer.hello()
        peer.send("UPLOAD", {"items": [{"uid": uuid.uuid4().bytes, "size": 3, "sha256": bytes(32)}]})
        self.assertTrue(peer.expect("URLS")["items"][0]["url"].startswith("http://files.example:81/"))

    def test_analyses_that_only_left_a_crashed_task_are_done(self):
        broker = self.broker()
        worker = self.peer(broker)
        worker.hello_worker("test.crash", [{"type": "a"}])
        worker.credit(4)
        producer = self.peer(broker)
        producer.hello()
        producer.submit(task({"type": "a"}), task({"type": "a"}))
        items = []
        while len(items) < 2:
            items += worker.deliver()
        worker.settle(items[0], "Crashed", error="on purpose")
        self.assertEqual(broker.metrics_with("\nzkarton_analyses 1\n").count('zkarton_tasks{state="Crashed"} 1\n'), 1)


if __name__ == "__main__":
    unittest.main()
