//! SELECT, EXPLAIN, and settings.

use std::sync::Arc;

use datafusion::config::ConfigField;
use datafusion::dataframe::DataFrame;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::{ResetStatement, Statement as DFStatement};
use datafusion::sql::sqlparser::ast;

use crate::error::{QueryError, Result};
use crate::output::{Done, Outcome};
use crate::planning::Planning;
use crate::progress::run_watched;
use crate::session::{RETENTION_CHECK, Session};
use crate::statement::Statement;

/// Spark's name for [`RETENTION_CHECK`].
const SPARK_RETENTION_CHECK: &str = "spark.databricks.delta.retentiondurationcheck.enabled";

/// The plan of a query, not optimised.
pub(crate) async fn plan(session: &Session, query: ast::Query) -> Result<LogicalPlan> {
    let mut statement = ast::Statement::Query(Box::new(query));
    let planning = Planning::prepare(session, &mut statement, Vec::new()).await?;
    planning.plan(statement)
}

/// The query as a data frame of the session.
pub(crate) async fn data_frame(session: &Session, query: ast::Query) -> Result<DataFrame> {
    Ok(DataFrame::new(session.context().state(), plan(session, query).await?))
}

/// The rows of a data frame, which [`Session::progress`] counts as they are read.
pub(super) async fn rows_of(frame: DataFrame) -> Result<SendableRecordBatchStream> {
    let context = Arc::new(frame.task_ctx());
    let (state, plan) = frame.into_parts();
    let plan = state.create_physical_plan(&plan).await?;
    Ok(run_watched(state.config(), plan, context)?)
}

pub(super) async fn select(session: &Session, query: ast::Query) -> Result<Outcome> {
    rows_of(data_frame(session, query).await?).await.map(Outcome::Rows)
}

pub(super) async fn explain(session: &Session, statement: Statement, analyze: bool, verbose: bool) -> Result<Outcome> {
    let query = match statement {
        Statement::Query(query) => query,
        Statement::Upsert(insert) => return Box::pin(super::upsert::explain(session, *insert)).await,
        Statement::Merge(merge) => return Box::pin(super::merge::explain(session, *merge)).await,
        _ => {
            return Err(QueryError::unsupported(
                "EXPLAIN of this statement",
                "EXPLAIN works on queries, UPSERT and MERGE",
            ));
        }
    };
    let plan = LogicalPlanBuilder::from(plan(session, *query).await?).explain(verbose, analyze)?.build()?;
    Ok(Outcome::Rows(DataFrame::new(session.context().state(), plan).execute_stream().await?))
}

/// SET, RESET and SHOW of a setting.
pub(super) async fn setting(session: &Session, statement: DFStatement) -> Result<Outcome> {
    match statement {
        DFStatement::Statement(statement) => match *statement {
            ast::Statement::Set(set) => self::set(session, set).await,
            mut other => {
                let planning = Planning::prepare(session, &mut other, Vec::new()).await?;
                planning.show(session, other).await
            }
        },
        DFStatement::Reset(ResetStatement::Variable(name)) => {
            let name = name.to_string().to_lowercase();
            let state = session.context().state_ref();
            state.write().config_mut().options_mut().reset(&name)?;
            Ok(Done::new(format!("reset {name}")).into())
        }
        other => Err(QueryError::UnknownStatement { statement: other.to_string() }),
    }
}

async fn set(session: &Session, set: ast::Set) -> Result<Outcome> {
    let ast::Set::SingleAssignment { variable, values, .. } = &set else {
        return Err(QueryError::unsupported("this form of SET", "SET name = value"));
    };
    let [value] = values.as_slice() else {
        return Err(QueryError::unsupported("SET with several values", "SET name = value"));
    };
    let parts: Vec<String> =
        variable.0.iter().filter_map(|p| p.as_ident()).map(|ident| ident.value.to_lowercase()).collect();
    let mut name = parts.join(".");
    if name == SPARK_RETENTION_CHECK {
        name = RETENTION_CHECK.into();
    }
    if name == "timezone" || name == "time.zone" {
        name = "datafusion.execution.time_zone".into();
    }
    let text = match value {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) | ast::Value::DoubleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        ast::Expr::Identifier(ident) => ident.value.clone(),
        other => other.to_string(),
    };
    let outcome = session.context().state_ref().write().config_mut().options_mut().set(&name, &text);
    // The lock is free again: looking at the settings takes it.
    outcome.map_err(|_| {
        let options = session.context().copied_config();
        let known: Vec<String> = options.options().entries().into_iter().map(|entry| entry.key).collect();
        let nearest = floe_table_format::schema::nearest(&name, known.iter().map(String::as_str));
        let hint = nearest.filter(|n| *n != name).map(|n| format!(", did you mean {n}?")).unwrap_or_default();
        let shown = floe_table_format::error::printable(&text);
        QueryError::invalid_argument(format!("cannot set {name} to {shown}{hint}"))
    })?;
    Ok(Done::new(format!("set {name}")).into())
}
