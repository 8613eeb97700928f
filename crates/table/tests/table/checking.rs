//! `check` names what is broken, each by its rule, and `repair` mends what can be mended without guessing.

use bytes::Bytes;
use floe_table::{CheckOptions, CheckReport, CreateTable, Repair, RepairOptions, Rule, Severity, Table};
use floe_table_format::VersionSpec;
use floe_table_format::path::{checkpoint_name, checksum_name, commit_name};
use floe_table_format::segment::LastCheckpointHint;
use floe_testkit::Batch;

use crate::world::{
    World, delete_ids, every_third_row_deleted, names, range, read, rows_now, three_versions, v, write,
};

async fn check(world: &World) -> CheckReport {
    world.table.check().await.expect("the store answers")
}

/// The rules that are broken, in the order in which that was found.
fn broken(report: &CheckReport) -> Vec<Rule> {
    report.findings.iter().filter(|f| f.severity > Severity::Note).map(|finding| finding.rule).collect()
}

/// Changes the text of a commit.
async fn edit(world: &World, version: u64, from: &str, to: &str) {
    let name = commit_name(v(version));
    let text = String::from_utf8(read(world, &name).await.to_vec()).expect("text");
    assert!(text.contains(from), "{text} holds no {from}");
    write(world, &name, text.replace(from, to)).await;
}

/// The path of the file that a version added.
async fn file_of(world: &World, version: u64) -> String {
    let snapshot = world.table.at(VersionSpec::Version(v(version))).await.expect("loaded");
    let before = world.table.at(VersionSpec::Version(v(version - 1))).await.expect("loaded");
    let path = snapshot.state().files.iter().map(|file| file.path().to_owned());
    let path = path.into_iter().find(|path| before.state().files.find(path).is_none());
    path.expect("a file of that version")
}

async fn delete_file(world: &World, path: &str) {
    let deleted = world.table.data_store().delete_many(vec![path.to_owned()]).await;
    deleted.into_iter().for_each(|result| result.expect("deleted"));
}

#[tokio::test]
async fn a_sound_table_has_no_findings() {
    let world = three_versions().await;
    let snapshot = world.table.snapshot().await.expect("loaded");
    let transaction = delete_ids(&world.table, &snapshot, &[3, 4, 15]).await.expect("planned");
    transaction.commit().await.expect("written").committed().expect("no conflict");
    world.table.checkpoint().await.expect("a checkpoint");
    world
        .table
        .append(vec![names(&[(30, "ä very long name that is cut in its statistics, for sure")])])
        .await
        .expect("appended");
    let report = check(&world).await;
    assert_eq!(report.findings, []);
    assert!(report.is_sound());
    assert_eq!((report.version, report.files), (v(4), 3));
    let line = report.lines().pop().expect("a line");
    assert_eq!(line, ("sound".to_owned(), "version 4, 3 files".to_owned()));
}

#[tokio::test]
async fn a_gap_in_the_log_is_named_and_the_rest_is_still_looked_at() {
    let world = three_versions().await;
    world.table.log_store().delete(&commit_name(v(1))).await.expect("deleted");
    let report = check(&world).await;
    assert_eq!(broken(&report), [Rule::LogContiguous, Rule::TableReadable]);
    assert_eq!(report.findings[0].found, "version 1 has no commit");
    assert!(!report.findings[0].quirks.is_empty(), "clean-ups are known for this");
}

#[tokio::test]
async fn a_table_that_does_not_load_is_checked_without_opening_it() {
    let world = three_versions().await;
    write(&world, &commit_name(v(2)), &b"{\"add\":"[..]).await;
    let builder = Table::builder("memory:///t").with_location(world.table.location().clone());
    assert!(builder.clone().open().await.is_err());
    let report = builder.unopened().expect("a handle").check().await.expect("the store answers");
    assert_eq!(broken(&report), [Rule::CommitReadable, Rule::TableReadable]);
    assert!(report.findings[0].found.contains("cut short"), "{}", report.findings[0]);
    let nothing = Table::builder("memory:///checking-nothing").unopened().expect("a handle").check().await;
    assert!(nothing.expect_err("no log").is_not_a_table());
}

