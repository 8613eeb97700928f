//! What a change may not do.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::action::{Add, DeletionVectorDescriptor, Metadata, Protocol, Remove};
use crate::change::{ChangeSet, ReadSet};
use crate::conflict::ROW_TRACKING_DOMAIN;
use crate::deletion_vector;
use crate::error::{FormatError, Result, printable};
use crate::feature::{
    Feature, check_readable, check_writable, dependents, has_feature, includes, includes_but_for, required_for,
};
use crate::iceberg;
use crate::property::TableProperties;
use crate::schema::StructType;
use crate::state::TableState;
use crate::stats;

/// Protocol and metadata that the new version will have.
pub(super) struct Target<'a> {
    pub(super) protocol: &'a Protocol,
    pub(super) metadata: &'a Metadata,
    pub(super) properties: Cow<'a, TableProperties>,
    pub(super) schema: Arc<StructType>,
}

impl<'a> Target<'a> {
    pub(super) fn of(change: &'a ChangeSet, base: Option<&'a TableState>) -> Result<Self> {
        let first = || FormatError::invalid_change("the first version of a table needs a protocol and metadata");
        let protocol = change.protocol.as_ref().or(base.map(|b| &b.protocol)).ok_or_else(first)?;
        let metadata = change.metadata.as_ref().or(base.map(|b| &b.metadata)).ok_or_else(first)?;
        let (schema, properties) = match (&change.metadata, base) {
            (None, Some(base)) => (base.schema.clone(), Cow::Borrowed(base.properties.as_ref())),
            _ => (
                Arc::new(StructType::parse(&metadata.schema_string)?),
                Cow::Owned(TableProperties::parse(&metadata.configuration)?),
            ),
        };
        Ok(Target { protocol, metadata, properties, schema })
    }
}

/// Refuses a change that would make an invalid version.
pub(super) fn check(change: &ChangeSet, read: &ReadSet, base: Option<&TableState>, target: &Target<'_>) -> Result<()> {
    check_readable(target.protocol, target.metadata)?;
    check_writable(target.protocol, target.metadata, &target.schema)?;
    target.properties.check()?;
    check_protocol(change, base, target)?;
    check_uniqueness(change)?;
    check_partition_values(change, target)?;
    check_removes(change, base, target)?;
    // A blind append brings new files only; looking them up would index the whole table.
    if let Some(base) = base
        && !change.is_blind_append(read)
    {
        check_added_paths(change, base)?;
    }
    check_deletion_vectors(change, target)?;
    check_change_data(change, target)?;
    check_domains(change, target)?;
    iceberg::check(target.metadata, &target.schema, &change.adds, base)?;
    check_row_tracking(change, base, target)
}

fn refuse<T>(what: impl Into<String>) -> Result<T> {
    Err(FormatError::invalid_change(what))
}

fn needs<T>(operation: &str, feature: &Feature) -> Result<T> {
    Err(FormatError::UnsupportedFeature { operation: operation.into(), features: vec![feature.name().to_owned()] })
}

fn check_protocol(change: &ChangeSet, base: Option<&TableState>, target: &Target<'_>) -> Result<()> {
    if change.protocol.is_none() && change.metadata.is_none() {
        return Ok(());
    }
    for feature in required_for(target.metadata, &target.schema)? {
        if !has_feature(target.protocol, &feature) {
            return refuse(format!("the metadata uses {}, which the protocol does not name", feature.name()));
        }
    }
    if let (Some(base), Some(new), Some(dropped)) = (base, &change.protocol, &change.dropped) {
        if has_feature(new, &dropped.feature) || !includes_but_for(new, &base.protocol, Some(&dropped.feature)) {
            return refuse(format!("the protocol loses something else than {}", dropped.feature.name()));
        }
        if let Some(dependent) = dependents(new, &dropped.feature).first() {
            return refuse(format!("{} needs {}", dependent.name(), dropped.feature.name()));
        }
        if dropped.in_history && !has_feature(new, &Feature::CheckpointProtection) {
            return needs("leave a feature in the history", &Feature::CheckpointProtection);
        }
        return Ok(());
    }
    if let (Some(base), Some(new)) = (base, &change.protocol)
        && !includes(new, &base.protocol)
    {
        // Protocol section "Supported Features": older versions that use a feature stay reachable by time travel.
        return refuse("a protocol may not be lowered or lose a feature");
    }
    Ok(())
}

