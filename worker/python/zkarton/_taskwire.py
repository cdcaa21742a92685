"""Tasks and resources to and from the maps of the protocol."""
from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional



from . import _msgpack as msgpack, _values
from ._tables import LIMITS
from .exceptions import TooLargeError
from .resource import DIRECTORY_FLAG, LocalResource, RemoteResource, ResourceBase
from .task import HEADERS_KEY, Task, TaskPriority, TaskState

PRIORITIES = (TaskPriority.HIGH, TaskPriority.NORMAL, TaskPriority.LOW)
_PRIORITY_NUMBERS = {priority: number for number, priority in enumerate(PRIORITIES)}
_NO_UID = bytes(16)


def uid_bytes(uid: str) -> bytes:
    """The 16 bytes of ``uid`` or ``{root}:uid``."""
    try:
        data = bytes.fromhex(uid.rpartition(":")[2].replace("-", ""))
    except (AttributeError, TypeError, ValueError):
        data = b""
    if len(data) != 16 or data == _NO_UID:
        raise ValueError(f'uid "{uid}" is no UUID')
    return data


def uid_text(data: bytes) -> str:
    """A uid as people read it."""
    text = data.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Resources:
    """The resources that a task refers to, once each, as it is packed."""

    def __init__(self) -> None:
        self.items: List[ResourceBase] = []
        self._indexes: Dict[str, int] = {}

    def index_of(self, item: Any) -> Optional[int]:
        if not isinstance(item, ResourceBase):
            return None
        index = self._indexes.get(item.uid)
        if index is None:
            index = self._indexes[item.uid] = len(self.items)
            self.items.append(item)
        return index


def _text(value: Any, path: str) -> Any:
    """A name or a bucket, as it travels."""
    if not isinstance(value, str):
        raise TypeError(f"{path} is {type(value).__name__}, not a text")
    most = LIMITS["RESOURCE_NAME_BYTES"]
    if len(value) * 4 > most:
        size = len(value.encode("utf-8", "surrogatepass"))
        if size > most:
            raise TooLargeError(f"{path} has {size} bytes, limit {most}")
    return _values.normal(value)


def _resource_map(resource: ResourceBase, path: str) -> Dict[str, Any]:
    """What the broker would refuse the whole SUBMIT for is found here, and named by its path."""
    size = resource.size
    if size is not None and (not isinstance(size, int) or not 0 <= size < 1 << 63):
        raise ValueError(f"{path}.size: {size!r} is no size")
    try:
        uid = uid_bytes(resource.uid)
    except ValueError as error:
        raise ValueError(f"{path}.{error}") from None
    out: Dict[str, Any] = {"uid": uid, "name": _text(resource.name, f"{path}.name"), "size": -1 if size is None else size}
    if resource.bucket is not None:
        out["bucket"] = _text(resource.bucket, f"{path}.bucket")
    if not isinstance(resource.metadata, dict):
        raise TypeError(f"{path}.metadata is {type(resource.metadata).__name__}, not a dict")
    sha256 = resource.sha256
    if sha256:
        try:
            out["sha256"] = bytes.fromhex(sha256)
        except (TypeError, ValueError):
            out["sha256"] = b""
        if len(out["sha256"]) != 32:
            raise ValueError(f'{path}.sha256: "{sha256}" is no SHA-256 in hex')
    if DIRECTORY_FLAG in resource._flags:
        out["flags"] = 1
    metadata = {key: value for key, value in resource.metadata.items() if key != "sha256"}
    if metadata:
        packed = _values.pack_value(metadata, f"{path}.metadata")  # names what cannot be sent
        if len(packed) > LIMITS["HEADERS_BYTES"]:
            raise TooLargeError(f"{path}.metadata is {len(packed) >> 10} KiB, limit {LIMITS['HEADERS_BYTES'] >> 10} KiB")
        out["metadata"] = _values.normal(metadata)
    return out


