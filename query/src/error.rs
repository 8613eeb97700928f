//! Why a statement failed, and what would help.

use datafusion::error::DataFusionError;
use floe_storage::StorageError;
use floe_table::TableError;
use floe_table_format::FormatError;
use floe_table_format::error::printable;
use floe_table_format::schema::nearest;
use floe_table_format::version::VersionOutOfRange;

/// The result of a function of this crate.
pub type Result<T, E = QueryError> = std::result::Result<T, E>;

/// Why a statement failed. Nothing is committed by a statement that fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is not SQL that can be read.
    #[error("cannot read the statement: {what}")]
    Syntax {
        /// What was found, what was expected, and where.
        what: String,
    },
    /// The text is SQL, but no statement of this engine.
    #[error("unknown statement {statement}")]
    UnknownStatement {
        /// The statement's first words.
        statement: String,
    },
    /// There is no table of this name.
    #[error("unknown table {name}{}", did_you_mean(.nearest))]
    UnknownTable {
        /// As written.
        name: String,
        /// The most similar name in the same schema.
        nearest: Option<String>,
    },
    /// There is no schema of this name.
    #[error("unknown schema {name}{}", did_you_mean(.nearest))]
    UnknownSchema {
        /// As written.
        name: String,
        /// The most similar name.
        nearest: Option<String>,
    },
    /// No table of the statement has a column of this name.
    #[error("unknown column {name}{}", did_you_mean(.nearest))]
    UnknownColumn {
        /// As written.
        name: String,
        /// The most similar column.
        nearest: Option<String>,
        /// The columns there are.
        columns: Vec<String>,
    },
    /// There is a table of this name already.
    #[error("table {name} exists already")]
    TableExists {
        /// Schema and table.
        name: String,
    },
    /// There is a schema of this name already.
    #[error("schema {name} exists already")]
    SchemaExists {
        /// The schema.
        name: String,
    },
    /// A schema that is to be dropped holds tables.
    #[error("schema {name} is not empty: it holds {tables} tables")]
    SchemaNotEmpty {
        /// The schema.
        name: String,
        /// How many tables it holds.
        tables: usize,
    },
    /// A name that cannot be a table or schema.
    #[error("invalid name {name:?}: {what}")]
    InvalidName {
        /// As written, escaped for printing.
        name: String,
        /// The rule it breaks.
        what: String,
    },
    /// The session was opened for reading, and the statement writes.
    #[error("cannot run {statement}: the session is read-only")]
    ReadOnly {
        /// The statement's first words.
        statement: String,
    },
    /// The statement is understood, but not supported.
    #[error("not supported: {what}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What would work instead.
        instead: Option<String>,
    },
    /// An argument of a statement or table function cannot be used.
    #[error("invalid argument: {what}")]
    InvalidArgument {
        /// Which, and what would be acceptable.
        what: String,
    },
    /// A path holds nothing that can be read as a table.
    #[error("cannot read {path} as a table: {what}")]
    UnreadablePath {
        /// As written.
        path: String,
        /// What was found.
        what: String,
    },
    /// A record of a file that is loaded cannot be a row.
    #[error("cannot load line {line} of {file}: {reason}")]
    BadRecord {
        /// The file's URI.
        file: String,
        /// Where the record begins; the first line is 1.
        line: u64,
        /// What does not fit.
        reason: String,
    },
    /// A table could not be read or changed.
    #[error(transparent)]
    Table(TableError),
    /// A store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A log, schema or value breaks the protocol.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The query could not be planned or run.
    #[error("{}", .0.strip_backtrace())]
    DataFusion(Box<DataFusionError>),
}

impl QueryError {
    /// A [`QueryError::Syntax`].
    pub fn syntax(what: impl Into<String>) -> Self {
        QueryError::Syntax { what: what.into() }
    }

    /// A [`QueryError::InvalidArgument`].
    pub fn invalid_argument(what: impl Into<String>) -> Self {
        QueryError::InvalidArgument { what: what.into() }
    }

    /// A [`QueryError::Unsupported`] that says what would work.
    pub fn unsupported(what: impl Into<String>, instead: impl Into<String>) -> Self {
        QueryError::Unsupported { what: what.into(), instead: Some(instead.into()) }
    }

