//! Schemas that grow with the rows that are written.

use super::{DataType, PrimitiveType, StructField, StructType};
use crate::error::Result;

impl StructType {
    /// This schema with the fields, at any depth, that `rows` has and it lacks: behind the others, and nullable.
    ///
    /// Names are compared without regard to case. A field that both have stays as it is here: whether the values fit is
    /// another question. With `widening` it gets the type of the rows where that is a wider one of the same sort, and the
    /// change is recorded; an integer becomes no decimal or floating number of itself.
    ///
    /// # Errors
    /// As [`StructType::new`], for a schema that would be too deep.
    pub fn grown_by(&self, rows: &StructType, widening: bool) -> Result<StructType> {
        let mut grown = StructType::new(grown(self, rows).fields)?;
        if widening {
            let mut wider = Vec::new();
            find_wider(self, rows, &mut Vec::new(), &mut wider);
            for (path, to) in wider {
                grown.widen_field(&path, to)?;
            }
        }
        Ok(grown)
    }
}

fn grown(own: &StructType, rows: &StructType) -> StructType {
    let mut grown = own.clone();
    for field in &rows.fields {
        let folded = field.name.to_lowercase();
        match grown.fields.iter_mut().find(|own| own.name.to_lowercase() == folded) {
            Some(own) => own.data_type = grown_type(&own.data_type, &field.data_type),
            None => grown.fields.push(StructField::new(&field.name, all_nullable(&field.data_type), true)),
        }
    }
    grown
}

fn grown_type(own: &DataType, rows: &DataType) -> DataType {
    match (own, rows) {
        (DataType::Struct(own), DataType::Struct(rows)) => DataType::Struct(Box::new(grown(own, rows))),
        (DataType::Array(own), DataType::Array(rows)) => {
            DataType::array_of(grown_type(&own.element, &rows.element), own.contains_null)
        }
        (DataType::Map(own), DataType::Map(rows)) => DataType::map_of(
            grown_type(&own.key, &rows.key),
            grown_type(&own.value, &rows.value),
            own.value_contains_null,
        ),
        (own, _) => own.clone(),
    }
}

/// The columns that `rows` has with a wider type.
fn find_wider(
    own: &StructType,
    rows: &StructType,
    path: &mut Vec<String>,
    wider: &mut Vec<(Vec<String>, PrimitiveType)>,
) {
    for field in &rows.fields {
        let folded = field.name.to_lowercase();
        let Some(own) = own.fields.iter().find(|own| own.name.to_lowercase() == folded) else { continue };
        path.push(own.name.clone());
        find_wider_type(&own.data_type, &field.data_type, path, wider);
        path.pop();
    }
}

fn find_wider_type(
    own: &DataType,
    rows: &DataType,
    path: &mut Vec<String>,
    wider: &mut Vec<(Vec<String>, PrimitiveType)>,
) {
    let mut inside = |step: &str, own: &DataType, rows: &DataType| {
        path.push(step.to_owned());
        find_wider_type(own, rows, path, wider);
        path.pop();
    };
    match (own, rows) {
        (DataType::Primitive(own), DataType::Primitive(rows)) if own.widens_with_rows_of(rows) => {
            wider.push((path.clone(), *rows));
        }
        (DataType::Struct(own), DataType::Struct(rows)) => find_wider(own, rows, path, wider),
        (DataType::Array(own), DataType::Array(rows)) => inside("element", &own.element, &rows.element),
        (DataType::Map(own), DataType::Map(rows)) => {
            inside("key", &own.key, &rows.key);
            inside("value", &own.value, &rows.value);
        }
        _ => {}
    }
}

/// The type with everything in it nullable: rows promise nothing for those that come later.
fn all_nullable(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Primitive(_) | DataType::Variant | DataType::Void | DataType::Interval(_) => data_type.clone(),
        DataType::Struct(inner) => DataType::struct_of(
            inner.fields.iter().map(|f| StructField::new(&f.name, all_nullable(&f.data_type), true)).collect(),
        ),
        DataType::Array(inner) => DataType::array_of(all_nullable(&inner.element), true),
        DataType::Map(inner) => DataType::map_of(all_nullable(&inner.key), all_nullable(&inner.value), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::PrimitiveType::{Integer, Long, String as Text};

    #[test]
    fn what_rows_have_more_comes_behind_at_any_depth() {
        let inner = |fields: &[&str]| {
            DataType::struct_of(fields.iter().map(|name| StructField::new(*name, Integer, false)).collect())
        };
        let own = StructType::new(vec![
            StructField::new("Id", Long, false).with_metadata("comment", "kept"),
            StructField::new("lines", DataType::array_of(inner(&["a"]), false), true),
        ])
        .expect("valid");
        let rows = StructType::new(vec![
            StructField::new("note", Text, false),
            StructField::new("lines", DataType::array_of(inner(&["b", "A"]), true), false),
            StructField::new("ID", Text, true),
        ])
        .expect("valid");
        let grown = own.grown_by(&rows, false).expect("not too deep");
        let shown: Vec<String> =
            grown.fields.iter().map(|f| format!("{} {} {}", f.name, f.data_type, f.nullable)).collect();
        assert_eq!(shown, ["Id long false", "lines array<struct<a:integer,b:integer>> true", "note string true"]);
        assert_eq!(grown.fields[0].comment(), Some("kept"));
        let DataType::Array(lines) = &grown.fields[1].data_type else { panic!("an array") };
        let DataType::Struct(line) = &lines.element else { panic!("of structs") };
        assert!(!lines.contains_null && !line.fields[0].nullable && line.fields[1].nullable);
        assert_eq!(own.grown_by(&own, true), Ok(own.clone()));
        let wide = StructType::new(vec![
            StructField::new("ID", PrimitiveType::Decimal(20, 0), true),
            StructField::new(
                "lines",
                DataType::array_of(DataType::struct_of(vec![StructField::new("A", Long, true)]), true),
                true,
            ),
        ])
        .expect("valid");
        let wider = own.grown_by(&wide, true).expect("wider");
        let shown: Vec<String> = wider.fields.iter().map(|f| format!("{} {}", f.name, f.data_type)).collect();
        assert_eq!(shown, ["Id long", "lines array<struct<a:long>>"], "a number becomes no decimal of itself");
        assert_eq!(own.grown_by(&wide, false), Ok(own));
    }
}
