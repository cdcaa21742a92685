#!/usr/bin/env python3
"""Makes the vectors with Python's msgpack, so that no codec of ours is asked about itself.

values.json    {name, hex, decoded | error}: one value; decoded is JSON as Python's json reads it.
commands.json  {name, hex, decoded | error, field}: one frame; in decoded bin is hex, a verb its name.
merge.json     {name, parent_persistent, payload, persistent, decoded}: what a child's bags become (protocol, Tasks).
A reference to a resource is {"__karton_resource__": index}. `canonical: false`: it is read, but written otherwise.

`make.py` writes, `make.py --check` exits 1 when a file differs from what would be written. Needs msgpack.
"""
import json
import os
import sys

import msgpack

HERE = os.path.dirname(os.path.abspath(__file__))
VERBS = {verb["name"]: verb["number"]
         for verb in json.load(open(os.path.join(HERE, "..", "protocol.json"), encoding="utf-8"))["verbs"]}
ext = msgpack.ExtType


def pack(value):
    return msgpack.packb(value, use_bin_type=True)


def plain(value):
    """Wire to JSON."""
    if isinstance(value, ext):
        if value.code == 1:
            return int(value.data)
        if value.code == 2:
            return value.data.decode("utf-8", "surrogatepass")
        return {"__karton_resource__": int.from_bytes(value.data, "big")}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def bigint(number):
    return ext(1, str(number).encode())


def wtf8(text):
    return ext(2, text.encode("utf-8", "surrogatepass"))


def resource(index):
    return ext(3, index.to_bytes(4, "big"))


# ---- Values

