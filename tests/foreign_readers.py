#!/usr/bin/env python3
"""Do other readers see the rows that Floe sees?

    foreign_readers.py --floe BIN TABLE [--version N] [--engine deltalake|duckdb]...

TABLE is a directory or an s3:// URI; for S3 the AWS_* variables of the environment say where. Floe's rows are written
to a Parquet file with COPY, each engine's rows are compared with them as multisets: names, count, and a sum of row
hashes over values cast to the types Floe gave. Exits 0 when all agree, and prints one line an engine.

An engine that refuses a table is a difference too: what these tests write, both engines are known to read.
Run with the interpreter that `tests/peers/peers.sh python` prints.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "interop"))
sys.dont_write_bytecode = True

import duckdb
import pyarrow.parquet

from engines import ENGINES, text


HERE_INSTALLED = ["deltalake", "duckdb"]


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def floe_rows(floe, table, version, target):
    at = "" if version is None else f" VERSION AS OF {version}"
    statement = f"COPY (SELECT * FROM {text(table)}{at}) TO {text(target)}"
    # The warehouse is not used, and must not be made in the current directory.
    command = [floe, "--quiet", "--read-only", "--warehouse", os.path.join(os.path.dirname(target), "warehouse"), "-c", statement]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        # COPY writes a file, so a read-only session may refuse it.
        command.remove("--read-only")
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"floe cannot read {table}: {done.stderr.strip()}")


def compare(engine, table, version, floe_file):
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute(f"CREATE VIEW floe_rows AS SELECT * FROM read_parquet({text(floe_file)})")
    try:
        db.register("foreign_rows", ENGINES[engine]().read(table, version))
    except Exception as error:  # whatever an engine raises is its refusal
        return f"refused: {type(error).__name__}: {str(error)[:500]}"
    columns = {name: kind for name, kind, *_ in db.execute("DESCRIBE floe_rows").fetchall()}
    foreign = [name for name, *_ in db.execute("DESCRIBE foreign_rows").fetchall()]
    if foreign != list(columns):
        return f"columns differ: floe {list(columns)}, {engine} {foreign}"
    # -0.0 equals 0.0, but their bytes and so their hashes differ.
    plain = lambda name: f"({quoted(name)} + 0.0)" if columns[name] in ("FLOAT", "DOUBLE") else quoted(name)
    values = ", ".join(f"CAST({plain(name)} AS {kind}) AS {quoted(name)}" for name, kind in columns.items())
    names = ", ".join(quoted(name) for name in columns)
    digest = f"SELECT count(*), sum(hash({names})::HUGEINT) FROM (SELECT {values} FROM %s)"
    ours = db.execute(digest % "floe_rows").fetchone()
    theirs = db.execute(digest % "foreign_rows").fetchone()
    if ours == theirs:
        return None
    lines = [f"{ours[0]} rows in floe, {theirs[0]} in {engine}"]
    for label, left, right in [("only in floe", "floe_rows", "foreign_rows"), (f"only in {engine}", "foreign_rows", "floe_rows")]:
        found = db.execute(f"SELECT {values} FROM {left} EXCEPT ALL SELECT {values} FROM {right} LIMIT 3").fetchall()
        lines += [f"  {label}: {row}" for row in found]
    return "\n".join(lines)


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("--floe", required=True)
    arguments.add_argument("--version", type=int)
    arguments.add_argument("--engine", action="append", choices=HERE_INSTALLED)
    arguments.add_argument("table")
    given = arguments.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        floe_file = os.path.join(folder, "floe.parquet")
        floe_rows(given.floe, given.table, given.version, floe_file)
        rows = pyarrow.parquet.ParquetFile(floe_file).metadata.num_rows
        for engine in given.engine or HERE_INSTALLED:
            began = time.monotonic()
            difference = compare(engine, given.table, given.version, floe_file)
            took = time.monotonic() - began
            at = "latest" if given.version is None else f"version {given.version}"
            verdict = f"{rows} rows equal" if difference is None else difference
            print(f"{engine}: {given.table} {at}: {verdict} ({took:.1f} s)", flush=True)
            failed |= difference is not None
    sys.exit(1 if failed else 0)


main()
