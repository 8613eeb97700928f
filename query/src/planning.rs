//! From a parsed statement to a logical plan: every relation is opened first, then DataFusion plans against them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::catalog::{TableFunctionArgs, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::file_options::file_type::FileType;
use datafusion::common::{DFSchema, DataFusionError, ScalarValue, TableReference, plan_datafusion_err};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::parser::Statement as DFStatement;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel, object_name_to_table_reference};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast;

use crate::error::{QueryError, Result};
use crate::names::{self, Columns};
use crate::relation::{OpenedRelations, Reference, References, relation_key};
use crate::rewrites::rewrite;
use crate::session::Session;

/// Names in SQL are not folded by DataFusion: [`names`] gives every name the spelling of the table it belongs to.
pub(crate) fn parser_options(state: &SessionState) -> ParserOptions {
    ParserOptions::from(&state.config_options().sql_parser).with_enable_ident_normalization(false)
}

/// A statement whose relations are open, about to be planned.
pub(crate) struct Planning {
    state: SessionState,
    tables: HashMap<TableReference, Arc<dyn TableSource>>,
    columns: Columns,
    planners: Vec<Arc<dyn RelationPlanner>>,
    opened: Arc<OpenedRelations>,
}

impl Planning {
    /// Opens every relation that the statement names. The statement is changed only in how it spells the names of common
    /// table expressions.
    ///
    /// `targets` are relations known already, under the name by which the statement calls them.
    pub(crate) async fn prepare(
        session: &Session,
        statement: &mut ast::Statement,
        targets: Vec<(&str, Arc<dyn TableProvider>)>,
    ) -> Result<Planning> {
        names::spell_ctes(statement);
        let state = session.context().state();
        let mut planning = Planning {
            tables: HashMap::new(),
            columns: Columns::default(),
            planners: Vec::new(),
            opened: Arc::new(OpenedRelations::default()),
            state,
        };
        for (name, provider) in targets {
            planning.columns.add(name.to_owned(), provider.schema());
            planning.tables.insert(TableReference::bare(name), provider_as_source(provider));
        }
        let mut opened = OpenedRelations::default();
        let (wanted, _) = resolve_table_references(&DFStatement::Statement(Box::new(statement.clone())), false)?;
        for reference in References::of(statement) {
            match reference {
                Reference::Current(name) => {
                    let table_ref = object_name_to_table_reference(name.clone(), false)?;
                    // What is no wanted relation is a common table expression.
                    if planning.tables.contains_key(&table_ref) || !wanted.contains(&table_ref) {
                        continue;
                    }
                    let provider = Box::pin(session.provider(&name)).await?;
                    planning.columns.add(name.to_string(), provider.schema());
                    planning.tables.insert(table_ref, provider_as_source(provider));
                }
                Reference::Versioned { name, version } => {
                    let key = relation_key(&name, Some(&version), None);
                    let spec = planning.version_spec(&version)?;
                    let provider = Box::pin(session.provider_at(&name, spec)).await?;
                    planning.columns.add(key.clone(), provider.schema());
                    opened.insert(key, provider_as_source(provider));
                }
                Reference::Function { name, args } => {
                    let key = relation_key(&name, None, Some(&args));
                    let values = args.args.iter().map(|arg| planning.argument(arg)).collect::<Result<Vec<_>>>();
                    let Some(function) = crate::functions::TableFunction::named(&name) else {
                        // DataFusion opens its own; only the names of its columns matter here.
                        let literals =
                            values.map(|values| values.into_iter().map(|v| Expr::Literal(v, None)).collect());
                        if let Ok(source) =
                            literals.and_then(|args| Ok(planning.get_table_function_source(&name.to_string(), args)?))
                        {
                            planning.columns.add(key, source.schema());
                        }
                        continue;
                    };
                    let values = values?;
                    let provider = Box::pin(function.open(session, &values)).await?;
                    planning.columns.add(key.clone(), provider.schema());
                    opened.insert(key, provider_as_source(provider));
                }
            }
        }
        planning.opened = Arc::new(opened);
        planning.planners = vec![planning.opened.clone() as Arc<dyn RelationPlanner>];
        planning.planners.extend(planning.state.relation_planners().iter().cloned());
        Ok(planning)
    }

    /// Plans the statement, its names spelled as the tables spell them.
    pub(crate) fn plan(&self, mut statement: ast::Statement) -> Result<LogicalPlan> {
        rewrite(&mut statement);
        names::spell(&mut statement, &self.columns);
        let planner = SqlToRel::new_with_options(self, parser_options(&self.state));
        Ok(planner.statement_to_plan(DFStatement::Statement(Box::new(statement)))?)
    }

    /// Runs a SHOW of a setting.
    pub(crate) async fn show(&self, session: &Session, statement: ast::Statement) -> Result<crate::output::Outcome> {
        let plan = session.context().state().statement_to_plan(DFStatement::Statement(Box::new(statement))).await?;
        let frame = session.context().execute_logical_plan(plan).await?;
        Ok(crate::output::Outcome::Rows(frame.execute_stream().await?))
    }

    /// The version that `VERSION AS OF ...` and its kin mean.
    pub(crate) fn version_spec(&self, version: &ast::TableVersion) -> Result<floe_table_format::VersionSpec> {
        version_spec(&self.state, version)
    }

    fn argument(&self, arg: &ast::FunctionArg) -> Result<ScalarValue> {
        match arg {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => constant(&self.state, expr),
            other => Err(QueryError::invalid_argument(format!("{other} is no constant"))),
        }
    }
}

