use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType as ArrowType;
use floe_table::{AppendOptions, CreateTable, IfExists, LoadedFile, SaveMode, SchemaMode, Table, TableError};
use floe_table_format::{DataType, PrimitiveType, Rule, StructField, StructType, TimestampMs};
use floe_testkit::{Batch, rows};
use futures::{StreamExt, TryStreamExt};

use crate::world::{World, names, range, rows_at, rows_now};

#[tokio::test]
async fn appended_rows_are_read_back() {
    let world = World::with_names().await;
    world.table.append(vec![names(&[(1, "a"), (2, "b")])]).await.expect("appended");
    let report = world.table.append(vec![names(&[(3, "c")])]).await.expect("appended");
    assert_eq!((report.version.get(), report.rows_added, report.files_added), (2, 1, 1));
    assert_eq!(rows_now(&world).await, ["1|a", "2|b", "3|c"]);
    assert_eq!(rows_at(&world.table, 1).await, ["1|a", "2|b"]);
}

#[tokio::test]
async fn a_file_that_was_loaded_since_it_was_chosen_is_a_conflict() {
    let world = World::with_names().await;
    let chosen = world.table.snapshot().await.expect("loaded");
    let file = |uri: &str| [LoadedFile { uri: uri.into(), modified: TimestampMs(7) }];
    let load = |files: [LoadedFile; 1]| {
        let rows = futures::stream::iter([Ok(range(0..3))]).boxed();
        let (table, chosen) = (world.table.clone(), chosen.clone());
        async move { table.load_files(&chosen, rows, &files, SchemaMode::Fixed).await }
    };
    load(file("s3://b/a")).await.expect("nobody has loaded it");
    let again = load(file("s3://b/a")).await;
    assert!(
        matches!(&again, Err(TableError::Conflict { why, .. }) if why.rule == Rule::ConcurrentTransaction),
        "{again:?}"
    );
    load(file("s3://b/b")).await.expect("another file");
    let now = world.table.snapshot().await.expect("loaded");
    assert_eq!(rows_now(&world).await.len(), 6);
    assert_eq!((now.loaded("s3://b/a"), now.loaded("s3://b/c")), (Some(TimestampMs(7)), None));
}

#[tokio::test]
async fn columns_are_matched_by_name_and_missing_ones_are_null() {
    let world = World::with_names().await;
    let swapped = Batch::new().text("NAME", ["x"]).integer("id", [7]).build();
    world.table.append(vec![swapped]).await.expect("appended");
    world.table.append(vec![Batch::new().long("id", [8]).build()]).await.expect("appended");
    assert_eq!(rows_now(&world).await, ["7|x", "8|NULL"]);
}

#[tokio::test]
async fn an_unknown_column_is_refused_with_the_nearest_name() {
    let world = World::with_names().await;
    let wrong = Batch::new().long("id", [1]).text("nmae", ["x"]).build();
    let error = world.table.append(vec![wrong]).await.expect_err("refused").to_string();
    assert!(error.contains("nmae") && error.contains("did you mean name?"), "{error}");
    assert_eq!(world.other_handle().await.known_version().expect("opened").get(), 0);
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_refused_and_not_made_null() {
    let small = Batch::new().integer("n", [1]).build();
    let world = World::new(CreateTable::from_arrow(&small.schema()).expect("schema")).await;
    let large = Batch::new().long("n", [i64::MAX]).build();
    let error = world.table.append(vec![large]).await.expect_err("refused");
    assert!(matches!(error, TableError::SchemaMismatch { .. }), "{error}");
    assert!(rows_now(&world).await.is_empty());
}

#[tokio::test]
async fn not_null_names_the_first_offending_row_and_commits_nothing() {
    let schema = StructType {
        fields: vec![
            StructField::new("id", DataType::Primitive(PrimitiveType::Integer), false),
            StructField::new("t", DataType::Primitive(PrimitiveType::String), true),
        ],
    };
    let world = World::new(CreateTable::new(schema)).await;
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "the culprit", "c"]));
    let batch = RecordBatch::try_from_iter([("id", ids), ("t", texts)]).expect("two columns");
    let error = world.table.append(vec![batch]).await.expect_err("refused").to_string();
    assert!(error.contains("NOT NULL id") && error.contains("the culprit"), "{error}");
    assert_eq!(world.table.snapshot().await.expect("loaded").version().get(), 0);
}

#[tokio::test]
async fn a_failing_input_stream_commits_nothing_and_leaves_no_files() {
    let world = World::with_names().await;
    let input = futures::stream::iter([Ok(range(0..10)), Err(TableError::Input("the source broke".into()))]).boxed();
    let error = world.table.append_stream(input).await.expect_err("refused");
    assert!(error.to_string().contains("the source broke"));
    let files: Vec<_> = world.table.data_store().list_all().try_collect().await.expect("listed");
    assert_eq!(files.len(), 0, "{files:?}");
}

#[tokio::test]
async fn an_overwrite_replaces_every_row() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    let options = AppendOptions { mode: SaveMode::Overwrite, ..AppendOptions::default() };
    let rows = futures::stream::iter([Ok(names(&[(1, "new")]))]).boxed();
    world.table.append_with(rows, options).await.expect("overwritten");
    assert_eq!(rows_now(&world).await, ["1|new"]);
    assert_eq!(rows_at(&world.table, 1).await.len(), 10);
}

