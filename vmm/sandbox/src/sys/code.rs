//! Pages of the program's own code.

use std::io;

/// Unmaps the code of this process's program: what it needs again comes back, page by page, from
/// the page cache, and what only its start needed does not count for it any more. Bytes unmapped.
pub(crate) fn release() -> io::Result<usize> {
    let program = std::env::current_exe()?;
    let program = program.to_string_lossy();
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let code = maps.lines().filter_map(|line| code_of(line, &program));
    let mut released = 0;
    for (start, end) in code {
        // SAFETY: the kernel says that this is a private mapping of a file, executable and not
        // writable: it holds the file's bytes and nothing else, and the same bytes are mapped
        // again by the next access, from any thread, this one's next instruction among them.
        let done =
            unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        released += end - start;
    }
    Ok(released)
}

/// The range of a line of `/proc/self/maps` that is code of this program.
fn code_of(line: &str, program: &str) -> Option<(usize, usize)> {
    let (range, rest) = line.split_once(' ')?;
    if !rest.starts_with("r-xp ") || !rest.ends_with(&format!(" {program}")) {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_is_code() {
        let line = |rights: &str, path: &str| format!("5500-5600 {rights} 0000 00:1f 7     {path}");
        assert_eq!(code_of(&line("r-xp", "/bin/f"), "/bin/f"), Some((0x5500, 0x5600)));
        for (rights, path) in
            [("rwxp", "/bin/f"), ("r--p", "/bin/f"), ("r-xs", "/bin/f"), ("r-xp", "/lib/x")]
        {
            assert_eq!(code_of(&line(rights, path), "/bin/f"), None, "{rights} {path}");
        }
        assert_eq!(code_of("", "/bin/f"), None);
    }

    #[test]
    fn a_program_runs_on_without_its_code_in_memory() {
        assert!(release().unwrap() > 0);
        assert!(release().unwrap() > 0);
    }
}
