use super::*;
use crate::statement::split_statements;
use floe_table::ColumnChange;

fn parse_one(text: &str) -> Result<Statement> {
    let statements = split_statements(text)?;
    assert_eq!(statements.len(), 1, "{text}");
    statements[0].parse()
}

fn parsed(text: &str) -> Statement {
    match parse_one(text) {
        Ok(statement) => statement,
        Err(error) => panic!("{text}: {error}"),
    }
}

fn check_error(text: &str, expected: &str) {
    match parse_one(text) {
        Ok(statement) => panic!("{text}: {statement:?}"),
        Err(error) => assert!(error.to_string().contains(expected), "{text}: {error}"),
    }
}

#[test]
fn create_table_reads_every_clause() {
    let Statement::CreateTable(create) = parsed(
        "CREATE TABLE IF NOT EXISTS sales.orders (
            id BIGINT NOT NULL COMMENT 'the key',
            `two words` STRING DEFAULT 'none',
            price DECIMAL(12, 2),
            tags ARRAY<STRING>,
            deep MAP<STRING, ARRAY<STRUCT<a: INT, b: ARRAY<DOUBLE>>>>,
            CONSTRAINT positive CHECK (price > 0)
        ) USING delta PARTITIONED BY (day DATE) LOCATION 's3://bucket/orders'
        COMMENT 'all orders' TBLPROPERTIES ('delta.appendOnly' = 'true', custom.key = 3)",
    ) else {
        panic!("no CREATE TABLE");
    };
    assert_eq!(create.name.to_string(), "sales.orders");
    assert!(create.if_not_exists && !create.or_replace);
    let names: Vec<&str> = create.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["id", "two words", "price", "tags", "deep", "day"]);
    assert!(!create.columns[0].nullable);
    assert_eq!(create.columns[0].comment(), Some("the key"));
    assert_eq!(create.columns[1].default_expression(), Some("'none'"));
    let types: Vec<String> = create.columns.iter().map(|c| crate::types::type_name(&c.data_type)).collect();
    let deep = "map<string,array<struct<a:int,b:array<double>>>>";
    assert_eq!(types, ["bigint", "string", "decimal(12,2)", "array<string>", deep, "date"]);
    assert_eq!(create.checks, [("positive".to_owned(), "price > 0".to_owned())]);
    assert_eq!(create.partitioned_by, ["day"]);
    assert_eq!(create.location.as_deref(), Some("s3://bucket/orders"));
    assert_eq!(create.comment.as_deref(), Some("all orders"));
    let properties = [("delta.appendOnly", "true"), ("custom.key", "3")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(create.properties, properties);
}

#[test]
fn the_types_of_spark_are_known() {
    for (sql, expected) in [
        ("LONG", "bigint"),
        ("int", "int"),
        ("SHORT", "smallint"),
        ("BYTE", "tinyint"),
        ("FLOAT", "float"),
        ("DOUBLE", "double"),
        ("BOOLEAN", "boolean"),
        ("BINARY", "binary"),
        ("TIMESTAMP", "timestamp"),
        ("TIMESTAMP_NTZ", "timestamp_ntz"),
        ("DECIMAL", "decimal(10,0)"),
        ("VARCHAR(20)", "string"),
        ("STRUCT<`a b`: INT NOT NULL COMMENT 'x', c STRING>", "struct<`a b`:int,c:string>"),
    ] {
        let Statement::CreateTable(create) = parsed(&format!("CREATE TABLE t (a {sql})")) else {
            panic!("no CREATE TABLE");
        };
        assert_eq!(crate::types::type_name(&create.columns[0].data_type), expected, "{sql}");
    }
    check_error("CREATE TABLE t (a STRNG)", "did you mean STRING?");
    check_error("CREATE TABLE t (a DECIMAL(39, 2))", "precision");
    let deep = format!("CREATE TABLE t (a {}INT{})", "ARRAY<".repeat(1000), ">".repeat(1000));
    check_error(&deep, "too deeply");
}

#[test]
fn maintenance_statements_are_read() {
    let Statement::Optimize { name, filter, zorder, full: false } =
        parsed("OPTIMIZE s.t WHERE day = '2024-01-01' ZORDER BY (a, b)")
    else {
        panic!("no OPTIMIZE");
    };
    assert_eq!((name.to_string().as_str(), filter.is_some()), ("s.t", true));
    assert_eq!(zorder, ["a", "b"]);
    assert!(matches!(
        parsed("VACUUM t RETAIN 0 HOURS DRY RUN"),
        Statement::Vacuum { retain_hours: Some(0.0), dry_run: true, .. }
    ));
    for (sql, shown) in [
        ("RESTORE TABLE t TO VERSION AS OF 3", "VERSION AS OF 3"),
        ("RESTORE t TO TIMESTAMP AS OF '2024-01-01'", "TIMESTAMP AS OF '2024-01-01'"),
    ] {
        let Statement::Restore { version, .. } = parsed(sql) else {
            panic!("no RESTORE: {sql}");
        };
        assert_eq!(version.to_string(), shown);
    }
    assert!(matches!(parsed("CHECK TABLE s.t"), Statement::CheckTable(_)));
    assert!(matches!(parsed("FSCK REPAIR TABLE s.t"), Statement::RepairTable { dry_run: false, .. }));
    assert!(matches!(parsed("FSCK REPAIR TABLE '/a/t' DRY RUN"), Statement::RepairTable { dry_run: true, .. }));
    assert!(matches!(parsed("DESCRIBE HISTORY t LIMIT 3"), Statement::DescribeHistory { limit: Some(3), .. }));
    assert!(matches!(parsed("DESC DETAIL delta.`/tmp/t`"), Statement::DescribeDetail(_)));
    assert!(matches!(
        parsed("SHOW TABLES IN sales LIKE 'a*'"),
        Statement::ShowTables { schema: Some(_), like: Some(_) }
    ));
    assert!(matches!(parsed("ALTER TABLE t ADD COLUMNS (a INT, b STRING)"), Statement::Alter { .. }));
    assert!(matches!(parsed("ALTER TABLE t UNSET TBLPROPERTIES IF EXISTS ('a')"), Statement::Alter { .. }));
    assert!(matches!(parsed("COPY (SELECT 1) TO '/tmp/a.csv'"), Statement::Copy(_)));
    assert!(matches!(parsed("COPY t TO '/tmp/a' STORED AS PARQUET"), Statement::Copy(_)));
}

