//! Actors that look after the table as a whole: its files, its log, its properties and its past.

use std::collections::BTreeMap;

use floe_storage::{PutOutcome, StorageError};
use floe_table::{OptimizeOptions, Table, TableError, VacuumOptions};
use floe_table_format::commit::{Stamp, assemble};
use floe_table_format::feature::{self, Feature};
use floe_table_format::{
    ChangeSet, DataType, DomainMetadata, Operation, PrimitiveType, ReadSet, StructField, VersionSpec,
};

use super::{Actor, COUNTER, FILE_RETENTION_MS};
use crate::rng::SimRng;

/// Compacts until the world closes.
pub(crate) async fn compactor(actor: Actor) {
    let mut rng = actor.rng("compaction");
    let Some(mut table) = actor.open().await else { return };
    while !actor.closing() {
        actor.rest(1_000).await;
        actor.rest_between_ops().await;
        let zorder_by = if rng.chance(200) { vec!["key".to_owned(), "id".to_owned()] } else { Vec::new() };
        match table.optimize(OptimizeOptions { zorder_by, ..OptimizeOptions::default() }).await {
            Ok(report) => {
                actor.note(format_args!("compaction: {report:?}"));
                actor.shared.ledger.count(if report.version.is_some() {
                    "compaction"
                } else {
                    "compaction without effect"
                });
            }
            Err(error) => {
                actor.meet("compaction", &error);
                let Some(reopened) = actor.open().await else { return };
                table = reopened;
            }
        }
    }
}

/// Vacuums until the world closes, with the table's own retention.
pub(crate) async fn vacuum(actor: Actor) {
    let Some(mut table) = actor.open().await else { return };
    while !actor.closing() {
        actor.rest(2_000).await;
        actor.rest_between_ops().await;
        actor.shared.ledger.vacuum_began(actor.shared.executor.now_us());
        match table.vacuum(VacuumOptions::default()).await {
            Ok(report) => {
                actor.note(format_args!("vacuum deletes {} files", report.files.len()));
                actor.shared.ledger.count(if report.files.is_empty() { "vacuum without effect" } else { "vacuum" });
            }
            Err(error) => {
                actor.meet("vacuum", &error);
                let Some(reopened) = actor.open().await else { return };
                table = reopened;
            }
        }
    }
}

/// Writes checkpoints and cleans up the log until the world closes.
pub(crate) async fn checkpointer(actor: Actor) {
    let mut rng = actor.rng("checkpoints");
    let Some(mut table) = actor.open().await else { return };
    while !actor.closing() {
        actor.rest(2_000).await;
        actor.rest_between_ops().await;
        let done = async {
            let version = table.checkpoint().await?;
            let mut deleted = Vec::new();
            if rng.chance(500) {
                deleted = table.clean_up_log().await?;
            }
            Ok::<_, TableError>((version, deleted))
        };
        match done.await {
            Ok((version, deleted)) => {
                actor.note(format_args!("checkpoint of version {version}, {} log files deleted", deleted.len()));
                actor.shared.ledger.count("checkpoint");
                if !deleted.is_empty() {
                    actor.shared.ledger.count("log clean-up");
                }
            }
            Err(error) => {
                actor.meet("a checkpoint", &error);
                let Some(reopened) = actor.open().await else { return };
                table = reopened;
            }
        }
    }
}

/// Builds, drops and damages the record index until the world closes.
pub(crate) async fn indexer(actor: Actor) {
    let mut rng = actor.rng("index");
    let Some(mut table) = actor.open().await else { return };
    while !actor.closing() {
        actor.rest(300).await;
        let done = match rng.below(8) {
            0..5 => table.build_index().await.map(|_| "index built"),
            5 => table.drop_index().await.map(|_| "index dropped"),
            _ => damage(&table, &mut rng).await,
        };
        if !actor.tell("work on the index", done) {
            let Some(reopened) = actor.open().await else { return };
            table = reopened;
        }
        actor.rest_between_ops().await;
    }
}

async fn damage(table: &Table, rng: &mut SimRng) -> Result<&'static str, TableError> {
    let on_table = |source| TableError::Storage { table: table.uri().into(), source: Box::new(source) };
    let store = table.data_store();
    let runs = store.list_folder("_floe/index").await.map_err(on_table)?;
    if runs.is_empty() {
        return Ok("no index to damage");
    }
    let run = &runs[rng.below(runs.len() as u64) as usize];
    let mut bytes = match store.get(&run.path).await {
        Ok(bytes) => bytes.to_vec(),
        Err(StorageError::NotFound { .. }) => return Ok("no index to damage"),
        Err(error) => return Err(on_table(error)),
    };
    let at = rng.below(bytes.len().min(480) as u64) as usize;
    bytes[at] ^= 1 << rng.below(8);
    store.put(&run.path, bytes.into()).await.map_err(on_table)?;
    Ok("index damaged")
}

