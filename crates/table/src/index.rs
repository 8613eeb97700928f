//! Building, dropping and looking at the record index, for people. Commits keep it without being asked.

use std::collections::HashSet;

use floe_table_format::{FileId, TableState};

use crate::error::{OnTable, Result};
use crate::key::PrimaryKey;
use crate::locate::hashes_of_file;
use crate::record_index::{IndexStatus, StagedFile, Upkeep, write_run};
use crate::table::Table;

/// How often a build covers what damaged runs have left.
const BUILD_ROUNDS: usize = 4;
/// Rows whose keys one run of a build holds.
const ROWS_A_RUN: u64 = 4 << 20;

impl Table {
    /// Covers every live file by the record index: reads the key columns of those that it does not cover. A build that is
    /// interrupted has covered what it came to.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] for a table without a primary key; a file that cannot be read; the failures of the store.
    pub async fn build_index(&self) -> Result<IndexStatus> {
        let snapshot = self.snapshot().await?;
        let state = snapshot.state();
        let key = PrimaryKey::of(self.uri(), &state.metadata)?;
        let key = key.ok_or_else(|| self.refuse("build the index", "the table has no primary key"))?;
        let (store, env, index) = (self.data_store(), self.env(), self.index());
        index.list(store, env, &key).await.on(self.uri())?;
        index.maintain(store, env, &key, state, Upkeep::Whole).await?;
        // A run that turns out to be damaged while runs are joined leaves its files to be covered again.
        for _ in 0..BUILD_ROUNDS {
            let uncovered = self.uncovered(state, &key);
            if uncovered.is_empty() {
                break;
            }
            self.cover(state, &key, uncovered).await?;
            index.maintain(store, env, &key, state, Upkeep::Whole).await?;
        }
        self.index_status().await
    }

    fn uncovered(&self, state: &TableState, key: &PrimaryKey) -> Vec<FileId> {
        let runs = self.index().runs(key);
        let covered: HashSet<&str> = runs.iter().flat_map(|run| run.about.files.iter().map(String::as_str)).collect();
        state.files.iter().filter(|file| !covered.contains(file.path())).map(|file| file.id()).collect()
    }

    /// Writes runs of these files.
    async fn cover(&self, state: &TableState, key: &PrimaryKey, uncovered: Vec<FileId>) -> Result<()> {
        let (store, env, index) = (self.data_store(), self.env(), self.index());
        let mut files: Vec<StagedFile> = Vec::new();
        let mut rows = 0;
        for id in uncovered {
            let hashes = hashes_of_file(self, state, key, id).await?;
            rows += hashes.len() as u64;
            files.push(StagedFile { path: state.files.get(&id).path().to_owned(), hashes });
            if rows >= ROWS_A_RUN {
                index.add(write_run(store, env, key, &files).await.on(self.uri())?);
                files.clear();
                rows = 0;
            }
        }
        if !files.is_empty() {
            index.add(write_run(store, env, key, &files).await.on(self.uri())?);
        }
        Ok(())
    }

    /// What the record index covers.
    ///
    /// # Errors
    /// Whatever reading the log or listing the index meets.
    pub async fn index_status(&self) -> Result<IndexStatus> {
        let snapshot = self.snapshot().await?;
        let Some(key) = PrimaryKey::of(self.uri(), &snapshot.state().metadata)? else {
            return Ok(IndexStatus { files_total: snapshot.state().files.len() as u64, ..IndexStatus::default() });
        };
        let bytes = self.index().list(self.data_store(), self.env(), &key).await.on(self.uri())?;
        Ok(self.index().status(snapshot.state(), &key, bytes))
    }

    /// Deletes the record index; gives how many files it had. It is built again as commits add files, or by
    /// [`Table::build_index`].
    ///
    /// # Errors
    /// The failures of the store.
    pub async fn drop_index(&self) -> Result<u64> {
        self.index().drop_all(self.data_store()).await.on(self.uri())
    }
}
