//! Earlier versions, by number and by time.

use floe_query::QueryError;

use super::World;

async fn three_versions() -> World {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)").await;
    world
}

#[tokio::test]
async fn every_spelling_reads_the_version() {
    let world = three_versions().await;
    for sql in [
        "SELECT * FROM t VERSION AS OF 1",
        "SELECT t.id FROM t VERSION AS OF 1",
        "SELECT x.id FROM t VERSION AS OF 1 AS x",
        "SELECT * FROM t FOR VERSION AS OF 1",
        "SELECT * FROM default.t FOR SYSTEM_VERSION AS OF 1",
        "WITH old AS (SELECT * FROM t VERSION AS OF 1) SELECT * FROM old",
        "SELECT * FROM (SELECT * FROM t VERSION AS OF 1)",
    ] {
        world.check(sql, &["1"]).await;
    }
    world.check("SELECT id FROM t WHERE id NOT IN (SELECT id FROM t VERSION AS OF 1)", &["2"]).await;
    world
        .check("SELECT a.id, b.id FROM t VERSION AS OF 1 a JOIN t VERSION AS OF 2 b ON a.id <= b.id", &["1|1", "1|2"])
        .await;
    let time = super::rows_of(&world.session, "SELECT timestamp FROM history('t') WHERE version = 1").await.remove(0);
    world.check(&format!("SELECT * FROM t TIMESTAMP AS OF '{time}'"), &["1"]).await;
    world
        .check(&format!("SELECT * FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '{time}' + INTERVAL '0' SECOND"), &["1"])
        .await;
}

#[tokio::test]
async fn versions_and_times_out_of_range_name_the_range() {
    let world = three_versions().await;
    world.check_error("SELECT * FROM t VERSION AS OF 3", "versions 0 to 2").await;
    world.check_error("SELECT * FROM t TIMESTAMP AS OF '1999-01-01'", "the history reaches from").await;
    world.check_error("SELECT * FROM t TIMESTAMP AS OF 'yesterday-ish'", "is no point in time").await;
    assert!(matches!(world.error("SELECT * FROM u VERSION AS OF 1").await, QueryError::UnknownTable { .. }));
}

#[tokio::test]
async fn restore_goes_back() {
    let world = three_versions().await;
    let done = world.run("RESTORE TABLE t TO VERSION AS OF 1").await;
    assert_eq!(done.version.map(|v| v.get()), Some(3));
    world.check("SELECT * FROM t", &["1"]).await;
    world.check("SELECT * FROM t VERSION AS OF 2", &["1", "2"]).await;
}