def _path_of(wanted: ResourceBase, value: Any, path: str) -> str:
    """Where the payload refers to it first; "" if it does not. Only looked for when something is wrong with it."""
    if value is wanted:
        return path
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, item in items:
        found = _path_of(wanted, item, f"{path}.{key}")
        if found:
            return found
    return ""


def _pack_resources(items: List[ResourceBase], task: Task) -> bytes:
    if len(items) > LIMITS["RESOURCES_COUNT"]:
        raise TooLargeError(f"{len(items)} resources, limit {LIMITS['RESOURCES_COUNT']}")
    maps = []
    for resource in items:
        try:
            maps.append(_resource_map(resource, "resource"))
        except (TypeError, ValueError, TooLargeError):
            path = _path_of(resource, task.payload, "payload") or \
                _path_of(resource, task.payload_persistent, "payload_persistent")
            _resource_map(resource, path)  # says it with the path
            raise
    packed: bytes = msgpack.packb(maps)
    return packed


def _check_headers(headers: Dict[str, Any]) -> None:
    if len(headers) > LIMITS["HEADERS_COUNT"]:
        raise TooLargeError(f"{len(headers)} headers, limit {LIMITS['HEADERS_COUNT']}. Use the payload.")
    for name in headers:
        if not isinstance(name, str):
            name = _values.key_text(name, "headers")
        if len(name) * 4 > LIMITS["HEADER_NAME_BYTES"] and len(str(name).encode("utf-8", "replace")) > LIMITS[
                "HEADER_NAME_BYTES"]:
            raise TooLargeError(f"the name of a header is longer than {LIMITS['HEADER_NAME_BYTES']} bytes")


def pack_task(task: Task) -> bytes:
    """A task as SUBMIT carries it. TypeError names the path of what cannot be sent, TooLargeError the limit."""
    resources = Resources()
    headers = task.headers
    if not isinstance(task.priority, TaskPriority):
        raise TypeError(f"priority: {task.priority!r} is no TaskPriority; write TaskPriority.HIGH, NORMAL or LOW")
    _check_headers(headers)
    packed_headers = _values.pack_value(headers, "headers")
    if len(packed_headers) > LIMITS["HEADERS_BYTES"]:
        raise TooLargeError(f"headers are {len(packed_headers) >> 10} KiB, limit {LIMITS['HEADERS_BYTES'] >> 10} KiB. "
                            "Use the payload.")
    fields: List[bytes] = [_UID, _BIN16, uid_bytes(task.uid), _ROOT, _BIN16, uid_bytes(task.root_uid),
                           _PRIO, b"\x00\x01\x02"[_PRIORITY_NUMBERS[task.priority]:][:1], _HEADERS, packed_headers]
    count = 4
    if task.parent_uid:
        fields += (_PARENT, _BIN16, uid_bytes(task.parent_uid))
        count += 1
    if task._headers_persistent_keys:
        names = [name if isinstance(name, str) else _values.key_text(name, "headers_persistent") for name in headers
                 if name in task._headers_persistent_keys]
        if names:
            fields += (_HP, _values.pack_value(names, "headers_persistent"))
            count += 1
    if task.payload:
        fields += (_PAYLOAD, _bin(_values.pack_value(task.payload, "payload", resources.index_of)))
        count += 1
    persistent = task.payload_persistent
    if persistent:
        if HEADERS_KEY in persistent:
            persistent = {name: value for name, value in persistent.items() if name != HEADERS_KEY}
        if persistent:
            fields += (_PP, _bin(_values.pack_value(persistent, "payload_persistent", resources.index_of)))
            count += 1
    if resources.items:
        fields += (_RESOURCES, _pack_resources(resources.items, task))
        count += 1
    packed = bytes((0x80 | count,)) + b"".join(fields)
    if len(packed) > LIMITS["TASK_BYTES"] - 128:
        raise TooLargeError(f"payload is {len(packed) / (1 << 20):.1f} MiB, limit {LIMITS['TASK_BYTES'] >> 20} MiB. "
                            "Use a Resource for large data.")
    return packed


