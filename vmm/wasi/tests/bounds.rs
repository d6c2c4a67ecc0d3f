//! Bad pointers, huge counts, full tables, and memory that changes under the call's eyes.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, dead_code)]

mod direct;

use std::cell::RefCell;
use std::fs;

use direct::{CREAT, DATA, Faaslet, Memory, READ, RESULT, WRITE, errno, number};
use faaslet_wasi::{
    Captured, Clock, Config, ConfigError, Console, Errno, Fault, GuestMemory, Lines, MAX_FDS,
    MAX_HELD_LINES, MAX_LINE_BYTES, Preopen, Random, Stdio, Wasi, for_each_import,
};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// Arguments as a hostile or careless guest would choose them.
trait Draw {
    fn draw(rng: &mut SmallRng) -> Self;
}

impl Draw for u32 {
    fn draw(rng: &mut SmallRng) -> Self {
        const INTERESTING: [u32; 16] = [
            0,
            1,
            2,
            3,
            4,
            5,
            8,
            24,
            0x100,
            0x400,
            0xfff8,
            0xffff,
            0x10000,
            0x7fff_ffff,
            0xffff_fff8,
            0xffff_ffff,
        ];
        match rng.random_range(0..4_u32) {
            0 => rng.random(),
            1 => rng.random_range(0..0x10100),
            2 => rng.random_range(0..12),
            _ => INTERESTING[rng.random_range(0..INTERESTING.len())],
        }
    }
}

impl Draw for u64 {
    fn draw(rng: &mut SmallRng) -> Self {
        match rng.random_range(0..4_u32) {
            0 => rng.random(),
            1 => rng.random_range(0..200),
            2 => u64::MAX >> rng.random_range(0..64_u32),
            _ => rng.random_range(0..1 << 30),
        }
    }
}

impl Draw for i64 {
    fn draw(rng: &mut SmallRng) -> Self {
        u64::draw(rng).cast_signed()
    }
}

/// Memory whose every read may show something new.
struct Shifting {
    memory: Memory,
    rng: RefCell<SmallRng>,
}

impl GuestMemory for Shifting {
    fn check(&self, addr: u32, len: u32) -> Result<(), Fault> {
        self.memory.check(addr, len)
    }

    fn read(&self, addr: u32, buf: &mut [u8]) -> Result<(), Fault> {
        self.memory.read(addr, buf)?;
        let mut rng = self.rng.borrow_mut();
        if rng.random_range(0..3_u32) == 0 {
            for byte in buf {
                *byte ^= rng.random::<u8>() & rng.random::<u8>();
            }
        }
        Ok(())
    }

    fn write(&self, addr: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.memory.write(addr, bytes)
    }
}

/// Calls one import, drawn at random, with arguments drawn at random.
fn call_any<C: Console>(wasi: &mut Wasi<C>, mem: &impl GuestMemory, rng: &mut SmallRng) {
    macro_rules! any {
        ([$wasi:ident $mem:ident $rng:ident]
            $($kind:ident $name:ident($($param:ident: $ty:ty),*);)*) => {{
            let names = [$(stringify!($name)),*];
            let chosen = names[$rng.random_range(0..names.len())];
            $(if chosen == stringify!($name) {
                $(let $param = <$ty>::draw($rng);)*
                let _ = $wasi.$name($mem, $($param),*);
            })*
        }};
    }
    for_each_import!(any, wasi, mem, rng);
}

