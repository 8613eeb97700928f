use std::sync::Arc;

use arrow::array::{Array, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use floe_table::{CreateTable, Result, RowCheck, RowCheckFactory, RowValue, Table, TableError, Violation};
use floe_table_format::feature::{Feature, has_feature};
use floe_table_format::{DataType, FormatError, PrimitiveType, StructField};
use floe_testkit::Batch;

use crate::world::{World, names, range, rows_now};

/// Knows one expression: `id > 0`.
#[derive(Debug)]
struct Positive;

impl RowCheckFactory for Positive {
    fn compile(&self, _name: &str, sql: &str, _schema: &SchemaRef) -> Result<Arc<dyn RowCheck>> {
        assert_eq!(sql, "id > 0");
        Ok(Arc::new(Positive))
    }

    fn compile_value(&self, name: &str, _sql: &str, _schema: &SchemaRef) -> Result<Arc<dyn RowValue>> {
        panic!("there is no generated column {name}")
    }
}

impl RowCheck for Positive {
    fn first_violation(&self, batch: &RecordBatch) -> Result<Option<Violation>> {
        let ids = batch.column_by_name("id").and_then(|c| c.as_any().downcast_ref::<Int64Array>().cloned());
        let good: BooleanArray = ids.expect("an id").iter().map(|id| id.map(|id| id > 0)).collect();
        Ok((0..good.len()).find(|row| good.is_null(*row) || !good.value(*row)).map(|row| Violation { row }))
    }
}

#[tokio::test]
async fn added_columns_are_null_in_older_rows() {
    let world = World::with_names().await;
    world.table.append(vec![names(&[(1, "a")])]).await.expect("appended");
    let field = StructField::new("weight", DataType::Primitive(PrimitiveType::Double), true);
    world.table.add_columns(vec![field.clone()]).await.expect("added");
    world.table.append(vec![Batch::new().long("id", [2]).double("weight", [1.5]).build()]).await.expect("appended");
    assert_eq!(rows_now(&world).await, ["1|a|NULL", "2|NULL|1.5"]);
    let error = world.table.add_columns(vec![field]).await.expect_err("refused").to_string();
    assert!(error.contains("weight already"), "{error}");
}

#[tokio::test]
async fn properties_are_set_and_unset() {
    let world = World::with_names().await;
    world.table.set_properties([("owner".to_owned(), "data".to_owned())].into()).await.expect("set");
    let get =
        async || world.table.snapshot().await.expect("loaded").state().metadata.configuration.get("owner").cloned();
    assert_eq!(get().await.as_deref(), Some("data"));
    world.table.unset_properties(vec!["owner".into()], false).await.expect("unset");
    assert_eq!(get().await, None);
    assert!(world.table.unset_properties(vec!["owner".into()], false).await.is_err());
    world.table.unset_properties(vec!["owner".into()], true).await.expect("nothing to do");
    let error = world.table.set_properties([("delta.appendOnyl".to_owned(), "true".to_owned())].into()).await;
    assert!(error.expect_err("refused").to_string().contains("delta.appendOnly"));
}

#[tokio::test]
async fn features_are_switched_on_by_their_properties() {
    let supported = |name: &str| (format!("delta.feature.{name}"), "supported".to_owned());
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    for (feature, property) in [
        ("appendOnly", pair("delta.appendOnly", "true")),
        ("changeDataFeed", pair("delta.enableChangeDataFeed", "true")),
        ("columnMapping", pair("delta.columnMapping.mode", "name")),
        ("deletionVectors", pair("delta.enableDeletionVectors", "true")),
        ("rowTracking", pair("delta.enableRowTracking", "true")),
        ("v2Checkpoint", pair("delta.checkpointPolicy", "v2")),
        ("inCommitTimestamp", pair("delta.enableInCommitTimestamps", "true")),
        ("domainMetadata", supported("domainMetadata")),
        ("vacuumProtocolCheck", supported("vacuumProtocolCheck")),
        ("clustering", supported("clustering")),
    ] {
        let named = Feature::from_name(feature);
        let create = || CreateTable::from_arrow(&range(0..0).schema()).expect("schema");
        let created = World::new(create().with_property(&property.0, &property.1)).await;
        // A change of an existing table, still empty: row tracking needs ids of every file.
        let altered = World::new(create().with_property("delta.enableDeletionVectors", "false")).await;
        altered.table.set_properties([property].into()).await.expect(feature);
        for world in [created, altered] {
            world.table.append(vec![range(0..3)]).await.expect(feature);
            let snapshot = world.other_handle().await.snapshot().await.expect("loaded");
            assert!(has_feature(&snapshot.state().protocol, &named), "{feature}");
            for required in named.requires() {
                assert!(has_feature(&snapshot.state().protocol, required), "{feature} needs {required}");
            }
            if named == Feature::RowTracking {
                let configuration = &snapshot.state().metadata.configuration;
                for key in ["RowId", "RowCommitVersion"] {
                    let key = format!("delta.rowTracking.materialized{key}ColumnName");
                    assert!(configuration.contains_key(&key), "other writers need {key} to move rows");
                }
            }
            assert_eq!(rows_now(&world).await.len(), 3);
            assert!(world.table.check().await.expect("checked").is_sound(), "{feature}");
        }
    }
    for (key, value) in
        [("delta.checkpointPolicy", "v9"), ("delta.appendOnly", "perhaps"), ("delta.enableRowTracking", "1")]
    {
        let world = World::with_names().await;
        let error = world.table.set_properties([pair(key, value)].into()).await.expect_err("refused");
        assert!(error.to_string().contains(key), "{error}");
    }
}

#[tokio::test]
async fn an_append_only_table_refuses_deletes() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..3)]).await.expect("appended");
    world.table.set_properties([("delta.appendOnly".to_owned(), "true".to_owned())].into()).await.expect("set");
    let snapshot = world.table.snapshot().await.expect("loaded");
    let change = crate::world::delete_ids(&world.table, &snapshot, &[1]).await.expect("planned");
    assert!(change.commit().await.is_err());
    world.table.append(vec![range(3..4)]).await.expect("appends still land");
    world.table.append(vec![range(4..5)]).await.expect("appended");
    world.table.optimize(Default::default()).await.expect("compaction removes no row");
    assert_eq!(rows_now(&world).await.len(), 5);
}

