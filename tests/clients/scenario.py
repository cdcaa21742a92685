"""Plays a scenario: a broker, drivers of one language, steps in order (README.md says what each may be)."""
import contextlib
import json
import os
import re
import sys
import threading
import time

import msgpack
import zmq

from support.broker import SOURCE, Broker, tests_dir
from support.proxy import Proxy
from support.zkp import VERBS, Peer

from .driver import DEADLINE_S, Driver
from .matching import differences, fill, pick, shown

HERE = os.path.dirname(os.path.abspath(__file__))
OPTIONS = {"broker": {"heartbeat": "200ms", "expiry": "1s"}, "store": {"finished_ttl": "1h"}}
STEP_KINDS = ("do", "event", "no", "signal", "exits", "broker", "log", "query", "control", "proxy", "write", "answer", "objects",
              "keep_from")


class Failure(AssertionError):
    pass


def languages():
    """Language → its driver.json: {"command": […], "not_applicable": {scenario: why}}."""
    found = {}
    for name in sorted(os.listdir(HERE)):
        path = os.path.join(HERE, name, "driver.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                found[name] = json.load(file)
    return found


def scenarios():
    """Name → scenario, of all files; one with "for_each" is one for each case of its vectors."""
    found = {}
    for name in sorted(os.listdir(HERE)):
        if name.endswith(".json"):
            with open(os.path.join(HERE, name), encoding="utf-8") as file:
                for scenario in json.load(file)["scenarios"]:
                    if scenario["name"] in found:
                        raise ValueError(f"two scenarios are called {scenario['name']}")
                    found[scenario["name"]] = scenario
    return found


def decode_extension(code, data):
    if code == 1:
        return int(data)
    if code == 2:
        return data.decode("utf-8", "surrogatepass")
    return {"resource": int.from_bytes(data, "big")}


def unpack(data):
    return msgpack.unpackb(data, ext_hook=decode_extension, strict_map_key=False)


def open_row(row):
    """A row of an answer as JSON: packed bags unpacked, with their resources in their places."""
    def place(value):
        if isinstance(value, dict) and value.keys() == {"resource"}:
            return {"resource": row["resources"][value["resource"]]}
        if isinstance(value, dict):
            return {key: place(item) for key, item in value.items()}
        return [place(item) for item in value] if isinstance(value, list) else value
    for key in ("payload", "payload_persistent"):
        if key in row:  # empty: there is none
            row[key] = place(unpack(row[key]) if row[key] else {})
    return row


class Watcher(Peer):
    """Asks the broker, by the protocol alone: no client under test is believed."""

    def query(self, what, arguments, verb="QUERY"):
        self.hello("operator", "scenario.watcher")
        rows, after = [], None
        while True:
            self.send(verb, {"what": what, **arguments, **({"after": after} if after else {})})
            if not self.socket.poll(10000):
                raise Failure(f"the broker does not answer {what}")
            answered, _, body = unpack(self.socket.recv())
            if answered == VERBS["HEARTBEAT"]:
                continue
            if answered != VERBS["ANSWER"]:
                return {"error": body}
            rows += [open_row(row) for row in body["rows"]]
            after = body.get("next")
            if after is None:
                return rows


class WrongBroker:
    """Speaks version 2 of the protocol, and that only."""

    def __init__(self):
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.address = f"tcp://127.0.0.1:{port}"
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._answer, daemon=True)
        self.thread.start()

    def _answer(self):
        while not self.is_over.is_set():
            if self.socket.poll(50):
                peer, frame = self.socket.recv_multipart()
                verb, message_id, body = unpack(frame)
                self.socket.send_multipart([peer, msgpack.packb([VERBS["ERROR"], message_id, {
                    "code": 18, "verb": verb, "retryable": False,
                    "message": f"v: protocol version {body.get('v')} is not spoken here, 2 is"}])])

    def close(self):
        self.is_over.set()
        self.thread.join()
        self.socket.close()


