//! The whole way: `up`, `deploy`, `call`, and what goes with them, with the real program.
#![allow(clippy::unwrap_used)]

mod e2e {
    mod calls;
    mod demo;
    mod functions;
    mod guests;
    mod life;
}
