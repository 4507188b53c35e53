//! How often somebody may try to log in: by account and by address, whichever is stricter.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Tries for one account at once, and how long until it gets another: guessing is slow, a person who is locked out waits seconds.
const ACCOUNT_BURST: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
const ACCOUNT_PERIOD: Duration = Duration::from_secs(15);
/// Tries from one address at once: an office behind one address is many people.
const ADDRESS_BURST: NonZeroU32 = NonZeroU32::new(30).expect("not zero");
const ADDRESS_PERIOD: Duration = Duration::from_secs(3);
/// Refusals for too many tries that reach the audit: the first ones tell what goes on, a flood must not fill the store.
const NOTICE_BURST: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
const NOTICE_PERIOD: Duration = Duration::from_secs(10);
/// Names and addresses remembered before those that are at rest are forgotten.
const REMEMBERED: usize = 10_000;

#[derive(Debug)]
pub(super) struct LoginLimits {
    accounts: DefaultKeyedRateLimiter<String>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    notices: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

impl LoginLimits {
    pub(super) fn new() -> Self {
        let quota = |burst, period| Quota::with_period(period).expect("the period is not zero").allow_burst(burst);
        Self {
            accounts: RateLimiter::keyed(quota(ACCOUNT_BURST, ACCOUNT_PERIOD)),
            addresses: RateLimiter::keyed(quota(ADDRESS_BURST, ADDRESS_PERIOD)),
            notices: RateLimiter::direct(quota(NOTICE_BURST, NOTICE_PERIOD)),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a try; the error says how long to wait.
    pub(super) fn check(&self, account: &str, address: Option<IpAddr>) -> Result<(), Duration> {
        self.forget_those_at_rest();
        let now = self.clock.now();
        if let Some(address) = address {
            self.addresses.check_key(&network(address)).map_err(|until| until.wait_time_from(now))?;
        }
        self.accounts.check_key(&account.to_lowercase()).map_err(|until| until.wait_time_from(now))
    }

    /// Whether another refusal for too many tries should be recorded.
    pub(super) fn is_worth_recording(&self) -> bool {
        self.notices.check().is_ok()
    }

    fn forget_those_at_rest(&self) {
        if self.accounts.len() > REMEMBERED {
            self.accounts.retain_recent();
        }
        if self.addresses.len() > REMEMBERED {
            self.addresses.retain_recent();
        }
    }
}

/// Whoever has one IPv6 address has the 2^64 beside it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(std::net::Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::{LoginLimits, network};
    use std::net::IpAddr;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_account_gets_ten_tries_from_wherever_they_come() {
        let limits = LoginLimits::new();
        for n in 0..10 {
            let name = if n % 2 == 0 { "mara" } else { "MARA" };
            assert!(limits.check(name, Some(address(&format!("10.0.0.{n}")))).is_ok());
        }
        let wait = limits.check("mara", Some(address("10.0.1.1"))).expect_err("the eleventh waits");
        assert!(wait.as_secs() <= 15 && !wait.is_zero(), "{wait:?}");
        assert!(limits.check("other", Some(address("10.0.1.1"))).is_ok());
    }

    #[test]
    fn an_address_gets_thirty_tries_for_whatever_names() {
        let limits = LoginLimits::new();
        for n in 0..30 {
            assert!(limits.check(&format!("user{n}"), Some(address("10.0.0.1"))).is_ok());
        }
        assert!(limits.check("user30", Some(address("10.0.0.1"))).is_err());
        assert!(limits.check("user30", Some(address("10.0.0.2"))).is_ok());
    }

    #[test]
    fn a_flood_of_refusals_is_recorded_ten_times() {
        let limits = LoginLimits::new();
        assert_eq!((0..1_000).filter(|_| limits.is_worth_recording()).count(), 10);
    }

    #[test]
    fn neighbours_in_one_ipv6_network_are_one() {
        assert_eq!(network(address("2001:db8::1")), network(address("2001:db8::ffff:1")));
        assert_ne!(network(address("2001:db8::1")), network(address("2001:db8:0:1::1")));
        assert_eq!(network(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }
}
