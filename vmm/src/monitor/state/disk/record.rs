//! Records as bytes, little-endian, each with a checksum over its key and itself.

use std::sync::Arc;

use faaslet_state::message::{Reply, SessionId};
use faaslet_state::owner::{Done, Head, Id};
use faaslet_state::{
    Chunk, Durability, Element, Epoch, Key as StateKey, Retention, Rule, Spec, Version,
};

/// A key of a table.
pub(crate) type Key = Vec<u8>;

/// Bytes of a checksum: the first of a BLAKE3 hash.
const CHECKSUM_BYTES: usize = 16;

/// The checksums of all chunks of a value, laid over each other: so that none can go missing.
pub(super) type Digest = [u8; CHECKSUM_BYTES];

/// Lays a chunk's checksum over the digest of its value, or takes it off again.
pub(super) fn fold(digest: &mut Digest, record: &[u8]) {
    if let Some(sum) = record.last_chunk::<CHECKSUM_BYTES>() {
        digest.iter_mut().zip(sum).for_each(|(all, one)| *all ^= one);
    }
}

/// What ends the part of a key that names the tenant, or the value.
const END: u8 = 0;

pub(super) fn head_key(id: &Id) -> Key {
    [id.tenant.as_bytes(), &[END], id.key.as_bytes()].concat()
}

/// What keys of a value's chunks, and of its answers, begin with.
pub(super) fn prefix(id: &Id) -> Key {
    [id.tenant.as_bytes(), &[END], id.key.as_bytes(), &[END]].concat()
}

pub(super) fn chunk_key(id: &Id, chunk: Chunk) -> Key {
    [prefix(id), chunk.0.to_be_bytes().to_vec()].concat()
}

pub(super) fn done_key(id: &Id, session: SessionId) -> Key {
    [prefix(id), session.0.to_be_bytes().to_vec()].concat()
}

pub(super) fn decode_head_key(key: &[u8]) -> Option<Id> {
    let end = key.iter().position(|byte| *byte == END)?;
    let tenant = std::str::from_utf8(&key[..end]).ok()?;
    Some(Id { tenant: tenant.into(), key: StateKey::new(&key[end + 1..]).ok()? })
}

/// The value, and the number behind it.
fn decode_key<const N: usize>(key: &[u8]) -> Option<(Id, [u8; N])> {
    let (rest, number) = key.split_last_chunk::<N>()?;
    let (end, name) = rest.split_last()?;
    (*end == END).then_some((decode_head_key(name)?, *number))
}

pub(super) fn decode_chunk_key(key: &[u8]) -> Option<(Id, Chunk)> {
    decode_key(key).map(|(id, number)| (id, Chunk(u32::from_be_bytes(number))))
}

pub(super) fn decode_done_key(key: &[u8]) -> Option<(Id, SessionId)> {
    decode_key(key).map(|(id, number)| (id, SessionId(u128::from_be_bytes(number))))
}

fn checksum(key: &[u8], body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes()).update(key).update(body);
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM_BYTES]);
    sum
}

fn sealed(key: &[u8], mut body: Vec<u8>) -> Vec<u8> {
    let sum = checksum(key, &body);
    body.extend_from_slice(&sum);
    body
}

/// The body, if the checksum is its own.
fn opened<'b>(key: &[u8], bytes: &'b [u8]) -> Option<&'b [u8]> {
    let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    (checksum(key, body) == *sum).then_some(body)
}

pub(super) fn encode_head(key: &[u8], head: &Head, digest: &Digest) -> Vec<u8> {
    let Head { spec, len, version, made, whole } = head;
    let mut body =
        vec![spec.element() as u8, spec.rule() as u8, spec.durability() as u8, u8::from(*whole)];
    body.extend_from_slice(&spec.retention().versions.to_le_bytes());
    body.extend_from_slice(&spec.retention().age_s.to_le_bytes());
    for number in [spec.quota_bytes(), *len, version.epoch.0, version.n, made.epoch.0, made.n] {
        body.extend_from_slice(&number.to_le_bytes());
    }
    body.extend_from_slice(digest);
    sealed(key, body)
}

pub(super) fn decode_head(key: &[u8], bytes: &[u8]) -> Option<(Head, Digest)> {
    let (kinds, rest) = opened(key, bytes)?.split_first_chunk::<4>()?;
    let (retention, numbers) = rest.split_first_chunk::<8>()?;
    let (numbers, digest) = numbers.split_first_chunk::<48>()?;
    let digest: Digest = digest.try_into().ok()?;
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&numbers[8 * at..8 * at + 8]);
        u64::from_le_bytes(bytes)
    };
    let [element, rule, durability, whole] = *kinds;
    let durability = match durability {
        0 => Durability::Memory,
        1 => Durability::Durable,
        _ => return None,
    };
    let (element, rule) = (Element::from_u8(element)?, Rule::from_u8(rule)?);
    let [v0, v1, v2, v3, a0, a1, a2, a3] = *retention;
    let retention = Retention {
        versions: u32::from_le_bytes([v0, v1, v2, v3]),
        age_s: u32::from_le_bytes([a0, a1, a2, a3]),
    };
    let spec = Spec::new(element, rule, durability, number(0)).ok()?.retaining(retention);
    let version = |at| Version::new(Epoch(number(at)), number(at + 1));
    let (len, version, made) = (number(1), version(2), version(4));
    let head = Head { spec, len, version, made, whole: whole == 1 };
    spec.allows(len).then_some((head, digest))
}

pub(super) fn encode_chunk(key: &[u8], version: Version, bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(16 + bytes.len() + CHECKSUM_BYTES);
    body.extend_from_slice(&version.epoch.0.to_le_bytes());
    body.extend_from_slice(&version.n.to_le_bytes());
    body.extend_from_slice(bytes);
    sealed(key, body)
}

pub(super) fn decode_chunk(key: &[u8], bytes: &[u8]) -> Option<(Version, Arc<[u8]>)> {
    let (epoch, rest) = opened(key, bytes)?.split_first_chunk::<8>()?;
    let (n, rest) = rest.split_first_chunk::<8>()?;
    let version = Version::new(Epoch(u64::from_le_bytes(*epoch)), u64::from_le_bytes(*n));
    (rest.len() as u64 <= faaslet_state::CHUNK_BYTES).then(|| (version, rest.into()))
}

pub(super) fn encode_done(key: &[u8], done: &Done) -> Option<Vec<u8>> {
    let mut body = done.sequence.to_le_bytes().to_vec();
    body.extend_from_slice(&done.reply.to_bytes().ok()?);
    Some(sealed(key, body))
}

pub(super) fn decode_done(key: &[u8], bytes: &[u8]) -> Option<Done> {
    let (sequence, reply) = opened(key, bytes)?.split_first_chunk::<8>()?;
    let reply = Reply::from_bytes(reply).ok()?;
    Some(Done { sequence: u64::from_le_bytes(*sequence), reply })
}
