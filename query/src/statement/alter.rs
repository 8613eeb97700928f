//! ALTER TABLE.

use datafusion::sql::sqlparser::ast::ObjectName;
use floe_table::ColumnChange;
use floe_table_format::DataType;

use crate::error::{QueryError, Result};
use crate::output::{Done, Outcome};
use crate::session::Session;
use crate::statement::AlterAction;
use crate::statement::change::check_default;

pub(super) async fn alter(session: &Session, name: &ObjectName, action: AlterAction) -> Result<Outcome> {
    let table = session.table_named(name).await?;
    let (what, report) = match action {
        AlterAction::SetProperties(properties) => {
            let what = format!("set {} of {name}", count(properties.len(), "property", "properties"));
            (what, table.set_properties(properties.into_iter().collect()).await?)
        }
        AlterAction::UnsetProperties { names, if_exists } => {
            let what = format!("unset {} of {name}", count(names.len(), "property", "properties"));
            (what, table.unset_properties(names, if_exists).await?)
        }
        AlterAction::AddColumns(columns) => {
            for column in &columns {
                check_default(session, &column.field)?;
            }
            let what = format!("added {} to {name}", count(columns.len(), "column", "columns"));
            (what, table.add_columns_at(columns).await?)
        }
        AlterAction::ReplaceColumns(columns) => {
            for column in &columns {
                check_default(session, column)?;
            }
            (format!("replaced the columns of {name}"), table.replace_columns(columns).await?)
        }
        AlterAction::RenameColumn { path, to } => {
            let what = format!("renamed column {} of {name} to {to}", path.join("."));
            (what, table.rename_column(&path, &to).await?)
        }
        AlterAction::DropColumns { paths, if_exists } => {
            let what = format!("dropped {} of {name}", count(paths.len(), "column", "columns"));
            (what, table.drop_columns(paths, if_exists).await?)
        }
        AlterAction::DropFeature { feature, truncate_history } => {
            let what = format!("dropped feature {feature} of {name}");
            (what, Box::pin(table.drop_feature(&feature, truncate_history)).await?)
        }
        AlterAction::SyncIdentity(column) => {
            let what = format!("brought the sequence of column {column} of {name} behind the values there are");
            (what, table.sync_identity(&column).await?)
        }
        AlterAction::ChangeColumn { path, change } => {
            if let (ColumnChange::SetDefault(sql), [column]) = (&change, path.as_slice())
                && let Some(field) = table.cached_snapshot().await?.schema().field(column)
            {
                check_default(session, &field.clone().with_metadata("CURRENT_DEFAULT", sql.as_str()))?;
            }
            (format!("changed column {} of {name}", path.join(".")), table.change_column(&path, change).await?)
        }
        AlterAction::WidenColumn { path, to } => {
            let column = path.join(".");
            let DataType::Primitive(wide) = to else {
                return Err(QueryError::unsupported(
                    format!("changing column {column} to {to}"),
                    "a type changes one value at a time: ALTER COLUMN s.field, l.element, m.key or m.value TYPE ...",
                ));
            };
            let what = format!("column {column} of {name} is {to} now");
            (what, table.widen_column(&path, wide).await?)
        }
        AlterAction::AddConstraint { name: constraint, sql } => {
            let what = format!("added constraint {constraint} to {name}");
            (what, table.add_constraint(&constraint, &sql).await?)
        }
        AlterAction::DropConstraint { name: constraint, if_exists } => {
            let what = format!("dropped constraint {constraint} of {name}");
            (what, table.drop_constraint(&constraint, if_exists).await?)
        }
        AlterAction::ClusterBy(columns) => {
            let what = match columns.as_slice() {
                [] => format!("took the clustering from {name}"),
                columns => {
                    let columns: Vec<String> = columns.iter().map(|path| path.join(".")).collect();
                    format!("clustered {name} by {}; OPTIMIZE orders its rows", columns.join(", "))
                }
            };
            (what, table.cluster_by(columns).await?)
        }
        AlterAction::AddPrimaryKey(columns) => {
            let what = format!("declared the primary key ({}) of {name}", columns.join(", "));
            (what, Box::pin(table.add_primary_key(columns)).await?)
        }
        AlterAction::DropPrimaryKey { if_exists } => {
            (format!("dropped the primary key of {name}"), table.drop_primary_key(if_exists).await?)
        }
    };
    Ok(Done::new(format!("{what} (version {})", report.version)).with_version(report.version).into())
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
