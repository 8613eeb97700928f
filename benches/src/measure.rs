//! Running one side of a workload in its own process and reading what it took.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What every workload can be told.
pub(crate) struct Settings {
    pub(crate) scale_factor: f64,
    pub(crate) rounds: usize,
    pub(crate) data: PathBuf,
}

impl Settings {
    pub(crate) fn parse(words: &[&str]) -> Result<Self, BoxError> {
        let mut settings = Settings { scale_factor: 1.0, rounds: 3, data: "target/tpch".into() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            match *word {
                "--scale-factor" => settings.scale_factor = value.parse()?,
                "--rounds" => settings.rounds = value.parse()?,
                "--data" => settings.data = value.into(),
                other => return Err(format!("no option {other}").into()),
            }
        }
        Ok(settings)
    }

    /// The folder of the raw Parquet files, made on first use.
    pub(crate) fn parquet(&self) -> Result<PathBuf, BoxError> {
        let folder = self.data.join(format!("parquet-{}", self.scale_factor));
        if !folder.join("lineitem.parquet").exists() {
            eprintln!("making TPC-H data at scale factor {} in {}", self.scale_factor, folder.display());
            std::fs::create_dir_all(&folder)?;
            floe_testkit::tpch::write_parquet(&folder, self.scale_factor)?;
        }
        Ok(folder)
    }

    /// An empty folder for a table that is about to be made.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf, BoxError> {
        let folder = self.data.join("scratch").join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        if let Some(parent) = folder.parent() {
            std::fs::create_dir_all(parent)?;
        }
        Ok(folder)
    }

    /// The Python that has the peers.
    pub(crate) fn python(&self) -> Result<PathBuf, BoxError> {
        let venv = std::env::var_os("FLOE_BENCH_VENV").map_or_else(|| self.data.join("venv"), PathBuf::from);
        let python = venv.join("bin/python");
        let packages = [
            "deltalake==1.6.6",
            "pyarrow==26.0.1",
            "pysail==0.7.2",
            "pyspark-client==4.1.3",
            "duckdb-cli==1.5.5",
            "duckdb-extension-delta==1.5.5",
        ];
        // A folder of before may lack some of them.
        let installed = venv.join("packages.txt");
        if std::fs::read_to_string(&installed).unwrap_or_default() != packages.join("\n") {
            eprintln!("installing deltalake 1.6.6, Sail 0.7.2 and DuckDB 1.5.5 from PyPI into {}", venv.display());
            run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
            run(Command::new(venv.join("bin/pip")).args(["install", "-q"]).args(packages))?;
            std::fs::write(installed, packages.join("\n"))?;
        }
        Ok(python)
    }
}

fn run(command: &mut Command) -> Result<(), BoxError> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}").into()) }
}

/// What one side took in one round.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
    pub(crate) peak_mib: f64,
    pub(crate) note: Value,
}

/// Runs a side of this program.
pub(crate) fn floe_side(words: &[&dyn AsRef<std::ffi::OsStr>]) -> Result<Taken, BoxError> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("side");
    for word in words {
        command.arg(word.as_ref());
    }
    taken(&mut command)
}

/// Runs a side of `peers.py`.
pub(crate) fn peer_side(python: &Path, words: &[&dyn AsRef<std::ffi::OsStr>]) -> Result<Taken, BoxError> {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers.py"));
    for word in words {
        command.arg(word.as_ref());
    }
    taken(&mut command)
}

/// Runs `peers.py` for what it prints.
pub(crate) fn peer_says(python: &Path, verb: &str) -> Result<Value, BoxError> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers.py");
    let output = Command::new(python).arg(script).arg(verb).output()?;
    if !output.status.success() {
        return Err(format!("{verb} failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn taken(command: &mut Command) -> Result<Taken, BoxError> {
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{command:?} failed: {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().last().ok_or("the side printed nothing")?;
    let value: Value = serde_json::from_str(line)?;
    let number = |key: &str| value[key].as_f64().ok_or_else(|| BoxError::from(format!("{key} is missing in {line}")));
    Ok(Taken {
        wall_s: number("wall_s")?,
        cpu_s: number("cpu_s")?,
        peak_mib: number("peak_mib")?,
        note: value["note"].clone(),
    })
}

/// Does the work of a side and prints what this process took since it began the work.
pub(crate) fn side(work: impl Future<Output = Result<Value, BoxError>>) -> Result<(), BoxError> {
    let env = floe::Env::system();
    let (began, cpu_before) = (env.now(), cpu_seconds()?);
    let note = block_on(work)?;
    let wall_s = (env.now().0 - began.0) as f64 / 1000.0;
    let cpu_s = cpu_seconds()? - cpu_before;
    println!("{}", json!({"wall_s": wall_s, "cpu_s": cpu_s, "peak_mib": peak_mib()?, "note": note}));
    Ok(())
}

pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// User and system time of this process, from the kernel's accounting.
fn cpu_seconds() -> Result<f64, BoxError> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The command's name stands in parentheses and may hold spaces; utime and stime are fields 14 and 15 of the line.
    let rest = stat.rsplit_once(')').ok_or("/proc/self/stat has another form")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(ticks as f64 / 100.0)
}

fn peak_mib() -> Result<f64, BoxError> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    let kib: f64 = line.split_whitespace().nth(1).ok_or("VmHWM without a value")?.parse()?;
    Ok(kib / 1024.0)
}

/// The minimum, median and maximum of what a side took, as one line of a table.
pub(crate) fn print_table(title: &str, sides: &[(&str, &[Taken])]) {
    println!("\n{title}");
    println!("| side | wall s (min / median / max) | CPU-s (min / median / max) | peak MiB (max) | note |");
    println!("|---|---|---|---|---|");
    for (name, rounds) in sides {
        let spread = |of: fn(&Taken) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            format!("{:.3} / {:.3} / {:.3}", values[0], values[values.len() / 2], values[values.len() - 1])
        };
        let peak = rounds.iter().map(|t| t.peak_mib).fold(0.0, f64::max);
        let note = rounds.last().map_or(Value::Null, |t| t.note.clone());
        let (wall, cpu) = (spread(|t| t.wall_s), spread(|t| t.cpu_s));
        println!(
            "| {name} | {wall} | {cpu} | {peak:.0} | {} |",
            if note.is_null() { String::new() } else { note.to_string() }
        );
    }
}

/// The smallest CPU time of several rounds.
pub(crate) fn least_cpu(rounds: &[Taken]) -> f64 {
    rounds.iter().map(|t| t.cpu_s).fold(f64::INFINITY, f64::min)
}
