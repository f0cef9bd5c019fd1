//! Says what time it is, for pages, reports and logs. `SOURCE_DATE_EPOCH` sets the clock, so that a build can be repeated to the byte
//! (reproducible-builds.org/specs/source-date-epoch).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the time as RFC 3339 has it, in UTC: `2026-01-31T12:00:00Z`.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(time(std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())).to_string()
}

/// Returns what `said` sets the clock to, in seconds since 1970, or the system's time.
fn time(said: Option<&str>) -> SystemTime {
    let set = said.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
    // Beyond the year 9999 there is no RFC 3339.
    let set = set.filter(|set| set.as_secs() < 253_402_300_800);
    set.and_then(|set| UNIX_EPOCH.checked_add(set)).unwrap_or_else(SystemTime::now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_can_be_set() {
        assert_eq!(time(Some("0")), UNIX_EPOCH);
        assert_eq!(
            humantime::format_rfc3339_seconds(time(Some("1700000000"))).to_string(),
            "2023-11-14T22:13:20Z"
        );
        for unusable in [None, Some(""), Some("-1"), Some("soon"), Some("999999999999999999")] {
            assert!(time(unusable) > UNIX_EPOCH + Duration::from_secs(1_700_000_000), "{unusable:?}");
        }
    }
}
