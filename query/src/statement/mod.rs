//! Statements: from text to what the session does.

mod parse;
mod place;
mod split;
mod tokens;
mod words;

mod alter;
mod change;
mod check;
mod convert;
mod copy;
mod copy_into;
mod create;
mod describe;
mod index;
mod insert;
mod maintain;
mod merge;
mod query;
mod show;
mod summarize;
mod upsert;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use floe_table::{CloneDepth, ColumnChange, NewColumn};
use floe_table_format::{DataType, StructField};
use futures::future::BoxFuture;

use crate::error::{QueryError, Result};
use crate::output::Outcome;
use crate::session::Session;
use crate::statement::convert::Convert;
use crate::statement::copy_into::CopyInto;
use crate::statement::merge::Grows;

pub use check::{Checked, TableCheck};
pub use place::ErrorPlace;
pub use split::{is_complete, split_statements};

pub(crate) use tokens::Modifiers;

/// One statement of a script, not yet understood: that happens when it is its turn, so that what stands before a faulty
/// statement has run when the fault is reported.
#[derive(Debug, Clone)]
pub struct ParsedStatement {
    text: String,
    tokens: Vec<TokenWithSpan>,
}

impl ParsedStatement {
    pub(crate) fn new(text: String, tokens: Vec<TokenWithSpan>) -> Self {
        ParsedStatement { text, tokens }
    }

    /// The statement as written, without its semicolon.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads the statement.
    pub(crate) fn parse(&self) -> Result<Statement> {
        parse::parse(self)
    }

    pub(crate) fn tokens(&self) -> &[TokenWithSpan] {
        &self.tokens
    }
}

/// Everything a session can be asked to do.
#[derive(Debug)]
pub(crate) enum Statement {
    Query(Box<ast::Query>),
    Explain {
        analyze: bool,
        verbose: bool,
        query: Box<Statement>,
    },
    Insert(Box<ast::Insert>),
    /// `INSERT WITH SCHEMA EVOLUTION INTO`, `INSERT INTO t BY NAME`.
    InsertAs {
        insert: Box<ast::Insert>,
        modifiers: Modifiers,
    },
    Upsert(Box<ast::Insert>),
    Update(Box<ast::Statement>),
    Delete(Box<ast::Statement>),
    Merge(Box<ast::Merge>),
    /// `MERGE WITH SCHEMA EVOLUTION INTO`.
    MergeGrowing(Box<ast::Merge>),
    Truncate(ast::ObjectName),
    CreateTable(Box<CreateTable>),
    DropTable {
        names: Vec<ast::ObjectName>,
        if_exists: bool,
    },
    CreateSchema {
        name: String,
        if_not_exists: bool,
    },
    DropSchema {
        name: String,
        if_exists: bool,
        cascade: bool,
    },
    Use(String),
    ShowTables {
        schema: Option<String>,
        like: Option<String>,
    },
    ShowSchemas {
        like: Option<String>,
    },
    ShowCreateTable(ast::ObjectName),
    ShowColumns(ast::ObjectName),
    ShowProperties(ast::ObjectName),
    DescribeTable(ast::ObjectName),
    Summarize(Box<ast::Query>),
    DescribeQuery(Box<ast::Query>),
    DescribeDetail(ast::ObjectName),
    DescribeHistory {
        name: ast::ObjectName,
        limit: Option<usize>,
    },
    Alter {
        name: ast::ObjectName,
        action: AlterAction,
    },
    Optimize {
        name: ast::ObjectName,
        filter: Option<Box<ast::Expr>>,
        zorder: Vec<String>,
        full: bool,
    },
    Vacuum {
        name: ast::ObjectName,
        retain_hours: Option<f64>,
        dry_run: bool,
    },
    Restore {
        name: ast::ObjectName,
        version: Box<ast::TableVersion>,
    },
    Copy(Box<Copy>),
    CopyInto(Box<CopyInto>),
    Convert(Box<Convert>),
    CreateIndex {
        name: ast::ObjectName,
        columns: Vec<String>,
    },
    DropIndex(ast::ObjectName),
    ShowIndex(ast::ObjectName),
    CheckTable(ast::ObjectName),
    RepairTable {
        name: ast::ObjectName,
        dry_run: bool,
    },
    /// Left to DataFusion: SET, RESET, SHOW of a setting.
    Setting(Box<datafusion::sql::parser::Statement>),
}

/// `CREATE TABLE`.
#[derive(Debug)]
pub(crate) struct CreateTable {
    pub(crate) name: ast::ObjectName,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<StructField>,
    /// Name and expression.
    pub(crate) checks: Vec<(String, String)>,
    pub(crate) primary_key: Vec<String>,
    pub(crate) partitioned_by: Vec<String>,
    pub(crate) clustered_by: Option<Vec<Vec<String>>>,
    pub(crate) location: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) query: Option<Box<ast::Query>>,
    pub(crate) clone: Option<CloneOf>,
}

