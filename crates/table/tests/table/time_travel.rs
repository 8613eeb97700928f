use floe_table_format::{FormatError, TimestampMs, Version, VersionSpec};

use crate::world::{World, range, rows_of};

#[tokio::test]
async fn a_version_that_is_not_there_names_those_that_are() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..1)]).await.expect("appended");
    let error = world.table.at(VersionSpec::Version(Version::new(7).expect("small"))).await.expect_err("refused");
    assert!(matches!(error.format_error(), Some(FormatError::VersionNotFound { .. })), "{error}");
    assert!(error.to_string().contains("0 to 1"), "{error}");
}

#[tokio::test]
async fn times_lead_to_versions() {
    for in_commit in ["false", "true"] {
        let world = World::with_names().await;
        let properties = [("delta.enableInCommitTimestamps".to_owned(), in_commit.to_owned())];
        world.table.set_properties(properties.into()).await.expect("set");
        for i in 0..4 {
            world.table.env().sleep(std::time::Duration::from_millis(15)).await;
            world.table.append(vec![range(i..i + 1)]).await.expect("appended");
        }
        for version in 2..=5u64 {
            let version = Version::new(version).expect("small");
            let at = world.table.version_timestamp(version).await.expect("read").expect("a commit");
            let found = world.table.at(VersionSpec::Timestamp(at)).await.expect("found");
            assert_eq!(found.version(), version, "in-commit timestamps {in_commit}");
            assert_eq!(rows_of(&found).await.len() as u64, version.get() - 1);
        }
        let early = world.table.at(VersionSpec::Timestamp(TimestampMs(0))).await.expect_err("before the table");
        assert!(matches!(early.format_error(), Some(FormatError::TimestampOutOfRange { .. })), "{early}");
    }
}

#[tokio::test]
async fn in_commit_timestamps_rise_strictly() {
    let world = World::with_names().await;
    let properties = [("delta.enableInCommitTimestamps".to_owned(), "true".to_owned())];
    world.table.set_properties(properties.into()).await.expect("set");
    for i in 0..20 {
        world.table.append(vec![range(i..i + 1)]).await.expect("appended");
    }
    let history = world.table.history(None).await.expect("read");
    let stamps: Vec<i64> = history.iter().filter_map(|e| e.info.in_commit_timestamp).collect();
    assert_eq!(stamps.len(), 21);
    assert!(stamps.windows(2).all(|pair| pair[0] > pair[1]), "{stamps:?}");
}
