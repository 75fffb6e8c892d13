//! The CPU time of this process.

/// Microseconds in a clock tick of `/proc/self/stat` (`USER_HZ` is 100 on every Linux this runs on).
const TICK_US: u64 = 10_000;

/// User and system time used so far, in microseconds, to 10 ms.
pub fn used_us() -> Result<u64, String> {
    let stat =
        std::fs::read_to_string("/proc/self/stat").map_err(|error| format!("/proc/self/stat: {error}"))?;
    parse(&stat).ok_or_else(|| "/proc/self/stat: not in the expected form".to_owned())
}

fn parse(stat: &str) -> Option<u64> {
    // The second field is the name in parentheses and may hold blanks; utime and stime are fields 14 and 15.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)?.checked_mul(TICK_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_fields_are_added() {
        let stat = "1 (a b) c) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17";
        assert_eq!(parse(stat), Some(29 * TICK_US));
        assert_eq!(parse("1 (a) S 4"), None);
        assert!(used_us().is_ok());
    }
}