#[tokio::test]
async fn a_batch_sent_again_lands_once() {
    let world = World::with_names().await;
    let send = async |batch: i64, table: &Table| {
        let options = AppendOptions { app_progress: Some(("loader".into(), batch)), ..AppendOptions::default() };
        let rows = futures::stream::iter([Ok(range(batch * 10..batch * 10 + 10))]).boxed();
        table.append_with(rows, options).await.expect("appended").is_some()
    };
    assert!(send(0, &world.table).await);
    assert!(!send(0, &world.other_handle().await).await, "another process sends it again");
    assert!(send(1, &world.table).await);
    assert_eq!(rows_now(&world).await.len(), 20);
}

#[tokio::test]
async fn rows_are_split_by_partition_and_special_values_survive() {
    let special: Vec<Option<&str>> =
        vec![Some("a/b"), Some("50%"), Some("x=y"), Some("ü ö"), Some("a b"), None, Some("{}"), Some("a:b\"'#?")];
    let batch = Batch::new().long("id", 0..special.len() as i64).text("p", special.clone()).build();
    let create = CreateTable::from_arrow(&batch.schema()).expect("schema").with_partition_columns(["p"]);
    let world = World::new(create).await;
    world.table.append(vec![batch.clone(), batch.clone()]).await.expect("appended");
    assert_eq!(rows_now(&world).await, rows(&[batch.clone(), batch]));
    let snapshot = world.table.snapshot().await.expect("loaded");
    assert_eq!(snapshot.state().files.len(), special.len());
}

#[tokio::test]
async fn creating_twice_fails_keeps_or_replaces() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..3)]).await.expect("appended");
    let create = |if_exists| {
        let create = CreateTable::from_arrow(&Batch::new().boolean("flag", [true]).schema()).expect("schema");
        Table::builder("memory:///t")
            .with_location(world.table.location().clone())
            .create(create.with_if_exists(if_exists))
    };
    let error = create(IfExists::Fail).await.expect_err("refused");
    assert!(matches!(error, TableError::AlreadyExists { .. }), "{error}");
    create(IfExists::Keep).await.expect("kept");
    assert_eq!(rows_now(&world).await.len(), 3);
    create(IfExists::Replace).await.expect("replaced");
    assert!(rows_now(&world).await.is_empty());
    assert_eq!(rows_at(&world.table, 1).await.len(), 3, "the history stays");
}

#[tokio::test]
async fn a_table_replaced_gives_no_column_id_twice() {
    let world = World::with_names().await;
    let create = || {
        let create = CreateTable::from_arrow(&names(&[]).schema()).expect("schema");
        let create = create.with_property("delta.columnMapping.mode", "id").with_if_exists(IfExists::Replace);
        Table::builder("memory:///t").with_location(world.table.location().clone()).create(create)
    };
    let ids = async |table: &Table| -> Vec<Option<i64>> {
        table.snapshot().await.expect("loaded").schema().fields.iter().map(|f| f.mapping_id()).collect()
    };
    assert_eq!(ids(&create().await.expect("replaced")).await, [Some(1), Some(2)]);
    assert_eq!(ids(&create().await.expect("replaced")).await, [Some(3), Some(4)]);
    world.other_handle().await.append(vec![range(0..2)]).await.expect("appended");
    assert_eq!(rows_now(&world).await, ["0|n0", "1|n1"]);
}

#[tokio::test]
async fn fields_of_structs_are_matched_by_name() {
    let field = |name: &str| StructField::new(name, PrimitiveType::Integer, true);
    let schema = |fields: &[&str]| {
        let inner = DataType::struct_of(fields.iter().map(|name| field(name)).collect());
        let list = DataType::array_of(inner.clone(), true);
        StructType::new(vec![StructField::new("s", inner, true), StructField::new("l", list, true)]).expect("valid")
    };
    let world = World::new(CreateTable::new(schema(&["a", "b", "c"]))).await;
    let batch = |fields: &[&str]| {
        let arrow = schema(fields).to_arrow().expect("arrow");
        let values = |start: i32| -> ArrayRef {
            let ArrowType::Struct(inner) = arrow.field(0).data_type() else { panic!("a struct") };
            let columns = (0..fields.len() as i32).map(|at| Arc::new(Int32Array::from(vec![start + at])) as ArrayRef);
            Arc::new(StructArray::new(inner.clone(), columns.collect(), None))
        };
        let ArrowType::List(element) = arrow.field(1).data_type() else { panic!("a list") };
        let list = ListArray::new(element.clone(), OffsetBuffer::from_lengths([1]), values(10), None);
        RecordBatch::try_new(arrow.clone(), vec![values(1), Arc::new(list)]).expect("columns fit")
    };
    world.table.append(vec![batch(&["b", "A"])]).await.expect("appended");
    assert_eq!(rows_now(&world).await, ["{a: 2, b: 1, c: NULL}|[{a: 11, b: 10, c: NULL}]"]);
    let error = world.table.append(vec![batch(&["a", "d"])]).await.expect_err("refused").to_string();
    assert!(error.contains("column s.d that the table lacks"), "{error}");
}
