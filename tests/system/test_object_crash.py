"""kill -9 of producer, workers, broker and object store at random moments, while tasks carry objects: no task misses its
object, and in the end there is no object without a task. ZKT_OBJECT_ROUNDS: how many rounds."""
import glob
import json
import os
import random
import subprocess
import time
import unittest

import boto3
from botocore.config import Config

from support.broker import SOURCE, Broker, tests_dir
from support.seaweedfs import SeaweedFS
from system.test_crash import routed_uid, short, store_id, with_identity

OPTIONS = {"broker": {"heartbeat": "100ms", "expiry": "1s", "resume_grace": "1s", "max_deliveries": "1000000"},
           "store": {"finished_ttl": "1h", "crashed_ttl": "1h"}, "object": {"multipart_threshold": "5MiB"}}
WORKERS = [("crash.root", "type=root"), ("crash.root", "type=root"), ("crash.child", "type=child")]
CHILDREN = 2


class DirStore:
    """The embedded store: it goes down with the broker."""

    kills = ()
    broker = None

    def options(self):
        return {}

    def close(self):
        pass

    def objects(self):
        """Everything that is there: objects, and uploads that are under way."""
        folder = os.path.join(self.broker.data, "objects")
        found = []
        for path, _, names in os.walk(folder):
            found += [os.path.join(path, name) for name in names]
        return found


class SeaweedStore:
    """An S3 server of its own, which is killed too."""

    kills = ("store",)

    def __init__(self):
        services = os.environ.get("ZKT_SERVICES", os.path.join(SOURCE, "build", "services"))
        self.server = SeaweedFS(os.path.join(services, "bin", "weed"))
        self.server.start()
        self.client = boto3.client("s3", endpoint_url=self.server.address, aws_access_key_id="AK", aws_secret_access_key="SK",
                                   region_name="us-east-1", config=Config(s3={"addressing_style": "path"}))

    def options(self):
        return {"object": {"kind": "s3"}, "s3": {"address": self.server.address, "access_key": "AK", "secret_key": "SK",
                                                 "bucket": "objects"}}

    def kill(self):
        self.server.stop()

    def start(self):
        self.server.start()

    def close(self):
        self.server.__exit__()

    def objects(self):
        found = []
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket="objects"):
            found += [row["Key"] for row in page.get("Contents", [])]
        uploads = self.client.list_multipart_uploads(Bucket="objects").get("Uploads", [])
        return found + [f"{row['Key']} in parts" for row in uploads]


