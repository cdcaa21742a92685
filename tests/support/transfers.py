"""Transfers in tests: a broker whose object store is reached through a proxy that counts, cuts and refuses."""
import glob
import os

from support.broker import Broker, until
from support.proxy import Proxy


class Transfers:
    """For a TestCase: the broker is started, `proxy` stands before the directory store unless store_port says otherwise."""

    OPTIONS = {}  # of [object]
    ARGS = ()  # of the broker
    CONTENT = b""  # of files that are written without saying what

    def setUp(self):
        self.proxy = Proxy()
        self.proxy.__enter__()
        self.addCleanup(self.proxy.__exit__)
        self.broker = Broker(self.options(), args=self.ARGS)
        self.addCleanup(self.broker.__exit__)
        self.start()

    def options(self):
        return {"object": {"public_address": f"http://127.0.0.1:{self.proxy.port}", **self.OPTIONS},
                "store": {"finished_ttl": "1h", "min_free": "1MiB"}}

    def start(self):
        self.broker.start()
        self.proxy.target = self.store_port()

    def store_port(self):
        return int(self.broker.endpoints["http"].rsplit(":", 1)[1])

    def write(self, name, content=None):
        path = os.path.join(self.broker.dir, name)
        with open(path, "wb") as file:
            file.write(self.CONTENT if content is None else content)
        return path

    def objects(self):
        return glob.glob(os.path.join(self.broker.data, "objects", "??", "*"))

    def wait_for_objects(self, count):
        until(f"{count} objects", lambda: len(self.objects()) == count)
