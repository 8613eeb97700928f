"""Rounds: a table that one engine makes and Floe changes, and they change again, in turn. At the end all read all versions."""

import dataclasses

import writers

# What Floe does to a table of these columns when its turn comes. The first time and the second.
FLOE = [
    """
    INSERT INTO t (id, v, p, n, moment) SELECT CAST(value AS INT) AS id, concat('floe', value) AS v, CASE value % 3 WHEN 0 THEN 'a b' WHEN 1 THEN 'new=%' END AS p,
        CAST(value AS DECIMAL(10, 2)) AS n, TIMESTAMP '2026-02-01 00:00:00.5' AS moment FROM range(100, 120);
    DELETE FROM t WHERE id IN (2, 3, 110);
    UPDATE t SET v = 'floe updated' WHERE id BETWEEN 10 AND 12 OR id = 111;
    MERGE INTO t USING (SELECT 20 AS id, 'm' AS v UNION ALL SELECT 21, NULL UNION ALL SELECT 500, 'new') AS s ON t.id = s.id
        WHEN MATCHED AND s.v IS NULL THEN DELETE WHEN MATCHED THEN UPDATE SET v = s.v
        WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v);
    """,
    """
    DELETE FROM t WHERE id = 15;
    UPDATE t SET n = n + 1 WHERE id < 8;
    OPTIMIZE t;
    INSERT INTO t (id, v, p) VALUES (600, 'last', 'a b');
    """,
]
WHERE = ("id BETWEEN 100 AND 112", "p = 'a b'", "p IS NULL", "n > 105.00", "v = 'floe updated'")


@dataclasses.dataclass
class Round:
    name: str
    shows: str
    # Who does what: "floe" runs statements, the others changes as their `write` takes them.
    steps: list
    where: tuple = WHERE
    since: int | None = 0
    feed: bool = False
    # The ids of rows are compared as well: each was inserted with the one that its column `id` says, if it is below 500.
    row_ids: bool = False
    # Queries that must each give one row of one value, true.
    holds: tuple = ()
    # The rules that `floe check` finds broken. It must find these, and no other.
    broken: tuple = ()

    def writers(self):
        return {who for who, _ in self.steps if who != "floe"}

    def play(self, made, floe, workers):
        for at, (who, what) in enumerate(self.steps):
            if who == "floe":
                made.make(floe, what)
                if made.refused is not None:
                    made.refused = f"step {at}: {made.refused}"
                    return
            else:
                done = workers[who].ask(do="write", table=made.table, change=what)
                if "done" not in done:
                    raise RuntimeError(f"step {at}: {who} refuses {what}: {done}")


TYPES = "id INT, v STRING, p STRING, n DECIMAL(10, 2), moment TIMESTAMP"


def spark(sql):
    return [("spark", statement.strip()) for statement in sql.split(";") if statement.strip()]


def fill(first):
    return (
        f"INSERT INTO {{t}} (id, v, p, n, moment) SELECT CAST(id AS INT), concat('{first}', id), CASE id % 3 WHEN 0 THEN 'a b' WHEN 1 THEN 'c/d' END,"
        " CAST(id AS DECIMAL(10, 2)), timestamp'2026-01-01 00:00:00' + make_interval(0, 0, 0, 0, 0, 0, id) FROM range(30)"
    )


def spark_round(name, shows, properties, again, partitioned=True, **given):
    create = f"CREATE TABLE {{t}} ({TYPES}) USING delta {'PARTITIONED BY (p)' if partitioned else ''} TBLPROPERTIES ({properties})"
    steps = [*spark(f"{create}; {fill('spark')}; DELETE FROM {{t}} WHERE id % 10 = 4"), ("floe", FLOE[0]), *spark(again), ("floe", FLOE[1])]
    after = ("spark", "UPDATE {t} SET v = 'spark last' WHERE id IN (0, 1, 600)")
    return Round(name, shows, [*steps, after], **given)


AGAIN = """
    UPDATE {t} SET v = 'spark updated' WHERE id BETWEEN 9 AND 11 OR id = 112;
    MERGE INTO {t} t USING (SELECT 113 AS id, 'merged' AS v UNION ALL SELECT 700, 'merged') s ON t.id = s.id
        WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v);
    OPTIMIZE {t}
"""

NO_MERGE = [FLOE[0].split("MERGE INTO")[0], FLOE[1]]


