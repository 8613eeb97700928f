//! One simulated world from its beginning to the verdict.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use floe_table::{CreateTable, Severity};
use futures::channel::oneshot;

use crate::actor::{
    Actor, Cursor, FILE_RETENTION_MS, LOG_RETENTION_MS, Shared, batch_of, checkpointer, compactor, indexer, reader,
    steward, vacuum, writer,
};
use crate::disk::Disk;
use crate::executor::{Executor, Process, lock};
use crate::fault::{Fault, Faults};
use crate::ledger::{Ledger, OpKey, Told};
use crate::model::{Intent, Row};
use crate::oracle;
use crate::rng::SimRng;
use crate::sabotage::{Role, Sabotage};
use crate::scenario::Scenario;

/// A world that a seed makes: a table, those who use it, and a store that lets them down.
#[derive(Debug, Clone)]
pub struct SimWorld {
    scenario: Scenario,
    verbose: bool,
}

/// What came of a world.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Laws that were broken, in words. Empty for a healthy world.
    pub violations: Vec<String>,
    /// Hash over everything that happened.
    pub trace_hash: u64,
    /// How many events there were.
    pub events: u64,
    /// The events, if asked for.
    pub trace: Vec<String>,
    /// Versions the table came to have.
    pub versions: u64,
    /// How often each fault struck.
    pub struck: BTreeMap<Fault, u64>,
    /// How often other things happened that are worth counting.
    pub counts: BTreeMap<String, u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {} versions, {} events", self.seed, self.versions, self.events)?;
        for violation in &self.violations {
            writeln!(f, "  violation: {violation}")?;
        }
        write!(f, "  replay with: FLOE_SIM_SEED={} cargo test -p floe-sim one_seed -- --nocapture", self.seed)
    }
}

type Body = Arc<dyn Fn(Actor) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// An actor over all its incarnations.
struct Part {
    name: String,
    role: Role,
    body: Body,
    /// The incarnation that lives.
    alive: Arc<Mutex<Process>>,
}

impl Part {
    fn new<F>(name: impl Into<String>, role: Role, body: impl Fn(Actor) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let body: Body = Arc::new(move |actor| Box::pin(body(actor)));
        Part { name: name.into(), role, body, alive: Arc::new(Mutex::new(Process::WORLD)) }
    }
}

impl SimWorld {
    /// The world of a seed.
    pub fn new(seed: u64) -> Self {
        SimWorld::of(Scenario::of(seed))
    }

    /// The world of a scenario.
    pub fn of(scenario: Scenario) -> Self {
        SimWorld { scenario, verbose: false }
    }

    /// The world of a seed with a planted bug.
    pub fn sabotaged(seed: u64, bug: Sabotage) -> Self {
        SimWorld::of(Scenario::sabotaged(seed, bug))
    }

    /// Keeps the trace as text.
    pub fn verbose(mut self) -> Self {
        self.verbose = true;
        self
    }

