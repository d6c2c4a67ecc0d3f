//! Bad input of every kind: refused with an error that says what to do, and nothing else happens.
#![allow(clippy::unwrap_used)]

mod bad_input {
    mod callers;
    mod files;
    mod full_disk;
    mod modules;
}