def values():
    good = {
        "null": None, "true": True, "false": False,
        "0": 0, "1": 1, "127": 127, "128": 128, "255": 255, "256": 256, "65535": 65535, "65536": 65536,
        "2^32-1": 2**32 - 1, "2^32": 2**32, "2^63-1": 2**63 - 1, "2^63": 2**63, "2^64-1": 2**64 - 1,
        "-1": -1, "-32": -32, "-33": -33, "-128": -128, "-129": -129, "-32768": -32768, "-32769": -32769,
        "-2^31": -2**31, "-2^31-1": -2**31 - 1, "-2^63": -2**63,
        "2^64": bigint(2**64), "-2^63-1": bigint(-2**63 - 1), "a modulus of 2048 bits": bigint(2**2048 - 1942289),
        "4300 digits": bigint(10**4299 + 7),
        "0.0": 0.0, "-0.0": -0.0, "1.5": 1.5, "0.1": 0.1, "1e16": 1e16, "5e-324": 5e-324,
        "1.7976931348623157e308": 1.7976931348623157e308, "infinity": float("inf"), "-infinity": float("-inf"),
        "nan": float("nan"),
        "empty text": "", "text": "karton", "text with NUL": "a\0b", "text of 31 bytes": "x" * 31,
        "text of 32 bytes": "x" * 32, "text of 256 bytes": "y" * 256, "text of 65536 bytes": "z" * 65536,
        "two bytes": "é", "three bytes": "漢", "four bytes": "😀", "greatest character": "\U0010ffff",
        "byte order mark": "\ufeff", "noncharacter": "\uffff",
        "lone high surrogate": wtf8("\ud800"), "lone low surrogate": wtf8("\udfff"),
        "surrogates the wrong way round": wtf8("\udc00\ud800"), "file name of undecodable bytes": wtf8("a\udcffb.exe"),
        "empty list": [], "list": [1, "two", 3.0, None, True], "list of 16": list(range(16)),
        "list of 300": [0] * 300,
        "empty map": {}, "map": {"a": 1, "b": [2], "c": {"d": None}}, "map of 16": {str(key): key for key in range(16)},
        "empty key": {"": 1}, "key with NUL": {"a\0b": 1, "a": 2}, "key with a surrogate": {wtf8("\ud800"): 1},
        "key that looks like a path": {"a.b[0]": 1},
        "first resource": resource(0), "last resource": resource(2**32 - 1), "resources inside": {"a": [resource(1), {"b": resource(2)}]},
        "header like T3": {"n": bigint(10**30), "x": float("nan"), "s": wtf8("\udc80")},
    }
    for name, value in good.items():
        yield {"name": name, "hex": pack(value).hex(), "decoded": plain(value)}
    nested = 1
    for _ in range(60):  # with the two around it the file stays readable for those who stop at 64
        nested = [nested]
    yield {"name": "60 lists deep", "hex": pack(nested).hex(), "decoded": nested}
    loose = {
        "1 in 9 bytes": ("d30000000000000001", 1), "1 in 5 bytes": ("ce00000001", 1), "-1 in 3 bytes": ("d1ffff", -1),
        "float of 32 bits": ("ca3fc00000", 1.5), "text with a long head": ("db0000000161", "a"),
        "list with a long head": ("dd0000000101", [1]), "map with a long head": ("df00000001a16101", {"a": 1}),
        "small integer as ext 1": (pack(bigint(7)).hex(), 7), "2^63 as ext 1": (pack(bigint(2**63)).hex(), 2**63),
        "ext 1 with leading zeros": (pack(ext(1, b"-007")).hex(), -7), "minus nothing": (pack(ext(1, b"-0")).hex(), 0),
        "plain text as ext 2": (pack(wtf8("plain")).hex(), "plain"), "ext 2 with a long head": ("c9000000010261", "a"),
        "nan with a payload": ("cb7ff8000000000001", float("nan")),
    }
    for name, (data, decoded) in loose.items():
        yield {"name": name, "hex": data, "decoded": decoded, "canonical": False}
    many = pack([0] * 262144)
    bad = {
        "nothing": ("", "INVALID"), "the code that is never used": ("c1", "INVALID"),
        "text cut short": ("a56162", "INVALID"), "integer cut short": ("cf0000", "INVALID"),
        "list cut short": ("9301", "INVALID"), "list that announces 2^32-1": ("ddffffffff", "INVALID"),
        "map that announces 2^32-1": ("dfffffffff", "INVALID"), "map without its last value": ("81a161", "INVALID"),
        "lists that announce and hold nothing": ("dd00000040" * 32 + "c0" * 64, "INVALID"),
        "two values": ("0101", "INVALID"), "bytes": ("c40100", "INVALID"),
        "text that is not UTF-8": ("a1ff", "INVALID"), "text with a surrogate": ("a3eda080", "INVALID"),
        "overlong text": ("a2c080", "INVALID"), "text beyond Unicode": ("a4f4908080", "INVALID"),
        "key that is a number": ("810101", "INVALID"), "key that is nil": ("81c001", "INVALID"),
        "key that is a list": ("819001", "INVALID"), "key twice": ("82a16101a16102", "INVALID"),
        "key twice among many": (pack({str(key): 0 for key in range(40)}).hex().replace("de0028", "de0029", 1) + "a13000",
                                 "INVALID"),
        "key twice, once as ext 2": ("82a16101d4026102", "INVALID"),
        "ext 1 of letters": (pack(ext(1, b"12x")).hex(), "INVALID"), "ext 1 with a plus": (pack(ext(1, b"+1")).hex(), "INVALID"),
        "ext 1 of nothing": (pack(ext(1, b"")).hex(), "INVALID"), "ext 1 of a minus": (pack(ext(1, b"-")).hex(), "INVALID"),
        "ext 1 with a space": (pack(ext(1, b" 1")).hex(), "INVALID"),
        "16385 digits": (pack(ext(1, b"1" + b"0" * 16384)).hex(), "INVALID"),
        "ext 2 that is not WTF-8": (pack(ext(2, b"\xff")).hex(), "INVALID"),
        "ext 2 with a pair of surrogates": (pack(ext(2, b"\xed\xa0\x80\xed\xb0\x80")).hex(), "INVALID"),
        "ext 3 of 3 bytes": (pack(ext(3, b"\0\0\0")).hex(), "INVALID"), "ext 4": (pack(ext(4, b"x")).hex(), "INVALID"),
        "timestamp": ("d6ff00000000", "INVALID"),
        "65 lists deep": ("91" * 65 + "01", "TOO_LARGE"), "65 maps deep": ("81a161" * 65 + "01", "TOO_LARGE"),
        "100000 lists deep": ("91" * 100000, "TOO_LARGE"),
        "262145 values": (many.hex(), "TOO_LARGE"),
    }
    for name, (data, error) in bad.items():
        yield {"name": name, "hex": data, "error": error}


# ---- Commands

def uid(byte):
    return bytes([byte]) * 16


SHA = bytes(range(32))
PAYLOAD = pack({"sample": resource(0), "n": 3})
FILE = {"uid": uid(0x51), "name": "sample.exe", "bucket": "karton", "size": 1234, "sha256": SHA, "flags": 1,
        "metadata": {"k": "v"}}
