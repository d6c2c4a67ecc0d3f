//! A damaged store: refused with what to do, and what is whole of it taken over.

use std::fs;

use faaslet_tests::Site;

fn content(number: u8) -> Vec<u8> {
    (0..90_000_u32).map(|at| (at % 251) as u8 ^ number).collect()
}

#[test]
fn a_damaged_store_is_refused_and_what_is_whole_of_it_can_be_taken_over() {
    let site = Site::new();
    let monitor = site.up();
    for number in 0..20 {
        let key = format!("v/{number}");
        let _ = site.run_with(&["state", "put", &key, "--durable"], &content(number)).ok();
    }
    let told = site.run(&["state", "check"]).failed(7);
    assert!(told.contains("must not run"), "{told}");
    monitor.stop();
    assert!(String::from_utf8(site.run(&["state", "check"]).ok()).unwrap().contains("20 values"));

    let file = site.data().join("state.redb");
    let mut bytes = fs::read(&file).unwrap();
    let damaged = &content(7)[1000..1100];
    let at = bytes.windows(100).position(|part| part == damaged).unwrap();
    bytes[at] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let any = "127.0.0.1:0";
    let up = site.run(&["up", "--listen", any, "--http", any]).failed(7);
    assert!(up.contains("state.redb") && up.contains("faaslet state salvage"), "{up}");
    let told = site.run(&["state", "check"]).failed(1);
    assert!(told.contains("19 values are whole") && told.contains("v/7 of tenant"), "{told}");
    assert!(fs::read(&file).unwrap() == bytes, "it is as it was found");

    let out = site.path("salvaged");
    let salvaged = site.run(&["--json", "state", "salvage", out.to_str().unwrap(), "--move-aside"]);
    let told = salvaged.json();
    assert_eq!(told["damages"].as_array().unwrap().len(), 1, "{told}");
    assert!(fs::read(told["moved_to"].as_str().unwrap()).unwrap() == bytes);
    let files = told["files"].as_object().unwrap();
    let (_, archive) = files.iter().next().unwrap();
    let monitor = site.up();
    let _ = site.run(&["state", "import", archive.as_str().unwrap()]).ok();
    for number in 0..20 {
        let value = site.run(&["state", "get", &format!("v/{number}")]);
        if number == 7 {
            let _ = value.failed(4);
        } else {
            assert!(value.ok() == content(number), "value {number}");
        }
    }
    monitor.stop();
}
