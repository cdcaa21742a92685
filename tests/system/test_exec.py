"""`zkarton exec` with real processes: signals, lost workers, leftovers, children that `zkarton send` leaves."""
import json
import os
import signal
import unittest

from support.broker import Broker, until
from system.test_cli import Service



def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class ExecTest(unittest.TestCase):
    def setUp(self):
        self.broker = Broker({"store": {"finished_ttl": "1h"}})
        self.addCleanup(self.broker.__exit__)
        self.broker.start()
        self.temp = os.path.join(self.broker.dir, "temp")
        os.mkdir(self.temp)
        os.environ["TMPDIR"] = self.temp
        self.addCleanup(os.environ.pop, "TMPDIR")

    def service(self, identity, *args):
        return Service(self.broker, "exec", identity, *args)

    def run_ok(self, *args, **options):
        return self.broker.run("zkarton", *args, **options)[1]

    def send(self, *args):
        return self.run_ok("send", *args).strip()

    def queue(self, identity):
        return json.loads(self.run_ok("queues", identity, "-o", "json"))

    def tree(self, root):
        return [json.loads(line) for line in self.run_ok("tree", root, "-o", "json").splitlines()]

    def path(self, name):
        return os.path.join(self.broker.dir, name)

    def wait_for_file(self, name):
        until(name, lambda: os.path.exists(self.path(name)) and os.path.getsize(self.path(name)) > 0)
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def test_zkarton_send_inside_makes_children(self):
        script = ("zkarton send --derive type=child kind=derived made=yes && printf '%s\\0' 'a b' c > list && "
                  "echo one > 'a b' && echo two > c && zkarton send type=child --each0 sample -p level:=2 < list && "
                  "zkarton send type=child kind=same -r sample=in/sample && "
                  "zkarton send --new-analysis type=apart kind=new")
        with self.service("t.parent", "type=parent", "--", "sh", "-ec", script), \
                self.service("t.child", "type=child", "--", "sh", "-c", "cat in/sample; echo $ZKT_PARENT"), \
                self.service("t.apart", "type=apart", "--", "sh", "-c", "test -z \"$ZKT_PARENT\""):
            with open(self.path("orig"), "w", encoding="utf-8") as file:
                file.write("original")
            root = self.send("type=parent", "-p", "level:=1", "-r", "sample=" + self.path("orig"))
            self.run_ok("wait", root)
            rows = self.tree(root)
            parent, = [row for row in rows if row["identity"] == "t.parent"]
            children = sorted((row for row in rows if row["identity"] == "t.child"), key=lambda row: row["uid"])
            self.assertEqual({row["parent"] for row in children}, {parent["uid"]})
            self.assertEqual([row["headers"].get("kind") for row in children], ["derived", None, None, "same"])  # in order
            names = [row["resources"][0]["name"] for row in children]
            self.assertEqual(names, ["orig", "a b", "c", "orig"])
            self.assertEqual({row["resources"][0]["uid"] for row in (children[0], children[3])},
                             {parent["resources"][0]["uid"]})  # by reference, not copied
            self.assertEqual(children[0]["headers"]["made"], "yes")
            self.assertFalse([row for row in rows if row["identity"] == "t.apart"])

    def test_children_of_a_failed_command_never_appear(self):
        with self.service("t.parent", "type=parent", "--", "sh", "-c", "zkarton send type=child; exit 1"), \
                self.service("t.child", "type=child", "--", "true"):
            root = self.send("type=parent")
            self.assertEqual(self.broker.run("zkarton", "wait", root, check=False)[0], 1)
            self.assertEqual([row["identity"] for row in self.tree(root)], ["t.parent"])

    def test_sigterm_finishes_the_task_and_leaves_nothing(self):
        with self.service("t.slow", "type=slow", "--", "sh", "-c",
                          f"echo $$ > {self.path('pid')}; while ! [ -e {self.path('go')} ]; do sleep 0.02; done") as service:
            root = self.send("type=slow")
            self.wait_for_file("pid")
            service.process.terminate()
            with open(self.path("go"), "w", encoding="utf-8"):
                pass
            self.assertEqual(service.stop(), 0)
            self.run_ok("wait", root)
            self.assertEqual([row["state"] for row in self.tree(root)], ["Finished"])
            self.assertEqual(os.listdir(self.temp), [])

    def test_the_second_interrupt_kills_and_requeues(self):  # P6 mended, P10
        script = f"echo $$ > {self.path('pid')}; trap '' TERM INT; while :; do sleep 1000; done"
        with self.service("t.deaf", "type=deaf", "--", "sh", "-c", script) as service:
            root = self.send("type=deaf")
            pid = int(self.wait_for_file("pid"))
            service.process.send_signal(signal.SIGINT)
            with self.assertRaises(Exception):
                service.process.wait(0.3)
            service.process.send_signal(signal.SIGINT)
            self.assertEqual(service.process.wait(30), 130)
            self.assertFalse(is_alive(pid))
            self.assertEqual(os.listdir(self.temp), [])
            until("the task is queued again", lambda: [row["state"] for row in self.tree(root)] == ["Spawned"])

    def test_a_killed_worker_takes_its_command_along(self):
        script = (f"setsid sh -c 'echo $$ > {self.path('daemon')}; exec sleep 1000' & "
                  f"while ! [ -s {self.path('daemon')} ]; do sleep 0.02; done; echo $$ > {self.path('pid')}; sleep 1000")
        with self.service("t.killed", "type=killed", "--", "sh", "-c", script) as service:
            self.send("type=killed")
            pid = int(self.wait_for_file("pid"))
            daemon = int(self.wait_for_file("daemon"))
            service.process.kill()
            service.process.wait()
            until("command and daemon are gone", lambda: not is_alive(pid) and not is_alive(daemon))
        self.assertNotEqual(os.listdir(self.temp), [])
        with self.service("t.other", "type=other", "--", "true") as service:  # sweeps what the killed one left
            bases = [name for name in os.listdir(self.temp) if name.startswith("zkarton-exec-")]
            self.assertEqual(len(bases), 1)
            self.assertEqual(service.stop(), 0)

    def test_a_lost_lease_stops_the_command(self):
        script = f"echo $$ > {self.path('pid')}; exec sleep 1000"
        with self.service("t.frozen", "type=frozen", "--", "sh", "-c", script) as service:
            root = self.send("type=frozen")
            pid = int(self.wait_for_file("pid"))
            until("its Started is heard", lambda: [row["state"] for row in self.tree(root)] == ["Started"])
            service.process.send_signal(signal.SIGSTOP)
            try:
                until("the lease expires", lambda: [row["state"] for row in self.tree(root)] == ["Spawned"])
            finally:
                os.remove(self.path("pid"))
                service.process.send_signal(signal.SIGCONT)
            until("the old run is stopped", lambda: not is_alive(pid))
            self.assertNotEqual(int(self.wait_for_file("pid")), pid)  # and it runs again

    def test_status_75_gives_the_task_back(self):
        script = f"[ -e {self.path('second')} ] && exit 0; touch {self.path('second')}; exit 75"
        with self.service("t.later", "type=later", "--", "sh", "-c", script):
            root = self.send("type=later")
            self.run_ok("wait", root)
            row, = self.tree(root)
            self.assertEqual(row["state"], "Finished")

    def test_a_task_that_waits_for_another_try_is_counted(self):
        with self.service("t.again", "type=again", "--", "sh", "-c", "exit 75"):
            self.send("type=again")
            until("it is delayed", lambda: self.queue("t.again")["delayed"] == 1)
        until("all leave", lambda: self.queue("t.again")["running"] == 0)
        self.assertEqual(self.queue("t.again")["normal"], 1)
        self.assertEqual(self.run_ok("queues", "t.again").split()[:8],
                         ["identity", "high", "normal", "low", "delayed", "running", "crashed", "oldest"])

    def test_temporary_consumers_and_draining(self):  # S17-S19
        with self.service("t.temp", "type=temp", "--temporary", "--", "true") as service:
            self.assertIn("t.temp", self.run_ok("list", "-o", "name").split())
            self.assertEqual(service.stop(), 0)
        until("the temporary consumer goes", lambda: "t.temp" not in self.run_ok("list", "-o", "name").split())
        with self.service("t.drain", "type=drain", "--", "sleep", "1000") as service:
            self.send("type=drain")
            root = self.send("type=drain")
            service.process.kill()
        with self.service("t.drain", "{}", "--temporary", "--", "false") as service:
            self.run_ok("wait", root, timeout=60)
            self.assertEqual({row["state"] for row in self.tree(root)}, {"Finished"})
            self.assertEqual(service.stop(), 0)
        until("the drained consumer goes", lambda: "t.drain" not in self.run_ok("list", "-o", "name").split())

    def test_debug_mode_has_its_own_queue(self):  # S26
        os.environ["KARTON_KARTON_DEBUG"] = "1"
        try:
            service = self.service("t.debug", "type=debug", "--", "true")
        finally:
            del os.environ["KARTON_KARTON_DEBUG"]
        with service:
            name, = [name for name in self.run_ok("list", "-o", "name").split() if name.startswith("t.debug")]
            self.assertRegex(name, r"^t\.debug-[0-9a-f]{8}-dev$")

    def test_kept_folders_stay(self):
        with self.service("t.kept", "type=kept", "--keep", "crashed", "--", "sh", "-c", "echo x > note; exit 1") as service:
            self.broker.run("zkarton", "wait", self.send("type=kept"), check=False)
            self.assertEqual(service.stop(), 0)
        kept, = os.listdir(self.temp)
        self.assertTrue(kept.startswith("zkarton-kept-"))
        self.assertTrue(os.path.exists(os.path.join(self.temp, kept, "note")))


if __name__ == "__main__":
    unittest.main()