#[tokio::test]
async fn a_torn_checkpoint_is_named_and_replaced() {
    let world = three_versions().await;
    let version = world.table.checkpoint().await.expect("a checkpoint");
    let name = checkpoint_name(version);
    let whole = read(&world, &name).await;
    write(&world, &name, whole.slice(..whole.len() / 2)).await;
    assert_eq!(broken(&check(&world).await), [Rule::CheckpointReadable]);

    let dry = RepairOptions { dry_run: true, ..RepairOptions::default() };
    let report = world.table.repair(dry).await.expect("looked at");
    assert_eq!(report.repairs, [Repair::CheckpointWritten { version }]);
    assert_eq!(broken(&check(&world).await), [Rule::CheckpointReadable], "nothing was changed");

    let report = world.table.repair(RepairOptions::default()).await.expect("repaired");
    assert_eq!(report.repairs, [Repair::CheckpointWritten { version }]);
    assert!(report.is_sound());
    assert_eq!(rows_now(&world).await.len(), 20);
}

#[tokio::test]
async fn a_checkpoint_that_disagrees_with_the_commits_is_named_and_left_alone() {
    let world = three_versions().await;
    let older = world.table.at(VersionSpec::Version(v(1))).await.expect("loaded");
    assert_eq!(older.state().files.len(), 1);
    world.table.checkpoint().await.expect("a checkpoint");
    let whole = read(&world, &checkpoint_name(v(2))).await;
    world.table.append(vec![range(20..30)]).await.expect("appended");
    // A checkpoint that lost a file, as one made of a partial snapshot would.
    write(&world, &checkpoint_name(v(3)), whole).await;
    for version in 0..4 {
        world.table.log_store().delete(&checksum_name(v(version))).await.expect("deleted");
    }
    let report = check(&world).await;
    let finding = report.of(Rule::CheckpointAgrees).next().expect("a finding");
    assert!(finding.found.contains("3 live files, and not 2"), "{finding}");
    assert_eq!(finding.severity, Severity::Error);
    let report = world.table.repair(RepairOptions::default()).await.expect("looked at");
    assert!(report.repairs.iter().all(|repair| !matches!(repair, Repair::CheckpointWritten { .. })));
    assert!(!report.is_sound());
}

#[tokio::test]
async fn a_wrong_hint_is_named_and_rewritten() {
    let world = three_versions().await;
    let version = world.table.checkpoint().await.expect("a checkpoint");
    let right = read(&world, LastCheckpointHint::NAME).await;
    for wrong in ["{\"versi", "{\"version\":99,\"size\":1}", "{\"version\":2,\"size\":1,\"parts\":3}"] {
        write(&world, LastCheckpointHint::NAME, wrong).await;
        assert_eq!(broken(&check(&world).await), [Rule::HintRight], "{wrong}");
        let report = world.table.repair(RepairOptions::default()).await.expect("repaired");
        assert_eq!(report.repairs, [Repair::HintRewritten { version }], "{wrong}");
        assert!(report.is_sound(), "{wrong}");
        let hint = LastCheckpointHint::parse(&read(&world, LastCheckpointHint::NAME).await).expect("a hint");
        let expected = LastCheckpointHint::parse(&right).expect("a hint");
        assert_eq!((hint.version, hint.size), (expected.version, expected.size), "{wrong}");
    }
    world.table.log_store().delete(LastCheckpointHint::NAME).await.expect("deleted");
    assert_eq!(broken(&check(&world).await), [Rule::HintRight]);
}

#[tokio::test]
async fn a_missing_file_is_named_and_given_up_only_when_asked() {
    let world = three_versions().await;
    let path = file_of(&world, 2).await;
    delete_file(&world, &path).await;
    let report = check(&world).await;
    assert_eq!(broken(&report), [Rule::FileThere]);
    assert_eq!(report.findings[0].path.as_deref(), Some(path.as_str()));

    let report = world.table.repair(RepairOptions::default()).await.expect("looked at");
    assert_eq!((report.repairs.len(), report.is_sound()), (0, false));

    let options = RepairOptions { drop_missing_files: true, ..RepairOptions::default() };
    let report = world.table.repair(options).await.expect("repaired");
    let [Repair::FilesDropped { version: Some(version), files }] = report.repairs.as_slice() else {
        panic!("{:?}", report.repairs);
    };
    assert_eq!((*version, files[0].path.as_str(), files[0].rows), (v(3), path.as_str(), Some(10)));
    assert!(report.is_sound());
    assert_eq!(rows_now(&world).await.len(), 10);
    assert_eq!(world.table.drop_missing_files(false).await.expect("looked at"), None);
    let history = world.table.history(Some(1)).await.expect("read");
    assert_eq!(history[0].info.operation.as_deref(), Some("FSCK REPAIR TABLE"));
}

