//! Names without regard to case: every name in a statement gets the spelling of what it refers to.
//!
//! DataFusion compares names exactly or folds them to lower case; neither finds `userId` of a foreign table under `userid`.
//! So the statement is rewritten before planning. A name is looked for as DataFusion will look for it: in the relations of
//! the query it stands in, then in the queries around it. An exact match wins, so that nothing changes for a statement that
//! spells its names as the tables do; a name that matches nothing is left alone, and planning reports it.

use std::collections::HashMap;
use std::ops::ControlFlow;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    AssignmentTarget, Expr, FromTable, Ident, JoinConstraint, JoinOperator, MergeAction, ObjectName, ObjectNamePart,
    Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Statement, TableFactor, TableWithJoins,
    UpdateTableFromKind, VisitMut, VisitorMut, WildcardAdditionalOptions,
};

use crate::relation::relation_key;

/// The columns of the relations that a statement names, by [`relation_key`].
#[derive(Debug, Default)]
pub(crate) struct Columns {
    relations: HashMap<String, Vec<String>>,
    /// Names inside structs, wherever they occur.
    nested: Vec<String>,
}

impl Columns {
    pub(crate) fn add(&mut self, key: String, schema: SchemaRef) {
        for field in schema.fields() {
            collect_nested(field.data_type(), &mut self.nested);
        }
        self.relations.insert(key, schema.fields().iter().map(|f| f.name().clone()).collect());
    }

    fn of(&self, key: &str) -> Option<&Vec<String>> {
        self.relations.get(key)
    }
}

fn collect_nested(data_type: &DataType, out: &mut Vec<String>) {
    match data_type {
        DataType::Struct(fields) => {
            for field in fields {
                out.push(field.name().clone());
                collect_nested(field.data_type(), out);
            }
        }
        DataType::List(inner) | DataType::LargeList(inner) | DataType::Map(inner, _) => {
            collect_nested(inner.data_type(), out);
        }
        _ => {}
    }
}

/// Gives references to common table expressions the spelling of their definition.
pub(crate) fn spell_ctes(statement: &mut Statement) {
    struct Definitions(Vec<String>);
    impl VisitorMut for Definitions {
        type Break = ();
        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            if let Some(with) = &query.with {
                self.0.extend(with.cte_tables.iter().map(|cte| cte.alias.name.value.clone()));
            }
            ControlFlow::Continue(())
        }
    }
    struct References(Vec<String>);
    impl VisitorMut for References {
        type Break = ();
        fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
            if let [ObjectNamePart::Identifier(ident)] = relation.0.as_mut_slice()
                && ident.quote_style != Some('\'')
                && let Some(spelled) = spelling(&ident.value, self.0.iter())
            {
                ident.value = spelled;
            }
            ControlFlow::Continue(())
        }
    }
    let mut definitions = Definitions(Vec::new());
    let _ = statement.visit(&mut definitions);
    if !definitions.0.is_empty() {
        let _ = statement.visit(&mut References(definitions.0));
    }
}

/// Gives every name the spelling of what it refers to.
pub(crate) fn spell(statement: &mut Statement, columns: &Columns) {
    let mut ctes = CteNames { columns, found: HashMap::new() };
    let _ = statement.visit(&mut ctes);
    let mut speller = Speller { columns, ctes: ctes.found, scopes: Vec::new() };
    let _ = statement.visit(&mut speller);
}

/// The other spelling under which `name` is known, if it is not known under its own.
fn spelling<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<String> {
    let mut found = None;
    for candidate in known {
        if candidate == name {
            return None;
        }
        if found.is_none() && same(candidate, name) {
            found = Some(candidate.clone());
        }
    }
    found
}

fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (!(a.is_ascii() && b.is_ascii()) && a.to_lowercase() == b.to_lowercase())
}

/// What the columns of each common table expression may be called.
struct CteNames<'a> {
    columns: &'a Columns,
    found: HashMap<String, Vec<String>>,
}

impl VisitorMut for CteNames<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                let mut names: Vec<String> = cte.alias.columns.iter().map(|c| c.name.value.clone()).collect();
                if names.is_empty() {
                    names = names_of_query(&cte.query, self.columns, &self.found);
                }
                self.found.insert(cte.alias.name.value.clone(), names);
            }
        }
        ControlFlow::Continue(())
    }
}