/// K11.
fn check_uniqueness(change: &ChangeSet) -> Result<()> {
    fn twice<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        let mut seen = HashSet::new();
        names.into_iter().find(|name| !seen.insert(*name))
    }
    let kinds = [
        ("file added", twice(change.adds.iter().map(|a| a.path.as_str()))),
        ("file removed", twice(change.removes.iter().map(|r| r.path.as_str()))),
        ("change file added", twice(change.cdc.iter().map(|c| c.path.as_str()))),
        ("application recorded", twice(change.txns.iter().map(|t| t.app_id.as_str()))),
        ("domain set", twice(change.domains.iter().map(|d| d.domain.as_str()))),
    ];
    for (kind, name) in kinds {
        if let Some(name) = name {
            return refuse(format!("{kind} twice in one commit: {}", printable(name)));
        }
    }
    let mut data_changes =
        change.adds.iter().map(|a| a.data_change).chain(change.removes.iter().map(|r| r.data_change));
    if let Some(first) = data_changes.next()
        && data_changes.any(|other| other != first)
    {
        return refuse(
            "one commit may not both change rows and rearrange them (dataChange must be the same everywhere)",
        );
    }
    if change.cdc.iter().any(|c| c.data_change) {
        return refuse("a change file is no data change");
    }
    for (path, size) in
        change.adds.iter().map(|a| (&a.path, a.size)).chain(change.cdc.iter().map(|c| (&c.path, c.size)))
    {
        if path.is_empty() || size < 0 {
            return refuse(format!("a file needs a path and a size, found {:?} with {size} bytes", printable(path)));
        }
    }
    Ok(())
}

/// Every added file names exactly the partition columns, by physical name.
fn check_partition_values(change: &ChangeSet, target: &Target<'_>) -> Result<()> {
    let mut names = BTreeSet::new();
    for column in &target.metadata.partition_columns {
        let Some(field) = target.schema.field(column) else {
            return refuse(format!("partition column {} is not in the schema", printable(column)));
        };
        names.insert(field.physical_name_in(target.properties.column_mapping_mode));
    }
    for add in &change.adds {
        if add.partition_values.len() != names.len() || !add.partition_values.keys().all(|k| names.contains(k.as_str()))
        {
            let (path, found) = (printable(&add.path), add.partition_values.keys().cloned().collect::<Vec<_>>());
            return refuse(format!("{path} has partition values for {found:?}, the table is partitioned by {names:?}"));
        }
    }
    Ok(())
}

/// What is removed is there, with the deletion vector named: a remove that names another one would leave the file in the
/// table beside its replacement.
fn check_removes(change: &ChangeSet, base: Option<&TableState>, target: &Target<'_>) -> Result<()> {
    let appends_only = target.properties.append_only && has_feature(target.protocol, &Feature::AppendOnly);
    if appends_only && let Some(remove) = change.removes.iter().find(|r| r.data_change) {
        return refuse(format!("the table is append-only (delta.appendOnly), removing {}", printable(&remove.path)));
    }
    for remove in &change.removes {
        let known = base.and_then(|base| base.files.find_logical(&remove.path, remove.deletion_vector.as_ref()));
        if known.is_none() {
            let described = described(remove);
            return refuse(format!("{described} is removed but not part of the table"));
        }
    }
    Ok(())
}

fn described(remove: &Remove) -> String {
    match &remove.deletion_vector {
        None => printable(&remove.path),
        Some(dv) => format!("{} with deletion vector {}", printable(&remove.path), printable(&id_of(dv))),
    }
}

fn id_of(dv: &DeletionVectorDescriptor) -> String {
    deletion_vector::unique_id(dv)
}

