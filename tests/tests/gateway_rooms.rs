//! The gateway's rooms import each other along these arrows alone, so that no circle crosses a folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// A room is a folder or a file directly below `gateway/src`. Whoever stands further down may import what stands
/// further up, where it is named here.
const ARROWS: &[(&str, &[&str])] = &[
    ("backoff", &[]),
    ("error", &[]),
    ("meta", &[]),
    ("metrics", &[]),
    ("crypto", &["metrics"]),
    ("http", &["error", "metrics"]),
    ("extract", &["error", "http"]),
    ("audit", &["http"]),
    ("page_urls", &["crypto"]),
    ("index", &["crypto", "error"]),
    ("records", &["crypto", "error", "index"]),
    ("usage", &["crypto", "error", "index", "metrics"]),
    ("auth", &["audit", "crypto", "error", "extract", "http", "index", "records", "usage"]),
    ("jobs", &["audit", "auth", "error", "index", "metrics", "records", "usage"]),
    ("repos", &["audit", "auth", "backoff", "crypto", "error", "http", "index", "jobs", "usage"]),
    ("login", &["audit", "auth", "crypto", "error", "http", "index", "repos", "usage"]),
    (
        "deliveries",
        &["audit", "auth", "error", "http", "index", "jobs", "metrics", "records", "repos", "usage"],
    ),
    ("grants", &["crypto", "deliveries", "page_urls", "records", "repos"]),
    (
        "reconcile",
        &["backoff", "deliveries", "error", "index", "metrics", "page_urls", "records", "repos", "usage"],
    ),
    ("functions", &["auth", "crypto", "error", "extract", "http", "index", "jobs", "records", "repos"]),
    ("config", &["functions", "http", "login", "repos", "usage"]),
    (
        "state",
        &[
            "audit",
            "auth",
            "config",
            "crypto",
            "deliveries",
            "functions",
            "grants",
            "http",
            "index",
            "jobs",
            "login",
            "meta",
            "metrics",
            "page_urls",
            "reconcile",
            "records",
            "repos",
            "usage",
        ],
    ),
    ("html", &["auth", "crypto", "error", "extract", "http", "login"]),
    (
        "api",
        &[
            "audit",
            "auth",
            "crypto",
            "deliveries",
            "error",
            "extract",
            "functions",
            "html",
            "http",
            "index",
            "jobs",
            "login",
            "metrics",
            "records",
            "repos",
            "state",
            "usage",
        ],
    ),
    ("pages", &["api", "auth", "deliveries", "error", "extract", "html", "http", "login", "state"]),
    ("routes", &["api", "auth", "extract", "html", "http", "pages", "state"]),
    (
        "background",
        &[
            "crypto",
            "functions",
            "grants",
            "http",
            "index",
            "jobs",
            "reconcile",
            "records",
            "repos",
            "state",
            "usage",
        ],
    ),
    ("serve", &["background", "config", "http", "meta", "routes", "state"]),
];

fn sources() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package lies in the workspace").join("gateway/src")
}

fn files(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(below).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

/// The rooms that a file's code names: the word after each `crate::`, and the first words of `use crate::{…}`.
fn named(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if !rest.starts_with('{') {
            rooms.insert(word(rest));
            continue;
        }
        let (mut depth, mut begins) = (0, false);
        for (at, c) in rest.char_indices() {
            match c {
                '{' => (depth, begins) = (depth + 1, depth == 0),
                '}' => depth -= 1,
                ',' if depth == 1 => begins = true,
                c if begins && c.is_alphanumeric() => {
                    rooms.insert(word(&rest[at..]));
                    begins = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    rooms.remove("");
    rooms
}

#[test]
fn rooms_of_the_gateway_import_each_other_only_as_drawn() {
    let sources = sources();
    let mut found = Vec::new();
    files(&sources, &mut found);
    let mut arrows: BTreeMap<String, BTreeMap<String, PathBuf>> = BTreeMap::new();
    for path in found {
        let below = path.strip_prefix(&sources).unwrap();
        let first = below.iter().next().unwrap().to_str().unwrap();
        let room = first.strip_suffix(".rs").unwrap_or(first).to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        // Tests of a file may look wherever they like.
        let text = text.split("#[cfg(test)]").next().unwrap();
        if room == "lib" || below.ends_with("tests.rs") || below.ends_with("id_token_tests.rs") {
            continue;
        }
        let of_room = arrows.entry(room.clone()).or_default();
        for other in named(text).into_iter().filter(|other| *other != room) {
            of_room.insert(other, below.to_owned());
        }
    }
    let drawn: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for (room, others) in &arrows {
        let allowed =
            drawn.get(room.as_str()).unwrap_or_else(|| panic!("{room} is a new room: draw its arrows"));
        for (other, path) in others {
            assert!(allowed.contains(&other.as_str()), "{room} imports {other}, in {}", path.display());
        }
    }
}

#[test]
fn what_is_drawn_has_no_circle() {
    for (at, (room, allowed)) in ARROWS.iter().enumerate() {
        let above: Vec<&str> = ARROWS[..at].iter().map(|(name, _)| *name).collect();
        let later: Vec<_> = allowed.iter().filter(|other| !above.contains(other)).collect();
        assert!(later.is_empty(), "{room} imports {later:?}, which stands below it");
    }
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::{\n    auth::{Caller, rights::JobsRead},\n    error::ApiError,\n};\nuse crate::http;\n\
                fn f() { crate::usage::show() } // crate::pages\n";
    assert_eq!(
        named(text).iter().map(String::as_str).collect::<Vec<_>>(),
        ["auth", "error", "http", "usage"]
    );
}
