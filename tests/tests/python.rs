//! Functions in Python on the shared runtime, with the real program.
//!
//! The runtime takes a minute to compile, so one monitor serves all cases, over a folder in the
//! user's cache that later runs find as it is.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use faaslet_tests::{Monitor, Site, tree};
use serde_json::{Value, json};

/// Mails that the model of the example judges.
const JUDGED: usize = 200;
/// Forks whose random numbers are compared.
const FORKS: usize = 10_000;

fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"))
}

/// A file of one function; the name of the file is the function's.
fn source(monitor: &Monitor<'_>, name: &str, text: &str) -> PathBuf {
    monitor.site().file(&format!("{name}.py"), text.as_bytes())
}

#[track_caller]
fn deploy(monitor: &Monitor<'_>, name: &str, text: &str) {
    let file = source(monitor, name, text);
    let _ = monitor.deploy_with(name, &file, &[]).ok();
}

#[track_caller]
fn refused(monitor: &Monitor<'_>, name: &str, text: &str, flags: &[&str]) -> String {
    let file = source(monitor, name, text);
    monitor.deploy_with(name, &file, flags).failed(4)
}

fn ask(monitor: &Monitor<'_>, name: &str, event: &Value) -> Value {
    monitor.call(name, &event.to_string()).json()
}

#[test]
fn functions_in_python() {
    let site = Site::new();
    let store = cache().join("faaslet").join("python-tests");
    fs::create_dir_all(&store).unwrap();
    symlink(&store, site.data()).unwrap();
    symlink(cache(), site.path(".cache")).unwrap();
    let monitor = site.up();
    examples_answer(&monitor);
    a_model_that_was_trained_in_the_bake_judges(&monitor);
    a_second_deployment_compiles_nothing_and_rests_as_a_layer(&monitor);
    forks_draw_other_numbers(&monitor);
    failures_carry_their_traceback(&monitor);
    bad_files_are_refused_by_what_is_wrong(&monitor);
    bad_calls_fail_alone(&monitor);
    state_and_chains_work(&monitor);
    monitor.stop();
}

fn example(monitor: &Monitor<'_>, name: &str) {
    let project = tree::root().join("guest-sdk/examples").join(name);
    let _ = monitor.deploy_with(name, &project, &[]).ok();
}

fn examples_answer(monitor: &Monitor<'_>) {
    example(monitor, "python-matrix");
    let product = ask(monitor, "python-matrix", &json!(null));
    // Row i of a Hilbert matrix adds up to H(i + 64) - H(i).
    let row = |i: u32| (1..=64).map(|n| 1.0 / f64::from(i + n)).sum::<f64>();
    let trace: f64 = (0..64).map(row).sum();
    assert!((product["trace"].as_f64().unwrap() - trace).abs() < 1e-9, "{product}");
    assert!((product["sum"].as_f64().unwrap() - 64.0 * trace).abs() < 1e-6, "{product}");

    example(monitor, "python-route");
    let way = ask(monitor, "python-route", &json!({"from": "Lisbon", "to": "Helsinki"}));
    assert_eq!(way["way"], json!(["Lisbon", "Paris", "Amsterdam", "Oslo", "Helsinki"]), "{way}");
    assert_eq!(way["km"], 3583, "{way}");
}

