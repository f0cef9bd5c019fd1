//! Tries again: which failures pass by themselves, and how long to wait between tries.

use std::hash::{BuildHasher, RandomState};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::config::Retries;
use super::error::HubError;
use super::progress::{FetchEvent, Progress};

/// Says why a try failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// Means that it would fail again.
    Final(HubError),
    /// Means that it may work next time.
    Passing {
        /// Says what the network or the server said, for the user.
        why: String,
        /// Gives the pause that the server asked for.
        retry_after: Option<Duration>,
        /// Says whether the failed try got the work forward, so that the count of tries begins anew.
        progressed: bool,
        /// Says whether nobody is there to ask: such a failure is quick, and seldom passes within seconds.
        absent: bool,
        /// Says what it is if it does not pass. The count of tries is filled in.
        error: Box<HubError>,
    },
}

impl From<HubError> for Fault {
    fn from(error: HubError) -> Self {
        Self::Final(error)
    }
}

/// Calls `attempt` until it works, fails for good, or has failed `policy.tries` times in a row.
pub(super) fn retrying<T>(
    policy: &Retries,
    progress: &dyn Progress,
    mut attempt: impl FnMut() -> Result<T, Fault>,
) -> Result<T, HubError> {
    let mut failed: u32 = 0;
    loop {
        let (why, retry_after, progressed, absent, error) = match attempt() {
            Ok(done) => return Ok(done),
            Err(Fault::Final(error)) => return Err(error),
            Err(Fault::Passing { why, retry_after, progressed, absent, error }) => {
                (why, retry_after, progressed, absent, error)
            }
        };
        failed = if progressed { 1 } else { failed.saturating_add(1) };
        let asked_too_much = retry_after.is_some_and(|pause| pause > policy.longest_retry_after);
        let tries = if absent { policy.tries.min(policy.tries_if_absent) } else { policy.tries };
        if failed >= tries.max(1) || asked_too_much {
            return Err(with_tries(*error, failed));
        }
        let pause = retry_after.unwrap_or_else(|| backoff(policy, failed));
        progress.event(FetchEvent::Retrying { why: &why, pause, failed_try: failed, tries });
        sleep(pause);
    }
}

/// Returns `first · 2^(failed - 1)`, at most `longest`, less a random part of up to a quarter, so that many
/// processes that failed together do not come back together.
fn backoff(policy: &Retries, failed: u32) -> Duration {
    let doublings = failed.saturating_sub(1).min(16);
    let full = policy.first_pause.saturating_mul(1_u32 << doublings).min(policy.longest_pause);
    let random = u32::try_from(RandomState::new().hash_one(failed) % 256).unwrap_or(0);
    full.saturating_sub(full.saturating_mul(random) / 1024)
}

fn with_tries(mut error: HubError, failed: u32) -> HubError {
    match &mut error {
        HubError::Unreachable { tries, .. }
        | HubError::Cut { tries, .. }
        | HubError::RateLimited { tries, .. }
        | HubError::Status { tries, .. } => *tries = failed,
        _ => {}
    }
    error
}

/// Says whether a status means that the same request may work later (RFC 9110, section 15; RFC 6585 for 429).
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// Returns the pause that a `Retry-After` header asks for: seconds, or a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let then = UNIX_EPOCH.checked_add(Duration::from_secs(http_date(value)?))?;
    Some(then.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO))
}

/// Returns the pause that the Hub's `RateLimit: "api";r=0;t=55` header asks for, if nothing remains
/// (draft-ietf-httpapi-ratelimit-headers-09).
pub(super) fn rate_limit_reset(value: &str) -> Option<Duration> {
    let field = |name: &str| {
        value
            .split([';', ','])
            .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=')?.parse::<u64>().ok())
    };
    (field("r") == Some(0)).then(|| field("t").map(Duration::from_secs)).flatten()
}

/// Returns the seconds since 1970 of an HTTP date such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
fn http_date(text: &str) -> Option<u64> {
    let mut parts = text.split_once(", ")?.1.split(' ');
    let day: u64 = parts.next()?.parse().ok()?;
    let month = parts.next()?;
    let year: u64 = parts.next()?.parse().ok()?;
    let mut clock = parts.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if parts.next() != Some("GMT") || !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = u64::try_from(months.iter().position(|name| *name == month)?).ok()?.checked_add(1)?;
    // Days since 1970 by counting from 1 March, so that the leap day ends the year
    // (H. Hinnant, "chrono-compatible low-level date algorithms").
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    (hour < 24 && minute < 60 && second <= 60).then_some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{backoff, http_date, rate_limit_reset, retry_after};
    use crate::hub::Retries;

    #[test]
    fn dates_are_counted_from_1970() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("Thu, 29 Feb 2024 23:59:60 GMT"), Some(1_709_251_200));
        for wrong in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Foo 1994 08:49:37 GMT",
        ] {
            assert_eq!(http_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_server_may_ask_for_a_pause_in_three_ways() {
        assert_eq!(retry_after(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
        assert_eq!(rate_limit_reset("\"api\";r=0;t=55"), Some(Duration::from_secs(55)));
        assert_eq!(rate_limit_reset("\"api\";r=3;t=55"), None);
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = Retries::default();
        for (failed, full) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (4_000_000, 8)] {
            let pause = backoff(&policy, failed);
            assert!(
                pause <= Duration::from_secs(full) && pause >= Duration::from_millis(full * 750),
                "{failed}: {pause:?}"
            );
        }
    }
}
