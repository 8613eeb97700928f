use super::*;
use crate::path::{checkpoint_name, checksum_name, multi_part_checkpoint_name};

fn v(number: u64) -> Version {
    Version::new(number).expect("small")
}

fn entry(name: impl Into<String>) -> LogEntry {
    LogEntry { name: name.into(), size: 10, modified: TimestampMs(0) }
}

fn commits(range: std::ops::RangeInclusive<u64>) -> Vec<LogEntry> {
    range.map(|n| entry(commit_name(v(n)))).collect()
}

fn compacted(from: u64, to: u64) -> LogEntry {
    entry(format!("{from:020}.{to:020}.compacted.json"))
}

/// Version, checkpoint version and ranges of commit files of what is chosen.
fn chosen(listing: &[LogEntry], target: Option<u64>) -> (u64, Option<u64>, Vec<(u64, u64)>) {
    let segment = choose(listing, target.map(v), &[]).expect("a segment");
    (
        segment.version.get(),
        segment.checkpoint.map(|c| c.version.get()),
        segment.commits.iter().map(|c| (c.from.get(), c.to.get())).collect(),
    )
}

#[test]
fn commits_alone_are_replayed_from_zero() {
    let listing = commits(0..=2);
    assert_eq!(chosen(&listing, None), (2, None, vec![(0, 0), (1, 1), (2, 2)]));
    assert_eq!(chosen(&listing, Some(0)), (0, None, vec![(0, 0)]));
}

#[test]
fn newest_complete_checkpoint_not_above_the_target_is_used() {
    let mut listing = commits(0..=12);
    listing.push(entry(checkpoint_name(v(5))));
    listing.push(entry(checkpoint_name(v(10))));
    // Two of three parts.
    listing.push(entry(multi_part_checkpoint_name(v(11), 1, 3)));
    listing.push(entry(multi_part_checkpoint_name(v(11), 3, 3)));
    // Never written to its end.
    listing.push(LogEntry { size: 0, ..entry(checkpoint_name(v(12))) });
    assert_eq!(chosen(&listing, None), (12, Some(10), vec![(11, 11), (12, 12)]));
    assert_eq!(chosen(&listing, Some(9)), (9, Some(5), (6..=9).map(|n| (n, n)).collect()));
    assert_eq!(chosen(&listing, Some(10)), (10, Some(10), vec![]));
    assert_eq!(chosen(&listing, Some(4)), (4, None, (0..=4).map(|n| (n, n)).collect()));
}

#[test]
fn complete_multi_part_checkpoint_keeps_its_parts_in_order() {
    let mut listing = commits(4..=5);
    for part in [2, 3, 1] {
        listing.push(entry(multi_part_checkpoint_name(v(4), part, 3)));
    }
    let checkpoint = choose(&listing, None, &[]).expect("a segment").checkpoint.expect("a checkpoint");
    assert_eq!(checkpoint.kind, CheckpointKind::MultiPart);
    let expected: Vec<_> = (1..=3).map(|part| multi_part_checkpoint_name(v(4), part, 3)).collect();
    assert_eq!(checkpoint.files.iter().map(|f| f.name.clone()).collect::<Vec<_>>(), expected);
}

#[test]
fn uuid_checkpoints_of_both_formats_are_used() {
    for (extension, json) in [("parquet", false), ("json", true)] {
        let mut listing = commits(3..=4);
        listing.push(entry(format!("{:020}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.{extension}", 3)));
        let checkpoint = choose(&listing, None, &[]).expect("a segment").checkpoint.expect("a checkpoint");
        assert_eq!((checkpoint.version, checkpoint.kind), (v(3), CheckpointKind::Uuid { json }));
    }
}

#[test]
fn compacted_commits_are_used_only_fully_inside_the_range() {
    let mut listing = commits(0..=10);
    listing.push(entry(checkpoint_name(v(3))));
    listing.push(compacted(2, 5));
    listing.push(compacted(4, 6));
    listing.push(compacted(5, 9));
    listing.push(compacted(9, 11));
    assert_eq!(chosen(&listing, None), (10, Some(3), vec![(4, 4), (5, 9), (10, 10)]));
    assert_eq!(chosen(&listing, Some(8)), (8, Some(3), vec![(4, 6), (7, 7), (8, 8)]));
    let single: Vec<_> = (4..=5).map(|n| (n, n)).collect();
    assert_eq!(chosen(&listing, Some(5)), (5, Some(3), single));
}

#[test]
fn excluded_checkpoint_gives_way_to_older_ones() {
    let mut listing = commits(5..=12);
    listing.push(entry(checkpoint_name(v(5))));
    listing.push(entry(checkpoint_name(v(10))));
    let segment = choose(&listing, None, &[v(10)]).expect("a segment");
    assert_eq!(segment.checkpoint.expect("a checkpoint").version, v(5));
    let error = choose(&listing, None, &[v(10), v(5)]).expect_err("nothing covers the start");
    assert!(matches!(error, FormatError::CorruptCheckpoint { .. }), "{error}");
}

