"""One consumer served by workers of three kinds: two of C, two of Python, one shell command (T7, S4)."""
import collections
import os
import signal
import subprocess
import sys
import unittest

from support.broker import SOURCE, Broker, bin_dir, tests_dir, until
from support.processes import Process
from support.zkp import Peer

TASKS = 10000
IDENTITY = "test.mixed"


class MixedTest(unittest.TestCase):
    def setUp(self):
        self.broker = Broker({"broker": {"expiry": "5s"}}).start()
        self.addCleanup(self.broker.__exit__)
        self.workers = {}
        self.addCleanup(self.end_workers)

    def end_workers(self):
        for process in self.workers.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def journal(self, name):
        return os.path.join(self.broker.dir, name + ".journal")

    def spawn(self, name, *args):
        environment = dict(self.broker.environment, PYTHONPATH=os.path.join(SOURCE, "worker", "python"), JOURNAL=self.journal(name))
        with open(os.path.join(self.broker.dir, name + ".stderr"), "ab") as stderr:
            self.workers[name] = Process(args, env=environment, cwd=self.broker.dir, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=stderr)
        self.broker.log.wait_for("WORKER-JOINED", 60)

    def query(self, what):
        with Peer(self.broker.endpoints["broker"]) as watcher:
            watcher.hello("operator", "test.watcher")
            watcher.send("QUERY", {"what": what, "identity": IDENTITY})
            return watcher.expect("ANSWER")["rows"]

    def test_each_task_exactly_once_and_nobody_evicted(self):
        library = os.path.join(tests_dir(), "library")
        python = os.path.join(SOURCE, "tests", "system", "programs", "mixed_worker.py")
        self.spawn("c1", library, "serve", IDENTITY, self.journal("c1"))  # registers type=IDENTITY; the others join
        self.spawn("c2", library, "serve", IDENTITY, self.journal("c2"), "--join")
        self.spawn("py1", sys.executable, python, IDENTITY, self.journal("py1"))
        self.spawn("py2", sys.executable, python, IDENTITY, self.journal("py2"))
        self.spawn("shell", os.path.join(bin_dir(), "zkarton"), "exec", IDENTITY, "--join", "--",
                   "sh", "-c", 'echo "run $ZKT_UID $ZKT_ATTEMPT" >> "$JOURNAL"')
        bind = self.query("consumer")[0]
        self.assertEqual((bind["workers"], bind["filters"]), (5, [{"type": IDENTITY}]))
        done = subprocess.run([library, "produce", str(TASKS), IDENTITY], env=self.broker.environment, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        roots = [line.split() for line in done.stdout.decode().splitlines()]
        self.assertEqual((len(roots), {taken for _, taken in roots}), (TASKS, {"1"}))
        for root, _ in roots[:: max(TASKS // 20, 1)] + roots[-1:]:
            self.broker.run("zkarton", "wait", root, timeout=120)
        until("the last ones are through", lambda: sum(self.query("queues")[0][key] for key in ("normal", "running")) == 0)
        self.assertEqual(self.query("queues")[0]["crashed"], 0)
        after = self.query("consumer")[0]
        self.assertEqual((after["workers"], after["filters"], after["info"]), (5, bind["filters"], bind["info"]))
        for name, process in self.workers.items():
            self.assertIsNone(process.poll(), name)  # nobody was retired
            process.send_signal(signal.SIGTERM)
        for name, process in self.workers.items():
            self.assertEqual(process.wait(30), 0, name)
        runs, shares = collections.Counter(), {}
        for name in self.workers:
            with open(self.journal(name), encoding="utf-8") as file:
                lines = [line.split() for line in file if line.startswith("run ")]
            shares[name] = len(lines)
            runs.update(uid.rpartition(":")[2] for _, uid, _ in lines)
            self.assertEqual({attempt for _, _, attempt in lines}, {"1"}, name)
        self.assertEqual((len(runs), set(runs.values())), (TASKS, {1}), shares)
        self.assertTrue(all(shares.values()), shares)
        self.assertEqual(self.broker.log.drain().count("BIND-SET"), 1)


if __name__ == "__main__":
    unittest.main()