/// Protocol section "Add File and Remove File": a path is live once, whatever its deletion vector.
fn check_added_paths(change: &ChangeSet, base: &TableState) -> Result<()> {
    let removed: HashSet<&str> = change.removes.iter().map(|r| r.path.as_str()).collect();
    for add in &change.adds {
        if removed.contains(add.path.as_str()) {
            continue;
        }
        let other = base
            .files
            .find(&add.path)
            .filter(|known| known.deletion_vector().as_ref().map(id_of) != add.deletion_vector.as_ref().map(id_of));
        if other.is_some() {
            let path = printable(&add.path);
            return refuse(format!("{path} is part of the table with another deletion vector, which is not removed"));
        }
    }
    Ok(())
}

fn check_deletion_vectors(change: &ChangeSet, target: &Target<'_>) -> Result<()> {
    for add in &change.adds {
        let Some(dv) = &add.deletion_vector else { continue };
        if !has_feature(target.protocol, &Feature::DeletionVectors) {
            return needs("commit a deletion vector", &Feature::DeletionVectors);
        }
        let path = || printable(&add.path);
        let Some(records) = num_records(add) else {
            return refuse(format!("{} has a deletion vector and needs numRecords in its statistics", path()));
        };
        if u64::try_from(dv.cardinality).is_ok_and(|marked| marked <= records) {
            continue;
        }
        return refuse(format!("{} has {records} rows, its deletion vector marks {}", path(), dv.cardinality));
    }
    Ok(())
}

fn num_records(add: &Add) -> Option<u64> {
    stats::parse_num_records(add.stats.as_deref()?)
}

/// Protocol section "Writer Requirements for AddCDCFile": files that come or go as a whole need no change file.
fn check_change_data(change: &ChangeSet, target: &Target<'_>) -> Result<()> {
    let feeds = target.properties.enable_change_data_feed && has_feature(target.protocol, &Feature::ChangeDataFeed);
    if !feeds || change.whole_files || !change.cdc.is_empty() || !change.changes_data() {
        return Ok(());
    }
    if change.adds.is_empty() || change.removes.is_empty() {
        return Ok(());
    }
    needs("update rows without writing change files", &Feature::ChangeDataFeed)
}

fn check_domains(change: &ChangeSet, target: &Target<'_>) -> Result<()> {
    if change.domains.is_empty() {
        return Ok(());
    }
    let dropped = change.dropped.as_ref().map(|dropped| &dropped.feature);
    let all_removed = change.domains.iter().all(|domain| domain.removed);
    let goes_with_feature = all_removed && dropped == Some(&Feature::DomainMetadata);
    if !goes_with_feature && !has_feature(target.protocol, &Feature::DomainMetadata) {
        return needs("set a domain", &Feature::DomainMetadata);
    }
    if all_removed && dropped == Some(&Feature::RowTracking) {
        return Ok(());
    }
    match change.domains.iter().find(|d| d.domain == ROW_TRACKING_DOMAIN) {
        Some(_) => refuse(format!("the domain {ROW_TRACKING_DOMAIN} is set by the commit itself")),
        None => Ok(()),
    }
}

/// Protocol section "Writer Requirements for Row Tracking": every live file has ids before the property says so.
fn check_row_tracking(change: &ChangeSet, base: Option<&TableState>, target: &Target<'_>) -> Result<()> {
    let Some(base) = base else { return Ok(()) };
    let switched_on = target.properties.enable_row_tracking && !base.properties.enable_row_tracking;
    if change.metadata.is_none() || !switched_on {
        return Ok(());
    }
    let removed: HashSet<&str> = change.removes.iter().map(|r| r.path.as_str()).collect();
    let without = base.files.iter().find(|f| {
        (f.base_row_id().is_none() || f.default_row_commit_version().is_none()) && !removed.contains(f.path())
    });
    match without {
        Some(file) => {
            let path = printable(file.path());
            refuse(format!("row tracking cannot be enabled: {path} has no row ids and none are given to it here"))
        }
        None => Ok(()),
    }
}
