//! The table of descriptors, made when a call first needs it.
//!
//! What it is: which number stands for what. What it is not: the calls, or a way to open
//! anything ([`crate::host`] does that). Numbers are given out as Wasmtime does: the highest that
//! was given back, else one that was never used.

use std::fs::File;
use std::sync::Arc;

use cap_std::fs::Dir;

use crate::Wasi;
use crate::abi::{Errno, Filetype};
use crate::config::Config;
use crate::console::{Console, Stdio};
use crate::host;
use crate::listing::Listing;
use crate::memory::MAX_PATH_BYTES;
use crate::open_files::{Mode, OpenFile, OpenFiles, Opened};

/// What a number stands for.
#[derive(Debug)]
pub(crate) enum Descriptor {
    Stdio(Stdio),
    Folder {
        index: u32,
        listing: Option<Box<Listing>>,
    },
    Dir(OpenDir),
    File(OpenedFile),
    /// One of the image's descriptors, not reopened yet: its index in the list.
    Pending(u32),
    /// One of the image's descriptors that could not be reopened.
    Lost,
}

/// A directory that was opened beneath a folder.
#[derive(Debug)]
pub(crate) struct OpenDir {
    pub(crate) dir: Arc<Dir>,
    pub(crate) place: Place,
    pub(crate) mode: Mode,
    pub(crate) listing: Option<Box<Listing>>,
}

/// A file that was opened beneath a folder.
#[derive(Debug)]
pub(crate) struct OpenedFile {
    pub(crate) file: File,
    pub(crate) filetype: Filetype,
    pub(crate) place: Place,
    pub(crate) mode: Mode,
    pub(crate) offset: u64,
}

/// Where something was opened.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Index of the granted folder.
    pub(crate) folder: u32,
    /// Path beneath it: what the guest gave, after the path of the directory it gave it for.
    /// `None` when that is longer than a path may be.
    pub(crate) path: Option<String>,
    /// The folder is read-only.
    pub(crate) read_only: bool,
}

/// A directory to resolve a path from.
#[derive(Clone, Debug)]
pub(crate) struct From {
    pub(crate) dir: Arc<Dir>,
    pub(crate) read_only: bool,
}

/// What a number stands for, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Stdio(Stdio),
    Folder(u32),
    Dir,
    File,
}

/// Numbers and what they stand for.
#[derive(Debug)]
pub(crate) struct Table {
    slots: Vec<Option<Descriptor>>,
    open: usize,
    /// Invariant: `open <= max`, and `slots.len()` never exceeds it either.
    max: usize,
}

impl Table {
    /// What a Faaslet starts with: the image's descriptors, or the standard streams and folders.
    fn start(config: &Config) -> Self {
        let mut slots: Vec<Option<Descriptor>> = Vec::new();
        if let Some(files) = &config.open_files {
            slots.resize_with(files.numbers as usize, || None);
            for (index, file) in (0..).zip(&files.files) {
                slots[file.number as usize] = Some(restored(config, file, index));
            }
        } else {
            let streams = [Stdio::Input, Stdio::Output, Stdio::Error];
            slots.extend(streams.map(|stream| Some(Descriptor::Stdio(stream))));
            let folders = 0..config.preopens.len() as u32;
            slots.extend(folders.map(|index| Some(Descriptor::Folder { index, listing: None })));
        }
        let open = slots.iter().flatten().count();
        Self { slots, open, max: config.max_fds.max(open) }
    }

    /// How many numbers were ever given out.
    pub(crate) fn numbers(&self) -> u32 {
        self.slots.len() as u32
    }

    /// What is open, by rising number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Descriptor)> {
        (0..).zip(&self.slots).filter_map(|(fd, slot)| Some((fd, slot.as_ref()?)))
    }

    pub(crate) fn get_mut(&mut self, fd: u32) -> Option<&mut Descriptor> {
        self.slots.get_mut(fd as usize)?.as_mut()
    }

    /// Whether one more can be opened.
    pub(crate) fn has_room(&self) -> Result<(), Errno> {
        if self.open < self.max { Ok(()) } else { Err(Errno::Mfile) }
    }

    pub(crate) fn insert(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        self.has_room()?;
        let free = if self.open < self.slots.len() {
            self.slots.iter().rposition(Option::is_none)
        } else {
            None
        };
        let fd = free.unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[fd] = Some(descriptor);
        self.open += 1;
        Ok(fd as u32)
    }

    pub(crate) fn remove(&mut self, fd: u32) -> Result<Descriptor, Errno> {
        let removed = self.slots.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::Badf)?;
        self.open -= 1;
        Ok(removed)
    }

    /// Makes `to` stand for what `from` does, and gives `from` back.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Result<(), Errno> {
        let known = |fd| self.slots.get(fd as usize).is_some_and(Option::is_some);
        if !known(from) || !known(to) {
            return Err(Errno::Badf);
        }
        if from != to {
            self.slots[to as usize] = Some(self.remove(from)?);
        }
        Ok(())
    }
}

fn restored(config: &Config, file: &OpenFile, index: u32) -> Descriptor {
    match &file.what {
        Opened::Stdio(stream) => Descriptor::Stdio(*stream),
        Opened::Folder(guest_path) => match config.folder(guest_path) {
            Some((index, _)) => Descriptor::Folder { index, listing: None },
            None => Descriptor::Pending(index),
        },
        Opened::Beneath { .. } => Descriptor::Pending(index),
    }
}

impl<C: Console> Wasi<C> {
    /// Whether a call has needed the table of descriptors yet.
    #[must_use]
    pub fn has_file_table(&self) -> bool {
        self.table.is_some()
    }

