use super::*;
use crate::action::{Add, CommitInfo, DeletionVectorDescriptor, Format, Remove};
use crate::replay::Replay;
use crate::schema::PrimitiveType;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, StructArray};
use arrow::datatypes::{Date32Type, Decimal128Type, Field, Float64Type, Int64Type, TimestampMicrosecondType};

fn v(number: u64) -> Version {
    Version::new(number).expect("small")
}

fn protocol() -> Action {
    Action::Protocol(Protocol {
        min_reader_version: 1,
        min_writer_version: 2,
        reader_features: None,
        writer_features: None,
    })
}

fn metadata() -> Action {
    let schema = r#"{"type":"struct","fields":[{"name":"a","type":"long","nullable":true,"metadata":{}}]}"#;
    Action::Metadata(Metadata {
        id: "t".into(),
        name: None,
        description: None,
        format: Format::default(),
        schema_string: schema.into(),
        partition_columns: vec![],
        configuration: BTreeMap::new(),
        created_time: None,
    })
}

fn add(path: &str) -> Action {
    Action::Add(Add { path: path.into(), size: 10, ..Add::default() })
}

fn remove(path: &str) -> Action {
    Action::Remove(Remove { path: path.into(), ..Remove::default() })
}

fn dv(path: &str) -> DeletionVectorDescriptor {
    DeletionVectorDescriptor {
        storage_type: "u".into(),
        path_or_inline_dv: path.into(),
        offset: Some(1),
        size_in_bytes: 4,
        cardinality: 3,
    }
}

fn add_dv(path: &str, id: &str) -> Action {
    Action::Add(Add { path: path.into(), size: 10, deletion_vector: Some(dv(id)), ..Add::default() })
}

fn remove_dv(path: &str, id: &str) -> Action {
    Action::Remove(Remove { path: path.into(), deletion_vector: Some(dv(id)), ..Remove::default() })
}

/// The state after these commits on an empty table, and how it must have come about in every way.
fn replay(commits: Vec<Vec<Action>>) -> Result<TableState> {
    let mut replay = Replay::new();
    let first = vec![protocol(), metadata()];
    replay.add_commit(Version::ZERO, &first)?;
    let mut stepwise = {
        let mut empty = Replay::new();
        empty.add_commit(Version::ZERO, first)?;
        empty.finish(Version::ZERO)?
    };
    let mut version = Version::ZERO;
    for actions in commits {
        version = version.next()?;
        let step = stepwise.apply(&[(version, actions.clone())]);
        let whole = replay.add_commit(version, &actions);
        assert_eq!(step.as_ref().err(), whole.as_ref().err(), "one commit and a replay judge alike");
        whole?;
        stepwise = step?;
    }
    let state = replay.finish(version)?;
    assert_eq!(paths(&state), paths(&stepwise));
    assert_eq!(state.files.total_bytes(), stepwise.files.total_bytes());
    Ok(state)
}

fn paths(state: &TableState) -> Vec<String> {
    let mut paths: Vec<String> = state.files.iter().map(|f| f.path().to_owned()).collect();
    paths.sort();
    assert_eq!(paths.len(), state.files.len());
    paths
}

fn tombstones(state: &TableState) -> Vec<&str> {
    state.tombstones.live(&state.files).iter().map(|r| r.path.as_str()).collect()
}

#[test]
fn removes_take_adds_away_and_later_adds_bring_them_back() {
    let state = replay(vec![vec![add("a"), add("b")], vec![remove("a")]]).expect("a state");
    assert_eq!(paths(&state), ["b"]);
    assert_eq!(tombstones(&state), ["a"]);
    assert!(state.files.find("a").is_none());
    assert_eq!(state.files.find("b").map(|f| f.size()), Some(10));
    let state = state.apply(&[(v(3), vec![add("a")])]).expect("a state");
    assert_eq!(paths(&state), ["a", "b"]);
    assert!(tombstones(&state).is_empty());
    assert_eq!(state.files.total_bytes(), 20);
}

