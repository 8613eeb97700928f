use proptest::prelude::*;

use super::*;
use crate::path::{checkpoint_name, checksum_name, commit_name};
use crate::segment::choose;

fn version(number: u64) -> Version {
    Version::new(number).expect("small")
}

fn entry(name: String, modified: i64) -> LogEntry {
    LogEntry { name, size: 1, modified: TimestampMs(modified) }
}

fn commit(number: u64, modified: i64) -> LogEntry {
    entry(commit_name(version(number)), modified)
}

fn checkpoint(number: u64, modified: i64) -> LogEntry {
    entry(checkpoint_name(version(number)), modified)
}

#[test]
fn what_the_kept_checkpoint_covers_goes_oldest_first() {
    let mut listing: Vec<LogEntry> = (0..8).map(|v| commit(v, v as i64 * 10)).collect();
    listing.extend([checkpoint(2, 20), checkpoint(4, 40), checkpoint(6, 60), entry(checksum_name(version(3)), 30)]);
    listing.extend([
        entry("_last_checkpoint".into(), 0),
        entry("00000000000000000000.00000000000000000002.compacted.json".into(), 20),
    ]);
    let doomed = plan_log_cleanup(&listing, TimestampMs(50), None);
    let expected = [
        "00000000000000000000.00000000000000000002.compacted.json".into(),
        commit_name(version(0)),
        commit_name(version(1)),
        checkpoint_name(version(2)),
        commit_name(version(2)),
        checksum_name(version(3)),
        commit_name(version(3)),
    ];
    assert_eq!(doomed, expected);
}

#[test]
fn without_an_old_complete_checkpoint_nothing_goes() {
    let commits: Vec<LogEntry> = (0..8).map(|v| commit(v, v as i64)).collect();
    let with = |more: &[LogEntry]| plan_log_cleanup(&[&commits[..], more].concat(), TimestampMs(5), None);
    assert_eq!(with(&[]), [""; 0]);
    assert_eq!(with(&[checkpoint(6, 6)]), [""; 0], "newer than the horizon");
    let part = |part: u32| entry(format!("{:020}.checkpoint.{part:010}.0000000002.parquet", 4), 4);
    assert_eq!(with(&[part(1)]), [""; 0], "half a checkpoint");
    assert_eq!(with(&[part(1), part(2)]).len(), 4);
    assert_eq!(with(&[LogEntry { size: 0, ..checkpoint(4, 4) }]), [""; 0], "an empty checkpoint");
}

#[test]
fn a_gap_after_the_checkpoint_keeps_what_is_before() {
    let listing = [commit(0, 0), commit(1, 1), checkpoint(1, 1), commit(3, 3), checkpoint(3, 3), commit(4, 4)];
    let doomed = plan_log_cleanup(&listing, TimestampMs(9), None);
    assert_eq!(doomed, [commit_name(version(0)), checkpoint_name(version(1)), commit_name(version(1))]);
    let listing = [commit(0, 0), commit(1, 1), checkpoint(1, 1), commit(3, 3)];
    assert_eq!(plan_log_cleanup(&listing, TimestampMs(9), None), [""; 0]);
}

#[test]
fn a_clock_set_back_does_not_make_commits_older() {
    // Version 1 was written late; version 2 has an earlier file time, but came after it.
    let listing = [commit(0, 0), commit(1, 100), commit(2, 10), checkpoint(2, 10), commit(3, 200)];
    assert_eq!(plan_log_cleanup(&listing, TimestampMs(50), None), [""; 0]);
    assert_eq!(plan_log_cleanup(&listing, TimestampMs(101), None).first(), Some(&commit_name(version(0))));
}

#[test]
fn sidecars_wait_a_day() {
    let day = 86_400_000;
    let sidecars = [entry("a".into(), 0), entry("b".into(), 0), entry("c".into(), day)];
    let referenced = ["b".to_owned()].into();
    assert_eq!(plan_sidecar_cleanup(&sidecars, &referenced, TimestampMs(day + 1)), ["a"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Stopped after any deletion, every version from the kept checkpoint on can still be rebuilt, and so can every
    /// version committed at the horizon or later.
    #[test]
    fn an_interrupted_clean_up_leaves_a_whole_log(
        times in prop::collection::vec(0i64..20, 1..12),
        checkpoints in prop::collection::vec(any::<bool>(), 12),
        horizon in 0i64..25,
    ) {
        let mut listing: Vec<LogEntry> = times.iter().enumerate().map(|(v, time)| commit(v as u64, *time)).collect();
        let newest = times.len() as u64 - 1;
        for (v, time) in times.iter().enumerate().filter(|(v, _)| checkpoints[*v]) {
            listing.push(checkpoint(v as u64, *time));
        }
        listing.sort_by(|a, b| a.name.cmp(&b.name));
        let doomed = plan_log_cleanup(&listing, TimestampMs(horizon), None);
        let mut latest = 0;
        let retained: Vec<u64> = times
            .iter()
            .enumerate()
            .filter(|(_, time)| {
                latest = latest.max(**time);
                latest >= horizon
            })
            .map(|(v, _)| v as u64)
            .chain([newest])
            .collect();
        for done in 0..=doomed.len() {
            let left: Vec<LogEntry> = listing.iter().filter(|e| !doomed[..done].contains(&e.name)).cloned().collect();
            for wanted in &retained {
                let segment = choose(&left, Some(version(*wanted)), &[]);
                prop_assert!(segment.is_ok(), "version {wanted} after {:?}: {segment:?}", &doomed[..done]);
            }
        }
    }
}

#[test]
fn protected_checkpoints_go_all_at_once() {
    let mut listing: Vec<LogEntry> = (0..8).map(|v| commit(v, v as i64 * 10)).collect();
    listing.extend([checkpoint(2, 20), checkpoint(4, 40), checkpoint(6, 60)]);
    let doomed = |horizon| plan_log_cleanup(&listing, TimestampMs(horizon), Some(version(5)));
    assert_eq!(doomed(50), [""; 0], "it would stop at version 4");
    assert_eq!(doomed(70).len(), 8, "six commits and two checkpoints");
}
