"""A real broker (and other real processes) for tests: started on free ports in a temporary directory, ended by pid."""
import json
import os
import select
import signal
import shutil
import subprocess
import tempfile
import time

from support.processes import Process

SOURCE = os.environ.get("ZKT_SOURCE_DIR", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
DEADLINE_S = 30


def bin_dir():
    return os.environ.get("ZKT_BIN", os.path.join(SOURCE, "build", "bin"))


def tests_dir():
    """Where the C programs of the tests are, beside bin_dir."""
    return os.path.join(os.path.dirname(bin_dir()), "tests")


def until(what, condition, timeout_s=DEADLINE_S):
    """Asks until it is true, for states that nobody announces; returns what was found."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.02)


class LineReader:
    """Lines of a pipe with a deadline; what was read is kept in `text`."""

    def __init__(self, pipe):
        self.pipe = pipe
        self.text = ""
        self.taken = 0
        self.last = ""  # the line that was found last
        os.set_blocking(pipe.fileno(), False)

    def _fill(self, timeout_s):
        ready, _, _ = select.select([self.pipe], [], [], max(timeout_s, 0))
        if not ready:
            return False
        data = os.read(self.pipe.fileno(), 65536)
        self.text += data.decode(errors="replace")
        return bool(data)

    def wait_for(self, word, timeout_s=DEADLINE_S):
        """The next line that contains word."""
        deadline = time.monotonic() + timeout_s
        while True:
            while "\n" in self.text[self.taken:]:
                end = self.text.index("\n", self.taken)
                line = self.text[self.taken:end]
                self.taken = end + 1
                if word in line:
                    self.last = line
                    return line
            if not self._fill(deadline - time.monotonic()):
                why = f"{timeout_s} s passed" if time.monotonic() > deadline else "the pipe ended"
                raise AssertionError(f"no line with {word!r}, {why}, in:\n{self.text}")

    def drain(self):
        while self._fill(0):
            pass
        return self.text


class Broker:
    """with Broker() as broker: …; broker.kill(); broker.start() restarts on the same data and ports."""

    def __init__(self, options=None, data=None, args=()):
        self.dir = tempfile.mkdtemp(prefix="zkt-test-")
        self.data = data or os.path.join(self.dir, "data")
        self.options = {"broker": {"heartbeat": "200ms", "expiry": "2s"}, "store": {"min_free": "1MiB"}}
        for section, values in (options or {}).items():
            self.options.setdefault(section, {}).update(values)
        self.args = list(args)
        self.process = None
        self.endpoints = {"broker": "tcp://127.0.0.1:*", "events": "tcp://127.0.0.1:*", "http": "http://127.0.0.1:0"}

    @property
    def ini(self):
        return os.path.join(self.dir, "karton.ini")

    def _write_ini(self):
        sections = {name: dict(values) for name, values in self.options.items()}
        sections["broker"].update({"address": self.endpoints["broker"].replace("*", "5570"), "data": self.data,
                                   "listen": self.endpoints["broker"], "events_listen": self.endpoints["events"]})
        sections.setdefault("http", {})["listen"] = self.endpoints["http"].removeprefix("http://")
        with open(self.ini, "w", encoding="utf-8") as file:
            for name, values in sections.items():
                file.write(f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items()))

    def _spawn(self):
        self._write_ini()
        self.process = Process([os.path.join(bin_dir(), "zkarton-broker"), "-c", self.ini, *self.args],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.log = LineReader(self.process.stderr)

    def start_quietly(self):
        """Starts one that does not log that it is ready, on the addresses of before: libzmq dials until it listens."""
        self._spawn()

    def start(self):
        self._spawn()
        self.log.wait_for("BROKER-READY")
        with open(os.path.join(self.data, "endpoints.json"), encoding="utf-8") as file:
            self.endpoints = json.load(file)
        self._write_ini()  # clients read the real address
        return self

    @property
    def environment(self):
        """What a client of this broker needs."""
        return dict(os.environ, KARTON_CONFIG_FILE=self.ini, KARTON_BROKER_ADDRESS=self.endpoints["broker"],
                    PATH=bin_dir() + os.pathsep + os.environ["PATH"])

    def run(self, *args, timeout=DEADLINE_S, input=None, check=True):
        """A command of ours to its end: (exit code, stdout, stderr)."""
        program = os.path.join(bin_dir(), args[0])
        done = subprocess.run([program, *args[1:]], env=self.environment, cwd=self.dir, input=input,
                              capture_output=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{args} ended with {done.returncode}:\n{done.stdout.decode()}{done.stderr.decode()}")
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def spawn(self, *args, **options):
        return Process(list(args), env=self.environment, cwd=self.dir, stdin=subprocess.DEVNULL, **options)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def stop(self, timeout=DEADLINE_S):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        self.log.drain()
        self.process.stderr.close()
        return code

    def metrics(self):
        import urllib.request
        with urllib.request.urlopen(self.endpoints["http"] + "/metrics", timeout=DEADLINE_S) as answer:
            return answer.read().decode()

    def metrics_with(self, word):
        """The metrics once they contain word: they are made anew every second."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            text = self.metrics()
            if word in text:
                return text
            time.sleep(0.05)
        raise AssertionError(f"no {word!r} in the metrics:\n{text}")

    def metric(self, name):
        """The sum of all lines of one metric whose name (and labels) begin so."""
        total = 0.0
        for line in self.metrics().splitlines():
            if line.startswith(name) and line[len(name)] in "{ ":
                total += float(line.rsplit(" ", 1)[1])
        return total

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)
