//! Every path that the documents name is there: they answer "where is it?" by file names.

use std::path::Path;

/// What tells newcomers where things are.
const DOCUMENTS: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/tenancy.md"];

/// Folders at the top of the repository in which paths are named.
const ROOTS: [&str; 11] = [
    "cli/",
    "deploy/",
    "docs/",
    "gateway/",
    "hooks/",
    "jobs/",
    "observer/",
    "runner-images/",
    "scripts/",
    "tests/",
    "worker/",
];

/// The paths between backticks; of one with a placeholder nothing is known.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|path| {
        let is_path = ROOTS.iter().any(|root| path.starts_with(root)) && !path.contains(' ');
        is_path && !path.contains(['<', '*', '{', '…']) && !path.contains("::")
    })
}

#[test]
fn every_path_that_a_document_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        let gone = named(&text).filter(|path| !root.join(path).exists());
        missing.extend(gone.map(|path| format!("{document}: {path}")));
    }
    assert!(missing.is_empty(), "these are named and not there:\n{}", missing.join("\n"));
}

#[test]
fn paths_are_found_between_backticks() {
    let text = "see `gateway/src/lib.rs`, `jobs.<label>`, `hooks/<forge>.rs`, `cargo run` and `docs/api.md`";
    assert_eq!(named(text).collect::<Vec<_>>(), ["gateway/src/lib.rs", "docs/api.md"]);
}
