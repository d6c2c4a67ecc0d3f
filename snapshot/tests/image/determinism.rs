//! The same contents are the same bytes, whoever writes them and wherever.

use std::path::Path;
use std::process::Command;

use crate::sample::{Sample, each_seed};

const CHILD_SEED: &str = "FAASLET_IMAGE_CHILD_SEED";

#[test]
fn order_of_the_lists_does_not_matter() {
    each_seed(50, |seed| {
        let sample = Sample::random(seed);
        assert_eq!(sample.image(), sample.clone().shuffled(seed ^ 1).image());
    });
}

#[test]
fn every_part_of_the_contents_is_in_the_id() {
    let mut ids = vec![Sample::full().image().1];
    let changes: [fn(&mut Sample); 14] = [
        |s| s.identity.recipe = faaslet_snapshot::image::RecipeId::from_bytes([0; 32]),
        |s| s.identity.module = faaslet_snapshot::image::ModuleHash::from_bytes([0; 32]),
        |s| s.identity.abi_version = 2,
        |s| s.memory[5 * 4096] = 1,
        |s| s.memory.resize(s.memory.len() + 65_536, 0),
        |s| s.memory_max_bytes = Some(1 << 30),
        |s| s.globals.truncate(6),
        |s| s.tables[1].size = 1,
        |s| s.tables[0].elements[0].function = None,
        |s| s.files.push(0),
        |s| s.files.clear(),
        |s| s.files[1] ^= 1,
        |s| drop(s.meta.remove("empty")),
        |s| s.meta.get_mut("empty").unwrap().push(0),
    ];
    for change in changes {
        let mut sample = Sample::full();
        change(&mut sample);
        ids.push(sample.image().1);
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

/// Runs the test below in a process and a folder of its own, and returns what it wrote.
fn written_by_another_process(folder: &Path, seed: u64) -> Vec<u8> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "determinism::child", "--ignored"])
        .env(CHILD_SEED, seed.to_string())
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    std::fs::read(folder.join("image")).unwrap()
}

#[test]
fn two_processes_in_two_folders_write_the_same_bytes() {
    each_seed(3, |seed| {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, two] = folders.each_ref().map(|f| written_by_another_process(f.path(), seed));
        assert!(one == two, "two processes wrote different bytes");
        assert!(one == Sample::random(seed).image().0, "this process wrote different bytes");
    });
}

#[test]
#[ignore = "is the other process of two_processes_in_two_folders_write_the_same_bytes"]
fn child() {
    let Ok(seed) = std::env::var(CHILD_SEED) else { return };
    let seed = seed.parse().unwrap();
    let order = u64::from(std::process::id());
    std::fs::write("image", Sample::random(seed).shuffled(order).image().0).unwrap();
}
