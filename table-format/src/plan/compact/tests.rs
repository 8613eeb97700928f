use super::*;
use crate::action::Add;
use crate::commit::testing::{file, metadata, protocol, table, table_of, with_vector};
use crate::schema::{DataType, StructField, StructType};

fn sized(path: &str, p: i64, size: i64) -> Add {
    Add { size, ..file(path, p, 0, 9) }
}

fn policy() -> CompactionPolicy {
    CompactionPolicy { target_size: 100, ..CompactionPolicy::default() }
}

fn planned(adds: &[Add], policy: &CompactionPolicy) -> Vec<Vec<String>> {
    let state = table(&["deletionVectors"], &[], adds);
    let groups = plan_compaction(&state, policy).expect("planned");
    let path = |id: &FileId| state.files.get(id).path().to_owned();
    groups.iter().map(|g| g.files.iter().map(path).collect()).collect()
}

#[test]
fn small_files_of_one_partition_meet() {
    let mut adds = vec![sized("a", 1, 10), sized("b", 2, 10), sized("c", 1, 20), sized("d", 2, 99), sized("e", 1, 100)];
    let expected = [vec!["a", "c"]];
    assert_eq!(planned(&adds, &policy()), expected);
    adds.reverse();
    assert_eq!(planned(&adds, &policy()), expected, "the order of the log does not matter");
    assert_eq!(planned(&adds, &CompactionPolicy { min_files: 3, ..policy() }), [[""; 0]; 0]);
}

#[test]
fn groups_stay_below_the_target() {
    let adds: Vec<Add> = (0..7).map(|i| sized(&format!("f{i}"), 1, 40)).collect();
    assert_eq!(planned(&adds, &policy()), [["f0", "f1"], ["f2", "f3"], ["f4", "f5"]]);
}

#[test]
fn files_with_many_deleted_rows_are_rewritten_even_alone() {
    let adds = [with_vector(&sized("a", 1, 1000), "v", 1), sized("b", 1, 1000)];
    assert_eq!(planned(&adds, &policy()), [["a"]]);
    assert_eq!(planned(&adds, &CompactionPolicy { purge_deleted_fraction: Some(0.5), ..policy() }), [[""; 0]; 0]);
    assert_eq!(planned(&adds, &CompactionPolicy { purge_deleted_fraction: None, ..policy() }), [[""; 0]; 0]);
}

#[test]
fn ordering_anew_takes_every_file() {
    let adds = [sized("a", 1, 1000), sized("b", 2, 10), sized("c", 1, 30)];
    assert_eq!(planned(&adds, &CompactionPolicy { rewrite_all: true, ..policy() }), [vec!["c"], vec!["a"], vec!["b"]]);
}

#[test]
fn partitions_are_chosen_by_predicate() {
    let adds = [sized("a", 1, 10), sized("b", 1, 10), sized("c", 2, 10), sized("d", 2, 10)];
    let predicate = Some(Predicate::eq("P", Scalar::Long(2)));
    assert_eq!(planned(&adds, &CompactionPolicy { predicate, ..policy() }), [["c", "d"]]);
    let state = table(&[], &[], &adds);
    let by_rows = CompactionPolicy { predicate: Some(Predicate::eq("id", Scalar::Long(2))), ..policy() };
    assert!(
        plan_compaction(&state, &by_rows).expect_err("refused").to_string().contains("id is not a partition column")
    );
}

#[test]
fn one_partition_spelled_in_two_ways_is_one() {
    let schema = StructType::new(vec![
        StructField::new("id", DataType::Primitive(PrimitiveType::Long), true),
        StructField::new("p", DataType::Primitive(PrimitiveType::Timestamp), true),
    ]);
    let spelled = |path: &str, text: &str| Add {
        partition_values: [("p".to_owned(), Some(text.to_owned()))].into(),
        ..sized(path, 0, 10)
    };
    let adds = [spelled("a", "2024-01-01 00:00:00"), spelled("b", "2024-01-01T00:00:00.000000Z")];
    let state = table_of(protocol(&[]), metadata(&schema.expect("two columns"), &["p"], &[]), None, &adds);
    let groups = plan_compaction(&state, &policy()).expect("planned");
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].partition["p"].as_deref(), Some("2024-01-01 00:00:00"));
    assert_eq!((groups[0].files.len(), groups[0].bytes), (2, 20));
}

#[test]
fn upkeep_joins_sixteen_small_files_of_a_size_and_rewrites_what_is_a_third_deleted() {
    let upkeep = |adds: &[Add]| -> Vec<Vec<String>> {
        let state = table(&["deletionVectors"], &[], adds);
        let path = |id: &FileId| state.files.get(id).path().to_owned();
        plan_upkeep(&state).iter().map(|group| group.files.iter().map(path).collect()).collect()
    };
    let small = |from: usize, to: usize, size: i64| -> Vec<Add> {
        (from..to).map(|i| sized(&format!("f{i:02}"), 1, size)).collect()
    };
    assert!(upkeep(&small(0, 15, 1000)).is_empty());
    assert_eq!(upkeep(&small(0, 16, 1000)).len(), 1);
    // Other sizes and other partitions are other classes, and large files are left alone.
    let mut mixed = small(0, 15, 1000);
    mixed.push(sized("larger", 1, 5 << 20));
    mixed.push(sized("elsewhere", 2, 1000));
    assert!(upkeep(&mixed).is_empty());
    assert!(upkeep(&small(0, 40, 20 << 20)).is_empty());
    let third = with_vector(&sized("a", 1, 100 << 20), "v", 4);
    assert_eq!(upkeep(&[third, with_vector(&sized("b", 1, 100 << 20), "w", 3)]), [["a"]]);
}
