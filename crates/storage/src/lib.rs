//! All of Floe's I/O: the log store, data files, deletion vectors, checkpoints, and the environment.
//!
//! A table lies at a [`Location`]: an object store and a folder in it. Two views of that folder carry the whole system.
//! The [`LogStore`] lists, reads and appends to `_delta_log`; its [`LogStore::put_if_absent`] is the only step of Floe
//! that other writers race for. The [`DataStore`] moves everything else: Parquet files ([`data_file`]), bitmaps of
//! deleted rows ([`deletion_vectors`]), and the listing that vacuum works from.
//!
//! Every byte passes through `dyn ObjectStore`, and time, randomness and tasks come from an [`Env`], so that a simulated
//! store and a seeded environment can stand in for the world. This crate knows files and bytes. It does not know verbs:
//! when to commit, retry or clean up is decided above it.
//!
//! ```
//! use floe_storage::{Env, Location, LogStore, PutOutcome, StorageOptions};
//! use floe_table_format::Version;
//!
//! # futures::executor::block_on(async {
//! let location = Location::open("memory://crate-example/table", &StorageOptions::new())?;
//! let log = LogStore::new(location, Env::system());
//! let body = bytes::Bytes::from_static(br#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#);
//! assert_eq!(log.put_if_absent(Version::ZERO, body.clone()).await?, PutOutcome::Written);
//! assert_eq!(log.put_if_absent(Version::ZERO, body).await?, PutOutcome::Taken);
//! assert_eq!(log.list(Version::ZERO).await?.len(), 1);
//! # Ok::<(), floe_storage::StorageError>(())
//! # }).unwrap();
//! ```

pub mod env;
mod file_cache;
mod kept;

pub mod error;

pub mod options;

mod local;
pub mod location;

pub mod counting;

mod access;
mod upload;

pub mod data_store;
pub mod log_store;

pub mod conform;
pub mod data_file;
mod parquet_source;
mod ratified;
pub mod variant;

pub mod checkpoint_file;
pub mod deletion_vectors;

pub mod conformance;
pub mod doctor;

pub use counting::{CountingStore, RequestCounts};
pub use data_file::{
    ColumnBounds, DataFileWriter, FileCompression, FileFooter, ROW_NUMBER_COLUMN, ReadOptions, ValueRange,
    WriterSettings, WrittenFile, read_data_file, read_file_schema, read_footer,
};
pub use data_store::{DataStore, FileUpload};
pub use env::{Env, Environment};
pub use error::{Result, StorageError};
pub use file_cache::FileCache;
pub use kept::Kept;
pub use local::LocalStore;
pub use location::{Location, StoreKind};
pub use log_store::{LogStore, PutOutcome};
pub use options::StorageOptions;
pub use ratified::RatifiedCommits;

pub use object_store;
