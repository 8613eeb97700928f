use super::*;
use crate::action::{Action, Remove};
use crate::commit::testing::{file, table};
use crate::version::Version;

fn root() -> TableRoot {
    TableRoot::of("file:///lake/t")
}

const HORIZON: TimestampMs = TimestampMs(1000);

fn listed(path: &str, modified: i64) -> ListedFile {
    ListedFile { path: path.into(), size: 1, modified: TimestampMs(modified) }
}

fn set(paths: &[&str]) -> HashSet<String> {
    paths.iter().map(|p| (*p).to_owned()).collect()
}

fn deleted(referenced: &[&str], required: &[&str], listing: Vec<ListedFile>) -> Result<Vec<String>> {
    let plan = plan_vacuum(&set(referenced), &set(required), listing, HORIZON)?;
    Ok(plan.files.into_iter().map(|f| f.path).collect())
}

#[test]
fn only_old_files_that_nobody_needs_go() {
    let listing = vec![
        listed("live", 1),
        listed("old", 999),
        listed("staged", 1000),
        listed("retained", 1),
        listed("p=1/old", 1),
        listed("deletion_vector_1.bin", 1),
        listed("_delta_log/0.json", 1),
        listed("_delta_index/x", 1),
        listed(".hidden/x", 1),
        listed("p=1/_temporary/x", 1),
        listed("_change_data/old", 1),
        listed("_change_data/_tmp/x", 1),
        listed("_change_data", 1),
        listed("p=1/_change_data/x", 1),
    ];
    let expected = ["_change_data/old", "deletion_vector_1.bin", "old", "p=1/old"];
    assert_eq!(deleted(&["live", "retained"], &["live"], listing).expect("planned"), expected);
}

#[test]
fn a_live_file_missing_in_the_listing_stops_everything() {
    let listing = vec![listed("p=a%20b/x", 1), listed("old", 1)];
    let error = deleted(&["p=a b/x"], &["p=a b/x"], listing).expect_err("refused").to_string();
    assert!(error.contains("p=a b/x") && error.contains("deletes nothing"), "{error}");
    // What only older versions need may be gone: another vacuum may have had a shorter retention.
    assert_eq!(deleted(&["gone"], &[], vec![listed("old", 1)]).expect("planned"), ["old"]);
}

#[test]
fn references_are_decoded_and_reach_back_to_the_horizon() {
    let state = table(
        &[],
        &[],
        &[file("p=1/a%20b", 1, 0, 9), file("young", 1, 0, 9), file("old", 1, 0, 9), file("lost", 1, 0, 9)],
    );
    let remove = |path: &str, at: Option<i64>| {
        Action::Remove(Remove { path: path.into(), deletion_timestamp: at, data_change: true, ..Remove::default() })
    };
    let removes = vec![remove("young", Some(1000)), remove("old", Some(999)), remove("lost", None)];
    let state = state.apply(&[(Version::new(1).expect("small"), removes)]).expect("applied");
    assert_eq!(required_paths(&state, &root()).expect("decoded"), set(&["p=1/a b"]));
    assert_eq!(referenced_paths(&state, &root(), HORIZON).expect("decoded"), set(&["p=1/a b", "young"]));
}

#[test]
fn files_outside_the_root_are_not_looked_for_and_those_inside_are_however_they_are_named() {
    let state = table(&[], &[], &[file("/lake/source/x", 1, 0, 9), file("file:///lake/t/a%20b", 1, 0, 9)]);
    assert_eq!(required_paths(&state, &root()).expect("decoded"), set(&["a b"]));
}

#[test]
fn paths_that_leave_the_table_are_refused() {
    for path in ["../x", "/lake/../x", "s3://elsewhere/x", "%2e%2e/x"] {
        let state = table(&[], &[], &[file(path, 1, 0, 9)]);
        assert!(matches!(required_paths(&state, &root()), Err(FormatError::PathEscapesTable { .. })), "{path}");
    }
}
