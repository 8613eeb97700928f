//! What goes into the next commit file.
//!
//! [`assemble`] turns a change into the actions and bytes of one version: it refuses what the protocol forbids, gives
//! rows their ids and the commit its time, and puts `commitInfo` first. It is done anew for every base, so that a rebased
//! change gets fresh row ids (K8) and a later in-commit timestamp (K9).

mod row_ids;
mod rules;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use crate::action::{Action, CommitInfo, Metadata, write_commit};
use crate::change::{ChangeSet, ReadSet};
use crate::error::{FormatError, Result};
use crate::feature::{Feature, has_feature};
use crate::property::{TableProperties, name};
use crate::state::TableState;
use crate::version::{TimestampMs, Version};

/// As `commitInfo.engineInfo` names the writer.
pub const ENGINE_INFO: &str = concat!("floe/", env!("CARGO_PKG_VERSION"));

/// What the outside world adds to a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Unique to one transaction, the text of a UUID: how a writer recognises its own commit.
    pub token: String,
    /// The writer's clock.
    pub now: TimestampMs,
}

/// A commit ready to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct AssembledCommit {
    /// The version it is for.
    pub version: Version,
    /// Its actions, in the order of the file.
    pub actions: Vec<Action>,
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// The commit's time, where the table has in-commit timestamps.
    pub in_commit_timestamp: Option<TimestampMs>,
}

/// The commit that applies a change to a table.
///
/// `base` is the table as it now is, none to create one. `read` says what the change relied on; only what `commitInfo`
/// reports of it is used here, whether it still holds is for [`decide`](crate::conflict::decide).
///
/// # Errors
/// - [`FormatError::InvalidChange`] if the change breaks a rule of the protocol: K11 (two adds, removes or transactions
///   of one file or application, rewrites mixed with changes), a first version without protocol and metadata, a file
///   removed that is not live as described, rows removed from an append-only table, a deletion vector without
///   `numRecords`, partition values that do not fit, unknown in-commit timestamp of the base.
/// - [`FormatError::UnsupportedFeature`] if the table may not be written by this build, or the change needs a feature
///   that the table does not have.
/// - Errors of parsing new metadata.
pub fn assemble(
    change: &ChangeSet,
    read: &ReadSet,
    base: Option<&TableState>,
    stamp: Stamp,
) -> Result<AssembledCommit> {
    let version = match base {
        Some(base) => base.version.next()?,
        None => Version::ZERO,
    };
    let target = rules::Target::of(change, base)?;
    rules::check(change, read, base, &target)?;

    let time = in_commit_timestamp(base, &target, stamp.now)?;
    let mut change = change.clone();
    if let (Some(metadata), Some(time)) = (&mut change.metadata, time) {
        record_enablement(metadata, base, version, time);
    }
    if let (Some(metadata), Some(true)) = (&mut change.metadata, change.dropped.as_ref().map(|d| d.in_history)) {
        metadata.configuration.insert(name::REQUIRE_CHECKPOINT_PROTECTION.into(), version.to_string());
    }
    for remove in &mut change.removes {
        remove.deletion_timestamp.get_or_insert(stamp.now.0);
    }
    let suspended = target.metadata.configuration.get("delta.rowTrackingSuspended").is_some_and(|v| v == "true");
    if has_feature(target.protocol, &Feature::RowTracking) && !suspended {
        row_ids::assign(&mut change, base, version)?;
    }

    let info = commit_info(&change, read, base, &stamp, time);
    let mut actions = vec![Action::CommitInfo(info)];
    actions.extend(change.protocol.map(Action::Protocol));
    actions.extend(change.metadata.map(Action::Metadata));
    actions.extend(change.txns.into_iter().map(Action::Txn));
    actions.extend(change.domains.into_iter().map(Action::DomainMetadata));
    actions.extend(change.removes.into_iter().map(Action::Remove));
    actions.extend(change.adds.into_iter().map(Action::Add));
    actions.extend(change.cdc.into_iter().map(Action::Cdc));
    let bytes = write_commit(&actions);
    Ok(AssembledCommit { version, actions, bytes, in_commit_timestamp: time })
}

/// The token of a commit, by which its writer recognises it (K10).
pub fn token_of(actions: &[Action]) -> Option<&str> {
    actions.iter().find_map(|action| match action {
        Action::CommitInfo(info) => info.txn_id.as_deref(),
        _ => None,
    })
}

/// Protocol section "Writer Requirements for In-Commit Timestamps".
fn in_commit_timestamp(
    base: Option<&TableState>,
    target: &rules::Target<'_>,
    now: TimestampMs,
) -> Result<Option<TimestampMs>> {
    if !is_timed(target.protocol, &target.properties) {
        return Ok(None);
    }
    let after = |previous: TimestampMs| now.max(TimestampMs(previous.0.saturating_add(1)));
    Ok(Some(match base {
        None => now,
        Some(base) => match base.commit_timestamp {
            Some(previous) => after(previous),
            None if is_timed(&base.protocol, &base.properties) => {
                return Err(FormatError::invalid_change(format!(
                    "the in-commit timestamp of version {} is not known; its commit file has to be read first",
                    base.version
                )));
            }
            None => now,
        },
    }))
}

fn is_timed(protocol: &crate::action::Protocol, properties: &TableProperties) -> bool {
    properties.enable_in_commit_timestamps && has_feature(protocol, &Feature::InCommitTimestamp)
}

/// Where a table gets in-commit timestamps after its first version, it says from when on.
fn record_enablement(metadata: &mut Metadata, base: Option<&TableState>, version: Version, time: TimestampMs) {
    let Some(base) = base else { return };
    if is_timed(&base.protocol, &base.properties) {
        return;
    }
    let configuration = &mut metadata.configuration;
    configuration.insert(name::IN_COMMIT_TIMESTAMP_ENABLEMENT_VERSION.into(), version.to_string());
    configuration.insert(name::IN_COMMIT_TIMESTAMP_ENABLEMENT_TIMESTAMP.into(), time.0.to_string());
}

fn commit_info(
    change: &ChangeSet,
    read: &ReadSet,
    base: Option<&TableState>,
    stamp: &Stamp,
    time: Option<TimestampMs>,
) -> CommitInfo {
    let operation = &change.operation;
    let text = |value: &Value| match value {
        Value::String(text) => Value::String(text.clone()),
        other => Value::String(other.to_string()),
    };
    let parameters: Map<String, Value> = operation.parameters.iter().map(|(k, v)| (k.clone(), text(v))).collect();
    let metrics: Map<String, Value> =
        operation.metrics.iter().map(|(k, v)| (k.clone(), Value::String(v.to_string()))).collect();
    CommitInfo {
        in_commit_timestamp: time.map(|t| t.0),
        timestamp: Some(time.unwrap_or(stamp.now).0),
        operation: Some(operation.name.clone()),
        operation_parameters: Some(parameters),
        read_version: read.version.or(base.map(|b| b.version)).map(Version::as_i64),
        isolation_level: Some(read.isolation.as_str().into()),
        is_blind_append: Some(change.is_blind_append(read)),
        operation_metrics: Some(metrics),
        engine_info: Some(ENGINE_INFO.into()),
        txn_id: Some(stamp.token.clone()),
        rest: Map::new(),
    }
}
