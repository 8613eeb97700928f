//! Writes the eight TPC-H tables as Parquet files: real data for the tour and for measuring.
//!
//! ```sh
//! cargo run --release --example tpch_data -- 1 /tmp/tpch
//! ```
//!
//! Scale factor 1 is 6 million line items. The same scale factor gives the same rows everywhere.

use std::error::Error;
use std::path::Path;

use floe_testkit::tpch;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [scale_factor, folder] = arguments.as_slice() else {
        return Err("expected a scale factor and a folder, as in: tpch_data 1 /tmp/tpch".into());
    };
    let scale_factor: f64 = scale_factor.parse().map_err(|_| format!("{scale_factor} is no scale factor"))?;
    if !(scale_factor > 0.0 && scale_factor <= 100.0) {
        return Err(format!("scale factor {scale_factor} is outside 0 to 100").into());
    }
    let folder = Path::new(folder);
    std::fs::create_dir_all(folder)?;
    tpch::write_parquet(folder, scale_factor)?;
    println!("wrote TPC-H at scale factor {scale_factor} to {}", folder.display());
    Ok(())
}
