//! SQL over Floe tables: catalog, scan leaf, statements and row-level changes on DataFusion.
//!
//! A [`Session`] is a warehouse (a folder or bucket of schemas and tables) and a DataFusion context over it. Text becomes
//! [`ParsedStatement`]s, a statement becomes an [`Outcome`]: rows as a stream, or a message with what was done. The words
//! are those of Spark's Delta users; everything between `SELECT` and the rows is DataFusion.
//!
//! ```
//! # async fn example() -> Result<(), floe_query::QueryError> {
//! use floe_query::{Session, SessionOptions};
//!
//! let folder = tempfile::tempdir().expect("a temporary folder");
//! let session = Session::open(SessionOptions::new(folder.path().to_string_lossy())).await?;
//! session.sql("CREATE TABLE ducks (name STRING NOT NULL, weight DOUBLE)").await?;
//! session.sql("INSERT INTO ducks VALUES ('Alma', 1.2), ('Bert', 1.4)").await?;
//! let rows = session.sql("SELECT count(*) AS n FROM ducks VERSION AS OF 1").await?.collect().await?;
//! assert_eq!(rows[0].num_rows(), 1);
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(example()).unwrap();
//! ```
//!
//! This crate holds no protocol rule: what may be committed is decided in `floe-table-format`, and committed by
//! `floe-table`.

pub mod error;
pub mod output;
pub mod session;

pub mod catalog;

mod keyed;
pub mod provider;
pub mod scan_exec;

pub mod dml;
pub mod filters;
mod hooks;
pub mod row_checks;

mod attach;
mod functions;
mod rows;

mod dialect;
mod expressions;
mod generated;
mod in_place;
mod load;
mod names;
mod pattern;
mod planning;
mod progress;
mod relation;
mod rewrites;
mod statement;
mod types;
mod variants;

mod verbs;

pub use error::{QueryError, Result};
pub use floe_table::{CommitOverview, FilesOverview, Overview};
pub use floe_table_format::feature::supported_features;
pub use floe_table_format::property::property_names;
pub use floe_table_format::schema::nearest;
pub use output::{Done, Outcome};
pub use progress::Progress;
pub use provider::FloeTableProvider;
pub use row_checks::SqlRowChecks;
pub use session::{LocationHandle, Session, SessionOptions};
pub use statement::{Checked, ErrorPlace, ParsedStatement, TableCheck, is_complete, split_statements};
pub use verbs::{MergeBuilder, TableChangesByExpression};