/// One relation a name may refer into.
#[derive(Debug, Default)]
struct Binding {
    /// Alias or table name; none for the output of the query itself.
    qualifier: Option<String>,
    columns: Vec<String>,
}

struct Speller<'a> {
    columns: &'a Columns,
    ctes: HashMap<String, Vec<String>>,
    /// Innermost last.
    scopes: Vec<Vec<Binding>>,
}

impl Speller<'_> {
    fn column(&self, ident: &mut Ident) -> bool {
        for scope in self.scopes.iter().rev() {
            let mut replacement = None;
            for binding in scope {
                if binding.columns.contains(&ident.value) {
                    return true;
                }
                if replacement.is_none() {
                    replacement = spelling(&ident.value, binding.columns.iter());
                }
            }
            if let Some(replacement) = replacement {
                ident.value = replacement;
                return true;
            }
        }
        false
    }

    fn nested(&self, ident: &mut Ident) {
        if let Some(spelled) = spelling(&ident.value, self.columns.nested.iter()) {
            ident.value = spelled;
        }
    }

    /// As a column, or else as a name inside a struct: in `a[1].c` that is an expression of its own.
    fn column_or_nested(&self, ident: &mut Ident) {
        if !self.column(ident) {
            self.nested(ident);
        }
    }

    /// Spells a qualifier and gives the columns below it.
    fn qualifier(&self, ident: &mut Ident) -> Option<&Vec<String>> {
        for scope in self.scopes.iter().rev() {
            let qualified = || scope.iter().filter_map(|b| b.qualifier.as_ref().map(|q| (q, &b.columns)));
            let exact = qualified().find(|(q, _)| **q == ident.value);
            if let Some((name, columns)) = exact.or_else(|| qualified().find(|(q, _)| same(q, &ident.value))) {
                ident.value = name.clone();
                return Some(columns);
            }
        }
        None
    }

    /// `a`, `t.a`, `schema.t.a`, each perhaps followed by names inside a struct.
    fn compound(&self, parts: &mut [Ident]) {
        let Some((first, rest)) = parts.split_first_mut() else {
            return;
        };
        let below = match self.qualifier(first) {
            Some(columns) => Some((columns, rest)),
            // The first part may be a schema, the second a table.
            None if rest.len() >= 2 => {
                let (second, last) = rest.split_at_mut(1);
                match self.qualifier(&mut second[0]) {
                    Some(columns) => Some((columns, last)),
                    None => {
                        self.column(first);
                        rest.iter_mut().for_each(|part| self.nested(part));
                        return;
                    }
                }
            }
            None => {
                self.column(first);
                rest.iter_mut().for_each(|part| self.nested(part));
                return;
            }
        };
        if let Some((columns, rest)) = below
            && let Some((column, inner)) = rest.split_first_mut()
        {
            if let Some(spelled) = spelling(&column.value, columns.iter()) {
                column.value = spelled;
            }
            inner.iter_mut().for_each(|part| self.nested(part));
        }
    }

    fn object_name(&self, name: &mut ObjectName) {
        let mut idents: Vec<Ident> = name.0.iter().filter_map(|p| p.as_ident().cloned()).collect();
        if idents.len() != name.0.len() {
            return;
        }
        match idents.as_mut_slice() {
            [only] => {
                self.column(only);
            }
            many => self.compound(many),
        }
        name.0 = idents.into_iter().map(ObjectNamePart::Identifier).collect();
    }

    fn wildcard(&self, options: &mut WildcardAdditionalOptions) {
        use datafusion::sql::sqlparser::ast::{ExcludeSelectItem, RenameSelectItem};
        match &mut options.opt_exclude {
            Some(ExcludeSelectItem::Single(name)) => self.object_name(name),
            Some(ExcludeSelectItem::Multiple(names)) => names.iter_mut().for_each(|name| self.object_name(name)),
            None => {}
        }
        if let Some(except) = &mut options.opt_except {
            self.column(&mut except.first_element);
            for ident in &mut except.additional_elements {
                self.column(ident);
            }
        }
        if let Some(replace) = &mut options.opt_replace {
            for item in &mut replace.items {
                self.column(&mut item.column_name);
            }
        }
        match &mut options.opt_rename {
            Some(RenameSelectItem::Single(item)) => {
                self.column(&mut item.ident);
            }
            Some(RenameSelectItem::Multiple(items)) => {
                for item in items {
                    self.column(&mut item.ident);
                }
            }
            None => {}
        }
    }

    fn joins(&self, tables: &mut [TableWithJoins]) {
        for join in tables.iter_mut().flat_map(|t| t.joins.iter_mut()) {
            let constraint = match &mut join.join_operator {
                JoinOperator::Join(c)
                | JoinOperator::Inner(c)
                | JoinOperator::Left(c)
                | JoinOperator::LeftOuter(c)
                | JoinOperator::Right(c)
                | JoinOperator::RightOuter(c)
                | JoinOperator::FullOuter(c)
                | JoinOperator::Semi(c)
                | JoinOperator::LeftSemi(c)
                | JoinOperator::RightSemi(c)
                | JoinOperator::Anti(c)
                | JoinOperator::LeftAnti(c)
                | JoinOperator::RightAnti(c) => c,
                _ => continue,
            };
            if let JoinConstraint::Using(names) = constraint {
                names.iter_mut().for_each(|name| self.object_name(name));
            }
        }
    }

    fn bindings_of(&self, tables: &[TableWithJoins]) -> Vec<Binding> {
        let mut out = Vec::new();
        for table in tables {
            bind_factor(&table.relation, self.columns, &self.ctes, &mut out);
            for join in &table.joins {
                bind_factor(&join.relation, self.columns, &self.ctes, &mut out);
            }
        }
        out
    }
}

