//! Files in the monitor's folder that are damaged.

use std::fs;
use std::path::{Path, PathBuf};

use faaslet_tests::Site;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

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

/// Functions, each file of which has a byte flipped.
const FUNCTIONS: usize = 8;

/// The name of a function and what it answers.
fn function(number: usize) -> (String, String) {
    (format!("f{number}"), format!("function {number}"))
}

/// A module that only this function has: what it answers was put in place by its initialisation.
fn module(site: &Site, number: usize) -> PathBuf {
    let (name, answer) = function(number);
    let length = answer.len();
    let text = format!(
        r#"(module
        (import "faaslet_v1" "output_set" (func $output (param i32 i32) (result i32)))
        (memory (export "memory") 4)
        (data (i32.const 8) "{answer}")
        (func (export "faaslet_init")
          (memory.copy (i32.const 131072) (i32.const 8) (i32.const {length})))
        (func (export "faaslet_main") (result i32)
          (call $output (i32.const 131072) (i32.const {length}))))"#
    );
    site.module(&format!("{name}.wasm"), &text)
}

/// Flips a bit at a random place of each of these files.
fn damage(files: &[PathBuf], random: &mut StdRng) {
    for file in files {
        let mut bytes = fs::read(file).unwrap();
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 1 << random.random_range(0..8);
        let mode = fs::metadata(file).unwrap().permissions();
        fs::remove_file(file).unwrap();
        fs::write(file, bytes).unwrap();
        fs::set_permissions(file, mode).unwrap();
        println!("byte {at} of {}", file.display());
    }
}

#[test]
fn a_flipped_byte_in_any_file_is_found_before_it_is_used_and_mended_by_a_deployment() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let site = Site::new();
    let mut monitor = site.up();
    for number in 0..FUNCTIONS {
        monitor.deploy(&function(number).0, &module(&site, number));
    }
    for kind in ["artefacts", "images", "plans", "modules"] {
        monitor.stop();
        damage(&stored(&site, kind), &mut random);
        monitor = site.up();
        for number in 0..FUNCTIONS {
            let refused = monitor.call(&function(number).0, "");
            assert_ne!(refused.code, Some(0), "{kind}: a damaged file of f{number} was used");
            assert!(refused.err.contains("faaslet: "), "{kind}: {refused:?}");
        }
        // Functions may have a plan together.
        for number in 0..FUNCTIONS {
            let (name, answer) = function(number);
            monitor.deploy(&name, &module(&site, number));
            assert_eq!(monitor.call(&name, "").text(), answer, "{kind}: deployed again");
        }
    }
    monitor.stop();
}

#[test]
fn code_that_is_gone_is_not_made_of_a_damaged_module() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("f0", &module(&site, 0));
    monitor.stop();
    for file in stored(&site, "artefacts") {
        fs::remove_file(file).unwrap();
    }
    damage(&stored(&site, "modules"), &mut StdRng::seed_from_u64(1));
    let monitor = site.up();
    let refused = monitor.call("f0", "");
    assert!(refused.code != Some(0) && refused.err.contains("faaslet: "), "{refused:?}");
    monitor.stop();
}
