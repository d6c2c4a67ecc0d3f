//! The monitor's end in a tokio runtime, as the crate's documentation says to use it: the bell
//! registered, the producer behind a mutex, several tasks that send.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use faaslet_ring::{Bell, Capacity, CellEnd, Consumer, MonitorEnd, Producer, Woken};
use tokio::sync::Notify;

const SENDERS: u64 = 4;
const MESSAGES: u64 = 20_000;
/// A wake-up that takes this long has been lost.
const LOST: Duration = Duration::from_secs(30);

/// Answers each message with itself.
fn cell(mut end: CellEnd) {
    let mut message = Vec::new();
    let mut seen = 0;
    while seen < SENDERS * MESSAGES || end.backlog_bytes() > 0 {
        while end.try_recv(&mut message).unwrap() {
            end.push(&[&message]).unwrap();
            seen += 1;
        }
        if seen < SENDERS * MESSAGES || end.backlog_bytes() > 0 {
            assert_ne!(end.wait(Some(LOST), || false).unwrap(), Woken::Timeout, "lost a wake-up");
        }
    }
    end.flush();
}

/// Sends its messages, at most a hundred ahead of the answers.
async fn send(sender: u64, to_cell: Arc<Mutex<Producer>>, answered: Arc<Notify>) {
    for n in 0..MESSAGES {
        let message = (sender * MESSAGES + n).to_le_bytes();
        to_cell.lock().unwrap().send(&[&message, b"payload"]).unwrap();
        if n % 100 == 99 {
            answered.notified().await;
        }
    }
}

/// Takes all answers; each sender's come in order.
async fn receive(
    mut from_cell: Consumer,
    bell: Bell,
    to_cell: Arc<Mutex<Producer>>,
    answered: Vec<Arc<Notify>>,
) {
    let bell = bell.into_async().unwrap();
    let mut message = Vec::new();
    let mut seen = vec![0; SENDERS as usize];
    while seen.iter().sum::<u64>() < SENDERS * MESSAGES {
        while from_cell.try_recv(&mut message).unwrap() {
            let number = u64::from_le_bytes(message[..8].try_into().unwrap());
            let sender = (number / MESSAGES) as usize;
            assert_eq!(number % MESSAGES, seen[sender]);
            seen[sender] += 1;
            if seen[sender].is_multiple_of(100) {
                answered[sender].notify_one();
            }
        }
        to_cell.lock().unwrap().pump().unwrap();
        if from_cell.arm().unwrap() && seen.iter().sum::<u64>() < SENDERS * MESSAGES {
            tokio::time::timeout(LOST, bell.rung()).await.unwrap().unwrap();
        }
    }
}

#[test]
fn several_tasks_talk_to_a_cell() {
    let (monitor, fds) = MonitorEnd::create(Capacity::new(4096).unwrap()).unwrap();
    let end = CellEnd::attach(fds).unwrap();
    let thread = thread::spawn(move || cell(end));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let MonitorEnd { to_cell, from_cell, bell } = monitor;
        let to_cell = Arc::new(Mutex::new(to_cell));
        let answered: Vec<_> = (0..SENDERS).map(|_| Arc::new(Notify::new())).collect();
        let senders: Vec<_> = (0..SENDERS)
            .map(|n| tokio::spawn(send(n, to_cell.clone(), answered[n as usize].clone())))
            .collect();
        receive(from_cell, bell, to_cell, answered).await;
        for sender in senders {
            sender.await.unwrap();
        }
    });
    thread.join().unwrap();
}
