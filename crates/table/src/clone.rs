//! Making a table from a version of another one.

use std::collections::{BTreeMap, HashMap};

use floe_storage::{DataStore, StorageError};
use floe_table_format::deletion_vector::{descriptor_for_file, file_path, path_in, unique_id};
use floe_table_format::feature::{self, Feature};
use floe_table_format::path::{DataPath, TableRoot};
use floe_table_format::property::name;
use floe_table_format::{
    Add, ChangeSet, DeletionVectorDescriptor, Metadata, Operation, Protocol, ReadSet, TableProperties, Version,
};
use futures::{FutureExt, StreamExt, TryStreamExt};

use crate::create::IfExists;
use crate::error::{OnTable, Result, TableError};
use crate::snapshot::Snapshot;
use crate::table::{Table, TableBuilder};
use crate::transaction::Transaction;

/// Files copied at the same time.
const COPIES_IN_FLIGHT: usize = 8;
/// Bytes read at once of a file that is copied.
const COPY_BYTES: u64 = 8 << 20;

/// What becomes of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CloneDepth {
    /// They stay where they are, and the new table names them by their absolute paths. What either table changes from then on,
    /// the other does not see; but a vacuum of the source takes files that the clone still needs.
    Shallow,
    /// They are copied.
    #[default]
    Deep,
}

/// Settings of [`TableBuilder::clone_of`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CloneOptions {
    /// What becomes of the files.
    pub depth: CloneDepth,
    /// What to do where a table is already.
    pub if_exists: IfExists,
    /// Properties beside the source's, or in their place.
    pub properties: BTreeMap<String, String>,
}

/// What a clone did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloneReport {
    /// The version it made; the newest one where a table was kept, or was equal already.
    pub version: Version,
    /// The version of the source.
    pub source_version: Version,
    /// Files of the source.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files copied: of rows, and of deletion vectors.
    pub files_copied: u64,
}

impl TableBuilder {
    /// Makes a table with the columns, properties and rows of a version of another: a new table with a history of its own.
    ///
    /// # Errors
    /// [`TableError::AlreadyExists`] unless the options say what to do then; [`TableError::InvalidRequest`] for a shallow clone of a
    /// table in another store, or of files that the new table would not be trusted to read (see
    /// [`floe_storage::Location::with_trusted_roots`]); a feature of the source that this build cannot write; a file that is
    /// missing.
    pub async fn clone_of(self, source: &Snapshot, options: CloneOptions) -> Result<(Table, CloneReport)> {
        let table = self.handle()?;
        let report = clone(&table, source, options).await?;
        Ok((table, report))
    }
}

async fn clone(table: &Table, source: &Snapshot, options: CloneOptions) -> Result<CloneReport> {
    if table.location().uri == source.table().location().uri {
        return Err(table.refuse("clone a table", "it would be the clone of itself; RESTORE goes back to a version"));
    }
    let state = source.state();
    let existing = match table.snapshot().await {
        Ok(snapshot) => Some(snapshot),
        Err(error) if error.is_not_a_table() => None,
        Err(error) => return Err(error),
    };
    let mut report = CloneReport {
        version: Version::ZERO,
        source_version: state.version,
        files: state.files.len() as u64,
        bytes: state.files.total_bytes(),
        files_copied: 0,
    };
    if let Some(existing) = &existing {
        match options.if_exists {
            IfExists::Fail => {
                return Err(TableError::AlreadyExists { table: table.uri().into(), version: existing.version() });
            }
            IfExists::Keep => {
                report.version = existing.version();
                return Ok(report);
            }
            IfExists::Replace => {}
        }
    }
    let metadata = metadata(table, source, &options)?;
    let protocol = protocol(table, source, &metadata)?;
    let operation = Operation::new("CLONE")
        .with_parameter("source", source.table().uri())
        .with_parameter("sourceVersion", state.version.to_string())
        .with_parameter("isShallow", (options.depth == CloneDepth::Shallow).to_string());
    let mut transaction = match &existing {
        None => {
            let mut transaction = Transaction::new(table.clone(), None, ChangeSet::new(operation), ReadSet::default());
            transaction.set_protocol(protocol);
            transaction.set_metadata(metadata);
            transaction
        }
        Some(existing) => {
            let mut transaction = table.begin_at(existing, operation)?;
            transaction.read_whole_table();
            let now = existing.state();
            let features = feature::supported_by_writers(&protocol);
            let upgraded = feature::enable(&now.protocol, &features);
            if upgraded != now.protocol {
                transaction.set_protocol(upgraded);
            }
            let mut metadata = Metadata { id: now.metadata.id.clone(), ..metadata };
            keep_column_ids(table, &now.metadata, &mut metadata)?;
            transaction.set_metadata(metadata);
            transaction
        }
    };
    for domain in state.domains.values() {
        // The mark of row ids follows from the ids that the files carry.
        if domain.domain != ROW_TRACKING_DOMAIN {
            transaction.set_domain(domain.clone());
        }
    }
    let (adds, copied) = match options.depth {
        CloneDepth::Shallow => (named_in_place(table, source)?, Vec::new()),
        CloneDepth::Deep => copied(table, source).await?,
    };
    report.files_copied = copied.len() as u64;
    let outcome = commit(transaction, existing.as_deref(), adds, &report).await;
    match outcome {
        Ok(version) => {
            report.version = version;
            Ok(report)
        }
        Err(error) => {
            // Best effort: what stays is collected by vacuum.
            let _ = table.data_store().delete_many(copied).await;
            Err(error)
        }
    }
}

