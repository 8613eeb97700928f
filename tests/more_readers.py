#!/usr/bin/env python3
"""Reads a Delta table on disk with chdb, Sail or Spark and writes its rows, or those of its change feed, to a Parquet file.

    more_readers.py chdb|sail|spark|spark-changes TABLE OUT

Run with the interpreter that `tests/peers/peers.sh python more` prints, for Spark with that of `python spark`; Spark's jars are
those below $FLOE_SPARK_JARS.
"""

import glob
import os
import sys

import pyarrow
import pyarrow.parquet


def chdb(table):
    import chdb

    # ClickHouse reads files below the current directory alone.
    os.chdir("/")
    query = f"SELECT * FROM deltaLakeLocal('{table}') SETTINGS output_format_arrow_string_as_string = 1"
    answer = chdb.query(query, "Arrow").bytes()
    return pyarrow.ipc.open_file(pyarrow.BufferReader(bytes(answer))).read_all()


def sail(table):
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    session = SparkSession.builder.remote(f"sc://127.0.0.1:{server.listening_address[1]}").getOrCreate()
    return session.read.format("delta").load(table).toArrow()


def spark(table):
    return spark_frame(table).toArrow()


def spark_changes(table):
    # A commit's time is that of its file here, and another reader may take the one written inside.
    return spark_frame(table, readChangeFeed="true", startingVersion="0").drop("_commit_timestamp").toArrow()


def spark_frame(table, **options):
    from pyspark.sql import SparkSession

    settings = {
        "spark.jars": ",".join(glob.glob(os.path.join(os.environ["FLOE_SPARK_JARS"], "*.jar"))),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master("local[2]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session.read.format("delta").options(**options).load(table)


engine, table, out = sys.argv[1:]
rows = {"chdb": chdb, "sail": sail, "spark": spark, "spark-changes": spark_changes}[engine](os.path.abspath(table))
pyarrow.parquet.write_table(rows, out)
sys.stdout.flush()
# Servers inside this process do not end by themselves.
os._exit(0)
