"""Real S3 servers for tests: SeaweedFS (support/seaweedfs.py) and versitygw, whose objects are plain files."""
import glob
import os
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from support.broker import SOURCE
from support.processes import Process
from support.seaweedfs import SeaweedFS, free_ports

DEADLINE_S = 30
BUCKET = "karton"


def server_program(name):
    """What ./dev installed."""
    return os.path.join(os.environ.get("ZKT_SERVERS", os.path.join(SOURCE, "build", "servers")), "bin", name)


class Versitygw:
    """with Versitygw() as s3: s3.address …; s3.kill() and s3.start() again on the same port and data."""

    access_key = "AK"
    secret_key = "SK"

    def __init__(self, args=(), is_secure=False, name="IP:127.0.0.1", ends=None):
        """is_secure: with a certificate for name, good for two days or until ends (YYYYMMDDHHMMSSZ)."""
        self.program = server_program("versitygw")
        self.args = list(args)  # of the backend
        self.dir = tempfile.mkdtemp(prefix="zkt-vgw-")
        self.certificate = os.path.join(self.dir, "certificate.pem") if is_secure else None
        self.gateway_args = self._make_certificate(name, ends) if is_secure else []
        self.data = os.path.join(self.dir, "data")
        self.versions = os.path.join(self.dir, "versions")
        os.mkdir(self.data)
        os.mkdir(self.versions)
        self.port = free_ports(1)[0]
        self.process = None

    @property
    def address(self):
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    def _make_certificate(self, name, ends):
        """One that vouches for itself, and for name only."""
        key = os.path.join(self.dir, "key.pem")
        ask = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=zkarton test",
               "-addext", "subjectAltName=" + name, "-keyout", key]
        if ends is None:
            subprocess.run([*ask, "-x509", "-days", "2", "-out", self.certificate], capture_output=True, check=True)
        else:  # only "ca" makes what has ended already
            request, config = os.path.join(self.dir, "request.pem"), os.path.join(self.dir, "ca.cnf")
            subprocess.run([*ask, "-out", request], capture_output=True, check=True)
            with open(config, "w", encoding="utf-8") as file:
                file.write(f"[ca]\ndefault_ca = own\n[own]\ndatabase = {self.dir}/index\nnew_certs_dir = {self.dir}\n"
                           "rand_serial = yes\ndefault_md = sha256\npolicy = any\ncopy_extensions = copy\n"
                           "[any]\ncommonName = supplied\n")
            with open(os.path.join(self.dir, "index"), "w", encoding="utf-8"):
                pass
            subprocess.run(["openssl", "ca", "-batch", "-config", config, "-selfsign", "-keyfile", key, "-in", request, "-notext",
                            "-startdate", "20200101000000Z", "-enddate", ends, "-out", self.certificate],
                           capture_output=True, check=True)
        return ["--cert", self.certificate, "--key", key]

    def objects(self, bucket=BUCKET):
        return glob.glob(os.path.join(self.data, bucket, "*", "????????-*"))

    def start(self):
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = Process(
                [self.program, "--port", f"127.0.0.1:{self.port}", *self.gateway_args, "posix", *self.args, self.data], cwd=self.dir,
                env=dict(os.environ, TMPDIR=self.dir, ROOT_ACCESS_KEY=self.access_key, ROOT_SECRET_KEY=self.secret_key),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + DEADLINE_S
        context = ssl.create_default_context()  # whether it answers, not who
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(self.address, timeout=5, context=context).close()
                return self
            except urllib.error.HTTPError:
                return self  # it wants a signature: S3 answers
            except OSError:
                time.sleep(0.02)  # nothing says that it is ready: asked until it answers
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as log:
            raise AssertionError(f"versitygw does not start:\n{log.read()[-4000:]}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def request(self, method, target, body=""):
        """A signed request: what S3 answers."""
        done = subprocess.run(
            ["curl", "-sS", "--aws-sigv4", "aws:amz:us-east-1:s3", "-u", f"{self.access_key}:{self.secret_key}",
             "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-X", method, "--data-binary", body,
             self.address + target], capture_output=True, text=True, timeout=DEADLINE_S, check=True)
        return done.stdout

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def servers():
    """(name and version as ./dev installs them, server that is not started) of each kind."""
    yield "SeaweedFS 4.48", SeaweedFS(program=server_program("weed"))
    yield "versitygw 1.8.0", Versitygw()


def s3_options(server, bucket=BUCKET, **more):
    """Sections of a broker's configuration."""
    return {"object": {"kind": "s3", **more},
            "s3": {"address": server.address, "access_key": server.access_key, "secret_key": server.secret_key,
                   "bucket": bucket}}
