#!/usr/bin/env python3
"""Where the time of a Python task goes: microseconds of processor time, without a broker; the best of several rounds.

usage: python_profile.py [--json]    with worker/python on PYTHONPATH
"""
import json
import logging
import os
import sys
import time

from zkarton import Karton, Task, _logging, _taskwire, _values
from zkarton._context import InProcess, enter_process, leave_process
from zkarton._session import Delivery, Options, Session
from zkarton.task import TaskState, set_current_task
from zkarton.test import BackendMock, ConfigMock

PAYLOAD = {"data": "x" * 200}
ROUNDS, TIMES = 7, 2000


class Backend(BackendMock):
    def log(self, packed):
        pass


class Service(Karton):
    identity = "profile"
    filters = [{"type": "sample"}]

    def process(self, task):
        pass


def micros(function):
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.process_time()
        for _ in range(TIMES):
            function()
        best = min(best, (time.process_time() - begin) / TIMES * 1e6)
    return round(best, 1)


def measure():
    sys.stderr = open(os.devnull, "w", buffering=1, encoding="utf-8")
    service = Service(config=ConfigMock(), backend=Backend())
    task = Task({"type": "sample", "kind": "raw"}, PAYLOAD)
    packed = _taskwire.pack_task(task)
    row = _values.unpack(packed)
    yield "producer: Task()", micros(lambda: Task({"type": "sample", "kind": "raw"}, PAYLOAD))
    yield "producer: pack for the wire", micros(lambda: _taskwire.pack_task(task))
    yield "worker: unpack", micros(lambda: _taskwire.unpack_task(_values.unpack(packed), None, TaskState.STARTED))

    delivery = Delivery({"delivery": 1, "attempt": 1, "task": row})

    def process():
        given = _taskwire.unpack_task(row, None, TaskState.STARTED)
        before = enter_process(InProcess(service.backend, delivery, given, "profile"))
        service.internal_process(given)
        leave_process(before)

    whole = micros(process)
    handlers = service.log.handlers
    service.log.setLevel(logging.WARNING)
    quiet = micros(process)
    service.log.setLevel(logging.INFO)
    service.log.handlers = [handlers[0]]
    stderr = micros(process)
    service.log.handlers = handlers
    yield "worker: around process, without its two log lines", round(quiet - micros(
        lambda: _taskwire.unpack_task(row, None, TaskState.STARTED)), 1)
    yield "worker: two log lines on stderr", round(stderr - quiet, 1)
    yield "worker: two log records to the bus", round(whole - stderr, 1)
    yield "  of these: the task's document", micros(task.serialize)
    session = Session(Options("worker", guard=False))
    session._inbox = type("Sink", (), {"append": lambda self, item: None, "__len__": lambda self: 0})()
    yield "worker: begin and finish", micros(lambda: (session.begin(delivery), session.finish(delivery, "Finished")))
    set_current_task(None)
    _logging.logging.shutdown()


if __name__ == "__main__":
    for name, value in list(measure()):
        print(json.dumps({"part": name, "us": value}) if "--json" in sys.argv else f"{value:8.1f} µs  {name}")
