//! Reading: every row once, no deleted row, whatever shape the optimiser gives the scan.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::logical_expr::{col, lit};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionConfig;
use floe_query::dml;
use floe_query::provider::FloeTableProvider;
use floe_query::scan_exec::DeltaScanExec;
use floe_table::{CreateTable, Table};
use floe_table_format::StructType;
use floe_testkit::{Batch, rows};
use futures::{StreamExt, TryStreamExt};

use crate::support::{create, explain, query, session, session_with, table_of};

fn numbers(from: i64, to: i64) -> arrow::array::RecordBatch {
    let names: Vec<String> = (from..to).map(|n| format!("name {n}")).collect();
    Batch::new().long("id", from..to).text("name", names.iter().map(|n| Some(n.as_str()))).build()
}

/// Three files of 1000 rows; in each, every tenth row is deleted by a deletion vector.
async fn table_with_vectors() -> Table {
    let table = table_of(vec![numbers(0, 1000), numbers(1000, 2000), numbers(2000, 3000)]).await;
    let state = session(&table).await.state();
    let tenth = (col("id") % lit(10i64)).eq(lit(0i64));
    let report = dml::delete(&state, &table, &TableReference::bare("t"), Some(tenth)).await.expect("it deletes");
    assert_eq!(report.rows_deleted, 300);
    table
}

