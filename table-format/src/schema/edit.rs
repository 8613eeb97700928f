//! Changes of a schema: adding, renaming, dropping and moving columns, at any depth.
//!
//! A column is named by a path of names. Where a path leads through an array or a map, it says so: `element`, `key` and
//! `value`, as in `lines.element.price`.

use super::{DataType, StructField, StructType, nearest};
use crate::error::{FormatError, Result, printable};

/// Where a column stands among its siblings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// Behind all others.
    #[default]
    Last,
    /// Before all others.
    First,
    /// Behind the sibling of this name.
    After(String),
}

impl StructType {
    /// Adds a column to the struct at `parent`, which is empty for the table itself.
    ///
    /// # Errors
    /// [`FormatError::InvalidChange`] if there is no such struct or sibling, or there is a column of that name, in any case.
    pub fn add_field(&mut self, parent: &[String], field: StructField, place: &Place) -> Result<()> {
        let within = self.struct_at_mut(parent)?;
        if within.field(&field.name).is_some() {
            return refuse(format!("there is a column {} already", shown(parent, Some(&field.name))));
        }
        within.insert(parent, field, place)
    }

    /// Gives a column another name, and returns the one it had.
    ///
    /// # Errors
    /// [`FormatError::InvalidChange`] if there is no such column, or another one of the new name, in any case.
    pub fn rename_field(&mut self, path: &[String], name: &str) -> Result<String> {
        let (within, at, parent) = self.locate_mut(path)?;
        let folded = name.to_lowercase();
        let taken = within.fields.iter().enumerate().any(|(i, f)| i != at && f.name.to_lowercase() == folded);
        if taken {
            return refuse(format!("there is a column {} already", shown(parent, Some(name))));
        }
        Ok(std::mem::replace(&mut within.fields[at].name, name.to_owned()))
    }

    /// Takes a column out, and returns it.
    ///
    /// # Errors
    /// [`FormatError::InvalidChange`] if there is no such column, or its struct would be left without any.
    pub fn drop_field(&mut self, path: &[String]) -> Result<StructField> {
        let (within, at, parent) = self.locate_mut(path)?;
        if within.fields.len() == 1 {
            let what = if parent.is_empty() { "the table".into() } else { format!("struct {}", shown(parent, None)) };
            return refuse(format!("{} is the only column of {what}", shown(path, None)));
        }
        Ok(within.fields.remove(at))
    }

    /// Moves a column among its siblings.
    ///
    /// # Errors
    /// [`FormatError::InvalidChange`] if there is no such column or sibling.
    pub fn move_field(&mut self, path: &[String], place: &Place) -> Result<()> {
        let (within, at, parent) = self.locate_mut(path)?;
        if let Place::After(sibling) = place
            && within.field(sibling).is_some_and(|other| other.name == within.fields[at].name)
        {
            return refuse(format!("column {} cannot stand behind itself", shown(path, None)));
        }
        let field = within.fields.remove(at);
        let parent = parent.to_vec();
        within.insert(&parent, field, place)
    }

    /// The column at a path, to change.
    ///
    /// # Errors
    /// [`FormatError::InvalidChange`] if there is no such column.
    pub fn field_mut_at(&mut self, path: &[String]) -> Result<&mut StructField> {
        let (within, at, _) = self.locate_mut(path)?;
        Ok(&mut within.fields[at])
    }

    /// A path as the schema spells it: names are found without regard to case.
    ///
    /// # Errors
    /// [`FormatError::InvalidChange`] if there is no such column.
    pub fn spelled(&self, path: &[String]) -> Result<Vec<String>> {
        let mut spelled = Vec::with_capacity(path.len());
        let mut within = Step::Struct(self);
        for (depth, name) in path.iter().enumerate() {
            within = match within {
                Step::Struct(schema) => match schema.field(name) {
                    Some(field) => {
                        spelled.push(field.name.clone());
                        Step::of(&field.data_type)
                    }
                    None => return refuse(missing(schema, &path[..depth], name)),
                },
                Step::Array(element) if name.eq_ignore_ascii_case("element") => {
                    spelled.push("element".into());
                    Step::of(element)
                }
                Step::Map(key, _) if name.eq_ignore_ascii_case("key") => {
                    spelled.push("key".into());
                    Step::of(key)
                }
                Step::Map(_, value) if name.eq_ignore_ascii_case("value") => {
                    spelled.push("value".into());
                    Step::of(value)
                }
                _ => return refuse(no_struct(&path[..depth])),
            };
        }
        Ok(spelled)
    }

