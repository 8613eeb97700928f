//! From the rows of a checkpoint to actions and file columns.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use arrow::array::{Array, BooleanArray, Int32Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;

use super::Rows;
use super::columns::{Group, TextMap};
use crate::action::{
    Action, CheckpointMetadata, DeletionVectorDescriptor, DomainMetadata, Format, Metadata, Protocol, Remove, Sidecar,
    Txn,
};
use crate::error::{FormatError, Result, printable};
use crate::state::builder::{AddRow, ChunkBuilder, PartitionColumns, tags_text, text_unless_null, unless_null};
use crate::state::draft::FewValues;
use crate::state::{ChunkColumns, DeletionVectorColumns, FileChunk};
use crate::version::Version;

/// What the rows of this batch hold. Missing columns are null columns, unknown ones are ignored.
///
/// # Errors
/// [`FormatError::CorruptCheckpoint`] if a column is of an unusable type or a required value is missing.
pub fn read_batch(batch: &RecordBatch) -> Result<Rows> {
    let adds = Group::of(batch, "add", "path")?;
    Ok(Rows {
        protocol: protocol(batch)?,
        metadata: metadata(batch)?,
        txns: txns(batch)?,
        domains: domains(batch)?,
        few_values: adds.as_ref().map(few_values).transpose()?.unwrap_or_default(),
        adds: adds.map(|add| self::adds(&add)).transpose()?,
        removes: Group::of(batch, "remove", "path")?.map(|remove| removes(&remove)).transpose()?.unwrap_or_default(),
        sidecars: sidecars(batch)?,
        checkpoint_metadata: checkpoint_metadata(batch)?,
    })
}

/// What the actions of a V2 checkpoint in JSON hold.
///
/// # Errors
/// [`FormatError::CorruptCheckpoint`] for two different protocols or metadatas.
pub fn rows_of_actions<A: Borrow<Action>>(actions: impl IntoIterator<Item = A>) -> Result<Rows> {
    let mut rows = Rows::default();
    let mut builder = ChunkBuilder::default();
    for action in actions {
        match action.borrow() {
            Action::Protocol(protocol) => super::set_once(&mut rows.protocol, protocol.clone(), "protocol")?,
            Action::Metadata(metadata) => super::set_once(&mut rows.metadata, metadata.clone(), "metaData")?,
            Action::Txn(txn) => rows.txns.push(txn.clone()),
            Action::DomainMetadata(domain) => rows.domains.push(domain.clone()),
            Action::Add(add) => {
                rows.few_values.push(FewValues {
                    path: add.path.clone(),
                    deletion_vector: add.deletion_vector.clone(),
                    values: add.partition_values.len(),
                    version: None,
                });
                let values = add.partition_values.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
                builder.push_row(&AddRow::of(add), values);
            }
            Action::Remove(remove) => rows.removes.push(remove.clone()),
            Action::Sidecar(sidecar) => rows.sidecars.push(sidecar.clone()),
            Action::CheckpointMetadata(metadata) => rows.checkpoint_metadata = Some(metadata.clone()),
            Action::CommitInfo(_) | Action::Cdc(_) => {}
        }
    }
    rows.few_values = fewest(rows.few_values);
    if builder.rows() > 0 {
        rows.adds = Some(builder.finish()?);
    }
    Ok(rows)
}

/// The sidecars that the rows of a V2 checkpoint name. Protocol section "Sidecar File Information".
///
/// # Errors
/// [`FormatError::CorruptCheckpoint`] if the column is of an unusable type.
pub fn sidecars(batch: &RecordBatch) -> Result<Vec<Sidecar>> {
    let Some(group) = Group::of(batch, "sidecar", "path")? else { return Ok(Vec::new()) };
    let path = group.text("path")?;
    let (size, time) = (group.long("sizeInBytes")?, group.long("modificationTime")?);
    let tags = group.map("tags")?;
    (0..group.len())
        .map(|row| {
            Ok(Sidecar {
                path: required(text(&path, row), "sidecar.path")?,
                size_in_bytes: required(long(&size, row), "sidecar.sizeInBytes")?,
                modification_time: long(&time, row).unwrap_or(0),
                tags: tags.as_ref().filter(|t| t.is_valid(row)).map(|t| t.owned(row)),
            })
        })
        .collect()
}

