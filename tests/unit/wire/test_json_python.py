#!/usr/bin/env python3
"""Compares the JSON codec byte for byte with Python's json (T3), and task documents with Karton's (T1, T2, T4, T5).

usage: test_json_python.py JSON_ECHO [--documents N] [--seed S]
"""
import argparse
import json
import math
import random
import struct
import subprocess
import sys
import uuid

STYLES = {
    0: {},
    1: {"sort_keys": True},
    2: {"separators": (",", ":")},
    4: {"indent": 2},
    5: {"indent": 2, "sort_keys": True},
    8: {"indent": 4},
    3: {"separators": (",", ":"), "sort_keys": True},
}
ODD_TEXTS = ["", "\0", "\ud800", "a\udfff", "\udc00\ud800", "é", "\U0001f600", "\x7f", "\x1f\b\f\n\r\t\"\\/", "\u2028",
             "ud800\ud83d", "€" * 40, "\uffff", "\U0010ffff", "￾"]
ODD_NUMBERS = [0, -1, 2**53 + 1, 2**63 - 1, 2**63, -2**63, -2**63 - 1, 2**64 - 1, 2**64, 10**400, -10**30, 0.0, -0.0, 1e16,
               1e15, 123456789012345680.0, 1e-4, 1e-5, 5e-324, 1.7976931348623157e308, math.nan, math.inf, -math.inf,
               0.1, 1e22, 1e23, 9007199254740993.0, 2.5e-8, 100000.0, 1.5e300]


class Echo:
    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, kind, style, text):
        self.process.stdin.write(struct.pack(">cBI", kind.encode(), style, len(text)) + text)
        self.process.stdin.flush()
        head = self.process.stdout.read(5)
        if len(head) != 5:
            raise SystemExit(f"json_echo died on {text!r}")
        code, size = struct.unpack(">BI", head)
        return code, self.process.stdout.read(size)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        if self.process.wait() != 0:
            raise SystemExit(f"json_echo ended with {self.process.returncode}")


def random_text(rng):
    if rng.random() < 0.3:
        return rng.choice(ODD_TEXTS)
    limit = rng.choice([0x7f, 0x7f, 0x7ff, 0xffff, 0x10ffff])
    return "".join(chr(rng.randrange(limit + 1)) for _ in range(rng.randrange(12)))


def random_number(rng):
    kind = rng.randrange(7)
    if kind == 0:
        return rng.choice(ODD_NUMBERS)
    if kind == 1:
        return rng.randrange(-1000, 1000)
    if kind == 2:
        return rng.getrandbits(rng.randrange(1, 2049)) * rng.choice([1, -1])
    if kind == 3:
        return struct.unpack(">d", rng.randbytes(8))[0]
    if kind == 4:
        return 2.0 ** rng.randrange(-1074, 1024)
    if kind == 5:
        return round(rng.uniform(-1e6, 1e6), rng.randrange(8))
    return rng.random() * 10 ** rng.randrange(-20, 20)


def random_value(rng, depth=0):
    kind = rng.randrange(9 if depth < 6 else 5)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind in (1, 2):
        return random_number(rng)
    if kind in (3, 4):
        return random_text(rng)
    size = rng.choice([0, 1, 2, 3, 9, 40 if depth < 3 else 4])
    if kind in (5, 6):
        return [random_value(rng, depth + 2) for _ in range(size)]
    return {random_text(rng): random_value(rng, depth + 2) for _ in range(size)}


def random_source(rng, value):
    """A text that json.loads reads, written in one of the ways people write."""
    options = rng.choice([{}, {"ensure_ascii": False}, {"indent": rng.randrange(5)}, {"indent": "\t"},
                          {"separators": (" , ", "\r\n:\t")}])
    text = json.dumps(value, **options)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value)
    return text


def twice(rng, text):
    """The same object with one of its members again: the last one wins."""
    if not text.startswith("{") or text.startswith("{}"):
        return text
    members = json.loads(text)
    key = rng.choice(list(members))
    return text.rstrip()[:-1].rstrip() + ", " + json.dumps(key) + ": " + json.dumps(random_value(rng, 5)) + "}"


def compare_values(echo, rng, count):
    for number in range(count):
        text = random_source(rng, random_value(rng))
        if rng.random() < 0.2:
            text = twice(rng, text)
        style = rng.choice(list(STYLES))
        expected = json.dumps(json.loads(text), **STYLES[style]).encode()
        code, got = echo.ask(rng.choice("vm"), style, text.encode())
        if code != 0 or got != expected:
            raise SystemExit(f"document {number}, style {style}: {text!r}\n wants {expected!r}\n got {code} {got!r}")


