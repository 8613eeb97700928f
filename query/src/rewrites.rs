//! What statements may say that the planner does not know: casts to variants.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    Statement, VisitMut, VisitorMut,
};

use crate::variants::TO_VARIANT;

/// Says the same in words that the planner reads.
pub(crate) fn rewrite(statement: &mut Statement) {
    let _ = statement.visit(&mut Rewrites);
}

struct Rewrites;

impl VisitorMut for Rewrites {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        // To DataFusion it would be a cast of structs.
        if let Expr::Cast { expr: value, data_type, .. } = expr
            && is_variant(data_type)
        {
            *expr = call(TO_VARIANT, value.as_ref().clone());
        }
        ControlFlow::Continue(())
    }
}

fn is_variant(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Custom(name, _) if name.to_string().eq_ignore_ascii_case("variant"))
}

fn call(function: &str, argument: Expr) -> Expr {
    let argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(argument));
    let arguments = FunctionArgumentList { duplicate_treatment: None, args: vec![argument], clauses: Vec::new() };
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(function)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(arguments),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