#[tokio::test]
async fn a_keyed_table_is_repaired_too() {
    let create = CreateTable::from_arrow(&names(&[]).schema()).expect("a Delta schema").with_primary_key(["id"]);
    let world = World::new(create).await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    world.table.append(vec![range(10..20)]).await.expect("appended");
    assert_eq!((check(&world).await.findings, check(&world).await.rows), (Vec::new(), 20));
    let path = file_of(&world, 2).await;
    delete_file(&world, &path).await;
    let options = RepairOptions { drop_missing_files: true, ..RepairOptions::default() };
    assert!(world.table.repair(options).await.expect("repaired").is_sound());
    world.table.append(vec![range(10..20)]).await.expect("the keys are free again");
}

#[tokio::test]
async fn files_that_are_not_what_the_log_says_are_named() {
    let world = three_versions().await;
    let path = file_of(&world, 2).await;
    let whole = world.table.data_store().get(&path).await.expect("read");
    world.table.data_store().put(&path, whole.slice(..whole.len() - 20)).await.expect("written");
    let report = check(&world).await;
    assert_eq!(broken(&report), [Rule::FileSize, Rule::FileReadable]);
    let mut flipped = whole.to_vec();
    let end = flipped.len() - 12;
    flipped[end] ^= 0xff;
    world.table.data_store().put(&path, flipped.into()).await.expect("written");
    let found = broken(&check(&world).await);
    assert!(found.is_empty() || found[0] == Rule::FileReadable || found[0] == Rule::RowCount, "{found:?}");
}

