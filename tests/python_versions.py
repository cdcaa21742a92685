"""The tests of the Python client under every Python that is here: the built wheel in an environment of its own.

ZKT_PYTHONS is a list of programs, separated by colons; without it every python3.X of the versions that the package is for,
as far as they are on PATH.
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGE = os.path.join(ROOT, "worker", "python")
VERSIONS = range(9, 15)  # python3.X
SYSTEM_TESTS = ("system.test_python_client", "system.test_python_worker")
TIMEOUT_S = 600


def run(*args, **more):
    """(ended well, output)."""
    try:
        done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S,
                              check=False, **more)
    except subprocess.TimeoutExpired as expired:
        return False, (expired.stdout or b"").decode(errors="replace") + f"\nstopped after {TIMEOUT_S} s"
    return done.returncode == 0, done.stdout.decode(errors="replace")


def programs():
    """Those that are asked for and those that are here, by name."""
    told = os.environ.get("ZKT_PYTHONS")
    names = told.split(os.pathsep) if told else [f"python3.{minor}" for minor in VERSIONS]
    found = {name: path for name in names if (path := shutil.which(name))}
    return names, found


def unit_tests():
    return [f"unit.python.{os.path.basename(path)[:-3]}" for path in sorted(glob.glob(ROOT + "/tests/unit/python/test_*.py"))]


def test_one(name, program, wheel, folder):
    """Rows (name, passed, detail)."""
    venv = os.path.join(folder, f"venv-{name.replace(os.sep, '_')}")
    python = os.path.join(venv, "bin", "python")
    for step in ([program, "-m", "venv", venv], [python, "-m", "pip", "-q", "--disable-pip-version-check", "install", wheel]):
        is_well, output = run(*step)
        if not is_well:
            yield f"{name}: {' '.join(step)}", False, output
            return
    env = dict(os.environ, ZKT_SOURCE_DIR=ROOT, ZKT_INSTALLED="1")
    env.pop("PYTHONPATH", None)
    env.setdefault("ZKT_BIN", os.path.join(ROOT, "build", "bin"))
    version = run(python, "-V")[1].strip()
    for module in (*unit_tests(), *SYSTEM_TESTS):
        is_well, output = run(python, "-m", "unittest", module, cwd=os.path.join(ROOT, "tests"), env=env)
        yield f"{version} {module}", is_well, "" if is_well else output


def rows():
    """Of all versions."""
    names, found = programs()
    missing = [name for name in names if name not in found]
    if missing:
        print(f"python_versions: not here: {', '.join(missing)}", flush=True)
    if os.environ.get("ZKT_PYTHONS") and missing:
        yield "the programs of ZKT_PYTHONS", False, f"not here: {', '.join(missing)}"
    if not found:
        yield "python_versions", False, f"none of {', '.join(names)} is on PATH"
        return
    with tempfile.TemporaryDirectory(prefix="zkt-versions-") as folder:
        copy = os.path.join(folder, "source")
        shutil.copytree(PACKAGE, copy)  # a build writes into it
        is_well, output = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, copy)
        if not is_well:
            yield "building the wheel", False, output
            return
        wheel, = glob.glob(folder + "/*.whl")
        for name, program in found.items():
            yield from test_one(name, program, wheel, folder)
