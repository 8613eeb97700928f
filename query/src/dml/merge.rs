//! MERGE.
//!
//! Source and target are joined, and a row of the join gets the number of the first clause that applies to it:
//!
//! ```text
//!   source ┐
//!          ├ join ─► action = CASE clauses ─► action >= 0 ─► address, action, CASE action per column
//!   target ┘
//! ```
//!
//! The join keeps what some clause may apply to and nothing else. The source stands on its left, where a hash join builds its
//! table, so that the target is filtered by the source's keys while it is read. Both sides of a matched row are compared as
//! SQL compares: null equals nothing, and a condition that is null does not hold.

use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Int32Type, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::{Column, ScalarValue, TableReference, internal_err};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::dml::{MergeIntoAction, MergeIntoClause, MergeIntoClauseKind};
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::expr_rewriter::normalize_col;
use datafusion::logical_expr::{Expr, ExprSchemable, JoinType, LogicalPlan, LogicalPlanBuilder, lit};
use floe_table::{ChangedRows, IdentityValues, Snapshot, Table, TableError, Transaction, UpsertOptions};
use floe_table_format::{MergeMode, Operation, Predicate, StructField, StructType};
use futures::StreamExt;

use super::by_key::{ByKey, Held};
use super::touched::{Repeated, TouchedRows, addresses};
use super::update::{check_assignments, refuse_identity};
use super::{DmlReport, addressed_scan, commit, read_by, reads_elsewhere, run, shown, staging_error};
use crate::error::{QueryError, Result};
use crate::provider::FloeTableProvider;
use crate::scan_exec::{FILE_COLUMN, ROW_COLUMN};

/// Tells in a row of the join whether the source has a part in it.
const SOURCE_COLUMN: &str = "_floe_source";

/// How often a merge by key is made anew because rows of its keys changed meanwhile.
const ATTEMPTS_MAX: u32 = 50;

/// The number of the clause that applies to a row.
const ACTION_COLUMN: &str = "_floe_action";

/// Merges the rows of a source into the table.
///
/// Expressions name columns of the table qualified by `target`, and columns of the source as its plan does. The first clause
/// whose kind and condition fit a row is applied to it. Inserted rows get defaults, or null, in the columns that the clause
/// does not name.
///
/// # Errors
/// A row of the table that several rows of the source would change, unless the only clause for matched rows is an
/// unconditional DELETE; unknown columns, values that do not fit, constraints, [`TableError::Conflict`], storage. Nothing is
/// committed then.
pub async fn merge(
    state: &dyn Session,
    table: &Table,
    target: &TableReference,
    source: LogicalPlan,
    on: Expr,
    clauses: Vec<MergeIntoClause>,
) -> Result<DmlReport> {
    merge_growing(state, table, target, source, on, clauses, None).await
}

/// As [`merge`], where the table gets the columns of `new_columns` that it lacks, in the same commit.
///
/// # Errors
/// As [`merge`]; columns that the table cannot have.
pub(crate) async fn merge_growing(
    state: &dyn Session,
    table: &Table,
    target: &TableReference,
    source: LogicalPlan,
    on: Expr,
    clauses: Vec<MergeIntoClause>,
    new_columns: Option<&StructType>,
) -> Result<DmlReport> {
    let snapshot = grown(table, new_columns).await?;
    let provider = FloeTableProvider::at(snapshot.clone())?;
    let columns = provider.columns();
    check_clauses(&clauses, &columns)?;
    let written = written_columns(snapshot.schema(), &clauses)?;
    let source = match super::by_key::of(&snapshot, target, &source, &on, &clauses) {
        None => source,
        Some(keys) => match super::by_key::hold(state, source).await? {
            super::by_key::Source::Held(held) => {
                return by_key(state, table, target, (keys, held), on, clauses, new_columns).await;
            }
            super::by_key::Source::TooLarge(source) => source,
        },
    };
    let operation = Operation::new("MERGE").with_parameter("predicate", shown(Some(&on)));
    let mut transaction = table.begin_at(&snapshot, operation)?;
    transaction.identity_values(IdentityValues::KeepOrGenerate);
    let read = read_of(&on, &clauses, &snapshot, target);
    if clauses.iter().any(|clause| clause.kind.is_not_matched_by_target()) {
        // A row is inserted because none matches, or none is left: a row that goes meanwhile may have been the match.
        for file in snapshot.scan().with_predicate(read.clone()).plan()?.files {
            transaction.read_file(&file.log_path);
        }
    }
    transaction.read_predicate(read);

    let merge = Merge { target, columns: &columns, provider: &provider, clauses: &clauses };
    let plan = merge.plan(addressed_scan(&snapshot, target)?, source, on)?;
    if reads_elsewhere(&plan, table)? {
        transaction.read_whole_table();
    }
    let counts = stage_effects(state, &plan, &mut transaction, (&snapshot, &columns), written, &clauses).await?;
    if transaction.is_empty() {
        return Ok(DmlReport::default());
    }
    commit(table, transaction, counts).await
}

