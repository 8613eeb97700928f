//! The one way a version is written: assemble, put if absent, and when another writer was faster, decide.
//!
//! The success of the put cannot be undone by what follows it: checksum, checkpoint and clean-up are never part of a
//! commit's success. An outcome the store did not tell is settled by reading the version back and comparing the token;
//! until a version is seen occupied, only the same bytes are tried there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use floe_storage::{PutOutcome, StorageError, doctor};
use floe_table_format::commit::{AssembledCommit, Stamp, assemble, token_of};
use floe_table_format::conflict::{Attempt, Winner, decide};
use floe_table_format::{Action, TableState, Verdict, Version, Why};

use crate::checkpoint;
use crate::error::{OnTable, Result, TableError};
use crate::load;
use crate::locate::LookupReport;
use crate::table::Table;
use crate::transaction::{Preparation, Prepared, Transaction};

/// How many versions a commit tries before it gives up.
const ATTEMPTS_MAX: u32 = 200;
/// How often an unknown outcome is looked at before it is reported as unknown.
const SETTLE_ATTEMPTS_MAX: u32 = 12;
/// The first pause after a lost race; each further one is longer, and all are jittered.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What became of a transaction.
#[must_use = "a lost race is a value, not an error: look at it"]
#[derive(Debug)]
pub enum CommitOutcome {
    /// It is a version of the table.
    Committed(CommitReport),
    /// Another writer's commit does not stand beside it. Nothing was written; staged files remain for another try.
    Conflicted {
        /// The transaction, to look at or to drop.
        transaction: Box<Transaction>,
        /// Which commit, and which rule.
        why: Why,
    },
}

