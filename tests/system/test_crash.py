"""kill -9 of broker, workers and producer at random moments; then every acknowledged task is accounted for, uid by uid.

A round kills one process and lets the others go on; the load never stops. At the end everything drains, and the records of
finished tasks (finished_ttl) tell what became of each. ZKT_ROUNDS: how many rounds.
"""
import collections
import json
import os
import random
import subprocess
import time
import unittest
import uuid

import msgpack

from support.broker import Broker, tests_dir

OPTIONS = {"broker": {"heartbeat": "100ms", "expiry": "1s", "resume_grace": "1s", "max_deliveries": "1000000"},
           "store": {"finished_ttl": "1h", "crashed_ttl": "1h"}}
# identity, filter, children, flags: three takers of every task (fan-out 3), one of them transactional, and takers of children.
WORKERS = [("crash.plain", "type=root", 2, "-"), ("crash.transactional", "type=root", 3, "t"),
           ("crash.leaf", "type=root", 0, "f"), ("crash.child", "type=child", 0, "-"), ("crash.plain", "type=root", 2, "-")]


KINDS = {"T": "task", "H": "held", "X": "crashed", "F": "finished"}


def with_identity(row):
    """A consumer's record with its number (of the key) and its identity (the first header of its packed bind)."""
    if row["kind"] == "C":
        row["consumer"] = int(row["key"][2:], 16)
        packed = bytes.fromhex(row["value"])
        unpacker = msgpack.Unpacker()
        unpacker.feed(packed[packed.index(b"\xa8identity") + len(b"\xa8identity"):])
        row["identity"] = unpacker.unpack()
    return row


def store_id(rows):
    return next(row["number"] for row in rows if row["kind"] == "M" and row["name"] == "store")


def routed_uid(store, sequence):
    """UUIDv8 of 48 bits of store id and a sequence, as docs/storage.md lays it out."""
    high = store << 16 | 0x8000 | sequence >> 52
    low = 1 << 63 | sequence & (1 << 52) - 1
    return str(uuid.UUID(int=high << 64 | low))


def short(uid):
    return uid.rsplit(":", 1)[-1] if uid else uid


