"""One driver program under test: requests as JSON lines on its stdin, answers and events on its stdout (README.md)."""
import json
import os
import signal
import subprocess
import threading
import time

from support.processes import Process

DEADLINE_S = float(os.environ.get("ZKT_SCENARIO_DEADLINE_S", 30))


class Driver:
    def __init__(self, name, command, environment, folder):
        self.name = name
        self.stderr_path = os.path.join(folder, f"{name}.stderr")
        with open(self.stderr_path, "ab") as stderr:
            self.process = Process(command, env=environment, cwd=folder, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=stderr)
        self.changed = threading.Condition()
        self.answers = {}
        self.events = []
        self.trace = []
        self.is_over = False
        self.last_id = 0
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.ready = self.event("ready", 60)

    def _read(self):
        for line in self.process.stdout:
            text = line.decode("utf-8", errors="surrogateescape")
            try:
                message = json.loads(text)
            except ValueError:
                message = {"event": "no JSON", "line": text}
            with self.changed:
                self.trace.append("→ " + text.rstrip()[:2000])
                if "id" in message:
                    self.answers[message.pop("id")] = message
                else:
                    self.events.append(message)
                self.changed.notify_all()
        with self.changed:
            self.is_over = True
            self.changed.notify_all()

    def request(self, body):
        """Sends; returns the id under which the answer comes."""
        self.last_id += 1
        text = json.dumps({"id": self.last_id, **body})
        self.trace.append("← " + text[:2000])
        try:
            self.process.stdin.write(text.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise AssertionError(f"{self.name} has ended") from error
        return self.last_id

    def _wait(self, found, what, timeout_s):
        deadline = time.monotonic() + timeout_s
        with self.changed:
            while True:
                result = found()
                if result is not None:
                    return result
                left = deadline - time.monotonic()
                if left <= 0 or self.is_over:
                    raise AssertionError(f"{self.name}: no {what}" + (", it has ended" if self.is_over else
                                                                     f" within {timeout_s} s"))
                self.changed.wait(left)

    def answer(self, request_id, timeout_s=DEADLINE_S):
        return self._wait(lambda: self.answers.pop(request_id, None), f"answer to request {request_id}", timeout_s)

    def event(self, kind, timeout_s=DEADLINE_S):
        """The oldest event of this kind that was not taken."""
        def take():
            for index, event in enumerate(self.events):
                if event.get("event") == kind:
                    return self.events.pop(index)
            return None
        return self._wait(take, f"event {kind!r}", timeout_s)

    def count(self, kind):
        with self.changed:
            return sum(event.get("event") == kind for event in self.events)

    def signal(self, name):
        self.process.send_signal(getattr(signal, "SIG" + name))

    def exits(self, timeout_s=DEADLINE_S):
        """The exit code; by a signal: its negative number."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{self.name} does not end within {timeout_s} s") from error
        self.reader.join()
        return code

    def end(self):
        """A client is asked to leave and must do so with 0; a worker that still runs is killed."""
        code = 0
        if self.process.poll() is None and not any('"serve"' in line for line in self.trace if line.startswith("←")):
            self.process.stdin.close()
            try:
                code = self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                code = "no end"
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        if not self.process.stdin.closed:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass
        return code

    def story(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as file:
            stderr = file.read()[-3000:]
        return f"--- {self.name}\n" + "\n".join(self.trace[-40:]) + (f"\nstderr: {stderr}" if stderr else "")
