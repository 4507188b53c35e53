//! The house keeps its shape: arrows between rooms, homes of foreign crates, sizes, and what templates and migrations must not hold.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

mod paths;

/// What a room may use beside itself. The longest prefix of a module's path decides.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("metrics", PURE),
    ("traces", PURE),
    ("dead_letters::conventions", PURE),
    ("dead_letters::decode", PURE),
    ("dead_letters::fingerprint", PURE),
    ("dead_letters::discovery", PURE),
    ("dead_letters", &["model", "dead_letters", "bus", "store", "config", "lifecycle", "telemetry"]),
    ("alerts::rule", PURE),
    ("alerts::state", PURE),
    ("alerts::grouping", PURE),
    ("alerts::silences", PURE),
    ("alerts::inhibition", PURE),
    ("alerts::trying", PURE),
    ("config", &["model"]),
    ("lifecycle", &["model"]),
    ("telemetry", &["model", "config"]),
    ("bus", &["model", "config", "lifecycle", "telemetry"]),
    ("store", &["model", "metrics", "config", "lifecycle", "telemetry"]),
    ("access", &["model", "store", "config", "lifecycle", "telemetry"]),
    ("alerts", &["model", "metrics", "store", "access", "config", "lifecycle", "telemetry"]),
    ("alerts::notify", &["model", "config"]),
    ("otlp", &["model", "bus", "store", "config", "lifecycle", "telemetry"]),
    ("operations", &["model", "bus", "store", "config", "lifecycle", "telemetry", "dead_letters::decode", "dead_letters::conventions"]),
    (
        "jobs",
        &[
            "model",
            "metrics",
            "traces",
            "bus",
            "store",
            "dead_letters",
            "operations",
            "access",
            "alerts",
            "config",
            "lifecycle",
            "telemetry",
        ],
    ),
    (
        "web",
        &[
            "model",
            "metrics",
            "traces",
            "store",
            "operations",
            "access",
            "alerts",
            "config",
            "lifecycle",
            "telemetry",
            "dead_letters::conventions",
            "dead_letters::decode",
            "dead_letters::fingerprint",
            "dead_letters::discovery",
        ],
    ),
    ("demo", &["model", "config", "lifecycle", "telemetry"]),
    ("cli", &["app", "model", "config", "store", "bus", "access", "demo", "dead_letters", "lifecycle", "telemetry"]),
    ("app", &["*"]),
];

/// The pure modules: values in, values out.
const PURE: &[&str] = &[
    "model",
    "metrics",
    "traces",
    "dead_letters::conventions",
    "dead_letters::decode",
    "dead_letters::fingerprint",
    "dead_letters::discovery",
    "alerts::rule",
    "alerts::state",
    "alerts::grouping",
    "alerts::silences",
    "alerts::inhibition",
    "alerts::trying",
];

/// Foreign crates and the rooms that may name them.
const HOMES: &[(&str, &[&str])] = &[
    ("rdkafka", &["bus::kafka", "demo"]),
    ("sqlx", &["store"]),
    ("axum", &["web", "otlp::http", "otlp::grpc", "otlp::listen"]),
    ("axum_extra", &["web"]),
    ("askama", &["web"]),
    ("tower", &["web"]),
    ("tower_http", &["web"]),
    ("utoipa", &["web"]),
    ("utoipa_axum", &["web"]),
    ("rust_embed", &["web"]),
    ("prometheus", &["telemetry"]),
    ("opentelemetry", &["telemetry", "demo"]),
    ("opentelemetry_proto", &["otlp"]),
    ("prost", &["otlp"]),
    ("tonic", &["otlp"]),
    ("tonic_prost", &["otlp"]),
    ("tonic_types", &["otlp"]),
    ("opentelemetry_otlp", &["telemetry", "demo"]),
    ("opentelemetry_sdk", &["telemetry", "demo"]),
    ("tracing_opentelemetry", &["telemetry"]),
    ("tracing_subscriber", &["telemetry", "config"]),
    ("argon2", &["access"]),
    ("chacha20poly1305", &["access::vault"]),
    ("hmac", &["alerts::notify"]),
    ("hyper", &["demo"]),
    ("hyper_util", &["demo"]),
    ("http_body_util", &["demo"]),
    ("standardwebhooks", &["demo"]),
    ("lettre", &["alerts::notify"]),
    ("reqwest", &["alerts::notify"]),
    ("figment", &["config"]),
    ("clap", &["cli", "main"]),
    ("anyhow", &["main", "cli", "jobs", "otlp", "app", "lifecycle", "dead_letters::indexer", "web", "demo"]),
];

/// Lines a file may have.
const LONGEST_FILE: usize = 500;