fn checkpoint_metadata(batch: &RecordBatch) -> Result<Option<CheckpointMetadata>> {
    let Some(group) = Group::of(batch, "checkpointMetadata", "version")? else { return Ok(None) };
    let version = required(long(&group.long("version")?, 0), "checkpointMetadata.version")?;
    Version::try_from(version)?;
    let tags = group.map("tags")?.filter(|t| t.is_valid(0)).map(|t| t.owned(0));
    Ok(Some(CheckpointMetadata { version, tags }))
}

fn protocol(batch: &RecordBatch) -> Result<Option<Protocol>> {
    let Some(group) = Group::of(batch, "protocol", "minReaderVersion")? else { return Ok(None) };
    only_one(&group, "protocol")?;
    Ok(Some(Protocol {
        min_reader_version: required(int(&group.int("minReaderVersion")?, 0), "protocol.minReaderVersion")?,
        min_writer_version: required(int(&group.int("minWriterVersion")?, 0), "protocol.minWriterVersion")?,
        reader_features: group.texts("readerFeatures")?.swap_remove(0),
        writer_features: group.texts("writerFeatures")?.swap_remove(0),
    }))
}

fn metadata(batch: &RecordBatch) -> Result<Option<Metadata>> {
    let Some(group) = Group::of(batch, "metaData", "id")? else { return Ok(None) };
    only_one(&group, "metaData")?;
    let format = match group.group("format")? {
        None => Format::default(),
        Some(format) => Format {
            provider: text(&format.text("provider")?, 0).unwrap_or_else(|| Format::default().provider),
            options: texts_of(&format.map("options")?),
        },
    };
    Ok(Some(Metadata {
        id: required(text(&group.text("id")?, 0), "metaData.id")?,
        name: text(&group.text("name")?, 0),
        description: text(&group.text("description")?, 0),
        format,
        schema_string: required(text(&group.text("schemaString")?, 0), "metaData.schemaString")?,
        partition_columns: group.texts("partitionColumns")?.swap_remove(0).unwrap_or_default(),
        configuration: texts_of(&group.map("configuration")?),
        created_time: long(&group.long("createdTime")?, 0),
    }))
}

fn txns(batch: &RecordBatch) -> Result<Vec<Txn>> {
    let Some(group) = Group::of(batch, "txn", "appId")? else { return Ok(Vec::new()) };
    let app_id = group.text("appId")?;
    let (version, last_updated) = (group.long("version")?, group.long("lastUpdated")?);
    (0..group.len())
        .map(|row| {
            Ok(Txn {
                app_id: required(text(&app_id, row), "txn.appId")?,
                version: required(long(&version, row), "txn.version")?,
                last_updated: long(&last_updated, row),
            })
        })
        .collect()
}

fn domains(batch: &RecordBatch) -> Result<Vec<DomainMetadata>> {
    let Some(group) = Group::of(batch, "domainMetadata", "domain")? else { return Ok(Vec::new()) };
    let (domain, configuration) = (group.text("domain")?, group.text("configuration")?);
    let removed = group.boolean("removed")?;
    (0..group.len())
        .map(|row| {
            Ok(DomainMetadata {
                domain: required(text(&domain, row), "domainMetadata.domain")?,
                configuration: text(&configuration, row).unwrap_or_default(),
                removed: boolean(&removed, row).unwrap_or(false),
            })
        })
        .collect()
}

