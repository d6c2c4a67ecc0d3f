//! Files in the monitor's folder that are damaged.

use std::fs;
use std::path::{Path, PathBuf};

use faaslet_tests::Site;
use rand::RngExt;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// The files of a kind that the store keeps.
fn stored(site: &Site, kind: &str) -> Vec<PathBuf> {
    let of_kind = |file: &PathBuf| file.components().any(|part| part.as_os_str() == kind);
    let found: Vec<_> = files(&site.data()).into_iter().filter(of_kind).collect();
    assert!(!found.is_empty(), "no {kind} in {}", site.data().display());
    found
}

#[test]
fn a_flipped_byte_in_code_or_image_is_found_before_it_is_used() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
    for kind in ["artefacts", "images", "plans"] {
        let site = Site::new();
        let monitor = site.up();
        monitor.deploy_wat("init-heavy");
        monitor.stop();
        for file in stored(&site, kind) {
            let mut bytes = fs::read(&file).unwrap();
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= 1 << random.random_range(0..8);
            let mode = fs::metadata(&file).unwrap().permissions();
            fs::remove_file(&file).unwrap();
            fs::write(&file, bytes).unwrap();
            fs::set_permissions(&file, mode).unwrap();
            println!("{kind}: byte {at}");
        }
        let monitor = site.up();
        let refused = monitor.call("init-heavy", "");
        assert_ne!(refused.code, Some(0), "{kind}: a damaged file was used");
        assert!(refused.err.contains("faaslet: "), "{kind}: {refused:?}");
        // The monitor goes on, and so does everything else.
        monitor.deploy_wat("counter");
        assert_eq!(monitor.call("counter", "").text(), "11", "{kind}");
        monitor.stop();
    }
}