EMPTY_FILE = {"uid": uid(0x52), "name": "empty", "size": 0,
              "sha256": bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")}
UNKNOWN_FILE = {"uid": uid(0x53), "name": wtf8("\udcff.bin"), "size": -1}
TASK = {"uid": uid(1), "root": uid(2), "parent": uid(3), "orig": uid(4), "prio": 2,
        "headers": {"type": "sample", "kind": "raw", "n": bigint(2**70), "x": float("inf"), "s": wtf8("\ud800")},
        "hp": ["kind"], "payload": PAYLOAD, "pp": pack({"level": 1}), "resources": [FILE, EMPTY_FILE, UNKNOWN_FILE]}
SMALL = {"uid": uid(1), "prio": 1, "headers": {}}

GOOD = {
    "HELLO of a producer": ("HELLO", 1, {"v": 1, "instance": uid(7), "identity": "", "role": "producer"}),
    "HELLO of a worker": ("HELLO", 1, {
        "v": 1, "instance": uid(7), "identity": "karton.unpacker", "role": "worker", "host": "h", "pid": 42,
        "lang": "c/0.1.0", "bind": {"filters": [{"type": "sample"}], "persistent": True, "info": "Unpacks",
                                    "version": "0.1.0", "service_version": "2", "is_async": True},
        "concurrency": 4, "transactional": True, "expiry_ms": 60000}),
    "HELLO of a temporary worker": ("HELLO", 1, {"v": 1, "instance": uid(7), "identity": "t", "role": "worker",
                                                  "bind": {"filters": [], "persistent": False}}),
    "HELLO that joins": ("HELLO", 1, {"v": 1, "instance": uid(7), "identity": "x", "role": "worker", "join": True}),
    "HELLO that resumes": ("HELLO", 9, {
        "v": 1, "instance": uid(7), "identity": "é", "role": "worker",
        "bind": {"filters": [{"a": {"$regex": "^x"}}, {"b": bigint(10**20)}], "persistent": True}, "generation": 17,
        "held": [{"delivery": 2**53 - 1, "uid": uid(8), "started": True}, {"delivery": 5, "uid": uid(9)}]}),
    "HELLO of an operator": ("HELLO", 0, {"v": 1, "instance": uid(7), "identity": "zkarton", "role": "operator"}),
    "WELCOME": ("WELCOME", 1, {
        "session": 3, "generation": 17, "interval_ms": 2000, "expiry_ms": 10000, "time_ms": 1764000000000,
        "last_number": 12, "submit_tasks": 256, "submit_bytes": 1 << 20, "task_bytes": 4 << 20, "events": "tcp://:5571",
        "http": "http://:5572", "object": "dir", "retiring": True}),
    "WELCOME of a producer": ("WELCOME", 1, {
        "session": 1, "interval_ms": 1, "expiry_ms": 2, "time_ms": -1, "last_number": 0, "submit_tasks": 1,
        "submit_bytes": 1, "task_bytes": 1}),
    "HEARTBEAT": ("HEARTBEAT", 0, {}),
    "SUBMIT of one small task": ("SUBMIT", 5, {"number": 1, "tasks": [SMALL]}),
    "SUBMIT of a child with everything": ("SUBMIT", 2**63 - 1, {"number": 2**40, "delivery": 99, "tasks": [TASK]}),
    "SUBMIT of 256": ("SUBMIT", 6, {"number": 2, "tasks": [SMALL] * 256}),
    "SUBMITTED": ("SUBMITTED", 5, {"number": 1, "results": [
        {"uid": uid(1), "taken": 3}, {"uid": uid(2)}, {"uid": uid(3), "code": 28, "message": "tasks[2]: unknown"}]}),
    "CREDIT": ("CREDIT", 0, {"window": 64}),
    "CREDIT that stops": ("CREDIT", 0, {"window": 0}),
    "DELIVER": ("DELIVER", 0, {"items": [{"delivery": 1 << 20, "attempt": 1, "task": TASK},
                                         {"delivery": 1048577, "attempt": 3, "task": SMALL}]}),
    "REPORT": ("REPORT", 8, {"items": [
        {"delivery": 1, "uid": uid(1), "state": "Started"},
        {"delivery": 1, "uid": uid(1), "state": "Finished", "after": 77},
        {"delivery": 2, "uid": uid(2), "state": "Crashed", "error": "Traceback\nValueError: é"},
        {"delivery": 3, "uid": uid(3), "state": "Crashed", "error": wtf8("\udc80")},
        {"delivery": 4, "uid": uid(4), "state": "Returned", "delay_ms": 500}]}),
    "REPORTED": ("REPORTED", 8, {"items": [
        {"delivery": 1, "uid": uid(1)}, {"delivery": 2, "uid": uid(2), "code": 13},
        {"delivery": 3, "uid": uid(3), "code": 22}, {"delivery": 4, "uid": uid(4), "gone": True}]}),
    "REVOKE": ("REVOKE", 0, {"deliveries": [1, 2**53 - 1], "reason": "cancelled"}),
    "REVOKE of nothing": ("REVOKE", 0, {"deliveries": []}),
    "LOG": ("LOG", 0, {"records": [{"levelname": "INFO", "message": "hello", "n": bigint(2**64), "task": {"uid": "x"}}, {}]}),
    "UPLOAD": ("UPLOAD", 3, {"items": [{"uid": uid(1), "size": 0, "sha256": SHA}, {"uid": uid(2), "size": 2**40, "sha256": SHA}]}),
    "UPLOAD in another name": ("UPLOAD", 3, {"items": [
        {"uid": uid(1), "size": 5, "sha256": SHA, "holder": uid(9)}, {"uid": uid(2), "size": 5, "sha256": SHA, "holder": uid(9), "take": True}]}),
    "URLS with parts": ("URLS", 3, {"items": [{"uid": uid(1), "url": "http://:5572/x", "part_size": 16 << 20}]}),
    "PARTS": ("PARTS", 3, {"uid": uid(1), "first": 1, "count": 32}),
    "PARTS, further": ("PARTS", 3, {"uid": uid(1), "upload": "2~x", "first": 33, "count": 256}),
    "PART_URLS": ("PART_URLS", 3, {"uid": uid(1), "upload": "2~x", "part_size": 16 << 20, "first": 1,
                                   "items": [{"url": "http://:5572/x?partNumber=1"}, {"url": "http://:5572/x?partNumber=2"}]}),
    "COMPLETE": ("COMPLETE", 3, {"uid": uid(1), "upload": "2~x", "items": [{"etag": '"a"'}, {"etag": '"b"'}]}),
    "COMPLETED": ("COMPLETED", 3, {"uid": uid(1)}),
    "DOWNLOAD": ("DOWNLOAD", 3, {"items": [{"uid": uid(1)}]}),
    "URLS": ("URLS", 3, {"items": [{"uid": uid(1), "url": "http://:5572/karton/x?X-Amz-Signature=1"},
                                   {"uid": uid(2), "code": 28, "message": "not yours"}]}),
    "WAIT": ("WAIT", 4, {"root": uid(6)}),
    "DONE": ("DONE", 4, {"root": uid(6), "finished": 12, "crashed": 1, "elapsed_ms": -1}),
    "QUERY": ("QUERY", 4, {"what": "tasks", "state": "Started", "limit": 10, "after": "x"}),
    "ANSWER": ("ANSWER", 4, {"rows": [{"identity": "a", "n": 1.5, "payload": b"\x81\xa1a\x01"}, 5], "next": "cursor"}),
    "ANSWER of nothing": ("ANSWER", 4, {"rows": []}),
    "CONTROL": ("CONTROL", 4, {"what": "retry", "uid": "47db1ea8-3531-4bea-a3b2-b29dfbd8b100"}),
    "RETIRE": ("RETIRE", 0, {"reason": "the bind was replaced"}),
    "RETIRE without a reason": ("RETIRE", 0, {}),
    "BYE": ("BYE", 2, {}),
    "ERROR": ("ERROR", 5, {"code": 10, "message": "later", "verb": 4, "retryable": True}),
    "ERROR of a frame that could not be read": ("ERROR", 0, {"code": 1, "message": "frame", "retryable": False}),
}

# Read the same as their neighbours, written otherwise.
LOOSE = {
    "keys in another order": ("CREDIT", 0, {"later": {"x": [1]}, "window": 3}, {"window": 3}),
    "nil is absent": ("SUBMIT", 5, {"number": 1, "delivery": None, "tasks": [dict(SMALL, parent=None, hp=None)]},
                      {"number": 1, "tasks": [SMALL]}),
    "bytes under a key that nobody knows": ("HEARTBEAT", 0, {"x": b"\0"}, {}),
}
GOOD["identity that is not UTF-8"] = ("HELLO", 1, {"v": 1, "instance": uid(7), "identity": wtf8("\ud800"), "role": "worker"})


def changed(body, **more):
    body = dict(body, **more)
    return {key: value for key, value in body.items() if value is not ...}


def submit_of(**more):
    return {"number": 1, "tasks": [changed(SMALL, **more)]}


def hello(**more):
    return changed(GOOD["HELLO of a worker"][2], **more)


def report(**more):
    return {"items": [changed({"delivery": 1, "uid": uid(1), "state": "Finished"}, **more)]}


def bad_frames():
    raw = lambda verb, body, ident=1: pack([VERBS.get(verb, verb), ident, body])
    one = 1 << 20
    return {
        "empty frame": (b"", "INVALID", "frame"), "garbage": (b"\xff\xfe\xfdgarbage", "INVALID", "frame"),
        "HTTP": (b"GET / HTTP/1.1\r\n\r\n", "INVALID", "frame"), "a map": (pack({"a": 1}), "INVALID", "frame"),
        "a list of two": (pack([3, 0]), "INVALID", "frame"), "a list of four": (pack([3, 0, {}, 0]), "INVALID", "frame"),
        "something behind": (pack([3, 0, {}]) + b"\0", "INVALID", "frame"),
        "verb as text": (pack(["HELLO", 1, {}]), "INVALID", "verb"), "verb below 0": (pack([-1, 1, {}]), "INVALID", "verb"),
        "verb 0": (pack([0, 1, {}]), "VERB_UNKNOWN", "verb"), "verb 99": (pack([99, 1, {}]), "VERB_UNKNOWN", "verb"),
        "verb 2^32+4": (pack([2**32 + 4, 1, {}]), "VERB_UNKNOWN", "verb"), "verb 2^64-1": (pack([2**64 - 1, 1, {}]), "INVALID", "verb"),
        "id as text": (pack([3, "1", {}]), "INVALID", "id"), "id below 0": (pack([3, -1, {}]), "INVALID", "id"),
        "id 2^63": (pack([3, 2**63, {}]), "INVALID", "id"), "id nil": (pack([3, None, {}]), "INVALID", "id"),
        "body nil": (raw("HEARTBEAT", None), "INVALID", "HEARTBEAT"), "body a list": (raw("CREDIT", [1]), "INVALID", "CREDIT"),
        "body cut short": (raw("CREDIT", {"window": 1000})[:-1], "INVALID", "CREDIT.window"),
        "key that is no text": (raw("CREDIT", {1: 2}), "INVALID", "CREDIT"),
        "key as ext 2": (raw("CREDIT", {wtf8("window"): 2}), "INVALID", "CREDIT"),
        "field twice": (bytes.fromhex("93060082") + pack("window") + b"\1" + pack("window") + b"\2", "INVALID", "CREDIT.window"),
        "field missing": (raw("CREDIT", {}), "INVALID", "CREDIT.window"),
        "required field nil": (raw("CREDIT", {"window": None}), "INVALID", "CREDIT.window"),
        "window as text": (raw("CREDIT", {"window": "1"}), "INVALID", "CREDIT.window"),
        "window as float": (raw("CREDIT", {"window": 1.0}), "INVALID", "CREDIT.window"),
        "window as boolean": (raw("CREDIT", {"window": True}), "INVALID", "CREDIT.window"),
        "window below 0": (raw("CREDIT", {"window": -1}), "INVALID", "CREDIT.window"),
        "window over its limit": (raw("CREDIT", {"window": 4097}), "INVALID", "CREDIT.window"),
        "HELLO of version 2": (raw("HELLO", {"later": 1, "v": 2}), "VERSION_UNSUPPORTED", "HELLO.v"),
        "HELLO of version \"1\"": (raw("HELLO", hello(v="1")), "VERSION_UNSUPPORTED", "HELLO.v"),
        "HELLO without a version": (raw("HELLO", {}), "INVALID", "HELLO.v"),
        "HELLO without an instance": (raw("HELLO", hello(instance=...)), "INVALID", "HELLO.instance"),
        "HELLO with an instance of 15 bytes": (raw("HELLO", hello(instance=b"x" * 15)), "INVALID", "HELLO.instance"),
        "HELLO with an instance as text": (raw("HELLO", hello(instance="x" * 16)), "INVALID", "HELLO.instance"),
        "HELLO with an instance of zeros": (raw("HELLO", hello(instance=bytes(16))), "INVALID", "HELLO.instance"),
        "HELLO with an identity as number": (raw("HELLO", hello(identity=5)), "INVALID", "HELLO.identity"),
        "HELLO with an identity as bytes": (raw("HELLO", hello(identity=b"x")), "INVALID", "HELLO.identity"),
        "HELLO of an unknown role": (raw("HELLO", hello(role="admin")), "INVALID", "HELLO.role"),
        "HELLO with a host over its limit": (raw("HELLO", hello(host="h" * 256)), "TOO_LARGE", "HELLO.host"),
        "HELLO with a bind as list": (raw("HELLO", hello(bind=[])), "INVALID", "HELLO.bind"),
        "HELLO without filters": (raw("HELLO", hello(bind={"persistent": True})), "INVALID", "HELLO.bind.filters"),
        "HELLO with persistent as number": (raw("HELLO", hello(bind={"filters": [], "persistent": 1})), "INVALID", "HELLO.bind.persistent"),
        "HELLO with filters over their limit": (raw("HELLO", hello(bind={"filters": ["f" * 65536], "persistent": True})), "TOO_LARGE", "HELLO.bind.filters"),
        "HELLO with bytes in filters": (raw("HELLO", hello(bind={"filters": [{"a": b"x"}], "persistent": True})), "INVALID", "HELLO.bind.filters[0].a"),
        "HELLO with an info over its limit": (raw("HELLO", hello(bind={"filters": [], "persistent": True, "info": "i" * 16384})), "TOO_LARGE", "HELLO.bind.info"),
        "HELLO with concurrency over its limit": (raw("HELLO", hello(concurrency=1025)), "INVALID", "HELLO.concurrency"),
        "HELLO that holds too much": (raw("HELLO", hello(held=[{}] * 8193)), "TOO_LARGE", "HELLO.held"),
        "HELLO that holds nothing in particular": (raw("HELLO", hello(held=[{"delivery": 1}])), "INVALID", "HELLO.held[0].uid"),
        "SUBMIT without a number": (raw("SUBMIT", {"tasks": [SMALL]}), "INVALID", "SUBMIT.number"),
        "SUBMIT without tasks": (raw("SUBMIT", {"number": 1}), "INVALID", "SUBMIT.tasks"),
        "SUBMIT of no tasks": (raw("SUBMIT", {"number": 1, "tasks": []}), "INVALID", "SUBMIT.tasks"),
        "SUBMIT of 257": (raw("SUBMIT", {"number": 1, "tasks": [SMALL] * 257}), "TOO_LARGE", "SUBMIT.tasks"),
        "SUBMIT of 2^32-1 that are not there": (bytes.fromhex("93040181") + pack("tasks") + b"\xdd\xff\xff\xff\xff", "TOO_LARGE", "SUBMIT.tasks"),
        "SUBMIT of 100 that are not there": (bytes.fromhex("93040181") + pack("tasks") + b"\xdc\x00\x64", "INVALID", "SUBMIT.tasks"),
        "SUBMIT of a task as text": (raw("SUBMIT", {"number": 1, "tasks": ["x"]}), "INVALID", "SUBMIT.tasks[0]"),
        "task without a uid": (raw("SUBMIT", submit_of(uid=...)), "INVALID", "SUBMIT.tasks[0].uid"),
        "task with a uid of zeros": (raw("SUBMIT", submit_of(uid=bytes(16))), "INVALID", "SUBMIT.tasks[0].uid"),
        "task without headers": (raw("SUBMIT", submit_of(headers=...)), "INVALID", "SUBMIT.tasks[0].headers"),
        "task with headers as list": (raw("SUBMIT", submit_of(headers=[])), "INVALID", "SUBMIT.tasks[0].headers"),
        "task with bytes in headers": (raw("SUBMIT", submit_of(headers={"a": [b"x"]})), "INVALID", "SUBMIT.tasks[0].headers.a[0]"),
        "task with a header twice": (raw("SUBMIT", submit_of(headers=...)).replace(b"\x82\xa3uid", b"\x83\xa7headers\x82\xa1a\x01\xa1a\x02\xa3uid"), "INVALID", "SUBMIT.tasks[0].headers"),
        "task with 1025 headers": (raw("SUBMIT", submit_of(headers={str(key): 0 for key in range(1025)})), "TOO_LARGE", "SUBMIT.tasks[0].headers"),
        "task with headers over their limit": (raw("SUBMIT", submit_of(headers={"a": "h" * (256 << 10)})), "TOO_LARGE", "SUBMIT.tasks[0].headers"),
        "task with a header name over its limit": (raw("SUBMIT", submit_of(headers={"n" * 1025: 1})), "TOO_LARGE", "SUBMIT.tasks[0].headers"),
        "task of priority 3": (raw("SUBMIT", submit_of(prio=3)), "INVALID", "SUBMIT.tasks[0].prio"),
        "task of priority \"high\"": (raw("SUBMIT", submit_of(prio="high")), "INVALID", "SUBMIT.tasks[0].prio"),
        "task with hp as text": (raw("SUBMIT", submit_of(hp="a")), "INVALID", "SUBMIT.tasks[0].hp"),
        "task with hp of numbers": (raw("SUBMIT", submit_of(hp=["a", 1])), "INVALID", "SUBMIT.tasks[0].hp[1]"),
        "task with a payload as map": (raw("SUBMIT", submit_of(payload={})), "INVALID", "SUBMIT.tasks[0].payload"),
        "task with a payload that holds a list": (raw("SUBMIT", submit_of(payload=pack([]))), "INVALID", "SUBMIT.tasks[0].payload"),
        "task with a pp that holds a text": (raw("SUBMIT", submit_of(pp=pack("x"))), "INVALID", "SUBMIT.tasks[0].pp"),
        "second task is wrong": (raw("SUBMIT", {"number": 1, "tasks": [SMALL, changed(SMALL, prio=...)]}), "INVALID", "SUBMIT.tasks[1].prio"),
        "resource without a name": (raw("SUBMIT", submit_of(resources=[{"uid": uid(1), "size": 1}])), "INVALID", "SUBMIT.tasks[0].resources[0].name"),
        "resource with a sha256 of 31 bytes": (raw("SUBMIT", submit_of(resources=[dict(FILE, sha256=b"x" * 31)])), "INVALID", "SUBMIT.tasks[0].resources[0].sha256"),
        "resource with metadata as list": (raw("SUBMIT", submit_of(resources=[dict(FILE, metadata=[])])), "INVALID", "SUBMIT.tasks[0].resources[0].metadata"),
        "4097 resources": (raw("SUBMIT", submit_of(resources=[{}] * 4097)), "TOO_LARGE", "SUBMIT.tasks[0].resources"),
        "two tasks over 1 MiB": (raw("SUBMIT", {"number": 1, "tasks": [changed(SMALL, payload=b"\x80" * one), SMALL]}), "TOO_LARGE", "SUBMIT.tasks"),
        "one task over 4 MiB": (raw("SUBMIT", submit_of(payload=b"\x80" * (4 * one))), "TOO_LARGE", "SUBMIT.tasks[0]"),
        "frame over its limit": (b"\0" * (6 * one + 1), "TOO_LARGE", "frame"),
        "REPORT of an unknown state": (raw("REPORT", report(state="Done")), "INVALID", "REPORT.items[0].state"),
        "REPORT of a state as number": (raw("REPORT", report(state=1)), "INVALID", "REPORT.items[0].state"),
        "REPORT with an error over its limit": (raw("REPORT", report(error="e" * 65537)), "TOO_LARGE", "REPORT.items[0].error"),
        "REPORT with an error that is not UTF-8": (raw("REPORT", report()).replace(b"\x83\xa8delivery", b"\x84\xa5error\xa1\xff\xa8delivery"), "INVALID", "REPORT.items[0].error"),
        "REPORT of 4097": (raw("REPORT", {"items": [{}] * 4097}), "TOO_LARGE", "REPORT.items"),
        "SUBMITTED with an unknown code": (raw("SUBMITTED", {"number": 1, "results": [{"uid": uid(1), "code": 9999}]}), "INVALID", "SUBMITTED.results[0].code"),
        "REVOKE of a text": (raw("REVOKE", {"deliveries": [1, "2"]}), "INVALID", "REVOKE.deliveries[1]"),
        "LOG with records as map": (raw("LOG", {"records": {}}), "INVALID", "LOG.records"),
        "LOG of a text": (raw("LOG", {"records": [{}, "x"]}), "INVALID", "LOG.records[1]"),
        "LOG of 257": (raw("LOG", {"records": [{}] * 257}), "TOO_LARGE", "LOG.records"),
        "LOG of a record over its limit": (raw("LOG", {"records": [{}, {"m": "x" * (256 << 10)}]}), "TOO_LARGE", "LOG.records[1]"),
        "UPLOAD without a sha256": (raw("UPLOAD", {"items": [{"uid": uid(1), "size": 1}]}), "INVALID", "UPLOAD.items[0].sha256"),
        "UPLOAD of a size below 0": (raw("UPLOAD", {"items": [{"uid": uid(1), "size": -1, "sha256": SHA}]}), "INVALID", "UPLOAD.items[0].size"),
        "UPLOAD of a size of 2^63": (raw("UPLOAD", {"items": [{"uid": uid(1), "size": 2**63, "sha256": SHA}]}), "INVALID", "UPLOAD.items[0].size"),
        "PARTS without first": (raw("PARTS", {"uid": uid(1), "count": 1}), "INVALID", "PARTS.first"),
        "PARTS of too many": (raw("PARTS", {"uid": uid(1), "first": 1, "count": 257}), "INVALID", "PARTS.count"),
        "PARTS beyond the last": (raw("PARTS", {"uid": uid(1), "first": 10001, "count": 1}), "INVALID", "PARTS.first"),
        "PARTS of a long name": (raw("PARTS", {"uid": uid(1), "upload": "x" * 1025, "first": 1, "count": 1}), "TOO_LARGE", "PARTS.upload"),
        "COMPLETE without tags": (raw("COMPLETE", {"uid": uid(1), "upload": "x"}), "INVALID", "COMPLETE.items"),
        "COMPLETE with a long tag": (raw("COMPLETE", {"uid": uid(1), "upload": "x", "items": [{"etag": "x" * 128}]}), "TOO_LARGE",
                                     "COMPLETE.items[0].etag"),
        "WAIT for a text": (raw("WAIT", {"root": "47db1ea8-3531-4bea-a3b2-b29dfbd8b100"}), "INVALID", "WAIT.root"),
        "QUERY of nothing": (raw("QUERY", {}), "INVALID", "QUERY.what"), "QUERY of a number": (raw("QUERY", {"what": 1}), "INVALID", "QUERY.what"),
        "QUERY as list": (raw("QUERY", []), "INVALID", "QUERY"), "QUERY with bytes": (raw("QUERY", {"what": "x", "y": b""}), "INVALID", "QUERY.y"),
        "CONTROL nested too deep": (bytes.fromhex("93130182") + pack("what") + pack("x") + pack("y") + b"\x91" * 70 + b"\0", "TOO_LARGE", "CONTROL.y[0]"),
    }


def short(data):
    """Long runs of one byte are written {"hex": …, "repeat": [byte, times, at]} so that the file stays small."""
    best = max(range(256), key=lambda byte: data.count(byte)) if data else 0
    run = len(data) // 2
    at = data.find(bytes([best]) * run) if len(data) > 2000 else -1
    if at < 0:
        return {"hex": data.hex()}
    end = at
    while end < len(data) and data[end] == best:
        end += 1
    return {"hex": (data[:at] + data[end:]).hex(), "repeat": [best, end - at, at]}


def commands():
    for name, (verb, ident, body) in GOOD.items():
        yield {"name": name, "hex": pack([VERBS[verb], ident, body]).hex(), "decoded": {"verb": verb, "id": ident, "body": plain(body)}}
    for name, (verb, ident, body, decoded) in LOOSE.items():
        yield {"name": name, "hex": pack([VERBS[verb], ident, body]).hex(), "decoded": {"verb": verb, "id": ident, "body": plain(decoded)},
               "canonical": False}
    for name, (data, error, field) in bad_frames().items():
        yield {"name": name, **short(data), "error": error, "field": field}


# ---- Merging of bags (A3)

def merges():
    def row(name, parent, payload, persistent, decoded_payload, decoded_persistent):
        return {"name": name, "parent_persistent": parent, "payload": payload, "persistent": persistent,
                "decoded": {"payload": decoded_payload, "persistent": decoded_persistent}}
    yield row("nothing", {}, {}, {}, {}, {})
    yield row("the child's stay", {}, {"a": 1}, {"b": 2}, {"a": 1}, {"b": 2})
    yield row("the parent's flow down", {"p": [1]}, {"a": 1}, {"b": 2}, {"a": 1}, {"b": 2, "p": [1]})
    yield row("the parent's overwrite persistent ones", {"b": "parent"}, {"a": 1}, {"b": "child"}, {"a": 1}, {"b": "parent"})
    yield row("the parent's delete plain ones", {"a": "parent"}, {"a": "child", "c": 3}, {}, {"c": 3}, {"a": "parent"})
    yield row("both bags at once", {"a": "parent"}, {"a": 1}, {"a": 2}, {}, {"a": "parent"})
    yield row("null is an entry", {"a": None}, {"a": 1}, {}, {}, {"a": None})
    yield row("keys are whole texts", {"a\0b": 1}, {"a": 2, "a\0b": 3}, {}, {"a": 2}, {"a\0b": 1})
    yield row("maps are replaced, not merged", {"m": {"x": 1}}, {}, {"m": {"y": 2}}, {}, {"m": {"x": 1}})
    yield row("odd values", {"n": 2**70, "s": "\ud800"}, {"n": 1}, {}, {}, {"n": 2**70, "s": "\ud800"})


def values_short():
    for row in values():
        yield {"name": row["name"], **short(bytes.fromhex(row["hex"])), **{key: row[key] for key in row if key not in ("name", "hex")}}


def rows_text(rows):
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"


def main():
    stale = False
    for name, rows in (("values.json", values_short()), ("commands.json", commands()), ("merge.json", merges())):
        path = os.path.join(HERE, name)
        text = rows_text(list(rows))
        current = open(path, encoding="utf-8").read() if os.path.exists(path) else None
        if current == text:
            continue
        stale = True
        if "--check" in sys.argv[1:]:
            print(f"schemas/vectors/{name}: differs from what make.py writes")
        else:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
