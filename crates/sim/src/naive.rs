//! A second reader of Delta tables, written to share nothing with the first: plain JSON commits from version 0 on, no
//! checkpoints, no statistics, whole files at a time.
//!
//! It reads from the archive of the [`Disk`], so it sees what vacuum and clean-up have taken away since.

pub(crate) mod vector;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};

use crate::disk::Disk;
use crate::model::Row;

/// What the naive reader found at a version.
#[derive(Debug, Clone)]
pub(crate) struct NaiveVersion {
    /// The live files by path and deletion vector.
    pub(crate) live: BTreeMap<FileKey, LiveFile>,
    /// The `commitInfo` of the commit that made the version.
    pub(crate) info: Map<String, Value>,
    /// Paths the commit added with new rows.
    pub(crate) added: Vec<FileKey>,
    /// Paths of entries that the commit took away.
    pub(crate) removed: BTreeSet<String>,
    /// Whether the commit says that it changes rows.
    pub(crate) data_change: bool,
    /// How far each application has written.
    pub(crate) progress: BTreeMap<String, i64>,
    /// The features that the protocol names.
    pub(crate) features: BTreeSet<String>,
    /// The columns.
    pub(crate) columns: BTreeSet<String>,
    /// What each domain is set to.
    pub(crate) domains: BTreeMap<String, String>,
}

/// A logical file: a path, and the deletion vector's identity or nothing.
pub(crate) type FileKey = (String, String);

/// A live file.
#[derive(Debug, Clone)]
pub(crate) struct LiveFile {
    /// The object's name below the table's root.
    pub(crate) name: String,
    /// The object of its deletion vector, where that is a file.
    pub(crate) vector_name: Option<String>,
    add: Map<String, Value>,
}

/// The naive reader of one table.
#[derive(Debug)]
pub(crate) struct NaiveReader<'a> {
    disk: &'a Disk,
    root: String,
    files: RefCell<BTreeMap<String, Rc<Vec<Row>>>>,
}

impl<'a> NaiveReader<'a> {
    /// A reader of the table below `root`, which ends in a slash.
    pub(crate) fn new(disk: &'a Disk, root: &str) -> Self {
        NaiveReader { disk, root: root.to_owned(), files: RefCell::default() }
    }

