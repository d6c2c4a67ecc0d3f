//! Images that are called before they are whole: the same answers, and typed errors where a part of
//! one cannot be had.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use faaslet_tests::{Monitor, Site, eventually};

/// Every image, whatever its size.
const ALL: [&str; 2] = ["--lazy-above", "0"];

/// How each guest ends and what it answers, called twice.
fn answers(monitor: &Monitor<'_>) -> Vec<(Option<i32>, Vec<u8>)> {
    let guests = ["counter", "init-heavy", "segments", "order", "table", "echo"];
    let mut answers = Vec::new();
    for guest in guests {
        monitor.deploy_wat(guest);
        for _ in 0..2 {
            let ran = monitor.call(guest, "word");
            answers.push((ran.code, ran.out));
        }
    }
    answers
}

#[test]
fn functions_answer_the_same_before_their_images_are_whole_and_after() {
    let (site, other) = (Site::new(), Site::new());
    let (lazy, whole) = (site.up_with(&ALL), other.up_with(&["--lazy-above", "never"]));
    let expected = answers(&whole);
    assert_eq!(expected[1], (Some(0), b"11".to_vec()), "the counter");
    assert_eq!(whole.count("faaslet_images_filling"), 0);
    assert_eq!(answers(&lazy), expected);
    eventually("all images are whole", || lazy.count("faaslet_images_filling") == 0);
    assert_eq!(answers(&lazy), expected);
    lazy.stop();
    whole.stop();
}

#[test]
fn a_part_that_is_damaged_fails_the_calls_that_need_it_and_no_others() {
    let site = Site::new();
    let monitor = site.up_with(&ALL);
    for guest in ["init-heavy", "counter"] {
        monitor.deploy_wat(guest);
    }
    let right = monitor.call("init-heavy", "").ok();
    monitor.stop();
    let image = images(&site).into_iter().max_by_key(|path| fs::metadata(path).unwrap().len());
    let image = OpenOptions::new().read(true).write(true).open(image.unwrap()).unwrap();
    let last = image.metadata().unwrap().len() - 1;
    let mut byte = [0];
    image.read_exact_at(&mut byte, last).unwrap();
    image.write_all_at(&[byte[0] ^ 1], last).unwrap();

    let monitor = site.up_with(&ALL);
    for _ in 0..3 {
        let why = monitor.call("init-heavy", "").failed(6);
        assert!(why.contains("a page of its image could not be had"), "{why}");
    }
    assert_eq!(monitor.call("counter", "").text(), "11", "in the same cell");
    let log = monitor.log();
    assert!(log.contains("left out") && log.contains("the image's file"), "{log}");
    eventually("the other one is whole", || monitor.count("faaslet_images_filling") == 1);
    monitor.stop();

    image.write_all_at(&byte, last).unwrap();
    let monitor = site.up_with(&ALL);
    assert_eq!(monitor.call("init-heavy", "").ok(), right);
    eventually("it is whole", || monitor.count("faaslet_images_filling") == 0);
    monitor.stop();
}

#[test]
fn what_calls_touch_first_is_kept_and_shown() {
    let site = Site::new();
    let monitor = site.up_with(&ALL);
    monitor.deploy_wat("init-heavy");
    let unknown = monitor.run(&["image", "workingset", "init-heavy"]).failed(4);
    assert!(unknown.contains("nothing is known"), "{unknown}");
    let _ = monitor.call("init-heavy", "").ok();
    eventually("it is whole", || monitor.count("faaslet_images_filling") == 0);
    let svg = site.file("map.svg", b"");
    let show = ["--json", "image", "workingset", "init-heavy", "--svg", svg.to_str().unwrap()];
    let set = monitor.run(&show).json();
    assert_eq!(set["runs"], 1);
    // Its answer lies in the last of its chunks, and nothing else is touched.
    assert_eq!(set["touched"][0]["chunk"], 32, "{set}");
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg"));
    monitor.stop();
}

fn images(site: &Site) -> Vec<std::path::PathBuf> {
    let folder = site.data().join("images");
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}
