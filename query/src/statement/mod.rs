//! Statements: from text to what the session does.

mod parse;
mod split;
mod tokens;
mod types;
mod words;

mod alter;
mod change;
mod copy;
mod create;
mod describe;
mod maintain;
mod merge;
mod query;
mod show;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use floe_table_format::StructField;

use crate::error::{QueryError, Result};
use crate::output::Outcome;
use crate::session::Session;

pub use split::{is_complete, split_statements};

pub(crate) use types::{quoted, type_name};

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
    Explain { analyze: bool, verbose: bool, query: Box<Statement> },
    Insert(Box<ast::Insert>),
    Update(Box<ast::Statement>),
    Delete(Box<ast::Statement>),
    Merge(Box<ast::Merge>),
    Truncate(ast::ObjectName),
    CreateTable(Box<CreateTable>),
    DropTable { names: Vec<ast::ObjectName>, if_exists: bool },
    CreateSchema { name: String, if_not_exists: bool },
    DropSchema { name: String, if_exists: bool, cascade: bool },
    Use(String),
    ShowTables { schema: Option<String>, like: Option<String> },
    ShowSchemas { like: Option<String> },
    ShowCreateTable(ast::ObjectName),
    ShowColumns(ast::ObjectName),
    ShowProperties(ast::ObjectName),
    DescribeTable(ast::ObjectName),
    DescribeQuery(Box<ast::Query>),
    DescribeDetail(ast::ObjectName),
    DescribeHistory { name: ast::ObjectName, limit: Option<usize> },
    Alter { name: ast::ObjectName, action: AlterAction },
    Optimize { name: ast::ObjectName, filter: Option<Box<ast::Expr>>, zorder: Vec<String> },
    Vacuum { name: ast::ObjectName, retain_hours: Option<f64>, dry_run: bool },
    Restore { name: ast::ObjectName, version: ast::TableVersion },
    Copy(Box<Copy>),
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
    pub(crate) partitioned_by: Vec<String>,
    pub(crate) location: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) query: Option<Box<ast::Query>>,
}

/// `ALTER TABLE`.
#[derive(Debug)]
pub(crate) enum AlterAction {
    SetProperties(Vec<(String, String)>),
    UnsetProperties { names: Vec<String>, if_exists: bool },
    AddColumns(Vec<StructField>),
    AddConstraint { name: String, sql: String },
    DropConstraint { name: String, if_exists: bool },
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
            Statement::Insert(insert) if insert.overwrite => Some("INSERT OVERWRITE"),
            Statement::Insert(_) => Some("INSERT"),
            Statement::Update(_) => Some("UPDATE"),
            Statement::Delete(_) => Some("DELETE"),
            Statement::Merge(_) => Some("MERGE"),
            Statement::Truncate(_) => Some("TRUNCATE TABLE"),
            Statement::CreateTable(_) => Some("CREATE TABLE"),
            Statement::DropTable { .. } => Some("DROP TABLE"),
            Statement::CreateSchema { .. } => Some("CREATE SCHEMA"),
            Statement::DropSchema { .. } => Some("DROP SCHEMA"),
            Statement::Alter { .. } => Some("ALTER TABLE"),
            Statement::Optimize { .. } => Some("OPTIMIZE"),
            Statement::Vacuum { dry_run: false, .. } => Some("VACUUM"),
            Statement::Restore { .. } => Some("RESTORE"),
            Statement::Copy(_) => Some("COPY"),
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
    match statement {
        Statement::Query(query) => query::select(session, *query).await,
        Statement::Explain { analyze, verbose, query } => query::explain(session, *query, analyze, verbose).await,
        Statement::Setting(statement) => query::setting(session, *statement).await,
        Statement::Insert(insert) => change::insert(session, *insert).await,
        Statement::Update(update) => change::update(session, *update).await,
        Statement::Delete(delete) => change::delete(session, *delete).await,
        Statement::Merge(merge) => merge::merge(session, *merge).await,
        Statement::Truncate(name) => change::truncate(session, name).await,
        Statement::CreateTable(create) => create::create_table(session, *create).await,
        Statement::DropTable { names, if_exists } => create::drop_tables(session, &names, if_exists).await,
        Statement::CreateSchema { name, if_not_exists } => create::create_schema(session, &name, if_not_exists).await,
        Statement::DropSchema { name, if_exists, cascade } => {
            create::drop_schema(session, &name, if_exists, cascade).await
        }
        Statement::Use(name) => show::use_schema(session, &name).await,
        Statement::ShowTables { schema, like } => show::tables(session, schema, like).await,
        Statement::ShowSchemas { like } => show::schemas(session, like).await,
        Statement::ShowCreateTable(name) => show::create_table(session, &name).await,
        Statement::ShowColumns(name) => show::columns(session, &name).await,
        Statement::ShowProperties(name) => show::properties(session, &name).await,
        Statement::DescribeTable(name) => describe::table(session, &name).await,
        Statement::DescribeQuery(query) => describe::query(session, *query).await,
        Statement::DescribeDetail(name) => describe::detail(session, &name).await,
        Statement::DescribeHistory { name, limit } => describe::history(session, &name, limit).await,
        Statement::Alter { name, action } => alter::alter(session, &name, action).await,
        Statement::Optimize { name, filter, zorder } => maintain::optimize(session, &name, filter, zorder).await,
        Statement::Vacuum { name, retain_hours, dry_run } => {
            maintain::vacuum(session, &name, retain_hours, dry_run).await
        }
        Statement::Restore { name, version } => maintain::restore(session, &name, version).await,
        Statement::Copy(copy) => copy::copy(session, *copy).await,
    }
}
