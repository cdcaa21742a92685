"""Uploads in parts of the Python client, over a broker and a store whose answers are told."""
import contextlib
import hashlib
import io
import threading
import unittest
from unittest import mock
from urllib.parse import parse_qs, urlsplit

from unit.python.test_transfer import Server

from zkarton import _parts, _transfer
from zkarton.exceptions import ZkartonError, error_of

PART_SIZE = 1 << 16
CONTENT = bytes(range(256)) * 256 * 9 + b"the rest"  # ten parts
PARTS_COUNT = 10
UID = bytes(16)


class Broker:
    """As a session: answers PARTS and COMPLETE. `refusals` are (verb, code), each for one question."""

    def __init__(self, server):
        self.server = server
        self.lock = threading.Lock()
        self.asked = []
        self.refusals = []
        self.uploads_count = 0
        self.is_complete = False

    def complete_url(self, url):
        return url

    def ask_while(self, verb, body, timeout_s, look):
        with self.lock:
            look()
            self.asked.append((verb, body))
            for refusal in self.refusals:
                if refusal[0] == verb:
                    self.refusals.remove(refusal)
                    raise error_of(refusal[1], "so it is")
            if verb == "COMPLETE":
                self.is_complete = True
                return {}
            if "upload" not in body:
                self.uploads_count += 1
            first = body["first"]
            last = min(PARTS_COUNT, first + 3)  # fewer than asked for
            upload = body.get("upload") or f"upload-{self.uploads_count}"
            return {"uid": UID, "upload": upload, "part_size": PART_SIZE, "first": first, "items": [
                {"url": f"{self.server.url}?upload={upload}&part={part}&asked={len(self.asked)}"}
                for part in range(first, last + 1)]}

    def count(self, verb):
        return sum(1 for asked in self.asked if asked[0] == verb)


