//! Bakes: what is refused and how that is said; the same image for the same recipe anywhere.

use std::process::Command;

use super::{BakeLimits, Recipe, bake};
use crate::cell::tests::{built, guest};
use crate::cell::{Limits, Ticker};
use crate::control::FolderHead;
use crate::engine;

/// Set for the process that bakes once more: the guest's name, then where the image goes.
const CHILD: &str = "FAASLET_TEST_BAKE";

/// Bakes with time slices, as a builder does.
fn baked(module: &[u8], recipe: &Recipe) -> Result<Vec<u8>, String> {
    let engine = engine::engine().unwrap();
    let ticker = Ticker::start(&engine).unwrap();
    ticker.begin();
    let baked = bake(&engine, module, recipe, true, |_| {});
    ticker.stop();
    baked.map(|baked| baked.image.unwrap()).map_err(|error| error.to_string())
}

fn quick() -> Recipe {
    let function = Limits { memory_bytes: 4 << 20, ..Limits::default() };
    let limits = BakeLimits { initialise_ms: 300, function };
    Recipe { limits, ..Recipe::default() }
}

/// Each refused guest, and what the message must say.
const REFUSED: &[(&str, &[&str])] = &[
    ("abi-v2", &["ABI version 1", "faaslet_v2", "version 2", "SDK"]),
    ("component", &["core WebAssembly module", "found a component", "wasm32-wasip1"]),
    ("entry-type", &["\"faaslet_main\"", "found", "change its type"]),
    ("import-type", &["faaslet_v1.input_len", "found", "SDK"]),
    ("imported-memory", &["functions only", "memory env.memory", "--import-memory"]),
    (
        "init-eat",
        &["initialisation", "unreachable", "init", "could not grow past 4 MiB", "--memory"],
    ),
    ("init-exit", &["initialisation", "exit with status 3", "faaslet run"]),
    ("init-loop", &["initialisation", "deadline passed"]),
    ("init-trap", &["initialisation", "unreachable", "0: deep", "1: init"]),
    ("memory-too-large", &["pages of memory", "65536"]),
    ("memory64", &["32-bit memory"]),
    ("no-entry", &["\"faaslet_main\"", "\"_start\"", "main"]),
    ("other-module", &["env.emscripten_notify_memory_growth", "link that library"]),
    ("outside-function-global", &["global 0", "reference from outside", "set it to null"]),
    ("outside-function-table", &["table 0 element 1", "reference from outside", "set it to null"]),
    ("shared-memory", &["shared"]),
    ("start-trap", &["initialisation", "unreachable", "0: deep", "1: begin"]),
    ("unknown-import", &["inptu_len", "input_len"]),
];

