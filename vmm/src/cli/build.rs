//! From what a user names to a module: a `.wasm` as it is, anything else built first.
//!
//! The building itself is a script of the guest SDK, which this program carries, so that it works
//! where no source tree is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::deploy::Progress;
use super::exit::{Code, Failure};
use super::manifest;

/// The folder of a guest SDK to use in place of the one carried.
const SDK_ENV: &str = "FAASLET_GUEST_SDK";
/// The script that builds a project.
const BUILD: &str = "setup/build-guest.sh";
/// The script that makes the toolchain.
const TOOLCHAIN: &str = "setup/guests.sh";
/// The script that finds or makes the Python runtime.
const PYTHON_RUNTIME: &str = "setup/python_runtime.py";
/// The script that packs a Python function.
const PYTHON_PACK: &str = "setup/python_pack.py";

/// A file of the package `faaslet` for Python.
macro_rules! package {
    ($name:literal) => {
        (
            concat!("python/faaslet/", $name, ".py"),
            include_str!(concat!("../../../guest-sdk/python/faaslet/", $name, ".py")),
        )
    };
}

/// What the scripts need, by its place beneath the SDK's folder.
const CARRIED: &[(&str, &str)] = &[
    (BUILD, include_str!("../../../guest-sdk/setup/build-guest.sh")),
    (TOOLCHAIN, include_str!("../../../guest-sdk/setup/guests.sh")),
    ("c/faaslet.h", include_str!("../../../guest-sdk/c/faaslet.h")),
    ("c/faaslet_state.h", include_str!("../../../guest-sdk/c/faaslet_state.h")),
    ("c/faaslet_state.hpp", include_str!("../../../guest-sdk/c/faaslet_state.hpp")),
    (PYTHON_RUNTIME, include_str!("../../../guest-sdk/setup/python_runtime.py")),
    (PYTHON_PACK, include_str!("../../../guest-sdk/setup/python_pack.py")),
    ("setup/python_link.py", include_str!("../../../guest-sdk/setup/python_link.py")),
    package!("__init__"),
    package!("_chain"),
    package!("_codec"),
    package!("_context"),
    package!("_entry"),
    package!("_errors"),
    package!("_host"),
    package!("_layer"),
    package!("_log"),
    package!("_restore"),
    package!("state"),
];
/// Those that are run.
const RUN: [&str; 4] = [BUILD, TOOLCHAIN, PYTHON_RUNTIME, PYTHON_PACK];
/// What the script ends with when the toolchain is missing.
const NO_TOOLCHAIN: i32 = 3;
/// What it ends with when the project is not one.
const NO_PROJECT: i32 = 2;

/// A module in a file.
#[derive(Debug)]
pub struct Built {
    path: PathBuf,
    /// It was built here, and goes when this is dropped.
    temporary: bool,
    /// A name for the function.
    pub name: Option<String>,
}

impl Built {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        if self.temporary {
            // The cache may be cleaned by others too.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The module that `path` stands for.
pub fn module(path: &Path, progress: &Progress) -> Result<Built, Failure> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    if !path.exists() {
        let what = format!("there is no {}; give a .wasm file or a project folder", path.display());
        return Err(Failure::new(Code::Local, what));
    }
    if path.is_file() && matches!(extension, Some("wasm" | "wat") | None) {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        return Ok(Built { path: path.to_owned(), temporary: false, name });
    }
    let sdk = sdk()?;
    progress.step("build");
    let out = cache()?.join(format!("module-{}.wasm", std::process::id()));
    let built = Built { path: out, temporary: true, name: name_of(path) };
    let script = if is_python(path) { PYTHON_PACK } else { BUILD };
    run(&sdk, script, path, built.path())?;
    Ok(built)
}

/// Whether a path is a function in Python: a file of it, a folder that says so, or one with an
/// `app.py` and nothing that says otherwise.
pub fn is_python(path: &Path) -> bool {
    if path.is_file() {
        return path.extension().is_some_and(|extension| extension == "py");
    }
    match manifest::read(&path.join("faaslet.toml")) {
        Ok(text) => manifest::text(&text, "lang").is_some_and(|lang| lang == "python"),
        Err(_) => path.join("app.py").is_file() && !path.join("Cargo.toml").exists(),
    }
}

/// The folder of the Python runtime, made if it is not there.
pub fn python_runtime(wheel: Option<&Path>) -> Result<PathBuf, Failure> {
    let script = sdk()?.join(PYTHON_RUNTIME);
    let mut command = Command::new(&script);
    command.args(wheel.iter().flat_map(|wheel| [Path::new("--wheel"), wheel]));
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::local(format!("cannot run {}", script.display()), error))?;
    if !output.status.success() {
        return Err(Failure::new(Code::Local, "there is no Python runtime; see above"));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn run(sdk: &Path, script: &str, project: &Path, out: &Path) -> Result<(), Failure> {
    let script = sdk.join(script);
    let status = Command::new(&script)
        .arg(project)
        .arg(out)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Failure::local(format!("cannot run {}", script.display()), error))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(NO_TOOLCHAIN) => {
            let what = format!(
                "the toolchain for guests is missing; make it, once, with\n  {}",
                sdk.join(TOOLCHAIN).display()
            );
            Err(Failure::new(Code::Local, what))
        }
        Some(NO_PROJECT) => {
            let what =
                format!("{} is not a project that can be built; see above", project.display());
            Err(Failure::new(Code::Usage, what))
        }
        _ => {
            let what = format!("{} does not build; see above", project.display());
            Err(Failure::new(Code::Local, what))
        }
    }
}

