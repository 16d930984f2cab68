//! Repositories that are made to stop a worker: what the owner reads, what it costs the worker, and that
//! another owner does not notice.
//!
//! One test at a time, since the memory of the whole process is what counts; server and packs are in it too.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod packs;
mod server;

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use gix::ObjectId;
use jobs::{Fault, Outcome};
use packs::{BLOB, Hostile, Pack, REF_DELTA, delta, zeros};
use server::{Says, serve};
use tempfile::TempDir;
use tokio::sync::Mutex;
use worker::{
    checkout::{CheckoutError, MirrorSettings, Mirrors, Request},
    disk_quota::DiskQuota,
    sandbox::CacheScope,
    source::{CommitFiles, Files, Selection, Spool, Tree, changed_paths},
};

/// What a worker may take beside its jobs, in MiB.
const MOST_MIB: u64 = 150;
/// What the operator allows in these tests.
const LIMIT_BYTES: u64 = 20 << 20;
const GIB: u64 = 1 << 30;

/// Only one test looks at the memory of this process at a time.
static TURN: Mutex<()> = Mutex::const_new(());

struct Worker {
    mirrors: Mirrors,
    spool: Spool,
    limit_bytes: u64,
    folder: TempDir,
}

impl Worker {
    fn new(limit_bytes: u64, timeout: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = DiskQuota::new(8 << 30);
        let mirrors = Mirrors::open(MirrorSettings {
            directory: folder.path().join("mirrors"),
            allow: "127.0.0.1".parse().unwrap(),
            ca_bundle: None,
            max_bytes: limit_bytes,
            timeout,
            disk: disk.clone(),
        })
        .unwrap();
        let spool = Spool::new(folder.path().join("spool"), &disk, "a");
        Self { mirrors, spool, limit_bytes, folder }
    }

    async fn files(
        &self,
        url: &str,
        name: &str,
        sha: Option<ObjectId>,
    ) -> Result<CommitFiles, CheckoutError> {
        let request = Request {
            url: format!("{url}/a/{name}.git").parse().unwrap(),
            sha: sha.map(|sha| sha.to_string().parse().unwrap()),
            reference: None,
            credential: None,
            cache_scope: CacheScope::new("a", "a".to_owned()),
        };
        self.mirrors.checkout(request).await.map(|checkout| checkout.files)
    }

    /// A job up to the point where its container would start.
    async fn runs(&self, url: &str, name: &str, sha: Option<ObjectId>) -> Result<Tree, Outcome> {
        let files = Files::Commit(self.files(url, name, sha).await.map_err(|error| error.outcome())?);
        let (spool, limit) = (self.spool.clone(), self.limit_bytes);
        let packed = tokio::task::spawn_blocking(move || {
            files.read("gitfaas.json", 1 << 16)?;
            files.pack(Selection::All, limit, &spool)
        });
        packed.await.unwrap().map_err(|error| CheckoutError::Files(error).outcome())
    }
}

/// The most memory that this process ever had since [`forget_peak`], in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn said(ended: Result<Tree, Outcome>) -> (Fault, String) {
    match ended {
        Ok(tree) => (Fault::Nobody, format!("{} bytes", tree.len_bytes())),
        Err(Outcome::Failed { fault, message, .. }) => (fault, message),
        Err(other) => panic!("{other:?}"),
    }
}

