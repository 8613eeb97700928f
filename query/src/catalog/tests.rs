use super::*;

fn warehouse(folder: &tempfile::TempDir) -> Warehouse {
    let uri = folder.path().to_string_lossy().into_owned();
    Warehouse::open(&uri, StorageOptions::new(), Env::system(), None).expect("opens")
}

#[test]
fn names_with_path_meaning_are_refused() {
    for name in ["", "_log", ".hidden", "a/b", "a\\b", "..", "a\nb", "x:y", "trailing.", "trailing "] {
        assert!(matches!(check_name("table", name), Err(QueryError::InvalidName { .. })), "{name:?}");
    }
    for (name, kept) in [("Orders", "orders"), ("größe", "größe"), ("a b", "a b"), ("a-b_1", "a-b_1")] {
        assert_eq!(check_name("table", name).expect("a name"), kept);
    }
}

#[tokio::test]
async fn schemas_are_made_listed_and_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let warehouse = warehouse(&folder);
    assert_eq!(warehouse.schemas().await.expect("lists"), ["default"]);
    assert!(warehouse.create_schema("Sales", false).await.expect("creates"));
    assert!(!warehouse.create_schema("sales", true).await.expect("is there"));
    assert!(matches!(warehouse.create_schema("SALES", false).await, Err(QueryError::SchemaExists { .. })));
    assert_eq!(warehouse.schemas().await.expect("lists"), ["default", "sales"]);
    assert_eq!(warehouse.schema("SALES").await.expect("is there"), "sales");
    match warehouse.schema("salse").await {
        Err(QueryError::UnknownSchema { nearest, .. }) => assert_eq!(nearest.as_deref(), Some("sales")),
        other => panic!("{other:?}"),
    }
    assert!(warehouse.drop_schema("sales", false, false).await.expect("drops"));
    assert!(!warehouse.drop_schema("sales", true, false).await.expect("is gone"));
    assert_eq!(warehouse.schemas().await.expect("lists"), ["default"]);
}

#[tokio::test]
async fn a_name_is_registered_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let warehouse = warehouse(&folder);
    let entry = warehouse.register("default", "Away", "memory://elsewhere/away").await.expect("registers");
    assert!(entry.external);
    assert!(matches!(
        warehouse.register("default", "away", "memory://elsewhere/other").await,
        Err(QueryError::TableExists { .. })
    ));
    let listed = warehouse.tables("default").await.expect("lists");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, "away");
    assert!(warehouse.drop_table("default", "AWAY", false).await.expect("drops"));
    assert!(warehouse.tables("default").await.expect("lists").is_empty());
}
