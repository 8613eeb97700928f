//! Random changes against a list of rows: after every one the table holds what the list holds.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::{DFSchema, TableReference};
use datafusion::logical_expr::dml::{MergeIntoAction, MergeIntoClause, MergeIntoClauseKind};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::{SessionConfig, SessionContext};
use floe_query::dml;
use floe_table::{CreateTable, Table};
use floe_testkit::Batch;
use proptest::prelude::*;

use crate::support::{create, query, session_with};

type Row = (Option<i64>, Option<i64>);

/// A condition on a row, in SQL and as a function.
#[derive(Debug, Clone)]
enum Condition {
    Always,
    KeyBelow(i64),
    ValueIs(i64),
    ValueIsNull,
    KeyIsValue,
    Not(Box<Condition>),
}

impl Condition {
    fn sql(&self, table: &str) -> String {
        match self {
            Condition::Always => "true".into(),
            Condition::KeyBelow(limit) => format!("{table}.k < {limit}"),
            Condition::ValueIs(value) => format!("{table}.v = {value}"),
            Condition::ValueIsNull => format!("{table}.v IS NULL"),
            Condition::KeyIsValue => format!("{table}.k = {table}.v"),
            Condition::Not(inner) => format!("NOT ({})", inner.sql(table)),
        }
    }

    /// Three-valued: none is SQL's null.
    fn holds(&self, (k, v): Row) -> Option<bool> {
        match self {
            Condition::Always => Some(true),
            Condition::KeyBelow(limit) => k.map(|k| k < *limit),
            Condition::ValueIs(value) => v.map(|v| v == *value),
            Condition::ValueIsNull => Some(v.is_none()),
            Condition::KeyIsValue => k.zip(v).map(|(k, v)| k == v),
            Condition::Not(inner) => inner.holds((k, v)).map(|held| !held),
        }
    }

    fn is_true(&self, row: Row) -> bool {
        self.holds(row) == Some(true)
    }
}

#[derive(Debug, Clone)]
enum Change {
    Insert(Vec<Row>),
    Delete(Condition),
    /// Adds one to the value and leaves the key, where the condition is true.
    Update(Condition),
    /// Moves rows to another key, which is the partition in a partitioned table.
    Rekey(Condition, i64),
    Merge {
        source: Vec<(i64, Option<i64>)>,
        matched: Condition,
        delete: bool,
        insert: bool,
        prune: Option<Condition>,
    },
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        Just(Condition::Always),
        (0..12i64).prop_map(Condition::KeyBelow),
        (0..6i64).prop_map(Condition::ValueIs),
        Just(Condition::ValueIsNull),
        Just(Condition::KeyIsValue),
    ];
    (leaf, any::<bool>()).prop_map(|(leaf, not)| if not { Condition::Not(Box::new(leaf)) } else { leaf })
}

fn value() -> impl Strategy<Value = Option<i64>> {
    prop::option::weighted(0.8, 0..6i64)
}

fn change() -> impl Strategy<Value = Change> {
    let row = (prop::option::weighted(0.9, 0..12i64), value());
    let source = prop::collection::btree_map(0..12i64, value(), 0..6).prop_map(|map| map.into_iter().collect());
    prop_oneof![
        prop::collection::vec(row, 1..8).prop_map(Change::Insert),
        condition().prop_map(Change::Delete),
        condition().prop_map(Change::Update),
        (condition(), 0..12i64).prop_map(|(condition, key)| Change::Rekey(condition, key)),
        (source, condition(), any::<bool>(), any::<bool>(), prop::option::of(condition())).prop_map(
            |(source, matched, delete, insert, prune)| Change::Merge { source, matched, delete, insert, prune }
        ),
    ]
}

fn batch(rows: &[Row]) -> RecordBatch {
    Batch::new().long("k", rows.iter().map(|r| r.0)).long("v", rows.iter().map(|r| r.1)).build()
}

/// What the change does to the list of rows.
fn replay(rows: &mut Vec<Row>, change: &Change) {
    match change {
        Change::Insert(new) => rows.extend(new),
        Change::Delete(condition) => rows.retain(|row| !condition.is_true(*row)),
        Change::Update(condition) => {
            for row in rows.iter_mut().filter(|row| condition.is_true(**row)) {
                row.1 = row.1.map(|v| v + 1);
            }
        }
        Change::Rekey(condition, key) => {
            for row in rows.iter_mut().filter(|row| condition.is_true(**row)) {
                row.0 = Some(*key);
            }
        }
        Change::Merge { source, matched, delete, insert, prune } => {
            let mut after = Vec::new();
            for row in rows.iter() {
                let found = source.iter().find(|(k, _)| row.0 == Some(*k));
                match found {
                    Some(_) if matched.is_true(*row) && *delete => {}
                    Some((_, v)) if matched.is_true(*row) => after.push((row.0, *v)),
                    Some(_) => after.push(*row),
                    None if prune.as_ref().is_some_and(|prune| prune.is_true(*row)) => {}
                    None => after.push(*row),
                }
            }
            if *insert {
                let new = source.iter().filter(|(k, _)| !rows.iter().any(|row| row.0 == Some(*k)));
                after.extend(new.map(|(k, v)| (Some(*k), *v)));
            }
            *rows = after;
        }
    }
}

