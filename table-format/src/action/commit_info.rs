//! Who wrote a commit and how.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Protocol section "Commit Provenance Information". All fields are optional and any other is kept in `rest`.
///
/// The protocol lets writers store any object here, so a field that is not of the type expected goes to `rest` too.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "serde_json::Map<String, Value>")]
pub struct CommitInfo {
    /// With in-commit timestamps, the commit's time in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_commit_timestamp: Option<i64>,
    /// The writer's clock, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// `WRITE`, `DELETE`, `MERGE`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// How the operation was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_parameters: Option<serde_json::Map<String, Value>>,
    /// The version the writer read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_version: Option<i64>,
    /// `Serializable`, `WriteSerializable` or `SnapshotIsolation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation_level: Option<String>,
    /// Whether the commit only adds rows and read nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_blind_append: Option<bool>,
    /// Counts of what was done, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_metrics: Option<serde_json::Map<String, Value>>,
    /// The writer's name and version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_info: Option<String>,
    /// The commit token: unique to one attempt, so that a writer recognises its own commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn_id: Option<String>,
    /// Fields of other writers.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, Value>,
}

impl From<serde_json::Map<String, Value>> for CommitInfo {
    fn from(mut fields: serde_json::Map<String, Value>) -> Self {
        let long = Value::as_i64;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let object = |value: &Value| value.as_object().cloned();
        CommitInfo {
            in_commit_timestamp: take(&mut fields, "inCommitTimestamp", long),
            timestamp: take(&mut fields, "timestamp", long),
            operation: take(&mut fields, "operation", text),
            operation_parameters: take(&mut fields, "operationParameters", object),
            read_version: take(&mut fields, "readVersion", long),
            isolation_level: take(&mut fields, "isolationLevel", text),
            is_blind_append: take(&mut fields, "isBlindAppend", Value::as_bool),
            operation_metrics: take(&mut fields, "operationMetrics", object),
            engine_info: take(&mut fields, "engineInfo", text),
            txn_id: take(&mut fields, "txnId", text),
            rest: fields,
        }
    }
}

/// Takes a field out if it is of its type. A null says no more than a missing field.
fn take<T>(
    fields: &mut serde_json::Map<String, Value>,
    name: &str,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Option<T> {
    let value = fields.get(name)?;
    let read = read(value);
    if read.is_some() || value.is_null() {
        fields.remove(name);
    }
    read
}
