//! Types that other engines write: variants, intervals and columns of no type.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

use super::World;

/// A table of one file, with these columns in it and a schema that says what they are.
fn make(world: &World, columns: Vec<(&str, ArrayRef)>, schema: &str, features: &str) -> String {
    let folder = world.path("made");
    std::fs::create_dir_all(format!("{folder}/_delta_log")).expect("a folder");
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)));
    let batch = batch.expect("columns of one length");
    let path = format!("{folder}/a.parquet");
    let mut writer =
        ArrowWriter::try_new(File::create(&path).expect("a file"), batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("written");
    let size = std::fs::metadata(&path).expect("there").len();
    let protocol = match features {
        "" => r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#.to_owned(),
        names => format!(
            r#"{{"protocol":{{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":[{names}],"writerFeatures":[{names}]}}}}"#
        ),
    };
    let schema = schema.replace('"', "\\\"");
    let log = format!(
        r#"{protocol}
{{"metaData":{{"id":"made","format":{{"provider":"parquet","options":{{}}}},"schemaString":"{schema}","partitionColumns":[],"configuration":{{}}}}}}
{{"add":{{"path":"a.parquet","partitionValues":{{}},"size":{size},"modificationTime":1,"dataChange":true}}}}
"#
    );
    std::fs::write(format!("{folder}/_delta_log/00000000000000000000.json"), log).expect("written");
    folder
}

