//! `state export` and `import`: the durable values of a tenant in one file.
//!
//! ```text
//! "faaslet-state-1\n"
//! repeated:  length of the head, u32 │ head, JSON as of `StateInfo` │ its `len` bytes
//!            │ BLAKE3 of head and bytes, 32 bytes
//! end:       0, u32 │ number of values, u64 │ BLAKE3 of all checksums before, 32 bytes
//! ```
//!
//! Numbers are little-endian. Each value is of one version; different values need not be of one
//! moment. A file is read to its end and checked before any of it is taken.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use ureq::http::Method;

use super::super::Context;
use super::super::client::{Client, Right, escaped};
use super::super::exit::{Code, Failure};
use super::put::{PART_BYTES, Spec, append, part};
use super::{all, path, progress};
use crate::api::StateInfo;

const MAGIC: &[u8] = b"faaslet-state-1\n";
/// Longest head of a value.
const MAX_HEAD_BYTES: u32 = 64 << 10;
const SUM_BYTES: usize = blake3::OUT_LEN;

/// Write values to a file.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// The file, which must not be there yet
    file: PathBuf,
    /// Only values whose keys begin with this
    #[arg(long, default_value = "")]
    prefix: String,
    /// Values in memory too
    #[arg(long)]
    all: bool,
}

/// Take values from a file.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// The file
    file: PathBuf,
    /// Values that are there give way
    #[arg(long)]
    replace: bool,
    /// Only check the file
    #[arg(long)]
    check: bool,
}

impl Export {
    pub fn run(&self, context: &Context) -> Result<(), Failure> {
        let client = context.target.http(Right::Tenant)?;
        let values = all(&client, &self.prefix)?;
        let wanted = |value: &&StateInfo| !value.lost && (value.durable || self.all);
        let values: Vec<&StateInfo> = values.iter().filter(wanted).collect();
        let bytes = Archive::make(&self.file, |archive| fill(archive, &client, &values))?;
        let count = values.len();
        context.output.show(&json!({ "values": count, "bytes": bytes }), || {
            format!("{count} values, {bytes} bytes, in {}", self.file.display())
        })
    }
}

/// A file of values that is being written.
pub(super) struct Archive<'f> {
    to: BufWriter<&'f File>,
    sums: blake3::Hasher,
    count: u64,
    bytes: u64,
}

