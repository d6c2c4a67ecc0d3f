//! Builds the guests of `tests/guests/wasi`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's folder.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("vmm/wasi").to_path_buf()
}

/// Builds `tests/guests/wasi/NAME` and returns the module's path.
pub(crate) fn build(name: &str) -> PathBuf {
    let module = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("wasi-{name}.wasm"));
    let made = Command::new(repository().join("guest-sdk/setup/build-guest.sh"))
        .arg(repository().join("tests/guests/wasi").join(name))
        .arg(&module)
        .output()
        .expect("build-guest.sh starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    module
}
