use super::*;
use crate::chunk::Chunk;
use crate::version::{Epoch, Version};

fn entry(chunk: u32, runs: &[(u16, u16)], tails: &[(u16, u16)], values: usize) -> Vec<u8> {
    let mut bytes = chunk.to_le_bytes().to_vec();
    bytes.extend_from_slice(&(runs.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&(tails.len() as u16).to_le_bytes());
    for (first, last) in runs.iter().chain(tails) {
        bytes.extend_from_slice(&first.to_le_bytes());
        bytes.extend_from_slice(&last.to_le_bytes());
    }
    bytes.resize(bytes.len() + values, 7);
    bytes
}

fn expected(bytes: &[u8], width: u64) -> &'static str {
    Changes::parse(bytes, width).unwrap_err().expected
}

#[test]
fn changes_are_read_as_they_are_drawn() {
    let bytes =
        [entry(1, &[(0, 0), (2, 3)], &[(33, 34)], 26), entry(4, &[(8191, 8191)], &[], 8)].concat();
    let changes = Changes::parse(&bytes, 8).unwrap();
    let all: Vec<_> = changes.iter().collect();
    assert_eq!((changes.len(), all[0].chunk(), all[1].chunk()), (2, Chunk(1), Chunk(4)));
    let runs: Vec<_> = all[0].runs().map(|run| run.range()).collect();
    assert_eq!(runs, [0..8, 16..32]);
    assert_eq!(all[0].tails().next().unwrap().range(), 33..35);
    assert_eq!((all[0].end(), all[1].end()), (35, 65536));
}

#[test]
fn changes_that_are_not_as_drawn_are_refused() {
    assert_eq!(expected(&entry(0, &[], &[], 0), 8), "at least one run");
    assert_eq!(expected(&entry(0, &[(3, 3), (3, 4)], &[], 24), 8), "runs in order and apart");
    assert_eq!(expected(&entry(0, &[(5, 4)], &[], 0), 8), "a run that ends within its chunk");
    assert_eq!(expected(&entry(0, &[(8192, 8192)], &[], 8), 8), "a run that ends within its chunk");
    assert_eq!(expected(&entry(0, &[(0, 1)], &[], 15), 8), "the values of the runs");
    assert_eq!(expected(&entry(0, &[(4, 4)], &[(39, 39)], 9), 8), "runs in order and apart");
    assert_eq!(expected(&entry(0, &[], &[(6, 8)], 3), 8), "a run that ends within its chunk");
    assert_eq!(expected(&entry(0, &[(0, 0)], &[], 1)[..9], 1), "a run");
    let twice = [entry(2, &[(0, 0)], &[], 1), entry(2, &[(1, 1)], &[], 1)].concat();
    assert_eq!(expected(&twice, 1), "chunks in order");
}

#[test]
fn chunks_and_names_read_back_as_they_are_written() {
    let version = Version::new(Epoch(3), 9);
    let mut payload = Payload::default();
    write_zeros(&mut payload, Chunk(0), version);
    write_whole(&mut payload, Chunk(5), version, &[1, 2, 3].into());
    write_changes(&mut payload, Chunk(6), version, &entry(6, &[(1, 1)], &[], 1));
    let bytes = payload.to_vec();
    assert_eq!(bytes.len(), payload.len());
    let chunks: Vec<_> = pulled_chunks(&bytes, 1).map(Result::unwrap).collect();
    assert!(chunks.iter().all(|chunk| chunk.version == version));
    assert!(matches!(chunks[0].body, Body::Zeros) && chunks[1].chunk == Chunk(5));
    assert!(matches!(chunks[1].body, Body::Whole([1, 2, 3])));
    assert!(matches!(chunks[2].body, Body::Changes(changes) if changes.end() == 2));
    assert!(pulled_chunks(&bytes[1..], 1).last().unwrap().is_err());

    let mut list = Vec::new();
    for name in ["a", "größe"] {
        write_name(&mut list, name);
    }
    assert_eq!(names(&list).collect::<Result<Vec<_>, _>>().unwrap(), ["a", "größe"]);
    assert!(names(&list[..2]).last().unwrap().is_err());
}