def compare_floats(echo, rng, count):
    numbers = [2.0 ** exponent for exponent in range(-1074, 1024)]
    numbers += [math.nextafter(number, direction) for number in numbers for direction in (0.0, math.inf)]
    numbers += [float(f"{digits}e{exponent}") for exponent in range(-30, 30) for digits in (1, 9, 123, 99999)]
    numbers += [struct.unpack(">d", rng.randbytes(8))[0] for _ in range(count)]
    text = json.dumps(numbers)
    code, got = echo.ask("v", 0, text.encode())
    if code != 0 or got != text.encode():
        wrong = [pair for pair in zip(text.split(", "), got.decode().split(", ")) if pair[0] != pair[1]]
        raise SystemExit(f"floats: {code} {wrong[:5]}")


def python_reads(text):
    try:
        return json.dumps(json.loads(text)).encode()
    except (ValueError, RecursionError):
        return None


def compare_damaged(echo, rng, count):
    """What Python refuses we refuse, with line and column; what it reads we read alike."""
    pieces = list("{}[]:,\"\\0123456789.eE+-aunNIft \t\n\r/bxdD8") + ["\x0b", "\x1f", "é", "\\u", "\\ud83d", "NaN",
                                                                        "Infinity", "null", "\ufeff", "\xa0", "1e999"]
    refused = 0
    for number in range(count):
        text = json.dumps(random_value(rng, 3), ensure_ascii=True)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(pieces + [""]) + text[at + rng.randrange(3):]
        expected = python_reads(text)
        code, got = echo.ask("v", 0, text.encode())
        refused += expected is None
        if (expected is None) != (code != 0) or (code == 0 and got != expected):
            raise SystemExit(f"damaged {number}: {text!r}\n Python: {expected!r}\n ours: {code} {got!r}")
        if code != 0 and (not got.startswith(b"line ") or b" column " not in got):
            raise SystemExit(f"damaged {number}: no place in {got!r}")
    if refused < count / 10:
        raise SystemExit(f"only {refused} of {count} were damaged")


