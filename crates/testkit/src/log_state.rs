//! The same table with its log in every state that a log comes in.
//!
//! A table that reads right from its commits alone may read wrong from a checkpoint, behind a stale hint or after log
//! clean-up. [`sweep`] builds one table once for each of these and asks the same question of all.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use floe_table::{CreateTable, Result, Table};
use floe_table_format::path::{checkpoint_name, checksum_name, commit_name};
use floe_table_format::{Version, segment::LastCheckpointHint};

/// In which state a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogState {
    /// Commits, and nothing else.
    CommitsOnly,
    /// A checkpoint of the newest version.
    Checkpointed,
    /// A checkpoint half way, commits after it.
    CheckpointAndCommits,
    /// Two checkpoints, and the hint still points to the older one.
    StaleHint,
    /// A checkpoint, and a hint that is not JSON.
    GarbageHint,
    /// A checkpoint, and a hint at a version that does not exist.
    HintBeyondTheLog,
    /// A checkpoint, and no hint.
    NoHint,
    /// A checkpoint half way; the commits up to it are deleted.
    CleanedUp,
    /// A checkpoint of the newest version that is cut short; the commits are all there.
    TornCheckpoint,
}

impl LogState {
    /// All of them.
    pub const ALL: [LogState; 9] = [
        LogState::CommitsOnly,
        LogState::Checkpointed,
        LogState::CheckpointAndCommits,
        LogState::StaleHint,
        LogState::GarbageHint,
        LogState::HintBeyondTheLog,
        LogState::NoHint,
        LogState::CleanedUp,
        LogState::TornCheckpoint,
    ];

    /// The oldest version that can be read in this state, of a table with `steps` versions after its creation.
    pub fn earliest_version(self, steps: usize) -> u64 {
        if self == LogState::CleanedUp { steps as u64 / 2 } else { 0 }
    }
}

/// A URI in this process's memory that nobody else uses.
pub fn memory_uri(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("memory://testkit-{}/{name}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// For each log state: makes the table, carries out `steps` steps that commit one version each, brings the log into the
/// state, opens the table anew and checks it.
///
/// # Errors
/// The first error of a step, a check or the table.
pub async fn sweep(
    create: CreateTable,
    steps: usize,
    step: impl AsyncFn(&Table, usize) -> Result<()>,
    check: impl AsyncFn(LogState, &Table) -> Result<()>,
) -> Result<()> {
    for state in LogState::ALL {
        let uri = memory_uri("swept");
        // Checkpoints are written here and nowhere else.
        let create = create.clone().with_property("delta.checkpointInterval", "1000000");
        let table = Table::builder(&uri).create(create).await?;
        let log = table.log_store().clone();
        let mut older_hint = None;
        for number in 0..=steps {
            if number == steps / 2
                && matches!(state, LogState::CheckpointAndCommits | LogState::StaleHint | LogState::CleanedUp)
            {
                table.checkpoint().await?;
                older_hint = log.read(LastCheckpointHint::NAME).await.ok();
            }
            if number < steps {
                step(&table, number).await?;
            }
        }
        let newest = table.snapshot().await?.version();
        let storage = |source| floe_table::TableError::Storage { table: uri.clone(), source: Box::new(source) };
        match state {
            LogState::CommitsOnly => {
                for number in 0..=newest.get() {
                    log.delete(&checksum_name(version(number))).await.map_err(storage)?;
                }
            }
            LogState::CheckpointAndCommits => {}
            LogState::Checkpointed | LogState::StaleHint | LogState::GarbageHint => drop(table.checkpoint().await?),
            LogState::HintBeyondTheLog | LogState::NoHint | LogState::TornCheckpoint => drop(table.checkpoint().await?),
            LogState::CleanedUp => {
                for number in 0..steps as u64 / 2 {
                    log.delete(&commit_name(version(number))).await.map_err(storage)?;
                    log.delete(&checksum_name(version(number))).await.map_err(storage)?;
                }
            }
        }
        match (state, older_hint) {
            (LogState::StaleHint, Some(hint)) => log.write(LastCheckpointHint::NAME, hint).await.map_err(storage)?,
            (LogState::GarbageHint, _) => {
                log.write(LastCheckpointHint::NAME, Bytes::from_static(b"{\"versi")).await.map_err(storage)?;
            }
            (LogState::HintBeyondTheLog, _) => {
                let hint = format!("{{\"version\":{},\"size\":1}}", newest.get() + 1000);
                log.write(LastCheckpointHint::NAME, hint.into()).await.map_err(storage)?;
            }
            (LogState::NoHint, _) => log.delete(LastCheckpointHint::NAME).await.map_err(storage)?,
            (LogState::TornCheckpoint, _) => {
                let name = checkpoint_name(newest);
                let whole = log.read(&name).await.map_err(storage)?;
                log.write(&name, whole.slice(0..whole.len() / 2)).await.map_err(storage)?;
            }
            _ => {}
        }
        check(state, &Table::open(&uri).await?).await?;
    }
    Ok(())
}

fn version(number: u64) -> Version {
    Version::new(number).expect("tables in tests have few versions")
}

#[cfg(test)]
mod tests {
    use floe_table::Result;
    use futures::TryStreamExt;

    use super::*;
    use crate::{Batch, rows};

    #[test]
    fn every_state_holds_the_same_rows() -> Result<()> {
        let batch = |step: usize| Batch::new().long("step", [step as i64]).text("name", [Some("x")]).build();
        let create = CreateTable::from_arrow(&batch(0).schema())?;
        let expected = |steps: usize| (0..steps).map(|step| format!("{step}|x")).collect::<Vec<_>>();
        const STEPS: usize = 6;
        futures::executor::block_on(sweep(
            create,
            STEPS,
            async |table, step| table.append(vec![batch(step)]).await.map(drop),
            async |state, table| {
                for number in state.earliest_version(STEPS)..=STEPS as u64 {
                    let snapshot = table.at(floe_table_format::VersionSpec::Version(version(number))).await?;
                    let batches: Vec<_> = snapshot.scan().stream().await?.try_collect().await?;
                    assert_eq!(rows(&batches), expected(number as usize), "{state:?} at version {number}");
                }
                assert_eq!(table.snapshot().await?.version(), version(STEPS as u64), "{state:?}");
                Ok(())
            },
        ))
    }
}
