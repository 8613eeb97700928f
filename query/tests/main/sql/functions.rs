//! history, files, table_changes.

use floe_query::{Outcome, Progress, QueryError};
use futures::StreamExt;

use super::World;

#[tokio::test]
async fn history_and_files_are_tables() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, k STRING) PARTITIONED BY (k); INSERT INTO t VALUES (1, 'a'), (2, 'b'); DELETE FROM t WHERE id = 2").await;
    world.check("SELECT version FROM history('t') h ORDER BY h.version DESC LIMIT 2", &["2", "1"]).await;
    world.check("SELECT count(*) FROM history('default.t') WHERE operation = 'DELETE'", &["1"]).await;
    world.check("SELECT sum(\"numRecords\" - \"deletedRecords\"), count(*) > 0 FROM files('t')", &["1|true"]).await;
    let path = world.path("warehouse/default/t");
    world.check(&format!("SELECT count(*) FROM history('{path}')"), &["3"]).await;
    assert!(matches!(world.error("SELECT * FROM history('nope')").await, QueryError::UnknownTable { .. }));
    assert!(matches!(world.error("SELECT * FROM history()").await, QueryError::InvalidArgument { .. }));
    world.check_error("SELECT * FROM hisstory('t')", "did you mean history?").await;
}

#[tokio::test]
async fn changes_come_from_files_and_deletion_vectors() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, v STRING)").await;
    world.run("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')").await;
    world
        .run("UPDATE t SET v = 'B' WHERE id = 2; DELETE FROM t WHERE id = 3; OPTIMIZE t; RESTORE t TO VERSION AS OF 1")
        .await;
    let changes = "SELECT id, v, _change_type, _commit_version FROM table_changes";
    world.check(&format!("{changes}('t', 1, 1)"), &["1|a|insert|1", "2|b|insert|1", "3|c|insert|1"]).await;
    world.check(&format!("{changes}('t', 2, 2)"), &["2|b|delete|2", "2|B|insert|2"]).await;
    world.check(&format!("{changes}('t', 3, 3)"), &["3|c|delete|3"]).await;
    world.check(&format!("{changes}('t', 0, 0)"), &[]).await;
    world
        .check(
            "SELECT id, sum(CASE _change_type WHEN 'insert' THEN 1 ELSE -1 END) FROM table_changes('t', 0) GROUP BY id, v HAVING sum(CASE _change_type WHEN 'insert' THEN 1 ELSE -1 END) <> 0",
            &["1|1", "2|1", "3|1"],
        )
        .await;
    world.check("SELECT count(DISTINCT _commit_timestamp) > 0 FROM table_changes('t', 0)", &["true"]).await;
    world.check_error("SELECT * FROM table_changes('t', 0, 99)", "the newest version is").await;
    world.check_error("SELECT * FROM table_changes('t', 2, 1)", "the earlier version").await;
    world.check_error("SELECT * FROM table_changes('t')", "table_changes('table', from[, to])").await;
}

#[tokio::test]
async fn changes_of_partitions_carry_the_partition() {
    let world = World::new().await;
    world.run("CREATE TABLE t (k STRING, id BIGINT) PARTITIONED BY (k); INSERT INTO t VALUES ('a', 1), (NULL, 2); DELETE FROM t WHERE k = 'a'").await;
    world
        .check("SELECT k, id, _change_type FROM table_changes('t', 1)", &["a|1|insert", "null|2|insert", "a|1|delete"])
        .await;
}

#[tokio::test]
async fn progress_tells_of_the_files_that_running_statements_read() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, p STRING)").await;
    for from in [0, 100, 200, 300] {
        world.run(&format!("INSERT INTO t SELECT {from} + value, 'x' FROM generate_series(1, 50)")).await;
    }
    assert_eq!(world.session.progress(), Progress::default(), "what is finished is not counted");
    let Ok(Outcome::Rows(mut rows)) = world.session.sql("SELECT * FROM t WHERE id > 220").await else {
        panic!("a query has rows")
    };
    let begun = world.session.progress();
    assert_eq!((begun.files_total, begun.files_to_read, begun.files_read, begun.rows_read), (4, 2, 0, 0));
    while let Some(batch) = rows.next().await {
        batch.expect("rows");
    }
    let read = world.session.progress();
    assert_eq!((read.files_to_read, read.files_read), (2, 2));
    assert!(read.rows_read >= 80 && read.bytes_read > 0 && read.bytes_to_read > 0, "{read:?}");
    drop(rows);
    assert_eq!(world.session.progress(), Progress::default());
}
