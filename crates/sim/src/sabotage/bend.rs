//! The tools of sabotage: log and Parquet bytes, bent.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, BooleanArray, RecordBatch, StructArray};
use arrow::compute::filter_record_batch;
use bytes::Bytes;
use floe_index::Entry;
use floe_index::run::{self, Block, Footer};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};

use crate::disk::Disk;
use crate::naive::vector;

/// The actions of a commit; none if it is not JSON lines.
pub(super) fn parse(bytes: &Bytes) -> Option<Vec<Value>> {
    bytes
        .split(|b| *b == b'\n')
        .filter(|l| !l.trim_ascii().is_empty())
        .map(|l| serde_json::from_slice(l).ok())
        .collect()
}

pub(super) fn write(actions: &[Value]) -> Bytes {
    actions.iter().map(|action| format!("{action}\n")).collect::<String>().into()
}

/// A run of the index with other entries, as sound as before to look at; none if it is no run.
pub(super) fn run_with(bytes: &Bytes, bend: impl FnOnce(&mut Vec<Entry>)) -> Option<Bytes> {
    let footer = Footer::parse(bytes).ok()?;
    let mut entries = Vec::new();
    for block in (0..footer.blocks()).map(Block) {
        entries.extend(footer.entries_of(block, bytes.get(footer.range_of(block))?).ok()?);
    }
    bend(&mut entries);
    entries.sort_unstable();
    run::encode(uuid::Uuid::from_u128(entries.len() as u128), &footer.about, &entries).ok().map(Bytes::from)
}

/// Bends every action of one kind.
pub(super) fn each(actions: &mut [Value], kind: &str, mut bend: impl FnMut(&mut Map<String, Value>)) {
    for action in actions {
        if let Some(Value::Object(fields)) = action.get_mut(kind) {
            bend(fields);
        }
    }
}

/// The objects that the actions of one kind in a commit at `log_path` name.
pub(super) fn paths_of(log_path: &str, bytes: &Bytes, kind: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for action in parse(bytes).unwrap_or_default() {
        if let Some(path) = action.get(kind).and_then(|fields| fields.get("path")).and_then(Value::as_str) {
            paths.push(object_name(log_path, path));
        }
    }
    paths
}

/// The object that a path in the log names.
fn object_name(log_path: &str, path: &str) -> String {
    let root = log_path.split("_delta_log/").next().unwrap_or_default();
    format!("{root}{}", vector::percent_decoded(path))
}

/// Makes every new deletion vector mark only the rows that the one before it did not.
pub(super) fn forget_old_vectors(disk: &Disk, log_path: &str, actions: &mut [Value]) {
    let root = log_path.split("_delta_log/").next().unwrap_or_default();
    let marked = |descriptor: &Value| vector::marked_rows(disk, root, descriptor).ok();
    let mut old = BTreeMap::new();
    each(actions, "remove", |remove| {
        if let (Some(path), Some(descriptor)) =
            (remove.get("path").and_then(Value::as_str), remove.get("deletionVector"))
            && let Some(rows) = marked(descriptor)
        {
            old.insert(path.to_owned(), rows);
        }
    });
    each(actions, "add", |add| {
        let Some(old) = add.get("path").and_then(Value::as_str).and_then(|path| old.get(path)) else { return };
        if let Some(new) = add.get("deletionVector").and_then(marked) {
            let fresh: BTreeSet<u64> = new.difference(old).copied().collect();
            add.insert("deletionVector".into(), vector::inline_descriptor(&fresh));
        }
    });
}

/// Makes the deletion vector of a file action mark one row less.
pub(super) fn lose_marked_row(disk: &Disk, log_path: &str, fields: &mut Map<String, Value>) {
    let root = log_path.split("_delta_log/").next().unwrap_or_default();
    let Some(Ok(mut rows)) = fields.get("deletionVector").map(|d| vector::marked_rows(disk, root, d)) else { return };
    rows.pop_first();
    fields.insert("deletionVector".into(), vector::inline_descriptor(&rows));
}

/// Claims that the largest key is the smallest one.
pub(super) fn narrow_statistics(add: &mut Map<String, Value>) {
    let Some(Ok(mut stats)) = add.get("stats").and_then(Value::as_str).map(serde_json::from_str::<Value>) else {
        return;
    };
    if let Some(least) = stats.pointer("/minValues/key").cloned()
        && let Some(most) = stats.pointer_mut("/maxValues/key")
    {
        *most = least;
        add.insert("stats".into(), Value::String(stats.to_string()));
    }
}

/// Writes the size into the `add` that its file really has.
pub(super) fn true_size(disk: &Disk, log_path: &str, add: &mut Map<String, Value>) {
    let Some(path) = add.get("path").and_then(Value::as_str) else { return };
    if let Some(object) = disk.get(&object_name(log_path, path)) {
        add.insert("size".into(), Value::from(object.bytes.len()));
    }
}

/// A checkpoint without every third file.
pub(super) fn without_some_adds(bytes: &Bytes) -> Option<Bytes> {
    let mut seen = 0;
    rewritten(bytes, |batch| {
        let adds = batch.column_by_name("add")?.as_any().downcast_ref::<StructArray>()?;
        let keep: BooleanArray = (0..batch.num_rows())
            .map(|row| {
                seen += u32::from(adds.is_valid(row));
                Some(adds.is_null(row) || seen % 3 != 0)
            })
            .collect();
        filter_record_batch(&batch, &keep).ok()
    })
}

/// A data file without its last row.
pub(super) fn without_last_row(bytes: &Bytes) -> Option<Bytes> {
    rewritten(bytes, |batch| Some(batch.slice(0, batch.num_rows().saturating_sub(1))))
}

fn rewritten(bytes: &Bytes, mut bend: impl FnMut(RecordBatch) -> Option<RecordBatch>) -> Option<Bytes> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).ok()?;
    let schema = builder.schema().clone();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).ok()?;
    for batch in builder.build().ok()? {
        writer.write(&bend(batch.ok()?)?).ok()?;
    }
    Some(writer.into_inner().ok()?.into())
}
