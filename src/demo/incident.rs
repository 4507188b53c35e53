//! When the incident begins, how it spreads, and when it is over: a function of how long the shop has been open.

use std::time::Duration;

/// The storefront begins to roll out a wallet whose orders have no card token.
const BEGINS: u64 = 25;

/// The rollout reaches its full share so many seconds later.
const GROWS: u64 = 90;

/// The carrier gives way under the repeated label requests so many seconds after the beginning.
const CARRIER_AFTER: u64 = 60;

/// The rollout is taken back so many seconds after the beginning; the carrier recovers a little later.
const LASTS: u64 = 480;
const CARRIER_LASTS: u64 = 540;

/// Such a day comes again.
const PERIOD: u64 = 1_200;

/// Orders in a thousand without a card token, at the height.
const FULL_SHARE: u64 = 420;

/// Seconds since the present incident began; `None` before the first.
const fn since(open_for: Duration) -> Option<u64> {
    match open_for.as_secs().checked_sub(BEGINS) {
        Some(seconds) => Some(seconds % PERIOD),
        None => None,
    }
}

/// Orders in a thousand that come without a card token.
pub(super) const fn orders_without_token(open_for: Duration) -> u64 {
    match since(open_for) {
        // Something is wrong at once, and more of it by the second.
        Some(seconds) if seconds < GROWS => 60 + (FULL_SHARE - 60) * seconds / GROWS,
        Some(seconds) if seconds < LASTS => FULL_SHARE,
        _ => 0,
    }
}

/// Label requests in a thousand that the carrier leaves unanswered.
pub(super) const fn carrier_timeouts(open_for: Duration) -> u64 {
    match since(open_for) {
        Some(seconds) if seconds >= CARRIER_AFTER && seconds < CARRIER_LASTS => 350,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_begins_grows_spreads_ends_and_comes_again() {
        assert_eq!(orders_without_token(at(24)), 0);
        assert!(orders_without_token(at(25)) > 0);
        assert!(orders_without_token(at(60)) > orders_without_token(at(30)));
        assert_eq!(orders_without_token(at(200)), FULL_SHARE);
        assert_eq!(carrier_timeouts(at(60)), 0);
        assert!(carrier_timeouts(at(90)) > 0, "it spreads");
        assert_eq!((orders_without_token(at(700)), carrier_timeouts(at(700))), (0, 0));
        assert!(orders_without_token(at(PERIOD + 60)) > 0);
    }
}
