"""Byte scripts against a real broker: what a peer may send wrong, and what it is told.

scripts/*.json holds lists of {"name", "steps", "counts"?}. Steps, on one connection, in order:
  {"send": "hex"}                 one frame of these bytes
  {"send": [verb, id, body]}      one frame, packed
  {"send_parts": [frame, …]}      several frames of one message
  {"expect": {"verb", "id"?, "code"?, "text"?, …}}  the next message; code by name, text: part of its sentence, any other
                                  key: a part of the body
  {"expect": "silence"}           nothing comes until a question that is asked now is answered
  {"write": "hex"}, {"zmtp": true}, {"expect": "closed"}  on a bare TCP connection; zmtp says hello as libzmq does
Inside a body {"bin": "hex"} is bytes ("$instance": 16 random ones of the script), {"ext": [type, "hex"]} an ext value,
{"fill": ["hex", times]} a run of bytes (a text with "as": "text"), {"raw": …} bytes put in as they are.
After each script nothing may have changed: no consumer, no task, and the broker answers. `counts` of /metrics must have
grown by so much.
"""
import glob
import json
import os
import socket
import struct
import time
import unittest
import uuid

import msgpack

from support.broker import SOURCE, Broker
from support.zkp import NAMES, VERBS, Peer

DEADLINE_S = 20
HERE = os.path.dirname(os.path.abspath(__file__))
RAW_MARK = b"raw bytes go here"


