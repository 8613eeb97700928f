//! Columns that come, go, move and change their names.

use floe_table_format::property::name;

use super::World;

async fn property(world: &World, key: &str) -> Option<String> {
    let rows = super::rows_of(&world.session, "SHOW TBLPROPERTIES t").await;
    rows.iter().find_map(|row| row.strip_prefix(&format!("{key}|")).map(str::to_owned))
}

const MAPPED: &str = "ALTER TABLE t SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')";

#[tokio::test]
async fn a_table_gets_column_mapping_and_keeps_its_files() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, s STRUCT<a: INT, b: STRING>, day DATE) PARTITIONED BY (day)").await;
    world.run("INSERT INTO t VALUES (1, named_struct('a', 10, 'b', 'x'), DATE '2026-01-01')").await;
    world.check_error("ALTER TABLE t RENAME COLUMN id TO key", "'delta.columnMapping.mode' = 'name'").await;
    world.check_error("ALTER TABLE t DROP COLUMN id", "'delta.columnMapping.mode' = 'name'").await;
    world.run(MAPPED).await;
    assert_eq!(property(&world, name::COLUMN_MAPPING_MAX_ID).await.as_deref(), Some("5"));
    world.run("ALTER TABLE t RENAME COLUMN id TO key").await;
    world.run("ALTER TABLE t RENAME COLUMN s.a TO amount").await;
    world.run("ALTER TABLE t RENAME COLUMN day TO placed").await;
    world.run("INSERT INTO t VALUES (2, named_struct('amount', 20, 'b', 'y'), DATE '2026-01-02')").await;
    let rows = ["1|10|x|2026-01-01", "2|20|y|2026-01-02"];
    world.check("SELECT key, s['amount'], s['b'], placed FROM t", &rows).await;
    world.check("SELECT key FROM t WHERE placed = DATE '2026-01-01' AND key < 2", &["1"]).await;
    super::check_in(&world.again().await, "SELECT s['amount'] FROM t WHERE s['amount'] > 10", &["20"]).await;
    world.check("SELECT id FROM t VERSION AS OF 1", &["1"]).await;
    for mode in ["none", "id"] {
        let sql = format!("ALTER TABLE t SET TBLPROPERTIES ('delta.columnMapping.mode' = '{mode}')");
        world.check_error(&sql, "changed from name to").await;
    }
    world.check_error("ALTER TABLE t UNSET TBLPROPERTIES ('delta.columnMapping.mode')", "from name to none").await;
}

#[tokio::test]
async fn a_new_table_is_mapped_from_the_start() {
    let world = World::new().await;
    for mode in ["name", "id"] {
        world
            .run(&format!(
                "CREATE OR REPLACE TABLE t (`an id` BIGINT, list ARRAY<STRUCT<`x y`: INT>>, p STRING) PARTITIONED BY (p)
                 TBLPROPERTIES ('delta.columnMapping.mode' = '{mode}')"
            ))
            .await;
        world.run("INSERT INTO t VALUES (1, make_array(named_struct('x y', 7)), 'here')").await;
        world.run("ALTER TABLE t RENAME COLUMN list.element.`x y` TO x").await;
        world.run("ALTER TABLE t ADD COLUMN list.element.y INT FIRST").await;
        world.check("SELECT `an id`, list[1]['x'], list[1]['y'], p FROM t", &["1|7|null|here"]).await;
        world.run("DELETE FROM t WHERE p = 'here'; INSERT INTO t VALUES (2, null, null)").await;
        super::check_in(&world.again().await, "SELECT `an id`, list, p FROM t", &["2|null|null"]).await;
    }
    world.check_error("CREATE TABLE u (`an id` BIGINT)", "delta.columnMapping.mode").await;
    let shown = super::rows_of(&world.session, "SHOW CREATE TABLE t").await.concat();
    assert!(!shown.contains("maxColumnId") && shown.contains("delta.columnMapping.mode"), "{shown}");
}

