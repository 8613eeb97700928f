use serde_json::json;

use super::testing::{file, metadata, protocol, removal, schema, table, table_of, with_vector};
use super::*;
use crate::action::{Add, Cdc, DomainMetadata, Remove, Txn, parse_commit};
use crate::change::Operation;
use crate::predicate::Predicate;
use crate::property::IsolationLevel;

const ALL: &[&str] = &[
    "appendOnly",
    "invariants",
    "deletionVectors",
    "inCommitTimestamp",
    "rowTracking",
    "domainMetadata",
    "changeDataFeed",
];

fn stamp(now: i64) -> Stamp {
    Stamp { token: "4b2c8f1e-0000-4000-8000-000000000001".into(), now: TimestampMs(now) }
}

fn change(adds: Vec<Add>, removes: Vec<Remove>) -> ChangeSet {
    ChangeSet { adds, removes, ..ChangeSet::new(Operation::new("WRITE")) }
}

fn read() -> ReadSet {
    ReadSet { version: Some(Version::ZERO), predicates: vec![Predicate::True], ..ReadSet::default() }
}

fn on(base: &TableState, change: &ChangeSet) -> Result<AssembledCommit> {
    assemble(change, &read(), Some(base), stamp(5000))
}

/// What the change is refused for.
fn refused(base: &TableState, change: &ChangeSet) -> String {
    on(base, change).expect_err("refused").to_string()
}

fn a() -> Add {
    file("a", 1, 0, 9)
}

fn plain() -> TableState {
    table(&["deletionVectors"], &[], &[a()])
}

#[test]
fn the_first_version_needs_protocol_and_metadata() {
    let mut create = ChangeSet::new(Operation::new("CREATE TABLE"));
    let error = assemble(&create, &ReadSet::default(), None, stamp(1)).expect_err("refused");
    assert!(error.to_string().contains("protocol and metadata"), "{error}");
    create.protocol = Some(protocol(&[]));
    create.metadata = Some(metadata(&schema(), &["p"], &[]));
    let commit = assemble(&create, &ReadSet::default(), None, stamp(1)).expect("assembled");
    assert_eq!(commit.version, Version::ZERO);
    assert_eq!(commit.in_commit_timestamp, None);
    assert!(matches!(commit.actions[..], [Action::CommitInfo(_), Action::Protocol(_), Action::Metadata(_)]));
}

#[test]
fn commit_info_comes_first_and_says_what_was_done() {
    let operation = Operation::new("DELETE")
        .with_parameter("predicate", "[\"id = 1\"]")
        .with_parameter("auto", false)
        .with_metric("numRemovedFiles", 1);
    let change = ChangeSet { operation, removes: vec![removal(&a(), true)], ..ChangeSet::default() };
    let commit = on(&plain(), &change).expect("assembled");
    assert_eq!(commit.version.get(), 1);
    assert_eq!(parse_commit(commit.version, "1.json", &commit.bytes).expect("parses"), commit.actions);
    let first: Value =
        serde_json::from_slice(commit.bytes.split(|b| *b == b'\n').next().expect("a line")).expect("JSON");
    assert_eq!(
        first,
        json!({"commitInfo": {
            "timestamp": 5000,
            "operation": "DELETE",
            "operationParameters": {"predicate": "[\"id = 1\"]", "auto": "false"},
            "readVersion": 0,
            "isolationLevel": "WriteSerializable",
            "isBlindAppend": false,
            "operationMetrics": {"numRemovedFiles": "1"},
            "engineInfo": ENGINE_INFO,
            "txnId": stamp(0).token,
        }})
    );
    assert_eq!(token_of(&commit.actions), Some(stamp(0).token.as_str()));
    let Some(Action::Remove(remove)) = commit.actions.last() else { panic!("no remove") };
    assert_eq!(remove.deletion_timestamp, Some(5000));
}

#[test]
fn a_blind_append_says_so() {
    let blind = ReadSet { version: Some(Version::ZERO), ..ReadSet::default() };
    let info = |read: &ReadSet| {
        let commit = assemble(&change(vec![file("n", 1, 0, 9)], vec![]), read, Some(&plain()), stamp(1));
        match &commit.expect("assembled").actions[0] {
            Action::CommitInfo(info) => info.is_blind_append,
            _ => None,
        }
    };
    assert_eq!(info(&blind), Some(true));
    assert_eq!(info(&read()), Some(false));
}

#[test]
fn k11_nothing_happens_twice_in_one_commit() {
    let base = plain();
    let new = || file("n", 1, 0, 9);
    assert!(refused(&base, &change(vec![new(), new()], vec![])).contains("file added twice"));
    assert!(refused(&base, &change(vec![], vec![removal(&a(), true), removal(&a(), true)])).contains("removed twice"));
    let txn = || Txn { app_id: "app".into(), version: 1, last_updated: None };
    let twice = ChangeSet { txns: vec![txn(), txn()], ..change(vec![new()], vec![]) };
    assert!(refused(&base, &twice).contains("application recorded twice"));
    let mixed = change(vec![Add { data_change: false, ..new() }], vec![removal(&a(), true)]);
    assert!(refused(&base, &mixed).contains("dataChange"));
}

