//! Functions that travel between hosts, with real monitors: found, pulled, made warm; and what
//! becomes of it when another host is gone, lies, or has no right.
#![allow(clippy::unwrap_used)]

mod remote {
    mod budget;
    mod calls;
    mod liar;
    mod lies;
    mod permission;
    mod prewarm;
}
