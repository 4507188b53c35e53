//! The description of the API beside what it does: an operation reads the fields that are described, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use axum::http::Method;
use redrive::model::Role;
use serde_json::Value;

use super::site::Site;

/// A name that no operation reads.
const STRANGER: &str = "no_such_field";

/// An operation as it is described.
struct Operation {
    method: Method,
    path: String,
    in_path: BTreeSet<String>,
    in_query: BTreeSet<String>,
    /// Properties of its JSON body; `None` when it takes none.
    in_body: Option<BTreeSet<String>>,
    /// What of all this has no words.
    wordless: Vec<String>,
}

impl Operation {
    fn read(document: &Value, path: &str, method: &str, operation: &Value) -> Self {
        let (mut in_path, mut in_query, mut wordless) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().expect("a name").to_owned();
            if parameter["description"].as_str().is_none_or(str::is_empty) {
                wordless.push(name.clone());
            }
            let known = if parameter["in"] == "path" { &mut in_path } else { &mut in_query };
            assert!(known.insert(name.clone()), "{method} {path}: {name} is described twice");
        }
        let body = operation["requestBody"]["content"]["application/json"]["schema"].clone();
        let in_body = (!body.is_null()).then(|| properties(document, &body));
        if operation["summary"].as_str().is_none_or(str::is_empty) {
            wordless.push("the operation".to_owned());
        }
        let method = method.to_uppercase().parse().expect("a method");
        Self { method, path: path.to_owned(), in_path, in_query, in_body, wordless }
    }

    /// An address of it; what stands for a name is a legal value.
    fn address(&self) -> String {
        let sample = |part: &str| match part {
            "{fingerprint}" => "v1-0123456789abcdef".to_owned(),
            "{id}" | "{number}" => "1".to_owned(),
            part if part.starts_with('{') => "sample".to_owned(),
            part => part.to_owned(),
        };
        self.path.split('/').map(sample).collect::<Vec<_>>().join("/")
    }

    /// What the answer to a request with this field says of it: whether it is unknown, and which ones are known.
    async fn ask(&self, site: &Site, token: &str, name: &str) -> (bool, Option<BTreeSet<String>>) {
        let call = site.call(self.method.clone(), &format!("{}?{name}=x", self.address())).bearer(token);
        let answer = if self.in_body.is_some() { call.json("{}").send().await } else { call.send().await };
        if answer.status.is_success() {
            return (false, None);
        }
        let (_, code, field) = answer.problem();
        let unknown = code == "unknown_field" && field.as_deref() == Some(name);
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        let known = detail
            .split_once("known are ")
            .filter(|_| unknown)
            .map(|(_, names)| names.trim_end_matches('.').split(", ").map(str::to_owned).collect());
        (unknown, known)
    }
}

/// The names of an object's properties, as far as it is one.
fn properties(document: &Value, schema: &Value) -> BTreeSet<String> {
    let schema = match schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) {
        Some(name) => &document["components"]["schemas"][name],
        None => schema,
    };
    let options = ["oneOf", "anyOf", "allOf"].into_iter().flat_map(|kind| schema[kind].as_array().into_iter().flatten());
    let own = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    own.chain(options.flat_map(|option| properties(document, option))).collect()
}

fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().expect("paths").iter();
    let all = paths.flat_map(|(path, item)| item.as_object().expect("operations").iter().map(move |(method, one)| (path, method, one)));
    all.map(|(path, method, one)| Operation::read(document, path, method, one)).collect()
}

async fn described() -> (Site, String, Vec<Operation>) {
    let site = Site::new().await;
    let token = site.token("reader", Role::Admin).await;
    let document = site.get("/api/v1/openapi.json").bearer(&token).send().await.json();
    let operations = operations(&document);
    assert!(operations.len() > 80, "all of them: {}", operations.len());
    (site, token, operations)
}

