//! The JSON form of a schema.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::{
    ArrayType, DataType, IntervalType, MapType, NESTING_MAX, PrimitiveType, StructField, StructType, child_path,
};
use crate::error::{FormatError, Result, printable};

pub(super) fn parse(json: &str) -> Result<StructType> {
    let depth = text_nesting(json);
    if depth > NESTING_MAX {
        return Err(too_deep(depth));
    }
    let value: Value =
        serde_json::from_str(json).map_err(|e| invalid(format!("not JSON: {}", printable(&e.to_string()))))?;
    match parse_type(value, "")? {
        DataType::Struct(schema) => Ok(*schema),
        other => Err(invalid(format!("a table's schema is a struct, found {other}"))),
    }
}

pub(super) fn write(schema: &StructType) -> String {
    serde_json::to_string(schema).expect("a schema holds only JSON values with text keys")
}

/// How deep the JSON of a schema nests, metadata aside.
pub(super) fn nesting_of(schema: &StructType) -> usize {
    // The struct's object, the array of fields and the field's object.
    2 + schema.fields.iter().map(|f| 1 + type_nesting(&f.data_type)).max().unwrap_or(0)
}

fn type_nesting(data_type: &DataType) -> usize {
    match data_type {
        DataType::Primitive(_) | DataType::Variant | DataType::Void | DataType::Interval(_) => 0,
        DataType::Struct(inner) => nesting_of(inner),
        DataType::Array(inner) => 1 + type_nesting(&inner.element),
        DataType::Map(inner) => 1 + type_nesting(&inner.key).max(type_nesting(&inner.value)),
    }
}

pub(super) fn too_deep(depth: usize) -> FormatError {
    FormatError::LimitExceeded { which: "nesting of the schema".into(), found: depth as u64, limit: NESTING_MAX as u64 }
}

/// How deep JSON text nests, without parsing it: the parser recurses, so its input is measured first.
fn text_nesting(json: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let (mut in_text, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn parse_type(value: Value, path: &str) -> Result<DataType> {
    let mut object = match value {
        Value::String(name) => return parse_name(&name, path),
        Value::Object(object) => object,
        other => return Err(at(path, format!("a type is a name or an object, found {}", kind(&other)))),
    };
    match take_text(&mut object, "type", path)?.as_str() {
        "struct" => {
            let Value::Array(fields) = take(&mut object, "fields", path)? else {
                return Err(at(path, "fields of a struct are an array"));
            };
            let fields = fields.into_iter().map(|field| parse_field(field, path)).collect::<Result<_>>()?;
            Ok(DataType::struct_of(fields))
        }
        "array" => Ok(DataType::array_of(
            parse_type(take(&mut object, "elementType", path)?, &child_path(path, "element"))?,
            take_bool(&mut object, "containsNull", path)?,
        )),
        "map" => Ok(DataType::map_of(
            parse_type(take(&mut object, "keyType", path)?, &child_path(path, "key"))?,
            parse_type(take(&mut object, "valueType", path)?, &child_path(path, "value"))?,
            take_bool(&mut object, "valueContainsNull", path)?,
        )),
        // The protocol shows variant as an object; writers use its bare name.
        "variant" => Ok(DataType::Variant),
        other => Err(unsupported(other, path)),
    }
}

fn parse_field(value: Value, parent: &str) -> Result<StructField> {
    let Value::Object(mut object) = value else {
        return Err(at(parent, format!("a field is an object, found {}", kind(&value))));
    };
    let name = take_text(&mut object, "name", parent)?;
    let path = child_path(parent, &name);
    let data_type = parse_type(take(&mut object, "type", &path)?, &path)?;
    let nullable = take_bool(&mut object, "nullable", &path)?;
    let metadata = match object.remove("metadata") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(metadata)) => metadata,
        Some(other) => return Err(at(&path, format!("metadata is an object, found {}", kind(&other)))),
    };
    Ok(StructField { name, data_type, nullable, metadata })
}

impl PrimitiveType {
    /// The type of a name as the schema's JSON has it: what its `Display` gives.
    ///
    /// # Errors
    /// [`FormatError::InvalidSchema`] for any other name.
    pub fn parse(name: &str) -> Result<PrimitiveType> {
        match parse_name(name, "a type")? {
            DataType::Primitive(primitive) => Ok(primitive),
            _ => Err(unsupported(name, "a type")),
        }
    }
}