/// Runs the query of a merge, and writes what it gives. Says what the rows do to the table.
async fn stage_effects(
    state: &dyn Session,
    plan: &LogicalPlan,
    transaction: &mut Transaction,
    (snapshot, columns): (&Snapshot, &SchemaRef),
    written: Vec<usize>,
    clauses: &[MergeIntoClause],
) -> Result<DmlReport> {
    let tells_replaced = transaction.tells_replaced_rows()?;
    let effects = Arc::new(Mutex::new(Effects { tells_replaced, ..Effects::new(clauses) }));
    let (collector, output) = (effects.clone(), columns.clone());
    let rows = run(state, plan).await?.map(move |batch| {
        let take_in = |batch: RecordBatch| {
            let mut effects = collector.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let changed = effects.take_in(&batch, &output)?;
            Ok(ChangedRows { rows: changed.rows.project(&written)?, ..changed })
        };
        batch.map_err(QueryError::from).and_then(take_in).map_err(|e| TableError::Input(Box::new(e)))
    });
    transaction.stage_changes(rows.boxed()).await.map_err(staging_error)?;
    let effects = std::mem::take(&mut *effects.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    effects.touched.delete_from(transaction, snapshot.state());
    effects.replaced.replace_in(transaction, snapshot.state());
    Ok(effects.counts)
}

/// The newest version, with the columns that the table is to get.
async fn grown(table: &Table, new_columns: Option<&StructType>) -> Result<Arc<Snapshot>> {
    let snapshot = table.snapshot().await?;
    Ok(match new_columns {
        Some(columns) => snapshot.grown_by(columns)?,
        None => snapshot,
    })
}

/// How the rows of a merge would be found, as lines of kind and plan. Runs the source where that is by key.
///
/// # Errors
/// As [`merge`].
pub(crate) async fn explain_merge(
    state: &dyn Session,
    table: &Table,
    target: &TableReference,
    source: LogicalPlan,
    on: Expr,
    clauses: Vec<MergeIntoClause>,
) -> Result<Vec<(String, String)>> {
    let snapshot = table.snapshot().await?;
    let provider = FloeTableProvider::at(snapshot.clone())?;
    let columns = provider.columns();
    check_clauses(&clauses, &columns)?;
    written_columns(snapshot.schema(), &clauses)?;
    if let Some(keys) = super::by_key::of(&snapshot, target, &source, &on, &clauses)
        && let super::by_key::Source::Held(held) = super::by_key::hold(state, source.clone()).await?
    {
        let found = snapshot.locate_keys(&keys.keys_of(state, &held)?).await?;
        let rows: u64 = found.files.iter().map(|(_, rows)| rows.len()).sum();
        let write = match keys.overwrites {
            true => format!("{rows} rows in {} files are replaced unread", found.files.len()),
            false => format!("{rows} rows in {} files are read by their places", found.files.len()),
        };
        return Ok(vec![("look-up".into(), found.lookup.to_string()), ("merge".into(), write)]);
    }
    let merge = Merge { target, columns: &columns, provider: &provider, clauses: &clauses };
    let plan = merge.plan(addressed_scan(&snapshot, target)?, source, on)?;
    let physical = state.create_physical_plan(&plan).await?;
    let shown = datafusion::physical_plan::displayable(physical.as_ref()).indent(false).to_string();
    Ok(vec![
        ("join".into(), "source and table are joined: the condition is not that the primary keys are equal".into()),
        ("physical_plan".into(), shown),
    ])
}

/// Merges a source whose rows are at hand into a table by its primary key: the rows of the source's keys are looked up, and of
/// the table only they are read. Where they change meanwhile, the merge is made anew.
async fn by_key(
    state: &dyn Session,
    table: &Table,
    target: &TableReference,
    (keys, source): (ByKey, Held),
    on: Expr,
    clauses: Vec<MergeIntoClause>,
    new_columns: Option<&StructType>,
) -> Result<DmlReport> {
    let operation = || Operation::new("MERGE").with_parameter("predicate", shown(Some(&on)));
    if keys.overwrites && new_columns.is_none() && keys.is_declared_so(table).await? {
        let rows = source.rows_of_table(state, table, &clauses).await?;
        let options = UpsertOptions {
            merge_mode: Some(MergeMode::Overwrite),
            refuse_repeats: true,
            operation: operation(),
            // Repeats are noticed within a chunk: the source, which is held anyway, goes through in one.
            memory_limit: 8 * super::by_key::HELD_BYTES_MAX as u64,
            ..UpsertOptions::default()
        };
        let report = Box::pin(table.upsert_stream(rows, options)).await.map_err(repeated)?;
        return Ok(DmlReport {
            version: report.version,
            rows_inserted: report.rows_inserted,
            rows_updated: report.rows_updated,
            rows_deleted: report.rows_deleted,
            files_added: report.files_added,
            files_removed: report.files_removed,
        });
    }
    let mut attempts = 0;
    loop {
        let snapshot = grown(table, new_columns).await?;
        let provider = FloeTableProvider::at(snapshot.clone())?;
        let columns = provider.columns();
        let mut transaction = table.begin_at(&snapshot, operation())?;
        transaction.depends_on_rows();
        transaction.identity_values(IdentityValues::KeepOrGenerate);
        let written = written_columns(snapshot.schema(), &clauses)?;
        let found = transaction.look_up(&keys.keys_of(state, &source)?).await?;
        let merge = Merge { target, columns: &columns, provider: &provider, clauses: &clauses };
        let rows = FloeTableProvider::at(snapshot.clone())?.with_row_address()?.with_rows(found);
        let rows = LogicalPlanBuilder::scan(target.clone(), provider_as_source(Arc::new(rows)), None)?;
        let plan = merge.plan(rows, source.plan()?, on.clone())?;
        let counts = stage_effects(state, &plan, &mut transaction, (&snapshot, &columns), written, &clauses).await?;
        if transaction.is_empty() {
            return Ok(DmlReport::default());
        }
        attempts += 1;
        match commit(table, transaction, counts).await {
            Err(QueryError::Table(TableError::Conflict { .. })) if attempts < ATTEMPTS_MAX => {}
            done => return done,
        }
    }
}

/// A key that comes twice in a source is told in the words of MERGE.
fn repeated(error: TableError) -> QueryError {
    match error {
        TableError::DuplicateKey { key, in_table: false, .. } => QueryError::invalid_argument(format!(
            "several rows of the source match one row of the target ({key}), so it is not certain what becomes of it; give \
             the source one row for each key"
        )),
        other => staging_error(other),
    }
}

/// What the merge asks of the table: with clauses for rows that only the table has, everything; else the rows that the join
/// condition admits whatever the source holds.
fn read_of(on: &Expr, clauses: &[MergeIntoClause], snapshot: &Snapshot, target: &TableReference) -> Predicate {
    let own_rows = clauses.iter().any(|clause| clause.kind == MergeIntoClauseKind::NotMatchedBySource);
    match own_rows {
        true => Predicate::True,
        false => read_by(on, snapshot, target),
    }
}

/// The columns, by their places, that a merge writes: those generated from others are left to the table, unless the clauses
/// give them values.
///
/// # Errors
/// A value for an identity column whose values rows do not bring, or for a generated column in some clauses and not in others.
fn written_columns(schema: &StructType, clauses: &[MergeIntoClause]) -> Result<Vec<usize>> {
    for clause in clauses {
        match &clause.action {
            MergeIntoAction::Update(assignments) => {
                refuse_identity(schema, assignments.iter().map(|(column, _)| column.as_str()))?;
            }
            MergeIntoAction::Insert { .. } => {
                for field in schema.fields.iter().filter(|field| gives(&clause.action, field) == Some(true)) {
                    if field.identity()?.is_some_and(|identity| !identity.allow_explicit_insert) {
                        return Err(QueryError::invalid_argument(format!(
                            "INSERT cannot give column {} a value: it is GENERATED ALWAYS AS IDENTITY, leave it out",
                            field.name
                        )));
                    }
                }
            }
            MergeIntoAction::Delete => {}
        }
    }
    let mut written = Vec::with_capacity(schema.fields.len());
    for (at, field) in schema.fields.iter().enumerate() {
        if field.generation_expression().is_some() {
            let mut given = clauses.iter().filter_map(|clause| gives(&clause.action, field));
            let first = given.next().unwrap_or(false);
            if given.any(|given| given != first) {
                return Err(QueryError::unsupported(
                    format!("a MERGE that gives generated column {} a value in some clauses only", field.name),
                    "leave the column out of every clause: it is computed",
                ));
            }
            if !first {
                continue;
            }
        }
        written.push(at);
    }
    Ok(written)
}

/// Whether a clause gives a column a value; none if it leaves no row.
fn gives(action: &MergeIntoAction, field: &StructField) -> Option<bool> {
    match action {
        MergeIntoAction::Delete => None,
        MergeIntoAction::Update(assignments) => Some(assignments.iter().any(|(column, _)| *column == field.name)),
        MergeIntoAction::Insert { columns, .. } => Some(columns.is_empty() || columns.contains(&field.name)),
    }
}

fn check_clauses(clauses: &[MergeIntoClause], columns: &Schema) -> Result<()> {
    let names = || columns.fields().iter().map(|field| field.name().as_str());
    let misplaced = |action: &str, kind: &str| {
        Err(QueryError::invalid_argument(format!("WHEN {kind} cannot {action}: there is no such row")))
    };
    for clause in clauses {
        match (&clause.action, clause.kind.canonical()) {
            (MergeIntoAction::Insert { .. }, MergeIntoClauseKind::Matched) => {
                return Err(QueryError::invalid_argument("WHEN MATCHED cannot INSERT: the row is there already"));
            }
            (MergeIntoAction::Insert { .. }, MergeIntoClauseKind::NotMatchedBySource) => {
                return misplaced("INSERT", "NOT MATCHED BY SOURCE");
            }
            (MergeIntoAction::Update(_), MergeIntoClauseKind::NotMatchedByTarget) => {
                return misplaced("UPDATE", "NOT MATCHED");
            }
            (MergeIntoAction::Delete, MergeIntoClauseKind::NotMatchedByTarget) => {
                return misplaced("DELETE", "NOT MATCHED");
            }
            (MergeIntoAction::Update(assignments), _) => check_assignments(assignments, names())?,
            (MergeIntoAction::Insert { columns, values }, _) => {
                let expected = if columns.is_empty() { names().count() } else { columns.len() };
                if values.len() != expected {
                    let what = format!("INSERT names {expected} columns and gives {} values", values.len());
                    return Err(QueryError::invalid_argument(what));
                }
                let paired: Vec<(String, Expr)> = columns.iter().cloned().zip(values.iter().cloned()).collect();
                check_assignments(&paired, names())?;
            }
            (MergeIntoAction::Delete, _) => {}
        }
    }
    Ok(())
}

/// How rows of the two sides get together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sides {
    /// Some clause applies to matched rows.
    matched: bool,
    /// Some clause applies to rows that only the source has.
    source_alone: bool,
    /// Some clause applies to rows that only the table has.
    target_alone: bool,
}