#[test]
fn no_call_can_break_its_host() {
    const CALLS: u32 = 200_000;
    let seed = std::env::var("FAASLET_SEED").ok().and_then(|it| it.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("FAASLET_SEED={seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    fs::create_dir_all(data.join("a/b")).unwrap();
    fs::write(data.join("c"), "contents").unwrap();
    fs::write(root.path().join("beside"), "beside").unwrap();
    let mut faaslet = Faaslet::new(&[("/data", &data, false)]);
    let shifting = Shifting {
        memory: Memory::new(),
        rng: RefCell::new(SmallRng::seed_from_u64(rng.random())),
    };
    for round in 0..CALLS {
        if round % 64 == 0 {
            scribble(&shifting.memory, &mut rng);
        }
        call_any(&mut faaslet.wasi, &shifting, &mut rng);
    }
    assert_eq!(fs::read_to_string(root.path().join("beside")).unwrap(), "beside");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
}

/// Fills memory with what calls could take for paths, buffers and subscriptions.
fn scribble(mem: &Memory, rng: &mut SmallRng) {
    const TEXTS: [&[u8]; 8] = [b"a", b"a/b", b"c", b"..", b"../beside", b"a/../c", b"/", b"new"];
    for at in (0..0xff00_u32).step_by(16) {
        let mut bytes = [0; 16];
        match rng.random_range(0..3_u32) {
            0 => {
                let text = TEXTS[rng.random_range(0..TEXTS.len())];
                bytes[..text.len()].copy_from_slice(text);
            }
            1 => bytes.chunks_exact_mut(4).for_each(|it| {
                it.copy_from_slice(&u32::draw(rng).to_le_bytes());
            }),
            _ => {}
        }
        mem.put(at, &bytes);
    }
}

#[test]
fn descriptors_run_out_with_an_error() {
    let root = tempfile::tempdir().unwrap();
    let folders = vec![Preopen::new("/data", direct::folder(root.path()), false)];
    let config = Config::new(&[], &[], folders).unwrap().with_max_fds(10);
    let console = Captured::new(Vec::new(), 0);
    let wasi = Wasi::new(config.into(), Clock::live(), Random::live(), console);
    let mut faaslet = Faaslet { wasi, mem: Memory::new() };
    for expected in 4..10 {
        assert_eq!(faaslet.open(DATA, "file", CREAT, READ, 0), Ok(expected));
    }
    assert_eq!(faaslet.open(DATA, "never-made", CREAT, READ, 0), Err(Errno::Mfile));
    assert!(!root.path().join("never-made").exists(), "a file was made that nobody can use");
    assert_eq!(faaslet.close(7), Errno::Success);
    assert_eq!(faaslet.open(DATA, "file", CREAT, READ, 0), Ok(7));
    assert_eq!(
        Config::new(&[], &[], Vec::new()).unwrap().with_max_fds(usize::MAX).max_fds(),
        MAX_FDS
    );
}

#[test]
fn buffers_are_counted_and_checked() {
    const IOVS: u32 = 0x400;
    let root = tempfile::tempdir().unwrap();
    let mut faaslet = Faaslet::new(&[("/data", root.path(), false)]);
    let file = faaslet.open(DATA, "file", CREAT, READ | WRITE, 0).unwrap();
    let (wasi, mem) = (&mut faaslet.wasi, &faaslet.mem);
    mem.put(IOVS, &0x800_u32.to_le_bytes());
    mem.put(IOVS + 4, &0x1_0000_u32.to_le_bytes());
    assert!(wasi.fd_write(mem, file, IOVS, 1, RESULT).is_err(), "the buffer leaves memory");
    assert_eq!(fs::metadata(root.path().join("file")).unwrap().len(), 0, "and wrote nothing");
    mem.put(IOVS + 4, &((128 << 20) + 1_u32).to_le_bytes());
    assert_eq!(errno(wasi.fd_write(mem, file, IOVS, 1, RESULT)), Errno::Nomem);
    for count in [(128 << 20) / 8 + 1, u32::MAX] {
        assert_eq!(errno(wasi.fd_write(mem, file, IOVS, count, RESULT)), Errno::Nomem);
    }
    assert_eq!(number(wasi.fd_write(mem, file, IOVS, 0, RESULT)), 0);
    let subscriptions = wasi.poll_oneoff(mem, 0, 0, 4097, RESULT);
    assert_eq!(subscriptions, Ok(faaslet_wasi::Step::Done(Errno::Nomem)));
}

/// A fiber that waits may go on in another thread.
#[test]
fn a_faaslet_can_be_moved_between_threads() {
    fn movable<T: Send>() {}
    movable::<Wasi<Captured>>();
    movable::<std::sync::Arc<Config>>();
}

#[test]
fn output_is_bounded() {
    let mut kept = Captured::new(Vec::new(), 10);
    assert_eq!(kept.print(Stdio::Output, b"0123456"), Ok(()));
    assert_eq!(kept.print(Stdio::Output, b"7890"), Err(Errno::Nospc));
    assert_eq!(kept.print(Stdio::Output, b"789"), Ok(()));
    assert_eq!(kept.output(), b"0123456789");
}

#[test]
fn lines_are_cut_and_bounded() {
    let mut lines = Lines::default();
    lines.push(b"one\ntw");
    lines.push(b"o\n\nlast \xff");
    lines.finish();
    lines.finish();
    let seen: Vec<_> = std::iter::from_fn(|| lines.pop()).collect();
    assert_eq!(seen, ["one", "two", "", "last \u{fffd}"]);
    lines.push(&vec![b'x'; MAX_LINE_BYTES * 2 + 1]);
    lines.push(b"\n");
    let lengths: Vec<_> = std::iter::from_fn(|| lines.pop()).map(|it| it.len()).collect();
    assert_eq!(lengths, [MAX_LINE_BYTES, MAX_LINE_BYTES, 1]);
    lines.push("\n".repeat(MAX_HELD_LINES + 5).as_bytes());
    assert_eq!(lines.take_dropped(), 5);
    assert_eq!(std::iter::from_fn(|| lines.pop()).count(), MAX_HELD_LINES);
}

#[test]
fn configurations_are_checked() {
    let new = |args: &[&str], env: &[(&str, &str)]| {
        let args: Vec<_> = args.iter().map(|&it| it.to_owned()).collect();
        let env: Vec<_> = env.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        Config::new(&args, &env, Vec::new()).err()
    };
    assert_eq!(new(&["a", ""], &[("A", ""), ("B", "x=y")]), None);
    assert!(matches!(new(&["a\0b"], &[]), Some(ConfigError::Nul { .. })));
    let secret = new(&[], &[("B", ""), ("A", "hidden\0")]).unwrap();
    assert!(matches!(secret, ConfigError::Nul { place: 2, .. }), "{secret:?}");
    assert!(!format!("{secret} {secret:?}").contains("hidden"));
    assert_eq!(new(&[], &[("A=B", "")]), Some(ConfigError::Name("A=B".into())));
    assert_eq!(new(&[], &[("", "x")]), Some(ConfigError::Name(String::new())));
    let long = "x".repeat(1 << 20);
    assert!(matches!(new(&[&long], &[]), Some(ConfigError::TooLong { .. })));
}
