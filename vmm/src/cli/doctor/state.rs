//! What state needs: memory for its values, and a disk that flushes soon.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Check, read};
use crate::cli::output::{bytes, duration};
use crate::monitor::state::StateBounds;

/// A flush that takes longer is told.
const SLOW: Duration = Duration::from_millis(20);
/// Flushes that are timed; the shortest counts.
const FLUSHES: usize = 3;

pub fn checks(folder: &Path) -> Vec<Check> {
    vec![memory(), flush(folder)]
}

fn memory() -> Check {
    let wanted = StateBounds::default().bytes;
    let total = read("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    let state = match total.map(|kib| kib << 10) {
        Some(total) if total / 2 >= wanted => Ok(bytes(total)),
        Some(total) => {
            Err(format!("{} of memory; values may take {}", bytes(total), bytes(wanted)))
        }
        None => Err("cannot be read".to_owned()),
    };
    Check::new(
        "memory for state",
        state,
        "values may fill the memory before their limit refuses more",
        "a lower --state-memory, or more memory",
    )
}

fn flush(folder: &Path) -> Check {
    let state = match timed(folder) {
        Ok(time) if time <= SLOW => Ok(duration(time)),
        Ok(time) => Err(duration(time)),
        Err(error) => Err(format!("cannot be tried in {}: {error}", folder.display())),
    };
    Check::new(
        "flush to the disk",
        state,
        "each durable change waits so long; those that wait at the same time share it",
        "put the monitor's folder on a faster disk, with --dir",
    )
}

fn timed(folder: &Path) -> std::io::Result<Duration> {
    // Before the first start there is no folder yet: then the one that it will be made in.
    let there = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    let path = there.join(format!(".faaslet-flush-{}", std::process::id()));
    let mut file = File::create_new(&path)?;
    let timed = (0..FLUSHES).map(|_| {
        let start = Instant::now();
        file.write_all(&[0; 4096]).and_then(|()| file.sync_data()).map(|()| start.elapsed())
    });
    let shortest = timed.collect::<Result<Vec<_>, _>>().map(|times| times.into_iter().min());
    fs::remove_file(&path)?;
    Ok(shortest?.unwrap_or_default())
}
