#!/usr/bin/env python3
"""What keeps the leases of a Python worker while C code holds the GIL, and what that costs: the figures of docs/decisions/0007-python-guard.md.

usage: python_guard.py [--hold SECONDS] [--tasks N] [--json]

Three ways: nothing (`guard = False`), the guard (a helper process), and a thread of libzkarton in the same process, loaded by
ctypes, which stands for all of a session done by an extension. A proxy before the broker sees when each of them says something.
"""
import argparse
import json
import os
import subprocess
import sys
import textwrap
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))

from support.broker import Broker, LineReader, until  # noqa: E402
from support.processes import Process  # noqa: E402
from support.proxy import Proxy  # noqa: E402
from support.python_client import environment  # noqa: E402

from zkarton import Producer, Task  # noqa: E402
from zkarton.test import ConfigMock  # noqa: E402

INTERVAL_MS, EXPIRY_MS = 500, 3000
IDLE_S = 10
ROUNDS = 3
LIBRARY = os.path.join(ROOT, "build", "lib", "libzkarton.so")

WORKER = """
    import ctypes, os, sys, time
    from zkarton import Karton
    class Holder(Karton):
        identity = "perf.guard"
        filters = [{"type": "hold"}]
        guard = sys.argv[1] == "guard"
        begun = set()
        count = 0
        def process(self, task):
            hold_s = task.get_payload("hold_s", 0)
            if hold_s and task.uid not in self.begun:
                self.begun.add(task.uid)
                print("holds", flush=True)
                ctypes.PyDLL(None).sleep(hold_s)
                print("held", flush=True)
            elif hold_s:
                print("again", flush=True)
            else:
                if self.count == 0:
                    self.cpu_s = time.process_time()
                self.count += 1
                if self.count == task.get_payload("count"):
                    print("cpu", (time.process_time() - self.cpu_s) / self.count * 1e6, flush=True)
                    type(self).count = self.count = 0
    import logging
    logging.disable(logging.CRITICAL)
    from zkarton._session import guard
    start = guard.Guard.start
    def timed(session):
        begin_s = time.monotonic()
        made = start(session)
        print("started", (time.monotonic() - begin_s) * 1e3, flush=True)
        return made
    guard.Guard.start = timed
    service = Holder()
    service.loop()
"""
NATIVE = """
    import ctypes, sys, time, timeit
    def memory():
        with open("/proc/self/smaps_rollup") as file:
            return {line.split(":")[0]: int(line.split()[1]) for line in file if line.endswith("kB\\n")}
    before, begin_s = memory(), time.monotonic()
    library = ctypes.CDLL(sys.argv[1])
    class Options(ctypes.Structure):
        _fields_ = [("identity", ctypes.c_char_p), ("config", ctypes.c_void_p), ("timeout_ms", ctypes.c_int)]
        _fields_ += [(f"more_{index}", ctypes.c_void_p) for index in range(8)]
    client = ctypes.c_void_p()
    assert library.zkt_client_new(ctypes.byref(Options(b"perf.native", None, 5000)), ctypes.byref(client)) == 0
    print("started", (time.monotonic() - begin_s) * 1e3, flush=True)
    after = memory()
    print("memory", *(after[name] - before[name] for name in ("Pss", "Anonymous")), flush=True)
    call = ctypes.PyDLL(sys.argv[1]).zkt_client_error
    print("call", min(timeit.repeat(lambda: call(client), number=100000, repeat=5)) * 10, flush=True)
    print("holds", flush=True)
    ctypes.PyDLL(None).sleep(int(sys.argv[2]))
    print("held", flush=True)
    library.zkt_client_destroy(ctypes.byref(client))
"""


class Recorder(Proxy):
    """Remembers when something went to the broker."""

    def __init__(self, target):
        super().__init__(target)
        self.times = []

    def _is_cut(self, direction, count):
        if direction == "up":
            self.times.append(time.monotonic())
        return super()._is_cut(direction, count)

    def longest_silence_s(self, begin_s, end_s):
        times = [begin_s, *(at for at in self.times if begin_s < at < end_s), end_s]
        return max(after - before for before, after in zip(times, times[1:]))


