//! Variants as values of other types.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryBuilder, ListArray, MapArray, StringArray, StringBuilder, StructArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field};
use floe_storage::variant::{checked, text_of};
use floe_table_format::schema::is_variant_type;
use parquet_variant::Variant;
use parquet_variant_compute::VariantArrayBuilder;

/// What becomes of a value that the type cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Unfit {
    /// The statement fails.
    Error,
    /// It becomes null.
    Null,
}

type Values<'v> = [Option<Variant<'v, 'v>>];

/// A field of an object; none of what is no object.
fn field<'v>(value: &Option<Variant<'v, 'v>>, name: &str) -> Option<Variant<'v, 'v>> {
    match value {
        Some(Variant::Object(object)) => object.get(name),
        _ => None,
    }
}

/// The values in another type. A variant that is null becomes null, as one that is not there does.
///
/// # Errors
/// A type that no variant is cast to; with [`Unfit::Error`] a value that does not fit.
pub(super) fn cast_values(values: &Values<'_>, to: &DataType, unfit: Unfit) -> Result<ArrayRef, String> {
    match to {
        variant if is_variant_type(variant) => variants(values),
        DataType::Utf8 => Ok(Arc::new(texts(values, false)?)),
        DataType::LargeUtf8 | DataType::Utf8View => from_texts(values, to, unfit),
        DataType::Binary => {
            let mut bytes = BinaryBuilder::new();
            for value in values {
                match value {
                    Some(Variant::Binary(value)) => bytes.append_value(value),
                    Some(text @ (Variant::String(_) | Variant::ShortString(_))) => {
                        bytes.append_option(text.as_string().map(str::as_bytes));
                    }
                    None | Some(Variant::Null) => bytes.append_null(),
                    Some(other) => match unfit {
                        Unfit::Null => bytes.append_null(),
                        Unfit::Error => return Err(unfitting(other, to)),
                    },
                }
            }
            Ok(Arc::new(bytes.finish()))
        }
        DataType::List(element) => {
            let (mut lengths, mut valid, mut parts) = (Vec::new(), Vec::new(), Vec::new());
            for value in values {
                let before = parts.len();
                match value {
                    Some(Variant::List(list)) => parts.extend(list.iter().map(Some)),
                    other => absent(other, to, unfit)?,
                }
                valid.push(matches!(value, Some(Variant::List(_))));
                lengths.push(parts.len() - before);
            }
            let parts = cast_values(&parts, element.data_type(), unfit)?;
            let nulls = Some(NullBuffer::from(valid));
            let list = ListArray::try_new(element.clone(), OffsetBuffer::from_lengths(lengths), parts, nulls);
            Ok(Arc::new(list.map_err(|error| error.to_string())?))
        }
        DataType::Struct(fields) => {
            let mut valid = Vec::with_capacity(values.len());
            for value in values {
                valid.push(matches!(value, Some(Variant::Object(_))));
                if !matches!(value, Some(Variant::Object(_))) {
                    absent(value, to, unfit)?;
                }
            }
            let parts = fields.iter().map(|part| {
                let parts: Vec<_> = values.iter().map(|value| field(value, part.name())).collect();
                cast_values(&parts, part.data_type(), unfit)
            });
            let parts = parts.collect::<Result<Vec<_>, _>>()?;
            let nulls = Some(NullBuffer::from(valid));
            let made = StructArray::try_new_with_length(fields.clone(), parts, nulls, values.len());
            Ok(Arc::new(made.map_err(|error| error.to_string())?))
        }
        DataType::Map(entries, sorted) => {
            let DataType::Struct(fields) = entries.data_type() else { return Err(format!("{to} is no map")) };
            let (mut lengths, mut valid) = (Vec::new(), Vec::new());
            let (mut keys, mut parts) = (StringBuilder::new(), Vec::new());
            for value in values {
                let before = parts.len();
                match value {
                    Some(Variant::Object(object)) => {
                        for (name, value) in object.iter() {
                            keys.append_value(name);
                            parts.push(Some(value));
                        }
                    }
                    other => absent(other, to, unfit)?,
                }
                valid.push(matches!(value, Some(Variant::Object(_))));
                lengths.push(parts.len() - before);
            }
            let keys: ArrayRef = Arc::new(keys.finish());
            let keys = cast_with_options(&keys, fields[0].data_type(), &STRICT).map_err(|error| error.to_string())?;
            let parts = vec![keys, cast_values(&parts, fields[1].data_type(), unfit)?];
            let pairs = StructArray::try_new(fields.clone(), parts, None).map_err(|error| error.to_string())?;
            let (offsets, nulls) = (OffsetBuffer::from_lengths(lengths), Some(NullBuffer::from(valid)));
            let map = MapArray::try_new(entries.clone(), offsets, pairs, nulls, *sorted);
            Ok(Arc::new(map.map_err(|error| error.to_string())?))
        }
        DataType::Null => Ok(new_null_array(to, values.len())),
        primitive if primitive.is_primitive() || *primitive == DataType::Boolean => from_texts(values, to, unfit),
        other => Err(format!("a variant cannot be cast to {other}")),
    }
}

