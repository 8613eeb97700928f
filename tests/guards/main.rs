//! The guards of docs/architecture.md: what each crate does not know, modules without cycles, and one door to clocks,
//! randomness and tasks. They read the source text and ask `cargo tree`; they need no network.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use source::{Source, without_comments};

/// The crates whose code ends up in a product, and what each must not depend on, however indirectly. What a crate may
/// not know is what makes it testable without a world around it (architecture, "Floors").
const FLOORS: [(&str, &str, &[&str]); 7] = [
    ("floe-table-format", "table-format", &["tokio", "object_store", "parquet", "datafusion", "rand"]),
    ("floe-index", "crates/index", &["tokio", "object_store", "parquet", "datafusion", "rand", "floe-storage"]),
    (
        "floe-storage",
        "crates/storage",
        &["floe-index", "floe-table", "floe-query", "floe-cli", "datafusion", "clap", "rustyline"],
    ),
    ("floe-table", "crates/table", &["floe-query", "floe-cli", "datafusion", "sqlparser", "clap", "rustyline"]),
    ("floe-query", "query", &["floe-cli", "clap", "rustyline"]),
    ("floe-cli", "crates/cli", &["floe-sim", "floe-testkit"]),
    ("floe", ".", &["floe-sim", "floe-testkit", "deltalake", "delta_kernel"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the packages that the crate's ordinary build takes in.
fn dependencies(package: &str) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .current_dir(root())
        .args([
            "tree",
            "--offline",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "-p",
            package,
        ])
        .output()
        .expect("cargo runs, because it runs this test");
    assert!(tree.status.success(), "cargo tree -p {package}: {}", String::from_utf8_lossy(&tree.stderr));
    String::from_utf8_lossy(&tree.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn no_crate_depends_on_what_it_must_not_know() {
    for (package, _, forbidden) in FLOORS {
        let dependencies = dependencies(package);
        // An empty or renamed tree would pass any check.
        assert!(dependencies.contains(package), "cargo tree of {package} does not name it: {dependencies:?}");
        let known: Vec<_> = forbidden
            .iter()
            .filter(|name| {
                dependencies.iter().any(|d| d == *name || (**name == "datafusion" && d.starts_with("datafusion-")))
            })
            .collect();
        assert!(known.is_empty(), "{package} must not depend on {known:?}");
    }
}

/// Every Rust file below the folder.
fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn product_sources() -> Vec<(&'static str, Vec<PathBuf>)> {
    FLOORS
        .iter()
        .map(|(package, folder, _)| {
            let mut files = Vec::new();
            rust_files(&root().join(folder).join("src"), &mut files);
            assert!(!files.is_empty(), "{package} has no source");
            (*package, files)
        })
        .collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

#[test]
fn modules_of_a_crate_use_each_other_in_one_direction() {
    let mut cycles = Vec::new();
    for (package, folder, _) in FLOORS {
        let src = root().join(folder).join("src");
        let mut files = Vec::new();
        rust_files(&src, &mut files);
        let lib = Source::root(&read(&src.join("lib.rs")));
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for path in files {
            let relative = path.strip_prefix(&src).expect("a file below src");
            if source::is_test_file(relative) || ["lib.rs", "main.rs"].contains(&relative.to_string_lossy().as_ref()) {
                continue;
            }
            let module = source::module_path(relative);
            let used = lib.top_level_modules_used(&read(&path), &module);
            uses.entry(module[0].clone()).or_default().extend(used);
        }
        // Each cycle found is opened at its last step, so that the next one comes to light.
        while let Some(cycle) = source::cycle(&uses) {
            if let [.., from, to] = cycle.as_slice() {
                uses.entry(from.clone()).or_default().remove(to);
            }
            cycles.push(format!("{package}: {}", cycle.join(" -> ")));
        }
    }
    assert!(cycles.is_empty(), "modules that use each other in a circle:\n{}", cycles.join("\n"));
}

#[test]
fn clocks_randomness_tasks_and_sleep_are_banned_outside_the_environment() {
    let bans = read(&root().join("clippy.toml"));
    for method in [
        "std::time::SystemTime::now",
        "std::time::Instant::now",
        "chrono::Utc::now",
        "rand::rng",
        "rand::random",
        "uuid::Uuid::new_v4",
        "tokio::spawn",
        "tokio::task::spawn",
        "tokio::time::sleep",
        "std::thread::spawn",
        "std::thread::sleep",
    ] {
        assert!(bans.contains(&format!("\"{method}\"")), "clippy.toml does not ban {method}");
    }
    let lints = read(&root().join("Cargo.toml"));
    assert!(lints.contains("disallowed_methods"), "the workspace does not turn clippy::disallowed_methods on");

    let door = root().join("crates/storage/src/env.rs");
    let mut holes = Vec::new();
    for (package, folder, _) in FLOORS {
        let manifest = read(&root().join(folder).join("Cargo.toml"));
        if !manifest.contains("[lints]\nworkspace = true") {
            holes.push(format!("{package} does not take the workspace's lints"));
        }
    }
    for (_, files) in product_sources() {
        for path in files.into_iter().filter(|path| *path != door) {
            let text = without_comments(&read(&path));
            for lint in ["clippy::disallowed_methods", "clippy::disallowed_types", "clippy::style)", "clippy::all)"] {
                if text.contains(lint) {
                    holes.push(format!("{} turns {lint} off", path.display()));
                }
            }
        }
    }
    assert!(holes.is_empty(), "{}", holes.join("\n"));
    // Lints are run by CI; a build that does not run them should still not come to depend on a hidden clock.
    let text = without_comments(&read(&door));
    assert!(text.contains("disallowed_methods"), "storage::env no longer is the door: adapt this guard");
}

#[test]
fn nothing_is_left_as_a_stub() {
    let mut stubs = Vec::new();
    for (_, files) in product_sources() {
        for path in files {
            let text = without_comments(&read(&path));
            for stub in ["todo!(", "unimplemented!(", "#[ignore", "dbg!("] {
                if text.contains(stub) {
                    stubs.push(format!("{} has {stub}", path.display()));
                }
            }
        }
    }
    assert!(stubs.is_empty(), "{}", stubs.join("\n"));
}

/// The tests that a page names in backquotes and that are not there.
fn tests_missing_of(page: &str, at_least: usize) -> Vec<String> {
    let list = read(&root().join(page));
    let is_name = |text: &&str| {
        text.matches('_').count() > 1
            && !text.starts_with('_')
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let named: BTreeSet<&str> = list.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(named.len() > at_least, "{named:?}");
    let mut files = Vec::new();
    for folder in ["crates", "query", "table-format", "tests", "src"] {
        rust_files(&root().join(folder), &mut files);
    }
    let text: Vec<String> = files.iter().map(|file| read(file)).collect();
    named
        .into_iter()
        // As a function, or as what a macro makes one of.
        .filter(|name| {
            !text.iter().any(|text| text.contains(&format!("fn {name}(")) || text.contains(&format!("\n    {name} ")))
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_test_that_the_list_of_faults_names_exists() {
    let missing = tests_missing_of("docs/faults.md", 40);
    assert!(missing.is_empty(), "docs/faults.md names tests that are not there: {missing:?}");
}

#[test]
fn every_feature_has_a_row_in_the_page_on_the_protocol_and_its_tests_exist() {
    let missing = tests_missing_of("docs/protocol.md", 25);
    assert!(missing.is_empty(), "docs/protocol.md names tests that are not there: {missing:?}");
    let registry = read(&root().join("table-format/src/feature/registry.rs"));
    let features: Vec<&str> = registry
        .lines()
        .filter(|line| line.trim_start().starts_with("Row::writer(") || line.trim_start().starts_with("Row::reader("))
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    assert!(features.len() > 25, "the registry is written otherwise than this guard reads it: {features:?}");
    let page = read(&root().join("docs/protocol.md"));
    let row = |feature: &&str| page.lines().find(|line| line.starts_with(&format!("| `{feature}` |")));
    for feature in features {
        let row = row(&feature).unwrap_or_else(|| panic!("docs/protocol.md has no row for {feature}"));
        let tests = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        assert!(tests.contains('`'), "docs/protocol.md names no test of {feature}");
    }
}
