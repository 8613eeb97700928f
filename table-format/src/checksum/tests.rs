use proptest::prelude::*;

use super::*;
use crate::action::{Action, Add, parse_commit};
use crate::path::commit_name;
use crate::replay::Replay;

/// A table of one commit: these properties, and a file of each size.
fn state(configuration: &str, sizes: &[i64]) -> TableState {
    let schema =
        r#"{\"type\":\"struct\",\"fields\":[{\"name\":\"a\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}}]}"#;
    let lines = [
        r#"{"commitInfo":{"inCommitTimestamp":1700000000000,"txnId":"t"}}"#.to_owned(),
        r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":7,"writerFeatures":["appendOnly","domainMetadata","inCommitTimestamp"]}}"#.to_owned(),
        format!(r#"{{"metaData":{{"id":"i","schemaString":"{schema}","partitionColumns":[],"configuration":{configuration}}}}}"#),
        r#"{"txn":{"appId":"app","version":3}}"#.to_owned(),
        r#"{"domainMetadata":{"domain":"d","configuration":"{}","removed":false}}"#.to_owned(),
    ];
    let name = commit_name(Version::ZERO);
    let mut actions = parse_commit(Version::ZERO, &name, lines.join("\n").as_bytes()).expect("valid lines");
    actions.extend(sizes.iter().enumerate().map(|(index, size)| {
        Action::Add(Add { path: format!("f{index}"), size: *size, data_change: true, ..Add::default() })
    }));
    let mut replay = Replay::new();
    replay.add_commit(Version::ZERO, &actions).expect("a valid commit");
    replay.finish(Version::ZERO).expect("a whole table")
}

fn check_differs(checksum: &VersionChecksum, state: &TableState, part: &str) {
    match checksum.verify(state) {
        Err(FormatError::CorruptLog { version, path, what, .. }) => {
            assert_eq!((version, path.as_str()), (Some(Version::ZERO), "00000000000000000000.crc"));
            assert!(what.contains(part), "{what:?} lacks {part:?}");
        }
        other => panic!("expected a difference ({part}), got {other:?}"),
    }
}

#[test]
fn a_checksum_holds_what_its_version_holds() {
    let state = state(r#"{"delta.enableInCommitTimestamps":"true"}"#, &[10, 32]);
    let checksum = VersionChecksum::from_state(&state, Some("token"));
    assert_eq!((checksum.num_files, checksum.table_size_bytes), (2, 42));
    assert_eq!((checksum.num_metadata, checksum.num_protocol), (1, 1));
    assert_eq!(checksum.in_commit_timestamp_opt, Some(1_700_000_000_000));
    assert_eq!(checksum.txn_id.as_deref(), Some("token"));
    assert_eq!(checksum.set_transactions.as_ref().map(Vec::len), Some(1));
    assert_eq!(checksum.domain_metadata.as_ref().map(Vec::len), Some(1));
    assert_eq!(VersionChecksum::parse(checksum.to_json().as_bytes()), Ok(checksum.clone()));
    assert_eq!(checksum.verify(&state), Ok(()));
    let json = checksum.to_json();
    for field in ["txnId", "tableSizeBytes", "numFiles", "numMetadata", "numProtocol", "inCommitTimestampOpt"] {
        assert!(json.contains(&format!("\"{field}\":")), "{field} in {json}");
    }
}

#[test]
fn the_time_is_left_out_where_commits_carry_none() {
    let state = state("{}", &[]);
    assert_eq!(VersionChecksum::from_state(&state, None).in_commit_timestamp_opt, None);
    assert!(!VersionChecksum::from_state(&state, None).to_json().contains("txnId"));
}

#[test]
fn lists_and_histograms_of_others_are_passed_over() {
    let state = state("{}", &[1]);
    let mut value: serde_json::Value =
        serde_json::from_str(&VersionChecksum::from_state(&state, None).to_json()).expect("our own JSON");
    value["allFiles"] = serde_json::json!([{"path": "f0", "size": 1}]);
    value["fileSizeHistogram"] = serde_json::json!({"sortedBinBoundaries": [0], "fileCounts": [1], "totalBytes": [1]});
    value["numDeletedRecordsOpt"] = 0.into();
    value["protocol"]["writerFeatures"] = serde_json::json!(["inCommitTimestamp", "domainMetadata", "appendOnly"]);
    let checksum = VersionChecksum::parse(value.to_string().as_bytes()).expect("known fields are there");
    assert_eq!(checksum.verify(&state), Ok(()));
    // Early writers wrote the numbers only.
    let bare = VersionChecksum::parse(br#"{"tableSizeBytes":1,"numFiles":1,"numMetadata":1,"numProtocol":1}"#);
    assert_eq!(bare.and_then(|checksum| checksum.verify(&state)), Ok(()));
}

#[test]
fn every_difference_is_reported() {
    let state = state("{}", &[10, 32]);
    let good = VersionChecksum::from_state(&state, None);
    let change = |edit: fn(&mut VersionChecksum)| {
        let mut changed = good.clone();
        edit(&mut changed);
        changed
    };
    check_differs(&change(|c| c.num_files = 3), &state, "the checksum says 3, the log holds 2");
    check_differs(&change(|c| c.table_size_bytes = 41), &state, "bytes in files");
    check_differs(&change(|c| c.num_metadata = 2), &state, "metadata actions");
    check_differs(&change(|c| c.num_protocol = 0), &state, "protocol actions");
    check_differs(&change(|c| c.in_commit_timestamp_opt = Some(1)), &state, "in-commit timestamp");
    check_differs(&change(|c| c.protocol.iter_mut().for_each(|p| p.min_writer_version = 6)), &state, "protocol");
    check_differs(&change(|c| c.metadata.iter_mut().for_each(|m| m.id = "j".into())), &state, "table id");
    check_differs(&change(|c| c.metadata.iter_mut().for_each(|m| m.schema_string.clear())), &state, "schema");
    check_differs(&change(|c| c.set_transactions.iter_mut().flatten().for_each(|t| t.version = 4)), &state, "app");
    check_differs(&change(|c| c.domain_metadata = Some(Vec::new())), &state, "the domain d");
    let twice = change(|c| (c.num_files, c.table_size_bytes) = (0, 0));
    check_differs(&twice, &state, "files: the checksum says 0, the log holds 2; bytes in files");
    // A transaction that the writer left out of its list proves nothing.
    assert_eq!(change(|c| c.set_transactions = Some(Vec::new())).verify(&state), Ok(()));
}

#[test]
fn garbage_is_refused() {
    for bytes in [&b""[..], b"{}", b"[]", b"{\"numFiles\":", b"\xff\xfe", &[0; 64]] {
        assert!(matches!(VersionChecksum::parse(bytes), Err(FormatError::CorruptLog { .. })), "{bytes:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_lost_file_is_found(sizes in proptest::collection::vec(0..1_000_000i64, 1..8), lost in any::<prop::sample::Index>()) {
        let checksum = VersionChecksum::from_state(&state("{}", &sizes), None);
        prop_assert_eq!(checksum.verify(&state("{}", &sizes)), Ok(()));
        let mut fewer = sizes.clone();
        fewer.remove(lost.index(sizes.len()));
        let verdict = checksum.verify(&state("{}", &fewer));
        prop_assert!(verdict.is_err());
    }
}
