//! Functions that never stop storing to a mapped value while another pushes it: whatever the
//! element and the rule, the owner ends up with exactly what was stored last, and never has a torn
//! element. What the tier does by itself, in real cells, with a real owner behind it.

use faaslet_tests::{Site, Tenant, built};
use serde_json::{Value, json};

const ELEMENTS: [(&str, usize); 10] = [
    ("u8", 1),
    ("u16", 2),
    ("u32", 4),
    ("u64", 8),
    ("i8", 1),
    ("i16", 2),
    ("i32", 4),
    ("i64", 8),
    ("f32", 4),
    ("f64", 8),
];
const RULES: [&str; 7] = ["replace", "sum", "min", "max", "and", "or", "xor"];
/// A chunk, and some of a second.
const VALUE_BYTES: usize = 65_536 + 4096 + 64;
const PUSHES: u32 = 4;
/// Functions that store.
const WRITERS: usize = 2;
/// Steps that an element goes through, in the function too.
const STEPS: u8 = 100;

/// The element at a step, in the function too.
fn element(kind: &str, width: usize, rule: &str, step: u8) -> Vec<u8> {
    let number = match rule {
        "min" => STEPS - step,
        "and" => 0xff << (step / 15),
        "or" => !(0xff << (step / 15)),
        _ => step,
    };
    match kind {
        "f32" => f32::from(number).to_le_bytes().to_vec(),
        "f64" => f64::from(number).to_le_bytes().to_vec(),
        _ => vec![number; width],
    }
}

/// Whether no mixture of two steps is in it.
fn is_whole(kind: &str, bytes: &[u8]) -> bool {
    let number = match kind {
        "f32" => f64::from(f32::from_le_bytes(bytes.try_into().unwrap())),
        "f64" => f64::from_le_bytes(bytes.try_into().unwrap()),
        _ => return bytes.iter().all(|byte| *byte == bytes[0]),
    };
    number.fract() == 0.0 && (0.0..=f64::from(STEPS)).contains(&number)
}

fn call(tenant: &Tenant, task: &Value) -> Value {
    let answer = tenant.call("shared", task.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{task}: {}", answer.text());
    answer.json()
}

fn make(tenant: &Tenant, key: &str, kind: &str, rule: &str, bytes: &[u8]) {
    let path = format!("/v1/state/{key}?element={kind}&rule={rule}&quota_bytes={}", bytes.len());
    let made = tenant.ask("PUT", &path, &[], bytes);
    assert_eq!(made.status, 200, "{}", made.text());
}

/// What the owner has.
fn owned(tenant: &Tenant, key: &str) -> Vec<u8> {
    let read = tenant.get(&format!("/v1/state/{key}"));
    assert_eq!(read.status, 200, "{}", read.text());
    read.body
}

fn storm(tenant: &Tenant, (kind, width): (&str, usize), rule: &str, seed: u64) {
    let key = format!("{kind}/{rule}");
    let count = VALUE_BYTES / width;
    let first = element(kind, width, rule, 0);
    make(tenant, &key, kind, rule, &first.repeat(count));
    make(tenant, &format!("{key}/words"), "u32", "replace", &[0; 4 * (1 + WRITERS)]);
    let part = |number: usize| count * number / WRITERS;
    let push = json!({ "do": "push", "key": key, "element": kind, "times": PUSHES });
    let steps: Vec<u8> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let task = json!({
                    "do": "store", "key": key, "element": kind, "rule": rule, "writer": number,
                    "part": [part(number), part(number + 1)], "seed": seed + number as u64,
                });
                scope.spawn(move || call(tenant, &task)["steps"].clone())
            })
            .collect();
        let pusher = scope.spawn(|| call(tenant, &push));
        while !pusher.is_finished() {
            let found = owned(tenant, &key);
            let torn = found.chunks(width).position(|bytes| !is_whole(kind, bytes));
            assert_eq!(torn, None, "{key} has a torn element, seed {seed}");
        }
        pusher.join().unwrap();
        let stored = writers.into_iter().map(|writer| writer.join().unwrap());
        stored.flat_map(|steps| serde_json::from_value::<Vec<u8>>(steps).unwrap()).collect()
    });
    assert!(steps.iter().any(|step| *step > 0), "{key}: nothing was stored");
    call(tenant, &push);
    let last: Vec<u8> = steps.iter().flat_map(|step| element(kind, width, rule, *step)).collect();
    assert!(owned(tenant, &key) == last, "{key}: a store was skipped, seed {seed}");
}

#[test]
fn stores_that_never_stop_all_arrive_and_none_is_torn() {
    let seed = rand::random::<u32>().into();
    println!("seed {seed}");
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("shared", &built("shared-rs"));
    let tenant = monitor.default_tenant();
    for element in ELEMENTS {
        for rule in RULES {
            let is_bitwise = ["and", "or", "xor"].contains(&rule);
            if !(is_bitwise && element.0.starts_with('f')) {
                storm(&tenant, element, rule, seed);
            }
        }
    }
    monitor.stop();
}
