"""Filters against the real karton-core 5.9.1 (F1-F9, S28-S33): random pairs, and no difference as differential.py counts them."""
import os
import subprocess
import sys
import unittest

from support.broker import SOURCE, bin_dir


class FiltersTest(unittest.TestCase):
    def test_twenty_thousand_random_pairs(self):
        script = os.path.join(SOURCE, "tests", "system", "filters", "differential.py")
        done = subprocess.run([sys.executable, script, "--command", os.path.join(bin_dir(), "zkarton") + " match --jsonl",
                               "--count", "20000", "--python", sys.executable],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=600, check=False)
        self.assertEqual(done.returncode, 0, done.stdout.decode()[-3000:] + done.stderr.decode()[-3000:])

    def match(self, *lines):
        done = subprocess.run([os.path.join(bin_dir(), "zkarton"), "match", "--jsonl"], input="\n".join(lines).encode() + b"\n",
                              capture_output=True, timeout=60, check=False)
        return done.stdout.decode().splitlines()

    def test_a_bad_line_stops_nothing(self):
        answers = self.match('{"filters": [{"a": "x"}], "headers": {"a": "x"}}', "nonsense", '{"filters": [{"a": {"$nto": 1}}], "headers": {}}',
                             '{"filters": {}, "headers": {"a": 1}}')
        self.assertEqual(answers[0], '{"match": true}')
        self.assertIn("error", answers[1])
        self.assertIn('Did you mean \\"$not\\"', answers[2])
        self.assertEqual(answers[3], '{"match": false}')  # S18


if __name__ == "__main__":
    unittest.main()