def limits(echo):
    for depth, accepted in ((64, True), (65, False)):
        code, _ = echo.ask("v", 0, (b"[" * depth) + b"1" + (b"]" * depth))
        if (code == 0) != accepted:
            raise SystemExit(f"depth {depth}: {code}")
    for digits, accepted in ((16384, True), (16385, False)):
        code, _ = echo.ask("v", 0, b"9" * digits)
        if (code == 0) != accepted:
            raise SystemExit(f"{digits} digits: {code}")
    for text in (b"\xff", b'"\xff"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b'"\xed\xa0\x80\xed\xb0\x80"', b""):
        code, _ = echo.ask("v", 0, text)
        if code == 0:
            raise SystemExit(f"{text!r} was read")


def random_resource(rng, pool):
    if pool and rng.random() < 0.4:
        return json.loads(json.dumps(rng.choice(pool)))
    sha256 = rng.choice([rng.randbytes(32).hex(), None])
    inner = {"uid": str(uuid.UUID(bytes=rng.randbytes(16), version=4)), "name": random_text(rng), "bucket": "karton",
             "size": rng.choice([0, 5, None, 2**40]), "metadata": {"sha256": sha256, "x": random_text(rng)},
             "flags": rng.choice([[], ["Directory"]]), "sha256": sha256}
    resource = {"__karton_resource__": inner}
    pool.append(resource)
    return resource


def random_bag(rng, pool, depth=0):
    bag = {}
    for _ in range(rng.randrange(4)):
        kind = rng.randrange(4)
        bag[random_text(rng)] = (random_resource(rng, pool) if kind == 0 else
                                 [random_value(rng, 5), random_resource(rng, pool)] if kind == 1 else
                                 random_bag(rng, pool, depth + 1) if kind == 2 and depth < 4 else random_value(rng, 5))
    return bag


def random_task(rng):
    def uid():
        return str(uuid.UUID(bytes=rng.randbytes(16), version=4))
    root, own = uid(), uid()
    routed = rng.random() < 0.5
    persistent = {random_text(rng): random_value(rng, 5) for _ in range(rng.randrange(3))}
    pool = []
    orig = uid()
    return {
        "uid": f"{{{root if routed else own}}}:{own}", "root_uid": root,
        "parent_uid": rng.choice([None, f"{{{root}}}:{uid()}"]), "orig_uid": f"{{{orig}}}:{orig}" if routed else None,
        "status": rng.choice(["Declared", "Spawned", "Started", "Finished", "Crashed"]),
        "priority": rng.choice(["high", "normal", "low"]), "last_update": rng.choice([None, 1795489238.5629015]),
        "headers": {"type": "sample", random_text(rng): random_value(rng, 5), **persistent},
        "headers_persistent": persistent, "payload": random_bag(rng, pool),
        "payload_persistent": {**random_bag(rng, pool), "__headers_persistent": persistent},
        "error": rng.choice([None, ["Traceback", random_text(rng)]]),
    }


def karton_reads(text):
    """What Karton itself makes of the document; None: karton-core is not installed."""
    try:
        from karton.core.task import Task
    except ImportError:
        return None
    return Task.unserialize(text).serialize()


def resources_of(value):
    if isinstance(value, dict) and "__karton_resource__" in value:
        yield value
    elif isinstance(value, (dict, list)):
        for child in value.values() if isinstance(value, dict) else value:
            yield from resources_of(child)


def compare_tasks(echo, rng, count):
    checked = 0
    for number in range(count):
        task = json.loads(json.dumps(random_task(rng)))  # two halves of a surrogate pair become one character
        whole = json.dumps(task, sort_keys=True)
        given = json.loads(json.dumps(task))
        if rng.random() < 0.3:
            given["a field of ours"] = 1  # T5: ignored
        if rng.random() < 0.3:
            del given["headers_persistent"]  # before 5.2.0
        if rng.random() < 0.2 and given["priority"] == "normal":
            del given["priority"]  # 2.x
        if rng.random() < 0.2:
            for resource in resources_of(given["payload"]):  # old services leave these out
                inner = resource["__karton_resource__"]
                for key in ("sha256", "size", "flags"):
                    if inner[key] in (None, []):
                        del inner[key]
        text = json.dumps(given)
        theirs = karton_reads(text) if task["last_update"] is not None else None  # Karton writes "now"
        if theirs is not None:
            checked += 1
            if theirs != whole:
                raise SystemExit(f"task {number}: the test is wrong: Karton makes of {text}\n{theirs}\n not {whole}")
        code, got = echo.ask("t", 1, text.encode())
        if code != 0 or got.decode() != whole:
            raise SystemExit(f"task {number}: {text}\n wants {whole}\n got {code} {got.decode()}")
    return checked


def refused_tasks(echo, rng):
    wrong = [("uid", "x", b"uid"), ("root_uid", None, b"root_uid"), ("status", "Lost", b"status"), ("headers", [], b"headers"),
             ("priority", "urgent", b"priority"), ("payload", None, b"payload"), ("error", "text", b"error"),
             ("error", [1], b"error[0]"), ("last_update", "now", b"last_update"), ("parent_uid", 5, b"parent_uid"),
             ("headers_persistent", 1, b"headers_persistent"),
             ("payload", {"a": {"__karton_resource__": {"uid": "x"}}}, b"payload: __karton_resource__.name"),
             ("payload", {"a": [{"__karton_resource__": {"uid": "x", "name": "n", "bucket": "b"}}]},
              b"payload: __karton_resource__.uid"),
             ("payload_persistent", {"__karton_resource__": {"uid": str(uuid.uuid4()), "name": "n", "bucket": "b"}},
              b"payload_persistent: ")]
    for field, value, start in wrong:
        task = random_task(rng)
        task[field] = value
        code, got = echo.ask("t", 1, json.dumps(task).encode())
        if code == 0 or not got.startswith(start):
            raise SystemExit(f"{field}={value!r}: {code} {got!r}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("echo")
    parser.add_argument("--documents", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    echo = Echo(arguments.echo)
    compare_values(echo, rng, arguments.documents)
    compare_floats(echo, rng, arguments.documents)
    compare_damaged(echo, rng, arguments.documents)
    limits(echo)
    checked = compare_tasks(echo, rng, arguments.documents // 5)
    refused_tasks(echo, rng)
    echo.close()
    print(f"{arguments.documents} documents, {checked} tasks also through karton-core")


if __name__ == "__main__":
    sys.exit(main())