#[test]
fn what_an_image_cannot_hold_or_a_host_not_run_is_refused_and_the_message_says_what_to_do() {
    let folder = format!("{}/../tests/guests/wat/refused", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let names: Vec<_> = files.iter().map(|f| f.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(
        names,
        REFUSED.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        "every guest is here"
    );
    let mut wrong = Vec::new();
    for (name, parts) in REFUSED {
        let module = guest(&format!("refused/{name}"));
        let message = match baked(&module, &quick()) {
            Ok(_) => "it was baked".to_owned(),
            Err(message) => message,
        };
        if !parts.iter().all(|part| message.contains(part)) || !message.contains("expected") {
            wrong.push(format!("{name}: {message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// A function of this text; the tests differ in its initialisation.
fn bake_text(text: &str) -> Result<Vec<u8>, String> {
    baked(&wat::parse_str(text).unwrap(), &quick())
}

#[test]
fn null_references_are_held_wherever_they_are() {
    bake_text(
        r#"(module (memory 1) (table $t 1 externref) (global $g (mut externref) (ref.null extern))
        (table $f 1 funcref)
        (func (export "faaslet_init")
            (drop (table.grow $t (ref.null extern) (i32.const 3)))
            (drop (table.grow $f (ref.null func) (i32.const 3)))
            (table.set $t (i32.const 0) (ref.null extern)) (global.set $g (ref.null extern)))
        (func (export "faaslet_main")))"#,
    )
    .unwrap();
}

#[test]
fn the_bounds_of_a_bake_hold_for_warm_up_too() {
    let looping = wat::parse_str(
        r#"(module (memory 1) (func (export "faaslet_warm") (loop $l (br $l)))
        (func (export "faaslet_main")))"#,
    );
    let message = baked(&looping.unwrap(), &quick()).unwrap_err();
    assert!(message.contains("warm-up call 0") && message.contains("deadline"), "{message}");
    let recipe = Recipe { warm: vec![b"u".to_vec()], ..quick() };
    let message = baked(&guest("trap"), &recipe).unwrap_err();
    assert!(message.contains("warm-up call 1") && message.contains("unreachable"), "{message}");
    let chaining = wat::parse_str(
        r#"(module (import "faaslet_v1" "call" (func $call (param i32 i32 i32 i32) (result i32)))
        (memory 1)
        (func (export "faaslet_warm")
            (if (i32.ne (i32.const -6)
                  (call $call (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))
              (then unreachable)))
        (func (export "faaslet_main")))"#,
    );
    baked(&chaining.unwrap(), &quick()).unwrap();
}

#[test]
fn a_module_may_declare_no_more_memory_than_its_function_may_use() {
    let text = r#"(module (memory 65) (func (export "faaslet_main")))"#;
    let message = bake_text(text).unwrap_err();
    assert!(message.contains("at most 64") && message.contains("found 65"), "{message}");
    bake_text(&text.replace("65", "64")).unwrap();
}

#[test]
fn a_recipe_names_all_that_an_image_depends_on() {
    let module = [1; 32];
    let folder = |guest: &str, read_only| FolderHead { guest: guest.to_owned(), read_only };
    let of = |args: &[&str], warm: &[&str], folders: &[FolderHead]| Recipe {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        warm: warm.iter().map(|input| input.as_bytes().to_vec()).collect(),
        folders: folders.to_vec(),
        ..quick()
    };
    let recipes = [
        of(&[], &[], &[]),
        of(&["a"], &[], &[]),
        of(&[], &["a"], &[]),
        of(&[], &[], &[folder("a", true)]),
        of(&[], &[], &[folder("a", false)]),
        of(&[], &[], &[folder("b", true)]),
        of(&[], &[], &[folder("a", true), folder("b", true)]),
        Recipe { limits: BakeLimits::default(), ..quick() },
    ];
    let mut ids: Vec<_> = recipes.iter().map(|recipe| recipe.id(&module)).collect();
    ids.push(recipes[0].id(&[2; 32]));
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    // The time that it may take and the tenant change nothing in its name.
    let mut other = of(&[], &[], &[]);
    other.limits.initialise_ms += 1;
    other.tenant_secret = [9; 32];
    assert_eq!(other.id(&module), ids[0]);
    // A recipe travels to its builder as it is.
    let carried: Recipe =
        serde_json::from_str(&serde_json::to_string(&recipes[2]).unwrap()).unwrap();
    assert_eq!(carried.id(&module), ids[2]);
}

#[test]
fn the_engine_of_a_recipe_is_the_one_in_use() {
    let manifest = include_str!("../../../Cargo.toml");
    let named = super::bake::ENGINE.trim_start_matches("wasmtime ");
    let expected = format!("wasmtime = {{ version = \"{named}.");
    assert!(manifest.contains(&expected), "expected {expected} in Cargo.toml");
}

#[test]
fn random_bytes_of_a_bake_come_from_secret_and_recipe_alone() {
    let secret = |byte| Recipe { tenant_secret: [byte; 32], ..quick() };
    let random = guest("random");
    let one = baked(&random, &secret(1)).unwrap();
    assert!(one == baked(&random, &secret(1)).unwrap(), "the same recipe");
    assert!(one != baked(&random, &secret(2)).unwrap(), "another secret");
    let other = Recipe { args: vec!["x".into()], ..secret(1) };
    assert!(one != baked(&random, &other).unwrap(), "another recipe");
    // A guest that draws nothing has nothing of the secret in it.
    let clock = guest("clock");
    assert!(baked(&clock, &secret(1)).unwrap() == baked(&clock, &secret(2)).unwrap());
}

/// Guests for which a second process must make the very same image.
const TWICE: [&str; 8] =
    ["random", "clock", "table", "init-heavy", "order", "segments", "counter", "command"];

/// The other process: bakes what the environment names, and nothing when it names nothing.
#[test]
fn bakes_once_more_when_it_is_told_to() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let (name, to) = order.split_once(' ').unwrap();
    let module = built(name).unwrap_or_else(|| guest(name));
    std::fs::write(to, baked(&module, &Recipe::default()).unwrap()).unwrap();
}

#[test]
fn another_process_in_another_folder_makes_the_very_same_image() {
    let folder = tempfile::tempdir().unwrap();
    let built_ones =
        ["hashes-rs", "constructors-cpp"].into_iter().filter(|name| built(name).is_some());
    for name in TWICE.into_iter().chain(built_ones) {
        let module = built(name).unwrap_or_else(|| guest(name));
        let to = folder.path().join(name);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "builder::tests::bakes_once_more_when_it_is_told_to"])
            .env(CHILD, format!("{name} {}", to.display()))
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(child.status.success(), "{name}: {child:?}");
        let theirs = std::fs::read(&to).unwrap();
        assert!(theirs == baked(&module, &Recipe::default()).unwrap(), "{name}: another image");
    }
}

#[test]
fn a_bake_that_was_stopped_leaves_the_engine_fit_for_the_next() {
    let engine = engine::engine().unwrap();
    let ticker = Ticker::start(&engine).unwrap();
    ticker.begin();
    for name in ["refused/init-loop", "refused/init-trap", "refused/init-exit"] {
        assert!(bake(&engine, &guest(name), &quick(), true, |_| {}).is_err());
        bake(&engine, &guest("echo"), &quick(), true, |_| {}).unwrap();
    }
    ticker.stop();
}
