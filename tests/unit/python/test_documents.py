"""docs/python.md and the reference: every piece of code runs, and the reference is that of the docstrings."""
import os
import re
import subprocess
import sys
import unittest

from support.broker import SOURCE, Broker
from support.python_client import PACKAGE, environment

PIECE = re.compile(r"^<!-- (run[^>]*) -->\n```python\n(.*?)^```$", re.M | re.S)


def pieces(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return PIECE.findall(file.read())


class DocumentsTest(unittest.TestCase):
    def run_code(self, code, env):
        done = subprocess.run([sys.executable, "-"], input=code.encode(), env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stdout.decode())
        return done.stdout.decode()

    def test_tutorial(self):
        found = pieces("docs/python.md")
        with open(os.path.join(SOURCE, "docs", "python.md"), encoding="utf-8") as file:
            self.assertEqual(file.read().count("```python"), len(found), "every piece of code is marked to be run")
        with Broker() as broker:
            output = self.run_code("\n".join(code for _, code in found), environment(broker))
        self.assertIn("analysis ", output)

    def test_reference_is_fresh(self):
        self.run_code(f"import runpy, sys; sys.argv = ['x', '--check']; runpy.run_path({PACKAGE!r} + '/make_reference.py', "
                      "run_name='__main__')", environment())


if __name__ == "__main__":
    unittest.main()
