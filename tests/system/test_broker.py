"""The broker as a process: what it binds, refuses, answers and leaves behind."""
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
import unittest
import urllib.error
import urllib.request

from support.broker import Broker, bin_dir
from support.processes import Process
from support.zkp import Peer, task


def start_fails(*args, environment=None):
    done = subprocess.run([os.path.join(bin_dir(), "zkarton-broker"), *args], env=dict(os.environ, **(environment or {})),
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    return done.returncode, done.stderr.decode()


class StartTest(unittest.TestCase):
    def test_endpoints_name_what_was_bound(self):
        with Broker() as broker:
            self.assertRegex(broker.endpoints["broker"], r"^tcp://127\.0\.0\.1:[1-9]\d*$")
            self.assertRegex(broker.endpoints["http"], r"^http://127\.0\.0\.1:[1-9]\d*$")
            self.assertEqual(broker.endpoints["pid"], broker.process.pid)
            self.assertEqual(broker.stop(), 0)
            self.assertFalse(os.path.exists(os.path.join(broker.data, "endpoints.json")))

    def test_refuses_a_data_directory_in_use(self):
        with Broker() as broker:
            code, text = start_fails("--data", broker.data, "--port", "0")
            self.assertEqual(code, 1)
            self.assertIn("STORE_LOCKED", text)
            with Peer(broker.endpoints["broker"]) as peer:
                peer.hello()

    def test_refuses_to_be_open_without_keys(self):
        with Broker() as broker:
            code, text = start_fails("--data", broker.dir + "/other", "--listen", "tcp://0.0.0.0:*")
            self.assertEqual(code, 2)
            self.assertIn("INSECURE", text)
            self.assertIn("[broker] listen tcp://0.0.0.0:*", text)

    def test_refuses_a_port_that_is_taken(self):
        with Broker() as broker:
            code, text = start_fails("--data", broker.dir + "/other", "--port", "0", "--listen", broker.endpoints["broker"])
            self.assertEqual(code, 2)
            self.assertIn("ADDRESS_IN_USE", text)

    def test_names_file_section_and_key_of_a_wrong_option(self):
        with Broker() as broker:
            path = os.path.join(broker.dir, "wrong.ini")
            with open(path, "w", encoding="utf-8") as file:
                file.write("[broker]\n\nadress = tcp://127.0.0.1:1\n")
            code, text = start_fails("-c", path, "--data", broker.dir + "/other")
            self.assertEqual(code, 2)
            self.assertIn(f"{path}:3: [broker] adress", text)
            self.assertIn('Did you mean "address"', text)
            with open(path, "w", encoding="utf-8") as file:
                file.write("[broker]\nexpiry = soon\n")
            code, text = start_fails("-c", path, "--check-config")
            self.assertEqual(code, 2)
            self.assertIn(f"{path}:2: [broker] expiry", text)

    def test_wrong_flags_get_the_usage(self):
        for args in (["--nonsense"], ["--port", "x"], ["stray"], ["store"], ["store", "mend", "x"]):
            code, text = start_fails(*args)
            self.assertEqual(code, 2, args)
            self.assertIn("usage: zkarton-broker", text)

    def test_sigterm_drains_and_restart_keeps_tasks(self):
        with Broker() as broker:
            with Peer(broker.endpoints["broker"]) as worker, Peer(broker.endpoints["broker"]) as producer:
                worker.hello_worker("test.keeper", [{"type": "a"}])
                producer.hello()
                self.assertEqual(producer.submit(task({"type": "a"}))[0]["taken"], 1)
            self.assertEqual(broker.stop(), 0)
            broker.start()
            with Peer(broker.endpoints["broker"]) as worker:
                worker.hello_worker("test.keeper", [{"type": "a"}])
                worker.credit(8)
                item = worker.deliver()[0]
                self.assertEqual(item["task"]["headers"]["receiver"], "test.keeper")  # A4
                self.assertEqual(item["task"]["headers"]["origin"], "tester")
                worker.settle(item)

    def test_sighup_reopens_the_log(self):
        with Broker() as broker:
            broker.stop()
            path = os.path.join(broker.dir, "broker.log")
            process = Process([os.path.join(bin_dir(), "zkarton-broker"), "-c", broker.ini, "--log-file", path])
            try:
                self._wait_for_line(path)
                os.rename(path, path + ".1")
                process.send_signal(signal.SIGHUP)
                self._wait_for_line(path)
            finally:
                process.terminate()
                self.assertEqual(process.wait(30), 0)

    def _wait_for_line(self, path):
        done = subprocess.run(["timeout", "20", "sh", "-c", 'until [ -s "$1" ]; do sleep 0.02; done', "-", path], check=False)
        self.assertEqual(done.returncode, 0, path)


class HttpTest(unittest.TestCase):
    def test_health_and_metrics(self):
        with Broker() as broker:
            with Peer(broker.endpoints["broker"]) as worker, Peer(broker.endpoints["broker"]) as producer:
                worker.hello_worker('quoted"name', [{"type": "a"}])
                producer.hello()
                producer.submit(task({"type": "a"}), task({"type": "b"}))
                with urllib.request.urlopen(broker.endpoints["http"] + "/healthz") as answer:
                    self.assertEqual(answer.status, 200)
                text = broker.metrics_with('quoted\\"name')
            names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
            helped = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
            used = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line and line[0] != "#"}
            self.assertEqual(names, helped)
            bare = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in used}
            self.assertTrue(used <= names or bare <= names, used - names)

    def test_idle_connections_block_nobody(self):
        with Broker() as broker, contextlib.ExitStack() as idle:
            where = broker.endpoints["http"].removeprefix("http://")
            host, port = where.split(":")
            for number in range(600):
                if number % 2:  # half a request
                    half = idle.enter_context(socket.create_connection((host, int(port))))
                    half.sendall(b"GET /healthz HTTP/1.1\r\nHost")
                else:
                    kept = http.client.HTTPConnection(where, timeout=10)
                    idle.callback(kept.close)
                    kept.request("GET", "/healthz")
                    self.assertIn(kept.getresponse().read(), (b"ok\n", b"starting\n"))
            start = time.monotonic()
            with urllib.request.urlopen(broker.endpoints["http"] + "/healthz", timeout=5) as answer:
                self.assertEqual(answer.status, 200)
            path = os.path.join(broker.dir, "file")
            with open(path, "w", encoding="utf-8") as file:
                file.write("content")
            with Peer(broker.endpoints["broker"]) as worker:
                worker.hello_worker("q", [{"type": "a"}])
                broker.run("zkarton", "send", "type=a", "-r", "sample=" + path)
            self.assertLess(time.monotonic() - start, 5)
            kept.sock.settimeout(30)
            self.assertEqual(kept.sock.recv(1), b"")  # closed when it was idle for long
            half.settimeout(30)
            self.assertEqual(half.recv(1), b"")
            self.assertLess(time.monotonic() - start, 25)

    def test_unknown_path(self):
        with Broker() as broker:
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(broker.endpoints["http"] + "/nowhere")
            self.assertEqual(caught.exception.code, 404)
            caught.exception.close()


if __name__ == "__main__":
    unittest.main()
