//! Generated columns.

use floe_query::QueryError;
use floe_table::{Table, TableError};
use floe_table_format::FormatError;

use super::World;

const SALES: &str =
    "CREATE TABLE t (id BIGINT, at TIMESTAMP, amount INT, day DATE GENERATED ALWAYS AS (CAST(at AS DATE)),
                     twice INT GENERATED ALWAYS AS (amount * 2) COMMENT 'both') PARTITIONED BY (day)";

#[tokio::test]
async fn generated_columns_are_computed_where_rows_lack_them() {
    let world = World::new().await;
    world.run(SALES).await;
    world.run("INSERT INTO t (id, at, amount) VALUES (1, '2026-01-01 10:00:00', 5), (2, NULL, NULL)").await;
    world.run("INSERT INTO t (id, at, amount, twice) SELECT 3, TIMESTAMP '2026-01-02 23:59:59', 7, 14").await;
    world.run("INSERT INTO t VALUES (4, '2026-01-02 00:00:00', 1, DEFAULT, DEFAULT)").await;
    let rows = ["1|2026-01-01|10", "2|null|null", "3|2026-01-02|14", "4|2026-01-02|2"];
    world.check("SELECT id, day, twice FROM t", &rows).await;
    world.check("SELECT id FROM t WHERE day = DATE '2026-01-02'", &["3", "4"]).await;
    super::check_in(&world.again().await, "SELECT id, day, twice FROM t", &rows).await;
    let shown = super::rows_of(&world.session, "SHOW CREATE TABLE t").await.concat();
    assert!(shown.contains("twice INT GENERATED ALWAYS AS (amount * 2) COMMENT 'both'"), "{shown}");
    world.run(&shown.replace("CREATE TABLE t ", "CREATE TABLE u ").replace("/t'", "/u'")).await;
    world.run("INSERT INTO u (amount) VALUES (21)").await;
    world.check("SELECT twice FROM u", &["42"]).await;
}

#[tokio::test]
async fn values_that_rows_bring_must_be_those_computed() {
    let world = World::new().await;
    world.run(SALES).await;
    let error = world.error("INSERT INTO t (id, amount, twice) VALUES (1, 2, 4), (2, 2, 5)").await;
    let text = error.to_string();
    for part in ["twice", "amount * 2", "gives 4 and not 5", "id: 2"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(matches!(error, QueryError::Table(TableError::ConstraintViolation { .. })));
    world.check_error("INSERT INTO t (id, amount, twice) VALUES (1, 2, NULL)", "gives 4 and not NULL").await;
    world.check_error("INSERT INTO t (amount, twice) VALUES (1, DEFAULT), (2, 4)", "in some rows only").await;
    world.check_error("INSERT INTO t (amount) VALUES (2000000000)", "4000000000").await;
    world.check("SELECT count(*) FROM t", &["0"]).await;
}

#[tokio::test]
async fn changes_of_rows_compute_generated_columns_anew() {
    let world = World::new().await;
    world.run(SALES).await;
    world
        .run("INSERT INTO t (id, at, amount) VALUES (1, '2026-01-01 10:00:00', 1), (2, '2026-01-01 11:00:00', 2)")
        .await;
    world.run("UPDATE t SET amount = 10, at = '2026-02-01 00:00:00' WHERE id = 1").await;
    world.run("UPDATE t SET amount = 3, twice = 6 WHERE id = 2").await;
    world.check_error("UPDATE t SET amount = 4, twice = 6 WHERE id = 2", "gives 8 and not 6").await;
    world.check("SELECT id, day, twice FROM t", &["1|2026-02-01|20", "2|2026-01-01|6"]).await;
    world
        .run(
            "MERGE INTO t USING (SELECT 2 AS id, 50 AS amount UNION ALL SELECT 3, 60) AS s ON t.id = s.id
             WHEN MATCHED THEN UPDATE SET amount = s.amount
             WHEN NOT MATCHED THEN INSERT (id, amount, at) VALUES (s.id, s.amount, '2026-03-01 00:00:00')",
        )
        .await;
    let rows = ["1|2026-02-01|20", "2|2026-01-01|100", "3|2026-03-01|120"];
    world.check("SELECT id, day, twice FROM t", &rows).await;
    let source = "(SELECT 3 AS id, CAST(NULL AS TIMESTAMP) AS at, 1 AS amount)";
    let stars = "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *";
    world.run(&format!("MERGE INTO t USING {source} AS s ON t.id = s.id {stars}")).await;
    world.check("SELECT day, twice FROM t WHERE id = 3", &["null|2"]).await;
    world
        .check_error(
            "MERGE INTO t USING (SELECT 3 AS id) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET twice = 2
             WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)",
            "in some clauses only",
        )
        .await;
    world.run("OPTIMIZE t; DELETE FROM t WHERE id = 1").await;
    world.check("SELECT id, twice FROM t", &["2|100", "3|2"]).await;
}

