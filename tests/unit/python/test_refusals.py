"""What cannot be sent is said in a sentence that names it."""
import datetime
import unittest
import uuid

from support import python_client  # noqa: F401 puts the package on the path

import zkarton
from zkarton import Producer, Resource, Task, _taskwire, _values
from zkarton.exceptions import InvalidIdentityError
from zkarton.test import BackendMock, ConfigMock


class RefusalTest(unittest.TestCase):
    def refused(self, kind, text, task):
        """By the bus and by the test kit."""
        with self.assertRaisesRegex(kind, text):
            _taskwire.local_resources(task)
            _taskwire.pack_task(task)
        with self.assertRaisesRegex(kind, text):
            Producer(ConfigMock(), "p", BackendMock()).send_task(task)

    def test_payload_that_contains_itself(self):
        ring, inside = [], {}
        ring.append([1, {"again": ring}])
        inside["me"] = inside
        self.refused(ValueError, r"^payload\.v\.0\.1\.again: contains itself", Task({}, {"v": ring}))
        self.refused(ValueError, r"^payload_persistent\.p\.me: contains itself", Task({}, payload_persistent={"p": inside}))
        self.refused(ValueError, r"^headers\.h\.0\.1\.again: contains itself", Task({"h": ring}))
        # What is there twice does not contain itself, and what is only deep is called deep.
        shared = [1]
        _taskwire.pack_task(Task({}, {"a": shared, "b": [shared, shared]}))
        deep = []
        for _ in range(5000):
            deep = [deep]
        self.refused(ValueError, f"nested deeper than {_values.DEPTH_MAX}", Task({}, {"v": deep}))

    def test_keys_of_headers(self):  # T3: as json.dumps spells them
        task = Task({None: 2}, headers_persistent={True: 3, 1.5: 4})
        packed = _values.unpack(_taskwire.pack_task(task))
        self.assertEqual(packed["headers"], {"null": 2, "true": 3, "1.5": 4})
        self.assertEqual(sorted(packed["hp"]), ["1.5", "true"])
        self.assertEqual(_values.unpack(_taskwire.pack_task(Task({7: "x"})))["headers"], {"7": "x"})
        self.refused(TypeError, "^headers: a key is tuple, not a text", Task({(1, 2): 3}))

    def test_priority(self):
        for priority in ("high", ["high"], 1):
            self.refused(TypeError, "^priority: .* is no TaskPriority; write TaskPriority.HIGH, NORMAL or LOW",
                         Task({}, priority=priority))

    def test_metadata(self):
        for metadata in ([1], "text"):
            with self.assertRaisesRegex(TypeError, f"^metadata of r: {type(metadata).__name__}, not a dict"):
                Resource("r", b"x", metadata=metadata)

    def test_no_task(self):
        producer = Producer(ConfigMock(), "p", BackendMock())
        for call in (producer.send_task, producer.post_task):
            with self.assertRaisesRegex(TypeError, "^a Task is sent, not dict"):
                call({})

    def test_advice(self):
        for value, advice in ((b"x", "send bytes as a Resource"), (bytearray(b"x"), "send bytes as a Resource"),
                              (memoryview(b"x"), "send bytes as a Resource"), ({1}, "send a list"),
                              (frozenset(), "send a list"), (datetime.datetime.now(), r"send its isoformat\(\)"),
                              (datetime.date.today(), r"send its isoformat\(\)"), (uuid.uuid4(), "send a text"),
                              (object(), "send a text, a number, a list or a dict")):
            name = type(value).__name__
            self.refused(TypeError, rf"^payload\.v\.0: {name} cannot be sent; {advice}", Task({}, {"v": [value]}))
            self.refused(TypeError, rf"^headers\.v: {name} cannot be sent; {advice}", Task({"v": value}))

    def test_identity(self):
        with self.assertRaises(InvalidIdentityError) as caught:
            Producer(ConfigMock(), "a\nb\x7fc d", BackendMock())
        self.assertEqual(caught.exception.message, r'identity "a\nb\x7fc d": control characters are not allowed. Write abc.d')
        with self.assertRaises(InvalidIdentityError) as caught:
            Producer(ConfigMock(), "a b?", BackendMock())
        self.assertEqual(caught.exception.message, 'identity "a b?": space and "?" are not allowed. Write a.b')

    def test_sentences_of_the_test_kit(self):
        mock = BackendMock()
        producer = Producer(ConfigMock(), "p", mock)
        for call in (lambda: producer.query("queues"), lambda: producer.wait("x"), lambda: producer.tree("x"),
                     lambda: producer.events("log."), lambda: mock.no_such):
            with self.assertRaisesRegex((NotImplementedError, AttributeError), "test kit"):
                call()
        # As karton-core's tests call them.
        task = Task({"a": 1})
        mock.declare_task(task)
        mock.produce_unrouted_task(task)
        mock.set_task_status(task, zkarton.TaskState.STARTED)
        mock.increment_metrics("consumed", "p")
        self.assertTrue(mock.produce_log({}, "p", "INFO"))
        self.assertEqual(mock.produced_tasks, [task])


if __name__ == "__main__":
    unittest.main()