    /// The schema with every field inside of a column nullable: what rows are held in before and after it is checked that none of
    /// these fields is null where it must not be, and what is in files. Columns, elements and values of maps stay as they are.
    pub fn nullable_inside(&self) -> StructType {
        fn inside(data_type: &DataType) -> DataType {
            match data_type {
                DataType::Struct(inner) => {
                    let fields = inner.fields.iter().map(|field| StructField {
                        nullable: true,
                        data_type: inside(&field.data_type),
                        ..field.clone()
                    });
                    DataType::Struct(Box::new(StructType { fields: fields.collect() }))
                }
                DataType::Array(array) => {
                    let mut array = array.clone();
                    array.element = inside(&array.element);
                    DataType::Array(array)
                }
                DataType::Map(map) => {
                    let mut map = map.clone();
                    map.value = inside(&map.value);
                    DataType::Map(map)
                }
                simple => simple.clone(),
            }
        }
        let fields =
            self.fields.iter().map(|field| StructField { data_type: inside(&field.data_type), ..field.clone() });
        StructType { fields: fields.collect() }
    }

    /// The type of a column by its path, spelled as in the schema, through structs alone; none if it leads nowhere.
    pub fn type_at(&self, path: &[String]) -> Option<&DataType> {
        let (first, rest) = path.split_first()?;
        let field = self.fields.iter().find(|field| field.name == *first)?;
        match &field.data_type {
            found if rest.is_empty() => Some(found),
            DataType::Struct(inner) => inner.type_at(rest),
            _ => None,
        }
    }

    /// The path of a column, spelled as in the schema, in physical names; none if it leads nowhere.
    pub fn physical_path(&self, path: &[String]) -> Option<Vec<String>> {
        let mut physical = Vec::with_capacity(path.len());
        let mut within = Step::Struct(self);
        for name in path {
            within = match within {
                Step::Struct(schema) => {
                    let field = schema.fields.iter().find(|field| field.name == *name)?;
                    physical.push(field.physical_name().to_owned());
                    Step::of(&field.data_type)
                }
                Step::Array(inner) => {
                    physical.push(name.clone());
                    Step::of(inner)
                }
                Step::Map(key, value) => {
                    physical.push(name.clone());
                    Step::of(if name == "key" { key } else { value })
                }
                Step::Leaf => return None,
            };
        }
        Some(physical)
    }

    fn insert(&mut self, parent: &[String], field: StructField, place: &Place) -> Result<()> {
        let at = match place {
            Place::Last => self.fields.len(),
            Place::First => 0,
            Place::After(sibling) => match self.position(sibling) {
                Some(at) => at + 1,
                None => return refuse(missing(self, parent, sibling)),
            },
        };
        self.fields.insert(at, field);
        Ok(())
    }

    fn position(&self, name: &str) -> Option<usize> {
        let exact = self.fields.iter().position(|f| f.name == name);
        exact.or_else(|| self.fields.iter().position(|f| f.name.to_lowercase() == name.to_lowercase()))
    }

    /// The struct that holds a column, its position there, and the path of the struct.
    fn locate_mut<'a, 'p>(&'a mut self, path: &'p [String]) -> Result<(&'a mut StructType, usize, &'p [String])> {
        let Some((name, parent)) = path.split_last() else { return refuse("a column needs a name") };
        let within = self.struct_at_mut(parent)?;
        match within.position(name) {
            Some(at) => Ok((within, at, parent)),
            None => {
                let what = missing(within, parent, name);
                refuse(what)
            }
        }
    }

    fn struct_at_mut(&mut self, path: &[String]) -> Result<&mut StructType> {
        let mut within = self;
        let mut rest = path;
        while let Some((name, deeper)) = rest.split_first() {
            let walked = &path[..path.len() - rest.len()];
            let Some(at) = within.position(name) else { return refuse(missing(within, walked, name)) };
            let mut data_type = &mut within.fields[at].data_type;
            rest = deeper;
            loop {
                data_type =
                    match (data_type, rest.first().map(String::as_str)) {
                        (DataType::Struct(inner), _) => {
                            within = inner;
                            break;
                        }
                        (DataType::Array(inner), Some(step)) if step.eq_ignore_ascii_case("element") => {
                            &mut inner.element
                        }
                        (DataType::Map(inner), Some(step)) if is_part_of_map(step) => {
                            if step.eq_ignore_ascii_case("key") { &mut inner.key } else { &mut inner.value }
                        }
                        _ => return refuse(no_struct(&path[..path.len() - rest.len()])),
                    };
                rest = &rest[1..];
            }
        }
        Ok(within)
    }
}

