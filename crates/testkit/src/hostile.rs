//! Input from outside, thrown at the functions that decode it.
//!
//! One function for each kind of input. Each takes any bytes, decodes them, and asserts what has to hold of whatever
//! decodes; what does not decode has to give a typed error. Fuzz targets (`fuzz/`) and the bounded property tests of
//! `crates/table/tests/table/hostile.rs` call the same functions.

use std::sync::Arc;

use arrow::array::StringArray;
use bytes::Bytes;
use floe_storage::Location;
use floe_storage::object_store::memory::InMemory;
use floe_table::{Result, Table};
use floe_table_format::deletion_vector::{decode_inline, path_in};
use floe_table_format::path::{DataPath, LogFile, TableRoot, checkpoint_name};
use floe_table_format::replay::Replay;
use floe_table_format::state::{Reading, StatsColumnSpec, parse_stats_columns};
use floe_table_format::stats::{parse_num_records, widen};
use floe_table_format::{
    DeletionVectorDescriptor, PrimitiveType, RowSet, StructType, TableState, Version, parse_commit, write_commit,
};
use futures::executor::block_on;

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// Every kind of input, by the name of its fuzz target.
pub const TARGETS: [(&str, Target); 6] = [
    ("commit", commit),
    ("schema", schema),
    ("statistics", statistics),
    ("checkpoint", checkpoint),
    ("deletion_vector", deletion_vector),
    ("path", path),
];

/// A commit of JSON lines. Reading it line by line into columns and reading it into actions give the same, and what was
/// read can be written and read again.
///
/// # Panics
/// If one of these does not hold.
pub fn commit(bytes: &[u8]) {
    const NAME: &str = "00000000000000000000.json";
    let parsed = parse_commit(Version::ZERO, NAME, bytes);
    if let Ok(actions) = &parsed
        && !actions.is_empty()
    {
        let again = parse_commit(Version::ZERO, NAME, &write_commit(actions)).expect("what was written reads");
        assert_eq!(again.len(), actions.len());
    }
    let of_actions = parsed.and_then(|actions| {
        let mut replay = Replay::new();
        replay.add_commit(Version::ZERO, actions)?;
        replay.finish(Version::ZERO)
    });
    let mut replay = Replay::new();
    let of_bytes = replay.add_commit_bytes(Version::ZERO, NAME, bytes).and_then(|()| replay.finish(Version::ZERO));
    match (of_actions, of_bytes) {
        (Ok(a), Ok(b)) => assert_eq!(summary(&a), summary(&b)),
        (Err(_), Err(_)) => {}
        (a, b) => panic!("one way reads the commit: {:?}, {:?}", a.err(), b.err()),
    }
}

fn summary(state: &TableState) -> (usize, u64, Vec<String>) {
    let mut files: Vec<String> = state
        .files
        .iter()
        .map(|file| {
            format!("{} {} {:?} {:?}", file.path(), file.size(), file.deletion_vector(), file.to_add().partition_values)
        })
        .collect();
    files.sort_unstable();
    (state.files.len(), state.files.total_bytes(), files)
}

/// A schema string. What parses is the same after writing and parsing again, and becomes an Arrow schema or a typed error.
///
/// # Panics
/// If that does not hold.
pub fn schema(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(schema) = StructType::parse(text) else { return };
    let again = StructType::parse(&schema.to_json()).expect("what was written parses");
    assert!(again.names().eq(schema.names()));
    if let (Ok(arrow), Ok(same)) = (schema.to_arrow(), again.to_arrow()) {
        assert_eq!(arrow.fields().len(), same.fields().len());
    }
}

/// Statistics of a file. They give bounds or nothing, for every type of column.
///
/// # Panics
/// If they make a function of them panic.
pub fn statistics(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let types = [
        PrimitiveType::String,
        PrimitiveType::Long,
        PrimitiveType::Byte,
        PrimitiveType::Float,
        PrimitiveType::Double,
        PrimitiveType::Decimal(38, 10),
        PrimitiveType::Decimal(5, 5),
        PrimitiveType::Boolean,
        PrimitiveType::Binary,
        PrimitiveType::Date,
        PrimitiveType::Timestamp,
        PrimitiveType::TimestampNtz,
    ];
    let column = StringArray::from(vec![Some(text), None]);
    for data_type in types {
        for path in [vec!["a".to_owned()], vec!["s".to_owned(), "b".to_owned()]] {
            let wanted = [StatsColumnSpec { path, data_type, bounds: true }];
            for reading in [Reading::AsBounds, Reading::AsWritten] {
                let stats = parse_stats_columns(&column, &wanted, reading).expect("types that have statistics");
                assert_eq!(stats[0].null_count.len(), 2);
            }
        }
    }
    assert_eq!(parse_num_records(&widen(text, 7)), Some(7));
    let _ = parse_num_records(text);
}

/// A checkpoint's Parquet file, as the only file of a log. The table opens and can be planned, or gives a typed error.
///
/// # Panics
/// If it makes a reader panic.
pub fn checkpoint(bytes: &[u8]) {
    let location = Location::with_store(Arc::new(InMemory::new()), "t".into(), "memory:///t");
    let name = checkpoint_name(Version::ZERO);
    let opened: Result<()> = block_on(async {
        let table = Table::builder("memory:///t").with_location(location).unopened()?;
        table.log_store().write(&name, Bytes::copy_from_slice(bytes)).await.expect("a store in memory");
        let snapshot = table.snapshot().await?;
        snapshot.scan().plan().map(drop)
    });
    // Said to a user, whatever it is.
    let _ = opened.map_err(|error| error.to_string());
}

