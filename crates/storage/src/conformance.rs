//! What every store has to do, as one function: run by the tests of this crate on disk and in memory, by the suites
//! against S3 servers and by the simulator on its own store.

use std::fmt::Debug;

use bytes::Bytes;
use floe_table_format::{FormatError, RowSet, Version};
use futures::TryStreamExt;
use futures::future::join_all;

use crate::data_store::DataStore;
use crate::deletion_vectors::{self, Placement};
use crate::doctor;
use crate::env::Env;
use crate::error::StorageError;
use crate::location::Location;
use crate::log_store::{LogStore, PutOutcome};

#[cfg(test)]
mod tests;

/// Checks a store at an empty location, which is left with files in it.
///
/// # Errors
/// What did not hold, in words.
pub async fn check_store(location: Location, env: Env) -> Result<(), String> {
    let log = LogStore::new(location.clone(), env.clone());
    let data = DataStore::new(location.clone(), env.clone());
    an_empty_location_is_empty(&log, &data).await?;
    a_version_is_written_once(&log).await?;
    racing_writers_have_one_winner(&log).await?;
    a_listing_is_sorted_and_bounded(&log).await?;
    files_of_the_log_can_be_replaced_and_deleted(&log).await?;
    files_are_read_back_whole_and_in_part(&data).await?;
    large_files_go_in_parts(&data).await?;
    deletion_is_idempotent(&data).await?;
    paths_stay_inside(&data).await?;
    deletion_vectors_are_read_back(&data, &env).await?;
    let report = doctor::probe(&location, &env).await.map_err(|error| error.to_string())?;
    expect("the doctor finds nothing", report.first_failure().map(|check| check.name), None)
}

/// `Ok` if both are equal, else what was found instead.
fn expect<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}

