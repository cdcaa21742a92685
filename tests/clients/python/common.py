"""What both Python drivers share: lines, tasks, configurations (protocol: ../README.md)."""
import hashlib
import json
import os
import threading

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


def run_service(request, make):
    service, code = start_service(request, make)
    if service is None:
        return code
    try:
        service.loop()
    except BaseException as error:
        return end_service(error)
    return end_service(None)


async def run_service_async(request, make):
    service, code = start_service(request, make)
    if service is None:
        return code
    try:
        await service.run()
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
