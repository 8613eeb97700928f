//! Faults by their ids in docs/faults.md: what a damaged or hostile log does to whoever reads the table. Each gives the
//! typed error that it should, or the right rows; none gives fewer rows.

use bytes::Bytes;
use floe_storage::StorageError;
use floe_table::{CreateTable, ErrorKind, Result, Table, TableError};
use floe_table_format::path::{checkpoint_name, commit_name, multi_part_checkpoint_name};
use floe_table_format::segment::LastCheckpointHint;
use floe_table_format::{CompareOp, FormatError, Predicate, Scalar, Version, VersionSpec};
use floe_testkit::{Batch, rows};
use futures::TryStreamExt;

use crate::world::{World, delete_ids, names, range, rows_at, rows_now};

fn v(number: u64) -> Version {
    Version::new(number).expect("small")
}

/// Three versions: a table, ten rows, ten more.
async fn three_versions() -> World {
    let world = World::with_names().await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    world.table.append(vec![range(10..20)]).await.expect("appended");
    world
}

async fn write(world: &World, name: &str, bytes: impl Into<Bytes>) {
    world.table.log_store().write(name, bytes.into()).await.expect("written");
}

async fn read(world: &World, name: &str) -> Bytes {
    world.table.log_store().read(name).await.expect("read")
}

async fn line(world: &World, version: u64, holds: &str) -> String {
    let text = String::from_utf8(read(world, &commit_name(v(version))).await.to_vec()).expect("text");
    text.lines().find(|line| line.contains(holds)).expect("such a line").to_owned()
}

/// Adds a commit of these lines after the newest version.
async fn commit(world: &World, version: u64, lines: &[&str]) {
    write(world, &commit_name(v(version)), lines.join("\n")).await;
}

/// The rows as a reader sees them who has never seen the table.
async fn seen(world: &World) -> Result<Vec<String>> {
    let table = Table::builder("memory:///t").with_location(world.table.location().clone()).open().await?;
    let batches: Vec<_> = table.snapshot().await?.scan().stream().await?.try_collect().await?;
    Ok(rows(&batches))
}

async fn refused(world: &World) -> TableError {
    seen(world).await.expect_err("refused")
}

/// The protocol rule that is broken.
async fn broken(world: &World) -> FormatError {
    let error = refused(world).await;
    error.format_error().unwrap_or_else(|| panic!("not about the format: {error}")).clone()
}

#[tokio::test]
async fn d2_an_empty_or_zero_filled_commit_is_corrupt_and_no_empty_commit() {
    for bytes in [&b""[..], &[0u8; 700][..], &b"\n\n \n"[..]] {
        let world = three_versions().await;
        write(&world, &commit_name(v(2)), bytes).await;
        assert!(matches!(broken(&world).await, FormatError::CorruptLog { version, .. } if version == Some(v(2))));
        assert_eq!(rows_at(&world.table, 1).await.len(), 10, "older versions read");
    }
}

#[tokio::test]
async fn d3_a_torn_commit_is_corrupt_at_every_byte_but_a_missing_line_end_is_none() {
    let world = three_versions().await;
    let whole = read(&world, &commit_name(v(2))).await;
    let unended = whole.len() - 1;
    for length in (1..unended).step_by(7) {
        if whole[length - 1] == b'\n' || whole[length] == b'\n' {
            continue;
        }
        write(&world, &commit_name(v(2)), whole.slice(..length)).await;
        let error = broken(&world).await;
        assert!(matches!(error, FormatError::CorruptLog { line: Some(_), .. }), "{length}: {error}");
    }
    write(&world, &commit_name(v(2)), whole.slice(..unended)).await;
    assert_eq!(rows_now(&world).await.len(), 20);
}

#[tokio::test]
async fn d9_leftovers_beside_the_log_are_passed_over() {
    let world = three_versions().await;
    for name in ["00000000000000000003.json.tmp", ".00000000000000000003.json.crc", "3.json", "_commits/x"] {
        write(&world, name, &b"rubbish"[..]).await;
    }
    assert_eq!(rows_now(&world).await.len(), 20);
}

