//! Stylesheet, script and icons: inside the binary, each under an address that holds the hash of its content and may be kept for ever.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use super::error::Error;
use super::render::CachePolicy;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Files;

/// One file and the address under which pages name it.
struct Asset {
    address: String,
    bytes: std::borrow::Cow<'static, [u8]>,
    content_type: &'static str,
}

struct Assets {
    by_name: HashMap<String, Asset>,
    name_by_address: HashMap<String, String>,
}

static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let mut assets = Assets { by_name: HashMap::new(), name_by_address: HashMap::new() };
    for name in Files::iter() {
        let Some(file) = Files::get(&name) else { continue };
        let address = address(&name, &file.data);
        assets.name_by_address.insert(address.clone(), name.to_string());
        assets.by_name.insert(name.to_string(), Asset { address, bytes: file.data, content_type: content_type(&name) });
    }
    assets
});

/// The address of a file in `static/`, such as `app.css`. An unknown name stays as it is and answers 404; a test looks at every name
/// that templates use.
pub(super) fn asset(name: &str) -> &str {
    ASSETS.by_name.get(name).map_or(name, |asset| asset.address.as_str())
}

/// `GET /static/...`: by hashed address for ever, by plain name with revalidation.
pub(super) async fn serve(uri: Uri) -> Result<Response, Error> {
    let path = uri.path();
    let hashed = ASSETS.name_by_address.get(path);
    let name = hashed.map_or_else(|| path.trim_start_matches("/static/"), String::as_str);
    let asset = ASSETS.by_name.get(name).ok_or(Error::NotFound("file"))?;
    let policy = if hashed.is_some() { CachePolicy::Immutable } else { CachePolicy::Revalidate };
    let mut response = (StatusCode::OK, Body::from(asset.bytes.clone())).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    response.extensions_mut().insert(policy);
    Ok(response)
}

fn address(name: &str, bytes: &[u8]) -> String {
    let mut hash = String::new();
    for byte in &Sha256::digest(bytes)[..6] {
        write!(hash, "{byte:02x}").expect("writing to a string does not fail");
    }
    match name.rsplit_once('.') {
        Some((stem, extension)) if !extension.contains('/') => format!("/static/{stem}.{hash}.{extension}"),
        _ => format!("/static/{name}.{hash}"),
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::{ASSETS, address, asset};

    #[test]
    fn an_address_changes_with_the_content() {
        let (a, b) = (address("app.css", b"a"), address("app.css", b"b"));
        assert_eq!(a.len(), "/static/app.0123456789ab.css".len());
        assert_ne!(a, b);
    }

    #[test]
    fn every_address_leads_back_to_its_file() {
        for name in ["app.css", "app.js", "icons.svg", "favicon.svg", "vendor/htmx-2.0.11/htmx.min.js"] {
            assert_eq!(ASSETS.name_by_address.get(asset(name)).map(String::as_str), Some(name));
        }
    }

    /// Whatever templates name must exist, or a page would quietly lose an icon.
    #[test]
    fn every_icon_and_file_that_a_template_names_exists() {
        let icons = std::fs::read_to_string("static/icons.svg").unwrap();
        let mut folders = vec![std::path::PathBuf::from("templates")];
        let mut seen = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for (before, after) in text.match_indices("\"|").map(|(at, _)| (&text[..at], &text[at + 2..])) {
                    let name = before.rsplit('"').next().unwrap();
                    let filter: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    match filter.as_str() {
                        "icon" | "icon_small" => assert!(icons.contains(&format!("id=\"{name}\"")), "{path:?}: no icon {name}"),
                        "asset" => assert!(asset(name).starts_with("/static/"), "{path:?}: no file {name}"),
                        _ => continue,
                    }
                    seen += 1;
                }
            }
        }
        assert!(seen > 10, "the templates were not found");
    }
}