def spark_writes(name, shows, create, again, floe=FLOE, **given):
    steps = [*spark(create), ("spark", fill("spark")), ("floe", floe[0]), *spark(again), ("floe", floe[1])]
    return Round(name, shows, [*steps, ("spark", "DELETE FROM {t} WHERE id = 600")], **given)


# In a percent-encoded path Sail 0.7.2 removes the file by its decoded name, which Spark and others then do not find.
SAIL_WHERE = tuple(where.replace("'a b'", "'a:b'") for where in WHERE)
SAIL_FLOE = [statements.replace("'a b'", "'a:b'") for statements in FLOE]
SPARK_VARIANTS = (
    "INSERT INTO {t} SELECT CAST(id AS INT) + {start}, CASE WHEN id % 5 < 4 THEN"
    " parse_json(concat('{{\"n\": ', id, ', \"t\": \"spark', id, '\", \"o\": {{\"d\": ', id, '.25, \"l\": [true, null]}}}}')) END FROM range(0, 20)"
)

# Of every verb, over variants that Spark has written.
FLOE_VARIANTS = """
    INSERT INTO t SELECT CAST(value AS INT) AS id, parse_json(concat('{"floe": true, "n": ', value, '}')) AS v FROM range(100, 110);
    UPDATE t SET v = parse_json('{"floe": true}') WHERE variant_get(v, '$.t', 'string') = 'spark3';
    DELETE FROM t WHERE variant_get(v, '$.o.d', 'double') > 17;
    UPDATE t SET id = id + 500 WHERE id BETWEEN 5 AND 7;
"""

