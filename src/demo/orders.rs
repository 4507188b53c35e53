//! What the shop's messages say.

use serde::{Deserialize, Serialize};

use super::random::Random;

/// An order; later topics carry it on with what was added.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    #[serde(rename = "order_id")]
    pub(super) id: String,
    pub(super) customer_id: u32,
    pub(super) sku: String,
    pub(super) quantity: u32,
    pub(super) amount_cents: u64,
    pub(super) country: String,
    pub(super) postal_code: String,
    pub(super) email: String,
    pub(super) carrier: String,
    pub(super) wallet: String,
    /// Absent in orders of the new wallet.
    pub(super) card_token: Option<String>,
}

const NAMES: [&str; 8] = ["mara", "jonas", "aylin", "pedro", "noor", "eva", "tomasz", "linh"];
const COUNTRIES: [(&str, &str); 6] = [("DE", "10115"), ("FR", "75011"), ("NL", "1017"), ("PL", "00-001"), ("ES", "28004"), ("AT", "1010")];
const CARRIERS: [&str; 3] = ["northwind", "blueline", "parcelry"];

impl Order {
    /// The next order; so many in a thousand come from the new wallet, without a card token.
    pub(super) fn random(random: &mut Random, without_token: u64) -> Self {
        let id = random.next();
        let (country, postal_code) = *random.pick(&COUNTRIES);
        let new_wallet = random.permille(without_token);
        let mut order = Self {
            id: format!("ord-{:012x}", id & 0xffff_ffff_ffff),
            customer_id: 10_000 + u32::try_from(random.below(80_000)).unwrap_or(0),
            sku: format!("SKU-{}", 1_000 + random.below(900)),
            quantity: 1 + u32::try_from(random.below(4)).unwrap_or(0),
            amount_cents: 499 + random.below(30_000),
            country: country.to_owned(),
            postal_code: postal_code.to_owned(),
            email: format!("{}.{}@example.com", random.pick(&NAMES), random.below(1_000)),
            carrier: (*random.pick(&CARRIERS)).to_owned(),
            wallet: if new_wallet { "tap2" } else { "card" }.to_owned(),
            card_token: (!new_wallet).then(|| format!("tok_{:016x}", random.next())),
        };
        order.everyday_trouble(random);
        order
    }

    /// What is wrong with a few orders on every day.
    fn everyday_trouble(&mut self, random: &mut Random) {
        match random.below(1_000) {
            0..6 => self.sku = format!("SKU-{}", 9_000 + random.below(99)),
            6..14 => self.card_token = Some("tok_declined".to_owned()),
            14..19 => "99999".clone_into(&mut self.postal_code),
            19..23 => "XK".clone_into(&mut self.country),
            23..28 => self.email = format!("{}.example.com", random.pick(&NAMES)),
            28..33 => self.customer_id = 7,
            _ => {}
        }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        // An order holds text and numbers only, which JSON always takes.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
