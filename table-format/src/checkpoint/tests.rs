use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, Int64Array, LargeStringArray, ListArray, MapArray,
    StringArray, StringViewArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType as ArrowType, Field, Fields, Int32Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use super::*;
use crate::action::{Action, Add, DeletionVectorDescriptor, parse_commit};
use crate::replay::Replay;
use crate::schema::PrimitiveType;
use crate::state::TableState;
use crate::version::{TimestampMs, Version};

const DAY: i64 = 24 * 3600 * 1000;

fn state(log: &str) -> TableState {
    let mut replay = Replay::new();
    replay
        .add_commit(Version::ZERO, parse_commit(Version::ZERO, "0.json", log.as_bytes()).expect("a commit"))
        .expect("applies");
    replay.finish(Version::ZERO).expect("a state")
}

/// A table with a partition column, a mapped column name, a nested column and an array.
fn log(configuration: &str, rest: &str) -> String {
    let schema = r#"{"type":"struct","fields":[{"name":"part","type":"date","nullable":true,"metadata":{"delta.columnMapping.id":1,"delta.columnMapping.physicalName":"c1"}},{"name":"x","type":"decimal(10,2)","nullable":true,"metadata":{"delta.columnMapping.id":2,"delta.columnMapping.physicalName":"c2"}},{"name":"s","type":{"type":"struct","fields":[{"name":"t","type":"timestamp","nullable":true,"metadata":{"delta.columnMapping.id":4,"delta.columnMapping.physicalName":"c4"}},{"name":"b","type":"boolean","nullable":true,"metadata":{"delta.columnMapping.id":5,"delta.columnMapping.physicalName":"c5"}}]},"nullable":true,"metadata":{"delta.columnMapping.id":3,"delta.columnMapping.physicalName":"c3"}},{"name":"l","type":{"type":"array","elementType":"long","containsNull":true},"nullable":true,"metadata":{"delta.columnMapping.id":6,"delta.columnMapping.physicalName":"c6"}}]}"#;
    let schema = serde_json::to_string(schema).expect("text");
    format!(
        r#"{{"protocol":{{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["columnMapping"],"writerFeatures":["columnMapping","domainMetadata"]}}}}
{{"metaData":{{"id":"i","format":{{"provider":"parquet","options":{{}}}},"schemaString":{schema},"partitionColumns":["part"],"configuration":{{"delta.columnMapping.mode":"name"{configuration}}},"createdTime":5}}}}
{rest}"#
    )
}

fn one_file(configuration: &str) -> TableState {
    state(&log(
        configuration,
        r#"{"add":{"path":"a","partitionValues":{"c1":"2021-01-02"},"size":1,"modificationTime":2,"dataChange":true,"stats":"{\"numRecords\":3,\"minValues\":{\"c2\":1.50,\"c3\":{\"c4\":\"2021-01-01T00:00:00.001Z\"}},\"maxValues\":{\"c2\":2},\"nullCount\":{\"c2\":0,\"c3\":{\"c4\":1,\"c5\":2},\"c6\":3}}"}}
{"txn":{"appId":"app","version":4}}
{"domainMetadata":{"domain":"d","configuration":"{}","removed":false}}"#,
    ))
}

fn batches(state: &TableState, now: i64) -> Vec<RecordBatch> {
    checkpoint_batches(state, TimestampMs(now), 1000).expect("batches").collect::<Result<_>>().expect("batches")
}

fn reread(batches: &[RecordBatch]) -> TableState {
    let mut replay = Replay::new();
    for batch in batches {
        replay.add_checkpoint_batch(batch).expect("readable");
    }
    replay.finish(Version::ZERO).expect("a state")
}

