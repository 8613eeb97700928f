//! The change feed that Floe writes, against the rows before and after each version.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{World, rows_of};

#[tokio::test]
async fn a_keyed_table_tells_updates_from_inserts_and_deletes() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (id BIGINT PRIMARY KEY, v STRING) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true');
             UPSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c');
             UPSERT INTO t VALUES (2, 'B'), (4, 'd');
             MERGE INTO t USING (VALUES (1, 'x'), (4, 'D'), (5, 'e')) AS s(id, v) ON t.id = s.id
                WHEN MATCHED AND s.v = 'x' THEN DELETE WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT *;
             UPDATE t SET id = 30 WHERE id = 3;
             DELETE FROM t WHERE v = 'e'",
        )
        .await;
    let changes = |version: u64| format!("SELECT id, v, _change_type FROM table_changes('t', {version}, {version})");
    world.check(&changes(1), &["1|a|insert", "2|b|insert", "3|c|insert"]).await;
    world.check(&changes(2), &["2|b|update_preimage", "2|B|update_postimage", "4|d|insert"]).await;
    let merged = ["1|a|delete", "4|d|update_preimage", "4|D|update_postimage", "5|e|insert"];
    world.check(&changes(3), &merged).await;
    // Another key is another row, for whoever follows the feed by key.
    world.check(&changes(4), &["3|c|delete", "30|c|insert"]).await;
    world.check(&changes(5), &["5|e|delete"]).await;
    // Change files stay out of the table and of what is known of it.
    world.check("SELECT count(*) FROM t", &["3"]).await;
    world.check("SELECT count(*) FROM files('t') WHERE path LIKE '%_change_data%'", &["0"]).await;
}

#[tokio::test]
async fn tables_without_a_key_have_a_feed_where_it_is_known() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (id BIGINT, k STRING) PARTITIONED BY (k) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true');
             INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'b');
             UPDATE t SET k = 'c' WHERE id = 2;
             DELETE FROM t WHERE id = 1;
             INSERT OVERWRITE t VALUES (9, 'a')",
        )
        .await;
    let changes = |version: u64| format!("SELECT id, k, _change_type FROM table_changes('t', {version}, {version})");
    world.check(&changes(2), &["2|b|update_preimage", "2|c|update_postimage"]).await;
    world.check(&changes(3), &["1|a|delete"]).await;
    world.check(&changes(4), &["2|c|delete", "3|b|delete", "9|a|insert"]).await;
    world.run("INSERT INTO t VALUES (10, 'a'); RESTORE t TO VERSION AS OF 4").await;
    world.check(&changes(6), &["10|a|delete"]).await;
    // A merge knows which rows belong together, whatever else it does.
    world
        .run(
            "INSERT INTO t VALUES (20, 'a'), (21, 'a');
             MERGE INTO t USING (VALUES (9, 'z'), (11, 'z'), (20, 'gone')) AS s(id, k) ON t.id = s.id \
             WHEN MATCHED AND s.k = 'gone' THEN DELETE WHEN MATCHED THEN UPDATE SET k = s.k WHEN NOT MATCHED THEN INSERT * \
             WHEN NOT MATCHED BY SOURCE AND t.id = 21 THEN UPDATE SET k = 'lonely'",
        )
        .await;
    let merged = [
        "9|a|update_preimage",
        "9|z|update_postimage",
        "11|z|insert",
        "20|a|delete",
        "21|a|update_preimage",
        "21|lonely|update_postimage",
    ];
    world.check(&changes(8), &merged).await;
    world.run("MERGE INTO t USING (VALUES (9), (30)) AS s(id) ON t.id = s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)").await;
    world.check(&changes(9), &["9|z|delete", "30|null|insert"]).await;
    world.run("CREATE TABLE whole (id BIGINT, v STRING) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true', 'delta.enableDeletionVectors' = 'false'); INSERT INTO whole VALUES (1, 'a'), (2, 'b'), (3, 'c'); DELETE FROM whole WHERE id = 2").await;
    world.check("SELECT id, v, _change_type FROM table_changes('whole', 2)", &["2|b|delete"]).await;
    world.check("SELECT id FROM whole", &["1", "3"]).await;
    let own = "column _change_type is one of the feed's own";
    let create = "CREATE TABLE u (id BIGINT, _change_type STRING)";
    world.check_error(&format!("{create} TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')"), own).await;
    world.run(create).await;
    world.check_error("ALTER TABLE u SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')", own).await;
    world.check_error("ALTER TABLE t ADD COLUMN _change_type STRING", own).await;
}

#[tokio::test]
async fn two_writers_of_one_file_leave_each_its_own_changes() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (id BIGINT PRIMARY KEY, v STRING) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true');
             INSERT INTO t SELECT value AS id, 'old' AS v FROM range(100)",
        )
        .await;
    let other = world.again().await;
    rows_of(&other, "SELECT count(*) FROM t").await;
    world.run("UPSERT INTO t VALUES (1, 'one')").await;
    other.sql("UPSERT INTO t VALUES (1, 'other'), (2, 'other')").await.expect("upserted").collect().await.expect("run");
    let changes = "SELECT id, v, _change_type FROM table_changes('t', 3, 3)";
    let images =
        ["1|one|update_preimage", "1|other|update_postimage", "2|old|update_preimage", "2|other|update_postimage"];
    world.check(changes, &images).await;
}

