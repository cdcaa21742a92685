"""python_rates.py karton|zkarton INI COUNT BYTES CONSUMERS: tasks a second from the first send to the last process.

Producer and consumers are processes of their own, with the library of that name; logs and states are on, as both libraries
have them by default. Prints JSON: rate, and the µs of processor time a task of each side. `… latency COUNT` as last words:
p50 and p99 in ms from send_task to process, one task at a time.
"""
import json
import multiprocessing
import os
import sys
import time

KIND, INI = sys.argv[1], sys.argv[2]
if KIND == "karton":
    from karton.core import Config, Karton, Producer, Task
    from karton.core.backend import KartonBackend
else:
    from zkarton import Config, Karton, Producer, Task

IDENTITY = "bench.python"
COUNT_SLOT, CPU_SLOT, TIME_SLOT, SLOTS = 0, 1, 2, 3


def quiet():
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def consume(shared, place, pipe):
    quiet()

    class Counted(Karton):
        """Counts."""

        identity = IDENTITY
        filters = [{"type": "bench"}]

        def process(self, task):
            shared[place * SLOTS + COUNT_SLOT] += 1
            shared[place * SLOTS + TIME_SLOT] = time.monotonic()
            shared[place * SLOTS + CPU_SLOT] = time.process_time()
            if pipe is not None:
                pipe.send(time.monotonic())

    Counted(Config(INI)).loop()


def produce(count, size, shared):
    quiet()
    producer = Producer(Config(INI), identity="bench")
    payload = "x" * size
    send = producer.send_task if KIND == "karton" else producer.post_task
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    for _ in range(count):
        send(Task({"type": "bench", "kind": "raw"}, payload={"data": payload}))
    if KIND != "karton":
        producer.flush()
    shared[0], shared[1] = start_s, time.process_time() - start_cpu_s
    if KIND != "karton":
        producer.close()


def workers_count():
    if KIND == "karton":
        backend = KartonBackend(Config(INI))
        if not any(bind.identity == IDENTITY for bind in backend.get_binds()):
            return 0  # it is online before it has registered
        return len(backend.get_online_consumers().get(IDENTITY, []))
    with Producer(Config(INI), identity="bench") as producer:
        return sum(row["workers"] for row in producer.query("consumers") if row["identity"] == IDENTITY)


def start_consumers(consumers, pipe=None):
    shared = multiprocessing.Array("d", consumers * SLOTS, lock=False)
    processes = [multiprocessing.Process(target=consume, args=(shared, place, pipe), daemon=True) for place in range(consumers)]
    for process in processes:
        process.start()
    deadline = time.monotonic() + 60
    while workers_count() < consumers:
        if time.monotonic() > deadline:
            raise RuntimeError("the consumers did not register")
        time.sleep(0.05)
    return shared, processes


def redis_cpu_s():
    info = KartonBackend(Config(INI)).redis.info("cpu")
    return info["used_cpu_user"] + info["used_cpu_sys"]


WARM_UP = 50


def warm_up(size, shared, consumers):
    """Some tasks all the way through: imports, first connections and late servers are no part of the figure."""
    start = multiprocessing.Array("d", 2, lock=False)
    producer = multiprocessing.Process(target=produce, args=(WARM_UP, size, start), daemon=True)
    producer.start()
    wait_for_tasks(WARM_UP, shared, consumers)
    producer.join()


def wait_for_tasks(count, shared, consumers):
    deadline = time.monotonic() + 300
    while sum(shared[place * SLOTS + COUNT_SLOT] for place in range(consumers)) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {[shared[place * SLOTS] for place in range(consumers)]} of {count} tasks came")
        time.sleep(0.002)


def rates(count, size, consumers):
    shared, processes = start_consumers(consumers)
    warm_up(size, shared, consumers)
    registered_cpu_s = sum(process_cpu_s(process.pid) for process in processes)
    before = redis_cpu_s() if KIND == "karton" else 0
    start = multiprocessing.Array("d", 2, lock=False)
    producer = multiprocessing.Process(target=produce, args=(count, size, start), daemon=True)
    producer.start()
    wait_for_tasks(WARM_UP + count, shared, consumers)
    producer.join()
    spent = {"producer": start[1],
             "consumers": sum(shared[place * SLOTS + CPU_SLOT] for place in range(consumers)) - registered_cpu_s}
    if KIND == "karton":
        spent["redis"] = redis_cpu_s() - before
    end_s = max(shared[place * SLOTS + TIME_SLOT] for place in range(consumers))
    for process in processes:
        process.terminate()
        process.join(10)
    print(json.dumps({"rate": count / (end_s - start[0]),
                      "cpu": {name: round(seconds / count * 1e6, 1) for name, seconds in spent.items()}}))


def process_cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def latency(count):
    ours, theirs = multiprocessing.Pipe()
    _, processes = start_consumers(1, theirs)
    producer = Producer(Config(INI), identity="bench")
    quiet()
    elapsed = []
    for index in range(-20, count):
        sent_s = time.monotonic()
        producer.send_task(Task({"type": "bench"}))
        if not ours.poll(60):
            raise RuntimeError("a task did not come")
        started_s = ours.recv()
        if index >= 0:
            elapsed.append(started_s - sent_s)
        time.sleep(0.002)  # idle: the end of this task is over
    elapsed.sort()
    print(f"{elapsed[len(elapsed) // 2] * 1e3:.4f} {elapsed[len(elapsed) * 99 // 100] * 1e3:.4f}")
    sys.stdout.flush()
    processes[0].terminate()
    processes[0].join(10)
    if KIND != "karton":
        producer.close()


if __name__ == "__main__":
    if sys.argv[3] == "latency":
        latency(int(sys.argv[4]))
    else:
        rates(int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
