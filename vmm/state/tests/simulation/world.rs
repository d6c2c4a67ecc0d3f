//! The whole of a simulation: clients, hosts, network and store on virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash};
use std::time::{Duration, Instant};

use faaslet_state::message::Reply;
use faaslet_state::owner::{Fault, Ticket};
use faaslet_state::session::{AttemptId, Routes, SessionError};
use faaslet_state::{Epoch, HostId, Route, Version, key::SHARDS};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::client::Client;
use crate::history::{Entry, Op};
use crate::network::Network;
use crate::seat::Seat;
use crate::store::Store;

pub const MARGIN: Duration = Duration::from_secs(1);
/// How long a silent session's locks hold.
pub const LEASE: Duration = Duration::from_secs(4);
/// How long a silent owner owns.
const OWNER_LEASE: Duration = Duration::from_secs(3);
pub const CLIENTS: usize = 5;
pub const OPS_PER_CLIENT: usize = 14;
const HOSTS: [HostId; 3] = [HostId(1), HostId(2), HostId(3)];
/// Of virtual time; a run that takes longer hangs.
const LONGEST_RUN: Duration = Duration::from_secs(3600);

/// What is known of the run, for the checks.
#[derive(Default)]
pub struct Log {
    /// What was pushed to the value that is deleted and made again: which one, and the number.
    pub remade: BTreeSet<(Version, u64)>,
    clock: u64,
    pub histories: BTreeMap<String, Vec<Entry>>,
    pub added: u64,
    pub maybe_added: u64,
    pub appended: Vec<(u64, Option<u64>)>,
    /// Key, token, whether it was told that the last writer did not give the lock back.
    grants: BTreeMap<&'static str, BTreeMap<Version, bool>>,
    lost: BTreeSet<(&'static str, Version)>,
    pub faults: usize,
    pub failures: BTreeMap<String, usize>,
    /// Invariant: of all that happened, in order.
    pub hash: DefaultHasher,
}

impl Log {
    pub fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    pub fn record(&mut self, key: &str, op: Op, begun: u64, answered: bool) {
        let ended = self.tick();
        let ended = answered.then_some(ended);
        (key, op, begun, ended).hash(&mut self.hash);
        self.histories.entry(key.to_owned()).or_default().push(Entry { op, begun, ended });
    }

    pub fn added(&mut self, answered: bool) {
        if answered { self.added += 1 } else { self.maybe_added += 1 }
    }

    pub fn appended(&mut self, number: u64, at: Option<u64>) {
        self.appended.push((number, at));
    }

    pub fn granted(&mut self, key: &'static str, fence: Version, abandoned: bool) {
        self.grants.entry(key).or_default().insert(fence, abandoned);
    }

    pub fn lost(&mut self, key: &'static str, fence: Version) {
        self.lost.insert((key, fence));
    }

    pub fn ended(&mut self, client: usize) {
        let at = self.tick();
        (client, at).hash(&mut self.hash);
    }

    pub fn failed(&mut self, error: &SessionError) {
        let name = format!("{error:?}");
        let name = name.split([' ', '{']).next().unwrap_or_default().to_owned();
        name.hash(&mut self.hash);
        *self.failures.entry(name).or_default() += 1;
    }

    /// Who got a lock of which the writer before had been deprived in the same epoch was told.
    pub fn check_abandoned(&self) -> Result<(), String> {
        for (key, grants) in &self.grants {
            let pairs = grants.iter().zip(grants.iter().skip(1));
            for ((fence, _), (next, told)) in pairs {
                if fence.epoch == next.epoch && self.lost.contains(&(*key, *fence)) && !told {
                    return Err(format!("{key}: {next} was not told that {fence} was abandoned"));
                }
            }
        }
        Ok(())
    }
}

enum Happens {
    Asked { client: usize, to: HostId, attempt: AttemptId, head: Vec<u8>, payload: Vec<u8> },
    Answered { client: usize, attempt: AttemptId, reply: Option<(Reply, Vec<u8>)> },
    Stored { host: HostId, epoch: u64, ticket: Ticket },
    Fault,
    Heal { client: usize },
    Start,
    TakeOver { epoch: u64 },
    Told { host: HostId },
    Learnt { client: usize, route: Route },
}

/// See the module's documentation.
pub struct World {
    pub now: Instant,
    begun: Instant,
    rng: StdRng,
    network: Network,
    pub clients: Vec<Client>,
    seats: BTreeMap<HostId, Seat>,
    /// The host that owns, or owned last.
    current: HostId,
    store: Store,
    events: BTreeMap<(Instant, u64), Happens>,
    last_event: u64,
    faults_left: usize,
    fault: Option<Fault>,
    pub log: Log,
}

impl World {
    pub fn new(seed: u64, fault: Option<Fault>) -> Self {
        let now = Instant::now();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut store = Store::default();
        let routes = Routes::of_hosts(&HOSTS[..1]);
        let client = |number| Client::new(now, number, routes.clone(), OPS_PER_CLIENT);
        let seat = Seat::start(now, HOSTS[0], &mut store, fault);
        let faults_left = rng.random_range(1..6);
        let mut world = Self {
            now,
            begun: now,
            network: Network::new(seed),
            clients: (0..CLIENTS).map(client).collect(),
            seats: [(HOSTS[0], seat)].into(),
            current: HOSTS[0],
            store,
            events: BTreeMap::new(),
            last_event: 0,
            faults_left,
            fault,
            log: Log::default(),
            rng,
        };
        let first = world.between(500..4_000);
        world.at(first, Happens::Fault);
        world
    }

