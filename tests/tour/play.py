#!/usr/bin/env python3
"""Plays the tour of a Markdown file.

    play.py README.md --floe BIN --data FOLDER --warehouse URI [--scale N] [--update]

A fenced block after a line `<!-- tour -->` is SQL and is run; one after `<!-- tour: output -->` is what the block before
it must print; one after `<!-- tour: python -->` is run as Python, on disk only. In all of them /tmp/tpch stands for
--data, ./warehouse for --warehouse. The outputs in the file are those of scale factor 1; other scales have theirs in
`scale-N.md` beside this script. At the end deltalake and DuckDB read every version of every table of the tour.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
READERS = os.path.join(HERE, "..", "foreign_readers.py")
FENCE = re.compile(r"^<!-- tour(?::\s*(\w+))? -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def outputs_of(text):
    """The expected outputs in a Markdown text, in their order."""
    return [found[2] for found in FENCE.finditer(text) if found[1] == "output"]


class Tour:
    def __init__(self, given):
        self.given = given
        self.failures = 0

    def floe(self, *arguments):
        command = [self.given.floe, "--warehouse", self.given.warehouse, *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    def substitute(self, text):
        return text.replace("/tmp/tpch", self.given.data).replace("./warehouse", self.given.warehouse)

    def fail(self, text):
        self.failures += 1
        print(f"FAILED {text}", flush=True)

    def sql(self, text):
        began = time.monotonic()
        done = self.floe("-c", self.substitute(text))
        first_line = text.strip().splitlines()[0]
        if done.returncode != 0:
            self.fail(f"{first_line}: {done.stderr.strip()}")
        else:
            print(f"ok     {time.monotonic() - began:6.1f} s  {first_line}", flush=True)
        return done.stdout

    def python(self, text):
        if "://" in self.given.warehouse:
            return
        done = subprocess.run([sys.executable, "-c", self.substitute(text)], capture_output=True, text=True)
        if done.returncode != 0:
            self.fail(f"python: {done.stderr.strip()[-1000:]}")
        else:
            print("ok     python", flush=True)

    def read_by_others(self):
        listed = json.loads(self.floe("--quiet", "--format", "json", "-c", "SHOW TABLES").stdout)
        names = sorted(value for row in listed for key, value in row.items() if key.lower() in ("tablename", "table_name", "name"))
        if not names:
            self.fail(f"SHOW TABLES names no table: {listed}")
        for name in names:
            detail = json.loads(self.floe("--quiet", "--format", "json", "-c", f"DESCRIBE DETAIL {name}").stdout)
            location = detail[0]["location"].removeprefix("file://")
            count = self.floe("--quiet", "--format", "json", "-c", f"SELECT max(version) AS v FROM history('{name}')").stdout
            for version in range(json.loads(count)[0]["v"] + 1):
                command = [sys.executable, READERS, "--floe", self.given.floe, "--version", str(version), location]
                done = subprocess.run(command, capture_output=True, text=True)
                print(done.stdout, end="", flush=True)
                if done.returncode != 0:
                    self.fail(f"{name} version {version}: {done.stdout.strip()} {done.stderr.strip()}")


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("file")
    arguments.add_argument("--floe", required=True)
    arguments.add_argument("--data", required=True)
    arguments.add_argument("--warehouse", required=True)
    arguments.add_argument("--scale", default="1")
    arguments.add_argument("--update", action="store_true")
    given = arguments.parse_args()
    given.floe = os.path.abspath(given.floe)
    with open(given.file, encoding="utf-8") as file:
        text = file.read()
    other = None if float(given.scale) == 1 else os.path.join(HERE, f"scale-{given.scale}.md")
    expected = outputs_of(text)
    if other is not None:
        try:
            with open(other, encoding="utf-8") as file:
                expected = outputs_of(file.read())
        except FileNotFoundError:
            if not given.update:
                sys.exit(f"no expected outputs for scale {given.scale}: {other} is missing")
    tour, seen, printed = Tour(given), [], ""
    for block in FENCE.finditer(text):
        kind, body = block[1], block[2]
        if kind is None:
            printed = tour.sql(body)
        elif kind == "python":
            tour.python(body)
        elif kind == "output":
            if not given.update and (len(seen) >= len(expected) or expected[len(seen)] != printed):
                wanted = expected[len(seen)] if len(seen) < len(expected) else "nothing"
                tour.fail(f"output {len(seen) + 1}: expected\n{wanted}but it is\n{printed}")
            seen.append(printed)
        else:
            sys.exit(f"unknown block kind {kind} in {given.file}")
    if not seen:
        sys.exit(f"{given.file} has no tour")
    tour.read_by_others()
    if given.update and tour.failures == 0:
        if other is None:
            replaced = iter(seen)
            swap = lambda m: m[0] if m[1] != "output" else f"<!-- tour: output -->\n```text\n{next(replaced)}```"
            text, target = FENCE.sub(swap, text), given.file
        else:
            blocks = [f"<!-- tour: output -->\n```text\n{output}```\n" for output in seen]
            text, target = f"Outputs of the README's tour at scale factor {given.scale}.\n\n" + "\n".join(blocks), other
        with open(target, "w", encoding="utf-8") as file:
            file.write(text)
    print(f"tour on {given.warehouse}: {len(seen)} outputs, {tour.failures} failures")
    sys.exit(1 if tour.failures else 0)


main()