/// Real mails, of which the model has not seen these.
fn a_model_that_was_trained_in_the_bake_judges(monitor: &Monitor<'_>) {
    let from = tree::root().join("guest-sdk/examples/python-spam");
    let project = monitor.site().path("python-spam");
    fs::create_dir(&project).unwrap();
    for name in ["app.py", "faaslet.toml"] {
        fs::copy(from.join(name), project.join(name)).unwrap();
    }
    let fetched =
        Command::new("python3").arg(from.join("fetch.py")).arg(&project).output().unwrap();
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    let limits = ["--init-timeout", "5m", "--memory", "1G", "--timeout", "1m"];
    let _ = monitor.deploy_with("python-spam", &project, &limits).ok();
    let held: Vec<(String, u8)> =
        serde_json::from_slice(&fs::read(project.join("held-out.json")).unwrap()).unwrap();
    let asked = &held[..JUDGED];
    let mails: Vec<&str> = asked.iter().map(|(text, _)| text.as_str()).collect();
    let asked_of = json!({ "mails": mails }).to_string();
    let answer = monitor.default_tenant().call("python-spam", asked_of.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let said = answer["spam"].as_array().unwrap();
    let right = said.iter().zip(asked).filter(|(said, (_, spam))| **said == (*spam == 1)).count();
    println!("{right} of {JUDGED} mails judged right");
    assert!(right * 10 >= JUDGED * 9, "{right} of {JUDGED} mails judged right");
}

fn a_second_deployment_compiles_nothing_and_rests_as_a_layer(monitor: &Monitor<'_>) {
    let text =
        format!("VALUE = {}\ndef handler(event, context):\n    return VALUE\n", monitor.pid());
    let file = source(monitor, "second", &text);
    let info = monitor.deploy_with("second", &file, &[]).json();
    let phases: Vec<_> = info["phases"].as_array().unwrap().iter().map(|p| p[0].clone()).collect();
    assert_eq!(phases, ["initialise", "warm", "image"], "{info}");
    assert_eq!(info["base"], "python", "{info}");
    let images = monitor.run(&["--json", "image", "ls"]).json();
    let images = images.as_array().unwrap();
    let of = |name: &str| images.iter().find(|image| image["function"] == name).unwrap();
    let (layer, base) = (of("second"), of("runtimes/python"));
    assert_eq!(layer["base"], base["id"]);
    assert!(layer["bytes"].as_u64() < base["bytes"].as_u64(), "{layer} {base}");
    let again = monitor.deploy_with("second", &file, &[]).json();
    assert_eq!(again["image"], info["image"], "the same recipe, the same image");
    assert_eq!(again["phases"], json!([]));
    let used = monitor.run(&["runtime", "rm", "python"]).failed(4);
    assert!(used.contains("in use by") && used.contains("second"), "{used}");
}

fn forks_draw_other_numbers(monitor: &Monitor<'_>) {
    let text = "import random, secrets, uuid, time\nimport numpy as np\n\
        random.random(); np.random.rand(); uuid.uuid1()\n\
        def handler(event, context):\n    return [random.random(), float(np.random.rand()), \
        secrets.token_hex(8), uuid.uuid4().hex, uuid.uuid1().hex, time.time_ns()]\n";
    deploy(monitor, "draws", text);
    let client = monitor.default_tenant().connect().unwrap();
    let mut seen: [BTreeSet<String>; 6] = Default::default();
    for _ in 0..FORKS {
        let reply = client.call("draws", Vec::new()).unwrap();
        let drawn: Vec<Value> = serde_json::from_slice(&reply.payload).unwrap();
        for (set, value) in seen.iter_mut().zip(drawn) {
            set.insert(value.to_string());
        }
    }
    for (what, set) in seen.iter().enumerate() {
        assert_eq!(set.len(), FORKS, "number {what} of the list was drawn twice");
    }
}

fn failures_carry_their_traceback(monitor: &Monitor<'_>) {
    let text = "def inner():\n    raise KeyError('what is missing')\n\
        def handler(event, context):\n    print('before')\n    inner()\n";
    deploy(monitor, "raises", text);
    let told = monitor.call("raises", "").failed(1);
    assert!(told.contains("line 2, in inner") && told.contains("KeyError"), "{told}");
    let log = monitor.run(&["logs", "raises"]).text();
    assert!(log.contains("before") && log.contains("in inner"), "{log}");
}

fn bad_files_are_refused_by_what_is_wrong(monitor: &Monitor<'_>) {
    let syntax = refused(monitor, "syntax", "def handler(event, context)\n    pass\n", &[]);
    assert!(syntax.contains("SyntaxError") && syntax.contains("line 1"), "{syntax}");
    let import = refused(monitor, "imports", "import no_such_module\n", &[]);
    assert!(import.contains("No module named 'no_such_module'"), "{import}");
    let none = refused(monitor, "nohandler", "x = 1\n", &[]);
    assert!(none.contains("expected a function handler(event, context)"), "{none}");
    let takes = refused(monitor, "takes", "def handler():\n    pass\n", &[]);
    assert!(takes.contains("it takes ()"), "{takes}");
    let endless = "while True:\n    pass\n";
    let endless = refused(monitor, "endless", endless, &["--init-timeout", "2s"]);
    assert!(endless.contains("deadline"), "{endless}");
    let project = monitor.site().path("native");
    fs::create_dir(&project).unwrap();
    write(&project, "app.py", "def handler(event, context):\n    pass\n");
    write(&project, "requirements.txt", "lmdb\n");
    let native = monitor.deploy_with("native", &project, &[]).failed(7);
    assert!(native.contains("the package lmdb cannot be had"), "{native}");
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

fn bad_calls_fail_alone(monitor: &Monitor<'_>) {
    let text = "def deep(n):\n    return deep(n + 1) + 1\n\
        def handler(event, context):\n    kind = event['kind']\n\
        \x20   if kind == 'deep':\n        return deep(0)\n\
        \x20   if kind == 'output':\n        return b'x' * (2 << 30)\n\
        \x20   if kind == 'long':\n        return b'x' * (80 << 20)\n\
        \x20   if kind == 'memory':\n        return len([bytes(1 << 20) for _ in range(1024)])\n\
        \x20   return kind\n";
    deploy(monitor, "bad", text);
    for (kind, word) in [
        ("deep", "RecursionError"),
        ("output", "OverflowError"),
        ("long", "larger than the host allows"),
        ("memory", "MemoryError"),
    ] {
        let told = monitor.call("bad", &json!({ "kind": kind }).to_string()).failed(1);
        assert!(told.contains(word), "{kind}: {told}");
        assert_eq!(ask(monitor, "bad", &json!({ "kind": "well" })), "well");
    }
    let input = monitor.call("bad", "{").failed(1);
    assert!(input.contains("expected an input of JSON"), "{input}");
}

fn state_and_chains_work(monitor: &Monitor<'_>) {
    let text = "import faaslet\nfrom faaslet import state\n\
        def handler(event, context):\n    counter = state.Counter('python-visits')\n\
        \x20   before = counter.get()\n    counter.add(2)\n    counter.push()\n\
        \x20   value = state.open('python-value', element='f8')\n\
        \x20   with value.lock():\n        value.write(b'\\0' * 64)\n        value.push()\n\
        \x20   numbers = value.array(writable=True)\n    numbers[:] = range(8)\n\
        \x20   total = float(sum(value.array()))\n    value.unmap(numbers)\n\
        \x20   other = faaslet.call('python-route', {'from': 'Rome', 'to': 'Athens'})\n\
        \x20   place = state.open('python-log').append(b'line')\n\
        \x20   return [counter.get() - before, total, other['way'], place % 4, context.function]\n";
    deploy(monitor, "stateful", text);
    for _ in 0..3 {
        let answer = ask(monitor, "stateful", &json!(null));
        assert_eq!(answer, json!([2, 28.0, ["Rome", "Athens"], 0, "stateful"]));
    }
}
