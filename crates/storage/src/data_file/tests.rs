use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};
use arrow::compute::concat_batches;
use futures::TryStreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::*;
use crate::counting::CountingStore;
use crate::env::Env;
use crate::location::{Location, StoreKind};
use crate::options::StorageOptions;
use object_store::memory::InMemory;
use object_store::path::Path;

fn store() -> DataStore {
    let location = Location::with_store(Arc::new(InMemory::new()), Path::from("t"), "memory:///t");
    DataStore::new(location.with_kind(StoreKind::Memory), Env::system())
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("group", DataType::Int32, true),
    ]))
}

fn rows(from: i64, to: i64) -> RecordBatch {
    let name = |n: i64| (n % 5 != 0).then(|| format!("name-{n}"));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(from..to)),
        Arc::new(StringArray::from_iter((from..to).map(name))),
        Arc::new(Int32Array::from_iter_values((from..to).map(|n| (n % 7) as i32))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

async fn write(store: &DataStore, path: &str, batches: &[RecordBatch], settings: WriterSettings) -> WrittenFile {
    let mut writer = DataFileWriter::new(store, path, schema(), settings).unwrap();
    for batch in batches {
        writer.write(batch).await.unwrap();
    }
    writer.finish().await.unwrap()
}

async fn read(store: &DataStore, path: &str, options: ReadOptions<'_>) -> Result<RecordBatch> {
    let batches: Vec<RecordBatch> = read_data_file(store, path, options).await?.try_collect().await?;
    let schema = batches.first().map_or_else(schema, RecordBatch::schema);
    Ok(concat_batches(&schema, &batches).unwrap())
}

fn ids(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

#[tokio::test]
async fn what_was_written_is_read_back() {
    let store = store();
    let settings = WriterSettings { row_group_rows: 1000, ..WriterSettings::default() };
    let written = write(&store, "p=1/a.parquet", &[rows(0, 1500), rows(1500, 1500), rows(1500, 4000)], settings).await;
    assert_eq!((written.path.as_str(), written.rows), ("p=1/a.parquet", 4000));
    assert_eq!(written.size, store.head("p=1/a.parquet").await.unwrap().size);
    let read = read(&store, "p=1/a.parquet", ReadOptions::new(schema()).with_size(written.size)).await.unwrap();
    assert_eq!(read, rows(0, 4000));
}

#[tokio::test]
async fn a_file_has_checked_footer_row_groups_statistics_and_our_name() {
    let store = store();
    let settings = WriterSettings { row_group_rows: 1000, ..WriterSettings::default() };
    write(&store, "a", &[rows(0, 2500)], settings).await;
    let bytes = store.get("a").await.unwrap();
    let file = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let metadata = file.metadata();
    assert!(metadata.file_metadata().created_by().unwrap().starts_with("floe version "));
    assert!(metadata.file_metadata().key_value_metadata().is_none_or(|pairs| pairs.is_empty()));
    let rows: Vec<i64> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(rows, [1000, 1000, 500]);
    let id = metadata.row_group(0).column(0);
    assert!(id.statistics().is_some() && id.column_index_offset().is_some() && id.offset_index_offset().is_some());
    assert_eq!(id.dictionary_page_offset(), None, "ids do not repeat");
    assert!(metadata.row_group(0).column(2).dictionary_page_offset().is_some(), "groups do");
}

#[tokio::test]
async fn an_empty_file_has_a_schema_and_no_rows() {
    let store = store();
    let written = write(&store, "a", &[], WriterSettings::default()).await;
    assert_eq!(written.rows, 0);
    assert_eq!(read(&store, "a", ReadOptions::new(schema())).await.unwrap().num_rows(), 0);
}

#[tokio::test]
async fn every_codec_can_be_read() {
    let store = store();
    let codecs = [FileCompression::None, FileCompression::Snappy, FileCompression::Lz4, FileCompression::Zstd(3)];
    for compression in codecs {
        write(&store, "a", &[rows(0, 100)], WriterSettings { compression, ..WriterSettings::default() }).await;
        assert_eq!(read(&store, "a", ReadOptions::new(schema())).await.unwrap(), rows(0, 100));
    }
    let settings = WriterSettings { compression: FileCompression::Zstd(99), ..WriterSettings::default() };
    let mut writer = DataFileWriter::new(&store, "a", schema(), settings).unwrap();
    assert!(matches!(writer.write(&rows(0, 1)).await, Err(StorageError::Encode { .. })));
}

#[tokio::test]
async fn a_small_file_is_one_put_and_one_get() {
    let counting = CountingStore::new(Arc::new(InMemory::new()));
    let location = Location::with_store(Arc::new(counting.clone()), Path::default(), "memory:///");
    let store = DataStore::new(location, Env::system());
    let written = write(&store, "a", &[rows(0, 1000)], WriterSettings::default()).await;
    assert_eq!((counting.counts().puts, counting.counts().total()), (1, 1));
    read(&store, "a", ReadOptions::new(schema()).with_size(written.size)).await.unwrap();
    assert_eq!((counting.counts().gets, counting.counts().total()), (1, 2));
}

#[tokio::test]
async fn a_large_file_goes_in_parts_and_memory_stays_bounded() {
    let counting = CountingStore::new(Arc::new(InMemory::new()));
    let location = Location::with_store(Arc::new(counting.clone()), Path::default(), "memory:///");
    let store = DataStore::new(location, Env::system());
    let settings = WriterSettings {
        compression: FileCompression::None,
        dictionary: false,
        row_group_bytes: 4 << 20,
        ..WriterSettings::default()
    };
    let mut writer = DataFileWriter::new(&store, "a", schema(), settings).unwrap();
    let mut estimate = 0;
    for n in 0..40 {
        writer.write(&rows(n * 50_000, (n + 1) * 50_000)).await.unwrap();
        estimate = writer.in_progress_bytes();
        assert!(writer.encoder.as_ref().unwrap().in_progress_size() <= (4 << 20) + (1 << 20));
    }
    let written = writer.finish().await.unwrap();
    assert!(written.size > 40 << 20, "{}", written.size);
    assert!(estimate.abs_diff(written.size) < 4 << 20, "{estimate} {}", written.size);
    // Start, parts of 8 MiB, end.
    assert_eq!(counting.counts().puts, 2 + written.size.div_ceil(8 << 20));
    let mut stream = read_data_file(&store, "a", ReadOptions::new(schema())).await.unwrap();
    let mut next = 0;
    while let Some(batch) = stream.try_next().await.unwrap() {
        assert_eq!(batch, rows(next, next + batch.num_rows() as i64));
        next += batch.num_rows() as i64;
    }
    assert_eq!(next, 2_000_000);
}

#[tokio::test]
async fn an_aborted_or_dropped_writer_leaves_no_file() {
    let store = store();
    for drop_it in [true, false] {
        let mut writer = DataFileWriter::new(&store, "a", schema(), WriterSettings::default()).unwrap();
        writer.write(&rows(0, 10)).await.unwrap();
        if drop_it {
            drop(writer)
        } else {
            writer.abort().await
        }
        assert!(store.head("a").await.unwrap_err().is_not_found());
    }
}

#[tokio::test]
async fn nulls_where_none_may_be_are_not_written() {
    let store = store();
    let nullable = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
    let batch = RecordBatch::try_new(Arc::new(nullable), vec![Arc::new(Int64Array::from(vec![None]))]).unwrap();
    let strict = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
    let mut writer = DataFileWriter::new(&store, "a", strict, WriterSettings::default()).unwrap();
    let error = writer.write(&batch).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot encode a: column id has nulls and must not");
}

#[tokio::test]
async fn columns_are_projected_by_name_and_missing_ones_are_null() {
    let store = store();
    write(&store, "a", &[rows(0, 10)], WriterSettings::default()).await;
    let mut fields = schema().fields().to_vec();
    fields.push(Arc::new(Field::new("added", DataType::Utf8, true)));
    let wider = Arc::new(Schema::new(fields));
    let columns = ["added", "group", "id"].map(str::to_owned).to_vec();
    let options = ReadOptions::new(wider.clone()).with_projection(columns);
    let read_back = read(&store, "a", options).await.unwrap();
    assert_eq!(
        read_back.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(),
        ["added", "group", "id"]
    );
    assert_eq!(read_back.column(0).null_count(), 10);
    assert_eq!(read_back.column(2), rows(0, 10).column(0));
    let none = read(&store, "a", ReadOptions::new(wider.clone()).with_projection(vec![])).await.unwrap();
    assert_eq!((none.num_columns(), none.num_rows()), (0, 10));
    let unknown = ReadOptions::new(wider).with_projection(vec!["gruop".into()]);
    assert!(matches!(read(&store, "a", unknown).await, Err(StorageError::Format(FormatError::InvalidSchema { .. }))));
}

#[tokio::test]
async fn rows_keep_their_numbers_when_others_are_deleted() {
    let store = store();
    let settings = WriterSettings { row_group_rows: 10, ..WriterSettings::default() };
    write(&store, "a", &[rows(0, 35)], settings).await;
    let mut deleted = RowSet::new();
    [0, 1, 9, 10, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 34].into_iter().for_each(|row| {
        deleted.insert(row);
    });
    let options = ReadOptions::new(schema()).with_deleted(&deleted).with_row_numbers().with_batch_rows(4);
    let read = read(&store, "a", options).await.unwrap();
    assert_eq!(read.schema().fields().last().unwrap().name(), ROW_NUMBER_COLUMN);
    let numbers = read.columns().last().unwrap().as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(numbers, ids(&read));
    let expected: Vec<i64> = (0..35).filter(|row| !deleted.contains(*row as u64)).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn only_row_numbers_can_be_read() {
    let store = store();
    write(&store, "a", &[rows(0, 5)], WriterSettings::default()).await;
    let options = ReadOptions::new(schema()).with_projection(vec![]).with_row_numbers();
    let read = read(&store, "a", options).await.unwrap();
    assert_eq!(ids(&read), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_deleted_row_beyond_the_end_is_corruption() {
    let store = store();
    write(&store, "a", &[rows(0, 5)], WriterSettings::default()).await;
    let mut deleted = RowSet::new();
    deleted.insert(5);
    let error = read(&store, "a", ReadOptions::new(schema()).with_deleted(&deleted)).await.unwrap_err();
    assert!(matches!(error, StorageError::Format(FormatError::CorruptDv { .. })), "{error}");
}

#[tokio::test]
async fn a_missing_cut_or_foreign_file_is_told_apart() {
    let store = store();
    let written = write(&store, "a", &[rows(0, 5000)], WriterSettings::default()).await;
    let bytes = store.get("a").await.unwrap();
    let read_sized = async |path: &str| read(&store, path, ReadOptions::new(schema()).with_size(written.size)).await;

    assert!(matches!(read_sized("missing").await, Err(StorageError::NotFound { .. })));

    store.put("cut", bytes.slice(..bytes.len() - 100)).await.unwrap();
    let error = read_sized("cut").await.unwrap_err();
    assert!(error.to_string().starts_with("corrupt data file cut: it has "), "{error}");
    let error = read(&store, "cut", ReadOptions::new(schema())).await.unwrap_err();
    assert!(matches!(error, StorageError::CorruptDataFile { .. }), "{error}");

    store.put("longer", Bytes::from([&bytes[..], b"more"].concat())).await.unwrap();
    let error = read_sized("longer").await.unwrap_err();
    assert!(error.to_string().contains("should have"), "{error}");

    for foreign in [&b""[..], b"PAR1", b"<html>captive portal</html>", b"PAR1\xff\xff\xff\xffPAR1", &[0; 100]] {
        store.put("foreign", Bytes::copy_from_slice(foreign)).await.unwrap();
        let error = read(&store, "foreign", ReadOptions::new(schema())).await.unwrap_err();
        assert!(matches!(error, StorageError::CorruptDataFile { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_local_file_cut_short_is_corrupt_too() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::open(folder.path().to_str().unwrap(), &StorageOptions::new()).unwrap();
    let store = DataStore::new(location, Env::system());
    let written = write(&store, "a", &[rows(0, 5000)], WriterSettings::default()).await;
    for length in [0, 10, written.size - 1] {
        let file = std::fs::File::options().write(true).open(folder.path().join("a")).unwrap();
        file.set_len(length).unwrap();
        let options = ReadOptions::new(schema()).with_size(written.size);
        let error = read(&store, "a", options).await.unwrap_err();
        assert!(matches!(error, StorageError::CorruptDataFile { .. }), "{length}: {error}");
    }
}

/// A file as old Spark and Impala write times: 96 bits of Julian day and nanoseconds. `schema` has one such column.
fn old_times(schema: &str, days: &[u32]) -> Bytes {
    use parquet::data_type::{Int96, Int96Type};
    use parquet::file::writer::SerializedFileWriter;

    let schema = parquet::schema::parser::parse_message_type(schema).unwrap();
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::default()).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<Int96> = days
        .iter()
        .map(|day| {
            let mut value = Int96::new();
            value.set_data(1_000, 0, *day);
            value
        })
        .collect();
    column.typed::<Int96Type>().write_batch(&values, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
    bytes.into()
}

#[tokio::test]
async fn times_of_the_old_kind_do_not_wrap_around() {
    const JULIAN_DAY_OF_1970: i64 = 2_440_588;
    let store = store();
    // 1970, and the years 1000 and 9999, which nanoseconds cannot reach.
    let days = [2_440_588, 2_086_308, 5_373_118];
    store.put("a", old_times("message m { required int96 t; }", &days)).await.unwrap();
    for (zone, numbers) in [(None, false), (Some("UTC".into()), true)] {
        let time = Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, zone), true);
        let mut options = ReadOptions::new(Arc::new(Schema::new(vec![time])));
        if numbers {
            options = options.with_row_numbers();
        }
        let read = read(&store, "a", options).await.unwrap();
        let times = read.column(0).as_primitive::<arrow::datatypes::TimestampMicrosecondType>().values().to_vec();
        let expected = days.map(|day| (i64::from(day) - JULIAN_DAY_OF_1970) * 86_400_000_000 + 1);
        assert_eq!(times, expected);
        assert_eq!(read.num_columns(), 1 + usize::from(numbers));
    }
    // The same inside a struct.
    store.put("b", old_times("message m { required group s { required int96 t; } }", &days)).await.unwrap();
    let time = Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true);
    let nested = Field::new("s", DataType::Struct(vec![time].into()), true);
    let read = read(&store, "b", ReadOptions::new(Arc::new(Schema::new(vec![nested])))).await.unwrap();
    let times = read.column(0).as_struct().column(0).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert_eq!(times.values().to_vec(), days.map(|day| (i64::from(day) - JULIAN_DAY_OF_1970) * 86_400_000_000 + 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever bytes are damaged: an error or rows, never a panic and never more rows than there were.
    #[test]
    fn damaged_files_do_not_panic(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let store = store();
        futures::executor::block_on(async {
            write(&store, "a", &[rows(0, 300)], WriterSettings::default()).await;
            let mut bytes = store.get("a").await.unwrap().to_vec();
            for (index, value) in damage {
                let at = index.index(bytes.len());
                bytes[at] = value;
            }
            store.put("a", Bytes::from(bytes)).await.unwrap();
            if let Ok(read) = read(&store, "a", ReadOptions::new(schema())).await {
                assert!(read.num_rows() <= 300);
            }
        });
    }

    /// Reading without some rows equals reading all and dropping them.
    #[test]
    fn deleted_rows_are_exactly_the_missing_ones(gone in prop::collection::btree_set(0u64..500, 0..500), group in 1usize..200) {
        let store = store();
        futures::executor::block_on(async {
            let settings = WriterSettings { row_group_rows: group, ..WriterSettings::default() };
            write(&store, "a", &[rows(0, 500)], settings).await;
            let mut deleted = RowSet::new();
            gone.iter().for_each(|row| { deleted.insert(*row); });
            let read = read(&store, "a", ReadOptions::new(schema()).with_deleted(&deleted)).await.unwrap();
            let left: Vec<i64> = (0..500).filter(|row| !gone.contains(&(*row as u64))).collect();
            assert_eq!(ids(&read), left);
        });
    }
}

fn numbers(batch: &RecordBatch) -> Vec<i64> {
    batch.column_by_name(ROW_NUMBER_COLUMN).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn chosen_rows_come_with_their_numbers(
        chosen in proptest::collection::btree_set(0u64..2500, 0..40),
        gone in proptest::collection::btree_set(0u64..2500, 0..200),
        run in 0u64..2400,
    ) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let store = store();
            let settings = WriterSettings { row_group_rows: 700, ..WriterSettings::default() };
            write(&store, "a", &[rows(0, 2500)], settings).await;
            let chosen: RowSet = chosen.into_iter().chain(run..run + 30).collect();
            let gone: RowSet = gone.into_iter().collect();
            let options = ReadOptions::new(schema()).with_only(&chosen).with_deleted(&gone).with_row_numbers();
            let found = read(&store, "a", options).await.unwrap();
            let expected: Vec<i64> = chosen.difference(&gone).iter().map(|row| row as i64).collect();
            assert_eq!(ids(&found), expected);
            assert_eq!(numbers(&found), expected);
        });
    }
}

#[tokio::test]
async fn row_groups_outside_of_the_bounds_are_left_out_and_rows_keep_their_numbers() {
    let store = store();
    let settings = WriterSettings { row_group_rows: 1000, ..WriterSettings::default() };
    write(&store, "a", &[rows(0, 3500)], settings).await;
    let bounds = |column: &str, values| vec![ColumnBounds { column: column.into(), values }];
    let long = bounds("id", ValueRange::Long(1500, 1600));
    let found = read(&store, "a", ReadOptions::new(schema()).with_bounds(long).with_row_numbers()).await.unwrap();
    assert_eq!(ids(&found), (1000..2000).collect::<Vec<_>>());
    assert_eq!(numbers(&found), (1000..2000).collect::<Vec<_>>());
    for (column, values) in [
        ("group", ValueRange::Long(2, 3)),
        ("name", ValueRange::Bytes(b"name-1".to_vec(), b"name-9".to_vec())),
        ("nothing", ValueRange::Long(0, 0)),
        ("id", ValueRange::Bytes(vec![], vec![])),
    ] {
        let options = ReadOptions::new(schema()).with_bounds(bounds(column, values));
        assert_eq!(read(&store, "a", options).await.unwrap().num_rows(), 3500, "nothing is known of {column}");
    }
    let none = ReadOptions::new(schema()).with_bounds(bounds("name", ValueRange::Bytes(b"o".to_vec(), b"p".to_vec())));
    assert_eq!(read(&store, "a", none).await.unwrap().num_rows(), 0);
}

#[tokio::test]
async fn a_row_beyond_the_end_is_not_passed_over() {
    let store = store();
    write(&store, "a", &[rows(0, 10)], WriterSettings::default()).await;
    let beyond: RowSet = [3, 10].into_iter().collect();
    let error = read(&store, "a", ReadOptions::new(schema()).with_only(&beyond)).await.unwrap_err();
    assert!(error.to_string().contains("row 10 is wanted of its 10 rows"), "{error}");
}