    pub(crate) fn table(&mut self) -> &mut Table {
        self.table.get_or_insert_with(|| Box::new(Table::start(&self.config)))
    }

    /// What `fd` stands for. Neither makes the table nor opens anything for a standard stream or
    /// a folder that is where a fresh Faaslet has it.
    pub(crate) fn kind(&mut self, fd: u32) -> Result<Kind, Errno> {
        if self.table.is_none()
            && let Some(kind) = self.untouched(fd)
        {
            return kind.ok_or(Errno::Badf);
        }
        match self.table().get_mut(fd) {
            None | Some(Descriptor::Lost) => Err(Errno::Badf),
            Some(Descriptor::Stdio(stream)) => Ok(Kind::Stdio(*stream)),
            Some(Descriptor::Folder { index, .. }) => Ok(Kind::Folder(*index)),
            Some(Descriptor::Dir(_)) => Ok(Kind::Dir),
            Some(Descriptor::File(_)) => Ok(Kind::File),
            Some(Descriptor::Pending(index)) => {
                let index = *index;
                self.reopen(fd, index)
            }
        }
    }

    /// What `fd` stands for as long as there is no table; `None` if only the table knows.
    #[allow(clippy::option_option, reason = "unknown and known to be nothing are two things")]
    fn untouched(&self, fd: u32) -> Option<Option<Kind>> {
        let in_place = self.config.open_files.as_ref().is_none_or(OpenFiles::stdio_in_place);
        match fd {
            0..=2 if in_place => {
                let streams = [Stdio::Input, Stdio::Output, Stdio::Error];
                Some(Some(Kind::Stdio(streams[fd as usize])))
            }
            3.. if self.config.open_files.is_none() => {
                let index = fd - 3;
                let granted = (index as usize) < self.config.preopens.len();
                Some(granted.then_some(Kind::Folder(index)))
            }
            _ => None,
        }
    }

    /// Reopens one of the image's descriptors. One that cannot be stays lost, and the log says so.
    fn reopen(&mut self, fd: u32, index: u32) -> Result<Kind, Errno> {
        let config = Arc::clone(&self.config);
        let files = config.open_files.as_ref().map_or(&[][..], |files| files.files.as_slice());
        let what = files.get(index as usize).map(|file| &file.what);
        let (descriptor, outcome) = match what.ok_or(Errno::Badf).and_then(|what| {
            host::reopen(&config, what).inspect_err(|errno| self.note_lost(fd, what, *errno))
        }) {
            Ok(descriptor @ Descriptor::Dir(_)) => (descriptor, Ok(Kind::Dir)),
            Ok(descriptor) => (descriptor, Ok(Kind::File)),
            Err(_) => (Descriptor::Lost, Err(Errno::Badf)),
        };
        if let Some(slot) = self.table().get_mut(fd) {
            *slot = descriptor;
        }
        outcome
    }

    fn note_lost(&mut self, fd: u32, what: &Opened, errno: Errno) {
        let path = match what {
            Opened::Beneath { folder, path, .. } => format!("{folder}/{path}"),
            Opened::Folder(folder) => folder.clone(),
            Opened::Stdio(_) => String::new(),
        };
        self.console.note(&format!(
            "descriptor {fd} ({path}), open when the image was baked, could not be reopened \
             ({errno:?}): its calls answer EBADF; grant the folder and put the file back, or \
             close it before the initialisation ends"
        ));
    }

    /// The file behind `fd`; anything else is no descriptor of a file.
    pub(crate) fn file(&mut self, fd: u32) -> Result<&mut OpenedFile, Errno> {
        if self.kind(fd)? != Kind::File {
            return Err(Errno::Badf);
        }
        match self.table().get_mut(fd) {
            Some(Descriptor::File(file)) => Ok(file),
            _ => Err(Errno::Badf),
        }
    }

    /// The directory behind `fd`.
    pub(crate) fn dir(&mut self, fd: u32) -> Result<From, Errno> {
        match self.kind(fd)? {
            Kind::Folder(index) => {
                let folder = self.config.preopens.get(index as usize).ok_or(Errno::Badf)?;
                Ok(From { dir: Arc::clone(&folder.dir), read_only: folder.read_only })
            }
            Kind::Dir => match self.table().get_mut(fd) {
                Some(Descriptor::Dir(open)) => {
                    Ok(From { dir: Arc::clone(&open.dir), read_only: open.place.read_only })
                }
                _ => Err(Errno::Badf),
            },
            Kind::Stdio(_) | Kind::File => Err(Errno::Badf),
        }
    }

    /// Where `path`, resolved from `fd`, lies.
    pub(crate) fn place(&mut self, fd: u32, path: String) -> Result<Place, Errno> {
        match self.kind(fd)? {
            Kind::Folder(folder) => {
                let granted = self.config.preopens.get(folder as usize).ok_or(Errno::Badf)?;
                Ok(Place { folder, path: Some(path), read_only: granted.read_only })
            }
            Kind::Dir => match self.table().get_mut(fd) {
                Some(Descriptor::Dir(open)) => Ok(open.place.beneath(&path)),
                _ => Err(Errno::Badf),
            },
            Kind::Stdio(_) | Kind::File => Err(Errno::Badf),
        }
    }
}

impl Place {
    fn beneath(&self, path: &str) -> Self {
        let joined = self.path.as_ref().map(|base| format!("{base}/{path}"));
        let path = joined.filter(|joined| joined.len() < MAX_PATH_BYTES as usize);
        Self { path, ..*self }
    }
}

impl From {
    /// Refuses a change beneath a read-only folder.
    pub(crate) fn writable(&self) -> Result<(), Errno> {
        if self.read_only { Err(Errno::Perm) } else { Ok(()) }
    }
}
