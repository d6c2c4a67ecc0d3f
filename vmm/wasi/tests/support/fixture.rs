//! The folders that a guest is run over, and what is in them afterwards.

use std::fmt::Write as _;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

/// Two granted folders with a file beside them that no guest may reach.
#[derive(Debug)]
pub(crate) struct Fixture(TempDir);

/// Time of change of every file that the guest finds.
const CHANGED_UNIX_S: u64 = 1_100_000_000;

impl Fixture {
    /// Makes the folders.
    pub(crate) fn new() -> Self {
        let fixture = Self(tempfile::tempdir().expect("a temporary folder"));
        let data = fixture.data();
        for folder in ["dir/deep", "empty", "many"] {
            fs::create_dir_all(data.join(folder)).expect("a folder");
        }
        fs::create_dir(fixture.other()).expect("a folder");
        fixture.file("outside.txt", "nobody may read this");
        fixture.file("data/hello.txt", "hello, world\n");
        fixture.file("data/dir/inner.txt", "inner\n");
        fixture.file("data/dir/deep/x", "x\n");
        for index in 0..40 {
            fixture.file(&format!("data/many/file-{index}"), &index.to_string());
        }
        for (target, link) in [
            ("hello.txt", "link"),
            ("dir", "dirlink"),
            ("nowhere", "dangling"),
            ("loop", "loop"),
            ("../outside.txt", "out"),
            ("..", "outdir"),
            ("/etc/passwd", "abs"),
            ("/etc", "absdir"),
        ] {
            symlink(target, data.join(link)).expect("a link");
        }
        fixture
    }

    /// The folder around the granted ones.
    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    /// Granted as `/data`.
    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.0.path().join("data")
    }

    /// Granted as `/other`.
    pub(crate) fn other(&self) -> std::path::PathBuf {
        self.0.path().join("other")
    }

    /// Everything there is: kind, size, times that were set, contents or target.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        describe(self.root(), self.root(), &mut text);
        text
    }

    fn file(&self, path: &str, contents: &str) {
        let path = self.root().join(path);
        fs::write(&path, contents).expect("a file");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(CHANGED_UNIX_S);
        let times = FileTimes::new().set_accessed(time).set_modified(time);
        File::options().write(true).open(&path).and_then(|it| it.set_times(times)).expect("times");
    }
}

fn describe(root: &Path, folder: &Path, text: &mut String) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        let meta = fs::symlink_metadata(&path).expect("metadata");
        let shown =
            path.strip_prefix(root).expect("beneath the root").to_string_lossy().into_owned();
        if meta.is_dir() {
            writeln!(text, "{shown:?} folder {}", set_time(&meta)).expect("text");
            describe(root, &path, text);
        } else if meta.is_symlink() {
            let target = fs::read_link(&path).expect("a link");
            writeln!(text, "{shown:?} link to {} {}", target.display(), set_time(&meta))
                .expect("text");
        } else {
            let contents = fs::read(&path).expect("contents");
            let hash = blake3::hash(&contents);
            let time = set_time(&meta);
            writeln!(text, "{shown:?} file of {} bytes {} {time}", meta.len(), hash.to_hex())
                .expect("text");
        }
    }
}

/// The time of change, if it was set; `now` if it came about.
fn set_time(meta: &fs::Metadata) -> String {
    let since = meta.modified().expect("a time").duration_since(SystemTime::UNIX_EPOCH);
    let since = since.expect("a time after 1970");
    if since.as_secs() > 1_600_000_000 { "now".into() } else { format!("{}", since.as_nanos()) }
}
