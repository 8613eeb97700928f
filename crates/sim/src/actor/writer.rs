//! Actors that change rows.

use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use floe_storage::{ROW_NUMBER_COLUMN, ReadOptions, deletion_vectors, read_data_file};
use floe_table::{AppendOptions, BatchStream, CommitOutcome, Snapshot, Table, TableError, Transaction, UpsertOptions};
use floe_table_format::{Operation, RowSet};
use futures::{StreamExt, TryStreamExt, stream};

use super::Actor;
use crate::executor::lock;
use crate::ledger::{OpKey, Told};
use crate::model::{Filter, Intent, Row};
use crate::naive::rows_of;
use crate::rng::SimRng;

/// More attempts than any operation needs: beyond, somebody starves.
const ATTEMPTS_MAX: u32 = 120;

/// How far an actor has come; like the offset in a queue it reads from, it survives the actor.
pub(crate) type Cursor = Arc<Mutex<i64>>;

/// An operation of an actor's script.
struct Planned {
    op: OpKey,
    intent: Intent,
    /// Whether the commit carries the actor's progress, so that the operation may be sent again after a crash.
    tracked: bool,
    /// Whether it goes through `Table::append_with`, not through a transaction.
    by_verb: bool,
}

/// Carries out its script, from where an earlier incarnation stopped.
pub(crate) async fn writer(actor: Actor, number: u32, cursor: Cursor) {
    let Some(mut table) = actor.open().await else { return };
    loop {
        let seq = *lock(&cursor);
        if seq > i64::from(actor.shared.scenario.ops) {
            return;
        }
        let planned = plan(&actor, number, seq);
        if !planned.tracked {
            // Sent at most once: after a crash nobody could tell whether it happened.
            *lock(&cursor) = seq + 1;
        }
        let mut rng = actor.rng("handles");
        for attempt in 0.. {
            if attempt == ATTEMPTS_MAX {
                actor.shared.ledger.complain(format!("{}: operation {seq} starves", actor.name));
                break;
            }
            if carry_out(&actor, &table, &planned).await {
                break;
            }
            if rng.chance(300) {
                let Some(reopened) = actor.open().await else { return };
                table = reopened;
            }
            actor.rest(500).await;
        }
        *lock(&cursor) = seq + 1;
        actor.rest_between_ops().await;
    }
}

/// The operation number `seq` of a writer: the same in every incarnation.
fn plan(actor: &Actor, number: u32, seq: i64) -> Planned {
    let scenario = &actor.shared.scenario;
    let mut rng = actor.shared.rng.fork(&format!("{} op {seq}", actor.name));
    let op = OpKey { actor: actor.name.clone(), seq };
    let first_id = i64::from(number) * 1_000_000 + seq * 1_000;
    let rows = |rng: &mut SimRng, most: u64| -> Vec<Row> {
        let tag = format!("{}/{seq}", actor.name);
        let count = rng.between(1, most) as i64;
        (0..count)
            .map(|n| Row { id: first_id + n, key: rng.below(scenario.keys) as i64, value: n, tag: tag.clone() })
            .collect()
    };
    let from = rng.below(scenario.keys) as i64;
    // Narrow filters let changes of one file stand side by side, wide ones make them meet.
    let width = if rng.chance(500) { 1 } else { 1 + rng.below(scenario.keys / 3 + 1) as i64 };
    let filter = Filter { from, to: from + width };
    let rows_max = scenario.batch_rows_max;
    let (deletes, changes) = (scenario.changes / 2, scenario.changes);
    if scenario.keyed {
        let mut rows = rows(&mut rng, rows_max);
        let mut keys = std::collections::BTreeSet::new();
        rows.retain(|row| keys.insert(row.key));
        let intent = match rng.below(100) {
            0..50 => Intent::Upsert(rows),
            50..60 => Intent::DeleteKeys(keys.into_iter().take(3).collect()),
            60..70 => Intent::Insert(rows.into_iter().take(2).collect()),
            70..80 => Intent::Delete(filter),
            80..90 => Intent::Update(filter, 1 + rng.below(9) as i64),
            90..96 => Intent::ReadThenUpdate(filter),
            _ => Intent::Overwrite(rows),
        };
        let by_verb = matches!(intent, Intent::Upsert(_) | Intent::DeleteKeys(_) | Intent::Insert(_));
        return Planned { op, intent, tracked: rng.chance(600), by_verb };
    }
    let kind = rng.below(100);
    let intent = if kind < deletes {
        Intent::Delete(filter)
    } else if kind < changes {
        Intent::Update(filter, 1 + rng.below(9) as i64)
    } else {
        match rng.below(100) {
            0..65 => Intent::Append(rows(&mut rng, rows_max)),
            65..78 => Intent::ReadThenUpdate(filter),
            78..92 => {
                let mut row = rows(&mut rng, 1).remove(0);
                // Where others that read the same keys would have seen it.
                row.key = filter.from;
                Intent::ReadThenAppend(filter, row)
            }
            _ => Intent::Overwrite(rows(&mut rng, rows_max)),
        }
    };
    let by_verb = matches!(intent, Intent::Append(_)) && rng.chance(400);
    Planned { op, intent, tracked: rng.chance(600), by_verb }
}

