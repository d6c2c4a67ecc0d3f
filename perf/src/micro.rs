//! `micro`: what `cargo bench` measured of the parts that have a bench of their own, taken over
//! from the files that Criterion leaves. It measures nothing itself.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::book::Book;
use crate::results::home;

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let folder = folder();
    let mut found = 0;
    for group in folders(&folder) {
        for bench in folders(&group) {
            let file = bench.join("new/estimates.json");
            if let Ok(text) = fs::read_to_string(&file) {
                let ns =
                    median_ns(&text).with_context(|| format!("{} is damaged", file.display()))?;
                book.put(&format!("micro.{}.{}", name(&group), name(&bench)), ns, "ns");
                found += 1;
            }
        }
    }
    ensure!(found > 0, "nothing in {}; run the benches of the parts first", folder.display());
    Ok(())
}

/// Where Criterion writes.
fn folder() -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from);
    let target = || set("CARGO_TARGET_DIR").unwrap_or_else(|| home().join("../target"));
    set("CRITERION_HOME").unwrap_or_else(|| target().join("criterion"))
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    all.sort();
    all
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().replace('.', "_")
}

/// The median of a file of estimates, in nanoseconds.
fn median_ns(text: &str) -> Option<f64> {
    let estimates: Value = serde_json::from_str(text).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_taken_over_in_nanoseconds() {
        assert_eq!(median_ns(r#"{"median":{"point_estimate":1500.0}}"#), Some(1500.0));
        assert_eq!(median_ns("{}"), None);
        assert_eq!(median_ns("damaged"), None);
    }
}