#[tokio::test]
async fn a_check_constraint_binds_old_and_new_rows() {
    let world = World::with_names().await;
    let table = Table::builder("memory:///t")
        .with_location(world.table.location().clone())
        .with_row_checks(Arc::new(Positive))
        .open()
        .await
        .expect("opened");
    table.append(vec![range(-1..3)]).await.expect("appended");
    let error = table.add_constraint("positive", "id > 0").await.expect_err("an old row breaks it");
    assert!(matches!(error, TableError::ConstraintViolation { .. }), "{error}");
    let change =
        crate::world::delete_ids(&table, &table.snapshot().await.expect("loaded"), &[-1, 0]).await.expect("planned");
    let _ = change.commit().await.expect("written").committed().expect("no conflict");
    table.add_constraint("positive", "id > 0").await.expect("added");
    let error = table.append(vec![names(&[(5, "fine"), (-7, "bad row")])]).await.expect_err("refused").to_string();
    assert!(error.contains("positive") && error.contains("bad row"), "{error}");
    let blind = world.other_handle().await;
    let error = blind.append(vec![range(8..9)]).await.expect_err("cannot evaluate it, so must not write");
    assert!(matches!(error.format_error(), Some(FormatError::UnsupportedFeature { .. })), "{error}");
    table.drop_constraint("positive", false).await.expect("dropped");
    table.append(vec![range(-5..-4)]).await.expect("appended");
}

#[tokio::test]
async fn partition_columns_must_exist() {
    let create = CreateTable::from_arrow(&names(&[]).schema()).expect("schema").with_partition_columns(["nome"]);
    let error = Table::builder("memory:///no-such-column").create(create).await.expect_err("refused").to_string();
    assert!(error.contains("did you mean name?"), "{error}");
}

fn path(text: &str) -> Vec<String> {
    text.split('.').map(str::to_owned).collect()
}

async fn map_columns(world: &World) {
    let mode = ("delta.columnMapping.mode".to_owned(), "name".to_owned());
    world.table.set_properties([mode].into()).await.expect("mapped");
}