fn adds(group: &Group) -> Result<FileChunk> {
    let rows = group.len();
    let paths = required(group.text("path")?, "add.path")?;
    if let Some(row) = (0..rows).find(|row| paths.value(*row).is_empty()) {
        return Err(FormatError::corrupt_checkpoint("checkpoint", format!("add {row} has an empty path")));
    }
    let sizes = required(group.long("size")?, "add.size")?;
    if let Some(row) = (0..rows).find(|row| sizes.is_null(*row) || sizes.value(*row) < 0) {
        let what = format!("add of {} without a valid size", printable(paths.value(row)));
        return Err(FormatError::corrupt_checkpoint("checkpoint", what));
    }
    let modification_times = match group.long("modificationTime")? {
        Some(times) if times.null_count() == 0 => times,
        Some(times) => times.iter().map(|time| Some(time.unwrap_or(0))).collect(),
        None => Int64Array::from_value(0, rows),
    };
    let tags = group.map("tags")?.filter(|tags| !tags.is_empty()).map(|tags| {
        (0..rows).map(|row| tags.is_valid(row).then(|| tags_text(&tags.owned(row)))).collect::<StringArray>()
    });
    let stats_parsed = group.plain_struct("stats_parsed")?;
    FileChunk::new(ChunkColumns {
        paths,
        sizes,
        modification_times,
        partitions: partitions(group.map("partitionValues")?, rows),
        deletion_vectors: group.group("deletionVector")?.map(|dv| deletion_vectors(&dv)).transpose()?.flatten(),
        base_row_ids: group.long("baseRowId")?.and_then(unless_null),
        default_row_commit_versions: group.long("defaultRowCommitVersion")?.and_then(unless_null),
        tags,
        clustering_providers: group.text("clusteringProvider")?.and_then(text_unless_null),
        stats: group.text("stats")?.and_then(text_unless_null),
        stats_parsed: stats_parsed.filter(|parsed| parsed.null_count() < parsed.len()),
    })
}

/// The files whose partition values are worth a look once the partition columns are known.
fn few_values(group: &Group) -> Result<Vec<FewValues>> {
    let (Some(paths), Some(values)) = (group.text("path")?, group.map("partitionValues")?) else {
        return Ok(Vec::new());
    };
    let counts: Vec<usize> = (0..group.len()).map(|row| values.entries(row).count()).collect();
    let most = counts.iter().max().copied().unwrap_or(0);
    let first_of_most = counts.iter().position(|count| *count == most);
    let wanted: Vec<usize> =
        (0..counts.len()).filter(|row| counts[*row] < most || Some(*row) == first_of_most).collect();
    let dv = group.group("deletionVector")?.map(|dv| deletion_vectors(&dv)).transpose()?.flatten();
    let of_row = |row: usize| FewValues {
        path: paths.value(row).to_owned(),
        deletion_vector: dv.as_ref().and_then(|dv| descriptor(dv, row)),
        values: counts[row],
        version: None,
    };
    Ok(wanted.into_iter().map(of_row).collect())
}

/// Those that name fewer values than others, and one that names the most.
fn fewest(files: Vec<FewValues>) -> Vec<FewValues> {
    let most = files.iter().map(|file| file.values).max().unwrap_or(0);
    let mut seen_most = false;
    let wanted = |file: &FewValues| file.values < most || !std::mem::replace(&mut seen_most, true);
    files.into_iter().filter(wanted).collect()
}

fn partitions(values: Option<TextMap>, rows: usize) -> Vec<(String, StringArray)> {
    let Some(values) = values.filter(|values| !values.is_empty()) else { return Vec::new() };
    let mut columns = PartitionColumns::default();
    for row in 0..rows {
        columns.push(values.entries(row));
    }
    columns.finish()
}

