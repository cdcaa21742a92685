"""The Python client against the shared vectors (schemas/vectors)."""
import json
import math
import os
import unittest

from support.broker import SOURCE
from support import python_client  # noqa: F401 puts the package on the path

from zkarton import Resource, Task, _taskwire, _values
from zkarton.exceptions import TooLargeError

RESOURCE = "__karton_resource__"


def vectors(name):
    with open(os.path.join(SOURCE, "schemas", "vectors", name), encoding="utf-8") as file:
        return json.load(file)


def bytes_of(vector):
    """Its hex, with the long run of one byte put back."""
    data = bytes.fromhex(vector["hex"])
    byte, times, at = vector.get("repeat", (0, 0, 0))
    return data[:at] + bytes([byte]) * times + data[at:]


class Reference:
    def __init__(self, index):
        self.index = index


def with_references(value):
    """JSON of a vector to what a program would hand over."""
    if isinstance(value, dict):
        if set(value) == {RESOURCE}:
            return Reference(value[RESOURCE])
        return {key: with_references(item) for key, item in value.items()}
    return [with_references(item) for item in value] if isinstance(value, list) else value


def plain(value):
    if isinstance(value, Reference):
        return {RESOURCE: value.index}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def index_of(item):
    return item.index if isinstance(item, Reference) else None


def same(one, other):
    """Equal, and of the same kind: 1, 1.0 and True differ, NaN is NaN, -0.0 is not 0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (one == other and math.copysign(1, one) == math.copysign(1, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


class ValuesTest(unittest.TestCase):
    def test_vectors_are_read(self):
        good = [vector for vector in vectors("values.json") if "decoded" in vector]
        self.assertGreater(len(good), 60)
        for vector in good:
            with self.subTest(vector["name"]):
                read = plain(_values.unpack_bag(bytes_of(vector), Reference))
                self.assertTrue(same(read, vector["decoded"]), read)

    def test_vectors_are_written(self):
        for vector in vectors("values.json"):
            if "decoded" not in vector or vector.get("canonical") is False:
                continue
            with self.subTest(vector["name"]):
                packed = _values.pack_value(with_references(vector["decoded"]), "value", index_of)
                self.assertTrue(packed == bytes_of(vector), packed[:64].hex())

    def test_merge(self):
        for vector in vectors("merge.json"):
            with self.subTest(vector["name"]):
                payload, persistent = dict(vector["payload"]), dict(vector["persistent"])
                _values.merge_bags(vector["parent_persistent"], payload, persistent)
                self.assertEqual({"payload": payload, "persistent": persistent}, vector["decoded"])

    def test_frames_of_the_broker_are_read(self):
        count = 0
        for vector in vectors("commands.json"):
            if "decoded" in vector:
                _, message_id, body = _values.unpack(bytes_of(vector))
                self.assertEqual(message_id, vector["decoded"]["id"], vector["name"])
                self.assertIsInstance(body, dict)
                count += 1
        self.assertGreater(count, 30)

    def test_keys_and_containers_as_json_has_them(self):  # T3
        given = {1: "a", True: "b", None: (1, 2), 2.5: {"x": "\ud800"}, "n": 2 ** 3000, "m": -2 ** 70}
        read = _values.unpack(_values.pack_value(given))
        self.assertEqual(read, json.loads(json.dumps(given)))

    def test_what_cannot_be_sent_is_named(self):
        for value, path in (({"a": [1, {"b": b"x"}]}, "payload.a.1.b"), ({"s": {1, 2}}, "payload.s"), ({"o": object()}, "payload.o"),
                            ({"l": [bytearray(b"x")]}, "payload.l.0")):
            with self.assertRaisesRegex(TypeError, f"^{path}: "):
                _values.pack_value(value, "payload")
        with self.assertRaisesRegex(TypeError, "^payload.a: a key is bytes"):
            _values.pack_value({"a": {b"k": 1}}, "payload")

    def test_limits(self):
        deep = []
        for _ in range(70):
            deep = [deep]
        with self.assertRaisesRegex(TooLargeError, "nested deeper than 64"):
            _values.pack_value(deep)
        with self.assertRaisesRegex(TooLargeError, "16384 digits"):
            _values.pack_value({"n": 10 ** 16384})
        self.assertEqual(_values.unpack(_values.pack_value({"n": 10 ** 16383 + 7})), {"n": 10 ** 16383 + 7})
        with self.assertRaisesRegex(TooLargeError, r"payload is 5.0 MiB, limit 4 MiB"):
            _taskwire.pack_task(Task({"a": 1}, {"x": "y" * (5 << 20)}))
        with self.assertRaisesRegex(TooLargeError, "headers are 292 KiB"):
            _taskwire.pack_task(Task({"a": "x" * 300000}))

    def test_a_task_there_and_back(self):
        resource = Resource("a\udc80.txt", b"abc", metadata={"k": [1]})
        task = Task({"type": "t", "n": None}, {"r": resource, "again": [resource], "big": 2 ** 100},
                    headers_persistent={"p": "q"}, payload_persistent={"__headers_persistent": {}, "x": 1})
        row = _values.unpack(_taskwire.pack_task(task))
        self.assertEqual(len(row["resources"]), 1)
        got = _taskwire.unpack_task(row, "backend", task.status)
        self.assertEqual((got.uid, got.root_uid, got.headers, got.headers_persistent),
                         (task.uid, task.root_uid, task.headers, {"p": "q"}))
        self.assertIs(got.payload["r"], got.payload["again"][0])
        self.assertEqual(got.payload["r"].to_dict(), resource.to_dict())
        self.assertEqual((got.payload["big"], got.payload_persistent), (2 ** 100, {"x": 1}))


if __name__ == "__main__":
    unittest.main()