    fn between(&mut self, ms: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(ms))
    }

    fn at(&mut self, delay: Duration, happens: Happens) {
        self.last_event += 1;
        self.events.insert((self.now + delay, self.last_event), happens);
    }

    /// Runs until all clients have done their work and all faults are over.
    pub fn run(&mut self) -> Result<(), String> {
        loop {
            self.settle();
            let all_done = self.clients.iter().all(Client::is_done);
            if all_done && self.faults_left == 0 && self.is_whole() {
                return Ok(());
            }
            let Some(next) = self.next_at() else { return Err("nothing is left to do".into()) };
            if next > self.begun + LONGEST_RUN {
                return Err("clients wait for ever".into());
            }
            self.now = self.now.max(next);
            (self.now - self.begun).hash(&mut self.log.hash);
            self.step();
        }
    }

    fn is_whole(&self) -> bool {
        let seat = self.seats.get(&self.current);
        seat.is_some_and(|seat| seat.paused_until.is_none())
    }

    fn next_at(&self) -> Option<Instant> {
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        let clients = self.clients.iter().flat_map(|client| match client.frozen_until {
            Some(until) => [Some(until), None],
            None => [client.wake_at(), client.session.poll_timeout()],
        });
        let seats = self.seats.values().map(|seat| match seat.paused_until {
            Some(until) => Some(until),
            None => seat.owner.poll_timeout(),
        });
        event.into_iter().chain(clients.flatten()).chain(seats.flatten()).min()
    }

    fn step(&mut self) {
        let now = self.now;
        if let Some(entry) = self.events.first_entry()
            && entry.key().0 <= now
        {
            let happens = entry.remove();
            self.happen(happens);
        }
        for client in &mut self.clients {
            client.frozen_until.take_if(|until| *until <= now);
            if client.frozen_until.is_none() {
                client.session.handle_timeout(now);
            }
        }
        for seat in self.seats.values_mut() {
            if seat.paused_until.take_if(|until| *until <= now).is_some() {
                for (client, attempt, head, payload) in std::mem::take(&mut seat.inbox) {
                    seat.handle(now, client, attempt, &head, &payload);
                }
            }
            if seat.paused_until.is_none() {
                seat.owner.handle_timeout(now);
            }
        }
    }

    /// Lets clients and hosts do all that they can do now.
    fn settle(&mut self) {
        let now = self.now;
        if let Some(seat) = self.seats.get_mut(&self.current)
            && seat.paused_until.is_none()
            && seat.epoch == self.store.epoch
        {
            seat.owner.set_lease(Some(now + OWNER_LEASE));
        }
        for number in 0..self.clients.len() {
            let client = &mut self.clients[number];
            if client.frozen_until.is_some() {
                continue;
            }
            client.wake(now, &mut self.rng, &mut self.log);
            while let Some(event) = client.session.poll_event() {
                client.handle(now, event, &mut self.rng, &mut self.log);
            }
            let mut sent = Vec::new();
            while let Some(transmit) = client.session.poll_transmit(now) {
                sent.push(transmit);
            }
            for transmit in sent {
                for delay in self.network.send(number) {
                    let transmit = transmit.clone();
                    let (to, attempt) = (transmit.to, transmit.attempt);
                    let (head, payload) = (transmit.head, transmit.payload);
                    self.at(delay, Happens::Asked { client: number, to, attempt, head, payload });
                }
            }
        }
        for host in HOSTS {
            self.settle_seat(host);
        }
    }

    fn settle_seat(&mut self, host: HostId) {
        let Some(seat) = self.seats.get_mut(&host) else { return };
        if seat.paused_until.is_some() {
            return;
        }
        let epoch = seat.epoch;
        let (answers, tickets) = seat.poll(self.now);
        for answer in answers {
            for delay in self.network.send(answer.client) {
                let reply = answer.reply.clone();
                let (client, attempt) = (answer.client, answer.attempt);
                self.at(delay, Happens::Answered { client, attempt, reply });
            }
        }
        for ticket in tickets {
            let delay = self.between(1..20);
            self.at(delay, Happens::Stored { host, epoch, ticket });
        }
    }