#[test]
fn remove_before_add_leaves_the_file_live() {
    let state = replay(vec![vec![remove("a")], vec![add("a")]]).expect("a state");
    assert_eq!(paths(&state), ["a"]);
}

#[test]
fn later_add_of_one_file_wins() {
    let later =
        Action::Add(Add { path: "a".into(), size: 99, stats: Some("{\"numRecords\":1}".into()), ..Add::default() });
    let state = replay(vec![vec![add("a")], vec![later]]).expect("a state");
    assert_eq!(paths(&state), ["a"]);
    let file = state.files.find("a").expect("live");
    assert_eq!((file.size(), file.num_records(), state.files.total_bytes()), (99, Some(1), 99));
}

/// trino 24648: a remove without the file's deletion vector must not take the file with it.
#[test]
fn remove_of_another_deletion_vector_removes_nothing() {
    let state =
        replay(vec![vec![add_dv("a", "one")], vec![remove("a")], vec![remove_dv("a", "two")]]).expect("a state");
    assert_eq!(paths(&state), ["a"]);
    let state = state.apply(&[(v(4), vec![remove_dv("a", "one")])]).expect("a state");
    assert!(paths(&state).is_empty());
}

#[test]
fn new_deletion_vector_replaces_the_file_within_one_commit() {
    let state = replay(vec![vec![add("a")], vec![remove("a"), add_dv("a", "one")]]).expect("a state");
    let file = state.files.find("a").expect("live");
    assert_eq!(file.deletion_vector(), Some(dv("one")));
    assert_eq!((state.files.len(), file.deleted_rows()), (1, 3));
    // In the order that other writers use.
    let state = state.apply(&[(v(3), vec![add_dv("a", "two"), remove_dv("a", "one")])]).expect("a state");
    assert_eq!(state.files.find("a").expect("live").deletion_vector(), Some(dv("two")));
    assert!(state.files.find_logical("a", Some(&dv("two"))).is_some());
    assert!(state.files.find_logical("a", None).is_none());
}

#[test]
fn contradictions_within_a_commit_are_corrupt() {
    for commit in [
        vec![add("a"), remove("a")],
        vec![remove("a"), add("a")],
        vec![add("a"), add("a")],
        vec![add_dv("a", "x"), add("b"), add_dv("a", "x")],
        vec![protocol(), protocol()],
        vec![metadata(), metadata()],
    ] {
        for before in [vec![], vec![add("z")], vec![add("a")]] {
            let error = replay(vec![before, commit.clone()]).expect_err("corrupt");
            assert!(matches!(error, FormatError::CorruptLog { version: Some(at), .. } if at == v(2)), "{error}");
        }
    }
}

#[test]
fn state_needs_protocol_and_metadata() {
    for missing in [vec![protocol()], vec![metadata()], vec![add("a")]] {
        let mut replay = Replay::new();
        replay.add_commit(Version::ZERO, &missing).expect("applies");
        assert!(matches!(replay.finish(Version::ZERO), Err(FormatError::CorruptLog { .. })));
    }
}

#[test]
fn versions_only_ascend() {
    let state = replay(vec![vec![add("a")]]).expect("a state");
    for version in [0, 1] {
        assert!(state.apply(&[(v(version), vec![add("b")])]).is_err());
    }
}

#[test]
fn latest_protocol_metadata_txn_and_domain_win() {
    let txn = |version| Action::Txn(Txn { app_id: "app".into(), version, last_updated: None });
    let domain =
        |removed| Action::DomainMetadata(DomainMetadata { domain: "d".into(), configuration: "{}".into(), removed });
    let info = |time| Action::CommitInfo(CommitInfo { in_commit_timestamp: Some(time), ..CommitInfo::default() });
    let state = replay(vec![vec![info(5), txn(1), domain(false)], vec![info(6), txn(2)]]).expect("a state");
    assert_eq!(state.txns["app"].version, 2);
    assert!(state.domains.contains_key("d"));
    assert_eq!(state.commit_timestamp, Some(TimestampMs(6)));
    let state = state.apply(&[(v(3), vec![domain(true)])]).expect("a state");
    assert!(state.domains.is_empty());
    assert_eq!(state.commit_timestamp, None);
}

