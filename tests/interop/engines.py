"""The other engines, each with one way to read a table. An engine is made once a process, in the interpreter that
`tests/peers/peers.sh python` prints for its `VENV`.

    read(table, version=None, where=None)   the rows of a folder or, for deltalake and DuckDB, an s3:// URI
    changes(table)                          the change feed from the first version on, where the engine has one
    row_ids(table)                          the ids of rows, where the engine shows them
    write(table, change)                    changes the table: a statement in SQL with the table as {t}, or, for those
                                            without, the name of a function in writers.py

Whatever an engine raises is its refusal.
"""

import glob
import os
import sys

import pyarrow

import writers
from rows import Rows, Tolerance

# What reaches the object store of the tests: see `peers.sh start`.
S3_OPTIONS = ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ALLOW_HTTP"]


def s3_options():
    return {name: os.environ[name] for name in S3_OPTIONS if name in os.environ}


def text(value):
    return "'" + value.replace("'", "''") + "'"


def select(source, where):
    return f"SELECT * FROM {source}" + (f" WHERE {where}" if where else "")


class Engine:
    VENV = None
    TOLERANCE = Tolerance()
    # Conditions that the engine's SQL cannot say.
    CANNOT_SAY = None
    # Whether a reading takes about a second.
    SLOW = False


class Deltalake(Engine):
    VENV = "readers"

    def opened(self, table, version=None):
        from deltalake import DeltaTable

        return DeltaTable(table, version=version, storage_options=s3_options() if table.startswith("s3://") else None)

    def write(self, table, change):
        getattr(writers, change)(table)

    def read(self, table, version=None, where=None):
        """`to_pyarrow_table` refuses deletion vectors; the query path applies them."""
        from deltalake import QueryBuilder

        rows = QueryBuilder().register("t", self.opened(table, version)).execute(select("t", where))
        return pyarrow.RecordBatchReader.from_stream(rows).read_all()

    def changes(self, table):
        feed = pyarrow.table(self.opened(table).load_cdf(starting_version=0))
        return feed.drop_columns("_commit_timestamp")


class DuckDB(Engine):
    VENV = "readers"

    def __init__(self):
        import duckdb

        self.db = duckdb.connect(config={"allow_unsigned_extensions": "true", "autoinstall_known_extensions": "false"})
        self.db.execute("SET TimeZone = 'UTC'")
        # The extension files come from wheels: INSTALL would go to the network.
        for name in ["httpfs", "delta"]:
            packages = f"{sys.prefix}/lib/python3*/site-packages"
            found = glob.glob(f"{packages}/duckdb_extension_{name}/extensions/*/{name}.duckdb_extension")
            self.db.execute(f"LOAD {text(found[0])}")

    def attach(self, table, options=""):
        self.db.execute("DETACH DATABASE IF EXISTS attached")
        if table.startswith("s3://"):
            given = s3_options()
            endpoint = given.get("AWS_ENDPOINT_URL", "")
            self.db.execute(
                f"CREATE OR REPLACE SECRET (TYPE s3, KEY_ID {text(given['AWS_ACCESS_KEY_ID'])},"
                f" SECRET {text(given['AWS_SECRET_ACCESS_KEY'])}, REGION {text(given['AWS_REGION'])},"
                f" ENDPOINT {text(endpoint.split('//')[-1])}, URL_STYLE 'path',"
                f" USE_SSL {'false' if endpoint.startswith('http://') else 'true'})"
            )
        self.db.execute(f"ATTACH {text(table)} AS attached (TYPE delta{options})")

    def read(self, table, version=None, where=None):
        self.attach(table, "" if version is None else f", VERSION {version}")
        return self.db.execute(select("attached", where)).to_arrow_table()

    def write(self, table, change):
        self.attach(table)
        self.db.execute(change.replace("{t}", "attached"))


class Chdb(Engine):
    VENV = "more"
    TOLERANCE = Tolerance(nested_nulls=False)

    def __init__(self):
        # ClickHouse reads files below the current directory alone.
        os.chdir("/")

    def read(self, table, version=None, where=None):
        import chdb

        settings = "output_format_arrow_string_as_string = 1"
        if version is not None:
            settings += f", delta_lake_snapshot_version = {version}"
        query = select(f"deltaLakeLocal({text(table)})", where) + f" SETTINGS {settings}"
        answer = chdb.query(query, "Arrow").bytes()
        return pyarrow.ipc.open_file(pyarrow.BufferReader(bytes(answer))).read_all()


class Polars(Engine):
    VENV = "polars"
    # It compares a time with a zone to none without, and knows no text of the former.
    CANNOT_SAY = "TIMESTAMP '"

    def read(self, table, version=None, where=None):
        import polars

        return polars.scan_delta(table, version=version).sql(select("self", where)).collect().to_arrow()

    def write(self, table, change):
        getattr(writers, change)(table)


class SparkLike(Engine):
    """What Spark's own session and Sail's server have in common."""

    def frame(self, table, **options):
        return self.session.read.format("delta").options(**options).load(table)

    def read(self, table, version=None, where=None):
        rows = self.frame(table, **({} if version is None else {"versionAsOf": str(version)}))
        return (rows.where(where) if where else rows).toArrow()