impl Sides {
    fn of(clauses: &[MergeIntoClause]) -> Self {
        let any = |kind| clauses.iter().any(|clause| clause.kind.canonical() == kind);
        Sides {
            matched: any(MergeIntoClauseKind::Matched),
            source_alone: any(MergeIntoClauseKind::NotMatchedByTarget),
            target_alone: any(MergeIntoClauseKind::NotMatchedBySource),
        }
    }

    /// The join of source and target, in this order, that keeps what the clauses apply to.
    fn join_type(self) -> JoinType {
        match (self.matched, self.source_alone, self.target_alone) {
            (_, true, true) => JoinType::Full,
            (true, true, false) => JoinType::Left,
            (true, false, true) => JoinType::Right,
            (false, true, false) => JoinType::LeftAnti,
            (false, false, true) => JoinType::RightAnti,
            (_, false, false) => JoinType::Inner,
        }
    }

    fn has_source(self) -> bool {
        self.join_type() != JoinType::RightAnti
    }

    fn has_target(self) -> bool {
        self.join_type() != JoinType::LeftAnti
    }
}

struct Merge<'a> {
    target: &'a TableReference,
    columns: &'a SchemaRef,
    provider: &'a FloeTableProvider,
    clauses: &'a [MergeIntoClause],
}

