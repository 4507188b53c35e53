//! Our cookies: the session, the theme, and a message that is shown once after a redirect.

use axum::http::{HeaderMap, HeaderValue, header};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};

use super::address;
use crate::access::{SESSION_ABSOLUTE, Secret};
use crate::model::discard::DiscardId;

/// The names and marks that the public address asks for: with https, `__Host-` names bind a cookie to exactly this host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cookies {
    secure: bool,
}

const SESSION: &str = "redrive_session";
const THEME: &str = "redrive_theme";
const FLASH: &str = "redrive_flash";

/// What to look like; without one the system decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// Light.
    Light,
    /// Dark.
    Dark,
    /// As the system has it.
    System,
}

impl Theme {
    /// Its word in the cookie and in the page.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
            Self::System => "system",
        }
    }
}

/// Between a message and the discard that it offers to take back.
const UNDO: char = '\u{1f}';

/// A message that is shown once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flash {
    pub(super) text: String,
    /// The discard that can be taken back.
    pub(super) undo: Option<DiscardId>,
}

impl Cookies {
    pub(super) const fn new(secure: bool) -> Self {
        Self { secure }
    }

    /// The secret of the session that a request names.
    pub(super) fn session(self, headers: &HeaderMap) -> Option<String> {
        self.read(headers, SESSION).filter(|secret| secret.len() <= 128)
    }

    pub(super) fn begin_session(self, secret: &Secret) -> HeaderValue {
        self.header(SESSION, secret.expose(), Some(SESSION_ABSOLUTE.as_secs()))
    }

    pub(super) fn end_session(self) -> HeaderValue {
        self.header(SESSION, "", Some(0))
    }

    pub(super) fn theme(self, headers: &HeaderMap) -> Theme {
        match self.read(headers, THEME).as_deref() {
            Some("light") => Theme::Light,
            Some("dark") => Theme::Dark,
            _ => Theme::System,
        }
    }

    pub(super) fn set_theme(self, theme: Theme) -> HeaderValue {
        self.header(THEME, theme.as_str(), Some(400 * 24 * 60 * 60))
    }

    /// The message of the answer before, such as "User mara added".
    pub(super) fn flash(self, headers: &HeaderMap) -> Option<Flash> {
        // The jar has undone the percent-encoding.
        let text = self.read(headers, FLASH)?;
        let (text, undo) = text.split_once(UNDO).map_or((text.as_str(), None), |(text, id)| (text, DiscardId::parse(id)));
        let fits = !text.is_empty() && text.chars().count() <= 200;
        fits.then(|| Flash { text: text.to_owned(), undo })
    }

    /// A message with the discard that can be taken back.
    pub(super) fn set_flash_with_undo(self, text: &str, discard_id: &str) -> HeaderValue {
        self.set_flash(&format!("{text}{UNDO}{discard_id}"))
    }

    pub(super) fn set_flash(self, text: &str) -> HeaderValue {
        self.header(FLASH, &address::encode(text), Some(60))
    }

    pub(super) fn clear_flash(self) -> HeaderValue {
        self.header(FLASH, "", Some(0))
    }

    fn name(self, name: &str) -> String {
        if self.secure { format!("__Host-{name}") } else { name.to_owned() }
    }

    fn read(self, headers: &HeaderMap, name: &str) -> Option<String> {
        Some(CookieJar::from_headers(headers).get(&self.name(name))?.value().to_owned())
    }

    fn header(self, name: &str, value: &str, seconds: Option<u64>) -> HeaderValue {
        let mut text = Cookie::build((self.name(name), value.to_owned()))
            .path("/")
            .http_only(true)
            .secure(self.secure)
            .same_site(SameSite::Lax)
            .build()
            .to_string();
        if let Some(seconds) = seconds {
            text += "; Max-Age=";
            text += &seconds.to_string();
        }
        HeaderValue::from_str(&text).expect("names are ours, and values are base64url, percent-encoded or words")
    }
}

/// Adds a cookie to an answer.
pub(super) fn set(response: &mut axum::response::Response, cookie: HeaderValue) {
    response.headers_mut().append(header::SET_COOKIE, cookie);
}

#[cfg(test)]
mod tests {
    use super::{Cookies, DiscardId, Flash, Theme};
    use crate::model::Timestamp;
    use axum::http::{HeaderMap, HeaderValue, header};

    fn sent(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(pair).unwrap())])
    }

    #[test]
    fn https_binds_cookies_to_the_host() {
        let cookie = Cookies::new(true).set_theme(Theme::Dark);
        let text = cookie.to_str().unwrap();
        assert!(text.starts_with("__Host-redrive_theme=dark; "), "{text}");
        for mark in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(text.contains(mark), "{mark} in {text}");
        }
        assert!(!Cookies::new(false).set_theme(Theme::Dark).to_str().unwrap().contains("Secure"));
        assert_eq!(Cookies::new(false).theme(&sent(&cookie)), Theme::System, "a plain name is another cookie");
        assert_eq!(Cookies::new(true).theme(&sent(&cookie)), Theme::Dark);
    }

    #[test]
    fn a_message_survives_the_redirect() {
        let cookies = Cookies::new(false);
        let text = "User \"Zoë\" added; see + below";
        assert_eq!(cookies.flash(&sent(&cookies.set_flash(text))), Some(Flash { text: text.to_owned(), undo: None }));
        assert_eq!(cookies.flash(&HeaderMap::new()), None);
        let id = DiscardId::new(Timestamp::from_millis(7));
        let flash = cookies.flash(&sent(&cookies.set_flash_with_undo("7 discarded", id.as_str()))).unwrap();
        assert_eq!((flash.text.as_str(), flash.undo), ("7 discarded", Some(id)));
        let forged = cookies.flash(&sent(&cookies.set_flash_with_undo("7 discarded", "\"><script>"))).unwrap();
        assert_eq!(forged.undo, None);
    }
}