class Sail(SparkLike):
    VENV = "more"

    def __init__(self):
        from pysail.spark import SparkConnectServer
        from pyspark.sql import SparkSession

        self.server = SparkConnectServer("127.0.0.1", 0)
        self.server.start(background=True)
        address = f"sc://127.0.0.1:{self.server.listening_address[1]}"
        self.session = SparkSession.builder.remote(address).getOrCreate()
        self.names = {}

    def write(self, table, change):
        """It inserts into tables of its catalog alone."""
        created = change.startswith("CREATE TABLE")
        if table not in self.names:
            self.names[table] = f"t{len(self.names)}"
            if not created:
                self.session.sql(f"CREATE TABLE {self.names[table]} USING delta LOCATION {text(table)}")
        located = change + f" LOCATION {text(table)}" if created else change
        self.session.sql(located.replace("{t}", self.names[table])).collect()


class Spark(SparkLike):
    VENV = "spark"
    SLOW = True

    def __init__(self):
        from pyspark.sql import SparkSession

        settings = {
            "spark.jars": ",".join(glob.glob(os.path.join(os.environ["FLOE_SPARK_JARS"], "*.jar"))),
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": "1g",
            "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": "1",
            "spark.databricks.delta.snapshotPartitions": "1",
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.sql.adaptive.enabled": "false",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }
        builder = SparkSession.builder.master("local[1]")
        for key, value in settings.items():
            builder = builder.config(key, value)
        self.session = builder.getOrCreate()
        self.session.sparkContext.setLogLevel("ERROR")

    def write(self, table, change):
        self.session.sql(change.replace("{t}", f"delta.`{table}`"))

    def frame(self, table, **options):
        """Variants as JSON: a column with one that is null does not come through Arrow."""
        frame = super().frame(table, **options)
        variants = [field.name for field in frame.schema if field.dataType.typeName() == "variant"]
        return frame.withColumns({name: self.to_json(name) for name in variants}) if variants else frame

    @staticmethod
    def to_json(column):
        from pyspark.sql.functions import col, to_json

        return to_json(col(column))

    def row_ids(self, table):
        return self.frame(table).where("id < 500").selectExpr("id", "_metadata.row_id AS row_id").toArrow()

    def changes(self, table):
        # A commit's time is that of its file here, and another reader may take the one written inside.
        feed = self.frame(table, readChangeFeed="true", startingVersion="0").drop("_commit_timestamp")
        return feed.toArrow()


class Trino(Engine):
    """Needs `peers.sh start trino` and its environment. Tables must lie below its lake folder or, to be written, in the bucket of
    versitygw, which the other engines see as a folder."""

    VENV = "trino"
    # It keeps three digits of a second, and names in small letters.
    TOLERANCE = Tolerance(any_case=True, step=1000)

    def __init__(self):
        import trino

        connection = trino.dbapi.connect(
            host="127.0.0.1", port=int(os.environ["FLOE_TRINO_PORT"]), user="floe", catalog="delta", timezone="UTC"
        )
        self.cursor = connection.cursor()
        self.run("CREATE SCHEMA IF NOT EXISTS delta.peers WITH (location = 'local:///_schema')")
        self.names = {}

    def run(self, statement):
        self.cursor.execute(statement)
        return self.cursor.fetchall()

    def location(self, table):
        bucket = os.environ["FLOE_VERSITYGW_BUCKET"]
        if table.startswith(bucket):
            return "s3://floe/" + os.path.relpath(table, bucket)
        return "local:///" + os.path.relpath(table, os.environ["FLOE_TRINO_LAKE"])

    def name(self, table):
        """The table in its metastore, with what it remembers of older versions given up."""
        if table not in self.names:
            name = f"t{len(self.names)}_{os.getpid()}"
            self.run(f"CALL system.register_table('peers', {text(name)}, {text(self.location(table))})")
            self.names[table] = name
        self.run(f"CALL system.flush_metadata_cache(schema_name => 'peers', table_name => {text(self.names[table])})")
        return self.names[table]

    def write(self, table, change):
        if change.startswith("CREATE TABLE"):
            self.names[table] = f"t{len(self.names)}_{os.getpid()}"
            change = change.replace("{location}", self.location(table))
        self.run(change.replace("{t}", f"peers.{self.name(table)}"))

    def rows(self, query):
        found = self.run(query)
        return Rows([column[0] for column in self.cursor.description], found)

    def read(self, table, version=None, where=None):
        at = "" if version is None else f" FOR VERSION AS OF {version}"
        return self.rows(select(f"peers.{self.name(table)}{at}", where))

    def changes(self, table):
        feed = self.rows(
            f"SELECT * FROM TABLE(system.table_changes(schema_name => 'peers', table_name => {text(self.name(table))}))"
        )
        at = feed.names.index("_commit_timestamp")
        without = lambda row: [*row[:at], *row[at + 1 :]]
        feed.names, feed.rows = without(feed.names), [without(row) for row in feed.rows]
        return feed


ENGINES = {
    "spark": Spark,
    "trino": Trino,
    "sail": Sail,
    "duckdb": DuckDB,
    "chdb": Chdb,
    "deltalake": Deltalake,
    "polars": Polars,
}