#[tokio::test]
async fn a_mapped_column_keeps_its_values_under_a_new_name_and_loses_them_with_the_column() {
    let world = World::with_names().await;
    world.table.append(vec![names(&[(1, "a")])]).await.expect("appended");
    let error = world.table.rename_column(&path("name"), "label").await.expect_err("not mapped").to_string();
    assert!(error.contains("'delta.columnMapping.mode' = 'name'"), "{error}");
    map_columns(&world).await;
    world.table.rename_column(&path("NAME"), "label").await.expect("renamed");
    world.table.append(vec![Batch::new().long("id", [2]).text("label", ["b"]).build()]).await.expect("appended");
    assert_eq!(rows_now(&world).await, ["1|a", "2|b"]);
    world.table.drop_columns(vec![path("label")], false).await.expect("dropped");
    let field = StructField::new("label", DataType::Primitive(PrimitiveType::String), true);
    world.table.add_columns(vec![field]).await.expect("added");
    assert_eq!(rows_now(&world).await, ["1|NULL", "2|NULL"]);
    world.table.optimize(Default::default()).await.expect("compacted");
    assert_eq!(rows_now(&world).await, ["1|NULL", "2|NULL"]);
}

#[tokio::test]
async fn an_append_that_does_not_know_of_the_mapping_yet_still_lands() {
    let world = World::with_names().await;
    let other = world.other_handle().await;
    let snapshot = other.snapshot().await.expect("loaded");
    let mut late = other.begin_at(&snapshot, floe_table_format::Operation::new("WRITE")).expect("begun");
    late.stage_rows(Box::pin(futures::stream::iter([Ok(names(&[(1, "late")]))]))).await.expect("staged");
    map_columns(&world).await;
    let _ = late.commit().await.expect("written").committed().expect("no conflict");
    assert_eq!(rows_now(&world).await, ["1|late"]);
    // With other names in the table, rows under the old ones are another matter.
    let snapshot = other.snapshot().await.expect("loaded");
    let mut late = other.begin_at(&snapshot, floe_table_format::Operation::new("WRITE")).expect("begun");
    late.stage_rows(Box::pin(futures::stream::iter([Ok(names(&[(2, "late")]))]))).await.expect("staged");
    world.table.rename_column(&path("name"), "label").await.expect("renamed");
    let error = late.commit().await.expect("decided").committed().expect_err("a conflict").to_string();
    assert!(error.contains("the schema"), "{error}");
}

#[tokio::test]
async fn restoring_brings_the_names_of_then_back() {
    let world = World::with_names().await;
    world.table.append(vec![names(&[(1, "a")])]).await.expect("appended");
    map_columns(&world).await;
    world.table.rename_column(&path("name"), "label").await.expect("renamed");
    world.table.append(vec![Batch::new().long("id", [2]).text("label", ["b"]).build()]).await.expect("appended");
    let first = floe_table_format::VersionSpec::Version(floe_table_format::Version::new(1).expect("in range"));
    world.table.restore(first).await.expect("restored");
    world.table.append(vec![names(&[(3, "c")])]).await.expect("appended under the old name");
    assert_eq!(rows_now(&world).await, ["1|a", "3|c"]);
}

#[tokio::test]
async fn widened_columns_read_older_files_and_write_the_wider_type() {
    use floe_table_format::PrimitiveType::{Integer, Long};
    let rows = |ids: std::ops::Range<i32>| {
        let values: arrow::array::ArrayRef = std::sync::Arc::new(arrow::array::Int32Array::from_iter_values(ids));
        arrow::array::RecordBatch::try_from_iter([("n", values)]).expect("one column")
    };
    let create = CreateTable::from_arrow(&rows(0..0).schema()).expect("a Delta schema");
    let world = World::new(create).await;
    world.table.append(vec![rows(0..3)]).await.expect("appended");
    let error = world.table.widen_column(&path("n"), Long).await.expect_err("not switched on");
    assert!(error.to_string().contains("delta.enableTypeWidening"), "{error}");
    let on = [("delta.enableTypeWidening".to_owned(), "true".to_owned())];
    world.table.set_properties(on.into()).await.expect("switched on");
    let error = world.table.widen_column(&path("n"), Integer).await.expect_err("no wider type");
    assert!(error.to_string().contains("does not widen"), "{error}");
    world.table.widen_column(&path("N"), Long).await.expect("widened");
    let wide: arrow::array::ArrayRef = std::sync::Arc::new(arrow::array::Int64Array::from(vec![5_000_000_000]));
    let wide = arrow::array::RecordBatch::try_from_iter([("n", wide)]).expect("one column");
    world.table.append(vec![wide]).await.expect("appended");
    assert_eq!(rows_now(&world).await, ["0", "1", "2", "5000000000"]);
    let snapshot = world.table.snapshot().await.expect("loaded");
    assert!(snapshot.state().protocol.reader_features.iter().flatten().any(|name| name == "typeWidening"));
    assert!(world.table.check_with(Default::default()).await.expect("checked").is_sound());
    let before = snapshot.state().files.len();
    world.table.drop_feature("typeWidening", false).await.expect("dropped");
    assert_eq!(rows_now(&world).await, ["0", "1", "2", "5000000000"]);
    let state = world.table.snapshot().await.expect("loaded").state().clone();
    assert!(!state.metadata.schema_string.contains("typeChanges") && before >= state.files.len());
    assert!(!state.protocol.reader_features.iter().flatten().any(|name| name == "typeWidening"));
}

