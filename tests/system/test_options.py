"""Options of the broker do what docs/configuration.md says: each is set to something else than its default and seen at work."""
import unittest
import uuid

from support.broker import Broker
from support.zkp import Peer, task


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
        self.peer(broker).hello_worker("test.full", [{"type": "a"}])
        producer = self.peer(broker)
        producer.hello()
        producer.submit(*[task({"type": "a"}) for _ in range(3)])
        producer.send("SUBMIT", {"number": producer.number + 1, "tasks": [task({"type": "a"})]})
        verb, _, body = producer.receive()
        self.assertEqual((verb, body["code"], body["retryable"]), ("ERROR", 10, True))  # BUSY

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