/// Tries the operation once. True if it is settled, for good or bad.
async fn carry_out(actor: &Actor, table: &Table, planned: &Planned) -> bool {
    let tried = match (&planned.intent, planned.by_verb) {
        (Intent::Append(rows) | Intent::Insert(rows), true) => append_by_verb(actor, table, planned, rows).await,
        (Intent::Upsert(_) | Intent::DeleteKeys(_), true) => write_by_key(actor, table, planned).await,
        _ => transact(actor, table, planned).await,
    };
    match tried {
        Ok(settled) => settled,
        Err(error) => {
            actor.meet("a write", &error);
            // Sent again only where that cannot double it: it carries its progress, or certainly did not happen.
            // A key that is taken is an answer.
            matches!(error, TableError::CommitOutcomeUnknown { .. }) && !planned.tracked
                || matches!(error, TableError::DuplicateKey { .. })
        }
    }
}

async fn append_by_verb(actor: &Actor, table: &Table, planned: &Planned, rows: &[Row]) -> Result<bool, TableError> {
    let ledger = &actor.shared.ledger;
    let attempt = ledger.begin(planned.op.clone(), planned.intent.clone(), None);
    let app_progress = planned.tracked.then(|| (planned.op.actor.clone(), planned.op.seq));
    let options = AppendOptions { app_progress, ..AppendOptions::default() };
    match table.append_with(stream_of(batch_of(rows, actor.shared.scenario.partitioned)), options).await {
        Ok(Some(report)) => ledger.told(attempt, Told::Committed(report.version.get())),
        Ok(None) => ledger.told(attempt, Told::DoneBefore),
        Err(error) => {
            ledger.told(attempt, told_of(&error));
            return Err(error);
        }
    }
    Ok(true)
}

async fn write_by_key(actor: &Actor, table: &Table, planned: &Planned) -> Result<bool, TableError> {
    let ledger = &actor.shared.ledger;
    let attempt = ledger.begin(planned.op.clone(), planned.intent.clone(), None);
    actor.note(format_args!("attempt {attempt}: {:?} {}", planned.op, shown(&planned.intent)));
    let options = UpsertOptions {
        app_progress: planned.tracked.then(|| (planned.op.actor.clone(), planned.op.seq)),
        operation: Operation::new("UPSERT").with_parameter("simAttempt", attempt),
        ..UpsertOptions::default()
    };
    let done = match &planned.intent {
        Intent::DeleteKeys(keys) => {
            let keys = RecordBatch::try_from_iter([("key", Arc::new(Int64Array::from(keys.clone())) as _)])?;
            table.delete_keys_with(vec![keys], options).await
        }
        Intent::Upsert(rows) => {
            table.upsert_stream(stream_of(batch_of(rows, actor.shared.scenario.partitioned)), options).await
        }
        other => Err(input_error(format!("{other:?} is not written by key"))),
    };
    match done {
        Ok(report) => {
            actor.note(format_args!("attempt {attempt}: {report:?}"));
            ledger.count(format!("looked up by {}", report.lookup.way()));
            match report.version {
                Some(version) => ledger.told(attempt, Told::Committed(version.get())),
                None if planned.tracked => ledger.told(attempt, Told::DoneBefore),
                None => ledger.told(attempt, Told::Refused("there is nothing to change".into())),
            }
            Ok(true)
        }
        Err(error) => {
            ledger.told(attempt, told_of(&error));
            Err(error)
        }
    }
}

async fn transact(actor: &Actor, table: &Table, planned: &Planned) -> Result<bool, TableError> {
    let ledger = &actor.shared.ledger;
    let snapshot = table.snapshot().await?;
    let attempt = ledger.begin(planned.op.clone(), planned.intent.clone(), Some(snapshot.version().get()));
    let prepared = prepare(actor, &snapshot, planned, attempt).await;
    let transaction = match prepared {
        Ok(Prepared::Ready(transaction)) => transaction,
        Ok(Prepared::DoneBefore) => {
            ledger.told(attempt, Told::DoneBefore);
            return Ok(true);
        }
        Ok(Prepared::Nothing) => {
            ledger.told(attempt, Told::Refused("there is nothing to change".into()));
            return Ok(true);
        }
        Err(error) => {
            ledger.told(attempt, Told::Refused(error.to_string()));
            return Err(error);
        }
    };
    match transaction.commit().await {
        Ok(CommitOutcome::Committed(report)) => {
            actor.note(format_args!("attempt {attempt} is version {}", report.version));
            ledger.told(attempt, Told::Committed(report.version.get()));
            Ok(true)
        }
        Ok(CommitOutcome::Conflicted { transaction, why }) => {
            actor.note(format_args!("attempt {attempt} conflicts with version {}: {}", why.version, why.rule));
            ledger.count(format!("conflict {}", why.rule));
            ledger.told(attempt, Told::Refused(why.rule.to_string()));
            transaction.roll_back().await;
            Ok(false)
        }
        Err(error) => {
            ledger.told(attempt, told_of(&error));
            Err(error)
        }
    }
}