def _bin(data: bytes) -> bytes:
    size = len(data)
    if size < 256:
        return b"\xc4" + size.to_bytes(1, "big") + data
    if size < 65536:
        return b"\xc5" + size.to_bytes(2, "big") + data
    return b"\xc6" + size.to_bytes(4, "big") + data


_BIN16 = b"\xc4\x10"
_UID, _ROOT, _PARENT, _PRIO, _HEADERS, _HP, _PAYLOAD, _PP, _RESOURCES = (
    msgpack.packb(name) for name in ("uid", "root", "parent", "prio", "headers", "hp", "payload", "pp", "resources"))


def local_resources(task: Task) -> List[LocalResource]:
    """Those of its resources that have to be uploaded, once each."""
    found: Dict[str, LocalResource] = {}
    for name, bag in (("payload", task.payload), ("payload_persistent", task.payload_persistent)):
        if bag:
            try:
                _find_local(bag, found)
            except RecursionError:
                _values.pack_value(bag, name, Resources().index_of)  # says what is wrong with it
                raise
    return list(found.values())


def _find_local(value: Any, found: Dict[str, LocalResource]) -> None:
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (dict, list, tuple)):
            _find_local(item, found)
        elif isinstance(item, LocalResource):
            found[item.uid] = item


def remote_resource(row: Dict[str, Any], backend: Any) -> RemoteResource:
    """A resource of a task that came from the bus."""
    metadata = row.get("metadata") or {}
    sha256 = row.get("sha256")
    size = row.get("size", -1)
    return RemoteResource(row["name"], bucket=row.get("bucket"), metadata=metadata, uid=uid_text(row["uid"]),
                          size=None if size is None or size < 0 else size, backend=backend,
                          sha256=sha256.hex() if sha256 else None,
                          _flags=[DIRECTORY_FLAG] if (row.get("flags") or 0) & 1 else [])


def resource_reader(rows: Optional[List[Dict[str, Any]]], backend: Any) -> Callable[[int], Any]:
    """``resource_at`` for unpack_bag: one object a resource, however often it is referred to."""
    made: Dict[int, RemoteResource] = {}

    def resource_at(index: int) -> RemoteResource:
        resource = made.get(index)
        if resource is None:
            if rows is None or index >= len(rows):
                raise ValueError("the payload refers to a resource that is not there")
            resource = made[index] = remote_resource(rows[index], backend)
        return resource

    return resource_at


def open_row(row: Any, backend: Any) -> None:
    """Unpacks the bags of a task's row in an answer, in place; its resources are named by texts there."""
    if not isinstance(row, dict) or "payload" not in row:
        return
    resources = [{**item, "uid": uid_bytes(item["uid"]), "sha256": bytes.fromhex(item.get("sha256") or "")}
                 for item in row.get("resources") or []]
    resource_at = resource_reader(resources, backend)
    for name in ("payload", "payload_persistent"):
        row[name] = _values.unpack_bag(row.get(name), resource_at)


def unpack_task(row: Dict[str, Any], backend: Any, state: TaskState) -> Task:
    """A task of DELIVER."""
    task = Task.__new__(Task)
    root = task.root_uid = uid_text(row.get("root") or row["uid"])
    prefix = f"{{{root}}}:"
    task.uid = prefix + uid_text(row["uid"])
    parent, orig = row.get("parent"), row.get("orig")
    task.parent_uid = prefix + uid_text(parent) if parent else None
    task.orig_uid = prefix + uid_text(orig) if orig else None
    task.error = None
    task.headers = row["headers"]
    names: List[str] = row.get("hp") or []
    task._headers_persistent_keys = set(names)
    task.status = state
    task.last_update = time.time()
    task.priority = PRIORITIES[row["prio"]]
    resource_at = resource_reader(row.get("resources"), backend)
    task.payload = _values.unpack_bag(row.get("payload"), resource_at)
    task.payload_persistent = _values.unpack_bag(row.get("pp"), resource_at)
    task._asker = None
    return task
