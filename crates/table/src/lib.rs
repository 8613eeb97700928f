//! Delta tables to open, change and rewind: the verbs of Floe without SQL.
//!
//! Three nouns carry everything. A [`Table`] is a cheap handle: a location and the components to work with. A
//! [`Snapshot`] is the table at one version, immutable. A [`Transaction`] collects what shall change and what was read to
//! decide so; committing it gives a [`CommitOutcome`], which is a value even when another writer won.
//!
//! Every read meets in one `load`, every write in one `commit`, every query in one [`Scan`]. Each verb has a file of
//! its own: append, delete and update of rows, optimise, vacuum, restore, checkpoint, history, alter.
//!
//! ```
//! use std::sync::Arc;
//! use arrow::array::{Int64Array, RecordBatch};
//! use floe_table::{CreateTable, Table};
//! use futures::TryStreamExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), floe_table::TableError> {
//! let ids = RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as _)])?;
//! let table = Table::builder("memory:///orders").create(CreateTable::from_arrow(&ids.schema())?).await?;
//! let version = table.append(vec![ids]).await?.version;
//!
//! let rows: Vec<RecordBatch> = table.at(version.into()).await?.scan().stream().await?.try_collect().await?;
//! assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
//! # Ok(())
//! # }
//! ```

mod error;
mod rows;

mod checks;
mod clone;
mod conform;
mod convert;
mod filter;
mod generated;
mod row_tracking;
mod vectors;

mod key;
mod record_index;

mod table;

mod load;
mod snapshot;

mod scan;

mod locate;
mod metadata;
mod stage;

mod guard;

mod change_feed;
mod transaction;

mod checkpoint;
mod commit;

mod check;
mod index;

mod alter;
mod append;
mod create;
mod get;
mod history;
mod loaded;
mod meter;
mod optimize;
mod overview;
mod replacing;
mod restore;
mod upsert;
mod vacuum;

pub use alter::{AlterReport, ColumnChange, NewColumn};
pub use append::{AppendOptions, SaveMode, SchemaMode};
pub use check::{
    CheckOptions, CheckReport, DroppedFile, Finding, Quirk, Repair, RepairOptions, RepairReport, RepeatedKey, Rule,
    Severity,
};
pub use checks::{RowCheck, RowCheckFactory, RowValue, Violation};
pub use clone::{CloneDepth, CloneOptions, CloneReport};
pub use commit::{CommitOutcome, CommitReport};
pub use convert::{ConvertOptions, ConvertReport};
pub use create::{CreateTable, IfExists};
pub use error::{ErrorKind, Result, TableError};
pub use generated::IdentityValues;
pub use guard::OnDuplicate;
pub use history::HistoryEntry;
pub use loaded::LoadedFile;
pub use locate::{KeyedRows, LookupReport};
pub use meter::Meter;
pub use optimize::{OptimizeOptions, OptimizeReport};
pub use overview::{
    Advice, CommitOverview, FilesOverview, LogOverview, OverlapOverview, Overview, OverviewOptions, PartitionOverview,
    SizeOverview,
};
pub use record_index::IndexStatus;
pub use replacing::ChangedRows;
pub use restore::RestoreReport;
pub use rows::BatchStream;
pub use scan::{PrunedFiles, Scan, ScanFile, ScanPlan};
pub use snapshot::Snapshot;
pub use table::{Table, TableBuilder};
pub use transaction::Transaction;
pub use upsert::{UpsertOptions, UpsertReport};
pub use vacuum::{VacuumOptions, VacuumReport};

/// Every verb can run on any executor: the compiler checks here what callers would meet far from its cause.
#[cfg(test)]
mod tests {
    use super::*;

    fn sent(_: impl Send) {}

    #[test]
    fn futures_of_all_verbs_are_send() {
        fn check(table: &Table, snapshot: &Snapshot, transaction: Transaction, create: CreateTable) {
            sent(table.snapshot());
            sent(table.at(Default::default()));
            sent(table.append(Vec::new()));
            sent(table.history(None));
            sent(table.optimize(OptimizeOptions::default()));
            sent(table.vacuum(VacuumOptions::default()));
            sent(table.restore(Default::default()));
            sent(table.checkpoint());
            sent(table.clean_up_log());
            sent(table.add_constraint("", ""));
            sent(table.add_columns(Vec::new()));
            sent(table.rename_column(&[], ""));
            sent(table.sync_identity(""));
            sent(table.drop_feature("", false));
            sent(table.replace_columns(Vec::new()));
            sent(table.drop_columns(Vec::new(), false));
            sent(table.change_column(&[], ColumnChange::DropNotNull));
            sent(table.add_primary_key(Vec::new()));
            sent(table.upsert(Vec::new()));
            sent(table.delete_keys(Vec::new()));
            sent(table.build_index());
            sent(table.check());
            sent(table.repair(RepairOptions::default()));
            sent(snapshot.scan().stream());
            sent(transaction.commit());
            sent(Table::builder("").create(create));
        }
        let _ = check;
    }
}
