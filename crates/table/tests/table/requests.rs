use crate::world::{World, range};

#[tokio::test]
async fn an_append_to_an_open_table_costs_three_requests() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    let before = world.store.counts();
    world.table.append(vec![range(10..20)]).await.expect("appended");
    let spent = world.store.counts() - before;
    assert!(spent.total() <= 3, "data, commit and checksum: {spent:?}");
}

#[tokio::test]
async fn a_refresh_without_news_costs_one_request() {
    let world = World::with_names().await;
    world.table.snapshot().await.expect("loaded");
    let before = world.store.counts();
    world.table.snapshot().await.expect("loaded");
    assert_eq!((world.store.counts() - before).total(), 1);
}
