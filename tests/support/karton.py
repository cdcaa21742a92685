"""A real Karton for tests: Redis, SeaweedFS, karton-system, and installed services, started here or on zkarton, and the trees they make.

RealKarton and Zkarton start the same services over the same karton.ini; `trees` reads what became of each analysis, in a
form in which equal analyses are equal: uids are gone, what they say (who came from whom, which object is the same) stays.
"""
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

from support.broker import SOURCE, Broker, LineReader
from support.processes import Process
from support.seaweedfs import SeaweedFS, free_ports
from support.zkp import Peer

DEADLINE_S = 120
PACKAGE = os.path.join(SOURCE, "worker", "python")
PROGRAMS = os.path.join(SOURCE, "tests", "system", "karton")
SERVICES = ("karton-classifier", "karton-archive-extractor", "karton-asciimagic", "karton-autoit-ripper")
RECORDER = "test.recorder"


def services_dir():
    """The environment that has the services from PyPI, made by ./dev."""
    return os.environ.get("ZKT_SERVICES", os.path.join(SOURCE, "build", "services"))


def services_bin(program):
    return os.path.join(services_dir(), "bin", program)


class Redis:
    """with Redis() as redis: redis.url. On a socket in a temporary directory; nothing is saved."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="zkt-redis-")
        self.path = os.path.join(self.dir, "redis.sock")
        self.process = None

    @property
    def url(self):
        return "unix://" + self.path

    def __enter__(self):
        self.process = Process(
            ["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "", "--appendonly", "no",
             "--dir", self.dir], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.log = LineReader(self.process.stdout)
        self.log.wait_for("ready to accept connections")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Side:
    """One of the two systems: a directory with karton.ini in which services run. Subclasses start what is below them."""

    def __init__(self, sections):
        self.dir = tempfile.mkdtemp(prefix="zkt-karton-")
        self.record = os.path.join(self.dir, "record")
        self.processes = []
        self.logs = {}
        with open(os.path.join(self.dir, "karton.ini"), "w", encoding="utf-8") as file:
            for name, values in sections.items():
                file.write(f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items()))

    def command(self, program, *args):
        """How this side starts an installed program or a Python file that is written for Karton."""
        raise NotImplementedError

    @property
    def environment(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KARTON_")}
        return dict(kept, RECORD=self.record, HOME=self.dir, PYTHONHASHSEED="0", PYTHONUNBUFFERED="1",
                    PATH=os.path.join(services_dir(), "bin") + os.pathsep + os.environ["PATH"])

    def spawn(self, program, *args, **more):
        return self.spawn_command(self.command(program, *args), **more)

    def spawn_command(self, command, **more):
        process = Process(command, cwd=self.dir, env=dict(self.environment, **more),
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.processes.append(process)
        self.logs[process.pid] = LineReader(process.stderr)
        return process

    def wait_for(self, process, word, timeout_s=DEADLINE_S):
        """The next line of a process's log with this word."""
        return self.logs[process.pid].wait_for(word, timeout_s)

    def start_services(self, services=SERVICES):
        """These and the recorder at once, then waits until each has its queue."""
        started = [self.spawn(service) for service in (*services, os.path.join(PROGRAMS, "recorder.py"))]
        for process in started:
            self.wait_for(process, "Binding on:")

    def run(self, program, *args, timeout=DEADLINE_S):
        """To the end: what it printed."""
        done = subprocess.run(self.command(program, *args), cwd=self.dir, env=self.environment, timeout=timeout,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{program} ended with {done.returncode}:\n{done.stdout.decode()}{done.stderr.decode()}")
        return done.stdout.decode()

    def drain(self):
        """Keeps the services' pipes from filling up; returns all their logs."""
        return "\n".join(reader.drain() for reader in self.logs.values())

    def recorded(self):
        """What the recorder service was given: {uid of the unrouted task: (task document, hashes of its objects)}."""
        with open(self.record, encoding="ascii") as file:
            lines = [json.loads(line) for line in file]
        return {line["task"]["orig_uid"]: (line["task"], line["contents"]) for line in lines}

    def rows(self, roots):
        """Documents of all routed tasks of these analyses."""
        raise NotImplementedError

    def trees(self, roots):
        """{case: tree} of {case: root uid}, once every analysis has ended."""
        self.wait_until_done(roots)
        recorded = self.recorded()
        rows = [row for row in self.rows(roots) if row["headers"].get("receiver") not in (None, RECORDER)]
        return {case: tree(root, rows, recorded) for case, root in roots.items()}

    def wait_until_done(self, roots):
        raise NotImplementedError

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stderr.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def karton_sections(redis_url, s3_address):
    return {"redis": {"url": redis_url},
            "s3": {"address": s3_address, "access_key": SeaweedFS.access_key, "secret_key": SeaweedFS.secret_key,
                   "bucket": "karton"},
            "system": {"gc_interval": 1000000}}  # what is Finished must stay to be compared


class RealKarton(Side):
    """with RealKarton() as karton: karton-core 5.9.1 on Redis and SeaweedFS, with karton-system."""

    def __init__(self):
        self.redis = Redis()
        self.s3 = SeaweedFS(services_bin("weed"))

    def command(self, program, *args):
        if program.endswith(".py"):
            return [services_bin("python"), program, *args]
        return [services_bin(program), *args]

    def __enter__(self):
        self.redis.__enter__()
        self.s3.__enter__()
        super().__init__(karton_sections(self.redis.url, self.s3.address))
        self.wait_for(self.spawn("karton-system", "--setup-bucket"), "started")
        return self

    def __exit__(self, *_):
        self.close()
        self.s3.__exit__()
        self.redis.__exit__()

    def rows(self, roots):
        known = set(roots.values())
        rows = (json.loads(line) for line in self.run(os.path.join(PROGRAMS, "rows.py")).splitlines())
        return [row for row in rows if row["root_uid"] in known]

    def wait_until_done(self, roots):
        """Karton tells nobody that an analysis ended: its tasks are read until all of them have."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            self.drain()
            waiting = [row for row in self.rows(roots) if row["status"] not in ("Finished", "Crashed")]
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"{waiting} did not end:\n{self.drain()[-8000:]}")


class Zkarton(Side):
    """with Zkarton() as zkarton: the same services on our broker, started by `python -m zkarton.karton`, on an ini that names
    a Redis and an S3 which are not there."""

    def __init__(self, options=None):
        self.broker = Broker({"store": {"min_free": "1MiB", "finished_ttl": "1h"}, **(options or {})})

    def __enter__(self):
        self.broker.start()
        redis_port, s3_port = free_ports(2)
        super().__init__({**karton_sections(f"redis://127.0.0.1:{redis_port}", f"http://127.0.0.1:{s3_port}"),
                          "zkarton": {"address": self.broker.endpoints["broker"]}})
        return self

    def __exit__(self, *_):
        self.close()
        self.broker.__exit__()

    @property
    def environment(self):
        return dict(super().environment, PYTHONPATH=PACKAGE)

    def command(self, program, *args):
        return [services_bin("python"), "-m", "zkarton.karton", program, *args]

    def wait_until_done(self, roots):
        for root in roots.values():
            code, _, text = self.broker.run("zkarton", "wait", root, "--timeout", str(DEADLINE_S), timeout=DEADLINE_S + 10,
                                            check=False)
            self.drain()
            if code not in (0, 1):  # 1: some of it crashed
                raise AssertionError(f"{root} did not end: {text}\n{self.drain()[-8000:]}")

    def wait_until_idle(self):
        """Nothing waits or runs in any queue."""
        deadline = time.monotonic() + DEADLINE_S
        with Peer(self.broker.endpoints["broker"]) as peer:
            peer.hello()
            while True:
                self.drain()
                busy = [row for row in pages(peer, "queues") if row["high"] or row["normal"] or row["low"] or row["running"]]
                if not busy:
                    return
                if time.monotonic() > deadline:
                    raise AssertionError(f"{busy} did not end")

    def rows(self, roots):
        with Peer(self.broker.endpoints["broker"]) as peer:
            peer.hello()
            return [row_document(row) for root in roots.values() for row in pages(peer, "tree", root=root)]


def pages(peer, what, **arguments):
    """All rows of a question."""
    after = {}
    while True:
        peer.send("QUERY", {"what": what, **arguments, **after})
        answer = peer.expect("ANSWER")
        yield from answer["rows"]
        if not answer.get("next"):
            return
        after = {"after": answer["next"]}


def row_document(row):
    """A row of the broker as Karton writes a task."""
    return {"uid": row["uid"], "root_uid": row["root"], "parent_uid": row["parent"], "orig_uid": row["orig"],
            "status": row["state"], "priority": row["priority"], "error": [row["error"]] if row["error"] else None,
            "headers": {"receiver": row["identity"]}}


# ---- Trees without uids

def short(uid):
    """{root}:uid and uid are the same task."""
    return uid.rsplit(":", 1)[-1] if uid else uid


def resources_of(value, path, found):
    """{path: resource} of a serialised payload."""
    if isinstance(value, dict) and "__karton_resource__" in value:
        found[path] = value["__karton_resource__"]
    elif isinstance(value, dict):
        for key, inner in value.items():
            resources_of(inner, f"{path}.{key}", found)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            resources_of(inner, f"{path}.{index}", found)
    return found


def steady(name):
    """archive-extractor calls the inside of a gz as the temporary file that it was unpacked to: another name each time."""
    return re.sub(r"^tmp[a-z0-9_]{8}(?=~?$)", "tmp", name)


def without_uids(value, contents, known):
    """A payload in which a resource is its name, hash, size, flags and metadata, and where its object was seen before."""
    if isinstance(value, dict) and "__karton_resource__" in value:
        resource = value["__karton_resource__"]
        told = {key: resource[key] for key in ("size", "flags", "metadata", "sha256", "bucket")}
        return {"resource": dict(told, name=steady(resource["name"])),
                "content": contents[resource["uid"]], "object": known.get(resource["uid"], "new")}
    if isinstance(value, dict):
        return {key: without_uids(inner, contents, known) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_uids(inner, contents, known) for inner in value]
    return value


def tree(root, rows, recorded):
    """The analysis from its unrouted root down, as nested documents that no order or uid distinguishes."""
    children = {}  # routed parent → unrouted children
    for uid, (document, _) in recorded.items():
        children.setdefault(short(document["parent_uid"]), []).append(uid)
    forks = {}
    for row in rows:
        forks.setdefault(short(row["orig_uid"]), []).append(row)

    def unrouted(uid, parent, known):
        document, contents = recorded[uid]
        if short(document["root_uid"]) != root or short(document["parent_uid"]) != parent:
            raise AssertionError(f"{uid}: root {document['root_uid']}, parent {document['parent_uid']}")
        bags = {bag: without_uids(document[bag], contents, known) for bag in ("payload", "payload_persistent")}
        inside = {resource["uid"]: f"{bag} of the parent {path}" for bag in bags
                  for path, resource in resources_of(document[bag], "", {}).items()}
        headers = {key: value for key, value in document["headers"].items() if key != "receiver"}
        return {"headers": headers, "headers_persistent": document["headers_persistent"], **bags,
                "priority": document["priority"], "routed": in_order(routed(row, inside) for row in forks.get(short(uid), []))}

    def routed(row, known):
        if short(row["root_uid"]) != root:
            raise AssertionError(f"{row['uid']}: root {row['root_uid']}, not {root}")
        return {"receiver": row["headers"]["receiver"], "state": row["status"], "priority": row["priority"],
                "error": "".join(row["error"] or []).splitlines(),
                "children": in_order(unrouted(uid, short(row["uid"]), known) for uid in children.get(short(row["uid"]), []))}

    first = [uid for uid in recorded if short(uid) == root]
    if len(first) != 1:
        raise AssertionError(f"the recorder saw the first task of {root} {len(first)} times")
    return unrouted(first[0], None, {})


def in_order(documents):
    return sorted(documents, key=lambda document: json.dumps(document, sort_keys=True))


def count(node):
    """(unrouted, routed) tasks of a tree."""
    sums = [1, len(node["routed"])]
    for fork in node["routed"]:
        for child in fork["children"]:
            inner = count(child)
            sums = [sums[0] + inner[0], sums[1] + inner[1]]
    return tuple(sums)


def outline(node, depth=0):
    """For people: one line a task."""
    lines = [f"{'  ' * depth}{node['headers'].get('kind')} {node['headers'].get('extension', '')}".rstrip()]
    for fork in node["routed"]:
        lines.append(f"{'  ' * depth}  {fork['receiver']} {fork['state']} {(fork['error'] or [''])[-1]}".rstrip())
        for child in fork["children"]:
            lines += outline(child, depth + 2)
    return lines


def corpus():
    """A directory with files and manifest.json, made anew. The caller removes it."""
    directory = tempfile.mkdtemp(prefix="zkt-corpus-")
    subprocess.run([services_bin("python"), os.path.join(PROGRAMS, "corpus.py"), directory], check=True,
                   stdin=subprocess.DEVNULL, timeout=DEADLINE_S)
    return directory
