//! Function names of the `name` custom section.

use wasmparser::{BinaryReader, Name, NameSectionReader};

/// Custom section that names functions.
pub(crate) const SECTION: &str = "name";

/// The name of one function. A malformed section has no names; it is advice, not code.
pub(crate) fn function(section: &[u8], index: u32) -> Option<String> {
    let mut found = None;
    each(section, |at, name| {
        if at == index {
            found = Some(name.to_owned());
        }
        at < index
    });
    found
}

/// Hands out the functions' names in order of index, as long as `take` returns true.
pub(crate) fn each<'m>(section: &'m [u8], mut take: impl FnMut(u32, &'m str) -> bool) {
    for part in NameSectionReader::new(BinaryReader::new(section, 0)) {
        let Ok(Name::Function(names)) = part else { continue };
        for naming in names {
            let Ok(naming) = naming else { return };
            if !take(naming.index, naming.name) {
                return;
            }
        }
    }
}