fn schema(fields: &[(&str, &str)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, kind)| format!(r#"{{"name":"{name}","type":"{kind}","nullable":true,"metadata":{{}}}}"#))
        .collect();
    format!(r#"{{"type":"struct","fields":[{}]}}"#, fields.join(","))
}

#[tokio::test]
async fn variants_of_others_are_read_and_changed_under_either_name_of_their_feature() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some(r#"{"a":[1,null,"x"]}"#), Some("null"), None]));
    let variants = parquet_variant_compute::json_to_variant(&texts).expect("JSON");
    let columns: Vec<(&str, ArrayRef)> =
        vec![("id", Arc::new(Int32Array::from(vec![1, 2, 3]))), ("v", Arc::new(variants.inner().clone()))];
    let schema = schema(&[("id", "integer"), ("v", "variant")]);
    for features in [r#""variantType""#, r#""variantType-preview","variantShredding-preview""#] {
        let world = World::new().await;
        let path = make(&world, columns.clone(), &schema, features);
        world.check(&format!("SELECT id, v FROM '{path}'"), &[r#"1|{"a":[1,null,"x"]}"#, "2|null", "3|null"]).await;
        world.check(&format!("SELECT id FROM '{path}' WHERE v IS NULL OR to_json(v) LIKE '%x%'"), &["1", "3"]).await;
        world.run(&format!("INSERT INTO '{path}' VALUES (4, parse_json('1'))")).await;
        world.run(&format!("DELETE FROM '{path}' WHERE id = 1")).await;
        world.check(&format!("SELECT id, v FROM '{path}'"), &["2|null", "3|null", "4|1"]).await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_variant_are_refused_and_not_passed_on() {
    let bytes: ArrayRef = Arc::new(arrow::array::BinaryViewArray::from(vec![&[255u8, 255][..]]));
    // In the order in which Floe holds them, and in the other.
    for names in [["value", "metadata"], ["metadata", "value"]] {
        let world = World::new().await;
        let parts: Vec<_> = names.iter().map(|name| (*name, bytes.clone())).collect();
        let broken: ArrayRef = Arc::new(arrow::array::StructArray::try_from(parts).expect("two columns"));
        let path = make(&world, vec![("v", broken)], &schema(&[("v", "variant")]), r#""variantType""#);
        if names[0] == "metadata" {
            world.check_error(&format!("SELECT v FROM '{path}'"), "holds no variant").await;
        }
        // A column that lies in the file just as Floe holds it is looked at by whoever takes it up.
        world.check_error(&format!("SELECT to_json(v) FROM '{path}'"), "holds no variant").await;
        world.check_error(&format!("SELECT variant_get(v, '$.a') FROM '{path}'"), "holds no variant").await;
        world.check_error(&format!("CREATE TABLE t AS SELECT v FROM '{path}'"), "holds no variant").await;
    }
}

#[tokio::test]
async fn intervals_are_read_as_text_and_not_written() {
    let world = World::new().await;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("ym", Arc::new(Int32Array::from(vec![Some(14), None]))),
        ("dt", Arc::new(Int64Array::from(vec![Some(93_784_000_005), None]))),
    ];
    let schema = schema(&[("ym", "interval year to month"), ("dt", "interval day to second")]);
    let path = make(&world, columns, &schema, "");
    let rows = ["INTERVAL '1-2' YEAR TO MONTH|INTERVAL '1 02:03:04.000005' DAY TO SECOND", "null|null"];
    world.check(&format!("SELECT ym, dt FROM '{path}'"), &rows).await;
    world.check(&format!("SELECT count(*) FROM '{path}' WHERE ym = 'INTERVAL ''1-2'' YEAR TO MONTH'"), &["1"]).await;
    world.check_error(&format!("INSERT INTO '{path}' VALUES ('1', '2')"), "interval year to month").await;
}

#[tokio::test]
async fn a_column_of_no_type_is_null_in_every_row_and_in_no_file() {
    let world = World::new().await;
    world
        .run("CREATE TABLE t (id INT, nothing VOID); INSERT INTO t VALUES (1, NULL); INSERT INTO t (id) VALUES (2)")
        .await;
    world.check("SELECT id, nothing FROM t", &["1|null", "2|null"]).await;
    world.check("SELECT count(nothing) FROM t WHERE nothing IS NULL", &["0"]).await;
    world.run("UPDATE t SET id = 3 WHERE id = 1; DELETE FROM t WHERE id = 2; OPTIMIZE t").await;
    world.check("SELECT * FROM t", &["3|null"]).await;
    let columns: Vec<(&str, ArrayRef)> = vec![("id", Arc::new(Int32Array::from(vec![7])))];
    let nested = r#"{"type":"struct","fields":[{"name":"id","type":"integer","nullable":true,"metadata":{}},{"name":"s","type":{"type":"struct","fields":[{"name":"v","type":"void","nullable":true,"metadata":{}}]},"nullable":true,"metadata":{}}]}"#;
    let path = make(&world, columns, nested, "");
    world.check(&format!("SELECT id, s FROM '{path}'"), &["7|null"]).await;
    world.check_error(&format!("INSERT INTO '{path}' (id) VALUES (8)"), "void").await;
}

#[tokio::test]
async fn fields_inside_of_structs_may_be_not_null() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE n (id INT, s STRUCT<x: INT NOT NULL, y: STRUCT<z: STRING NOT NULL>>, l ARRAY<STRUCT<a: INT NOT NULL>>);
             INSERT INTO n VALUES (1, named_struct('x', 1, 'y', named_struct('z', 'deep')), [named_struct('a', 1)]), (2, NULL, NULL);
             UPDATE n SET s = named_struct('x', 5, 'y', NULL) WHERE id = 2",
        )
        .await;
    world.check("SELECT id, s.x, s.y.z FROM n", &["1|1|deep", "2|5|null"]).await;
    for (value, path) in [
        ("named_struct('x', CAST(NULL AS INT), 'y', NULL)", "s.x"),
        ("named_struct('x', 1, 'y', named_struct('z', CAST(NULL AS STRING)))", "s.y.z"),
    ] {
        world.check_error(&format!("INSERT INTO n (id, s) VALUES (3, {value})"), &format!("NOT NULL {path}")).await;
    }
    world.check("SELECT count(*) FROM n", &["2"]).await;
}

#[tokio::test]
async fn statistics_of_floats_hold_for_the_doubles_they_become() {
    let world = World::new().await;
    // The shortest text of the float lies above the double that the float is.
    world
        .run(
            "CREATE TABLE f (v FLOAT) TBLPROPERTIES ('delta.enableTypeWidening' = 'true');
             INSERT INTO f VALUES (CAST(7.353817e18 AS FLOAT)); ALTER TABLE f ALTER COLUMN v TYPE DOUBLE",
        )
        .await;
    world.check("SELECT count(*) FROM f WHERE v < 7.353817e18", &["1"]).await;
    world.check("CHECK TABLE f", &["sound|version 2, 1 files"]).await;
}
