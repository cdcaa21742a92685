"""Logs and events over PUB: sync topics, Karton's record, one `finished` per completion, gaps of a slow subscriber (S13-S15)."""
import unittest
import uuid

import msgpack
import zmq

from support.broker import Broker
from support.zkp import Peer, task

OPTIONS = {"broker": {"heartbeat": "200ms", "expiry": "5s"}}


class Subscriber:
    def __init__(self, broker, *topics, high_water_mark=0):
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.socket.linger = 0
        self.socket.rcvhwm = high_water_mark
        if high_water_mark:
            self.socket.setsockopt(zmq.RCVBUF, 4096)
        self.socket.connect(broker.endpoints["events"])
        for topic in topics:
            self.socket.subscribe(topic)
        sync = f"sync.{uuid.uuid4()}"
        self.socket.subscribe(sync)
        while self.receive()[0] != sync:
            pass

    def receive(self, timeout_s=10):
        if not self.socket.poll(int(timeout_s * 1000)):
            raise AssertionError("no event came")
        topic, body = self.socket.recv_multipart()
        return topic.decode(), msgpack.unpackb(body)

    def close(self):
        self.socket.close()


class EventsTest(unittest.TestCase):
    def setUp(self):
        self.broker = Broker(OPTIONS).start()
        self.open = []

    def tearDown(self):
        for thing in self.open:
            thing.close()
        self.broker.__exit__()

    def peer(self):
        self.open.append(Peer(self.broker.endpoints["broker"]))
        return self.open[-1]

    def subscriber(self, *topics, **options):
        self.open.append(Subscriber(self.broker, *topics, **options))
        return self.open[-1]

    def record(self, text, level="INFO"):
        return {"name": "tester", "levelname": level, "levelno": 20, "message": text, "type": "log", "task_id": "(no task)"}

    def test_one_finished_event_per_completion(self):
        events = self.subscriber("analysis.")
        worker = self.peer()
        worker.hello_worker("test.events", [{"type": "a"}])
        worker.credit(4)
        producer = self.peer()
        producer.hello()
        first = task({"type": "a"})
        producer.submit(first, task({"type": "nobody"}))
        worker.settle(worker.deliver()[0], "Crashed", error="on purpose")
        seen = {}
        while len(seen) < 2:
            topic, body = events.receive()
            if topic.endswith(".finished"):
                root = topic.split(".")[1]
                self.assertNotIn(root, seen)
                seen[root] = body
        body = seen[str(uuid.UUID(bytes=first["uid"]))]
        self.assertEqual((body["finished"], body["crashed"]), (0, 1))
        producer.send("WAIT", {"root": first["uid"]})
        done = producer.expect("DONE")
        self.assertEqual((done["finished"], done["crashed"]), (0, 1))

    def test_log_record_arrives_as_it_was_sent(self):
        events = self.subscriber("log.info.tester")
        peer = self.peer()
        peer.hello()
        peer.send("LOG", {"records": [self.record("one"), self.record("two", "ERROR"), self.record("three")]}, 0)
        bodies = [events.receive()[1] for _ in range(2)]
        self.assertEqual([body["message"] for body in bodies], ["one", "three"])
        self.assertEqual(bodies[0]["task_id"], "(no task)")

    def test_slow_subscriber_sees_by_the_gaps_what_it_lost(self):
        slow = self.subscriber("log.", high_water_mark=1)
        quick = self.subscriber("log.")
        peer = self.peer()
        peer.hello()
        count = 0
        text = "x" * 2000
        for _ in range(150):  # more than all buffers between the broker and the slow one hold
            peer.send("LOG", {"records": [self.record(text) for _ in range(100)]}, 0)
            count += 100
            for _ in range(100):
                last = quick.receive()[1]["seq"]
        received = []
        while slow.socket.poll(500):
            received.append(slow.receive()[1]["seq"])
        self.assertEqual(received, sorted(received))
        self.assertLess(len(received), count)
        self.assertLessEqual(received[-1], last)
        peer.send("QUERY", {"what": "queues"})  # and nothing else waited for it
        peer.expect("ANSWER")

    def test_what_nobody_wants_is_not_sent(self):
        events = self.subscriber("worker.test.wanted.")
        for identity in ("test.other", "test.wanted"):
            worker = self.peer()
            worker.hello_worker(identity, [{"type": "a"}])
        topic, body = events.receive()
        self.assertEqual(topic, "worker.test.wanted.joined")
        self.assertNotIn("instance", body)


if __name__ == "__main__":
    unittest.main()