#[test]
fn time_travel_is_read_in_every_spelling() {
    for sql in [
        "SELECT * FROM t VERSION AS OF 3",
        "SELECT * FROM t FOR VERSION AS OF 3",
        "SELECT * FROM t FOR SYSTEM_VERSION AS OF 3",
        "SELECT * FROM t TIMESTAMP AS OF '2024-01-01' AS x",
        "SELECT * FROM t FOR TIMESTAMP AS OF '2024-01-01'",
        "SELECT * FROM t FOR SYSTEM_TIME AS OF '2024-01-01'",
        "SELECT * FROM delta.`/tmp/t` VERSION AS OF 3 x JOIN '/tmp/t' VERSION AS OF 2 AS y ON x.a = y.a",
    ] {
        assert!(matches!(parsed(sql), Statement::Query(_)), "{sql}");
    }
}

#[test]
fn merge_with_stars_is_read() {
    let Statement::Merge(merge) = parsed(
        "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED AND s.gone THEN DELETE WHEN MATCHED THEN UPDATE SET *
         WHEN NOT MATCHED THEN INSERT * WHEN NOT MATCHED BY SOURCE THEN UPDATE SET a = t.a * 2",
    ) else {
        panic!("no MERGE");
    };
    assert_eq!(merge.clauses.len(), 4);
}

#[test]
fn what_is_no_statement_is_named() {
    check_error("FROBNICATE TABLE t", "unknown statement FROBNICATE TABLE");
    check_error("CREATE VIEW v AS SELECT 1", "unknown statement CREATE VIEW");
    check_error("SELECT 1 FROM t WHERE", "cannot read the statement");
    check_error("VACUUM t RETAIN many HOURS", "cannot read the statement");
    check_error("OPTIMIZE t nonsense", "end of statement");
    check_error("CREATE TABLE t (a INT UNIQUE)", "not supported: foreign and unique keys");
    check_error("ALTER TABLE t RENAME TO u", "not supported: renaming a table");
    check_error("EXPLAIN DELETE FROM t", "not supported: EXPLAIN");
}

#[test]
fn changes_of_columns_are_read() {
    let action = |sql: &str| match parsed(&format!("ALTER TABLE t {sql}")) {
        Statement::Alter { action, .. } => action,
        other => panic!("{sql}: {other:?}"),
    };
    let AlterAction::AddColumns(added) = action("ADD COLUMNS (a.b INT DEFAULT 1 COMMENT 'x' AFTER `c d`, e INT FIRST)")
    else {
        panic!("no ADD COLUMNS");
    };
    assert_eq!((added[0].parent.as_slice(), added[0].field.name.as_str()), (["a".to_owned()].as_slice(), "b"));
    assert_eq!(added[0].place, floe_table_format::schema::Place::After("c d".into()));
    assert_eq!(added[0].field.default_expression(), Some("1"));
    assert!(matches!(action("RENAME COLUMN a.b TO c"), AlterAction::RenameColumn { to, .. } if to == "c"));
    let AlterAction::DropColumns { paths, if_exists } = action("DROP COLUMNS IF EXISTS (a, b.c)") else {
        panic!("no DROP COLUMNS");
    };
    assert!(if_exists && paths[1] == ["b", "c"]);
    let change = |sql: &str| match action(sql) {
        AlterAction::ChangeColumn { change, .. } => change,
        other => panic!("{sql}: {other:?}"),
    };
    assert_eq!(change("ALTER COLUMN a DROP NOT NULL"), ColumnChange::DropNotNull);
    assert_eq!(change("ALTER COLUMN a DROP DEFAULT"), ColumnChange::DropDefault);
    assert_eq!(change("ALTER a SET DEFAULT 1 + 1"), ColumnChange::SetDefault("1 + 1".into()));
    assert_eq!(change("ALTER COLUMN a.b COMMENT 'x'"), ColumnChange::Comment("x".into()));
    check_error("ALTER TABLE t ALTER COLUMN a", "after ALTER COLUMN");
    check_error("ALTER TABLE t RENAME COLUMN a", "TO");
}