fn told_of(error: &TableError) -> Told {
    match error {
        TableError::CommitOutcomeUnknown { .. } => Told::Unknown,
        error => Told::Refused(error.to_string()),
    }
}

/// How far an attempt came before its commit.
enum Prepared {
    Ready(Box<Transaction>),
    /// The table shows that the operation was done before.
    DoneBefore,
    /// No row matches.
    Nothing,
}

async fn prepare(
    actor: &Actor,
    snapshot: &Arc<Snapshot>,
    planned: &Planned,
    attempt: usize,
) -> Result<Prepared, TableError> {
    let table = snapshot.table();
    let partitioned = actor.shared.scenario.partitioned;
    let mut transaction =
        table.begin_at(snapshot, Operation::new(verb(&planned.intent)).with_parameter("simAttempt", attempt))?;
    if planned.tracked {
        if transaction.app_progress(&planned.op.actor).is_some_and(|done| done >= planned.op.seq) {
            return Ok(Prepared::DoneBefore);
        }
        transaction.record_app_progress(&planned.op.actor, planned.op.seq);
    }
    actor.note(format_args!(
        "attempt {attempt} on version {}: {:?} {}",
        snapshot.version(),
        planned.op,
        shown(&planned.intent)
    ));
    match &planned.intent {
        Intent::Append(rows) => drop(transaction.stage_rows(stream_of(batch_of(rows, partitioned))).await?),
        Intent::Delete(filter) => {
            transaction.read_predicate(filter.predicate());
            for found in matching(snapshot, *filter).await? {
                transaction.delete_rows(&found.log_path, RowSet::from_iter([found.position]));
            }
        }
        Intent::Update(filter, more) => {
            transaction.read_predicate(filter.predicate());
            transaction.depends_on_rows();
            let mut changed = Vec::new();
            for found in matching(snapshot, *filter).await? {
                transaction.delete_rows(&found.log_path, RowSet::from_iter([found.position]));
                changed.push(Row { value: found.row.value + more, ..found.row });
            }
            if !changed.is_empty() {
                transaction.stage_rows(stream_of(batch_of(&changed, partitioned))).await?;
            }
        }
        Intent::ReadThenUpdate(filter) => {
            transaction.depends_on_rows();
            register_read(&mut transaction, snapshot, *filter)?;
            let found = matching(snapshot, *filter).await?;
            let read: Vec<Row> = found.iter().map(|found| found.row.clone()).collect();
            if let Some(changed) = Intent::summed(&read) {
                for found in found.iter().filter(|found| found.row.id == changed.id) {
                    transaction.delete_rows(&found.log_path, RowSet::from_iter([found.position]));
                }
                transaction.stage_rows(stream_of(batch_of(&[changed], partitioned))).await?;
            }
        }
        Intent::Overwrite(rows) | Intent::Restore(rows) => {
            transaction.read_whole_table();
            let plan = snapshot.scan().plan()?;
            for file in &plan.files {
                transaction.remove_file(&file.log_path)?;
            }
            transaction.stage_rows(stream_of(batch_of(rows, partitioned))).await?;
        }
        Intent::Upsert(_) | Intent::DeleteKeys(_) | Intent::Insert(_) => {
            return Err(input_error("these are written by verbs".into()));
        }
        Intent::ReadThenAppend(filter, row) => {
            register_read(&mut transaction, snapshot, *filter)?;
            let read = scan_rows(snapshot, *filter).await?;
            let row = Intent::witness(row, read.iter());
            transaction.stage_rows(stream_of(batch_of(&[row], partitioned))).await?;
        }
    }
    Ok(if transaction.is_empty() { Prepared::Nothing } else { Prepared::Ready(Box::new(transaction)) })
}

fn verb(intent: &Intent) -> &'static str {
    match intent {
        Intent::Append(_)
        | Intent::Insert(_)
        | Intent::Overwrite(_)
        | Intent::Restore(_)
        | Intent::ReadThenAppend(..) => "WRITE",
        Intent::Delete(_) | Intent::DeleteKeys(_) => "DELETE",
        Intent::Upsert(_) => "UPSERT",
        Intent::Update(..) => "UPDATE",
        Intent::ReadThenUpdate(_) => "MERGE",
    }
}