impl VisitorMut for Speller<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // ORDER BY stands outside of the select and sees its output and its relations.
        let mut scope = vec![Binding { qualifier: None, columns: names_of_query(query, self.columns, &self.ctes) }];
        if let SetExpr::Select(select) = query.body.as_ref() {
            scope.extend(self.bindings_of(&select.from));
        }
        self.scopes.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut scope = self.bindings_of(&select.from);
        scope.push(Binding { qualifier: None, columns: aliases(select) });
        self.scopes.push(scope);
        self.joins(&mut select.from);
        for item in &mut select.projection {
            match item {
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    if let Some(ObjectNamePart::Identifier(last)) = name.0.last_mut() {
                        self.qualifier(last);
                    }
                    self.wildcard(options);
                }
                SelectItem::Wildcard(options) => self.wildcard(options),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _select: &mut Select) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &mut Statement) -> ControlFlow<()> {
        match statement {
            Statement::Update(update) => {
                let mut scope = self.bindings_of(std::slice::from_ref(&update.table));
                match &update.from {
                    Some(UpdateTableFromKind::BeforeSet(tables) | UpdateTableFromKind::AfterSet(tables)) => {
                        scope.extend(self.bindings_of(tables));
                    }
                    None => {}
                }
                self.scopes.push(scope);
                for assignment in &mut update.assignments {
                    self.assignment(&mut assignment.target);
                }
            }
            Statement::Delete(delete) => {
                let tables = match &delete.from {
                    FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables) => tables,
                };
                let scope = self.bindings_of(tables);
                self.scopes.push(scope);
            }
            Statement::Insert(insert) => {
                let key = insert.table.to_string();
                let columns = self.columns.of(&key).cloned().unwrap_or_default();
                self.scopes.push(vec![Binding { qualifier: None, columns }]);
                for name in &mut insert.columns {
                    self.object_name(name);
                }
                // The source sees nothing of the target.
                self.scopes.pop();
                self.scopes.push(Vec::new());
            }
            Statement::Merge(merge) => {
                let mut target = Vec::new();
                bind_factor(&merge.table, self.columns, &self.ctes, &mut target);
                self.scopes.push(target);
                for clause in &mut merge.clauses {
                    match &mut clause.action {
                        MergeAction::Update(update) => {
                            for assignment in &mut update.assignments {
                                self.assignment(&mut assignment.target);
                            }
                        }
                        MergeAction::Insert(insert) => {
                            for name in &mut insert.columns {
                                self.object_name(name);
                            }
                        }
                        MergeAction::Delete { .. } => {}
                    }
                }
                let mut source = Vec::new();
                bind_factor(&merge.source, self.columns, &self.ctes, &mut source);
                if let Some(scope) = self.scopes.last_mut() {
                    scope.extend(source);
                }
            }
            _ => self.scopes.push(Vec::new()),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_statement(&mut self, _statement: &mut Statement) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => self.column_or_nested(ident),
            Expr::CompoundIdentifier(parts) => self.compound(parts),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Speller<'_> {
    fn assignment(&self, target: &mut AssignmentTarget) {
        match target {
            AssignmentTarget::ColumnName(name) => self.object_name(name),
            AssignmentTarget::Tuple(names) => names.iter_mut().for_each(|name| self.object_name(name)),
        }
    }
}

