#!/usr/bin/env python3
"""Floe on tables that other implementations wrote, and on damaged ones.

    run.py --floe BIN SUITE_FOLDER [--only TEXT] [--jobs N] [--verbose]

SUITE_FOLDER holds `<suite>/<case>/` with `table/`, `case.json` and `expected/`; its README says what they mean. For a
case that expects rows, every listed version and change feed is read by the binary, written to Parquet with COPY, and
compared as a multiset. A case that expects a refusal must end with status 1 and an error; a panic is a failure anywhere.

`known.tsv` beside this file lists cases that Floe refuses though it should read them, each with the reason. They may be
refused, but neither give wrong rows nor pass unnoticed. Exits 0 when everything else passes, with `N passed, N failed` as the last line.
"""

import argparse
import concurrent.futures
import datetime
import decimal
import json
import math
import os
import subprocess
import sys
import tempfile
from collections import Counter

import pyarrow
import pyarrow.parquet

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.dont_write_bytecode = True

import variants

TIMEOUT_S = 300


def quoted(path):
    return "'" + path.replace("'", "''") + "'"


class Floe:
    """The binary, and a folder for what it writes."""

    def __init__(self, binary, folder):
        self.binary = binary
        self.folder = folder

    def run(self, statement):
        command = [self.binary, "--quiet", "--warehouse", os.path.join(self.folder, "warehouse"), "-c", statement]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, errors="replace")
        except subprocess.TimeoutExpired:
            raise Failed(f"no answer within {TIMEOUT_S} s: {statement}")
        if done.returncode not in (0, 1) or "panicked at" in done.stderr:
            raise Failed(f"died with status {done.returncode}: {done.stderr.strip()[:800]}")
        return done

    def rows(self, query):
        """The rows of a query; None and the error when Floe refuses it."""
        target = os.path.join(self.folder, "rows.parquet")
        if os.path.exists(target):
            os.remove(target)
        done = self.run(f"COPY ({query}) TO {quoted(target)}")
        if done.returncode == 0:
            return pyarrow.parquet.ParquetFile(target).read(), None
        return None, done.stderr.strip()


class Failed(Exception):
    pass


def from_json(value):
    """A variant, or a nested value that holds some, as the value that its JSON stands for.

    Variants come as their two parts, or as JSON text. A map names its keys as text.
    """
    if isinstance(value, str):
        return json.loads(value)
    if isinstance(value, dict):
        if set(value) == variants.PARTS:
            return variants.of_parts(value)
        return {name: from_json(item) for name, item in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(item, tuple) for item in value):
            return {str(key): from_json(item) for key, item in value}
        return [from_json(item) for item in value]
    return value