#[tokio::test]
async fn a_name_that_is_free_again_shows_no_old_values() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, v INT, s STRUCT<a: INT, b: INT>)").await;
    world.run("INSERT INTO t VALUES (1, 10, named_struct('a', 1, 'b', 2))").await;
    world.run(MAPPED).await;
    world.run("ALTER TABLE t DROP COLUMNS (v, s.a); ALTER TABLE t ADD COLUMNS (v INT, s.a INT)").await;
    world.run("INSERT INTO t (id, v) VALUES (2, 20)").await;
    world.check("SELECT id, v, s['a'], s['b'] FROM t", &["1|null|null|2", "2|20|null|null"]).await;
    world.check("SELECT v, s['a'] FROM t VERSION AS OF 1", &["10|1"]).await;
    world.run("UPDATE t SET v = 11 WHERE id = 1; OPTIMIZE t").await;
    world.check("SELECT id, v, s['a'], s['b'] FROM t", &["1|11|null|2", "2|20|null|null"]).await;
    world.run("ALTER TABLE t DROP COLUMN IF EXISTS nothing").await;
    world.check_error("ALTER TABLE t DROP COLUMN vv", "did you mean v?").await;
    world.run("ALTER TABLE t DROP COLUMN s.a").await;
    world.check_error("ALTER TABLE t DROP COLUMN s.b", "only column of struct s").await;
}

#[tokio::test]
async fn columns_are_added_and_moved_to_their_place() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, s STRUCT<a: INT, b: INT>, z INT)").await;
    world.run("INSERT INTO t VALUES (1, named_struct('a', 1, 'b', 2), 3)").await;
    world.run("ALTER TABLE t ADD COLUMNS (y INT COMMENT 'new' AFTER id, x INT FIRST, s.c STRING AFTER a)").await;
    world.check("SELECT * FROM t", &["null|1|null|{a: 1, c: null, b: 2}|3"]).await;
    world.run("ALTER TABLE t ALTER COLUMN z FIRST; ALTER TABLE t ALTER COLUMN s.b FIRST").await;
    world.run("ALTER TABLE t ALTER COLUMN x AFTER y").await;
    world.check("SELECT * FROM t", &["3|1|null|null|{b: 2, a: 1, c: null}"]).await;
    super::check_in(&world.again().await, "SELECT s['b'], s['a'] FROM t", &["2|1"]).await;
    // The same with physical names, where positions must not be taken for names.
    world.run(MAPPED).await;
    world.run("ALTER TABLE t RENAME COLUMN s.a TO first; ALTER TABLE t ALTER COLUMN s.first FIRST").await;
    world.check("SELECT s['b'], s['first'], s['c'] FROM t", &["2|1|null"]).await;
    world.check_error("ALTER TABLE t ADD COLUMN n INT NOT NULL", "is NOT NULL").await;
    world.check_error("ALTER TABLE t ADD COLUMN Z INT", "column Z already").await;
    world.check_error("ALTER TABLE t ADD COLUMN nothing.z INT", "no column nothing").await;
    world.check_error("ALTER TABLE t ALTER COLUMN z AFTER nothing", "no column nothing").await;
}

#[tokio::test]
async fn comments_defaults_and_nullability_change() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT NOT NULL, v INT DEFAULT 1, s STRUCT<a: INT>)").await;
    world.run("ALTER TABLE t ALTER COLUMN id COMMENT 'the id'; ALTER TABLE t ALTER COLUMN s.a COMMENT 'inside'").await;
    world.run("ALTER TABLE t ALTER COLUMN id DROP NOT NULL; ALTER TABLE t ALTER COLUMN v SET DEFAULT 1 + 6").await;
    world.run("INSERT INTO t (id) VALUES (NULL)").await;
    world.run("ALTER TABLE t ALTER COLUMN v DROP DEFAULT; INSERT INTO t (id) VALUES (2)").await;
    world.check("SELECT id, v FROM t", &["null|7", "2|null"]).await;
    let described = super::rows_of(&world.session, "DESCRIBE t").await;
    assert_eq!(described[0], "id|bigint|true|null|null|the id");
    world.check_error("ALTER TABLE t ALTER COLUMN v SET DEFAULT id", "cannot be used").await;
    world.check_error("ALTER TABLE t ALTER COLUMN s.a SET DEFAULT 1", "no default").await;
    for (sql, hint) in [("ALTER COLUMN id SET NOT NULL", "IS NOT NULL"), ("CHANGE COLUMN id key INT", "RENAME COLUMN")]
    {
        let error = world.error(&format!("ALTER TABLE t {sql}")).await;
        assert!(error.hint().is_some_and(|found| found.contains(hint)), "{sql}: {error}");
    }
}