    /// The versions from 0 to the newest.
    ///
    /// # Errors
    /// What is wrong with the log, in words.
    pub(crate) fn versions(&self) -> Result<Vec<NaiveVersion>, String> {
        let mut versions: Vec<NaiveVersion> = Vec::new();
        let mut live = BTreeMap::new();
        let mut progress = BTreeMap::new();
        let (mut features, mut columns, mut domains) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        loop {
            let path = format!("{}_delta_log/{:020}.json", self.root, versions.len());
            let contents = self.disk.contents_ever(&path);
            let [bytes] = contents.as_slice() else {
                return match contents.len() {
                    0 => Ok(versions),
                    n => Err(format!("version {} was published with {n} different contents", versions.len())),
                };
            };
            let mut info = Map::new();
            let (mut removed, mut added) = (Vec::new(), Vec::new());
            let mut data_change = false;
            for line in bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
                let action: Value = serde_json::from_slice(line).map_err(|e| format!("{path}: {e}"))?;
                let Value::Object(action) = action else { return Err(format!("{path}: a line is no object")) };
                for (kind, body) in action {
                    let Value::Object(body) = body else { return Err(format!("{path}: {kind} is no object")) };
                    if kind == "add" || kind == "remove" {
                        data_change |= body.get("dataChange") == Some(&Value::Bool(true));
                    }
                    match kind.as_str() {
                        "add" => added.push((key(&body)?, body)),
                        "remove" => removed.push(key(&body)?),
                        "commitInfo" => info = body,
                        "txn" => {
                            let app = body.get("appId").and_then(Value::as_str).ok_or("txn without appId")?;
                            let version = body.get("version").and_then(Value::as_i64).ok_or("txn without version")?;
                            progress.insert(app.to_owned(), version);
                        }
                        "protocol" => features = features_of(&body),
                        "metaData" => columns = columns_of(&body)?,
                        "domainMetadata" => {
                            let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
                            let domain = text("domain").ok_or("a domain without a name")?;
                            domains.insert(domain, text("configuration").ok_or("a domain without configuration")?);
                        }
                        _ => {}
                    }
                }
            }
            let removed_paths = removed.iter().map(|(path, _): &FileKey| path.clone()).collect();
            for gone in removed {
                if live.remove(&gone).is_none() {
                    return Err(format!("{path} removes {gone:?}, which is not live"));
                }
            }
            let mut added_keys = Vec::new();
            for (file, add) in added {
                let name = vector::percent_decoded(&file.0);
                let vector_name = match add.get("deletionVector") {
                    Some(descriptor) => vector::object_name(descriptor)?,
                    None => None,
                };
                if live.keys().any(|(path, _): &FileKey| *path == file.0) {
                    return Err(format!("{path} adds {file:?}, but a file of that path is live"));
                }
                live.insert(file.clone(), LiveFile { name, vector_name, add });
                added_keys.push(file);
            }
            versions.push(NaiveVersion {
                live: live.clone(),
                info,
                added: added_keys,
                removed: removed_paths,
                data_change,
                progress: progress.clone(),
                features: features.clone(),
                columns: columns.clone(),
                domains: domains.clone(),
            });
        }
    }

    /// The rows of a version, sorted.
    ///
    /// # Errors
    /// What is wrong with a file, in words.
    pub(crate) fn rows(&self, version: &NaiveVersion) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        for file in version.live.values() {
            rows.extend(self.live_rows(file)?);
        }
        rows.sort();
        Ok(rows)
    }

    /// The rows of one live file, in their order.
    ///
    /// # Errors
    /// What is wrong with the file, in words.
    pub(crate) fn live_rows(&self, file: &LiveFile) -> Result<Vec<Row>, String> {
        let all = self.file_rows(&file.name)?;
        let gone = match file.add.get("deletionVector") {
            Some(descriptor) => vector::marked_rows(self.disk, &self.root, descriptor)?,
            None => BTreeSet::new(),
        };
        if let Some(beyond) = gone.last().filter(|last| **last >= all.len() as u64) {
            return Err(format!("{}: the deletion vector marks row {beyond} of {}", file.name, all.len()));
        }
        Ok(all.iter().enumerate().filter(|(at, _)| !gone.contains(&(*at as u64))).map(|(_, row)| row.clone()).collect())
    }

    /// Whether size, statistics and partition values in the log hold for the rows of the file. Law 4 rests on it.
    ///
    /// # Errors
    /// Which statistic is wrong, in words.
    pub(crate) fn check_statistics(&self, file: &LiveFile) -> Result<(), String> {
        let rows = self.file_rows(&file.name)?;
        let stored =
            self.disk.contents_ever(&format!("{}{}", self.root, file.name)).last().map(|bytes| bytes.len() as u64);
        if file.add.get("size").and_then(Value::as_u64) != stored {
            return Err(format!("{}: the size in the log is not that of the file, {stored:?}", file.name));
        }
        let stats: Value = match file.add.get("stats").and_then(Value::as_str) {
            Some(text) => serde_json::from_str(text).map_err(|e| format!("{}: statistics: {e}", file.name))?,
            None => return Ok(()),
        };
        let count = stats.get("numRecords").and_then(Value::as_u64);
        if count.is_some_and(|count| count != rows.len() as u64) {
            return Err(format!("{}: numRecords is {count:?}, the file has {} rows", file.name, rows.len()));
        }
        type Column = (&'static str, fn(&Row) -> i64);
        let columns: [Column; 3] = [("id", |r| r.id), ("key", |r| r.key), ("value", |r| r.value)];
        for (name, value) in columns {
            let bound = |kind: &str| stats.get(kind).and_then(|bounds| bounds.get(name)).and_then(Value::as_i64);
            let (least, most) = (bound("minValues"), bound("maxValues"));
            let outside = |row: &&Row| {
                least.is_some_and(|least| value(row) < least) || most.is_some_and(|most| value(row) > most)
            };
            if let Some(row) = rows.iter().find(outside) {
                return Err(format!("{}: {name} is {least:?} to {most:?} by the statistics, but {row:?}", file.name));
            }
        }
        let part = file.add.get("partitionValues").and_then(|values| values.get("part"));
        if let Some(part) = part.and_then(Value::as_str)
            && let Some(row) = rows.iter().find(|row| row.part() != part)
        {
            return Err(format!("{}: partition {part:?} holds {row:?}", file.name));
        }
        Ok(())
    }

    fn file_rows(&self, name: &str) -> Result<Rc<Vec<Row>>, String> {
        if let Some(rows) = self.files.borrow().get(name) {
            return Ok(rows.clone());
        }
        let contents = self.disk.contents_ever(&format!("{}{name}", self.root));
        let [bytes] = contents.as_slice() else {
            return Err(format!("data file {name} was written with {} different contents", contents.len()));
        };
        let wrong = |e: &dyn std::fmt::Display| format!("data file {name}: {e}");
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(|e| wrong(&e))?;
        let mut rows = Vec::new();
        for batch in builder.build().map_err(|e| wrong(&e))? {
            rows.extend(rows_of(&batch.map_err(|e| wrong(&e))?)?);
        }
        let rows = Rc::new(rows);
        self.files.borrow_mut().insert(name.to_owned(), rows.clone());
        Ok(rows)
    }
}