#[test]
fn rooms_use_only_what_the_arrows_allow() {
    let mut wrong = String::new();
    for file in sources("src") {
        let module = module_of(&file);
        if module == "lib" || module == "main" {
            continue;
        }
        let (room, allowed) = ARROWS
            .iter()
            .filter(|(room, _)| is_below(&module, room))
            .max_by_key(|(room, _)| room.len())
            .unwrap_or_else(|| panic!("{} lies in no room of the map", file.display()));
        let text = production_code(&file);
        for used in paths::after_crate(&text) {
            let fine = is_below(&used, room) || allowed.iter().any(|allowed| *allowed == "*" || is_below(&used, allowed));
            if !fine && !re_exported(&used) {
                let _ = writeln!(wrong, "{}: {room} may not use {used}", file.display());
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn pure_modules_do_not_reach_the_indexer_by_relative_paths() {
    let below = |file: &PathBuf| PURE.iter().any(|room| *room != "model" && is_below(&module_of(file), room));
    let wrong: Vec<_> = sources("src").into_iter().filter(below).filter(|file| production_code(file).contains("super::indexer")).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn foreign_crates_stay_at_home() {
    let mut wrong = String::new();
    for file in sources("src") {
        let module = module_of(&file);
        let text = production_code(&file);
        for (krate, homes) in HOMES {
            if paths::names_crate(&text, krate) && !homes.iter().any(|home| is_below(&module, home)) {
                let _ = writeln!(wrong, "{}: {krate} has its home in {}", file.display(), homes.join(" and "));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn unsafe_code_stays_in_one_room_each_block_with_its_reason() {
    let with_unsafe: Vec<_> = sources("src").into_iter().filter(|file| production_code(file).contains("unsafe {")).collect();
    assert!(with_unsafe.iter().all(|file| is_below(&module_of(file), "bus::kafka::ffi")), "{with_unsafe:?}");
    for file in with_unsafe {
        let text = read(&file);
        let blocks = text.matches("unsafe {").count();
        assert!(text.matches("// SAFETY:").count() >= blocks, "{}: {blocks} blocks need as many `// SAFETY:`", file.display());
    }
}

#[test]
fn folders_have_their_file_beside_them_and_files_stay_readable() {
    let mut wrong = String::new();
    for file in sources("src").into_iter().chain(sources("tests")).chain(sources("benches")) {
        if file.ends_with("mod.rs") {
            let _ = writeln!(wrong, "{}: write the module beside its folder", file.display());
        }
        let lines = read(&file).lines().count();
        if lines > LONGEST_FILE {
            let _ = writeln!(wrong, "{}: {lines} lines, {LONGEST_FILE} are the limit", file.display());
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |engine: &str| -> BTreeSet<String> {
        let folder = root().join("migrations").join(engine);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        entries.map(|entry| entry.expect("the folder can be read").file_name().to_string_lossy().into_owned()).collect()
    };
    assert!(!names("sqlite").is_empty());
    assert_eq!(names("sqlite"), names("postgres"));
}

#[test]
fn templates_hold_nothing_that_the_content_policy_forbids() {
    let inline = regex::Regex::new(r#"(?i)<style|\sstyle\s*=|\son[a-z]+\s*=\s*["']|javascript:|<script(?:\s[^>]*)?>[^<\s]|hx-on"#)
        .expect("is a pattern");
    let mut wrong = String::new();
    for file in files(&root().join("templates"), &["html", "svg", "txt"]) {
        for (number, line) in read(&file).lines().enumerate() {
            if let Some(found) = inline.find(line) {
                let _ = writeln!(wrong, "{}:{}: {}", file.display(), number + 1, found.as_str());
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// SQLite commits a statement that returns rows after its last row: whoever stops at the first would not hear of a commit that failed.
#[test]
fn rows_of_single_writes_are_read_to_their_end() {
    let stopped_early: Vec<_> = sources("src/store")
        .into_iter()
        .filter(|file| !file.ends_with("dialect.rs"))
        .filter(|file| {
            let text = read(file);
            text.split("write_one!(").skip(1).filter_map(|rest| rest.split_once(';')).any(|(body, _)| body.contains(".fetch_"))
        })
        .collect();
    assert!(stopped_early.is_empty(), "use returned! instead: {stopped_early:?}");
}

/// The crate's root re-exports nothing; a path that names only an item of `crate::` itself (a macro) is no arrow.
fn re_exported(used: &str) -> bool {
    used.is_empty()
}

/// Whether a module is another or lies below it.
fn is_below(module: &str, room: &str) -> bool {
    module == room || module.strip_prefix(room).is_some_and(|rest| rest.starts_with("::"))
}

/// `src/web/pages/topics.rs` is `web::pages::topics`.
fn module_of(file: &Path) -> String {
    let relative = file.strip_prefix(root().join("src")).expect("lies in src").with_extension("");
    relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect::<Vec<_>>().join("::")
}

/// A file without its comments and its tests.
fn production_code(file: &Path) -> String {
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    if name == "tests" || name.ends_with("_tests") || file.components().any(|part| part.as_os_str() == "tests") {
        return String::new();
    }
    let text = read(file);
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).fold(String::new(), |text, line| text + line + "\n")
}

fn sources(folder: &str) -> Vec<PathBuf> {
    files(&root().join(folder), &["rs"])
}

fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            found.extend(files(&path, extensions));
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
