//! State from outside of functions: the command line, HTTP, and monitors that share it.
#![allow(clippy::unwrap_used)]

mod state {
    mod command_line;
    mod hosts;
    mod http;
}