#[test]
fn a_remove_must_name_the_live_deletion_vector() {
    let marked = with_vector(&a(), "one", 1);
    let base = table(&["deletionVectors"], &[], std::slice::from_ref(&marked));
    assert!(refused(&base, &change(vec![], vec![removal(&a(), true)])).contains("not part of the table"));
    assert!(refused(&base, &change(vec![], vec![removal(&file("z", 1, 0, 9), true)])).contains("z is removed"));
    on(&base, &change(vec![], vec![removal(&marked, true)])).expect("the vector is named");
    let beside = change(vec![with_vector(&a(), "two", 2)], vec![]);
    assert!(refused(&base, &beside).contains("another deletion vector"));
}

#[test]
fn deletion_vectors_need_the_feature_and_a_row_count() {
    let removes = || vec![removal(&a(), true)];
    let error = on(&table(&[], &[], &[a()]), &change(vec![with_vector(&a(), "v", 1)], removes())).expect_err("refused");
    assert!(matches!(&error, FormatError::UnsupportedFeature { features, .. } if features[..] == ["deletionVectors"]));
    let bare = Add { stats: None, ..with_vector(&a(), "v", 1) };
    assert!(refused(&plain(), &change(vec![bare], removes())).contains("numRecords"));
    assert!(refused(&plain(), &change(vec![with_vector(&a(), "v", 11)], removes())).contains("10 rows"));
    on(&plain(), &change(vec![with_vector(&a(), "v", 10)], removes())).expect("all rows marked is allowed");
}

#[test]
fn append_only_tables_keep_their_rows() {
    let base = table(&["appendOnly"], &[("delta.appendOnly", "true")], &[a()]);
    assert!(refused(&base, &change(vec![], vec![removal(&a(), true)])).contains("append-only"));
    let compacted = change(vec![Add { data_change: false, ..file("n", 1, 0, 9) }], vec![removal(&a(), false)]);
    on(&base, &compacted).expect("rows are only rearranged");
}

#[test]
fn partition_values_must_fit_the_table() {
    for values in [vec![], vec![("q", "1")], vec![("p", "1"), ("q", "1")]] {
        let partition_values = values.iter().map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned()))).collect();
        let add = Add { partition_values, ..file("n", 1, 0, 9) };
        assert!(refused(&plain(), &change(vec![add], vec![])).contains("partitioned by"), "{values:?}");
    }
}

#[test]
fn a_change_data_feed_is_not_left_incomplete() {
    let base = table(&["changeDataFeed"], &[("delta.enableChangeDataFeed", "true")], &[a()]);
    on(&base, &change(vec![file("n", 1, 0, 9)], vec![])).expect("only adds");
    on(&base, &change(vec![], vec![removal(&a(), true)])).expect("only removes");
    let update = change(vec![file("n", 1, 0, 9)], vec![removal(&a(), true)]);
    assert!(matches!(on(&base, &update), Err(FormatError::UnsupportedFeature { .. })));
    let cdc = vec![Cdc { path: "_change_data/c".into(), size: 1, ..Cdc::default() }];
    on(&base, &ChangeSet { cdc, ..update.clone() }).expect("change files are there");
    on(&base, &ChangeSet { whole_files: true, ..update }).expect("readers see it by the files");
}

#[test]
fn protocols_only_grow() {
    let base = table(&["deletionVectors", "domainMetadata"], &[], &[]);
    let upgrade = |features: &[&str]| ChangeSet { protocol: Some(protocol(features)), ..ChangeSet::default() };
    assert!(refused(&base, &upgrade(&["deletionVectors"])).contains("lose a feature"));
    on(&base, &upgrade(&["deletionVectors", "domainMetadata", "inCommitTimestamp"])).expect("grown");
}

#[test]
fn metadata_may_not_use_what_the_protocol_does_not_name() {
    let set = ChangeSet {
        metadata: Some(metadata(&schema(), &["p"], &[("delta.enableInCommitTimestamps", "true")])),
        ..ChangeSet::default()
    };
    assert!(refused(&plain(), &set).contains("inCommitTimestamp"));
}

#[test]
fn k9_in_commit_timestamps_grow_whatever_the_clock_says() {
    let timed = |time| {
        let properties = [("delta.enableInCommitTimestamps", "true")];
        table_of(protocol(ALL), metadata(&schema(), &["p"], &properties), time, &[])
    };
    let time = |base: &TableState| on(base, &change(vec![file("n", 1, 0, 9)], vec![]));
    for (previous, expected) in [(4000, 5000), (5000, 5001), (9000, 9001)] {
        let commit = time(&timed(Some(previous))).expect("assembled");
        assert_eq!(commit.in_commit_timestamp, Some(TimestampMs(expected)));
        let Action::CommitInfo(info) = &commit.actions[0] else { panic!("commitInfo is not first") };
        assert_eq!(info.in_commit_timestamp, Some(expected));
    }
    let mut unknown = timed(Some(1));
    unknown.commit_timestamp = None;
    assert!(time(&unknown).expect_err("refused").to_string().contains("in-commit timestamp of version 0"));
}