class Stage:
    """What one scenario runs on."""

    def __init__(self, language, scenario, variables=None):
        self.language = language
        self.scenario = scenario
        self.drivers = {}
        self.pending = {}
        self.variables = dict(variables or {})
        self.proxy = None
        self.wrong = None
        options = {section: dict(values) for section, values in OPTIONS.items()}
        for section, values in scenario.get("options", {}).items():
            options.setdefault(section, {}).update(values)
        self.broker = Broker(options)
        self.variables["folder"] = self.broker.dir

    # ---- Actors

    def driver(self, name):
        if name not in self.drivers:
            environment = dict(self.broker.environment, TMPDIR=self.broker.dir)
            place = self.scenario.get("actors", {}).get(name, {}).get("through")
            if place == "proxy":
                environment["KARTON_BROKER_ADDRESS"] = f"tcp://127.0.0.1:{self._proxy().port}"
            elif place == "wrong broker":
                self.wrong = self.wrong or WrongBroker()
                environment["KARTON_BROKER_ADDRESS"] = self.wrong.address
            replacements = {"tests": tests_dir(), "source": SOURCE, "python": os.environ.get("ZKT_PYTHON", sys.executable)}
            for key, value in self.language.get("environment", {}).items():
                environment[key] = value.format(**replacements)
            command = [part.format(**replacements) for part in self.language["command"]]
            self.drivers[name] = Driver(name, command, environment, self.broker.dir)
        return self.drivers[name]

    def _proxy(self):
        if self.proxy is None:
            self.proxy = Proxy(int(self.broker.endpoints["broker"].rsplit(":", 1)[1])).__enter__()
        return self.proxy

    # ---- Steps

    def play(self):
        try:
            if self.scenario.get("start", True):
                self.broker.start()
            else:  # an address at which nothing listens, known before
                self.broker.start()
                self.broker.stop()
            for number, step in enumerate(self.scenario["steps"], 1):
                try:
                    self.step(fill(step, self.variables))
                except (AssertionError, KeyError, IndexError, TypeError) as error:
                    raise Failure(self.story(number, step, error)) from error
            self.end()
        finally:
            self.clean()

    def step(self, step):
        kinds = [kind for kind in STEP_KINDS if kind in step]
        if len(kinds) != 1:
            raise Failure(f"a step is one of {STEP_KINDS}, this has {kinds}")
        getattr(self, "step_" + kinds[0])(step)

    def check(self, step, actual):
        if "expect" in step:
            found = list(differences(step["expect"], actual))
            if found:
                raise Failure("\n".join(found))
        for name, path in step.get("keep", {}).items():
            self.variables[name] = pick(actual, path) if path else actual

    def step_do(self, step):
        driver = self.driver(step["on"])
        body = {key: value for key, value in step.items() if key not in ("on", "expect", "keep", "error", "later", "why")}
        if step["do"] == "serve":
            body.setdefault("concurrency", 1)
        request_id = driver.request(body)
        if "later" in step:
            self.pending[step["later"]] = (driver, request_id, step)
            return
        self.take_answer(driver, request_id, step)

    def step_answer(self, step):
        driver, request_id, first = self.pending.pop(step["answer"])
        self.take_answer(driver, request_id, {**first, **step})

    def take_answer(self, driver, request_id, step):
        answer = driver.answer(request_id)
        error = answer.get("error")
        if "error" in step:
            found = ["no error came"] if error is None else list(differences(step["error"], error, "error"))
            if found:
                raise Failure("\n".join(found))
        elif error is not None:
            raise Failure(f"error: {error}")
        self.check(step, answer)

    def step_event(self, step):
        event = self.driver(step["on"]).event(step["event"], step.get("within_s", DEADLINE_S))
        task = event.get("task")
        if task is not None:
            for key in ("uid", "parent_uid", "orig_uid"):  # "{root}:uid" beside its last part, as the broker names it
                event[key] = task[key].rpartition(":")[2] if task.get(key) else None
            event["legacy"] = task.get("payload_persistent", {}).pop("__headers_persistent", None)
        self.check(step, event)

    def step_no(self, step):
        if self.driver(step["on"]).count(step["no"]):
            raise Failure(f"an event {step['no']!r} that should not be")

    def step_signal(self, step):
        driver = self.driver(step["on"])
        driver.signal(step["signal"])
        if step.get("delivered"):
            self.wait_until_taken(driver, step["signal"])

    @staticmethod
    def wait_until_taken(driver, name):
        """Two signals of a kind that wait would be one."""
        import signal
        number = int(getattr(signal, "SIG" + name))
        pending = 1
        while pending and driver.process.poll() is None:
            with open(f"/proc/{driver.process.pid}/status", encoding="ascii") as file:
                masks = re.findall(r"^S[ih][gd]Pnd:\s*([0-9a-f]+)", file.read(), re.M)
            pending = sum(int(mask, 16) >> (number - 1) & 1 for mask in masks)

    def step_exits(self, step):
        code = self.driver(step["on"]).exits()
        if code != step["exits"]:
            raise Failure(f"it ended with {code}, expected {step['exits']}")

    def step_broker(self, step):
        if step["broker"] == "kill":
            self.broker.kill()
        elif step["broker"] == "stop":
            self.broker.stop()
        else:
            self.broker.start()

    def step_log(self, step):
        self.broker.log.wait_for(step["log"])
        while any(word not in self.broker.log.last for word in step.get("with", [])):
            self.broker.log.wait_for(step["log"])

    def step_query(self, step):
        """What the broker says, asked again until it is as expected: events of other processes come when they come."""
        deadline = time.monotonic() + DEADLINE_S
        with Watcher(self.broker.endpoints["broker"]) as watcher:
            while True:
                rows = watcher.query(step["query"], step.get("arguments", {}))
                found = list(differences(step.get("expect", []), rows, "rows"))
                if not found:
                    break
                if step.get("now") or time.monotonic() > deadline:
                    raise Failure("\n".join(found))
        self.check(step, rows)

    def step_control(self, step):
        with Watcher(self.broker.endpoints["broker"]) as watcher:
            self.check(step, watcher.query(step["control"], step.get("arguments", {}), "CONTROL"))

    def step_objects(self, step):
        """How many objects the directory store holds, once it is so."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            objects = os.path.join(self.broker.data, "objects")  # objects/SHARD/UID
            count = sum(len(files) for folder, _, files in os.walk(objects) if len(os.path.basename(folder)) == 2)
            if count == step["objects"]:
                return
            if time.monotonic() > deadline:
                raise Failure(f"{count} objects, expected {step['objects']}")
            time.sleep(0.02)

    def step_proxy(self, step):
        if not {"cut": self._proxy().cut_all, "freeze": self._proxy().freeze}[step["proxy"]]():
            raise Failure("nobody was connected through the proxy")

    def step_write(self, step):
        path = os.path.join(self.broker.dir, step["write"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(step.get("text", "").encode() * step.get("times", 1))

    def step_keep_from(self, step):
        self.check(step, step["keep_from"])

    # ---- End

    def end(self):
        for name, driver in self.drivers.items():
            was_over = driver.process.poll() is not None
            code = driver.end()
            if code != 0 and not was_over:
                raise Failure(f"the client {name} left with {code}\n{driver.story()}")
        if self.broker.process.poll() is None:
            code = self.broker.stop()
            if code != 0:
                raise Failure(f"the broker ended with {code}\n{self.broker.log.text}")

    def clean(self):
        for driver in self.drivers.values():
            with contextlib.suppress(Exception):
                driver.process.kill()
            with contextlib.suppress(Exception):
                driver.end()
        if self.proxy is not None:
            self.proxy.__exit__()
        if self.wrong is not None:
            self.wrong.close()
        self.broker.__exit__()

    def story(self, number, step, error):
        lines = [f"scenario {self.scenario['name']!r}, step {number}: {shown(step)}", f"{error}"]
        lines += [driver.story() for driver in self.drivers.values()]
        return "\n".join([*lines, "--- broker", self.broker.log.text[-3000:]])


def cases(scenario):
    """The variables of each run: one without any, or one for each case of the vectors."""
    if "for_each" not in scenario:
        return [{}]
    with open(os.path.join(SOURCE, "schemas", "vectors", scenario["for_each"]), encoding="utf-8") as file:
        return [{f"case_{key}": value for key, value in case.items()} for case in json.load(file)]


def play(language, scenario):
    """All cases in one world: repeated steps are "each", the others come once before."""
    steps = scenario["steps"]
    if "for_each" in scenario:
        steps = list(scenario.get("before", []))
        for case in cases(scenario):
            steps += [fill_case(step, case) for step in scenario["steps"]]
    Stage(language, {**scenario, "steps": steps}).play()


def fill_case(value, case):
    """Only what the case names; the rest is filled when the step is played."""
    if isinstance(value, str) and value.startswith("$case_"):
        return pick(case, value[1:])
    if isinstance(value, list):
        return [fill_case(item, case) for item in value]
    if isinstance(value, dict):
        return {key: fill_case(item, case) for key, item in value.items()}
    return value
