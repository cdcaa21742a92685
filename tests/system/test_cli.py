"""`zkarton` against a real broker: what each command prints and how it ends (interfaces: exit codes)."""
import json
import os
import pty
import socket
import subprocess
import unittest

from support.broker import Broker, LineReader, bin_dir
from support.processes import Process

NOBODY = "00000000-0000-4000-8000-000000000000"


class Service:
    """A command in the background that has registered; ended by pid."""

    def __init__(self, broker, *args, ready="SESSION-OPENED"):
        self.process = Process([os.path.join(bin_dir(), "zkarton"), *args], env=broker.environment,
                               cwd=broker.dir, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
        self.log = LineReader(self.process.stderr)
        try:
            self.log.wait_for(ready)
        except BaseException:
            self.__exit__()
            raise

    def stop(self, timeout=30):
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(timeout)
        self.log.drain()
        self.process.stderr.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if not self.process.stderr.closed:
            self.process.stderr.close()


def zkarton(*args, **environment):
    """Without a broker."""
    done = subprocess.run([os.path.join(bin_dir(), "zkarton"), *args], env=dict(os.environ, **environment),
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class WithoutBrokerTest(unittest.TestCase):
    def test_wrong_command_lines_exit_2_with_the_right_usage(self):
        for args, word in ((["snd"], 'Did you mean "send"'), (["send", "--persitent", "x"], "--persistent"),
                           (["send", "type:sample"], "Write type=sample, or type:=JSON"), (["send"], "usage: zkarton send"),
                           (["exec", "a"], "usage: zkarton exec"), (["exec", "a", "x=y"], "usage: zkarton exec"),
                           (["wait"], "usage: zkarton wait"), (["tasks", "--state", "Dead"], "Crashed"),
                           (["list", "-o", "xml"], "table, json or name"), ([], "which command"),
                           (["list", "-n", "0"], "number"), (["get"], "usage: zkarton get"),
                           (["send", "a=b", "--as", "x"], "resource"), (["match"], "headers"),
                           (["send", "a=1", "a=2"], '"a" is given twice'), (["send", "t=x", "-p"], '"-p" needs'),
                           (["send", "t=x", "-p", "s=1", "-r", "s=FILE"], '"s" is given twice'),
                           (["send", "t=x", "-r", "s=F", "-r", "s=G"], '"s" is given twice'),
                           (["exec", "a", "k=a", "--or", "--", "true"], "--or"),
                           (["exec", "a", "k=a", "--join", "--", "true"], "--join"),
                           (["list", "--broker", "foo"], '"--broker foo" is not tcp://HOST:PORT'),
                           (["list", "--broker", "tcp://127.0.0.1:99999"], "65535")):
            with self.subTest(args=args):
                code, out, err = zkarton(*args)
                self.assertEqual((code, out), (2, ""))
                self.assertIn(word, err)

    def test_garbage_for_an_option_is_2_and_names_it(self):
        rows = [(command, "--after", "x7") for command in ("list", "queues", "tasks")]
        rows += [(command, "-n", "x7") for command in ("list", "queues", "tasks")]
        rows += [(command, "--root", 'a"b') for command in ("logs", "watch", "tasks")]
        rows += [("tasks", "--state", "x7"), ("logs", "--level", "x7"), ("send a=b", "-p", "x7"), ("send a=b", "-r", "x7"),
                 ("send a=b", "--object", "x7"), ("send a=b", "--priority", "x7"), ("send a=b", "--as", "x7"),
                 ("list", "--timeout", "x7"), ("list", "-o", "x7"), ("list", "--broker", "x7")]
        rows += [("exec a b=c", option, "x7") for option in ("--emit", "-j", "-t", "--kill-after", "--keep")]
        rows += [("exec a", "--filters", "x7"), ("exec a", "--filters", "@/nowhere/x7")]
        for command, option, value in rows:
            with self.subTest(command=command, option=option):
                code, out, err = zkarton(*command.split(), option, value, *(["--", "true"] if command[:4] == "exec" else []))
                self.assertEqual((code, out), (2, ""))
                self.assertIn(option, err.splitlines()[0])

    def test_json_that_is_too_deep_says_so(self):
        code, _, err = zkarton("send", "type=x", "-p", "deep:=" + "[" * 100 + "]" * 100)
        self.assertEqual(code, 2)
        self.assertIn("64", err.splitlines()[0])
        self.assertNotIn("no JSON", err)

    def test_help_is_data(self):
        code, out, err = zkarton("--help")
        self.assertEqual((code, err), (0, ""))
        for command in ("send", "exec", "logs", "watch", "list", "queues", "tasks", "task", "tree", "wait", "match",
                        "retry", "get", "delete", "store", "version"):
            self.assertRegex(out, rf"(?m)^  {command} ")
            self.assertEqual(zkarton(command, "--help")[0] if command != "store" else 0, 0)

    def test_nobody_listens(self):
        code, out, err = zkarton("list", "--broker", "tcp://127.0.0.1:1")
        self.assertEqual((code, out), (3, ""))
        self.assertIn("tcp://127.0.0.1:1", err)
        self.assertIn("UNREACHABLE", err)

    def test_a_missing_command_is_127_before_anything_is_asked(self):
        code, _, err = zkarton("exec", "karton.x", "type=x", "--broker", "tcp://127.0.0.1:1", "--", "no-such-command")
        self.assertEqual(code, 127)
        self.assertIn("no-such-command", err)

    def test_a_wrong_configuration_is_2(self):
        code, _, err = zkarton("-c", "/nonexistent.ini", "list")
        self.assertEqual(code, 2)
        self.assertIn("/nonexistent.ini", err)

    def test_match_jsonl_answers_every_line(self):
        done = subprocess.run([os.path.join(bin_dir(), "zkarton"), "match", "--jsonl"], capture_output=True, check=True,
                              input=b'{"filters": [{"a": "b"}], "headers": {"a": "b"}}\nnot json\n'
                                    b'{"filters": [], "headers": {}}\n{"filters": [{"a": {"$nto": 1}}], "headers": {}}')
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([row.get("match") for row in rows], [True, None, False, None])
        self.assertIn("error", rows[1])
        self.assertIn("$not", rows[3]["error"])

    def test_store_says_what_it_needs(self):
        broker = os.path.join(bin_dir(), "zkarton-broker")
        for args, words in (([broker, "store"], "store: what to do"), ([broker, "store", "check"], "store check needs DIR"),
                            ([os.path.join(bin_dir(), "zkarton"), "store", "chek"], "usage: zkarton store check DIR")):
            with self.subTest(args=args[1:]):
                done = subprocess.run(args, capture_output=True, timeout=30, check=False)
                self.assertEqual((done.returncode, done.stdout), (2, b""))
                self.assertIn(words, done.stderr.decode())
        code, out, err = zkarton("store", "--help")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("usage: zkarton store check DIR", out)

    def test_output_that_is_lost_is_1_with_the_reason(self):
        for args in (["--help"], ["send", "--help"], ["--version"], ["match", "--jsonl"],
                     ["version", "--broker", "tcp://127.0.0.1:1", "--timeout", "100ms"]):
            with self.subTest(args=args), open("/dev/full", "wb") as full:
                done = subprocess.run([os.path.join(bin_dir(), "zkarton"), *args], stdout=full, stderr=subprocess.PIPE,
                                      input=b'{"filters": [], "headers": {}}\n', timeout=30, check=False)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(b"cannot write: No space left on device (IO)", done.stderr)

    def test_a_closed_pipe_is_0(self):
        lines = b'{"filters": [], "headers": {}}\n' * 20000
        reader, writer = os.pipe()
        process = Process([os.path.join(bin_dir(), "zkarton"), "match", "--jsonl"], stdin=subprocess.PIPE,
                          stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        os.close(reader)
        _, err = process.communicate(lines, timeout=30)
        self.assertEqual((process.returncode, err), (0, b""))


class CommandTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker({"store": {"finished_ttl": "1h"}})
        cls.addClassCleanup(cls.broker.__exit__)
        cls.broker.start()

    def run_ok(self, *args, **options):
        return self.broker.run("zkarton", *args, **options)[1]

    def code(self, *args, **options):
        return self.broker.run("zkarton", *args, check=False, **options)[0]

    def rows(self, *args):
        return [json.loads(line) for line in self.run_ok(*args, "-o", "json").splitlines()]

    def service(self, identity, *args, **options):
        return Service(self.broker, "exec", identity, *args, **options)

    def test_send_prints_roots_and_warns_when_nobody_takes_it(self):
        code, out, err = self.broker.run("zkarton", "send", "type=nobody-takes-it")
        self.assertRegex(out, r"^[0-9a-f-]{36}\n$")
        self.assertIn("no consumer takes " + out.strip(), err)

    def test_a_task_and_its_file_through_a_service(self):
        path = os.path.join(self.broker.dir, "hello.txt")
        with open(path, "wb") as file:
            file.write(b"hello\x00world")
        with self.service("t.copy", "type=copy", "--emit", "type=copied", "--", "cat", "{}") as service, \
                self.service("t.keep", "type=copied", "--", "sh", "-c", "exit 3"):
            root = self.run_ok("send", "type=copy", "-r", "sample=" + path, "-p", "n:=1", "--persistent", "n",
                               "--priority", "high").strip()
            code, out, _ = self.broker.run("zkarton", "wait", root, check=False)
            self.assertEqual(code, 1)  # t.keep crashes
            self.assertIn("1 finished  1 crashed", out)
            crashed, = self.rows("tasks", "--root", root, "--state", "Crashed")
            self.assertEqual(crashed["identity"], "t.keep")
            document = json.loads(self.run_ok("task", crashed["uid"]))
            self.assertEqual(document["error"], ["exit status 3"])
            self.assertEqual(document["payload_persistent"]["n"], 1)
            self.assertEqual(document["priority"], "high")  # S21
            self.assertEqual(document["headers"]["origin"], "t.copy")  # A4
            self.assertEqual(document["uid"], "{%s}:%s" % (root, crashed["uid"]))
            resource = document["payload"]["output"]["__karton_resource__"]
            self.assertEqual(resource["size"], 11)
            done = subprocess.run([bin_dir() + "/zkarton", "get", document["uid"], "output"], env=self.broker.environment,
                                  capture_output=True, check=True)
            self.assertEqual(done.stdout, b"hello\x00world")
            target = os.path.join(self.broker.dir, "got")
            self.assertEqual(self.code("get", crashed["uid"], "output", target), 0)
            self.assertEqual(self.code("get", crashed["uid"], "output", target), 6)
            self.assertEqual(self.code("get", crashed["uid"], "output", target, "-f"), 0)
            self.assertEqual(self.code("get", crashed["uid"], "nothing", target, "-f"), 5)
            with open(path, encoding="utf-8") as file:
                self.assertEqual(self.run_ok("get", crashed["uid"], "output", "-"), file.read())
            self.assertFalse(os.path.exists(os.path.join(self.broker.dir, "-")))
            with open(target, "rb") as file:
                self.assertEqual(file.read(), b"hello\x00world")
            again = self.run_ok("retry", crashed["uid"]).strip()
            self.assertEqual(self.code("wait", root), 1)
            self.assertEqual([row["uid"] for row in self.rows("tasks", "--root", root, "--state", "Crashed")], [again])
            tree = self.run_ok("tree", root)
            self.assertIn("CRASHED", tree)
            self.assertRegex(tree, r"(?m)^└─ t\.copy +Finished")
            self.assertEqual(service.stop(), 0)

    def test_many_tasks_by_lines_and_by_paths(self):
        lines = "".join(json.dumps({"headers": {"type": "lines"}, "payload": {"n": n}}) + "\n" for n in range(300))
        out = self.run_ok("send", "--jsonl", input=lines.encode())
        self.assertEqual(len(set(out.split())), 300)
        code, out, err = self.broker.run("zkarton", "send", "--jsonl", input=b'{"headers": {"a": "b"}}\n{"headers": 1}\n',
                                         check=False)
        self.assertEqual((code, len(out.split())), (2, 1))
        self.assertIn("line 2", err)
        paths = []
        for n in range(3):
            paths.append(os.path.join(self.broker.dir, f"each {n}"))
            with open(paths[-1], "w", encoding="utf-8") as file:
                file.write(str(n))
        out = self.run_ok("send", "type=each", "--each0", "sample", input="\0".join(paths).encode())
        self.assertEqual(len(out.split()), 3)
        self.assertRegex(self.run_ok("send", "type=pipe", "-r", "sample=-", input=b"from a pipe"), r"^[0-9a-f-]{36}$")

    def test_lists_page_by_cursor(self):
        for n in range(3):
            with self.service(f"t.page{n}", f"type=page{n}", "--", "true"):
                pass
        code, out, err = self.broker.run("zkarton", "list", "-n", "2", "-o", "name")
        self.assertEqual(len(out.split()), 2)
        self.assertIn("more: --after ", err)
        names, after = out.split(), err.split("--after ")[1].strip()
        while after:
            code, out, err = self.broker.run("zkarton", "list", "-n", "2", "-o", "name", "--after", after)
            names += out.split()
            after = err.split("--after ")[1].strip() if "--after" in err else ""
        self.assertEqual(sorted(names), sorted(self.run_ok("list", "-o", "name").split()))
        self.assertEqual(len(names), len(set(names)))

    def test_consumers_and_their_removal(self):  # L1, L3
        with self.service("t.gone", "type=gone", "--info", "goes away", "--set-version", "2.0", "--", "true"):
            row, = [row for row in self.rows("list") if row["identity"] == "t.gone"]
            self.assertEqual((row["filters"], row["info"], row["service_version"], row["persistent"]),
                             ([{"type": "gone"}], "goes away", "2.0", True))
            self.assertIn("t.gone", self.run_ok("queues"))
            self.assertIn("goes away", self.run_ok("list", "t.gone"))
            code, _, err = self.broker.run("zkarton", "delete", "t.gone", "-y", check=False)
            self.assertEqual(code, 6)
            self.assertIn("IN_USE", err)
        self.broker.log.wait_for("WORKER-LOST identity=t.gone")  # it was killed: within the expiry
        self.assertEqual(self.rows("list", "t.gone")[0]["workers"], 0)
        code, _, err = self.broker.run("zkarton", "list", "t.gome", check=False)
        self.assertEqual(code, 5)
        self.assertIn('Did you mean "t.gone"', err)
        self.assertEqual(self.code("delete", "t.gone", input=b"t.gome\n"), 1)
        self.assertEqual(self.code("delete", "t.gone", input=b"t.gone\n"), 0)
        self.assertNotIn("t.gone", self.run_ok("list", "-o", "name").split())

    def test_match_says_who_and_why(self):
        with self.service("t.match", "type=match", "kind=!raw", "--", "true"):
            self.assertEqual(self.code("match", "type=match", "--consumer", "t.match"), 0)
            code, out, _ = self.broker.run("zkarton", "match", "type=match", "kind=raw", "--consumer", "t.match", check=False)
            self.assertEqual(code, 1)
            self.assertIn("kind", out)
            self.assertEqual(self.run_ok("match", "type=match", "-o", "name").split(), ["t.match"])

    def test_logs_and_events_as_they_come(self):  # L2, S13
        logs = Process([bin_dir() + "/zkarton", "logs", "-v", "--level", "warning", "t.logs"],
                       env=self.broker.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        events = Process([bin_dir() + "/zkarton", "watch", "-v", "-o", "json"], env=self.broker.environment,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            for process in (logs, events):
                LineReader(process.stderr).wait_for("connected")
            with self.service("t.logs", "type=logs", "--", "sh", "-c", "echo quiet; echo '<4>loud'"):
                root = self.run_ok("send", "type=logs").strip()
                self.assertEqual(LineReader(logs.stdout).wait_for("loud"), "[WARNING] t.logs: loud")
                line = LineReader(events.stdout).wait_for(f"analysis.{root}.finished")
                self.assertEqual(json.loads(line)["topic"], f"analysis.{root}.finished")
        finally:
            for process in (logs, events):
                process.terminate()
                process.wait()
                process.stdout.close()
                process.stderr.close()

    def test_what_follows_ends_with_its_reader(self):
        for command, over in (("logs", os.pipe), ("watch", lambda: [end.detach() for end in socket.socketpair()])):
            with self.subTest(command=command):
                reader, writer = over()
                process = Process([bin_dir() + "/zkarton", command, "-v", *(["nobody."] if command == "watch" else [])],
                                           env=self.broker.environment, stdout=writer, stderr=subprocess.PIPE)
                os.close(writer)
                try:
                    LineReader(process.stderr).wait_for("connected")
                    self.assertIsNone(process.poll())
                    os.close(reader)
                    self.assertEqual(process.wait(30), 0)
                finally:
                    process.kill()
                    process.wait()
                    process.stderr.close()

    def test_what_is_not_there_is_5(self):
        for args in (("wait", NOBODY), ("tree", NOBODY), ("task", NOBODY), ("retry", NOBODY), ("delete", "t.no", "-y"),
                     ("get", NOBODY, "sample", "/nowhere")):
            with self.subTest(args=args):
                self.assertEqual(self.code(*args), 5)

    def test_waiting_ends_with_124(self):
        with self.service("t.slow", "type=slow", "--temporary", "--", "sleep", "60"):
            root = self.run_ok("send", "type=slow").strip()
            self.assertEqual(self.code("wait", root, "--timeout", "200ms"), 124)
        self.assertEqual(self.code("logs", "--timeout", "100ms"), 124)

    def on_terminal(self, *args, **environment):
        """What a person would see: (exit code, bytes of the terminal)."""
        leader, follower = pty.openpty()
        process = Process([bin_dir() + "/zkarton", *args], env=dict(self.broker.environment, **environment),
                          stdin=follower, stdout=follower, stderr=follower)
        os.close(follower)
        seen = b""
        while True:
            try:
                data = os.read(leader, 65536)
            except OSError:  # nobody has the other end any more
                break
            if not data:
                break
            seen += data
        os.close(leader)
        return process.wait(30), seen

    def test_colour_only_on_terminals(self):
        with self.service("t.colour", "type=colour", "--", "true"):
            root = self.run_ok("send", "type=colour", "x:=" + json.dumps("\x1b[2Jhidden")).strip()
            self.run_ok("wait", root)
        code, seen = self.on_terminal("tree", root, NO_COLOR="")
        self.assertEqual(code, 0)
        self.assertIn(b"\x1b[32mFinished", seen)
        self.assertNotIn(b"\x1b[2J", seen)  # what a task says never moves the cursor
        self.assertNotIn(b"\x1b", self.on_terminal("tree", root, NO_COLOR="1")[1])
        self.assertNotIn("\x1b", self.run_ok("tree", root))

    def test_bytes_do_not_go_to_a_terminal(self):
        code, seen = self.on_terminal("get", NOBODY)
        self.assertEqual(code, 2)
        self.assertIn(b"terminal", seen)

    def test_join_waits_for_the_consumer(self):
        with self.service("t.joined", "--join", "--", "true", ready="CONSUMER-MISSING") as joining, \
                self.service("t.joined", "type=joined", "--", "true") as first:
            joining.log.wait_for("SESSION-OPENED")
            self.assertEqual(first.stop(), 0)
            self.assertIn("1 finished", self.broker.run("zkarton", "send", "type=joined", "--wait")[2])
            self.assertEqual(joining.log.text.count("CONSUMER-MISSING"), 1)

    def test_the_oldest_waiting_task_has_an_age(self):
        with self.service("t.aged", "type=aged", "--", "true") as service:
            self.assertEqual(service.stop(), 0)
        self.run_ok("send", "type=aged")
        header, row = self.run_ok("queues", "t.aged").splitlines()
        self.assertEqual(header.split()[-1], "oldest")
        self.assertRegex(row, r"\b\d+ ms$|\b\d+\.\d s$")

    def test_version_names_both(self):
        out = self.run_ok("version")
        self.assertRegex(out, r"^zkarton \d+\.\d+\.\d+\nzkarton-broker \d+\.\d+\.\d+\n$")

    def test_refused_identity_and_filters_are_2(self):  # P13, F9
        code, _, err = self.broker.run("zkarton", "exec", "my service", "a=b", "--", "true", check=False)
        self.assertEqual(code, 2)
        self.assertIn("IDENTITY_INVALID", err)
        code, _, err = self.broker.run("zkarton", "exec", "t.bad", 'a:={"$nto": "x"}', "--", "true", check=False)
        self.assertEqual(code, 2)
        self.assertIn('FILTER_INVALID). Did you mean "$not"', err)


if __name__ == "__main__":
    unittest.main()
