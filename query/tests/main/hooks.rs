//! DataFusion's own SQL on a registered table.

use floe_testkit::Batch;

use crate::support::{query, session, table_of};

async fn context() -> datafusion::prelude::SessionContext {
    let rows = Batch::new().long("id", [1, 2, 3]).text("name", ["a", "b", "c"]).build();
    session(&table_of(vec![rows]).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn insert_counts_and_shows() {
    let context = context().await;
    assert_eq!(query(&context, "INSERT INTO t VALUES (4, 'd'), (5, NULL)").await, ["2"]);
    assert_eq!(query(&context, "INSERT INTO t (name) SELECT upper(name) FROM t WHERE id = 1").await, ["1"]);
    assert_eq!(query(&context, "SELECT * FROM t").await, ["1|a", "2|b", "3|c", "4|d", "5|NULL", "NULL|A"]);
    assert_eq!(query(&context, "INSERT OVERWRITE t SELECT id, name FROM t WHERE id < 3").await, ["2"]);
    assert_eq!(query(&context, "SELECT * FROM t").await, ["1|a", "2|b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_and_update_count_and_show() {
    let context = context().await;
    assert_eq!(query(&context, "DELETE FROM t WHERE id = 2 OR name = 'zzz'").await, ["1"]);
    assert_eq!(query(&context, "UPDATE t SET name = name || '!', id = id + 10 WHERE id > 1").await, ["1"]);
    assert_eq!(query(&context, "SELECT * FROM t").await, ["13|c!", "1|a"]);
    assert_eq!(query(&context, "DELETE FROM t").await, ["2"]);
    assert_eq!(query(&context, "SELECT count(*) FROM t").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn truncate_empties() {
    let context = context().await;
    assert_eq!(query(&context, "TRUNCATE TABLE t").await, ["3"]);
    assert_eq!(query(&context, "SELECT count(*) FROM t").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_counts_and_shows() {
    let context = context().await;
    let merge = "MERGE INTO t USING (VALUES (1, 'x'), (7, 'y')) AS s(id, name) ON t.id = s.id \
                 WHEN MATCHED THEN UPDATE SET name = s.name \
                 WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name)";
    assert_eq!(query(&context, merge).await, ["2"]);
    assert_eq!(query(&context, "SELECT * FROM t").await, ["1|x", "2|b", "3|c", "7|y"]);
}

/// Planned by DataFusion, a subquery may not reach the table. Then the statement must be refused: without its subquery it
/// would delete too much.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_by_subquery_never_deletes_more_than_it_says() {
    for condition in [
        "id IN (SELECT id FROM t WHERE name = 'b')",
        "id > 0 AND id IN (SELECT id FROM t WHERE name = 'b')",
        "EXISTS (SELECT 1 FROM t AS u WHERE u.id = t.id AND u.name = 'b')",
        "id = (SELECT max(id) - 1 FROM t)",
    ] {
        let context = context().await;
        if let Ok(frame) = context.sql(&format!("DELETE FROM t WHERE {condition}")).await {
            let _ = frame.collect().await;
        }
        let left = query(&context, "SELECT id FROM t").await;
        assert!(left == ["1", "3"] || left == ["1", "2", "3"], "{condition}: {left:?}");
    }
}
