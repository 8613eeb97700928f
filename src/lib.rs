//! Floe: a lakehouse in one library and one binary.
//!
//! Tables are plain Delta Lake tables, written by Floe's own log layer on Parquet, on local disk or in object storage, so
//! that Spark, DuckDB, Trino, Polars and delta-rs read them where they lie. There is no JVM, no lock service and no
//! database beside the files.
//!
//! Enter by a noun:
//!
//! - [`Table`] opens, creates, appends, optimises, vacuums and restores one table; [`Snapshot`] is it at one version, and
//!   [`Transaction`] is a change in the making.
//! - [`Session`] is SQL over a warehouse of tables, and over any Delta directory by its path.
//! - [`FloeTableProvider`] puts a table into a DataFusion `SessionContext` of your own.
//!
//! ```
//! use floe::{Session, SessionOptions};
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let session = Session::open(SessionOptions::new(folder.path().to_string_lossy())).await?;
//! session.sql("CREATE TABLE events (id BIGINT NOT NULL, kind STRING)").await?.collect().await?;
//! session.sql("INSERT INTO events VALUES (1, 'open'), (2, 'close')").await?.collect().await?;
//! session.sql("DELETE FROM events WHERE id = 1").await?.collect().await?;
//! let before = session.sql("SELECT count(*) FROM events VERSION AS OF 1").await?.collect().await?;
//! assert_eq!(before[0].num_rows(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! The crates underneath are layers of one system: `floe-table-format` is the Delta protocol as values and functions,
//! `floe-storage` all of the I/O, `floe-table` the verbs, `floe-query` the SQL. What a program needs of them is
//! re-exported here; DataFusion, Arrow and object_store are re-exported too, in the versions everything was built with.

pub use floe_query::{
    FloeTableProvider, MergeBuilder, Outcome, QueryError, Session, SessionOptions, TableChangesByExpression,
};
pub use floe_storage::{Env, Location, RatifiedCommits, StorageError, StorageOptions};
pub use floe_table::{
    AppendOptions, BatchStream, ChangedRows, CheckOptions, CheckReport, CloneDepth, CloneOptions, CloneReport,
    CommitOutcome, CommitReport, ConvertOptions, ConvertReport, CreateTable, ErrorKind, Finding, HistoryEntry,
    IfExists, IndexStatus, KeyedRows, LoadedFile, LookupReport, Meter, OnDuplicate, OptimizeOptions, OptimizeReport,
    PrunedFiles, Repair, RepairOptions, RepairReport, RestoreReport, Rule, SaveMode, Scan, ScanPlan, Severity,
    Snapshot, Table, TableBuilder, TableError, Transaction, UpsertOptions, UpsertReport, VacuumOptions, VacuumReport,
};
pub use floe_table_format::{
    CompareOp, DataType, MergeMode, Operation, Predicate, PrimitiveType, RowSet, Scalar, StructField, StructType,
    TimestampMs, Version, VersionSpec,
};

pub use arrow;
pub use datafusion;
pub use floe_storage::object_store;
