"""Stock S3 clients against the directory store: boto3 case by case as against versitygw, rclone, curl."""
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import unittest

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from support.broker import SOURCE, Broker
from support.s3 import Versitygw
from system.s3_cases import client, outcome

CASES = os.path.join(SOURCE, "tests", "system", "s3_cases.py")


class S3Broker(Broker):
    """A broker with keys for S3 clients."""

    access_key, secret_key = "AK", "SECRETSECRET"
    keys, mode = "# clients\nAK SECRETSECRET\nRO READSECRET read\n", 0o600

    def start(self):
        keys = os.path.join(self.data, "keys")
        os.makedirs(keys, 0o700, exist_ok=True)
        os.chmod(self.data, 0o700)
        path = os.path.join(keys, "s3.keys")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.keys)
        os.chmod(path, self.mode)
        return super().start()

    @property
    def address(self):
        return self.endpoints["http"]


def curl(server, method, target, *args, key=None, secret=None, payload="UNSIGNED-PAYLOAD"):
    """A request signed by curl: (status, body)."""
    done = subprocess.run(
        ["curl", "-sS", "--path-as-is", "--aws-sigv4", "aws:amz:us-east-1:s3", "-u",
         f"{key or server.access_key}:{secret or server.secret_key}", "-H", f"x-amz-content-sha256: {payload}",
         "-X", method, "-w", "\n%{http_code}", *args, server.address + target],
        capture_output=True, timeout=60, check=True)
    body, status = done.stdout.rsplit(b"\n", 1)
    return int(status), body


