//! Actors that keep the table in shape and must not change what it holds.

use floe_table::{OptimizeOptions, TableError, VacuumOptions};

use super::Actor;

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
                actor.shared.ledger.count(if report.version.is_some() { "compaction" } else { "compaction without effect" });
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
