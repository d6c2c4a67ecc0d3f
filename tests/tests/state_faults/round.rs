//! A round: clients work while faults happen, and what they saw is judged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use faaslet_tests::{
    Host, Monitor, Relay, Rule, Site, eventually, eventually_some, halt_process, pause,
    resume_process,
};

use super::client::Client;
use super::hosts::{PORT, Seat, seats};
use super::log::Log;
use crate::history::Op;

/// Of each host.
const CLIENTS: u64 = 2;
/// Operations before a monitor has its accident, after it, and in all.
const BEFORE: usize = 15;
const AFTER: usize = 25;
const OPERATIONS: usize = 60;
const NUMBERS: usize = 2;
/// For some operations: leases run out meanwhile, and what is sent again waits longer each time.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at how many were done.
const LOOK: Duration = Duration::from_millis(5);

/// What happens to a monitor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Blow {
    /// The owner: `kill -9`, and a new start.
    Kill,
    /// The owner is halted for so long.
    Halt(Duration),
    /// The other is, and what its functions hold runs out.
    HaltOther(Duration),
}

/// What happens in a round.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// To datagrams between the hosts.
    pub(crate) rules: Vec<Rule>,
    pub(crate) blow: Option<Blow>,
}

/// Plays one; says so where this user may not have networks.
pub(crate) fn play(plan: &Plan, seed: u64) {
    let hosts = match Host::several(2) {
        Ok(hosts) => hosts,
        Err(why) => return println!("not tested: {why}"),
    };
    let hosts = [&hosts[0], &hosts[1]];
    let sites = [Site::new(), Site::new()];
    let relay = Relay::between(hosts, PORT, &plan.rules, seed);
    let seats = seats(hosts, [&sites[0], &sites[1]]);
    let monitors = seats.each_ref().map(Seat::up);
    for (seat, monitor) in seats.iter().zip(&monitors) {
        seat.deploy(monitor);
    }
    let keys = seats[1].numbers(&monitors[1], NUMBERS);
    let [one, two] = monitors;
    let log = Log::default();
    let happen = || happen(plan, &seats[1], two, one.pid(), &log);
    let two = while_clients_work(&seats, &keys, &log, seed, happen);
    for (seat, number) in seats.iter().zip(2 * CLIENTS..) {
        let client = Client::new(seat, &log, &keys, number, seed);
        seat.host.within(|| finish(client, &log, &keys));
    }
    let (overlap, said) = log.judge();
    let (passed, hit) = relay.counts();
    println!("{plan:?}: {said}; {passed} datagrams passed, rules hit {hit}");
    assert!(passed > 0 && (plan.rules.is_empty() || hit > 0), "the network had no faults");
    assert!(overlap > OPERATIONS / 4, "the clients hardly met");
    one.stop();
    two.stop();
}

/// When all is over nothing is in the way on a host: every number can be locked and read.
fn finish(mut client: Client<'_>, log: &Log, keys: &[String]) {
    for key in keys {
        eventually("the lock is free", || {
            let to = client.unique();
            client.swap_locked(key, log.tick(), to)
        });
        let begun = log.tick();
        let (found, _) = eventually_some("the owner answers", || client.read(key));
        log.record(key, Op::Read(found), begun, true);
    }
}

/// Ends the clients, also when what happens panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets clients of both hosts work until `happen` returns.
fn while_clients_work<T>(
    seats: &[Seat<'_>; 2],
    keys: &[String],
    log: &Log,
    seed: u64,
    happen: impl FnOnce() -> T,
) -> T {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = End(&is_over);
        for number in 0..2 * CLIENTS {
            let seat = &seats[number as usize % 2];
            let client = Client::new(seat, log, keys, number, seed);
            let is_over = || is_over.load(Ordering::Relaxed);
            scope.spawn(move || seat.host.within(|| client.work(is_over)));
        }
        happen()
    })
}

/// A monitor has its accident in the midst of the work.
fn happen<'a>(
    plan: &Plan,
    seat: &Seat<'a>,
    owner: Monitor<'a>,
    other: u32,
    log: &Log,
) -> Monitor<'a> {
    let halt = |pid: u32, time: Duration| {
        halt_process(pid);
        pause(time);
        resume_process(pid);
    };
    wait_for(log, BEFORE);
    let before = log.done();
    let owner = match plan.blow {
        Some(Blow::Kill) => {
            owner.kill();
            seat.up()
        }
        Some(Blow::Halt(time)) => {
            halt(owner.pid(), time);
            owner
        }
        Some(Blow::HaltOther(time)) => {
            halt(other, time);
            owner
        }
        None => owner,
    };
    wait_for(log, OPERATIONS.max(before + AFTER));
    owner
}

/// Waits until so much was done.
fn wait_for(log: &Log, operations: usize) {
    let until = Instant::now() + PATIENCE;
    while log.done() < operations {
        assert!(Instant::now() < until, "expected {operations} operations; {} done", log.done());
        pause(LOOK);
    }
}
