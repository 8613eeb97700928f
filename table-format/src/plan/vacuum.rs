//! Which files nobody needs any more.
//!
//! Law 8 binds this module: vacuum removes nothing that a version inside retention reaches. It deletes only what was
//! found in the listing, is referenced by nothing and is older than the horizon by the store's own time (G1, G2), and
//! only after every file of the newest version was found in the same listing under the same spelling (G3). Deleting is
//! idempotent: a plan that was carried out in part is made again from what is left (G4, G5).

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use crate::action::DeletionVectorDescriptor;
use crate::deletion_vector;
use crate::error::{FormatError, Result, printable};
use crate::path::TableRoot;
use crate::state::TableState;
use crate::version::TimestampMs;

/// A file found under the table's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Relative to the table's root, decoded.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was last written, by the store's clock.
    pub modified: TimestampMs,
}

/// What to delete.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VacuumPlan {
    /// The files, in order of their paths.
    pub files: Vec<ListedFile>,
}

/// Files inside the root that the newest version is made of, decoded paths: each must exist.
///
/// # Errors
/// [`FormatError::PathEscapesTable`] for a path in the log that leads outside the table.
pub fn required_paths(state: &TableState, root: &TableRoot) -> Result<HashSet<String>> {
    let mut paths = HashSet::with_capacity(state.files.len());
    for file in state.files.iter() {
        insert(&mut paths, root, file.path(), file.deletion_vector().as_ref())?;
    }
    Ok(paths)
}

/// Files that some version inside the retention is made of, decoded paths: the newest one's, and those removed at the
/// horizon or later.
///
/// A removal without a time counts as long ago, as the protocol says.
///
/// # Errors
/// As [`required_paths`].
pub fn referenced_paths(state: &TableState, root: &TableRoot, horizon: TimestampMs) -> Result<HashSet<String>> {
    let mut paths = required_paths(state, root)?;
    for remove in state.tombstones.live(&state.files) {
        if remove.deletion_timestamp.unwrap_or(0) >= horizon.0 {
            insert(&mut paths, root, &remove.path, remove.deletion_vector.as_ref())?;
        }
    }
    Ok(paths)
}

/// Takes in a file and its vector, as far as they are the table's own: those outside its root are not for it to delete.
fn insert(
    paths: &mut HashSet<String>,
    root: &TableRoot,
    path: &str,
    vector: Option<&DeletionVectorDescriptor>,
) -> Result<()> {
    let file = root.decode(path)?;
    let vector = vector.map(|vector| deletion_vector::path_in(vector, root)).transpose()?.flatten();
    paths.extend([Some(file), vector].into_iter().flatten().filter(|path| !TableRoot::is_outside(path)));
    Ok(())
}

/// The files to delete: in no set, older than the horizon, and not hidden.
///
/// Anything below a name that starts with `_` or `.` belongs to somebody else (the log, indexes, other engines), but for
/// change files, which only their age protects.
///
/// # Errors
/// [`FormatError::InvalidChange`] naming a required file that the listing lacks. Then the log and the store spell paths
/// differently, or the table is damaged; either way nothing may be deleted.
pub fn plan_vacuum(
    referenced: &HashSet<String>,
    required: &HashSet<String>,
    listing: Vec<ListedFile>,
    horizon: TimestampMs,
) -> Result<VacuumPlan> {
    let found: HashSet<&str> = listing.iter().map(|f| f.path.as_str()).collect();
    // The least of the missing ones, so that the message does not change from run to run.
    if let Some(missing) = required.iter().filter(|path| !found.contains(path.as_str())).min() {
        return Err(FormatError::invalid_change(format!(
            "vacuum deletes nothing: {} is part of the table but was not found in the listing of {} files; \
             either paths are spelled differently there or the file is lost",
            printable(missing),
            listing.len(),
        )));
    }
    let mut files: Vec<ListedFile> = listing
        .into_iter()
        .filter(|file| {
            file.modified < horizon
                && !referenced.contains(&file.path)
                && !required.contains(&file.path)
                && !is_hidden(&file.path)
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(VacuumPlan { files })
}

fn is_hidden(path: &str) -> bool {
    let mut parts = path.split('/').peekable();
    let mut first = true;
    while let Some(part) = parts.next() {
        let change_data = first && part == "_change_data" && parts.peek().is_some();
        if !change_data && (part.is_empty() || part.starts_with(['_', '.'])) {
            return true;
        }
        first = false;
    }
    false
}
