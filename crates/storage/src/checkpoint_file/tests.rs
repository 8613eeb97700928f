use arrow::array::{AsArray, Int64Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema};
use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::*;
use crate::location::Location;

fn log() -> LogStore {
    let location = Location::with_store(Arc::new(InMemory::new()), Path::from("t"), "test:///t");
    LogStore::new(location, Env::system())
}

fn schema() -> SchemaRef {
    let add = Fields::from(vec![
        Field::new("path", DataType::Utf8, true),
        Field::new("size", DataType::Int64, true),
        Field::new("stats", DataType::Utf8, true),
    ]);
    Arc::new(Schema::new(vec![
        Field::new("add", DataType::Struct(add), true),
        Field::new("other", DataType::Int64, true),
    ]))
}

fn rows(from: i64, to: i64) -> RecordBatch {
    let schema = schema();
    let DataType::Struct(fields) = schema.field(0).data_type() else { unreachable!("add is a struct") };
    let paths = StringArray::from_iter_values((from..to).map(|n| format!("part-{n}.parquet")));
    let stats = StringArray::from_iter_values((from..to).map(|n| format!("{{\"numRecords\":{n}}}")));
    let sizes = Arc::new(Int64Array::from_iter_values(from..to));
    let add = StructArray::new(fields.clone(), vec![Arc::new(paths), sizes.clone(), Arc::new(stats)], None);
    RecordBatch::try_new(schema.clone(), vec![Arc::new(add), sizes]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_of_many_row_groups_comes_back_in_order() {
    let log = log();
    let batches = (0..10).map(|n| Ok(rows(n * 40_000, (n + 1) * 40_000)));
    let version = Version::new(7).unwrap();
    let (size, count) = write_checkpoint(&log, version, schema(), batches).await.unwrap();
    assert_eq!(count, 400_000);
    let columns = ["add.path", "add.size", "absent.column"];
    let stream = read_checkpoint(&log, &checkpoint_name(version), Some(size), Some(&columns)).await.unwrap();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 400_000);
    let sizes = batches.iter().flat_map(|batch| {
        let add = batch.column(0).as_struct();
        assert_eq!((batch.num_columns(), add.num_columns()), (1, 2));
        add.column(1).as_primitive::<Int64Type>().values().to_vec()
    });
    assert!(sizes.eq(0..400_000));
}

#[test]
fn a_checkpoint_can_be_read_without_a_tokio_runtime() {
    let log = log();
    futures::executor::block_on(async {
        write_checkpoint(&log, Version::ZERO, schema(), [Ok(rows(0, 10))].into_iter()).await.unwrap();
        let stream = read_checkpoint(&log, &checkpoint_name(Version::ZERO), None, None).await.unwrap();
        let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
        assert_eq!(batches, [rows(0, 10)]);
    });
}

#[tokio::test]
async fn an_interrupted_checkpoint_leaves_nothing_under_its_name() {
    let log = log();
    let error = FormatError::corrupt_log(None, "x", "y");
    let batches = [Ok(rows(0, 10)), Err(error.clone())].into_iter();
    let result = write_checkpoint(&log, Version::ZERO, schema(), batches).await;
    assert_eq!(result, Err(StorageError::Format(error)));
    assert!(log.list(Version::ZERO).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_damaged_or_missing_checkpoint_is_named() {
    let log = log();
    let name = checkpoint_name(Version::ZERO);
    let open = async || read_checkpoint(&log, &name, None, None).await.map(drop).unwrap_err();
    assert!(matches!(open().await, StorageError::Format(FormatError::CorruptCheckpoint { .. })));
    write_checkpoint(&log, Version::ZERO, schema(), [Ok(rows(0, 10))].into_iter()).await.unwrap();
    let whole = log.read(&name).await.unwrap();
    for damaged in [Bytes::new(), whole.slice(..whole.len() / 2), Bytes::from_static(&[0; 64])] {
        log.write(&name, damaged).await.unwrap();
        let error = open().await;
        assert!(matches!(error, StorageError::Format(FormatError::CorruptCheckpoint { .. })), "{error}");
    }
}

#[test]
fn a_sidecar_is_named_by_its_file_name_alone() {
    let named =
        |path: &str| sidecar_name(&Sidecar { path: path.into(), size_in_bytes: 0, modification_time: 0, tags: None });
    assert_eq!(named("a-b.parquet").unwrap(), "_sidecars/a-b.parquet");
    for bad in ["", "..", "../x.parquet", "a/b", "s3://b/x", "a%2fb", "a\\b", ".hidden"] {
        assert!(matches!(named(bad), Err(FormatError::PathEscapesTable { .. })), "{bad}");
    }
}
