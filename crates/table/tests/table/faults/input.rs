//! Input made to harm.

use bytes::Bytes;
use floe_storage::StorageError;
use floe_table::TableError;
use floe_table_format::FormatError;
use floe_table_format::path::{checkpoint_name, commit_name};

use super::{broken, commit, line, refused, seen};
use crate::world::{World, rows_now, three_versions, v, write};

#[tokio::test]
async fn j1_paths_that_leave_the_table_are_refused_wherever_they_stand() {
    for path in [
        "../secrets.parquet",
        "a/../../secrets.parquet",
        "%2e%2e/secrets.parquet",
        "a/%2E%2E/%2e%2e/b",
        "..%2fsecrets",
        "..\\secrets",
        "%5c..%5csecrets",
        "/etc/passwd",
        "%2fetc/passwd",
        "C:/secrets",
        "s3://bucket/secrets",
        "file:///etc/passwd",
        "a%00b",
        "a//b",
        "",
    ] {
        let world = three_versions().await;
        let add = line(&world, 2, "\"add\"").await;
        let from = add.find("\"path\":\"").expect("a path") + 8;
        let to = from + add[from..].find('"').expect("its end");
        let text = serde_json::to_string(path).expect("JSON");
        commit(&world, 3, &[&format!("{}{}{}", &add[..from - 1], text, &add[to + 1..])]).await;
        let error = refused(&world).await;
        let named =
            matches!(error.format_error(), Some(FormatError::PathEscapesTable { .. } | FormatError::CorruptLog { .. }));
        assert!(named, "{path:?}: {error}");
    }
    // Sidecars are named by their names alone, and vectors by folders of the table.
    let world = three_versions().await;
    world.table.checkpoint().await.expect("a checkpoint");
    world.table.log_store().delete(&checkpoint_name(v(2))).await.expect("deleted");
    let (protocol, metadata) = (line(&world, 0, "\"protocol\"").await, line(&world, 0, "\"metaData\"").await);
    let sidecar = r#"{"sidecar":{"path":"../../secrets.parquet","sizeInBytes":9,"modificationTime":1}}"#;
    let name = format!("{:020}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json", 2);
    write(&world, &name, [r#"{"checkpointMetadata":{"version":2}}"#, &protocol, &metadata, sidecar].join("\n")).await;
    assert!(matches!(broken(&world).await, FormatError::PathEscapesTable { .. }));
}

#[tokio::test]
async fn j2_a_parquet_footer_that_lies_is_refused_before_it_is_believed() {
    let world = three_versions().await;
    let path = world.table.snapshot().await.expect("loaded").scan().plan().expect("planned").files[0].path.clone();
    let whole = world.table.data_store().get(&path).await.expect("read");
    let end = whole.len();
    for length in [u32::MAX, i32::MAX as u32, end as u32, 1 << 28, 0] {
        let mut forged = whole.to_vec();
        forged[end - 8..end - 4].copy_from_slice(&length.to_le_bytes());
        world.table.data_store().put(&path, forged.into()).await.expect("written");
        let error = refused(&world).await;
        assert!(
            matches!(&error, TableError::Storage { source, .. } if matches!(source.as_ref(), StorageError::CorruptDataFile { .. })),
            "{length}: {error}"
        );
    }
    // Every byte of the footer, one after the other: an error or the rows, and no panic.
    let before = rows_now_of(&whole, &world, &path).await;
    for at in (end.saturating_sub(600)..end).step_by(5) {
        let mut forged = whole.to_vec();
        forged[at] ^= 0x7f;
        world.table.data_store().put(&path, forged.into()).await.expect("written");
        if let Ok(found) = seen(&world).await {
            assert_eq!(found.len(), before, "byte {at}");
        }
    }
}

async fn rows_now_of(whole: &Bytes, world: &World, path: &str) -> usize {
    world.table.data_store().put(path, whole.clone()).await.expect("written");
    rows_now(world).await.len()
}

#[tokio::test]
async fn j3_json_bombs_are_refused_and_harmless_ones_pass() {
    let deep = |depth: usize| format!(r#"{{"unknown":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let world = three_versions().await;
    let nested = |depth: usize| format!(r#"{{"commitInfo":{{"x":{}1{}}}}}"#, "[".repeat(depth), "]".repeat(depth));
    for bomb in [nested(200), nested(1_000_000), format!(r#"{{"add":{{"path":{}"#, "{\"a\":".repeat(100_000))] {
        commit(&world, 3, &[&bomb]).await;
        assert!(matches!(broken(&world).await, FormatError::CorruptLog { line: Some(1), .. }));
    }
    write(&world, &commit_name(v(3)), &b"{\"add\":{\"path\":\"\xff\xfe\",\"size\":1,\"partitionValues\":{}}}"[..])
        .await;
    assert!(matches!(broken(&world).await, FormatError::CorruptLog { line: Some(1), .. }));
    // A million levels and a hundred thousand keys of an unknown action mean nothing.
    commit(&world, 3, &[&deep(1_000_000)]).await;
    assert_eq!(rows_now(&world).await.len(), 20);
    let keys: Vec<String> = (0..100_000).map(|key| format!("\"k{key}\":{key}")).collect();
    commit(&world, 3, &[&format!("{{\"unknown\":{{{}}}}}", keys.join(","))]).await;
    assert_eq!(rows_now(&world).await.len(), 20);
    // A schema as deep as that.
    let metadata = line(&world, 0, "\"metaData\"").await;
    let from = metadata.find("\"schemaString\":\"").expect("a schema") + 16;
    let to = from + metadata[from..].find("\",\"").expect("its end");
    let schema = format!(
        r#"{{\"type\":\"struct\",\"fields\":[{{\"name\":\"a\",\"nullable\":true,\"metadata\":{{}},\"type\":{}\"long\"{}}}]}}"#,
        r#"{\"type\":\"array\",\"containsNull\":true,\"elementType\":"#.repeat(100_000),
        "}".repeat(100_000)
    );
    commit(&world, 3, &[&format!("{}{schema}{}", &metadata[..from], &metadata[to..])]).await;
    let error = broken(&world).await;
    assert!(matches!(error, FormatError::LimitExceeded { .. }), "{error}");
}

#[tokio::test]
async fn j7_what_stands_in_a_log_cannot_reach_the_terminal() {
    let world = three_versions().await;
    let add = line(&world, 2, "\"add\"").await;
    let from = add.find("\"path\":\"").expect("a path") + 8;
    let to = from + add[from..].find('"').expect("its end");
    for path in ["../\\u001b[2J\\u0007evil", &format!("../{}", "x".repeat(100_000))] {
        commit(&world, 3, &[&format!("{}{path}{}", &add[..from], &add[to..])]).await;
        let said = refused(&world).await.to_string();
        assert!(!said.chars().any(char::is_control), "{said:?}");
        assert!(said.len() < 1000, "{} bytes", said.len());
        let report = world.other_handle().await.check().await.expect("the store answers");
        assert!(report.lines().iter().all(|(_, detail)| !detail.chars().any(char::is_control) && detail.len() < 3000));
    }
}
