//! Actors that read rows: at the tip, in the past, and what a filter asks for.

use std::sync::Arc;

use floe_table::{Snapshot, Table, TableError};
use floe_table_format::{TimestampMs, Version, VersionSpec};

use super::Actor;
use super::writer::scan_rows;
use crate::ledger::Observation;
use crate::model::Filter;

/// Reads until the world closes. What it was given is checked afterwards.
pub(crate) async fn reader(actor: Actor) {
    let mut rng = actor.rng("reads");
    let Some(mut table) = actor.open().await else { return };
    while !actor.closing() {
        let keys = actor.shared.scenario.keys;
        let from = rng.below(keys) as i64;
        let filter = if rng.chance(500) { Filter::ALL } else { Filter { from, to: from + 1 + rng.below(5) as i64 } };
        let spec = match rng.below(10) {
            0..6 => VersionSpec::Latest,
            6..9 => past_version(&table, rng.next_u64()),
            _ => VersionSpec::Timestamp(TimestampMs(actor.env.now().0 - rng.below(600_000) as i64)),
        };
        match read(&table, spec, filter).await {
            Ok((snapshot, rows)) => {
                let version = snapshot.version().get();
                actor.note(format_args!("reads {} rows of version {version}", rows.len()));
                actor.shared.ledger.observed(Observation { actor: actor.name.clone(), version, filter, rows });
            }
            Err(error) => {
                actor.meet("a read", &error);
                if rng.chance(300) {
                    let Some(reopened) = actor.open().await else { return };
                    table = reopened;
                }
            }
        }
        actor.rest(500).await;
        actor.rest_between_ops().await;
    }
}

fn past_version(table: &Table, any: u64) -> VersionSpec {
    let newest = table.known_version().map_or(0, Version::get);
    Version::new(any % (newest + 1)).map_or(VersionSpec::Latest, VersionSpec::Version)
}

async fn read(
    table: &Table,
    spec: VersionSpec,
    filter: Filter,
) -> Result<(Arc<Snapshot>, Vec<crate::model::Row>), TableError> {
    let snapshot = table.at(spec).await?;
    let rows = scan_rows(&snapshot, filter).await?;
    Ok((snapshot, rows))
}
