"""What both Python drivers share: lines, tasks, configurations (protocol: ../README.md)."""
import contextlib
import hashlib
import inspect
import json
import os
import threading
import time

from zkarton import Config, GiveBack, LocalResource, Task, TaskPriority, ZkartonError, __version__
from zkarton._context import current_process
from zkarton.exceptions import HardShutdownInterrupt
from zkarton.resource import ResourceBase
from zkarton.service import EXIT_CODES

SHOWN_MAX = 4096
LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
_lock = threading.Lock()


def say(message):
    line = json.dumps(message).encode() + b"\n"
    with _lock:
        while line:
            line = line[os.write(1, line):]


def say_ready(language):
    say({"event": "ready", "language": language, "version": __version__})


def answer(request, **results):
    say({"id": request["id"], **results})


def answer_error(request, error):
    code = getattr(error, "code", None) or type(error).__name__
    say({"id": request["id"], "error": {"code": code, "text": getattr(error, "message", None) or str(error)}})


def read_requests(take):
    """Calls take(request) for each line, take(None) at the end. On the calling thread."""
    text = b""
    while data := os.read(0, 65536):  # not sys.stdin: its lock, held by this thread, would abort the interpreter's end
        *lines, text = (text + data).split(b"\n")
        for line in lines:
            take(json.loads(line))
    take(None)


def plain(value):
    """Rows with resources as their documents."""
    if isinstance(value, ResourceBase):
        return {"__karton_resource__": value.to_dict()}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


# ---- One way for both clients: what is awaited in one is there at once in the other

async def ready(value):
    """The value, awaited if it has to be."""
    return await value if inspect.isawaitable(value) else value


@contextlib.asynccontextmanager
async def entered(manager):
    """`with` or `async with`."""
    if hasattr(manager, "__aenter__"):
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value


