//! Builds the launcher as a static program of its own and hands its path to the crate.
//!
//! It is built by a second cargo with flags and a target directory of its own: the launcher must
//! not depend on any library of the image that it is put into.

#![expect(clippy::disallowed_methods, reason = "a build script is told everything by its environment")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What the outer cargo says about its own build; the inner one must not follow it.
const INHERITED: [&str; 9] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_MAKEFLAGS",
    "MAKEFLAGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_PRIMARY_PACKAGE",
];

fn main() {
    for path in ["launcher/src", "launcher/Cargo.toml", "build.rs", "../runner-images"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let target_dir = out.join("launcher-target");
    // Offline first: it is the same set of packages that this build has fetched already.
    let built = build(&target, &target_dir, &["--locked", "--offline"])
        || build(&target, &target_dir, &["--locked"])
        || build(&target, &target_dir, &[]);
    assert!(built, "the launcher cannot be built; the messages above say why");
    let program = target_dir.join(&target).join("release/launcher");
    fs::copy(&program, out.join("launcher")).expect("the launcher was built and can be copied");
}

fn build(target: &str, target_dir: &Path, tolerance: &[&str]) -> bool {
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    for name in INHERITED {
        cargo.env_remove(name);
    }
    cargo
        .args(["build", "--release", "--bin", "launcher", "--manifest-path", "launcher/Cargo.toml"])
        .args(["--target", target])
        .args(tolerance)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .env("CARGO_TARGET_DIR", target_dir)
        .status()
        .is_ok_and(|status| status.success())
}
