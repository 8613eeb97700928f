//! Statements through a session, on a warehouse in a temporary folder.

mod catalog;
mod changes;
mod cloning;
mod clustering;
mod columns;
mod drop_features;
mod errors;
mod evolution;
mod feed;
mod functions;
mod generated;
mod iceberg;
mod identity;
mod keys;
mod loading;
mod maintenance;
mod names;
mod paths;
mod row_ids;
mod travel;
mod types;
mod variants;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use floe_query::{Done, Outcome, QueryError, Session, SessionOptions};
use tempfile::TempDir;

/// A session and the folder its warehouse is in.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) session: Session,
}

impl World {
    pub(crate) async fn new() -> World {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let session = Session::open(options(&folder)).await.expect("the session opens");
        World { folder, session }
    }

    /// Another session on the same warehouse, as another process would have.
    pub(crate) async fn again(&self) -> Session {
        Session::open(options(&self.folder)).await.expect("the session opens")
    }

    pub(crate) async fn read_only(&self) -> Session {
        Session::open(options(&self.folder).with_read_only(true)).await.expect("the session opens")
    }

    /// A path beside the warehouse.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// Runs statements that must succeed, and gives what the last one says.
    pub(crate) async fn run(&self, script: &str) -> Done {
        let mut last = Done::default();
        for statement in self.session.statements(script).expect("the script splits") {
            match self.session.run(&statement).await {
                Ok(Outcome::Done(done)) => last = done,
                Ok(rows) => drop(rows.collect().await.unwrap_or_else(|e| panic!("{}: {e}", statement.text()))),
                Err(error) => panic!("{}: {error}", statement.text()),
            }
        }
        last
    }

    /// Checks the rows of a query, cells separated by `|`, in any order.
    pub(crate) async fn check(&self, sql: &str, expected: &[&str]) {
        check_in(&self.session, sql, expected).await;
    }

    /// The error a statement must end with.
    pub(crate) async fn error(&self, sql: &str) -> QueryError {
        error_in(&self.session, sql).await
    }

    /// Checks that a statement fails with these words.
    pub(crate) async fn check_error(&self, sql: &str, expected: &str) {
        let error = self.error(sql).await.to_string();
        assert!(error.contains(expected), "{sql}\nexpected: {expected}\nfound: {error}");
    }
}

fn options(folder: &TempDir) -> SessionOptions {
    SessionOptions::new(folder.path().join("warehouse").to_string_lossy()).with_target_partitions(2)
}

pub(crate) async fn error_in(session: &Session, sql: &str) -> QueryError {
    match session.sql(sql).await {
        Err(error) => error,
        Ok(Outcome::Done(done)) => panic!("{sql} succeeded: {}", done.message),
        Ok(rows) => match rows.collect().await {
            Err(error) => error,
            Ok(batches) => panic!("{sql} succeeded: {batches:?}"),
        },
    }
}

/// The rows of a query, cells separated by `|`.
pub(crate) async fn rows_of(session: &Session, sql: &str) -> Vec<String> {
    let outcome = session.sql(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let batches = outcome.collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let options = FormatOptions::default().with_null("null");
    let mut rows = Vec::new();
    for batch in batches {
        let batch = floe_storage::variant::shown(&batch).expect("variants");
        let columns: Vec<ArrayFormatter> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).expect("a printable column"))
            .collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    rows
}

pub(crate) async fn check_in(session: &Session, sql: &str, expected: &[&str]) {
    let mut found = rows_of(session, sql).await;
    let mut expected: Vec<String> = expected.iter().map(|row| (*row).to_owned()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "{sql}");
}