    /// Runs the world to its end and judges it. A panic of the code under test is a violation like others.
    pub fn run(self) -> Report {
        let rng = SimRng::new(self.scenario.seed);
        let executor = Executor::new(rng.fork("executor"), self.verbose);
        let shared = Arc::new(Shared {
            executor: executor.clone(),
            disk: Arc::new(Disk::default()),
            faults: Arc::new(Faults::new(self.scenario.rates.clone(), self.scenario.plan.clone())),
            ledger: Ledger::default(),
            rng,
            closing: AtomicBool::new(false),
            scenario: self.scenario,
        });
        let live = {
            let (shared, executor) = (shared.clone(), executor.clone());
            catch_unwind(AssertUnwindSafe(move || executor.run(live(shared))))
        };
        let mut violations: Vec<String> = match live {
            Ok(Ok(())) => Vec::new(),
            Ok(Err(stall)) => vec![stall.to_string()],
            Err(panic) => vec![format!("panic: {}", panic_text(panic.as_ref()))],
        };
        shared.faults.switch(false);
        // Whoever is still there is not to disturb the judge.
        executor.shut_down();
        let judged = {
            let (shared, executor) = (shared.clone(), executor.clone());
            catch_unwind(AssertUnwindSafe(move || oracle::judge(&shared, &executor)))
        };
        let mut versions = 0;
        match judged {
            Ok(verdict) => {
                violations.extend(verdict.violations);
                versions = verdict.versions;
            }
            Err(panic) => violations.push(format!("panic while judging: {}", panic_text(panic.as_ref()))),
        }
        let trace = executor.trace();
        executor.shut_down();
        Report {
            seed: shared.scenario.seed,
            violations,
            trace_hash: trace.hash(),
            events: trace.events(),
            trace: trace.lines().to_vec(),
            versions,
            struck: shared.faults.struck(),
            counts: shared.ledger.records().counts,
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".into())
}

/// Everything up to the last request.
async fn live(shared: Arc<Shared>) {
    let world = Actor::new(&shared, "world", Role::World, Process::WORLD, 0);
    create(&world).await;
    shared.faults.switch(true);

    let scenario = &shared.scenario;
    let mut writers = Vec::new();
    for number in 1..=scenario.writers {
        let cursor: Cursor = Arc::new(Mutex::new(1));
        writers.push(Part::new(format!("writer-{number}"), Role::Writer, move |actor| {
            writer(actor, number, cursor.clone())
        }));
    }
    let mut others = Vec::new();
    for number in 1..=scenario.readers {
        others.push(Part::new(format!("reader-{number}"), Role::Reader, reader));
    }
    if scenario.compactor {
        others.push(Part::new("compactor", Role::Compactor, compactor));
    }
    if scenario.vacuum {
        others.push(Part::new("vacuum", Role::Vacuum, vacuum));
    }
    if scenario.checkpointer {
        others.push(Part::new("checkpointer", Role::Checkpointer, checkpointer));
    }
    if scenario.indexer {
        others.push(Part::new("indexer", Role::Indexer, indexer));
    }
    for number in 1..=scenario.stewards {
        others.push(Part::new(format!("steward-{number}"), Role::Writer, steward));
    }
    let alive: Vec<Arc<Mutex<Process>>> = writers.iter().chain(&others).map(|part| part.alive.clone()).collect();
    let over = Arc::new(AtomicBool::new(false));
    shared.executor.spawn(Process::WORLD, nemesis(shared.clone(), alive, over.clone()));
    let writers: Vec<_> = writers.into_iter().map(|part| start(&shared, part)).collect();
    let others: Vec<_> = others.into_iter().map(|part| start(&shared, part)).collect();
    for done in writers {
        let _ = done.await;
    }
    shared.closing.store(true, Ordering::Relaxed);
    for done in others {
        let _ = done.await;
    }
    over.store(true, Ordering::Relaxed);
    // Requests that are still on their way arrive.
    shared.executor.sleep(Duration::from_secs(60)).await;
    shared.faults.switch(false);
    leave(&world).await;
}

async fn create(world: &Actor) {
    let scenario = &world.shared.scenario;
    let schema = batch_of(&[], scenario.partitioned).schema();
    let level = if scenario.serializable { "Serializable" } else { "WriteSerializable" };
    let create = CreateTable::from_arrow(&schema).map(|create| {
        let create = create
            .with_property("delta.isolationLevel", level)
            .with_property("delta.checkpointInterval", scenario.checkpoint_interval.to_string())
            .with_property("delta.deletedFileRetentionDuration", format!("interval {FILE_RETENTION_MS} milliseconds"))
            .with_property("delta.logRetentionDuration", format!("interval {LOG_RETENTION_MS} milliseconds"))
            .with_property("delta.enableDeletionVectors", scenario.deletion_vectors.to_string())
            .with_property("delta.enableInCommitTimestamps", scenario.in_commit_timestamps.to_string())
            .with_property("delta.checkpointPolicy", if scenario.v2_checkpoints { "v2" } else { "classic" })
            .with_property("delta.feature.domainMetadata", "supported");
        let create = if scenario.partitioned { create.with_partition_columns(["part"]) } else { create };
        if scenario.keyed { create.with_primary_key(["key"]) } else { create }
    });
    let created = match create {
        Ok(create) => world.builder().create(create).await,
        Err(error) => Err(error),
    };
    if let Err(error) = created {
        world.shared.ledger.complain(format!("the table cannot be created: {error}"));
    }
}

/// The table must still be usable when all is over.
async fn leave(world: &Actor) {
    let Some(table) = world.open().await else { return };
    let op = OpKey { actor: world.name.clone(), seq: 1 };
    let rows = vec![Row { id: 1, key: 1_000_000, value: 0, tag: "world/1".into() }];
    let batch = batch_of(&rows, world.shared.scenario.partitioned);
    let ledger = &world.shared.ledger;
    let attempt = ledger.begin(op, Intent::Append(rows), None);
    match table.append(vec![batch]).await {
        Ok(report) => ledger.told(attempt, Told::Committed(report.version.get())),
        Err(error) => ledger.complain(format!("nothing can be appended in the end: {error}")),
    }
    if let Err(error) = table.checkpoint().await {
        ledger.complain(format!("no checkpoint can be written in the end: {error}"));
    }
    // The check knows nothing of the world, and must find nothing in what sound writers left behind.
    match table.check().await {
        Ok(report) => {
            let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
            errors.for_each(|finding| ledger.complain(format!("the check finds {}: {finding}", finding.rule.name())));
        }
        Err(error) => ledger.complain(format!("the table cannot be checked in the end: {error}")),
    }
}

/// Starts an actor and restarts it whenever it dies. The receiver hears of its end.
fn start(shared: &Arc<Shared>, part: Part) -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    let world = shared.clone();
    shared.executor.spawn(Process::WORLD, async move {
        let mut rng = world.rng.fork(&format!("{} restarts", part.name));
        for incarnation in 0.. {
            let process = world.executor.process();
            *lock(&part.alive) = process;
            let actor = Actor::new(&world, &part.name, part.role, process, incarnation);
            let (done, finished) = oneshot::channel();
            let body = (part.body)(actor);
            world.executor.spawn(process, async move {
                body.await;
                let _ = done.send(());
            });
            if finished.await.is_ok() {
                break;
            }
            world.executor.record(&part.name, format_args!("is dead"));
            world.ledger.count("death");
            world.executor.sleep(Duration::from_millis(10 + rng.below(30_000))).await;
            world.executor.record(&part.name, format_args!("starts again"));
        }
        let _ = ended.send(());
    });
    end
}

/// Kills actors at any moment, not only when they talk to the store.
async fn nemesis(shared: Arc<Shared>, alive: Vec<Arc<Mutex<Process>>>, over: Arc<AtomicBool>) {
    let mut rng = shared.rng.fork("nemesis");
    while !over.load(Ordering::Relaxed) {
        shared.executor.sleep(Duration::from_millis(10 + rng.below(2 * shared.scenario.rest_ms_max + 1_000))).await;
        if rng.chance(shared.scenario.kills) {
            let victim = *lock(&alive[rng.below(alive.len() as u64) as usize]);
            shared.executor.record("nemesis", format_args!("kills {victim:?}"));
            shared.executor.kill(victim);
        }
    }
}