#[tokio::test]
async fn statistics_that_are_not_true_are_named_with_the_value() {
    for (from, to, rule, telling) in [
        (
            r#"\"minValues\":{\"id\":10"#,
            r#"\"minValues\":{\"id\":11"#,
            Rule::StatisticsTrue,
            "column id: value 10 lies below the minimum 11",
        ),
        (
            r#"\"maxValues\":{\"id\":19"#,
            r#"\"maxValues\":{\"id\":18"#,
            Rule::StatisticsTrue,
            "column id: value 19 lies above the maximum 18",
        ),
        (
            r#"\"nullCount\":{\"id\":0"#,
            r#"\"nullCount\":{\"id\":3"#,
            Rule::StatisticsTrue,
            "0 of 10 rows are null, nullCount is 3",
        ),
        (r#"\"numRecords\":10"#, r#"\"numRecords\":12"#, Rule::RowCount, "10 rows, numRecords is 12"),
        (r#"\"tightBounds\":true}"#, r#"\"tightBounds\":true"#, Rule::StatisticsReadable, "no JSON object"),
    ] {
        let world = three_versions().await;
        edit(&world, 2, from, to).await;
        let report = check(&world).await;
        assert_eq!(broken(&report), [rule], "{to}: {:?}", report.lines());
        let finding = &report.findings[0];
        assert!(finding.found.contains(telling), "{finding}");
        if rule == Rule::StatisticsTrue {
            let quick = CheckOptions { rows: false, ..CheckOptions::default() };
            assert!(world.table.check_with(quick).await.expect("looked at").is_sound(), "rows were not read");
            assert!(finding.writer.as_deref().is_some_and(|writer| writer.starts_with("floe")), "{finding}");
        }
    }
}

#[tokio::test]
async fn null_counts_are_lies_only_where_they_mean_something() {
    let create = CreateTable::from_arrow(&names(&[]).schema())
        .expect("a Delta schema")
        .with_property("delta.enableDeletionVectors", "true");
    let world = World::new(create).await;
    let batch = Batch::new().long("id", [1, 2, 3]).text("name", [None, Some("b"), None::<&str>]).build();
    world.table.append(vec![batch]).await.expect("appended");
    let snapshot = world.table.snapshot().await.expect("loaded");
    let transaction = delete_ids(&world.table, &snapshot, &[1]).await.expect("planned");
    transaction.commit().await.expect("written").committed().expect("no conflict");
    // Two nulls in the file and one in the table: the bounds are wide, so both are true.
    assert_eq!(check(&world).await.findings, []);
    edit(&world, 2, r#"\"nullCount\":{\"id\":0,\"name\":2}"#, r#"\"nullCount\":{\"id\":0,\"name\":0}"#).await;
    assert_eq!(broken(&check(&world).await), [Rule::StatisticsTrue]);
}

#[tokio::test]
async fn damaged_deletion_vectors_are_named() {
    let create = CreateTable::from_arrow(&names(&[]).schema())
        .expect("a Delta schema")
        .with_property("delta.enableDeletionVectors", "true");
    let world = World::new(create).await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    let snapshot = world.table.snapshot().await.expect("loaded");
    let transaction = delete_ids(&world.table, &snapshot, &[3, 4]).await.expect("planned");
    transaction.commit().await.expect("written").committed().expect("no conflict");
    edit(&world, 2, r#""cardinality":2"#, r#""cardinality":3"#).await;
    let report = check(&world).await;
    assert!(broken(&report).contains(&Rule::VectorReadable), "{:?}", report.lines());
    assert!(report.of(Rule::VectorReadable).any(|finding| finding.found.contains("marks 2 rows")));
}

#[tokio::test]
async fn a_checksum_that_disagrees_is_named() {
    let world = three_versions().await;
    let name = checksum_name(v(1));
    let text = String::from_utf8(read(&world, &name).await.to_vec()).expect("text");
    write(&world, &name, text.replace("\"numFiles\":1", "\"numFiles\":7")).await;
    let report = check(&world).await;
    assert_eq!(broken(&report), [Rule::ChecksumAgrees]);
    assert!(report.findings[0].found.contains("the checksum says 7, the log holds 1"), "{}", report.findings[0]);
    write(&world, &name, &b"garbage"[..]).await;
    assert_eq!(broken(&check(&world).await), [Rule::ChecksumReadable]);
}

#[tokio::test]
async fn compacted_commits_are_held_against_the_commits() {
    let world = three_versions().await;
    let lines = |bytes: Bytes| -> Vec<String> {
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        text.lines().filter(|line| !line.contains("commitInfo")).map(str::to_owned).collect()
    };
    let (one, two) = (lines(read(&world, &commit_name(v(1))).await), lines(read(&world, &commit_name(v(2))).await));
    let name = format!("{:020}.{:020}.compacted.json", 1, 2);
    write(&world, &name, [one.clone(), two].concat().join("\n")).await;
    assert_eq!(check(&world).await.findings, []);
    write(&world, &name, one.join("\n")).await;
    let found = broken(&check(&world).await);
    assert!(found.contains(&Rule::CompactionAgrees), "{found:?}");
}

#[tokio::test]
async fn in_commit_timestamps_that_do_not_rise_are_named() {
    let create = CreateTable::from_arrow(&names(&[]).schema())
        .expect("a Delta schema")
        .with_property("delta.enableInCommitTimestamps", "true");
    let world = World::new(create).await;
    world.table.append(vec![range(0..3)]).await.expect("appended");
    world.table.append(vec![range(3..5)]).await.expect("appended");
    assert_eq!(check(&world).await.findings, []);
    edit(&world, 1, "\"inCommitTimestamp\":", "\"inCommitTimestamp\":9").await;
    let report = check(&world).await;
    let versions: Vec<_> = report.of(Rule::TimesRise).map(|finding| finding.version).collect();
    assert_eq!(versions, [Some(v(2))], "{:?}", report.lines());
    edit(&world, 1, "\"inCommitTimestamp\":", "\"someTimestamp\":").await;
    let report = check(&world).await;
    assert!(report.of(Rule::TimesRise).any(|f| f.version == Some(v(1)) && f.found.contains("carries none")));
}

#[tokio::test]
async fn a_vectors_file_of_another_format_is_named() {
    let (world, path) = every_third_row_deleted().await;
    assert_eq!(check(&world).await.findings, []);
    let mut bytes = world.table.data_store().get(&path).await.expect("read").to_vec();
    bytes[0] = 2;
    world.table.data_store().put(&path, bytes.into()).await.expect("written");
    let report = check(&world).await;
    assert_eq!(broken(&report), [Rule::VectorReadable]);
    assert!(report.findings[0].found.contains("format version 2"), "{}", report.findings[0]);
}

#[tokio::test]
async fn a_protocol_that_contradicts_itself_is_named() {
    let world = World::new(
        CreateTable::from_arrow(&names(&[]).schema())
            .expect("a Delta schema")
            .with_property("delta.enableDeletionVectors", "true"),
    )
    .await;
    edit(&world, 0, r#""writerFeatures":["#, r#""writerFeatures":["rowTracking","#).await;
    let report = check(&world).await;
    let found: Vec<&str> = report.of(Rule::ProtocolConsistent).map(|finding| finding.found.as_str()).collect();
    assert_eq!(found, ["rowTracking is listed without domainMetadata, which it requires"]);
    edit(&world, 0, r#""readerFeatures":["#, r#""readerFeatures":["v2Checkpoint","#).await;
    let report = check(&world).await;
    assert!(report.of(Rule::ProtocolConsistent).any(|f| f.found.contains("v2Checkpoint is listed for readers")));
}

#[tokio::test]
async fn properties_that_do_not_decode_are_named_and_stop_writers_only() {
    let world = three_versions().await;
    edit(&world, 0, "\"configuration\":{", "\"configuration\":{\"delta.logRetentionDuration\":\"many days\",").await;
    for version in 0..3 {
        world.table.log_store().delete(&checksum_name(v(version))).await.expect("deleted");
    }
    assert_eq!(rows_now(&world).await.len(), 20);
    assert_eq!(broken(&check(&world).await), [Rule::PropertyUsable]);
    let other = world.other_handle().await;
    for error in [
        other.append(vec![range(20..21)]).await.expect_err("a writer must not guess").to_string(),
        other.vacuum(floe_table::VacuumOptions::default()).await.expect_err("nor a clean-up").to_string(),
        other.clean_up_log().await.expect_err("nor of the log").to_string(),
    ] {
        assert!(error.contains("delta.logRetentionDuration"), "{error}");
    }
    // Whoever sets it right may.
    let right = [("delta.logRetentionDuration".to_owned(), "interval 9 days".to_owned())].into();
    other.set_properties(right).await.expect("set");
    other.append(vec![range(20..21)]).await.expect("writable again");
}

#[tokio::test]
async fn row_ids_that_two_files_share_are_named() {
    let create = CreateTable::from_arrow(&names(&[]).schema())
        .expect("a Delta schema")
        .with_property("delta.enableRowTracking", "true");
    let world = World::new(create).await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    world.table.append(vec![range(10..20)]).await.expect("appended");
    assert_eq!(check(&world).await.findings, []);
    edit(&world, 2, "\"baseRowId\":10", "\"baseRowId\":9").await;
    let report = check(&world).await;
    assert!(report.of(Rule::RowIdsUnique).any(|f| f.found.contains("begin with 9")), "{:?}", report.lines());
}

#[tokio::test]
async fn a_missing_change_file_is_named_with_its_version() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..3)]).await.expect("appended");
    world.table.data_store().put("_change_data/a", Bytes::from_static(b"x")).await.expect("written");
    let lines = |file: &str| {
        format!("{{\"commitInfo\":{{}}}}\n{{\"cdc\":{{\"path\":\"{file}\",\"partitionValues\":{{}},\"size\":1}}}}\n")
    };
    write(&world, &commit_name(v(2)), lines("_change_data/a")).await;
    assert_eq!(check(&world).await.findings, []);
    write(&world, &commit_name(v(2)), lines("_change_data/b")).await;
    let report = check(&world).await;
    assert_eq!(broken(&report), [Rule::ChangeFileThere]);
    assert_eq!((report.findings[0].version, report.findings[0].path.as_deref()), (Some(v(2)), Some("_change_data/b")));
}

#[tokio::test]
async fn partition_values_of_another_type_are_named() {
    let batch = Batch::new().long("id", [1]).long("p", [7]).build();
    let create = CreateTable::from_arrow(&batch.schema()).expect("a Delta schema").with_partition_columns(["p"]);
    let world = World::new(create).await;
    world.table.append(vec![batch]).await.expect("appended");
    assert_eq!(check(&world).await.findings, []);
    edit(&world, 1, r#""partitionValues":{"p":"7"}"#, r#""partitionValues":{"p":"seven"}"#).await;
    assert_eq!(broken(&check(&world).await)[0], Rule::PartitionValuesParse);
}

#[tokio::test]
async fn findings_of_a_rule_are_counted_where_they_are_many() {
    let world = World::with_names().await;
    for id in 0..25 {
        world.table.append(vec![range(id..id + 1)]).await.expect("appended");
    }
    let paths: Vec<String> =
        world.table.snapshot().await.expect("loaded").state().files.iter().map(|f| f.path().to_owned()).collect();
    for path in &paths {
        delete_file(&world, path).await;
    }
    let report = check(&world).await;
    assert_eq!((report.findings.len(), report.totals[&Rule::FileThere]), (20, 25));
    assert!(report.lines().iter().any(|(_, detail)| detail == "25 in all, 20 are told"));
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!((&json["findings"][0]["rule"], &json["totals"]["file-there"]), (&"file-there".into(), &25.into()));
}
