"""What the broker would refuse a whole SUBMIT for is refused before anything is sent, by its path in the payload."""
import unittest

from support import python_client  # noqa: F401 puts the package on the path

from zkarton import Resource, Task, _bus, _taskwire
from zkarton.exceptions import TooLargeError
from zkarton.resource import RemoteResource
from zkarton.test import ConfigMock

LONG = "n" * 65537
SURROGATES = "\ud800" * 21846  # three bytes each


class LimitsTest(unittest.TestCase):
    def assertRefused(self, kind, text, make):
        for where in ("payload", "payload_persistent"):
            resource = make()
            task = Task({"type": "t"}, **{where: {"a": [1, {"r": resource}]}})
            with self.subTest(text, where=where), self.assertRaisesRegex(kind, text.replace("PATH", where + r"\.a\.1\.r")):
                _taskwire.pack_task(task)

    def test_names_and_buckets(self):
        for name in (None, 7, b"n"):
            self.assertRefused(TypeError, f"PATH.name is {type(name).__name__}, not a text", lambda: Resource(name, b"x"))
        for bucket in (7, b"b"):
            self.assertRefused(TypeError, f"PATH.bucket is {type(bucket).__name__}, not a text",
                               lambda: Resource("n", b"x", bucket=bucket))
        for long in (LONG, SURROGATES):
            self.assertRefused(TooLargeError, "PATH.name has 6553[78] bytes, limit 65536", lambda: Resource(long, b"x"))
            self.assertRefused(TooLargeError, "PATH.bucket has 6553[78] bytes, limit 65536",
                               lambda: Resource("n", b"x", bucket=long))
        for name in (LONG[1:], SURROGATES[1:], "ü" * 32768):
            _taskwire.pack_task(Task({}, {"r": Resource(name, b"x", bucket=name)}))

    def test_metadata(self):
        self.assertRefused(TooLargeError, "PATH.metadata is 256 KiB, limit 256 KiB",
                           lambda: Resource("n", b"x", metadata={"m": "m" * (256 << 10)}))
        self.assertRefused(TypeError, "PATH.metadata.m: bytes cannot be sent",
                           lambda: Resource("n", b"x", metadata={"m": b"m"}))
        _taskwire.pack_task(Task({}, {"r": Resource("n", b"x", metadata={"m": "m" * ((256 << 10) - 16)})}))

    def test_uids_hashes_and_sizes(self):
        for uid in ("00000000-0000-0000-0000-000000000000", 7, b"u", "u"):
            self.assertRefused(ValueError, "PATH.uid .* is no UUID", lambda: Resource("n", b"x", uid=uid))
        for sha256 in ("ab", "no hex", 7):
            self.assertRefused(ValueError, f'PATH.sha256: "{sha256}" is no SHA-256',
                               lambda: Resource("n", b"x", sha256=sha256))
        for size in (-1, 1 << 63, "1", 1.5):
            self.assertRefused(ValueError, f"PATH.size: {size!r} is no size", lambda: RemoteResource("n", size=size))
        with self.assertRaisesRegex(ValueError, "is no UUID"):
            _taskwire.pack_task(Task({}, root_uid="00000000-0000-0000-0000-000000000000"))

    def test_nothing_is_sent_for_it(self):
        bus = _bus.Bus(ConfigMock(), "test", lambda *_: None)
        for send in (bus.send, bus.post):
            with self.assertRaises(TypeError):
                send(Task({}, {"r": Resource(None, b"x")}))
        self.assertIsNone(bus._session)  # nothing was asked of a broker

    def test_header_names(self):
        _taskwire.pack_task(Task({7: "x", None: 1}))
        with self.assertRaisesRegex(TooLargeError, "name of a header is longer"):
            _taskwire.pack_task(Task({10 ** 1100: "x"}))


if __name__ == "__main__":
    unittest.main()
