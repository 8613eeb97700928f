//! The ids of rows in tables with row tracking: a row keeps its own for as long as it lives.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use floe_table::{Table, TableError};
use futures::TryStreamExt;
use proptest::prelude::*;

use super::{World, rows_of};

/// Value, id and commit version of each row, by its key.
async fn tracked(world: &World) -> BTreeMap<i64, (String, i64, i64)> {
    let table = Table::open(world.path("warehouse/default/t")).await.expect("opened");
    let scan = table.snapshot().await.expect("loaded").scan().with_columns(["id", "v"]).with_row_ids();
    let batches: Vec<_> = scan.stream().await.expect("planned").try_collect().await.expect("read");
    let mut rows = BTreeMap::new();
    for batch in batches {
        assert_eq!(batch.schema().field(2).name(), "_row_id");
        assert_eq!(batch.schema().field(3).name(), "_row_commit_version");
        let long = |at: usize| batch.column(at).as_primitive::<Int64Type>().clone();
        let (keys, ids, versions) = (long(0), long(2), long(3));
        let values = batch.column(1).as_string::<i32>();
        for row in 0..batch.num_rows() {
            let told = (values.value(row).to_owned(), ids.value(row), versions.value(row));
            assert_eq!(rows.insert(keys.value(row), told), None, "{} twice", keys.value(row));
        }
    }
    rows
}

#[tokio::test]
async fn ids_stay_with_rows_and_versions_tell_their_last_change() {
    for key in ["", " PRIMARY KEY"] {
        let world = World::new().await;
        world
            .run(&format!(
                "CREATE TABLE t (id BIGINT{key}, v STRING) TBLPROPERTIES ('delta.enableRowTracking' = 'true');
                 INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd');
                 UPDATE t SET v = 'B' WHERE id = 2;
                 OPTIMIZE t;
                 UPDATE t SET v = 'BB' WHERE id = 2;
                 MERGE INTO t USING (VALUES (3, 'C'), (4, 'gone'), (9, 'new')) AS s(id, v) ON t.id = s.id
                    WHEN MATCHED AND s.v = 'gone' THEN DELETE WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT *;
                 MERGE INTO t USING (VALUES (1, 'all'), (10, 'new')) AS s(id, v) ON t.id = s.id
                    WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *;
                 OPTIMIZE t ZORDER BY (v)",
            ))
            .await;
        let rows = tracked(&world).await;
        let ids: Vec<(i64, i64, i64)> = rows.iter().map(|(key, (_, id, version))| (*key, *id, *version)).collect();
        let new = ids.iter().find(|(key, _, _)| *key == 9).expect("inserted").1;
        let newer = ids.iter().find(|(key, _, _)| *key == 10).expect("inserted").1;
        assert_eq!(ids, [(1, 0, 6), (2, 1, 4), (3, 2, 5), (9, new, 5), (10, newer, 6)]);
        assert!(new > 3 && newer > new, "ids that no row had: {new}, {newer}");
        let columns = rows_of(&world.session, "SELECT * FROM t WHERE id = 2").await;
        assert_eq!(columns, ["2|BB"], "what rows keep is no column of the table");
    }
}

#[tokio::test]
async fn tables_without_row_tracking_have_no_ids() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT); INSERT INTO t VALUES (1)").await;
    let table = Table::open(world.path("warehouse/default/t")).await.expect("opened");
    let error = table.snapshot().await.expect("loaded").scan().with_row_ids().stream().await.err().expect("refused");
    assert!(matches!(&error, TableError::InvalidRequest { what, .. } if what.contains("enableRowTracking")), "{error}");
}

fn statement() -> impl Strategy<Value = String> {
    let values = || {
        prop::collection::btree_map(0i64..12, "[a-c]", 1..6)
            .prop_map(|rows| rows.iter().map(|(id, v)| format!("({id}, '{v}')")).collect::<Vec<_>>().join(", "))
    };
    prop_oneof![
        4 => values().prop_map(|rows| format!(
            "MERGE INTO t USING (VALUES {rows}) AS s(id, v) ON t.id = s.id WHEN MATCHED AND s.v = 'a' THEN DELETE \
             WHEN MATCHED THEN UPDATE SET v = concat(s.v, t.v) WHEN NOT MATCHED THEN INSERT *"
        )),
        1 => "[a-c]".prop_map(|v| format!("DELETE FROM t WHERE v = '{v}'")),
        3 => (0i64..6).prop_map(|id| format!("UPDATE t SET v = concat(v, '!') WHERE id % 6 >= {id}")),
        1 => Just("OPTIMIZE t".to_owned()),
        1 => Just("OPTIMIZE t ZORDER BY (v)".to_owned()),
    ]
}

/// Law: a row has one id from its insert to its end, which no other row ever has; its commit version changes when its values do
/// and not else.
async fn check_ids(statements: &[String], vectors: bool, mapped: bool, partitioned: bool) {
    let world = World::new().await;
    let mode = if mapped { "name" } else { "none" };
    world
        .run(&format!(
            "CREATE TABLE t (id BIGINT, v STRING) {} TBLPROPERTIES ('delta.enableRowTracking' = 'true',
             'delta.enableDeletionVectors' = '{vectors}', 'delta.columnMapping.mode' = '{mode}');
             INSERT INTO t SELECT value AS id, 'old' AS v FROM range(6); INSERT INTO t VALUES (10, 'x'), (11, 'y')",
            if partitioned { "PARTITIONED BY (v)" } else { "" }
        ))
        .await;
    let mut before = tracked(&world).await;
    let mut given: Vec<i64> = before.values().map(|(_, id, _)| *id).collect();
    for statement in statements.iter().filter(|statement| !partitioned || !statement.contains("ZORDER")) {
        world.run(statement).await;
        let version = rows_of(&world.session, "SELECT max(version) FROM history('t')").await[0]
            .parse::<i64>()
            .expect("a version");
        let after = tracked(&world).await;
        for (key, (value, id, changed)) in &after {
            match before.get(key) {
                Some((old, old_id, old_changed)) => {
                    assert_eq!(id, old_id, "key {key} after {statement} of {statements:?}");
                    if value == old {
                        assert_eq!(changed, old_changed, "key {key} after {statement} of {statements:?}");
                    } else {
                        assert_eq!(*changed, version, "key {key} after {statement} of {statements:?}");
                    }
                }
                None => {
                    assert!(!given.contains(id), "id {id} a second time after {statement} of {statements:?}");
                    assert_eq!(*changed, version, "key {key} after {statement} of {statements:?}");
                    given.push(*id);
                }
            }
        }
        before = after;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn rows_keep_their_ids_whatever_moves_them(
        statements in prop::collection::vec(statement(), 1..7),
        vectors in any::<bool>(),
        mapped in any::<bool>(),
        partitioned in prop::bool::weighted(0.3),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(check_ids(&statements, vectors, mapped, partitioned));
    }
}
