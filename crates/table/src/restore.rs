//! Going back to an earlier version, as a new version.

use std::collections::{HashMap, HashSet};

use floe_storage::StorageError;
use floe_table_format::clustering::{CLUSTERING_DOMAIN, clustering_domain};
use floe_table_format::deletion_vector::{path_in, unique_id};
use floe_table_format::{
    Add, DomainMetadata, IsolationLevel, Operation, StructField, TableState, Version, VersionSpec, feature,
};
use futures::{FutureExt, StreamExt, TryStreamExt};

use crate::error::{OnTable, Result};
use crate::table::Table;

/// What a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreReport {
    /// The version it made; the newest one where nothing differed.
    pub version: Version,
    /// The version gone back to.
    pub restored: Version,
    /// Files that came back.
    pub files_restored: u64,
    /// Files that went.
    pub files_removed: u64,
}

impl Table {
    /// Makes a new version with the rows, columns and properties of an earlier one.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] naming the first missing file if vacuum has deleted what the version needs;
    /// `VersionNotFound` or `TimestampOutOfRange` inside [`crate::TableError::Format`].
    pub async fn restore(&self, to: VersionSpec) -> Result<RestoreReport> {
        let newest = self.snapshot().await?;
        let target = self.at(to).await?;
        let (now_state, then_state) = (newest.state(), target.state());
        let parameters = match to {
            VersionSpec::Timestamp(at) => ("timestamp", at.to_string()),
            _ => ("version", target.version().to_string()),
        };
        let operation = Operation::new("RESTORE").with_parameter(parameters.0, parameters.1);
        let mut transaction = self.begin_at(&newest, operation)?;
        transaction.read_whole_table();
        if !now_state.properties.primary_key.is_empty() || !then_state.properties.primary_key.is_empty() {
            // A row that came meanwhile may have the key of one that comes back.
            transaction.set_isolation(IsolationLevel::Serializable);
        }

        let key = |add: &Add| (add.path.clone(), add.deletion_vector.as_ref().map(unique_id));
        let mut wanted: HashMap<_, Add> =
            then_state.files.iter().map(|view| (key(&view.to_add()), view.to_add())).collect();
        let mut removed = 0;
        for view in now_state.files.iter() {
            if wanted.remove(&key(&view.to_add())).is_none() {
                transaction.remove_view(&view, true);
                removed += 1;
            }
        }
        let mut adds: Vec<Add> = wanted.into_values().collect();
        adds.sort_by(|a, b| a.path.cmp(&b.path));
        self.require_files(&adds).await?;
        let restored = adds.len() as u64;
        for add in &mut adds {
            add.data_change = true;
        }
        transaction.change_mut().adds.extend(adds);

        let mut metadata = then_state.metadata.clone();
        if then_state.schema.any_field(StructField::is_identity) {
            // What was given out since then stays given out.
            let mut schema = then_state.schema.as_ref().clone();
            schema.keep_high_water_marks(&now_state.schema).on(self.uri())?;
            if schema != *then_state.schema {
                metadata.schema_string = schema.to_json();
            }
        }
        if metadata != now_state.metadata {
            let required = feature::required_for(&then_state.metadata, &then_state.schema).on(self.uri())?;
            let protocol = feature::enable(&now_state.protocol, &required);
            if protocol != now_state.protocol {
                transaction.set_protocol(protocol);
            }
            transaction.set_metadata(metadata);
        }
        let clustering = |state: &TableState| state.domains.get(CLUSTERING_DOMAIN).cloned();
        if clustering(then_state) != clustering(now_state) {
            let gone = || DomainMetadata { removed: true, ..clustering_domain(Vec::new()) };
            transaction.set_domain(clustering(then_state).unwrap_or_else(gone));
        }
        let operation = transaction.operation_mut();
        operation.metrics.insert("numRestoredFiles".into(), restored);
        operation.metrics.insert("numRemovedFiles".into(), removed);
        operation.metrics.insert("tableSizeAfterRestore".into(), then_state.files.total_bytes());
        operation.metrics.insert("numOfFilesAfterRestore".into(), then_state.files.len() as u64);
        let version = match transaction.is_empty() {
            true => newest.version(),
            false => transaction.commit().await?.committed()?.version,
        };
        Ok(RestoreReport { version, restored: target.version(), files_restored: restored, files_removed: removed })
    }

    /// Refuses unless every file these actions name is still there.
    async fn require_files(&self, adds: &[Add]) -> Result<()> {
        let mut paths: HashSet<String> = HashSet::new();
        let root = self.root();
        for add in adds {
            paths.insert(root.decode(&add.path).on(self.uri())?);
            if let Some(vector) = &add.deletion_vector {
                paths.extend(path_in(vector, &root).on(self.uri())?);
            }
        }
        let table = self.clone();
        futures::stream::iter(paths)
            .map(move |path| {
                let table = table.clone();
                async move { table.require_file(&path).await }.boxed()
            })
            .buffer_unordered(16)
            .try_collect()
            .await
    }

    async fn require_file(&self, path: &str) -> Result<()> {
        match self.data_store().head(path).await {
            Ok(_) => Ok(()),
            Err(StorageError::NotFound { .. }) => {
                Err(self.refuse("restore the version", format!("its file {path} is gone, deleted by vacuum")))
            }
            Err(error) => Err(error).on(self.uri()),
        }
    }
}
