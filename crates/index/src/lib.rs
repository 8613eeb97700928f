//! The record index: where the row of a key lies, as values and functions.
//!
//! A table with a primary key is asked one question again and again: which rows have these keys? Reading the key columns
//! of every file answers it, at a cost that grows with the table. The record index answers it at a cost that grows with
//! the batch. It is a bag of [`run`]s: immutable sorted lists of [`Entry`], from the [`KeyHash`] of a row to its file and
//! position, each saying which files it covers.
//!
//! ```text
//!   rows ─ KeyHasher ─► KeyHash ─┐
//!                                ├─► Entry ─ sort ─► RunEncoder ─► blocks │ footer
//!   file, position ──────────────┘                                         │
//!                                       KeySet ─ blocks_for ───────────────┘─► addresses
//! ```
//!
//! The index is advisory. An entry counts only if its file is live in the version that is asked and its row is not in that
//! file's deletion vector, so nothing in it ever has to be taken back; files that no run covers are read instead. Every
//! block and every footer carries a checksum: a run that is damaged covers nothing. Law 6 binds this crate: a look-up
//! gives every row of the key in the files covered, and may give others besides.
//!
//! Nothing here does I/O. The format is described in docs/record-index.md.
//!
//! ```
//! use std::sync::Arc;
//! use arrow::array::{ArrayRef, Int64Array};
//! use floe_index::{Entry, KeyHasher, KeySet, run};
//! use uuid::Uuid;
//!
//! let hasher = KeyHasher::new("a table");
//! let keys: ArrayRef = Arc::new(Int64Array::from(vec![10, 20, 30]));
//! let mut entries: Vec<Entry> = hasher.hash_rows(&[keys])?.into_iter().enumerate()
//!     .map(|(row, hash)| Entry { hash, file: 0, row: row as u32 }).collect();
//! entries.sort_unstable();
//!
//! let about = run::RunAbout::new("a table", vec!["id".into()], vec!["part-0.parquet".into()]);
//! let bytes = run::encode(Uuid::from_u128(1), &about, &entries)?;
//! let footer = run::Footer::parse(&bytes)?;
//!
//! let wanted = KeySet::new(hasher.hash_rows(&[Arc::new(Int64Array::from(vec![20])) as ArrayRef])?);
//! let block = footer.blocks_for(&wanted).next().expect("one block may hold it");
//! let found: Vec<Entry> = footer.entries_of(block, &bytes[footer.range_of(block)])?.into_iter()
//!     .filter(|entry| wanted.contains(&entry.hash)).collect();
//! assert_eq!(found[0].row, 1);
//! # Ok::<(), floe_index::IndexError>(())
//! ```

mod error;

mod hash;

mod entry;

mod sieve;

pub mod run;

pub mod plan;

pub use entry::{Entry, KeySet, Slice, merge_by_hash, slices, sort_by_hash, sorted_by_hash};
pub use error::{IndexError, Result};
pub use hash::{KeyHash, KeyHasher, is_key_type};
pub use sieve::Sieve;
