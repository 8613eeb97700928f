//! A scan as bytes, for shipping it to another machine.
//!
//! DataFusion's own encoding of a file scan drops what is attached to its files. Here the attachments are part of what is
//! encoded: the deletion vectors' descriptors lie in the [`ScanSpec`]. Filters that the scan only uses to skip data stay
//! behind, since the operator above evaluates them anyway; filters that the scan alone applies cannot, and are refused.

use datafusion::common::plan_err;
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::{FileGroup, ParquetSource};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use floe_storage::DataStore;
use serde::{Deserialize, Serialize};

use super::DeltaScanExec;
use super::build::{ScanRequest, ordinal_of, planned_files};
use super::spec::{ScanSpec, external};
use super::statistics::ScanStatistics;

/// The layout of the bytes; a reader refuses others.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Wire {
    format: u32,
    spec: ScanSpec,
    /// Positions in the reader's columns.
    projection: Vec<usize>,
    limit: Option<usize>,
    preserve_order: bool,
    groups: Vec<Vec<WireFile>>,
}

#[derive(Serialize, Deserialize)]
struct WireFile {
    ordinal: usize,
    range: Option<(i64, i64)>,
}

impl DeltaScanExec {
    /// The scan as bytes: files, their parts by partition, deletion vectors, columns and limit.
    ///
    /// # Errors
    /// A plan error if the scan computes expressions or applies filters of its own (`pushdown_filters`): those have no
    /// encoding here. Ship the plan before the physical optimiser has run, or without those settings.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let config = self.config()?;
        let Some(source) = config.file_source().downcast_ref::<ParquetSource>() else {
            return plan_err!("the scan does not read Parquet");
        };
        if config.file_source().filter().is_some() && source.table_parquet_options().global.pushdown_filters {
            return plan_err!("a scan that applies filters itself cannot be encoded");
        }
        let mut projection = Vec::new();
        for item in config.file_source().projection().into_iter().flat_map(|p| p.as_ref()) {
            match item.expr.downcast_ref::<Column>() {
                Some(column) if column.name() == item.alias => projection.push(column.index()),
                _ => return plan_err!("a scan that computes {} cannot be encoded", item.expr),
            }
        }
        let mut groups = Vec::with_capacity(config.file_groups.len());
        for group in &config.file_groups {
            let files: Result<Vec<WireFile>> = group
                .files()
                .iter()
                .map(|file| {
                    let range = file.range.as_ref().map(|range| (range.start, range.end));
                    Ok(WireFile { ordinal: ordinal_of(file)?, range })
                })
                .collect();
            groups.push(files?);
        }
        let wire = Wire {
            format: FORMAT,
            spec: self.spec.as_ref().clone(),
            projection,
            limit: config.limit,
            preserve_order: config.preserve_order,
            groups,
        };
        serde_json::to_vec(&wire).map_err(external)
    }

    /// The scan that [`DeltaScanExec::to_bytes`] gave, reading from this store.
    ///
    /// # Errors
    /// A plan error for bytes of another format and for a store that holds another table.
    pub fn from_bytes(bytes: &[u8], store: &DataStore, config: &ConfigOptions) -> Result<DeltaScanExec> {
        let wire: Wire = serde_json::from_slice(bytes).map_err(external)?;
        if wire.format != FORMAT {
            return plan_err!("a scan encoded as format {}, this build reads {FORMAT}", wire.format);
        }
        if wire.spec.plan.table_uri != store.location().uri {
            return plan_err!("a scan of {}, given the store of {}", wire.spec.plan.table_uri, store.location().uri);
        }
        let layout = wire.spec.layout()?;
        let statistics = ScanStatistics::counts(&wire.spec, &layout)?;
        let files = planned_files(&wire.spec, &layout, store.location(), &statistics)?;
        let mut groups = Vec::with_capacity(wire.groups.len());
        for group in wire.groups {
            let mut planned = Vec::with_capacity(group.len());
            for WireFile { ordinal, range } in group {
                let Some(file) = files.get(ordinal) else {
                    return plan_err!("an encoded scan names file {ordinal} of {}", files.len());
                };
                planned.push(match range {
                    Some((start, end)) => file.clone().with_range(start, end),
                    None => file.clone(),
                });
            }
            groups.push(FileGroup::new(planned));
        }
        let columns = layout.reader.table_schema().fields().len();
        if let Some(beyond) = wire.projection.iter().find(|column| **column >= columns) {
            return plan_err!("an encoded scan names column {beyond} of {columns}");
        }
        let options = datafusion::common::config::TableParquetOptions {
            global: config.execution.parquet.clone(),
            ..Default::default()
        };
        let request = ScanRequest { spec: wire.spec, layout: &layout, statistics, projection: None, limit: wire.limit };
        request.plan_groups(store, options, groups, &wire.projection, wire.preserve_order)
    }
}
