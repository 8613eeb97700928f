//! Which files to rewrite together.
//!
//! Law 5 binds what carries this plan out: compaction keeps the multiset of rows.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::error::{FormatError, Result, printable};
use crate::predicate::Predicate;
use crate::prune::{ColumnNames, prune};
use crate::scalar::Scalar;
use crate::schema::PrimitiveType;
use crate::state::{FileId, FileView, TableState};

/// When a file is worth rewriting.
#[derive(Debug, Clone, PartialEq)]
pub struct CompactionPolicy {
    /// Bytes to aim at for a file. Smaller files are candidates.
    pub target_size: u64,
    /// How many files a group must have to be worth it; a group with rows to purge may have fewer.
    pub min_files: usize,
    /// Only files of partitions that may match. Names partition columns only.
    pub predicate: Option<Predicate>,
    /// A file of which more than this share is deleted is a candidate whatever its size; none to leave such files alone.
    pub purge_deleted_fraction: Option<f64>,
    /// Rewrites every file, whatever its size: to order all rows anew.
    pub rewrite_all: bool,
}

impl Default for CompactionPolicy {
    /// Groups of at least two files up to 128 MiB, and files with more than 5 % of their rows deleted.
    fn default() -> Self {
        CompactionPolicy {
            target_size: 128 << 20,
            min_files: 2,
            predicate: None,
            purge_deleted_fraction: Some(0.05),
            rewrite_all: false,
        }
    }
}

/// Files of one partition to rewrite into one file, or a few.
#[derive(Debug, Clone, PartialEq)]
pub struct CompactionGroup {
    /// The partition's values by physical name, as in the log.
    pub partition: BTreeMap<String, Option<String>>,
    /// The files, in the order in which their rows should go on.
    pub files: Vec<FileId>,
    /// Bytes of the files, less the share of deleted rows.
    pub bytes: u64,
}

/// The groups of files to rewrite, in an order that depends on nothing but the table.
///
/// # Errors
/// [`FormatError::InvalidChange`] if the predicate names a column that is not a partition column or a file of unknown
/// content would have to be left out for it.
pub fn plan_compaction(state: &TableState, policy: &CompactionPolicy) -> Result<Vec<CompactionGroup>> {
    let columns = partition_columns(state);
    let files = match &policy.predicate {
        None => state.files.iter().map(|file| file.id()).collect(),
        Some(predicate) => {
            check_partition_predicate(state, predicate)?;
            prune(state, predicate)?
        }
    };
    let mut partitions: BTreeMap<Vec<Option<String>>, Vec<Candidate<'_>>> = BTreeMap::new();
    for id in files {
        let candidate = Candidate::of(state.files.get(&id), policy);
        if candidate.wanted {
            partitions.entry(partition_key(&candidate.view, &columns)).or_default().push(candidate);
        }
    }
    let mut groups = Vec::new();
    for mut candidates in partitions.into_values() {
        // By size, so that many small files meet before a large one fills the group; then by path, for a fixed order.
        candidates.sort_by(|a, b| (a.bytes, a.view.path()).cmp(&(b.bytes, b.view.path())));
        let mut group: Vec<Candidate<'_>> = Vec::new();
        for candidate in candidates {
            let bytes: u64 = group.iter().map(|c| c.bytes).sum();
            if !group.is_empty() && bytes.saturating_add(candidate.bytes) > policy.target_size {
                groups.extend(finish(std::mem::take(&mut group), &columns, policy));
            }
            group.push(candidate);
        }
        groups.extend(finish(group, &columns, policy));
    }
    Ok(groups)
}

/// How many files of about one size make upkeep join them.
pub const UPKEEP_FILES: usize = 16;

/// A file of which more than this share is deleted is rewritten by upkeep.
const UPKEEP_DELETED_FRACTION: f64 = 1.0 / 3.0;