/// A deletion vector: as serialised bytes, as text in a descriptor, and the descriptor's path. What decodes is the same
/// set after writing and reading again.
///
/// # Panics
/// If that does not hold.
pub fn deletion_vector(bytes: &[u8]) {
    if let Ok(rows) = RowSet::parse(bytes) {
        assert!(rows.max().is_none_or(|last| last <= i64::MAX as u64));
        assert_eq!(RowSet::parse(&rows.to_bytes()), Ok(rows));
    }
    let Some((size, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    for storage_type in ["u", "i", "p", "x"] {
        let descriptor = DeletionVectorDescriptor {
            storage_type: storage_type.into(),
            path_or_inline_dv: text.into(),
            offset: None,
            size_in_bytes: i32::from(*size),
            cardinality: i64::from(*size),
        };
        let _ = decode_inline(&descriptor);
        if let Ok(Some(path)) = path_in(&descriptor, &TableRoot::of("s3://bucket/table")) {
            assert_inside(path.strip_prefix('/').unwrap_or(&path));
        }
    }
}

/// A path in the log, and a name in its folder. What decodes stays inside the table and is the same after encoding and
/// decoding again.
///
/// # Panics
/// If that does not hold.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(decoded) = DataPath::decode(text) {
        assert_inside(&decoded);
        assert_eq!(DataPath::decode(&DataPath::encode(&decoded)), Ok(decoded));
    }
    if let Ok(decoded) = TableRoot::of("file:///lake/t").decode(text) {
        assert_inside(decoded.strip_prefix('/').unwrap_or(&decoded));
    }
    if let Some(version) = LogFile::parse(text).version() {
        assert!(version <= Version::MAX);
    }
}

fn assert_inside(path: &str) {
    let up = path.split(['/', '\\']).any(|segment| segment == "..");
    assert!(!up && !path.starts_with(['/', '\\']) && !path.contains('\0'), "{path:?} leaves the table");
}

/// Inputs that decode, to be damaged: fuzzing that starts from nothing hardly gets past the first check.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let texts: &[&str] = match target {
        "commit" => &[concat!(
            r#"{"commitInfo":{"timestamp":1,"operation":"WRITE","operationParameters":{"mode":"Append"}}}"#,
            "\n",
            r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}}"#,
            "\n",
            r#"{"metaData":{"id":"i","format":{"provider":"parquet","options":{}},"schemaString":"{\"type\":\"struct\",\"fields\":[{\"name\":\"a\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}}]}","partitionColumns":["p"],"configuration":{}}}"#,
            "\n",
            r#"{"add":{"path":"p=1/a%20b","partitionValues":{"p":"1"},"size":3,"modificationTime":4,"dataChange":true,"stats":"{\"numRecords\":1}","deletionVector":{"storageType":"i","pathOrInlineDv":"x","sizeInBytes":40,"cardinality":1}}}"#,
            "\n",
            r#"{"remove":{"path":"q","deletionTimestamp":5,"dataChange":true}}"#,
            "\n",
            r#"{"txn":{"appId":"app","version":3}}"#,
            "\n",
            r#"{"domainMetadata":{"domain":"d","configuration":"{}","removed":false}}"#,
            "\n",
        )],
        "schema" => &[
            r#"{"type":"struct","fields":[{"name":"a","type":"decimal(10,2)","nullable":true,"metadata":{"delta.columnMapping.id":1}},{"name":"s","type":{"type":"struct","fields":[{"name":"m","type":{"type":"map","keyType":"string","valueType":{"type":"array","elementType":"timestamp_ntz","containsNull":true},"valueContainsNull":false},"nullable":false,"metadata":{}}]},"nullable":true,"metadata":{}}]}"#,
        ],
        "statistics" => &[
            r#"{"numRecords":3,"minValues":{"a":"2020-01-01T00:00:00.000Z","s":{"b":-1.5e3}},"maxValues":{"a":"x","s":{"b":12345678901234567890}},"nullCount":{"a":0,"s":{"b":3}},"tightBounds":false}"#,
            r#"{"numRecords":3,"minValues":{"a":true},"maxValues":{"a":"2020-02-30"},"nullCount":{"a":1}}"#,
        ],
        "path" => {
            &["p=a%2520b/c%20d.parquet", "./x:y", "00000000000000000007.checkpoint.0000000001.0000000002.parquet"]
        }
        "checkpoint" => return vec![a_checkpoint()],
        "deletion_vector" => {
            let sets: [RowSet; 3] =
                [RowSet::new(), [1, 5, 1 << 33].into_iter().collect(), (0..5000).filter(|row| row % 3 > 0).collect()];
            return sets.iter().map(RowSet::to_bytes).collect();
        }
        _ => &[],
    };
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A checkpoint of a small table.
fn a_checkpoint() -> Vec<u8> {
    let location = Location::with_store(Arc::new(InMemory::new()), "t".into(), "memory:///t");
    block_on(async {
        let batch = crate::Batch::new().long("id", [1, 2]).text("name", ["a", "b"]).build();
        let create = floe_table::CreateTable::from_arrow(&batch.schema()).expect("a Delta schema");
        let table = Table::builder("memory:///t").with_location(location).create(create).await.expect("created");
        table.append(vec![batch]).await.expect("appended");
        let version = table.checkpoint().await.expect("a checkpoint");
        table.log_store().read(&checkpoint_name(version)).await.expect("read").to_vec()
    })
}
