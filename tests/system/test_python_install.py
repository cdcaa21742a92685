"""The built wheel in an environment of its own: the README's worker, and what the sdist holds."""
import glob
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import unittest

from support.broker import SOURCE, Broker, LineReader
from support.python_client import PACKAGE


def run(*args, **options):
    done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                          check=False, **options)
    if done.returncode:
        raise AssertionError(f"{args} ended with {done.returncode}:\n{done.stdout.decode()}")
    return done.stdout.decode()


class InstallTest(unittest.TestCase):
    def test_wheel_in_a_clean_environment(self):
        with tempfile.TemporaryDirectory() as folder, Broker() as broker:
            copy = os.path.join(folder, "source")
            run("cp", "-r", PACKAGE, copy)
            run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, copy)
            wheel, = glob.glob(folder + "/*.whl")
            sdist, = glob.glob(folder + "/*.tar.gz")
            with tarfile.open(sdist) as archive:
                names = [name.partition("/")[2] for name in archive.getnames()]
            self.assertIn("zkarton/py.typed", names)
            self.assertIn("zkarton/_session/guard_main.py", names)
            venv = os.path.join(folder, "venv")
            run(sys.executable, "-m", "venv", venv)
            python = os.path.join(venv, "bin", "python")
            run(python, "-m", "pip", "-q", "--disable-pip-version-check", "install", wheel)
            with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
                code, = re.findall(r"^```python\n(.*?)^```$", file.read(), re.M | re.S)
            self.assertLessEqual(len(code.splitlines()), 10)
            self.work(broker, python, code)
            # The script for services of karton-core is there, and says what it lacks.
            done = subprocess.run([os.path.join(venv, "bin", "zkarton-karton"), "karton-classifier"], capture_output=True,
                                  text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("karton-core is not installed: pip install 'zkarton[karton]'", done.stderr)

    def work(self, broker, python, code):
        worker = os.path.join(broker.dir, "hello.py")
        with open(worker, "w", encoding="utf-8") as file:
            file.write(code)
        process = broker.spawn(python, worker, stderr=subprocess.PIPE)
        try:
            LineReader(process.stderr).wait_for("SESSION-OPENED")
            sample = os.path.join(broker.dir, "sample")
            with open(sample, "wb") as file:
                file.write(b"content")
            _, text, _ = broker.run("zkarton", "send", "type=sample", "kind=raw", "-r", f"sample={sample}", "--wait")
            self.assertRegex(text, "^[0-9a-f-]{36}")
            listed = broker.run("zkarton", "list")[1]
            self.assertIn("karton.hello", listed)
        finally:
            process.terminate()
            self.assertEqual(process.wait(30), 0)
            process.stderr.close()


if __name__ == "__main__":
    unittest.main()