#[tokio::test]
async fn what_other_parts_of_the_table_need_is_not_renamed_or_dropped() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (id BIGINT, at BIGINT, n INT, p INT, s STRUCT<a: INT, b: INT>,
                             CONSTRAINT positive CHECK (n > 0 AND s['a'] <> -1), PRIMARY KEY (id))
             PARTITIONED BY (p) TBLPROPERTIES ('delta.columnMapping.mode' = 'name', 'floe.orderingFields' = 'at',
                                               'delta.dataSkippingStatsColumns' = 'id,s.b,n')",
        )
        .await;
    world.run("INSERT INTO t VALUES (1, 1, 1, 1, named_struct('a', 1, 'b', 1))").await;
    for (sql, expected) in [
        ("DROP COLUMN id", "part of the primary key"),
        ("DROP COLUMN at", "floe.orderingFields names it"),
        ("DROP COLUMN p", "partitioned by it"),
        ("DROP COLUMN n", "constraint positive"),
        ("DROP COLUMN s", "constraint positive"),
        ("RENAME COLUMN N TO m", "constraint positive"),
        ("ALTER COLUMN id DROP NOT NULL", "primary key"),
        ("RENAME COLUMN id TO AT", "column AT already"),
    ] {
        world.check_error(&format!("ALTER TABLE t {sql}"), expected).await;
    }
}

#[tokio::test]
async fn the_key_its_index_and_its_rules_follow_a_new_name() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (id BIGINT, at BIGINT, v STRING, PRIMARY KEY (id))
             TBLPROPERTIES ('floe.orderingFields' = 'at', 'delta.dataSkippingStatsColumns' = 'id,v',
                            'delta.columnMapping.mode' = 'name', 'delta.enableChangeDataFeed' = 'true')",
        )
        .await;
    world.run("INSERT INTO t VALUES (1, 1, 'a'), (2, 1, 'b'); CREATE INDEX ON t (id)").await;
    world.run("ALTER TABLE t RENAME COLUMN id TO key; ALTER TABLE t RENAME COLUMN at TO time").await;
    world.run("ALTER TABLE t RENAME COLUMN v TO value").await;
    assert_eq!(property(&world, name::PRIMARY_KEY).await.as_deref(), Some("[\"key\"]"));
    assert_eq!(property(&world, name::ORDERING_FIELDS).await.as_deref(), Some("[\"time\"]"));
    assert_eq!(property(&world, name::DATA_SKIPPING_STATS_COLUMNS).await.as_deref(), Some("key,value"));
    world.run("UPSERT INTO t VALUES (1, 2, 'new'), (2, 0, 'late'), (3, 1, 'c')").await;
    world.check("SELECT * FROM t", &["1|2|new", "2|1|b", "3|1|c"]).await;
    world.check_error("INSERT INTO t VALUES (3, 9, 'again')", "key = 3").await;
    let index = super::rows_of(&world.session, "SHOW INDEX ON t").await.concat();
    assert!(index.contains("key"), "{index}");
    let feed = "SELECT _change_type, key, value FROM table_changes('t', 1)";
    let expected = ["insert|1|a", "insert|2|b", "insert|3|c", "update_postimage|1|new", "update_preimage|1|a"];
    world.check(feed, &expected).await;
}