    /// A [`QueryError::UnknownTable`] that offers the most similar of the names there are.
    pub fn unknown_table<'a>(name: impl Into<String>, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        let name = name.into();
        let bare = name.rsplit('.').next().unwrap_or(&name);
        let nearest = nearest(bare, candidates).map(str::to_owned);
        QueryError::UnknownTable { name: printable(&name), nearest }
    }

    /// A [`QueryError::UnknownColumn`] that offers the most similar of the columns there are.
    pub fn unknown_column(name: impl Into<String>, columns: Vec<String>) -> Self {
        let name = name.into();
        let bare = name.rsplit('.').next().unwrap_or(&name);
        let nearest = nearest(bare, columns.iter().map(String::as_str)).map(str::to_owned);
        QueryError::UnknownColumn { name: printable(&name), nearest, columns }
    }

    /// What the user could do about it, where that is known and not already said.
    pub fn hint(&self) -> Option<String> {
        match self {
            QueryError::UnknownTable { nearest: None, .. } => {
                Some("SHOW TABLES lists the tables; a path goes in quotes: SELECT * FROM 'path/to/table'".into())
            }
            QueryError::UnknownSchema { nearest: None, .. } => {
                Some("SHOW SCHEMAS lists the schemas; CREATE SCHEMA makes one".into())
            }
            QueryError::UnknownColumn { nearest: None, columns, .. } if !columns.is_empty() => {
                const SHOWN: usize = 20;
                let mut shown = columns.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
                if columns.len() > SHOWN {
                    shown.push_str(", ...");
                }
                Some(format!("the columns are {shown}"))
            }
            QueryError::TableExists { name } => {
                Some(format!("CREATE TABLE IF NOT EXISTS {name} keeps it, CREATE OR REPLACE TABLE {name} replaces it"))
            }
            QueryError::SchemaNotEmpty { name, .. } => {
                Some(format!("DROP SCHEMA {name} CASCADE drops its tables too"))
            }
            QueryError::Table(TableError::InvalidRequest { operation, what, .. })
                if operation.contains("vacuum") && what.contains("retention") =>
            {
                Some("SET floe.retention_check = false lets VACUUM delete what younger versions and running writers need".into())
            }
            QueryError::BadRecord { .. } => Some(
                "COPY_OPTIONS ('badRecordsPath' = 'folder') puts such records into a file and loads the others".into(),
            ),
            QueryError::ReadOnly { .. } => Some("open the session without read-only to change tables".into()),
            QueryError::Unsupported { instead, .. } => instead.clone(),
            QueryError::UnknownStatement { .. } => Some(
                "statements begin with SELECT, WITH, VALUES, INSERT, UPDATE, DELETE, MERGE, TRUNCATE, CREATE, DROP, ALTER, \
                 DESCRIBE, SUMMARIZE, SHOW, OPTIMIZE, VACUUM, RESTORE, COPY, EXPLAIN, USE or SET"
                    .into(),
            ),
            _ => None,
        }
    }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|n| format!(", did you mean {n}?")).unwrap_or_default()
}

impl From<TableError> for QueryError {
    /// Unwraps what the query that gave the rows had failed with.
    fn from(error: TableError) -> Self {
        match error {
            TableError::Input(source) => from_external(source),
            other => QueryError::Table(other),
        }
    }
}

impl From<VersionOutOfRange> for QueryError {
    fn from(error: VersionOutOfRange) -> Self {
        FormatError::from(error).into()
    }
}

impl From<DataFusionError> for QueryError {
    /// Unwraps what our own code handed to DataFusion, and turns a column that was not found into
    /// [`QueryError::UnknownColumn`].
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::Context(_, inner) => QueryError::from(*inner),
            DataFusionError::Diagnostic(_, inner) => QueryError::from(*inner),
            DataFusionError::Collection(mut errors) if !errors.is_empty() => QueryError::from(errors.swap_remove(0)),
            DataFusionError::External(source) => from_external(source),
            DataFusionError::Shared(shared) => match std::sync::Arc::try_unwrap(shared) {
                Ok(only) => QueryError::from(only),
                Err(shared) => match bad_record_in(&shared) {
                    Some(error) => error,
                    None => QueryError::DataFusion(Box::new(DataFusionError::Shared(shared))),
                },
            },
            DataFusionError::ObjectStore(inner) => QueryError::Storage(of_store(&inner)),
            DataFusionError::ArrowError(inner, backtrace) => match *inner {
                arrow::error::ArrowError::ExternalError(source) => from_external(source),
                other => QueryError::DataFusion(Box::new(DataFusionError::ArrowError(Box::new(other), backtrace))),
            },
            DataFusionError::SchemaError(schema_error, backtrace) => match *schema_error {
                datafusion::common::SchemaError::FieldNotFound { field, valid_fields } => {
                    let mut columns: Vec<String> = valid_fields.into_iter().map(|c| c.name).collect();
                    columns.dedup();
                    QueryError::unknown_column(field.name, columns)
                }
                other => QueryError::DataFusion(Box::new(DataFusionError::SchemaError(Box::new(other), backtrace))),
            },
            DataFusionError::SQL(parser_error, _) => QueryError::syntax(syntax_text(&parser_error)),
            DataFusionError::Plan(what) => match without_variant(&what) {
                Some(error) => error,
                None => QueryError::DataFusion(Box::new(DataFusionError::Plan(what))),
            },
            DataFusionError::Execution(what) => match without_variant(&what) {
                Some(error) => error,
                None => QueryError::DataFusion(Box::new(DataFusionError::Execution(what))),
            },
            other => QueryError::DataFusion(Box::new(other)),
        }
    }
}

