"""One side of a workload, done by the PyPI package deltalake. Prints what this process took as one line of JSON."""

import json
import resource
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake


def load(source, table):
    file = pq.ParquetFile(source)
    reader = pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(batch_size=64 * 1024))
    write_deltalake(table, reader)
    return {"files": len(DeltaTable(table).file_uris())}


def delete(table):
    return DeltaTable(table).delete("l_orderkey % 1000 = 7")


def merge(table, changes):
    merger = DeltaTable(table).merge(
        source=pq.read_table(changes),
        predicate="t.l_orderkey = s.l_orderkey AND t.l_linenumber = s.l_linenumber",
        source_alias="s",
        target_alias="t",
        streamed_exec=False,
    )
    return merger.when_matched_update_all().when_not_matched_insert_all().execute()


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    began, cpu_before = time.monotonic(), cpu()
    note = {"load": load, "delete": delete, "merge": merge}[verb](*arguments)
    wall_s, cpu_s = time.monotonic() - began, cpu() - cpu_before
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "peak_mib": peak_mib, "note": note}))
