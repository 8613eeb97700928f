//! Variants: written, read, shredded and taken apart.

use std::fs::File;
use std::path::PathBuf;

use floe_table_format::feature::{Feature, has_feature};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::{World, rows_of};

/// The columns of every data file of a table, as Parquet names them.
fn file_columns(world: &World, table: &str) -> Vec<Vec<String>> {
    let folder: PathBuf = world.path(&format!("warehouse/default/{table}")).into();
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    files
        .map(|path| {
            let reader = SerializedFileReader::new(File::open(path).expect("a file")).expect("Parquet");
            let columns = reader.metadata().file_metadata().schema_descr().columns().to_vec();
            columns.iter().map(|column| column.path().string()).collect()
        })
        .collect()
}

#[tokio::test]
async fn variants_are_written_and_read_through_every_verb() {
    for properties in
        ["", "TBLPROPERTIES ('delta.enableVariantShredding' = 'true', 'delta.enableChangeDataFeed' = 'true')"]
    {
        let world = World::new().await;
        world.run(&format!("CREATE TABLE t (id INT, v VARIANT) {properties}")).await;
        world.run(r#"INSERT INTO t SELECT 1, parse_json('{"a": 1, "b": [true, null], "c": "x"}')"#).await;
        world.run(r#"INSERT INTO t VALUES (2, parse_json('{"a": 2}')), (3, NULL), (4, parse_json('null'))"#).await;
        world.run("INSERT INTO t BY NAME SELECT CAST(1.5 AS VARIANT) AS v, 5 AS id").await;
        let all = ["1|{\"a\":1,\"b\":[true,null],\"c\":\"x\"}", "2|{\"a\":2}", "3|null", "4|null", "5|1.5"];
        world.check("SELECT * FROM t", &all).await;
        world.check("SELECT id FROM t WHERE v IS NULL", &["3"]).await;
        world.run("UPDATE t SET v = parse_json('[9]') WHERE id = 2").await;
        world.run("UPDATE t SET id = 30 WHERE id = 3").await;
        world.run("DELETE FROM t WHERE variant_get(v, '$.a', 'int') = 7 OR id = 4").await;
        world
            .run("MERGE INTO t USING (SELECT 1 AS id, parse_json('\"m\"') AS v UNION ALL SELECT 7, CAST(7 AS VARIANT)) AS s ON t.id = s.id \
                  WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT *")
            .await;
        let all = ["1|\"m\"", "2|[9]", "30|null", "5|1.5", "7|7"];
        world.check("SELECT * FROM t", &all).await;
        world.run("OPTIMIZE t").await;
        world.check("SELECT * FROM t", &all).await;
        world.check("SELECT * FROM t VERSION AS OF 1", &[r#"1|{"a":1,"b":[true,null],"c":"x"}"#]).await;
        world.run("CREATE TABLE copied AS SELECT id, v FROM t WHERE id < 3").await;
        world.check("SELECT * FROM copied", &all[..2]).await;
        if !properties.is_empty() {
            let changed = "SELECT id, _change_type, v FROM table_changes('t', 4, 5) WHERE id = 2";
            let images = [r#"2|update_preimage|{"a":2}"#, "2|update_postimage|[9]"];
            world.check(changed, &images).await;
        }
        assert!(world.session.table("t").await.expect("a table").check().await.expect("checked").is_sound());
    }
}

#[tokio::test]
async fn variants_lie_inside_other_types_and_grow_with_the_schema() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (id INT, s STRUCT<v: VARIANT, n: INT>, l ARRAY<VARIANT>, m MAP<STRING, VARIANT>) \
              TBLPROPERTIES ('delta.columnMapping.mode' = 'name', 'delta.enableVariantShredding' = 'true')",
        )
        .await;
    world
        .run("INSERT INTO t SELECT 1, named_struct('v', parse_json('{\"a\": 1}'), 'n', 5), [CAST(1 AS VARIANT), parse_json('\"x\"')], \
              MAP {'k': parse_json('[1]')}")
        .await;
    world.run("INSERT INTO t VALUES (2, NULL, NULL, NULL)").await;
    world.run("ALTER TABLE t ADD COLUMN late VARIANT").await;
    world.run("INSERT INTO t VALUES (3, NULL, NULL, NULL, parse_json('{\"late\": true}'))").await;
    world.run("UPDATE t SET id = 10 WHERE id = 1").await;
    let expected = [
        r#"10|{v: {"a":1}, n: 5}|[1, "x"]|{k: [1]}|null"#,
        "2|null|null|null|null",
        r#"3|null|null|null|{"late":true}"#,
    ];
    world.check("SELECT * FROM t", &expected).await;
    world.check("SELECT variant_get(s.v, '$.a', 'bigint') FROM t WHERE id = 10", &["1"]).await;
    world.check("SELECT variant_get(l[2], '$', 'string') FROM t WHERE id = 10", &["x"]).await;
    world.run("CREATE TABLE grown (id INT)").await;
    world.run("INSERT WITH SCHEMA EVOLUTION INTO grown SELECT 1 AS id, parse_json('{}') AS v").await;
    world.check("SELECT * FROM grown", &["1|{}"]).await;
    let described = rows_of(&world.session, "DESCRIBE grown").await.join("\n");
    assert!(described.contains("v|variant|"), "{described}");
}

#[tokio::test]
async fn shredding_is_switched_on_by_its_property() {
    let world = World::new().await;
    world.run("CREATE TABLE plain (v VARIANT)").await;
    world.run("CREATE TABLE shredded (v VARIANT) TBLPROPERTIES ('delta.enableVariantShredding' = 'true')").await;
    for table in ["plain", "shredded"] {
        world.run(&format!(r#"INSERT INTO {table} SELECT parse_json('{{"a": ' || value || ', "b": {{"c": "x"}}}}') FROM generate_series(1, 100)"#)).await;
        world.check(&format!("SELECT sum(variant_get(v, '$.a', 'int')), count(DISTINCT variant_get(v, '$.b.c', 'string')) FROM {table}"), &["5050|1"]).await;
    }
    assert_eq!(file_columns(&world, "plain"), [["v.value", "v.metadata"]]);
    let shredded = &file_columns(&world, "shredded")[0];
    assert!(shredded.contains(&"v.typed_value.a.typed_value".to_owned()), "{shredded:?}");
    assert!(shredded.contains(&"v.typed_value.b.typed_value.c.typed_value".to_owned()), "{shredded:?}");
    for (table, supported) in [("plain", false), ("shredded", true)] {
        let snapshot = world.session.table(table).await.expect("a table").snapshot().await.expect("a snapshot");
        assert_eq!(has_feature(&snapshot.state().protocol, &Feature::VariantShredding), supported);
        assert!(has_feature(&snapshot.state().protocol, &Feature::VariantType));
    }
    world.run("ALTER TABLE shredded SET TBLPROPERTIES ('delta.enableVariantShredding' = 'false')").await;
    world.run("OPTIMIZE shredded").await;
    world.run("UPDATE shredded SET v = parse_json('{\"a\": 0}')").await;
    assert!(file_columns(&world, "shredded").contains(&vec!["v.value".to_owned(), "v.metadata".to_owned()]));
}

#[tokio::test]
async fn functions_take_variants_apart_as_spark_does() {
    let world = World::new().await;
    world
        .run(r#"CREATE TABLE t AS SELECT parse_json('{"i": 7, "d": 12.75, "f": 1e2, "t": "x y", "b": true, "n": null, "l": [1, "2", {"z": 0}], "o": {"a b": 1}, "day": "2024-02-29"}') AS v"#)
        .await;
    for (expression, expected) in [
        ("variant_get(v, '$.i', 'int')", "7"),
        ("variant_get(v, '$.i')", "7"),
        ("variant_get(v, '$.d', 'decimal(5,1)')", "12.8"),
        ("variant_get(v, '$.d', 'int')", "12"),
        ("variant_get(v, '$.f', 'bigint')", "100"),
        ("variant_get(v, '$.t', 'string')", "x y"),
        ("variant_get(v, '$.t')", "\"x y\""),
        ("variant_get(v, '$.b', 'boolean')", "true"),
        ("variant_get(v, '$.b', 'int')", "1"),
        ("variant_get(v, '$.n', 'int')", "null"),
        ("variant_get(v, '$.missing', 'int')", "null"),
        ("variant_get(v, '$.l[1]', 'int')", "2"),
        ("variant_get(v, '$.l[2].z', 'double')", "0.0"),
        ("variant_get(v, '$.l[9]', 'int')", "null"),
        ("variant_get(v, '$.o[''a b'']', 'string')", "1"),
        ("variant_get(v, '$.o', 'string')", r#"{"a b":1}"#),
        ("variant_get(v, '$.day', 'date')", "2024-02-29"),
        ("variant_get(parse_json('[1, 2]'), '$', 'array<int>')", "[1, 2]"),
        ("variant_get(parse_json('{\"a\": 1}'), '$', 'map<string, bigint>')", "{a: 1}"),
        ("variant_get(parse_json('{\"a\": 1, \"b\": \"x\"}'), '$', 'struct<b: string, c: int>')", "{b: x, c: null}"),
        ("try_variant_get(v, '$.t', 'int')", "null"),
        ("try_variant_get(v, '$.l', 'struct<a: int>')", "null"),
        ("CAST(variant_get(v, '$.i') AS BIGINT) + 1", "8"),
        ("variant_get(v, '$.i')::STRING || '!'", "7!"),
        ("TRY_CAST(variant_get(v, '$.t') AS INT)", "null"),
        ("is_variant_null(variant_get(v, '$.n'))", "true"),
        ("is_variant_null(v)", "false"),
        ("is_variant_null(NULL)", "null"),
        ("to_json(variant_get(v, '$.l'))", r#"[1,"2",{"z":0}]"#),
        ("try_parse_json('{')", "null"),
        (
            "schema_of_variant(parse_json('{\"a\": 1, \"b c\": [1.5, null], \"d\": [1, \"x\"]}'))",
            "OBJECT<a: BIGINT, `b c`: ARRAY<DECIMAL(2,1)>, d: ARRAY<VARIANT>>",
        ),
        ("to_variant_object(named_struct('a', 1, 'b', [DATE '2024-01-02']))", r#"{"a":1,"b":["2024-01-02"]}"#),
        ("CAST(TIMESTAMP '2024-01-02 03:04:05' AS VARIANT)", "\"2024-01-02 03:04:05\""),
        ("CAST('{\"a\": 1}' AS VARIANT)", r#""{\"a\": 1}""#),
        ("coalesce(variant_get(v, '$.missing'), parse_json('0'))", "0"),
        ("CASE WHEN true THEN variant_get(v, '$.i') END", "7"),
    ] {
        world.check(&format!("SELECT {expression} FROM t"), &[expected]).await;
    }
    world.check("SELECT count(*) FROM t WHERE variant_get(v, '$.i', 'int') > 6 AND v IS NOT NULL", &["1"]).await;
}

#[tokio::test]
async fn what_variants_cannot_do_is_said() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id INT, v VARIANT)").await;
    world.run("INSERT INTO t VALUES (1, parse_json('{\"a\": \"x\"}'))").await;
    for (statement, expected) in [
        ("SELECT variant_get(v, '$.a', 'int') FROM t", "the variant \"x\" cannot be cast to Int32"),
        ("SELECT CAST(v AS INT) FROM t", "cannot be cast to Int32"),
        ("SELECT parse_json('{') FROM t", "{ is no JSON"),
        ("SELECT parse_json('{\"a\": 1, \"a\": 2}') FROM t", "there twice"),
        ("SELECT variant_get(v, 'a', 'int') FROM t", "expected $ at character 1"),
        ("SELECT variant_get(v, '$.a[x]', 'int') FROM t", "expected a position from 0"),
        ("SELECT variant_get(v, '$.a', 'integre') FROM t", "integre is no type"),
        ("SELECT variant_get('{}', '$.a', 'int') FROM t", "parse_json makes one of text"),
        ("SELECT * FROM t WHERE v = v", "neither order nor equality"),
        ("SELECT * FROM t ORDER BY v", "neither order nor equality"),
        ("SELECT v, count(*) FROM t GROUP BY v", "neither order nor equality"),
        ("SELECT DISTINCT v FROM t", "neither order nor equality"),
        ("SELECT count(DISTINCT v) FROM t", "neither order nor equality"),
        ("SELECT min(v) FROM t", "neither order nor equality"),
        ("SELECT * FROM t AS a JOIN t AS b ON a.v = b.v", "neither order nor equality"),
        ("SELECT row_number() OVER (PARTITION BY v ORDER BY id) FROM t", "neither order nor equality"),
        ("INSERT INTO t VALUES (2, '{\"a\": 1}')", "parse_json(text) makes a variant of JSON"),
        ("INSERT INTO t SELECT 2, 'x'", "parse_json(text) makes a variant of JSON"),
        ("CREATE TABLE p (id INT, v VARIANT) PARTITIONED BY (v)", "partition column v is of type variant"),
        ("CREATE TABLE p (id INT, l ARRAY<INT>) PARTITIONED BY (l)", "partition column l is of type array"),
        ("CREATE TABLE k (v VARIANT PRIMARY KEY)", "v"),
        ("CREATE TABLE c (v VARIANT) CLUSTER BY (v)", "v"),
    ] {
        world.check_error(statement, expected).await;
    }
    world.check("SELECT count(*) FROM t", &["1"]).await;
    world.run("ALTER TABLE t ADD CONSTRAINT small CHECK (variant_get(v, '$.n', 'int') < 5 OR id < 5)").await;
    world.check_error("INSERT INTO t VALUES (7, parse_json('{\"n\": 9}'))", "{id: 7, v: {\"n\":9}}").await;
}

#[tokio::test]
async fn variants_go_to_files_of_other_formats_as_json() {
    let world = World::new().await;
    world.run("CREATE TABLE t AS SELECT 1 AS id, parse_json('{\"a\": [1]}') AS v").await;
    for extension in ["csv", "json"] {
        let file = world.path(&format!("out.{extension}"));
        world.run(&format!("COPY (SELECT * FROM t) TO '{file}'")).await;
        world.check(&format!("SELECT * FROM '{file}'"), &[r#"1|{"a":[1]}"#]).await;
    }
}
