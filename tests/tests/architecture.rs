//! Rules of the architecture that the compiler does not check.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
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

/// A module that has a folder is `foo/mod.rs`, so that all of it lies in one place.
#[test]
fn no_module_lies_beside_its_folder() {
    let mut beside = Vec::new();
    let mut folders: Vec<PathBuf> = ["cli", "gateway", "hooks", "jobs", "observer", "tests", "worker"]
        .iter()
        .map(|package| root().join(package))
        .collect();
    while let Some(folder) = folders.pop() {
        if folder.with_extension("rs").is_file() {
            beside.push(folder.with_extension("rs"));
        }
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        folders.extend(entries.filter(|path| path.is_dir() && !path.ends_with("target")));
    }
    assert!(beside.is_empty(), "move these into their folders as mod.rs: {beside:?}");
}
