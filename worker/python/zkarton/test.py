"""Test kit: runs a service's ``process`` without a broker (parity I5). For unittest and for pytest.

.. code-block:: python

    class UpperTest(KartonTestCase):
        karton_class = Upper
        config = ConfigMock()

        def test_upper(self):
            sent = self.run_task(Task({"type": "text"}, {"sample": Resource("a", b"a")}))
            self.assertTasksEqual(sent, [Task({"type": "upper", "origin": "karton.upper"},
                                              {"sample": Resource("up", b"A")})])

With pytest: :func:`run_task` and :func:`assert_tasks_equal`.
"""
from __future__ import annotations

import asyncio
import hashlib
import inspect
import logging
import unittest
from collections import defaultdict
from typing import Any, Dict, Iterator, List, Optional, Type, Union
from unittest import mock

from . import _taskwire
from ._bus import Summary
from .config import Config
from .events import Events
from .resource import LocalResource, RemoteResource, ResourceBase
from .task import Task, TaskState, get_current_task, set_current_task
from .tree import Tree

__all__ = ["BackendMock", "ConfigMock", "KartonTestCase", "assert_tasks_equal", "mock", "run_task"]

log = logging.getLogger("zkarton.test")


class ConfigMock(Config):
    """A configuration that reads nothing. ``ConfigMock({"mwdb": {"api_key": "x"}})`` has what it is given."""

    def __init__(self, sections: Optional[Dict[str, Dict[str, Any]]] = None) -> None:
        self._config: Dict[str, Dict[str, Any]] = {"redis": {}, "s3": {}}
        self.load_from_dict(sections or {})


class BackendMock:
    """Stands in for the bus: keeps what is sent, and the files, in memory."""

    def __init__(self) -> None:
        self.produced_tasks: List[Task] = []
        self.buckets: Dict[str, Dict[str, bytes]] = defaultdict(dict)
        self.records: List[bytes] = []

    @property
    def default_bucket_name(self) -> str:
        """Of resources that name none."""
        return "karton.test"

    def send(self, task: Task, delivery: Any = None) -> int:
        """Keeps the task; refuses what the bus would refuse."""
        for resource in _taskwire.local_resources(task):
            resource.bucket = resource.bucket or self.default_bucket_name
            with resource.open() as stream:
                self.buckets[resource.bucket][resource.uid] = stream.read()
        _taskwire.pack_task(task)
        self.produced_tasks.append(task)
        return 1

    def post(self, task: Task, delivery: Any = None) -> None:
        """As send."""
        self.send(task, delivery)

    def flush(self) -> None:
        """Nothing is under way."""

    def log(self, packed: bytes) -> None:
        """Keeps the record."""
        self.records.append(packed)

    def close(self) -> None:
        """Nothing is open."""

    def read_object(self, resource: RemoteResource) -> Iterator[bytes]:
        """The bytes of a resource."""
        yield self.buckets[resource.bucket or self.default_bucket_name][resource.uid]

    # ---- What has no answer without a broker: a test puts its own in place, such as mock.Mock(return_value=[…])

    def query(self, what: str, **arguments: Any) -> List[Dict[str, Any]]:
        """NotImplementedError."""
        raise _no_answer("query")

    def wait(self, root_uid: str, timeout: Optional[float] = None) -> Summary:
        """NotImplementedError."""
        raise _no_answer("wait")

    def tree(self, root_uid: str) -> Tree:
        """NotImplementedError."""
        raise _no_answer("tree")

    def events(self, *topics: str) -> Events:
        """NotImplementedError."""
        raise _no_answer("events")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the backend of the test kit has no {name}")

    # ---- As Karton names them

    def declare_task(self, task: Task) -> None:
        """Gives its local resources a bucket."""
        for resource in task.iterate_resources():
            if isinstance(resource, LocalResource):
                resource.bucket = resource.bucket or self.default_bucket_name

    def produce_unrouted_task(self, task: Task) -> None:
        """Keeps the task, and no files."""
        self.produced_tasks.append(task)

    def set_task_status(self, task: Task, status: TaskState, pipe: Any = None) -> None:
        """Nothing has a state here."""

    def increment_metrics(self, metric: Any, identity: str) -> None:
        """Nothing is counted."""

    def produce_log(self, log_record: Dict[str, Any], logger_name: str, level: str) -> bool:
        """True, as if somebody listened."""
        return True

    def upload_object(self, bucket: str, object_uid: str, content: Any, length: Optional[int] = None) -> None:
        """Keeps bytes or what a file holds."""
        self.buckets[bucket][object_uid] = content if isinstance(content, bytes) else content.read()

    def upload_object_from_file(self, bucket: str, object_uid: str, path: str) -> None:
        """Keeps what the file at path holds."""
        with open(path, "rb") as file:
            self.buckets[bucket][object_uid] = file.read()

    def download_object(self, bucket: str, object_uid: str) -> bytes:
        """The bytes."""
        return self.buckets[bucket][object_uid]

    def download_object_to_file(self, bucket: str, object_uid: str, path: str) -> None:
        """Writes the bytes to path."""
        with open(path, "wb") as file:
            file.write(self.buckets[bucket][object_uid])

    def remove_object(self, bucket: str, object_uid: str) -> None:
        """Forgets it."""
        del self.buckets[bucket][object_uid]


