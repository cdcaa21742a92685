"""The program of the guard (guard.py says what it is for). Until it is needed it imports next to nothing."""
import json
import mmap
import os
import select
import signal
import struct
import sys
import time

IDLE_POLL_MS = 500
POLL_LEAST_MS = 20


def state_of(pid):
    """One letter, as ps says it; "?" where it cannot be known."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return chr(file.read().rpartition(b")")[2].split()[0][0])
    except FileNotFoundError:
        if os.path.isdir("/proc/self"):
            return "X"
    except OSError:
        return "?"
    import subprocess
    shown = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, check=False).stdout.decode()
    return shown.strip()[:1] or "X"


class Guard:
    def __init__(self, table, told):
        self.table = table
        self.told = told
        self.head_bytes = told["head_bytes"]
        self.head_struct = struct.Struct(told["head"])
        self.place_struct = struct.Struct(told["place"])
        self.pid = told["pid"]
        self.socket = None
        self.sent_ns = 0
        self.held = []
        self.msgpack = None

    def head(self):
        return self.head_struct.unpack_from(self.table, 0)

    def prepare(self):
        """Imports what a session needs, ahead of need."""
        if self.msgpack is None:
            sys.path[:] = self.told["path"]
            import msgpack
            import zmq
            self.msgpack, self.zmq = msgpack, zmq
            self.context = zmq.Context()

    def read_held(self):
        held = []
        for at in range(self.head_bytes, len(self.table), self.place_struct.size):
            number, uid, started = self.place_struct.unpack_from(self.table, at)
            if number:
                held.append({"delivery": number, "uid": uid, "started": bool(started)})
        return held

    def send(self, verb, message_id, body):
        self.socket.send(self.msgpack.packb([verb, message_id, body]), self.zmq.NOBLOCK)
        self.sent_ns = time.monotonic_ns()

    def say_hello(self):
        body = self.msgpack.unpackb(bytes.fromhex(self.told["hello"]), strict_map_key=False)
        self.held = self.read_held()
        at = self.told["instance_at"]
        self.table[self.told["taken_over_at"]] = 1  # first: the worker may hear of it at once
        body.update(instance=self.table[at:at + self.told["instance_bytes"]], generation=self.head()[1], held=self.held)
        self.send(self.told["hello_verb"], 1, body)

    def take_over(self):
        self.prepare()
        self.socket = self.context.socket(self.zmq.DEALER)
        self.socket.linger = 0
        self.socket.setsockopt(self.zmq.IPV6, 1)
        self.socket.connect(self.told["address"])
        self.say_hello()

    def step_back(self):
        self.socket.close(0)
        self.socket = None

    def pump(self, interval_ns):
        """Receives, and heartbeats."""
        told = self.told
        while self.socket is not None:
            try:
                verb, message_id, body = self.msgpack.unpackb(self.socket.recv(self.zmq.NOBLOCK), strict_map_key=False)
            except self.zmq.Again:
                break
            if verb == told["welcome_verb"]:
                items = [{"delivery": row["delivery"], "uid": row["uid"], "state": "Started"} for row in self.held
                         if row["started"]]
                if items:
                    self.send(told["report_verb"], 0, {"items": items})
            elif verb == told["error_verb"] and body.get("code") == told["hello_required"]:
                # The broker was started again; the worker runs again, perhaps, and says HELLO itself.
                if self.is_silent(interval_ns):
                    self.say_hello()
                else:
                    self.step_back()
            elif verb == told["error_verb"] and (body.get("code") == told["session_replaced"] or message_id == 1):
                self.step_back()  # replaced by the worker itself, or refused: the worker will hear it too
        if self.socket is not None and time.monotonic_ns() - self.sent_ns >= interval_ns:
            self.send(told["heartbeat_verb"], 0, {})

    def is_silent(self, interval_ns, intervals=2):
        return time.monotonic_ns() - self.head()[0] > intervals * interval_ns

    def turn(self):
        """Looks once; how many ms it may sleep."""
        interval_ns = self.head()[2]
        if interval_ns == 0:
            return IDLE_POLL_MS
        if self.socket is not None:
            if state_of(self.pid) in "TtZX":
                self.step_back()  # who is stopped does not work
            else:
                self.pump(interval_ns)
        elif self.is_silent(interval_ns) and state_of(self.pid) not in "TtZX":
            self.take_over()
        elif self.is_silent(interval_ns, 1):
            self.prepare()
        return max(int(interval_ns / 4e6), POLL_LEAST_MS)


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    table = mmap.mmap(int(sys.argv[1]), 0)
    line = sys.stdin.buffer.readline()
    if not line:
        return
    guard = Guard(table, json.loads(line))
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if hasattr(os, "pidfd_open"):
        try:
            poll.register(os.pidfd_open(guard.pid), select.POLLIN)
        except OSError:
            pass
    wait_ms = POLL_LEAST_MS
    while os.getppid() == guard.pid and not poll.poll(wait_ms):
        wait_ms = guard.turn()


if __name__ == "__main__":
    main()