ROUNDS = [
    spark_round("spark_plain", "Spark makes it without deletion vectors", "'delta.enableDeletionVectors' = 'false'", AGAIN),
    spark_round("spark_vectors", "Spark makes it with deletion vectors and classic checkpoints",
        "'delta.enableDeletionVectors' = 'true', 'delta.checkpointInterval' = '3'", AGAIN),
    spark_round("spark_mapped", "Spark makes it with column mapping by name; it renames and drops columns",
        "'delta.columnMapping.mode' = 'name', 'delta.enableDeletionVectors' = 'true'",
        "ALTER TABLE {t} DROP COLUMN moment; ALTER TABLE {t} ADD COLUMN moment DATE; " + AGAIN),
    spark_round("spark_mapped_by_id", "Spark makes it with column mapping by id", "'delta.columnMapping.mode' = 'id'", AGAIN),
    spark_round("spark_tracked", "Spark makes it with row tracking, in-commit timestamps and V2 checkpoints",
        "'delta.enableRowTracking' = 'true', 'delta.enableInCommitTimestamps' = 'true', 'delta.checkpointPolicy' = 'v2',"
        " 'delta.checkpointInterval' = '3', 'delta.enableDeletionVectors' = 'true'", AGAIN),
    spark_writes(
        "spark_fed",
        "Spark makes it with a change data feed",
        f"CREATE TABLE {{t}} ({TYPES}) USING delta TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')",
        AGAIN,
        NO_MERGE,
        feed=True,
    ),
    spark_writes(
        "spark_bound",
        "Spark makes it with NOT NULL, CHECK, defaults and clustering",
        "CREATE TABLE {t} (id INT NOT NULL, v STRING DEFAULT 'none', p STRING, n DECIMAL(10, 2), moment TIMESTAMP)"
        " USING delta CLUSTER BY (id) TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported');"
        " ALTER TABLE {t} ADD CONSTRAINT id_small CHECK (id < 10000)",
        AGAIN,
    ),
    spark_writes(
        "spark_widened",
        "Spark makes it and widens types",
        f"CREATE TABLE {{t}} ({TYPES}) USING delta TBLPROPERTIES ('delta.enableTypeWidening' = 'true')",
        "ALTER TABLE {t} CHANGE COLUMN n TYPE DECIMAL(20, 4); ALTER TABLE {t} CHANGE COLUMN id TYPE BIGINT;" + AGAIN,
    ),
    spark_round("spark_iceberg", "Spark makes it with IcebergCompatV2", "'delta.enableIcebergCompatV2' = 'true',"
        " 'delta.columnMapping.mode' = 'name', 'delta.enableDeletionVectors' = 'false'", AGAIN),
    spark_writes(
        "spark_generated",
        "Spark makes it with a generated column",
        f"CREATE TABLE {{t}} ({TYPES}, day DATE GENERATED ALWAYS AS (CAST(moment AS DATE))) USING delta PARTITIONED BY (day)",
        AGAIN,
    ),
    Round(
        "spark_variants",
        "Spark makes it with variants, shredded",
        [
            ("spark", "CREATE TABLE {t} (id INT, v VARIANT) USING delta TBLPROPERTIES ('delta.enableVariantShredding' = 'true')"),
            ("spark", SPARK_VARIANTS.format(t="{t}", start=0)),
            ("floe", FLOE_VARIANTS),
            ("spark", SPARK_VARIANTS.format(t="{t}", start=50)),
            ("spark", "UPDATE {t} SET v = parse_json('[1.5, null]') WHERE id > 100"),
            ("floe", "OPTIMIZE t; UPDATE t SET id = id + 1000 WHERE variant_get(v, '$.n', 'int') = 7;"),
        ],
        ("id < 30", "v IS NULL"),
    ),
    Round(
        "trino_plain",
        "Trino makes it, partitioned",
        [
            ("trino", "CREATE TABLE {t} (id INTEGER, v VARCHAR, p VARCHAR, n DECIMAL(10, 2), moment TIMESTAMP(3) WITH TIME ZONE)"
                " WITH (location = '{location}', partitioned_by = ARRAY['p'], checkpoint_interval = 5)"),
            ("trino", "INSERT INTO {t} SELECT CAST(n AS INTEGER), concat('trino', CAST(n AS VARCHAR)), CASE n % 3 WHEN 0 THEN 'a b'"
                " WHEN 1 THEN 'c/d' END, CAST(n AS DECIMAL(10, 2)), TIMESTAMP '2026-01-01 00:00:00 UTC' FROM UNNEST(sequence(0, 29)) AS s (n)"),
            ("trino", "DELETE FROM {t} WHERE id % 10 = 4"),
            ("floe", FLOE[0]),
            ("trino", "UPDATE {t} SET v = 'trino updated' WHERE id BETWEEN 9 AND 11 OR id = 112"),
            ("trino", "MERGE INTO {t} t USING (VALUES (113, 'merged'), (700, 'merged')) s (id, v) ON t.id = s.id"
                " WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v)"),
            ("floe", FLOE[1]),
            ("trino", "ALTER TABLE {t} EXECUTE optimize"),
            ("trino", "DELETE FROM {t} WHERE id = 600"),
        ],
    ),
    Round(
        "trino_mapped_vectors",
        "Trino makes it with deletion vectors and column mapping",
        [
            ("trino", "CREATE TABLE {t} (id INTEGER, v VARCHAR, p VARCHAR, n DECIMAL(10, 2), moment TIMESTAMP(3) WITH TIME ZONE)"
                " WITH (location = '{location}', column_mapping_mode = 'NAME', deletion_vectors_enabled = true)"),
            ("trino", "INSERT INTO {t} SELECT CAST(n AS INTEGER), concat('trino', CAST(n AS VARCHAR)), CASE n % 3 WHEN 0 THEN 'a b'"
                " WHEN 1 THEN 'c/d' END, CAST(n AS DECIMAL(10, 2)), TIMESTAMP '2026-01-01 00:00:00 UTC' FROM UNNEST(sequence(0, 29)) AS s (n)"),
            ("trino", "DELETE FROM {t} WHERE id % 10 = 4"),
            ("floe", FLOE[0]),
            ("trino", "UPDATE {t} SET v = 'trino updated' WHERE id BETWEEN 9 AND 11 OR id = 112"),
            ("floe", FLOE[1]),
            ("trino", "DELETE FROM {t} WHERE id IN (600, 5)"),
        ],
        # Trino 476 marks rows in a file that Floe wrote and adds it again with statistics of its own: times a thousand times
        # later, and counts of nulls that still count the marked rows but no `tightBounds` that would say so.
        broken=("statistics-true",),
    ),
    Round(
        "sail_plain",
        "Sail makes it, partitioned",
        [
            ("sail", f"CREATE TABLE {{t}} ({TYPES}) USING delta PARTITIONED BY (p)"),
            ("sail", "INSERT INTO {t} SELECT CAST(id AS INT) AS id, concat('sail', id) AS v, CASE id % 3 WHEN 0 THEN 'a:b' WHEN 1 THEN 'c/d' END AS p,"
                " CAST(id AS DECIMAL(10, 2)) AS n, timestamp'2026-01-01 00:00:00' AS moment FROM range(30)"),
            ("sail", "DELETE FROM {t} WHERE id % 10 = 4"),
            ("floe", SAIL_FLOE[0]),
            ("sail", "UPDATE {t} SET v = 'sail updated' WHERE id BETWEEN 9 AND 11 OR id = 112"),
            ("sail", "MERGE INTO {t} AS t USING (SELECT 113 AS id, 'merged' AS v UNION ALL SELECT 700, 'merged') AS s ON t.id = s.id"
                " WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v)"),
            ("floe", SAIL_FLOE[1]),
            ("sail", "DELETE FROM {t} WHERE id = 600"),
        ],
        where=SAIL_WHERE,
    ),
    Round(
        "sail_mapped_vectors",
        "Sail makes it with deletion vectors and column mapping",
        [
            ("sail", f"CREATE TABLE {{t}} ({TYPES}) USING delta TBLPROPERTIES ('delta.enableDeletionVectors' = 'true',"
                " 'delta.columnMapping.mode' = 'name')"),
            ("sail", "INSERT INTO {t} SELECT CAST(id AS INT) AS id, concat('sail', id) AS v, CASE id % 3 WHEN 0 THEN 'a:b' WHEN 1 THEN 'c/d' END AS p,"
                " CAST(id AS DECIMAL(10, 2)) AS n, timestamp'2026-01-01 00:00:00' AS moment FROM range(30)"),
            ("sail", "DELETE FROM {t} WHERE id % 10 = 4"),
            ("floe", SAIL_FLOE[0]),
            ("sail", "UPDATE {t} SET v = 'sail updated' WHERE id BETWEEN 9 AND 11 OR id = 112"),
            ("floe", SAIL_FLOE[1]),
            ("sail", "DELETE FROM {t} WHERE id IN (600, 5)"),
        ],
        where=SAIL_WHERE,
    ),
    Round(
        "deltalake",
        "deltalake makes it, partitioned, with checkpoints",
        [
            ("deltalake", "create_partitioned"),
            ("deltalake", "delete"),
            ("floe", FLOE[0]),
            ("deltalake", "append"),
            ("deltalake", "update_and_merge"),
            ("floe", FLOE[1]),
            ("deltalake", "optimize_and_checkpoint"),
            ("deltalake", "delete"),
        ],
    ),
    Round(
        "polars",
        "Polars makes it",
        [
            ("polars", "polars_create"),
            ("floe", FLOE[0]),
            ("polars", "polars_append"),
            ("floe", FLOE[1]),
            ("polars", "polars_append"),
        ],
    ),
    Round(
        "duckdb",
        "Floe makes it and DuckDB appends",
        [
            ("floe", f"CREATE TABLE t ({TYPES}) TBLPROPERTIES ('delta.enableDeletionVectors' = 'false')"),
            ("duckdb", "INSERT INTO {t} SELECT range::INTEGER, 'duck' || range, CASE range % 3 WHEN 0 THEN 'a b' WHEN 1 THEN 'c/d' END,"
                " range::DECIMAL(10, 2), TIMESTAMPTZ '2026-01-01 00:00:00+00' FROM range(30)"),
            ("floe", FLOE[0]),
            ("duckdb", "INSERT INTO {t} SELECT id + 800, v, p, n, moment FROM attached WHERE id < 5"),
            ("floe", FLOE[1]),
        ],
    ),
    Round(
        "everyone",
        "Floe makes it with deletion vectors, and Spark, Trino, Sail and deltalake change it in turn",
        [
            ("floe", f"CREATE TABLE t ({TYPES}) PARTITIONED BY (p) TBLPROPERTIES ('delta.checkpointInterval' = '4')"),
            ("spark", fill("spark")),
            ("floe", FLOE[0]),
            # In a file of Floe's: in files that hold the partition column too, as this Spark's do, Trino 476 marks no rows (it
            # looks for the type of each column that the file has statistics of, and partition columns are not among those it knows).
            ("trino", "UPDATE {t} SET v = 'trino updated' WHERE id = 112"),
            ("sail", "DELETE FROM {t} WHERE id IN (13, 14, 115)"),
            ("deltalake", "append"),
            ("floe", FLOE[1]),
            ("deltalake", "delete"),
            ("spark", "MERGE INTO {t} t USING (SELECT 204 AS id, 'merged' AS v) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = s.v"),
            ("floe", "DELETE FROM t WHERE id = 205; OPTIMIZE t; UPDATE t SET v = 'end' WHERE id = 206"),
        ],
    ),
]