fn parse_name(name: &str, path: &str) -> Result<DataType> {
    Ok(DataType::Primitive(match name {
        "string" => PrimitiveType::String,
        "long" => PrimitiveType::Long,
        "integer" => PrimitiveType::Integer,
        "short" => PrimitiveType::Short,
        "byte" => PrimitiveType::Byte,
        "float" => PrimitiveType::Float,
        "double" => PrimitiveType::Double,
        "boolean" => PrimitiveType::Boolean,
        "binary" => PrimitiveType::Binary,
        "date" => PrimitiveType::Date,
        "timestamp" => PrimitiveType::Timestamp,
        "timestamp_ntz" => PrimitiveType::TimestampNtz,
        // Spark's default for a decimal without arguments.
        "decimal" => PrimitiveType::Decimal(10, 0),
        "variant" => return Ok(DataType::Variant),
        "void" => return Ok(DataType::Void),
        other => match other.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')')) {
            Some(arguments) => parse_decimal(arguments, other, path)?,
            None => match IntervalType::parse(other) {
                Some(interval) => return Ok(DataType::Interval(interval)),
                None => return Err(unsupported(other, path)),
            },
        },
    }))
}

fn parse_decimal(arguments: &str, name: &str, path: &str) -> Result<PrimitiveType> {
    let number = |text: &str| {
        let text = text.trim();
        // The parser of numbers would take a plus sign.
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u8>().ok()).flatten()
    };
    let parsed = arguments.split_once(',').and_then(|(precision, scale)| Some((number(precision)?, number(scale)?)));
    match parsed {
        Some((precision, scale))
            if (1..=PrimitiveType::DECIMAL_PRECISION_MAX).contains(&precision) && scale <= precision =>
        {
            Ok(PrimitiveType::Decimal(precision, scale))
        }
        _ => Err(at(
            path,
            format!("{} is not a decimal of 1 to 38 digits with at most as many behind the point", printable(name)),
        )),
    }
}

fn take(object: &mut Map<String, Value>, key: &str, path: &str) -> Result<Value> {
    object.remove(key).ok_or_else(|| at(path, format!("{key} is missing")))
}

fn take_text(object: &mut Map<String, Value>, key: &str, path: &str) -> Result<String> {
    match take(object, key, path)? {
        Value::String(text) => Ok(text),
        other => Err(at(path, format!("{key} is text, found {}", kind(&other)))),
    }
}

fn take_bool(object: &mut Map<String, Value>, key: &str, path: &str) -> Result<bool> {
    match take(object, key, path)? {
        Value::Bool(value) => Ok(value),
        other => Err(at(path, format!("{key} is true or false, found {}", kind(&other)))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn at(path: &str, what: impl std::fmt::Display) -> FormatError {
    if path.is_empty() { invalid(what.to_string()) } else { invalid(format!("column {path}: {what}")) }
}

fn invalid(what: String) -> FormatError {
    FormatError::InvalidSchema { what }
}

fn unsupported(type_name: &str, path: &str) -> FormatError {
    FormatError::UnsupportedFeature {
        operation: "read the schema".into(),
        features: vec![format!("type {} of column {path}", printable(type_name))],
    }
}

impl Serialize for StructType {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", "struct")?;
        map.serialize_entry("fields", &self.fields)?;
        map.end()
    }
}

impl Serialize for StructField {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("type", &self.data_type)?;
        map.serialize_entry("nullable", &self.nullable)?;
        map.serialize_entry("metadata", &self.metadata)?;
        map.end()
    }
}

impl Serialize for DataType {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            DataType::Primitive(primitive) => serializer.collect_str(primitive),
            DataType::Variant => serializer.serialize_str("variant"),
            DataType::Void => serializer.serialize_str("void"),
            DataType::Interval(interval) => serializer.serialize_str(interval.name()),
            DataType::Struct(inner) => inner.serialize(serializer),
            DataType::Array(inner) => inner.serialize(serializer),
            DataType::Map(inner) => inner.serialize(serializer),
        }
    }
}

impl Serialize for ArrayType {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("type", "array")?;
        map.serialize_entry("elementType", &self.element)?;
        map.serialize_entry("containsNull", &self.contains_null)?;
        map.end()
    }
}

impl Serialize for MapType {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("type", "map")?;
        map.serialize_entry("keyType", &self.key)?;
        map.serialize_entry("valueType", &self.value)?;
        map.serialize_entry("valueContainsNull", &self.value_contains_null)?;
        map.end()
    }
}