class Program:
    def __init__(self, broker, address, source, *words):
        env = dict(environment(broker), KARTON_BROKER_ADDRESS=address)
        self.process = Process([sys.executable, "-c", textwrap.dedent(source), *words], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, env=env, cwd=broker.dir)
        self.out = LineReader(self.process.stdout)

    def told(self, word, timeout_s=120):
        return [float(part) for part in self.out.wait_for(word, timeout_s).split()[1:]]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def memory_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        told = {line.split(":")[0]: int(line.split()[1]) for line in file if line.endswith("kB\n")}
    return {"pss": told["Pss"], "anonymous": told["Anonymous"]}


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def child_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return int(file.read().split()[0])


def wait_registered(producer):
    until("registered", lambda: [row for row in producer.query("consumers") if row["workers"]])


def hold(program, recorder, hold_s, begin=lambda: None):
    begin()
    program.out.wait_for("holds")
    begin_s = time.monotonic()
    program.out.wait_for("held", hold_s + 60)
    return recorder.longest_silence_s(begin_s, time.monotonic())


def measure_worker(broker, recorder, producer, way, options):
    out = {}
    with Program(broker, f"tcp://127.0.0.1:{recorder.port}", WORKER, way) as program:
        if way == "guard":
            out["start_ms"] = program.told("started")[0]
        wait_registered(producer)
        if way == "guard":
            guard = child_of(program.process.pid)
            time.sleep(1)  # it has started
            begun_s = cpu_s(guard)
            out["start_cpu_ms"] = begun_s * 1e3
            time.sleep(IDLE_S)
            out["idle_cpu_ms_a_second"] = (cpu_s(guard) - begun_s) / IDLE_S * 1e3
            out["memory_kib"] = memory_kib(guard)
        task = Task({"type": "hold"}, payload={"hold_s": options.hold})
        out["silence_s"] = hold(program, recorder, options.hold, lambda: producer.send_task(task))
        if way == "guard":
            out["memory_after_kib"] = memory_kib(guard)
        summary = producer.wait(task.root_uid, options.hold + 60)
        out["finished"] = summary.finished
        out["processed_again"] = "again" in program.out.drain()
    return out


def measure_native(broker, recorder, options):
    with Program(broker, f"tcp://127.0.0.1:{recorder.port}", NATIVE, LIBRARY, str(options.hold)) as program:
        out = {"start_ms": program.told("started")[0]}
        out["memory_kib"] = dict(zip(("pss", "anonymous"), program.told("memory")))
        out["call_us"] = program.told("call")[0]
        out["silence_s"] = hold(program, recorder, options.hold)
    return out


def measure_tasks(broker, producer, way, count):
    """µs of processor time a task, of the worker."""
    with Program(broker, broker.endpoints["broker"], WORKER, way) as program:
        wait_registered(producer)
        producer.send_tasks([Task({"type": "hold"}, payload={"count": count}) for _ in range(count)])
        return program.told("cpu")[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hold", type=int, default=60, help="seconds in C code that holds the GIL")
    parser.add_argument("--tasks", type=int, default=5000, help="of a round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    out = {"interval_ms": INTERVAL_MS, "expiry_ms": EXPIRY_MS, "hold_s": options.hold}
    with Broker({"broker": {"heartbeat": f"{INTERVAL_MS}ms", "expiry": f"{EXPIRY_MS}ms"}}) as broker:
        port = int(broker.endpoints["broker"].rsplit(":", 1)[1])
        with Recorder(port) as recorder, Producer(ConfigMock({"broker": {"address": broker.endpoints["broker"]}})) as producer:
            for way in ("none", "guard"):
                out[way] = measure_worker(broker, recorder, producer, way, options)
            out["native"] = measure_native(broker, recorder, options)
            for way in ("none", "guard") * ROUNDS:  # in turns: the machine has other things to do
                spent = measure_tasks(broker, producer, way, options.tasks)
                out[way]["task_us"] = min(spent, out[way].get("task_us", spent))
    if options.json:
        print(json.dumps(out))
        return
    for name, figures in out.items():
        print(name, json.dumps(figures) if isinstance(figures, dict) else figures)


if __name__ == "__main__":
    main()
