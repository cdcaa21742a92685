"""Every command that the README shows is run as it stands there, with real names for FILE, DIR, ROOT and UID."""
import json
import os
import re
import shlex
import subprocess
import unittest

from support.broker import SOURCE, Broker, LineReader, bin_dir
from support.processes import Process

LASTING = ("logs", "exec")  # run until they are told to end
ELSEWHERE = {"./dev": "the demo and test suites", "cmake": "the build"}


def commands():
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
        text = file.read()
    blocks = re.findall(r"^(?:    .+\n)+|^```sh\n(?:.*\n)*?```$", text, re.M)
    for block in blocks:
        for line in block.splitlines():
            line = line.split("  #")[0].strip()
            if re.match(r"(zkarton|zkarton-broker|\./dev|cmake) ", line):
                yield line


class ReadmeTest(unittest.TestCase):
    def setUp(self):
        self.broker = Broker({"store": {"finished_ttl": "1h"}}).start()
        self.file = os.path.join(self.broker.dir, "sample")
        with open(self.file, "wb") as file:
            file.write(b"a sample with strings inside\n")
        worker = self.broker.spawn(os.path.join(bin_dir(), "zkarton"), "exec", "readme.crash", "type=sample", "--", "false",
                                   stderr=subprocess.PIPE)
        try:
            LineReader(worker.stderr).wait_for("SESSION-OPENED")
            code, text, _ = self.broker.run("zkarton", "send", "type=sample", "-r", f"sample={self.file}", "--wait", check=False)
            self.assertEqual(code, 1)
            self.root = text.split()[0]
        finally:
            worker.terminate()
            worker.wait(30)
            worker.stderr.close()
        _, text, _ = self.broker.run("zkarton", "tasks", "--state", "Crashed", "-o", "json")
        self.uid = json.loads(text.splitlines()[0])["uid"]

    def tearDown(self):
        self.broker.__exit__()

    def arguments(self, line):
        names = {"FILE": self.file, "OUT": os.path.join(self.broker.dir, "out"), "ROOT": self.root, "UID": self.uid,
                 "DIR": os.path.join(self.broker.dir, "new")}
        words = []
        for word in shlex.split(line):
            for name, value in names.items():
                word = re.sub(rf"\b{name}\b", value, word)
            words.append(word)
        return words

    def run_lasting(self, words):
        process = Process([os.path.join(bin_dir(), words[0]), *words[1:]], env=self.broker.environment,
                          cwd=self.broker.dir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            with self.assertRaises(subprocess.TimeoutExpired):  # it must not end by itself
                process.wait(0.7)
        finally:
            process.terminate()
            process.wait(30)
            process.stdout.close()

    def test_commands(self):
        lines = list(commands())
        self.assertGreater(len(lines), 10)
        for line in lines:
            with self.subTest(line):
                words = self.arguments(line)
                if words[0] in ELSEWHERE:
                    continue  # run by ELSEWHERE[words[0]]
                if words[0] == "zkarton-broker":
                    self.broker.run(*words, "--check-config")
                elif words[1] in LASTING:
                    self.run_lasting(words)
                else:
                    code, out, errors = self.broker.run(*words, "--timeout", "2s", check=False)
                    waits = "--wait" in words  # nobody serves it: the analysis is done, or it takes its time
                    self.assertIn(code, (0, 1, 124) if waits else (0,), out + errors)


if __name__ == "__main__":
    unittest.main()
