//! Rules of the architecture that the compiler does not check.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use serde_json::Value;

/// Requester may depend on whom; an arrow that is not here does not exist.
const ARROWS: &[(&str, &[&str])] = &[
    ("jobs", &[]),
    ("hooks", &["jobs"]),
    ("gateway", &["hooks", "jobs"]),
    ("launcher", &[]),
    ("worker", &["hooks", "jobs", "launcher"]),
    ("observer", &["jobs"]),
    ("gitfaas", &["gateway", "hooks", "jobs", "observer", "worker"]),
    ("tests", &["hooks", "jobs"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

#[test]
fn packages_depend_on_each_other_only_as_drawn() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let arrows: BTreeMap<&str, BTreeSet<&str>> = packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap();
            // What only a package's own tests use is not drawn.
            let used = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
            let ours = used
                .map(|dependency| dependency["name"].as_str().unwrap())
                .filter(|name| names.contains(name));
            (package["name"].as_str().unwrap(), ours.collect())
        })
        .collect();
    assert_eq!(names, ARROWS.iter().map(|(name, _)| *name).collect());
    for (name, allowed) in ARROWS {
        let strange: Vec<_> = arrows[name].iter().filter(|other| !allowed.contains(other)).collect();
        assert!(strange.is_empty(), "{name} depends on {strange:?}");
    }
}

/// Settings that `docker-compose.yml` decides by itself, and those of clients.
const NOT_IN_COMPOSE: [&str; 6] = [
    "GITFAAS_NATS_CREDS",
    "GITFAAS_DATA_DIR",
    "GITFAAS_DOCKER_HOST",
    "GITFAAS_RUNNER_IMAGES",
    "GITFAAS_URL",
    "GITFAAS_TOKEN",
];

/// The names that `.env.example` lists.
fn listed(example: &str) -> BTreeSet<&str> {
    let lines = example.lines().filter_map(|line| line.trim_start_matches('#').split_once('='));
    lines.map(|(name, _)| name).filter(|name| is_setting(name)).collect()
}

#[test]
fn every_setting_that_a_program_reads_is_in_the_example() {
    let example = std::fs::read_to_string(root().join(".env.example")).unwrap();
    let listed = listed(&example);
    let mut missing = BTreeSet::new();
    for package in ["jobs", "hooks", "gateway", "worker", "observer", "cli"] {
        let path = root().join(package).join("src/config.rs");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for name in text.split('"').filter(|word| is_setting(word)) {
            if !listed.contains(name) {
                missing.insert(name.to_owned());
            }
        }
    }
    assert_eq!(missing, BTreeSet::new(), "they belong into .env.example");
}

#[test]
fn every_setting_of_the_example_reaches_the_containers() {
    let example = std::fs::read_to_string(root().join(".env.example")).unwrap();
    let compose = std::fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    let is_lost = |name: &&str| !compose.contains(&format!("{name}:")) && !NOT_IN_COMPOSE.contains(name);
    let lost: Vec<&str> = listed(&example).into_iter().filter(is_lost).collect();
    assert!(lost.is_empty(), "set in .env they would be ignored: {lost:?}");
}

fn is_setting(word: &str) -> bool {
    let rest = word.strip_prefix("GITFAAS_");
    rest.is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    })
}
