//! Types that become wider ones. Protocol section "Type Widening".
//!
//! No file is rewritten: readers turn the values of older files into those of the wider type. Each change is recorded
//! beside the nearest column that has a name, so that readers know which types they may meet.

use serde_json::{Value, json};

use super::{DataType, PrimitiveType, StructField, StructType};
use crate::error::{FormatError, Result, printable};

/// Where the changes of a column's type are recorded in its metadata.
const TYPE_CHANGES: &str = "delta.typeChanges";

impl PrimitiveType {
    /// Whether every value of this type is one of the other, by a change that all readers of the feature know.
    pub fn widens_to(&self, to: &PrimitiveType) -> bool {
        use PrimitiveType::*;
        // Digits before the point of the integer's largest value, as the protocol counts them.
        let holds = |digits: u8, precision: u8, scale: u8| precision >= scale && precision - scale >= digits;
        match (*self, *to) {
            (Byte, Short | Integer | Long | Double) | (Short, Integer | Long | Double) | (Integer, Long | Double) => {
                true
            }
            (Float, Double) | (Date, TimestampNtz) => true,
            (Byte | Short | Integer, Decimal(precision, scale)) => holds(10, precision, scale),
            (Long, Decimal(precision, scale)) => holds(20, precision, scale),
            (Decimal(p, s), Decimal(precision, scale)) => {
                (p, s) != (precision, scale) && scale >= s && holds(p - s, precision, scale)
            }
            _ => false,
        }
    }

    /// Whether rows with values of the other type give it to a column of this one: it is wider, and of the same sort.
    /// Integers stay integers, decimals decimals, floating numbers such, and times times.
    pub fn widens_with_rows_of(&self, other: &PrimitiveType) -> bool {
        use PrimitiveType::*;
        let sort = |data_type: &PrimitiveType| match data_type {
            Byte | Short | Integer | Long => 0,
            Decimal(_, _) => 1,
            Float | Double => 2,
            Date | TimestampNtz => 3,
            _ => 4,
        };
        sort(self) == sort(other) && self.widens_to(other)
    }
}

impl StructType {
    /// Gives the column at a path a wider type, records the change, and returns the type it had.
    ///
    /// # Errors
    /// [`FormatError::InvalidChange`] if there is no such column, or the type is not a wider one.
    pub fn widen_field(&mut self, path: &[String], to: PrimitiveType) -> Result<PrimitiveType> {
        let path = self.spelled(path)?;
        let Some((name, rest)) = path.split_first() else { return refuse("a column needs a name") };
        let Some(field) = self.fields.iter_mut().find(|field| field.name == *name) else {
            return refuse(format!("there is no column {}", printable(name)));
        };
        let mut walked = Vec::new();
        let from = widen_within(&mut field.data_type, rest, &mut walked, to)?;
        if let Some(from) = from {
            record(field, from, to, &walked.join("."));
            return Ok(from);
        }
        // Inside a struct: the nearest named column is there.
        let inner = struct_behind(&mut field.data_type, &walked);
        match inner {
            Some(inner) => inner.widen_field(&rest[walked.len()..], to),
            None => refuse(format!("{} is no column of one value", printable(&path.join(".")))),
        }
    }

    /// The first recorded change of a type that readers do not know, as a message names it: what older files hold cannot
    /// be told then.
    pub fn unknown_type_change(&self) -> Option<String> {
        let mut unknown = None;
        self.visit(&mut |field| {
            let Some(changes) = field.metadata.get(TYPE_CHANGES) else { return };
            if !changes.as_array().is_some_and(|changes| changes.iter().all(is_known)) {
                let (column, changes) = (printable(&field.name), printable(&changes.to_string()));
                unknown.get_or_insert_with(|| format!("{TYPE_CHANGES} {changes} of column {column}"));
            }
        });
        unknown
    }

    /// The schema without records of changed types, and whether there were any.
    pub fn without_type_changes(mut self) -> (Self, bool) {
        let found = forget(&mut self);
        (self, found)
    }
}

impl StructField {
    /// Whether values of the column, or inside of it, had another type once.
    pub fn has_type_changes(&self) -> bool {
        self.metadata.contains_key(TYPE_CHANGES)
    }

    /// Whether the column's own values were of this type once.
    pub fn was(&self, before: PrimitiveType) -> bool {
        let before = before.to_string();
        let changes = self.metadata.get(TYPE_CHANGES).and_then(Value::as_array);
        changes.into_iter().flatten().any(|change| change.get("fromType").and_then(Value::as_str) == Some(&before))
    }
}

/// The type that was changed; none if the path leads into a struct, `walked` up to there.
fn widen_within(
    data_type: &mut DataType,
    path: &[String],
    walked: &mut Vec<String>,
    to: PrimitiveType,
) -> Result<Option<PrimitiveType>> {
    let next = match (data_type, path.first()) {
        (DataType::Primitive(from), None) => {
            let before = *from;
            if !before.widens_to(&to) {
                return refuse(format!("{before} does not widen to {to}"));
            }
            *from = to;
            return Ok(Some(before));
        }
        (DataType::Struct(_), Some(_)) => return Ok(None),
        (DataType::Array(inner), Some(_)) => &mut inner.element,
        (DataType::Map(inner), Some(step)) if step == "key" => &mut inner.key,
        (DataType::Map(inner), Some(_)) => &mut inner.value,
        (other, _) => return refuse(format!("{other} is no type of one value and cannot widen to {to}")),
    };
    walked.extend(path.first().cloned());
    widen_within(next, &path[1..], walked, to)
}

