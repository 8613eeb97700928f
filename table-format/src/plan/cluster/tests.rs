use super::*;
use crate::commit::testing::{file, table};

fn columns(name: &str) -> Vec<Vec<String>> {
    vec![vec![name.to_owned()]]
}

fn sized(path: &str, size: i64) -> Add {
    Add { size, ..file(path, 1, 0, 9) }
}

/// A file that a run has written, by column `id`.
fn run(path: &str, size: i64, run: &str, by: &str) -> Add {
    let mut adds = [sized(path, size)];
    mark_clustered(&mut adds, run, &columns(by));
    let [add] = adds;
    add
}

fn planned(adds: &[Add], policy: &ClusteringPolicy) -> Vec<Vec<String>> {
    let state = table(&[], &[], adds);
    let groups = plan_clustering(&state, &columns("id"), policy);
    groups.iter().map(|group| group.files.iter().map(|id| state.files.get(id).path().to_owned()).collect()).collect()
}

#[test]
fn files_that_nobody_has_clustered_are_taken_and_clustered_ones_left() {
    let adds = [sized("new", 10), run("done", 1000, "r", "id"), run("worn-out", 10, "s", "other")];
    assert_eq!(planned(&adds, &ClusteringPolicy::default()), [["new"]]);
    assert!(planned(&adds[1..], &ClusteringPolicy::default()).is_empty());
}

#[test]
fn a_run_is_taken_along_by_as_much_as_a_quarter_of_it_until_it_is_full() {
    let policy = ClusteringPolicy { full_run: 1000, ..ClusteringPolicy::default() };
    let adds = [sized("new", 10), run("a", 40, "r", "id"), run("b", 201, "s", "id"), run("full", 1000, "f", "id")];
    assert_eq!(planned(&adds, &policy), [["a", "new"]]);
    let adds = [sized("new", 11), run("a", 40, "r", "id"), run("b", 201, "s", "id"), run("full", 1000, "f", "id")];
    assert_eq!(planned(&adds, &policy), [["a", "b", "new"]]);
}

#[test]
fn everything_takes_full_runs_and_other_orders_but_nothing_of_other_implementations() {
    let liquid = Add { clustering_provider: Some("liquid".into()), ..sized("spark", 10) };
    let adds = [run("full", 1000, "f", "id"), run("other", 10, "s", "name"), liquid];
    let policy = ClusteringPolicy { full_run: 1000, everything: true, ..ClusteringPolicy::default() };
    assert_eq!(planned(&adds, &policy), [["full", "other"]]);
    let policy = ClusteringPolicy { largest_run: 1000, ..policy };
    assert_eq!(planned(&adds, &policy), [["full"], ["other"]]);
}

#[test]
fn files_with_many_deleted_rows_are_ordered_anew() {
    let vector = crate::deletion_vector::encode_inline(&[1u64, 2].into_iter().collect());
    let worn = Add { deletion_vector: Some(vector), ..run("worn", 10, "r", "id") };
    assert_eq!(planned(&[worn, run("whole", 1000, "r", "id")], &ClusteringPolicy::default()), [["worn"]]);
}
