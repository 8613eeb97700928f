//! Tables that a catalog manages, read by what the caller was told by it.

use floe_storage::RatifiedCommits;
use floe_table::{CreateTable, Table, TableError};
use floe_table_format::FormatError;
use floe_table_format::path::{checksum_name, commit_name};

use crate::world::{World, names, range, read, rows_of, v, write};

/// Versions 0 to 4 of a table that a catalog manages: 0 and 1 are published, 2 is staged, 3 at hand, 4 in the log but not ratified.
async fn managed() -> (World, RatifiedCommits) {
    let create = CreateTable::from_arrow(&names(&[]).schema())
        .expect("a Delta schema")
        .with_property("delta.enableInCommitTimestamps", "true")
        .with_property("delta.enableDeletionVectors", "true");
    let world = World::new(create).await;
    for i in 0..4 {
        world.table.append(vec![range(i * 10..i * 10 + 10)]).await.expect("appended");
    }
    let first = String::from_utf8(read(&world, &commit_name(v(0))).await.to_vec()).expect("text");
    let managed = first
        .replace(r#""readerFeatures":["#, r#""readerFeatures":["catalogManaged","#)
        .replace(r#""writerFeatures":["#, r#""writerFeatures":["catalogManaged","#);
    assert_ne!(first, managed);
    write(&world, &commit_name(v(0)), managed).await;
    let log = world.table.log_store();
    for version in 0..5 {
        // Checksums tell of the protocol, too.
        let _ = log.delete(&checksum_name(v(version))).await;
    }
    let staged = "00000000000000000002.3a0d65cd-4056-49b8-937b-95f9e3ee90e5.json";
    write(&world, &format!("_staged_commits/{staged}"), read(&world, &commit_name(v(2))).await).await;
    let inline = read(&world, &commit_name(v(3))).await;
    for version in [2, 3] {
        log.delete(&commit_name(v(version))).await.expect("deleted");
    }
    let ratified =
        RatifiedCommits::up_to(v(3)).with_staged_file(v(2), staged).expect("a name").with_inline(v(3), inline);
    (world, ratified)
}

async fn open(world: &World, ratified: RatifiedCommits) -> floe_table::Result<Table> {
    let builder = Table::builder("memory:///t").with_location(world.table.location().clone());
    builder.with_ratified_commits(ratified).open().await
}

#[tokio::test]
async fn a_managed_table_is_read_as_its_catalog_says() {
    let (world, ratified) = managed().await;
    let table = open(&world, ratified).await.expect("opened");
    let snapshot = table.snapshot().await.expect("loaded");
    assert_eq!(snapshot.version(), v(3));
    assert_eq!(rows_of(&snapshot).await.len(), 30);
    assert_eq!(crate::world::rows_at(&table, 2).await.len(), 20);
    // A version that is in the folder, but was not ratified, is none.
    let beyond = table.at(floe_table_format::VersionSpec::Version(v(4))).await.expect_err("refused");
    assert!(matches!(beyond.format_error(), Some(FormatError::VersionNotFound { .. })), "{beyond}");
    // A later answer of the catalog shows what came since.
    let newest = RatifiedCommits::up_to(v(1));
    assert_eq!(rows_of(&open(&world, newest).await.expect("opened").snapshot().await.expect("loaded")).await.len(), 10);
}

#[tokio::test]
async fn a_published_commit_is_read_from_the_log_when_it_is_gone_from_where_it_was_staged() {
    let (world, ratified) = managed().await;
    let staged = "_staged_commits/00000000000000000002.3a0d65cd-4056-49b8-937b-95f9e3ee90e5.json";
    write(&world, &commit_name(v(2)), read(&world, staged).await).await;
    world.table.log_store().delete(staged).await.expect("deleted");
    let table = open(&world, ratified).await.expect("opened");
    assert_eq!(rows_of(&table.snapshot().await.expect("loaded")).await.len(), 30);
}

#[tokio::test]
async fn a_managed_table_is_refused_without_its_catalog_and_never_written() {
    let (world, ratified) = managed().await;
    let error = Table::builder("memory:///t").with_location(world.table.location().clone()).open().await;
    let error = error.expect_err("refused");
    assert!(
        matches!(error.format_error(), Some(FormatError::CorruptLog { .. } | FormatError::UnsupportedFeature { .. })),
        "{error}"
    );
    let table = open(&world, ratified).await.expect("opened");
    let error = table.append(vec![range(90..91)]).await.expect_err("refused");
    let Some(FormatError::UnsupportedFeature { features, .. }) = error.format_error() else { panic!("{error}") };
    assert_eq!(*features, ["catalogManaged"]);
}

#[tokio::test]
async fn what_a_catalog_cannot_have_said_is_refused() {
    let (world, ratified) = managed().await;
    for (given, part) in
        [(RatifiedCommits::up_to(v(3)), "ends at version 3"), (RatifiedCommits::up_to(v(2)), "ends at version 2")]
    {
        let error = open(&world, given).await.expect_err("refused").to_string();
        assert!(error.contains(part), "{error}");
    }
    for name in ["00000000000000000002.json", "00000000000000000003.ab.json", "../x", "00000000000000000002.a/b.json"] {
        let refused = RatifiedCommits::up_to(v(2)).with_staged_file(v(2), name);
        assert!(
            matches!(refused, Err(floe_storage::StorageError::Format(FormatError::PathEscapesTable { .. }))),
            "{name}"
        );
    }
    let plain = World::with_names().await;
    let error = open(&plain, RatifiedCommits::up_to(v(0))).await.expect_err("refused");
    assert!(matches!(&error, TableError::InvalidRequest { what, .. } if what.contains("no catalog")), "{error}");
    drop(ratified);
}
