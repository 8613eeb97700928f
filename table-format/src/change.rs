//! What a writer wants to change, and what it relied on when it decided so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::action::{Add, Cdc, DomainMetadata, Metadata, Protocol, Remove, Txn};
use crate::feature::Feature;
use crate::predicate::Predicate;
use crate::property::IsolationLevel;
use crate::version::Version;

/// The verb of a commit with its parameters and counts, for `commitInfo`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Operation {
    /// `CREATE TABLE`, `WRITE`, `DELETE`, `UPDATE`, `MERGE`, `OPTIMIZE`, `RESTORE`, `SET TBLPROPERTIES`, ...
    pub name: String,
    /// How it was called; values that are not text are written as JSON text, as Spark does.
    pub parameters: BTreeMap<String, Value>,
    /// Counts of what was done: rows, files, bytes, milliseconds.
    pub metrics: BTreeMap<String, u64>,
}

impl Operation {
    /// An operation without parameters and counts.
    pub fn new(name: impl Into<String>) -> Self {
        Operation { name: name.into(), ..Operation::default() }
    }

    /// Adds a parameter.
    pub fn with_parameter(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.parameters.insert(key.into(), value.into());
        self
    }

    /// Adds a count.
    pub fn with_metric(mut self, key: impl Into<String>, value: u64) -> Self {
        self.metrics.insert(key.into(), value);
        self
    }
}

/// Everything one commit changes. A plain value: nothing has happened yet.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChangeSet {
    /// What the commit calls itself.
    pub operation: Operation,
    /// Files that become part of the table.
    pub adds: Vec<Add>,
    /// Files that stop being part of it. A new deletion vector is a `remove` of the old entry and an `add` of the new.
    pub removes: Vec<Remove>,
    /// Files of row changes.
    pub cdc: Vec<Cdc>,
    /// Whether the files tell which rows change: every row of an added one is new and every row of a removed one is gone.
    /// Else a table with a change feed needs [`ChangeSet::cdc`], unless the change only adds or only removes.
    pub whole_files: bool,
    /// New metadata.
    pub metadata: Option<Metadata>,
    /// New protocol.
    pub protocol: Option<Protocol>,
    /// The feature that the new protocol may do without; else a table keeps what it has.
    pub dropped: Option<Dropped>,
    /// Progress of applications.
    pub txns: Vec<Txn>,
    /// Domains set or removed.
    pub domains: Vec<DomainMetadata>,
}

/// A feature that a table stops supporting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Which one. The table must not use it any more.
    pub feature: Feature,
    /// Whether the log before this commit may still show it: then its checkpoints are protected from being cleaned up one by
    /// one, and the commit says from which version on the log is free of it (`delta.requireCheckpointProtectionBeforeVersion`).
    pub in_history: bool,
}

impl ChangeSet {
    /// A change that does nothing yet.
    pub fn new(operation: Operation) -> Self {
        ChangeSet { operation, ..ChangeSet::default() }
    }

    /// Whether nothing at all would be written but `commitInfo`.
    pub fn is_empty(&self) -> bool {
        self.adds.is_empty()
            && self.removes.is_empty()
            && self.cdc.is_empty()
            && self.metadata.is_none()
            && self.protocol.is_none()
            && self.txns.is_empty()
            && self.domains.is_empty()
    }

    /// Whether the rows of the table change.
    pub fn changes_data(&self) -> bool {
        self.adds.iter().any(|a| a.data_change) || self.removes.iter().any(|r| r.data_change)
    }

    /// Whether this only adds rows without having read any: rule K12.
    pub fn is_blind_append(&self, read: &ReadSet) -> bool {
        !self.adds.is_empty()
            && self.removes.is_empty()
            && self.adds.iter().all(|a| a.data_change)
            && self.metadata.is_none()
            && self.protocol.is_none()
            && read.is_empty()
    }
}

/// What a transaction relied on. Conflict rules compare it with what others committed meanwhile.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadSet {
    /// The version everything was read at; none when the table did not exist.
    pub version: Option<Version>,
    /// Whether the whole table was read.
    pub whole_table: bool,
    /// What was asked of the table; rows that match any of these were read.
    pub predicates: Vec<Predicate>,
    /// Paths, as in the log, of files of which more was read than the rows that are taken out of them.
    pub files: BTreeSet<String>,
    /// Rows that were looked for by their primary key; none if the change relies on no keys.
    pub keys: Option<KeyRead>,
    /// Applications whose progress was looked up.
    pub app_ids: BTreeSet<String>,
    /// How strict to be.
    pub isolation: IsolationLevel,
}

impl ReadSet {
    /// Whether no rows were read.
    pub fn is_empty(&self) -> bool {
        !self.whole_table && self.predicates.is_empty() && self.files.is_empty() && self.keys.is_none()
    }
}

/// What a change of a table with a primary key relied on: that it knows where the rows of its keys are.
///
/// Where a commit in between brings, takes or moves such rows, the change does not fail: the keys are looked up again,
/// see [`Redo::look_up_keys`](crate::conflict::Redo::look_up_keys).
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRead {
    /// What all of the keys satisfy: files that surely hold no such row hold none of the keys.
    pub predicate: Predicate,
    /// Files, as in the log, in which rows of the keys were found, live or not.
    pub found_in: BTreeSet<String>,
    /// Files, as in the log, of which rows are taken out that their keys find again, should the file be rewritten.
    pub movable: BTreeSet<String>,
}
