"""The look-alike of karton.core.backend.KartonBackend.

karton-core's own Producer, Consumer and LogConsumer run on top of it unchanged; each of their calls is answered by
what the protocol has for it. What has no counterpart raises NotServedError.
"""
from __future__ import annotations

import os
import re
import sys
import time
import traceback
import uuid
from collections import defaultdict
from queue import Empty
from typing import IO, Any, Dict, Iterable, Iterator, List, Optional, Union

from karton.core.__version__ import __version__ as karton_version
from karton.core.backend import (
    KartonBackendBase,
    KartonBind,
    KartonMetrics,
    KartonServiceInfo,
)
from karton.core.config import Config
from karton.core.exceptions import HardShutdownInterrupt
from karton.core.resource import LocalResourceBase, RemoteResource
from karton.core.task import Task, TaskState, get_current_task

from .._session import Delivery, Session
from ..exceptions import ZkartonError
from . import _logs
from ._convert import asked_task, delivered_task, pack_task
from ._errors import NotServedError
from ._objects import Objects, ObjectStream
from ._sessions import Sessions, log

TAKE_MOST_S = 1.0  # so that a service that was asked to stop hears of it
BUCKET_DEFAULT = "karton"
UNKNOWN_VERSION = "-"  # of karton-core: the consumer is none of its services

_METRICS = {
    KartonMetrics.TASK_PRODUCED: "zkarton_produced_total",
    KartonMetrics.TASK_CONSUMED: "zkarton_consumed_total",
    KartonMetrics.TASK_CRASHED: "zkarton_crashed_total",
    KartonMetrics.TASK_ASSIGNED: "zkarton_assigned_total",
}
_METRIC_LINE = re.compile(r'^(\w+)\{identity="((?:[^"\\]|\\.)*)"\} (\d+)$', re.MULTILINE)

# What has no counterpart: {name: what to use instead}.
NOT_SERVED = {
    "register_task": "a task is written once, when it is sent: send a new one",
    "register_tasks": "a task is written once, when it is sent: send new ones",
    "delete_task": "the broker removes finished tasks at once and crashed ones after [store] crashed_ttl",
    "delete_tasks": "the broker removes finished tasks at once and crashed ones after [store] crashed_ttl",
    "delete_consumer_queues": "`zkarton delete IDENTITY` removes a consumer with its queue",
    "remove_task_queue": "`zkarton delete IDENTITY` removes a consumer with its queue",
    "produce_routed_task": "the broker routes: send the task with headers that the consumer's filters match",
    "consume_queues": "the broker routes and cleans up by itself; do not start karton-system",
    "consume_queues_batch": "the broker routes and cleans up by itself; do not start karton-system",
    "list_objects": "the broker counts references to objects and deletes what nobody refers to",
    "list_object_versions": "the broker counts references to objects and deletes what nobody refers to",
    "remove_object": "the broker deletes an object when the last task that refers to it is gone",
    "remove_objects": "the broker deletes objects when the last task that refers to them is gone",
    "remove_object_versions": "the broker deletes objects when the last task that refers to them is gone",
    "log_identity_output": "`zkarton tree` shows what services send",
    "get_outputs": "what services send is not recorded; `zkarton tree` shows it for one analysis",
    "make_pipeline": "there is no Redis; each call is durable when it returns",
    "make_redis": "there is no Redis; use the backend's methods",
    "iam_auth_s3": "clients need no S3 credentials; the broker gives addresses for objects",
}


class _RedisFacade:
    """Of Redis only the counters, which karton-dashboard reads past the backend."""

    def __init__(self, backend: KartonBackend) -> None:
        self._backend = backend

    def hgetall(self, name: str) -> Dict[str, int]:
        for metric in KartonMetrics:
            if metric.value == name:
                return self._backend.get_metrics(metric)
        raise NotServedError(f"backend.redis.hgetall({name!r})", "use the backend's methods")

    def __getattr__(self, name: str) -> Any:
        raise NotServedError(f"backend.redis.{name}", "there is no Redis; use the backend's methods")


