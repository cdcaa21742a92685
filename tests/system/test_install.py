"""What is installed of libzkarton: it exports zkt_* and nothing else, and a program builds against it."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from support.broker import SOURCE, bin_dir

PROGRAM = r"""
#include <stdio.h>
#include <zkarton.h>
int main(void)
{
    zkt_task_t *task = zkt_task_new("type=sample n:=3");
    printf("%s %s\n", zkt_task_header(task, "type"), zkt_err_name(ZKT_UNREACHABLE));
    zkt_task_destroy(&task);
    return 0;
}
"""

PROJECT = """
cmake_minimum_required(VERSION 3.22)
project(consumer C)
find_package(zkarton REQUIRED)
add_executable(program program.c)
target_link_libraries(program zkarton::zkarton)
"""


def run(*args, **options):
    done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                          check=False, **options)
    if done.returncode != 0:
        raise AssertionError(f"{args}:\n{done.stdout.decode()}")
    return done.stdout.decode()


class InstallTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.build = os.path.dirname(bin_dir())
        if "zkarton" not in os.listdir(bin_dir()) or os.path.basename(cls.build) in ("build-asan", "build-tsan"):
            raise unittest.SkipTest("sanitized libraries are not installed")
        cls.dir = tempfile.mkdtemp(prefix="zkt-install-")
        cls.lib = os.path.join(cls.build, "lib")
        with open(os.path.join(cls.dir, "program.c"), "w", encoding="utf-8") as file:
            file.write(PROGRAM)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir, ignore_errors=True)

    def declared(self):
        with open(os.path.join(SOURCE, "worker", "c", "include", "zkarton.h"), encoding="utf-8") as file:
            text = re.sub(r"//.*", "", file.read())
        return set(re.findall(r"\b(zkt_[a-z0-9_]+)\(", text)) - {"zkt_log"} | {"zkt_err_name", "zkt_err_is_retryable"}

    def exported(self, library, *flags):
        lines = run("nm", "--defined-only", *flags, os.path.join(self.lib, library)).splitlines()
        return {line.split()[2].partition("@")[0] for line in lines if len(line.split()) == 3 and line.split()[1] in "TDBRV"}

    def test_only_the_public_names_are_exported(self):
        self.assertEqual(self.exported("libzkarton.so", "-D"), self.declared())
        self.assertEqual(self.exported("libzkarton.a", "-g"), self.declared())

    def test_a_program_builds_by_pkg_config(self):
        prefix = os.path.join(self.dir, "prefix")
        run("cmake", "--install", self.build, "--prefix", prefix)
        folder = next(path for path, _, files in os.walk(prefix) if "zkarton.pc" in files)
        environment = dict(os.environ, PKG_CONFIG_PATH=folder)
        source = os.path.join(self.dir, "program.c")
        for name, compiler in (("c", ["gcc", "-std=c17", "-Wall", "-Wextra", "-Werror", "-pedantic"]),
                               ("c++", ["g++", "-x", "c++"])):
            flags = run("pkg-config", "--define-variable=prefix=" + prefix, "--cflags", "--libs", "zkarton",
                        env=environment).split()
            program = os.path.join(self.dir, "program-" + name)
            run(*compiler, source, "-o", program, "-Wl,-rpath," + os.path.dirname(folder), *flags)
            self.assertEqual(run(program), "sample UNREACHABLE\n")
        flags = run("pkg-config", "--define-variable=prefix=" + prefix, "--cflags", "--static", "--libs", "zkarton",
                    env=environment).replace("-lzkarton", "-l:libzkarton.a").split()
        program = os.path.join(self.dir, "program-static")
        run("gcc", source, "-o", program, *flags)
        self.assertEqual(run(program), "sample UNREACHABLE\n")

    def test_a_program_builds_by_cmake(self):
        prefix = os.path.join(self.dir, "cmake-prefix")
        run("cmake", "--install", self.build, "--prefix", prefix)
        with open(os.path.join(self.dir, "CMakeLists.txt"), "w", encoding="utf-8") as file:
            file.write(PROJECT)
        build = os.path.join(self.dir, "cmake-build")
        run("cmake", "-S", self.dir, "-B", build, "-DCMAKE_PREFIX_PATH=" + prefix)
        run("cmake", "--build", build)
        self.assertEqual(run(os.path.join(build, "program")), "sample UNREACHABLE\n")


if __name__ == "__main__":
    unittest.main()
