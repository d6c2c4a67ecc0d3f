//! The kernel's page map, for whoever watches mappings of their own: which pages were written.

pub use crate::sys::{MAX_SCAN_REGIONS, PageRegion, ScanStop, WriteWatch, scan_written};
