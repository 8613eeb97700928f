//! SHOW and USE.

use datafusion::sql::sqlparser::ast::ObjectName;
use floe_table_format::clustering::clustering_columns;
use floe_table_format::{StructField, TableState};

use crate::error::Result;
use crate::output::{Done, Outcome};
use crate::rows::{Cell, Rows};
use crate::session::Session;
use crate::types::{quoted, sql_type};

pub(super) async fn use_schema(session: &Session, name: &str) -> Result<Outcome> {
    session.use_schema(name).await?;
    Ok(Done::new(format!("using schema {}", session.current_schema())).into())
}

pub(super) async fn tables(session: &Session, schema: Option<String>, like: Option<String>) -> Result<Outcome> {
    let schema = session.warehouse().schema(&schema.unwrap_or_else(|| session.current_schema())).await?;
    let mut rows = Rows::new(&[
        ("namespace", Cell::Text(None)),
        ("tableName", Cell::Text(None)),
        ("tableType", Cell::Text(None)),
        ("location", Cell::Text(None)),
    ]);
    for table in session.warehouse().tables(&schema).await? {
        if matches_like(&table.name, like.as_deref()) {
            let kind = if table.external { "EXTERNAL" } else { "MANAGED" };
            rows.push(vec![table.schema.into(), table.name.into(), kind.into(), table.uri.into()])?;
        }
    }
    rows.outcome()
}

pub(super) async fn schemas(session: &Session, like: Option<String>) -> Result<Outcome> {
    let mut rows = Rows::new(&[("namespace", Cell::Text(None))]);
    for schema in session.warehouse().schemas().await? {
        if matches_like(&schema, like.as_deref()) {
            rows.push(vec![schema.into()])?;
        }
    }
    rows.outcome()
}

/// SQL's `%` and `_`, Spark's `*` and `|`; without regard to case.
fn matches_like(name: &str, pattern: Option<&str>) -> bool {
    let Some(pattern) = pattern else {
        return true;
    };
    let name: Vec<char> = name.to_lowercase().chars().collect();
    pattern.to_lowercase().split('|').any(|one| wildcard(&name, &one.chars().collect::<Vec<_>>()))
}

/// Linear in both: only the last star is ever gone back to.
fn wildcard(name: &[char], pattern: &[char]) -> bool {
    let (mut at, mut next) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        match pattern.get(next) {
            Some('*' | '%') => {
                star = Some((at, next + 1));
                next += 1;
            }
            Some(c) if *c == '_' || *c == name[at] => {
                at += 1;
                next += 1;
            }
            _ => match star {
                Some((tried, after)) => {
                    star = Some((tried + 1, after));
                    at = tried + 1;
                    next = after;
                }
                None => return false,
            },
        }
    }
    pattern[next..].iter().all(|c| matches!(c, '*' | '%'))
}

pub(super) async fn create_table(session: &Session, name: &ObjectName) -> Result<Outcome> {
    let table = session.table_named(name).await?;
    let snapshot = table.cached_snapshot().await?;
    let mut rows = Rows::new(&[("createtab_stmt", Cell::Text(None))]);
    rows.push(vec![create_statement(&name.to_string(), snapshot.state(), table.uri()).into()])?;
    rows.outcome()
}

/// The statement that makes a table like this one.
fn create_statement(name: &str, state: &TableState, uri: &str) -> String {
    let constraint = |key: &str| key.to_ascii_lowercase().starts_with("delta.constraints.");
    let mut lines: Vec<String> = state.schema.fields.iter().map(column_line).collect();
    for (key, sql) in state.metadata.configuration.iter().filter(|(key, _)| constraint(key)) {
        let constraint_name = key.rsplit('.').next().unwrap_or(key);
        lines.push(format!("  CONSTRAINT {} CHECK ({sql})", quoted(constraint_name)));
    }
    if !state.properties.primary_key.is_empty() {
        let columns: Vec<String> = state.properties.primary_key.iter().map(|c| quoted(c)).collect();
        lines.push(format!("  PRIMARY KEY ({})", columns.join(", ")));
    }
    let mut out = format!("CREATE TABLE {name} (\n{})\nUSING delta", lines.join(",\n"));
    if !state.metadata.partition_columns.is_empty() {
        let columns: Vec<String> = state.metadata.partition_columns.iter().map(|c| quoted(c)).collect();
        out.push_str(&format!("\nPARTITIONED BY ({})", columns.join(", ")));
    }
    if let Ok(Some(columns)) = clustering_columns(state)
        && !columns.is_empty()
    {
        let path = |path: &Vec<String>| path.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(".");
        out.push_str(&format!("\nCLUSTER BY ({})", columns.iter().map(path).collect::<Vec<_>>().join(", ")));
    }
    if let Some(comment) = &state.metadata.description {
        out.push_str(&format!("\nCOMMENT {}", literal(comment)));
    }
    out.push_str(&format!("\nLOCATION {}", literal(uri)));
    let properties: Vec<String> = state
        .metadata
        .configuration
        .iter()
        .filter(|(key, _)| !constraint(key) && !floe_table_format::property::is_internal(key))
        .map(|(key, value)| format!("  {} = {}", literal(key), literal(value)))
        .collect();
    if !properties.is_empty() {
        out.push_str(&format!("\nTBLPROPERTIES (\n{})", properties.join(",\n")));
    }
    out
}

fn column_line(field: &StructField) -> String {
    let mut line = format!("  {} {}", quoted(&field.name), sql_type(&field.data_type));
    if !field.nullable {
        line.push_str(" NOT NULL");
    }
    if let Ok(Some(identity)) = field.identity() {
        let kind = if identity.allow_explicit_insert { "BY DEFAULT" } else { "ALWAYS" };
        let (start, step) = (identity.start, identity.step);
        line.push_str(&format!(" GENERATED {kind} AS IDENTITY (START WITH {start} INCREMENT BY {step})"));
    }
    if let Some(sql) = field.generation_expression() {
        line.push_str(&format!(" GENERATED ALWAYS AS ({sql})"));
    }
    if let Some(default) = field.default_expression() {
        line.push_str(&format!(" DEFAULT {default}"));
    }
    if let Some(comment) = field.comment() {
        line.push_str(&format!(" COMMENT {}", literal(comment)));
    }
    line
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(super) async fn columns(session: &Session, name: &ObjectName) -> Result<Outcome> {
    let mut rows = Rows::new(&[("col_name", Cell::Text(None))]);
    for field in session.provider(name).await?.schema().fields() {
        rows.push(vec![field.name().clone().into()])?;
    }
    rows.outcome()
}

pub(super) async fn properties(session: &Session, name: &ObjectName) -> Result<Outcome> {
    let snapshot = session.table_named(name).await?.cached_snapshot().await?;
    let mut rows = Rows::new(&[("key", Cell::Text(None)), ("value", Cell::Text(None))]);
    for (key, value) in &snapshot.state().metadata.configuration {
        rows.push(vec![key.clone().into(), value.clone().into()])?;
    }
    rows.outcome()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_sql_and_in_spark() {
        for (name, pattern, expected) in [
            ("orders", "orders", true),
            ("orders", "ORD%", true),
            ("orders", "*ers", true),
            ("orders", "o_ders", true),
            ("orders", "lines|ord*", true),
            ("orders", "order", false),
            ("orders", "", false),
            ("aaab", "*a*b", true),
            ("aaab", "*b*a", false),
        ] {
            assert_eq!(matches_like(name, Some(pattern)), expected, "{name} like {pattern}");
        }
    }
}