const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

/// What is there and is not of the kind wanted.
fn absent(value: &Option<Variant<'_, '_>>, to: &DataType, unfit: Unfit) -> Result<(), String> {
    match value {
        Some(value) if *value != Variant::Null && unfit == Unfit::Error => Err(unfitting(value, to)),
        _ => Ok(()),
    }
}

fn unfitting(value: &Variant<'_, '_>, to: &DataType) -> String {
    let shown = text_of(value).unwrap_or_else(|what| what);
    let shown: String = floe_table_format::error::printable(&shown).chars().take(100).collect();
    format!("the variant {shown} cannot be cast to {to}: TRY_CAST and try_variant_get make it null")
}

fn variants(values: &Values<'_>) -> Result<ArrayRef, String> {
    let mut builder = VariantArrayBuilder::new(values.len());
    for value in values {
        match value {
            Some(value) => builder.append_variant(value.clone()),
            None => builder.append_null(),
        }
    }
    let column: ArrayRef = Arc::new(builder.build().inner().clone());
    checked(&column)
}

/// Text without quotes around it, and JSON of what is no text; of `whole` numbers what stands before the point.
fn texts(values: &Values<'_>, whole: bool) -> Result<StringArray, String> {
    let mut texts = StringBuilder::new();
    for value in values {
        match value {
            None | Some(Variant::Null) => texts.append_null(),
            Some(text @ (Variant::String(_) | Variant::ShortString(_))) => texts.append_option(text.as_string()),
            Some(Variant::BooleanTrue) if whole => texts.append_value("1"),
            Some(Variant::BooleanFalse) if whole => texts.append_value("0"),
            Some(Variant::Double(number)) if whole => texts.append_value(format!("{:.0}", number.trunc())),
            Some(Variant::Float(number)) if whole => texts.append_value(format!("{:.0}", number.trunc())),
            Some(number @ (Variant::Decimal4(_) | Variant::Decimal8(_) | Variant::Decimal16(_))) if whole => {
                let text = text_of(number)?;
                let (before, _) = text.split_once('.').unwrap_or((&text, ""));
                texts.append_value(before);
            }
            // Times, dates and the like are quoted in JSON.
            Some(other) => {
                let text = text_of(other)?;
                let is_nested = matches!(other, Variant::Object(_) | Variant::List(_));
                let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).filter(|_| !is_nested);
                texts.append_value(bare.unwrap_or(&text));
            }
        }
    }
    Ok(texts.finish())
}

/// Values of a type that can be read from text.
fn from_texts(values: &Values<'_>, to: &DataType, unfit: Unfit) -> Result<ArrayRef, String> {
    let texts: ArrayRef = Arc::new(texts(values, to.is_integer())?);
    let safe = CastOptions { safe: true, ..STRICT };
    let cast = cast_with_options(&texts, to, &safe).map_err(|error| error.to_string())?;
    if unfit == Unfit::Error {
        let lost = (0..values.len()).find(|row| cast.is_null(*row) && texts.is_valid(*row));
        if let Some(value) = lost.and_then(|row| values[row].as_ref()) {
            return Err(unfitting(value, to));
        }
    }
    Ok(cast)
}