    fn happen(&mut self, happens: Happens) {
        let now = self.now;
        match happens {
            Happens::Asked { client, to, attempt, head, payload } => {
                match self.seats.get_mut(&to) {
                    Some(seat) if seat.paused_until.is_some() => {
                        seat.inbox.push_back((client, attempt, head, payload));
                    }
                    Some(seat) => seat.handle(now, client, attempt, &head, &payload),
                    None => self.at(
                        Duration::from_millis(1),
                        Happens::Answered { client, attempt, reply: None },
                    ),
                }
            }
            Happens::Answered { client, attempt, reply } => {
                let session = &mut self.clients[client].session;
                match reply {
                    Some((reply, payload)) => session.handle_reply(now, attempt, reply, payload),
                    None => session.handle_dropped(now, attempt),
                }
            }
            Happens::Stored { host, epoch, ticket } => {
                let fails = self.rng.random_range(0..200) == 0;
                if let Some(seat) = self.seats.get_mut(&host).filter(|seat| seat.epoch == epoch) {
                    if fails && seat.unstored.iter().any(|(other, _)| *other == ticket) {
                        seat.stored(&mut self.store, Ticket(ticket.0 - 1));
                        seat.fail(ticket, "no space");
                    } else {
                        seat.stored(&mut self.store, ticket);
                    }
                }
            }
            Happens::Fault => self.fault(),
            Happens::Heal { client } => {
                self.network.cut.remove(&client);
            }
            Happens::Start => self.start_on(self.current),
            Happens::TakeOver { epoch } => {
                if self.store.epoch == epoch {
                    let other = |host: &HostId| *host != self.current;
                    let others: Vec<HostId> = HOSTS.into_iter().filter(other).collect();
                    let next = others[self.rng.random_range(0..others.len())];
                    let told = self.between(2_000..8_000);
                    self.at(told, Happens::Told { host: self.current });
                    self.start_on(next);
                }
            }
            Happens::Told { host } => {
                if host != self.current {
                    self.tell(host);
                }
            }
            Happens::Learnt { client, route } => {
                for shard in 0..SHARDS {
                    self.clients[client].session.routes_mut().learn(shard, route);
                }
            }
        }
    }

    fn start_on(&mut self, host: HostId) {
        let seat = Seat::start(self.now, host, &mut self.store, self.fault);
        let route = Route { owner: host, epoch: Epoch(seat.epoch) };
        self.seats.insert(host, seat);
        self.current = host;
        for client in 0..self.clients.len() {
            let delay = self.between(0..3_000);
            self.at(delay, Happens::Learnt { client, route });
        }
    }

    /// A host that was deposed hears of it: it owns nothing, and names the owner.
    fn tell(&mut self, host: HostId) {
        let (owner, epoch) = (self.current, Epoch(self.store.epoch));
        if let Some(seat) = self.seats.get_mut(&host) {
            for shard in 0..SHARDS {
                seat.owner.disown(shard, owner, epoch);
            }
            seat.owner.set_lease(None);
        }
    }

    fn fault(&mut self) {
        self.faults_left = self.faults_left.saturating_sub(1);
        self.log.faults += 1;
        if self.faults_left > 0 {
            let next = self.between(500..8_000);
            self.at(next, Happens::Fault);
        }
        let client = self.rng.random_range(0..CLIENTS);
        let long = self.between(500..9_000);
        match self.rng.random_range(0..4) {
            0 => self.crash(),
            1 => {
                self.network.cut.insert(client);
                self.at(long, Happens::Heal { client });
            }
            2 => self.clients[client].frozen_until = Some(self.now + long),
            _ => self.pause(long),
        }
    }

    /// The owner dies; what it had handed to the disk may be there, up to a point.
    fn crash(&mut self) {
        let Some(mut seat) = self.seats.remove(&self.current) else { return };
        let kept = self.rng.random_range(0..=seat.unstored.len());
        let unstored: VecDeque<_> = std::mem::take(&mut seat.unstored);
        for (_, batch) in unstored.into_iter().take(kept) {
            self.store.commit(seat.epoch, batch);
        }
        let delay = self.between(10..3_000);
        self.at(delay, Happens::Start);
    }

    /// The owner sleeps; past its lease, another takes over.
    fn pause(&mut self, long: Duration) {
        let until = self.now + long;
        let Some(seat) = self.seats.get_mut(&self.current) else { return };
        // One that sleeps does not wake for being put to sleep again: another may be on its way to
        // take over, which it does only where the lease has run out.
        seat.paused_until = seat.paused_until.max(Some(until));
        let epoch = seat.epoch;
        if long > OWNER_LEASE {
            self.at(OWNER_LEASE, Happens::TakeOver { epoch });
        }
    }

    /// What a key holds in the end, as its owner has it.
    pub fn read(&mut self, key: &str) -> Vec<u8> {
        crate::last::read(self.now, &mut self.store, self.fault, key)
    }
}