impl Merge<'_> {
    /// The query that gives for each changed row its address, the clause and the new values.
    fn plan(&self, target: LogicalPlanBuilder, source: LogicalPlan, on: Expr) -> Result<LogicalPlan> {
        let sides = Sides::of(self.clauses);
        let mut marked: Vec<Expr> = source.schema().columns().into_iter().map(Expr::Column).collect();
        marked.push(lit(true).alias(SOURCE_COLUMN));
        let source = LogicalPlanBuilder::from(source).project(marked)?;
        let joined = source.join_on(target.build()?, sides.join_type(), [on])?.build()?;

        // The action is computed once and filtered on; the values are computed for the rows that remain.
        let mut with_action: Vec<Expr> = joined.schema().columns().into_iter().map(Expr::Column).collect();
        with_action.push(self.action(sides, &joined)?.alias(ACTION_COLUMN));
        let action = || Expr::Column(Column::new_unqualified(ACTION_COLUMN));
        let acting =
            LogicalPlanBuilder::from(joined).project(with_action)?.filter(action().gt_eq(lit(0i32)))?.build()?;

        let mut output = Vec::with_capacity(self.columns.fields().len() + 3);
        for column in 0..self.columns.fields().len() {
            output.push(self.new_value(column, &acting)?.alias(self.columns.field(column).name()));
        }
        match sides.has_target() {
            true => output.extend([self.target_column(FILE_COLUMN), self.target_column(ROW_COLUMN)]),
            false => output.extend([
                lit(ScalarValue::UInt64(None)).alias(FILE_COLUMN),
                lit(ScalarValue::Int64(None)).alias(ROW_COLUMN),
            ]),
        }
        output.push(action());
        Ok(LogicalPlanBuilder::from(acting).project(output)?.build()?)
    }

    fn target_column(&self, name: &str) -> Expr {
        Expr::Column(Column::new(Some(self.target.clone()), name))
    }

    /// The number of the first clause that applies; below zero if none does.
    fn action(&self, sides: Sides, joined: &LogicalPlan) -> Result<Expr> {
        let from_source = Expr::Column(Column::new_unqualified(SOURCE_COLUMN));
        let from_target = self.target_column(FILE_COLUMN);
        let mut branches = Vec::with_capacity(self.clauses.len());
        for (index, clause) in self.clauses.iter().enumerate() {
            let mut condition = match clause.kind.canonical() {
                MergeIntoClauseKind::NotMatchedBySource if sides.has_source() => from_source.clone().is_null(),
                MergeIntoClauseKind::NotMatchedByTarget if sides.has_target() => from_target.clone().is_null(),
                MergeIntoClauseKind::Matched => {
                    from_source.clone().is_not_null().and(from_target.clone().is_not_null())
                }
                _ => lit(true),
            };
            if let Some(predicate) = &clause.predicate {
                condition = condition.and(normalize_col(predicate.clone(), joined)?);
            }
            branches.push((Box::new(condition), Box::new(lit(index as i32))));
        }
        if branches.is_empty() {
            return Ok(lit(-1i32));
        }
        Ok(Expr::Case(Case::new(None, branches, Some(Box::new(lit(-1i32))))))
    }

    /// The value of a column after the clause that applies.
    fn new_value(&self, column: usize, acting: &LogicalPlan) -> Result<Expr> {
        let data_type = self.columns.field(column).data_type();
        let mut branches: Vec<(usize, Expr)> = Vec::new();
        for (index, clause) in self.clauses.iter().enumerate() {
            if let Some(value) = self.value_by(clause, column)? {
                let value = normalize_col(value, acting)?.cast_to(data_type, acting.schema())?;
                branches.push((index, value));
            }
        }
        // One column for every clause needs no choice; it is harmless even where a row is deleted and has no new value.
        if let Some((_, first @ Expr::Column(_))) = branches.first()
            && branches.iter().all(|(_, value)| value == first)
        {
            return Ok(first.clone());
        }
        if branches.is_empty() {
            return Ok(lit(ScalarValue::try_from(data_type)?));
        }
        let action = Expr::Column(Column::new_unqualified(ACTION_COLUMN));
        let branches =
            branches.into_iter().map(|(index, value)| (Box::new(lit(index as i32)), Box::new(value))).collect();
        Ok(Expr::Case(Case::new(Some(Box::new(action)), branches, None)))
    }

    /// The value that a clause gives a column; none if it leaves no row.
    fn value_by(&self, clause: &MergeIntoClause, column: usize) -> Result<Option<Expr>> {
        let field = self.columns.field(column);
        Ok(match &clause.action {
            MergeIntoAction::Delete => None,
            MergeIntoAction::Update(assignments) => {
                let assigned =
                    assignments.iter().find(|(name, _)| name == field.name()).map(|(_, value)| value.clone());
                Some(assigned.unwrap_or_else(|| self.target_column(field.name())))
            }
            MergeIntoAction::Insert { columns, values } => {
                let position = match columns.is_empty() {
                    true => Some(column),
                    false => columns.iter().position(|name| name == field.name()),
                };
                let given = position.and_then(|position| values.get(position)).cloned();
                let default = || self.default_of(field.name(), field.data_type());
                Some(match given {
                    Some(value) => value,
                    None => default()?,
                })
            }
        })
    }

    fn default_of(&self, name: &str, data_type: &DataType) -> Result<Expr> {
        use datafusion::catalog::TableProvider;
        match self.provider.get_column_default(name) {
            Some(default) => Ok(default.clone()),
            None => Ok(lit(ScalarValue::try_from(data_type)?)),
        }
    }
}

