#!/usr/bin/env python3
"""What upserts, merges and deletes by key leave behind, seen by five other readers.

    keyed.py --floe BIN

Makes a table with a primary key, changes it in every way that Floe knows, and has deltalake, DuckDB, chdb, Sail and Spark with
Delta read it, Spark its change feed as well. Exits 0 when all see the rows that Floe sees. Run with the interpreter that
`tests/peers/peers.sh python` prints.
"""

import argparse
import collections
import os
import subprocess
import sys
import tempfile

import pyarrow
import pyarrow.parquet

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(HERE, "peers", "peers.sh")

STATEMENTS = [
    "CREATE TABLE events (id BIGINT, region STRING, at BIGINT, kind STRING, amount DOUBLE, PRIMARY KEY (id, region))"
    " TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true', 'floe.orderingFields' = 'at', 'floe.mergeMode' = 'partial',"
    " 'floe.deleteMarker' = 'gone')",
    "INSERT INTO events SELECT value AS id, concat('r', value % 3) AS region, value % 50 AS at, 'first' AS kind,"
    " CAST(value AS DOUBLE) / 4 AS amount FROM range(20000)",
    "UPSERT INTO events (id, region, at, kind) SELECT value * 3 AS id, concat('r', value * 3 % 3) AS region, 25 AS at,"
    " 'upserted' AS kind FROM range(7500)",
    "UPSERT INTO events (id, region, at, gone) SELECT value * 7 AS id, concat('r', value * 7 % 3) AS region, 60 AS at,"
    " true AS gone FROM range(400)",
    "INSERT INTO events VALUES (1, 'r1', 99, 'kept', 0), (50001, 'r0', 1, 'new', 1)"
    " ON CONFLICT (id, region) DO UPDATE SET amount = events.amount + 1000, kind = excluded.kind",
    "INSERT INTO events VALUES (2, 'r2', 99, 'ignored', 0), (50002, 'r0', 1, 'new', 2) ON CONFLICT DO NOTHING",
    "MERGE INTO events t USING (SELECT id, region, amount FROM events WHERE id % 11 = 5) AS s"
    " ON t.id = s.id AND t.region = s.region WHEN MATCHED AND s.amount > 4000 THEN DELETE"
    " WHEN MATCHED THEN UPDATE SET amount = s.amount * 2",
    "DELETE FROM events WHERE id BETWEEN 300 AND 330",
    "OPTIMIZE events",
    "UPSERT INTO events SELECT id, region, at + 100 AS at, 'last' AS kind, amount FROM events WHERE id % 101 = 0",
]


def run(*command, **given):
    done = subprocess.run(command, capture_output=True, text=True, **given)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:3])}: status {done.returncode}: {done.stderr.strip()[-1500:]}")
    return done.stdout


def bag(path):
    table = pyarrow.parquet.read_table(path)
    return table.column_names, collections.Counter(zip(*(column.to_pylist() for column in table.columns)))


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("--floe", required=True)
    given = arguments.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        warehouse = os.path.join(folder, "warehouse")
        floe = [os.path.abspath(given.floe), "--quiet", "--warehouse", warehouse]
        for statement in STATEMENTS:
            run(*floe, "-c", statement)
        table = os.path.join(warehouse, "default", "events")
        print(run(*floe, "check", "events").strip())
        ours = os.path.join(folder, "floe.parquet")
        run(*floe, "-c", f"COPY (SELECT * FROM events) TO '{ours}'")
        expected = bag(ours)
        keys = collections.Counter(row[:2] for row in expected[1].elements())
        assert max(keys.values()) == 1 and len(keys) > 15000, "every key once"
        compared = subprocess.run([sys.executable, os.path.join(HERE, "foreign_readers.py"), "--floe", floe[0], table])
        failures += compared.returncode != 0
        feed = os.path.join(folder, "feed.parquet")
        run(*floe, "-c", f"COPY (SELECT * EXCLUDE (_commit_timestamp) FROM table_changes('events', 0)) TO '{feed}'")
        changes = bag(feed)
        kinds = collections.Counter(row[changes[0].index("_change_type")] for row in changes[1].elements())
        assert len(kinds) == 4, f"rows inserted, deleted and updated: {kinds}"
        for engine, venv in [("chdb", "more"), ("sail", "more"), ("spark", "spark"), ("spark-changes", "spark")]:
            wanted = changes if engine == "spark-changes" else expected
            theirs = os.path.join(folder, f"{engine}.parquet")
            try:
                python = run(PEERS, "python", venv).strip()
                environment = {**os.environ, "FLOE_SPARK_JARS": run(PEERS, "jars").strip()}
                run(python, os.path.join(HERE, "more_readers.py"), engine, table, theirs, env=environment)
                found = bag(theirs)
                if found != wanted:
                    missing, extra = wanted[1] - found[1], found[1] - wanted[1]
                    raise RuntimeError(f"{found[0]}, missing {list(missing)[:2]}, too many {list(extra)[:2]}")
                print(f"{engine}: {sum(found[1].values())} rows equal", flush=True)
            except RuntimeError as error:
                failures += 1
                print(f"FAILED {engine}: {error}", flush=True)
    print(f"keyed: {6 - failures} of 6 readings agree")
    sys.exit(1 if failures else 0)


main()