/// The Spark type of a variant, in SQL: `OBJECT<a: BIGINT, b: ARRAY<STRING>>`.
pub(super) fn schema_text(variant: &Variant<'_, '_>) -> String {
    match Kind::of(variant) {
        Kind::Nothing => "VOID".into(),
        kind => kind.text(),
    }
}

/// What values at one place have in common.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Nothing,
    Simple(String),
    Array(Box<Kind>),
    Object(std::collections::BTreeMap<String, Kind>),
    /// Nothing in common.
    Any,
}

impl Kind {
    fn of(variant: &Variant<'_, '_>) -> Kind {
        let simple = |name: &str| Kind::Simple(name.into());
        match variant {
            Variant::Null => Kind::Nothing,
            Variant::BooleanTrue | Variant::BooleanFalse => simple("BOOLEAN"),
            Variant::Int8(_) | Variant::Int16(_) | Variant::Int32(_) | Variant::Int64(_) => simple("BIGINT"),
            Variant::Float(_) => simple("FLOAT"),
            Variant::Double(_) => simple("DOUBLE"),
            Variant::Decimal4(_) | Variant::Decimal8(_) | Variant::Decimal16(_) => {
                let text = text_of(variant).unwrap_or_default();
                let (whole, fraction) = text.trim_start_matches('-').split_once('.').unwrap_or((&text, ""));
                let whole = whole.trim_start_matches(['-', '0']).len();
                Kind::Simple(format!("DECIMAL({},{})", (whole + fraction.len()).max(1), fraction.len()))
            }
            Variant::String(_) | Variant::ShortString(_) => simple("STRING"),
            Variant::Binary(_) => simple("BINARY"),
            Variant::Date(_) => simple("DATE"),
            Variant::Time(_) => simple("TIME"),
            Variant::TimestampMicros(_) | Variant::TimestampNanos(_) => simple("TIMESTAMP"),
            Variant::TimestampNtzMicros(_) | Variant::TimestampNtzNanos(_) => simple("TIMESTAMP_NTZ"),
            Variant::Uuid(_) => simple("UUID"),
            Variant::List(list) => {
                let inner = list.iter().map(|value| Kind::of(&value)).reduce(Kind::with).unwrap_or(Kind::Nothing);
                Kind::Array(Box::new(inner))
            }
            Variant::Object(object) => {
                Kind::Object(object.iter().map(|(name, value)| (name.to_owned(), Kind::of(&value))).collect())
            }
        }
    }

    fn with(self, other: Kind) -> Kind {
        match (self, other) {
            (Kind::Nothing, kind) | (kind, Kind::Nothing) => kind,
            (Kind::Array(a), Kind::Array(b)) => Kind::Array(Box::new(a.with(*b))),
            (Kind::Object(mut a), Kind::Object(b)) => {
                for (name, kind) in b {
                    let merged = a.remove(&name).unwrap_or(Kind::Nothing).with(kind);
                    a.insert(name, merged);
                }
                Kind::Object(a)
            }
            (a, b) if a == b => a,
            _ => Kind::Any,
        }
    }

    fn text(&self) -> String {
        match self {
            Kind::Nothing => "VOID".into(),
            Kind::Any => "VARIANT".into(),
            Kind::Simple(name) => name.clone(),
            Kind::Array(inner) => format!("ARRAY<{}>", inner.text()),
            Kind::Object(fields) => {
                let plain =
                    |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                let quoted = |name: &String| match plain(name) {
                    true => name.clone(),
                    false => format!("`{}`", name.replace('`', "``")),
                };
                let fields: Vec<String> =
                    fields.iter().map(|(name, kind)| format!("{}: {}", quoted(name), kind.text())).collect();
                format!("OBJECT<{}>", fields.join(", "))
            }
        }
    }
}

/// The field of a function's result.
pub(super) fn field_of(name: &str, data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new(name, data_type, true))
}
