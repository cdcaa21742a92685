"""Tasks: headers (what it is), payload (what it carries), priority, identifiers, state (parity A1-A5, S9-S11)."""
from __future__ import annotations

import enum
import json
import time
import warnings
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

from . import query
from ._uid import new_uid
from .resource import RemoteResource, ResourceBase

if TYPE_CHECKING:
    from .tree import Tree

RESOURCE_KEY = "__karton_resource__"
_ENCODER = json.JSONEncoder(sort_keys=True)
HEADERS_KEY = "__headers_persistent"  # how Karton before 5.2 is told of persistent headers; never shown (T4)

_current_task: ContextVar[Optional[Task]] = ContextVar("zkarton_current_task", default=None)


def get_current_task() -> Optional[Task]:
    """The task that is in process here, None outside of one."""
    return _current_task.get()


def set_current_task(task: Optional[Task]) -> None:
    """Of the package."""
    _current_task.set(task)


class TaskState(enum.Enum):
    """Where a task is; spelled as Karton does."""

    DECLARED = "Declared"
    SPAWNED = "Spawned"
    STARTED = "Started"
    FINISHED = "Finished"
    CRASHED = "Crashed"


class TaskPriority(enum.Enum):
    """Of a whole analysis: what the producer of the initial task set."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Task:
    """One task.

    :param headers: what filters look at
    :param payload: anything that JSON can say, and resources anywhere in it
    :param headers_persistent: headers that flow down to all descendants
    :param payload_persistent: payload that flows down to all descendants
    :param priority: of the whole analysis; set by the producer of the initial task
    :param parent_uid: of the routed task whose processing sent this one
    :param root_uid: of the analysis
    :param orig_uid: of the task this one was forked from
    :param uid: made if not given
    :param error: lines of the traceback of a crashed task
    """

    __slots__ = ("uid", "root_uid", "orig_uid", "parent_uid", "error", "headers", "status", "last_update", "priority",
                 "payload", "payload_persistent", "_headers_persistent_keys", "_asker", "__weakref__")

    def __init__(self, headers: Dict[str, Any], payload: Optional[Dict[str, Any]] = None,
                 headers_persistent: Optional[Dict[str, Any]] = None,
                 payload_persistent: Optional[Dict[str, Any]] = None, priority: Optional[TaskPriority] = None,
                 parent_uid: Optional[str] = None, root_uid: Optional[str] = None, orig_uid: Optional[str] = None,
                 uid: Optional[str] = None, error: Optional[List[str]] = None, _status: Optional[TaskState] = None,
                 _last_update: Optional[float] = None) -> None:
        payload = payload or {}
        payload_persistent = payload_persistent or {}
        headers_persistent = headers_persistent or {}
        if not isinstance(payload, dict):
            raise ValueError("Payload should be an instance of a dict")
        if not isinstance(payload_persistent, dict):
            raise ValueError("Persistent payload should be an instance of a dict")
        if not isinstance(headers_persistent, dict):
            raise ValueError("Persistent headers should be an instance of a dict")
        if uid is None:
            task_uid = new_uid()
            self.root_uid: str = root_uid or task_uid
            self.uid: str = f"{{{self.root_uid}}}:{task_uid}"
        else:
            if root_uid is None:
                raise ValueError("root_uid cannot be None when uid is not None")
            self.uid = uid
            self.root_uid = root_uid
        self.orig_uid = orig_uid
        self.parent_uid = parent_uid
        self.error = error
        self.headers: Dict[str, Any] = {**headers, **headers_persistent}
        self._headers_persistent_keys = set(headers_persistent)
        self.status = _status or TaskState.DECLARED
        self.last_update: float = _last_update or time.time()
        self.priority = priority or TaskPriority.NORMAL
        self.payload: Dict[str, Any] = dict(payload)
        self.payload_persistent: Dict[str, Any] = dict(payload_persistent)
        self._asker: Any = None  # of a task that came from the bus: the service to ask about it

    # ---- Identifiers

    @property
    def task_uid(self) -> str:
        """The uid without the root in front."""
        return self.fquid_to_uid(self.uid)

    @staticmethod
    def fquid_to_uid(fquid: str) -> str:
        """``{root}:uid`` to ``uid``."""
        return fquid.rpartition(":")[2]

    @property
    def receiver(self) -> Optional[str]:
        """The consumer that got this routed task."""
        return self.headers.get("receiver")

    @property
    def headers_persistent(self) -> Dict[str, Any]:
        """Those headers that flow down."""
        return {name: value for name, value in self.headers.items() if name in self._headers_persistent_keys}

    # ---- Making tasks of tasks

    def fork_task(self) -> Task:
        """A copy under the same root with a uid of its own; ``orig_uid`` names this one."""
        return Task(headers=self.headers, headers_persistent=self.headers_persistent, payload=self.payload,
                    payload_persistent=self.payload_persistent, priority=self.priority, parent_uid=self.parent_uid,
                    root_uid=self.root_uid, orig_uid=self.uid)

    def derive_task(self, headers: Dict[str, Any]) -> Task:
        """A task with the same payload and other headers (the persistent ones stay): for passing a file on.

        It has no parent until it is sent (A2).
        """
        return Task(headers=headers, headers_persistent=self.headers_persistent, payload=self.payload,
                    payload_persistent=self.payload_persistent)

    def set_task_parent(self, parent: Task) -> None:
        """Makes it a child of parent."""
        self.parent_uid = parent.uid
        self.root_uid = parent.root_uid

    def merge_persistent_payload(self, other_task: Task) -> None:
        """The other's persistent payload over this one's, in either bag (A3)."""
        for name, content in other_task.payload_persistent.items():
            if name == HEADERS_KEY:
                continue
            self.payload_persistent[name] = content
            self.payload.pop(name, None)

    def merge_persistent_headers(self, other_task: Task) -> None:
        """The other's persistent headers over this one's (A3)."""
        self.headers.update(other_task.headers_persistent)
        self._headers_persistent_keys = self._headers_persistent_keys | other_task._headers_persistent_keys

    def matches_filters(self, filters: List[Dict[str, Any]]) -> bool:
        """Whether a consumer with these filters would get it."""
        return query.convert(filters).match(self.headers)

    # ---- Payload

    def add_payload(self, name: str, content: Any, persistent: bool = False) -> None:
        """Adds to the payload; ValueError if there is one of that name."""
        if name in self.payload:
            raise ValueError("Payload already exists")
        if name in self.payload_persistent:
            raise ValueError("Payload already exists in persistent payloads")
        (self.payload_persistent if persistent else self.payload)[name] = content

    def add_resource(self, name: str, resource: ResourceBase, persistent: bool = False) -> None:
        """Deprecated: :meth:`add_payload` does the same."""
        warnings.warn("add_resource is deprecated, use add_payload instead", DeprecationWarning, stacklevel=2)
        self.add_payload(name, resource, persistent)

    def get_payload(self, name: str, default: Any = None) -> Any:
        """The payload of that name, the persistent one first."""
        if name in self.payload_persistent:
            return self.payload_persistent[name]
        return self.payload.get(name, default)

    def get_resource(self, name: str) -> ResourceBase:
        """The resource of that name; TypeError if it is none."""
        resource = self.get_payload(name)
        if not isinstance(resource, ResourceBase):
            raise TypeError("Resource was expected but not found")
        return resource

    def remove_payload(self, name: str) -> None:
        """Removes it; KeyError if it is missing or persistent."""
        del self.payload[name]

    def has_payload(self, name: str) -> bool:
        """Whether there is payload of that name."""
        return name in self.payload or name in self.payload_persistent

    def is_header_persistent(self, name: str) -> bool:
        """Whether the header flows down."""
        return name in self._headers_persistent_keys

    def is_payload_persistent(self, name: str) -> bool:
        """Whether the payload flows down."""
        return name in self.payload_persistent

    # ---- Walking

    def walk_payload_bags(self) -> Iterator[Tuple[Dict[str, Any], str, Any]]:
        """(bag, key, value) of both bags."""
        for bag in (self.payload, self.payload_persistent):
            for key, value in bag.items():
                yield bag, key, value

    def walk_payload_items(self) -> Iterator[Tuple[str, Any]]:
        """(path, value) of every leaf, ``payload.list.0``."""
        yield from leaves(self.payload, "payload")
        yield from leaves(self.payload_persistent, "payload_persistent")

    def transform_payload_bags(self, func: Callable[[Any], Any]) -> None:
        """Replaces every value of both bags by ``func(value)``, from the outside in."""
        self.payload, self.payload_persistent = mapped(func, self.payload), mapped(func, self.payload_persistent)

    def iterate_resources(self) -> Iterator[ResourceBase]:
        """Every resource in both bags."""
        for _, value in self.walk_payload_items():
            if isinstance(value, ResourceBase):
                yield value

    # ---- Documents

    def to_dict(self) -> Dict[str, Any]:
        """Karton's document of the task (parity B)."""
        headers_persistent = self.headers_persistent
        return {
            "uid": self.uid, "root_uid": self.root_uid, "parent_uid": self.parent_uid, "orig_uid": self.orig_uid,
            "status": self.status.value, "priority": self.priority.value, "last_update": self.last_update,
            "payload": _plain(self.payload),
            "payload_persistent": {**_plain(self.payload_persistent), HEADERS_KEY: headers_persistent},
            "headers": self.headers, "headers_persistent": headers_persistent, "error": self.error,
        }

    def serialize(self, indent: Optional[int] = None) -> str:
        """The document as JSON text."""
        if indent is None:
            return _ENCODER.encode(self.to_dict())
        return json.dumps(self.to_dict(), indent=indent, sort_keys=True)

    @staticmethod
    def unserialize(data: Union[str, bytes], backend: Any = None, parse_resources: bool = True,
                    resource_unserializer: Optional[Callable[[Dict[str, Any]], Any]] = None) -> Task:
        """The task of a document; resources become ``resource_unserializer(dict)``, else bound to ``backend``."""

        def parse(value: Dict[str, Any]) -> Any:
            if RESOURCE_KEY not in value:
                return value
            if resource_unserializer is not None:
                return resource_unserializer(value[RESOURCE_KEY])
            return RemoteResource.from_dict(value[RESOURCE_KEY], backend)

        document = json.loads(data, object_hook=parse if parse_resources else None)
        persistent = document["payload_persistent"]
        headers_persistent = document.get("headers_persistent", persistent.get(HEADERS_KEY))
        return Task(document["headers"], headers_persistent=headers_persistent, uid=document["uid"],
                    root_uid=document["root_uid"], parent_uid=document["parent_uid"],
                    orig_uid=document.get("orig_uid"), payload=document["payload"], payload_persistent=persistent,
                    error=document.get("error"), priority=TaskPriority(document.get("priority") or "normal"),
                    _status=TaskState(document["status"]), _last_update=document.get("last_update"))

    def tree(self) -> Tree:
        """The analysis this task belongs to, as it is now; shows itself in a notebook and when printed."""
        if self._asker is None:
            raise RuntimeError("this task has not been sent and did not come from the bus: nobody to ask")
        tree: Tree = self._asker.tree(self.root_uid)
        return tree

    def __getstate__(self) -> Dict[str, Any]:
        # For copy and pickle: all but the way to the bus.
        return {name: getattr(self, name) for name in self.__slots__ if name not in ("_asker", "__weakref__")}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._asker = None

    def __repr__(self) -> str:
        return self.serialize()


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _plain(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [_plain(item) for item in value]
    if isinstance(value, ResourceBase):
        return {RESOURCE_KEY: value.to_dict()}
    return value


def leaves(obj: Any, name: str = "") -> Iterator[Tuple[str, Any]]:
    """(path, value) of every leaf of nested lists and dicts."""
    if isinstance(obj, (list, tuple)):
        for index, item in enumerate(obj):
            yield from leaves(item, f"{name}.{index}")
    elif isinstance(obj, dict):
        for key, item in obj.items():
            yield from leaves(item, f"{name}.{key}")
    else:
        yield name, obj


def mapped(func: Callable[[Any], Any], obj: Any) -> Any:
    """A copy in which each value is ``func(value)``, from the outside in."""
    made = func(obj)
    if isinstance(made, (list, tuple)):
        return [mapped(func, item) for item in made]
    if isinstance(made, dict):
        return {key: mapped(func, item) for key, item in made.items()}
    return made
