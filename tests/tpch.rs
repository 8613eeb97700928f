//! TPC-H from loading to vacuum: queries beside DataFusion on the raw files, changes beside a serial model.

use std::collections::BTreeMap;
use std::path::Path;

use floe::arrow::array::RecordBatch;
use floe::datafusion::prelude::{ParquetReadOptions, SessionContext};
use floe::{Session, SessionOptions};
use floe_testkit::tpch::{self, TpchTable};
use floe_testkit::{rows, rows_rounded};

const SCALE_FACTOR: f64 = 0.01;

async fn sql(session: &Session, text: &str) -> Vec<RecordBatch> {
    let outcome = session.sql(text).await.unwrap_or_else(|e| panic!("{text}: {e}"));
    outcome.collect().await.unwrap_or_else(|e| panic!("{text}: {e}"))
}

async fn load(folder: &Path, tables: &[TpchTable]) -> Session {
    let raw = folder.join("raw");
    std::fs::create_dir_all(&raw).expect("a folder");
    let session = Session::open(SessionOptions::new(folder.join("warehouse").to_string_lossy())).await.expect("opened");
    for table in tables {
        let file = raw.join(format!("{table}.parquet"));
        tpch::write_table_parquet(&file, table.batches(SCALE_FACTOR)).expect("written");
        sql(&session, &format!("CREATE TABLE {table} AS SELECT * FROM '{}'", file.display())).await;
    }
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn the_22_queries_equal_datafusion_on_the_raw_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let session = load(folder.path(), &TpchTable::ALL).await;
    let raw = SessionContext::new();
    for table in TpchTable::ALL {
        let file = folder.path().join(format!("raw/{table}.parquet"));
        raw.register_parquet(table.name(), file.to_string_lossy(), ParquetReadOptions::default())
            .await
            .expect("registered");
    }
    let mut nonempty = 0;
    for (number, query) in tpch::queries() {
        let expected = raw.sql(query).await.expect("planned").collect().await.expect("ran");
        let found = sql(&session, query).await;
        assert_eq!(rows_rounded(&found, 4), rows_rounded(&expected, 4), "query {number}");
        nonempty += usize::from(!rows(&found).is_empty());
    }
    assert!(nonempty >= 18, "only {nonempty} queries have rows: the comparison would prove little");
}

/// The orders as text lines by key: the serial model.
struct Model(BTreeMap<i64, String>);

impl Model {
    fn of(batches: &[RecordBatch]) -> Model {
        Model(keyed(batches))
    }

    fn rows(&self) -> Vec<String> {
        let mut rows: Vec<String> = self.0.values().cloned().collect();
        rows.sort();
        rows
    }
}

fn keyed(batches: &[RecordBatch]) -> BTreeMap<i64, String> {
    let key = |line: &str| line.split('|').next().and_then(|k| k.parse().ok()).expect("the key comes first");
    rows(batches).into_iter().map(|line| (key(&line), line)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_orders_equal_a_serial_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let session = load(folder.path(), &[TpchTable::Orders]).await;
    let now = async || rows(&sql(&session, "SELECT * FROM orders").await);
    let mut model = Model::of(&sql(&session, "SELECT * FROM orders").await);
    let mut versions: Vec<(u64, Vec<String>)> = Vec::new();
    let version =
        async || session.table("orders").await.expect("open").snapshot().await.expect("loaded").version().get();
    versions.push((version().await, model.rows()));

    // Merge: changed orders, new orders, cancelled orders.
    let columns = "o_orderkey, o_custkey, o_orderstatus, o_totalprice, o_orderdate, o_orderpriority, o_clerk, o_shippriority, o_comment";
    let changed = columns.replace("o_totalprice", "CAST(o_totalprice + 1 AS DECIMAL(15,2)) AS o_totalprice");
    let new = columns.replace("o_orderkey", "o_orderkey + 10000000 AS o_orderkey");
    let cancelled = columns.replace("o_orderstatus", "'X' AS o_orderstatus");
    let changes = [(changed, "o_orderkey % 40 = 1"), (new, "o_orderkey % 40 = 2"), (cancelled, "o_orderkey % 40 = 3")]
        .map(|(columns, which)| format!("SELECT {columns} FROM orders VERSION AS OF {} WHERE {which}", versions[0].0))
        .join(" UNION ALL ");
    for (key, line) in keyed(&sql(&session, &changes).await) {
        if line.split('|').nth(2) == Some("X") {
            model.0.remove(&key)
        } else {
            model.0.insert(key, line)
        };
    }
    sql(
        &session,
        &format!(
            "MERGE INTO orders t USING ({changes}) s ON t.o_orderkey = s.o_orderkey \
             WHEN MATCHED AND s.o_orderstatus = 'X' THEN DELETE \
             WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        ),
    )
    .await;
    assert_eq!(now().await, model.rows(), "after the merge");
    versions.push((version().await, model.rows()));

    sql(&session, "DELETE FROM orders WHERE o_orderkey % 7 = 0 AND o_orderpriority LIKE '1%'").await;
    model.0.retain(|key, line| !(key % 7 == 0 && line.split('|').nth(5).is_some_and(|p| p.starts_with('1'))));
    assert_eq!(now().await, model.rows(), "after the delete");
    versions.push((version().await, model.rows()));

    sql(
        &session,
        "UPDATE orders SET o_comment = 'seen', o_shippriority = o_shippriority + 5 WHERE o_orderkey % 11 = 0",
    )
    .await;
    for (_, line) in model.0.iter_mut().filter(|(key, _)| *key % 11 == 0) {
        let mut fields: Vec<String> = line.split('|').map(str::to_owned).collect();
        fields.truncate(9);
        fields[7] = (fields[7].parse::<i64>().expect("a number") + 5).to_string();
        fields[8] = "seen".into();
        *line = fields.join("|");
    }
    assert_eq!(now().await, model.rows(), "after the update");
    versions.push((version().await, model.rows()));

    sql(&session, "OPTIMIZE orders").await;
    assert_eq!(now().await, model.rows(), "after OPTIMIZE");
    sql(&session, "OPTIMIZE orders ZORDER BY (o_custkey, o_orderdate)").await;
    assert_eq!(now().await, model.rows(), "after ZORDER");

    // Everything is inside the retention: vacuum must not take a version away.
    sql(&session, "VACUUM orders").await;
    for (version, expected) in &versions {
        let found = sql(&session, &format!("SELECT * FROM orders VERSION AS OF {version}")).await;
        assert_eq!(&rows(&found), expected, "version {version}");
    }
    sql(&session, &format!("RESTORE TABLE orders TO VERSION AS OF {}", versions[1].0)).await;
    assert_eq!(now().await, versions[1].1, "after RESTORE");

    // Another process sees the same.
    let other =
        Session::open(SessionOptions::new(folder.path().join("warehouse").to_string_lossy())).await.expect("opened");
    assert_eq!(rows(&sql(&other, "SELECT * FROM orders").await), versions[1].1);
}
