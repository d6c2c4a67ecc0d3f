//! What rests on the disk, over ends in good order, sudden ends and damage.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use faaslet_state::message::PullRange;
use redb::{Database, ReadableTable, TableDefinition};

use super::*;

/// How many places are damaged in turn.
const ROUNDS: u64 = 200;
const CHUNKS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("chunks");

/// Opens state once nothing of a former life has the file open any more.
fn open(dir: &Path) -> Arc<States> {
    let until = Instant::now() + WITHIN;
    loop {
        match States::open(&StatesConfig::new(dir.to_owned())) {
            Ok(states) => return states,
            Err(error) if Instant::now() > until => panic!("{error}"),
            Err(_) => std::thread::yield_now(),
        }
    }
}

fn make_as(session: &StateSession, key: &str, durability: Durability) {
    let spec = Spec::new(Element::U8, Rule::Replace, durability, 1 << 20).unwrap();
    let body = Body::Create { spec, renew: false, stamp: stamp(1) };
    assert!(matches!(ask(session, key, body), Ok(Reply::Value(_))));
}

fn read(session: &StateSession, key: &str) -> Result<Vec<u8>, SessionError> {
    let range = PullRange { first: 0, count: 1, since: Version::NONE };
    let body = Body::Pull { ranges: vec![range], at: None };
    let (_, payload) = ask_with(session, key, body, Bytes::new())?;
    let chunks = faaslet_state::payload::pulled_chunks(&payload, 1);
    Ok(chunks
        .flat_map(|chunk| match chunk.unwrap().body {
            faaslet_state::payload::Body::Whole(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        })
        .collect())
}

fn version(session: &StateSession, key: &str) -> Version {
    match ask(session, key, Body::Stat) {
        Ok(Reply::Value(stat)) => stat.version,
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_an_end_in_good_order_everything_is_there_in_a_later_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let states = open(dir.path());
    let session = states.begin("a");
    make_as(&session, "memory", Durability::Memory);
    make_as(&session, "durable", Durability::Durable);
    append(&session, "memory", 2, b"one");
    append(&session, "durable", 2, b"two");
    let before = version(&session, "durable");
    states.stop().unwrap();
    drop((session, states));

    let states = open(dir.path());
    let session = states.begin("a");
    assert_eq!(read(&session, "memory").unwrap(), b"one");
    assert_eq!(read(&session, "durable").unwrap(), b"two");
    append(&session, "durable", 1, b"!");
    assert!(version(&session, "durable").epoch > before.epoch);
}

#[test]
fn after_a_sudden_end_a_value_in_memory_is_lost_by_name_and_a_durable_one_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let states = open(dir.path());
    let session = states.begin("a");
    make_as(&session, "memory", Durability::Memory);
    make_as(&session, "durable", Durability::Durable);
    append(&session, "memory", 2, b"one");
    append(&session, "durable", 2, b"two");
    // Nothing is saved.
    drop((session, states));

    for _ in 0..2 {
        let states = open(dir.path());
        let session = states.begin("a");
        let lost = read(&session, "memory").unwrap_err();
        assert_eq!(lost, SessionError::Refused(Failure::Lost));
        assert_eq!(read(&session, "durable").unwrap(), b"two");
    }
    let states = open(dir.path());
    let session = states.begin("a");
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Memory, 1 << 20).unwrap();
    ask(&session, "memory", Body::Create { spec, renew: true, stamp: stamp(1) }).unwrap();
    assert_eq!(read(&session, "memory").unwrap(), b"", "made anew, it is empty");
}

#[test]
fn a_value_that_was_saved_once_is_not_served_stale_after_a_sudden_end() {
    let dir = tempfile::tempdir().unwrap();
    let states = open(dir.path());
    let session = states.begin("a");
    make_as(&session, "memory", Durability::Memory);
    append(&session, "memory", 2, b"old");
    states.stop().unwrap();
    drop((session, states));
    let states = open(dir.path());
    let session = states.begin("a");
    assert_eq!(append(&session, "memory", 1, b"new"), 3);
    drop((session, states));
    let states = open(dir.path());
    let session = states.begin("a");
    let lost = read(&session, "memory").unwrap_err();
    assert_eq!(lost, SessionError::Refused(Failure::Lost));
}

#[test]
fn a_retry_after_a_restart_is_applied_once() {
    let dir = tempfile::tempdir().unwrap();
    let states = open(dir.path());
    let session = states.begin("a");
    make_as(&session, "log", Durability::Durable);
    let id = session.0.live.id();
    append(&session, "log", 2, b"x");
    // Its end is not told.
    session.0.live.close();
    drop((session, states));

    let states = open(dir.path());
    let session = states.resume(id, "a");
    assert_eq!(append(&session, "log", 2, b"x"), 0, "the answer of the first time");
    assert_eq!(read(&session, "log").unwrap(), b"x");
    assert_eq!(append(&session, "log", 3, b"y"), 1);
}