/// The descriptors; none if no file has one.
fn deletion_vectors(group: &Group) -> Result<Option<DeletionVectorColumns>> {
    let Some(storage_types) = group.text("storageType")?.and_then(text_unless_null) else { return Ok(None) };
    let paths_or_inline = required(group.text("pathOrInlineDv")?, "deletionVector.pathOrInlineDv")?;
    let sizes = required(group.int("sizeInBytes")?, "deletionVector.sizeInBytes")?;
    let cardinalities = required(group.long("cardinality")?, "deletionVector.cardinality")?;
    for row in (0..storage_types.len()).filter(|row| storage_types.is_valid(*row)) {
        if paths_or_inline.is_null(row) || sizes.is_null(row) || cardinalities.is_null(row) {
            let what = "a deletion vector without path, size or cardinality";
            return Err(FormatError::corrupt_checkpoint("checkpoint", what));
        }
    }
    let offsets = group.int("offset")?.unwrap_or_else(|| Int32Array::new_null(storage_types.len()));
    Ok(Some(DeletionVectorColumns { storage_types, paths_or_inline, offsets, sizes, cardinalities }))
}

fn removes(group: &Group) -> Result<Vec<Remove>> {
    let path = group.text("path")?;
    let deletion_timestamp = group.long("deletionTimestamp")?;
    let data_change = group.boolean("dataChange")?;
    let extended = group.boolean("extendedFileMetadata")?;
    let partition_values = group.map("partitionValues")?;
    let size = group.long("size")?;
    let dv = group.group("deletionVector")?.map(|dv| deletion_vectors(&dv)).transpose()?.flatten();
    let base_row_id = group.long("baseRowId")?;
    let default_row_commit_version = group.long("defaultRowCommitVersion")?;
    (0..group.len())
        .map(|row| {
            Ok(Remove {
                path: required(text(&path, row), "remove.path")?,
                deletion_timestamp: long(&deletion_timestamp, row),
                data_change: boolean(&data_change, row).unwrap_or(false),
                extended_file_metadata: boolean(&extended, row),
                partition_values: partition_values.as_ref().filter(|v| v.is_valid(row)).map(|v| v.owned(row)),
                size: long(&size, row),
                stats: None,
                tags: None,
                deletion_vector: dv.as_ref().and_then(|dv| descriptor(dv, row)),
                base_row_id: long(&base_row_id, row),
                default_row_commit_version: long(&default_row_commit_version, row),
            })
        })
        .collect()
}

fn descriptor(dv: &DeletionVectorColumns, row: usize) -> Option<DeletionVectorDescriptor> {
    dv.storage_types.is_valid(row).then(|| DeletionVectorDescriptor {
        storage_type: dv.storage_types.value(row).to_owned(),
        path_or_inline_dv: dv.paths_or_inline.value(row).to_owned(),
        offset: dv.offsets.is_valid(row).then(|| dv.offsets.value(row)),
        size_in_bytes: dv.sizes.value(row),
        cardinality: dv.cardinalities.value(row),
    })
}

/// A map whose null values mean nothing.
fn texts_of(map: &Option<TextMap>) -> BTreeMap<String, String> {
    let Some(map) = map else { return BTreeMap::new() };
    map.entries(0).filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect()
}

fn only_one(group: &Group, what: &str) -> Result<()> {
    match group.len() {
        1 => Ok(()),
        found => Err(FormatError::corrupt_checkpoint("checkpoint", format!("{found} {what} actions, expected one"))),
    }
}

fn required<T>(value: Option<T>, what: &str) -> Result<T> {
    value.ok_or_else(|| FormatError::corrupt_checkpoint("checkpoint", format!("{what} is missing")))
}

fn text(column: &Option<StringArray>, row: usize) -> Option<String> {
    column.as_ref().filter(|c| c.is_valid(row)).map(|c| c.value(row).to_owned())
}

fn long(column: &Option<Int64Array>, row: usize) -> Option<i64> {
    column.as_ref().filter(|c| c.is_valid(row)).map(|c| c.value(row))
}

fn int(column: &Option<Int32Array>, row: usize) -> Option<i32> {
    column.as_ref().filter(|c| c.is_valid(row)).map(|c| c.value(row))
}

fn boolean(column: &Option<BooleanArray>, row: usize) -> Option<bool> {
    column.as_ref().filter(|c| c.is_valid(row)).map(|c| c.value(row))
}
