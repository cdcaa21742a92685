"""What a test has started ends with it, also when the runner is killed and cleans nothing up."""
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import unittest

from support.broker import DEADLINE_S, SOURCE
from support.processes import Process
from support.seaweedfs import remove_sockets

RUNNER = """
import json, os, subprocess, sys
sys.path.insert(0, os.path.join(sys.argv[1], "tests"))
from support.broker import Broker
from support.karton import Redis, Zkarton
from support.python_client import Program
from support.s3 import Versitygw, server_program
from support.seaweedfs import SeaweedFS

with Broker() as broker, Redis() as redis, Versitygw() as gateway, Zkarton() as zkarton:
    weed = SeaweedFS(server_program("weed"))
    weed._spawn()
    processes = {"broker": broker.process, "redis": redis.process, "versitygw": gateway.process, "SeaweedFS": weed.process,
                 "command of a broker": broker.spawn("sleep", "1000"),
                 "Python service": Program(broker, "import time; time.sleep(1000)").process,
                 "Karton service": zkarton.spawn_command(["sleep", "1000"])}
    print(json.dumps([{name: process.pid for name, process in processes.items()}, list(weed.ports.values())]), flush=True)
    os.read(0, 1)
"""


class ProcessesTest(unittest.TestCase):
    def test_a_killed_runner_leaves_no_process(self):
        with tempfile.TemporaryDirectory(prefix="zkt-runner-") as folder:
            runner = Process([sys.executable, "-c", RUNNER, SOURCE], env=dict(os.environ, TMPDIR=folder),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.addCleanup(runner.stdin.close)
            self.addCleanup(runner.stdout.close)
            self.addCleanup(runner.wait)
            self.addCleanup(runner.kill)
            pids, ports = json.loads(runner.stdout.readline())
            self.addCleanup(remove_sockets, ports)
            self.assertEqual(len(pids), 7)
            handles = {name: os.pidfd_open(pid) for name, pid in pids.items()}  # readable when it has ended
            for handle in handles.values():
                self.addCleanup(os.close, handle)
            self.assertEqual(select.select(handles.values(), [], [], 0)[0], [])
            runner.kill()
            for name, handle in handles.items():
                with self.subTest(name=name):
                    ended = select.select([handle], [], [], DEADLINE_S)[0]
                    if not ended:
                        os.kill(pids[name], signal.SIGKILL)
                    self.assertEqual(ended, [handle])


if __name__ == "__main__":
    unittest.main()