class ObjectCrash:
    """What both stores have to stand."""

    STORE = None
    ARGS = ()

    def setUp(self):
        self.seed = int(os.environ.get("ZKT_SEED", random.SystemRandom().randrange(2**32)))
        self.random = random.Random(self.seed)
        self.store = self.STORE()
        self.addCleanup(self.store.close)
        options = {section: dict(values) for section, values in OPTIONS.items()}
        for section, values in self.store.options().items():
            options.setdefault(section, {}).update(values)
        self.broker = Broker(options, args=self.ARGS)
        self.addCleanup(self.broker.__exit__)
        self.store.broker = self.broker
        self.broker.start()
        self.journal = os.path.join(self.broker.dir, "journal")
        os.mkdir(self.journal)
        self.errors = open(os.path.join(self.broker.dir, "errors"), "wb")
        self.addCleanup(self.errors.close)
        self.processes = {}
        self.addCleanup(self.kill_all)

    def run_process(self, slot):
        program = os.path.join(tests_dir(), "object_crash")
        words = ("produce",) if slot == "producer" else ("work", *WORKERS[slot])
        self.processes[slot] = self.broker.spawn(program, *words, os.path.join(self.journal, str(slot)),
                                                 stdout=subprocess.DEVNULL, stderr=self.errors)

    def kill_all(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def start_all(self):
        for slot in range(len(WORKERS)):
            self.run_process(slot)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:  # a task that comes before its consumer is taken by nobody
            rows = self.broker.run("zkarton", "list", "-o", "json")[1].splitlines()
            if {json.loads(row)["identity"] for row in rows} == {identity for identity, _ in WORKERS}:
                break
            time.sleep(0.05)
        self.run_process("producer")

    def kill_rounds(self, count):
        for _ in range(count):
            time.sleep(self.random.uniform(0.05, 0.5))  # the random moment is what is tested
            slot = self.random.choice(["broker", "producer", *range(len(WORKERS)), *self.store.kills])
            if slot == "broker":
                self.broker.kill()
                self.broker.start()
            elif slot == "store":
                self.store.kill()
                time.sleep(self.random.uniform(0, 1))
                self.store.start()
            else:
                self.processes[slot].kill()
                self.processes[slot].wait()
                self.run_process(slot)

    def wait_until_drained(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            text = self.broker.run("zkarton", "queues", "-o", "json")[1]
            rows = [json.loads(line) for line in text.splitlines()]
            if sum(row["high"] + row["normal"] + row["low"] + row["running"] for row in rows) == 0:
                return
            time.sleep(0.1)
        self.fail(f"queues do not drain: {text} ZKT_SEED={self.seed}")

    def lines(self, word):
        for path in glob.glob(os.path.join(self.journal, "*")):
            with open(path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    if line.endswith("\n") and line.startswith(word + " "):
                        yield line.split(None, 2)[1:]

    def ended(self):
        """orig → (state, identity, uid) of every task."""
        path = os.path.join(self.broker.data, "store")
        code, text, errors = self.broker.run("zkarton-broker", "store", "check", path)
        self.assertEqual(code, 0, text + errors)
        rows = [json.loads(line) for line in self.broker.run("zkarton-broker", "store", "dump", path)[1].splitlines()]
        names = {row["consumer"]: row["identity"] for row in map(with_identity, rows) if row["kind"] == "C"}
        found = []
        store = store_id(rows)
        for row in rows:
            if row["kind"] in "THXF":
                found.append((row["kind"], names.get(row["consumer"]), routed_uid(store, row["sequence"]), short(row["orig"]),
                              short(row["parent"])))
        return found

    def test_no_task_misses_an_object_and_no_object_is_left(self):
        message = f"ZKT_SEED={self.seed}"
        self.start_all()
        self.kill_rounds(int(os.environ.get("ZKT_OBJECT_ROUNDS", "20")))
        self.processes["producer"].terminate()
        self.processes["producer"].wait(60)
        self.wait_until_drained()
        for slot in range(len(WORKERS)):
            self.processes[slot].terminate()
            self.assertEqual(self.processes[slot].wait(60), 0, message)
        self.assertEqual(self.broker.stop(), 0)
        self.assertEqual(list(self.lines("bad")), [], message)
        ended = self.ended()
        self.assertEqual([row for row in ended if row[0] != "F"], [], message)  # nothing Crashed for want of an object
        acknowledged = {words[0] for words in self.lines("sent")}
        self.assertGreater(len(acknowledged), 10, message)
        roots = {orig: uid for _, identity, uid, orig, _ in ended if identity == "crash.root"}
        self.assertLessEqual(acknowledged, set(roots), message)
        parents = [parent for _, identity, _, _, parent in ended if identity == "crash.child"]
        for uid in roots.values():
            self.assertGreaterEqual(parents.count(uid), CHILDREN, message)
        self.check_nothing_left(message)

    def check_nothing_left(self, message):
        self.broker.options["object"]["upload_grace"] = "1s"
        self.broker.start()
        deadline = time.monotonic() + 60
        while True:
            left, known = self.store.objects(), self.broker.metric("zkarton_store_objects")
            if not left and known == 0:
                break
            self.assertLess(time.monotonic(), deadline, f"{len(left)} objects are left, as {left[:3]}, {known} known {message}")
            time.sleep(0.1)


class DirCrashTest(ObjectCrash, unittest.TestCase):
    STORE = DirStore


class SeaweedCrashTest(ObjectCrash, unittest.TestCase):
    STORE = SeaweedStore
    ARGS = ("--setup-bucket",)


if __name__ == "__main__":
    unittest.main()
