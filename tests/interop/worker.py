#!/usr/bin/env python3
"""One engine, at the orders of run.py: a JSON object a line comes in, one goes out.

    worker.py ENGINE

{"do": "read", "table", "version", "where", "expected"}     compares the engine's rows with those of a Parquet file
{"do": "changes", "table", "expected"}                      the same with the change feed
{"do": "write", "table", "change"}                          changes a table

The answer has "rows" (how many are equal), "done", "differs" or "refused".
"""

import dataclasses
import json
import os
import sys

import pyarrow.parquet

import rows
from engines import ENGINES


def answer(engine, order):
    try:
        if order["do"] == "write":
            engine.write(order["table"], order["change"])
            return {"done": True}
        if order["do"] in ["changes", "row_ids"]:
            found = getattr(engine, order["do"])(order["table"])
        else:
            found = engine.read(order["table"], order["version"], order["where"])
        expected = pyarrow.parquet.read_table(order["expected"])
        tolerance = dataclasses.replace(engine.TOLERANCE, any_order=order["do"] == "changes")
        return {"rows": rows.check(found, expected, tolerance)}
    except rows.Difference as difference:
        return {"differs": str(difference)[:1500]}
    # A refusal is whatever the engine raises; from Rust code a panic may come, which is no Exception.
    except BaseException as error:
        return {"refused": f"{type(error).__name__}: {str(error)[:1500]}"}


def main():
    # Engines print what they like to standard output: the answers go out by a copy of it, the rest to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    engine = ENGINES[sys.argv[1]]()
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(engine, json.loads(line))), file=answers, flush=True)
    # Servers inside this process do not end by themselves.
    os._exit(0)


main()
