#!/usr/bin/env python3
"""Applies each deliberate bug of tests/sim/mutants to a copy of the tree; the simulator must catch it within 1,000 seeds."""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MUTANTS = os.path.join(ROOT, "tests", "sim", "mutants")
SEEDS_MAX = 1000
COPIED = ("CMakeLists.txt", "common", "broker", "schemas", "tests")


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def copy_tree(to):
    for name in COPIED:
        source = os.path.join(ROOT, name)
        if os.path.isdir(source):
            shutil.copytree(source, os.path.join(to, name), ignore=shutil.ignore_patterns("__pycache__", "unit", "seams",
                                                                                          "system", "perf"))
        else:
            shutil.copy(source, to)


def build(tree, build_dir):
    built = run(["ninja", "-C", build_dir, "-j2", "sim"])
    if built.returncode != 0:
        sys.exit(f"run_mutants: the copy does not build:\n{built.stdout[-3000:]}")


def configure(tree, build_dir):
    command = ["cmake", "-G", "Ninja", "-S", tree, "-B", build_dir, "-DCMAKE_BUILD_TYPE=RelWithDebInfo"]
    if shutil.which("ccache"):
        command.append("-DCMAKE_C_COMPILER_LAUNCHER=ccache")
    configured = run(command)
    if configured.returncode != 0:
        sys.exit(f"run_mutants: the copy cannot be configured:\n{configured.stdout[-3000:]}")


def is_caught(tree, build_dir, patch):
    applied = run(["patch", "-p1", "--no-backup-if-mismatch", "-i", patch], cwd=tree)
    if applied.returncode != 0:
        sys.exit(f"run_mutants: {os.path.basename(patch)} does not apply any more:\n{applied.stdout}")
    try:
        build(tree, build_dir)
        result = run([os.path.join(build_dir, "tests", "zkarton-sim"), "--seeds", str(SEEDS_MAX)])
    finally:
        run(["patch", "-p1", "-R", "--no-backup-if-mismatch", "-i", patch], cwd=tree)
    lines = [line for line in result.stdout.splitlines() if line.startswith(("FAILED", "ok", "ASSERTION"))]
    return result.returncode != 0, lines[0] if lines else result.stdout[-200:].strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants to try (default: all)")
    names = parser.parse_args().names
    patches = sorted(name for name in os.listdir(MUTANTS) if name.endswith(".patch"))
    if names:
        patches = [name for name in patches if name[:-len(".patch")] in names]
    missed = 0
    with tempfile.TemporaryDirectory(prefix="zkarton-mutants-") as folder:
        tree, build_dir = os.path.join(folder, "tree"), os.path.join(folder, "build")
        os.mkdir(tree)
        copy_tree(tree)
        configure(tree, build_dir)
        for name in patches:
            caught, line = is_caught(tree, build_dir, os.path.join(MUTANTS, name))
            missed += not caught
            print(f"{'caught' if caught else 'MISSED'} {name[:-len('.patch')]}: {line}", flush=True)
    return 1 if missed or not patches else 0


if __name__ == "__main__":
    sys.exit(main())
