//! What a file system can do to a log.

use floe_table_format::FormatError;
use floe_table_format::path::commit_name;

use super::broken;
use crate::world::{read, rows_at, rows_now, three_versions, v, write};

#[tokio::test]
async fn d2_an_empty_or_zero_filled_commit_is_corrupt_and_no_empty_commit() {
    for bytes in [&b""[..], &[0u8; 700][..], &b"\n\n \n"[..]] {
        let world = three_versions().await;
        write(&world, &commit_name(v(2)), bytes).await;
        assert!(matches!(broken(&world).await, FormatError::CorruptLog { version, .. } if version == Some(v(2))));
        assert_eq!(rows_at(&world.table, 1).await.len(), 10, "older versions read");
    }
}

#[tokio::test]
async fn d3_a_torn_commit_is_corrupt_at_every_byte_but_a_missing_line_end_is_none() {
    let world = three_versions().await;
    let whole = read(&world, &commit_name(v(2))).await;
    let unended = whole.len() - 1;
    for length in (1..unended).step_by(7) {
        if whole[length - 1] == b'\n' || whole[length] == b'\n' {
            continue;
        }
        write(&world, &commit_name(v(2)), whole.slice(..length)).await;
        let error = broken(&world).await;
        assert!(matches!(error, FormatError::CorruptLog { line: Some(_), .. }), "{length}: {error}");
    }
    write(&world, &commit_name(v(2)), whole.slice(..unended)).await;
    assert_eq!(rows_now(&world).await.len(), 20);
}

#[tokio::test]
async fn d9_leftovers_beside_the_log_are_passed_over() {
    let world = three_versions().await;
    for name in ["00000000000000000003.json.tmp", ".00000000000000000003.json.crc", "3.json", "_commits/x"] {
        write(&world, name, &b"rubbish"[..]).await;
    }
    assert_eq!(rows_now(&world).await.len(), 20);
}