#[tokio::test]
async fn upserts_compute_generated_columns_anew() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (id BIGINT, a INT, b INT, total INT GENERATED ALWAYS AS (a + b), PRIMARY KEY (id))
             TBLPROPERTIES ('floe.mergeMode' = 'partial')",
        )
        .await;
    world.run("UPSERT INTO t (id, a, b) VALUES (1, 1, 1), (2, 2, 2)").await;
    world.run("UPSERT INTO t (id, b) VALUES (1, 10); UPSERT INTO t VALUES (3, 1, 2, DEFAULT)").await;
    world.run("INSERT INTO t (id, a, b) VALUES (2, 5, 5) ON CONFLICT (id) DO UPDATE SET a = excluded.a").await;
    world.check("SELECT id, total FROM t", &["1|11", "2|7", "3|3"]).await;
    world.check_error("UPSERT INTO t (id, a, b, total) VALUES (1, 1, 1, 3)", "gives 2 and not 3").await;
}

#[tokio::test]
async fn columns_that_cannot_be_generated_are_refused_before_there_is_a_table() {
    let world = World::new().await;
    for (columns, expected) in [
        ("a INT, g INT GENERATED ALWAYS AS (nosuch + 1)", "nosuch"),
        ("a INT, g INT GENERATED ALWAYS AS (a + rand())", "rand"),
        ("a INT, g STRING GENERATED ALWAYS AS (date_format(d, 'yyyy')), d DATE", "date_format"),
        ("a INT, g INT GENERATED ALWAYS AS (a), h INT GENERATED ALWAYS AS (g + 1)", "generated from g"),
        ("a INT, g INT GENERATED ALWAYS AS (g + 1)", "g"),
        ("a INT, g INT DEFAULT 1 GENERATED ALWAYS AS (a)", "needs no default"),
        ("a INT, g INT GENERATED BY DEFAULT AS (a)", "IDENTITY"),
        ("id BIGINT GENERATED ALWAYS AS IDENTITY, g BIGINT GENERATED ALWAYS AS (id + 1)", "generated from id"),
    ] {
        world.check_error(&format!("CREATE TABLE u ({columns})"), expected).await;
    }
    world.check_error("SELECT * FROM u", "unknown table u").await;
    world.run(SALES).await;
    world.run("ALTER TABLE t SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')").await;
    world.check_error("ALTER TABLE t DROP COLUMN amount", "twice is generated from it").await;
    world.check_error("ALTER TABLE t RENAME COLUMN amount TO n", "twice is generated from it").await;
    world.check_error("ALTER TABLE t ALTER COLUMN twice SET DEFAULT 1", "are generated").await;
    world.check_error("ALTER TABLE t ADD COLUMN g INT GENERATED ALWAYS AS (amount)", "is generated").await;
    world.run("ALTER TABLE t DROP COLUMN twice; INSERT INTO t (amount) VALUES (1)").await;
}

/// Without SQL nobody computes the column, and rows without it, or with any value in it, would be wrong.
#[tokio::test]
async fn a_library_without_sql_does_not_write_rows_of_such_a_table() {
    let world = World::new().await;
    let path = world.path("library");
    world.run(&format!("CREATE TABLE delta.`{path}` (a INT, g INT GENERATED ALWAYS AS (a + 1))")).await;
    let rows = || floe_testkit::Batch::new().integer("a", [1]).build();
    let bare = Table::builder(path.clone()).open().await.expect("opened");
    let error = bare.append(vec![rows()]).await.expect_err("refused");
    assert!(matches!(error.format_error(), Some(FormatError::UnsupportedFeature { .. })), "{error}");
    assert!(error.to_string().contains("generated column g (a + 1)"), "{error}");
    let checks = std::sync::Arc::new(floe_query::SqlRowChecks::default());
    let with_sql = Table::builder(path.clone()).with_row_checks(checks).open().await.expect("opened");
    with_sql.append(vec![rows()]).await.expect("appended");
    world.check(&format!("SELECT a, g FROM delta.`{path}`"), &["1|2"]).await;
    with_sql.append(vec![rows()]).await.expect("appended");
    let report = bare.optimize(Default::default()).await.expect("rows are kept as they are");
    assert_eq!((report.files_removed, report.files_added), (2, 1));
}