/// What the rows of the query do to the table.
#[derive(Debug, Default)]
struct Effects {
    touched: TouchedRows,
    /// Those of them that get new values.
    replaced: TouchedRows,
    /// Whether anybody asks which those are.
    tells_replaced: bool,
    counts: DmlReport,
    actions: Vec<Act>,
    /// Whether a row of the table may be matched several times.
    repeats_allowed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Insert,
    Update,
    Delete,
}

impl Effects {
    fn new(clauses: &[MergeIntoClause]) -> Self {
        let actions = clauses
            .iter()
            .map(|clause| match clause.action {
                MergeIntoAction::Insert { .. } => Act::Insert,
                MergeIntoAction::Update(_) => Act::Update,
                MergeIntoAction::Delete => Act::Delete,
            })
            .collect();
        let mut matched = clauses.iter().filter(|clause| clause.kind == MergeIntoClauseKind::Matched);
        // Deleted twice is deleted.
        let repeats_allowed = matched
            .next()
            .is_some_and(|clause| clause.predicate.is_none() && matches!(clause.action, MergeIntoAction::Delete))
            && matched.next().is_none();
        Effects { actions, repeats_allowed, ..Effects::default() }
    }

    /// Takes a batch of the query in, and gives the rows to write.
    fn take_in(&mut self, batch: &RecordBatch, columns: &SchemaRef) -> Result<ChangedRows> {
        let width = columns.fields().len();
        let Some(actions) = batch.column(width + 2).as_primitive_opt::<Int32Type>() else {
            return Ok(internal_err!("the actions of a merge are of type {}", batch.column(width + 2).data_type())?);
        };
        let act = |action: &i32| usize::try_from(*action).ok().and_then(|index| self.actions.get(index).copied());
        let mut counted = DmlReport::default();
        let mut written = Vec::with_capacity(batch.num_rows());
        for action in actions.values() {
            let act = act(action);
            match act {
                Some(Act::Insert) => counted.rows_inserted += 1,
                Some(Act::Update) => counted.rows_updated += 1,
                Some(Act::Delete) | None => {}
            }
            written.push(matches!(act, Some(Act::Insert | Act::Update)));
        }
        let before = self.touched.rows();
        let repeated = self.touched.add(batch, width, width + 1)?;
        if let Some(Repeated { row, .. }) = repeated.filter(|_| !self.repeats_allowed) {
            return Err(QueryError::invalid_argument(format!(
                "several rows of the source match one row of the target (position {row} of its file), so it is not certain \
                 what becomes of it; give the source one row for each key"
            )));
        }
        self.counts.rows_inserted += counted.rows_inserted;
        self.counts.rows_updated += counted.rows_updated;
        self.counts.rows_deleted += self.touched.rows() - before - counted.rows_updated;

        if self.tells_replaced {
            let updates: BooleanArray =
                actions.values().iter().map(|action| Some(act(action) == Some(Act::Update))).collect();
            self.replaced.add(&filter_record_batch(batch, &updates)?, width, width + 1)?;
        }
        let batch = match written.iter().all(|written| *written) {
            true => batch.clone(),
            false => filter_record_batch(batch, &BooleanArray::from(written))?,
        };
        // What is inserted has no address.
        let replaces = if self.tells_replaced { addresses(&batch, width, width + 1)? } else { Vec::new() };
        Ok(ChangedRows { rows: batch.project(&(0..width).collect::<Vec<_>>())?, replaces })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clause(kind: MergeIntoClauseKind, action: MergeIntoAction) -> MergeIntoClause {
        MergeIntoClause { kind, predicate: None, action }
    }

    #[test]
    fn the_join_keeps_what_clauses_apply_to() {
        let matched = clause(MergeIntoClauseKind::Matched, MergeIntoAction::Delete);
        let insert = clause(
            MergeIntoClauseKind::NotMatched,
            MergeIntoAction::Insert { columns: Vec::new(), values: Vec::new() },
        );
        let own = clause(MergeIntoClauseKind::NotMatchedBySource, MergeIntoAction::Delete);
        let join = |clauses: &[&MergeIntoClause]| {
            Sides::of(&clauses.iter().map(|c| (*c).clone()).collect::<Vec<_>>()).join_type()
        };
        assert_eq!(join(&[&matched]), JoinType::Inner);
        assert_eq!(join(&[&insert]), JoinType::LeftAnti);
        assert_eq!(join(&[&own]), JoinType::RightAnti);
        assert_eq!(join(&[&matched, &insert]), JoinType::Left);
        assert_eq!(join(&[&matched, &own]), JoinType::Right);
        assert_eq!(join(&[&insert, &own]), JoinType::Full);
        assert_eq!(join(&[&matched, &insert, &own]), JoinType::Full);
    }

    #[test]
    fn only_a_lone_unconditional_delete_may_match_a_row_twice() {
        let delete = clause(MergeIntoClauseKind::Matched, MergeIntoAction::Delete);
        let update = clause(MergeIntoClauseKind::Matched, MergeIntoAction::Update(Vec::new()));
        let conditional = MergeIntoClause { predicate: Some(lit(true)), ..delete.clone() };
        assert!(Effects::new(std::slice::from_ref(&delete)).repeats_allowed);
        assert!(!Effects::new(&[conditional]).repeats_allowed);
        assert!(!Effects::new(&[delete.clone(), update.clone()]).repeats_allowed);
        assert!(!Effects::new(&[update]).repeats_allowed);
    }
}
