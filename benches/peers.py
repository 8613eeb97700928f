"""One side of a workload, done by deltalake or by Sail. Prints what this process took as one line of JSON."""

import glob
import json
import os
import resource
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, QueryBuilder, write_deltalake


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


def upsert_deltalake(table, source):
    merger = DeltaTable(table).merge(
        source=pq.read_table(source), predicate="t.id = s.id", source_alias="s", target_alias="t", streamed_exec=False
    )
    done = merger.when_matched_update_all().when_not_matched_insert_all().execute()
    return {"inserted": done["num_target_rows_inserted"], "updated": done["num_target_rows_updated"]}


def mixed(n):
    mask = (1 << 64) - 1
    x = (n + 0x9E3779B97F4A7C15) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def get_deltalake(table):
    opened = QueryBuilder().register("t", DeltaTable(table))
    for n in range(20):
        key = f"{mixed(mixed(n) % 10_000_000):016x}"
        found = pa.table(opened.execute(f"SELECT * FROM t WHERE k = '{key}'").read_all())
        assert found.num_rows == 1, key


def delete_deltalake(table):
    return {"rows": DeltaTable(table).delete("c2 = 777")["num_deleted_rows"]}


# A server that nobody holds shuts down.
SERVERS = []


def sail():
    """A session of a Sail server in this process, whose start is not part of the measure."""
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer()
    SERVERS.append(server)
    server.start()
    _, port = server.listening_address
    spark = SparkSession.builder.remote(f"sc://localhost:{port}").getOrCreate()
    spark.sql("SELECT 1").collect()
    return spark


def upsert_sail(spark, table, source):
    spark.sql(
        f"MERGE INTO delta.`{table}` t USING parquet.`{source}` s ON t.id = s.id "
        "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    ).collect()


def delete_sail(spark, table):
    spark.sql(f"DELETE FROM delta.`{table}` WHERE c2 = 777").collect()


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


VERBS = {
    "load": load,
    "delete": delete,
    "merge": merge,
    "upsert-deltalake": upsert_deltalake,
    "get-deltalake": get_deltalake,
    "delete-deltalake": delete_deltalake,
    "upsert-sail": upsert_sail,
    "delete-sail": delete_sail,
}

def command(words):
    """A command line as a process of its own, from its start to its end."""
    began = time.monotonic()
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    wall_s = time.monotonic() - began
    if done.returncode != 0:
        raise SystemExit(f"{words} failed: {done.stderr}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    # The kernel counts this process's memory as the child's peak, too: that of the command is not known.
    taken = {"wall_s": wall_s, "cpu_s": used.ru_utime + used.ru_stime, "peak_mib": 0}
    print(json.dumps({**taken, "note": "".join(done.stdout.split())}))


def duckdb_cli():
    """The path of DuckDB's shell, and of its extension for Delta tables."""
    import duckdb_cli
    import duckdb_extension_delta

    extension = glob.glob(os.path.dirname(duckdb_extension_delta.__file__) + "/extensions/*/delta.duckdb_extension")
    print(json.dumps([os.path.dirname(duckdb_cli.__file__) + "/duckdb", extension[0]]))


if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    if verb == "command":
        sys.exit(command(arguments))
    if verb == "duckdb-cli":
        sys.exit(duckdb_cli())
    arguments = [os.path.abspath(path) for path in arguments]
    if verb.endswith("-sail"):
        arguments.insert(0, sail())
    began, cpu_before = time.monotonic(), cpu()
    note = VERBS[verb](*arguments)
    wall_s, cpu_s = time.monotonic() - began, cpu() - cpu_before
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "peak_mib": peak_mib, "note": note}), flush=True)
    # The threads of a server in this process do not end by themselves.
    os._exit(0)