fn undeleted() -> Vec<String> {
    let mut ids: Vec<String> = (0..3000).filter(|id| id % 10 != 0).map(|id| id.to_string()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_back_as_they_were_appended() {
    let table = table_of(vec![numbers(0, 3), numbers(3, 5)]).await;
    let context = session(&table).await;
    assert_eq!(query(&context, "SELECT * FROM t").await, rows(&[numbers(0, 5)]));
    assert_eq!(query(&context, "SELECT name FROM t WHERE id = 4").await, ["name 4"]);
    assert_eq!(query(&context, "SELECT count(*), min(id), max(id) FROM t").await, ["5|0|4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_table_shows_what_is_appended_later() {
    let table = table_of(vec![numbers(0, 3)]).await;
    let context = session(&table).await;
    table.append(vec![numbers(3, 5)]).await.expect("rows of its schema");
    assert_eq!(query(&context, "SELECT count(*) FROM t").await, ["5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_rows_stay_deleted_in_every_shape_of_scan() {
    let table = table_with_vectors().await;
    for partitions in [1, 2, 7] {
        for pushdown in [false, true] {
            // Files cut into ranges, and partitions that take files over from each other.
            let config = SessionConfig::new()
                .with_target_partitions(partitions)
                .with_repartition_file_min_size(1)
                .with_batch_size(100)
                .set_bool("datafusion.execution.parquet.pushdown_filters", pushdown);
            let context = session_with(&table, config).await;
            assert_eq!(query(&context, "SELECT id FROM t").await, undeleted());
            assert_eq!(query(&context, "SELECT count(*), min(id), max(id) FROM t").await, ["2700|1|2999"]);
            assert_eq!(query(&context, "SELECT count(*) FROM t WHERE id >= 1990 AND id < 2011").await, ["18"]);
            assert_eq!(query(&context, "SELECT count(*) FROM (SELECT id FROM t LIMIT 950)").await, ["950"]);
            assert_eq!(query(&context, "SELECT id FROM t ORDER BY id LIMIT 3").await, ["1", "2", "3"]);
            assert_eq!(query(&context, "SELECT id FROM t ORDER BY id DESC LIMIT 2").await, ["2998", "2999"]);
            assert_eq!(
                query(&context, "SELECT a.id FROM t a JOIN t b ON a.id = b.id + 1 WHERE b.id < 15").await,
                ["12", "13", "14", "15", "2", "3", "4", "5", "6", "7", "8", "9"]
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_runs_again_after_its_state_is_reset() {
    let table = table_with_vectors().await;
    let context = session(&table).await;
    let plan = context.sql("SELECT id FROM t").await.expect("it plans").create_physical_plan().await.expect("it plans");
    let first = collect(plan.clone(), context.task_ctx()).await.expect("it runs");
    let again = datafusion::physical_plan::execution_plan::reset_plan_states(plan).expect("it resets");
    let second = collect(again, context.task_ctx()).await.expect("it runs again");
    assert_eq!(rows(&first), undeleted());
    assert_eq!(rows(&second), undeleted());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_shipped_as_bytes_returns_no_deleted_row() {
    let table = table_with_vectors().await;
    let context = session(&table).await;
    let provider = FloeTableProvider::at(table.snapshot().await.expect("it reads")).expect("it opens");
    let plan = provider.scan(&context.state(), Some(&vec![0]), &[], None).await.expect("it plans");
    let scan = plan.downcast_ref::<DeltaScanExec>().expect("a scan of ours");
    assert_eq!((scan.files_scanned(), scan.deletion_vectors()), (3, 3));

    let bytes = scan.to_bytes().expect("it encodes");
    let elsewhere = session(&table).await;
    let shipped =
        DeltaScanExec::from_bytes(&bytes, table.data_store(), elsewhere.state().config_options()).expect("it decodes");
    assert_eq!(shipped.deletion_vectors(), 3);
    let batches = collect(Arc::new(shipped), elsewhere.task_ctx()).await.expect("it runs");
    assert_eq!(rows(&batches), undeleted());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shipped_scan_keeps_its_limit_and_its_parts() {
    let table = table_with_vectors().await;
    let config = SessionConfig::new().with_target_partitions(5).with_repartition_file_min_size(1);
    let context = session_with(&table, config).await;
    let provider = FloeTableProvider::at(table.snapshot().await.expect("it reads")).expect("it opens");
    let plan = provider.scan(&context.state(), None, &[], None).await.expect("it plans");
    let state = context.state();
    let cut = plan.repartitioned(5, state.config_options()).expect("it cuts").unwrap_or(plan);
    let bytes = cut.downcast_ref::<DeltaScanExec>().expect("still a scan of ours").to_bytes().expect("it encodes");
    let shipped = DeltaScanExec::from_bytes(&bytes, table.data_store(), state.config_options()).expect("it decodes");
    assert_eq!(
        shipped.properties().output_partitioning().partition_count(),
        cut.properties().output_partitioning().partition_count()
    );
    let batches = collect(Arc::new(shipped), context.task_ctx()).await.expect("it runs");
    assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 2700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_is_not_read_from_the_store_of_another_table() {
    let table = table_of(vec![numbers(0, 3)]).await;
    let context = session(&table).await;
    let provider = FloeTableProvider::at(table.snapshot().await.expect("it reads")).expect("it opens");
    let plan = provider.scan(&context.state(), None, &[], None).await.expect("it plans");
    let bytes = plan.downcast_ref::<DeltaScanExec>().expect("a scan of ours").to_bytes().expect("it encodes");
    let mut other: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    other["spec"]["plan"]["table_uri"] = "memory:///other".into();
    let other = serde_json::to_vec(&other).expect("JSON");
    let state = context.state();
    assert!(DeltaScanExec::from_bytes(&other, table.data_store(), state.config_options()).is_err());
    assert!(DeltaScanExec::from_bytes(b"{}", table.data_store(), state.config_options()).is_err());
}

fn partitioned() -> arrow::array::RecordBatch {
    Batch::new()
        .long("id", [1, 2, 3, 4, 5])
        .text("part", [Some("a"), Some("b"), None, Some("a"), Some("x y/z")])
        .date("day", [Some(0), Some(1), Some(1), None, Some(2)])
        .build()
}

async fn partitioned_table() -> Table {
    let batch = partitioned();
    let table = create(
        CreateTable::from_arrow(&batch.schema())
            .expect("a schema Delta can hold")
            .with_partition_columns(["day", "part"]),
    )
    .await;
    table.append(vec![batch]).await.expect("rows of its schema");
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_columns_are_columns_in_the_tables_order() {
    let context = session(&partitioned_table().await).await;
    assert_eq!(query(&context, "SELECT * FROM t").await, rows(&[partitioned()]));
    assert_eq!(
        query(&context, "SELECT part, count(*) FROM t GROUP BY part").await,
        ["NULL|1", "a|2", "b|1", "x y/z|1"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_on_partition_columns_choose_files_and_vanish_from_the_plan() {
    let context = session(&partitioned_table().await).await;
    let plan = explain(&context, "SELECT id FROM t WHERE part = 'a' AND day IS NULL").await;
    assert!(plan.contains("files=1/5"), "{plan}");
    assert!(!plan.contains("FilterExec"), "{plan}");
    assert_eq!(query(&context, "SELECT id FROM t WHERE part = 'a' AND day IS NULL").await, ["4"]);
    assert_eq!(query(&context, "SELECT id FROM t WHERE part IS NULL").await, ["3"]);
    assert_eq!(query(&context, "SELECT id FROM t WHERE upper(part) = 'B'").await, ["2"]);
    assert_eq!(query(&context, "SELECT id FROM t WHERE part <> 'a'").await, ["2", "5"]);
    assert_eq!(
        query(&context, "SELECT id FROM t WHERE day >= DATE '1970-01-02' OR part = 'a'").await,
        ["1", "2", "3", "4", "5"]
    );
    assert_eq!(query(&context, "SELECT id FROM t WHERE part = 'nowhere'").await, [""; 0]);
    assert_eq!(query(&context, "SELECT id FROM t WHERE part = 'a' AND id > 1 LIMIT 5").await, ["4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_skip_files_that_cannot_match() {
    let table = table_of(vec![numbers(0, 100), numbers(100, 200), numbers(200, 300)]).await;
    let context = session(&table).await;
    let plan = explain(&context, "SELECT id FROM t WHERE id = 150").await;
    assert!(plan.contains("files=1/3"), "{plan}");
    let plan = explain(&context, "SELECT id FROM t LIMIT 10").await;
    assert!(plan.contains("files=1/3"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_say_why_files_are_not_read() {
    let context = session(&partitioned_table().await).await;
    let said = async |sql: &str, expected: &str| {
        let plan = explain(&context, sql).await;
        assert!(plan.contains(expected), "{sql}: {plan}");
        assert!(!plan.contains(".parquet"), "thousands of names say nothing: {plan}");
    };
    let (partition, both) = ("SELECT id FROM t WHERE part = 'a'", "SELECT id FROM t WHERE part = 'a' AND id > 2");
    said(partition, "files=2/5 (pruned: 3 by partition, 0 by statistics, 0 by index)").await;
    said(both, "files=1/5 (pruned: 3 by partition, 1 by statistics, 0 by index)").await;
    // Nothing that a predicate of the log can say: the value is computed.
    said("SELECT id FROM t WHERE upper(part) = 'B'", "files=1/5 (pruned: 4 by partition, 0").await;
    said("SELECT id FROM t WHERE id > 1000", "NothingToRead: version=1, files=0/5 (pruned: 0 by partition, 5 by").await;
    said("SELECT id FROM t LIMIT 2", "files=2/5 (pruned: 0 by partition, 0 by statistics, 0 by index, 3 by limit)")
        .await;
    assert_eq!(query(&context, "SELECT count(id), max(part) FROM t WHERE id > 1000").await, ["0|NULL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_reads_no_file() {
    let table = table_with_vectors().await;
    let context = session(&table).await;
    let plan = explain(&context, "SELECT count(*) FROM t").await;
    assert!(!plan.contains("DeltaScanExec"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_one_name_in_two_stores_do_not_mix() {
    let (one, two) = (table_of(vec![numbers(0, 3)]).await, table_of(vec![numbers(7, 9)]).await);
    let context = session(&one).await;
    let provider = FloeTableProvider::live(two).await.expect("it opens");
    context.register_table("other", Arc::new(provider)).expect("a free name");
    let sql = "SELECT id FROM t UNION ALL SELECT id FROM other";
    assert_eq!(query(&context, sql).await, ["0", "1", "2", "7", "8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_read_as_views_unless_told_otherwise() {
    let table = table_of(vec![numbers(0, 3)]).await;
    let snapshot = table.snapshot().await.expect("it reads");
    let views = FloeTableProvider::at(snapshot.clone()).expect("it opens");
    assert_eq!(views.schema().field(1).data_type(), &arrow::datatypes::DataType::Utf8View);
    let plain = FloeTableProvider::at(snapshot).expect("it opens").with_view_types(false).expect("it opens");
    assert_eq!(plain.schema().field(1).data_type(), &arrow::datatypes::DataType::Utf8);
    let context = session(&table).await;
    context.register_table("plain", Arc::new(plain)).expect("a free name");
    assert_eq!(query(&context, "SELECT name FROM plain WHERE name > 'name 1'").await, ["name 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_carry_their_address_when_asked() {
    let table = table_with_vectors().await;
    let provider = FloeTableProvider::at(table.snapshot().await.expect("it reads")).expect("it opens");
    let context = session(&table).await;
    context.register_table("a", Arc::new(provider.with_row_address().expect("it opens"))).expect("a free name");
    let sql = "SELECT count(DISTINCT _floe_file), min(_floe_row), max(_floe_row) FROM a";
    assert_eq!(query(&context, sql).await, ["3|1|999"]);
    let sql = "SELECT DISTINCT id - _floe_row FROM a";
    assert_eq!(query(&context, sql).await, ["0", "1000", "2000"]);
    // A filter that is evaluated while reading does not shift positions.
    let sql = "SELECT id - _floe_row FROM a WHERE id IN (1001, 1999)";
    assert_eq!(query(&context, sql).await, ["1000", "1000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_counts_that_the_log_does_not_tell_are_read_from_the_files() {
    let table = table_with_vectors().await;
    let context = session(&table).await;
    let provider = FloeTableProvider::at(table.snapshot().await.expect("it reads")).expect("it opens");
    let state = context.state();
    let plan = provider.scan(&state, Some(&vec![0]), &[], None).await.expect("it plans");
    let bytes = plan.downcast_ref::<DeltaScanExec>().expect("a scan of ours").to_bytes().expect("it encodes");
    let mut untold: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    for file in untold["spec"]["plan"]["files"].as_array_mut().expect("files") {
        file["num_records"] = serde_json::Value::Null;
    }
    let untold = serde_json::to_vec(&untold).expect("JSON");
    let scan = DeltaScanExec::from_bytes(&untold, table.data_store(), state.config_options()).expect("it decodes");
    assert_eq!(rows(&collect(Arc::new(scan), context.task_ctx()).await.expect("it runs")), undeleted());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_vector_that_does_not_fit_its_file_is_an_error() {
    let table = table_with_vectors().await;
    let context = session(&table).await;
    let provider = FloeTableProvider::at(table.snapshot().await.expect("it reads")).expect("it opens");
    let state = context.state();
    let plan = provider.scan(&state, None, &[], None).await.expect("it plans");
    let bytes = plan.downcast_ref::<DeltaScanExec>().expect("a scan of ours").to_bytes().expect("it encodes");
    // 500 rows in a file of which row 990 is deleted; and 1001, which the vector allows and the file does not hold.
    for records in [500, 1001] {
        let mut wrong: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        wrong["spec"]["plan"]["files"][1]["num_records"] = records.into();
        let wrong = serde_json::to_vec(&wrong).expect("JSON");
        let scan = DeltaScanExec::from_bytes(&wrong, table.data_store(), state.config_options()).expect("it decodes");
        collect(Arc::new(scan), context.task_ctx()).await.expect_err("rows would be lost or come back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_added_later_are_null_in_older_files() {
    use floe_table_format::{DataType, PrimitiveType, StructField};
    let table = table_of(vec![numbers(0, 2)]).await;
    let more = StructField::new("more", DataType::Primitive(PrimitiveType::Double), true);
    table.add_columns(vec![more]).await.expect("it adds");
    let batch = Batch::new().long("id", [2]).text("name", ["new"]).double("more", [0.5]).build();
    table.append(vec![batch]).await.expect("rows of its schema");
    let context = session(&table).await;
    assert_eq!(query(&context, "SELECT * FROM t").await, ["0|name 0|NULL", "1|name 1|NULL", "2|new|0.5"]);
    assert_eq!(query(&context, "SELECT id FROM t WHERE more IS NULL").await, ["0", "1"]);
    assert_eq!(query(&context, "SELECT id FROM t WHERE more > 0").await, ["2"]);
    let (state, target) = (context.state(), TableReference::bare("t"));
    let report = dml::delete(&state, &table, &target, Some(col("more").is_null())).await.expect("it deletes");
    assert_eq!(report.rows_deleted, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_keeps_seeing_the_columns_it_began_with() {
    use floe_table_format::{DataType, PrimitiveType, StructField};
    let table = table_of(vec![numbers(0, 2)]).await;
    let context = session(&table).await;
    let more = StructField::new("more", DataType::Primitive(PrimitiveType::Double), true);
    table.add_columns(vec![more]).await.expect("it adds");
    assert_eq!(query(&context, "SELECT * FROM t").await, ["0|name 0", "1|name 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mapped_columns_are_read_and_changed_under_their_names() {
    let batch = Batch::new().long("id", [1, 2, 3]).text("part", ["a", "b", "a"]).text("name", ["x", "y", "z"]).build();
    let mut schema = StructType::from_arrow(&batch.schema()).expect("a schema Delta can hold");
    for (id, field) in (1i64..).zip(&mut schema.fields) {
        field.metadata.insert("delta.columnMapping.id".into(), id.into());
        field.metadata.insert("delta.columnMapping.physicalName".into(), format!("col-{id}").into());
    }
    let wanted =
        CreateTable::new(schema).with_partition_columns(["part"]).with_property("delta.columnMapping.mode", "name");
    let table = create(wanted).await;
    table.append(vec![batch.clone()]).await.expect("rows of its schema");
    let physical = table.snapshot().await.expect("it reads").schema().fields[0].physical_name().to_owned();
    assert_ne!(physical, "id", "the table is mapped");
    let context = session(&table).await;
    assert_eq!(query(&context, "SELECT * FROM t").await, rows(&[batch]));
    assert_eq!(query(&context, "SELECT name FROM t WHERE id > 1 AND part = 'a'").await, ["z"]);
    let (state, target) = (context.state(), TableReference::bare("t"));
    let report = dml::delete(&state, &table, &target, Some(col("id").eq(lit(2i64)))).await.expect("it deletes");
    assert_eq!(report.rows_deleted, 1);
    assert_eq!(query(&context, "SELECT id, part FROM t").await, ["1|a", "3|a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_counts_what_it_does() {
    let table = table_with_vectors().await;
    let context = session(&table).await;
    let plan = context.sql("SELECT id FROM t").await.expect("it plans").create_physical_plan().await.expect("it plans");
    let _ = collect(plan.clone(), context.task_ctx()).await.expect("it runs");
    let mut leaf = plan;
    while let Some(child) = leaf.children().first().map(|child| Arc::clone(child)) {
        leaf = child;
    }
    assert_eq!(leaf.metrics().and_then(|metrics| metrics.output_rows()), Some(2700));
}

/// All partitions take files from one queue. Two that start at the same moment must not make a queue each.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn partitions_that_start_together_give_every_row_once() {
    let table = table_of((0..4).map(|file| numbers(file * 10, file * 10 + 10)).collect()).await;
    let context = session_with(&table, SessionConfig::new().with_target_partitions(2)).await;
    let plan = context.sql("SELECT id FROM t").await.expect("it plans").create_physical_plan().await.expect("it plans");
    for round in 0..500 {
        let plan = plan.clone().reset_state().expect("a plan runs again");
        let partitions = plan.properties().output_partitioning().partition_count();
        assert!(partitions > 1, "one partition proves nothing");
        let waiting = Arc::new(AtomicUsize::new(partitions));
        let (counts, counted) = futures::channel::mpsc::unbounded();
        for partition in 0..partitions {
            let (plan, context, waiting, counts) = (plan.clone(), context.task_ctx(), waiting.clone(), counts.clone());
            table.env().spawn(async move {
                // Spinning, so that both are let go within nanoseconds of each other.
                waiting.fetch_sub(1, Ordering::SeqCst);
                while waiting.load(Ordering::SeqCst) > 0 {
                    std::hint::spin_loop();
                }
                let stream = plan.execute(partition, context).expect("it starts");
                let batches: Vec<RecordBatch> = stream.try_collect().await.expect("it reads");
                let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
                counts.unbounded_send(rows).expect("the test is waiting");
            });
        }
        drop(counts);
        let counts: Vec<usize> = counted.collect().await;
        assert_eq!((counts.len(), counts.iter().sum::<usize>()), (partitions, 40), "round {round}: {counts:?}");
    }
}