def _no_answer(name: str) -> NotImplementedError:
    return NotImplementedError(f"the test kit has no broker to answer {name}(); give the test's answer: "
                               f"service.backend.{name} = mock.Mock(return_value=...)")


def _as_delivered(task: Task, backend: BackendMock, identity: str) -> Task:
    """What the consumer would get: forked, Started, with remote resources."""
    delivered = task.fork_task()
    delivered.status = TaskState.STARTED
    delivered.headers["receiver"] = identity

    def remote(value: Any) -> Any:
        if not isinstance(value, ResourceBase):
            return value
        if not isinstance(value, LocalResource):
            raise ValueError("Test task must contain only LocalResource objects")
        value.bucket = backend.default_bucket_name
        value.upload(backend)
        return RemoteResource(name=value.name, bucket=value.bucket, metadata=value.metadata, uid=value.uid,
                              size=value.size, backend=backend, sha256=value.sha256, _flags=value._flags)

    delivered.transform_payload_bags(remote)
    return delivered


def run_task(service: Any, task: Task) -> List[Task]:
    """What ``process`` sends for the task. ``service`` is a class, or an instance made with ``backend=BackendMock()``.

    What ``process`` raises comes out here.
    """
    made: Any = service
    if inspect.isclass(service):
        made = made(config=ConfigMock(), backend=BackendMock())
    service = made
    backend: BackendMock = service.backend
    backend.produced_tasks = []
    delivered = _as_delivered(task, backend, service.identity)
    before = get_current_task()
    set_current_task(delivered)
    try:
        if inspect.iscoroutinefunction(service.process):
            from .asyncio.service import _awaited
            delivered.transform_payload_bags(_awaited)
            asyncio.run(service.process(delivered))
        else:
            service.process(delivered)
    finally:
        set_current_task(before)
    return backend.produced_tasks


class KartonTestCase(unittest.TestCase):
    """A unittest case for one service: ``karton_class``, ``config``, and ``kwargs`` of its constructor."""

    karton_class: Optional[Type[Any]] = None
    config: Optional[Config] = None
    kwargs: Optional[Dict[str, Any]] = None

    def setUp(self) -> None:
        if self.config is None:
            self.config = ConfigMock()
        self.backend = BackendMock()
        assert self.karton_class is not None, "set karton_class to the service under test"
        self.karton = self.karton_class(config=self.config, backend=self.backend, **(self.kwargs or {}))

    def get_resource_sha256(self, resource: ResourceBase) -> str:
        """Of its content, computed."""
        if resource._path is not None:
            with open(resource._path, "rb") as file:
                digest = hashlib.sha256()
                for block in iter(lambda: file.read(1 << 18), b""):
                    digest.update(block)
                return digest.hexdigest()
        content: Union[bytes, None] = resource._content if resource._content is not None else resource.content
        return hashlib.sha256(content or b"").hexdigest()

    def assertResourceEqual(self, resource: ResourceBase, expected: ResourceBase, resource_name: str) -> None:
        """By content."""
        self.assertTrue(isinstance(resource, ResourceBase), f"Resource type mismatch in {resource_name}")
        self.assertEqual(self.get_resource_sha256(resource), self.get_resource_sha256(expected),
                         f"Resource content mismatch in {resource_name}")

    def assertTaskEqual(self, task: Task, expected: Task) -> None:
        """By headers and payload; resources by content."""
        self.assertDictEqual(task.headers, expected.headers, "Headers mismatch")
        values = dict(task.walk_payload_items())
        wanted = dict(expected.walk_payload_items())
        self.assertSetEqual(set(values), set(wanted))
        for path, value in sorted(values.items(), key=lambda item: item[0]):
            if isinstance(value, ResourceBase):
                self.assertResourceEqual(value, wanted[path], path)
            else:
                self.assertEqual(value, wanted[path], f"Incorrect value of {path}")

    def assertTasksEqual(self, tasks: List[Task], expected: List[Task]) -> None:
        """In order."""
        self.assertEqual(len(tasks), len(expected), "Incorrect number of tasks sent")
        for task, other in zip(tasks, expected):
            self.assertTaskEqual(task, other)

    def run_task(self, task: Task) -> List[Task]:
        """What the service sends for the task."""
        return run_task(self.karton, task)


def assert_tasks_equal(tasks: List[Task], expected: List[Task]) -> None:
    """AssertionError that says where they differ; for pytest."""
    KartonTestCase("run_task").assertTasksEqual(tasks, expected)


# As older tests name it.
TestResource = LocalResource