/// The value of an expression that needs no row.
pub(crate) fn constant(state: &SessionState, expr: &ast::Expr) -> Result<ScalarValue> {
    let provider = Planning {
        state: state.clone(),
        tables: HashMap::new(),
        columns: Columns::default(),
        planners: Vec::new(),
        opened: Arc::new(OpenedRelations::default()),
    };
    let planner = SqlToRel::new_with_options(&provider, parser_options(state));
    let schema = DFSchema::empty();
    let planned = planner.sql_to_expr(expr.clone(), &schema, &mut PlannerContext::new())?;
    match simplify(state, planned)? {
        Expr::Literal(value, _) => Ok(value),
        _ => Err(QueryError::invalid_argument(format!("{expr} is no constant"))),
    }
}

fn simplify(state: &SessionState, expr: Expr) -> Result<Expr> {
    let context = SimplifyContext::builder()
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(state.execution_props().query_execution_start_time)
        .build();
    let simplifier = ExprSimplifier::new(context);
    let schema = DFSchema::empty();
    Ok(simplifier.coerce(expr, &schema).and_then(|e| simplifier.simplify(e))?)
}

/// The version that `VERSION AS OF ...` and its kin mean. Times without a zone are UTC.
pub(crate) fn version_spec(
    state: &SessionState,
    version: &ast::TableVersion,
) -> Result<floe_table_format::VersionSpec> {
    use floe_table_format::{TimestampMs, Version, VersionSpec};
    match version {
        ast::TableVersion::VersionAsOf(expr) => {
            let value = constant(state, expr)?;
            let number = match value.cast_to(&DataType::Int64) {
                Ok(ScalarValue::Int64(Some(number))) => number,
                _ => {
                    return Err(QueryError::invalid_argument(format!(
                        "{expr} is no version: versions are 0, 1, 2, ..."
                    )));
                }
            };
            Ok(VersionSpec::Version(Version::try_from(number)?))
        }
        ast::TableVersion::TimestampAsOf(expr) | ast::TableVersion::ForSystemTimeAsOf(expr) => {
            let target = DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, Some("UTC".into()));
            match constant(state, expr)?.cast_to(&target) {
                Ok(ScalarValue::TimestampMillisecond(Some(at), _)) => Ok(VersionSpec::Timestamp(TimestampMs(at))),
                _ => Err(QueryError::invalid_argument(format!(
                    "{expr} is no point in time, as '2024-05-01' and '2024-05-01 12:30:00' are"
                ))),
            }
        }
        other => Err(QueryError::unsupported(
            format!("the table version {other}"),
            "VERSION AS OF n, TIMESTAMP AS OF 'time', FOR SYSTEM_TIME AS OF 'time'",
        )),
    }
}

impl ContextProvider for Planning {
    fn get_table_source(&self, name: TableReference) -> datafusion::error::Result<Arc<dyn TableSource>> {
        self.tables.get(&name).cloned().ok_or_else(|| {
            DataFusionError::External(Box::new(QueryError::unknown_table(name.to_string(), std::iter::empty())))
        })
    }

    fn get_file_type(&self, extension: &str) -> datafusion::error::Result<Arc<dyn FileType>> {
        let factory = self
            .state
            .get_file_format_factory(extension)
            .ok_or_else(|| plan_datafusion_err!("no files of type {extension} can be written"))?;
        Ok(datafusion::datasource::file_format::format_as_file_type(factory))
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> datafusion::error::Result<Arc<dyn TableSource>> {
        let functions = self.state.table_functions();
        let Some(function) = functions.get(name).or_else(|| functions.get(&name.to_lowercase())) else {
            let known = functions.keys().map(String::as_str).chain(crate::functions::NAMES.iter().copied());
            let nearest = floe_table_format::schema::nearest(name, known);
            let hint = nearest.map(|n| format!(", did you mean {n}?")).unwrap_or_default();
            let what = format!("unknown table function {name}{hint}");
            return Err(DataFusionError::External(Box::new(QueryError::invalid_argument(what))));
        };
        let args = args
            .into_iter()
            .map(|arg| simplify(&self.state, arg).map_err(DataFusionError::from))
            .collect::<datafusion::error::Result<Vec<_>>>()?;
        let provider = function.create_table_provider_with_args(TableFunctionArgs::new(&args, &self.state))?;
        Ok(provider_as_source(provider))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> datafusion::error::Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(SparkTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}

/// Spark's type names that DataFusion does not know, for casts.
#[derive(Debug)]
struct SparkTypes;

impl TypePlanner for SparkTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> datafusion::error::Result<Option<FieldRef>> {
        use arrow::datatypes::{Field, TimeUnit};
        let data_type = match sql_type {
            ast::DataType::Custom(name, arguments) if arguments.is_empty() => {
                match name.to_string().to_uppercase().as_str() {
                    "LONG" => DataType::Int64,
                    "SHORT" => DataType::Int16,
                    "BYTE" => DataType::Int8,
                    "TIMESTAMP_NTZ" => DataType::Timestamp(TimeUnit::Microsecond, None),
                    "TIMESTAMP_LTZ" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                    _ => return Ok(None),
                }
            }
            // In nanoseconds, which DataFusion would take, the years before 1678 and after 2262 have no place.
            ast::DataType::Timestamp(None | Some(6), ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone) => {
                DataType::Timestamp(TimeUnit::Microsecond, None)
            }
            ast::DataType::TimestampNtz(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
            ast::DataType::Binary(_) => DataType::Binary,
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}