class KartonBackend(KartonBackendBase):
    """Speaks to zkarton's broker. Made by karton-core's classes, as theirs is."""

    def __init__(self, config: Config, identity: Optional[str] = None,
                 service_info: Optional[KartonServiceInfo] = None) -> None:
        super().__init__(config, identity, service_info)
        self.sessions = Sessions(config, identity)
        self.objects = Objects(self.sessions, self._delivery_here)
        self._bind: Optional[KartonBind] = None
        self._deliveries: Dict[str, Delivery] = {}  # in hand, by task_uid
        self._declared: Dict[str, LocalResourceBase] = {}  # of tasks that are being sent, by uid
        self._pid = os.getpid()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotServedError(f"backend.{name}", NOT_SERVED.get(name, "the look-alike of karton-core 5.9.1 does not have it"))

    @property
    def default_bucket_name(self) -> str:
        return str(self.config.get("s3", "bucket") or BUCKET_DEFAULT)

    @property
    def redis(self) -> Any:
        return _RedisFacade(self)

    @property
    def s3(self) -> Any:
        raise NotServedError("backend.s3", "objects are reached by upload_object, download_object and get_object")

    def unserialize_resource(self, resource_spec: Dict[str, Any]) -> RemoteResource:
        self.objects.learn(resource_spec)
        return RemoteResource.from_dict(resource_spec, backend=self)  # type: ignore[arg-type]

    # ---- Queues

    def _bind_of(self, row: Dict[str, Any]) -> KartonBind:
        return KartonBind(identity=row["identity"], info=row.get("info"), version=row.get("version") or UNKNOWN_VERSION,
                          persistent=row["persistent"], filters=row["filters"], service_version=row.get("service_version"),
                          is_async=bool(row.get("is_async")))

    def get_binds(self) -> List[KartonBind]:
        return [self._bind_of(row) for row in self.sessions.rows("consumers")]

    def _find_bind(self, identity: str) -> Optional[KartonBind]:
        try:
            return next((self._bind_of(row) for row in self.sessions.rows("consumer", identity=identity)), None)
        except ZkartonError as error:
            if error.code != "NOT_FOUND":
                raise
            return None

    def get_bind(self, identity: str) -> KartonBind:
        """As registered. Ours is known to be until the broker says that it was replaced."""
        worker = self.sessions.worker
        if self._bind is not None and identity == self._bind.identity and worker is not None:
            if worker.problem is not None and worker.state == "dead":
                raise worker.problem
            if not worker.is_retiring:
                return self._bind
        bind = self._find_bind(identity)
        if bind is None:
            raise ZkartonError(f'no consumer "{identity}"', "NOT_FOUND")
        if self._bind is not None and bind == self._bind and worker is not None and worker.is_over:
            self.register_bind(bind)  # replaced, and replaced again by one like ours
        return bind

    def _worker_options(self, bind: KartonBind) -> Dict[str, Any]:
        return {"bind": {"filters": bind.filters, "persistent": bind.persistent, "info": bind.info, "version": bind.version,
                         "service_version": bind.service_version, "is_async": bind.is_async}}

    def register_bind(self, bind: KartonBind) -> Optional[KartonBind]:
        old = self._find_bind(bind.identity)
        self.sessions.open_worker(identity=bind.identity, options=self._worker_options(bind))
        self._bind = bind
        return old

    def unregister_bind(self, identity: str) -> None:
        self.sessions.control("delete_consumer", identity=identity)

    def set_consumer_identity(self, _: str) -> None:
        """Does nothing, as in karton-core since 4.5.0."""

    def get_online_consumers(self) -> Dict[str, List[Dict[str, str]]]:
        online: Dict[str, List[Dict[str, str]]] = defaultdict(list)
        for row in self.sessions.rows("workers"):
            online[row["identity"]].append({"id": str(row["session"]), "name": row["identity"],
                                            "addr": f"{row.get('host')}:{row.get('pid')}", "lib-name": row.get("language") or ""})
        return online

    def get_online_services(self) -> List[KartonServiceInfo]:
        """The broker itself: services that serve no queue are not listed by it."""
        return [KartonServiceInfo(identity="zkarton-broker", karton_version=karton_version, service_version=row.get("version"))
                for row in self.sessions.rows("broker")]

    # ---- Tasks, read

    def _task_of(self, row: Dict[str, Any]) -> Task:
        return asked_task(row, self.default_bucket_name, self.unserialize_resource)

    def get_task(self, task_uid: str) -> Optional[Task]:
        return next(self.iter_tasks([task_uid]), None)

    def iter_tasks(self, task_uid_list: Iterable[str], chunk_size: int = 1000, parse_resources: bool = True) -> Iterator[Task]:
        uids = (Task.fquid_to_uid(task_uid) for task_uid in task_uid_list)
        for row in self.sessions.tasks(uid for uid in uids if _is_uid(uid)):
            if row["state"] != TaskState.FINISHED.value:
                yield self._task_of(row)

    def get_tasks(self, task_uid_list: List[str], chunk_size: int = 1000, parse_resources: bool = True) -> List[Task]:
        return list(self.iter_tasks(task_uid_list))

    def iter_all_tasks(self, chunk_size: int = 1000, parse_resources: bool = True) -> Iterator[Task]:
        yield from self.iter_tasks(row["uid"] for row in self.sessions.rows("tasks"))

    def get_all_tasks(self, chunk_size: int = 1000, parse_resources: bool = True) -> List[Task]:
        return list(self.iter_all_tasks())

    def iter_task_tree(self, root_uid: str, chunk_size: int = 1000, parse_resources: bool = True) -> Iterator[Task]:
        """All tasks of the analysis that are not Finished: those are gone, as after Karton's next round of collecting."""
        if not _is_uid(root_uid):
            return
        yield from self.iter_tasks(row["uid"] for row in self.sessions.rows("tree", root=root_uid)
                                   if row["state"] != TaskState.FINISHED.value)

    def get_task_ids_from_queue(self, queue: str) -> List[str]:
        found = re.fullmatch(r"karton\.queue\.(high|normal|low):(.+)", queue)
        if not found:
            return []  # unrouted tasks do not wait, and nobody fills the queues of 2.x
        try:
            return [f"{{{row['root']}}}:{row['uid']}"
                    for row in self.sessions.rows("tasks", identity=found.group(2), state=TaskState.SPAWNED.value)
                    if row["priority"] == found.group(1)]
        except ZkartonError as error:
            if error.code != "NOT_FOUND":
                raise
            return []

    def get_task_queue(self, queue: str) -> List[Task]:
        return self.get_tasks(self.get_task_ids_from_queue(queue))

    # ---- Tasks, sent

    def declare_task(self, task: Task) -> None:
        """Looks at the task and remembers its local resources: they are uploaded next, and then it is sent."""
        has_local = False
        for resource in task.iterate_resources():
            if isinstance(resource, LocalResourceBase):
                if not resource.bucket:
                    resource.bucket = self.default_bucket_name
                self._declared[resource.uid] = resource
                has_local = True
        if has_local:
            # What cannot be sent is found before a file is; and the size of a file is asked while it is open. Its hash
            # is known once it is uploaded, whatever the resource was told.
            pack_task(task, self.default_bucket_name, {uid: "0" * 64 for uid in self._declared}, None)

    def produce_unrouted_task(self, task: Task) -> None:
        """On disk when this returns. A task whose parent is in hand is its child; another begins an analysis."""
        try:
            parent = Task.fquid_to_uid(task.parent_uid) if task.parent_uid else None
            delivery = self._deliveries.get(parent) if parent else None
            session = self._session_of(delivery)
            packed = pack_task(task, self.default_bucket_name, self.objects.hashes, parent if delivery else None)
            session.submit(packed, delivery).result()
        finally:
            for resource in task.iterate_resources():
                self._declared.pop(resource.uid, None)
                self.objects.hashes.pop(resource.uid, None)

    def _session_of(self, delivery: Optional[Delivery]) -> Session:
        if delivery is None:
            return self.sessions.sender
        if os.getpid() != self._pid:
            raise NotServedError("sending a task from a forked process for the task that its parent works on",
                                 "send it from the process that was given the task")
        worker = self.sessions.worker
        if worker is None:
            raise ZkartonError("the session that was given the task is closed", "CANCELLED")
        return worker

    def restart_task(self, task: Task) -> Task:
        """A crashed task once more. Others are not to be restarted: they run, or wait."""
        if task.status != TaskState.CRASHED:
            raise NotServedError(f"restarting a task that is {task.status.value}", "only a Crashed task can be retried")
        rows = self.sessions.control("retry", uid=task.task_uid)
        new_task = task.fork_task()
        new_task.uid = f"{{{task.root_uid}}}:{rows[0]['uid']}"
        new_task.orig_uid = task.orig_uid
        new_task.status = TaskState.SPAWNED
        task.status = TaskState.FINISHED
        return new_task

    # ---- Tasks, worked on

    def _delivery_here(self) -> Optional[Delivery]:
        task = get_current_task()
        return None if task is None else self._deliveries.get(task.task_uid)

    def consume_routed_task(self, identity: str, timeout: int = 5) -> Optional[Task]:
        worker = self.sessions.worker
        if worker is None or self._bind is None or identity != self._bind.identity:
            raise NotServedError("taking tasks of a queue that was not registered here", "call register_bind first")
        try:
            delivery = worker.take(min(timeout or TAKE_MOST_S, TAKE_MOST_S))
        except Empty:
            delivery = None
        if delivery is None:
            if worker.is_over and worker.problem is not None:
                raise worker.problem
            return None
        return self.begin(delivery, worker)

    def begin(self, delivery: Delivery, worker: Session) -> Optional[Task]:
        """The task of a delivery that this service starts to work on; None: it cannot be read, and is Crashed."""
        try:
            task = delivered_task(delivery.task, self.default_bucket_name, self.unserialize_resource)
        except Exception as damage:  # whatever is wrong with it, the next one may be well
            error = f"the task cannot be read: {damage!r}"
            log.error("Failed to process task - %s", error)
            worker.begin(delivery)
            worker.finish(delivery, TaskState.CRASHED.value, error)
            return None
        self._deliveries[task.task_uid] = delivery
        return task

    def set_task_status(self, task: Task, status: TaskState, pipe: Any = None) -> None:
        if task.status == status:
            return
        delivery = self._deliveries.get(task.task_uid)
        if delivery is None:
            raise NotServedError(f"setting a task to {status.value} that this service does not work on",
                                 "the broker cannot cancel tasks; `zkarton retry` repeats a crashed one")
        worker = self._session_of(delivery)
        task.status = status
        task.last_update = time.time()
        if status == TaskState.STARTED:
            worker.begin(delivery)
            return
        if status not in (TaskState.FINISHED, TaskState.CRASHED):
            return
        del self._deliveries[task.task_uid]
        word, error = status.value, "".join(task.error or [])
        if status == TaskState.FINISHED:
            word, error = _real_end(task)
        worker.finish(delivery, word, error or None)

    # ---- Counters: the broker counts

    def increment_metrics(self, metric: KartonMetrics, identity: str, pipe: Any = None) -> None:
        """Nothing to do."""

    def increment_metrics_list(self, metric: KartonMetrics, identities: List[str]) -> None:
        """Nothing to do."""

    def increment_multiple_metrics(self, metric: KartonMetrics, increments: Dict[str, int]) -> None:
        """Nothing to do."""

    def get_metrics(self, metric: KartonMetrics) -> Dict[str, int]:
        name = _METRICS.get(metric)
        counts: Dict[str, int] = {}
        for row in self.sessions.rows("metrics") if name else ():
            for found in _METRIC_LINE.finditer(row["text"]):
                if found.group(1) == name and found.group(3) != "0":  # Karton has no entry for what never happened
                    counts[_unescaped(found.group(2))] = int(found.group(3))
        return counts

    # ---- Logs

    def produce_log(self, log_record: Dict[str, Any], logger_name: str, level: str) -> bool:
        """Fire and forget: who listens is not known, so always True."""
        self.sessions.log(_logs.pack_record(log_record, level))
        return True

    def produce_logs(self, log_records: List[Dict[str, Any]], logger_name: str, level: str) -> None:
        for record in log_records:
            self.produce_log(record, logger_name, level)

    def consume_log(self, timeout: int = 5, logger_filter: Optional[str] = None, level: Optional[str] = None) -> Iterator[
            Optional[Dict[str, Any]]]:
        return _logs.consume(self.sessions, min(timeout, TAKE_MOST_S) if timeout else TAKE_MOST_S, logger_filter, level)

    # ---- Objects: there is one store, the broker's: the bucket is a word that travels with the resource.

    def upload_object(self, bucket: str, object_uid: str, content: Union[bytes, IO[bytes]]) -> None:
        resource = self._declared.get(object_uid)

        def draw_uid() -> str:
            if resource is None:
                raise ZkartonError(f"object {object_uid}: another one has this uid", "IN_USE")
            resource._uid = str(uuid.uuid4())
            return resource._uid

        self.objects.upload(object_uid, content, draw_uid)

    def upload_object_from_file(self, bucket: str, object_uid: str, path: str) -> None:
        with open(path, "rb") as file:
            self.upload_object(bucket, object_uid, file)

    def get_object(self, bucket: str, object_uid: str) -> ObjectStream:
        return self.objects.open(object_uid)

    def download_object(self, bucket: str, object_uid: str) -> bytes:
        return self.objects.download(object_uid)

    def download_object_to_file(self, bucket: str, object_uid: str, path: str) -> None:
        self.objects.download_to_file(object_uid, path)

    def check_bucket_exists(self, bucket: str, create: bool = False) -> bool:
        """The broker's store is there when the broker is."""
        return True


def _is_uid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _unescaped(label: str) -> str:
    return re.sub(r"\\(.)", lambda escaped: "\n" if escaped[1] == "n" else escaped[1], label)


def _real_end(task: Task) -> Any:
    """How a task ends that karton-core calls Finished: it does so too when sys.exit or a second Ctrl-C went through
    `process` (P6). The exception is still under way then."""
    kind, error, _ = sys.exc_info()
    if kind is None or issubclass(kind, Exception):
        return "Finished", None
    if issubclass(kind, (HardShutdownInterrupt, KeyboardInterrupt)):
        return "Returned", None
    task.status = TaskState.CRASHED
    task.error = traceback.format_exception(kind, error, error.__traceback__ if error else None)
    return "Crashed", "".join(task.error)


__all__ = ["KartonBackend"]
