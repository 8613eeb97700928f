//! Reading one statement.

mod alter;
mod copy;
mod generated;

use datafusion::sql::parser::{ResetStatement, Statement as DFStatement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use floe_table::CloneDepth;
use floe_table_format::StructField;
use floe_table_format::error::printable;

use crate::dialect::FloeDialect;
use crate::error::{QueryError, Result};
use crate::statement::convert::Convert;
use crate::statement::tokens::{Modifiers, prepare, take_modifiers};
use crate::statement::words::Words;
use crate::statement::{AlterAction, CloneOf, CreateTable, ParsedStatement, Statement};
use crate::types::parse_type;

/// How deep expressions and queries may nest.
const DEPTH_MAX: usize = 128;

pub(super) fn parse(parsed: &ParsedStatement) -> Result<Statement> {
    let mut tokens = parsed.tokens().to_vec();
    let modifiers = take_modifiers(&mut tokens);
    let mut parser =
        Parser::new(&FloeDialect).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(prepare(tokens));
    let statement = parse_statement(&mut parser)?;
    parser.expect_end()?;
    Ok(match statement {
        Statement::Insert(insert) if modifiers != Modifiers::default() => Statement::InsertAs { insert, modifiers },
        Statement::Merge(merge) if modifiers.grows => Statement::MergeGrowing(merge),
        other => other,
    })
}

fn parse_statement(parser: &mut Parser<'_>) -> Result<Statement> {
    let first = parser.peek_token();
    let word = match &first.token {
        Token::LParen => return Ok(Statement::Query(parser.parse_query()?)),
        Token::Word(word) if word.quote_style.is_none() => word.value.to_uppercase(),
        _ => return Err(QueryError::UnknownStatement { statement: printable(&first.to_string()) }),
    };
    match word.as_str() {
        "SELECT" | "WITH" | "VALUES" | "FROM" | "TABLE" => parse_query(parser),
        "EXPLAIN" => parse_explain(parser),
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" => parse_change(parser),
        "UPSERT" => parse_upsert(parser),
        "CHECK" => {
            parser.advance_token();
            parser.word("TABLE");
            Ok(Statement::CheckTable(parser.table_name()?))
        }
        "FSCK" => {
            parser.advance_token();
            parser.expect_word("REPAIR")?;
            parser.word("TABLE");
            let name = parser.table_name()?;
            Ok(Statement::RepairTable { name, dry_run: parser.words(&["DRY", "RUN"]) })
        }
        "TRUNCATE" => {
            parser.advance_token();
            parser.word("TABLE");
            Ok(Statement::Truncate(parser.table_name()?))
        }
        "CREATE" => parse_create(parser),
        "DROP" => parse_drop(parser),
        "ALTER" => parse_alter(parser),
        "DESCRIBE" | "DESC" => parse_describe(parser),
        "SUMMARIZE" => parse_summarize(parser),
        "SHOW" => parse_show(parser),
        "USE" => {
            parser.advance_token();
            let _ = parser.word("SCHEMA") || parser.word("DATABASE");
            Ok(Statement::Use(schema_name(parser)?))
        }
        "OPTIMIZE" => parse_optimize(parser),
        "VACUUM" => parse_vacuum(parser),
        "RESTORE" => parse_restore(parser),
        "COPY" => copy::parse_copy(parser),
        "CONVERT" => parse_convert(parser),
        "SET" => match parser.parse_statement()? {
            statement @ ast::Statement::Set(_) => {
                Ok(Statement::Setting(Box::new(DFStatement::Statement(Box::new(statement)))))
            }
            _ => Err(unknown("SET", parser)),
        },
        "RESET" => {
            parser.advance_token();
            let name = parser.parse_object_name(false)?;
            Ok(Statement::Setting(Box::new(DFStatement::Reset(ResetStatement::Variable(name)))))
        }
        _ => Err(unknown(&word, parser)),
    }
}

/// An error that names the statement by its first words.
fn unknown(first: &str, parser: &Parser<'_>) -> QueryError {
    let mut statement = printable(first);
    let next = if parser.peek_word(first) { 1 } else { 0 };
    if let Token::Word(second) = &parser.peek_nth_token_ref(next).token {
        statement.push(' ');
        statement.push_str(&printable(&second.value));
    }
    QueryError::UnknownStatement { statement }
}

fn parse_query(parser: &mut Parser<'_>) -> Result<Statement> {
    let query = parser.parse_query()?;
    // The parser reads `WITH ... UPDATE` and `WITH ... MERGE` as queries whose body is a statement.
    match *query.body {
        ast::SetExpr::Insert(_) | ast::SetExpr::Update(_) | ast::SetExpr::Delete(_) | ast::SetExpr::Merge(_) => Err(
            QueryError::unsupported("WITH before a statement that changes rows", "put the WITH into the source query"),
        ),
        _ => Ok(Statement::Query(query)),
    }
}

fn parse_explain(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.advance_token();
    let analyze = parser.word("ANALYZE");
    let verbose = parser.word("VERBOSE") || parser.word("EXTENDED");
    match parse_statement(parser)? {
        query @ (Statement::Query(_) | Statement::Upsert(_) | Statement::Merge(_)) => {
            Ok(Statement::Explain { analyze, verbose, query: Box::new(query) })
        }
        _ => Err(QueryError::unsupported("EXPLAIN of this statement", "EXPLAIN works on queries, UPSERT and MERGE")),
    }
}

fn parse_change(parser: &mut Parser<'_>) -> Result<Statement> {
    match parser.parse_statement()? {
        ast::Statement::Insert(insert) => Ok(Statement::Insert(Box::new(insert))),
        update @ ast::Statement::Update(_) => Ok(Statement::Update(Box::new(update))),
        delete @ ast::Statement::Delete(_) => Ok(Statement::Delete(Box::new(delete))),
        ast::Statement::Merge(merge) => Ok(Statement::Merge(Box::new(merge))),
        other => Err(QueryError::UnknownStatement {
            statement: printable(&other.to_string().split_whitespace().take(2).collect::<Vec<_>>().join(" ")),
        }),
    }
}

/// `UPSERT INTO t ...` is read as an INSERT.
fn parse_upsert(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.advance_token();
    if !parser.peek_word("INTO") {
        return Ok(parser.expected("INTO after UPSERT", parser.peek_token())?);
    }
    let insert = parser.parse_insert(ast::helpers::attached_token::AttachedToken::empty().0)?;
    match insert {
        ast::Statement::Insert(insert) => Ok(Statement::Upsert(Box::new(insert))),
        other => Err(QueryError::UnknownStatement { statement: printable(&format!("UPSERT {other}")) }),
    }
}

fn parse_create(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.advance_token();
    let or_replace = parser.words(&["OR", "REPLACE"]);
    if parser.word("SCHEMA") || parser.word("DATABASE") {
        let if_not_exists = parser.if_not_exists();
        return Ok(Statement::CreateSchema { name: schema_name(parser)?, if_not_exists });
    }
    if parser.words(&["EXTERNAL", "TABLE"]) {
        return Err(QueryError::unsupported(
            "CREATE EXTERNAL TABLE",
            "CREATE TABLE name LOCATION 'uri' registers a Delta table; other files are read in place: SELECT * FROM 'file.csv'",
        ));
    }
    if parser.word("INDEX") {
        return parse_create_index(parser);
    }
    if !parser.word("TABLE") {
        return Err(unknown("CREATE", parser));
    }
    let if_not_exists = parser.if_not_exists();
    let mut create = CreateTable {
        name: parser.table_name()?,
        or_replace,
        if_not_exists,
        columns: Vec::new(),
        checks: Vec::new(),
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        clustered_by: None,
        location: None,
        comment: None,
        properties: Vec::new(),
        query: None,
        clone: None,
    };
    if or_replace && if_not_exists {
        return Err(QueryError::syntax("OR REPLACE and IF NOT EXISTS exclude each other"));
    }
    if parser.peek_token_ref().token == Token::LParen {
        parse_columns(parser, &mut create)?;
    }
    if let Some(clone) = parse_clone(parser)? {
        create.clone = Some(clone);
        parse_clone_clauses(parser, &mut create)?;
        return Ok(Statement::CreateTable(Box::new(create)));
    }
    parse_table_clauses(parser, &mut create)?;
    Ok(Statement::CreateTable(Box::new(create)))
}

/// `[SHALLOW|DEEP] CLONE source [VERSION AS OF 3]`: deep where nothing is said, as Databricks has it.
fn parse_clone(parser: &mut Parser<'_>) -> Result<Option<CloneOf>> {
    let depth = if parser.words(&["SHALLOW", "CLONE"]) {
        CloneDepth::Shallow
    } else if parser.words(&["DEEP", "CLONE"]) || parser.word("CLONE") {
        CloneDepth::Deep
    } else {
        return Ok(None);
    };
    let source = parser.table_name()?;
    let version = if parser.words(&["VERSION", "AS", "OF"]) {
        Some(Box::new(ast::TableVersion::VersionAsOf(parser.parse_expr()?)))
    } else if parser.words(&["TIMESTAMP", "AS", "OF"]) {
        Some(Box::new(ast::TableVersion::TimestampAsOf(parser.parse_expr()?)))
    } else {
        None
    };
    Ok(Some(CloneOf { source, version, depth }))
}

/// What may follow a clone: columns and partitions are the source's.
fn parse_clone_clauses(parser: &mut Parser<'_>, create: &mut CreateTable) -> Result<()> {
    loop {
        if parser.word("TBLPROPERTIES") {
            create.properties.extend(parser.properties()?);
        } else if parser.word("LOCATION") {
            create.location = Some(parser.parse_literal_string()?);
        } else {
            return Ok(());
        }
    }
}

/// `(a INT NOT NULL DEFAULT 1 COMMENT 'x', CONSTRAINT c CHECK (a > 0))`.
fn parse_columns(parser: &mut Parser<'_>, create: &mut CreateTable) -> Result<()> {
    parser.expect_token(&Token::LParen)?;
    loop {
        if parser.words(&["FOREIGN", "KEY"]) || parser.word("UNIQUE") {
            return Err(QueryError::unsupported("foreign and unique keys", "PRIMARY KEY (columns)"));
        }
        if parser.words(&["PRIMARY", "KEY"]) {
            let columns = parser.column_list()?;
            declare_primary_key(create, columns)?;
        } else if parser.word("CONSTRAINT") {
            let name = parser.parse_identifier()?.value;
            if parser.words(&["PRIMARY", "KEY"]) {
                let columns = parser.column_list()?;
                declare_primary_key(create, columns)?;
                if !parser.consume_token(&Token::Comma) {
                    break;
                }
                continue;
            }
            parser.expect_word("CHECK")?;
            create.checks.push((name, parenthesised_expression(parser)?));
        } else if parser.words(&["CHECK"]) {
            let name = format!("check_{}", create.checks.len() + 1);
            create.checks.push((name, parenthesised_expression(parser)?));
        } else {
            let column = parse_column(parser)?;
            let name = column.name.clone();
            create.columns.push(column);
            if parser.words(&["PRIMARY", "KEY"]) {
                declare_primary_key(create, vec![name])?;
            }
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(())
}

fn declare_primary_key(create: &mut CreateTable, columns: Vec<String>) -> Result<()> {
    if !create.primary_key.is_empty() {
        return Err(QueryError::syntax("a table has one primary key; PRIMARY KEY (a, b) takes several columns"));
    }
    create.primary_key = columns;
    Ok(())
}

/// `CREATE INDEX [name] ON t [(columns)]`: the only index there is is that of the primary key.
fn parse_create_index(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.if_not_exists();
    if !parser.peek_word("ON") {
        parser.parse_identifier()?;
    }
    parser.expect_word("ON")?;
    let name = parser.table_name()?;
    let columns = match parser.peek_token_ref().token {
        Token::LParen => parser.column_list()?,
        _ => Vec::new(),
    };
    Ok(Statement::CreateIndex { name, columns })
}

fn parenthesised_expression(parser: &mut Parser<'_>) -> Result<String> {
    parser.expect_token(&Token::LParen)?;
    let text = parser.expression_text()?;
    parser.expect_token(&Token::RParen)?;
    Ok(text)
}

fn parse_column(parser: &mut Parser<'_>) -> Result<StructField> {
    let name = parser.parse_identifier()?.value;
    parse_column_of(parser, name)
}

/// What stands behind a column's name.
fn parse_column_of(parser: &mut Parser<'_>, name: String) -> Result<StructField> {
    let data_type = parse_type(parser)?;
    let mut field = StructField { name, data_type, nullable: true, metadata: Default::default() };
    loop {
        if parser.words(&["NOT", "NULL"]) {
            field.nullable = false;
        } else if parser.word("NULL") {
            field.nullable = true;
        } else if parser.word("DEFAULT") {
            // Protocol section "Default Columns".
            field.metadata.insert("CURRENT_DEFAULT".into(), parser.expression_text()?.into());
        } else if parser.word("COMMENT") {
            field.metadata.insert("comment".into(), parser.parse_literal_string()?.into());
        } else if parser.word("GENERATED") {
            field = generated::parse_generated(parser, field)?;
        } else if parser.word("UNIQUE") || parser.word("REFERENCES") {
            return Err(QueryError::unsupported("foreign and unique keys", "PRIMARY KEY (columns)"));
        } else {
            return Ok(field);
        }
    }
}

/// What may follow the columns, in any order, and the query.
fn parse_table_clauses(parser: &mut Parser<'_>, create: &mut CreateTable) -> Result<()> {
    loop {
        if parser.word("USING") {
            let format = parser.parse_identifier()?.value;
            if !format.eq_ignore_ascii_case("delta") {
                return Err(QueryError::unsupported(format!("tables of format {}", printable(&format)), "USING delta"));
            }
        } else if parser.words(&["PARTITIONED", "BY"]) {
            parse_partitioning(parser, create)?;
        } else if parser.words(&["CLUSTER", "BY"]) {
            create.clustered_by = Some(parse_clustering(parser)?);
        } else if parser.words(&["CLUSTERED", "BY"]) {
            return Err(QueryError::unsupported("tables in buckets (CLUSTERED BY)", "CLUSTER BY (columns)"));
        } else if parser.word("LOCATION") {
            create.location = Some(parser.parse_literal_string()?);
        } else if parser.word("COMMENT") {
            create.comment = Some(parser.parse_literal_string()?);
        } else if parser.word("TBLPROPERTIES") {
            create.properties.extend(parser.properties()?);
        } else if parser.word("AS") || parser.peek_word("SELECT") || parser.peek_word("WITH") {
            create.query = Some(parser.parse_query()?);
            return Ok(());
        } else {
            return Ok(());
        }
    }
}

/// `(a, s.b)`; `NONE` and `()` are no columns.
fn parse_clustering(parser: &mut Parser<'_>) -> Result<Vec<Vec<String>>> {
    if parser.word("NONE") {
        return Ok(Vec::new());
    }
    if parser.peek_word("AUTO") {
        return Err(QueryError::unsupported("CLUSTER BY AUTO", "CLUSTER BY (columns)"));
    }
    parser.expect_token(&Token::LParen)?;
    if parser.consume_token(&Token::RParen) {
        return Ok(Vec::new());
    }
    let mut columns = vec![alter::column_path(parser)?];
    while parser.consume_token(&Token::Comma) {
        columns.push(alter::column_path(parser)?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(columns)
}

/// `(a, b)` names columns of the table; `(a DATE)` adds them.
fn parse_partitioning(parser: &mut Parser<'_>, create: &mut CreateTable) -> Result<()> {
    parser.expect_token(&Token::LParen)?;
    loop {
        let typed = matches!(parser.peek_nth_token_ref(1).token, Token::Word(_));
        if typed {
            let field = parse_column(parser)?;
            create.partitioned_by.push(field.name.clone());
            create.columns.push(field);
        } else {
            create.partitioned_by.push(parser.parse_identifier()?.value);
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(())
}

fn parse_drop(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.advance_token();
    if parser.word("SCHEMA") || parser.word("DATABASE") {
        let if_exists = parser.if_exists();
        let name = schema_name(parser)?;
        let cascade = parser.word("CASCADE");
        if !cascade {
            parser.word("RESTRICT");
        }
        return Ok(Statement::DropSchema { name, if_exists, cascade });
    }
    if parser.word("INDEX") {
        parser.if_exists();
        if !parser.peek_word("ON") {
            parser.parse_identifier()?;
        }
        parser.expect_word("ON")?;
        return Ok(Statement::DropIndex(parser.table_name()?));
    }
    if !parser.word("TABLE") {
        return Err(unknown("DROP", parser));
    }
    let if_exists = parser.if_exists();
    let mut names = vec![parser.table_name()?];
    while parser.consume_token(&Token::Comma) {
        names.push(parser.table_name()?);
    }
    parser.word("PURGE");
    Ok(Statement::DropTable { names, if_exists })
}

fn parse_alter(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.advance_token();
    if !parser.word("TABLE") {
        return Err(unknown("ALTER", parser));
    }
    let name = parser.table_name()?;
    let action = if parser.words(&["SET", "TBLPROPERTIES"]) {
        AlterAction::SetProperties(parser.properties()?)
    } else if parser.words(&["UNSET", "TBLPROPERTIES"]) {
        let if_exists = parser.if_exists();
        AlterAction::UnsetProperties { names: parser.property_names()?, if_exists }
    } else if parser.words(&["CLUSTER", "BY"]) {
        AlterAction::ClusterBy(parse_clustering(parser)?)
    } else if parser.words(&["ADD", "PRIMARY", "KEY"]) {
        AlterAction::AddPrimaryKey(parser.column_list()?)
    } else if parser.words(&["DROP", "PRIMARY", "KEY"]) {
        let if_exists = parser.if_exists();
        parser.word("CASCADE");
        AlterAction::DropPrimaryKey { if_exists }
    } else if parser.words(&["ADD", "CONSTRAINT"]) {
        let name = parser.parse_identifier()?.value;
        if parser.words(&["PRIMARY", "KEY"]) {
            AlterAction::AddPrimaryKey(parser.column_list()?)
        } else {
            parser.expect_word("CHECK")?;
            AlterAction::AddConstraint { name, sql: parenthesised_expression(parser)? }
        }
    } else if parser.words(&["DROP", "CONSTRAINT"]) {
        let if_exists = parser.if_exists();
        AlterAction::DropConstraint { name: parser.parse_identifier()?.value, if_exists }
    } else if parser.words(&["DROP", "FEATURE"]) {
        let feature = parser.parse_identifier()?.value;
        AlterAction::DropFeature { feature, truncate_history: parser.words(&["TRUNCATE", "HISTORY"]) }
    } else if let Some(action) = alter::parse_column_action(parser)? {
        action
    } else {
        let what = format!("ALTER TABLE ... {}", printable(&parser.peek_token_ref().to_string()));
        return Err(QueryError::unsupported(
            what,
            "SET TBLPROPERTIES, UNSET TBLPROPERTIES, ADD COLUMN, RENAME COLUMN, DROP COLUMN, ALTER COLUMN, ADD PRIMARY KEY, \
             CLUSTER BY, ADD CONSTRAINT ... CHECK, DROP CONSTRAINT, DROP FEATURE",
        ));
    };
    Ok(Statement::Alter { name, action })
}

/// Of a table, a file, or the rows of a query.
fn parse_summarize(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.advance_token();
    if begins_query(parser) {
        return Ok(Statement::Summarize(parser.parse_query()?));
    }
    parser.word("TABLE");
    let name = parser.table_name()?;
    let mut all = Parser::new(&FloeDialect).try_with_sql(&format!("SELECT * FROM {name}"))?;
    Ok(Statement::Summarize(all.parse_query()?))
}

fn begins_query(parser: &Parser<'_>) -> bool {
    ["SELECT", "WITH", "VALUES", "FROM"].iter().any(|word| parser.peek_word(word))
}

fn parse_describe(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.advance_token();
    if parser.word("DETAIL") {
        return Ok(Statement::DescribeDetail(parser.table_name()?));
    }
    if parser.word("HISTORY") {
        let name = parser.table_name()?;
        let limit = if parser.word("LIMIT") { Some(parser.parse_literal_uint()? as usize) } else { None };
        return Ok(Statement::DescribeHistory { name, limit });
    }
    parser.word("QUERY");
    if begins_query(parser) {
        return Ok(Statement::DescribeQuery(parser.parse_query()?));
    }
    parser.word("TABLE");
    let _ = parser.word("EXTENDED") || parser.word("FORMATTED");
    Ok(Statement::DescribeTable(parser.table_name()?))
}

fn parse_show(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.advance_token();
    if parser.word("TABLES") {
        let schema = if parser.word("IN") || parser.word("FROM") { Some(schema_name(parser)?) } else { None };
        return Ok(Statement::ShowTables { schema, like: parse_like(parser)? });
    }
    if parser.word("SCHEMAS") || parser.word("DATABASES") {
        return Ok(Statement::ShowSchemas { like: parse_like(parser)? });
    }
    if parser.word("INDEX") || parser.word("INDEXES") {
        if !parser.word("ON") && !parser.word("IN") {
            parser.expect_word("FROM")?;
        }
        return Ok(Statement::ShowIndex(parser.table_name()?));
    }
    if parser.words(&["CREATE", "TABLE"]) {
        return Ok(Statement::ShowCreateTable(parser.table_name()?));
    }
    if parser.word("COLUMNS") {
        if !parser.word("IN") {
            parser.expect_word("FROM")?;
        }
        return Ok(Statement::ShowColumns(parser.table_name()?));
    }
    if parser.word("TBLPROPERTIES") {
        return Ok(Statement::ShowProperties(parser.table_name()?));
    }
    if parser.peek_word("FUNCTIONS") || parser.peek_word("VIEWS") || parser.peek_word("PARTITIONS") {
        return Err(unknown("SHOW", parser));
    }
    let mut variable = Vec::new();
    while parser.peek_token_ref().token != Token::EOF {
        variable.push(parser.parse_identifier()?);
        let _ = parser.consume_token(&Token::Period);
    }
    if variable.is_empty() {
        return Err(QueryError::UnknownStatement { statement: "SHOW".into() });
    }
    let statement = ast::Statement::ShowVariable { variable };
    Ok(Statement::Setting(Box::new(DFStatement::Statement(Box::new(statement)))))
}

fn parse_like(parser: &mut Parser<'_>) -> Result<Option<String>> {
    if parser.word("LIKE") || matches!(parser.peek_token_ref().token, Token::SingleQuotedString(_)) {
        return Ok(Some(parser.parse_literal_string()?));
    }
    Ok(None)
}

fn parse_optimize(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.advance_token();
    parser.word("TABLE");
    let name = parser.table_name()?;
    let full = parser.word("FULL");
    let filter = if parser.word("WHERE") { Some(Box::new(parser.parse_expr()?)) } else { None };
    let mut zorder = Vec::new();
    if parser.words(&["ZORDER", "BY"]) {
        if parser.peek_token_ref().token == Token::LParen {
            zorder = parser.column_list()?;
        } else {
            zorder.push(parser.parse_identifier()?.value);
            while parser.consume_token(&Token::Comma) {
                zorder.push(parser.parse_identifier()?.value);
            }
        }
    }
    Ok(Statement::Optimize { name, filter, zorder, full })
}

fn parse_vacuum(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.advance_token();
    parser.word("TABLE");
    let name = parser.table_name()?;
    let (mut retain_hours, mut dry_run) = (None, false);
    loop {
        if parser.word("RETAIN") {
            let token = parser.next_token();
            let Token::Number(text, _) = &token.token else {
                return Ok(parser.expected("a number of hours", token)?);
            };
            let hours: f64 = text.parse().map_err(|_| QueryError::syntax(format!("{text} is no number of hours")))?;
            parser.expect_word("HOURS")?;
            retain_hours = Some(hours);
        } else if parser.words(&["DRY", "RUN"]) {
            dry_run = true;
        } else if parser.word("LITE") || parser.word("FULL") {
            // Spark's modes: how files are found. Floe always lists.
        } else {
            return Ok(Statement::Vacuum { name, retain_hours, dry_run });
        }
    }
}

fn parse_restore(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.advance_token();
    parser.word("TABLE");
    let name = parser.table_name()?;
    parser.word("TO");
    if parser.words(&["VERSION", "AS", "OF"]) {
        let version = parser.parse_expr()?;
        return Ok(Statement::Restore { name, version: Box::new(ast::TableVersion::VersionAsOf(version)) });
    }
    if parser.words(&["TIMESTAMP", "AS", "OF"]) {
        let at = parser.parse_expr()?;
        return Ok(Statement::Restore { name, version: Box::new(ast::TableVersion::TimestampAsOf(at)) });
    }
    Ok(parser.expected("VERSION AS OF or TIMESTAMP AS OF", parser.peek_token())?)
}

/// `CONVERT TO DELTA name [NO STATISTICS] [PARTITIONED BY (name TYPE, ...)]`.
fn parse_convert(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.advance_token();
    parser.expect_word("TO")?;
    parser.expect_word("DELTA")?;
    let mut convert = Convert { name: parser.table_name()?, statistics: true, partitioned_by: Vec::new() };
    loop {
        if parser.words(&["NO", "STATISTICS"]) {
            convert.statistics = false;
        } else if parser.words(&["PARTITIONED", "BY"]) {
            parser.expect_token(&Token::LParen)?;
            convert.partitioned_by.push(parse_column(parser)?);
            while parser.consume_token(&Token::Comma) {
                convert.partitioned_by.push(parse_column(parser)?);
            }
            parser.expect_token(&Token::RParen)?;
        } else {
            return Ok(Statement::Convert(Box::new(convert)));
        }
    }
}

/// `SELECT * FROM name`.
fn select_all(name: &ast::ObjectName) -> Result<Box<ast::Query>> {
    Ok(Parser::new(&FloeDialect).try_with_sql(&format!("SELECT * FROM {name}"))?.parse_query()?)
}

fn schema_name(parser: &mut Parser<'_>) -> Result<String> {
    Ok(parser.parse_identifier()?.value)
}

#[cfg(test)]
mod tests;
