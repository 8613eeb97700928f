//! The Delta protocol as values and functions.
//!
//! A Delta table is a folder of Parquet files and a log that says which of them are the table. This crate holds
//! everything about that log which is not I/O: what an [`Action`] is, which log files rebuild a version
//! ([`segment`]), how they fold into a [`TableState`] ([`replay`]), what a writer wants to change ([`ChangeSet`]) and
//! whether that still holds after another writer won ([`conflict`]), and which bytes go into the next commit
//! ([`commit`]).
//!
//! Nothing here awaits, reads a clock, draws a random number or knows a file system. Arrow arrays are allowed: they are
//! values, and a table of a million files is held as columns and not as a million structs.
//!
//! ```
//! use floe_table_format::{Action, Version, parse_commit};
//!
//! let line = br#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#;
//! let actions = parse_commit(Version::ZERO, "00000000000000000000.json", line)?;
//! assert!(matches!(actions[0], Action::Protocol(_)));
//! # Ok::<(), floe_table_format::FormatError>(())
//! ```

pub mod error;
pub mod version;

pub mod path;
pub mod schema;

pub mod expression;

pub mod scalar;

pub mod property;

pub mod action;
pub mod deletion_vector;
pub mod feature;
pub mod iceberg;

pub mod segment;
pub mod state;

pub mod checkpoint;
pub mod checksum;
pub mod history;
pub mod replay;

pub mod predicate;
pub mod prune;
pub mod stats;

pub mod change;
pub mod clustering;
pub mod commit;
pub mod conflict;
pub mod plan;

pub use action::{
    Action, Add, Cdc, CheckpointMetadata, CommitInfo, DeletionVectorDescriptor, DomainMetadata, Format, Metadata,
    Protocol, Remove, Sidecar, Txn, parse_commit, write_commit,
};
pub use change::{ChangeSet, Dropped, KeyRead, Operation, ReadSet};
pub use conflict::{Redo, Rule, Verdict, Why};
pub use deletion_vector::RowSet;
pub use error::{FormatError, Result};
pub use predicate::{CompareOp, Predicate, Truth};
pub use property::{DuplicateKeys, IsolationLevel, MergeMode, TableProperties};
pub use scalar::Scalar;
pub use schema::{DataType, PrimitiveType, StructField, StructType};
pub use segment::{LogEntry, LogSegment};
pub use state::{FileId, FileTable, FileView, TableState};
pub use version::{TimestampMs, Version, VersionSpec};
