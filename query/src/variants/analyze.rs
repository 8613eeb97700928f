//! Plans with variants: their casts are computed here and not by Arrow, and comparisons are refused, because the bytes of
//! equal variants need not be equal.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;
use floe_storage::conform::holds_variant;
use floe_table_format::schema::is_variant_type;

use super::cast::Unfit;
use super::functions::{MAKE_VARIANTS, cast_function};

/// Casts of variants, and what must not be done with them.
#[derive(Debug)]
pub(super) struct VariantCasts;

impl AnalyzerRule for VariantCasts {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(rewrite).data()
    }

    fn name(&self) -> &str {
        "variant_casts"
    }
}

/// Whether variants come into a step of a plan, or are made in it. Nearly no plan has any, and must not pay for those that have.
fn has_variants(plan: &LogicalPlan) -> Result<bool> {
    let inputs = plan.inputs();
    let of_inputs = inputs.iter().map(|input| input.schema());
    let mut schemas = of_inputs.chain(inputs.is_empty().then(|| plan.schema()));
    if schemas.any(|schema| schema.fields().iter().any(|field| holds_variant(field.data_type()))) {
        return Ok(true);
    }
    let mut found = false;
    plan.apply_expressions(|expr| {
        found |= expr.exists(|expr| {
            Ok(match expr {
                Expr::ScalarFunction(function) => MAKE_VARIANTS.contains(&function.name()),
                Expr::OuterReferenceColumn(field, _) => holds_variant(field.data_type()),
                _ => false,
            })
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !has_variants(&plan)? {
        return Ok(Transformed::no(plan));
    }
    let inputs = plan.inputs();
    let mut schema = merge_schema(&inputs);
    if inputs.is_empty() {
        schema.merge(plan.schema());
    }
    check(&plan, &schema)?;
    let preserver = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = preserver.save(&expr);
        let rewritten = expr.transform_up(|expr| cast(expr, &schema))?;
        Ok(rewritten.update_data(|expr| name.restore(expr)))
    })?;
    match rewritten.transformed {
        true => rewritten.map_data(LogicalPlan::recompute_schema),
        false => Ok(rewritten),
    }
}

fn cast(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (inner, to, unfit) = match &expr {
        Expr::Cast(Cast { expr, field }) => (expr, field.data_type(), Unfit::Error),
        Expr::TryCast(TryCast { expr, field }) => (expr, field.data_type(), Unfit::Null),
        _ => return Ok(Transformed::no(expr)),
    };
    // What cannot be typed yet is somebody else's: an outer column, say.
    let Ok(from) = inner.get_type(schema) else { return Ok(Transformed::no(expr)) };
    if !is_variant_type(&from) || is_variant_type(to) {
        return Ok(Transformed::no(expr));
    }
    let function = Arc::new(cast_function(to.clone(), unfit));
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![inner.as_ref().clone()]))))
}

/// Refuses to compare, order or group variants.
fn check(plan: &LogicalPlan, schema: &DFSchema) -> Result<()> {
    let variant = |expr: &&Expr| expr.get_type(schema).is_ok_and(|data_type| holds_variant(&data_type));
    let keys: Vec<&Expr> = match plan {
        LogicalPlan::Sort(sort) => sort.expr.iter().map(|sort| &sort.expr).collect(),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.iter().collect(),
        LogicalPlan::Join(join) => join.on.iter().flat_map(|(one, other)| [one, other]).collect(),
        LogicalPlan::Distinct(Distinct::On(distinct)) => distinct.on_expr.iter().collect(),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            if let Some(field) = input.schema().fields().iter().find(|field| holds_variant(field.data_type())) {
                return plan_err!("cannot find the DISTINCT values of {}: {NO_ORDER}", field.name());
            }
            Vec::new()
        }
        _ => Vec::new(),
    };
    if let Some(key) = keys.into_iter().find(variant) {
        return plan_err!("cannot sort, group or join by {key}: {NO_ORDER}");
    }
    for expr in plan.expressions() {
        expr.apply(|expr| match compared(expr).into_iter().find(variant) {
            Some(compared) => plan_err!("cannot compare {compared}: {NO_ORDER}"),
            None => Ok(TreeNodeRecursion::Continue),
        })?;
    }
    Ok(())
}

const NO_ORDER: &str =
    "variants have neither order nor equality; compare a part, as in variant_get(v, '$.a', 'string')";

/// What an expression compares with something, or puts in order.
fn compared(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom => vec![&binary.left, &binary.right],
            _ => Vec::new(),
        },
        Expr::InList(list) => vec![&list.expr],
        Expr::InSubquery(list) => vec![&list.expr],
        Expr::Between(between) => vec![&between.expr],
        Expr::Case(case) => case.expr.iter().map(AsRef::as_ref).collect(),
        Expr::WindowFunction(window) => {
            let order = window.params.order_by.iter().map(|sort| &sort.expr);
            window.params.partition_by.iter().chain(order).collect()
        }
        Expr::AggregateFunction(aggregate) => {
            let compares = aggregate.params.distinct || matches!(aggregate.func.name(), "min" | "max");
            let order = aggregate.params.order_by.iter().map(|sort| &sort.expr);
            aggregate.params.args.iter().filter(|_| compares).chain(order).collect()
        }
        _ => Vec::new(),
    }
}
