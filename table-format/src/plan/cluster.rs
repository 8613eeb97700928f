//! Which files of a clustered table to order anew.
//!
//! A run of OPTIMIZE takes the files that nobody has clustered, and with them those of earlier runs that are not much larger, and
//! writes their rows in the order of a curve through the clustering columns. What it writes carries who did it
//! (`clusteringProvider`) and, as tags, by which columns and in which run. A run that is full stays as it is: so rows are
//! written again a few times at most, however often the table is optimised.
//!
//! Protocol section "Writer Requirements for Clustered Table": files that another implementation has clustered are left to it.

use std::collections::BTreeMap;

use crate::action::Add;
use crate::state::{FileId, TableState};

#[cfg(test)]
mod tests;

/// Who clusters files, as it stands with them.
pub const PROVIDER: &str = "floe";
/// The tag that names the run a file was written by.
const RUN_TAG: &str = "FLOE_CLUSTER_RUN";
/// The tag with the columns a file is clustered by.
const COLUMNS_TAG: &str = "FLOE_CLUSTERED_BY";

/// Files of which more than this share is deleted are ordered anew with the rest.
const DELETED_FRACTION: f64 = 0.05;

/// What decides which files are ordered anew.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusteringPolicy {
    /// Bytes from which on a run is full: its files stay as they are.
    pub full_run: u64,
    /// Bytes at most that are ordered together.
    pub largest_run: u64,
    /// Takes every file, also full runs and those ordered by other columns. Files of other implementations stay.
    pub everything: bool,
}

impl Default for ClusteringPolicy {
    /// Runs are full at 2 GiB, and made of 16 GiB at most.
    fn default() -> Self {
        ClusteringPolicy { full_run: 2 << 30, largest_run: 16 << 30, everything: false }
    }
}

/// Files whose rows are ordered together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusteringGroup {
    /// The files.
    pub files: Vec<FileId>,
    /// Their bytes.
    pub bytes: u64,
}

/// Marks files that a run has written, in the order of these physical columns.
pub fn mark_clustered(adds: &mut [Add], run: &str, physical: &[Vec<String>]) {
    for add in adds {
        add.clustering_provider = Some(PROVIDER.into());
        let tags = add.tags.get_or_insert_default();
        tags.insert(RUN_TAG.into(), Some(run.into()));
        tags.insert(COLUMNS_TAG.into(), Some(serde_json::json!(physical).to_string()));
    }
}

/// The groups of files to order anew by these physical columns, in an order that depends on nothing but the table. Empty if all is
/// as it should be.
pub fn plan_clustering(
    state: &TableState,
    physical: &[Vec<String>],
    policy: &ClusteringPolicy,
) -> Vec<ClusteringGroup> {
    let columns = serde_json::json!(physical).to_string();
    let mut fresh: Vec<Candidate> = Vec::new();
    let mut runs: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
    for view in state.files.iter() {
        let add = view.to_add();
        let tag = |name: &str| add.tags.as_ref().and_then(|tags| tags.get(name).cloned().flatten());
        let size = u64::try_from(add.size).unwrap_or(0);
        let deleted = match view.num_records() {
            Some(rows) if rows > 0 => view.deleted_rows() as f64 / rows as f64,
            _ => 0.0,
        };
        let candidate = Candidate { id: view.id(), path: add.path.clone(), size, worn: deleted > DELETED_FRACTION };
        match (add.clustering_provider.as_deref(), tag(RUN_TAG)) {
            (None, _) => fresh.push(candidate),
            (Some(PROVIDER), Some(run)) if !policy.everything => {
                // Ordered by other columns: it stays until everything is asked for.
                if tag(COLUMNS_TAG).as_deref() == Some(columns.as_str()) {
                    runs.entry(run).or_default().push(candidate);
                }
            }
            (Some(PROVIDER), _) => fresh.push(candidate),
            (Some(_), _) => {}
        }
    }
    let mut chosen = fresh;
    let mut open: Vec<Vec<Candidate>> = Vec::new();
    for run in runs.into_values() {
        let full = run.iter().map(|file| file.size).sum::<u64>() >= policy.full_run;
        let (worn, whole): (Vec<_>, Vec<_>) = run.into_iter().partition(|file| file.worn);
        chosen.extend(worn);
        if !full && !whole.is_empty() {
            open.push(whole);
        }
    }
    // A run is taken along when what comes to it is a quarter of it at least, and then the run is the larger for the next. So a
    // row is written again a few times at most for every fourfold growth, and few runs are open at once.
    let bytes_of = |files: &[Candidate]| files.iter().map(|file| file.size).sum::<u64>();
    open.sort_by_key(|run| bytes_of(run));
    let mut bytes = bytes_of(&chosen);
    for run in open {
        if bytes_of(&run) <= bytes.saturating_mul(4) {
            bytes += bytes_of(&run);
            chosen.extend(run);
        }
    }
    chosen.sort_by(|a, b| a.path.cmp(&b.path));
    let mut groups: Vec<ClusteringGroup> = Vec::new();
    for file in chosen {
        match groups.last_mut() {
            Some(group) if group.bytes.saturating_add(file.size) <= policy.largest_run => {
                group.files.push(file.id);
                group.bytes += file.size;
            }
            _ => groups.push(ClusteringGroup { files: vec![file.id], bytes: file.size }),
        }
    }
    groups
}

struct Candidate {
    id: FileId,
    path: String,
    size: u64,
    /// Whether so many of its rows are deleted that it is worth writing without them.
    worn: bool,
}