/// A bad record that several streams wait for: all of them are told of it.
fn bad_record_in(error: &DataFusionError) -> Option<QueryError> {
    match error {
        DataFusionError::Shared(inner) => bad_record_in(inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => bad_record_in(inner),
        DataFusionError::External(source) => match source.downcast_ref::<QueryError>() {
            Some(QueryError::BadRecord { file, line, reason }) => {
                Some(QueryError::BadRecord { file: file.clone(), line: *line, reason: reason.clone() })
            }
            _ => bad_record_in(source.downcast_ref::<DataFusionError>()?),
        },
        _ => None,
    }
}

/// The error of a value that is given where a variant belongs, which to DataFusion is a struct.
fn without_variant(what: &str) -> Option<QueryError> {
    let variant = floe_table_format::schema::variant_type().to_string();
    if !what.contains(&variant) || !what.contains("cast") && !what.contains("convert") {
        return None;
    }
    let what = what.lines().next().unwrap_or_default().replace(&variant, "VARIANT");
    Some(QueryError::invalid_argument(format!(
        "{what}: parse_json(text) makes a variant of JSON, CAST(value AS VARIANT) of any value"
    )))
}

/// A store's failure under a query over files. Stores put request URLs into their words, and those may be signed.
fn of_store(error: &object_store::Error) -> StorageError {
    let words = error.to_string();
    let shown = words.split_inclusive(char::is_whitespace).map(|word| match word.split_once('?') {
        Some((before, _)) if before.contains("://") => format!("{before}?... "),
        _ => word.to_owned(),
    });
    let what = printable(shown.collect::<String>().trim_end());
    match error {
        object_store::Error::NotFound { path, .. } => {
            StorageError::NotFound { operation: "read", path: printable(path.split('?').next().unwrap_or_default()) }
        }
        _ => StorageError::Unavailable { operation: "read", path: "the files of the query".into(), what },
    }
}

fn from_external(source: Box<dyn std::error::Error + Send + Sync>) -> QueryError {
    let source = match source.downcast::<QueryError>() {
        Ok(error) => return *error,
        Err(source) => source,
    };
    let source = match source.downcast::<TableError>() {
        Ok(error) => return QueryError::from(*error),
        Err(source) => source,
    };
    let source = match source.downcast::<StorageError>() {
        Ok(error) => return QueryError::Storage(*error),
        Err(source) => source,
    };
    let source = match source.downcast::<FormatError>() {
        Ok(error) => return QueryError::Format(*error),
        Err(source) => source,
    };
    let source = match source.downcast::<DataFusionError>() {
        Ok(error) => return QueryError::from(*error),
        Err(source) => source,
    };
    QueryError::DataFusion(Box::new(DataFusionError::External(source)))
}

impl From<QueryError> for DataFusionError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::DataFusion(inner) => *inner,
            other => DataFusionError::External(Box::new(other)),
        }
    }
}

impl From<datafusion::sql::sqlparser::parser::ParserError> for QueryError {
    fn from(error: datafusion::sql::sqlparser::parser::ParserError) -> Self {
        QueryError::syntax(syntax_text(&error))
    }
}

impl From<arrow::error::ArrowError> for QueryError {
    fn from(error: arrow::error::ArrowError) -> Self {
        QueryError::from(DataFusionError::from(error))
    }
}

/// The parser's words without its prefix.
fn syntax_text(error: &datafusion::sql::sqlparser::parser::ParserError) -> String {
    use datafusion::sql::sqlparser::parser::ParserError;
    match error {
        ParserError::TokenizerError(what) | ParserError::ParserError(what) => printable(what),
        ParserError::RecursionLimitExceeded => "it is nested too deeply".into(),
    }
}
