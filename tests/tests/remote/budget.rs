//! More images than memory may hold of them.

use faaslet_tests::{Hosts, eventually};

/// A function with an image of 256 KiB that no other is like; it answers its number.
fn text(number: usize) -> String {
    format!(
        r#"(module (import "faaslet_v1" "output_set" (func $set (param i32 i32) (result i32)))
        (memory (export "memory") 5) (data (i32.const 8) "{number:04}")
        (func (export "faaslet_init") (local $at i32)
            (local.set $at (i32.const 65536))
            (loop $next
                (i64.store (local.get $at) (i64.add (i64.const {number}1)
                    (i64.extend_i32_u (local.get $at))))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $next (i32.lt_u (local.get $at) (i32.const 327680)))))
        (func (export "faaslet_main") (result i32) (call $set (i32.const 8) (i32.const 4))))"#
    )
}

#[test]
fn ten_times_the_budget_of_images_is_called_and_memory_stays_within() {
    const FUNCTIONS: usize = 40;
    let hosts = Hosts::new(&["one", "two"]);
    let (one, two) = (hosts.up(0), hosts.up_with(1, &["--image-memory", "1M"]));
    let name = |number: usize| format!("f{number}");
    for number in 0..FUNCTIONS {
        let module = hosts.sites[0].module(&format!("{number}.wasm"), &text(number));
        one.deploy(&name(number), &module);
    }
    let mut most = 0;
    for number in 0..FUNCTIONS {
        assert_eq!(two.call(&name(number), "").text(), format!("{number:04}"));
        most = most.max(two.count("faaslet_image_bytes"));
    }
    eventually("what is not used goes", || two.count("faaslet_image_bytes") <= 1 << 20);
    assert!(most > 1 << 20, "the budget was never over: {most}");
    let stored: u64 = two
        .run(&["--json", "images"])
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["bytes"].as_u64().unwrap())
        .sum();
    assert!(stored >= 10 << 20, "images of {stored} bytes are not ten times the budget");
    let dropped = two.count("faaslet_image_drops_total");
    assert!(dropped >= FUNCTIONS as u64 - 4, "{dropped}");
    for number in [0, FUNCTIONS - 1, 3] {
        assert_eq!(two.call(&name(number), "").text(), format!("{number:04}"), "it comes back");
    }
    assert_eq!(two.count("faaslet_remote_copies_total"), FUNCTIONS as u64, "from its own disk");
    one.stop();
    two.stop();
}