/// Exchanges the files of the table for these. What both have stays.
async fn commit(
    mut transaction: Transaction,
    existing: Option<&Snapshot>,
    adds: Vec<Add>,
    report: &CloneReport,
) -> Result<Version> {
    let key = |add: &Add| (add.path.clone(), add.deletion_vector.as_ref().map(unique_id));
    let mut wanted: BTreeMap<_, Add> = adds.into_iter().map(|add| (key(&add), add)).collect();
    let (mut removed, mut removed_bytes) = (0u64, 0u64);
    for view in existing.iter().flat_map(|existing| existing.state().files.iter()) {
        if wanted.remove(&key(&view.to_add())).is_none() {
            transaction.remove_view(&view, true);
            removed += 1;
            removed_bytes += u64::try_from(view.size()).unwrap_or(0);
        }
    }
    transaction.change_mut().adds.extend(wanted.into_values());
    let metrics = &mut transaction.operation_mut().metrics;
    metrics.insert("sourceNumOfFiles".into(), report.files);
    metrics.insert("sourceTableSize".into(), report.bytes);
    metrics.insert("numCopiedFiles".into(), report.files_copied);
    metrics.insert("numRemovedFiles".into(), removed);
    metrics.insert("removedFilesSize".into(), removed_bytes);
    Ok(transaction.commit().await?.committed()?.version)
}

/// The domain of row ids.
const ROW_TRACKING_DOMAIN: &str = "delta.rowTracking";

fn metadata(table: &Table, source: &Snapshot, options: &CloneOptions) -> Result<Metadata> {
    TableProperties::check_settable(&options.properties).on(table.uri())?;
    let own = &source.state().metadata;
    let mut configuration = own.configuration.clone();
    // These tell of the source's history, which the clone does not share.
    for of_history in [
        name::REQUIRE_CHECKPOINT_PROTECTION,
        name::IN_COMMIT_TIMESTAMP_ENABLEMENT_VERSION,
        name::IN_COMMIT_TIMESTAMP_ENABLEMENT_TIMESTAMP,
    ] {
        configuration.remove(of_history);
    }
    configuration.extend(options.properties.clone());
    TableProperties::parse(&configuration).on(table.uri())?;
    let metadata = Metadata {
        id: table.env().uuid().to_string(),
        created_time: Some(table.env().now().0),
        configuration,
        ..own.clone()
    };
    let mode = |metadata| feature::column_mapping_mode(metadata).on(table.uri());
    if mode(&metadata)? != mode(own)? {
        return Err(table.refuse(
            "clone a table",
            "delta.columnMapping.mode is how the source's files are laid out; alter it later",
        ));
    }
    Ok(metadata)
}

/// Ids go on where those of the table before ended: its files may still be read by time travel.
fn keep_column_ids(table: &Table, before: &Metadata, metadata: &mut Metadata) -> Result<()> {
    let last = |metadata: &Metadata| feature::column_mapping_last_id(metadata).on(table.uri());
    if metadata.configuration.contains_key(name::COLUMN_MAPPING_MAX_ID) && last(before)? > last(metadata)? {
        let last = last(before)?.to_string();
        metadata.configuration.insert(name::COLUMN_MAPPING_MAX_ID.into(), last);
    }
    Ok(())
}

/// The source's protocol with what the clone's properties need.
fn protocol(table: &Table, source: &Snapshot, metadata: &Metadata) -> Result<Protocol> {
    let state = source.state();
    feature::check_writable(&state.protocol, metadata, &state.schema).on(table.uri())?;
    let required = feature::required_for(metadata, &state.schema).on(table.uri())?;
    Ok(feature::enable(&feature::without(&state.protocol, &Feature::CheckpointProtection), &required))
}

