//! Lines of the function's log.

use std::fmt;

use faaslet_abi::Level;

use crate::sys;

/// Writes one line to the function's log. The macros [`error!`](crate::error!),
/// [`warn!`](crate::warn!), [`info!`](crate::info!) and [`debug!`](crate::debug!) are shorter.
///
/// What goes to standard output and error is logged too. The host cuts a line that is too long and
/// drops those that are too many.
pub fn log(level: Level, line: fmt::Arguments<'_>) {
    match line.as_str() {
        Some(text) => sys::log(level, text),
        None => sys::log(level, &line.to_string()),
    }
}

/// Logs that something failed: `faaslet::error!("no model in {path}")`.
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => { $crate::log($crate::Level::Error, ::core::format_args!($($line)+)) };
}

/// Logs that something is wrong and was dealt with.
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => { $crate::log($crate::Level::Warn, ::core::format_args!($($line)+)) };
}

/// Logs what a reader of the log wants to know.
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => { $crate::log($crate::Level::Info, ::core::format_args!($($line)+)) };
}

/// Logs what a developer wants to know.
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => { $crate::log($crate::Level::Debug, ::core::format_args!($($line)+)) };
}
