//! Giving columns the ids and physical names that column mapping asks for.
//!
//! Protocol section "Writer Requirements for Column Mapping". Every field of a struct, at any depth, has both; elements of
//! arrays, keys and values of maps have none of their own.

use super::{DataType, StructField, StructType, key};
use crate::error::{FormatError, Result, printable};

impl StructType {
    /// Gives every field an id and a physical name where it lacks one, and returns the largest id there is.
    ///
    /// Ids go on from `last_id`, or from the largest id in the schema if that is larger, so that none is given twice; fields
    /// come before what is in them. `physical_name` names those that have no physical name yet.
    ///
    /// # Errors
    /// [`FormatError::InvalidSchema`] if two fields have one id, or the ids are used up: they are 32-bit integers.
    pub fn assign_mapping(
        &mut self,
        last_id: i64,
        physical_name: &mut dyn FnMut(&StructField) -> String,
    ) -> Result<i64> {
        let mut seen = std::collections::HashMap::new();
        let mut repeated = None;
        let mut largest = last_id.max(0);
        self.visit(&mut |field| {
            if let Some(id) = field.mapping_id() {
                largest = largest.max(id);
                if let Some(other) = seen.insert(id, field.name.clone()) {
                    repeated.get_or_insert((id, other, field.name.clone()));
                }
            }
        });
        if let Some((id, one, other)) = repeated {
            let (one, other) = (printable(&one), printable(&other));
            return Err(FormatError::invalid_schema(format!("columns {one} and {other} both have the id {id}")));
        }
        assign(self, &mut largest, physical_name);
        if largest > i64::from(i32::MAX) {
            return Err(FormatError::invalid_schema(format!(
                "column ids are 32-bit integers, the next would be {largest}"
            )));
        }
        Ok(largest)
    }

    /// The same schema without ids and physical names.
    pub fn without_mapping(&self) -> StructType {
        let mut schema = self.clone();
        forget(&mut schema);
        schema
    }
}

fn assign(schema: &mut StructType, largest: &mut i64, physical_name: &mut dyn FnMut(&StructField) -> String) {
    for field in &mut schema.fields {
        if field.mapping_id().is_none() {
            *largest += 1;
            field.metadata.insert(key::MAPPING_ID.into(), (*largest).into());
        }
        if !field.metadata.contains_key(key::PHYSICAL_NAME) {
            let name = physical_name(field);
            field.metadata.insert(key::PHYSICAL_NAME.into(), name.into());
        }
        within(&mut field.data_type, &mut |inner| assign(inner, largest, physical_name));
    }
}

fn forget(schema: &mut StructType) {
    for field in &mut schema.fields {
        field.metadata.retain(|key, _| !key.starts_with(key::MAPPING_PREFIX));
        within(&mut field.data_type, &mut forget);
    }
}

/// Calls back for the structs of a type that no other struct of it holds.
fn within(data_type: &mut DataType, visit: &mut dyn FnMut(&mut StructType)) {
    match data_type {
        DataType::Struct(inner) => visit(inner),
        DataType::Array(inner) => within(&mut inner.element, visit),
        DataType::Map(inner) => {
            within(&mut inner.key, visit);
            within(&mut inner.value, visit);
        }
        DataType::Primitive(_) | DataType::Variant | DataType::Void | DataType::Interval(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::PrimitiveType::{Integer, Long, String as Text};

    fn schema() -> StructType {
        let line =
            DataType::struct_of(vec![StructField::new("price", Integer, true), StructField::new("name", Text, true)]);
        StructType::new(vec![
            StructField::new("id", Long, false),
            StructField::new("lines", DataType::array_of(line, true), true),
            StructField::new("note", Text, true).with_metadata("comment", "kept"),
        ])
        .expect("valid")
    }

    fn described(schema: &StructType) -> Vec<String> {
        let mut out = Vec::new();
        schema.visit(&mut |f| out.push(format!("{} {} {}", f.name, f.mapping_id().unwrap_or(-1), f.physical_name())));
        out
    }

    #[test]
    fn every_field_gets_an_id_and_a_physical_name() {
        let mut mapped = schema();
        assert_eq!(mapped.assign_mapping(0, &mut |field| format!("p-{}", field.name)), Ok(5));
        let expected = ["id 1 p-id", "lines 2 p-lines", "price 3 p-price", "name 4 p-name", "note 5 p-note"];
        assert_eq!(described(&mapped), expected);
        assert!(mapped.to_physical_arrow(crate::schema::ColumnMappingMode::Id).is_ok());
        assert_eq!(mapped.without_mapping(), schema());
    }

    #[test]
    fn ids_go_on_from_the_largest_ever_given() {
        let mut mapped = schema();
        assert_eq!(mapped.assign_mapping(0, &mut |field| field.name.clone()), Ok(5));
        mapped.fields.pop();
        mapped.fields.push(StructField::new("more", Text, true));
        assert_eq!(mapped.assign_mapping(5, &mut |_| "col-x".into()), Ok(6), "5 was another column's");
        assert_eq!(described(&mapped)[4], "more 6 col-x");
        assert_eq!(mapped.assign_mapping(6, &mut |_| unreachable!("all have names")), Ok(6), "nothing is left to do");
    }

    #[test]
    fn an_id_that_two_columns_have_is_refused() {
        let id = |field: StructField| field.with_metadata("delta.columnMapping.id", 7);
        let mut schema =
            StructType { fields: vec![id(StructField::new("a", Long, true)), id(StructField::new("b", Long, true))] };
        let error = schema.assign_mapping(0, &mut |_| String::new()).expect_err("refused").to_string();
        assert!(error.contains("a and b both have the id 7"), "{error}");
        let mut schema = StructType { fields: vec![StructField::new("a", Long, true)] };
        assert!(schema.assign_mapping(i64::from(i32::MAX), &mut |_| String::new()).is_err());
    }
}
