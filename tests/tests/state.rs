//! State, with the real program: what functions of one host share.
#![allow(clippy::unwrap_used)]

mod state {
    mod one_host;
}
