"""Leases, expiry, resuming and restarts with a real broker and raw peers (design: Resuming, Liveness; S17-S19, S25)."""
import os
import signal
import subprocess
import time
import unittest

from support.broker import Broker, bin_dir
from support.processes import Process
from support.zkp import Peer, task

EXPIRY_S = 1.0
OPTIONS = {"broker": {"heartbeat": "200ms", "expiry": "1s"}, "store": {"finished_ttl": "1h"}}


def beat_until(peer, verb, timeout_s):
    """Heartbeats while waiting for a message, as a live client does."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        peer.send("HEARTBEAT", {}, 0)
        if peer.socket.poll(100):
            name, _, body = peer.receive()
            if name == verb:
                return body
    raise AssertionError(f"no {verb} within {timeout_s} s")


class LeaseTest(unittest.TestCase):
    def setUp(self):
        self.broker = Broker(OPTIONS).start()
        self.peers = []

    def tearDown(self):
        for peer in self.peers:
            peer.close()
        self.broker.__exit__()

    def peer(self, instance=None):
        peer = Peer(self.broker.endpoints["broker"], instance)
        self.peers.append(peer)
        return peer

    def worker(self, filters=None, instance=None, window=8, **more):
        peer = self.peer(instance)
        peer.welcome = peer.hello_worker("test.worker", filters or [{"type": "a"}], **more)
        peer.credit(window)
        return peer

    def submit(self, count=1):
        producer = self.peer()
        producer.hello()
        return producer.submit(*[task({"type": "a"}) for _ in range(count)])

    def test_silent_worker_loses_its_task_within_expiry_plus_one_second(self):
        silent = self.worker(window=1)
        self.submit()
        first = silent.deliver()[0]
        self.assertEqual(first["attempt"], 1)
        start = time.monotonic()
        other = self.worker()
        second = beat_until(other, "DELIVER", EXPIRY_S + 3)["items"][0]
        self.assertLess(time.monotonic() - start, EXPIRY_S + 1)
        self.assertEqual((second["task"]["uid"], second["attempt"]), (first["task"]["uid"], 2))
        # The one that comes late is fenced: it must say HELLO, and then its delivery is taken.
        silent.report(first, "Finished")
        name, _, body = silent.receive()
        self.assertEqual(name, "ERROR")
        silent.send("HELLO", {"v": 1, "instance": silent.instance, "identity": "test.worker", "role": "worker",
                              "bind": {"filters": [{"type": "a"}], "persistent": True},
                              "held": [{"delivery": first["delivery"], "uid": first["task"]["uid"], "started": True}]})
        self.assertEqual(silent.expect("REVOKE")["deliveries"], [first["delivery"]])
        self.assertNotEqual(silent.settle(first).get("code", 0), 0)
        self.assertEqual(other.settle(second).get("code", 0), 0)

    def test_heartbeats_keep_a_lease_for_twenty_expiries(self):
        worker = self.worker(window=1)
        idle = self.worker(window=8)
        self.submit()
        holder, other = worker, idle
        if not worker.socket.poll(2000):
            holder, other = idle, worker
        item = holder.deliver()[0]
        deadline = time.monotonic() + 20 * EXPIRY_S
        while time.monotonic() < deadline:  # busy in process; only its heartbeats go on (S25)
            holder.send("HEARTBEAT", {}, 0)
            other.send("HEARTBEAT", {}, 0)
            for peer in (holder, other):
                while peer.socket.poll(50):
                    peer.socket.recv()
        self.assertEqual(holder.settle(item).get("code", 0), 0)

    def test_stopped_broker_expires_nobody(self):
        worker = self.worker()
        self.submit()
        item = worker.deliver()[0]
        self.broker.process.send_signal(signal.SIGSTOP)
        time.sleep(EXPIRY_S * 3)  # the stop itself is what is tested
        self.broker.process.send_signal(signal.SIGCONT)
        self.assertEqual(worker.settle(item).get("code", 0), 0)

    def test_task_that_kills_its_workers_is_crashed(self):
        self.submit_to_nobody = self.worker()
        self.submit()
        attempts = []
        item = self.submit_to_nobody.deliver()[0]
        attempts.append(item["attempt"])
        for _ in range(2):
            worker = self.worker()
            attempts.append(beat_until(worker, "DELIVER", 10)["items"][0]["attempt"])
        self.assertEqual(attempts, [1, 2, 3])
        watcher = self.peer()
        watcher.hello("operator", "watcher")
        deadline = time.monotonic() + 10
        crashed = 0
        while not crashed and time.monotonic() < deadline:
            watcher.send("QUERY", {"what": "queues"})
            crashed = sum(row["crashed"] for row in watcher.expect("ANSWER")["rows"])
            watcher.socket.poll(50)
        self.assertEqual(crashed, 1)

    def test_restart_resumes_without_a_second_run(self):
        worker = self.worker(window=2)
        self.submit(3)
        items = []
        while len(items) < 2:
            items += worker.deliver()
        self.broker.kill()
        self.broker.start()
        again = self.peer(worker.instance)
        again.hello_worker("test.worker", [{"type": "a"}], generation=worker.welcome["generation"],
                           held=[{"delivery": item["delivery"], "uid": item["task"]["uid"], "started": True}
                                 for item in items])
        again.credit(3)
        third = beat_until(again, "DELIVER", 10)["items"]
        self.assertEqual(len(third), 1)
        self.assertNotIn(third[0]["task"]["uid"], [item["task"]["uid"] for item in items])
        for item in items + third:
            self.assertEqual(again.settle(item).get("code", 0), 0)

    def test_report_that_the_restarted_broker_knows_only_from_disk(self):
        worker = self.worker()
        self.submit()
        item = worker.deliver()[0]
        worker.report(item, "Finished")
        worker.expect("REPORTED")
        self.broker.kill()
        self.broker.start()
        again = self.worker(instance=worker.instance)
        result = again.settle(item)  # the same report once more
        self.assertEqual(result.get("code", 0), 0)
        self.assertTrue(result.get("gone"))

    def test_changed_bind_retires_the_old_worker(self):
        old = self.worker(filters=[{"type": "a"}])
        new = self.worker(filters=[{"type": "b"}])
        old.expect("RETIRE")
        self.assertNotEqual(old.welcome["generation"], new.welcome["generation"])
        # The retired one that reconnects with its old bind registers nothing.
        back = self.peer(old.instance)
        welcome = back.hello_worker("test.worker", [{"type": "a"}], generation=old.welcome["generation"])
        self.assertTrue(welcome["retiring"])
        watcher = self.peer()
        watcher.hello("operator", "watcher")
        watcher.send("QUERY", {"what": "consumer", "identity": "test.worker"})
        self.assertEqual(watcher.expect("ANSWER")["rows"][0]["filters"], [{"type": "b"}])

    def test_queued_task_that_no_longer_matches_is_finished_unseen(self):
        first = self.worker(window=0)
        self.submit()
        first.send("BYE", {})
        first.expect("BYE")
        second = self.worker(filters=[{"type": "other"}])
        watcher = self.peer()
        watcher.hello("operator", "watcher")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:  # S19
            watcher.send("QUERY", {"what": "queues"})
            row = watcher.expect("ANSWER")["rows"][0]
            if row["normal"] + row["running"] == 0:
                break
        self.assertEqual(row["normal"] + row["running"], 0)
        while second.socket.poll(0):
            self.assertNotEqual(second.receive()[0], "DELIVER")

    def test_empty_filter_drains_and_temporary_goes(self):
        first = self.worker(window=0)
        self.submit(5)
        first.send("BYE", {})
        first.expect("BYE")
        remover = self.peer()
        remover.hello_worker("test.worker", {}, persistent=False)  # S18: an empty dict
        remover.credit(4)
        watcher = self.peer()
        watcher.hello("operator", "watcher")
        deadline = time.monotonic() + 10
        waiting = 5
        while waiting and time.monotonic() < deadline:
            remover.send("HEARTBEAT", {}, 0)
            watcher.send("QUERY", {"what": "queues"})
            waiting = sum(row["normal"] + row["running"] for row in watcher.expect("ANSWER")["rows"])
        self.assertEqual(waiting, 0)
        remover.send("BYE", {})
        remover.expect("BYE")
        rows = [1]
        while rows and time.monotonic() < deadline:
            watcher.send("QUERY", {"what": "consumers"})
            rows = watcher.expect("ANSWER")["rows"]
        self.assertEqual(rows, [])  # S17

    def test_temporary_consumer_over_a_restart(self):
        stays = self.worker(filters=[{"type": "a"}], persistent=False)
        self.broker.kill()
        self.broker.start()
        back = self.peer(stays.instance)
        back.hello_worker("test.worker", [{"type": "a"}], persistent=False, generation=stays.welcome["generation"])
        back.credit(1)
        self.submit()
        beat_until(back, "DELIVER", 10)
        self.broker.kill()
        self.broker.start()
        watcher = self.peer()
        watcher.hello("operator", "watcher")
        rows = [1]
        deadline = time.monotonic() + 15
        while rows and time.monotonic() < deadline:  # nobody comes back: it goes after the grace
            watcher.send("QUERY", {"what": "consumers"})
            rows = watcher.expect("ANSWER")["rows"]
            watcher.socket.poll(100)
        self.assertEqual(rows, [])


class WaitingTest(unittest.TestCase):
    def test_waiting_for_a_broker_costs_next_to_nothing(self):
        env = dict(os.environ, KARTON_BROKER_ADDRESS="tcp://127.0.0.1:1")
        worker = Process([os.path.join(bin_dir(), "zkarton"), "exec", "waiting", "x=y", "--", "true"], env=env,
                         stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with self.assertRaises(subprocess.TimeoutExpired):
                worker.wait(8)  # longer than a WELCOME may take
            with open(f"/proc/{worker.pid}/stat", encoding="utf-8") as file:
                words = file.read().rpartition(")")[2].split()
            self.assertLess((int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"), 1.0)
        finally:
            worker.kill()
            worker.wait()



if __name__ == "__main__":
    unittest.main()
