//! Tables that are to be readable as Iceberg tables, too.

use super::World;

const CREATE: &str = "CREATE TABLE t (id BIGINT, l ARRAY<STRUCT<a: INT>>, m MAP<STRING, ARRAY<INT>>, p STRING) PARTITIONED BY (p) \
     TBLPROPERTIES ('delta.enableIcebergCompatV2' = 'true')";

#[tokio::test]
async fn files_hold_ids_and_partition_values() {
    let world = World::new().await;
    world.run(CREATE).await;
    world
        .run(
            "INSERT INTO t VALUES (1, [named_struct('a', 1)], NULL, 'x'), (2, NULL, map(['k'], [[1, 2]]), NULL);
             UPDATE t SET id = 10 WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t (id, p) VALUES (3, 'x')",
        )
        .await;
    world.check("SELECT id, p FROM t", &["10|x", "3|x"]).await;
    let found = super::rows_of(&world.session, "SELECT path FROM files('t')").await;
    for path in found {
        let path = world.folder.path().join("warehouse/default/t").join(&path);
        let file = std::fs::File::open(&path).expect("a file");
        let reader = parquet::file::serialized_reader::SerializedFileReader::new(file).expect("Parquet");
        use parquet::file::reader::FileReader;
        let schema = reader.metadata().file_metadata().schema().clone();
        let shown = format!("{schema:?}");
        let fields = schema.get_fields();
        assert_eq!(fields.len(), 4, "{shown}");
        assert!(fields.iter().all(|field| field.get_basic_info().has_id()), "{shown}");
        let element = &fields[1].get_fields()[0].get_fields()[0];
        assert!(element.get_basic_info().has_id(), "{shown}");
    }
    world.check("CHECK TABLE t", &["sound|version 4, 2 files"]).await;
    let properties = super::rows_of(&world.session, "SHOW TBLPROPERTIES t").await.join(";");
    assert!(properties.contains("delta.columnMapping.mode|name"), "{properties}");
    assert!(properties.contains("delta.enableDeletionVectors|false"), "{properties}");
}

#[tokio::test]
async fn what_iceberg_cannot_follow_is_refused() {
    let world = World::new().await;
    world.run(CREATE).await;
    for (statement, part) in [
        ("ALTER TABLE t SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')", "deletion vectors"),
        ("ALTER TABLE t ADD COLUMN nothing VOID", "type void"),
        (
            "CREATE OR REPLACE TABLE t (id BIGINT, q INT) PARTITIONED BY (q) TBLPROPERTIES ('delta.enableIcebergCompatV2' = 'true')",
            "stays partitioned",
        ),
        ("CREATE TABLE v1 (l ARRAY<INT>) TBLPROPERTIES ('delta.enableIcebergCompatV1' = 'true')", "V2 alone"),
        (
            "CREATE TABLE x (id INT) TBLPROPERTIES ('delta.enableIcebergCompatV1' = 'true', 'delta.enableIcebergCompatV2' = 'true')",
            "one of the two",
        ),
        (
            "CREATE TABLE x (id INT) TBLPROPERTIES ('delta.enableIcebergCompatV2' = 'true', 'delta.columnMapping.mode' = 'none')",
            "columns have to be mapped",
        ),
    ] {
        world.check_error(statement, part).await;
    }
    world
        .run("ALTER TABLE t ADD COLUMN later MAP<STRING, INT>; INSERT INTO t (id, later) VALUES (1, map(['a'], [1]))")
        .await;
    world.run("CREATE TABLE plain (id BIGINT); INSERT INTO plain VALUES (1)").await;
    let turn_on = "ALTER TABLE plain SET TBLPROPERTIES ('delta.enableIcebergCompatV2' = 'true', 'delta.columnMapping.mode' = 'name', 'delta.enableDeletionVectors' = 'false')";
    world.check_error(turn_on, "no ids of columns").await;
    world.run("TRUNCATE TABLE plain").await;
    world.run(turn_on).await;
    world.run("INSERT INTO plain VALUES (2)").await;
    world.check("SELECT id FROM plain", &["2"]).await;
}