/// The groups that upkeep rewrites after a commit: few, so that its cost stays in proportion to the commits before it.
///
/// Files below an eighth of the target size are put into classes by size, each sixteen times as large as the one before, and a
/// class of a partition is joined when it has sixteen files: so every row is rewritten once a class at most. Files of which a third is deleted
/// are rewritten alone: a row is rewritten for every two that went. Files that were clustered are joined by who clusters.
pub fn plan_upkeep(state: &TableState) -> Vec<CompactionGroup> {
    const SMALLEST_CLASS: u64 = 64 << 10;
    let target = state.properties.target_file_size;
    let columns = partition_columns(state);
    let policy =
        CompactionPolicy { purge_deleted_fraction: Some(UPKEEP_DELETED_FRACTION), ..CompactionPolicy::default() };
    let mut classes: BTreeMap<(Vec<Option<String>>, u32), Vec<Candidate<'_>>> = BTreeMap::new();
    let mut groups = Vec::new();
    for view in state.files.iter() {
        let candidate = Candidate::of(view, &policy);
        let size = u64::try_from(view.size()).unwrap_or(0);
        if candidate.purged {
            groups.extend(finish(vec![candidate], &columns, &policy));
        } else if size < target / 8 && candidate.view.to_add().clustering_provider.is_none() {
            let class = (size.max(SMALLEST_CLASS) / SMALLEST_CLASS).ilog2() / 4;
            classes.entry((partition_key(&candidate.view, &columns), class)).or_default().push(candidate);
        }
    }
    for mut class in classes.into_values().filter(|class| class.len() >= UPKEEP_FILES) {
        class.sort_by(|a, b| {
            (a.view.modification_time(), a.view.path()).cmp(&(b.view.modification_time(), b.view.path()))
        });
        groups.extend(finish(class, &columns, &policy));
    }
    groups
}

struct Candidate<'a> {
    view: FileView<'a>,
    /// Bytes of the rows that are left.
    bytes: u64,
    purged: bool,
    wanted: bool,
}

impl<'a> Candidate<'a> {
    fn of(view: FileView<'a>, policy: &CompactionPolicy) -> Self {
        let size = u64::try_from(view.size()).unwrap_or(0);
        let deleted = match view.num_records() {
            Some(records) if records > 0 => view.deleted_rows() as f64 / records as f64,
            _ => 0.0,
        };
        let bytes = (size as f64 * (1.0 - deleted.clamp(0.0, 1.0))) as u64;
        let purged = policy.purge_deleted_fraction.is_some_and(|most| deleted > most);
        let wanted = policy.rewrite_all || purged || size < policy.target_size;
        Candidate { view, bytes, purged, wanted }
    }
}

fn finish(
    group: Vec<Candidate<'_>>,
    columns: &[(String, PrimitiveType)],
    policy: &CompactionPolicy,
) -> Option<CompactionGroup> {
    let first = group.first()?;
    let worth_it = policy.rewrite_all || group.len() >= policy.min_files.max(1) || group.iter().any(|c| c.purged);
    if !worth_it || (group.len() == 1 && !policy.rewrite_all && !first.purged) {
        return None;
    }
    let value = |name: &String| first.view.partition_value(name).map(str::to_owned);
    Some(CompactionGroup {
        partition: columns.iter().map(|(name, _)| (name.clone(), value(name))).collect(),
        files: group.iter().map(|c| c.view.id()).collect(),
        bytes: group.iter().map(|c| c.bytes).sum(),
    })
}

/// Physical names and types of the partition columns.
fn partition_columns(state: &TableState) -> Vec<(String, PrimitiveType)> {
    let names = ColumnNames::of(state);
    names
        .partition_columns
        .iter()
        .map(|column| {
            let field = names.schema.field(column);
            let physical = field.map_or(column.as_str(), |f| f.physical_name_in(names.mode)).to_owned();
            // A column that is not in the schema, or not primitive, groups by its text.
            (physical, field.and_then(|f| f.data_type.as_primitive()).unwrap_or(PrimitiveType::String))
        })
        .collect()
}

/// Equal for files whose partition values are equal, however their writers spelled them.
fn partition_key(view: &FileView<'_>, columns: &[(String, PrimitiveType)]) -> Vec<Option<String>> {
    columns
        .iter()
        .map(|(name, data_type)| {
            let text = view.partition_value(name);
            match Scalar::from_partition_value(text, data_type) {
                Ok(value) => value.to_partition_value(data_type),
                Err(_) => text.map(str::to_owned),
            }
        })
        .collect()
}

fn check_partition_predicate(state: &TableState, predicate: &Predicate) -> Result<()> {
    for column in predicate.columns() {
        let known = match column.as_slice() {
            [name] => state.schema.field(name).is_some_and(|f| state.metadata.partition_columns.contains(&f.name)),
            _ => false,
        };
        if !known {
            let column = printable(&column.join("."));
            let what = format!("files are chosen by partition; {column} is not a partition column");
            return Err(FormatError::invalid_change(what));
        }
    }
    Ok(())
}
