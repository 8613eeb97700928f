//! Those who use the table. They see it only through Floe's public API.

mod maintenance;
mod reader;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use floe_storage::location::{Location, StoreKind};
use floe_storage::{Env, StorageError};
use floe_table::{Table, TableError};
use floe_table_format::FormatError;
use object_store::path::Path;

use crate::disk::Disk;
use crate::env::SimEnv;
use crate::executor::{Executor, Process};
use crate::fault::Faults;
use crate::ledger::Ledger;
use crate::rng::SimRng;
use crate::sabotage::{Role, Saboteur};
use crate::scenario::Scenario;
use crate::store::FaultStore;

pub(crate) use maintenance::{checkpointer, compactor, indexer, steward, vacuum};
pub(crate) use reader::reader;
pub(crate) use writer::{Cursor, batch_of, scan_rows, writer};

/// The folder of the table in the simulated store, with a space that has to survive every spelling.
pub(crate) const ROOT: &str = "lake/my table";
/// Files stay this long after they were removed.
pub(crate) const FILE_RETENTION_MS: i64 = 40 * 60 * 1000;
/// Log files stay this long.
pub(crate) const LOG_RETENTION_MS: i64 = 60 * 60 * 1000;

/// The domain that stewards count in, and the verb of a commit that does.
pub(crate) const COUNTER: &str = "sim.counter";

/// How often an actor tries to open the table.
const OPEN_ATTEMPTS_MAX: u32 = 60;

/// What all actors of a world share.
pub(crate) struct Shared {
    pub(crate) scenario: Scenario,
    pub(crate) executor: Executor,
    pub(crate) disk: Arc<Disk>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) ledger: Ledger,
    pub(crate) rng: SimRng,
    /// Set when the writers are done: the others may stop.
    pub(crate) closing: AtomicBool,
}

/// One incarnation of one actor.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) name: String,
    pub(crate) process: Process,
    pub(crate) env: Env,
    location: Location,
}

impl Actor {
    /// The incarnation number `incarnation` of the actor `name`.
    pub(crate) fn new(shared: &Arc<Shared>, name: &str, role: Role, process: Process, incarnation: u32) -> Self {
        let rng = shared.rng.fork(&format!("{name}#{incarnation}"));
        let skew = shared.scenario.skew_ms_max;
        // The skew belongs to the machine, not to the incarnation.
        let skew_ms = shared.rng.fork(&format!("{name} skew")).between(0, 2 * skew) as i64 - skew as i64;
        let skew_ms = if role == Role::World { 0 } else { skew_ms };
        let env = Env::new(SimEnv::new(shared.executor.clone(), process, skew_ms, rng.fork("env")));
        let store = FaultStore::new(
            shared.executor.clone(),
            process,
            name,
            shared.disk.clone(),
            shared.faults.clone(),
            Saboteur::new(shared.scenario.sabotage, role),
            rng.fork("store"),
        );
        // The simulated store keeps its promises about put-if-absent; probing it would only cost requests.
        let location = Location::with_store(Arc::new(store), Path::from(ROOT), "sim:///lake/my table")
            .with_kind(StoreKind::Memory);
        Actor { shared: shared.clone(), name: name.to_owned(), process, env, location }
    }

    /// A source of choices for this incarnation.
    pub(crate) fn rng(&self, label: &str) -> SimRng {
        self.shared.rng.fork(&format!("{}/{:?}/{label}", self.name, self.process))
    }

    pub(crate) fn builder(&self) -> floe_table::TableBuilder {
        Table::builder("sim:///lake/my table")
            .with_env(self.env.clone())
            .with_location(self.location.clone())
            // The tables are tiny, and the index is to be used.
            .with_index_from_rows(0)
    }

    /// Opens the table, in several attempts if need be. None, and a complaint, if it cannot be opened.
    pub(crate) async fn open(&self) -> Option<Table> {
        let mut last = None;
        for _ in 0..OPEN_ATTEMPTS_MAX {
            match self.builder().open().await {
                Ok(table) => return Some(table),
                Err(error) => {
                    self.meet("open", &error);
                    last = Some(error);
                }
            }
            self.rest(2_000).await;
        }
        self.shared.ledger.complain(format!("{}: cannot open the table: {last:?}", self.name));
        None
    }

    /// Pauses up to this many milliseconds.
    pub(crate) async fn rest(&self, ms_max: u64) {
        let pause = self.env.jitter(Duration::from_millis(ms_max));
        self.env.sleep(pause).await;
    }

    /// Pauses as the scenario has actors pause between operations: mostly hardly at all, now and then for long. Races need
    /// the one, retention the other.
    pub(crate) async fn rest_between_ops(&self) {
        let long = self.env.random_u64().is_multiple_of(3);
        self.rest(if long { self.shared.scenario.rest_ms_max } else { 60 }).await;
    }

    pub(crate) fn closing(&self) -> bool {
        self.shared.closing.load(Ordering::Relaxed)
    }

    pub(crate) fn note(&self, what: std::fmt::Arguments<'_>) {
        self.shared.executor.record(&self.name, what);
    }

    /// Takes note of what was done or failed; whether it was done.
    pub(crate) fn tell(&self, operation: &str, done: Result<&'static str, TableError>) -> bool {
        match done {
            Ok(what) => {
                self.note(format_args!("{what}"));
                self.shared.ledger.count(what);
            }
            Err(error) => {
                self.meet(operation, &error);
                return false;
            }
        }
        true
    }

    /// Takes an error note of: where no fault can have caused it, it is a finding.
    pub(crate) fn meet(&self, operation: &str, error: &TableError) {
        self.note(format_args!("{operation} failed: {error}"));
        self.shared.ledger.count(format!("error in {operation}"));
        if self.shared.scenario.is_calm() && !expected_in_calm(error) {
            self.shared.ledger.complain(format!("{}: {operation} failed although no request did: {error}", self.name));
        }
    }
}

/// Errors that other actors explain, without any fault: a lost race, time travel beyond the retention, and going back to a
/// version that vacuum has emptied.
fn expected_in_calm(error: &TableError) -> bool {
    match error {
        TableError::Conflict { .. }
        | TableError::SnapshotExpired { .. }
        | TableError::DuplicateKey { in_table: false, .. } => true,
        TableError::InvalidRequest { operation, .. } => operation == "restore the version",
        TableError::Storage { source, .. } => matches!(source.as_ref(), StorageError::NotFound { .. }),
        other => matches!(
            other.format_error(),
            Some(FormatError::VersionNotFound { .. } | FormatError::TimestampOutOfRange { .. })
        ),
    }
}
