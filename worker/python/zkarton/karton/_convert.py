"""Tasks and resources of karton-core to and from the maps of the protocol."""
from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional

from karton.core.resource import RemoteResource, ResourceBase
from karton.core.task import Task, TaskPriority, TaskState

from .. import _values, resource as native_resource, task as native_task
from .._taskwire import pack_task as pack_native_task
from .._taskwire import uid_bytes, uid_text
from ._errors import NotServedError

RESOURCE_KEY = "__karton_resource__"
HEADERS_KEY = "__headers_persistent"
DIRECTORY = 1
PRIORITIES = (TaskPriority.HIGH, TaskPriority.NORMAL, TaskPriority.LOW)
MakeResource = Callable[[Dict[str, Any]], RemoteResource]


def full_uid(prefix: str, uid: Optional[str]) -> Optional[str]:
    """``{root}:uid``, as karton-core names tasks since 5.4.0."""
    return f"{{{prefix}}}:{uid}" if uid else None


# ---- Out

class _Outgoing:
    """The payload of one task with resources as our package has them."""

    def __init__(self, bucket: str, hashes: Dict[str, str]) -> None:
        self.bucket = bucket
        self.hashes = hashes  # of what was uploaded, by uid: the truth, whatever the resource was told
        self.made: Dict[str, native_resource.RemoteResource] = {}

    def resource(self, document: Dict[str, Any]) -> native_resource.RemoteResource:
        uid = document["uid"]
        if uid not in self.made:
            try:
                uid_bytes(uid)
            except ValueError:
                raise NotServedError(f'a resource with the uid "{uid}"', "a uid of a resource is a UUID; leave it out and "
                                     "one is drawn") from None
            bucket = document.get("bucket")
            metadata = dict(document.get("metadata") or {})
            self.made[uid] = native_resource.RemoteResource(
                document["name"], uid=uid, size=document.get("size"), metadata=metadata,
                bucket=None if bucket == self.bucket else bucket,
                sha256=self.hashes.get(uid) or document.get("sha256") or metadata.get("sha256"),
                _flags=document.get("flags"))
        return self.made[uid]

    def value(self, value: Any) -> Any:
        if isinstance(value, ResourceBase):
            return self.resource(value.to_dict())
        if isinstance(value, dict):
            if RESOURCE_KEY in value:  # as it is when resources were not parsed
                return self.resource(value[RESOURCE_KEY])
            return {key: self.value(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(inner) for inner in value]
        return value


def pack_task(task: Task, bucket: str, hashes: Dict[str, str], parent: Optional[str]) -> bytes:
    """A task as SUBMIT carries it; ``parent`` is the uid of the delivery it is sent for."""
    outgoing = _Outgoing(bucket, hashes)
    persistent = {name: value for name, value in task.payload_persistent.items() if name != HEADERS_KEY}
    return pack_native_task(native_task.Task(
        headers=task.headers, headers_persistent=task.headers_persistent, payload=outgoing.value(task.payload),
        payload_persistent=outgoing.value(persistent), priority=native_task.TaskPriority(task.priority.value),
        uid=task.uid, root_uid=task.root_uid, parent_uid=parent))


# ---- In

def _resource_reader(rows: Optional[List[Dict[str, Any]]], bucket: str, make: MakeResource) -> Callable[[int], Any]:
    def resource_at(index: int) -> Any:
        if rows is None or index >= len(rows):
            raise ValueError("the payload refers to a resource that is not there")
        row = rows[index]
        uid, sha256, size = row["uid"], row.get("sha256"), row.get("size")
        return make({
            "uid": uid_text(uid) if isinstance(uid, bytes) else uid, "name": row["name"],
            "bucket": row.get("bucket") or bucket, "size": None if size is None or size < 0 else size,
            "metadata": dict(row.get("metadata") or {}),
            "sha256": sha256.hex() if isinstance(sha256, bytes) else sha256,
            "flags": ["Directory"] if (row.get("flags") or 0) & DIRECTORY else []})

    return resource_at


def _task(headers: Dict[str, Any], persistent_names: List[str], bags: List[Any], **more: Any) -> Task:
    persistent = {name: headers[name] for name in persistent_names if name in headers}
    payload, payload_persistent = bags
    # karton-core keeps a copy there, for consumers before 5.2.0, and services see it (T4).
    payload_persistent[HEADERS_KEY] = persistent
    return Task(headers=headers, headers_persistent=persistent, payload=payload, payload_persistent=payload_persistent,
                **more)


def delivered_task(row: Dict[str, Any], bucket: str, make: MakeResource) -> Task:
    """A task of DELIVER."""
    root = uid_text(row.get("root") or row["uid"])
    resource_at = _resource_reader(row.get("resources"), bucket, make)
    parent, orig = row.get("parent"), row.get("orig")
    orig_text = uid_text(orig) if orig else None
    return _task(
        row["headers"], row.get("hp") or [], [_values.unpack_bag(row.get(bag), resource_at) for bag in ("payload", "pp")],
        uid=full_uid(root, uid_text(row["uid"])), root_uid=root, parent_uid=full_uid(root, uid_text(parent) if parent else None),
        orig_uid=full_uid(orig_text or "", orig_text), priority=PRIORITIES[row["prio"]], _status=TaskState.SPAWNED,
        _last_update=time.time())


def asked_task(row: Dict[str, Any], bucket: str, make: MakeResource) -> Task:
    """A task of ANSWER: a row of "task" or "tasks"."""
    root = row["root"]
    headers = dict(row.get("headers") or {})
    if row.get("identity"):
        headers["receiver"] = row["identity"]
    resource_at = _resource_reader(row.get("resources"), bucket, make)
    error = row.get("error")
    return _task(
        headers, row.get("persistent_headers") or [],
        [_values.unpack_bag(row.get(bag), resource_at) for bag in ("payload", "payload_persistent")],
        uid=full_uid(root, row["uid"]), root_uid=root, parent_uid=full_uid(root, row.get("parent")),
        orig_uid=full_uid(row.get("orig") or "", row.get("orig")), priority=TaskPriority(row["priority"]),
        error=error.splitlines(keepends=True) if error else None, _status=TaskState(row["state"]),
        _last_update=row["changed_ms"] / 1000)
