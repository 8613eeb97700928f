//! Dropping a feature that others must know to read or write the table.
//!
//! What the table has of the feature goes first: properties, deletion vectors, physical names. A feature of writers then
//! leaves the protocol. One of readers is still in the history, which readers without it cannot replay, so that one of two
//! things happens, as in Delta 4:
//!
//! - checkpoints are written, behind which such readers need not look, and `checkpointProtection` keeps them in place;
//! - with `TRUNCATE HISTORY` the history goes, once it has been free of the feature for a day.

use std::sync::Arc;

use floe_table_format::clustering::CLUSTERING_DOMAIN;
use floe_table_format::feature::{Feature, dependents, enable, has_feature, required_for, without};
use floe_table_format::iceberg::{ENABLE_V1, ENABLE_V2};
use floe_table_format::path::LogFile;
use floe_table_format::plan::compact::CompactionGroup;
use floe_table_format::property::name;
use floe_table_format::schema::ColumnMappingMode;
use floe_table_format::{
    Action, DomainMetadata, Dropped, IsolationLevel, Metadata, Operation, StructType, TableState, Version, VersionSpec,
};

use super::AlterReport;
use crate::checkpoint::{clean_up_beyond, write_checkpoint};
use crate::error::{OnTable, Result};
use crate::load;
use crate::optimize::OptimizeOptions;
use crate::scan::moving_rows_of;
use crate::snapshot::Snapshot;
use crate::stage::InOrder;
use crate::table::Table;

/// How often what a feature left is looked for again: other writers may bring more of it until they see that it is off.
const PASSES_MAX: u32 = 10;
/// Checkpoints before the commit that drops a feature: as many as Spark writes.
const BARRIERS: u32 = 3;
/// The domain of row ids.
const ROW_TRACKING_DOMAIN: &str = "delta.rowTracking";
/// The features that can be dropped.
const DROPPABLE: &str = "deletionVectors, columnMapping, typeWidening, v2Checkpoint, vacuumProtocolCheck, checkConstraints, \
                         inCommitTimestamp, rowTracking, domainMetadata, clustering, appendOnly, invariants, changeDataFeed, \
                         generatedColumns, identityColumns, allowColumnDefaults, icebergCompatV1, icebergCompatV2 and \
                         checkpointProtection";

impl Table {
    /// Drops a feature from the protocol, so that readers and writers need not know it any more.
    ///
    /// `truncate_history` cuts off the history that still uses it, where it is older than a day
    /// (`delta.dropFeatureTruncateHistory.retentionDuration`); without, a feature of readers leaves `checkpointProtection`
    /// behind.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] for a feature that the table does not have, that others need, that is in use in a
    /// way only the user can end, or that cannot be dropped; and where the history that is to go is too young. What was done
    /// by then stands: the table no longer uses the feature.
    pub async fn drop_feature(&self, feature: &str, truncate_history: bool) -> Result<AlterReport> {
        let dropping =
            Dropping { table: self, feature: Feature::from_name(feature), doing: format!("drop feature {feature}") };
        dropping.check(truncate_history).await?;
        dropping.end_use().await?;
        match (&dropping.feature, truncate_history) {
            (Feature::CheckpointProtection, _) => {
                dropping.cut_off_protected().await?;
                dropping.commit(false, true).await
            }
            (feature, true) if is_in_history(feature) => {
                dropping.cut_off_history().await?;
                dropping.commit(false, true).await
            }
            (feature, false) if is_in_history(feature) => {
                for _ in 0..BARRIERS {
                    let snapshot = self.snapshot().await?;
                    let transaction = self.begin_at(&snapshot, Operation::new("Empty Commit"))?;
                    let _ = transaction.commit().await?.committed()?;
                    write_checkpoint(self, self.snapshot().await?.state()).await?;
                }
                let report = dropping.commit(true, false).await?;
                write_checkpoint(self, self.snapshot().await?.state()).await?;
                Ok(report)
            }
            _ => dropping.commit(false, truncate_history).await,
        }
    }
}

