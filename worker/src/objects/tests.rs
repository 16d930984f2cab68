//! Packs that git made, received and read back; and what no git would make.

use std::{
    io::{BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use gix::ObjectId;
use test_case::test_case;

use super::{
    Deadline, Kind, Limits, ObjectError, Store, receive, receive::HashingWriter, store::copy_exactly,
};
use crate::source::test_repository::Repository;

const LIMITS: Limits = Limits { bytes: 64 << 20 };

fn deadline() -> Deadline {
    Deadline::of(Duration::from_secs(60))
}

/// Some files in many versions, so that git makes deltas of them.
fn versions() -> Repository {
    let repository = Repository::new();
    repository.first();
    repository.commit(
        "mkdir many; for n in $(seq 200); do seq $n 400 > many/$n; done; seq 400000 > large.txt; \
         seq 400000 > other.txt; echo end >> other.txt",
    );
    for n in 0..5 {
        repository.commit(&format!("echo {n} >> large.txt; echo {n} >> many/7"));
    }
    repository.git(&["tag", "-a", "-m", "a tag", "v1"]);
    repository
}

/// What `git pack-objects` makes of these revisions.
fn packed(repository: &Repository, flags: &[&str], revisions: &str) -> Vec<u8> {
    let mut git = Command::new("git")
        .current_dir(repository.path())
        .args(["pack-objects", "--quiet", "--stdout", "--revs", "--window=20"])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    git.stdin.take().unwrap().write_all(revisions.as_bytes()).unwrap();
    let output = git.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn mirror() -> tempfile::TempDir {
    let mirror = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(mirror.path().join("objects/pack")).unwrap();
    mirror
}

fn taken(mirror: &Path, pack: &[u8], limits: Limits) -> Result<Store, ObjectError> {
    let objects = mirror.join("objects");
    let store = Store::open(&objects).unwrap();
    // Small pieces, as they may come from a server.
    receive(&mut BufReader::with_capacity(100, pack), store, limits, &deadline())?;
    Store::open(&objects)
}

/// Every object of the repository, read from the store and named anew, as git itself would.
fn reads_all(repository: &Repository, store: &Store) -> usize {
    let all = repository.git(&["cat-file", "--batch-check", "--batch-all-objects"]);
    for line in all.lines() {
        let (id, rest) = line.split_once(' ').unwrap();
        let (kind, size) = rest.split_once(' ').unwrap();
        let id = ObjectId::from_hex(id.as_bytes()).unwrap();
        let (found, len) = store.header(&id).unwrap();
        assert_eq!((found.word(), len), (kind, size.parse().unwrap()), "{id}");
        let mut hash = HashingWriter::new(std::io::sink());
        hash.write_all(format!("{kind} {size}\0").as_bytes()).unwrap();
        let copied: Result<(), ObjectError> = store
            .with(&id, &deadline(), &mut |_, size, bytes| copy_exactly(bytes, size, &mut hash, &deadline()));
        copied.unwrap();
        assert_eq!(hash.finish().unwrap().1, id);
    }
    all.lines().count()
}

#[test_case(&["--delta-base-offset"] ; "deltas on offsets")]
#[test_case(&[] ; "deltas on ids")]
#[test_case(&["--window=0"] ; "no deltas")]
fn what_git_packs_is_read_back(flags: &[&str]) {
    let repository = versions();
    let mirror = mirror();
    let store = taken(mirror.path(), &packed(&repository, flags, "v1\n"), LIMITS).unwrap();
    assert!(reads_all(&repository, &store) > 200);
    for entry in std::fs::read_dir(mirror.path().join("objects/pack")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            repository.git(&["verify-pack", path.to_str().unwrap()]);
        }
    }
    let tag = ObjectId::from_hex(repository.git(&["rev-parse", "v1"]).as_bytes()).unwrap();
    let (commit, tree) = store.commit(tag, &deadline()).unwrap().unwrap();
    assert_eq!(commit.to_hex().to_string(), repository.git(&["rev-parse", "HEAD"]));
    assert_eq!(tree.to_hex().to_string(), repository.git(&["rev-parse", "HEAD^{tree}"]));
    assert_eq!(store.commit(tree, &deadline()).unwrap(), None);
}

#[test]
fn a_thin_pack_leans_on_what_is_there_and_on_nothing_else() {
    let repository = versions();
    let old = packed(&repository, &[], "HEAD~3\n");
    let new = packed(&repository, &["--thin"], "v1\n^HEAD~3\n");
    let mirror = mirror();
    taken(mirror.path(), &old, LIMITS).unwrap();
    let store = taken(mirror.path(), &new, LIMITS).unwrap();
    assert_eq!(store.packs(), 2);
    reads_all(&repository, &store);
    let empty = self::mirror();
    let refused = taken(empty.path(), &new, LIMITS).unwrap_err().to_string();
    assert_eq!(refused, "the repository is damaged: what a delta is made from was not sent");
    assert_eq!(std::fs::read_dir(empty.path().join("objects/pack")).unwrap().count(), 0);
}

#[test]
fn a_pack_that_breaks_off_anywhere_is_nobodys_pack() {
    let repository = Repository::new();
    repository.first();
    let whole = packed(&repository, &[], "HEAD\n");
    for len in 0..whole.len() {
        let mirror = mirror();
        let error = taken(mirror.path(), &whole[..len], LIMITS).unwrap_err();
        assert!(matches!(error, ObjectError::Incoming(_)), "{len}: {error:?}");
        assert_eq!(std::fs::read_dir(mirror.path().join("objects/pack")).unwrap().count(), 0);
    }
}

#[test]
fn a_changed_byte_is_never_taken() {
    let repository = Repository::new();
    repository.first();
    let whole = packed(&repository, &[], "HEAD\n");
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1 << (place % 8);
        let mirror = mirror();
        assert!(taken(mirror.path(), &changed, LIMITS).is_err(), "{place}");
    }
}

#[test]
fn a_pack_is_bounded_as_it_comes_and_as_it_is_inflated() {
    let repository = Repository::new();
    repository.commit("head -c 3000000 /dev/urandom > noise");
    let whole = packed(&repository, &[], "HEAD\n");
    let limits = Limits { bytes: 1 << 20 };
    assert_eq!(
        taken(mirror().path(), &whole, limits).unwrap_err().to_string(),
        "the repository is larger than 1m"
    );
    repository.commit("rm noise; head -c 40000000 /dev/zero > zeros");
    let whole = packed(&repository, &[], "HEAD\n^HEAD~1\n");
    assert!(whole.len() < 1 << 20);
    assert_eq!(
        taken(mirror().path(), &whole, limits).unwrap_err().to_string(),
        "the repository is larger than 1m"
    );
    taken(mirror().path(), &whole, LIMITS).unwrap();
}

#[test]
fn a_commit_as_large_as_a_book_is_none() {
    let repository = Repository::new();
    repository.commit("head -c 2000000 /dev/zero | tr '\\0' x > book");
    repository.git(&["commit", "--quiet", "--allow-empty", "--file", "book"]);
    let whole = packed(&repository, &[], "HEAD\n");
    let refused = taken(mirror().path(), &whole, LIMITS).unwrap_err();
    assert!(matches!(refused, ObjectError::Oversized { kind: Kind::Commit, .. }));
    assert_eq!(refused.to_string(), "a commit of the repository is larger than 1m");
}

#[test]
fn nobody_waits_longer_than_the_patience() {
    let repository = Repository::new();
    repository.first();
    let whole = packed(&repository, &[], "HEAD\n");
    let mirror = mirror();
    let store = Store::open(&mirror.path().join("objects")).unwrap();
    let over = Deadline::of(Duration::ZERO);
    let refused = receive(&mut whole.as_slice(), store, LIMITS, &over).unwrap_err();
    assert_eq!(refused.to_string(), "reading the repository took longer than 0 s");
}
