"""How the Python client moves bytes: patience, addresses, refusals; over a server whose answers are told."""
import contextlib
import hashlib
import http.server
import io
import os
import threading
import time
import unittest
from unittest import mock

from support import python_client  # noqa: F401 puts the package on the path

from zkarton import _transfer
from zkarton.exceptions import ZkartonError, error_of

CONTENT = bytes(range(256)) * 4096


class Server(http.server.ThreadingHTTPServer):
    """`answers` are taken one a request: (status, body) or a callable that gets the handler."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = []
        self.requests = []
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/object"

    def handle_error(self, *_):
        """A client that has gone is what some tests are about."""

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, length=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, self.headers.get("Range"), body))
        answer = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        if callable(answer):
            answer(self)
        else:
            self.answer(*answer)

    do_GET = do_PUT = handle_one


class TransferTest(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())
        self.told = []
        self.renewals = []
        self.why_ended = None
        self.enterContext(mock.patch.object(_transfer, "PAUSE_MOST_S", 0.1))
        self.addCleanup(self.close_kept)

    @staticmethod
    def close_kept():
        for connection in _transfer._kept().values():
            connection.close()
        _transfer._kept().clear()

    def renew(self, left_s):
        self.renewals.append(left_s)
        return self.server.url + f"?{len(self.renewals)}"

    def watch(self, **more):
        return _transfer.Watch(more.pop("renew", self.renew), lambda: self.why_ended, self.told.append, **more)

    def upload(self, watch=None, content=CONTENT):
        @contextlib.contextmanager
        def opened():
            yield io.BytesIO(content)
        _transfer.upload(self.server.url, "thing", len(content), hashlib.sha256(CONTENT).digest(), opened,
                         watch or self.watch())

    def download(self, watch=None):
        return b"".join(_transfer.download(self.server.url, "thing", watch or self.watch()))

    def test_more_failures_than_a_few_are_outlasted(self):
        self.server.answers = [(503, b"")] * 7 + [(200, b"")]
        self.upload()
        self.assertEqual([request[3] for request in self.server.requests], [CONTENT] * 8)
        self.assertEqual(len(self.told), 1)
        self.assertIn("thing: object store unreachable, retrying: thing: the upload ended with HTTP 503", self.told[0])
        self.server.answers = [(503, b"")] * 7 + [(200, CONTENT)]
        self.assertEqual(self.download(), CONTENT)

    def test_patience_ends_and_is_not_slept_through(self):
        self.server.answers = [(503, b"")]
        for move in (self.download, self.upload):
            for pause_s in (0.05, 30):  # the second is longer than the patience
                with self.subTest(move=move.__name__), mock.patch.object(_transfer, "PATIENCE_S", 0.5), \
                        mock.patch.object(_transfer, "PAUSE_LEAST_S", pause_s), \
                        mock.patch.object(_transfer, "LOST_UPLOADS_MAX", 0), self.assertRaises(ZkartonError) as raised:
                    begin_s = time.monotonic()
                    move()
                self.assertEqual(raised.exception.code, "BUSY")
                self.assertLess(time.monotonic() - begin_s, 10)

    def test_movement_renews_the_patience(self):
        step = len(CONTENT) // 8

        def part(handler):
            done = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
            handler.answer(206 if done else 200, CONTENT[done:done + step], len(CONTENT) - done)
            handler.close_connection = True

        self.server.answers = [answer for _ in range(8) for answer in (part, (503, b""), (503, b""))]
        with mock.patch.object(_transfer, "PATIENCE_S", 0.6):
            begin_s = time.monotonic()
            self.assertEqual(self.download(), CONTENT)
            self.assertGreater(time.monotonic() - begin_s, 0.6)

    def test_a_task_is_patient_for_longer(self):
        self.server.answers = [(503, b"")] * 5 + [(200, CONTENT)]
        with mock.patch.object(_transfer, "PATIENCE_S", 0.01):
            self.assertEqual(self.download(self.watch(in_task=True)), CONTENT)

    def test_refused_address_is_renewed_once(self):
        for status, code in ((403, "DENIED"), (404, "NOT_FOUND")):
            with self.subTest(status=status):
                del self.renewals[:], self.server.requests[:]
                self.server.answers = [(status, b""), (200, CONTENT)]
                self.assertEqual(self.download(), CONTENT)
                self.assertEqual([request[1] for request in self.server.requests], ["/object", "/object?1"])
                self.server.answers = [(status, b"")]
                with self.assertRaises(ZkartonError) as raised:
                    self.upload()
                self.assertEqual((raised.exception.code, len(self.renewals)), (code, 2))

    def test_an_address_that_ended_is_renewed_whatever_the_status(self):
        for answer in ((401, b""), (400, b"<Error><Code>ExpiredToken</Code></Error>")):
            del self.renewals[:]
            self.server.answers = [answer, (200, b"")]
            self.upload()
            self.assertEqual(len(self.renewals), 1)
        self.server.answers = [(400, b"<Error><Code>RequestTimeout</Code></Error>"), (200, b"")]
        self.upload()
        self.assertEqual(len(self.renewals), 1)

    def test_bytes_that_changed_are_no_upload(self):
        for status in (200, 400):  # a store that takes what comes, and one that looks
            self.server.answers = [(status, b"")]
            with self.assertRaisesRegex(ZkartonError, "thing: hash differs: the bytes changed"):
                self.upload(content=CONTENT[1:] + b"x")

    def test_a_download_goes_on_only_where_it_stopped(self):
        def half(handler):
            handler.answer(200, CONTENT[:1000], len(CONTENT))
            handler.close_connection = True

        def elsewhere(handler):
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
            handler.send_header("Content-Length", str(len(CONTENT)))
            handler.end_headers()
            handler.wfile.write(CONTENT)

        self.server.answers = [half, elsewhere]
        with self.assertRaisesRegex(ZkartonError, "cannot go on where it stopped"):
            self.download()

    def test_what_the_broker_says_about_it_counts(self):
        def gone(left_s):
            raise error_of("OBJECT_UNKNOWN", "deleted")

        self.server.answers = [(404, b"")]
        with self.assertRaises(ZkartonError) as raised:
            self.download(self.watch(renew=gone))
        self.assertEqual(raised.exception.code, "OBJECT_UNKNOWN")

    def test_address_that_leads_nowhere_is_renewed(self):
        other = Server()
        other.server_close()
        self.server.answers = [(200, CONTENT)]
        self.assertEqual(b"".join(_transfer.download(other.url, "thing", self.watch())), CONTENT)
        self.assertEqual(len(self.renewals), 1)

    def test_waiting_ends_when_nobody_wants_it(self):
        self.server.answers = [(503, b"")]
        self.why_ended = "revoked"
        with self.assertRaisesRegex(ZkartonError, "thing: the download was cancelled: revoked"):
            self.download()
        self.why_ended = None
        event = threading.Event()
        event.set()
        before = _transfer.given_up.set(event)
        self.addCleanup(_transfer.given_up.reset, before)
        with self.assertRaisesRegex(ZkartonError, "given up"):
            self.upload()

    def test_only_the_code_of_a_refusal_is_told(self):
        self.server.answers = [(400, b"<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>KEYID</AWSAccessKeyId>"
                                b"<StringToSign>TO SIGN</StringToSign></Error>")]
        for move in (self.upload, self.download):
            with self.assertRaises(ZkartonError) as raised:
                move()
            self.assertRegex(str(raised.exception), r"HTTP 400: SignatureDoesNotMatch \(IO\)$")
        self.server.answers = [(400, b"<Code>two words</Code>")]
        with self.assertRaisesRegex(ZkartonError, r"HTTP 400 \(IO\)$"):
            self.download()

    def test_connection_closed_after_one_answer_is_no_failure(self):
        def once(handler):
            handler.answer(200, CONTENT)
            handler.close_connection = True  # and does not say so

        self.server.answers = [once]
        with mock.patch.object(_transfer, "PATIENCE_S", 0):
            for _ in range(3):
                self.assertEqual(self.download(), CONTENT)
                self.upload()

    def test_forked_child_has_no_connection_of_its_parents_thread(self):
        kept = []

        def on_a_thread():
            self.download()
            kept.append(len(_transfer._kept()))
            pid = os.fork()
            if pid == 0:
                os._exit(len(_transfer._kept()))
            kept.append(os.waitpid(pid, 0)[1])
            self.close_kept()

        self.server.answers = [(200, CONTENT)]
        thread = threading.Thread(target=on_a_thread)
        thread.start()
        thread.join()
        self.assertEqual(kept, [1, 0])


if __name__ == "__main__":
    unittest.main()
