//! Variants in SQL: the functions that make and take them apart, casts to and from them, and what cannot be asked of them.
//!
//! Protocol section "Variant Data Type". Names and meaning are Spark's.

use std::sync::Arc;

use datafusion::prelude::SessionContext;

mod analyze;
mod cast;
mod functions;
mod path;

/// Makes a context understand variants.
pub(crate) fn register(context: &SessionContext) {
    for function in functions::all() {
        context.register_udf(function);
    }
    context.add_analyzer_rule(Arc::new(analyze::VariantCasts));
}

/// The function that `CAST(value AS VARIANT)` means.
pub(crate) const TO_VARIANT: &str = "to_variant";