fn struct_behind<'a>(data_type: &'a mut DataType, path: &[String]) -> Option<&'a mut StructType> {
    match (data_type, path.split_first()) {
        (DataType::Struct(inner), None) => Some(inner),
        (DataType::Array(inner), Some((_, rest))) => struct_behind(&mut inner.element, rest),
        (DataType::Map(inner), Some((step, rest))) => {
            struct_behind(if step == "key" { &mut inner.key } else { &mut inner.value }, rest)
        }
        _ => None,
    }
}

fn record(field: &mut StructField, from: PrimitiveType, to: PrimitiveType, inside: &str) {
    let mut change = json!({ "toType": to.to_string(), "fromType": from.to_string() });
    if !inside.is_empty() {
        change["fieldPath"] = inside.into();
    }
    match field.metadata.get_mut(TYPE_CHANGES).and_then(Value::as_array_mut) {
        Some(changes) => changes.push(change),
        None => drop(field.metadata.insert(TYPE_CHANGES.into(), json!([change]))),
    }
}

fn is_known(change: &Value) -> bool {
    let type_of = |key: &str| change.get(key).and_then(Value::as_str).and_then(|name| PrimitiveType::parse(name).ok());
    matches!((type_of("fromType"), type_of("toType")), (Some(from), Some(to)) if from.widens_to(&to))
}

fn forget(schema: &mut StructType) -> bool {
    let mut found = false;
    for field in &mut schema.fields {
        found |= field.metadata.remove(TYPE_CHANGES).is_some();
        found |= forget_within(&mut field.data_type);
    }
    found
}

fn forget_within(data_type: &mut DataType) -> bool {
    match data_type {
        DataType::Primitive(_) | DataType::Variant | DataType::Void | DataType::Interval(_) => false,
        DataType::Struct(inner) => forget(inner),
        DataType::Array(inner) => forget_within(&mut inner.element),
        DataType::Map(inner) => forget_within(&mut inner.key) | forget_within(&mut inner.value),
    }
}

fn refuse<T>(what: impl Into<String>) -> Result<T> {
    Err(FormatError::InvalidChange { what: what.into() })
}

#[cfg(test)]
mod tests {
    use super::PrimitiveType::*;
    use super::*;

    fn path(text: &str) -> Vec<std::string::String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn what_holds_all_values_is_wider() {
        let wider = [
            (Byte, Short),
            (Byte, Long),
            (Short, Integer),
            (Integer, Long),
            (Byte, Double),
            (Short, Double),
            (Integer, Double),
            (Float, Double),
            (Date, TimestampNtz),
            (Byte, Decimal(10, 0)),
            (Integer, Decimal(12, 2)),
            (Long, Decimal(20, 0)),
            (Decimal(5, 2), Decimal(7, 2)),
            (Decimal(5, 2), Decimal(7, 4)),
        ];
        for (from, to) in wider {
            assert!(from.widens_to(&to) && !to.widens_to(&from), "{from} {to}");
        }
        let others = [
            (Long, Integer),
            (Long, Double),
            (Integer, Float),
            (Date, Timestamp),
            (Integer, Decimal(9, 0)),
            (Long, Decimal(19, 0)),
            (Integer, Decimal(11, 2)),
            (Decimal(5, 2), Decimal(6, 4)),
            (Decimal(5, 2), Decimal(5, 2)),
            (Integer, String),
            (Integer, Integer),
        ];
        for (from, to) in others {
            assert!(!from.widens_to(&to), "{from} {to}");
        }
    }

    #[test]
    fn a_change_is_recorded_at_the_nearest_column_with_a_name() {
        let inner = DataType::struct_of(vec![StructField::new("c", Integer, true)]);
        let lists =
            DataType::map_of(DataType::Primitive(String), DataType::array_of(DataType::Primitive(Short), true), true);
        let mut schema = StructType::new(vec![
            StructField::new("a", Byte, true),
            StructField::new("s", DataType::array_of(inner, true), true),
            StructField::new("m", lists, true),
        ])
        .expect("valid");
        assert_eq!(schema.widen_field(&path("A"), Integer), Ok(Byte));
        assert_eq!(schema.widen_field(&path("a"), Long), Ok(Integer));
        assert_eq!(schema.widen_field(&path("s.element.C"), Long), Ok(Integer));
        assert_eq!(schema.widen_field(&path("m.value.element"), Integer), Ok(Short));
        assert_eq!(
            schema.fields[0].metadata[TYPE_CHANGES].to_string(),
            r#"[{"fromType":"byte","toType":"integer"},{"fromType":"integer","toType":"long"}]"#
        );
        assert_eq!(
            schema.fields[2].metadata[TYPE_CHANGES].to_string(),
            r#"[{"fieldPath":"value.element","fromType":"short","toType":"integer"}]"#
        );
        assert!(
            schema.fields[1].metadata.is_empty()
                && schema.to_json().contains(r#""fromType":"integer","toType":"long""#)
        );
        assert!(schema.fields[0].was(Byte) && !schema.fields[0].was(Long));
        assert_eq!(schema.unknown_type_change(), None);
        for (at, to, what) in
            [("a", Integer, "long does not widen to integer"), ("s", Long, "cannot widen"), ("x", Long, "x")]
        {
            let error = schema.widen_field(&path(at), to).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        let (plain, found) = schema.clone().without_type_changes();
        assert!(found && !plain.to_json().contains(TYPE_CHANGES) && !plain.without_type_changes().1);
        let odd = serde_json::json!([{ "fromType": "string", "toType": "integer" }]);
        schema.fields[0].metadata.insert(TYPE_CHANGES.into(), odd);
        assert!(schema.unknown_type_change().is_some_and(|what| what.contains("string")));
    }
}
