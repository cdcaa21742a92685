#!/usr/bin/env python3
"""Compares the reader of configuration files with Python's configparser, as Karton uses it (E1, E3).

usage: test_ini_python.py INI_DUMP [--files N] [--seed S]
"""
import argparse
import configparser
import os
import random
import subprocess
import sys
import tempfile

SECTIONS = ["a", "b c", "s3", "DEFAULT", "my.service", "x]y", "a;b", "[z", "é"]
OPTIONS = ["key", "Key", "other", "a b", "x-y", "url", "k;1", "k#2", "ünder"]
VALUES = ["", "v", "a b", "a ; b", "a;b", "a # b", "a%%b", "a%b", "%(key)s", "%(KEY)s/%(other)s", "%(missing)s", "%(", "%",
          "100%%", "[x]", "= x", ": y", "a = b: c", "\"q\"", "x" * 300, "é€\U0001f600", "tcp://127.0.0.1:5570",
          "%(url)s%(url)s", "#c", ";c", "x\ty", "tail  "]
LINES = ["", "  ", "# comment", "; comment", "  # indented", "nothing", "[", "[]", "]", "=x", ": x", "  continued",
         "\tcontinued", "    [deep]", "  k = v", "[a] trailing", " [b c]"]


def random_file(rng):
    lines = []
    if rng.random() < 0.95:
        lines.append(f"[{rng.choice(SECTIONS)}]")
    for _ in range(rng.randrange(1, 14)):
        kind = rng.random()
        if kind < 0.12:
            lines.append(f"{' ' * rng.choice([0, 0, 0, 2])}[{rng.choice(SECTIONS)}]")
        elif kind < 0.30:
            lines.append(rng.choice(LINES[:5] + LINES[11:13]) if rng.random() < 0.8 else rng.choice(LINES))
        else:
            mark = rng.choice(["=", " = ", ":", " : ", "  =", "= "])
            lines.append(f"{' ' * rng.choice([0, 0, 0, 0, 1, 4])}{rng.choice(OPTIONS)}{mark}{rng.choice(VALUES)}")
    return rng.choice(["\n", "\n", "\n", "\r\n", "\r"]).join(lines) + rng.choice(["\n", ""])


def python_reads(path):
    """{(section, option): value}, or None where configparser refuses, as karton.core.config does it."""
    parser = configparser.ConfigParser()
    try:
        parser.read(path, encoding="utf-8")
        return {(section, option): value for section, options in parser.items() for option, value in options.items()}
    except configparser.Error:
        return None


class Dump:
    def __init__(self, binary, directory):
        environment = {"PATH": os.environ["PATH"], "HOME": directory}
        self.process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=directory,
                                        env=environment)

    def ask(self, path, wanted):
        text = path + "\n" + "".join(f"{section}\t{option}\n" for section, option in wanted) + "\n"
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()
        lines = []
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit("ini_dump died")
            if line == b"\n" and len(lines) >= (1 if lines and lines[0].startswith(b"error") else len(wanted)):
                return lines
            lines.append(line.rstrip(b"\n"))

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        if self.process.wait() != 0:
            raise SystemExit(f"ini_dump ended with {self.process.returncode}")


def compare(dump, path, number):
    expected = python_reads(path)
    wanted = sorted(expected) if expected else [("a", "key"), ("DEFAULT", "key")]
    lines = dump.ask(path, wanted)
    refused = bool(lines) and lines[0].startswith(b"error ")
    text = open(path, encoding="utf-8", newline="").read()
    if expected is None:
        if not refused:
            raise SystemExit(f"file {number}: configparser refuses it, we read it: {text!r}")
        if not lines[0].startswith(f"error {path}:".encode()):
            raise SystemExit(f"file {number}: no place in {lines[0]!r}")
        return False
    if refused:
        raise SystemExit(f"file {number}: {text!r}\n configparser reads {expected}\n we say {lines[0]!r}")
    got = [bytes.fromhex(line.decode()).decode() if line != b"-" else None for line in lines]
    want = [expected[key] if expected else None for key in wanted]
    if got != want:
        raise SystemExit(f"file {number}: {text!r}\n {wanted}\n configparser {want}\n ours {got}")
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dump")
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as directory:
        dump = Dump(arguments.dump, directory)
        path = os.path.join(directory, "x.ini")
        read = 0
        for number in range(arguments.files):
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(random_file(rng))
            read += compare(dump, path, number)
        dump.close()
    if not arguments.files / 10 < read < arguments.files * 9 / 10:
        raise SystemExit(f"{read} of {arguments.files} files were right: no fair mixture")
    print(f"{arguments.files} files, {read} of them right")


if __name__ == "__main__":
    sys.exit(main())
