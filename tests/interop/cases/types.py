"""Values of every type, with their bounds."""

from cases import Case

CASES = [
    Case(
        "integers",
        "TINYINT, SMALLINT, INT, BIGINT",
        """
        CREATE TABLE t (id INT, i8 TINYINT, i16 SMALLINT, i32 INT, i64 BIGINT);
        INSERT INTO t VALUES (1, -128, -32768, -2147483648, -9223372036854775808), (2, NULL, NULL, NULL, NULL);
        INSERT INTO t VALUES (3, 127, 32767, 2147483647, 9223372036854775807), (4, 0, 0, 0, 0);
        INSERT INTO t VALUES (5, 5, 5, 5, 5), (6, -6, -6, -6, -6);
        INSERT INTO t VALUES (7, NULL, NULL, NULL, NULL);
        """,
        ("i8 = 127", "i16 < -6", "i32 > 5", "i64 = 9223372036854775807", "i64 IS NULL", "i32 <> 5", "i8 IS NOT NULL"),
    ),
    Case(
        "floats",
        "FLOAT and DOUBLE with NaN, infinities and both zeros",
        """
        CREATE TABLE t (id INT, f FLOAT, d DOUBLE);
        INSERT INTO t VALUES (1, 1.5, 1.5), (2, -0.0, -0.0), (3, 0.0, 0.0);
        INSERT INTO t VALUES (4, CAST('NaN' AS FLOAT), CAST('NaN' AS DOUBLE)), (5, 7.25, 7.25);
        INSERT INTO t VALUES (6, CAST('Infinity' AS FLOAT), CAST('Infinity' AS DOUBLE)), (7, -1e30, -1e300);
        INSERT INTO t VALUES (8, 0.1, 0.1), (9, NULL, NULL), (10, 3.4028234e38, 1.7976931348623157e308);
        INSERT INTO t VALUES (11, CAST('-Infinity' AS FLOAT), CAST('-Infinity' AS DOUBLE));
        """,
        ("d = 0e0", "d = 7.25e0", "d < -1e0", "d >= 1e-1 AND d < 1e2", "f = 15e-1", "f IS NULL"),
    ),
    Case(
        "decimals",
        "DECIMAL of 9, 18 and 38 digits",
        """
        CREATE TABLE t (id INT, small DECIMAL(9, 2), middle DECIMAL(18, 6), large DECIMAL(38, 10));
        INSERT INTO t VALUES (1, 9999999.99, CAST('999999999999.999999' AS DECIMAL(18, 6)),
            CAST('1234567890123456789012345678.0123456789' AS DECIMAL(38, 10)));
        INSERT INTO t VALUES (2, -9999999.99, CAST('-999999999999.999999' AS DECIMAL(18, 6)),
            CAST('-1234567890123456789012345678.0123456789' AS DECIMAL(38, 10)));
        INSERT INTO t VALUES (3, 0.01, 0.000001, 0.0000000001), (4, NULL, NULL, NULL), (5, 0, 0, 0);
        """,
        ("small = 0.01", "small < -1.00", "middle > 1.5", "large < 0", "large IS NULL"),
    ),
    Case(
        "text",
        "STRING and BINARY, long and beyond ASCII",
        """
        CREATE TABLE t (id INT, s STRING, b BINARY);
        INSERT INTO t VALUES (1, '', X''), (2, NULL, NULL), (3, 'a', X'00ff');
        INSERT INTO t SELECT 4 AS id, concat(repeat('long', 20), 'end') AS s, X'ff' AS b;
        INSERT INTO t VALUES (5, 'zürich 東京 🙂', X'7a'), (6, concat('line', chr(10), 'two "quoted" \\ back'), X'0a');
        INSERT INTO t SELECT 7 AS id, concat(repeat('🙂', 40), 'x') AS s, X'80' AS b;
        """,
        ("s = 'a'", "s = ''", "s > 'm'", "s = 'zürich 東京 🙂'", "s IS NULL", "s >= 'longlong'"),
    ),
    Case(
        "dates",
        "DATE from year 1 to 9999",
        """
        CREATE TABLE t (id INT, d DATE);
        INSERT INTO t VALUES (1, DATE '1582-10-15'), (2, NULL), (3, DATE '1970-01-01');
        INSERT INTO t VALUES (4, DATE '9999-12-31'), (5, DATE '2026-02-28');
        INSERT INTO t VALUES (6, DATE '1969-12-31'), (7, DATE '1900-01-01');
        """,
        ("d = DATE '2026-02-28'", "d < DATE '1970-01-01'", "d > DATE '2000-01-01'", "d IS NULL"),
    ),
    Case(
        "timestamps",
        "TIMESTAMP with microseconds, before and after 1970",
        """
        CREATE TABLE t (id INT, moment TIMESTAMP);
        INSERT INTO t VALUES (1, TIMESTAMP '2026-11-27 12:34:56.789012'), (2, NULL);
        INSERT INTO t VALUES (3, TIMESTAMP '1969-12-31 23:59:59.999999'), (4, TIMESTAMP '1900-01-01 00:00:00');
        INSERT INTO t VALUES (5, TIMESTAMP '2026-11-27 12:34:56.789999'), (6, TIMESTAMP '2200-01-01 00:00:00.000001');
        INSERT INTO t VALUES (7, CAST('1600-02-29 00:00:00' AS TIMESTAMP)), (8, CAST('9999-12-31 23:59:59.999999' AS TIMESTAMP));
        """,
        (
            "moment >= TIMESTAMP '2026-11-27 12:34:56.789'",
            "moment < TIMESTAMP '1970-01-01 00:00:00'",
            "moment > TIMESTAMP '2100-01-01 00:00:00'",
            "moment IS NULL",
        ),
    ),
    Case(
        "timestamps_ntz",
        "TIMESTAMP_NTZ: a time without zone",
        """
        CREATE TABLE t (id INT, moment TIMESTAMP_NTZ);
        INSERT INTO t VALUES (1, TIMESTAMP '2026-11-27 12:34:56.789012'), (2, NULL);
        INSERT INTO t VALUES (3, TIMESTAMP '1969-12-31 23:59:59.999999'), (4, TIMESTAMP '2026-03-29 02:30:00');
        INSERT INTO t VALUES (5, TIMESTAMP '2026-11-27 12:34:56.789999'), (6, TIMESTAMP '2200-01-01 00:00:00');
        """,
        ("moment < TIMESTAMP '1970-01-01 00:00:00'", "moment > TIMESTAMP '2100-01-01 00:00:00'", "moment IS NULL"),
    ),
    Case(
        "booleans",
        "BOOLEAN",
        """
        CREATE TABLE t (id INT, b BOOLEAN);
        INSERT INTO t VALUES (1, true), (2, true);
        INSERT INTO t VALUES (3, false);
        INSERT INTO t VALUES (4, NULL), (5, false);
        """,
        ("b", "NOT b", "b IS NULL"),
    ),
    Case(
        "structs",
        "STRUCT in STRUCT, null at every level, filtered by inner fields",
        """
        CREATE TABLE t (id INT, s STRUCT<x: BIGINT, y: STRING, deep: STRUCT<d: DATE, n: DECIMAL(10, 2)>>);
        INSERT INTO t VALUES (1, named_struct('x', 1, 'y', 'a', 'deep', named_struct('d', DATE '2020-01-01', 'n', 1.25)));
        INSERT INTO t VALUES (2, named_struct('x', 20, 'y', 'b', 'deep', named_struct('d', DATE '2021-01-01', 'n', 2.5))),
            (3, NULL);
        INSERT INTO t VALUES (4, named_struct('x', NULL, 'y', 'c', 'deep', named_struct('d', NULL, 'n', NULL))),
            (5, named_struct('x', 50, 'y', NULL, 'deep', NULL));
        """,
        ("id > 2", "s.x > 10", "s.deep.n > 2.00", "s.y = 'a'"),
    ),
    Case(
        "lists_and_maps",
        "ARRAY and MAP of simple and nested values, without null ones",
        """
        CREATE TABLE t (id INT, a ARRAY<INT>, m MAP<STRING, BIGINT>, people ARRAY<STRUCT<name: STRING, age: INT>>,
            deep MAP<STRING, ARRAY<DOUBLE>>);
        INSERT INTO t VALUES (1, [1, 2, NULL], MAP {'a': 1, 'b': NULL}, [named_struct('name', 'ann', 'age', 5)],
            MAP {'x': [1.5, 2.5]});
        INSERT INTO t VALUES (2, [3], MAP {'c': 3}, [named_struct('name', NULL, 'age', 6), named_struct('name', 'bob', 'age', NULL)],
            MAP {'y': [0.5]});
        """,
        ("id = 2",),
    ),
    Case(
        "null_lists_and_maps",
        "ARRAY and MAP that are null or empty",
        """
        CREATE TABLE t (id INT, a ARRAY<INT>, m MAP<STRING, BIGINT>);
        INSERT INTO t VALUES (1, [1], MAP {'a': 1});
        INSERT INTO t VALUES (2, NULL, NULL), (3, [], MAP {});
        """,
        ("id > 1",),
    ),
]