#[tokio::test]
async fn e1_what_is_unknown_is_passed_over_and_what_is_known_must_decode() {
    let world = three_versions().await;
    let new = r#"{"shiny":{"add":{"path":"x"}},"txn":{"appId":"a","version":1,"more":[1]}}"#;
    commit(&world, 3, &[new, r#"{"commitInfo":{"a":{"b":[{}]}}}"#]).await;
    assert_eq!(rows_now(&world).await.len(), 20);
    for bad in [
        r#"{"add":{"path":7,"size":1,"partitionValues":{}}}"#,
        r#"{"add":{"size":1,"partitionValues":{}}}"#,
        r#"{"add":{"path":"a","path":"b","size":1,"partitionValues":{}}}"#,
        r#"{"remove":{"dataChange":true}}"#,
        r#"{"txn":{"appId":"a","version":1.5}}"#,
        r#"{"protocol":{"minReaderVersion":"1","minWriterVersion":2}}"#,
        r#"[{"add":{"path":"a","size":1}}]"#,
        r#"{"add":"#,
    ] {
        commit(&world, 3, &[new, bad]).await;
        let error = broken(&world).await;
        let at = matches!(&error, FormatError::CorruptLog { version, line: Some(2), .. } if *version == Some(v(3)));
        assert!(at, "{bad}: {error}");
    }
}

#[tokio::test]
async fn e2_a_commit_that_contradicts_itself_is_corrupt() {
    let world = three_versions().await;
    let add = line(&world, 2, "\"add\"").await;
    let remove = add.replacen("{\"add\":", "{\"remove\":", 1);
    let (protocol, metadata) = (line(&world, 0, "\"protocol\"").await, line(&world, 0, "\"metaData\"").await);
    for twice in [[&add, &add], [&add, &remove], [&remove, &add], [&protocol, &protocol], [&metadata, &metadata]] {
        commit(&world, 3, &twice.map(String::as_str)).await;
        assert!(matches!(broken(&world).await, FormatError::CorruptLog { .. }), "{twice:?}");
    }
    let world = three_versions().await;
    for missing in ["\"protocol\"", "\"metaData\""] {
        let whole = read(&world, &commit_name(v(0))).await;
        let text = String::from_utf8(whole.to_vec()).expect("text");
        let less: Vec<&str> = text.lines().filter(|line| !line.contains(missing)).collect();
        write(&world, &commit_name(v(0)), less.join("\n")).await;
        assert!(matches!(broken(&world).await, FormatError::CorruptLog { .. }), "{missing}");
        write(&world, &commit_name(v(0)), whole).await;
    }
}

#[tokio::test]
async fn e3_the_newest_reference_to_a_file_counts() {
    let world = three_versions().await;
    let add = line(&world, 2, "\"add\"").await;
    let remove = add.replacen("{\"add\":", "{\"remove\":", 1);
    commit(&world, 3, &[&remove]).await;
    assert_eq!(rows_now(&world).await.len(), 10);
    commit(&world, 4, &[&add]).await;
    assert_eq!(rows_now(&world).await.len(), 20, "added again");
    commit(&world, 5, &[&add]).await;
    assert_eq!(rows_now(&world).await.len(), 20, "added twice, there once");
    let other = remove.replacen("{\"remove\":{", r#"{"remove":{"deletionVector":{"storageType":"u","pathOrInlineDv":"ab^-aqEH.-t@S}K{vb[*k^","offset":1,"sizeInBytes":34,"cardinality":2},"#, 1);
    commit(&world, 6, &[&other]).await;
    assert_eq!(rows_now(&world).await.len(), 20, "another logical file was removed");
}

#[tokio::test]
async fn e4_a_damaged_checkpoint_gives_way_to_an_older_one_or_the_log() {
    let world = three_versions().await;
    world.table.checkpoint().await.expect("a checkpoint");
    world.table.append(vec![range(20..25)]).await.expect("appended");
    world.table.checkpoint().await.expect("a checkpoint");
    let whole = read(&world, &checkpoint_name(v(3))).await;
    // The commits that the older checkpoint covers are gone.
    for version in 0..=2 {
        world.table.log_store().delete(&commit_name(v(version))).await.expect("deleted");
    }
    for damaged in [whole.slice(..whole.len() / 2), Bytes::new(), Bytes::from_static(b"PAR1rubbishPAR1")] {
        write(&world, &checkpoint_name(v(3)), damaged).await;
        assert_eq!(rows_now(&world).await.len(), 25);
    }
    // Neither is enough.
    write(&world, &checkpoint_name(v(2)), &b"PAR1rubbishPAR1"[..]).await;
    write(&world, &checkpoint_name(v(3)), &b"PAR1rubbishPAR1"[..]).await;
    let error = refused(&world).await;
    assert!(matches!(error.format_error(), Some(FormatError::CorruptCheckpoint { .. })), "{error}");
    assert_eq!(error.kind(), ErrorKind::Repair);
}

#[tokio::test]
async fn e4_a_checkpoint_without_a_part_or_a_sidecar_is_no_checkpoint() {
    let world = three_versions().await;
    world.table.checkpoint().await.expect("a checkpoint");
    let whole = read(&world, &checkpoint_name(v(2))).await;
    world.table.log_store().delete(&checkpoint_name(v(2))).await.expect("deleted");
    write(&world, &multi_part_checkpoint_name(v(2), 2, 2), whole.clone()).await;
    assert_eq!(rows_now(&world).await.len(), 20, "from the log");
    let manifest = |sidecar: &str| {
        let lines = [
            r#"{"checkpointMetadata":{"version":2}}"#,
            &format!(r#"{{"sidecar":{{"path":"{sidecar}","sizeInBytes":9,"modificationTime":1}}}}"#),
        ];
        lines.join("\n")
    };
    let name = format!("{:020}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json", 2);
    write(&world, &name, manifest("gone.parquet")).await;
    assert_eq!(rows_now(&world).await.len(), 20, "from the log");
    for version in 0..=2 {
        world.table.log_store().delete(&commit_name(v(version))).await.expect("deleted");
    }
    assert!(matches!(broken(&world).await, FormatError::CorruptCheckpoint { .. }));
}

#[tokio::test]
async fn e4_the_hint_is_never_needed_and_never_believed() {
    let world = three_versions().await;
    world.table.checkpoint().await.expect("a checkpoint");
    for hint in [
        "",
        "{",
        "{\"version\":-3}",
        "{\"version\":9223372036854775807,\"size\":1}",
        "{\"version\":1,\"size\":\"x\"}",
        "[]",
    ] {
        write(&world, LastCheckpointHint::NAME, hint).await;
        assert_eq!(rows_now(&world).await.len(), 20, "{hint}");
    }
}

#[tokio::test]
async fn e7_statistics_that_are_missing_or_odd_skip_nothing() {
    let odd = [
        "",
        r#","stats":null"#,
        r#","stats":"rubbish""#,
        r#","stats":"{\"numRecords\":10}""#,
        r#","stats":"{\"numRecords\":10,\"minValues\":{\"id\":\"x\"},\"maxValues\":{\"id\":[]}}""#,
        r#","stats":"{\"numRecords\":10,\"minValues\":{\"id\":null},\"maxValues\":{\"id\":\"NaN\"}}""#,
        r#","stats":"{\"numRecords\":10,\"minValues\":{\"id\":1e400},\"maxValues\":{\"id\":-1e400}}""#,
    ];
    for stats in odd {
        let world = three_versions().await;
        let text = String::from_utf8(read(&world, &commit_name(v(2))).await.to_vec()).expect("text");
        let from = text.find(",\"stats\":\"").expect("statistics");
        let to = from + text[from..].find("}\"").expect("their end") + 2;
        write(&world, &commit_name(v(2)), format!("{}{stats}{}", &text[..from], &text[to..])).await;
        let table = world.other_handle().await;
        let wanted = Predicate::compare("id", CompareOp::Eq, Scalar::Long(15));
        let scan = table.snapshot().await.expect("loaded").scan().with_predicate(wanted);
        let found: Vec<_> = scan.stream().await.expect("planned").try_collect().await.expect("read");
        assert_eq!(rows(&found), ["15|n15"], "{stats}");
    }
}

#[tokio::test]
async fn e8_a_missing_or_damaged_file_is_an_error_and_not_fewer_rows() {
    let world = three_versions().await;
    let path = world.table.snapshot().await.expect("loaded").scan().plan().expect("planned").files[0].path.clone();
    let whole = world.table.data_store().get(&path).await.expect("read");
    let corrupt = |error: TableError| match error {
        TableError::Storage { source, .. } => matches!(*source, StorageError::CorruptDataFile { .. }),
        _ => false,
    };
    let longer = [whole.as_ref(), b"more"].concat();
    for damaged in
        [whole.slice(..whole.len() - 9), Bytes::new(), Bytes::from(longer), Bytes::from(vec![7; whole.len()])]
    {
        world.table.data_store().put(&path, damaged).await.expect("written");
        assert!(corrupt(refused(&world).await));
    }
    for deleted in world.table.data_store().delete_many(vec![path]).await {
        deleted.expect("deleted");
    }
    let error = refused(&world).await;
    let missing = matches!(&error, TableError::Storage { source, .. } if matches!(source.as_ref(), StorageError::NotFound { .. }));
    assert!(missing, "{error}");
}

#[tokio::test]
async fn e9_a_deletion_vector_that_is_damaged_brings_no_row_back() {
    let create = CreateTable::from_arrow(&names(&[]).schema())
        .expect("a Delta schema")
        .with_property("delta.enableDeletionVectors", "true");
    let world = World::new(create).await;
    world.table.append(vec![range(0..1000)]).await.expect("appended");
    let snapshot = world.table.snapshot().await.expect("loaded");
    let ids: Vec<i64> = (0..1000).filter(|id| id % 3 == 0).collect();
    let change = delete_ids(&world.table, &snapshot, &ids).await.expect("planned");
    let _ = change.commit().await.expect("written").committed().expect("no conflict");
    let snapshot = world.table.snapshot().await.expect("loaded");
    let vector = snapshot.state().files.iter().find_map(|file| file.deletion_vector()).expect("a vector");
    let path = floe_table_format::deletion_vector::relative_path(&vector).expect("a path").expect("a file");
    let whole = world.table.data_store().get(&path).await.expect("read");
    let mut flipped = whole.to_vec();
    flipped[whole.len() / 2] ^= 1;
    for damaged in
        [whole.slice(..whole.len() - 1), Bytes::new(), Bytes::from(flipped), Bytes::from(vec![0; whole.len()])]
    {
        world.table.data_store().put(&path, damaged).await.expect("written");
        assert!(matches!(broken(&world).await, FormatError::CorruptDv { .. }));
    }
    for deleted in world.table.data_store().delete_many(vec![path]).await {
        deleted.expect("deleted");
    }
    assert!(matches!(broken(&world).await, FormatError::CorruptDv { .. }));
    // Vectors in the log: too short for a magic number, of text that is none, of another count, beyond the file.
    let add = line(&world, 2, "\"add\"").await;
    let inline = |dv: &str| {
        let mut action: serde_json::Value = serde_json::from_str(&add).expect("JSON");
        action["add"]["deletionVector"] = serde_json::from_str(dv).expect("JSON");
        action.to_string()
    };
    let remove = line(&world, 2, "\"remove\"").await;
    for dv in [
        r#"{"storageType":"i","pathOrInlineDv":"","sizeInBytes":0,"cardinality":0}"#,
        r#"{"storageType":"i","pathOrInlineDv":"abc","sizeInBytes":3,"cardinality":1}"#,
        r#"{"storageType":"i","pathOrInlineDv":"\u00e4\u00f6\u00fc12","sizeInBytes":4,"cardinality":1}"#,
        r#"{"storageType":"i","pathOrInlineDv":"^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L","sizeInBytes":44,"cardinality":7}"#,
        r#"{"storageType":"i","pathOrInlineDv":"^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L","sizeInBytes":-1,"cardinality":6}"#,
        r#"{"storageType":"?","pathOrInlineDv":"x","sizeInBytes":40,"cardinality":1}"#,
        r#"{"storageType":"u","pathOrInlineDv":"short","sizeInBytes":40,"cardinality":1}"#,
    ] {
        commit(&world, 2, &[&remove, &inline(dv)]).await;
        assert!(matches!(broken(&world).await, FormatError::CorruptDv { .. }), "{dv}");
    }
}

#[tokio::test]
async fn e11_what_no_reader_of_this_build_knows_is_refused_by_name() {
    for (protocol, named) in [
        (
            r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["timeMachine"],"writerFeatures":["timeMachine"]}}"#,
            "timeMachine",
        ),
        (
            r#"{"protocol":{"minReaderVersion":4,"minWriterVersion":7,"readerFeatures":[],"writerFeatures":[]}}"#,
            "reader version 4",
        ),
    ] {
        let world = three_versions().await;
        commit(&world, 3, &[protocol]).await;
        match broken(&world).await {
            FormatError::UnsupportedFeature { features, .. } => assert_eq!(features, [named]),
            other => panic!("{other}"),
        }
        assert_eq!(refused(&world).await.kind(), ErrorKind::Unsupported);
    }
    let world = three_versions().await;
    commit(
        &world,
        3,
        &[r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":7,"writerFeatures":["timeMachine"]}}"#],
    )
    .await;
    assert_eq!(rows_now(&world).await.len(), 20, "a writer's feature is no reader's business");
    let other = world.other_handle().await;
    let error = other.append(vec![range(20..21)]).await.expect_err("a writer must know it");
    assert!(matches!(error.format_error(), Some(FormatError::UnsupportedFeature { .. })), "{error}");
}

#[tokio::test]
async fn e12_partition_values_of_any_text_come_back() {
    let values = [
        Some("a b"),
        Some("a/b"),
        Some("a+b"),
        Some("a%20b"),
        Some("a=b"),
        Some("ü\u{301}😀"),
        Some("\u{1}\t\n"),
        Some("__HIVE_DEFAULT_PARTITION__x"),
        Some("."),
        Some(".."),
        Some("C:"),
        Some("x:y"),
        Some("?#[]{}|\\^`'\""),
        None,
    ];
    let batch = Batch::new().long("id", 0..values.len() as i64).text("p", values).build();
    let create = CreateTable::from_arrow(&batch.schema()).expect("a Delta schema").with_partition_columns(["p"]);
    let world = World::new(create).await;
    world.table.append(vec![batch.clone()]).await.expect("appended");
    assert_eq!(rows_now(&world).await, rows(std::slice::from_ref(&batch)));
    world.table.checkpoint().await.expect("a checkpoint");
    assert_eq!(rows_now(&world).await, rows(&[batch]));
    assert_eq!(world.table.check().await.expect("the store answers").findings, []);
}

#[tokio::test]
async fn e13_numbers_at_their_ends_are_refused_and_wrap_nowhere() {
    let world = three_versions().await;
    let add = line(&world, 2, "\"add\"").await;
    let size = add.find("\"size\":").expect("a size") + 7;
    let end = size + add[size..].find(',').expect("its end");
    let sized =
        |number: &str| format!("{}{number}{}", &add[..size], &add[end..]).replacen("\"path\":\"", "\"path\":\"x", 1);
    for number in ["-1", "9223372036854775808", "1e30", "1.5", "-9223372036854775809"] {
        commit(&world, 3, &[&sized(number)]).await;
        assert!(matches!(broken(&world).await, FormatError::CorruptLog { .. }), "{number}");
    }
    // Sizes that are numbers, and together none: nothing wraps; the file is of another size.
    commit(&world, 3, &[&sized("9223372036854775807"), &sized("9223372036854775806").replacen("\"x", "\"y", 1)]).await;
    refused(&world).await;
    world.table.log_store().delete(&commit_name(v(3))).await.expect("deleted");
    write(&world, "09223372036854775807.json", add.clone()).await;
    assert!(matches!(broken(&world).await, FormatError::CorruptLog { version, .. } if version == Some(v(3))));
    assert_eq!(rows_at(&world.table, 2).await.len(), 20);
    write(&world, "99999999999999999999.json", add).await;
    world.table.log_store().delete("09223372036854775807.json").await.expect("deleted");
    assert_eq!(rows_now(&world).await.len(), 20, "no version at all");
    let beyond = world.table.at(VersionSpec::Version(Version::MAX)).await.expect_err("no such version");
    assert!(matches!(beyond.format_error(), Some(FormatError::VersionNotFound { .. })), "{beyond}");
}

#[tokio::test]
async fn j1_paths_that_leave_the_table_are_refused_wherever_they_stand() {
    for path in [
        "../secrets.parquet",
        "a/../../secrets.parquet",
        "%2e%2e/secrets.parquet",
        "a/%2E%2E/%2e%2e/b",
        "..%2fsecrets",
        "..\\secrets",
        "%5c..%5csecrets",
        "/etc/passwd",
        "%2fetc/passwd",
        "C:/secrets",
        "s3://bucket/secrets",
        "file:///etc/passwd",
        "a%00b",
        "a//b",
        "",
    ] {
        let world = three_versions().await;
        let add = line(&world, 2, "\"add\"").await;
        let from = add.find("\"path\":\"").expect("a path") + 8;
        let to = from + add[from..].find('"').expect("its end");
        let text = serde_json::to_string(path).expect("JSON");
        commit(&world, 3, &[&format!("{}{}{}", &add[..from - 1], text, &add[to + 1..])]).await;
        let error = refused(&world).await;
        let named =
            matches!(error.format_error(), Some(FormatError::PathEscapesTable { .. } | FormatError::CorruptLog { .. }));
        assert!(named, "{path:?}: {error}");
    }
    // Sidecars are named by their names alone, and vectors by folders of the table.
    let world = three_versions().await;
    world.table.checkpoint().await.expect("a checkpoint");
    world.table.log_store().delete(&checkpoint_name(v(2))).await.expect("deleted");
    let (protocol, metadata) = (line(&world, 0, "\"protocol\"").await, line(&world, 0, "\"metaData\"").await);
    let sidecar = r#"{"sidecar":{"path":"../../secrets.parquet","sizeInBytes":9,"modificationTime":1}}"#;
    let name = format!("{:020}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json", 2);
    write(&world, &name, [r#"{"checkpointMetadata":{"version":2}}"#, &protocol, &metadata, sidecar].join("\n")).await;
    assert!(matches!(broken(&world).await, FormatError::PathEscapesTable { .. }));
}

#[tokio::test]
async fn j2_a_parquet_footer_that_lies_is_refused_before_it_is_believed() {
    let world = three_versions().await;
    let path = world.table.snapshot().await.expect("loaded").scan().plan().expect("planned").files[0].path.clone();
    let whole = world.table.data_store().get(&path).await.expect("read");
    let end = whole.len();
    for length in [u32::MAX, i32::MAX as u32, end as u32, 1 << 28, 0] {
        let mut forged = whole.to_vec();
        forged[end - 8..end - 4].copy_from_slice(&length.to_le_bytes());
        world.table.data_store().put(&path, forged.into()).await.expect("written");
        let error = refused(&world).await;
        assert!(
            matches!(&error, TableError::Storage { source, .. } if matches!(source.as_ref(), StorageError::CorruptDataFile { .. })),
            "{length}: {error}"
        );
    }
    // Every byte of the footer, one after the other: an error or the rows, and no panic.
    let before = rows_now_of(&whole, &world, &path).await;
    for at in (end.saturating_sub(600)..end).step_by(5) {
        let mut forged = whole.to_vec();
        forged[at] ^= 0x7f;
        world.table.data_store().put(&path, forged.into()).await.expect("written");
        if let Ok(found) = seen(&world).await {
            assert_eq!(found.len(), before, "byte {at}");
        }
    }
}

async fn rows_now_of(whole: &Bytes, world: &World, path: &str) -> usize {
    world.table.data_store().put(path, whole.clone()).await.expect("written");
    rows_now(world).await.len()
}

#[tokio::test]
async fn j3_json_bombs_are_refused_and_harmless_ones_pass() {
    let deep = |depth: usize| format!(r#"{{"unknown":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let world = three_versions().await;
    let nested = |depth: usize| format!(r#"{{"commitInfo":{{"x":{}1{}}}}}"#, "[".repeat(depth), "]".repeat(depth));
    for bomb in [nested(200), nested(1_000_000), format!(r#"{{"add":{{"path":{}"#, "{\"a\":".repeat(100_000))] {
        commit(&world, 3, &[&bomb]).await;
        assert!(matches!(broken(&world).await, FormatError::CorruptLog { line: Some(1), .. }));
    }
    write(&world, &commit_name(v(3)), &b"{\"add\":{\"path\":\"\xff\xfe\",\"size\":1,\"partitionValues\":{}}}"[..])
        .await;
    assert!(matches!(broken(&world).await, FormatError::CorruptLog { line: Some(1), .. }));
    // A million levels and a hundred thousand keys of an unknown action mean nothing.
    commit(&world, 3, &[&deep(1_000_000)]).await;
    assert_eq!(rows_now(&world).await.len(), 20);
    let keys: Vec<String> = (0..100_000).map(|key| format!("\"k{key}\":{key}")).collect();
    commit(&world, 3, &[&format!("{{\"unknown\":{{{}}}}}", keys.join(","))]).await;
    assert_eq!(rows_now(&world).await.len(), 20);
    // A schema as deep as that.
    let metadata = line(&world, 0, "\"metaData\"").await;
    let from = metadata.find("\"schemaString\":\"").expect("a schema") + 16;
    let to = from + metadata[from..].find("\",\"").expect("its end");
    let schema = format!(
        r#"{{\"type\":\"struct\",\"fields\":[{{\"name\":\"a\",\"nullable\":true,\"metadata\":{{}},\"type\":{}\"long\"{}}}]}}"#,
        r#"{\"type\":\"array\",\"containsNull\":true,\"elementType\":"#.repeat(100_000),
        "}".repeat(100_000)
    );
    commit(&world, 3, &[&format!("{}{schema}{}", &metadata[..from], &metadata[to..])]).await;
    let error = broken(&world).await;
    assert!(matches!(error, FormatError::LimitExceeded { .. }), "{error}");
}

#[tokio::test]
async fn j7_what_stands_in_a_log_cannot_reach_the_terminal() {
    let world = three_versions().await;
    let add = line(&world, 2, "\"add\"").await;
    let from = add.find("\"path\":\"").expect("a path") + 8;
    let to = from + add[from..].find('"').expect("its end");
    for path in ["../\\u001b[2J\\u0007evil", &format!("../{}", "x".repeat(100_000))] {
        commit(&world, 3, &[&format!("{}{path}{}", &add[..from], &add[to..])]).await;
        let said = refused(&world).await.to_string();
        assert!(!said.chars().any(char::is_control), "{said:?}");
        assert!(said.len() < 1000, "{} bytes", said.len());
        let report = world.other_handle().await.check().await.expect("the store answers");
        assert!(report.lines().iter().all(|(_, detail)| !detail.chars().any(char::is_control) && detail.len() < 3000));
    }
}

#[tokio::test]
async fn an_older_add_of_a_path_does_not_resurface_behind_a_filter() {
    // delta-kernel-rs 2945: files skipped by their statistics before references are reconciled.
    let world = three_versions().await;
    let add = line(&world, 2, "\"add\"").await;
    // The same file again, its statistics now saying that no id is above 12: the older add said 19.
    commit(&world, 3, &[&add.replacen(r#"\"maxValues\":{\"id\":19"#, r#"\"maxValues\":{\"id\":12"#, 1)]).await;
    let table = world.other_handle().await;
    let wanted = Predicate::compare("id", CompareOp::Gt, Scalar::Long(15));
    let plan = table.snapshot().await.expect("loaded").scan().with_predicate(wanted).plan().expect("planned");
    assert!(plan.files.is_empty(), "the newer add decides: {:?}", plan.files);
}

#[tokio::test]
async fn a_remove_without_the_vectors_id_leaves_the_file_and_is_found() {
    // trino 24648, 31253.
    let create = CreateTable::from_arrow(&names(&[]).schema())
        .expect("a Delta schema")
        .with_property("delta.enableDeletionVectors", "true");
    let world = World::new(create).await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    for id in [3, 4] {
        let snapshot = world.table.snapshot().await.expect("loaded");
        let change = delete_ids(&world.table, &snapshot, &[id]).await.expect("planned");
        let _ = change.commit().await.expect("written").committed().expect("no conflict");
    }
    let text = String::from_utf8(read(&world, &commit_name(v(3))).await.to_vec()).expect("text");
    let remove = text.lines().find(|line| line.contains("\"remove\"")).expect("a remove");
    let mut bare: serde_json::Value = serde_json::from_str(remove).expect("JSON");
    bare["remove"].as_object_mut().expect("an object").remove("deletionVector").expect("a vector");
    let bare = bare.to_string();
    write(&world, &commit_name(v(3)), text.replace(remove, &bare)).await;
    world.table.log_store().delete(&floe_table_format::path::checksum_name(v(3))).await.expect("deleted");
    let report = world.other_handle().await.check().await.expect("the store answers");
    let finding = report.of(floe_table::Rule::PathUnique).next().expect("the file is live twice");
    assert!(finding.quirks.iter().any(|quirk| quirk.writer == "Trino"), "{finding}");
}