/// What a path has led to.
enum Step<'a> {
    Struct(&'a StructType),
    Array(&'a DataType),
    Map(&'a DataType, &'a DataType),
    Leaf,
}

impl<'a> Step<'a> {
    fn of(data_type: &'a DataType) -> Self {
        match data_type {
            DataType::Struct(inner) => Step::Struct(inner),
            DataType::Array(inner) => Step::Array(&inner.element),
            DataType::Map(inner) => Step::Map(&inner.key, &inner.value),
            DataType::Primitive(_) | DataType::Variant | DataType::Void | DataType::Interval(_) => Step::Leaf,
        }
    }
}

fn is_part_of_map(step: &str) -> bool {
    step.eq_ignore_ascii_case("key") || step.eq_ignore_ascii_case("value")
}

fn refuse<T>(what: impl Into<String>) -> Result<T> {
    Err(FormatError::invalid_change(what))
}

fn missing(within: &StructType, parent: &[String], name: &str) -> String {
    let hint = nearest(name, within.names()).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
    format!("there is no column {}{hint}", shown(parent, Some(name)))
}

fn no_struct(path: &[String]) -> String {
    format!("{} is no struct; element leads into an array, key and value into a map", shown(path, None))
}

fn shown(path: &[String], name: Option<&str>) -> String {
    let names = path.iter().map(String::as_str).chain(name);
    printable(&names.collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::PrimitiveType::{Integer, Long, String as Text};

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    /// `id long, lines array<struct<price: int, name: text>>, tags map<text, struct<since: int, by: text>>`
    fn schema() -> StructType {
        let line =
            DataType::struct_of(vec![StructField::new("price", Integer, true), StructField::new("name", Text, true)]);
        let tag =
            DataType::struct_of(vec![StructField::new("since", Integer, true), StructField::new("by", Text, true)]);
        StructType::new(vec![
            StructField::new("id", Long, false),
            StructField::new("lines", DataType::array_of(line, true), true),
            StructField::new("tags", DataType::map_of(Text.into(), tag, true), true),
        ])
        .expect("valid")
    }

    fn names(schema: &StructType) -> String {
        schema.names().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn columns_are_added_where_they_are_wanted() {
        let mut schema = schema();
        let new = |name: &str| StructField::new(name, Long, true);
        schema.add_field(&[], new("last"), &Place::Last).expect("added");
        schema.add_field(&[], new("first"), &Place::First).expect("added");
        schema.add_field(&[], new("second"), &Place::After("FIRST".into())).expect("added");
        assert_eq!(names(&schema), "first second id lines tags last");
        schema.add_field(&path("lines.element"), new("vat"), &Place::After("price".into())).expect("added");
        schema.add_field(&path("tags.value"), new("until"), &Place::First).expect("added");
        let text = schema.fields[3].data_type.to_string() + &schema.fields[4].data_type.to_string();
        assert_eq!(
            text,
            "array<struct<price:integer,vat:long,name:string>>map<string,struct<until:long,since:integer,by:string>>"
        );
    }

    #[test]
    fn what_is_not_there_or_there_already_is_told() {
        let mut schema = schema();
        let before = schema.clone();
        let new = || StructField::new("PRICE", Long, true);
        let errors = [
            schema.add_field(&path("lines.element"), new(), &Place::Last).expect_err("taken"),
            schema.add_field(&path("lines"), new(), &Place::Last).expect_err("an array is no struct"),
            schema.add_field(&[], new(), &Place::After("idd".into())).expect_err("no sibling"),
            schema.rename_field(&path("tags.value.sinc"), "x").expect_err("no such column"),
            schema.rename_field(&path("id"), "Lines").expect_err("taken"),
            schema.drop_field(&path("id.x")).expect_err("a long is no struct"),
            schema.drop_field(&[]).expect_err("no name"),
            schema.move_field(&path("id"), &Place::After("ID".into())).expect_err("behind itself"),
        ];
        let wanted = [
            "column lines.element.PRICE already",
            "lines is no struct",
            "no column idd; did you mean id?",
            "no column tags.value.sinc; did you mean since?",
            "column Lines already",
            "id is no struct",
            "needs a name",
            "behind itself",
        ];
        for (error, wanted) in errors.iter().zip(wanted) {
            assert!(error.to_string().contains(wanted), "{error}: {wanted}");
        }
        assert_eq!(schema, before, "a change that is refused changes nothing");
    }

    #[test]
    fn columns_are_renamed_dropped_and_moved_at_any_depth() {
        let mut schema = schema();
        assert_eq!(schema.rename_field(&path("LINES.Element.name"), "label").expect("renamed"), "name");
        assert_eq!(schema.rename_field(&path("id"), "ID").expect("only the case changes"), "id");
        assert_eq!(schema.drop_field(&path("tags.value.since")).expect("dropped").name, "since");
        let error = schema.drop_field(&path("tags.value.by")).expect_err("the last one").to_string();
        assert!(error.contains("only column of struct tags.value"), "{error}");
        schema.move_field(&path("lines.element.label"), &Place::First).expect("moved");
        schema.move_field(&path("ID"), &Place::After("tags".into())).expect("moved");
        assert_eq!(names(&schema), "lines tags ID");
        assert_eq!(schema.fields[0].data_type.to_string(), "array<struct<label:string,price:integer>>");
        assert_eq!(schema.spelled(&path("LINES.ELEMENT.Label")).expect("there"), path("lines.element.label"));
        assert!(schema.spelled(&path("lines.label")).is_err());
    }
}
