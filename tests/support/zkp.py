"""A raw ZKP/1 peer in Python, written from docs/protocol alone: for wire tests and for faults no client would make."""
import os
import time
import uuid

import msgpack
import zmq

VERBS = {"HELLO": 1, "WELCOME": 2, "HEARTBEAT": 3, "SUBMIT": 4, "SUBMITTED": 5, "CREDIT": 6, "DELIVER": 7, "REPORT": 8,
         "REPORTED": 9, "REVOKE": 10, "LOG": 11, "UPLOAD": 12, "DOWNLOAD": 13, "URLS": 14, "WAIT": 15, "DONE": 16,
         "QUERY": 17, "ANSWER": 18, "CONTROL": 19, "RETIRE": 20, "BYE": 21, "ERROR": 22, "PARTS": 23, "PART_URLS": 24,
         "COMPLETE": 25, "COMPLETED": 26}
NAMES = {number: name for name, number in VERBS.items()}


def task(headers, root=None, prio=1, payload=None, **more):
    uid = uuid.uuid4().bytes
    return {"uid": uid, "root": root or uid, "prio": prio, "headers": headers,
            "payload": msgpack.packb(payload or {}), **more}


class Peer:
    def __init__(self, address, instance=None):
        self.context = zmq.Context.instance()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(address)
        self.instance = instance or uuid.uuid4().bytes
        self.number = 0
        self.next_id = 1

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_raw(self, data):
        self.socket.send(data)

    def send(self, verb, body, message_id=None):
        if message_id is None:
            message_id = self.next_id
            self.next_id += 1
        self.socket.send(msgpack.packb([VERBS.get(verb, verb), message_id, body]))
        return message_id

    def receive(self, timeout_s=10):
        """(verb, id, body) of the next message that is no heartbeat."""
        deadline = time.monotonic() + timeout_s
        while True:
            if not self.socket.poll(max(int((deadline - time.monotonic()) * 1000), 0)):
                raise AssertionError(f"nothing came within {timeout_s} s")
            verb, message_id, body = msgpack.unpackb(self.socket.recv(), strict_map_key=False)
            if NAMES[verb] != "HEARTBEAT":
                return NAMES[verb], message_id, body

    def expect(self, verb, timeout_s=10):
        """The body of the next message of this verb; others are passed over, but for ERROR."""
        while True:
            name, _, body = self.receive(timeout_s)
            if name == verb:
                return body
            if name == "ERROR":
                raise AssertionError(f"expected {verb}, got ERROR {body}")

    def hello(self, role="producer", identity="tester", **more):
        self.send("HELLO", {"v": 1, "instance": self.instance, "identity": identity, "role": role, "host": "test",
                            "pid": os.getpid(), "lang": "python-test", **more})
        welcome = self.expect("WELCOME")
        self.number = welcome["last_number"]
        return welcome

    def hello_worker(self, identity, filters, persistent=True, **more):
        return self.hello("worker", identity, bind={"filters": filters, "persistent": persistent}, **more)

    def submit(self, *tasks, **more):
        self.number += 1
        self.send("SUBMIT", {"number": self.number, "tasks": list(tasks), **more})
        return self.expect("SUBMITTED")["results"]

    def credit(self, window):
        self.send("CREDIT", {"window": window}, 0)

    def deliver(self, timeout_s=10):
        return self.expect("DELIVER", timeout_s)["items"]

    def report(self, item, state, **more):
        self.send("REPORT", {"items": [{"delivery": item["delivery"], "uid": item["task"]["uid"], "state": state, **more}]})

    def settle(self, item, state="Finished", **more):
        self.report(item, state, **more)
        return self.expect("REPORTED")["items"][0]
