//! The whole way: `up`, `deploy`, `call`, and what goes with them, with the real program.
#![allow(clippy::unwrap_used)]

mod e2e {
    mod calls;
    mod commands;
    mod demo;
    mod deploy;
    mod disk;
    mod folders;
    mod functions;
    mod guests;
    mod images;
    mod lazy;
    mod life;
    mod limits;
    mod processor;
    mod secrets;
    mod starting;
}