#[test]
fn enabling_in_commit_timestamps_later_records_since_when() {
    let base = table(ALL, &[], &[]);
    let set = |properties: &[(&str, &str)]| ChangeSet {
        metadata: Some(metadata(&schema(), &["p"], properties)),
        ..ChangeSet::default()
    };
    let configuration = |commit: AssembledCommit| {
        commit
            .actions
            .into_iter()
            .find_map(|a| match a {
                Action::Metadata(metadata) => Some(metadata.configuration),
                _ => None,
            })
            .expect("metadata")
    };
    let found = configuration(on(&base, &set(&[("delta.enableInCommitTimestamps", "true")])).expect("assembled"));
    assert_eq!(found[name::IN_COMMIT_TIMESTAMP_ENABLEMENT_VERSION], "1");
    assert_eq!(found[name::IN_COMMIT_TIMESTAMP_ENABLEMENT_TIMESTAMP], "5000");
    let mut create = set(&[("delta.enableInCommitTimestamps", "true")]);
    create.protocol = Some(protocol(ALL));
    let found = configuration(assemble(&create, &ReadSet::default(), None, stamp(7)).expect("assembled"));
    assert_eq!(found.len(), 1, "enabled from the start: {found:?}");
}

fn row_ids(commit: &AssembledCommit) -> Vec<(String, Option<i64>, Option<i64>)> {
    let add = |a: &Action| match a {
        Action::Add(add) => Some((add.path.clone(), add.base_row_id, add.default_row_commit_version)),
        _ => None,
    };
    commit.actions.iter().filter_map(add).collect()
}

fn mark(commit: &AssembledCommit) -> Option<&str> {
    commit.actions.iter().find_map(|a| match a {
        Action::DomainMetadata(domain) => Some(domain.configuration.as_str()),
        _ => None,
    })
}

#[test]
fn k8_rows_get_ids_above_all_given_before() {
    let base = table(ALL, &[], &[]);
    let two = change(vec![file("n", 1, 0, 9), file("m", 1, 0, 9)], vec![]);
    let commit = on(&base, &two).expect("assembled");
    assert_eq!(row_ids(&commit), [("n".into(), Some(0), Some(1)), ("m".into(), Some(10), Some(1))]);
    assert_eq!(mark(&commit), Some(r#"{"rowIdHighWaterMark":19}"#));

    let base = base.apply(&[(commit.version, commit.actions)]).expect("applied");
    let commit = on(&base, &change(vec![file("o", 1, 0, 9)], vec![])).expect("assembled");
    assert_eq!(row_ids(&commit), [("o".into(), Some(20), Some(2))]);
    assert_eq!(mark(&commit), Some(r#"{"rowIdHighWaterMark":29}"#));

    // The same rows with some of them deleted are the same rows.
    let marked = change(vec![with_vector(&file("m", 1, 0, 9), "v", 1)], vec![removal(&file("m", 1, 0, 9), true)]);
    let commit = on(&base, &marked).expect("assembled");
    assert_eq!(row_ids(&commit), [("m".into(), Some(10), Some(1))]);
    assert_eq!(mark(&commit), None);
    let bare = change(vec![Add { stats: None, ..file("q", 1, 0, 9) }], vec![]);
    assert!(refused(&base, &bare).contains("number of rows"));
}

#[test]
fn row_tracking_is_not_enabled_over_files_without_ids() {
    let base = table(ALL, &[], &[a()]);
    let set = ChangeSet {
        metadata: Some(metadata(&schema(), &["p"], &[("delta.enableRowTracking", "true")])),
        ..ChangeSet::default()
    };
    assert!(refused(&base, &set).contains("row tracking"), "{}", refused(&base, &set));
}

#[test]
fn domains_need_their_feature_and_row_ids_are_not_set_by_hand() {
    let domain = |name: &str| ChangeSet {
        domains: vec![DomainMetadata { domain: name.into(), configuration: String::new(), removed: false }],
        ..ChangeSet::default()
    };
    assert!(matches!(on(&plain(), &domain("mine")), Err(FormatError::UnsupportedFeature { .. })));
    let base = table(ALL, &[], &[]);
    on(&base, &domain("mine")).expect("allowed");
    assert!(refused(&base, &domain("delta.rowTracking")).contains("by the commit itself"));
}

#[test]
fn isolation_is_reported() {
    let strict = ReadSet { isolation: IsolationLevel::Serializable, ..read() };
    let commit =
        assemble(&change(vec![file("n", 1, 0, 9)], vec![]), &strict, Some(&plain()), stamp(1)).expect("assembled");
    let Action::CommitInfo(info) = &commit.actions[0] else { panic!("commitInfo is not first") };
    assert_eq!(info.isolation_level.as_deref(), Some("Serializable"));
}
