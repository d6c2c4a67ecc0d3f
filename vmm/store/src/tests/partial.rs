//! Files under way from other hosts.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::store;
use crate::{BlobKind, Hash, Outline, PIECE_BYTES, Store};

fn content(pieces: usize, rest: usize) -> Vec<u8> {
    let mut random = SmallRng::seed_from_u64(pieces as u64);
    (0..pieces * PIECE_BYTES + rest).map(|_| random.random()).collect()
}

fn outline(content: &[u8]) -> Outline {
    let bytes = Outline::of(&mut &content[..]).unwrap();
    Outline::new(Hash::of(content), content.len() as u64, &bytes).unwrap()
}

#[test]
fn outlines_of_every_shape_have_the_files_hash() {
    for pieces in 0..12 {
        for rest in [0, 1, 1023, 1024, 1025, PIECE_BYTES - 1] {
            // Fails unless the tree over the pieces is BLAKE3's own.
            outline(&content(pieces, rest));
        }
    }
}

#[test]
fn a_file_under_way_goes_on_after_a_restart_with_what_is_right_of_it() {
    let content = content(3, 77);
    let (folder, store) = store();
    let partial = store.partial(BlobKind::Image, outline(&content)).unwrap();
    assert_eq!(partial.missing().unwrap(), [0, 1, 2, 3]);
    let piece = |number: usize| content.chunks(PIECE_BYTES).nth(number).unwrap();
    for number in [3, 1] {
        assert!(store.put_piece(&partial, number as u32, piece(number)).unwrap());
    }
    assert!(!store.put_piece(&partial, 2, piece(1)).unwrap(), "another piece is not kept");
    drop((partial, store));

    let path = std::fs::read_dir(folder.path().join("partial")).unwrap().next().unwrap();
    let torn = std::fs::OpenOptions::new().write(true).open(path.unwrap().path()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&torn, b"torn", PIECE_BYTES as u64).unwrap();
    let store = Store::open(folder.path()).unwrap();
    let partial = store.partial(BlobKind::Image, outline(&content)).unwrap();
    assert_eq!(partial.missing().unwrap(), [0, 1, 2], "what was torn counts as missing");
    for number in 0..3 {
        assert!(store.put_piece(&partial, number as u32, piece(number)).unwrap());
    }
    store.finish(partial).unwrap();
    let mut file = store.open_blob_checked(BlobKind::Image, Hash::of(&content)).unwrap();
    let mut found = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut found).unwrap();
    assert!(found == content);
    assert_eq!(std::fs::read_dir(folder.path().join("partial")).unwrap().count(), 0);
}