impl Archive<'_> {
    /// A file, which must not be there yet, with what `fill` puts into it: whole, or not there. The
    /// bytes of all values.
    pub(super) fn make(
        path: &Path,
        fill: impl FnOnce(&mut Archive<'_>) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let new = path.with_extension("partial");
        let failed = |error| Failure::local(format!("cannot write {}", path.display()), error);
        if path.exists() {
            return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
        }
        let file = File::create(&new).map_err(failed)?;
        let to = BufWriter::new(&file);
        let mut archive = Archive { to, sums: blake3::Hasher::new(), count: 0, bytes: 0 };
        let written = archive.write(MAGIC).and_then(|()| fill(&mut archive));
        written.and_then(|()| archive.end()).inspect_err(|_| {
            // What is left of it is of no use, and says so by its name.
            let _ = fs::remove_file(&new);
        })?;
        let bytes = archive.bytes;
        drop(archive);
        file.sync_all().and_then(|()| fs::rename(&new, path)).map_err(failed)?;
        Ok(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.to.write_all(bytes);
        written.map_err(|error| Failure::local("cannot write the values", error))
    }

    /// Puts a value into it, whose bytes `next` gives part by part; more than its length is left
    /// aside.
    pub(super) fn value(
        &mut self,
        value: &StateInfo,
        mut next: impl FnMut() -> Result<Vec<u8>, Failure>,
    ) -> Result<(), Failure> {
        let head = serde_json::to_vec(value)
            .map_err(|error| Failure::local("cannot write a head", error))?;
        let mut sum = blake3::Hasher::new();
        sum.update(&head);
        self.write(&(head.len() as u32).to_le_bytes())?;
        self.write(&head)?;
        let mut left = value.len;
        while left > 0 {
            let part = next()?;
            if part.is_empty() {
                let what = format!("the value {} ended early; try again", value.key);
                return Err(Failure::new(Code::Lost, what));
            }
            let part = &part[..part.len().min(left as usize)];
            sum.update(part);
            self.write(part)?;
            left -= part.len() as u64;
            self.bytes += part.len() as u64;
        }
        let sum = sum.finalize();
        self.sums.update(sum.as_bytes());
        self.count += 1;
        self.write(sum.as_bytes())
    }

    fn end(&mut self) -> Result<(), Failure> {
        let (count, sum) = (self.count.to_le_bytes(), self.sums.finalize());
        self.write(&0_u32.to_le_bytes())?;
        self.write(&count)?;
        self.write(sum.as_bytes())?;
        self.to.flush().map_err(|error| Failure::local("cannot write the values", error))
    }
}

fn fill(archive: &mut Archive<'_>, client: &Client, values: &[&StateInfo]) -> Result<(), Failure> {
    let bar = progress(values.iter().map(|value| value.len).sum());
    for value in values {
        let query = format!("?version={}", escaped(&value.version));
        let response = client.send(Method::GET, &(path(&value.key) + &query), &[], &[])?;
        let mut body = response.into_body().into_reader();
        archive.value(value, || {
            let read = part(&mut body, PART_BYTES)?;
            bar.inc(read.len() as u64);
            Ok(read)
        })?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// A file of values, read from its beginning.
struct Values<R> {
    from: R,
    path: PathBuf,
    sums: blake3::Hasher,
    count: u64,
}

impl<R: Read> Values<R> {
    fn begin(from: R, path: &Path) -> Result<Self, Failure> {
        let mut values =
            Self { from, path: path.to_owned(), sums: blake3::Hasher::new(), count: 0 };
        let mut magic = [0; MAGIC.len()];
        values.exactly(&mut magic)?;
        if magic == *MAGIC { Ok(values) } else { Err(values.damaged("no such file of values")) }
    }

    fn damaged(&self, what: &str) -> Failure {
        let what = format!(
            "expected values as `faaslet state export` writes them in {}; found {what} after {} \
             values",
            self.path.display(),
            self.count
        );
        Failure::new(Code::Function, what)
    }

    fn exactly(&mut self, into: &mut [u8]) -> Result<(), Failure> {
        self.from.read_exact(into).map_err(|_| self.damaged("an early end"))
    }

    /// The next value; its parts go to `take`.
    fn next(
        &mut self,
        mut take: impl FnMut(&StateInfo, &[u8]) -> Result<(), Failure>,
    ) -> Result<Option<StateInfo>, Failure> {
        let mut number = [0; 4];
        self.exactly(&mut number)?;
        let len = u32::from_le_bytes(number);
        if len == 0 {
            return self.end().map(|()| None);
        }
        if len > MAX_HEAD_BYTES {
            return Err(self.damaged("a head that is too long"));
        }
        let mut head = vec![0; len as usize];
        self.exactly(&mut head)?;
        let info: StateInfo =
            serde_json::from_slice(&head).map_err(|_| self.damaged("a head that is none"))?;
        let mut sum = blake3::Hasher::new();
        sum.update(&head);
        let mut left = info.len;
        while left > 0 {
            let mut part = vec![0; PART_BYTES.min(left as usize)];
            self.exactly(&mut part)?;
            sum.update(&part);
            take(&info, &part)?;
            left -= part.len() as u64;
        }
        let mut found = [0; SUM_BYTES];
        self.exactly(&mut found)?;
        if sum.finalize() != found {
            return Err(self.damaged(&format!("another checksum of {}", info.key)));
        }
        self.sums.update(&found);
        self.count += 1;
        Ok(Some(info))
    }

    fn end(&mut self) -> Result<(), Failure> {
        let (mut count, mut sum) = ([0; 8], [0; SUM_BYTES]);
        self.exactly(&mut count)?;
        self.exactly(&mut sum)?;
        if u64::from_le_bytes(count) == self.count && self.sums.finalize() == sum {
            Ok(())
        } else {
            Err(self.damaged("another end"))
        }
    }
}

impl Import {
    pub fn run(&self, context: &Context) -> Result<(), Failure> {
        let failed = |error| Failure::local(format!("cannot read {}", self.file.display()), error);
        let mut file = File::open(&self.file).map_err(failed)?;
        let mut keys = Vec::new();
        let mut values = Values::begin(BufReader::new(&file), &self.file)?;
        while let Some(info) = values.next(|_, _| Ok(()))? {
            keys.push(info.key);
        }
        if !self.check {
            let client = context.target.http(Right::Tenant)?;
            self.make_room(&client, &keys)?;
            file.seek(SeekFrom::Start(0)).map_err(failed)?;
            take(&client, Values::begin(BufReader::new(&file), &self.file)?)?;
        }
        let (count, done) = (keys.len(), if self.check { "whole" } else { "taken" });
        context.output.show(&json!({ "values": count }), || format!("{count} values, all {done}"))
    }

    /// Fails before anything is changed, or deletes what is in the way.
    fn make_room(&self, client: &Client, keys: &[String]) -> Result<(), Failure> {
        let there = all(client, "")?;
        let in_way: Vec<&StateInfo> =
            there.iter().filter(|value| keys.contains(&value.key)).collect();
        if let (Some(first), false) = (in_way.first(), self.replace) {
            let what = format!(
                "{} of the {} values are there, {} for one; delete them, or use --replace",
                in_way.len(),
                keys.len(),
                first.key
            );
            return Err(Failure::new(Code::Refused, what));
        }
        for value in in_way {
            client.send(Method::DELETE, &path(&value.key), &[], &[])?;
        }
        Ok(())
    }
}

/// Makes each value, and appends its parts.
fn take<R: Read>(client: &Client, mut values: Values<R>) -> Result<(), Failure> {
    let mut made: Option<String> = None;
    let make = |info: &StateInfo| {
        let path = path(&info.key) + &Spec::of(info).query();
        let absent = [("if-none-match", "*")];
        client.send_for::<StateInfo>(Method::PUT, &path, &absent, &[]).map(|_| ())
    };
    while let Some(info) = values.next(|info, part| {
        if made.as_ref() != Some(&info.key) {
            make(info)?;
            made = Some(info.key.clone());
        }
        append(client, &info.key, &Spec::of(info), part).map(|_| ())
    })? {
        if info.len == 0 {
            make(&info)?;
        }
    }
    Ok(())
}
