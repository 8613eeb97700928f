//! A log, and what it names, that is not what it should be.

use bytes::Bytes;
use floe_storage::StorageError;
use floe_table::{CreateTable, ErrorKind, TableError};
use floe_table_format::path::{checkpoint_name, commit_name, multi_part_checkpoint_name};
use floe_table_format::segment::LastCheckpointHint;
use floe_table_format::{CompareOp, FormatError, Predicate, Scalar, Version, VersionSpec};
use floe_testkit::{Batch, rows};
use futures::TryStreamExt;

use super::{broken, commit, line, refused};
use crate::world::{World, every_third_row_deleted, range, read, rows_at, rows_now, three_versions, v, write};

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
    let (world, path) = every_third_row_deleted().await;
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
