"""What Floe's statements leave behind."""

from cases import Case
from cases.features import CHANGE, FILL, WHERE

CREATE = "CREATE TABLE t (id INT, v STRING);"

CASES = [
    Case(
        "ctas",
        "CREATE TABLE AS SELECT, partitioned; CREATE OR REPLACE",
        """
        CREATE TABLE t AS SELECT 1 AS old;
        CREATE OR REPLACE TABLE t PARTITIONED BY (p) AS
            SELECT CAST(value AS INT) AS id, concat('v', value) AS v, value % 3 AS p FROM range(0, 60);
        INSERT INTO t VALUES (100, 'later', 1), (101, 'later', NULL);
        """,
        ("p = 2 AND id > 50", "v = 'later'", "p IS NULL"),
    ),
    Case(
        "overwrite",
        "INSERT OVERWRITE, then TRUNCATE and INSERT",
        CREATE + FILL + """
        INSERT OVERWRITE t SELECT id + 1000 AS id, v FROM t WHERE id < 10;
        INSERT INTO t VALUES (1, 'x');
        TRUNCATE TABLE t;
        INSERT INTO t VALUES (2, 'y'), (3, NULL);
        """,
        ("id = 2", "id > 100", "v IS NULL"),
        since=4,
    ),
    Case(
        "add_column",
        "ALTER TABLE ADD COLUMN: older files lack it",
        CREATE + FILL + """
        ALTER TABLE t ADD COLUMN n BIGINT;
        INSERT INTO t VALUES (200, 'with', 7);
        ALTER TABLE t ADD COLUMN s STRUCT<a: INT, b: STRING>;
        INSERT INTO t VALUES (201, 'both', 8, named_struct('a', 1, 'b', 'x'));
        UPDATE t SET n = 1 WHERE id = 100;
        """,
        ("n = 7", "n IS NULL AND id > 110", "n > 0", "s.a = 1"),
        since=4,
    ),
    Case(
        "checkpoints",
        "classic checkpoints with statistics, several, also over deletion vectors",
        "CREATE TABLE t (id INT, v STRING, s STRUCT<x: INT, at: TIMESTAMP>, n DECIMAL(12, 3), p DATE) PARTITIONED BY (p)"
        " TBLPROPERTIES ('delta.checkpointInterval' = '3');"
        + "".join(
            f"INSERT INTO t VALUES ({n}, 'v{n}', named_struct('x', {n * 10}, 'at', TIMESTAMP '2026-01-0{n} 00:00:00.123456'),"
            f" {n}.125, DATE '2026-01-0{n % 3 + 1}'), ({n + 100}, NULL, NULL, NULL, NULL);"
            for n in range(1, 9)
        )
        + "DELETE FROM t WHERE id IN (2, 104); UPDATE t SET v = 'u' WHERE id = 3; DELETE FROM t WHERE p = DATE '2026-01-02';",
        ("id = 5", "s.x > 45", "n < 3.500", "p = DATE '2026-01-03' AND id > 2", "p IS NULL AND id < 103", "v IS NULL"),
    ),
    Case(
        "checkpoint_struct_stats",
        "checkpoints with statistics as columns, and without the JSON text",
        "CREATE TABLE t (id INT, v STRING) TBLPROPERTIES ('delta.checkpointInterval' = '2',"
        " 'delta.checkpoint.writeStatsAsStruct' = 'true', 'delta.checkpoint.writeStatsAsJson' = 'false');" + FILL + CHANGE,
        WHERE,
        since=4,
    ),
    Case(
        "no_statistics",
        "delta.dataSkippingNumIndexedCols = 0 and chosen columns later",
        "CREATE TABLE t (id INT, v STRING) TBLPROPERTIES ('delta.dataSkippingNumIndexedCols' = '0');"
        + FILL
        + "ALTER TABLE t SET TBLPROPERTIES ('delta.dataSkippingStatsColumns' = 'v');"
        + CHANGE,
        WHERE,
        since=4,
    ),
    Case("optimize", "OPTIMIZE over small files and deleted rows", CREATE + FILL + CHANGE + "OPTIMIZE t;", WHERE, since=6),
    Case(
        "zorder",
        "OPTIMIZE ZORDER BY",
        "CREATE TABLE t (id INT, a INT, b INT);"
        "INSERT INTO t SELECT CAST(value AS INT) AS id, CAST(value % 17 AS INT) AS a, CAST(value % 5 AS INT) AS b FROM range(300);"
        "DELETE FROM t WHERE a = 3; OPTIMIZE t ZORDER BY (a, b);",
        ("a = 4", "b = 2 AND a > 9", "id > 290"),
    ),
    Case(
        "vacuum",
        "VACUUM after changes",
        CREATE + FILL + CHANGE + "OPTIMIZE t; SET floe.retention_check = false; VACUUM t RETAIN 0 HOURS;",
        WHERE,
        since=None,
    ),
    Case(
        "restore",
        "RESTORE to a version before changes, then new changes",
        CREATE + FILL + CHANGE + "RESTORE TABLE t TO VERSION AS OF 3; DELETE FROM t WHERE id > 110;",
        WHERE,
        since=4,
    ),
    Case(
        "merge_all_clauses",
        "MERGE with every kind of clause",
        CREATE + FILL + """
        MERGE INTO t USING (SELECT CAST(value * 7 AS INT) AS id, concat('s', value) AS v FROM range(30)) AS s ON t.id = s.id
            WHEN MATCHED AND s.v = 's3' THEN DELETE
            WHEN MATCHED THEN UPDATE SET v = concat(t.v, s.v)
            WHEN NOT MATCHED AND s.id < 150 THEN INSERT (id, v) VALUES (s.id, 'inserted')
            WHEN NOT MATCHED BY SOURCE AND t.id > 100 THEN DELETE
            WHEN NOT MATCHED BY SOURCE AND t.id < 5 THEN UPDATE SET v = 'lonely';
        """,
        WHERE + ("v = 'inserted'", "v = 'lonely'"),
        since=4,
    ),
    Case(
        "shallow_clone",
        "SHALLOW CLONE of a table with deletion vectors, then changes of both",
        CREATE + FILL + CHANGE + """
        CREATE TABLE source DEEP CLONE t;
        DROP TABLE t;
        CREATE TABLE t SHALLOW CLONE source;
        DELETE FROM source WHERE id < 10;
        DELETE FROM t WHERE id = 100;
        INSERT INTO t VALUES (900, 'mine');
        """,
        ("id = 900", "id BETWEEN 90 AND 110"),
    ),
    Case(
        "deep_clone",
        "DEEP CLONE of a table with deletion vectors, then changes",
        CREATE + FILL + CHANGE + """
        CREATE TABLE source DEEP CLONE t;
        DROP TABLE t;
        CREATE TABLE t DEEP CLONE source;
        DELETE FROM t WHERE id = 100;
        INSERT INTO t VALUES (900, 'mine');
        """,
        ("id = 900", "id BETWEEN 90 AND 110"),
    ),
    Case(
        "converted",
        "CONVERT TO DELTA of a folder with partitions, then changes",
        """
        COPY (SELECT CAST(value AS INT) AS id, concat('v', value) AS v, TIMESTAMP '2026-01-01 00:00:00' AS at FROM range(50))
            TO '{warehouse}/default/t/p=a b/one.parquet';
        COPY (SELECT CAST(value AS INT) AS id, concat('v', value) AS v FROM range(50, 60))
            TO '{warehouse}/default/t/p=__HIVE_DEFAULT_PARTITION__/two.parquet';
        CONVERT TO DELTA t PARTITIONED BY (p STRING);
        DELETE FROM t WHERE id = 7;
        INSERT INTO t (id, v, p) VALUES (900, 'new', 'c');
        """,
        ("id > 48", "p = 'a b'", "p IS NULL"),
    ),
    Case(
        "keyed",
        "primary key: UPSERT, ON CONFLICT, MERGE and DELETE by key, ordering fields, change feed",
        """
        CREATE TABLE t (id BIGINT, region STRING, at BIGINT, kind STRING, amount DOUBLE, PRIMARY KEY (id, region))
            TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true', 'floe.orderingFields' = 'at', 'floe.mergeMode' = 'partial',
            'floe.deleteMarker' = 'gone');
        INSERT INTO t SELECT value AS id, concat('r', value % 3) AS region, value % 50 AS at, 'first' AS kind,
            CAST(value AS DOUBLE) / 4 AS amount FROM range(20000);
        UPSERT INTO t (id, region, at, kind) SELECT value * 3 AS id, concat('r', value * 3 % 3) AS region, 25 AS at,
            'upserted' AS kind FROM range(7500);
        UPSERT INTO t (id, region, at, gone) SELECT value * 7 AS id, concat('r', value * 7 % 3) AS region, 60 AS at,
            true AS gone FROM range(400);
        INSERT INTO t VALUES (1, 'r1', 99, 'kept', 0), (50001, 'r0', 1, 'new', 1)
            ON CONFLICT (id, region) DO UPDATE SET amount = t.amount + 1000, kind = excluded.kind;
        INSERT INTO t VALUES (2, 'r2', 99, 'ignored', 0), (50002, 'r0', 1, 'new', 2) ON CONFLICT DO NOTHING;
        MERGE INTO t USING (SELECT id, region, amount FROM t WHERE id % 11 = 5) AS s
            ON t.id = s.id AND t.region = s.region WHEN MATCHED AND s.amount > 4000 THEN DELETE
            WHEN MATCHED THEN UPDATE SET amount = s.amount * 2;
        DELETE FROM t WHERE id BETWEEN 300 AND 330;
        OPTIMIZE t;
        UPSERT INTO t SELECT id, region, at + 100 AS at, 'last' AS kind, amount FROM t WHERE id % 101 = 0;
        """,
        ("id BETWEEN 290 AND 340", "kind = 'last'", "amount > 9000"),
        since=None,
        feed=True,
        holds=(
            "SELECT count(*) > 15000 AND max(n) = 1 FROM (SELECT count(*) AS n FROM t GROUP BY id, region)",
            "SELECT count(DISTINCT _change_type) = 4 FROM table_changes('t', 0)",
        ),
    ),
    Case(
        "keyed_small",
        "primary key: every version of a few upserts, with automatic compaction",
        "CREATE TABLE t (id INT PRIMARY KEY, v STRING);"
        + "".join(f"UPSERT INTO t VALUES ({n}, 'a{n}'), ({n + 1}, 'b{n}'), ({(n * 3) % 7}, 'c{n}');" for n in range(10, 28)),
        ("id = 20", "id < 4"),
    ),
    Case(
        "many_versions",
        "forty commits and the checkpoints among them",
        "CREATE TABLE t (id INT, v STRING) TBLPROPERTIES ('delta.checkpointInterval' = '10');"
        + "".join(f"INSERT INTO t VALUES ({n}, 'v{n}'); DELETE FROM t WHERE id = {n - 2};" for n in range(20)),
        ("id = 19", "id < 18"),
    ),
]
