//! What the threads of a cell say to each other: a bounded inbox for each worker.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use faaslet_ring::Waker;

use super::call::Answer;
use super::function::Function;
use super::worker::{Departure, Parent};
use faaslet_tier::Task;

/// Chained calls that wait in the inbox of one worker.
pub const MAX_DEPARTURES: usize = 1024;

/// Something for a worker to do.
pub enum Post {
    /// Serve this function.
    Add(Arc<Function>),
    /// Serve it no longer.
    Remove(u32),
    /// Run a chained call of another worker.
    Run(Departure),
    /// A turn of this function's is yours: begin a call, or pass it on.
    Turn(Arc<Function>),
    /// A chained call of yours ended.
    Done(Parent, Answer),
    /// A call of yours may have what it waits for.
    Wake(Task),
}

/// The inbox of one worker.
pub struct Inbox {
    posts: Mutex<VecDeque<Post>>,
    /// How many `posts` holds, for who only looks: a worker that spins must not keep the lock from
    /// who posts.
    ///
    /// Invariant: changed under the lock, and raised before the worker is woken.
    waiting: AtomicUsize,
    /// Faaslets that are ready on this worker, as it told last.
    load: AtomicUsize,
    waker: Waker,
}

impl Inbox {
    /// An empty inbox; a post wakes the worker by `waker`.
    pub fn new(waker: Waker) -> Self {
        Self {
            posts: Mutex::default(),
            waiting: AtomicUsize::new(0),
            load: AtomicUsize::new(0),
            waker,
        }
    }

    /// Posts, in order, and wakes the worker. Gives a chained call back when there is no room;
    /// everything else is bounded by who sends it (the monitor's orders, turns that this worker
    /// stood in line for, answers to calls that were taken, and wakes of calls that wait, a few
    /// for each).
    pub fn post(&self, post: Post) -> Result<(), Departure> {
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Post::Run(departure) = post {
            if posts.len() >= MAX_DEPARTURES {
                return Err(departure);
            }
            posts.push_back(Post::Run(departure));
        } else {
            posts.push_back(post);
        }
        self.waiting.store(posts.len(), Ordering::Release);
        drop(posts);
        self.waker.wake();
        Ok(())
    }

    /// The oldest post.
    pub fn take(&self) -> Option<Post> {
        if !self.waiting() {
            return None;
        }
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        let post = posts.pop_front();
        self.waiting.store(posts.len(), Ordering::Release);
        post
    }

    /// Whether a post waits.
    pub fn waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Tells others how many Faaslets are ready on this worker.
    pub fn set_load(&self, load: usize) {
        self.load.store(load, Ordering::Relaxed);
    }

    /// How much there is to do on this worker: what is ready, and what waits here.
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed) + self.waiting.load(Ordering::Relaxed)
    }
}