/// `SHALLOW CLONE source VERSION AS OF 3`.
#[derive(Debug)]
pub(crate) struct CloneOf {
    pub(crate) source: ast::ObjectName,
    pub(crate) version: Option<Box<ast::TableVersion>>,
    pub(crate) depth: CloneDepth,
}

/// `ALTER TABLE`.
#[derive(Debug)]
pub(crate) enum AlterAction {
    SetProperties(Vec<(String, String)>),
    UnsetProperties { names: Vec<String>, if_exists: bool },
    AddColumns(Vec<NewColumn>),
    ReplaceColumns(Vec<StructField>),
    RenameColumn { path: Vec<String>, to: String },
    DropColumns { paths: Vec<Vec<String>>, if_exists: bool },
    SyncIdentity(String),
    DropFeature { feature: String, truncate_history: bool },
    ChangeColumn { path: Vec<String>, change: ColumnChange },
    WidenColumn { path: Vec<String>, to: DataType },
    AddConstraint { name: String, sql: String },
    DropConstraint { name: String, if_exists: bool },
    ClusterBy(Vec<Vec<String>>),
    AddPrimaryKey(Vec<String>),
    DropPrimaryKey { if_exists: bool },
}

/// `COPY query TO 'file'`.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) query: Box<ast::Query>,
    pub(crate) target: String,
    pub(crate) format: Option<String>,
    pub(crate) partitioned_by: Vec<String>,
    pub(crate) options: Vec<(String, String)>,
}

impl Statement {
    /// What a statement that writes calls itself; none for one that only reads.
    fn writes(&self) -> Option<&'static str> {
        match self {
            Statement::Insert(insert) | Statement::InsertAs { insert, .. } if insert.overwrite => {
                Some("INSERT OVERWRITE")
            }
            Statement::Insert(_) | Statement::InsertAs { .. } => Some("INSERT"),
            Statement::Upsert(_) => Some("UPSERT"),
            Statement::Update(_) => Some("UPDATE"),
            Statement::Delete(_) => Some("DELETE"),
            Statement::Merge(_) | Statement::MergeGrowing(_) => Some("MERGE"),
            Statement::Truncate(_) => Some("TRUNCATE TABLE"),
            Statement::CreateTable(_) => Some("CREATE TABLE"),
            Statement::DropTable { .. } => Some("DROP TABLE"),
            Statement::CreateSchema { .. } => Some("CREATE SCHEMA"),
            Statement::DropSchema { .. } => Some("DROP SCHEMA"),
            Statement::Alter { .. } => Some("ALTER TABLE"),
            Statement::Optimize { .. } => Some("OPTIMIZE"),
            Statement::Vacuum { dry_run: false, .. } => Some("VACUUM"),
            Statement::Restore { .. } => Some("RESTORE"),
            Statement::RepairTable { dry_run: false, .. } => Some("FSCK REPAIR TABLE"),
            Statement::Copy(_) => Some("COPY"),
            Statement::CopyInto(_) => Some("COPY INTO"),
            Statement::Convert(_) => Some("CONVERT TO DELTA"),
            Statement::CreateIndex { .. } => Some("CREATE INDEX"),
            Statement::DropIndex(_) => Some("DROP INDEX"),
            _ => None,
        }
    }
}

