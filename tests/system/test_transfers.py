"""How the client library and the command line move bytes: what they survive, what they say, what they leave behind."""
import hashlib
import json
import os
import re
import signal
import subprocess
import time
import unittest
import urllib.request
import uuid

import msgpack

from support.broker import bin_dir
from support.transfers import Transfers
from support.zkp import Peer, task
from system.test_cli import Service

CONTENT = os.urandom(3 << 20)
SECRET = re.compile(r"object:[0-9a-f-]{36}:([0-9a-f-]{36}):")


class TransfersTest(Transfers, unittest.TestCase):
    CONTENT = CONTENT

    def checker(self, name="t.check", content=CONTENT):
        """A consumer whose task is Finished if in/sample is content."""
        return Service(self.broker, "exec", name, "type=" + name, "--", "sh", "-c",
                       f'test "$(sha256sum < in/sample)" = "{hashlib.sha256(content).hexdigest()}  -"')

    def first_task(self, root):
        return json.loads(self.broker.run("zkarton", "tree", root, "-o", "json")[1].splitlines()[0])["uid"]


class CutTest(TransfersTest):
    OPTIONS = {"url_ttl": "1s"}

    def test_a_cut_connection_is_no_failure(self):
        path = self.write("file")
        with self.checker() as service:
            service.stop()
        self.proxy.cut("up", 1 << 20)
        root = self.broker.run("zkarton", "send", "type=t.check", "-r", "sample=" + path)[1].strip()
        self.assertEqual(self.proxy.cut_count, 1)
        self.proxy.cut("down", 1 << 20)
        with self.checker() as service:
            self.assertEqual(self.broker.run("zkarton", "wait", root, timeout=60)[0], 0)
            self.assertIn("unreachable, retrying", service.log.drain())
        self.assertEqual(self.proxy.cut_count, 2)
        self.assertLess(self.proxy.passed["down"], len(CONTENT) * 3 // 2)  # it went on, it did not begin again

    def test_a_url_that_expires_meanwhile_is_renewed(self):
        path = self.write("file")
        with self.checker() as service:
            service.stop()
        self.proxy.refuse()
        sender = self.broker.spawn(os.path.join(bin_dir(), "zkarton"), "send", "type=t.check", "-r", "sample=" + path,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertIn(b"object store unreachable, retrying", sender.stderr.readline())
        time.sleep(2.2)  # longer than a URL is good: that is what is tested
        self.proxy.refuse(False)
        out, err = sender.communicate(timeout=60)
        self.assertEqual(sender.returncode, 0, err)
        root = out.decode().strip()
        self.proxy.cut("down", len(CONTENT) // 2, then_refuse=True)
        before = self.proxy.passed["down"]
        with self.checker() as service:
            service.log.wait_for("object store unreachable, retrying")
            time.sleep(2.2)
            self.proxy.refuse(False)
            self.assertEqual(self.broker.run("zkarton", "wait", root, timeout=60)[0], 0)
        self.assertEqual(self.proxy.cut_count, 1)
        self.assertLess(self.proxy.passed["down"] - before, len(CONTENT) * 3 // 2)  # with a new address it went on

    def test_a_store_that_is_away_holds_up_no_other_task(self):
        path = self.write("file")
        with self.checker() as slow, Service(self.broker, "exec", "t.quick", "type=quick", "--", "true") as quick:
            self.proxy.refuse()
            sender = self.broker.spawn(os.path.join(bin_dir(), "zkarton"), "send", "type=t.check", "-r", "sample=" + path,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            sender.stderr.readline()
            for _ in range(20):
                self.broker.run("zkarton", "send", "type=quick", "--wait", timeout=10)
            self.proxy.refuse(False)
            out, _ = sender.communicate(timeout=60)
            self.assertEqual(self.broker.run("zkarton", "wait", out.decode().strip(), timeout=60)[0], 0)
            self.assertEqual((slow.stop(), quick.stop()), (0, 0))

    def test_a_worker_that_waits_for_the_store_can_be_stopped(self):  # P6
        path = self.write("file")
        with self.checker() as service:
            service.stop()
        root = self.broker.run("zkarton", "send", "type=t.check", "-r", "sample=" + path)[1].strip()
        self.proxy.refuse()
        with self.checker() as service:
            service.log.wait_for("object store unreachable, retrying")
            service.process.send_signal(signal.SIGINT)
            with self.assertRaises(subprocess.TimeoutExpired):
                service.process.wait(0.3)  # it would finish its task
            service.process.send_signal(signal.SIGINT)
            self.assertEqual(service.process.wait(20), 130)
        self.proxy.refuse(False)
        with self.checker():
            self.assertEqual(self.broker.run("zkarton", "wait", root, timeout=60)[0], 0)


class PutTest(TransfersTest):
    def put(self, *args):
        return self.broker.run("zkarton", "put", *args)[1].strip()

    def test_a_token_is_good_for_one_send(self):
        token = self.put(self.write("file"))
        self.assertRegex(token, SECRET)
        with self.checker() as service:
            code = self.broker.run("zkarton", "send", "type=t.check", "--object", "sample=" + token, "--wait")[0]
            self.assertEqual(code, 0)
            code, _, err = self.broker.run("zkarton", "send", "type=t.check", "--object", "sample=" + token, check=False)
            self.assertEqual(code, 5)
            self.assertIn("taken already", err)
            self.assertEqual(service.stop(), 0)
        self.wait_for_objects(0)
        self.assertNotIn(SECRET.match(token).group(1), self.broker.log.drain())

    def test_a_token_outlives_the_broker_and_goes_by_file(self):
        token = self.put(self.write("file"), "--as", "../../etc/passwd")
        self.assertTrue(token.endswith(":..%2F..%2Fetc%2Fpasswd"))
        self.broker.kill()
        self.start()
        path = self.write("token", token.encode() + b"\n")
        with self.checker() as service:
            root = self.broker.run("zkarton", "send", "type=t.check", "--object", "sample=@" + path, "--wait")[1].strip()
            self.assertEqual(service.stop(), 0)
        self.assertIn("../../etc/passwd", self.broker.run("zkarton", "tree", root)[1])

    def test_a_send_that_fails_gives_the_token_back(self):
        token = self.put(self.write("file"))
        gone = os.path.join(self.broker.dir, "gone")
        code = self.broker.run("zkarton", "send", "type=t.check", "--object", "sample=" + token, "-r", "x=" + gone, check=False)[0]
        self.assertEqual(code, 2)
        self.assertEqual(self.broker.run("zkarton", "send", "type=t.check", "--object", "sample=" + token)[0], 0)

    def test_another_secret_takes_nothing(self):
        token = self.put(self.write("file"))
        secret = SECRET.match(token).group(1)
        other = token.replace(secret, "0" + secret[1:] if secret[0] != "0" else "1" + secret[1:])
        code, _, err = self.broker.run("zkarton", "send", "type=t.check", "--object", "sample=" + other, check=False)
        self.assertEqual(code, 5, err)
        self.assertEqual(self.broker.run("zkarton", "send", "type=t.check", "--object", "sample=" + token)[0], 0)

    def test_wrong_words(self):
        for args, code in ((("put",), 2), (("put", "a", "b"), 2), (("put", "/nonexistent"), 1),
                           (("send", "a=b", "--object", "x"), 2), (("send", "a=b", "--object", "x=nonsense"), 2),
                           (("send", "a=b", "--object", "x=@/nonexistent"), 1),
                           (("send", "a=b", "--object", "x=y", "--each0", "k"), 2)):
            with self.subTest(args=args):
                self.assertEqual(self.broker.run("zkarton", *args, check=False)[0], code)

    def test_stdin_and_directories(self):
        token = self.broker.run("zkarton", "put", "-", input=CONTENT)[1].strip()
        self.assertTrue(token.endswith(":0:stdin"))
        folder = os.path.join(self.broker.dir, "folder")
        os.makedirs(os.path.join(folder, "sub"))
        with open(os.path.join(folder, "sub", "file"), "w", encoding="utf-8") as file:
            file.write("deep")
        token = self.put(folder)
        self.assertTrue(token.endswith(":1:folder"))
        with Service(self.broker, "exec", "t.folder", "type=folder", "--", "sh", "-c", "test $(cat {}/sub/file) = deep".replace(
                "{}", "in/sample")) as service:
            self.assertEqual(self.broker.run("zkarton", "send", "type=folder", "--object", "sample=" + token, "--wait")[0], 0)
            self.assertEqual(service.stop(), 0)


class WordsTest(TransfersTest):
    """What is said when something is not there, and names that are no names."""

    def test_a_missing_object_says_with_which_task_it_went(self):
        path = self.write("file")
        with self.checker() as service:
            root = self.broker.run("zkarton", "send", "type=t.check", "-r", "sample=" + path, "--wait")[1].strip()
            self.assertEqual(service.stop(), 0)
        uid = self.first_task(root)
        out = os.path.join(self.broker.dir, "out")
        code, _, err = self.broker.run("zkarton", "get", uid, "file", out, check=False)
        self.assertEqual(code, 5, err)
        self.assertRegex(err, rf"file: object missing: deleted with task {uid} at 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ \(OBJECT_UNKNOWN\)")
        self.assertFalse(os.path.exists(out))

    def test_an_object_that_the_store_lost_is_missing(self):
        path = self.write("file")
        with Service(self.broker, "exec", "t.crash", "type=crash", "--", "false") as service:
            code, out, _ = self.broker.run("zkarton", "send", "type=crash", "-r", "sample=" + path, "--wait", check=False)
            self.assertEqual(code, 1)
            self.assertEqual(service.stop(), 0)
        uid = self.first_task(out.strip())
        target = os.path.join(self.broker.dir, "out")
        self.assertEqual(self.broker.run("zkarton", "get", uid, "sample", target)[0], 0)
        with open(target, "rb") as file:
            self.assertEqual(file.read(), CONTENT)
        os.unlink(self.objects()[0])
        code, _, err = self.broker.run("zkarton", "get", uid, "sample", target, "-f", check=False)
        self.assertEqual(code, 5, err)
        self.assertIn("object missing: a task refers to it, but the object store does not have it", err)

    def test_other_bytes_are_refused_when_they_are_read(self):
        path = self.write("file")
        with Service(self.broker, "exec", "t.crash", "type=crash", "--", "false") as service:
            out = self.broker.run("zkarton", "send", "type=crash", "-r", "sample=" + path, "--wait", check=False)[1]
            self.assertEqual(service.stop(), 0)
        with open(self.objects()[0], "r+b") as file:
            file.seek(1000)
            file.write(b"other bytes")
        target = os.path.join(self.broker.dir, "out")
        code, _, err = self.broker.run("zkarton", "get", self.first_task(out.strip()), "sample", target, check=False)
        self.assertEqual(code, 1, err)
        self.assertIn("hash differs", err)
        self.assertFalse(os.path.exists(target))

    def test_odd_names_are_shown_escaped_and_are_no_paths(self):
        path = self.write("file")
        names = [b"../../etc/passwd", b"\xff\xfe", b"a\nb\x1b[31m", b"n" * 10000, "\u00e4\u6f22".encode() * 2000, b"/", b".."]
        with Service(self.broker, "exec", "t.crash", "type=crash", "--", "false") as service:
            for name in names:
                with self.subTest(name=name[:20]):
                    out = self.broker.run("zkarton", "send", "type=crash", "-r", "sample=" + path, "--as", name, "--wait",
                                          check=False)[1]
                    tree = self.broker.run("zkarton", "tree", out.strip())[1]
                    self.assertNotIn("\x1b[31m", tree)
                    self.assertTrue(all(character.isprintable() or character == "\n" for character in tree))
                    target = os.path.join(self.broker.dir, "out")
                    self.assertEqual(self.broker.run("zkarton", "get", self.first_task(out.strip()), "sample", target, "-f")[0], 0)
            self.assertEqual(service.stop(), 0)
        self.put_with_a_nul()
        for stored in self.objects():
            self.assertRegex(stored, r"/objects/[0-9a-f]{2}/[0-9a-f-]{36}$")
        self.assertEqual(len(self.objects()), len(names) + 1)

    def put_with_a_nul(self):
        """Only another client can: our own knows names as C strings."""
        uid, digest = os.urandom(16), hashlib.sha256(b"x").digest()
        with Peer(self.broker.endpoints["broker"]) as peer:
            peer.hello()
            peer.send("UPLOAD", {"items": [{"uid": uid, "size": 1, "sha256": digest}]})
            url = peer.expect("URLS")["items"][0]["url"]
            with urllib.request.urlopen(urllib.request.Request(url, b"x", method="PUT"), timeout=30) as answer:
                self.assertEqual(answer.status, 200)
            resource = {"uid": uid, "name": "a\0/../b", "size": 1, "sha256": digest}
            sent = task({"type": "crash"}, payload={"sample": msgpack.ExtType(3, bytes(4))}, resources=[resource])
            self.assertEqual(peer.submit(sent)[0].get("code", 0), 0)
        tree = self.broker.run("zkarton", "tree", str(uuid.UUID(bytes=sent["uid"])))[1]
        self.assertIn("a\\x00/../b", tree)

    def test_odd_keys_stay_in_their_folder(self):
        path = self.write("file", b"x")
        with Service(self.broker, "exec", "t.keys", "type=keys", "--", "sh", "-c",
                     "test $(find in -type f | wc -l) = 4 && test -z \"$(find . -newer task.json -name passwd)\"") as service:
            args = [f"{key}={path}" for key in ("../../etc/passwd", "a/../../b", "/etc/x", "k" * 1000)]
            code = self.broker.run("zkarton", "send", "type=keys", *[word for arg in args for word in ("-r", arg)], "--wait")[0]
            self.assertEqual(code, 0)
            self.assertEqual(service.stop(), 0)


class DirectoryTest(TransfersTest):
    def test_a_directory_goes_through_exec_and_back(self):  # B3
        folder = os.path.join(self.broker.dir, "tree")
        os.makedirs(os.path.join(folder, "deep", "empty"))
        for name in ("a", "deep/b"):
            self.write("tree/" + name, name.encode())
        with Service(self.broker, "exec", "t.one", "type=one", "--", "sh", "-c",
                     "echo more > in/sample/c && zkarton send type=two -r sample=in/sample") as one:
            with Service(self.broker, "exec", "t.two", "type=two", "--", "sh", "-c",
                         "cd in/sample && test -d deep/empty && test $(cat a deep/b c | tr -d '\\n') = adeep/bmore") as two:
                self.assertEqual(self.broker.run("zkarton", "send", "type=one", "-r", "sample=" + folder, "--wait")[0], 0)
                self.assertEqual((one.stop(), two.stop()), (0, 0))
        self.wait_for_objects(0)

    def test_nothing_temporary_stays(self):
        temp = os.path.join(self.broker.dir, "temp")
        os.mkdir(temp)
        folder = os.path.join(self.broker.dir, "tree")
        os.makedirs(folder)
        self.write("tree/a")
        os.environ["TMPDIR"] = temp
        self.addCleanup(os.environ.pop, "TMPDIR")
        with Service(self.broker, "exec", "t.one", "type=one", "--", "true") as one:
            self.assertEqual(self.broker.run("zkarton", "send", "type=one", "-r", "sample=" + folder, "--wait")[0], 0)
            self.assertEqual(one.stop(), 0)
        self.assertEqual(os.listdir(temp), [])

    def test_a_killed_worker_leaves_nothing_behind_the_next_one(self):
        temp = os.path.join(self.broker.dir, "temp")
        os.mkdir(temp)
        path = self.write("file")
        os.environ["TMPDIR"] = temp
        self.addCleanup(os.environ.pop, "TMPDIR")
        with self.checker() as service:
            service.stop()
        root = self.broker.run("zkarton", "send", "type=t.check", "-r", "sample=" + path)[1].strip()
        with Service(self.broker, "exec", "t.check", "type=t.check", "--", "sh", "-c", "touch ../../started; exec sleep 1000") as killed:
            deadline = time.monotonic() + 30
            while not os.path.exists(os.path.join(temp, "started")):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)
            killed.process.kill()
            killed.process.wait()
        self.assertEqual({name.rsplit("-", 1)[0] for name in os.listdir(temp)}, {"started", "zkarton-exec", "zkarton-work"})
        os.unlink(os.path.join(temp, "started"))
        with self.checker() as service:
            self.assertEqual(self.broker.run("zkarton", "wait", root, timeout=60)[0], 0)
            self.assertEqual(service.stop(), 0)
        self.assertEqual(os.listdir(temp), [])


if __name__ == "__main__":
    unittest.main()
