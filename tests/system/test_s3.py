"""The S3 store of the broker against real servers: the seam, the start, sweeping, versions, credentials, moving, a server away."""
import glob
import http.server
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from support.broker import SOURCE, Broker, bin_dir, tests_dir, until
from support.s3 import BUCKET, Versitygw, s3_options, servers
from support.zkp import Peer
from system.test_cli import Service


def broker_on(server, args=("--setup-bucket",), **more):
    return Broker(s3_options(server, **more), args=args)


def make_file(broker, content="content"):
    path = os.path.join(broker.dir, "file")
    with open(path, "w", encoding="utf-8") as file:
        file.write(content)
    return path


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class SeamTest(unittest.TestCase):
    def run_suite(self, server, bucket):
        environment = dict(os.environ, ZKT_S3_ADDRESS=server.address, ZKT_S3_ACCESS=server.access_key,
                           ZKT_S3_SECRET=server.secret_key, ZKT_S3_BUCKET=bucket)
        done = subprocess.run([os.path.join(tests_dir(), "object_suite"), "s3"], env=environment, capture_output=True,
                              text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout.count("[       OK ]")

    def test_the_seam_holds_over_every_server(self):
        for name, server in servers():
            with self.subTest(name), server:
                count = self.run_suite(server, "seam")
                self.assertGreaterEqual(count, 12)
                print(f"object store seam over {name}: {count} passed", flush=True)

    def test_nothing_is_left_in_a_bucket_with_versions(self):  # G5
        server = Versitygw()
        server.args = ["--versioning-dir", server.versions]
        with server:
            server.request("PUT", "/versions")
            server.request("PUT", "/versions?versioning=",
                           "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                           "<Status>Enabled</Status></VersioningConfiguration>")
            self.assertIn("Enabled", server.request("GET", "/versions?versioning="))
            self.run_suite(server, "versions")
            left = server.request("GET", "/versions?prefix=own%2F&versions=")
            self.assertNotIn("<VersionId>", left)


    def test_the_null_version_is_deleted_if_told_so(self):  # G5
        for deletes, left_count in (("no", 1), ("yes", 0)):
            server = Versitygw()
            server.args = ["--versioning-dir", server.versions]
            with self.subTest(deletes), server, broker_on(server, delete_null_versions=deletes) as broker:
                def worker():
                    return Service(broker, "exec", "t.one", "type=one", "--", "grep", "-q", "content", "{}")
                self.assertEqual(worker().stop(), 0)
                root = broker.run("zkarton", "send", "type=one", "-r", "sample=" + make_file(broker))[1].strip()
                server.request("PUT", f"/{BUCKET}?versioning=",
                               "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                               "<Status>Enabled</Status></VersioningConfiguration>")
                self.assertEqual(broker.stop(), 0)
                broker.start()  # sees that there are versions now
                self.assertIn("versions=yes", broker.log.text)
                with worker():
                    broker.run("zkarton", "wait", root, timeout=60)
                until("the delete", lambda: broker.metric("zkarton_objects_deleted_total") == 1)
                versions = server.request("GET", f"/{BUCKET}?versions=")
                self.assertEqual(versions.count("<VersionId>null</VersionId>"), left_count, versions)
                self.assertNotIn("<Key>", server.request("GET", f"/{BUCKET}?list-type=2"))
                broker.stop()


class PolicyTest(unittest.TestCase):
    """The rights that docs/objects.md names are enough, and for nothing else."""

    def policy(self, bucket, resources):
        """The one of the document, for a user and with these keys instead of one prefix."""
        text = read(os.path.join(SOURCE, "docs", "objects.md"))
        begin = text.index('    {"Version": "2012-10-17"')
        policy = json.loads(text[begin:text.index("\n\n", begin)])
        objects, whole = policy["Statement"]
        self.assertEqual(objects["Resource"], "arn:aws:s3:::NAME/zkt-0123456789ab/*")
        objects["Resource"] = [f"arn:aws:s3:::{bucket}/{resource}" for resource in resources]
        whole["Resource"] = f"arn:aws:s3:::{bucket}"
        for statement in policy["Statement"]:
            statement["Principal"] = {"AWS": ["USER"]}
        return json.dumps(policy)

    def test_it_is_enough_and_opens_nothing_else(self):
        server = Versitygw()
        server.gateway_args = ["--iam-dir", os.path.join(server.dir, "iam")]
        os.mkdir(server.gateway_args[1])
        with server:
            subprocess.run([server.program, "admin", "--access", server.access_key, "--secret", server.secret_key, "--endpoint-url",
                            server.address, "create-user", "--access", "USER", "--secret", "USERSECRET", "--role", "user"],
                           capture_output=True, check=True)
            for bucket in ("seam", BUCKET, "other"):
                server.request("PUT", "/" + bucket)
            server.request("PUT", "/other/key", "secret of others")
            server.request("PUT", "/seam?policy=", self.policy("seam", ["own/*", "other/*"]))
            root = server.access_key, server.secret_key
            server.access_key, server.secret_key = "USER", "USERSECRET"
            SeamTest.run_suite(self, server, "seam")
            broker = broker_on(server, args=())
            self.addCleanup(broker.__exit__)
            self.assertIn('access key "USER" may not list bucket "karton"', StartTest.refused(self, broker))
            prefix = "zkt-" + read(os.path.join(broker.data, "keys", "object.prefix"))
            server.access_key, server.secret_key = root
            server.request("PUT", f"/{BUCKET}?policy=", self.policy(BUCKET, [prefix + "/*"]))
            server.request("PUT", f"/{BUCKET}/key", "secret of others")
            server.access_key, server.secret_key = "USER", "USERSECRET"
            broker.start()
            with Service(broker, "exec", "t.one", "type=one", "--", "grep", "-q", "content", "{}"):
                broker.run("zkarton", "send", "type=one", "-r", "sample=" + make_file(broker), "--wait", timeout=60)
            until("the object's end", lambda: broker.metric("zkarton_objects_deleted_total") == 1)
            self.assertNotIn("OBJECT-STORE-REFUSED", broker.log.drain())
            broker.stop()
            for target in ("/other/key", "/other", "/other?list-type=2", f"/{BUCKET}/key"):
                self.assertIn("AccessDenied", server.request("GET", target), target)
            for target in ("/other/new", f"/{BUCKET}/new"):
                self.assertIn("AccessDenied", server.request("PUT", target, "x"), target)
                self.assertIn("AccessDenied", server.request("DELETE", target.replace("new", "key")), target)


class StartTest(unittest.TestCase):
    def refused(self, broker, environment=None):
        broker._write_ini()
        done = subprocess.run([os.path.join(bin_dir(), "zkarton-broker"), "-c", broker.ini, *broker.args],
                              env=dict(os.environ, **(environment or {})), capture_output=True, text=True, timeout=60,
                              check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("BROKER-READY", done.stderr)
        return done.stderr

    def test_a_start_says_what_is_wrong(self):  # G2
        with Versitygw() as server:
            broker = broker_on(server, args=())
            self.addCleanup(broker.__exit__)
            error = self.refused(broker)
            self.assertIn('[s3] bucket: there is no bucket "karton"', error)
            self.assertIn("--setup-bucket", error)
            broker.options["s3"]["secret_key"] = "wrong"
            self.assertIn("[s3] secret_key", self.refused(broker))
            broker.options["s3"].update(secret_key=server.secret_key, access_key="nobody")
            self.assertIn('[s3] access_key: ' + server.address + ' does not know "nobody"', self.refused(broker))
            del broker.options["s3"]["access_key"]
            self.assertIn("[s3] access_key and secret_key are missing", self.refused(broker))
            # The standard variables stand in (E5).
            del broker.options["s3"]["secret_key"]
            variables = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
            self.assertIn("there is no bucket", self.refused(broker, variables))

    def test_a_file_goes_through_and_away(self):
        with Versitygw() as server, broker_on(server) as broker:
            path = make_file(broker)
            with Service(broker, "exec", "t.one", "type=one", "--", "grep", "-q", "content", "{}") as service:
                broker.run("zkarton", "send", "type=one", "-r", "sample=" + path, "--wait", timeout=60)
                self.assertEqual(service.stop(), 0)
            until("the object's end", lambda: not server.objects())
            broker.stop()


class SecureTest(unittest.TestCase):
    """A server with a certificate of its own."""

    def test_only_a_certificate_that_is_known_is_taken(self):
        with Versitygw(is_secure=True) as server:
            broker = broker_on(server)
            self.addCleanup(broker.__exit__)
            error = StartTest.refused(self, broker)
            self.assertIn("[s3] ca_file", error)
            self.assertIn("certificate", error)
            broker.options["s3"]["ca_file"] = os.path.join(server.dir, "missing.pem")
            self.assertIn("[s3] ca_file", StartTest.refused(self, broker))
            # One that vouches for another server.
            with Versitygw(is_secure=True) as other:
                broker.options["s3"]["ca_file"] = other.certificate
                self.assertIn("[s3] ca_file", StartTest.refused(self, broker))
            broker.options["s3"]["ca_file"] = server.certificate
            broker.start()
            self.assertIn("OBJECT-STORE-READY", broker.log.text)
            self.assertTrue(os.path.isdir(os.path.join(server.data, BUCKET)))
            broker.stop()

    def test_what_does_not_hold_is_said(self):
        for reason, more in (("expired", {"ends": "20200201000000Z"}), ("127.0.0.1", {"name": "DNS:other.example"})):
            with self.subTest(reason), Versitygw(is_secure=True, **more) as server:
                broker = broker_on(server)
                self.addCleanup(broker.__exit__)
                broker.options["s3"]["ca_file"] = server.certificate
                error = StartTest.refused(self, broker)
                self.assertIn("[s3] ca_file", error)
                self.assertIn(server.address, error)
                self.assertIn(reason, error.split(server.address)[-1])


class RegionTest(unittest.TestCase):
    def test_a_wrong_region_is_named(self):
        server = Versitygw()
        server.gateway_args = ["--region", "eu-north-1"]
        with server:
            broker = broker_on(server)
            self.addCleanup(broker.__exit__)
            error = StartTest.refused(self, broker)
            self.assertIn("[s3] region", error)
            self.assertIn("us-east-1", error)
            broker.options["s3"]["region"] = "eu-north-1"
            broker.start()
            path = make_file(broker)
            with Service(broker, "exec", "t.one", "type=one", "--", "grep", "-q", "content", "{}"):
                broker.run("zkarton", "send", "type=one", "-r", "sample=" + path, "--wait", timeout=60)
            broker.stop()


class SweepTest(unittest.TestCase):
    """Objects are plain files of versitygw: strays are made and looked at directly."""

    def make_stray(self, server, prefix, number):
        folder = os.path.join(server.data, BUCKET, prefix)
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f"{number:08x}-0000-4000-8000-000000000001")
        with open(path, "w", encoding="utf-8") as file:
            file.write("x")
        os.utime(path, (1, 1))
        return path

    def prefix(self, broker):
        return "zkt-" + read(os.path.join(broker.data, "keys", "object.prefix"))

    def swept(self, server, sweep):
        with broker_on(server, sweep=sweep) as broker:
            own = self.make_stray(server, self.prefix(broker), 1)
            other = self.make_stray(server, "another", 1)
            plain = os.path.join(server.data, BUCKET, "plain")
            with open(plain, "w", encoding="utf-8") as file:
                file.write("x")
            os.utime(plain, (1, 1))
            broker.kill()
            broker.options["object"]["upload_grace"] = "1s"
            broker.start()  # the first walk is one grace after a start
            if sweep != "off":
                line = broker.log.wait_for("OBJECT-SWEPT")
                self.assertIn("unreferenced=1", line)
                until("the stray's end", lambda: not os.path.exists(own))
            left = [os.path.exists(path) for path in (own, other, plain)]
            broker.stop()
            return left

    def test_own_keys_are_swept_and_those_of_others_are_not(self):
        with Versitygw() as server:
            self.assertEqual(self.swept(server, "own"), [False, True, True])

    def test_all_means_all(self):
        with Versitygw() as server:
            self.assertEqual(self.swept(server, "all"), [False, False, False])

    def test_off_and_no_prefix_sweep_nothing(self):
        off = None
        with Versitygw() as server:
            for more in ({"sweep": "off"}, {"prefix": "", "sweep": "own"}):
                with self.subTest(**more), broker_on(server, upload_grace="1s", **more) as broker:
                    folder = os.path.join(server.data, BUCKET)
                    stray = self.make_stray(server, self.prefix(broker) if "prefix" not in more else "", 1)
                    other = self.make_stray(server, "another", 1)
                    # The objects of tasks go all the same, when their tasks do: under the bare uid without a prefix.
                    with Service(broker, "exec", "t.one", "type=one", "--", "grep", "-q", "content", "{}") as service:
                        broker.run("zkarton", "send", "type=one", "-r", "sample=" + make_file(broker), "--wait", timeout=60)
                        self.assertEqual(service.stop(), 0)
                    until("the object's end", lambda: broker.metric("zkarton_objects_deleted_total") == 1)
                    time.sleep(2)  # twice the grace, after which there would be a walk
                    self.assertEqual(broker.metric("zkarton_objects_listed_total"), 0)
                    left = glob.glob(os.path.join(folder, "????????-*")) + server.objects()
                    self.assertEqual(sorted(left), sorted([os.path.normpath(stray), other] + ([off] if off else [])))
                    off = stray
                    broker.stop()

    def test_many_are_swept_without_a_pause(self):
        count = 100000 if os.environ.get("ZKT_ROUNDS") == "500" else 3000
        with Versitygw() as server, broker_on(server) as broker:
            prefix = self.prefix(broker)
            for number in range(count):
                self.make_stray(server, prefix, number)
            broker.kill()
            broker.options["object"]["upload_grace"] = "1s"
            broker.start()
            with Service(broker, "exec", "t.small", "type=small", "--", "true"):
                start = time.monotonic()
                tasks_count = 0
                longest = 0.0
                while broker.metric("zkarton_objects_deleted_total") < count:
                    self.assertLess(time.monotonic() - start, 60 + count / 100)
                    begin = time.monotonic()
                    broker.run("zkarton", "send", "type=small", "--wait")
                    longest = max(longest, time.monotonic() - begin)
                    tasks_count += 1
                    broker.log.drain()  # a reader that does not read loses lines
            line = broker.log.wait_for("OBJECT-SWEPT")
            self.assertIn(f"listed={count} old={count} unreferenced={count}", line)
            self.assertEqual(broker.metric("zkarton_objects_swept_total"), count)
            self.assertEqual(broker.metric("zkarton_objects_unreferenced_total"), count)
            self.assertEqual(broker.metric("zkarton_janitor_waiting"), 0)
            self.assertEqual(broker.metric("zkarton_store_deletions"), 0)
            pause = broker.metric("zkarton_loop_pause_seconds_max")
            worked = broker.metric("zkarton_loop_cpu_seconds_max")
            print(f"{count} objects swept in {time.monotonic() - start:.1f} s, {tasks_count} tasks meanwhile (the slowest "
                  f"{longest * 1000:.0f} ms), longest turn of the loop {pause * 1000:.1f} ms, {worked * 1000:.1f} ms at work", flush=True)
            self.assertLess(pause, 0.1)
            self.assertLess(worked, 0.01)  # whoever else runs on this machine
            self.assertGreater(worked, 0)
            broker.stop()


class AwayTest(unittest.TestCase):
    """The server is not there for a while."""

    def test_tasks_flow_and_uploads_wait(self):
        away_s = 60 if os.environ.get("ZKT_ROUNDS") == "500" else 8
        with Versitygw() as server, broker_on(server) as broker:
            large = make_file(broker, "content " * 1000)
            with Service(broker, "exec", "t.small", "type=small", "--", "true"), \
                    Service(broker, "exec", "t.file", "type=file", "--", "grep", "-q", "content", "{}") as files:
                first = broker.run("zkarton", "send", "type=file", "-r", "sample=" + large)[1].strip()
                broker.run("zkarton", "wait", first, timeout=60)
                until("the object's end", lambda: not server.objects())
                server.kill()
                uploads = [broker.spawn(os.path.join(bin_dir(), "zkarton"), "send", "type=file", "-r", "sample=" + large,
                                        "--wait", "--timeout", "5m", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                           for _ in range(3)]
                start = time.monotonic()
                tasks_count = 0
                while time.monotonic() - start < away_s:
                    broker.run("zkarton", "send", "type=small", "--wait")
                    tasks_count += 1
                    broker.log.drain()
                self.assertGreater(tasks_count, 3)
                self.assertEqual([upload.poll() for upload in uploads], [None] * 3)
                server.start()
                for upload in uploads:
                    error = upload.communicate(timeout=120)[1].decode()
                    self.assertEqual(upload.returncode, 0, error)
                self.assertIsNone(files.process.poll())
                until("the end of all objects", lambda: not server.objects())
            pause = broker.metric("zkarton_loop_pause_seconds_max")
            print(f"S3 away for {away_s} s: {tasks_count} small tasks went through, 3 uploads waited and finished, longest turn "
                  f"of the loop {pause * 1000:.1f} ms", flush=True)
            self.assertLess(pause, 0.1)
            self.assertIsNone(broker.process.poll())
            broker.stop()

    def test_deletes_wait_for_a_server_that_hangs(self):
        with Versitygw() as server, broker_on(server) as broker:
            path = make_file(broker)
            service = Service(broker, "exec", "t.file", "type=file", "--", "true")
            self.addCleanup(service.__exit__)
            broker.run("zkarton", "send", "type=file", "-r", "sample=" + path, "--wait", timeout=60)
            until("the object's end", lambda: not server.objects())
            self.assertEqual(service.stop(), 0)
            broker.run("zkarton", "send", "type=file", "-r", "sample=" + path)
            self.assertEqual(len(server.objects()), 1)
            server.process.send_signal(signal.SIGSTOP)
            broker.run("zkarton", "delete", "t.file", "-y")
            until("the wish to delete", lambda: broker.metric("zkarton_janitor_waiting") == 1)
            # The broker ends at once although the request hangs, and a new one goes on.
            start = time.monotonic()
            self.assertEqual(broker.stop(), 0)
            self.assertLess(time.monotonic() - start, 5)
            self.assertEqual(len(server.objects()), 1)
            server.process.send_signal(signal.SIGCONT)
            broker.start()
            until("the object's end", lambda: not server.objects())
            broker.stop()

    def test_a_broker_starts_without_its_server(self):
        server = Versitygw()
        self.addCleanup(server.__exit__)
        with broker_on(server) as broker:
            self.assertIn("OBJECT-STORE-AWAY", broker.log.text)
            with Service(broker, "exec", "t.small", "type=small", "--", "true"):
                broker.run("zkarton", "send", "type=small", "--wait")
            server.start()
            broker.log.wait_for("OBJECT-STORE-READY")
            broker.stop()


class Metadata(http.server.BaseHTTPRequestHandler):
    """Stands in for the services that give keys: an instance's (version 2: with a token), a container's."""

    def answer(self, status, text=""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def keys(self):
        ends = time.gmtime(time.time() + self.server.lifetime_s)
        keys = {"Code": "Success", "AccessKeyId": "AK", "SecretAccessKey": "SK",
                "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", ends)}
        if self.server.has_token:
            keys["Token"] = "of a session"
        self.answer(200, json.dumps(keys))

    def do_PUT(self):
        is_right = self.path == "/latest/api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self.answer(*((200, "secret") if is_right else (400,)))

    def do_GET(self):
        roles = "/latest/meta-data/iam/security-credentials/"
        if self.server.is_broken:
            self.answer(500)
        elif self.path == "/container":
            self.keys() if self.headers.get("Authorization") == "Bearer x" else self.answer(401)
        elif self.headers.get("X-aws-ec2-metadata-token") != "secret":
            self.answer(401)
        elif self.path == roles:
            self.answer(200, "role\n")
        elif self.path == roles + "role":
            self.keys()
        else:
            self.answer(404)

    def log_message(self, *_):
        pass


class CredentialsTest(unittest.TestCase):  # E5
    def setUp(self):
        self.service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
        self.service.is_broken = self.service.has_token = False
        self.service.lifetime_s = 6
        thread = threading.Thread(target=self.service.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.service.server_close)
        self.addCleanup(self.service.shutdown)
        self.address = f"http://127.0.0.1:{self.service.server_port}"

    def broker(self, server, variables, **more):
        broker = broker_on(server)
        for name in ("access_key", "secret_key"):
            del broker.options["s3"][name]
        broker.options["s3"].update(iam_auth="yes", **more)
        for name, value in variables.items():
            os.environ[name] = value
            self.addCleanup(os.environ.pop, name, None)
        self.addCleanup(broker.__exit__)
        return broker

    def use(self, broker):
        path = make_file(broker)
        with Service(broker, "exec", "t.file", "type=file", "--", "grep", "-q", "content", "{}"):
            broker.run("zkarton", "send", "type=file", "-r", "sample=" + path, "--wait", timeout=60)

    def test_an_instance_gives_keys_and_they_are_renewed(self):
        with Versitygw() as server:
            broker = self.broker(server, {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.address}).start()
            self.assertIn("source=instance", broker.log.text)
            self.use(broker)
            broker.log.wait_for("OBJECT-CREDENTIALS source=instance")  # before the first ones end
            self.service.is_broken = True
            broker.log.wait_for("OBJECT-CREDENTIALS-FAILED")
            self.service.is_broken = False
            broker.stop()
            self.assertNotIn("SK", broker.log.text.replace("TASK", ""))

    def test_a_container_gives_keys(self):
        with Versitygw() as server:
            token = os.path.join(server.dir, "token")
            with open(token, "w", encoding="utf-8") as file:
                file.write("Bearer x\n")
            broker = self.broker(server, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": self.address + "/container",
                                          "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token}).start()
            self.assertIn("source=container", broker.log.text)
            self.use(broker)
            broker.stop()

    def test_the_token_of_a_session_is_sent(self):
        self.service.has_token = True
        with Versitygw() as server:  # which knows no sessions
            broker = self.broker(server, {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.address})
            self.assertIn("InvalidToken", StartTest.refused(self, broker))

    def test_a_token_goes_with_the_keys_of_its_source(self):
        with Versitygw() as server:  # which knows no token
            broker = broker_on(server)
            self.addCleanup(broker.__exit__)
            variables = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key,
                         "AWS_SESSION_TOKEN": "of a session"}
            for name, value in variables.items():
                os.environ[name] = value
                self.addCleanup(os.environ.pop, name, None)
            broker.start()  # the keys of the file are no session's
            broker.stop()
            broker.options["s3"]["session_token"] = "of another"
            self.assertIn("InvalidToken", StartTest.refused(self, broker))
            del broker.options["s3"]["access_key"], broker.options["s3"]["secret_key"]
            self.assertIn("[s3] session_token", StartTest.refused(self, broker))
            del broker.options["s3"]["session_token"]
            self.assertIn("InvalidToken", StartTest.refused(self, broker))

    def test_without_a_service_the_fixed_keys_are_used(self):
        self.service.is_broken = True
        with Versitygw() as server:
            broker = self.broker(server, {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.address},
                                 access_key=server.access_key, secret_key=server.secret_key).start()
            self.assertIn("source=keys", broker.log.text)
            self.use(broker)
            broker.stop()

    def test_without_a_service_and_keys_the_start_fails(self):
        self.service.is_broken = True
        with Versitygw() as server:
            broker = self.broker(server, {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.address})
            error = StartTest.refused(self, broker)
            self.assertIn("/latest/meta-data/iam/security-credentials/", error)


class MovingTest(unittest.TestCase):
    """From the directory to S3 while tasks flow."""

    def objects(self, broker):
        return [name for name in glob.glob(os.path.join(broker.data, "objects", "??", "*-*")) if os.path.isfile(name)]

    def send(self, broker, number):
        path = make_file(broker, f"content {number}")
        return broker.run("zkarton", "send", "type=moved", "-r", "sample=" + path)[1].strip()

    def test_objects_move_while_tasks_flow(self):
        with Versitygw() as server, Broker() as broker:
            def worker():
                return Service(broker, "exec", "t.moved", "type=moved", "--", "grep", "-q", "content", "{}")
            self.assertEqual(worker().stop(), 0)  # it is registered, and nobody takes its tasks for now
            roots = [self.send(broker, number) for number in range(20)]
            self.assertEqual(len(self.objects(broker)), 20)
            code, _, error = broker.run("zkarton", "store", "migrate-objects", "-c", broker.ini, check=False)
            self.assertEqual(code, 2, error)
            self.assertIn("[object] kind is not s3", error)
            for section, values in s3_options(server, migrate_from="dir").items():
                broker.options.setdefault(section, {}).update(values)
            broker._write_ini()
            code, _, error = broker.run("zkarton", "store", "migrate-objects", "-c", broker.ini, check=False)
            self.assertEqual(code, 1, error)
            self.assertIn("would not find what is moved", error)  # the one that runs was not told
            broker.stop()
            broker.args = ["--setup-bucket"]
            broker.start()
            roots += [self.send(broker, number) for number in range(20, 25)]
            self.assertEqual((len(self.objects(broker)), len(server.objects())), (20, 5))
            # Some are read through the old store, the others after they have moved.
            with worker():
                broker.run("zkarton", "wait", *roots[20:], timeout=60)
                broker.run("zkarton", "wait", *roots[:20], timeout=60)
            until("the end of all", lambda: not self.objects(broker) and not server.objects())
            roots = [self.send(broker, number) for number in range(25, 30)]
            # What was put into the old store by an older URL.
            broker.stop()
            for section in ("object", "s3"):
                broker.options.pop(section)
            broker.args = []
            broker.start()
            old = [self.send(broker, number) for number in range(30, 40)]
            broker.stop()
            for section, values in s3_options(server, migrate_from="dir").items():
                broker.options.setdefault(section, {}).update(values)
            broker.start()
            self.assertEqual((len(self.objects(broker)), len(server.objects())), (10, 5))
            _, said, _ = broker.run("zkarton", "store", "migrate-objects", "-c", broker.ini)
            self.assertIn("10 objects moved", said)
            self.assertEqual((len(self.objects(broker)), len(server.objects())), (0, 15))
            self.assertIn("0 objects moved", broker.run("zkarton", "store", "migrate-objects", "-c", broker.ini)[1])
            with worker():  # by a URL of the old store, which sends on
                broker.run("zkarton", "wait", *roots, *old, timeout=60)
            until("the end of all", lambda: not server.objects())
            broker.stop()


    COUNT = 150

    def prepare(self, server, broker):
        """A task with many resources in the directory, and a broker that is told to move."""
        def worker():
            return Service(broker, "exec", "t.many", "type=many", "--", "sh", "-c",
                           f"test $(cat in/* | grep -c '^content ') -eq {self.COUNT}")
        self.assertEqual(worker().stop(), 0)
        resources = []
        for number in range(self.COUNT):
            path = os.path.join(broker.dir, f"file{number}")
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"content {number}\n")
            resources += ["-r", f"r{number}={path}"]
        root = broker.run("zkarton", "send", "type=many", *resources, timeout=60)[1].strip()
        self.assertEqual(len(self.objects(broker)), self.COUNT)
        broker.stop()
        for section, values in s3_options(server, migrate_from="dir").items():
            broker.options.setdefault(section, {}).update(values)
        broker.args = ["--setup-bucket"]
        broker.start()
        return worker, root

    def test_a_kill_in_the_middle_loses_nothing(self):
        with Versitygw() as server, Broker() as broker:
            worker, root = self.prepare(server, broker)
            names = {os.path.basename(path) for path in self.objects(broker)}
            for _ in range(2):
                before = len(server.objects())
                moving = broker.spawn(os.path.join(bin_dir(), "zkarton-broker"), "store", "migrate-objects", "-c", broker.ini,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                until("that some have moved", lambda: len(server.objects()) >= before + 5)
                moving.kill()
                moving.wait()
                left, moved = self.objects(broker), server.objects()
                self.assertEqual({os.path.basename(path) for path in left + moved}, names)
                self.assertTrue(left and moved)
            self.assertIn("objects moved", broker.run("zkarton", "store", "migrate-objects", "-c", broker.ini, timeout=60)[1])
            self.assertEqual({os.path.basename(path) for path in server.objects()}, names)
            self.assertEqual(self.objects(broker), [])
            with worker():
                broker.run("zkarton", "wait", root, timeout=60)
            until("the end of all", lambda: not server.objects())
            broker.stop()

    def test_what_is_damaged_or_no_tasks_stays(self):
        with Versitygw() as server, Broker() as broker:
            self.COUNT = 3
            with Peer(broker.endpoints["broker"]) as peer:
                peer.hello()
                uid = os.urandom(16)
                peer.send("UPLOAD", {"items": [{"uid": uid, "size": 1 << 30, "sha256": bytes(32)}]})
                peer.expect("URLS")
                peer.send("PARTS", {"uid": uid, "first": 1, "count": 1})
                self.assertTrue(peer.expect("PART_URLS")["upload"])
            self.prepare(server, broker)
            damaged = self.objects(broker)[0]
            with open(damaged, "r+b") as file:
                file.write(b"C")
            os.mkdir(os.path.join(broker.data, "objects", "buckets", "of-a-client"))
            for _ in range(2):
                code, said, error = broker.run("zkarton", "store", "migrate-objects", "-c", broker.ini, check=False)
                self.assertEqual(code, 1, error)
                self.assertIn("1 stay", said)
                self.assertIn(f"object {os.path.basename(damaged)} stays: the content is not what was put", error)
                self.assertIn("1 buckets of S3 clients stay", error)
                self.assertIn("1 unfinished uploads in parts stay", error)
                self.assertEqual((self.objects(broker), len(server.objects())), ([damaged], 2))
            broker.stop()


class DemoTest(unittest.TestCase):
    """The demo on every store, by one line of configuration (and the section [s3] that a Karton has)."""

    def run_demo(self, name, lines):
        with tempfile.NamedTemporaryFile("w", suffix=".ini", encoding="utf-8") as file:
            file.write(lines)
            file.flush()
            done = subprocess.run([os.path.join(SOURCE, "worker", "samples", "demo"), "--config=" + file.name],
                                  env=dict(os.environ, ZKT_BIN=bin_dir()), stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        print(f"demo on {name}: as expected", flush=True)

    def test_in_memory(self):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
            self.run_demo("a directory in memory", f"[object]\npath = {path}/objects\n")
            self.assertEqual(len(os.listdir(path)), 1)

    def test_on_every_server(self):
        for name, server in servers():
            with self.subTest(name), server:
                s3 = "".join(f"{key} = {value}\n" for key, value in s3_options(server)["s3"].items())
                self.run_demo(name, f"[object]\nkind = s3\n[s3]\n{s3}")


if __name__ == "__main__":
    unittest.main()
