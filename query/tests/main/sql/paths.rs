//! Tables and files by path, without a catalog.

use floe_query::QueryError;

use super::World;

#[tokio::test]
async fn a_delta_folder_is_read_and_changed_by_path() {
    let world = World::new().await;
    let path = world.path("loose/ducks");
    world.run(&format!("CREATE TABLE delta.`{path}` (id BIGINT); INSERT INTO delta.`{path}` VALUES (1), (2)")).await;
    for relation in [format!("delta.`{path}`"), format!("'{path}'"), format!("\"{path}\""), format!("'file://{path}'")]
    {
        world.check(&format!("SELECT id FROM {relation}"), &["1", "2"]).await;
        world.check(&format!("SELECT d.id FROM {relation} VERSION AS OF 0 AS d"), &[]).await;
    }
    world.run(&format!("DELETE FROM '{path}' WHERE id = 1; OPTIMIZE '{path}'; VACUUM delta.`{path}`")).await;
    world.check(&format!("SELECT id FROM '{path}'"), &["2"]).await;
    assert!(matches!(world.error("SELECT * FROM delta.`/nowhere/at/all`").await, QueryError::UnreadablePath { .. }));
}

#[tokio::test]
async fn files_folders_and_patterns_are_read_in_place() {
    let world = World::new().await;
    std::fs::create_dir_all(world.path("data")).expect("a folder");
    std::fs::write(world.path("data/a.csv"), "id,name\n1,a\n2,b\n").expect("writes");
    std::fs::write(world.path("data/b.csv"), "id,name\n3,c\n").expect("writes");
    std::fs::write(world.path("rows.json"), "{\"id\": 1, \"deep\": {\"x\": 2}}\n{\"id\": 2}\n").expect("writes");
    std::fs::write(world.path("rows.ndjson"), "{\"id\": 7}\n").expect("writes");
    let path = |name: &str| world.path(name);
    world.check(&format!("SELECT * FROM '{}'", path("data/a.csv")), &["1|a", "2|b"]).await;
    world.check(&format!("SELECT sum(id) FROM '{}'", path("data/*.csv")), &["6"]).await;
    world.check(&format!("SELECT sum(id) FROM '{}'", path("data")), &["6"]).await;
    world.check(&format!("SELECT sum(id) FROM csv.`{}`", path("data")), &["6"]).await;
    world.check(&format!("SELECT id, deep['x'] FROM '{}'", path("rows.json")), &["1|2", "2|null"]).await;
    world.check(&format!("SELECT id FROM '{}'", path("rows.ndjson")), &["7"]).await;
    world.run(&format!("CREATE TABLE t AS SELECT * FROM '{}'", path("data/a.csv"))).await;
    world.check("SELECT * FROM t", &["1|a", "2|b"]).await;
}

#[tokio::test]
async fn a_path_without_anything_says_so() {
    let world = World::new().await;
    for name in ["nothing.parquet", "nothing", "nothing/*.csv"] {
        let error = world.error(&format!("SELECT * FROM '{}'", world.path(name))).await;
        assert!(matches!(error, QueryError::UnreadablePath { .. }), "{name}: {error}");
    }
}