#[test]
fn gaps_are_corrupt() {
    let mut listing = commits(0..=2);
    listing.extend(commits(4..=5));
    let error = choose(&listing, None, &[]).expect_err("version 3 is missing");
    assert!(matches!(error, FormatError::CorruptLog { version: Some(at), .. } if at == v(3)), "{error}");
    assert_eq!(chosen(&listing, Some(2)).0, 2);
    listing.push(entry(checkpoint_name(v(3))));
    assert_eq!(chosen(&listing, None), (5, Some(3), vec![(4, 4), (5, 5)]));
    // A hostile number neither overflows nor takes long.
    listing.push(entry(commit_name(v(i64::MAX as u64 - 1))));
    assert!(matches!(choose(&listing, None, &[]), Err(FormatError::CorruptLog { .. })));
}

#[test]
fn versions_outside_are_not_found() {
    assert_eq!(choose(&[], None, &[]), Err(FormatError::NotATable));
    assert_eq!(
        choose(&[entry("_last_checkpoint"), entry(checksum_name(v(0)))], None, &[]),
        Err(FormatError::NotATable)
    );
    let mut listing = commits(4..=7);
    listing.push(entry(checkpoint_name(v(5))));
    let outside = |n| FormatError::VersionNotFound { requested: v(n), earliest: v(5), latest: v(7) };
    assert_eq!(choose(&listing, Some(v(8)), &[]), Err(outside(8)));
    assert_eq!(choose(&listing, Some(v(4)), &[]), Err(outside(4)));
    let error = choose(&commits(4..=7), None, &[]).expect_err("the start is gone");
    assert!(matches!(error, FormatError::CorruptLog { .. }), "{error}");
}

#[test]
fn checksum_and_tip_are_those_of_the_version() {
    let mut listing = commits(0..=3);
    listing.push(entry(checksum_name(v(2))));
    listing.push(entry(checkpoint_name(v(2))));
    let segment = choose(&listing, Some(v(2)), &[]).expect("a segment");
    assert_eq!(segment.checksum, Some(entry(checksum_name(v(2)))));
    assert_eq!(segment.tip, Some(entry(commit_name(v(2)))));
    assert_eq!(choose(&listing, None, &[]).expect("a segment").checksum, None);
}

#[test]
fn newer_commits_follow_the_base() {
    let listing = commits(3..=6);
    let ranges =
        |target| choose_newer(&listing, v(4), target).map(|f| f.iter().map(|c| c.to.get()).collect::<Vec<_>>());
    assert_eq!(ranges(None), Ok(vec![5, 6]));
    assert_eq!(ranges(Some(v(5))), Ok(vec![5]));
    assert_eq!(ranges(Some(v(4))), Ok(vec![]));
    assert_eq!(choose_newer(&commits(0..=4), v(4), None), Ok(vec![]));
    assert_eq!(choose_newer(&[], v(4), None), Ok(vec![]));
    assert!(matches!(ranges(Some(v(9))), Err(FormatError::VersionNotFound { .. })));
    // Cleaned up under us.
    assert!(matches!(choose_newer(&commits(7..=8), v(4), None), Err(FormatError::CorruptLog { .. })));
}

#[test]
fn hint_survives_and_garbage_is_none() {
    let hint =
        LastCheckpointHint { version: v(7), size: 3, num_of_add_files: Some(1), ..LastCheckpointHint::default() };
    assert_eq!(LastCheckpointHint::parse(&hint.to_json()), Some(hint));
    let spark = br#"{"version":10,"size":5,"sizeInBytes":9,"checksum":"x","v2Checkpoint":{"path":"p"}}"#;
    assert_eq!(LastCheckpointHint::parse(spark).map(|h| h.version), Some(v(10)));
    for garbage in
        [&b""[..], b"{}", b"{\"version\":-1,\"size\":1}", b"\0\0", b"{\"version\":18446744073709551615,\"size\":1}"]
    {
        assert_eq!(LastCheckpointHint::parse(garbage), None);
    }
}

#[test]
fn a_commit_of_the_last_possible_version_leaves_a_gap() {
    let mut listing = commits(0..=2);
    listing.push(entry("09223372036854775807.json"));
    assert!(
        matches!(choose(&listing, None, &[]), Err(FormatError::CorruptLog { version, .. }) if version == Some(v(3)))
    );
    assert_eq!(chosen(&listing, Some(2)).0, 2, "older versions read");
    // No version at all: the number does not fit.
    listing.pop();
    listing.push(entry("99999999999999999999.json"));
    assert_eq!(chosen(&listing, None).0, 2);
}

#[test]
fn a_survey_keeps_what_no_reader_uses() {
    let mut listing = commits(0..=3);
    listing.extend([compacted(1, 2), entry(multi_part_checkpoint_name(v(2), 2, 3))]);
    listing.extend([entry(checkpoint_name(v(1))), entry("x.tmp")]);
    listing.push(LogEntry { size: 0, ..entry(checkpoint_name(v(3))) });
    let survey = LogSurvey::of(&listing);
    assert_eq!(survey.incomplete, [IncompleteCheckpoint { version: v(2), parts: 3, found: vec![2] }]);
    assert_eq!(survey.empty_checkpoints.len(), 1);
    assert_eq!(survey.checkpoints.keys().copied().collect::<Vec<_>>(), [v(1)]);
    assert_eq!(survey.others.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["x.tmp"]);
    assert_eq!(survey.latest(), Some(v(3)));
}
