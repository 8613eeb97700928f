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

/// A file of lines of JSON, begun with the first record: `path`, `line`, `reason` and `record` of each.
pub(crate) struct BadRecords {
    folder: Location,
    path: Path,
    writer: Mutex<Option<BufWriter>>,
    count: AtomicU64,
}

impl BadRecords {
    /// A new file in a folder.
    pub(crate) fn in_folder(folder: Location, env: &Env) -> Result<BadRecords> {
        let path = folder.absolute(&format!("bad-records-{}-{}.json", env.now().0, env.uuid()))?;
        Ok(BadRecords { folder, path, writer: Mutex::default(), count: AtomicU64::new(0) })
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
        self.count.fetch_add(records.len() as u64, Ordering::Relaxed);
        let mut lines = String::new();
        for bad in records {
            let line = json!({"path": file, "line": bad.line, "reason": bad.reason, "record": bad.record});
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        let mut writer = self.writer.lock().await;
        let writer = writer.get_or_insert_with(|| BufWriter::new(self.folder.store.clone(), self.path.clone()));
        writer.write_all(lines.as_bytes()).await.map_err(|error| self.failed(&error))
    }

    /// Ends the file: it is there when this returns.
    pub(crate) async fn finish(&self) -> Result<()> {
        match self.writer.lock().await.as_mut() {
            Some(writer) => writer.shutdown().await.map_err(|error| self.failed(&error)),
            None => Ok(()),
        }
    }

    /// Takes the file back, for a load that came to nothing.
    pub(crate) async fn discard(&self) {
        if let Some(mut writer) = self.writer.lock().await.take() {
            let _ = writer.abort().await;
            let _ = self.folder.store.delete(&self.path).await;
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
