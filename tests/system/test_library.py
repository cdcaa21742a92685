"""libzkarton against a real broker, as C programs (programs/library.c)."""
import json
import os
import signal
import subprocess
import unittest

from support.broker import Broker, LineReader, tests_dir
from support.processes import Process


class LibraryTest(unittest.TestCase):
    def setUp(self):
        self.broker = Broker().start()
        self.addCleanup(self.broker.__exit__)
        self.program = os.path.join(tests_dir(), "library")
        self.journal = os.path.join(self.broker.dir, "journal")
        self.children = []
        self.addCleanup(self.end_children)

    def end_children(self):
        for process in self.children:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()

    def spawn(self, *args):
        with open(os.path.join(self.broker.dir, "stderr"), "ab") as stderr:  # a pipe nobody reads would fill up
            process = self.broker.spawn(self.program, *args, stdout=subprocess.PIPE, stderr=stderr)
        self.children.append(process)
        return process

    def serve(self, identity, *options):
        """A worker that is registered."""
        process = self.spawn("serve", identity, self.journal, *options)
        self.broker.log.wait_for(f"identity={identity}")
        return process

    def call(self, *args, timeout=60):
        done = subprocess.run([self.program, *args], env=self.broker.environment, cwd=self.broker.dir,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout.decode()

    def send(self, *words):
        _, out, _ = self.broker.run("zkarton", "send", *words)
        return out.split()[0]

    def wait(self, root, check=True):
        return self.broker.run("zkarton", "wait", root, check=check)

    def steps(self):
        if not os.path.exists(self.journal):
            return []
        with open(self.journal, encoding="utf-8") as file:
            return [line.split() for line in file]

    def wait_until_delivered(self, process, number):
        pending = 1
        while pending:
            with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
                fields = dict(line.split(":", 1) for line in file if line.startswith(("SigPnd", "ShdPnd")))
            pending = sum(int(mask, 16) >> (number - 1) & 1 for mask in fields.values())

    def wait_for_step(self, step):
        """The first line of the journal with that step; it is written through, so a reader sees it grow."""
        follower = Process(["tail", "-n", "+1", "-F", self.journal], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL)
        try:
            return LineReader(follower.stdout).wait_for(step).split()
        finally:
            follower.kill()
            follower.wait()
            follower.stdout.close()

    def test_every_posted_task_is_durable_and_processed(self):  # S1, S4, S7
        worker = self.serve("lib.plain")
        lines = self.call("produce", "500", "lib.plain").splitlines()
        self.assertEqual(len(lines), 500)
        self.assertEqual({line.split()[1] for line in lines}, {"1"})
        for line in lines[-1:] + lines[:1]:
            self.wait(line.split()[0])
        worker.send_signal(signal.SIGTERM)
        self.assertEqual(worker.wait(30), 0)
        self.assertEqual(sum(step[0] == "run" for step in self.steps()), 500)

    def test_a_file_goes_through(self):  # B2, B4
        self.serve("lib.file")
        self.serve("child")
        path = os.path.join(self.broker.dir, "sample.bin")
        with open(path, "wb") as file:
            file.write(os.urandom(3 << 20))
        _, finished, crashed = self.call("file", path, "lib.file").split()
        self.assertEqual((finished, crashed), ("3", "0"))

    def test_children_of_a_crashed_task_stay(self):  # P4
        self.serve("lib.crash")
        self.serve("child")
        root = self.send("type=lib.crash", "do=crash-after-child")
        code, _, _ = self.wait(root, check=False)
        self.assertEqual(code, 1)
        runs = [step for step in self.steps() if step[0] == "end"]
        self.assertEqual(len(runs), 1)

    def test_children_of_a_crashed_transactional_task_never_appear(self):
        self.serve("lib.crash", "--transactional")
        self.serve("child")
        root = self.send("type=lib.crash", "do=crash-after-child")
        self.wait(root, check=False)
        self.assertEqual([step[0] for step in self.steps()], ["run", "fail"])

    def test_a_thousand_children_posted(self):
        self.serve("lib.many", "--transactional")
        root = self.send("type=lib.many", "do=many")
        self.wait(root)
        self.assertEqual([step[0] for step in self.steps()], ["run", "end"])
        self.assertEqual(self.broker.run("zkarton", "tasks", "--root", root)[0], 0)

    def test_a_busy_process_keeps_its_lease_for_two_expiries(self):  # S25
        self.serve("lib.busy")
        root = self.send("type=lib.busy", "do=spin", "ms:=4500")
        self.wait(root)
        self.assertEqual([step[0] for step in self.steps()], ["run", "end"])

    def test_a_killed_broker_is_invisible_to_process(self):
        self.serve("lib.busy")
        root = self.send("type=lib.busy", "do=spin", "ms:=1500")
        self.wait_for_step("run")
        self.broker.kill()
        self.broker.start()
        self.wait(root)
        self.assertEqual([step[0] for step in self.steps()], ["run", "end"])
        self.assertEqual(self.steps()[0][2], "1")

    def test_a_killed_broker_is_invisible_to_a_producer(self):
        self.serve("lib.plain")
        producer = self.spawn("produce", "20000", "lib.plain")
        out = LineReader(producer.stdout)
        out.wait_for("-")
        self.broker.kill()
        self.broker.start()
        while len(out.drain().splitlines()) < 20000:
            out.wait_for("-")
        self.assertEqual(producer.wait(60), 0)
        roots = [line.split()[0] for line in out.text.splitlines()]
        self.assertEqual(len(set(roots)), 20000)
        self.wait(roots[-1])

    def test_a_timeout_crashes_the_task_and_the_worker_serves_on(self):  # P5
        self.serve("lib.slow", "--task-timeout", "1")
        root = self.send("type=lib.slow", "do=spin", "ms:=1000000")
        self.assertEqual(self.wait(root, check=False)[0], 1)
        self.wait(self.send("type=lib.slow"))
        self.assertEqual([step[0] for step in self.steps()], ["run", "cancelled", "fail", "run", "end"])

    def test_a_worker_whose_every_thread_is_stuck_ends(self):  # P5
        worker = self.serve("lib.stuck", "--task-timeout", "1")
        root = self.send("type=lib.stuck", "do=deaf")
        self.assertEqual(self.wait(root, check=False)[0], 1)
        self.assertEqual(worker.wait(30), 1)

    def test_the_first_signal_finishes_the_second_interrupt_gives_back(self):  # P6, P10
        worker = self.serve("lib.busy")
        root = self.send("type=lib.busy", "do=spin", "ms:=1000")
        self.wait_for_step("run")
        worker.send_signal(signal.SIGTERM)
        worker.send_signal(signal.SIGTERM)  # repeated: ignored
        self.assertEqual(worker.wait(30), 0)
        self.wait(root)
        os.unlink(self.journal)
        worker = self.serve("lib.busy")
        root = self.send("type=lib.busy", "do=spin", "ms:=100000")
        self.wait_for_step("run")
        worker.send_signal(signal.SIGINT)
        self.wait_until_delivered(worker, signal.SIGINT)  # two that wait would be one
        worker.send_signal(signal.SIGINT)
        self.assertEqual(worker.wait(30), 130)
        _, out, _ = self.broker.run("zkarton", "-o", "json", "tasks", "--root", root)
        self.assertEqual([json.loads(line)["state"] for line in out.splitlines()], ["Spawned"])

    def test_a_stopped_worker_is_fenced_when_it_wakes(self):
        worker = self.serve("lib.busy")
        root = self.send("type=lib.busy", "do=spin", "ms:=3000")
        self.wait_for_step("run")
        worker.send_signal(signal.SIGSTOP)
        self.broker.log.wait_for("lib.busy", 30)
        second = self.serve("lib.busy")
        self.wait(root)
        worker.send_signal(signal.SIGCONT)
        for process in (worker, second):
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(30), 0)
        attempts = [step[2] for step in self.steps() if step[0] == "end"]
        self.assertIn("2", attempts)

    def test_debug_mode(self):  # S26, S27
        follower = LineReader(self.spawn("events", "log.", "1").stdout)
        follower.wait_for("ready")
        worker = self.spawn("serve", "lib.debug", self.journal, "--debug")
        line = self.broker.log.wait_for("identity=lib.debug-")
        self.assertRegex(line, r"identity=lib\.debug-[0-9a-f]{8}-dev")
        root = self.send("type=lib.debug")
        self.wait(root)
        self.assertEqual(follower.drain(), "ready\n")  # nothing was published
        worker.send_signal(signal.SIGTERM)
        self.assertEqual(worker.wait(30), 0)

    def test_log_records_are_published(self):  # S13
        process = self.spawn("events", "log.info.lib.plain", "2")
        follower = LineReader(process.stdout)
        follower.wait_for("ready")
        self.serve("lib.plain")
        self.send("type=lib.plain", "do=nothing")
        started = json.loads(follower.wait_for("log.info.lib.plain").split(" ", 1)[1])
        self.assertEqual(started["task_id"], "(no task)")
        record = json.loads(follower.wait_for("log.info.lib.plain").split(" ", 1)[1])
        self.assertEqual(record["message"], "doing nothing")
        self.assertEqual(record["levelname"], "INFO")
        self.assertEqual(record["funcName"], "process")
        self.assertEqual(record["type"], "log")
        self.assertEqual(json.loads(record["task"])["headers"]["receiver"], "lib.plain")
        self.assertEqual(process.wait(30), 0)


if __name__ == "__main__":
    unittest.main()
