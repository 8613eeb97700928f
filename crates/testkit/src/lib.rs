//! What the tests of several crates share.
//!
//! Tests ask one question again and again: does this table hold these rows? Here are the pieces of that question.
//! [`Batch`] writes rows down, [`rows`] turns batches into a sorted list of text so that two results compare as
//! multisets, [`sweep`] asks of a table with its log in every state, [`hostile`]
//! throws any bytes at what decodes them, and [`tpch`] makes the eight TPC-H tables and the
//! 22 queries.
//!
//! ```
//! use floe_testkit::{Batch, rows};
//!
//! let one = Batch::new().long("id", [2, 1]).text("name", ["b", "a"]).build();
//! let other = Batch::new().long("id", [1, 2]).text("name", ["a", "b"]).build();
//! assert_eq!(rows(&[one]), rows(&[other]));
//! ```

mod batch;
pub mod hostile;
pub mod log_state;
mod rows;
pub mod tpch;

pub use batch::Batch;
pub use log_state::{LogState, memory_uri, sweep};
pub use rows::{rows, rows_in_order, rows_rounded};
