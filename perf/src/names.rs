//! The names of rows: which group writes which.
//!
//! A pattern has as many parts between dots as the names it fits; a part is a word, words with `|`
//! between them, or `*` for any word. A row that no pattern of its group fits fails the run, so
//! that goals, tables and merging can rely on them.

use crate::groups::GROUPS;

/// Whether `name` is one that `pattern` stands for.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let (mut parts, mut words) = (pattern.split('.'), name.split('.'));
    loop {
        match (parts.next(), words.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(part), Some(word)) if part.split('|').any(|one| one == word) => {}
            _ => return false,
        }
    }
}

/// Where the group that writes `name` stands among the groups.
pub(crate) fn owner(name: &str) -> Option<usize> {
    GROUPS.iter().position(|group| group.writes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_part_by_part() {
        assert!(fits("fork.noop|dirty3.p50|p99", "fork.dirty3.p99"));
        assert!(!fits("fork.noop|dirty3.p50|p99", "fork.dirty30.p99"));
        assert!(!fits("fork.noop", "fork.noop.p50") && !fits("fork.noop.p50", "fork.noop"));
        assert!(fits("churn.*.*.p50", "churn.fork.10.p50"));
    }

    #[test]
    fn a_row_belongs_to_one_group() {
        for name in ["fresh.noop.p50", "fresh.memory", "call.quic.open.1000.p50", "load.fork"] {
            let owners = GROUPS.iter().filter(|group| group.writes(name)).count();
            assert_eq!(owners, 1, "{name}");
        }
    }
}