struct World {
    table: Table,
    context: SessionContext,
    both: DFSchema,
}

impl World {
    async fn new(partitioned: bool, vectors: bool, pushdown: bool) -> World {
        let schema = batch(&[]).schema();
        let mut wanted = CreateTable::from_arrow(&schema).expect("a schema Delta can hold");
        if partitioned {
            wanted = wanted.with_partition_columns(["k"]);
        }
        wanted = wanted.with_property("delta.enableDeletionVectors", vectors.to_string());
        let table = create(wanted).await;
        let config = SessionConfig::new()
            .with_target_partitions(3)
            .with_repartition_file_min_size(1)
            .set_bool("datafusion.execution.parquet.pushdown_filters", pushdown);
        let context = session_with(&table, config).await;
        let of = |name: &str| DFSchema::try_from_qualified_schema(name, &schema).expect("unique names");
        World { table, context, both: of("t").join(&of("s")).expect("unique names") }
    }

    fn expr(&self, sql: &str) -> Expr {
        self.context.state().create_logical_expr(sql, &self.both).expect(sql)
    }

    async fn apply(&self, change: &Change) -> floe_query::Result<()> {
        let state = self.context.state();
        let target = TableReference::bare("t");
        match change {
            Change::Insert(rows) => {
                self.table.append(vec![batch(rows)]).await?;
            }
            Change::Delete(condition) => {
                let _ = dml::delete(&state, &self.table, &target, Some(self.expr(&condition.sql("t")))).await?;
            }
            Change::Update(condition) => {
                let add = vec![("v".to_string(), self.expr("t.v + 1"))];
                let _ = dml::update(&state, &self.table, &target, add, Some(self.expr(&condition.sql("t")))).await?;
            }
            Change::Rekey(condition, key) => {
                let set = vec![("k".to_string(), self.expr(&key.to_string()))];
                let _ = dml::update(&state, &self.table, &target, set, Some(self.expr(&condition.sql("t")))).await?;
            }
            Change::Merge { source, matched, delete, insert, prune } => {
                let rows: Vec<Row> = source.iter().map(|(k, v)| (Some(*k), *v)).collect();
                let source = self.source(&rows);
                let mut clauses = vec![MergeIntoClause {
                    kind: MergeIntoClauseKind::Matched,
                    predicate: Some(self.expr(&matched.sql("t"))),
                    action: match delete {
                        true => MergeIntoAction::Delete,
                        false => MergeIntoAction::Update(vec![("v".into(), self.expr("s.v"))]),
                    },
                }];
                if *insert {
                    let values = vec![self.expr("s.k"), self.expr("s.v")];
                    let action = MergeIntoAction::Insert { columns: vec!["k".into(), "v".into()], values };
                    clauses.push(MergeIntoClause { kind: MergeIntoClauseKind::NotMatched, predicate: None, action });
                }
                if let Some(prune) = prune {
                    let predicate = Some(self.expr(&prune.sql("t")));
                    let kind = MergeIntoClauseKind::NotMatchedBySource;
                    clauses.push(MergeIntoClause { kind, predicate, action: MergeIntoAction::Delete });
                }
                let on = self.expr("t.k = s.k");
                let _ = dml::merge(&state, &self.table, &target, source, on, clauses).await?;
            }
        }
        Ok(())
    }

    fn source(&self, rows: &[Row]) -> LogicalPlan {
        let batch = batch(rows);
        let memory = datafusion::datasource::MemTable::try_new(batch.schema(), vec![vec![batch]]).expect("one schema");
        let source = datafusion::datasource::provider_as_source(Arc::new(memory));
        datafusion::logical_expr::LogicalPlanBuilder::scan("s", source, None).and_then(|b| b.build()).expect("a scan")
    }
}

fn shown(rows: &[Row]) -> Vec<String> {
    floe_testkit::rows(&[batch(rows)])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_table_holds_what_the_list_holds(
        changes in prop::collection::vec(change(), 1..9),
        partitioned in any::<bool>(),
        vectors in prop::bool::weighted(0.8),
        pushdown in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let world = World::new(partitioned, vectors, pushdown).await;
            let mut rows: Vec<Row> = Vec::new();
            for change in &changes {
                replay(&mut rows, change);
                if let Err(error) = world.apply(change).await {
                    return Err(TestCaseError::fail(format!("{change:?}: {error}")));
                }
                prop_assert_eq!(query(&world.context, "SELECT k, v FROM t").await, shown(&rows), "after {:?}", change);
                let count = rows.len().to_string();
                prop_assert_eq!(query(&world.context, "SELECT count(*) FROM t").await, [count]);
            }
            Ok(())
        })?;
    }
}
