//! DELETE of 0.1% scattered rows, and MERGE of 0.1% changed rows, on lineitem cut into 16 files.

use std::path::{Path, PathBuf};

use floe::{Session, SessionOptions};
use serde_json::{Value, json};

use crate::measure::{BoxError, Settings, Taken, floe_side, least_cpu, peer_side, print_table};

const FILES: usize = 16;

pub(crate) fn run(settings: &Settings) -> Result<(), BoxError> {
    let parquet = settings.parquet()?;
    let python = settings.python()?;
    let prepared = settings.scratch("dml-prepared")?;
    floe_side(&[&"prepare-dml", &parquet, &prepared])?;
    let changes = prepared.join("changes.parquet");
    let copy = |kind: &str| -> Result<PathBuf, BoxError> {
        let to = settings.scratch("dml-copy")?;
        copy_folder(&prepared.join("default").join(kind), &to.join("default/lineitem"))?;
        Ok(to)
    };
    let (mut delete, mut peer_delete): (Vec<Taken>, Vec<Taken>) = Default::default();
    let (mut merge, mut peer_merge): (Vec<Taken>, Vec<Taken>) = Default::default();
    for _ in 0..settings.rounds {
        delete.push(floe_side(&[&"delete-floe", &copy("lineitem")?])?);
        peer_delete
            .push(peer_side(&python, &[&"delete", &copy("lineitem_without_vectors")?.join("default/lineitem")])?);
        merge.push(floe_side(&[&"merge-floe", &copy("lineitem")?, &changes])?);
        let table = copy("lineitem_without_vectors")?.join("default/lineitem");
        peer_merge.push(peer_side(&python, &[&"merge", &table, &changes])?);
    }
    let scale = settings.scale_factor;
    print_table(
        &format!("DELETE of 0.1% scattered rows, lineitem at scale factor {scale} in {FILES} files"),
        &[("floe", &delete), ("deltalake 1.6.6", &peer_delete)],
    );
    println!("\nfloe uses {:.1}x less CPU-s than deltalake", least_cpu(&peer_delete) / least_cpu(&delete));
    print_table(
        &format!("MERGE of 0.1% changed rows, lineitem at scale factor {scale} in {FILES} files"),
        &[("floe", &merge), ("deltalake 1.6.6", &peer_merge)],
    );
    println!("\nfloe uses {:.1}x less CPU-s than deltalake", least_cpu(&peer_merge) / least_cpu(&merge));
    Ok(())
}

/// The same 16 files twice: as a Floe table, and as one without deletion vectors, which deltalake can change.
pub(crate) async fn prepare(parquet: PathBuf, warehouse: PathBuf) -> Result<Value, BoxError> {
    let session = Session::open(SessionOptions::new(warehouse.to_string_lossy())).await?;
    let source = parquet.join("lineitem.parquet");
    for (name, vectors) in [("lineitem", true), ("lineitem_without_vectors", false)] {
        let sql = format!(
            "CREATE TABLE {name} TBLPROPERTIES ('delta.enableDeletionVectors' = '{vectors}') \
             AS SELECT * FROM '{}' WHERE l_orderkey < 0",
            source.display()
        );
        session.sql(&sql).await?.collect().await?;
        let largest =
            session.sql(&format!("SELECT max(l_orderkey) AS k FROM '{}'", source.display())).await?.collect().await?;
        let largest = floe::arrow::util::display::array_value_to_string(largest[0].column(0), 0)?.parse::<usize>()?;
        for part in 0..FILES {
            let (low, high) = (part * (largest + 1) / FILES, (part + 1) * (largest + 1) / FILES);
            let sql = format!(
                "INSERT INTO {name} SELECT * FROM '{}' WHERE l_orderkey >= {low} AND l_orderkey < {high}",
                source.display()
            );
            session.sql(&sql).await?.collect().await?;
        }
    }
    let changes = format!(
        "COPY (SELECT * REPLACE (l_quantity + 1 AS l_quantity, 'changed' AS l_comment) FROM '{}' \
         WHERE l_orderkey % 1000 = 33) TO '{}'",
        source.display(),
        warehouse.join("changes.parquet").display()
    );
    session.sql(&changes).await?.collect().await?;
    Ok(Value::Null)
}

pub(crate) async fn delete(warehouse: PathBuf) -> Result<Value, BoxError> {
    let session = Session::open(SessionOptions::new(warehouse.to_string_lossy())).await?;
    session.sql("DELETE FROM lineitem WHERE l_orderkey % 1000 = 7").await?.collect().await?;
    counts(&session).await
}

pub(crate) async fn merge(warehouse: PathBuf, changes: PathBuf) -> Result<Value, BoxError> {
    let session = Session::open(SessionOptions::new(warehouse.to_string_lossy())).await?;
    let sql = format!(
        "MERGE INTO lineitem t USING '{}' s ON t.l_orderkey = s.l_orderkey AND t.l_linenumber = s.l_linenumber \
         WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *",
        changes.display()
    );
    session.sql(&sql).await?.collect().await?;
    counts(&session).await
}

/// The counts of the last commit, to compare the sides' work.
async fn counts(session: &Session) -> Result<Value, BoxError> {
    let history = session.table("lineitem").await?.history(Some(1)).await?;
    let metrics = history.first().and_then(|entry| entry.info.operation_metrics.clone());
    Ok(json!({"metrics": metrics}))
}

pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<(), BoxError> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