/// The source's files under their absolute paths.
fn named_in_place(table: &Table, source: &Snapshot) -> Result<Vec<Add>> {
    let from = source.table();
    let (root, own_root) = (from.root(), table.root());
    let absolute = |path: &str, decoded: String| -> Result<String> {
        let absolute = match TableRoot::is_outside(&decoded) {
            true => path.to_owned(),
            false => TableRoot::absolute(&from.location().uri, &decoded),
        };
        let seen = own_root.decode(&absolute).map_err(|_| {
            let what = format!("its files lie in another store, at {}; a deep clone copies them", from.uri());
            table.refuse("clone a table without copying it", what)
        })?;
        match table.location().readable(&seen) {
            Ok(_) => Ok(absolute),
            Err(StorageError::Format(_)) => {
                let what = format!(
                    "readers of the clone would not trust files in {}: name that folder, or one above it, in the option \
                     floe_trusted_roots, or make a deep clone",
                    from.uri()
                );
                Err(table.refuse("clone a table without copying it", what))
            }
            Err(error) => Err(error).on(table.uri()),
        }
    };
    let mut adds = Vec::with_capacity(source.state().files.len());
    for view in source.state().files.iter() {
        let mut add = cloned(view.to_add());
        let decoded = root.decode(&add.path).on(from.uri())?;
        add.path = absolute(&add.path, decoded)?;
        if let Some(vector) = &mut add.deletion_vector
            && let Some(decoded) = path_in(vector, &root).on(from.uri())?
        {
            let path = vector.path_or_inline_dv.clone();
            vector.path_or_inline_dv = absolute(&path, decoded)?;
            vector.storage_type = "p".into();
        }
        adds.push(add);
    }
    Ok(adds)
}

/// An entry as it begins in a new table.
fn cloned(add: Add) -> Add {
    Add { data_change: true, default_row_commit_version: None, ..add }
}

/// Copies the source's files; gives the new entries, and the paths of the copies.
async fn copied(table: &Table, source: &Snapshot) -> Result<(Vec<Add>, Vec<String>)> {
    let from = source.table();
    let root = from.root();
    // By the place of a file in the source, that of its copy.
    let mut copies: HashMap<String, String> = HashMap::new();
    let mut vectors: HashMap<String, uuid::Uuid> = HashMap::new();
    let mut adds = Vec::with_capacity(source.state().files.len());
    for view in source.state().files.iter() {
        let mut add = cloned(view.to_add());
        let decoded = root.decode(&add.path).on(from.uri())?;
        let copy = copies.entry(decoded.clone()).or_insert_with(|| new_place(table, &decoded)).clone();
        add.path = DataPath::encode(&copy);
        if let Some(vector) = &mut add.deletion_vector
            && let Some(decoded) = path_in(vector, &root).on(from.uri())?
        {
            let uuid = *vectors.entry(decoded.clone()).or_insert_with(|| table.env().uuid());
            copies.insert(decoded, file_path("", uuid));
            *vector = in_own_file(vector, uuid);
        }
        adds.push(add);
    }
    let mut places: Vec<(String, String)> = copies.into_iter().collect();
    places.sort();
    let made: Vec<String> = places.iter().map(|(_, to)| to.clone()).collect();
    let outcome: Result<Vec<()>> = futures::stream::iter(places)
        .map(|(from_path, to_path)| {
            let (from, table) = (from.clone(), table.clone());
            async move { copy(from.data_store(), &from_path, table.data_store(), &to_path).await.on(from.uri()) }
                .boxed()
        })
        .buffer_unordered(COPIES_IN_FLIGHT)
        .try_collect()
        .await;
    if let Err(error) = outcome {
        let _ = table.data_store().delete_many(made).await;
        return Err(error);
    }
    Ok((adds, made))
}

fn in_own_file(vector: &DeletionVectorDescriptor, uuid: uuid::Uuid) -> DeletionVectorDescriptor {
    let named = descriptor_for_file("", uuid, 0, vector.size_in_bytes, 0);
    DeletionVectorDescriptor { offset: vector.offset, cardinality: vector.cardinality, ..named }
}

/// In the same folder under another name: one that no file of the table has.
fn new_place(table: &Table, decoded: &str) -> String {
    let folder = match decoded.rsplit_once('/') {
        // Folders outside the source's root mean nothing in the clone.
        Some((folder, _)) if !TableRoot::is_outside(decoded) => format!("{folder}/"),
        _ => String::new(),
    };
    format!("{folder}part-00000-{}-c000.parquet", table.env().uuid())
}

async fn copy(from: &DataStore, from_path: &str, to: &DataStore, to_path: &str) -> floe_storage::Result<()> {
    let size = from.head(from_path).await?.size;
    let mut upload = to.upload(to_path)?;
    let mut at = 0;
    while at < size {
        let end = size.min(at + COPY_BYTES);
        upload.push(from.get_range(from_path, at..end).await?).await?;
        at = end;
    }
    upload.finish().await.map(drop)
}
