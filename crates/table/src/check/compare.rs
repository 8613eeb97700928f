//! Whether two states of one version are the same.

use floe_table_format::error::printable;
use floe_table_format::{FileView, TableState};

/// Files that are told of.
const FILES_TOLD: usize = 3;

/// What is in one state and not in the other, a sentence each; empty if they are the same.
///
/// Left out is what a checkpoint may leave out: expired tombstones and transactions, and statistics.
pub(super) fn differences(replayed: &TableState, other: &TableState) -> Vec<String> {
    let mut found = Vec::new();
    if !same_protocol(replayed, other) {
        found.push("the protocol differs".to_owned());
    }
    let parts = [
        ("table id", replayed.metadata.id == other.metadata.id),
        ("schema", replayed.schema == other.schema),
        ("list of partition columns", replayed.metadata.partition_columns == other.metadata.partition_columns),
        ("set of properties", replayed.metadata.configuration == other.metadata.configuration),
    ];
    found.extend(parts.into_iter().filter(|(_, same)| !same).map(|(part, _)| format!("the {part} differs")));
    let expires = replayed.properties.set_transaction_retention_ms.is_some();
    for (app, txn) in replayed.txns.iter() {
        match other.txns.get(app) {
            Some(known) if known.version == txn.version => {}
            None if expires => {}
            _ => found.push(format!("the transaction of {} differs", printable(app))),
        }
    }
    let unknown = other.txns.keys().filter(|app| !replayed.txns.contains_key(*app));
    found.extend(unknown.map(|app| format!("the transaction of {} is only in one", printable(app))));
    let domains = |state: &TableState| -> Vec<(String, String)> {
        state.domains.values().map(|domain| (domain.domain.clone(), domain.configuration.clone())).collect()
    };
    if domains(replayed) != domains(other) {
        found.push("the domains differ".to_owned());
    }
    files(replayed, other, &mut found);
    found
}

fn same_protocol(a: &TableState, b: &TableState) -> bool {
    let sorted = |names: &Option<Vec<String>>| {
        let mut names = names.clone().unwrap_or_default();
        names.sort_unstable();
        names
    };
    let (a, b) = (&a.protocol, &b.protocol);
    a.min_reader_version == b.min_reader_version
        && a.min_writer_version == b.min_writer_version
        && sorted(&a.reader_features) == sorted(&b.reader_features)
        && sorted(&a.writer_features) == sorted(&b.writer_features)
}

fn files(replayed: &TableState, other: &TableState, found: &mut Vec<String>) {
    if replayed.files.len() != other.files.len() {
        found.push(format!("{} live files, and not {}", replayed.files.len(), other.files.len()));
    }
    let mut told = 0;
    let mut tell = |what: String| {
        told += 1;
        if told <= FILES_TOLD {
            found.push(what);
        }
        told <= FILES_TOLD
    };
    for file in replayed.files.iter() {
        let what = match other.files.find_logical(file.path(), file.deletion_vector().as_ref()) {
            None => format!("{} is missing", printable(file.path())),
            Some(same) if same_file(replayed, &file, &same) => continue,
            Some(_) => format!("the entry of {} differs", printable(file.path())),
        };
        if !tell(what) {
            return;
        }
    }
    for file in other.files.iter() {
        if replayed.files.find_logical(file.path(), file.deletion_vector().as_ref()).is_none()
            && !tell(format!("{} is too much", printable(file.path())))
        {
            return;
        }
    }
}

fn same_file(state: &TableState, a: &FileView<'_>, b: &FileView<'_>) -> bool {
    let mode = state.properties.column_mapping_mode;
    let same_value = |name: &String| {
        let physical = state.schema.field(name).map_or(name.as_str(), |field| field.physical_name_in(mode));
        // Protocol section "Partition Value Serialization": an empty text is a null.
        let value = |file: &FileView<'_>| file.partition_value(physical).unwrap_or_default().to_owned();
        value(a) == value(b)
    };
    a.size() == b.size()
        && a.base_row_id() == b.base_row_id()
        && a.default_row_commit_version() == b.default_row_commit_version()
        && a.deletion_vector().map(|dv| dv.cardinality) == b.deletion_vector().map(|dv| dv.cardinality)
        && state.metadata.partition_columns.iter().all(same_value)
}