def now(coroutine):
    """What the coroutine returns; for one that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


class Client:
    """connect, submit, post, wait, query, follow. Subclasses say how events are pumped."""

    PRODUCER = None

    def __init__(self):
        self.producer = None
        self.events = None

    async def do(self, request):
        if self.producer is None and request["do"] != "connect":
            raise ZkartonError("connect first", "USAGE")
        method = getattr(self, "do_" + request["do"], None)
        if method is None:
            raise ZkartonError("no such verb", "USAGE")
        answer(request, **(await method(request) or {}))

    async def do_connect(self, request):
        await self.close()
        config = build_config(request)
        config.set("karton", "connect_timeout", request.get("timeout_ms", 5000) / 1000)
        producer = self.PRODUCER(config, identity=request["identity"])
        try:
            await ready(producer.connect() if hasattr(producer, "connect") else producer.backend.session.wait_open(
                request.get("timeout_ms", 5000) / 1000))
        except BaseException:
            await ready(producer.close())
            raise
        self.producer = producer

    async def do_submit(self, request):
        task = build_task(request)
        await ready(self.producer.send_task(task))
        return {"uid": task.task_uid, "root_uid": task.root_uid}

    async def do_post(self, request):
        for number in range(request["count"]):
            task = build_task(request)
            task.add_payload("number", number)
            await ready(self.producer.post_task(task))
        await ready(self.producer.flush())
        return {"sent": request["count"], "refused": 0}

    async def do_wait(self, request):
        summary = await ready(self.producer.wait(request["root_uid"], request.get("timeout_ms", 30000) / 1000))
        return {"finished": summary.finished, "crashed": summary.crashed}

    async def do_query(self, request):
        rows = await ready(self.producer.query(request["what"], **request.get("arguments", {})))
        return {"rows": plain(rows)}

    async def do_follow(self, request):
        self.events = await ready(self.producer.events(*request["topics"]))
        self.start_pump()

    def start_pump(self):
        raise NotImplementedError

    async def end_pump(self):
        raise NotImplementedError

    async def close(self):
        if self.events is not None:
            await self.end_pump()
            self.events = None
        producer, self.producer = self.producer, None
        if producer is not None:
            await ready(producer.close())


async def do_in_process(service, task, request):
    """What a scenario says to process but for how it ends."""
    verb = request["do"]
    if verb == "send":
        child = build_task(request, task)
        await ready(service.post_task(child) if request.get("post") else service.send_task(child))
        return {"uid": child.task_uid}
    if verb == "read":
        resource = resource_at(task, request["path"])
        return about_resource(resource, await ready(resource.download()))
    if verb == "folder":
        async with entered(resource_at(task, request["path"]).extract_temporary()) as path:
            return about_folder(path)
    if verb == "log":
        service.log.log(LEVELS[request.get("level", "INFO")], "%s", request["message"])
        return None
    if verb == "spin":
        end_s = time.monotonic() + request["ms"] / 1000
        while time.monotonic() < end_s and not service.is_cancelled:
            pass
        return {"cancelled": service.is_cancelled}
    raise ZkartonError("no such verb", "USAGE")


async def answer_in_process(service, task, request):
    """Does it and says what came of it."""
    try:
        answer(request, **(await do_in_process(service, task, request) or {}))
    except Exception as error:
        answer_error(request, error)


def build_config(request):
    config = Config()
    config.load_from_dict(request.get("config", {}))
    return config


def build_value(value, parent):
    if isinstance(value, dict):
        if "$text" in value:
            return LocalResource(value["$text"]["name"], content=value["$text"]["text"])
        if "$file" in value:
            return LocalResource(value["$file"]["name"], path=value["$file"]["path"])
        if "$directory" in value:
            return LocalResource.from_directory(value["$directory"]["name"], value["$directory"]["path"])
        if "$pass" in value:
            return resource_at(parent, value["$pass"])
        return {key: build_value(item, parent) for key, item in value.items()}
    return [build_value(item, parent) for item in value] if isinstance(value, list) else value


def build_task(request, parent=None):
    document = request["task"]
    headers = dict(document.get("headers", {}))
    payload = {key: build_value(value, parent) for key, value in document.get("payload", {}).items()}
    persistent = {key: build_value(value, parent) for key, value in document.get("payload_persistent", {}).items()}
    if document.get("derive"):
        return parent.derive_task(headers)
    return Task(headers, payload=payload, payload_persistent=persistent,
                headers_persistent=dict(document.get("headers_persistent", {})),
                priority=TaskPriority(document["priority"]) if "priority" in document else None)


def resource_at(task, path):
    first, *rest = path.split(".")
    value = task.get_payload(first)
    for part in rest:
        if isinstance(value, list):
            value = value[int(part)]
        else:
            value = value.get(part) if isinstance(value, dict) else None
    if not isinstance(value, ResourceBase):
        raise ZkartonError("no resource there", "NOT_FOUND")
    return value


def about_resource(resource, content):
    return {"uid": resource.uid, "name": resource.name, "size": len(content), "is_directory": resource.is_directory,
            "sha256": hashlib.sha256(content).hexdigest(), "hex": content[:SHOWN_MAX].hex()}


def about_folder(path):
    files = {}
    for folder, _, names in os.walk(path):
        for name in names:
            full = os.path.join(folder, name)
            with open(full, "rb") as file:
                files[os.path.relpath(full, path)] = file.read(SHOWN_MAX).hex()
    return {"files": files}


def service_class(base, request, **more):
    """A subclass with what the request says, as a service would be written."""
    names = {"__doc__": request.get("info"), "identity": request["identity"], "version": request.get("service_version"),
             "persistent": not request.get("temporary", False), "transactional": request.get("transactional", False),
             "join": request.get("join", False), "task_timeout": request.get("timeout_s"),
             "prefetch": request.get("prefetch"), **more}
    if "filters" in request:
        names["filters"] = request["filters"]
    return type("Service", (base,), names)


def start_service(request, make):
    """(service, 0), or (None, exit code) when it cannot be."""
    try:
        service = make()
    except Exception as error:
        answer_error(request, error)
        return None, EXIT_CODES.get(getattr(error, "code", ""), 2)
    answer(request, identity=service.identity)
    return service, 0


def end_service(error):
    """Says how the loop ended; the exit code of a program whose main() it is."""
    code, text, number = "OK", None, 0
    if isinstance(error, HardShutdownInterrupt):
        code, number = "CANCELLED", 130
    elif isinstance(error, ZkartonError):
        code, text, number = error.code, error.message, EXIT_CODES.get(error.code, 1)
    elif error is not None:
        raise error
    say({"event": "stopped", "code": code, "text": text})
    return number


async def run_service(request, make):
    """One service to its end: the exit code."""
    service, code = start_service(request, make)
    if service is None:
        return code
    try:
        await ready(service.run() if hasattr(service, "run") else service.loop())
    except BaseException as error:
        return end_service(error)
    return end_service(None)


class Runs:
    """The calls of process, by the number that the scenario knows."""

    ENDS = ("finish", "fail", "give_back")

    def __init__(self, make_queue):
        self.make_queue = make_queue
        self.lock = threading.Lock()
        self.queues = {}
        self.last = 0

    def open(self, task):
        with self.lock:
            self.last += 1
            number, requests = self.last, self.make_queue()
            self.queues[number] = requests
        say({"event": "task", "delivery": number, "attempt": current_process().delivery.attempt, "task": task.to_dict()})
        return number, requests

    def close(self, number):
        with self.lock:
            requests = self.queues.pop(number)
        return requests

    def take(self, request, put):
        """Hands on what is for a delivery."""
        with self.lock:
            requests = self.queues.get(request["delivery"])
            if requests is not None:
                put(requests, request)
                return
        if request["do"] in self.ENDS:
            answer(request)
        else:
            answer_error(request, ZkartonError("process has ended", "CANCELLED"))


def end_of(request):
    """What process does at its end: returns, or raises."""
    answer(request)
    if request["do"] == "fail":
        raise RuntimeError(request["text"])
    if request["do"] == "give_back":
        raise GiveBack(request.get("delay_ms", 0) / 1000)
