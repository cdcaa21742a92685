"""karton-core's own unit tests, from its sdist on PyPI, against our classes with only the imports changed.

Parity A1, A5, E1, E2, F1-F7, S28-S33, T3.
"""
import glob
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import unittest

from support.broker import SOURCE
from support.karton import services_dir

TESTS_IN_SDIST = 27  # of karton-core 5.9.1: fewer would mean that they were not run


class KartonsOwnTests(unittest.TestCase):
    def test_pass_with_only_imports_changed(self):
        directory = self.enterContext(tempfile.TemporaryDirectory())
        [sdist] = glob.glob(os.path.join(services_dir(), "sdist", "karton_core-*.tar.gz"))
        with tarfile.open(sdist) as archive:
            members = [member for member in archive.getmembers() if re.search(r"/tests/test_\w+\.py$", member.name)]
            for member in members:
                text = archive.extractfile(member).read().decode()
                changed = re.sub(r"\bkarton\.core\b", "zkarton", text)
                self.assertNotEqual(changed, text)
                with open(os.path.join(directory, os.path.basename(member.name)), "w", encoding="utf-8") as file:
                    file.write(changed)
        # Without karton-core in sight, and in a directory without karton.ini.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KARTON_")}
        environment.update(PYTHONPATH=os.path.join(SOURCE, "worker", "python"), HOME=directory)
        blocker = "import sys, unittest; sys.modules['karton'] = None; unittest.main(module=None, argv=['tests', 'discover'])"
        done = subprocess.run([sys.executable, "-c", blocker], cwd=directory, env=environment, capture_output=True, text=True,
                              timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, rf"Ran {TESTS_IN_SDIST} tests")


if __name__ == "__main__":
    unittest.main()