class SlowPut:
    """A PUT whose headers the server has seen, and whose body comes when the test wants it."""

    def __init__(self, server, target, body, headers):
        request = AWSRequest("PUT", server.address + target, headers={**headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
        SigV4Auth(Credentials(server.access_key, server.secret_key), "s3", "us-east-1").add_auth(request)
        host, port = server.address.split("//")[1].split(":")
        self.body = body
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        lines = [f"PUT {target} HTTP/1.1", f"Host: {host}:{port}", f"Content-Length: {len(body)}", "Connection: close",
                 "Expect: 100-continue", *(f"{name}: {value}" for name, value in request.headers.items())]
        self.socket.sendall("\r\n".join(lines + ["", ""]).encode())
        self.first = self.socket.recv(1000)

    def finish(self):
        """The status of the answer."""
        self.socket.sendall(self.body)
        with self.socket, self.socket.makefile("rb") as answer:
            return int(answer.readline().split()[1])


class KeysTest(unittest.TestCase):
    """The file of keys is read whole, or the broker does not start and says why."""

    def start(self, keys, mode=0o600):
        broker = S3Broker()
        self.addCleanup(broker.__exit__)
        broker.keys, broker.mode = keys, mode
        return broker.start()

    def test_the_lines_of_the_document(self):
        with open(os.path.join(SOURCE, "docs", "objects.md"), encoding="utf-8") as file:
            lines = re.search(r"when it starts:\n\n((?:    .*\n)+)", file.read()).group(1)
        broker = self.start("".join(line[4:] + "\n" for line in lines.splitlines()))
        keys = {"key": "ACCESS_KEY", "secret": "SECRET_KEY"}
        self.assertEqual(200, curl(broker, "PUT", "/documented", **keys)[0])
        keys = {"key": "ANOTHER_KEY", "secret": "ITS_SECRET"}
        self.assertEqual(200, curl(broker, "GET", "/documented?list-type=2", **keys)[0])
        self.assertEqual(403, curl(broker, "PUT", "/documented/x", "--data-binary", "x", **keys)[0])

    def test_what_is_wrong_with_it_is_said(self):
        for keys, mode, words in (("AK SECRETSECRET\n", 0o644, "chmod 600"), ("AK SECRETSECRET read too\n", 0o600, "unknown"),
                                  ("AK SECRETSECRET write\n", 0o600, "unknown"), ("AK short\n", 0o600, "8 to 256"),
                                  ("AK SECRETSECRET\nAK OTHERSECRET\n", 0o600, "twice")):
            with self.subTest(keys=keys), self.assertRaisesRegex(AssertionError, words):
                self.start(keys, mode)


class S3DirTest(unittest.TestCase):
    def setUp(self):
        self.broker = S3Broker()
        self.addCleanup(self.broker.__exit__)
        self.broker.start()

    def cases(self, server):
        done = subprocess.run([sys.executable, CASES, server.address, server.access_key, server.secret_key],
                              capture_output=True, text=True, timeout=200, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_boto3_sees_what_it_sees_of_versitygw(self):
        ours = self.cases(self.broker)
        with Versitygw() as gateway:
            theirs = self.cases(gateway)
        self.assertGreater(len(ours), 50)
        table = "\n".join(f"{name}: dir {ours[name]} versitygw {theirs.get(name)}"
                          for name in ours if ours[name] != theirs.get(name))
        self.assertEqual("", table)
        for name, result in ours.items():
            self.assertNotIn("Error: ", str(result), name)

    def test_rclone_copies_there_and_back(self):
        source, back = (os.path.join(self.broker.dir, name) for name in ("source", "back"))
        os.makedirs(os.path.join(source, "deep", "er"))
        for name, size in (("small", 5), ("deep/er/large", 12 << 20), ("deep/with space", 0)):
            with open(os.path.join(source, name), "wb") as file:
                file.write(os.urandom(size))
        environment = dict(os.environ, RCLONE_CONFIG=os.path.join(self.broker.dir, "none"),
                           RCLONE_CONFIG_Z_TYPE="s3", RCLONE_CONFIG_Z_PROVIDER="Other",
                           RCLONE_CONFIG_Z_ENDPOINT=self.broker.address,
                           RCLONE_CONFIG_Z_ACCESS_KEY_ID="AK", RCLONE_CONFIG_Z_SECRET_ACCESS_KEY="SECRETSECRET")
        rclone = os.path.join(os.path.dirname(sys.executable), "rclone")

        def run(*args):
            done = subprocess.run([rclone, "--retries", "1", *args], env=environment, capture_output=True, text=True,
                                  timeout=100, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        run("mkdir", "z:backup")
        run("copy", "--s3-chunk-size", "5M", "--s3-upload-cutoff", "5M", source, "z:backup/x")
        run("check", source, "z:backup/x")
        self.assertEqual(["deep/er/large", "deep/with space", "small"],
                         sorted(run("lsf", "-R", "--files-only", "z:backup/x").splitlines()))
        run("copy", "z:backup/x", back)
        self.assertEqual(0, subprocess.run(["diff", "-r", source, back], check=False).returncode)
        os.utime(os.path.join(source, "small"), (1, 1))
        run("sync", source, "z:backup/x")  # only the time is another: copied onto itself
        self.assertEqual("1970-01-01", json.loads(run("lsjson", "--stat", "z:backup/x/small"))["ModTime"][:10])
        run("move", "z:backup/x/deep", "z:backup/moved")
        run("check", os.path.join(source, "deep"), "z:backup/moved")
        run("purge", "z:backup")

    def test_curl(self):
        self.assertEqual(200, curl(self.broker, "PUT", "/curl-bucket")[0])
        self.assertEqual(200, curl(self.broker, "PUT", "/curl-bucket/a/b%20c", "--data-binary", "content")[0])
        self.assertEqual((200, b"content"), curl(self.broker, "GET", "/curl-bucket/a/b%20c"))
        self.assertEqual((206, b"ont"), curl(self.broker, "GET", "/curl-bucket/a/b%20c", "-H", "Range: bytes=1-3"))
        etag = hashlib.md5(b"content").hexdigest()
        for condition, status, body in ((f'"{etag}"', 206, b"ont"), (f'W/"{etag}"', 200, b"content"),
                                        ('"0123"', 200, b"content"), ("Sat, 01 Jan 2000 00:00:00 GMT", 200, b"content")):
            self.assertEqual((status, body), curl(self.broker, "GET", "/curl-bucket/a/b%20c", "-H", "Range: bytes=1-3",
                                                  "-H", f"If-Range: {condition}"))
        status, body = curl(self.broker, "GET", "/curl-bucket/a/b%20c", "-i", "-H", "Range: bytes=7-")
        self.assertEqual(416, status)
        self.assertIn(b"Content-Range: bytes */7\r\n", body)
        self.assertIn(b"<Key>a/b c</Key>", curl(self.broker, "GET", "/curl-bucket?list-type=2")[1])
        self.assertEqual(404, curl(self.broker, "GET", "/curl-bucket/missing")[0])

    def test_bad_input(self):
        broker = self.broker
        self.assertEqual(200, curl(broker, "PUT", "/bad-bucket")[0])
        for target, method, args, status, code in (
                ("/bad-bucket/%00", "PUT", ["--data-binary", "x"], 400, "InvalidURI"),
                ("/bad-bucket/%FF", "PUT", ["--data-binary", "x"], 400, "InvalidURI"),
                ("/bad-bucket/" + "a" * 1025, "PUT", ["--data-binary", "x"], 400, "KeyTooLongError"),
                ("/bad-bucket/" + "a" * 255, "PUT", ["--data-binary", "x"], 400, "KeyTooLongError"),
                ("/Bad_Bucket", "PUT", [], 400, "InvalidBucketName"),
                ("/objects-not/x", "GET", [], 404, "NoSuchBucket"),
                ("/metrics-x", "DELETE", [], 404, "NoSuchBucket"),
                ("/karton/no-uid", "PUT", ["--data-binary", "x"], 400, "InvalidArgument"),
                ("/bad-bucket?acl=", "GET", [], 501, "NotImplemented"),
                ("/bad-bucket?delete=", "POST", ["--data-binary", "<a>" * 30000], 400, "MalformedXML"),
                ("/bad-bucket?delete=", "POST", ["--data-binary", "<Delete><Quiet>" + "x" * 100000], 400, "MalformedXML"),
                ("/bad-bucket/k?partNumber=1&uploadId=..%2F..%2Fx", "PUT", ["--data-binary", "x"], 404, "NoSuchUpload"),
                ("/bad-bucket/k?uploadId=0123", "PUT", ["--data-binary", "x"], 400, "InvalidArgument"),
                ("/bad-bucket/k?partNumber=1", "PUT", ["--data-binary", "x"], 400, "InvalidArgument"),
                ("/bad-bucket/k?partNumber=1", "GET", [], 501, "NotImplemented"),
                ("/bad-bucket/k", "PUT", ["--data-binary", "x", "-H", "x-amz-tagging: a=b"], 501, "NotImplemented"),
                ("/bad-bucket/k", "PUT", ["--data-binary", "x", "-H", "x-amz-acl: public-read"], 501, "NotImplemented"),
                ("/bad-bucket/k", "PUT", ["--data-binary", "x", "-H", "x-amz-server-side-encryption: AES256"], 501,
                 "NotImplemented"),
                ("/bad-bucket/k", "GET", ["-H", "x-amz-server-side-encryption-customer-algorithm: AES256"], 501,
                 "NotImplemented"),
                ("/bad-bucket/k", "PUT", ["-H", "x-amz-copy-source: /no-such/b"], 404, "NoSuchBucket"),
                ("/bad-bucket/k", "PUT", ["-H", "x-amz-copy-source: /bad-bucket/none"], 404, "NoSuchKey"),
                ("/bad-bucket/k", "PUT", ["-H", "x-amz-copy-source: /bad-bucket/%zz"], 400, "InvalidArgument"),
                ("/bad-bucket/k", "PUT", ["-H", "x-amz-copy-source: bad-bucket"], 400, "InvalidArgument"),
                ("/bad-bucket/k", "PUT", ["-H", "x-amz-copy-source: /bad-bucket/none?versionId=1"], 501, "NotImplemented"),
                ("/bad-bucket/k", "PUT", ["-H", "x-amz-metadata-directive: REPLACE"], 501, "NotImplemented"),
                ("/bad-bucket/k", "GET", ["-H", "x-amz-copy-source: /bad-bucket/k"], 501, "NotImplemented"),
                ("/bad-bucket?metadataTable=", "DELETE", [], 501, "NotImplemented"),
                ("/bad-bucket/k?unheard=", "PUT", ["--data-binary", "x"], 501, "NotImplemented"),
                ("/bad-bucket?delimiter=%2F&uploads=", "GET", [], 501, "NotImplemented"),
                ("/bad-bucket/k", "PUT", ["--data-binary", "x", "-H", "x-amz-checksum-md17: AAAA"], 501, "NotImplemented"),
                ("/bad-bucket/k", "PUT", ["--data-binary", "x", "-H", "x-amz-trailer: x-amz-checksum-crc32"], 400,
                 "InvalidRequest"),
                ("/bad-bucket/k", "PUT", ["--data-binary", "x", "-H", "x-amz-checksum-crc32: AAAAAA==", "-H",
                                          "x-amz-checksum-crc32c: AAAAAA==", "-H", "x-amz-checksum-sha1: AAAA"], 400,
                 "InvalidRequest"),
                ("/bad-bucket/k", "PUT", ["--data-binary", "x", "-H", "If-Unmodified-Since: Tue, 01 Jan 2030 00:00:00 GMT"],
                 501, "NotImplemented"),
                ("/bad-bucket/k", "DELETE", ["-H", 'If-Match: "0123"'], 501, "NotImplemented"),
                ("/bad-bucket/k?uploadId=0123", "POST", ["--data-binary", "<a/>", "-H", "x-amz-checksum-crc32: AAAAAA=="], 501,
                 "NotImplemented"),
                ("/bad-bucket?delete=", "POST", ["--data-binary", "<Delete><Object><Key>k</Key></Object></Delete>", "-H",
                                                 "x-amz-checksum-crc32: AAAAAA=="], 400, "BadDigest"),
        ):
            with self.subTest(target=target[:60], args=[arg[:60] for arg in args]):
                got, body = curl(broker, method, target, *args)
                self.assertEqual((status, code), (got, re.search(b"<Code>(.*)</Code>", body)[1].decode()))
        self.assertEqual(404, curl(broker, "GET", "/bad-bucket/k")[0])
        self.assertEqual(200, curl(broker, "PUT", "/bad-bucket/k", "--data-binary", "x", "-H", "x-amz-acl: private", "-H",
                                   "x-amz-api-version: 2006-03-01")[0])  # as the C++ SDK sends it
        dots = "/bad-bucket/../../x"
        self.assertEqual(200, curl(broker, "PUT", dots, "--data-binary", "dots")[0])
        self.assertEqual((200, b"dots"), curl(broker, "GET", dots))
        outside = [os.path.join(folder, name) for folder, _, names in os.walk(broker.dir) for name in names
                   if name in ("x", "fx") and "/buckets/bad-bucket/d../d../" not in os.path.join(folder, name)]
        self.assertEqual([], outside)

    def test_of_two_puts_with_one_condition_one_is_taken(self):
        broker = self.broker
        self.assertEqual(200, curl(broker, "PUT", "/race")[0])
        self.assertEqual(200, curl(broker, "PUT", "/race/key", "--data-binary", "old")[0])
        for condition in ({"If-Match": f'"{hashlib.md5(b"old").hexdigest()}"'}, {"If-None-Match": "*"}):
            target = "/race/key" if "If-Match" in condition else "/race/new"
            with self.subTest(condition=condition):
                puts = [SlowPut(broker, target, body, condition) for body in (b"one", b"two")]
                self.assertEqual([b"HTTP/1.1 100"] * 2, [put.first[:12] for put in puts])
                self.assertEqual([200, 412], [put.finish() for put in puts])
                self.assertEqual((200, b"one"), curl(broker, "GET", target))
        late = SlowPut(broker, "/race/key", b"late", {"If-Match": "*"})
        self.assertEqual(204, curl(broker, "DELETE", "/race/key")[0])
        self.assertEqual(404, late.finish())

    def test_the_order_of_parts_comes_before_their_sizes(self):
        s3 = client(self.broker.address, self.broker.access_key, self.broker.secret_key)
        s3.create_bucket(Bucket="order")
        upload = s3.create_multipart_upload(Bucket="order", Key="key")["UploadId"]
        parts = [{"PartNumber": number, "ETag": s3.upload_part(Bucket="order", Key="key", UploadId=upload, PartNumber=number,
                                                               Body=b"small")["ETag"]} for number in (2, 1)]
        self.assertEqual("400 InvalidPartOrder", outcome(lambda: s3.complete_multipart_upload(
            Bucket="order", Key="key", UploadId=upload, MultipartUpload={"Parts": parts})))

    def test_a_completion_looks_at_its_conditions(self):
        s3 = client(self.broker.address, self.broker.access_key, self.broker.secret_key)
        s3.create_bucket(Bucket="whole")
        old = s3.put_object(Bucket="whole", Key="key", Body=b"old")["ETag"]
        upload = s3.create_multipart_upload(Bucket="whole", Key="key")["UploadId"]
        part = s3.upload_part(Bucket="whole", Key="key", UploadId=upload, PartNumber=1, Body=b"new")["ETag"]

        def complete(**condition):
            return outcome(lambda: s3.complete_multipart_upload(
                Bucket="whole", Key="key", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]},
                **condition)["ResponseMetadata"]["HTTPStatusCode"])

        self.assertEqual("412 PreconditionFailed", complete(IfNoneMatch="*"))
        self.assertEqual("412 PreconditionFailed", complete(IfMatch=part))
        self.assertEqual(b"old", s3.get_object(Bucket="whole", Key="key")["Body"].read())
        self.assertEqual(200, complete(IfMatch=old))
        self.assertEqual(b"new", s3.get_object(Bucket="whole", Key="key")["Body"].read())

    def test_what_is_damaged_is_not_copied(self):
        self.assertEqual(200, curl(self.broker, "PUT", "/some-bucket")[0])
        self.assertEqual(200, curl(self.broker, "PUT", "/some-bucket/old", "--data-binary", "content")[0])
        with open(os.path.join(self.broker.data, "objects", "buckets", "some-bucket", "fold"), "r+b") as file:
            file.write(b"C")
        status, body = curl(self.broker, "PUT", "/some-bucket/new", "-H", "x-amz-copy-source: /some-bucket/old")
        self.assertEqual((400, True), (status, b"XAmzContentSHA256Mismatch" in body))
        self.assertEqual(404, curl(self.broker, "GET", "/some-bucket/new")[0])

    def test_chunks_of_no_announced_length(self):  # as the C++ SDK sends them, on Transfer-Encoding: chunked
        broker = self.broker
        self.assertEqual(200, curl(broker, "PUT", "/open-ended")[0])

        def put(key, body, length=7):
            return curl(broker, "PUT", "/open-ended/" + key, "--data-binary", body, "-H", "Transfer-Encoding: chunked", "-H",
                        f"x-amz-decoded-content-length: {length}", payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")

        self.assertEqual((200, b""), put("key", "3\r\ncon\r\n4\r\ntent\r\n0\r\n\r\n"))
        self.assertEqual((200, b"content"), curl(broker, "GET", "/open-ended/key"))
        for body, length in (("7\r\ncontent\r\n", 7), ("7\r\ncontent\r\n0\r\n\r\n", 8), ("7\r\ncontent\r\n0\r\n\r\n", 6)):
            with self.subTest(body=body, length=length):
                status, answer = put("bad", body, length)
                self.assertEqual((400, True), (status, b"IncompleteBody" in answer), answer)
                self.assertEqual(404, curl(broker, "GET", "/open-ended/bad")[0])
        status, answer = curl(broker, "PUT", "/open-ended/bad", "--data-binary", "x", "-H", "Transfer-Encoding: chunked")
        self.assertEqual((411, True), (status, b"MissingContentLength" in answer))

    def test_a_key_that_only_reads(self):
        self.assertEqual(200, curl(self.broker, "PUT", "/some-bucket")[0])
        self.assertEqual(200, curl(self.broker, "GET", "/some-bucket", key="RO", secret="READSECRET")[0])
        self.assertEqual(403, curl(self.broker, "PUT", "/some-bucket/x", "--data-binary", "x", key="RO",
                                   secret="READSECRET")[0])

    def test_a_full_disk_refuses_files(self):
        self.broker.stop()
        free = shutil.disk_usage(self.broker.dir).free
        self.broker.options["store"]["min_free"] = str(free * 3 // 4)  # twice that is not free
        self.broker.start()
        self.assertEqual(200, curl(self.broker, "PUT", "/some-bucket")[0])
        status, body = curl(self.broker, "PUT", "/some-bucket/x", "--data-binary", "x")
        self.assertEqual(507, status, body)
        self.broker.run("zkarton", "send", "type=small")  # tasks still come in

    def test_objects_survive_a_kill_and_are_checked(self):
        self.assertEqual(200, curl(self.broker, "PUT", "/some-bucket")[0])
        self.assertEqual(200, curl(self.broker, "PUT", "/some-bucket/kept", "--data-binary", "content")[0])
        self.broker.kill()
        self.broker.start()
        self.assertEqual((200, b"content"), curl(self.broker, "GET", "/some-bucket/kept"))
        for folder in (self.broker.data, os.path.join(self.broker.data, "objects")):  # either; [object] path may be elsewhere
            code, out, _ = self.broker.run("zkarton", "store", "check", "--objects", folder)
            self.assertEqual((0, "objects=1 bytes=7 damaged=0 without_checksum=0\n"), (code, out))
        code, _, err = self.broker.run("zkarton", "store", "check", "--objects", self.broker.dir, check=False)
        self.assertEqual(5, code)
        self.assertIn("neither a data directory nor a folder of objects", err)
        with open(os.path.join(self.broker.data, "objects", "buckets", "some-bucket", "fkept"), "r+b") as file:
            file.write(b"C")
        code, out, _ = self.broker.run("zkarton-broker", "store", "check", "--objects", self.broker.data, check=False)
        self.assertEqual(1, code)
        self.assertIn("fkept: the content is not what was put", out)


if __name__ == "__main__":
    unittest.main()
