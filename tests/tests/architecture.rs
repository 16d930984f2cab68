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
