//! `faaslet state`.

use faaslet_tests::Site;

#[test]
fn a_value_goes_in_and_out_by_files_and_pipes_and_parts() {
    let site = Site::new();
    let monitor = site.up();
    let put = site.run_with(&["--json", "state", "put", "a/b", "--durable"], b"hello world");
    let info = put.json();
    assert_eq!((info["len"].as_u64(), info["durable"].as_bool()), (Some(11), Some(true)));
    assert_eq!(site.run(&["state", "get", "a/b"]).ok(), b"hello world");
    assert_eq!(site.run(&["state", "get", "a/b", "--range", "6-"]).ok(), b"world");
    assert_eq!(site.run(&["state", "get", "a/b", "--range", "-3"]).ok(), b"rld");
    let _ = site.run_with(&["state", "put", "a/b", "--offset", "6"], b"there").ok();
    let _ = site.run_with(&["state", "append", "a/b"], b"!").ok();
    assert_eq!(site.run(&["state", "get", "a/b"]).ok(), b"hello there!");
    let _ = site.run_with(&["state", "put", "a/b"], b"short").ok();
    assert_eq!(site.run(&["state", "get", "a/b"]).ok(), b"short", "nothing of the longer is left");
    let first = info["version"].as_str().unwrap();
    assert_eq!(site.run(&["state", "get", "a/b", "--version", first]).ok(), b"hello world");
    let versions = site.run(&["--json", "state", "versions", "a/b"]).json();
    assert!(versions.as_array().unwrap().len() >= 4, "{versions}");
    let _ = site.run(&["state", "rm", "a/b", "--if-version", first]).failed(4);
    let _ = site.run(&["state", "rm", "a/b"]).ok();
    let _ = site.run(&["state", "get", "a/b"]).failed(4);
    monitor.stop();
}

#[test]
fn a_long_value_is_the_same_after_the_way_in_and_out() {
    let site = Site::new();
    let monitor = site.up();
    let content: Vec<u8> = (0..20_000_003_u32).map(|at| (at % 251) as u8).collect();
    let file = site.file("long", &content);
    let _ = site.run(&["state", "put", "long", file.to_str().unwrap()]).ok();
    let out = site.path("out");
    let _ = site.run(&["state", "get", "long", "--out", out.to_str().unwrap()]).ok();
    assert!(std::fs::read(out).unwrap() == content);
    monitor.stop();
}

#[test]
fn what_differs_between_versions_is_told() {
    let site = Site::new();
    let monitor = site.up();
    let version = |input: &[u8], more: &[&str]| {
        let args = [&["--json", "state", "put", "v"], more].concat();
        site.run_with(&args, input).json()["version"].as_str().unwrap().to_owned()
    };
    let from = version(&vec![0; 100_000], &[]);
    version(b"xyz", &["--offset", "70000"]);
    let to = version(b"a", &["--offset", "5"]);
    let diff = site.run(&["--json", "state", "diff", "v", &from, &to]).json();
    let expected = serde_json::json!({
        "changes": [{ "at": 5, "len": 1 }, { "at": 70_000, "len": 3 }],
        "complete": true,
    });
    assert_eq!(diff, expected);
    monitor.stop();
}

#[test]
fn durable_values_go_to_another_monitor_by_a_file_that_is_checked() {
    let (site, other) = (Site::new(), Site::new());
    let monitor = site.up();
    let _ = site.run_with(&["state", "put", "text", "--durable"], b"content").ok();
    let _ = site.run_with(&["state", "put", "empty", "--durable"], b"").ok();
    let sum = ["state", "put", "sum", "--durable", "--element", "i64", "--rule", "min"];
    let _ = site.run_with(&sum, &5_i64.to_le_bytes()).ok();
    let _ = site.run_with(&["state", "put", "passing"], b"in memory").ok();
    let file = site.path("values");
    let file = file.to_str().unwrap();
    assert_eq!(site.run(&["--json", "state", "export", file]).json()["values"], 3);
    let _ = site.run(&["state", "export", file]).failed(7);
    monitor.stop();

    let monitor = other.up();
    assert_eq!(other.run(&["--json", "state", "import", file]).json()["values"], 3);
    assert_eq!(other.run(&["state", "get", "text"]).ok(), b"content");
    assert_eq!(other.run(&["state", "get", "empty"]).ok(), b"");
    assert_eq!(other.run(&["state", "get", "sum"]).ok(), 5_i64.to_le_bytes());
    let info = other.run(&["--json", "state", "stat", "sum"]).json();
    assert_eq!((info["element"].as_str(), info["rule"].as_str()), (Some("i64"), Some("min")));
    let _ = other.run(&["state", "get", "passing"]).failed(4);
    let _ = other.run(&["state", "import", file]).failed(4);
    let _ = other.run(&["state", "import", file, "--replace"]).ok();
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = other.file("damaged", &bytes);
    let told = other.run(&["state", "import", "--replace", damaged.to_str().unwrap()]).failed(1);
    assert!(told.contains("damaged"), "{told}");
    assert_eq!(other.run(&["state", "get", "text"]).ok(), b"content", "nothing was taken");
    monitor.stop();
}

#[test]
fn values_in_memory_outlive_an_end_in_good_order_and_are_lost_by_name_after_another() {
    let site = Site::new();
    let monitor = site.up();
    let _ = site.run_with(&["state", "put", "m"], b"memory").ok();
    let _ = site.run_with(&["state", "put", "d", "--durable"], b"durable").ok();
    monitor.stop();
    let monitor = site.up();
    assert_eq!(site.run(&["state", "get", "m"]).ok(), b"memory");
    monitor.kill();
    let monitor = site.up();
    let told = site.run(&["state", "get", "m"]).failed(4);
    assert!(told.contains("m: the value was kept in memory alone"), "{told}");
    assert_eq!(site.run(&["state", "get", "d"]).ok(), b"durable");
    let listed = site.run(&["state", "ls"]).text();
    assert!(listed.contains("lost"), "{listed}");
    let _ = site.run_with(&["state", "put", "m"], b"anew").ok();
    assert_eq!(site.run(&["state", "get", "m"]).ok(), b"anew");
    monitor.stop();
}

#[test]
fn a_watch_tells_versions_as_they_come() {
    let site = Site::new();
    let monitor = site.up();
    let _ = site.run_with(&["state", "put", "w"], b"1").ok();
    let watch = std::thread::scope(|scope| {
        let watch = scope.spawn(|| site.run(&["--json", "state", "watch", "w", "--count", "2"]));
        while !watch.is_finished() {
            let _ = site.run_with(&["state", "append", "w"], b"+").ok();
        }
        watch.join().unwrap()
    });
    assert_eq!(watch.text().lines().count(), 2);
    monitor.stop();
}