#[test]
fn many_small_commits_keep_few_chunks_and_every_file() {
    let mut state = replay(vec![]).expect("a state");
    for n in 0..500u64 {
        let mut actions = vec![add(&format!("f{n}"))];
        if n >= 100 && n % 2 == 0 {
            actions.push(remove(&format!("f{}", n - 100)));
        }
        state = state.apply(&[(v(n + 1), actions)]).expect("a state");
        assert!(state.files.chunks().len() <= 80, "{} chunks", state.files.chunks().len());
    }
    assert_eq!(state.files.len(), 500 - 200);
    assert_eq!(state.files.total_bytes(), 3000);
    for n in 0..500 {
        let gone = n % 2 == 0 && n < 400;
        assert_eq!(state.files.find(&format!("f{n}")).is_none(), gone, "f{n}");
    }
    assert_eq!(state.tombstones.live(&state.files).len(), 200);
}

#[test]
fn one_large_commit_spans_chunks() {
    let state = replay(vec![(0..300).map(|n| add(&format!("f{n}"))).collect()]).expect("a state");
    assert!(state.files.chunks().len() >= 4);
    assert_eq!(state.files.len(), 300);
    let error = replay(vec![(0..300).chain([5]).map(|n| add(&format!("f{n}"))).collect()]).expect_err("twice");
    assert!(matches!(error, FormatError::CorruptLog { .. }));
    let state =
        state.apply(&[(v(2), (0..299).map(|n| remove(&format!("f{n}"))).collect::<Vec<_>>())]).expect("a state");
    assert_eq!((paths(&state), state.files.chunks().len()), (vec!["f299".to_owned()], 1));
}

#[test]
fn views_give_back_the_action() {
    let full = Add {
        path: "p%20q".into(),
        partition_values: BTreeMap::from([("x".into(), Some("1".into())), ("y".into(), None)]),
        size: 7,
        modification_time: 8,
        data_change: false,
        stats: Some("{\"numRecords\":3}".into()),
        tags: Some(BTreeMap::from([("k".into(), Some("v".into())), ("n".into(), None)])),
        deletion_vector: Some(dv("id")),
        base_row_id: Some(1),
        default_row_commit_version: Some(2),
        clustering_provider: Some("c".into()),
    };
    let state = replay(vec![vec![add("plain"), Action::Add(full.clone())]]).expect("a state");
    let file = state.files.find("p%20q").expect("live");
    assert_eq!(file.to_add(), full);
    assert_eq!(
        (file.partition_value("x"), file.partition_value("y"), file.partition_value("z")),
        (Some("1"), None, None)
    );
    assert_eq!(state.files.get(&file.id()).path(), "p%20q");
    assert_eq!(state.files.find("plain").expect("live").to_add().tags, None);
}

fn column(stats: &[Option<&str>], path: &[&str], data_type: PrimitiveType) -> ColumnStats {
    let spec = StatsColumnSpec { path: path.iter().map(|p| (*p).to_owned()).collect(), data_type, bounds: true };
    parse_stats_columns(&stats.iter().copied().collect::<StringArray>(), &[spec], Reading::AsBounds)
        .expect("parsed")
        .remove(0)
}

fn longs(column: &ArrayRef) -> Vec<Option<i64>> {
    column.as_primitive::<Int64Type>().iter().collect()
}