fn names(data_type: &ArrowType) -> Vec<&str> {
    match data_type {
        ArrowType::Struct(fields) => fields.iter().map(|f| f.name().as_str()).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn schema_follows_the_protocol() {
    let state = one_file(r#","delta.checkpoint.writeStatsAsStruct":"true","delta.checkpoint.writeStatsAsJson":"true""#);
    let schema = checkpoint_schema(&state).expect("a schema");
    let top: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(top, ["txn", "add", "remove", "metaData", "protocol", "domainMetadata"]);
    assert!(schema.fields().iter().all(|f| f.is_nullable()));
    let add = schema.field_with_name("add").expect("add").data_type().clone();
    assert_eq!(
        names(&add),
        [
            "path",
            "partitionValues",
            "size",
            "modificationTime",
            "dataChange",
            "stats",
            "tags",
            "deletionVector",
            "baseRowId",
            "defaultRowCommitVersion",
            "clusteringProvider",
            "partitionValues_parsed",
            "stats_parsed"
        ]
    );
    let ArrowType::Struct(fields) = &add else { panic!("add is a struct") };
    let child = |name: &str| fields.find(name).expect("a field").1.data_type().clone();
    assert_eq!(names(&child("partitionValues_parsed")), ["c1"]);
    let ArrowType::Struct(stats) = child("stats_parsed") else { panic!("stats are a struct") };
    let group = |name: &str| stats.find(name).expect("a field").1.data_type().clone();
    assert_eq!(names(&group("minValues")), ["c2", "c3"]);
    assert_eq!(names(&group("nullCount")), ["c2", "c3", "c6"]);
    let ArrowType::Struct(nulls) = group("nullCount") else { panic!("counts are a struct") };
    assert_eq!(names(nulls.find("c3").expect("nested").1.data_type()), ["c4", "c5"]);
}

#[test]
fn checkpoint_holds_typed_statistics_and_partition_values() {
    let state = one_file(r#","delta.checkpoint.writeStatsAsStruct":"true""#);
    let batches = batches(&state, 0);
    let add = batches[1].column_by_name("add").expect("add").as_struct();
    let parsed = add.column_by_name("stats_parsed").expect("stats").as_struct();
    let min = parsed.column_by_name("minValues").expect("min").as_struct();
    let decimal = min.column_by_name("c2").expect("c2");
    assert_eq!(decimal.as_primitive::<arrow::datatypes::Decimal128Type>().value(0), 150);
    let time = min.column_by_name("c3").expect("c3").as_struct().column_by_name("c4").expect("c4");
    assert_eq!(time.as_primitive::<TimestampMicrosecondType>().value(0), 1_609_459_200_001_000);
    let partition = add.column_by_name("partitionValues_parsed").expect("typed").as_struct();
    assert_eq!(partition.column(0).as_primitive::<arrow::datatypes::Date32Type>().value(0), 18629);
    assert!(!add.column_by_name("dataChange").expect("flag").as_boolean().value(0));
}

#[test]
fn statistics_survive_in_either_form() {
    for (text, structs) in [(true, true), (true, false), (false, true)] {
        let configuration = format!(
            r#","delta.checkpoint.writeStatsAsJson":"{text}","delta.checkpoint.writeStatsAsStruct":"{structs}""#
        );
        let state = one_file(&configuration);
        let again = reread(&batches(&state, 0));
        let file = again.files.find("a").expect("live");
        assert_eq!(file.num_records(), Some(3));
        assert!(file.stats_json().is_some());
        let chunk = &again.files.chunks()[0];
        let stats = chunk.stats_column(&["c2".into()], &PrimitiveType::Decimal(10, 2)).expect("stats");
        assert_eq!(stats.max.as_primitive::<arrow::datatypes::Decimal128Type>().value(0), 200);
        let nulls = chunk.stats_column(&["c6".into()], &PrimitiveType::Binary).expect("stats").null_count.clone();
        assert_eq!(nulls, Int64Array::from(vec![3]));
        assert_eq!(again.protocol, state.protocol);
        assert_eq!(again.metadata, state.metadata);
        assert_eq!((again.txns, again.domains), (state.txns, state.domains));
    }
}

#[test]
fn expired_tombstones_are_left_out() {
    let removes = format!(
        r#"{{"remove":{{"path":"old","deletionTimestamp":{}}}}}
{{"remove":{{"path":"undated"}}}}
{{"remove":{{"path":"young","deletionTimestamp":{},"dataChange":true,"stats":"{{}}"}}}}"#,
        100 * DAY,
        100 * DAY + 1
    );
    let state = state(&log("", &removes));
    assert_eq!(state.tombstones.live(&state.files).len(), 3);
    let again = reread(&batches(&state, 107 * DAY));
    let kept = again.tombstones.live(&again.files);
    assert_eq!(
        kept.iter().map(|r| (r.path.as_str(), r.data_change, &r.stats)).collect::<Vec<_>>(),
        [("young", false, &None)]
    );
}

#[test]
fn number_of_indexed_columns_bounds_the_statistics() {
    let columns = |configuration: &str| {
        let state = one_file(&format!(r#","delta.checkpoint.writeStatsAsStruct":"true"{configuration}"#));
        let schema = checkpoint_schema(&state).expect("a schema");
        let ArrowType::Struct(add) = schema.field_with_name("add").expect("add").data_type() else { panic!("struct") };
        let ArrowType::Struct(stats) = add.find("stats_parsed").expect("stats").1.data_type() else { panic!("struct") };
        stats.find("nullCount").map(|(_, f)| names(f.data_type()).into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(columns(r#","delta.dataSkippingNumIndexedCols":"1""#), Some(vec!["c2".to_owned()]));
    assert_eq!(columns(r#","delta.dataSkippingNumIndexedCols":"0""#), None);
    assert_eq!(columns(r#","delta.dataSkippingStatsColumns":"s.t,l""#), Some(vec!["c3".to_owned(), "c6".to_owned()]));
}

fn struct_of(columns: Vec<(&str, ArrayRef)>, nulls: Option<NullBuffer>) -> StructArray {
    let fields: Fields = columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    StructArray::new(fields, columns.into_iter().map(|(_, c)| c).collect(), nulls)
}

fn batch_of(columns: Vec<(&str, StructArray)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns.into_iter().map(|(n, c)| (n, Arc::new(c) as ArrayRef))).expect("a batch")
}

fn pairs(keys: ArrayRef, values: ArrayRef, names: [&str; 3], lengths: Vec<usize>) -> MapArray {
    let fields: Fields = vec![
        Field::new(names[1], keys.data_type().clone(), false),
        Field::new(names[2], values.data_type().clone(), true),
    ]
    .into();
    let entries = StructArray::new(fields.clone(), vec![keys, values], None);
    let field = Arc::new(Field::new(names[0], ArrowType::Struct(fields), false));
    MapArray::new(field, OffsetBuffer::from_lengths(lengths), entries, None, false)
}

#[test]
fn columns_of_any_shape_are_read() {
    let paths: [ArrayRef; 4] = [
        Arc::new(StringArray::from(vec![Some("a"), None, Some("b")])),
        Arc::new(LargeStringArray::from(vec![Some("a"), None, Some("b")])),
        Arc::new(StringViewArray::from(vec![Some("a"), None, Some("b")])),
        Arc::new(vec![Some("a"), None, Some("b")].into_iter().collect::<DictionaryArray<Int32Type>>()),
    ];
    for path in paths {
        let values = pairs(
            Arc::new(vec![Some("p"), Some("p")].into_iter().collect::<DictionaryArray<Int32Type>>()),
            Arc::new(StringViewArray::from(vec![Some("1"), None])),
            ["entries", "keys", "values"],
            vec![1, 0, 1],
        );
        let dv = struct_of(
            vec![
                ("storageType", Arc::new(StringArray::from(vec![None, None, Some("i")]))),
                ("pathOrInlineDv", Arc::new(StringArray::from(vec![None, None, Some("x")]))),
                ("sizeInBytes", Arc::new(Int32Array::from(vec![None, None, Some(4)]))),
                ("cardinality", Arc::new(Int64Array::from(vec![None, None, Some(9)]))),
            ],
            Some(vec![false, false, true].into()),
        );
        let stats: ArrayRef = Arc::new(struct_of(
            vec![(
                "minValues",
                Arc::new(struct_of(
                    vec![("s", Arc::new(StringViewArray::from(vec![Some("m"), None, None])) as ArrayRef)],
                    None,
                )),
            )],
            None,
        ));
        let add = struct_of(
            vec![
                ("path", path),
                ("partitionValues", Arc::new(values)),
                ("size", Arc::new(Int32Array::from(vec![Some(1), None, Some(2)]))),
                ("deletionVector", Arc::new(dv)),
                ("stats_parsed", stats),
                ("somethingNew", Arc::new(Int32Array::from(vec![1, 2, 3]))),
            ],
            // The middle row is another action's, and says so only by its null path.
            None,
        );
        let rows = read_batch(&batch_of(vec![("add", add)])).expect("readable");
        let chunk = rows.adds.expect("adds");
        let columns = chunk.columns();
        assert_eq!(columns.paths, StringArray::from(vec!["a", "b"]));
        assert_eq!(columns.sizes, Int64Array::from(vec![1, 2]));
        assert_eq!(columns.modification_times, Int64Array::from(vec![0, 0]));
        assert_eq!(columns.partitions, vec![("p".to_owned(), StringArray::from(vec![Some("1"), None]))]);
        let descriptor = DeletionVectorDescriptor {
            storage_type: "i".into(),
            path_or_inline_dv: "x".into(),
            offset: None,
            size_in_bytes: 4,
            cardinality: 9,
        };
        assert_eq!((columns.deletion_vector(0), columns.deletion_vector(1)), (None, Some(descriptor)));
        let min = chunk.stats_column(&["s".into()], &PrimitiveType::String).expect("stats").min.clone();
        assert_eq!(*min.as_string::<i32>(), StringArray::from(vec![Some("m"), None]));
        assert!(chunk.stats_json(0).is_some_and(|text| text.contains(r#""minValues":{"s":"m"}"#)));
    }
}

#[test]
fn absent_and_null_columns_hold_nothing() {
    let nothing = StructArray::new_null(vec![Field::new("path", ArrowType::Utf8, true)].into(), 2);
    let other = struct_of(vec![("x", Arc::new(Int32Array::from(vec![1, 2])))], None);
    let rows = read_batch(&batch_of(vec![("remove", nothing), ("unknown", other)])).expect("readable");
    assert!(rows.adds.is_none() && rows.removes.is_empty() && rows.protocol.is_none());
}

#[test]
fn unusable_columns_are_corrupt() {
    let text = |values: Vec<Option<&str>>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    let long = |values: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    for (name, columns) in [
        ("add", vec![("path", text(vec![Some("a")]))]),
        ("add", vec![("path", text(vec![Some("a")])), ("size", long(vec![None]))]),
        ("add", vec![("path", text(vec![Some("a")])), ("size", long(vec![Some(-1)]))]),
        ("add", vec![("path", text(vec![Some("")])), ("size", long(vec![Some(1)]))]),
        (
            "add",
            vec![("path", text(vec![Some("a")])), ("size", long(vec![Some(1)])), ("partitionValues", text(vec![None]))],
        ),
        ("txn", vec![("appId", text(vec![Some("a")]))]),
        ("protocol", vec![("minReaderVersion", long(vec![Some(1)]))]),
        ("metaData", vec![("id", text(vec![Some("a")]))]),
    ] {
        let error = read_batch(&batch_of(vec![(name, struct_of(columns, None))])).expect_err(name);
        assert!(matches!(error, FormatError::CorruptCheckpoint { .. }), "{error}");
    }
    let plain = RecordBatch::try_from_iter([("add", text(vec![Some("a")]))]).expect("a batch");
    assert!(matches!(read_batch(&plain), Err(FormatError::CorruptCheckpoint { .. })));
}

#[test]
fn sidecars_are_named_and_read_like_the_rest() {
    let state = one_file("");
    let batches = batches(&state, 0);
    let sidecar = struct_of(
        vec![
            ("path", Arc::new(StringArray::from(vec!["x.parquet"]))),
            ("sizeInBytes", Arc::new(Int64Array::from(vec![7]))),
            ("modificationTime", Arc::new(Int64Array::from(vec![8]))),
        ],
        None,
    );
    let named = Sidecar { path: "x.parquet".into(), size_in_bytes: 7, modification_time: 8, tags: None };
    let manifest = batch_of(vec![("sidecar", sidecar)]);
    assert_eq!(sidecars(&manifest).expect("readable"), std::slice::from_ref(&named));
    // The same manifest as JSON.
    let actions = [
        Action::CheckpointMetadata(CheckpointMetadata { version: 0, tags: None }),
        Action::Protocol(state.protocol.clone()),
        Action::Metadata(state.metadata.clone()),
        Action::Sidecar(named.clone()),
        Action::Add(Add {
            path: "inline".into(),
            partition_values: [("c1".to_owned(), None)].into(),
            size: 1,
            ..Add::default()
        }),
    ];
    let mut replay = Replay::new();
    assert_eq!(replay.add_checkpoint_actions(&actions).expect("readable"), [named]);
    for batch in &batches[1..] {
        replay.add_checkpoint_batch(batch).expect("readable");
    }
    let rebuilt = replay.finish(Version::ZERO).expect("a state");
    assert_eq!(rebuilt.files.len(), 2);
    assert!(rebuilt.files.find("inline").is_some() && rebuilt.files.find("a").is_some());
}

#[test]
fn one_batch_may_hold_everything() {
    let state = one_file("");
    let batches = batches(&state, 0);
    let all = concat_batches(&batches[0].schema(), &batches).expect("one batch");
    let again = reread(std::slice::from_ref(&all));
    assert_eq!((again.files.len(), again.txns, again.domains), (1, state.txns, state.domains));
}

#[test]
fn two_different_metadatas_are_corrupt() {
    let (one, other) = (one_file(""), one_file(r#","x":"y""#));
    let mut replay = Replay::new();
    replay.add_checkpoint_batch(&batches(&one, 0)[0]).expect("readable");
    let error = replay.add_checkpoint_batch(&batches(&other, 0)[0]).expect_err("two metadatas");
    assert!(matches!(error, FormatError::CorruptCheckpoint { .. }), "{error}");
}

#[test]
fn maps_given_as_lists_are_read() {
    let entries = struct_of(
        vec![("key", Arc::new(StringArray::from(vec!["p"]))), ("value", Arc::new(StringArray::from(vec!["1"])))],
        None,
    );
    let field = Arc::new(Field::new("element", entries.data_type().clone(), true));
    let list = ListArray::new(field, OffsetBuffer::from_lengths([1]), Arc::new(entries), None);
    let add = struct_of(
        vec![
            ("path", Arc::new(StringArray::from(vec!["a"]))),
            ("size", Arc::new(Int64Array::from(vec![1]))),
            ("partitionValues", Arc::new(list)),
        ],
        None,
    );
    let chunk = read_batch(&batch_of(vec![("add", add)])).expect("readable").adds.expect("adds");
    assert_eq!(chunk.partition_column("p").map(|p| p.value(0)), Some("1"));
    assert_eq!(chunk.num_records().null_count(), 1);
}
