"""karton-dashboard 1.7.0, unmodified, reading through our backend (parity D1-D5); what it cannot do says so.

The table in docs/from-karton.md names each page.
"""
import hashlib
import json
import os
import re
import unittest
import urllib.error
import urllib.request
import uuid

import msgpack

from support.karton import DEADLINE_S, PROGRAMS, Zkarton
from support.zkp import Peer, task

CONTENT = b"bytes of the file"
PATIENCE_MS = 600_000


class Dashboard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.side = cls.enterClassContext(Zkarton())
        gate = os.path.join(cls.side.dir, "gate")
        os.mkfifo(gate)
        cls.service = cls.side.spawn(os.path.join(PROGRAMS, "behaves.py"), SELF="seen", GATE=gate)
        cls.side.wait_for(cls.service, "Binding on:")
        cls.peer = cls.enterClassContext(Peer(cls.side.broker.endpoints["broker"]))
        cls.peer.hello("producer", "test.peer", expiry_ms=PATIENCE_MS)
        cls.crashed = cls.send_with_file("half")
        cls.peer.send("WAIT", {"root": uuid.UUID(cls.crashed).bytes})
        cls.peer.expect("DONE", DEADLINE_S)
        cls.pending = cls.send_with_file("wait")
        cls.side.wait_for(cls.service, "at the gate")
        dashboard = cls.side.spawn("karton-dashboard", "run", "-p", "0")
        line = cls.side.wait_for(dashboard, "Running on http")
        cls.address = re.search(r"http://[\w.:]+", line).group()

    @classmethod
    def send_with_file(cls, do):
        resource = {"uid": uuid.uuid4().bytes, "size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).digest()}
        cls.peer.send("UPLOAD", {"items": [resource]})
        url = cls.peer.expect("URLS")["items"][0]["url"].replace("://:", "://127.0.0.1:")
        urllib.request.urlopen(urllib.request.Request(url, method="PUT", data=CONTENT), timeout=DEADLINE_S).close()
        sent = task({"type": "behave", "to": "seen", "do": do}, payload={"sample": msgpack.ExtType(3, b"\0\0\0\0"), "n": 5})
        sent["resources"] = [dict(resource, name="file.bin")]
        assert cls.peer.submit(sent)[0]["taken"] == 1
        return str(uuid.UUID(bytes=sent["uid"]))

    def get(self, path, data=None):
        """(status, text)."""
        request = urllib.request.Request(self.address + path, data=data, headers={"Referer": self.address + "/"})
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def json(self, path):
        status, text = self.get(path)
        self.assertEqual(status, 200, text)
        return json.loads(text)

    def crashed_of(self, root):
        """The one crashed task of an analysis."""
        [uid] = [uid for uid in self.json("/api/queue/test.seen")["crashed"] if uid.startswith("{" + root + "}")]
        return uid

    def test_queues(self):
        queue = self.json("/api/queues")["test.seen"]
        self.assertEqual((queue["version"], queue["service_version"], queue["persistent"]), ("5.9.1", "1", True))
        self.assertGreaterEqual(queue["replicas"], 1)
        self.assertEqual([uid.startswith("{" + self.pending + "}") for uid in queue["tasks"]], [True])
        self.assertIn(self.crashed_of(self.crashed), queue["crashed"])
        self.assertEqual(self.json("/api/queue/test.seen"), queue)
        for path, word in (("/", "test.seen"), ("/queue/test.seen", self.pending), ("/queue/test.seen/crashed", "after the child")):
            status, text = self.get(path)
            self.assertEqual(status, 200)
            self.assertIn(word, text)
        self.assertEqual(self.get("/queue/nobody")[0], 404)

    def test_task(self):
        uid = self.crashed_of(self.crashed)
        document = self.json("/api/task/" + uid)
        self.assertEqual((document["uid"], document["status"], document["root_uid"]), (uid, "Crashed", self.crashed))
        self.assertEqual(document["headers"], {"type": "behave", "to": "seen", "do": "half", "origin": "test.peer",
                                               "receiver": "test.seen"})
        resource = document["payload"]["sample"]["__karton_resource__"]
        self.assertEqual(document["payload"]["n"], 5)
        self.assertEqual((resource["name"], resource["size"], resource["bucket"]), ("file.bin", len(CONTENT), "karton"))
        self.assertEqual(resource["sha256"], hashlib.sha256(CONTENT).hexdigest())
        status, page = self.get("/task/" + uid)
        self.assertEqual(status, 200)
        self.assertIn("file.bin", page)
        download = f"/resource/download/karton/{resource['uid']}/{resource['sha256']}"
        self.assertEqual(self.get(download), (200, CONTENT.decode()))
        self.assertEqual(self.get("/task/" + str(uuid.uuid4()))[0], 404)

    def test_analysis(self):
        analysis = self.json("/api/analysis/" + self.pending)
        self.assertEqual(analysis["uid"], self.pending)
        self.assertEqual([one["status"] for one in analysis["queues"]["test.seen"]], ["Started"])
        self.assertEqual(self.get("/analysis/" + self.pending)[0], 200)
        self.assertEqual(self.get("/analysis/" + str(uuid.uuid4()))[0], 404)

    def test_metrics_and_services(self):
        status, text = self.get("/varz")
        self.assertEqual(status, 200)
        self.assertRegex(text, r'karton_tasks\{name="test_seen",priority="normal",status="Crashed"\} [12]\.0')
        self.assertIn('karton_tasks{name="test_seen",priority="normal",status="Started"} 1.0', text)
        self.assertIn('karton_replicas{name="test_seen",version="5.9.1"}', text)
        self.assertRegex(text, r'karton_metrics\{metric="produced",name="test\.peer"\} [23]\.0')
        status, text = self.get("/services")
        self.assertEqual(status, 200)
        self.assertIn("zkarton-broker", text)

    def test_restart_of_a_crashed_task(self):
        root = self.send_with_file("half")
        self.side.drain()
        # It waits behind the one at the gate: a second worker takes it.
        second = self.side.spawn(os.path.join(PROGRAMS, "behaves.py"), SELF="seen")
        self.side.wait_for(second, "Failed to process task")
        self.peer.send("WAIT", {"root": uuid.UUID(root).bytes})
        self.peer.expect("DONE", DEADLINE_S)
        uid = self.crashed_of(root)
        self.assertEqual(self.get(f"/restart_task/{uid}/restart", b"")[0], 200)
        self.side.wait_for(second, "Failed to process task")
        self.assertEqual(self.get("/api/task/" + uid)[0], 404)
        second.kill()

    def test_what_is_not_served(self):
        """The server's page says nothing; its log has the sentence."""
        uid = self.crashed_of(self.crashed)
        self.assertEqual(self.get(f"/cancel_task/{uid}/cancel", b"")[0], 500)
        self.assertEqual(self.get("/graph/generate")[0], 500)
        text = self.side.drain()
        self.assertIn("the broker cannot cancel tasks", text)
        self.assertIn("backend.get_outputs is not served on zkarton: what services send is not recorded", text)


if __name__ == "__main__":
    unittest.main()