/// The guest SDK's folder; what this program carries is unpacked into the user's cache.
pub fn sdk() -> Result<PathBuf, Failure> {
    if let Some(sdk) = std::env::var_os(SDK_ENV).filter(|sdk| !sdk.is_empty()) {
        return Ok(sdk.into());
    }
    let mut hasher = blake3::Hasher::new();
    for (name, text) in CARRIED {
        hasher.update(name.as_bytes()).update(text.as_bytes());
    }
    let hash = hasher.finalize().to_hex();
    let sdk = cache()?.join(format!("guest-sdk-{}", &hash[..16]));
    if !sdk.exists() {
        unpack(&sdk).map_err(|error| {
            Failure::local(format!("cannot unpack the guest SDK to {}", sdk.display()), error)
        })?;
    }
    Ok(sdk)
}

/// Writes all files beside, and then renames: nobody sees half of them.
fn unpack(sdk: &Path) -> std::io::Result<()> {
    let new = sdk.with_extension(format!("new-{}", std::process::id()));
    for (name, text) in CARRIED {
        let path = new.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&new))?;
        fs::write(&path, text)?;
        let mode = if RUN.contains(name) { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    match fs::rename(&new, sdk) {
        // Another command was faster; its files are the same.
        Err(_) if sdk.exists() => fs::remove_dir_all(&new),
        renamed => renamed,
    }
}

fn cache() -> Result<PathBuf, Failure> {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty());
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let cache = cache.map(PathBuf::from).or_else(home).map(|cache| cache.join("faaslet"));
    let cache =
        cache.ok_or_else(|| Failure::new(Code::Usage, "no folder for the cache: set HOME"))?;
    fs::create_dir_all(&cache)
        .map_err(|error| Failure::local(format!("cannot make {}", cache.display()), error))?;
    Ok(cache)
}

/// What a project calls itself: in `faaslet.toml`, in `Cargo.toml`, or by its folder.
fn name_of(path: &Path) -> Option<String> {
    let from = |file: &str, table| manifest::name(&manifest::read(&path.join(file)).ok()?, table);
    let folder = || {
        let path = path.canonicalize().ok()?;
        Some(path.file_stem()?.to_string_lossy().into_owned())
    };
    from("faaslet.toml", None).or_else(|| from("Cargo.toml", Some("package"))).or_else(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_named_by_its_files_before_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("folder");
        fs::create_dir(&project).unwrap();
        assert_eq!(name_of(&project).as_deref(), Some("folder"));
        fs::write(project.join("Cargo.toml"), "[package]\nname = \"crate\"\n").unwrap();
        assert_eq!(name_of(&project).as_deref(), Some("crate"));
        fs::write(project.join("faaslet.toml"), "name = \"own\"\n").unwrap();
        assert_eq!(name_of(&project).as_deref(), Some("own"));
    }

    #[test]
    fn what_is_carried_is_unpacked_whole_and_can_be_run() {
        let dir = tempfile::tempdir().unwrap();
        let sdk = dir.path().join("sdk");
        unpack(&sdk).unwrap();
        unpack(&sdk).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside");
        for (name, text) in CARRIED {
            assert_eq!(fs::read_to_string(sdk.join(name)).unwrap(), *text);
        }
        let usage = Command::new(sdk.join(BUILD)).arg("--help").output().unwrap();
        assert!(usage.status.success());
    }

    #[test]
    fn a_path_that_is_not_there_is_said_so() {
        let failure = module(Path::new("/nowhere/f.wasm"), &Progress::new(false)).unwrap_err();
        assert!(failure.message.contains("/nowhere/f.wasm"));
    }
}