class Load:
    def __init__(self, broker, random_source):
        self.broker = broker
        self.random = random_source
        self.processes = {}
        self.journal = os.path.join(broker.dir, "journal")
        os.mkdir(self.journal)
        self.errors = open(os.path.join(broker.dir, "errors"), "wb")

    def start(self, slot):
        if slot == "producer":
            args = [os.path.join(tests_dir(), "crash_producer"), os.path.join(self.journal, "producer"), "root"]
        else:
            identity, filters, children, flags = WORKERS[slot]
            args = [os.path.join(tests_dir(), "crash_worker"), identity, filters,
                    os.path.join(self.journal, f"worker{slot}"), str(children), flags]
        self.processes[slot] = self.broker.spawn(*args, stdout=subprocess.DEVNULL, stderr=self.errors)

    def start_all(self):
        for slot in range(len(WORKERS)):
            self.start(slot)
        # A task that comes before its consumer is taken by nobody, which is right but not what is tested.
        identities = {identity for identity, _, _, _ in WORKERS}
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            _, text, _ = self.broker.run("zkarton", "list", "-o", "json")
            if {json.loads(line)["identity"] for line in text.splitlines()} == identities:
                break
            time.sleep(0.05)
        self.start("producer")

    def kill(self, slot):
        self.processes[slot].kill()
        self.processes[slot].wait()

    def stop(self, slot):
        self.processes[slot].terminate()
        self.processes[slot].wait(60)

    def close(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        self.errors.close()

    def lines(self, name):
        path = os.path.join(self.journal, name)
        if not os.path.exists(path):
            return
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.endswith("\n"):  # a killed writer may leave half a line
                    yield line.split()


class CrashTest(unittest.TestCase):
    def setUp(self):
        self.seed = int(os.environ.get("ZKT_SEED", random.SystemRandom().randrange(2**32)))
        self.random = random.Random(self.seed)
        self.broker = Broker(OPTIONS).start()
        self.load = Load(self.broker, self.random)

    def tearDown(self):
        self.load.close()
        self.broker.__exit__()

    def pause(self):
        time.sleep(self.random.uniform(0.01, 0.25))  # the random moment is what is tested

    def kill_rounds(self, count):
        for _ in range(count):
            self.pause()
            slot = self.random.choice(["broker", "broker", "producer", *range(len(WORKERS))])
            if slot == "broker":
                self.broker.kill()
                self.broker.start()
            else:
                self.load.kill(slot)
                self.load.start(slot)

    def wait_until_drained(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            _, text, _ = self.broker.run("zkarton", "queues", "-o", "json")
            rows = [json.loads(line) for line in text.splitlines()]
            if sum(row["high"] + row["normal"] + row["low"] + row["running"] for row in rows) == 0:
                return
            time.sleep(0.1)
        self.fail(f"queues do not drain: {text}")

    def records(self):
        code, text, errors = self.broker.run("zkarton-broker", "store", "check", os.path.join(self.broker.data, "store"))
        self.assertEqual(code, 0, text + errors)
        _, text, _ = self.broker.run("zkarton-broker", "store", "dump", os.path.join(self.broker.data, "store"))
        rows = [json.loads(line) for line in text.splitlines()]
        names = {row["consumer"]: row["identity"] for row in map(with_identity, rows) if row["kind"] == "C"}
        store = store_id(rows)
        for row in rows:
            if row["kind"] in KINDS:
                row.update(kind=KINDS[row["kind"]], identity=names.get(row["consumer"]),
                           uid=routed_uid(store, row["sequence"]))
        return rows

    def test_every_acknowledged_task_is_accounted_for(self):
        self.load.start_all()
        self.kill_rounds(int(os.environ.get("ZKT_ROUNDS", "50")))
        self.pause()
        self.load.stop("producer")
        self.wait_until_drained()
        for slot in range(len(WORKERS)):
            self.load.stop(slot)
        self.assertEqual(self.broker.stop(), 0)
        message = f"ZKT_SEED={self.seed}"
        tasks = [record for record in self.records() if record["kind"] in ("finished", "crashed", "task", "held")]
        ended = collections.defaultdict(list)
        for record in tasks:
            self.assertIn(record["kind"], ("finished", "crashed"), message)
            ended[short(record["orig"])].append(record)
        self.check_roots(ended, message)
        self.check_children(ended, tasks, message)

    def check_roots(self, ended, message):
        takers = sorted({identity for identity, filters, _, _ in WORKERS if filters == "type=root"})
        acknowledged = [(uid, int(taken)) for _, uid, taken in self.load.lines("producer")]
        self.assertGreater(len(acknowledged), 20, message)
        for uid, taken in acknowledged:
            found = sorted(record["identity"] for record in ended[uid])
            self.assertLessEqual(len(found), len(takers), f"{uid} doubled: {found} {message}")
            self.assertEqual(len(found), taken, f"{uid} acknowledged as taken by {taken}, ended at {found} {message}")

    def check_children(self, ended, tasks, message):
        by_uid = {short(record["uid"]): record for record in tasks}
        children = collections.defaultdict(list)
        for record in tasks:
            if record["identity"] == "crash.child":
                children[short(record["parent"])].append(record)
        for slot in range(len(WORKERS)):
            for line in self.load.lines(f"worker{slot}"):
                if line[0] != "sent" or len(line) != 4:
                    continue
                _, parent, child, _ = line
                if WORKERS[slot][3] != "t":
                    self.assertEqual(len(ended[child]), 1, f"acknowledged child {child} of {parent} is gone {message}")
        for uid, record in by_uid.items():
            if record["identity"] == "crash.transactional":
                found = sorted(child["headers"]["index"] for child in children[uid])
                expected = [0, 1, 2] if record["kind"] == "finished" else []
                self.assertEqual(found, expected, f"subtree of {uid} ({record['kind']}) is not exact {message}")


if __name__ == "__main__":
    unittest.main()
