"""Features of columns, and those that need one: mapping, generated values, wider types, variants, schemas that grow."""

from cases import Case
from cases.features import CHANGE, FILL, WHERE, changed

MAPPED = "TBLPROPERTIES ('delta.columnMapping.mode' = 'name')"

VARIANTS = """
    INSERT INTO t SELECT 1, parse_json('{"a": 1, "b": {"c": "x", "d": [true, null]}}');
    INSERT INTO t SELECT 2, parse_json('{"a": 2, "b": {"c": "y"}}');
    INSERT INTO t VALUES (3, NULL), (4, parse_json('"text"')), (5, parse_json('12.50')), (6, parse_json('[1, {"e": 1e300}]'));
    UPDATE t SET v = parse_json('{"a": "three"}') WHERE id = 3;
    DELETE FROM t WHERE variant_get(v, '$.a', 'string') = '1';
    OPTIMIZE t;
"""

CASES = [
    Case(
        "not_null_inner",
        "NOT NULL on an inner field",
        """
        CREATE TABLE t (id INT, n STRUCT<x: INT NOT NULL, y: INT>);
        INSERT INTO t VALUES (1, named_struct('x', 1, 'y', 5)), (2, named_struct('x', 2, 'y', NULL));
        UPDATE t SET id = 3 WHERE id = 1;
        MERGE INTO t USING (SELECT 2 AS id) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET n = named_struct('x', 7, 'y', 8);
        """,
        ("id = 3", "n.x = 1"),
    ),
    changed("mapping_name", "column mapping by name", "'delta.columnMapping.mode' = 'name'"),
    changed("mapping_id", "column mapping by id", "'delta.columnMapping.mode' = 'id'"),
    Case(
        "mapping_nested",
        "column mapping by name, nested types, partitions, names with special characters",
        """
        CREATE TABLE t (id INT, `a b,c` STRING, s STRUCT<`x y`: INT, z: ARRAY<STRUCT<`q;r`: STRING>>>, p STRING)
            PARTITIONED BY (p) TBLPROPERTIES ('delta.columnMapping.mode' = 'name');
        INSERT INTO t VALUES (1, 'one', named_struct('x y', 1, 'z', [named_struct('q;r', 'a')]), 'p1');
        INSERT INTO t VALUES (2, 'two', named_struct('x y', 2, 'z', [named_struct('q;r', NULL)]), 'p2'), (3, NULL, NULL, NULL);
        ALTER TABLE t ADD COLUMN later BIGINT;
        INSERT INTO t VALUES (4, 'four', named_struct('x y', 4, 'z', [named_struct('q;r', 'd')]), 'p1', 44);
        DELETE FROM t WHERE id = 1;
        """,
        ("id >= 3", "p = 'p1'", "p IS NULL"),
    ),
    Case(
        "mapping_later",
        "column mapping switched on in a table with rows",
        "CREATE TABLE t (id INT, v STRING);"
        + FILL
        + "ALTER TABLE t SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name');"
        + CHANGE,
        WHERE,
    ),
    changed("several_features", "column mapping, row tracking, deletion vectors, in-commit timestamps, checkpoints together",
        "'delta.columnMapping.mode' = 'name', 'delta.enableRowTracking' = 'true', 'delta.enableInCommitTimestamps' = 'true',"
        " 'delta.checkpointInterval' = '3'"),
    changed("change_feed_merge", "change data feed after MERGE", "'delta.enableChangeDataFeed' = 'true'", feed=True),
    Case(
        "rename_column",
        "RENAME COLUMN",
        f"CREATE TABLE t (id INT, old STRING) {MAPPED};"
        "INSERT INTO t VALUES (1, 'a'), (2, 'b'); INSERT INTO t VALUES (30, 'c');"
        "ALTER TABLE t RENAME COLUMN old TO fresh; INSERT INTO t VALUES (40, 'd'); DELETE FROM t WHERE id = 1;",
        ("fresh = 'b'", "id > 20"),
    ),
    Case(
        "drop_column",
        "DROP COLUMN, and another of its name",
        f"CREATE TABLE t (id INT, gone STRING, kept INT) {MAPPED};"
        "INSERT INTO t VALUES (1, 'a', 1); ALTER TABLE t DROP COLUMN gone; INSERT INTO t VALUES (2, 2);"
        "ALTER TABLE t ADD COLUMN gone INT; INSERT INTO t VALUES (3, 3, 33);",
        ("kept > 1", "gone = 33", "gone IS NULL"),
    ),
    Case(
        "generated_columns",
        "generated columns, also as partitions",
        "CREATE TABLE t (id INT, moment TIMESTAMP, day DATE GENERATED ALWAYS AS (CAST(moment AS DATE)), twice INT GENERATED ALWAYS AS (id * 2))"
        " PARTITIONED BY (day);"
        "INSERT INTO t (id, moment) VALUES (1, TIMESTAMP '2026-01-01 10:00:00'), (2, TIMESTAMP '2026-01-02 10:00:00');"
        "UPDATE t SET id = 5 WHERE id = 2; DELETE FROM t WHERE id = 1;",
        ("day = DATE '2026-01-02'", "twice = 10"),
    ),
    Case(
        "identity_columns",
        "identity columns",
        "CREATE TABLE t (key BIGINT GENERATED ALWAYS AS IDENTITY (START WITH 10 INCREMENT BY 5), v STRING);"
        "INSERT INTO t (v) VALUES ('a'), ('b'); INSERT INTO t (v) VALUES ('c'); DELETE FROM t WHERE v = 'a';",
        ("key > 12", "v = 'c'"),
    ),
    Case(
        "type_widening",
        "ALTER COLUMN TYPE: integers, floats, decimals, dates",
        "CREATE TABLE t (id INT, b TINYINT, f FLOAT, n DECIMAL(5, 2), d DATE) TBLPROPERTIES ('delta.enableTypeWidening' = 'true');"
        "INSERT INTO t VALUES (1, 1, 1.5, 1.25, DATE '2020-01-01'), (2, 127, 0.1, 999.99, NULL);"
        "ALTER TABLE t ALTER COLUMN b TYPE INT; INSERT INTO t VALUES (3, 70000, 3.5, 3.00, DATE '2021-01-01');"
        "ALTER TABLE t ALTER COLUMN id TYPE BIGINT; ALTER TABLE t ALTER COLUMN f TYPE DOUBLE;"
        "ALTER TABLE t ALTER COLUMN n TYPE DECIMAL(12, 4);"
        "INSERT INTO t VALUES (5000000000, 1, 1e300, 12345.6789, NULL); DELETE FROM t WHERE id = 1;",
        ("id > 2", "b = 127", "b > 1000", "n > 999.9800", "f < 0.2"),
    ),
    Case(
        "cluster_by",
        "CLUSTER BY, and OPTIMIZE",
        "CREATE TABLE t (id INT, v STRING) CLUSTER BY (v, id);" + FILL + CHANGE
        + "OPTIMIZE t; INSERT INTO t VALUES (800, 'x'); OPTIMIZE t; ALTER TABLE t CLUSTER BY (id); OPTIMIZE t FULL;",
        WHERE,
    ),
    Case(
        "void_column",
        "a column of no type",
        "CREATE TABLE t (id INT, nothing VOID); INSERT INTO t VALUES (1, NULL); INSERT INTO t (id) VALUES (2);",
        ("id = 2",),
    ),
    Case(
        "drop_feature",
        "DROP FEATURE",
        "CREATE TABLE t (id INT, v STRING) TBLPROPERTIES ('delta.enableDeletionVectors' = 'true');" + FILL + CHANGE
        + "ALTER TABLE t SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'false'); ALTER TABLE t DROP FEATURE deletionVectors;",
        WHERE,
    ),
    Case(
        "iceberg_compat_v2",
        "IcebergCompatV2: lists and maps with ids, partition values in the files",
        """
        CREATE TABLE t (id INT, l ARRAY<INT>, m MAP<STRING, INT>, p STRING) PARTITIONED BY (p)
            TBLPROPERTIES ('delta.enableIcebergCompatV2' = 'true');
        INSERT INTO t VALUES (1, [1, 2], map(['a'], [1]), 'x'), (2, NULL, NULL, NULL), (3, [], NULL, 'y z');
        UPDATE t SET id = 10 WHERE id = 1;
        DELETE FROM t WHERE id = 2;
        ALTER TABLE t ADD COLUMN later ARRAY<STRING>;
        INSERT INTO t VALUES (4, NULL, NULL, 'x', ['new']);
        OPTIMIZE t;
        """,
        ("id > 3", "p = 'x'", "p = 'y z'"),
    ),
    changed("iceberg_compat_v1", "IcebergCompatV1", "'delta.enableIcebergCompatV1' = 'true'"),
    Case("variant", "VARIANT", f"CREATE TABLE t (id INT, v VARIANT); {VARIANTS}", ("id = 2", "v IS NULL")),
    Case(
        "variant_shredded",
        "shredded VARIANT",
        f"CREATE TABLE t (id INT, v VARIANT) TBLPROPERTIES ('delta.enableVariantShredding' = 'true'); {VARIANTS}",
        ("id = 2", "v IS NULL"),
    ),
    Case(
        "schema_evolution",
        "MERGE WITH SCHEMA EVOLUTION",
        "CREATE TABLE t (id INT, v STRING); INSERT INTO t VALUES (1, 'a');"
        "MERGE WITH SCHEMA EVOLUTION INTO t USING (SELECT 2 AS id, 'b' AS v, 5 AS more) AS s ON t.id = s.id"
        " WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *;",
        ("id = 2",),
    ),
]
