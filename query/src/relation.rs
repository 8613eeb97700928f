//! What a relation in SQL means: a name of the catalog, a path, a version, a table function.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{LogicalPlanBuilder, TableSource};
use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, TableFactor, TableFunctionArgs, TableVersion, Visit, Visitor,
};

use crate::catalog::DELTA_SCHEMA;
use crate::error::{QueryError, Result};

/// Formats of files that are read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileFormat {
    Parquet,
    Csv,
    Json,
}

impl FileFormat {
    /// By the name of a schema that stands before a path, or of a format in COPY.
    pub(crate) fn named(name: &str) -> Option<FileFormat> {
        match name.to_ascii_lowercase().as_str() {
            "parquet" => Some(FileFormat::Parquet),
            "csv" => Some(FileFormat::Csv),
            "json" | "jsonl" | "ndjson" => Some(FileFormat::Json),
            _ => None,
        }
    }

    /// By the end of a path.
    pub(crate) fn of_path(path: &str) -> Option<FileFormat> {
        let name = path.trim_end_matches('/').rsplit(['/', '\\']).next()?;
        let (_, extension) = name.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "tsv" => Some(FileFormat::Csv),
            "parq" => Some(FileFormat::Parquet),
            other => FileFormat::named(other),
        }
    }
}

/// Where a relation is to be looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RelationName {
    /// In the catalog; the current schema where none is named.
    Catalog { schema: Option<String>, table: String },
    /// A Delta table at a path or URI.
    Delta(String),
    /// Files of a format at a path or URI.
    Files(FileFormat, String),
    /// Whatever lies at a path or URI.
    Path(String),
    /// Settings and the like.
    InformationSchema(String),
}

impl RelationName {
    /// Reads ``delta.`uri` ``, `'path'`, `schema.table` and `table`.
    pub(crate) fn of(name: &ObjectName) -> Result<RelationName> {
        let parts: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
        match parts.as_slice() {
            [only] if is_path(only) => Ok(RelationName::Path(only.value.clone())),
            [table] => Ok(RelationName::Catalog { schema: None, table: table.value.clone() }),
            [format, path] if format.value.eq_ignore_ascii_case(DELTA_SCHEMA) && path.quote_style.is_some() => {
                Ok(RelationName::Delta(path.value.clone()))
            }
            [format, path] if path.quote_style.is_some() && FileFormat::named(&format.value).is_some() => {
                let format = FileFormat::named(&format.value)
                    .ok_or_else(|| QueryError::invalid_argument(format!("unknown format {format}")))?;
                Ok(RelationName::Files(format, path.value.clone()))
            }
            [schema, table] if schema.value.eq_ignore_ascii_case("information_schema") => {
                Ok(RelationName::InformationSchema(table.value.to_lowercase()))
            }
            [schema, table] => {
                Ok(RelationName::Catalog { schema: Some(schema.value.clone()), table: table.value.clone() })
            }
            [catalog, schema, table] if catalog.value.eq_ignore_ascii_case(crate::catalog::CATALOG_NAME) => {
                Ok(RelationName::Catalog { schema: Some(schema.value.clone()), table: table.value.clone() })
            }
            _ => Err(QueryError::unknown_table(name.to_string(), std::iter::empty())),
        }
    }
}

/// Text in single quotes is a path; a quoted name is one if no name could look like it.
fn is_path(ident: &Ident) -> bool {
    match ident.quote_style {
        Some('\'') => true,
        Some(_) => ident.value.contains('/') || ident.value.contains('\\'),
        None => false,
    }
}

/// A relation as a statement names it.
#[derive(Debug, Clone)]
pub(crate) enum Reference {
    /// The newest version.
    Current(ObjectName),
    /// `t VERSION AS OF 3`.
    Versioned { name: ObjectName, version: Box<TableVersion> },
    /// `history('t')`.
    Function { name: ObjectName, args: TableFunctionArgs },
}

/// Collects the relations of a statement, subqueries included.
#[derive(Default)]
pub(crate) struct References {
    found: Vec<Reference>,
    /// Names of the table factors just entered that are no plain relations.
    special: Vec<ObjectName>,
}

impl References {
    pub(crate) fn of(statement: &impl Visit) -> Vec<Reference> {
        let mut references = References::default();
        let _ = statement.visit(&mut references);
        references.found
    }
}

impl Visitor for References {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args, version, .. } = factor {
            let reference = match (version, args) {
                (Some(version), _) => Reference::Versioned { name: name.clone(), version: Box::new(version.clone()) },
                (None, Some(args)) => Reference::Function { name: name.clone(), args: args.clone() },
                (None, None) => return ControlFlow::Continue(()),
            };
            self.found.push(reference);
            self.special.push(name.clone());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        // The name of a factor is visited right after the factor.
        if self.special.last() == Some(relation) {
            self.special.pop();
        } else {
            self.found.push(Reference::Current(relation.clone()));
        }
        ControlFlow::Continue(())
    }
}

/// What identifies a relation within one statement.
pub(crate) fn relation_key(
    name: &ObjectName,
    version: Option<&TableVersion>,
    args: Option<&TableFunctionArgs>,
) -> String {
    let mut key = name.to_string();
    if let Some(version) = version {
        key.push_str(&format!(" {version}"));
    }
    if let Some(args) = args {
        let args: Vec<String> = args.args.iter().map(ToString::to_string).collect();
        key.push_str(&format!("({})", args.join(", ")));
    }
    key
}

/// Relations that were opened before planning because opening them awaits: table versions and table functions.
#[derive(Default)]
pub(crate) struct OpenedRelations(HashMap<String, Arc<dyn TableSource>>);

impl std::fmt::Debug for OpenedRelations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl OpenedRelations {
    pub(crate) fn insert(&mut self, key: String, source: Arc<dyn TableSource>) {
        self.0.insert(key, source);
    }
}

impl RelationPlanner for OpenedRelations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> datafusion::error::Result<RelationPlanning> {
        let TableFactor::Table { name, alias, args, version, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if args.is_none() && version.is_none() {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let Some(source) = self.0.get(&relation_key(name, version.as_ref(), args.as_ref())) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let table_ref = match args {
            // A function's columns are reached by its alias or without a qualifier.
            Some(_) => TableReference::bare(name.to_string()),
            None => context.object_name_to_table_reference(name.clone())?,
        };
        let plan = LogicalPlanBuilder::scan(table_ref, source.clone(), None)?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}
