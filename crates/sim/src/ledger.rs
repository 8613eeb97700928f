//! What the actors set out to do and were told about it. It lies outside the simulated world and survives every crash.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::executor::lock;
use crate::model::{Filter, Intent, Row};

/// One operation of one actor, however often it is attempted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct OpKey {
    /// The actor.
    pub(crate) actor: String,
    /// Counted from 1.
    pub(crate) seq: i64,
}

/// One attempt at an operation, which becomes one commit or none.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// The operation.
    pub(crate) op: OpKey,
    /// What it is meant to do.
    pub(crate) intent: Intent,
    /// The version it read; not known for attempts through a verb that reads for itself.
    pub(crate) read: Option<u64>,
    /// What became of it, as the actor was told.
    pub(crate) told: Told,
}

/// What an actor was told about an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing: it is under way, or the actor died.
    Nothing,
    /// It is this version.
    Committed(u64),
    /// It did not happen, with the reason.
    Refused(String),
    /// Nobody knows.
    Unknown,
    /// Nothing was written: the table shows that the operation was done before.
    DoneBefore,
}

/// Rows that a reader was given.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    /// Who read.
    pub(crate) actor: String,
    /// Which version.
    pub(crate) version: u64,
    /// Which rows.
    pub(crate) filter: Filter,
    /// The rows, sorted.
    pub(crate) rows: Vec<Row>,
}

/// The record of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Records>);

/// What was recorded.
#[derive(Debug, Default, Clone)]
pub(crate) struct Records {
    /// All attempts; the index is the attempt's number.
    pub(crate) attempts: Vec<Attempt>,
    /// What readers were given.
    pub(crate) observations: Vec<Observation>,
    /// When each vacuum began that may have deleted something, in microseconds.
    pub(crate) vacuums_us: Vec<u64>,
    /// What actors found to be wrong.
    pub(crate) complaints: Vec<String>,
    /// How often each thing happened that is worth counting.
    pub(crate) counts: BTreeMap<String, u64>,
}

impl Ledger {
    /// Begins an attempt; gives its number.
    pub(crate) fn begin(&self, op: OpKey, intent: Intent, read: Option<u64>) -> usize {
        let mut records = lock(&self.0);
        records.attempts.push(Attempt { op, intent, read, told: Told::Nothing });
        records.attempts.len() - 1
    }

    /// Notes what the actor was told about an attempt.
    pub(crate) fn told(&self, attempt: usize, told: Told) {
        lock(&self.0).attempts[attempt].told = told;
    }

    /// Notes what a reader was given.
    pub(crate) fn observed(&self, observation: Observation) {
        lock(&self.0).observations.push(observation);
    }

    /// Notes the start of a vacuum.
    pub(crate) fn vacuum_began(&self, at_us: u64) {
        lock(&self.0).vacuums_us.push(at_us);
    }

    /// Notes something that must not happen.
    pub(crate) fn complain(&self, what: String) {
        lock(&self.0).complaints.push(what);
    }

    /// Counts something.
    pub(crate) fn count(&self, what: impl Into<String>) {
        self.count_many(what, 1);
    }

    /// Counts something that happened several times.
    pub(crate) fn count_many(&self, what: impl Into<String>, times: u64) {
        *lock(&self.0).counts.entry(what.into()).or_default() += times;
    }

    /// Everything recorded so far.
    pub(crate) fn records(&self) -> Records {
        lock(&self.0).clone()
    }
}
