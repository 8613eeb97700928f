//! Corruption that other implementations have had.

use floe_table::CreateTable;
use floe_table_format::path::commit_name;
use floe_table_format::{CompareOp, Predicate, Scalar};

use super::{commit, line};
use crate::world::{World, delete_ids, names, range, read, three_versions, v, write};

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