fn manifest(pack: &mut Pack) -> (&'static str, &'static str, ObjectId) {
    ("100644", "gitfaas.json", pack.blob(br#"{"language": "python", "mainFile": "a.py"}"#).0)
}

/// The neighbour's repository.
fn good(folder: &Path) -> Hostile {
    let mut pack = Pack::new(folder, "good");
    let manifest = manifest(&mut pack);
    let tree = pack.tree(&[manifest]);
    pack.commit(tree)
}

/// A file of so many zeros.
fn zeros_blob(folder: &Path, len: u64) -> Hostile {
    let mut pack = Pack::new(folder, "zeros");
    let (blob, _) = pack.zeros(len);
    let tree = pack.tree(&[("100644", "zeros", blob)]);
    pack.commit(tree)
}

fn null() -> ObjectId {
    ObjectId::from_hex(&[b'a'; 40]).unwrap()
}

/// An object that says that it has 16 GiB.
fn claimed_size(folder: &Path) -> Hostile {
    let mut pack = Pack::new(folder, "claimed");
    pack.raw(BLOB, 16 * GIB, &[], &mut zeros(1 << 20));
    pack.claiming(1, null())
}

/// A delta that says that it makes 16 GiB of almost nothing.
fn claimed_delta(folder: &Path) -> Hostile {
    let mut pack = Pack::new(folder, "delta");
    let (_, base) = pack.blob(b"0123456789");
    pack.delta(base, 10, 16 * GIB, &[0x90, 10]);
    pack.claiming(2, null())
}

/// The same, on an object that is named and may be anywhere.
fn claimed_ref_delta(folder: &Path) -> Hostile {
    let mut pack = Pack::new(folder, "ref-delta");
    let (base, _) = pack.blob(b"0123456789");
    let bytes = delta(10, 16 * GIB, &[0x90, 10]);
    pack.raw(REF_DELTA, bytes.len() as u64, base.as_slice(), &mut std::iter::once(bytes));
    pack.claiming(2, null())
}

/// A thousand deltas that each make 30 MiB of one base.
fn many_large_deltas(folder: &Path) -> Hostile {
    let mut pack = Pack::new(folder, "large-deltas");
    let (_, base) = pack.zeros(1 << 20);
    // Copies of 64 KiB from the beginning, 480 of them.
    let instructions = [0x80].repeat(480);
    for _ in 0..1000 {
        pack.delta(base, 1 << 20, 30 << 20, &instructions);
    }
    pack.claiming(1001, null())
}

/// Deltas on deltas on deltas.
fn chain(folder: &Path, len: usize) -> Hostile {
    let mut pack = Pack::new(folder, "chain");
    let (blob, mut base) = pack.blob(b"0123456789");
    for n in 0..len {
        // Each is the one before it and another letter.
        let letter = b'a' + u8::try_from(n % 26).unwrap();
        let [low, high, ..] = (10 + n).to_le_bytes();
        let len = 10 + n as u64;
        base = pack.delta(base, len, len + 1, &[0xb0, low, high, 1, letter]);
    }
    let tree = pack.tree(&[("100644", "file", blob)]);
    pack.commit(tree)
}

/// `levels` folders, each with as many names as `width`, all of which lead to the next.
fn nested(folder: &Path, name: &str, levels: usize, width: usize) -> Hostile {
    let mut pack = Pack::new(folder, name);
    let (blob, _) = pack.blob(name.as_bytes());
    let names: Vec<String> = (0..width).map(|n| format!("d{n:03}")).collect();
    let mut tree = pack.tree(&[("100644", "leaf", blob)]);
    for _ in 0..levels {
        let entries: Vec<_> = names.iter().map(|name| ("40000", name.as_str(), tree)).collect();
        tree = pack.tree(&entries);
    }
    pack.commit(tree)
}

/// Folders within folders, each of which has many names beside.
fn wide_and_deep(folder: &Path) -> Hostile {
    let mut pack = Pack::new(folder, "wide");
    let (blob, _) = pack.blob(b"leaf");
    let names: Vec<String> = (0..180_000).map(|n| format!("n{n}")).collect();
    let mut tree = pack.tree(&[("100644", "leaf", blob)]);
    for _ in 0..2 {
        let mut entries = vec![("40000", "a", tree)];
        entries.extend(names.iter().map(|name| ("100644", name.as_str(), blob)));
        tree = pack.tree(&entries);
    }
    pack.commit(tree)
}

/// A link that leads to 15 MiB of letters.
fn long_link(folder: &Path) -> Hostile {
    let mut pack = Pack::new(folder, "link");
    let (blob, _) = pack.zeros(15 << 20);
    let tree = pack.tree(&[("120000", "link", blob)]);
    pack.commit(tree)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_repository_ends_its_own_job_and_no_other() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut four_billion = Pack::new(at, "count");
    four_billion.blob(b"one");
    let function = |says: &str| (Fault::Function, says.to_owned());
    let cases: Vec<(&'static str, Says, (Fault, String))> = vec![
        ("zeros", Says::Pack(zeros_blob(at, 400 << 20)), function("the repository is larger than 20m")),
        ("claimed", Says::Pack(claimed_size(at)), function("the repository is larger than 20m")),
        ("delta", Says::Pack(claimed_delta(at)), function("the repository is larger than 20m")),
        ("refdelta", Says::Pack(claimed_ref_delta(at)), function("the repository is larger than 20m")),
        ("deltas", Says::Pack(many_large_deltas(at)), function("the repository is larger than 20m")),
        (
            "count",
            Says::Pack(four_billion.claiming(u32::MAX, null())),
            function("the repository has more than 250000 objects in one commit"),
        ),
        (
            "chain",
            Says::Pack(chain(at, 1100)),
            function("the repository has an object behind more than 1000 deltas; repack it"),
        ),
        (
            "deep",
            Says::Pack(nested(at, "deep", 150, 1)),
            function(&format!("the path {:?} cannot be unpacked", "d000/".repeat(40))),
        ),
        ("bomb", Says::Pack(nested(at, "bomb", 9, 10)), function("there are more than 200000 files")),
        ("wide", Says::Pack(wide_and_deep(at)), function("there are more than 200000 files")),
        ("link", Says::Pack(long_link(at)), function("the path \"link\" cannot be unpacked")),
        (
            "refs",
            Says::Refs(200_000),
            function("the server lists more than 4m of refs; it should speak version 2 of git's protocol"),
        ),
        (
            "oldrefs",
            Says::OldRefs(200_000),
            function("the server lists more than 4m of refs; it should speak version 2 of git's protocol"),
        ),
        (
            "endless",
            Says::Refs(usize::MAX / 1000),
            function("the server lists more than 4m of refs; it should speak version 2 of git's protocol"),
        ),
    ];
    let mut repositories: HashMap<_, _> = cases.iter().map(|(name, says, _)| (*name, says.clone())).collect();
    repositories.insert("good", Says::Pack(good(at)));
    let url = serve(repositories).await;
    let worker = Worker::new(LIMIT_BYTES, Duration::from_secs(60));
    forget_peak();

    let begun = Instant::now();
    for (name, _, expected) in &cases {
        // The neighbour's job is under way at the same time.
        let neighbour = worker.runs(&url, "good", None);
        let (ended, neighbours) = tokio::join!(worker.runs(&url, name, None), neighbour);
        println!("{name}: {:?} after {:?}, peak {} MiB", said(ended.clone()), begun.elapsed(), peak_mib());
        assert_eq!(&said(ended), expected, "{name}");
        assert_eq!(said(neighbours), (Fault::Nobody, "2048 bytes".to_owned()), "{name}");
        assert!(peak_mib() < MOST_MIB, "{name}: {} MiB", peak_mib());
    }
    // What was refused left nothing behind.
    let left = std::fs::read_dir(worker.folder.path().join("spool")).map_or(0, Iterator::count);
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_repository_within_the_limit_costs_no_memory() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let mut pack = Pack::new(folder.path(), "large");
    // 200 MiB as they are, and 100 MiB as a delta on 1 MiB.
    let (plain, _) = pack.zeros(200 << 20);
    let (_, base) = pack.zeros(1 << 20);
    pack.delta(base, 1 << 20, 100 << 20, &[0x80].repeat(1600));
    let made = {
        let mut hash = gix::hash::hasher(gix::hash::Kind::Sha1);
        hash.update(format!("blob {}\0", 100 << 20).as_bytes());
        zeros(100 << 20).for_each(|piece| hash.update(&piece));
        hash.try_finalize().unwrap()
    };
    let tree = pack.tree(&[("100644", "made", made), ("100644", "plain", plain)]);
    let large = pack.commit(tree);
    let url = serve(HashMap::from([("large", Says::Pack(large))])).await;
    let worker = Worker::new(512 << 20, Duration::from_secs(120));
    forget_peak();
    let tree = worker.runs(&url, "large", None).await.unwrap();
    println!("peak {} MiB", peak_mib());
    assert!(tree.len_bytes() > 300 << 20);
    assert!(peak_mib() < MOST_MIB, "{} MiB", peak_mib());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drips_is_left_when_the_time_is_up() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let hostile = good(folder.path());
    let url = serve(HashMap::from([
        ("drip", Says::Drip),
        ("dripofpack", Says::DripOfPack(hostile.clone())),
        ("good", Says::Pack(hostile)),
    ]))
    .await;
    let worker = Worker::new(LIMIT_BYTES, Duration::from_secs(2));
    for name in ["drip", "dripofpack"] {
        let begun = Instant::now();
        let (ended, neighbours) =
            tokio::join!(worker.runs(&url, name, None), worker.runs(&url, "good", None));
        assert_eq!(said(ended), (Fault::Service, "fetching took longer than 2 s".to_owned()), "{name}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        said(neighbours);
    }
    // The next job of that repository waits for no one: the fetch that was left has let go of the mirror.
    let begun = Instant::now();
    said(worker.runs(&url, "drip", None).await);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn comparing_two_bombs_ends() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (nested(folder.path(), "one", 9, 10), nested(folder.path(), "other", 9, 10));
    let (one_id, other_id) = (one.commit, other.commit);
    let url = serve(HashMap::from([("one", Says::Pack(one)), ("other", Says::Pack(other))])).await;
    let worker = Worker::new(LIMIT_BYTES, Duration::from_secs(60));
    let old = worker.files(&url, "one", Some(one_id)).await.unwrap();
    let new = worker.files(&url, "other", Some(other_id)).await.unwrap();
    forget_peak();
    let mut paths = 0_u64;
    let compared = changed_paths(&old, &new, &mut |_| {
        paths += 1;
        false
    });
    assert_eq!(compared.unwrap_err().to_string(), "there are more than 200000 files");
    assert!(paths < 400_000 && peak_mib() < MOST_MIB, "{paths} paths, {} MiB", peak_mib());
}

/// The file of the only pack that the worker keeps.
fn kept_pack(worker: &Worker) -> std::path::PathBuf {
    let folders = |path: &Path| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mirror = folders(&worker.folder.path().join("mirrors")).next().unwrap();
    let is_pack = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "pack");
    folders(&mirror.join("objects/pack")).find(is_pack).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_our_disk_damaged_is_made_anew() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let good = good(folder.path());
    let id = good.commit;
    let url = serve(HashMap::from([("good", Says::Pack(good))])).await;
    let worker = Worker::new(LIMIT_BYTES, Duration::from_secs(60));
    let whole = (Fault::Nobody, "2048 bytes".to_owned());
    assert_eq!(said(worker.runs(&url, "good", Some(id)).await), whole);

    let pack = kept_pack(&worker);
    let len = std::fs::metadata(&pack).unwrap().len();
    std::fs::write(&pack, vec![0; usize::try_from(len).unwrap()]).unwrap();
    assert_eq!(said(worker.runs(&url, "good", Some(id)).await), whole, "its commit cannot be read");

    // The manifest is the first object; commit and folder are as they were.
    let pack = kept_pack(&worker);
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[16..24].fill(0);
    std::fs::write(&pack, bytes).unwrap();
    let damaged = said(worker.runs(&url, "good", Some(id)).await);
    assert_eq!(damaged.0, Fault::Service, "another try may mend it: {damaged:?}");
    assert_eq!(said(worker.runs(&url, "good", Some(id)).await), whole);
}
