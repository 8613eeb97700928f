//! Properties that name columns, kept true when columns are renamed or dropped.

use std::collections::BTreeMap;

use super::{invalid, name, value};
use crate::error::Result;

/// Properties with names of top-level columns that a table cannot do without.
const ROLES: [&str; 3] = [name::PRIMARY_KEY, name::ORDERING_FIELDS, name::DELETE_MARKER];

/// The property that needs a column, if one does.
///
/// # Errors
/// [`FormatError::InvalidProperty`](crate::FormatError::InvalidProperty) for a value that does not decode.
pub fn role_of_column(configuration: &BTreeMap<String, String>, path: &[String]) -> Result<Option<&'static str>> {
    let Some(column) = path.first() else { return Ok(None) };
    for property in ROLES {
        if names(configuration, property)?.is_some_and(|names| names.contains(column)) {
            return Ok(Some(property));
        }
    }
    Ok(None)
}

/// Writes a column's new name into the properties that name it. `path` is the column as it was called.
///
/// # Errors
/// As [`role_of_column`].
pub fn rename_column(configuration: &mut BTreeMap<String, String>, path: &[String], to: &str) -> Result<()> {
    if let [column] = path {
        for property in ROLES {
            let Some(mut names) = names(configuration, property)? else { continue };
            if let Some(found) = names.iter_mut().find(|name| *name == column) {
                *found = to.to_owned();
                configuration.insert(property.into(), serde_json::json!(names).to_string());
            }
        }
    }
    let Some(mut columns) = statistics_columns(configuration)? else { return Ok(()) };
    for column in &mut columns {
        if starts_with(column, path) {
            column[path.len() - 1] = to.to_owned();
        }
    }
    configuration.insert(name::DATA_SKIPPING_STATS_COLUMNS.into(), paths_text(&columns));
    Ok(())
}

/// Takes a column out of the properties that can do without it.
///
/// # Errors
/// As [`role_of_column`].
pub fn drop_column(configuration: &mut BTreeMap<String, String>, path: &[String]) -> Result<()> {
    let Some(mut columns) = statistics_columns(configuration)? else { return Ok(()) };
    columns.retain(|column| !starts_with(column, path));
    match columns.is_empty() {
        true => drop(configuration.remove(name::DATA_SKIPPING_STATS_COLUMNS)),
        false => drop(configuration.insert(name::DATA_SKIPPING_STATS_COLUMNS.into(), paths_text(&columns))),
    }
    Ok(())
}

fn names(configuration: &BTreeMap<String, String>, property: &str) -> Result<Option<Vec<String>>> {
    let Some(text) = configuration.get(property) else { return Ok(None) };
    value::column_names(text).map(Some).map_err(|what| invalid(property, text, what))
}

fn statistics_columns(configuration: &BTreeMap<String, String>) -> Result<Option<Vec<Vec<String>>>> {
    let property = name::DATA_SKIPPING_STATS_COLUMNS;
    let Some(text) = configuration.get(property) else { return Ok(None) };
    value::column_paths(text).map(Some).map_err(|what| invalid(property, text, what))
}

fn starts_with(column: &[String], path: &[String]) -> bool {
    column.len() >= path.len() && column.iter().zip(path).all(|(one, other)| one.to_lowercase() == other.to_lowercase())
}

/// Paths as the property spells them: names in backticks where they must be.
fn paths_text(paths: &[Vec<String>]) -> String {
    let quoted = |name: &String| {
        let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if plain { name.clone() } else { format!("`{}`", name.replace('`', "``")) }
    };
    let path = |path: &Vec<String>| path.iter().map(quoted).collect::<Vec<_>>().join(".");
    paths.iter().map(path).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn a_new_name_reaches_every_property_that_has_the_old_one() {
        let mut properties = configuration(&[
            ("floe.primaryKey", r#"["id","zone"]"#),
            ("floe.orderingFields", "at, id"),
            ("floe.deleteMarker", "gone"),
            ("delta.dataSkippingStatsColumns", "ID, place.zone, id2"),
            ("owner", "id"),
        ]);
        rename_column(&mut properties, &path("id"), "order id").expect("renamed");
        rename_column(&mut properties, &path("place.zone"), "area").expect("renamed");
        rename_column(&mut properties, &path("gone"), "deleted").expect("renamed");
        let expected = configuration(&[
            ("floe.primaryKey", r#"["order id","zone"]"#),
            ("floe.orderingFields", r#"["at","order id"]"#),
            ("floe.deleteMarker", r#"["deleted"]"#),
            ("delta.dataSkippingStatsColumns", "`order id`,place.area,id2"),
            ("owner", "id"),
        ]);
        assert_eq!(properties, expected);
        let read = super::super::TableProperties::parse(&properties).expect("reads back");
        assert_eq!(read.delete_marker.as_deref(), Some("deleted"));
        assert_eq!(read.data_skipping_stats_columns.expect("set")[0], ["order id"]);
    }

    #[test]
    fn a_column_with_a_role_is_told_and_statistics_do_without() {
        let mut properties =
            configuration(&[("floe.primaryKey", r#"["id"]"#), ("delta.dataSkippingStatsColumns", "a.b,a.c,d")]);
        assert_eq!(role_of_column(&properties, &path("id")), Ok(Some("floe.primaryKey")));
        assert_eq!(role_of_column(&properties, &path("a")), Ok(None));
        drop_column(&mut properties, &path("a")).expect("dropped");
        assert_eq!(properties["delta.dataSkippingStatsColumns"], "d");
        drop_column(&mut properties, &path("d")).expect("dropped");
        assert!(!properties.contains_key("delta.dataSkippingStatsColumns"));
    }
}
