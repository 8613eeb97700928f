"""Table features, one a case, as far as Floe must write them."""

from cases import Case

# Three files with ranges apart.
FILL = """
        INSERT INTO t SELECT CAST(value AS INT) AS id, concat('v', value) AS v FROM range(0, 40);
        INSERT INTO t SELECT CAST(value AS INT) AS id, concat('v', value) AS v FROM range(40, 80);
        INSERT INTO t SELECT CAST(value AS INT) AS id, concat('v', value) AS v FROM range(80, 120);
"""
CHANGE = """
        DELETE FROM t WHERE id % 10 = 3;
        UPDATE t SET v = 'updated' WHERE id BETWEEN 35 AND 50;
        MERGE INTO t USING (VALUES (10, 'merged'), (79, 'merged'), (500, 'new')) AS s (id, v) ON t.id = s.id
            WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT *;
"""
WHERE = ("id = 36", "id > 100", "id BETWEEN 38 AND 42", "v = 'updated'", "v = 'v99'", "v IS NULL")


def changed(name, shows, properties, after="", **given):
    create = f"CREATE TABLE t (id INT, v STRING) TBLPROPERTIES ({properties});"
    return Case(name, shows, create + FILL + CHANGE + after, WHERE, since=4, **given)


CASES = [
    changed("deletion_vectors", "deletion vectors after DELETE, UPDATE, MERGE", "'delta.enableDeletionVectors' = 'true'"),
    changed("copy_on_write", "no deletion vectors: changes rewrite files", "'delta.enableDeletionVectors' = 'false'"),
    Case(
        "vectors_grow",
        "a deletion vector that grows, that covers a whole file, and many alternating rows",
        "CREATE TABLE t (id INT, v STRING);"
        + FILL
        + """
        DELETE FROM t WHERE id = 5;
        DELETE FROM t WHERE id BETWEEN 6 AND 9;
        DELETE FROM t WHERE id >= 40 AND id < 80 AND id % 2 = 0;
        DELETE FROM t WHERE id >= 80 AND id < 120;
        INSERT INTO t SELECT CAST(value AS INT) AS id, 'many' AS v FROM range(1000, 3000);
        DELETE FROM t WHERE id >= 1000 AND id % 3 = 0;
        """,
        ("id < 12", "id BETWEEN 38 AND 44", "id > 2990", "id > 90 AND id < 110"),
    ),
    Case(
        "not_null",
        "NOT NULL",
        """
        CREATE TABLE t (id INT NOT NULL, s STRING NOT NULL, n INT);
        INSERT INTO t VALUES (1, 'a', NULL);
        INSERT INTO t VALUES (2, 'b', 2);
        UPDATE t SET s = 'c' WHERE id = 2;
        """,
        ("id = 2", "s = 'a'", "n IS NULL"),
    ),
    Case(
        "check_constraints",
        "CHECK, made with the table and added later",
        """
        CREATE TABLE t (id INT, v STRING, CONSTRAINT id_positive CHECK (id >= 0));
        INSERT INTO t VALUES (1, 'a'), (2, 'b');
        ALTER TABLE t ADD CONSTRAINT v_short CHECK (v <> 'forbidden');
        INSERT INTO t VALUES (3, 'c');
        UPDATE t SET v = 'd' WHERE id = 1;
        ALTER TABLE t DROP CONSTRAINT v_short;
        """,
        ("id > 2",),
    ),
    Case(
        "defaults",
        "column defaults",
        """
        CREATE TABLE t (id INT, v STRING DEFAULT 'new', n DECIMAL(10, 2) DEFAULT 1.50);
        INSERT INTO t (id) VALUES (1), (2);
        INSERT INTO t VALUES (3, DEFAULT, 3), (4, NULL, DEFAULT);
        """,
        ("v = 'new'", "n > 2.00"),
    ),
    Case(
        "append_only",
        "append-only",
        "CREATE TABLE t (id INT, v STRING) TBLPROPERTIES ('delta.appendOnly' = 'true');" + FILL,
        WHERE,
    ),
    changed("row_tracking", "row tracking, after UPDATE, MERGE and OPTIMIZE", "'delta.enableRowTracking' = 'true'", "OPTIMIZE t;", row_ids=True),
    changed("row_tracking_rewritten", "row tracking without deletion vectors",
        "'delta.enableRowTracking' = 'true', 'delta.enableDeletionVectors' = 'false'", "UPDATE t SET v = 'again' WHERE id = 36;", row_ids=True),
    Case(
        "change_feed",
        "change data feed after UPDATE and DELETE, with deletion vectors",
        "CREATE TABLE t (id INT, v STRING) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true');"
        + FILL
        + "UPDATE t SET v = 'updated' WHERE id BETWEEN 35 AND 50; DELETE FROM t WHERE id % 10 = 3; OPTIMIZE t;",
        WHERE,
        feed=True,
    ),
    Case(
        "change_feed_rewritten",
        "change data feed without deletion vectors",
        "CREATE TABLE t (id INT, v STRING) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true',"
        " 'delta.enableDeletionVectors' = 'false');"
        + FILL
        + "UPDATE t SET v = 'updated' WHERE id BETWEEN 35 AND 50; DELETE FROM t WHERE id % 10 = 3; TRUNCATE TABLE t;",
        WHERE,
        feed=True,
    ),
    changed("in_commit_timestamps", "in-commit timestamps", "'delta.enableInCommitTimestamps' = 'true'"),
    changed("vacuum_protocol_check", "vacuumProtocolCheck", "'delta.feature.vacuumProtocolCheck' = 'supported'"),
    changed("v2_checkpoints", "V2 checkpoints", "'delta.checkpointPolicy' = 'v2', 'delta.checkpointInterval' = '2'"),
    changed("domain_metadata", "domain metadata", "'delta.feature.domainMetadata' = 'supported'"),
    changed("clustering_declared", "clustering, declared by property", "'delta.feature.clustering' = 'supported'"),
]
