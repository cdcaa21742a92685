#!/usr/bin/env python3
"""The longest turn of the broker's loop while it sweeps, and while it deletes, many objects beside as many tasks as it can route; and,
without that load, while a task with as many objects as may be comes and goes.

usage: object_pauses.py [COUNT]    100,000 when it is not said; the directory store, on a temporary folder
"""
import concurrent.futures
import hashlib
import os
import sys
import threading
import time
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests"), os.path.join(ROOT, "tests", "perf"), os.path.join(ROOT, "worker", "python")]

import bench  # noqa: E402
from support.broker import Broker  # noqa: E402
from support.zkp import Peer, task  # noqa: E402
from zkarton import Producer, Resource, Task  # noqa: E402
from zkarton.test import ConfigMock  # noqa: E402

OF_TASK = 500  # objects of one task
THREADS = 8


class Load:
    """As many tasks as go through, all the while."""

    def __init__(self, broker):
        self.broker = broker
        self.rates = []
        self.is_over = False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.is_over:
            self.rates.append(bench.lifecycle(self.broker, 20000, 64))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        self.thread.join()


def wait_for(broker, name, count):
    while broker.metric(name) < count:
        broker.log.drain()
        time.sleep(0.1)
    assert broker.metric(name) == count, f"{name} is {broker.metric(name)}, not {count}"


def measure(what, broker, begin, name, count):
    with Load(broker) as load:
        start = time.monotonic()
        begin()
        wait_for(broker, name, count)
        took_s = time.monotonic() - start
    pause_ms, work_ms = (broker.metric(f"zkarton_loop_{kind}_seconds_max") * 1e3 for kind in ("pause", "cpu"))
    rates = sorted(load.rates)
    print(f"{what} of {count} objects in {took_s:.1f} s: longest turn {pause_ms:.1f} ms, of which at most {work_ms:.1f} ms of processor time; "
          f"beside it {rates[0]:.0f} … {rates[-1]:.0f} tasks/s", flush=True)


def sweep(count):
    """Files that no task refers to, of long ago."""
    with Broker({"object": {"upload_grace": "1s"}, "store": {"max_tasks": "100000000"}}) as broker:
        broker.stop()
        for number in range(count):
            name = str(uuid.UUID(int=uuid.uuid4().int ^ number))
            path = os.path.join(broker.data, "objects", name[:2], name)
            with open(path, "w", encoding="ascii") as file:
                file.write("x")
            os.utime(path, (1, 1))
        broker.start()
        measure("sweep", broker, lambda: None, "zkarton_objects_swept_total", count)


def delete(count):
    """Queued tasks with objects, whose consumer is deleted."""
    with Broker({"store": {"max_tasks": "100000000"}}) as broker:
        config = ConfigMock({"broker": {"address": broker.endpoints["broker"]}})
        with Peer(broker.endpoints["broker"]) as peer:
            peer.hello_worker("many", [{"type": "many"}])
            peer.send("BYE", {})
            peer.expect("BYE", 30)

        def send(tasks_count):
            with Producer(config, identity="producer") as producer:
                for _ in range(tasks_count):
                    producer.send_task(Task({"type": "many"}, {f"r{n}": Resource(f"r{n}", b"x") for n in range(OF_TASK)}))

        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(send, [count // OF_TASK // THREADS] * THREADS))
        count = count // OF_TASK // THREADS * THREADS * OF_TASK
        broker.stop()  # what the uploads took is not meant
        broker.start()
        measure("deletion", broker, lambda: broker.run("zkarton", "delete", "many", "-y"), "zkarton_objects_deleted_total", count)
        assert broker.metric("zkarton_objects_unreferenced_total") == count


def longest(broker, what):
    """Of all so far: it only grows."""
    time.sleep(1.5)  # the text of /metrics is written once a second
    pause_ms, work_ms = (broker.metric(f"zkarton_loop_{kind}_seconds_max") * 1e3 for kind in ("pause", "cpu"))
    print(f"{what}: longest turn so far {pause_ms:.1f} ms, of which at most {work_ms:.1f} ms of processor time", flush=True)


def one_task(count=4096):
    """A task's objects are declared, sent on to a child, asked for, and let go, each by one message."""
    with Broker({"broker": {"heartbeat": "60s", "expiry": "600s"}}) as broker, \
            Peer(broker.endpoints["broker"]) as worker, Peer(broker.endpoints["broker"]) as producer:
        worker.hello_worker("many", [{"type": "many"}])
        producer.hello()
        sha256 = hashlib.sha256(b"x").digest()
        items = [{"uid": uuid.uuid4().bytes, "size": 1, "sha256": sha256} for _ in range(count)]
        producer.send("UPLOAD", {"items": items})
        producer.expect("URLS", 60)
        longest(broker, f"UPLOAD of {count} objects")
        resources = [{**item, "name": "x"} for item in items]
        producer.submit(task({"type": "many"}, resources=resources))
        worker.credit(1)
        delivered = worker.deliver(60)[0]
        longest(broker, "SUBMIT and DELIVER of their task")
        worker.send("DOWNLOAD", {"items": [{"uid": item["uid"]} for item in items]})
        worker.expect("URLS", 60)
        longest(broker, "DOWNLOAD")
        child = task({"type": "nobody's"}, root=delivered["task"]["root"], resources=resources)
        worker.submit(child, delivery=delivered["delivery"])
        longest(broker, "SUBMIT of a child with all of them")
        worker.settle(delivered)
        wait_for(broker, "zkarton_objects_deleted_total", count)
        longest(broker, "REPORT, and their deletion")


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100000
    one_task()
    sweep(wanted)
    delete(wanted)
