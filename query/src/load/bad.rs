//! Records that cannot be rows, and the file that keeps them.

use std::sync::atomic::{AtomicU64, Ordering};

use floe_storage::{Env, Location};
use floe_table_format::error::printable;
use object_store::ObjectStoreExt;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;

use crate::error::{QueryError, Result};

/// A record that cannot be a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadRecord {
    /// The line it begins on; the first is 1.
    pub(crate) line: u64,
    /// What does not fit.
    pub(crate) reason: String,
    /// The record as it stands in the file, without what ends it. Bytes that are no UTF-8 are replaced.
    pub(crate) record: String,
}

impl BadRecord {
    /// The error of a load that may have no such record.
    pub(crate) fn error(self, file: &str) -> QueryError {
        QueryError::BadRecord { file: printable(file), line: self.line, reason: self.reason }
    }
}

/// What names of files of bad records begin with: a load passes them over.
pub(crate) const BAD_RECORDS: &str = "bad-records-";

/// A file of lines of JSON, begun with the first record: `path`, `line`, `reason` and `record` of each.
pub(crate) struct BadRecords {
    folder: Location,
    path: Path,
    file: Mutex<State>,
    count: AtomicU64,
}

enum State {
    Unbegun,
    Open(Box<BufWriter>),
    /// Nothing is added any more.
    Over {
        begun: bool,
    },
}

impl BadRecords {
    /// A new file in a folder.
    pub(crate) fn in_folder(folder: Location, env: &Env) -> Result<BadRecords> {
        let path = folder.absolute(&format!("{BAD_RECORDS}{}-{}.json", env.now().0, env.uuid()))?;
        Ok(BadRecords { folder, path, file: Mutex::new(State::Unbegun), count: AtomicU64::new(0) })
    }

    /// Where the file is.
    pub(crate) fn uri(&self) -> String {
        let name = self.path.filename().unwrap_or_default();
        format!("{}/{name}", self.folder.uri.trim_end_matches('/'))
    }

    /// How many records it holds.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) async fn add(&self, file: &str, records: Vec<BadRecord>) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let count = records.len() as u64;
        let mut lines = String::new();
        for bad in records {
            let line = json!({"path": file, "line": bad.line, "reason": bad.reason, "record": bad.record});
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        let mut state = self.file.lock().await;
        if matches!(*state, State::Unbegun) {
            *state = State::Open(Box::new(BufWriter::new(self.folder.store.clone(), self.path.clone())));
        }
        let State::Open(writer) = &mut *state else {
            return Err(QueryError::invalid_argument("a bad record comes after the end of the load"));
        };
        writer.write_all(lines.as_bytes()).await.map_err(|error| self.failed(&error))?;
        self.count.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    /// Ends the file: it is there when this returns.
    pub(crate) async fn finish(&self) -> Result<()> {
        let mut state = self.file.lock().await;
        match std::mem::replace(&mut *state, State::Over { begun: true }) {
            State::Open(mut writer) => writer.shutdown().await.map_err(|error| self.failed(&error)),
            State::Unbegun => {
                *state = State::Over { begun: false };
                Ok(())
            }
            over @ State::Over { .. } => {
                *state = over;
                Ok(())
            }
        }
    }

    /// Takes the file back, for a load that came to nothing. It may have been ended.
    pub(crate) async fn discard(&self) {
        let mut state = self.file.lock().await;
        match std::mem::replace(&mut *state, State::Over { begun: false }) {
            // An upload that is not ended leaves no file.
            State::Open(mut writer) => drop(writer.abort().await),
            State::Over { begun: true } => drop(self.folder.store.delete(&self.path).await),
            State::Unbegun | State::Over { begun: false } => {}
        }
    }

    fn failed(&self, error: &std::io::Error) -> QueryError {
        QueryError::invalid_argument(format!(
            "cannot write bad records to {}: {}",
            printable(&self.uri()),
            self.folder.redact(error)
        ))
    }
}