/// Changes properties, columns, features and a domain, and goes back to earlier versions, until the world closes.
pub(crate) async fn steward(actor: Actor) {
    let mut rng = actor.rng("stewardship");
    let Some(mut table) = actor.open().await else { return };
    while !actor.closing() {
        actor.rest(3_000).await;
        actor.rest_between_ops().await;
        let done = match rng.below(9) {
            0 | 1 => go_back(&actor, &table, rng.next_u64()).await,
            2 => {
                let properties = BTreeMap::from([("sim.note".to_owned(), rng.below(1000).to_string())]);
                table.set_properties(properties).await.map(|_| "properties set")
            }
            3 => table.unset_properties(vec!["sim.note".to_owned()], true).await.map(|_| "properties unset"),
            4 => {
                let feature = format!("delta.feature.{}", rng.pick(&FEATURES).name());
                let properties = BTreeMap::from([(feature, "supported".to_owned())]);
                table.set_properties(properties).await.map(|_| "feature asked for")
            }
            5 => upgrade_like_another_engine(&table, rng.pick(&FEATURES)).await,
            6 => count(&table).await,
            _ => {
                let name = format!("extra_{}", rng.below(1_000_000));
                let field = StructField::new(name, DataType::Primitive(PrimitiveType::String), true);
                table.add_columns(vec![field]).await.map(|_| "column added")
            }
        };
        if !actor.tell("stewardship", done) {
            let Some(reopened) = actor.open().await else { return };
            table = reopened;
        }
    }
}

/// Features that ask nothing of files and rows.
const FEATURES: [Feature; 5] = [
    Feature::VacuumProtocolCheck,
    Feature::TimestampNtz,
    Feature::CheckConstraints,
    Feature::AllowColumnDefaults,
    Feature::ChangeDataFeed,
];

/// Commits a protocol with one more feature, and nothing else: as engines do that keep no property of it.
async fn upgrade_like_another_engine(table: &Table, feature: &Feature) -> Result<&'static str, TableError> {
    let on_table = |source| TableError::Storage { table: table.uri().into(), source: Box::new(source) };
    let in_format = |source| TableError::Format { table: table.uri().into(), source };
    let snapshot = table.snapshot().await?;
    let state = snapshot.state();
    let protocol = feature::enable(&state.protocol, std::slice::from_ref(feature));
    if protocol == state.protocol {
        return Ok("nothing to upgrade");
    }
    let change = ChangeSet { protocol: Some(protocol), ..ChangeSet::new(Operation::new("UPGRADE PROTOCOL")) };
    let read = ReadSet { version: Some(state.version), ..ReadSet::default() };
    let stamp = Stamp { token: table.env().uuid().to_string(), now: table.env().now() };
    let commit = assemble(&change, &read, Some(state), stamp).map_err(in_format)?;
    let put = table.log_store().put_if_absent(commit.version, commit.bytes.into()).await.map_err(on_table)?;
    Ok(if put == PutOutcome::Written { "protocol upgraded" } else { "protocol upgraded too late" })
}

/// Counts one on, in a domain of the table.
async fn count(table: &Table) -> Result<&'static str, TableError> {
    let snapshot = table.snapshot().await?;
    let counted = snapshot.state().domains.get(COUNTER).and_then(|domain| domain.configuration.parse::<u64>().ok());
    let mut transaction = table.begin_at(&snapshot, Operation::new(COUNTER))?;
    transaction.set_domain(DomainMetadata {
        domain: COUNTER.to_owned(),
        configuration: (counted.unwrap_or(0) + 1).to_string(),
        removed: false,
    });
    transaction.commit().await?.committed().map(|_| "counted")
}

/// Restores one of the newest versions, and only one that is young: vacuum may take the files of older ones at any time.
async fn go_back(actor: &Actor, table: &Table, any: u64) -> Result<&'static str, TableError> {
    let young = actor.env.now().minus_ms(FILE_RETENTION_MS / 4);
    let history = table.history(Some(6)).await?;
    let young: Vec<_> = history.iter().filter(|entry| entry.timestamp > young).collect();
    let Some(entry) = young.get((any % young.len().max(1) as u64) as usize) else { return Ok("nothing to restore") };
    let report = table.restore(VersionSpec::Version(entry.version)).await?;
    actor.note(format_args!("restore: {report:?}"));
    Ok("restore")
}