#[tokio::test]
async fn a_key_of_integers_is_widened_and_its_rows_are_still_found() {
    use floe_table_format::PrimitiveType::{Decimal, Long};
    let rows = |ids: std::ops::Range<i32>, v: &str| {
        let texts = vec![v; ids.len()];
        let ids: arrow::array::ArrayRef = std::sync::Arc::new(arrow::array::Int32Array::from_iter_values(ids));
        let texts: arrow::array::ArrayRef = std::sync::Arc::new(arrow::array::StringArray::from(texts));
        arrow::array::RecordBatch::try_from_iter([("id", ids), ("v", texts)]).expect("two columns")
    };
    let create = CreateTable::from_arrow(&rows(0..0, "").schema()).expect("a Delta schema");
    let world = World::new(create.with_primary_key(["id"]).with_property("delta.enableTypeWidening", "true")).await;
    world.table.append(vec![rows(0..4, "old")]).await.expect("appended");
    world.table.build_index().await.expect("built");
    let error = world.table.widen_column(&path("id"), Decimal(12, 0)).await.expect_err("other hashes");
    assert!(error.to_string().contains("primary key"), "{error}");
    world.table.widen_column(&path("id"), Long).await.expect("widened");
    for table in [world.table.clone(), world.other_handle().await] {
        let report = table.upsert(vec![rows(2..3, "new")]).await.expect("upserted");
        assert_eq!((report.rows_inserted, report.rows_updated), (0, 1));
    }
    assert_eq!(rows_now(&world).await, ["0|old", "1|old", "2|new", "3|old"]);
}

#[tokio::test]
async fn rows_do_not_widen_a_key_whose_values_would_not_be_found_again() {
    let rows = |kind: arrow::datatypes::DataType, value: &str| {
        let text: arrow::array::ArrayRef = Arc::new(arrow::array::StringArray::from(vec![value]));
        RecordBatch::try_from_iter([("id", arrow::compute::cast(&text, &kind).expect("a value"))]).expect("one column")
    };
    let (date, time) = (arrow::datatypes::DataType::Date32, arrow::datatypes::TimeUnit::Microsecond);
    for (narrow, wide, value) in [
        (date, arrow::datatypes::DataType::Timestamp(time, None), "2024-02-29"),
        (arrow::datatypes::DataType::Decimal128(5, 2), arrow::datatypes::DataType::Decimal128(9, 4), "1.25"),
    ] {
        let first = rows(narrow, value);
        let create = CreateTable::from_arrow(&first.schema()).expect("a Delta schema").with_primary_key(["id"]);
        let world = World::new(create.with_property("delta.enableTypeWidening", "true")).await;
        world.table.append(vec![first]).await.expect("appended");
        world.table.build_index().await.expect("built");
        let options = floe_table::AppendOptions { schema: floe_table::SchemaMode::Merge, ..Default::default() };
        let stream = futures::StreamExt::boxed(futures::stream::iter([Ok(rows(wide, value))]));
        let error = world.table.append_with(stream, options).await.expect_err("the same key in another type");
        assert!(error.to_string().contains("primary key"), "{error}");
        assert_eq!(rows_now(&world).await.len(), 1);
    }
}
