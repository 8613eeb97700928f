//! Bad input: what is said, what is offered, and that nothing is done.

use floe_query::QueryError;

use super::{World, check_in, error_in};

#[tokio::test]
async fn unknown_tables_and_columns_offer_the_nearest_name() {
    let world = World::new().await;
    world.run("CREATE TABLE orders (o_orderkey BIGINT, o_comment STRING)").await;
    world.check_error("SELECT * FROM ordres", "unknown table ordres, did you mean orders?").await;
    world.check_error("INSERT INTO ordres VALUES (1)", "did you mean orders?").await;
    world.check_error("DROP TABLE ordres", "did you mean orders?").await;
    for sql in [
        "SELECT o_ordrkey FROM orders",
        "SELECT o.o_ordrkey FROM orders o",
        "SELECT * FROM orders WHERE o_ordrkey = 1",
        "UPDATE orders SET o_ordrkey = 1",
        "DELETE FROM orders WHERE o_ordrkey = 1",
        "INSERT INTO orders (o_ordrkey) VALUES (1)",
    ] {
        let error = world.error(sql).await;
        assert!(matches!(error, QueryError::UnknownColumn { .. }), "{sql}: {error:?}");
        assert!(error.to_string().contains("did you mean o_orderkey?"), "{sql}: {error}");
    }
    let error = world.error("SELECT zzzzzzzzzz FROM orders").await;
    assert!(error.hint().expect("a hint").contains("o_orderkey, o_comment"), "{error}");
    assert!(matches!(world.error("SELECT * FROM nowhere.orders").await, QueryError::UnknownSchema { .. }));
}

#[tokio::test]
async fn rows_that_break_a_rule_are_named_and_nothing_is_committed() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (id BIGINT NOT NULL, v INT, CONSTRAINT small CHECK (v < 100)); INSERT INTO t VALUES (1, 1)",
        )
        .await;
    world.check_error("INSERT INTO t VALUES (2, 2), (NULL, 3)", "NOT NULL id").await;
    world.check_error("INSERT INTO t VALUES (2, 2), (3, 100)", "{id: 3, v: 100}").await;
    world.check_error("UPDATE t SET v = 1000", "small").await;
    world.check_error("INSERT INTO t VALUES ('word', 2)", "word").await;
    world.check_error("INSERT INTO t VALUES (1)", "is for 2 columns, the rows have 1").await;
    world.check_error("INSERT INTO t SELECT 1, 2, 3", "is for 2 columns").await;
    world.check("SELECT * FROM t", &["1|1"]).await;
    world.check("SELECT max(version) FROM history('t')", &["2"]).await;
}

#[tokio::test]
async fn a_read_only_session_refuses_every_statement_that_writes() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT); INSERT INTO t VALUES (1)").await;
    let session = world.read_only().await;
    let file = world.path("out.csv");
    let copy = format!("COPY t TO '{file}'");
    for sql in [
        "CREATE TABLE u (id INT)",
        "CREATE TABLE u AS SELECT 1 AS x",
        "DROP TABLE t",
        "CREATE SCHEMA s",
        "DROP SCHEMA s",
        "INSERT INTO t VALUES (2)",
        "INSERT OVERWRITE t VALUES (2)",
        "UPDATE t SET id = 2",
        "DELETE FROM t",
        "TRUNCATE TABLE t",
        "MERGE INTO t USING t AS s ON t.id = s.id WHEN MATCHED THEN DELETE",
        "ALTER TABLE t ADD COLUMN x INT",
        "OPTIMIZE t",
        "VACUUM t",
        "RESTORE t TO VERSION AS OF 0",
        &copy,
    ] {
        let error = error_in(&session, sql).await;
        assert!(matches!(error, QueryError::ReadOnly { .. }), "{sql}: {error}");
        assert!(error.hint().is_some());
    }
    assert!(!std::path::Path::new(&file).exists());
    check_in(&session, "SELECT * FROM t", &["1"]).await;
    check_in(&session, "SELECT version FROM history('t')", &["0", "1"]).await;
}

#[tokio::test]
async fn statements_are_typed_errors_when_they_are_none() {
    let world = World::new().await;
    assert!(matches!(world.error("FROBNICATE t").await, QueryError::UnknownStatement { .. }));
    assert!(matches!(world.error("SELEC 1").await, QueryError::UnknownStatement { .. }));
    assert!(matches!(world.error("SELECT 1 FROM t WHERE").await, QueryError::Syntax { .. }));
    assert!(matches!(world.error("").await, QueryError::InvalidArgument { .. }));
    assert!(matches!(world.error("SELECT 1; SELECT 2").await, QueryError::InvalidArgument { .. }));
    assert!(matches!(
        world.error("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'x'").await,
        QueryError::Unsupported { .. }
    ));
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(matches!(world.error(&deep).await, QueryError::Syntax { .. }));
}

#[tokio::test]
async fn j5_statements_made_to_exhaust_the_reader_are_refused_or_answered() {
    let world = World::new().await;
    let nested =
        |open: &str, close: &str, depth: usize| format!("SELECT {}1{}", open.repeat(depth), close.repeat(depth));
    for sql in [
        nested("(", ")", 100_000),
        nested("NOT ", "", 100_000),
        nested("- ", "", 100_000),
        nested("CASE WHEN true THEN ", " END", 10_000),
        format!("SELECT * FROM {}(SELECT 1){}", "(SELECT * FROM ".repeat(10_000), ")".repeat(10_000)),
        format!("SELECT {}", "(".repeat(100_000)),
    ] {
        let error = world.error(&sql).await;
        assert!(error.to_string().len() < 2000, "the statement is not repeated: {}", error.to_string().len());
    }
    let many: Vec<String> = (0..20_000).map(|n| n.to_string()).collect();
    world.check(&format!("SELECT 7 IN ({})", many.join(",")), &["true"]).await;
    world.check("SELECT regexp_like('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab', '^(a+)+$')", &["false"]).await;
    world.check(&format!("SELECT '{}' LIKE '{}b'", "a".repeat(5000), "%a".repeat(200)), &["false"]).await;
}

#[tokio::test]
async fn a_script_stops_where_it_fails() {
    let world = World::new().await;
    let statements = world.session.statements("CREATE TABLE t (id INT); SELEC; DROP TABLE t").expect("splits");
    assert_eq!(statements.len(), 3);
    assert!(world.session.run(&statements[0]).await.is_ok());
    assert!(world.session.run(&statements[1]).await.is_err());
    world.check("SELECT count(*) FROM t", &["0"]).await;
}