/// Adds the relation of a table factor, or those inside of it.
fn bind_factor(factor: &TableFactor, columns: &Columns, ctes: &HashMap<String, Vec<String>>, out: &mut Vec<Binding>) {
    match factor {
        TableFactor::Table { name, alias, args, version, .. } => {
            let key = relation_key(name, version.as_ref(), args.as_ref());
            let last = name.0.last().and_then(|p| p.as_ident()).map(|i| i.value.clone());
            let mut known = columns.of(&key).cloned();
            if known.is_none()
                && let Some(last) = &last
            {
                known = ctes.get(last).cloned();
            }
            let qualifier = alias.as_ref().map(|a| a.name.value.clone()).or(last);
            let renamed = alias.as_ref().map(|a| a.columns.iter().map(|c| c.name.value.clone()).collect::<Vec<_>>());
            let columns = match renamed {
                Some(renamed) if !renamed.is_empty() => renamed,
                _ => known.unwrap_or_default(),
            };
            out.push(Binding { qualifier, columns });
        }
        TableFactor::Derived { subquery, alias, .. } => {
            let mut names: Vec<String> =
                alias.iter().flat_map(|a| a.columns.iter().map(|c| c.name.value.clone())).collect();
            if names.is_empty() {
                names = names_of_query(subquery, columns, ctes);
            }
            out.push(Binding { qualifier: alias.as_ref().map(|a| a.name.value.clone()), columns: names });
        }
        TableFactor::NestedJoin { table_with_joins, .. } => {
            bind_factor(&table_with_joins.relation, columns, ctes, out);
            for join in &table_with_joins.joins {
                bind_factor(&join.relation, columns, ctes, out);
            }
        }
        other => {
            let alias = match other {
                TableFactor::UNNEST { alias, .. } | TableFactor::Function { alias, .. } => alias.as_ref(),
                _ => None,
            };
            if let Some(alias) = alias {
                out.push(Binding {
                    qualifier: Some(alias.name.value.clone()),
                    columns: alias.columns.iter().map(|c| c.name.value.clone()).collect(),
                });
            }
        }
    }
}

fn aliases(select: &Select) -> Vec<String> {
    select
        .projection
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
            _ => None,
        })
        .collect()
}

/// What the columns of a query may be called: its aliases first, then whatever its relations hold.
fn names_of_query(query: &Query, columns: &Columns, ctes: &HashMap<String, Vec<String>>) -> Vec<String> {
    let mut inner = ctes.clone();
    if let Some(with) = &query.with {
        for cte in &with.cte_tables {
            let mut names: Vec<String> = cte.alias.columns.iter().map(|c| c.name.value.clone()).collect();
            if names.is_empty() {
                names = names_of_query(&cte.query, columns, &inner);
            }
            inner.insert(cte.alias.name.value.clone(), names);
        }
    }
    names_of_body(&query.body, columns, &inner)
}

fn names_of_body(body: &SetExpr, columns: &Columns, ctes: &HashMap<String, Vec<String>>) -> Vec<String> {
    match body {
        SetExpr::Select(select) => {
            let mut names = aliases(select);
            let mut bindings = Vec::new();
            for table in &select.from {
                bind_factor(&table.relation, columns, ctes, &mut bindings);
                for join in &table.joins {
                    bind_factor(&join.relation, columns, ctes, &mut bindings);
                }
            }
            names.extend(bindings.into_iter().flat_map(|b| b.columns));
            names
        }
        SetExpr::Query(query) => names_of_query(query, columns, ctes),
        SetExpr::SetOperation { left, .. } => names_of_body(left, columns, ctes),
        _ => Vec::new(),
    }
}