/// Whether readers must know the feature to replay a history that has used it.
fn is_in_history(feature: &Feature) -> bool {
    matches!(
        feature,
        Feature::DeletionVectors
            | Feature::ColumnMapping
            | Feature::TypeWidening
            | Feature::V2Checkpoint
            | Feature::VacuumProtocolCheck
    )
}

/// What ends the use of a feature by columns.
fn instead_of_use(feature: &Feature) -> &'static str {
    match feature {
        Feature::Invariants => "ALTER COLUMN ... DROP NOT NULL first",
        Feature::AllowColumnDefaults => "ALTER COLUMN ... DROP DEFAULT first",
        _ => "drop the columns first, or CREATE TABLE ... AS SELECT makes a table without",
    }
}

struct Dropping<'a> {
    table: &'a Table,
    feature: Feature,
    doing: String,
}

impl Dropping<'_> {
    fn refuse<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(self.table.refuse(&self.doing, what))
    }

    /// Refuses what cannot be dropped, before anything is done.
    async fn check(&self, truncate_history: bool) -> Result<()> {
        let snapshot = self.table.snapshot().await?;
        let (state, feature) = (snapshot.state(), &self.feature);
        if !has_feature(&state.protocol, feature) {
            return self.refuse("the table does not have it; DESCRIBE DETAIL lists those it has");
        }
        let droppable = is_in_history(feature)
            || matches!(
                feature,
                Feature::CheckConstraints
                    | Feature::InCommitTimestamp
                    | Feature::RowTracking
                    | Feature::DomainMetadata
                    | Feature::Clustering
                    | Feature::AppendOnly
                    | Feature::Invariants
                    | Feature::ChangeDataFeed
                    | Feature::GeneratedColumns
                    | Feature::IdentityColumns
                    | Feature::AllowColumnDefaults
                    | Feature::IcebergCompatV1
                    | Feature::IcebergCompatV2
                    | Feature::CheckpointProtection
            );
        if !droppable {
            return self.refuse(format!("only {DROPPABLE} can be dropped"));
        }
        let needing: Vec<String> = dependents(&state.protocol, feature).iter().map(|f| f.name().to_owned()).collect();
        if !needing.is_empty() {
            return self.refuse(format!("{} needs it; drop that first", needing.join(", ")));
        }
        match feature {
            Feature::CheckConstraints if !state.properties.constraints.is_empty() => {
                let names: Vec<&str> = state.properties.constraints.iter().map(|(name, _)| name.as_str()).collect();
                self.refuse(format!("the table has constraints ({}); drop them first", names.join(", ")))
            }
            Feature::CheckpointProtection if !truncate_history => self.refuse(
                "it protects checkpoints for as long as the history before them is there; add TRUNCATE HISTORY",
            ),
            feature if truncate_history && !is_in_history(feature) && *feature != Feature::CheckpointProtection => self
                .refuse(
                    "it is a feature of writers, which no history stands in the way of; leave TRUNCATE HISTORY out",
                ),
            Feature::ColumnMapping if state.domains.values().any(|domain| domain.domain == CLUSTERING_DOMAIN) => {
                self.refuse("the table is clustered by physical names, which would be others")
            }
            Feature::ColumnMapping => state.schema.check_names(ColumnMappingMode::None).on(self.table.uri()),
            Feature::Invariants if state.schema.any_field(|field| !field.nullable) => {
                self.refuse(format!("columns use it; {}", instead_of_use(feature)))
            }
            Feature::Invariants
            | Feature::GeneratedColumns
            | Feature::IdentityColumns
            | Feature::AllowColumnDefaults => {
                let mut metadata = state.metadata.clone();
                self.forget(&mut metadata);
                match required_for(&metadata, &state.schema).on(self.table.uri())?.contains(feature) {
                    true => self.refuse(format!("columns use it; {}", instead_of_use(feature))),
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Takes what the table has of the feature out of its newest version.
    async fn end_use(&self) -> Result<()> {
        let table = self.table;
        match self.feature {
            Feature::DeletionVectors => {
                table.unset_properties(vec![name::ENABLE_DELETION_VECTORS.into()], true).await?;
                for _ in 0..PASSES_MAX {
                    let snapshot = table.snapshot().await?;
                    let groups = groups_with_vectors(snapshot.state());
                    if groups.is_empty() {
                        return Ok(());
                    }
                    table.rewrite(&snapshot, groups, &OptimizeOptions::default()).await?;
                }
                self.refuse(
                    "other writers keep changing the files with deletion vectors; try again when fewer are active",
                )
            }
            Feature::ColumnMapping => table.remove_column_mapping().await,
            Feature::TypeWidening => table.remove_type_changes().await,
            Feature::V2Checkpoint if table.snapshot().await?.state().properties.wants_v2_checkpoints() => {
                let classic = [(name::CHECKPOINT_POLICY.to_owned(), "classic".to_owned())];
                table.set_properties(classic.into()).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Takes the feature out of the protocol.
    async fn commit(&self, in_history: bool, truncate_history: bool) -> Result<AlterReport> {
        let table = self.table;
        let snapshot = table.snapshot().await?;
        let state = snapshot.state();
        let operation = Operation::new("DROP FEATURE")
            .with_parameter("featureName", self.feature.name())
            .with_parameter("truncateHistory", truncate_history.to_string());
        let mut transaction = table.begin_at(&snapshot, operation)?;
        // What others add meanwhile may use the feature again.
        transaction.read_whole_table();
        transaction.set_isolation(IsolationLevel::Serializable);
        let mut protocol = without(&state.protocol, &self.feature);
        if in_history {
            protocol = enable(&protocol, &[Feature::CheckpointProtection]);
        }
        transaction.set_protocol(protocol);
        transaction.set_dropped(Dropped { feature: self.feature.clone(), in_history });
        let mut metadata = state.metadata.clone();
        self.forget(&mut metadata);
        transaction.set_metadata(metadata);
        let removed = |domain: &DomainMetadata| DomainMetadata { removed: true, ..domain.clone() };
        match self.feature {
            Feature::RowTracking => {
                if let Some(domain) = state.domains.get(ROW_TRACKING_DOMAIN) {
                    transaction.set_domain(removed(domain));
                }
                for view in state.files.iter().filter(|view| view.base_row_id().is_some()) {
                    let mut add = view.to_add();
                    (add.data_change, add.base_row_id, add.default_row_commit_version) = (false, None, None);
                    transaction.change_mut().adds.push(add);
                }
            }
            Feature::Clustering => {
                state
                    .domains
                    .get(CLUSTERING_DOMAIN)
                    .into_iter()
                    .for_each(|domain| transaction.set_domain(removed(domain)));
            }
            Feature::DomainMetadata => {
                state.domains.values().for_each(|domain| transaction.set_domain(removed(domain)));
            }
            _ => {}
        }
        let version = transaction.commit().await?.committed()?.version;
        Ok(AlterReport { version })
    }

    /// Takes the properties of the feature away.
    fn forget(&self, metadata: &mut Metadata) {
        let configuration = &mut metadata.configuration;
        configuration.retain(|key, _| {
            key.strip_prefix(name::FEATURE_PREFIX).is_none_or(|feature| Feature::from_name(feature) != self.feature)
        });
        let properties: &[&str] = match self.feature {
            Feature::InCommitTimestamp => &[
                name::ENABLE_IN_COMMIT_TIMESTAMPS,
                name::IN_COMMIT_TIMESTAMP_ENABLEMENT_VERSION,
                name::IN_COMMIT_TIMESTAMP_ENABLEMENT_TIMESTAMP,
            ],
            Feature::RowTracking => &[
                name::ENABLE_ROW_TRACKING,
                "delta.rowTrackingSuspended",
                "delta.rowTracking.materializedRowIdColumnName",
                "delta.rowTracking.materializedRowCommitVersionColumnName",
            ],
            Feature::CheckpointProtection => &[name::REQUIRE_CHECKPOINT_PROTECTION],
            Feature::AppendOnly => &[name::APPEND_ONLY],
            Feature::ChangeDataFeed => &[name::ENABLE_CHANGE_DATA_FEED],
            Feature::IcebergCompatV1 => &[ENABLE_V1],
            Feature::IcebergCompatV2 => &[ENABLE_V2],
            _ => &[],
        };
        properties.iter().for_each(|key| drop(configuration.remove(*key)));
    }

    /// Cuts off the log as far as the feature's traces reach.
    async fn cut_off_history(&self) -> Result<()> {
        let state = self.cut_off().await?;
        let Some(version) = self.last_trace(&state).await? else { return Ok(()) };
        self.refuse(format!(
            "the newest version does not use it any more, but the history up to version {version} does, and is younger than \
             {} hours (delta.dropFeatureTruncateHistory.retentionDuration); run the same again when it is older",
            state.properties.drop_feature_retention_ms / 3_600_000
        ))
    }

    /// Cuts off the log before the protected checkpoints.
    async fn cut_off_protected(&self) -> Result<()> {
        let state = self.cut_off().await?;
        let Some(protected) = state.properties.checkpoint_protection_before else { return Ok(()) };
        match self.earliest().await? {
            Some(earliest) if earliest < protected => self.refuse(format!(
                "the history before version {protected} is still there and younger than {} hours \
                 (delta.dropFeatureTruncateHistory.retentionDuration); run the same again when it is older",
                state.properties.drop_feature_retention_ms / 3_600_000
            )),
            _ => Ok(()),
        }
    }

    /// Deletes what of the log is old enough, behind a new checkpoint.
    async fn cut_off(&self) -> Result<std::sync::Arc<TableState>> {
        let state = self.table.snapshot().await?.state().clone();
        write_checkpoint(self.table, &state).await?;
        clean_up_beyond(self.table, &state, state.properties.drop_feature_retention_ms).await?;
        Ok(state)
    }

    /// The earliest version that the log can rebuild.
    async fn earliest(&self) -> Result<Option<Version>> {
        Ok(self.table.history(None).await?.last().map(|entry| entry.version))
    }

    /// The last version that uses the feature, as far as the log reaches.
    async fn last_trace(&self, newest: &TableState) -> Result<Option<Version>> {
        let Some(earliest) = self.earliest().await? else { return Ok(None) };
        let first = self.table.at(VersionSpec::Version(earliest)).await?;
        let mut last = self.is_used_by(first.state()).then_some(earliest);
        let listing = self.table.log_store().list(Version::ZERO).await.on(self.table.uri())?;
        let mut version = earliest;
        while version < newest.version {
            version = version.next().on(self.table.uri())?;
            if let Some(actions) = load::read_commit(self.table, version).await?
                && actions.iter().any(|action| self.is_trace(action))
            {
                last = Some(version);
            }
        }
        if self.feature == Feature::V2Checkpoint {
            let v2 = listing.iter().filter_map(|entry| match LogFile::parse(&entry.name) {
                LogFile::UuidCheckpoint { version, .. } => Some(version),
                _ => None,
            });
            last = v2.chain(last).max();
        }
        Ok(last)
    }

    fn is_used_by(&self, state: &TableState) -> bool {
        self.is_trace(&Action::Metadata(state.metadata.clone()))
            || self.feature == Feature::DeletionVectors
                && state.files.iter().any(|view| view.deletion_vector().is_some())
    }

    /// Whether a reader that does not know the feature would misread the action.
    fn is_trace(&self, action: &Action) -> bool {
        match (&self.feature, action) {
            (Feature::DeletionVectors, Action::Add(add)) => add.deletion_vector.is_some(),
            (Feature::DeletionVectors, Action::Remove(remove)) => remove.deletion_vector.is_some(),
            (Feature::ColumnMapping, Action::Metadata(metadata)) => {
                metadata.configuration.get(name::COLUMN_MAPPING_MODE).is_some_and(|mode| mode != "none")
            }
            (Feature::TypeWidening, Action::Metadata(metadata)) => {
                metadata.configuration.get(name::ENABLE_TYPE_WIDENING).is_some_and(|on| on.eq_ignore_ascii_case("true"))
                    || metadata.schema_string.contains("delta.typeChanges")
            }
            // Checkpoints of either name may be of this kind while the policy says so.
            (Feature::V2Checkpoint, Action::Metadata(metadata)) => metadata
                .configuration
                .get(name::CHECKPOINT_POLICY)
                .is_some_and(|policy| policy.eq_ignore_ascii_case("v2")),
            (Feature::V2Checkpoint, Action::CheckpointMetadata(_) | Action::Sidecar(_)) => true,
            _ => false,
        }
    }
}

/// The files with deletion vectors, each to be written without the rows that are gone.
fn groups_with_vectors(state: &TableState) -> Vec<CompactionGroup> {
    let marked = state.files.iter().filter(|view| view.deletion_vector().is_some());
    let group = marked.map(|view| {
        let add = view.to_add();
        CompactionGroup {
            partition: add.partition_values,
            files: vec![view.id()],
            bytes: u64::try_from(view.size()).unwrap_or(0),
        }
    });
    group.collect()
}

impl Table {
    /// Writes every file anew under the columns' own names, and takes ids and physical names away. One commit.
    async fn remove_column_mapping(&self) -> Result<()> {
        let snapshot = self.snapshot().await?;
        let state = snapshot.state();
        if state.properties.column_mapping_mode == ColumnMappingMode::None {
            return Ok(());
        }
        let schema = StructType::parse(&state.metadata.schema_string).on(self.uri())?.without_mapping();
        let mut metadata = Metadata { schema_string: schema.to_json(), ..state.metadata.clone() };
        metadata.configuration.remove(name::COLUMN_MAPPING_MODE);
        metadata.configuration.remove(name::COLUMN_MAPPING_MAX_ID);
        self.write_anew(&snapshot, "REMOVE COLUMN MAPPING", metadata).await
    }

    /// Ends the widening of types, and writes every file anew with the types that columns have now where some had others.
    async fn remove_type_changes(&self) -> Result<()> {
        self.unset_properties(vec![name::ENABLE_TYPE_WIDENING.into()], true).await?;
        let snapshot = self.snapshot().await?;
        let metadata = &snapshot.state().metadata;
        match StructType::parse(&metadata.schema_string).on(self.uri())?.without_type_changes() {
            (_, false) => Ok(()),
            (schema, true) => {
                let metadata = Metadata { schema_string: schema.to_json(), ..metadata.clone() };
                self.write_anew(&snapshot, "REORG", metadata).await
            }
        }
    }

    async fn write_anew(&self, snapshot: &Arc<Snapshot>, operation: &str, metadata: Metadata) -> Result<()> {
        let state = snapshot.state();
        let mut transaction = self.begin_at(snapshot, Operation::new(operation))?;
        transaction.read_whole_table();
        transaction.set_isolation(IsolationLevel::Serializable);
        transaction.set_metadata(metadata);
        let files = state.files.iter().map(|view| view.id()).collect();
        transaction.stage_kept_rows(moving_rows_of(self, state, files), InOrder::No).await?;
        for view in state.files.iter() {
            transaction.remove_view(&view, false);
        }
        match transaction.commit().await? {
            crate::CommitOutcome::Committed(_) => Ok(()),
            crate::CommitOutcome::Conflicted { transaction, why } => {
                let operation = transaction.operation().name.clone();
                transaction.roll_back().await;
                Err(crate::TableError::Conflict { table: self.uri().into(), operation, why })
            }
        }
    }
}