/// The rows of a batch with the columns of a [`Row`]; others are passed over.
///
/// # Errors
/// A column that is missing or of another type, in words.
pub(crate) fn rows_of(batch: &RecordBatch) -> Result<Vec<Row>, String> {
    let long = |name: &str| {
        let column = batch.column_by_name(name).ok_or_else(|| format!("no column {name}"))?;
        column.as_primitive_opt::<Int64Type>().ok_or_else(|| format!("column {name} is {}", column.data_type()))
    };
    let (id, key, value) = (long("id")?, long("key")?, long("value")?);
    let tag = batch.column_by_name("tag").ok_or("no column tag")?;
    let tag = tag.as_string_opt::<i32>().ok_or_else(|| format!("column tag is {}", tag.data_type()))?;
    if id.null_count() + key.null_count() + value.null_count() + tag.null_count() > 0 {
        return Err("a null where none was written".into());
    }
    Ok((0..batch.num_rows())
        .map(|row| Row {
            id: id.value(row),
            key: key.value(row),
            value: value.value(row),
            tag: tag.value(row).to_owned(),
        })
        .collect())
}

fn features_of(protocol: &Map<String, Value>) -> BTreeSet<String> {
    let lists = ["readerFeatures", "writerFeatures"].into_iter().filter_map(|list| protocol.get(list)?.as_array());
    lists.flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn columns_of(metadata: &Map<String, Value>) -> Result<BTreeSet<String>, String> {
    let text = metadata.get("schemaString").and_then(Value::as_str).ok_or("metaData without a schema")?;
    let schema: Value = serde_json::from_str(text).map_err(|e| format!("schema: {e}"))?;
    let fields = schema.get("fields").and_then(Value::as_array).ok_or("a schema without fields")?;
    let name = |field: &Value| field.get("name").and_then(Value::as_str).map(str::to_owned);
    Ok(fields.iter().filter_map(name).collect())
}

fn key(action: &Map<String, Value>) -> Result<FileKey, String> {
    let path = action.get("path").and_then(Value::as_str).ok_or("a file action without a path")?;
    let vector = match action.get("deletionVector") {
        Some(descriptor) => vector::identity(descriptor)?,
        None => String::new(),
    };
    Ok((path.to_owned(), vector))
}