#[tokio::test]
async fn what_stands_in_a_path_and_everything_else_is_described_in_words() {
    let (_site, _, operations) = described().await;
    for operation in operations {
        let named = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).map(str::to_owned);
        let (method, path) = (&operation.method, &operation.path);
        assert_eq!(operation.in_path, named.collect(), "{method} {path}");
        assert_eq!(operation.wordless, [""; 0], "{method} {path} says nothing of them");
    }
}

#[tokio::test]
async fn a_query_has_the_fields_that_are_described_and_no_others() {
    let (site, token, operations) = described().await;
    let all: BTreeSet<String> = operations.iter().flat_map(|operation| &operation.in_query).cloned().collect();
    let mut listed = 0;
    // A login is for strangers, and the stream never ends.
    for operation in operations.iter().filter(|operation| !operation.path.ends_with("/login") && !operation.path.ends_with("/logout")) {
        let (method, path) = (&operation.method, &operation.path);
        let (unknown, known) = operation.ask(&site, &token, STRANGER).await;
        assert!(unknown, "{method} {path} takes what it does not know");
        if let Some(known) = known {
            assert_eq!(known, operation.in_query, "{method} {path}: fields of its query, and described ones");
            listed += 1;
            continue;
        }
        for name in &all {
            let (unknown, _) = operation.ask(&site, &token, name).await;
            assert_eq!(!unknown, operation.in_query.contains(name), "{method} {path}: {name}");
        }
    }
    assert!(listed > 15, "most say themselves what they read: {listed}");
}

#[tokio::test]
async fn a_body_has_the_fields_that_are_described_and_no_others() {
    let (site, token, operations) = described().await;
    let mut checked = BTreeMap::new();
    for operation in operations.iter().filter(|operation| operation.in_body.is_some() && !operation.path.ends_with("/login")) {
        let (method, path) = (&operation.method, &operation.path);
        let body = format!("{{\"{STRANGER}\": 1}}");
        let answer = site.call(method.clone(), &operation.address()).bearer(&token).json(&body).send().await;
        let (status, code, field) = answer.problem();
        assert_eq!((status, code.as_str(), field.as_deref()), (422, "unknown_field", Some(STRANGER)), "{method} {path}: {}", answer.text);
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        let Some((_, known)) = detail.split_once("expected ") else { continue };
        let known: BTreeSet<String> = known.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert_eq!(Some(&known), operation.in_body.as_ref(), "{method} {path}: fields of its body, and described ones");
        checked.insert(path.clone(), known.len());
    }
    assert!(checked.len() > 10, "{checked:?}");
}

/// Names under which types of the API are described, with the files that describe them.
fn schema_names(folder: &Path, names: &mut BTreeMap<String, Vec<String>>) {
    for entry in std::fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            schema_names(&path, names);
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source is text");
        let (mut is_schema, mut told) = (false, None);
        for line in text.lines().map(str::trim) {
            is_schema |= line.starts_with("#[derive(") && line.contains("ToSchema");
            let (_, renamed) = line.split_once("schema(as = ").unwrap_or_default();
            told = renamed.split(&[')', ','][..]).next().filter(|name| !name.is_empty()).map(str::to_owned).or(told);
            let item = ["struct ", "enum "]
                .iter()
                .find_map(|kind| line.split_once(kind))
                .filter(|_| is_schema && !line.starts_with(&['#', '/'][..]));
            if let Some((_, rest)) = item {
                let own = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned();
                names.entry(told.take().unwrap_or(own)).or_default().push(path.display().to_string());
                is_schema = false;
            }
        }
    }
}

#[test]
fn every_type_of_the_api_has_a_name_of_its_own() {
    let mut names = BTreeMap::new();
    schema_names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web"), &mut names);
    assert!(names.len() > 80 && names.contains_key("PurgePlanBody") && names.contains_key("PlanBody"), "{names:?}");
    let taken: Vec<_> = names.iter().filter(|(_, files)| files.len() > 1).collect();
    assert!(taken.is_empty(), "in one document the last one would describe all: {taken:?}");
}