#[tokio::test]
async fn a_new_file_with_rows_that_do_not_count_has_its_changes_written_down() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (id BIGINT PRIMARY KEY, v STRING) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true');
             INSERT INTO t VALUES (1, 'old'); INSERT INTO t VALUES (1, 'ignored'), (2, 'new') ON CONFLICT DO NOTHING",
        )
        .await;
    world.check("SELECT id, v, _change_type FROM table_changes('t', 2)", &["2|new|insert"]).await;
    let commit = std::fs::read_to_string(world.path("warehouse/default/t/_delta_log/00000000000000000002.json"));
    let commit = commit.expect("a commit");
    assert!(commit.contains("deletionVector") && commit.contains("_change_data/"), "{commit}");
}

type Row = (i64, String);

/// What changes a table; of a table without a key nothing that goes by one.
fn statement(keyed: bool) -> impl Strategy<Value = String> {
    let by_key = u32::from(keyed);
    let values = || {
        prop::collection::btree_map(0i64..12, "[a-c]", 1..6)
            .prop_map(|rows| rows.iter().map(|(id, v)| format!("({id}, '{v}')")).collect::<Vec<_>>().join(", "))
    };
    let ids = prop::collection::vec(0i64..12, 1..4)
        .prop_map(|ids| ids.iter().map(i64::to_string).collect::<Vec<_>>().join(", "));
    prop_oneof![
        4 * by_key => values().prop_map(|rows| format!("UPSERT INTO t VALUES {rows}")),
        by_key => values().prop_map(|rows| format!("INSERT INTO t VALUES {rows} ON CONFLICT (id) DO NOTHING")),
        by_key => values().prop_map(|rows| format!("INSERT INTO t VALUES {rows} ON CONFLICT (id) DO UPDATE SET v = concat(t.v, excluded.v)")),
        2 => values().prop_map(|rows| format!(
            "MERGE INTO t USING (VALUES {rows}) AS s(id, v) ON t.id = s.id WHEN MATCHED AND s.v = 'a' THEN DELETE \
             WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT *"
        )),
        1 => ids.prop_map(|ids| format!("DELETE FROM t WHERE id IN ({ids})")),
        1 => "[a-c]".prop_map(|v| format!("DELETE FROM t WHERE v = '{v}'")),
        1 => "[a-c]".prop_map(|v| format!("UPDATE t SET v = concat(v, v) WHERE v = '{v}'")),
        1 => values().prop_map(|rows| format!("INSERT OVERWRITE t VALUES {rows}")),
        1 => Just("OPTIMIZE t".to_owned()),
    ]
}

async fn table_at(world: &World, version: u64) -> BTreeMap<i64, String> {
    let rows = rows_of(&world.session, &format!("SELECT id, v FROM t VERSION AS OF {version}")).await;
    rows.iter().map(|row| split(row)).collect()
}

fn split(row: &str) -> Row {
    let (id, v) = row.split_once('|').expect("two cells");
    (id.parse().expect("a number"), v.to_owned())
}

/// Law: what a version's changes take out is what the version before had, what they bring is what the version has, and every
/// difference between the two is among them; images of an update come in pairs of one key.
async fn check_feed(statements: &[String], keyed: bool, vectors: bool) {
    let world = World::new().await;
    world
        .run(&format!(
            "CREATE TABLE t (id BIGINT{}, v STRING) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true',
             'delta.enableDeletionVectors' = '{vectors}', 'floe.autoCompact' = 'false')",
            if keyed { " PRIMARY KEY" } else { "" }
        ))
        .await;
    for statement in statements {
        world.run(statement).await;
    }
    let newest: u64 =
        rows_of(&world.session, "SELECT max(version) FROM history('t')").await[0].parse().expect("a version");
    let mut before = table_at(&world, 0).await;
    for version in 1..=newest {
        let after = table_at(&world, version).await;
        let sql = format!("SELECT _change_type, id, v FROM table_changes('t', {version}, {version})");
        let mut changes: BTreeMap<String, BTreeMap<i64, String>> = BTreeMap::new();
        for row in rows_of(&world.session, &sql).await {
            let (kind, row) = row.split_once('|').expect("three cells");
            let (id, v) = split(row);
            let known = changes.entry(kind.to_owned()).or_default().insert(id, v);
            assert_eq!(known, None, "{id} twice as {kind} in version {version} of {statements:?}");
        }
        let of = |kind: &str| changes.get(kind).cloned().unwrap_or_default();
        let (inserts, deletes) = (of("insert"), of("delete"));
        let (pre, post) = (of("update_preimage"), of("update_postimage"));
        let mut replayed = before.clone();
        for (id, v) in deletes.iter().chain(&pre) {
            assert_eq!(replayed.remove(id).as_ref(), Some(v), "{id} in version {version} of {statements:?}");
        }
        for (id, v) in inserts.iter().chain(&post) {
            assert_eq!(replayed.insert(*id, v.clone()), None, "{id} in version {version} of {statements:?}");
        }
        assert_eq!(replayed, after, "version {version} of {statements:?}");
        assert!(pre.keys().eq(post.keys()), "version {version} of {statements:?}: {pre:?}, {post:?}");
        // An overwrite is told by its files: all that was there goes.
        let overwrites = rows_of(
            &world.session,
            &format!("SELECT count(*) FROM history('t') WHERE version = {version} AND operation = 'WRITE'"),
        )
        .await;
        if overwrites == ["0"] {
            assert!(deletes.keys().all(|id| !after.contains_key(id)), "version {version} of {statements:?}");
            assert!(inserts.keys().all(|id| !before.contains_key(id)), "version {version} of {statements:?}");
        }
        before = after;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn changes_lead_from_each_version_to_the_next(
        (keyed, statements) in any::<bool>().prop_flat_map(|keyed| (Just(keyed), prop::collection::vec(statement(keyed), 1..8))),
        vectors in prop::bool::weighted(0.8),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(check_feed(&statements, keyed, vectors));
    }
}
