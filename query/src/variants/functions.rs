//! The functions, by Spark's names.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBuilder, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::{ScalarValue, exec_err, internal_err, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::parser::Parser;
use floe_storage::variant::{Variants, append_json, checked, to_json};
use floe_table_format::schema::{is_variant_type, variant_type};
use parquet_variant::{Variant, VariantBuilder};
use parquet_variant_compute::{VariantArrayBuilder, cast_to_variant};

use super::TO_VARIANT;
use super::cast::{Unfit, cast_values, field_of, schema_text};
use super::path::Path;
use crate::dialect::FloeDialect;
use crate::types::parse_type;

/// Every function.
pub(super) fn all() -> Vec<ScalarUDF> {
    let kinds = [
        Kind::ParseJson(Unfit::Error),
        Kind::ParseJson(Unfit::Null),
        Kind::ToVariant,
        Kind::ToJson,
        Kind::Get(Unfit::Error),
        Kind::Get(Unfit::Null),
        Kind::IsNull,
        Kind::Schema,
    ];
    kinds.into_iter().map(VariantFunction::udf).collect()
}

/// The functions that give variants.
pub(super) const MAKE_VARIANTS: [&str; 5] =
    ["parse_json", "try_parse_json", TO_VARIANT, "variant_get", "try_variant_get"];

/// The cast of a variant to another type, as a function of it.
pub(super) fn cast_function(to: DataType, unfit: Unfit) -> ScalarUDF {
    VariantFunction::udf(Kind::Cast(to, unfit))
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    ParseJson(Unfit),
    ToVariant,
    ToJson,
    Get(Unfit),
    IsNull,
    Schema,
    Cast(DataType, Unfit),
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct VariantFunction {
    kind: Kind,
    signature: Signature,
    aliases: Vec<String>,
}

impl VariantFunction {
    fn udf(kind: Kind) -> ScalarUDF {
        let immutable = Volatility::Immutable;
        let signature = match kind {
            Kind::ParseJson(_) => Signature::string(1, immutable),
            Kind::Get(_) => Signature::one_of(
                vec![datafusion::logical_expr::TypeSignature::Any(2), datafusion::logical_expr::TypeSignature::Any(3)],
                immutable,
            ),
            _ => Signature::any(1, immutable),
        };
        let aliases = match kind {
            Kind::ToVariant => vec!["to_variant_object".to_owned()],
            _ => Vec::new(),
        };
        ScalarUDF::new_from_impl(VariantFunction { kind, signature, aliases })
    }

    /// The type that the third argument names.
    fn wanted(&self, args: &ReturnFieldArgs<'_>) -> Result<DataType> {
        let Some(name) = args.scalar_arguments.get(2) else { return Ok(variant_type()) };
        let Some(name) = name.and_then(text_of_scalar) else {
            return plan_err!("{}: the type is a constant text, such as 'int'", self.name());
        };
        let parsed = Parser::new(&FloeDialect).try_with_sql(name).map_err(DataFusionError::from);
        let parsed = parsed.and_then(|mut parser| {
            let parsed = parse_type(&mut parser)?;
            parser.expect_token(&datafusion::sql::sqlparser::tokenizer::Token::EOF)?;
            Ok(parsed)
        });
        let data_type = parsed.map_err(|error| {
            let what = error.strip_backtrace();
            DataFusionError::Plan(format!("{}: {name} is no type: {what}", self.name()))
        })?;
        data_type.to_arrow().map_err(|error| DataFusionError::External(Box::new(error)))
    }

    fn path(&self, args: &ReturnFieldArgs<'_>) -> Result<Path> {
        let Some(text) = args.scalar_arguments.get(1).copied().flatten().and_then(text_of_scalar) else {
            return plan_err!("{}: the path is a constant text, such as '$.a[0]'", self.name());
        };
        Path::parse(text).map_err(|what| DataFusionError::Plan(format!("{}: {what}", self.name())))
    }
}

fn text_of_scalar(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}

impl ScalarUDFImpl for VariantFunction {
    fn name(&self) -> &str {
        match self.kind {
            Kind::ParseJson(Unfit::Error) => "parse_json",
            Kind::ParseJson(Unfit::Null) => "try_parse_json",
            Kind::ToVariant => TO_VARIANT,
            Kind::ToJson => "to_json",
            Kind::Get(Unfit::Error) => "variant_get",
            Kind::Get(Unfit::Null) => "try_variant_get",
            Kind::IsNull => "is_variant_null",
            Kind::Schema => "schema_of_variant",
            Kind::Cast(_, Unfit::Error) => "cast_variant",
            Kind::Cast(_, Unfit::Null) => "try_cast_variant",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {} depends on its arguments", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let given = args.arg_fields.first().map(|field| field.data_type().clone()).unwrap_or(DataType::Null);
        let takes_variant = !matches!(self.kind, Kind::ParseJson(_) | Kind::ToVariant);
        if takes_variant && given != DataType::Null && !is_variant_type(&given) {
            return plan_err!("{} takes a variant, found {given}: parse_json makes one of text", self.name());
        }
        let data_type = match &self.kind {
            Kind::ParseJson(_) | Kind::ToVariant => variant_type(),
            Kind::ToJson | Kind::Schema => DataType::Utf8,
            Kind::IsNull => DataType::Boolean,
            Kind::Cast(to, _) => to.clone(),
            Kind::Get(_) => {
                self.path(&args)?;
                self.wanted(&args)?
            }
        };
        Ok(field_of(self.name(), data_type))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let Some(first) = args.args.first() else { return internal_err!("{} without arguments", self.name()) };
        let input = first.to_array(rows)?;
        let failed = |what: String| DataFusionError::Execution(format!("{}: {what}", self.name()));
        let output: ArrayRef = match &self.kind {
            Kind::ParseJson(unfit) => parse(&input, *unfit).map_err(failed)?,
            Kind::ToVariant => to_variant(&input).map_err(failed)?,
            _ if input.data_type() == &DataType::Null => arrow::array::new_null_array(args.return_type(), rows),
            Kind::ToJson => to_json(&input).map_err(failed)?,
            kind => {
                let Some(variants) = Variants::of(&input) else { return exec_err!("{} takes a variant", self.name()) };
                let values = (0..rows).map(|row| variants.get(row)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
                match kind {
                    Kind::IsNull => {
                        // A variant that is not there is not null in this sense: Spark says false.
                        let mut nulls = BooleanBuilder::new();
                        values.iter().for_each(|value| nulls.append_value(*value == Some(Variant::Null)));
                        Arc::new(nulls.finish())
                    }
                    Kind::Schema => {
                        let mut texts = StringBuilder::new();
                        values.iter().for_each(|value| texts.append_option(value.as_ref().map(schema_text)));
                        Arc::new(texts.finish())
                    }
                    Kind::Cast(to, unfit) => cast_values(&values, to, *unfit).map_err(failed)?,
                    Kind::Get(unfit) => {
                        let path = match args.args.get(1) {
                            Some(ColumnarValue::Scalar(path)) => text_of_scalar(path).map(Path::parse),
                            _ => None,
                        };
                        let Some(path) = path else { return exec_err!("{}: the path is a constant", self.name()) };
                        let path = path.map_err(failed)?;
                        let parts: Vec<_> = values.into_iter().map(|value| path.of(value?)).collect();
                        cast_values(&parts, args.return_type(), *unfit).map_err(failed)?
                    }
                    other => return internal_err!("{other:?} is done above"),
                }
            }
        };
        match scalar {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&output, 0)?)),
            false => Ok(ColumnarValue::Array(output)),
        }
    }
}

