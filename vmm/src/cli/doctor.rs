//! `doctor`: what this machine has and lacks, what each missing thing costs, and what mends it.

mod limits;
mod state;
mod wake;

use std::path::Path;
use std::process::ExitCode;

use faaslet_snapshot::board::Faults;
use faaslet_snapshot::dirty::{Pagemap, PagemapMethod};
use serde::Serialize;

use super::Context;
use super::exit::{Code, Failure};
use super::output::write_all;

/// One thing that a machine has or lacks.
#[derive(Debug, Serialize)]
struct Check {
    /// What it is.
    name: String,
    /// Whether it is as it should be.
    good: bool,
    /// What was found.
    found: String,
    /// What is lost without it.
    loss: String,
    /// What mends it.
    mend: String,
}

impl Check {
    fn new(name: &str, state: Result<String, String>, loss: &str, mend: &str) -> Self {
        let good = state.is_ok();
        let found = state.unwrap_or_else(|why| why);
        let (name, loss, mend) = (name.to_owned(), loss.to_owned(), mend.to_owned());
        Self { name, good, found, loss, mend }
    }
}

/// A loss that leaves nothing to run in.
const NO_CELL: &str = "no cell starts";

pub fn run(context: &Context) -> Result<ExitCode, Failure> {
    let folder = context.target.folder()?;
    let mut checks = vec![kernel()];
    checks.extend(faaslet_sandbox::facts::detect().into_iter().map(|fact| Check {
        name: fact.name,
        good: fact.present,
        found: fact.detail,
        loss: fact.loss.to_owned(),
        mend: fact.mend.to_owned(),
    }));
    checks.extend([memfd(), pagemap(), huge_pages(), userfaultfd()]);
    checks.extend(limits::checks(&folder));
    checks.extend(state::checks(&folder));
    checks.extend([wake::check(), toolchain()]);
    if context.output.json {
        context.output.show(&checks, String::new)?;
    } else {
        write_all(&text(&checks))?;
    }
    let fatal = checks.iter().any(|check| !check.good && check.loss == NO_CELL);
    Ok(if fatal { ExitCode::from(Code::Local as u8) } else { ExitCode::SUCCESS })
}

fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let mark = if check.good { "ok" } else { "--" };
        text += format!("{mark} {:22} {}", check.name, check.found).trim_end();
        text.push('\n');
        if !check.good {
            text.extend(["      costs: ", &check.loss, "\n      mend:  ", &check.mend, "\n"]);
        }
    }
    let lacking = checks.iter().filter(|check| !check.good).count();
    match lacking {
        0 => text.push_str("this machine has everything\n"),
        1 => text.push_str("one thing is missing\n"),
        _ => text.extend([&*lacking.to_string(), " things are missing\n"]),
    }
    text
}

/// A small file of the kernel's.
fn read(path: &str) -> Result<String, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    Ok(text.trim().to_owned())
}

fn kernel() -> Check {
    let release = read("/proc/sys/kernel/osrelease");
    let version = |release: &str| {
        let mut parts = release.split(['.', '-']).map(str::parse::<u32>);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    let state = release.and_then(|release| match version(&release) {
        Some(found) if found >= (5, 11) => Ok(format!("Linux {release}")),
        _ => Err(format!("Linux {release}, expected 5.11 or newer")),
    });
    Check::new("kernel", state, NO_CELL, "boot a newer kernel; 6.7 or newer is best")
}

fn memfd() -> Check {
    let options = memfd::MemfdOptions::default().allow_sealing(true).close_on_exec(true);
    let seals = [memfd::FileSeal::SealGrow, memfd::FileSeal::SealShrink];
    let state = options.create("faaslet-doctor").and_then(|file| file.add_seals(&seals));
    let state = state.map(|()| "with seals".to_owned()).map_err(|error| error.to_string());
    Check::new("memfd", state, NO_CELL, "allow memfd_create (vm.memfd_noexec below 2)")
}

fn pagemap() -> Check {
    let state = match Pagemap::open().method() {
        PagemapMethod::Scan => Ok("PAGEMAP_SCAN".to_owned()),
        PagemapMethod::Entries => Err("entries of /proc/self/pagemap".to_owned()),
        PagemapMethod::Blind => Err("none: /proc/self/pagemap cannot be read".to_owned()),
    };
    Check::new(
        "page map",
        state,
        "finding the pages that a call wrote takes longer, or every page is thrown away instead",
        "use Linux 6.7 or newer, and let the monitor read /proc/self/pagemap",
    )
}

fn huge_pages() -> Check {
    let state = match Pagemap::open().only_faults() {
        true => Ok("kept out of cells".to_owned()),
        false => Err("cells cannot be kept from them".to_owned()),
    };
    Check::new(
        "huge pages",
        state,
        "which pages a call wrote is asked of the kernel after each one: 1 µs and more a call",
        "allow prctl(PR_SET_THP_DISABLE), and let the monitor read /proc/self/pagemap",
    )
}

fn userfaultfd() -> Check {
    let state = match Faults::open(1) {
        Ok(_) => Ok("there".to_owned()),
        Err(error) => Err(format!("cannot be had: {error}")),
    };
    Check::new(
        "userfaultfd",
        state,
        "an image is fetched whole before its first call",
        "use Linux 5.11 or newer with CONFIG_USERFAULTFD, and allow userfaultfd",
    )
}

fn toolchain() -> Check {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty());
    let home = || Some(Path::new(&std::env::var_os("HOME")?).join(".cache"));
    let cache = cache.map(Into::into).or_else(home).unwrap_or_default();
    let folder =
        std::env::var_os("FAASLET_TOOLCHAIN").map_or(cache.join("faaslet/toolchain"), Into::into);
    let tool = folder.join("bin/guest-cc");
    let state = match tool.exists() {
        true => Ok(folder.display().to_string()),
        false => Err(format!("{} is missing", tool.display())),
    };
    let mend = super::build::sdk().map_or("see guest-sdk/README.md".to_owned(), |sdk| {
        sdk.join("setup/guests.sh").display().to_string()
    });
    let loss = "`deploy` takes modules, and builds no project folders";
    Check::new("guest toolchain", state, loss, &mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_shown_with_its_cost_and_what_mends_it() {
        let checks = [
            Check::new("a", Ok("fine".into()), "x", "y"),
            Check::new("b", Err("gone".into()), "speed", "do that"),
        ];
        let text = text(&checks);
        assert!(text.contains("-- b") && text.contains("speed") && text.contains("do that"));
        assert!(!text.contains('x') && text.ends_with("one thing is missing\n"), "{text}");
    }
}
