"""What deltalake and Polars do to a table in the rounds: they have no SQL for it."""

import datetime
import decimal

import pyarrow

SCHEMA = pyarrow.schema(
    [
        ("id", pyarrow.int32()),
        ("v", pyarrow.string()),
        ("p", pyarrow.string()),
        ("n", pyarrow.decimal128(10, 2)),
        ("moment", pyarrow.timestamp("us", "UTC")),
    ]
)


def batch(ids, v="rs", p=None):
    at = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    rows = [
        {"id": n, "v": f"{v}{n}", "p": p or [None, "a b", "c/d"][n % 3], "n": decimal.Decimal(n), "moment": at + datetime.timedelta(hours=n)}
        for n in ids
    ]
    return pyarrow.Table.from_pylist(rows, schema=SCHEMA)


def create_partitioned(table):
    from deltalake import write_deltalake

    write_deltalake(table, batch(range(30)), partition_by=["p"], configuration={"delta.checkpointInterval": "5"})


def append(table):
    from deltalake import write_deltalake

    write_deltalake(table, batch(range(200, 215)), mode="append")


def update_and_merge(table):
    from deltalake import DeltaTable

    opened = DeltaTable(table)
    opened.update(predicate="id BETWEEN 100 AND 104", updates={"v": "'rs updated'"})
    merge = opened.merge(batch([5, 101, 300], "merged", "a b"), "s.id = t.id", source_alias="s", target_alias="t")
    merge.when_matched_update_all().when_not_matched_insert_all().execute()


def delete(table):
    from deltalake import DeltaTable

    DeltaTable(table).delete("id % 7 = 1")


def optimize_and_checkpoint(table):
    from deltalake import DeltaTable

    DeltaTable(table).optimize.compact()
    DeltaTable(table).create_checkpoint()


def polars_create(table):
    import polars

    polars.from_arrow(batch(range(30), "pl")).write_delta(table)


def polars_append(table):
    import polars

    polars.from_arrow(batch(range(400, 410), "pl")).write_delta(table, mode="append")