fn parse(texts: &ArrayRef, unfit: Unfit) -> Result<ArrayRef, String> {
    let texts = cast(texts, &DataType::Utf8).map_err(|error| error.to_string())?;
    let texts = texts.as_string::<i32>();
    let mut variants = VariantArrayBuilder::new(texts.len());
    for row in 0..texts.len() {
        if texts.is_null(row) {
            variants.append_null();
            continue;
        }
        let text = texts.value(row);
        // Into a value of its own: a row that fails half way must leave nothing behind.
        let mut value = VariantBuilder::new();
        match (append_json(text, &mut value), unfit) {
            (Ok(()), _) => {
                let (metadata, value) = value.finish();
                let value = Variant::try_new(&metadata, &value).map_err(|error| error.to_string())?;
                variants.append_variant(value);
            }
            (Err(_), Unfit::Null) => variants.append_null(),
            (Err(what), Unfit::Error) => {
                let shown: String = floe_table_format::error::printable(text).chars().take(100).collect();
                return Err(format!("{shown} is no JSON: {what}; try_parse_json makes it null"));
            }
        }
    }
    let column: ArrayRef = Arc::new(variants.build().inner().clone());
    checked(&column)
}

fn to_variant(input: &ArrayRef) -> Result<ArrayRef, String> {
    if is_variant_type(input.data_type()) {
        return Ok(input.clone());
    }
    if input.data_type() == &DataType::Null {
        return Ok(arrow::array::new_null_array(&variant_type(), input.len()));
    }
    // The library checks less than it could.
    let made = catch_unwind(AssertUnwindSafe(|| cast_to_variant(input.as_ref())));
    let made = made.unwrap_or_else(|_| Err(ArrowError::CastError(format!("{} has no variant", input.data_type()))));
    let made: ArrayRef = Arc::new(made.map_err(|error| error.to_string())?.inner().clone());
    checked(&made)
}
