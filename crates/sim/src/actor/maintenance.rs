//! Actors that look after the table as a whole: its files, its log, its properties and its past.

use std::collections::BTreeMap;

use floe_storage::StorageError;
use floe_table::{OptimizeOptions, Table, TableError, VacuumOptions};
use floe_table_format::{DataType, PrimitiveType, StructField, VersionSpec};

use super::{Actor, FILE_RETENTION_MS};
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

/// Changes properties and columns, and goes back to earlier versions, until the world closes.
pub(crate) async fn steward(actor: Actor) {
    let mut rng = actor.rng("stewardship");
    let Some(mut table) = actor.open().await else { return };
    while !actor.closing() {
        actor.rest(3_000).await;
        actor.rest_between_ops().await;
        let done = match rng.below(5) {
            0 | 1 => go_back(&actor, &table, rng.next_u64()).await,
            2 => {
                let properties = BTreeMap::from([("sim.note".to_owned(), rng.below(1000).to_string())]);
                table.set_properties(properties).await.map(|_| "properties set")
            }
            3 => table.unset_properties(vec!["sim.note".to_owned()], true).await.map(|_| "properties unset"),
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
