#!/usr/bin/env python3
"""The cross-reader gate: what Floe writes, seen by other engines, and what they and Floe write in turn.

    run.py --floe BIN [--case NAME]... [--reader NAME]... [--keep FOLDER] [--verbose]

FLOE_INTEROP_UPDATE=1 writes the transcript into docs/interop.md; without it the gate fails when the table there is not what
was seen. Run with the interpreter that `tests/peers/peers.sh python` prints. docs/interop.md says what is compared.
"""

import argparse
import concurrent.futures
import os
import shutil
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import known
import rounds
import transcript
from cases import all_cases
from engines import ENGINES
from peers import Floe, Worker, peers, start
from tables import Made


def say(*words):
    print(*words, flush=True)


# Of older versions, an engine that takes a second for each reads the first and the last few.
VERSIONS_OF_A_SLOW_ONE = 4


def of_older_versions(made):
    return [label for label, _ in made.orders if label.startswith("version ")]


def can(engine, order):
    said = engine.CANNOT_SAY is None or engine.CANNOT_SAY not in (order.get("where") or "")
    return said and hasattr(engine, order["do"])


def read_all(worker, made, ready, seen, verbose):
    """One reader's readings of one table, when it is there."""
    ready.wait()
    if made.refused is None:
        answers = []
        older = of_older_versions(made)
        left_out = set(older[1 : 1 - VERSIONS_OF_A_SLOW_ONE]) if ENGINES[worker.name].SLOW else set()
        for label, order in made.orders:
            if label in left_out or not can(ENGINES[worker.name], order):
                continue
            began = time.monotonic()
            answers.append((label, worker.ask(**order)))
            if verbose:
                say(f"  {worker.name} {made.case.name} {label}: {answers[-1][1]} ({time.monotonic() - began:.2f} s)")
        seen[made.case.name, worker.name] = answers


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("--floe", required=True)
    arguments.add_argument("--case", action="append")
    arguments.add_argument("--reader", action="append", choices=list(ENGINES))
    arguments.add_argument("--keep", help="a name for the folders of the tables, which stay, and so do Trino and versitygw")
    arguments.add_argument("--verbose", action="store_true")
    given = arguments.parse_args()
    began = time.monotonic()
    floe = Floe(given.floe)
    readers = given.reader or list(ENGINES)
    cases = [case for case in all_cases() if not given.case or case.name in given.case]
    played = [story for story in rounds.ROUNDS if not given.case or story.name in given.case]

    # Trino reads on disk, and writes in a bucket, which is a folder to everyone else.
    start("versitygw")
    start("trino")
    name = given.keep or f"interop-{os.getpid()}"
    folder, bucket = (os.path.join(os.environ[root], name) for root in ["FLOE_TRINO_LAKE", "FLOE_VERSITYGW_BUCKET"])
    for place in [folder, bucket]:
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(os.path.join(place, "logs"))
    needed = {*readers, *(writer for story in played for writer in story.writers())}
    workers = {name: Worker(name, ENGINES[name].VENV, os.path.join(folder, "logs")) for name in ENGINES if name in needed}
    failures, seen = [], {}
    tables = [Made(case, folder) for case in cases] + [Made(story, bucket if "trino" in story.writers() else folder) for story in played]
    ready = {made.case.name: threading.Event() for made in tables}

    def make(made):
        try:
            if isinstance(made.case, rounds.Round):
                made.case.play(made, floe, workers)
            else:
                made.make(floe, made.case.sql)
            if made.refused is None:
                made.write_down(floe)
            else:
                failures.append(f"{made.case.name}: floe refuses: {made.refused}")
        except Exception as error:
            failures.append(f"{made.case.name}: {error}")
            made.refused = str(error)
        finally:
            ready[made.case.name].set()

    def read(name):
        for made in tables:
            try:
                read_all(workers[name], made, ready[made.case.name], seen, given.verbose)
            except Exception as error:
                failures.append(f"{made.case.name}: {name}: {error}")
                return
        say(f"{name}: done after {time.monotonic() - began:.0f} s")

    try:
        with concurrent.futures.ThreadPoolExecutor(max_workers=len(tables) + len(readers)) as pool:
            reading = [pool.submit(read, name) for name in readers]
            # Rounds wait for their writers, so each has a thread; the rest is made one after the other.
            playing = [pool.submit(make, made) for made in tables[len(cases) :]]
            for made in tables[: len(cases)]:
                make(made)
            for future in [*reading, *playing]:
                future.result()
        whole = not given.case and not given.reader
        verdicts, wrong = known.judge(tables, readers, seen, whole)
    finally:
        for worker in workers.values():
            worker.stop()
        # Their folders go with the servers.
        for server in [] if given.keep else ["trino", "versitygw"]:
            peers("stop", server)

    failures += wrong
    if whole:
        update = os.environ.get("FLOE_INTEROP_UPDATE") == "1"
        failures += transcript.compare(tables, readers, verdicts, update)
    for failure in failures:
        say(f"FAILED {failure}")
    readings = sum("rows" in answer for answers in seen.values() for _, answer in answers)
    say(f"interop: {readings} readings of {len(tables)} tables by {len(readers)} engines agree,"
        f" {len(failures)} failures ({time.monotonic() - began:.0f} s)")
    sys.exit(1 if failures else 0)


main()
