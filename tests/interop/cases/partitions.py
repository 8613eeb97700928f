"""Partitions by every type, with values that are hard to write into a path."""

from cases import Case

CASES = [
    Case(
        "partition_text",
        "PARTITIONED BY a STRING with null, empty text and special characters",
        """
        CREATE TABLE t (id INT, p STRING) PARTITIONED BY (p);
        INSERT INTO t VALUES (1, 'plain'), (2, NULL), (3, ''), (4, 'a b'), (5, 'a/b=c'), (6, '100%'), (7, '%20'), (8, 'q?#&'),
            (9, 'it''s "so"'), (10, '{x}[y]'), (11, 'c:\\d'), (12, 'zürich 東京 🙂'), (13, '.'), (14, '..'), (15, ' '),
            (16, '__HIVE_DEFAULT_PARTITION__x'), (17, 'null'), (18, '~^*|<>;+'), (19, 'trailing ');
        INSERT INTO t VALUES (20, 'plain'), (21, '%20'), (22, NULL);
        DELETE FROM t WHERE id = 20;
        """,
        ("p = 'plain'", "p IS NULL", "p = '%20'", "p = 'a/b=c'", "p = 'zürich 東京 🙂' AND id > 3", "p > 'p'", "p = ' '"),
    ),
    Case(
        "partition_control_characters",
        "PARTITIONED BY a STRING with a line break and a tab",
        """
        CREATE TABLE t (id INT, p STRING) PARTITIONED BY (p);
        INSERT INTO t VALUES (1, concat('a', chr(10), 'b')), (2, concat('a', chr(9), 'b')), (3, concat('a', chr(127)));
        """,
        ("id > 1",),
    ),
    Case(
        "partition_numbers",
        "PARTITIONED BY numbers, a DECIMAL and a BOOLEAN",
        """
        CREATE TABLE t (id INT, i INT, l BIGINT, s SMALLINT, b TINYINT, n DECIMAL(10, 2), ok BOOLEAN)
            PARTITIONED BY (i, l, s, b, n, ok);
        INSERT INTO t VALUES (1, -1, 9223372036854775807, -32768, 127, 1.50, true), (2, 2, 0, 0, 0, -1.50, false),
            (3, NULL, NULL, NULL, NULL, NULL, NULL), (4, 10, -9, 5, -5, 0.00, true), (5, 10, -9, 5, -5, 12345678.90, false);
        INSERT INTO t VALUES (6, 9, 1, 1, 1, -0.05, NULL);
        """,
        ("i > 2", "i IS NULL", "n < 0.00", "n = 1.50", "ok", "l = 9223372036854775807", "s < 0"),
    ),
    Case(
        "partition_floats",
        "PARTITIONED BY a DOUBLE and a FLOAT",
        """
        CREATE TABLE t (id INT, d DOUBLE, f FLOAT) PARTITIONED BY (d, f);
        INSERT INTO t VALUES (1, 1.5, 0.25), (2, -1e300, 1e10), (3, 0.1, 0.1), (4, NULL, NULL), (5, 1e-7, 3.0), (6, 100000000.0, 16777216.0);
        """,
        ("d = 15e-1", "d < 0e0", "d IS NULL"),
    ),
    Case(
        "partition_times",
        "PARTITIONED BY a DATE and a TIMESTAMP",
        """
        CREATE TABLE t (id INT, d DATE, moment TIMESTAMP) PARTITIONED BY (d, moment);
        INSERT INTO t VALUES (1, DATE '2026-01-02', TIMESTAMP '2026-01-02 03:04:05'), (2, NULL, NULL),
            (3, DATE '1969-12-31', TIMESTAMP '1969-12-31 23:59:59.999999'), (4, DATE '9999-12-31', TIMESTAMP '2026-01-02 03:04:05.6');
        INSERT INTO t VALUES (5, DATE '1900-01-01', TIMESTAMP '2026-01-02 03:04:05.000001');
        """,
        (
            "d = DATE '2026-01-02'",
            "d < DATE '1970-01-01'",
            "d IS NULL",
            "moment > TIMESTAMP '2000-01-01 00:00:00'",
            "moment = TIMESTAMP '2026-01-02 03:04:05.6'",
        ),
    ),
    Case(
        "partition_times_ntz",
        "PARTITIONED BY a TIMESTAMP_NTZ",
        """
        CREATE TABLE t (id INT, moment TIMESTAMP_NTZ) PARTITIONED BY (moment);
        INSERT INTO t VALUES (1, TIMESTAMP '2026-01-02 03:04:05'), (2, NULL), (3, TIMESTAMP '2026-03-29 02:30:00.123456');
        """,
        ("moment > TIMESTAMP '2026-02-01 00:00:00'", "moment IS NULL"),
    ),
    Case(
        "partition_binary",
        "PARTITIONED BY a BINARY",
        """
        CREATE TABLE t (id INT, b BINARY) PARTITIONED BY (b);
        INSERT INTO t VALUES (1, X'6162'), (2, NULL), (3, X'01');
        """,
        ("id > 1",),
    ),
    Case(
        "partition_first",
        "partition columns before and between the others, changed by every verb",
        """
        CREATE TABLE t (p STRING, id INT, q INT, v STRING) PARTITIONED BY (q, p);
        INSERT INTO t VALUES ('a', 1, 10, 'x'), ('b', 2, 20, 'y'), ('a', 3, 20, 'z'), (NULL, 4, NULL, 'n');
        INSERT INTO t VALUES ('a', 5, 10, 'xx'), ('c', 6, 30, 'w');
        UPDATE t SET p = 'moved', v = 'u' WHERE id IN (1, 4);
        DELETE FROM t WHERE q = 20 AND p = 'a';
        MERGE INTO t USING (VALUES ('c', 6, 31, 'm'), ('new', 7, 40, 'm')) AS s (p, id, q, v) ON t.id = s.id
            WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *;
        OPTIMIZE t WHERE q = 10;
        """,
        ("q = 10", "p = 'moved'", "q IS NULL", "q > 25 AND id < 7"),
    ),
]
