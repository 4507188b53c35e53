//! The samples in `deploy/` and `examples/` are what they claim to be.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use yaml_rust2::{Yaml, YamlLoader};

use super::said;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Loads a configuration as `check-config` does, with the secrets that it names at hand.
fn check(what: &str, text: &str) {
    let folder = TempDir::new().expect("a scratch folder");
    let secrets = [("redrive-store-url", "postgres://redrive@127.0.0.1/redrive"), ("redrive-key", "k"), ("kafka-password", "p")];
    for (name, value) in secrets {
        std::fs::write(folder.path().join(name), value).expect("the scratch folder can be written");
    }
    let file = folder.path().join("redrive.toml");
    std::fs::write(&file, text.replace("/run/secrets", &folder.path().display().to_string())).expect("the scratch folder can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_redrive")).arg("check-config").arg("--config").arg(&file).output();
    let (out, err) = said(&output.expect("the binary can be started"));
    assert!(out.contains("has no problems") && out.contains("bus "), "{what}: {out}{err}");
}

#[test]
fn every_configuration_is_right() {
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(root().join("deploy")).expect("deploy/ is there") {
        let file = entry.expect("readable").path().join("redrive.toml");
        if file.is_file() {
            found.push(file);
        }
    }
    assert!(found.len() >= 4, "dev, test, prod and compose: {found:?}");
    for file in found {
        check(&file.display().to_string(), &std::fs::read_to_string(&file).expect("readable"));
    }
}

#[test]
fn the_kubernetes_manifest_holds_together() {
    let documents = yaml("deploy/kubernetes.yaml");
    let of = |kind: &str| documents.iter().find(|document| document["kind"].as_str() == Some(kind)).unwrap_or_else(|| panic!("a {kind}"));
    let config = of("ConfigMap")["data"]["redrive.toml"].as_str().expect("the configuration");
    check("deploy/kubernetes.yaml", config);
    let pod = &of("Deployment")["spec"]["template"];
    let container = &pod["spec"]["containers"][0];
    let volumes: Vec<&str> =
        pod["spec"]["volumes"].as_vec().expect("volumes").iter().filter_map(|volume| volume["name"].as_str()).collect();
    for mount in container["volumeMounts"].as_vec().expect("mounts") {
        assert!(volumes.contains(&mount["name"].as_str().expect("a name")), "{mount:?}");
    }
    assert_eq!(of("Service")["spec"]["selector"], pod["metadata"]["labels"], "the service finds its pods");
    let port = config.lines().find_map(|line| line.strip_prefix("listen = \"0.0.0.0:")).and_then(|rest| rest.strip_suffix('"'));
    assert_eq!(container["ports"][0]["containerPort"].as_i64().map(|port| port.to_string()).as_deref(), port);
    for file in ["redrive-store-url", "kafka-password", "redrive-key"] {
        assert!(
            config.contains(file) && read("deploy/kubernetes.yaml").contains(&format!("={file}"))
                || read("deploy/kubernetes.yaml").contains(&format!("{file}=")),
            "{file} is made"
        );
    }
}

#[test]
fn the_compose_file_names_what_is_there() {
    let compose = &yaml("deploy/compose.yaml")[0];
    let redrive = &compose["services"]["redrive"];
    let dockerfile = redrive["build"]["dockerfile"].as_str().expect("a Dockerfile");
    assert!(root().join(dockerfile).is_file(), "{dockerfile}");
    for mount in redrive["volumes"].as_vec().expect("volumes").iter().filter_map(Yaml::as_str) {
        let from = mount.split(':').next().expect("a source");
        let there =
            from.strip_prefix("./").map_or_else(|| !compose["volumes"].is_badvalue(), |file| root().join("deploy").join(file).is_file());
        assert!(there, "{mount}");
    }
    let advertised = compose["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].as_str().expect("listeners");
    assert!(read("deploy/compose/redrive.toml").contains("kafka:19092") && advertised.contains("kafka:19092"), "{advertised}");
}

#[test]
fn the_image_copies_what_is_there_and_all_that_is_compiled_in() {
    let dockerfile = read("deploy/Dockerfile");
    let copied: Vec<&str> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY ").filter(|rest| !rest.starts_with("--from")))
        .flat_map(|rest| rest.split(' ').rev().skip(1))
        .collect();
    for path in &copied {
        assert!(root().join(path).exists(), "{path}");
    }
    for needed in ["Cargo.toml", "Cargo.lock", "build.rs", "benches", "migrations", "src", "static", "templates"] {
        assert!(copied.contains(&needed), "{needed} is compiled in");
    }
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.split('"').nth(1).and_then(|version| version.rsplit_once('.')).expect("a version").0;
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")), "rust {version}");
}
