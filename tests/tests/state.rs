//! State with the real program: what functions of one host share, the command line, HTTP, and
//! monitors that share it.
#![allow(clippy::unwrap_used)]

mod state {
    mod command_line;
    mod counters;
    mod hosts;
    mod http;
    mod one_host;
    mod quic;
    mod salvage;
    mod storm;
    mod word_count;
}
