//! Writes the seeds of the fuzz targets, one folder for each: small inputs that are right, so that
//! a fuzzer begins behind the first checks.
//!
//!   cargo run --example seeds FOLDER

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use std::{env, fs, io};

use faaslet_proto::{
    ClientSession, ClientSettings, Mode, Reply, Request, ServerEvent, ServerSession,
    ServerSettings, StateAnswer, StateAsk, StateOp, StateReply,
};
use faaslet_snapshot::image::{
    Global, GlobalValue, Identity, ImageContents, ImageWriter, ModuleHash, RecipeId, TableElement,
    TableImage,
};
use faaslet_state::message::{self as state, Body, LockMode, PullRange, SessionId, Stamp};
use faaslet_state::{Chunk, Durability, Element, Epoch, Rule, Spec, Version, delta};

#[path = "../../vmm/src/cli/manifest.rs"]
#[allow(dead_code, reason = "only what the oracle reads")]
mod manifest;
#[path = "oracles/manifest.rs"]
#[allow(dead_code, reason = "only its seeds")]
mod oracle;
#[path = "../../vmm/src/cli/parse.rs"]
#[allow(dead_code, reason = "only what manifests use")]
mod parse;
#[path = "../../vmm/src/cli/settings.rs"]
#[allow(dead_code, reason = "only what the oracle reads")]
mod settings;

/// Modules as text, beside this folder.
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../guests/wat");

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).ok_or(io::Error::other("expected a folder to write to"))?;
    let folder = Path::new(&folder);
    let texts = oracle::SEEDS.iter().map(|text| text.as_bytes().to_vec());
    for (target, seeds) in [
        ("image_open", images()),
        ("manifest", texts.collect()),
        ("rewrite", modules()?),
        ("state_changes", changes()),
        ("state_message", messages()),
        ("wire", exchange().into()),
    ] {
        fs::create_dir_all(folder.join(target))?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(target).join(number.to_string()), seed)?;
        }
    }
    Ok(())
}

fn modules() -> io::Result<Vec<Vec<u8>>> {
    let mut seeds = Vec::new();
    for entry in fs::read_dir(MODULES)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wat") {
            seeds.push(wat::parse_file(&path).map_err(io::Error::other)?);
        }
    }
    Ok(seeds)
}

/// An image with nothing in it, and one with something of each kind.
fn images() -> Vec<Vec<u8>> {
    let mut memory = vec![0; 64 << 10];
    memory[5 * 4096..][..5].copy_from_slice(b"hello");
    let identity = Identity {
        recipe: RecipeId::from_bytes([1; 32]),
        module: ModuleHash::from_bytes([2; 32]),
        abi_version: 1,
    };
    let write = |memory: Vec<u8>, filled: bool| {
        let element = TableElement { index: 1, function: Some(3) };
        let contents = ImageContents {
            identity,
            memory: &memory,
            memory_max_bytes: filled.then_some(1 << 20),
            globals: vec![Global { index: 0, value: GlobalValue::I64(7) }; usize::from(filled)],
            tables: vec![
                TableImage { index: 0, size: 8, elements: vec![element] };
                usize::from(filled)
            ],
            files: vec![3; 9 * usize::from(filled)],
            meta: BTreeMap::from([("entry".into(), b"main".to_vec())]),
        };
        let mut bytes = Vec::new();
        ImageWriter::write(&contents, &mut bytes).expect("contents are within the limits");
        bytes
    };
    vec![write(Vec::new(), false), write(memory, true)]
}

/// Changes of each kind of element.
fn changes() -> Vec<Vec<u8>> {
    let (base, copy) = ([1; 99], std::array::from_fn::<u8, 99, _>(|at| (at / 20) as u8));
    let of = |(number, element): (usize, Element)| {
        let spec = Spec::new(element, Rule::Replace, Durability::Memory, 1 << 20).ok()?;
        let mut seed = vec![number as u8];
        delta::diff(&spec, Chunk(1), &base, &copy, &mut seed);
        Some(seed)
    };
    Element::ALL.into_iter().enumerate().filter_map(of).collect()
}

/// Requests to the owner of a value, each with its length before it and bytes behind it.
fn messages() -> Vec<Vec<u8>> {
    let stamp = Stamp { session: SessionId(1), sequence: 1 };
    let bodies = Spec::new(Element::U64, Rule::Sum, Durability::Durable, 1 << 20).map(|spec| {
        let ranges = vec![PullRange { first: 0, count: 9, since: Version::NONE }];
        vec![
            Body::Create { spec, renew: false, stamp },
            Body::Pull { ranges, at: None },
            Body::Push { stamp, made: Version::NONE, expected: None, fence: None, len: 8 },
            Body::Lock { stamp, holder: 1, mode: LockMode::Write, wait_us: 9 },
            Body::Open { stamp, at: None },
            Body::List { after: "a".into(), limit: 3 },
        ]
    });
    let heads = bodies.into_iter().flatten().filter_map(|body| {
        let (tenant, key) = ("t".into(), "k".into());
        state::Request { tenant, key, epoch: Epoch(1), body }.to_bytes().ok()
    });
    let seed = |head: Vec<u8>| [&(head.len() as u16).to_le_bytes(), &head[..], &[0; 16]].concat();
    heads.map(seed).collect()
}

/// What a client sends that greets and calls, its call alone, and what a server sends back.
fn exchange() -> [Vec<u8>; 3] {
    let now = Instant::now();
    let mut client = ClientSession::new(now, ClientSettings::default(), b"token");
    let mut server = ServerSession::new(now, ServerSettings::default());
    let (mut up, mut down) = (Vec::new(), Vec::new());
    carry(now, &mut client, &mut server, (&mut up, &mut down));
    let greeting = up.len();
    let input = b"input"[..].into();
    let request =
        Request { function: "name", input, mode: Mode::Default, attempt: 1, deadline: None };
    client.call(now, request).expect("there is room for one call");
    let op = StateOp::Get { at: None, from: 0, bytes: 9 };
    let ask = StateAsk { key: "key", op, payload: b"payload"[..].into(), deadline: None };
    client.state(now, ask).expect("there is room for another");
    carry(now, &mut client, &mut server, (&mut up, &mut down));
    let call = up[greeting..].to_vec();
    [up, call, down]
}

/// Carries everything until nothing moves, and keeps a copy.
fn carry(
    now: Instant,
    client: &mut ClientSession,
    server: &mut ServerSession,
    (up, down): (&mut Vec<u8>, &mut Vec<u8>),
) {
    loop {
        let (sent, answered) = (client.poll_transmit(now), server.poll_transmit(now));
        if sent.is_none() && answered.is_none() {
            return;
        }
        if let Some(bytes) = sent {
            up.extend_from_slice(&bytes);
            server.handle_bytes(now, bytes).expect("an honest client");
        }
        if let Some(bytes) = answered {
            down.extend_from_slice(&bytes);
            client.handle_bytes(now, bytes).expect("an honest server");
        }
        while let Some(event) = server.poll_event() {
            match event {
                ServerEvent::Hello { .. } => server.welcome(now, "tenant"),
                ServerEvent::Call { id, .. } => drop(server.reply(now, id, Reply::returned("out"))),
                ServerEvent::State { id, .. } => {
                    let reply = StateReply::new(StateAnswer::Removed);
                    drop(server.state_reply(now, id, reply));
                }
                ServerEvent::Cancelled { .. } => {}
            }
        }
    }
}
