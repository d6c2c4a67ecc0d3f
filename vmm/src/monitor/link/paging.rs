//! The pagers of a cell: which of its functions have an image that is not whole, and the threads
//! that answer the faults of their forks.
//!
//! A function's number is its image's on the board. Threads are there from the first such function
//! on, one for each worker that runs their forks, until the cell ends.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};

use faaslet_snapshot::board::Board;
use faaslet_snapshot::lazy::LazyImage;
use faaslet_snapshot::pager::{Cell, FAULT_LIMIT, Lost, Pager};

use super::CellLink;
use crate::monitor::lock::{lock, read, write};

/// See the module.
pub(in crate::monitor) struct Paging {
    cell: Arc<OfCell>,
    /// Workers from this one on are for such functions.
    plain: usize,
    filling: RwLock<HashSet<u32>>,
    /// How many `filling` holds, for who only looks.
    count: AtomicUsize,
    board: Arc<Board>,
    /// Invariant: empty once the pagers run.
    faults: Mutex<Vec<OwnedFd>>,
    pagers: Mutex<Vec<Pager>>,
    can: bool,
}

/// What the pagers know of the cell.
struct OfCell {
    link: Weak<CellLink>,
    /// By function; of one that has become whole, too: forks that were made before still fault.
    images: RwLock<HashMap<u32, Arc<LazyImage>>>,
}

impl Paging {
    pub(super) fn new(
        link: &Weak<CellLink>,
        plain: usize,
        faults: Vec<OwnedFd>,
        board: Board,
    ) -> Self {
        Self {
            cell: Arc::new(OfCell { link: Weak::clone(link), images: RwLock::default() }),
            plain,
            filling: RwLock::default(),
            count: AtomicUsize::new(0),
            board: Arc::new(board),
            can: !faults.is_empty(),
            faults: Mutex::new(faults),
            pagers: Mutex::default(),
        }
    }

    /// Whether forks of images that are not whole can run in this cell.
    pub(in crate::monitor) fn can(&self) -> bool {
        self.can
    }

    /// Answers the faults of a function's forks from now on.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(in crate::monitor) fn add(
        &self,
        function: u32,
        image: &Arc<LazyImage>,
    ) -> std::io::Result<()> {
        let mut pagers = lock(&self.pagers);
        for (line, faults) in lock(&self.faults).drain(..).enumerate() {
            let (board, cell) = (Arc::clone(&self.board), Arc::clone(&self.cell));
            pagers.push(Pager::start(faults, board, line, cell, FAULT_LIMIT)?);
        }
        drop(pagers);
        write(&self.cell.images).insert(function, Arc::clone(image));
        self.set(function, true);
        Ok(())
    }

    /// The function's image is whole, and the cell knows: its calls go to the plain workers. Faults
    /// of forks that were made before are answered as ever.
    pub(in crate::monitor) fn whole(&self, function: u32) {
        self.set(function, false);
    }

    fn set(&self, function: u32, is: bool) {
        let mut filling = write(&self.filling);
        if is {
            filling.insert(function);
        } else {
            filling.remove(&function);
        }
        self.count.store(filling.len(), Ordering::SeqCst);
    }

    fn is_filling(&self, function: u32) -> bool {
        self.count.load(Ordering::SeqCst) > 0 && read(&self.filling).contains(&function)
    }

    /// The workers that run calls of a function, of so many.
    pub(super) fn pool(&self, function: u32, workers: usize) -> Range<usize> {
        if self.is_filling(function) { self.plain..workers } else { 0..self.plain }
    }

    /// The cell has ended.
    pub(super) fn end(&self) {
        let pagers = std::mem::take(&mut *lock(&self.pagers));
        // A pager may wait for a source, and this thread has other things to do.
        std::thread::spawn(move || drop(pagers));
    }
}

impl Cell for OfCell {
    fn image(&self, number: u64) -> Option<Arc<LazyImage>> {
        read(&self.images).get(&(number as u32)).cloned()
    }

    fn lost(&self, why: &Lost) {
        let tenant = self.link.upgrade().map(|link| link.tenant().to_owned());
        tracing::error!(tenant, %why, "a page cannot be had; the call that needs it is told so");
    }

    fn end(&self, why: &Lost) {
        let Some(link) = self.link.upgrade() else { return };
        let tenant = link.tenant();
        tracing::error!(tenant, %why, "a page cannot be had, and the cell ends");
        link.kill();
    }
}