class PartsTest(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())
        self.server.answers = [self.store]
        self.broker = Broker(self.server)
        self.stored = {}
        self.tries = []
        self.failures = {}  # by part: what the store does with its next tries
        self.told = []
        self.why_ended = None
        self.verified = 0
        self.addCleanup(self.no_threads)
        self.enterContext(mock.patch.object(_transfer, "PAUSE_MOST_S", 0.1))
        self.enterContext(mock.patch.object(_parts, "ASK_PAUSE_S", 0.05))

    def no_threads(self):
        self.assertFalse([thread for thread in threading.enumerate() if thread.name == "zkarton-part"])

    def store(self, handler):
        query = {key: value[0] for key, value in parse_qs(urlsplit(handler.path).query).items()}
        part = int(query["part"])
        body = self.server.requests[-1][3]
        with self.broker.lock:
            body = next(request[3] for request in reversed(self.server.requests) if request[1] == handler.path)
            self.tries.append(part)
            failures = self.failures.get(part)
            failure = failures.pop(0) if failures else None
        if failure is not None:
            failure(handler)
            return
        with self.broker.lock:
            self.stored.setdefault(query["upload"], {})[part] = body
        handler.send_response(200)
        handler.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    @staticmethod
    def status(status):
        return lambda handler: handler.answer(status, b"")

    def verify(self, stream):
        self.verified += 1

    def upload(self, stream=None):
        stream = stream or io.BytesIO(CONTENT)

        def open_stream():
            stream.seek(0)
            return contextlib.nullcontext(stream)

        _parts.upload(self.broker, UID, "thing", len(CONTENT), open_stream,
                      _transfer.Watch(self.fail, lambda: self.why_ended, self.told.append), self.verify)

    def object(self, upload="upload-1"):
        """What the store would put together, as COMPLETE says it."""
        verb, body = self.broker.asked[-1]
        self.assertEqual((verb, body["upload"]), ("COMPLETE", upload))
        tags = [f'"{hashlib.md5(self.stored[upload][part]).hexdigest()}"' for part in range(1, PARTS_COUNT + 1)]
        self.assertEqual([item["etag"] for item in body["items"]], tags)
        return b"".join(self.stored[upload][part] for part in range(1, PARTS_COUNT + 1))

    def test_every_part_goes_once_and_in_its_place(self):
        stream = io.BytesIO(CONTENT)
        self.upload(stream)
        self.assertEqual(self.object(), CONTENT)
        self.assertEqual(sorted(self.tries), list(range(1, PARTS_COUNT + 1)))
        self.assertEqual((self.verified, stream.tell(), self.told), (1, len(CONTENT), []))

    def test_a_stream_from_where_it_stands(self):
        stream = io.BytesIO(b"before" + CONTENT)
        stream.seek(6)
        _parts.upload(self.broker, UID, "thing", len(CONTENT), lambda: contextlib.nullcontext(stream),
                      _transfer.Watch(self.fail, lambda: None, self.told.append), self.verify)
        self.assertEqual(self.object(), CONTENT)

    def test_a_part_that_fails_goes_again_alone(self):
        self.failures = {3: [self.status(503)] * 3, 10: [self.status(500)]}
        self.upload()
        self.assertEqual(self.object(), CONTENT)
        self.assertEqual(sorted(self.tries), sorted([*range(1, PARTS_COUNT + 1), 3, 3, 3, 10]))
        self.assertIn("thing: object store unreachable, retrying", self.told[0])

    def test_an_address_that_ended_is_renewed(self):
        self.failures = {2: [self.status(403)], 7: [self.status(401)]}
        self.upload()
        self.assertEqual(self.object(), CONTENT)
        self.assertEqual(self.broker.uploads_count, 1)
        self.failures = {2: [self.status(403)] * 2}
        with self.assertRaises(ZkartonError) as raised:  # of a fresh address too: final
            self.upload()
        self.assertEqual(raised.exception.code, "DENIED")

    def test_an_upload_that_the_store_forgot_begins_anew(self):
        self.failures = {4: [self.status(404)]}
        self.upload()
        self.assertEqual(self.object("upload-2"), CONTENT)
        self.broker.refusals = [("COMPLETE", "NOT_FOUND")]
        self.upload()
        self.assertEqual(self.object("upload-4"), CONTENT)

    def test_not_for_ever(self):
        self.failures = {1: [self.status(404)] * 10}
        with self.assertRaises(ZkartonError) as raised:
            self.upload()
        self.assertEqual((raised.exception.code, self.broker.uploads_count), ("NOT_FOUND", _parts.BEGINS_MAX))

    def test_what_the_broker_cannot_do_now_is_asked_again(self):
        self.broker.refusals = [("PARTS", "UNREACHABLE"), ("COMPLETE", "BUSY"), ("COMPLETE", "UNREACHABLE")]
        self.upload()
        self.assertEqual(self.object(), CONTENT)
        self.assertEqual(self.broker.count("COMPLETE"), 3)
        self.broker.refusals = [("COMPLETE", "DENIED")]
        with self.assertRaisesRegex(ZkartonError, r"thing: so it is \(DENIED\)"):
            self.upload()

    def test_a_part_without_etag_is_an_error(self):
        self.failures = {5: [self.status(200)]}
        with self.assertRaisesRegex(ZkartonError, "thing: the object store gave no ETag for a part"):
            self.upload()
        self.assertFalse(self.broker.is_complete)

    def test_bytes_that_changed_are_not_completed(self):
        def verify(_):
            raise _transfer.changed("thing")

        self.verify = verify
        with self.assertRaisesRegex(ZkartonError, "hash differs"):
            self.upload()
        self.assertFalse(self.broker.is_complete)

    def test_a_stream_that_ends_early_is_an_error(self):
        with self.assertRaisesRegex(ZkartonError, "thing: ends 1 bytes before its size"):
            self.upload(io.BytesIO(CONTENT[:-1]))

    def test_it_ends_when_nobody_wants_it(self):
        def hang(handler):
            self.why_ended = "revoked"
            released.wait(30)
            handler.answer(200, b"")

        released = threading.Event()
        self.addCleanup(released.set)
        self.failures = {part: [hang] for part in range(1, PARTS_COUNT + 1)}
        with mock.patch.object(_parts, "JOIN_S", 0), self.assertRaisesRegex(ZkartonError, "cancelled: revoked"):
            self.upload()
        released.set()
        for thread in threading.enumerate():
            if thread.name == "zkarton-part":
                thread.join(30)

    def test_no_more_than_a_block_a_part_is_in_memory(self):
        sizes = []

        class Watched(io.BytesIO):
            def read(self, size=-1):
                sizes.append(size)
                return super().read(size)

        with mock.patch.object(_transfer, "BLOCK_BYTES", 1 << 12):
            self.upload(Watched(CONTENT))
        self.assertEqual(max(sizes), 1 << 12)
        self.assertEqual(sum(sizes), len(CONTENT))


if __name__ == "__main__":
    unittest.main()
