//! Names are found without regard to case, and keep their spelling.

use super::World;

#[tokio::test]
async fn mixed_case_columns_are_found_in_any_case() {
    let world = World::new().await;
    world.run("CREATE TABLE Events (userId BIGINT, EventTime TIMESTAMP, Info STRUCT<IpAddress: STRING>)").await;
    world.run("INSERT INTO events (USERID, eventtime, info) VALUES (1, '2024-01-01 00:00:00', struct('::1' AS IpAddress))").await;
    for sql in [
        "SELECT userid FROM events",
        "SELECT USERID FROM EVENTS WHERE UserId = 1",
        "SELECT e.userid FROM events e WHERE E.USERID = 1",
        "SELECT Events.userid FROM events",
        "SELECT \"userid\" FROM events GROUP BY userID ORDER BY USERID",
        "SELECT n FROM (SELECT userid AS N FROM events) ORDER BY n",
        "WITH Base AS (SELECT userid AS Who FROM events) SELECT who FROM base WHERE BASE.WHO > 0",
        "SELECT a.userid FROM events a JOIN events b USING (userid)",
        "SELECT (SELECT max(userid) FROM events) FROM events",
        "SELECT sum(userid) OVER (PARTITION BY USERID) FROM events",
        "SELECT userid FROM events UNION SELECT userid FROM events ORDER BY 1",
    ] {
        world.check(sql, &["1"]).await;
    }
    world.check("SELECT info.ipaddress FROM events", &["::1"]).await;
    world.check("SELECT e.INFO.ipaddress FROM events e", &["::1"]).await;
    world.check("SELECT * EXCEPT (eventtime, info) FROM events", &["1"]).await;
    world.run("UPDATE events SET userid = USERID + 1 WHERE userID = 1").await;
    world.run("DELETE FROM events WHERE USERID = 99").await;
    let batches = world.session.sql("SELECT * FROM events").await.expect("plans").collect().await.expect("runs");
    let names: Vec<&str> = batches[0].schema_ref().fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["userId", "EventTime", "Info"]);
}

#[tokio::test]
async fn a_name_belongs_to_the_nearest_relation_that_has_it() {
    let world = World::new().await;
    world.run("CREATE TABLE a (ID BIGINT); CREATE TABLE b (id BIGINT); INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (2)").await;
    world.check("SELECT id FROM a WHERE id IN (SELECT id FROM b)", &["2"]).await;
    world.check("SELECT a.id, b.ID FROM a JOIN b ON a.id = b.id", &["2|2"]).await;
    world.check("SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.id = a.id)", &["2"]).await;
}

#[tokio::test]
async fn aliases_keep_their_spelling() {
    let world = World::new().await;
    let batches =
        world.session.sql("SELECT 1 AS Total, 2 AS `two Words`").await.expect("plans").collect().await.expect("runs");
    let names: Vec<&str> = batches[0].schema_ref().fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["Total", "two Words"]);
}

#[tokio::test]
async fn functions_are_found_in_any_case() {
    let world = World::new().await;
    world
        .check("SELECT COUNT(*), Sum(VALUE), MAX(Upper('a')) FROM Generate_Series(1, 3) ORDER BY COUNT(*)", &["3|6|A"])
        .await;
    world.check("SELECT EXTRACT(YEAR FROM DATE '2024-01-02'), ROW_NUMBER() OVER (ORDER BY 1)", &["2024|1"]).await;
    let plan = super::rows_of(&world.session, "EXPLAIN SELECT 1 AS Total").await.join("");
    assert!(plan.contains("Total"), "{plan}");
}

#[tokio::test]
async fn casts_know_the_types_of_spark() {
    let world = World::new().await;
    world
        .check("SELECT CAST('5' AS LONG) a, CAST(5 AS STRING) b, CAST(5 AS SHORT) c, CAST('1' AS BYTE) d", &["5|5|5|1"])
        .await;
}

#[tokio::test]
async fn tables_are_changed_by_their_names_in_any_case() {
    let world = World::new().await;
    world.run("CREATE TABLE Abc (id INT, l ARRAY<INT>); INSERT INTO Abc VALUES (1, [1]), (2, NULL), (3, [3])").await;
    world.run("UPDATE Abc SET id = 10 WHERE Abc.id = 1; UPDATE aBC SET id = abc.id + 1 WHERE ABC.id = 3").await;
    world.run("DELETE FROM ABC WHERE Abc.l IS NULL").await;
    world
        .run(
            "MERGE INTO Abc USING (SELECT 4 AS id) AS S ON Abc.id = S.id WHEN MATCHED THEN UPDATE SET id = Abc.id * 10",
        )
        .await;
    world.check("SELECT id, l FROM abc", &["10|[1]", "40|[3]"]).await;
}