fn works<T>(what: &str, result: crate::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

fn version(number: u64) -> Result<Version, String> {
    Version::new(number).map_err(|error| error.to_string())
}

async fn an_empty_location_is_empty(log: &LogStore, data: &DataStore) -> Result<(), String> {
    expect("a new log exists", works("exists", log.exists().await)?, false)?;
    expect("files of a new log", works("list", log.list(Version::ZERO).await)?, vec![])?;
    expect("a new log has a hint", works("read hint", log.read_hint().await)?.is_some(), false)?;
    let listed: Vec<_> = works("list all", data.list_all().try_collect().await)?;
    expect("files of a new table", listed, vec![])?;
    let error = log.read("00000000000000000000.json").await.err();
    expect("reading a missing commit", error.is_some_and(|error| error.is_not_found()), true)
}

async fn a_version_is_written_once(log: &LogStore) -> Result<(), String> {
    let first = works("first put", log.put_if_absent(Version::ZERO, Bytes::from_static(b"first")).await)?;
    expect("first put", first, PutOutcome::Written)?;
    let second = works("second put", log.put_if_absent(Version::ZERO, Bytes::from_static(b"second")).await)?;
    expect("second put", second, PutOutcome::Taken)?;
    let read = works("read", log.read("00000000000000000000.json").await)?;
    expect("the version's bytes", read, Bytes::from_static(b"first"))?;
    expect("the log exists", works("exists", log.exists().await)?, true)
}

async fn racing_writers_have_one_winner(log: &LogStore) -> Result<(), String> {
    for number in 1..=8 {
        let version = version(number)?;
        let puts = (0..8).map(|writer| log.put_if_absent(version, Bytes::from(format!("writer {writer}"))));
        let mut winners = Vec::new();
        for (writer, outcome) in join_all(puts).await.into_iter().enumerate() {
            if works("a racing put", outcome)? == PutOutcome::Written {
                winners.push(writer);
            }
        }
        expect("winners of a race", winners.len(), 1)?;
        let read = works("read", log.read(&format!("{number:020}.json")).await)?;
        let winner = winners.first().copied().unwrap_or_default();
        expect("the version's bytes", read, Bytes::from(format!("writer {winner}")))?;
    }
    Ok(())
}

async fn a_listing_is_sorted_and_bounded(log: &LogStore) -> Result<(), String> {
    works("write", log.write("_sidecars/x.parquet", Bytes::from_static(b"x")).await)?;
    works("write", log.write("_last_checkpoint", Bytes::from_static(b"{}")).await)?;
    works("write", log.write("00000000000000000007.crc", Bytes::from_static(b"{}")).await)?;
    let listed = works("list", log.list(version(6)?).await)?;
    let names: Vec<_> = listed.iter().map(|entry| entry.name.as_str()).collect();
    let expected = [
        "00000000000000000006.json",
        "00000000000000000007.crc",
        "00000000000000000007.json",
        "00000000000000000008.json",
    ];
    expect("names from version 6 on", names, expected.to_vec())?;
    expect("the size of a listed file", listed.first().map(|entry| entry.size), Some(8))?;
    let names = listed.iter().map(|entry| entry.name.clone()).collect();
    let read: Vec<(String, Bytes)> = works("read many", log.read_many(names).try_collect().await)?;
    expect("files read, in order", read.iter().map(|(name, _)| name.as_str()).collect(), expected.to_vec())
}

async fn files_of_the_log_can_be_replaced_and_deleted(log: &LogStore) -> Result<(), String> {
    let name = "00000000000000000003.crc";
    for content in ["one", "two"] {
        works("write", log.write(name, Bytes::from(content)).await)?;
        expect("a written file", works("read", log.read(name).await)?, Bytes::from(content))?;
    }
    expect("write new", works("write new", log.write_new(name, Bytes::new()).await)?, PutOutcome::Taken)?;
    works("delete", log.delete(name).await)?;
    works("delete what is gone", log.delete(name).await)?;
    expect("write new", works("write new", log.write_new(name, Bytes::new()).await)?, PutOutcome::Written)?;
    expect("an empty file", works("read", log.read(name).await)?, Bytes::new())?;
    works("delete", log.delete(name).await)
}

async fn files_are_read_back_whole_and_in_part(data: &DataStore) -> Result<(), String> {
    // Names as other writers make them: partitions, escapes that are part of the name, letters beyond ASCII.
    for name in ["part-1.parquet", "a=1/b=x%20y/c.parquet", "d=ü/e f+g.parquet", "_change_data/x.parquet"] {
        works("put", data.put(name, Bytes::from_static(b"0123456789")).await)?;
        expect(name, works("get", data.get(name).await)?, Bytes::from_static(b"0123456789"))?;
        expect(name, works("get range", data.get_range(name, 3..6).await)?, Bytes::from_static(b"345"))?;
        expect(name, works("head", data.head(name).await)?.size, 10)?;
        let beyond = data.get_range(name, 8..12).await;
        expect("a range beyond the end is an error", beyond.is_err(), true)?;
    }
    let mut listed: Vec<_> = works("list all", data.list_all().try_collect().await)?;
    listed.sort_by(|a, b| a.path.cmp(&b.path));
    let names: Vec<_> = listed.iter().map(|file| file.path.as_str()).collect();
    let expected = vec!["_change_data/x.parquet", "a=1/b=x%20y/c.parquet", "d=ü/e f+g.parquet", "part-1.parquet"];
    expect("all files outside the log", names, expected)
}

async fn large_files_go_in_parts(data: &DataStore) -> Result<(), String> {
    let pattern: Vec<u8> = (0..(1u32 << 20)).map(|n| (n % 251) as u8).collect();
    let piece = Bytes::from(pattern);
    let path = works("path", data.location().absolute("large.bin"))?;
    let mut upload = crate::upload::Upload::new(data.access().clone(), path.clone());
    for _ in 0..19 {
        works("push", upload.push(piece.clone()).await)?;
    }
    works("push", upload.push(Bytes::from_static(b"end")).await)?;
    let size = (19 << 20) + 3;
    expect("the size of an upload", works("finish", upload.finish().await)?, size)?;
    expect("the size of the object", works("head", data.head("large.bin").await)?.size, size)?;
    let middle = works("get range", data.get_range("large.bin", 8 << 20..9 << 20).await)?;
    expect("a part in the middle", middle == piece, true)?;
    expect(
        "the end",
        works("get range", data.get_range("large.bin", size - 3..size).await)?,
        Bytes::from_static(b"end"),
    )?;

    let path = works("path", data.location().absolute("aborted.bin"))?;
    let mut aborted = crate::upload::Upload::new(data.access().clone(), path);
    for _ in 0..18 {
        works("push", aborted.push(piece.clone()).await)?;
    }
    aborted.abort().await;
    let gone = data.head("aborted.bin").await.err();
    expect("an aborted upload is not there", gone.is_some_and(|error| error.is_not_found()), true)
}

async fn deletion_is_idempotent(data: &DataStore) -> Result<(), String> {
    works("put", data.put("x", Bytes::from_static(b"x")).await)?;
    let names = ["x", "never-there", "../outside", "large.bin"].map(str::to_owned).to_vec();
    let results: Vec<bool> = data.delete_many(names).await.iter().map(Result::is_ok).collect();
    expect("deletions", results, vec![true, true, false, true])?;
    let gone = data.head("x").await.err();
    expect("a deleted file is gone", gone.is_some_and(|error| error.is_not_found()), true)
}

async fn paths_stay_inside(data: &DataStore) -> Result<(), String> {
    for bad in ["../x", "a/../../x", "/x", "", "a//b"] {
        // A slash in front means the top of the store, where a trusted folder may lie: none is trusted here.
        let refused = match data.get(bad).await {
            Err(StorageError::InvalidLocation { .. }) => !bad.starts_with('/'),
            Err(StorageError::Format(FormatError::PathEscapesTable { .. })) => bad.starts_with('/'),
            _ => false,
        };
        expect(&format!("reading {bad:?} is refused"), refused, true)?;
        let refused = matches!(data.put(bad, Bytes::new()).await, Err(StorageError::InvalidLocation { .. }));
        expect(&format!("writing {bad:?} is refused"), refused, true)?;
    }
    Ok(())
}

async fn deletion_vectors_are_read_back(data: &DataStore, env: &Env) -> Result<(), String> {
    let mut small = RowSet::new();
    small.insert(3);
    let sparse = |step: u64| {
        let mut rows = RowSet::new();
        (0..2000).for_each(|n| {
            rows.insert(n * step);
        });
        rows
    };
    let sets = [small, sparse(7), sparse(100_000)];
    for (placement, kinds) in [(Placement::Inline, ["i", "u", "u"]), (Placement::File, ["u", "u", "u"])] {
        let written = works("write", deletion_vectors::write_vectors(data, env, &sets, placement).await)?;
        let placed: Vec<&str> = written.iter().map(|descriptor| descriptor.storage_type.as_str()).collect();
        expect("where the sets are", placed, kinds.to_vec())?;
        let loaded: Vec<RowSet> = works("load", deletion_vectors::load_many(data, written).try_collect().await)?;
        for (loaded, written) in loaded.iter().zip(&sets) {
            expect("rows of a set", loaded.iter().collect::<Vec<_>>() == written.iter().collect::<Vec<_>>(), true)?;
        }
    }
    Ok(())
}