def without_nulls(value):
    """The value without fields that are null: whether `to_json` writes those of structs is no matter of the rows."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def plain(value, as_json):
    """The value as something that compares and hashes as the README of the suite asks."""
    if value is None:
        return None
    if as_json:
        value = variants.numbers(from_json(value))
        return json.dumps(without_nulls(value) if as_json == "nested" else value, sort_keys=True)
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        return 0.0 if value == 0 else float(f"{value:.15g}")
    if isinstance(value, decimal.Decimal):
        return value.normalize()
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc)
        return ("time", value.tzinfo is not None, value.replace(tzinfo=None))
    if isinstance(value, dict):
        return tuple(plain(item, False) for item in value.values())
    if isinstance(value, list):
        # A map comes as pairs, and its order means nothing.
        if value and all(isinstance(item, tuple) for item in value):
            return frozenset((plain(key, False), plain(item, False)) for key, item in value)
        return tuple(plain(item, False) for item in value)
    return value


def bag(table, mapping, nested):
    """The rows as a multiset; `nested` names the columns of JSON inside structs, arrays and maps."""
    columns = []
    for name, column in zip(table.column_names, table.columns):
        kind = column.type
        if pyarrow.types.is_timestamp(kind):
            # As numbers: Delta's times go further than Python's. Whether they are instants is part of the value.
            column = column.cast(pyarrow.timestamp("us", kind.tz), safe=False).cast(pyarrow.int64())
            columns.append([None if value is None else (kind.tz is not None, value) for value in column.to_pylist()])
        elif pyarrow.types.is_date(kind):
            columns.append(column.cast(pyarrow.date32()).cast(pyarrow.int32()).to_pylist())
        else:
            as_json = mapping.get(name) == "json" and ("nested" if name in nested else "text")
            columns.append([plain(value, as_json) for value in column.to_pylist()])
    return Counter(zip(*columns)) if columns else Counter({(): table.num_rows})


def compare(found, expected, mapping, what):
    dropped = {name for name, kind in mapping.items() if kind == "dropped-void"}
    for name in [name for name in found.column_names if name in dropped and name not in expected.column_names]:
        found = found.drop_columns([name])
    if found.column_names != expected.column_names:
        raise Failed(f"{what}: columns {found.column_names}, expected {expected.column_names}")
    nested = {field.name for field in found.schema if pyarrow.types.is_nested(field.type)}
    ours, theirs = bag(found, mapping, nested), bag(expected, mapping, nested)
    if ours != theirs:
        raise Failed(
            f"{what}: {found.num_rows} rows, expected {expected.num_rows};"
            f" too many: {list((ours - theirs).items())[:2]}; missing: {list((theirs - ours).items())[:2]}"
        )


def check(folder, binary):
    """Raises Failed when the case does not pass."""
    with open(os.path.join(folder, "case.json"), encoding="utf-8") as file:
        case = json.load(file)
    table = os.path.join(folder, "table")
    expected = os.path.join(folder, "expected")
    also = case.get("alsoAccept")
    mapping = case.get("mapping") or {}
    with tempfile.TemporaryDirectory() as scratch:
        floe = Floe(binary, scratch)
        latest = case.get("latest")
        refuse = case["expect"] == "refuse"
        if refuse:
            found, _ = floe.rows(f"SELECT * FROM {quoted(table)}")
            if found is not None:
                if also != "rows":
                    raise Failed(f"read {found.num_rows} rows, expected a refusal: {case['refuse']['kind']}, {case['refuse']['why']}")
                compare(found, pyarrow.parquet.read_table(os.path.join(expected, f"v{latest}.parquet")), mapping, "latest")
        for version in case["versions"]:
            file = os.path.join(expected, f"v{version}.parquet")
            if not os.path.exists(file) or (refuse and version == latest):
                continue
            # The latest version is read as people read it, without naming it.
            at = "" if version == latest else f" VERSION AS OF {version}"
            found, error = floe.rows(f"SELECT * FROM {quoted(table)}{at}")
            if found is None:
                if also == "refuse":
                    continue
                raise Failed(f"version {version}: refused: {error}")
            compare(found, pyarrow.parquet.ParquetFile(file).read(), mapping, f"version {version}")
        for span in case.get("cdf") or []:
            first, last = span if isinstance(span, list) else (int(part) for part in str(span).split("-"))
            file = os.path.join(expected, f"cdf-{first}-{last}.parquet")
            found, error = floe.rows(f"SELECT * FROM table_changes({quoted(table)}, {first}, {last})")
            if found is None:
                raise Failed(f"changes {first} to {last}: refused: {error}")
            found = found.drop_columns([name for name in found.column_names if name == "_commit_timestamp"])
            compare(found, pyarrow.parquet.ParquetFile(file).read(), mapping, f"changes {first} to {last}")
        for span in case.get("refuseCdf") or []:
            first, last = span if isinstance(span, list) else (int(part) for part in str(span).split("-"))
            found, _ = floe.rows(f"SELECT * FROM table_changes({quoted(table)}, {first}, {last})")
            if found is not None:
                raise Failed(f"changes {first} to {last}: read {found.num_rows} rows, expected a refusal")


def known_failures(name):
    known = {}
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                name, _, reason = line.rstrip("\n").partition("\t")
                known[name] = reason
    return known


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("--floe", required=True)
    arguments.add_argument("--only", help="cases whose name contains this")
    arguments.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments.add_argument("--verbose", action="store_true")
    arguments.add_argument("suites")
    given = arguments.parse_args()
    suites = os.path.abspath(given.suites)
    names = sorted(
        f"{suite}/{case}"
        for suite in os.listdir(suites)
        if os.path.isdir(os.path.join(suites, suite))
        for case in os.listdir(os.path.join(suites, suite))
        if os.path.exists(os.path.join(suites, suite, case, "case.json"))
    )
    names = [name for name in names if not given.only or given.only in name]
    if not names:
        sys.exit(f"no cases in {suites}")
    known, differs = known_failures("known.tsv"), known_failures("differs.tsv")
    passed, failed, excused, differing = 0, [], 0, 0

    def attempt(name):
        try:
            check(os.path.join(suites, name), os.path.abspath(given.floe))
            return name, None
        except Failed as failure:
            return name, str(failure)
        except Exception as error:  # a bug of this script must not look like a pass
            return name, f"{type(error).__name__}: {error}"

    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        for name, failure in pool.map(attempt, names):
            if failure is None and name in differs:
                failed.append(name)
                print(f"FAILED {name}: passes now, take it out of differs.tsv ({differs[name]})")
            elif name in differs:
                differing += 1
                print(f"differs {name}: {differs[name]}")
            elif failure is None and name in known:
                failed.append(name)
                print(f"FAILED {name}: passes now, take it out of known.tsv ({known[name]})")
            elif failure is None:
                passed += 1
                if given.verbose:
                    print(f"ok     {name}")
            elif name in known and "refused: error:" in failure:
                excused += 1
                if given.verbose:
                    print(f"known  {name}: {known[name]}: {failure}")
            else:
                failed.append(name)
                print(f"FAILED {name}: {failure}", flush=True)
    print(f"conformance: {len(names)} cases, {excused} refused as known, {differing} differ as known")
    print(f"{passed} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


main()
