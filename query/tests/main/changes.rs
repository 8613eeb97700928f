//! DELETE, UPDATE, MERGE and INSERT by example.

use datafusion::catalog::Session;
use datafusion::common::{DFSchema, TableReference};
use datafusion::logical_expr::dml::{MergeIntoAction, MergeIntoClause, MergeIntoClauseKind};
use datafusion::logical_expr::{Expr, LogicalPlan, col, lit};
use datafusion::prelude::SessionContext;
use floe_query::dml::{self, DmlReport, InsertMode};
use floe_table::{CreateTable, Table};
use floe_table_format::Version;
use floe_testkit::Batch;

use crate::support::{create, query, session, table_of};

fn target() -> TableReference {
    TableReference::bare("t")
}

async fn small() -> Table {
    let one = Batch::new().long("id", [1, 2, 3]).text("name", ["a", "b", "c"]).build();
    let two = Batch::new().long("id", [4, 5]).text("name", [Some("d"), None]).build();
    table_of(vec![one, two]).await
}

async fn plan(context: &SessionContext, sql: &str) -> LogicalPlan {
    context.sql(sql).await.expect(sql).into_unoptimized_plan()
}

/// An expression over `t` and `s`, which have the same columns.
fn expr(context: &SessionContext, table: &arrow::datatypes::Schema, sql: &str) -> Expr {
    let of = |name: &str| DFSchema::try_from_qualified_schema(name, table).expect("unique names");
    let schema = of("t").join(&of("s")).expect("unique names");
    context.state().create_logical_expr(sql, &schema).expect(sql)
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_takes_away_the_rows_that_match_and_null_does_not() {
    let table = small().await;
    let context = session(&table).await;
    let report =
        dml::delete(&context.state(), &table, &target(), Some(col("name").gt(lit("a")))).await.expect("it deletes");
    assert_eq!(report.rows_deleted, 3);
    assert_eq!(query(&context, "SELECT id FROM t").await, ["1", "5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_of_nothing_commits_nothing() {
    let table = small().await;
    let context = session(&table).await;
    let before = table.snapshot().await.expect("it reads").version();
    for predicate in [col("id").gt(lit(100i64)), col("id").eq(lit(2i64)).and(col("name").eq(lit("c")))] {
        let report = dml::delete(&context.state(), &table, &target(), Some(predicate)).await.expect("it runs");
        assert_eq!(report, DmlReport::default());
    }
    assert_eq!(table.snapshot().await.expect("it reads").version(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_sees_subqueries() {
    let table = small().await;
    let context = session(&table).await;
    let average = plan(&context, "SELECT avg(id) FROM t").await;
    let predicate = col("id").gt(datafusion::logical_expr::scalar_subquery(average.into()));
    let report = dml::delete(&context.state(), &table, &target(), Some(predicate)).await.expect("it deletes");
    assert_eq!(report.rows_deleted, 2);
    assert_eq!(query(&context, "SELECT id FROM t").await, ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_everything_leaves_an_empty_table() {
    let table = small().await;
    let context = session(&table).await;
    let report = dml::delete(&context.state(), &table, &target(), None).await.expect("it deletes");
    assert_eq!((report.rows_deleted, report.files_added, report.files_removed), (5, 0, 2));
    assert_eq!(query(&context, "SELECT id FROM t").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_all_rows_of_a_file_removes_the_file() {
    let table = small().await;
    let context = session(&table).await;
    let report =
        dml::delete(&context.state(), &table, &target(), Some(col("id").gt_eq(lit(3i64)))).await.expect("it deletes");
    assert_eq!((report.rows_deleted, report.files_added, report.files_removed), (3, 0, 2));
    assert_eq!(query(&context, "SELECT id FROM t").await, ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_partition_reads_no_file() {
    let rows = Batch::new().long("id", [1, 2, 3]).text("part", ["a", "b", "a"]).build();
    let table =
        create(CreateTable::from_arrow(&rows.schema()).expect("a schema").with_partition_columns(["part"])).await;
    table.append(vec![rows]).await.expect("rows of its schema");
    // If a file were read, this would fail: there is none.
    let snapshot = table.snapshot().await.expect("it reads");
    let paths = snapshot.scan().plan().expect("it plans").files.into_iter().map(|f| f.path).collect();
    table.data_store().delete_many(paths).await;
    let context = session(&table).await;
    let report =
        dml::delete(&context.state(), &table, &target(), Some(col("part").eq(lit("a")))).await.expect("it deletes");
    assert_eq!((report.rows_deleted, report.files_removed), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn update_sees_the_row_as_it_was() {
    let table = small().await;
    let context = session(&table).await;
    let swap = vec![
        ("id".to_string(), col("id") * lit(10i64)),
        ("name".to_string(), datafusion::functions::expr_fn::concat(vec![col("name"), lit("!")])),
    ];
    let report = dml::update(&context.state(), &table, &target(), swap, Some(col("id").lt_eq(lit(2i64))))
        .await
        .expect("it updates");
    assert_eq!(report.rows_updated, 2);
    assert_eq!(query(&context, "SELECT * FROM t").await, ["10|a!", "20|b!", "3|c", "4|d", "5|NULL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_does_not_fit_its_column_commits_nothing() {
    let rows = Batch::new().integer("n", [1, 2]).build();
    let table = table_of(vec![rows]).await;
    let context = session(&table).await;
    let before = table.snapshot().await.expect("it reads").version();
    let assignments = vec![("n".to_string(), lit(i64::from(i32::MAX) + 1))];
    dml::update(&context.state(), &table, &target(), assignments, None).await.expect_err("it does not fit");
    let unknown = vec![("m".to_string(), lit(1i64))];
    let error = dml::update(&context.state(), &table, &target(), unknown, None).await.expect_err("no such column");
    assert!(error.to_string().contains("unknown column m"), "{error}");
    assert_eq!(table.snapshot().await.expect("it reads").version(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_moves_rows_between_partitions() {
    let rows = Batch::new().long("id", [1, 2, 3]).text("part", ["a", "b", "a"]).build();
    let table =
        create(CreateTable::from_arrow(&rows.schema()).expect("a schema").with_partition_columns(["part"])).await;
    table.append(vec![rows]).await.expect("rows of its schema");
    let context = session(&table).await;
    let move_to_b = vec![("part".to_string(), lit("b"))];
    let report = dml::update(&context.state(), &table, &target(), move_to_b, Some(col("id").eq(lit(1i64))))
        .await
        .expect("it updates");
    assert_eq!(report.rows_updated, 1);
    assert_eq!(query(&context, "SELECT * FROM t WHERE part = 'b'").await, ["1|b", "2|b"]);
}

struct Upsert {
    context: SessionContext,
    schema: arrow::datatypes::SchemaRef,
    table: Table,
}

impl Upsert {
    async fn new() -> Upsert {
        let table = small().await;
        let context = session(&table).await;
        let schema = table.snapshot().await.and_then(|s| s.arrow_schema()).expect("it reads");
        Upsert { context, schema, table }
    }

    fn clause(&self, kind: MergeIntoClauseKind, predicate: Option<&str>, action: MergeIntoAction) -> MergeIntoClause {
        MergeIntoClause { kind, predicate: predicate.map(|sql| expr(&self.context, &self.schema, sql)), action }
    }

    fn update(&self, column: &str, value: &str) -> MergeIntoAction {
        MergeIntoAction::Update(vec![(column.into(), expr(&self.context, &self.schema, value))])
    }

    fn insert(&self, columns: &[&str], values: &[&str]) -> MergeIntoAction {
        MergeIntoAction::Insert {
            columns: columns.iter().map(|c| c.to_string()).collect(),
            values: values.iter().map(|v| expr(&self.context, &self.schema, v)).collect(),
        }
    }

    async fn merge(&self, source: &str, clauses: Vec<MergeIntoClause>) -> floe_query::Result<DmlReport> {
        let source = plan(&self.context, &format!("SELECT * FROM (VALUES {source}) AS s(id, name)")).await;
        let on = expr(&self.context, &self.schema, "t.id = s.id");
        dml::merge(&self.context.state(), &self.table, &target(), source, on, clauses).await
    }

    async fn rows(&self) -> Vec<String> {
        query(&self.context, "SELECT * FROM t").await
    }
}

use MergeIntoClauseKind::{Matched, NotMatched, NotMatchedBySource};

#[tokio::test(flavor = "multi_thread")]
async fn merge_updates_inserts_and_deletes_in_one_commit() {
    let upsert = Upsert::new().await;
    let clauses = vec![
        upsert.clause(Matched, Some("s.name = 'gone'"), MergeIntoAction::Delete),
        upsert.clause(Matched, None, upsert.update("name", "s.name")),
        upsert.clause(NotMatched, None, upsert.insert(&[], &["s.id", "s.name"])),
    ];
    let report = upsert.merge("(1, 'gone'), (2, 'B'), (9, 'i'), (5, 'E')", clauses).await.expect("it merges");
    assert_eq!((report.rows_inserted, report.rows_updated, report.rows_deleted), (1, 2, 1));
    assert_eq!(report.version, Some(Version::new(3).expect("a small number")));
    assert_eq!(upsert.rows().await, ["2|B", "3|c", "4|d", "5|E", "9|i"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_clause_that_fits_wins_and_none_leaves_the_row() {
    let upsert = Upsert::new().await;
    let clauses = vec![
        upsert.clause(Matched, Some("t.name IS NULL"), upsert.update("name", "'was null'")),
        upsert.clause(Matched, Some("t.id > 3"), MergeIntoAction::Delete),
        upsert.clause(NotMatched, Some("s.id < 8"), upsert.insert(&["id"], &["s.id"])),
    ];
    let report = upsert.merge("(1, 'x'), (4, 'x'), (5, 'x'), (7, 'x'), (8, 'x')", clauses).await.expect("it merges");
    assert_eq!((report.rows_inserted, report.rows_updated, report.rows_deleted), (1, 1, 1));
    assert_eq!(upsert.rows().await, ["1|a", "2|b", "3|c", "5|was null", "7|NULL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_only_the_table_has_can_be_changed_too() {
    let upsert = Upsert::new().await;
    let clauses = vec![
        upsert.clause(Matched, None, upsert.update("name", "s.name")),
        upsert.clause(NotMatched, None, upsert.insert(&[], &["s.id", "s.name"])),
        upsert.clause(NotMatchedBySource, Some("t.id >= 4"), MergeIntoAction::Delete),
        upsert.clause(NotMatchedBySource, None, upsert.update("name", "'old'")),
    ];
    let report = upsert.merge("(1, 'x'), (9, 'y')", clauses).await.expect("it merges");
    assert_eq!((report.rows_inserted, report.rows_updated, report.rows_deleted), (1, 3, 2));
    assert_eq!(upsert.rows().await, ["1|x", "2|old", "3|old", "9|y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_two_source_rows_would_change_is_an_error() {
    let upsert = Upsert::new().await;
    let before = upsert.rows().await;
    let update = vec![upsert.clause(Matched, None, upsert.update("name", "s.name"))];
    let error = upsert.merge("(1, 'x'), (1, 'y')", update).await.expect_err("which one?");
    assert!(error.to_string().contains("several rows of the source"), "{error}");
    assert_eq!(upsert.rows().await, before);

    // A condition that leaves one of them makes it certain again.
    let update = vec![upsert.clause(Matched, Some("s.name = 'y'"), upsert.update("name", "s.name"))];
    let _ = upsert.merge("(1, 'x'), (1, 'y')", update).await.expect("it is certain");
    // And deleting twice is deleting.
    let delete = vec![upsert.clause(Matched, None, MergeIntoAction::Delete)];
    let report = upsert.merge("(2, 'x'), (2, 'y')", delete).await.expect("it is certain");
    assert_eq!(report.rows_deleted, 1);
    assert_eq!(upsert.rows().await, ["1|y", "3|c", "4|d", "5|NULL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_changes_nothing_commits_nothing() {
    let upsert = Upsert::new().await;
    let clauses = vec![
        upsert.clause(Matched, Some("false"), MergeIntoAction::Delete),
        upsert.clause(NotMatched, Some("s.id > 100"), upsert.insert(&[], &["s.id", "s.name"])),
    ];
    let report = upsert.merge("(1, 'x'), (9, 'y')", clauses).await.expect("it merges");
    assert_eq!(report, DmlReport::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn source_keys_that_are_null_match_nothing() {
    let upsert = Upsert::new().await;
    let clauses = vec![
        upsert.clause(Matched, None, upsert.update("name", "s.name")),
        upsert.clause(NotMatched, None, upsert.insert(&[], &["s.id", "s.name"])),
    ];
    let report = upsert.merge("(CAST(NULL AS BIGINT), 'x'), (1, 'y')", clauses).await.expect("it merges");
    assert_eq!((report.rows_inserted, report.rows_updated), (1, 1));
    assert_eq!(upsert.rows().await, ["1|y", "2|b", "3|c", "4|d", "5|NULL", "NULL|x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn insert_appends_and_overwrites() {
    let table = small().await;
    let context = session(&table).await;
    let more = plan(&context, "SELECT CAST(6 AS BIGINT) AS id, 'f' AS name").await;
    let report = dml::insert(&context.state(), &table, &more, InsertMode::Append).await.expect("it inserts");
    assert_eq!(report.rows_inserted, 1);
    let kept = plan(&context, "SELECT name, id FROM t WHERE id > 4").await;
    let report = dml::insert(&context.state(), &table, &kept, InsertMode::Overwrite).await.expect("it inserts");
    assert_eq!((report.rows_inserted, report.rows_deleted), (2, 6));
    assert_eq!(query(&context, "SELECT * FROM t").await, ["5|NULL", "6|f"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_rows_that_another_writer_changed_conflicts() {
    let table = small().await;
    let context = session(&table).await;
    let state = context.state();
    let state: &dyn Session = &state;
    // The transaction reads before the other writer commits, and commits after it.
    let snapshot = table.snapshot().await.expect("it reads");
    let mut late = table.begin_at(&snapshot, floe_table_format::Operation::new("DELETE")).expect("it begins");
    let path = snapshot.scan().plan().expect("it plans").files[0].log_path.clone();
    late.delete_rows(&path, [0u64].into_iter().collect());
    let _ = dml::delete(state, &table, &target(), Some(col("id").eq(lit(1i64)))).await.expect("it deletes");
    let outcome = late.commit().await.expect("the store answers").committed();
    // Either file may hold the row; what must not happen is that it is counted as deleted twice.
    if let Ok(report) = outcome {
        assert_eq!(report.rows_removed, 1);
        assert_eq!(query(&context, "SELECT count(*) FROM t").await, ["3"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_an_insert_leaves_out_get_their_default() {
    use floe_table_format::{DataType, PrimitiveType, StructField, StructType};
    let id = StructField::new("id", DataType::Primitive(PrimitiveType::Long), true);
    let mut name = StructField::new("name", DataType::Primitive(PrimitiveType::String), true);
    name.metadata.insert("CURRENT_DEFAULT".into(), "upper('none')".into());
    let schema = StructType::new(vec![id, name]).expect("unique names");
    let table = create(CreateTable::new(schema).with_property("delta.feature.allowColumnDefaults", "supported")).await;
    let context = session(&table).await;
    let _ = query(&context, "INSERT INTO t (id) VALUES (1)").await;
    let merge =
        "MERGE INTO t USING (VALUES (2)) AS s(id) ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)";
    let _ = query(&context, merge).await;
    assert_eq!(query(&context, "SELECT * FROM t").await, ["1|NONE", "2|NONE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn constraints_name_the_row_they_refuse_and_nothing_is_committed() {
    let table = small().await;
    table.add_constraint("short", "name IS NULL OR length(name) < 3").await.expect("all rows satisfy it");
    let context = session(&table).await;
    let before = query(&context, "SELECT * FROM t").await;
    for sql in ["INSERT INTO t VALUES (7, 'ok'), (8, 'too long')", "UPDATE t SET name = 'too long' WHERE id = 2"] {
        let frame = context.sql(sql).await.expect("it plans");
        let error = frame.collect().await.expect_err("it is refused").to_string();
        assert!(error.contains("short") && error.contains("too long"), "{error}");
    }
    assert_eq!(query(&context, "SELECT * FROM t").await, before);
}

/// A merge touches few rows of few files: files that no key of the source can be in are not opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_reads_only_files_that_may_hold_its_keys() {
    let file = |from: i64| {
        let names: Vec<String> = (from..from + 100).map(|n| n.to_string()).collect();
        Batch::new().long("id", from..from + 100).text("name", names.iter().map(|n| Some(n.as_str()))).build()
    };
    let table = table_of(vec![file(0), file(100), file(200)]).await;
    let snapshot = table.snapshot().await.expect("it reads");
    let gone = snapshot.scan().plan().expect("it plans").files;
    let holds_100 = |stats: Option<std::borrow::Cow<'_, str>>| stats.is_some_and(|s| s.contains("\"id\":100"));
    let state = snapshot.state();
    let kept = state.files.iter().find(|f| holds_100(f.stats_json())).expect("the file of 100").path().to_owned();
    let gone = gone.into_iter().filter(|f| f.log_path != kept);
    table.data_store().delete_many(gone.map(|f| f.path).collect()).await;
    let context = session(&table).await;
    let merge = "MERGE INTO t USING (VALUES (150, 'x'), (160, 'y')) AS s(id, name) ON t.id = s.id \
                 WHEN MATCHED THEN UPDATE SET name = s.name";
    assert_eq!(query(&context, merge).await, ["2"]);
}

/// Row-level concurrency: writers that touch different rows of one file all win.
#[tokio::test(flavor = "multi_thread")]
async fn updates_of_different_rows_of_a_file_all_land() {
    let ids: Vec<i64> = (0..8).collect();
    let rows = Batch::new().long("id", ids.iter().copied()).long("n", [0; 8]).build();
    let table = table_of(vec![rows]).await;
    let mut writers = tokio::task::JoinSet::new();
    for id in ids {
        let table = table.clone();
        writers.spawn(async move {
            let context = session(&table).await;
            let add = vec![("n".to_string(), col("n") + lit(1i64))];
            dml::update(&context.state(), &table, &target(), add, Some(col("id").eq(lit(id)))).await
        });
    }
    for report in writers.join_all().await {
        assert_eq!(report.expect("no other writer touches its row").rows_updated, 1);
    }
    let context = session(&table).await;
    assert_eq!(query(&context, "SELECT count(*), sum(n) FROM t").await, ["8|8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_of_one_row_follow_each_other_or_conflict() {
    let table = table_of(vec![Batch::new().long("id", [1, 2]).long("n", [0, 0]).build()]).await;
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let table = table.clone();
        writers.spawn(async move {
            let context = session(&table).await;
            let add = vec![("n".to_string(), col("n") + lit(1i64))];
            dml::update(&context.state(), &table, &target(), add, Some(col("id").eq(lit(1i64)))).await
        });
    }
    let mut landed = 0;
    for report in writers.join_all().await {
        match report {
            Ok(report) => landed += report.rows_updated,
            Err(error) => assert!(error.to_string().contains("conflict"), "{error}"),
        }
    }
    let context = session(&table).await;
    assert!(landed >= 1);
    assert_eq!(query(&context, "SELECT n FROM t WHERE id = 1").await, [landed.to_string()]);
    assert_eq!(query(&context, "SELECT count(*) FROM t").await, ["2"]);
}

/// A subquery over the table itself is a read of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_subquery_read_of_the_table_must_still_hold_at_commit() {
    let table = small().await;
    let context = session(&table).await;
    let slow = plan(&context, "SELECT max(id) FROM t").await;
    let is_largest = col("id").eq(datafusion::logical_expr::scalar_subquery(slow.into()));
    let (one, other) = (context.state(), session(&table).await.state());
    let name = target();
    let (first, second) = tokio::join!(
        dml::delete(&one, &table, &name, Some(is_largest.clone())),
        dml::delete(&other, &table, &name, Some(is_largest)),
    );
    let landed = [first, second].into_iter().filter_map(Result::ok).map(|r| r.rows_deleted).sum::<u64>();
    let left = query(&context, "SELECT id FROM t").await;
    // One after the other, or one alone; never both by the same largest row.
    let expected: Vec<String> = (1..=5 - landed).map(|id| id.to_string()).collect();
    assert_eq!(left, expected);
}