def load(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return json.load(file)


CODES = {error["name"]: error["number"] for error in load(SOURCE, "schemas", "errors.json")["errors"]}


class Packer:
    """Frames out of what the scripts say."""

    def __init__(self):
        self.instance = uuid.uuid4().bytes
        self.raw = None

    def data(self, value):
        if value == "$instance":
            return self.instance
        if isinstance(value, dict):
            unit, times = value["fill"]
            return bytes.fromhex(unit) * times
        return bytes.fromhex(value)

    def plain(self, value):
        if isinstance(value, list):
            return [self.plain(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "fill" in value:
            data = self.data(value)
            return data.decode() if value.get("as") == "text" else data
        if "bin" in value:
            return self.data(value["bin"])
        if "ext" in value:
            return msgpack.ExtType(value["ext"][0], bytes.fromhex(value["ext"][1]))
        if "raw" in value:
            self.raw = self.data(value["raw"])
            return RAW_MARK
        return {key: self.plain(item) for key, item in value.items()}

    def frame(self, what):
        if not isinstance(what, list):
            return self.data(what)
        self.raw = None
        packed = msgpack.packb([VERBS[what[0]], what[1], self.plain(what[2])])
        return packed if self.raw is None else packed.replace(msgpack.packb(RAW_MARK), self.raw)


class Connection:
    """One ZMTP connection of a script."""

    def __init__(self, test, broker):
        self.test = test
        self.packer = Packer()
        self.peer = Peer(broker.endpoints["broker"], self.packer.instance)

    def close(self):
        self.peer.close()

    def step(self, step):
        if "send" in step:
            self.peer.send_raw(self.packer.frame(step["send"]))
        elif "send_parts" in step:
            self.peer.socket.send_multipart([self.packer.frame(part) for part in step["send_parts"]])
        elif step["expect"] == "silence":
            ident = self.peer.send("QUERY", {"what": "consumers"}, 424242)
            self.expect({"verb": "ANSWER", "id": ident})
        else:
            self.expect(step["expect"])

    def expect(self, expected):
        verb, ident, body = self.peer.receive(DEADLINE_S)
        got = f"{verb} {ident} {body}"
        self.test.assertEqual(verb, expected["verb"], got)
        for key, value in expected.items():
            if key == "id":
                self.test.assertEqual(ident, value, got)
            elif key == "code":
                self.test.assertEqual(body["code"], CODES[value], got)
            elif key == "text":
                self.test.assertIn(value, body["message"], got)
            elif key != "verb":
                self.expect_part(body[key], value, got)

    def expect_part(self, got, expected, text):
        if isinstance(expected, list):
            self.test.assertEqual(len(got), len(expected), text)
            for one, other in zip(got, expected):
                self.expect_part(one, other, text)
        elif isinstance(expected, dict):
            for key, value in expected.items():
                self.expect_part(got[key], value, text)
        else:
            self.test.assertEqual(got, expected, text)


class Stream:
    """One bare TCP connection of a script."""

    GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
    READY = b"\x04\x1a\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"

    def __init__(self, test, broker):
        host, port = broker.endpoints["broker"].removeprefix("tcp://").rsplit(":", 1)
        self.test = test
        self.socket = socket.create_connection((host, int(port)), DEADLINE_S)

    def close(self):
        self.socket.close()

    def read(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            self.test.assertTrue(more, f"closed after {data!r}")
            data += more
        return data

    def step(self, step):
        if "write" in step:
            self.socket.sendall(bytes.fromhex(step["write"]))
        elif "zmtp" in step:
            self.socket.sendall(self.GREETING)
            self.assert_greeting(self.read(64))
            self.socket.sendall(self.READY)
            self.read(2)
        else:
            self.test.assertEqual(step["expect"], "closed")
            try:
                while self.socket.recv(65536):
                    pass
            except ConnectionResetError:
                pass

    def assert_greeting(self, data):
        self.test.assertEqual((data[0], data[9]), (0xff, 0x7f))


def check_unchanged(test, broker):
    with Peer(broker.endpoints["broker"]) as peer:
        peer.hello("operator", "wire.check")
        for what in ("consumers", "tasks"):
            peer.send("QUERY", {"what": what})
            test.assertEqual(peer.expect("ANSWER")["rows"], [], what)
        peer.send("BYE", {})
        peer.expect("BYE")


def wait_for_count(test, broker, name, least):
    """Counts of connections come a little after the connections: each question to the broker is a turn of its loop."""
    deadline = time.monotonic() + DEADLINE_S
    while broker.metric(name) < least:
        test.assertLess(time.monotonic(), deadline, name)


def run_script(test, script):
    broker = test.broker
    before = {name: broker.metric(name) for name in script.get("counts", {})}
    is_stream = any("write" in step for step in script["steps"])
    connection = (Stream if is_stream else Connection)(test, broker)
    try:
        for step in script["steps"]:
            connection.step(step)
    finally:
        connection.close()
    check_unchanged(test, broker)
    for name, grown in script.get("counts", {}).items():
        wait_for_count(test, broker, name, before[name] + grown)


class OneBroker(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker().start()

    @classmethod
    def tearDownClass(cls):
        try:
            cls.assertIsNone(cls(), cls.broker.process.poll())
        finally:
            cls.broker.__exit__()


def scripts_class(path):
    members = {}
    for script in load(path):
        word = "".join(letter if letter.isalnum() else "_" for letter in script["name"])
        assert f"test_{word}" not in members, script["name"]
        members[f"test_{word}"] = lambda self, script=script: run_script(self, script)
    return type(os.path.basename(path).removesuffix(".json").capitalize() + "Script", (OneBroker,), members)


for script_path in sorted(glob.glob(os.path.join(HERE, "scripts", "*.json"))):
    made = scripts_class(script_path)
    globals()[made.__name__] = made
del made


def vector_data(row):
    data = bytes.fromhex(row["hex"])
    if "repeat" in row:
        byte, times, at = row["repeat"]
        data = data[:at] + bytes([byte]) * times + data[at:]
    return data


class VectorTest(OneBroker):
    """The vectors of schemas/vectors/commands.json, said to a broker."""

    def test_every_wrong_frame_is_refused_by_name_and_the_session_goes_on(self):
        with Peer(self.broker.endpoints["broker"]) as peer:
            peer.hello()
            for row in load(SOURCE, "schemas", "vectors", "commands.json"):
                if "error" not in row:
                    continue
                with self.subTest(row["name"]):
                    peer.send_raw(vector_data(row))
                    verb, _, body = peer.receive(DEADLINE_S)
                    self.assertEqual(verb, "ERROR")
                    self.assertEqual(body["code"], CODES[row["error"]], body)
                    self.assertTrue(body["message"].startswith(row["field"]), body)
            peer.send("QUERY", {"what": "consumers"})
            self.assertEqual(peer.expect("ANSWER")["rows"], [])
        check_unchanged(self, self.broker)

    def test_what_only_the_broker_says_is_illegal(self):
        with Peer(self.broker.endpoints["broker"]) as peer:
            peer.hello()
            said = {verb["name"] for verb in load(SOURCE, "schemas", "protocol.json")["verbs"] if verb["from"] == "broker"}
            for row in load(SOURCE, "schemas", "vectors", "commands.json"):
                if "error" in row or row["decoded"]["verb"] not in said:
                    continue
                with self.subTest(row["name"]):
                    peer.send_raw(vector_data(row))
                    verb, ident, body = peer.receive(DEADLINE_S)
                    self.assertEqual((verb, ident), ("ERROR", row["decoded"]["id"]))
                    self.assertEqual(body["code"], CODES["VERB_ILLEGAL"], body)
        check_unchanged(self, self.broker)

    def test_every_verb_of_the_schema_is_known_to_the_peer_of_the_tests(self):
        self.assertEqual(VERBS, {verb["name"]: verb["number"] for verb in load(SOURCE, "schemas", "protocol.json")["verbs"]})
        self.assertEqual(len(NAMES), len(VERBS))




if __name__ == "__main__":
    unittest.main()