fn shown(intent: &Intent) -> String {
    match intent {
        Intent::Append(rows) | Intent::Insert(rows) => format!("append {} rows", rows.len()),
        Intent::Upsert(rows) => format!("upsert keys {:?}", rows.iter().map(|row| row.key).collect::<Vec<_>>()),
        Intent::DeleteKeys(keys) => format!("delete keys {keys:?}"),
        Intent::Overwrite(rows) | Intent::Restore(rows) => format!("overwrite with {} rows", rows.len()),
        Intent::Delete(filter) => format!("delete {}..{}", filter.from, filter.to),
        Intent::Update(filter, more) => format!("add {more} to {}..{}", filter.from, filter.to),
        Intent::ReadThenUpdate(filter) => format!("read {}..{} and change one of it", filter.from, filter.to),
        Intent::ReadThenAppend(filter, row) => {
            format!("read {}..{} and append key {}", filter.from, filter.to, row.key)
        }
    }
}

/// The rows of a filter as a scan gives them.
pub(crate) async fn scan_rows(snapshot: &Arc<Snapshot>, filter: Filter) -> Result<Vec<Row>, TableError> {
    let scan = if filter == Filter::ALL { snapshot.scan() } else { snapshot.scan().with_predicate(filter.predicate()) };
    let batches: Vec<RecordBatch> = scan.stream().await?.try_collect().await?;
    let mut rows = Vec::new();
    for batch in &batches {
        rows.extend(rows_of(batch).map_err(input_error)?);
    }
    rows.sort();
    Ok(rows)
}

/// Registers that the rows of a filter were read, not only those that change: the predicate guards against rows that come,
/// the files against rows that go.
fn register_read(transaction: &mut Transaction, snapshot: &Arc<Snapshot>, filter: Filter) -> Result<(), TableError> {
    transaction.read_predicate(filter.predicate());
    for file in snapshot.scan().with_predicate(filter.predicate()).plan()?.files {
        transaction.read_file(&file.log_path);
    }
    Ok(())
}

/// A row and where it lies.
struct Found {
    log_path: String,
    position: u64,
    row: Row,
}

/// The rows of a filter with their places, for a change of rows.
async fn matching(snapshot: &Arc<Snapshot>, filter: Filter) -> Result<Vec<Found>, TableError> {
    let table = snapshot.table();
    let on_table = |source| TableError::Storage { table: table.uri().into(), source: Box::new(source) };
    let plan = snapshot.scan().with_predicate(filter.predicate()).plan()?;
    let schema = batch_of(&[], false).schema();
    let mut found = Vec::new();
    for file in plan.files {
        let deleted = match &file.deletion_vector {
            Some(vector) => deletion_vectors::load(table.data_store(), vector).await.map_err(on_table)?,
            None => RowSet::new(),
        };
        let options = ReadOptions::new(schema.clone()).with_size(file.size).with_deleted(&deleted).with_row_numbers();
        let batches = read_data_file(table.data_store(), &file.path, options).await.map_err(on_table)?;
        let batches: Vec<RecordBatch> = batches.try_collect().await.map_err(on_table)?;
        for batch in &batches {
            let numbers = batch.column_by_name(ROW_NUMBER_COLUMN).and_then(|c| c.as_primitive_opt::<Int64Type>());
            let numbers = numbers.ok_or_else(|| input_error("no row numbers".into()))?;
            for (at, row) in rows_of(batch).map_err(input_error)?.into_iter().enumerate() {
                if filter.matches(&row) {
                    found.push(Found { log_path: file.log_path.clone(), position: numbers.value(at) as u64, row });
                }
            }
        }
    }
    Ok(found)
}

fn input_error(what: String) -> TableError {
    TableError::Input(what.into())
}

fn stream_of(batch: RecordBatch) -> BatchStream {
    stream::iter([Ok(batch)]).boxed()
}

/// The rows as a batch of the table's columns.
pub(crate) fn batch_of(rows: &[Row], partitioned: bool) -> RecordBatch {
    let long = |value: fn(&Row) -> i64| Int64Array::from_iter_values(rows.iter().map(value));
    let mut columns: Vec<(&str, arrow::array::ArrayRef)> = vec![
        ("id", Arc::new(long(|r| r.id))),
        ("key", Arc::new(long(|r| r.key))),
        ("value", Arc::new(long(|r| r.value))),
        ("tag", Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &r.tag)))),
    ];
    if partitioned {
        columns.push(("part", Arc::new(StringArray::from_iter_values(rows.iter().map(Row::part)))));
    }
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}
