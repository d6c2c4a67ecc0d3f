//! Images on their way here: who fetches them in the background, and what is done when they are
//! whole.
//!
//! ```text
//! load ─► Filling::begin ─► forks fault ─► pager ─┐
//!                  └─ background, likeliest first ┴─► LazyImage ─► whole ─► the cell is told
//! ```

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use faaslet_snapshot::image::{Head, ImageId};
use faaslet_snapshot::lazy::{BadChunk, Events, FileSource, LazyImage};
use faaslet_snapshot::memory::MemoryImageError;
use faaslet_snapshot::source::Source;
use tokio::sync::Notify;

use super::functions::{Deployed, ImageHere};
use super::link::CellLink;
use super::lock::lock;
use super::{Monitor, blocking};
use crate::control::Order;

/// Chunks that the background asks for at a time: a fault that needs one of them waits for no
/// more.
const CHUNKS_AT_ONCE: usize = 16;
/// How long a request of the background may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// When the background tries again after no source gave what it asked for.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The background pauses so long for every chunk, to leave the processor and the link to calls.
const PAUSE_A_CHUNK: Duration = Duration::from_micros(50);
/// The background begins so long after the image is handed out: what the first calls touch is
/// found out meanwhile, and comes first.
const BEGIN_AFTER: Duration = Duration::from_millis(100);

/// An image that is not whole on this host, and the task that makes it so.
pub struct Filling {
    image: Arc<LazyImage>,
    whole: Arc<Whole>,
    /// Chunks that calls are likely to touch, most likely first.
    likely: Vec<u32>,
}

/// Told when the last chunk is here.
struct Whole {
    is: AtomicBool,
    now: Notify,
}

impl Events for Whole {
    fn failed(&self, image: ImageId, source: &str, why: &str) {
        tracing::warn!(%image, source, why, "a source did not give what was asked of it");
    }

    fn left_out(&self, image: ImageId, source: &str, why: &BadChunk) {
        tracing::error!(%image, source, %why, "a source gave what is not the image's; it is left out");
    }

    fn whole(&self, _image: ImageId) {
        self.is.store(true, Ordering::SeqCst);
        self.now.notify_waiters();
    }
}

impl Filling {
    /// Begins to bring an image of which the head is here, in the background and as forks need
    /// it. Sources are asked in this order; chunks of `likely` are fetched first.
    ///
    /// # Errors
    /// When there is no memory file for it.
    pub fn begin(
        runtime: &tokio::runtime::Handle,
        head: Head,
        sources: Vec<Arc<dyn Source>>,
        likely: Vec<u32>,
    ) -> Result<Arc<Self>, MemoryImageError> {
        let whole = Arc::new(Whole { is: AtomicBool::new(false), now: Notify::new() });
        let image = LazyImage::new(head, sources, Arc::clone(&whole) as Arc<dyn Events>)?;
        let filling = Arc::new(Self { image, whole, likely });
        runtime.spawn(fill(Arc::downgrade(&filling)));
        Ok(filling)
    }

    /// The same, of an image whose file is on this host.
    ///
    /// # Errors
    /// When there is no memory file for it.
    pub fn from_file(
        runtime: &tokio::runtime::Handle,
        head: Head,
        file: File,
        likely: Vec<u32>,
    ) -> Result<Arc<Self>, MemoryImageError> {
        let source = Arc::new(FileSource::new(file, "the image's file"));
        Self::begin(runtime, head, vec![source], likely)
    }

    /// The image.
    pub fn image(&self) -> &Arc<LazyImage> {
        &self.image
    }

    /// What the background asks for next: all that is likely to be touched in one request, then
    /// a few chunks at a time.
    fn next(&self) -> Vec<u32> {
        let likely = self.image.absent_of(&self.likely);
        if likely.is_empty() { self.image.absent(CHUNKS_AT_ONCE) } else { likely }
    }

    /// Waits until it is whole.
    pub async fn wait_whole(&self) {
        loop {
            let now = self.whole.now.notified();
            if self.whole.is.load(Ordering::SeqCst) {
                return;
            }
            now.await;
        }
    }
}

/// Brings what is absent, for as long as anybody has the image.
async fn fill(filling: Weak<Filling>) {
    let known = filling.upgrade().is_some_and(|filling| !filling.likely.is_empty());
    if !known {
        tokio::time::sleep(BEGIN_AFTER).await;
    }
    while let Some(filling) = filling.upgrade() {
        let chunks = filling.next();
        if filling.whole.is.load(Ordering::SeqCst) {
            return;
        }
        let (image, count) = (Arc::clone(&filling.image), chunks.len() as u32);
        drop(filling);
        let deadline = Instant::now() + REQUEST_LIMIT;
        let fetched = blocking(move || image.fetch_ahead(&chunks, deadline)).await;
        match fetched {
            // Forks fetch what is left.
            Ok(Ok(())) if count == 0 => tokio::time::sleep(PAUSE_A_CHUNK * 16).await,
            Ok(Ok(())) => tokio::time::sleep(PAUSE_A_CHUNK * count).await,
            Ok(Err(error)) => {
                tracing::warn!(%error, "an image is not whole yet; its sources are asked again");
                tokio::time::sleep(RETRY_AFTER).await;
            }
            Err(_) => return,
        }
    }
}

impl Monitor {
    /// Once an image is whole: later cells are given it as such, and the cell that has it sends its
    /// calls to the plain workers.
    pub(super) fn tell_when_whole(
        self: &Arc<Self>,
        deployed: &Arc<Deployed>,
        filling: Arc<Filling>,
        link: &Arc<CellLink>,
        number: u32,
    ) {
        let (deployed, link) = (Arc::downgrade(deployed), Arc::downgrade(link));
        let monitor = Arc::downgrade(self);
        self.runtime.spawn(async move {
            filling.wait_whole().await;
            let Some(image) = filling.image.whole() else { return };
            if let Some(monitor) = monitor.upgrade() {
                let (touched, image) = (filling.image.touched(), Arc::clone(&image));
                let keep = move || monitor.keep_working_set(image.head(), &touched);
                let _ = blocking(keep).await;
            }
            if let Some(deployed) = deployed.upgrade() {
                *lock(&deployed.image) = Some(ImageHere::Whole(image));
            }
            let Some(link) = link.upgrade() else { return };
            match link.order(&Order::Whole { number }, &[]).await {
                Ok(()) => link.paging().whole(number),
                Err(error) => tracing::warn!(%error, "a cell was not told that an image is whole"),
            }
        });
    }
}
