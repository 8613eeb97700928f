//! SQL expressions that a table brings along: CHECK constraints, invariants, column defaults and generated columns.
//!
//! They are written once and evaluated by whoever writes, so they see functions and the table's own columns and nothing
//! else.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::Schema;
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, ExprWithAlias, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    visit_expressions_mut,
};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::dialect::FloeDialect;

/// The built-in functions and nothing else.
pub(crate) fn built_in() -> &'static SessionState {
    static STATE: OnceLock<SessionState> = OnceLock::new();
    STATE.get_or_init(|| SessionStateBuilder::new().with_default_features().build())
}

/// The expression that `sql` stands for over these columns. Names are found without regard to case.
///
/// # Errors
/// Text that is no expression, unknown columns and functions.
pub(crate) fn parse(sql: &str, schema: &Schema) -> Result<Expr> {
    parse_in(built_in(), sql, schema)
}

/// As [`parse`], with the functions of a session.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_in(state: &SessionState, sql: &str, schema: &Schema) -> Result<Expr> {
    let mut parser = Parser::new(&FloeDialect).try_with_sql(sql)?;
    let mut parsed = parser.parse_expr()?;
    parser.expect_token(&Token::EOF)?;
    let spell = |ident: &mut Ident| {
        let names = || schema.fields().iter().map(|field| field.name());
        let known = names().find(|name| **name == ident.value);
        if let Some(name) = known.or_else(|| names().find(|name| name.eq_ignore_ascii_case(&ident.value))) {
            ident.value = name.clone();
            // Quoted, so that planning takes it as it is.
            ident.quote_style = Some('"');
        }
    };
    let _ = visit_expressions_mut(&mut parsed, |expr| {
        match expr {
            SqlExpr::Identifier(ident) => spell(ident),
            SqlExpr::CompoundIdentifier(parts) => {
                if let Some(first) = parts.first_mut() {
                    spell(first);
                }
            }
            SqlExpr::Function(call) => {
                if let Some(meant) = as_spark_means(call) {
                    *expr = meant;
                }
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    let schema = DFSchema::try_from(schema.clone())?;
    state.create_logical_expr_from_sql_expr(ExprWithAlias { expr: parsed, alias: None }, &schema)
}

/// Functions that Spark has and the engine lacks, or understands otherwise, in its own words.
fn as_spark_means(call: &Function) -> Option<SqlExpr> {
    let [name] = call.name.0.as_slice() else { return None };
    let name = name.as_ident()?.value.to_lowercase();
    let FunctionArguments::List(list) = &call.args else { return None };
    let arguments = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => Some(argument.clone()),
        _ => None,
    });
    let arguments = arguments.collect::<Option<Vec<SqlExpr>>>()?;
    let text = |expr: String| Parser::new(&FloeDialect).try_with_sql(&expr).ok()?.parse_expr().ok();
    match (name.as_str(), arguments.as_slice()) {
        ("year" | "quarter" | "month" | "day" | "hour" | "minute", [of]) => text(format!("date_part('{name}', {of})")),
        ("dayofmonth", [of]) => text(format!("date_part('day', {of})")),
        ("date", [of]) => text(format!("CAST({of} AS DATE)")),
        // Null if any part is, which the engine's own function passes over.
        ("concat", [first, rest @ ..]) if !rest.is_empty() => {
            let parts = rest.iter().fold(format!("({first})"), |joined, part| format!("{joined} || ({part})"));
            text(format!("({parts})"))
        }
        // The engine's own is an expression only once the optimiser has seen it.
        ("coalesce", [parts @ .., last]) if !parts.is_empty() => {
            let cases: String = parts.iter().map(|part| format!("WHEN ({part}) IS NOT NULL THEN ({part}) ")).collect();
            text(format!("(CASE {cases}ELSE ({last}) END)"))
        }
        ("nullif", [one, other]) => text(format!("(CASE WHEN ({one}) = ({other}) THEN NULL ELSE ({one}) END)")),
        _ => None,
    }
}

/// The expression that `sql` stands for, ready to evaluate on batches of these columns.
///
/// # Errors
/// As [`parse`], and types that do not fit together.
pub(crate) fn compile(state: Option<&SessionState>, sql: &str, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let state = state.unwrap_or_else(|| built_in());
    let expr = parse_in(state, sql, schema)?;
    state.create_physical_expr(expr, &DFSchema::try_from(schema.clone())?)
}