impl CommitOutcome {
    /// The report of a commit, or the conflict as an error.
    ///
    /// # Errors
    /// [`TableError::Conflict`].
    pub fn committed(self) -> Result<CommitReport> {
        match self {
            CommitOutcome::Committed(report) => Ok(report),
            CommitOutcome::Conflicted { transaction, why } => Err(TableError::Conflict {
                table: transaction.table().uri().into(),
                operation: transaction.operation().name.clone(),
                why,
            }),
        }
    }
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitReport {
    /// The version it became.
    pub version: Version,
    /// Its token, as in `commitInfo.txnId`.
    pub token: String,
    /// How many versions were tried: 1 where nobody else was writing.
    pub attempts: u32,
    /// Files added.
    pub files_added: u64,
    /// Files removed, files with a new deletion vector included.
    pub files_removed: u64,
    /// Rows written to new files.
    pub rows_added: u64,
    /// Rows of older files that are no longer part of the table.
    pub rows_removed: u64,
    /// How many of those are of primary keys that were deleted, with no new row in their place.
    pub rows_deleted_by_key: u64,
    /// How primary keys were looked up, in a table that has them.
    pub lookup: LookupReport,
}

impl Transaction {
    /// Commits. A conflict is a value: see [`CommitOutcome`].
    ///
    /// # Errors
    /// [`crate::TableError::CommitOutcomeUnknown`] if the store did not tell what became of it, [`crate::TableError::TooManyAttempts`], a rule
    /// of the protocol, storage.
    pub async fn commit(self) -> Result<CommitOutcome> {
        match commit(self, true).await? {
            Attempted::Outcome(outcome) => Ok(outcome),
            Attempted::Nothing(_) => unreachable!("commits without changes are allowed here"),
        }
    }
}

/// What became of an attempt to commit what may be nothing.
pub(crate) enum Attempted {
    Outcome(CommitOutcome),
    /// There is nothing to change: no version was made.
    Nothing(Box<Transaction>),
}

/// Commits, unless settling the keys left nothing to change.
///
/// # Errors
/// As [`Transaction::commit`].
pub(crate) async fn commit_if_changed(transaction: Transaction) -> Result<Attempted> {
    commit(transaction, false).await
}

fn report(prepared: &Prepared, version: Version, token: String, attempts: u32, lookup: LookupReport) -> CommitReport {
    let Prepared { change, rows_added, rows_removed, rows_deleted_by_key } = prepared;
    CommitReport {
        version,
        token,
        attempts,
        files_added: change.adds.iter().filter(|a| a.deletion_vector.is_none()).count() as u64,
        files_removed: change.removes.len() as u64,
        rows_added: *rows_added,
        rows_removed: *rows_removed,
        rows_deleted_by_key: *rows_deleted_by_key,
        lookup,
    }
}

enum Put {
    Ours,
    Taken,
}

/// Commits a transaction: the loop of the module's description.
async fn commit(mut transaction: Transaction, allow_empty: bool) -> Result<Attempted> {
    let table = transaction.table().clone();
    let uri = table.uri().to_owned();
    let env = &table.0.env;
    let token = env.uuid().to_string();
    doctor::require_conditional_put(&table.0.location, &table.0.env).await.on(&uri)?;
    let mut base: Option<Arc<TableState>> = transaction.base().cloned();
    if let Some(base) = &base {
        require_log_from(&table, base).await?;
    }
    let conflicted = |transaction, why| {
        Ok(Attempted::Outcome(CommitOutcome::Conflicted { transaction: Box::new(transaction), why }))
    };
    let mut prepared = match transaction.prepare(base.as_ref()).await {
        Ok(prepared) => prepared,
        Err(error) => return give_up(transaction, error).await,
    };
    // Whether the base is the newest version as of some time during this call. Where nothing is put, whether that holds is a
    // question of the newest version as well.
    let mut is_newest = false;
    for attempt in 1..=ATTEMPTS_MAX {
        let puts = match &prepared {
            Preparation::Refused(_) => false,
            Preparation::Ready(ready) => allow_empty || !ready.change.is_empty(),
            Preparation::Stale(_) => true,
        };
        if !puts && is_newest {
            break;
        }
        let change = match &prepared {
            Preparation::Stale(why) => {
                let why = why.clone();
                return conflicted(transaction, why);
            }
            Preparation::Refused(_) => transaction.change(),
            Preparation::Ready(ready) if !puts => &ready.change,
            Preparation::Ready(ready) => {
                let stamp = Stamp { token: token.clone(), now: env.now() };
                let assembled = assemble(&ready.change, transaction.read_set(), base.as_deref(), stamp).on(&uri);
                let assembled = match assembled {
                    Ok(assembled) => assembled,
                    Err(error) => return give_up(transaction, error).await,
                };
                let version = assembled.version;
                match put_settled(&table, &assembled, &token).await? {
                    Put::Ours => {
                        let report = report(ready, version, token, attempt, transaction.lookup_report());
                        if let Some(state) = finish(&table, base.as_deref(), assembled, &report.token).await {
                            transaction.hand_over_keys(&state).await;
                        }
                        return Ok(Attempted::Outcome(CommitOutcome::Committed(report)));
                    }
                    // Another commit was seen there: from here on it is certain that ours is not.
                    Put::Taken => &ready.change,
                }
            }
        };
        let winners = winners_from(&table, base.as_ref().map(|b| b.version)).await?;
        is_newest = true;
        if winners.is_empty() {
            if puts {
                env.sleep(pause(&table, attempt)).await;
            }
            continue;
        }
        let Some(current) = &base else {
            // Two creators of one table: the second one looks at what the first one made and decides anew.
            let state = load::at(&table, None).await?;
            return Err(TableError::AlreadyExists { table: uri, version: state.version });
        };
        let winners_seen: Vec<Winner> =
            winners.iter().map(|(version, actions)| Winner { version: *version, actions: actions.clone() }).collect();
        let verdict = decide(&Attempt { change, read: transaction.read_set() }, &winners_seen, current);
        let rebased = Arc::new(current.apply(&winners).on(&uri)?);
        table.remember_own(&rebased);
        match verdict {
            Verdict::Clear => {}
            Verdict::Redo(redo) => {
                // Rows marked by winners stay marked: ours are marked on top, if none of them is marked already. Keys are
                // looked up again in the files that are new.
                if let Some(why) = transaction.rebase(&rebased, &redo, &winners_seen).await? {
                    return conflicted(transaction, why);
                }
                prepared = match transaction.prepare(Some(&rebased)).await {
                    Ok(prepared) => prepared,
                    Err(error) => return give_up(transaction, error).await,
                };
            }
            Verdict::Conflict(why) => return conflicted(transaction, why),
        }
        base = Some(rebased);
        env.sleep(pause(&table, attempt)).await;
    }
    let operation = transaction.operation().name.clone();
    match prepared {
        Preparation::Refused(error) => give_up(transaction, error).await,
        Preparation::Ready(ready) if ready.change.is_empty() && !allow_empty => {
            Ok(Attempted::Nothing(Box::new(transaction)))
        }
        _ => Err(TableError::TooManyAttempts { table: uri, operation, attempts: ATTEMPTS_MAX }),
    }
}

/// Ends a change that certainly is no version.
async fn give_up(transaction: Transaction, error: TableError) -> Result<Attempted> {
    transaction.roll_back().await;
    Err(error)
}

/// How long what a handle has seen of the log is relied on without looking.
const SEEN_AGE_MS_MAX: i64 = 60 * 1000;

/// Makes sure that the log still goes on from the version a change was made on.
///
/// Clean-up deletes old commits, oldest first. Where the next version's name is free because its commit was deleted long ago,
/// a put would succeed and the table would have two histories. As long as the base's own commit is there, the one after it
/// was not deleted.
async fn require_log_from(table: &Table, base: &Arc<TableState>) -> Result<()> {
    let now = table.0.env.now();
    let seen = table.known().is_some_and(|known| {
        known.state.version == base.version && now.0.saturating_sub(known.listed_at.0).abs() < SEEN_AGE_MS_MAX
    });
    if seen {
        return Ok(());
    }
    if !load::is_there(table, base.version).await? {
        return Err(TableError::SnapshotExpired { table: table.uri().into(), version: base.version });
    }
    if table.known().is_some_and(|known| known.state.version == base.version) {
        table.remember(base, now);
    }
    Ok(())
}

/// Puts the bytes at their version and finds out what happened, whatever the store says.
///
/// `Taken` is only returned once another writer's commit was seen there: a client below may have retried on our behalf and
/// been refused by our own first request. From the first request on that may have landed, every failure is one of not
/// knowing, and is reported as such.
async fn put_settled(table: &Table, assembled: &AssembledCommit, token: &str) -> Result<Put> {
    let (log, env, uri) = (&table.0.log, &table.0.env, table.uri());
    let bytes = Bytes::from(assembled.bytes.clone());
    let version = assembled.version;
    let mut doubt: Option<StorageError> = None;
    for attempt in 1..=SETTLE_ATTEMPTS_MAX {
        let refused = match log.put_if_absent(version, bytes.clone()).await {
            Ok(PutOutcome::Written) => return Ok(Put::Ours),
            Ok(PutOutcome::Taken) => None,
            Err(error) if doubt.is_none() && !matches!(error, StorageError::UnknownOutcome { .. }) => {
                return Err(error).on(uri);
            }
            Err(error) => Some(error),
        };
        let seen = match load::read_commit(table, version).await {
            Ok(Some(actions)) if token_of(&actions) == Some(token) => return Ok(Put::Ours),
            Ok(Some(_)) => return Ok(Put::Taken),
            // Not there, for now: the first put may still land, and then the same bytes again do no harm.
            Ok(None) => None,
            Err(error) => Some(storage_error(version, error)),
        };
        let what = "the store refused the version, and then had no commit there".to_owned();
        doubt = Some(seen.or(refused).unwrap_or(StorageError::UnknownOutcome { version, what }));
        env.sleep(pause(table, attempt)).await;
    }
    let source = doubt.expect("every attempt that did not return left a doubt");
    Err(TableError::CommitOutcomeUnknown { table: uri.into(), version, token: token.into(), source: Box::new(source) })
}

/// What kept a commit from being read back.
fn storage_error(version: Version, error: TableError) -> StorageError {
    match error {
        TableError::Storage { source, .. } => *source,
        TableError::Format { source, .. } => StorageError::Format(source),
        other => StorageError::UnknownOutcome { version, what: other.to_string() },
    }
}

async fn winners_from(table: &Table, base: Option<Version>) -> Result<Vec<(Version, Vec<Action>)>> {
    match base {
        Some(version) => load::commits_after(table, version).await,
        None => Ok(load::read_commit(table, Version::ZERO)
            .await?
            .map(|actions| (Version::ZERO, actions))
            .into_iter()
            .collect()),
    }
}

/// What follows a successful put. Nothing here can fail the commit.
async fn finish(
    table: &Table,
    base: Option<&TableState>,
    assembled: AssembledCommit,
    token: &str,
) -> Option<Arc<TableState>> {
    let commits = [(assembled.version, assembled.actions)];
    let state = match base {
        Some(base) => base.apply(&commits),
        None => {
            let mut replay = floe_table_format::replay::Replay::new();
            let [(version, actions)] = commits;
            replay.add_commit(version, actions).and_then(|()| replay.finish(version))
        }
    };
    // A body we assembled and cannot replay would be a bug; the next load reads it from the log and says so.
    debug_assert!(state.is_ok(), "an assembled commit replays: {state:?}");
    let state = Arc::new(state.ok()?);
    table.remember_own(&state);
    checkpoint::after_commit(table, &state, token).await;
    Some(state)
}

/// A pause that grows with the attempts and differs between writers.
fn pause(table: &Table, attempt: u32) -> Duration {
    let longest = PAUSE_MIN.saturating_mul(1 << attempt.min(9)).min(PAUSE_MAX);
    table.0.env.jitter(longest)
}
