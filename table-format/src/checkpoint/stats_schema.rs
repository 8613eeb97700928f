//! Which statistics a checkpoint stores as columns.

use arrow::array::{ArrayRef, Int64Array, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType as ArrowType, Field, Fields};
use std::sync::Arc;

use crate::error::Result;
use crate::schema::{DataType, PrimitiveType, StructField};
use crate::state::{ColumnStats, FileChunk, StatsColumnSpec, TableState};

/// The columns with statistics as a tree, and flat for the parser.
pub(super) struct StatsSchema {
    fields: Vec<Node>,
    pub(super) wanted: Vec<StatsColumnSpec>,
}

struct Node {
    name: String,
    kind: Kind,
}

enum Kind {
    /// Position among the wanted columns.
    Leaf(usize),
    Struct(Vec<Node>),
}

/// One of the three groups of per-column statistics.
#[derive(Clone, Copy, PartialEq)]
enum Group {
    Min,
    Max,
    NullCount,
}

impl StatsSchema {
    /// The columns for which the table's properties ask for statistics, by physical name. Partition columns have none.
    pub(super) fn of(state: &TableState) -> Self {
        let mut collector = Collector { state, wanted: Vec::new(), leaves: 0 };
        let data = state.schema.fields.iter().filter(|f| !state.metadata.partition_columns.contains(&f.name));
        let fields = data.filter_map(|field| collector.node(field, &mut Vec::new(), &mut Vec::new())).collect();
        StatsSchema { fields, wanted: collector.wanted }
    }

    /// The type of `stats_parsed`.
    pub(super) fn fields(&self) -> Fields {
        let mut fields = vec![Field::new("numRecords", ArrowType::Int64, true)];
        for (name, group) in GROUPS {
            let inner = self.group_fields(&self.fields, group);
            if !inner.is_empty() {
                fields.push(Field::new(name, ArrowType::Struct(inner), true));
            }
        }
        fields.push(Field::new("tightBounds", ArrowType::Boolean, true));
        fields.into()
    }

    fn group_fields(&self, nodes: &[Node], group: Group) -> Fields {
        let field = |node: &Node| {
            let data_type = match &node.kind {
                Kind::Leaf(_) if group == Group::NullCount => ArrowType::Int64,
                Kind::Leaf(at) if self.wanted[*at].bounds => crate::state::stats_arrow_type(self.wanted[*at].data_type),
                Kind::Leaf(_) => return None,
                Kind::Struct(inner) => {
                    let inner = self.group_fields(inner, group);
                    if inner.is_empty() {
                        return None;
                    }
                    ArrowType::Struct(inner)
                }
            };
            Some(Field::new(&node.name, data_type, true))
        };
        nodes.iter().filter_map(field).collect()
    }

    /// The `stats_parsed` column of these files.
    pub(super) fn column(&self, chunk: &FileChunk) -> Result<StructArray> {
        let stats = chunk.stats_columns_as_written(&self.wanted)?;
        let fields = self.fields();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(chunk.num_records().clone())];
        for (name, group) in GROUPS {
            if let Some((_, field)) = fields.find(name) {
                columns.push(self.group_column(&self.fields, field.data_type(), group, &stats, chunk.rows()));
            }
        }
        columns.push(Arc::new(chunk.tight_bounds().clone()));
        let known = NullBuffer::from_iter((0..chunk.rows()).map(|row| chunk.has_stats(row)));
        Ok(StructArray::new(fields, columns, Some(known)))
    }

    fn group_column(
        &self,
        nodes: &[Node],
        data_type: &ArrowType,
        group: Group,
        stats: &[ColumnStats],
        rows: usize,
    ) -> ArrayRef {
        let ArrowType::Struct(fields) = data_type else { return Arc::new(Int64Array::new_null(rows)) };
        let column = |field: &Arc<Field>| -> ArrayRef {
            let node = nodes.iter().find(|node| node.name == *field.name());
            match node.map(|node| &node.kind) {
                Some(Kind::Leaf(at)) => match group {
                    Group::Min => Arc::clone(&stats[*at].min),
                    Group::Max => Arc::clone(&stats[*at].max),
                    Group::NullCount => Arc::new(stats[*at].null_count.clone()),
                },
                Some(Kind::Struct(inner)) => self.group_column(inner, field.data_type(), group, stats, rows),
                None => arrow::array::new_null_array(field.data_type(), rows),
            }
        };
        let columns = fields.iter().map(column).collect();
        Arc::new(StructArray::new(fields.clone(), columns, None))
    }
}

const GROUPS: [(&str, Group); 3] =
    [("minValues", Group::Min), ("maxValues", Group::Max), ("nullCount", Group::NullCount)];

struct Collector<'a> {
    state: &'a TableState,
    wanted: Vec<StatsColumnSpec>,
    leaves: usize,
}

impl Collector<'_> {
    /// The field's node if it, or something in it, has statistics.
    fn node(&mut self, field: &StructField, logical: &mut Vec<String>, physical: &mut Vec<String>) -> Option<Node> {
        let name = field.physical_name_in(self.state.properties.column_mapping_mode).to_owned();
        logical.push(field.name.clone());
        physical.push(name.clone());
        let kind = match &field.data_type {
            DataType::Struct(inner) => {
                let nodes: Vec<Node> = inner.fields.iter().filter_map(|f| self.node(f, logical, physical)).collect();
                (!nodes.is_empty()).then_some(Kind::Struct(nodes))
            }
            other => self.leaf(other, logical, physical),
        };
        logical.pop();
        physical.pop();
        kind.map(|kind| Node { name, kind })
    }

    fn leaf(&mut self, data_type: &DataType, logical: &[String], physical: &[String]) -> Option<Kind> {
        let properties = &self.state.properties;
        self.leaves += 1;
        let chosen = match (&properties.data_skipping_stats_columns, properties.data_skipping_num_indexed_cols) {
            (Some(columns), _) => columns.iter().any(|c| starts_with(logical, c)),
            (None, Some(count)) => self.leaves <= count,
            (None, None) => true,
        };
        if !chosen {
            return None;
        }
        let primitive = data_type.as_primitive();
        let bounds = primitive.is_some_and(|p| !matches!(p, PrimitiveType::Boolean | PrimitiveType::Binary));
        self.wanted.push(StatsColumnSpec {
            path: physical.to_vec(),
            // Only the null count of the others is stored, whatever their type.
            data_type: primitive.unwrap_or(PrimitiveType::Binary),
            bounds,
        });
        Some(Kind::Leaf(self.wanted.len() - 1))
    }
}

/// Column names compare without case.
fn starts_with(path: &[String], prefix: &[String]) -> bool {
    path.len() >= prefix.len() && path.iter().zip(prefix).all(|(a, b)| a.to_lowercase() == b.to_lowercase())
}
