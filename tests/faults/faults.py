#!/usr/bin/env python3
"""Plants the faults of faults.txt one at a time and tells which test notices each: `./dev faults`.

All of them are compiled into one build of a copy of the sources, in build/faults: an expression becomes
`planted(N) ? new : old`, and the variable TAPELOOP_FAULT chooses N when the tests run. So nothing is compiled forty times, and
the sources themselves are never touched. A fault is caught when a test case fails, crashes, or does not end; it is missed only
when the whole fast suite passes. First the suite runs with few samples and a quick compiler, then as it is.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "faults"
TREE = WORK / "tree"
BUILD = WORK / "build"
TESTS = BUILD / "tapeloop_tests"
# A process for so many test cases: enough that starting does not count, few enough that a failure ends the search early.
CASES = 15
QUICK = {"TAPELOOP_WITHOUT": "optimise", "TAPELOOP_OP_SAMPLES": "1", "TAPELOOP_RANDOM_PROGRAMS": "60"}

HEADER = """#pragma once
#include <cstdlib>
inline bool planted(int fault) {
  static const int chosen = [] {
    const char* text = std::getenv("TAPELOOP_FAULT");
    return text ? std::atoi(text) : 0;
  }();
  return chosen == fault;
}
"""


class Fault:
    def __init__(self, number, name):
        self.number, self.name, self.fields = number, name, {}

    def __getattr__(self, field):
        return self.fields.get(field, "")

    def __str__(self):
        return f"{self.number:3} {self.name}"


def read_faults():
    faults, last = [], None
    for line in (ROOT / "tests/faults/faults.txt").read_text().splitlines():
        if line.startswith("[") and line.endswith("]"):
            faults.append(Fault(len(faults) + 1, line[1:-1]))
        elif match := re.fullmatch(r"(file|try|in|-|\+) +(\S.*)", line):
            last = {"-": "old", "+": "new", "in": "around"}.get(match[1], match[1])
            faults[-1].fields[last] = match[2]
        elif line and not line.startswith("#"):
            faults[-1].fields[last] += "\n" + line  # text goes on as it stands in the source
    return faults


def same_text(pattern, text):
    """Where `pattern` occurs, however the lines are broken."""
    words = [re.escape(word) for word in pattern.split()]
    return list(re.finditer(r"\s+".join(words), text))


def only(pattern, text, fault):
    found = same_text(pattern, text)
    if len(found) != 1:
        sys.exit(f"faults.txt: {fault}: {len(found)} places in {fault.file} are `{pattern}`")
    return found[0]


def plant(fault, text):
    begin, end = 0, len(text)
    if fault.around:
        begin, end = only(fault.around, text, fault).span()
    place = only(fault.old, text[begin:end], fault)
    old = place[0]
    if old.endswith(";"):
        new = f"if (planted({fault.number})) {{ {fault.new} }} else {{ {old} }}"
    else:
        new = f"(planted({fault.number}) ? ({fault.new}) : ({old}))"
    return text[: begin + place.start()] + new + text[begin + place.end() :]


def write_changed(path, data):
    """Leaves alone what is already there, so that it need not be compiled again."""
    if not path.exists() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def make_tree(faults):
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    names = [name for name in names if name and (ROOT / name).is_file()]
    for old in [path for path in TREE.rglob("*") if path.is_file()]:
        if str(old.relative_to(TREE)) not in names:
            old.unlink()
    for name in names:
        if all(fault.file != name for fault in faults):
            write_changed(TREE / name, (ROOT / name).read_bytes())
            shutil.copymode(ROOT / name, TREE / name)
    # Later faults first look at the text with the earlier ones in it, which is why these may not overlap.
    for name in sorted({fault.file for fault in faults}):
        text = (ROOT / name).read_text()
        for fault in faults:
            if fault.file == name:
                text = plant(fault, text)
        write_changed(TREE / name, text.encode())
    write_changed(WORK / "planted.h", HEADER.encode())
    shared = ROOT.parent / "shared"  # what some tests read beside the repository
    if shared.exists() and not (WORK / "shared").exists():
        (WORK / "shared").symlink_to(shared)


def build(jobs):
    flags = f"-O1 -DNDEBUG -include {WORK}/planted.h"
    configure = ["cmake", "-S", TREE, "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DTAPELOOP_EXAMPLES=OFF"]
    configure += ["-DTAPELOOP_BENCH=OFF", "-DTAPELOOP_TESTS_TOGETHER=ON", f"-DCMAKE_CXX_FLAGS_RELEASE={flags}"]
    for command in (configure, ["cmake", "--build", BUILD, "--parallel", str(jobs), "--target", "tapeloop_tests"]):
        subprocess.run(command, check=True, stdout=sys.stderr)


def run(number, arguments, environment, limit):
    """What fails: the name of a test case, or how it ended; empty when everything passes."""
    variables = {**os.environ, **environment, "TAPELOOP_FAULT": str(number)}
    command = [TESTS, "--test-suite-exclude=*slow*", "--abort-after=1", "--no-skipped-summary", *arguments]
    try:
        done = subprocess.run(command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=limit)
    except subprocess.TimeoutExpired:
        return f"no end after {limit} s"
    if done.returncode == 0:
        return ""
    text = done.stdout.decode(errors="replace")
    named = re.findall(r"^TEST CASE:  (.*)", text, re.MULTILINE)
    if not re.search(r"^[0-9]+ passed, [0-9]+ failed$", text, re.MULTILINE):
        return f"{named[-1] if named else 'a test'} (ends with {done.returncode})"
    if text.rstrip().endswith("0 passed, 0 failed"):
        return ""  # the filter matches nothing
    failed = re.findall(r"^TEST CASE:  (.*)(?:\n(?!TEST CASE).*)*?ERROR", text, re.MULTILINE)
    return (failed or named or ["a test"])[0]


def groups():
    listed = subprocess.run([TESTS, "--test-suite-exclude=*slow*", "--count"], capture_output=True, text=True, check=True)
    count = int(re.search(r"current filters: *(\d+)", listed.stdout)[1])
    return [[f"--first={i}", f"--last={i + CASES - 1}"] for i in range(1, count + 1, CASES)]


def verdict(fault, limit):
    start = time.time()
    attempts = [([f"--test-case={fault.fields['try']}"], QUICK)] if "try" in fault.fields else []
    attempts += [(group, QUICK) for group in groups()] + [(group, {}) for group in groups()]
    for arguments, environment in attempts:
        if by := run(fault.number, arguments, environment, limit):
            break
    print(f"{fault}: {by or 'MISSED'} ({time.time() - start:.0f} s)", file=sys.stderr, flush=True)
    return by


def main():
    parser = argparse.ArgumentParser(prog="dev faults", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", type=int, help="only these faults")
    parser.add_argument("--list", action="store_true", help="say which there are")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="faults tried at the same time")
    parser.add_argument("--limit", type=int, default=900, help="seconds after which a group of tests counts as failed")
    parser.add_argument("--unplanted", action="store_true", help="first see that the tests pass without a fault")
    options = parser.parse_args()
    faults = read_faults()
    chosen = [fault for fault in faults if not options.numbers or fault.number in options.numbers]
    if options.list:
        print("\n".join(f"{fault} ({fault.file})" for fault in chosen))
        return 0
    make_tree(faults)
    build(options.jobs)
    if options.unplanted:
        for group in groups():
            if by := run(0, group, QUICK, options.limit):
                sys.exit(f"without any fault, a test fails: {by}")
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        caught = list(pool.map(lambda fault: verdict(fault, options.limit), chosen))
    wide = max(len(fault.name) for fault in chosen)
    for fault, by in zip(chosen, caught):
        print(f"{fault.number:3}  {fault.name:{wide}}  {fault.file:22}  {by or 'MISSED'}")
    missed = sum(not by for by in caught)
    print(f"{len(chosen) - missed} of {len(chosen)} faults caught, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