#[test]
fn statistics_of_one_column_are_found_or_missing() {
    let texts = [
        Some(r#"{"numRecords":3,"minValues":{"b":1,"a":-5},"maxValues":{"a":9},"nullCount":{"a":0,"s":{"a":7}}}"#),
        None,
        // White space, escapes, nesting, other things in between.
        Some(
            " { \"x\" : [1,{\"minValues\":{\"a\":77}},\"}\\\"\"] , \"minValues\" : { \"s\":{\"a\":4}, \"\\u0061\" : 2 } }\n",
        ),
        Some(r#"{"minValues":{"a":null},"maxValues":{"a":"text"},"nullCount":{"a":-1}}"#),
        Some(r#"{"minValues":{"a":1.5},"maxValues":{"a":99999999999999999999}}"#),
        Some(r#"{"minValues":{"a":1},"maxValues":{"a":1}"#),
        Some(r#"{"minValues":{"a":1}} trailing"#),
        Some("not json"),
        Some(""),
    ];
    let stats = column(&texts, &["a"], PrimitiveType::Long);
    let none = [None; 6];
    assert_eq!(longs(&stats.min), [&[Some(-5), None, Some(2)][..], &none].concat());
    assert_eq!(longs(&stats.max), [&[Some(9), None, None][..], &none].concat());
    assert_eq!(stats.null_count.iter().collect::<Vec<_>>(), [&[Some(0), None, None][..], &none].concat());
    let nested = column(&texts, &["s", "a"], PrimitiveType::Long);
    assert_eq!(longs(&nested.min)[2], Some(4));
    assert_eq!(nested.null_count.value(0), 7);
}

#[test]
fn statistics_are_typed() {
    let text = r#"{"minValues":{"t":"2021-01-01T02:00:00.123+02:00","d":"1970-01-03","m":12.5,"n":"0.07","f":1e3,"s":"a\"b"},"maxValues":{"f":"NaN","d":"soon"}}"#;
    let of = |name: &str, data_type| column(&[Some(text)], &[name], data_type);
    let micros = of("t", PrimitiveType::Timestamp);
    assert_eq!(micros.min.as_primitive::<TimestampMicrosecondType>().value(0), 1_609_459_200_123_000);
    assert_eq!(*micros.min.data_type(), PrimitiveType::Timestamp.to_arrow());
    assert!(of("t", PrimitiveType::TimestampNtz).min.is_null(0));
    let date = of("d", PrimitiveType::Date);
    assert_eq!((date.min.as_primitive::<Date32Type>().value(0), date.max.is_null(0)), (2, true));
    assert_eq!(of("m", PrimitiveType::Decimal(10, 2)).min.as_primitive::<Decimal128Type>().value(0), 1250);
    assert_eq!(of("n", PrimitiveType::Decimal(10, 2)).min.as_primitive::<Decimal128Type>().value(0), 7);
    let float = of("f", PrimitiveType::Double);
    assert_eq!((float.min.as_primitive::<Float64Type>().value(0), float.max.is_null(0)), (1000.0, true));
    assert_eq!(of("s", PrimitiveType::String).min.as_string::<i32>().value(0), "a\"b");
    assert!(of("s", PrimitiveType::Binary).min.is_null(0));
}

#[test]
fn chunk_keeps_parsed_columns_and_widens_truncated_times() {
    let stats = r#"{"numRecords":2,"maxValues":{"t":"2021-01-01T00:00:00.123Z"},"tightBounds":false}"#;
    let file = Action::Add(Add { path: "a".into(), stats: Some(stats.into()), ..Add::default() });
    let state = replay(vec![vec![file]]).expect("a state");
    let chunk = &state.files.chunks()[0];
    let path = ["t".to_owned()];
    let parsed = chunk.stats_column(&path, &PrimitiveType::Timestamp).expect("parsed");
    assert_eq!(parsed.max.as_primitive::<TimestampMicrosecondType>().value(0), 1_609_459_200_123_999);
    assert_eq!(*parsed.max.data_type(), PrimitiveType::Timestamp.to_arrow());
    let again = chunk.stats_column(&path, &PrimitiveType::Timestamp).expect("kept");
    assert!(Arc::ptr_eq(&parsed, &again));
    assert_eq!((chunk.num_records().value(0), chunk.tight_bounds().value(0)), (2, false));
}

/// A chunk as a checkpoint without statistics text gives it; the last row has text and no struct.
fn struct_chunk() -> FileChunk {
    let group = |values: Vec<Option<i64>>| -> ArrayRef {
        let field = Arc::new(Field::new("a", arrow::datatypes::DataType::Int64, true));
        Arc::new(StructArray::from(vec![(field, Arc::new(Int64Array::from(values)) as ArrayRef)]))
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("numRecords", Arc::new(Int64Array::from(vec![Some(5), None, None]))),
        ("minValues", group(vec![Some(1), None, Some(99)])),
        ("maxValues", group(vec![Some(4), Some(2), Some(99)])),
        ("nullCount", group(vec![Some(0), None, Some(99)])),
    ];
    let fields: Vec<_> = columns.iter().map(|(n, c)| Field::new(*n, c.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, c)| c).collect();
    let parsed = StructArray::new(fields.into(), arrays, Some(vec![true, true, false].into()));
    FileChunk::new(ChunkColumns {
        paths: vec!["a", "b", "c"].into(),
        sizes: vec![1, 2, 3].into(),
        modification_times: vec![0, 0, 0].into(),
        partitions: vec![],
        deletion_vectors: None,
        base_row_ids: None,
        default_row_commit_versions: None,
        tags: None,
        clustering_providers: None,
        stats: Some(vec![None, None, Some(r#"{"numRecords":7,"minValues":{"a":7}}"#)].into()),
        stats_parsed: Some(parsed),
    })
    .expect("a chunk")
}

#[test]
fn parsed_statistics_serve_without_text() {
    let chunk = struct_chunk();
    let stats = chunk.stats_column(&["a".to_owned()], &PrimitiveType::Long).expect("stats");
    assert_eq!(longs(&stats.min), [Some(1), None, Some(7)]);
    assert_eq!(longs(&stats.max), [Some(4), Some(2), None]);
    assert_eq!(stats.null_count.iter().collect::<Vec<_>>(), [Some(0), None, None]);
    assert_eq!(chunk.num_records().iter().collect::<Vec<_>>(), [Some(5), None, Some(7)]);
    // A struct of integers is not read as dates.
    let dates = chunk.stats_column(&["a".to_owned()], &PrimitiveType::Date).expect("stats");
    assert_eq!(dates.min.null_count(), 3);
    let expected = r#"{"numRecords":5,"minValues":{"a":1},"maxValues":{"a":4},"nullCount":{"a":0}}"#;
    assert_eq!(chunk.stats_json(0).as_deref(), Some(expected));
    assert_eq!(chunk.stats_json(2).as_deref(), Some(r#"{"numRecords":7,"minValues":{"a":7}}"#));
}

#[test]
fn merged_chunks_keep_statistics_of_both_kinds() {
    let parsed = struct_chunk();
    let text = parsed.slice(2, 1).expect("a chunk");
    let mut columns = text.columns().clone();
    columns.stats_parsed = None;
    columns.partitions = vec![("p".into(), vec![Some("x")].into())];
    let text = FileChunk::new(columns).expect("a chunk");
    let merged = FileChunk::concat(&[(&parsed, None), (&text, None)]).expect("merged");
    let stats = merged.stats_column(&["a".to_owned()], &PrimitiveType::Long).expect("stats");
    assert_eq!(longs(&stats.min), [Some(1), None, Some(7), Some(7)]);
    assert_eq!(
        merged.partition_column("p").map(|p| p.iter().collect::<Vec<_>>()),
        Some(vec![None, None, None, Some("x")])
    );
}

#[test]
fn a_local_file_is_one_however_its_absolute_path_is_written() {
    let add = |path: &str| Action::Add(Add { path: path.into(), size: 1, ..Add::default() });
    let remove = |path: &str| Action::Remove(Remove { path: path.into(), ..Remove::default() });
    let forms = ["/a/b%20c", "file:/a/b%20c", "file:///a/b%20c"];
    for first in forms {
        for second in forms {
            let mut replay = Replay::new();
            replay.add_commit(v(0), &[protocol(), metadata(), add(first)]).expect("applied");
            replay.add_commit(v(1), &[remove(second)]).expect("applied");
            assert_eq!(replay.finish(v(1)).expect("a state").files.len(), 0, "{first} {second}");
        }
    }
}