#[test]
fn a_damaged_record_is_reported_by_key_and_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let states = open(dir.path());
    let session = states.begin("a");
    for key in ["good", "bad"] {
        make_as(&session, key, Durability::Durable);
        append(&session, key, 2, b"content");
    }
    states.stop().unwrap();
    drop((session, states));
    {
        drop(open(dir.path()));
        let path = dir.path().join(STATE_FILE);
        let opened = std::iter::repeat_with(|| Database::open(&path));
        let database = opened.flatten().next().unwrap();
        let write = database.begin_write().unwrap();
        let mut table = write.open_table(CHUNKS).unwrap();
        let key = b"a\0bad\0\0\0\0\0".as_slice();
        let mut body = table.get(key).unwrap().unwrap().value().to_vec();
        body[18] ^= 1;
        table.insert(key, body.as_slice()).unwrap();
        drop(table);
        write.commit().unwrap();
    }
    let states = open(dir.path());
    assert_eq!(states.damages().len(), 1);
    let told = states.damages()[0].to_string();
    assert!(told.starts_with("bad of tenant a: expected chunk 0"), "{told}");
    let session = states.begin("a");
    assert_eq!(read(&session, "bad").unwrap_err(), SessionError::Refused(Failure::Lost));
    assert_eq!(read(&session, "good").unwrap(), b"content");
    drop((session, states));
    // It stays lost, and what is made anew has nothing of it.
    let states = open(dir.path());
    assert_eq!(states.damages(), []);
    let session = states.begin("a");
    assert_eq!(read(&session, "bad").unwrap_err(), SessionError::Refused(Failure::Lost));
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Durable, 1 << 20).unwrap();
    ask(&session, "bad", Body::Create { spec, renew: true, stamp: stamp(1) }).unwrap();
    drop((session, states));
    let states = open(dir.path());
    assert_eq!(read(&states.begin("a"), "bad").unwrap(), b"");
}

#[test]
fn a_file_with_any_byte_flipped_or_its_end_cut_is_never_served_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let states = open(dir.path());
    let session = states.begin("a");
    let content: Vec<u8> = (0..60_000).map(|at| (at % 251) as u8).collect();
    make_as(&session, "v", Durability::Durable);
    let body = Body::Append { stamp: stamp(2), made: Version::NONE, fence: None };
    ask_with(&session, "v", body, content.clone()).unwrap();
    // Nothing writes to the file any more.
    states.stop().unwrap();
    drop((session, states));
    let whole = fs::read(dir.path().join(STATE_FILE)).unwrap();
    let (mut served, mut refused, mut salvaged) = (0, 0, 0);
    for round in 0..ROUNDS {
        let damaged = tempfile::tempdir().unwrap();
        let path = damaged.path().join(STATE_FILE);
        fs::write(&path, &whole).unwrap();
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let at = round * whole.len() as u64 / ROUNDS;
        if round % 8 == 7 {
            file.set_len(at).unwrap();
        } else {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&[whole[at as usize] ^ 0x55]).unwrap();
        }
        drop(file);
        // Refused as a whole, the value lost or gone by name, or as it was.
        match States::open(&StatesConfig::new(damaged.path().to_owned())) {
            Err(_) => {
                refused += 1;
                // The value as it was, or named, or nothing at all.
                let Ok(found) = salvage(&path) else { continue };
                for value in &found.values {
                    assert!(
                        value.chunks.values().map(|chunk| chunk.to_vec()).eq([content.clone()])
                    );
                    salvaged += 1;
                }
                assert!(found.values.len() == 1 || !found.damages.is_empty(), "round {round}");
            }
            Ok(states) => match read(&states.begin("a"), "v") {
                Ok(found) => {
                    assert!(found == content, "served wrong after damage at {at}");
                    served += 1;
                }
                Err(_) => refused += 1,
            },
        }
    }
    println!("served {served}, refused {refused}, of which salvaged {salvaged}");
    assert!(served > 0 && refused > 0 && salvaged > 0);
}

/// Hosts that knew the file that was lost take nothing that is older.
#[test]
fn a_new_file_begins_later_than_any_that_was_here_before() {
    #[allow(clippy::disallowed_methods, reason = "the epochs of a file are of this clock")]
    let begun = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let made = |states: &Arc<States>| {
        let session = states.begin("a");
        make_as(&session, "durable", Durability::Durable);
        version(&session, "durable").epoch.0
    };
    let first = made(&open(dir.path()));
    assert!(first >= begun.as_secs(), "{first}");
    fs::remove_file(dir.path().join(STATE_FILE)).unwrap();
    let second = made(&open(dir.path()));
    assert!(second >= first, "{second} after {first}");
}

#[test]
fn a_database_that_panics_is_opened_anew_and_stores_on() {
    use faaslet_state::owner::{Batch, Id, OwnerConfig, Record};
    let dir = tempfile::tempdir().unwrap();
    let mut owner = faaslet_state::Owner::new(OwnerConfig::of(HostId(1)));
    let path = dir.path().join(STATE_FILE);
    let opened = super::super::disk::Disk::open(&path, &mut owner);
    let (mut disk, ..) = opened.unwrap();
    let panics = (0..1).map(|_| -> &Batch { panic!("as a database may over its pages") });
    assert!(matches!(disk.store_or_reopen(panics), Err(DiskError::Damaged { .. })));
    let id = Id { tenant: "a".into(), key: faaslet_state::Key::new(b"k").unwrap() };
    let batch: Batch = vec![Record::Head(id, None)];
    disk.store_or_reopen(std::iter::once(&batch)).unwrap();
}
