"""Bytes of resources: a large file in constant memory, and what happens to objects when nobody needs them any more."""
import glob
import hashlib
import os
import re
import socket
import subprocess
import threading
import unittest
import urllib.parse
import urllib.request
import uuid

from support.broker import SOURCE, Broker, bin_dir, until
from support.processes import Process
from support.proxy import Proxy
from support.seaweedfs import SeaweedFS
from support.zkp import Peer, task
from system.test_cli import Service

LARGE_BYTES = int(os.environ.get("ZKT_LARGE_BYTES", 1 << 30))
MEMORY_MAX_KIB = 64 << 10
HOLES = 64
SERVICES = os.environ.get("ZKT_SERVICES", os.path.join(SOURCE, "build", "services"))
IN_USE = 31


def anonymous_kib(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            for line in file:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


class Peak:
    """The largest anonymous memory of some processes, looked at all the time."""

    def __init__(self, **pids):
        self.kib = dict.fromkeys(pids, 0)
        self.pids = pids
        self.end = threading.Event()
        self.thread = threading.Thread(target=self._look)

    def _look(self):
        while not self.end.wait(0.01):
            for name, pid in self.pids.items():
                self.kib[name] = max(self.kib[name], anonymous_kib(pid))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()


IS_SANITIZED = "asan" in bin_dir() or "tsan" in bin_dir()  # they need memory of their own, and time


class Large:
    """One large file from a producer over a worker to a child, with one cut of the connection in each direction."""

    SIZE = 256 << 20 if IS_SANITIZED else LARGE_BYTES
    ARGS = ()

    def setUp(self):
        self.proxy = Proxy()
        self.proxy.__enter__()
        self.addCleanup(self.proxy.__exit__)
        options = {"object": {"public_address": f"http://127.0.0.1:{self.proxy.port}"}}
        for section, values in self.store_options().items():
            options.setdefault(section, {}).update(values)
        self.broker = Broker(options, args=self.ARGS)
        self.addCleanup(self.broker.__exit__)
        self.broker.start()
        self.proxy.target = int(self.store_address().rsplit(":", 1)[1])
        os.environ["TMPDIR"] = self.broker.dir
        self.addCleanup(os.environ.pop, "TMPDIR")

    def store_options(self):
        return {}

    def store_address(self):
        return self.broker.endpoints["http"]

    def write(self):
        """Sparse, random at places."""
        path = os.path.join(self.broker.dir, "large")
        with open(path, "wb") as file:
            for hole in range(HOLES):
                file.seek(self.SIZE // HOLES * hole)
                file.write(os.urandom(4096))
            file.truncate(self.SIZE)
            file.seek(self.SIZE - 4)
            file.write(b"last")
        return path

    def test_a_large_file_needs_little_memory_and_survives_cuts(self):
        path = self.write()
        check = f"test $(stat -c %s in/sample) = {self.SIZE} && test $(tail -c 4 in/sample) = last"
        with Service(self.broker, "exec", "t.large", "type=large", "--", "sh", "-c",
                     check + " && zkarton send type=child -r sample=in/sample") as worker, \
                Service(self.broker, "exec", "t.child", "type=child", "--", "sh", "-c", check) as child:
            self.proxy.cut("up", self.SIZE // 2)
            sender = Process([os.path.join(bin_dir(), "zkarton"), "send", "type=large", "-r", "sample=" + path,
                              "--timeout", "10m"], env=self.broker.environment, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
            pids = {"broker": self.broker.process.pid, "worker": worker.process.pid, "child": child.process.pid, "sender": sender.pid}
            with Peak(**pids) as peak:
                root = sender.communicate(timeout=900)[0].decode().strip()
                self.assertEqual(sender.returncode, 0)
                self.check_sent()
                self.proxy.cut("down", self.SIZE // 2)
                self.assertEqual(self.broker.run("zkarton", "wait", root, timeout=900)[0], 0)
            self.assertEqual(self.proxy.cut_count, 2)
            self.assertLess(self.proxy.passed["down"], self.SIZE * 9 // 4)  # twice, and what was on its way at the cut
            self.assertEqual((worker.stop(), child.stop()), (0, 0))
        for name, kib in peak.kib.items():
            self.assertTrue(kib < MEMORY_MAX_KIB or IS_SANITIZED, f"anonymous memory of the {name}: {kib} KiB")
            self.assertGreater(kib, 0)

    def check_sent(self):
        pass


class LargeTest(Large, unittest.TestCase):
    pass


class LargeS3Test(Large, unittest.TestCase):
    """In parts, over SeaweedFS."""

    SIZE = Large.SIZE // 4
    ARGS = ("--setup-bucket",)

    def store_options(self):
        self.server = SeaweedFS(os.path.join(SERVICES, "bin", "weed"))
        self.addCleanup(self.server.__exit__)
        self.server.start()
        return {"object": {"kind": "s3", "multipart_threshold": "16MiB"},
                "s3": {"address": self.server.address, "access_key": self.server.access_key, "secret_key": self.server.secret_key,
                       "bucket": "objects"}}

    def store_address(self):
        return self.server.address

    def check_sent(self):
        self.assertLess(self.proxy.passed["up"], self.SIZE + (80 << 20))  # no more than the parts under way went again


class ObjectsTest(unittest.TestCase):
    def setUp(self):
        self.broker = Broker()
        self.addCleanup(self.broker.__exit__)
        self.broker.start()

    def objects(self):
        return glob.glob(os.path.join(self.broker.data, "objects", "??", "*"))

    def wait_for_objects(self, count):
        until(f"{count} objects", lambda: len(self.objects()) == count)

    def test_an_object_goes_with_its_last_task(self):
        with Service(self.broker, "exec", "t.one", "type=one", "--", "sh", "-c",
                     "zkarton send type=two -r sample=in/sample") as one:
            path = os.path.join(self.broker.dir, "file")
            with open(path, "w", encoding="utf-8") as file:
                file.write("content")
            with Service(self.broker, "exec", "t.two", "type=two", "--", "sleep", "1000") as two:
                self.broker.run("zkarton", "send", "type=one", "-r", "sample=" + path)
                two.log.drain()
                self.wait_for_objects(1)
                two.process.kill()
                two.process.wait()
            with Service(self.broker, "exec", "t.two", "type=two", "--", "grep", "-q", "content", "{}"):
                self.wait_for_objects(0)  # the child held it until now
            self.assertEqual(one.stop(), 0)

    def test_an_object_survives_the_broker(self):
        path = os.path.join(self.broker.dir, "file")
        with open(path, "w", encoding="utf-8") as file:
            file.write("content")
        with Service(self.broker, "exec", "t.later", "type=later", "--", "true") as service:
            self.assertEqual(service.stop(), 0)
        root = self.broker.run("zkarton", "send", "type=later", "-r", "sample=" + path)[1].strip()
        self.broker.kill()
        self.broker.start()
        self.assertEqual(len(self.objects()), 1)
        with Service(self.broker, "exec", "t.later", "type=later", "--", "grep", "-q", "content", "{}"):
            self.assertEqual(self.broker.run("zkarton", "wait", root, timeout=60)[0], 0)
        self.wait_for_objects(0)

    def test_a_uid_belongs_to_who_declared_it(self):
        uid, size, sha256 = os.urandom(16), 7, hashlib.sha256(b"content").digest()
        declared = {"items": [{"uid": uid, "size": size, "sha256": sha256}]}
        with Peer(self.broker.endpoints["broker"]) as owner, Peer(self.broker.endpoints["broker"]) as thief:
            owner.hello_worker("t.owner", [{"type": "mine"}])
            thief.hello()
            owner.send("UPLOAD", declared)
            url = owner.expect("URLS")["items"][0]["url"]
            with urllib.request.urlopen(urllib.request.Request(url, b"content", method="PUT"), timeout=30) as answer:
                self.assertEqual(answer.status, 200)
            resource = {"uid": uid, "name": "file", "bucket": "", "size": size, "sha256": sha256}
            for _ in range(2):  # before a task refers to it, and after
                thief.send("UPLOAD", declared)
                item = thief.expect("URLS")["items"][0]
                self.assertEqual(IN_USE, item["code"])
                self.assertNotIn("url", item)
                thief.send("DOWNLOAD", {"items": [{"uid": uid}]})
                self.assertNotIn("url", thief.expect("URLS")["items"][0])
                owner.send("UPLOAD", declared)  # its own, again
                self.assertIn("url", owner.expect("URLS")["items"][0])
                self.assertEqual(owner.submit(task({"type": "mine"}, resources=[resource]))[0].get("code", 0), 0)

    def declare(self, peer, content):
        """The URL for a PUT of this content, and the resource."""
        uid, sha256 = uuid.uuid4().bytes, hashlib.sha256(content).digest()
        peer.send("UPLOAD", {"items": [{"uid": uid, "size": len(content), "sha256": sha256}]})
        url = peer.expect("URLS")["items"][0]["url"]
        return url, {"uid": uid, "name": "file", "bucket": "", "size": len(content), "sha256": sha256}

    def ask(self, method, url, body=b"", length=None):
        """(status, S3's code) of one request; (0, "") if less than its Content-Length comes before the end."""
        parts = urllib.parse.urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
            connection.sendall(f"{method} {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
                               f"Content-Length: {len(body) if length is None else length}\r\n\r\n".encode("utf-8", "surrogateescape")
                               + body)
            if length is not None and length > len(body):
                until("that the upload has begun", self.kept)
                return 0, ""
            with connection.makefile("rb") as answer:
                text = answer.read()
        found = re.search(rb"<Code>(\w+)</Code>", text)
        return int(text.split()[1]) if text else 0, found[1].decode() if found else ""

    def kept(self):
        return [os.path.join(folder, name) for folder, _, names in os.walk(os.path.join(self.broker.data, "objects")) for name in names]

    def test_what_is_not_as_it_was_signed_is_refused_and_not_kept(self):
        content = b"content"
        with Peer(self.broker.endpoints["broker"]) as peer:
            peer.hello()
            url, resource = self.declare(peer, content)
            path, query = url.split("?")
            for what, method, asked, body, length, statuses in (
                    ("shorter", "PUT", url, b"conten", None, (400,)),
                    ("longer", "PUT", url, b"content!", None, (400,)),
                    ("other bytes", "PUT", url, b"CONTENT", None, (400,)),
                    ("cut", "PUT", url, b"conten", 7, (0,)),
                    ("for a GET", "GET", url, b"", None, (403,)),
                    ("another size", "PUT", url.replace("x-zkt-size=7", "x-zkt-size=8"), b"content!", None, (403,)),
                    ("another hash", "PUT", url.replace(resource["sha256"].hex(), hashlib.sha256(b"CONTENT").hexdigest()), b"CONTENT", None,
                     (403,)),
                    ("another object", "PUT", url.replace(str(uuid.UUID(bytes=resource["uid"])), str(uuid.uuid4())), content, None, (403,)),
                    ("another end", "PUT", url.replace("X-Amz-Expires=", "X-Amz-Expires=1"), content, None, (403,)),
                    ("another signature", "PUT", url[:-1] + ("0" if url[-1] != "0" else "1"), content, None, (403,)),
                    ("no signature", "PUT", path, content, None, (403,)),
                    ("a path", "PUT", path + "/../../../x?" + query, content, None, (403, 404)),
                    ("a NUL", "PUT", path + "%00?" + query, content, None, (400, 403, 404)),
                    ("long", "PUT", path + "a" * 10000 + "?" + query, content, None, (403, 404, 414)),
                    ("no UTF-8", "PUT", path + "%ff\udcff?" + query, content, None, (400, 403, 404))):
                with self.subTest(what):
                    self.assertEqual(asked != url, what not in ("shorter", "longer", "other bytes", "cut", "for a GET"))
                    status, code = self.ask(method, asked, body, length)
                    self.assertIn(status, statuses)
                    self.assertTrue(code or status in (0, 414), status)
            until("that nothing is kept", lambda: not self.kept())
            self.assertFalse(os.path.exists(os.path.join(self.broker.data, "x")))
            self.assertEqual((200, ""), self.ask("PUT", url, content))  # it was good all the time
            self.assertEqual(len(self.kept()), 1)
            self.broker.stop()
            self.broker.options["object"] = {"url_ttl": "1s"}
            self.broker.start()
        with Peer(self.broker.endpoints["broker"]) as peer:
            peer.hello()
            url, _ = self.declare(peer, content)
            until("the end of the URL", lambda: self.ask("PUT", url, b"conten")[0] == 403)
            self.assertEqual((403, "AccessDenied"), self.ask("PUT", url, content))
            self.assertEqual(len(self.kept()), 1)

    def test_a_url_is_for_who_holds_a_live_delivery(self):
        with Peer(self.broker.endpoints["broker"]) as holder, Peer(self.broker.endpoints["broker"]) as other, \
                Peer(self.broker.endpoints["broker"]) as producer:
            holder.hello_worker("t.holder", [{"type": "mine"}])
            other.hello_worker("t.other", [{"type": "other"}])
            producer.hello(identity="producer")
            url, resource = self.declare(producer, b"content")
            self.assertEqual(200, self.ask("PUT", url, b"content")[0])

            def may_read(peer):
                peer.send("DOWNLOAD", {"items": [{"uid": resource["uid"]}]})
                return "url" in peer.expect("URLS")["items"][0]
            self.assertEqual(producer.submit(task({"type": "mine"}, resources=[resource]))[0].get("code", 0), 0)
            self.assertFalse(may_read(holder))  # nothing was delivered to it so far
            holder.credit(1)
            item = holder.deliver()[0]
            self.assertTrue(may_read(holder))
            self.assertFalse(may_read(other))
            holder.settle(item)
            self.assertFalse(may_read(holder))
            self.wait_for_objects(0)

    def test_objects_that_nobody_knows_are_swept(self):
        self.broker.stop()
        self.broker.options["object"] = {"upload_grace": "1s"}
        self.broker.start()
        stray = os.path.join(self.broker.data, "objects", "ab", "ab000000-0000-4000-8000-000000000001")
        path = os.path.join(self.broker.dir, "file")
        with open(path, "w", encoding="utf-8") as file:
            file.write("content")
        with Service(self.broker, "exec", "t.later", "type=later", "--", "true") as service:
            self.assertEqual(service.stop(), 0)
        self.broker.run("zkarton", "send", "type=later", "-r", "sample=" + path)
        kept = self.objects()
        self.assertEqual(len(kept), 1)
        for name in (stray, *kept):
            with open(name, "a", encoding="utf-8"):
                os.utime(name, (1, 1))
        # The first walk is one grace after a start; the one that was may have been over already.
        self.broker.kill()
        self.broker.start()
        self.wait_for_objects(1)
        self.assertEqual(self.objects(), kept)


if __name__ == "__main__":
    unittest.main()