/// Does what a statement says.
pub(crate) async fn run(session: &Session, parsed: &ParsedStatement) -> Result<Outcome> {
    let statement = parsed.parse()?;
    if session.is_read_only()
        && let Some(verb) = statement.writes()
    {
        return Err(QueryError::ReadOnly { statement: verb.into() });
    }
    // Boxed, so that running a statement takes the stack of its own verb and not of the largest one.
    let running: BoxFuture<'_, Result<Outcome>> = match statement {
        Statement::Query(query) => boxed(move || query::select(session, *query)),
        Statement::Explain { analyze, verbose, query } => {
            boxed(move || query::explain(session, *query, analyze, verbose))
        }
        Statement::Setting(statement) => boxed(move || query::setting(session, *statement)),
        Statement::Insert(insert) => boxed(move || change::insert(session, *insert)),
        Statement::InsertAs { insert, modifiers } => boxed(move || insert::insert_as(session, *insert, modifiers)),
        Statement::Upsert(insert) => boxed(move || upsert::upsert(session, *insert)),
        Statement::Update(update) => boxed(move || change::update(session, *update)),
        Statement::Delete(delete) => boxed(move || change::delete(session, *delete)),
        Statement::Merge(merge) => boxed(move || merge::merge(session, *merge, Grows::No)),
        Statement::MergeGrowing(merge) => boxed(move || merge::merge(session, *merge, Grows::Yes)),
        Statement::Truncate(name) => boxed(move || change::truncate(session, name)),
        Statement::CreateTable(create) => boxed(move || create::create_table(session, *create)),
        Statement::DropTable { names, if_exists } => {
            boxed(move || async move { create::drop_tables(session, &names, if_exists).await })
        }
        Statement::CreateSchema { name, if_not_exists } => {
            boxed(move || async move { create::create_schema(session, &name, if_not_exists).await })
        }
        Statement::DropSchema { name, if_exists, cascade } => {
            boxed(move || async move { create::drop_schema(session, &name, if_exists, cascade).await })
        }
        Statement::Use(name) => boxed(move || async move { show::use_schema(session, &name).await }),
        Statement::ShowTables { schema, like } => boxed(move || show::tables(session, schema, like)),
        Statement::ShowSchemas { like } => boxed(move || show::schemas(session, like)),
        Statement::ShowCreateTable(name) => boxed(move || async move { show::create_table(session, &name).await }),
        Statement::ShowColumns(name) => boxed(move || async move { show::columns(session, &name).await }),
        Statement::ShowProperties(name) => boxed(move || async move { show::properties(session, &name).await }),
        Statement::DescribeTable(name) => boxed(move || async move { describe::table(session, &name).await }),
        Statement::DescribeQuery(query) => boxed(move || describe::query(session, *query)),
        Statement::Summarize(query) => boxed(move || summarize::summarize(session, *query)),
        Statement::DescribeDetail(name) => boxed(move || async move { describe::detail(session, &name).await }),
        Statement::DescribeHistory { name, limit } => {
            boxed(move || async move { describe::history(session, &name, limit).await })
        }
        Statement::Alter { name, action } => boxed(move || async move { alter::alter(session, &name, action).await }),
        Statement::Optimize { name, filter, zorder, full } => {
            boxed(move || async move { maintain::optimize(session, &name, filter, zorder, full).await })
        }
        Statement::Vacuum { name, retain_hours, dry_run } => {
            boxed(move || async move { maintain::vacuum(session, &name, retain_hours, dry_run).await })
        }
        Statement::Restore { name, version } => {
            boxed(move || async move { maintain::restore(session, &name, &version).await })
        }
        Statement::Copy(copy) => boxed(move || copy::copy(session, *copy)),
        Statement::CopyInto(copy) => boxed(move || copy_into::copy_into(session, *copy)),
        Statement::Convert(convert) => boxed(move || convert::convert(session, *convert)),
        Statement::CreateIndex { name, columns } => {
            boxed(move || async move { index::build(session, &name, &columns).await })
        }
        Statement::DropIndex(name) => boxed(move || async move { index::drop(session, &name).await }),
        Statement::ShowIndex(name) => boxed(move || async move { index::show(session, &name).await }),
        Statement::CheckTable(name) => boxed(move || async move { check::check(session, &name).await }),
        Statement::RepairTable { name, dry_run } => {
            boxed(move || async move { check::repair(session, &name, dry_run).await })
        }
    };
    running.await
}

/// Makes and boxes a future away from the caller's stack, which would else hold room for every one of them.
fn boxed<'a, F: Future + Send + 'a>(make: impl FnOnce() -> F) -> BoxFuture<'a, F::Output> {
    Box::pin(make())
}

impl Session {
    /// Runs one statement.
    ///
    /// # Errors
    /// [`QueryError::InvalidArgument`] for none or several statements: see [`Session::statements`]; otherwise why the
    /// statement failed.
    pub async fn sql(&self, text: &str) -> Result<Outcome> {
        let mut statements = split_statements(text)?;
        match (statements.pop(), statements.len()) {
            (Some(only), 0) => self.run(&only).await,
            (None, _) => Err(QueryError::invalid_argument("there is no statement in the text")),
            (Some(_), others) => {
                Err(QueryError::invalid_argument(format!("the text holds {} statements, one is expected", others + 1)))
            }
        }
    }

    /// The statements of a script, to be run one after another.
    ///
    /// # Errors
    /// [`QueryError::Syntax`] if a quote or comment is not closed.
    pub fn statements(&self, text: &str) -> Result<Vec<ParsedStatement>> {
        split_statements(text)
    }

    /// Runs a statement. A statement that writes is finished when this returns; rows are read as they are asked for.
    ///
    /// # Errors
    /// Why the statement failed; nothing is committed then.
    pub async fn run(&self, statement: &ParsedStatement) -> Result<Outcome> {
        run(self, statement).await
    }
}
